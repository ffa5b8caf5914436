//! The facts database: what can be recomputed from the blobs and is worth keeping.
//!
//! ```text
//! bonded/facts.redb         the database: records (see `record`) by the SHA-256 of blobs, and what others keep
//! bonded/facts.redb.count   what it must have at least (see `tally`)
//! bonded/facts.redb.new     a rebuild under way, which holds the lock of the file above (flock)
//! ```
//!
//! With the cargo feature `sled` the same files are called `facts.sled…`, and the database is a
//! directory. Where the disk is in memory, so is the database.
//!
//! The database is a cache and nothing else. No engine checks all that it reads, and some panic on
//! damage or open a damaged database as an empty one; so each record carries its own check, a count is
//! kept outside, every call is guarded, and whatever goes wrong leads to an empty answer and a notice,
//! and the database is made anew by the next writer. No caller ever fails because of it, and none may
//! take "not known" for "not held". One process writes at a time.

mod engine;
#[cfg(test)]
mod memory;
mod rebuild;
mod record;
#[cfg(any(test, not(feature = "sled")))]
mod redb;
#[cfg(feature = "sled")]
mod sled;
mod tally;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files by hand")]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bonded_model::Digest;

use crate::disk::Disk;

pub use engine::FactsError;
pub(crate) use rebuild::look;
pub use rebuild::{RebuildProgress, RebuildReport, rebuild};
pub use record::BlobFacts;

use engine::{Engine, Shelf, Update};
use record::KEPT_BYTES_MAX;
use tally::{Tally, TallyFile};

/// The facts of one store.
pub struct Facts {
    path: PathBuf,
    engine: Box<dyn Engine>,
    beside: TallyFile,
    notice: Mutex<Option<String>>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Facts {
    pub(crate) fn new(path: &Path, disk: Disk) -> Self {
        #[cfg(test)]
        if !disk.is_real() {
            return Self::with_engine(path, disk, Box::<memory::Memory>::default());
        }
        let engine = engine_at(path, disk.clone());
        Self::with_engine(path, disk, engine)
    }

    fn with_engine(path: &Path, disk: Disk, engine: Box<dyn Engine>) -> Self {
        let beside = TallyFile::beside(path, disk);
        Self { path: path.to_owned(), engine, beside, notice: Mutex::default() }
    }

    /// What is known about a blob; `None` says nothing about whether it is held.
    pub fn get(&self, blob: &Digest) -> Option<BlobFacts> {
        self.get_many(std::slice::from_ref(blob)).remove(blob)
    }

    /// What is known about each of these blobs. Blobs that nothing is known about are left out.
    pub fn get_many(&self, blobs: &[Digest]) -> BTreeMap<Digest, BlobFacts> {
        let mut found = BTreeMap::new();
        let read = self.guarded(|least| {
            self.engine.get_many(least, (Shelf::Blobs, blobs), &mut |key, record| {
                let (blob, facts) = decode(key, record)?;
                found.insert(blob, facts);
                Ok(())
            })
        });
        match read {
            Ok(()) => found,
            Err(error) => {
                self.discard(&error);
                BTreeMap::new()
            }
        }
    }

    /// Everything that is known, in no particular order. After a failure, which [`Facts::notice`]
    /// tells, there may be more that `each` was not called for.
    pub fn for_each(&self, each: &mut dyn FnMut(&Digest, &BlobFacts)) {
        let read = self.guarded(|least| {
            self.engine.for_each(least, &mut |key, record| {
                let (blob, facts) = decode(key, record)?;
                each(&blob, &facts);
                Ok(())
            })
        });
        if let Err(error) = read {
            self.discard(&error);
        }
    }

    /// Keeps facts; what was known before and is not among them stays known. Where that is impossible,
    /// they are computed again next time.
    pub fn put_many(&self, facts: &BTreeMap<Digest, BlobFacts>) {
        if facts.is_empty() {
            return;
        }
        let blobs: Vec<Digest> = facts.keys().copied().collect();
        let write =
            || self.write((Shelf::Blobs, &blobs), &mut |blob, held| over(facts, blob, held));
        let Err(error) = write() else { return };
        if self.discard(&error) == Discarded::Yes
            && let Err(error) = write()
        {
            self.note(&error);
        }
    }

    /// What somebody keeps by that key; `None` says nothing about whether anybody did.
    pub fn kept(&self, key: &Digest) -> Option<Vec<u8>> {
        let mut found = None;
        let read = self.guarded(|least| {
            self.engine.get_many(least, (Shelf::Kept, &[*key]), &mut |_, record| {
                found = Some(record::decode_kept(key, record).ok_or(FactsError::Record(*key))?);
                Ok(())
            })
        });
        if let Err(error) = read {
            self.discard(&error);
            return None;
        }
        found
    }

    /// Keeps bytes by a key, in place of what was kept by it before: something that can be computed again,
    /// and that a rebuild forgets. More than 8 MiB are not kept. What was made by somebody else,
    /// the caller has to find out: the database vouches for nothing.
    pub fn keep(&self, key: &Digest, bytes: &[u8]) {
        if bytes.len() > KEPT_BYTES_MAX {
            return;
        }
        let keys = (Shelf::Kept, std::slice::from_ref(key));
        let write = || self.write(keys, &mut |key, _| record::encode_kept(key, bytes));
        match write() {
            // Nothing is lost where nothing can be kept.
            Ok(()) | Err(FactsError::InUse | FactsError::OutOfReach(_)) => {}
            Err(error) if self.discard(&error) == Discarded::Yes => {
                if let Err(error) = write() {
                    self.note(&error);
                }
            }
            Err(_cannot_be_removed) => {} // the notice has been given
        }
    }

    /// What went wrong since the store was opened, as one line for people; `None` if nothing did.
    pub fn notice(&self) -> Option<String> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, keys: (Shelf, &[Digest]), update: Update<'_>) -> Result<(), FactsError> {
        let tally = self.guarded(|least| self.engine.put_many(least, keys, update))?;
        // Should this fail, the file says less than it could, and nothing that is wrong.
        self.beside.write(tally).map_err(|error| FactsError::OutOfReach(error.into()))
    }

    fn guarded<T>(
        &self,
        call: impl FnOnce(Tally) -> Result<T, FactsError>,
    ) -> Result<T, FactsError> {
        let least = self.beside.read()?;
        guarded(|| call(least))
    }

    /// Removes a database that is damaged, not one that is merely in use or out of reach.
    fn discard(&self, error: &FactsError) -> Discarded {
        match error {
            FactsError::InUse => return Discarded::No,
            FactsError::OutOfReach(_) => {
                self.note(error);
                return Discarded::No;
            }
            _ => self.note(error),
        }
        let removed = self.engine.remove().and_then(|()| match error {
            FactsError::Tally => self.beside.clear(),
            // The next database goes on counting from what it says.
            _ => Ok(()),
        });
        match removed {
            Ok(()) => Discarded::Yes,
            Err(_read_only) => Discarded::No, // the notice has been given
        }
    }

    fn note(&self, error: &FactsError) {
        let line = format!(
            "the facts database {} cannot be used ({}); facts are computed again",
            self.path.display(),
            chain(error)
        );
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discarded {
    Yes,
    No,
}

/// Nothing that the engine leaves half-done is looked at again: each call opens the database anew.
fn guarded<T>(call: impl FnOnce() -> Result<T, FactsError>) -> Result<T, FactsError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(FactsError::Panic))
}

#[cfg(not(feature = "sled"))]
fn engine_at(path: &Path, disk: Disk) -> Box<dyn Engine> {
    Box::new(redb::Redb::new(path, disk))
}

#[cfg(feature = "sled")]
fn engine_at(path: &Path, disk: Disk) -> Box<dyn Engine> {
    Box::new(sled::Sled::new(path, disk))
}

/// Writes facts over what is known, in one commit.
fn put(
    engine: &dyn Engine,
    least: Tally,
    facts: &BTreeMap<Digest, BlobFacts>,
) -> Result<Tally, FactsError> {
    let blobs: Vec<Digest> = facts.keys().copied().collect();
    engine.put_many(least, (Shelf::Blobs, &blobs), &mut |blob, held| over(facts, blob, held))
}

/// The record of a blob, of which some facts may be known already.
fn over(facts: &BTreeMap<Digest, BlobFacts>, blob: &Digest, held: Option<&[u8]>) -> Vec<u8> {
    let held = held.and_then(|record| record::decode(blob, record));
    let new = facts.get(blob).expect("the keys are those of the facts").clone();
    record::encode(blob, &new.or_known(held))
}

fn decode(key: &[u8], record: &[u8]) -> Result<(Digest, BlobFacts), FactsError> {
    let Ok(blob) = <[u8; 32]>::try_from(key).map(Digest::from_sha256) else {
        return Err(FactsError::Key { bytes: key.len() });
    };
    let facts = record::decode(&blob, record).ok_or(FactsError::Record(blob))?;
    Ok((blob, facts))
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let texts = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    texts.collect::<Vec<_>>().join(": ")
}
