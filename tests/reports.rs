//! Verdicts as reports for other tools: SARIF, and one page of HTML.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::World;

/// A release with files whose names mean something in a URI and in HTML.
fn world() -> World {
    let world = World::with_store();
    world.write("dist/a b?c#d.txt", "one");
    world.write("dist/<script>alert(1)<", "two");
    world.ok("ingest --release demo@v1.0.0 dist");
    world.ok("keygen --out key");
    world.write("policy.toml", world.policy());
    world
}

const VERIFY: &str = "verify demo@v1.0.0 --policy policy.toml --no-record";

fn sarif(world: &World, more: &str) -> Value {
    let run = world.run(&format!("{VERIFY} --report sarif {more}")).must(1);
    serde_json::from_str(&run.stdout).unwrap()
}

fn results(log: &Value) -> &Vec<Value> {
    log["runs"][0]["results"].as_array().unwrap()
}

#[test]
fn a_sarif_log_has_a_result_for_each_finding() {
    let world = world();
    let verdict = world.json(VERIFY, 1);
    let log = sarif(&world, "");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "bonded");
    assert_eq!(run["properties"]["result"], "fail");
    assert_eq!(run["properties"]["policy"], verdict["policy"]);
    let findings = verdict["findings"].as_array().unwrap();
    assert!(findings.len() > 1, "{verdict:#}");
    assert_eq!(results(&log).len(), findings.len());
    let levels = [("fail", "error"), ("warn", "warning"), ("note", "note")];
    for (result, finding) in results(&log).iter().zip(findings) {
        assert_eq!(result["ruleId"], finding["code"]);
        let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][at]["id"], finding["code"]);
        let level = levels.iter().find(|(severity, _)| finding["severity"] == *severity).unwrap().1;
        assert_eq!(result["level"], level);
        let text = result["message"]["text"].as_str().unwrap();
        assert!(text.contains(finding["seen"].as_str().unwrap()), "{text}");
    }
}

#[test]
fn places_in_a_sarif_log_are_relative_references() {
    let log = sarif(&world(), "");
    let uris: BTreeSet<_> = results(&log)
        .iter()
        .filter_map(|r| r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str())
        .collect();
    assert_eq!(uris, ["%3Cscript%3Ealert%281%29%3C", "a%20b%3Fc%23d.txt"].into());
}

#[test]
fn a_finding_keeps_its_fingerprint_from_one_day_to_the_next() {
    let world = world();
    let prints = |at: &str| -> Vec<Value> {
        let log = sarif(&world, &format!("--at {at}"));
        let prints =
            results(&log).iter().map(|r| r["partialFingerprints"]["bondedFinding/v1"].clone());
        prints.collect()
    };
    let one = prints("2026-01-01T00:00:00Z");
    assert_eq!(one, prints("2026-01-02T00:00:00Z"));
    let distinct: BTreeSet<_> = one.iter().map(|print| print.as_str().unwrap()).collect();
    assert_eq!(distinct.len(), one.len());
}

#[test]
fn the_page_quotes_names_and_runs_nothing() {
    let world = world();
    let run = world.run(&format!("{VERIFY} --report html")).must(1);
    let page = run.stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("FAIL</span> demo@v1.0.0"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;"), "{page}");
    assert!(!page.contains("<script"), "{page}");
    for finding in world.json(VERIFY, 1)["findings"].as_array().unwrap() {
        assert!(page.contains(finding["code"].as_str().unwrap()), "{finding}");
    }
}

#[test]
fn a_passing_release_has_a_passing_report() {
    let world = World::with_store();
    world.release("v1.0.0");
    let page = world.ok(&format!("{VERIFY} --report html"));
    assert!(page.contains("PASS</span> demo@v1.0.0"), "{page}");
    let log: Value = serde_json::from_str(&world.ok(&format!("{VERIFY} --report sarif"))).unwrap();
    assert_eq!(log["runs"][0]["properties"]["result"], "pass");
    assert!(results(&log).iter().all(|result| result["level"] != "error"));
}

#[test]
fn an_unknown_form_is_a_wrong_command_line() {
    world().run(&format!("{VERIFY} --report pdf")).must(2).says(&["sarif", "html"]);
}
