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
use walk::Walked;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsckReport {
    /// The epochs whose references were followed, ascending.
    pub epochs: Vec<u64>,
    /// How many blobs were read.
    pub blobs: usize,
    /// How many bytes those have.
    pub bytes: u64,
    /// What was found, in the order of codes, then digests, then paths.
    pub findings: Vec<Finding>,
}

impl FsckReport {
    /// Whether there is a failure that was not mended.
    pub fn remains(&self) -> bool {
        self.findings.iter().any(Finding::remains)
    }
}

/// Checks a store.
///
/// # Errors
/// [`StoreError`] if it could not be done: a directory that cannot be listed, a writer that does not come
/// to an end. What is wrong with the store is not an error but a finding.
pub fn fsck(
    store: &Store,
    request: &FsckRequest<'_>,
    progress: &dyn Progress,
) -> Result<FsckReport, StoreError> {
    let pool = store.pool();
    let (held, mut findings) = bytes::list(pool)?;
    let bytes = held.iter().map(|blob| blob.bytes).sum();
    progress.planned(held.len(), bytes);
    let bad = bytes::check_all(pool, store.facts(), &held, request, progress)?;
    let not_whole: BTreeSet<Digest> =
        bad.iter().filter(|bad| !matches!(bad.what, What::Facts)).map(|bad| bad.digest).collect();
    let (roots, of_epochs) = state::roots(store)?;
    let mut walked = walk::walk(pool, &roots, &held, &not_whole)?;
    findings.append(&mut walked.findings);
    findings.extend(of_epochs);
    findings.extend(state::findings(store)?);
    findings.extend(bad.into_iter().map(|bad| of_bytes(bad, &walked, pool)));
    findings.extend(unreferenced(&held, &not_whole, &walked, pool));
    findings.extend(walk::missing(&walked, pool));
    let ways = tell_ways(store, &roots, &mut findings);
    if let Mend::From(sources) = request.mend {
        let paths = walk::public_paths(pool, &ways);
        let (held, not_whole) = (&held, &not_whole);
        let lost = not_whole.iter().filter(|digest| walked.reached.contains(digest));
        let lost = lost.chain(walked.missing.keys()).copied().collect();
        let roots = &roots;
        let mending = Mending { store, request, sources, roots, held, not_whole, progress, paths };
        mending.mend(lost, &mut findings)?;
    }
    findings.sort_by(|a, b| (a.code, &a.digest, &a.path).cmp(&(b.code, &b.digest, &b.path)));
    let epochs = roots.iter().map(|root| root.epoch).collect();
    Ok(FsckReport { epochs, blobs: held.len(), bytes, findings })
}

/// What is told about a blob whose bytes are not right, or facts about it.
fn of_bytes(bad: Bad, walked: &Walked, pool: &Pool) -> Finding {
    let Bad { digest, what } = bad;
    let (code, seen, remedy) = match what {
        What::Facts => {
            let seen = "its BLAKE3 is not the one among the facts".to_owned();
            (Code::FactsOutOfStep, seen, Remedy::Nothing)
        }
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
    Finding { remedy, ..finding }
}

/// Whole blobs that no kept epoch needs.
fn unreferenced(
    held: &[Listed],
    not_whole: &BTreeSet<Digest>,
    walked: &Walked,
    pool: &Pool,
) -> Vec<Finding> {
    let digests = held.iter().map(|listed| (Digest::from_sha256(listed.digest), listed.bytes));
    let unneeded = digests
        .filter(|(digest, _)| !walked.reached.contains(digest) && !not_whole.contains(digest));
    let findings = unneeded.map(|(digest, bytes)| {
        let seen = format!("{bytes} bytes that no kept epoch needs");
        Finding::new(Code::UnreferencedBlob, seen).about(digest).at(pool.layout.blob(&digest))
    });
    findings.collect()
}

/// Adds to each finding about a lost blob what needs it.
fn tell_ways(
    store: &Store,
    roots: &[Root],
    findings: &mut [Finding],
) -> BTreeMap<Digest, Vec<Way>> {
    let lost = |finding: &Finding| {
        finding.is_loss() || matches!(finding.code, Code::WrongSize | Code::UnreadableManifest)
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
