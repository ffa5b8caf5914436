//! The dependencies that accepted provenance names, counted for summaries.

use std::collections::BTreeMap;

use bonded_model::DocumentKind::Bundle;
use bonded_model::vsa::Summary;
use serde_json::{Value, json};

use super::{OTHER, signed, to, two_files};
use crate::summary::SummaryRequest;
use crate::testing::{Case, FILE, PATH, SOURCE, TAG, provenance};
use crate::verdict::{CacheKey, CacheQuestion, Verdict};

const REQUEST: SummaryRequest<'_> = SummaryRequest {
    resource_uri: "https://example.com/demo",
    policy_uri: None,
    verifier_id: "https://example.com/bonded",
    program: "bonded",
};

fn used(uri: &str, digest: &str) -> Value {
    json!({"uri": uri, "digest": {"sha256": digest}})
}

/// Two files, each with provenance that names those dependencies.
fn case(of: [Vec<Value>; 2]) -> Case {
    let mut case = two_files();
    for ((file, path), dependencies) in [(FILE, PATH), (OTHER, "bin/b")].into_iter().zip(of) {
        let change =
            |p: &mut Value| p["buildDefinition"]["resolvedDependencies"] = json!(dependencies);
        case.add(Bundle, &signed(&provenance(file, change)), None, to(path));
    }
    case
}

/// What is said of the release, and of each artifact.
fn levels(verdict: &Verdict) -> [Option<BTreeMap<String, u64>>; 3] {
    let [one, two] = verdict.artifacts() else { panic!("{verdict:?}") };
    let each = [one, two].map(|artifact| verdict.to_artifact_summary(artifact, &REQUEST));
    let [one, two] = each;
    [verdict.to_summary(&REQUEST), one, two]
        .map(|made| Summary::parse(&made).unwrap().dependency_levels)
}

fn unevaluated(count: u64) -> Option<BTreeMap<String, u64>> {
    Some([("SLSA_BUILD_LEVEL_UNEVALUATED".to_owned(), count)].into())
}

#[test]
fn what_accepted_provenance_names_beside_the_source_is_counted_once() {
    let source = json!({"uri": format!("git+{SOURCE}@{TAG}"), "digest": {"gitCommit": "c1"}});
    let (x, y) = (used("pkg:x", "aa"), used("pkg:y", "bb"));
    let of_first = vec![x.clone(), y, x.clone(), source.clone()];
    let verdict = case([of_first.clone(), vec![x.clone(), source.clone()]]).verdict();
    assert!(verdict.is_pass(), "{:?}", verdict.findings());
    assert_eq!(levels(&verdict), [unevaluated(2), unevaluated(2), unevaluated(1)]);
    // Of one URI with two digests there are two.
    let verdict = case([of_first.clone(), vec![used("pkg:x", "cc")]]).verdict();
    assert_eq!(levels(&verdict), [unevaluated(3), unevaluated(2), unevaluated(1)]);
    // That none is named does not say that there is none.
    let verdict = case([vec![x], vec![source.clone()]]).verdict();
    assert_eq!(levels(&verdict), [unevaluated(1), unevaluated(1), None]);
    assert_eq!(levels(&case([vec![source], Vec::new()]).verdict()), [None, None, None]);
}

#[test]
fn what_is_refused_is_not_counted_and_a_fail_claims_nothing() {
    let x = used("pkg:x", "aa");
    let mut beside = case([vec![x.clone()], vec![x.clone()]]);
    let refused = provenance(FILE, |p| {
        p["buildDefinition"]["resolvedDependencies"] = json!([used("pkg:y", "bb")]);
        p["runDetails"]["builder"]["id"] = json!("https://example.com/another");
    });
    beside.add(Bundle, &signed(&refused), None, to(PATH));
    assert_eq!(levels(&beside.verdict()), [unevaluated(1), unevaluated(1), unevaluated(1)]);
    let mut failing = case([vec![x.clone()], vec![x]]);
    failing.edit("#sbom", "[release]\nartifacts = [\"bin/a\"]\n#sbom");
    let verdict = failing.verdict();
    assert!(!verdict.is_pass() && verdict.dependencies() == Some(1));
    assert_eq!(levels(&verdict), [None, None, None]);
}

#[test]
fn a_kept_verdict_makes_the_same_summary() {
    let verdict = case([vec![used("pkg:x", "aa")], vec![used("pkg:y", "bb")]]).verdict();
    let release = "demo@v1".parse().unwrap();
    let question = CacheQuestion {
        program: "1",
        release: &release,
        papers: verdict.evidence_digest(),
        policy: verdict.policy_digest(),
        trust_root: verdict.trust_root_digest(),
    };
    let key = CacheKey::new([7; 32]);
    let kept = verdict.to_cache(&question, &key).unwrap();
    let found = Verdict::from_cache(&kept, &question, &key, verdict.now()).unwrap();
    assert_eq!(levels(&found), [unevaluated(2), unevaluated(1), unevaluated(1)]);
    assert_eq!(found.to_json(), verdict.to_json());
}
