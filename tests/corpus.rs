//! Every parser of outside bytes over the corpus of its fuzz target, over small changes of it, and over the
//! public vectors: the bodies of the targets in `fuzz/`, run without a fuzzer. A body that panics is a failed
//! test; so is one that takes long.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests touch files and the environment directly"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../fuzz/bodies/lib.rs"]
mod fuzz;
#[path = "world/vectors.rs"]
mod vectors;

use fuzz::TARGETS;
use vectors::vectors;

/// No input of the corpus is long, so none takes long, even where the program was built to be debugged on a
/// machine that is busy. What a limit allows at most is tested beside the limit.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);

/// For how long each target gets changed inputs.
const CHANGES_TIME: Duration = Duration::from_millis(1_500);

/// Of a fast machine no more is asked than of a slow one.
const CHANGE_COUNT_MAX: usize = 5_000;

/// A longer time than that, in seconds, for a machine with nothing else to do, and without that bound.
const SECONDS: &str = "BONDED_FUZZ_SECONDS";

/// Bytes of a changed input. Those of the vectors that are longer are read unchanged.
const CHANGED_BYTES_MAX: usize = 64 * 1024;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    // In a fuzzer's folder, so that what it finds can be put there as it is.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli has a parent");
    let mut files = files(&root.join("fuzz/corpus").join(target));
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), read(&path))).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a directory; none where it is not there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn run(target: &str, what: &str, bytes: &[u8]) {
    let started = Instant::now();
    let outcome = std::panic::catch_unwind(|| fuzz::run(target, bytes));
    assert!(outcome.is_ok(), "{target} panics on {what}: {}", shown(bytes));
    let took = started.elapsed();
    assert!(took < INPUT_TIME_MAX, "{target} takes {took:?} for {what}: {}", shown(bytes));
}

fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..4096).unwrap_or(bytes);
    start.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

/// A row of numbers that is the same on every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("a length");
        usize::try_from(self.next() % bound).expect("below a length")
    }
}

/// What parsers trip over.
const PIECES: [&[u8]; 20] = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc3\x28",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\u0000",
    b"\\ud800",
    b"-1",
    b"1e999",
    b"NaN",
    b"18446744073709551616",
    b"null",
    b"\n",
    b"=",
    b"..",
    b"'''",
];

/// One to four changes: a bit, a byte, a piece put in, a part left out, moved, or cut off.
fn changed(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let to = (at + 1 + numbers.below(16)).min(bytes.len());
        match numbers.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
            1 if !bytes.is_empty() => bytes[at] = numbers.next().to_le_bytes()[7],
            2 => drop(bytes.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
            3 if at < to => drop(bytes.drain(at..to)),
            4 if at < to => {
                let part = bytes[at..to].to_vec();
                let place = numbers.below(bytes.len());
                bytes.splice(place..place, part);
            }
            5 => {
                let place = numbers.below(bytes.len());
                bytes.splice(at..at, PIECES[numbers.below(PIECES.len())].repeat(place % 300));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn replay(targets: &[&str]) {
    for name in targets {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for (file, bytes) in &corpus {
            run(name, file, bytes);
        }
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let started = Instant::now();
        let mut count = 0;
        let (time, count_max) = bounds();
        while started.elapsed() < time && count < count_max {
            let (_, bytes) = &corpus[numbers.below(corpus.len())];
            if bytes.len() <= CHANGED_BYTES_MAX {
                run(name, &format!("change {count}"), &changed(bytes, &mut numbers));
            }
            count += 1;
        }
        eprintln!("{name}: {} files, {count} changed", corpus.len());
    }
}

/// For how long and how often inputs are changed.
fn bounds() -> (Duration, usize) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()); // none was asked for
    match seconds {
        Some(seconds) => (Duration::from_secs(seconds), usize::MAX),
        None => (CHANGES_TIME, CHANGE_COUNT_MAX),
    }
}

/// The targets of each test, so that they run side by side; the first test holds that none is left out.
const GROUPS: [&[&str]; 6] = [
    &["json", "names", "statement", "predicate", "envelope", "sbom", "checksums", "manifest"],
    &[
        "listing",
        "mirror_plan",
        "mirror_record",
        "sniff",
        "bundle",
        "evidence",
        "cosign_layer",
        "metablock",
        "cached_verdict",
    ],
    &["certificate", "timestamp", "log_body", "checkpoint", "promise"],
    &["policy", "expression", "pattern", "public_key", "trust_root"],
    &["store_root", "catalog_page", "journal", "facts_record", "archive", "layout", "sidecar"],
    &["request"],
];

#[test]
fn every_target_is_in_one_group() {
    let mut grouped: Vec<&str> = GROUPS.concat();
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    grouped.sort_unstable();
    targets.sort_unstable();
    assert_eq!(grouped, targets);
}

#[test]
fn documents() {
    replay(GROUPS[0]);
}

#[test]
fn listings_and_bundles() {
    replay(GROUPS[1]);
}

#[test]
fn pieces_of_bundles() {
    replay(GROUPS[2]);
}

#[test]
fn policies() {
    replay(GROUPS[3]);
}

#[test]
fn stores() {
    replay(GROUPS[4]);
}

#[test]
fn requests() {
    replay(GROUPS[5]);
}

/// Which targets take the vectors of a folder.
const VECTORS: [(&str, &[&str]); 5] = [
    ("sigstore-bundles", &["json", "bundle", "evidence", "trust_root", "public_key"]),
    ("slsa", &["json", "bundle", "evidence", "envelope", "public_key"]),
    ("kubernetes", &["json", "statement", "evidence", "predicate"]),
    ("sbom", &["json", "sbom", "sniff"]),
    ("purl", &["json", "names"]),
];

/// Real documents are long, and some bodies read a document in many ways.
const VECTOR_BYTES_MAX: usize = 256 * 1024;

#[test]
fn vectors_are_read_by_the_targets_that_fit() {
    for (folder, targets) in VECTORS {
        let Some(folder) = vectors(folder) else { return };
        for path in files(&folder) {
            let bytes = read(&path);
            if bytes.len() > VECTOR_BYTES_MAX {
                continue;
            }
            for name in targets {
                run(name, &path.display().to_string(), &bytes);
            }
        }
    }
}

/// That a row of changes is the same on every run.
#[test]
fn changes_are_the_same_on_every_run() {
    let row = || {
        let mut numbers = Numbers(1);
        (0..50).map(|_| changed(b"{\"a\":[1,2,3]}", &mut numbers)).collect::<Vec<_>>()
    };
    assert_eq!(row(), row());
}
