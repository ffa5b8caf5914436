//! Rebuilding: every artifact of the newest snapshot is hashed and looked at again.
//!
//! ```text
//! 1  what is to be hashed is read from the releases and their evidence
//! 2  blobs are hashed in parallel; so many at a time become one commit to a database beside
//! 3  that database takes the place of the old one, by a rename
//! ```
//!
//! Whoever reads meanwhile uses the old database. What somebody else writes to it meanwhile is lost,
//! and computed again.

use std::collections::BTreeMap;

use bonded_model::{Artifact, Digest, Release, ReleaseName};
use rayon::prelude::*;

use super::engine::Engine;
use super::tally::Tally;
use super::{BlobFacts, Facts, FactsError, put};
use crate::disk::{Handle, LockAttempt};
use crate::error::StoreError;
use crate::hashing::Sha512Wanted;
use crate::sha512;
use crate::snapshot::Snapshot;
use crate::sniff::Window;
use crate::store::Store;

/// So many records make one commit: a commit costs a barrier, and what it holds costs memory.
const COMMIT_RECORDS: usize = 20_000;

/// Told how far a rebuild is, from several threads at once. `()` listens to nothing.
pub trait RebuildProgress: Sync {
    /// So many blobs with so many bytes are about to be read.
    fn planned(&self, blobs: usize, bytes: u64);
    /// So many more bytes have been read.
    fn advanced(&self, bytes: u64);
}

impl RebuildProgress for () {
    fn planned(&self, _blobs: usize, _bytes: u64) {}
    fn advanced(&self, _bytes: u64) {}
}

/// What a rebuild did.
#[derive(Debug)]
pub struct RebuildReport {
    /// How many blobs have facts now.
    pub blobs: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// Of how many the SHA-512 was computed.
    pub sha512: usize,
    /// What could not be read, and so has no facts.
    pub unreadable: Vec<StoreError>,
}

/// What is to be known about a blob.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    bytes: u64,
    sha512: Sha512Wanted,
}

/// Makes the facts of a store anew from the blobs of its newest snapshot: BLAKE3, kind and platform of
/// every artifact, and SHA-512 where a document asks for it or it was known. Costs one pass over
/// them.
///
/// # Errors
/// [`StoreError`] if the catalog cannot be read, or [`StoreError::Facts`] if the database cannot be
/// written or another process rebuilds it; the old one stays. What is wrong with a single release or
/// blob stands in the report.
pub fn rebuild(store: &Store, progress: &dyn RebuildProgress) -> Result<RebuildReport, StoreError> {
    let facts = store.facts();
    let failed = |source| StoreError::Facts { path: facts.path.clone(), source };
    let mut rebuild = Rebuild::begin(facts).map_err(failed)?;
    let (wanted, mut unreadable) = list_wanted(&store.snapshot()?)?;
    progress
        .planned(wanted.len(), wanted.iter().fold(0, |sum, (_, w)| w.bytes.saturating_add(sum)));
    let mut report = RebuildReport { blobs: 0, bytes: 0, sha512: 0, unreadable: Vec::new() };
    for chunk in wanted.chunks(COMMIT_RECORDS) {
        let mut new = BTreeMap::new();
        for (looked_at, (blob, wanted)) in look_at(store, chunk, progress).into_iter().zip(chunk) {
            match looked_at {
                Ok(known) => {
                    report.blobs += 1;
                    report.bytes = report.bytes.saturating_add(wanted.bytes);
                    report.sha512 += usize::from(known.sha512.is_some());
                    new.insert(*blob, known);
                }
                Err(error) => unreadable.push(error),
            }
        }
        rebuild.put(&new).map_err(failed)?;
    }
    rebuild.finish().map_err(failed)?;
    Ok(RebuildReport { unreadable, ..report })
}

/// In the order of the blobs.
fn look_at(
    store: &Store,
    blobs: &[(Digest, Wanted)],
    progress: &dyn RebuildProgress,
) -> Vec<Result<BlobFacts, StoreError>> {
    let names: Vec<Digest> = blobs.iter().map(|(blob, _)| *blob).collect();
    let known = store.facts().get_many(&names);
    let had_sha512 = |blob| known.get(blob).is_some_and(|known| known.sha512.is_some());
    let looked_at = blobs.par_iter().map(|(blob, wanted)| {
        let sha512 = if had_sha512(blob) { Sha512Wanted::Yes } else { wanted.sha512 };
        look(store, blob, sha512, progress)
    });
    looked_at.collect()
}

/// The facts of one blob, which is read as a whole and checked.
pub(crate) fn look(
    store: &Store,
    blob: &Digest,
    wanted: Sha512Wanted,
    progress: &dyn RebuildProgress,
) -> Result<BlobFacts, StoreError> {
    let mut window = Window::default();
    let (_, digests) = store.pool().hash_and_see(blob, wanted, &mut |bytes| {
        window.see(bytes);
        progress.advanced(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    })?;
    let sniffed = window.sniff(digests.bytes);
    Ok(BlobFacts {
        blake3: digests.blake3,
        sha512: digests.sha512,
        kind: Some(sniffed.kind),
        platform: sniffed.platform,
    })
}

/// Every file of every release once, in the order of their digests, and what could not be read.
type ToLookAt = (Vec<(Digest, Wanted)>, Vec<StoreError>);

fn list_wanted(snapshot: &Snapshot) -> Result<ToLookAt, StoreError> {
    let names = snapshot.releases()?;
    let read: Vec<_> = names.par_iter().map(|name| list_of_release(snapshot, name)).collect();
    let (mut wanted, mut unreadable) = (BTreeMap::new(), Vec::new());
    for (artifacts, errors) in read {
        unreadable.extend(errors);
        for (blob, new) in artifacts {
            let held = wanted.entry(blob).or_insert(new);
            if new.sha512 == Sha512Wanted::Yes {
                held.sha512 = Sha512Wanted::Yes;
            }
        }
    }
    Ok((wanted.into_iter().collect(), unreadable))
}

fn list_of_release(snapshot: &Snapshot, name: &ReleaseName) -> ToLookAt {
    let release = match snapshot.release(name) {
        Ok(release) => release,
        Err(error) => return (Vec::new(), vec![error]),
    };
    let (sha512, error) = match asks_for_sha512(snapshot, &release) {
        Ok(wanted) => (wanted, None),
        Err(error) => (Sha512Wanted::No, Some(error)),
    };
    let wanted =
        |artifact: &Artifact| (artifact.file.digest, Wanted { bytes: artifact.file.size, sha512 });
    (release.artifacts().iter().map(wanted).collect(), error.into_iter().collect())
}

fn asks_for_sha512(snapshot: &Snapshot, release: &Release) -> Result<Sha512Wanted, StoreError> {
    let (_summaries, documents) = snapshot.documents(release)?;
    Ok(sha512::wanted_by(&documents))
}

/// A database that is built beside the one in use.
pub(super) struct Rebuild<'a> {
    facts: &'a Facts,
    engine: Box<dyn Engine>,
    tally: Tally,
    /// Keeps a second rebuild out.
    _lock: Handle,
}

impl<'a> Rebuild<'a> {
    pub(super) fn begin(facts: &'a Facts) -> Result<Self, FactsError> {
        let out_of_reach = |error: crate::disk::DiskError| FactsError::OutOfReach(error.into());
        let lock = facts.beside.open().map_err(out_of_reach)?;
        if lock.try_lock().map_err(out_of_reach)? == LockAttempt::HeldByAnother {
            return Err(FactsError::InUse);
        }
        let engine = facts.engine.beside();
        engine.remove().map_err(out_of_reach)?; // what an earlier rebuild left
        // A damaged count has nothing to tell to the database that comes after it.
        let old = facts.beside.read().unwrap_or_default();
        let mut rebuild = Self { facts, engine, tally: old.of_rebuilt(), _lock: lock };
        rebuild.put(&BTreeMap::new())?;
        Ok(rebuild)
    }

    pub(super) fn put(&mut self, new: &BTreeMap<Digest, BlobFacts>) -> Result<(), FactsError> {
        let (engine, tally) = (self.engine.as_ref(), self.tally);
        self.tally = super::guarded(|| put(engine, tally, new))?;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), FactsError> {
        let taken = self.facts.engine.take_over();
        let counted = taken.and_then(|()| self.facts.beside.write(self.tally));
        counted.map_err(|error| FactsError::OutOfReach(error.into()))
    }
}
