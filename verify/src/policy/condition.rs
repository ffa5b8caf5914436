//! Conditions: expressions that have to be true of each artifact, or of the release.

use super::require::Of;
use super::rule::Demand;
use super::scope::Selector;
use crate::expression::Expression;

/// What expressions over an artifact can look at.
pub(super) const OF_ARTIFACT: [&str; 5] =
    ["artifact", "now", "provenance", "release", "statements"];

/// What expressions over the release can look at.
pub(super) const OF_RELEASE: [&str; 3] = ["now", "release", "statements"];

/// An expression that has to be true.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) name: String,
    pub(crate) expression: Expression,
    pub(crate) of: Of,
    /// Of which artifacts; open where it is of the release.
    pub(crate) selector: Selector,
    pub(crate) demand: Demand,
    pub(crate) message: Option<String>,
}

impl Condition {
    /// What is demanded, in words.
    pub(crate) fn told(&self) -> String {
        let said = self.message.as_deref().unwrap_or(self.expression.as_str());
        format!("{:?}: {said}", self.name)
    }
}
