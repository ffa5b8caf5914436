//! Small images that real tools accept, made in memory: a configuration, a layer with one file, and the
//! manifests above them.
//!
//! Included with `#[path]`; needs the model crate and serde_json.

#![allow(dead_code, reason = "each test that includes this file uses a part of it")]

use std::collections::BTreeMap;

use bonded_model::manifest::{Index, Manifest};
use bonded_model::{Descriptor, Digest, MediaType, Platform, media_type};
use serde_json::json;

/// An image with all its blobs.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Its own manifest or index.
    pub(crate) top: Descriptor,
    /// Every blob of it, `top` among them.
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Image {
    /// An image for one architecture; its layer has the file `hello` with this text.
    pub(crate) fn of(architecture: &str, text: &str) -> Self {
        let mut blobs = BTreeMap::new();
        let mut hold = |media_type, bytes: Vec<u8>| {
            let descriptor = Descriptor::of(MediaType::known(media_type), &bytes);
            blobs.insert(descriptor.digest, bytes);
            descriptor
        };
        let layer = hold(media_type::OCI_LAYER, tar_of_one_file("hello", text.as_bytes()));
        let config = json!({
            "architecture": architecture, "os": "linux", "config": { "Cmd": ["/hello"] },
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
            "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "a test" }],
        });
        let config = hold(media_type::OCI_CONFIG, config.to_string().into_bytes());
        let mut manifest = Manifest::artifact(MediaType::known(media_type::OCI_CONFIG), layer);
        (manifest.artifact_type, manifest.config) = (None, config);
        // Indented, as other tools write it: what is kept must be the bytes, not the meaning.
        let manifest = serde_json::to_vec_pretty(&manifest).expect("a manifest is JSON");
        let top = hold(media_type::OCI_MANIFEST, manifest);
        Self { top, blobs }
    }

    /// An index of an image for amd64 and one for arm64.
    pub(crate) fn multi(text: &str) -> Self {
        let images = ["amd64", "arm64"].map(|architecture| {
            let mut image = Self::of(architecture, &format!("{text} on {architecture}"));
            let (os, variant) = ("linux".to_owned(), None);
            image.top.platform =
                Some(Platform { architecture: architecture.to_owned(), os, variant });
            image
        });
        Self::index(&images)
    }

    /// An index of these images.
    pub(crate) fn index(images: &[Self]) -> Self {
        let mut blobs: BTreeMap<_, _> =
            images.iter().flat_map(|image| image.blobs.clone()).collect();
        let index = Index::plain(images.iter().map(|image| image.top.clone()).collect());
        let index = serde_json::to_vec_pretty(&index).expect("an index is JSON");
        let top = Descriptor::of(MediaType::known(media_type::OCI_INDEX), &index);
        blobs.insert(top.digest, index);
        Self { top, blobs }
    }

    /// A referrer of `subject` that holds a document.
    pub(crate) fn referrer(subject: &Descriptor, artifact_type: &str, document: &[u8]) -> Self {
        let artifact_type: MediaType = artifact_type.parse().expect("a media type");
        let layer = Descriptor::of(artifact_type.clone(), document);
        let mut manifest = Manifest::artifact(artifact_type.clone(), layer.clone());
        manifest.subject = Some(Descriptor {
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
            ..subject.clone()
        });
        let bytes = manifest.to_bytes();
        let top = Descriptor {
            artifact_type: Some(artifact_type),
            ..Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &bytes)
        };
        let held = [
            (top.digest, bytes),
            (layer.digest, document.to_vec()),
            (Descriptor::empty().digest, b"{}".to_vec()),
        ];
        Self { top, blobs: held.into() }
    }

    /// The bytes of its own manifest or index.
    pub(crate) fn top_bytes(&self) -> &[u8] {
        &self.blobs[&self.top.digest]
    }
}

/// A tar with one executable file (POSIX.1-1988, ustar).
fn tar_of_one_file(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let size = format!("{:011o}\0", bytes.len());
    for (at, field) in [
        (0, name),
        (100, "0000755\0"),
        (108, "0000000\0"),
        (116, "0000000\0"),
        (124, &size),
        (136, "00000000000\0"),
        (148, "        "),
        (156, "0"),
        (257, "ustar\x0000"),
    ] {
        header[at..at + field.len()].copy_from_slice(field.as_bytes());
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend(bytes);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}
