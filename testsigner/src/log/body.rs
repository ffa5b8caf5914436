//! What an entry of a log says: who signed what, in the five shapes that there are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::json::to_canonical;
use serde_json::{Value, json};

use crate::key::pem;

/// The shape of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `hashedrekord` 0.0.1.
    Hashed,
    /// `dsse` 0.0.1.
    Dsse,
    /// `intoto` 0.0.2.
    Intoto,
    /// `hashedrekord` 0.0.2, of Rekor v2.
    HashedSecond,
    /// `dsse` 0.0.2, of Rekor v2.
    DsseSecond,
}

impl Kind {
    pub(crate) fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Hashed => ("hashedrekord", "0.0.1"),
            Self::Dsse => ("dsse", "0.0.1"),
            Self::Intoto => ("intoto", "0.0.2"),
            Self::HashedSecond => ("hashedrekord", "0.0.2"),
            Self::DsseSecond => ("dsse", "0.0.2"),
        }
    }
}

/// With what a signature is said to verify.
#[derive(Clone, Debug)]
pub(crate) enum Verifier {
    Certificate(Vec<u8>),
    Key { spki: Vec<u8>, details: &'static str },
}

/// What is logged.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) verifier: Verifier,
    pub(crate) signature: Vec<u8>,
    /// The hash of what was signed: of a file, or of an envelope's encoding.
    pub(crate) signed: [u8; 32],
    pub(crate) payload_type: String,
    pub(crate) payload: [u8; 32],
}

/// The canonical JSON of an entry.
pub(crate) fn body(kind: Kind, facts: &Facts) -> Vec<u8> {
    let (name, version) = kind.name();
    let spec = match kind {
        Kind::Hashed => hashed(facts),
        Kind::Dsse => dsse(facts),
        Kind::Intoto => intoto(facts),
        Kind::HashedSecond => json!({"hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": STANDARD.encode(facts.signed)},
            "signature": signature_and_verifier(facts),
        }}),
        Kind::DsseSecond => json!({"dsseV002": {
            "payloadHash": {"algorithm": "SHA2_256", "digest": STANDARD.encode(facts.payload)},
            "signatures": [signature_and_verifier(facts)],
        }}),
    };
    to_canonical(&json!({"apiVersion": version, "kind": name, "spec": spec}))
}

fn hashed(facts: &Facts) -> Value {
    json!({
        "data": {"hash": hash(&facts.signed)},
        "signature": {
            "content": STANDARD.encode(&facts.signature),
            "publicKey": {"content": facts.verifier.to_pem()},
        },
    })
}

/// Nobody can check the hash of the envelope: it is over the JSON as it was once handed in.
fn dsse(facts: &Facts) -> Value {
    json!({
        "envelopeHash": hash(&facts.signed),
        "payloadHash": hash(&facts.payload),
        "signatures": [{
            "signature": STANDARD.encode(&facts.signature),
            "verifier": facts.verifier.to_pem(),
        }],
    })
}

/// Signatures in these are base64 of base64.
fn intoto(facts: &Facts) -> Value {
    json!({"content": {
        "envelope": {
            "payloadType": facts.payload_type,
            "signatures": [{
                "publicKey": facts.verifier.to_pem(),
                "sig": STANDARD.encode(STANDARD.encode(&facts.signature)),
            }],
        },
        "hash": hash(&facts.signed),
        "payloadHash": hash(&facts.payload),
    }})
}

fn signature_and_verifier(facts: &Facts) -> Value {
    let verifier = match &facts.verifier {
        Verifier::Certificate(der) => json!({
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "x509Certificate": {"rawBytes": STANDARD.encode(der)},
        }),
        Verifier::Key { spki, details } => json!({
            "keyDetails": details,
            "publicKey": {"rawBytes": STANDARD.encode(spki)},
        }),
    };
    json!({"content": STANDARD.encode(&facts.signature), "verifier": verifier})
}

fn hash(bytes: &[u8; 32]) -> Value {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"algorithm": "sha256", "value": hex})
}

impl Verifier {
    /// PEM in base64.
    fn to_pem(&self) -> String {
        STANDARD.encode(match self {
            Self::Certificate(der) => pem("CERTIFICATE", der),
            Self::Key { spki, .. } => pem("PUBLIC KEY", spki),
        })
    }
}
