//! Documents of several lines, of which one was accepted and another refused for its age: rules that look at
//! what was accepted look at the one and not at the other.

use bonded_model::DocumentKind::Bundle;
use bonded_model::predicate::npm::NPM_PUBLISH_V0_1;
use bonded_model::vsa::SUMMARY_V1;
use serde_json::{Value, json};

use super::*;
use crate::finding::Fault;
use crate::identity::{Claim, Signed, Signer};
use crate::signature::{Against, Content, SignatureVerifier, SignedDocument};
use crate::testing::{SOURCE, certified, time, workflow};

const PURL: &str = "pkg:npm/%40s/p@v1";
const COMMITS: [&str; 2] =
    ["0123456789012345678901234567890123456789", "9876543210987654321098765432109876543210"];

/// Holds every signature for good, that of the old build for a year old; certifies which commit was built.
struct Clock;

impl SignatureVerifier for Clock {
    fn verify(&self, document: &SignedDocument, _: &Against<'_>) -> Result<Signed, Fault> {
        let Content::Statement(statement) = document.content() else { panic!("a statement") };
        let is_old = statement.predicate.get().contains(OLD.build);
        let (at, commit) = match is_old {
            true => ("2025-01-01T00:00:00Z", OLD.commit),
            false => ("2026-01-01T00:00:00Z", YOUNG.commit),
        };
        let mut signed = Signed { times: vec![time(at)], ..workflow() };
        let Signer::Certificate(holder) = &mut signed.signer else { panic!("a certificate") };
        holder.claims.insert(Claim::SourceRepositoryDigest, commit.to_owned());
        Ok(signed)
    }

    fn knows(&self, _: &SignedDocument) -> bool {
        true
    }
}

/// What an old and a young provenance say of one file.
struct Line {
    build: &'static str,
    subject: &'static str,
    commit: &'static str,
}

const OLD: Line = Line { build: "last year", subject: PURL, commit: COMMITS[0] };
const YOUNG: Line = Line { build: "today", subject: "other", commit: COMMITS[1] };

impl Line {
    fn made(&self) -> Vec<u8> {
        let mut made = provenance(FILE, |predicate: &mut Value| {
            predicate["runDetails"]["metadata"] = json!({"invocationId": self.build});
            let material = json!({"uri": SOURCE, "digest": {"sha1": self.commit}});
            predicate["buildDefinition"]["resolvedDependencies"] = json!([material]);
        });
        made.subjects = vec![Subject::new(self.subject, Digest::sha256_of(FILE))];
        certified(&made)
    }
}

/// The codes of what fails, where both lines stand in one document, in either order.
fn check_lines(rules: &str, other: Option<&Statement>, expected: &[Code]) {
    for lines in [[OLD, YOUNG], [YOUNG, OLD]] {
        let mut case = Case::certified(workflow());
        case.now = time("2026-01-02T00:00:00Z");
        case.edit("#provenance", "max_age = \"7d\"");
        case.edit("#sbom", rules);
        case.documents.clear();
        case.attach(Bundle, &lines.map(|line| line.made()).join(&b'\n'));
        other.into_iter().for_each(|made| case.attach(Bundle, &certified(made)));
        let policy = Policy::parse(&case.policy).unwrap();
        let verifier = Verifier::of_double(Box::new(Clock));
        let verdict = verify_release(&verifier, &policy, &case.evidence(), case.now);
        let fails = verdict.findings().iter().filter(|found| found.severity == Fail);
        assert_eq!(fails.map(|found| found.code).collect::<Vec<_>>(), expected, "{verdict:?}");
        assert!(verdict.findings().iter().any(|found| found.code == Code::ProvAge));
    }
}

#[test]
fn an_expression_is_not_shown_a_provenance_that_was_refused() {
    let asked = |build: &str| {
        let cel = format!("provenance.predicate.runDetails.metadata.invocationId == \"{build}\"");
        format!("[[expression]]\nname = \"e\"\nof = \"artifacts\"\ncel = '''{cel}'''\n")
    };
    check_lines(&asked("today"), None, &[]);
    check_lines(&asked("last year"), None, &[Code::ExprFalse]);
}

#[test]
fn a_package_is_no_pair_with_a_provenance_that_was_refused() {
    let rules = "[npm]\npackage = \"@s/p\"\nsigners = [\"key\"]\n";
    let registry = "https://registry.npmjs.org";
    let said = json!({"name": "@s/p", "version": "v1", "registry": registry});
    let mut published = statement(FILE, NPM_PUBLISH_V0_1, &said);
    published.subjects = vec![Subject::new(PURL, Digest::sha256_of(FILE))];
    check_lines(rules, Some(&published), &[Code::NpmPair]);
}

#[test]
fn a_commit_of_a_provenance_that_was_refused_is_not_asked_for() {
    let scs = "https://example.com/scs";
    let rules = format!(
        "[source]\nlevel = 3\nbranch = \"main\"\n\
         verifiers = [{{ id = \"{scs}\", signers = [\"key\"], level = 3 }}]\n"
    );
    for (commit, expected) in [(YOUNG.commit, &[][..]), (OLD.commit, &[Code::SrcMissing])] {
        let mut summary = statement(
            FILE,
            SUMMARY_V1,
            &json!({
                "verifier": {"id": scs}, "resourceUri": SOURCE, "policy": {},
                "verificationResult": "PASSED", "verifiedLevels": ["SLSA_SOURCE_LEVEL_3"],
            }),
        );
        let subject = json!({
            "digest": {"gitCommit": commit}, "annotations": {"sourceRefs": ["refs/heads/main"]},
        });
        summary.subjects = vec![serde_json::from_value(subject).unwrap()];
        check_lines(&rules, Some(&summary), expected);
    }
}
