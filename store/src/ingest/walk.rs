//! From inputs to files with a path inside the release, and to layouts with images.
//!
//! A directory that is an OCI layout, given or below another one, is not walked: its images are what
//! counts, not its files. Such a directory may have no other files.
//!
//! Symbolic links: an input may be one. Inside an input directory, a link to a regular file inside
//! the same directory is read as that file; every other link is refused, so that no tree can pull in
//! what lies outside of it, and none can be endless. The paths that come out of this have no link in them;
//! should one have come in when a file is opened, or another file stand there by device and inode, it is
//! refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bonded_model::ArtifactPath;
use bonded_model::limits::{ARTIFACT_COUNT_MAX, DIRECTORY_DEPTH_MAX, DOCUMENT_COUNT_MAX};
use bonded_model::spelling::Spellings;

use super::error::IngestError;
use crate::disk::{Disk, DiskError, FileKind, FileState};
use crate::image;

/// Every file of a full release with all its evidence.
const FILE_COUNT_MAX: usize = ARTIFACT_COUNT_MAX + DOCUMENT_COUNT_MAX;

/// What an OCI layout has at its top, and what those that `docker save` writes have as well.
const LAYOUT_ENTRIES: [&str; 5] =
    ["oci-layout", "index.json", "blobs", "manifest.json", "repositories"];

/// A file that was found.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Which file it was, and how long.
    pub(super) state: FileState,
}

/// Files by their path inside the release.
pub(super) type Found = BTreeMap<ArtifactPath, Input>;

/// Finds every file of the inputs, in the order of their paths, and the layouts among them.
pub(super) fn walk(
    disk: &Disk,
    inputs: &[PathBuf],
    store: &Path,
) -> Result<(Found, Vec<PathBuf>), IngestError> {
    let mut walk =
        Walk { disk, found: Found::new(), layouts: Vec::new(), spellings: Spellings::default() };
    let store = disk.resolve(store).map_err(IngestError::Source)?;
    for input in inputs {
        let resolved = disk.resolve(input).map_err(IngestError::Source)?;
        match disk.read_kind(&resolved).map_err(IngestError::Source)? {
            FileKind::Directory => {
                if store.starts_with(&resolved) {
                    return Err(IngestError::HoldsStore { path: input.clone(), store });
                }
                walk.directory(&resolved, &resolved, 0)?;
            }
            FileKind::File => {
                let name = input.file_name().or(resolved.file_name()).unwrap_or_default();
                walk.add(Path::new(name), input.clone(), resolved.clone())?;
            }
            found => return Err(IngestError::SpecialFile { path: input.clone(), found }),
        }
    }
    Ok((walk.found, walk.layouts))
}

struct Walk<'a> {
    disk: &'a Disk,
    found: Found,
    layouts: Vec<PathBuf>,
    spellings: Spellings,
}

impl Walk<'_> {
    fn directory(&mut self, root: &Path, at: &Path, depth: usize) -> Result<(), IngestError> {
        if depth > DIRECTORY_DEPTH_MAX {
            return Err(IngestError::TooDeep { path: at.to_owned(), limit: DIRECTORY_DEPTH_MAX });
        }
        if image::is_layout(self.disk, at).map_err(IngestError::Source)? {
            self.check_layout(at)?;
            self.layouts.push(at.to_owned());
            return Ok(());
        }
        for (path, kind) in self.disk.list(at).map_err(IngestError::Source)? {
            match kind {
                FileKind::Directory => self.directory(root, &path, depth + 1)?,
                FileKind::File => self.add_below(root, path.clone(), path)?,
                FileKind::Symlink => {
                    let target = self.follow(root, &path)?;
                    self.add_below(root, path, target)?;
                }
                found => return Err(IngestError::SpecialFile { path, found }),
            }
        }
        Ok(())
    }

    /// That no file is lost because it lies in a layout.
    fn check_layout(&self, layout: &Path) -> Result<(), IngestError> {
        let is_foreign = |path: &PathBuf| !LAYOUT_ENTRIES.iter().any(|name| path.ends_with(name));
        let entries = self.disk.list(layout).map_err(IngestError::Source)?;
        match entries.into_iter().map(|(path, _)| path).find(is_foreign) {
            Some(foreign) => Err(IngestError::InLayout { layout: layout.to_owned(), foreign }),
            None => Ok(()),
        }
    }

    /// The regular file inside the input that a link leads to.
    fn follow(&self, root: &Path, link: &Path) -> Result<PathBuf, IngestError> {
        let dead = |source: DiskError| IngestError::DeadLink { path: link.to_owned(), source };
        let target = self.disk.resolve(link).map_err(dead)?;
        let kind = self.disk.read_kind(&target).map_err(dead)?;
        if kind == FileKind::File && target.starts_with(root) {
            Ok(target)
        } else {
            Err(IngestError::Link { path: link.to_owned(), target })
        }
    }

    fn add_below(
        &mut self,
        root: &Path,
        path: PathBuf,
        source: PathBuf,
    ) -> Result<(), IngestError> {
        let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
        self.add(&relative, path, source)
    }

    fn add(&mut self, relative: &Path, shown: PathBuf, source: PathBuf) -> Result<(), IngestError> {
        let Some(text) = relative.to_str() else {
            return Err(IngestError::NotUtf8 { path: shown });
        };
        let path: ArtifactPath =
            text.parse().map_err(|source| IngestError::Name { path: shown.clone(), source })?;
        if let Some(first) = self.found.get(&path) {
            let first = first.path.clone();
            return Err(IngestError::SamePath { path, first, second: shown });
        }
        if let Err(other) = self.spellings.add(&path) {
            let first = self.found.get(&other).map(|input| input.path.clone()).unwrap_or_default();
            return Err(IngestError::Spelling { path, other, first, second: shown });
        }
        if self.found.len() == FILE_COUNT_MAX {
            return Err(IngestError::TooManyFiles { limit: FILE_COUNT_MAX });
        }
        let state = self.disk.read_state(&source).map_err(IngestError::Source)?;
        self.found.insert(path, Input { path: source, state });
        Ok(())
    }
}
