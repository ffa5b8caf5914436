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
//!
//! A rewrite writes `bonded/journal/.<name>.new`, which is no journal's name, and renames it over the
//! journal; one that a crash left behind is removed by the next rewrite.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bonded_model::digest;

use crate::disk::{Disk, DiskError, DiskFault, Handle, LockAttempt};

/// It is read whole. About half a million records of 400 bytes each fit; who appends more writes the
/// ones that still count anew with [`Journal::rewrite`].
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// As every file that is opened without saying so, less the umask.
const JOURNAL_MODE: u32 = 0o666;

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
    /// A record would not fit.
    #[error(
        "journal {} would have more than {limit} bytes; move it away to start afresh",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What a journal has at most.
        limit: u64,
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
    disk: Disk,
    directory: PathBuf,
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
        // The lock is on a file, and a rewrite puts another one in its place.
        if !handle.read_state()?.is_same_file(&disk.read_state(&path)?) {
            return Err(JournalError::InUse { path });
        }
        disk.sync_directory(directory)?;
        let content = disk.read(&path, JOURNAL_BYTES_MAX)?;
        let (records, bytes) =
            parse(&content).map_err(|record| JournalError::Damaged { path, record })?;
        if bytes < length(&content) {
            handle.truncate(bytes)?;
            handle.sync()?;
        }
        let directory = directory.to_owned();
        Ok(Self { disk: disk.clone(), directory, handle, records, bytes })
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
    /// [`JournalError::Newline`], [`JournalError::Full`], or a failed call on the disk.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        self.append_below(payload, JOURNAL_BYTES_MAX)
    }

    fn append_below(&mut self, payload: &[u8], limit: u64) -> Result<(), JournalError> {
        let line = self.line(payload)?;
        let bytes = self.bytes.saturating_add(length(&line));
        if bytes > limit {
            return Err(JournalError::Full { path: self.handle.path().to_owned(), limit });
        }
        // At a position, so that a record that was half written is overwritten by the next one.
        self.handle.write_at(self.bytes, &line)?;
        self.bytes = bytes;
        self.records.push(payload.to_owned());
        Ok(())
    }

    /// Puts these records in the place of all others, durably; after a crash there are the old ones
    /// or the new ones. No other run can open the journal meanwhile.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn rewrite(&mut self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        let path = self.handle.path().to_owned();
        let lines: Result<Vec<_>, _> = records.iter().map(|record| self.line(record)).collect();
        let content = lines?.concat();
        if length(&content) > JOURNAL_BYTES_MAX {
            return Err(JournalError::Full { path, limit: JOURNAL_BYTES_MAX });
        }
        let staged = staged_path(&path);
        self.disk.remove(&staged)?;
        let handle = self.disk.create(&staged, JOURNAL_MODE)?;
        // Before the name is the journal's, so that nobody else can get the lock in between.
        if handle.try_lock()? == LockAttempt::HeldByAnother {
            return Err(JournalError::InUse { path });
        }
        handle.write_all(&content)?;
        handle.sync()?;
        self.disk.rename(&staged, &path)?;
        self.handle = handle.renamed(path);
        (self.records, self.bytes) = (records, length(&content));
        self.disk.sync_directory(&self.directory).map_err(Into::into)
    }

    fn line(&self, payload: &[u8]) -> Result<Vec<u8>, JournalError> {
        if payload.contains(&b'\n') {
            return Err(JournalError::Newline { path: self.handle.path().to_owned() });
        }
        let head = format!("{} {} ", check(payload), payload.len());
        Ok([head.as_bytes(), payload, b"\n"].concat())
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

/// Where a journal is written anew. No journal is called that: names do not begin with a dot.
fn staged_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
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
    use crate::disk::Action;
    use crate::disk::faulty::Failure;
    use crate::disk::memory::{Loss, Memory};
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
    fn a_record_that_would_pass_the_limit_is_refused() {
        // Nothing stopped a journal from growing until it could not be opened any more.
        let (directory, path) = written(&[b"one"]);
        let limit = fs::metadata(&path).unwrap().len() * 2;
        let mut journal = open(&directory).unwrap();
        for refused in ["four", "0123456789"] {
            let full = journal.append_below(refused.as_bytes(), limit).unwrap_err();
            assert!(matches!(full, JournalError::Full { limit: at, .. } if at == limit), "{full}");
        }
        journal.append_below(b"two", limit).unwrap();
        assert!(matches!(journal.append_below(b"", limit), Err(JournalError::Full { .. })));
        drop(journal);
        assert_eq!(open(&directory).unwrap().records(), [b"one", b"two"]);
    }

    #[test]
    fn a_rewritten_journal_has_the_new_records_and_its_lock() {
        let (directory, path) = written(&[b"one", b"two", b"three"]);
        fs::write(staged_path(&path), "left behind by a crash").unwrap();
        let mut journal = open(&directory).unwrap();
        let refused = journal.rewrite(vec![b"a\nb".to_vec()]);
        assert!(matches!(refused, Err(JournalError::Newline { .. })));
        assert_eq!(journal.records().len(), 3);
        journal.rewrite(vec![b"three".to_vec()]).unwrap();
        assert!(matches!(open(&directory), Err(JournalError::InUse { .. })));
        journal.append(b"four").unwrap();
        assert_eq!(journal.records(), [&b"three"[..], b"four"]);
        drop(journal);
        assert_eq!(open(&directory).unwrap().records(), [&b"three"[..], b"four"]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_rewrite_that_crashes_anywhere_leaves_the_old_or_the_new_records() {
        let rewrite = |disk: &Disk, directory: &TempDir| {
            let mut journal = Journal::open(disk, directory.path(), "run-1")?;
            journal.rewrite(vec![b"two".to_vec()])
        };
        let (mut at, mut seen) = (1, (0, 0));
        loop {
            let (directory, _) = written(&[b"one", b"two"]);
            let ended = rewrite(&Disk::default().failing(at, Failure::Crash), &directory);
            match open(&directory).unwrap().records() {
                [one, two] if one == b"one" && two == b"two" => seen.0 += 1,
                [two] if two == b"two" => seen.1 += 1,
                other => panic!("call {at}: {other:?}"),
            }
            if ended.is_ok() {
                break;
            }
            at += 1;
        }
        assert!(at > 6 && seen.0 > 4 && seen.1 > 1, "{at} {seen:?}");
    }

    /// A disk in memory with a journal of these records, of which the last were not synced.
    fn in_memory(records: &[&[u8]], unsynced: &[&[u8]]) -> Memory {
        let memory = Memory::default();
        memory.disk().create_directory(Path::new("/runs")).unwrap();
        memory.disk().sync_directory(Path::new("/")).unwrap();
        let mut journal = open_in_memory(&memory.disk()).unwrap();
        records.iter().for_each(|record| journal.append(record).unwrap());
        journal.sync().unwrap();
        unsynced.iter().for_each(|record| journal.append(record).unwrap());
        memory
    }

    fn open_in_memory(disk: &Disk) -> Result<Journal, JournalError> {
        Journal::open(disk, Path::new("/runs"), "run-1")
    }

    fn losses() -> impl Iterator<Item = Loss> {
        std::iter::once(Loss::AllUnsynced).chain((0..40).map(Loss::Random))
    }

    #[test]
    fn what_was_synced_survives_a_power_loss() {
        for loss in losses() {
            let memory = in_memory(&[b"one", b"two"], &[b"three"]).after_power_loss(loss);
            match open_in_memory(&memory.disk()).unwrap().records() {
                [one, two] | [one, two, _] => {
                    assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]))
                }
                other => panic!("{loss:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_rewrite_that_loses_power_anywhere_leaves_the_old_or_the_new_records() {
        let (old, new) = ([b"one".to_vec(), b"two".to_vec()], [b"two".to_vec()]);
        for at in 1.. {
            let memory = in_memory(&[b"one", b"two"], &[]);
            let disk = memory.disk().failing(at, Failure::Crash);
            let ended = open_in_memory(&disk).and_then(|mut journal| journal.rewrite(new.to_vec()));
            for loss in losses() {
                let lost = memory.after_power_loss(loss);
                let journal = open_in_memory(&lost.disk()).unwrap();
                let is_old = journal.records() == old && ended.is_err();
                assert!(
                    is_old || journal.records() == new,
                    "call {at}, {loss:?}: {ended:?} {journal:?}"
                );
            }
            if disk.calls() < at {
                break;
            }
        }
    }

    #[test]
    fn a_journal_that_was_rewritten_while_it_was_opened_is_in_use() {
        let (directory, path) = written(&[b"one"]);
        let (_other, another) = written(&[b"one"]);
        let disk = Disk::watched(move |action, _| {
            if action == Action::Lock {
                fs::rename(&another, &path).unwrap();
            }
        });
        let opened = Journal::open(&disk, directory.path(), "run-1");
        assert!(matches!(opened, Err(JournalError::InUse { .. })), "{opened:?}");
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
