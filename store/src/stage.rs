//! The stage: new blobs on their way into the pool, which share their barrier.
//!
//! ```text
//! 1  temporary files are written in bonded/staging/<work>/  (many, in parallel, by many processes)
//! 2  one barrier: fsync of each where there are few, else one syncfs; large ones have theirs before
//!                                                           from here on under the writer's lock
//! 3  each is renamed to blobs/sha256/<hex>; those found in place are looked at again
//! 4  one fsync of blobs/sha256
//! ```
//!
//! A crash before 3 leaves temporary files, which the next writer removes; a crash between 3 and 4
//! leaves whole blobs that nothing refers to. A blob that exists is compared, not rewritten, passes the
//! barrier like a new one, since nobody knows who wrote it, and is replaced if it turns out damaged.
//!
//! Nothing refers yet to a blob that was found in place before the lock was taken, so gc may have set it
//! aside meanwhile. It is taken back from there, the newest copy that is what it is named: the lease keeps
//! gc from deleting it.

mod barrier;
mod ladder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bonded_model::{Descriptor, Digest, MediaType};

use crate::blob::{HashOnly, Pool};
use crate::disk::{DiskError, DiskFault, Flushing, Handle};
use crate::error::StoreError;
use crate::hashing::{self, Digests, Sha512Wanted, Stream};
use crate::lease::Lease;
use crate::quarantine;

/// Nobody may write a blob, and whom the umask lets may read it.
pub(crate) const BLOB_MODE: u32 = 0o444;

/// From this size on, a file is streamed and synced by itself. Tests stream smaller ones, since they
/// stop at every write.
pub(crate) const LARGE_BYTES: u64 = if cfg!(test) { 256 * 1024 } else { 8 * 1024 * 1024 };

/// How much of a blob is read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Up to this many small files, one fsync each is cheaper than flushing the whole file system.
const FSYNC_COUNT_MAX: usize = 8;

/// New blobs that are written but not yet in the pool. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct Stage {
    pool: Pool,
    /// Opened before the first write, so that the barrier reports every failed writeback.
    directory: Handle,
    next_temporary: AtomicU64,
    staged: Mutex<BTreeMap<Digest, Staged>>,
    /// Blobs found in place. Their bytes were compared, but may be in memory only.
    found: Mutex<BTreeMap<Digest, Synced>>,
    /// Blobs found in place that are not what they are named.
    damaged: Mutex<BTreeSet<Digest>>,
    /// Devices from which nothing can be cloned to the one that the stage is on.
    unclonable: Mutex<BTreeSet<u64>>,
    /// Dropping it removes what was not published.
    lease: Lease,
}

#[derive(Debug)]
struct Staged {
    temporary: PathBuf,
    synced: Synced,
    /// Kept open for the barrier, if it is among the first few.
    handle: Option<Handle>,
    /// The permissions of a file that is its source as well and may be written to.
    writable_mode: Option<u32>,
}

/// Whether content has passed a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Synced {
    No,
    Yes,
}

/// How a large file is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// By the calling thread alone, for use when other files keep the other cores busy.
    One,
    /// With a thread for each slow digest.
    PerDigest,
}

/// After so many bytes, what was written of a large file is flushed while the rest is read; else the
/// disk would idle during the hashing, and the hashing during the final sync.
pub(crate) const FLUSH_BYTES: u64 = 4 * LARGE_BYTES;

/// Copies a source to a temporary file while it is hashed.
struct Copy<'a, R> {
    read: R,
    temporary: &'a Handle,
    flushing: Flushing<'a>,
    unflushed_bytes: u64,
}

impl<R: FnMut(&mut [u8]) -> Result<usize, DiskError>> Stream<DiskError> for Copy<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        (self.read)(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.temporary.write_all(bytes)?;
        self.unflushed_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.unflushed_bytes >= FLUSH_BYTES && self.flushing.begin() {
            self.unflushed_bytes = 0;
        }
        Ok(())
    }
}

impl Stage {
    /// A stage that writes into the directory of a lease.
    pub(crate) fn new(pool: Pool, lease: Lease) -> Result<Self, StoreError> {
        Ok(Self {
            directory: pool.disk.open_directory(lease.directory())?,
            pool,
            next_temporary: AtomicU64::new(0),
            staged: Mutex::default(),
            found: Mutex::default(),
            damaged: Mutex::default(),
            unclonable: Mutex::default(),
            lease,
        })
    }

    /// Holds a document.
    pub(crate) fn add(
        &self,
        media_type: MediaType,
        bytes: &[u8],
    ) -> Result<Descriptor, StoreError> {
        let digests = self.add_bytes(bytes, Sha512Wanted::No)?;
        Ok(Descriptor::new(media_type, digests.sha256, digests.bytes))
    }

    /// Holds bytes that are in memory already.
    pub(crate) fn add_bytes(
        &self,
        bytes: &[u8],
        wanted: Sha512Wanted,
    ) -> Result<Digests, StoreError> {
        let digests = hashing::digests_of(bytes, wanted);
        if self.is_staged(&digests) || self.is_held(&digests)? {
            return Ok(digests);
        }
        let temporary = self.create_temporary()?;
        let written = temporary.write_all(bytes);
        self.settle(temporary, written.map(|()| digests))
    }

    /// Holds what `read` gives, hashing while writing.
    pub(crate) fn add_stream(
        &self,
        read: impl FnMut(&mut [u8]) -> Result<usize, DiskError>,
        wanted: Sha512Wanted,
        threads: Threads,
    ) -> Result<Digests, StoreError> {
        let temporary = self.create_temporary()?;
        let digests = self.copy_in(read, &temporary, wanted, threads);
        self.settle(temporary, digests)
    }

    /// Copies a stream into a temporary file while it is hashed.
    fn copy_in(
        &self,
        read: impl FnMut(&mut [u8]) -> Result<usize, DiskError>,
        temporary: &Handle,
        wanted: Sha512Wanted,
        threads: Threads,
    ) -> Result<Digests, DiskError> {
        let flushing = temporary.flushing()?;
        let mut copy = Copy { read, temporary, flushing, unflushed_bytes: 0 };
        let digests = match threads {
            Threads::One => hashing::in_line(&mut copy, wanted),
            Threads::PerDigest => hashing::pipelined(&mut copy, wanted),
        };
        // The kernel tells an error of writing once, so it has to be heard here.
        copy.flushing.finish().and(digests)
    }

    /// Makes everything staged durable and gives it its name. After success every blob that was
    /// added is held, also those that were there before. For use under the lock.
    pub(crate) fn publish(self) -> Result<(), StoreError> {
        self.sync()?;
        for digest in locked(&self.found).keys() {
            self.check_found(digest)?;
        }
        for digest in locked(&self.damaged).iter() {
            self.pool.set_aside_if_damaged(digest)?;
        }
        for (digest, staged) in self.lock().iter() {
            self.name(staged, &self.pool.layout.blob(digest))?;
        }
        // Also where nothing was renamed: a blob found in place may come from a run that died
        // before this call.
        Ok(self.pool.disk.sync_directory(&self.pool.layout.blobs())?)
    }

    /// Gives a staged file its name. One that is a second name of its source becomes read-only only
    /// now, and what does not become a blob stays as it was.
    fn name(&self, staged: &Staged, path: &Path) -> Result<(), DiskError> {
        let (disk, temporary) = (&self.pool.disk, &staged.temporary);
        let Some(mode) = staged.writable_mode else {
            return disk.rename(temporary, path);
        };
        disk.set_mode(temporary, BLOB_MODE)?;
        let synced = disk.open(temporary).and_then(|file| file.sync());
        let named = synced.and_then(|()| disk.rename(temporary, path));
        if named.is_err() {
            drop(disk.set_mode(temporary, mode)); // what went wrong first is what counts
        }
        named
    }

    /// Looks again whether a blob is in its place, and takes it back from where gc has set it aside.
    fn check_found(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.pool.layout.blob(digest);
        match self.pool.disk.read_attributes(&path) {
            Ok(found) => return Ok(self.close_to_writers(&path, found.mode)?),
            Err(error) if error.fault() == DiskFault::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        for generation in quarantine::generations(&self.pool)?.iter().rev() {
            if self.take_back(&generation.blob(digest), &path, digest)? {
                return Ok(());
            }
        }
        Err(StoreError::Vanished { digest: *digest, path })
    }

    /// Takes a blob back, if it is there and what it is named. Nobody has synced it for certain.
    fn take_back(&self, from: &Path, to: &Path, digest: &Digest) -> Result<bool, StoreError> {
        let Some(mut aside) = self.open_if_there(from)? else {
            return Ok(false);
        };
        if barrier::each_buffer(&mut aside, |_bytes| Ok(()))? != *digest {
            return Ok(false);
        }
        self.sync_found(&aside, digest)?;
        let disk = &self.pool.disk;
        self.close_to_writers(from, disk.read_attributes(from)?.mode)?;
        disk.rename(from, to)?;
        Ok(true)
    }

    /// Another program may have left a blob that can be written to. One of another user stays so.
    fn close_to_writers(&self, path: &Path, mode: u32) -> Result<(), DiskError> {
        if mode & !BLOB_MODE == 0 {
            return Ok(());
        }
        match self.pool.disk.set_mode(path, mode & BLOB_MODE | 0o400) {
            Err(error) if error.fault() == DiskFault::PermissionDenied => Ok(()),
            result => result,
        }
    }

    fn create_temporary(&self) -> Result<Handle, StoreError> {
        Ok(self.pool.disk.create(&self.next_path(), BLOB_MODE)?)
    }

    fn next_path(&self) -> PathBuf {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        self.lease.directory().join(number.to_string())
    }

    /// Keeps a temporary file whose bytes are new, and removes any other.
    pub(crate) fn settle(
        &self,
        temporary: Handle,
        digests: Result<Digests, DiskError>,
    ) -> Result<Digests, StoreError> {
        let path = temporary.path().to_owned();
        let digests = digests.map_err(StoreError::from);
        let settled = digests.and_then(|digests| Ok((self.keep(temporary, &digests)?, digests)));
        match settled {
            Ok((Kept::Yes, digests)) => Ok(digests),
            Ok((Kept::No, digests)) => {
                self.pool.disk.remove(&path)?;
                Ok(digests)
            }
            Err(error) => {
                // What went wrong first is what counts; the lease removes what stays behind.
                drop(self.pool.disk.remove(&path));
                Err(error)
            }
        }
    }

    /// Few handles are kept: there may be more of them than a process may open. So a large file is
    /// synced here, where most of it has been flushed, and small ones together at the barrier.
    fn keep(&self, temporary: Handle, digests: &Digests) -> Result<Kept, StoreError> {
        if self.is_staged(digests) || self.is_held(digests)? {
            return Ok(Kept::No);
        }
        let path = temporary.path().to_owned();
        let mut kept =
            Staged { temporary: path, synced: Synced::No, handle: None, writable_mode: None };
        if digests.bytes >= LARGE_BYTES {
            temporary.sync()?;
            kept.synced = Synced::Yes;
            let mode = self.pool.disk.read_attributes(&kept.temporary)?.mode;
            kept.writable_mode = (mode & !BLOB_MODE != 0).then_some(mode);
        }
        let mut staged = self.lock();
        let handles = staged.values().filter(|staged| staged.handle.is_some());
        if kept.synced == Synced::No && handles.take(FSYNC_COUNT_MAX).count() < FSYNC_COUNT_MAX {
            kept.handle = Some(temporary);
        }
        if let Some(double) = staged.insert(digests.sha256, kept) {
            self.pool.disk.remove(&double.temporary)?; // two threads had the same bytes at once
        }
        Ok(Kept::Yes)
    }

    fn is_staged(&self, digests: &Digests) -> bool {
        self.lock().contains_key(&digests.sha256)
    }

    /// Whether the pool holds these very bytes. A damaged blob is moved aside when what was just hashed
    /// takes its place: before that, nobody here holds the lock.
    pub(crate) fn is_held(&self, digests: &Digests) -> Result<bool, StoreError> {
        let pool = &self.pool;
        let Some(mut held) = self.open_if_there(&pool.layout.blob(&digests.sha256))? else {
            return Ok(false);
        };
        // BLAKE3 is compared where SHA-256 is the name: both were made from the same new bytes.
        let is_held =
            held.read_state()?.bytes == digests.bytes && blake3_of(&mut held)? == digests.blake3;
        if is_held {
            locked(&self.found).insert(digests.sha256, Synced::No);
        } else {
            locked(&self.damaged).insert(digests.sha256);
        }
        Ok(is_held)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Staged>> {
        locked(&self.staged)
    }
}

/// The collections are whole between any two calls on them, so a panic elsewhere leaves them usable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a temporary file stays to become a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

fn blake3_of(handle: &mut Handle) -> Result<Digest, DiskError> {
    let mut hash = blake3::Hasher::new();
    let mut stream = HashOnly(handle);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = stream.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(bytes @ [_, ..]) => hash.update(bytes),
            _ => return Ok(Digest::from_blake3(*hash.finalize().as_bytes())),
        };
    }
}
