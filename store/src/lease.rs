//! Leases: who is at work on a store without its lock, and what that work relies on.
//!
//! ```text
//! bonded/staging/<pid>-<n>/lease   {"epoch":41,"since":"2026-…","who":"…"}, locked with flock
//! bonded/staging/<pid>-<n>/<k>     the files that this work has written so far
//! ```
//!
//! A lease keeps what was reachable at its epoch, or has become so since, and everything that was set
//! aside as unreachable since it began: gc deletes none of that while the lease lives. The kernel drops
//! the lock with the process, so a dead one keeps nothing, and the next writer removes its directory.
//!
//! A directory belongs to whoever holds the lock on the `lease` file that has its name there. Between
//! the making of the file and the lock, somebody who looks may hold it, or take it for a leftover and
//! remove it; the maker then sees that, and takes another name. In the same way, whoever finds the lock
//! free looks whether the file that he has open is still the one with the name: it may have been removed
//! with its work, and another work of the same name have begun. Nobody begins in a directory that he has
//! not made. The lock on a lease is never waited for, so it has no place in an order of locks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bonded_model::{Timestamp, json};
use serde::{Deserialize, Serialize};

use crate::blob::Pool;
use crate::disk::{Disk, DiskError, DiskFault, FileKind, Handle, LockAttempt};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::lock::{Holder, unknown_time};

/// The name of the file that is locked.
const LEASE: &str = "lease";

/// A lease has a line of text.
const LEASE_BYTES_MAX: u64 = 64 * 1024;

/// Names that may be taken by leftovers of other processes with the same number, as in containers.
const ATTEMPT_COUNT_MAX: u64 = 10_000;

/// How often a lease is looked at that has gone when its lock turns out free.
const LOOK_COUNT_MAX: u32 = 100;

/// Numbers the directories of this process.
static NEXT_DIRECTORY: AtomicU64 = AtomicU64::new(0);

/// A directory for one piece of work, and the promise that gc keeps what it relies on. Dropping it
/// removes the directory with all that is left in it.
#[derive(Debug)]
pub struct Lease {
    disk: Disk,
    directory: PathBuf,
    handle: Handle,
    info: LeaseInfo,
}

/// What a lease says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseInfo {
    /// The epoch that was the newest when the lease was taken; that one and all later ones are kept.
    pub epoch: u64,
    /// When the work began.
    pub since: Timestamp,
    /// Who is at work, for people.
    pub who: String,
}

impl Lease {
    /// Takes a lease. The epoch is asked for after it is held: what is reachable there stays so.
    pub(crate) fn take(
        pool: &Pool,
        holder: &Holder,
        epoch: impl FnOnce() -> Result<u64, StoreError>,
    ) -> Result<Self, StoreError> {
        let Pool { disk, layout } = pool;
        let (directory, handle) = occupy(disk, &layout.staging())?;
        let Holder { who, since } = holder.clone();
        let info = LeaseInfo { epoch: 0, since, who };
        let mut lease = Self { disk: disk.clone(), directory, handle, info };
        lease.info.epoch = epoch()?;
        lease.handle.overwrite(&json::to_canonical(&lease.info))?;
        Ok(lease)
    }

    /// Where the work may put its files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that is locked.
    pub(crate) fn file(&self) -> &Path {
        self.handle.path()
    }

    /// What it says.
    pub fn info(&self) -> &LeaseInfo {
        &self.info
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What stays behind costs space until the next writer removes it.
        drop(remove(&self.disk, &self.directory));
    }
}

/// The leases that are held, ordered by their directories. One that has not yet said what it keeps is
/// taken to keep everything.
pub(crate) fn live(disk: &Disk, layout: &Layout) -> Result<Vec<LeaseInfo>, DiskError> {
    let mut live = Vec::new();
    for directory in directories(disk, layout)? {
        match read_state(disk, &directory)? {
            State::Held(mut handle) => {
                let bytes = handle.read_to_end(LEASE_BYTES_MAX)?;
                let info = json::parse(&bytes, LEASE_BYTES_MAX);
                live.push(info.unwrap_or_else(|_not_yet_written| unnamed()));
            }
            State::Changing => live.push(unnamed()),
            State::Free(_) | State::NoLease => {}
        }
    }
    Ok(live)
}

/// What nobody holds a lease on: leftovers of the dead. Something that is about to begin may be among it.
pub(crate) fn stray(pool: &Pool) -> Result<Vec<(PathBuf, FileKind)>, DiskError> {
    let Pool { disk, layout } = pool;
    let mut stray = Vec::new();
    for (path, kind) in disk.list(&layout.staging())? {
        let is_held = kind == FileKind::Directory
            && matches!(read_state(disk, &path)?, State::Held(_) | State::Changing);
        if !is_held {
            stray.push((path, kind));
        }
    }
    Ok(stray)
}

/// Removes what nobody holds a lease on. For use under the writer's lock, which is also what protects
/// the files that lie in the staging directory itself.
pub(crate) fn clear(pool: &Pool) -> Result<(), DiskError> {
    let Pool { disk, layout } = pool;
    for (path, kind) in disk.list(&layout.staging())? {
        match kind {
            FileKind::Directory => match read_state(disk, &path)? {
                State::Held(_) | State::Changing => {}
                State::Free(handle) => {
                    remove(disk, &path)?;
                    drop(handle); // not before: the lock keeps others from taking it for a lease
                }
                State::NoLease => remove_unleased(disk, &path)?,
            },
            _ => disk.remove(&path)?,
        }
    }
    Ok(())
}

/// A lease that cannot be read, but is held.
fn unnamed() -> LeaseInfo {
    LeaseInfo {
        epoch: 0,
        since: unknown_time(),
        who: "another program that has not said its name".into(),
    }
}

fn directories(disk: &Disk, layout: &Layout) -> Result<Vec<PathBuf>, DiskError> {
    let entries = disk.list(&layout.staging())?.into_iter();
    Ok(entries.filter(|(_, kind)| *kind == FileKind::Directory).map(|(path, _)| path).collect())
}

/// A new directory whose lease is locked.
fn occupy(disk: &Disk, staging: &Path) -> Result<(PathBuf, Handle), StoreError> {
    for _ in 0..ATTEMPT_COUNT_MAX {
        let number = NEXT_DIRECTORY.fetch_add(1, Ordering::Relaxed);
        let directory = staging.join(format!("{}-{number}", std::process::id()));
        if let Some(handle) = try_occupy(disk, &directory)? {
            return Ok((directory, handle));
        }
    }
    Err(StoreError::NoLease { path: staging.to_owned() })
}

fn try_occupy(disk: &Disk, directory: &Path) -> Result<Option<Handle>, DiskError> {
    match disk.create_new_directory(directory) {
        // A leftover, with files of its own; the next writer removes it.
        Err(error) if error.fault() == DiskFault::Exists => return Ok(None),
        made => made?,
    }
    let handle = match disk.create(&directory.join(LEASE), 0o644) {
        Ok(handle) => handle,
        Err(error) if matches!(error.fault(), DiskFault::Exists | DiskFault::NotFound) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if handle.try_lock()? == LockAttempt::HeldByAnother {
        return Ok(None);
    }
    Ok(disk.is_named(&handle)?.then_some(handle))
}

/// Whether somebody is at work in a directory.
enum State {
    /// Somebody is; the lock is not held by this handle.
    Held(Handle),
    /// Nobody is; the lock is held by this handle, so that nobody else comes to that end.
    Free(Handle),
    /// There is nothing to lock: a leftover of a power loss, or of one who is about to begin.
    NoLease,
    /// The lease was another one whenever it was looked at.
    Changing,
}

fn read_state(disk: &Disk, directory: &Path) -> Result<State, DiskError> {
    for _ in 0..LOOK_COUNT_MAX {
        let handle = match disk.open(&directory.join(LEASE)) {
            Ok(handle) => handle,
            Err(error) if error.fault() == DiskFault::NotFound => return Ok(State::NoLease),
            Err(error) => return Err(error),
        };
        if handle.try_lock()? == LockAttempt::HeldByAnother {
            return Ok(State::Held(handle));
        }
        if disk.is_named(&handle)? {
            return Ok(State::Free(handle));
        }
    }
    Ok(State::Changing)
}

/// Removes what was listed in a directory, the lease last, and then the directory unless somebody has
/// begun there anew.
fn remove(disk: &Disk, directory: &Path) -> Result<(), DiskError> {
    let (leases, files): (Vec<_>, Vec<_>) =
        list_if_there(disk, directory)?.into_iter().partition(|path| path.ends_with(LEASE));
    remove_all(disk, directory, files.iter().chain(&leases))
}

/// Removes a directory without a lease, unless one appears: what was listed before is of no work then.
fn remove_unleased(disk: &Disk, directory: &Path) -> Result<(), DiskError> {
    let listed = list_if_there(disk, directory)?;
    match disk.read_kind(&directory.join(LEASE)) {
        Ok(_) => return Ok(()),
        Err(error) if error.fault() == DiskFault::NotFound => {}
        Err(error) => return Err(error),
    }
    remove_all(disk, directory, listed.iter())
}

fn remove_all<'a>(
    disk: &Disk,
    directory: &Path,
    mut listed: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), DiskError> {
    listed.try_for_each(|path| disk.remove(path))?;
    match disk.remove_directory(directory) {
        Err(error) if matches!(error.fault(), DiskFault::NotFound | DiskFault::NotEmpty) => Ok(()),
        result => result,
    }
}

/// The paths in a directory, none if there is no such directory.
pub(crate) fn list_if_there(disk: &Disk, directory: &Path) -> Result<Vec<PathBuf>, DiskError> {
    match disk.list(directory) {
        Ok(entries) => Ok(entries.into_iter().map(|(path, _)| path).collect()),
        Err(error) if error.fault() == DiskFault::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
