//! The plan: what is missing at each destination, as a pure value that can be printed, saved,
//! reviewed and applied later.
//!
//! ```text
//! {"destinations":[{"name":"eu","observed":true,"required":true,"steps":[
//!    {"action":"put","class":"artifact","digest":"sha256:…","key":"demo/release/v1/a",
//!     "releases":["demo@v1"],"size":12}, …],"url":"s3://eu/"}],
//!  "releases":{"demo@v1":"sha256:…"},"version":1}
//! ```
//!
//! The steps of one destination stand in the order in which they are run ([`Class`]). The digest of
//! a list or a marker is the one it gets if every step before it succeeds; a run that could not
//! complete a release leaves that release out of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bonded_model::inventory::{Listed, Listing, marker_text};
use bonded_model::json::{self, JsonError};
use bonded_model::{Digest, Project, ReleaseName, tree};
use serde::{Deserialize, Serialize};

use crate::desired::{Class, Desired, Object, length};
use crate::destination::Destination;
use crate::journal::Known;
use crate::limits::PLAN_BYTES_MAX;
use crate::merge;
use crate::observed::Observed;

/// The version of the plan's JSON.
const PLAN_VERSION: u32 = 1;

/// What is missing at each destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    version: u32,
    /// The releases that it is about, with the digests that were verified.
    pub releases: BTreeMap<ReleaseName, Digest>,
    /// The destinations in the order of their names.
    pub destinations: Vec<DestinationPlan>,
}

/// What is missing at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationPlan {
    /// What it is called.
    pub name: String,
    /// Its URL as configured.
    pub url: String,
    /// Whether markers wait for it.
    pub required: bool,
    /// Whether it could be listed. If not there are no steps, and if it is required no marker moves
    /// anywhere. One that is only looked at has no steps either.
    pub observed: bool,
    /// What to do, in this order.
    pub steps: Vec<Step>,
}

/// One idempotent action on one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When it is done.
    pub class: Class,
    /// What is done.
    pub action: Action,
    /// The path of the object in the public tree.
    pub key: String,
    /// SHA-256 of what is to be there.
    pub digest: Digest,
    /// How many bytes that is.
    pub size: u64,
    /// The releases that need it.
    pub releases: Vec<ReleaseName>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Writes a new object, unless one of that name exists.
    Put,
    /// Reads the object back and compares its SHA-256.
    Verify,
    /// Replaces a mutable document.
    Replace,
    /// Refuses: an object of that name has another size. It is read to name its digest, and stays.
    ConflictSize {
        /// The size that was seen.
        seen: u64,
    },
    /// Refuses: another release is listed under that name. It stays.
    ConflictRelease {
        /// The release digest that was seen.
        seen: Digest,
    },
}

/// Why a plan cannot be read or must not be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It is no JSON document of the right shape.
    #[error("not a mirror plan")]
    Json(#[source] JsonError),
    /// It was written by another version of this program.
    #[error("mirror plan has version {found}, this program reads version {PLAN_VERSION}")]
    Version {
        /// As read.
        found: u32,
    },
    /// It has a release that is not verified now, or was verified with another digest.
    #[error("the plan has {release} as {planned}, which is not among the verified releases")]
    NotVerified {
        /// The release.
        release: ReleaseName,
        /// Its digest in the plan.
        planned: Digest,
    },
    /// It has a step on an object that the verified releases do not have like that.
    #[error("the plan has {key} as {planned}, which the verified releases do not have; plan again")]
    Stale {
        /// The object.
        key: String,
        /// Its digest in the plan.
        planned: Digest,
    },
    /// It would list a release without reading back one of its objects.
    #[error("the plan lists a release at {destination} without reading back {key}; plan again")]
    Unread {
        /// The destination.
        destination: String,
        /// The object.
        key: String,
    },
    /// It has a destination that is not configured, or is configured with another URL.
    #[error("the plan has destination {name} at {url}, which is not configured like that")]
    Destination {
        /// What it is called.
        name: String,
        /// Its URL in the plan.
        url: String,
    },
    /// It has a destination as required that is not, or the other way round.
    #[error("the plan has destination {name} with required = {planned}; plan again")]
    Required {
        /// What it is called.
        name: String,
        /// As in the plan.
        planned: bool,
    },
    /// It leaves out a destination for which markers wait.
    #[error("the plan leaves out the required destination {name}; plan again")]
    LeftOut {
        /// What it is called.
        name: String,
    },
    /// It has a destination twice.
    #[error("the plan has destination {name} twice")]
    Twice {
        /// What it is called.
        name: String,
    },
    /// It has steps at a destination that is only looked at.
    #[error("the plan has steps at destination {name}, which is only looked at")]
    Watched {
        /// What it is called.
        name: String,
    },
}

impl Plan {
    /// Reads a saved plan.
    ///
    /// # Errors
    /// [`PlanError`] if it is something else, has unknown fields, or another version.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanError> {
        let plan: Self = json::parse(bytes, PLAN_BYTES_MAX).map_err(PlanError::Json)?;
        if plan.version == PLAN_VERSION {
            Ok(plan)
        } else {
            Err(PlanError::Version { found: plan.version })
        }
    }

    /// Its canonical bytes.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_canonical(self)
    }

    /// SHA-256 of its canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::sha256_of(&self.to_json())
    }

    /// Whether there is nothing to do, and every destination could be listed.
    pub fn is_empty(&self) -> bool {
        self.destinations.iter().all(|one| one.observed && one.steps.is_empty())
    }

    /// The steps that will refuse, with the destinations at which they do.
    pub fn conflicts(&self) -> impl Iterator<Item = (&DestinationPlan, &Step)> {
        self.destinations.iter().flat_map(|destination| {
            let steps = destination.steps.iter();
            steps.filter(|step| step.action.is_conflict()).map(move |step| (destination, step))
        })
    }
}

impl DestinationPlan {
    /// The releases that it lists there.
    pub(crate) fn listed(&self) -> BTreeSet<&ReleaseName> {
        let lists = self.steps.iter().filter(|step| step.action == Action::Replace);
        lists
            .filter(|step| step.class == Class::Releases || step.class == Class::EvidenceList)
            .flat_map(|step| &step.releases)
            .collect()
    }

    /// The objects that it reads back there.
    pub(crate) fn read_back(&self) -> BTreeSet<&str> {
        let read = self.steps.iter().filter(|step| step.class <= Class::Inventory);
        read.filter(|step| step.class >= Class::Barrier).map(|step| step.key.as_str()).collect()
    }
}

impl Action {
    /// Whether it refuses.
    pub fn is_conflict(self) -> bool {
        match self {
            Self::ConflictSize { .. } | Self::ConflictRelease { .. } => true,
            Self::Put | Self::Verify | Self::Replace => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, key, digest, size, .. } = self;
        let digest = digest.short();
        match self.action {
            Action::Put => write!(f, "put {class} {key} ({size} bytes, {digest})"),
            Action::Verify => write!(f, "verify {key} ({size} bytes, {digest})"),
            Action::Replace => write!(f, "replace {class} {key} ({size} bytes, {digest})"),
            Action::ConflictSize { seen } => {
                write!(f, "refuse {key}: expected {size} bytes ({digest}), seen {seen} bytes")
            }
            Action::ConflictRelease { seen } => {
                write!(f, "refuse {key}: expected release {digest}, seen {}", seen.short())
            }
        }
    }
}

/// What is missing at each destination: desired minus observed.
///
/// A destination without an [`Observed`] gets no steps, nor does one that is only looked at
/// ([`Destination::watched`]). `known` spares reading back what was read
/// back before and has not changed since.
pub fn plan(
    desired: &Desired,
    destinations: &[Destination],
    observed: &[Observed],
    known: &Known,
) -> Plan {
    let mut drafts: Vec<Draft<'_>> = destinations
        .iter()
        .map(|destination| {
            let observed = observed.iter().find(|one| one.destination == destination.name());
            Draft::new(desired, destination, observed, known)
        })
        .collect();
    drafts.sort_by(|a, b| a.destination.name().cmp(b.destination.name()));
    let markers: Vec<Vec<Step>> =
        drafts.iter().map(|draft| draft.markers(desired, &drafts)).collect();
    let destinations = drafts.into_iter().zip(markers).map(|(draft, markers)| DestinationPlan {
        name: draft.destination.name().to_owned(),
        url: draft.destination.url().to_owned(),
        required: draft.destination.is_required(),
        observed: draft.observed.is_some(),
        steps: draft.steps.into_iter().chain(markers).collect(),
    });
    Plan {
        version: PLAN_VERSION,
        releases: desired.releases(),
        destinations: destinations.collect(),
    }
}

/// The plan for one destination while it is made.
struct Draft<'a> {
    destination: &'a Destination,
    observed: Option<&'a Observed>,
    /// Without those of class [`Class::Marker`].
    steps: Vec<Step>,
    /// What it will list if every step succeeds.
    listings: BTreeMap<Project, Listing>,
}

impl<'a> Draft<'a> {
    fn new(
        desired: &Desired,
        destination: &'a Destination,
        observed: Option<&'a Observed>,
        known: &Known,
    ) -> Self {
        let mut draft =
            Self { destination, observed, steps: Vec::new(), listings: BTreeMap::new() };
        if let Some(observed) = observed
            && destination.is_watched()
        {
            draft.listings.clone_from(&observed.listings);
        } else if let Some(observed) = observed {
            let blocked = draft.conflicts(desired, observed);
            draft.objects(desired, observed, known, &blocked);
            draft.evidence_lists(desired, observed, known, &blocked);
            draft.lists(desired, observed, &blocked);
        }
        draft
    }

    /// Finds the releases that can never be complete here, and adds the steps that say so.
    fn conflicts(&mut self, desired: &Desired, observed: &Observed) -> BTreeSet<ReleaseName> {
        let mut steps = Vec::new();
        for object in desired.objects() {
            match observed.object(&object.key) {
                Some(seen) if seen.size != object.size => {
                    let action = Action::ConflictSize { seen: seen.size };
                    steps.push(step_of(object, Class::Barrier, action));
                }
                _ => {}
            }
        }
        for (name, digest) in desired.releases() {
            let listing = observed.listing(&name.project);
            match listing.and_then(|listing| listing.releases.get(&name.version)) {
                Some(listed) if listed.digest != digest => steps.push(Step {
                    class: Class::Barrier,
                    action: Action::ConflictRelease { seen: listed.digest },
                    key: tree::release(&name),
                    digest,
                    size: 0,
                    releases: vec![name],
                }),
                _ => {}
            }
        }
        let blocked = steps.iter().flat_map(|step| step.releases.iter().cloned()).collect();
        self.steps = steps;
        blocked
    }

    /// Adds the immutable objects: what is absent is written and read back, what is there and was
    /// never read back is read back.
    fn objects(
        &mut self,
        desired: &Desired,
        observed: &Observed,
        known: &Known,
        blocked: &BTreeSet<ReleaseName>,
    ) {
        let (mut puts, mut inventories) = (Vec::new(), Vec::new());
        let conflicts = std::mem::take(&mut self.steps);
        let mut verifies = Vec::new();
        for object in desired.objects().filter(|object| !object.releases.is_subset(blocked)) {
            let seen = observed.object(&object.key);
            let action = match seen {
                None => Action::Put,
                Some(seen) => {
                    let (at, key) = (self.destination.identity(), &object.key);
                    if known.is_verified(at, key, object.digest, seen) {
                        continue;
                    }
                    Action::Verify
                }
            };
            if object.class == Class::Inventory {
                inventories.push(step_of(object, Class::Inventory, action));
                continue;
            }
            if action == Action::Put {
                puts.push(step_of(object, object.class, action));
            }
            verifies.push(step_of(object, Class::Barrier, Action::Verify));
        }
        puts.sort_by(|a, b| (a.class, &a.key).cmp(&(b.class, &b.key)));
        self.steps = puts;
        self.steps.extend(conflicts);
        self.steps.extend(verifies);
        self.steps.extend(inventories);
    }

    /// Adds the evidence lists of releases that are listed otherwise, and those that are not there, or
    /// are not what they were when they were last written.
    fn evidence_lists(
        &mut self,
        desired: &Desired,
        observed: &Observed,
        known: &Known,
        blocked: &BTreeSet<ReleaseName>,
    ) {
        let at = self.destination.identity();
        for name in desired.releases().into_keys().filter(|name| !blocked.contains(name)) {
            let Some(release) = desired.release(&name) else {
                continue;
            };
            let bytes = &release.evidence_list;
            let key = tree::evidence_list(&name);
            let step = replace(Class::EvidenceList, key, bytes, vec![name.clone()]);
            let listing = observed.listing(&name.project);
            let listed = listing.and_then(|listing| listing.releases.get(&name.version));
            let is_there = observed.object(&step.key).is_some_and(|seen| {
                seen.size == step.size && known.is_verified(at, &step.key, step.digest, seen)
            });
            if !is_there || listed != Some(&release.listed) {
                self.steps.push(step);
            }
        }
    }

    /// Adds the lists of the releases of each project.
    fn lists(&mut self, desired: &Desired, observed: &Observed, blocked: &BTreeSet<ReleaseName>) {
        let mut releases_steps = Vec::new();
        for project in desired.projects() {
            let empty = Listing::empty(project.clone());
            let current = observed.listing(&project).unwrap_or(&empty);
            let changed: Vec<(&ReleaseName, &Listed)> = desired
                .of_project(&project)
                .filter(|(name, _)| !blocked.contains(*name))
                .map(|(name, release)| (name, &release.listed))
                .filter(|(name, listed)| current.releases.get(&name.version) != Some(*listed))
                .collect();
            let (next, _clashes_are_blocked) = merge::add(current, changed.iter().copied());
            if next != *current {
                let key = tree::releases_json(&project);
                let names = changed.iter().map(|(name, _)| (*name).clone()).collect();
                releases_steps.push(replace(Class::Releases, key, &next.to_bytes(), names));
            }
            self.listings.insert(project, next);
        }
        self.steps.extend(releases_steps);
    }

    /// The markers, if every required destination could be listed.
    fn markers(&self, desired: &Desired, all: &[Self]) -> Vec<Step> {
        let mut steps = Vec::new();
        let listings = self.listings.iter().filter(|_| !self.destination.is_watched());
        for (project, here) in listings {
            let required: Option<Vec<&Listing>> = all
                .iter()
                .filter(|draft| draft.destination.is_required())
                .map(|draft| draft.listings.get(project))
                .collect();
            let existing = self.observed.map(|observed| observed.markers(project));
            let (Some(required), Some(existing)) = (required, existing) else {
                continue;
            };
            let next = merge::next_markers(here, &existing, &required);
            for (name, version) in &next {
                if existing.get(name) != Some(version) {
                    let release =
                        ReleaseName { project: project.clone(), version: version.clone() };
                    let key = tree::marker(project, name);
                    let bytes = marker_text(version);
                    steps.push(replace(Class::Marker, key, &bytes, vec![release]));
                }
            }
            if here.markers != next {
                let listing = Listing { markers: next, ..here.clone() };
                let names = desired.of_project(project).map(|(name, _)| name.clone()).collect();
                let key = tree::releases_json(project);
                steps.push(replace(Class::Marker, key, &listing.to_bytes(), names));
            }
        }
        steps
    }
}

pub(crate) fn step_of(object: &Object, class: Class, action: Action) -> Step {
    Step {
        class,
        action,
        key: object.key.clone(),
        digest: object.digest,
        size: object.size,
        releases: object.releases.iter().cloned().collect(),
    }
}

fn replace(class: Class, key: String, bytes: &[u8], releases: Vec<ReleaseName>) -> Step {
    Step {
        class,
        action: Action::Replace,
        key,
        digest: Digest::sha256_of(bytes),
        size: length(bytes),
        releases,
    }
}
