//! Several processes on one store: writers side by side, readers that wait for nobody, the dead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bonded_model::Digest;
use bonded_store::Store;
use serde_json::Value;

use crate::world::World;

/// A process that is ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("KILL");
        drop(self.0.wait());
    }
}

impl Process {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command(arguments);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        drop(Command::new("kill").args([&format!("-{signal}"), &pid]).output());
    }

    fn succeeds(&mut self) -> bool {
        self.0.wait().unwrap().success()
    }
}

fn leases(world: &World) -> Vec<PathBuf> {
    let staging = fs::read_dir(world.path("store/bonded/staging")).unwrap();
    staging.map(|entry| entry.unwrap().path()).collect()
}

fn epoch(world: &World) -> u64 {
    Store::open(&world.path("store")).unwrap().snapshot().unwrap().epoch()
}

/// Starts an ingest of a large file and stops the process while it reads and hashes that file.
fn stopped_ingest(world: &World) -> Process {
    world.write("large/file", vec![7; 96 << 20]);
    loop {
        let mut process = Process::start(world, &["ingest", "--release", "large@v1", "large"]);
        let is_hashing = || {
            leases(world)
                .iter()
                .any(|lease| lease.join("lease").exists() && lease.join("0").exists())
        };
        while !is_hashing() && process.0.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        process.signal("STOP");
        let lock = fs::File::options().write(true).open(world.path("store/bonded/lock")).unwrap();
        if lock.try_lock().is_ok() && epoch(world) == 0 {
            return process;
        }
        // It was too fast to be caught.
        drop(process);
        fs::remove_dir_all(world.path("store")).unwrap();
        world.ok("init store");
    }
}

#[test]
fn one_process_commits_while_another_still_hashes() {
    let world = World::with_store();
    world.write("small/file", "small");
    let mut first = stopped_ingest(&world);
    let second = world.json("ingest --release small@v1 small --wait 0", 0);
    assert_eq!((&second["outcome"], &second["epoch"]), (&"created".into(), &1.into()));
    assert_eq!(leases(&world).len(), 1, "the lease of the living stays");
    first.signal("CONT");
    assert!(first.succeeds());
    let releases = world.json("list", 0);
    assert_eq!(releases["epoch"], 2);
    assert_eq!(releases["releases"].as_array().unwrap().len(), 2);
    assert_eq!(leases(&world), Vec::<PathBuf>::new());
}

#[test]
fn the_same_release_from_two_processes_is_one_release() {
    let world = World::with_store();
    let mut first = stopped_ingest(&world);
    assert_eq!(world.json("ingest --release large@v1 large --wait 0", 0)["outcome"], "created");
    first.signal("CONT");
    assert!(first.succeeds());
    assert_eq!(world.json("list", 0)["epoch"], 1);
    world.write("other/file", "other");
    world.run("ingest --release large@v1 other").must(2).says(&["sha256:", "file is"]);
}

#[test]
fn what_a_killed_process_left_is_cleared_by_the_next_writer() {
    let world = World::with_store();
    world.write("small/file", "small");
    drop(stopped_ingest(&world));
    assert_eq!(leases(&world).len(), 1);
    world.ok("ingest --release small@v1 small");
    assert_eq!(leases(&world), Vec::<PathBuf>::new());
    assert_eq!(epoch(&world), 1);
}

/// One look at the store: every release whole, every blob its name, nothing that was there before gone.
fn read_all(store: &Store, seen: &mut BTreeMap<String, String>, epoch_before: u64) -> u64 {
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.epoch() >= epoch_before, "{} after {epoch_before}", snapshot.epoch());
    let names = snapshot.releases().unwrap();
    assert_eq!(
        u64::try_from(names.len()).unwrap(),
        snapshot.epoch(),
        "one release for each commit"
    );
    for name in names {
        let evidence = snapshot.evidence(&name).unwrap();
        assert_eq!(evidence.documents.len(), 1, "{name} came with its checksums");
        for artifact in evidence.release.artifacts() {
            snapshot.verify_blob(&artifact.file).unwrap();
        }
        let digest = evidence.release.digest().to_string();
        let before = seen.entry(name.to_string()).or_insert_with(|| digest.clone());
        assert_eq!(*before, digest, "{name}");
    }
    assert_eq!(seen.len(), usize::try_from(snapshot.epoch()).unwrap(), "a release has gone");
    snapshot.epoch()
}

/// Ends the readers, also if the writing failed.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The files of the release that a commit takes in, by path.
fn files(commit: u64) -> BTreeMap<&'static str, Vec<u8>> {
    let tool = commit.to_le_bytes().repeat(40_000);
    [("tool", tool), ("same", b"the same in every release".to_vec())].into()
}

/// A process takes a release in, with a checksum list.
fn commit(world: &World, number: u64, options: &str) {
    let mut sums = String::new();
    for (path, bytes) in files(number) {
        sums += &format!("{}  {path}\n", Digest::sha256_of(&bytes).hex());
        world.write(&format!("in/{path}"), bytes);
    }
    world.write("in/SHA256SUMS", sums);
    world.ok(&format!("ingest --release demo@v{number} in {options}"));
}

/// Readers that keep a store open.
#[test]
fn four_readers_see_whole_states_while_processes_commit() {
    const COMMITS: u64 = 12;
    let world = World::with_store();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (store, done) = (Store::open(&world.path("store")).unwrap(), &done);
                scope.spawn(move || {
                    let (mut seen, mut epoch, mut looks) = (BTreeMap::new(), 0, 0_u64);
                    loop {
                        let is_last = done.load(Ordering::SeqCst);
                        epoch = read_all(&store, &mut seen, epoch);
                        looks += 1;
                        if is_last {
                            return (epoch, looks);
                        }
                    }
                })
            })
            .collect();
        let ended = Ended(&done);
        (0..COMMITS).for_each(|number| commit(&world, number, "--wait 0"));
        drop(ended);
        for reader in readers {
            let (epoch, looks) = reader.join().unwrap();
            assert_eq!(epoch, COMMITS);
            assert!(looks > 1);
        }
    });
}

/// What the processes of one reader have printed so far.
#[derive(Default)]
struct Printed {
    epoch: u64,
    /// The digest of each release.
    releases: BTreeMap<String, Value>,
}

impl Printed {
    /// One release for each commit, with all its files; none has gone or changed, and time runs forward.
    fn list(&mut self, world: &World) {
        let list = world.json("list", 0);
        let epoch = list["epoch"].as_u64().unwrap();
        assert!(epoch >= self.epoch, "{epoch} after {}", self.epoch);
        let mut releases = BTreeMap::new();
        for release in list["releases"].as_array().unwrap() {
            let name = release["name"].as_str().unwrap().to_owned();
            assert_files(release);
            releases.insert(name, release["index"]["digest"].clone());
        }
        let expected: BTreeSet<_> = (0..epoch).map(|number| format!("demo@v{number}")).collect();
        assert_eq!(releases.keys().cloned().collect::<BTreeSet<_>>(), expected, "at {epoch}");
        for (name, digest) in &self.releases {
            assert_eq!(releases[name], *digest, "{name}");
        }
        (self.epoch, self.releases) = (epoch, releases);
    }

    /// The newest release that was listed, with its evidence.
    fn show(&self, world: &World) {
        let Some(newest) = self.epoch.checked_sub(1) else { return };
        let name = format!("demo@v{newest}");
        let shown = world.json(&format!("show {name}"), 0);
        assert_files(&shown["release"]);
        assert_eq!(shown["release"]["index"]["digest"], self.releases[&name]);
        let [sums] = shown["evidence"].as_array().unwrap().as_slice() else { panic!("{shown:#}") };
        assert_eq!(sums["kind"], "checksums");
    }

    /// Every byte and every reference; what somebody is about to commit is nobody's yet, as is a directory
    /// whose lease is about to be taken.
    fn check(&self, world: &World) {
        let checked = world.json("fsck --no-quarantine", 0);
        for finding in checked["findings"].as_array().unwrap() {
            let is_file_of_writer =
                finding["path"].as_str().is_some_and(|path| path.contains("replacement"));
            let of_work = ["unreferenced-blob", "stray-staging"].map(Value::from);
            assert!(of_work.contains(&finding["code"]) && !is_file_of_writer, "{finding:#}");
        }
        let epochs = checked["epochs"].as_array().unwrap();
        let expected = (0..u64::try_from(epochs.len()).unwrap()).map(Value::from);
        assert_eq!(*epochs, expected.collect::<Vec<_>>(), "a gap in the history");
        assert!(epochs.last().unwrap().as_u64().unwrap() >= self.epoch);
    }
}

/// A release has the files that it was made of, and no others.
fn assert_files(release: &Value) {
    let name = release["name"].as_str().unwrap();
    let number = name.strip_prefix("demo@v").unwrap().parse().unwrap();
    let artifacts = release["artifacts"].as_array().unwrap().iter();
    let found = artifacts.map(|artifact| {
        let digest = artifact["file"]["digest"].as_str().unwrap();
        (artifact["path"].as_str().unwrap(), digest.to_owned())
    });
    let expected = files(number).into_iter();
    let expected = expected.map(|(path, bytes)| (path, Digest::sha256_of(&bytes).to_string()));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.collect::<BTreeMap<_, _>>(), "{name}");
}

/// Every look is a process of its own, and the writer is one as well.
#[test]
fn four_reading_processes_see_whole_states_while_another_commits() {
    /// Each reader sees so many states at least, so that the commits do come while it reads.
    const STATES: u64 = 6;
    let world = World::with_store();
    let done = AtomicBool::new(false);
    let states: [AtomicU64; 4] = Default::default();
    std::thread::scope(|scope| {
        let (world, done) = (&world, &done);
        let readers = states.each_ref().map(|states| {
            scope.spawn(move || {
                let mut printed = Printed::default();
                loop {
                    let is_last = done.load(Ordering::SeqCst);
                    let before = printed.epoch;
                    printed.list(world);
                    printed.show(world);
                    printed.check(world);
                    states.fetch_add(u64::from(printed.epoch > before), Ordering::SeqCst);
                    if is_last {
                        return printed.epoch;
                    }
                }
            })
        });
        let ended = Ended(done);
        let mut commits = 0;
        let has_seen_enough = |states: &AtomicU64| states.load(Ordering::SeqCst) >= STATES;
        // A reader that failed sees nothing more.
        while !states.iter().all(has_seen_enough) && !readers.iter().any(|r| r.is_finished()) {
            // Who checks a store may look at the lock, so there is something to wait for.
            commit(world, commits, "");
            commits += 1;
        }
        drop(ended);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), commits);
        }
    });
}
