//! How each destination stands, without changing anything.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::{Project, ReleaseName, Version, marker};

use crate::desired::{Class, Desired};
use crate::destination::Destination;
use crate::error::MirrorError;
use crate::journal::Known;
use crate::observed::{Observed, observe};
use crate::plan::{Action, DestinationPlan, Step, plan};
use futures_util::future::join_all;

/// How one destination stands.
#[derive(Debug)]
pub struct DestinationStatus {
    /// What it is called.
    pub name: String,
    /// Its URL as configured.
    pub url: String,
    /// Whether markers wait for it.
    pub required: bool,
    /// What it has, or why that cannot be told.
    pub contents: Result<Contents, MirrorError>,
}

/// What a destination has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The releases asked about.
    pub releases: BTreeMap<ReleaseName, ReleaseStatus>,
    /// The markers of their projects.
    pub markers: Vec<MarkerStatus>,
}

/// How far a release is at a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleaseStatus {
    /// Objects that it consists of, the list of its evidence among them.
    pub objects: usize,
    /// Of those, how many are not there.
    pub missing: usize,
    /// Of those, how many were never read back; those that are missing are among them.
    pub unverified: usize,
    /// Of those, how many are there with other bytes, or the whole release under another digest.
    pub conflicts: usize,
    /// Whether the destination lists it as it should.
    pub listed: bool,
}

/// Where a marker points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerStatus {
    /// Whose marker.
    pub project: Project,
    /// Its name, such as `stable-1.31`.
    pub name: String,
    /// Where it points.
    pub points_to: Option<Version>,
    /// Where it would point if every release asked about were everywhere.
    pub expected: Version,
}

impl ReleaseStatus {
    /// Whether everything is there, was read back, and is listed.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && self.unverified == 0 && self.conflicts == 0 && self.listed
    }
}

/// Looks at all destinations at once, the same whether they are watched or not.
pub async fn status(
    desired: &Desired,
    destinations: &[Destination],
    known: &Known,
) -> Vec<DestinationStatus> {
    let projects = desired.projects();
    let destinations: Vec<Destination> =
        destinations.iter().map(|destination| destination.clone().written()).collect();
    let looks = destinations.iter().map(|destination| observe(destination, &projects));
    let looks = join_all(looks).await;
    destinations
        .iter()
        .zip(looks)
        .map(|(destination, look)| DestinationStatus {
            name: destination.name().to_owned(),
            url: destination.url().to_owned(),
            required: destination.is_required(),
            contents: look.map(|observed| contents(desired, destination, observed, known)),
        })
        .collect()
}

fn contents(
    desired: &Desired,
    destination: &Destination,
    observed: Observed,
    known: &Known,
) -> Contents {
    let alone = std::slice::from_ref(destination);
    let seen = std::slice::from_ref(&observed);
    let mut releases: BTreeMap<ReleaseName, ReleaseStatus> = BTreeMap::new();
    for name in desired.releases().into_keys() {
        let listed = ReleaseStatus { objects: 1, listed: true, ..ReleaseStatus::default() };
        releases.insert(name, listed);
    }
    for object in desired.objects() {
        for name in &object.releases {
            releases.entry(name.clone()).or_default().objects += 1;
        }
    }
    let planned = plan(desired, alone, seen, known);
    for step in planned.destinations.iter().flat_map(|one: &DestinationPlan| &one.steps) {
        count(step, &mut releases);
    }
    Contents { releases, markers: markers(desired, &observed) }
}

fn count(step: &Step, releases: &mut BTreeMap<ReleaseName, ReleaseStatus>) {
    for name in step.releases.iter().filter(|_| step.class != Class::Marker) {
        let status = releases.entry(name.clone()).or_default();
        match step.action {
            Action::Put => status.missing += 1,
            Action::Verify => status.unverified += 1,
            Action::Replace if step.class == Class::EvidenceList => status.unverified += 1,
            Action::Replace => status.listed = false,
            Action::ConflictSize { .. } | Action::ConflictRelease { .. } => {
                status.conflicts += 1;
                status.listed = false;
            }
        }
    }
}

fn markers(desired: &Desired, observed: &Observed) -> Vec<MarkerStatus> {
    let mut all = Vec::new();
    for project in desired.projects() {
        let existing = observed.markers(&project);
        let listed = observed.listing(&project).map(|listing| &listing.releases);
        let listed = listed.into_iter().flat_map(BTreeMap::keys);
        let wanted = desired.of_project(&project).map(|(name, _)| &name.version);
        let versions: BTreeSet<&Version> = listed.chain(wanted).collect();
        for (name, expected) in marker::markers(versions) {
            let points_to = existing.get(&name).cloned();
            all.push(MarkerStatus { project: project.clone(), name, points_to, expected });
        }
    }
    all
}
