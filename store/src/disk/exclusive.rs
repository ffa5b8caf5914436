//! The right to replace files that several programs share, for callers outside this crate: what is kept for
//! a user between runs. It knows nothing of stores; their writers have a lock of their own.
//!
//! ```text
//! <lock>       an empty file under flock; the kernel drops the lock with the process
//! <file>.new   what is about to become <file>; the holder of the lock alone writes one
//! ```

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Disk, DiskError, DiskFault, Handle, LockAttempt, containing};

/// How often somebody who waits looks again.
const POLL: Duration = Duration::from_millis(20);

/// Held as long as this value lives.
#[derive(Debug)]
pub struct Exclusive {
    disk: Disk,
    _handle: Handle,
}

impl Exclusive {
    /// Locks a file, which is made for its owner alone if there is none, since whoever can read it can hold
    /// the lock, and waits so long for others. `None` if they do not let go of it.
    ///
    /// # Errors
    /// [`DiskError`] if the file cannot be made or locked.
    pub fn take(lock: &Path, wait: Duration) -> Result<Option<Self>, DiskError> {
        Self::take_on(Disk::default(), lock, wait)
    }

    fn take_on(disk: Disk, lock: &Path, wait: Duration) -> Result<Option<Self>, DiskError> {
        let began = Instant::now();
        let directory = containing(lock);
        loop {
            let handle = match disk.create(lock, 0o600) {
                Err(error) if error.fault() == DiskFault::Exists => disk.open_or_create(lock)?,
                made => made?,
            };
            // Who removes the file lets others lock a new one, so it is the one with the name that counts.
            if handle.try_lock()? == LockAttempt::Taken && disk.is_named(&handle)? {
                // Whoever made the directory need not have made its name durable, nor those in it.
                disk.sync_directory(directory)?;
                disk.sync_directory(containing(directory))?;
                return Ok(Some(Self { disk, _handle: handle }));
            }
            let left = wait.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(left.min(POLL));
        }
    }

    /// Puts a file in the place of what is there, or is not, durably and at once, readable by its owner
    /// alone. What an earlier holder died over is removed.
    ///
    /// # Errors
    /// [`DiskError`]; what was there before is still there, unless it was the last step that failed, the
    /// sync of its directory.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let new = path.with_added_extension("new");
        self.disk.remove(&new)?;
        let handle = self.disk.create(&new, 0o600)?;
        handle.write_all(bytes)?;
        handle.sync()?;
        self.disk.rename(&new, path)?;
        self.disk.sync_directory(containing(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::faulty::Failure;
    use crate::disk::memory::{Loss, Memory};

    const LOCK: &str = "/user/state/lock";
    const FIRST: &str = "/user/state/first/file";
    const SECOND: &str = "/user/state/second/file";

    fn memory() -> Memory {
        let memory = Memory::default();
        write(&memory.disk(), b"old").unwrap();
        memory
    }

    fn write(disk: &Disk, bytes: &[u8]) -> Result<(), DiskError> {
        for file in [FIRST, SECOND] {
            disk.create_private_directory(containing(Path::new(file)))?;
        }
        let held = Exclusive::take_on(disk.clone(), Path::new(LOCK), Duration::ZERO)?;
        let held = held.expect("nobody else holds it");
        held.replace(Path::new(FIRST), bytes)?;
        held.replace(Path::new(SECOND), bytes)
    }

    fn read(disk: &Disk, path: &str) -> Vec<u8> {
        disk.read(Path::new(path), 9).unwrap()
    }

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let lock = directory.path().join("lock");
        let take = || Exclusive::take(&lock, Duration::ZERO).unwrap();
        let held = take();
        assert!(held.is_some() && take().is_none());
        drop(held);
        assert!(take().is_some());
        let missing = directory.path().join("missing/lock");
        assert!(Exclusive::take(&missing, Duration::ZERO).unwrap_err().is_not_found());
    }

    /// The first one of all makes the directories as well, and no crash leaves the second file without the first.
    #[test]
    fn what_was_written_first_is_durable_with_its_directories() {
        let calls = {
            let disk = Memory::default().disk().failing(u64::MAX, Failure::Crash);
            write(&disk, b"new").unwrap();
            disk.calls()
        };
        for at in 1..=calls + 1 {
            let memory = Memory::default();
            let written = write(&memory.disk().failing(at, Failure::Crash), b"new");
            assert_eq!(written.is_ok(), at > calls);
            let after = memory.after_power_loss(Loss::AllUnsynced);
            let found = [FIRST, SECOND].map(|file| after.disk().read(Path::new(file), 9).is_ok());
            assert!(found[0] || !found[1], "call {at}");
            assert!(written.is_err() || found == [true, true]);
            write(&after.disk(), b"again").unwrap();
        }
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let inner = directory.path().join("a/b");
        disk.create_private_directory(&inner).unwrap();
        let lock = inner.join("lock");
        drop(Exclusive::take(&lock, Duration::ZERO).unwrap().unwrap());
        for (path, mode) in [(&directory.path().join("a"), 0o700), (&inner, 0o700), (&lock, 0o600)]
        {
            assert_eq!(disk.read_attributes(path).unwrap().mode & 0o777, mode, "{path:?}");
        }
        disk.set_mode(&inner, 0o750).unwrap();
        disk.create_private_directory(&inner).unwrap();
        assert_eq!(disk.read_attributes(&inner).unwrap().mode & 0o777, 0o750);
    }

    /// What is written second never says more than what was written first.
    #[test]
    fn a_crash_at_any_call_leaves_the_old_file_or_the_new_one() {
        let calls = {
            let disk = memory().disk().failing(u64::MAX, Failure::Crash);
            write(&disk, b"new").unwrap();
            disk.calls()
        };
        assert!(calls > 8, "{calls}");
        for at in 1..=calls {
            let memory = memory();
            write(&memory.disk().failing(at, Failure::Crash), b"new").unwrap_err();
            for after in [memory.after_kill(), memory.after_power_loss(Loss::AllUnsynced)] {
                let found = (read(&after.disk(), FIRST), read(&after.disk(), SECOND));
                let (old, new) = (b"old".to_vec(), b"new".to_vec());
                let expected = [(old.clone(), old.clone()), (new.clone(), old), (new.clone(), new)];
                assert!(expected.contains(&found), "call {at}: {found:?}");
                write(&after.disk(), b"again").unwrap();
                assert_eq!(read(&after.disk(), SECOND), b"again", "call {at}");
            }
        }
    }
}
