//! Demands that nothing can meet, and parts that contradict each other.

use std::collections::BTreeSet;

use super::super::Policy;
use super::super::VerifierRule;
use super::super::rule::{Demand, Demands};
use crate::identity::Who;

pub(super) fn texts(policy: &Policy) -> Vec<String> {
    let of_demands = policy.placed_demands().flat_map(|(place, demands)| {
        let unmet = [
            builders(policy, demands),
            provenance_quorum(policy, demands),
            sbom_quorum(policy, demands),
        ];
        unmet.into_iter().flatten().map(move |text| format!("{place}{text}"))
    });
    let requirements = policy.requirements.iter().filter_map(|requirement| {
        let what = format!("requirement {:?}", requirement.name);
        let signers = requirement.signers.iter().collect();
        let required = requirement.demand == Demand::Require;
        too_few(policy, &what, requirement.count.quorum, &signers).filter(|_| required)
    });
    of_demands
        .chain(requirements)
        .chain(ageless_keys(policy))
        .chain(mute_patterns(policy))
        .chain(low_sources(policy))
        .collect()
}

/// The age of a signature by key is not known, so nothing is young enough where only keys may sign.
fn ageless_keys(policy: &Policy) -> Vec<String> {
    let of_builders = || policy.builders.iter().flat_map(|builder| &builder.signers).collect();
    let of_demands = policy.placed_demands().flat_map(|(place, demands)| {
        let (provenance, sbom) = (&demands.provenance, &demands.sbom);
        let signers = match &sbom.signers {
            Some(signers) => signers.iter().collect(),
            None => policy.signers.iter().map(|signer| &signer.name).collect(),
        };
        [
            (format!("{place}[provenance]"), provenance.demand, &provenance.count, of_builders()),
            (format!("{place}[sbom]"), sbom.demand, &sbom.count, signers),
        ]
    });
    let of_requirements = policy.requirements.iter().map(|requirement| {
        let place = format!("requirement {:?}", requirement.name);
        (place, requirement.demand, &requirement.count, requirement.signers.iter().collect())
    });
    let asked = of_demands.chain(of_requirements).filter(|(_, demand, count, names)| {
        *demand != Demand::Off && count.max_age.is_some() && only_keys(policy, names)
    });
    asked
        .map(|(place, ..)| {
            format!(
                "{place} has max_age, but only keys may sign, whose signatures have no known age"
            )
        })
        .collect()
}

fn only_keys(policy: &Policy, names: &BTreeSet<&String>) -> bool {
    let mut named = policy.signers.iter().filter(|signer| names.contains(&signer.name));
    !names.is_empty() && named.all(|signer| matches!(signer.who, Who::Key(_)))
}

fn builders(policy: &Policy, demands: &Demands) -> Option<String> {
    let wanted = demands.provenance.level;
    if demands.provenance.demand != Demand::Require {
        return None;
    }
    let builders = policy.builders.iter().map(|builder| builder.level);
    let pinned = policy.unsigned.iter().map(|pinned| pinned.level);
    let verifiers = of_artifacts(policy).map(|verifier| verifier.level);
    let mut trusted = builders.chain(pinned).chain(verifiers).peekable();
    if trusted.peek().is_none() {
        return Some("provenance is required, but no builder is trusted".to_owned());
    }
    let low = trusted.all(|level| level < wanted);
    low.then(|| format!("level {wanted} is required, but no builder is trusted for it"))
}

fn provenance_quorum(policy: &Policy, demands: &Demands) -> Option<String> {
    let rule = &demands.provenance;
    if rule.demand != Demand::Require {
        return None;
    }
    let able = policy.builders.iter().filter(|builder| builder.level >= rule.level);
    let signers: BTreeSet<&String> = able.flat_map(|builder| &builder.signers).collect();
    let verifiers = of_artifacts(policy).filter(|verifier| verifier.level >= rule.level);
    let instead: BTreeSet<&String> = verifiers.flat_map(|verifier| &verifier.signers).collect();
    too_few(policy, "provenance", rule.count.quorum, &instead)?;
    too_few(policy, "provenance", rule.count.quorum, &signers)
}

/// The verifiers whose summaries can stand in place of provenance.
fn of_artifacts(policy: &Policy) -> impl Iterator<Item = &VerifierRule> {
    policy.verifiers.iter().filter(|verifier| verifier.resource.is_some())
}

fn sbom_quorum(policy: &Policy, demands: &Demands) -> Option<String> {
    let rule = &demands.sbom;
    if rule.demand != Demand::Require {
        return None;
    }
    let signers = match &rule.signers {
        Some(signers) => signers.iter().collect(),
        None => policy.signers.iter().map(|signer| &signer.name).collect(),
    };
    too_few(policy, "an SBOM", rule.count.quorum, &signers)
}

/// A quorum counts distinct identities: one key under two names is one.
fn too_few(
    policy: &Policy,
    what: &str,
    quorum: usize,
    names: &BTreeSet<&String>,
) -> Option<String> {
    let named = policy.signers.iter().filter(|signer| names.contains(&signer.name));
    let (mut keys, mut others) = (BTreeSet::new(), 0);
    for signer in named {
        match &signer.who {
            Who::Key(rule) => drop(keys.insert(rule.key.digest())),
            Who::Certificate { .. } => others += 1,
        }
    }
    let count = keys.len() + others;
    (quorum > 1 && count < quorum)
        .then(|| format!("{what} needs {quorum} distinct signers, but only {count} may sign it"))
}

fn low_sources(policy: &Policy) -> Option<String> {
    let source = policy.source.as_ref().filter(|source| source.demand == Demand::Require)?;
    let low = source.verifiers.iter().all(|verifier| verifier.level < source.level);
    low.then(|| {
        format!("[source] requires level {}, for which no verifier is trusted", source.level)
    })
}

/// A signer who is given by a pattern speaks only for the builder or verifier that it is itself.
fn mute_patterns(policy: &Policy) -> Vec<String> {
    let builders = policy.builders.iter().map(|b| ("builder", &b.id, &b.signers));
    let verifiers = policy.verifiers.iter().map(|v| ("verifier", &v.id, &v.signers));
    let sources = policy.source.iter().flat_map(|source| &source.verifiers);
    let sources = sources.map(|v| ("verifier", &v.id, &v.signers));
    let pairs = builders.chain(verifiers).chain(sources).flat_map(|(what, id, signers)| {
        let listed = policy.signers.iter().filter(|signer| signers.contains(&signer.name));
        listed.map(move |signer| (what, id, signer))
    });
    let mute = pairs
        .filter(|(_, id, signer)| signer.pattern().is_some_and(|pattern| !pattern.matches(id)));
    mute.map(|(what, id, signer)| {
        format!(
            "signer {:?} is given by a pattern that {what} {id:?} does not match, so it can never speak for it",
            signer.name
        )
    })
    .collect()
}
