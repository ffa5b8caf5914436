//! Predicates beside provenance and SBOMs, typed: what each type promises is checked, everything else in
//! the document is ignored and still stands in the signed bytes (in-toto/attestation, spec/v1,
//! "Parsing rules").
//!
//! Types are compared exactly, version and all. A type that is not here has no reader, which is no error:
//! anybody may define one.

pub mod link;
pub mod npm;
pub mod openvex;
pub mod promotion;
pub mod release;
pub mod scai;
pub mod test_result;
pub mod vulns;

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::json::{self, JsonError};
use crate::statement::{DigestSet, Statement};
use crate::vsa::{Summary, SummaryError};

/// A predicate that was read by its type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Predicate {
    /// One step of a supply chain.
    Link(link::Link),
    /// The run of a test suite.
    TestResult(test_result::TestResult),
    /// What a package registry released.
    Release(release::Released),
    /// Attributes of software and of what produced it.
    Attributes(scai::AttributeReport),
    /// The findings of a vulnerability scanner.
    Vulnerabilities(vulns::VulnerabilityReport),
    /// The copy of an image from staging to production.
    Promotion(promotion::PromotionRecord),
    /// npm's own word for what it released.
    NpmPublish(npm::NpmPublish),
    /// Which vulnerabilities matter.
    OpenVex(openvex::OpenVex),
    /// A verification summary.
    Summary(Summary),
}

/// Why a predicate is not what its type promises.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredicateError {
    /// Not of the shape.
    #[error("predicate of type {predicate_type:?} is malformed")]
    Shape {
        /// The type.
        predicate_type: String,
        /// What is wrong with it.
        #[source]
        source: JsonError,
    },
    /// Of the shape, but a field has a value that it must not have.
    #[error("{field} of the predicate is {found:?}, expected {expected}")]
    Value {
        /// Which field.
        field: &'static str,
        /// As read.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Not a summary.
    #[error("the summary cannot be used")]
    Summary(#[from] SummaryError),
}

/// A thing that a predicate refers to (in-toto/attestation, spec/v1/resource_descriptor.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// What the producer calls it.
    pub name: Option<String>,
    /// What it is.
    pub uri: Option<String>,
    /// What it hashes to.
    #[serde(default)]
    pub digest: DigestSet,
}

impl Predicate {
    /// Reads the predicate of a statement, if its type has a reader.
    ///
    /// # Errors
    /// [`PredicateError`] if the predicate, or the statement around it, is not what the type promises.
    pub fn parse(statement: &Statement) -> Result<Option<Self>, PredicateError> {
        let read = match statement.predicate_type.as_str() {
            link::LINK_V0_2 | link::LINK_V0_3 => Self::Link(link::Link::parse(statement)?),
            test_result::TEST_RESULT_V0_1 => Self::TestResult(of(statement)?),
            release::RELEASE_V0_1 | release::RELEASE_V0_2 => {
                Self::Release(release::Released::parse(statement)?)
            }
            scai::SCAI_V0_2 | scai::SCAI_V0_3 => {
                Self::Attributes(scai::AttributeReport::parse(statement)?)
            }
            vulns::VULNS_V0_1 => Self::Vulnerabilities(of::<vulns::WireV01>(statement)?.into()),
            vulns::VULNS_V0_2 => Self::Vulnerabilities(of(statement)?),
            promotion::PROMOTION_KUBERNETES | promotion::PROMOTION_V0_1 => {
                Self::Promotion(promotion::PromotionRecord::parse(statement)?)
            }
            npm::NPM_PUBLISH_V0_1 => Self::NpmPublish(npm::NpmPublish::parse(statement)?),
            crate::vsa::SUMMARY_V1 | crate::vsa::SUMMARY_V0_2 => {
                Self::Summary(Summary::parse(statement)?)
            }
            other if openvex::is_type(other) => Self::OpenVex(openvex::OpenVex::parse(statement)?),
            _ => return Ok(None),
        };
        Ok(Some(read))
    }

    /// Whether it says of its subject that it failed: such a document is no proof of anything good.
    pub fn says_failed(&self) -> bool {
        match self {
            Self::TestResult(tests) => tests.failed(),
            Self::Summary(summary) => summary.failed(),
            _ => false,
        }
    }
}

fn of<T: DeserializeOwned>(statement: &Statement) -> Result<T, PredicateError> {
    json::parse_part(&statement.predicate).map_err(|source| PredicateError::Shape {
        predicate_type: statement.predicate_type.clone(),
        source,
    })
}

fn value(field: &'static str, found: impl Into<String>, expected: &'static str) -> PredicateError {
    PredicateError::Value { field, found: found.into(), expected }
}

/// The version of a package URL: what stands behind the last `@` of its last segment.
fn purl_version(purl: &str) -> Option<&str> {
    let purl = purl.strip_prefix("pkg:")?;
    let path = purl.split(['?', '#']).next()?;
    let (_, last) = path.rsplit_once('/')?;
    last.rsplit_once('@').map(|(_, version)| version).filter(|version| !version.is_empty())
}
