//! The facts database: what can be recomputed from the blobs and is worth keeping.
//!
//! `bonded/facts.redb`, one table: the 32 bytes of a blob's SHA-256 to a record
//!
//! ```text
//! 0   check    16 bytes: BLAKE3 of key and of all that follows, cut
//! 16  blake3   32 bytes
//! 48  sha512   64 bytes, or none
//! ```
//!
//! The database is a cache and nothing else. Its engine does not check what it reads, and panics on
//! some damage; so each record carries its own check, every call is guarded, and whatever goes wrong
//! leads to an empty answer and a notice, and the file is made anew by the next writer. No caller
//! ever fails because of it. One process writes at a time and any number read.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bonded_model::Digest;
use redb::{Builder, ConcurrencyMode, ReadableDatabase, ReadableTable, TableDefinition};

use crate::disk::{Disk, DiskFault};

const BLOBS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("blobs");

/// Records are 112 bytes; the default of 1 GiB would be the largest thing in the process.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

const CHECK_BYTES: usize = 16;

/// What is known about a blob beyond its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobFacts {
    /// BLAKE3 of its bytes.
    pub blake3: Digest,
    /// SHA-512 of its bytes, where somebody asked for it.
    pub sha512: Option<Digest>,
}

/// The facts of one store.
pub struct Facts {
    path: PathBuf,
    disk: Disk,
    notice: Mutex<Option<String>>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why the database gave no answer; ends up in the notice.
#[derive(Debug, thiserror::Error)]
enum FactsError {
    #[error("{0}")]
    Engine(#[from] redb::Error),
    #[error("its engine panicked")]
    Panic,
    #[error("the record of {0} fails its check")]
    Record(Digest),
}

impl Facts {
    pub(crate) fn new(path: &Path, disk: Disk) -> Self {
        Self { path: path.to_owned(), disk, notice: Mutex::default() }
    }

    /// What is known about a blob; `None` says nothing about whether it is held.
    pub fn get(&self, blob: &Digest) -> Option<BlobFacts> {
        self.get_many(std::slice::from_ref(blob)).remove(blob)
    }

    /// What is known about each of these blobs. Blobs that nothing is known about are left out.
    pub fn get_many(&self, blobs: &[Digest]) -> BTreeMap<Digest, BlobFacts> {
        match self.disk.read_kind(&self.path) {
            Err(error) if error.fault() == DiskFault::NotFound => return BTreeMap::new(),
            _ => {}
        }
        match guarded(|| self.read(blobs)) {
            Ok(found) => found,
            Err(error) => {
                self.discard(&error);
                BTreeMap::new()
            }
        }
    }

    /// Keeps facts. Where that is impossible, they are computed again next time.
    pub fn put_many(&self, facts: &BTreeMap<Digest, BlobFacts>) {
        if facts.is_empty() {
            return;
        }
        let Err(error) = guarded(|| self.write(facts)) else {
            return;
        };
        if self.discard(&error) == Discarded::Yes
            && let Err(error) = guarded(|| self.write(facts))
        {
            self.note(&error);
        }
    }

    /// What went wrong since the store was opened, as one line for people; `None` if nothing did.
    pub fn notice(&self) -> Option<String> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(&self, blobs: &[Digest]) -> Result<BTreeMap<Digest, BlobFacts>, FactsError> {
        let database = builder().open_read_only(&self.path).map_err(redb::Error::from)?;
        let reading = database.begin_read().map_err(redb::Error::from)?;
        let table = match reading.open_table(BLOBS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(redb::Error::from(error).into()),
        };
        let mut found = BTreeMap::new();
        for blob in blobs {
            if let Some(record) = table.get(blob.as_bytes()).map_err(redb::Error::from)? {
                let facts = decode(blob, record.value()).ok_or(FactsError::Record(*blob))?;
                found.insert(*blob, facts);
            }
        }
        Ok(found)
    }

    fn write(&self, facts: &BTreeMap<Digest, BlobFacts>) -> Result<(), FactsError> {
        let database = builder().create(&self.path).map_err(redb::Error::from)?;
        let writing = database.begin_write().map_err(redb::Error::from)?;
        {
            let mut table = writing.open_table(BLOBS).map_err(redb::Error::from)?;
            for (blob, new) in facts {
                let held = table.get(blob.as_bytes()).map_err(redb::Error::from)?;
                let held = held.and_then(|record| decode(blob, record.value()));
                // What is known stays known.
                let sha512 = new.sha512.or_else(|| held.and_then(|held| held.sha512));
                let record = encode(blob, &BlobFacts { sha512, ..*new });
                table.insert(blob.as_bytes(), record.as_slice()).map_err(redb::Error::from)?;
            }
        }
        Ok(writing.commit().map_err(redb::Error::from)?)
    }

    /// Removes a database that is damaged, not one that is merely in use or out of reach.
    fn discard(&self, error: &FactsError) -> Discarded {
        use redb::Error as Engine;
        // Another process writes, or was killed while it did: then the next writer repairs the file.
        // There is nothing wrong with it.
        if let FactsError::Engine(Engine::DatabaseAlreadyOpen | Engine::RepairAborted) = error {
            return Discarded::No;
        }
        self.note(error);
        match error {
            // Another version of this program has it open, and locks it in another way.
            FactsError::Engine(Engine::LockProtocolMismatch) => Discarded::No,
            FactsError::Engine(Engine::Io(error))
                if error.kind() != std::io::ErrorKind::InvalidData
                    && error.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                Discarded::No
            }
            _ => match self.disk.remove(&self.path) {
                Ok(()) => Discarded::Yes,
                Err(_read_only) => Discarded::No, // the notice has been given
            },
        }
    }

    fn note(&self, error: &FactsError) {
        let line = format!(
            "the facts database {} cannot be used ({error}); facts are computed again",
            self.path.display()
        );
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discarded {
    Yes,
    No,
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Nothing that the engine leaves half-done is looked at again: each call opens the file anew.
fn guarded<T>(call: impl FnOnce() -> Result<T, FactsError>) -> Result<T, FactsError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(FactsError::Panic))
}

fn check(blob: &Digest, body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = blake3::Hasher::new();
    hash.update(blob.as_bytes()).update(body);
    let mut check = [0; CHECK_BYTES];
    hash.finalize_xof().fill(&mut check);
    check
}

fn encode(blob: &Digest, facts: &BlobFacts) -> Vec<u8> {
    let sha512 = facts.sha512.as_ref().map_or(&[][..], Digest::as_bytes);
    let body = [facts.blake3.as_bytes(), sha512].concat();
    [&check(blob, &body)[..], &body].concat()
}

fn decode(blob: &Digest, record: &[u8]) -> Option<BlobFacts> {
    let (found, body) = record.split_first_chunk::<CHECK_BYTES>()?;
    let (blake3, sha512) = body.split_first_chunk::<32>()?;
    let sha512 = match sha512 {
        [] => None,
        bytes => Some(Digest::from_sha512(<[u8; 64]>::try_from(bytes).ok()?)), // another length
    };
    let facts = BlobFacts { blake3: Digest::from_blake3(*blake3), sha512 };
    (*found == check(blob, body)).then_some(facts)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files by hand")]
mod tests {
    use super::*;
    use std::fs;

    fn some_facts(count: u8) -> BTreeMap<Digest, BlobFacts> {
        let facts = (0..count).map(|number| {
            let sha512 = (number % 2 == 0).then(|| Digest::sha512_of(&[number]));
            let blake3 = Digest::from_blake3([number; 32]);
            (Digest::sha256_of(&[number]), BlobFacts { blake3, sha512 })
        });
        facts.collect()
    }

    fn facts_in(directory: &tempfile::TempDir) -> Facts {
        Facts::new(&directory.path().join("facts.redb"), Disk::default())
    }

    #[test]
    fn facts_come_back_and_what_is_known_stays_known() {
        let directory = tempfile::tempdir().unwrap();
        let facts = facts_in(&directory);
        let put = some_facts(100);
        let blobs: Vec<_> = put.keys().copied().collect();
        assert!(facts.get_many(&blobs).is_empty());
        facts.put_many(&put);
        assert_eq!(facts_in(&directory).get_many(&blobs), put);
        let (blob, known) = put.iter().find(|(_, facts)| facts.sha512.is_some()).unwrap();
        facts.put_many(&[(*blob, BlobFacts { sha512: None, ..*known })].into());
        assert_eq!(facts.get(blob), Some(*known));
        assert_eq!((facts.get(&Digest::sha256_of(b"x")), facts.notice()), (None, None));
    }

    #[test]
    fn readers_do_not_mind_a_writer() {
        let directory = tempfile::tempdir().unwrap();
        let facts = facts_in(&directory);
        let put = some_facts(50);
        facts.put_many(&put);
        let open = builder().create(&facts.path).unwrap();
        let blobs: Vec<_> = put.keys().copied().collect();
        assert_eq!(facts.get_many(&blobs), put);
        facts.put_many(&some_facts(60)); // somebody else writes: it is left for another time
        drop(open);
        assert_eq!((facts.get_many(&blobs), facts.notice()), (put, None));
    }

    #[test]
    fn damage_never_gives_a_wrong_answer_and_ends_with_a_new_database() {
        let put = some_facts(200);
        let blobs: Vec<_> = put.keys().copied().collect();
        let original = {
            let directory = tempfile::tempdir().unwrap();
            let facts = facts_in(&directory);
            facts.put_many(&put);
            fs::read(&facts.path).unwrap()
        };
        let length = original.len();
        let used: Vec<usize> = (0..length / 4096)
            .filter(|block| original[block * 4096..(block + 1) * 4096].iter().any(|b| *b != 0))
            .collect();
        let zeroed = used.iter().map(|block| {
            let mut bytes = original.clone();
            bytes[block * 4096..(block + 1) * 4096].fill(0);
            bytes
        });
        let flipped =
            used.iter().flat_map(|block| [7, 999, 2048].map(|at| block * 4096 + at)).map(|at| {
                let mut bytes = original.clone();
                bytes[at] ^= 16;
                bytes
            });
        let cut = [0, 1, 100, 4096, length / 2, length - 4096].map(|at| original[..at].to_vec());
        let foreign = [b"not a database".to_vec()];
        for damaged in zeroed.chain(flipped).chain(cut).chain(foreign) {
            let directory = tempfile::tempdir().unwrap();
            let facts = facts_in(&directory);
            fs::write(&facts.path, &damaged).unwrap();
            for (blob, found) in facts.get_many(&blobs) {
                assert_eq!(put.get(&blob), Some(&found));
            }
            facts.put_many(&put);
            facts.put_many(&put);
            assert_eq!(facts.get_many(&blobs), put, "notice: {:?}", facts.notice());
        }
    }

    #[test]
    fn what_a_killed_writer_left_is_repaired_and_not_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let facts = facts_in(&directory);
        let put = some_facts(20);
        let blobs: Vec<_> = put.keys().copied().collect();
        facts.put_many(&put);
        let open = builder().create(&facts.path).unwrap();
        let writing = open.begin_write().unwrap();
        writing.open_table(BLOBS).unwrap().insert(&[1_u8][..], &[2_u8][..]).unwrap();
        writing.commit().unwrap();
        let as_killed = fs::read(&facts.path).unwrap();
        drop(open);
        fs::write(&facts.path, &as_killed).unwrap();
        let opened = builder().open_read_only(&facts.path);
        assert!(matches!(opened, Err(redb::DatabaseError::RepairAborted)), "{:?}", opened.err());

        assert!(facts.get_many(&blobs).is_empty());
        assert_eq!(fs::read(&facts.path).unwrap(), as_killed);
        assert_eq!(facts.notice(), None);
        let one = put.iter().take(1).map(|(blob, facts)| (*blob, *facts)).collect();
        facts.put_many(&one);
        assert_eq!((facts.get_many(&blobs), facts.notice()), (put, None));
    }

    #[test]
    fn a_directory_in_its_place_fails_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let facts = facts_in(&directory);
        fs::create_dir(&facts.path).unwrap();
        facts.put_many(&some_facts(1));
        assert!(facts.get_many(&[Digest::sha256_of(&[0])]).is_empty());
        assert!(facts.notice().unwrap().contains("facts.redb"));
    }
}
