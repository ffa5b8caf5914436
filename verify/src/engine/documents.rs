//! What concerns a document as a whole and no artifact: one that cannot be read, is about nothing here, or
//! answers no rule.

use bonded_model::sbom::SbomView;

use super::bench::{Bench, audience};
use super::npm;
use super::require;
use super::source;
use super::vsa;
use crate::attestation::{Attestation, Purpose};
use crate::code::Code;
use crate::facts::{Covering, Fact, Reading};
use crate::finding::{Fault, Finding, Severity, capped};
use crate::policy::Demand;

pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    bench.facts.iter().flat_map(|fact| bench.document_findings(fact)).collect()
}

impl Bench<'_> {
    fn document_findings(&self, fact: &Fact<'_>) -> Vec<Finding> {
        let document = Some(fact.document.digest);
        let found = match &fact.reading {
            Reading::Attestations(coverings) => {
                let asides = coverings.iter().flat_map(|c| c.attestation.asides.iter().cloned());
                let asides = asides.map(|fault| (Severity::Note, fault));
                let faults = coverings.iter().flat_map(|c| self.attestation_faults(fact, c));
                faults.chain(asides).collect()
            }
            Reading::Sbom(read) if fact.attachments.to_artifacts.is_empty() => match read {
                Err(fault) => vec![(self.sbom_demand().severity(), fault.clone())],
                Ok(view) if self.names_nothing(view) => vec![(Severity::Warn, unmatched())],
                Ok(_) => Vec::new(),
            },
            // The rule over layouts tells what became of it.
            Reading::Metablock if self.policy.layout.as_ref().is_some_and(|rule| rule.is_on()) => {
                Vec::new()
            }
            Reading::Metablock => vec![(Severity::Note, unused("an in-toto layout or link"))],
            Reading::Piece(piece) => vec![(Severity::Note, unused(piece))],
            Reading::Sbom(_) | Reading::Checksums(_) => Vec::new(),
        };
        let at = |(severity, fault)| self.finding(None, document, severity, fault);
        capped(found.into_iter().map(at).collect())
    }

    fn attestation_faults(&self, fact: &Fact<'_>, covering: &Covering) -> Vec<(Severity, Fault)> {
        let attestation = &covering.attestation;
        let attached = !fact.attachments.to_artifacts.is_empty();
        let unheard = || !covering.names_release && self.is_unheard(fact, covering);
        let faults = |severity| attestation.faults.iter().cloned().map(|f| (severity, f)).collect();
        match attestation.purpose {
            Purpose::Unreadable if !attached => faults(self.provenance_demand().severity()),
            Purpose::Unreadable => Vec::new(),
            // The requirement tells what became of it.
            Purpose::File | Purpose::Other | Purpose::Summary(_)
                if require::is_heard(self, fact, covering) =>
            {
                Vec::new()
            }
            // The rule on sources tells what became of it.
            Purpose::Summary(_) if source::is_heard(self, covering) => Vec::new(),
            // The rule on provenance tells what became of it.
            Purpose::Summary(_) if vsa::is_heard(self, covering) && !unheard() => Vec::new(),
            Purpose::Other
                if self.policy.npm.is_some() && npm::is_publish(covering) && !unheard() =>
            {
                Vec::new()
            }
            Purpose::Other | Purpose::Summary(_)
                if attestation.faults.is_empty()
                    && unheard()
                    && require::is_required(self, covering) =>
            {
                vec![(Severity::Warn, unmatched())]
            }
            Purpose::File | Purpose::Other | Purpose::Summary(_)
                if !attestation.faults.is_empty() =>
            {
                faults(Severity::Warn)
            }
            Purpose::File | Purpose::Other | Purpose::Summary(_) => {
                vec![(Severity::Note, unused_attestation(attestation))]
            }
            Purpose::Provenance { .. } | Purpose::Sbom(_) if unheard() => {
                vec![(Severity::Warn, unmatched())]
            }
            Purpose::Provenance { .. } | Purpose::Sbom(_) => Vec::new(),
        }
    }

    fn names_nothing(&self, view: &SbomView) -> bool {
        !view.digests.iter().any(|digest| self.inventory.has(digest))
    }

    /// Whether an attestation is a candidate for no artifact.
    pub(super) fn is_unheard(&self, fact: &Fact<'_>, covering: &Covering) -> bool {
        audience(fact, covering, self.inventory).next().is_none()
    }

    /// Of a document that is about no artifact it is not known under which demands it would count, so it
    /// weighs as much as it could.
    fn provenance_demand(&self) -> Demand {
        let demands = self.policy.all_demands().map(|demands| demands.provenance.demand);
        demands.max().unwrap_or_default()
    }

    fn sbom_demand(&self) -> Demand {
        let demands = self.policy.all_demands().map(|demands| demands.sbom.demand);
        demands.max().unwrap_or_default()
    }
}

fn unused_attestation(attestation: &Attestation) -> Fault {
    match &attestation.statement {
        Some(statement) if !matches!(attestation.purpose, Purpose::File) => {
            unused(&statement.predicate_type)
        }
        _ => unused("a signature over a file"),
    }
}

fn unused(seen: &str) -> Fault {
    Fault::new(Code::StmtUnused, "a document that the policy asks for", seen)
}

fn unmatched() -> Fault {
    Fault::new(Code::RelUnmatched, "the digest of an artifact", "only digests of other files")
}
