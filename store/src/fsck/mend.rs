//! Putting right what can be proven: lost blobs by their digest, the rest from what the store holds.
//!
//! ```text
//! 1  modes              a blob that could not be read may be whole
//! 2  lost blobs         from what gc set aside, else from the sources: staged and hashed without the
//!                       lock, published under it; what a manifest or a page brings to light is looked
//!                       for in the next round
//! 3  oci-layout, facts
//! 4  ROOT, its epoch's file, index.json, staging      by taking the lock as every writer does
//! 5  a barrier over all of it
//! ```
//!
//! Nothing is deleted. Pages come back before the lock is taken as a writer does: that one would take an
//! older epoch for the newest that can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;

use bonded_model::Digest;

use crate::blob::Pool;
use crate::disk::{Action, DiskError};
use crate::error::StoreError;
use crate::facts;
use crate::hashing::Sha512Wanted;
use crate::layout::OCI_LAYOUT;
use crate::lease::Lease;
use crate::lock::{self, Holder};
use crate::quarantine;
use crate::root::Root;
use crate::stage::Stage;
use crate::store::Store;
use crate::writer;

use super::bytes::{Listed, usual_mode};
use super::finding::{Code, Finding, Remedy};
use super::source::{BlobSource, Reading, keys};
use super::walk::{self, chain};
use super::{FsckRequest, Progress, state};

/// What is looked for: a release, its images, their manifests and layers lie one behind the other.
const ROUND_COUNT_MAX: usize = 64;

/// What is put right, with what.
pub(super) struct Mending<'a> {
    pub(super) store: &'a Store,
    pub(super) request: &'a FsckRequest<'a>,
    pub(super) sources: &'a [&'a dyn BlobSource],
    pub(super) roots: &'a [Root],
    pub(super) held: &'a [Listed],
    /// Blobs that are damaged or cannot be read, whether anything needs them or not.
    pub(super) not_whole: &'a BTreeSet<Digest>,
    pub(super) progress: &'a dyn Progress,
    /// Where lost files of releases stand in the public tree.
    pub(super) paths: BTreeMap<Digest, Vec<String>>,
}

impl Mending<'_> {
    /// Mends what can be mended, and says so in the findings. `lost` are the blobs that are referred to and
    /// not whole.
    pub(super) fn mend(
        &self,
        mut lost: BTreeSet<Digest>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        self.modes(&mut lost, findings)?;
        self.blobs(lost, findings)?;
        self.layout_file(findings)?;
        self.facts(findings)?;
        self.as_a_writer(findings)?;
        // What was found in order may be so in memory only, left by a run that died. Whoever is told that
        // the store was mended must be able to rely on it.
        let Pool { disk, layout } = self.pool();
        Ok(disk.sync_filesystem(&disk.open_directory(&layout.own())?)?)
    }

    fn pool(&self) -> &Pool {
        self.store.pool()
    }

    fn lock(&self) -> Result<lock::WriterLock, StoreError> {
        let Pool { disk, layout } = self.pool();
        let on_wait = &mut |holder: &Holder| self.progress.waiting(holder);
        lock::take(disk, layout, self.request.wait, self.request.holder, on_wait)
    }

    fn modes(
        &self,
        lost: &mut BTreeSet<Digest>,
        findings: &mut [Finding],
    ) -> Result<(), StoreError> {
        let disk = &self.pool().disk;
        let of_modes = findings.iter_mut().filter(|finding| finding.code == Code::WrongMode);
        for finding in of_modes {
            let (Some(path), Some(digest)) = (&finding.path, finding.digest) else { continue };
            if disk.read_kind(path).is_err_and(|error| error.is_not_found()) {
                finding.remedy = Remedy::Mended; // it was moved aside, being damaged
                continue;
            }
            disk.set_mode(path, usual_mode(disk.read_attributes(path)?.mode))?;
            finding.remedy = Remedy::Mended;
            if lost.contains(&digest) && self.pool().hash(&digest, Sha512Wanted::No).is_ok() {
                lost.remove(&digest);
            }
        }
        for finding in findings.iter_mut().filter(|f| f.code == Code::UnreadableBlob) {
            if finding.digest.is_some_and(|digest| !lost.contains(&digest)) {
                finding.remedy = Remedy::Mended;
            }
        }
        Ok(())
    }

    fn blobs(
        &self,
        mut lost: BTreeSet<Digest>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let (mut asked, mut failures) = (BTreeSet::new(), BTreeMap::new());
        let mut not_whole = self.not_whole.clone();
        for _ in 0..ROUND_COUNT_MAX {
            let next: Vec<_> = lost.difference(&asked).copied().collect();
            asked.extend(next.iter().copied());
            let had = self.fetch_all(&next, &mut failures)?;
            lost.retain(|digest| !had.contains_key(digest));
            not_whole.retain(|digest| !had.contains_key(digest));
            tell_restored(findings, &had);
            if had.is_empty() {
                break;
            }
            // What was brought back may refer to more that is not there.
            let walked = walk::walk(self.pool(), self.roots, self.held, &not_whole)?;
            lost.extend(not_whole.iter().filter(|digest| walked.reached.contains(digest)));
            for finding in walk::missing(&walked, self.pool()) {
                if finding.digest.is_some_and(|digest| asked.contains(&digest)) {
                    continue;
                }
                lost.extend(finding.digest);
                findings.push(finding);
            }
            let news = |finding: &Finding| !findings.iter().any(|known| known.is_like(finding));
            let news: Vec<_> = walked.findings.into_iter().filter(news).collect();
            findings.extend(news);
        }
        for finding in findings {
            let failure =
                finding.digest.filter(|_| finding.is_loss()).and_then(|d| failures.get(&d));
            if let Some(failure) = failure {
                finding.seen += &format!("; {failure}");
            }
        }
        Ok(())
    }

    /// Stages what can be had without the lock, and publishes it under the lock. Tells from where it came.
    fn fetch_all(
        &self,
        wanted: &[Digest],
        failures: &mut BTreeMap<Digest, String>,
    ) -> Result<BTreeMap<Digest, String>, StoreError> {
        let mut had = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(had);
        }
        // The state may be what is damaged, so the lease does not ask for its epoch, and keeps all.
        let lease = Lease::take(self.pool(), self.request.holder, || Ok(0))?;
        let stage = Stage::new(self.pool().clone(), lease)?;
        for digest in wanted {
            self.move_unreadable(digest)?;
            match self.fetch(&stage, digest)? {
                Ok(from) => drop(had.insert(*digest, from)),
                Err(tried) => drop(failures.insert(*digest, tried)),
            }
        }
        if !had.is_empty() {
            let _lock = self.lock()?;
            stage.publish()?;
        }
        Ok(had)
    }

    /// What cannot be read to its end would be in the way of what takes its place.
    fn move_unreadable(&self, digest: &Digest) -> Result<(), StoreError> {
        let Pool { disk, layout } = self.pool();
        match self.pool().hash(digest, Sha512Wanted::No) {
            Err(StoreError::Disk(_)) => {
                let aside = layout.damaged().join(format!("{}-unreadable", digest.hex()));
                Ok(disk.rename(&layout.blob(digest), &aside)?)
            }
            _ => Ok(()),
        }
    }

    /// Where a blob was had from, or what was tried.
    fn fetch(&self, stage: &Stage, digest: &Digest) -> Result<Result<String, String>, StoreError> {
        for generation in quarantine::generations(self.pool())?.iter().rev() {
            let path = generation.directory.join(digest.hex());
            if let Ok(handle) = self.pool().disk.open(&path)
                && self.take(stage, digest, Box::new(Reading(handle)), path)?.is_ok()
            {
                return Ok(Ok("what gc had set aside".to_owned()));
            }
        }
        let mut tried = Vec::new();
        for source in self.sources {
            match self.fetch_from(*source, stage, digest)? {
                Ok(()) => return Ok(Ok(source.name())),
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
        stage: &Stage,
        digest: &Digest,
    ) -> Result<Result<(), String>, StoreError> {
        let mut failure = format!("{} does not have it", source.name());
        let paths = self.paths.get(digest).map_or(&[][..], Vec::as_slice);
        for key in keys(digest, paths) {
            match source.open(&key) {
                Ok(None) => {}
                Ok(Some(read)) => {
                    let path = PathBuf::from(format!("{}/{key}", source.name()));
                    match self.take(stage, digest, read, path)? {
                        Ok(()) => return Ok(Ok(())),
                        Err(why) => failure = why,
                    }
                }
                Err(error) => failure = chain(&error),
            }
        }
        Ok(Err(failure))
    }

    /// Stages what is read, if it is the blob. A source that fails in the middle is not the end of it; a
    /// disk that does is.
    fn take(
        &self,
        stage: &Stage,
        digest: &Digest,
        mut read: Box<dyn Read>,
        path: PathBuf,
    ) -> Result<Result<(), String>, StoreError> {
        let mut failed = false;
        let from = path.clone();
        let next = |buffer: &mut [u8]| {
            read.read(buffer).map_err(|source| {
                failed = true;
                DiskError::Io { action: Action::Read, path: from.clone(), source }
            })
        };
        match stage.add_expected(next, digest) {
            Ok(Ok(())) => Ok(Ok(())),
            Ok(Err(found)) => Ok(Err(format!("{} hashes to {found}", path.display()))),
            Err(error) if failed => Ok(Err(chain(&error))),
            Err(error) => Err(error),
        }
    }

    fn layout_file(&self, findings: &mut [Finding]) -> Result<(), StoreError> {
        let Some(finding) = findings.iter_mut().find(|f| f.code == Code::LayoutFile) else {
            return Ok(());
        };
        let Pool { disk, layout } = self.pool();
        let _lock = self.lock()?;
        writer::replace(disk, layout, &layout.oci_layout(), OCI_LAYOUT)?;
        finding.remedy = Remedy::Mended;
        Ok(())
    }

    fn facts(&self, findings: &mut [Finding]) -> Result<(), StoreError> {
        if findings.iter().any(|finding| finding.code == Code::FactsOutOfStep) {
            facts::rebuild(self.store, &())?;
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

fn tell_restored(findings: &mut [Finding], had: &BTreeMap<Digest, String>) {
    for finding in findings.iter_mut().filter(|finding| finding.is_loss()) {
        if let Some(from) = finding.digest.and_then(|digest| had.get(&digest)) {
            finding.remedy = Remedy::Restored { from: from.clone() };
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
