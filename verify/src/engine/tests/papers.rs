//! Requirements and exceptions over whole releases.

use bonded_model::evidence::Subject as AttachedTo;
use bonded_model::slsa::PROVENANCE_V1;
use bonded_model::statement::{DigestSet, Statement, Subject};
use bonded_model::{Digest, DocumentKind::Bundle};
use serde_json::json;

use super::{OTHER, check, signed, to, two_files};
use crate::code::Code;
use crate::finding::Severity::{Fail, Note, Warn};
use crate::policy::{Policy, PolicyError};
use crate::testing::{BUILDER, Case, FILE, Key, PATH, provenance, statement, time};
use crate::verdict::Role;

const TESTED: &str = "https://in-toto.io/attestation/test-result/v0.1";

fn require(rest: &str) -> String {
    format!("[[require]]\nname = \"tests\"\npredicate = \"{TESTED}\"\n{rest}\n")
}

fn tested(files: &[&[u8]]) -> Statement {
    let mut tested = statement(FILE, TESTED, &json!({"result": "PASSED", "configuration": []}));
    tested.subjects = files.iter().map(|f| Subject::new("x", Digest::sha256_of(f))).collect();
    tested
}

fn by(seed: u8, statement: &Statement) -> Vec<u8> {
    Key::from_seed(seed).bundle(&statement.to_bytes())
}

fn with(rule: &str) -> Case {
    let mut case = Case::good().with_second_key();
    case.edit("#sbom", &format!("{}#sbom", require(rule)));
    case
}

const OF_ARTIFACTS: &str = "of = \"artifacts\"\nsigners = [\"second\"]";
const OF_RELEASE: &str = "of = \"release\"\nsigners = [\"second\"]";

#[test]
fn a_required_document_is_accepted_and_on_record() {
    let mut case = with(OF_ARTIFACTS);
    case.attach(Bundle, &by(2, &tested(&[FILE])));
    let verdict = check(case, &[]);
    let accepted = &verdict.artifacts()[0].accepted;
    let required = accepted.iter().find(|accepted| accepted.role == Role::Required).unwrap();
    assert_eq!(required.signer.as_ref().unwrap().name, "second");
}

#[test]
fn a_type_is_compared_exactly_and_another_satisfies_nothing() {
    let types = [
        format!("{TESTED}.1"),
        TESTED.trim_end_matches(".1").to_owned(),
        TESTED.to_uppercase(),
        format!("{TESTED}/"),
    ];
    for kind in types {
        let mut case = with(OF_ARTIFACTS);
        case.attach(Bundle, &by(2, &statement(FILE, &kind, &json!({}))));
        check(case, &[(Note, Code::StmtUnused), (Fail, Code::ReqMissing)]);
    }
    let mut case = with(OF_ARTIFACTS);
    case.attach(Bundle, &by(2, &provenance(FILE, |_| {})));
    check(case, &[(Fail, Code::ReqMissing)]);
}

#[test]
fn unsigned_strange_and_broken_documents_satisfy_nothing() {
    let broken = {
        let mut envelope = Key::from_seed(2)
            .envelope(bonded_model::media_type::IN_TOTO, &tested(&[FILE]).to_bytes());
        envelope.signatures[0].bytes[0] ^= 1;
        bonded_model::bundle::with_managed_key(&envelope, &Key::from_seed(2).digest())
    };
    let table = [
        (tested(&[FILE]).to_bytes(), Code::SigUnsigned),
        (by(3, &tested(&[FILE])), Code::SigKey),
        (broken, Code::SigInvalid),
    ];
    for (document, code) in table {
        let mut case = with(OF_ARTIFACTS);
        case.attach(Bundle, &document);
        check(case, &[(Fail, code)]);
    }
}

#[test]
fn a_selector_chooses_the_artifacts_that_need_it() {
    let of = |selector: &str| {
        let mut case = with(&format!("{OF_ARTIFACTS}\n{selector}"));
        case.files.push(("bin/b", FILE.to_vec()));
        case.add(Bundle, &by(2, &tested(&[OTHER])), None, to("bin/b"));
        case
    };
    check(of("paths = [\"doc/**\"]"), &[]);
    check(of("paths = [\"*/a\"]"), &[(Fail, Code::ReqMissing)]);
    check(of("paths = [\"*/b\"]"), &[(Fail, Code::ReqSubject)]);
    let unknown = of("kinds = [\"elf\"]");
    check(unknown, &[(Fail, Code::RelUnknown), (Fail, Code::RelUnknown)]);
}

#[test]
fn a_document_of_the_release_names_its_index_or_every_artifact() {
    let index = two_files().evidence().release.digest();
    let of_index = {
        let mut statement = tested(&[FILE]);
        statement.subjects = vec![Subject {
            name: "release".into(),
            digest: DigestSet::of(&[index]),
            source_refs: vec![],
        }];
        statement
    };
    let both = tested(&[FILE, OTHER]);
    let one = tested(&[FILE]);
    let with = |statement: Option<&Statement>, seed: u8, subject: AttachedTo| {
        let mut case = with(OF_RELEASE);
        case.files.push(("bin/b", OTHER.to_vec()));
        case.add(Bundle, &signed(&provenance(OTHER, |_| {})), None, to("bin/b"));
        statement.iter().for_each(|s| case.add(Bundle, &by(seed, s), None, subject.clone()));
        case
    };
    check(with(Some(&of_index), 2, AttachedTo::Release), &[]);
    check(with(Some(&both), 2, AttachedTo::Release), &[]);
    check(with(Some(&both), 2, to(PATH)), &[]);
    check(with(None, 2, AttachedTo::Release), &[(Fail, Code::ReqMissing)]);
    check(with(Some(&one), 2, AttachedTo::Release), &[(Fail, Code::ReqSubject)]);
    check(with(Some(&of_index), 1, AttachedTo::Release), &[(Fail, Code::ReqSigner)]);
    // About one file and attached to it, it says nothing of the release.
    let unused = (Note, Code::StmtUnused);
    check(with(Some(&one), 2, to(PATH)), &[(Fail, Code::ReqMissing), unused]);
    let stray = tested(&[b"elsewhere"]);
    let warned = (Warn, Code::RelUnmatched);
    let mut case = with(None, 2, AttachedTo::Release);
    case.edit("of = \"release\"", "of = \"artifacts\"\nrule = \"off\"");
    case.attach_to_release(Bundle, &by(2, &stray));
    check(case, &[warned]);
}

#[test]
fn a_requirement_can_warn_be_off_and_ask_for_several() {
    check(with(&format!("{OF_ARTIFACTS}\nrule = \"warn\"")), &[(Warn, Code::ReqMissing)]);
    check(with(&format!("{OF_ARTIFACTS}\nrule = \"off\"")), &[]);
    let two = "of = \"release\"\nsigners = [\"key\", \"second\"]\nquorum = 2";
    let mut case = with(two);
    case.attach_to_release(Bundle, &by(1, &tested(&[FILE])));
    case.attach_to_release(
        Bundle,
        &by(
            1,
            &statement(FILE, TESTED, &json!({"result": "PASSED", "configuration": [], "again": 1})),
        ),
    );
    check(case, &[(Fail, Code::ReqQuorum)]);
    let mut case = with(two);
    case.attach_to_release(Bundle, &by(1, &tested(&[FILE])));
    case.attach(Bundle, &by(2, &tested(&[FILE])));
    check(case, &[]);
}

/// One who may sign said that the tests failed, and a second document by the same signer made that a note.
#[test]
fn what_a_required_signer_says_against_it_weighs_whatever_else_was_accepted() {
    let failed = || statement(FILE, TESTED, &json!({"result": "FAILED", "configuration": []}));
    for (rule, severity) in [("require", Fail), ("warn", Warn), ("off", Note)] {
        for of in [OF_ARTIFACTS, OF_RELEASE] {
            let judge = |seed| {
                let mut case = with(&format!("{of}\nrule = \"{rule}\""));
                case.attach(Bundle, &by(2, &tested(&[FILE])));
                case.attach(Bundle, &by(seed, &failed()));
                case
            };
            check(judge(2), &[(severity, Code::StmtFailed)]);
            // Of one who is not asked it is no more than a note.
            let verdict = judge(1).verdict();
            assert!(verdict.is_pass() && verdict.findings().iter().all(|f| f.severity == Note));
        }
    }
    let mut elsewhere = with(OF_ARTIFACTS);
    elsewhere.attach(Bundle, &by(2, &tested(&[FILE])));
    let other = statement(OTHER, TESTED, &json!({"result": "FAILED", "configuration": []}));
    elsewhere.attach(Bundle, &by(2, &other));
    assert!(elsewhere.verdict().is_pass());
}

/// One exception let every requirement and every expression pass that there was.
#[test]
fn an_exception_of_a_requirement_or_expression_is_of_one() {
    let rules = "[[require]]\nname = \"a\"\npredicate = \"t\"\nof = \"artifacts\"\nsigners = [\"key\"]\n\
         [[require]]\nname = \"b\"\npredicate = \"t\"\nof = \"release\"\nsigners = [\"key\"]\n\
         [[expression]]\nname = \"a\"\nof = \"artifacts\"\ncel = \"false\"\n\
         [[expression]]\nname = \"b\"\nof = \"release\"\ncel = \"false\"\n";
    let with = |code: &str, name: &str| {
        let mut case = excepted(code, name);
        case.edit("[[exception]]", &format!("{rules}[[exception]]"));
        case.attach(Bundle, &signed(&provenance(FILE, |_| {})));
        case
    };
    for (code, found) in [("REQ-MISSING", Code::ReqMissing), ("EXPR-FALSE", Code::ExprFalse)] {
        for name in ["a", "b"] {
            let verdict = with(code, &format!("name = \"{name}\"")).verdict();
            let warned = verdict.findings().iter().filter(|f| f.severity == Warn);
            let warned: Vec<_> = warned.map(|f| (f.code, f.expected.get(..3).unwrap())).collect();
            assert_eq!(warned, [(found, format!("{name:?}").as_str())], "{code}");
            assert_eq!(verdict.findings().len(), 4);
        }
        for unclear in ["", "name = \"\""] {
            let parsed = Policy::parse(&with(code, unclear).policy);
            assert!(matches!(parsed, Err(PolicyError::Unclear { .. })), "{code} {unclear}");
        }
    }
    let parsed = Policy::parse(&with("PROV-MISSING", "name = \"a\"").policy);
    assert!(matches!(parsed, Err(PolicyError::Unclear { .. })));
}

fn excepted(code: &str, rest: &str) -> Case {
    let mut case = Case::bare();
    let until = "until = \"2026-06-01T00:00:01Z\"\nreason = \"the builder moves\"";
    case.edit("#sbom", &format!("[[exception]]\ncode = \"{code}\"\n{until}\n{rest}"));
    case
}

#[test]
fn an_exception_turns_a_failure_into_a_warning_until_its_day() {
    let at = |now: &str| {
        let mut case = excepted("PROV-MISSING", "paths = [\"bin/*\"]\nversions = [\"v1*\"]");
        case.now = time(now);
        case
    };
    let verdict = check(at("2026-06-01T00:00:00Z"), &[(Warn, Code::ProvMissing)]);
    assert!(verdict.is_pass() && verdict.artifacts()[0].level.is_none());
    let seen = &verdict.findings()[0].seen;
    assert_eq!(seen, "none; excepted until 2026-06-01T00:00:01Z: the builder moves");
    let verdict = check(at("2026-06-01T00:00:01Z"), &[(Fail, Code::ProvMissing)]);
    let seen = &verdict.findings()[0].seen;
    assert_eq!(seen, "none; the exception for it ended at 2026-06-01T00:00:01Z: the builder moves");
    check(at("2100-01-01T00:00:00Z"), &[(Fail, Code::ProvMissing)]);
}

#[test]
fn an_exception_is_for_what_it_names_and_nothing_else() {
    let missing = [(Fail, Code::ProvMissing)];
    for (code, rest) in [
        ("PROV-LEVEL", ""),
        ("PROV-MISSING", "paths = [\"*\"]"),
        ("PROV-MISSING", "paths = [\"bin/b\", \"bin/a/*\"]"),
        ("PROV-MISSING", "versions = [\"1\", \"v1.*\", \"v\"]"),
    ] {
        let verdict = check(excepted(code, rest), &missing);
        assert_eq!(verdict.findings()[0].seen, "none", "{code} {rest}");
    }
    // The others of the same document still count.
    let mut case = excepted("PROV-SOURCE", "");
    case.attach(
        Bundle,
        &signed(&provenance(FILE, |p| {
            p["buildDefinition"]["externalParameters"]["source"]["uri"] =
                json!("git+https://github.com/o/x@refs/tags/v2");
        })),
    );
    check(case, &[(Warn, Code::ProvSource), (Fail, Code::ProvRef)]);
}

#[test]
fn an_exception_without_paths_is_for_the_release_too() {
    let with = |rest: &str| {
        let mut case = excepted("REL-MISSING", rest);
        case.edit("[[exception]]", "[release]\nartifacts = [\"bin/a\", \"bin/c\"]\n[[exception]]");
        case.attach(Bundle, &signed(&provenance(FILE, |_| {})));
        case
    };
    check(with(""), &[(Warn, Code::RelMissing)]);
    check(with("paths = [\"**\"]"), &[(Fail, Code::RelMissing)]);
}

#[test]
fn a_long_finding_keeps_the_reason() {
    let mut case = excepted("PROV-SOURCE", "");
    case.attach(
        Bundle,
        &signed(&provenance(FILE, |p| {
            let long = format!("git+https://github.com/{}@refs/tags/v1", "x".repeat(5_000));
            p["buildDefinition"]["externalParameters"]["source"]["uri"] = json!(long);
        })),
    );
    let verdict = check(case, &[(Warn, Code::ProvSource)]);
    assert!(verdict.findings()[0].seen.ends_with(": the builder moves"));
}

/// A quorum was not asked where every document was refused, so an exception for what refused them let one
/// signer pass for two.
#[test]
fn what_is_excepted_of_documents_is_not_excepted_of_their_number() {
    let with = |seeds: &[u8], also: &str| {
        let mut case = excepted("PROV-REF", also).with_second_key();
        case.edit("#provenance", "quorum = 2");
        for seed in seeds {
            let change = |p: &mut serde_json::Value| {
                p["buildDefinition"]["externalParameters"]["source"]["uri"] =
                    json!("git+https://github.com/o/r@refs/tags/v2");
            };
            case.attach(Bundle, &by(*seed, &provenance(FILE, change)));
        }
        case
    };
    let (few, other) = ((Fail, Code::ProvQuorum), (Warn, Code::ProvRef));
    let verdict = check(with(&[1], ""), &[few, other]);
    assert_eq!(verdict.findings()[0].seen, "0: nobody");
    check(with(&[1, 2], ""), &[few, other, other]);
    let both =
        "[[exception]]\ncode = \"PROV-QUORUM\"\nuntil = \"2026-06-02T00:00:00Z\"\nreason = \"x\"";
    check(with(&[1], both), &[(Warn, Code::ProvQuorum), other]);
}

/// What keeps other rules from looking cannot be excepted: with the builder unknown or the predicate
/// unread, signer, level and age were not asked; and an SBOM of something else stood in for one.
#[test]
fn what_keeps_other_rules_from_looking_is_not_excepted() {
    for code in
        ["PROV-BUILDER", "PROV-MALFORMED", "PROV-PREDICATE", "SBOM-SUBJECT", "SBOM-MALFORMED"]
    {
        let parsed = Policy::parse(&excepted(code, "").policy);
        assert!(matches!(parsed, Err(PolicyError::Value { key: "code", .. })), "{code} {parsed:?}");
    }
}

/// A provenance that is accepted by its checksum has no signer, so it satisfies no rule that asks for one.
#[test]
fn a_document_that_nobody_signed_satisfies_no_rule_that_asks_for_signers() {
    let pinned = provenance(FILE, |_| {}).to_bytes();
    let mut case = Case::bare();
    case.edit("level = 3\nsource", "level = 1\nsource");
    let unsigned = format!(
        "[[unsigned]]\ndigest = \"{}\"\nreason = \"x\"\nbuilder = \"{BUILDER}\"\nlevel = 1\n",
        Digest::sha256_of(&pinned)
    );
    case.edit("[provenance]", &format!("{unsigned}[provenance]"));
    case.attach(bonded_model::DocumentKind::Statement, &pinned);
    let require = |of: &str| {
        format!(
            "[[require]]\nname = \"p\"\npredicate = \"{PROVENANCE_V1}\"\nof = \"{of}\"\nsigners = [\"key\"]\n"
        )
    };
    for of in ["artifacts", "release"] {
        let mut case = Case { policy: case.policy.clone(), ..Case::bare() };
        case.edit("#sbom", &require(of));
        case.attach(bonded_model::DocumentKind::Statement, &pinned);
        let verdict = check(case, &[(Fail, Code::ReqSigner)]);
        assert_eq!(verdict.findings()[0].seen, "nobody");
    }
    check(case, &[]);
}
