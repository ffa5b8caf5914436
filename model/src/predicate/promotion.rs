//! Promotion records (in-toto/attestation, spec/predicates/promotion-record.md), under both types that the
//! text gives.

use serde::Deserialize;

use super::{PredicateError, of, value};
use crate::digest::Digest;
use crate::statement::{DigestMatch, Statement};
use crate::timestamp::Timestamp;

/// Predicate type as the Kubernetes image promoter writes it.
pub const PROMOTION_KUBERNETES: &str = "https://k8s.io/promo-tools/promotion/v1";
/// Predicate type in the schema of the in-toto text.
pub const PROMOTION_V0_1: &str = "https://in-toto.io/attestation/promotion-record/v0.1";

/// The copy of one image from staging to production, digest and all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromotionRecord {
    /// Where it was copied from.
    pub src_ref: String,
    /// Where it was copied to.
    pub dst_ref: String,
    /// What was copied; the one subject of the statement.
    pub digest: Digest,
    /// When.
    pub timestamp: Timestamp,
    /// Who copied it, with a version.
    pub builder_id: String,
}

impl PromotionRecord {
    pub(super) fn parse(statement: &Statement) -> Result<Self, PredicateError> {
        let record: Self = of(statement)?;
        let one = statement.subjects.len() == 1;
        if !one || statement.matches(&[record.digest]) != DigestMatch::Agrees {
            return Err(value("digest", record.digest.to_string(), "that of the one subject"));
        }
        Ok(record)
    }
}
