//! Nothing that is referred to ever goes, whatever else happens meanwhile; everything else does, in the
//! end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bonded_model::manifest::Index;
use bonded_model::{Descriptor, Digest, MediaType, Timestamp, media_type};

use super::{World, holder, ingest_into, name};
use crate::disk::Disk;
use crate::disk::faulty::Failure;
use crate::disk::memory::{Loss, Memory};
use crate::gc::{Amount, GcReport, GcRequest, gc};
use crate::lock::Holder;
use crate::{Store, StoreError};

/// Later than the clock of any machine that runs this.
const LATER: i64 = 4_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

/// Collects everything that it may, at once.
pub(super) fn request(holder: &Holder) -> GcRequest<'_> {
    GcRequest {
        now: at(LATER),
        grace: Duration::ZERO,
        keep_epochs: 1,
        dry_run: false,
        holder,
        wait: Duration::ZERO,
    }
}

pub(super) fn collect(store: &Store) -> Result<GcReport, StoreError> {
    gc(store, &request(&holder()), &())
}

/// Every file below a directory with its bytes, by its path there.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let below = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                files.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn blobs(store: &Store) -> BTreeSet<String> {
    let held = fs::read_dir(store.directory().join("blobs/sha256")).unwrap();
    held.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Puts bytes into the pool without a name, as an ingest does that dies before its commit.
fn orphan(store: &Store, bytes: &[u8]) -> String {
    let hex = Digest::sha256_of(bytes).hex();
    fs::write(store.directory().join("blobs/sha256").join(&hex), bytes).unwrap();
    hex
}

fn quarantined(store: &Store) -> BTreeSet<String> {
    let directory = store.directory().join("bonded/quarantine/unreachable");
    let files = if directory.exists() { tree(&directory) } else { BTreeMap::new() };
    files.into_keys().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

/// Everything of these releases is there, and is what it is named.
fn check_whole(store: &Store, releases: &[&str]) {
    let snapshot = store.snapshot().unwrap();
    let names: Vec<_> = releases.iter().map(|text| name(text)).collect();
    assert_eq!(snapshot.releases().unwrap(), names);
    for name in &names {
        let evidence = snapshot.evidence(name).unwrap();
        for artifact in evidence.release.artifacts() {
            snapshot.verify_blob(&artifact.file).unwrap();
        }
    }
    snapshot.catalog().scan("").for_each(|entry| drop(entry.unwrap()));
}

/// A store with one release and its evidence, and inputs for another.
fn world() -> World {
    let world = World::in_memory();
    world.file("old", b"old");
    world.file("SHA256SUMS", format!("{}  old\n", Digest::sha256_of(b"old").hex()));
    world.ingest("demo@v1").unwrap();
    world.file("new", vec![7; 3_000]);
    world
}

#[test]
fn what_nothing_refers_to_goes_and_nothing_else() {
    let world = world();
    let before = blobs(&world.store);
    let lost = orphan(&world.store, b"lost");
    let report = collect(&world.store).unwrap();
    let lost_amount = Amount { blobs: report.quarantined.blobs, bytes: report.quarantined.bytes };
    assert!(lost_amount.blobs >= 1 && lost_amount.bytes >= 4);
    assert_eq!(report.deleted, lost_amount);
    assert!(!blobs(&world.store).contains(&lost));
    assert_eq!((quarantined(&world.store).len(), report.reachable >= 5), (0, true));
    assert!(blobs(&world.store).is_subset(&before));
    check_whole(&world.store, &["demo@v1"]);
    let again = collect(&world.store).unwrap();
    let nothing = Amount::default();
    assert_eq!((again.quarantined, again.deleted, again.restored), (nothing, nothing, nothing));
    assert_eq!(again.reachable, report.reachable);
}

#[test]
fn it_takes_two_grace_periods() {
    let world = world();
    collect(&world.store).unwrap();
    let lost = orphan(&world.store, b"lost");
    let one = Amount { blobs: 1, bytes: 4 };
    let check = |now: i64, grace: u64, expected: [Amount; 4]| {
        let holder = holder();
        let request =
            GcRequest { now: at(now), grace: Duration::from_secs(grace), ..request(&holder) };
        let found = gc(&world.store, &request, &()).unwrap();
        let found = [found.young, found.quarantined, found.waiting, found.deleted];
        assert_eq!(found, expected, "{now}");
    };
    let none = Amount::default();
    check(LATER, 3_999_999_999, [one, none, none, none]);
    assert!(blobs(&world.store).contains(&lost));
    check(LATER, 100, [none, one, one, none]);
    assert_eq!(quarantined(&world.store), [lost.clone()].into());
    check(LATER + 99, 100, [none, none, one, none]);
    check(LATER - 99, 100, [none, none, one, none]); // a clock that was put back
    check(LATER + 100, 100, [none, none, none, one]);
    assert_eq!(quarantined(&world.store), [].into());
    check(LATER + 100, 100, [none; 4]);
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let world = world();
    orphan(&world.store, b"lost");
    let holder = holder();
    let waiting = GcRequest { grace: Duration::from_secs(5), ..request(&holder) };
    gc(&world.store, &waiting, &()).unwrap();
    orphan(&world.store, b"more");
    let before = tree(&world.store_path);
    let dry = gc(&world.store, &GcRequest { dry_run: true, ..request(&holder) }, &()).unwrap();
    assert_eq!(tree(&world.store_path), before);
    assert_eq!((dry.quarantined.blobs, dry.deleted.blobs >= 1), (1, true));
    let dry_later = GcRequest { dry_run: true, now: at(LATER + 1), ..request(&holder) };
    let told = gc(&world.store, &dry_later, &()).unwrap();
    let done =
        gc(&world.store, &GcRequest { now: at(LATER + 1), ..request(&holder) }, &()).unwrap();
    assert_eq!(told.quarantined, done.quarantined);
    // What is set aside by a real run can go in the same one, with a grace period of nothing.
    assert_eq!(done.deleted.blobs, told.deleted.blobs + told.quarantined.blobs);
}

#[test]
fn a_lease_keeps_what_was_set_aside_since_it_began() {
    let world = world();
    collect(&world.store).unwrap();
    let lease = world.store.lease(&holder()).unwrap();
    orphan(&world.store, b"lost");
    let report = collect(&world.store).unwrap();
    assert_eq!((report.quarantined.blobs, report.deleted.blobs), (1, 0));
    let [held] = report.held.as_slice() else { panic!("{report:?}") };
    assert_eq!((held.amount.blobs, held.set_aside, &held.by), (1, at(LATER), lease.info()));
    drop(lease);
    // One that began later does not need it.
    let later = Holder { since: at(LATER + 1), ..holder() };
    let _lease = world.store.lease(&later).unwrap();
    let report = collect(&world.store).unwrap();
    assert_eq!((report.deleted.blobs, report.held.len()), (1, 0));
}

#[test]
fn what_another_tool_names_is_kept_and_put_back() {
    let world = world();
    let other = World::in_memory();
    other.file("image", b"layer");
    other.ingest("other@v1").unwrap();
    let theirs = blobs(&other.store);
    for (_, bytes) in tree(&other.store_path.join("blobs/sha256")) {
        orphan(&world.store, &bytes);
    }
    let snapshot = other.store.snapshot().unwrap();
    let release = snapshot.release(&name("other@v1")).unwrap();
    let index = world.store_path.join("index.json");
    let ours = fs::read(&index).unwrap();
    let needed: BTreeSet<String> = [release.digest(), release.artifacts()[0].manifest.digest]
        .into_iter()
        .chain([Digest::sha256_of(b"layer"), Digest::sha256_of(b"{}")])
        .map(|digest| digest.hex())
        .collect();
    assert!(needed.is_subset(&theirs));
    let foreign = Index::plain(vec![release.index().clone()]).to_bytes();
    fs::write(&index, &foreign).unwrap();
    collect(&world.store).unwrap();
    assert!(needed.is_subset(&blobs(&world.store)));

    // The tool drops the name, and takes it up again when everything has been set aside.
    fs::write(&index, &ours).unwrap();
    let holder = holder();
    let patient = GcRequest { grace: Duration::from_secs(5), ..request(&holder) };
    gc(&world.store, &patient, &()).unwrap();
    assert!(blobs(&world.store).is_disjoint(&[release.digest().hex()].into()));
    fs::write(&index, &foreign).unwrap();
    let report = collect(&world.store).unwrap();
    assert_eq!(report.restored.blobs, 3); // the empty configuration is needed anyway
    assert!(needed.is_subset(&blobs(&world.store)));
    check_whole(&world.store, &["demo@v1"]);
}

#[test]
fn what_cannot_be_followed_stops_it_before_anything_is_touched() {
    let check = |damage: &dyn Fn(&World), expected: &dyn Fn(&StoreError) -> bool| {
        let world = world();
        let lost = orphan(&world.store, b"lost");
        damage(&world);
        let error = collect(&world.store).unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(blobs(&world.store).contains(&lost));
        assert_eq!(quarantined(&world.store), [].into());
    };
    let index = |text: &'static str| {
        move |world: &World| fs::write(world.store_path.join("index.json"), text).unwrap()
    };
    for text in ["", "{", "[]", r#"{"schemaVersion":2,"manifests":[{}]}"#] {
        check(&index(text), &|error| matches!(error, StoreError::ForeignIndex { .. }));
    }
    let dangling =
        Index::plain(vec![Descriptor::of(MediaType::known(media_type::OCI_INDEX), b"nowhere")]);
    check(
        &|world| fs::write(world.store_path.join("index.json"), dangling.to_bytes()).unwrap(),
        &|error| matches!(error, StoreError::MissingBlob { .. }),
    );
    let manifest = |world: &World| {
        let release = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
        world.store_path.join("blobs/sha256").join(release.artifacts()[0].manifest.digest.hex())
    };
    check(&|world| fs::remove_file(manifest(world)).unwrap(), &|error| {
        matches!(error, StoreError::MissingBlob { .. })
    });
    check(
        &|world| {
            let path = manifest(world);
            fs::remove_file(&path).unwrap();
            fs::write(&path, "{}").unwrap();
        },
        &|error| matches!(error, StoreError::Corrupt { .. }),
    );
}

#[test]
fn a_file_that_is_also_a_manifest_is_followed() {
    // A release holds as a plain file what another name refers to as a manifest.
    let world = World::in_memory();
    let other = World::in_memory();
    other.file("layer", b"layer");
    other.ingest("other@v1").unwrap();
    let release = other.store.snapshot().unwrap().release(&name("other@v1")).unwrap();
    let manifest = release.artifacts()[0].manifest.clone();
    let bytes =
        fs::read(other.store_path.join("blobs/sha256").join(manifest.digest.hex())).unwrap();
    world.file("a-manifest.json", &bytes);
    world.ingest("demo@v1").unwrap();
    let layer = orphan(&world.store, b"layer");
    let index = Index::plain(vec![manifest]).to_bytes();
    fs::write(world.store_path.join("index.json"), index).unwrap();
    collect(&world.store).unwrap();
    assert!(blobs(&world.store).contains(&layer));
}

#[test]
fn a_second_writer_is_waited_for() {
    let world = world();
    let _writer = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    assert!(matches!(collect(&world.store), Err(StoreError::LockTimeout { .. })));
    let holder = holder();
    gc(&world.store, &GcRequest { dry_run: true, ..request(&holder) }, &()).unwrap();
}

pub(super) const STORE: &str = "/disks/store";
const INPUTS: &str = "/disks/in";

/// A disk in memory with a store that holds one release, and inputs for a second one, every blob of which
/// is in the pool already and named by nobody.
fn memory_with_orphans() -> Memory {
    let memory = Memory::default();
    let disk = memory.disk();
    let write = |path: &Path, bytes: &[u8]| {
        disk.create(path, 0o444).unwrap().write_all(bytes).unwrap();
    };
    disk.create_directory(Path::new(INPUTS)).unwrap();
    write(&Path::new(INPUTS).join("old"), b"old");
    let sums = format!("{}  old\n", Digest::sha256_of(b"old").hex());
    write(&Path::new(INPUTS).join("SHA256SUMS"), sums.as_bytes());
    let store = Store::init_on(Path::new(STORE), disk.clone(), Duration::ZERO).unwrap();
    ingest_into(&store, "demo@v1", &[Path::new(INPUTS)]).unwrap();
    write(&Path::new(INPUTS).join("new"), &[7; 3_000]);
    let blobs = Path::new(STORE).join("blobs/sha256");
    let other = memory.after_kill();
    let elsewhere = Store::open_on(Path::new(STORE), other.disk()).unwrap();
    ingest_into(&elsewhere, "demo@v2", &[Path::new(INPUTS)]).unwrap();
    for (path, _) in other.disk().list(&blobs).unwrap() {
        if disk.read_kind(&path).is_err() {
            write(&path, &other.disk().read(&path, u64::MAX).unwrap());
        }
    }
    disk.sync_filesystem(&disk.open_directory(Path::new("/")).unwrap()).unwrap();
    memory
}

fn open(disk: Disk) -> Store {
    Store::open_on(Path::new(STORE), disk).unwrap()
}

/// What lies in quarantine on a disk in memory.
fn set_aside(memory: &Memory) -> usize {
    let pool = open(memory.disk());
    let generations = crate::quarantine::generations(pool.pool()).unwrap();
    generations.iter().map(|generation| generation.blobs(pool.pool()).unwrap().len()).sum()
}

/// Runs something on a copy of a disk again and again, each time with `act` on the same disk before
/// another call of it, until there are no more calls. Returns how many there are.
fn interrupt_everywhere(
    memory: &Memory,
    run: impl Fn(&Store) + Sync,
    act: fn(Store) -> bool,
    check: impl Fn(&Memory, bool),
) -> usize {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for call in 1.. {
        let memory = memory.after_kill();
        let (calls, did) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, noted, beside) = (calls.clone(), did.clone(), memory.disk());
        let disk = memory.disk().with_watcher(move |_, _| {
            if counted.fetch_add(1, Ordering::SeqCst) + 1 == call {
                noted.store(act(open(beside.clone())), Ordering::SeqCst);
            }
        });
        pool.install(|| run(&open(disk)));
        check(&memory, did.load(Ordering::SeqCst));
        if calls.load(Ordering::SeqCst) < call {
            return call - 1;
        }
    }
    unreachable!("the calls have an end")
}

const ONE: [&str; 1] = ["demo@v1"];
const BOTH: [&str; 2] = ["demo@v1", "demo@v2"];

#[test]
fn an_ingest_at_every_step_of_it_loses_nothing() {
    let calls = interrupt_everywhere(
        &memory_with_orphans(),
        |store| drop(collect(store).unwrap()),
        // While gc holds the lock the ingest gives up, and has acknowledged nothing.
        |store| {
            let inputs = [Path::new(INPUTS)];
            super::ingest_waiting(&store, "demo@v2", &inputs, Duration::ZERO).is_ok()
        },
        |memory, acknowledged| {
            let releases = if acknowledged { &BOTH[..] } else { &ONE };
            check_whole(&open(memory.disk()), releases);
            let again = open(memory.disk());
            ingest_into(&again, "demo@v2", &[Path::new(INPUTS)]).unwrap();
            collect(&again).unwrap();
            check_whole(&open(memory.after_power_loss(Loss::AllUnsynced).disk()), &BOTH);
        },
    );
    assert!(calls > 50, "{calls}");
}

#[test]
fn it_loses_nothing_at_every_step_of_an_ingest() {
    let calls = interrupt_everywhere(
        &memory_with_orphans(),
        |store| drop(ingest_into(store, "demo@v2", &[Path::new(INPUTS)]).unwrap()),
        |store| match collect(&store) {
            Ok(report) => report.quarantined.blobs > 0,
            Err(StoreError::LockTimeout { .. }) => false,
            Err(error) => panic!("{error:?}"),
        },
        |memory, _| {
            check_whole(&open(memory.after_power_loss(Loss::AllUnsynced).disk()), &BOTH);
            collect(&open(memory.disk())).unwrap();
            check_whole(&open(memory.disk()), &BOTH);
            assert_eq!(set_aside(memory), 0);
        },
    );
    assert!(calls > 50, "{calls}");
}

#[test]
fn a_stage_that_is_open_meanwhile_takes_back_what_it_found() {
    let memory = memory_with_orphans();
    let store = open(memory.disk());
    let stage = store.stage(&holder()).unwrap();
    stage.add_bytes(&[7; 3_000], crate::hashing::Sha512Wanted::No).unwrap();
    let report = collect(&store).unwrap();
    assert!(report.deleted.blobs == 0 && report.held.len() == 1, "{report:?}");
    let path = store.pool().layout.blob(&Digest::sha256_of(&[7; 3_000]));
    assert!(memory.disk().read_kind(&path).is_err());
    let aside = set_aside(&memory);
    stage.publish().unwrap();
    assert!(memory.disk().read_kind(&path).is_ok());
    assert_eq!(set_aside(&memory), aside - 1);
}

/// Runs it with a failure at every call, and returns at how many.
fn fail_everywhere(how: Failure, loss: Option<Loss>) -> u64 {
    let memory = memory_with_orphans();
    for at in 1.. {
        let memory = memory.after_kill();
        let disk = memory.disk().failing(at, how);
        // A failure may come before the store is open.
        let done = Store::open_on(Path::new(STORE), disk.clone())
            .is_ok_and(|store| collect(&store).is_ok());
        let reached = disk.calls() >= at;
        assert!(done || reached);
        let memory = match loss {
            Some(loss) => memory.after_power_loss(loss),
            None => memory.after_kill(),
        };
        let store = open(memory.disk());
        check_whole(&store, &ONE);
        collect(&store).unwrap();
        check_whole(&store, &ONE);
        assert_eq!(set_aside(&memory), 0);
        ingest_into(&store, "demo@v2", &[Path::new(INPUTS)]).unwrap();
        check_whole(&store, &BOTH);
        if !reached {
            return at - 1;
        }
    }
    unreachable!("the calls of a run have an end")
}

#[test]
fn a_failure_at_every_call_leaves_what_is_referred_to() {
    let calls = fail_everywhere(Failure::Crash, None);
    assert!(calls > 20, "{calls}");
    fail_everywhere(Failure::Crash, Some(Loss::AllUnsynced));
    fail_everywhere(Failure::Crash, Some(Loss::Random(7)));
    fail_everywhere(Failure::NoSpaceOnce, None);
    fail_everywhere(Failure::IoOnce, Some(Loss::AllUnsynced));
}

#[test]
fn a_copy_that_keeps_times_of_modification_is_young() {
    let world = world();
    let lost = orphan(&world.store, b"lost");
    let path = world.store.directory().join("blobs/sha256").join(&lost);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let changed = Disk::default().read_attributes(&path).unwrap().changed_unix_seconds;
    let holder = holder();
    let grace = Duration::from_secs(100);
    let request = GcRequest { now: at(changed + 99), grace, ..request(&holder) };
    assert!(gc(&world.store, &request, &()).unwrap().young.blobs >= 1);
    assert!(path.exists());
    gc(&world.store, &GcRequest { now: at(changed + 100), ..request }, &()).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_foreign_manifest_named_by_sha512_is_not_collected_around() {
    let world = world();
    let index = MediaType::known(media_type::OCI_INDEX);
    let digest = Digest::from_sha512([7; 64]);
    let named = Index::plain(vec![Descriptor::new(index, digest, 100)]);
    fs::write(world.store_path.join("index.json"), named.to_bytes()).unwrap();
    let lost = orphan(&world.store, b"lost");
    let error = collect(&world.store).unwrap_err();
    assert!(matches!(error, StoreError::ForeignDigest { digest: found } if found == digest));
    assert!(blobs(&world.store).contains(&lost));
}

#[test]
fn gc_begins_anew_where_another_one_forgets_an_epoch_meanwhile() {
    let world = world();
    world.ingest("demo@v2").unwrap();
    let kept = world.store.epochs().unwrap();
    let oldest = world.store.pool().layout.epoch(kept[0]);
    for dry_run in [true, false] {
        let (path, once) = (oldest.clone(), AtomicBool::new(false));
        let disk = Disk::watched(move |action, at| {
            let is_it = at == path && action == crate::disk::Action::Inspect;
            if is_it && !once.swap(true, Ordering::SeqCst) {
                fs::remove_file(&path).unwrap();
            }
        });
        let record = fs::read(&oldest).unwrap();
        let store = Store::open_on(&world.store_path, disk).unwrap();
        let holder = holder();
        let request = GcRequest { keep_epochs: 100, dry_run, ..request(&holder) };
        let report = gc(&store, &request, &()).unwrap();
        assert_eq!(report.epochs_kept, kept[1..]);
        fs::write(&oldest, record).unwrap();
    }
}
