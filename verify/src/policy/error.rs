//! Why a text is no policy.

use bonded_model::limits::POLICY_BYTES_MAX;
use bonded_model::toml_text::TomlError;

use crate::key::PublicKeyError;

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Longer than the limit.
    #[error("policy has {bytes} bytes, the limit is {POLICY_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not TOML of the right shape.
    #[error("policy cannot be read")]
    Toml(#[from] TomlError),
    /// `version` names a format that is not known.
    #[error("policy is of version {found}, expected 1")]
    Version {
        /// As read.
        found: u32,
    },
    /// A name or a builder id stands twice, or is empty.
    #[error("{what} {name:?} is empty or stands twice")]
    Name {
        /// `signer`, `builder` or `policy`.
        what: &'static str,
        /// As read.
        name: String,
    },
    /// A signer is not exactly one of certificate identity and managed key.
    #[error("signer {signer:?} is unclear: {reason}")]
    Signer {
        /// Its name.
        signer: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pattern does not compile or is too large.
    #[error("signer {signer:?} has a pattern that cannot be used")]
    Pattern {
        /// The signer's name.
        signer: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key cannot be read.
    #[error("signer {signer:?} has a key that cannot be used")]
    Key {
        /// The signer's name.
        signer: String,
        /// What is wrong with it.
        #[source]
        source: PublicKeyError,
    },
    /// A rule names a signer that there is not.
    #[error("{place} names signer {signer:?}, which is not defined{}", hint(nearest.as_deref()))]
    UnknownSigner {
        /// Where.
        place: String,
        /// As read.
        signer: String,
        /// The nearest defined one.
        nearest: Option<String>,
    },
    /// A list that has to name something is empty.
    #[error("{key} is an empty list; leave it out or name something")]
    EmptyList {
        /// Which list.
        key: String,
    },
    /// A level is not 1, 2 or 3, or is missing where it is needed.
    #[error("{place} needs a level of 1, 2 or 3, found {found}")]
    Level {
        /// Where.
        place: String,
        /// As read; 0 where there is none.
        found: u8,
    },
    /// No `source`, or an empty one.
    #[error("{place} needs a source; source = \"any\" accepts every repository")]
    Source {
        /// Which table.
        place: String,
    },
    /// Not exactly one of `tag`, `versioned_tag`, `branch` and `ref`, or an empty one.
    #[error(
        "{place} needs exactly one of tag, versioned_tag, branch and ref; ref = \"any\" accepts every one"
    )]
    Reference {
        /// Which table.
        place: String,
    },
    /// A value of a table is none that it can have.
    #[error("{place} has {key} = {found:?}, which is not {expected}")]
    Value {
        /// Which table.
        place: String,
        /// Which key.
        key: &'static str,
        /// As read.
        found: String,
        /// What would be one.
        expected: String,
    },
    /// A table says too little or too much to be clear.
    #[error("{place} is unclear: {reason}")]
    Unclear {
        /// Which table.
        place: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It stands on a base, whose text is needed too.
    #[error("policy stands on {base:?}, which was not given")]
    NeedsBase {
        /// The file name of the base.
        base: String,
    },
    /// The base is itself no policy.
    #[error("the base of the policy cannot be used")]
    Base(#[source] Box<PolicyError>),
    /// It allows what its base does not.
    #[error("{key} is wider than the base allows: the base has {base}, found {found}")]
    Widens {
        /// Which part.
        key: String,
        /// What the base says.
        base: String,
        /// What stands there instead.
        found: String,
    },
    /// An expression cannot be used.
    #[error("{place} cannot be used")]
    Expression {
        /// Which one.
        place: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More tables of a kind than are looked at.
    #[error("policy has {found} of {what}, the limit is {limit}")]
    TooMany {
        /// Of which table.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An expected artifact is no path inside a release.
    #[error("release.artifacts has {path:?}, which is no path inside a release")]
    Artifact {
        /// As read.
        path: String,
        /// What is wrong with it.
        #[source]
        source: bonded_model::name::NameError,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"))
}
