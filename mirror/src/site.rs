//! One destination while a plan is run on it: what failed, what is therefore not done, counts.
//!
//! The lock in here guards counters and lists for a few instructions and is never held across an
//! `.await`; there is no other lock in this crate that is taken while it is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bonded_model::inventory::Listing;
use bonded_model::{Digest, Project, ReleaseName};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::backend::Backend;
use crate::desired::Class;
use crate::destination::Destination;
use crate::error::{At, MirrorError};
use crate::fault::Fault;
use crate::limits::{FAILURES_PER_DESTINATION, REQUESTS_PER_DESTINATION};
use crate::plan::{DestinationPlan, Step};
use crate::report::{Counts, DestinationReport, Failure, MarkerOutcome};

/// One destination while a plan is run on it.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) destination: &'a Destination,
    pub(crate) plan: &'a DestinationPlan,
    requests: Semaphore,
    state: Mutex<SiteState>,
}

#[derive(Debug)]
struct SiteState {
    counts: Counts,
    failures: Vec<Failure>,
    /// Failures that may mean that the destination is broken.
    strikes: usize,
    incomplete: BTreeSet<ReleaseName>,
    broken: bool,
    listings: BTreeMap<Project, Listing>,
    markers: MarkerOutcome,
}

impl<'a> Site<'a> {
    pub(crate) fn new(destination: &'a Destination, plan: &'a DestinationPlan) -> Self {
        let state = SiteState {
            counts: Counts::default(),
            failures: Vec::new(),
            strikes: 0,
            incomplete: BTreeSet::new(),
            broken: !plan.observed,
            listings: BTreeMap::new(),
            markers: MarkerOutcome::Unchanged,
        };
        let requests = Semaphore::new(REQUESTS_PER_DESTINATION);
        Self { destination, plan, requests, state: Mutex::new(state) }
    }

    pub(crate) fn backend(&self) -> &'a dyn Backend {
        self.destination.backend()
    }

    /// Waits until one more request may go out.
    pub(crate) async fn permit(&self) -> SemaphorePermit<'_> {
        self.requests.acquire().await.expect("the semaphore is never closed")
    }

    /// Whether it makes sense to talk to it.
    pub(crate) fn is_open(&self) -> bool {
        !self.state().broken
    }

    /// Whether everything of that release that was tried so far is there.
    pub(crate) fn is_complete(&self, release: &ReleaseName) -> bool {
        let state = self.state();
        !state.broken && !state.incomplete.contains(release)
    }

    /// Whether it lists that very release, and nothing that was tried for it failed.
    pub(crate) fn has(&self, release: &ReleaseName, digest: Digest) -> bool {
        let state = self.state();
        let listing = state.listings.get(&release.project);
        let listed = listing.and_then(|listing| listing.releases.get(&release.version));
        let whole = !state.broken && !state.incomplete.contains(release);
        whole && listed.is_some_and(|listed| listed.digest == digest)
    }

    /// Whether a step still serves a release; one that does not is counted as skipped.
    pub(crate) fn wants(&self, step: &Step) -> bool {
        let wanted = self.wants_still(step);
        if !wanted {
            self.skip();
        }
        wanted
    }

    /// Whether a step still serves a release.
    pub(crate) fn wants_still(&self, step: &Step) -> bool {
        step.releases.iter().any(|release| self.is_complete(release))
    }

    /// The planned steps of a class, in order.
    pub(crate) fn steps(&self, class: Class) -> impl Iterator<Item = &'a Step> + use<'a> {
        self.plan.steps.iter().filter(move |step| step.class == class)
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    pub(crate) fn skip(&self) {
        self.count(|counts| counts.skipped += 1);
    }

    pub(crate) fn fail(&self, step: &Step, error: MirrorError) {
        self.fail_for(step, step.releases.iter().cloned().collect(), error);
    }

    /// A list that cannot be read leaves nothing to decide markers on.
    pub(crate) fn fail_reading(&self, key: String, error: MirrorError) {
        let releases = BTreeSet::new();
        self.add(Failure { class: Class::Releases, key, releases, error });
    }

    pub(crate) fn fail_for(
        &self,
        step: &Step,
        releases: BTreeSet<ReleaseName>,
        error: MirrorError,
    ) {
        self.add(Failure { class: step.class, key: step.key.clone(), releases, error });
    }

    fn add(&self, failure: Failure) {
        let mut state = self.state();
        state.incomplete.extend(failure.releases.iter().cloned());
        if let MirrorError::Destination { fault, .. } = &failure.error {
            state.strikes += usize::from(fault.kind.may_concern_destination());
            let fatal = fault.kind.concerns_destination();
            state.broken |= fatal || state.strikes >= FAILURES_PER_DESTINATION;
        }
        state.failures.push(failure);
    }

    pub(crate) fn error(&self, fault: Fault) -> MirrorError {
        MirrorError::Destination { at: At::of(self.destination), fault }
    }

    /// What the destination lists of a project, once that is settled.
    pub(crate) fn listing(&self, project: &Project) -> Option<Listing> {
        let state = self.state();
        if state.broken { None } else { state.listings.get(project).cloned() }
    }

    /// That list without the releases of which this run found something missing or altered: what a
    /// marker may move to.
    pub(crate) fn sound_listing(&self, project: &Project) -> Option<Listing> {
        let mut listing = self.listing(project)?;
        let state = self.state();
        listing.releases.retain(|version, _| {
            let release = ReleaseName { project: project.clone(), version: version.clone() };
            !state.incomplete.contains(&release)
        });
        Some(listing)
    }

    pub(crate) fn set_listing(&self, project: Project, listing: Listing) {
        self.state().listings.insert(project, listing);
    }

    pub(crate) fn set_markers(&self, outcome: MarkerOutcome) {
        self.state().markers = outcome;
    }

    /// What was done, with the releases of the plan that are complete here.
    pub(crate) fn into_report(self, releases: &BTreeMap<ReleaseName, Digest>) -> DestinationReport {
        let complete = releases.iter().filter(|(release, digest)| self.has(release, **digest));
        let complete = complete.map(|(release, _)| release.clone()).collect();
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        DestinationReport {
            name: self.plan.name.clone(),
            url: self.plan.url.clone(),
            observed: self.plan.observed,
            counts: state.counts,
            complete,
            failures: state.failures,
            markers: state.markers,
        }
    }

    /// A panic while it was held leaves counters that are still counters.
    fn state(&self) -> MutexGuard<'_, SiteState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
