//! SLSA provenance v0.2 and v1 as one view: who built, how, from which source.
//!
//! Only what a policy compares is read; unknown fields are ignored here and still stand in the
//! signed bytes (SLSA v1.0, provenance.md, "Parsing rules"). External parameters keep their raw JSON
//! so that an allow-list can see every key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::{self, JsonError};
use crate::limits::EVIDENCE_BYTES_MAX;
use crate::statement::{DigestSet, Statement};

/// Predicate type of SLSA provenance v0.2.
pub const PROVENANCE_V0_2: &str = "https://slsa.dev/provenance/v0.2";
/// Predicate type of SLSA provenance v1.
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";

/// The name of the one parameter that v0.2 parameters are, where they are no object.
const PARAMETERS_V0_2: &str = "invocation.parameters";
/// The same for the inputs that somebody started a workflow with.
const INPUTS_V0_2: &str = "invocation.environment.github_event_payload.inputs";

/// What one provenance predicate claims.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Which predicate version it was read from.
    pub version: ProvenanceVersion,
    /// `builder.id`: the claimed builder; a policy compares it with the signer.
    pub builder_id: String,
    /// `buildType`.
    pub build_type: String,
    /// Where the sources came from, in the order: what started the build, then the materials.
    pub sources: Vec<Source>,
    /// External parameters by name, raw: `externalParameters` (v1), or `invocation.parameters` and the
    /// inputs of the GitHub event in `invocation.environment` (v0.2), where slsa-github-generator
    /// writes what somebody started the workflow with.
    pub external_parameters: BTreeMap<String, Box<RawValue>>,
    /// When the build ended, as written.
    pub finished_on: Option<String>,
}

/// Version of the predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ProvenanceVersion {
    /// `https://slsa.dev/provenance/v0.2`
    V0_2,
    /// `https://slsa.dev/provenance/v1`
    V1,
}

/// One source that a provenance names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The role it plays.
    pub role: SourceRole,
    /// The URI as written, with its `@ref` if it has one.
    pub uri: String,
    /// The ref, where it was written beside the URI and not in it.
    pub reference: Option<String>,
    /// The digest set as written (`sha1`, `gitCommit`, …).
    pub digest: DigestSet,
}

/// Where in the predicate a source was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceRole {
    /// The configuration that the build was started from (v0.2 `configSource`, v1 external
    /// parameters `source` or `workflow`): what the builder vouches for.
    Trigger,
    /// A material or resolved dependency.
    Material,
}

/// Why a statement holds no readable provenance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvenanceError {
    /// The predicate type is something else; compared exactly, never by prefix.
    #[error("predicate type is {found:?}, expected {PROVENANCE_V1:?} or {PROVENANCE_V0_2:?}")]
    PredicateType {
        /// As read.
        found: String,
    },
    /// The predicate is not of the shape that its type promises.
    #[error("provenance predicate is malformed")]
    Predicate(#[from] JsonError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireV02 {
    builder: WireBuilder,
    build_type: String,
    invocation: Option<WireInvocation>,
    metadata: Option<WireMetadataV02>,
    #[serde(default)]
    materials: Vec<WireSource>,
}

#[derive(Deserialize)]
struct WireBuilder {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireInvocation {
    config_source: Option<WireSource>,
    parameters: Option<Box<RawValue>>,
    environment: Option<Box<RawValue>>,
}

/// What slsa-github-generator writes into the environment, whose shape v0.2 leaves open.
#[derive(Deserialize)]
struct WireEnvironment {
    github_event_payload: WireEventPayload,
}

#[derive(Deserialize)]
struct WireEventPayload {
    inputs: Option<Box<RawValue>>,
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
struct WireV1 {
    build_definition: WireDefinition,
    run_details: WireRunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDefinition {
    build_type: String,
    external_parameters: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    resolved_dependencies: Vec<WireSource>,
}

#[derive(Deserialize)]
struct WireRunDetails {
    builder: WireBuilder,
    metadata: Option<WireMetadataV1>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMetadataV1 {
    finished_on: Option<String>,
}

/// `externalParameters.workflow` of GitHub's own build type.
#[derive(Deserialize)]
struct WireWorkflow {
    #[serde(rename = "ref")]
    reference: String,
    repository: String,
}

impl Provenance {
    /// Reads the predicate of a statement.
    ///
    /// # Errors
    /// [`ProvenanceError`] if the type is another one or the predicate is malformed.
    pub fn parse(statement: &Statement) -> Result<Self, ProvenanceError> {
        let bytes = statement.predicate.get().as_bytes();
        match statement.predicate_type.as_str() {
            PROVENANCE_V0_2 => Ok(from_v0_2(json::parse(bytes, EVIDENCE_BYTES_MAX)?)),
            PROVENANCE_V1 => Ok(from_v1(json::parse(bytes, EVIDENCE_BYTES_MAX)?)),
            _ => Err(ProvenanceError::PredicateType { found: statement.predicate_type.clone() }),
        }
    }
}

fn from_v0_2(wire: WireV02) -> Provenance {
    let (config_source, parameters, environment) = wire
        .invocation
        .map_or((None, None, None), |i| (i.config_source, i.parameters, i.environment));
    let trigger = config_source.map(|source| source.with_role(SourceRole::Trigger));
    let materials = wire.materials.into_iter().map(|source| source.with_role(SourceRole::Material));
    let inputs = environment.and_then(|environment| {
        // An environment of another shape is not that of a GitHub event and has no inputs.
        serde_json::from_str::<WireEnvironment>(environment.get()).ok()?.github_event_payload.inputs
    });
    let mut external_parameters = named(INPUTS_V0_2, inputs);
    external_parameters.extend(named(PARAMETERS_V0_2, parameters));
    Provenance {
        version: ProvenanceVersion::V0_2,
        builder_id: wire.builder.id,
        build_type: wire.build_type,
        sources: trigger.into_iter().chain(materials).collect(),
        external_parameters,
        finished_on: wire.metadata.and_then(|metadata| metadata.build_finished_on),
    }
}

/// Parameters by name. Where v0.2 leaves the shape open, what is no object is one parameter, lest a
/// list of allowed names sees none where there is something.
fn named(whole: &str, raw: Option<Box<RawValue>>) -> BTreeMap<String, Box<RawValue>> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return BTreeMap::new() };
    let object = serde_json::from_str(raw.get());
    object.unwrap_or_else(|_no_object| [(whole.to_owned(), raw)].into())
}

fn from_v1(wire: WireV1) -> Provenance {
    let definition = wire.build_definition;
    let trigger = trigger_of(&definition.external_parameters);
    let materials = definition
        .resolved_dependencies
        .into_iter()
        .map(|source| source.with_role(SourceRole::Material));
    Provenance {
        version: ProvenanceVersion::V1,
        builder_id: wire.run_details.builder.id,
        build_type: definition.build_type,
        sources: trigger.into_iter().chain(materials).collect(),
        external_parameters: definition.external_parameters,
        finished_on: wire.run_details.metadata.and_then(|metadata| metadata.finished_on),
    }
}

/// The source among the external parameters: `source` as a resource descriptor or a URI
/// (slsa-github-generator), or `workflow` with repository and ref (GitHub's build type).
fn trigger_of(parameters: &BTreeMap<String, Box<RawValue>>) -> Option<Source> {
    let raw = |name: &str| parameters.get(name).map(|raw| raw.get());
    if let Some(text) = raw("source") {
        let source = serde_json::from_str::<WireSource>(text)
            .or_else(|_not_an_object| {
                serde_json::from_str::<String>(text)
                    .map(|uri| WireSource { uri, digest: DigestSet::default() })
            })
            .ok()?; // of an unknown shape: no trigger, which a policy with a source refuses
        return Some(source.with_role(SourceRole::Trigger));
    }
    let workflow: WireWorkflow = serde_json::from_str(raw("workflow")?).ok()?; // as above
    Some(Source {
        role: SourceRole::Trigger,
        uri: workflow.repository,
        reference: Some(workflow.reference),
        digest: DigestSet::default(),
    })
}

impl WireSource {
    fn with_role(self, role: SourceRole) -> Source {
        Source { role, uri: self.uri, reference: None, digest: self.digest }
    }
}

impl Source {
    /// The repository without scheme prefix `git+`, ref, trailing slash and `.git`, and the ref.
    ///
    /// `git+https://github.com/o/r@refs/tags/v1` gives `https://github.com/o/r` and `refs/tags/v1`.
    pub fn repository_and_ref(&self) -> (String, Option<&str>) {
        if let Some(reference) = &self.reference {
            return (normalise_repository(&self.uri), Some(reference));
        }
        let (uri, reference) = split_ref(&self.uri);
        (normalise_repository(uri), reference)
    }
}

/// A repository URI in the one form that is compared: without `git+`, trailing slash and `.git`,
/// scheme and host in lower case. The path keeps its case, since hosts differ in that.
pub fn normalise_repository(uri: &str) -> String {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    let uri = uri.strip_suffix('/').unwrap_or(uri);
    let uri = uri.strip_suffix(".git").unwrap_or(uri);
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{}://{}{slash}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase())
}

/// Splits `@ref` off the path part of a URI: at the first `@` of the path, since a ref may hold
/// further ones. An `@` in the authority is none.
fn split_ref(uri: &str) -> (&str, Option<&str>) {
    let authority_at = uri.find("://").map_or(0, |at| at + 3);
    let path = uri.get(authority_at..).and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
    match path.and_then(|path| path.split_once('@')) {
        Some((_, reference)) => {
            let end = uri.len() - reference.len() - 1;
            (uri.get(..end).unwrap_or(uri), Some(reference).filter(|text| !text.is_empty()))
        }
        None => (uri, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::statement::Subject;
    use serde_json::json;

    fn statement(kind: &str, predicate: &serde_json::Value) -> Statement {
        Statement::new(vec![Subject::new("a", Digest::sha256_of(b""))], kind, predicate)
    }

    #[test]
    fn v0_2() {
        let predicate = json!({
            "builder": {"id": "b"}, "buildType": "t",
            "invocation": {"configSource": {"uri": "git+https://github.com/o/r@refs/tags/v1", "digest": {"sha1": "aa"}}},
            "materials": [{"uri": "git+https://github.com/o/r@refs/tags/v1"}],
        });
        let read = Provenance::parse(&statement(PROVENANCE_V0_2, &predicate)).unwrap();
        assert_eq!((read.builder_id.as_str(), read.sources.len()), ("b", 2));
        let source = &read.sources[0];
        assert_eq!(source.role, SourceRole::Trigger);
        assert_eq!(
            source.repository_and_ref(),
            ("https://github.com/o/r".into(), Some("refs/tags/v1"))
        );
    }

    #[test]
    fn v0_2_parameters_of_any_shape_have_names() {
        let names = |parameters: serde_json::Value| -> Vec<String> {
            let predicate = json!({
                "builder": {"id": "b"}, "buildType": "t", "invocation": {"parameters": parameters},
            });
            let read = Provenance::parse(&statement(PROVENANCE_V0_2, &predicate)).unwrap();
            read.external_parameters.into_keys().collect()
        };
        assert_eq!(names(json!({"a": 1, "b": {}})), ["a", "b"]);
        assert!(names(json!(null)).is_empty() && names(json!({})).is_empty());
        for parameters in [json!([1]), json!("x"), json!(7)] {
            assert_eq!(names(parameters), [PARAMETERS_V0_2]);
        }
    }

    /// The generator writes no parameters; an empty list of allowed ones let every input pass.
    #[test]
    fn v0_2_inputs_of_a_github_event_are_parameters() {
        let names = |environment: serde_json::Value| -> Vec<String> {
            let predicate = json!({
                "builder": {"id": "b"}, "buildType": "t",
                "invocation": {"parameters": {"b": 1}, "environment": environment},
            });
            let read = Provenance::parse(&statement(PROVENANCE_V0_2, &predicate)).unwrap();
            read.external_parameters.into_keys().collect()
        };
        let inputs = |inputs| json!({"github_event_payload": {"inputs": inputs, "ref": "x"}});
        assert_eq!(names(inputs(json!({"a": "1", "b": "2"}))), ["a", "b"]);
        assert_eq!(names(inputs(json!("x"))), ["b", INPUTS_V0_2]);
        for none in [json!(null), json!({}), inputs(json!(null)), json!([1]), json!({"a": 1})] {
            assert_eq!(names(none), ["b"]);
        }
    }

    #[test]
    fn v1_with_each_kind_of_trigger() {
        let of = |parameters: serde_json::Value| {
            let predicate = json!({
                "buildDefinition": {"buildType": "t", "externalParameters": parameters},
                "runDetails": {"builder": {"id": "b"}},
            });
            Provenance::parse(&statement(PROVENANCE_V1, &predicate)).unwrap().sources
        };
        let expected = "git+https://github.com/o/r@refs/heads/main";
        assert_eq!(of(json!({"source": {"uri": expected}}))[0].uri, expected);
        assert_eq!(of(json!({"source": expected}))[0].uri, expected);
        let workflow =
            json!({"workflow": {"ref": "refs/heads/main", "repository": "https://github.com/o/r"}});
        let workflow = &of(workflow)[0];
        let apart = ("https://github.com/o/r".to_owned(), Some("refs/heads/main"));
        assert_eq!(workflow.repository_and_ref(), apart);
        assert!(of(json!({"source": 7})).is_empty());
        assert!(of(json!({})).is_empty());
    }

    #[test]
    fn must_reject() {
        let near = statement("https://slsa.dev/provenance/v1.0", &json!({}));
        assert!(matches!(Provenance::parse(&near), Err(ProvenanceError::PredicateType { .. })));
        for (kind, predicate) in [
            (PROVENANCE_V1, json!({})),
            (PROVENANCE_V1, json!(null)),
            (
                PROVENANCE_V1,
                json!({"buildDefinition": {"buildType": "t"}, "runDetails": {"builder": {"id": "b"}}}),
            ),
            (PROVENANCE_V0_2, json!({"builder": {}, "buildType": "t"})),
            (PROVENANCE_V0_2, json!({"builder": {"id": 7}, "buildType": "t"})),
        ] {
            let result = Provenance::parse(&statement(kind, &predicate));
            assert!(matches!(result, Err(ProvenanceError::Predicate(_))), "{predicate}");
        }
    }

    #[test]
    fn repositories_in_one_form() {
        for uri in
            ["git+https://GitHub.com/o/R", "https://github.com/o/R.git", "https://github.com/o/R/"]
        {
            assert_eq!(normalise_repository(uri), "https://github.com/o/R", "{uri}");
        }
        let user = Source {
            role: SourceRole::Trigger,
            uri: "https://user@host/r".into(),
            reference: None,
            digest: DigestSet::default(),
        };
        assert_eq!(user.repository_and_ref(), ("https://user@host/r".into(), None));
    }

    #[test]
    fn a_ref_may_hold_an_at_sign() {
        let (repository, tag) = ("https://github.com/o/r", "refs/tags/pkg@1.2.3");
        for (uri, expected) in [
            ("git+https://github.com/o/r@refs/tags/pkg@1.2.3", (repository, Some(tag))),
            ("https://user@github.com/o/r@a", ("https://user@github.com/o/r", Some("a"))),
            ("git+https://github.com/o/r@", (repository, None)),
            ("git+https://github.com/o/r", (repository, None)),
            ("https://user@host", ("https://user@host", None)),
            ("@", ("@", None)),
        ] {
            let source = WireSource { uri: uri.into(), digest: DigestSet::default() };
            let source = source.with_role(SourceRole::Trigger);
            let (repository, reference) = source.repository_and_ref();
            assert_eq!((repository.as_str(), reference), expected, "{uri}");
        }
        // Beside the URI, neither part can pass for a piece of the other.
        let parameters = |repository: &str| -> BTreeMap<String, Box<RawValue>> {
            let workflow = json!({"ref": tag, "repository": repository}).to_string();
            [("workflow".to_owned(), RawValue::from_string(workflow).unwrap())].into()
        };
        let source = trigger_of(&parameters(repository)).unwrap();
        assert_eq!(source.repository_and_ref(), (repository.to_owned(), Some(tag)));
        let glued = format!("{repository}@refs/tags/v1");
        let source = trigger_of(&parameters(&glued)).unwrap();
        assert_eq!(source.repository_and_ref(), (glued, Some(tag)));
    }
}
