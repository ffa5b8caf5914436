//! Media types (RFC 6838) and the ones that this program reads and writes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MEDIA_TYPE_BYTES_MAX;

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI artifact manifest, which the specification withdrew before 1.1; some registries still hold them.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI empty descriptor: the two bytes `{}`.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI image layer: a tar.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI image layer: a tar under gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI image layer: a tar under zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// What the media types of layers that may lie elsewhere start with (image-spec, layer.md,
/// "Non-Distributable Layers").
pub const OCI_LAYER_NONDISTRIBUTABLE: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer: a tar under gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker layer that may lie elsewhere, such as the base of a Windows image.
pub const DOCKER_LAYER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// `artifactType` of a manifest that holds one file of a release.
pub const BONDED_FILE: &str = "application/vnd.bonded.file.v1";
/// `artifactType` of an index that is a release.
pub const BONDED_RELEASE: &str = "application/vnd.bonded.release.v1";
/// A page of the catalog.
pub const BONDED_CATALOG: &str = "application/vnd.bonded.catalog.v1";
/// Bytes of which nothing is known.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// Sigstore bundle 0.3, as cosign and GitHub write it today.
pub const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// An in-toto statement, or a DSSE envelope's payload type that says so.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// A classic in-toto layout or link, for which in-toto has no media type.
pub const IN_TOTO_METABLOCK: &str = "application/vnd.bonded.in-toto.metablock.v1+json";
/// A DSSE envelope without a bundle around it.
pub const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
/// A layer of one of cosign's manifests, with its annotations.
pub const COSIGN_LAYER: &str = "application/vnd.bonded.cosign-layer.v1+json";
/// A signature with the files beside it, as one document.
pub const COSIGN_FILES: &str = "application/vnd.bonded.cosign-files.v1+json";
/// A signature in base64 that stands in a file alone.
pub const DETACHED_SIGNATURE: &str = "application/vnd.bonded.detached.signature.v1";
/// The certificate of such a signature: PEM, or base64 of it.
pub const DETACHED_CERTIFICATE: &str = "application/vnd.bonded.detached.certificate.v1";
/// The entry of a log beside such a signature.
pub const DETACHED_LOG_ENTRY: &str = "application/vnd.bonded.detached.log-entry.v1+json";
/// SPDX as JSON.
pub const SPDX_JSON: &str = "application/spdx+json";
/// SPDX as tag-value text.
pub const SPDX_TEXT: &str = "text/spdx";
/// CycloneDX as JSON.
pub const CYCLONEDX_JSON: &str = "application/vnd.cyclonedx+json";
/// A checksum list or a checksum sidecar.
pub const CHECKSUMS: &str = "text/plain";

/// A media type without parameters beyond what the grammar allows; compared byte for byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(String);

/// The text is no media type of the form `type/subtype`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no media type; expected `type/subtype`")]
pub struct MediaTypeError {
    /// The text as given, cut to 80 characters.
    pub text: String,
}

impl MediaType {
    /// One of this module's constants, or another literal known to be well-formed.
    ///
    /// # Panics
    /// If the literal is not well-formed, which a test would show.
    pub fn known(text: &'static str) -> Self {
        text.parse().expect("a media type literal is well-formed")
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let well_formed = text.len() <= MEDIA_TYPE_BYTES_MAX
            && text.split_once('/').is_some_and(|(kind, rest)| is_name(kind) && is_rest(rest));
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(MediaTypeError { text: text.chars().take(80).collect() })
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
}

/// A subtype, perhaps with parameters such as `;version=0.1` (old Sigstore bundles have one).
fn is_rest(text: &str) -> bool {
    let (subtype, parameters) = text.split_once(';').unwrap_or((text, ""));
    is_name(subtype) && parameters.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_well_formed() {
        for text in [
            OCI_MANIFEST,
            OCI_INDEX,
            OCI_ARTIFACT,
            DOCKER_MANIFEST,
            DOCKER_LIST,
            OCI_EMPTY,
            OCI_CONFIG,
            OCI_LAYER,
            OCI_LAYER_GZIP,
            OCI_LAYER_ZSTD,
            OCI_LAYER_NONDISTRIBUTABLE,
            DOCKER_CONFIG,
            DOCKER_LAYER_GZIP,
            DOCKER_LAYER_FOREIGN,
            BONDED_FILE,
            BONDED_RELEASE,
            BONDED_CATALOG,
            OCTET_STREAM,
            SIGSTORE_BUNDLE,
            IN_TOTO,
            IN_TOTO_METABLOCK,
            DSSE,
            COSIGN_FILES,
            DETACHED_SIGNATURE,
            DETACHED_CERTIFICATE,
            DETACHED_LOG_ENTRY,
            SPDX_JSON,
            SPDX_TEXT,
            CYCLONEDX_JSON,
            CHECKSUMS,
            "application/vnd.dev.sigstore.bundle+json;version=0.1",
        ] {
            assert_eq!(MediaType::known(text).as_str(), text);
        }
    }

    #[test]
    fn must_reject() {
        let long = format!("a/{}", "b".repeat(MEDIA_TYPE_BYTES_MAX));
        for text in [
            "",
            "text",
            "/plain",
            "text/",
            "te xt/plain",
            "text/pl\u{e4}in",
            "text/a/b",
            "text/a\n",
            &long,
        ] {
            assert!(text.parse::<MediaType>().is_err(), "{text:?}");
        }
    }
}
