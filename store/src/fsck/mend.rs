//! Putting right what can be proven: lost blobs by their digest, the rest from what the store holds.
//!
//! ```text
//! 1  modes              a blob that could not be read may be whole
//! 2  lost blobs         from what gc set aside, else from the sources (see `fetch`); what a manifest or a
//!                       page brings to light is looked for in the next round
//! 3  oci-layout, facts
//! 4  ROOT, its epoch's file, index.json, staging      by taking the lock as every writer does
//! 5  a barrier over all of it
//! ```
//!
//! Nothing is deleted. Pages come back before the lock is taken as a writer does: that one would take an
//! older epoch for the newest that can be read. So it is not taken where anything before it failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bonded_model::Digest;
use bonded_model::limits::CATALOG_PAGE_BYTES_MAX;

use crate::blob::Pool;
use crate::disk::{DiskError, DiskFault};
use crate::error::StoreError;
use crate::facts::{self, RebuildProgress};
use crate::layout::OCI_LAYOUT;
use crate::lease::Lease;
use crate::lock::{self, Holder};
use crate::quarantine::{self, Generation};
use crate::root::Root;
use crate::store::Store;
use crate::writer;

use super::bytes::usual_mode;
use super::fetch::{self, Batch, Copy, Published};
use super::finding::{Code, Finding, Remedy};
use super::rate::Rate;
use super::source::{BlobSource, Reading, keys};
use super::walk::{self, Judged, Walked, chain};
use super::{FsckRequest, Progress, state, tell_ways};

/// What is looked for: a release, its images, their manifests and layers lie one behind the other.
const ROUND_COUNT_MAX: usize = 64;

/// What is put right, with what.
pub(super) struct Mending<'a> {
    pub(super) store: &'a Store,
    pub(super) request: &'a FsckRequest<'a>,
    pub(super) sources: &'a [&'a dyn BlobSource],
    pub(super) roots: &'a [Root],
    pub(super) rate: &'a Rate,
    pub(super) progress: &'a dyn Progress,
    pub(super) judged: Judged,
    /// What following the references last came to, unless something was mended since.
    pub(super) walked: Option<Walked>,
    /// Where lost files of releases stand in the public tree.
    pub(super) paths: BTreeMap<Digest, Vec<String>>,
    /// How many bytes lost blobs have, as far as references say.
    pub(super) sizes: BTreeMap<Digest, u64>,
}

type MendStep<'a> = fn(&mut Mending<'a>, &mut Vec<Finding>) -> Result<(), StoreError>;

impl<'a> Mending<'a> {
    /// Mends what can be mended, and says so in the findings. The first error is told when the rest is done
    /// that does not depend on it.
    pub(super) fn mend(&mut self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let steps: [MendStep<'a>; 4] = [
            |mending, findings| mending.modes(findings),
            Self::blobs,
            |mending, findings| mending.layout_file(findings),
            |mending, findings| mending.facts(findings),
        ];
        let mut first = Ok(());
        for step in steps {
            first = first.and(step(self, findings));
            if matches!(first, Err(StoreError::LockTimeout { .. })) {
                break; // the others would wait as long again
            }
        }
        if first.is_ok() {
            first = self.as_a_writer(findings);
        }
        // What was found in order may be so in memory only, left by a run that died. Whoever is told that
        // the store was mended must be able to rely on it.
        let Pool { disk, layout } = self.pool();
        let barrier = disk.open_directory(&layout.own()).and_then(|own| disk.sync_filesystem(&own));
        first.and(barrier.map_err(StoreError::from))
    }

    fn pool(&self) -> &'a Pool {
        self.store.pool()
    }

    fn lock(&self) -> Result<lock::WriterLock, StoreError> {
        let Pool { disk, layout } = self.pool();
        let on_wait = &mut |holder: &Holder| self.progress.waiting(holder);
        lock::take(disk, layout, self.request.wait, self.request.holder, on_wait)
    }

    fn modes(&mut self, findings: &mut [Finding]) -> Result<(), StoreError> {
        for finding in findings.iter_mut().filter(|finding| finding.code == Code::WrongMode) {
            let Some(path) = &finding.path else { continue };
            match self.set_mode(path) {
                Ok(()) => finding.remedy = Remedy::Mended,
                // It was moved aside, being damaged.
                Err(error) if error.is_not_found() => finding.remedy = Remedy::Mended,
                Err(error) if is_refused(&error) => {
                    finding.seen += &format!("; {}", chain(&error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        for finding in findings.iter_mut().filter(|f| f.code == Code::UnreadableBlob) {
            let Some(digest) = finding.digest else { continue };
            if fetch::is_whole(self.pool(), self.rate, &digest) {
                finding.remedy = Remedy::Mended;
                self.judged.forget(&digest);
                self.walked = None; // what it refers to is not known yet
            }
        }
        Ok(())
    }

    fn set_mode(&self, path: &Path) -> Result<(), DiskError> {
        let disk = &self.pool().disk;
        disk.set_mode(path, usual_mode(disk.read_attributes(path)?.mode))
    }

    fn blobs(&mut self, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let (mut asked, mut failures) = (BTreeSet::new(), BTreeMap::new());
        let mut result = Ok(());
        for _ in 0..ROUND_COUNT_MAX {
            let lost = self.look(findings)?;
            let next: Vec<_> = lost.difference(&asked).copied().collect();
            if next.is_empty() {
                break;
            }
            asked.extend(next.iter().copied());
            result = self.fetch_all(&next, &mut failures, findings);
            if result.is_err() || self.walked.is_some() {
                break; // nothing came back that could refer to more
            }
        }
        for finding in findings {
            let is_lost = finding.is_loss() && finding.remains();
            let failure = finding.digest.filter(|_| is_lost).and_then(|d| failures.get(&d));
            if let Some(failure) = failure {
                finding.seen += &format!("; {failure}");
            }
        }
        result
    }

    /// Follows the references, unless that was done, and tells what was not known before. Gives the blobs
    /// that are referred to and not whole.
    fn look(&mut self, findings: &mut Vec<Finding>) -> Result<BTreeSet<Digest>, StoreError> {
        let mut walked = match self.walked.take() {
            Some(walked) => walked,
            None => walk::walk(self.pool(), self.rate, self.roots, &self.judged)?,
        };
        let mut found = std::mem::take(&mut walked.findings);
        found.extend(walk::missing(&walked, self.pool()));
        let like = |finding: &Finding| (finding.code, finding.digest, finding.path.clone());
        let known: BTreeSet<_> = findings.iter().map(like).collect();
        findings.extend(found.into_iter().filter(|finding| !known.contains(&like(finding))));
        let is_needed = |digest: &Digest| walked.reached.contains(digest);
        let stale =
            |f: &Finding| f.code == Code::UnreferencedBlob && f.digest.iter().any(is_needed);
        findings.retain(|finding| !stale(finding));
        let ways = tell_ways(self.store, self.roots, findings);
        self.paths.extend(walk::public_paths(self.pool(), &ways));
        self.sizes.extend(&walked.sizes);
        self.sizes
            .extend(walked.missing.iter().filter_map(|(digest, size)| Some((*digest, (*size)?))));
        let not_whole = self.judged.not_whole.iter().filter(|digest| is_needed(digest));
        let lost = not_whole.chain(walked.missing.keys()).copied().collect();
        self.walked = Some(walked);
        Ok(lost)
    }

    /// Brings back what can be had, some of it at a time: what has come is not lost with what follows.
    fn fetch_all(
        &mut self,
        wanted: &[Digest],
        failures: &mut BTreeMap<Digest, String>,
        findings: &mut [Finding],
    ) -> Result<(), StoreError> {
        let set_aside = quarantine::generations(self.pool())?;
        let mut wanted = wanted.iter().peekable();
        while wanted.peek().is_some() {
            // The state may be what is damaged, so the lease does not ask for its epoch, and keeps all.
            let lease = Lease::take(self.pool(), self.request.holder, || Ok(0))?;
            let mut batch = Batch::new(self.pool(), self.rate, lease);
            while !batch.is_full()
                && let Some(digest) = wanted.next()
            {
                if let Err(tried) = self.fetch(&mut batch, &set_aside, digest)? {
                    failures.insert(*digest, tried);
                }
            }
            if batch.is_empty() {
                continue;
            }
            let had = batch.publish(&self.lock()?)?;
            had.keys().for_each(|digest| self.judged.forget(digest));
            self.walked = None;
            tell_restored(findings, &had);
        }
        Ok(())
    }

    /// Stages a blob, or tells what was tried.
    fn fetch(
        &self,
        batch: &mut Batch<'_>,
        set_aside: &[Generation],
        digest: &Digest,
    ) -> Result<Result<(), String>, StoreError> {
        let limit = self.sizes.get(digest).copied().unwrap_or(CATALOG_PAGE_BYTES_MAX);
        for generation in set_aside.iter().rev() {
            let path = generation.blob(digest);
            let Ok(handle) = self.pool().disk.open(&path) else { continue };
            let from = "what gc had set aside".to_owned();
            let copy = Copy { read: Box::new(Reading(handle)), path, from };
            if batch.add(digest, limit, copy)?.is_ok() {
                return Ok(Ok(()));
            }
        }
        let mut tried = Vec::new();
        for source in self.sources {
            match self.fetch_from(*source, batch, digest, limit)? {
                Ok(()) => return Ok(Ok(())),
                Err(failure) => tried.push(failure),
            }
        }
        Ok(Err(match tried.as_slice() {
            [] => "there is no copy in quarantine, and no source was given".to_owned(),
            tried => tried.join("; "),
        }))
    }

    fn fetch_from(
        &self,
        source: &dyn BlobSource,
        batch: &mut Batch<'_>,
        digest: &Digest,
        limit: u64,
    ) -> Result<Result<(), String>, StoreError> {
        let mut failure = format!("{} does not have it", source.name());
        let paths = self.paths.get(digest).map_or(&[][..], Vec::as_slice);
        for key in keys(digest, paths) {
            match source.open(&key) {
                Ok(None) => {}
                Ok(Some(read)) => {
                    let from = source.name();
                    let path = PathBuf::from(format!("{from}/{key}"));
                    match batch.add(digest, limit, Copy { read, path, from })? {
                        Ok(()) => return Ok(Ok(())),
                        Err(why) => failure = why,
                    }
                }
                Err(error) => failure = chain(&error),
            }
        }
        Ok(Err(failure))
    }

    fn layout_file(&mut self, findings: &mut [Finding]) -> Result<(), StoreError> {
        let Some(finding) = findings.iter_mut().find(|f| f.code == Code::LayoutFile) else {
            return Ok(());
        };
        let Pool { disk, layout } = self.pool();
        let _lock = self.lock()?;
        writer::replace(disk, layout, &layout.oci_layout(), OCI_LAYOUT)?;
        finding.remedy = Remedy::Mended;
        Ok(())
    }

    fn facts(&mut self, findings: &mut [Finding]) -> Result<(), StoreError> {
        if findings.iter().any(|finding| finding.code == Code::FactsOutOfStep) {
            facts::rebuild(self.store, &Paying(self.rate))?;
            let of_facts = findings.iter_mut().filter(|f| f.code == Code::FactsOutOfStep);
            of_facts.for_each(|finding| finding.remedy = Remedy::Mended);
        }
        Ok(())
    }

    /// A writer that begins its work mends ROOT and index.json, and clears staging.
    fn as_a_writer(&self, findings: &mut [Finding]) -> Result<(), StoreError> {
        let codes =
            [Code::RootDamaged, Code::EpochChainBroken, Code::IndexOutOfStep, Code::StrayStaging];
        if !findings.iter().any(|finding| codes.contains(&finding.code)) {
            return Ok(());
        }
        let on_wait = &mut |holder: &Holder| self.progress.waiting(holder);
        let begun = self.store.lock(self.request.wait, self.request.holder, on_wait);
        match begun {
            Ok(writer) => drop(writer),
            Err(error @ (StoreError::LockTimeout { .. } | StoreError::Disk(_))) => {
                return Err(error);
            }
            // What keeps a writer from beginning has its own finding.
            Err(_damaged) => return Ok(()),
        }
        let (_, mut left) = state::roots(self.store)?;
        left.extend(state::findings(self.store)?);
        codes.into_iter().for_each(|code| tell_mended(findings, code, &left));
        Ok(())
    }
}

/// Whether the user may not do something; somebody else may.
fn is_refused(error: &DiskError) -> bool {
    matches!(error.fault(), DiskFault::PermissionDenied | DiskFault::ReadOnly)
}

/// Keeps the making of facts to the rate.
struct Paying<'a>(&'a Rate);

impl RebuildProgress for Paying<'_> {
    fn planned(&self, _blobs: usize, _bytes: u64) {}
    fn advanced(&self, bytes: u64) {
        self.0.pay(bytes);
    }
}

fn tell_restored(findings: &mut [Finding], had: &BTreeMap<Digest, Published>) {
    for finding in findings.iter_mut().filter(|finding| finding.is_loss()) {
        if let Some(published) = finding.digest.and_then(|digest| had.get(&digest)) {
            finding.remedy = Remedy::Restored { from: published.from.clone() };
            if let Some(aside) = &published.aside {
                finding.seen += &format!("; what stood in its place is {} now", aside.display());
            }
        }
    }
}

/// Findings of this code that are not found any more are mended.
fn tell_mended(findings: &mut [Finding], code: Code, left: &[Finding]) {
    for finding in findings.iter_mut().filter(|finding| finding.code == code) {
        if !left.iter().any(|left| left.is_like(finding)) {
            finding.remedy = Remedy::Mended;
        }
    }
}
