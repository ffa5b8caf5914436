//! History: what ROOT was at each epoch, and what the newest state is recovered from.
//!
//! ```text
//! bonded/epochs/<epoch, 20 digits>     the ROOT document of that epoch, byte for byte
//! ```
//!
//! A commit makes this file durable before it replaces ROOT. So the file of an epoch later than a good
//! ROOT is from a commit that was cut short: it is no part of the history, and the next writer removes
//! it. Everything it names was durable before it was, which is why a ROOT that is lost may be recovered
//! from it: the commit then counts as done.
//!
//! A ROOT is lost if it is missing, is no ROOT document of this format, or names a catalog page that
//! cannot be read. In its place comes the newest epoch whose catalog page can; the records of later ones
//! are moved to `quarantine/epoch-<epoch>` when a writer puts ROOT back. One of a newer format is
//! not lost, it is somebody else's; and where other blobs show that a store once held something, it is
//! never taken to be empty.

use std::path::{Path, PathBuf};

use bonded_model::Digest;

use crate::blob::Pool;
use crate::catalog::{Catalog, Pages};
use crate::disk::{Disk, DiskError, DiskFault};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::root::{FORMAT_VERSION, ROOT_BYTES_MAX, Root, RootError};
use crate::store::read_root;
use crate::writer::replace;

/// The newest state, and how it was found.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) root: Root,
    pub(crate) catalog: Catalog,
    /// What was wrong with ROOT, for people, if it had to be recovered.
    pub(crate) recovery: Option<String>,
}

/// Follows ROOT, or recovers what it was.
pub(crate) fn newest(pool: &Pool, pages: &Pages) -> Result<Newest, StoreError> {
    let good = |root: Root| {
        let catalog = Catalog::open(pages, root.catalog)?;
        Ok(Newest { root, catalog, recovery: None })
    };
    match read_root(&pool.disk, &pool.layout).and_then(good) {
        Err(lost) if is_lost(&lost) => recover(pool, pages, lost),
        result => result,
    }
}

/// Whether an error says that a state cannot be had; others, of the disk for one, may pass.
fn is_lost(error: &StoreError) -> bool {
    match error {
        StoreError::Catalog { source, .. } => !source.is_of_another_version(),
        StoreError::RootMissing { .. }
        | StoreError::RootDamaged { .. }
        | StoreError::EpochDamaged { .. }
        | StoreError::MissingBlob { .. }
        | StoreError::Corrupt { .. }
        | StoreError::BlobTooLarge { .. } => true,
        _ => false,
    }
}

/// The newest epoch whose catalog can be read; if there is none, what was wrong with ROOT is the error.
fn recover(pool: &Pool, pages: &Pages, lost: StoreError) -> Result<Newest, StoreError> {
    for epoch in list(&pool.disk, &pool.layout)?.into_iter().rev() {
        let found = read(pool, epoch).and_then(|(root, _)| {
            let catalog = Catalog::open(pages, root.catalog)?;
            Ok((root, catalog))
        });
        match found {
            Ok((root, _)) if epoch == 0 && holds_more(pool, &root)? => {}
            Ok((root, catalog)) => {
                let recovery = Some(notice(&pool.layout, &lost, epoch));
                return Ok(Newest { root, catalog, recovery });
            }
            Err(error) if is_lost(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(lost)
}

/// Whether there are blobs that the first, empty state does not need.
fn holds_more(pool: &Pool, first: &Root) -> Result<bool, StoreError> {
    let blobs = pool.disk.list(&pool.layout.blobs())?;
    Ok(blobs.iter().any(|(blob, _)| *blob != pool.layout.blob(&first.catalog)))
}

fn notice(layout: &Layout, lost: &StoreError, epoch: u64) -> String {
    let what = match lost {
        StoreError::RootMissing { .. } => "is missing".to_owned(),
        StoreError::MissingBlob { digest, .. } => {
            format!("points to catalog {digest}, which is missing")
        }
        StoreError::Corrupt { digest, .. } => {
            format!("points to catalog {digest}, which is corrupt")
        }
        StoreError::Catalog { page, source } => {
            format!("points to catalog {page}, which cannot be used ({source})")
        }
        _ => "is damaged".to_owned(),
    };
    let root = layout.root();
    format!(
        "{} {what}; recovered epoch {epoch}, the newest that can be read; \
         the next command that writes mends it",
        root.display()
    )
}

/// The epochs of which there is a file, ascending. Files with other names are not looked at.
pub(crate) fn list(disk: &Disk, layout: &Layout) -> Result<Vec<u64>, DiskError> {
    let entries = match disk.list(&layout.epochs()) {
        Ok(entries) => entries,
        Err(error) if error.fault() == DiskFault::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let epoch = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        // A name that is no number is not ours.
        let epoch = name.parse().ok()?;
        (layout.epoch(epoch) == path).then_some(epoch)
    };
    let mut epochs: Vec<u64> = entries.iter().filter_map(|(path, _)| epoch(path)).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

/// Records of epochs that could not be read when ROOT was recovered.
pub(crate) fn set_aside(disk: &Disk, layout: &Layout) -> Result<Vec<PathBuf>, DiskError> {
    let is_record = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("epoch-"))
    };
    let entries = disk.list(&layout.quarantine())?.into_iter();
    Ok(entries.map(|(path, _)| path).filter(is_record).collect())
}

/// The document of one epoch, with its bytes.
pub(crate) fn read(pool: &Pool, epoch: u64) -> Result<(Root, Vec<u8>), StoreError> {
    let path = pool.layout.epoch(epoch);
    let damaged = |source| StoreError::EpochDamaged { path: path.clone(), source };
    let bytes = match pool.disk.read(&path, ROOT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(DiskError::OverLimit { bytes, limit, .. }) => {
            let source = bonded_model::json::JsonError::TooLarge { bytes, limit };
            return Err(damaged(source.into()));
        }
        Err(error) => return Err(error.into()),
    };
    match Root::parse(&bytes) {
        Ok(root) if root.epoch == epoch => Ok((root, bytes)),
        Ok(root) => Err(damaged(RootError::Epoch { found: root.epoch })),
        Err(RootError::Newer { found }) => {
            let path = pool.layout.directory().to_owned();
            Err(StoreError::NewerFormat { path, found, known: FORMAT_VERSION })
        }
        Err(source) => Err(damaged(source)),
    }
}

/// The document of an epoch before the newest. It must be the parent that its successor names, if
/// that is still kept.
pub(crate) fn read_before(pool: &Pool, epoch: u64, newest: &Root) -> Result<Root, StoreError> {
    let (root, bytes) = read(pool, epoch)?;
    let next = epoch.saturating_add(1);
    let parent = if next == newest.epoch {
        newest.parent
    } else {
        match read(pool, next) {
            Ok((successor, _)) => successor.parent,
            Err(error) if is_gone(&error) => return Ok(root),
            Err(error) => return Err(error),
        }
    };
    match parent == Some(Digest::sha256_of(&bytes)) {
        true => Ok(root),
        false => {
            let path = pool.layout.epoch(epoch);
            Err(StoreError::EpochDamaged { path, source: RootError::NotTheParent { epoch } })
        }
    }
}

fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk(error) if error.fault() == DiskFault::NotFound)
}

/// Writes the document of an epoch, durably.
pub(crate) fn write(disk: &Disk, layout: &Layout, root: &Root) -> Result<(), DiskError> {
    replace(disk, layout, &layout.epoch(root.epoch), &root.to_bytes())
}

/// Makes ROOT and the history agree with the state that a writer starts from: a ROOT that was recovered
/// is put back, its own epoch is kept, and later ones are from commits that were cut short. For use
/// under the lock.
pub(crate) fn mend(pool: &Pool, newest: &Newest) -> Result<(), StoreError> {
    let Pool { disk, layout } = pool;
    let document = newest.root.to_bytes();
    let epoch = newest.root.epoch;
    disk.create_directory(&layout.epochs())?;
    let kept = match disk.read(&layout.epoch(epoch), ROOT_BYTES_MAX) {
        Ok(bytes) => bytes == document,
        Err(error) if error.fault() == DiskFault::NotFound => false,
        Err(DiskError::OverLimit { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    if !kept {
        write(disk, layout, &newest.root)?;
    }
    if newest.recovery.is_some() {
        replace(disk, layout, &layout.root(), &document)?;
    }
    let later: Vec<_> = list(disk, layout)?.into_iter().filter(|kept| *kept > epoch).collect();
    for later in &later {
        let path = layout.epoch(*later);
        match newest.recovery {
            // It may have been acknowledged: who finds its page again can put it back.
            Some(_) => {
                disk.rename(&path, &layout.quarantine().join(format!("epoch-{later:020}")))?
            }
            None => disk.remove(&path)?,
        }
    }
    if !later.is_empty() {
        disk.sync_directory(&layout.epochs())?;
    }
    Ok(())
}
