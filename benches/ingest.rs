//! Ingest by the built program, as a whole process and durable when it ends, against what stands beside
//! it on the same files in the same run: one large file, several large ones, many small ones, and a
//! directory that `restic` backs up as well.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark is a program of its own, with files, environment and a terminal"
)]

mod measure;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One comparison: contenders with the names that stand in the result.
type Contenders<'a> = [(&'a str, &'a mut dyn FnMut())];

fn main() {
    let rounds = if measure::smoke() { 1 } else { 5 };
    let directory = tempfile::tempdir().expect("a temporary directory");
    large(directory.path(), rounds);
    several(directory.path(), rounds);
    small(directory.path(), rounds);
    println!(
        "\nrestic init and backup with its defaults, the cache included, of the directory with one file"
    );
    restic(directory.path(), rounds);
}

fn large(at: &Path, rounds: usize) {
    let bytes: u64 = if measure::smoke() { 16 << 20 } else { 1 << 30 };
    let input = at.join("large");
    fs::create_dir(&input).expect("a directory");
    let file = input.join("large.bin");
    measure::fill(&file, bytes, 1);
    let copy = at.join("copy");
    let mut cp = || {
        measure::must(Command::new("cp").arg(&file).arg(&copy));
        fs::remove_file(&copy).expect("the copy was there");
    };
    let mut cp_sync = || {
        let script = "cp \"$1\" \"$2\" && sync \"$2\"";
        measure::must(Command::new("sh").args(["-c", script, "sh"]).arg(&file).arg(&copy));
        fs::remove_file(&copy).expect("the copy was there");
    };
    let mut sum = || measure::must(Command::new("sha256sum").arg(&file));
    let mut in_process = || measure::hash(&file);
    let mut ingest = || ingest(at, &file, &[]);
    let mut linked = || self::ingest(at, &file, &["--immutable-source"]);
    println!("one file of {} MiB, median of {rounds}, ratio to sha256sum", bytes >> 20);
    print(
        rounds,
        &mut [
            ("sha256sum", &mut sum),
            ("cp", &mut cp),
            ("cp, then sync", &mut cp_sync),
            ("SHA-256 in process, one thread", &mut in_process),
            ("bonded init + ingest, durable", &mut ingest),
            ("the same, --immutable-source", &mut linked),
        ],
    );
}

fn several(at: &Path, rounds: usize) {
    let bytes: u64 = if measure::smoke() { 9 << 20 } else { 256 << 20 };
    let input = at.join("several");
    fs::create_dir(&input).expect("a directory");
    let files: Vec<PathBuf> = (0..8).map(|number| input.join(format!("{number}.bin"))).collect();
    (1..).zip(&files).for_each(|(seed, file)| measure::fill(file, bytes, seed));
    let mut two_threads = || {
        std::thread::scope(|scope| {
            for half in files.chunks(4) {
                scope.spawn(|| half.iter().for_each(|file| measure::hash(file)));
            }
        });
    };
    let mut ingest = || ingest(at, &input, &[]);
    // The files become read-only by this, and can still be hashed, copied and linked.
    let mut linked = || self::ingest(at, &input, &["--immutable-source"]);
    println!(
        "\neight files of {} MiB, median of {rounds}, ratio to two hashing threads",
        bytes >> 20
    );
    print(
        rounds,
        &mut [
            ("SHA-256 in process, two threads", &mut two_threads),
            ("bonded init + ingest, durable", &mut ingest),
            ("the same, --immutable-source", &mut linked),
        ],
    );
    fs::remove_dir_all(&input).expect("the files were there");
}

fn small(at: &Path, rounds: usize) {
    let count = if measure::smoke() { 40 } else { 4_000 };
    let input = at.join("small");
    fs::create_dir(&input).expect("a directory");
    for number in 0..count {
        measure::fill(&input.join(format!("{number:05}")), 4096, number + 1);
    }
    let mut loop_of_four = || write_one_by_one(&input, &at.join("loop"));
    let mut ingest = || ingest(at, &input, &[]);
    let mut contenders: [(&str, &mut dyn FnMut()); 2] = [
        ("write, fsync, rename, fsync", &mut loop_of_four),
        ("bonded init + ingest, durable", &mut ingest),
    ];
    let medians = measure::medians(rounds, &mut contenders);
    println!("\n{count} files of 4 KiB, median of {rounds}; a file and its manifest are two blobs");
    let rate = |blobs: u64, time: Duration| blobs as f64 / time.as_secs_f64();
    let (reference, ours) = (rate(count, medians[0]), rate(2 * count, medians[1]));
    println!("{:32} {reference:9.0} blobs/s", contenders[0].0);
    println!("{:32} {ours:9.0} blobs/s {:6.2} x", contenders[1].0, ours / reference);
    fs::remove_dir_all(&input).expect("the files were there");
}

/// What a careful program does for each file by itself.
fn write_one_by_one(input: &Path, at: &Path) {
    fs::create_dir(at).expect("a directory");
    let directory = File::open(at).expect("it was made");
    for entry in fs::read_dir(input).expect("the files") {
        let source = entry.expect("an entry").path();
        let bytes = fs::read(&source).expect("a small file");
        let (temporary, name) =
            (at.join("temporary"), at.join(source.file_name().expect("a name")));
        let mut file = File::create(&temporary).expect("a new file");
        file.write_all(&bytes).expect("space for the file");
        file.sync_all().expect("synced");
        fs::rename(&temporary, &name).expect("renamed");
        directory.sync_all().expect("synced");
    }
    fs::remove_dir_all(at).expect("it was made");
}

fn restic(at: &Path, rounds: usize) {
    if Command::new("restic").arg("version").output().is_err() {
        println!("restic did not run: there is none here");
        return;
    }
    let (input, repository, cache) = (at.join("large"), at.join("restic"), at.join("cache"));
    let mut backup = || {
        for arguments in [vec!["init"], vec!["backup", input.to_str().expect("a plain path")]] {
            let mut command = Command::new("restic");
            command.env("RESTIC_PASSWORD", "bench").env("XDG_CACHE_HOME", &cache);
            measure::must(command.arg("--quiet").arg("--repo").arg(&repository).args(arguments));
        }
        for made in [&repository, &cache] {
            fs::remove_dir_all(made).expect("restic made it");
        }
    };
    let mut ingest = || ingest(at, &input, &[]);
    print(
        rounds,
        &mut [
            ("restic init + backup", &mut backup),
            ("bonded init + ingest, durable", &mut ingest),
        ],
    );
}

fn print(rounds: usize, contenders: &mut Contenders<'_>) {
    let medians = measure::medians(rounds, contenders);
    for ((name, _), time) in contenders.iter().zip(&medians) {
        measure::line(name, *time, medians[0]);
    }
}

/// Makes a store, takes the input in, and removes the store.
fn ingest(at: &Path, input: &Path, options: &[&str]) {
    let store = at.join("store");
    let bonded = || Command::new(env!("CARGO_BIN_EXE_bonded"));
    measure::must(bonded().arg("init").arg(&store));
    let ingest = ["ingest", "--release", "bench@1.0.0"];
    measure::must(bonded().arg("--store").arg(&store).args(ingest).args(options).arg(input));
    fs::remove_dir_all(&store).expect("the store was there");
}
