//! The rule that a file needs a declared checksum, and what was found in lists of them.

use super::Held;
use super::bench::Bench;
use super::judge::{Candidate, Judge, Rule};
use crate::code::Code;
use crate::finding::{Fault, Finding};
use crate::policy::{Count, Demand};
use crate::verdict::Role;

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let agreed = bench.sums.agreed.get(&held.at).into_iter().flatten();
    let agreed = agreed.map(|document| Candidate {
        document: *document,
        signers: Vec::new(),
        level: None,
        faults: Vec::new(),
        heard_at: None,
    });
    // Lists name files; an image has none that one could write down a checksum of. One that is there
    // all the same has to agree.
    let demand = if held.artifact.is_image() { Demand::Off } else { held.demands.checksums };
    let rule = Rule {
        role: Role::Checksum,
        name: None,
        demand,
        count: &Count::default(),
        missing: Fault::new(Code::SumMissing, "a checksum list or sidecar", "none"),
        too_few: Code::SumMissing,
        too_old: Code::SumMissing,
    };
    judge.decide(&rule, agreed.collect());
}

/// What stands against lists, whatever is demanded.
pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    let faults = bench.sums.faults.iter().map(|(at, document, severity, fault)| {
        bench.finding(*at, Some(*document), *severity, fault.clone())
    });
    faults.collect()
}
