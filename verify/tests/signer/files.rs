//! Detached signatures: a `.sig` by a managed key counts by itself; with certificate and entry it counts for the
//! signer who names the form; and whatever belongs to something else makes a check fail.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use bonded_model::detached::Files;
use bonded_model::evidence::Subject;
use bonded_model::limits::DETACHED_BYTES_MAX;
use bonded_model::{
    Artifact, Descriptor, Digest, Document, DocumentKind, Evidence, MediaType, Release,
};
use bonded_testsigner::{BundleVersion, Content, Defect, Key, KeyKind, Log, Request};
use bonded_verify::{Code, FileExpectation, Policy, Severity, Verdict, verify_release};
use serde_json::{Value, json};

use crate::legacy::{fails, holder, policy};
use crate::{FILE, Stage, now, passes};

const FILES: &str = "legacy = [\"cosign-files\"]";
const BOTH: &str = "legacy = [\"cosign-files\", \"promise-only\"]";

fn request<'a>() -> Request<'a> {
    Request { content: Content::File(FILE), ..Request::default() }
}

fn under(lines: &str) -> Policy {
    policy(&[("a", &holder(Request::default().identity, lines))]).unwrap()
}

fn ask(stage: &Stage, policy: &Policy, files: &Files<'_>) -> Verdict {
    stage.ask(&FileExpectation::Policy(policy), &files.to_bytes())
}

fn file(bytes: impl Into<Vec<u8>>) -> Cow<'static, [u8]> {
    Cow::Owned(bytes.into())
}

/// The entry of some files, changed.
fn entry(files: &Files<'_>, change: impl FnOnce(&mut Value)) -> Cow<'static, [u8]> {
    let mut answer: Value = serde_json::from_slice(&files.entries[0]).unwrap();
    change(&mut answer);
    file(answer.to_string())
}

fn inner(answer: &mut Value) -> &mut Value {
    answer.as_object_mut().unwrap().values_mut().next().unwrap()
}

/// The same as sigstore-python wrote it: what the log promised, and nothing else.
fn promise_of(files: &Files<'_>) -> Cow<'static, [u8]> {
    entry(files, |answer| {
        let mut payload = inner(answer).clone();
        let verification = payload.as_object_mut().unwrap().remove("verification").unwrap();
        let promise = &verification["signedEntryTimestamp"];
        *answer = json!({"SignedEntryTimestamp": promise, "Payload": payload});
    })
}

#[test]
fn files_count_for_the_signer_who_names_the_form() {
    let stage = Stage::new();
    for media_type in BundleVersion::ALL {
        let files = stage.world.keyless(&Request { media_type, ..request() }).to_files();
        passes(&ask(&stage, &under(FILES), &files), &format!("{media_type:?}"));
        for lines in ["", "legacy = [\"promise-only\", \"cosign-bundle\"]"] {
            let unnamed = [(Code::SigLegacy, "cosign-files")];
            fails(&ask(&stage, &under(lines), &files), &unnamed, lines);
        }
        let verdict = stage.keyless(&files.to_bytes(), Request::default().identity);
        fails(&verdict, &[(Code::SigLegacy, "cosign-files")], "no policy");
    }
}

/// Another signer who names the form lends it to nobody.
#[test]
fn the_form_does_not_count_for_another_signer() {
    let stage = Stage::new();
    let files = stage.world.keyless(&request()).to_files();
    let (mine, other) = (Request::default().identity, "https://example.com/other");
    let signers = [("mine", holder(mine, "")), ("other", holder(other, FILES))];
    let signers: Vec<_> = signers.iter().map(|(name, lines)| (*name, lines.as_str())).collect();
    let verdict = ask(&stage, &policy(&signers).unwrap(), &files);
    fails(&verdict, &[(Code::SigLegacy, "cosign-files")], "another identity");
    let verdict = ask(&stage, &policy(&signers[1..]).unwrap(), &files);
    let expected = [(Code::SigLegacy, "cosign-files"), (Code::IdSubject, other)];
    fails(&verdict, &expected, "a stranger");
}

/// What is only promised needs both names, whichever way the promise is written.
#[test]
fn a_promise_needs_a_name_besides() {
    let stage = Stage::new();
    let proved = stage.world.keyless(&request()).to_files();
    let promised =
        stage.world.keyless(&Request { logs: &[Log::V1Promise], ..request() }).to_files();
    let bundle = Files { entries: vec![promise_of(&proved)], ..proved.clone() };
    let bare = |answer: &mut Value| {
        inner(answer)["verification"]["inclusionProof"]
            .as_object_mut()
            .unwrap()
            .remove("checkpoint");
    };
    let unsigned = Files { entries: vec![entry(&proved, bare)], ..proved };
    for (files, what) in [(promised, "promise"), (bundle, "bundle"), (unsigned, "no checkpoint")] {
        passes(&ask(&stage, &under(BOTH), &files), what);
        let verdict = ask(&stage, &under(FILES), &files);
        fails(&verdict, &[(Code::SigLog, "inclusion proof")], what);
        let verdict = ask(&stage, &under("legacy = [\"promise-only\"]"), &files);
        fails(&verdict, &[(Code::SigLegacy, "cosign-files")], what);
    }
}

#[test]
fn a_certificate_without_entry_proves_nothing_and_says_what_is_missing() {
    let stage = Stage::new();
    let files = Files { entries: vec![], ..stage.world.keyless(&request()).to_files() };
    for lines in [FILES, BOTH, ""] {
        let expected = [(Code::SigLog, "as FILE.rekor.json")];
        fails(&ask(&stage, &under(lines), &files), &expected, lines);
    }
    // Without the certificate it is a signature by a key that nobody trusts.
    let files = Files { certificates: vec![], ..stage.world.keyless(&request()).to_files() };
    fails(&ask(&stage, &under(BOTH), &files), &[(Code::SigKey, "a key")], "no certificate");
}

#[test]
fn files_with_one_defect() {
    let stage = Stage::new();
    for (defect, code, words) in [
        (Defect::PromiseForged, Code::SigLog, "SET verification failed"),
        (Defect::PromiseOfAnotherTime, Code::SigLog, "SET verification failed"),
        (Defect::UnknownLog, Code::SigLog, "No log key"),
        (Defect::RetiredLog, Code::SigLog, "No log key valid"),
        (Defect::EntryOfAnotherSignature, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherArtifact, Code::SigLog, "match"),
        (Defect::EntryOfAnotherSigner, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherCertificate, Code::SigLog, "does not match"),
        (Defect::ProofOfAnotherLeaf, Code::SigLog, "root hash mismatch"),
        (Defect::ProofHashWrong, Code::SigLog, "root hash mismatch"),
        (Defect::ProofOfAnotherSize, Code::SigLog, ""),
        (Defect::CheckpointForged, Code::SigLog, "No valid Rekor signature"),
        (Defect::CheckpointOfAnotherTree, Code::SigLog, ""),
        (Defect::IntegratedLate, Code::SigCertificate, "CertExpired"),
        (Defect::CertificateExpired, Code::SigCertificate, "CertExpired"),
        (Defect::CertificateNotYetValid, Code::SigCertificate, ""),
        (Defect::UnknownAuthority, Code::SigCertificate, "UnknownIssuer"),
        (Defect::NoSct, Code::SigCertificate, "SCT"),
        (Defect::SignatureForged, Code::SigInvalid, "signature"),
        (Defect::SignedByAnotherKey, Code::SigInvalid, "signature"),
    ] {
        let files = stage.world.keyless(&request()).with(defect).to_files();
        fails(&ask(&stage, &under(FILES), &files), &[(code, words)], &format!("{defect:?}"));
    }
    // An entry without promise says that it is held, and not since when.
    let files = stage.world.keyless(&request()).with(Defect::NoPromise).to_files();
    assert!(!ask(&stage, &under(BOTH), &files).is_pass());
}

/// Each piece is that of something else, and the others are right.
#[test]
fn pieces_of_something_else() {
    let stage = Stage::new();
    let made = |content| stage.world.keyless(&Request { content, ..request() }).to_files();
    let (mine, other) = (made(Content::File(FILE)), made(Content::File(b"other")));
    let key = Request { key: KeyKind::P384, ..request() };
    let key = stage.world.keyless(&key).to_files();
    let somebody = Request { identity: "https://example.com/another", ..request() };
    let somebody = stage.world.keyless(&somebody).to_files();
    let signature =
        |from: &Files<'static>| Files { signature: from.signature.clone(), ..mine.clone() };
    let certificate =
        |from: &Files<'static>| Files { certificates: from.certificates.clone(), ..mine.clone() };
    let entry = |from: &Files<'static>| Files { entries: from.entries.clone(), ..mine.clone() };
    for (files, code, what) in [
        (signature(&other), Code::SigInvalid, "a signature of another file"),
        (other.clone(), Code::SigInvalid, "all of another file"),
        (certificate(&key), Code::SigInvalid, "a certificate of another key"),
        (certificate(&somebody), Code::SigLog, "a certificate of another holder"),
        (entry(&other), Code::SigLog, "an entry of another file"),
        (entry(&somebody), Code::SigLog, "an entry of another certificate"),
    ] {
        let verdict = ask(&stage, &under(FILES), &files);
        let failed = verdict.findings().iter().filter(|f| f.severity == Severity::Fail);
        let codes: Vec<_> = failed.map(|finding| finding.code).collect();
        assert_eq!(codes, [code], "{what}: {}", String::from_utf8_lossy(&verdict.to_json()));
    }
}

#[test]
fn spellings_of_the_pieces() {
    let stage = Stage::new();
    let good = stage.world.keyless(&request()).to_files();
    let with = |change: &dyn Fn(&mut Files<'static>)| {
        let mut files = good.clone();
        change(&mut files);
        ask(&stage, &under(FILES), &files)
    };
    let signature = String::from_utf8(good.signature.to_vec()).unwrap();
    let pem = String::from_utf8(STANDARD.decode(&good.certificates[0]).unwrap()).unwrap();
    let certificate = |text: String| move |f: &mut Files<'_>| f.certificates = vec![file(&*text)];
    passes(&with(&|f| f.signature = file(format!("{signature}\n"))), "a line");
    passes(&with(&certificate(pem.clone())), "PEM");
    passes(&with(&certificate(pem.replace('\n', "\r\n"))), "other ends of lines");
    passes(&with(&certificate(format!("{}\n", STANDARD.encode(&pem)))), "base64 and a line");
    let alone = entry(&good, |answer| *answer = inner(answer).clone());
    passes(&with(&|f| f.entries = vec![alone.clone()]), "an entry without its name");
    let more = entry(&good, |answer| inner(answer)["attestation"] = json!({"data": "AA=="}));
    passes(&with(&|f| f.entries = vec![more.clone()]), "what Rekor keeps beside entries");
    let (start, end) = signature.split_at(64);
    let fails = |verdict: &Verdict, code, words: &str| fails(verdict, &[(code, words)], words);
    for text in [
        STANDARD_NO_PAD.encode([0xa5; 70]),
        URL_SAFE.encode([0xff; 72]),
        format!("{signature}!"),
        format!("{start}\n{end}"),
        format!("{signature} {signature}"),
        String::new(),
    ] {
        let verdict = with(&|f| f.signature = file(&*text));
        fails(&verdict, Code::SigMalformed, "a signature in base64 on one line");
    }
    let url = STANDARD.encode(&pem).replace('+', "-").replace('/', "_");
    let second = format!("{pem}-----BEGIN PRIVATE KEY-----\n");
    for text in [STANDARD.encode(STANDARD.encode(&pem)), format!("{url}_"), "x".to_owned()] {
        fails(&with(&certificate(text)), Code::SigMalformed, "certificates in PEM");
    }
    for text in [second, pem.replace("-----END CERTIFICATE-----", ""), format!("{pem}trailing")] {
        fails(&with(&certificate(text)), Code::SigMalformed, "certificates in PEM");
    }
}

#[test]
fn entries_that_are_none() {
    let stage = Stage::new();
    let good = stage.world.keyless(&request()).to_files();
    let with = |entry: Cow<'static, [u8]>| {
        ask(&stage, &under(FILES), &Files { entries: vec![entry], ..good.clone() })
    };
    let two = entry(&good, |answer| answer["another"] = inner(&mut answer.clone()).clone());
    fails(&with(two), &[(Code::SigMalformed, "with 2 members")], "two entries");
    let text = String::from_utf8(good.entries[0].to_vec()).unwrap();
    let body = |version: &str| {
        let body = format!(r#"{{"apiVersion":"{version}","kind":"intoto"}}"#);
        entry(&good, |answer| inner(answer)["body"] = json!(STANDARD.encode(body)))
    };
    fails(&with(body("0.0.1")), &[(Code::SigUnsupported, "intoto 0.0.1")], "an old kind");
    for broken in [
        file(format!("{text}x")),
        file(format!("{text}{text}")),
        file(format!("[{text}]")),
        file("{}"),
        file("[]"),
        file(text.replacen("\"body\"", "\"body\":\"\",\"body\"", 1)),
        entry(&good, |answer| inner(answer)["logIndex"] = json!(1.5)),
        entry(&good, |answer| inner(answer)["logIndex"] = json!(-1)),
        entry(&good, |answer| inner(answer)["logID"] = json!("00")),
        entry(&good, |answer| inner(answer)["body"] = json!("!")),
        entry(&good, |answer| inner(answer)["verification"] = json!(null)),
        entry(&good, |answer| {
            inner(answer)["verification"]["inclusionProof"]["rootHash"] = json!("00");
        }),
        entry(&good, |answer| {
            inner(answer)["verification"]["inclusionProof"]["hashes"] = json!(["0"]);
        }),
        file("{\"a\":".repeat(200)),
    ] {
        let shown = String::from_utf8_lossy(&broken).into_owned();
        fails(&with(broken), &[(Code::SigMalformed, "log")], &shown);
    }
    let hashes = json!(vec!["00".repeat(32); 65]);
    let long = entry(&good, |answer| {
        inner(answer)["verification"]["inclusionProof"]["hashes"] = hashes;
    });
    fails(&with(long), &[(Code::SigLimit, "64 proof hashes")], "too many hashes");
    let limit = usize::try_from(DETACHED_BYTES_MAX).unwrap();
    let padded = |length: usize| file(text.clone() + &" ".repeat(length - text.len()));
    passes(&with(padded(limit)), "at the limit");
    fails(&with(padded(limit + 1)), &[(Code::SigLimit, "524288 bytes")], "beyond the limit");
}

/// Nobody chooses which of two is meant.
#[test]
fn one_certificate_file_and_one_entry() {
    let stage = Stage::new();
    let good = stage.world.keyless(&request()).to_files();
    let mut two = good.clone();
    two.certificates.push(file("x"));
    let expected = [(Code::SigMalformed, "one file with certificates")];
    fails(&ask(&stage, &under(BOTH), &two), &expected, "two certificates");
    let mut two = good.clone();
    two.entries.push(file("x"));
    let expected = [(Code::SigMalformed, "one file with a log's entry")];
    fails(&ask(&stage, &under(BOTH), &two), &expected, "two entries");
}

#[test]
fn a_signature_by_a_key_needs_no_form() {
    let stage = Stage::new();
    let key = Key::new(KeyKind::P256, "managed");
    let lines = |more: &str| format!("public_key = '''\n{}'''\n{more}", key.public_pem());
    let silent = policy(&[("a", &lines(""))]).unwrap();
    let logged = policy(&[("a", &lines("log = \"require\""))]).unwrap();
    let made = |logs| stage.world.managed(&key, &Request { logs, ..request() });
    let bare = made(&[]).to_files();
    passes(&ask(&stage, &silent, &bare), "a key");
    passes(&stage.ask(&FileExpectation::Policy(&silent), &bare.signature), "the file alone");
    let none = [(Code::SigLog, "an entry in a transparency log")];
    fails(&ask(&stage, &logged, &bare), &none, "a key, not logged");
    let files = made(&[Log::V1]).to_files();
    passes(&ask(&stage, &silent, &files), "a key with an entry");
    passes(&ask(&stage, &logged, &files), "a key with an entry that is asked for");
    let defects = [
        (Defect::EntryOfAnotherSignature, "does not match"),
        (Defect::EntryOfAnotherSigner, "does not match"),
        (Defect::ProofOfAnotherLeaf, "root hash mismatch"),
        (Defect::PromiseForged, "SET verification failed"),
    ];
    for (defect, words) in defects {
        let files = made(&[Log::V1]).with(defect).to_files();
        let verdict = ask(&stage, &silent, &files);
        fails(&verdict, &[(Code::SigLog, words)], &format!("{defect:?}"));
    }
    let promised = made(&[Log::V1Promise]).to_files();
    let proof = [(Code::SigLog, "without inclusion proof")];
    fails(&ask(&stage, &silent, &promised), &proof, "a key and a promise");
    let named = policy(&[("a", &lines("legacy = [\"promise-only\"]"))]).unwrap();
    passes(&ask(&stage, &named, &promised), "a key and a promise that is enough");
}

const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// A policy that asks each file for a signature of that signer.
fn demanding(lines: &str) -> Policy {
    Policy::parse(&format!(
        "version = 1\nname = \"p\"\n[[signer]]\nname = \"a\"\n{lines}\n[provenance]\nrule = \"off\"\n\
         [sbom]\nrule = \"off\"\n[[require]]\nname = \"signed\"\npredicate = \"{SIGN}\"\n\
         of = \"artifacts\"\nsigners = [\"a\"]\n"
    ))
    .unwrap()
}

/// A release of files, and the pieces that lie beside them.
struct Held {
    files: Vec<(&'static str, &'static [u8])>,
    documents: Vec<Document>,
}

impl Held {
    fn new(files: &[(&'static str, &'static [u8])]) -> Self {
        Self { files: files.to_vec(), documents: Vec::new() }
    }

    fn piece(&mut self, kind: DocumentKind, beside: Option<&str>, bytes: &[u8]) {
        let subject = match beside {
            Some(path) => Subject::Artifact(path.parse().unwrap()),
            None => Subject::Release,
        };
        self.documents.push(Document {
            digest: Digest::sha256_of(bytes),
            bytes: Arc::from(bytes),
            kind,
            media_type: MediaType::known("application/octet-stream"),
            title: None,
            subject,
        });
    }

    fn beside(mut self, path: &str, files: &Files<'_>) -> Self {
        self.piece(DocumentKind::Signature, Some(path), &files.signature);
        for certificate in &files.certificates {
            self.piece(DocumentKind::Certificate, Some(path), certificate);
        }
        for entry in &files.entries {
            self.piece(DocumentKind::LogEntry, Some(path), entry);
        }
        self
    }

    fn verdict(mut self, stage: &Stage, policy: &Policy) -> Verdict {
        let artifacts = self.files.iter().map(|(path, bytes)| {
            let file = Descriptor::of(MediaType::known("application/octet-stream"), bytes);
            Artifact::of_file(path.parse().unwrap(), file, None, None).0
        });
        let (release, _) = Release::new("demo@v1".parse().unwrap(), artifacts.collect()).unwrap();
        let ask = |documents: &[Document]| {
            let evidence = Evidence { release: release.clone(), documents: documents.to_vec() };
            verify_release(&stage.verifier, policy, &evidence, now())
        };
        let verdict = ask(&self.documents);
        self.documents.reverse();
        assert_eq!(ask(&self.documents).to_json(), verdict.to_json(), "in any order");
        verdict
    }
}

#[test]
fn signatures_beside_the_files_of_a_release() {
    let stage = Stage::new();
    let made = |content| stage.world.keyless(&Request { content, ..request() }).to_files();
    let (a, b) = (made(Content::File(b"a")), made(Content::File(b"b")));
    let files: &[(&str, &[u8])] = &[("bin/a", b"a"), ("bin/b", b"b")];
    let named = demanding(&holder(Request::default().identity, FILES));
    let verdict = Held::new(files).beside("bin/a", &a).beside("bin/b", &b).verdict(&stage, &named);
    passes(&verdict, "both");
    let signed: Vec<_> = verdict.artifacts().iter().map(|a| a.accepted[0].document).collect();
    assert_eq!(signed, [&a, &b].map(|files| Digest::sha256_of(&files.signature)));

    let crossed = Held::new(files).beside("bin/a", &b).beside("bin/b", &a);
    let verdict = crossed.verdict(&stage, &named);
    fails(
        &verdict,
        &[(Code::SigInvalid, "signature"), (Code::SigInvalid, "signature")],
        "each of the other",
    );
    let verdict = Held::new(files).beside("bin/a", &a).verdict(&stage, &named);
    fails(&verdict, &[(Code::ReqMissing, SIGN)], "one alone");
    let unnamed = demanding(&holder(Request::default().identity, ""));
    let verdict = Held::new(&files[..1]).beside("bin/a", &a).verdict(&stage, &unnamed);
    fails(&verdict, &[(Code::SigLegacy, "cosign-files")], "not named");
    let lost = Files { entries: vec![], ..a.clone() };
    let verdict = Held::new(&files[..1]).beside("bin/a", &lost).verdict(&stage, &named);
    fails(&verdict, &[(Code::SigLog, "as FILE.rekor.json")], "no entry");
    let mut elsewhere = Held::new(files).beside("bin/a", &lost).beside("bin/b", &b);
    elsewhere.piece(DocumentKind::LogEntry, None, &a.entries[0]);
    let verdict = elsewhere.verdict(&stage, &named);
    fails(&verdict, &[(Code::SigLog, "as FILE.rekor.json")], "an entry beside nothing");
    let mut again = Held::new(&files[..1]).beside("bin/a", &a);
    again.piece(DocumentKind::LogEntry, Some("bin/a"), &a.entries[0]);
    passes(&again.verdict(&stage, &named), "the same entry under two names");
}

/// It passes, whatever is noted of it.
#[track_caller]
fn holds(verdict: &Verdict, what: &str) {
    let fine = verdict.findings().iter().all(|finding| finding.severity == Severity::Note);
    let told = String::from_utf8_lossy(&verdict.to_json()).into_owned();
    assert!(verdict.is_pass() && fine, "{what}: {told}");
    assert_eq!(verdict.artifacts()[0].accepted.len(), 1, "{what}: {told}");
}

/// Whoever may lay a file beside a signature takes nothing away from it.
#[test]
fn wrong_pieces_beside_a_good_signature_take_nothing_away() {
    let stage = Stage::new();
    let made = |content| stage.world.keyless(&Request { content, ..request() }).to_files();
    let (a, b) = (made(Content::File(b"a")), made(Content::File(b"b")));
    let files: &[(&str, &[u8])] = &[("a", b"a")];
    let named = demanding(&holder(Request::default().identity, FILES));
    let held = |certificates: &[&Cow<'static, [u8]>], entries: &[&Cow<'static, [u8]>]| {
        let all = |files: &[&Cow<'static, [u8]>]| files.iter().map(|f| (*f).clone()).collect();
        let (certificates, entries) = (all(certificates), all(entries));
        Held::new(files).beside("a", &Files { certificates, entries, ..a.clone() })
    };
    let (ours, theirs) = (&a.certificates[0], &b.certificates[0]);
    let (pem, nothing) = (file(STANDARD.decode(ours).unwrap()), file("{}"));
    for (certificates, entries, what) in [
        (vec![ours], vec![&a.entries[0], &b.entries[0]], "the entry of another file"),
        (vec![ours], vec![&a.entries[0], &nothing], "an entry that is none"),
        (vec![ours, theirs], vec![&a.entries[0]], "another certificate"),
        (vec![ours, &pem], vec![&a.entries[0]], "one certificate twice"),
        (vec![ours, theirs], vec![&b.entries[0], &a.entries[0]], "all of another"),
    ] {
        holds(&held(&certificates, &entries).verdict(&stage, &named), what);
    }
    let verdict = held(&[ours, theirs], &[&b.entries[0]]).verdict(&stage, &named);
    assert!(!verdict.is_pass(), "certificates without their entry");
    let verdict = held(&[theirs], &[&a.entries[0]]).verdict(&stage, &named);
    assert!(!verdict.is_pass(), "an entry without its certificate");
    let unnamed = demanding(&holder(Request::default().identity, ""));
    let verdict = held(&[ours, theirs], &[&a.entries[0]]).verdict(&stage, &unnamed);
    assert!(!verdict.is_pass(), "a form that is not named");

    let spaces = |count: usize| file([&a.entries[0][..], &b" ".repeat(count)].concat());
    let entries: Vec<_> = (0..5).map(spaces).collect();
    let verdict = held(&[ours], &entries.iter().collect::<Vec<_>>()).verdict(&stage, &named);
    holds(&verdict, "more than are looked at");
    let told = String::from_utf8(verdict.to_json()).unwrap();
    assert!(told.contains("at most 4 certificates"), "{told}");
}

/// A certificate that ships with a file is not that of its signature, nor is what somebody logged about it.
#[test]
fn a_signature_by_a_key_counts_without_what_lies_beside_it() {
    let stage = Stage::new();
    let key = Key::new(KeyKind::P256, "managed");
    let lines = |more: &str| format!("public_key = '''\n{}'''\n{more}", key.public_pem());
    let made = |logs| stage.world.managed(&key, &Request { logs, ..request() }).to_files();
    let other = stage.world.keyless(&request()).to_files();
    let named = demanding(&lines(""));
    let verdict = |files: &Files<'_>, policy: &Policy| {
        Held::new(&[("a", FILE)]).beside("a", files).verdict(&stage, policy)
    };
    let with = |certificates: &[Cow<'static, [u8]>], entries: &[Cow<'static, [u8]>], logs| {
        let (certificates, entries) = (certificates.to_vec(), entries.to_vec());
        Files { certificates, entries, ..made(logs) }
    };
    let certificate = with(&other.certificates, &[], &[]);
    holds(&verdict(&certificate, &named), "a certificate");
    holds(&verdict(&with(&[], &other.entries, &[]), &named), "an entry of another signature");
    holds(&verdict(&with(&other.certificates, &other.entries, &[]), &named), "both");
    let logged = demanding(&lines("log = \"require\""));
    let own = made(&[Log::V1]);
    let both = Files { certificates: other.certificates.clone(), ..own.clone() };
    holds(&verdict(&both, &logged), "its own entry and a certificate");
    let wrong = Files { entries: other.entries.clone(), ..own };
    let found = verdict(&wrong, &logged);
    fails(
        &found,
        &[(Code::SigLog, "malformed log entry")],
        "an entry of another where one is asked for",
    );
    let promised = made(&[Log::V1Promise]);
    holds(&verdict(&promised, &named), "a promise");
    let proof = [(Code::SigLog, "without inclusion proof")];
    fails(&verdict(&promised, &logged), &proof, "a promise where an entry is asked for");
    let enough = demanding(&lines("log = \"require\"\nlegacy = [\"promise-only\"]"));
    holds(&verdict(&promised, &enough), "a promise that is enough");
    let stranger = Key::new(KeyKind::P256, "stranger");
    let theirs = stage.world.managed(&stranger, &Request { logs: &[], ..request() }).to_files();
    let theirs = Files { certificates: other.certificates.clone(), ..theirs };
    assert!(!verdict(&theirs, &named).is_pass(), "another key");
}

/// The same bytes have the same signature: that of one file says nothing of another that holds other bytes,
/// though both lie beside it.
#[test]
fn one_signature_beside_several_files() {
    let stage = Stage::new();
    let key = Key::new(KeyKind::P256, "managed");
    let named = demanding(&format!("public_key = '''\n{}'''\n", key.public_pem()));
    let request = Request { content: Content::File(b"b"), logs: &[], ..request() };
    let files = stage.world.managed(&key, &request).to_files();
    let same: &[(&str, &[u8])] = &[("a", b"b"), ("b", b"b")];
    passes(&Held::new(same).beside("b", &files).verdict(&stage, &named), "two of the same bytes");
    let verdict = Held::new(same).beside("a", &files).beside("b", &files).verdict(&stage, &named);
    passes(&verdict, "beside both");
    let other: &[(&str, &[u8])] = &[("a", b"a"), ("b", b"b")];
    let verdict = Held::new(other).beside("a", &files).beside("b", &files).verdict(&stage, &named);
    fails(&verdict, &[(Code::SigInvalid, "signature")], "beside both, of one");
    let mut at_release = Held::new(&other[1..]);
    at_release.piece(DocumentKind::Signature, None, &files.signature);
    let verdict = at_release.verdict(&stage, &named);
    fails(&verdict, &[(Code::ReqMissing, SIGN)], "beside no file");
}

/// A bundle over a file that lies beside another as well by mistake counts for its own.
#[test]
fn one_bundle_beside_several_files() {
    let stage = Stage::new();
    let named = demanding(&holder(Request::default().identity, ""));
    let content = Content::File(b"b");
    let bundle = stage.world.keyless(&Request { content, ..request() }).to_json();
    let held = |files: &[(&'static str, &'static [u8])], beside: &[&str]| {
        let mut held = Held::new(files);
        for path in beside {
            held.piece(DocumentKind::Bundle, Some(path), &bundle);
        }
        held.verdict(&stage, &named)
    };
    let files: &[(&str, &[u8])] = &[("a", b"a"), ("b", b"b"), ("c", b"c")];
    for beside in [&["a", "b"][..], &["b", "c"], &["a", "b", "c"]] {
        let verdict = held(files, beside);
        let accepted: Vec<_> = verdict.artifacts().iter().map(|a| a.accepted.len()).collect();
        assert_eq!(accepted, [0, 1, 0], "{beside:?}");
        assert!(!verdict.is_pass(), "{beside:?}");
    }
    let verdict = held(files, &["a", "c"]);
    assert!(verdict.artifacts().iter().all(|a| a.accepted.is_empty()), "beside others alone");
    passes(&held(&[("a", b"b"), ("b", b"b")], &["a", "b"]), "two of the same bytes");
}

/// Where nothing asks for it, a signature is told and counts for nothing.
#[test]
fn signatures_that_nothing_asks_for_are_told() {
    let stage = Stage::new();
    let files = stage.world.keyless(&request()).to_files();
    let told = |held: Held, policy: &Policy| {
        let verdict = held.verdict(&stage, policy);
        assert!(verdict.is_pass());
        verdict.findings().iter().map(|f| (f.code, f.severity, f.seen.clone())).collect::<Vec<_>>()
    };
    let held = || Held::new(&[("a", FILE)]);
    let found = told(held().beside("a", &files), &under(FILES));
    let unused = |seen: &str| (Code::StmtUnused, Severity::Note, seen.to_owned());
    assert_eq!(found, [unused("a signature over a file")]);
    let lost = Files { entries: vec![], ..files.clone() };
    let found = told(held().beside("a", &lost), &under(FILES));
    assert_eq!((found.len(), found[0].0, found[0].1), (1, Code::SigLog, Severity::Warn));
    let mut alone = held();
    alone.piece(DocumentKind::Certificate, Some("a"), &files.certificates[0]);
    alone.piece(DocumentKind::LogEntry, Some("a"), &files.entries[0]);
    let mut found = told(alone, &under(FILES));
    found.sort_by(|a, b| a.2.cmp(&b.2));
    let expected =
        ["a certificate without signature beside it", "a log's entry without signature beside it"];
    assert_eq!(found, expected.map(unused));
}
