//! From the policy as written to the policy as checked.

mod papers;
mod rules;
pub(super) mod scopes;
mod signers;

use std::collections::BTreeSet;

use bonded_model::{Algorithm, Digest, toml_text};

use super::error::PolicyError;
use super::rule::{Builder, Demands, Pinned};
use super::written::{Written, WrittenBuilder, WrittenUnsigned};
use super::{Policy, ReleaseRule, layout, source, verifier};
use crate::identity::SignerRule;

/// Signers in one policy. Each signature is held against every one of them, and a pattern takes up to 256 KiB.
const SIGNER_COUNT_MAX: usize = 256;

/// Builders in one policy. Findings list them.
const BUILDER_COUNT_MAX: usize = 256;

/// Documents without a signature in one policy. Somebody has to have looked at each.
const UNSIGNED_COUNT_MAX: usize = 256;

pub(super) fn resolve(written: Written, digest: Digest) -> Result<Policy, PolicyError> {
    if written.version != 1 {
        return Err(PolicyError::Version { found: written.version });
    }
    unique("policy", std::iter::once(written.name.as_str()))?;
    scopes::within("[[signer]]", written.signer.len(), SIGNER_COUNT_MAX)?;
    scopes::within("[[builder]]", written.builder.len(), BUILDER_COUNT_MAX)?;
    scopes::within("[[unsigned]]", written.unsigned.len(), UNSIGNED_COUNT_MAX)?;
    scopes::within("[[verifier]]", written.verifier.len(), verifier::VERIFIER_COUNT_MAX)?;
    unique("signer", written.signer.iter().map(|signer| signer.name.as_str()))?;
    unique("builder", written.builder.iter().map(|builder| builder.id.as_str()))?;
    let signers: Vec<_> =
        written.signer.into_iter().map(signers::signer).collect::<Result<_, _>>()?;
    let builders = written.builder.into_iter().map(|written| builder(written, &signers));
    let builders = builders.collect::<Result<_, _>>()?;
    let provenance = written.provenance.ok_or_else(|| PolicyError::Unclear {
        place: "[provenance]".to_owned(),
        reason: "it has to be there; rule = \"off\" asks for none",
    })?;
    let demands = Demands {
        provenance: rules::provenance("[provenance]", provenance)?,
        sbom: rules::sbom("[sbom]", written.sbom.unwrap_or_default(), &signers)?,
        checksums: written.checksums.unwrap_or_default().rule,
    };
    unique("unsigned document", written.unsigned.iter().map(|one| one.digest.as_str()))?;
    let unsigned = written.unsigned.into_iter().map(unsigned).collect::<Result<_, _>>()?;
    unique("verifier", written.verifier.iter().map(|verifier| verifier.id.as_str()))?;
    let verifiers = written.verifier.into_iter().map(|one| verifier::resolve(one, &signers));
    let verifiers = verifiers.collect::<Result<_, _>>()?;
    let requirements = papers::requirements(written.require, &signers)?;
    let conditions = papers::conditions(written.expression)?;
    Ok(Policy {
        name: written.name,
        digest,
        builders,
        unsigned,
        verifiers,
        source: written.source.map(|written| source::resolve(written, &signers)).transpose()?,
        npm: written.npm.map(|written| papers::npm(written, &signers)).transpose()?,
        layout: written.layout.map(|w| layout::resolve(w, &signers)).transpose()?,
        scopes: scopes::scopes(written.scope, &demands, &signers)?,
        demands,
        exceptions: papers::exceptions(written.exception, &requirements, &conditions)?,
        requirements,
        conditions,
        release: written.release.map_or(Ok(ReleaseRule::default()), scopes::release)?,
        signers,
    })
}

pub(super) fn unique<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), PolicyError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return Err(PolicyError::Name { what, name: name.to_owned() });
        }
    }
    Ok(())
}

fn builder(written: WrittenBuilder, signers: &[SignerRule]) -> Result<Builder, PolicyError> {
    let place = format!("builder {:?}", written.id);
    let known = known_signers(&place, written.signers, signers)?;
    let level = level(&place, written.level)?;
    Ok(Builder { id: written.id, level, signers: known })
}

/// A level of the build track that somebody can be trusted for.
pub(super) fn level(place: &str, found: u8) -> Result<u8, PolicyError> {
    rules::level(place.to_owned(), Some(found))
}

fn unsigned(written: WrittenUnsigned) -> Result<Pinned, PolicyError> {
    let place = || format!("unsigned {:?}", written.digest);
    let value = |key, found: String, expected: &str| PolicyError::Value {
        place: place(),
        key,
        found,
        expected: expected.to_owned(),
    };
    let digest = written.digest.parse::<Digest>().ok(); // what is no digest is told as such
    let digest = digest.filter(|digest| digest.algorithm() == Algorithm::Sha256);
    let expected = "`sha256:` and 64 hex digits";
    let digest = digest.ok_or_else(|| value("digest", written.digest.clone(), expected))?;
    if written.level != 1 {
        let expected = "1, the highest level without a signature";
        return Err(value("level", written.level.to_string(), expected));
    }
    if written.reason.trim().is_empty() || written.builder.is_empty() {
        let reason = "it needs a reason and a builder";
        return Err(PolicyError::Unclear { place: place(), reason });
    }
    Ok(Pinned { digest, reason: written.reason, builder: written.builder, level: 1 })
}

pub(super) fn known_signers(
    place: &str,
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
    not_empty(place, "signers", names)
}

pub(super) fn not_empty(
    place: &str,
    key: &str,
    names: Vec<String>,
) -> Result<BTreeSet<String>, PolicyError> {
    if names.is_empty() {
        return Err(PolicyError::EmptyList { key: format!("{key} of {place}") });
    }
    Ok(names.into_iter().collect())
}
