//! Summaries in place of provenance: candidates for the artifacts that they are about, where the policy names
//! a verifier.

use std::collections::BTreeSet;

use bonded_model::vsa::Summary;
use bonded_model::{Digest, Document, DocumentKind};

use super::Held;
use super::bench::Bench;
use super::judge::Candidate;
use super::source;
use crate::attestation::Purpose;
use crate::code::Code;
use crate::facts::{Covering, Inventory, Reading};
use crate::finding::{Fault, Finding, Severity};
use crate::policy::{Place, Policy};
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
        Candidate { document, signers, level: worth.level, faults, heard_at: None }
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
    is_of(bench.policy, bench.inventory, covering)
}

fn is_of(policy: &Policy, inventory: &Inventory<'_>, covering: &Covering) -> bool {
    let is_resource = |summary: &Summary| {
        let rule = policy.verifier(&summary.verifier.id);
        let wanted = rule.and_then(|rule| rule.of_release(inventory.release.name()));
        wanted.as_ref() == Some(&summary.resource_uri)
    };
    let names_all = || inventory.all_agree(&covering.covered);
    let is_named = |summary: &Summary| covering.names_release || summary.failed() && names_all();
    let summary = vsa::summary_of(&covering.attestation);
    summary.is_some_and(|summary| is_named(summary) && is_resource(summary))
}

/// Whether it is the word of a verifier about this whole release, and says what `says` asks for.
fn is_spoken(
    policy: &Policy,
    inventory: &Inventory<'_>,
    covering: &Covering,
    says: impl Fn(&Summary) -> bool,
) -> bool {
    let attestation = &covering.attestation;
    let spoken = vsa::summary_of(attestation).is_some_and(|summary| {
        says(summary) && vsa::speakers(policy, summary, &attestation.signers).is_ok()
    });
    spoken && is_of(policy, inventory, covering)
}

/// Whether a verifier who may vouch for the whole release says that it failed.
pub(super) fn is_veto(policy: &Policy, inventory: &Inventory<'_>, covering: &Covering) -> bool {
    covering.attestation.is_said() && is_spoken(policy, inventory, covering, Summary::failed)
}

/// Whether a verifier vouches for the whole release, and nothing stands against the signature. Such a
/// summary is younger than what it was made from, so it is left out of what the next one is made from.
pub(super) fn is_own(policy: &Policy, inventory: &Inventory<'_>, covering: &Covering) -> bool {
    covering.attestation.faults.is_empty()
        && is_spoken(policy, inventory, covering, |summary| !summary.failed())
}

/// The documents that are one such summary each.
pub(super) fn own(bench: &Bench<'_>) -> BTreeSet<Digest> {
    let own = bench.facts.iter().filter(|fact| {
        let Reading::Attestations(lines) = &fact.reading else { return false };
        matches!(lines.as_slice(), [line] if is_own(bench.policy, bench.inventory, line))
    });
    own.map(|fact| fact.document.digest).collect()
}

/// Whether a document is one of those, read as what it is.
pub(super) fn is_among(own: &BTreeSet<Digest>, document: &Document) -> bool {
    holds_attestations(document.kind) && own.contains(&document.digest)
}

/// Whether documents of that kind are read as attestations.
pub(super) fn holds_attestations(kind: DocumentKind) -> bool {
    use DocumentKind::{Bundle, Envelope, Statement};
    matches!(kind, Bundle | Envelope | Statement)
}

/// A verifier who may vouch for the whole release and says that it failed is heard, whatever else was found.
pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    let is_veto = |(_, line): &(_, &Covering)| is_veto(bench.policy, bench.inventory, line);
    let vetoes = bench.lines().filter(is_veto).flat_map(|(fact, line)| {
        failed_faults(line).map(move |fault| (fact.document.digest, fault))
    });
    let find = |(document, fault)| bench.finding(None, Some(document), Severity::Fail, fault);
    vetoes.map(find).collect()
}

/// That it says FAILED, as a fault.
pub(super) fn failed_faults(line: &Covering) -> impl Iterator<Item = Fault> {
    line.attestation.faults.iter().filter(|fault| fault.code == Code::StmtFailed).cloned()
}
