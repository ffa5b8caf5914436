//! Descriptors: the only way to point at content (OCI image-spec, descriptor.md).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::media_type::{self, MediaType};

/// String annotations, in key order. They may say how content is to be read, such as the name that a
/// document had; none makes anything pass, and a wrong one makes a check fail.
pub type Annotations = BTreeMap<String, String>;

/// `org.opencontainers.image.title`: the relative path of a file.
pub const ANNOTATION_TITLE: &str = "org.opencontainers.image.title";
/// `org.opencontainers.image.ref.name`: the tag of an entry of `index.json`.
pub const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";
/// `in-toto.io/predicate-type`: lets tools choose an attestation without reading it.
pub const ANNOTATION_PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// SHA-512 of the file, in hex.
pub const ANNOTATION_SHA512: &str = "vnd.bonded.sha512";
/// Project of a release index.
pub const ANNOTATION_PROJECT: &str = "vnd.bonded.project";
/// Version of a release index.
pub const ANNOTATION_VERSION: &str = "org.opencontainers.image.version";

/// Media type, digest, size and annotations of some content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes are.
    pub media_type: MediaType,
    /// What the bytes must hash to.
    pub digest: Digest,
    /// How many bytes there must be.
    pub size: u64,
    /// Type of the artifact behind a manifest or an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// Operating system and architecture, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Hints for tools and people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

/// Operating system and architecture, in Go's words (OCI image-spec, image-index.md, "platform").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, `ppc64le`, …
    pub architecture: String,
    /// `linux`, `darwin`, `windows`, …
    pub os: String,
    /// `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Text that is no `os/architecture` or `os/architecture/variant`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a platform is os/architecture or os/architecture/variant, such as linux/amd64")]
pub struct PlatformError;

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => return Err(PlatformError),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(PlatformError);
        }
        let variant = variant.map(str::to_owned);
        Ok(Self { architecture: architecture.to_owned(), os: os.to_owned(), variant })
    }
}

impl Descriptor {
    /// A descriptor of `bytes`, which are hashed.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self::new(media_type, Digest::sha256_of(bytes), size)
    }

    /// A descriptor without annotations.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations: Annotations::new(),
        }
    }

    /// The OCI empty descriptor: `{}`.
    pub fn empty() -> Self {
        Self::of(MediaType::known(media_type::OCI_EMPTY), b"{}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_two_or_three_words() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/386"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "/", "linux", "linux/", "/amd64", "linux/arm/", "linux//v7", "a/b/c/d"] {
            assert_eq!(text.parse::<Platform>(), Err(PlatformError), "{text}");
        }
    }
}
