//! Bundles verified per second, keyless with log entry and checkpoint, on one core and on all; and one file
//! with its bundle by the built program as a process, against `sigstore verify identity`.
//!
//! The bundles are one by the signer for tests and, where the public test vectors are, a real one. The
//! reference in the same run is the cryptographic library itself: one ECDSA P-256 verification over
//! a kilobyte. Rates move with the machine; the cost of a bundle in such verifications does not. What a bundle
//! costs beyond its elliptic curves ([`measure::curves`]) is everything else: certificates, JSON, base64, hashes
//! and policy.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark is a program of its own, with files, environment and a terminal"
)]

mod measure;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bonded_model::{Digest, Timestamp};
use bonded_testsigner::{Content, Request, World};
use bonded_verify::{FileExpectation, FileQuestion, TrustRoot, Verifier, verify_file};

const SIGNER: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0";
const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A bundle with the file that it is about, and who signed it.
struct Subject {
    name: &'static str,
    digest: Digest,
    bundle: Vec<u8>,
    identity: &'static str,
    verifier: Verifier,
}

fn main() {
    let named = std::env::var_os("BONDED_VECTORS").map(PathBuf::from);
    let vectors =
        named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let start = Instant::now();
    rates(&of_test_signer());
    match of_generator(&vectors) {
        Some(subject) => rates(&subject),
        None => println!("no real bundle was verified: no test vectors at {}", vectors.display()),
    }
    processes(&vectors.join("sigstore-bundles"));
    println!("(whole run {:.1} s)", start.elapsed().as_secs_f64());
}

fn of_test_signer() -> Subject {
    let (world, file) = (World::new(), b"a file".as_slice());
    let digest = Digest::sha256_of(file);
    let statement = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","predicate":{{}},"predicateType":"https://example.com/t","subject":[{{"digest":{{"sha256":"{}"}},"name":"a"}}]}}"#,
        digest.hex()
    );
    let content = Content::Statement(statement.as_bytes());
    let request = Request { content, ..Request::default() };
    let root = TrustRoot::parse(&world.trusted_root()).expect("a trusted root");
    Subject {
        name: "by the signer for tests",
        digest,
        bundle: world.keyless(&request).to_json(),
        identity: Request::default().identity,
        verifier: Verifier::new(root).expect("the root is usable"),
    }
}

fn of_generator(vectors: &Path) -> Option<Subject> {
    let at = vectors.join("slsa/gha_generic/v2.1.0/binary-linux-amd64-push-v14.2");
    let file = std::fs::read(&at).ok()?; // the vectors are not in the repository
    Some(Subject {
        name: "by a real generator",
        digest: Digest::sha256_of(&file),
        bundle: std::fs::read(at.with_added_extension("intoto.jsonl")).ok()?, // likewise
        identity: SIGNER,
        verifier: Verifier::new(TrustRoot::public_good()).expect("the embedded root is usable"),
    })
}

impl Subject {
    fn verify(&self, now: Timestamp) {
        let question = FileQuestion {
            path: None,
            digests: &[self.digest],
            size: None,
            bytes: None,
            bundle: &self.bundle,
            version: None,
            release_path: None,
        };
        let expectation = FileExpectation::Identity { san: self.identity, issuer: ISSUER };
        let verdict = verify_file(&self.verifier, &expectation, &question, now);
        assert!(verdict.is_pass(), "{}", String::from_utf8_lossy(&verdict.to_json()));
    }
}

fn rates(subject: &Subject) {
    let now = Timestamp::from_unix_seconds(1_790_000_000).expect("a time");
    let count = if measure::smoke() { 20 } else { 3_000 };
    let rounds = if measure::smoke() { 1 } else { 5 };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut alone = || (0..count).for_each(|_| subject.verify(now));
    let mut together = || {
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| (0..count).for_each(|_| subject.verify(now)));
            }
        });
    };
    let (mut p256, mut p384) = (measure::p256(count * 10), measure::p384(count));
    let mut contenders: [(&str, &mut dyn FnMut()); 4] = [
        ("P-256", &mut p256),
        ("P-384", &mut p384),
        ("one core", &mut alone),
        ("all cores", &mut together),
    ];
    let medians = measure::medians(rounds, &mut contenders);
    let rate = |count: usize, at: usize| count as f64 / medians[at].as_secs_f64();
    let (floor, large) = (rate(count * 10, 0), rate(count, 1));
    let (single, all) = (rate(count, 2), rate(count * cores, 3));
    let curves = measure::curves(1.0 / floor, 1.0 / large) * single * 100.0;
    println!(
        "{count} verdicts on one keyless bundle of {} bytes, {}, median of {rounds}",
        subject.bundle.len(),
        subject.name
    );
    println!("P-256 verifications, one core    {floor:9.0} /s   P-384 {large:.0} /s");
    println!(
        "one core                         {single:9.0} bundles/s   {:5.1} P-256 each",
        floor / single
    );
    println!(
        "{cores} cores                          {all:9.0} bundles/s   {:5.2} x one core",
        all / single
    );
    println!("elliptic curves                  {curves:9.0} %");
    println!("parsing, hashes and policy       {:9.0} %", 100.0 - curves);
}

/// One small file and its bundle, from start to end of a process.
fn processes(vectors: &Path) {
    let (bundle, file) =
        (vectors.join("happy-path-v0.3/bundle.sigstore.json"), vectors.join("a.txt"));
    let mut known = Command::new("sigstore");
    if !bundle.exists() || known.arg("--version").output().is_err() {
        println!("no process was measured: no test vectors, or no program `sigstore`");
        return;
    }
    let rounds = if measure::smoke() { 1 } else { 5 };
    let mut theirs = || {
        let mut command = Command::new("sigstore");
        command.args(["verify", "identity", "--offline", "--cert-identity", BEACON]);
        command.args(["--cert-oidc-issuer", ISSUER, "--bundle"]).arg(&bundle).arg(&file);
        measure::must(&mut command);
    };
    let mut ours = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bonded"));
        command.args(["verify", "--identity", BEACON, "--issuer", ISSUER, "--bundle"]);
        measure::must(command.arg(&bundle).arg(&file));
    };
    let mut contenders: [(&str, &mut dyn FnMut()); 2] =
        [("sigstore verify identity", &mut theirs), ("bonded verify", &mut ours)];
    let medians = measure::medians(rounds, &mut contenders);
    println!("one bundle as a process, median of {rounds}, ratio to sigstore");
    for ((name, _), time) in contenders.iter().zip(&medians) {
        measure::line(name, *time, medians[0]);
    }
}
