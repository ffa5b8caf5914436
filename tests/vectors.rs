//! Real input that must come out right: public bundles and real provenance, by the command line.

use std::fs;
use std::path::Path;

use crate::world::{World, codes, vectors};
use serde_json::Value;

const GENERIC: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0";
const CONTAINER_BASED: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_container-based_slsa3.yml@refs/tags/v2.1.0";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const EXAMPLE: &str = "https://github.com/slsa-framework/example-package";

/// A policy for one builder that signs with its own identity.
struct PolicyText<'a> {
    builder: &'a str,
    identity: &'a str,
    mapped: u8,
    level: u8,
    source: &'a str,
    wanted_ref: &'a str,
    more: &'a str,
}

impl Default for PolicyText<'_> {
    fn default() -> Self {
        Self {
            builder: GENERIC,
            identity: GENERIC,
            mapped: 3,
            level: 3,
            source: EXAMPLE,
            wanted_ref: "tag = \"v14.2\"",
            more: "",
        }
    }
}

impl PolicyText<'_> {
    fn write(&self, world: &World) {
        let Self { builder, identity, mapped, level, source, wanted_ref, more } = self;
        let text = format!(
            r#"version = 1
name = "example"
[[signer]]
name = "builder"
issuer = "{GITHUB}"
identity = "{identity}"
[[builder]]
id = "{builder}"
signers = ["builder"]
level = {mapped}
[provenance]
level = {level}
source = "{source}"
{wanted_ref}
[sbom]
rule = "off"
{more}"#
        );
        world.write("policy.toml", text);
    }
}

/// Ingests one file with the named attestations beside it; gives the verdict.
fn judge(world: &World, file: &Path, attestations: &[&str], code: i32) -> Value {
    let from = file.parent().expect("a directory");
    let name = file.file_name().expect("a name").to_str().expect("UTF-8");
    world.copy(file, &format!("in/{name}"));
    for attestation in attestations {
        world.copy(&from.join(attestation), &format!("in/{attestation}"));
    }
    world.ok("init store");
    world.ok("ingest --release example@v14.2 in");
    world.json("verify example@v14.2 --policy policy.toml", code)
}

fn generic(name: &str) -> String {
    format!("slsa/gha_generic/v2.1.0/binary-linux-amd64-{name}")
}

fn attestation(name: &str) -> String {
    format!("binary-linux-amd64-{name}.intoto.jsonl")
}

fn finding<'a>(verdict: &'a Value, code: &str) -> &'a Value {
    let findings = verdict["findings"].as_array().expect("findings");
    findings
        .iter()
        .find(|f| f["code"] == code)
        .unwrap_or_else(|| panic!("no {code} in {verdict:#}"))
}

#[test]
fn the_right_attestation_passes_at_level_3() {
    let Some(vectors) = vectors("") else { return };
    let world = World::new();
    PolicyText::default().write(&world);
    let file = vectors.join(generic("push-v14.2"));
    let verdict = judge(&world, &file, &[&attestation("push-v14.2")], 0);
    assert_eq!(verdict["result"], "pass", "{verdict:#}");
    assert_eq!(verdict["artifacts"][0]["level"], 3, "{verdict:#}");
    assert_eq!(codes(&verdict, "fail"), Vec::<String>::new());
}

const CONTAINER: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.1.0";

/// The attestation of this image is one of cosign's: its certificate and log entry stand in annotations.
#[test]
fn an_image_attested_by_cosign_passes_where_its_form_is_named() {
    let Some(vectors) = vectors("slsa/gha_generic_container/v2.1.0") else { return };
    let world = World::new();
    let layout = vectors.join("container_workflow_dispatch");
    world.ok("init store");
    world.ok(&format!(
        "ingest --release example@v1 --image {}=example.com/app:v1",
        layout.display()
    ));
    let image = std::fs::read_to_string(vectors.join("container_workflow_dispatch.digest"));
    let image = image.expect("a digest");
    let branch = |name: &str| format!("branch = \"{name}\"");
    let (main, other) = (branch("main"), branch("other"));
    for (form, wanted_ref, expected) in [
        ("legacy = [\"cosign-attestation\"]", &main, None),
        ("legacy = [\"cosign-attestation\"]", &other, Some("PROV-REF")),
        ("legacy = [\"promise-only\", \"cosign-signature\"]", &main, Some("SIG-LEGACY")),
        ("", &main, Some("SIG-LEGACY")),
    ] {
        let identity = format!("{CONTAINER}\"\n{form}#");
        let text = PolicyText {
            builder: CONTAINER,
            identity: &identity,
            wanted_ref,
            ..Default::default()
        };
        text.write(&world);
        let code = i32::from(expected.is_some());
        let verdict = world.json("verify example@v1 --policy policy.toml", code);
        assert_eq!(codes(&verdict, "fail"), Vec::from_iter(expected), "{verdict:#}");
        let artifact = &verdict["artifacts"][0];
        assert_eq!(artifact["digest"], image.trim());
        assert_eq!(artifact["level"].as_u64(), expected.is_none().then_some(3), "{verdict:#}");
    }
}

#[test]
fn another_tags_attestation_names_ref_expected_and_seen() {
    let Some(vectors) = vectors("") else { return };
    for (name, seen) in [("push-v14", "refs/tags/v14"), ("workflow_dispatch", "refs/heads/main")] {
        let world = World::new();
        PolicyText::default().write(&world);
        let verdict = judge(&world, &vectors.join(generic("push-v14.2")), &[&attestation(name)], 1);
        assert_eq!(verdict["result"], "fail");
        let found = finding(&verdict, "PROV-REF");
        assert!(found["expected"].as_str().unwrap().contains("refs/tags/v14.2"), "{found}");
        assert!(found["seen"].as_str().unwrap().contains(seen), "{found}");
    }
}

#[test]
fn of_four_attestations_one_counts_and_three_are_reported() {
    let Some(vectors) = vectors("") else { return };
    let world = World::new();
    PolicyText::default().write(&world);
    let all = ["push-v13.0.30", "push-v14", "push-v14.2", "workflow_dispatch"].map(attestation);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let verdict = judge(&world, &vectors.join(generic("push-v14.2")), &all, 0);
    assert_eq!(verdict["artifacts"][0]["accepted"].as_array().unwrap().len(), 1, "{verdict:#}");
    let findings = verdict["findings"].as_array().unwrap();
    let documents: std::collections::BTreeSet<_> = findings
        .iter()
        .filter(|finding| finding["severity"] == "note")
        .map(|finding| finding["document"].as_str().expect("a document"))
        .collect();
    assert_eq!(documents.len(), 3, "{verdict:#}");
    assert_eq!(codes(&verdict, "fail"), Vec::<String>::new());
}

#[test]
fn each_fault_has_its_own_code() {
    let Some(vectors) = vectors("") else { return };
    let file = vectors.join(generic("push-v14.2"));
    let right = attestation("push-v14.2");
    let other_builder = GENERIC.replace("v2.1.0", "v1.9.0");
    let table: [(&str, PolicyText<'_>); 5] = [
        (
            "PROV-SOURCE",
            PolicyText { source: "https://github.com/slsa-framework/other", ..Default::default() },
        ),
        ("PROV-BUILDER", PolicyText { builder: &other_builder, ..Default::default() }),
        ("ID-SUBJECT", PolicyText { identity: &other_builder, ..Default::default() }),
        ("PROV-LEVEL", PolicyText { mapped: 2, ..Default::default() }),
        (
            "REL-EXTRA",
            PolicyText { more: "[release]\nartifacts = [\"other\"]", ..Default::default() },
        ),
    ];
    for (code, policy) in table {
        let world = World::new();
        policy.write(&world);
        let verdict = judge(&world, &file, &[&right], 1);
        assert!(codes(&verdict, "fail").iter().any(|c| c == code), "{code}: {verdict:#}");
    }
    let world = World::new();
    PolicyText::default().write(&world);
    let verdict = judge(&world, &file, &[], 1);
    assert_eq!(codes(&verdict, "fail"), ["PROV-MISSING"], "{verdict:#}");
}

#[test]
fn a_flipped_byte_fails_on_the_subject_digest() {
    let Some(vectors) = vectors("") else { return };
    let world = World::new();
    PolicyText::default().write(&world);
    let mut bytes = fs::read(vectors.join(generic("push-v14.2"))).unwrap();
    bytes[700_000] ^= 1;
    let flipped = world.write("flipped/binary-linux-amd64-push-v14.2", bytes);
    let beside = attestation("push-v14.2");
    world.copy(&vectors.join(generic("push-v14.2.intoto.jsonl")), &format!("flipped/{beside}"));
    let verdict = judge(&world, &flipped, &[&beside], 1);
    assert_eq!(codes(&verdict, "fail"), ["PROV-SUBJECT"], "{verdict:#}");
}

#[test]
fn an_extra_file_without_provenance_keeps_the_release_in() {
    let Some(vectors) = vectors("") else { return };
    let world = World::new();
    PolicyText::default().write(&world);
    world.write("in/extra.txt", "nobody vouches for this");
    let verdict =
        judge(&world, &vectors.join(generic("push-v14.2")), &[&attestation("push-v14.2")], 1);
    assert_eq!(codes(&verdict, "fail"), ["PROV-MISSING"], "{verdict:#}");
    assert_eq!(finding(&verdict, "PROV-MISSING")["path"], "extra.txt");
}

#[test]
fn bazel_modules_pass_with_their_signers_and_only_so() {
    let Some(vectors) = vectors("") else { return };
    let publish = "https://github.com/bazel-contrib/publish-to-bcr/.github/workflows/publish.yaml@refs/tags/v0.0.1";
    let ruleset = "https://github.com/bazel-contrib/.github/.github/workflows/release_ruleset.yaml@refs/tags/v7.1.0";
    let module = "MODULE.bazel";
    let archive = "rules_lint-v1.3.1.tar.gz";
    let wrong = "MODULE-wrong-signer.bazel";
    let jsonl = |name: &str| format!("{name}.intoto.jsonl");
    let table: [(&str, String, &str, &[&str]); 5] = [
        (module, jsonl(module), publish, &[]),
        (archive, jsonl(archive), ruleset, &[]),
        (wrong, jsonl(wrong), publish, &["ID-SUBJECT", "PROV-CLAIMS"]),
        (module, jsonl(archive), ruleset, &["PROV-SUBJECT"]),
        (archive, jsonl(module), publish, &["PROV-SUBJECT"]),
    ];
    for (file, attestation, builder, expected) in table {
        let world = World::new();
        let wanted_ref = "ref = \"refs/heads/publish-to-bcr\"";
        let source = "https://github.com/aspect-build/rules_lint";
        PolicyText { builder, identity: builder, source, wanted_ref, ..Default::default() }
            .write(&world);
        let bcr = vectors.join("slsa/bcr");
        // Swapped attestations take the sidecar name of the file, as they would where files get mixed up.
        let file = world.copy(&bcr.join(file), &format!("from/{file}"));
        let beside = jsonl(file.file_name().unwrap().to_str().unwrap());
        world.copy(&bcr.join(&attestation), &format!("from/{beside}"));
        let code = if expected.is_empty() { 0 } else { 1 };
        let verdict = judge(&world, &file, &[&beside], code);
        assert_eq!(codes(&verdict, "fail"), expected, "{attestation}: {verdict:#}");
    }
}

#[test]
fn an_empty_file_with_four_provenances_passes_on_each_ref() {
    let Some(vectors) = vectors("") else { return };
    let build = |name: &str| format!("binary-linux-amd64-{name}.intoto.build.slsa");
    let names = ["push-v13.0.30", "push-v14", "push-v14.2", "workflow_dispatch"];
    let all = names.map(build);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let file = vectors.join("slsa/gha_container-based/v2.1.0/binary-linux-amd64-push-v14");
    for wanted_ref in
        ["tag = \"v13.0.30\"", "tag = \"v14\"", "tag = \"v14.2\"", "branch = \"main\""]
    {
        let world = World::new();
        PolicyText {
            builder: CONTAINER_BASED,
            identity: CONTAINER_BASED,
            wanted_ref,
            ..Default::default()
        }
        .write(&world);
        let verdict = judge(&world, &file, &all, 0);
        assert_eq!(verdict["artifacts"][0]["accepted"].as_array().unwrap().len(), 1, "{verdict:#}");
    }
}

#[test]
fn all_public_bundles_come_out_right_by_path_and_by_digest() {
    let Some(cases) = bundle_cases() else { return };
    let world = World::new();
    for case in &cases {
        let mut options = vec!["--bundle", &case.bundle];
        match &case.key {
            Some(key) => options.extend(["--key", key]),
            None => options.extend(["--identity", &case.identity, "--issuer", &case.issuer]),
        }
        options.extend(case.trusted_root.iter().flat_map(|root| ["--trusted-root", root]));
        for target in &case.targets {
            let mut arguments = vec!["verify", target];
            arguments.extend(&options);
            let run = world.run_arguments(&arguments);
            assert!(case.expected().contains(&run.code), "{} as {target}: {run:?}", case.name);
        }
    }
}

/// One public bundle, with what it is to be verified against.
pub(crate) struct BundleCase {
    pub(crate) name: String,
    pub(crate) bundle: String,
    /// The file, and its digest.
    pub(crate) targets: [String; 2],
    pub(crate) identity: String,
    pub(crate) issuer: String,
    pub(crate) key: Option<String>,
    pub(crate) trusted_root: Option<String>,
}

/// All public bundles, if they are here.
pub(crate) fn bundle_cases() -> Option<Vec<BundleCase>> {
    let bundles = vectors("")?.join("sigstore-bundles");
    let entries = fs::read_dir(&bundles).unwrap().map(|entry| entry.unwrap().path());
    let cases = entries.filter(|path| path.is_dir()).map(|case| BundleCase::read(&bundles, &case));
    let cases: Vec<_> = cases.collect();
    assert_eq!(cases.len(), 36);
    Some(cases)
}

impl BundleCase {
    fn read(bundles: &Path, case: &Path) -> Self {
        const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
        let own = |file: &str| Some(case.join(file)).filter(|path| path.exists());
        let artifact = own("artifact").unwrap_or_else(|| bundles.join("a.txt"));
        let text =
            |file: &str| own(file).map(|path| fs::read_to_string(path).unwrap().trim().to_owned());
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let digest = bonded_model::Digest::sha256_of(&fs::read(&artifact).unwrap()).to_string();
        Self {
            name: case.file_name().unwrap().to_str().unwrap().to_owned(),
            bundle: path(&case.join("bundle.sigstore.json")),
            targets: [path(&artifact), digest],
            identity: text("identity").unwrap_or_else(|| IDENTITY.into()),
            issuer: text("issuer").unwrap_or_else(|| GITHUB.into()),
            key: own("key.pub").as_deref().map(path),
            trusted_root: own("trusted_root.json").as_deref().map(path),
        }
    }

    /// The exit codes that are right. A trusted root or a key that is itself unusable is refused before
    /// any verdict, as a usage error.
    pub(crate) fn expected(&self) -> &'static [i32] {
        match self.name.strip_suffix("_fail") {
            None => &[0],
            Some(name) if name.starts_with("trust-root-") || name == "managed-key-wrong-key" => {
                &[1, 2]
            }
            Some(_) => &[1],
        }
    }
}
