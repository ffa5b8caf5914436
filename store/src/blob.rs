//! Blobs: immutable bytes under their SHA-256.
//!
//! Every way of reading checks the bytes against the digest. A blob that fails is moved to quarantine
//! and reported; its bytes are handed to nobody as good ones. This module knows no catalog.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use bonded_model::{Descriptor, Digest};
use sha2::{Digest as _, Sha256};

use crate::disk::{Action, Disk, DiskError, DiskFault, FileState, Handle};
use crate::error::StoreError;
use crate::hashing::{self, Digests, Sha512Wanted, Stream};
use crate::layout::Layout;
use crate::lock;

/// Pages of the catalog are seldom longer.
const SMALL_BYTES: usize = 8 * 1024;

/// The blobs of one store.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) disk: Disk,
    pub(crate) layout: Layout,
}

/// Reads a file to hash it, and writes nothing.
pub(crate) struct HashOnly<'a>(pub(crate) &'a mut Handle);

impl Stream<DiskError> for HashOnly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.0.read(buffer)
    }

    fn write(&mut self, _bytes: &[u8]) -> Result<(), DiskError> {
        Ok(())
    }
}

/// Reads a file to hash it and to look at it.
struct Seen<'a> {
    handle: &'a mut Handle,
    see: &'a mut dyn FnMut(&[u8]),
}

impl Stream<DiskError> for Seen<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.handle.read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        (self.see)(bytes);
        Ok(())
    }
}

impl Pool {
    /// Opens a blob without checking it.
    fn open(&self, digest: &Digest) -> Result<Handle, StoreError> {
        let path = self.layout.blob(digest);
        self.disk.open(&path).map_err(|error| match error.fault() {
            DiskFault::NotFound => StoreError::MissingBlob { digest: *digest, path },
            _ => StoreError::Disk(error),
        })
    }

    /// Whether there is a file of that name.
    pub(crate) fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        match self.disk.read_kind(&self.layout.blob(digest)) {
            Ok(_kind) => Ok(true),
            Err(error) if error.fault() == DiskFault::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// All bytes of a blob of at most `limit` bytes, checked.
    pub(crate) fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let mut handle = self.open(digest)?;
        let state = handle.read_state()?;
        if state.bytes > limit {
            return Err(StoreError::BlobTooLarge { digest: *digest, bytes: state.bytes, limit });
        }
        let bytes = handle.read_to_end(limit)?;
        match Digest::sha256_of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(self.quarantine(digest, found, &state)),
        }
    }

    /// As [`Pool::read`], for blobs that are small as a rule: with one call where the digest says that
    /// this gave all of them.
    pub(crate) fn read_small(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; SMALL_BYTES];
        let count = self.open(digest)?.read_at(0, &mut bytes)?;
        bytes.truncate(count);
        match Digest::sha256_of(&bytes) == *digest
            && count <= usize::try_from(limit).unwrap_or(count)
        {
            true => Ok(bytes),
            false => self.read(digest, limit),
        }
    }

    /// The first bytes of a blob, of which it has at least so many or ends, and how many it has. Nothing of
    /// this is checked: a damaged blob may give anything.
    pub(crate) fn peek(&self, digest: &Digest, count: usize) -> Result<(Vec<u8>, u64), StoreError> {
        let handle = self.open(digest)?;
        let state = handle.read_state()?;
        let mut bytes = vec![0; count];
        let read = handle.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok((bytes, state.bytes))
    }

    /// All bytes that a descriptor names, checked for size and digest.
    pub(crate) fn read_described(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let bytes = self.read(&descriptor.digest, limit)?;
        check_size(descriptor, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        Ok(bytes)
    }

    /// Hashes a blob from start to end and hands it out open.
    pub(crate) fn verify(&self, descriptor: &Descriptor) -> Result<VerifiedBlob, StoreError> {
        let digest = descriptor.digest;
        let mut handle = self.open(&digest)?;
        let state = handle.read_state()?;
        let digests = hashing::in_line(&mut HashOnly(&mut handle), Sha512Wanted::No)?;
        let digests = self.judge(&digest, digests, &state)?;
        check_size(descriptor, digests.bytes)?;
        Ok(VerifiedBlob { handle, state, digest })
    }

    /// Every digest of a blob, of which SHA-256 has been compared.
    pub(crate) fn hash(
        &self,
        digest: &Digest,
        wanted: Sha512Wanted,
    ) -> Result<(Handle, Digests), StoreError> {
        self.hash_and_see(digest, wanted, &mut |_bytes| {})
    }

    /// As [`Pool::hash`], with a look at the bytes as they come by, before they are known to be good.
    pub(crate) fn hash_and_see(
        &self,
        digest: &Digest,
        wanted: Sha512Wanted,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<(Handle, Digests), StoreError> {
        let mut handle = self.open(digest)?;
        let state = handle.read_state()?;
        let digests = hashing::in_line(&mut Seen { handle: &mut handle, see }, wanted)?;
        let digests = self.judge(digest, digests, &state)?;
        Ok((handle, digests))
    }

    /// Quarantines a blob that is not what it is named.
    fn judge(
        &self,
        digest: &Digest,
        digests: Digests,
        state: &FileState,
    ) -> Result<Digests, StoreError> {
        match digests.sha256 {
            found if found == *digest => Ok(digests),
            found => Err(self.quarantine(digest, found, state)),
        }
    }

    /// Opens a blob to be read and checked at the same time.
    pub(crate) fn open_checked(&self, digest: &Digest) -> Result<BlobReader, StoreError> {
        let handle = self.open(digest)?;
        let state = handle.read_state()?;
        Ok(BlobReader {
            pool: self.clone(),
            handle,
            state,
            digest: *digest,
            check: Check::Reading(Sha256::new()),
        })
    }

    /// Moves a damaged blob aside and makes the error that says so. Only one who holds the writer's lock
    /// may do that, since a good blob may be about to take its place: while somebody else has the lock,
    /// or in a store that cannot be written, the damaged one stays, and every reader refuses it again.
    pub(crate) fn quarantine(
        &self,
        digest: &Digest,
        found: Digest,
        damaged: &FileState,
    ) -> StoreError {
        let quarantined =
            lock::while_free(&self.disk, &self.layout, || self.set_aside(digest, found, damaged));
        let path = self.layout.blob(digest);
        StoreError::Corrupt { digest: *digest, found, path, quarantined: quarantined.flatten() }
    }

    /// Moves a damaged blob aside, and says where to. For use under the lock. A program that knows no
    /// lock may put a good one in its place: that one stays, or is put back if it came between look and
    /// rename.
    fn set_aside(&self, digest: &Digest, found: Digest, damaged: &FileState) -> Option<PathBuf> {
        let path = self.layout.blob(digest);
        let aside = self.layout.damaged().join(format!("{}-as-{}", digest.hex(), found.short()));
        let is_at = |path| self.disk.read_state(path).is_ok_and(|at| at.is_same_file(damaged));
        let move_aside = || {
            self.disk.create_directory(&self.layout.damaged())?;
            self.disk.rename(&path, &aside)
        };
        let moved = is_at(&path) && move_aside().is_ok();
        let is_the_damaged_one = moved && is_at(&aside);
        if moved && !is_the_damaged_one {
            // Should this fail, the next ingest writes the blob again.
            drop(self.disk.rename(&aside, &path));
        }
        is_the_damaged_one.then_some(aside)
    }

    /// Moves a blob aside that is not what it is named, before another takes its place. For use under
    /// the lock.
    pub(crate) fn set_aside_if_damaged(&self, digest: &Digest) -> Result<(), StoreError> {
        let mut handle = match self.open(digest) {
            Err(StoreError::MissingBlob { .. }) => return Ok(()),
            opened => opened?,
        };
        let state = handle.read_state()?;
        let found = hashing::in_line(&mut HashOnly(&mut handle), Sha512Wanted::No)?.sha256;
        if found != *digest {
            self.set_aside(digest, found, &state);
        }
        Ok(())
    }
}

fn check_size(descriptor: &Descriptor, found: u64) -> Result<(), StoreError> {
    if found == descriptor.size {
        Ok(())
    } else {
        Err(StoreError::Size { digest: descriptor.digest, expected: descriptor.size, found })
    }
}

/// A blob whose bytes are checked while they are read.
///
/// The end is reached only if the digest agrees: instead of it, a damaged blob gives an error of
/// kind [`io::ErrorKind::InvalidData`], so a caller that reads to the end cannot miss it.
pub struct BlobReader {
    pool: Pool,
    handle: Handle,
    state: FileState,
    digest: Digest,
    check: Check,
}

/// How far a blob is checked that is being read.
enum Check {
    Reading(Sha256),
    Good,
    /// What its bytes hash to, and where it was moved.
    Failed(Digest, Option<PathBuf>),
}

impl BlobReader {
    /// How many bytes the blob has.
    pub fn size(&self) -> u64 {
        self.state.bytes
    }

    /// Reads on like [`Read::read`], with errors as they are.
    pub(crate) fn read_checked(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Check::Reading(hash) = &mut self.check {
            let count = self.handle.read(buffer)?;
            if let Some(bytes @ [_, ..]) = buffer.get(..count) {
                hash.update(bytes);
                return Ok(count);
            }
            let hash = hash.clone();
            self.check = self.finished(hash);
        }
        match &self.check {
            Check::Reading(_) | Check::Good => Ok(0),
            Check::Failed(found, quarantined) => Err(StoreError::Corrupt {
                digest: self.digest,
                found: *found,
                path: self.pool.layout.blob(&self.digest),
                quarantined: quarantined.clone(),
            }),
        }
    }

    /// Compares once; reading on gives the same end again, the good one or the bad one.
    fn finished(&self, hash: Sha256) -> Check {
        match Digest::from_sha256(hash.finalize().into()) {
            found if found == self.digest => Check::Good,
            found => match self.pool.quarantine(&self.digest, found, &self.state) {
                StoreError::Corrupt { quarantined, .. } => Check::Failed(found, quarantined),
                _ => Check::Failed(found, None),
            },
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_checked(buffer).map_err(|error| match error {
            StoreError::Corrupt { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
            StoreError::Disk(error) => io::Error::other(error),
            error => io::Error::other(error),
        })
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// A blob that was hashed from start to end and is held open, to be read from anywhere.
///
/// Every read looks afterwards whether the file is as it was before it was hashed, by its size and time of
/// change. What that does not show is a disk that gives other bytes without anybody having written.
#[derive(Debug)]
pub struct VerifiedBlob {
    handle: Handle,
    /// As it was before it was hashed.
    state: FileState,
    digest: Digest,
}

impl VerifiedBlob {
    /// The digest that was checked.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes the blob has.
    pub fn size(&self) -> u64 {
        self.state.bytes
    }

    /// Whether nobody has written to the file since it was hashed.
    ///
    /// # Errors
    /// [`DiskError`] if that cannot be told.
    pub fn is_unchanged(&self) -> Result<bool, DiskError> {
        Ok(self.handle.read_state()? == self.state)
    }

    /// Reads from a position; fewer bytes than the buffer holds come at the end only, or where the
    /// operating system cuts a read short.
    ///
    /// # Errors
    /// [`DiskError`] if the read fails, or somebody has written to the file since it was hashed.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let count = self.handle.read_at(offset, buffer)?;
        if self.is_unchanged()? {
            return Ok(count);
        }
        let source = io::Error::new(io::ErrorKind::InvalidData, "it was changed after its check");
        Err(DiskError::Io { action: Action::Read, path: self.handle.path().to_owned(), source })
    }
}
