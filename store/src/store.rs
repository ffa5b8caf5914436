//! A store as a whole: made, opened, looked at, locked for writing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bonded_model::{Digest, MediaType, media_type};

use crate::blob::Pool;
use crate::catalog::{Catalog, Pages};
use crate::disk::{Disk, DiskError, DiskFault, FileKind, containing};
use crate::error::StoreError;
use crate::facts::Facts;
use crate::history::{self, Newest};
use crate::index::{self, IndexSetting, IndexState};
use crate::journal::Journal;
use crate::layout::{Layout, OCI_LAYOUT};
use crate::lease::{self, Lease, LeaseInfo};
use crate::lock::{self, Holder, WriterLock};
use crate::root::{FORMAT_VERSION, ROOT_BYTES_MAX, Root, RootError};
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::writer::{self, Writer};

/// Making a store is a matter of milliseconds; who waits longer for it waits for something else.
const INIT_WAIT: Duration = Duration::from_secs(10);

/// A store in a directory. Cheap to clone; every clone and every process sees the same state.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    pages: Pages,
    facts: Facts,
    /// What was wrong with ROOT when it was looked at last.
    recovery: Mutex<Option<String>>,
}

impl Store {
    /// Makes an empty store in a directory that is empty or does not exist.
    ///
    /// # Errors
    /// [`StoreError::AlreadyAStore`], [`StoreError::NotEmpty`], [`StoreError::LockTimeout`] if another
    /// program is making it and does not come to an end, or a failed call on the disk. A store
    /// whose making was cut short is finished by the next call.
    pub fn init(directory: &Path) -> Result<Self, StoreError> {
        Self::init_on(directory, Disk::default(), INIT_WAIT)
    }

    /// Makes an empty store that is kept without `index.json`.
    ///
    /// # Errors
    /// As [`Store::init`].
    pub fn init_without_index(directory: &Path) -> Result<Self, StoreError> {
        Self::init_with(directory, Disk::default(), INIT_WAIT, IndexSetting::Off)
    }

    /// Opens the store in a directory.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NewerFormat`], [`StoreError::OlderFormat`],
    /// [`StoreError::RootDamaged`] or [`StoreError::RootMissing`] where nothing can be recovered, or a
    /// failed call on the disk.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_on(directory, Disk::default())
    }

    pub(crate) fn init_on(
        directory: &Path,
        disk: Disk,
        wait: Duration,
    ) -> Result<Self, StoreError> {
        Self::init_with(directory, disk, wait, IndexSetting::On)
    }

    pub(crate) fn init_with(
        directory: &Path,
        disk: Disk,
        wait: Duration,
        index: IndexSetting,
    ) -> Result<Self, StoreError> {
        let layout = Layout::new(directory);
        create_durably(&disk, directory)?;
        check_vacant(&disk, &layout)?;
        // `bonded/` first: it marks what follows as ours if the rest is cut short.
        disk.create_directory(&layout.own())?;
        disk.sync_directory(directory)?;
        let _lock = lock::take_unnamed(&disk, &layout, wait)?;
        check_vacant(&disk, &layout)?; // another program may have made it meanwhile
        Self::make(&disk, &layout, index)?;
        Self::open_on(directory, disk)
    }

    fn make(disk: &Disk, layout: &Layout, index: IndexSetting) -> Result<(), StoreError> {
        for part in [
            layout.staging(),
            layout.quarantine(),
            layout.journals(),
            layout.blobs(),
            layout.epochs(),
        ] {
            disk.create_directory(&part)?;
        }
        let empty = Catalog::empty_page();
        let root = Root::first(Digest::sha256_of(&empty));
        let pool = Pool { disk: disk.clone(), layout: layout.clone() };
        lease::clear(&pool)?;
        let maker = Holder { who: "bonded init".into(), since: lock::unknown_time() };
        let lease = Lease::take(&pool, &maker, || Ok(0))?;
        let stage = Stage::new(pool, lease)?;
        stage.add(MediaType::known(media_type::BONDED_CATALOG), &empty)?;
        stage.publish()?;
        writer::replace(disk, layout, &layout.oci_layout(), OCI_LAYOUT)?;
        index::begin(disk, layout, index)?;
        disk.sync_directory(&layout.directory().join("blobs"))?;
        history::write(disk, layout, &root)?;
        Ok(writer::replace(disk, layout, &layout.root(), &root.to_bytes())?)
    }

    pub(crate) fn open_on(directory: &Path, disk: Disk) -> Result<Self, StoreError> {
        let layout = Layout::new(directory);
        let facts = Facts::new(&layout.facts(), disk.clone());
        let pool = Pool { disk, layout };
        let pages = Pages::of(pool.clone());
        let recovery = Mutex::new(history::newest(&pool, &pages)?.recovery);
        Ok(Self { inner: Arc::new(Inner { pool, pages, facts, recovery }) })
    }

    /// Where the store lies.
    pub fn directory(&self) -> &Path {
        self.inner.pool.layout.directory()
    }

    /// The newest state. Takes no lock and waits for nobody. Where ROOT is lost, this is the newest
    /// epoch whose catalog can be read, and [`Store::recovery`] says so.
    ///
    /// # Errors
    /// [`StoreError`] if ROOT or the catalog cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let Newest { root, catalog, recovery } = self.newest()?;
        *self.inner.recovery.lock().unwrap_or_else(PoisonError::into_inner) = recovery;
        Ok(Snapshot::new(self.clone(), root, catalog))
    }

    pub(crate) fn newest(&self) -> Result<Newest, StoreError> {
        history::newest(&self.inner.pool, &self.inner.pages)
    }

    /// What was wrong with ROOT when the store was opened or the newest state was last asked for, for
    /// people to read; nothing if it was in order. The next writer mends it.
    pub fn recovery(&self) -> Option<String> {
        self.inner.recovery.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state as it was at an epoch.
    ///
    /// # Errors
    /// [`StoreError::NoEpoch`] if it is not kept, or is still to come; [`StoreError::EpochDamaged`] if
    /// its record is not the one that was written then; or [`StoreError`] if it cannot be read.
    pub fn snapshot_at(&self, epoch: u64) -> Result<Snapshot, StoreError> {
        let newest = self.snapshot()?;
        if epoch == newest.epoch() {
            return Ok(newest);
        }
        self.check_kept(epoch)?;
        let root = history::read_before(&self.inner.pool, epoch, newest.root_document());
        let found = root.and_then(|root| {
            let catalog = Catalog::open(&self.inner.pages, root.catalog)?;
            Ok(Snapshot::new(self.clone(), root, catalog))
        });
        // gc may have forgotten it meanwhile, and taken away its pages.
        if found.is_err() {
            self.check_kept(epoch)?;
        }
        found
    }

    fn check_kept(&self, wanted: u64) -> Result<(), StoreError> {
        let newest = self.snapshot()?.epoch();
        let kept = self.epochs_until(newest)?;
        if kept.contains(&wanted) {
            return Ok(());
        }
        let oldest = kept.first().copied().unwrap_or(newest);
        Err(StoreError::NoEpoch { wanted, oldest, newest })
    }

    /// The epochs that are kept, ascending; the last is the newest.
    ///
    /// # Errors
    /// [`StoreError`] if the newest state or the list of epochs cannot be read.
    pub fn epochs(&self) -> Result<Vec<u64>, StoreError> {
        self.epochs_until(self.snapshot()?.epoch())
    }

    /// A later one is from a commit that was cut short. The newest counts even if its file is gone.
    fn epochs_until(&self, newest: u64) -> Result<Vec<u64>, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        let earlier = history::list(disk, layout)?.into_iter().filter(|epoch| *epoch < newest);
        Ok(earlier.chain([newest]).collect())
    }

    /// Whether the store is kept with `index.json`; [`Writer::set_index`] changes it.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be read.
    pub fn index_setting(&self) -> Result<IndexSetting, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        Ok(index::read_setting(disk, layout)?)
    }

    /// Whether `index.json` is what the newest state gives, or somebody else has changed it.
    ///
    /// # Errors
    /// [`StoreError`] if the state or the file cannot be read.
    pub fn index_state(&self) -> Result<IndexState, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        if self.index_setting()? == IndexSetting::Off {
            return Ok(index::read_state_without(disk, layout)?);
        }
        let expected = index::generate(self.snapshot()?.catalog())?;
        match index::read_state(disk, layout, &expected)? {
            IndexState::Behind if index::lists_the_same(disk, layout, &expected)? => {
                Ok(IndexState::Current)
            }
            state => Ok(state),
        }
    }

    /// Whether another tool has changed `index.json`. Costs a short read where nobody has.
    ///
    /// # Errors
    /// [`StoreError`] if the state or the file cannot be read.
    pub fn has_foreign_index(&self) -> Result<bool, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        if index::is_at_first_sight_from(disk, layout, self.snapshot()?.catalog())? {
            return Ok(false);
        }
        Ok(self.index_state()? == IndexState::Foreign)
    }

    /// Takes the writer's lock, waiting up to `wait` for another writer. `on_wait` is called once,
    /// with the name of that writer, if there is any waiting to do. What a dead writer left behind
    /// is cleared away first.
    ///
    /// # Errors
    /// [`StoreError::LockTimeout`] with who holds the lock, or a failed call on the disk; a read-only
    /// store shows as one.
    pub fn lock(
        &self,
        wait: Duration,
        holder: &Holder,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<Writer, StoreError> {
        let lock = self.take_lock(wait, holder, on_wait)?;
        Writer::begin(self.clone(), lock, self.stage(holder)?)
    }

    /// Takes the writer's lock for what has been staged without it.
    pub(crate) fn lock_staged(
        &self,
        stage: Stage,
        wait: Duration,
        holder: &Holder,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<Writer, StoreError> {
        Writer::begin(self.clone(), self.take_lock(wait, holder, on_wait)?, stage)
    }

    fn take_lock(
        &self,
        wait: Duration,
        holder: &Holder,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<WriterLock, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        lock::take(disk, layout, wait, holder, on_wait)
    }

    /// A stage with a lease of its own, to write on without the lock.
    pub(crate) fn stage(&self, holder: &Holder) -> Result<Stage, StoreError> {
        Stage::new(self.inner.pool.clone(), self.lease(holder)?)
    }

    /// Takes a lease: what the newest state names stays held as long as the lease lives, whatever gc
    /// does meanwhile. Waits for nobody. It takes a file, so a read-only store gives none.
    ///
    /// # Errors
    /// [`StoreError::NoLease`], or a failed call on the disk; a read-only store shows as one.
    pub fn lease(&self, holder: &Holder) -> Result<Lease, StoreError> {
        Lease::take(&self.inner.pool, holder, || Ok(self.snapshot()?.epoch()))
    }

    /// Takes a lease that keeps an earlier epoch and all later ones, if they are still kept.
    ///
    /// # Errors
    /// As [`Store::lease`].
    pub fn lease_from(&self, epoch: u64, holder: &Holder) -> Result<Lease, StoreError> {
        Lease::take(&self.inner.pool, holder, || Ok(self.snapshot()?.epoch().min(epoch)))
    }

    /// Who is at work on this store: the leases that are held now.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        Ok(lease::live(disk, layout)?)
    }

    /// Opens a journal in this store, and makes it if need be. A name is letters, digits, `-`, `_`
    /// and inner dots.
    ///
    /// # Errors
    /// [`StoreError::Journal`] if the name is none, somebody else has it open, or it is damaged.
    pub fn journal(&self, name: &str) -> Result<Journal, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        Ok(Journal::open(disk, &layout.journals(), name)?)
    }

    /// The records of a journal as they are now, without opening it: it may be in use, and one that
    /// was never made has none.
    ///
    /// # Errors
    /// [`StoreError::Journal`] if the name is none or the journal is damaged.
    pub fn journal_records(&self, name: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let Pool { disk, layout } = &self.inner.pool;
        Ok(Journal::peek(disk, &layout.journals(), name)?)
    }

    /// What is worth keeping but can be recomputed from the blobs.
    pub fn facts(&self) -> &Facts {
        &self.inner.facts
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.inner.pages
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }
}

/// Creates a directory and those above it, and makes their names durable. The name of one that exists
/// is synced as well: who made it may have died before doing so.
fn create_durably(disk: &Disk, directory: &Path) -> Result<(), DiskError> {
    let is_missing = |path: &&Path| disk.read_kind_behind_links(path).is_err();
    let above = directory.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
    let missing: Vec<_> = above.take_while(is_missing).collect();
    disk.create_directory(directory)?;
    let created = missing.into_iter().chain([directory]);
    created.into_iter().try_for_each(|path| disk.sync_directory(containing(path)))
}

/// Refuses to make a store where there is one, or anything else. What an earlier, interrupted call
/// made is no obstacle: `bonded/` without ROOT, no blob but the page of an empty catalog, no later epoch.
fn check_vacant(disk: &Disk, layout: &Layout) -> Result<(), StoreError> {
    let path = layout.directory().to_owned();
    let is_there = |error: Result<_, DiskError>| match error {
        Ok(_) => Ok(true),
        Err(error) if error.fault() == DiskFault::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    if is_there(disk.read_kind(&layout.root()))? {
        return Err(StoreError::AlreadyAStore { path });
    }
    let own = ["oci-layout", "index.json", "blobs", "bonded"];
    let entries = disk.list(&path)?;
    let foreign = entries.iter().any(|(entry, _)| {
        !entry.file_name().and_then(|name| name.to_str()).is_some_and(|name| own.contains(&name))
    });
    let begun = is_there(disk.read_kind(&layout.own()))?;
    if foreign || !(begun || entries.is_empty()) {
        return Err(StoreError::NotEmpty { path });
    }
    let blobs = if is_there(disk.read_kind(&layout.blobs()))? {
        disk.list(&layout.blobs())?
    } else {
        vec![]
    };
    let empty = layout.blob(&Digest::sha256_of(&Catalog::empty_page()));
    let is_begun = blobs.iter().all(|(blob, _)| *blob == empty)
        && history::list(disk, layout)?.iter().all(|epoch| *epoch == 0);
    match is_begun {
        true => Ok(()),
        false => Err(StoreError::RootMissing { path: layout.root() }),
    }
}

/// Reads ROOT and says what is wrong if there is no reading it.
pub(crate) fn read_root(disk: &Disk, layout: &Layout) -> Result<Root, StoreError> {
    let path = layout.root();
    let damaged = |path, source| StoreError::RootDamaged { path, source };
    let bytes = match disk.read(&path, ROOT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.fault() == DiskFault::NotFound => {
            return Err(match disk.read_kind(&layout.own()) {
                Ok(FileKind::Directory) => StoreError::RootMissing { path },
                Err(error) if error.fault() != DiskFault::NotFound => error.into(),
                _ => StoreError::NotAStore { path: layout.directory().to_owned() },
            });
        }
        Err(DiskError::OverLimit { bytes, limit, .. }) => {
            let source = bonded_model::json::JsonError::TooLarge { bytes, limit };
            return Err(damaged(path, source.into()));
        }
        Err(error) => return Err(error.into()),
    };
    Root::parse(&bytes).map_err(|source| match source {
        RootError::Newer { found } => StoreError::NewerFormat {
            path: layout.directory().to_owned(),
            found,
            known: FORMAT_VERSION,
        },
        RootError::Older { found } => {
            StoreError::OlderFormat { path: layout.directory().to_owned(), found }
        }
        source => damaged(path, source),
    })
}
