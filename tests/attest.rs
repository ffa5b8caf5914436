//! `keygen`, `attest`, `policy`, and the verdict on what they made.

use std::os::unix::fs::PermissionsExt;

use crate::world::{World, codes};

#[test]
fn a_locally_attested_release_passes_its_policy_and_leaves_a_record() {
    let world = World::with_store();
    world.release("v1.0.0");
    let verdict = world.json("verify demo@v1.0.0 --policy policy.toml", 0);
    assert_eq!(verdict["result"], "pass", "{verdict:#}");
    let shown = world.json("show demo@v1.0.0", 0);
    assert_eq!(shown["summaries"].as_array().unwrap().len(), 1, "{shown:#}");
    assert_eq!(shown["summaries"][0]["summary"]["verificationResult"], "PASSED");
    world.ok("verify demo@v1.0.0 --policy policy.toml");
    assert_eq!(world.json("show demo@v1.0.0", 0)["summaries"].as_array().unwrap().len(), 1);
}

#[test]
fn the_same_question_gets_the_same_bytes() {
    let world = World::with_store();
    world.release("v1.0.0");
    let ask = || {
        world
            .run("verify demo@v1.0.0 --policy policy.toml --at 2026-01-01T00:00:00Z --format json")
            .stdout
    };
    assert_eq!(ask(), ask());
}

#[test]
fn a_failing_verdict_is_recorded_as_failed() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("strict.toml", world.policy().replace("level = 2\nsource", "level = 3\nsource"));
    let verdict = world.json("verify demo@v1.0.0 --policy strict.toml", 1);
    assert_eq!(codes(&verdict, "fail"), ["PROV-LEVEL"], "{verdict:#}");
    assert_eq!(
        world.json("show demo@v1.0.0", 0)["summaries"][0]["summary"]["verificationResult"],
        "FAILED"
    );
}

#[test]
fn another_key_is_nobody() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.ok("keygen --out other");
    let other = world.policy().replace(&world.read("key.pub"), &world.read("other.pub"));
    world.write("other.toml", other);
    let verdict = world.json("verify demo@v1.0.0 --policy other.toml", 1);
    assert!(!codes(&verdict, "fail").is_empty(), "{verdict:#}");
    assert!(
        codes(&verdict, "fail")
            .iter()
            .all(|code| code.starts_with("ID-") || code.starts_with("SIG-")),
        "{verdict:#}"
    );
}

#[test]
fn an_sbom_is_attested_only_for_what_it_names() {
    let world = World::with_store();
    world.release("v1.0.0");
    let hex = bonded_model::Digest::sha256_of(b"tool v1.0.0\n").hex();
    let sbom = format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{{"component":{{"type":"application","name":"tool","hashes":[{{"alg":"SHA-256","content":"{hex}"}}]}}}}}}"#
    );
    world.write("tool.cdx.json", sbom);
    world.ok("attest sbom demo@v1.0.0/bin/tool --key key --sbom tool.cdx.json");
    world
        .run("attest sbom demo@v1.0.0/empty --key key --sbom tool.cdx.json")
        .must(2)
        .says(&["does not name", "empty"]);
    world.write("sbom.toml", world.policy().replace("rule = \"off\"", "rule = \"require\""));
    let verdict = world.json("verify demo@v1.0.0 --policy sbom.toml", 1);
    assert_eq!(codes(&verdict, "fail"), ["SBOM-MISSING"], "{verdict:#}");
}

#[test]
fn one_downloaded_file_is_verified_offline_with_the_key() {
    let world = World::with_store();
    world.release("v1.0.0");
    let shown = world.json("show demo@v1.0.0", 0);
    let digest = shown["evidence"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let bundle = format!("store/blobs/sha256/{digest}");
    world.run(&format!("verify in/bin/tool --bundle {bundle} --key key.pub")).must(0);
    world.write("tampered", "tool v1.0.0!");
    let run = world.run(&format!("verify tampered --bundle {bundle} --key key.pub")).must(1);
    assert!(
        run.stdout.contains("PROV-SUBJECT") || run.stdout.contains("SIG-SUBJECT"),
        "{}",
        run.stdout
    );
    world.run(&format!("verify in/bin/tool --bundle {bundle}")).must(2).says(&["--policy"]);
    let ask = |policy: &str| {
        world.write("file.toml", policy);
        let line = format!("verify in/bin/tool --bundle {bundle} --policy file.toml");
        world.run(&format!("{line} --release-version v1.0.0")).must(0).stderr
    };
    assert_eq!(ask(&world.policy()), "");
    let told = ask(&world.policy().replace("rule = \"off\"", "rule = \"require\""));
    assert!(told.contains("of a file alone the policy does not ask: [sbom]"), "{told}");
}

#[test]
fn a_key_is_secret_and_never_overwritten() {
    let world = World::new();
    world.ok("keygen --out key");
    let mode = std::fs::metadata(world.path("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.run("keygen --out key").must(3).says(&["never overwritten"]);
}

#[test]
fn a_proposed_policy_passes_the_release_it_came_from() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.ok("policy init demo@v1.0.0 --key key.pub --out proposed.toml");
    world.ok("policy check proposed.toml");
    world.run("verify demo@v1.0.0 --policy proposed.toml").must(0);
    world.ok("policy init demo@v1.0.0 --out keyless.toml");
    // Nobody vouches for an unknown key, so there is no source to propose.
    world.run("policy check keyless.toml").must(2).says(&["[provenance] needs a source"]);
    let told = world.ok("policy explain demo@v1.0.0 --policy policy.toml");
    assert!(told.contains("2 artifacts") && told.contains("https://example.com/demo"), "{told}");
}

#[test]
fn a_policy_finds_its_base_beside_it_and_may_not_widen_it() {
    let world = World::with_store();
    world.release("v1.0.0");
    let head = "version = 1\nname = \"project\"\nbase = \"policy.toml\"\n";
    world.write("project.toml", head);
    world.ok("policy check project.toml");
    world.run("verify demo@v1.0.0 --policy project.toml").must(0);
    world.write("wider.toml", format!("{head}[provenance]\nrule = \"off\"\n"));
    let wider = world.run("verify demo@v1.0.0 --policy wider.toml").must(2);
    wider.says(&["provenance.rule is wider than the base allows", "policy check wider.toml"]);
    world.write("lost.toml", head.replace("policy.toml", "lost-base.toml"));
    let lost = world.run("policy check lost.toml").must(2);
    lost.says(&["lost-base.toml, the base of policy lost.toml", "put lost-base.toml beside it"]);
}

#[test]
fn without_a_policy_nothing_passes() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.run("verify demo@v1.0.0").must(2).says(&["has no policy", "[projects.demo]"]);
}

const VERIFIER: &str = "https://example.com/verifier";

/// When the exception in its policy ends: after whatever time the machine that runs this is in.
const EXCEPTED: &str = "2999-01-01T00:00:00Z";

/// A release, and a policy under which a verifier with a key of its own speaks for it until an exception ends.
fn with_verifier(kept: &str) -> World {
    let world = World::with_store();
    world.release("v1.0.0");
    world.ok("keygen --out verifier");
    let policy = world.policy().replace("rule = \"off\"", "rule = \"require\"");
    let tables = format!(
        r#"
[[signer]]
name = "verifier"
public_key = """
{}"""

[[verifier]]
id = "{VERIFIER}"
signers = ["verifier"]
level = 2
max_age = "7d"
{kept}

[[exception]]
code = "SBOM-MISSING"
until = "{EXCEPTED}"
reason = "the first SBOMs come with the next release"
"#,
        world.read("verifier.pub")
    );
    world.write("policy.toml", policy + &tables);
    world
}

/// That the summary opened it is told: the verdict would have passed as well.
#[test]
fn a_signed_summary_opens_the_door_until_something_changes() {
    let world = with_verifier("release = \"pkg:generic/{project}@{version}\"");
    let to = format!("--to file://{}", world.path("out").display());
    let plan = |more: &str| world.run(&format!("mirror plan --policy policy.toml {more} {to}"));
    let is_taken = |more: &str| plan(more).must(0).stderr.contains("taken on the summary sha256:");
    assert!(!is_taken(""));
    let attest = |key: &str, more: &str| {
        let line = format!("attest vsa demo@v1.0.0 --policy policy.toml --key {key}");
        world.run(&format!("{line} --verifier-id {VERIFIER} {more}"))
    };
    attest("key", "").must(0);
    assert!(!is_taken(""));
    attest("verifier", "--resource-uri pkg:generic/other@{version}").must(0);
    assert!(!is_taken(""));
    // The two before it are evidence now that this one has seen.
    let made = attest("verifier", "").must(0).stdout;
    assert!(made.contains("a summary of pkg:generic/demo@v1.0.0, signed by sha256:"), "{made}");
    assert!(is_taken(""));
    assert!(plan("").must(0).stdout.contains("demo/release/v1.0.0/bin/tool"));
    assert!(!is_taken("--trusted-root staging"));
    // What the policy let pass until then it lets pass no more, and the summary is too old.
    let refused = plan(&format!("--at {EXCEPTED}")).must(1);
    refused.says(&["demo@v1.0.0 stays here", "SBOM-MISSING", "no summary stands", "VSA-AGE"]);
    world.attest("v1.0.0");
    assert!(!is_taken(""));
    attest("verifier", "--at 2026-01-31T00:00:00Z").must(2).says(&["leave --at away"]);
}

/// Somebody who mistypes id or resource has to be told, though a summary may be meant for others.
#[test]
fn a_summary_that_opens_nothing_is_told() {
    let world = with_verifier("release = \"pkg:generic/{project}@{version}\"");
    let line = "attest vsa demo@v1.0.0 --policy policy.toml --key verifier --verifier-id";
    let opens_nothing = "a summary that opens nothing";
    let other = world.run(&format!("{line} {VERIFIER}/other")).must(0);
    other.says(&[opens_nothing, "no [[verifier]] with the id"]);
    let elsewhere = format!("{line} {VERIFIER} --resource-uri pkg:generic/other");
    let elsewhere = world.run(&elsewhere).must(0);
    elsewhere
        .says(&[opens_nothing, "expects \"pkg:generic/demo@v1.0.0\", not \"pkg:generic/other\""]);
    let each = world.run(&format!("{line} {VERIFIER} --per-artifact")).must(0);
    each.says(&[opens_nothing, "expects nothing"]);
    let heard = world.run(&format!("{line} {VERIFIER}")).must(0);
    assert!(!heard.stderr.contains(opens_nothing), "{}", heard.stderr);
    let mut empty: Vec<_> = line.split(' ').collect();
    empty.push("");
    world.run_arguments(&empty).must(2).says(&["the id of the verifier is empty"]);
}

#[test]
fn each_artifact_gets_a_summary_in_place_of_its_provenance() {
    let world = with_verifier("resource = \"https://dl.example.com/{version}/{path}\"");
    let line = format!(
        "attest vsa demo@v1.0.0 --policy policy.toml --key verifier --verifier-id {VERIFIER} \
         --per-artifact"
    );
    let uri = "--resource-uri https://dl.example.com/{version}/{path}";
    let made = world.json(&format!("{line} {uri} --policy-uri https://example.com/p"), 0);
    assert_eq!(made["summaries"].as_array().unwrap().len(), 2, "{made:#}");
    assert_eq!(made["summaries"][0]["resourceUri"], "https://dl.example.com/v1.0.0/bin/tool");
    let digest = made["summaries"][0]["document"].as_str().unwrap().replace("sha256:", "");
    let bundle = format!("store/blobs/sha256/{digest}");
    let check = |version: &str| {
        format!(
            "verify in/bin/tool --bundle {bundle} --policy policy.toml --release-version {version} \
             --release-path bin/tool"
        )
    };
    let verdict = world.json(&check("v1.0.0"), 0);
    assert_eq!(verdict["artifacts"][0]["accepted"][0]["role"], "summary", "{verdict:#}");
    assert_eq!(verdict["artifacts"][0]["level"], 2);
    assert_eq!(codes(&world.json(&check("v1.0.1"), 1), "fail"), ["VSA-RESOURCE"]);
    world.run(&line.replace(" --per-artifact", &format!(" {uri}"))).must(2).says(&["{path}"]);
    let same = "--resource-uri https://dl.example.com/{version}";
    world.run(&format!("{line} {same}")).must(2).says(&["does not name {path}"]);
}

#[test]
fn a_failing_verdict_is_signed_by_nobody() {
    let world = with_verifier("release = \"pkg:generic/{project}@{version}\"");
    world.write("policy.toml", world.read("policy.toml").replace(EXCEPTED, "2026-02-01T00:00:00Z"));
    let line = "attest vsa demo@v1.0.0 --policy policy.toml --key verifier";
    let run = world.run(&format!("{line} --verifier-id {VERIFIER}")).must(1);
    run.says(&["nothing is signed", "SBOM-MISSING"]);
    assert_eq!(world.json("show demo@v1.0.0", 0)["evidence"].as_array().unwrap().len(), 1);
}
