//! Expressions over whole releases.

use bonded_model::DocumentKind::{Bundle, Statement as Bare};
use bonded_model::evidence::Subject as AttachedTo;
use serde_json::json;

use super::check;
use crate::code::Code;
use crate::finding::Severity::{Fail, Note, Warn};
use crate::testing::{BUILDER, Case, FILE, Key, PATH, provenance, statement};

const TESTED: &str = "https://example.com/tests/v1";

fn with(rest: &str, cel: &str) -> Case {
    let mut case = Case::good();
    case.edit("#sbom", &format!("[[expression]]\nname = \"e\"\ncel = '''{cel}'''\n{rest}\n"));
    case
}

const OF: &str = "of = \"artifacts\"";

#[test]
fn an_expression_sees_the_artifact_its_accepted_provenance_and_the_release() {
    let yes = [
        "artifact.path == \"bin/a\" && artifact.size == 5 && artifact.kind == null".to_owned(),
        "artifact.digest.startsWith(\"sha256:2cf24dba\")".to_owned(),
        format!("provenance.predicate.runDetails.builder.id == \"{BUILDER}\""),
        "provenance.level == 3 && provenance.signers == [\"key\"] && provenance.time == null"
            .to_owned(),
        "release.project == \"demo\" && release.version == \"v1\" && release.paths == [\"bin/a\"]"
            .to_owned(),
        "now == 1780272000".to_owned(),
        "size(statements) == 1 && statements[0].type == \"https://slsa.dev/provenance/v1\""
            .to_owned(),
    ];
    for cel in yes {
        check(with(OF, &cel), &[]);
    }
}

#[test]
fn what_was_refused_is_not_seen() {
    let none = "provenance == null && size(statements) == 0";
    let mut unsigned = with(OF, none);
    unsigned.edit("[provenance]\n", "[provenance]\nrule = \"off\"\n");
    unsigned.documents.clear();
    let tested = statement(FILE, TESTED, &json!({"result": "PASSED"}));
    unsigned.attach(Bare, &tested.to_bytes());
    unsigned.attach(Bundle, &Key::from_seed(2).bundle(&provenance(FILE, |_| {}).to_bytes()));
    let other = statement(b"other", TESTED, &json!({"result": "PASSED"}));
    unsigned.attach_to_release(Bundle, &Key::from_seed(1).bundle(&other.to_bytes()));
    let verdict = unsigned.verdict();
    assert!(verdict.is_pass(), "{verdict:?}");
    // A provenance that breaks a rule holds as a statement, and is no accepted provenance.
    let mut broken = with(OF, "provenance == null && size(statements) == 1");
    broken.edit("level = 3\n[provenance]\n", "level = 2\n[provenance]\nrule = \"warn\"\n");
    check(broken, &[(Warn, Code::ProvLevel)]);
    let mut missing = with(OF, "provenance.level >= 1");
    missing.edit("[provenance]\n", "[provenance]\nrule = \"off\"\n");
    missing.documents.clear();
    check(missing, &[(Fail, Code::ExprError)]);
}

#[test]
fn statements_can_be_asked_what_they_say() {
    let cel = format!(
        "statements.exists(s, s.type == \"{TESTED}\" && s.predicate.result == \"PASSED\" && \"key\" in s.signers)"
    );
    for (result, expected) in [("PASSED", &[][..]), ("FAILED", &[(Fail, Code::ExprFalse)])] {
        let mut case = with(OF, &cel);
        let require = format!(
            "[[require]]\nname = \"t\"\npredicate = \"{TESTED}\"\nof = \"artifacts\"\nsigners = [\"key\"]\n[[expression]]"
        );
        case.edit("[[expression]]", &require);
        let tested = statement(FILE, TESTED, &json!({"result": result}));
        case.attach(Bundle, &Key::from_seed(1).bundle(&tested.to_bytes()));
        check(case, expected);
    }
}

/// A statement that says FAILED was left out of what expressions see, so that none could deny for it.
#[test]
fn what_says_failed_is_seen_where_its_signature_holds() {
    const RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
    for of in [OF, "of = \"release\""] {
        let judge = |seed: u8, predicate: serde_json::Value| {
            let cel = format!("!statements.exists(s, s.type == \"{RESULT}\")");
            let mut case = with(of, &cel);
            let said = statement(FILE, RESULT, &predicate);
            case.attach(Bundle, &Key::from_seed(seed).bundle(&said.to_bytes()));
            let verdict = case.verdict();
            verdict.findings().iter().any(|f| (f.severity, f.code) == (Fail, Code::ExprFalse))
        };
        assert!(judge(1, json!({"result": "FAILED", "configuration": []})));
        assert!(judge(1, json!({"result": "perhaps", "configuration": []})));
        // Whoever is no signer of the policy says nothing.
        assert!(!judge(2, json!({"result": "FAILED", "configuration": []})));
    }
}

#[test]
fn it_is_asked_of_what_it_names_and_weighs_what_it_says() {
    let failed = [(Fail, Code::ExprFalse)];
    check(with(&format!("{OF}\npaths = [\"doc/*\"]"), "false"), &[]);
    check(with(&format!("{OF}\npaths = [\"bin/*\"]"), "false"), &failed);
    check(with(&format!("{OF}\nrule = \"warn\""), "false"), &[(Warn, Code::ExprFalse)]);
    check(with(&format!("{OF}\nkinds = [\"elf\"]"), "true"), &[(Fail, Code::RelUnknown)]);
    check(with("of = \"release\"", "size(release.paths) == 1"), &[]);
    check(with("of = \"release\"", "size(statements) == 1"), &[]);
    check(with("of = \"release\"", "size(release.paths) > 1"), &failed);
    let verdict = check(with(&format!("{OF}\nmessage = \"never\""), "false"), &failed);
    assert_eq!(verdict.findings()[0].expected, "\"e\": never");
}

#[test]
fn what_has_no_answer_denies() {
    check(with(OF, "artifact.nothing == 1"), &[(Fail, Code::ExprError)]);
    check(with(OF, "artifact"), &[(Fail, Code::ExprError)]);
    check(with(OF, "null"), &[(Fail, Code::ExprError)]);
    let mut large = with(OF, "true");
    let long = "x".repeat(600 * 1024);
    large.documents.clear();
    let padded = provenance(FILE, |p| p["runDetails"]["metadata"] = json!({ "padding": long }));
    large.attach(Bundle, &Key::from_seed(1).bundle(&padded.to_bytes()));
    check(large, &[(Fail, Code::ExprBudget)]);
    // As many dependencies as a document likes cost no more than there are steps.
    let mut many = with(
        OF,
        "provenance.predicate.buildDefinition.resolvedDependencies.all(a, provenance.predicate.buildDefinition.resolvedDependencies.all(b, a == b || a != b))",
    );
    many.documents.clear();
    let dependencies: Vec<_> = (0..2_000).map(|at| json!({"uri": format!("u{at}")})).collect();
    let busy = provenance(FILE, |p| {
        p["buildDefinition"]["resolvedDependencies"] = json!(dependencies);
    });
    many.attach(Bundle, &Key::from_seed(1).bundle(&busy.to_bytes()));
    check(many, &[(Fail, Code::ExprBudget)]);
}

/// A refusal told which line of a document it was, and not of which document.
#[test]
fn a_refusal_names_the_documents_that_it_looked_at() {
    let mut case = with(OF, "size(statements) == 9");
    let tested = statement(FILE, TESTED, &json!({"result": "PASSED"})).to_bytes();
    let lines = [provenance(FILE, |_| {}).to_bytes(), tested]
        .map(|statement| Key::from_seed(1).bundle(&statement));
    let subject = || AttachedTo::Artifact(PATH.parse().unwrap());
    case.add(Bundle, &lines.join(&b'\n'), Some("bin/a.intoto.jsonl"), subject());
    let untitled = case.documents[0].digest.short();
    let verdict = check(case, &[(Note, Code::StmtUnused), (Fail, Code::ExprFalse)]);
    let seen = &verdict.findings()[1].seen;
    for name in ["bin/a.intoto.jsonl line 1", "bin/a.intoto.jsonl line 2", &untitled] {
        assert!(seen.contains(name), "{name} in {seen}");
    }
    // What did not look at them names none.
    let verdict = check(with(OF, "artifact.size == 0"), &[(Fail, Code::ExprFalse)]);
    assert_eq!(verdict.findings()[0].seen, "it is false");
}

#[test]
fn threads_do_not_change_what_is_true() {
    let make = || {
        let mut case =
            with(OF, "statements.exists(s, s.signers == [\"key\"]) && artifact.path != \"bin/b\"");
        for path in ["bin/b", "bin/c", "bin/d"] {
            case.files.push((path, FILE.to_vec()));
        }
        case
    };
    let expected = make().verdict().to_json();
    for threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| make().verdict().to_json()), expected);
    }
}
