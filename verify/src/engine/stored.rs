//! A stored summary of a whole release in place of a new verdict.
//!
//! It counts where a verifier of the policy who may vouch for releases signed it, it passed under the very
//! policy in force, it names the digest of the release, it is fresh, and what it was made from is what there
//! is now: the evidence, the trust root and the rules. Otherwise the verdict has to be reached again. No other
//! signature is looked at, but those of summaries that say FAILED: one of them is enough to keep it closed.

use std::collections::BTreeSet;

use bonded_model::limits::{DOCUMENT_COUNT_MAX, LINE_COUNT_MAX};
use bonded_model::statement::DigestMatch;
use bonded_model::vsa::Summary;
use bonded_model::{Digest, Evidence, Release, Timestamp};

use super::vsa as of_release;
use crate::attestation::{Attestation, Frame};
use crate::code::Code;
use crate::facts::{Covering, Inventory, lines_of, subjects_text};
use crate::finding::{Fault, Finding, Severity, Spot};
use crate::identity::Who;
use crate::moment::Moment;
use crate::policy::{Demand, Policy, Sight, VerifierRule};
use crate::signature::{Content, SignedDocument, Verifier};
use crate::summary;
use crate::verdict::{About, AcceptedDocument, ArtifactVerdict, Grounds, Role, SignedBy, Verdict};
use crate::vsa;

/// Reaches the verdict on a release from the signed summaries of it that are held, and from nothing else: a
/// pure function of its arguments, of which `program` is this one in its version, with all its rules. A fail
/// says only that none of them is enough.
pub fn verify_summary(
    verifier: &Verifier,
    policy: &Policy,
    evidence: &Evidence,
    now: Timestamp,
    program: &str,
) -> Verdict {
    let release = &evidence.release;
    let moment = Moment::new(now);
    let frame = Frame::new(verifier, policy, Some(&release.name().version), &moment);
    let inventory = Inventory::new(release);
    let lines = read(&frame, &inventory, evidence);
    let own: BTreeSet<_> = lines
        .iter()
        .filter(|line| line.is_whole && of_release::is_own(policy, &inventory, &line.covering))
        .map(|line| line.document)
        .collect();
    let basis = evidence.digest_of(|document| !of_release::is_among(&own, document));
    let grounds = Grounds {
        policy: policy.digest(),
        trust_root: verifier.trust_root_digest(),
        evidence: evidence.digest(),
        basis,
        now,
        lasts: moment.interval(),
    };
    let inputs = summary::grounds(basis, grounds.trust_root, program);
    let door = Door { policy, release, now: &moment, inputs };
    let (opened, faults) = door.look(&lines, &inventory, evidence.documents.len());
    let severity = if opened.is_some() { Severity::Note } else { Severity::Fail };
    let findings =
        faults.into_iter().map(|(document, fault)| door.finding(document, severity, fault));
    let grounds = Grounds { lasts: moment.interval(), ..grounds };
    let about = About::Release { name: release.name().clone(), digest: release.digest() };
    let looked_at = lines.iter().map(|line| line.document).collect();
    Verdict::new(about, grounds, door.artifacts(opened.as_ref()), looked_at, findings.collect())
}

/// What a summary opens the door with.
struct Opened {
    document: Digest,
    level: Option<u8>,
    signer: Option<SignedBy>,
}

/// What summaries of the release are held against.
struct Door<'a> {
    policy: &'a Policy,
    release: &'a Release,
    now: &'a Moment,
    /// What a summary has to be made from, besides the policy.
    inputs: [(&'static str, Digest); 3],
}

/// A summary, assessed.
struct Line {
    document: Digest,
    /// Whether its document holds nothing else. Only then it opens the door; FAILED is heard anywhere.
    is_whole: bool,
    covering: Covering,
}

/// A fault, with the document that it was found in.
type Found = (Option<Digest>, Fault);

/// All summaries, in the order of their documents. Of too many documents none is read.
fn read(frame: &Frame<'_>, inventory: &Inventory<'_>, evidence: &Evidence) -> Vec<Line> {
    let mut lines = Vec::new();
    if evidence.documents.len() > DOCUMENT_COUNT_MAX {
        return lines;
    }
    let mut seen = BTreeSet::new();
    let read = evidence.documents.iter().filter(|d| of_release::holds_attestations(d.kind));
    for document in read.filter(|document| seen.insert(document.digest)) {
        let held = lines_of(&document.bytes);
        if held.len() > LINE_COUNT_MAX {
            continue;
        }
        let is_whole = held.len() == 1;
        lines.extend(held.into_iter().filter(|line| is_summary(line)).map(|line| {
            let covering = inventory.cover(Attestation::assess(frame, line, None));
            Line { document: document.digest, is_whole, covering }
        }));
    }
    lines.sort_by_key(|line| line.document);
    lines
}

fn is_summary(bytes: &[u8]) -> bool {
    let content = SignedDocument::parse(bytes).map(SignedDocument::into_content);
    matches!(content, Ok(Content::Statement(made)) if vsa::is_type(&made.predicate_type))
}

impl Door<'_> {
    fn look(
        &self,
        lines: &[Line],
        inventory: &Inventory<'_>,
        document_count: usize,
    ) -> (Option<Opened>, Vec<Found>) {
        if document_count > DOCUMENT_COUNT_MAX {
            let expected = format!("at most {DOCUMENT_COUNT_MAX} documents");
            let fault = Fault::new(Code::RelLimit, expected, document_count.to_string());
            return (None, vec![(None, fault)]);
        }
        let (vetoes, others): (Vec<_>, Vec<_>) = lines
            .iter()
            .partition(|line| of_release::is_veto(self.policy, inventory, &line.covering));
        let failed = vetoes.iter().flat_map(|line| {
            of_release::failed_faults(&line.covering).map(|fault| (Some(line.document), fault))
        });
        let (mut opened, mut faults) = (None, failed.collect::<Vec<_>>());
        for line in others.into_iter().filter(|line| line.is_whole) {
            match self.judge(line) {
                Ok(found) => opened = opened.or(Some(found)),
                Err(found) => {
                    faults.extend(found.into_iter().map(|fault| (Some(line.document), fault)));
                }
            }
        }
        if !lines.iter().any(|line| line.is_whole) {
            let expected = "a signed summary of the release";
            faults.push((None, Fault::new(Code::VsaMissing, expected, "none")));
        }
        (opened.filter(|_| vetoes.is_empty()), faults)
    }

    fn judge(&self, line: &Line) -> Result<Opened, Vec<Fault>> {
        let attestation = &line.covering.attestation;
        let Some(summary) = vsa::summary_of(attestation).filter(|_| attestation.faults.is_empty())
        else {
            return Err(attestation.faults.clone());
        };
        let (rule, signers) = vsa::speakers(self.policy, summary, &attestation.signers)
            .map_err(|fault| vec![fault])?;
        let level = attestation.statement.as_ref().and_then(|made| vsa::level(rule, made, summary));
        let another = [self.resource_fault(rule, summary), self.subject_fault(attestation)];
        let another: Vec<_> = another.into_iter().flatten().collect();
        if !another.is_empty() {
            return Err(another);
        }
        let against = [
            self.policy_fault(summary),
            self.trust_fault(rule).or_else(|| self.level_fault(rule, level, summary)),
            vsa::age_fault(Code::VsaAge, summary, &[rule.max_age.as_ref()], self.now)
                .or_else(|| self.ended_fault(summary)),
            self.input_fault(summary),
        ];
        let faults: Vec<_> = against.into_iter().flatten().collect();
        let opened = Opened { document: line.document, level, signer: signers.into_iter().next() };
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
    fn trust_fault(&self, rule: &VerifierRule) -> Option<Fault> {
        let wanted =
            Some(self.policy.highest_required_level()).filter(|level| *level > rule.level)?;
        let seen = format!("a verifier for level {} at most", rule.level);
        Some(Fault::new(Code::VsaLevel, format!("level {wanted}"), seen))
    }

    /// The level of a release is that of its weakest artifact, so it is no lower than what is demanded of any;
    /// where one needs no provenance, none has to be stated.
    fn level_fault(
        &self,
        rule: &VerifierRule,
        level: Option<u8>,
        summary: &Summary,
    ) -> Option<Fault> {
        let each = self.release.artifacts().iter().map(|artifact| {
            let Some((_, demands)) = self.policy.demands_for(&Sight::of(artifact)) else {
                return Some(rule.level); // nobody has looked at it, so it may need any
            };
            let wanted = &demands.provenance;
            (wanted.demand == Demand::Require).then_some(wanted.level)
        });
        let wanted = each.min().flatten()?;
        vsa::level_fault(rule, wanted, level, summary)
    }

    /// What the policy let pass or whom it trusted until then, it may not now.
    fn ended_fault(&self, summary: &Summary) -> Option<Fault> {
        let made = summary.time_verified?;
        let keys = self.policy.signers.iter().filter_map(|signer| match &signer.who {
            Who::Key(rule) => rule.valid_until,
            Who::Certificate { .. } => None,
        });
        let mut ends = self.policy.exceptions.iter().map(|exception| exception.until).chain(keys);
        let ended = ends.find(|end| self.now.has_reached(*end) && *end > made)?;
        let expected =
            format!("verified after {ended}, when an exception or a key of the policy ended");
        Some(Fault::new(Code::VsaAge, expected, format!("verified at {made}")))
    }

    /// What it was made from is what there is now: a document that came or went may change the verdict, and so
    /// may another trust root or other rules.
    fn input_fault(&self, summary: &Summary) -> Option<Fault> {
        let (uri, digest, seen) = self.inputs.iter().find_map(|(uri, digest)| {
            let named = summary.input_attestations.iter();
            let named = named.filter(|input| input.uri.as_deref() == Some(*uri));
            let seen: Vec<_> = named.map(|input| &input.digest).collect();
            let same = seen.iter().all(|seen| seen.matches(&[*digest]) == DigestMatch::Agrees);
            (seen.is_empty() || !same).then_some((uri, digest, seen))
        })?;
        let seen: Vec<_> = seen.into_iter().map(vsa::digests_text).collect();
        let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(" and ") };
        Some(Fault::new(Code::VsaInput, format!("{uri} {digest}"), seen))
    }

    fn artifacts(&self, opened: Option<&Opened>) -> Vec<ArtifactVerdict> {
        let artifacts = self.release.artifacts().iter().map(|artifact| ArtifactVerdict {
            path: Some(artifact.path.clone()),
            digest: artifact.file.digest,
            level: opened.and_then(|opened| opened.level),
            dependencies: None,
            accepted: opened.map_or_else(Vec::new, |opened| {
                let (document, signer) = (opened.document, opened.signer.clone());
                vec![AcceptedDocument { document, role: Role::Summary, signer }]
            }),
        });
        artifacts.collect()
    }

    fn finding(&self, document: Option<Digest>, severity: Severity, fault: Fault) -> Finding {
        let subject = Some(self.release.digest());
        fault.at(Spot { path: None, subject, document }, severity)
    }
}

#[cfg(test)]
mod tests;
