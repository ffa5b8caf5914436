//! A kill, a power loss or a full disk at every changing call leaves the old state or the new one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bonded_model::Digest;

use super::{World, holder, ingest_into, memory_directory, name};
use crate::disk::crash::Failure;
use crate::disk::{Action, Disk};
use crate::hashing::Sha512Wanted;
use crate::ingest::{IngestError, Outcome};
use crate::stage::Threads;
use crate::{IndexState, Store, StoreError};

fn open_failing(path: &Path, at: u64, how: Failure) -> (Store, Disk) {
    let disk = Disk::failing(at, how);
    (Store::open_on(path, disk.clone()).unwrap(), disk)
}

const OLD: [&str; 1] = ["demo@v1"];
const BOTH: [&str; 2] = ["demo@v1", "demo@v2"];

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

/// With few other files each is synced by itself, with many the file system is synced as a whole.
fn world(many: usize) -> World {
    let world = World::in_memory();
    world.file("old", b"old");
    world.file("SHA256SUMS", format!("{}  old\n", Digest::sha256_of(b"old").hex()));
    world.ingest("demo@v1").unwrap();
    world.file("new", vec![7; 1_200_000]);
    for number in 0..many {
        world.file(&format!("many/{number}"), format!("{number}"));
    }
    world
}

/// Fails the ingest of a second release at every call, and returns at how many.
fn fail_everywhere(
    many: usize,
    how: Failure,
    check: impl Fn(&World, &Disk, Result<(), IngestError>),
) -> u64 {
    for at in 1.. {
        let world = world(many);
        let (failing, disk) = open_failing(&world.store_path, at, how);
        let result = ingest_into(&failing, "demo@v2", &[&world.inputs]).map(drop);
        drop(failing);
        let reached = disk.calls() >= at;
        check(&world, &disk, result);
        let again = world.ingest("demo@v2").unwrap();
        assert_ne!(again.outcome, Outcome::EvidenceAdded);
        check_whole(&world.store, &BOTH);
        assert_eq!(world.store.index_state().unwrap(), IndexState::Current);
        assert_eq!(fs::read_dir(world.store_path.join("bonded/staging")).unwrap().count(), 0);
        if !reached {
            return at - 1;
        }
    }
    unreachable!("the calls of an ingest have an end")
}

fn check_old_or_new(world: &World, result: &Result<(), IngestError>) {
    match world.store.snapshot().unwrap().epoch() {
        1 => {
            assert!(result.is_err(), "acknowledged and lost");
            check_whole(&world.store, &OLD);
        }
        2 => check_whole(&world.store, &BOTH),
        other => panic!("epoch {other}"),
    }
}

#[test]
fn a_kill_at_every_call_shows_the_old_state_or_the_new() {
    let calls = fail_everywhere(12, Failure::Crash, |world, _, result| {
        check_old_or_new(world, &result);
    });
    assert!(calls > 40, "{calls}");
}

#[test]
fn a_power_loss_at_every_call_shows_the_old_state_or_the_new() {
    for many in [0, 12] {
        fail_everywhere(many, Failure::Crash, |world, disk, result| {
            disk.lose_power();
            check_old_or_new(world, &result);
        });
    }
}

#[test]
fn what_is_acknowledged_after_a_kill_survives_a_power_loss() {
    for many in [0, 12] {
        fail_everywhere(many, Failure::Crash, |world, disk, _| {
            let next = Store::open_on(&world.store_path, disk.restarted()).unwrap();
            ingest_into(&next, "demo@v2", &[&world.inputs]).unwrap();
            disk.lose_power();
            check_whole(&world.store, &BOTH);
        });
    }
}

#[test]
fn a_full_disk_at_every_call_loses_nothing() {
    let mut errors = BTreeSet::new();
    let seen = std::sync::Mutex::new(&mut errors);
    fail_everywhere(12, Failure::NoSpaceOnce, |world, _, result| {
        let releases = world.store.snapshot().unwrap().releases().unwrap().len();
        assert!(result.is_err() || releases == 2, "acknowledged and lost");
        if let Err(error) = result {
            let fault = error.disk().map(|disk| format!("{:?}", disk.fault()));
            seen.lock().unwrap().insert(fault);
        }
        check_whole(&world.store, BOTH.get(..releases).unwrap());
    });
    assert_eq!(errors, BTreeSet::from([Some("NoSpace".to_owned())]));
}

#[test]
fn a_blob_found_in_place_is_made_durable_too() {
    for count in [1, 20] {
        let world = World::in_memory();
        let disk = Disk::failing(u64::MAX, Failure::Crash);
        for number in 0..count {
            world.file(&format!("{number}"), format!("{number}"));
            // As another OCI tool leaves it.
            let digest = Digest::sha256_of(format!("{number}").as_bytes());
            let blob = world.store_path.join("blobs/sha256").join(digest.hex());
            let foreign = disk.create(&blob, 0o644).unwrap();
            foreign.write_all(format!("{number}").as_bytes()).unwrap();
        }
        let store = Store::open_on(&world.store_path, disk.clone()).unwrap();
        let release = ingest_into(&store, "demo@v1", &[&world.inputs]).unwrap().release;
        disk.lose_power();
        let snapshot = world.store.snapshot().unwrap();
        for artifact in release.artifacts() {
            snapshot.verify_blob(&artifact.file).unwrap();
        }
    }
}

#[test]
fn making_a_store_can_be_cut_short_and_finished() {
    for at in 1.. {
        for loses_power in [false, true] {
            let directory = memory_directory();
            let path = directory.path().join("store");
            let disk = Disk::failing(at, Failure::Crash);
            let made = Store::init_on(&path, disk.clone(), Duration::ZERO);
            if loses_power {
                disk.lose_power();
            }
            if disk.calls() < at {
                assert_eq!(made.unwrap().snapshot().unwrap().epoch(), 0);
                if loses_power {
                    return;
                }
                continue;
            }
            let store =
                Store::init(&path).or_else(|_made_before_the_crash| Store::open(&path)).unwrap();
            assert_eq!(store.snapshot().unwrap().epoch(), 0);
            assert_eq!(store.index_state().unwrap(), IndexState::Current);
            let staging = path.join("bonded/staging");
            assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_store_is_made_by_one_program_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    fs::create_dir_all(path.join("bonded/staging")).unwrap();
    fs::write(path.join("bonded/staging/1-0"), "half").unwrap();
    let other = fs::File::create(path.join("bonded/lock")).unwrap();
    other.lock().unwrap();
    let error = Store::init_on(&path, Disk::default(), Duration::ZERO).unwrap_err();
    assert!(matches!(error, StoreError::LockTimeout { .. }), "{error}");
    assert!(!path.join("bonded/ROOT").exists());
    drop(other);
    Store::init(&path).unwrap();
    assert_eq!(fs::read_dir(path.join("bonded/staging")).unwrap().count(), 0);

    let path = directory.path().join("another");
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Store::init(&path))).collect();
        let made: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        made.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect::<Vec<_>>()
    });
    assert_eq!(made, vec![StoreError::AlreadyAStore { path: path.clone() }.to_string(); 7]);
    assert_eq!(Store::open(&path).unwrap().snapshot().unwrap().epoch(), 0);
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

/// One small file, so that the calls have one order; `watch` is called before each.
fn fill_disk_everywhere(
    watch: impl Fn(&World, Action, &Path) + Send + Sync + Copy + 'static,
    check: impl Fn(&World, &IngestError),
) {
    for at in 1.. {
        let world = Arc::new(World::in_memory());
        world.file("a", b"a");
        let watched = Arc::downgrade(&world);
        let disk = Disk::failing(at, Failure::NoSpaceOnce)
            .with_watcher(move |action, path| watch(&watched.upgrade().unwrap(), action, path));
        let store = Store::open_on(&world.store_path, disk.clone()).unwrap();
        match ingest_into(&store, "demo@v1", &[&world.inputs]) {
            Ok(_) if disk.calls() < at => return,
            // Only the clearing away of what is no longer needed may fail without a word.
            Ok(_) => assert_eq!(world.store.snapshot().unwrap().releases().unwrap().len(), 1),
            Err(error) => check(&world, &error),
        }
    }
}

#[test]
fn what_lies_beside_the_leases_is_removed_under_the_lock() {
    fill_disk_everywhere(
        |world, action, path| {
            if action == Action::Remove && path.parent().unwrap().ends_with("bonded/staging") {
                let other = fs::File::open(world.store_path.join("bonded/lock")).unwrap();
                assert!(other.try_lock().is_err(), "{} is removed unlocked", path.display());
            }
        },
        |_, _| {},
    );
}

#[test]
fn a_commit_that_may_not_survive_says_so() {
    let doubts = AtomicUsize::new(0);
    fill_disk_everywhere(
        |_, _, _| {},
        |world, error| {
            let epoch_now = world.store.snapshot().unwrap().epoch();
            match error {
                IngestError::Store(StoreError::InDoubt { epoch, .. }) => {
                    assert_eq!((*epoch, epoch_now), (1, 1));
                    doubts.fetch_add(1, Ordering::SeqCst);
                }
                IngestError::Store(StoreError::IndexNotWritten { .. }) => assert_eq!(epoch_now, 1),
                _ => assert_eq!(epoch_now, 0),
            }
        },
    );
    assert_eq!(doubts.into_inner(), 1);
}

#[test]
fn staged_files_are_not_kept_open() {
    let world = World::in_memory();
    let stage = world.store.stage(&holder()).unwrap();
    for number in 0..20 {
        let mut left = vec![number; 300_000];
        let read = |buffer: &mut [u8]| {
            let count = buffer.len().min(left.len());
            buffer[..count].copy_from_slice(&left.split_off(left.len() - count));
            Ok(count)
        };
        stage.add_stream(read, Sha512Wanted::No, Threads::One).unwrap();
    }
    let mut leases = fs::read_dir(world.store_path.join("bonded/staging")).unwrap();
    let directory = leases.next().unwrap().unwrap().path();
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        fs::read_link(entry.unwrap().path()).ok() // another test may have closed it
    });
    let open: Vec<_> = open.filter(|path| path.parent() == Some(directory.as_path())).collect();
    assert_eq!(open, [directory.join("lease")]);
    assert_eq!(fs::read_dir(directory).unwrap().count(), 21);
}

#[test]
fn a_large_file_alone_is_durable_without_a_barrier_of_its_own() {
    let world = World::in_memory();
    world.file("large", vec![5; 700_000]);
    let disk = Disk::failing(u64::MAX, Failure::Crash);
    let store = Store::open_on(&world.store_path, disk.clone()).unwrap();
    let release = ingest_into(&store, "demo@v1", &[&world.inputs]).unwrap().release;
    disk.lose_power();
    world.store.snapshot().unwrap().verify_blob(&release.artifacts()[0].file).unwrap();
}
