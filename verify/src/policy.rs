//! Policy: who may sign, who may build, from which source, at which level, with which papers.
//!
//! On the wire it is TOML, described key by key in `docs/policy.md`. The text is read once into the
//! types as written, and those once into the checked types here; rules see only the latter. Unknown
//! keys are refused with the nearest known one, and whatever is not allowed is denied.

mod check;
mod explain;
mod propose;
mod resolve;
mod written;

use std::collections::BTreeSet;

use bonded_model::limits::POLICY_BYTES_MAX;
use bonded_model::sbom::SbomFormat;
use bonded_model::toml_text::{self, TomlError};
use bonded_model::{Digest, Version};

use crate::finding::Severity;
use crate::identity::SignerRule;
use crate::key::PublicKeyError;

pub use check::{NoteWeight, PolicyNote};
pub use propose::propose;

/// A policy, checked and ready to be applied.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    digest: Digest,
    pub(crate) signers: Vec<SignerRule>,
    pub(crate) builders: Vec<Builder>,
    pub(crate) provenance: ProvenanceRule,
    pub(crate) sbom: SbomRule,
    pub(crate) checksums: Demand,
    pub(crate) artifacts: Option<BTreeSet<String>>,
}

/// A builder with the level that it is trusted for and the signers who speak for it.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    pub(crate) id: String,
    pub(crate) level: u8,
    pub(crate) signers: BTreeSet<String>,
}

/// What provenance must say.
#[derive(Clone, Debug)]
pub(crate) struct ProvenanceRule {
    pub(crate) demand: Demand,
    pub(crate) level: u8,
    /// Normalised.
    pub(crate) source: Option<String>,
    pub(crate) reference: Option<Template>,
    pub(crate) build_types: Option<BTreeSet<String>>,
    pub(crate) parameters: Option<BTreeSet<String>>,
}

/// What SBOMs must be there.
#[derive(Clone, Debug)]
pub(crate) struct SbomRule {
    pub(crate) demand: Demand,
    pub(crate) formats: Vec<SbomFormat>,
    pub(crate) signers: Option<BTreeSet<String>>,
}

/// How much a rule weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Demand {
    /// The rule is not applied; what it would have looked at is noted.
    Off,
    /// A breach is a warning.
    Warn,
    /// A breach fails the verdict.
    #[default]
    Require,
}

impl Demand {
    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::Off => Severity::Note,
            Self::Warn => Severity::Warn,
            Self::Require => Severity::Fail,
        }
    }
}

/// A text in which `{version}` stands for the version of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(String);

impl Template {
    const VERSION: &'static str = "{version}";

    /// The text for that version; `None` if it asks for one and there is none.
    pub(crate) fn fill(&self, version: Option<&Version>) -> Option<String> {
        match version {
            Some(version) => Some(self.0.replace(Self::VERSION, version.as_str())),
            None if self.0.contains(Self::VERSION) => None,
            None => Some(self.0.clone()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

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
        key: &'static str,
    },
    /// A level is not 1, 2 or 3, or is missing where it is needed.
    #[error("{place} needs a level of 1, 2 or 3, found {found}")]
    Level {
        /// Where.
        place: String,
        /// As read; 0 where there is none.
        found: u8,
    },
    /// More than one of `tag`, `branch` and `ref`, or an empty one.
    #[error("[provenance] takes one of tag, branch and ref, and not an empty one")]
    Reference,
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

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] at the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if u64::try_from(text.len()).is_ok_and(|length| length > POLICY_BYTES_MAX) {
            return Err(PolicyError::TooLarge { bytes: text.len() });
        }
        resolve::resolve(toml_text::parse(text)?, Digest::sha256_of(text.as_bytes()))
    }

    /// The digest of its text.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The policy that stands behind the question whether one given signer signed a file.
    pub(crate) fn of_one_signer(signer: SignerRule, digest: Digest) -> Self {
        Self {
            name: signer.name.clone(),
            digest,
            signers: vec![signer],
            builders: Vec::new(),
            provenance: ProvenanceRule {
                demand: Demand::Off,
                level: 1,
                source: None,
                reference: None,
                build_types: None,
                parameters: None,
            },
            sbom: SbomRule { demand: Demand::Off, formats: Vec::new(), signers: None },
            checksums: Demand::Off,
            artifacts: None,
        }
    }

    pub(crate) fn builder(&self, id: &str) -> Option<&Builder> {
        self.builders.iter().find(|builder| builder.id == id)
    }
}
