//! SLSA verification summary attestations v1 (SLSA v1.2, verification_summary.md) and v0.2 as one view.

mod label;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::statement::{DigestSet, Statement};
use crate::timestamp::Timestamp;

pub use label::Label;

/// Predicate type of a summary v1.
pub const SUMMARY_V1: &str = "https://slsa.dev/verification_summary/v1";

/// Predicate type of a summary v0.2.
pub const SUMMARY_V0_2: &str = "https://slsa.dev/verification_summary/v0.2";

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
    /// How many dependencies reached each level; `None` where nothing is claimed of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency_levels: Option<BTreeMap<String, u64>>,
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
    #[error("predicate type is {found:?}, expected {SUMMARY_V1:?} or {SUMMARY_V0_2:?}")]
    PredicateType {
        /// As read.
        found: String,
    },
    /// The predicate is not of the shape that its type promises.
    #[error("summary predicate is malformed")]
    Predicate(#[from] JsonError),
    /// A label begins like SLSA's own and is none of them.
    #[error("label {label:?} begins with SLSA_ and is not defined by SLSA")]
    Reserved {
        /// As read.
        label: String,
    },
    /// Two labels are about one track.
    #[error("more than one level of the track {track:?}")]
    Track {
        /// The track.
        track: String,
    },
    /// The result and the levels contradict each other.
    #[error("the result is PASSED and a level is FAILED")]
    Contradiction,
    /// An input attestation has no digest.
    #[error("an input attestation has no digest")]
    InputDigest,
}

/// The predicate v0.2.
#[derive(Deserialize)]
struct WireV02 {
    verifier: SummaryVerifier,
    time_verified: Timestamp,
    resource_uri: String,
    policy: ResourceDescriptor,
    #[serde(default)]
    input_attestations: Vec<ResourceDescriptor>,
    verification_result: SummaryResult,
    policy_level: String,
    dependency_levels: BTreeMap<String, u64>,
}

impl From<WireV02> for Summary {
    fn from(wire: WireV02) -> Self {
        Self {
            verifier: wire.verifier,
            time_verified: Some(wire.time_verified),
            resource_uri: wire.resource_uri,
            policy: wire.policy,
            input_attestations: wire.input_attestations,
            verification_result: wire.verification_result,
            verified_levels: vec![wire.policy_level],
            dependency_levels: Some(wire.dependency_levels),
            slsa_version: None,
        }
    }
}

/// As much of a predicate of either version as tells who says of what that it failed.
#[derive(Deserialize)]
struct WireFailure {
    verifier: WireVerifier,
    #[serde(rename = "resourceUri", alias = "resource_uri")]
    resource_uri: String,
    #[serde(rename = "verificationResult", alias = "verification_result")]
    result: SummaryResult,
}

#[derive(Deserialize)]
struct WireVerifier {
    id: String,
}

impl Summary {
    /// Reads the predicate of a statement.
    ///
    /// # Errors
    /// [`SummaryError`] if the type is another one or the predicate is malformed.
    pub fn parse(statement: &Statement) -> Result<Self, SummaryError> {
        let predicate = &statement.predicate;
        let summary: Self = match statement.predicate_type.as_str() {
            SUMMARY_V1 => json::parse_part(predicate)?,
            SUMMARY_V0_2 => json::parse_part::<WireV02>(predicate)?.into(),
            found => return Err(SummaryError::PredicateType { found: found.to_owned() }),
        };
        summary.check()?;
        Ok(summary)
    }

    /// What a malformed summary says all the same, where it says `FAILED`: by whom, and of what. The rest of it
    /// is left out.
    pub fn failure(statement: &Statement) -> Option<Self> {
        if ![SUMMARY_V1, SUMMARY_V0_2].contains(&statement.predicate_type.as_str()) {
            return None;
        }
        let wire = json::parse_part::<WireFailure>(&statement.predicate);
        let wire = wire.ok().filter(|wire| wire.result == SummaryResult::Failed)?; // told by `parse`
        Some(Self {
            verifier: SummaryVerifier { id: wire.verifier.id, version: BTreeMap::new() },
            time_verified: None,
            resource_uri: wire.resource_uri,
            policy: ResourceDescriptor { uri: None, digest: DigestSet::of(&[]) },
            input_attestations: Vec::new(),
            verification_result: wire.result,
            verified_levels: Vec::new(),
            dependency_levels: None,
            slsa_version: None,
        })
    }

    /// What its labels say, in their order.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.verified_levels.iter().filter_map(|label| Label::parse(label))
    }

    /// Whether it says that the verification failed.
    pub fn failed(&self) -> bool {
        self.verification_result == SummaryResult::Failed
            || self.labels().any(|label| label == Label::Failed)
    }

    fn check(&self) -> Result<(), SummaryError> {
        let dependencies = self.dependency_levels.iter().flat_map(BTreeMap::keys);
        let mut labels = self.verified_levels.iter().chain(dependencies);
        if let Some(label) = labels.find(|label| Label::parse(label).is_none()) {
            return Err(SummaryError::Reserved { label: label.clone() });
        }
        let mut tracks = BTreeSet::new();
        for label in self.labels() {
            if let Label::Level { track, .. } = label
                && !tracks.insert(track.clone())
            {
                return Err(SummaryError::Track { track });
            }
        }
        if self.verification_result == SummaryResult::Passed && self.failed() {
            return Err(SummaryError::Contradiction);
        }
        let undigested = |input: &ResourceDescriptor| input.digest.iter().next().is_none();
        if self.input_attestations.iter().any(undigested) {
            return Err(SummaryError::InputDigest);
        }
        Ok(())
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
        let other = statement("https://slsa.dev/verification_summary/v1.1", &least());
        assert!(matches!(Summary::parse(&other), Err(SummaryError::PredicateType { .. })));
        for field in ["verifier", "resourceUri", "policy", "verificationResult", "verifiedLevels"] {
            let mut predicate = least();
            predicate.as_object_mut().unwrap().remove(field);
            let result = Summary::parse(&statement(SUMMARY_V1, &predicate));
            assert!(matches!(result, Err(SummaryError::Predicate(_))), "without {field}");
        }
        let mut predicate = least();
        predicate["verificationResult"] = json!("passed");
        let result = Summary::parse(&statement(SUMMARY_V1, &predicate));
        assert!(matches!(result, Err(SummaryError::Predicate(_))), "{result:?}");
    }

    #[test]
    fn labels_follow_the_rules_of_slsa() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut predicate = least();
            change(&mut predicate);
            Summary::parse(&statement(SUMMARY_V1, &predicate))
        };
        let levels = |levels: Value| with(&|p| p["verifiedLevels"] = levels.clone());
        let good = json!([
            "SLSA_BUILD_LEVEL_3",
            "SLSA_SOURCE_LEVEL_UNEVALUATED",
            "SLSA_BUILD_REPRODUCED",
            "BCID_L1"
        ]);
        assert_eq!(levels(good).unwrap().labels().count(), 4);
        for two in [
            json!(["SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_2"]),
            json!(["SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_3"]),
            json!(["SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_UNEVALUATED"]),
        ] {
            assert!(matches!(levels(two), Err(SummaryError::Track { track }) if track == "BUILD"));
        }
        assert!(matches!(levels(json!(["SLSA_MINE"])), Err(SummaryError::Reserved { .. })));
        assert!(matches!(levels(json!(["FAILED"])), Err(SummaryError::Contradiction)));
        let of_dependencies = with(&|p| p["dependencyLevels"] = json!({"SLSA_MINE": 1}));
        assert!(matches!(of_dependencies, Err(SummaryError::Reserved { .. })));
        let negative = with(&|p| p["dependencyLevels"] = json!({"SLSA_BUILD_LEVEL_1": -1}));
        assert!(matches!(negative, Err(SummaryError::Predicate(_))));
        let undigested = with(&|p| p["inputAttestations"] = json!([{"uri": "x"}]));
        assert!(matches!(undigested, Err(SummaryError::InputDigest)));
        let failed = with(&|p| {
            p["verificationResult"] = json!("FAILED");
            p["verifiedLevels"] = json!(["FAILED"]);
        });
        assert!(failed.unwrap().failed());
    }

    #[test]
    fn a_malformed_summary_may_still_say_that_it_failed() {
        let failure = |kind: &str, change: &dyn Fn(&mut Value)| {
            let mut predicate = least();
            predicate["verificationResult"] = json!("FAILED");
            predicate["verifiedLevels"] = json!(["SLSA_MINE"]);
            change(&mut predicate);
            Summary::failure(&statement(kind, &predicate))
        };
        let found = failure(SUMMARY_V1, &|_| {}).unwrap();
        assert_eq!(
            (found.verifier.id.as_str(), &*found.resource_uri),
            ("https://example.com/v", "pkg:x")
        );
        assert!(found.failed() && found.verified_levels.is_empty());
        let wrong: [&dyn Fn(&mut Value); 3] =
            [&|p| p["timeVerified"] = json!(1), &|p| p["policy"] = json!(null), &|p| {
                drop(p.as_object_mut().unwrap().remove("verifiedLevels"))
            }];
        assert!(wrong.iter().all(|change| failure(SUMMARY_V1, change).is_some()));
        let silent: [&dyn Fn(&mut Value); 4] = [
            &|p| p["verificationResult"] = json!("PASSED"),
            &|p| p["verificationResult"] = json!("failed"),
            &|p| p["verifier"] = json!({}),
            &|p| drop(p.as_object_mut().unwrap().remove("resourceUri")),
        ];
        assert!(silent.iter().all(|change| failure(SUMMARY_V1, change).is_none()));
        assert!(failure("https://example.com/t", &|_| {}).is_none());
    }

    #[test]
    fn v0_2_is_read_as_the_same_view() {
        let good = json!({
            "verifier": {"id": "v"}, "time_verified": "1985-04-12T23:20:50.52Z", "resource_uri": "r",
            "policy": {"uri": "p"}, "verification_result": "PASSED", "policy_level": "SLSA_LEVEL_3",
            "dependency_levels": {"SLSA_LEVEL_4": 1},
        });
        let summary = Summary::parse(&statement(SUMMARY_V0_2, &good)).unwrap();
        let level = Label::Level { track: String::new(), level: Some(3) };
        assert_eq!(summary.labels().collect::<Vec<_>>(), [level]);
        for field in good.as_object().unwrap().keys() {
            let mut without = good.clone();
            without.as_object_mut().unwrap().remove(field);
            let read = Summary::parse(&statement(SUMMARY_V0_2, &without));
            assert!(matches!(read, Err(SummaryError::Predicate(_))), "without {field}");
        }
        let read = Summary::parse(&statement(SUMMARY_V1, &good));
        assert!(matches!(read, Err(SummaryError::Predicate(_))));
    }

    proptest! {
        #[test]
        fn round_trip(uri in "[a-z:/]{1,20}", seconds in 0_i64..4_000_000_000, levels in proptest::collection::vec("[A-R_0-9]{1,20}", 0..4)) {
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
