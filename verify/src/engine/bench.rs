//! What every rule looks at: the policy, the facts, and who is heard about which artifact.

use bonded_model::Digest;
use bonded_model::statement::DigestMatch;

use super::condition::Asking;
use super::judge::Judge;
use crate::attestation::Purpose;
use crate::code::Code;
use crate::facts::{Covering, Fact, Inventory, Reading};
use crate::finding::{Fault, Finding, Severity, Spot};
use crate::moment::Moment;
use crate::policy::Policy;
use crate::sums::Sums;
use crate::verdict::Role;

/// Everything that the rules look at.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) policy: &'a Policy,
    pub(super) facts: &'a [Fact<'a>],
    /// For each artifact, the attestations that are candidates for it.
    pub(super) heard: &'a [Vec<(&'a Fact<'a>, &'a Covering)>],
    pub(super) inventory: &'a Inventory<'a>,
    pub(super) sums: &'a Sums,
    /// What expressions see of the release, if there are any.
    pub(super) asking: Option<&'a Asking>,
    #[cfg(feature = "in-toto")]
    pub(super) layouts: &'a crate::layout::Layouts,
    pub(super) now: &'a Moment,
}

impl Bench<'_> {
    pub(super) fn heard(&self, at: usize) -> impl Iterator<Item = &(&Fact<'_>, &Covering)> {
        self.heard.get(at).into_iter().flatten()
    }

    /// The provenance that its rule accepted of an artifact.
    pub(super) fn provenance(
        &self,
        at: usize,
        judge: &Judge<'_>,
    ) -> impl Iterator<Item = &(&Fact<'_>, &Covering)> {
        let accepted = judge.accepted(Role::Provenance);
        let heard = self.heard(at).enumerate().filter(move |(at, _)| accepted.contains(at));
        heard.map(|(_, line)| line)
    }

    /// Every line of every document of attestations.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Fact<'_>, &Covering)> {
        self.facts.iter().flat_map(|fact| {
            let coverings = match &fact.reading {
                Reading::Attestations(coverings) => coverings.as_slice(),
                Reading::Sbom(_)
                | Reading::Checksums(_)
                | Reading::Metablock
                | Reading::Piece(_) => &[],
            };
            coverings.iter().map(move |covering| (fact, covering))
        })
    }

    /// Why an attestation is not about an artifact.
    pub(super) fn subject_fault(
        &self,
        covering: &Covering,
        at: usize,
        code: Code,
    ) -> Option<Fault> {
        covering.attestation.statement.as_ref()?;
        let content = self.inventory.content_of(at);
        let expected = match content.and_then(|content| covering.covered.get(&content)) {
            Some(DigestMatch::Agrees) => return None,
            Some(_) => "subject digests that agree with the file",
            None => "the file's digest among the subjects",
        };
        Some(Fault::new(code, expected, covering.subjects.as_str()))
    }

    pub(super) fn finding(
        &self,
        at: Option<usize>,
        document: Option<Digest>,
        severity: Severity,
        fault: Fault,
    ) -> Finding {
        let release = self.inventory.release;
        let artifact = at.and_then(|at| release.artifacts().get(at));
        let path = artifact.map(|artifact| artifact.path.clone());
        let subject = artifact.map_or(release.digest(), |artifact| artifact.file.digest);
        fault.at(Spot { path, subject: Some(subject), document }, severity)
    }
}

/// Sorts the attestations by the artifacts that they are candidates for.
pub(super) fn heard<'a>(
    facts: &'a [Fact<'a>],
    inventory: &Inventory<'_>,
) -> Vec<Vec<(&'a Fact<'a>, &'a Covering)>> {
    let mut heard = vec![Vec::new(); inventory.release.artifacts().len()];
    for fact in facts {
        let Reading::Attestations(coverings) = &fact.reading else { continue };
        for covering in coverings {
            for at in audience(fact, covering, inventory) {
                if let Some(candidates) = heard.get_mut(at) {
                    candidates.push((fact, covering));
                }
            }
        }
    }
    heard
}

/// The artifacts that an attestation is a candidate for, each once: those that it covers, if the
/// document is not misplaced, and those that the document is attached to and covers nowhere.
///
/// A document that is attached to files and covers none of them is misplaced: it would not verify
/// where consumers find it, so it counts for no other file either.
pub(super) fn audience<'a>(
    fact: &'a Fact<'_>,
    covering: &'a Covering,
    inventory: &'a Inventory<'_>,
) -> impl Iterator<Item = usize> + 'a {
    let attached = &fact.attachments.to_artifacts;
    let legible = !matches!(covering.attestation.purpose, Purpose::Unreadable);
    let covers = move |at: &usize| {
        inventory.content_of(*at).is_some_and(|content| fact.covered.contains(&content))
    };
    let placed = legible && (fact.attachments.to_release || attached.iter().any(covers));
    let covered = covering.covered.keys().filter(move |_| placed);
    let covered = covered.flat_map(|content| inventory.holders_of(*content));
    let uncovered = attached.iter().filter(move |at| !legible || !covers(at));
    covered.chain(uncovered).copied()
}
