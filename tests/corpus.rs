//! Every parser of outside bytes over the corpus of its fuzz target, over small changes of it, and over the
//! public vectors: the bodies of the targets in `fuzz/`, run without a fuzzer. A body that panics is a failed
//! test; one that does not end ends the whole run, with the input that it was given.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests touch files and the environment directly"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
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

/// For how many seconds each target gets changed inputs, in place of the count beside its name: for a machine with
/// nothing else to do. Counts make a run try the same however busy the machine is.
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

/// An input that a body is at work on.
struct Running {
    target: String,
    what: String,
    bytes: Vec<u8>,
}

/// Gives inputs to bodies, each of which has to come back in its time.
struct Watched(Sender<Running>);

impl Watched {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            if let Some(stuck) = watch(&receiver, INPUT_TIME_MAX) {
                // What a test prints is told when it ends, which this one does not.
                let Running { target, what, bytes } = stuck;
                let told = format!("{target} does not end on {what}: {}\n", shown(&bytes));
                drop(std::io::stderr().write_all(told.as_bytes()));
                std::process::abort();
            }
        });
        Self(sender)
    }

    fn run(&self, target: &str, what: &str, bytes: &[u8]) {
        let (target, what) = (target.to_owned(), what.to_owned());
        let running = Running { target, what, bytes: bytes.to_vec() };
        self.0.send(running).expect("it is watched as long as there are inputs");
    }
}

/// The input that was not followed by another one in time; none when all were.
fn watch(inputs: &Receiver<Running>, time: Duration) -> Option<Running> {
    let mut last = inputs.recv().ok()?; // there was no input
    loop {
        match inputs.recv_timeout(time) {
            Ok(next) => last = next,
            Err(RecvTimeoutError::Timeout) => return Some(last),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

fn run(watched: &Watched, target: &str, what: &str, bytes: &[u8]) {
    watched.run(target, what, bytes);
    let outcome = std::panic::catch_unwind(|| fuzz::run(target, bytes));
    assert!(outcome.is_ok(), "{target} panics on {what}: {}", shown(bytes));
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

fn replay(targets: &[(&str, usize)]) {
    let watched = Watched::new();
    for (name, change_count) in targets {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for (file, bytes) in &corpus {
            run(&watched, name, file, bytes);
        }
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let (started, seconds) = (Instant::now(), seconds());
        let mut count = 0;
        while seconds.map_or(count < *change_count, |most| started.elapsed() < most) {
            let (_, bytes) = &corpus[numbers.below(corpus.len())];
            if bytes.len() <= CHANGED_BYTES_MAX {
                let changed = changed(bytes, &mut numbers);
                run(&watched, name, &format!("change {count}"), &changed);
            }
            count += 1;
        }
        eprintln!("{name}: {} files, {count} changed, {:?}", corpus.len(), started.elapsed());
    }
}

/// For how long inputs are changed, where somebody said so.
fn seconds() -> Option<Duration> {
    let text = std::env::var(SECONDS).ok()?; // nobody did
    Some(Duration::from_secs(text.parse().expect("a number of seconds")))
}

/// The targets of each test, so that they run side by side, and how many changed inputs each gets: about a
/// second's worth of a program built to be debugged. The first test holds that none is left out.
const GROUPS: [&[(&str, usize)]; 6] = [
    &[
        ("json", 3_000),
        ("names", 3_000),
        ("statement", 3_000),
        ("predicate", 1_500),
        ("envelope", 3_000),
        ("sbom", 3_000),
        ("checksums", 3_000),
        ("manifest", 500),
    ],
    &[
        ("listing", 3_000),
        ("mirror_plan", 2_000),
        ("mirror_record", 3_000),
        ("sniff", 3_000),
        ("bundle", 250),
        ("evidence", 50),
        ("cosign_layer", 50),
        ("cosign_files", 50),
        ("metablock", 50),
        ("cached_verdict", 300),
    ],
    &[
        ("certificate", 100),
        ("timestamp", 80),
        ("log_body", 30),
        ("checkpoint", 150),
        ("promise", 100),
    ],
    &[
        ("policy", 600),
        ("expression", 200),
        ("pattern", 40),
        ("public_key", 3_000),
        ("trust_root", 800),
    ],
    &[
        ("store_root", 500),
        ("catalog_page", 800),
        ("journal", 200),
        ("facts_record", 25),
        ("archive", 1_000),
        ("layout", 60),
        ("sidecar", 50),
    ],
    &[("request", 1_200)],
];

#[test]
fn every_target_is_in_one_group() {
    let mut grouped: Vec<&str> = GROUPS.concat().iter().map(|(name, _)| *name).collect();
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    grouped.sort_unstable();
    targets.sort_unstable();
    assert_eq!(grouped, targets);
}

/// A body that is stopped before its parser finds nothing.
#[test]
fn bodies_get_to_what_they_are_named_after() {
    fuzz::reach();
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
    let watched = Watched::new();
    for (folder, targets) in VECTORS {
        let Some(folder) = vectors(folder) else { return };
        for path in files(&folder) {
            let bytes = read(&path);
            if bytes.len() > VECTOR_BYTES_MAX {
                continue;
            }
            for name in targets {
                run(&watched, name, &path.display().to_string(), &bytes);
            }
        }
    }
}

/// The time was looked at after the body had come back, which one that hangs does not do.
#[test]
fn an_input_that_does_not_end_is_found() {
    let input = |target: &str| Running {
        target: target.to_owned(),
        what: "a file".to_owned(),
        bytes: Vec::new(),
    };
    let (sender, receiver) = mpsc::channel();
    ["json", "names"].into_iter().for_each(|target| sender.send(input(target)).unwrap());
    let stuck = watch(&receiver, Duration::from_millis(1)).expect("the second never ends");
    assert_eq!(stuck.target, "names");
    sender.send(input("json")).unwrap();
    drop(sender);
    assert!(watch(&receiver, INPUT_TIME_MAX).is_none());
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
