//! What a blob points to: the one place that reads references out of manifests.
//!
//! ```text
//! image manifest   OCI, docker schema 2     {"config":D,"layers":[D…]}
//! image index      OCI, docker list         {"manifests":[D…]}
//! artifact         OCI, withdrawn           {"blobs":[D…]}
//! anything else                             points to nothing
//! ```
//!
//! What is reachable and what may be thrown away hangs on this, so a document that can be read in two
//! ways is refused (OCI image-spec 1.0.2, CVE-2021-41190), never guessed at. `subject` is no reference: a
//! referrer may be held where its subject is not. This module reads bytes that were checked already; it
//! knows no files and no catalog.

use bonded_model::json;
use bonded_model::limits::MANIFEST_BYTES_MAX;
use bonded_model::manifest::ManifestError;
use bonded_model::{Descriptor, MediaType, media_type};
use serde::Deserialize;

/// What a document of some media type holds references in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Manifest,
    Index,
    Artifact,
}

const SHAPES: [(&str, Shape); 5] = [
    (media_type::OCI_MANIFEST, Shape::Manifest),
    (media_type::OCI_INDEX, Shape::Index),
    (media_type::OCI_ARTIFACT, Shape::Artifact),
    (media_type::DOCKER_MANIFEST, Shape::Manifest),
    (media_type::DOCKER_LIST, Shape::Index),
];

/// Layers that their licence forbids to pass on; a layout need not hold them (OCI image-spec, layer.md,
/// "Non-Distributable Layers").
const FOREIGN_LAYERS: [&str; 5] = [
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/// Every field that holds references in one of the shapes. A list may be `null`: that is how an empty one
/// comes out of Go.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u32>,
    media_type: Option<MediaType>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    /// Of docker's first schema, whose layers have no descriptors.
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// What a blob points to, in the order in which it says so: configuration, layers, blobs, manifests.
///
/// # Errors
/// [`ManifestError`] if it is a manifest by its media type, and its bytes are something else, or could be
/// taken for something else as well.
pub fn of(media_type: &MediaType, bytes: &[u8]) -> Result<Vec<Descriptor>, ManifestError> {
    let Some((expected, shape)) = shape_of(media_type) else {
        return Ok(Vec::new());
    };
    let document: Document = json::parse(bytes, MANIFEST_BYTES_MAX)?;
    check_head(&document, expected, shape)?;
    let Document { config, layers, manifests, blobs, .. } = document;
    let other = match shape {
        Shape::Manifest => manifests.is_some() || blobs.is_some(),
        Shape::Index => config.is_some() || layers.is_some() || blobs.is_some(),
        Shape::Artifact => config.is_some() || layers.is_some() || manifests.is_some(),
    };
    if other || document.fs_layers.is_some() {
        return Err(ManifestError::Ambiguous { expected });
    }
    if shape == Shape::Manifest && config.is_none() {
        return Err(ManifestError::NoConfig);
    }
    let lists = [layers, blobs, manifests].into_iter().flatten().flatten();
    Ok(config.into_iter().chain(lists).collect())
}

/// Whether a blob of this media type can point to others.
pub fn is_manifest(media_type: &MediaType) -> bool {
    shape_of(media_type).is_some()
}

/// Whether these bytes can be read as a manifest of any kind.
pub(crate) fn reads_as_manifest(bytes: &[u8]) -> bool {
    SHAPES.iter().any(|(name, _)| of(&MediaType::known(name), bytes).is_ok())
}

/// Whether a blob of this media type may be absent although something points to it.
pub fn may_be_absent(media_type: &MediaType) -> bool {
    FOREIGN_LAYERS.contains(&media_type.as_str())
}

fn shape_of(media_type: &MediaType) -> Option<(&'static str, Shape)> {
    SHAPES.into_iter().find(|(name, _)| *name == media_type.as_str())
}

/// A media type inside must be the one outside; where the specification lets it be absent, it may be. The
/// artifact manifest has no version.
fn check_head(
    document: &Document,
    expected: &'static str,
    shape: Shape,
) -> Result<(), ManifestError> {
    match (document.schema_version, shape) {
        (Some(2), _) | (None, Shape::Artifact) => {}
        (found, _) => {
            return Err(ManifestError::SchemaVersion { found: found.unwrap_or_default() });
        }
    }
    match &document.media_type {
        Some(found) if found.as_str() != expected => {
            Err(ManifestError::MediaType { expected, found: found.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_model::Digest;
    use bonded_model::manifest::{Index, Manifest};
    use proptest::prelude::*;

    /// The digests that `text` points to as a document of `media_type`, where `@a` stands for a
    /// descriptor of the byte `a`.
    fn check(media_type: &'static str, text: &str) -> Result<Vec<Digest>, ManifestError> {
        let filled = ["a", "b", "c"].into_iter().fold(text.to_owned(), |text, content| {
            text.replace(&format!("@{content}"), &descriptor(content.as_bytes()))
        });
        let found = of(&MediaType::known(media_type), filled.as_bytes())?;
        Ok(found.iter().map(|descriptor| descriptor.digest).collect())
    }

    fn descriptor(content: &[u8]) -> String {
        let descriptor = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), content);
        String::from_utf8(json::to_canonical(&descriptor)).unwrap()
    }

    fn digests(contents: &[&str]) -> Vec<Digest> {
        contents.iter().map(|content| Digest::sha256_of(content.as_bytes())).collect()
    }

    #[test]
    fn what_each_kind_points_to() {
        use media_type::*;
        for (media_type, text, expected) in [
            (
                OCI_MANIFEST,
                r#"{"schemaVersion":2,"config":@a,"layers":[@b,@c]}"#,
                &["a", "b", "c"][..],
            ),
            (OCI_MANIFEST, r#"{"schemaVersion":2,"config":@a,"layers":null}"#, &["a"]),
            (OCI_MANIFEST, r#"{"schemaVersion":2,"config":@a,"layers":[],"subject":@b}"#, &["a"]),
            (DOCKER_MANIFEST, r#"{"schemaVersion":2,"config":@a,"layers":[@a]}"#, &["a", "a"]),
            (OCI_INDEX, r#"{"schemaVersion":2,"manifests":[@b,@a],"subject":@c}"#, &["b", "a"]),
            (OCI_INDEX, r#"{"schemaVersion":2,"manifests":null}"#, &[]),
            (DOCKER_LIST, r#"{"schemaVersion":2,"manifests":[@c],"more":1}"#, &["c"]),
            (OCI_ARTIFACT, r#"{"artifactType":"a/b","blobs":[@b],"subject":@a}"#, &["b"]),
            (OCTET_STREAM, "no document", &[]),
            ("application/vnd.oci.image.config.v1+json", r#"{"layers":[@a]}"#, &[]),
        ] {
            assert_eq!(check(media_type, text).unwrap(), digests(expected), "{text}");
        }
    }

    #[test]
    fn must_reject() {
        use ManifestError as Error;
        use media_type::*;
        let both = r#"{"schemaVersion":2,"config":@a,"layers":[],"manifests":[@b]}"#;
        for media_type in [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT] {
            let result = check(media_type, both);
            assert!(matches!(result, Err(Error::Ambiguous { .. })), "{media_type}");
            for text in ["", "[]", "null", "{", r#"{"schemaVersion":2,"schemaVersion":2}"#] {
                assert!(matches!(check(media_type, text), Err(Error::Json(_))), "{text}");
            }
            let long = format!("{{{}}}", " ".repeat(5 * 1024 * 1024));
            assert!(matches!(check(media_type, &long), Err(Error::Json(_))));
        }
        for text in [
            r#"{"schemaVersion":2,"config":@a,"layers":[],"blobs":[]}"#,
            r#"{"schemaVersion":2,"config":@a,"layers":[],"fsLayers":[]}"#,
        ] {
            assert!(matches!(check(OCI_MANIFEST, text), Err(Error::Ambiguous { .. })), "{text}");
        }
        for text in [r#"{"schemaVersion":1,"config":@a}"#, r#"{"config":@a}"#, "{}"] {
            let result = check(OCI_MANIFEST, text);
            assert!(matches!(result, Err(Error::SchemaVersion { .. })), "{text}");
        }
        let no_config = check(OCI_MANIFEST, r#"{"schemaVersion":2,"layers":[@a]}"#);
        assert!(matches!(no_config, Err(Error::NoConfig)));
        let other_type = format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}"}}"#);
        let result = check(OCI_INDEX, &other_type);
        assert!(matches!(result, Err(Error::MediaType { expected: OCI_INDEX, .. })));
        for text in [
            r#"{"schemaVersion":2,"config":@a,"layers":[{}]}"#,
            r#"{"schemaVersion":2,"config":@a,"layers":{}}"#,
            r#"{"schemaVersion":2,"config":"sha256:00"}"#,
            r#"{"schemaVersion":"2","config":@a}"#,
        ] {
            assert!(matches!(check(OCI_MANIFEST, text), Err(Error::Json(_))), "{text}");
        }
    }

    #[test]
    fn agrees_with_what_is_written_here() {
        let layer = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), b"x");
        let manifest = Manifest::artifact(MediaType::known(media_type::BONDED_FILE), layer.clone());
        let expected = [manifest.config.clone(), layer.clone()];
        let oci_manifest = MediaType::known(media_type::OCI_MANIFEST);
        assert_eq!(of(&oci_manifest, &manifest.to_bytes()).unwrap(), expected);
        let index = Index::plain(vec![layer.clone(), layer.clone()]);
        let oci_index = MediaType::known(media_type::OCI_INDEX);
        assert_eq!(of(&oci_index, &index.to_bytes()).unwrap(), index.manifests);
        assert!(is_manifest(&oci_index) && is_manifest(&oci_manifest));
        assert!(!is_manifest(&layer.media_type) && !may_be_absent(&layer.media_type));
        assert!(FOREIGN_LAYERS.iter().all(|known| may_be_absent(&MediaType::known(known))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (media_type, _) in SHAPES {
                prop_assert!(of(&MediaType::known(media_type), &bytes).is_err());
            }
        }
    }
}
