//! The predicates as they stand in statements, one type for each version, and how each becomes the
//! one view.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::source::{Source, SourceRole};
use super::stated::{Members, Stated, event_inputs, facts, members};
use super::{Provenance, ProvenanceVersion};
use crate::statement::DigestSet;

/// The name of the one parameter that v0.1 and v0.2 parameters are, where they are no object.
pub(super) const ARGUMENTS_V0_1: &str = "recipe.arguments";
/// The same for v0.2.
pub(super) const PARAMETERS_V0_2: &str = "invocation.parameters";
/// The same for the inputs that somebody started a workflow with.
pub(super) const EVENT_INPUTS: &str = "github_event_payload.inputs";

/// Recipes of Google Cloud Build, which write the ref into substitutions.
const CLOUD_BUILD: &str = "https://cloudbuild.googleapis.com/";

/// Build types whose external parameters are those of the caller's inputs alone: the source is the
/// first of the resolved dependencies (slsa-github-generator, delegators).
const DELEGATED: [&str; 2] = [
    "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0",
    "https://github.com/slsa-framework/slsa-github-generator/delegator-lowperms-generic@v0",
];

/// Workflows of GitHub lie here; an entry point elsewhere is one of another kind.
const WORKFLOWS: &str = ".github/workflows/";

#[derive(Deserialize)]
pub(super) struct WireV01 {
    builder: WireBuilder,
    recipe: Option<WireRecipe>,
    metadata: Option<WireMetadataV02>,
    materials: Option<Vec<WireSource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRecipe {
    #[serde(rename = "type")]
    kind: String,
    defined_in_material: Option<Box<RawValue>>,
    arguments: Option<Box<RawValue>>,
    environment: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireV02 {
    builder: WireBuilder,
    build_type: String,
    invocation: Option<WireInvocation>,
    metadata: Option<WireMetadataV02>,
    materials: Option<Vec<WireSource>>,
}

#[derive(Deserialize)]
struct WireBuilder {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireInvocation {
    config_source: Option<WireConfigSource>,
    parameters: Option<Box<RawValue>>,
    environment: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireConfigSource {
    #[serde(flatten)]
    source: WireSource,
    entry_point: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMetadataV02 {
    build_finished_on: Option<String>,
}

#[derive(Deserialize)]
struct WireSource {
    #[serde(default)]
    uri: String,
    #[serde(default)]
    digest: DigestSet,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireV1 {
    build_definition: WireDefinition,
    run_details: WireRunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDefinition {
    build_type: String,
    external_parameters: Members,
    internal_parameters: Option<Box<RawValue>>,
    resolved_dependencies: Option<Vec<WireSource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRunDetails {
    builder: WireBuilder,
    metadata: Option<WireMetadataV1>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMetadataV1 {
    finished_on: Option<String>,
}

/// `externalParameters.workflow` of GitHub's own build type, and `buildConfigSource` of Google's.
#[derive(Deserialize)]
struct WireWorkflow {
    #[serde(rename = "ref")]
    reference: String,
    repository: String,
    path: Option<String>,
}

impl From<WireV01> for Provenance {
    fn from(wire: WireV01) -> Self {
        let materials = wire.materials.unwrap_or_default();
        let trigger = wire.recipe.as_ref().and_then(|recipe| recipe.trigger(&materials));
        let (kind, arguments, environment) = wire
            .recipe
            .map_or((String::new(), None, None), |r| (r.kind, r.arguments, r.environment));
        let environment = members(environment.as_deref());
        let events = event_inputs(&environment);
        let event_inputs = named_events(&events);
        let inputs = [events, inputs_of(arguments.as_deref())].concat();
        Self {
            version: ProvenanceVersion::V0_1,
            builder_id: wire.builder.id,
            build_type: kind,
            sources: sources(trigger, materials),
            external_parameters: named(ARGUMENTS_V0_1, arguments),
            event_inputs,
            inputs: inputs.iter().map(|raw| members(Some(raw))).collect(),
            stated: facts(&environment),
            finished_on: wire.metadata.and_then(|metadata| metadata.build_finished_on),
        }
    }
}

impl WireRecipe {
    /// The material that the recipe is defined in. Cloud Build leaves the number out and puts the
    /// source first; its ref stands in the substitutions, as a tag or a branch.
    fn trigger(&self, materials: &[WireSource]) -> Option<Source> {
        let by_cloud_build = self.kind.starts_with(CLOUD_BUILD);
        let at = match self.defined_in_material.as_deref().map(RawValue::get) {
            None | Some("null") if by_cloud_build => 0,
            None => return None,
            // A number that is none names no material. Cloud Build writes it as text.
            Some(text) => text.trim_matches('"').parse::<usize>().ok()?,
        };
        let material = materials.get(at)?;
        let uri = match material.digest.get("sha1") {
            Some(commit) if by_cloud_build => {
                let page = format!("/commit/{commit}");
                material.uri.strip_suffix(&page).unwrap_or(&material.uri)
            }
            _ => &material.uri,
        };
        Some(Source {
            role: SourceRole::Trigger,
            uri: uri.to_owned(),
            reference: if by_cloud_build { self.substituted_ref() } else { None },
            digest: material.digest.clone(),
        })
    }

    fn substituted_ref(&self) -> Option<String> {
        let arguments = members(self.arguments.as_deref());
        let substitutions = members(arguments.get("substitutions").map(AsRef::as_ref));
        let text = |name: &str| {
            let raw = substitutions.get(name)?;
            serde_json::from_str::<String>(raw.get()).ok() // what is no text is no name of a ref
        };
        match (text("TAG_NAME"), text("BRANCH_NAME")) {
            (Some(tag), None) => Some(format!("refs/tags/{tag}")),
            (None, Some(branch)) => Some(format!("refs/heads/{branch}")),
            _ => None,
        }
    }
}

impl From<WireV02> for Provenance {
    fn from(wire: WireV02) -> Self {
        let invocation = wire.invocation.unwrap_or_default();
        let environment = members(invocation.environment.as_deref());
        let mut stated = facts(&environment);
        let trigger = invocation.config_source.map(|config| {
            let trigger = config.source.with_role(SourceRole::Trigger);
            stated.extend(config.entry_point.and_then(|path| workflow_at(&trigger, &path)));
            trigger
        });
        let parameters = invocation.parameters;
        let events = event_inputs(&environment);
        let event_inputs = named_events(&events);
        let inputs = [events, inputs_of(parameters.as_deref())].concat();
        Self {
            version: ProvenanceVersion::V0_2,
            builder_id: wire.builder.id,
            build_type: wire.build_type,
            sources: sources(trigger, wire.materials.unwrap_or_default()),
            external_parameters: named(PARAMETERS_V0_2, parameters),
            event_inputs,
            inputs: inputs.iter().map(|raw| members(Some(raw))).collect(),
            stated,
            finished_on: wire.metadata.and_then(|metadata| metadata.build_finished_on),
        }
    }
}

impl From<WireV1> for Provenance {
    fn from(wire: WireV1) -> Self {
        let definition = wire.build_definition;
        let internal = members(definition.internal_parameters.as_deref());
        let mut stated = facts(&internal);
        let mut triggers = triggers_of(&definition.external_parameters, &mut stated);
        let mut materials = definition.resolved_dependencies.unwrap_or_default();
        if triggers.is_empty()
            && DELEGATED.contains(&definition.build_type.as_str())
            && !materials.is_empty()
        {
            triggers.push(materials.remove(0).with_role(SourceRole::Trigger));
        }
        let inputs = definition.external_parameters.get("inputs").cloned();
        let events = event_inputs(&internal);
        let event_inputs = named_events(&events);
        let inputs = events.into_iter().chain(inputs);
        let inputs = inputs.map(|raw| members(Some(&raw))).collect();
        Self {
            version: ProvenanceVersion::V1,
            builder_id: wire.run_details.builder.id,
            build_type: definition.build_type,
            sources: sources(triggers, materials),
            external_parameters: definition.external_parameters,
            event_inputs,
            inputs,
            stated,
            finished_on: wire.run_details.metadata.and_then(|metadata| metadata.finished_on),
        }
    }
}

fn sources(triggers: impl IntoIterator<Item = Source>, materials: Vec<WireSource>) -> Vec<Source> {
    let materials = materials.into_iter().map(|source| source.with_role(SourceRole::Material));
    triggers.into_iter().chain(materials).collect()
}

/// The raw inputs among parameters.
fn inputs_of(parameters: Option<&RawValue>) -> Vec<Box<RawValue>> {
    members(parameters).remove("inputs").into_iter().collect()
}

/// What somebody started a workflow with is a parameter of the build, wherever it is written down.
fn named_events(inputs: &[Box<RawValue>]) -> Members {
    inputs.iter().flat_map(|raw| named(EVENT_INPUTS, Some(raw.clone()))).collect()
}

/// Parameters by name. Where a version leaves the shape open, what is no object is one parameter, lest
/// a list of allowed names sees none where there is something.
fn named(whole: &str, raw: Option<Box<RawValue>>) -> Members {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Members::new() };
    let object = serde_json::from_str(raw.get());
    object.unwrap_or_else(|_no_object| [(whole.to_owned(), raw)].into())
}

/// The sources among the external parameters: `source` as a resource descriptor or a URI
/// (slsa-github-generator), `workflow` with repository and ref (GitHub's build type), and
/// `buildConfigSource` of the same shape (Google Cloud Build). Each that is there counts, and one that
/// cannot be read stands as it is written, so that no policy takes it for the wanted one.
fn triggers_of(parameters: &Members, stated: &mut Vec<(Stated, String)>) -> Vec<Source> {
    let mut triggers = Vec::new();
    if let Some(raw) = parameters.get("source") {
        let source = serde_json::from_str::<WireSource>(raw.get()).or_else(|_no_object| {
            serde_json::from_str(raw.get())
                .map(|uri| WireSource { uri, digest: DigestSet::default() })
        });
        triggers.push(source.map_or_else(
            |_unreadable| unreadable(raw),
            |source| source.with_role(SourceRole::Trigger),
        ));
    }
    for name in ["workflow", "buildConfigSource"] {
        let Some(raw) = parameters.get(name) else { continue };
        let Ok(workflow) = serde_json::from_str::<WireWorkflow>(raw.get()) else {
            triggers.push(unreadable(raw));
            continue;
        };
        let trigger = Source {
            role: SourceRole::Trigger,
            uri: workflow.repository,
            reference: Some(workflow.reference),
            digest: DigestSet::default(),
        };
        stated.extend(workflow.path.and_then(|path| workflow_at(&trigger, &path)));
        triggers.push(trigger);
    }
    triggers
}

fn unreadable(raw: &RawValue) -> Source {
    Source {
        role: SourceRole::Trigger,
        uri: raw.get().to_owned(),
        reference: None,
        digest: DigestSet::default(),
    }
}

/// The workflow that an entry point in a repository is, if it is one of GitHub's.
fn workflow_at(trigger: &Source, path: &str) -> Option<(Stated, String)> {
    let (repository, reference) = trigger.repository_and_ref();
    let reference = reference?;
    path.starts_with(WORKFLOWS)
        .then(|| (Stated::Workflow, format!("{repository}/{path}@{reference}")))
}

impl WireSource {
    fn with_role(self, role: SourceRole) -> Source {
        Source { role, uri: self.uri, reference: None, digest: self.digest }
    }
}
