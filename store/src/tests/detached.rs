//! Detached signatures and what lies beside them: evidence by name and content, and artifacts otherwise.

use bonded_model::evidence::Subject;
use bonded_model::limits::DETACHED_BYTES_MAX;
use bonded_model::{DocumentKind, media_type};

use super::{World, name, path};
use crate::ingest::{How, IngestError, Outcome};
use crate::recognise::{Expected, RecogniseError, recognise};

/// 64 bytes that are no text.
const SIGNATURE: &str =
    "paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpQ==";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
/// The same in base64.
const BASE64: &str =
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
const ENTRY: &str = r#"{"24296fb24b8ad77a": {"body": "", "verification": {}}}"#;

/// What becomes of files: the artifacts, and the evidence.
#[track_caller]
fn check(files: &[(&str, &str)], artifacts: &[&str], evidence: &[(&str, DocumentKind)]) {
    let world = World::new();
    files.iter().for_each(|(file, bytes)| drop(world.file(file, bytes)));
    let report = world.ingest("demo@v1").unwrap();
    let found: Vec<_> = report.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(found, artifacts, "{files:?}");
    let found: Vec<_> = report
        .evidence
        .iter()
        .map(|document| (document.title.as_ref().unwrap().as_str(), document.kind))
        .collect();
    assert_eq!(found, evidence, "{files:?}");
    assert!(report.evidence.iter().all(|document| document.how == How::ByName));
    let held = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
    for (title, kind) in evidence {
        let document = held.documents.iter().find(|d| d.title == Some(path(title))).unwrap();
        let (_, bytes) = files.iter().find(|(file, _)| file == title).unwrap();
        assert_eq!((document.kind, &*document.bytes), (*kind, bytes.as_bytes()), "{title}");
    }
    assert_eq!(world.ingest("demo@v1").unwrap().outcome, Outcome::Unchanged, "{files:?}");
}

const SIGNED: DocumentKind = DocumentKind::Signature;
const CERTIFIED: DocumentKind = DocumentKind::Certificate;
const LOGGED: DocumentKind = DocumentKind::LogEntry;

#[test]
fn pieces_beside_an_artifact_are_its_evidence() {
    let sig = ("d/a.sig", SIGNATURE);
    let a = ("d/a", "a");
    check(&[a, sig], &["d/a"], &[("d/a.sig", SIGNED)]);
    for certificate in ["d/a.cert", "d/a.crt", "d/a.pem"] {
        for text in [PEM, BASE64] {
            for entry in ["d/a.rekor", "d/a.rekor.json"] {
                let mut expected = [(certificate, CERTIFIED), (entry, LOGGED), ("d/a.sig", SIGNED)];
                expected.sort();
                check(&[a, sig, (certificate, text), (entry, ENTRY)], &["d/a"], &expected);
            }
        }
    }
    // Of two, whoever verifies tries both.
    let two = [("d/a.cert", PEM), ("d/a.pem", BASE64)];
    let expected = [("d/a.cert", CERTIFIED), ("d/a.pem", CERTIFIED), ("d/a.sig", SIGNED)];
    check(&[a, sig, two[0], two[1]], &["d/a"], &expected);
    check(&[a, sig, ("d/a.cert", PEM)], &["d/a"], &[("d/a.cert", CERTIFIED), ("d/a.sig", SIGNED)]);
    check(&[a, ("d/a.SIG", SIGNATURE)], &["d/a"], &[("d/a.SIG", SIGNED)]);
    check(&[a, ("d/a.rekor.json", ENTRY)], &["d/a"], &[("d/a.rekor.json", LOGGED)]);
}

#[test]
fn what_belongs_to_nothing_or_is_something_else_stays_an_artifact() {
    let (a, sig) = (("a", "a"), ("a.sig", SIGNATURE));
    for file in [
        ("b.sig", SIGNATURE),
        ("d/a.sig", SIGNATURE),
        ("A.sig", SIGNATURE),
        ("a.sig", "-----BEGIN PGP SIGNATURE-----\n"),
        ("a.sig", "untrusted comment: of another program\nRWQ=\n"),
        ("a.sig", ""),
        ("a.asc", SIGNATURE),
        ("a.cert", PEM),
        ("a.cert", "DER"),
        ("a.crt", PEM),
        ("b.rekor", ENTRY),
        ("b.rekor.json", "not even JSON"),
    ] {
        let mut artifacts = ["a", file.0];
        artifacts.sort_unstable();
        check(&[a, file], &artifacts, &[]);
    }
    for file in [
        ("a.pem", "-----BEGIN PUBLIC KEY-----"),
        ("a.crt", "DER"),
        ("b.cert", PEM),
        // Goods that are certificates: nothing beside them tells that the signature is by one.
        ("a.pem", PEM),
        ("a.crt", BASE64),
    ] {
        check(&[a, sig, file], &["a", file.0], &[("a.sig", SIGNED)]);
    }
    let (entry, ours) = (("b.rekor", ENTRY), ("a.pem", PEM));
    check(
        &[a, sig, ours, ("b", "b"), entry],
        &["a", "a.pem", "b"],
        &[("a.sig", SIGNED), ("b.rekor", LOGGED)],
    );
    for file in [("a.pem", "-----BEGIN PUBLIC KEY-----"), ("a.crt", "DER")] {
        let expected = [("a.rekor", LOGGED), ("a.sig", SIGNED)];
        check(&[a, sig, file, ("a.rekor", ENTRY)], &["a", file.0], &expected);
    }
    let long = format!("{PEM}{}", "\n".repeat(usize::try_from(DETACHED_BYTES_MAX).unwrap()));
    check(&[a, sig, ("a.pem", &long)], &["a", "a.pem"], &[("a.sig", SIGNED)]);
    // Signatures of evidence belong to no artifact; what is signed itself is none's evidence.
    check(&[a, sig, ("a.sig.sig", SIGNATURE)], &["a", "a.sig.sig"], &[("a.sig", SIGNED)]);
    let signed = [("a.cert", PEM), ("a.cert.sig", SIGNATURE)];
    let expected = [("a.cert.sig", SIGNED), ("a.sig", SIGNED)];
    check(&[a, sig, signed[0], signed[1]], &["a", "a.cert"], &expected);
}

#[test]
fn names_that_nobody_else_gives_have_to_hold_what_they_say() {
    let long = format!("{ENTRY}{}", " ".repeat(usize::try_from(DETACHED_BYTES_MAX).unwrap()));
    for (file, text) in [
        ("a.cert", "DER"),
        ("a.cert", "-----BEGIN PUBLIC KEY-----"),
        ("a.rekor", "[]"),
        ("a.rekor.json", "{"),
        ("a.rekor.json", "{\"a\":1,\"a\":2}"),
        ("a.rekor.json", &long),
    ] {
        let world = World::new();
        let files = [("a", "a"), ("a.sig", SIGNATURE), (file, text)];
        files.iter().for_each(|(file, bytes)| drop(world.file(file, bytes)));
        let error = world.ingest("demo@v1").unwrap_err();
        match error {
            IngestError::Evidence { path, .. } => assert!(path.ends_with(file) && text != long),
            IngestError::EvidenceTooLarge { path, .. } => {
                assert!(path.ends_with(file) && text == long)
            }
            other => panic!("{file}: {other}"),
        }
        assert_eq!(world.store.snapshot().unwrap().epoch(), 0);
    }
    let wrong = recognise(Expected::Signature, b"x");
    assert!(matches!(wrong, Err(RecogniseError::Signature)), "{wrong:?}");
    let wrong = recognise(Expected::Certificate, b"x");
    assert!(matches!(wrong, Err(RecogniseError::Certificate)), "{wrong:?}");
    for text in [
        "[]",
        "{}",
        "\"body verification\"",
        r#"{"code":404,"message":"entry not found"}"#,
        r#"{"body":""}"#,
        r#"{"a":{"body":""}}"#,
        r#"{"a":{"b":{"body":"","verification":{}}}}"#,
        r#"{"a":{"body":"","verification":{}},"b":{"body":"","verification":{}}}"#,
        r#"{"Payload":{}}"#,
        r#"{"a":{"SignedEntryTimestamp":"","Payload":{}}}"#,
    ] {
        let wrong = recognise(Expected::LogEntry, text.as_bytes());
        assert!(matches!(wrong, Err(RecogniseError::LogEntry)), "{text}: {wrong:?}");
    }
    for text in [
        ENTRY,
        r#"{"body":"","verification":{},"more":1}"#,
        r#"{"SignedEntryTimestamp":"","Payload":{}}"#,
    ] {
        let found = recognise(Expected::LogEntry, text.as_bytes());
        assert_eq!(found.unwrap().kind, LOGGED, "{text}");
    }
}

#[test]
fn an_entry_may_come_later() {
    let world = World::new();
    let files = [("d/a", "a"), ("d/a.sig", SIGNATURE), ("d/a.cert", PEM)];
    files.iter().for_each(|(file, bytes)| drop(world.file(file, bytes)));
    world.ingest("demo@v1").unwrap();
    world.file("later/d/a.rekor.json", ENTRY);
    let later = world.ingest_paths("demo@v1", &[&world.inputs.join("later")]).unwrap();
    assert_eq!((later.outcome, later.files.len()), (Outcome::EvidenceAdded, 0));
    assert_eq!(later.evidence[0].subject, Subject::Artifact(path("d/a")));
    let held = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
    let found: Vec<_> =
        held.documents.iter().map(|document| document.media_type.as_str()).collect();
    assert_eq!(found.len(), 3);
    assert!(found.contains(&media_type::DETACHED_LOG_ENTRY));
}

#[test]
fn a_certificate_may_come_later() {
    for (before, now) in [
        (&["d/a", "d/a.sig"][..], &["d/a.cert"][..]),
        (&["d/a", "d/a.sig"], &["d/a.crt", "d/a.rekor"]),
        (&["d/a", "d/a.sig", "d/a.rekor"], &["d/a.pem"]),
        (&["d/a", "d/a.sig", "d/a.cert"], &["d/a.pem"]),
    ] {
        let world = World::new();
        let text = |name: &str| match name.rsplit_once('.') {
            None => "a",
            Some((_, "sig")) => SIGNATURE,
            Some((_, "rekor")) => ENTRY,
            Some((_, "cert")) => BASE64,
            _ => PEM,
        };
        before.iter().for_each(|name| drop(world.file(name, text(name))));
        world.ingest("demo@v1").unwrap();
        now.iter().for_each(|name| drop(world.file(&format!("later/{name}"), text(name))));
        let later = || world.ingest_paths("demo@v1", &[&world.inputs.join("later")]).unwrap();
        let report = later();
        assert_eq!((report.outcome, report.files.len()), (Outcome::EvidenceAdded, 0), "{now:?}");
        assert_eq!(report.evidence.len(), now.len(), "{now:?}");
        let about = Subject::Artifact(path("d/a"));
        assert!(report.evidence.iter().all(|document| document.subject == about), "{now:?}");
        assert_eq!(later().outcome, Outcome::Unchanged, "{now:?}");
    }
}

/// What comes later and is no piece is another release, as ever.
#[test]
fn goods_that_come_later_are_refused() {
    for (before, now) in [
        (&["d/a"][..], "d/a.cert"),
        (&["d/a", "d/a.sig"], "d/a.pem"),
        (&["d/a", "d/a.sig"], "d/b.cert"),
        (&["d/a", "d/a.sig"], "a.cert"),
    ] {
        let world = World::new();
        let text = |name: &str| if name.ends_with(".sig") { SIGNATURE } else { PEM };
        before.iter().for_each(|name| drop(world.file(name, text(name))));
        world.ingest("demo@v1").unwrap();
        world.file(&format!("later/{now}"), PEM);
        let later = world.ingest_paths("demo@v1", &[&world.inputs.join("later")]);
        assert!(matches!(later, Err(IngestError::OtherRelease { .. })), "{now}: {later:?}");
    }
}

/// What was taken in as an artifact stays one, whatever its name.
#[test]
fn an_artifact_of_the_release_is_no_evidence_of_it() {
    let world = World::new();
    world.file("a.sig", SIGNATURE);
    world.file("a.rekor", "no JSON");
    world.ingest("demo@v1").unwrap();
    let report = world.ingest("demo@v1").unwrap();
    assert_eq!((report.outcome, report.files.len()), (Outcome::Unchanged, 2));
    world.file("a", "a");
    let error = world.ingest("demo@v1").unwrap_err();
    assert!(matches!(error, IngestError::OtherRelease { .. }), "{error}");
}
