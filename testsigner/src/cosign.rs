//! The same signature as cosign kept it: a layer of a manifest, with everything else in its annotations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::cosign::{BUNDLE, CERTIFICATE, CHAIN, Layer, SIGNATURE, TIMESTAMP};
use serde_json::{Value, json};

use crate::bundle::Draft;
use crate::request::Content;

/// What cosign signs of an image: the payload of a `.sig` layer.
pub fn image_payload(digest: &bonded_model::Digest) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": "registry.example/app"},
            "image": {"docker-manifest-digest": digest.to_string()},
            "type": "cosign container image signature",
        },
        "optional": {"by": "a test"},
    })
    .to_string()
    .into_bytes()
}

impl Draft<'_> {
    /// Makes what `cosign sign-blob --bundle` wrote of a file before there were Sigstore bundles.
    pub fn to_cosign_bundle(&self) -> Vec<u8> {
        let layer = self.to_cosign_layer();
        let said = |key: &str| layer.annotations.get(key).cloned().unwrap_or_default();
        let promise: Value = serde_json::from_str(&said(BUNDLE)).unwrap_or(Value::Null);
        json!({
            "base64Signature": said(SIGNATURE),
            "cert": STANDARD.encode(said(CERTIFICATE)),
            "rekorBundle": promise,
        })
        .to_string()
        .into_bytes()
    }

    /// Makes the layer: of a `.att` manifest for a statement, of a `.sig` manifest for a file.
    pub fn to_cosign_layer(&self) -> Layer {
        let bundle: Value = serde_json::from_slice(&self.to_json()).expect("a bundle is JSON");
        let at = |pointer: &str| bundle.pointer(pointer);
        let text = |pointer: &str| at(pointer).and_then(Value::as_str).unwrap_or_default();
        let material = "/verificationMaterial";
        let mut annotations = std::collections::BTreeMap::new();
        let mut say = |key: &str, value: String| annotations.insert(key.to_owned(), value);
        let chain = at(&format!("{material}/x509CertificateChain/certificates"));
        let chain = chain.and_then(Value::as_array).into_iter().flatten();
        let chain: Vec<_> = chain.filter_map(|one| one.get("rawBytes")?.as_str()).collect();
        let leaf = text(&format!("{material}/certificate/rawBytes"));
        let (leaf, above) =
            chain.split_first().map_or((leaf, &[][..]), |(leaf, above)| (*leaf, above));
        if !leaf.is_empty() {
            say(CERTIFICATE, pem(leaf));
        }
        if !above.is_empty() {
            say(CHAIN, above.iter().map(|one| pem(one)).collect());
        }
        if let Some(entry) = at(&format!("{material}/tlogEntries/0")) {
            say(BUNDLE, promised(entry).to_string());
        }
        let stamp = text(&format!(
            "{material}/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp"
        ));
        if !stamp.is_empty() {
            say(TIMESTAMP, json!({"SignedRFC3161Timestamp": stamp}).to_string());
        }
        say(SIGNATURE, text("/messageSignature/signature").to_owned());
        let content = match self.content_of_request() {
            Content::File(payload) => payload.to_vec(),
            Content::Statement(_) | Content::Payload { .. } => {
                at("/dsseEnvelope").map(Value::to_string).unwrap_or_default().into_bytes()
            }
        };
        Layer { annotations, content }
    }
}

/// An entry as Rekor v1 answers it.
fn promised(entry: &Value) -> Value {
    let number = |key: &str| {
        let text = entry.get(key).and_then(Value::as_str).unwrap_or("0");
        text.parse::<i64>().expect("a number in an entry")
    };
    let id = entry.pointer("/logId/keyId").and_then(Value::as_str).unwrap_or_default();
    let id = STANDARD.decode(id).expect("base64 in an entry");
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "SignedEntryTimestamp": entry.pointer("/inclusionPromise/signedEntryTimestamp").unwrap_or(&json!("")),
        "Payload": {
            "body": entry.get("canonicalizedBody"),
            "integratedTime": number("integratedTime"),
            "logIndex": number("logIndex"),
            "logID": id,
        },
    })
}

fn pem(base64: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}
