//! Pieces of a bundle that have parsers of their own, each put into a bundle that is good otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_verify::FileExpectation;
use serde_json::Value;

use super::verdicts::{VERIFIER, ask};

const GOOD: [&str; 2] =
    [include_str!("../corpus/bundle/v1.json"), include_str!("../corpus/bundle/v2.json")];

const CERTIFICATE: &str = "/verificationMaterial/certificate/rawBytes";
const STAMP: &str =
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
const BODY: &str = "/verificationMaterial/tlogEntries/0/canonicalizedBody";
const PROMISE: &str = "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp";
const CHECKPOINT: &str = "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope";

fn put(place: &str, text: &str) {
    for good in GOOD {
        let mut bundle: Value = serde_json::from_str(good).expect("a bundle");
        // An entry of Rekor v2 has no promise.
        let Some(piece) = bundle.pointer_mut(place) else { continue };
        *piece = text.into();
        let any = FileExpectation::Identity { san: "anybody", issuer: "anywhere" };
        ask(&VERIFIER, &any, bundle.to_string().as_bytes());
    }
}

pub fn certificate(bytes: &[u8]) {
    put(CERTIFICATE, &STANDARD.encode(bytes));
}

pub fn timestamp(bytes: &[u8]) {
    put(STAMP, &STANDARD.encode(bytes));
}

pub fn log_body(bytes: &[u8]) {
    put(BODY, &STANDARD.encode(bytes));
}

pub fn promise(bytes: &[u8]) {
    put(PROMISE, &STANDARD.encode(bytes));
}

pub fn checkpoint(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        put(CHECKPOINT, text);
    }
}
