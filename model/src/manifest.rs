//! OCI image manifests and image indexes (OCI image-spec, manifest.md and image-index.md), as far as
//! they carry files, releases and evidence. Unknown fields are ignored on reading, as the spec asks;
//! the bytes that were read stay the truth, so nothing is ever re-written from these types.

use serde::{Deserialize, Serialize};

use crate::descriptor::{Annotations, Descriptor};
use crate::json::{self, JsonError};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::media_type::{self, MediaType};

/// An OCI image manifest, which is also how single files and evidence are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    /// What kind of artifact this is, where it is no container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The configuration; the empty descriptor where there is none.
    pub config: Descriptor,
    /// The content. A file or a document is one layer, verbatim.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to: makes it a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Hints for tools and people.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// An OCI image index, which is also how a release is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    /// What kind of artifact this is, where it is no multi-platform image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The manifests and indexes it lists.
    pub manifests: Vec<Descriptor>,
    /// Makes it a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Hints for tools and people.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// Why bytes are no OCI manifest or index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not strict JSON of the right shape.
    #[error("not an OCI document")]
    Json(#[from] JsonError),
    /// `schemaVersion` is not 2.
    #[error("schemaVersion is {found}, expected 2")]
    SchemaVersion {
        /// As read.
        found: u32,
    },
    /// `mediaType` names something else.
    #[error("mediaType is {found}, expected {expected}")]
    MediaType {
        /// What was looked for.
        expected: &'static str,
        /// As read.
        found: MediaType,
    },
    /// It has the fields of another kind of document as well, so two readers could see two things.
    #[error("document is not only {expected}: it has the lists of another kind as well")]
    Ambiguous {
        /// What was looked for.
        expected: &'static str,
    },
    /// An image manifest without a configuration.
    #[error("manifest has no config")]
    NoConfig,
}

impl Manifest {
    /// A manifest of an artifact: empty configuration and one layer.
    pub fn artifact(artifact_type: MediaType, layer: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::known(media_type::OCI_MANIFEST)),
            artifact_type: Some(artifact_type),
            config: Descriptor::empty(),
            layers: vec![layer],
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// A manifest of a container image.
    pub fn image(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::known(media_type::OCI_MANIFEST)),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] if it is too large, not strict JSON, or something else than a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = json::parse(bytes, MANIFEST_BYTES_MAX)?;
        check_head(
            manifest.schema_version,
            manifest.media_type.as_ref(),
            media_type::OCI_MANIFEST,
        )?;
        Ok(manifest)
    }

    /// Its canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_canonical(self)
    }
}

impl Index {
    /// An index of the given type over manifests.
    pub fn artifact(artifact_type: MediaType, manifests: Vec<Descriptor>) -> Self {
        Self { artifact_type: Some(artifact_type), ..Self::plain(manifests) }
    }

    /// An index without a type of its own, such as the `index.json` of a layout.
    pub fn plain(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::known(media_type::OCI_INDEX)),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// Reads an index.
    ///
    /// # Errors
    /// [`ManifestError`] if it is too large, not strict JSON, or something else than an index.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let index: Self = json::parse(bytes, MANIFEST_BYTES_MAX)?;
        check_head(index.schema_version, index.media_type.as_ref(), media_type::OCI_INDEX)?;
        Ok(index)
    }

    /// Its canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_canonical(self)
    }
}

/// `mediaType` may be absent (the specification says SHOULD), but must not name something else.
fn check_head(
    version: u32,
    found: Option<&MediaType>,
    expected: &'static str,
) -> Result<(), ManifestError> {
    if version != 2 {
        return Err(ManifestError::SchemaVersion { found: version });
    }
    match found {
        Some(found) if found.as_str() != expected => {
            Err(ManifestError::MediaType { expected, found: found.clone() })
        }
        _ => Ok(()),
    }
}
