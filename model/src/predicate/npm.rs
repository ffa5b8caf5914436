//! npm's publish attestations (npm/attestation, specs/publish/v0.1): the registry's word for what it
//! released, signed with the registry's key.

use serde::Deserialize;

use super::{PredicateError, of, value};
use crate::statement::Statement;

/// Predicate type of a publish attestation v0.1.
pub const NPM_PUBLISH_V0_1: &str =
    "https://github.com/npm/attestation/tree/main/specs/publish/v0.1";

/// A package that was published.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NpmPublish {
    /// The name, with its scope.
    pub name: String,
    /// The version.
    pub version: String,
    /// The registry.
    pub registry: String,
}

impl NpmPublish {
    /// The one subject must be the package that the predicate names.
    pub(super) fn parse(statement: &Statement) -> Result<Self, PredicateError> {
        let publish: Self = of(statement)?;
        let purl = publish.purl();
        let names: Vec<_> = statement.subjects.iter().map(|subject| &subject.name).collect();
        if names != [&purl] {
            return Err(value("name and version", purl, "those of the one subject"));
        }
        Ok(publish)
    }

    /// The package URL under which npm names the package as a subject.
    pub fn purl(&self) -> String {
        format!("pkg:npm/{}@{}", self.name.replacen('@', "%40", 1), self.version)
    }
}
