//! Blobs on their way out: none is sent before its bytes were checked against their digest.
//!
//! A small blob is read and checked whole, each time. A large one is hashed once, then held open for
//! positional reads; at most [`OPEN_COUNT_MAX`] are held, the one unused for longest is closed first
//! and checked again when it is wanted again. Clients that ask for the same blob at the same time
//! wait for one check, and few checks run side by side.
//!
//! A file that somebody has written to after its check is closed and checked again, and a client that is in
//! the middle of it is cut off. What this does not see is a disk that gives other bytes without anybody
//! having written; `fsck` is the tool that looks again.
//!
//! Locks: one mutex over the table of open blobs, never held across an await, guards nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bonded_model::media_type::OCTET_STREAM;
use bonded_model::{Descriptor, Digest, MediaType};
use bonded_store::{StoreError, VerifiedBlob};
use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinError;

use crate::bridge::blocking;
use crate::site::Site;

/// Up to this size a blob is read whole: one trip over the bridge, and bytes checked in memory.
pub(crate) const SMALL_BYTES_MAX: u64 = 256 * 1024;

/// Open files that are held for whoever asks next. A connection can hold one more that was given up
/// here while it was being sent; `server` counts them together.
pub(crate) const OPEN_COUNT_MAX: usize = 128;

/// Checks side by side: each reads a whole file and fills a core.
const CHECK_COUNT_MAX: usize = 4;

/// Why a blob cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error("the store does not give the published bytes")]
    Store(#[source] Box<StoreError>),
    #[error("the check of the published bytes did not end")]
    Ended(#[from] JoinError),
}

impl From<StoreError> for BlobError {
    fn from(source: StoreError) -> Self {
        Self::Store(Box::new(source))
    }
}

/// A checked blob.
#[derive(Clone, Debug)]
pub(crate) enum Checked {
    /// All its bytes.
    Small(Bytes),
    /// Open for reading.
    Large(Arc<VerifiedBlob>),
}

type Slot = Arc<OnceCell<Arc<VerifiedBlob>>>;

/// The large blobs that were checked, and the permits to check more.
#[derive(Debug)]
pub(crate) struct Blobs {
    open: Mutex<Open>,
    checks: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Open {
    slots: BTreeMap<Digest, (u64, Slot)>,
    clock: u64,
}

impl Blobs {
    pub(crate) fn new() -> Self {
        Self { open: Mutex::default(), checks: Arc::new(Semaphore::new(CHECK_COUNT_MAX)) }
    }

    /// The blob, after its bytes were found to be the named ones.
    pub(crate) async fn check(
        &self,
        site: &Arc<Site>,
        digest: Digest,
        size: u64,
    ) -> Result<Checked, BlobError> {
        let site = Arc::clone(site);
        let blob = Descriptor::new(MediaType::known(OCTET_STREAM), digest, size);
        if size <= SMALL_BYTES_MAX {
            let bytes = blocking(move || site.snapshot().read(&blob, SMALL_BYTES_MAX)).await??;
            return Ok(Checked::Small(bytes.into()));
        }
        let slot = self.slot(&digest);
        let open = slot.get_or_try_init(|| self.check_large(site.clone(), blob.clone())).await?;
        // One call that does not wait for the disk; an open file can be asked.
        if open.is_unchanged().is_ok_and(|unchanged| unchanged) {
            return Ok(Checked::Large(Arc::clone(open)));
        }
        self.forget(&digest, &slot);
        let slot = self.slot(&digest);
        let open = slot.get_or_try_init(|| self.check_large(site, blob)).await?;
        Ok(Checked::Large(Arc::clone(open)))
    }

    /// Closes a blob for those who ask next, unless somebody else has done so already.
    fn forget(&self, digest: &Digest, stale: &Slot) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.slots.get(digest).is_some_and(|(_, slot)| Arc::ptr_eq(slot, stale)) {
            open.slots.remove(digest);
        }
    }

    /// The permit goes with the work, so that clients which leave cannot pile checks up.
    async fn check_large(
        &self,
        site: Arc<Site>,
        blob: Descriptor,
    ) -> Result<Arc<VerifiedBlob>, BlobError> {
        let permit = Arc::clone(&self.checks).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let checked = blocking(move || {
            let checked = site.snapshot().verify_blob(&blob);
            drop(permit);
            checked
        });
        Ok(Arc::new(checked.await??))
    }

    fn slot(&self, digest: &Digest) -> Slot {
        // A thread that panicked while it held the lock has left a whole table behind.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.slot(digest, OPEN_COUNT_MAX)
    }
}

impl Open {
    /// The slot of a digest, made if need be; then the one unused for longest goes.
    fn slot(&mut self, digest: &Digest, count_max: usize) -> Slot {
        self.clock += 1;
        let (used, slot) = self.slots.entry(*digest).or_default();
        *used = self.clock;
        let slot = Arc::clone(slot);
        if self.slots.len() > count_max {
            let oldest = self.slots.iter().min_by_key(|(_, (used, _))| *used);
            let oldest = oldest.map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.slots.remove(&digest));
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_unused_for_longest_goes_first() {
        let mut open = Open::default();
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| Digest::sha256_of(bytes));
        let slot_of_a = open.slot(&a, 2);
        open.slot(&b, 2);
        assert!(Arc::ptr_eq(&slot_of_a, &open.slot(&a, 2)));
        open.slot(&c, 2);
        assert!(Arc::ptr_eq(&slot_of_a, &open.slot(&a, 2)));
        let mut held: Vec<&Digest> = open.slots.keys().collect();
        held.sort_by_key(|digest| digest.hex());
        let mut expected = vec![&a, &c];
        expected.sort_by_key(|digest| digest.hex());
        assert_eq!(held, expected);
    }
}
