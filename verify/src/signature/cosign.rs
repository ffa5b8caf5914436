//! Layers of cosign's manifests as the bundles that they could have been (cosign, specs/SIGNATURE_SPEC.md).
//!
//! ```text
//! .att   the layer is a DSSE envelope; certificate, promise and timestamp stand in annotations
//! .sig   the layer is a payload that names an image; the signature stands in an annotation too
//! sign-blob --bundle      signature, certificate and promise in JSON, from before Sigstore's bundles
//! ```
//!
//! Annotations are signed by nobody. All that they say goes into a bundle of version 0.1, which is read and
//! verified like any other, so that a wrong one makes a check fail. Which image a signature is about is read
//! from the payload that was signed, as the subject of a statement.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::Digest;
use bonded_model::cosign::{BUNDLE, CERTIFICATE, CHAIN, Layer, SIGNATURE, TIMESTAMP};
use bonded_model::json::{self, JsonError};
use bonded_model::limits::EVIDENCE_BYTES_MAX;
use bonded_model::statement::{Statement, Subject};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::code::Code;
use crate::finding::Fault;
use crate::legacy::Legacy;

/// What cosign calls the statement that took the place of its payload.
pub(super) const SIGN_V1: &str = "https://sigstore.dev/cosign/sign/v1";
/// What the payload says to be.
const PAYLOAD_TYPE: &str = "cosign container image signature";

/// A layer as a bundle.
pub(super) struct Opened {
    pub(super) bundle: Vec<u8>,
    pub(super) form: Legacy,
    /// What was signed, where it is no envelope.
    pub(super) payload: Option<Vec<u8>>,
}

/// What a log promised.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Promised {
    signed_entry_timestamp: String,
    payload: Entry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) body: String,
    pub(super) integrated_time: i64,
    pub(super) log_index: u64,
    #[serde(rename = "logID")]
    pub(super) log_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Stamped {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed_timestamp: String,
}

/// The payload of a signature (containers/image, docs/containers-signature.5.md).
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// What `cosign sign-blob --bundle` wrote.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Blob {
    #[serde(rename = "base64Signature")]
    signature: String,
    /// PEM, in base64; older ones hold PEM.
    cert: Option<String>,
    rekor_bundle: Option<Value>,
}

/// A bundle of cosign's own as a Sigstore bundle over a file.
pub(super) fn open_blob(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    const EXPECTED: &str = "a bundle of cosign's own";
    let blob = json::parse::<Blob>(bytes, EVIDENCE_BYTES_MAX).map_err(json_fault(EXPECTED))?;
    let certificate = blob.cert.filter(|cert| !cert.is_empty()).map(|cert| {
        let decoded = STANDARD.decode(&cert).ok(); // then it is PEM itself
        decoded.and_then(|pem| String::from_utf8(pem).ok()).unwrap_or(cert)
    });
    let promise = blob.rekor_bundle.map(|promise| promise.to_string());
    let said = [(CERTIFICATE, certificate), (BUNDLE, promise)];
    let said = said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let layer = Layer { annotations: said.collect(), content: Vec::new() };
    Ok(json::to_canonical(&json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": material(&layer)?,
        "messageSignature": {"signature": blob.signature},
    })))
}

pub(super) fn open(bytes: &[u8]) -> Result<Opened, Fault> {
    let layer = Layer::parse(bytes);
    let layer = layer.map_err(|error| {
        Fault::of_error(Code::SigMalformed, "a layer with cosign's annotations", &error)
    })?;
    let (key, content, form) = content(&layer)?;
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": material(&layer)?,
        key: content,
    });
    let payload = (form == Legacy::CosignSignature).then_some(layer.content);
    Ok(Opened { bundle: json::to_canonical(&bundle), form, payload })
}

/// What an annotation says, if it says anything.
fn said<'a>(layer: &'a Layer, key: &str) -> Option<&'a str> {
    layer.annotations.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

fn material(layer: &Layer) -> Result<Value, Fault> {
    let said = |key| said(layer, key);
    let mut material = match said(CERTIFICATE) {
        Some(leaf) => {
            let chain = said(CHAIN).map(certificates).transpose()?.unwrap_or_default();
            let [leaf] = certificates(leaf)?.try_into().map_err(|several: Vec<Value>| {
                malformed("one certificate", &several.len().to_string())
            })?;
            let all: Vec<Value> = std::iter::once(leaf).chain(chain).collect();
            json!({"x509CertificateChain": {"certificates": all}})
        }
        None => json!({"publicKey": {"hint": ""}}),
    };
    let more = [
        ("tlogEntries", said(BUNDLE).map(entry).transpose()?.map(|entry| json!([entry]))),
        ("timestampVerificationData", said(TIMESTAMP).map(stamp).transpose()?),
    ];
    if let Some(material) = material.as_object_mut() {
        let more = more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        material.extend(more);
    }
    Ok(material)
}

/// The envelope, or the signature over the layer.
fn content(layer: &Layer) -> Result<(&'static str, Value, Legacy), Fault> {
    if let Some(signature) = said(layer, SIGNATURE) {
        let digest = STANDARD.encode(Digest::sha256_of(&layer.content).as_bytes());
        let digest = json!({"algorithm": "SHA2_256", "digest": digest});
        let content = json!({"messageDigest": digest, "signature": signature});
        return Ok(("messageSignature", content, Legacy::CosignSignature));
    }
    let envelope = json::parse::<Value>(&layer.content, EVIDENCE_BYTES_MAX);
    let envelope = envelope.map_err(json_fault("a DSSE envelope"))?;
    Ok(("dsseEnvelope", envelope, Legacy::CosignAttestation))
}

/// What a payload says, as the statement that cosign signs today: the image that it names is its subject.
pub(super) fn statement(payload: &[u8]) -> Result<Statement, Fault> {
    const EXPECTED: &str = "the payload of a signature of an image";
    let malformed = |seen: &str| Fault::new(Code::StmtMalformed, EXPECTED, seen);
    let read = json::parse::<Payload>(payload, EVIDENCE_BYTES_MAX);
    let Payload { critical } =
        read.map_err(|error| Fault::of_error(Code::StmtMalformed, EXPECTED, &error))?;
    if critical.kind != PAYLOAD_TYPE {
        return Err(malformed(&critical.kind));
    }
    let digest = critical.image.docker_manifest_digest;
    let digest: Digest = digest.parse().map_err(|_no_digest| malformed(&digest))?;
    let predicate: Value = json::parse(payload, EVIDENCE_BYTES_MAX)
        .map_err(|error| Fault::of_error(Code::StmtMalformed, EXPECTED, &error))?;
    let subject = Subject::new(critical.identity.docker_reference, digest);
    Ok(Statement::new(vec![subject], SIGN_V1, &predicate))
}

/// What a promise is about.
const PROMISE: &str = "a promise of a log in cosign's annotation";

fn entry(text: &str) -> Result<Value, Fault> {
    let promised = json::parse::<Promised>(text.as_bytes(), EVIDENCE_BYTES_MAX);
    promised.map_err(json_fault(PROMISE))?.into_entry()
}

impl Promised {
    /// The entry as bundles hold it, with the promise and without proof.
    pub(super) fn into_entry(self) -> Result<Value, Fault> {
        let mut entry = self.payload.written(PROMISE)?;
        if let Some(entry) = entry.as_object_mut() {
            let promise = json!({"signedEntryTimestamp": self.signed_entry_timestamp});
            entry.insert("inclusionPromise".to_owned(), promise);
        }
        Ok(entry)
    }
}

impl Entry {
    /// The entry as bundles hold it. Its kind stands in its body, which promise and proof are over.
    pub(super) fn written(self, expected: &'static str) -> Result<Value, Fault> {
        let body = STANDARD.decode(&self.body);
        let body = body.map_err(|error| Fault::of_error(Code::SigMalformed, expected, &error))?;
        let body = json::parse::<Body>(&body, EVIDENCE_BYTES_MAX).map_err(json_fault(expected))?;
        let log: Digest = format!("sha256:{}", self.log_id)
            .parse()
            .map_err(|_no_digest| malformed(expected, &self.log_id))?;
        Ok(json!({
            "logIndex": self.log_index.to_string(),
            "logId": {"keyId": STANDARD.encode(log.as_bytes())},
            "kindVersion": {"kind": body.kind, "version": body.api_version},
            "integratedTime": self.integrated_time.to_string(),
            "canonicalizedBody": self.body,
        }))
    }
}

fn stamp(text: &str) -> Result<Value, Fault> {
    let stamped = json::parse::<Stamped>(text.as_bytes(), EVIDENCE_BYTES_MAX);
    let stamped = stamped.map_err(json_fault("a timestamp in cosign's annotation"))?;
    Ok(json!({"rfc3161Timestamps": [{"signedTimestamp": stamped.signed_timestamp}]}))
}

/// The certificates in a PEM text, which holds nothing else. Their base64 is the bundle's.
pub(super) fn certificates(pem: &str) -> Result<Vec<Value>, Fault> {
    const EXPECTED: &str = "certificates in PEM";
    let (mut certificates, mut open) = (Vec::new(), None::<String>);
    for line in pem.lines().map(str::trim).filter(|line| !line.is_empty()) {
        open = match (line, open) {
            ("-----BEGIN CERTIFICATE-----", None) => Some(String::new()),
            ("-----END CERTIFICATE-----", Some(body)) => {
                certificates.push(json!({"rawBytes": body}));
                None
            }
            (line, Some(body)) if !line.starts_with('-') => Some(body + line),
            (line, _) => return Err(malformed(EXPECTED, line)),
        };
    }
    if open.is_some() || certificates.is_empty() {
        return Err(malformed(EXPECTED, "none, or one without end"));
    }
    Ok(certificates)
}

pub(super) fn json_fault(expected: &'static str) -> impl Fn(JsonError) -> Fault {
    move |error| Fault::of_error(Code::SigMalformed, expected, &error)
}

pub(super) fn malformed(expected: &str, seen: &str) -> Fault {
    Fault::new(Code::SigMalformed, expected, seen)
}
