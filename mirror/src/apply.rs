//! Runs a plan: all destinations at once, each class after the one before, the source read once.
//!
//! ```text
//! manifests ▸ evidence ▸ artifacts   one object to all who lack it     (transfer)
//! barrier ▸ inventory ▸ lists        each destination on its own       (settle)
//! markers                            when all of that has ended        (markers)
//! ```
//!
//! Every step is idempotent, so that a run which is cancelled or killed anywhere is completed by
//! running the same plan, or a new one, again. What fails is collected and never stops what does
//! not depend on it; only a journal that cannot be written stops the run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bonded_model::{Digest, ReleaseName};
use futures_util::future::join_all;

use crate::backend::{Put, Seen};
use crate::covered;
use crate::desired::{Class, Desired};
use crate::destination::Destination;
use crate::error::MirrorError;
use crate::journal::{Entry, Ledger, State};
use crate::markers::move_markers;
use crate::plan::{Action, DestinationPlan, Plan, PlanError, Step};
use crate::progress::Progress;
use crate::report::ApplyReport;
use crate::settle::settle;
use crate::site::Site;
use crate::transfer::transfer;

/// A plan while it is run.
pub(crate) struct Run<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) ledger: &'a Ledger,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) sites: Vec<Site<'a>>,
    pub(crate) releases: &'a BTreeMap<ReleaseName, Digest>,
    plan: Digest,
    source_bytes: AtomicU64,
}

/// Runs a plan at the destinations that it names.
///
/// Cancellation is safe: what was written stays, nothing names it yet, the next run goes on.
///
/// # Errors
/// [`MirrorError::Plan`] if the plan is not covered by the verified releases, names a destination
/// that is not among `destinations`, or leaves out a required one that is; nothing was touched then. [`MirrorError::Journal`] if the journal
/// cannot be written. Everything else is in the report.
pub async fn apply(
    plan: &Plan,
    desired: &Desired,
    destinations: &[Destination],
    ledger: &Ledger,
    progress: &dyn Progress,
) -> Result<ApplyReport, MirrorError> {
    covered::check(plan, desired)?;
    let sites = sites(plan, desired, destinations, ledger)?;
    let (source_bytes, digest, releases) = (AtomicU64::new(0), plan.digest(), &plan.releases);
    let run = Run { desired, ledger, progress, sites, releases, plan: digest, source_bytes };
    run.announce();
    for class in Class::BEFORE_BARRIER {
        transfer(&run, class).await?;
    }
    ledger.sync().await?;
    all(run.sites.iter().map(|site| settle(&run, site))).await?;
    all(run.sites.iter().map(|site| move_markers(&run, site))).await?;
    ledger.sync().await?;
    let reports = run.sites.into_iter().map(|site| site.into_report(&plan.releases));
    Ok(ApplyReport {
        plan: digest,
        source_bytes: run.source_bytes.into_inner(),
        destinations: reports.collect(),
    })
}

/// Runs all to their ends, also where one fails early: the others are then at a good stop.
async fn all<F>(runs: impl Iterator<Item = F>) -> Result<(), MirrorError>
where
    F: Future<Output = Result<(), MirrorError>>,
{
    join_all(runs).await.into_iter().collect()
}

fn sites<'a>(
    plan: &'a Plan,
    desired: &Desired,
    destinations: &'a [Destination],
    ledger: &Ledger,
) -> Result<Vec<Site<'a>>, PlanError> {
    let known = ledger.known();
    covered::check_destinations(plan, destinations)?;
    let site = |planned: &'a DestinationPlan| {
        let destination = covered::check_destination(planned, destinations)?;
        covered::check_complete(planned, destination, desired, &known)?;
        Ok(Site::new(destination, planned))
    };
    plan.destinations.iter().map(site).collect()
}

impl Run<'_> {
    /// What is written is read back, so it counts twice.
    fn announce(&self) {
        let steps = self.sites.iter().flat_map(|site| &site.plan.steps);
        let (count, bytes) = steps.fold((0, 0_u64), |(count, bytes), step| {
            let moved = if step.action == Action::Replace { 0 } else { step.size };
            (count + 1, bytes.saturating_add(moved))
        });
        self.progress.planned(count, bytes);
    }

    pub(crate) fn count_source(&self, bytes: u64) {
        self.source_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn known_state(&self, site: &Site<'_>, step: &Step) -> Option<State> {
        let at = site.destination.identity();
        self.ledger.with_known(|known| known.state(at, &step.key, step.digest))
    }

    pub(crate) fn is_verified(&self, site: &Site<'_>, step: &Step, seen: &Seen) -> bool {
        let at = site.destination.identity();
        self.ledger.with_known(|known| known.is_verified(at, &step.key, step.digest, seen))
    }

    /// Writes down how far an object has come.
    pub(crate) async fn note(
        &self,
        site: &Site<'_>,
        step: &Step,
        state: State,
        etag: Option<String>,
    ) -> Result<(), MirrorError> {
        let entry = Entry {
            plan: self.plan,
            destination: site.destination.identity().to_owned(),
            key: step.key.clone(),
            digest: step.digest,
            state,
            etag,
        };
        self.ledger.append(entry).await
    }

    /// Notes that an object is at a destination. One that was there already is read back like every
    /// other.
    pub(crate) async fn arrived(
        &self,
        site: &Site<'_>,
        step: &Step,
        outcome: Put,
    ) -> Result<(), MirrorError> {
        match outcome {
            Put::Created => site.count(|counts| {
                counts.written += 1;
                counts.written_bytes = counts.written_bytes.saturating_add(step.size);
            }),
            Put::AlreadyThere => site.count(|counts| counts.found_done += 1),
        }
        self.note(site, step, State::Written, None).await
    }

    /// Notes how the replacement of a mutable document ended.
    pub(crate) async fn replaced(
        &self,
        site: &Site<'_>,
        step: &Step,
        outcome: Result<bool, MirrorError>,
    ) -> Result<(), MirrorError> {
        match outcome {
            Ok(true) => {
                site.count(|counts| counts.replaced += 1);
                self.note(site, step, State::Written, None).await
            }
            Ok(false) => {
                site.count(|counts| counts.found_done += 1);
                Ok(())
            }
            Err(error) => {
                site.fail(step, error);
                Ok(())
            }
        }
    }
}
