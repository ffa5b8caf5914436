//! Summaries that open the door, and everything that keeps it closed.

use bonded_model::DocumentKind;
use bonded_model::evidence::Subject;
use bonded_model::vsa::SUMMARY_V1;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Case, FILE, Key, PATH, PROGRAM, statement, time};

const VERIFIER: &str = "https://example.com/verifier";
const RESOURCE: &str = "pkg:generic/demo@v1";

/// A good release, under a policy whose verifier may vouch for releases with the second key.
fn release() -> Case {
    let mut case = Case::good().with_second_key();
    case.edit("[\"key\", \"second\"]", "[\"key\"]");
    let verifier = format!(
        "[[verifier]]\nid = \"{VERIFIER}\"\nsigners = [\"second\"]\nlevel = 3\nmax_age = \"7d\"\n\
         release = \"pkg:generic/{{project}}@{{version}}\"\n"
    );
    case.edit("#sbom", &verifier);
    case
}

fn summarised() -> Case {
    let mut case = release();
    case.summarise(VERIFIER, RESOURCE, 2);
    case
}

/// The same with a change to the summary before it is signed.
fn changed(seed: u8, change: impl FnOnce(&mut Value)) -> Case {
    changed_over(release(), seed, change)
}

fn changed_over(mut case: Case, seed: u8, change: impl FnOnce(&mut Value)) -> Case {
    let request = crate::SummaryRequest {
        resource_uri: RESOURCE,
        policy_uri: None,
        verifier_id: VERIFIER,
        program: PROGRAM,
    };
    let made = case.clone().verdict().to_summary(&request);
    let mut predicate: Value = serde_json::from_str(made.predicate.get()).unwrap();
    change(&mut predicate);
    let mut other = statement(FILE, SUMMARY_V1, &predicate);
    other.subjects = made.subjects;
    case.attach_to_release(DocumentKind::Bundle, &Key::from_seed(seed).bundle(&other.to_bytes()));
    case
}

fn codes(mut case: Case) -> Vec<Code> {
    case.from_summary = true;
    let release = case.evidence().release;
    let verdict = case.verdict();
    let codes: Vec<_> = verdict.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(verdict.is_pass(), verdict.admit(release).is_ok());
    codes
}

fn closed(what: &str, case: Case, expected: Code) {
    assert_eq!(codes(case), [expected], "{what}");
}

#[test]
fn a_signed_summary_admits_the_release() {
    let mut case = summarised();
    case.from_summary = true;
    let (release, policy) = (case.evidence().release, case.policy.clone());
    let verdict = case.verdict();
    assert!(verdict.is_pass() && verdict.findings().is_empty(), "{verdict:?}");
    let artifact = &verdict.artifacts()[0];
    assert_eq!((artifact.level, artifact.accepted.len()), (Some(3), 1));
    assert_eq!(artifact.accepted[0].role, Role::Summary);
    assert_eq!(artifact.accepted[0].signer.as_ref().unwrap().name, "second");
    assert_eq!(verdict.policy_digest(), Digest::sha256_of(policy.as_bytes()));
    let verified = verdict.admit(release.clone()).unwrap();
    assert_eq!(verified.get().digest(), release.digest());
    // A second one, made with the first at hand, and the first again.
    let mut twice = summarised();
    twice.summarise(VERIFIER, RESOURCE, 2);
    assert_eq!(codes(twice), []);
}

#[test]
fn another_summary_keeps_the_door_closed() {
    let set = |field: &'static str, value: Value| changed(2, |summary| summary[field] = value);
    assert_eq!(codes(changed(2, |_| {})), []);
    let other_policy = json!({"digest": {"sha256": Digest::sha256_of(b"").hex()}});
    for (what, case, expected) in [
        ("no summary", release(), Code::VsaMissing),
        ("another policy", set("policy", other_policy), Code::VsaPolicy),
        ("a policy without a digest", set("policy", json!({"uri": "p"})), Code::VsaPolicy),
        ("failed", set("verificationResult", json!("FAILED")), Code::StmtFailed),
        (
            "two levels",
            set("verifiedLevels", json!(["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_2"])),
            Code::StmtPredicate,
        ),
        ("another verifier", set("verifier", json!({"id": "https://v"})), Code::VsaVerifier),
        ("another version", set("resourceUri", json!("pkg:generic/demo@v2")), Code::VsaResource),
        ("an expired one", set("timeVerified", json!("2026-05-24T23:59:59Z")), Code::VsaAge),
        ("one of tomorrow", set("timeVerified", json!("2026-06-01T00:00:01Z")), Code::VsaAge),
        ("without its inputs", set("inputAttestations", json!([])), Code::VsaInput),
        ("no level", set("verifiedLevels", json!([])), Code::VsaLevel),
        ("a low level", set("verifiedLevels", json!(["SLSA_BUILD_LEVEL_1"])), Code::VsaLevel),
        ("another track", set("verifiedLevels", json!(["SLSA_SOURCE_LEVEL_3"])), Code::VsaLevel),
        (
            "a level that nobody looked at",
            set("verifiedLevels", json!(["SLSA_BUILD_LEVEL_UNEVALUATED"])),
            Code::VsaLevel,
        ),
        ("signed by another", changed(1, |_| {}), Code::VsaSigner),
        ("signed by a stranger", changed(3, |_| {}), Code::SigKey),
    ] {
        closed(what, case, expected);
    }
    let timeless = changed(2, |s| drop(s.as_object_mut().unwrap().remove("timeVerified")));
    closed("without a time", timeless, Code::VsaAge);
}

#[test]
fn a_summary_is_good_for_what_it_was_made_of() {
    let mut unsigned = summarised();
    let signed = unsigned.documents.pop().unwrap();
    let bundle: Value = serde_json::from_slice(&signed.bytes).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    unsigned.attach_to_release(DocumentKind::Statement, &payload);
    closed("unsigned", unsigned, Code::VsaMissing);
    let mut grown = summarised();
    grown.files.push(("bin/b", b"more".to_vec()));
    closed("an artifact was added", grown, Code::VsaSubject);
    let mut swapped = summarised();
    swapped.files = vec![(PATH, b"other".to_vec())];
    closed("another file under the name", swapped, Code::VsaSubject);
    let mut edited = summarised();
    edited.edit("level = 3\nsource", "level = 2\nsource");
    closed("the policy was changed", edited, Code::VsaPolicy);
    let mut later = summarised();
    let recall = statement(FILE, "https://example.com/recall", &json!({}));
    later.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(&recall.to_bytes()));
    closed("a document came later", later, Code::VsaInput);
    let mut failed = summarised();
    let predicate = json!({
        "verifier": {"id": VERIFIER}, "resourceUri": RESOURCE, "policy": {},
        "verificationResult": "FAILED", "verifiedLevels": ["FAILED"],
    });
    let recall = statement(FILE, SUMMARY_V1, &predicate);
    failed.attach_to_release(DocumentKind::Bundle, &Key::from_seed(2).bundle(&recall.to_bytes()));
    let mut found = codes(failed);
    found.sort();
    assert_eq!(found, [Code::StmtFailed, Code::VsaInput]);
}

/// A verifier that has seen another say FAILED has no say over it.
#[test]
fn failed_is_heard_though_a_summary_lists_it() {
    let failed = changed(2, |summary| summary["verificationResult"] = json!("FAILED"));
    let bytes = failed.documents.last().unwrap().bytes.clone();
    let in_lines = [&bytes[..], b"\n{}\n"].concat();
    for (what, bytes) in [("alone", &bytes[..]), ("among lines", &in_lines)] {
        let mut case = release();
        case.attach_to_release(DocumentKind::Bundle, bytes);
        let listed = changed_over(case, 2, |summary| {
            summary["verificationResult"] = json!("PASSED");
            summary["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_3"]);
        });
        closed(what, listed.clone(), Code::StmtFailed);
        assert!(!listed.verdict().is_pass(), "{what}");
    }
    // Of a stranger it is a document like any other.
    let mut case = release();
    let strange = changed(3, |summary| summary["verificationResult"] = json!("FAILED"));
    case.documents.push(strange.documents.last().unwrap().clone());
    assert_eq!(codes(changed_over(case, 2, |_| {})), [Code::SigKey]);
}

/// The kind, the title and the attachment of a document decide what is read from it.
#[test]
fn a_summary_is_good_for_the_very_evidence() {
    let changed = |change: &dyn Fn(&mut Case)| {
        let mut case = release();
        case.files.push(("bin/b", FILE.to_vec()));
        let sums = format!("{}  bin/a\n", Digest::sha256_of(FILE).hex());
        case.attach_to_release(DocumentKind::Checksums, sums.as_bytes());
        case.summarise(VERIFIER, RESOURCE, 2);
        assert_eq!(codes(case.clone()), []);
        change(&mut case);
        case
    };
    let sums = |case: &mut Case| case.documents.remove(1);
    let other = |path: &str| Subject::Artifact(path.parse().unwrap());
    for (what, case) in [
        ("removed", changed(&|case| drop(sums(case)))),
        ("a title", changed(&|case| case.documents[1].title = Some("a.sha256".parse().unwrap()))),
        ("a kind", changed(&|case| case.documents[1].kind = DocumentKind::Spdx)),
        ("an attachment", changed(&|case| case.documents[1].subject = other(PATH))),
        ("another artifact", changed(&|case| case.documents[0].subject = other("bin/b"))),
        (
            "a list of checksums",
            changed(&|case| {
                let list = format!("{}  a", Digest::sha256_of(b"x").hex());
                case.add(DocumentKind::Checksums, list.as_bytes(), None, other(PATH));
            }),
        ),
    ] {
        closed(what, case, Code::VsaInput);
    }
}

#[test]
fn a_summary_is_good_under_its_trust_root_and_rules() {
    let case = summarised();
    let policy = Policy::parse(&case.policy).unwrap();
    let verdict = |root: crate::TrustRoot, program: &str| {
        let verifier = Verifier::new(root).unwrap();
        verify_summary(&verifier, &policy, &case.evidence(), case.now, program)
    };
    let codes = |verdict: Verdict| verdict.findings().iter().map(|f| f.code).collect::<Vec<_>>();
    let good = crate::TrustRoot::public_good;
    assert!(verdict(good(), PROGRAM).is_pass());
    assert_eq!(codes(verdict(crate::TrustRoot::staging(), PROGRAM)), [Code::VsaInput]);
    assert_eq!(codes(verdict(good(), "bonded of tomorrow")), [Code::VsaInput]);
}

#[test]
fn of_too_many_documents_none_is_read() {
    let mut case = summarised();
    let last = case.documents.last().unwrap().clone();
    case.documents.resize(DOCUMENT_COUNT_MAX, last.clone());
    assert_eq!(codes(case.clone()), []);
    case.documents.push(last);
    closed("one more", case, Code::RelLimit);
}

/// What let something pass until a time lets it pass no more, be the summary as fresh as it may.
#[test]
fn a_summary_ends_with_what_the_policy_allowed() {
    let at = |now: &str, edit: &dyn Fn(&mut Case)| {
        let mut case = release();
        edit(&mut case);
        case.summarise(VERIFIER, RESOURCE, 2);
        case.now = time(now);
        codes(case)
    };
    let exception = |case: &mut Case| {
        let text = "#exception\n[[exception]]\ncode = \"SBOM-MISSING\"\n\
                    until = \"2026-06-03T00:00:00Z\"\nreason = \"r\"\n";
        case.policy.push_str(text);
    };
    let key = |case: &mut Case| case.edit("#key", "valid_until = \"2026-06-03T00:00:00Z\"\n");
    for edit in [&exception as &dyn Fn(&mut Case), &key] {
        assert_eq!(at("2026-06-02T23:59:59Z", edit), []);
        assert_eq!(at("2026-06-03T00:00:00Z", edit), [Code::VsaAge]);
    }
}

#[test]
fn where_no_provenance_is_needed_no_level_is_stated() {
    let mut case = release();
    case.documents.clear();
    let start = case.policy.find("[provenance]").unwrap();
    let end = case.policy.find("#provenance").unwrap();
    case.policy.replace_range(start..end, "[provenance]\nrule = \"off\"\n");
    case.summarise(VERIFIER, RESOURCE, 2);
    assert_eq!(codes(case), []);
}

#[test]
fn a_verifier_is_not_trusted_with_more_than_its_level() {
    let mut low = release();
    low.edit("level = 3\nmax_age", "level = 2\nmax_age");
    low.summarise(VERIFIER, RESOURCE, 2);
    closed("a low verifier", low, Code::VsaLevel);
    let mut only_artifacts = release();
    only_artifacts.edit("release = ", "resource = ");
    only_artifacts.summarise(VERIFIER, RESOURCE, 2);
    closed("a verifier of artifacts", only_artifacts, Code::VsaResource);
}

/// The door is closed by FAILED even where the evidence is good: whoever may vouch for the release is heard.
#[test]
fn a_verifier_that_says_failed_is_heard_in_the_verdict() {
    let case = changed(2, |summary| summary["verificationResult"] = json!("FAILED"));
    let verdict = case.verdict();
    let found: Vec<_> = verdict.findings().iter().map(|f| (f.severity, f.code)).collect();
    assert!(found.contains(&(Severity::Fail, Code::StmtFailed)), "{found:?}");
    assert!(!verdict.is_pass());
    assert!(changed(1, |s| s["verificationResult"] = json!("FAILED")).verdict().is_pass());
}

#[test]
fn a_summary_lasts_as_long_as_its_age_allows() {
    let at = |text: &str| {
        let mut case = summarised();
        case.now = time(text);
        codes(case)
    };
    assert_eq!(at("2026-06-08T00:00:00Z"), []);
    assert_eq!(at("2026-06-08T00:00:01Z"), [Code::VsaAge]);
    assert_eq!(at("2026-05-31T23:59:59Z"), [Code::VsaAge]);
}
