//! Journals: append-only records that survive a kill, for runs that must not repeat finished work.
//!
//! `bonded/journal/<name>`, one record a line:
//!
//! ```text
//! <32 hex digits of BLAKE3 over the payload> <payload>\n
//! ```
//!
//! A payload has no newline; JSON on one line is the intended one. A last line that is cut or fails
//! its check is a write that a crash interrupted: it was never acknowledged and is dropped on open.
//! A bad line before the last is damage, and an error: what follows it cannot be trusted to be all.

use std::path::{Path, PathBuf};

use bonded_model::digest;

use crate::disk::{Disk, DiskError, DiskFault, Handle, LockAttempt};

/// A journal of a million steps stays below; it is read whole.
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Longer names do not fit every file system.
const NAME_BYTES_MAX: usize = 128;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The name is none.
    #[error("{name:?} is no journal name; expected letters, digits, - and _ with inner dots")]
    Name {
        /// As given, cut.
        name: String,
    },
    /// Another run has it open.
    #[error("journal {} is in use by another run", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A record before the last one is damaged.
    #[error("journal {} is damaged in record {record}; move it away to start afresh", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        record: usize,
    },
    /// A payload has a newline.
    #[error("a record of journal {} would have a newline in it", path.display())]
    Newline {
        /// The file.
        path: PathBuf,
    },
    /// A call on the file system failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl JournalError {
    /// The failed call on the file system behind this error, if there is one.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Disk(error) => Some(error),
            _ => None,
        }
    }
}

/// An open journal; no other run can open it meanwhile.
#[derive(Debug)]
pub struct Journal {
    handle: Handle,
    records: Vec<Vec<u8>>,
    /// Where the next record goes.
    bytes: u64,
}

impl Journal {
    pub(crate) fn open(disk: &Disk, directory: &Path, name: &str) -> Result<Self, JournalError> {
        let path = path_of(directory, name)?;
        let handle = disk.open_or_create(&path)?;
        if handle.try_lock()? == LockAttempt::HeldByAnother {
            return Err(JournalError::InUse { path });
        }
        disk.sync_directory(directory)?;
        let content = disk.read(&path, JOURNAL_BYTES_MAX)?;
        let (records, bytes) =
            parse(&content).map_err(|record| JournalError::Damaged { path, record })?;
        if bytes < u64::try_from(content.len()).unwrap_or(u64::MAX) {
            handle.truncate(bytes)?;
            handle.sync()?;
        }
        Ok(Self { handle, records, bytes })
    }

    /// The records of a journal that may be in use, or not be there at all; nothing is changed.
    pub(crate) fn peek(
        disk: &Disk,
        directory: &Path,
        name: &str,
    ) -> Result<Vec<Vec<u8>>, JournalError> {
        let path = path_of(directory, name)?;
        match disk.read(&path, JOURNAL_BYTES_MAX) {
            Ok(content) => match parse(&content) {
                Ok((records, _)) => Ok(records),
                Err(record) => Err(JournalError::Damaged { path, record }),
            },
            Err(error) if error.fault() == DiskFault::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Every record, oldest first.
    pub fn records(&self) -> &[Vec<u8>] {
        &self.records
    }

    /// Adds a record. It survives a crash of the program at once, and power loss after
    /// [`Journal::sync`].
    ///
    /// # Errors
    /// [`JournalError::Newline`], or a failed call on the disk.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        if payload.contains(&b'\n') {
            return Err(JournalError::Newline { path: self.handle.path().to_owned() });
        }
        let line = [check(payload).as_bytes(), b" ", payload, b"\n"].concat();
        // At a position, so that a record that was half written is overwritten by the next one.
        self.handle.write_at(self.bytes, &line)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        self.records.push(payload.to_owned());
        Ok(())
    }

    /// Makes every record durable.
    ///
    /// # Errors
    /// A failed call on the disk.
    pub fn sync(&self) -> Result<(), JournalError> {
        Ok(self.handle.sync()?)
    }
}

fn path_of(directory: &Path, name: &str) -> Result<PathBuf, JournalError> {
    match is_name(name) {
        true => Ok(directory.join(name)),
        false => Err(JournalError::Name { name: name.chars().take(80).collect() }),
    }
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let inner_dots = !name.starts_with('.') && !name.ends_with('.');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && inner_dots && name.bytes().all(legal)
}

fn check(payload: &[u8]) -> String {
    let hash = blake3::hash(payload);
    digest::encode(hash.as_bytes().first_chunk::<16>().expect("BLAKE3 has 32 bytes"))
}

/// The records and where they end, or the number of the first damaged one.
fn parse(content: &[u8]) -> Result<(Vec<Vec<u8>>, u64), usize> {
    let mut records = Vec::new();
    let mut end = 0;
    let mut lines = content.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        match record(line) {
            Some(payload) => records.push(payload.to_owned()),
            None if lines.peek().is_none() => break,
            None => return Err(records.len() + 1),
        }
        end += line.len();
    }
    Ok((records, u64::try_from(end).unwrap_or(u64::MAX)))
}

fn record(line: &[u8]) -> Option<&[u8]> {
    let (found, payload) = line.strip_suffix(b"\n")?.split_first_chunk::<32>()?;
    let payload = payload.strip_prefix(b" ")?;
    (found == check(payload).as_bytes()).then_some(payload)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files by hand")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use tempfile::TempDir;

    fn open(directory: &TempDir) -> Result<Journal, JournalError> {
        Journal::open(&Disk::default(), directory.path(), "run-1")
    }

    /// A journal with these records, and where its file lies.
    fn written(records: &[&[u8]]) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(&directory).unwrap();
        records.iter().for_each(|record| journal.append(record).unwrap());
        journal.sync().unwrap();
        assert_eq!(journal.records(), records);
        let path = directory.path().join("run-1");
        (directory, path)
    }

    #[test]
    fn records_come_back_in_order() {
        let (directory, _) = written(&[b"{\"a\":1}", b"", b"\xff\x00"]);
        let mut journal = open(&directory).unwrap();
        assert_eq!(journal.records(), [&b"{\"a\":1}"[..], b"", b"\xff\x00"]);
        journal.append(b"more").unwrap();
        drop(journal);
        assert_eq!(open(&directory).unwrap().records().len(), 4);
    }

    #[test]
    fn a_torn_tail_is_dropped_wherever_it_was_torn() {
        let (_directory, path) = written(&[b"one", b"two"]);
        let whole = fs::read(&path).unwrap();
        let first = whole.len() / 2;
        for cut in first..whole.len() {
            let (directory, path) = written(&[]);
            fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = open(&directory).unwrap();
            assert_eq!(journal.records(), [b"one"], "cut at {cut}");
            journal.append(b"three").unwrap();
            drop(journal);
            assert_eq!(open(&directory).unwrap().records(), [&b"one"[..], b"three"]);
        }
        let (directory, path) = written(&[]);
        fs::write(&path, [&whole[..], &[0; 100]].concat()).unwrap();
        assert_eq!(open(&directory).unwrap().records().len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_flipped_bit_is_never_read_as_a_record(at in 0_usize..300, bit in 0_u8..8) {
            let records: [&[u8]; 5] = [b"one", b"two", b"three", b"four", b"five"];
            let (directory, path) = written(&records);
            let mut bytes = fs::read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            match open(&directory) {
                Ok(journal) => prop_assert_eq!(journal.records(), &records[..4]),
                Err(JournalError::Damaged { record, .. }) => prop_assert!((1..=5).contains(&record)),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }

    #[test]
    fn one_run_at_a_time() {
        let (directory, _) = written(&[]);
        let first = open(&directory).unwrap();
        assert!(matches!(open(&directory), Err(JournalError::InUse { .. })));
        drop(first);
        assert!(matches!(
            open(&directory).unwrap().append(b"a\nb"),
            Err(JournalError::Newline { .. })
        ));
    }

    #[test]
    fn names_stay_in_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        let long = "a".repeat(129);
        for name in ["", ".", "..", "a/b", "/a", ".a", "a.", "a b", "\u{e4}", "a\0", &long] {
            let opened = Journal::open(&Disk::default(), directory.path(), name);
            assert!(matches!(opened, Err(JournalError::Name { .. })), "{name:?}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
