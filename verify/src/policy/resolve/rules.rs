//! Rules: what each kind of paper must say.

use bonded_model::sbom::SbomFormat;
use bonded_model::slsa::normalise_repository;

use super::super::error::PolicyError;
use super::super::expect;
use super::super::rule::{ANY, Age, Count, Demand, ProvenanceRule, SbomRule, Template};
use super::super::written::{WrittenProvenance, WrittenSbom};
use super::{known_signers, not_empty};
use crate::identity::SignerRule;

/// The levels of the SLSA build track that a builder can be trusted for.
const LEVELS: std::ops::RangeInclusive<u8> = 1..=3;

/// Signers that one rule can ask for: more than any project has, and few enough to count them in no time.
const QUORUM_MAX: usize = 64;

pub(super) fn level(place: String, found: Option<u8>) -> Result<u8, PolicyError> {
    match found {
        Some(level) if LEVELS.contains(&level) => Ok(level),
        _ => Err(PolicyError::Level { place, found: found.unwrap_or(0) }),
    }
}

pub(super) fn provenance(
    place: &str,
    mut written: WrittenProvenance,
) -> Result<ProvenanceRule, PolicyError> {
    let expect = expect::resolve(place, &mut written)?;
    let demand = written.rule.unwrap_or_default();
    let off = demand == Demand::Off;
    let level = match written.level {
        None if off => *LEVELS.start(),
        found => level(place.to_owned(), found)?,
    };
    let build_types = written.build_types.map(|types| not_empty(place, "build_types", types));
    let source = match written.source.as_deref() {
        None if off => None,
        Some("") | None => return Err(PolicyError::Source { place: place.to_owned() }),
        Some(ANY) => None,
        Some(source) => Some(normalise_repository(source)),
    };
    let unclear = || PolicyError::Reference { place: place.to_owned() };
    let reference =
        reference(written.tag, written.branch, written.reference).ok_or_else(unclear)?;
    let given = [reference.is_some(), expect.versioned_tag.is_some()];
    if given == [true, true] || (given == [false, false] && !off) {
        return Err(unclear());
    }
    Ok(ProvenanceRule {
        demand,
        level,
        source,
        reference: reference.filter(|template| template.as_str() != ANY),
        build_types: build_types.transpose()?,
        parameters: written.parameters.map(|names| names.into_iter().collect()),
        expect,
        count: count(place, written.quorum, written.max_age.as_deref())?,
    })
}

/// `None` for what is neither no ref nor exactly one.
fn reference(
    tag: Option<String>,
    branch: Option<String>,
    whole: Option<String>,
) -> Option<Option<Template>> {
    let given: Vec<_> = [("refs/tags/", tag), ("refs/heads/", branch), ("", whole)]
        .into_iter()
        .filter_map(|(prefix, text)| Some((prefix, text?)))
        .collect();
    match given.as_slice() {
        [] => Some(None),
        [(prefix, text)] if !text.is_empty() => Some(Some(Template(format!("{prefix}{text}")))),
        _ => None,
    }
}

pub(super) fn sbom(
    place: &str,
    written: WrittenSbom,
    signers: &[SignerRule],
) -> Result<SbomRule, PolicyError> {
    let formats = written.formats.unwrap_or_else(|| vec![SbomFormat::Spdx, SbomFormat::CycloneDx]);
    if formats.is_empty() {
        return Err(PolicyError::EmptyList { key: format!("formats of {place}") });
    }
    let known = |names| known_signers(place, names, signers);
    Ok(SbomRule {
        demand: written.rule.unwrap_or_default(),
        formats,
        signers: written.signers.map(known).transpose()?,
        count: count(place, written.quorum, written.max_age.as_deref())?,
    })
}

pub(super) fn count(
    place: &str,
    quorum: Option<usize>,
    max_age: Option<&str>,
) -> Result<Count, PolicyError> {
    let value = |key, found: &dyn std::fmt::Display, expected: &str| PolicyError::Value {
        place: place.to_owned(),
        key,
        found: found.to_string(),
        expected: expected.to_owned(),
    };
    let quorum = quorum.unwrap_or(1);
    if quorum == 0 || quorum > QUORUM_MAX {
        return Err(value("quorum", &quorum, "a number of signers from 1 to 64"));
    }
    let age = |text: &str| {
        Age::parse(text).ok_or_else(|| value("max_age", &text, "a length of time such as 30d"))
    };
    Ok(Count { quorum, max_age: max_age.map(age).transpose()? })
}
