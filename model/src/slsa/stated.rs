//! What a provenance says of the run that made it and a signing certificate may say too.
//!
//! GitHub's generators write the same facts in several places: into `invocation.environment` (v0.2),
//! into `internalParameters` in the spelling of the runner's variables, or under its member `github`
//! (v1). Each place is looked at, and every value that is found there is kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object whose members are not looked at yet.
pub(super) type Members = BTreeMap<String, Box<RawValue>>;

/// A fact about a run that a certificate may certify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stated {
    /// The number of the source repository, which outlives its name.
    RepositoryId,
    /// The number of the repository's owner.
    RepositoryOwnerId,
    /// The event that started the run.
    Event,
    /// `github-hosted` or `self-hosted`.
    RunnerEnvironment,
    /// The workflow that was started, as `https://github.com/<owner>/<repository>/<path>@<ref>`.
    Workflow,
}

/// The names of each fact as generators write them.
const NAMES: [(Stated, &[&str]); 4] = [
    (Stated::RepositoryId, &["github_repository_id", "GITHUB_REPOSITORY_ID", "repository_id"]),
    (
        Stated::RepositoryOwnerId,
        &["github_repository_owner_id", "GITHUB_REPOSITORY_OWNER_ID", "repository_owner_id"],
    ),
    (Stated::Event, &["github_event_name", "GITHUB_EVENT_NAME", "event_name"]),
    (Stated::RunnerEnvironment, &["RUNNER_ENVIRONMENT", "runner_environment"]),
];

/// The reference of a workflow without its host, in the runner's variables.
const WORKFLOW_REF: &str = "GITHUB_WORKFLOW_REF";

/// The payload of the event, whose `inputs` somebody started the workflow with.
const PAYLOADS: [&str; 2] = ["github_event_payload", "GITHUB_EVENT_PAYLOAD"];

/// The members of an object; none if it is something else.
pub(super) fn members(raw: Option<&RawValue>) -> Members {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()) // anything else has no members
        .unwrap_or_default()
}

/// Every fact that an environment or a set of internal parameters states.
pub(super) fn facts(place: &Members) -> Vec<(Stated, String)> {
    let nested = members(place.get("github").map(AsRef::as_ref));
    let places = [place, &nested];
    let mut found = Vec::new();
    for (stated, names) in NAMES {
        let raw = places.iter().flat_map(|place| names.iter().filter_map(|name| place.get(*name)));
        found.extend(raw.filter_map(|raw| Some((stated, text(raw)?))));
    }
    let workflow = place.get(WORKFLOW_REF).and_then(|raw| text(raw));
    found.extend(workflow.map(|at| (Stated::Workflow, format!("https://github.com/{at}"))));
    found
}

/// The raw inputs of the events that started the run, wherever they stand.
pub(super) fn event_inputs(place: &Members) -> Vec<Box<RawValue>> {
    let payloads = PAYLOADS.iter().filter_map(|name| place.get(*name));
    let inputs = payloads.filter_map(|payload| member(payload, "inputs"));
    inputs.filter(|raw| raw.get() != "null").collect()
}

/// One member of an object, without a copy of the others: the payload of an event is long.
fn member(raw: &RawValue, name: &str) -> Option<Box<RawValue>> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    reader.deserialize_any(Member { name }).ok()? // anything else has no members
}

/// Looks for the member of that name.
struct Member<'a> {
    name: &'a str,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Box<RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            if name == self.name {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A text, or a number as its digits; ids are written both ways.
fn text(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
