//! The seam between facts and the database that holds them.
//!
//! An engine maps 32 bytes on a shelf to a record and knows neither what a record says nor what to do about
//! damage. Every call opens the database, compares its tally, works and closes it: nothing that an
//! engine left half-done is looked at again. Calls may panic; who calls is guarded.

use std::error::Error;
use std::fmt;

use bonded_model::Digest;

use super::tally::Tally;
use crate::disk::DiskError;

/// Why the facts database gave no answer, or could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// Another process has it open, or was killed while it had; nothing is wrong with it.
    #[error("another process has it open, or was killed while it had")]
    InUse,
    /// The operating system does not let this process at it.
    #[error("it cannot be reached")]
    OutOfReach(#[source] Box<dyn Error + Send + Sync>),
    /// Its engine says that it is damaged.
    #[error("it is damaged")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// Its engine panicked, as engines do on some damage.
    #[error("its engine panicked")]
    Panic,
    /// It is smaller or older than the file beside it says.
    #[error("it has {found} records of {expected}, or has lost its last commits")]
    Lost {
        /// How many records there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The file beside it is damaged.
    #[error("the record count beside it fails its check")]
    Tally,
    /// A record is not what was written.
    #[error("the record of {0} fails its check")]
    Record(Digest),
    /// A key is no digest.
    #[error("it has a key of {bytes} bytes")]
    Key {
        /// How long the key is.
        bytes: usize,
    },
}

/// Takes the records that an engine finds: key and record.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), FactsError>;

/// Makes a new record from the one that is held, if any is.
pub(crate) type Update<'a> = &'a mut dyn FnMut(&Digest, Option<&[u8]>) -> Vec<u8>;

/// What a record is about. Each shelf has keys of its own, so that large records are not among small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shelf {
    /// Blobs, by their SHA-256.
    Blobs,
    /// What others keep here, by keys that they make.
    Kept,
}

/// A database of records. `least` is what the file beside it says that it has.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// The records on a shelf of those of these keys that have one. No database has none.
    fn get_many(
        &self,
        least: Tally,
        keys: (Shelf, &[Digest]),
        each: Each<'_>,
    ) -> Result<(), FactsError>;

    /// Every record of a blob, in no particular order.
    fn for_each(&self, least: Tally, each: Each<'_>) -> Result<(), FactsError>;

    /// Writes a record for each of these keys, of which there are no two the same, in one commit, and
    /// makes the database if there is none.
    fn put_many(
        &self,
        least: Tally,
        keys: (Shelf, &[Digest]),
        update: Update<'_>,
    ) -> Result<Tally, FactsError>;

    /// Removes the database; none is fine.
    fn remove(&self) -> Result<(), DiskError>;

    /// A second database, in which this one is built anew.
    fn beside(&self) -> Box<dyn Engine>;

    /// Puts that second database in the place of this one. Who has this one open, keeps it.
    fn take_over(&self) -> Result<(), DiskError>;
}

/// What a database begins a commit with, given what it says itself and what the file beside it says.
pub(super) fn base_of(
    least: Tally,
    found: Option<Tally>,
    existed: Existed,
) -> Result<Tally, FactsError> {
    match (found, existed) {
        (Some(found), _) => least.check(found).map(|()| found),
        (None, Existed::No) => Ok(Tally { generation: least.generation, count: 0 }),
        (None, Existed::Yes) => least.check(Tally::default()).map(|()| Tally::default()),
    }
}

/// Whether there was a database before it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existed {
    Yes,
    No,
}

/// A database whose own count of its records disagrees with its tally has lost or made up some.
pub(super) fn check_count(tally: Tally, found: u64) -> Result<(), FactsError> {
    if tally.count == found {
        return Ok(());
    }
    Err(FactsError::Lost { expected: tally.count, found })
}
