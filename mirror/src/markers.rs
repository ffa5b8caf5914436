//! The last stage: markers move, at each destination, to versions that it and every required one lists
//! and that this run found nothing wrong with.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bonded_model::inventory::{Listing, marker_text};
use bonded_model::limits::CATALOG_BYTES_MAX;
use bonded_model::{Project, Version, marker, tree};

use crate::apply::Run;
use crate::desired::Class;
use crate::error::MirrorError;
use crate::limits::MARKER_BYTES_MAX;
use crate::merge;
use crate::observed::marker_version;
use crate::plan::Step;
use crate::report::MarkerOutcome;
use crate::settle::{parse_listing, replace};
use crate::site::Site;

/// Moves the markers of one destination, as far as the required ones allow.
///
/// # Errors
/// Only where the run as a whole cannot go on, that is, where the journal fails.
pub(crate) async fn move_markers(run: &Run<'_>, site: &Site<'_>) -> Result<(), MirrorError> {
    let behind = behind(run, site);
    if site.destination.is_watched() {
        return Ok(());
    }
    let unknown = run.sites.iter().any(|one| one.plan.required && !one.is_open());
    if unknown || !site.is_open() {
        site.set_markers(MarkerOutcome::Withheld { moved: 0, waiting_for: behind });
        return Ok(());
    }
    let (mut moved, mut planned) = (0, 0);
    for project in run.desired.projects() {
        let steps = steps_of(site, &project);
        planned += steps.len();
        if let (Some(here), false) = (site.listing(&project), steps.is_empty()) {
            moved += move_of_project(run, site, &here, &steps).await?;
        }
    }
    site.set_markers(match (planned, behind.is_empty()) {
        (_, false) => MarkerOutcome::Withheld { moved, waiting_for: behind },
        (0, true) => MarkerOutcome::Unchanged,
        (_, true) => MarkerOutcome::Moved(moved),
    });
    Ok(())
}

/// The destinations that markers at this one wait for: required ones, and itself.
fn behind(run: &Run<'_>, site: &Site<'_>) -> Vec<String> {
    let lacks = |one: &Site<'_>| !run.releases.iter().all(|(name, digest)| one.has(name, *digest));
    run.sites
        .iter()
        .filter(|one| (one.plan.required || one.plan.name == site.plan.name) && lacks(one))
        .map(|one| one.plan.name.clone())
        .collect()
}

/// The marker steps of a project by their keys.
fn steps_of<'a>(site: &Site<'a>, project: &Project) -> BTreeMap<&'a str, &'a Step> {
    let directory = format!("{project}/");
    site.steps(Class::Marker)
        .filter(|step| step.key.starts_with(&directory))
        .map(|step| (step.key.as_str(), step))
        .collect()
}

/// Replaces the files of the markers, then the list's copy of them. Gives how many files changed.
async fn move_of_project(
    run: &Run<'_>,
    site: &Site<'_>,
    here: &Listing,
    steps: &BTreeMap<&str, &Step>,
) -> Result<usize, MirrorError> {
    let project = &here.project;
    let deciding =
        run.sites.iter().filter(|one| one.plan.required || one.plan.name == site.plan.name);
    let required: Option<Vec<Listing>> = deciding.map(|one| one.sound_listing(project)).collect();
    let Some(required) = required else {
        return Ok(0); // one broke just now, and said so
    };
    let next = merge::next_markers(here, &here.markers, &required.iter().collect::<Vec<_>>());
    let (mut moved, mut shown) = (0, here.markers.clone());
    for (name, version) in next {
        let key = tree::marker(project, &name);
        let target = Target { here, name: &name, version: &version };
        let now = match steps.get(key.as_str()) {
            Some(step) => move_file(run, site, step, target).await?,
            None => Some((version, false)), // it pointed there already when the plan was made
        };
        if let Some((version, changed)) = now {
            moved += usize::from(changed);
            shown.insert(name, version);
        }
    }
    if let Some(step) = steps.get(tree::releases_json(project).as_str()) {
        let replaced = replace(site, &step.key, CATALOG_BYTES_MAX, |current| {
            let current = parse_listing(site, project, current)?;
            let listing = Listing { markers: shown.clone(), ..current.clone() };
            Ok((listing != current).then(|| listing.to_bytes().into()))
        });
        run.replaced(site, step, replaced.await).await?;
    }
    Ok(moved)
}

/// A marker and where it is to point.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    here: &'a Listing,
    name: &'a str,
    version: &'a Version,
}

/// Replaces one marker's file. Gives what it says now and whether that is new; none if it failed.
async fn move_file(
    run: &Run<'_>,
    site: &Site<'_>,
    step: &Step,
    target: Target<'_>,
) -> Result<Option<(Version, bool)>, MirrorError> {
    let now = Mutex::new(None);
    let replaced = replace(site, &step.key, MARKER_BYTES_MAX, |current| {
        let version = target.forward(current.and_then(marker_version));
        let bytes = marker_text(&version);
        *now.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        Ok((current != Some(bytes.as_slice())).then(|| bytes.into()))
    });
    let replaced = replaced.await;
    let outcome = match &replaced {
        Ok(changed) => {
            let now = now.into_inner().unwrap_or_else(PoisonError::into_inner);
            now.map(|version| (version, *changed))
        }
        Err(_) => None,
    };
    run.replaced(site, step, replaced).await?;
    Ok(outcome)
}

impl Target<'_> {
    /// The version to point to: not back behind one that the file names and that is listed here.
    fn forward(&self, held: Option<Version>) -> Version {
        let held = held.filter(|version| self.here.releases.contains_key(version));
        let candidates = held.iter().chain(std::iter::once(self.version));
        marker::markers(candidates).remove(self.name).unwrap_or_else(|| self.version.clone())
    }
}
