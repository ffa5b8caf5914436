//! What happens to blobs that nothing refers to: set aside, put back, deleted.

use std::path::Path;

use bonded_model::{Digest, Timestamp};

use crate::blob::Pool;
use crate::disk::{DiskError, DiskFault};
use crate::error::StoreError;
use crate::hashing::Sha512Wanted;
use crate::lease::{self, LeaseInfo};
use crate::quarantine::{self, Generation};
use crate::reach::Reached;

use super::{Amount, GcReport, GcRequest, Held};

/// Whether a blob without a name is left alone for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Young,
    Old,
}

/// Looks for blobs that nothing refers to, and counts what is too young to be touched.
pub(super) fn survey(
    pool: &Pool,
    request: &GcRequest<'_>,
    reached: &Reached,
    report: &mut GcReport,
) -> Result<Vec<Digest>, DiskError> {
    let (mut unmarked, mut candidates) = (Vec::new(), Vec::new());
    pool.disk.list_each(&pool.layout.blobs(), |path, kind| {
        let blob = quarantine::blob_name(&path, kind);
        unmarked.extend(blob.filter(|digest| !reached.contains(digest)));
    })?;
    unmarked.sort_unstable();
    for digest in unmarked {
        match look(pool, &digest, request)? {
            Some((Age::Young, bytes)) => report.young.add(bytes),
            Some((Age::Old, bytes)) => {
                report.quarantined.add(bytes);
                candidates.push(digest);
            }
            None => {} // somebody else took it away meanwhile
        }
    }
    Ok(candidates)
}

/// How old a blob is and how many bytes it has, if it is there.
fn look(
    pool: &Pool,
    digest: &Digest,
    request: &GcRequest<'_>,
) -> Result<Option<(Age, u64)>, DiskError> {
    match pool.disk.read_attributes(&pool.layout.blob(digest)) {
        Ok(found) => {
            // A copy of a store that keeps times of modification is as young as its names.
            let since = found.modified_unix_seconds.max(found.changed_unix_seconds);
            let old = is_past(since, request);
            Ok(Some((if old { Age::Old } else { Age::Young }, found.bytes)))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the grace period since some moment is over. One in the future is not past.
fn is_past(seconds: i64, request: &GcRequest<'_>) -> bool {
    let grace = i64::try_from(request.grace.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_add(grace) <= request.now.unix_seconds()
}

/// Moves the candidates that are still not marked, and still old, out of the pool.
pub(super) fn set_aside(
    pool: &Pool,
    request: &GcRequest<'_>,
    candidates: Vec<Digest>,
    reached: &Reached,
    report: &mut GcReport,
) -> Result<(), DiskError> {
    let Pool { disk, layout } = pool;
    let directory = layout.generation(request.now.unix_seconds());
    let mut made = false;
    report.quarantined = Amount::default();
    for digest in candidates.into_iter().filter(|digest| !reached.contains(digest)) {
        let Some((Age::Old, bytes)) = look(pool, &digest, request)? else { continue };
        if !made {
            disk.create_directory(&directory)?;
            disk.sync_directory(&layout.unreachable())?;
            disk.sync_directory(&layout.quarantine())?;
            made = true;
        }
        match disk.rename(&layout.blob(&digest), &directory.join(digest.hex())) {
            Ok(()) => report.quarantined.add(bytes),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    if made {
        // The new names first: a power loss must not take both.
        disk.sync_directory(&directory)?;
        disk.sync_directory(&layout.blobs())?;
    }
    Ok(())
}

/// Puts back what lies in quarantine although something refers to it: another tool found it in place and
/// named it later, or the run that set it aside ended half-way.
pub(super) fn restore(
    pool: &Pool,
    request: &GcRequest<'_>,
    reached: &Reached,
    report: &mut GcReport,
) -> Result<(), StoreError> {
    for generation in quarantine::generations(pool)?.iter().rev() {
        let blobs = generation.blobs(pool)?.into_iter();
        for digest in blobs.filter(|digest| reached.contains(digest)) {
            let held = match request.dry_run {
                true => pool.disk.read_kind(&pool.layout.blob(&digest)).is_ok(),
                false => is_held(pool, &digest)?,
            };
            if held {
                continue;
            }
            let path = generation.blob(&digest);
            report.restored.add(bytes_of(pool, &path)?);
            if !request.dry_run {
                put_back(pool, &digest, &path)?;
            }
        }
    }
    Ok(())
}

/// The name in quarantine goes when the one in the pool is durable. A file system that knows no links has
/// to do with a rename.
fn put_back(pool: &Pool, digest: &Digest, path: &Path) -> Result<(), DiskError> {
    let Pool { disk, layout } = pool;
    match disk.link(path, &layout.blob(digest)) {
        Ok(()) => {
            disk.sync_directory(&layout.blobs())?;
            disk.remove(path)
        }
        Err(_no_links) => {
            disk.rename(path, &layout.blob(digest))?;
            disk.sync_directory(&layout.blobs())
        }
    }
}

/// Whether the pool has a whole and durable copy of its own, so that the one in quarantine is needed no
/// more. A damaged one is replaced.
fn is_held(pool: &Pool, digest: &Digest) -> Result<bool, StoreError> {
    match pool.hash(digest, Sha512Wanted::No) {
        Ok((handle, _)) => {
            handle.sync()?;
            Ok(true)
        }
        Err(StoreError::MissingBlob { .. } | StoreError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What becomes of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// The grace period is not over.
    Waits,
    /// A lease is older than it.
    Held(LeaseInfo),
    Deleted,
}

/// Deletes what was set aside long enough ago. The leases are read after everything was set aside: work
/// that found a blob in place before that holds one now, or has ended.
pub(super) fn delete(
    pool: &Pool,
    request: &GcRequest<'_>,
    reached: &Reached,
    report: &mut GcReport,
) -> Result<(), DiskError> {
    let leases = lease::live(&pool.disk, &pool.layout)?;
    if !request.dry_run {
        // A copy in the pool, for the sake of which one here goes, may have its name in memory only.
        pool.disk.sync_directory(&pool.layout.blobs())?;
    }
    for generation in quarantine::generations(pool)? {
        let last = match pool.disk.read_attributes(&generation.directory) {
            Ok(found) => found.modified_unix_seconds,
            Err(error) if error.is_not_found() => continue, // another run has deleted it
            Err(error) => return Err(error),
        };
        let fate = fate(&generation, last, request, &leases);
        let mut amount = Amount::default();
        for digest in generation.blobs(pool)? {
            if request.dry_run && reached.contains(&digest) {
                continue; // it would have been restored
            }
            let path = generation.blob(&digest);
            amount.add(bytes_of(pool, &path)?);
            if fate == Fate::Deleted && !request.dry_run {
                pool.disk.remove(&path)?;
            }
        }
        let Generation { directory, seconds } = generation;
        if fate == Fate::Deleted && !request.dry_run {
            remove_if_empty(pool, &directory)?;
        }
        tell(fate, seconds, amount, report);
    }
    Ok(())
}

/// A run that is cut short leaves the rest to the next one; so does a file of somebody else.
fn remove_if_empty(pool: &Pool, directory: &Path) -> Result<(), DiskError> {
    match pool.disk.remove_directory(directory) {
        Err(error) if matches!(error.fault(), DiskFault::NotFound | DiskFault::NotEmpty) => Ok(()),
        result => result,
    }
}

fn bytes_of(pool: &Pool, path: &Path) -> Result<u64, DiskError> {
    match pool.disk.read_attributes(path) {
        Ok(found) => Ok(found.bytes),
        Err(error) if error.is_not_found() => Ok(0), // gone is what is wanted
        Err(error) => Err(error),
    }
}

/// `last` is when the last blob came to a generation: work that began before that may have found it in
/// place. Times have whole seconds, so the same second counts as before.
fn fate(generation: &Generation, last: i64, request: &GcRequest<'_>, leases: &[LeaseInfo]) -> Fate {
    if !is_past(generation.seconds, request) {
        return Fate::Waits;
    }
    let oldest = leases.iter().min_by_key(|lease| lease.since);
    match oldest {
        Some(lease) if lease.since.unix_seconds() <= last.max(generation.seconds) => {
            Fate::Held(lease.clone())
        }
        _ => Fate::Deleted,
    }
}

fn tell(fate: Fate, seconds: i64, amount: Amount, report: &mut GcReport) {
    if amount.blobs == 0 {
        return;
    }
    let into = match fate {
        Fate::Waits => &mut report.waiting,
        Fate::Deleted => &mut report.deleted,
        Fate::Held(by) => {
            // A generation has a time that was one; at worst it is shown as 1970.
            let set_aside = Timestamp::from_unix_seconds(seconds).unwrap_or(by.since);
            report.held.push(Held { set_aside, amount, by });
            return;
        }
    };
    into.blobs += amount.blobs;
    into.bytes = into.bytes.saturating_add(amount.bytes);
}
