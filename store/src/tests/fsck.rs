//! Every kind of damage is found, told with what needs it, and mended where that can be proven.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonded_model::{Digest, Release};
use rustix::io::Errno;

use super::{World, holder, ingest_into, name};
use crate::disk::faulty::Failure;
use crate::disk::memory::{Loss, Memory};
use crate::disk::{Action, Disk};
use crate::facts::BlobFacts;
use crate::fsck::{
    BlobSource, Code, DirectorySource, FsckReport, FsckRequest, Judge, Mend, Remedy, Weight, fsck,
};
use crate::lock::Holder;
use crate::{IndexState, Store, StoreError};

pub(super) fn request(holder: &Holder) -> FsckRequest<'_> {
    FsckRequest {
        threads: 2,
        bytes_per_second: None,
        judge: Judge::Sha256,
        quarantine: true,
        mend: Mend::Nothing,
        holder,
        wait: Duration::ZERO,
    }
}

pub(super) fn check(store: &Store) -> FsckReport {
    fsck(store, &request(&holder()), &()).unwrap()
}

pub(super) fn mend(store: &Store, sources: &[&dyn BlobSource]) -> FsckReport {
    let holder = holder();
    let mend = Mend::From(sources);
    fsck(store, &FsckRequest { mend, wait: super::WAIT, ..request(&holder) }, &()).unwrap()
}

/// The codes of problems, and how often each was found.
pub(super) fn problems(report: &FsckReport) -> Vec<(Code, usize)> {
    let mut counts = BTreeMap::new();
    for finding in report.findings.iter().filter(|f| f.code.weight() == Weight::Problem) {
        *counts.entry(finding.code).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// A store with a release of three files, of which one is large and one is a signed list of checksums.
fn world() -> World {
    let world = World::in_memory();
    world.file("bin/tool", vec![3; 2_000_000]);
    world.file("readme", b"read me");
    let hex = Digest::sha256_of(b"read me").hex();
    world.file("SHA256SUMS", format!("{hex}  readme\n"));
    world.ingest("demo@v1").unwrap();
    world
}

fn release(world: &World) -> Release {
    world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap()
}

fn path_of(store: &Store, digest: &Digest) -> PathBuf {
    store.directory().join("blobs/sha256").join(digest.hex())
}

/// Changes the bytes of a blob behind everybody's back, and keeps its mode.
fn damage(store: &Store, digest: &Digest, change: impl FnOnce(&mut Vec<u8>)) {
    let path = path_of(store, digest);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn tool(world: &World) -> Digest {
    release(world).artifacts()[0].file.digest
}

#[test]
fn a_sound_store_has_no_findings() {
    let world = world();
    let report = check(&world.store);
    assert_eq!(problems(&report), []);
    assert!(!report.remains() && report.blobs >= 8 && report.bytes > 2_000_000);
    assert!(report.epochs.contains(&1));
}

#[test]
fn a_flipped_bit_and_a_cut_are_told_with_what_needs_them() {
    for (change, code) in [
        ((|bytes| flip(bytes)) as fn(&mut Vec<u8>), Code::CorruptBlob),
        (|bytes| bytes.truncate(1_999_999), Code::TruncatedBlob),
        (|bytes| bytes.clear(), Code::TruncatedBlob),
        (|bytes| bytes.push(0), Code::CorruptBlob),
    ] {
        let world = world();
        let digest = tool(&world);
        damage(&world.store, &digest, change);
        let report = check(&world.store);
        assert_eq!(problems(&report), [(code, 1)]);
        let finding = &report.findings.iter().find(|f| f.code == code).unwrap();
        assert_eq!(finding.digest, Some(digest));
        let [way] = finding.needed_by.as_slice() else { panic!("{finding:?}") };
        assert_eq!((way.key.as_str(), way.steps.len(), way.epoch), ("release/demo/v1", 3, 1));
        assert_eq!(way.steps[0].digest, release(&world).digest());
        assert_eq!(way.steps[1].title.as_deref(), Some("bin/tool"));
        assert_eq!(way.steps[2].digest, digest);
        let Remedy::Quarantined { to } = &finding.remedy else { panic!("{finding:?}") };
        assert!(to.exists() && !path_of(&world.store, &digest).exists() && report.remains());
        // What was moved aside is missing from then on.
        assert_eq!(problems(&check(&world.store)), [(Code::MissingBlob, 1)]);
    }
}

#[test]
fn without_quarantine_nothing_is_moved() {
    let world = world();
    let manifest = release(&world).artifacts()[0].manifest.digest;
    for digest in [tool(&world), manifest] {
        damage(&world.store, &digest, |bytes| flip(bytes));
    }
    let before = fs::read(path_of(&world.store, &manifest)).unwrap();
    let holder = holder();
    let request = FsckRequest { quarantine: false, ..request(&holder) };
    let report = fsck(&world.store, &request, &()).unwrap();
    // What only the damaged manifest refers to is not known to be needed.
    assert_eq!(problems(&report), [(Code::CorruptBlob, 2)]);
    assert!(report.findings.iter().all(|finding| finding.remedy == Remedy::Nothing));
    assert_eq!(fs::read(path_of(&world.store, &manifest)).unwrap(), before);
}

#[test]
fn missing_blobs_are_told_at_every_level() {
    let world = world();
    let release = release(&world);
    for digest in [
        release.digest(),
        release.artifacts()[0].manifest.digest,
        release.artifacts()[0].file.digest,
        Digest::sha256_of(b"{}"),
    ] {
        let path = path_of(&world.store, &digest);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = check(&world.store);
        assert_eq!(problems(&report), [(Code::MissingBlob, 1)], "{digest}");
        let finding = report.findings.iter().find(|f| f.code == Code::MissingBlob).unwrap();
        assert_eq!((finding.digest, finding.needed_by.is_empty()), (Some(digest), false));
        assert!(finding.needed_by.len() <= 4);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    assert_eq!(problems(&check(&world.store)), []);
}

#[test]
fn a_lost_catalog_page_is_told() {
    let world = world();
    let page = world.store.snapshot().unwrap().root();
    damage(&world.store, &page, |bytes| flip(bytes));
    let codes: BTreeSet<_> = problems(&check(&world.store)).into_iter().map(|(c, _)| c).collect();
    assert!(codes.contains(&Code::CorruptBlob), "{codes:?}");
    let codes: BTreeSet<_> = problems(&check(&world.store)).into_iter().map(|(c, _)| c).collect();
    assert!(codes.contains(&Code::MissingBlob), "{codes:?}");
}

/// A page above two leaves, which are one and the same, under keys that are not theirs.
#[test]
fn a_page_that_stands_where_it_must_not_is_told() {
    let world = world();
    let leaf = world.store.snapshot_at(1).unwrap().root();
    let entry = |key: u8| [&[0, 1, key], leaf.as_bytes(), &[1]].concat();
    let page = [b"bcat\x01\x01\x02".as_slice(), &entry(b'a'), &entry(b'b')].concat();
    let digest = Digest::sha256_of(&page);
    fs::write(path_of(&world.store, &digest), &page).unwrap();
    fs::set_permissions(path_of(&world.store, &digest), fs::Permissions::from_mode(0o444)).unwrap();
    let record = world.store_path.join(format!("bonded/epochs/{:020}", 0));
    let empty = world.store.snapshot_at(0).unwrap().root();
    let good = fs::read_to_string(&record).unwrap();
    fs::write(&record, good.replace(&empty.to_string(), &digest.to_string())).unwrap();
    let report = check(&world.store);
    let found = report.findings.iter().find(|finding| finding.code == Code::MisplacedPage);
    assert_eq!(found.and_then(|finding| finding.digest), Some(leaf), "{report:#?}");
    assert!(report.remains());
}

#[test]
fn another_tool_may_write_oci_layout_with_other_spaces() {
    let world = world();
    let spaced = b"{ \"imageLayoutVersion\": \"1.0.0\" }\n";
    fs::write(world.store_path.join("oci-layout"), spaced).unwrap();
    let report = super::fsck::check(&world.store);
    assert!(report.findings.iter().all(|finding| finding.code != Code::LayoutFile), "{report:?}");
}

#[test]
fn what_lies_beside_the_blobs_is_looked_at() {
    let check = |code: Code, disturb: &dyn Fn(&World)| {
        let world = world();
        // The empty catalog that a store begins with is needed by no kept epoch.
        let before = super::fsck::check(&world.store).findings;
        let before = before.iter().filter(|finding| finding.code == code).count();
        disturb(&world);
        let report = super::fsck::check(&world.store);
        let count = |report: &FsckReport| {
            report.findings.iter().filter(|finding| finding.code == code).count() - before
        };
        assert_eq!(count(&report), 1, "{code:?}: {report:?}");
        assert_eq!(report.remains(), code.weight() == Weight::Problem);
        let report = mend(&world.store, &[]);
        let foreign = code == Code::ForeignFile || code == Code::UnreferencedBlob;
        assert_eq!(report.remains(), code == Code::ForeignFile, "{code:?}: {report:?}");
        let left = super::fsck::check(&world.store);
        assert_eq!(count(&left), usize::from(foreign), "{code:?}: {left:?}");
    };
    let blob = |world: &World, bytes: &[u8]| path_of(&world.store, &Digest::sha256_of(bytes));
    check(Code::WrongMode, &|world| {
        let path = path_of(&world.store, &tool(world));
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    });
    check(Code::UnreferencedBlob, &|world| {
        fs::write(blob(world, b"x"), b"x").unwrap();
        fs::set_permissions(blob(world, b"x"), fs::Permissions::from_mode(0o444)).unwrap();
    });
    check(Code::ForeignFile, &|world| {
        fs::write(world.store_path.join("blobs/sha256/notes.txt"), b"x").unwrap();
    });
    check(Code::ForeignFile, &|world| {
        fs::create_dir(world.store_path.join("blobs/sha512")).unwrap();
    });
    check(Code::LayoutFile, &|world| {
        fs::write(world.store_path.join("oci-layout"), b"{}").unwrap();
    });
    check(Code::LayoutFile, &|world| {
        fs::remove_file(world.store_path.join("oci-layout")).unwrap();
    });
    check(Code::IndexOutOfStep, &|world| {
        fs::remove_file(world.store_path.join("index.json")).unwrap();
    });
    check(Code::IndexOutOfStep, &|world| {
        fs::write(world.store_path.join("bonded/no-index"), "").unwrap();
    });
    check(Code::StrayStaging, &|world| {
        fs::create_dir(world.store_path.join("bonded/staging/1-1")).unwrap();
        fs::write(world.store_path.join("bonded/staging/1-1/0"), b"x").unwrap();
    });
    check(Code::StrayStaging, &|world| {
        fs::write(world.store_path.join("bonded/staging/replacement-1-0"), b"x").unwrap();
    });
    check(Code::FactsOutOfStep, &|world| {
        let digest = Digest::sha256_of(b"read me");
        let known = world.store.facts().get(&digest).unwrap();
        let wrong = BlobFacts { blake3: Digest::from_blake3([1; 32]), ..known.clone() };
        world.store.facts().put_many(&[(digest, wrong)].into());
    });
}

#[test]
fn what_a_living_writer_is_about_to_rename_is_not_stray() {
    let world = world();
    let writer = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    fs::write(world.store_path.join("bonded/staging/replacement-1-0"), b"x").unwrap();
    let codes =
        |report: FsckReport| report.findings.into_iter().map(|f| f.code).collect::<Vec<_>>();
    assert_eq!(codes(check(&world.store)), []);
    drop(writer);
    assert_eq!(codes(check(&world.store)), [Code::StrayStaging]);
}

#[test]
fn where_the_lock_cannot_be_looked_at_somebody_may_be_at_work() {
    let world = world();
    fs::write(world.store_path.join("bonded/staging/replacement-1-0"), b"x").unwrap();
    let lock = world.store_path.join("bonded/lock");
    for (action, errno) in [(Action::Open, Errno::ACCESS), (Action::Lock, Errno::NOLCK)] {
        let path = lock.clone();
        let refuse = move |called, on: &Path| (called == action && on == path).then_some(errno);
        let store = Store::open_on(&world.store_path, Disk::default().refusing(refuse)).unwrap();
        let codes: Vec<_> = check(&store).findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [], "{action:?}");
    }
    fs::remove_file(&lock).unwrap();
    let codes: Vec<_> = check(&world.store).findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::StrayStaging]);
}

#[test]
fn a_foreign_index_is_told_and_left_alone() {
    let world = world();
    let index = world.store_path.join("index.json");
    fs::write(&index, r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    assert_eq!(problems(&check(&world.store)), [(Code::IndexOutOfStep, 1)]);
    assert!(mend(&world.store, &[]).remains());
    assert_eq!(world.store.index_state().unwrap(), IndexState::Foreign);
}

#[test]
fn the_fast_way_trusts_a_fact_and_has_sha256_decide_where_it_disagrees() {
    let world = world();
    let digest = tool(&world);
    let holder = holder();
    let fast = FsckRequest { judge: Judge::Facts, ..request(&holder) };
    assert_eq!(problems(&fsck(&world.store, &fast, &()).unwrap()), []);
    let known = world.store.facts().get(&digest).unwrap();
    let wrong = BlobFacts { blake3: Digest::from_blake3([1; 32]), ..known.clone() };
    world.store.facts().put_many(&[(digest, wrong)].into());
    // Above a mebibyte the thorough way does not look at facts.
    assert_eq!(problems(&check(&world.store)), []);
    let report = fsck(&world.store, &fast, &()).unwrap();
    assert_eq!(problems(&report), [(Code::FactsOutOfStep, 1)]);
    world.store.facts().put_many(&[(digest, known)].into());
    damage(&world.store, &digest, |bytes| flip(bytes));
    let report = fsck(&world.store, &fast, &()).unwrap();
    assert_eq!(problems(&report), [(Code::CorruptBlob, 1)]);
}

/// Where lost blobs come back from.
fn sources(world: &World, copy: &Path) -> Vec<(&'static str, PathBuf)> {
    let at = |name: &'static str| (name, copy.join(name));
    let kinds = [at("store"), at("layout"), at("heap"), at("mirror")];
    let release = release(world);
    for (_, directory) in &kinds {
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        fs::create_dir_all(directory.join("demo/release/v1/bin")).unwrap();
    }
    for entry in fs::read_dir(world.store_path.join("blobs/sha256")).unwrap() {
        let (name, bytes) = {
            let entry = entry.unwrap();
            (entry.file_name(), fs::read(entry.path()).unwrap())
        };
        for kind in ["store", "layout"] {
            fs::write(copy.join(kind).join("blobs/sha256").join(&name), &bytes).unwrap();
        }
        fs::write(copy.join("heap").join(&name), &bytes).unwrap();
        let digest = format!("sha256:{}", name.to_str().unwrap());
        for artifact in release.artifacts() {
            if artifact.file.digest.to_string() == digest {
                let path = copy.join("mirror/demo/release/v1").join(artifact.path.as_str());
                fs::write(path, &bytes).unwrap();
            }
        }
    }
    kinds.to_vec()
}

#[test]
fn lost_blobs_come_back_from_every_kind_of_source() {
    let copy = tempfile::tempdir().unwrap();
    let world = world();
    for (kind, directory) in sources(&world, copy.path()) {
        let release = release(&world);
        let gone = [Digest::sha256_of(b"read me"), release.artifacts()[0].manifest.digest];
        let gone = if kind == "mirror" { &gone[..1] } else { &gone[..] };
        damage(&world.store, &tool(&world), |bytes| flip(bytes));
        gone.iter().for_each(|digest| fs::remove_file(path_of(&world.store, digest)).unwrap());
        let source = DirectorySource::new(&directory);
        let empty = DirectorySource::new(Path::new("/nowhere"));
        let report = mend(&world.store, &[&empty, &source]);
        assert!(!report.remains(), "{kind}: {report:#?}");
        let restored =
            |remedy: &Remedy| *remedy == Remedy::Restored { from: directory.display().to_string() };
        let count = report.findings.iter().filter(|finding| restored(&finding.remedy)).count();
        assert_eq!(count, gone.len() + 1, "{kind}: {report:#?}");
        assert_eq!(problems(&check(&world.store)), []);
        let mode = fs::metadata(path_of(&world.store, &gone[0])).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    }
}

#[test]
fn what_hangs_on_a_lost_manifest_is_found_in_the_next_round() {
    let copy = tempfile::tempdir().unwrap();
    let world = world();
    let directory = &sources(&world, copy.path())[0].1;
    let release = release(&world);
    let blobs = fs::read_dir(world.store_path.join("blobs/sha256")).unwrap();
    let page = world.store.snapshot().unwrap().root();
    for blob in blobs {
        let path = blob.unwrap().path();
        if path != path_of(&world.store, &page) {
            fs::remove_file(path).unwrap();
        }
    }
    let report = mend(&world.store, &[&DirectorySource::new(directory)]);
    assert!(!report.remains(), "{report:#?}");
    assert_eq!(world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap(), release);
    assert_eq!(problems(&check(&world.store)), []);
}

#[test]
fn a_source_with_other_bytes_is_told_and_not_believed() {
    let copy = tempfile::tempdir().unwrap();
    let world = world();
    let digest = tool(&world);
    let [.., (_, heap), _] = &sources(&world, copy.path())[..] else { panic!() };
    fs::write(heap.join(digest.hex()), b"other").unwrap();
    fs::create_dir_all(heap.join("blobs/sha256").join(digest.hex())).unwrap();
    fs::remove_file(path_of(&world.store, &digest)).unwrap();
    let report = mend(&world.store, &[&DirectorySource::new(heap)]);
    let finding = report.findings.iter().find(|f| f.code == Code::MissingBlob).unwrap();
    let other = Digest::sha256_of(b"other").to_string();
    assert!(finding.remains() && finding.seen.contains(&other), "{finding:?}");
    assert!(!path_of(&world.store, &Digest::sha256_of(b"other")).exists());
    assert!(!path_of(&world.store, &digest).exists());
    let staged = fs::read_dir(world.store_path.join("bonded/staging")).unwrap().count();
    assert_eq!(staged, 0);
}

#[test]
fn a_good_copy_in_quarantine_comes_back_without_a_source() {
    let world = world();
    let digest = tool(&world);
    let aside = world.store_path.join("bonded/quarantine/unreachable/00000000000000000001");
    fs::create_dir_all(&aside).unwrap();
    fs::rename(path_of(&world.store, &digest), aside.join(digest.hex())).unwrap();
    assert_eq!(problems(&check(&world.store)), [(Code::MissingBlob, 1)]);
    assert!(!mend(&world.store, &[]).remains());
    assert_eq!(problems(&check(&world.store)), []);
}

#[test]
fn a_writer_is_waited_for_only_where_something_is_mended() {
    let world = world();
    fs::remove_file(path_of(&world.store, &tool(&world))).unwrap();
    let _writer = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    assert_eq!(problems(&check(&world.store)), [(Code::MissingBlob, 1)]);
    let holder = holder();
    fs::remove_file(world.store_path.join("oci-layout")).unwrap();
    let request = FsckRequest { mend: Mend::From(&[]), ..request(&holder) };
    // What was found is told all the same.
    let report = fsck(&world.store, &request, &()).unwrap();
    assert!(matches!(report.unfinished, Some(StoreError::LockTimeout { .. })));
    assert_eq!(problems(&report), [(Code::MissingBlob, 1), (Code::LayoutFile, 1)]);
    assert!(report.remains());
}

#[test]
fn every_byte_is_counted_whatever_the_threads() {
    struct Counting(std::sync::atomic::AtomicU64);
    impl crate::fsck::Progress for Counting {
        fn planned(&self, _blobs: usize, _bytes: u64) {}
        fn advanced(&self, bytes: u64) {
            self.0.fetch_add(bytes, std::sync::atomic::Ordering::SeqCst);
        }
        fn finished_blob(&self) {}
        fn waiting(&self, _holder: &Holder) {}
    }
    let world = world();
    let expected = RefCell::new(None);
    for threads in [0, 1, 2, 7] {
        let counting = Counting(Default::default());
        let holder = holder();
        let bytes_per_second = (threads == 7).then_some(u64::MAX);
        let request = FsckRequest { threads, bytes_per_second, ..request(&holder) };
        let report = fsck(&world.store, &request, &counting).unwrap();
        assert_eq!(counting.0.into_inner(), report.bytes);
        let expected = &mut *expected.borrow_mut();
        let found = (report.epochs, report.blobs, report.bytes, report.findings);
        assert_eq!(expected.get_or_insert_with(|| found.clone()), &found);
    }
}

#[test]
fn a_failure_at_every_call_of_mending_loses_nothing() {
    let path = Path::new("/disks/store");
    let memory = Memory::default();
    let disk = memory.disk();
    disk.create_directory(Path::new("/disks/in")).unwrap();
    disk.create(Path::new("/disks/in/a"), 0o644).unwrap().write_all(b"a").unwrap();
    let store = Store::init_on(path, disk.clone(), Duration::ZERO).unwrap();
    ingest_into(&store, "demo@v1", &[Path::new("/disks/in")]).unwrap();
    let layout = &store.pool().layout;
    disk.create_directory(&layout.generation(7)).unwrap();
    let (lost, aside) = (Digest::sha256_of(b"a"), layout.generation(7));
    disk.rename(&layout.blob(&lost), &aside.join(lost.hex())).unwrap();
    disk.set_mode(&layout.blob(&Digest::sha256_of(b"{}")), 0o644).unwrap();
    for path in [layout.oci_layout(), layout.index()] {
        disk.remove(&path).unwrap();
    }
    disk.sync_filesystem(&disk.open_directory(Path::new("/")).unwrap()).unwrap();
    assert_eq!(problems(&check(&store)).len(), 4);
    for how in [Failure::Crash, Failure::NoSpaceOnce, Failure::IoOnce] {
        for at in 1.. {
            let memory = memory.after_kill();
            let failing = memory.disk().failing(at, how);
            let sound = Store::open_on(path, failing.clone()).is_ok_and(|store| {
                let holder = holder();
                let request = FsckRequest { mend: Mend::From(&[]), ..request(&holder) };
                fsck(&store, &request, &()).is_ok_and(|report| !report.remains())
            });
            for memory in [memory.after_kill(), memory.after_power_loss(Loss::AllUnsynced)] {
                let store = Store::open_on(path, memory.disk()).unwrap();
                if sound {
                    assert_eq!(problems(&check(&store)), [], "{how:?} {at}");
                }
                let report = mend(&store, &[]);
                assert!(!report.remains(), "{how:?} {at}: {report:?}");
                let after = memory.after_power_loss(Loss::AllUnsynced);
                let store = Store::open_on(path, after.disk()).unwrap();
                assert_eq!(problems(&check(&store)), [], "{how:?} {at}");
            }
            if failing.calls() < at {
                break;
            }
        }
    }
}
