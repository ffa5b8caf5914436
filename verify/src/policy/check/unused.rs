//! Parts that have no effect.

use std::collections::BTreeSet;

use bonded_model::Timestamp;

use super::super::Policy;
use super::super::scope::Selector;
use crate::pattern::Pattern;

pub(super) fn texts(policy: &Policy, now: Option<Timestamp>) -> Vec<String> {
    let dead = [
        idle_signers(policy),
        low_levels(policy),
        shadowed_scopes(policy),
        empty_scopes(policy),
        now.map_or_else(Vec::new, |now| ended_exceptions(policy, now)),
    ];
    dead.concat()
}

fn ended_exceptions(policy: &Policy, now: Timestamp) -> Vec<String> {
    let ended = policy.exceptions.iter().filter(|exception| exception.until <= now);
    ended
        .map(|exception| {
            format!("the exception for {} ended at {}", exception.code, exception.until)
        })
        .collect()
}

fn idle_signers(policy: &Policy) -> Vec<String> {
    let named: BTreeSet<&String> = policy
        .builders
        .iter()
        .flat_map(|builder| &builder.signers)
        .chain(policy.all_demands().flat_map(|demands| demands.sbom.signers.iter().flatten()))
        .chain(policy.requirements.iter().flat_map(|requirement| &requirement.signers))
        .chain(policy.npm.iter().flat_map(|npm| &npm.signers))
        .chain(policy.verifiers.iter().flat_map(|verifier| &verifier.signers))
        .chain(policy.source.iter().flat_map(|s| &s.verifiers).flat_map(|v| &v.signers))
        .chain(policy.layout.iter().flat_map(|layout| &layout.signers))
        .collect();
    // An expression may compare the names of signers, which stand in quotes there.
    let compared = |name: &str| {
        let quoted = [format!("\"{name}\""), format!("'{name}'")];
        let mut texts = policy.conditions.iter().map(|condition| condition.expression.as_str());
        texts.any(|text| quoted.iter().any(|quoted| text.contains(quoted)))
    };
    let idle = policy
        .signers
        .iter()
        .filter(|signer| !named.contains(&signer.name) && !compared(&signer.name));
    idle.map(|signer| format!("signer {:?} is named by no builder and no rule", signer.name))
        .collect()
}

fn low_levels(policy: &Policy) -> Vec<String> {
    let wanted = policy.all_demands().map(|demands| demands.provenance.level).min();
    let wanted = wanted.unwrap_or_default();
    let low = policy.builders.iter().filter(|builder| builder.level < wanted);
    let low = low.map(|builder| ("builder", &builder.id));
    let verifiers = policy.verifiers.iter().filter(|verifier| verifier.level < wanted);
    let low = low.chain(verifiers.map(|verifier| ("verifier", &verifier.id)));
    let low = low.map(|(what, id)| format!("{what} {id:?} is below the required level {wanted}"));
    low.chain(low_for_releases(policy, wanted)).collect()
}

/// Verifiers who are trusted for some artifacts, and whose summaries of releases count for none.
fn low_for_releases(policy: &Policy, least: u8) -> impl Iterator<Item = String> {
    let most = policy.highest_required_level();
    let of_releases = policy.verifiers.iter().filter(|verifier| verifier.release.is_some());
    let low = of_releases.filter(move |verifier| (least..most).contains(&verifier.level));
    low.map(move |verifier| {
        let id = &verifier.id;
        format!("the release of verifier {id:?} is below the highest required level {most}")
    })
}

fn shadowed_scopes(policy: &Policy) -> Vec<String> {
    let shadowed = policy.scopes.iter().enumerate().filter_map(|(at, scope)| {
        let mut earlier = policy.scopes.iter().take(at);
        let first = earlier.find(|earlier| covers(&earlier.selector, &scope.selector))?;
        Some(format!(
            "scope {:?} is never reached: scope {:?} before it takes all that it selects",
            scope.name, first.name
        ))
    });
    shadowed.collect()
}

/// Versions as they may look, to hold lists with `{version}` against patterns.
const VERSIONS: [&str; 3] = ["{version}", "1", "v1.2.3"];

fn empty_scopes(policy: &Policy) -> Vec<String> {
    let Some(artifacts) = &policy.release.artifacts else { return Vec::new() };
    if !policy.release.allowed.is_empty() {
        return Vec::new();
    }
    let reaches = |selector: &Selector| {
        let paths = &selector.paths;
        let matched = |path: &String| {
            let filled = VERSIONS.map(|version| path.replace("{version}", version));
            filled.iter().any(|path| paths.iter().any(|pattern| pattern.matches(path)))
        };
        paths.is_empty() || artifacts.iter().any(matched)
    };
    let scopes = policy.scopes.iter().map(|scope| ("scope", &scope.name, &scope.selector));
    let requirements = policy.requirements.iter();
    let requirements = requirements.map(|r| ("requirement", &r.name, &r.selector));
    let conditions = policy.conditions.iter().map(|c| ("expression", &c.name, &c.selector));
    let empty =
        scopes.chain(requirements).chain(conditions).filter(|(_, _, selector)| !reaches(selector));
    empty
        .map(|(what, name, _)| format!("{what} {name:?} selects none of the listed artifacts"))
        .collect()
}

/// Whether all that the second selects is selected by the first, as far as can be told.
fn covers(first: &Selector, second: &Selector) -> bool {
    let kinds = first.kinds.is_empty()
        || (!second.kinds.is_empty() && second.kinds.is_subset(&first.kinds));
    kinds
        && covers_all(&first.paths, &second.paths)
        && covers_all(&first.platforms, &second.platforms)
}

fn covers_all(first: &[Pattern], second: &[Pattern]) -> bool {
    let covered = |pattern: &Pattern| first.iter().any(|first| includes(first, pattern));
    first.is_empty() || (!second.is_empty() && second.iter().all(covered))
}

/// Whether a glob matches texts that another stands for: with nothing, a word, and several segments for
/// its stars, the word being one that no literal holds.
fn includes(first: &Pattern, second: &Pattern) -> bool {
    const WORD: &str = "\u{1}";
    const DEEP: &str = "\u{1}/\u{1}/\u{1}/\u{1}/\u{1}/\u{1}/\u{1}";
    let samples = ["", WORD, DEEP].into_iter().flat_map(|many| {
        ["", WORD].map(|one| second.as_str().replace("**", many).replace('*', one))
    });
    { samples }.all(|sample| first.matches(&sample))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_includes_what_is_narrower() {
        let glob = |text| Pattern::glob(text).unwrap();
        for (first, second) in
            [("**", "a/*"), ("a/*", "a/b"), ("a/*", "a/*"), ("a/**", "a/*/c"), ("*.gz", "x.gz")]
        {
            assert!(includes(&glob(first), &glob(second)), "{first} {second}");
        }
        for (first, second) in
            [("a/*", "a/**"), ("a/*/*", "a/**"), ("a/b", "a/*"), ("*", "a/b"), ("a*", "*")]
        {
            assert!(!includes(&glob(first), &glob(second)), "{first} {second}");
        }
    }
}
