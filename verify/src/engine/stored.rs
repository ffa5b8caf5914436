//! A stored summary of a whole release in place of a new verdict.
//!
//! It counts where a verifier of the policy who may vouch for releases signed it, it passed under the very
//! policy in force, it names the digest of the release, it is fresh, and every document that is held now was
//! among its inputs. Otherwise the verdict has to be reached again. No other signature is looked at.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::limits::DOCUMENT_COUNT_MAX;
use bonded_model::statement::{DigestMatch, DigestSet};
use bonded_model::vsa::Summary;
use bonded_model::{Algorithm, Digest, Document, DocumentKind, Evidence, Release, Timestamp};

use crate::attestation::{Attestation, Frame};
use crate::code::Code;
use crate::facts::subjects_text;
use crate::finding::{Fault, Finding, Severity};
use crate::moment::Moment;
use crate::policy::{Demand, Policy, VerifierRule};
use crate::signature::{Content, SignedDocument, Verifier};
use crate::verdict::{About, AcceptedDocument, ArtifactVerdict, Grounds, Role, SignedBy, Verdict};
use crate::vsa;

/// Reaches the verdict on a release from the signed summaries of it that are held, and from nothing else: a
/// pure function of its arguments. A fail says only that none of them is enough.
pub fn verify_summary(
    verifier: &Verifier,
    policy: &Policy,
    evidence: &Evidence,
    now: Timestamp,
) -> Verdict {
    let release = &evidence.release;
    let moment = Moment::new(now);
    let frame = Frame::new(verifier, policy, Some(&release.name().version), &moment);
    let door = Door { policy, release, now: &moment };
    let (summaries, mut papers) = read(&frame, evidence);
    let foreign = summaries.iter().filter(|(_, summary)| !door.is_own(summary));
    papers.extend(foreign.map(|(document, _)| *document));
    let (mut opened, mut faults) = (None, Vec::new());
    for (document, summary) in &summaries {
        match door.judge(*document, summary, &papers) {
            Ok(found) => opened = opened.or(Some((*document, found))),
            Err(found) => faults.extend(found.into_iter().map(|fault| (Some(*document), fault))),
        }
    }
    if summaries.is_empty() {
        let expected = "a signed summary of the release";
        faults.push((None, Fault::new(Code::VsaMissing, expected, "none")));
    }
    let severity = if opened.is_some() { Severity::Note } else { Severity::Fail };
    let findings =
        faults.into_iter().map(|(document, fault)| door.finding(document, severity, fault));
    let grounds = Grounds {
        policy: policy.digest(),
        trust_root: verifier.trust_root_digest(),
        evidence: evidence.digest(),
        now,
        lasts: moment.interval(),
    };
    let about = About::Release { name: release.name().clone(), digest: release.digest() };
    let looked_at = summaries.keys().copied().collect();
    Verdict::new(about, grounds, door.artifacts(opened.as_ref()), looked_at, findings.collect())
}

/// What a summary opens the door with.
struct Opened {
    level: Option<u8>,
    signer: Option<SignedBy>,
}

/// What summaries of the release are held against.
struct Door<'a> {
    policy: &'a Policy,
    release: &'a Release,
    now: &'a Moment,
}

/// The documents that are one summary each, assessed, and the others by their digests.
fn read(
    frame: &Frame<'_>,
    evidence: &Evidence,
) -> (BTreeMap<Digest, Attestation>, BTreeSet<Digest>) {
    let (mut summaries, mut papers) = (BTreeMap::new(), BTreeSet::new());
    for document in evidence.documents.iter().take(DOCUMENT_COUNT_MAX) {
        if is_signed(document) && is_summary(&document.bytes) {
            let assess = || Attestation::assess(frame, &document.bytes, None);
            summaries.entry(document.digest).or_insert_with(assess);
        } else {
            papers.insert(document.digest);
        }
    }
    (summaries, papers)
}

fn is_signed(document: &Document) -> bool {
    matches!(document.kind, DocumentKind::Bundle | DocumentKind::Envelope)
}

fn is_summary(bytes: &[u8]) -> bool {
    let content = SignedDocument::parse(bytes).map(SignedDocument::into_content);
    matches!(content, Ok(Content::Statement(made)) if vsa::is_type(&made.predicate_type))
}

impl Door<'_> {
    /// Whether it is the word of a verifier about this release that nothing stands against. What such a
    /// summary was made from is older than itself, so it is not among its own inputs.
    fn is_own(&self, line: &Attestation) -> bool {
        let spoken = vsa::summary_of(line).and_then(|summary| {
            let (rule, _) = vsa::speakers(self.policy, summary, &line.signers).ok()?; // told by judge
            Some(self.resource_fault(rule, summary).is_none())
        });
        line.faults.is_empty() && spoken == Some(true) && self.subject_fault(line).is_none()
    }

    fn judge(
        &self,
        document: Digest,
        line: &Attestation,
        papers: &BTreeSet<Digest>,
    ) -> Result<Opened, Vec<Fault>> {
        let Some(summary) = vsa::summary_of(line).filter(|_| line.faults.is_empty()) else {
            return Err(line.faults.clone());
        };
        let (rule, signers) =
            vsa::speakers(self.policy, summary, &line.signers).map_err(|fault| vec![fault])?;
        let against = [
            self.resource_fault(rule, summary),
            self.subject_fault(line),
            self.policy_fault(summary),
            self.level_fault(rule),
            vsa::age_fault(Code::VsaAge, summary, &[rule.max_age.as_ref()], self.now),
            input_fault(document, summary, papers),
        ];
        let faults: Vec<_> = against.into_iter().flatten().collect();
        let level = line.statement.as_ref().and_then(|made| vsa::level(rule, made, summary));
        let opened = Opened { level, signer: signers.into_iter().next() };
        if faults.is_empty() { Ok(opened) } else { Err(faults) }
    }

    fn resource_fault(&self, rule: &VerifierRule, summary: &Summary) -> Option<Fault> {
        let wanted = rule.of_release(self.release.name());
        let seen = &summary.resource_uri;
        (wanted.as_ref() != Some(seen)).then(|| {
            let expected = wanted.unwrap_or_else(|| "no summary of a release".to_owned());
            Fault::new(Code::VsaResource, expected, seen)
        })
    }

    fn subject_fault(&self, line: &Attestation) -> Option<Fault> {
        let statement = line.statement.as_ref()?;
        let digest = self.release.digest();
        (statement.matches(&[digest]) != DigestMatch::Agrees)
            .then(|| Fault::new(Code::VsaSubject, digest.to_string(), subjects_text(statement)))
    }

    fn policy_fault(&self, summary: &Summary) -> Option<Fault> {
        let digest = self.policy.digest();
        let named = &summary.policy.digest;
        (named.matches(&[digest]) != DigestMatch::Agrees)
            .then(|| Fault::new(Code::VsaPolicy, digest.to_string(), vsa::digests_text(named)))
    }

    /// Of what a verifier says no more is believed than it is trusted for, so the policy must not demand more.
    fn level_fault(&self, rule: &VerifierRule) -> Option<Fault> {
        let provenance = self.policy.all_demands().map(|demands| &demands.provenance);
        let required = provenance.filter(|rule| rule.demand == Demand::Require);
        let wanted = required.map(|rule| rule.level).max().filter(|level| *level > rule.level)?;
        let seen = format!("a verifier for level {} at most", rule.level);
        Some(Fault::new(Code::VsaLevel, format!("level {wanted}"), seen))
    }

    fn artifacts(&self, opened: Option<&(Digest, Opened)>) -> Vec<ArtifactVerdict> {
        let artifacts = self.release.artifacts().iter().map(|artifact| ArtifactVerdict {
            path: Some(artifact.path.clone()),
            digest: artifact.file.digest,
            level: opened.and_then(|(_, opened)| opened.level),
            accepted: opened.map_or_else(Vec::new, |(document, opened)| {
                let (role, signer) = (Role::Summary, opened.signer.clone());
                vec![AcceptedDocument { document: *document, role, signer }]
            }),
        });
        artifacts.collect()
    }

    fn finding(&self, document: Option<Digest>, severity: Severity, fault: Fault) -> Finding {
        Finding {
            path: None,
            subject: Some(self.release.digest()),
            document,
            code: fault.code,
            expected: fault.expected,
            seen: fault.seen,
            severity,
            rule: fault.rule,
        }
    }
}

/// What is held now was looked at then: a document that came later may say something else.
fn input_fault(document: Digest, summary: &Summary, papers: &BTreeSet<Digest>) -> Option<Fault> {
    let sha256 = |digests: &DigestSet| digests.digest(Algorithm::Sha256);
    let inputs: BTreeSet<_> =
        summary.input_attestations.iter().filter_map(|input| sha256(&input.digest)).collect();
    let unseen = papers.difference(&inputs).find(|paper| **paper != document)?;
    Some(Fault::new(Code::VsaInput, unseen.to_string(), format!("{} other inputs", inputs.len())))
}

#[cfg(test)]
mod tests;
