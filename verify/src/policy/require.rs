//! Requirements: further documents that must be there, by the type of their predicate.

use std::collections::BTreeSet;

use super::rule::{Count, Demand};
use super::scope::Selector;

/// A document that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) name: String,
    /// The predicate types that are accepted, compared exactly.
    pub(crate) predicates: BTreeSet<String>,
    pub(crate) of: Of,
    /// Of which artifacts; open where it is of the release.
    pub(crate) selector: Selector,
    pub(crate) signers: BTreeSet<String>,
    pub(crate) demand: Demand,
    pub(crate) count: Count,
}

/// What something is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Of {
    /// Every artifact that is selected.
    Artifacts,
    /// The release as a whole.
    Release,
}

impl Requirement {
    /// What is demanded, in words.
    pub(crate) fn told(&self) -> String {
        let predicates: Vec<_> = self.predicates.iter().map(String::as_str).collect();
        format!("{:?}: a document of type {}", self.name, predicates.join(" or "))
    }
}
