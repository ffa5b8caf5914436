//! One atomic change of a store.
//!
//! ```text
//! 1  blobs, manifests and catalog pages become durable blobs                          (see `stage`)
//! 2  ROOT is compared with the one that the change started from
//! 3  epochs/<N>: temporary file → write → fsync → rename → fsync bonded/epochs/
//! 4  ROOT: the same document, in the same way, fsync bonded/            here it happens
//! 5  index.json the same way, if a tagged name changed and the store is kept with it
//! ```
//!
//! Step 0, before anything else, is an fsync of `bonded/`, so that what the change starts from is
//! durable, and the mending of ROOT and the history. A crash before 3 leaves the old state, after 4 the
//! new one; in between the old one, until the next writer finishes it (see `history`). One before 5 leaves
//! `index.json` behind, which the next writer mends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bonded_model::{Descriptor, MediaType, media_type};
use rayon::prelude::*;

use crate::blob::Pool;
use crate::catalog::{Catalog, Key};
use crate::disk::{Action, Disk, DiskError, containing};
use crate::error::StoreError;
use crate::history::{self, Newest};
use crate::index::{self, IndexSetting};
use crate::layout::Layout;
use crate::lease;
use crate::lock::WriterLock;
use crate::root::Root;
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::store::{self, Store};

/// More pages than this are written by several threads.
const PARALLEL_COUNT: usize = 64;

/// The right to change a store, and the change that is being prepared. Dropping it changes nothing.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    base: Snapshot,
    catalog: Catalog,
    stage: Stage,
    /// Last, since fields are dropped in order: nobody waits for a writer that is half gone.
    lock: WriterLock,
}

impl Writer {
    /// Follows ROOT and clears away what a dead writer left.
    pub(crate) fn begin(store: Store, lock: WriterLock, stage: Stage) -> Result<Self, StoreError> {
        let newest = settle(&store)?;
        let pool = store.pool();
        let base = Snapshot::new(store.clone(), newest.root, newest.catalog);
        index::tend(&pool.disk, &pool.layout, base.catalog())?;
        Ok(Self { catalog: base.catalog().clone(), store, base, stage, lock })
    }

    /// The state that the change starts from.
    pub fn base(&self) -> &Snapshot {
        &self.base
    }

    /// Holds a document; it is durable after the commit.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written.
    pub fn hold(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        self.stage.add(media_type, bytes)
    }

    /// Points a key to content that is held.
    ///
    /// # Errors
    /// [`StoreError`] if the catalog cannot be read.
    pub fn insert(
        &mut self,
        key: Key,
        value: Descriptor,
    ) -> Result<Option<Descriptor>, StoreError> {
        self.catalog.insert(key, value)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`StoreError`] if the catalog cannot be read.
    pub fn remove(&mut self, key: &Key) -> Result<Option<Descriptor>, StoreError> {
        self.catalog.remove(key)
    }

    /// Makes the change happen, all of it or nothing. A change that changes no name makes no epoch.
    ///
    /// # Errors
    /// [`StoreError`]; the old state stays, but for [`StoreError::InDoubt`], after which either state
    /// may be there, and [`StoreError::IndexNotWritten`], which comes after the change has happened.
    pub fn commit(self) -> Result<Snapshot, StoreError> {
        // Dropped in reverse order, so that a failure lets the lock go after the stage is cleared.
        let Self { lock, store, base, catalog, stage } = self;
        if !catalog.is_changed() {
            stage.publish()?; // a blob that was found damaged may have been put back
            return Ok(base);
        }
        let sealed = catalog.seal()?;
        let root = base.root_document().next(sealed.root);
        let add = |bytes: &Vec<u8>| {
            stage.add(MediaType::known(media_type::BONDED_CATALOG), bytes).map(drop)
        };
        // The disk takes small files faster from several threads; for a few that is not worth it.
        match sealed.pages.len() > PARALLEL_COUNT {
            true => sealed.pages.par_iter().try_for_each(add)?,
            false => sealed.pages.iter().try_for_each(add)?,
        }
        stage.publish()?;
        let pool = store.pool();
        let found = store::read_root(&pool.disk, &pool.layout)?;
        if found != *base.root_document() {
            return Err(StoreError::Raced { expected: base.epoch(), found: found.epoch });
        }
        let epoch = root.epoch;
        let is_listed_anew = index::is_listed_anew(&catalog);
        let catalog = Catalog::open(store.pages(), sealed.root)?;
        lock.check(&pool.disk)?;
        make_newest(&pool.disk, &pool.layout, &root)?;
        if is_listed_anew {
            index::tend(&pool.disk, &pool.layout, &catalog).map_err(|error| match error {
                StoreError::Disk(source) => StoreError::IndexNotWritten { epoch, source },
                error => error,
            })?;
        }
        Ok(Snapshot::new(store, root, catalog))
    }

    /// Keeps the store with `index.json` from now on, or without it. Happens at once, without a commit.
    ///
    /// # Errors
    /// [`StoreError`] if the setting or the file cannot be written; the next writer puts the file right if
    /// the setting was.
    pub fn set_index(&self, setting: IndexSetting) -> Result<(), StoreError> {
        let Pool { disk, layout } = self.store.pool();
        index::set(disk, layout, setting, self.base.catalog())
    }

    /// The names as they will be after the commit.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

/// What everyone who changes a store does first, under the lock: clears away what a dead writer left, and
/// finds the state to start from.
pub(crate) fn settle(store: &Store) -> Result<Newest, StoreError> {
    let newest = store.newest()?;
    let pool = store.pool();
    // A writer that died after its rename may have left this ROOT in memory only. What this one
    // acknowledges, also without a commit of its own, must not be lost with it.
    pool.disk.sync_directory(&pool.layout.own())?;
    lease::clear(pool)?;
    history::mend(pool, store.pages(), newest)
}

/// Writes the record of an epoch and replaces ROOT; or does neither.
fn make_newest(disk: &Disk, layout: &Layout, root: &Root) -> Result<(), StoreError> {
    let epoch = root.epoch;
    let recorded = history::write(disk, layout, root);
    let is_recorded = recorded.is_ok();
    let replaced = recorded.and_then(|()| replace(disk, layout, &layout.root(), &root.to_bytes()));
    let Err(source) = replaced else { return Ok(()) };
    let has_new_name = matches!(source, DiskError::Io { action: Action::SyncDirectory, .. });
    // ROOT has its new name by then, but a power loss may take it back.
    if is_recorded && has_new_name {
        return Err(StoreError::InDoubt { epoch, source });
    }
    match history::withdraw(disk, layout, epoch) {
        Ok(()) => Err(source.into()),
        // The next writer may find the record, and finish what failed here.
        Err(_also_failed) => Err(StoreError::InDoubt { epoch, source }),
    }
}

/// Replaces a small file in one step, durably. For use under the lock, which is also what protects the
/// temporary file.
pub(crate) fn replace(
    disk: &Disk,
    layout: &Layout,
    path: &Path,
    bytes: &[u8],
) -> Result<(), DiskError> {
    let temporary = stage_replacement(disk, layout, bytes)?;
    disk.rename(&temporary, path)?;
    disk.sync_directory(containing(path))
}

/// Writes what is to replace a file, durable but for its name.
pub(crate) fn stage_replacement(
    disk: &Disk,
    layout: &Layout,
    bytes: &[u8],
) -> Result<PathBuf, DiskError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = layout.staging().join(format!("replacement-{}-{number}", std::process::id()));
    disk.remove(&temporary)?;
    let file = disk.create(&temporary, 0o644)?;
    file.write_all(bytes)?;
    file.sync()?;
    Ok(temporary)
}
