//! Signers: who may sign, each exactly one of certificate identity and managed key.

use bonded_model::limits::{LOG_ENTRY_COUNT_MAX, SIGNED_TIMESTAMP_COUNT_MAX};

use super::super::error::PolicyError;
use super::super::written::WrittenSigner;
use crate::identity::{KeyRule, SignerRule, Who, Witnesses};
use crate::key::PublicKey;
use crate::legacy::{Forms, Legacy};
use crate::pattern::Pattern;
use crate::roots::Pin;

pub(super) fn signer(written: WrittenSigner) -> Result<SignerRule, PolicyError> {
    let name = written.name.clone();
    let witnesses = Witnesses {
        logs: count(&name, written.logs, LOG_ENTRY_COUNT_MAX)?,
        timestamps: count(&name, written.timestamps, SIGNED_TIMESTAMP_COUNT_MAX)?,
    };
    let legacy = forms(&name, written.legacy.as_deref())?;
    let root = written.root.as_deref().map(|text| pin(&name, text)).transpose()?;
    let who = match (&written.issuer, &written.public_key) {
        (Some(_), None) => certificate(written)?,
        (None, Some(_)) => Who::Key(key(written)?),
        _ => return Err(unclear(&name, "it needs either an issuer or a public_key")),
    };
    Ok(SignerRule { name, who, witnesses, legacy, root })
}

/// A number that a bundle can reach.
fn count(signer: &str, written: Option<usize>, max: usize) -> Result<usize, PolicyError> {
    match written {
        Some(count) if count == 0 || count > max => {
            Err(unclear(signer, "logs or timestamps is 0, or more than a bundle may hold"))
        }
        written => Ok(written.unwrap_or_default()),
    }
}

/// Forms are named one by one: an empty list reads like a decision and is none.
fn forms(signer: &str, written: Option<&[Legacy]>) -> Result<Forms, PolicyError> {
    match written {
        Some([]) => Err(unclear(signer, "its list of legacy forms is empty")),
        written => Ok(written.into_iter().flatten().copied().collect()),
    }
}

fn pin(signer: &str, text: &str) -> Result<Pin, PolicyError> {
    Pin::parse(text)
        .ok_or_else(|| unclear(signer, "its root is neither a digest nor the name of a trust root"))
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
