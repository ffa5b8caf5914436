//! Transparency logs: Rekor v1 with its promises, and Rekor v2 with nothing but checkpoints.
//!
//! A log here is a tree of seven leaves, in which the entry in question is the fifth. All the others are
//! always the same.

mod body;
mod merkle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::Timestamp;
use bonded_model::json::to_canonical;
use serde_json::{Value, json};

use crate::certificate::Window;
use crate::key::{Key, KeyKind};

pub(crate) use body::{Facts, Kind, Verifier, body};

/// Where the entry stands in the tree.
const LEAF: usize = 4;
const LEAVES: usize = 7;

/// How many entries Rekor v1 holds in trees before this one: its index counts through all of them.
const EARLIER_ENTRIES: usize = 1000;

/// A transparency log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) key: Key,
    pub(crate) window: Window,
    /// The name in checkpoints, and the host in the trust root.
    pub(crate) host: &'static str,
    generation: Generation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Rekor v1, with promises.
    First,
    /// Rekor v2, with checkpoints only.
    Second,
}

/// What may be wrong with what a log says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    PromiseForged,
    PromiseOfAnotherTime,
    NoPromise,
    PromiseOfNoTime,
    PromiseOfSecond,
    NoProof,
    NoCheckpoint,
    OtherLeaf,
    OtherHash,
    OtherTreeSize,
    CheckpointForged,
    CheckpointOfAnotherTree,
    CheckpointOfAnotherSize,
    CheckpointOfAnotherOrigin,
}

impl Log {
    pub(crate) fn new(host: &'static str, generation: Generation, window: Window) -> Self {
        let algorithm = match generation {
            Generation::First => KeyKind::P256,
            Generation::Second => KeyKind::Ed25519,
        };
        Self { key: Key::new(algorithm, host), window, host, generation }
    }

    /// The hash of the key; for Ed25519 that of the note key (c2sp.org/signed-note).
    pub(crate) fn id(&self) -> [u8; 32] {
        match self.generation {
            Generation::First => crate::sha256(self.key.spki()),
            Generation::Second => {
                let head = format!("{}\n\u{1}", self.host);
                crate::sha256(&[head.as_bytes(), self.key.raw_public()].concat())
            }
        }
    }

    /// The entry as bundles hold it.
    pub(crate) fn entry(&self, kind: Kind, body: &[u8], at: Timestamp, lies: &[Lie]) -> Value {
        let tells = |lie| lies.contains(&lie);
        let index = match self.generation {
            Generation::First => EARLIER_ENTRIES + LEAF,
            Generation::Second => LEAF,
        };
        let (name, version) = kind.name();
        let mut entry = json!({
            "logIndex": index.to_string(),
            "logId": {"keyId": STANDARD.encode(self.id())},
            "kindVersion": {"kind": name, "version": version},
            "canonicalizedBody": STANDARD.encode(body),
        });
        if self.generation == Generation::First || tells(Lie::PromiseOfSecond) {
            let later = if tells(Lie::PromiseOfAnotherTime) { 60 } else { 0 };
            let timeless = tells(Lie::PromiseOfNoTime) || tells(Lie::PromiseOfSecond);
            let time = if timeless { 0 } else { at.unix_seconds() + later };
            let mut promise = self.promise(body, time, index);
            if tells(Lie::PromiseForged) {
                flip(&mut promise);
            }
            if self.generation == Generation::First && !tells(Lie::PromiseOfNoTime) {
                put(&mut entry, "integratedTime", json!(at.unix_seconds().to_string()));
            }
            if !tells(Lie::NoPromise) {
                let promise = json!({"signedEntryTimestamp": STANDARD.encode(promise)});
                put(&mut entry, "inclusionPromise", promise);
            }
        }
        if !tells(Lie::NoProof) {
            put(&mut entry, "inclusionProof", self.proof(body, lies));
        }
        entry
    }

    /// The signed entry timestamp.
    fn promise(&self, body: &[u8], integrated: i64, index: usize) -> Vec<u8> {
        let id: String = self.id().iter().map(|byte| format!("{byte:02x}")).collect();
        self.key.sign(&to_canonical(&json!({
            "body": STANDARD.encode(body),
            "integratedTime": integrated,
            "logID": id,
            "logIndex": index,
        })))
    }

    fn proof(&self, body: &[u8], lies: &[Lie]) -> Value {
        let tells = |lie| lies.contains(&lie);
        let leaves = leaves(body, "");
        let leaf = if tells(Lie::OtherLeaf) { LEAF + 1 } else { LEAF };
        let mut hashes = merkle::path(&leaves, leaf);
        if tells(Lie::OtherHash) {
            hashes.first_mut().into_iter().for_each(|hash| flip(hash));
        }
        let root = merkle::root(&leaves);
        let size = if tells(Lie::OtherTreeSize) { LEAVES + 1 } else { LEAVES };
        let hashes: Vec<_> = hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
        let mut proof = json!({
            "logIndex": leaf.to_string(),
            "rootHash": STANDARD.encode(root),
            "treeSize": size.to_string(),
            "hashes": hashes,
        });
        if !tells(Lie::NoCheckpoint) {
            let signed = if tells(Lie::CheckpointOfAnotherTree) {
                merkle::root(&self::leaves(body, "another "))
            } else {
                root
            };
            put(&mut proof, "checkpoint", json!({"envelope": self.checkpoint(&signed, lies)}));
        }
        proof
    }

    fn checkpoint(&self, root: &[u8; 32], lies: &[Lie]) -> String {
        let tells = |lie| lies.contains(&lie);
        let host = if tells(Lie::CheckpointOfAnotherOrigin) { "other.example" } else { self.host };
        let origin = match self.generation {
            Generation::First => format!("{host} - 2605736670972794746"),
            Generation::Second => host.to_owned(),
        };
        let size = if tells(Lie::CheckpointOfAnotherSize) { LEAVES + 1 } else { LEAVES };
        let text = format!("{origin}\n{size}\n{}\n", STANDARD.encode(root));
        let mut signature = self.key.sign(text.as_bytes());
        if tells(Lie::CheckpointForged) {
            flip(&mut signature);
        }
        let id = self.id();
        let hint = id.get(..4).expect("a hash is longer");
        let line = STANDARD.encode([hint, &signature].concat());
        format!("{text}\n\u{2014} {host} {line}\n")
    }
}

/// Changes the last bit of the last byte: all else that is signed stays as it is.
pub(crate) fn flip(bytes: &mut [u8]) {
    bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
}

fn leaves(body: &[u8], prefix: &str) -> Vec<Vec<u8>> {
    let leaf = |at| match at {
        LEAF => body.to_vec(),
        _ => format!("{prefix}entry {at}").into_bytes(),
    };
    (0..LEAVES).map(leaf).collect()
}

pub(crate) fn put(object: &mut Value, key: &str, value: Value) {
    object.as_object_mut().expect("made as an object").insert(key.to_owned(), value);
}
