//! What stands for the evidence of a release changes when the evidence does, and costs no look at it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use bonded_model::evidence::Subject;
use bonded_model::statement::{Statement, Subject as Named};
use bonded_model::vsa::SUMMARY_V1;
use bonded_model::{Digest, DocumentKind, MediaType, media_type};

use super::{World, holder, name, spdx};
use crate::disk::{Action, Disk};
use crate::{AttachRequest, NewDocument, Papers, Store, attach};

fn hold(world: &World, release: &str, document: NewDocument<'_>) {
    let request = AttachRequest {
        release: &name(release),
        subject: &Subject::Release,
        documents: &[document],
        holder: &holder(),
        wait: super::WAIT,
    };
    attach(&world.store, &request, &mut |_| {}).unwrap();
}

fn statement<'a>(bytes: &'a [u8], hint: Option<&'a str>) -> NewDocument<'a> {
    NewDocument {
        kind: DocumentKind::Statement,
        media_type: MediaType::known(media_type::IN_TOTO),
        predicate_type: hint,
        ..spdx(bytes)
    }
}

fn summary() -> Vec<u8> {
    let subject = Named::new("x", Digest::sha256_of(b"x"));
    Statement::new(vec![subject], SUMMARY_V1, &"").to_bytes()
}

fn papers(world: &World) -> Papers {
    world.store.snapshot().unwrap().papers(&name("demo@v1")).unwrap().unwrap()
}

fn evidence(world: &World) -> Digest {
    world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap().digest()
}

#[test]
fn they_change_with_the_evidence_and_with_nothing_else() {
    let world = World::new();
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    world.file("b", b"b");
    world.ingest("demo@v2").unwrap();
    let summary = summary();
    let same = [
        ("demo@v1", statement(&summary, Some(SUMMARY_V1))),
        ("demo@v2", spdx(b"SPDXVersion: SPDX-2.3\n")),
    ];
    let (before, looked_at) = (papers(&world), evidence(&world));
    for (release, document) in same {
        hold(&world, release, document);
        assert_eq!((papers(&world).digest, evidence(&world)), (before.digest, looked_at));
    }
    assert_eq!(papers(&world).summaries, std::slice::from_ref(&summary));
    let other = [
        spdx(b"SPDXVersion: SPDX-2.3\n"),
        statement(b"{}", None),
        // It says that it is a summary, and is none; it is one, and does not say so.
        statement(b"[]", Some(SUMMARY_V1)),
        statement(&summary, None),
    ];
    let mut seen = BTreeSet::from([before.digest]);
    let mut looked_at = BTreeSet::from([looked_at]);
    for document in other {
        hold(&world, "demo@v1", document);
        assert!(seen.insert(papers(&world).digest));
        assert!(looked_at.insert(evidence(&world)));
    }
    assert_eq!(papers(&world).summaries, [summary]);
    let snapshot = world.store.snapshot().unwrap();
    assert_ne!(snapshot.papers(&name("demo@v2")).unwrap().unwrap().digest, papers(&world).digest);
    assert_eq!(snapshot.papers(&name("demo@v3")).unwrap(), None);
}

/// Neither the index nor a manifest, a file or a document: pages of the catalog and summaries alone.
#[test]
fn they_are_told_without_reading_what_they_stand_for() {
    let world = World::new();
    world.file("a", b"a");
    let release = world.ingest("demo@v1").unwrap().release;
    hold(&world, "demo@v1", spdx(b"SPDXVersion: SPDX-2.3\n"));
    let summary = summary();
    hold(&world, "demo@v1", statement(&summary, Some(SUMMARY_V1)));
    let expected = papers(&world);
    let read = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = read.clone();
    let disk = Disk::watched(move |action, on| {
        if action == Action::Read {
            seen.lock().unwrap().insert(on.to_owned());
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.papers(&name("demo@v1")).unwrap(), Some(expected.clone()));
    let layout = &world.store.pool().layout;
    let read = read.lock().unwrap().clone();
    assert!(read.contains(&layout.blob(&Digest::sha256_of(&summary))));
    let own = release.artifacts()[0].manifest.digest;
    for blob in [release.digest(), own, release.artifacts()[0].file.digest] {
        assert!(!read.contains(&layout.blob(&blob)), "{blob}");
        fs::remove_file(layout.blob(&blob)).unwrap();
    }
    assert_eq!(papers(&world), expected);
    assert!(snapshot.evidence(&name("demo@v1")).is_err());
}

#[test]
fn a_summary_that_is_gone_is_told() {
    let world = World::new();
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let summary = summary();
    hold(&world, "demo@v1", statement(&summary, Some(SUMMARY_V1)));
    fs::remove_file(world.store.pool().layout.blob(&Digest::sha256_of(&summary))).unwrap();
    assert!(world.store.snapshot().unwrap().papers(&name("demo@v1")).is_err());
}
