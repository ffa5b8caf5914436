//! Legacy forms: each counts for the signer who names it, for nobody else, and excuses nothing but what it
//! stands for.

use bonded_testsigner::{
    BundleVersion, Content, Defect, Key, KeyKind, Log, Request, image_payload,
};
use bonded_verify::{Code, FileExpectation, Policy, PolicyError, Severity, Verdict};

use bonded_model::Digest;
use bonded_model::cosign::{self, Layer};

use crate::{FILE, Stage, passes, statement};

/// A policy of signers, each with its lines, that asks for no provenance.
pub(crate) fn policy(signers: &[(&str, &str)]) -> Result<Policy, PolicyError> {
    let table = |(name, lines): &(&str, &str)| format!("[[signer]]\nname = \"{name}\"\n{lines}\n");
    let tables: String = signers.iter().map(table).collect();
    Policy::parse(&format!(
        "version = 1\nname = \"legacy\"\n{tables}[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n"
    ))
}

pub(crate) fn holder(identity: &str, more: &str) -> String {
    let issuer = Request::default().issuer;
    format!("issuer = \"{issuer}\"\nidentity = \"{identity}\"\n{more}")
}

const PROMISE_ONLY: &str = "legacy = [\"promise-only\"]";

fn promised(content: Content<'_>) -> Request<'_> {
    Request { content, logs: &[Log::V1Promise], ..Request::default() }
}

#[track_caller]
pub(crate) fn fails(verdict: &Verdict, expected: &[(Code, &str)], what: &str) {
    let text = String::from_utf8(verdict.to_json()).unwrap();
    let found = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    let found: Vec<_> = found.collect();
    let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, expected.iter().map(|(code, _)| *code).collect::<Vec<_>>(), "{what}: {text}");
    for (finding, (_, words)) in found.iter().zip(expected) {
        assert!(
            format!("{} / {}", finding.expected, finding.seen).contains(words),
            "{what}: {text}"
        );
    }
    assert!(!verdict.is_pass(), "{what}");
}

const NO_PROOF: (Code, &str) = (Code::SigLog, "without inclusion proof");

#[test]
fn a_promise_counts_for_the_signer_who_names_it() {
    let stage = Stage::new();
    let statement = statement();
    let identity = Request::default().identity;
    let named = policy(&[("a", &holder(identity, PROMISE_ONLY))]).unwrap();
    let silent = policy(&[("a", &holder(identity, ""))]).unwrap();
    for media_type in BundleVersion::ALL {
        for content in [Content::Statement(&statement), Content::File(FILE)] {
            let request = Request { media_type, ..promised(content) };
            let bundle = stage.world.keyless(&request).to_json();
            let what = format!("{media_type:?} {content:?}");
            passes(&stage.ask(&FileExpectation::Policy(&named), &bundle), &what);
            fails(&stage.ask(&FileExpectation::Policy(&silent), &bundle), &[NO_PROOF], &what);
            fails(&stage.keyless(&bundle, identity), &[NO_PROOF], &what);
        }
    }
    // A proof that is there is verified all the same, and is none without a checkpoint.
    for (logs, defect) in [
        (&[Log::V1][..], Defect::NoCheckpoint),
        (&[Log::V1], Defect::NoProof),
        (&[Log::V1], Defect::Downgraded),
        (&[Log::V1Other, Log::V1Promise], Defect::NoCheckpoint),
    ] {
        let request = Request { logs, ..promised(Content::Statement(&statement)) };
        let bundle = stage.world.keyless(&request).with(defect).to_json();
        passes(&stage.ask(&FileExpectation::Policy(&named), &bundle), &format!("{defect:?}"));
    }
}

/// Another signer who names the form lends it to nobody.
#[test]
fn a_promise_does_not_count_for_another_signer() {
    let stage = Stage::new();
    let statement = statement();
    let bundle = stage.world.keyless(&promised(Content::Statement(&statement))).to_json();
    let (mine, other) = (Request::default().identity, "https://example.com/other");
    let signers = [("mine", holder(mine, "")), ("other", holder(other, PROMISE_ONLY))];
    let signers: Vec<_> = signers.iter().map(|(name, lines)| (*name, lines.as_str())).collect();
    let verdict = stage.ask(&FileExpectation::Policy(&policy(&signers).unwrap()), &bundle);
    fails(&verdict, &[NO_PROOF], "another identity");
    let verdict = stage.ask(&FileExpectation::Policy(&policy(&signers[1..]).unwrap()), &bundle);
    fails(&verdict, &[NO_PROOF, (Code::IdSubject, other)], "a stranger");
    let claims = "claims = { source-repository-id = \"43\" }\nlegacy = [\"promise-only\"]";
    let claimed = policy(&[("mine", &holder(mine, claims))]).unwrap();
    let verdict = stage.ask(&FileExpectation::Policy(&claimed), &bundle);
    fails(&verdict, &[(Code::IdClaim, "= 43")], "another claim");
    let silent = "claims = { source-repository-id = \"43\" }";
    let silent = [("mine", holder(mine, silent)), ("other", holder(other, PROMISE_ONLY))];
    let silent: Vec<_> = silent.iter().map(|(name, lines)| (*name, lines.as_str())).collect();
    let verdict = stage.ask(&FileExpectation::Policy(&policy(&silent).unwrap()), &bundle);
    fails(&verdict, &[NO_PROOF, (Code::IdClaim, "= 43")], "another claim, and no form");
}

#[test]
fn a_promise_excuses_the_proof_and_nothing_else() {
    let stage = Stage::new();
    let statement = statement();
    let named = policy(&[("a", &holder(Request::default().identity, PROMISE_ONLY))]).unwrap();
    let ask = |logs: &[Log], timestamps, defect| {
        let content = Content::Statement(&statement);
        let request = Request { logs, timestamps, content, ..Request::default() };
        let bundle = stage.world.keyless(&request).with(defect).to_json();
        stage.ask(&FileExpectation::Policy(&named), &bundle)
    };
    let one: &[Log] = &[Log::V1Promise];
    for (defect, code, words) in [
        (Defect::PromiseForged, Code::SigLog, "SET verification failed"),
        (Defect::PromiseOfAnotherTime, Code::SigLog, "SET verification failed"),
        (Defect::NoPromise, Code::SigLog, "without inclusion proof"),
        (Defect::IntegratedLate, Code::SigCertificate, "CertExpired"),
        (Defect::UnknownLog, Code::SigLog, "No log key"),
        (Defect::RetiredLog, Code::SigLog, "No log key valid"),
        (Defect::IdOfAnotherLog, Code::SigLog, "No log key valid"),
        (Defect::EntryOfAnotherSignature, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherArtifact, Code::SigLog, "match"),
        (Defect::EntryOfAnotherSigner, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherCertificate, Code::SigLog, "does not match"),
        (Defect::SignatureForged, Code::SigInvalid, "signature"),
        (Defect::CertificateExpired, Code::SigCertificate, "CertExpired"),
        (Defect::UnknownAuthority, Code::SigCertificate, "UnknownIssuer"),
        (Defect::NoSct, Code::SigCertificate, "SCT"),
        (Defect::ChainInThird, Code::SigMalformed, "version 0.3 / a chain"),
        (Defect::ClaimsDisagree, Code::SigCertificate, "older extension"),
    ] {
        fails(&ask(one, 0, defect), &[(code, words)], &format!("{defect:?}"));
    }
    for (logs, timestamps, defect, words) in [
        // There is a time by a stamp, and yet nobody promised the entry.
        (one, 1, Defect::NoPromise, "without inclusion proof"),
        (one, 1, Defect::PromiseOfNoTime, "a promise of no time"),
        // Rekor v2 promises nothing.
        (&[Log::V1Promise, Log::V2], 1, Defect::NoProof, "without inclusion proof"),
        (&[Log::V2], 1, Defect::NoProof, "without inclusion proof"),
        // The other entry has a proof, which has to hold.
        (&[Log::V1Promise, Log::V1], 0, Defect::ProofHashWrong, "root hash mismatch"),
        (&[Log::V1Promise, Log::V1], 0, Defect::CheckpointForged, "No valid Rekor signature"),
        (&[], 1, Defect::StampTwice, "no log entry"),
    ] {
        let what = format!("{logs:?} {timestamps} {defect:?}");
        fails(&ask(logs, timestamps, defect), &[(Code::SigLog, words)], &what);
    }
    // One entry is promised, and of the other the proof holds.
    passes(&ask(&[Log::V1Promise, Log::V1], 0, Defect::NoPromise), "one of each");
}

#[test]
fn a_promise_to_a_key_counts_where_it_is_named() {
    let stage = Stage::new();
    let statement = statement();
    let key = Key::new(KeyKind::P256, "managed");
    let bundle = stage.world.managed(&key, &promised(Content::Statement(&statement))).to_json();
    let lines = |more: &str| format!("public_key = '''\n{}'''\n{more}", key.public_pem());
    let named = policy(&[("a", &lines(PROMISE_ONLY))]).unwrap();
    passes(&stage.ask(&FileExpectation::Policy(&named), &bundle), "named");
    let silent = policy(&[("a", &lines("log = \"require\""))]).unwrap();
    fails(&stage.ask(&FileExpectation::Policy(&silent), &bundle), &[NO_PROOF], "silent");
    let late = format!("valid_until = \"2025-06-01T12:00:00Z\"\n{PROMISE_ONLY}");
    let late = policy(&[("a", &lines(&late))]).unwrap();
    let expected = [(Code::IdValidity, "before 2025-06-01T12:00:00Z")];
    fails(&stage.ask(&FileExpectation::Policy(&late), &bundle), &expected, "late");
}

#[test]
fn forms_are_named_one_by_one() {
    for text in
        ["legacy = []", "legacy = [\"all\"]", "legacy = true", "legacy = [\"promise_only\"]"]
    {
        assert!(policy(&[("a", &holder("a", text))]).is_err(), "{text}");
    }
    let named = policy(&[("a", &holder("a", PROMISE_ONLY))]).unwrap();
    let notes = named.check(None);
    let hole = "legacy = [\"promise-only\"]";
    assert_eq!(notes.iter().filter(|note| note.text.contains(hole)).count(), 1, "{notes:?}");
}

const SIGNATURE: &str = "legacy = [\"cosign-signature\"]";
const ATTESTATION: &str = "legacy = [\"cosign-attestation\"]";
const UNNAMED: &str = "names the legacy form cosign-";

/// Both kinds of layers, each with the form that it is of.
fn layers(stage: &Stage, defect: Option<Defect>) -> [(Layer, &'static str); 2] {
    let (statement, payload) = (statement(), image_payload(&Digest::sha256_of(FILE)));
    let contents = [Content::Statement(&statement), Content::File(&payload)];
    let [attestation, signature] = contents.map(|content| {
        let draft = stage.world.keyless(&promised(content));
        defect.map_or(draft, |defect| draft.with(defect)).to_cosign_layer()
    });
    [(attestation, ATTESTATION), (signature, SIGNATURE)]
}

#[test]
fn layers_of_cosign_count_for_the_signer_who_names_their_form() {
    let stage = Stage::new();
    let identity = Request::default().identity;
    let under = |lines: &str| policy(&[("a", &holder(identity, lines))]).unwrap();
    for (layer, form) in layers(&stage, None) {
        for lines in [ATTESTATION, SIGNATURE, PROMISE_ONLY, ""] {
            let verdict = stage.ask(&FileExpectation::Policy(&under(lines)), &layer.to_bytes());
            match lines == form {
                true => passes(&verdict, form),
                false => fails(&verdict, &[(Code::SigLegacy, UNNAMED)], &format!("{form} {lines}")),
            }
        }
    }
    // With the chain, a timestamp in place of the promise's time, and a key in place of a certificate.
    let statement = statement();
    let request = Request {
        media_type: BundleVersion::V02,
        timestamps: 1,
        ..promised(Content::Statement(&statement))
    };
    let layer = stage.world.keyless(&request).to_cosign_layer();
    assert!(layer.annotations.contains_key(cosign::CHAIN));
    assert!(layer.annotations.contains_key(cosign::TIMESTAMP));
    passes(&stage.ask(&FileExpectation::Policy(&under(ATTESTATION)), &layer.to_bytes()), "stamped");
    let payload = image_payload(&Digest::sha256_of(FILE));
    for kind in [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa3072] {
        let key = Key::new(kind, "managed");
        let lines = format!("public_key = '''\n{}'''\n{SIGNATURE}", key.public_pem());
        let named = policy(&[("a", &lines)]).unwrap();
        for logs in [&[][..], &[Log::V1Promise]] {
            let request = Request { logs, ..promised(Content::File(&payload)) };
            let layer = stage.world.managed(&key, &request).to_cosign_layer();
            let verdict = stage.ask(&FileExpectation::Policy(&named), &layer.to_bytes());
            passes(&verdict, &format!("{kind:?} {logs:?}"));
        }
    }
}

#[test]
fn layers_of_cosign_with_one_defect() {
    let stage = Stage::new();
    let identity = Request::default().identity;
    for (defect, code, words) in [
        (Defect::PromiseForged, Code::SigLog, "SET verification failed"),
        (Defect::PromiseOfAnotherTime, Code::SigLog, "SET verification failed"),
        (Defect::NoPromise, Code::SigLog, "without inclusion proof"),
        (Defect::UnknownLog, Code::SigLog, "No log key"),
        (Defect::EntryOfAnotherSignature, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherArtifact, Code::SigLog, "match"),
        (Defect::EntryOfAnotherSigner, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherCertificate, Code::SigLog, "does not match"),
        (Defect::IntegratedLate, Code::SigCertificate, "CertExpired"),
        (Defect::UnknownAuthority, Code::SigCertificate, "UnknownIssuer"),
        (Defect::SignatureForged, Code::SigInvalid, "signature"),
        (Defect::SignedByAnotherKey, Code::SigInvalid, "signature"),
    ] {
        for (layer, form) in layers(&stage, Some(defect)) {
            let named = policy(&[("a", &holder(identity, form))]).unwrap();
            let verdict = stage.ask(&FileExpectation::Policy(&named), &layer.to_bytes());
            fails(&verdict, &[(code, words)], &format!("{defect:?} {form}"));
        }
    }
    let other = "https://example.com/other";
    for (layer, form) in layers(&stage, None) {
        let named = policy(&[("a", &holder(other, form))]).unwrap();
        let verdict = stage.ask(&FileExpectation::Policy(&named), &layer.to_bytes());
        fails(&verdict, &[(Code::SigLegacy, UNNAMED), (Code::IdSubject, other)], form);
    }
}

/// Payloads that name another image, and annotations that belong to something else.
#[test]
fn annotations_are_not_believed() {
    let stage = Stage::new();
    let named = policy(&[("a", &holder(Request::default().identity, SIGNATURE))]).unwrap();
    let check = |payload: &[u8], change: &dyn Fn(&mut Layer), expected: (Code, &str)| {
        let request = promised(Content::File(payload));
        let mut layer = stage.world.keyless(&request).to_cosign_layer();
        change(&mut layer);
        let verdict = stage.ask(&FileExpectation::Policy(&named), &layer.to_bytes());
        fails(&verdict, &[expected], &format!("{expected:?}"));
    };
    let (mine, other) = (Digest::sha256_of(FILE), Digest::sha256_of(b"another image"));
    let payload = image_payload(&mine);
    check(&image_payload(&other), &|_| {}, (Code::SigSubject, &other.hex()));
    // Signed for another image, and changed to name this one.
    let rename = |layer: &mut Layer| layer.content = image_payload(&Digest::sha256_of(FILE));
    check(&image_payload(&other), &rename, (Code::SigInvalid, "signature"));
    let text = String::from_utf8(payload.clone()).unwrap();
    for (from, to) in [
        ("cosign container image signature", "atomic container signature"),
        ("\"docker-manifest-digest\"", "\"docker-digest\""),
        ("sha256:", "sha1:"),
        ("{\"critical\"", "{\"critical\":{},\"critical\""),
    ] {
        let payload = text.replace(from, to);
        check(payload.as_bytes(), &|_| {}, (Code::StmtMalformed, "the payload of a signature"));
    }
    let elsewhere = |key: &'static str| {
        let other = image_payload(&other);
        let request =
            Request { identity: "https://example.com/b", ..promised(Content::File(&other)) };
        let other = stage.world.keyless(&request).to_cosign_layer();
        let value = other.annotations.get(key).cloned().unwrap();
        move |layer: &mut Layer| drop(layer.annotations.insert(key.to_owned(), value.clone()))
    };
    check(&payload, &elsewhere(cosign::BUNDLE), (Code::SigLog, "match"));
    check(&payload, &elsewhere(cosign::CERTIFICATE), (Code::SigLog, "does not match"));
    check(&payload, &elsewhere(cosign::SIGNATURE), (Code::SigInvalid, "signature"));
    let without = |key: &'static str| move |layer: &mut Layer| drop(layer.annotations.remove(key));
    check(&payload, &without(cosign::BUNDLE), (Code::SigLog, "no log entry"));
    check(&payload, &without(cosign::CERTIFICATE), (Code::SigKey, "a key"));
    check(&payload, &without(cosign::SIGNATURE), (Code::SigMalformed, "payloadType"));
    let said = |key: &'static str, value: &'static str| {
        move |layer: &mut Layer| drop(layer.annotations.insert(key.to_owned(), value.to_owned()))
    };
    for (key, value, words) in [
        (cosign::BUNDLE, "{}", "a promise of a log"),
        (cosign::BUNDLE, "[", "a promise of a log"),
        (cosign::CERTIFICATE, "x", "in PEM"),
        (cosign::CERTIFICATE, "-----BEGIN CERTIFICATE-----\nAAAA\n", "in PEM"),
        (cosign::CHAIN, "-----BEGIN PRIVATE KEY-----\n", "in PEM"),
        (cosign::TIMESTAMP, "{}", "a timestamp in"),
        (cosign::SIGNATURE, "!", "a Sigstore bundle"),
    ] {
        check(&payload, &said(key, value), (Code::SigMalformed, words));
    }
}

const BUNDLE: &str = "legacy = [\"cosign-bundle\"]";

#[test]
fn bundles_of_cosigns_own_count_where_they_are_named() {
    let stage = Stage::new();
    let identity = Request::default().identity;
    let named = policy(&[("a", &holder(identity, BUNDLE))]).unwrap();
    let request = promised(Content::File(FILE));
    let draft = stage.world.keyless(&request);
    let ask = |policy: &Policy, bundle: &[u8]| stage.ask(&FileExpectation::Policy(policy), bundle);
    passes(&ask(&named, &draft.to_cosign_bundle()), "named");
    let silent = policy(&[("a", &holder(identity, PROMISE_ONLY))]).unwrap();
    let verdict = ask(&silent, &draft.to_cosign_bundle());
    fails(&verdict, &[(Code::SigLegacy, "cosign-bundle")], "another form");
    for (defect, code, words) in [
        (Defect::PromiseForged, Code::SigLog, "SET verification failed"),
        (Defect::EntryOfAnotherSignature, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherArtifact, Code::SigLog, "match"),
        (Defect::EntryOfAnotherCertificate, Code::SigLog, "does not match"),
        (Defect::SignatureForged, Code::SigInvalid, "signature"),
        (Defect::IntegratedLate, Code::SigCertificate, "CertExpired"),
    ] {
        let verdict = ask(&named, &draft.with(defect).to_cosign_bundle());
        fails(&verdict, &[(code, words)], &format!("{defect:?}"));
    }
    let text = String::from_utf8(draft.to_cosign_bundle()).unwrap();
    let unlogged = text.replace("\"rekorBundle\"", "\"other\"");
    let malformed = (Code::SigMalformed, "a bundle of cosign's own");
    fails(&ask(&named, unlogged.as_bytes()), &[malformed], "an unknown field");
    let (before, _) = text.split_once(",\"rekorBundle\"").unwrap();
    let verdict = ask(&named, format!("{before}}}").as_bytes());
    fails(&verdict, &[(Code::SigLog, "no log entry")], "no entry");
    let other = stage.world.keyless(&promised(Content::File(b"other"))).to_cosign_bundle();
    let verdict = ask(&named, &other);
    assert!(!verdict.is_pass());
}

/// Without a log entry there is no time, so a certificate beside a bare signature proves nothing offline.
#[test]
fn a_bare_signature_counts_for_the_key_that_made_it() {
    let stage = Stage::new();
    for kind in [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa3072] {
        let key = Key::new(kind, "managed");
        let request = Request { logs: &[], ..promised(Content::File(FILE)) };
        let signature = |content| {
            let request = Request { content, ..request };
            let layer = stage.world.managed(&key, &request).to_cosign_layer();
            layer.annotations[cosign::SIGNATURE].clone()
        };
        let mine = signature(Content::File(FILE));
        passes(&stage.managed(mine.as_bytes(), &key), &format!("{kind:?}"));
        passes(&stage.managed(format!("{mine}\n").as_bytes(), &key), &format!("{kind:?}, a line"));
        let other = signature(Content::File(b"other"));
        let invalid = [(Code::SigInvalid, "signature")];
        fails(&stage.managed(other.as_bytes(), &key), &invalid, &format!("{kind:?}, another"));
        let identity = Request::default().identity;
        let verdict = stage.keyless(mine.as_bytes(), identity);
        fails(&verdict, &[(Code::SigKey, "none is trusted")], &format!("{kind:?}, no key"));
        let cut: String = mine.chars().take(60).collect();
        for text in [cut.as_str(), &format!("{mine}!"), &format!("{mine} {mine}"), &mine.repeat(40)]
        {
            let verdict = stage.managed(text.as_bytes(), &key);
            assert!(!verdict.is_pass(), "{text}");
        }
    }
}

/// A key on P-384, and what it signed over SHA-256: the file, and the payload that names it. OpenSSL made them,
/// since the library for signing here makes signatures by such keys over SHA-384 alone.
const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEvNpYr1GNb1fLiAi+MQSeRl/PCp0IsW6F
1aae8c/PsrUlU3pMYacDpEpLvyO31E63Em4uCu9ClFGPuMExMLfycuEsmHCf+PeK
PATAXZftqiZ3aN4/5i1kdefgXpffs1hh
-----END PUBLIC KEY-----
";
const P384_FILE: &str = "MGUCMAKd6gDzxpnSQuePx7q7D+GmLFWO7WuBfZ4yRg7J9O6x/Rw7Gu1TKUIvUh599k4CTwIxAPGl2TVqzJQF0eMbVWmCJFZMJst6Tx556QlY/pIkQbSpSpMObEqqivjAeQEopPRE+Q==";
const P384_PAYLOAD: &str = "MGYCMQDznmF/5kcoDtGIqBj+MATWaLmSyWeWnAPN9d+LqX27k4KEzpGDvkfItVaQc0moHgkCMQCTvDx6g30IYynl2rhupb0Ip4CZyGa/+cn2upX/rwLUC1lCgH5nsyWux4pS0UGFxJ8=";

/// Cosign signed over SHA-256 whatever the key, and says of no other hash.
#[test]
fn keys_on_p384_sign_over_sha256_as_cosign_did() {
    let stage = Stage::new();
    let by = |pem: &str| policy(&[("a", &format!("public_key = '''\n{pem}'''\n{SIGNATURE}"))]);
    let ask =
        |policy: &Policy, document: &[u8]| stage.ask(&FileExpectation::Policy(policy), document);
    let payload = image_payload(&Digest::sha256_of(FILE));
    let layer = |signature: &str| {
        let annotations = [(cosign::SIGNATURE.to_owned(), signature.to_owned())].into();
        Layer { annotations, content: payload.clone() }.to_bytes()
    };
    let named = by(P384).unwrap();
    passes(&ask(&named, &layer(P384_PAYLOAD)), "a layer");
    passes(&ask(&named, P384_FILE.as_bytes()), "a bare signature");
    let invalid = [(Code::SigInvalid, "signature")];
    fails(&ask(&named, &layer(P384_FILE)), &invalid, "a layer with the signature of the file");
    fails(&ask(&named, P384_PAYLOAD.as_bytes()), &invalid, "the signature of the payload alone");

    // The same key, over SHA-384.
    let key = Key::new(KeyKind::P384, "managed");
    let named = by(&key.public_pem()).unwrap();
    let request = Request { logs: &[], ..promised(Content::File(&payload)) };
    let layer = stage.world.managed(&key, &request).to_cosign_layer();
    fails(&ask(&named, &layer.to_bytes()), &invalid, "a layer over SHA-384");
    let request = Request { content: Content::File(FILE), ..request };
    let layer = stage.world.managed(&key, &request).to_cosign_layer();
    let bare = layer.annotations[cosign::SIGNATURE].as_bytes();
    fails(&ask(&named, bare), &invalid, "a bare signature over SHA-384");
}
