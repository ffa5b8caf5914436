//! What writers leave to each other, on real files: the lock, the stage, doubts.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bonded_model::{MediaType, media_type};

use super::{MEDDLED_INDEX, Meddled, World, holder, ingest_into, meddled_disk, name};
use crate::catalog::Key;
use crate::disk::faulty::Failure;
use crate::disk::{Action, Disk};
use crate::hashing::Sha512Wanted;
use crate::ingest::IngestError;
use crate::stage::Threads;
use crate::{Store, StoreError};

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
        let disk = Disk::default().failing(at, Failure::NoSpaceOnce);
        let watching =
            disk.with_watcher(move |action, path| watch(&watched.upgrade().unwrap(), action, path));
        let store = Store::open_on(&world.store_path, watching).unwrap();
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

/// Another tool writes index.json at every call of a commit. What it wrote is there afterwards, unless it came
/// between the last look and the rename.
#[test]
fn an_index_that_another_tool_writes_meanwhile_is_left_alone() {
    const FOREIGN: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
    let path = Path::new(MEDDLED_INDEX);
    let mut kept = 0;
    for at in 0.. {
        let Meddled { memory, store, calls, is_late } = meddled_disk(at, Action::Rename, FOREIGN);
        let mut writer = store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
        let held = writer.hold(MediaType::known(media_type::OCI_INDEX), b"{}").unwrap();
        writer.insert(Key::release(&name("demo@v1")), held).unwrap();
        writer.commit().unwrap();
        if calls.load(Ordering::SeqCst) <= at {
            break;
        }
        let found = memory.disk().read(path, 4096).unwrap();
        assert!(found == FOREIGN || is_late.load(Ordering::SeqCst), "at call {at}");
        kept += u64::from(found == FOREIGN);
    }
    assert!(kept > 20, "{kept}");
}

#[test]
fn a_writer_whose_lock_was_removed_commits_nothing() {
    let world = World::new();
    let lock = world.store_path.join("bonded/lock");
    let file = world.file("a", b"a");
    type Meddle = fn(&Path);
    let meddles: [Meddle; 2] = [
        |lock| fs::remove_file(lock).unwrap(),
        |lock| {
            fs::remove_file(lock).unwrap();
            fs::write(lock, "").unwrap();
        },
    ];
    for meddle in meddles {
        let (removed, own) = (lock.clone(), world.store_path.join("blobs/sha256"));
        let disk = Disk::watched(move |action, path| {
            if action == Action::SyncDirectory && path == own {
                meddle(&removed);
            }
        });
        let store = Store::open_on(&world.store_path, disk).unwrap();
        let error = ingest_into(&store, "demo@v1", &[&file]).unwrap_err();
        let IngestError::Store(StoreError::LockLost { path }) = &error else { panic!("{error:?}") };
        assert_eq!(*path, lock);
        assert_eq!(world.store.snapshot().unwrap().epoch(), 0);
    }
    ingest_into(&world.store, "demo@v1", &[&file]).unwrap();
}

#[test]
fn a_lock_that_is_removed_while_it_is_taken_is_taken_anew() {
    let world = World::new();
    let done = AtomicUsize::new(0);
    let disk = Disk::watched(move |action, path| {
        let is_lock = action == Action::Lock && path.ends_with("bonded/lock");
        if is_lock && done.fetch_add(1, Ordering::SeqCst) == 0 {
            fs::remove_file(path).unwrap();
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    let writer = store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    let error = world.store.lock(Duration::ZERO, &holder(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::LockTimeout { .. }), "{error}");
    drop(writer);
}

/// As a check of the store does it, which looks whether anybody is at work.
#[test]
fn who_would_not_wait_does_not_mind_a_lock_that_is_held_for_a_moment() {
    let world = World::new();
    let other = fs::File::open(world.store_path.join("bonded/lock")).unwrap();
    other.lock().unwrap();
    let (held, attempts) = (Mutex::new(Some(other)), Arc::new(AtomicU64::new(0)));
    let counted = attempts.clone();
    let disk = Disk::watched(move |action, path| {
        let is_lock = action == Action::Lock && path.ends_with("bonded/lock");
        if is_lock && counted.fetch_add(1, Ordering::SeqCst) == 1 {
            drop(held.lock().unwrap().take());
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    store.lock(Duration::ZERO, &holder(), &mut |_| {}).unwrap();
    assert!(attempts.load(Ordering::SeqCst) >= 2);
}
