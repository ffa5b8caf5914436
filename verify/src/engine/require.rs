//! The rule that further documents must be there: of every artifact, or of the release.

use bonded_model::Digest;

use super::Held;
use super::bench::Bench;
use super::judge::{Candidate, Judge, Rule, decide as decided, joined};
use crate::attestation::Attestation;
use crate::code::Code;
use crate::facts::{Covering, Fact};
use crate::finding::{Fault, Finding, Severity};
use crate::policy::{Of, Requirement, Selected, Sight};
use crate::verdict::{Role, SignedBy};

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let of_artifacts = bench.policy.requirements.iter().filter(|r| r.of == Of::Artifacts);
    for requirement in of_artifacts {
        match requirement.selector.selects(&Sight::of(held.artifact)) {
            Selected::No => {}
            Selected::Unknown => judge.find(Severity::Fail, None, super::unknown()),
            Selected::Yes => {
                let heard = bench.heard(held.at).filter(|(_, c)| answers(requirement, c));
                let candidates = heard.map(|(fact, covering)| {
                    let subject = bench.subject_fault(covering, held.at, Code::ReqSubject);
                    candidate(requirement, fact.document.digest, covering, subject)
                });
                judge.decide(&rule(requirement), candidates.collect());
            }
        }
    }
}

/// A document about the release names the release index, or every artifact.
pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    let of_release = bench.policy.requirements.iter().filter(|r| r.of == Of::Release);
    let found = of_release.flat_map(|requirement| {
        let candidates = bench
            .lines()
            .filter(|(fact, c)| answers(requirement, c) && speaks_of_release(bench, fact, c))
            .map(|(fact, covering)| {
                let expected = "the release, or every artifact, among the subjects";
                let subject = (!names_all(bench, covering))
                    .then(|| Fault::new(Code::ReqSubject, expected, covering.subjects.as_str()));
                candidate(requirement, fact.document.digest, covering, subject)
            });
        decided(&rule(requirement), candidates.collect(), bench.now).into_parts().1
    });
    found
        .map(|(severity, document, fault)| bench.finding(None, document, severity, fault))
        .collect()
}

/// Whether a rule looks at a document: whoever else would report it as unused need not.
pub(super) fn is_heard(bench: &Bench<'_>, fact: &Fact<'_>, covering: &Covering) -> bool {
    let unheard = bench.is_unheard(fact, covering);
    bench.policy.requirements.iter().filter(|r| answers(r, covering)).any(|requirement| {
        match requirement.of {
            Of::Artifacts => !unheard,
            Of::Release => speaks_of_release(bench, fact, covering),
        }
    })
}

/// Whether the policy asks for documents of its type at all.
pub(super) fn is_required(bench: &Bench<'_>, covering: &Covering) -> bool {
    bench.policy.requirements.iter().any(|requirement| answers(requirement, covering))
}

fn answers(requirement: &Requirement, covering: &Covering) -> bool {
    let statement = covering.attestation.statement.as_ref();
    statement.is_some_and(|s| requirement.predicates.contains(&s.predicate_type))
}

fn speaks_of_release(bench: &Bench<'_>, fact: &Fact<'_>, covering: &Covering) -> bool {
    fact.attachments.to_release || names_all(bench, covering)
}

pub(super) fn names_all(bench: &Bench<'_>, covering: &Covering) -> bool {
    covering.names_release || bench.inventory.all_agree(&covering.covered)
}

fn candidate(
    requirement: &Requirement,
    document: Digest,
    covering: &Covering,
    subject: Option<Fault>,
) -> Candidate {
    let attestation = &covering.attestation;
    let signers = wanted(requirement, attestation);
    let mut faults = attestation.faults.clone();
    faults.extend(subject);
    // A signer whom the policy does not know at all has been reported as such. What is accepted without a
    // signature, by its checksum, is accepted as provenance and signed by nobody.
    let reported = attestation.signers.is_empty() && !attestation.faults.is_empty();
    if signers.is_empty() && !reported {
        let seen: Vec<_> = attestation.signers.iter().map(|s| s.name.as_str()).collect();
        let seen = if seen.is_empty() { "nobody".to_owned() } else { seen.join(", ") };
        faults.push(Fault::new(Code::ReqSigner, joined(&requirement.signers), seen));
    }
    Candidate { document, signers, level: None, faults, heard_at: None }
}

fn wanted(requirement: &Requirement, attestation: &Attestation) -> Vec<SignedBy> {
    let named = |signer: &&SignedBy| requirement.signers.contains(&signer.name);
    attestation.signers.iter().filter(named).cloned().collect()
}

fn rule(requirement: &Requirement) -> Rule<'_> {
    Rule {
        role: Role::Required,
        name: Some(&requirement.name),
        demand: requirement.demand,
        count: &requirement.count,
        missing: Fault::new(Code::ReqMissing, requirement.told(), "none"),
        too_few: Code::ReqQuorum,
        too_old: Code::ReqAge,
    }
}
