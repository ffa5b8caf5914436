//! Measuring for the benchmarks: medians of several runs, alternating between the things compared, so
//! that a noisy machine is noisy for both. Ratios are what counts; seconds are for orientation.

#![allow(dead_code, reason = "each benchmark uses a part of this module")]

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair, UnparsedPublicKey,
};
use sha2::{Digest, Sha256};

/// Whether this is a smoke run: small sizes, one round, no claims.
pub(crate) fn smoke() -> bool {
    std::env::args().any(|argument| argument == "--smoke")
}

/// The median time of each contender over `rounds` rounds, in turn.
pub(crate) fn medians(rounds: usize, contenders: &mut [(&str, &mut dyn FnMut())]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            times.push(start.elapsed());
        }
    }
    times.into_iter().map(median).collect()
}

/// The middle of some times.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Runs a command to its end and insists on success.
pub(crate) fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// One line of a result: median seconds and the ratio to the reference.
pub(crate) fn line(name: &str, time: Duration, reference: Duration) {
    let (time, reference) = (time.as_secs_f64(), reference.as_secs_f64());
    println!("{name:32} {time:9.4} s   {:6.2} x", reference / time);
}

/// Reads a file to its end and hashes it, on this thread.
pub(crate) fn hash(path: &Path) {
    let mut file = File::open(path).expect("the file is there");
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut buffer).expect("readable") {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    std::hint::black_box(hash.finalize());
}

/// Writes pseudo-random bytes, durably: nothing that a file system could compress, and another sequence for
/// each seed from 1 on.
pub(crate) fn fill(path: &Path, bytes: u64, seed: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a new file"));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
    for _ in 0..bytes / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).expect("space for the file");
    }
    file.into_inner().expect("all written").sync_all().expect("synced");
}

/// Verifies one signature over P-256 and a kilobyte so many times.
pub(crate) fn p256(count: usize) -> impl FnMut() {
    curve(count, &ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1)
}

/// The same over P-384.
pub(crate) fn p384(count: usize) -> impl FnMut() {
    curve(count, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1)
}

/// What the elliptic curves of one keyless bundle cost: over P-256 the signature, the certificate's timestamp, the
/// checkpoint, and the log's promise, which the library verifies twice; over P-384 the certificate.
pub(crate) fn curves(p256: f64, p384: f64) -> f64 {
    5.0 * p256 + p384
}

fn curve(
    count: usize,
    signing: &'static EcdsaSigningAlgorithm,
    verifying: &'static EcdsaVerificationAlgorithm,
) -> impl FnMut() {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let pair = EcdsaKeyPair::generate(signing).expect("a key");
    let message = [7_u8; 1024];
    let signature = pair.sign(&random, &message).expect("a signature").as_ref().to_vec();
    let public = pair.public_key().as_ref().to_vec();
    move || {
        let key = UnparsedPublicKey::new(verifying, &public);
        (0..count).for_each(|_| key.verify(&message, &signature).expect("the signature holds"));
    }
}
