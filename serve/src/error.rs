//! Why a site cannot be made or a server cannot run.

use std::io;
use std::net::SocketAddr;

use bonded_model::inventory::SamePath;
use bonded_model::{Digest, ReleaseName};
use bonded_store::StoreError;

/// Why a site cannot be made or a server cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: another program listens there; stop it, or listen on another port"
    )]
    AddressInUse {
        /// The wanted address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The system refuses the address: it is not this machine's, or the port needs privileges.
    #[error("cannot listen on {address}")]
    Bind {
        /// The wanted address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The store cannot give what is held about a release.
    #[error("cannot read release {release} from the store")]
    Store {
        /// Which release.
        release: ReleaseName,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// The verdict is about other content than the store holds under the name.
    #[error("release {release} was verified as {verified}, the store holds {held}")]
    ReleaseChanged {
        /// Which release.
        release: ReleaseName,
        /// The release digest of the verdict.
        verified: Digest,
        /// The release digest in the store.
        held: Digest,
    },
    /// Evidence came or went since the verdict, which therefore vouches for something else.
    #[error("release {release} was verified with evidence {verified}, the store holds {held}")]
    EvidenceChanged {
        /// Which release.
        release: ReleaseName,
        /// The evidence digest of the verdict.
        verified: Digest,
        /// The evidence digest in the store.
        held: Digest,
    },
    /// One release was given twice.
    #[error("release {release} was given twice")]
    Twice {
        /// Which release.
        release: ReleaseName,
    },
    /// Two contents claim one path.
    #[error("the public tree of a release has no single content per path")]
    SamePath(#[from] SamePath),
}
