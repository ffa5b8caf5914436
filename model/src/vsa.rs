//! SLSA verification summary attestations v1 (SLSA v1.1, verification_summary.md).

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::limits::EVIDENCE_BYTES_MAX;
use crate::statement::{DigestSet, Statement};
use crate::timestamp::Timestamp;

/// Predicate type of a summary v1.
pub const SUMMARY_V1: &str = "https://slsa.dev/verification_summary/v1";

/// The predicate of a verification summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Who verified.
    pub verifier: SummaryVerifier,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_verified: Option<Timestamp>,
    /// The URI of what was verified.
    pub resource_uri: String,
    /// The policy in force.
    pub policy: ResourceDescriptor,
    /// Everything that was looked at; complete if it is there at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_attestations: Vec<ResourceDescriptor>,
    /// The outcome.
    pub verification_result: SummaryResult,
    /// The highest level reached on each track, such as `SLSA_BUILD_LEVEL_3`, or `FAILED`.
    pub verified_levels: Vec<String>,
    /// The version of SLSA whose rules were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slsa_version: Option<String>,
}

/// Who verified: identity, and versions of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryVerifier {
    /// A URI that names the verifier.
    pub id: String,
    /// Name to version.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub version: std::collections::BTreeMap<String, String>,
}

/// A URI with digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDescriptor {
    /// Where it is, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What it hashes to.
    #[serde(default)]
    pub digest: DigestSet,
}

/// `verificationResult`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SummaryResult {
    /// `PASSED`
    #[serde(rename = "PASSED")]
    Passed,
    /// `FAILED`
    #[serde(rename = "FAILED")]
    Failed,
}

/// Why a statement holds no readable summary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The predicate type is something else.
    #[error("predicate type is {found:?}, expected {SUMMARY_V1:?}")]
    PredicateType {
        /// As read.
        found: String,
    },
    /// The predicate is not of the shape that its type promises.
    #[error("summary predicate is malformed")]
    Predicate(#[from] JsonError),
}

impl Summary {
    /// Reads the predicate of a statement.
    ///
    /// # Errors
    /// [`SummaryError`] if the type is another one or the predicate is malformed.
    pub fn parse(statement: &Statement) -> Result<Self, SummaryError> {
        if statement.predicate_type != SUMMARY_V1 {
            return Err(SummaryError::PredicateType { found: statement.predicate_type.clone() });
        }
        Ok(json::parse(statement.predicate.get().as_bytes(), EVIDENCE_BYTES_MAX)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::statement::Subject;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn statement(kind: &str, predicate: &Value) -> Statement {
        Statement::new(vec![Subject::new("a", Digest::sha256_of(b""))], kind, predicate)
    }

    fn least() -> Value {
        json!({
            "verifier": {"id": "https://example.com/v"}, "resourceUri": "pkg:x",
            "policy": {"uri": "p"}, "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
        })
    }

    #[test]
    fn the_required_fields_suffice() {
        let summary = Summary::parse(&statement(SUMMARY_V1, &least())).unwrap();
        assert_eq!(summary.verification_result, SummaryResult::Passed);
    }

    #[test]
    fn must_reject() {
        let other = statement("https://slsa.dev/verification_summary/v0.2", &least());
        assert!(matches!(Summary::parse(&other), Err(SummaryError::PredicateType { .. })));
        for field in ["verifier", "resourceUri", "policy", "verificationResult", "verifiedLevels"] {
            let mut predicate = least();
            predicate.as_object_mut().unwrap().remove(field);
            let result = Summary::parse(&statement(SUMMARY_V1, &predicate));
            assert!(matches!(result, Err(SummaryError::Predicate(_))), "without {field}");
        }
        let mut predicate = least();
        predicate["verificationResult"] = json!("passed");
        assert!(Summary::parse(&statement(SUMMARY_V1, &predicate)).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(uri in "[a-z:/]{1,20}", seconds in 0_i64..4_000_000_000, levels in proptest::collection::vec("[A-Z_0-9]{1,20}", 0..4)) {
            let mut summary = Summary::parse(&statement(SUMMARY_V1, &least())).unwrap();
            summary.resource_uri = uri;
            summary.time_verified = Some(Timestamp::from_unix_seconds(seconds).unwrap());
            summary.verified_levels = levels;
            let made = Statement::new(vec![Subject::new("a", Digest::sha256_of(b""))], SUMMARY_V1, &summary);
            let read = Statement::parse(&made.to_bytes()).unwrap();
            prop_assert_eq!(Summary::parse(&read).unwrap(), summary);
        }
    }
}
