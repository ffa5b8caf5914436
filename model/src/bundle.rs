//! Sigstore bundles, as far as this program writes them: a DSSE envelope signed with a managed key
//! (sigstore/protobuf-specs, `sigstore_bundle.proto`, version 0.3). Reading and verifying bundles of
//! every version is the verifier's business.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::json::to_canonical;
use crate::media_type::SIGSTORE_BUNDLE;

/// The bundle around an envelope that was signed with a managed key, without a log entry.
///
/// `key` is the SHA-256 of the public key's SubjectPublicKeyInfo; it becomes the key hint.
pub fn with_managed_key(envelope: &Envelope, key: &Digest) -> Vec<u8> {
    let signatures: Vec<_> =
        envelope.signatures.iter().map(|s| json!({ "sig": STANDARD.encode(&s.bytes) })).collect();
    to_canonical(&json!({
        "mediaType": SIGSTORE_BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": STANDARD.encode(key.as_bytes()) } },
        "dsseEnvelope": {
            "payload": STANDARD.encode(&envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": signatures,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::Signature;

    #[test]
    fn the_shape_of_version_0_3() {
        let envelope = Envelope {
            payload_type: "application/vnd.in-toto+json".into(),
            payload: b"{}".to_vec(),
            signatures: vec![Signature { key_id: None, bytes: vec![1, 2, 3] }],
        };
        let text =
            String::from_utf8(with_managed_key(&envelope, &Digest::sha256_of(b"key"))).unwrap();
        assert_eq!(
            text,
            r#"{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQID"}]},"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"LHDhK3oGRvkiefQnx7OOczTY5Tic/xZ6HcMOc/gmtoM="}}}"#
        );
    }
}
