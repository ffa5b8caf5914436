//! Whether a plan, perhaps saved and perhaps edited, is covered by what is verified now.
//!
//! A plan gives no rights: it can only choose among what the verified releases have. It also cannot
//! leave out what the order of steps stands for: a release is listed only if the same plan reads
//! back, or the journal knows as read back, every object of it. What the journal alone knows is looked
//! at again before anything is listed, when the plan is run.

use std::collections::BTreeSet;

use bonded_model::{Digest, tree};

use crate::desired::{Class, Desired, Object};
use crate::destination::Destination;
use crate::journal::{Known, State};
use crate::plan::{Action, DestinationPlan, Plan, PlanError, Step};

/// Refuses a plan that is not covered.
///
/// # Errors
/// [`PlanError`], at the first thing that is not covered.
pub(crate) fn check(plan: &Plan, desired: &Desired) -> Result<(), PlanError> {
    let verified = desired.releases();
    for (release, planned) in &plan.releases {
        if verified.get(release) != Some(planned) {
            return Err(PlanError::NotVerified { release: release.clone(), planned: *planned });
        }
    }
    for step in plan.destinations.iter().flat_map(|destination| &destination.steps) {
        if !is_covered(plan, desired, step) {
            return Err(PlanError::Stale { key: step.key.clone(), planned: step.digest });
        }
    }
    Ok(())
}

fn is_covered(plan: &Plan, desired: &Desired, step: &Step) -> bool {
    let object = desired.object(&step.key).filter(|object| is_same(object, step));
    let class = object.map(|object| object.class);
    let in_plan = step.releases.iter().all(|release| plan.releases.contains_key(release));
    match (step.action, step.class) {
        (Action::Put, planned) => in_plan && class == Some(planned),
        (Action::Verify | Action::ConflictSize { .. }, Class::Barrier) => {
            in_plan && class.is_some()
        }
        (Action::Verify, Class::Inventory) => in_plan && class == Some(Class::Inventory),
        (Action::ConflictRelease { .. }, Class::Barrier) => in_plan,
        (Action::Replace, Class::EvidenceList) => step.releases.first().is_some_and(|name| {
            let list =
                desired.release(name).map(|release| Digest::sha256_of(&release.evidence_list));
            in_plan && step.key == tree::evidence_list(name) && list == Some(step.digest)
        }),
        (Action::Replace, Class::Releases) => step
            .releases
            .first()
            .is_some_and(|name| in_plan && step.key == tree::releases_json(&name.project)),
        // What a marker says is computed from the lists, for names that are computed too.
        (Action::Replace, Class::Marker) => true,
        _ => false,
    }
}

fn is_same(object: &Object, step: &Step) -> bool {
    let same = (object.digest, object.size) == (step.digest, step.size);
    same && object.releases.iter().eq(&step.releases)
}

/// Refuses a plan for other destinations than the given ones, as far as markers depend on them: they
/// wait for the required ones that are configured now, whatever the plan says.
///
/// # Errors
/// [`PlanError::LeftOut`] or [`PlanError::Twice`].
pub(crate) fn check_destinations(
    plan: &Plan,
    destinations: &[Destination],
) -> Result<(), PlanError> {
    let mut named = BTreeSet::new();
    for planned in &plan.destinations {
        if !named.insert(planned.name.as_str()) {
            return Err(PlanError::Twice { name: planned.name.clone() });
        }
    }
    let mut required = destinations.iter().filter(|one| one.is_required());
    match required.find(|one| !named.contains(one.name())) {
        None => Ok(()),
        Some(one) => Err(PlanError::LeftOut { name: one.name().to_owned() }),
    }
}

/// The destination that a part of a plan is for.
///
/// # Errors
/// [`PlanError::Destination`], [`PlanError::Required`] or [`PlanError::Watched`].
pub(crate) fn check_destination<'a>(
    planned: &DestinationPlan,
    destinations: &'a [Destination],
) -> Result<&'a Destination, PlanError> {
    let name = || planned.name.clone();
    let here = |one: &&Destination| one.name() == planned.name && one.url() == planned.url;
    let Some(destination) = destinations.iter().find(here) else {
        return Err(PlanError::Destination { name: name(), url: planned.url.clone() });
    };
    if destination.is_required() != planned.required {
        return Err(PlanError::Required { name: name(), planned: planned.required });
    }
    if destination.is_watched() && !planned.steps.is_empty() {
        return Err(PlanError::Watched { name: name() });
    }
    Ok(destination)
}

/// Refuses a plan for one destination that would list a release without having read all of it back.
///
/// # Errors
/// [`PlanError::Unread`].
pub(crate) fn check_complete(
    plan: &DestinationPlan,
    destination: &Destination,
    desired: &Desired,
    known: &Known,
) -> Result<(), PlanError> {
    let (listed, read) = (plan.listed(), plan.read_back());
    let unread = desired.objects().find(|object| {
        let needed = object.releases.iter().any(|release| listed.contains(release));
        let state = known.state(destination.identity(), &object.key, object.digest);
        needed && !read.contains(object.key.as_str()) && state != Some(State::Verified)
    });
    match unread {
        None => Ok(()),
        Some(object) => {
            Err(PlanError::Unread { destination: plan.name.clone(), key: object.key.clone() })
        }
    }
}
