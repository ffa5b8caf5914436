//! The same signature as cosign kept it: a layer of a manifest, with everything else in its annotations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::cosign::{BUNDLE, CERTIFICATE, CHAIN, Layer, SIGNATURE, TIMESTAMP};
use bonded_model::detached::Files;
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

    /// Makes the signature of a file with the files that lie beside it: the certificate as cosign writes it, and the
    /// first entry as Rekor answers it.
    pub fn to_files(&self) -> Files<'static> {
        let bundle = self.to_value();
        let layer = self.layer_of(&bundle);
        let said = |key: &str| layer.annotations.get(key).cloned().unwrap_or_default();
        let certificate = Some(said(CERTIFICATE) + &said(CHAIN)).filter(|pem| !pem.is_empty());
        let entry = bundle.pointer("/verificationMaterial/tlogEntries/0").map(answered);
        let file = |text: String| text.into_bytes().into();
        Files {
            signature: file(said(SIGNATURE)),
            certificates: certificate.map(|pem| file(STANDARD.encode(pem))).into_iter().collect(),
            entries: entry.map(|entry| file(entry.to_string())).into_iter().collect(),
        }
    }

    /// Makes the layer: of a `.att` manifest for a statement, of a `.sig` manifest for a file.
    pub fn to_cosign_layer(&self) -> Layer {
        self.layer_of(&self.to_value())
    }

    /// The bundle: one with another signature each time that it is made.
    fn to_value(self) -> Value {
        serde_json::from_slice(&self.to_json()).expect("a bundle is JSON")
    }

    fn layer_of(&self, bundle: &Value) -> Layer {
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

/// An entry as Rekor v1 answers it, by a name.
fn answered(entry: &Value) -> Value {
    let promised = promised(entry);
    let hex = |base64: &Value| {
        let bytes = STANDARD.decode(base64.as_str().unwrap_or_default());
        let bytes = bytes.expect("base64 in an entry");
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let mut verification = json!({});
    let promise = &promised["SignedEntryTimestamp"];
    if promise != "" {
        verification["signedEntryTimestamp"] = promise.clone();
    }
    if let Some(proof) = entry.get("inclusionProof") {
        let hashes = proof["hashes"].as_array().into_iter().flatten();
        let mut written = json!({
            "hashes": hashes.map(hex).collect::<Vec<_>>(),
            "logIndex": number(proof, "logIndex"),
            "rootHash": hex(&proof["rootHash"]),
            "treeSize": number(proof, "treeSize"),
        });
        if let Some(checkpoint) = proof.pointer("/checkpoint/envelope") {
            written["checkpoint"] = checkpoint.clone();
        }
        verification["inclusionProof"] = written;
    }
    let mut answer = promised["Payload"].clone();
    answer["verification"] = verification;
    json!({"24296fb24b8ad77a": answer})
}

fn number(object: &Value, key: &str) -> i64 {
    let text = object.get(key).and_then(Value::as_str).unwrap_or("0");
    text.parse().expect("a number in an entry")
}

/// What Rekor v1 promised of an entry, as cosign kept it.
fn promised(entry: &Value) -> Value {
    let id = entry.pointer("/logId/keyId").and_then(Value::as_str).unwrap_or_default();
    let id = STANDARD.decode(id).expect("base64 in an entry");
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "SignedEntryTimestamp": entry.pointer("/inclusionPromise/signedEntryTimestamp").unwrap_or(&json!("")),
        "Payload": {
            "body": entry.get("canonicalizedBody"),
            "integratedTime": number(entry, "integratedTime"),
            "logIndex": number(entry, "logIndex"),
            "logID": id,
        },
    })
}

fn pem(base64: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}
