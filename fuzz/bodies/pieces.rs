//! Pieces of a bundle that have parsers of their own, each put into a bundle that is good otherwise.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_testsigner::{Content, Log, Request, World};
use bonded_verify::{FileExpectation, Verdict};
use serde_json::Value;

use super::verdicts::{FILE, VERIFIER, ask};

const GOOD: [&str; 2] =
    [include_str!("../corpus/bundle/v1.json"), include_str!("../corpus/bundle/v2.json")];

/// That of the bundles.
const STATEMENT: &[u8] = br#"{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"https://example.com/t","subject":[{"digest":{"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},"name":"a"}]}"#;

const CERTIFICATE: &str = "/verificationMaterial/certificate/rawBytes";
const STAMP: &str =
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
const PROMISE: &str = "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp";
const CHECKPOINT: &str = "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope";

fn put(place: &str, text: &str) {
    for good in GOOD {
        let mut bundle: Value = serde_json::from_str(good).expect("a bundle");
        // An entry of Rekor v2 has no promise.
        let Some(piece) = bundle.pointer_mut(place) else { continue };
        *piece = text.into();
        let any = FileExpectation::Identity { san: "anybody", issuer: "anywhere" };
        drop(ask(&VERIFIER, &any, bundle.to_string().as_bytes()));
    }
}

pub fn certificate(bytes: &[u8]) {
    put(CERTIFICATE, &STANDARD.encode(bytes));
}

pub fn timestamp(bytes: &[u8]) {
    put(STAMP, &STANDARD.encode(bytes));
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// What an entry says is looked at after the log's word for it, so the logs hold and sign whatever it is.
pub fn log_body(bytes: &[u8]) {
    KINDS.iter().for_each(|kind| drop(logged(*kind, bytes)));
}

const KINDS: [(Content<'_>, Log); 4] = [
    (Content::Statement(STATEMENT), Log::V1),
    (Content::Statement(STATEMENT), Log::V1Intoto),
    (Content::File(FILE), Log::V1),
    (Content::Statement(STATEMENT), Log::V2),
];

fn logged((content, log): (Content<'_>, Log), bytes: &[u8]) -> Verdict {
    let timestamps = usize::from(log == Log::V2);
    let request = Request { content, logs: &[log], timestamps, ..Request::default() };
    let bundle = WORLD.keyless(&request).with_body(bytes).to_json();
    let expected = FileExpectation::Identity { san: request.identity, issuer: request.issuer };
    ask(&VERIFIER, &expected, &bundle)
}

/// That an entry is refused for what it says, and not for its promise or proof.
pub(super) fn reach() {
    for kind in KINDS {
        for body in [&b"{}"[..], b"", b"no entry"] {
            let verdict = logged(kind, body);
            let told = verdict.findings().iter().map(|found| found.seen.as_str());
            let told = told.collect::<String>();
            assert!(told.contains("failed to parse Rekor body"), "{kind:?} {body:?}: {told}");
        }
    }
}

pub fn promise(bytes: &[u8]) {
    put(PROMISE, &STANDARD.encode(bytes));
}

pub fn checkpoint(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        put(CHECKPOINT, text);
    }
}
