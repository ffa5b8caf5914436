//! Demands that nothing can meet, and parts that contradict each other.

use std::collections::BTreeSet;

use super::super::Policy;
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
    if policy.builders.is_empty() && policy.unsigned.is_empty() {
        return Some("provenance is required, but no builder is trusted".to_owned());
    }
    let builders = policy.builders.iter().map(|builder| builder.level);
    let pinned = policy.unsigned.iter().map(|pinned| pinned.level);
    let low = builders.chain(pinned).all(|level| level < wanted);
    low.then(|| format!("level {wanted} is required, but no builder is trusted for it"))
}

fn provenance_quorum(policy: &Policy, demands: &Demands) -> Option<String> {
    let rule = &demands.provenance;
    if rule.demand != Demand::Require {
        return None;
    }
    let able = policy.builders.iter().filter(|builder| builder.level >= rule.level);
    let signers: BTreeSet<&String> = able.flat_map(|builder| &builder.signers).collect();
    too_few(policy, "provenance", rule.count.quorum, &signers)
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

/// A signer who is given by a pattern speaks only for the builder that it is itself.
fn mute_patterns(policy: &Policy) -> Vec<String> {
    let pairs = policy.builders.iter().flat_map(|builder| {
        let listed = policy.signers.iter().filter(|s| builder.signers.contains(&s.name));
        listed.map(move |signer| (builder, signer))
    });
    let mute = pairs.filter(|(builder, signer)| {
        signer.pattern().is_some_and(|pattern| !pattern.matches(&builder.id))
    });
    mute.map(|(builder, signer)| {
        format!(
            "signer {:?} is given by a pattern that builder {:?} does not match, so it can never speak for it",
            signer.name, builder.id
        )
    })
    .collect()
}
