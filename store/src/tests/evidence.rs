//! Evidence beside artifacts is recognised, matched and attached, or refused.

use std::fs;

use bonded_model::evidence::Subject;
use bonded_model::limits::{DOCUMENT_COUNT_MAX, EVIDENCE_BYTES_MAX, EVIDENCE_TOTAL_BYTES_MAX};
use bonded_model::{Algorithm, Descriptor, Digest, DocumentKind, MediaType, media_type};

use super::vectors::vectors;
use super::{World, name, path};
use crate::ingest::{How, IngestError, Outcome};
use crate::{RecogniseError, StoreError};

pub(super) fn statement(digests: &[Digest]) -> String {
    let subjects: Vec<String> = digests
        .iter()
        .map(|digest| format!(r#"{{"name":"x","digest":{{"sha256":"{}"}}}}"#, digest.hex()))
        .collect();
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{}],"predicateType":"https://example.com/p","predicate":{{}}}}"#,
        subjects.join(",")
    )
}

fn sbom(digest: Digest) -> String {
    format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{{"hashes":[{{"alg":"SHA-256","content":"{}"}}]}}]}}"#,
        digest.hex()
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn evidence_is_attached_by_name_then_by_content() {
    let world = World::new();
    let [a, b, twin] = ["a", "b", "twin"].map(|text| Digest::sha256_of(text.as_bytes()));
    for (file, bytes) in [("a", "a"), ("d/b", "b"), ("t1", "twin"), ("t2", "twin")] {
        world.file(file, bytes);
    }
    let hex = a.hex();
    let artifact = |text: &str| Subject::Artifact(path(text));
    let lines = format!("{}\n{}\n", statement(&[a]), statement(&[b]));
    let table: [(&str, String, DocumentKind, Subject, How); 14] = [
        ("a.intoto.jsonl", statement(&[b]), DocumentKind::Statement, artifact("a"), How::ByName),
        (
            "d/b.spdx",
            "SPDXVersion: SPDX-2.3\n".into(),
            DocumentKind::Spdx,
            artifact("d/b"),
            How::ByName,
        ),
        ("a.cdx.json", sbom(b), DocumentKind::CycloneDx, artifact("a"), How::ByName),
        (
            "a.spdx.json.att.json",
            statement(&[b]),
            DocumentKind::Statement,
            artifact("a"),
            How::ByName,
        ),
        ("a.sha256", hex.clone(), DocumentKind::Checksums, artifact("a"), How::ByName),
        (
            "b.intoto.jsonl",
            statement(&[b]),
            DocumentKind::Statement,
            artifact("d/b"),
            How::ByContent,
        ),
        ("bom.json", sbom(b), DocumentKind::CycloneDx, artifact("d/b"), How::ByContent),
        (
            "provenance.json",
            statement(&[a, b]),
            DocumentKind::Statement,
            Subject::Release,
            How::ByContent,
        ),
        (
            "twins.sigstore",
            statement(&[twin]),
            DocumentKind::Statement,
            Subject::Release,
            How::ByContent,
        ),
        ("several.intoto.jsonl", lines, DocumentKind::Statement, Subject::Release, How::ByContent),
        (
            "SHA256SUMS",
            format!("{hex}  a\n"),
            DocumentKind::Checksums,
            Subject::Release,
            How::ByContent,
        ),
        (
            "d/sha256sum.txt",
            format!("{}  z\n", "0".repeat(64)),
            DocumentKind::Checksums,
            Subject::Release,
            How::Unmatched,
        ),
        (
            "gone.sigstore.json",
            statement(&[Digest::sha256_of(b"gone")]),
            DocumentKind::Statement,
            Subject::Release,
            How::Unmatched,
        ),
        (
            "sbom.json",
            sbom(Digest::sha256_of(b"gone")),
            DocumentKind::CycloneDx,
            Subject::Release,
            How::Unmatched,
        ),
    ];
    for (file, bytes, ..) in &table {
        world.file(file, bytes);
    }
    let report = world.ingest("demo@v1").unwrap();
    assert_eq!(report.files.len(), 4);
    let by_title = |title: &str| {
        let found = report.evidence.iter().find(|d| d.title.as_ref().unwrap().as_str() == title);
        found.unwrap_or_else(|| panic!("{title}"))
    };
    for (title, bytes, kind, subject, how) in &table {
        let document = by_title(title);
        assert_eq!(
            (document.kind, &document.subject, document.how),
            (*kind, subject, *how),
            "{title}"
        );
        assert_eq!(document.digest, Digest::sha256_of(bytes.as_bytes()));
    }
    let snapshot = world.store.snapshot().unwrap();
    let evidence = snapshot.evidence(&name("demo@v1")).unwrap();
    assert_eq!(evidence.documents.len(), table.len());
    let order: Vec<_> = evidence.documents.iter().map(|d| (d.digest, d.subject.clone())).collect();
    assert!(order.is_sorted());
    for document in &evidence.documents {
        assert_eq!(Digest::sha256_of(&document.bytes), document.digest);
        let (title, _, kind, subject, _) =
            table.iter().find(|row| Some(path(row.0)) == document.title).unwrap();
        assert_eq!((document.kind, &document.subject), (*kind, subject), "{title}");
    }
    let manifest = &evidence.release.artifact(&path("d/b")).unwrap().manifest.digest;
    assert_eq!(snapshot.referrers(manifest).unwrap().len(), 3);
    // By the bytes that the statements name: a.intoto.jsonl, a.spdx.json.att.json, b.intoto.jsonl,
    // provenance.json and the JSON lines.
    assert_eq!(snapshot.referrers(&b).unwrap().len(), 5);
    assert!(evidence.release.artifacts().iter().all(|artifact| artifact.sha512.is_none()));
}

#[test]
fn evidence_may_come_later_and_its_name_stays_its_own() {
    let world = World::new();
    let a = Digest::sha256_of(b"a");
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let sidecar = world.file("late/a.intoto.jsonl", statement(&[a]));
    let later = world.ingest_paths("demo@v1", &[&sidecar]).unwrap();
    assert_eq!((later.outcome, later.epoch, later.files.len()), (Outcome::EvidenceAdded, 2, 0));
    let again = world.ingest_paths("demo@v1", &[&sidecar]).unwrap();
    assert_eq!((again.outcome, again.epoch), (Outcome::Unchanged, 2));
    let other = statement(&[a, a]);
    world.file("late/a.intoto.jsonl", &other);
    let error = world.ingest_paths("demo@v1", &[&sidecar]).unwrap_err();
    let IngestError::Store(StoreError::TitleTaken { title, held, given, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(title, path("a.intoto.jsonl"));
    assert_eq!(held, Digest::sha256_of(statement(&[a]).as_bytes()));
    assert_eq!(given, Digest::sha256_of(other.as_bytes()));
}

#[test]
fn evidence_is_no_directory_of_an_artifact_nor_the_other_way_round() {
    for (artifact, document) in [("bom.json/a", "bom.json"), ("a", "a/b/bom.json")] {
        let world = World::new();
        world.file(&format!("x/{artifact}"), b"a");
        world.file("x/bom.json-x", b"b");
        world.file(&format!("y/{document}"), sbom(Digest::sha256_of(b"a")));
        let inputs = [world.inputs.join("x"), world.inputs.join("y")];
        let error = world.ingest_paths("demo@v1", &[&inputs[0], &inputs[1]]).unwrap_err();
        let IngestError::Store(StoreError::FileAndDirectory { title, other, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!((title.as_str(), other.as_str()), (document, artifact));
        assert_eq!(world.store.snapshot().unwrap().epoch(), 0);
    }
}

#[test]
fn evidence_of_one_release_is_none_of_another_with_the_same_file() {
    let world = World::new();
    world.file("a", b"a");
    let sidecar = world.file("a.intoto.jsonl", statement(&[Digest::sha256_of(b"a")]));
    world.ingest("demo@v1").unwrap();
    fs::remove_file(&sidecar).unwrap();
    world.ingest("demo@v2").unwrap();
    let snapshot = world.store.snapshot().unwrap();
    assert_eq!(snapshot.evidence(&name("demo@v1")).unwrap().documents.len(), 1);
    assert!(snapshot.evidence(&name("demo@v2")).unwrap().documents.is_empty());
    world.file("a.intoto.jsonl", statement(&[Digest::sha256_of(b"a"), Digest::sha256_of(b"b")]));
    assert_eq!(world.ingest("demo@v2").unwrap().outcome, Outcome::EvidenceAdded);
}

#[test]
fn sha512_is_known_where_a_checksum_document_asks_for_it() {
    let world = World::new();
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let sums = format!("{}  a\n", Digest::sha512_of(b"a").hex());
    let check = |release: &str| {
        let evidence = world.store.snapshot().unwrap().evidence(&name(release)).unwrap();
        let artifact = evidence.release.artifact(&path("a")).unwrap();
        assert_eq!(artifact.sha512, Some(Digest::sha512_of(b"a")));
        let fact = world.store.facts().get(&artifact.file.digest).unwrap();
        assert_eq!(fact.sha512.map(|digest| digest.algorithm()), Some(Algorithm::Sha512));
        evidence.digest()
    };
    let list = world.file("SHA512SUMS", sums);
    assert_eq!(world.ingest_paths("demo@v1", &[&list]).unwrap().outcome, Outcome::EvidenceAdded);
    let first = check("demo@v1");
    world.forget_facts();
    assert_eq!(check("demo@v1"), first);
    let both = world.ingest("demo@v2").unwrap();
    check("demo@v2");
    let one = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    assert_eq!(one.artifacts(), both.release.artifacts());
}

/// A subject's SHA-512 was compared only if some checksum list happened to name SHA-512 as well: a
/// wrong one passed, and provenance that names nothing else matched no file.
#[test]
fn sha512_is_known_where_a_signed_subject_names_it() {
    use bonded_model::bundle::with_managed_key;
    use bonded_model::dsse::{Envelope, Signature};
    let of = |payload: String| {
        let signatures = vec![Signature { key_id: None, bytes: vec![1] }];
        let payload_type = bonded_model::media_type::IN_TOTO.to_owned();
        let envelope = Envelope { payload_type, payload: payload.into_bytes(), signatures };
        with_managed_key(&envelope, &Digest::sha256_of(b"key"))
    };
    let plain = statement(&[Digest::sha256_of(b"a")]);
    let (more, hex) = (r#"","sha512":""#, Digest::sha512_of(b"b").hex());
    let both = plain.replacen("\"}", &format!("{more}{hex}\"}}"), 1);
    assert!(both.contains(&hex));
    for (payload, expected) in [(plain, None), (both, Some(Digest::sha512_of(b"a")))] {
        let world = World::new();
        world.file("a", b"a");
        world.file("a.intoto.jsonl", of(payload));
        world.ingest("demo@v1").unwrap();
        let evidence = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
        assert_eq!(evidence.documents.len(), 1);
        assert_eq!(evidence.release.artifact(&path("a")).unwrap().sha512, expected);
    }
}

#[test]
fn sha512_alone_tells_what_a_document_is_about() {
    let world = World::new();
    let of = |text: &str| Digest::sha512_of(text.as_bytes());
    let statement = statement(&[of("a")]).replace("sha256", "sha512");
    world.file("a", b"a");
    world.file("b", b"b");
    let sums = world.file("SHA512SUMS", format!("{}  a\n{}  b\n", of("a").hex(), of("b").hex()));
    let provenance = world.file("provenance.json", statement);
    let found = |report: crate::ingest::IngestReport| -> Vec<_> {
        report.evidence.into_iter().map(|document| (document.subject, document.how)).collect()
    };
    let expected =
        [(Subject::Release, How::ByContent), (Subject::Artifact(path("a")), How::ByContent)];
    assert_eq!(found(world.ingest("demo@v1").unwrap()), expected);
    let later = world.ingest_paths("demo@v1", &[&sums, &provenance]).unwrap();
    assert_eq!(later.outcome, Outcome::Unchanged);
    assert_eq!(found(later), expected);
}

#[test]
fn names_that_promise_evidence_must_keep_it() {
    let good = statement(&[Digest::sha256_of(b"a")]);
    let deep = "[".repeat(100);
    let many = format!("{good}\n").repeat(1025);
    let lines = format!("{good}\n\n{{}}\n");
    type Check = fn(&RecogniseError) -> bool;
    let table: [(&str, &str, Check); 13] = [
        ("a.sigstore.json", "", |e| matches!(e, RecogniseError::Json(_))),
        ("a.sigstore", "hello", |e| matches!(e, RecogniseError::Json(_))),
        ("a.intoto.jsonl", "{}", |e| matches!(e, RecogniseError::Unknown)),
        ("a.slsa", "[]", |e| matches!(e, RecogniseError::Json(_))),
        ("a.build.slsa", &deep, |e| matches!(e, RecogniseError::Json(_))),
        ("a.att.json", r#"{"_type":"x"}"#, |e| matches!(e, RecogniseError::Statement(_))),
        (
            "a.att.jsonl",
            r#"{"payload":"!","payloadType":"t","signatures":[{"sig":"AA=="}]}"#,
            |e| matches!(e, RecogniseError::Envelope(_)),
        ),
        (
            "provenance.json",
            r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{}}"#,
            |e| matches!(e, RecogniseError::Bundle { .. }),
        ),
        ("b.intoto.jsonl", &lines, |e| matches!(e, RecogniseError::Line { line: 3, .. })),
        ("c.intoto.jsonl", &many, |e| matches!(e, RecogniseError::TooManyLines)),
        ("a.spdx.json", "{}", |e| matches!(e, RecogniseError::Sbom(_))),
        ("bom.json", &good, |e| matches!(e, RecogniseError::Sbom(_))),
        ("SHA256SUMS", "hello", |e| matches!(e, RecogniseError::Checksums(_))),
    ];
    for (file, content, is_right) in table {
        let world = World::new();
        world.file("a", b"a");
        let sidecar = world.file(file, content);
        let error = world.ingest("demo@v1").unwrap_err();
        let IngestError::Evidence { path, source, .. } = error else { panic!("{file}: {error}") };
        assert_eq!(path, sidecar.canonicalize().unwrap());
        assert!(is_right(&source), "{file}: {source:?}");
        assert!(world.store.snapshot().unwrap().releases().unwrap().is_empty());
    }
}

#[test]
fn a_huge_sidecar_is_refused_by_its_length() {
    let world = World::new();
    world.file("a", b"a");
    let sidecar = world.file("a.sigstore.json", b"");
    fs::File::options().write(true).open(&sidecar).unwrap().set_len(3 << 30).unwrap();
    let error = world.ingest("demo@v1").unwrap_err();
    assert!(
        matches!(error, IngestError::EvidenceTooLarge { bytes, .. } if bytes == 3 << 30),
        "{error}"
    );
}

#[test]
fn evidence_is_counted_before_it_is_read() {
    let world = World::new();
    world.file("a", b"a");
    let sparse = |number: u64| {
        let file = fs::File::create(world.inputs.join(format!("{number}.sigstore.json"))).unwrap();
        file.set_len(EVIDENCE_BYTES_MAX).unwrap();
    };
    let count = EVIDENCE_TOTAL_BYTES_MAX / EVIDENCE_BYTES_MAX + 1;
    (0..count).for_each(sparse);
    let error = world.ingest("demo@v1").unwrap_err();
    let expected = count * EVIDENCE_BYTES_MAX;
    assert!(
        matches!(
            error,
            IngestError::Store(StoreError::TooMuchEvidence { bytes, .. }) if bytes == expected
        ),
        "{error}"
    );
    let world = World::in_memory();
    world.file("a", b"a");
    for number in 0..=DOCUMENT_COUNT_MAX {
        fs::File::create(world.inputs.join(format!("{number}.sigstore.json"))).unwrap();
    }
    let error = world.ingest("demo@v1").unwrap_err();
    assert!(
        matches!(
            error,
            IngestError::Store(StoreError::TooManyDocuments { count, .. })
                if count == DOCUMENT_COUNT_MAX + 1
        ),
        "{error}"
    );
}

#[test]
fn real_provenance_is_matched_by_digest() {
    let Some(vectors) = vectors("slsa/gha_generic/v2.1.0") else { return };
    let world = World::new();
    let artifact = vectors.join("binary-linux-amd64-push-v14.2");
    let sidecar = |of: &str| vectors.join(format!("binary-linux-amd64-{of}.intoto.jsonl"));
    let (own, other) = (sidecar("push-v14.2"), sidecar("push-v14"));
    let report = world.ingest_paths("demo@v14.2", &[&artifact, &own, &other]).unwrap();
    let subject = Subject::Artifact(path("binary-linux-amd64-push-v14.2"));
    let how: Vec<_> = report
        .evidence
        .iter()
        .map(|document| (document.kind, document.subject.clone(), document.how))
        .collect();
    let expected =
        [How::ByName, How::ByContent].map(|how| (DocumentKind::Bundle, subject.clone(), how));
    assert_eq!(how, expected);

    // All four at once hold the same bytes under four names: each goes by its name.
    let report = world.ingest_paths("demo@all", &[&vectors]).unwrap();
    assert!(report.evidence.iter().all(|document| document.how == How::ByName));
    assert_eq!((report.files.len(), report.evidence.len()), (4, 4));
    let Some(container) = self::vectors("slsa/gha_container-based/v2.1.0") else { return };
    let report = world.ingest_paths("demo@container", &[&container]).unwrap();
    assert!(report.files.iter().all(|file| file.size == 0));
    assert!(report.evidence.iter().all(|document| document.how == How::ByName));
}

#[test]
fn every_real_sidecar_is_recognised() {
    let Some(slsa) = vectors("slsa") else { return };
    for (folder, files, documents) in
        [("bcr", 3, 3), ("gha_delegator/v1.9.0", 4, 4), ("gha_delegator/v2.1.0", 4, 4)]
    {
        let report = World::new().ingest_paths("demo@v1", &[&slsa.join(folder)]).unwrap();
        assert_eq!((report.files.len(), report.evidence.len()), (files, documents), "{folder}");
    }
    let Some(kubernetes) = vectors("kubernetes") else { return };
    let world = World::new();
    world.file("a", b"a");
    let report = world.ingest_paths("demo@v1", &[&world.inputs, &kubernetes]).unwrap();
    assert_eq!(report.evidence[0].kind, DocumentKind::Statement);
}

#[test]
fn what_is_evidence_as_it_is_counts_like_the_rest() {
    let world = World::in_memory();
    world.file("a", "a");
    let release = world.ingest("demo@v1").unwrap().release;
    let referrer = |text: &[u8]| Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), text);
    let mut writer = world.store.lock(super::WAIT, &super::holder(), &mut |_| {}).unwrap();
    let as_is = |text, bytes| crate::attach::AsItIs {
        referrer: referrer(text),
        about: release.digest(),
        bytes,
    };
    let most = EVIDENCE_TOTAL_BYTES_MAX;
    let all = [as_is(b"1", most), as_is(b"2", 1)];
    let error = crate::attach::add_documents(&mut writer, &release, &[], &all).unwrap_err();
    assert!(matches!(error, StoreError::TooMuchEvidence { bytes, .. } if bytes == most + 1));
    // The same one twice is one.
    let twice = [all[0].clone(), all[0].clone()];
    crate::attach::add_documents(&mut writer, &release, &[], &twice).unwrap();
}
