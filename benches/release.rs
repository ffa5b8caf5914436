//! The verdict on a release of 500 artifacts, each with a keyless bundle around its provenance and with an SBOM,
//! by the built program as a whole process: reached anew, and found among those that are kept. The bundles are
//! by the signer for tests; the files and their evidence are in the page cache.
//!
//! The reference in the same run is the cryptographic library: as many ECDSA P-256 verifications on one core as
//! there are bundles. The ratio is their time over the contender's.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark is a program of its own, with files, environment and a terminal"
)]

mod measure;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bonded_model::Digest;
use bonded_testsigner::{Content, Request, World};
use serde_json::json;

const POLICY: &str = r#"version = 1
name = "bench"
[[signer]]
name = "workflow"
issuer = "https://token.actions.githubusercontent.com"
identity = "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1"
[[builder]]
id = "https://example.com/builder"
signers = ["workflow"]
level = 3
[provenance]
level = 3
source = "https://github.com/o/r"
tag = "{version}"
"#;

fn main() {
    let count = if measure::smoke() { 10 } else { 500 };
    let rounds = if measure::smoke() { 1 } else { 9 };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    make_inputs(&at("in"), count, &at("root.json"));
    fs::write(at("policy.toml"), POLICY).expect("a policy");
    let bonded = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bonded"));
        command.args(["--store", "store"]).args(arguments);
        command.current_dir(directory.path()).env("BONDED_STATE", at("state"));
        command
    };
    measure::must(&mut bonded(&["init", "store"]));
    measure::must(&mut bonded(&["ingest", "--release", "bench@v1", "in"]));
    fs::remove_dir_all(at("in")).expect("the inputs were there");
    let verify = [
        "verify",
        "bench@v1",
        "--policy",
        "policy.toml",
        "--trusted-root",
        "root.json",
        "--format",
        "json",
    ];
    measure::must(&mut bonded(&verify));
    let with = |more: &[&str]| measure::must(&mut bonded(&[&verify, more].concat()));
    let mut anew = || with(&["--no-cache"]);
    let mut kept = || with(&[]);
    let mut nothing = || measure::must(&mut bonded(&["--version"]));
    let mut one_core = || {
        let arguments = [&verify[..], &["--no-cache"]].concat();
        measure::must(bonded(&arguments).env("RAYON_NUM_THREADS", "1"));
    };
    let (mut reference, mut large) = (measure::p256(count), measure::p384(count));
    let mut contenders: [(&str, &mut dyn FnMut()); 6] = [
        ("P-256 verifications", &mut reference),
        ("P-384 verifications", &mut large),
        ("reached anew, one core", &mut one_core),
        ("reached anew, all cores", &mut anew),
        ("found among those kept", &mut kept),
        ("a process that does nothing", &mut nothing),
    ];
    let medians = measure::medians(rounds, &mut contenders);
    println!("a release of {count} artifacts, {} documents, median of {rounds}", count * 2);
    for ((name, _), time) in contenders.iter().zip(&medians) {
        measure::line(name, *time, medians[0]);
    }
    let ratio = |of: Duration, to: Duration| of.as_secs_f64() / to.as_secs_f64();
    println!("two cores over one: {:.2} x", ratio(medians[2], medians[3]));
    println!("kept over anew: {:.1} x", ratio(medians[3], medians[4]));
    let seconds = |at: usize| medians[at].as_secs_f64();
    let curves = measure::curves(seconds(0), seconds(1)) / seconds(2) * 100.0;
    println!("elliptic curves on one core: {curves:.0} %");
    println!("reading, parsing, hashes and policy: {:.0} %", 100.0 - curves);
}

/// Files of some kilobytes with their evidence beside them, and the trusted root of whoever signed.
fn make_inputs(directory: &Path, count: usize, root: &Path) {
    fs::create_dir(directory).expect("a new directory");
    let world = World::new();
    fs::write(root, world.trusted_root()).expect("a trusted root");
    for number in 0..count {
        let name = format!("tool-{number:04}.bin");
        let path = directory.join(&name);
        measure::fill(&path, 4096, u64::try_from(number).expect("a small number") + 1);
        let digest = Digest::sha256_of(&fs::read(&path).expect("just written")).hex();
        let request = Request {
            content: Content::Statement(&provenance(&name, &digest)),
            ..Request::default()
        };
        fs::write(
            directory.join(format!("{name}.sigstore.json")),
            world.keyless(&request).to_json(),
        )
        .expect("a bundle");
        let sbom = json!({
            "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
            "dataLicense": "CC0-1.0", "documentNamespace": format!("https://example.com/{name}"),
            "creationInfo": {"created": "2025-06-01T12:00:00Z", "creators": ["Tool: bench"]},
            "packages": [], "relationships": [],
            "files": [{"SPDXID": "SPDXRef-File", "fileName": name, "checksums": [
                {"algorithm": "SHA256", "checksumValue": digest}
            ]}],
        });
        fs::write(directory.join(format!("{name}.spdx.json")), sbom.to_string()).expect("an SBOM");
    }
}

/// About as long as those of GitHub's generators.
fn provenance(name: &str, digest: &str) -> Vec<u8> {
    let source = json!({"uri": "git+https://github.com/o/r@refs/tags/v1",
        "digest": {"gitCommit": "6dcb09b5b57875f334f61aebed695e2e4193db5e"}});
    let variables: serde_json::Map<_, _> = (0..60)
        .map(|n| (format!("GITHUB_VARIABLE_{n}"), json!("a value of an ordinary length")))
        .collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://example.com/build",
                "externalParameters": {"source": source["uri"]},
                "internalParameters": variables,
                "resolvedDependencies": [source],
            },
            "runDetails": {"builder": {"id": "https://example.com/builder"}},
        },
    })
    .to_string()
    .into_bytes()
}
