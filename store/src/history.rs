//! History: what ROOT was at each epoch, and what the newest state is recovered from.
//!
//! ```text
//! bonded/epochs/<epoch, 20 digits>     the ROOT document of that epoch, byte for byte
//! ```
//!
//! A commit makes this file durable before it replaces ROOT, and everything that the file names before
//! that. Where it fails in between it takes the file back, so one that stands after ROOT's is of a commit
//! that nobody was told about, or of one that was acknowledged and whose ROOT was put back from a copy.
//! These cannot be told apart, so nothing here is ever removed:
//!
//! - The one epoch after ROOT's, if ROOT's document is its parent, is what the next writer goes on from.
//!   Until then readers see ROOT's.
//! - Where there is a later one still, ROOT is not the one that was written last, and is lost.
//! - Any other is moved to quarantine.
//!
//! A ROOT is lost as well if it is missing, is no ROOT document of this format, or names a catalog page
//! that cannot be read. In its place comes the newest epoch whose catalog page can. When a writer puts ROOT
//! back, the records of later epochs lie in `quarantine/epoch-<epoch>-<digest>` already, durably: they are
//! all that is left of something that may have been acknowledged. One of a newer format is not lost, it is
//! somebody else's; and where other blobs show that a store once held something, it is never taken to be
//! empty.

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
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) root: Root,
    pub(crate) catalog: Catalog,
    /// What was wrong with ROOT, for people, if it had to be recovered.
    pub(crate) recovery: Option<String>,
}

/// How often somebody may have changed ROOT while it was looked at, before it is taken as it is.
const ATTEMPT_COUNT: usize = 16;

/// Why ROOT does not tell the newest state.
#[derive(Debug)]
enum Lost {
    /// Its state cannot be had.
    Unusable(Box<StoreError>),
    /// It is good, but older than what was committed.
    Behind(Box<Newest>),
}

/// Follows ROOT, or recovers what it was.
///
/// It may be replaced while it is followed, and gc may then take away what it led to. So it is lost only if
/// it is the same afterwards.
pub(crate) fn newest(pool: &Pool, pages: &Pages) -> Result<Newest, StoreError> {
    let Pool { disk, layout } = pool;
    let mut left = ATTEMPT_COUNT;
    loop {
        left -= 1;
        let root = read_root(disk, layout);
        let read = root.as_ref().ok().cloned();
        let lost = match root.and_then(|root| follow(pages, root)) {
            Ok(newest) if is_behind(pool, newest.root.epoch)? => Lost::Behind(Box::new(newest)),
            Err(lost) if is_lost(&lost) => Lost::Unusable(Box::new(lost)),
            result => return result,
        };
        let recovered = recover(pool, pages, lost);
        if left == 0 || read_root(disk, layout).ok() == read {
            return recovered;
        }
    }
}

fn follow(pages: &Pages, root: Root) -> Result<Newest, StoreError> {
    let catalog = Catalog::open(pages, root.catalog)?;
    Ok(Newest { root, catalog, recovery: None })
}

/// Whether more was committed after an epoch than one commit that was cut short can have left. The records
/// are a chain without a gap: they are listed only if the next one is there, or this one is not.
fn is_behind(pool: &Pool, epoch: u64) -> Result<bool, DiskError> {
    let Pool { disk, layout } = pool;
    let next = epoch.saturating_add(1);
    let is_there = |epoch| match disk.read_kind(&layout.epoch(epoch)) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    };
    if is_there(epoch)? && !is_there(next)? {
        return Ok(false);
    }
    Ok(list(disk, layout)?.into_iter().any(|later| later > next))
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

/// The newest epoch whose catalog can be read; if there is none, ROOT's own, or what was wrong with it is
/// the error.
fn recover(pool: &Pool, pages: &Pages, lost: Lost) -> Result<Newest, StoreError> {
    for epoch in list(&pool.disk, &pool.layout)?.into_iter().rev() {
        match read(pool, epoch).and_then(|(root, _)| follow(pages, root)) {
            Ok(found) if epoch == 0 && holds_more(pool, &found.root)? => {}
            Ok(found) => {
                let recovery = Some(notice(&pool.layout, &lost, epoch));
                return Ok(Newest { recovery, ..found });
            }
            // One that is gone was forgotten by gc since the list was made.
            Err(error) if is_lost(&error) || is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    match lost {
        Lost::Unusable(error) => Err(*error),
        Lost::Behind(newest) => {
            let recovery = notice(&pool.layout, &Lost::Behind(newest.clone()), newest.root.epoch);
            Ok(Newest { recovery: Some(recovery), ..*newest })
        }
    }
}

/// Whether there are blobs that the first, empty state does not need.
fn holds_more(pool: &Pool, first: &Root) -> Result<bool, StoreError> {
    let blobs = pool.disk.list(&pool.layout.blobs())?;
    Ok(blobs.iter().any(|(blob, _)| *blob != pool.layout.blob(&first.catalog)))
}

fn notice(layout: &Layout, lost: &Lost, epoch: u64) -> String {
    let what = match lost {
        Lost::Behind(newest) => {
            format!("is that of epoch {}, after which more was committed", newest.root.epoch)
        }
        Lost::Unusable(error) => what_is_wrong(error),
    };
    let root = layout.root();
    format!(
        "{} {what}; recovered epoch {epoch}, the newest that can be read; \
         the next command that writes mends it",
        root.display()
    )
}

fn what_is_wrong(lost: &StoreError) -> String {
    match lost {
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
    }
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

/// Records of epochs that could not be followed when ROOT was recovered.
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

/// Whether the record of an epoch is not there.
pub(crate) fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk(error) if error.is_not_found())
}

/// Writes the document of an epoch, durably.
pub(crate) fn write(disk: &Disk, layout: &Layout, root: &Root) -> Result<(), DiskError> {
    replace(disk, layout, &layout.epoch(root.epoch), &root.to_bytes())
}

/// Takes back the record of a commit that failed before it replaced ROOT: no writer is to finish what was
/// said to have failed.
pub(crate) fn withdraw(disk: &Disk, layout: &Layout, epoch: u64) -> Result<(), DiskError> {
    disk.remove(&layout.epoch(epoch))?;
    disk.sync_directory(&layout.epochs())
}

/// Makes ROOT and the history agree, and returns the state that a writer starts from: a ROOT that was
/// recovered is put back, a commit that was cut short after all of it was durable is finished, and the
/// records of other later epochs are set aside. For use under the lock.
pub(crate) fn mend(pool: &Pool, pages: &Pages, newest: Newest) -> Result<Newest, StoreError> {
    let Pool { disk, layout } = pool;
    disk.create_directory(&layout.epochs())?;
    let newest = match newest.recovery {
        None => finish(pool, pages, newest)?,
        Some(_) => newest,
    };
    let Newest { root, recovery, .. } = &newest;
    // First, and durably: as soon as ROOT is good again, nothing else tells of them.
    let later = list(disk, layout)?.into_iter().filter(|later| *later > root.epoch);
    let later: Vec<_> = later.collect();
    for epoch in &later {
        set_epoch_aside(pool, *epoch)?;
    }
    let is_in_root = read_root(disk, layout).is_ok_and(|found| found == *root);
    if !later.is_empty() || !is_in_root {
        disk.sync_directory(&layout.epochs())?;
    }
    let document = root.to_bytes();
    if !is_kept(pool, root.epoch, &document)? {
        write(disk, layout, root)?;
    }
    if recovery.is_some() || !is_in_root {
        replace(disk, layout, &layout.root(), &document)?;
    }
    Ok(newest)
}

/// The epoch after the newest, if it was committed on top of it and can be read; else the newest.
fn finish(pool: &Pool, pages: &Pages, newest: Newest) -> Result<Newest, StoreError> {
    let next = newest.root.epoch.saturating_add(1);
    let parent = Some(Digest::sha256_of(&newest.root.to_bytes()));
    match read(pool, next).and_then(|(root, _)| follow(pages, root)) {
        Ok(finished) if finished.root.parent == parent => Ok(finished),
        Ok(_not_its_child) => Ok(newest),
        Err(error) if is_lost(&error) || is_gone(&error) => Ok(newest),
        Err(error) => Err(error),
    }
}

fn is_kept(pool: &Pool, epoch: u64, document: &[u8]) -> Result<bool, DiskError> {
    match pool.disk.read(&pool.layout.epoch(epoch), ROOT_BYTES_MAX) {
        Ok(bytes) => Ok(bytes == document),
        Err(DiskError::OverLimit { .. }) => Ok(false),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves the record of an epoch to quarantine, where it is durable before it goes here. It may have been
/// acknowledged: who finds its page again can put it back. A name with the digest of the bytes is never
/// that of other ones.
fn set_epoch_aside(pool: &Pool, epoch: u64) -> Result<(), DiskError> {
    let Pool { disk, layout } = pool;
    let path = layout.epoch(epoch);
    disk.create_directory(&layout.quarantine())?;
    disk.sync_directory(&layout.own())?;
    match disk.read(&path, ROOT_BYTES_MAX) {
        Ok(bytes) => {
            let aside = layout.epoch_aside(epoch, &Digest::sha256_of(&bytes).hex());
            replace(disk, layout, &aside, &bytes)?;
            disk.remove(&path)
        }
        // No record of ours is so long.
        Err(DiskError::OverLimit { bytes, .. }) => {
            disk.rename(&path, &layout.epoch_aside(epoch, &format!("{bytes}-bytes")))?;
            disk.sync_directory(&layout.quarantine())
        }
        Err(error) => Err(error),
    }
}
