//! Work without the lock: leases, and what a commit does about what has happened meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bonded_model::Digest;

use super::{World, holder, ingest_into, ingest_while, name};
use crate::disk::{Action, Disk};
use crate::ingest::{IngestError, Outcome};
use crate::{LeaseInfo, Store, StoreError};

fn staged(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.store_path.join("bonded/staging")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn blob(world: &World, bytes: &[u8]) -> PathBuf {
    world.store_path.join("blobs/sha256").join(Digest::sha256_of(bytes).hex())
}

fn clear(world: &World) {
    drop(world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap());
}

#[test]
fn a_lease_says_who_holds_it_and_is_gone_with_it() {
    let world = World::new();
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let expected = LeaseInfo { epoch: 1, since: holder().since, who: holder().who };
    let [one, two] = [(); 2].map(|()| world.store.lease(&holder()).unwrap());
    assert_eq!(one.info(), &expected);
    assert_eq!(world.store.leases().unwrap(), [expected.clone(), expected.clone()]);
    world.file("b", b"b");
    world.ingest("demo@v2").unwrap(); // clears away what is free, and nothing else
    assert_eq!(world.store.leases().unwrap(), [expected.clone(), expected.clone()]);
    drop(one);
    assert_eq!(world.store.leases().unwrap(), [expected]);
    drop(two);
    assert_eq!((world.store.leases().unwrap(), staged(&world)), (vec![], vec![]));
}

#[test]
fn a_lease_that_does_not_say_what_it_keeps_keeps_everything() {
    let world = World::new();
    let lease = world.store.lease(&holder()).unwrap();
    for content in ["", "{\"epoch\":", "{\"epoch\":1,\"who\":\"x\"}"] {
        fs::write(lease.directory().join("lease"), content).unwrap();
        let live = world.store.leases().unwrap();
        assert_eq!((live.len(), live[0].epoch, live[0].since.unix_seconds()), (1, 0, 0));
    }
}

#[test]
fn leftovers_of_dead_processes_are_cleared_by_the_next_writer() {
    let world = World::new();
    let staging = world.store_path.join("bonded/staging");
    for (path, content) in [
        ("12-0/lease", r#"{"epoch":0,"since":"2026-01-01T00:00:00Z","who":"dead"}"#),
        ("12-0/3", "half"),
        ("12-1/0", "the power went before the lease was written down"),
        ("12-2/lease", ""),
        ("replacement", "half"),
    ] {
        let path = staging.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir(staging.join("13-0")).unwrap();
    assert_eq!(world.store.leases().unwrap(), []);
    let lease = world.store.lease(&holder()).unwrap();
    clear(&world);
    assert_eq!(staged(&world), [lease.directory()]);
}

/// A store on whose disk something happens just before the first call of a kind on a path that ends so.
fn meddled(
    world: &World,
    action: Action,
    path_end: &'static str,
    meddle: impl Fn(&Path) + Send + Sync + 'static,
) -> Store {
    let done = AtomicBool::new(false);
    let disk = Disk::watched(move |found, path| {
        if found == action && path.ends_with(path_end) && !done.swap(true, Ordering::SeqCst) {
            meddle(path);
        }
    });
    Store::open_on(&world.store_path, disk).unwrap()
}

#[test]
fn a_lease_taken_for_a_leftover_is_taken_anew() {
    type Meddle = fn(&Path);
    let remove: Meddle = |lease| fs::remove_dir_all(lease.parent().unwrap()).unwrap();
    let replace: Meddle = |lease| {
        fs::remove_file(lease).unwrap();
        fs::write(lease, "").unwrap();
    };
    for (action, meddle) in [
        (Action::Create, remove),
        (Action::Create, |lease| fs::write(lease, "").unwrap()),
        (Action::Lock, remove),
        (Action::Lock, replace),
        (Action::Inspect, remove),
    ] {
        let world = World::new();
        let store = meddled(&world, action, "lease", meddle);
        let lease = store.lease(&holder()).unwrap();
        assert_eq!(world.store.leases().unwrap(), [lease.info().clone()], "{action:?}");
        assert!(lease.directory().join("lease").exists(), "{action:?}");
    }
}

#[test]
fn a_lease_that_somebody_looks_at_too_early_is_taken_anew() {
    let world = World::new();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = seen.clone();
    let store = meddled(&world, Action::Lock, "lease", move |path| {
        let looked_at = fs::File::open(path).unwrap();
        looked_at.lock().unwrap();
        *keep.lock().unwrap() = Some((looked_at, path.to_owned()));
    });
    let lease = store.lease(&holder()).unwrap();
    let (_looked_at, path) = seen.lock().unwrap().take().unwrap();
    assert_ne!(path.parent(), Some(lease.directory()));
}

/// Who hashes holds no lock, so nobody waits for himself here.
fn outcome_of_ingest(
    store: &Store,
    release: &str,
    input: &Path,
    meanwhile: impl Fn() + Sync,
) -> Result<(Outcome, u64), IngestError> {
    let report = ingest_while(store, release, input, meanwhile)?;
    Ok((report.outcome, report.epoch))
}

#[test]
fn another_ingest_commits_while_one_is_still_reading() {
    for bytes in [vec![1; 10], vec![1; 2_000_000]] {
        let world = World::new();
        let (one, two) = (world.file("one", &bytes), world.file("two", b"2"));
        let outcome = outcome_of_ingest(&world.store, "demo@v1", &one, || {
            let (outcome, epoch) = outcome_of_ingest(&world.store, "demo@v2", &two, || {}).unwrap();
            assert_eq!((outcome, epoch), (Outcome::Created, 1));
        });
        assert_eq!(outcome.unwrap(), (Outcome::Created, 2));
        let snapshot = world.store.snapshot().unwrap();
        assert_eq!(snapshot.releases().unwrap(), [name("demo@v1"), name("demo@v2")]);
        assert_eq!(staged(&world), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_release_that_somebody_else_made_meanwhile_is_recognised_or_refused() {
    let world = World::new();
    let file = world.file("a", vec![1; 2_000_000]);
    let same = outcome_of_ingest(&world.store, "demo@v1", &file, || {
        assert_eq!(world.ingest_paths("demo@v1", &[&file]).unwrap().outcome, Outcome::Created);
    });
    assert_eq!(same.unwrap(), (Outcome::Unchanged, 1));

    let other = world.file("other/a", b"other");
    let refused = outcome_of_ingest(&world.store, "demo@v2", &file, || {
        assert_eq!(world.ingest_paths("demo@v2", &[&other]).unwrap().outcome, Outcome::Created);
    });
    let Err(IngestError::OtherRelease { held, given, held_release, given_release, .. }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(held, Some(Digest::sha256_of(b"other")));
    assert_eq!(given, Some(Digest::sha256_of(&vec![1; 2_000_000])));
    let release = world.store.snapshot().unwrap().release(&name("demo@v2")).unwrap();
    assert_eq!(release.digest(), held_release);
    assert_ne!(held_release, given_release);
    assert_eq!((world.store.snapshot().unwrap().epoch(), staged(&world)), (2, vec![]));
}

#[test]
fn one_file_may_come_in_several_times_at_once() {
    let world = World::new();
    let file = world.file("a", vec![9; 3_000_000]);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (path, file) = (world.store_path.clone(), &file);
            scope.spawn(move || {
                let store = Store::open(&path).unwrap();
                ingest_into(&store, &format!("demo@v{}", number / 2), &[file]).unwrap();
            });
        }
    });
    let snapshot = world.store.snapshot().unwrap();
    assert_eq!((snapshot.epoch(), snapshot.releases().unwrap().len()), (3, 3));
    assert_eq!(fs::read(blob(&world, &[9; 3_000_000])).unwrap(), [9; 3_000_000]);
    assert_eq!(staged(&world), Vec::<PathBuf>::new());
}

/// A store in which something happens to the blob of `held` just before its ingest takes the lock.
fn overtaken(world: &World, meddle: impl Fn(&Path, &Path) + Send + Sync + 'static) -> Store {
    let (held, aside) = (blob(world, b"held"), world.store_path.join("bonded/quarantine"));
    meddled(world, Action::Lock, "bonded/lock", move |_| meddle(&held, &aside))
}

/// A file is ingested whose blob lies in the pool, as after a run that died before its commit: nothing refers
/// to it. What happens to that blob just before the lock is taken does no harm.
fn survives_overtaking(meddle: impl Fn(&Path, &Path) + Send + Sync + 'static) {
    let world = World::new();
    let file = world.file("a", b"held");
    fs::write(blob(&world, b"held"), b"held").unwrap();
    let store = overtaken(&world, meddle);
    assert_eq!(ingest_into(&store, "demo@v1", &[&file]).unwrap().outcome, Outcome::Created);
    assert_eq!(fs::read(blob(&world, b"held")).unwrap(), b"held");
}

#[test]
fn a_blob_that_gc_set_aside_meanwhile_is_taken_back() {
    survives_overtaking(|held, quarantine| {
        for run in ["unreachable/00000000001700000000", "unreachable/00000000001800000000"] {
            fs::create_dir_all(quarantine.join(run)).unwrap();
        }
        let aside = quarantine.join("unreachable/00000000001700000000");
        fs::rename(held, aside.join(held.file_name().unwrap())).unwrap();
    });
}

#[test]
fn a_blob_that_vanished_meanwhile_is_read_again() {
    survives_overtaking(|held, _| fs::remove_file(held).unwrap());
}

#[test]
fn a_blob_that_vanishes_again_and_again_is_an_error_and_no_dangling_name() {
    let world = World::new();
    let file = world.file("a", b"held");
    let held = blob(&world, b"held");
    let disk = Disk::watched(move |action, path| {
        if action == Action::Create && path.ends_with("lease") {
            fs::write(&held, b"held").unwrap(); // before an attempt looks
        } else if action == Action::Lock && path.ends_with("bonded/lock") {
            fs::remove_file(&held).unwrap();
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    let error = ingest_into(&store, "demo@v1", &[&file]).unwrap_err();
    assert!(
        matches!(&error, IngestError::Store(StoreError::Vanished { digest, .. }) if *digest == Digest::sha256_of(b"held")),
        "{error}"
    );
    assert_eq!(world.store.snapshot().unwrap().epoch(), 0);
    assert_eq!(staged(&world), Vec::<PathBuf>::new());
}

/// Blobs set aside in two runs of gc, the later one first.
fn set_aside(world: &World, newer: &[u8], older: &[u8]) {
    let hex = Digest::sha256_of(b"held").hex();
    let unreachable = world.store_path.join("bonded/quarantine/unreachable");
    for (run, bytes) in [("00000000001800000000", newer), ("00000000001700000000", older)] {
        fs::create_dir_all(unreachable.join(run)).unwrap();
        fs::write(unreachable.join(run).join(&hex), bytes).unwrap();
    }
}

#[test]
fn of_several_copies_set_aside_a_whole_one_is_taken_back_the_newest_first() {
    for (newer, older, left) in [
        (&b"held"[..], &b"half"[..], [false, true]),
        (b"", b"held", [true, false]),
        (b"held", b"held", [false, true]),
    ] {
        let world = World::new();
        let file = world.file("a", b"held");
        fs::write(blob(&world, b"held"), b"held").unwrap();
        set_aside(&world, newer, older);
        let store = overtaken(&world, |held, _| fs::remove_file(held).unwrap());
        assert_eq!(ingest_into(&store, "demo@v1", &[&file]).unwrap().outcome, Outcome::Created);
        assert_eq!(fs::read(blob(&world, b"held")).unwrap(), b"held");
        let unreachable = world.store_path.join("bonded/quarantine/unreachable");
        let hex = Digest::sha256_of(b"held").hex();
        let found = ["00000000001800000000", "00000000001700000000"]
            .map(|run| unreachable.join(run).join(&hex).exists());
        assert_eq!(found, left);
    }
}

#[test]
fn a_blob_that_is_taken_back_is_synced_before_it_has_its_name() {
    let world = World::new();
    let file = world.file("a", b"held");
    fs::write(blob(&world, b"held"), b"held").unwrap();
    set_aside(&world, b"held", b"held");
    let held = blob(&world, b"held");
    let (calls, noted) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), held.clone());
    let log = calls.clone();
    let hex = Digest::sha256_of(b"held").hex();
    let disk = Disk::watched(move |action, path| {
        if action == Action::Lock && path.ends_with("bonded/lock") {
            fs::remove_file(&noted).unwrap();
        }
        if path.ends_with(&hex) && matches!(action, Action::Sync | Action::Rename) {
            log.lock().unwrap().push(action);
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    ingest_into(&store, "demo@v1", &[&file]).unwrap();
    let calls = calls.lock().unwrap();
    assert_eq!(calls[calls.len() - 2..], [Action::Sync, Action::Rename], "{calls:?}");
}

#[test]
fn a_leftover_without_a_lease_is_in_nobodys_way() {
    let world = World::new();
    let lease = world.store.lease(&holder()).unwrap();
    let own = lease.directory().file_name().unwrap().to_str().unwrap();
    let (pid, number) = own.split_once('-').unwrap();
    let number: u64 = number.parse().unwrap();
    let staging = world.store_path.join("bonded/staging");
    // As another process with this number may have left them, in a container.
    for next in number + 1..number + 200 {
        let leftover = staging.join(format!("{pid}-{next}"));
        fs::create_dir(&leftover).unwrap();
        (0..9).for_each(|file| fs::write(leftover.join(file.to_string()), "half").unwrap());
    }
    world.file("a", b"a");
    assert_eq!(world.ingest("demo@v1").unwrap().outcome, Outcome::Created);
    assert_eq!(staged(&world), [lease.directory()]);
}

#[test]
fn a_lease_that_took_the_place_of_a_dead_one_just_now_is_left_alone() {
    let world = World::new();
    let directory = world.store_path.join("bonded/staging/12-0");
    let begun = std::sync::Arc::new(std::sync::Mutex::new(None));
    for looked in ["clear", "list"] {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("lease"), "").unwrap();
        let keep = begun.clone();
        // When the old lease is open and about to be locked, another work begins under its name.
        let store = meddled(&world, Action::Lock, "12-0/lease", move |lease| {
            fs::remove_file(lease).unwrap();
            let new = fs::File::create_new(lease).unwrap();
            new.lock().unwrap();
            fs::write(lease.with_file_name("0"), "its work").unwrap();
            *keep.lock().unwrap() = Some(new);
        });
        match looked {
            "clear" => drop(store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap()),
            _ => assert_eq!(store.leases().unwrap().len(), 1),
        }
        assert_eq!(fs::read(directory.join("0")).unwrap(), b"its work", "{looked}");
        *begun.lock().unwrap() = None;
    }
}
