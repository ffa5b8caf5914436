//! Summaries by certificate: the time that a verifier states is held against the time of its signature.

use bonded_model::Digest;
use bonded_model::statement::{Statement, Subject};
use bonded_model::vsa::SUMMARY_V1;
use bonded_testsigner::{Content, Request};
use bonded_verify::{Code, FileExpectation, Policy};
use serde_json::json;

use crate::{FILE, Stage};

fn policy(max_age: &str) -> Policy {
    let Request { identity, issuer, .. } = Request::default();
    Policy::parse(&format!(
        "version = 1\nname = \"summaries\"\n\
         [[signer]]\nname = \"a\"\nissuer = \"{issuer}\"\nidentity = \"{identity}\"\n\
         [[verifier]]\nid = \"https://v\"\nsigners = [\"a\"]\nlevel = 3\nresource = \"pkg:x\"\n\
         max_age = \"{max_age}\"\n\
         [[builder]]\nid = \"https://b\"\nsigners = [\"a\"]\nlevel = 3\n\
         [provenance]\nlevel = 3\nsource = \"any\"\nref = \"any\"\n[sbom]\nrule = \"off\"\n"
    ))
    .unwrap()
}

/// It was signed a year before the verdict, and one that stated a later time was good for a year from then.
#[test]
fn a_summary_is_not_dated_ahead_of_its_signature() {
    let stage = Stage::new();
    let check = |max_age: &str, verified_at: &str, result: &str, expected: &[Code]| {
        let policy = policy(max_age);
        let predicate = json!({
            "verifier": {"id": "https://v"}, "resourceUri": "pkg:x", "policy": {},
            "verificationResult": result, "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
            "timeVerified": verified_at,
        });
        let subject = Subject::new("a", Digest::sha256_of(FILE));
        let made = Statement::new(vec![subject], SUMMARY_V1, &predicate).to_bytes();
        let request = Request { content: Content::Statement(&made), ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        let verdict = stage.ask(&FileExpectation::Policy(&policy), &bundle);
        let codes: Vec<_> = verdict.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(codes, expected, "{verified_at} {result}");
        assert_eq!(verdict.is_pass(), expected.is_empty());
    };
    let signed_at = Request::default().signed_at;
    assert_eq!(signed_at.to_string(), "2025-06-01T12:00:00Z");
    for (max_age, verified_at, expected) in [
        ("52w", "2025-06-01T12:00:00Z", &[Code::VsaAge][..]),
        ("52w", "2025-06-02T11:00:00Z", &[Code::VsaAge]),
        ("53w", "2025-06-01T12:05:01Z", &[Code::VsaAge]),
        ("53w", "2025-06-01T12:05:00Z", &[]),
        ("53w", "2025-06-01T11:00:00Z", &[]),
    ] {
        check(max_age, verified_at, "PASSED", expected);
        check(max_age, verified_at, "FAILED", &[Code::StmtFailed]);
    }
}
