//! Tests of the parts together, and what they share.

mod crash;
mod detached;
mod evidence;
mod export;
mod facts;
mod fsck;
mod gc;
mod history;
#[path = "../../../tests/world/image.rs"]
pub(crate) mod image;
mod images;
mod index;
mod ingest;
mod inputs;
mod ladder;
mod lease;
mod papers;
mod repair;
mod retention;
mod sources;
mod store;
#[path = "../../../tests/world/vectors.rs"]
mod vectors;
mod writers;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bonded_model::{ArtifactPath, DocumentKind, MediaType, ReleaseName, Timestamp, media_type};
use proptest::prelude::ProptestConfig;
use tempfile::TempDir;

use crate::disk::Action;
use crate::disk::memory::Memory;
use crate::ingest::{IngestError, IngestOptions, IngestReport, IngestRequest, Progress, ingest};
use crate::lock::Holder;
use crate::{NewDocument, Store};

/// How long tests wait for a lock that is free: a child that another test has just forked holds a copy of
/// every open file until it is another program.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// The index of [`meddled_disk`].
pub(crate) const MEDDLED_INDEX: &str = "/disks/store/index.json";

/// A store in memory on whose disk another tool writes index.json at the call of that number.
pub(crate) struct Meddled {
    pub(crate) memory: Memory,
    pub(crate) store: Store,
    /// How many calls there have been.
    pub(crate) calls: Arc<AtomicU64>,
    /// Whether it came between the last look and this action on the index.
    pub(crate) is_late: Arc<AtomicBool>,
}

pub(crate) fn meddled_disk(at: u64, action: Action, foreign: &'static [u8]) -> Meddled {
    let (root, index) = (Path::new("/disks/store"), Path::new(MEDDLED_INDEX));
    let memory = Memory::default();
    memory.disk().create_directory(Path::new("/disks")).unwrap();
    Store::init_on(root, memory.disk(), Duration::ZERO).unwrap();
    let (calls, is_late) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, late, other) = (calls.clone(), is_late.clone(), memory.disk());
    let disk = memory.disk().with_watcher(move |called, on| {
        if counted.fetch_add(1, Ordering::SeqCst) == at {
            late.store(called == action && on == index, Ordering::SeqCst);
            other.remove(index).unwrap();
            other.create(index, 0o644).unwrap().write_all(foreign).unwrap();
        }
    });
    let store = Store::open_on(root, disk).unwrap();
    Meddled { memory, store, calls, is_late }
}

/// A store in one temporary directory and files to ingest in another.
pub(crate) struct World {
    _directory: TempDir,
    pub(crate) inputs: PathBuf,
    pub(crate) store_path: PathBuf,
    pub(crate) store: Store,
}

pub(crate) fn memory_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_no_such| tempfile::tempdir()).unwrap()
}

/// So many cases of a property, or by hand as many as `PROPTEST_CASES` says.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let asked_for = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => asked_for,
        None => ProptestConfig { cases: count, ..asked_for },
    }
}

pub(crate) fn holder() -> Holder {
    Holder { who: "a test".into(), since: Timestamp::from_unix_seconds(1_700_000_000).unwrap() }
}

pub(crate) fn name(text: &str) -> ReleaseName {
    text.parse().unwrap()
}

pub(crate) fn path(text: &str) -> ArtifactPath {
    text.parse().unwrap()
}

/// Bytes that say of themselves that they are SPDX.
pub(crate) fn spdx(bytes: &[u8]) -> NewDocument<'_> {
    NewDocument {
        bytes,
        kind: DocumentKind::Spdx,
        media_type: MediaType::known(media_type::SPDX_JSON),
        title: None,
        predicate_type: None,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::in_directory(tempfile::tempdir().unwrap())
    }

    /// In memory where that can be had, for tests that make hundreds of stores.
    pub(crate) fn in_memory() -> Self {
        Self::in_directory(memory_directory())
    }

    fn in_directory(directory: TempDir) -> Self {
        let (inputs, store_path) = (directory.path().join("in"), directory.path().join("store"));
        fs::create_dir(&inputs).unwrap();
        let store = Store::init(&store_path).unwrap();
        Self { _directory: directory, inputs, store_path, store }
    }

    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.inputs.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Removes the facts database, whichever engine wrote it.
    pub(crate) fn forget_facts(&self) {
        let facts = self.store.pool().layout.facts();
        let removed =
            if facts.is_dir() { fs::remove_dir_all(facts) } else { fs::remove_file(facts) };
        removed.unwrap();
    }

    pub(crate) fn ingest(&self, release: &str) -> Result<IngestReport, IngestError> {
        self.ingest_paths(release, &[&self.inputs])
    }

    pub(crate) fn ingest_paths(
        &self,
        release: &str,
        inputs: &[&Path],
    ) -> Result<IngestReport, IngestError> {
        ingest_into(&self.store, release, inputs)
    }
}

pub(crate) fn ingest_into(
    store: &Store,
    release: &str,
    inputs: &[&Path],
) -> Result<IngestReport, IngestError> {
    ingest_waiting(store, release, inputs, WAIT)
}

pub(crate) fn ingest_waiting(
    store: &Store,
    release: &str,
    inputs: &[&Path],
    wait: Duration,
) -> Result<IngestReport, IngestError> {
    ingest_as(store, release, inputs, (wait, IngestOptions::default()), &())
}

pub(crate) fn ingest_with(
    store: &Store,
    release: &str,
    inputs: &[&Path],
    options: IngestOptions,
) -> Result<IngestReport, IngestError> {
    ingest_as(store, release, inputs, (WAIT, options), &())
}

/// Does something once, when some of a file has been read.
pub(crate) fn ingest_while(
    store: &Store,
    release: &str,
    input: &Path,
    meanwhile: impl Fn() + Sync,
) -> Result<IngestReport, IngestError> {
    let progress = Meanwhile(meanwhile, AtomicBool::new(false));
    ingest_as(store, release, &[input], (WAIT, IngestOptions::default()), &progress)
}

fn ingest_as(
    store: &Store,
    release: &str,
    inputs: &[&Path],
    (wait, options): (Duration, IngestOptions),
    progress: &dyn Progress,
) -> Result<IngestReport, IngestError> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|path| path.to_path_buf()).collect();
    let (release, holder) = (name(release), holder());
    let request = IngestRequest {
        release: &release,
        inputs: &inputs,
        images: &[],
        holder: &holder,
        wait,
        options,
    };
    ingest(store, &request, progress)
}

struct Meanwhile<F>(F, AtomicBool);

impl<F: Fn() + Sync> Progress for Meanwhile<F> {
    fn planned(&self, _files: usize, _bytes: u64) {}
    fn finished_file(&self, _path: &ArtifactPath) {}
    fn waiting(&self, _holder: &Holder) {}
    fn advanced(&self, _bytes: u64) {
        if !self.1.swap(true, Ordering::SeqCst) {
            (self.0)();
        }
    }
}
