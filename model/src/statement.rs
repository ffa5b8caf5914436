//! In-toto statements v0.1 and v1 (in-toto/attestation, spec/v1/statement.md).
//!
//! A statement binds a predicate to subjects by digest. Names of subjects are for people; only
//! digests match. The predicate stays raw until its type is known to be the wanted one, exactly.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::digest::{Algorithm, Digest};
use crate::json::{self, JsonError};
use crate::limits::{DIGEST_SET_COUNT_MAX, EVIDENCE_BYTES_MAX, SUBJECT_COUNT_MAX};

/// `_type` of a statement v0.1.
pub const STATEMENT_V0_1: &str = "https://in-toto.io/Statement/v0.1";
/// `_type` of a statement v1.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";

/// A statement as it was signed.
#[derive(Clone, Debug)]
pub struct Statement {
    /// v0.1 or v1.
    pub version: StatementVersion,
    /// What it is about; at least one, at most [`SUBJECT_COUNT_MAX`].
    pub subjects: Vec<Subject>,
    /// The type of the predicate, to be compared exactly.
    pub predicate_type: String,
    /// The predicate's bytes as they stand in the payload, which is strict JSON; `null` where there is none.
    pub predicate: Box<RawValue>,
}

/// The version of a statement's own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StatementVersion {
    /// `https://in-toto.io/Statement/v0.1`
    V0_1,
    /// `https://in-toto.io/Statement/v1`
    V1,
}

/// One thing that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What matches.
    pub digest: DigestSet,
    /// The refs that a commit was on (SLSA v1.2, source-requirements.md, `annotations.sourceRefs`).
    #[serde(
        default,
        rename = "annotations",
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "write_source_refs",
        deserialize_with = "read_source_refs"
    )]
    pub source_refs: Vec<String>,
}

/// The annotations of a subject, of which one is read. Others may have any shape.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Annotations {
    SourceRefs {
        #[serde(rename = "sourceRefs")]
        source_refs: Vec<String>,
    },
    #[serde(skip_serializing)]
    Other(IgnoredAny),
}

fn read_source_refs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Annotations::deserialize(deserializer)? {
        Annotations::SourceRefs { source_refs } => Ok(source_refs),
        Annotations::Other(_) => Ok(Vec::new()),
    }
}

fn write_source_refs<S: Serializer>(refs: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    Annotations::SourceRefs { source_refs: refs.to_vec() }.serialize(serializer)
}

/// Digests of one thing by algorithm name, as written: also of algorithms that are unknown here.
/// One with more than [`DIGEST_SET_COUNT_MAX`] does not parse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DigestSet(BTreeMap<String, String>);

/// How a digest set relates to the digests of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestMatch {
    /// A strong algorithm is common, and all common ones agree.
    Agrees,
    /// At least one common algorithm disagrees.
    Conflicts,
    /// No strong algorithm is common.
    Unrelated,
}

/// Why bytes are no in-toto statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not strict JSON of the right shape.
    #[error("not an in-toto statement")]
    Json(#[from] JsonError),
    /// `_type` is neither of the two known ones.
    #[error("statement type is {found:?}, expected {STATEMENT_V1:?} or {STATEMENT_V0_1:?}")]
    Type {
        /// As read.
        found: String,
    },
    /// No subjects, or more than [`SUBJECT_COUNT_MAX`].
    #[error("statement has {count} subjects, expected 1 to {SUBJECT_COUNT_MAX}")]
    SubjectCount {
        /// How many it has.
        count: usize,
    },
    /// A subject without digests.
    #[error("subject {name:?} has no digests")]
    NoDigests {
        /// The subject's name.
        name: String,
    },
    /// A digest of a known algorithm is malformed.
    #[error("subject {name:?} has a malformed digest")]
    Digest {
        /// The subject's name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: crate::digest::DigestError,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenStatement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: &'a [Subject],
    predicate_type: &'a str,
    predicate: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStatement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Subjects,
    predicate_type: String,
    #[serde(default = "null")]
    predicate: Box<RawValue>,
}

/// Subjects up to the limit, and how many there are. A million of them costs their bytes and no memory.
struct Subjects {
    kept: Vec<Subject>,
    count: usize,
}

impl<'de> Deserialize<'de> for Subjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;

        impl<'de> Visitor<'de> for Counting {
            type Value = Subjects;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of subjects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Subjects, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < SUBJECT_COUNT_MAX {
                    match list.next_element()? {
                        Some(subject) => kept.push(subject),
                        None => return Ok(Subjects { count: kept.len(), kept }),
                    }
                }
                let mut count = kept.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Subjects { kept, count })
            }
        }

        deserializer.deserialize_seq(Counting)
    }
}

impl<'de> Deserialize<'de> for DigestSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = DigestSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {DIGEST_SET_COUNT_MAX} digests")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DigestSet, A::Error> {
                let mut digests = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    digests.insert(name, text);
                    if digests.len() > DIGEST_SET_COUNT_MAX {
                        return Err(A::Error::invalid_length(digests.len(), &self));
                    }
                }
                Ok(DigestSet(digests))
            }
        }

        deserializer.deserialize_map(Bounded)
    }
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

impl Statement {
    /// Reads a statement from the payload bytes that were signed.
    ///
    /// # Errors
    /// [`StatementError`] at the first thing that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let wire: WireStatement = json::parse(bytes, EVIDENCE_BYTES_MAX)?;
        let version = match wire.kind.as_str() {
            STATEMENT_V0_1 => StatementVersion::V0_1,
            STATEMENT_V1 => StatementVersion::V1,
            _ => return Err(StatementError::Type { found: wire.kind }),
        };
        let Subjects { kept: subjects, count } = wire.subject;
        if count == 0 || count > SUBJECT_COUNT_MAX {
            return Err(StatementError::SubjectCount { count });
        }
        subjects.iter().try_for_each(Subject::check)?;
        Ok(Self {
            version,
            subjects,
            predicate_type: wire.predicate_type,
            predicate: wire.predicate,
        })
    }

    /// A statement v1 with the given predicate, which must be a JSON object for most types.
    pub fn new<T: Serialize>(subjects: Vec<Subject>, predicate_type: &str, predicate: &T) -> Self {
        let text = String::from_utf8(json::to_canonical(predicate)).expect("JSON is UTF-8");
        Self {
            version: StatementVersion::V1,
            subjects,
            predicate_type: predicate_type.to_owned(),
            predicate: RawValue::from_string(text).expect("canonical JSON is JSON"),
        }
    }

    /// Its canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_canonical(&WrittenStatement {
            kind: self.version.uri(),
            subject: &self.subjects,
            predicate_type: &self.predicate_type,
            predicate: &self.predicate,
        })
    }

    /// How its subjects relate to the digests of one file: a conflict in a subject that shares a
    /// digest wins over agreement elsewhere, since such a subject says two things at once.
    pub fn matches(&self, digests: &[Digest]) -> DigestMatch {
        let mut result = DigestMatch::Unrelated;
        for subject in &self.subjects {
            match subject.digest.matches(digests) {
                DigestMatch::Agrees => result = DigestMatch::Agrees,
                DigestMatch::Conflicts if subject.digest.shares_one(digests) => {
                    return DigestMatch::Conflicts;
                }
                DigestMatch::Conflicts | DigestMatch::Unrelated => {}
            }
        }
        result
    }
}

impl StatementVersion {
    /// The `_type` URI.
    pub fn uri(self) -> &'static str {
        match self {
            Self::V0_1 => STATEMENT_V0_1,
            Self::V1 => STATEMENT_V1,
        }
    }
}

impl Subject {
    /// A subject with one digest.
    pub fn new(name: impl Into<String>, digest: Digest) -> Self {
        Self { name: name.into(), digest: DigestSet::of(&[digest]), source_refs: Vec::new() }
    }

    fn check(&self) -> Result<(), StatementError> {
        if self.digest.0.is_empty() {
            return Err(StatementError::NoDigests { name: self.name.clone() });
        }
        let malformed = self
            .digest
            .0
            .iter()
            .find_map(|(name, hex)| Digest::from_hex(Algorithm::from_name(name)?, hex).err());
        match malformed {
            Some(source) => Err(StatementError::Digest { name: self.name.clone(), source }),
            None => Ok(()),
        }
    }
}

impl DigestSet {
    /// A set of these digests.
    pub fn of(digests: &[Digest]) -> Self {
        Self(digests.iter().map(|d| (d.algorithm().name().to_owned(), d.hex())).collect())
    }

    /// The hex text under that algorithm's name, known here or not.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The digest of a known algorithm, if it is there and well-formed.
    pub fn digest(&self, algorithm: Algorithm) -> Option<Digest> {
        let hex = self.get(algorithm.name())?;
        Digest::from_hex(algorithm, hex).ok() // statements with malformed ones do not parse
    }

    /// All pairs of algorithm name and hex text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, hex)| (name.as_str(), hex.as_str()))
    }

    /// Compares with digests of the same bytes: one strong algorithm in common, none in conflict
    /// (in-toto/attestation, spec/v1/digest_set.md). SHA-1 and the like are never in common.
    pub fn matches(&self, digests: &[Digest]) -> DigestMatch {
        let mut result = DigestMatch::Unrelated;
        for digest in digests {
            if self.get(digest.algorithm().name()).is_none() {
                continue;
            }
            if self.digest(digest.algorithm()) != Some(*digest) {
                return DigestMatch::Conflicts;
            }
            result = DigestMatch::Agrees;
        }
        result
    }

    fn shares_one(&self, digests: &[Digest]) -> bool {
        digests.iter().any(|digest| self.digest(digest.algorithm()) == Some(*digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn text(kind: &str, subject: &str) -> String {
        format!(r#"{{"_type":"{kind}","subject":{subject},"predicateType":"t","predicate":{{}}}}"#)
    }

    #[test]
    fn refs_of_a_commit_are_read_and_other_annotations_may_have_any_shape() {
        let refs = |annotations: &str| {
            let commit = "0".repeat(40);
            let text = format!(r#"{{"digest":{{"gitCommit":"{commit}"}}{annotations}}}"#);
            serde_json::from_str::<Subject>(&text).unwrap().source_refs
        };
        let two =
            refs(r#","annotations":{"sourceRefs":["refs/heads/main","refs/tags/v1"],"x":{}}"#);
        assert_eq!(two, ["refs/heads/main", "refs/tags/v1"]);
        for other in ["", r#","annotations":null"#, r#","annotations":{"sourceRefs":"x"}"#] {
            assert!(refs(other).is_empty(), "{other}");
        }
        let mut subject = Subject::new("a", Digest::sha256_of(b""));
        assert!(!serde_json::to_string(&subject).unwrap().contains("annotations"));
        subject.source_refs = vec!["refs/heads/main".to_owned()];
        let text = serde_json::to_string(&subject).unwrap();
        assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), subject);
    }

    #[test]
    fn both_versions_parse_and_keep_the_predicate() {
        for kind in [STATEMENT_V0_1, STATEMENT_V1] {
            let subject = format!(r#"[{{"name":"a","digest":{{"sha256":"{HEX}","sha1":"x"}}}}]"#);
            let statement = Statement::parse(text(kind, &subject).as_bytes()).unwrap();
            assert_eq!(statement.version.uri(), kind);
            assert_eq!(statement.predicate.get(), "{}");
            assert_eq!(statement.matches(&[Digest::sha256_of(b"")]), DigestMatch::Agrees);
            assert_eq!(statement.matches(&[Digest::sha256_of(b"x")]), DigestMatch::Unrelated);
        }
    }

    #[test]
    fn must_reject() {
        let check = |kind: &str, subject: &str| Statement::parse(text(kind, subject).as_bytes());
        let good = format!(r#"{{"digest":{{"sha256":"{HEX}"}}}}"#);
        let many = format!("[{}]", vec![good.as_str(); SUBJECT_COUNT_MAX + 1].join(","));
        let wide: Vec<_> = (0..=DIGEST_SET_COUNT_MAX).map(|i| format!(r#""x{i}":"0""#)).collect();
        let wide = format!(r#"[{{"digest":{{{}}}}}]"#, wide.join(","));
        let upper = format!(r#"[{{"digest":{{"sha256":"{}"}}}}]"#, HEX.to_uppercase());
        assert!(matches!(
            check("https://in-toto.io/Statement/v2", "[]"),
            Err(StatementError::Type { .. })
        ));
        assert!(matches!(
            check(STATEMENT_V1, "[]"),
            Err(StatementError::SubjectCount { count: 0 })
        ));
        assert!(matches!(check(STATEMENT_V1, &many), Err(StatementError::SubjectCount { .. })));
        assert!(matches!(
            check(STATEMENT_V1, r#"[{"digest":{}}]"#),
            Err(StatementError::NoDigests { .. })
        ));
        let shape = |read| matches!(read, Err(StatementError::Json(JsonError::Shape(_))));
        assert!(shape(check(STATEMENT_V1, &wide)));
        assert!(matches!(check(STATEMENT_V1, &upper), Err(StatementError::Digest { .. })));
        assert!(matches!(
            check(STATEMENT_V1, r#"[{"digest":{"sha256":"e3b0"}}]"#),
            Err(StatementError::Digest { .. })
        ));
        assert!(matches!(
            check(STATEMENT_V1, r#"[{"digest":{"a":"1","a":"2"}}]"#),
            Err(StatementError::Json(JsonError::Syntax(_)))
        ));
        assert!(matches!(
            check(STATEMENT_V1, "null"),
            Err(StatementError::Json(JsonError::Shape(_)))
        ));
    }

    /// What a million subjects say is not looked at; nor are digests beyond those that count.
    #[test]
    fn a_million_subjects_are_counted_and_not_kept() {
        let million = format!("[{}]", vec![r#"{"digest":{"a":""}}"#; 1_000_000].join(","));
        let read = Statement::parse(text(STATEMENT_V1, &million).as_bytes());
        assert!(matches!(read, Err(StatementError::SubjectCount { count: 1_000_000 })));
        let odd = format!("[{},7]", vec![r#"{"digest":{"a":""}}"#; SUBJECT_COUNT_MAX].join(","));
        let read = Statement::parse(text(STATEMENT_V1, &odd).as_bytes());
        assert!(
            matches!(read, Err(StatementError::SubjectCount { count }) if count == SUBJECT_COUNT_MAX + 1)
        );
    }

    /// The length of a digest says nothing of its algorithm: the name does.
    #[test]
    fn one_algorithm_is_not_taken_for_another() {
        let (two56, five12) = (Digest::sha256_of(b"x"), Digest::sha512_of(b"x"));
        let parse = |name: &str, hex: &str| {
            let subject = format!(r#"[{{"digest":{{"{name}":"{hex}"}}}}]"#);
            Statement::parse(text(STATEMENT_V1, &subject).as_bytes())
        };
        for (name, hex) in
            [("sha256", five12.hex()), ("sha512", two56.hex()), ("blake3", five12.hex())]
        {
            assert!(matches!(parse(name, &hex), Err(StatementError::Digest { .. })), "{name}");
        }
        let own = [two56, five12];
        for name in [
            "SHA256",
            "sha-256",
            "sha256 ",
            "sha2-256",
            "sha512_256",
            "sha3_256",
            "dirHash1",
            "md5",
        ] {
            let read = parse(name, &two56.hex()).unwrap();
            assert_eq!(read.matches(&own), DigestMatch::Unrelated, "{name}");
        }
        assert_eq!(parse("blake3", &two56.hex()).unwrap().matches(&own), DigestMatch::Unrelated);
    }

    #[test]
    fn a_set_must_share_a_strong_digest_and_conflict_in_none() {
        let (two56, five12) = (Digest::sha256_of(b"x"), Digest::sha512_of(b"x"));
        let both = DigestSet::of(&[two56, five12]);
        assert_eq!(both.matches(&[two56]), DigestMatch::Agrees);
        assert_eq!(both.matches(&[two56, Digest::sha512_of(b"y")]), DigestMatch::Conflicts);
        assert_eq!(DigestSet::of(&[five12]).matches(&[two56]), DigestMatch::Unrelated);
        let weak = DigestSet([("sha1".to_owned(), "da39".to_owned())].into());
        assert_eq!(weak.matches(&[two56]), DigestMatch::Unrelated);
    }

    proptest! {
        #[test]
        fn round_trip(names in proptest::collection::vec("[a-z]{1,8}", 1..5), n in any::<u32>()) {
            let subjects: Vec<_> =
                names.iter().map(|name| Subject::new(name, Digest::sha256_of(name.as_bytes()))).collect();
            let made = Statement::new(subjects, "https://example.com/t", &serde_json::json!({"n": n}));
            let read = Statement::parse(&made.to_bytes()).unwrap();
            prop_assert_eq!(read.to_bytes(), made.to_bytes());
            prop_assert_eq!(read.subjects, made.subjects);
        }
    }
}
