//! Which epochs gc keeps, and that after any history exactly what those need is held.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bonded_model::Digest;
use proptest::prelude::*;

use super::gc::{STORE, collect, request};
use super::{holder, ingest_into, name};
use crate::disk::memory::Memory;
use crate::gc::{GcReport, GcRequest, gc};
use crate::{Store, StoreError};

/// A store in memory with these releases, each an epoch of its own with one file of its name.
fn with_releases(releases: &[&str]) -> Store {
    let disk = Memory::default().disk();
    disk.create_directory(Path::new("/disks")).unwrap();
    let store = Store::init_on(Path::new(STORE), disk, Duration::ZERO).unwrap();
    releases.iter().for_each(|release| add(&store, release));
    store
}

fn add(store: &Store, release: &str) {
    let inputs = Path::new("/disks").join(release);
    let disk = &store.pool().disk;
    disk.create_directory(&inputs).unwrap();
    disk.remove(&inputs.join("file")).unwrap();
    disk.create(&inputs.join("file"), 0o644).unwrap().write_all(release.as_bytes()).unwrap();
    ingest_into(store, release, &[&inputs]).unwrap();
}

fn take_away(store: &Store, release: &str) {
    let mut writer = store.lock(Duration::ZERO, &holder(), &mut |_| {}).unwrap();
    writer.remove(&crate::catalog::Key::release(&name(release))).unwrap();
    writer.commit().unwrap();
}

fn keep(store: &Store, keep_epochs: u64) -> GcReport {
    gc(store, &GcRequest { keep_epochs, ..request(&holder()) }, &()).unwrap()
}

fn holds(store: &Store, bytes: &[u8]) -> bool {
    let pool = store.pool();
    pool.disk.read_kind(&pool.layout.blob(&Digest::sha256_of(bytes))).is_ok()
}

/// Every epoch that is kept can be read to its last blob, and nothing else is held but what those need.
fn check_exact(store: &Store) {
    let mut needed = BTreeSet::new();
    for epoch in store.epochs().unwrap() {
        let snapshot = store.snapshot_at(epoch).unwrap();
        for name in snapshot.releases().unwrap() {
            let release = snapshot.release(&name).unwrap();
            needed.insert(release.digest());
            needed.insert(Digest::sha256_of(b"{}"));
            for artifact in release.artifacts() {
                snapshot.verify_blob(&artifact.file).unwrap();
                needed.extend([artifact.file.digest, artifact.manifest.digest]);
            }
        }
        // These catalogs have one page.
        needed.insert(snapshot.root());
    }
    let pool = store.pool();
    let held = pool.disk.list(&pool.layout.blobs()).unwrap().into_iter();
    let held: BTreeSet<_> =
        held.map(|(path, kind)| crate::quarantine::blob_name(&path, kind).unwrap()).collect();
    assert_eq!(held, needed);
}

#[test]
fn epochs_beyond_retention_go_with_what_only_they_need() {
    let store = with_releases(&["demo@v1", "demo@v2"]);
    take_away(&store, "demo@v1");
    assert_eq!(store.epochs().unwrap(), [0, 1, 2, 3]);
    let report = keep(&store, 2);
    assert_eq!((report.epochs_forgotten, report.epochs_kept), (vec![0, 1], vec![2, 3]));
    assert!(holds(&store, b"demo@v1"));
    check_exact(&store);
    let report = keep(&store, 1);
    assert_eq!((report.epochs_forgotten, report.epochs_kept), (vec![2], vec![3]));
    assert!(!holds(&store, b"demo@v1") && holds(&store, b"demo@v2"));
    check_exact(&store);
    assert!(matches!(store.snapshot_at(2), Err(StoreError::NoEpoch { oldest: 3, .. })));
    assert_eq!(keep(&store, 1).epochs_forgotten, Vec::<u64>::new());
}

#[test]
fn a_lease_keeps_its_epoch_and_all_later_ones() {
    let store = with_releases(&["demo@v1"]);
    let lease = store.lease(&holder()).unwrap();
    take_away(&store, "demo@v1");
    add(&store, "demo@v2");
    assert_eq!(keep(&store, 1).epochs_kept, [1, 2, 3]);
    assert!(holds(&store, b"demo@v1"));
    drop(lease);
    assert_eq!(keep(&store, 1).epochs_kept, [3]);
    assert!(!holds(&store, b"demo@v1"));
    check_exact(&store);
}

#[test]
fn nothing_is_collected_while_an_epoch_may_come_back() {
    let store = with_releases(&["demo@v1", "demo@v2"]);
    let pool = store.pool();
    let page = pool.layout.blob(&store.snapshot().unwrap().root());
    pool.disk.rename(&page, Path::new("/disks/page")).unwrap();
    let store = Store::open_on(Path::new(STORE), pool.disk.clone()).unwrap();
    let refused = || {
        let error = collect(&store).unwrap_err();
        assert!(matches!(error, StoreError::Unsettled { .. }), "{error:?}");
        assert!(holds(&store, b"demo@v2"));
    };
    refused();
    add(&store, "demo@v3"); // mends ROOT with the epoch before
    refused();
    for (aside, _) in pool.disk.list(&pool.layout.quarantine()).unwrap() {
        if aside.file_name().unwrap().to_str().unwrap().starts_with(&format!("epoch-{:020}-", 2)) {
            pool.disk.remove(&aside).unwrap();
        }
    }
    collect(&store).unwrap();
    assert!(!holds(&store, b"demo@v2") && holds(&store, b"demo@v3"));
}

/// Something that happens to a store.
#[derive(Clone, Debug)]
enum Event {
    Add(usize),
    TakeAway(usize),
    Orphan(u8),
    Collect(u64),
}

proptest! {
    #![proptest_config(crate::tests::cases(48))]
    #[test]
    fn after_any_history_exactly_what_is_needed_is_held(
        events in proptest::collection::vec(
            prop_oneof![
                3 => (0_usize..4).prop_map(Event::Add),
                2 => (0_usize..4).prop_map(Event::TakeAway),
                1 => any::<u8>().prop_map(Event::Orphan),
                2 => (1_u64..4).prop_map(Event::Collect),
            ],
            1..14,
        )
    ) {
        let store = with_releases(&[]);
        let mut model = vec![BTreeSet::new()]; // which releases there are, by epoch
        let mut oldest = 0;
        for event in events {
            let mut newest = model.last().unwrap().clone();
            match event {
                Event::Add(number) => {
                    add(&store, &format!("demo@v{number}"));
                    newest.insert(number);
                }
                Event::TakeAway(number) => {
                    take_away(&store, &format!("demo@v{number}"));
                    newest.remove(&number);
                }
                Event::Orphan(byte) => {
                    let path = store.pool().layout.blob(&Digest::sha256_of(&[byte]));
                    let made = store.pool().disk.create(&path, 0o444);
                    made.into_iter().for_each(|file| file.write_all(&[byte]).unwrap());
                }
                Event::Collect(count) => {
                    keep(&store, count);
                    oldest = oldest.max(model.len().saturating_sub(usize::try_from(count).unwrap()));
                    check_exact(&store);
                }
            }
            if newest != *model.last().unwrap() {
                model.push(newest);
            }
            let kept: Vec<_> = (oldest..model.len()).map(|epoch| u64::try_from(epoch).unwrap()).collect();
            prop_assert_eq!(store.epochs().unwrap(), kept);
            for (epoch, releases) in model.iter().enumerate().skip(oldest) {
                let held = store.snapshot_at(u64::try_from(epoch).unwrap()).unwrap().releases().unwrap();
                let expected: Vec<_> = releases.iter().map(|v| name(&format!("demo@v{v}"))).collect();
                prop_assert_eq!(held, expected);
            }
        }
    }
}
