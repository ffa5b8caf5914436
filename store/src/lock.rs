//! The writer's lock: one writer at a time, and a name for the one that others wait for.
//!
//! `bonded/lock` is locked with flock and holds who took it, as JSON. The kernel drops the lock with
//! the process, so a crash leaves none; what the file says then is out of date and does not matter.
//!
//! It is taken before ROOT is read for writing and held until the commit; big inputs are staged before,
//! under a lease (see `lease`). Readers take neither, but for the moment in which one moves a damaged blob
//! aside, and only if the lock is free. It is the file that has the name that counts: a writer looks after
//! taking the lock, and again just before ROOT is replaced, whether its own is that one.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bonded_model::{Timestamp, json};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Handle, LockAttempt};
use crate::error::StoreError;
use crate::layout::Layout;

/// How often a waiting writer looks again: often enough not to be noticed, seldom enough to be free.
const POLL: Duration = Duration::from_millis(20);

/// So long even one tries who would not wait. Others take the lock for a moment as well: to look whether it
/// is free, or to move a damaged blob aside.
const MOMENT: Duration = Duration::from_millis(100);

static TURN: Mutex<()> = Mutex::new(());

/// A holder has a line of text.
const HOLDER_BYTES_MAX: u64 = 64 * 1024;

/// Who writes to the store, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// For people: `bonded ingest demo@v1 (pid 123)`.
    pub who: String,
    /// When the work began.
    pub since: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}", self.who, self.since)
    }
}

/// Held as long as this value lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    handle: Handle,
}

impl WriterLock {
    /// Looks whether the lock still keeps others away: who removes the file lets a second writer in.
    pub(crate) fn check(&self, disk: &Disk) -> Result<(), StoreError> {
        match disk.is_named(&self.handle)? {
            true => Ok(()),
            false => Err(StoreError::LockLost { path: self.handle.path().to_owned() }),
        }
    }
}

/// Does something under the lock, if it is free now. Nobody is kept waiting or told.
pub(crate) fn while_free<T>(disk: &Disk, layout: &Layout, act: impl FnOnce() -> T) -> Option<T> {
    // Threads of one process take turns, so that they do not take each other for writers.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = disk.open(&layout.lock()).ok()?; // no lock, no right to change anything
    let is_taken = matches!(handle.try_lock(), Ok(LockAttempt::Taken))
        && matches!(disk.is_named(&handle), Ok(true));
    is_taken.then(act)
}

/// Takes the lock, waiting up to `wait`, and a moment in any case; calls `on_wait` once if it is not free at once.
pub(crate) fn take(
    disk: &Disk,
    layout: &Layout,
    wait: Duration,
    holder: &Holder,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<WriterLock, StoreError> {
    let handle = wait_for(disk, layout, wait, on_wait)?;
    handle.overwrite(&json::to_canonical(holder))?;
    Ok(WriterLock { handle })
}

/// Takes the lock without saying for whom: for the making of a store, which is over at once.
pub(crate) fn take_unnamed(
    disk: &Disk,
    layout: &Layout,
    wait: Duration,
) -> Result<WriterLock, StoreError> {
    Ok(WriterLock { handle: wait_for(disk, layout, wait, &mut |_| {})? })
}

fn wait_for(
    disk: &Disk,
    layout: &Layout,
    wait: Duration,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<Handle, StoreError> {
    let mut handle = disk.open_or_create(&layout.lock())?;
    let began = Instant::now();
    let mut told = false;
    loop {
        if handle.try_lock()? == LockAttempt::Taken {
            if disk.is_named(&handle)? {
                return Ok(handle);
            }
            // Somebody has removed the file in the meantime. Another one is what others lock now.
            handle = disk.open_or_create(&layout.lock())?;
            continue;
        }
        if !told {
            on_wait(&current(disk, layout));
            told = true;
        }
        let left = wait.max(MOMENT).saturating_sub(began.elapsed());
        if left.is_zero() {
            let holder = current(disk, layout);
            return Err(StoreError::LockTimeout { holder, waited_seconds: wait.as_secs() });
        }
        thread::sleep(left.min(POLL));
    }
}

/// Who holds the lock, as far as the file tells: a holder writes its name just after taking it.
fn current(disk: &Disk, layout: &Layout) -> Holder {
    let read = disk.read(&layout.lock(), HOLDER_BYTES_MAX);
    // Whatever is wrong with the name, the lock itself is held.
    let named = read.ok().and_then(|bytes| json::parse(&bytes, HOLDER_BYTES_MAX).ok());
    named.unwrap_or_else(|| Holder {
        who: "another program that has not said its name".into(),
        since: unknown_time(),
    })
}

/// Where nobody has said since when.
pub(crate) fn unknown_time() -> Timestamp {
    Timestamp::from_unix_seconds(0).expect("1970 has a timestamp")
}
