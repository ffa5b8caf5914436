//! Ingest of one large file by the built program, as a whole process and durable, against `sha256sum`
//! and `cp` on the same file in the same run. The ratio is `sha256sum`'s time over the contender's.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark is a program of its own, with files, environment and a terminal"
)]

mod measure;

use std::io::Write;
use std::path::Path;
use std::process::Command;

fn main() {
    let bytes: u64 = if measure::smoke() { 16 << 20 } else { 1 << 30 };
    let rounds = if measure::smoke() { 1 } else { 5 };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("large.bin");
    fill(&file, bytes);
    // Two reads, so that every contender finds the file in the page cache.
    measure::must(Command::new("sha256sum").arg(&file));

    let (store, copy) = (directory.path().join("store"), directory.path().join("copy"));
    let mut ingest = || {
        let bonded = || Command::new(env!("CARGO_BIN_EXE_bonded"));
        measure::must(bonded().arg("init").arg(&store));
        measure::must(
            bonded()
                .arg("--store")
                .arg(&store)
                .args(["ingest", "--release", "bench@1.0.0"])
                .arg(&file),
        );
        std::fs::remove_dir_all(&store).expect("the store was there");
    };
    let mut cp = || {
        measure::must(Command::new("cp").arg(&file).arg(&copy));
        std::fs::remove_file(&copy).expect("the copy was there");
    };
    let mut cp_sync = || {
        let script = "cp \"$1\" \"$2\" && sync \"$2\"";
        measure::must(Command::new("sh").args(["-c", script, "sh"]).arg(&file).arg(&copy));
        std::fs::remove_file(&copy).expect("the copy was there");
    };
    let mut sum = || measure::must(Command::new("sha256sum").arg(&file));
    let mut contenders: [(&str, &mut dyn FnMut()); 4] = [
        ("sha256sum", &mut sum),
        ("cp", &mut cp),
        ("cp, then sync", &mut cp_sync),
        ("bonded init + ingest, durable", &mut ingest),
    ];
    let medians = measure::medians(rounds, &mut contenders);
    println!("one file of {} MiB, median of {rounds}, ratio to sha256sum", bytes >> 20);
    for ((name, _), time) in contenders.iter().zip(&medians) {
        measure::line(name, *time, medians[0]);
    }
}

/// Pseudo-random bytes from a fixed seed: nothing that a file system could compress.
fn fill(path: &Path, bytes: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a new file"));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..bytes / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).expect("space for the file");
    }
    file.into_inner().expect("all written").sync_all().expect("synced");
}
