//! A crash or a full disk at every changing call leaves the old state or the new one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bonded_model::Digest;

use super::{World, ingest_into, memory_directory, name};
use crate::disk::Disk;
use crate::disk::crash::Failure;
use crate::ingest::{IngestError, Outcome};
use crate::{IndexState, Store};

fn open_failing(path: &Path, at: u64, how: Failure) -> (Store, Disk) {
    let disk = Disk::failing(at, how);
    (Store::open_on(path, disk.clone()).unwrap(), disk)
}

/// Everything that a reader relies on: each release whole, each blob its name.
fn check_whole(store: &Store, releases: &[&str]) {
    let snapshot = store.snapshot().unwrap();
    let names: Vec<_> = releases.iter().map(|text| name(text)).collect();
    assert_eq!(snapshot.releases().unwrap(), names);
    for name in &names {
        let evidence = snapshot.evidence(name).unwrap();
        assert_eq!(evidence.documents.len(), 1);
        for artifact in evidence.release.artifacts() {
            snapshot.verify_blob(&artifact.file).unwrap();
        }
    }
    let blobs = store.directory().join("blobs/sha256");
    for blob in fs::read_dir(blobs).unwrap() {
        let path = blob.unwrap().path();
        let digest = Digest::sha256_of(&fs::read(&path).unwrap());
        assert_eq!(path.file_name().unwrap().to_str(), Some(digest.hex().as_str()));
    }
}

fn world() -> World {
    let world = World::in_memory();
    world.file("old", b"old");
    world.file("SHA256SUMS", format!("{}  old\n", Digest::sha256_of(b"old").hex()));
    world.ingest("demo@v1").unwrap();
    world.file("new", vec![7; 1_200_000]);
    for number in 0..12 {
        world.file(&format!("many/{number}"), format!("{number}"));
    }
    world
}

/// Fails the ingest of a second release at every call, and returns at how many.
fn fail_everywhere(how: Failure, check: impl Fn(&World, Result<(), IngestError>, u64)) -> u64 {
    for at in 1.. {
        let world = world();
        let (failing, disk) = open_failing(&world.store_path, at, how);
        let result = ingest_into(&failing, "demo@v2", &[&world.inputs]).map(drop);
        drop(failing);
        let reached = disk.calls() >= at;
        check(&world, result, at);
        let again = world.ingest("demo@v2").unwrap();
        assert_ne!(again.outcome, Outcome::EvidenceAdded);
        check_whole(&world.store, &["demo@v1", "demo@v2"]);
        assert_eq!(world.store.index_state().unwrap(), IndexState::Current);
        assert_eq!(fs::read_dir(world.store_path.join("bonded/staging")).unwrap().count(), 0);
        if !reached {
            return at - 1;
        }
    }
    unreachable!("the calls of an ingest have an end")
}

#[test]
fn a_crash_at_every_call_shows_the_old_state_or_the_new() {
    let calls = fail_everywhere(Failure::Crash, |world, result, at| {
        let epoch = world.store.snapshot().unwrap().epoch();
        match epoch {
            1 => {
                assert!(result.is_err(), "acknowledged and lost at {at}");
                check_whole(&world.store, &["demo@v1"]);
            }
            2 => check_whole(&world.store, &["demo@v1", "demo@v2"]),
            other => panic!("epoch {other}"),
        }
    });
    assert!(calls > 40, "{calls}");
}

#[test]
fn a_full_disk_at_every_call_loses_nothing() {
    let mut errors = BTreeSet::new();
    let seen = std::sync::Mutex::new(&mut errors);
    fail_everywhere(Failure::NoSpaceOnce, |world, result, _| {
        if let Err(error) = result {
            let fault = error.disk().map(|disk| format!("{:?}", disk.fault()));
            seen.lock().unwrap().insert(fault);
        }
        let snapshot = world.store.snapshot().unwrap();
        let all = ["demo@v1", "demo@v2"];
        check_whole(&world.store, all.get(..snapshot.releases().unwrap().len()).unwrap());
    });
    assert_eq!(errors, BTreeSet::from([Some("NoSpace".to_owned())]));
}

#[test]
fn making_a_store_can_be_cut_short_and_finished() {
    for at in 1.. {
        let directory = memory_directory();
        let path = directory.path().join("store");
        let disk = Disk::failing(at, Failure::Crash);
        let made = Store::init_on(&path, disk.clone());
        if disk.calls() < at {
            assert_eq!(made.unwrap().snapshot().unwrap().epoch(), 0);
            return;
        }
        let store =
            Store::init(&path).or_else(|_made_before_the_crash| Store::open(&path)).unwrap();
        assert_eq!(store.snapshot().unwrap().epoch(), 0);
        assert_eq!(store.index_state().unwrap(), IndexState::Current);
    }
}

#[test]
fn what_a_dead_writer_left_is_cleared_away() {
    let world = World::new();
    world.file("a", b"a");
    for leftover in ["12-0", "replacement"] {
        fs::write(world.store_path.join("bonded/staging").join(leftover), "half").unwrap();
    }
    world.ingest("demo@v1").unwrap();
    assert_eq!(fs::read_dir(world.store_path.join("bonded/staging")).unwrap().count(), 0);
}
