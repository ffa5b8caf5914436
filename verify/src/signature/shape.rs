//! The outline of a signed document: what it is, and how much of everything it holds, read before
//! any parser builds anything of it. The limits and the strict profile are held here.

use bonded_model::json::{self, JsonError};
use bonded_model::limits::{
    CERTIFICATE_COUNT_MAX, CHECKPOINT_BYTES_MAX, CHECKPOINT_LINE_COUNT_MAX, DER_BYTES_MAX,
    EVIDENCE_BYTES_MAX, LOG_BODY_BYTES_MAX, LOG_ENTRY_COUNT_MAX, PROMISE_BYTES_MAX,
    PROOF_HASH_COUNT_MAX, SIGNATURE_COUNT_MAX, SIGNED_TIMESTAMP_COUNT_MAX,
};
use bonded_model::media_type::{COSIGN_FILES, COSIGN_LAYER};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sigstore_types::Checkpoint;

use crate::code::Code;
use crate::finding::Fault;

/// Which kind of document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bundle,
    Envelope,
    Statement,
    /// A layer of one of cosign's manifests.
    Layer,
    /// A bundle of cosign's own.
    Blob,
    /// A signature with the files beside it.
    Files,
}

/// What became of the strict profile.
#[derive(Debug)]
pub(super) enum Profile {
    Kept,
    /// What is not proved was at least promised; what it lacks stands against it all the same.
    PromiseOnly(Fault),
    Broken(Fault),
}

/// A document's outline, within limits.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) form: Form,
    by_certificate: bool,
    /// A chain of certificates where its version has one certificate.
    is_chain_in_third: bool,
    log_entries: Vec<LogEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    verification_material: Option<Material>,
    dsse_envelope: Option<Dsse>,
    message_signature: Option<IgnoredAny>,
    signatures: Option<Vec<IgnoredAny>>,
    #[serde(rename = "_type")]
    statement_type: Option<IgnoredAny>,
    #[serde(rename = "base64Signature")]
    blob_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Dsse {
    signatures: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    certificate: Option<Certificate>,
    public_key: Option<IgnoredAny>,
    x509_certificate_chain: Option<Chain>,
    tlog_entries: Option<Vec<LogEntry>>,
    timestamp_verification_data: Option<Timestamps>,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Option<Vec<Certificate>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    raw_bytes: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timestamps {
    rfc3161_timestamps: Option<Vec<Stamp>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stamp {
    signed_timestamp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    kind_version: Option<KindVersion>,
    inclusion_promise: Option<Promise>,
    inclusion_proof: Option<Proof>,
    canonicalized_body: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: Option<String>,
}

#[derive(Debug, Deserialize)]
struct KindVersion {
    kind: Option<String>,
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Proof {
    hashes: Option<Vec<IgnoredAny>>,
    checkpoint: Option<SignedNote>,
}

#[derive(Debug, Deserialize)]
struct SignedNote {
    envelope: Option<String>,
}

/// The older versions of a bundle; an absent one is read as the first.
const OLDER: [&str; 2] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
];
/// The spellings of the version that is written today.
const THIRD: [&str; 2] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
];

/// The kinds of log entries that can be verified.
const ENTRY_KINDS: [(&str, &str); 4] =
    [("hashedrekord", "0.0.1"), ("hashedrekord", "0.0.2"), ("dsse", "0.0.1"), ("intoto", "0.0.2")];

impl Shape {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let document: Document = json::parse(bytes, EVIDENCE_BYTES_MAX).map_err(json_fault)?;
        if let Some(dsse) = &document.dsse_envelope {
            within("signatures", dsse.signatures.as_deref(), SIGNATURE_COUNT_MAX)?;
        }
        if document.media_type.as_deref() == Some(COSIGN_LAYER) {
            return Ok(Self::of_others(Form::Layer));
        }
        if document.media_type.as_deref() == Some(COSIGN_FILES) {
            return Ok(Self::of_others(Form::Files));
        }
        let Some(material) = document.verification_material else {
            let by_cosign = document.blob_signature.is_some();
            let form = match (document.statement_type, document.signatures) {
                (None, None) if by_cosign => Form::Blob,
                (None, Some(signatures)) if !by_cosign => {
                    within("signatures", Some(&signatures), SIGNATURE_COUNT_MAX)?;
                    Form::Envelope
                }
                (Some(_), None) if !by_cosign => Form::Statement,
                _ => return Err(unknown()),
            };
            return Ok(Self::of_others(form));
        };
        known_media_type(document.media_type.as_deref())?;
        if document.dsse_envelope.is_some() && document.message_signature.is_some() {
            return Err(two_readings("one envelope or message signature"));
        }
        material.check_limits()?;
        material.check_reading()?;
        let is_third = document.media_type.is_some_and(|found| THIRD.contains(&found.as_str()));
        let is_chain = material.x509_certificate_chain.is_some();
        Ok(Self {
            form: Form::Bundle,
            by_certificate: material.certificate.is_some() || is_chain,
            is_chain_in_third: is_chain && is_third,
            log_entries: material.tlog_entries.unwrap_or_default(),
        })
    }

    /// What is no bundle has none of what makes the profile.
    fn of_others(form: Form) -> Self {
        Self { form, by_certificate: false, is_chain_in_third: false, log_entries: Vec::new() }
    }

    /// What the strict profile misses: the material of its version, an entry where there must be one, its proof,
    /// its checkpoint.
    pub(super) fn profile(&self) -> Profile {
        // The library is shown what rests on promises as a bundle of the first version, which has chains.
        if self.is_chain_in_third {
            let expected = "one certificate in a bundle of version 0.3";
            return Profile::Broken(Fault::new(Code::SigMalformed, expected, "a chain"));
        }
        let Some(fault) = self.profile_fault() else { return Profile::Kept };
        let vouched = |entry: &LogEntry| entry.is_proved() || entry.is_promised();
        let promised = !self.log_entries.is_empty() && self.log_entries.iter().all(vouched);
        if promised { Profile::PromiseOnly(fault) } else { Profile::Broken(fault) }
    }

    fn profile_fault(&self) -> Option<Fault> {
        let fault = |seen: &str| {
            Fault::new(Code::SigLog, "a log entry with inclusion proof and checkpoint", seen)
        };
        if self.by_certificate && self.log_entries.is_empty() {
            return Some(fault("no log entry"));
        }
        let lacking = self.log_entries.iter().find_map(|entry| match &entry.inclusion_proof {
            None => Some("a log entry without inclusion proof"),
            Some(proof) if !proof.has_checkpoint() => Some("an inclusion proof without checkpoint"),
            Some(_) => None,
        });
        lacking.map(fault)
    }

    /// Why a checkpoint is no signed note of a log (c2sp.org/tlog-checkpoint), if one is not.
    pub(super) fn checkpoint_fault(&self) -> Option<Fault> {
        let proofs = self.log_entries.iter().filter_map(|entry| entry.inclusion_proof.as_ref());
        let mut errors = proofs
            .filter_map(|proof| proof.checkpoint.as_ref()?.envelope.as_ref())
            .filter_map(|envelope| Checkpoint::from_text(envelope).err());
        errors.next().map(|error| Fault::of_error(Code::SigLog, "a checkpoint of a log", &error))
    }
}

impl LogEntry {
    fn is_proved(&self) -> bool {
        self.inclusion_proof.as_ref().is_some_and(Proof::has_checkpoint)
    }

    /// Rekor v2 promises nothing.
    fn is_promised(&self) -> bool {
        let kind = self.kind_version.as_ref();
        let second = kind.is_none_or(|kind| {
            kind.version.as_deref() == Some("0.0.2") && kind.kind.as_deref() == Some("hashedrekord")
        });
        let promise = self.inclusion_promise.as_ref();
        let promise = promise.and_then(|promise| promise.signed_entry_timestamp.as_deref());
        !second && promise.is_some_and(|promise| !promise.is_empty())
    }
}

impl Material {
    /// In protobuf they are alternatives; in JSON somebody can write them side by side.
    fn check_reading(&self) -> Result<(), Fault> {
        let present = [
            self.certificate.is_some(),
            self.x509_certificate_chain.is_some(),
            self.public_key.is_some(),
        ];
        if present.iter().filter(|present| **present).count() > 1 {
            return Err(two_readings("one certificate, chain or public key"));
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Fault> {
        let entries = self.tlog_entries.as_deref();
        within("log entries", entries, LOG_ENTRY_COUNT_MAX)?;
        let chain = self.x509_certificate_chain.as_ref().and_then(|c| c.certificates.as_deref());
        within("certificates", chain, CERTIFICATE_COUNT_MAX)?;
        let data = self.timestamp_verification_data.as_ref();
        let stamps = data.and_then(|data| data.rfc3161_timestamps.as_deref());
        within("timestamps", stamps, SIGNED_TIMESTAMP_COUNT_MAX)?;
        for certificate in self.certificate.iter().chain(chain.unwrap_or_default()) {
            short("a certificate", certificate.raw_bytes.as_deref(), DER_BYTES_MAX)?;
        }
        for stamp in stamps.unwrap_or_default() {
            short("a timestamp", stamp.signed_timestamp.as_deref(), DER_BYTES_MAX)?;
        }
        entries.unwrap_or_default().iter().try_for_each(LogEntry::check_limits)
    }
}

impl LogEntry {
    fn check_limits(&self) -> Result<(), Fault> {
        let proof = self.inclusion_proof.as_ref();
        let hashes = proof.and_then(|proof| proof.hashes.as_deref());
        within("proof hashes", hashes, PROOF_HASH_COUNT_MAX)?;
        proof.map_or(Ok(()), Proof::check_checkpoint)?;
        let promise = self.inclusion_promise.as_ref();
        let promise = promise.and_then(|promise| promise.signed_entry_timestamp.as_deref());
        short("a promise", promise, PROMISE_BYTES_MAX)?;
        short("the body of a log entry", self.canonicalized_body.as_deref(), LOG_BODY_BYTES_MAX)?;
        self.kind_version.as_ref().map_or(Ok(()), KindVersion::check)
    }
}

impl KindVersion {
    fn check(&self) -> Result<(), Fault> {
        let kind = self.kind.as_deref().unwrap_or_default();
        let version = self.version.as_deref().unwrap_or_default();
        if ENTRY_KINDS.contains(&(kind, version)) {
            return Ok(());
        }
        let expected = "a log entry of a known kind";
        Err(Fault::new(Code::SigUnsupported, expected, format!("{kind} {version}")))
    }
}

impl Proof {
    fn check_checkpoint(&self) -> Result<(), Fault> {
        let envelope = self.checkpoint.as_ref().and_then(|c| c.envelope.as_deref());
        let envelope = envelope.unwrap_or_default();
        at_most("bytes in a checkpoint", envelope.len(), CHECKPOINT_BYTES_MAX)?;
        at_most("lines in a checkpoint", envelope.lines().count(), CHECKPOINT_LINE_COUNT_MAX)
    }

    fn has_checkpoint(&self) -> bool {
        let envelope = self.checkpoint.as_ref().and_then(|c| c.envelope.as_ref());
        envelope.is_some_and(|envelope| !envelope.is_empty())
    }
}

fn within<T>(what: &str, items: Option<&[T]>, limit: usize) -> Result<(), Fault> {
    at_most(what, items.map_or(0, <[T]>::len), limit)
}

/// The length of what base64 holds, by that of the text: nothing is decoded for it.
fn short(what: &str, base64: Option<&str>, limit: usize) -> Result<(), Fault> {
    let padded = base64.unwrap_or_default();
    let length = padded.trim_end_matches('=').len();
    let decoded = length / 4 * 3 + length % 4 * 3 / 4;
    at_most(&format!("bytes in {what}"), decoded, limit)
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), Fault> {
    if count <= limit {
        return Ok(());
    }
    let expected = format!("at most {limit} {what}");
    Err(Fault::new(Code::SigLimit, expected, format!("{count}")))
}

fn known_media_type(found: Option<&str>) -> Result<(), Fault> {
    match found {
        Some(found) if !OLDER.iter().chain(&THIRD).any(|known| *known == found) => {
            Err(Fault::new(Code::SigUnsupported, "a bundle of version 0.1, 0.2 or 0.3", found))
        }
        _ => Ok(()),
    }
}

fn json_fault(error: JsonError) -> Fault {
    let code = match error {
        JsonError::TooLarge { .. } => Code::SigLimit,
        _ => Code::SigMalformed,
    };
    Fault::of_error(code, "a Sigstore bundle, DSSE envelope or in-toto statement", &error)
}

fn two_readings(expected: &str) -> Fault {
    Fault::new(Code::SigMalformed, expected, "several side by side")
}

fn unknown() -> Fault {
    let expected = "a Sigstore bundle, DSSE envelope or in-toto statement";
    Fault::new(Code::SigMalformed, expected, "other JSON")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const KIND: &str = r#""kindVersion":{"kind":"dsse","version":"0.0.1"}"#;

    fn check(text: &str, expected: Result<Form, Code>) {
        let found = Shape::parse(text.as_bytes()).map(|s| s.form).map_err(|fault| fault.code);
        assert_eq!(found, expected, "{}", text.chars().take(200).collect::<String>());
    }

    fn bundle(material: &str) -> String {
        format!(r#"{{"verificationMaterial":{{{material}}}}}"#)
    }

    fn list(item: &str, count: usize) -> String {
        format!("[{}]", vec![item; count].join(","))
    }

    #[test]
    fn forms_are_told_by_content() {
        check(&bundle(""), Ok(Form::Bundle));
        check(r#"{"signatures":[]}"#, Ok(Form::Envelope));
        check(r#"{"_type":"x"}"#, Ok(Form::Statement));
    }

    #[test]
    fn must_reject() {
        check(r#"{"base64Signature":""}"#, Ok(Form::Blob));
        check(r#"{"base64Signature":"","signatures":[]}"#, Err(Code::SigMalformed));
        check(r#"{"base64Signature":"","_type":"x"}"#, Err(Code::SigMalformed));
        let malformed = ["", "{", "{}", "[]", "1", "\u{feff}{}", "{} {}", r#"{"a":1,"a":2}"#];
        malformed.iter().for_each(|text| check(text, Err(Code::SigMalformed)));
        check(r#"{"_type":"x","signatures":[]}"#, Err(Code::SigMalformed));
        check(&format!("{}1{}", "[".repeat(100), "]".repeat(100)), Err(Code::SigMalformed));
        for both in [
            r#""certificate":{},"publicKey":{}"#,
            r#""publicKey":{},"x509CertificateChain":{}"#,
            r#""certificate":{},"x509CertificateChain":{}"#,
        ] {
            check(&bundle(both), Err(Code::SigMalformed));
        }
        let contents =
            r#"{"verificationMaterial":{},"messageSignature":{},"dsseEnvelope":{"signatures":[]}}"#;
        check(contents, Err(Code::SigMalformed));
        let version = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.4+json","verificationMaterial":{}}"#;
        check(version, Err(Code::SigUnsupported));
        let kind = r#""tlogEntries":[{"kindVersion":{"kind":"intoto","version":"0.0.1"}}]"#;
        check(&bundle(kind), Err(Code::SigUnsupported));
    }

    #[test]
    fn limits_hold_at_the_limit_and_not_beyond() {
        type Material = fn(usize) -> String;
        let materials: [(usize, Material); 4] = [
            (LOG_ENTRY_COUNT_MAX, |n| format!(r#""tlogEntries":{}"#, list("{}", n))),
            (CERTIFICATE_COUNT_MAX, |n| {
                format!(r#""x509CertificateChain":{{"certificates":{}}}"#, list("{}", n))
            }),
            (SIGNED_TIMESTAMP_COUNT_MAX, |n| {
                let stamps = list("{}", n);
                format!(r#""timestampVerificationData":{{"rfc3161Timestamps":{stamps}}}"#)
            }),
            (PROOF_HASH_COUNT_MAX, |n| {
                format!(r#""tlogEntries":[{{"inclusionProof":{{"hashes":{}}}}}]"#, list("\"\"", n))
            }),
        ];
        for (limit, text) in materials {
            check(&bundle(&text(limit)), Ok(Form::Bundle));
            check(&bundle(&text(limit + 1)), Err(Code::SigLimit));
        }
        let signatures = list("{}", SIGNATURE_COUNT_MAX + 1);
        check(&format!(r#"{{"signatures":{signatures}}}"#), Err(Code::SigLimit));
    }

    /// Parsers of DER sort in quadratic time, and each line of a checkpoint is verified with a public key.
    #[test]
    fn lengths_hold_at_the_limit_and_not_beyond() {
        type Material = fn(&str) -> String;
        let der: [Material; 3] = [
            |text| format!(r#""certificate":{{"rawBytes":"{text}"}}"#),
            |text| {
                format!(
                    r#""x509CertificateChain":{{"certificates":[{{}},{{"rawBytes":"{text}"}}]}}"#
                )
            },
            |text| {
                let stamps = format!(r#"[{{}},{{"signedTimestamp":"{text}"}}]"#);
                format!(r#""timestampVerificationData":{{"rfc3161Timestamps":{stamps}}}"#)
            },
        ];
        let promise: Material = |text| {
            let promise = format!(r#"{{"signedEntryTimestamp":"{text}"}}"#);
            format!(r#""tlogEntries":[{{{KIND},"inclusionPromise":{promise}}}]"#)
        };
        let body: Material =
            |text| format!(r#""tlogEntries":[{{{KIND},"canonicalizedBody":"{text}"}}]"#);
        let rows = der.map(|material| (DER_BYTES_MAX, material));
        let rows =
            rows.into_iter().chain([(PROMISE_BYTES_MAX, promise), (LOG_BODY_BYTES_MAX, body)]);
        for (limit, material) in rows {
            let base64 = |length| STANDARD.encode(vec![0; length]);
            check(&bundle(&material(&base64(limit))), Ok(Form::Bundle));
            check(&bundle(&material(&base64(limit + 1))), Err(Code::SigLimit));
        }
        let checkpoint = |text: &str| {
            let proof = format!(r#"{{"checkpoint":{{"envelope":"{text}"}}}}"#);
            bundle(&format!(r#""tlogEntries":[{{{KIND},"inclusionProof":{proof}}}]"#))
        };
        let rows = [("x", CHECKPOINT_BYTES_MAX), ("x\\n", CHECKPOINT_LINE_COUNT_MAX)];
        for (text, limit) in rows {
            check(&checkpoint(&text.repeat(limit)), Ok(Form::Bundle));
            check(&checkpoint(&text.repeat(limit + 1)), Err(Code::SigLimit));
        }
    }

    #[test]
    fn the_strict_profile_does_not_ask_for_the_version() {
        let proof = r#"{"inclusionProof":{"checkpoint":{"envelope":"x"}}}"#;
        let table = [
            (r#""certificate":{}"#.to_owned(), true),
            (r#""publicKey":{}"#.to_owned(), false),
            (format!(r#""certificate":{{}},"tlogEntries":[{proof}]"#), false),
            (format!(r#""certificate":{{}},"tlogEntries":[{proof},{{}}]"#), true),
            (r#""publicKey":{},"tlogEntries":[{}]"#.to_owned(), true),
            (r#""publicKey":{},"tlogEntries":[{"inclusionProof":{}}]"#.to_owned(), true),
        ];
        for (material, lacking) in table {
            for version in ["0.1", "0.2", "0.3"] {
                let text = format!(
                    r#"{{"mediaType":"application/vnd.dev.sigstore.bundle+json;version={version}","verificationMaterial":{{{material}}}}}"#
                );
                let found = match Shape::parse(text.as_bytes()).unwrap().profile() {
                    Profile::Kept => None,
                    Profile::PromiseOnly(fault) => panic!("{text}: {fault:?}"),
                    Profile::Broken(fault) => Some(fault.code),
                };
                assert_eq!(found, lacking.then_some(Code::SigLog), "{text}");
            }
        }
    }
}
