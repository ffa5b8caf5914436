//! Summaries in place of provenance: candidates for the artifacts that they are about, where the policy names
//! a verifier.

use bonded_model::vsa::Summary;

use super::Held;
use super::bench::Bench;
use super::judge::Candidate;
use super::require::names_all;
use super::source;
use crate::attestation::Purpose;
use crate::code::Code;
use crate::facts::Covering;
use crate::finding::{Finding, Severity};
use crate::policy::Place;
use crate::vsa::{self, Asked};

/// The summaries that are said to be about an artifact.
pub(super) fn candidates(bench: &Bench<'_>, held: &Held<'_>) -> Vec<Candidate> {
    let name = bench.inventory.release.name();
    let rule = &held.demands.provenance;
    let asked = Asked {
        policy: bench.policy,
        now: bench.now,
        level: rule.level,
        max_age: rule.count.max_age.as_ref(),
        place: Place {
            project: Some(&name.project),
            version: Some(&name.version),
            path: Some(&held.artifact.path),
        },
    };
    let heard = bench.heard(held.at).filter(|(_, covering)| is_heard(bench, covering));
    let candidates = heard.map(|(fact, covering)| {
        let attestation = &covering.attestation;
        let worth = vsa::weigh(&asked, attestation);
        let mut faults = attestation.faults.clone();
        faults.extend(worth.faults);
        faults.extend(bench.subject_fault(covering, held.at, Code::VsaSubject));
        let (document, signers) = (fact.document.digest, worth.signers);
        Candidate { document, signers, level: worth.level, faults }
    });
    candidates.collect()
}

/// Whether a summary answers the rule: where there is a verifier, every one but those of whole releases.
pub(super) fn is_heard(bench: &Bench<'_>, covering: &Covering) -> bool {
    matches!(covering.attestation.purpose, Purpose::Summary(_))
        && !bench.policy.verifiers.is_empty()
        && !is_of_release(bench, covering)
        && !source::is_of_commits(covering)
}

/// Whether it is the summary of this whole release by a verifier who may make one. One that says FAILED may name
/// every artifact in place of the release.
pub(super) fn is_of_release(bench: &Bench<'_>, covering: &Covering) -> bool {
    let Some(summary) = vsa::summary_of(&covering.attestation) else { return false };
    let named = covering.names_release || summary.failed() && names_all(bench, covering);
    named && is_resource(bench, summary)
}

fn is_resource(bench: &Bench<'_>, summary: &Summary) -> bool {
    let rule = bench.policy.verifier(&summary.verifier.id);
    let wanted = rule.and_then(|rule| rule.of_release(bench.inventory.release.name()));
    wanted.as_ref() == Some(&summary.resource_uri)
}

/// A verifier who may vouch for the whole release and says that it failed is heard, whatever else was found.
pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (fact, covering) in bench.lines() {
        let attestation = &covering.attestation;
        let Some(summary) = vsa::summary_of(attestation) else { continue };
        let spoken = vsa::speakers(bench.policy, summary, &attestation.signers).is_ok();
        if !summary.failed() || !spoken || !attestation.is_said() || !is_of_release(bench, covering)
        {
            continue;
        }
        let failed = attestation.faults.iter().filter(|fault| fault.code == Code::StmtFailed);
        findings.extend(failed.map(|fault| {
            bench.finding(None, Some(fact.document.digest), Severity::Fail, fault.clone())
        }));
    }
    findings
}
