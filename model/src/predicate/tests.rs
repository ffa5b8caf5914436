//! A golden document of each type, written by hand after its specification, and what each must reject.

use serde_json::{Value, json};

use super::*;
use crate::digest::Digest;
use crate::statement::Subject;
use crate::vsa::SummaryError;

const NPM: &str = "pkg:npm/%40scope/pack@1.0.0";

fn statement(kind: &str, predicate: &Value) -> Statement {
    Statement::new(vec![Subject::new(NPM, Digest::sha256_of(b"x"))], kind, predicate)
}

fn parse(kind: &str, predicate: &Value) -> Result<Option<Predicate>, PredicateError> {
    Predicate::parse(&statement(kind, predicate))
}

/// Not of the shape that its type promises, by the one reader or the other.
fn is_misshapen(error: &PredicateError) -> bool {
    matches!(
        error,
        PredicateError::Shape { .. } | PredicateError::Summary(SummaryError::Predicate(_))
    )
}

fn golden() -> Vec<(&'static str, Value)> {
    [golden_of_steps(), golden_of_releases(), golden_of_reports()].concat()
}

fn golden_of_steps() -> Vec<(&'static str, Value)> {
    let by_name = json!({
        "name": "build", "command": "make all", "materials": {"a.c": {"sha256": "00"}},
        "byproducts": {}, "environment": {},
    });
    let listed = json!({
        "name": "build", "command": ["make", "all"],
        "materials": [{"name": "a.c", "digest": {"sha256": "00"}}],
    });
    let tests = json!({
        "result": "WARNED", "configuration": [{"name": "ci.yml", "digest": {"gitBlob": "e1"}}],
        "passedTests": ["a"], "warnedTests": ["b"], "failedTests": [],
    });
    vec![
        (link::LINK_V0_2, by_name),
        (link::LINK_V0_3, listed),
        (test_result::TEST_RESULT_V0_1, tests),
    ]
}

fn golden_of_releases() -> Vec<(&'static str, Value)> {
    let digest = Digest::sha256_of(b"x").to_string();
    let promotion = json!({
        "srcRef": "gcr.io/k8s-staging-a/b:v1", "dstRef": "registry.k8s.io/a/b:v1", "digest": digest,
        "timestamp": "2026-01-02T03:04:05Z", "builderId": "https://k8s.io/promo-tools@v4.6.0",
    });
    let release = json!({"purl": "pkg:npm/@scope/pack@1.0.0", "packageId": "7"});
    let publish = json!({"name": "@scope/pack", "version": "1.0.0", "registry": "https://registry.npmjs.org"});
    vec![
        (release::RELEASE_V0_1, release.clone()),
        (release::RELEASE_V0_2, release),
        (promotion::PROMOTION_KUBERNETES, promotion.clone()),
        (promotion::PROMOTION_V0_1, promotion),
        (npm::NPM_PUBLISH_V0_1, publish),
    ]
}

fn golden_of_reports() -> Vec<(&'static str, Value)> {
    let report = json!({
        "attributes": [{
            "attribute": "REPRODUCIBLE", "conditions": {"flags": "-O2"},
            "evidence": {"name": "log", "digest": {"sha256": "00"}},
        }],
        "producer": {"uri": "file:///usr/bin/cc"},
    });
    let scanner = |result: Value| {
        let db = json!({"uri": "pkg:github/x/db", "lastUpdate": "2026-01-02T03:04:05.5Z"});
        let times = json!({
            "scanStartedOn": "2026-01-02T03:04:05Z", "scanFinishedOn": "2026-01-02T03:05:05Z",
        });
        json!({"scanner": {"uri": "pkg:github/x/y", "db": db, "result": result}, "metadata": times})
    };
    let found = json!({"id": "CVE-2026-1", "severity": [{"method": "nvd", "score": "high"}]});
    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex",
        "author": "a", "timestamp": "2026-01-02T03:04:05Z", "version": 1,
        "statements": [{
            "vulnerability": {"name": "CVE-2026-1"}, "status": "not_affected",
            "justification": "component_not_present",
        }],
    });
    let summary = json!({
        "verifier": {"id": "v"}, "resourceUri": "r", "policy": {"uri": "p"},
        "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
    });
    vec![
        (scai::SCAI_V0_2, report.clone()),
        (scai::SCAI_V0_3, report),
        (vulns::VULNS_V0_1, scanner(json!([found, {"vulnerability": found}]))),
        (vulns::VULNS_V0_2, scanner(json!([found]))),
        ("https://openvex.dev/ns/v0.2.0", vex),
        (crate::vsa::SUMMARY_V1, summary),
    ]
}

#[test]
fn a_golden_document_of_every_type_is_read() {
    for (kind, mut predicate) in golden() {
        assert!(parse(kind, &predicate).unwrap().is_some(), "{kind}");
        predicate["https://example.com/extension"] = json!({"unknown": [1]});
        let read = parse(kind, &predicate).unwrap().unwrap();
        assert!(!read.says_failed(), "{kind}");
        let near = format!("{kind}.1");
        let vex = kind.starts_with("https://openvex.dev/");
        assert!(vex || parse(&near, &predicate).unwrap().is_none(), "{near}");
    }
    assert!(parse("https://example.com/t", &json!(7)).unwrap().is_none());
}

/// Every member that a specification calls required, one after the other.
#[test]
fn nothing_required_may_be_left_out() {
    let optional = [
        "command",
        "materials",
        "byproducts",
        "environment",
        "passedTests",
        "warnedTests",
        "failedTests",
        "packageId",
        "producer",
        "timestamp",
    ];
    for (kind, predicate) in golden() {
        for wrong in [json!(null), json!([]), json!("x"), json!({})] {
            let found = parse(kind, &wrong);
            assert!(found.as_ref().is_err_and(is_misshapen), "{kind} {wrong} {found:?}");
        }
        for field in predicate.as_object().unwrap().keys() {
            let mut without = predicate.clone();
            without.as_object_mut().unwrap().remove(field);
            let promotion = kind.contains("promotion");
            let may_miss =
                optional.contains(&field.as_str()) && !(promotion && field == "timestamp");
            assert_eq!(parse(kind, &without).is_ok(), may_miss, "{kind} without {field}");
            if !may_miss {
                without[field] = json!(7);
                let counts = field == "version" && kind.starts_with("https://openvex.dev/");
                assert_eq!(parse(kind, &without).is_ok(), counts, "{kind} with {field} = 7");
            }
        }
    }
}

/// Of the right shape, with a value that must not be.
#[test]
fn must_reject() {
    let with = |kind: &str, change: &dyn Fn(&mut Value)| {
        let (kind, mut predicate) = golden().into_iter().find(|(at, _)| *at == kind).unwrap();
        change(&mut predicate);
        parse(kind, &predicate)
    };
    let rejected = |kind: &str, change: &dyn Fn(&mut Value)| {
        let read = with(kind, change);
        assert!(matches!(read, Err(PredicateError::Value { .. })), "{kind}: {read:?}");
    };
    let other = Digest::sha256_of(b"y").to_string();
    rejected(promotion::PROMOTION_V0_1, &|p| p["digest"] = json!(other));
    for purl in
        ["pkg:npm/@scope/pack", "pkg:npm/pack@", "npm/pack@1", "pkg:pack@1", "pkg:npm/a?b@1"]
    {
        rejected(release::RELEASE_V0_1, &|p| p["purl"] = json!(purl));
    }
    rejected(scai::SCAI_V0_3, &|p| p["attributes"] = json!([]));
    rejected(npm::NPM_PUBLISH_V0_1, &|p| p["version"] = json!("1.0.1"));
    rejected(npm::NPM_PUBLISH_V0_1, &|p| p["name"] = json!("scope/pack"));
    let vex = "https://openvex.dev/ns/v0.2.0";
    rejected(vex, &|p| p["statements"] = json!([]));
    rejected(vex, &|p| p["@context"] = json!("https://openvex.dev/nsx"));
    rejected(vex, &|p| p["statements"][0]["justification"] = json!(null));
    let twice = json!([{"name": "a", "digest": {"sha256": "00"}}, {"name": "a", "digest": {"sha256": "00"}}]);
    rejected(link::LINK_V0_3, &|p| p["materials"] = twice.clone());
    rejected(link::LINK_V0_3, &|p| p["materials"] = json!([{"name": "a"}]));
    rejected(link::LINK_V0_3, &|p| p["materials"] = json!([{"digest": {"sha256": "00"}}]));
    let misshapen = |kind: &str, change: &dyn Fn(&mut Value)| {
        assert!(matches!(with(kind, change), Err(PredicateError::Shape { .. })), "{kind}");
    };
    misshapen(test_result::TEST_RESULT_V0_1, &|p| p["result"] = json!("passed"));
    misshapen(vex, &|p| p["statements"][0]["status"] = json!("ignored"));
    misshapen(vulns::VULNS_V0_2, &|p| p["scanner"]["db"]["lastUpdate"] = json!("yesterday"));
    misshapen(promotion::PROMOTION_V0_1, &|p| p["digest"] = json!("sha256:00"));
}

#[test]
fn one_image_in_a_promotion_and_one_package_in_a_publish_attestation() {
    let of = |kind: &str| {
        let (_, predicate) = golden().into_iter().find(|(at, _)| *at == kind).unwrap();
        let subject = |name: &str| Subject::new(name, Digest::sha256_of(b"x"));
        Predicate::parse(&Statement::new(vec![subject(NPM), subject("other")], kind, &predicate))
    };
    for kind in [promotion::PROMOTION_KUBERNETES, npm::NPM_PUBLISH_V0_1] {
        assert!(matches!(of(kind), Err(PredicateError::Value { .. })), "{kind}");
    }
    let (_, link) = golden().swap_remove(1);
    let same = vec![Subject::new(NPM, Digest::sha256_of(b"x")); 2];
    let read = Predicate::parse(&Statement::new(same, link::LINK_V0_3, &link));
    assert!(matches!(read, Err(PredicateError::Value { field: "subject.name", .. })));
}

#[test]
fn a_failure_is_told_whatever_the_result_says() {
    let tests = |result: &str, failed: Value| {
        let predicate = json!({"result": result, "configuration": [], "failedTests": failed});
        parse(test_result::TEST_RESULT_V0_1, &predicate).unwrap().unwrap().says_failed()
    };
    assert!(tests("FAILED", json!([])) && tests("PASSED", json!(["a"])));
    assert!(!tests("PASSED", json!([])) && !tests("WARNED", json!([])));
}
