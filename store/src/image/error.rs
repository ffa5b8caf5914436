//! What can be wrong with a layout or an archive of images.

use std::fmt;
use std::path::PathBuf;

use bonded_model::json::JsonError;
use bonded_model::limits::{
    IMAGE_BLOB_COUNT_MAX, LAYOUT_BLOB_COUNT_MAX, LAYOUT_ENTRY_COUNT_MAX, LAYOUT_REFERRER_COUNT_MAX,
    MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX, NAMED_DIGEST_COUNT_MAX,
};
use bonded_model::manifest::ManifestError;
use bonded_model::release::ReleaseError;
use bonded_model::{Digest, ImageName, MediaType, ReleaseName};

use super::archive::ArchiveError;
use crate::disk::DiskError;
use crate::error::StoreError;
use crate::recognise::RecogniseError;

/// The way to a blob: the entry that it began with, and every manifest on it, the blob last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// The entry's name, or what stands for one.
    pub entry: String,
    /// Digests with what they are: `manifest sha256:…`.
    pub steps: Vec<String>,
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.entry)?;
        self.steps.iter().try_for_each(|step| write!(f, " → {step}"))
    }
}

/// Why no image was taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The store could not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layout or archive cannot be read.
    #[error("cannot read the images")]
    Source(#[source] DiskError),
    /// The file is no tar archive that can be trusted.
    #[error("cannot read archive {}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ArchiveError,
    },
    /// The archive is compressed: nothing can be read by position in it.
    #[error("{} is compressed with {with}; decompress it first", path.display())]
    Compressed {
        /// The archive.
        path: PathBuf,
        /// The program that did it.
        with: &'static str,
    },
    /// What is listed as a release is none.
    #[error("{name} is listed as a release, but {reason}")]
    NotARelease {
        /// The name in the list.
        name: ReleaseName,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Manifests do not make up a release.
    #[error("cannot take in release {name}")]
    Release {
        /// Its name.
        name: ReleaseName,
        /// Why not.
        #[source]
        source: ReleaseError,
    },
    /// What is listed as evidence of a release could not be read as such.
    #[error("{referrer} is listed as evidence of {name}, but {reason}")]
    NoEvidence {
        /// The release.
        name: ReleaseName,
        /// The referrer.
        referrer: Digest,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Neither a layout nor an archive of one.
    #[error("{} is neither an OCI layout nor an OCI or docker archive: {reason}", path.display())]
    NotALayout {
        /// The path given.
        path: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// `oci-layout` names a version that nobody has written down yet.
    #[error("{} has imageLayoutVersion {found:?}, expected \"1.0.0\"", path.display())]
    LayoutVersion {
        /// The file.
        path: PathBuf,
        /// As read.
        found: String,
    },
    /// A file of the layout is not the JSON that it has to be.
    #[error("{} is not what a layout has under this name", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: JsonError,
    },
    /// A file of the layout is longer than any of its kind. It was not read.
    #[error("{} has {bytes} bytes, the limit is {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A symbolic link of the layout leads out of it.
    #[error("{} leads out of the layout to {}; copy the layout with its links followed", path.display(), target.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// The layout lists more than any has.
    #[error(
        "{} and the lists before it name more than {LAYOUT_REFERRER_COUNT_MAX} referrers",
        path.display()
    )]
    TooManyReferrers {
        /// The list that passes the limit.
        path: PathBuf,
    },
    /// More entries in a list than [`LAYOUT_ENTRY_COUNT_MAX`].
    #[error("{} lists {count} entries, the limit is {LAYOUT_ENTRY_COUNT_MAX}", path.display())]
    TooManyEntries {
        /// The list.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// More blobs than can be taken in at once.
    #[error(
        "the images have more than {LAYOUT_BLOB_COUNT_MAX} blobs; take them in one by one with --reference"
    )]
    TooManyBlobs,
    /// Something refers to a blob that the layout does not have.
    #[error("blob missing: {trail}; there is no {}", path.display())]
    Missing {
        /// The way to it.
        trail: Trail,
        /// Where it should be.
        path: PathBuf,
    },
    /// A blob does not hash to its name.
    #[error("blob wrong: {trail}; {} hashes to {found}", path.display())]
    Wrong {
        /// The way to it.
        trail: Trail,
        /// The file.
        path: PathBuf,
        /// What its bytes hash to.
        found: Digest,
    },
    /// A blob has another size than its descriptor says.
    #[error("blob wrong: {trail}; {} has {found} bytes, the descriptor says {expected}", path.display())]
    Size {
        /// The way to it.
        trail: Trail,
        /// The file.
        path: PathBuf,
        /// What the descriptor says.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A manifest is larger than registries accept. It was not read.
    #[error("manifest too large: {trail}; it has {bytes} bytes, the limit is {MANIFEST_BYTES_MAX}")]
    ManifestTooLarge {
        /// The way to it.
        trail: Trail,
        /// Its length by its descriptor.
        bytes: u64,
    },
    /// A manifest is none.
    #[error("cannot read manifest: {trail}")]
    Manifest {
        /// The way to it.
        trail: Trail,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// One manifest is listed as two kinds of document.
    #[error("{trail}: it is listed as {first} and as {second}, and cannot be both")]
    TwoTypes {
        /// The second way to it.
        trail: Trail,
        /// The media type listed first.
        first: MediaType,
        /// The media type listed second.
        second: MediaType,
    },
    /// An image has more blobs than anything here would take out again.
    #[error("image {digest} has more than {IMAGE_BLOB_COUNT_MAX} blobs")]
    ImageTooLarge {
        /// Its digest.
        digest: Digest,
    },
    /// Evidence names more than is kept in mind at once.
    #[error(
        "the statements name more than {NAMED_DIGEST_COUNT_MAX} digests; take the images in one by one with --reference"
    )]
    TooManyNamed,
    /// A descriptor carries its content as `data`, and that is something else.
    #[error("the data that a descriptor carries is not what it describes: {trail}")]
    Data {
        /// The way to it.
        trail: Trail,
    },
    /// Content is addressed by a hash that is no name in this store.
    #[error(
        "{trail}: this store names content by its SHA-256, and {digest} is another digest; write the layout with sha256"
    )]
    Algorithm {
        /// The way to it.
        trail: Trail,
        /// The digest.
        digest: Digest,
    },
    /// Indexes in indexes in indexes.
    #[error("{trail}: indexes are nested deeper than {MANIFEST_DEPTH_MAX}")]
    TooDeep {
        /// The way to it.
        trail: Trail,
    },
    /// A docker archive contradicts itself.
    #[error("docker archive {}: {reason}", path.display())]
    Docker {
        /// The archive.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// A name in the layout is no name of an image.
    #[error("{name:?} names no image: expected a tag, or REPOSITORY:TAG")]
    Name {
        /// As read, cut.
        name: String,
    },
    /// A tag without a repository.
    #[error("the layout gives the tag {tag:?} and no repository")]
    NoRepository {
        /// The tag.
        tag: String,
    },
    /// An image without a name.
    #[error("image {digest} has no name in the layout")]
    NoName {
        /// Its digest.
        digest: Digest,
    },
    /// One name was given for several images.
    #[error("{name} cannot be the name of {count} images; choose one with --reference")]
    NameForSeveral {
        /// The name.
        name: ImageName,
        /// How many there are.
        count: usize,
    },
    /// Nothing in the layout has the name asked for.
    #[error("the layout has no {wanted:?}; it has {}", or_nothing(available))]
    NoReference {
        /// The name asked for.
        wanted: String,
        /// Some of those that it has.
        available: Vec<String>,
    },
    /// The layout lists nothing.
    #[error("{} lists no images", path.display())]
    Empty {
        /// The list.
        path: PathBuf,
    },
    /// A signature or an attestation says in no way what it is about.
    #[error(
        "{digest} is kept as evidence about an image, and the layout has {count} that it could be about"
    )]
    NoSubject {
        /// The manifest with the evidence.
        digest: Digest,
        /// How many images there are.
        count: usize,
    },
    /// What cosign signed cannot be kept together with its signature.
    #[error("cannot keep layer {layer}, which cosign signed, as evidence about image {image}")]
    SignedLayer {
        /// The image.
        image: Digest,
        /// The layer of the manifest beside it.
        layer: Digest,
        /// Why not. The document with the signature is a third longer than the layer.
        #[source]
        source: RecogniseError,
    },
    /// Two entries of the layout claim one name.
    #[error("{name} stands for {first} and for {second} in the layout; keep one of the entries")]
    Twice {
        /// The name.
        name: String,
        /// The digest listed first.
        first: Digest,
        /// The digest listed second.
        second: Digest,
    },
    /// The name is held for other content, and a published name never changes.
    #[error("{name} is held as {held}, refused {given}")]
    NameTaken {
        /// The name: of an image or of a release.
        name: String,
        /// The digest that is held.
        held: Digest,
        /// The digest that was given.
        given: Digest,
    },
    /// A release cannot be made by listing it.
    #[error("index.json lists {name}, which is no image and no release that is held")]
    UnknownRelease {
        /// The name listed.
        name: String,
    },
    /// There is nothing but releases, and nobody asked for these.
    #[error(
        "the layout holds release {name}, and releases are taken in only when they are asked for"
    )]
    OnlyReleases {
        /// The first of them.
        name: ReleaseName,
    },
    /// A layout that was given for its images holds a release.
    #[error("the layout holds release {name}, and a release is no part of another")]
    HoldsRelease {
        /// The release.
        name: ReleaseName,
    },
    /// The store itself was given as the layout.
    #[error("{} is the store itself", path.display())]
    IsStore {
        /// The path given.
        path: PathBuf,
    },
    /// The source is a store that is kept without the list of what it holds.
    #[error("{} is a store that is kept without index.json", path.display())]
    StoreWithoutIndex {
        /// The path given.
        path: PathBuf,
    },
    /// Another program changed `index.json` while it was taken in.
    #[error("index.json was changed again while it was taken in; what it listed before is held")]
    IndexChanged,
}

impl ImportError {
    /// The failed call on the file system behind this error, if there is one.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Store(error) => error.disk(),
            Self::Source(error) | Self::Archive { source: ArchiveError::Disk(error), .. } => {
                Some(error)
            }
            _ => None,
        }
    }
}

fn or_nothing(names: &[String]) -> String {
    if names.is_empty() { "no names".to_owned() } else { names.join(", ") }
}
