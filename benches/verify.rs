//! Bundles verified per second, keyless with log entry and checkpoint, on one core and on all.
//!
//! The bundle is a real one from the public test vectors; without them this benchmark says so and ends.
//! The reference in the same run is the cryptographic library itself: one ECDSA P-256 verification over
//! a kilobyte. Rates move with the machine; the cost of a bundle in such verifications does not.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark is a program of its own, with files, environment and a terminal"
)]

mod measure;

use std::path::{Path, PathBuf};
use std::time::Instant;

use bonded_model::{Digest, Timestamp};
use bonded_verify::{FileExpectation, FileQuestion, TrustRoot, Verifier, verify_file};

const SIGNER: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn main() {
    let named = std::env::var_os("BONDED_VECTORS").map(PathBuf::from);
    let vectors =
        named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let file = vectors.join("slsa/gha_generic/v2.1.0/binary-linux-amd64-push-v14.2");
    let bundle = vectors.join("slsa/gha_generic/v2.1.0/binary-linux-amd64-push-v14.2.intoto.jsonl");
    let (Ok(file), Ok(bundle)) = (std::fs::read(file), std::fs::read(bundle)) else {
        println!("verify did not run: no test vectors at {}", vectors.display());
        return;
    };
    let digests = [Digest::sha256_of(&file)];
    let verifier = Verifier::new(TrustRoot::public_good()).expect("the embedded root is usable");
    let now = Timestamp::from_unix_seconds(1_790_000_000).expect("a time");
    let one = || {
        let question = FileQuestion {
            path: None,
            digests: &digests,
            size: None,
            bytes: None,
            bundle: &bundle,
            version: None,
            release_path: None,
        };
        let expectation = FileExpectation::Identity { san: SIGNER, issuer: ISSUER };
        let verdict = verify_file(&verifier, &expectation, &question, now);
        assert!(verdict.is_pass(), "{}", String::from_utf8_lossy(&verdict.to_json()));
    };
    let count = if measure::smoke() { 20 } else { 4_000 };
    let rounds = if measure::smoke() { 1 } else { 5 };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut alone = || (0..count).for_each(|_| one());
    let mut together = || {
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| (0..count).for_each(|_| one()));
            }
        });
    };
    let start = Instant::now();
    let mut reference = measure::p256(count * 10);
    let mut contenders: [(&str, &mut dyn FnMut()); 3] =
        [("P-256", &mut reference), ("one core", &mut alone), ("all cores", &mut together)];
    let medians = measure::medians(rounds, &mut contenders);
    let rate = |count: usize, at: usize| count as f64 / medians[at].as_secs_f64();
    let (floor, single, all) = (rate(count * 10, 0), rate(count, 1), rate(count * cores, 2));
    println!(
        "{count} verdicts on one keyless bundle of {} bytes, median of {rounds}",
        bundle.len()
    );
    println!("P-256 verifications, one core    {floor:9.0} /s");
    println!(
        "one core                         {single:9.0} bundles/s   {:5.1} P-256 each",
        floor / single
    );
    println!(
        "{cores} cores                          {all:9.0} bundles/s   {:5.2} x one core",
        all / single
    );
    println!("(whole run {:.1} s)", start.elapsed().as_secs_f64());
}
