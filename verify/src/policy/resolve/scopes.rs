//! Scopes, selectors and the set of artifacts.

use std::collections::BTreeSet;

use bonded_model::{ArtifactPath, ContentKind, Platform, toml_text};

use super::super::ReleaseRule;
use super::super::error::PolicyError;
use super::super::rule::{Demands, Template};
use super::super::scope::{IMAGE, Scope, Selector};
use super::super::written::{WrittenRelease, WrittenScope};
use super::{not_empty, rules, unique};
use crate::identity::SignerRule;
use crate::pattern::Pattern;

/// Scopes in one policy. Each provenance is held against every one of them.
const SCOPE_COUNT_MAX: usize = 64;

/// A table that a scope leaves out is the one at the top level.
pub(super) fn scopes(
    written: Vec<WrittenScope>,
    top: &Demands,
    signers: &[SignerRule],
) -> Result<Vec<Scope>, PolicyError> {
    within("[[scope]]", written.len(), SCOPE_COUNT_MAX)?;
    unique("scope", written.iter().map(|scope| scope.name.as_str()))?;
    written.into_iter().map(|written| scope(written, top, signers)).collect()
}

pub(super) fn within(what: &'static str, found: usize, limit: usize) -> Result<(), PolicyError> {
    if found > limit { Err(PolicyError::TooMany { what, found, limit }) } else { Ok(()) }
}

fn scope(
    written: WrittenScope,
    top: &Demands,
    signers: &[SignerRule],
) -> Result<Scope, PolicyError> {
    let place = format!("scope {:?}", written.name);
    let selector = selector(&place, written.paths, written.kinds, written.platforms)?;
    if selector.is_open() {
        let reason =
            "it needs paths, kinds or platforms; what goes for everything stands at the top level";
        return Err(PolicyError::Unclear { place, reason });
    }
    let provenance = written.provenance.map(|w| rules::provenance(&place, w)).transpose()?;
    let sbom = written.sbom.map(|w| rules::sbom(&place, w, signers)).transpose()?;
    let demands = Demands {
        provenance: provenance.unwrap_or_else(|| top.provenance.clone()),
        sbom: sbom.unwrap_or_else(|| top.sbom.clone()),
        checksums: written.checksums.map_or(top.checksums, |written| written.rule),
    };
    Ok(Scope { name: written.name, selector, demands })
}

/// Patterns in one list, and characters in one of them.
const PATTERN_COUNT_MAX: usize = 256;

pub(in super::super) fn selector(
    place: &str,
    paths: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
    platforms: Option<Vec<String>>,
) -> Result<Selector, PolicyError> {
    Ok(Selector {
        paths: globs(place, "paths", paths)?,
        kinds: known_kinds(place, kinds)?,
        platforms: globs(place, "platforms", platforms)?,
    })
}

fn globs(
    place: &str,
    key: &'static str,
    written: Option<Vec<String>>,
) -> Result<Vec<Pattern>, PolicyError> {
    let Some(written) = written else { return Ok(Vec::new()) };
    let texts = not_empty(place, key, written)?;
    within("the patterns of one list", texts.len(), PATTERN_COUNT_MAX)?;
    texts.into_iter().map(|text| glob(place, key, text)).collect()
}

pub(super) fn glob(place: &str, key: &'static str, text: String) -> Result<Pattern, PolicyError> {
    let wrong = |found, expected: &str| PolicyError::Value {
        place: place.to_owned(),
        key,
        found,
        expected: expected.to_owned(),
    };
    if text.is_empty() || text.contains(Template::VERSION) || text.starts_with('/') {
        let expected = "a glob over the whole relative path; `*` stands where a version would";
        return Err(wrong(text, expected));
    }
    Pattern::glob(&text).map_err(|_too_large| wrong(text, "a short glob"))
}

fn known_kinds(place: &str, written: Option<Vec<String>>) -> Result<BTreeSet<String>, PolicyError> {
    let Some(written) = written else { return Ok(BTreeSet::new()) };
    let kinds = not_empty(place, "kinds", written)?;
    let known = || ContentKind::names().chain([IMAGE]);
    let Some(found) = kinds.iter().find(|kind| !known().any(|known| known == *kind)) else {
        return Ok(kinds);
    };
    let nearest = toml_text::nearest(found, known());
    Err(PolicyError::Value {
        place: place.to_owned(),
        key: "kinds",
        found: found.clone(),
        expected: nearest.map_or("a known kind".to_owned(), |near| format!("a kind; {near} is")),
    })
}

pub(super) fn release(written: WrittenRelease) -> Result<ReleaseRule, PolicyError> {
    const PLACE: &str = "[release]";
    let unclear = |reason| PolicyError::Unclear { place: PLACE.to_owned(), reason };
    if written.artifacts.is_none() && written.platforms.is_none() {
        return Err(unclear("it needs artifacts or platforms"));
    }
    if written.allowed.is_some() && written.artifacts.is_none() {
        return Err(unclear("without artifacts everything is allowed already"));
    }
    Ok(ReleaseRule {
        artifacts: written.artifacts.map(artifacts).transpose()?,
        allowed: globs(PLACE, "allowed", written.allowed)?,
        platforms: written.platforms.map(platforms).transpose()?,
    })
}

fn artifacts(written: Vec<String>) -> Result<BTreeSet<String>, PolicyError> {
    for path in &written {
        // `{version}` is legal in a path, so the template is checked as it stands.
        path.parse::<ArtifactPath>()
            .map_err(|source| PolicyError::Artifact { path: path.clone(), source })?;
    }
    not_empty("[release]", "artifacts", written)
}

fn platforms(written: Vec<String>) -> Result<BTreeSet<Platform>, PolicyError> {
    let platforms = not_empty("[release]", "platforms", written)?;
    let parsed = platforms.into_iter().map(|text| {
        text.parse().map_err(|source: bonded_model::descriptor::PlatformError| PolicyError::Value {
            place: "[release]".to_owned(),
            key: "platforms",
            found: text.clone(),
            expected: source.to_string(),
        })
    });
    parsed.collect()
}
