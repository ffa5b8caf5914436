//! The rule that an artifact needs provenance, or the summary of a verifier in its place.

use super::Held;
use super::bench::Bench;
use super::judge::{Candidate, Judge, Rule};
use super::vsa;
use crate::attestation::Purpose;
use crate::code::Code;
use crate::finding::Fault;
use crate::policy::Count;
use crate::verdict::Role;

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let wanted = &held.demands.provenance;
    let rule = Rule {
        role: Role::Provenance,
        name: None,
        demand: wanted.demand,
        count: &wanted.count,
        missing: Fault::new(Code::ProvMissing, "provenance that names the file's digest", "none"),
        too_few: Code::ProvQuorum,
        too_old: Code::ProvAge,
    };
    // How old a summary may be is held against the time that it states.
    let count = Count { quorum: wanted.count.quorum, max_age: None };
    let instead = Rule {
        role: Role::Summary,
        count: &count,
        missing: rule.missing.clone(),
        too_old: Code::VsaAge,
        ..rule
    };
    judge.decide_either((&rule, candidates(bench, held)), (&instead, vsa::candidates(bench, held)));
}

fn candidates(bench: &Bench<'_>, held: &Held<'_>) -> Vec<Candidate> {
    let candidates = bench.heard(held.at).enumerate().filter_map(|(at, (fact, covering))| {
        let attestation = &covering.attestation;
        if !matches!(attestation.purpose, Purpose::Provenance(_) | Purpose::Unreadable) {
            return None;
        }
        let mut faults = attestation.faults_under(held.under);
        if attestation.statement.is_some() {
            faults.extend(bench.subject_fault(covering, held.at, Code::ProvSubject));
        }
        let signers = attestation.speakers_under(held.under);
        let level = attestation.assessed(held.under).and_then(|assessed| assessed.level);
        let document = fact.document.digest;
        Some(Candidate { document, signers, level, faults, heard_at: Some(at) })
    });
    candidates.collect()
}
