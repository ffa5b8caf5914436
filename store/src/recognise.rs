//! What a document is, told by its content.
//!
//! Names make candidates (see `ingest::sidecar`); the content has to confirm. A file of JSON lines
//! with several bundles or envelopes is one document, kept byte for byte: its kind is that of its
//! lines, its media type the in-toto one for such files (in-toto/attestation, spec/v1/bundle.md).
//! Nothing here is a verdict: signatures are not looked at.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::checksums::{self, ChecksumsError};
use bonded_model::cosign::{Layer, LayerError};
use bonded_model::detached;
use bonded_model::dsse::{Envelope, EnvelopeError};
use bonded_model::json::{self, JsonError};
use bonded_model::limits::{
    DETACHED_BYTES_MAX, EVIDENCE_BYTES_MAX, LINE_COUNT_MAX, METABLOCK_BYTES_MAX,
};
use bonded_model::sbom::{SbomError, SbomFormat, SbomView};
use bonded_model::statement::{Statement, StatementError};
use bonded_model::{Algorithm, Digest, DocumentKind, MediaType, media_type};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

/// Several attestations in one file of JSON lines.
const IN_TOTO_BUNDLE: &str = "application/vnd.in-toto.bundle";

/// What every version of the Sigstore bundle's media type starts with.
const SIGSTORE_BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";

/// What a name lets expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Attestation,
    Sbom,
    Checksums(Algorithm),
    Metablock,
    Signature,
    Certificate,
    LogEntry,
}

impl Expected {
    /// For messages: what the content should have been.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Attestation => {
                "a Sigstore bundle, a DSSE envelope, an in-toto statement, or JSON lines of these"
            }
            Self::Sbom => "an SPDX or CycloneDX document",
            Self::Checksums(_) => "a checksum list",
            Self::Metablock => "an in-toto layout or link",
            Self::Signature => "a signature in base64",
            Self::Certificate => "certificates in PEM, or base64 of it",
            Self::LogEntry => "the entry of a log in JSON",
        }
    }
}

/// What a document turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recognised {
    pub(crate) kind: DocumentKind,
    pub(crate) media_type: MediaType,
    pub(crate) predicate_type: Option<String>,
    /// Digests of what it says it is about.
    pub(crate) digests: BTreeSet<Digest>,
}

/// Why content is not what its name promised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecogniseError {
    /// Not strict JSON.
    #[error("the content is not JSON that can be trusted")]
    Json(#[from] JsonError),
    /// JSON, but none of the known documents.
    #[error("the content is JSON of no known kind")]
    Unknown,
    /// Says it is a Sigstore bundle and lacks what makes one.
    #[error("the content says it is a Sigstore bundle, but {reason}")]
    Bundle {
        /// What is missing.
        reason: &'static str,
    },
    /// Not the base64 of a signature on one line.
    #[error("the content is no signature in base64 on one line")]
    Signature,
    /// Neither PEM nor base64 of it.
    #[error("the content is neither certificates in PEM nor base64 of it")]
    Certificate,
    /// JSON, but not what a log answers for an entry.
    #[error("the content is not what a log answers for one entry")]
    LogEntry,
    /// Says it is a layer of cosign's and is none.
    #[error("the content is a malformed layer of cosign's")]
    Layer(#[from] LayerError),
    /// Looks like a DSSE envelope and is none.
    #[error("the content is a malformed envelope")]
    Envelope(#[from] EnvelopeError),
    /// Looks like an in-toto statement and is none.
    #[error("the content is a malformed statement")]
    Statement(#[from] StatementError),
    /// One of several lines is no attestation.
    #[error("line {line} is no attestation")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why not.
        #[source]
        source: Box<RecogniseError>,
    },
    /// More lines than anybody writes.
    #[error("the file has more than {LINE_COUNT_MAX} lines")]
    TooManyLines,
    /// No SBOM.
    #[error("the content is no SBOM")]
    Sbom(#[from] SbomError),
    /// No checksum document.
    #[error("the content is no checksum document")]
    Checksums(#[from] ChecksumsError),
}

/// Reads a document as what its name lets expect.
pub(crate) fn recognise(expected: Expected, bytes: &[u8]) -> Result<Recognised, RecogniseError> {
    match expected {
        Expected::Attestation => attestation(bytes),
        Expected::Sbom => sbom(bytes),
        Expected::Metablock => metablock(bytes),
        Expected::Signature => detached::signature(bytes)
            .map(|_text| piece(DocumentKind::Signature, media_type::DETACHED_SIGNATURE))
            .ok_or(RecogniseError::Signature),
        Expected::Certificate => detached::certificates(bytes)
            .map(|_pem| piece(DocumentKind::Certificate, media_type::DETACHED_CERTIFICATE))
            .ok_or(RecogniseError::Certificate),
        Expected::LogEntry => log_entry(bytes),
        Expected::Checksums(algorithm) => {
            let lines = checksums::parse(bytes, algorithm)?;
            Ok(Recognised {
                kind: DocumentKind::Checksums,
                media_type: MediaType::known(media_type::CHECKSUMS),
                predicate_type: None,
                digests: lines.into_iter().map(|line| line.digest).collect(),
            })
        }
    }
}

/// A piece of a detached signature. It is about the file that its name says, and names no digest.
fn piece(kind: DocumentKind, media_type: &'static str) -> Recognised {
    let media_type = MediaType::known(media_type);
    Recognised { kind, media_type, predicate_type: None, digests: BTreeSet::new() }
}

/// What Rekor answers for one entry, by its name or without, or what the log promised of it alone. An answer
/// that tells of an error has another shape.
fn log_entry(bytes: &[u8]) -> Result<Recognised, RecogniseError> {
    let value: Value = json::parse(bytes, DETACHED_BYTES_MAX)?;
    let answer = |value: &Value| has(value, ["body", "verification"]);
    let named = |value: &Value| {
        let members = value.as_object().filter(|members| members.len() == 1);
        members.is_some_and(|members| members.values().all(answer))
    };
    let is_entry =
        answer(&value) || named(&value) || has(&value, ["SignedEntryTimestamp", "Payload"]);
    if !is_entry {
        return Err(RecogniseError::LogEntry);
    }
    Ok(piece(DocumentKind::LogEntry, media_type::DETACHED_LOG_ENTRY))
}

fn has(value: &Value, members: [&str; 2]) -> bool {
    members.iter().all(|member| value.get(member).is_some())
}

/// The predicate type of an attestation that holds one statement.
pub(crate) fn predicate_type(bytes: &[u8]) -> Option<String> {
    attestation(bytes).ok()?.predicate_type // anything else has none
}

/// The digests that an attestation's subjects name; none for any other document.
pub(crate) fn subject_digests(bytes: &[u8]) -> BTreeSet<Digest> {
    attestation(bytes).map(|recognised| recognised.digests).unwrap_or_default()
}

/// The kind of a document that is held under a media type.
pub(crate) fn kind_of(media_type: &MediaType, bytes: &[u8]) -> DocumentKind {
    let known = match media_type.as_str() {
        media_type::IN_TOTO => Some(DocumentKind::Statement),
        media_type::DSSE => Some(DocumentKind::Envelope),
        media_type::SPDX_JSON | media_type::SPDX_TEXT => Some(DocumentKind::Spdx),
        media_type::CYCLONEDX_JSON => Some(DocumentKind::CycloneDx),
        media_type::CHECKSUMS => Some(DocumentKind::Checksums),
        media_type::IN_TOTO_METABLOCK => Some(DocumentKind::Metablock),
        media_type::DETACHED_SIGNATURE => Some(DocumentKind::Signature),
        media_type::DETACHED_CERTIFICATE => Some(DocumentKind::Certificate),
        media_type::DETACHED_LOG_ENTRY => Some(DocumentKind::LogEntry),
        other if other.starts_with(SIGSTORE_BUNDLE_PREFIX) => Some(DocumentKind::Bundle),
        _ => None,
    };
    known.unwrap_or_else(|| attestation(bytes).map_or(DocumentKind::Bundle, |found| found.kind))
}

fn sbom(bytes: &[u8]) -> Result<Recognised, RecogniseError> {
    let view = SbomView::parse(bytes)?;
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let (kind, media_type) = match (view.format, is_json) {
        (SbomFormat::CycloneDx, _) => (DocumentKind::CycloneDx, media_type::CYCLONEDX_JSON),
        (SbomFormat::Spdx, true) => (DocumentKind::Spdx, media_type::SPDX_JSON),
        (SbomFormat::Spdx, false) => (DocumentKind::Spdx, media_type::SPDX_TEXT),
    };
    let media_type = MediaType::known(media_type);
    Ok(Recognised { kind, media_type, predicate_type: None, digests: view.digests })
}

/// Classic in-toto metadata, as it is or in a DSSE envelope, is about a release as a whole, so no digest of it chooses
/// an artifact.
fn metablock(bytes: &[u8]) -> Result<Recognised, RecogniseError> {
    #[derive(Deserialize)]
    struct Metablock {
        signed: Signed,
        #[serde(rename = "signatures")]
        _signatures: Vec<IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Signed {
        #[serde(rename = "_type")]
        kind: String,
    }
    let signed = match json::parse::<Metablock>(bytes, METABLOCK_BYTES_MAX) {
        Ok(block) => block.signed,
        Err(JsonError::Shape(shape)) => match Envelope::parse(bytes) {
            Ok(envelope) if envelope.payload_type == media_type::IN_TOTO => {
                json::parse::<Signed>(&envelope.payload, METABLOCK_BYTES_MAX)?
            }
            Ok(_) | Err(_) => return Err(JsonError::Shape(shape).into()),
        },
        Err(error) => return Err(error.into()),
    };
    if !matches!(signed.kind.as_str(), "layout" | "link") {
        return Err(RecogniseError::Unknown);
    }
    Ok(Recognised {
        kind: DocumentKind::Metablock,
        media_type: MediaType::known(media_type::IN_TOTO_METABLOCK),
        predicate_type: None,
        digests: BTreeSet::new(),
    })
}

fn attestation(bytes: &[u8]) -> Result<Recognised, RecogniseError> {
    match json::check(bytes, EVIDENCE_BYTES_MAX) {
        Ok(()) => one_attestation(bytes),
        Err(JsonError::Syntax(source)) => match several_attestations(bytes) {
            Some(several) => several,
            None => Err(JsonError::Syntax(source).into()),
        },
        Err(other) => Err(other.into()),
    }
}

/// JSON lines, if the first line is a document of its own.
fn several_attestations(bytes: &[u8]) -> Option<Result<Recognised, RecogniseError>> {
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| !line.iter().all(u8::is_ascii_whitespace));
    let (first, _) = lines.next()?;
    let mut all = one_attestation(first).ok()?; // then it is no file of JSON lines
    let mut count = 1;
    for (line, number) in lines {
        count += 1;
        if count > LINE_COUNT_MAX {
            return Some(Err(RecogniseError::TooManyLines));
        }
        match one_attestation(line) {
            Ok(one) => all.digests.extend(one.digests),
            Err(source) => {
                let source = Box::new(source);
                return Some(Err(RecogniseError::Line { line: number, source }));
            }
        }
    }
    all.media_type = MediaType::known(IN_TOTO_BUNDLE);
    all.predicate_type = None; // there may be several
    Some(Ok(all))
}

/// The fields by which the three documents are told apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    verification_material: Option<IgnoredAny>,
    dsse_envelope: Option<Box<RawValue>>,
    message_signature: Option<MessageSignature>,
    payload: Option<IgnoredAny>,
    #[serde(rename = "_type")]
    statement_type: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: Option<MessageDigest>,
}

#[derive(Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

fn one_attestation(bytes: &[u8]) -> Result<Recognised, RecogniseError> {
    let shape: Shape = json::parse(bytes, EVIDENCE_BYTES_MAX)?;
    if let Some(media_type) =
        shape.media_type.as_deref().filter(|text| text.starts_with(SIGSTORE_BUNDLE_PREFIX))
    {
        let malformed = |_why| RecogniseError::Bundle { reason: "its mediaType is malformed" };
        let media_type = media_type.parse().map_err(malformed)?;
        return bundle(media_type, shape);
    }
    if shape.media_type.as_deref() == Some(media_type::COSIGN_LAYER) {
        Layer::parse(bytes)?;
        return Ok(Recognised {
            kind: DocumentKind::Bundle,
            media_type: MediaType::known(media_type::COSIGN_LAYER),
            predicate_type: None,
            digests: BTreeSet::new(), // the layer is about what its manifest is about
        });
    }
    if shape.payload.is_some() {
        let envelope = Envelope::parse(bytes)?;
        return Ok(enveloped(
            DocumentKind::Envelope,
            MediaType::known(media_type::DSSE),
            &envelope,
        ));
    }
    if shape.statement_type.is_some() {
        let statement = Statement::parse(bytes)?;
        return Ok(Recognised {
            kind: DocumentKind::Statement,
            media_type: MediaType::known(media_type::IN_TOTO),
            digests: subjects_of(&statement),
            predicate_type: Some(statement.predicate_type),
        });
    }
    Err(RecogniseError::Unknown)
}

fn bundle(media_type: MediaType, shape: Shape) -> Result<Recognised, RecogniseError> {
    let lacks = |reason| RecogniseError::Bundle { reason };
    if shape.verification_material.is_none() {
        return Err(lacks("it has no verificationMaterial"));
    }
    match (shape.dsse_envelope, shape.message_signature) {
        (Some(envelope), None) => {
            let envelope = Envelope::parse(envelope.get().as_bytes())?;
            Ok(enveloped(DocumentKind::Bundle, media_type, &envelope))
        }
        (None, Some(signature)) => Ok(Recognised {
            kind: DocumentKind::Bundle,
            media_type,
            predicate_type: None,
            digests: signature.message_digest.iter().filter_map(message_digest).collect(),
        }),
        (None, None) => Err(lacks("it has neither dsseEnvelope nor messageSignature")),
        (Some(_), Some(_)) => Err(lacks("it has both dsseEnvelope and messageSignature")),
    }
}

/// An envelope is kept also if its payload is no statement: what it is worth, the verdict says.
fn enveloped(kind: DocumentKind, media_type: MediaType, envelope: &Envelope) -> Recognised {
    let statement = Statement::parse(&envelope.payload).ok();
    Recognised {
        kind,
        media_type,
        digests: statement.as_ref().map(subjects_of).unwrap_or_default(),
        predicate_type: statement.map(|statement| statement.predicate_type),
    }
}

fn subjects_of(statement: &Statement) -> BTreeSet<Digest> {
    let strong = |algorithm| {
        statement.subjects.iter().filter_map(move |subject| subject.digest.digest(algorithm))
    };
    strong(Algorithm::Sha256).chain(strong(Algorithm::Sha512)).collect()
}

fn message_digest(digest: &MessageDigest) -> Option<Digest> {
    let bytes = STANDARD.decode(&digest.digest).ok()?; // then it names nothing that could match
    match digest.algorithm.as_str() {
        "SHA2_256" => Some(Digest::from_sha256(bytes.try_into().ok()?)),
        "SHA2_512" => Some(Digest::from_sha512(bytes.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(digest: &Digest) -> String {
        let hex = digest.hex();
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"x","digest":{{"sha256":"{hex}"}}}}],"predicateType":"https://example.com/p"}}"#
        )
    }

    fn envelope(payload: &str) -> String {
        let payload = STANDARD.encode(payload);
        format!(r#"{{"payload":"{payload}","payloadType":"t","signatures":[{{"sig":"AA=="}}]}}"#)
    }

    fn bundle(media_type: &str, content: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","verificationMaterial":{{}},{content}}}"#)
    }

    const V0_1: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
    const V0_3: &str = media_type::SIGSTORE_BUNDLE;

    fn check(
        text: &str,
        kind: DocumentKind,
        media_type: &str,
        predicate: bool,
        digests: &[Digest],
    ) {
        let found = recognise(Expected::Attestation, text.as_bytes()).expect(text);
        let expected = Recognised {
            kind,
            media_type: media_type.parse().unwrap(),
            predicate_type: predicate.then(|| "https://example.com/p".to_owned()),
            digests: digests.iter().copied().collect(),
        };
        assert_eq!(found, expected, "{text}");
        assert_eq!(kind_of(&found.media_type, text.as_bytes()), kind);
        assert_eq!(predicate_type(text.as_bytes()), expected.predicate_type);
        assert_eq!(subject_digests(text.as_bytes()), expected.digests);
    }

    #[test]
    fn attestations_in_every_wrapping() {
        let [one, two] = [b"1", b"2"].map(|bytes| Digest::sha256_of(bytes));
        let enveloped = envelope(&statement(&one));
        let in_bundle = format!(r#""dsseEnvelope":{enveloped}"#);
        let signature = format!(
            r#""messageSignature":{{"messageDigest":{{"algorithm":"SHA2_256","digest":"{}"}},"signature":"AA=="}}"#,
            STANDARD.encode(one.as_bytes())
        );
        let (bundle_1, bundle_3) = (bundle(V0_1, &in_bundle), bundle(V0_3, &in_bundle));
        check(&statement(&one), DocumentKind::Statement, media_type::IN_TOTO, true, &[one]);
        check(&enveloped, DocumentKind::Envelope, media_type::DSSE, true, &[one]);
        check(&envelope("no statement"), DocumentKind::Envelope, media_type::DSSE, false, &[]);
        check(&bundle_1, DocumentKind::Bundle, V0_1, true, &[one]);
        check(&format!("\n{bundle_3}\n\n"), DocumentKind::Bundle, V0_3, true, &[one]);
        check(&bundle(V0_3, &signature), DocumentKind::Bundle, V0_3, false, &[one]);
        let unsigned = bundle(V0_3, r#""messageSignature":{"signature":"AA=="}"#);
        check(&unsigned, DocumentKind::Bundle, V0_3, false, &[]);
        let layer = Layer { annotations: [].into(), content: statement(&one).into() }.to_bytes();
        let layer = String::from_utf8(layer).unwrap();
        check(&layer, DocumentKind::Bundle, media_type::COSIGN_LAYER, false, &[]);
        let lines = format!("{bundle_1}\r\n\n{}", envelope(&statement(&two)));
        check(&lines, DocumentKind::Bundle, IN_TOTO_BUNDLE, false, &[one, two]);
    }

    #[test]
    fn bundles_that_are_none() {
        let enveloped = format!(r#""dsseEnvelope":{}"#, envelope("{}"));
        let both = bundle(V0_3, &format!(r#"{enveloped},"messageSignature":{{}}"#));
        let without_material = bundle(V0_3, &enveloped).replace("verificationMaterial", "other");
        let malformed = bundle("application/vnd.dev.sigstore.bundle with spaces", &enveloped);
        for text in [bundle(V0_3, r#""x":1"#), both, without_material, malformed] {
            let error = recognise(Expected::Attestation, text.as_bytes()).expect_err(&text);
            assert!(matches!(error, RecogniseError::Bundle { .. }), "{text}: {error:?}");
        }
        let unsigned = bundle(V0_3, &enveloped).replace(r#"[{"sig":"AA=="}]"#, "[]");
        let error = recognise(Expected::Attestation, unsigned.as_bytes()).unwrap_err();
        assert!(matches!(error, RecogniseError::Envelope(_)), "{error:?}");
    }

    #[test]
    fn sboms_and_checksums() {
        let kind = |expected, text: &str| {
            let found = recognise(expected, text.as_bytes()).unwrap();
            assert_eq!(kind_of(&found.media_type, text.as_bytes()), found.kind);
            (found.kind, found.media_type.to_string())
        };
        let spdx = |media: &str| (DocumentKind::Spdx, media.to_owned());
        let json = r#"{"spdxVersion":"SPDX-2.3"}"#;
        assert_eq!(kind(Expected::Sbom, json), spdx(media_type::SPDX_JSON));
        assert_eq!(kind(Expected::Sbom, "SPDXVersion: SPDX-2.3"), spdx(media_type::SPDX_TEXT));
        let list = format!("{}  a\n", Digest::sha512_of(b"a").hex());
        let checksums = (DocumentKind::Checksums, media_type::CHECKSUMS.to_owned());
        assert_eq!(kind(Expected::Checksums(Algorithm::Sha512), &list), checksums);
        let block = |kind: &str| format!(r#"{{"signed":{{"_type":"{kind}"}},"signatures":[]}}"#);
        for text in ["layout", "link"].map(block) {
            let metablock = (DocumentKind::Metablock, media_type::IN_TOTO_METABLOCK.to_owned());
            assert_eq!(kind(Expected::Metablock, &text), metablock);
        }
        let enveloped = |kind: &str, payload_type: &str| {
            let payload = format!(r#"{{"_type":"{kind}"}}"#).into_bytes();
            let signature = bonded_model::dsse::Signature { key_id: None, bytes: Vec::new() };
            let envelope = Envelope {
                payload,
                payload_type: payload_type.to_owned(),
                signatures: vec![signature],
            };
            String::from_utf8(envelope.to_bytes()).unwrap()
        };
        let metablock = (DocumentKind::Metablock, media_type::IN_TOTO_METABLOCK.to_owned());
        let layout = enveloped("layout", media_type::IN_TOTO);
        assert_eq!(kind(Expected::Metablock, &layout), metablock);
        for text in [block("root"), enveloped("root", media_type::IN_TOTO)] {
            let other = recognise(Expected::Metablock, text.as_bytes());
            assert!(matches!(other, Err(RecogniseError::Unknown)), "{other:?}");
        }
        let other = recognise(Expected::Metablock, enveloped("layout", "text/plain").as_bytes());
        assert!(matches!(other, Err(RecogniseError::Json(_))), "{other:?}");
        for text in ["{}", r#"{"signed":{"_type":"link"}}"#, r#"{"signatures":[]}"#] {
            let wrong = recognise(Expected::Metablock, text.as_bytes());
            assert!(matches!(wrong, Err(RecogniseError::Json(_))), "{text}: {wrong:?}");
        }
        let wrong = recognise(Expected::Checksums(Algorithm::Sha256), list.as_bytes());
        assert!(matches!(wrong, Err(RecogniseError::Checksums(_))));
    }
}
