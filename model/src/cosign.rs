//! Layers of cosign's manifests, with what their annotations say (cosign, specs/SIGNATURE_SPEC.md).
//!
//! Cosign kept the signature of an image, and the material to verify it or an attestation with, in annotations
//! of a layer, so that the layer alone is no evidence. Both are held as one document:
//!
//! ```text
//! {"annotations": {cosign's own, as they stood there},
//!  "content": base64 of the layer,
//!  "mediaType": "application/vnd.bonded.cosign-layer.v1+json"}
//! ```
//!
//! What annotations say is not believed here, nor looked at: whoever verifies the document reads it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::limits::EVIDENCE_BYTES_MAX;
use crate::media_type::COSIGN_LAYER;

/// The signature over the layer, in base64; empty where the layer is an envelope that holds its own.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The certificate of the key that signed, in PEM.
pub const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The certificates above it, in PEM.
pub const CHAIN: &str = "dev.sigstore.cosign/chain";
/// What a log promised of the signature, in JSON.
pub const BUNDLE: &str = "dev.sigstore.cosign/bundle";
/// A timestamp of the signature, in JSON.
pub const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

const OWN: [&str; 5] = [SIGNATURE, CERTIFICATE, CHAIN, BUNDLE, TIMESTAMP];

/// A layer with cosign's annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Cosign's annotations, as they stood at the layer.
    pub annotations: BTreeMap<String, String>,
    /// The bytes of the layer.
    pub content: Vec<u8>,
}

/// Why a document is no such layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Not strict JSON of that shape.
    #[error("the document is no layer of cosign's in JSON")]
    Json(#[from] JsonError),
    /// Of another kind.
    #[error("the document has media type {found:?}")]
    MediaType {
        /// What it says to be.
        found: String,
    },
    /// The content is not in base64.
    #[error("the content of the layer is not in base64")]
    Content(#[from] base64::DecodeError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    annotations: BTreeMap<String, String>,
    content: String,
    media_type: String,
}

impl Layer {
    /// The layer, if its annotations make it a signature, or an attestation with a certificate; any other
    /// layer is what its bytes are.
    pub fn of(annotations: &BTreeMap<String, String>, content: Vec<u8>) -> Option<Self> {
        if !is_signed(annotations) {
            return None;
        }
        let own = annotations.iter().filter(|(key, _)| OWN.contains(&key.as_str()));
        let annotations = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        Some(Self { annotations, content })
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`LayerError`] if it is something else, or malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayerError> {
        let written: Written = json::parse(bytes, EVIDENCE_BYTES_MAX)?;
        if written.media_type != COSIGN_LAYER {
            return Err(LayerError::MediaType { found: written.media_type });
        }
        let content = STANDARD.decode(&written.content)?;
        Ok(Self { annotations: written.annotations, content })
    }

    /// The document: the same bytes for the same layer and annotations.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_canonical(&Written {
            annotations: self.annotations.clone(),
            content: STANDARD.encode(&self.content),
            media_type: COSIGN_LAYER.to_owned(),
        })
    }
}

/// Whether annotations make a layer a signature, or an attestation with a certificate.
pub fn is_signed(annotations: &BTreeMap<String, String>) -> bool {
    let has = |key| annotations.get(key).is_some_and(|value: &String| !value.is_empty());
    has(SIGNATURE) || has(CERTIFICATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_its_own_annotations_are_held() {
        let annotations = annotated(&[(SIGNATURE, "AA=="), ("a", "b"), (BUNDLE, "{}")]);
        let layer = Layer::of(&annotations, b"x".to_vec()).unwrap();
        assert_eq!(layer.annotations, annotated(&[(SIGNATURE, "AA=="), (BUNDLE, "{}")]));
        let text = r#"{"annotations":{"dev.cosignproject.cosign/signature":"AA==","dev.sigstore.cosign/bundle":"{}"},"content":"eA==","mediaType":"application/vnd.bonded.cosign-layer.v1+json"}"#;
        assert_eq!(String::from_utf8(layer.to_bytes()).unwrap(), text);
        assert_eq!(Layer::parse(text.as_bytes()).unwrap(), layer);
    }

    #[test]
    fn what_is_signed_elsewhere_is_no_such_layer() {
        for pairs in [&[][..], &[(SIGNATURE, "")], &[(BUNDLE, "{}")], &[("a", "b")]] {
            assert_eq!(Layer::of(&annotated(pairs), Vec::new()), None, "{pairs:?}");
        }
        assert!(
            Layer::of(&annotated(&[(SIGNATURE, ""), (CERTIFICATE, "x")]), Vec::new()).is_some()
        );
    }

    #[test]
    fn must_reject() {
        let good = r#"{"annotations":{},"content":"eA==","mediaType":"application/vnd.bonded.cosign-layer.v1+json"}"#;
        assert!(Layer::parse(good.as_bytes()).is_ok());
        for (from, to) in [
            ("eA==", "eA"),
            ("eA==", "e A=="),
            ("layer.v1", "layer.v2"),
            ("{}", "[]"),
            ("{}", "{\"a\":1}"),
            ("{}", "{\"a\":\"\",\"a\":\"\"}"),
            (",\"content\":\"eA==\"", ""),
            ("\"content\"", "\"x\":1,\"content\""),
        ] {
            assert!(Layer::parse(good.replace(from, to).as_bytes()).is_err(), "{from} {to}");
        }
        assert!(Layer::parse(format!("{good} {good}").as_bytes()).is_err());
    }
}
