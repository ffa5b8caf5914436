//! Export: releases and images leave the store as an OCI image layout, for other tools and for backups.
//!
//! ```text
//! 1  contents   what belongs to it, as a value: names, referrers, blobs
//! 2  sink       all of it beside the destination, under a name that nobody takes for the real one;
//!               every blob is checked while it is copied
//! 3  sync       one barrier for all of it
//! 4  rename     here it happens                                   then fsync of the directory above
//! ```
//!
//! A crash before 4 leaves a hidden directory or file `.<name>.export-<n>` and nothing under the final
//! name. A destination is an empty directory or one that is not there yet, and for an archive a name that
//! nobody has: a layout that others have written is never added to, since they take no lock.
//!
//! This module asks for no verdict, as a copy of the store's directory would not: it is for inspection and
//! backups, not for publishing. It knows no policy.

mod bounds;
mod contents;
mod name;
mod sink;
mod tar;

use std::path::{Path, PathBuf};

use bonded_model::{Descriptor, Digest, ImageName};

pub(crate) use contents::ANNOTATION_EVIDENCE;
pub use name::ExportName;

use crate::disk::{DiskError, DiskFault, FileKind, containing};
use crate::error::StoreError;
use crate::snapshot::Snapshot;

use bounds::Bounds;
use contents::Contents;
use sink::Source;

/// What to write, and to where.
#[derive(Clone, Copy, Debug)]
pub struct ExportRequest<'a> {
    /// What goes out.
    pub what: What<'a>,
    /// The directory or archive that is made.
    pub to: &'a Path,
    /// What is made there.
    pub form: Form,
    /// Whether what refers to it goes with it.
    pub referrers: Referrers,
}

/// What goes out of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// Everything that has a name.
    Everything,
    /// These releases and images, each with all that it needs.
    Names(&'a [ExportName]),
}

/// What an export makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A directory that is a layout (OCI image-spec, image-layout.md).
    Directory,
    /// The same in a tar archive, whose bytes depend on nothing but what is in it.
    Archive,
}

/// Whether referrers are written: signatures, attestations, SBOMs and what refers to those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// All of them, listed in `index.json` and under fallback tags.
    All,
    /// None.
    None,
}

/// Told how far an export is, from several threads at once. `()` listens to nothing.
pub trait Progress: Sync {
    /// So many blobs with so many bytes are about to be copied.
    fn planned(&self, blobs: usize, bytes: u64);
    /// So many more bytes have been copied.
    fn advanced(&self, bytes: u64);
}

impl Progress for () {
    fn planned(&self, _blobs: usize, _bytes: u64) {}
    fn advanced(&self, _bytes: u64) {}
}

/// What an export wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// What was made, with the path resolved.
    pub to: PathBuf,
    /// The names in it, in the order of their tags.
    pub names: Vec<ExportedName>,
    /// How many referrers it has.
    pub referrers: usize,
    /// How many blobs it has.
    pub blobs: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// Manifests with more referrers than a fallback tag can list. Their referrers stand in `index.json`.
    pub without_fallback: Vec<Digest>,
}

/// A name in an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedName {
    /// Of what.
    pub name: ExportName,
    /// The tag that other tools find it under.
    pub tag: String,
    /// Its manifest or index.
    pub descriptor: Descriptor,
}

/// Why nothing was exported. What was written so far is gone again, unless removing it failed too.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store cannot give what is wanted.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no image of that name.
    #[error("there is no image {name}{}", nearest_image(nearest.as_ref()))]
    NoImage {
        /// The name asked for.
        name: ImageName,
        /// The name nearest to it that exists.
        nearest: Option<ImageName>,
    },
    /// Something stands at the destination already, perhaps only since the export began.
    #[error("{} exists already; an export makes a new one", path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The destination is a directory with something in it.
    #[error("{} is not empty; an export needs a directory of its own", path.display())]
    NotEmpty {
        /// The destination.
        path: PathBuf,
    },
    /// The destination lies in the store that is exported.
    #[error("{} lies in the store itself", path.display())]
    InsideStore {
        /// The destination.
        path: PathBuf,
    },
    /// The destination has no name that could be given to it in the end.
    #[error("{} is not the name of a file or directory that can be made", path.display())]
    NoName {
        /// The destination.
        path: PathBuf,
    },
    /// `import` would refuse it.
    #[error("the export would have {count} {what}, and import takes no more than {limit}")]
    TooLarge {
        /// Of what it has too many.
        what: &'static str,
        /// How many it has.
        count: usize,
        /// How many an import takes.
        limit: usize,
    },
    /// The export cannot be written.
    #[error("cannot write the export")]
    Write(#[source] DiskError),
}

impl ExportError {
    /// The failed call on the file system behind this error, if there is one.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Store(error) => error.disk(),
            Self::Write(error) => Some(error),
            _ => None,
        }
    }
}

/// Writes releases and images of one state of a store. Whoever calls it sees to it that nothing of that
/// state is collected meanwhile.
///
/// # Errors
/// [`ExportError`]; nothing stands under the final name then, but where the last `fsync` failed: in that
/// case the whole export may be there.
pub fn export(
    snapshot: &Snapshot,
    request: &ExportRequest<'_>,
    progress: &impl Progress,
) -> Result<ExportReport, ExportError> {
    let to = vacant(snapshot, request)?;
    let contents = Contents::gather(snapshot, request.what, request.referrers, Bounds::OF_IMPORT)?;
    progress.planned(contents.blobs().len(), contents.bytes());
    let source = Source { snapshot, contents: &contents, progress };
    match request.form {
        Form::Directory => sink::directory(source, &to)?,
        Form::Archive => sink::archive(source, &to)?,
    }
    Ok(ExportReport {
        to,
        referrers: contents.referrer_count(),
        blobs: contents.blobs().len(),
        bytes: contents.bytes(),
        without_fallback: contents.without_fallback().to_vec(),
        names: contents.into_names(),
    })
}

/// The destination with its directory resolved, if an export may be made there.
fn vacant(snapshot: &Snapshot, request: &ExportRequest<'_>) -> Result<PathBuf, ExportError> {
    let path = request.to.to_owned();
    let Some(name) = path.file_name() else {
        return Err(ExportError::NoName { path });
    };
    let disk = &snapshot.pool().disk;
    let directory = disk.resolve(containing(&path)).map_err(ExportError::Write)?;
    let store = disk.resolve(snapshot.pool().layout.directory()).map_err(StoreError::from)?;
    if directory.starts_with(&store) || directory.join(name) == store {
        return Err(ExportError::InsideStore { path });
    }
    let to = directory.join(name);
    match (disk.read_kind(&to), request.form) {
        (Err(error), _) if error.fault() == DiskFault::NotFound => Ok(to),
        (Err(error), _) => Err(ExportError::Write(error)),
        (Ok(FileKind::Directory), Form::Directory) => {
            match disk.list(&to).map_err(ExportError::Write)?.is_empty() {
                true => Ok(to),
                false => Err(ExportError::NotEmpty { path }),
            }
        }
        (Ok(_), _) => Err(ExportError::Exists { path }),
    }
}

fn nearest_image(nearest: Option<&ImageName>) -> String {
    match nearest {
        Some(name) => format!("; the nearest is {name}"),
        None => String::new(),
    }
}
