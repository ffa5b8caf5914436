//! One suite for every engine, with the same damage to each; then what is one engine's own.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bonded_model::Platform;
use tempfile::TempDir;

use super::engine::{Each, Shelf, Update};
use super::*;
use crate::disk::DiskError;
use crate::sniff::ContentKind;

type Make = fn(&Path) -> Box<dyn Engine>;

/// Every engine that is built, by the name of its database.
fn engines() -> Vec<(&'static str, Make)> {
    vec![
        ("facts.redb", |path| Box::new(redb::Redb::new(path, Disk::default()))),
        #[cfg(feature = "sled")]
        ("facts.sled", |path| Box::new(sled::Sled::new(path, Disk::default()))),
    ]
}

/// Facts in a directory of their own.
struct World {
    directory: TempDir,
    name: &'static str,
    make: Make,
}

impl World {
    /// One for every engine.
    fn each(test: impl Fn(&World)) {
        for (name, make) in engines() {
            test(&World { directory: crate::tests::memory_directory(), name, make });
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    fn beside(&self) -> PathBuf {
        self.path().with_added_extension("count")
    }

    /// As a process finds them that has just opened the store.
    fn facts(&self) -> Facts {
        Facts::with_engine(&self.path(), Disk::default(), (self.make)(&self.path()))
    }

    /// The database's files with their bytes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut open = vec![self.path()];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.exists() {
                let bytes = fs::read(&path).unwrap();
                files.push((path, bytes));
            }
        }
        files.sort();
        files
    }

    /// Puts back what [`World::files`] found.
    fn put_back(&self, files: &[(PathBuf, Vec<u8>)]) {
        if self.path().is_dir() {
            fs::remove_dir_all(self.path()).unwrap();
        }
        for (path, bytes) in files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

fn some_facts(count: u16) -> BTreeMap<Digest, BlobFacts> {
    let platforms = ["linux/amd64", "linux/arm/v7"].map(|text| text.parse::<Platform>().unwrap());
    let facts = (0..count).map(|number| {
        let bytes = number.to_be_bytes();
        let mut blake3 = [7; 32];
        blake3[..2].copy_from_slice(&bytes);
        let facts = BlobFacts {
            blake3: Digest::from_blake3(blake3),
            sha512: (number % 2 == 0).then(|| Digest::sha512_of(&bytes)),
            kind: (number % 3 == 0).then_some(ContentKind::Elf),
            platform: (number % 6 == 0).then(|| platforms[usize::from(number / 6) % 2].clone()),
        };
        (Digest::sha256_of(&bytes), facts)
    });
    facts.collect()
}

/// What others keep: small, and larger than a page of any engine. One key is that of a blob too.
fn some_kept() -> BTreeMap<Digest, Vec<u8>> {
    let lengths = [0, 1, 100, 9_000].into_iter().zip(0_u16..);
    lengths.map(|(length, n)| (Digest::sha256_of(&n.to_be_bytes()), vec![7; length])).collect()
}

fn keep_all(facts: &Facts, kept: &BTreeMap<Digest, Vec<u8>>) {
    kept.iter().for_each(|(key, bytes)| facts.keep(key, bytes));
}

fn all_kept(facts: &Facts, kept: &BTreeMap<Digest, Vec<u8>>) -> BTreeMap<Digest, Vec<u8>> {
    kept.keys().filter_map(|key| Some((*key, facts.kept(key)?))).collect()
}

fn keys(facts: &BTreeMap<Digest, BlobFacts>) -> Vec<Digest> {
    facts.keys().copied().collect()
}

fn all(facts: &Facts) -> BTreeMap<Digest, BlobFacts> {
    let mut found = BTreeMap::new();
    facts.for_each(&mut |blob, facts| {
        assert_eq!(found.insert(*blob, facts.clone()), None, "{blob} twice");
    });
    found
}

/// Answers that are right or missing, and a database that works again after writing once.
fn check_recovers(world: &World, put: &BTreeMap<Digest, BlobFacts>, damage: &str) {
    let facts = world.facts();
    for (blob, found) in facts.get_many(&keys(put)).into_iter().chain(all(&facts)) {
        assert_eq!(put.get(&blob), Some(&found), "{} {damage}", world.name);
    }
    let kept = some_kept();
    for (key, found) in all_kept(&world.facts(), &kept) {
        assert_eq!(kept[&key], found, "{} {damage}", world.name);
    }
    facts.put_many(put);
    facts.put_many(put);
    keep_all(&facts, &kept);
    keep_all(&facts, &kept);
    facts.put_many(put);
    let notice = facts.notice();
    let facts = world.facts();
    let is_whole = facts.get_many(&keys(put)) == *put
        && all(&facts) == *put
        && all_kept(&facts, &kept) == kept;
    assert!(is_whole, "{} {damage}: {notice:?}, then {:?}", world.name, facts.notice());
}

/// What is put in parts comes back whole; what is known stays known.
fn check_conforms(facts: &Facts, reopened: impl Fn() -> Option<Facts>) {
    let put = some_facts(100);
    let (first, second): (BTreeMap<_, _>, BTreeMap<_, _>) =
        put.clone().into_iter().partition(|(blob, _)| blob.as_bytes()[0] < 99);
    assert!(facts.get_many(&keys(&put)).is_empty() && all(facts).is_empty());
    facts.put_many(&BTreeMap::new());
    facts.put_many(&first);
    assert_eq!(all(facts), first);
    facts.put_many(&second);
    for facts in [Some(facts), reopened().as_ref()].into_iter().flatten() {
        assert_eq!((facts.get_many(&keys(&put)), all(facts)), (put.clone(), put.clone()));
    }
    let (blob, known) = put.iter().find(|(_, facts)| facts.platform.is_some()).unwrap();
    let bare = BlobFacts { sha512: None, kind: None, platform: None, ..known.clone() };
    facts.put_many(&[(*blob, bare)].into());
    assert_eq!(facts.get(blob), Some(known.clone()));
    assert_eq!((facts.get(&Digest::sha256_of(b"x")), facts.notice()), (None, None));
    let kept = some_kept();
    assert!(all_kept(facts, &kept).is_empty());
    keep_all(facts, &kept);
    let (first, _) = kept.iter().next().unwrap();
    facts.keep(first, b"another");
    assert_eq!(facts.kept(first).as_deref(), Some(b"another".as_slice()));
    keep_all(facts, &kept);
    facts.keep(&Digest::sha256_of(b"x"), &vec![0; KEPT_BYTES_MAX + 1]);
    for facts in [Some(facts), reopened().as_ref()].into_iter().flatten() {
        assert_eq!((all_kept(facts, &kept), all(facts)), (kept.clone(), put.clone()));
        assert_eq!((facts.kept(&Digest::sha256_of(b"x")), facts.notice()), (None, None));
    }
}

#[test]
fn every_engine_conforms() {
    World::each(|world| check_conforms(&world.facts(), || Some(world.facts())));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("facts");
    check_conforms(&Facts::with_engine(&path, Disk::default(), memory()), || None);
}

fn memory() -> Box<dyn Engine> {
    Box::new(memory::Memory::default())
}

/// A zeroed block, a flipped bit, a cut file, half a file: in every file of the database.
#[test]
fn damage_never_gives_a_wrong_answer_and_ends_with_a_new_database() {
    World::each(|world| {
        let put = some_facts(200);
        world.facts().put_many(&put);
        keep_all(&world.facts(), &some_kept());
        let files = world.files();
        let beside = fs::read(world.beside()).unwrap();
        for (path, bytes) in &files {
            for (damage, damaged) in damages(bytes) {
                world.put_back(&files);
                fs::write(path, damaged).unwrap();
                fs::write(world.beside(), &beside).unwrap();
                check_recovers(world, &put, &format!("{}: {damage}", path.display()));
            }
        }
    });
}

fn damages(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let length = bytes.len();
    let used = (0..length.div_ceil(4096))
        .filter(|block| bytes[block * 4096..].iter().take(4096).any(|byte| *byte != 0));
    let changed = |at: usize, change: &dyn Fn(&mut [u8])| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes[at..]);
        bytes
    };
    let mut all = Vec::new();
    for block in used {
        let start = block * 4096;
        let zero = |rest: &mut [u8]| rest.iter_mut().take(4096).for_each(|byte| *byte = 0);
        all.push((format!("block {block} zeroed"), changed(start, &zero)));
        for at in [7, 999, 2048].map(|at| start + at).into_iter().filter(|at| *at < length) {
            let flip = |rest: &mut [u8]| rest[0] ^= 16;
            all.push((format!("a bit at {at} flipped"), changed(at, &flip)));
        }
    }
    let cuts = [0, 1, 100, 4096, length / 2, length.saturating_sub(4096), length.saturating_sub(1)];
    for at in cuts.into_iter().filter(|at| *at < length) {
        all.push((format!("cut to {at}"), bytes[..at].to_vec()));
    }
    all.push(("something else".to_owned(), b"not a database".to_vec()));
    all
}

/// Engines open it as a good one; only the count outside of it tells.
#[test]
fn an_older_database_in_its_place_is_noticed() {
    World::each(|world| {
        let put = some_facts(50);
        let some: BTreeMap<_, _> = put.clone().into_iter().take(20).collect();
        world.facts().put_many(&some);
        let older = world.files();
        world.facts().put_many(&put);
        world.put_back(&older);
        let facts = world.facts();
        assert!(facts.get_many(&keys(&put)).is_empty(), "{}", world.name);
        let notice = facts.notice().unwrap();
        assert!(notice.contains("has 20 records of 50"), "{}: {notice}", world.name);
        check_recovers(world, &put, "older");
    });
}

#[test]
fn an_empty_database_in_its_place_is_noticed() {
    World::each(|world| {
        let put = some_facts(50);
        world.facts().put_many(&put);
        let beside = fs::read(world.beside()).unwrap();
        let empty = World { directory: tempfile::tempdir().unwrap(), ..*world };
        empty.facts().put_many(&some_facts(1));
        fs::write(empty.beside(), beside).unwrap();
        assert!(empty.facts().get_many(&keys(&put)).is_empty(), "{}", world.name);
        check_recovers(&empty, &put, "empty");
    });
}

#[test]
fn a_database_that_is_gone_is_no_news() {
    World::each(|world| {
        let put = some_facts(50);
        world.facts().put_many(&put);
        match world.path().is_dir() {
            true => fs::remove_dir_all(world.path()).unwrap(),
            false => fs::remove_file(world.path()).unwrap(),
        }
        let facts = world.facts();
        assert!(facts.get_many(&keys(&put)).is_empty());
        facts.put_many(&put);
        assert_eq!((facts.get_many(&keys(&put)), facts.notice()), (put, None), "{}", world.name);
    });
}

/// The count is written after the commit: a process that dies between the two leaves this behind.
#[test]
fn a_database_ahead_of_its_count_is_good_and_one_with_a_damaged_count_is_not() {
    World::each(|world| {
        let (put, more) = (some_facts(20), some_facts(30));
        world.facts().put_many(&put);
        let beside = fs::read(world.beside()).unwrap();
        world.facts().put_many(&more);
        for count in [beside, Vec::new()] {
            fs::write(world.beside(), count).unwrap();
            let facts = world.facts();
            assert_eq!((facts.get_many(&keys(&more)), facts.notice()), (more.clone(), None));
        }
        fs::write(world.beside(), [1; 40]).unwrap();
        let facts = world.facts();
        assert!(facts.get_many(&keys(&more)).is_empty());
        assert!(facts.notice().unwrap().contains("record count beside it"), "{}", world.name);
        check_recovers(world, &more, "count");
    });
}

#[test]
fn something_else_in_its_place_fails_nobody() {
    World::each(|world| {
        let put = some_facts(1);
        fs::create_dir(world.path()).unwrap();
        fs::write(world.path().join("x"), b"x").unwrap();
        let facts = world.facts();
        facts.put_many(&put);
        let found = facts.get_many(&keys(&put));
        assert!(found.is_empty() || found == put, "{}", world.name);
        fs::remove_dir_all(world.path()).unwrap();
        fs::write(world.path(), b"x").unwrap();
        check_recovers(world, &put, "a file in its place");
    });
}

#[test]
fn threads_share_one_database() {
    World::each(|world| {
        let put = some_facts(60);
        let facts = world.facts();
        thread::scope(|scope| {
            for part in keys(&put).chunks(20) {
                let part: BTreeMap<_, _> =
                    part.iter().map(|blob| (*blob, put[blob].clone())).collect();
                let facts = &facts;
                scope.spawn(move || facts.put_many(&part));
            }
            for _ in 0..4 {
                for (blob, found) in facts.get_many(&keys(&put)) {
                    assert_eq!(put[&blob], found);
                }
            }
        });
        // A writer may find another one at work, and leaves it for another time.
        assert_eq!(facts.notice(), None, "{}", world.name);
        facts.put_many(&put);
        assert_eq!((all(&facts), facts.notice()), (put, None), "{}", world.name);
    });
}

#[test]
fn a_rebuilt_database_takes_over() {
    World::each(|world| {
        let (old, new) = (some_facts(30), some_facts(10));
        let facts = world.facts();
        facts.put_many(&old);
        keep_all(&facts, &some_kept());
        let mut rebuild = rebuild::Rebuild::begin(&facts).unwrap();
        assert!(matches!(rebuild::Rebuild::begin(&world.facts()), Err(FactsError::InUse)));
        let (first, second): (BTreeMap<_, _>, BTreeMap<_, _>) =
            new.clone().into_iter().partition(|(blob, _)| blob.as_bytes()[0] < 99);
        rebuild.put(&first).unwrap();
        assert_eq!(all(&world.facts()), old, "who reads meanwhile uses the old one");
        world.facts().put_many(&some_facts(40)); // commits to what is about to be replaced
        rebuild.put(&second).unwrap();
        rebuild.finish().unwrap();
        assert_eq!((all(&facts), facts.notice()), (new.clone(), None), "{}", world.name);
        assert!(all_kept(&facts, &some_kept()).is_empty(), "what others kept is forgotten");
        facts.put_many(&old);
        assert_eq!((all(&world.facts()), facts.notice()), (old, None), "{}", world.name);
    });
}

/// A rebuild that died, and a count that a late commit to the old database wrote.
#[test]
fn nothing_that_a_rebuild_left_is_in_the_way() {
    World::each(|world| {
        let (old, new) = (some_facts(30), some_facts(10));
        let facts = world.facts();
        facts.put_many(&old);
        let mut dead = rebuild::Rebuild::begin(&facts).unwrap();
        dead.put(&some_facts(5)).unwrap();
        drop(dead);
        let late = fs::read(world.beside()).unwrap();
        let mut rebuild = rebuild::Rebuild::begin(&facts).unwrap();
        rebuild.put(&new).unwrap();
        rebuild.finish().unwrap();
        fs::write(world.beside(), late).unwrap();
        assert_eq!((all(&world.facts()), facts.notice()), (new, None), "{}", world.name);
    });
}

/// Fails in one way or panics, until it is removed.
#[derive(Debug)]
struct Failing {
    engine: memory::Memory,
    failure: fn() -> FactsError,
    is_removed: AtomicBool,
}

impl Failing {
    fn fail(&self) -> Result<(), FactsError> {
        if self.is_removed.load(Ordering::Relaxed) { Ok(()) } else { Err((self.failure)()) }
    }
}

impl Engine for Failing {
    fn get_many(
        &self,
        least: Tally,
        keys: (Shelf, &[Digest]),
        each: Each<'_>,
    ) -> Result<(), FactsError> {
        self.fail().and_then(|()| self.engine.get_many(least, keys, each))
    }

    fn for_each(&self, least: Tally, each: Each<'_>) -> Result<(), FactsError> {
        self.fail().and_then(|()| self.engine.for_each(least, each))
    }

    fn put_many(
        &self,
        least: Tally,
        keys: (Shelf, &[Digest]),
        update: Update<'_>,
    ) -> Result<Tally, FactsError> {
        self.fail().and_then(|()| self.engine.put_many(least, keys, update))
    }

    fn remove(&self) -> Result<(), DiskError> {
        self.is_removed.store(true, Ordering::Relaxed);
        self.engine.remove()
    }

    fn beside(&self) -> Box<dyn Engine> {
        self.engine.beside()
    }

    fn take_over(&self) -> Result<(), DiskError> {
        self.engine.take_over()
    }
}

/// Whether a failure discards the database, and what the notice says of it.
fn check_failure(failure: fn() -> FactsError, is_discarded: bool, notice: Option<&str>) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Failing { engine: memory::Memory::default(), failure, is_removed: false.into() };
    let path = directory.path().join("facts");
    let facts = Facts::with_engine(&path, Disk::default(), Box::new(engine));
    let put = some_facts(3);
    facts.put_many(&put);
    let expected = if is_discarded { put.clone() } else { BTreeMap::new() };
    assert_eq!(facts.get_many(&keys(&put)), expected, "{notice:?}");
    assert_eq!(all(&facts), expected, "{notice:?}");
    let key = Digest::sha256_of(b"x");
    assert_eq!(facts.kept(&key), None, "{notice:?}");
    facts.keep(&key, b"bytes");
    assert_eq!(facts.kept(&key).is_some(), is_discarded, "{notice:?}");
    match (facts.notice(), notice) {
        (Some(line), Some(text)) => {
            assert!(line.contains(text) && line.contains("computed again"), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
        (line, text) => assert_eq!(line.as_deref(), text),
    }
}

#[test]
fn every_failure_has_its_answer() {
    check_failure(|| FactsError::InUse, false, None);
    check_failure(|| FactsError::OutOfReach("the reason".into()), false, Some("the reason"));
    check_failure(|| panic!("a panic in an engine"), true, Some("panicked"));
    check_failure(|| FactsError::Damaged("the reason".into()), true, Some("the reason"));
    check_failure(|| FactsError::Lost { expected: 2, found: 1 }, true, Some("1 records of 2"));
    check_failure(|| FactsError::Tally, true, Some("record count"));
    check_failure(|| FactsError::Key { bytes: 3 }, true, Some("3 bytes"));
}

#[test]
fn readers_of_redb_do_not_mind_a_writer() {
    let world =
        World { directory: tempfile::tempdir().unwrap(), name: "facts.redb", make: engines()[0].1 };
    let put = some_facts(50);
    world.facts().put_many(&put);
    let open = redb::builder().create(world.path()).unwrap();
    let facts = world.facts();
    assert_eq!(facts.get_many(&keys(&put)), put);
    facts.put_many(&some_facts(60)); // somebody else writes: it is left for another time
    drop(open);
    assert_eq!((all(&facts), facts.notice()), (put, None));
}

#[test]
fn what_a_killed_writer_of_redb_left_is_repaired_and_not_thrown_away() {
    let world =
        World { directory: tempfile::tempdir().unwrap(), name: "facts.redb", make: engines()[0].1 };
    let put = some_facts(20);
    world.facts().put_many(&put);
    let open = redb::builder().create(world.path()).unwrap();
    let writing = open.begin_write().unwrap();
    let other = ::redb::TableDefinition::<&[u8], &[u8]>::new("other");
    writing.open_table(other).unwrap().insert(&[1_u8][..], &[2_u8][..]).unwrap();
    writing.commit().unwrap();
    let as_killed = fs::read(world.path()).unwrap();
    drop(open);
    fs::write(world.path(), &as_killed).unwrap();
    let opened = redb::builder().open_read_only(world.path());
    assert!(matches!(opened, Err(::redb::DatabaseError::RepairAborted)), "{:?}", opened.err());

    let facts = world.facts();
    assert!(facts.get_many(&keys(&put)).is_empty());
    assert_eq!(fs::read(world.path()).unwrap(), as_killed);
    assert_eq!(facts.notice(), None);
    let one = put.iter().take(1).map(|(blob, facts)| (*blob, facts.clone())).collect();
    facts.put_many(&one);
    assert_eq!((all(&facts), facts.notice()), (put, None));
}

#[cfg(feature = "sled")]
mod of_sled {
    use super::*;

    fn world() -> World {
        let (name, make) = engines()[1];
        World { directory: tempfile::tempdir().unwrap(), name, make }
    }

    /// Somebody else has the lock: nobody fails, and facts are computed again.
    #[test]
    fn a_second_process_computes() {
        let world = world();
        let put = some_facts(50);
        world.facts().put_many(&put);
        let lock = world.path().with_added_extension("lock");
        let handle = Disk::default().open_or_create(&lock).unwrap();
        assert_eq!(handle.try_lock().unwrap(), crate::disk::LockAttempt::Taken);
        let facts = world.facts();
        assert!(facts.get_many(&keys(&put)).is_empty());
        facts.put_many(&some_facts(60));
        drop(handle);
        assert_eq!((all(&facts), facts.notice()), (put, None));
    }

    #[test]
    fn what_a_killed_writer_left_is_used() {
        let world = world();
        let put = some_facts(20);
        world.facts().put_many(&put);
        let open = ::sled::open(world.path()).unwrap();
        open.insert(Digest::sha256_of(b"x").as_bytes(), b"half of a batch").unwrap();
        open.remove(Digest::sha256_of(b"x").as_bytes()).unwrap();
        open.flush().unwrap();
        let as_killed = world.files();
        drop(open);
        world.put_back(&as_killed);
        let facts = world.facts();
        assert_eq!((all(&facts), facts.notice()), (put, None));
    }
}
