//! Docker archives: images as `docker save` writes them, without manifests of their own.
//!
//! ```text
//! manifest.json   [{"Config":FILE,"RepoTags":["repository:tag",…],"Layers":[FILE,…]},…]
//! FILE            the configuration, verbatim; layers as they are, links to other layers among them
//! ```
//!
//! Each image gets the OCI manifest that follows from these files alone: the same archive gives the same
//! digest anywhere. What an archive says about its own bytes is held against them: a configuration's name
//! that is a digest, and `diff_ids` of layers that are not compressed.

use std::collections::BTreeMap;

use bonded_model::limits::{
    LAYOUT_BLOB_COUNT_MAX, LAYOUT_ENTRY_COUNT_MAX, LAYOUT_INDEX_BYTES_MAX, MANIFEST_BYTES_MAX,
};
use bonded_model::manifest::Manifest;
use bonded_model::{Algorithm, Descriptor, Digest, ImageName, MediaType, media_type};
use rayon::prelude::*;
use serde::Deserialize;

use super::archive::Extent;
use super::entry::{Entry, Role};
use super::error::ImportError;
use super::source::{File, Source};
use crate::disk::DiskError;
use crate::hashing::{self, Sha512Wanted, Stream};

/// The file that lists the images.
const LIST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<Digest>>,
}

/// The images of a docker archive. From here on the source knows its blobs by their digests.
pub(super) fn entries_of(source: &mut Source) -> Result<Vec<Entry>, ImportError> {
    let bytes = source.read_list(LIST)?;
    let listed: Vec<Listed> = source.parse(LIST, &bytes, LAYOUT_INDEX_BYTES_MAX)?;
    let path = source.place_of(LIST);
    if listed.len() > LAYOUT_ENTRY_COUNT_MAX {
        return Err(ImportError::TooManyEntries { path, count: listed.len() });
    }
    let names: Vec<&String> =
        listed.iter().filter_map(|image| image.layers.as_ref()).flatten().collect();
    if names.len() > LAYOUT_BLOB_COUNT_MAX {
        return Err(ImportError::TooManyBlobs);
    }
    // One without a name is an entry as well.
    let count =
        listed.iter().map(|image| image.repo_tags.as_ref().map_or(1, |tags| tags.len().max(1)));
    let count = count.sum();
    if count > LAYOUT_ENTRY_COUNT_MAX {
        return Err(ImportError::TooManyEntries { path, count });
    }
    let layers = layers_of(source, &names)?;
    let mut configs = BTreeMap::new();
    let mut entries = Vec::new();
    for image in &listed {
        let manifest = manifest_of(source, image, &layers, &mut configs)?;
        let names = image.repo_tags.iter().flatten();
        let mut roles: Vec<_> = names.map(|name| (role_of(name), Some(name.clone()))).collect();
        if roles.is_empty() {
            roles.push((Role::Unnamed, None));
        }
        let entry = |(role, name)| Entry { descriptor: manifest.clone(), role, name };
        entries.extend(roles.into_iter().map(entry));
    }
    Ok(entries)
}

fn role_of(name: &str) -> Role {
    match name.parse::<ImageName>() {
        Ok(name) => Role::Image(name),
        Err(_no_name) => Role::Misnamed(name.chars().take(80).collect()),
    }
}

/// Every layer, hashed once however many images have it and under however many names.
fn layers_of(
    source: &mut Source,
    names: &[&String],
) -> Result<BTreeMap<String, Descriptor>, ImportError> {
    let mut files = BTreeMap::new();
    for name in names {
        if !files.contains_key(*name) {
            files.insert((*name).clone(), find(source, name)?);
        }
    }
    let places: BTreeMap<Option<Extent>, File> =
        files.values().map(|file| (file.place(), file.clone())).collect();
    let hashed = places.into_par_iter().map(|(place, file)| {
        let mut hashed = file.clone();
        let digests = hashing::in_line(&mut HashOnly(&mut hashed), Sha512Wanted::No);
        let digests = digests.map_err(ImportError::Source)?;
        let media_type = MediaType::known(media_type_of(file.clone())?);
        Ok((place, Descriptor::new(media_type, digests.sha256, digests.bytes)))
    });
    let hashed = hashed.collect::<Result<BTreeMap<_, _>, ImportError>>()?;
    let mut layers = BTreeMap::new();
    for (name, file) in files {
        let Some(layer) = hashed.get(&file.place()) else { continue };
        source.name_blob(layer.digest, file);
        layers.insert(name, layer.clone());
    }
    Ok(layers)
}

/// What a layer is, by its first bytes.
fn media_type_of(mut layer: File) -> Result<&'static str, ImportError> {
    let mut head = [0; 4];
    let count = layer.read(&mut head).map_err(ImportError::Source)?;
    Ok(match head.get(..count) {
        Some([0x1f, 0x8b, ..]) => media_type::OCI_LAYER_GZIP,
        Some([0x28, 0xb5, 0x2f, 0xfd]) => media_type::OCI_LAYER_ZSTD,
        _ => media_type::OCI_LAYER,
    })
}

struct HashOnly<'a>(&'a mut File);

impl Stream<DiskError> for HashOnly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.0.read(buffer)
    }

    fn write(&mut self, _bytes: &[u8]) -> Result<(), DiskError> {
        Ok(())
    }
}

/// A configuration that was read, with what it says of the layers.
struct Known {
    config: Descriptor,
    diff_ids: Vec<Digest>,
}

/// Configurations that were read, by where they lie. What is kept of each is as long as a list of layers.
type Configs = BTreeMap<Option<Extent>, Known>;

fn manifest_of(
    source: &mut Source,
    image: &Listed,
    layers: &BTreeMap<String, Descriptor>,
    configs: &mut Configs,
) -> Result<Descriptor, ImportError> {
    let names = image.layers.iter().flatten();
    let layers: Vec<Descriptor> = names.filter_map(|name| layers.get(name).cloned()).collect();
    let file = find(source, &image.config)?;
    let place = file.place();
    let known = match configs.remove(&place) {
        Some(known) => known,
        None => read_config(source, image, file)?,
    };
    check_name(source, &image.config, &known.config.digest)?;
    check_layers(source, image, &known.diff_ids, &layers)?;
    let manifest = Manifest::image(known.config.clone(), layers).to_bytes();
    configs.insert(place, known);
    let descriptor = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &manifest);
    let path = source.place_of(LIST);
    source.name_blob(descriptor.digest, File::made(path, manifest));
    Ok(descriptor)
}

fn read_config(source: &mut Source, image: &Listed, file: File) -> Result<Known, ImportError> {
    let bytes = file.clone().read_all(MANIFEST_BYTES_MAX)?;
    let config = Descriptor::of(MediaType::known(media_type::OCI_CONFIG), &bytes);
    let parsed: Config = source.parse(&image.config, &bytes, MANIFEST_BYTES_MAX)?;
    source.name_blob(config.digest, file);
    Ok(Known { config, diff_ids: parsed.rootfs.diff_ids.unwrap_or_default() })
}

/// Docker and skopeo call a configuration by its digest.
fn check_name(source: &Source, name: &str, digest: &Digest) -> Result<(), ImportError> {
    let file_name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    let stem = file_name.strip_suffix(".json").unwrap_or(file_name);
    match Digest::from_hex(Algorithm::Sha256, stem) {
        Ok(named) if named != *digest => {
            Err(contradiction(source, format!("its configuration {name} hashes to {digest}")))
        }
        _ => Ok(()), // named like this, or not by a digest at all
    }
}

/// A layer's digest without compression stands in the configuration (OCI image-spec, config.md, "rootfs").
fn check_layers(
    source: &Source,
    image: &Listed,
    diff_ids: &[Digest],
    layers: &[Descriptor],
) -> Result<(), ImportError> {
    if diff_ids.len() != layers.len() {
        let (listed, known) = (layers.len(), diff_ids.len());
        let config = &image.config;
        let reason = format!("it lists {listed} layers where {config} has {known} diff_ids");
        return Err(contradiction(source, reason));
    }
    let names = image.layers.iter().flatten();
    for ((layer, expected), name) in layers.iter().zip(diff_ids).zip(names) {
        let is_plain = layer.media_type.as_str() == media_type::OCI_LAYER;
        if is_plain && layer.digest != *expected {
            let found = layer.digest;
            let reason =
                format!("its layer {name} hashes to {found}, the configuration says {expected}");
            return Err(contradiction(source, reason));
        }
    }
    Ok(())
}

fn find(source: &Source, name: &str) -> Result<File, ImportError> {
    let missing = || contradiction(source, format!("it lists {name:?} and does not have it"));
    source.find(name)?.ok_or_else(missing)
}

fn contradiction(source: &Source, reason: String) -> ImportError {
    ImportError::Docker { path: source.path().to_owned(), reason }
}
