//! The barrier: what was written, or found in place, becomes durable.
//!
//! The kernel tells of bytes that it could not write once, and goes on to show them as if they were on the
//! disk: whoever finds them in place later would sync them with success. So a blob that is not ours and
//! whose sync fails is written anew from what is shown, if that hashes to its name.
//!
//! An error of writing that happens before the sync is kept with the open file. A file that is closed may
//! be forgotten together with its error, so as many handles are kept open as one fsync each is made for;
//! where there are more files, the whole file system is synced, which hears of every error since the
//! stage was made (Linux 5.8).

use std::path::{Path, PathBuf};

use bonded_model::Digest;
use sha2::{Digest as _, Sha256};

use super::{BUFFER_BYTES, FSYNC_COUNT_MAX, Stage, Synced, locked};
use crate::disk::{DiskError, DiskFault, Handle};
use crate::error::StoreError;

/// What has not passed a barrier yet.
enum Pending {
    /// A file of ours, and its handle if that was kept.
    New { digest: Digest, temporary: PathBuf, handle: Option<Handle> },
    /// A blob that was found in place.
    Found(Digest),
}

impl Stage {
    /// Makes the content of everything added so far durable. What is slow about publishing is done
    /// then, so this is for the time before the lock is taken.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let pending = self.pending();
        if pending.len() <= FSYNC_COUNT_MAX {
            return pending.into_iter().try_for_each(|one| self.sync_one(one));
        }
        let durable = self.pool.disk.sync_filesystem(&self.directory);
        for one in pending {
            match (&durable, one) {
                (Ok(()), one) => self.note_synced(&one),
                // It failed for some file: of those found in place it is heard which ones. Should
                // that fail as well, there is no more to be done: the error is told in any case.
                (Err(_), found @ Pending::Found(_)) => drop(self.sync_one(found)),
                (Err(_), Pending::New { .. }) => {}
            }
        }
        Ok(durable?)
    }

    fn pending(&self) -> Vec<Pending> {
        let mut staged = self.lock();
        let new = staged.iter_mut().filter(|(_, staged)| staged.synced == Synced::No);
        let new = new.map(|(digest, staged)| Pending::New {
            digest: *digest,
            temporary: staged.temporary.clone(),
            handle: staged.handle.take(),
        });
        let mut pending: Vec<_> = new.collect();
        let found = locked(&self.found);
        let found = found.iter().filter(|(_, synced)| **synced == Synced::No);
        pending.extend(found.map(|(digest, _)| Pending::Found(*digest)));
        pending
    }

    /// One that is not there has no content to lose, and stays to be synced: it is missed when it is
    /// published, or somebody has put it back by then.
    fn sync_one(&self, one: Pending) -> Result<(), StoreError> {
        match &one {
            Pending::New { handle: Some(handle), .. } => handle.sync()?,
            Pending::New { temporary, .. } => match self.open_if_there(temporary)? {
                Some(handle) => handle.sync()?,
                None => return Ok(()),
            },
            Pending::Found(digest) => match self.open_if_there(&self.pool.layout.blob(digest))? {
                Some(handle) => self.sync_found(&handle, digest)?,
                None => return Ok(()),
            },
        }
        self.note_synced(&one);
        Ok(())
    }

    fn note_synced(&self, one: &Pending) {
        match one {
            Pending::New { digest, temporary, .. } => {
                let mut staged = self.lock();
                let staged = staged.get_mut(digest);
                // Another thread may have brought the same bytes in another file meanwhile.
                if let Some(staged) = staged.filter(|staged| staged.temporary == *temporary) {
                    staged.synced = Synced::Yes;
                }
            }
            Pending::Found(digest) => drop(locked(&self.found).insert(*digest, Synced::Yes)),
        }
    }

    /// Syncs a file that should be a blob and that somebody else wrote; if that fails, it is written
    /// anew, and fails all the same.
    pub(super) fn sync_found(&self, found: &Handle, digest: &Digest) -> Result<(), StoreError> {
        let synced = found.sync();
        if synced.is_err() {
            // Should this fail as well, there is no more to be done: the error is told in any case.
            drop(self.write_anew(found.path(), digest));
        }
        Ok(synced?)
    }

    /// Puts a durable copy in the place of a file, if it is what it is named: nobody else is to find
    /// bytes there that were never compared.
    fn write_anew(&self, path: &Path, digest: &Digest) -> Result<(), StoreError> {
        let disk = &self.pool.disk;
        let mut found = disk.open(path)?;
        let temporary = self.create_temporary()?;
        let copied = each_buffer(&mut found, |bytes| temporary.write_all(bytes))?;
        if copied != *digest {
            return Ok(disk.remove(temporary.path())?);
        }
        temporary.sync()?;
        Ok(disk.rename(temporary.path(), path)?)
    }

    pub(super) fn open_if_there(&self, path: &Path) -> Result<Option<Handle>, DiskError> {
        match self.pool.disk.open(path) {
            Err(error) if error.fault() == DiskFault::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }
}

/// Hands a file on from here to its end, and returns the SHA-256 of that.
pub(super) fn each_buffer(
    handle: &mut Handle,
    mut take: impl FnMut(&[u8]) -> Result<(), DiskError>,
) -> Result<Digest, DiskError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = handle.read(&mut buffer)?;
        let Some(bytes @ [_, ..]) = buffer.get(..count) else {
            return Ok(Digest::from_sha256(hash.finalize().into()));
        };
        hash.update(bytes);
        take(bytes)?;
    }
}
