//! Copies of lost blobs: staged and hashed without the lock, published under it.
//!
//! What stands in a blob's place and is not the blob is moved to `quarantine/damaged` right before the copy
//! takes its place, and only then: a file that could not be read may be whole. This module asks nobody for
//! copies and decides nothing about what is lost.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bonded_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::blob::Pool;
use crate::disk::{DiskError, FileState, Handle};
use crate::error::StoreError;
use crate::lease::Lease;
use crate::lock::WriterLock;
use crate::stage::BLOB_MODE;

use super::rate::Rate;
use super::source::Reading;
use super::walk::chain;

const BUFFER_BYTES: usize = 256 * 1024;

/// Copies that are published together.
const BATCH_COUNT: usize = 256;

/// Bytes that are published together: what is fetched is not lost with what comes after it.
const BATCH_BYTES: u64 = 256 * 1024 * 1024;

/// A copy that somebody has.
pub(super) struct Copy {
    pub(super) read: Box<dyn Read>,
    /// Where it lies, for people.
    pub(super) path: PathBuf,
    /// Whose it is, for people.
    pub(super) from: String,
}

/// Copies that were staged.
pub(super) struct Batch<'a> {
    pool: &'a Pool,
    rate: &'a Rate,
    /// Dropping it removes what was not published.
    lease: Lease,
    staged: Vec<Staged>,
    bytes: u64,
}

struct Staged {
    digest: Digest,
    temporary: PathBuf,
    from: String,
}

/// A blob that is in its place again.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) from: String,
    /// Where that lies now which stood in its place.
    pub(super) aside: Option<PathBuf>,
}

/// What stands in the place of a blob.
enum InPlace {
    Nothing,
    Whole(Handle),
    /// Something else, with what its name in quarantine ends in.
    Other(FileState, String),
}

impl<'a> Batch<'a> {
    pub(super) fn new(pool: &'a Pool, rate: &'a Rate, lease: Lease) -> Self {
        Self { pool, rate, lease, staged: Vec::new(), bytes: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.staged.len() >= BATCH_COUNT || self.bytes >= BATCH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Stages a copy if it is the blob and has at most `limit` bytes; tells why not otherwise.
    pub(super) fn add(
        &mut self,
        digest: &Digest,
        limit: u64,
        copy: Copy,
    ) -> Result<Result<(), String>, StoreError> {
        let Copy { read, path, from } = copy;
        let temporary = self.lease.directory().join(self.staged.len().to_string());
        let disk = &self.pool.disk;
        let file = disk.create(&temporary, BLOB_MODE)?;
        let refused = match self.write(&file, read, limit)? {
            Ok((found, _)) if found != *digest => format!("{} hashes to {found}", path.display()),
            Ok((_, bytes)) => {
                file.sync()?;
                self.bytes = self.bytes.saturating_add(bytes);
                self.staged.push(Staged { digest: *digest, temporary, from });
                return Ok(Ok(()));
            }
            Err(failure) => format!("{} {failure}", path.display()),
        };
        disk.remove(&temporary)?;
        Ok(Err(refused))
    }

    /// A source that fails in the middle is not the end of it; a disk that does is.
    fn write(
        &self,
        file: &Handle,
        mut read: Box<dyn Read>,
        limit: u64,
    ) -> Result<Result<(Digest, u64), String>, DiskError> {
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; BUFFER_BYTES]);
        loop {
            let count = match read.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(format!("cannot be read: {}", chain(&error)))),
            };
            let Some(chunk @ [_, ..]) = buffer.get(..count) else { break };
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            bytes = bytes.saturating_add(count);
            if bytes > limit {
                return Ok(Err(format!("has more than {limit} bytes")));
            }
            hash.update(chunk);
            file.write_all(chunk)?;
            self.rate.pay(count);
        }
        Ok(Ok((Digest::from_sha256(hash.finalize().into()), bytes)))
    }

    /// Gives every copy its name, durably. The lock is what keeps writers and other repairs away.
    pub(super) fn publish(
        self,
        _lock: &WriterLock,
    ) -> Result<BTreeMap<Digest, Published>, StoreError> {
        let Pool { disk, layout } = self.pool;
        let mut published = BTreeMap::new();
        for Staged { digest, temporary, from } in &self.staged {
            let path = layout.blob(digest);
            let aside = match in_place(self.pool, digest)? {
                InPlace::Whole(handle) => {
                    handle.sync()?; // somebody else was faster
                    let from = from.clone();
                    published.insert(*digest, Published { from, aside: None });
                    continue;
                }
                InPlace::Nothing => None,
                InPlace::Other(state, ending) => {
                    match move_aside(self.pool, digest, &state, &ending)? {
                        Some(aside) => Some(aside),
                        None => continue, // it is not what was looked at; the next run looks at it
                    }
                }
            };
            disk.rename(temporary, &path)?;
            published.insert(*digest, Published { from: from.clone(), aside });
        }
        if published.values().any(|published| published.aside.is_some()) {
            // The new names first: a power loss must not take both.
            disk.sync_directory(&layout.damaged())?;
        }
        disk.sync_directory(&layout.blobs())?;
        Ok(published)
    }
}

/// Whether a blob is in its place and whole. Nothing is moved.
pub(super) fn is_whole(pool: &Pool, rate: &Rate, digest: &Digest) -> bool {
    // What cannot be read was told, and is looked at again by the next run.
    pool.disk
        .open(&pool.layout.blob(digest))
        .is_ok_and(|handle| hash(handle, rate).is_ok_and(|(_, found)| found == *digest))
}

fn hash(handle: Handle, rate: &Rate) -> std::io::Result<(Handle, Digest)> {
    let (mut reading, mut hash, mut buffer) =
        (Reading(handle), Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        let count = reading.read(&mut buffer)?;
        let Some(chunk @ [_, ..]) = buffer.get(..count) else { break };
        hash.update(chunk);
        rate.pay(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok((reading.0, Digest::from_sha256(hash.finalize().into())))
}

fn in_place(pool: &Pool, digest: &Digest) -> Result<InPlace, DiskError> {
    let path = pool.layout.blob(digest);
    let state = match pool.disk.read_state(&path) {
        Ok(state) => state,
        Err(error) if error.is_not_found() => return Ok(InPlace::Nothing),
        Err(error) => return Err(error),
    };
    let Ok(handle) = pool.disk.open(&path) else {
        return Ok(InPlace::Other(state, "unreadable".to_owned()));
    };
    // Others wait for the lock, so this does not keep to the rate.
    Ok(match hash(handle, &Rate::new(None)) {
        Ok((handle, found)) if found == *digest => InPlace::Whole(handle),
        Ok((_, found)) => InPlace::Other(state, format!("as-{}", found.short())),
        Err(_) => InPlace::Other(state, "unreadable".to_owned()),
    })
}

/// Moves aside what was looked at, and nothing else. Tells where to.
fn move_aside(
    pool: &Pool,
    digest: &Digest,
    looked_at: &FileState,
    ending: &str,
) -> Result<Option<PathBuf>, DiskError> {
    let Pool { disk, layout } = pool;
    let path = layout.blob(digest);
    disk.create_directory(&layout.damaged())?;
    disk.sync_directory(&layout.quarantine())?;
    let aside = vacant(pool, &layout.damaged().join(format!("{}-{ending}", digest.hex())))?;
    let is_at = |path: &Path| disk.read_state(path).is_ok_and(|at| at.is_same_file(looked_at));
    if !is_at(&path) {
        return Ok(None);
    }
    disk.rename(&path, &aside)?;
    if is_at(&aside) {
        return Ok(Some(aside));
    }
    disk.rename(&aside, &path)?;
    Ok(None)
}

/// A path at which there is nothing yet: this one, or one with a number behind it.
fn vacant(pool: &Pool, wanted: &Path) -> Result<PathBuf, DiskError> {
    let mut path = wanted.to_owned();
    for number in 2_u64.. {
        match pool.disk.read_kind(&path) {
            Err(error) if error.is_not_found() => break,
            taken => drop(taken?),
        }
        path = PathBuf::from(format!("{}-{number}", wanted.display()));
    }
    Ok(path)
}
