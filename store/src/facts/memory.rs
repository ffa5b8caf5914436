//! The engine of stores whose disk is in memory: a map that ends with the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonded_model::Digest;

use super::engine::{Each, Engine, Existed, FactsError, Shelf, Update, base_of};
use super::tally::Tally;
use crate::disk::DiskError;

#[derive(Debug, Default)]
pub(super) struct Memory {
    here: Slot,
    beside: Slot,
}

/// A database, or none.
type Slot = Arc<Mutex<Option<Records>>>;

#[derive(Debug, Default)]
struct Records {
    records: BTreeMap<(Shelf, Digest), Vec<u8>>,
    tally: Tally,
}

impl Memory {
    /// The map is whole between any two calls on it, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, Option<Records>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn get_many(
        &self,
        least: Tally,
        (shelf, keys): (Shelf, &[Digest]),
        each: Each<'_>,
    ) -> Result<(), FactsError> {
        let held = self.lock();
        let Some(held) = held.as_ref() else { return Ok(()) };
        least.check(held.tally)?;
        for key in keys {
            if let Some(record) = held.records.get(&(shelf, *key)) {
                each(key.as_bytes(), record)?;
            }
        }
        Ok(())
    }

    fn for_each(&self, least: Tally, each: Each<'_>) -> Result<(), FactsError> {
        let held = self.lock();
        let Some(held) = held.as_ref() else { return Ok(()) };
        least.check(held.tally)?;
        let mut blobs = held.records.iter().filter(|((shelf, _), _)| *shelf == Shelf::Blobs);
        blobs.try_for_each(|((_, blob), record)| each(blob.as_bytes(), record))
    }

    fn put_many(
        &self,
        least: Tally,
        (shelf, keys): (Shelf, &[Digest]),
        update: Update<'_>,
    ) -> Result<Tally, FactsError> {
        let mut held = self.lock();
        let existed = if held.is_some() { Existed::Yes } else { Existed::No };
        let base = base_of(least, held.as_ref().map(|held| held.tally), existed)?;
        let Records { records, tally } = held.get_or_insert_default();
        for key in keys {
            let record = update(key, records.get(&(shelf, *key)).map(Vec::as_slice));
            records.insert((shelf, *key), record);
        }
        *tally = base.next(u64::try_from(records.len()).unwrap_or(u64::MAX));
        Ok(*tally)
    }

    fn remove(&self) -> Result<(), DiskError> {
        *self.lock() = None;
        Ok(())
    }

    fn beside(&self) -> Box<dyn Engine> {
        Box::new(Self { here: self.beside.clone(), beside: Slot::default() })
    }

    fn take_over(&self) -> Result<(), DiskError> {
        let new = self.beside.lock().unwrap_or_else(PoisonError::into_inner).take();
        *self.lock() = new;
        Ok(())
    }
}
