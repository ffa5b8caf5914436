//! Which epochs are kept, and everything that those need.

use bonded_model::{Algorithm, Digest};

use crate::blob::Pool;
use crate::disk::DiskError;
use crate::error::StoreError;
use crate::history;
use crate::index;
use crate::lease;
use crate::quarantine;
use crate::reach::{Reached, Visited};
use crate::references;
use crate::store::Store;

use super::{GcReport, GcRequest};

/// Marking begins anew so often if epochs come and go meanwhile.
const RETRY_COUNT: usize = 16;

/// Marks everything that the kept epochs need, and what index.json names if another tool has changed it.
/// What was marked before stays so, and costs nothing again.
///
/// The leases are read before the epochs: work that takes one in between starts from the newest epoch,
/// which is kept anyway.
pub(super) fn mark(
    store: &Store,
    request: &GcRequest<'_>,
    reached: &mut Reached,
    report: &mut GcReport,
) -> Result<(), StoreError> {
    let pool = store.pool();
    let leased = lease::live(&pool.disk, &pool.layout)?.iter().map(|lease| lease.epoch).min();
    let epochs = store.epochs()?;
    check_settled(store)?;
    let newest = store.newest()?.root;
    let (forgotten, kept) = split(&epochs, request.keep_epochs, leased);
    let read = |digest: &Digest, limit: u64| read_wherever(pool, digest, limit);
    let mut visit = |visited: Visited<'_>| match visited {
        // Blobs have SHA-256 names here: what such a manifest refers to cannot be told.
        Visited::Named(named)
            if references::is_manifest(&named.media_type)
                && named.digest.algorithm() != Algorithm::Sha256 =>
        {
            Err(StoreError::ForeignDigest { digest: named.digest })
        }
        Visited::Named(_) => Ok(()),
        Visited::BadPage(_, error) | Visited::BadManifest(_, error) => Err(error),
    };
    for epoch in kept.iter().rev() {
        let catalog = match *epoch == newest.epoch {
            true => newest.catalog,
            false => history::read_before(pool, *epoch, &newest)?.catalog,
        };
        reached.follow_catalog(&catalog, &read, &mut visit)?;
    }
    let foreign = index::foreign_entries(&pool.disk, &pool.layout)?;
    reached.follow(foreign, &read, &mut visit)?;
    report.reachable = reached.len();
    (report.epochs_kept, report.epochs_forgotten) = (kept, forgotten);
    Ok(())
}

/// As [`mark`], while others write and collect: an epoch that is forgotten under its hands is no error, but
/// a reason to begin anew. What was reached half-way counts for nothing then.
pub(super) fn mark_beside_others(
    store: &Store,
    request: &GcRequest<'_>,
    reached: &mut Reached,
    report: &mut GcReport,
) -> Result<(), StoreError> {
    for _ in 0..RETRY_COUNT {
        let before = store.epochs()?;
        match mark(store, request, reached, report) {
            Err(_forgotten) if store.epochs()? != before => *reached = Reached::default(),
            result => return result,
        }
    }
    mark(store, request, reached, report)
}

/// Refuses to collect while an epoch may have been lost: its blobs are what is left of it.
fn check_settled(store: &Store) -> Result<(), StoreError> {
    let Pool { disk, layout } = store.pool();
    let unsettled = match store.recovery() {
        Some(_) => Some(layout.root()),
        None => history::set_aside(disk, layout)?.into_iter().next(),
    };
    match unsettled {
        Some(path) => Err(StoreError::Unsettled { path }),
        None => Ok(()),
    }
}

/// Splits epochs, which ascend, into those that are forgotten and those that are kept.
fn split(epochs: &[u64], keep: u64, leased: Option<u64>) -> (Vec<u64>, Vec<u64>) {
    let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
    let newest = epochs.len().saturating_sub(keep);
    let leased = leased.map_or(epochs.len(), |leased| epochs.partition_point(|e| *e < leased));
    let (forgotten, kept) = epochs.split_at(newest.min(leased));
    (forgotten.to_vec(), kept.to_vec())
}

/// A page or a manifest that gc set aside, and that is referred to again, is on its way back.
fn read_wherever(pool: &Pool, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
    match pool.read(digest, limit) {
        Err(StoreError::MissingBlob { digest, path }) => {
            let set_aside = quarantine::read(pool, &digest, limit)?;
            set_aside.ok_or(StoreError::MissingBlob { digest, path })
        }
        result => result,
    }
}

/// Forgets epochs, the oldest first, so that the rest is a chain without a gap at any moment.
pub(super) fn forget(pool: &Pool, epochs: &[u64]) -> Result<(), DiskError> {
    let Pool { disk, layout } = pool;
    epochs.iter().try_for_each(|epoch| disk.remove(&layout.epoch(*epoch)))?;
    // Also where none is left to forget: what an earlier run forgot, and did not live to make sure of, would
    // come back with a power loss when its blobs are gone.
    match disk.sync_directory(&layout.epochs()) {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_epochs_are_kept_and_those_of_leases() {
        let check = |epochs: &[u64], keep, leased, kept: &[u64]| {
            let (forgotten, found) = split(epochs, keep, leased);
            assert_eq!(found, kept, "{epochs:?} {keep} {leased:?}");
            assert_eq!([forgotten, found].concat(), epochs);
        };
        check(&[3, 4, 5], 2, None, &[4, 5]);
        check(&[3, 4, 5], 3, None, &[3, 4, 5]);
        check(&[3, 4, 5], u64::MAX, None, &[3, 4, 5]);
        check(&[3, 4, 5], 0, None, &[5]);
        check(&[3, 4, 5], 1, Some(4), &[4, 5]);
        check(&[3, 4, 5], 1, Some(0), &[3, 4, 5]);
        check(&[3, 4, 5], 1, Some(9), &[5]);
        check(&[3, 5, 9], 1, Some(4), &[5, 9]);
        check(&[7], 4, Some(7), &[7]);
        check(&[], 1, None, &[]);
    }
}
