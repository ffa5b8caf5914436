//! Earlier states, and a ROOT that is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonded_model::{Digest, ReleaseName, Timestamp};

use super::{World, holder, name};
use crate::catalog::Catalog;
use crate::gc::{GcRequest, gc};
use crate::{RootError, Store, StoreError};

const RELEASES: [&str; 2] = ["demo@v1", "demo@v2"];

/// A store with an empty epoch and one for each release.
fn world() -> World {
    let world = World::in_memory();
    for (number, release) in RELEASES.iter().enumerate() {
        world.file("a", format!("{number}"));
        world.ingest(release).unwrap();
    }
    world
}

fn root(world: &World) -> PathBuf {
    world.store_path.join("bonded/ROOT")
}

fn epoch_file(world: &World, epoch: u64) -> PathBuf {
    world.store_path.join(format!("bonded/epochs/{epoch:020}"))
}

/// The records of epochs in quarantine, in the order of their names, which say what they hold.
fn set_aside(world: &World) -> Vec<Vec<u8>> {
    let quarantine = world.store_path.join("bonded/quarantine");
    let entries = fs::read_dir(quarantine).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut records: Vec<_> = entries.filter(|path| name(path).starts_with("epoch-")).collect();
    records.sort();
    for record in &records {
        let hex = Digest::sha256_of(&fs::read(record).unwrap()).hex();
        assert!(name(record).ends_with(&hex), "{record:?}");
    }
    records.iter().map(|record| fs::read(record).unwrap()).collect()
}

fn collect(world: &World) -> Result<crate::gc::GcReport, StoreError> {
    let request = GcRequest {
        now: Timestamp::from_unix_seconds(4_000_000_000).unwrap(),
        grace: Duration::ZERO,
        keep_epochs: 1,
        dry_run: false,
        holder: &holder(),
        wait: Duration::from_secs(60),
    };
    gc(&world.store, &request, &())
}

fn catalog_page(world: &World, epoch: u64) -> PathBuf {
    let catalog = world.store.snapshot_at(epoch).unwrap().root();
    world.store_path.join("blobs/sha256").join(catalog.hex())
}

fn releases(store: &Store) -> Vec<ReleaseName> {
    store.snapshot().unwrap().releases().unwrap()
}

fn names(count: usize) -> Vec<ReleaseName> {
    RELEASES.iter().take(count).map(|text| name(text)).collect()
}

fn overwrite(path: &Path, content: impl AsRef<[u8]>) {
    if path.exists() {
        fs::remove_file(path).unwrap(); // blobs are read-only
    }
    fs::write(path, content).unwrap();
}

#[test]
fn every_epoch_can_be_read_again() {
    let world = world();
    assert_eq!(world.store.epochs().unwrap(), [0, 1, 2]);
    for epoch in 0..3 {
        let snapshot = world.store.snapshot_at(epoch).unwrap();
        assert_eq!(snapshot.epoch(), epoch);
        assert_eq!(snapshot.releases().unwrap(), names(usize::try_from(epoch).unwrap()));
    }
    let error = world.store.snapshot_at(3).unwrap_err();
    assert!(matches!(error, StoreError::NoEpoch { wanted: 3, oldest: 0, newest: 2 }), "{error}");
    fs::remove_file(epoch_file(&world, 0)).unwrap();
    let error = world.store.snapshot_at(0).unwrap_err();
    assert!(matches!(error, StoreError::NoEpoch { wanted: 0, oldest: 1, newest: 2 }), "{error}");
    // The newest is there whatever became of its file.
    fs::remove_file(epoch_file(&world, 2)).unwrap();
    assert_eq!(world.store.epochs().unwrap(), [1, 2]);
    assert_eq!(world.store.snapshot_at(2).unwrap().releases().unwrap(), names(2));
}

#[test]
fn history_is_kept_beside_the_blobs_and_mended_by_writers() {
    let world = world();
    let document = fs::read(root(&world)).unwrap();
    assert_eq!(fs::read(epoch_file(&world, 2)).unwrap(), document);
    let as_blob = Digest::sha256_of(&document).hex();
    assert!(!world.store_path.join("blobs/sha256").join(as_blob).exists());
    for content in [None, Some("hello")] {
        match content {
            Some(content) => overwrite(&epoch_file(&world, 2), content),
            None => fs::remove_file(epoch_file(&world, 2)).unwrap(),
        }
        world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
        assert_eq!(fs::read(epoch_file(&world, 2)).unwrap(), document);
    }
}

#[test]
fn a_record_that_is_not_the_one_written_then_is_refused() {
    type Is = fn(&RootError) -> bool;
    let world = world();
    let good = fs::read_to_string(epoch_file(&world, 1)).unwrap();
    let other = world.store.snapshot_at(0).unwrap().root().to_string();
    let catalog = world.store.snapshot_at(1).unwrap().root().to_string();
    let huge = "x".repeat(5000);
    let table: [(&str, String, Is); 6] = [
        ("empty", String::new(), |e| matches!(e, RootError::Json(_))),
        ("cut", good.split_at(40).0.to_owned(), |e| matches!(e, RootError::Json(_))),
        ("too long", huge, |e| matches!(e, RootError::Json(_))),
        ("another epoch", fs::read_to_string(epoch_file(&world, 2)).unwrap(), |e| {
            matches!(e, RootError::Epoch { found: 2 })
        }),
        ("another catalog", good.replace(&catalog, &other), |e| {
            matches!(e, RootError::NotTheParent { epoch: 1 })
        }),
        ("an older format", good.replace(r#""version":2"#, r#""version":1"#), |e| {
            matches!(e, RootError::Older { found: 1 })
        }),
    ];
    for (what, content, is_expected) in table {
        overwrite(&epoch_file(&world, 1), content);
        let error = world.store.snapshot_at(1).unwrap_err();
        let StoreError::EpochDamaged { source, .. } = &error else { panic!("{what}: {error}") };
        assert!(is_expected(source), "{what}: {source}");
        assert_eq!(releases(&world.store), names(2), "{what}");
    }
    overwrite(&epoch_file(&world, 1), good.replace(r#""version":2"#, r#""version":3"#));
    let error = world.store.snapshot_at(1).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 3, .. }), "{error}");
}

/// Opens a store whose ROOT is lost, looks at it, and lets a writer mend it.
fn check_recovers(world: &World, what: &str, epoch: u64) {
    let before = fs::read(root(world)).ok();
    let store = Store::open(&world.store_path).unwrap_or_else(|error| panic!("{what}: {error}"));
    let notice = store.recovery().unwrap();
    assert!(notice.contains(&format!("recovered epoch {epoch},")), "{what}: {notice}");
    assert_eq!(store.snapshot().unwrap().epoch(), epoch, "{what}");
    assert_eq!(releases(&store), names(usize::try_from(epoch).unwrap()), "{what}");
    assert_eq!(fs::read(root(world)).ok(), before, "{what}: a reader changes nothing");
    drop(store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap());
    assert_eq!(fs::read(root(world)).unwrap(), fs::read(epoch_file(world, epoch)).unwrap());
    let mended = Store::open(&world.store_path).unwrap();
    assert_eq!((mended.recovery(), releases(&mended)), (None, releases(&store)), "{what}");
    assert_eq!(store.snapshot().unwrap().epoch(), epoch);
    assert_eq!(store.recovery(), None, "{what}");
}

#[test]
fn a_lost_root_is_recovered_from_the_newest_epoch() {
    let good = fs::read_to_string(root(&world())).unwrap();
    let orphan = good.replace(r#""epoch":2"#, r#""epoch":0"#);
    let huge = "x".repeat(5000);
    for content in ["", good.split_at(40).0, "hello", "{}", "\0\0\0\0", &huge, &orphan] {
        let world = world();
        overwrite(&root(&world), content);
        check_recovers(&world, content, 2);
    }
    let world = world();
    fs::remove_file(root(&world)).unwrap();
    check_recovers(&world, "missing", 2);
    world.file("a", b"more");
    assert_eq!(world.ingest("demo@v3").unwrap().epoch, 3);
}

#[test]
fn a_root_that_points_nowhere_is_recovered() {
    let world = world();
    let good = fs::read_to_string(root(&world)).unwrap();
    let catalog = world.store.snapshot().unwrap().root().to_string();
    overwrite(&root(&world), good.replace(&catalog, &Digest::sha256_of(b"nowhere").to_string()));
    check_recovers(&world, "points nowhere", 2);
}

type Damage = (&'static str, fn(&Path));

#[test]
fn an_epoch_whose_catalog_is_lost_is_passed_over_and_its_record_kept() {
    let damages: [Damage; 3] = [
        ("missing", |page| fs::remove_file(page).unwrap()),
        ("corrupt", |page| overwrite(page, b"evil")),
        ("cut", |page| {
            let bytes = fs::read(page).unwrap();
            overwrite(page, &bytes[..bytes.len() / 2]);
        }),
    ];
    for (what, damage) in damages {
        let world = world();
        let lost = fs::read(root(&world)).unwrap();
        damage(&catalog_page(&world, 2));
        check_recovers(&world, what, 1);
        assert_eq!(set_aside(&world), std::slice::from_ref(&lost), "{what}");
        assert_eq!(world.store.epochs().unwrap(), [0, 1]);
        assert_eq!(world.ingest("demo@v2").unwrap().epoch, 2);
        assert_eq!(releases(&world.store), names(2), "{what}");
        // The next one with that number is set aside beside it.
        world.file("a", b"another");
        overwrite(&root(&world), fs::read(epoch_file(&world, 1)).unwrap());
        fs::remove_file(epoch_file(&world, 2)).unwrap();
        assert_eq!(world.ingest("demo@v4").unwrap().epoch, 2);
        let another = fs::read(root(&world)).unwrap();
        damage(&catalog_page(&world, 2));
        check_recovers(&world, what, 1);
        let mut both = [lost, another];
        both.sort_by_key(|bytes| Digest::sha256_of(bytes));
        assert_eq!(set_aside(&world), both, "{what}");
    }
}

#[test]
fn a_page_that_is_not_canonical_is_passed_over_too() {
    let world = world();
    let good = fs::read_to_string(root(&world)).unwrap();
    let catalog = world.store.snapshot().unwrap().root().to_string();
    let bad = [Catalog::empty_page(), vec![0]].concat();
    let digest = Digest::sha256_of(&bad);
    fs::write(world.store_path.join("blobs/sha256").join(digest.hex()), &bad).unwrap();
    overwrite(&root(&world), good.replace(&catalog, &digest.to_string()));
    check_recovers(&world, "trailing byte", 2);
}

/// What happens to a store, and the error that it then shows.
type Loss = (&'static str, fn(&World), fn(&StoreError) -> bool);

#[test]
fn a_store_is_never_taken_to_be_empty() {
    let damages: [Loss; 3] = [
        (
            "missing",
            |world| fs::remove_file(root(world)).unwrap(),
            |error| matches!(error, StoreError::RootMissing { .. }),
        ),
        (
            "empty",
            |world| overwrite(&root(world), ""),
            |error| matches!(error, StoreError::RootDamaged { source: RootError::Json(_), .. }),
        ),
        (
            "its catalog is gone",
            |world| fs::remove_file(catalog_page(world, 2)).unwrap(),
            |error| matches!(error, StoreError::MissingBlob { .. }),
        ),
    ];
    for keeps_first in [true, false] {
        for (what, damage, is_expected) in damages {
            let world = world();
            damage(&world);
            for epoch in [1, 2] {
                fs::remove_file(epoch_file(&world, epoch)).unwrap();
            }
            if !keeps_first {
                fs::remove_file(epoch_file(&world, 0)).unwrap();
            }
            let error = Store::open(&world.store_path).unwrap_err();
            assert!(is_expected(&error), "{what}: {error}");
            if what != "its catalog is gone" {
                // A store that is open may have it in memory.
                assert!(is_expected(&world.store.snapshot().unwrap_err()), "{what}");
                let error = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap_err();
                assert!(is_expected(&error), "{what}: {error}");
            }
            if !root(&world).exists() {
                let error = Store::init(&world.store_path).unwrap_err();
                assert!(matches!(error, StoreError::RootMissing { .. }), "{what}: {error}");
            }
        }
    }
    // One that never held anything may be.
    let new = World::in_memory();
    fs::remove_file(root(&new)).unwrap();
    check_recovers(&new, "a new store", 0);
}

#[test]
fn other_formats_are_refused_and_never_recovered() {
    let world = world();
    let good = fs::read_to_string(root(&world)).unwrap();
    let version = |number: u32| good.replace(r#""version":2"#, &format!(r#""version":{number}"#));
    overwrite(&root(&world), version(3));
    let is_newer =
        |error: &StoreError| matches!(error, StoreError::NewerFormat { found: 3, known: 2, .. });
    assert!(is_newer(&Store::open(&world.store_path).unwrap_err()));
    assert!(is_newer(&world.store.snapshot().unwrap_err()));
    assert!(is_newer(&world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap_err()));
    overwrite(&root(&world), version(1));
    let error = Store::open(&world.store_path).unwrap_err();
    assert!(matches!(error, StoreError::OlderFormat { found: 1, .. }), "{error}");
    // A newer program has written last, and its ROOT was lost.
    overwrite(&root(&world), "");
    overwrite(&epoch_file(&world, 3), version(3));
    assert!(is_newer(&Store::open(&world.store_path).unwrap_err()));
}

/// As a commit leaves it that dies between the record of its epoch and ROOT.
fn before_the_second() -> World {
    let world = world();
    overwrite(&root(&world), fs::read(epoch_file(&world, 1)).unwrap());
    world
}

#[test]
fn a_commit_that_was_cut_short_is_finished_by_the_next_writer() {
    let cut_short = before_the_second();
    assert_eq!(releases(&cut_short.store), names(1));
    assert_eq!((cut_short.store.epochs().unwrap(), cut_short.store.recovery()), (vec![0, 1], None));
    let error = cut_short.store.snapshot_at(2).unwrap_err();
    assert!(matches!(error, StoreError::NoEpoch { wanted: 2, newest: 1, .. }), "{error}");
    drop(cut_short.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap());
    assert_eq!(
        (releases(&cut_short.store), cut_short.store.epochs().unwrap()),
        (names(2), vec![0, 1, 2])
    );
    assert_eq!(set_aside(&cut_short), Vec::<Vec<u8>>::new());
    let lost = before_the_second();
    fs::remove_file(root(&lost)).unwrap();
    check_recovers(&lost, "the commit is complete", 2);
}

#[test]
fn gc_takes_in_a_commit_that_was_cut_short_before_it_sweeps() {
    let world = before_the_second();
    let report = collect(&world).unwrap();
    assert_eq!((report.epochs_kept, report.epochs_forgotten), (vec![2], vec![0, 1]));
    assert_eq!(releases(&world.store), names(2));
    for name in names(2) {
        world.store.snapshot().unwrap().evidence(&name).unwrap();
    }
}

#[test]
fn a_later_record_that_does_not_follow_is_set_aside_and_stops_gc() {
    let table: [Damage; 3] = [
        ("another parent", |record| {
            let good = fs::read_to_string(record).unwrap();
            let from = good.find("\"parent\":\"sha256:").unwrap() + "\"parent\":\"sha256:".len();
            let (front, back) = (good.split_at(from).0, good.split_at(from + 64).1);
            overwrite(record, format!("{front}{}{back}", "0".repeat(64)));
        }),
        ("cut", |record| {
            let good = fs::read(record).unwrap();
            overwrite(record, good.split_at(40).0);
        }),
        ("no record", |record| overwrite(record, "hello")),
    ];
    for (what, damage) in table {
        let world = before_the_second();
        damage(&epoch_file(&world, 2));
        let lost = fs::read(epoch_file(&world, 2)).unwrap();
        drop(world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap());
        assert_eq!((releases(&world.store), set_aside(&world)), (names(1), vec![lost]), "{what}");
        assert!(!epoch_file(&world, 2).exists());
        let error = collect(&world).unwrap_err();
        assert!(matches!(error, StoreError::Unsettled { .. }), "{what}: {error}");
    }
    let world = before_the_second();
    overwrite(&epoch_file(&world, 2), "x".repeat(5000));
    drop(world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap());
    let aside = world.store_path.join(format!("bonded/quarantine/epoch-{:020}-5000-bytes", 2));
    assert!(aside.exists() && !epoch_file(&world, 2).exists());
}

#[test]
fn a_root_that_was_put_back_from_a_copy_loses_nothing() {
    for forgotten in [false, true] {
        let world = world();
        let copy = fs::read(epoch_file(&world, 0)).unwrap();
        if forgotten {
            for epoch in [0, 1] {
                fs::remove_file(epoch_file(&world, epoch)).unwrap();
            }
        }
        overwrite(&root(&world), copy);
        let error = collect(&world).unwrap_err();
        assert!(matches!(error, StoreError::Unsettled { .. }), "{error}");
        check_recovers(&world, "rolled back", 2);
        assert_eq!(set_aside(&world), Vec::<Vec<u8>>::new());
    }
    // Where nothing later can be read it is the newest, and what is later is kept for people.
    let world = world();
    let copy = fs::read(epoch_file(&world, 0)).unwrap();
    let pages = [1, 2].map(|epoch| catalog_page(&world, epoch));
    overwrite(&root(&world), copy);
    pages.iter().for_each(|page| fs::remove_file(page).unwrap());
    check_recovers(&world, "nothing later can be read", 0);
    assert_eq!(set_aside(&world).len(), 2);
}

/// A reader that opens a store while epochs come and go sees some epoch, and a ROOT that is in order.
#[test]
fn a_slow_reader_takes_no_root_for_lost_that_gc_has_left_behind() {
    let world = world();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                let store = Store::open(&world.store_path).unwrap();
                assert_eq!(store.recovery(), None);
                let newest = store.snapshot().unwrap().epoch();
                match store.snapshot_at(newest - 1) {
                    Ok(_) | Err(StoreError::NoEpoch { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        for number in 0..20 {
            world.file("a", format!("again {number}"));
            world.ingest(&format!("demo@w{number}")).unwrap();
            collect(&world).unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        reader.join().unwrap();
    });
}

#[test]
fn two_stores_filled_in_different_orders_have_one_root() {
    let [one, other] = [World::in_memory(), World::in_memory()];
    for world in [&one, &other] {
        for number in 0..20 {
            world.file(&format!("in/{number}"), format!("{number}"));
        }
    }
    for number in 0..20 {
        for (world, number) in [(&one, number), (&other, 19 - number)] {
            let input = world.inputs.join(format!("in/{number}"));
            world.ingest_paths(&format!("demo@v{number}"), &[&input]).unwrap();
        }
    }
    let roots = [&one, &other].map(|world| world.store.snapshot().unwrap().root());
    assert_eq!(roots[0], roots[1]);
    let changes = |world: &World, epoch| {
        let (old, new) = (world.store.snapshot_at(epoch).unwrap(), world.store.snapshot().unwrap());
        new.catalog().diff(old.catalog()).map(Result::unwrap).count()
    };
    assert_eq!((changes(&one, 15), changes(&one, 20)), (5, 0));
}
