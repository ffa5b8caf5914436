//! Facts of a whole store: what ingest records, and what a rebuild makes anew.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bonded_model::{Digest, Evidence};

use super::{World, name};
use crate::disk::{Action, Disk};
use crate::facts::{BlobFacts, FactsError, RebuildProgress, rebuild};
use crate::sniff::ContentKind;
use crate::{Gathered, Store, StoreError};

/// The beginning of a program for Linux on AMD64.
fn program(bytes: usize) -> Vec<u8> {
    let mut file = vec![0; bytes.max(64)];
    file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    file[16..20].copy_from_slice(&[2, 0, 62, 0]);
    file[20] = 1;
    file[52..56].copy_from_slice(&[64, 0, 56, 0]);
    file
}

/// A small program, one that is streamed, a script and evidence that asks for SHA-512 in one of two
/// releases.
fn world() -> World {
    let world = World::new();
    world.file("small", program(1_000));
    world.file("large", program(3_000_000));
    world.ingest("demo@v1").unwrap();
    world.file("script", "#!/bin/sh\n");
    world.file("SHA512SUMS", format!("{}  script\n", Digest::sha512_of(b"#!/bin/sh\n").hex()));
    fs::remove_file(world.inputs.join("large")).unwrap();
    world.ingest("demo@v2").unwrap();
    world
}

fn all(world: &World) -> BTreeMap<Digest, BlobFacts> {
    let mut found = BTreeMap::new();
    world.store.facts().for_each(&mut |blob, facts| {
        found.insert(*blob, facts.clone());
    });
    assert_eq!(world.store.facts().notice(), None);
    found
}

#[test]
fn ingest_records_what_a_file_is_and_runs_on() {
    let world = world();
    let facts = all(&world);
    let of = |bytes: &[u8]| facts[&Digest::sha256_of(bytes)].clone();
    for bytes in [program(1_000), program(3_000_000)] {
        let of = of(&bytes);
        assert_eq!(of.kind, Some(ContentKind::Elf));
        assert_eq!(of.platform.unwrap().to_string(), "linux/amd64");
    }
    let script = of(b"#!/bin/sh\n");
    assert_eq!((script.kind, script.platform), (Some(ContentKind::Script), None));
    assert_eq!(facts.len(), 3);
    // What was held already is looked at as well.
    world.forget_facts();
    world.ingest("demo@v2").unwrap();
    assert_eq!(all(&world).values().filter(|facts| facts.kind.is_some()).count(), 2);
}

/// The evidence of a release, and how often a blob was read for it.
fn evidence_read(world: &World, blob: &Digest) -> (Gathered, u64) {
    let path = world.store.pool().layout.blob(blob);
    let reads = Arc::new(AtomicU64::new(0));
    let counted = reads.clone();
    let disk = Disk::watched(move |action, on| {
        if action == Action::Read && on == path {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    let gathered = store.snapshot().unwrap().gather(&name("demo@v1")).unwrap();
    (gathered, reads.load(Ordering::Relaxed))
}

/// No more than its beginning, whose bytes nobody has checked: without facts that say the same, what it tells
/// is not kept.
#[test]
fn of_a_large_file_only_the_window_is_read() {
    let world = world();
    let [small, large] = [1_000, 3_000_000].map(|bytes| Digest::sha256_of(&program(bytes)));
    let of_large = |evidence: &Evidence| {
        let mut artifacts = evidence.release.artifacts().iter();
        let artifact = artifacts.find(|artifact| artifact.file.digest == large).unwrap();
        (artifact.kind, artifact.platform.as_ref().map(ToString::to_string))
    };
    let (gathered, reads) = evidence_read(&world, &large);
    assert!(gathered.is_certain);
    let with_facts = of_large(&gathered.evidence);
    assert_eq!(with_facts, (Some(ContentKind::Elf), Some("linux/amd64".into())));
    assert_eq!(reads, 1);
    world.forget_facts();
    for _nothing_is_kept in 0..2 {
        let (gathered, reads) = evidence_read(&world, &large);
        assert_eq!((of_large(&gathered.evidence), reads), (with_facts.clone(), 1));
        assert!(!gathered.is_certain);
        let facts = all(&world);
        assert_eq!(facts.keys().collect::<Vec<_>>(), [&small]);
        assert_eq!(facts[&small].kind, Some(ContentKind::Elf));
    }
}

/// Whoever may write the store could have one file pass for another, or for one of which less is demanded.
#[test]
fn verdicts_are_reached_from_bytes_whatever_the_facts_say() {
    let world = world();
    let gather = |release| world.store.snapshot().unwrap().gather(&name(release)).unwrap();
    let right = ["demo@v1", "demo@v2"].map(gather);
    let before = all(&world);
    let wrong = before.iter().map(|(file, facts)| {
        let (sha512, kind) = (Some(Digest::sha512_of(b"other")), Some(ContentKind::Text));
        (*file, BlobFacts { sha512, kind, platform: None, ..facts.clone() })
    });
    let wrong: BTreeMap<_, _> = wrong.collect();
    world.store.facts().put_many(&wrong);
    for (release, right) in ["demo@v1", "demo@v2"].into_iter().zip(right) {
        let found = gather(release);
        assert_eq!(found.evidence.digest(), right.evidence.digest(), "{release}");
        assert_eq!(found.content(), right.content(), "{release}");
        assert_eq!(found.is_certain, release == "demo@v2");
    }
    // What was read as a whole is put right.
    let large = Digest::sha256_of(&program(3_000_000));
    let mended = before.iter().map(|(file, facts)| (*file, facts.clone()));
    let mended: BTreeMap<_, _> = mended.chain([(large, wrong[&large].clone())]).collect();
    assert_eq!(all(&world), mended);
}

/// What a large file is stands in no digest that is checked when its beginning is read.
#[test]
fn content_is_what_the_bytes_say_now() {
    let world = world();
    let content = || world.store.snapshot().unwrap().content(&name("demo@v1")).unwrap();
    let before = content();
    world.forget_facts();
    assert_eq!(content(), before);
    let large = world.store.pool().layout.blob(&Digest::sha256_of(&program(3_000_000)));
    fs::remove_file(&large).unwrap();
    fs::write(&large, "text").unwrap();
    assert_ne!(content(), before);
    fs::remove_file(&large).unwrap();
    assert!(world.store.snapshot().unwrap().content(&name("demo@v1")).is_err());
}

#[derive(Default)]
struct Counts {
    planned: AtomicU64,
    advanced: AtomicU64,
}

impl RebuildProgress for Counts {
    fn planned(&self, _blobs: usize, bytes: u64) {
        self.planned.store(bytes, Ordering::Relaxed);
    }

    fn advanced(&self, bytes: u64) {
        self.advanced.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn a_rebuild_gives_the_same_facts_again() {
    let world = world();
    let before = all(&world);
    assert_eq!(before.values().filter(|facts| facts.sha512.is_some()).count(), 2);
    // Once over what is there, once over nothing, and once over a foreign record.
    for step in 0..3 {
        match step {
            1 => world.forget_facts(),
            2 => {
                let (_, facts) = before.first_key_value().unwrap();
                let foreign = Digest::sha256_of(b"held by nobody");
                world.store.facts().put_many(&[(foreign, facts.clone())].into());
            }
            _ => {}
        }
        let counts = Counts::default();
        let report = rebuild(&world.store, &counts).unwrap();
        assert_eq!((report.blobs, report.bytes, report.sha512), (3, 3_001_010, 2));
        assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
        let counts = [&counts.planned, &counts.advanced].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [3_001_010, 3_001_010]);
        assert_eq!(all(&world), before, "step {step}");
    }
}

/// Nobody asks for it any more, but somebody did: it is not forgotten.
#[test]
fn a_known_sha512_is_computed_again() {
    let world = World::new();
    world.file("a", "a");
    let release = world.ingest("demo@v1").unwrap().release;
    let file = release.artifacts()[0].file.digest;
    let facts = world.store.facts();
    let known =
        BlobFacts { sha512: Some(Digest::sha512_of(b"wrong")), ..facts.get(&file).unwrap() };
    facts.put_many(&[(file, known)].into());
    assert_eq!(rebuild(&world.store, &()).unwrap().sha512, 1);
    assert_eq!(facts.get(&file).unwrap().sha512, Some(Digest::sha512_of(b"a")));
}

#[test]
fn a_store_without_releases_has_no_facts() {
    let world = World::new();
    let report = rebuild(&world.store, &()).unwrap();
    assert_eq!((report.blobs, report.bytes, report.unreadable.len()), (0, 0, 0));
    assert!(all(&world).is_empty());
}

#[test]
fn what_cannot_be_read_is_reported_and_keeps_nothing_else_back() {
    let world = world();
    let damaged = Digest::sha256_of(b"#!/bin/sh\n");
    let path = world.store.pool().layout.blob(&damaged);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "#!/bin/sh!").unwrap();
    let report = rebuild(&world.store, &()).unwrap();
    assert_eq!(report.blobs, 2);
    let is_it = |error: &StoreError| matches!(error, StoreError::Corrupt { digest, .. } if *digest == damaged);
    assert!(matches!(report.unreadable.as_slice(), [error] if is_it(error)), "{report:?}");
    assert_eq!(all(&world).len(), 2);

    let release = world.store.snapshot().unwrap().release(&name("demo@v2")).unwrap();
    fs::remove_file(world.store.pool().layout.blob(&release.digest())).unwrap();
    let report = rebuild(&world.store, &()).unwrap();
    let [StoreError::MissingBlob { digest, .. }] = report.unreadable.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!((*digest, report.blobs), (release.digest(), 2));
}

#[test]
fn a_rebuild_that_cannot_write_leaves_what_is_there() {
    let world = world();
    let before = all(&world);
    let facts = world.store.pool().layout.facts();
    let count = facts.with_added_extension("count");
    let other = fs::File::open(&count).unwrap();
    other.lock().unwrap();
    let error = rebuild(&world.store, &()).unwrap_err();
    assert!(matches!(error, StoreError::Facts { source: FactsError::InUse, .. }), "{error:?}");
    drop(other);
    let beside = facts.with_added_extension("new");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("x"), "").unwrap();
    if let Err(error) = rebuild(&world.store, &()) {
        assert!(matches!(error, StoreError::Facts { .. }), "{error:?}");
    }
    assert_eq!(all(&world), before);
}
