//! Several trust roots side by side: each vouches for those who name it.

use std::sync::LazyLock;

use bonded_testsigner::{Content, Defect, Key, KeyKind, Log, Request, World, envelope};
use bonded_verify::{
    Code, FileExpectation, Policy, Severity, TrustRoot, TrustRootError, Verdict, Verifier,
};

use crate::{Stage, passes, statement};

/// Its keys are the same in every world, but not the signatures on its certificates.
static OWN: LazyLock<Vec<u8>> = LazyLock::new(|| World::new().trusted_root());

/// The world's own root under a name, beside the embedded ones.
fn stage(names: &[&str]) -> Stage {
    let world = World::new();
    let own = || TrustRoot::parse(&OWN).unwrap();
    let roots = names.iter().map(|name| match TrustRoot::embedded(name) {
        Some(root) => root,
        None if name.is_empty() => own(),
        None => own().named(name).unwrap(),
    });
    let verifier = Verifier::of_roots(roots.collect()).unwrap();
    Stage { world, verifier }
}

fn policy(lines: &str) -> Policy {
    Policy::parse(&format!(
        "version = 1\nname = \"roots\"\n[[signer]]\nname = \"a\"\n{lines}\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n"
    ))
    .unwrap()
}

fn holder(pin: &str) -> Policy {
    let Request { issuer, identity, .. } = Request::default();
    policy(&format!("issuer = \"{issuer}\"\nidentity = \"{identity}\"\n{pin}"))
}

#[track_caller]
fn check(verdict: &Verdict, code: Option<(Code, &str)>, what: &str) {
    let text = String::from_utf8(verdict.to_json()).unwrap();
    let Some((code, words)) = code else { return passes(verdict, what) };
    let found = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    let found: Vec<_> = found.collect();
    let [finding] = found.as_slice() else { panic!("{what}: {text}") };
    assert_eq!(finding.code, code, "{what}: {text}");
    assert!(format!("{} / {}", finding.expected, finding.seen).contains(words), "{what}: {text}");
}

#[test]
fn a_root_vouches_for_those_who_name_it() {
    let statement = statement();
    let content = Content::Statement(&statement);
    let digest = TrustRoot::parse(&OWN).unwrap().digest();
    let pinned = format!("root = \"{digest}\"");
    let other = format!("root = \"{}\"", TrustRoot::public_good().digest());
    let elsewhere = Some((Code::SigRoot, "that the trust root"));
    let nobody = Some((Code::SigRoot, "which of the trust roots"));
    for (names, pin, expected) in [
        (&["mine", "public-good"][..], "root = \"mine\"", None),
        (&["public-good", "staging", "mine"], "root = \"mine\"", None),
        (&["mine", "public-good"], pinned.as_str(), None),
        (&["", "public-good"], &pinned, None),
        (&["mine"], "", None),
        (&[""], "", None),
        (&["mine"], "root = \"mine\"", None),
        (&[""], &pinned, None),
        // Signed under another root than the one that the signer is pinned to.
        (&["mine", "public-good"], "root = \"public-good\"", elsewhere),
        (&["mine", "public-good"], &other, elsewhere),
        (&["mine", "public-good"], "root = \"yours\"", elsewhere),
        (&["mine"], "root = \"public-good\"", elsewhere),
        (&[""], "root = \"mine\"", elsewhere),
        // A root that is added lends nothing to those who do not name it.
        (&["mine", "public-good"], "", nobody),
        // Nobody there knows the authority.
        (&["public-good", "staging"], "root = \"public-good\"", Some((Code::SigLog, "No log key"))),
    ] {
        let stage = stage(names);
        for logs in [&[Log::V1][..], &[Log::V2]] {
            let timestamps = usize::from(logs == [Log::V2]);
            let request = Request { content, logs, timestamps, ..Request::default() };
            let bundle = stage.world.keyless(&request).to_json();
            let expected = match expected {
                Some((Code::SigLog, _)) if timestamps > 0 => Some((Code::SigTime, "")),
                expected => expected,
            };
            let verdict = stage.ask(&FileExpectation::Policy(&holder(pin)), &bundle);
            check(&verdict, expected, &format!("{names:?} {pin} {logs:?}"));
        }
    }
}

/// What is wrong is told by the root that knows the authority, whatever the others say.
#[test]
fn the_root_that_knows_the_authority_tells_what_is_wrong() {
    let statement = statement();
    for names in [["a-first", "staging"], ["z-last", "public-good"]] {
        let stage = stage(&names);
        let pinned = holder(&format!("root = \"{}\"", names[0]));
        for (defect, code, words) in [
            (Defect::PromiseForged, Code::SigLog, "SET verification failed"),
            (Defect::CheckpointForged, Code::SigLog, "No valid Rekor signature"),
            (Defect::NoSct, Code::SigCertificate, "SCT"),
            (Defect::SignatureForged, Code::SigInvalid, "signature"),
        ] {
            let request = Request { content: Content::Statement(&statement), ..Request::default() };
            let bundle = stage.world.keyless(&request).with(defect).to_json();
            let verdict = stage.ask(&FileExpectation::Policy(&pinned), &bundle);
            check(&verdict, Some((code, words)), &format!("{names:?} {defect:?}"));
        }
    }
}

#[test]
fn a_key_needs_a_root_for_its_log_alone() {
    let stage = stage(&["mine", "staging"]);
    let statement = statement();
    let key = Key::new(KeyKind::P256, "managed");
    let under = |pin: &str| policy(&format!("public_key = '''\n{}'''\n{pin}", key.public_pem()));
    let bare = envelope(&[&key], bonded_model::media_type::IN_TOTO, &statement);
    let request = Request { content: Content::Statement(&statement), ..Request::default() };
    let logged = stage.world.managed(&key, &request).to_json();
    let elsewhere = Some((Code::SigRoot, "that the trust root staging"));
    let nobody = Some((Code::SigRoot, "which of the trust roots"));
    for (bundle, pin, expected) in [
        (&bare, "", None),
        (&bare, "root = \"staging\"", None),
        (&logged, "root = \"mine\"", None),
        (&logged, "root = \"staging\"", elsewhere),
        (&logged, "", nobody),
    ] {
        let verdict = stage.ask(&FileExpectation::Policy(&under(pin)), bundle);
        check(&verdict, expected, pin);
    }
    let forged = stage.world.managed(&key, &request).with(Defect::PromiseForged).to_json();
    let verdict = stage.ask(&FileExpectation::Policy(&under("root = \"mine\"")), &forged);
    check(&verdict, Some((Code::SigLog, "SET verification failed")), "forged");
}

#[test]
fn verdicts_record_one_digest_whatever_the_order() {
    let bundle = Stage::new().world.keyless(&Request::default()).to_json();
    let verdict = |names: &[&str]| {
        stage(names).ask(&FileExpectation::Policy(&holder("root = \"mine\"")), &bundle)
    };
    let (one, two) = (verdict(&["mine", "staging"]), verdict(&["staging", "mine"]));
    assert_eq!(one.to_json(), two.to_json());
    assert_ne!(one.trust_root_digest(), verdict(&["mine"]).trust_root_digest());
    assert_ne!(one.trust_root_digest(), verdict(&["", "staging"]).trust_root_digest());
    let twice = Verifier::of_roots(vec![TrustRoot::staging(), TrustRoot::staging()]);
    assert!(matches!(twice.unwrap_err(), TrustRootError::Twice { .. }));
}
