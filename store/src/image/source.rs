//! Where the blobs of images come from: a layout in a directory, or an archive that stays one file.
//!
//! ```text
//! directory, OCI archive   oci-layout, index.json, blobs/<algorithm>/<hex>     (OCI image-spec, image-layout.md)
//! docker archive           manifest.json, a configuration and layers for each image
//! ```
//!
//! An archive that is both, as newer ones are, is read as the former. Nothing of what is read here is
//! checked yet, but for its length; the names of the files are. This module knows no store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bonded_model::limits::{LAYOUT_INDEX_BYTES_MAX, SMALL_JSON_BYTES_MAX};
use bonded_model::{Digest, json};
use serde::Deserialize;

use super::archive::{Extent, Table};
use super::error::ImportError;
use crate::disk::{Disk, DiskError, DiskFault, FileKind, Handle};
use crate::layout::NO_INDEX;

/// What compressed files begin with, and the program that undoes it.
const COMPRESSED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
];

/// A layout or an archive, open.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    place: Place,
    /// Blobs that have other names in the source, or none: those of docker archives.
    named: BTreeMap<Digest, File>,
}

#[derive(Debug)]
enum Place {
    Directory { disk: Disk, resolved: PathBuf },
    Archive { file: Arc<Handle>, table: Table },
}

/// What a source holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Oci,
    Docker,
}

/// A file of a source, read by position; a clone is read from where the other stood.
#[derive(Clone, Debug)]
pub(super) struct File {
    content: Content,
    bytes: u64,
    position: u64,
    /// What to call it in messages.
    pub(super) path: PathBuf,
}

#[derive(Clone, Debug)]
enum Content {
    Stored { handle: Arc<Handle>, offset: u64 },
    Made(Arc<[u8]>),
}

impl File {
    /// A file that the source does not have, but means.
    pub(super) fn made(path: PathBuf, bytes: Vec<u8>) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { content: Content::Made(bytes.into()), bytes: length, position: 0, path }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where its bytes lie in the archive: two names of one file have one place.
    pub(super) fn place(&self) -> Option<Extent> {
        match &self.content {
            Content::Stored { offset, .. } => Some(Extent { offset: *offset, bytes: self.bytes }),
            Content::Made(_) => None,
        }
    }

    /// Reads on; 0 is the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let left = self.bytes.saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        let count = match &self.content {
            Content::Stored { handle, offset } => handle.read_at(offset + self.position, buffer)?,
            Content::Made(bytes) => {
                let at = usize::try_from(self.position).unwrap_or(usize::MAX);
                let bytes = bytes.get(at..).and_then(|rest| rest.get(..count)).unwrap_or_default();
                buffer.copy_from_slice(bytes);
                count
            }
        };
        self.position += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }

    /// All bytes, of which there may be at most `limit`.
    pub(super) fn read_all(&mut self, limit: u64) -> Result<Vec<u8>, ImportError> {
        let bytes = self.bytes();
        if bytes > limit {
            return Err(ImportError::TooLarge { path: self.path.clone(), bytes, limit });
        }
        let mut all = vec![0; usize::try_from(bytes).unwrap_or(0)];
        let mut filled = 0;
        while let Some(rest @ [_, ..]) = all.get_mut(filled..) {
            match self.read(rest).map_err(ImportError::Source)? {
                0 => break, // it was cut meanwhile, and will not hash to its name
                count => filled += count,
            }
        }
        all.truncate(filled);
        Ok(all)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutFile {
    image_layout_version: String,
}

impl Source {
    /// Opens a layout or an archive.
    pub(crate) fn open(disk: &Disk, path: &Path) -> Result<Self, ImportError> {
        let resolved = disk.resolve(path).map_err(ImportError::Source)?;
        let path = path.to_owned();
        let place = match disk.read_kind(&resolved).map_err(ImportError::Source)? {
            FileKind::Directory => Place::Directory { disk: disk.clone(), resolved },
            _ => {
                let file = disk.open(&resolved).map_err(ImportError::Source)?;
                check_uncompressed(&file, &path)?;
                let table = Table::read(&file)
                    .map_err(|source| ImportError::Archive { path: path.clone(), source })?;
                Place::Archive { file: Arc::new(file), table }
            }
        };
        Ok(Self { path, place, named: BTreeMap::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a file of the source is called in messages.
    pub(super) fn place_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Which of the forms this is; an OCI layout says its version.
    pub(super) fn form(&self) -> Result<Form, ImportError> {
        if let Some(mut file) = self.find("oci-layout")? {
            let bytes = file.read_all(SMALL_JSON_BYTES_MAX)?;
            let layout: LayoutFile = self.parse("oci-layout", &bytes, SMALL_JSON_BYTES_MAX)?;
            return match layout.image_layout_version {
                version if version == "1.0.0" => Ok(Form::Oci),
                found => {
                    Err(ImportError::LayoutVersion { path: self.place_of("oci-layout"), found })
                }
            };
        }
        let is_archive = matches!(self.place, Place::Archive { .. });
        if is_archive && self.find("manifest.json")?.is_some() {
            return Ok(Form::Docker);
        }
        let reason = match is_archive {
            true => "it has neither oci-layout nor manifest.json at its top",
            false => "it has no file oci-layout",
        };
        Err(ImportError::NotALayout { path: self.path.clone(), reason })
    }

    /// The bytes of a file at the top of the source that lists images.
    pub(super) fn read_list(&self, name: &'static str) -> Result<Vec<u8>, ImportError> {
        let path = || self.path.clone();
        match self.find(name)? {
            Some(mut file) => file.read_all(LAYOUT_INDEX_BYTES_MAX),
            None if self.find(NO_INDEX)?.is_some() => {
                Err(ImportError::StoreWithoutIndex { path: path() })
            }
            None => Err(ImportError::NotALayout { path: path(), reason: "it has no index.json" }),
        }
    }

    /// Parses a file of the source that is JSON.
    pub(super) fn parse<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        bytes: &[u8],
        limit: u64,
    ) -> Result<T, ImportError> {
        json::parse(bytes, limit)
            .map_err(|source| ImportError::Json { path: self.place_of(name), source })
    }

    /// Lets a digest name a file that has no such name in the source.
    pub(super) fn name_blob(&mut self, digest: Digest, file: File) {
        self.named.insert(digest, file);
    }

    /// The blob of that digest.
    pub(super) fn find_blob(&self, digest: &Digest) -> Result<Option<File>, ImportError> {
        match self.named.get(digest) {
            Some(file) => Ok(Some(file.clone())),
            None => self.find(&blob_name(digest)),
        }
    }

    /// The file of that name. In an archive, links are followed inside of it; in a directory, to where
    /// the directory itself leads.
    pub(super) fn find(&self, name: &str) -> Result<Option<File>, ImportError> {
        let path = self.place_of(name);
        match &self.place {
            Place::Archive { file, table } => {
                let extent = table
                    .find(name)
                    .map_err(|source| ImportError::Archive { path: self.path.clone(), source })?;
                Ok(extent.map(|Extent { offset, bytes }| File {
                    content: Content::Stored { handle: Arc::clone(file), offset },
                    bytes,
                    position: 0,
                    path,
                }))
            }
            Place::Directory { disk, resolved } => {
                let target = match disk.resolve(&resolved.join(name)) {
                    Ok(target) if !target.starts_with(resolved) => {
                        return Err(ImportError::Link { path, target });
                    }
                    Ok(target) => target,
                    Err(error) if error.fault() == DiskFault::NotFound => return Ok(None),
                    Err(error) => return Err(ImportError::Source(error)),
                };
                let handle = disk.open(&target).map_err(ImportError::Source)?;
                let bytes = handle.read_state().map_err(ImportError::Source)?.bytes;
                let content = Content::Stored { handle: Arc::new(handle), offset: 0 };
                Ok(Some(File { content, bytes, position: 0, path }))
            }
        }
    }
}

/// Where a layout keeps a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn check_uncompressed(file: &Handle, path: &Path) -> Result<(), ImportError> {
    let mut head = [0; 6];
    let count = file.read_at(0, &mut head).map_err(ImportError::Source)?;
    let head = head.get(..count).unwrap_or_default();
    match COMPRESSED.into_iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, with)) => Err(ImportError::Compressed { path: path.to_owned(), with }),
        None => Ok(()),
    }
}

/// Whether a directory is an OCI layout: it has a file `oci-layout`.
pub(crate) fn is_layout(disk: &Disk, directory: &Path) -> Result<bool, DiskError> {
    match disk.read_kind_behind_links(&directory.join("oci-layout")) {
        Ok(kind) => Ok(kind == FileKind::File),
        Err(error) if error.fault() == DiskFault::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
