//! OpenVEX documents as predicates (openvex/spec, ATTESTING.md; OpenVEX v0.2.0).

use serde::Deserialize;

use super::{PredicateError, of, value};
use crate::statement::Statement;

/// Where types and contexts of OpenVEX begin; a version may follow after a slash.
const OPENVEX: &str = "https://openvex.dev/ns";

/// Which vulnerabilities matter to which products.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OpenVex {
    /// The context, which tells the version.
    #[serde(rename = "@context")]
    pub context: String,
    /// The name of the document.
    #[serde(rename = "@id")]
    pub id: String,
    /// Who says so.
    pub author: String,
    /// Counts up with each change.
    pub version: u64,
    /// At least one.
    pub statements: Vec<VexStatement>,
}

/// What is said about one vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VexStatement {
    /// Which one.
    pub vulnerability: VexVulnerability,
    /// What became of it.
    pub status: VexStatus,
    /// Why it does not matter, where it does not.
    pub justification: Option<String>,
    /// The same in words.
    pub impact_statement: Option<String>,
}

/// The name of a vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VexVulnerability {
    /// Such as a CVE number.
    pub name: String,
}

/// What became of a vulnerability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VexStatus {
    /// It does not matter here.
    NotAffected,
    /// It does.
    Affected,
    /// It did.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

/// Whether a predicate type is that of OpenVEX.
pub fn is_type(predicate_type: &str) -> bool {
    predicate_type
        .strip_prefix(OPENVEX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("/v"))
}

impl OpenVex {
    pub(super) fn parse(statement: &Statement) -> Result<Self, PredicateError> {
        let vex: Self = of(statement)?;
        if !is_type(&vex.context) {
            return Err(value("@context", vex.context, "that of OpenVEX"));
        }
        if vex.statements.is_empty() {
            return Err(value("statements", "[]", "at least one"));
        }
        let unfounded = vex.statements.iter().find(|said| {
            let why = said.justification.as_ref().or(said.impact_statement.as_ref());
            said.status == VexStatus::NotAffected && why.is_none()
        });
        match unfounded {
            Some(said) => {
                let expected = "a justification or an impact statement beside not_affected";
                Err(value("statements", said.vulnerability.name.clone(), expected))
            }
            None => Ok(vex),
        }
    }
}
