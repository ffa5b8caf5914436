//! Garbage collection: what nothing refers to is set aside, and thrown away when it has lain there long
//! enough.
//!
//! ```text
//!    without the lock   1  mark       every kept epoch, and index.json if another tool has changed it
//!                       2  survey     blobs that are not marked and older than the grace period
//!    under the lock     3  mark       what has changed since, after ROOT was mended as by every writer
//!                       4  forget     bonded/epochs/<N> beyond retention                       fsync
//!                       5  restore    what lies in quarantine and is marked → blobs/sha256     fsync
//!                       6  set aside  what is still not marked and old
//!                                     → bonded/quarantine/unreachable/<now>/<hex>              fsync
//!                       7  delete     what was set aside longer ago than the grace period
//! ```
//!
//! Kept are the newest epochs, as many as asked for, and from the oldest epoch of any live lease on all
//! later ones. Nothing that is marked is moved or removed, so a crash at any call leaves every state that
//! can be asked for whole; at most it leaves work to the next run. An epoch is forgotten before anything
//! that only it needs is touched, and not before the newest one is known to survive a power loss.
//!
//! Another program may rely on a blob that it found in place and has not named yet. One of ours holds a
//! lease, which keeps what was set aside since it began, and takes such blobs back when it commits.
//! Another tool's blobs are young, for which there is the grace period; should it name one that was set
//! aside already, the next run puts that back.
//!
//! Names of blobs are held in memory: at most 70 bytes for each that is marked, and 260 for each that is not.

mod retain;
mod sweep;

use std::time::Duration;

use bonded_model::Timestamp;

use crate::blob::Pool;
use crate::error::StoreError;
use crate::lease::LeaseInfo;
use crate::lock::{self, Holder};
use crate::reach::Reached;
use crate::store::Store;
use crate::writer;

/// What to keep.
#[derive(Clone, Debug)]
pub struct GcRequest<'a> {
    /// The time, which names what is set aside.
    pub now: Timestamp,
    /// A blob younger than this is not set aside, and one set aside more recently is not deleted.
    pub grace: Duration,
    /// How many epochs are kept. The newest one is kept whatever this says.
    pub keep_epochs: u64,
    /// Only say what would be done: nothing is changed, and no lock is taken.
    pub dry_run: bool,
    /// Who collects; others that have to wait see it.
    pub holder: &'a Holder,
    /// How long to wait for a writer.
    pub wait: Duration,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It follows references.
    Mark,
    /// It looks for blobs that nothing refers to.
    Survey,
    /// It holds the lock, and moves and deletes.
    Sweep,
}

/// Told what a run is doing. `()` listens to nothing.
pub trait Progress {
    /// A phase begins.
    fn entered(&self, phase: Phase);
    /// A writer has to be waited for.
    fn waiting(&self, holder: &Holder);
}

impl Progress for () {
    fn entered(&self, _phase: Phase) {}
    fn waiting(&self, _holder: &Holder) {}
}

/// A number of blobs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many there are.
    pub blobs: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What a run did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// The epochs kept, ascending.
    pub epochs_kept: Vec<u64>,
    /// The epochs forgotten, ascending.
    pub epochs_forgotten: Vec<u64>,
    /// How many blobs are referred to.
    pub reachable: usize,
    /// Blobs that nothing refers to, but which are too young to be set aside.
    pub young: Amount,
    /// Blobs set aside.
    pub quarantined: Amount,
    /// Blobs put back, since something refers to them again.
    pub restored: Amount,
    /// Blobs deleted that had been set aside.
    pub deleted: Amount,
    /// Blobs that were set aside too recently to be deleted.
    pub waiting: Amount,
    /// What leases kept from being deleted.
    pub held: Vec<Held>,
}

/// What one run set aside, and a lease keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it was set aside.
    pub set_aside: Timestamp,
    /// How much it is.
    pub amount: Amount,
    /// The oldest lease that keeps it.
    pub by: LeaseInfo,
}

/// Sets aside what nothing refers to, and deletes what was set aside long enough ago.
///
/// # Errors
/// [`StoreError`] if anything that is kept cannot be followed to its end: what it refers to is not known
/// then, and nothing is set aside or deleted. [`StoreError::ForeignIndex`] if another tool has made
/// something of index.json that cannot be read.
pub fn gc(
    store: &Store,
    request: &GcRequest<'_>,
    progress: &dyn Progress,
) -> Result<GcReport, StoreError> {
    let Pool { disk, layout } = store.pool();
    let (mut reached, mut report) = (Reached::default(), GcReport::default());
    progress.entered(Phase::Mark);
    retain::mark_beside_others(store, request, &mut reached, &mut report)?;
    progress.entered(Phase::Survey);
    let candidates = sweep::survey(store.pool(), request, &reached, &mut report)?;
    if request.dry_run {
        sweep::restore(store.pool(), request, &reached, &mut report)?;
        sweep::delete(store.pool(), request, &reached, &mut report)?;
        return Ok(report);
    }
    let on_wait = &mut |holder: &Holder| progress.waiting(holder);
    let _lock = lock::take(disk, layout, request.wait, request.holder, on_wait)?;
    progress.entered(Phase::Sweep);
    // What is older is given up because of the newest state, so that one must be durable; and what a commit
    // that was cut short has named is taken in, before anything of it is set aside.
    writer::settle(store)?;
    retain::mark(store, request, &mut reached, &mut report)?;
    retain::forget(store.pool(), &report.epochs_forgotten)?;
    sweep::restore(store.pool(), request, &reached, &mut report)?;
    sweep::set_aside(store.pool(), request, candidates, &reached, &mut report)?;
    sweep::delete(store.pool(), request, &reached, &mut report)?;
    Ok(report)
}
