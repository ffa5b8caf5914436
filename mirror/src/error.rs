//! What can go wrong while mirroring, with the side that failed.

use std::sync::Arc;

use bonded_model::inventory::{ListingError, SamePath};
use bonded_model::manifest::ManifestError;
use bonded_model::{Digest, ReleaseName};
use bonded_store::StoreError;

use crate::destination::{ConfigError, Destination, Locality};
use crate::fault::Fault;
use crate::plan::PlanError;

/// Which side of a mirror run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side<'a> {
    /// This machine: the store, the journal, the plan, the configuration.
    Source,
    /// A destination.
    Destination(&'a At),
}

/// A destination as an error names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// What it is called.
    pub name: String,
    /// Its URL, with the endpoint where one is configured.
    pub url: String,
    /// Whether it is this machine or another one.
    pub locality: Locality,
}

impl At {
    pub(crate) fn of(destination: &Destination) -> Self {
        Self {
            name: destination.name().to_owned(),
            url: destination.identity().to_owned(),
            locality: destination.locality(),
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name == self.url {
            write!(f, "destination {}", self.name)
        } else {
            write!(f, "destination {} ({})", self.name, self.url)
        }
    }
}

/// What can go wrong while mirroring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// A destination is not configured well.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A destination failed.
    #[error("{at} failed")]
    Destination {
        /// Which one.
        at: At,
        /// How.
        #[source]
        fault: Fault,
    },
    /// A destination holds other bytes under a name whose bytes never change. They stay.
    #[error("{at} holds {key} as {found}, expected {expected}; a published name never changes")]
    Differs {
        /// Where.
        at: At,
        /// The object.
        key: String,
        /// SHA-256 of what is to be there.
        expected: Digest,
        /// SHA-256 of what is there.
        found: Digest,
    },
    /// A destination already lists another release under that name. It stays.
    #[error("{at} lists {release} as {found}, expected {expected}; a published name never changes")]
    ReleaseDiffers {
        /// Where.
        at: At,
        /// The release.
        release: ReleaseName,
        /// The release digest that is to be published.
        expected: Digest,
        /// The release digest that is published.
        found: Digest,
    },
    /// An object that was there, or was just written, is gone.
    #[error("{at} lost {key}, which was there a moment ago")]
    Lost {
        /// Where.
        at: At,
        /// The object.
        key: String,
    },
    /// A destination's own list of releases is not one that this program wrote.
    #[error("{at} holds {key}, which is not understood and therefore not replaced")]
    Foreign {
        /// Where.
        at: At,
        /// The object.
        key: String,
        /// Why not.
        #[source]
        source: ListingError,
    },
    /// A small mutable document is larger than such documents are.
    #[error("{at} holds {key} with {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Where.
        at: At,
        /// The object.
        key: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The store cannot give what is to be mirrored.
    #[error("cannot read {what} from the store")]
    Store {
        /// What was wanted.
        what: String,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The store's bytes end early or are not the ones named.
    #[error("cannot read {digest} from the store")]
    Source {
        /// Which blob.
        digest: Digest,
        /// Why not.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A referrer in the store is no manifest.
    #[error("referrer {digest} in the store is no manifest")]
    Referrer {
        /// Which blob.
        digest: Digest,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// The evidence of a release changed after its verdict was reached.
    #[error("the evidence of {release} is {held}, the verdict looked at {judged}; verify it again")]
    EvidenceChanged {
        /// The release.
        release: ReleaseName,
        /// Digest of the evidence as held.
        held: Digest,
        /// Digest of the evidence that the verdict looked at.
        judged: Digest,
    },
    /// The store's release is another than the verified one.
    #[error("the store holds {release} as {held}, verified was {verified}")]
    ReleaseChanged {
        /// The release.
        release: ReleaseName,
        /// The digest as held.
        held: Digest,
        /// The digest that was verified.
        verified: Digest,
    },
    /// Two contents would be published under one path.
    #[error(transparent)]
    SamePath(#[from] SamePath),
    /// Two objects claim one key.
    #[error("{key} would be published twice, as {first} and as {second}")]
    SameKey {
        /// The key.
        key: String,
        /// The digest seen first.
        first: Digest,
        /// The digest seen second.
        second: Digest,
    },
    /// The journal cannot be read or written.
    #[error("cannot {attempt} the mirror's journal")]
    Journal {
        /// What was tried.
        attempt: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A plan cannot be read, or is not about what was verified.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl MirrorError {
    /// Which side failed.
    pub fn side(&self) -> Side<'_> {
        self.at().map_or(Side::Source, Side::Destination)
    }

    /// Whether another machine is to blame; otherwise it is this one or its configuration.
    pub fn is_remote(&self) -> bool {
        self.at().is_some_and(|at| at.locality == Locality::Remote)
    }

    /// The destination that failed, if one did.
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::Destination { at, .. }
            | Self::Differs { at, .. }
            | Self::ReleaseDiffers { at, .. }
            | Self::Lost { at, .. }
            | Self::Foreign { at, .. }
            | Self::TooLarge { at, .. } => Some(at),
            Self::Config(_)
            | Self::Store { .. }
            | Self::Source { .. }
            | Self::Referrer { .. }
            | Self::EvidenceChanged { .. }
            | Self::ReleaseChanged { .. }
            | Self::SamePath(_)
            | Self::SameKey { .. }
            | Self::Journal { .. }
            | Self::Plan(_) => None,
        }
    }
}
