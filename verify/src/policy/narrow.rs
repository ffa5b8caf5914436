//! Whether a policy is as narrow as another, or narrower: whatever passes under it passes under the other.
//!
//! What cannot be compared is taken for wider. So a project may only repeat a pattern of its base or name one
//! identity that it matches, and may not trade a tag for a branch.

mod demands;
mod people;

use std::collections::BTreeSet;

use bonded_model::Digest;

use super::error::PolicyError;
use super::require::Requirement;
use super::scope::Scope;
use super::{Condition, LayoutRule, Pinned, Policy, ReleaseRule, SourceRule};
use people::People;

/// The first part of a policy that is wider than its base.
///
/// # Errors
/// [`PolicyError::Widens`] with that part.
pub(super) fn check(policy: &Policy, base: &Policy) -> Result<(), PolicyError> {
    let people = People { policy, base };
    people.check_signers()?;
    people.check_builders()?;
    demands::check("", &policy.demands, &base.demands, &people)?;
    scopes(policy, base, &people)?;
    release(&policy.release, &base.release)?;
    base.requirements.iter().try_for_each(|base| requirement(policy, base, &people))?;
    base.conditions.iter().try_for_each(|base| condition(policy, base))?;
    seen_by_conditions(policy, base)?;
    unsigned(policy, base)?;
    verifiers(policy, base, &people)?;
    source(policy, base, &people)?;
    npm(policy, base)?;
    layout(policy, base)?;
    exceptions(policy, base)
}

pub(super) fn widens(
    key: impl Into<String>,
    base: impl Into<String>,
    found: impl Into<String>,
) -> PolicyError {
    PolicyError::Widens { key: key.into(), base: base.into(), found: found.into() }
}

/// A scope of the base selects what it selected and keeps its place among the others of the base. One that is
/// new may take artifacts from any of them and from the top level, so it is as narrow as each.
fn scopes(policy: &Policy, base: &Policy, people: &People<'_>) -> Result<(), PolicyError> {
    for scope in &policy.scopes {
        let place = format!("scope {:?}: ", scope.name);
        let held: Vec<&Scope> = base.scopes.iter().filter(|b| b.name == scope.name).collect();
        if held.is_empty() {
            for demands in base.all_demands() {
                demands::check(&place, &scope.demands, demands, people)?;
            }
        }
        for base in held {
            if base.selector != scope.selector {
                return Err(widens(place, base.selector.told(), scope.selector.told()));
            }
            demands::check(&place, &scope.demands, &base.demands, people)?;
        }
    }
    Ok(())
}

fn release(found: &ReleaseRule, base: &ReleaseRule) -> Result<(), PolicyError> {
    let told = |rule: &ReleaseRule| {
        let paths = rule.artifacts.iter().flatten().cloned();
        let allowed = rule.allowed.iter().map(|pattern| pattern.as_str().to_owned());
        paths.chain(allowed).collect::<Vec<_>>().join(", ")
    };
    let added = || found.allowed.iter().any(|pattern| !base.allowed.contains(pattern));
    if base.artifacts.is_some() && (found.artifacts != base.artifacts || added()) {
        return Err(widens("release.artifacts", told(base), told(found)));
    }
    if base.platforms.is_some() && found.platforms != base.platforms {
        let told = |rule: &ReleaseRule| {
            let platforms = rule.platforms.iter().flatten().map(ToString::to_string);
            platforms.collect::<Vec<_>>().join(", ")
        };
        return Err(widens("release.platforms", told(base), told(found)));
    }
    Ok(())
}

fn requirement(
    policy: &Policy,
    base: &Requirement,
    people: &People<'_>,
) -> Result<(), PolicyError> {
    let place = format!("requirement {:?}: ", base.name);
    let mut named = policy.requirements.iter().filter(|found| found.name == base.name);
    let found = named.next().ok_or_else(|| widens(&place, base.told(), "nothing"))?;
    demands::no_less(&format!("{place}rule"), found.demand, base.demand)?;
    if found.of != base.of || found.selector != base.selector {
        return Err(widens(place, base.selector.told(), found.selector.told()));
    }
    // One of these types, by one of these signers, may say FAILED.
    if found.predicates != base.predicates {
        return Err(widens(place, base.told(), found.told()));
    }
    people.heard(&format!("{place}signers"), &found.signers, &base.signers)?;
    demands::count(&place, &found.count, &base.count)
}

/// A package is the one of the base, at its registry, and no less is demanded of it.
fn npm(policy: &Policy, base: &Policy) -> Result<(), PolicyError> {
    if base.npm.is_some() && policy.npm != base.npm {
        let told = |policy: &Policy| {
            let rule = policy.npm.as_ref();
            rule.map_or_else(String::new, |npm| format!("{} at {}", npm.package, npm.registry))
        };
        return Err(widens("[npm]", told(base), told(policy)));
    }
    Ok(())
}

/// The layout is that of the base, by the same owners.
fn layout(policy: &Policy, base: &Policy) -> Result<(), PolicyError> {
    if base.layout.is_some() && policy.layout != base.layout {
        let told = |policy: &Policy| {
            policy.layout.as_ref().map_or_else(|| "nothing".to_owned(), LayoutRule::told)
        };
        return Err(widens("[layout]", told(base), told(policy)));
    }
    Ok(())
}

/// An expression stays what it is: nobody can tell whether another is narrower.
fn condition(policy: &Policy, base: &Condition) -> Result<(), PolicyError> {
    let place = format!("expression {:?}: ", base.name);
    let mut named = policy.conditions.iter().filter(|found| found.name == base.name);
    let found = named.next().ok_or_else(|| widens(&place, base.told(), "nothing"))?;
    demands::no_less(&format!("{place}rule"), found.demand, base.demand)?;
    let same = found.expression == base.expression
        && found.of == base.of
        && found.selector == base.selector;
    if same { Ok(()) } else { Err(widens(place, base.told(), found.told())) }
}

/// Expressions can ask that something is not there, so what they look at may not become less either: who is
/// known as a signer, and what is accepted.
fn seen_by_conditions(policy: &Policy, base: &Policy) -> Result<(), PolicyError> {
    let seen = "what its expressions look at";
    if base.conditions.is_empty() {
        return Ok(());
    }
    for found in &policy.signers {
        if !base.signers.contains(found) {
            return Err(widens(format!("signer {:?}", found.name), seen, "another"));
        }
    }
    for found in &policy.builders {
        if !base.builders.contains(found) {
            return Err(widens(format!("builder {:?}", found.id), seen, "another"));
        }
    }
    if policy.verifiers != base.verifiers {
        return Err(widens("[[verifier]]", seen, "another"));
    }
    if policy.demands != base.demands {
        return Err(widens("[provenance], [sbom] or [checksums]", seen, "something else"));
    }
    if policy.scopes != base.scopes {
        return Err(widens("[[scope]]", seen, "something else"));
    }
    let changed = base.requirements.iter().find(|base| !policy.requirements.contains(base));
    changed.map_or(Ok(()), |base| {
        Err(widens(format!("requirement {:?}", base.name), seen, "something else"))
    })
}

/// What needs no signature is what needs none under the base.
fn unsigned(policy: &Policy, base: &Policy) -> Result<(), PolicyError> {
    for found in &policy.unsigned {
        let same = |base: &&Pinned| base.digest == found.digest && base.builder == found.builder;
        if base.unsigned.iter().find(same).is_none_or(|base| found.level > base.level) {
            let key = format!("unsigned {}", found.digest);
            return Err(widens(key, "no such document", found.builder.as_str()));
        }
    }
    Ok(())
}

/// What is asked of sources is no less, and who is heard on them is the same: each may say FAILED.
fn source(policy: &Policy, base: &Policy, people: &People<'_>) -> Result<(), PolicyError> {
    let Some(base) = &base.source else { return Ok(()) };
    let Some(found) = &policy.source else { return Err(widens("[source]", "required", "none")) };
    demands::no_less("source.rule", found.demand, base.demand)?;
    if found.level < base.level {
        return Err(widens("source.level", base.level.to_string(), found.level.to_string()));
    }
    if base.reference.is_some() && found.reference != base.reference {
        return Err(widens("source.ref", "that", "another"));
    }
    demands::age("source.", found.max_age.as_ref(), base.max_age.as_ref())?;
    let ids = |rule: &SourceRule| rule.verifiers.iter().map(|v| v.id.clone()).collect();
    let (mine, theirs): (BTreeSet<_>, BTreeSet<_>) = (ids(found), ids(base));
    if mine != theirs {
        let told = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>().join(", ");
        return Err(widens("source.verifiers", told(theirs), told(mine)));
    }
    for held in &base.verifiers {
        let key = format!("source.verifiers {:?}", held.id);
        for verifier in found.verifiers.iter().filter(|verifier| verifier.id == held.id) {
            if verifier.level > held.level {
                return Err(widens(&key, held.level.to_string(), verifier.level.to_string()));
            }
            people.heard(&key, &verifier.signers, &held.signers)?;
        }
    }
    Ok(())
}

/// A verifier is one of the base's and is trusted for no more. It is heard where it was heard, since it may say
/// FAILED.
fn verifiers(policy: &Policy, base: &Policy, people: &People<'_>) -> Result<(), PolicyError> {
    for found in &policy.verifiers {
        let key = format!("verifier {:?}", found.id);
        let Some(base) = base.verifier(&found.id) else {
            return Err(widens(key, "no such verifier", "a new one"));
        };
        if found.level > base.level {
            let (base, found) = (base.level.to_string(), found.level.to_string());
            return Err(widens(format!("{key}: level"), base, found));
        }
        if found.resource != base.resource || found.release != base.release {
            return Err(widens(format!("{key}: resource or release"), "that", "another"));
        }
        people.heard(&format!("{key}: signers"), &found.signers, &base.signers)?;
        let texts = |policies: &Option<BTreeSet<Digest>>| -> Option<BTreeSet<String>> {
            policies.as_ref().map(|digests| digests.iter().map(ToString::to_string).collect())
        };
        let (policies, held) = (texts(&found.policies), texts(&base.policies));
        demands::subset(&format!("{key}: policies"), policies.as_ref(), held.as_ref())?;
        demands::age(&format!("{key}: "), found.max_age.as_ref(), base.max_age.as_ref())?;
    }
    Ok(())
}

/// An exception is one of the base's, and ends no later.
fn exceptions(policy: &Policy, base: &Policy) -> Result<(), PolicyError> {
    for found in &policy.exceptions {
        let same = base.exceptions.iter().any(|base| {
            found.code == base.code
                && found.name == base.name
                && found.paths == base.paths
                && found.versions == base.versions
                && found.until <= base.until
        });
        if !same {
            let key = format!("exception for {}", found.code);
            return Err(widens(key, "no such exception", format!("until {}", found.until)));
        }
    }
    Ok(())
}
