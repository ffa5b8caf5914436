//! Verdicts kept for later: as bytes that only somebody with the key can have made.
//!
//! ```text
//! 0   tag   32  BLAKE3 of what follows, keyed
//! 32  body   n  canonical JSON: what the verdict was reached from, between which times it is the same, and
//!               the verdict itself without the time that it speaks of
//! ```
//!
//! Whoever may write where the bytes lie can take them away or put older ones back, and gains nothing by it:
//! bytes count only for the question that they were made for. They are trusted to have been made by this
//! program in this version from a verdict that it reached, because of the tag and of nothing else. So the key
//! has to lie where only they who reach verdicts can read it, and not beside the bytes.

use bonded_model::json::to_canonical;
use bonded_model::{ArtifactPath, Digest, ReleaseName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{About, ArtifactVerdict, Grounds, Verdict};
use crate::code::Code;
use crate::finding::{Finding, Severity};
use crate::moment::Interval;

/// The version of the form of the body.
const BODY_VERSION: u32 = 2;

const TAG_BYTES: usize = 32;

/// The secret that marks cached verdicts as made by its holder.
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// A key of these bytes, which nobody else may know.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn tag(&self, body: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, body)
    }
}

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey(..)")
    }
}

/// All that a verdict on a release depends on, but the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheQuestion<'a> {
    /// The program in its version, with all its rules: a verdict by any other is none here.
    pub program: &'a str,
    /// The release.
    pub release: &'a ReleaseName,
    /// Stands for everything that the store would gather as evidence, and changes whenever that does.
    pub papers: Digest,
    /// The digest of the policy.
    pub policy: Digest,
    /// The digest of the trust root.
    pub trust_root: Digest,
}

impl CacheQuestion<'_> {
    /// Where the verdict is kept. Of a release with one policy and trust root there is one, which a newer
    /// one with other papers, or by another program, takes the place of.
    pub fn slot(&self) -> Digest {
        Digest::sha256_of(&to_canonical(&("verdict", self.release, self.policy, self.trust_root)))
    }
}

#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    question: CacheQuestion<'a>,
    evidence: Digest,
    basis: Digest,
    lasts: Interval,
    digest: Digest,
    dependencies: Option<u64>,
    artifacts: &'a [ArtifactVerdict],
    documents: &'a [Digest],
    findings: Vec<Found<&'a str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    question: Asked,
    evidence: Digest,
    basis: Digest,
    lasts: Interval,
    digest: Digest,
    dependencies: Option<u64>,
    artifacts: Vec<ArtifactVerdict>,
    documents: Vec<Digest>,
    findings: Vec<Found<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    program: String,
    release: ReleaseName,
    papers: Digest,
    policy: Digest,
    trust_root: Digest,
}

/// A finding with the name of its rule, which the JSON of a verdict leaves out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found<T> {
    path: Option<ArtifactPath>,
    subject: Option<Digest>,
    document: Option<Digest>,
    code: T,
    expected: T,
    seen: T,
    severity: Severity,
    rule: Option<T>,
}

impl Verdict {
    /// The bytes to keep, by [`CacheQuestion::slot`]; `None` for a verdict on a file, one that answers
    /// another question, and one that lasts for no longer than its own second.
    pub fn to_cache(&self, question: &CacheQuestion<'_>, key: &CacheKey) -> Option<Vec<u8>> {
        let About::Release { name, digest } = &self.about else { return None };
        let Grounds { policy, trust_root, evidence, basis, lasts, .. } = self.grounds;
        let same = *name == *question.release
            && (policy, trust_root) == (question.policy, question.trust_root);
        if !same || lasts.is_moment() {
            return None;
        }
        let body = to_canonical(&Body {
            version: BODY_VERSION,
            question: *question,
            evidence,
            basis,
            lasts,
            digest: *digest,
            dependencies: self.dependencies,
            artifacts: &self.artifacts,
            documents: &self.documents,
            findings: self.findings.iter().map(Found::of).collect(),
        });
        Some([key.tag(&body).as_bytes(), body.as_slice()].concat())
    }

    /// The verdict that was kept for that question, as of `now`. `None` where the bytes are not by a holder
    /// of the key, were made for another question or by another program, or where the verdict may be another
    /// one by now.
    ///
    /// It opens doors like one just reached. What it takes on trust is that whoever has the key puts its
    /// tag on nothing but the bytes of [`Verdict::to_cache`], and that the question's `papers` and `program`
    /// stand for what they are said to.
    pub fn from_cache(
        bytes: &[u8],
        question: &CacheQuestion<'_>,
        key: &CacheKey,
        now: Timestamp,
    ) -> Option<Self> {
        let (tag, body) = bytes.split_first_chunk::<TAG_BYTES>()?;
        // Compared in constant time.
        if key.tag(body) != blake3::Hash::from_bytes(*tag) {
            return None;
        }
        let kept: Kept = serde_json::from_slice(body).ok()?; // a form of another version
        let asked = CacheQuestion {
            program: &kept.question.program,
            release: &kept.question.release,
            papers: kept.question.papers,
            policy: kept.question.policy,
            trust_root: kept.question.trust_root,
        };
        if kept.version != BODY_VERSION || asked != *question || !kept.lasts.contains(now) {
            return None;
        }
        let grounds = Grounds {
            policy: asked.policy,
            trust_root: asked.trust_root,
            evidence: kept.evidence,
            basis: kept.basis,
            now,
            lasts: kept.lasts,
        };
        let findings = kept.findings.into_iter().map(Found::into_finding);
        Some(Self {
            about: About::Release { name: kept.question.release, digest: kept.digest },
            grounds,
            dependencies: kept.dependencies,
            artifacts: kept.artifacts,
            documents: kept.documents,
            findings: findings.collect::<Option<_>>()?,
        })
    }
}

impl<'a> Found<&'a str> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            path: finding.path.clone(),
            subject: finding.subject,
            document: finding.document,
            code: finding.code.as_str(),
            expected: &finding.expected,
            seen: &finding.seen,
            severity: finding.severity,
            rule: finding.rule.as_deref(),
        }
    }
}

impl Found<String> {
    fn into_finding(self) -> Option<Finding> {
        let code = Code::ALL.iter().find(|code| code.as_str() == self.code)?;
        let Self { path, subject, document, expected, seen, severity, rule, .. } = self;
        Some(Finding { path, subject, document, code: *code, expected, seen, severity, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, time};

    /// A verdict with findings of all weights, one of a named rule.
    fn verdict() -> Verdict {
        let mut case = Case::good();
        case.attach(bonded_model::DocumentKind::Bundle, b"{}");
        let expression = "#sbom\n[[expression]]\nname = \"n\"\ncel = \"false\"\nof = \"artifacts\"\nrule = \"warn\"\n\
                          [[exception]]\ncode = \"SUM-MISSING\"\nuntil = \"2026-07-01T00:00:00Z\"\nreason = \"r\"\n\
                          [checksums]\nrule = \"require\"\n";
        case.edit("#sbom\n", expression);
        case.verdict()
    }

    struct Ask {
        release: ReleaseName,
        verdict: Verdict,
        key: CacheKey,
    }

    impl Ask {
        fn new() -> Self {
            let release = "demo@v1".parse().unwrap();
            Self { release, verdict: verdict(), key: CacheKey::new([7; 32]) }
        }

        fn question(&self) -> CacheQuestion<'_> {
            CacheQuestion {
                program: "1",
                release: &self.release,
                papers: Digest::sha256_of(b"papers"),
                policy: self.verdict.policy_digest(),
                trust_root: self.verdict.trust_root_digest(),
            }
        }

        fn kept(&self) -> Vec<u8> {
            self.verdict.to_cache(&self.question(), &self.key).unwrap()
        }

        fn read(&self, bytes: &[u8]) -> Option<Verdict> {
            Verdict::from_cache(bytes, &self.question(), &self.key, self.verdict.now())
        }
    }

    #[test]
    fn a_verdict_comes_back_whole() {
        let ask = Ask::new();
        let rules = ask.verdict.findings().iter().filter(|finding| finding.rule.is_some());
        assert!(rules.count() > 0 && ask.verdict.findings().len() > 2, "{:?}", ask.verdict);
        assert_eq!(ask.read(&ask.kept()), Some(ask.verdict.clone()));
    }

    #[test]
    fn at_another_time_it_speaks_of_that_time() {
        let ask = Ask::new();
        let at = |now| Verdict::from_cache(&ask.kept(), &ask.question(), &ask.key, time(now));
        let later = at("2026-06-30T23:59:59Z").unwrap();
        let text = |verdict: &Verdict| String::from_utf8(verdict.to_json()).unwrap();
        let told = text(&later).replace("2026-06-30T23:59:59Z", &ask.verdict.now().to_string());
        assert_eq!(told, text(&ask.verdict));
        assert_eq!(at("2026-07-01T00:00:00Z"), None, "the exception has ended");
    }

    /// Who can write where it is kept has no key.
    #[test]
    fn what_is_not_by_a_holder_of_the_key_is_nothing() {
        let ask = Ask::new();
        let kept = ask.kept();
        for length in (0..kept.len()).step_by(7).chain([31, 32, 33, kept.len() - 1]) {
            assert_eq!(ask.read(&kept[..length]), None, "cut to {length}");
        }
        for at in 0..kept.len() {
            let mut flipped = kept.clone();
            flipped[at] ^= 1;
            assert_eq!(ask.read(&flipped), None, "flipped at {at}");
        }
        let forged =
            String::from_utf8(kept[32..].to_vec()).unwrap().replace("\"warn\"", "\"note\"");
        assert_ne!(forged.as_bytes(), &kept[32..]);
        let tags =
            [&kept[..32], CacheKey::new([0; 32]).tag(forged.as_bytes()).as_bytes(), &[0; 32]]
                .map(<[u8]>::to_vec);
        for tag in tags {
            assert_eq!(ask.read(&[&tag, forged.as_bytes()].concat()), None);
        }
        let unkeyed = *blake3::hash(forged.as_bytes()).as_bytes();
        assert_eq!(ask.read(&[&unkeyed, forged.as_bytes()].concat()), None);
        let other = ask.verdict.to_cache(&ask.question(), &CacheKey::new([8; 32])).unwrap();
        assert_eq!(ask.read(&other), None);
        assert_eq!(ask.read(&[kept, b" ".to_vec()].concat()), None);
    }

    #[test]
    fn a_body_of_another_form_is_nothing_though_it_has_its_tag() {
        let ask = Ask::new();
        let body = String::from_utf8(ask.kept()[32..].to_vec()).unwrap();
        let sealed =
            |body: &str| [ask.key.tag(body.as_bytes()).as_bytes(), body.as_bytes()].concat();
        assert!(ask.read(&sealed(&body)).is_some());
        let pairs = [
            ("\"version\":2", "\"version\":1"),
            ("\"severity\":\"warn\"", "\"severity\":\"mild\""),
            ("\"code\":\"EXPR-FALSE\"", "\"code\":\"EXPR-NEW\""),
            ("\"role\":\"provenance\"", "\"role\":\"new\""),
            ("\"lasts\":", "\"new\":1,\"lasts\":"),
        ];
        for (from, to) in pairs {
            let changed = body.replacen(from, to, 1);
            assert_ne!(changed, body, "{from}");
            assert_eq!(ask.read(&sealed(&changed)), None, "{to}");
        }
        for body in ["", "{}", "[]", "{"] {
            assert_eq!(ask.read(&sealed(body)), None);
        }
    }

    #[test]
    fn it_counts_for_its_own_question_only() {
        let ask = Ask::new();
        let (kept, right, other) = (ask.kept(), ask.question(), Digest::sha256_of(b"other"));
        let name: ReleaseName = "demo@v2".parse().unwrap();
        let wrong = [
            CacheQuestion { program: "2", ..right },
            CacheQuestion { release: &name, ..right },
            CacheQuestion { papers: other, ..right },
            CacheQuestion { policy: other, ..right },
            CacheQuestion { trust_root: other, ..right },
        ];
        for question in wrong {
            let read = Verdict::from_cache(&kept, &question, &ask.key, ask.verdict.now());
            assert_eq!(read, None, "{question:?}");
        }
        assert_eq!(
            wrong.map(|question| question.slot() == right.slot()),
            [true, false, true, false, false]
        );
        for question in [wrong[1], wrong[3], wrong[4]] {
            assert_eq!(ask.verdict.to_cache(&question, &ask.key), None, "{question:?}");
        }
    }

    #[test]
    fn a_verdict_of_the_moment_is_not_kept() {
        let mut ask = Ask::new();
        let mut case = Case::good();
        case.edit(
            "#sbom\n",
            "#sbom\n[[expression]]\nname = \"n\"\ncel = \"now > 0\"\nof = \"artifacts\"\n",
        );
        ask.verdict = case.verdict();
        assert_eq!(ask.verdict.to_cache(&ask.question(), &ask.key), None);
    }

    #[test]
    fn a_key_is_not_told() {
        assert_eq!(format!("{:?}", CacheKey::new([7; 32])), "CacheKey(..)");
    }
}
