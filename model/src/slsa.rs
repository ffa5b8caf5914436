//! SLSA provenance v0.1, v0.2 and v1 as one view: who built, how, from which source.
//!
//! Only what a policy compares is read; unknown fields are ignored here and still stand in the
//! signed bytes (SLSA v1.0, provenance.md, "Parsing rules"). External parameters keep their raw JSON
//! so that an allow-list can see every key.

mod source;
mod stated;
mod wire;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::json::{self, JsonError};
use crate::statement::Statement;

pub use source::{Source, SourceRole, normalise_repository};
pub use stated::Stated;

/// Predicate type of SLSA provenance v0.1.
pub const PROVENANCE_V0_1: &str = "https://slsa.dev/provenance/v0.1";
/// Predicate type of SLSA provenance v0.2.
pub const PROVENANCE_V0_2: &str = "https://slsa.dev/provenance/v0.2";
/// Predicate type of SLSA provenance v1.
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";

/// What one provenance predicate claims.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Which predicate version it was read from.
    pub version: ProvenanceVersion,
    /// `builder.id`: the claimed builder; a policy compares it with the signer.
    pub builder_id: String,
    /// `buildType`, or `recipe.type` (v0.1; empty where there is no recipe).
    pub build_type: String,
    /// Where the sources came from, in the order: what started the build, then the materials.
    pub sources: Vec<Source>,
    /// External parameters by name, raw: `externalParameters` (v1), `invocation.parameters` (v0.2) or
    /// `recipe.arguments` (v0.1).
    pub external_parameters: BTreeMap<String, Box<RawValue>>,
    /// The inputs of the GitHub event in the environment or among the internal parameters, where
    /// slsa-github-generator writes what somebody started the workflow with. Parameters as well, and no
    /// answer to what a parameter's value is: whoever may start the workflow chooses them.
    pub event_inputs: BTreeMap<String, Box<RawValue>>,
    /// The inputs of the workflow, one map for each place that names any.
    pub inputs: Vec<BTreeMap<String, Box<RawValue>>>,
    /// What it says of the run and a certificate may say too, every time that it says it.
    pub stated: Vec<(Stated, String)>,
    /// When the build ended, as written.
    pub finished_on: Option<String>,
}

/// Version of the predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ProvenanceVersion {
    /// `https://slsa.dev/provenance/v0.1`
    V0_1,
    /// `https://slsa.dev/provenance/v0.2`
    V0_2,
    /// `https://slsa.dev/provenance/v1`
    V1,
}

/// Why a statement holds no readable provenance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvenanceError {
    /// The predicate type is something else; compared exactly, never by prefix.
    #[error(
        "predicate type is {found:?}, expected {PROVENANCE_V1:?}, {PROVENANCE_V0_2:?} or {PROVENANCE_V0_1:?}"
    )]
    PredicateType {
        /// As read.
        found: String,
    },
    /// The predicate is not of the shape that its type promises.
    #[error("provenance predicate is malformed")]
    Predicate(#[from] JsonError),
}

impl Provenance {
    /// Reads the predicate of a statement.
    ///
    /// # Errors
    /// [`ProvenanceError`] if the type is another one or the predicate is malformed.
    pub fn parse(statement: &Statement) -> Result<Self, ProvenanceError> {
        let predicate = &statement.predicate;
        match statement.predicate_type.as_str() {
            PROVENANCE_V0_1 => Ok(json::parse_part::<wire::WireV01>(predicate)?.into()),
            PROVENANCE_V0_2 => Ok(json::parse_part::<wire::WireV02>(predicate)?.into()),
            PROVENANCE_V1 => Ok(json::parse_part::<wire::WireV1>(predicate)?.into()),
            _ => Err(ProvenanceError::PredicateType { found: statement.predicate_type.clone() }),
        }
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
            assert_eq!(names(parameters), [wire::PARAMETERS_V0_2]);
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
            assert_eq!(read.external_parameters.into_keys().collect::<Vec<_>>(), ["b"]);
            read.event_inputs.into_keys().collect()
        };
        let inputs = |inputs| json!({"github_event_payload": {"inputs": inputs, "ref": "x"}});
        assert_eq!(names(inputs(json!({"a": "1", "b": "2"}))), ["a", "b"]);
        assert_eq!(names(inputs(json!("x"))), [wire::EVENT_INPUTS]);
        for none in [json!(null), json!({}), inputs(json!(null)), json!([1]), json!({"a": 1})] {
            assert_eq!(names(none), [""; 0]);
        }
    }

    fn v1(build_type: &str, parameters: &serde_json::Value, dependencies: &[&str]) -> Provenance {
        let dependencies: Vec<_> = dependencies.iter().map(|uri| json!({"uri": uri})).collect();
        let predicate = json!({
            "buildDefinition": {
                "buildType": build_type, "externalParameters": parameters,
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": "b"}},
        });
        Provenance::parse(&statement(PROVENANCE_V1, &predicate)).unwrap()
    }

    fn triggers(provenance: &Provenance) -> Vec<(String, Option<&str>)> {
        let triggers = provenance.sources.iter().filter(|s| s.role == SourceRole::Trigger);
        triggers.map(Source::repository_and_ref).collect()
    }

    const REPOSITORY: &str = "https://github.com/o/r";
    const MAIN: &str = "refs/heads/main";

    #[test]
    fn v1_with_each_kind_of_trigger() {
        let uri = format!("git+{REPOSITORY}@{MAIN}");
        let apart = json!({"ref": MAIN, "repository": REPOSITORY});
        for parameters in [
            json!({"source": {"uri": uri}}),
            json!({"source": uri}),
            json!({"workflow": apart}),
            json!({"buildConfigSource": apart}),
        ] {
            let read = v1("t", &parameters, &[]);
            assert_eq!(triggers(&read), [(REPOSITORY.to_owned(), Some(MAIN))], "{parameters}");
        }
        assert!(triggers(&v1("t", &json!({}), &[&uri])).is_empty());
        assert_eq!(triggers(&v1("t", &json!({"source": uri, "workflow": apart}), &[])).len(), 2);
    }

    /// One that could not be read was none, which hid that another stood beside it.
    #[test]
    fn an_unreadable_trigger_stands_as_it_is_written() {
        for unreadable in [json!(7), json!(null), json!([]), json!({"uri": 7}), json!({"ref": "x"})]
        {
            let read = v1("t", &json!({"workflow": unreadable}), &[]);
            assert_eq!(triggers(&read), [(unreadable.to_string(), None)]);
        }
        assert_eq!(triggers(&v1("t", &json!({"source": 7}), &[])), [("7".to_owned(), None)]);
    }

    #[test]
    fn a_delegated_build_starts_from_its_first_dependency() {
        let uri = format!("git+{REPOSITORY}@{MAIN}");
        let generic =
            "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0";
        let read = v1(generic, &json!({"inputs": {}}), &[&uri, "git+https://github.com/x/y"]);
        assert_eq!(triggers(&read), [(REPOSITORY.to_owned(), Some(MAIN))]);
        assert_eq!(read.sources.len(), 2);
        assert!(triggers(&v1(generic, &json!({}), &[])).is_empty());
        let near = format!("{generic}.1");
        assert!(triggers(&v1(&near, &json!({}), &[&uri])).is_empty());
        let said = v1(generic, &json!({"source": "x"}), &[&uri]);
        assert_eq!(triggers(&said), [("x".to_owned(), None)]);
    }

    fn v0_1(recipe: &serde_json::Value, materials: &[&str]) -> Provenance {
        let sha1 = "d1";
        let of = |uri: &&str| json!({"uri": uri, "digest": {"sha1": sha1}});
        let materials: Vec<_> = materials.iter().map(of).collect();
        let predicate = json!({"builder": {"id": "b"}, "recipe": recipe, "materials": materials});
        Provenance::parse(&statement(PROVENANCE_V0_1, &predicate)).unwrap()
    }

    #[test]
    fn v0_1_starts_from_the_material_that_its_recipe_is_defined_in() {
        let materials = ["git+https://github.com/x/y@a", "git+https://github.com/o/r@b"];
        let of = |at: serde_json::Value| {
            let read = v0_1(&json!({"type": "t", "definedInMaterial": at}), &materials);
            triggers(&read).first().map(|(repository, _)| repository.clone())
        };
        assert_eq!(of(json!(1)).as_deref(), Some(REPOSITORY));
        assert_eq!(of(json!("1")).as_deref(), Some(REPOSITORY));
        for none in [json!(null), json!(2), json!(-1), json!(1.0), json!("x"), json!([0])] {
            assert_eq!(of(none.clone()), None, "{none}");
        }
        let read = v0_1(&json!(null), &materials);
        assert!(triggers(&read).is_empty() && read.build_type.is_empty());
        assert_eq!(read.version, ProvenanceVersion::V0_1);
    }

    #[test]
    fn cloud_build_says_its_ref_in_substitutions() {
        let uri = format!("{REPOSITORY}/commit/d1");
        let of = |kind: &str, substitutions: serde_json::Value| {
            let arguments = json!({"substitutions": substitutions});
            let read = v0_1(&json!({"type": kind, "arguments": arguments}), &[&uri]);
            triggers(&read).first().map(|(at, by)| (at.clone(), by.map(str::to_owned)))
        };
        let steps = "https://cloudbuild.googleapis.com/CloudBuildSteps@v0.1";
        let at =
            |reference: Option<&str>| Some((REPOSITORY.to_owned(), reference.map(str::to_owned)));
        assert_eq!(of(steps, json!({"TAG_NAME": "v1"})), at(Some("refs/tags/v1")));
        assert_eq!(of(steps, json!({"BRANCH_NAME": "main"})), at(Some(MAIN)));
        let both = json!({"TAG_NAME": "v1", "BRANCH_NAME": "main"});
        for none in [both, json!({}), json!({"TAG_NAME": 1}), json!({"_TAG_NAME": "v1"}), json!(1)]
        {
            assert_eq!(of(steps, none.clone()), at(None), "{none}");
        }
        assert_eq!(of("https://example.com/t", json!({"TAG_NAME": "v1"})), None);
    }

    #[test]
    fn arguments_inputs_and_facts_of_every_version() {
        let names = |read: &Provenance| -> Vec<String> {
            read.external_parameters.keys().cloned().collect()
        };
        let read = v0_1(&json!({"type": "t", "arguments": {"a": 1, "inputs": {"i": "1"}}}), &[]);
        assert_eq!((names(&read), read.inputs.len()), (vec!["a".into(), "inputs".into()], 1));
        let read = v0_1(&json!({"type": "t", "arguments": [1]}), &[]);
        assert_eq!(names(&read), [wire::ARGUMENTS_V0_1]);
        let internal = json!({
            "github": {"repository_id": "7", "runner_environment": "self-hosted"},
            "GITHUB_REPOSITORY_OWNER_ID": 9,
            "GITHUB_WORKFLOW_REF": "o/r/.github/workflows/w.yml@refs/heads/main",
            "GITHUB_EVENT_PAYLOAD": {"inputs": {"i": "1"}},
        });
        let predicate = json!({
            "buildDefinition": {
                "buildType": "t", "internalParameters": internal,
                "externalParameters": {
                    "inputs": {"j": true},
                    "workflow": {"ref": MAIN, "repository": REPOSITORY, "path": ".github/workflows/x.yml"},
                },
            },
            "runDetails": {"builder": {"id": "b"}},
        });
        let read = Provenance::parse(&statement(PROVENANCE_V1, &predicate)).unwrap();
        assert_eq!(names(&read), ["inputs", "workflow"]);
        assert_eq!(read.event_inputs.keys().collect::<Vec<_>>(), ["i"]);
        assert_eq!(read.inputs.len(), 2);
        let workflow = |name: &str| format!("{REPOSITORY}/.github/workflows/{name}.yml@{MAIN}");
        let expected = [
            (Stated::RepositoryId, "7".to_owned()),
            (Stated::RepositoryOwnerId, "9".to_owned()),
            (Stated::RunnerEnvironment, "self-hosted".to_owned()),
            (Stated::Workflow, workflow("w")),
            (Stated::Workflow, workflow("x")),
        ];
        assert_eq!(read.stated, expected);
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
            (PROVENANCE_V0_1, json!({"recipe": {"type": "t"}})),
            (PROVENANCE_V0_1, json!({"builder": {"id": "b"}, "recipe": {}})),
            (PROVENANCE_V0_1, json!({"builder": {"id": "b"}, "materials": {}})),
            (PROVENANCE_V0_2, json!({"builder": {}, "buildType": "t"})),
            (PROVENANCE_V0_2, json!({"builder": {"id": 7}, "buildType": "t"})),
        ] {
            let result = Provenance::parse(&statement(kind, &predicate));
            assert!(matches!(result, Err(ProvenanceError::Predicate(_))), "{predicate}");
        }
    }
}
