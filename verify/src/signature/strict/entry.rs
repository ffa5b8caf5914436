//! Log entries: which log it was that signed the checkpoint, and whether it was one at the time.
//!
//! The library takes the signature of any log of the trust root for the entry's checkpoint, whatever log the
//! entry names, does not look at the origin, and asks for the time of a log only where it promised one.

use bonded_model::limits::EVIDENCE_BYTES_MAX;
use bonded_model::{Digest, Timestamp, json};
use serde_json::Value;
use sigstore_crypto::{Checkpoint, VerificationKey};
use sigstore_trust_root::{TimeRange, TransparencyLog};
use sigstore_types::{DerCertificate, KindVersion, PemContent, TransparencyLogEntry};

use crate::code::Code;
use crate::finding::Fault;

/// A log of the trust root.
pub(super) struct Log {
    id: Vec<u8>,
    key: VerificationKey,
    digest: Digest,
    window: Option<TimeRange>,
    /// The address without its scheme, which checkpoints name as their origin.
    host: String,
}

impl Log {
    /// `None` for a key of a kind that the library cannot verify with either.
    pub(super) fn of(log: &TransparencyLog) -> Option<Self> {
        let key = VerificationKey::from_spki(&log.public_key.raw_bytes).ok()?; // see above
        let address = log.base_url.as_str();
        let host = address.split_once("://").map_or(address, |(_, rest)| rest);
        Some(Self {
            id: log.log_id.key_id.as_bytes().to_vec(),
            key,
            digest: Digest::sha256_of(log.public_key.raw_bytes.as_bytes()),
            window: log.public_key.valid_for,
            host: host.trim_end_matches('/').to_owned(),
        })
    }

    /// An origin is the host, with a path if the log has one; Rekor v1 names the tree after the host.
    fn is_origin(&self, origin: &str) -> bool {
        let host = self.host.split('/').next().unwrap_or_default();
        let rest = origin.strip_prefix(host).filter(|_| !host.is_empty());
        origin == self.host || rest.is_some_and(|tree| tree.is_empty() || tree.starts_with(" - "))
    }

    /// Whether an entry says to stand in this log.
    pub(super) fn is_of(&self, entry: &TransparencyLogEntry) -> bool {
        self.id == entry.log_id.key_id.as_bytes()
    }

    fn has_hint(&self, hint: &[u8]) -> bool {
        self.id.starts_with(hint)
    }
}

/// What an entry has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::signature) enum Proofs {
    /// A proof of inclusion, with checkpoint.
    Demanded,
    /// A promise will do, which the library has verified with the key of the log that the entry names.
    OrPromise,
}

/// The log that vouches for an entry, by the digest of its key.
pub(super) fn check(
    logs: &[Log],
    entry: &TransparencyLogEntry,
    times: &[Timestamp],
    proofs: Proofs,
) -> Result<Digest, Fault> {
    let named = logs.iter().find(|log| log.is_of(entry));
    let log = named.ok_or_else(|| fault("a log of the trust root", &entry.log_id.key_id))?;
    let promised = promised_time(entry)?;
    let proof = entry.inclusion_proof.as_ref();
    if let (None, Proofs::OrPromise, Some(time)) = (proof, proofs, &promised) {
        log.window.map_or(Ok(()), |window| within(log, window, std::slice::from_ref(time)))?;
        return Ok(log.digest);
    }
    let checkpoint = proof.and_then(|proof| Some((proof, proof.checkpoint.checkpoint()?)));
    let Some((proof, checkpoint)) = checkpoint else {
        return Err(fault("an inclusion proof with checkpoint", "none"));
    };
    if !is_signed_by(logs, log, checkpoint) {
        return Err(fault(format!("a checkpoint of {}", log.host), "one of another log"));
    }
    if !log.is_origin(checkpoint.origin()) {
        return Err(fault(format!("a checkpoint of {}", log.host), checkpoint.origin()));
    }
    let size = checkpoint.tree_size();
    if entry.kind_version != KindVersion::HashedRekordV002 && proof.tree_size != size {
        let expected = format!("a proof in the checkpoint's tree of {size}");
        return Err(fault(expected, format!("one in a tree of {}", proof.tree_size)));
    }
    let times = promised.as_ref().map_or(times, std::slice::from_ref);
    if times.is_empty() && entry.kind_version != KindVersion::HashedRekordV002 {
        // Rekor v1 promises a time for every entry: somebody took it away.
        return Err(fault("a promise of the log, or a timestamp", "neither"));
    }
    log.window.map_or(Ok(()), |window| within(log, window, times))?;
    Ok(log.digest)
}

/// The time that the log promised. Rekor v2 promises nothing, and without a time there is no promise: the
/// library takes the mere presence of one for an answer.
fn promised_time(entry: &TransparencyLogEntry) -> Result<Option<Timestamp>, Fault> {
    const EXPECTED: &str = "a promise by Rekor v1, of a time";
    if entry.inclusion_promise.is_none() {
        return Ok(None);
    }
    if entry.kind_version == KindVersion::HashedRekordV002 {
        return Err(fault(EXPECTED, "a promise by Rekor v2"));
    }
    let time = entry.integrated_time.ok_or_else(|| fault(EXPECTED, "a promise of no time"))?;
    Timestamp::from_unix_seconds(time.as_second())
        .map(Some)
        .map_err(|error| Fault::of_error(Code::SigLog, EXPECTED, &error))
}

/// An `intoto` entry holds the whole certificate, of which the library compares the key only: one key can be
/// certified for two holders.
pub(super) fn check_certificate(
    entry: &TransparencyLogEntry,
    certificate: Option<&DerCertificate>,
) -> Result<(), Fault> {
    let intoto = entry.kind_version == KindVersion::IntotoV002;
    let Some(certificate) = certificate.filter(|_| intoto) else { return Ok(()) };
    let malformed =
        |error: &dyn std::error::Error| Fault::of_error(Code::SigLog, "an intoto entry", error);
    let body = entry.canonicalized_body.as_bytes();
    let body: Value = json::parse(body, EVIDENCE_BYTES_MAX).map_err(|error| malformed(&error))?;
    let logged = body.pointer("/spec/content/envelope/signatures/0/publicKey");
    let logged = PemContent::from_base64(logged.and_then(Value::as_str).unwrap_or_default());
    let logged = logged.map_err(|error| malformed(&error))?;
    let logged = String::from_utf8_lossy(logged.as_bytes());
    match DerCertificate::from_pem(&logged) {
        Ok(logged) if logged != *certificate => {
            Err(fault("the certificate of the bundle in the log entry", "another"))
        }
        // Where it holds a bare key, that is all there is to compare.
        _ => Ok(()),
    }
}

/// Whether that log signed the checkpoint, of which the library knows that some log did. Hints are short:
/// only where another log's fits as well has the signature to be verified again.
fn is_signed_by(logs: &[Log], log: &Log, checkpoint: &Checkpoint) -> bool {
    let mut own =
        checkpoint.signatures().iter().filter(|line| log.has_hint(line.key_id.as_bytes()));
    let others = logs.iter().filter(|other| other.id != log.id);
    let fits = |other: &Log| {
        checkpoint.signatures().iter().any(|line| other.has_hint(line.key_id.as_bytes()))
    };
    if others.into_iter().any(fits) {
        return own.any(|line| log.key.verify(checkpoint.signed_data(), &line.signature).is_ok());
    }
    own.next().is_some()
}

/// Every time must be one at which the log was one. Without any, a log that ends at some time may have
/// signed after it.
fn within(log: &Log, window: TimeRange, times: &[Timestamp]) -> Result<(), Fault> {
    let end = window.end.map_or(i64::MAX, |end| end.as_second());
    let inside = |time: &Timestamp| {
        let second = time.unix_seconds();
        second >= window.start.as_second() && second <= end
    };
    let outside = match times {
        [] if window.end.is_some() => Some("no time".to_owned()),
        _ => times.iter().find(|time| !inside(time)).map(Timestamp::to_string),
    };
    let Some(outside) = outside else { return Ok(()) };
    let until = window.end.map_or("now".to_owned(), |end| end.to_string());
    let expected = format!("a signature of the time of {}: {} to {until}", log.host, window.start);
    Err(fault(expected, outside))
}

fn fault(expected: impl Into<String>, seen: impl ToString) -> Fault {
    Fault::new(Code::SigLog, expected, seen.to_string())
}
