//! The verdict on one file and one bundle, offline: under a policy, an expected identity or a key.

use std::collections::BTreeMap;

use bonded_model::json::to_canonical;
use bonded_model::statement::DigestMatch;
use bonded_model::{Algorithm, ArtifactPath, Digest, Timestamp, Version};
use serde::Serialize;

use crate::attestation::{Attestation, Frame, Purpose};
use crate::code::Code;
use crate::engine::judge::{Candidate, Decided, Rule, either};
use crate::facts;
use crate::finding::{Fault, Finding, Severity, Spot};
use crate::identity::{KeyRule, LogRule, SignerRule, Who, Witnesses};
use crate::key::PublicKey;
use crate::legacy::Forms;
use crate::moment::Moment;
use crate::pattern::Pattern;
use crate::policy::{Count, Demand, Demands, DemandsAt, Place, Policy, Sight};
use crate::signature::{SignedFile, Verifier};
use crate::verdict::{About, AcceptedDocument, ArtifactVerdict, Grounds, Role, Verdict};
use crate::vsa::{self, Worth};

/// The name of the one signer where an identity or a key is expected in place of a policy.
const EXPECTED: &str = "expected";

/// A file, as far as it is at hand, and the bundle that is said to belong to it.
#[derive(Clone, Copy, Debug)]
pub struct FileQuestion<'a> {
    /// Its name, for the record.
    pub path: Option<&'a ArtifactPath>,
    /// Its digests: SHA-256, and perhaps SHA-512.
    pub digests: &'a [Digest],
    /// Its length, for the record.
    pub size: Option<u64>,
    /// Its bytes; only signatures without a prehash, such as Ed25519 over a file, need them.
    pub bytes: Option<&'a [u8]>,
    /// A Sigstore bundle or DSSE envelope, or several as JSON lines.
    pub bundle: &'a [u8],
    /// The version that the file belongs to, where the policy's ref asks for one.
    pub version: Option<&'a Version>,
    /// Where the file stands in its release, where the policy has scopes. Somebody has to say so: the name
    /// of a downloaded file could choose the weaker demands.
    pub release_path: Option<&'a ArtifactPath>,
}

/// What the file's papers must show.
#[derive(Clone, Copy, Debug)]
pub enum FileExpectation<'a> {
    /// What a policy demands of signers and provenance. Its rules on SBOMs, checksums and the set of
    /// artifacts are about releases and are not asked.
    Policy(&'a Policy),
    /// A certificate with exactly this identity from exactly this issuer.
    Identity {
        /// The subject alternative name.
        san: &'a str,
        /// The issuer.
        issuer: &'a str,
    },
    /// A signature by this key.
    Key(&'a PublicKey),
}

/// Reaches the verdict on a file: a pure function of its arguments.
pub fn verify_file(
    verifier: &Verifier,
    expectation: &FileExpectation<'_>,
    question: &FileQuestion<'_>,
    now: Timestamp,
) -> Verdict {
    let document = Digest::sha256_of(question.bundle);
    let policy = policy_of(expectation);
    let moment = Moment::new(now);
    let evidence = evidence_digest(question, document);
    let grounds = Grounds {
        policy: policy.digest(),
        trust_root: verifier.trust_root_digest(),
        evidence,
        basis: evidence,
        now,
        lasts: moment.interval(),
    };
    let Some(file) = question.identity() else {
        let fault = Fault::new(Code::SigSubject, "the SHA-256 digest of the file", "none");
        let about = About::File { digest: document };
        let finding = finding(question, None, Some(document), Severity::Fail, fault);
        return Verdict::new(about, grounds, Vec::new(), vec![document], vec![finding]);
    };
    let about = About::File { digest: file };
    let documents = vec![document];
    let Some((under, demands)) = policy.demands_for(&Sight::of_file(question.release_path)) else {
        let expected = "the path in the release, kind and platform, which scopes ask for";
        let fault = Fault::new(Code::RelUnknown, expected, "a file outside of any release");
        let finding = finding(question, Some(file), None, Severity::Fail, fault);
        return Verdict::new(about, grounds, Vec::new(), documents, vec![finding]);
    };
    let frame = Frame::new(verifier, &policy, question.version, &moment);
    let signed = SignedFile { digests: question.digests, bytes: question.bytes };
    let attestations = facts::attestations(&frame, question.bundle, Some(signed));
    let now = &moment;
    let weighed = Weighed { question, document, expectation, under, demands, now };
    let judged: Vec<_> = attestations.iter().map(|a| weighed.judge(a)).collect();
    let decided = weighed.decide(&attestations, &judged);
    let (papers, summaries) = (decided.0.into_parts(), decided.1.into_parts());
    let found = papers.1.into_iter().chain(summaries.1);
    let found = found.map(|(severity, _, fault)| (severity, fault));
    let doubts = judged.into_iter().flat_map(|judged| judged.doubts);
    let findings = found
        .chain(doubts)
        .map(|(severity, fault)| finding(question, Some(file), Some(document), severity, fault));
    let accepted = in_roles(papers.0, summaries.0);
    let level = accepted.iter().filter_map(|(_, accepted)| accepted.level).max();
    let accepted = accepted.into_iter().map(|(role, accepted)| {
        let signer = accepted.signers.into_iter().next();
        AcceptedDocument { document, role, signer }
    });
    let path = question.path.cloned();
    let (accepted, dependencies) = (accepted.collect(), None);
    let artifact = ArtifactVerdict { path, digest: file, level, dependencies, accepted };
    let findings = findings.collect();
    let grounds = Grounds { lasts: moment.interval(), ..grounds };
    Verdict::new(about, grounds, vec![artifact], documents, findings)
}

/// Where the policy only warns of what the predicate says, or does not ask, a provenance that breaks a rule passes
/// as a signed statement, and lends the file no level.
fn in_roles(papers: Vec<Candidate>, summaries: Vec<Candidate>) -> Vec<(Role, Candidate)> {
    let papers = papers.into_iter().map(|paper| {
        (if paper.level.is_some() { Role::Provenance } else { Role::Signature }, paper)
    });
    papers.chain(summaries.into_iter().map(|summary| (Role::Summary, summary))).collect()
}

impl FileQuestion<'_> {
    fn identity(&self) -> Option<Digest> {
        self.digests.iter().find(|digest| digest.algorithm() == Algorithm::Sha256).copied()
    }
}

/// What one attestation is worth as the paper of a file.
struct Judged {
    against: Vec<Fault>,
    /// What does not decide, with its weight.
    doubts: Vec<(Severity, Fault)>,
    /// What it is worth in place of provenance, if it is a summary and the policy asks for one.
    instead: Option<Worth>,
}

/// What the attestations of a file are weighed under.
struct Weighed<'a> {
    question: &'a FileQuestion<'a>,
    /// The digest of the bundle.
    document: Digest,
    expectation: &'a FileExpectation<'a>,
    under: DemandsAt,
    demands: &'a Demands,
    now: &'a Moment,
}

impl Weighed<'_> {
    /// Signature, signer and subject always count; what the predicate says counts as the policy demands.
    fn judge(&self, attestation: &Attestation) -> Judged {
        let about_signature = |fault: &Fault| {
            let families = ["SIG-", "ID-", "STMT-"];
            families.iter().any(|family| fault.code.as_str().starts_with(family))
        };
        let faults = attestation.faults_under(self.under).into_iter();
        let (mut against, mut doubts): (Vec<_>, Vec<_>) = faults.partition(about_signature);
        if self.demand() == Demand::Require {
            against.append(&mut doubts);
        }
        if !matches!(self.expectation, FileExpectation::Policy(_)) {
            // An identity or a key is expected without any builder, so none can be missing.
            doubts.retain(|fault| fault.code != Code::ProvBuilder);
        }
        let instead = self.instead(attestation);
        against.extend(instead.iter().flat_map(|worth| worth.faults.iter().cloned()));
        let code = match (&attestation.purpose, &instead) {
            (_, Some(_)) => Code::VsaSubject,
            (Purpose::Provenance(_), _) => Code::ProvSubject,
            _ => Code::SigSubject,
        };
        against.extend(self.subject_fault(attestation, code));
        let answers = instead.is_some() || matches!(attestation.purpose, Purpose::Provenance(_));
        if self.demand() == Demand::Require && !answers && against.is_empty() {
            let seen = match &attestation.statement {
                Some(statement) if !matches!(attestation.purpose, Purpose::File) => {
                    statement.predicate_type.as_str()
                }
                _ => "a signature over the file",
            };
            against.push(Fault::new(Code::ProvMissing, "provenance of the file", seen));
        }
        let doubts = doubts.into_iter().map(|fault| (self.demand().severity(), fault));
        let asides = attestation.asides.iter().map(|fault| (Severity::Note, fault.clone()));
        Judged { against, doubts: doubts.chain(asides).collect(), instead }
    }

    fn subject_fault(&self, attestation: &Attestation, code: Code) -> Option<Fault> {
        let statement = attestation.statement.as_ref()?;
        (statement.matches(self.question.digests) != DigestMatch::Agrees).then(|| {
            let seen = facts::subjects_text(statement);
            Fault::new(code, "the file's digest among the subjects", seen)
        })
    }

    /// One paper is enough, or as many signers as the policy demands of provenance.
    fn decide(&self, attestations: &[Attestation], judged: &[Judged]) -> (Decided, Decided) {
        let count = match self.demand() {
            Demand::Require => self.demands.provenance.count.clone(),
            Demand::Warn | Demand::Off => Count::default(),
        };
        let rule = Rule {
            role: Role::Signature,
            name: None,
            demand: Demand::Require,
            count: &count,
            missing: Fault::new(Code::ProvMissing, "a paper of the file", "none"),
            too_few: Code::ProvQuorum,
            too_old: Code::ProvAge,
        };
        // How old a summary may be is held against the time that it states.
        let count = Count { quorum: count.quorum, max_age: None };
        let instead = Rule { count: &count, missing: rule.missing.clone(), ..rule };
        let pairs = attestations.iter().zip(judged);
        let (summaries, papers): (Vec<_>, Vec<_>) =
            pairs.partition(|(_, judged)| judged.instead.is_some());
        let candidates = |pairs: &[(&Attestation, &Judged)]| -> Vec<Candidate> {
            pairs.iter().map(|(attestation, judged)| self.candidate(attestation, judged)).collect()
        };
        let (papers, summaries) = (candidates(&papers), candidates(&summaries));
        either((&rule, papers), (&instead, summaries), self.now)
    }

    fn candidate(&self, attestation: &Attestation, judged: &Judged) -> Candidate {
        let (signers, level) = match (&judged.instead, self.demand()) {
            (Some(worth), _) => (worth.signers.clone(), worth.level),
            (None, Demand::Require) => {
                (attestation.speakers_under(self.under), attestation.level_under(self.under))
            }
            (None, Demand::Warn | Demand::Off) => {
                (attestation.signers_under(self.under), attestation.level_under(self.under))
            }
        };
        let (document, faults) = (self.document, judged.against.clone());
        Candidate { document, signers, level, faults, heard_at: None }
    }

    fn demand(&self) -> Demand {
        self.demands.provenance.demand
    }

    /// What a summary is worth where the policy names verifiers and demands provenance.
    fn instead(&self, attestation: &Attestation) -> Option<Worth> {
        let FileExpectation::Policy(policy) = self.expectation else { return None };
        let is_summary = matches!(attestation.purpose, Purpose::Summary(_));
        if !is_summary || policy.verifiers.is_empty() || self.demand() != Demand::Require {
            return None;
        }
        let rule = &self.demands.provenance;
        let (question, max_age) = (self.question, rule.count.max_age.as_ref());
        // To which project the file belongs nobody has said.
        let place = Place { project: None, version: question.version, path: question.release_path };
        let asked = vsa::Asked { policy, now: self.now, level: rule.level, max_age, place };
        Some(vsa::weigh(&asked, attestation))
    }
}

fn finding(
    question: &FileQuestion<'_>,
    subject: Option<Digest>,
    document: Option<Digest>,
    severity: Severity,
    fault: Fault,
) -> Finding {
    fault.at(Spot { path: question.path.cloned(), subject, document }, severity)
}

fn policy_of<'a>(expectation: &FileExpectation<'a>) -> std::borrow::Cow<'a, Policy> {
    use std::borrow::Cow;
    match expectation {
        FileExpectation::Policy(policy) => Cow::Borrowed(policy),
        FileExpectation::Identity { san, issuer } => {
            let who = Who::Certificate {
                issuer: (*issuer).to_owned(),
                identity: Pattern::Exact((*san).to_owned()),
                claims: BTreeMap::new(),
            };
            let digest = Digest::sha256_of(&to_canonical(&("identity", san, issuer)));
            Cow::Owned(Policy::of_one_signer(expected(who), digest))
        }
        FileExpectation::Key(key) => {
            let who = Who::Key(KeyRule {
                key: (*key).clone(),
                valid_from: None,
                valid_until: None,
                log: LogRule::IfPresent,
            });
            let digest = Digest::sha256_of(&to_canonical(&("key", key.digest())));
            Cow::Owned(Policy::of_one_signer(expected(who), digest))
        }
    }
}

fn evidence_digest(question: &FileQuestion<'_>, bundle: Digest) -> Digest {
    #[derive(Serialize)]
    struct Looked<'a> {
        path: Option<&'a ArtifactPath>,
        digests: &'a [Digest],
        size: Option<u64>,
        bundle: Digest,
        version: Option<&'a Version>,
        release_path: Option<&'a ArtifactPath>,
        has_bytes: bool,
    }
    Digest::sha256_of(&to_canonical(&Looked {
        path: question.path,
        digests: question.digests,
        size: question.size,
        bundle,
        version: question.version,
        release_path: question.release_path,
        has_bytes: question.bytes.is_some(),
    }))
}

fn expected(who: Who) -> SignerRule {
    let (witnesses, legacy) = (Witnesses::default(), Forms::new());
    SignerRule { name: EXPECTED.to_owned(), who, witnesses, legacy, root: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, FILE, Key, provenance, statement, time};
    use crate::trust::TrustRoot;
    use serde_json::json;

    fn ask(
        expectation: &FileExpectation<'_>,
        file: &[u8],
        bytes: Option<&[u8]>,
        bundle: &[u8],
    ) -> Verdict {
        let version = "v1".parse().unwrap();
        let question = FileQuestion {
            path: None,
            digests: &[Digest::sha256_of(file)],
            size: None,
            bytes,
            bundle,
            version: Some(&version),
            release_path: None,
        };
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        verify_file(&verifier, expectation, &question, time("2026-06-01T00:00:00Z"))
    }

    fn check(verdict: &Verdict, fails: &[Code]) {
        let found: Vec<_> = verdict.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(found, fails, "{verdict:?}");
        assert_eq!(verdict.is_pass(), fails.is_empty());
        assert_eq!(verdict.release(), None);
    }

    fn public(key: &Key) -> PublicKey {
        PublicKey::from_pem(&key.public_pem()).unwrap()
    }

    #[test]
    fn a_statement_under_a_policy() {
        let policy = Policy::parse(&Case::bare().policy).unwrap();
        let expectation = FileExpectation::Policy(&policy);
        let bundle = Key::from_seed(1).bundle(&provenance(FILE, |_| {}).to_bytes());
        let verdict = ask(&expectation, FILE, None, &bundle);
        check(&verdict, &[]);
        assert_eq!(verdict.artifacts()[0].level, Some(3));
        assert_eq!(verdict.policy_digest(), policy.digest());
        assert_eq!(verdict.subject_digest(), Digest::sha256_of(FILE));
        check(&ask(&expectation, b"other", None, &bundle), &[Code::ProvSubject]);
        let link =
            statement(FILE, "https://in-toto.io/attestation/link/v0.3", &json!({"name": "a"}));
        let link = Key::from_seed(1).bundle(&link.to_bytes());
        check(&ask(&expectation, FILE, None, &link), &[Code::ProvMissing]);
        check(&ask(&expectation, FILE, None, b""), &[Code::SigMalformed]);
    }

    #[test]
    fn a_summary_stands_for_provenance_of_a_file_too() {
        let id = "https://example.com/verifier";
        let summary = |result: &str, resource: &str| {
            let predicate = json!({
                "verifier": {"id": id}, "resourceUri": resource, "policy": {},
                "verificationResult": result, "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
            });
            let made = statement(FILE, bonded_model::vsa::SUMMARY_V1, &predicate);
            Key::from_seed(1).bundle(&made.to_bytes())
        };
        let policy = |resource: &str| {
            let mut case = Case::bare();
            let head = format!("[[verifier]]\nid = \"{id}\"\nsigners = [\"key\"]\nlevel = 3");
            case.edit("#sbom", &format!("{head}\nresource = \"{resource}\"\n"));
            Policy::parse(&case.policy).unwrap()
        };
        let (versioned, project) = (policy("pkg:x@{version}"), policy("pkg:{project}@{version}"));
        let expectation = FileExpectation::Policy(&versioned);
        let good = summary("PASSED", "pkg:x@v1");
        let verdict = ask(&expectation, FILE, None, &good);
        check(&verdict, &[]);
        let artifact = &verdict.artifacts()[0];
        assert_eq!((artifact.level, artifact.accepted[0].role), (Some(3), Role::Summary));
        check(&ask(&expectation, b"other", None, &good), &[Code::VsaSubject]);
        let other = summary("PASSED", "pkg:x@v2");
        check(&ask(&expectation, FILE, None, &other), &[Code::VsaResource]);
        let named = summary("PASSED", "pkg:demo@v1");
        let unknown = FileExpectation::Policy(&project);
        check(&ask(&unknown, FILE, None, &named), &[Code::VsaResource]);
        let provenance = Key::from_seed(1).bundle(&provenance(FILE, |_| {}).to_bytes());
        // Nobody said where the file belongs, which is no reason to leave a FAILED about it unheard.
        for resource in ["pkg:{project}@{version}", "pkg:x/{path}"] {
            let unfilled = policy(resource);
            let unfilled = FileExpectation::Policy(&unfilled);
            let failed = [provenance.clone(), summary("FAILED", "pkg:demo@v1")].join(&b'\n');
            check(&ask(&unfilled, FILE, None, &failed), &[Code::StmtFailed]);
        }
        let failed = [provenance.clone(), summary("FAILED", "pkg:x@v1")].join(&b'\n');
        check(&ask(&expectation, FILE, None, &failed), &[Code::StmtFailed]);
        let both = [provenance, other].join(&b'\n');
        let verdict = ask(&expectation, FILE, None, &both);
        assert!(verdict.is_pass() && verdict.artifacts()[0].accepted[0].role == Role::Provenance);
        let bare = Policy::parse(&Case::bare().policy).unwrap();
        check(&ask(&FileExpectation::Policy(&bare), FILE, None, &good), &[Code::ProvMissing]);
    }

    #[test]
    fn what_the_predicate_says_counts_as_the_policy_demands() {
        let change = |predicate: &mut serde_json::Value| {
            predicate["runDetails"]["builder"]["id"] = json!("https://example.com/other");
        };
        let bundle = Key::from_seed(1).bundle(&provenance(FILE, change).to_bytes());
        let findings = [(Code::ProvBuilder, Severity::Fail), (Code::ProvBuilder, Severity::Warn)];
        let findings = [findings[0], findings[1], (Code::ProvBuilder, Severity::Note)];
        let table =
            [("require", &findings[..1]), ("warn", &findings[1..2]), ("off", &findings[2..])];
        for (rule, expected) in table {
            let mut case = Case::bare();
            case.edit("[provenance]\n", &format!("[provenance]\nrule = \"{rule}\"\n"));
            let policy = Policy::parse(&case.policy).unwrap();
            let verdict = ask(&FileExpectation::Policy(&policy), FILE, None, &bundle);
            let found: Vec<_> = verdict.findings().iter().map(|f| (f.code, f.severity)).collect();
            assert_eq!(found, expected, "{rule}");
            assert_eq!(verdict.is_pass(), rule != "require");
            assert_eq!(verdict.artifacts()[0].level, None, "{rule}");
            let verdict = ask(&FileExpectation::Policy(&policy), b"other", None, &bundle);
            assert!(!verdict.is_pass(), "{rule}");
        }
    }

    /// A provenance that broke the rules passed where they only warn, and lent the file its builder's
    /// level: whoever may sign an SBOM could claim it. It now counts as a signature and no more.
    #[test]
    fn a_provenance_that_breaks_a_rule_lends_no_level() {
        let (builder, other) = (Key::from_seed(1), Key::from_seed(2));
        let second = other.public_pem();
        for rule in ["warn", "off"] {
            let mut case = Case::bare();
            let second = format!("[[signer]]\nname = \"sbom\"\npublic_key = '''\n{second}'''\n");
            case.edit("[[builder]]", &format!("{second}[[builder]]"));
            case.edit("[provenance]\n", &format!("[provenance]\nrule = \"{rule}\"\n"));
            let policy = Policy::parse(&case.policy).unwrap();
            let judge = |key: &Key| {
                let bundle = key.bundle(&provenance(FILE, |_| {}).to_bytes());
                ask(&FileExpectation::Policy(&policy), FILE, None, &bundle)
            };
            let found = |verdict: &Verdict| {
                let artifact = &verdict.artifacts()[0];
                assert!(verdict.is_pass(), "{rule}");
                let codes: Vec<_> = verdict.findings().iter().map(|f| f.code).collect();
                (artifact.level, artifact.accepted[0].role, codes)
            };
            assert_eq!(found(&judge(&builder)), (Some(3), Role::Provenance, vec![]), "{rule}");
            let expected = (None, Role::Signature, vec![Code::ProvSigner]);
            assert_eq!(found(&judge(&other)), expected, "{rule}");
        }
    }

    #[test]
    fn an_empty_predicate_by_the_expected_key_is_no_provenance() {
        let key = Key::from_seed(1);
        let empty = statement(FILE, bonded_model::slsa::PROVENANCE_V1, &json!({}));
        let public = public(&key);
        let verdict =
            ask(&FileExpectation::Key(&public), FILE, None, &key.bundle(&empty.to_bytes()));
        let artifact = &verdict.artifacts()[0];
        assert_eq!((artifact.level, artifact.accepted[0].role), (None, Role::Signature));
        let found: Vec<_> = verdict.findings().iter().map(|f| (f.code, f.severity)).collect();
        assert_eq!(found, [(Code::ProvMalformed, Severity::Note)]);
    }

    #[test]
    fn a_statement_by_a_key_without_a_policy() {
        let (mine, other) = (Key::from_seed(1), Key::from_seed(2));
        let bundle = mine.bundle(&provenance(FILE, |_| {}).to_bytes());
        let (mine, other) = (public(&mine), public(&other));
        let verdict = ask(&FileExpectation::Key(&mine), FILE, None, &bundle);
        check(&verdict, &[]);
        assert_eq!(verdict.artifacts()[0].accepted[0].signer.as_ref().unwrap().name, EXPECTED);
        check(&ask(&FileExpectation::Key(&mine), b"x", None, &bundle), &[Code::ProvSubject]);
        check(&ask(&FileExpectation::Key(&other), FILE, None, &bundle), &[Code::SigKey]);
        let identity = FileExpectation::Identity { san: "a@example.com", issuer: "https://i" };
        check(&ask(&identity, FILE, None, &bundle), &[Code::SigKey]);
    }

    #[test]
    fn a_signature_over_the_file_itself() {
        let key = Key::from_seed(1);
        let public = public(&key);
        let expectation = FileExpectation::Key(&public);
        let bundle = key.file_bundle(FILE, &Digest::sha256_of(FILE));
        let verdict = ask(&expectation, FILE, Some(FILE), &bundle);
        check(&verdict, &[]);
        assert_eq!(verdict.artifacts()[0].accepted[0].role, Role::Signature);
        check(&ask(&expectation, FILE, None, &bundle), &[Code::SigUnsupported]);
        check(&ask(&expectation, FILE, Some(b"other"), &bundle), &[Code::SigSubject]);
        check(&ask(&expectation, b"other", Some(b"other"), &bundle), &[Code::SigSubject]);
        let undeclared = key.file_bundle(b"forged", &Digest::sha256_of(FILE));
        check(&ask(&expectation, FILE, Some(FILE), &undeclared), &[Code::SigInvalid]);
    }

    /// A bad signature beside a good one was told nowhere.
    #[test]
    fn a_signature_beside_one_that_holds_is_noted() {
        let (mine, other) = (Key::from_seed(1), Key::from_seed(2));
        let payload = provenance(FILE, |_| {}).to_bytes();
        let mut envelope = mine.envelope(bonded_model::media_type::IN_TOTO, &payload);
        let public = public(&mine);
        let ask = |envelope: &bonded_model::dsse::Envelope| {
            ask(&FileExpectation::Key(&public), FILE, None, &envelope.to_bytes())
        };
        check(&ask(&envelope), &[]);
        let bytes =
            other.sign(&bonded_model::dsse::pae(bonded_model::media_type::IN_TOTO, &payload));
        envelope.signatures.push(bonded_model::dsse::Signature { key_id: None, bytes });
        let verdict = ask(&envelope);
        let [finding] = verdict.findings() else { panic!("{:?}", verdict.findings()) };
        assert_eq!((finding.code, finding.severity), (Code::SigKey, Severity::Note));
        assert_eq!(finding.document, Some(Digest::sha256_of(&envelope.to_bytes())));
        assert!(finding.seen.starts_with("1 of 2 signatures"), "{}", finding.seen);
        assert!(verdict.is_pass());
    }

    #[test]
    fn a_question_without_a_digest_is_no_pass() {
        let policy = Policy::parse(&Case::bare().policy).unwrap();
        let bundle = Key::from_seed(1).bundle(&provenance(FILE, |_| {}).to_bytes());
        let question = FileQuestion {
            path: None,
            digests: &[Digest::sha512_of(FILE)],
            size: None,
            bytes: Some(FILE),
            bundle: &bundle,
            version: None,
            release_path: None,
        };
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let now = time("2026-06-01T00:00:00Z");
        let verdict = verify_file(&verifier, &FileExpectation::Policy(&policy), &question, now);
        check(&verdict, &[Code::SigSubject]);
        let digests = [Digest::sha256_of(FILE)];
        let question = FileQuestion { digests: &digests, ..question };
        let verdict = verify_file(&verifier, &FileExpectation::Policy(&policy), &question, now);
        check(&verdict, &[Code::ProvRef]);
    }

    /// Holds each provenance for signed by the workflow that it names as its builder.
    struct ByBuilder;

    impl crate::signature::SignatureVerifier for ByBuilder {
        fn verify(
            &self,
            document: &crate::signature::SignedDocument,
            _: &crate::signature::Against<'_>,
        ) -> Result<crate::identity::Signed, Fault> {
            let mut signed = crate::testing::workflow();
            if let (
                crate::signature::Content::Statement(statement),
                crate::identity::Signer::Certificate(holder),
            ) = (document.content(), &mut signed.signer)
            {
                let predicate: serde_json::Value =
                    serde_json::from_str(statement.predicate.get()).unwrap();
                holder.identity =
                    predicate["runDetails"]["builder"]["id"].as_str().unwrap().to_owned();
            }
            Ok(signed)
        }

        fn knows(&self, _: &crate::signature::SignedDocument) -> bool {
            true
        }
    }

    /// A quorum of a single file was counted with signers who do not speak for the builder.
    #[test]
    fn a_quorum_counts_those_who_speak_for_the_builder() {
        let ids = ["https://example.com/a", "https://example.com/b"];
        let mut case = Case::certified(crate::testing::workflow());
        let glob = "identity_glob = \"https://example.com/*\"";
        case.edit(&format!("identity = \"{}\"", crate::testing::BUILDER), glob);
        case.edit(
            "[[builder]]",
            &format!(
                "[[signer]]\nname = \"mute\"\nissuer = \"{}\"\n{glob}\n[[builder]]",
                crate::identity::GITHUB_ISSUER
            ),
        );
        let builder = |id: &str| format!("id = \"{id}\"\nsigners = [\"key\"]\nlevel = 3\n");
        let builders = format!("{}[[builder]]\n{}", builder(ids[0]), builder(ids[1]));
        case.edit(&builder(crate::testing::BUILDER), &builders);
        case.edit("#provenance", "quorum = 2");
        let lines = ids.map(|id| {
            let change = |p: &mut serde_json::Value| p["runDetails"]["builder"]["id"] = json!(id);
            crate::testing::certified(&provenance(FILE, change))
        });
        let judge = |policy: &str| {
            let policy = Policy::parse(policy).unwrap();
            let verifier = Verifier::of_double(Box::new(ByBuilder));
            let version = "v1".parse().unwrap();
            let question = FileQuestion {
                path: None,
                digests: &[Digest::sha256_of(FILE)],
                size: None,
                bytes: None,
                bundle: &lines.join(&b'\n'),
                version: Some(&version),
                release_path: None,
            };
            let now = time("2026-06-01T00:00:00Z");
            verify_file(&verifier, &FileExpectation::Policy(&policy), &question, now)
        };
        check(&judge(&case.policy), &[Code::ProvQuorum]);
        let spoken = case.policy.replace("signers = [\"key\"]", "signers = [\"key\", \"mute\"]");
        check(&judge(&spoken), &[]);
    }

    #[test]
    fn the_evidence_is_all_that_was_asked_with() {
        let (path, version) = ("a".parse().unwrap(), "v1".parse().unwrap());
        let digests = [Digest::sha256_of(FILE), Digest::sha512_of(FILE)];
        let least = FileQuestion {
            path: None,
            digests: &digests[..1],
            size: None,
            bytes: None,
            bundle: b"",
            version: None,
            release_path: None,
        };
        let questions = [
            least,
            FileQuestion { path: Some(&path), ..least },
            FileQuestion { digests: &digests, ..least },
            FileQuestion { size: Some(5), ..least },
            FileQuestion { bytes: Some(FILE), ..least },
            FileQuestion { bundle: b"{}", ..least },
            FileQuestion { version: Some(&version), ..least },
            FileQuestion { release_path: Some(&path), ..least },
        ];
        let digest = |q: &FileQuestion<'_>| evidence_digest(q, Digest::sha256_of(q.bundle));
        let found: std::collections::BTreeSet<_> = questions.iter().map(digest).collect();
        assert_eq!(found.len(), questions.len());
    }

    #[test]
    fn another_expectation_has_another_digest() {
        let keys = [1, 2].map(|seed| public(&Key::from_seed(seed)));
        let digests: std::collections::BTreeSet<_> = [
            FileExpectation::Key(&keys[0]),
            FileExpectation::Key(&keys[1]),
            FileExpectation::Identity { san: "a", issuer: "b" },
            FileExpectation::Identity { san: "b", issuer: "a" },
        ]
        .iter()
        .map(|expectation| ask(expectation, FILE, None, b"").policy_digest())
        .collect();
        assert_eq!(digests.len(), 4);
    }
}
