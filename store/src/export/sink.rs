//! Where an export goes: a directory, or an archive of the same files.
//!
//! ```text
//! oci-layout, index.json, blobs/, blobs/sha256/, blobs/sha256/<hex>…      (in this order in an archive)
//! ```
//!
//! Both are written beside the destination and get their name last. Every blob is hashed while it is
//! copied, so a damaged one ends the export.

use std::path::{Path, PathBuf};

use bonded_model::Digest;
use rayon::prelude::*;

use super::contents::Contents;
use super::tar;
use super::{ExportError, Progress};
use crate::blob::BlobReader;
use crate::disk::{Disk, DiskError, DiskFault, Handle, containing};
use crate::error::StoreError;
use crate::layout::{Layout, OCI_LAYOUT};
use crate::snapshot::Snapshot;

/// The files of an export belong to whoever made it.
const FILE_MODE: u32 = 0o644;

/// Large enough that a call costs little beside the hashing of its bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// Unfinished exports of one destination that may lie about before a new one gives up.
const STAGED_COUNT_MAX: u32 = 1000;

/// What is written, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a, P> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) contents: &'a Contents,
    pub(super) progress: &'a P,
}

/// Writes a directory. Blobs are copied several at once.
pub(super) fn directory<P: Progress>(source: Source<'_, P>, to: &Path) -> Result<(), ExportError> {
    let disk = &source.snapshot.pool().disk;
    let (staged, first) = claim(to, |staged| {
        disk.create_directory(staged)?;
        let first = disk.create(&Layout::new(staged).oci_layout(), FILE_MODE);
        if first.is_err() {
            // The reason is what counts; a directory that is another's is not empty and stays.
            drop(disk.remove_directory(staged));
        }
        first
    })?;
    let written = source.write_directory(&first);
    // A directory takes the place of an empty one and of nothing else.
    finish(disk, &staged, to, written.and_then(|()| rename(disk, &staged, to)), Disk::remove_tree)
}

/// Writes an archive.
pub(super) fn archive<P: Progress>(source: Source<'_, P>, to: &Path) -> Result<(), ExportError> {
    let disk = &source.snapshot.pool().disk;
    let (staged, archive) = claim(to, |staged| disk.create(staged, FILE_MODE))?;
    let written = source.write_archive(&archive);
    finish(disk, &staged, to, written.and_then(|()| name(disk, &staged, to)), Disk::remove)
}

/// Gives an archive its name, unless somebody has made a file of that name meanwhile: a link replaces
/// nothing. Where there are no links, what was looked at before the export has to do.
fn name(disk: &Disk, staged: &Path, to: &Path) -> Result<(), ExportError> {
    match disk.link(staged, to) {
        Ok(()) => {
            // The export is whole; a second name that stays tells what it is.
            drop(disk.remove(staged));
            Ok(())
        }
        Err(error) if error.is_no_link() => rename(disk, staged, to),
        Err(error) if error.fault() == DiskFault::Exists => {
            Err(ExportError::Exists { path: to.to_owned() })
        }
        Err(error) => Err(ExportError::Write(error)),
    }
}

fn rename(disk: &Disk, staged: &Path, to: &Path) -> Result<(), ExportError> {
    disk.rename(staged, to).map_err(ExportError::Write)
}

/// Makes something under a name beside the destination that nobody else has, not even an export that
/// was killed.
fn claim(
    to: &Path,
    make: impl Fn(&Path) -> Result<Handle, DiskError>,
) -> Result<(PathBuf, Handle), ExportError> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 0;
    loop {
        let staged = containing(to).join(format!(".{name}.export-{number}"));
        number += 1;
        match make(&staged) {
            Ok(handle) => return Ok((staged, handle)),
            Err(error) => match error.fault() {
                DiskFault::Exists if number < STAGED_COUNT_MAX => {}
                _ => return Err(ExportError::Write(error)),
            },
        }
    }
}

/// Makes the name of a whole export durable, and removes one that is not whole.
fn finish(
    disk: &Disk,
    staged: &Path,
    to: &Path,
    named: Result<(), ExportError>,
    remove: fn(&Disk, &Path) -> Result<(), DiskError>,
) -> Result<(), ExportError> {
    if let Err(error) = named {
        // What went wrong first is what counts; what stays behind has a name that tells what it is.
        drop(remove(disk, staged));
        return Err(error);
    }
    disk.sync_directory(containing(to)).map_err(ExportError::Write)
}

impl<P: Progress> Source<'_, P> {
    fn write_directory(&self, oci_layout: &Handle) -> Result<(), ExportError> {
        let Self { snapshot, contents, .. } = *self;
        let disk = &snapshot.pool().disk;
        let layout = Layout::new(containing(oci_layout.path()));
        let small = || {
            disk.create_directory(&layout.blobs())?;
            // Opened before most is written, so that the barrier reports what could not be written.
            let directory = disk.open_directory(layout.directory())?;
            oci_layout.write_all(OCI_LAYOUT)?;
            disk.create(&layout.index(), FILE_MODE)?.write_all(contents.index())?;
            Ok(directory)
        };
        let directory = small().map_err(ExportError::Write)?;
        let blobs: Vec<(&Digest, &u64)> = contents.blobs().iter().collect();
        blobs.into_par_iter().try_for_each(|(digest, size)| {
            let file = disk.create(&layout.blob(digest), FILE_MODE).map_err(ExportError::Write)?;
            self.copy(digest, *size, &file)
        })?;
        disk.sync_filesystem(&directory).map_err(ExportError::Write)?;
        let directories = [layout.blobs(), layout.directory().join("blobs")];
        let mut directories = directories.iter().map(PathBuf::as_path).chain([layout.directory()]);
        directories
            .try_for_each(|directory| disk.sync_directory(directory))
            .map_err(ExportError::Write)
    }

    fn write_archive(&self, archive: &Handle) -> Result<(), ExportError> {
        let contents = self.contents;
        let put = |bytes: &[u8]| archive.write_all(bytes).map_err(ExportError::Write);
        for (name, bytes) in [("oci-layout", OCI_LAYOUT), ("index.json", contents.index())] {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            put(&tar::file(name, size))?;
            put(bytes)?;
            put(tar::padding(size))?;
        }
        for name in ["blobs/", "blobs/sha256/"] {
            put(&tar::directory(name))?;
        }
        for (digest, size) in contents.blobs() {
            put(&tar::file(&format!("blobs/sha256/{}", digest.hex()), *size))?;
            self.copy(digest, *size, archive)?;
            put(tar::padding(*size))?;
        }
        put(&tar::END)?;
        archive.sync().map_err(ExportError::Write)
    }

    /// Copies a blob of exactly that size, and checks it on the way.
    fn copy(&self, digest: &Digest, size: u64, to: &Handle) -> Result<(), ExportError> {
        let Self { snapshot, contents, progress } = *self;
        if let Some(made) = contents.made(digest) {
            progress.advanced(size);
            return to.write_all(made).map_err(ExportError::Write);
        }
        let mut blob: BlobReader = snapshot.open_blob(digest)?;
        if blob.size() != size {
            let (digest, found) = (*digest, blob.size());
            return Err(StoreError::Size { digest, expected: size, found }.into());
        }
        let buffer_bytes =
            usize::try_from(size).map_or(BUFFER_BYTES, |size| size.min(BUFFER_BYTES));
        let mut buffer = vec![0; buffer_bytes.max(1)];
        loop {
            let count = blob.read_checked(&mut buffer)?;
            match buffer.get(..count) {
                Some(bytes @ [_, ..]) => {
                    to.write_all(bytes).map_err(ExportError::Write)?;
                    progress.advanced(u64::try_from(count).unwrap_or(u64::MAX));
                }
                _ => return Ok(()),
            }
        }
    }
}
