//! The other engine, with the cargo feature `sled`: a directory of sled 0.34.
//!
//! `bonded/facts.sled/` has one tree: the 32 bytes of a blob's SHA-256 to its record, `kept` and 32 bytes to
//! another record, and the key `tally`. sled belongs to one process at a time, and opens a cut file as a smaller or an empty
//! database without a word, which the tally shows. A lock file of our own beside it tells "in use" from
//! every other failure; sled's own error does not.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bonded_model::Digest;
use sled::{Batch, Config, Db, Mode};

use super::engine::{Each, Engine, Existed, FactsError, Shelf, Update, base_of, check_count};
use super::tally::Tally;
use crate::disk::{Disk, DiskError, DiskFault, FileKind, Handle, LockAttempt};

const TALLY: &[u8] = b"tally";

const KEPT: &[u8] = b"kept";

/// As little as lets sled work on a commit of some ten thousand records.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// How often and after which pauses a lock of sled's is tried that is about to go: for a second.
const RELEASE_ATTEMPTS: u32 = 200;
const RELEASE_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Sled {
    path: PathBuf,
    disk: Disk,
    /// Held while the database is open: threads of one process wait for each other here, since the
    /// file lock would turn all but one away.
    turn: Mutex<()>,
}

/// An open database with its lock, which is dropped last.
struct Open {
    database: Db,
    existed: Existed,
    _lock: Handle,
}

impl Sled {
    pub(super) fn new(path: &Path, disk: Disk) -> Self {
        Self { path: path.to_owned(), disk, turn: Mutex::new(()) }
    }

    fn existed(&self) -> Existed {
        match self.disk.read_kind(&self.path) {
            Err(error) if error.fault() == DiskFault::NotFound => Existed::No,
            _ => Existed::Yes, // what is wrong with it shows when it is opened
        }
    }

    fn path_beside(&self) -> PathBuf {
        self.path.with_added_extension("new")
    }

    fn open(&self) -> Result<Open, FactsError> {
        let lock = self.disk.open_or_create(&lock_of(&self.path));
        let lock = lock.map_err(|error| FactsError::OutOfReach(error.into()))?;
        match lock.try_lock() {
            Ok(LockAttempt::Taken) => {}
            Ok(LockAttempt::HeldByAnother) => return Err(FactsError::InUse),
            Err(error) => return Err(FactsError::OutOfReach(error.into())),
        }
        let existed = self.existed(); // under the lock
        let config = Config::new()
            .path(&self.path)
            .mode(Mode::LowSpace)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        Ok(Open { database: open_when_released(&config)?, existed, _lock: lock })
    }

    /// Looks at the database, if there is any.
    fn read(
        &self,
        least: Tally,
        look: impl FnOnce(&Db, Tally) -> Result<(), FactsError>,
    ) -> Result<(), FactsError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.existed() == Existed::No {
            return Ok(());
        }
        let open = self.open()?;
        let tally = tally_in(&open.database)?.unwrap_or_default();
        least.check(tally)?;
        look(&open.database, tally)
    }
}

impl Engine for Sled {
    fn get_many(
        &self,
        least: Tally,
        (shelf, keys): (Shelf, &[Digest]),
        each: Each<'_>,
    ) -> Result<(), FactsError> {
        self.read(least, |database, _| {
            for key in keys {
                if let Some(record) = database.get(on(shelf, key))? {
                    each(key.as_bytes(), &record)?;
                }
            }
            Ok(())
        })
    }

    /// Counts what it meets: the count that sled gives costs as much as going over everything.
    fn for_each(&self, least: Tally, each: Each<'_>) -> Result<(), FactsError> {
        self.read(least, |database, tally| {
            let mut count = 0_u64;
            for entry in database.iter() {
                let (key, record) = entry?;
                if *key == *TALLY {
                    continue;
                }
                count = count.saturating_add(1);
                if !is_kept(&key) {
                    each(&key, &record)?;
                }
            }
            check_count(tally, count)
        })
    }

    fn put_many(
        &self,
        least: Tally,
        (shelf, keys): (Shelf, &[Digest]),
        update: Update<'_>,
    ) -> Result<Tally, FactsError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.open()?;
        let base = base_of(least, tally_in(&open.database)?, open.existed)?;
        let (mut batch, mut count) = (Batch::default(), base.count);
        for key in keys {
            let held = open.database.get(on(shelf, key))?;
            if held.is_none() {
                count = count.saturating_add(1);
            }
            batch.insert(on(shelf, key), update(key, held.as_deref()));
        }
        let next = base.next(count);
        batch.insert(TALLY, &next.to_bytes()[..]);
        open.database.apply_batch(batch)?;
        open.database.flush()?;
        Ok(next)
    }

    fn remove(&self) -> Result<(), DiskError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        remove_whatever_is_at(&self.disk, &self.path)
    }

    fn beside(&self) -> Box<dyn Engine> {
        Box::new(Self::new(&self.path_beside(), self.disk.clone()))
    }

    fn take_over(&self) -> Result<(), DiskError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = self.path_beside();
        remove_whatever_is_at(&self.disk, &self.path)?;
        self.disk.rename(&beside, &self.path)?;
        self.disk.remove(&lock_of(&beside))
    }
}

/// sled's own lock goes some time after the last handle does, since its threads have handles too.
/// Nobody else can hold it: they would hold ours. Where it stays, the damage that made a thread stay is
/// what counts.
fn open_when_released(config: &Config) -> sled::Result<Db> {
    let mut attempts = 0;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) && attempts < RELEASE_ATTEMPTS => {
                attempts += 1;
                thread::sleep(RELEASE_INTERVAL);
            }
            result => return result,
        }
    }
}

/// The version is pinned; its errors have no better mark than their text.
fn is_locked(error: &std::io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

fn on(shelf: Shelf, key: &Digest) -> Vec<u8> {
    match shelf {
        Shelf::Blobs => key.as_bytes().to_vec(),
        Shelf::Kept => [KEPT, key.as_bytes()].concat(),
    }
}

/// Keys of blobs are shorter.
fn is_kept(key: &[u8]) -> bool {
    key.strip_prefix(KEPT).is_some_and(|key| key.len() == 32)
}

fn lock_of(database: &Path) -> PathBuf {
    database.with_added_extension("lock")
}

fn remove_whatever_is_at(disk: &Disk, path: &Path) -> Result<(), DiskError> {
    match disk.read_kind(path) {
        Ok(FileKind::Directory) => disk.remove_tree(path),
        Err(error) if error.fault() == DiskFault::NotFound => Ok(()),
        _ => disk.remove(path),
    }
}

fn tally_in(database: &Db) -> Result<Option<Tally>, FactsError> {
    match database.get(TALLY)? {
        Some(tally) => Tally::from_bytes(&tally).map(Some).ok_or(FactsError::Tally),
        None => Ok(None),
    }
}

impl From<sled::Error> for FactsError {
    fn from(error: sled::Error) -> Self {
        use std::io::ErrorKind;
        match &error {
            sled::Error::Io(io) => match io.kind() {
                ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded => Self::OutOfReach(error.into()),
                _ => Self::Damaged(error.into()),
            },
            _ => Self::Damaged(error.into()),
        }
    }
}
