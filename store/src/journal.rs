//! Journals: append-only records that survive a kill, for runs that must not repeat finished work.
//!
//! `bonded/journal/<name>`, one record a line:
//!
//! ```text
//! <32 hex digits of BLAKE3 over the payload> <length of the payload> <payload>\n
//! ```
//!
//! A payload has no newline; JSON on one line is the intended one. A last record that is cut or fails
//! its check is a write that a crash interrupted: it was never acknowledged and is dropped on open.
//! A bad record with anything behind it is damage, and an error: what is left cannot be trusted to be
//! all. The length is there to tell the one from the other where a newline was lost.

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
        let head = format!("{} {} ", check(payload), payload.len());
        let line = [head.as_bytes(), payload, b"\n"].concat();
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
    let (mut records, mut rest) = (Vec::new(), content);
    while !rest.is_empty() {
        match record(rest) {
            Some((payload, behind)) => {
                records.push(payload.to_owned());
                rest = behind;
            }
            None if is_torn(rest) => break,
            None => return Err(records.len() + 1),
        }
    }
    Ok((records, u64::try_from(content.len() - rest.len()).unwrap_or(u64::MAX)))
}

/// The check, the length and what stands behind them.
fn head(bytes: &[u8]) -> Option<(&[u8; 32], usize, &[u8])> {
    let (found, rest) = bytes.split_first_chunk::<32>()?;
    let mut parts = rest.strip_prefix(b" ")?.splitn(2, |byte| *byte == b' ');
    let length = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?; // then it is no head
    Some((found, length, parts.next()?))
}

/// The first record and what stands behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, length, rest) = head(bytes)?;
    let (payload, rest) = rest.split_at_checked(length)?;
    let behind = rest.strip_prefix(b"\n")?;
    (found == check(payload).as_bytes()).then_some((payload, behind))
}

/// Whether bytes that are no record can be the beginning of one, with nothing behind it.
fn is_torn(bytes: &[u8]) -> bool {
    let newline = bytes.iter().position(|byte| *byte == b'\n');
    let ends_here = newline.is_none_or(|at| at + 1 == bytes.len());
    let is_longer =
        head(bytes).is_some_and(|(_, length, rest)| rest.len().saturating_sub(1) > length);
    ends_here && !is_longer
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files by hand")]
mod tests {
    use super::*;
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

    #[test]
    fn no_flipped_bit_is_read_as_a_record_or_hides_more_than_the_last() {
        let records: [&[u8]; 5] = [b"one", b"", b"three", b"4 4 ", b"five"];
        let (_directory, path) = written(&records);
        let whole = fs::read(path).unwrap();
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            match parse(&bytes) {
                Ok((found, _)) => assert_eq!(found, &records[..4], "bit {bit} of byte {at}"),
                Err(record) => assert!((1..=5).contains(&record), "bit {bit} of byte {at}"),
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
