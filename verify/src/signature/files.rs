//! Detached signatures as the bundles that they could have been (cosign, doc/cosign_sign-blob.md; Rekor,
//! openapi.yaml, LogEntry).
//!
//! ```text
//! kubectl.sig          a signature over the file
//! kubectl.cert         the certificate of the key; without one it is a managed key
//! kubectl.rekor.json   {"<id of the entry>": {"body", "integratedTime", "logID", "logIndex",
//!                        "verification": {"inclusionProof": {…, "checkpoint"}, "signedEntryTimestamp"}}},
//!                      that object alone, or what the log promised: {"SignedEntryTimestamp", "Payload"}
//! ```
//!
//! The pieces are put together here, in memory, and then read and verified like any bundle: whatever belongs to
//! another signature, file or certificate makes a check fail. A certificate is good for minutes, and nothing
//! but a log says that the signature is of these: without an entry it proves nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::Digest;
use bonded_model::detached::{self, Files};
use bonded_model::json;
use bonded_model::limits::{DETACHED_BYTES_MAX, PROOF_HASH_COUNT_MAX};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cosign::{Entry, Promised, certificates, json_fault, malformed};
use crate::code::Code;
use crate::finding::Fault;

const ENTRY: &str = "the entry of a log, as Rekor answers it";

/// What Rekor answers for one entry, without the name that it has there. What else is in it is not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    body: String,
    integrated_time: i64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
    verification: Verification,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    signed_entry_timestamp: Option<String>,
    inclusion_proof: Option<Proof>,
}

/// Its hashes are in hex, those of bundles in base64.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    log_index: u64,
    tree_size: u64,
    root_hash: String,
    hashes: Vec<String>,
    checkpoint: Option<String>,
}

/// The bundle that a signature and the files beside it make.
pub(super) fn bundle(files: &Files<'_>) -> Result<Vec<u8>, Fault> {
    check_limits(files)?;
    let one = "a signature in base64 on one line";
    let signature = detached::signature(&files.signature);
    let signature = signature.ok_or_else(|| malformed(one, "something else"))?;
    let certificate = only("one file with certificates beside the signature", &files.certificates)?;
    let entry = only("one file with a log's entry beside the signature", &files.entries)?;
    if let (Some(_), None) = (certificate, entry) {
        return Err(Fault::new(
            Code::SigLog,
            "the log's entry of the signature beside it, as FILE.rekor.json: what the log answers at \
             api/v1/log/entries/ID",
            "a certificate without log entry: nothing says when it was used",
        ));
    }
    let mut material = match certificate {
        Some(file) => json!({"x509CertificateChain": {"certificates": chain(file)?}}),
        None => json!({"publicKey": {"hint": ""}}),
    };
    if let (Some(file), Some(material)) = (entry, material.as_object_mut()) {
        material.insert("tlogEntries".to_owned(), json!([log_entry(file)?]));
    }
    Ok(json::to_canonical(&json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "verificationMaterial": material,
        "messageSignature": {"signature": signature},
    })))
}

fn check_limits(files: &Files<'_>) -> Result<(), Fault> {
    let all = std::iter::once(&files.signature).chain(&files.certificates).chain(&files.entries);
    let longest = all.map(|file| u64::try_from(file.len()).unwrap_or(u64::MAX)).max();
    match longest.filter(|length| *length > DETACHED_BYTES_MAX) {
        None => Ok(()),
        Some(length) => {
            let expected = format!("at most {DETACHED_BYTES_MAX} bytes in a file of a signature");
            Err(Fault::new(Code::SigLimit, expected, length.to_string()))
        }
    }
}

/// Which of several is meant is nobody's to choose.
fn only<'a>(
    expected: &str,
    files: &'a [std::borrow::Cow<'_, [u8]>],
) -> Result<Option<&'a [u8]>, Fault> {
    match files {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(malformed(expected, &format!("{} that differ", several.len()))),
    }
}

fn chain(file: &[u8]) -> Result<Vec<Value>, Fault> {
    let pem = detached::certificates(file);
    let pem =
        pem.ok_or_else(|| malformed("certificates in PEM, or base64 of it", "other bytes"))?;
    certificates(&pem)
}

/// The entry as bundles hold it.
fn log_entry(file: &[u8]) -> Result<Value, Fault> {
    let mut read: Value = json::parse(file, DETACHED_BYTES_MAX).map_err(json_fault(ENTRY))?;
    if read.get("SignedEntryTimestamp").is_some() {
        return typed::<Promised>(read)?.into_entry();
    }
    if read.get("body").is_none() {
        read = named(read)?;
    }
    let Answer { body, integrated_time, log_index, log_id, verification } = typed(read)?;
    let entry = Entry { body, integrated_time, log_index, log_id };
    let mut written = entry.written(ENTRY)?;
    let promise = verification.signed_entry_timestamp.filter(|promise| !promise.is_empty());
    let more = [
        ("inclusionPromise", promise.map(|promise| json!({"signedEntryTimestamp": promise}))),
        ("inclusionProof", verification.inclusion_proof.map(Proof::written).transpose()?),
    ];
    if let Some(written) = written.as_object_mut() {
        let more = more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        written.extend(more);
    }
    Ok(written)
}

/// The only member of an object: entries are answered by their names.
fn named(answer: Value) -> Result<Value, Fault> {
    let Value::Object(members) = answer else { return Err(malformed(ENTRY, "no object")) };
    let count = members.len();
    match members.into_iter().next() {
        Some((_name, entry)) if count == 1 => Ok(entry),
        _ => Err(malformed("one entry of a log", &format!("an object with {count} members"))),
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Fault> {
    T::deserialize(value).map_err(|error| Fault::of_error(Code::SigMalformed, ENTRY, &error))
}

impl Proof {
    /// What stands in a bundle under that name; the index is that in the tree, which the promise is not over.
    fn written(self) -> Result<Value, Fault> {
        if self.hashes.len() > PROOF_HASH_COUNT_MAX {
            let expected = format!("at most {PROOF_HASH_COUNT_MAX} proof hashes");
            return Err(Fault::new(Code::SigLimit, expected, self.hashes.len().to_string()));
        }
        let hashes = self.hashes.iter().map(|hash| base64_of(hash));
        let mut proof = json!({
            "logIndex": self.log_index.to_string(),
            "treeSize": self.tree_size.to_string(),
            "rootHash": base64_of(&self.root_hash)?,
            "hashes": hashes.collect::<Result<Vec<_>, _>>()?,
        });
        if let (Some(checkpoint), Some(proof)) = (self.checkpoint, proof.as_object_mut()) {
            proof.insert("checkpoint".to_owned(), json!({"envelope": checkpoint}));
        }
        Ok(proof)
    }
}

fn base64_of(hex: &str) -> Result<String, Fault> {
    let digest: Digest = format!("sha256:{hex}")
        .parse()
        .map_err(|_no_digest| malformed("a SHA-256 hash of the log in hex", hex))?;
    Ok(STANDARD.encode(digest.as_bytes()))
}
