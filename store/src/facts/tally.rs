//! The tally: how many commits a facts database has seen and how many records it has, kept in the
//! database and in a small file beside it.
//!
//! Some engines open a damaged database as one that is smaller, or empty, without a word. So who opens
//! one compares. `<database>.count` is 40 bytes, overwritten in place by one write, which stays within
//! a sector:
//!
//! ```text
//! 0   generation  8  big-endian; in its high half, how often the database was rebuilt
//! 8   count       8  big-endian
//! 16  check      24  BLAKE3 of the 16 bytes before, cut
//! ```
//!
//! The file is written after the commit that it speaks of and read before the database is opened, so
//! a database may be ahead of it, never behind. An absent or empty file says nothing.

use std::path::{Path, PathBuf};

use super::FactsError;
use crate::disk::{Disk, DiskError, DiskFault, Handle};

const TALLY_BYTES: usize = 16;

const FILE_BYTES: usize = 40;

/// What a database has seen. The default is what an empty one says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) generation: u64,
    pub(crate) count: u64,
}

impl Tally {
    /// After one more commit, which leaves so many records.
    pub(crate) fn next(self, count: u64) -> Self {
        Self { generation: self.generation.saturating_add(1), count }
    }

    /// Where a rebuilt database begins: beyond anything that commits to the one it replaces can
    /// reach, so that none of them is taken for newer than it.
    pub(crate) fn of_rebuilt(self) -> Self {
        let rebuilds = self.generation >> 32;
        Self { generation: rebuilds.saturating_add(1) << 32, count: 0 }
    }

    /// Whether a database that says `found` can be the one that this tally was written for.
    pub(crate) fn check(self, found: Self) -> Result<(), FactsError> {
        let is_lost = found.generation < self.generation
            || (found.generation == self.generation && found.count != self.count);
        if is_lost {
            return Err(FactsError::Lost { expected: self.count, found: found.count });
        }
        Ok(())
    }

    pub(crate) fn to_bytes(self) -> [u8; TALLY_BYTES] {
        let mut bytes = [0; TALLY_BYTES];
        let fields = self.generation.to_be_bytes().into_iter().chain(self.count.to_be_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (generation, count) = bytes.split_first_chunk::<8>()?;
        let count = <[u8; 8]>::try_from(count).ok()?; // another length is no tally
        Some(Self { generation: u64::from_be_bytes(*generation), count: u64::from_be_bytes(count) })
    }
}

/// The file beside a database.
#[derive(Debug)]
pub(super) struct TallyFile {
    path: PathBuf,
    disk: Disk,
}

impl TallyFile {
    pub(super) fn beside(database: &Path, disk: Disk) -> Self {
        Self { path: database.with_added_extension("count"), disk }
    }

    /// What the database must have at least.
    pub(super) fn read(&self) -> Result<Tally, FactsError> {
        let limit = u64::try_from(FILE_BYTES).unwrap_or(u64::MAX);
        let bytes = match self.disk.read(&self.path, limit) {
            Ok(bytes) => bytes,
            Err(error) if error.fault() == DiskFault::NotFound => Vec::new(),
            Err(DiskError::OverLimit { .. }) => return Err(FactsError::Tally),
            Err(error) => return Err(FactsError::OutOfReach(error.into())),
        };
        if bytes.is_empty() {
            return Ok(Tally::default());
        }
        let (tally, check) = bytes.split_at_checked(TALLY_BYTES).ok_or(FactsError::Tally)?;
        let is_whole = *check == check_of(tally);
        Tally::from_bytes(tally).filter(|_| is_whole).ok_or(FactsError::Tally)
    }

    pub(super) fn write(&self, tally: Tally) -> Result<(), DiskError> {
        let tally = tally.to_bytes();
        let bytes = [&tally[..], &check_of(&tally)].concat();
        let handle = self.open()?;
        handle.write_at(0, &bytes)?;
        handle.sync()
    }

    /// Lets it say nothing. It is never removed: a rebuild holds a lock on it.
    pub(super) fn clear(&self) -> Result<(), DiskError> {
        self.open()?.truncate(0)
    }

    pub(super) fn open(&self) -> Result<Handle, DiskError> {
        self.disk.open_or_create(&self.path)
    }
}

fn check_of(tally: &[u8]) -> [u8; FILE_BYTES - TALLY_BYTES] {
    let mut check = [0; FILE_BYTES - TALLY_BYTES];
    blake3::Hasher::new().update(tally).finalize_xof().fill(&mut check);
    check
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files by hand")]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_database_may_be_ahead_and_never_behind() {
        let tally = |generation, count| Tally { generation, count };
        let beside = tally(5, 100);
        for (found, is_good) in [
            (tally(5, 100), true),
            (tally(6, 100), true),
            (tally(9, 120), true),
            (tally(1 << 32, 3), true),
            (tally(5, 99), false),
            (tally(5, 101), false),
            (tally(4, 100), false),
            (tally(0, 0), false),
        ] {
            assert_eq!(beside.check(found).is_ok(), is_good, "{found:?}");
        }
        Tally::default().check(tally(3, 3)).unwrap();
        assert!(beside.of_rebuilt().check(tally(5_000, 100)).is_err());
        assert_eq!(beside.of_rebuilt().next(7), tally((1 << 32) + 1, 7));
        assert_eq!(tally(u64::MAX, 1).next(1).generation, u64::MAX);
    }

    #[test]
    fn a_file_that_is_no_tally_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = TallyFile::beside(&directory.path().join("facts.x"), Disk::default());
        let path = directory.path().join("facts.x.count");
        assert_eq!(file.read().unwrap(), Tally::default());
        let tally = Tally { generation: 3, count: 70_000 };
        file.write(Tally { generation: 2, count: 69_000 }).unwrap();
        file.write(tally).unwrap();
        assert_eq!(file.read().unwrap(), tally);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(matches!(file.read(), Err(FactsError::Tally)), "byte {at}");
        }
        for bytes in [&good[..39], &good[..16], &good[..1], &[0; 40], &[0; 41]] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(file.read(), Err(FactsError::Tally)), "{} bytes", bytes.len());
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(file.read().unwrap(), Tally::default());
        fs::write(&path, &good[..39]).unwrap();
        file.clear().unwrap();
        assert_eq!(file.read().unwrap(), Tally::default());
    }
}
