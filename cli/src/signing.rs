//! Signing with a local key: ECDSA over P-256 with SHA-256, as cosign's managed keys are.
//!
//! The private key is PKCS #8 in PEM, the public key SubjectPublicKeyInfo in PEM. A signature goes
//! over the DSSE pre-authentication encoding and into a Sigstore bundle without a log entry: what
//! such a bundle is worth is for a policy to say.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::dsse::{Envelope, Signature};
use bonded_model::statement::Statement;
use bonded_model::{Digest, bundle, media_type};

const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";

/// A private key that can sign.
#[derive(Debug)]
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    public_der: Vec<u8>,
}

/// Why a key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    /// The text has no PEM block of that label.
    #[error(
        "there is no PEM block `{label}`; expected an unencrypted PKCS #8 key as `bonded keygen` writes it"
    )]
    NoPem {
        /// The label looked for.
        label: &'static str,
    },
    /// The block's contents are not base64.
    #[error("the PEM block is not base64")]
    Base64(#[source] base64::DecodeError),
    /// The key is not ECDSA over P-256.
    #[error("the key is no ECDSA key over P-256")]
    NotP256(#[source] aws_lc_rs::error::KeyRejected),
    /// The library failed to generate, encode or sign.
    #[error("the cryptographic library failed")]
    Library(#[source] aws_lc_rs::error::Unspecified),
}

impl SigningKey {
    /// Makes a new key from the system's randomness; also its private PEM text.
    pub(crate) fn generate() -> Result<(Self, String), SigningError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(SigningError::Library)?;
        let document = pair.to_pkcs8v1().map_err(SigningError::Library)?;
        let private = to_pem(PRIVATE_LABEL, document.as_ref());
        Ok((Self::from_pair(pair)?, private))
    }

    /// Reads a private key from PEM text.
    pub(crate) fn from_pem(text: &str) -> Result<Self, SigningError> {
        let der = from_pem(PRIVATE_LABEL, text)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der);
        Self::from_pair(pair.map_err(SigningError::NotP256)?)
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<Self, SigningError> {
        let der = pair.public_key().as_der().map_err(SigningError::Library)?;
        let public_der = der.as_ref().to_vec();
        Ok(Self { pair, public_der })
    }

    /// The public key as PEM text.
    pub(crate) fn public_pem(&self) -> String {
        to_pem(PUBLIC_LABEL, &self.public_der)
    }

    /// SHA-256 of the public key's SubjectPublicKeyInfo.
    pub(crate) fn public_digest(&self) -> Digest {
        Digest::sha256_of(&self.public_der)
    }

    /// Signs a statement; gives the bytes of a Sigstore bundle.
    pub(crate) fn sign_statement(&self, statement: &Statement) -> Result<Vec<u8>, SigningError> {
        let payload_type = media_type::IN_TOTO.to_owned();
        let mut envelope =
            Envelope { payload_type, payload: statement.to_bytes(), signatures: Vec::new() };
        let signature = self.pair.sign(&SystemRandom::new(), &envelope.pae());
        let bytes = signature.map_err(SigningError::Library)?.as_ref().to_vec();
        envelope.signatures.push(Signature { key_id: None, bytes });
        Ok(bundle::with_managed_key(&envelope, &self.public_digest()))
    }
}

/// RFC 7468 text: label, base64 in lines of 64, label.
fn to_pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, character) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}

fn from_pem(label: &'static str, text: &str) -> Result<Vec<u8>, SigningError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let (body, _) = body.ok_or(SigningError::NoPem { label })?;
    let base64: String = body.split_whitespace().collect();
    STANDARD.decode(base64).map_err(SigningError::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_reads_back() {
        let (key, private) = SigningKey::generate().unwrap();
        let read = SigningKey::from_pem(&private).unwrap();
        assert_eq!(read.public_pem(), key.public_pem());
        assert!(private.lines().all(|line| line.len() <= 64), "{private}");
        assert!(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\nMFkw"));
    }

    #[test]
    fn must_reject() {
        let (key, private) = SigningKey::generate().unwrap();
        assert!(matches!(SigningKey::from_pem(""), Err(SigningError::NoPem { .. })));
        assert!(matches!(SigningKey::from_pem(&key.public_pem()), Err(SigningError::NoPem { .. })));
        let encrypted = private.replace(PRIVATE_LABEL, "ENCRYPTED SIGSTORE PRIVATE KEY");
        assert!(matches!(SigningKey::from_pem(&encrypted), Err(SigningError::NoPem { .. })));
        let broken = private.replacen("M", "*", 1);
        assert!(matches!(SigningKey::from_pem(&broken), Err(SigningError::Base64(_))));
        let other = to_pem(PRIVATE_LABEL, &[0x30, 0x00]);
        assert!(matches!(SigningKey::from_pem(&other), Err(SigningError::NotP256(_))));
    }
}
