//! The default engine: one file of redb.
//!
//! `bonded/facts.redb` has three tables: `blobs`, the 32 bytes of a blob's SHA-256 to its record; `kept`, other
//! records by 32 bytes; and `meta`, with the one key `tally`. One process writes at a time and any number read beside it. redb
//! does not check the pages that it reads, and panics on some damage.

use std::path::{Path, PathBuf};

use bonded_model::Digest;
use redb::{
    Builder, ConcurrencyMode, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError,
};

use super::engine::{Each, Engine, Existed, FactsError, Shelf, Update, base_of, check_count};
use super::tally::Tally;
use crate::disk::{Disk, DiskError, DiskFault};

const BLOBS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("blobs");

const KEPT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kept");

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const TALLY: &str = "tally";

/// Records of blobs are some 120 bytes; the default of 1 GiB would be the largest thing in the process.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

type Table = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

#[derive(Debug)]
pub(super) struct Redb {
    path: PathBuf,
    disk: Disk,
}

impl Redb {
    pub(super) fn new(path: &Path, disk: Disk) -> Self {
        Self { path: path.to_owned(), disk }
    }

    fn existed(&self) -> Existed {
        match self.disk.read_kind(&self.path) {
            Err(error) if error.fault() == DiskFault::NotFound => Existed::No,
            _ => Existed::Yes, // what is wrong with it shows when it is opened
        }
    }

    fn path_beside(&self) -> PathBuf {
        self.path.with_added_extension("new")
    }

    /// Looks at the table of a shelf in one read transaction, if there is any.
    fn read(
        &self,
        least: Tally,
        shelf: Shelf,
        look: impl FnOnce(&Table) -> Result<(), FactsError>,
    ) -> Result<(), FactsError> {
        if self.existed() == Existed::No {
            return Ok(());
        }
        let database = builder().open_read_only(&self.path).map_err(redb::Error::from)?;
        let reading = database.begin_read().map_err(redb::Error::from)?;
        let tally = read_tally(&reading)?.unwrap_or_default();
        least.check(tally)?;
        let (blobs, kept) = (open(&reading, BLOBS)?, open(&reading, KEPT)?);
        let count = blobs.as_ref().map_or(Ok(0), Table::len).map_err(redb::Error::from)?;
        let more = kept.as_ref().map_or(Ok(0), Table::len).map_err(redb::Error::from)?;
        check_count(tally, count.saturating_add(more))?;
        let table = match shelf {
            Shelf::Blobs => blobs,
            Shelf::Kept => kept,
        };
        table.map_or(Ok(()), |table| look(&table))
    }
}

impl Engine for Redb {
    fn get_many(
        &self,
        least: Tally,
        (shelf, keys): (Shelf, &[Digest]),
        each: Each<'_>,
    ) -> Result<(), FactsError> {
        self.read(least, shelf, |table| {
            for key in keys {
                if let Some(record) = table.get(key.as_bytes()).map_err(redb::Error::from)? {
                    each(key.as_bytes(), record.value())?;
                }
            }
            Ok(())
        })
    }

    fn for_each(&self, least: Tally, each: Each<'_>) -> Result<(), FactsError> {
        self.read(least, Shelf::Blobs, |table| {
            for entry in table.iter().map_err(redb::Error::from)? {
                let (blob, record) = entry.map_err(redb::Error::from)?;
                each(blob.value(), record.value())?;
            }
            Ok(())
        })
    }

    fn put_many(
        &self,
        least: Tally,
        (shelf, keys): (Shelf, &[Digest]),
        update: Update<'_>,
    ) -> Result<Tally, FactsError> {
        let existed = self.existed();
        let database = builder().create(&self.path).map_err(redb::Error::from)?;
        let writing = database.begin_write().map_err(redb::Error::from)?;
        let next = {
            let (own, other) = match shelf {
                Shelf::Blobs => (BLOBS, KEPT),
                Shelf::Kept => (KEPT, BLOBS),
            };
            let mut table = writing.open_table(own).map_err(redb::Error::from)?;
            let other = writing.open_table(other).map_err(redb::Error::from)?;
            let others = other.len().map_err(redb::Error::from)?;
            let mut meta = writing.open_table(META).map_err(redb::Error::from)?;
            let base = base_of(least, tally_in(&meta)?, existed)?;
            check_count(base, others.saturating_add(table.len().map_err(redb::Error::from)?))?;
            for key in keys {
                let held = table.get(key.as_bytes()).map_err(redb::Error::from)?;
                let record = update(key, held.as_ref().map(|held| held.value()));
                drop(held); // it borrows the table
                table.insert(key.as_bytes(), record.as_slice()).map_err(redb::Error::from)?;
            }
            let count = table.len().map_err(redb::Error::from)?;
            let next = base.next(others.saturating_add(count));
            meta.insert(TALLY, &next.to_bytes()[..]).map_err(redb::Error::from)?;
            next
        };
        writing.commit().map_err(redb::Error::from)?;
        Ok(next)
    }

    fn remove(&self) -> Result<(), DiskError> {
        self.disk.remove(&self.path)
    }

    fn beside(&self) -> Box<dyn Engine> {
        Box::new(Self { path: self.path_beside(), disk: self.disk.clone() })
    }

    fn take_over(&self) -> Result<(), DiskError> {
        self.disk.rename(&self.path_beside(), &self.path)
    }
}

fn open(
    reading: &ReadTransaction,
    table: TableDefinition<'_, &'static [u8], &'static [u8]>,
) -> Result<Option<Table>, FactsError> {
    match reading.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(redb::Error::from(error).into()),
    }
}

fn read_tally(reading: &ReadTransaction) -> Result<Option<Tally>, FactsError> {
    match reading.open_table(META) {
        Ok(meta) => tally_in(&meta),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(redb::Error::from(error).into()),
    }
}

fn tally_in(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Tally>, FactsError> {
    match meta.get(TALLY).map_err(redb::Error::from)? {
        Some(tally) => Tally::from_bytes(tally.value()).map(Some).ok_or(FactsError::Tally),
        None => Ok(None),
    }
}

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder.set_cache_size(CACHE_BYTES);
    builder
}

impl From<redb::Error> for FactsError {
    fn from(error: redb::Error) -> Self {
        use std::io::ErrorKind;
        match &error {
            // Where a writer was killed, the next writer repairs the file.
            redb::Error::DatabaseAlreadyOpen | redb::Error::RepairAborted => Self::InUse,
            // Another version of this program has it open, and locks it in another way.
            redb::Error::LockProtocolMismatch => Self::OutOfReach(error.into()),
            redb::Error::Io(io) => match io.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::Damaged(error.into()),
                _ => Self::OutOfReach(error.into()),
            },
            _ => Self::Damaged(error.into()),
        }
    }
}
