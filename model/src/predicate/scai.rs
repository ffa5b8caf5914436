//! Attribute reports (in-toto/attestation, spec/predicates/scai.md, v0.2 and v0.3).

use serde::Deserialize;

use super::{PredicateError, Resource, of, value};
use crate::statement::Statement;

/// Predicate type of an attribute report v0.2.
pub const SCAI_V0_2: &str = "https://in-toto.io/attestation/scai/attribute-report/v0.2";
/// Predicate type of an attribute report v0.3.
pub const SCAI_V0_3: &str = "https://in-toto.io/attestation/scai/v0.3";

/// Attributes of the subjects, and of what produced them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AttributeReport {
    /// At least one.
    pub attributes: Vec<Attribute>,
    /// What produced the subjects.
    pub producer: Option<Resource>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Attribute {
    /// Its name, as producer and consumer agreed.
    pub attribute: String,
    /// What it is an attribute of, if not of the subject.
    pub target: Option<Resource>,
    /// What shows it.
    pub evidence: Option<Resource>,
}

impl AttributeReport {
    pub(super) fn parse(statement: &Statement) -> Result<Self, PredicateError> {
        let report: Self = of(statement)?;
        if report.attributes.is_empty() {
            return Err(value("attributes", "[]", "at least one"));
        }
        Ok(report)
    }
}
