//! What a repair does where things go wrong, or change, while it is at work.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bonded_model::manifest::Index;
use bonded_model::{Descriptor, Digest, MediaType, media_type};
use rustix::io::Errno;

use super::fsck::{check, mend, problems, request};
use super::gc::collect;
use super::{World, holder, ingest_into, name};
use crate::Store;
use crate::disk::memory::Memory;
use crate::disk::{Action, Disk};
use crate::facts::BlobFacts;
use crate::fsck::{
    BlobSource, Code, DirectorySource, FsckReport, FsckRequest, Judge, Progress, Remedy,
    SourceError, fsck,
};
use crate::lock::Holder;
use crate::sniff::ContentKind;

const STORE: &str = "/disks/store";

/// A store in memory with a release of one file.
fn memory_store() -> Disk {
    let disk = Memory::default().disk();
    disk.create_directory(Path::new("/disks/in")).unwrap();
    disk.create(Path::new("/disks/in/a"), 0o644).unwrap().write_all(b"a").unwrap();
    let store = Store::init_on(Path::new(STORE), disk.clone(), Duration::ZERO).unwrap();
    ingest_into(&store, "demo@v1", &[Path::new("/disks/in")]).unwrap();
    disk
}

fn open(disk: Disk) -> Store {
    Store::open_on(Path::new(STORE), disk).unwrap()
}

fn blob_path(digest: &Digest) -> PathBuf {
    Path::new(STORE).join("blobs/sha256").join(digest.hex())
}

/// Gives these bytes, whatever it is asked for.
#[derive(Debug)]
struct Giving(Vec<u8>, &'static str);

impl BlobSource for Giving {
    fn name(&self) -> String {
        self.1.to_owned()
    }

    fn open(&self, _key: &str) -> Result<Option<Box<dyn std::io::Read>>, SourceError> {
        Ok(Some(Box::new(std::io::Cursor::new(self.0.clone()))))
    }
}

/// Gives zeros without end, and counts them.
#[derive(Debug, Default)]
struct Endless(Arc<AtomicUsize>);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(0);
        let before = self.0.fetch_add(buffer.len(), Ordering::SeqCst);
        assert!(before < 64 << 20, "nobody ends this");
        Ok(buffer.len())
    }
}

impl BlobSource for Endless {
    fn name(&self) -> String {
        "endless".to_owned()
    }

    fn open(&self, _key: &str) -> Result<Option<Box<dyn std::io::Read>>, SourceError> {
        Ok(Some(Box::new(Endless(self.0.clone()))))
    }
}

#[test]
fn what_cannot_be_read_stays_unless_a_copy_takes_its_place() {
    let lost = Digest::sha256_of(b"a");
    let path = blob_path(&lost);
    for errno in [Errno::IO, Errno::ACCESS, Errno::STALE, Errno::MFILE] {
        let disk = memory_store();
        let inode = disk.read_state(&path).unwrap();
        let refuse = {
            let (disk, path) = (disk.clone(), path.clone());
            move |action, at: &Path| {
                let is_it =
                    at == path && disk.read_state(at).is_ok_and(|at| at.is_same_file(&inode));
                (action == Action::Open && is_it).then_some(errno)
            }
        };
        let store = open(disk.refusing(refuse));
        let wrong = Giving(b"b".to_vec(), "wrong");
        for sources in [&[][..], &[&wrong as &dyn BlobSource]] {
            let report = mend(&store, sources);
            assert_eq!(problems(&report), [(Code::UnreadableBlob, 1)], "{errno}");
            assert!(report.remains() && report.unfinished.is_none());
            assert!(disk.read_state(&path).unwrap().is_same_file(&inode), "{errno}");
        }
        let report = mend(&store, &[&wrong, &Giving(b"a".to_vec(), "right")]);
        let finding = report.findings.iter().find(|f| f.code == Code::UnreadableBlob).unwrap();
        assert_eq!(finding.remedy, Remedy::Restored { from: "right".to_owned() });
        let aside = store.pool().layout.damaged().join(format!("{}-unreadable", lost.hex()));
        assert!(finding.seen.contains(&aside.display().to_string()), "{}", finding.seen);
        assert!(disk.read_state(&aside).unwrap().is_same_file(&inode));
        assert_eq!(problems(&check(&store)), []);
    }
}

#[test]
fn what_becomes_readable_is_followed() {
    let disk = memory_store();
    let store = open(disk.clone());
    let release = store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    let manifest = blob_path(&release.artifacts()[0].manifest.digest);
    disk.set_mode(&manifest, 0).unwrap();
    disk.remove(&blob_path(&Digest::sha256_of(b"a"))).unwrap();
    let inner = disk.clone();
    let store = open(disk.refusing(move |action, path: &Path| {
        let mode = inner.read_attributes(path).map_or(0o444, |found| found.mode);
        (action == Action::Open && mode & 0o400 == 0).then_some(Errno::ACCESS)
    }));
    let report = mend(&store, &[]);
    assert_eq!(
        problems(&report),
        [(Code::UnreadableBlob, 1), (Code::MissingBlob, 1), (Code::WrongMode, 1)]
    );
    let remaining: Vec<_> = report.findings.iter().filter(|finding| finding.remains()).collect();
    let [missing] = remaining.as_slice() else { panic!("{report:#?}") };
    // What came to light late is told with what needs it as well.
    assert_eq!((missing.code, missing.needed_by.len()), (Code::MissingBlob, 1));
    assert!(!mend(&store, &[&Giving(b"a".to_vec(), "right")]).remains());
}

#[test]
fn a_blob_of_another_size_is_whole_after_it_came_back() {
    for bytes in [&b""[..], b"read", b"read me, and more"] {
        let world = World::in_memory();
        world.file("readme", b"read me");
        world.ingest("demo@v1").unwrap();
        let path = world.store_path.join("blobs/sha256").join(Digest::sha256_of(b"read me").hex());
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let report = mend(&world.store, &[&Giving(b"read me".to_vec(), "right")]);
        assert!(!report.remains(), "{report:#?}");
        assert!(report.findings.iter().all(|finding| finding.code != Code::WrongSize));
        assert_eq!(fs::read(path).unwrap(), b"read me");
    }
}

#[test]
fn a_source_gives_no_more_than_the_blob_has() {
    let world = World::in_memory();
    let path = world.file("readme", b"read me");
    world.ingest("demo@v1").unwrap();
    let lost = Digest::sha256_of(b"read me");
    fs::remove_file(world.store_path.join("blobs/sha256").join(lost.hex())).unwrap();
    let heap = path.with_file_name("heap");
    fs::create_dir(&heap).unwrap();
    fs::write(heap.join(lost.hex()), b"read me").unwrap();
    let report = mend(&world.store, &[&Endless::default(), &DirectorySource::new(&heap)]);
    assert!(!report.remains(), "{report:#?}");
}

#[test]
fn what_goes_while_it_is_checked_is_missed() {
    struct Removing(Mutex<Option<PathBuf>>);
    impl Progress for Removing {
        fn planned(&self, _blobs: usize, _bytes: u64) {}
        fn advanced(&self, _bytes: u64) {
            if let Some(path) = self.0.lock().unwrap().take() {
                fs::remove_file(path).unwrap();
            }
        }
        fn finished_blob(&self) {}
        fn waiting(&self, _holder: &Holder) {}
    }
    let world = World::in_memory();
    world.file("large", vec![3; 2_000_000]); // read first
    world.file("readme", b"read me");
    world.ingest("demo@v1").unwrap();
    let snapshot = world.store.snapshot().unwrap();
    let release = snapshot.release(&name("demo@v1")).unwrap();
    for gone in [Digest::sha256_of(b"read me"), release.artifacts()[1].manifest.digest] {
        let path = world.store_path.join("blobs/sha256").join(gone.hex());
        let bytes = fs::read(&path).unwrap();
        let holder = holder();
        let removing = Removing(Mutex::new(Some(path.clone())));
        let report =
            fsck(&world.store, &FsckRequest { threads: 1, ..request(&holder) }, &removing).unwrap();
        let missing: Vec<_> =
            report.findings.iter().filter(|f| f.code == Code::MissingBlob).collect();
        let [missing] = missing.as_slice() else { panic!("{report:#?}") };
        assert_eq!((missing.digest, missing.needed_by.is_empty()), (Some(gone), false));
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn permissions_that_may_not_be_set_are_told_and_the_rest_is_mended() {
    let disk = memory_store();
    let path = blob_path(&Digest::sha256_of(b"{}"));
    disk.set_mode(&path, 0o644).unwrap();
    disk.remove(&Path::new(STORE).join("oci-layout")).unwrap();
    let refuse = |action, _: &Path| (action == Action::SetMode).then_some(Errno::PERM);
    let report = mend(&open(disk.refusing(refuse)), &[]);
    let remaining: Vec<_> = report.findings.iter().filter(|f| f.remains()).collect();
    let [finding] = remaining.as_slice() else { panic!("{report:#?}") };
    assert!(finding.code == Code::WrongMode && finding.seen.contains("cannot set"), "{finding:?}");
    assert!(report.unfinished.is_none());
}

#[test]
fn the_record_of_the_newest_epoch_is_compared_with_root() {
    let check_with = |disturb: &dyn Fn(&Path)| {
        let world = World::in_memory();
        world.file("a", b"a");
        world.ingest("demo@v1").unwrap();
        disturb(&world.store_path.join("bonded/epochs/00000000000000000001"));
        assert_eq!(problems(&check(&world.store)), [(Code::EpochChainBroken, 1)]);
        assert!(!mend(&world.store, &[]).remains());
        assert_eq!(problems(&check(&world.store)), []);
    };
    check_with(&|path| fs::remove_file(path).unwrap());
    check_with(&|path| {
        let text = fs::read_to_string(path).unwrap();
        let (before, after) = text.split_once("sha256:").unwrap();
        let (first, after) = after.split_at(1);
        let digit = if first == "0" { "1" } else { "0" };
        fs::write(path, format!("{before}sha256:{digit}{after}")).unwrap();
    });
}

#[test]
fn a_check_beside_an_ingest_or_gc_finds_nothing_wrong() {
    fn checking(disk: &Disk, wrong: &Arc<Mutex<Vec<String>>>, count: &Arc<AtomicUsize>) -> Disk {
        let (inner, wrong, count) = (disk.clone(), wrong.clone(), count.clone());
        let busy = AtomicBool::new(false);
        disk.with_watcher(move |action, path| {
            let looks = matches!(
                action,
                Action::Inspect | Action::Resolve | Action::Open | Action::Read | Action::List
            );
            if looks || busy.swap(true, Ordering::SeqCst) {
                return;
            }
            let report: FsckReport = check(&open(inner.clone()));
            if report.remains() {
                let at = format!("{action} {}: {:?}", path.display(), report.findings);
                wrong.lock().unwrap().push(at);
            }
            count.fetch_add(1, Ordering::SeqCst);
            busy.store(false, Ordering::SeqCst);
        })
    }
    let disk = memory_store();
    disk.create(Path::new("/disks/in/b"), 0o644).unwrap().write_all(b"b").unwrap();
    let (wrong, count) = (Arc::default(), Arc::default());
    let store = open(checking(&disk, &wrong, &count));
    ingest_into(&store, "demo@v2", &[Path::new("/disks/in")]).unwrap();
    let of_ingest = count.load(Ordering::SeqCst);
    assert!(!collect(&store).unwrap().epochs_forgotten.is_empty());
    assert!(of_ingest > 10 && count.load(Ordering::SeqCst) > of_ingest);
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn an_image_with_many_ways_to_one_blob_is_told_in_little_time() {
    const LEVELS: usize = 7;
    const COPIES: usize = 24;
    let world = World::in_memory();
    let hold = |bytes: &[u8]| {
        let path = world.store_path.join("blobs/sha256").join(Digest::sha256_of(bytes).hex());
        fs::write(path, bytes).unwrap();
    };
    let index = MediaType::known(media_type::OCI_INDEX);
    let mut below = vec![Descriptor::new(index.clone(), Digest::sha256_of(b"gone"), 4)];
    for level in 0..LEVELS {
        let copies = (0..COPIES).map(|number| {
            let mut index = Index::plain(below.clone());
            index.annotations.insert("n".to_owned(), format!("{level}-{number}"));
            let bytes = index.to_bytes();
            hold(&bytes);
            let size = u64::try_from(bytes.len()).unwrap();
            Descriptor::new(
                MediaType::known(media_type::OCI_INDEX),
                Digest::sha256_of(&bytes),
                size,
            )
        });
        below = copies.collect();
    }
    let key = bonded_model_key();
    let mut writer = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    writer.insert(key, below[0].clone()).unwrap();
    writer.commit().unwrap();
    let report = check(&world.store);
    let missing = report.findings.iter().find(|f| f.code == Code::MissingBlob).unwrap();
    assert_eq!(missing.needed_by.len(), 4);
}

fn bonded_model_key() -> crate::catalog::Key {
    crate::catalog::Key::image(&"image".parse().unwrap(), &"v1".parse().unwrap())
}

#[test]
fn reading_and_walking_keep_to_the_rate() {
    let world = World::in_memory();
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let bytes = check(&world.store).bytes;
    // Most of such a store is pages and manifests, which are read twice: to be hashed and to be followed.
    let rate = bytes * 2;
    let holder = holder();
    let request = FsckRequest { bytes_per_second: Some(rate), threads: 1, ..request(&holder) };
    let began = Instant::now();
    fsck(&world.store, &request, &()).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
}

/// Tells which facts about a file are wrong after a change of them, and that they are made anew.
fn check_facts(bytes: &[u8], change: fn(&mut BlobFacts), expected: Option<&str>) {
    let world = World::in_memory();
    world.file("a", bytes);
    world.ingest("demo@v1").unwrap();
    let digest = Digest::sha256_of(bytes);
    let known = world.store.facts().get(&digest).unwrap();
    assert_eq!((known.kind, &known.platform), (Some(ContentKind::Text), &None));
    let mut changed = known.clone();
    change(&mut changed);
    world.store.facts().put_many(&[(digest, changed.clone())].into());
    let report = check(&world.store);
    let told: Vec<_> = report.findings.iter().map(|found| (found.code, &*found.seen)).collect();
    let seen = expected.map(|facts| format!("the facts are wrong about its {facts}"));
    let all: Vec<_> = seen.iter().map(|seen| (Code::FactsOutOfStep, &**seen)).collect();
    assert_eq!(told, all);
    // The faster way looks at no SHA-512 where BLAKE3 is right.
    let holder = holder();
    let fast = FsckRequest { judge: Judge::Facts, ..request(&holder) };
    let fast = fsck(&world.store, &fast, &()).unwrap();
    let seen_fast = BlobFacts { sha512: known.sha512, ..changed.clone() } != known;
    assert_eq!(fast.remains(), seen_fast, "{expected:?}");
    assert!(!mend(&world.store, &[]).remains());
    assert_eq!(problems(&check(&world.store)), []);
    let left = world.store.facts().get(&digest).unwrap();
    let sha512 = changed.sha512.map(|_| Digest::sha512_of(bytes));
    let mended = BlobFacts { sha512, ..known };
    assert_eq!(left, if expected.is_some() { mended } else { changed });
}

#[test]
fn facts_that_the_bytes_do_not_give_are_told_and_made_anew() {
    // Of a large blob its beginning alone says what it is.
    let (small, large) = (b"text".to_vec(), b"text".repeat(500_000));
    for bytes in [&small, &large] {
        let check = |change, expected| check_facts(bytes, change, expected);
        check(|_| {}, None);
        check(|facts| facts.sha512 = Some(Digest::from_sha512([1; 64])), Some("SHA-512"));
        check(|facts| facts.kind = Some(ContentKind::Elf), Some("kind"));
        check(|facts| facts.kind = Some(ContentKind::Unknown), Some("kind"));
        check(|facts| facts.platform = Some("linux/amd64".parse().unwrap()), Some("platform"));
        let all: fn(&mut BlobFacts) = |facts| {
            facts.sha512 = Some(Digest::from_sha512([1; 64]));
            facts.kind = Some(ContentKind::Pe);
            facts.platform = Some("windows/386".parse().unwrap());
        };
        check(all, Some("SHA-512, kind, platform"));
    }
    let blake3: fn(&mut BlobFacts) = |facts| facts.blake3 = Digest::from_blake3([1; 32]);
    check_facts(&small, blake3, Some("BLAKE3"));
    // The thorough way does not compute it for a large one.
    check_facts(&large, blake3, None);
}
