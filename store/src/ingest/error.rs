//! What can be wrong with the inputs of an ingest.

use std::path::PathBuf;

use bonded_model::name::NameError;
use bonded_model::{ArtifactPath, Digest, ReleaseName};

use crate::disk::{DiskError, FileKind};
use crate::error::StoreError;
use crate::image::ImportError;
use crate::recognise::RecogniseError;

/// Why nothing was taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The store could not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An input cannot be read.
    #[error("cannot take in an input")]
    Source(#[source] DiskError),
    /// There is no artifact among the inputs, and no such release that evidence could be added to.
    #[error("there is no artifact among the inputs, and no release {release} to add evidence to")]
    NoArtifacts {
        /// The release asked for.
        release: ReleaseName,
    },
    /// Images among the inputs cannot be taken in.
    #[error("cannot take in the images of {}", path.display())]
    Image {
        /// The layout or archive.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ImportError,
    },
    /// A path cannot stand in a release.
    #[error("{} cannot stand in a release", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: NameError,
    },
    /// A name is not UTF-8.
    #[error("the name of {} is not UTF-8; rename it", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// A FIFO, a socket or a device. It was not opened.
    #[error("{} is a {found}; a release holds regular files only", path.display())]
    SpecialFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: FileKind,
    },
    /// A symbolic link in an input directory leads nowhere or in a circle.
    #[error("symbolic link {} leads nowhere; remove it or put the file in its place", path.display())]
    DeadLink {
        /// The link.
        path: PathBuf,
        /// What came of following it.
        #[source]
        source: DiskError,
    },
    /// A symbolic link in an input directory leads to a directory, or out of the input.
    #[error(
        "symbolic link {} leads to {}, which is not a regular file inside the same input; put the file in its place",
        path.display(), target.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A directory is an OCI layout and has other files as well, which its images do not name.
    #[error(
        "{} is an OCI layout and {} no part of one; move it out of the layout, or remove oci-layout to take all in as files",
        layout.display(), foreign.display()
    )]
    InLayout {
        /// The layout.
        layout: PathBuf,
        /// The first thing in it that is no part of it.
        foreign: PathBuf,
    },
    /// A directory tree is deeper than any release, which means a loop of mounts.
    #[error("{} is more than {limit} directories deep", path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// More files than a release and its evidence may have.
    #[error("the inputs have more than {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// The store itself lies in an input directory.
    #[error("input {} holds the store {} itself", path.display(), store.display())]
    HoldsStore {
        /// The input.
        path: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// Two inputs claim one path of the release.
    #[error("{} and {} would both be {path}", first.display(), second.display())]
    SamePath {
        /// The path.
        path: ArtifactPath,
        /// The file that came first.
        first: PathBuf,
        /// The file that came second.
        second: PathBuf,
    },
    /// Two paths, or directories above them, differ only by case or by the form of the same letters.
    #[error(
        "{} and {} cannot stand in one release: {} and {} differ only by case or by Unicode normalisation, so macOS and Windows take them for one; rename one of them",
        first.display(), second.display(), other.escaped(), path.escaped()
    )]
    Spelling {
        /// The path of the second file in the release.
        path: ArtifactPath,
        /// The path of the first.
        other: ArtifactPath,
        /// The file that came first.
        first: PathBuf,
        /// The file that came second.
        second: PathBuf,
    },
    /// A file was written to while it was read.
    #[error("{} changed while it was read; ingest it again when it is finished", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A name promises evidence and the content is something else.
    #[error(
        "{} is named like evidence, but is not {expected}; correct it, leave it out, or rename it to take it in as an artifact",
        path.display()
    )]
    Evidence {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        expected: &'static str,
        /// Why it is not.
        #[source]
        source: RecogniseError,
    },
    /// A name promises evidence and the file is larger than any. It was not read.
    #[error(
        "{} is named like evidence, but has {bytes} bytes where {expected} has at most {limit}; leave it out, or rename it to take it in as an artifact",
        path.display()
    )]
    EvidenceTooLarge {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        expected: &'static str,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The release is held with other files; a release never changes.
    #[error(
        "release {release} is held as {held_release}, the inputs make {given_release}: {path} is {} there and {} here",
        or_absent(held.as_ref()), or_absent(given.as_ref())
    )]
    OtherRelease {
        /// The release.
        release: ReleaseName,
        /// The first path at which both have other bytes; if there is none, the first that only one
        /// of them has.
        path: ArtifactPath,
        /// The file's digest in the release that is held; `None` if it has no such file.
        held: Option<Digest>,
        /// The file's digest among the inputs; `None` if they have no such file.
        given: Option<Digest>,
        /// The digest of the release that is held.
        held_release: Digest,
        /// The digest that the release would have.
        given_release: Digest,
    },
}

impl IngestError {
    /// The failed call on the file system behind this error, if there is one.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Store(error) => error.disk(),
            Self::Image { source, .. } => source.disk(),
            Self::Source(error) | Self::DeadLink { source: error, .. } => Some(error),
            _ => None,
        }
    }
}

fn or_absent(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "absent".to_owned(), Digest::to_string)
}
