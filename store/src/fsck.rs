//! The check of a whole store: every byte, every reference, and what lies beside them.
//!
//! ```text
//! 1  list      what lies in blobs/, with modes                        (see `bytes`)
//! 2  bytes     every blob is hashed again, in parallel, at a bounded rate
//! 3  walk      every reference of every kept epoch is followed        (see `walk`)
//! 4  state     ROOT, epochs, index.json, facts, staging               (see `state`)
//! 5  mend      if asked: fetch what is lost, put right what the store itself can prove   (see `mend`)
//! ```
//!
//! SHA-256, which is what names a blob, is the judge. The faster way trusts a blob whose BLAKE3 is that of
//! its fact: a fact may have been computed from bytes that were damaged already, and lie in a database that
//! whoever changed the bytes can change as well; so that way is for those who ask for it. Damaged blobs are
//! moved to quarantine, as every reader does, and never deleted. No lock is taken to look: a check and a
//! writer do not wait for one another.

mod bytes;
mod fetch;
mod finding;
mod mend;
mod rate;
mod source;
mod state;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bonded_model::Digest;

use crate::blob::Pool;
use crate::error::StoreError;
use crate::lock::Holder;
use crate::root::Root;
use crate::store::Store;

use bytes::{Bad, Listed, What};
use mend::Mending;
use rate::Rate;
use walk::{Judged, Walked};

pub use finding::{Code, Finding, Remedy, Step, Way, Weight};
pub use source::{BlobSource, DirectorySource, SourceError};

/// What to check, and what to do about what is found.
#[derive(Clone, Copy, Debug)]
pub struct FsckRequest<'a> {
    /// How many threads hash; at least one does.
    pub threads: usize,
    /// How many bytes they may read in a second, all together.
    pub bytes_per_second: Option<u64>,
    /// What a blob is judged by.
    pub judge: Judge,
    /// Whether damaged blobs are moved to quarantine.
    pub quarantine: bool,
    /// What is put right.
    pub mend: Mend<'a>,
    /// Who checks; others that have to wait while something is mended see it.
    pub holder: &'a Holder,
    /// How long to wait for a writer before something is mended.
    pub wait: Duration,
}

/// What a blob is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// Its SHA-256, always.
    Sha256,
    /// The BLAKE3 among the facts where there is one; its SHA-256 if that disagrees.
    Facts,
}

/// What is put right.
#[derive(Clone, Copy, Debug)]
pub enum Mend<'a> {
    /// Nothing.
    Nothing,
    /// What the store itself can prove, and blobs that one of these sources has; the first is asked
    /// first.
    From(&'a [&'a dyn BlobSource]),
}

/// Told how far a check is, from several threads at once. `()` listens to nothing.
pub trait Progress: Sync {
    /// So many blobs with so many bytes are about to be read.
    fn planned(&self, blobs: usize, bytes: u64);
    /// So many more bytes were read.
    fn advanced(&self, bytes: u64);
    /// A blob was read to its end.
    fn finished_blob(&self);
    /// A writer has to be waited for.
    fn waiting(&self, holder: &Holder);
}

impl Progress for () {
    fn planned(&self, _blobs: usize, _bytes: u64) {}
    fn advanced(&self, _bytes: u64) {}
    fn finished_blob(&self) {}
    fn waiting(&self, _holder: &Holder) {}
}

/// What a check came to.
#[derive(Debug)]
pub struct FsckReport {
    /// The epochs whose references were followed, ascending.
    pub epochs: Vec<u64>,
    /// How many blobs were read.
    pub blobs: usize,
    /// How many bytes those have.
    pub bytes: u64,
    /// What was found, in the order of codes, then digests, then paths.
    pub findings: Vec<Finding>,
    /// Why mending did not come to its end. What was mended until then is told in the findings.
    pub unfinished: Option<StoreError>,
}

impl FsckReport {
    /// Whether there is a failure that was not mended, or mending did not come to its end.
    pub fn remains(&self) -> bool {
        self.unfinished.is_some() || self.findings.iter().any(Finding::remains)
    }
}

/// Checks a store.
///
/// # Errors
/// [`StoreError`] if it could not be done, as where a directory cannot be listed. What is wrong with the
/// store is not an error but a finding; and what keeps it from being mended stands beside the findings.
pub fn fsck(
    store: &Store,
    request: &FsckRequest<'_>,
    progress: &dyn Progress,
) -> Result<FsckReport, StoreError> {
    let pool = store.pool();
    let rate = &Rate::new(request.bytes_per_second);
    let (held, mut findings) = bytes::list(pool)?;
    let (blobs, bytes) = (held.len(), held.iter().map(|blob| blob.bytes).sum());
    progress.planned(blobs, bytes);
    let bad = bytes::check_all(pool, store.facts(), &held, rate, (request, progress))?;
    let (judged, bad) = judge(held, bad);
    let (roots, of_epochs) = state::roots(store)?;
    let mut walked = walk::walk(pool, rate, &roots, &judged)?;
    findings.append(&mut walked.findings);
    findings.extend(of_epochs);
    findings.extend(state::findings(store)?);
    findings.extend(bad.into_iter().filter_map(|bad| of_bytes(bad, &walked, pool)));
    findings.extend(unreferenced(&judged, &walked, pool));
    findings.extend(walk::missing(&walked, pool));
    let ways = tell_ways(store, &roots, &mut findings);
    let mut unfinished = None;
    if let Mend::From(sources) = request.mend {
        let (paths, sizes) = (walk::public_paths(pool, &ways), BTreeMap::new());
        let (roots, walked) = (&roots, Some(walked));
        let mut mending = Mending {
            store,
            request,
            sources,
            roots,
            rate,
            progress,
            judged,
            walked,
            paths,
            sizes,
        };
        unfinished = mending.mend(&mut findings).err();
    }
    findings.sort_by(|a, b| (a.code, &a.digest, &a.path).cmp(&(b.code, &b.digest, &b.path)));
    let epochs = roots.iter().map(|root| root.epoch).collect();
    Ok(FsckReport { epochs, blobs, bytes, findings, unfinished })
}

/// What is held, and what of that is bad. What went meanwhile is held no more: whoever refers to it misses
/// it.
fn judge(mut held: Vec<Listed>, bad: Vec<Bad>) -> (Judged, Vec<Bad>) {
    let (vanished, bad): (Vec<_>, Vec<_>) =
        bad.into_iter().partition(|bad| matches!(bad.what, What::Vanished));
    let vanished: BTreeSet<_> = vanished.iter().map(|bad| bytes::raw(&bad.digest)).collect();
    held.retain(|listed| !vanished.contains(&listed.digest));
    let not_whole = bad.iter().filter(|bad| !matches!(bad.what, What::Facts(_)));
    let not_whole = not_whole.map(|bad| bad.digest).collect();
    (Judged { held, not_whole }, bad)
}

/// What is told about a blob whose bytes are not right, or facts about it.
fn of_bytes(bad: Bad, walked: &Walked, pool: &Pool) -> Option<Finding> {
    let Bad { digest, what } = bad;
    let (code, seen, remedy) = match what {
        What::Facts(wrong) => {
            let seen = format!("the facts are wrong about its {}", wrong.join(", "));
            (Code::FactsOutOfStep, seen, Remedy::Nothing)
        }
        What::Vanished => return None,
        What::Unreadable(error) => (Code::UnreadableBlob, walk::chain(&error), Remedy::Nothing),
        What::Corrupt { found, bytes, remedy } => match walked.sizes.get(&digest) {
            Some(expected) if bytes < *expected => {
                let seen = format!("it has {bytes} bytes of {expected}");
                (Code::TruncatedBlob, seen, remedy)
            }
            _ => (Code::CorruptBlob, format!("its {bytes} bytes hash to {found}"), remedy),
        },
    };
    let finding = Finding::new(code, seen).about(digest).at(pool.layout.blob(&digest));
    Some(Finding { remedy, ..finding })
}

/// Whole blobs that no kept epoch needs.
fn unreferenced(judged: &Judged, walked: &Walked, pool: &Pool) -> Vec<Finding> {
    let Judged { held, not_whole } = judged;
    let digests = held.iter().map(|listed| (Digest::from_sha256(listed.digest), listed.bytes));
    let unneeded = digests
        .filter(|(digest, _)| !walked.reached.contains(digest) && !not_whole.contains(digest));
    let findings = unneeded.map(|(digest, bytes)| {
        let seen = format!("{bytes} bytes that no kept epoch needs");
        Finding::new(Code::UnreferencedBlob, seen).about(digest).at(pool.layout.blob(&digest))
    });
    findings.collect()
}

/// Adds to each finding about a lost blob what needs it, unless that is told already.
fn tell_ways(
    store: &Store,
    roots: &[Root],
    findings: &mut [Finding],
) -> BTreeMap<Digest, Vec<Way>> {
    let lost = |finding: &Finding| {
        let of_manifests = matches!(finding.code, Code::WrongSize | Code::UnreadableManifest);
        (finding.is_loss() || of_manifests) && finding.needed_by.is_empty()
    };
    let wanted: BTreeSet<Digest> =
        findings.iter().filter(|finding| lost(finding)).filter_map(|f| f.digest).collect();
    let ways = walk::ways_to(store, roots, &wanted);
    for finding in findings.iter_mut().filter(|finding| lost(finding)) {
        let told = finding.digest.and_then(|digest| ways.get(&digest));
        finding.needed_by = told.cloned().unwrap_or_default();
    }
    ways
}
