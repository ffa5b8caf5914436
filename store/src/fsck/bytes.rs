//! Every blob is read to its end and hashed again, by several threads at one shared rate.
//!
//! The largest blobs come first, so that no thread is left with one when the others are done. SHA-256 alone
//! is computed, unless a fact is compared as well; kind and platform need no more than the beginning, which is
//! read anyway. Whatever is read is paid for at the rate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use bonded_model::Digest;
use sha2::{Digest as _, Sha256, Sha512};

use crate::blob::Pool;
use crate::disk::{Attributes, DiskError, FileState, Handle};
use crate::error::StoreError;
use crate::facts::{BlobFacts, Facts};
use crate::hashing::joined;
use crate::quarantine::blob_name;
use crate::sniff::{Sniffed, Window};

use super::finding::{Code, Finding, Remedy};
use super::rate::Rate;
use super::{FsckRequest, Judge, Progress};

const BUFFER_BYTES: usize = 256 * 1024;

/// Blobs whose facts are asked for at once.
const BATCH_COUNT: usize = 256;

/// Up to this size a fact is compared even where nobody asked for it: that costs nothing to speak of.
const SMALL_BYTES: u64 = 1024 * 1024;

/// A blob as it is named and sized.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) digest: [u8; 32],
    pub(super) bytes: u64,
}

/// A blob that is not what it should be.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) digest: Digest,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Its bytes hash to something else.
    Corrupt { found: Digest, bytes: u64, remedy: Remedy },
    /// They could not be read.
    Unreadable(DiskError),
    /// They are right, but these facts about them are not.
    Facts(Vec<&'static str>),
    /// It went between the listing and the reading.
    Vanished,
}

/// What lies in `blobs/`: the blobs, ordered by digest, and findings about the rest.
pub(super) fn list(pool: &Pool) -> Result<(Vec<Listed>, Vec<Finding>), DiskError> {
    let Pool { disk, layout } = pool;
    let (mut blobs, mut findings) = (Vec::new(), Vec::new());
    let above = layout.directory().join("blobs");
    for (path, kind) in disk.list(&above)? {
        if path != layout.blobs() {
            let seen = format!("a {kind} that is no directory of SHA-256 blobs");
            findings.push(Finding::new(Code::ForeignFile, seen).at(path));
        }
    }
    let mut named = Vec::new();
    disk.list_each(&layout.blobs(), |path, kind| match blob_name(&path, kind) {
        Some(digest) => named.push(raw(&digest)),
        None => {
            let seen = format!("a {kind} that is not named as a blob");
            findings.push(Finding::new(Code::ForeignFile, seen).at(path));
        }
    })?;
    named.sort_unstable();
    for name in named {
        let digest = Digest::from_sha256(name);
        let path = layout.blob(&digest);
        let Attributes { bytes, mode, .. } = match disk.read_attributes(&path) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        if is_wrong_mode(mode) {
            let seen = format!("mode {mode:04o}, expected 0444 or less");
            findings.push(Finding::new(Code::WrongMode, seen).about(digest).at(path));
        }
        blobs.push(Listed { digest: name, bytes });
    }
    Ok((blobs, findings))
}

/// Nobody may write or execute a blob, and its owner may read it; the umask decides about the others.
fn is_wrong_mode(mode: u32) -> bool {
    mode & 0o7333 != 0 || mode & 0o400 == 0
}

/// The mode that a blob should have, where the umask took some of it away.
pub(super) fn usual_mode(mode: u32) -> u32 {
    mode & 0o444 | 0o400
}

/// A SHA-256 digest as its bytes.
pub(super) fn raw(digest: &Digest) -> [u8; 32] {
    digest.as_bytes().try_into().unwrap_or_default() // blobs are named by nothing else
}

/// Hashes all blobs, and tells which are bad, ordered by digest.
pub(super) fn check_all(
    pool: &Pool,
    facts: &Facts,
    blobs: &[Listed],
    rate: &Rate,
    watch: (&FsckRequest<'_>, &dyn Progress),
) -> Result<Vec<Bad>, StoreError> {
    let (request, progress) = watch;
    let mut largest_first = blobs.to_vec();
    largest_first.sort_unstable_by_key(|blob| std::cmp::Reverse(blob.bytes));
    let batches = batches(&largest_first);
    let (next, bad) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let check = Check { pool, facts, request, progress, rate };
    thread::scope(|scope| {
        let work = || {
            let mut buffer = vec![0; BUFFER_BYTES];
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = check.batch(batch, &mut buffer);
                bad.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            }
        };
        let threads: Vec<_> = (0..request.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().for_each(|thread| joined(thread.join()));
    });
    let mut bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
    bad.sort_by_key(|bad| bad.digest);
    Ok(bad)
}

/// Large blobs alone, small ones together.
fn batches(blobs: &[Listed]) -> Vec<&[Listed]> {
    let large = blobs.partition_point(|blob| blob.bytes > SMALL_BYTES);
    let (large, small) = blobs.split_at(large);
    large.chunks(1).chain(small.chunks(BATCH_COUNT)).collect()
}

/// What every thread needs.
struct Check<'a> {
    pool: &'a Pool,
    facts: &'a Facts,
    request: &'a FsckRequest<'a>,
    progress: &'a dyn Progress,
    rate: &'a Rate,
}

impl Check<'_> {
    fn batch(&self, batch: &[Listed], buffer: &mut [u8]) -> Vec<Bad> {
        let digests: Vec<_> = batch.iter().map(|blob| Digest::from_sha256(blob.digest)).collect();
        let known = self.facts.get_many(&digests);
        let checked = digests.iter().filter_map(|digest| {
            let result = self.one(digest, known.get(digest), buffer);
            let what = match result {
                Ok(what) => what,
                Err(error) if error.is_not_found() => Some(What::Vanished),
                Err(error) => Some(What::Unreadable(error)),
            };
            self.progress.finished_blob();
            what.map(|what| Bad { digest: *digest, what })
        });
        checked.collect()
    }

    /// What is wrong with one blob.
    fn one(
        &self,
        digest: &Digest,
        known: Option<&BlobFacts>,
        buffer: &mut [u8],
    ) -> Result<Option<What>, DiskError> {
        let mut handle = self.pool.disk.open(&self.pool.layout.blob(digest))?;
        let state = handle.read_state()?;
        let fact = match (self.request.judge, known) {
            (_, None) => None,
            (Judge::Sha256, Some(_)) if state.bytes > SMALL_BYTES => None,
            (_, Some(known)) => Some(known.blake3),
        };
        let kind = known.is_some_and(|known| known.kind.is_some() || known.platform.is_some());
        if self.request.judge == Judge::Facts && fact.is_some() {
            let wanted = Wanted { sha256: false, blake3: true, sha512: false, kind };
            let found = self.hash(&mut handle, buffer, wanted)?;
            if found.blake3 == fact {
                return Ok(found.wrong(known));
            }
            handle = self.pool.disk.open(handle.path())?;
        }
        // SHA-256 decides about the bytes; facts are compared only if they are right. SHA-512 few blobs have.
        let wanted = Wanted {
            sha256: true,
            blake3: fact.is_some(),
            sha512: known.is_some_and(|known| known.sha512.is_some()),
            kind,
        };
        let found = self.hash(&mut handle, buffer, wanted)?;
        match found.sha256 {
            Some(sha256) if sha256 != *digest => {
                let remedy = self.set_aside(digest, sha256, &state);
                Ok(Some(What::Corrupt { found: sha256, bytes: found.bytes, remedy }))
            }
            _ => Ok(found.wrong(known)),
        }
    }

    fn set_aside(&self, digest: &Digest, found: Digest, state: &FileState) -> Remedy {
        if !self.request.quarantine {
            return Remedy::Nothing;
        }
        match self.pool.quarantine(digest, found, state) {
            StoreError::Corrupt { quarantined: Some(to), .. } => Remedy::Quarantined { to },
            _ => Remedy::Nothing,
        }
    }

    fn hash(
        &self,
        handle: &mut Handle,
        buffer: &mut [u8],
        wanted: Wanted,
    ) -> Result<Hashed, DiskError> {
        let mut sha256 = wanted.sha256.then(Sha256::new);
        let mut blake3 = wanted.blake3.then(blake3::Hasher::new);
        let mut sha512 = wanted.sha512.then(Sha512::new);
        let mut window = wanted.kind.then(Window::default);
        let mut bytes = 0_u64;
        loop {
            let count = handle.read(buffer)?;
            let chunk = buffer.get(..count).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            if let Some(hash) = &mut sha256 {
                hash.update(chunk);
            }
            if let Some(hash) = &mut blake3 {
                hash.update(chunk);
            }
            if let Some(hash) = &mut sha512 {
                hash.update(chunk);
            }
            if let Some(window) = &mut window {
                window.see(chunk);
            }
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            bytes = bytes.saturating_add(count);
            self.progress.advanced(count);
            self.rate.pay(count);
        }
        Ok(Hashed {
            sha256: sha256.map(|hash| Digest::from_sha256(hash.finalize().into())),
            blake3: blake3.map(|hash| Digest::from_blake3(*hash.finalize().as_bytes())),
            sha512: sha512.map(|hash| Digest::from_sha512(hash.finalize().into())),
            sniffed: window.map(|window| window.sniff(bytes)),
            bytes,
        })
    }
}

#[derive(Clone, Copy)]
struct Wanted {
    sha256: bool,
    blake3: bool,
    sha512: bool,
    kind: bool,
}

struct Hashed {
    sha256: Option<Digest>,
    blake3: Option<Digest>,
    sha512: Option<Digest>,
    sniffed: Option<Sniffed>,
    bytes: u64,
}

impl Hashed {
    fn wrong(&self, known: Option<&BlobFacts>) -> Option<What> {
        let wrong = known.map(|known| self.wrong_facts(known)).unwrap_or_default();
        (!wrong.is_empty()).then_some(What::Facts(wrong))
    }

    /// Which facts are others than what was found. What was not looked for is not compared.
    fn wrong_facts(&self, known: &BlobFacts) -> Vec<&'static str> {
        let kind = self.sniffed.as_ref().map(|sniffed| sniffed.kind);
        let platform = self.sniffed.as_ref().map(|sniffed| &sniffed.platform);
        let facts = [
            ("BLAKE3", self.blake3.is_some_and(|found| found != known.blake3)),
            ("SHA-512", self.sha512.is_some() && self.sha512 != known.sha512),
            ("kind", kind.is_some() && kind != known.kind),
            ("platform", platform.is_some_and(|found| *found != known.platform)),
        ];
        facts.into_iter().filter_map(|(name, is_wrong)| is_wrong.then_some(name)).collect()
    }
}
