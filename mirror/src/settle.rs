//! What happens at one destination once its objects are written: the barrier, the inventories, and
//! the lists. Each stage runs only for the releases that came through everything before it.

use std::collections::BTreeSet;

use bonded_model::inventory::{Listed, Listing};
use bonded_model::{Digest, Project, ReleaseName, tree};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use sha2::{Digest as _, Sha256};

use crate::apply::Run;
use crate::backend::{Expected, Seen};
use crate::desired::{Class, Source, length};
use crate::error::{At, MirrorError};
use crate::fault::{Fault, FaultKind, Operation};
use crate::journal::State;
use crate::limits::{MERGE_ATTEMPTS, REQUESTS_PER_DESTINATION};
use crate::merge;
use crate::observed::{Current, failed, read_listing, read_small};
use crate::plan::{Action, Step, step_of};
use crate::site::Site;
use bonded_model::limits::CATALOG_BYTES_MAX;

/// Everything after the objects and before the markers.
///
/// # Errors
/// Only where the run as a whole cannot go on, that is, where the journal fails.
pub(crate) async fn settle(run: &Run<'_>, site: &Site<'_>) -> Result<(), MirrorError> {
    stream::iter(site.steps(Class::Barrier).map(Ok))
        .try_for_each_concurrent(REQUESTS_PER_DESTINATION, |step| barrier(run, site, step))
        .await?;
    let unplanned = unplanned(run, site);
    stream::iter(unplanned.iter().map(Ok))
        .try_for_each_concurrent(REQUESTS_PER_DESTINATION, |step| look_again(run, site, step))
        .await?;
    run.ledger.sync().await?;
    stream::iter(site.steps(Class::Inventory).map(Ok))
        .try_for_each_concurrent(REQUESTS_PER_DESTINATION, |step| inventory(run, site, step))
        .await?;
    for step in site.steps(Class::EvidenceList) {
        evidence_list(run, site, step).await?;
    }
    for step in site.steps(Class::Releases) {
        releases(run, site, step).await?;
    }
    for project in run.desired.projects() {
        read_listing_of(site, project).await;
    }
    run.ledger.sync().await
}

async fn barrier(run: &Run<'_>, site: &Site<'_>, step: &Step) -> Result<(), MirrorError> {
    if !site.is_open() {
        site.skip();
        return Ok(());
    }
    match step.action {
        Action::ConflictRelease { seen } => {
            refuse_release(site, step, step.releases.first(), seen);
            Ok(())
        }
        Action::ConflictSize { .. } => confirm(run, site, step).await,
        Action::Put | Action::Verify | Action::Replace => {
            if !site.wants(step) {
                return Ok(());
            }
            if is_confirmed(run, site, step).await {
                site.count(|counts| counts.found_done += 1);
                return Ok(());
            }
            confirm(run, site, step).await
        }
    }
}

/// What the plan left out because it was known as read back, of the releases that it lists here. The
/// plan may be old: since then it may have gone, or become something else.
fn unplanned(run: &Run<'_>, site: &Site<'_>) -> Vec<Step> {
    let listed = site.plan.listed();
    let read = site.plan.read_back();
    let objects = run.desired.objects().filter(|object| {
        let needed = object.releases.iter().any(|release| listed.contains(release));
        needed && !read.contains(object.key.as_str())
    });
    objects.map(|object| step_of(object, Class::Barrier, Action::Verify)).collect()
}

/// Reads an object back unless it is what it was when it was read back.
async fn look_again(run: &Run<'_>, site: &Site<'_>, step: &Step) -> Result<(), MirrorError> {
    if !site.wants_still(step) || is_confirmed(run, site, step).await {
        return Ok(());
    }
    confirm(run, site, step).await
}

fn refuse_release(site: &Site<'_>, step: &Step, release: Option<&ReleaseName>, found: Digest) {
    if let Some(release) = release {
        let error = MirrorError::ReleaseDiffers {
            at: At::of(site.destination),
            release: release.clone(),
            expected: step.digest,
            found,
        };
        site.fail(step, error);
    }
}

/// Whether an earlier run, or this one before it was killed, read the object back, and it is what it
/// was then.
async fn is_confirmed(run: &Run<'_>, site: &Site<'_>, step: &Step) -> bool {
    if run.known_state(site, step) != Some(State::Verified) {
        return false;
    }
    let _permit = site.permit().await;
    match site.backend().head(&step.key).await {
        Ok(Some(seen)) => seen.size == step.size && run.is_verified(site, step, &seen),
        Ok(None) | Err(_) => false, // reading it back reports what is wrong
    }
}

/// Reads an object back and compares its digest.
async fn confirm(run: &Run<'_>, site: &Site<'_>, step: &Step) -> Result<(), MirrorError> {
    let read = {
        let _permit = site.permit().await;
        read_back(run, site, &step.key).await
    };
    let at = || At::of(site.destination);
    let (found, seen) = match read {
        Ok(Some(found)) => found,
        Ok(None) => {
            site.fail(step, MirrorError::Lost { at: at(), key: step.key.clone() });
            return Ok(());
        }
        Err(fault) => {
            site.fail(step, site.error(fault));
            return Ok(());
        }
    };
    if found != step.digest {
        let (key, expected) = (step.key.clone(), step.digest);
        site.fail(step, MirrorError::Differs { at: at(), key, expected, found });
        return Ok(());
    }
    site.count(|counts| {
        counts.verified += 1;
        counts.verified_bytes = counts.verified_bytes.saturating_add(step.size);
    });
    run.note(site, step, State::Verified, seen.etag).await
}

async fn read_back(
    run: &Run<'_>,
    site: &Site<'_>,
    key: &str,
) -> Result<Option<(Digest, Seen)>, Fault> {
    let Some(mut chunks) = site.backend().read(key).await? else {
        return Ok(None);
    };
    let mut hash = Sha256::new();
    while let Some(bytes) = chunks.next().await? {
        hash.update(&bytes);
        run.progress.advanced(length(&bytes));
    }
    let digest = Digest::from_sha256(hash.finalize().into());
    Ok(Some((digest, chunks.seen().clone())))
}

async fn inventory(run: &Run<'_>, site: &Site<'_>, step: &Step) -> Result<(), MirrorError> {
    if !site.wants(step) {
        return Ok(());
    }
    if step.action == Action::Put
        && let Some(Source::Inline(bytes)) = run.desired.object(&step.key).map(|o| &o.source)
    {
        let answer = {
            let _permit = site.permit().await;
            site.backend().put_new(&step.key, bytes.clone()).await
        };
        match answer {
            Ok(outcome) => run.arrived(site, step, outcome).await?,
            Err(fault) => {
                site.fail(step, site.error(fault));
                return Ok(());
            }
        }
    }
    confirm(run, site, step).await
}

async fn evidence_list(run: &Run<'_>, site: &Site<'_>, step: &Step) -> Result<(), MirrorError> {
    if !site.wants(step) {
        return Ok(());
    }
    let release = step.releases.first().and_then(|name| run.desired.release(name));
    let Some(release) = release else {
        return Ok(());
    };
    let replaced = replace(site, &step.key, CATALOG_BYTES_MAX, |current| {
        let same = current.is_some_and(|current| current == release.evidence_list);
        Ok((!same).then(|| release.evidence_list.clone()))
    });
    run.replaced(site, step, replaced.await).await?;
    if !site.wants_still(step) {
        return Ok(());
    }
    match read_small(site.destination, &step.key, CATALOG_BYTES_MAX).await {
        // What it is from now on, so that the next plan sees whether somebody changed it.
        Ok(Current { bytes: Some(bytes), expected: Expected::Present(etag) })
            if bytes == release.evidence_list =>
        {
            run.note(site, step, State::Verified, etag).await
        }
        Ok(_) => Ok(()), // another mirror was quicker; the next plan decides
        Err(error) => {
            site.fail(step, error);
            Ok(())
        }
    }
}

/// Adds the complete releases to a project's list, then looks at what the list says now.
async fn releases(run: &Run<'_>, site: &Site<'_>, step: &Step) -> Result<(), MirrorError> {
    if !site.wants(step) {
        return Ok(());
    }
    let complete: Vec<(&ReleaseName, &Listed)> = step
        .releases
        .iter()
        .filter(|name| site.is_complete(name))
        .filter_map(|name| Some((name, &run.desired.release(name)?.listed)))
        .collect();
    let Some((first, _)) = complete.first() else {
        return Ok(());
    };
    let project = &first.project;
    let replaced = replace(site, &step.key, CATALOG_BYTES_MAX, |current| {
        let current = parse_listing(site, project, current)?;
        let (next, _clashes) = merge::add(&current, complete.iter().copied());
        Ok((next != current).then(|| next.to_bytes().into()))
    });
    run.replaced(site, step, replaced.await).await?;
    if let Some(listing) = read_listing_of(site, project.clone()).await {
        for (name, listed) in complete {
            refuse_if_other(site, step, name, listed, &listing);
        }
    }
    Ok(())
}

/// Somebody else may have listed another release under that name since the plan was made.
fn refuse_if_other(
    site: &Site<'_>,
    step: &Step,
    name: &ReleaseName,
    listed: &Listed,
    listing: &Listing,
) {
    let (at, release) = (At::of(site.destination), name.clone());
    let error = match listing.releases.get(&name.version) {
        Some(held) if held.digest == listed.digest => return,
        Some(held) => {
            MirrorError::ReleaseDiffers { at, release, expected: listed.digest, found: held.digest }
        }
        None if !site.is_complete(name) => return, // the replacement failed and said so
        None => MirrorError::Lost { at, key: tree::release(name) },
    };
    site.fail_for(step, BTreeSet::from([name.clone()]), error);
}

/// What a destination lists now; markers are decided on it.
async fn read_listing_of(site: &Site<'_>, project: Project) -> Option<Listing> {
    if !site.is_open() {
        return None;
    }
    match read_listing(site.destination, &project).await {
        Ok((listing, _)) => {
            site.set_listing(project, listing.clone());
            Some(listing)
        }
        Err(error) => {
            site.fail_reading(tree::releases_json(&project), error);
            None
        }
    }
}

pub(crate) fn parse_listing(
    site: &Site<'_>,
    project: &Project,
    bytes: Option<&[u8]>,
) -> Result<Listing, MirrorError> {
    let Some(bytes) = bytes else {
        return Ok(Listing::empty(project.clone()));
    };
    Listing::parse(project, bytes).map_err(|source| MirrorError::Foreign {
        at: At::of(site.destination),
        key: tree::releases_json(project),
        source,
    })
}

/// Replaces a mutable document with what `next` makes of it, again if somebody else wrote it in
/// between. Nothing is written where `next` gives nothing. True if it was replaced.
pub(crate) async fn replace<F>(
    site: &Site<'_>,
    key: &str,
    limit: u64,
    next: F,
) -> Result<bool, MirrorError>
where
    F: Fn(Option<&[u8]>) -> Result<Option<Bytes>, MirrorError>,
{
    for _attempt in 0..MERGE_ATTEMPTS {
        let current = read_small(site.destination, key, limit).await?;
        let Some(bytes) = next(current.bytes.as_deref())? else {
            return Ok(false);
        };
        match site.backend().replace(key, bytes, current.expected).await {
            Ok(()) => return Ok(true),
            Err(fault) if fault.kind == FaultKind::Changed => {}
            Err(fault) => return Err(failed(site.destination, fault)),
        }
    }
    let text = format!("it changed {MERGE_ATTEMPTS} times while it was being replaced");
    let fault = Fault::new(FaultKind::Changed, Operation::Replace, key, text.into());
    Err(failed(site.destination, fault))
}
