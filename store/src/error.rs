//! What can go wrong with a store as a whole.

use std::path::PathBuf;

use bonded_model::manifest::ManifestError;
use bonded_model::release::ReleaseError;
use bonded_model::{ArtifactPath, Digest, ReleaseName};

use crate::catalog::{CatalogError, Key};
use crate::disk::DiskError;
use crate::facts::FactsError;
use crate::journal::JournalError;
use crate::lock::Holder;
use crate::root::RootError;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A call on the file system failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no store at this path.
    #[error("{} is not a bonded store (it has no bonded/ROOT)", path.display())]
    NotAStore {
        /// The directory that was looked at.
        path: PathBuf,
    },
    /// There is a store at this path already.
    #[error("{} is a bonded store already", path.display())]
    AlreadyAStore {
        /// Its directory.
        path: PathBuf,
    },
    /// A store is made in an empty directory only.
    #[error("{} is not empty and not a bonded store; a store needs a directory of its own", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by a newer program. Nothing was touched.
    #[error("store {} has format {found}, this program knows {known}; use the newer program", path.display())]
    NewerFormat {
        /// The store's directory.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// The store was written before its format was specified. Nothing was touched.
    #[error("store {} has format {found}, written by a development version before the format was specified; make a new store and ingest again", path.display())]
    OlderFormat {
        /// The store's directory.
        path: PathBuf,
        /// The format it has.
        found: u64,
    },
    /// ROOT is empty, cut or foreign, and no epoch that is kept can be read in its place.
    #[error("store state {} is damaged; put back the file from a copy of the store, its blobs are untouched", path.display())]
    RootDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: RootError,
    },
    /// The record of an earlier state is no such record.
    #[error("the record {} of an earlier state is damaged", path.display())]
    EpochDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: RootError,
    },
    /// There is no record of that epoch: it is still to come, or is no longer kept.
    #[error("there is no epoch {wanted}; those kept are {oldest} to {newest}")]
    NoEpoch {
        /// The epoch asked for.
        wanted: u64,
        /// The oldest that is kept.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
    /// ROOT is missing although there are blobs, and no epoch that is kept can be read in its place.
    #[error("store state {} is missing, but there are blobs beside it; put back the file from a copy of the store", path.display())]
    RootMissing {
        /// The file.
        path: PathBuf,
    },
    /// A blob does not hash to its name.
    #[error("blob {digest} is corrupt: its bytes hash to {found}{}", moved_to(quarantined.as_ref()))]
    Corrupt {
        /// What its bytes should hash to.
        digest: Digest,
        /// What they hash to.
        found: Digest,
        /// Where it was.
        path: PathBuf,
        /// Where it was moved to; `None` if it could not be moved, as in a read-only store.
        quarantined: Option<PathBuf>,
    },
    /// A blob that something refers to is not there.
    #[error("blob {digest} is missing: there is no {}", path.display())]
    MissingBlob {
        /// Its digest.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// A descriptor promises another size than the blob has.
    #[error("blob {digest} has {found} bytes, its descriptor says {expected}")]
    Size {
        /// Its digest.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A blob is larger than its reader allows.
    #[error("blob {digest} has {bytes} bytes, the limit is {limit}")]
    BlobTooLarge {
        /// Its digest.
        digest: Digest,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A page of the catalog is not what it should be, although its bytes are the ones it is named by.
    #[error("cannot use catalog page {page}")]
    Catalog {
        /// The page.
        page: Digest,
        /// Why not.
        #[source]
        source: CatalogError,
    },
    /// An entry cannot stand in a catalog.
    #[error("cannot hold {key} in the catalog")]
    Entry {
        /// Its key.
        key: Key,
        /// Why not.
        #[source]
        source: CatalogError,
    },
    /// The facts could not be made anew; those that were known before still are.
    #[error("cannot rebuild the facts in {}", path.display())]
    Facts {
        /// Their database.
        path: PathBuf,
        /// Why not.
        #[source]
        source: FactsError,
    },
    /// A blob is no OCI manifest or index although something refers to it as one.
    #[error("cannot read manifest {digest}")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// An image names more blobs than any that is meant to be used.
    #[error("image {digest} names more than {limit} blobs")]
    ImageTooLarge {
        /// Its manifest or index.
        digest: Digest,
        /// The limit.
        limit: usize,
    },
    /// Manifests do not make up a release.
    #[error("cannot read release {name}")]
    Release {
        /// Its name.
        name: ReleaseName,
        /// Why not.
        #[source]
        source: ReleaseError,
    },
    /// There is no release of that name.
    #[error("there is no release {name}{}", nearest_name(nearest.as_ref()))]
    NoRelease {
        /// The name asked for.
        name: ReleaseName,
        /// The name nearest to it that exists.
        nearest: Option<ReleaseName>,
    },
    /// The release has no artifact at that path.
    #[error("release {name} has no artifact {path}")]
    NoArtifact {
        /// The release.
        name: ReleaseName,
        /// The path asked for.
        path: ArtifactPath,
    },
    /// A referrer of a release is not one that this program wrote.
    #[error("referrer {digest} of release {name} is malformed: {reason}")]
    Referrer {
        /// The release.
        name: ReleaseName,
        /// The referrer's manifest.
        digest: Digest,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another writer holds the lock, and the time to wait is over.
    #[error("the store is being written by {holder}; gave up after {waited_seconds} s")]
    LockTimeout {
        /// Who holds it.
        holder: Holder,
        /// How long this program waited.
        waited_seconds: u64,
    },
    /// Too many leftovers of other processes have the names that a lease could take.
    #[error("cannot take a lease in {}: every name is taken; remove what is in there while nobody works on the store", path.display())]
    NoLease {
        /// The directory of the leases.
        path: PathBuf,
    },
    /// A blob that was found in place has gone before the commit could refer to it. Doing the same
    /// again brings it in anew.
    #[error("blob {digest} was held a moment ago and is gone: there is no {}; repeat the command", path.display())]
    Vanished {
        /// Its digest.
        digest: Digest,
        /// Where it was.
        path: PathBuf,
    },
    /// An epoch may have been lost, and what is left of it are blobs that nothing else refers to.
    #[error("{} is of an epoch that could not be read; nothing is collected while it may come back", path.display())]
    Unsettled {
        /// ROOT, or the record of that epoch in quarantine.
        path: PathBuf,
    },
    /// A manifest is named by a digest of another algorithm than SHA-256, so that it cannot be followed.
    #[error("cannot follow {digest}: a manifest is held here by its SHA-256 only")]
    ForeignDigest {
        /// What names it.
        digest: Digest,
    },
    /// Another tool has made something of index.json that cannot be read, so that what it names is not
    /// known.
    #[error("{} was changed by another tool and cannot be read; take it in with import --adopt, or move it away", path.display())]
    ForeignIndex {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// The state changed under the lock: somebody writes without taking it.
    #[error("store changed under the lock: it was at epoch {expected}, now it is at epoch {found}")]
    Raced {
        /// The epoch that the commit started from.
        expected: u64,
        /// The epoch found.
        found: u64,
    },
    /// The file of the writer's lock was removed or replaced while it was held, so that a second writer
    /// may be at work.
    #[error("the lock {} was removed while it was held; nothing was changed", path.display())]
    LockLost {
        /// The file.
        path: PathBuf,
    },
    /// The new state is in place, but could not be made durable: a power loss may bring back the old
    /// one. Doing the same again settles it.
    #[error("cannot tell whether epoch {epoch} would survive a power loss; repeat the command")]
    InDoubt {
        /// The epoch that was committed.
        epoch: u64,
        /// What went wrong.
        #[source]
        source: DiskError,
    },
    /// The commit is done and durable, but `index.json` could not be brought up to date. The next
    /// writer does it.
    #[error("epoch {epoch} is committed, but index.json for other tools could not be written")]
    IndexNotWritten {
        /// The epoch that was committed.
        epoch: u64,
        /// Why not.
        #[source]
        source: DiskError,
    },
    /// A document's name is taken by other bytes.
    #[error("release {name} already holds {title} as {held}, refused {given}")]
    TitleTaken {
        /// The release.
        name: ReleaseName,
        /// The name that both claim.
        title: ArtifactPath,
        /// The digest held.
        held: Digest,
        /// The digest refused.
        given: Digest,
    },
    /// A document's name would be a directory above another file, or the other way round.
    #[error(
        "release {name} cannot hold {title} beside {other}: one path is a file and a directory"
    )]
    FileAndDirectory {
        /// The release.
        name: ReleaseName,
        /// The document's name.
        title: ArtifactPath,
        /// The path that is held.
        other: ArtifactPath,
    },
    /// A document's name differs from a path of the release only by case or by the form of the same
    /// letters.
    #[error(
        "release {name} cannot hold {} beside {}: they differ only by case or by Unicode normalisation, so macOS and Windows take them for one",
        title.escaped(), other.escaped()
    )]
    Spelling {
        /// The release.
        name: ReleaseName,
        /// The document's name.
        title: ArtifactPath,
        /// The path that is held.
        other: ArtifactPath,
    },
    /// More documents than a verdict would look at.
    #[error("release {name} would have {count} documents, the limit is {limit}")]
    TooManyDocuments {
        /// The release.
        name: ReleaseName,
        /// How many there would be.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// More bytes of documents than a verdict would take in.
    #[error("release {name} would have {bytes} bytes of documents, the limit is {limit}")]
    TooMuchEvidence {
        /// The release.
        name: ReleaseName,
        /// How many bytes there would be.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl StoreError {
    /// The failed call on the file system behind this error, if there is one.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Disk(error)
            | Self::InDoubt { source: error, .. }
            | Self::IndexNotWritten { source: error, .. } => Some(error),
            Self::Journal(error) => error.disk(),
            Self::Facts { source: FactsError::OutOfReach(error), .. } => error.downcast_ref(),
            _ => None,
        }
    }
}

fn moved_to(quarantined: Option<&PathBuf>) -> String {
    match quarantined {
        Some(path) => format!("; moved to {}", path.display()),
        None => String::new(),
    }
}

fn nearest_name(nearest: Option<&ReleaseName>) -> String {
    match nearest {
        Some(name) => format!("; the nearest is {name}"),
        None => String::new(),
    }
}
