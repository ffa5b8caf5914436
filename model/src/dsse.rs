//! DSSE envelopes (secure-systems-lab/dsse, envelope.md and protocol.md).
//!
//! The payload bytes that the signature covers are decoded once and kept; nothing re-serialises
//! them. Both base64 alphabets are legal there, a mix or wrong padding is not.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::limits::{EVIDENCE_BYTES_MAX, SIGNATURE_COUNT_MAX};

/// A signed envelope: payload, its type, and signatures over both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is; covered by the signatures.
    pub payload_type: String,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// At least one, at most [`SIGNATURE_COUNT_MAX`].
    pub signatures: Vec<Signature>,
}

/// One signature over [`Envelope::pae`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// A hint which key made it; unsigned.
    pub key_id: Option<String>,
    /// The signature bytes.
    pub bytes: Vec<u8>,
}

/// Why bytes are no DSSE envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not strict JSON of the right shape.
    #[error("not a DSSE envelope")]
    Json(#[from] JsonError),
    /// A field is not base64.
    #[error("{field} is not base64")]
    Base64 {
        /// `payload` or `sig`.
        field: &'static str,
        /// Where it breaks.
        #[source]
        source: base64::DecodeError,
    },
    /// None, or more than [`SIGNATURE_COUNT_MAX`].
    #[error("envelope has {count} signatures, expected 1 to {SIGNATURE_COUNT_MAX}")]
    SignatureCount {
        /// How many it has.
        count: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEnvelope {
    payload: String,
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// [`EnvelopeError`] at the first thing that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let wire: WireEnvelope = json::parse(bytes, EVIDENCE_BYTES_MAX)?;
        let count = wire.signatures.len();
        if count == 0 || count > SIGNATURE_COUNT_MAX {
            return Err(EnvelopeError::SignatureCount { count });
        }
        let signatures = wire.signatures.into_iter().map(|signature| {
            let bytes = decode("sig", &signature.sig)?;
            let key_id = signature.keyid.filter(|id| !id.is_empty());
            Ok(Signature { key_id, bytes })
        });
        Ok(Self {
            payload: decode("payload", &wire.payload)?,
            signatures: signatures.collect::<Result<_, EnvelopeError>>()?,
            payload_type: wire.payload_type,
        })
    }

    /// Its canonical bytes as JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_canonical(&WireEnvelope {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: self
                .signatures
                .iter()
                .map(|signature| WireSignature {
                    keyid: signature.key_id.clone(),
                    sig: STANDARD.encode(&signature.bytes),
                })
                .collect(),
        })
    }

    /// The bytes that its signatures cover.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }
}

/// Pre-authentication encoding: `DSSEv1 LEN(type) type LEN(payload) payload` (DSSE protocol.md).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {} {} ", payload_type.len(), payload_type, payload.len());
    [head.as_bytes(), payload].concat()
}

fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, EnvelopeError> {
    let url_safe = text.contains(['-', '_']);
    let decoded = if url_safe { URL_SAFE.decode(text) } else { STANDARD.decode(text) };
    decoded.map_err(|source| EnvelopeError::Base64 { field, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pae_of_the_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn must_reject() {
        let parse = |text: &str| Envelope::parse(text.as_bytes());
        let none = r#"{"payload":"","payloadType":"t","signatures":[]}"#;
        assert!(matches!(parse(none), Err(EnvelopeError::SignatureCount { count: 0 })));
        let many = format!(
            r#"{{"payload":"","payloadType":"t","signatures":[{}]}}"#,
            vec![r#"{"sig":""}"#; SIGNATURE_COUNT_MAX + 1].join(",")
        );
        assert!(matches!(parse(&many), Err(EnvelopeError::SignatureCount { .. })));
        for payload in ["a", "YQ", "Y-+/", "YQ==\\n", "YQ== "] {
            let text = format!(
                r#"{{"payload":"{payload}","payloadType":"t","signatures":[{{"sig":""}}]}}"#
            );
            let error = parse(&text).expect_err(payload);
            assert!(
                matches!(error, EnvelopeError::Base64 { field: "payload", .. }),
                "{payload}: {error}"
            );
        }
        let twice =
            r#"{"payload":"","payload":"YQ==","payloadType":"t","signatures":[{"sig":""}]}"#;
        assert!(matches!(parse(twice), Err(EnvelopeError::Json(JsonError::Syntax(_)))));
        assert!(matches!(parse("{}"), Err(EnvelopeError::Json(JsonError::Shape(_)))));
        assert!(matches!(parse(""), Err(EnvelopeError::Json(JsonError::Empty))));
    }

    proptest! {
        #[test]
        fn round_trip(payload in any::<Vec<u8>>(), sig in any::<Vec<u8>>(), kind in "[a-z/+.]{1,20}") {
            let signatures = vec![Signature { key_id: None, bytes: sig }];
            let envelope = Envelope { payload_type: kind, payload, signatures };
            prop_assert_eq!(Envelope::parse(&envelope.to_bytes()).unwrap(), envelope);
        }
    }
}
