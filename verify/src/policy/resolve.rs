//! From the policy as written to the policy as checked.

use std::collections::BTreeSet;

use bonded_model::sbom::SbomFormat;
use bonded_model::slsa::normalise_repository;
use bonded_model::{ArtifactPath, Digest, toml_text};

use super::written::{
    Written, WrittenBuilder, WrittenProvenance, WrittenRelease, WrittenSbom, WrittenSigner,
};
use super::{ANY, Builder, Demand, Policy, PolicyError, ProvenanceRule, SbomRule, Template};
use crate::identity::{KeyRule, SignerRule, Who};
use crate::key::PublicKey;
use crate::pattern::Pattern;

/// The levels of the SLSA build track that a builder can be trusted for.
const LEVELS: std::ops::RangeInclusive<u8> = 1..=3;

pub(super) fn resolve(written: Written, digest: Digest) -> Result<Policy, PolicyError> {
    if written.version != 1 {
        return Err(PolicyError::Version { found: written.version });
    }
    unique("policy", std::iter::once(written.name.as_str()))?;
    unique("signer", written.signer.iter().map(|signer| signer.name.as_str()))?;
    unique("builder", written.builder.iter().map(|builder| builder.id.as_str()))?;
    let signers: Vec<_> = written.signer.into_iter().map(signer).collect::<Result<_, _>>()?;
    let builders = written.builder.into_iter().map(|written| builder(written, &signers));
    Ok(Policy {
        name: written.name,
        digest,
        builders: builders.collect::<Result<_, _>>()?,
        provenance: provenance(written.provenance)?,
        sbom: sbom(written.sbom, &signers)?,
        checksums: written.checksums.rule,
        artifacts: written.release.map(artifacts).transpose()?,
        signers,
    })
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), PolicyError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return Err(PolicyError::Name { what, name: name.to_owned() });
        }
    }
    Ok(())
}

fn signer(written: WrittenSigner) -> Result<SignerRule, PolicyError> {
    let name = written.name.clone();
    let who = match (&written.issuer, &written.public_key) {
        (Some(_), None) => certificate(written)?,
        (None, Some(_)) => Who::Key(key(written)?),
        _ => return Err(unclear(&name, "it needs either an issuer or a public_key")),
    };
    Ok(SignerRule { name, who })
}

fn unclear(signer: &str, reason: &'static str) -> PolicyError {
    PolicyError::Signer { signer: signer.to_owned(), reason }
}

fn certificate(written: WrittenSigner) -> Result<Who, PolicyError> {
    let name = &written.name;
    if written.valid_from.is_some() || written.valid_until.is_some() || written.log.is_some() {
        return Err(unclear(name, "valid_from, valid_until and log belong to a public_key"));
    }
    let bad = |source: regex::Error| PolicyError::Pattern {
        signer: name.clone(),
        source: Box::new(source),
    };
    let identity = match (written.identity, written.identity_glob, written.identity_regex) {
        (Some(exact), None, None) => Pattern::Exact(exact),
        (None, Some(glob), None) => Pattern::glob(&glob).map_err(bad)?,
        (None, None, Some(regex)) => Pattern::regex(&regex).map_err(bad)?,
        _ => {
            let reason = "it needs one of identity, identity_glob and identity_regex";
            return Err(unclear(name, reason));
        }
    };
    let issuer = written.issuer.unwrap_or_default();
    if issuer.is_empty() || identity.as_str().is_empty() {
        return Err(unclear(name, "its issuer or identity is empty"));
    }
    let claims = written.claims.unwrap_or_default().into_map();
    Ok(Who::Certificate { issuer, identity, claims })
}

fn key(written: WrittenSigner) -> Result<KeyRule, PolicyError> {
    let name = &written.name;
    let identities = [&written.identity, &written.identity_glob, &written.identity_regex];
    if identities.iter().any(|identity| identity.is_some()) || written.claims.is_some() {
        return Err(unclear(name, "identity and claims belong to an issuer"));
    }
    if let (Some(from), Some(until)) = (written.valid_from, written.valid_until)
        && from >= until
    {
        return Err(unclear(name, "valid_from is not before valid_until"));
    }
    let pem = written.public_key.unwrap_or_default();
    let key = PublicKey::from_pem(&pem)
        .map_err(|source| PolicyError::Key { signer: name.clone(), source })?;
    Ok(KeyRule {
        key,
        valid_from: written.valid_from,
        valid_until: written.valid_until,
        log: written.log.unwrap_or_default(),
    })
}

fn builder(written: WrittenBuilder, signers: &[SignerRule]) -> Result<Builder, PolicyError> {
    let place = format!("builder {:?}", written.id);
    let known = known_signers(&place, "builder.signers", written.signers, signers)?;
    let level = level(place, Some(written.level))?;
    Ok(Builder { id: written.id, level, signers: known })
}

fn known_signers(
    place: &str,
    key: &'static str,
    names: Vec<String>,
    signers: &[SignerRule],
) -> Result<BTreeSet<String>, PolicyError> {
    let defined = || signers.iter().map(|signer| signer.name.as_str());
    for name in &names {
        if !defined().any(|defined| defined == name) {
            let nearest = toml_text::nearest(name, defined()).map(str::to_owned);
            let (place, signer) = (place.to_owned(), name.clone());
            return Err(PolicyError::UnknownSigner { place, signer, nearest });
        }
    }
    not_empty(key, names)
}

fn not_empty(key: &'static str, names: Vec<String>) -> Result<BTreeSet<String>, PolicyError> {
    if names.is_empty() {
        return Err(PolicyError::EmptyList { key });
    }
    Ok(names.into_iter().collect())
}

fn level(place: String, found: Option<u8>) -> Result<u8, PolicyError> {
    match found {
        Some(level) if LEVELS.contains(&level) => Ok(level),
        _ => Err(PolicyError::Level { place, found: found.unwrap_or(0) }),
    }
}

fn provenance(written: WrittenProvenance) -> Result<ProvenanceRule, PolicyError> {
    let level = match (written.rule, written.level) {
        (Demand::Off, None) => *LEVELS.start(),
        (_, found) => level("[provenance]".to_owned(), found)?,
    };
    let build_types =
        written.build_types.map(|types| not_empty("provenance.build_types", types)).transpose()?;
    let off = written.rule == Demand::Off;
    let source = match written.source.as_deref() {
        None if off => None,
        Some("") | None => return Err(PolicyError::Source),
        Some(ANY) => None,
        Some(source) => Some(normalise_repository(source)),
    };
    let reference = match reference(written.tag, written.branch, written.reference)? {
        None if !off => return Err(PolicyError::Reference),
        reference => reference.filter(|template| template.as_str() != ANY),
    };
    Ok(ProvenanceRule {
        demand: written.rule,
        level,
        source,
        reference,
        build_types,
        parameters: written.parameters.map(|names| names.into_iter().collect()),
    })
}

fn reference(
    tag: Option<String>,
    branch: Option<String>,
    whole: Option<String>,
) -> Result<Option<Template>, PolicyError> {
    let given: Vec<_> = [("refs/tags/", tag), ("refs/heads/", branch), ("", whole)]
        .into_iter()
        .filter_map(|(prefix, text)| Some((prefix, text?)))
        .collect();
    match given.as_slice() {
        [] => Ok(None),
        [(prefix, text)] if !text.is_empty() => Ok(Some(Template(format!("{prefix}{text}")))),
        _ => Err(PolicyError::Reference),
    }
}

fn sbom(written: WrittenSbom, signers: &[SignerRule]) -> Result<SbomRule, PolicyError> {
    let formats = written.formats.unwrap_or_else(|| vec![SbomFormat::Spdx, SbomFormat::CycloneDx]);
    if formats.is_empty() {
        return Err(PolicyError::EmptyList { key: "sbom.formats" });
    }
    let known = |names| known_signers("[sbom]", "sbom.signers", names, signers);
    let signers = written.signers.map(known).transpose()?;
    Ok(SbomRule { demand: written.rule, formats, signers })
}

fn artifacts(written: WrittenRelease) -> Result<BTreeSet<String>, PolicyError> {
    for path in &written.artifacts {
        // `{version}` is legal in a path, so the template is checked as it stands.
        path.parse::<ArtifactPath>()
            .map_err(|source| PolicyError::Artifact { path: path.clone(), source })?;
    }
    not_empty("release.artifacts", written.artifacts)
}
