//! Releases (in-toto/attestation, spec/predicates/release.md). The text calls itself v0.2 and its examples
//! carry the type of v0.1, so both are read alike.

use serde::Deserialize;

use super::{PredicateError, of, purl_version, value};
use crate::statement::Statement;

/// Predicate type of a release v0.1.
pub const RELEASE_V0_1: &str = "https://in-toto.io/attestation/release/v0.1";
/// Predicate type of a release v0.2.
pub const RELEASE_V0_2: &str = "https://in-toto.io/attestation/release/v0.2";

/// Which release of which package the subjects are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    /// The package URL of the release, with a version.
    pub purl: String,
    /// What stays the same when the package is renamed.
    #[serde(alias = "releaseId")]
    pub package_id: Option<String>,
}

impl Released {
    pub(super) fn parse(statement: &Statement) -> Result<Self, PredicateError> {
        let released: Self = of(statement)?;
        if purl_version(&released.purl).is_none() {
            return Err(value("purl", released.purl, "a package URL with a version"));
        }
        Ok(released)
    }
}
