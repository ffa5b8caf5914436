//! `fsck` of a store by the built program, as a whole process, on one thread and on two, against SHA-256
//! alone over the same bytes in this process. All of it is in the page cache. The ratio is the time of
//! `fsck` on one thread over the contender's.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark is a program of its own, with files, environment and a terminal"
)]

mod measure;

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let (count, bytes): (u64, u64) = if measure::smoke() { (4, 4 << 20) } else { (16, 256 << 20) };
    let rounds = if measure::smoke() { 1 } else { 3 };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (inputs, store) = (directory.path().join("in"), directory.path().join("store"));
    std::fs::create_dir(&inputs).expect("a new directory");
    for number in 0..count {
        measure::fill(&inputs.join(format!("{number}.bin")), bytes, number + 1);
    }
    let bonded = || Command::new(env!("CARGO_BIN_EXE_bonded"));
    measure::must(bonded().arg("init").arg(&store));
    let ingest = ["ingest", "--release", "bench@1.0.0"];
    measure::must(bonded().arg("--store").arg(&store).args(ingest).arg(&inputs));
    std::fs::remove_dir_all(&inputs).expect("the inputs were there");

    let fsck = |arguments: &[&str]| {
        measure::must(bonded().arg("--store").arg(&store).arg("fsck").args(arguments));
    };
    let blobs: Vec<PathBuf> = std::fs::read_dir(store.join("blobs/sha256"))
        .expect("the pool")
        .map(|entry| entry.expect("a blob").path())
        .collect();
    blobs.iter().for_each(|path| measure::hash(path)); // so that everybody finds them in the page cache
    let mut one = || fsck(&["--threads", "1"]);
    let mut two = || fsck(&["--threads", "2"]);
    let mut fast = || fsck(&["--threads", "1", "--fast"]);
    let mut sha256 = || blobs.iter().for_each(|path| measure::hash(path));
    let mut contenders: [(&str, &mut dyn FnMut()); 4] = [
        ("fsck, one thread", &mut one),
        ("fsck, two threads", &mut two),
        ("SHA-256 alone, one thread", &mut sha256),
        ("fsck --fast, one thread", &mut fast),
    ];
    let medians = measure::medians(rounds, &mut contenders);
    println!("a store of {} MiB, median of {rounds}, ratio to one thread", (count * bytes) >> 20);
    for ((name, _), time) in contenders.iter().zip(&medians) {
        measure::line(name, *time, medians[0]);
    }
}
