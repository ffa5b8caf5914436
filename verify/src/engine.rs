//! The verdict on a release: facts gathered in parallel, rules applied to each artifact, findings
//! put in canonical order.
//!
//! For each artifact a rule has candidates. One accepted candidate satisfies it, and what stands
//! against the others is noted; with none, everything that stands against them counts, and only an
//! artifact without any candidate lacks the document altogether.

use std::collections::BTreeSet;

use bonded_model::limits::DOCUMENT_COUNT_MAX;
use bonded_model::sbom::SbomView;
use bonded_model::statement::DigestMatch;
use bonded_model::{Artifact, Digest, Evidence, Timestamp};
use rayon::prelude::*;

use crate::attestation::{Attestation, Frame, Purpose};
use crate::code::Code;
use crate::facts::{self, Covering, Fact, Inventory, Reading, digests_of};
use crate::finding::{Fault, Finding, Severity, capped};
use crate::policy::{Demand, Policy};
use crate::sbom;
use crate::signature::Verifier;
use crate::sums::{self, Sums};
use crate::verdict::{About, AcceptedDocument, ArtifactVerdict, Grounds, Role, SignedBy, Verdict};

/// Reaches the verdict on a release: a pure function of its arguments.
pub fn verify_release(
    verifier: &Verifier,
    policy: &Policy,
    evidence: &Evidence,
    now: Timestamp,
) -> Verdict {
    let release = &evidence.release;
    let grounds = Grounds {
        policy: policy.digest(),
        trust_root: verifier.trust_root_digest(),
        evidence: evidence.digest(),
        now,
    };
    let about = About::Release { name: release.name().clone(), digest: release.digest() };
    let version = Some(&release.name().version);
    let frame = Frame { verifier, policy, version, now };
    let inventory = Inventory::new(release);
    let facts = match evidence.documents.len() {
        0..=DOCUMENT_COUNT_MAX => facts::gather(&frame, evidence, &inventory),
        _ => Vec::new(),
    };
    let sums = sums::check(&evidence.documents, &facts, &inventory);
    let heard = heard(&facts, &inventory);
    let bench = Bench { policy, facts: &facts, heard: &heard, inventory: &inventory, sums: &sums };
    let judged: Vec<_> = (0..release.artifacts().len())
        .into_par_iter()
        .filter_map(|at| Some(bench.artifact(at, release.artifacts().get(at)?)))
        .collect();
    let (artifacts, findings): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
    let mut findings: Vec<_> = findings.into_iter().flatten().collect();
    findings.extend(bench.release_findings(evidence.documents.len()));
    let documents = evidence.documents.iter().map(|document| document.digest).collect();
    Verdict::new(about, grounds, artifacts, documents, findings)
}

/// Everything that the rules look at.
#[derive(Clone, Copy)]
struct Bench<'a> {
    policy: &'a Policy,
    facts: &'a [Fact<'a>],
    /// For each artifact, the attestations that are candidates for it.
    heard: &'a [Vec<(&'a Fact<'a>, &'a Covering)>],
    inventory: &'a Inventory<'a>,
    sums: &'a Sums,
}

/// A document held against one artifact under one rule.
struct Candidate {
    document: Digest,
    signer: Option<SignedBy>,
    level: Option<u8>,
    faults: Vec<Fault>,
}

impl Bench<'_> {
    fn artifact(&self, at: usize, artifact: &Artifact) -> (ArtifactVerdict, Vec<Finding>) {
        let mut judge = Judge::new(artifact);
        let provenance = self.provenance_candidates(at);
        let demand = self.policy.provenance.demand;
        judge.decide(Role::Provenance, demand, provenance, || {
            let expected = "provenance that names the file's digest";
            Fault::new(Code::ProvMissing, expected, "none")
        });
        let sboms = self.sbom_candidates(at, artifact);
        judge.decide(Role::Sbom, self.policy.sbom.demand, sboms, || {
            Fault::new(Code::SbomMissing, "an SBOM that names the file's digest", "none")
        });
        let agreed = self.sums.agreed.get(&at).into_iter().flatten();
        let agreed = agreed.map(|document| Candidate {
            document: *document,
            signer: None,
            level: None,
            faults: Vec::new(),
        });
        // Lists name files; an image has none that one could write down a checksum of. One that is there
        // all the same has to agree.
        let demand = if artifact.is_image() { Demand::Off } else { self.policy.checksums };
        judge.decide(Role::Checksum, demand, agreed.collect(), || {
            Fault::new(Code::SumMissing, "a checksum list or sidecar", "none")
        });
        judge.finish()
    }

    fn provenance_candidates(&self, at: usize) -> Vec<Candidate> {
        let candidates = self.heard(at).filter_map(|(fact, covering)| {
            let attestation = &covering.attestation;
            let level = match attestation.purpose {
                Purpose::Provenance { level } => level,
                Purpose::Unreadable => None,
                Purpose::Sbom(_) | Purpose::File | Purpose::Other => return None,
            };
            let mut faults = attestation.faults.clone();
            if attestation.statement.is_some() {
                faults.extend(self.subject_fault(covering, at, Code::ProvSubject));
            }
            let signer = attestation.signers.first().cloned();
            Some(Candidate { document: fact.document.digest, signer, level, faults })
        });
        candidates.collect()
    }

    /// An SBOM of an image describes what is in its layers, and few producers write down the digest of the
    /// manifest above them. So there the subjects of an attestation are what binds it; a document without
    /// an attestation has to name the digest, as for files.
    fn sbom_candidates(&self, at: usize, artifact: &Artifact) -> Vec<Candidate> {
        let digests = &*digests_of(artifact);
        let wrapped = self.heard(at).filter_map(|(fact, covering)| {
            let Purpose::Sbom(view) = &covering.attestation.purpose else { return None };
            let mut faults = covering.attestation.faults.clone();
            faults.extend(self.subject_fault(covering, at, Code::SbomSubject));
            faults.extend(view.iter().flat_map(|view| match artifact.is_image() {
                true => sbom::format_fault(&self.policy.sbom, view).into_iter().collect(),
                false => self.sbom_faults(view, digests),
            }));
            faults.extend(self.sbom_signer_fault(&covering.attestation));
            let signer = self.sbom_signer(&covering.attestation);
            Some(Candidate { document: fact.document.digest, signer, level: None, faults })
        });
        let plain = self.facts.iter().filter_map(|fact| {
            let Reading::Sbom(read) = &fact.reading else { return None };
            let attached = fact.attachments.to_artifacts.contains(&at);
            let of_release =
                fact.attachments.to_release && read.as_ref().is_ok_and(|view| view.names(digests));
            if !attached && !of_release {
                return None;
            }
            let mut faults = match read {
                Ok(view) => self.sbom_faults(view, digests),
                Err(fault) => vec![fault.clone()],
            };
            faults.extend(self.policy.sbom.signers.as_ref().map(unsigned_sbom));
            Some(Candidate { document: fact.document.digest, signer: None, level: None, faults })
        });
        wrapped.chain(plain).collect()
    }

    fn sbom_faults(&self, view: &SbomView, digests: &[Digest]) -> Vec<Fault> {
        let named = view.names(digests);
        let mine = digests.first().map_or_else(String::new, ToString::to_string);
        let seen = || format!("{} other digests in the document", view.digests.len());
        let subject = (!named).then(|| Fault::new(Code::SbomSubject, mine, seen()));
        sbom::format_fault(&self.policy.sbom, view).into_iter().chain(subject).collect()
    }

    fn sbom_signer_fault(&self, attestation: &Attestation) -> Option<Fault> {
        let wanted = self.policy.sbom.signers.as_ref()?;
        let by_wanted = attestation.signers.iter().any(|signer| wanted.contains(&signer.name));
        // A signer whom the policy does not know at all has been reported as such.
        (!by_wanted && !attestation.signers.is_empty()).then(|| {
            let seen: Vec<_> = attestation.signers.iter().map(|s| s.name.as_str()).collect();
            Fault::new(Code::SbomSigner, joined(wanted), seen.join(", "))
        })
    }

    /// The signer on record: one that the rule names, if it names any.
    fn sbom_signer(&self, attestation: &Attestation) -> Option<SignedBy> {
        let wanted = self.policy.sbom.signers.as_ref();
        let mut signers = attestation.signers.iter();
        signers.find(|signer| wanted.is_none_or(|wanted| wanted.contains(&signer.name))).cloned()
    }

    fn heard(&self, at: usize) -> impl Iterator<Item = &(&Fact<'_>, &Covering)> {
        self.heard.get(at).into_iter().flatten()
    }

    fn release_findings(&self, document_count: usize) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .facts
            .iter()
            .flat_map(|fact| self.document_findings(fact))
            .chain(self.sums.faults.iter().map(|(at, document, severity, fault)| {
                self.finding(*at, Some(*document), *severity, fault.clone())
            }))
            .chain(
                self.expected_set()
                    .into_iter()
                    .map(|(at, fault)| self.finding(at, None, Severity::Fail, fault)),
            )
            .collect();
        if document_count > DOCUMENT_COUNT_MAX {
            let expected = format!("at most {DOCUMENT_COUNT_MAX} documents");
            let fault = Fault::new(Code::RelLimit, expected, document_count.to_string());
            findings.push(self.finding(None, None, Severity::Fail, fault));
        }
        findings
    }

    /// What concerns a document as a whole and no artifact.
    fn document_findings(&self, fact: &Fact<'_>) -> Vec<Finding> {
        let document = Some(fact.document.digest);
        let found = match &fact.reading {
            Reading::Attestations(coverings) => {
                coverings.iter().flat_map(|c| self.attestation_faults(fact, c)).collect()
            }
            Reading::Sbom(read) if fact.attachments.to_artifacts.is_empty() => match read {
                Err(fault) => vec![(self.policy.sbom.demand.severity(), fault.clone())],
                Ok(view) if self.names_nothing(view) => vec![(Severity::Warn, unmatched())],
                Ok(_) => Vec::new(),
            },
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
            Purpose::Unreadable if !attached => faults(self.policy.provenance.demand.severity()),
            Purpose::Unreadable => Vec::new(),
            Purpose::File | Purpose::Other if !attestation.faults.is_empty() => {
                faults(Severity::Warn)
            }
            Purpose::File | Purpose::Other => vec![(Severity::Note, self.unused(attestation))],
            Purpose::Provenance { .. } | Purpose::Sbom(_) if unheard() => {
                vec![(Severity::Warn, unmatched())]
            }
            Purpose::Provenance { .. } | Purpose::Sbom(_) => Vec::new(),
        }
    }

    fn unused(&self, attestation: &Attestation) -> Fault {
        let seen = attestation.statement.as_ref().map(|s| s.predicate_type.as_str());
        let expected = "provenance or an SBOM";
        Fault::new(Code::StmtUnused, expected, seen.unwrap_or("a signature over a file"))
    }

    fn names_nothing(&self, view: &SbomView) -> bool {
        !view.digests.iter().any(|digest| self.inventory.has(digest))
    }

    /// Whether an attestation is a candidate for no artifact.
    fn is_unheard(&self, fact: &Fact<'_>, covering: &Covering) -> bool {
        audience(fact, covering, self.inventory).next().is_none()
    }

    /// Why an attestation is not about an artifact.
    fn subject_fault(&self, covering: &Covering, at: usize, code: Code) -> Option<Fault> {
        covering.attestation.statement.as_ref()?;
        let content = self.inventory.content_of(at);
        let expected = match content.and_then(|content| covering.covered.get(&content)) {
            Some(DigestMatch::Agrees) => return None,
            Some(_) => "subject digests that agree with the file",
            None => "the file's digest among the subjects",
        };
        Some(Fault::new(code, expected, covering.subjects.as_str()))
    }

    /// Nothing missing, nothing extra.
    fn expected_set(&self) -> Vec<(Option<usize>, Fault)> {
        let Some(expected) = &self.policy.artifacts else { return Vec::new() };
        let version = self.inventory.release.name().version.as_str();
        let expected: BTreeSet<String> =
            expected.iter().map(|path| path.replace("{version}", version)).collect();
        let missing = expected.iter().filter(|path| self.inventory.at_path(path).is_none());
        let missing = missing.map(|path| (None, Fault::new(Code::RelMissing, path, "nothing")));
        let artifacts = self.inventory.release.artifacts().iter().enumerate();
        let extra = artifacts
            .filter(|(_, artifact)| !expected.contains(artifact.path.as_str()))
            .map(|(at, a)| (Some(at), Fault::new(Code::RelExtra, "nothing", a.path.as_str())));
        missing.chain(extra).collect()
    }

    fn finding(
        &self,
        at: Option<usize>,
        document: Option<Digest>,
        severity: Severity,
        fault: Fault,
    ) -> Finding {
        let release = self.inventory.release;
        let artifact = at.and_then(|at| release.artifacts().get(at));
        Finding {
            path: artifact.map(|artifact| artifact.path.clone()),
            subject: Some(artifact.map_or(release.digest(), |artifact| artifact.file.digest)),
            document,
            code: fault.code,
            expected: fault.expected,
            seen: fault.seen,
            severity,
        }
    }
}

fn unmatched() -> Fault {
    Fault::new(Code::RelUnmatched, "the digest of an artifact", "only digests of other files")
}

fn unsigned_sbom(signers: &BTreeSet<String>) -> Fault {
    Fault::new(Code::SbomSigner, joined(signers), "an unsigned document")
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}

/// Sorts the attestations by the artifacts that they are candidates for.
fn heard<'a>(
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
fn audience<'a>(
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

/// Collects what the rules decide about one artifact.
struct Judge {
    verdict: ArtifactVerdict,
    findings: Vec<Finding>,
}

impl Judge {
    fn new(artifact: &Artifact) -> Self {
        let verdict = ArtifactVerdict {
            path: Some(artifact.path.clone()),
            digest: artifact.file.digest,
            level: None,
            accepted: Vec::new(),
        };
        Self { verdict, findings: Vec::new() }
    }

    fn decide(
        &mut self,
        role: Role,
        demand: Demand,
        candidates: Vec<Candidate>,
        missing: impl FnOnce() -> Fault,
    ) {
        let satisfied = candidates.iter().any(|candidate| candidate.faults.is_empty());
        let severity = if satisfied { Severity::Note } else { demand.severity() };
        if candidates.is_empty() && demand != Demand::Off {
            self.find(severity, None, missing());
        }
        for candidate in candidates {
            if candidate.faults.is_empty() {
                self.verdict.level = self.verdict.level.max(candidate.level);
                let (document, signer) = (candidate.document, candidate.signer);
                self.verdict.accepted.push(AcceptedDocument { document, role, signer });
            }
            for fault in candidate.faults {
                self.find(severity, Some(candidate.document), fault);
            }
        }
    }

    fn find(&mut self, severity: Severity, document: Option<Digest>, fault: Fault) {
        self.findings.push(Finding {
            path: self.verdict.path.clone(),
            subject: Some(self.verdict.digest),
            document,
            code: fault.code,
            expected: fault.expected,
            seen: fault.seen,
            severity,
        });
    }

    fn finish(self) -> (ArtifactVerdict, Vec<Finding>) {
        (self.verdict, capped(self.findings))
    }
}

#[cfg(test)]
mod tests;
