//! Several processes on one store: writers side by side, readers that wait for nobody, the dead.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};

use bonded_store::Store;

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
        for round in 0..COMMITS {
            let bytes = vec![u8::try_from(round).unwrap(); 300_000];
            world.write("in/tool", &bytes);
            world.write("in/same", "the same in every release");
            let hex = bonded_model::Digest::sha256_of(&bytes).hex();
            world.write("in/SHA256SUMS", format!("{hex}  tool\n"));
            world.ok(&format!("ingest --release demo@v{round} in --wait 0"));
        }
        drop(ended);
        for reader in readers {
            let (epoch, looks) = reader.join().unwrap();
            assert_eq!(epoch, COMMITS);
            assert!(looks > 1);
        }
    });
}
