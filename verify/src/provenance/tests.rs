//! The expectations of a policy and the claims of a certificate against what a provenance says.

use serde_json::{Value, json};

use crate::code::Code;
use crate::finding::Severity;
use crate::identity::{Claim, Signer};
use crate::policy::{Policy, PolicyError};
use crate::testing::{
    BUILDER, Case, FILE, Key, SOURCE, TAG, certified, provenance, statement, workflow,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::DocumentKind;
use bonded_model::dsse::pae;
use bonded_model::media_type::IN_TOTO;
use bonded_model::slsa::{PROVENANCE_V0_1, PROVENANCE_V0_2};

fn codes(case: Case) -> Vec<Code> {
    case.verdict().findings().iter().map(|finding| finding.code).collect()
}

/// The codes of a provenance by key under further keys of `[provenance]`.
fn by_key(keys: &str, change: impl FnOnce(&mut Value)) -> Vec<Code> {
    let mut case = Case::bare();
    let bundle = Key::from_seed(1).bundle(&provenance(FILE, change).to_bytes());
    case.attach(DocumentKind::Bundle, &bundle);
    case.edit("#provenance", keys);
    codes(case)
}

/// The same by certificate.
fn by_certificate(
    keys: &str,
    claims: &[(Claim, &str)],
    change: impl FnOnce(&mut Value),
) -> Vec<Code> {
    let mut signed = workflow();
    if let Signer::Certificate(holder) = &mut signed.signer {
        holder.claims.extend(claims.iter().map(|(claim, value)| (*claim, (*value).to_owned())));
    }
    let mut case = Case::certified(signed);
    case.documents.clear();
    case.attach(DocumentKind::Bundle, &certified(&provenance(FILE, change)));
    case.edit("#provenance", keys);
    codes(case)
}

fn parameters(predicate: &mut Value) -> &mut Value {
    &mut predicate["buildDefinition"]["externalParameters"]
}

#[test]
fn a_versioned_tag_accepts_the_versions_under_it() {
    let judge = |wanted: &str, reference: &str| {
        let mut case = Case::bare();
        let uri = format!("git+{SOURCE}@{reference}");
        let made = provenance(FILE, |p| parameters(p)["source"]["uri"] = json!(uri));
        case.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(&made.to_bytes()));
        case.edit("tag = \"{version}\"", &format!("versioned_tag = \"{wanted}\""));
        codes(case)
    };
    for (wanted, tag) in
        [("v1", "v1.2.3"), ("v1.2", "v1.2.0"), ("v1.2.3", "v1.2.3"), ("{version}", "v1.9.0")]
    {
        assert_eq!(judge(wanted, &format!("refs/tags/{tag}")), [], "{wanted} {tag}");
    }
    for (wanted, reference) in [
        ("v1", "refs/tags/v10.0.0"),
        ("v1", "refs/heads/v1.2.3"),
        ("v1", "refs/tags/refs/tags/v1"),
        ("v1", "v1.2.3"),
        ("v1", ""),
        ("v1", "refs/tags/v1.2.3-rc.1"),
        ("v1.2", "refs/tags/v1.20.0"),
        ("v1.2.3", "refs/tags/v1.2.4"),
        ("{version}.x", "refs/tags/v1.2.3"),
    ] {
        assert_eq!(judge(wanted, reference), [Code::ProvRef], "{wanted} {reference}");
    }
    let mut case = Case::good();
    case.edit("tag = \"{version}\"", "versioned_tag = \"latest\"");
    assert!(matches!(
        Policy::parse(&case.policy),
        Err(PolicyError::Value { key: "versioned_tag", .. })
    ));
    case.edit("versioned_tag = \"latest\"", "versioned_tag = \"v1\"\ntag = \"v1\"");
    assert!(matches!(Policy::parse(&case.policy), Err(PolicyError::Reference { .. })));
}

#[test]
fn inputs_have_the_demanded_values_wherever_they_stand() {
    let keys = "inputs = { flavour = \"release\", fast = true, count = 2 }";
    let whole = json!({"flavour": "release", "fast": true, "count": "2", "other": "x"});
    let judge = |external: Value, event: Value| {
        by_key(keys, |p| {
            parameters(p)["inputs"] = external;
            p["buildDefinition"]["internalParameters"] =
                json!({"GITHUB_EVENT_PAYLOAD": {"inputs": event}});
        })
    };
    assert_eq!(judge(whole.clone(), json!(null)), []);
    assert_eq!(judge(json!({}), whole.clone()), []);
    assert_eq!(judge(whole.clone(), whole.clone()), []);
    let without = |name: &str| {
        let mut inputs = whole.clone();
        inputs.as_object_mut().unwrap().remove(name);
        inputs
    };
    let with = |name: &str, value: Value| {
        let mut inputs = whole.clone();
        inputs[name] = value;
        inputs
    };
    for wrong in [
        without("flavour"),
        with("flavour", json!("debug")),
        with("flavour", json!("Release")),
        with("flavour", json!(["release"])),
        with("fast", json!("yes")),
        with("count", json!(2.5)),
        with("count", json!(null)),
    ] {
        assert_eq!(judge(wrong.clone(), json!(null)), [Code::ProvInput], "{wrong}");
        assert_eq!(judge(json!({}), wrong.clone()), [Code::ProvInput], "{wrong}");
    }
    assert_eq!(judge(whole.clone(), json!({"flavour": "debug"})), [Code::ProvInput]);
    assert_eq!(judge(json!("flavour=release"), json!(null)), [Code::ProvInput; 3]);
    assert_eq!(by_key(keys, |_| {}), [Code::ProvInput; 3]);
}

#[test]
fn inputs_of_the_older_versions_count_too() {
    let (source, inputs) = (format!("git+{SOURCE}@{TAG}"), json!({"flavour": "release"}));
    let judge = |kind: &str, predicate: &Value| {
        let mut case = Case::bare();
        let made = statement(FILE, kind, predicate);
        case.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(&made.to_bytes()));
        case.edit("#provenance", "inputs = { flavour = \"release\" }");
        codes(case)
    };
    let v0_2 = |environment: &Value, parameters: &Value| {
        json!({
            "builder": {"id": BUILDER}, "buildType": "t", "invocation": {
                "configSource": {"uri": source}, "environment": environment, "parameters": parameters,
            },
        })
    };
    let event = json!({"github_event_payload": {"inputs": inputs}});
    let parameters = json!({"inputs": inputs});
    assert_eq!(judge(PROVENANCE_V0_2, &v0_2(&event, &json!(null))), []);
    assert_eq!(judge(PROVENANCE_V0_2, &v0_2(&json!(null), &parameters)), []);
    assert_eq!(judge(PROVENANCE_V0_2, &v0_2(&inputs, &inputs)), [Code::ProvInput]);
    let v0_1 = json!({
        "builder": {"id": BUILDER}, "materials": [{"uri": source}],
        "recipe": {"type": "t", "definedInMaterial": 0, "arguments": parameters},
    });
    assert_eq!(judge(PROVENANCE_V0_1, &v0_1), []);
}

#[test]
fn values_of_parameters_are_compared_exactly() {
    let keys = "parameter_values = { path = \"a\", fast = true, count = 2, list = [\"x\"], deep = { one = 1 } }";
    let whole = json!({
        "path": "a", "fast": true, "count": 2, "list": ["x"], "deep": {"one": 1, "two": 2},
    });
    let judge = |change: &dyn Fn(&mut Value)| {
        by_key(keys, |p| {
            let parameters = parameters(p);
            for (name, value) in whole.as_object().unwrap() {
                parameters[name] = value.clone();
            }
            change(parameters);
        })
    };
    assert_eq!(judge(&|_| {}), []);
    for (name, value) in [
        ("path", json!("b")),
        ("path", json!(["a"])),
        ("path", json!("a ")),
        ("fast", json!("true")),
        ("count", json!("2")),
        ("count", json!(2.5)),
        ("list", json!(["x", "y"])),
        ("list", json!([])),
        ("list", json!("x")),
        ("deep", json!({"two": 2})),
        ("deep", json!({"one": {"one": 1}})),
        ("deep", json!([{"one": 1}])),
        ("deep", json!(null)),
    ] {
        assert_eq!(judge(&|p| p[name] = value.clone()), [Code::ProvValue], "{name} {value}");
    }
    // A parameter whose name looks like a path is another one.
    let glued = |p: &mut Value| {
        p.as_object_mut().unwrap().remove("deep");
        p["deep.one"] = json!(1);
    };
    assert_eq!(judge(&glued), [Code::ProvValue]);
}

/// Whoever may start a workflow chooses its inputs: they are counted among the names that are allowed, and
/// give no parameter its value.
#[test]
fn inputs_of_an_event_are_no_values_of_parameters() {
    let judge = |keys: &str, external: Value| {
        by_key(keys, |p| {
            p["buildDefinition"]["internalParameters"] =
                json!({"GITHUB_EVENT_PAYLOAD": {"inputs": {"path": "a"}}});
            if !external.is_null() {
                parameters(p)["path"] = external;
            }
        })
    };
    let value = "parameter_values = { path = \"a\" }";
    assert_eq!(judge(value, json!("a")), []);
    assert_eq!(judge(value, json!(null)), [Code::ProvValue]);
    assert_eq!(judge(value, json!("b")), [Code::ProvValue]);
    assert_eq!(judge("parameters = [\"source\", \"path\"]", json!(null)), []);
    assert_eq!(judge("parameters = [\"source\"]", json!(null)), [Code::ProvParameter]);
    assert_eq!(judge("parameters = [\"source\"]", json!("a")), [Code::ProvParameter]);
}

/// The commit of the certified repository is the certified one, also where the material names no ref.
#[test]
fn a_material_without_ref_has_the_certified_commit() {
    let judge = |uri: &str, commit: &str| {
        let material = json!({"uri": uri, "digest": {"gitCommit": commit}});
        by_certificate("", &[(Claim::SourceRepositoryDigest, "c1")], |p| {
            p["buildDefinition"]["resolvedDependencies"] = json!([material]);
        })
    };
    let (bare, at_tag) = (format!("git+{SOURCE}"), format!("git+{SOURCE}@{TAG}"));
    for uri in [bare.as_str(), at_tag.as_str(), SOURCE] {
        assert_eq!(judge(uri, "c1"), [], "{uri}");
        assert_eq!(judge(uri, "c2"), [Code::ProvClaims], "{uri}");
    }
    assert_eq!(judge("git+https://github.com/o/other", "c2"), []);
}

/// An envelope that two keys signed is signed by both, and one of them takes nothing from the other.
#[test]
fn every_signature_of_an_envelope_counts() {
    let payload = provenance(FILE, |_| {}).to_bytes();
    let judge = |seeds: &[u8], further: &str, of_first: &str| {
        let signatures = seeds.iter().map(|seed| {
            json!({"sig": STANDARD.encode(Key::from_seed(*seed).sign(&pae(IN_TOTO, &payload)))})
        });
        let envelope = json!({
            "payloadType": IN_TOTO, "payload": STANDARD.encode(&payload),
            "signatures": signatures.collect::<Vec<_>>(),
        });
        let mut case = Case::bare().with_second_key();
        case.edit("#provenance", further);
        case.edit("#key", of_first);
        case.attach(DocumentKind::Bundle, envelope.to_string().as_bytes());
        codes(case)
    };
    let ended = "valid_until = \"2026-01-01T00:00:00Z\"";
    for both in [[1, 2], [2, 1]] {
        assert_eq!(judge(&both, "quorum = 2", ""), [], "{both:?}");
        // What stands against the other is noted.
        assert_eq!(judge(&both, "", ended), [Code::IdValidity], "{both:?}");
        let few = [Code::IdValidity, Code::ProvQuorum];
        assert_eq!(judge(&both, "quorum = 2", ended), few, "{both:?}");
    }
    for one in [&[1, 1][..], &[2]] {
        assert_eq!(judge(one, "quorum = 2", ""), [Code::ProvQuorum], "{one:?}");
    }
    assert_eq!(judge(&[1, 3], "quorum = 2", ""), [Code::SigKey, Code::ProvQuorum]);
    assert_eq!(judge(&[1], "", ended), [Code::IdValidity]);
    assert_eq!(judge(&[3], "", ""), [Code::SigKey]);
}

/// What an envelope says of its signatures is signed by nobody, and a bad one takes nothing from a good one.
#[test]
fn key_ids_and_bad_signatures_count_for_nobody() {
    let payload = provenance(FILE, |_| {}).to_bytes();
    let judge = |signatures: &[(u8, &str, bool)], further: &str| {
        let signatures = signatures.iter().map(|(seed, id, is_good)| {
            let mut bytes = Key::from_seed(*seed).sign(&pae(IN_TOTO, &payload));
            bytes[0] ^= u8::from(!is_good);
            json!({"keyid": id, "sig": STANDARD.encode(bytes)})
        });
        let envelope = json!({
            "payloadType": IN_TOTO, "payload": STANDARD.encode(&payload),
            "signatures": signatures.collect::<Vec<_>>(),
        });
        let mut case = Case::bare().with_second_key();
        case.edit("#provenance", further);
        case.attach(DocumentKind::Bundle, envelope.to_string().as_bytes());
        codes(case)
    };
    let two = "quorum = 2";
    // Two ids of one key are one signer, and one id of two keys is two.
    assert_eq!(judge(&[(1, "a", true), (1, "b", true)], two), [Code::ProvQuorum]);
    assert_eq!(judge(&[(1, "a", true), (2, "a", true)], two), []);
    assert_eq!(judge(&[(1, "b", true), (2, "a", true)], two), []);
    // One good and one bad.
    for pair in [[(1, "a", true), (2, "b", false)], [(2, "b", false), (1, "a", true)]] {
        assert_eq!(judge(&pair, ""), [Code::SigKey], "{pair:?}");
        assert_eq!(judge(&pair, two), [Code::SigKey, Code::ProvQuorum], "{pair:?}");
    }
    assert_eq!(judge(&[(1, "a", false), (1, "a", true), (2, "b", true)], two), [Code::SigKey]);
    assert_eq!(judge(&[(1, "a", false), (2, "b", false)], ""), [Code::SigKey]);
}

#[test]
fn only_listed_dependencies_are_accepted() {
    let pinned = "dependencies = [\"pkg:oci/*\", { uri = \"git+https://github.com/x/*\", digest = { gitCommit = \"c1\" } }]";
    let judge = |keys: &str, dependencies: Value| {
        by_key(keys, |p| p["buildDefinition"]["resolvedDependencies"] = dependencies)
    };
    let own = format!("git+{SOURCE}@{TAG}");
    assert_eq!(judge(pinned, json!([])), []);
    assert_eq!(judge("dependencies = []", json!([{"uri": own}])), []);
    let good = json!([
        {"uri": own}, {"uri": "pkg:oci/bash"},
        {"uri": "git+https://github.com/x/y", "digest": {"gitCommit": "c1", "sha1": "c1"}},
    ]);
    assert_eq!(judge(pinned, good), []);
    for wrong in [
        json!([{"uri": "pkg:deb/bash"}]),
        json!([{"uri": "pkg:oci/a/bash"}]),
        json!([{"digest": {"sha256": "00"}}]),
        json!([{"uri": "git+https://github.com/x/y"}]),
        json!([{"uri": "git+https://github.com/x/y", "digest": {"gitCommit": "c2"}}]),
        json!([{"uri": "git+https://github.com/x/y", "digest": {"sha1": "c1"}}]),
    ] {
        assert_eq!(judge(pinned, wrong.clone()), [Code::ProvDependency], "{wrong}");
    }
    assert_eq!(
        judge("dependencies = []", json!([{"uri": "pkg:oci/bash"}])),
        [Code::ProvDependency]
    );
    let mut case = Case::good();
    case.edit("#provenance", "dependencies = [\"\"]");
    assert!(matches!(
        Policy::parse(&case.policy),
        Err(PolicyError::Value { key: "dependencies", .. })
    ));
}

/// A repository that was renamed, or whose name somebody else took, has another number.
#[test]
fn a_repository_is_known_by_its_number() {
    let keys = "source_id = \"7\"\nsource_owner_id = \"9\"";
    let (id, owner) = (Claim::SourceRepositoryId, Claim::SourceRepositoryOwnerId);
    let said = |id: Value, owner: Value| {
        move |p: &mut Value| {
            let github = json!({"repository_id": id, "repository_owner_id": owner});
            p["buildDefinition"]["internalParameters"] = json!({"github": github});
        }
    };
    assert_eq!(by_certificate(keys, &[(id, "7"), (owner, "9")], |_| {}), []);
    assert_eq!(by_key(keys, said(json!("7"), json!(9))), []);
    let wrong = [Code::ProvSource];
    assert_eq!(by_certificate(keys, &[(id, "8"), (owner, "9")], |_| {}), wrong);
    assert_eq!(by_certificate(keys, &[(id, "7"), (owner, "90")], |_| {}), wrong);
    // What the certificate leaves out is not made up for by what the workflow wrote.
    assert_eq!(by_certificate(keys, &[(id, "7")], said(json!("7"), json!("9"))), wrong);
    assert_eq!(by_key(keys, said(json!("7"), json!("8"))), wrong);
    assert_eq!(by_key(keys, said(json!(["7"]), json!("9"))), wrong);
    assert_eq!(by_key(keys, |_| {}), [Code::ProvSource; 2]);
}

#[test]
fn what_is_stated_is_what_is_certified() {
    let workflow = format!("{SOURCE}/.github/workflows/w.yml@{TAG}");
    let claims = [
        (Claim::SourceRepositoryId, "7"),
        (Claim::SourceRepositoryOwnerId, "9"),
        (Claim::BuildTrigger, "push"),
        (Claim::RunnerEnvironment, "github-hosted"),
        (Claim::BuildConfigUri, workflow.as_str()),
    ];
    let judge = |internal: Value| {
        by_certificate("", &claims, |p| p["buildDefinition"]["internalParameters"] = internal)
    };
    let good = json!({"github": {
        "repository_id": "7", "repository_owner_id": "9", "event_name": "push",
        "runner_environment": "github-hosted",
    }});
    assert_eq!(judge(good), []);
    assert_eq!(
        judge(json!({"GITHUB_WORKFLOW_REF": format!("o/r/.github/workflows/w.yml@{TAG}")})),
        []
    );
    for wrong in [
        json!({"github": {"repository_id": "8"}}),
        json!({"github": {"repository_owner_id": "8"}}),
        json!({"github": {"event_name": "workflow_dispatch"}}),
        json!({"github": {"runner_environment": "self-hosted"}}),
        json!({"GITHUB_REPOSITORY_ID": 8}),
        json!({"GITHUB_REPOSITORY_ID": "7", "github": {"repository_id": "8"}}),
        json!({"GITHUB_WORKFLOW_REF": "o/r/.github/workflows/x.yml@refs/tags/v1"}),
    ] {
        assert_eq!(judge(wrong.clone()), [Code::ProvClaims], "{wrong}");
    }
}

#[test]
fn a_builder_that_is_named_after_its_runner_ran_there() {
    let hosted = "https://github.com/actions/runner/github-hosted";
    let judge = |claims: &[(Claim, &str)]| {
        let mut signed = workflow();
        if let Signer::Certificate(holder) = &mut signed.signer {
            holder.claims.extend(claims.iter().map(|(c, value)| (*c, (*value).to_owned())));
        }
        let mut case = Case::certified(signed);
        case.documents.clear();
        let named = |p: &mut Value| p["runDetails"]["builder"]["id"] = json!(hosted);
        case.attach(DocumentKind::Bundle, &certified(&provenance(FILE, named)));
        case.edit(&format!("id = \"{BUILDER}\""), &format!("id = \"{hosted}\""));
        codes(case)
    };
    assert_eq!(judge(&[(Claim::RunnerEnvironment, "github-hosted")]), []);
    assert_eq!(judge(&[(Claim::RunnerEnvironment, "self-hosted")]), [Code::ProvClaims]);
    assert_eq!(judge(&[]), [Code::ProvClaims]);
}

fn pinned(bytes: &[u8], further: &str) -> String {
    let digest = bonded_model::Digest::sha256_of(bytes);
    format!(
        "[[unsigned]]\ndigest = \"{digest}\"\nreason = \"seen\"\nbuilder = \"{BUILDER}\"\n{further}\n[[builder]]"
    )
}

#[test]
fn a_named_checksum_stands_in_for_a_signature_at_level_1() {
    let judge = |payload: &[u8], further: &str, level: u8| {
        let mut case = Case::bare();
        case.attach(DocumentKind::Statement, payload);
        case.edit("[[builder]]", &pinned(payload, further));
        case.edit("[provenance]\nlevel = 3", &format!("[provenance]\nlevel = {level}"));
        let verdict = case.verdict();
        let found: Vec<_> = verdict.findings().iter().map(|finding| finding.code).collect();
        (found, verdict.artifacts()[0].level)
    };
    let good = provenance(FILE, |_| {}).to_bytes();
    assert_eq!(judge(&good, "level = 1", 1), (vec![], Some(1)));
    assert_eq!(judge(&good, "level = 1", 2), (vec![Code::ProvLevel], None));
    let of =
        |change: &dyn Fn(&mut Value)| judge(&provenance(FILE, change).to_bytes(), "level = 1", 1).0;
    let unnamed = of(&|p| p["runDetails"]["builder"]["id"] = json!("x"));
    assert_eq!(unnamed, [Code::SigUnsigned, Code::ProvBuilder]);
    assert_eq!(of(&|p| parameters(p)["source"] = json!("x")), [Code::ProvSource, Code::ProvRef]);
    assert_eq!(of(&|p| p["runDetails"] = json!({})), [Code::SigUnsigned, Code::ProvMalformed]);
    let other = provenance(b"other", |_| {}).to_bytes();
    assert_eq!(judge(&other, "level = 1", 1).0, [Code::ProvSubject]);
    let sbom = statement(FILE, "https://spdx.dev/Document", &crate::testing::spdx(FILE));
    assert!(judge(&sbom.to_bytes(), "level = 1", 1).0.contains(&Code::ProvMissing));
    // A signature that does not hold is not made good by a checksum.
    let mut envelope = Key::from_seed(1).envelope(bonded_model::media_type::IN_TOTO, &good);
    envelope.signatures[0].bytes[0] ^= 1;
    assert_eq!(judge(&envelope.to_bytes(), "level = 1", 1).0, [Code::SigInvalid]);
}

#[test]
fn a_checksum_needs_a_reason_a_builder_and_a_level() {
    let parse = |text: &str| {
        let mut case = Case::bare();
        case.edit("[[builder]]", text);
        Policy::parse(&case.policy).err()
    };
    let good = pinned(b"x", "level = 1");
    assert!(parse(&good).is_none());
    let value = |key: &str, text: &str| match parse(text) {
        Some(PolicyError::Value { key: found, .. }) => assert_eq!(found, key, "{text}"),
        other => panic!("{text}: {other:?}"),
    };
    for level in ["level = 0", "level = 2"] {
        value("level", &pinned(b"x", level));
    }
    value("digest", &good.replace("sha256:", "sha1:"));
    value("digest", &good.replace("sha256:", "sha256:0"));
    for (from, to) in [("\"seen\"", "\" \""), (BUILDER, "")] {
        assert!(
            matches!(parse(&good.replace(from, to)), Some(PolicyError::Unclear { .. })),
            "{to}"
        );
    }
    let twice = good.replace("[[builder]]", &good);
    assert!(matches!(parse(&twice), Some(PolicyError::Name { .. })));
    assert!(matches!(parse(&pinned(b"x", "")), Some(PolicyError::Toml(_))));
}

const WORKER: &str = "https://cloudbuild.googleapis.com/GoogleHostedWorker";

/// An envelope as Google Cloud Build makes it: one signature over the envelope's encoding, and one by a
/// regional key over the payload alone, which no DSSE signature is.
fn cloud_build(payload: &[u8], by: &Key) -> Vec<u8> {
    let mut envelope = by.envelope(bonded_model::media_type::IN_TOTO, payload);
    envelope.signatures[0].key_id = Some("projects/verified-builder/global/1".to_owned());
    let regional = Key::from_seed(9);
    let bytes = regional.sign(payload);
    let key_id = Some("projects/verified-builder/us-west2/1".to_owned());
    envelope.signatures.insert(0, bonded_model::dsse::Signature { key_id, bytes });
    envelope.to_bytes()
}

/// What weighs: the regional signature is noted wherever the other one holds.
fn of_cloud_build(id: &str, envelope: &[u8], keys: &str) -> Vec<Code> {
    let mut case = Case::bare();
    case.attach(DocumentKind::Envelope, envelope);
    case.edit(&format!("id = \"{BUILDER}\""), &format!("id = \"{id}\""));
    case.edit("#provenance", keys);
    let verdict = case.verdict();
    let (notes, weighty): (Vec<_>, Vec<_>) =
        verdict.findings().iter().partition(|finding| finding.severity == Severity::Note);
    assert!(notes.iter().all(|note| note.code == Code::SigKey), "{notes:?}");
    let is_one = weighty.iter().any(|finding| finding.code == Code::SigInvalid);
    assert_eq!(notes.len(), usize::from(!is_one), "{notes:?}");
    weighty.into_iter().map(|finding| finding.code).collect()
}

#[test]
fn google_cloud_build_v0_1_by_a_key_of_the_policy() {
    let id = format!("{WORKER}@v0.3");
    let payload = |substitutions: Value| {
        let predicate = json!({
            "builder": {"id": id},
            "materials": [{"uri": format!("git+{SOURCE}"), "digest": {"sha1": "d1"}}],
            "recipe": {
                "type": "https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1",
                "entryPoint": "cloudbuild.yaml",
                "arguments": {"steps": [], "substitutions": substitutions},
            },
        });
        statement(FILE, PROVENANCE_V0_1, &predicate).to_bytes()
    };
    let (google, tag) = (Key::from_seed(1), json!({"TAG_NAME": "v1", "_OWN": "x"}));
    let judge =
        |payload: &[u8], by: &Key, keys: &str| of_cloud_build(&id, &cloud_build(payload, by), keys);
    let good = payload(tag.clone());
    assert_eq!(judge(&good, &google, ""), []);
    assert_eq!(judge(&good, &Key::from_seed(2), ""), [Code::SigInvalid]);
    assert_eq!(judge(&payload(json!({"BRANCH_NAME": "v1"})), &google, ""), [Code::ProvRef]);
    assert_eq!(judge(&payload(json!({})), &google, ""), [Code::ProvRef]);
    assert_eq!(judge(&good, &google, "parameters = [\"steps\"]"), [Code::ProvParameter]);
    let value =
        |own: &str| format!("parameter_values = {{ substitutions = {{ _OWN = \"{own}\" }} }}");
    assert_eq!(judge(&good, &google, &value("x")), []);
    assert_eq!(judge(&good, &google, &value("y")), [Code::ProvValue]);
    // One key for both, and the one over the payload alone, which is no DSSE signature by anybody.
    let mut both = bonded_model::dsse::Envelope::parse(&cloud_build(&good, &google)).unwrap();
    both.signatures[0].bytes = google.sign(&good);
    assert_eq!(of_cloud_build(&id, &both.to_bytes(), ""), []);
    both.signatures.pop();
    assert_eq!(of_cloud_build(&id, &both.to_bytes(), ""), [Code::SigInvalid]);
    // Both signatures over other bytes.
    let mut forged = bonded_model::dsse::Envelope::parse(&cloud_build(&good, &google)).unwrap();
    forged.payload = payload(json!({"TAG_NAME": "v1", "_OWN": "y"}));
    assert_eq!(of_cloud_build(&id, &forged.to_bytes(), ""), [Code::SigInvalid]);
}

#[test]
fn google_cloud_build_v1_by_a_key_of_the_policy() {
    let judge = |parameters: Value| {
        let change = |p: &mut Value| {
            p["runDetails"]["builder"]["id"] = json!(WORKER);
            p["buildDefinition"]["externalParameters"] = parameters;
            p["buildDefinition"]["resolvedDependencies"] = json!([
                {"uri": format!("git+{SOURCE}@{TAG}"), "digest": {"gitCommit": "d1"}},
            ]);
        };
        let payload = provenance(FILE, change).to_bytes();
        of_cloud_build(WORKER, &cloud_build(&payload, &Key::from_seed(1)), "")
    };
    let config = |repository: &str, reference: &str| {
        let source = json!({"path": "c.yaml", "ref": reference, "repository": repository});
        json!({"buildConfigSource": source, "substitutions": {}})
    };
    let own = format!("git+{SOURCE}");
    assert_eq!(judge(config(&own, TAG)), []);
    assert_eq!(judge(config("git+https://github.com/o/x", TAG)), [Code::ProvSource]);
    assert_eq!(judge(config(&own, "refs/heads/main")), [Code::ProvRef, Code::ProvRef]);
    // Submitted by hand: nothing says where the steps came from.
    assert_eq!(judge(json!({"substitutions": {}})), [Code::ProvSource, Code::ProvRef]);
}
