//! Whether demands are as high as others, or higher.

use std::collections::BTreeSet;

use super::super::error::PolicyError;
use super::super::rule::{ANY, Age, Count, Demand, Demands, ProvenanceRule, SbomRule};
use super::people::People;
use super::widens;
use crate::sbom;

pub(super) fn check(
    place: &str,
    found: &Demands,
    base: &Demands,
    people: &People<'_>,
) -> Result<(), PolicyError> {
    provenance(&format!("{place}provenance."), &found.provenance, &base.provenance)?;
    sbom(&format!("{place}sbom."), &found.sbom, &base.sbom, people)?;
    no_less(&format!("{place}checksums.rule"), found.checksums, base.checksums)
}

pub(super) fn no_less(key: &str, found: Demand, base: Demand) -> Result<(), PolicyError> {
    if found < base { Err(widens(key, base.name(), found.name())) } else { Ok(()) }
}

/// What a rule that is off says of documents binds nobody.
fn provenance(
    place: &str,
    found: &ProvenanceRule,
    base: &ProvenanceRule,
) -> Result<(), PolicyError> {
    if base.demand == Demand::Off {
        return Ok(());
    }
    let key = |key: &str| format!("{place}{key}");
    no_less(&key("rule"), found.demand, base.demand)?;
    if found.level < base.level {
        return Err(widens(key("level"), base.level.to_string(), found.level.to_string()));
    }
    same(&key("source"), found.source.as_deref(), base.source.as_deref())?;
    let reference = |rule: &ProvenanceRule| rule.reference.as_ref().map(|t| t.as_str().to_owned());
    same(&key("ref"), reference(found).as_deref(), reference(base).as_deref())?;
    subset(&key("build_types"), found.build_types.as_ref(), base.build_types.as_ref())?;
    subset(&key("parameters"), found.parameters.as_ref(), base.parameters.as_ref())?;
    if let Some(wider) = found.expect.wider_than(&base.expect) {
        return Err(widens(key(wider), "what the base says", "something else"));
    }
    count(place, &found.count, &base.count)
}

fn sbom(
    place: &str,
    found: &SbomRule,
    base: &SbomRule,
    people: &People<'_>,
) -> Result<(), PolicyError> {
    if base.demand == Demand::Off {
        return Ok(());
    }
    no_less(&format!("{place}rule"), found.demand, base.demand)?;
    let names = |rule: &SbomRule| -> BTreeSet<String> {
        rule.formats.iter().map(|format| sbom::name(*format).to_owned()).collect()
    };
    subset(&format!("{place}formats"), Some(&names(found)), Some(&names(base)))?;
    people.check_list(&format!("{place}signers"), found.signers.as_ref(), base.signers.as_ref())?;
    count(place, &found.count, &base.count)
}

/// What the base leaves open may be said; what it says stays.
fn same(key: &str, found: Option<&str>, base: Option<&str>) -> Result<(), PolicyError> {
    if base.is_none() || found == base {
        return Ok(());
    }
    Err(widens(key, base.unwrap_or(ANY), found.unwrap_or(ANY)))
}

pub(super) fn subset(
    key: &str,
    found: Option<&BTreeSet<String>>,
    base: Option<&BTreeSet<String>>,
) -> Result<(), PolicyError> {
    let Some(base) = base else { return Ok(()) };
    if found.is_some_and(|found| found.is_subset(base)) {
        return Ok(());
    }
    let told = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    Err(widens(key, told(base), found.map_or_else(|| ANY.to_owned(), told)))
}

pub(super) fn count(place: &str, found: &Count, base: &Count) -> Result<(), PolicyError> {
    if found.quorum < base.quorum {
        let (base, found) = (base.quorum.to_string(), found.quorum.to_string());
        return Err(widens(format!("{place}quorum"), base, found));
    }
    age(place, found.max_age.as_ref(), base.max_age.as_ref())
}

/// What the base limits stays limited, to no more.
pub(super) fn age(place: &str, found: Option<&Age>, base: Option<&Age>) -> Result<(), PolicyError> {
    match (found, base) {
        (_, None) => Ok(()),
        (Some(found), Some(base)) if found.within(base) => Ok(()),
        (found, Some(base)) => {
            let found = found.map_or(ANY, Age::as_str);
            Err(widens(format!("{place}max_age"), base.as_str(), found))
        }
    }
}
