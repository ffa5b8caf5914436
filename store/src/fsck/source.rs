//! Where lost blobs can be had: another store, an OCI layout, a mirror's directory, or whatever a caller
//! implements [`BlobSource`] for.
//!
//! A source is trusted with nothing: what it gives is hashed while it is written, and thrown away if it is
//! not the blob that was asked for.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bonded_model::Digest;

use crate::disk::{Disk, DiskError, Handle};

/// The keys under which a source may have a blob, the likeliest first: where OCI layouts and mirrors keep
/// blobs, its places in the public tree, and its bare hex digits.
pub(super) fn keys(digest: &Digest, paths: &[String]) -> Vec<String> {
    let hex = digest.hex();
    let blob = format!("blobs/{}/{hex}", digest.algorithm().name());
    [blob].into_iter().chain(paths.iter().cloned()).chain([hex]).collect()
}

/// Gives what lies under keys, which are paths with slashes.
pub trait BlobSource: Sync + std::fmt::Debug {
    /// What people call it.
    fn name(&self) -> String;

    /// Opens what lies under a key; none if nothing does.
    ///
    /// # Errors
    /// [`SourceError`] if that cannot be told.
    fn open(&self, key: &str) -> Result<Option<Box<dyn Read>>, SourceError>;
}

/// A source could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {key} of {name}")]
pub struct SourceError {
    /// What people call the source.
    pub name: String,
    /// What it was asked for.
    pub key: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A directory: a store, an OCI layout, a mirror, or a heap of files named by their digests.
#[derive(Clone, Debug)]
pub struct DirectorySource {
    disk: Disk,
    directory: PathBuf,
}

impl DirectorySource {
    /// The directory is not looked at yet.
    pub fn new(directory: &Path) -> Self {
        Self { disk: Disk::default(), directory: directory.to_owned() }
    }
}

impl BlobSource for DirectorySource {
    fn name(&self) -> String {
        self.directory.display().to_string()
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read>>, SourceError> {
        match self.disk.open(&self.directory.join(key)) {
            Ok(handle) => Ok(Some(Box::new(Reading(handle)))),
            // A key may lead to a directory, or through a file.
            Err(DiskError::NotAFile { .. }) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => {
                Err(SourceError { name: self.name(), key: key.to_owned(), source: error.into() })
            }
        }
    }
}

/// A file as a stream.
pub(super) struct Reading(pub(super) Handle);

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(io::Error::other)
    }
}
