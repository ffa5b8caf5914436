//! What a layout lists, and what each entry is there for.
//!
//! ```text
//! ref.name repository:tag, or tag          an image                     (OCI image-spec, annotations.md)
//! io.containerd.image.name                 its whole name, where ref.name is the tag alone
//! ref.name sha256-<hex>                    an index of referrers        (OCI distribution-spec, fallback tag)
//! ref.name sha256-<hex>.sig, .att, .sbom   what cosign keeps about <hex>
//! kind dev.cosignproject.cosign/…          what `cosign save` wrote
//! ref.name project/version                 a release that `export` wrote, by its artifactType
//! nothing                                  a referrer if it has a subject, else an image without a name
//! ```

use bonded_model::descriptor::ANNOTATION_REF_NAME;
use bonded_model::limits::{LAYOUT_ENTRY_COUNT_MAX, LAYOUT_INDEX_BYTES_MAX};
use bonded_model::{
    Algorithm, Descriptor, Digest, ImageName, MediaType, ReleaseName, Tag, media_type,
};
use serde::Deserialize;

use super::error::{ImportError, Trail};
use super::source::Source;
use super::walk::has_honest_data;
use crate::references;

/// The file that lists what a layout holds.
pub(super) const INDEX: &str = "index.json";

/// The whole name of an image in archives that containerd and docker write.
pub(crate) const ANNOTATION_CONTAINERD_NAME: &str = "io.containerd.image.name";

/// How `cosign save` tells its entries apart.
pub(crate) const ANNOTATION_KIND: &str = "kind";
const KIND_PREFIX: &str = "dev.cosignproject.cosign/";

/// In which way evidence without a subject says what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convention {
    /// An index under the tag `sha256-<hex>`.
    FallbackTag,
    /// A tag `sha256-<hex>` and a suffix.
    CosignTag(&'static str),
    /// The layout of `cosign save`, which is about one image.
    CosignSave(&'static str),
}

impl Convention {
    /// What is noted beside a referrer that does not say itself what it is about.
    pub(super) fn name(self) -> String {
        match self {
            Self::FallbackTag => "fallback-tag".to_owned(),
            Self::CosignTag(suffix) => format!("cosign-tag-{suffix}"),
            Self::CosignSave(kind) => format!("cosign-save-{kind}"),
        }
    }
}

/// What an entry is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An image with its whole name.
    Image(ImageName),
    /// An image of a repository that the layout does not name.
    Tagged(Tag),
    /// An image, if anything, under a text that is no name of one.
    Misnamed(String),
    /// A release.
    Release(ReleaseName),
    /// Referrers of this manifest, listed by an index.
    Referrers(Digest),
    /// Evidence about this manifest.
    Evidence(Digest, Convention),
    /// Evidence about the image beside it.
    SavedEvidence(Convention),
    /// A manifest or an index without a name.
    Unnamed,
    /// Something else than a manifest (OCI image-spec, image-layout.md: no error).
    Unknown,
}

/// An entry of a list of images.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) descriptor: Descriptor,
    pub(super) role: Role,
    /// The name as listed, if it has one.
    pub(super) name: Option<String>,
}

impl Entry {
    pub(super) fn new(descriptor: Descriptor) -> Self {
        let annotation = |key| descriptor.annotations.get(key).map(String::as_str);
        let ref_name = annotation(ANNOTATION_REF_NAME);
        let role = if !references::is_manifest(&descriptor.media_type) {
            Role::Unknown
        } else if let Some(role) = role_of_kind(annotation(ANNOTATION_KIND)) {
            role
        } else if let Some(role) = role_of_release(&descriptor, ref_name) {
            role
        } else {
            role_of(&descriptor.media_type, ref_name, annotation(ANNOTATION_CONTAINERD_NAME))
        };
        let name = ref_name.map(str::to_owned);
        Self { role, name, descriptor }
    }

    /// What stands for the entry at the head of a trail.
    pub(super) fn label(&self) -> String {
        match (&self.role, &self.name) {
            (Role::Image(name), _) => name.to_string(),
            (_, Some(name)) => name.clone(),
            (_, None) => "index.json".to_owned(),
        }
    }

    /// Whether somebody who asks for this means the entry: its name, its whole name, or its digest.
    pub(super) fn is_meant_by(&self, reference: &str) -> bool {
        let whole = matches!(&self.role, Role::Image(name) if name.to_string() == reference);
        let release = matches!(&self.role, Role::Release(name) if name.to_string() == reference);
        whole
            || release
            || self.name.as_deref() == Some(reference)
            || self.descriptor.digest.to_string() == reference
    }
}

#[derive(Deserialize)]
struct List {
    manifests: Option<Vec<Descriptor>>,
}

/// The entries of a layout's `index.json`.
pub(super) fn entries_of(source: &Source, bytes: &[u8]) -> Result<Vec<Entry>, ImportError> {
    let list: List = source.parse(INDEX, bytes, LAYOUT_INDEX_BYTES_MAX)?;
    let listed = list.manifests.unwrap_or_default();
    let path = source.place_of(INDEX);
    if listed.len() > LAYOUT_ENTRY_COUNT_MAX {
        return Err(ImportError::TooManyEntries { path, count: listed.len() });
    }
    if !has_honest_data(bytes, LAYOUT_INDEX_BYTES_MAX) {
        let trail = Trail { entry: path.display().to_string(), steps: Vec::new() };
        return Err(ImportError::Data { trail });
    }
    Ok(listed.into_iter().map(Entry::new).collect())
}

fn role_of_kind(kind: Option<&str>) -> Option<Role> {
    match kind?.strip_prefix(KIND_PREFIX)? {
        "sigs" => Some(Role::SavedEvidence(Convention::CosignSave("sigs"))),
        "atts" => Some(Role::SavedEvidence(Convention::CosignSave("atts"))),
        _image_or_index => None,
    }
}

fn role_of(media_type: &MediaType, ref_name: Option<&str>, containerd: Option<&str>) -> Role {
    if let Some(role) = ref_name.and_then(|name| role_of_digest_tag(media_type, name)) {
        return role;
    }
    let whole = [containerd, ref_name].into_iter().flatten().find_map(|name| name.parse().ok());
    match (whole, ref_name) {
        (Some(name), _) => Role::Image(name),
        (None, None) => Role::Unnamed,
        // A digest in place of a tag is no name.
        (None, Some(name)) if name.contains('@') => Role::Unnamed,
        (None, Some(name)) => match name.parse() {
            Ok(tag) => Role::Tagged(tag),
            Err(_no_tag) => Role::Misnamed(name.chars().take(80).collect()),
        },
    }
}

fn role_of_release(descriptor: &Descriptor, ref_name: Option<&str>) -> Option<Role> {
    let artifact_type = descriptor.artifact_type.as_ref()?;
    let is_release = artifact_type.as_str() == media_type::BONDED_RELEASE;
    ref_name.filter(|_| is_release).and_then(release_of).map(Role::Release)
}

/// The release that an `index.json` lists under this name.
pub(super) fn release_of(name: &str) -> Option<ReleaseName> {
    let (project, version) = name.split_once('/')?;
    // Any other name is that of no release.
    Some(ReleaseName { project: project.parse().ok()?, version: version.parse().ok()? })
}

/// The role of a tag, perhaps behind a repository, that is made from a digest.
fn role_of_digest_tag(media_type: &MediaType, name: &str) -> Option<Role> {
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    let (hex, suffix) = match tag.strip_prefix("sha256-")?.split_once('.') {
        Some((hex, suffix)) => (hex, Some(suffix)),
        None => (tag.strip_prefix("sha256-")?, None),
    };
    let subject = Digest::from_hex(Algorithm::Sha256, hex).ok()?; // any other tag is an ordinary one
    let evidence = |suffix| Some(Role::Evidence(subject, Convention::CosignTag(suffix)));
    match suffix {
        None if media_type.as_str() == media_type::OCI_INDEX => Some(Role::Referrers(subject)),
        Some("sig") => evidence("sig"),
        Some("att") => evidence("att"),
        Some("sbom") => evidence("sbom"),
        _ => None,
    }
}
