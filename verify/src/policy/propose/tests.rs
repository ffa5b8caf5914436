//! Proposed texts: what stands in them, and what has to be decided first.

use super::*;
use crate::testing::{BUILDER, Case, FILE, Key, SOURCE, provenance, workflow};
use crate::trust::TrustRoot;
use crate::{Policy, PolicyError};

#[test]
fn what_is_proposed_is_a_policy_that_the_release_passes() {
    let case = Case::certified(workflow());
    let evidence = case.evidence();
    let verifier = Verifier::of_double(Box::new(case.double.unwrap()));
    let text = propose(&verifier, &evidence, &[], case.now);
    for part in [BUILDER, SOURCE, "tag = \"{version}\"", "\"bin/a\""] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let policy = Policy::parse(&text).unwrap();
    let verdict = crate::verify_release(&verifier, &policy, &evidence, case.now);
    assert!(verdict.is_pass(), "{verdict:?}");
}

#[test]
fn a_managed_key_is_proposed_only_where_the_caller_gives_it() {
    let case = Case::good();
    let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
    let key = |seed| PublicKey::from_pem(&Key::from_seed(seed).public_pem()).unwrap();
    let text = propose(&verifier, &case.evidence(), &[key(2), key(1)], case.now);
    let policy = Policy::parse(&text).unwrap();
    assert!(text.contains(&key(1).to_pem()) && !text.contains(&key(2).to_pem()), "{text}");
    let verdict = crate::verify_release(&verifier, &policy, &case.evidence(), case.now);
    assert!(verdict.is_pass(), "{verdict:?}");
}

#[test]
fn nobody_is_proposed_whose_signature_does_not_hold() {
    for case in [Case::certified(workflow()), Case::good()] {
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let text = propose(&verifier, &case.evidence(), &[], case.now);
        assert!(!text.contains("[[signer]]") && text.contains("# 1 signed document"), "{text}");
        assert!(matches!(Policy::parse(&text), Err(PolicyError::Source { .. })), "{text}");
    }
}

#[test]
fn what_the_evidence_does_not_agree_on_has_to_be_decided() {
    let key = Key::from_seed(1);
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
    let with = |uri: &str| {
        let mut case = Case::good();
        let uri = uri.to_owned();
        let other = provenance(FILE, move |predicate| {
            predicate["buildDefinition"]["externalParameters"]["source"]["uri"] = uri.into();
        });
        case.attach(DocumentKind::Bundle, &key.bundle(&other.to_bytes()));
        propose(&verifier, &case.evidence(), std::slice::from_ref(&public), case.now)
    };
    let other = with("git+https://github.com/o/other@refs/tags/v1");
    assert!(matches!(Policy::parse(&other), Err(PolicyError::Source { .. })), "{other}");
    let decided = other.replace("# source = \"…\"", &format!("source = {}", quoted(SOURCE)));
    assert!(Policy::parse(&decided).is_ok(), "{decided}");
    let branch = with(&format!("git+{SOURCE}@refs/heads/main"));
    assert!(matches!(Policy::parse(&branch), Err(PolicyError::Reference { .. })), "{branch}");
    let decided = branch.replace("# tag =", "tag =");
    assert!(Policy::parse(&decided).is_ok(), "{decided}");
}

/// Text from a document is never the word that accepts everything.
#[test]
fn a_source_called_any_is_not_proposed() {
    let key = Key::from_seed(1);
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
    let mut case = Case::bare();
    let any = provenance(FILE, |predicate| {
        predicate["buildDefinition"]["externalParameters"]["source"]["uri"] = ANY.into();
    });
    case.attach(DocumentKind::Bundle, &key.bundle(&any.to_bytes()));
    let text = propose(&verifier, &case.evidence(), &[public], case.now);
    assert!(!text.contains("\nsource"), "{text}");
    assert!(matches!(Policy::parse(&text), Err(PolicyError::Source { .. })), "{text}");
}

#[test]
fn provenance_about_other_files_is_left_out() {
    let key = Key::from_seed(1);
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
    let mut case = Case::bare();
    let other = key.bundle(&provenance(b"other", |_| {}).to_bytes());
    case.attach(DocumentKind::Bundle, &other);
    let text = propose(&verifier, &case.evidence(), &[public], case.now);
    assert!(!text.contains("[[signer]]") && text.contains("# 1 signed document"), "{text}");
}

#[test]
fn every_text_can_be_quoted() {
    for text in ["a\u{7f}b", "\"\\\n\u{1}", "é\u{2028}"] {
        let policy = format!("version = 1\nname = {}\n[provenance]\nrule = \"off\"", quoted(text));
        assert_eq!(Policy::parse(&policy).unwrap().name(), text, "{policy}");
    }
}

#[test]
fn what_is_found_signed_is_required_of_whom_it_is_about() {
    const TESTED: &str = "https://in-toto.io/attestation/test-result/v0.1";
    let key = |seed| PublicKey::from_pem(&Key::from_seed(seed).public_pem()).unwrap();
    let with = |files: &[&'static str], seed: u8| {
        let mut case = Case::good();
        case.files.extend(files.iter().map(|path| (*path, b"other".to_vec())));
        for file in [FILE, b"other"] {
            let bundle = Key::from_seed(1).bundle(&provenance(file, |_| {}).to_bytes());
            case.attach_to_release(DocumentKind::Bundle, &bundle);
        }
        let tested = crate::testing::statement(
            FILE,
            TESTED,
            &serde_json::json!({"result": "PASSED", "configuration": []}),
        );
        case.attach(DocumentKind::Bundle, &Key::from_seed(seed).bundle(&tested.to_bytes()));
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let text = propose(&verifier, &case.evidence(), &[key(1), key(2)], case.now);
        let policy = Policy::parse(&text).unwrap();
        let verdict = crate::verify_release(&verifier, &policy, &case.evidence(), case.now);
        assert!(verdict.is_pass(), "{text} {verdict:?}");
        case.documents.pop();
        let verdict = crate::verify_release(&verifier, &policy, &case.evidence(), case.now);
        (text, verdict.findings().iter().map(|finding| finding.code).collect::<Vec<_>>())
    };
    let missing = crate::Code::ReqMissing;
    let (text, codes) = with(&[], 1);
    assert!(text.contains("signers = [\"signer-1\"]\n") && !text.contains("paths"), "{text}");
    assert!(codes.contains(&missing), "{codes:?}");
    let (text, codes) = with(&["b-v1"], 2);
    assert!(text.contains("paths = [\"bin/a\"]\nsigners = [\"signer-"), "{text}");
    assert!(codes.contains(&missing), "{codes:?}");
    // Whom nobody vouches for is not proposed, and neither is what they signed.
    let stranger = {
        let mut case = Case::good();
        let tested = crate::testing::statement(
            FILE,
            TESTED,
            &serde_json::json!({"result": "PASSED", "configuration": []}),
        );
        case.attach(DocumentKind::Bundle, &Key::from_seed(3).bundle(&tested.to_bytes()));
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        propose(&verifier, &case.evidence(), &[key(1)], case.now)
    };
    assert!(!stranger.contains("[[require]]"), "{stranger}");
}

/// Without signers an SBOM that nobody signed would be enough for the next release.
#[test]
fn who_signed_the_sboms_is_proposed() {
    use crate::testing::{spdx, statement};
    let key = Key::from_seed(1);
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
    let text_of =
        |case: &Case| propose(&verifier, &case.evidence(), std::slice::from_ref(&public), case.now);
    let mut signed = Case::good();
    let sbom = statement(FILE, "https://spdx.dev/Document/v2.3", &spdx(FILE)).to_bytes();
    signed.attach(DocumentKind::Bundle, &key.bundle(&sbom));
    let text = text_of(&signed);
    assert!(text.contains("rule = \"require\"\nsigners = [\"signer-1\"]"), "{text}");
    let policy = Policy::parse(&text).unwrap();
    let verdict = crate::verify_release(&verifier, &policy, &signed.evidence(), signed.now);
    assert!(verdict.is_pass(), "{verdict:?}");
    let mut unsigned = Case::good();
    unsigned.attach(DocumentKind::Spdx, spdx(FILE).to_string().as_bytes());
    let verdict = crate::verify_release(&verifier, &policy, &unsigned.evidence(), unsigned.now);
    assert!(!verdict.is_pass());
    let text = text_of(&unsigned);
    assert!(text.contains("rule = \"require\"  # without signers"), "{text}");
    assert!(Policy::parse(&text).is_ok());
    // One of two files has a signed one: nobody is named, or the other would fail.
    let mut half = signed;
    half.files.push(("bin/b", b"other".to_vec()));
    assert!(text_of(&half).contains("rule = \"require\"  # without signers"));
}

/// A release of version 1 made a template of every 1 in a name.
#[test]
fn a_version_is_replaced_only_where_it_stands_by_itself() {
    for (text, version, expected) in [
        ("tool-v1.2.3.tar.gz", "v1.2.3", "tool-V.tar.gz"),
        ("v1.2.3/tool-v1.2.3", "v1.2.3", "V/tool-V"),
        ("1", "1", "V"),
        ("tool-1.tar.gz", "1", "tool-V.tar.gz"),
        ("amd641", "1", "amd641"),
        ("lib-1.1.so", "1", "lib-1.1.so"),
        ("lib-1.10.so", "1", "lib-1.10.so"),
        ("v1", "1", "v1"),
        ("tool-1.2.30", "1.2.3", "tool-1.2.30"),
        ("tool-0.1.2.3", "1.2.3", "tool-0.1.2.3"),
        ("tool", "1", "tool"),
    ] {
        assert_eq!(with_stand_in(text, version, "V"), expected, "{text} {version}");
    }
}
