//! Managed public keys: SubjectPublicKeyInfo as PEM, named by the SHA-256 of its DER.

use std::fmt;

use bonded_model::Digest;
use sigstore_crypto::KeyAlgorithm;
use sigstore_types::DerPublicKey;

/// A public key that a policy or a caller trusts: ECDSA P-256 or P-384, Ed25519 or RSA.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    digest: Digest,
    der: DerPublicKey,
}

/// Why text is no public key that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// Not one PEM block with the label `PUBLIC KEY`.
    #[error("public key is not PEM with the label `PUBLIC KEY`")]
    Pem(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The key inside is malformed or of an algorithm that is not supported.
    #[error("public key is malformed or not ECDSA P-256, ECDSA P-384, Ed25519 or RSA")]
    Algorithm(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
}

impl PublicKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// [`PublicKeyError`] if it is not PEM, malformed, or of an unsupported algorithm.
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        let der = DerPublicKey::from_pem(text).map_err(|e| PublicKeyError::Pem(e.into()))?;
        let algorithm = KeyAlgorithm::from_spki(&der);
        match algorithm.map_err(|e| PublicKeyError::Algorithm(Some(e.into())))? {
            KeyAlgorithm::EcdsaP256
            | KeyAlgorithm::EcdsaP384
            | KeyAlgorithm::Ed25519
            | KeyAlgorithm::Rsa => Ok(Self { digest: Digest::sha256_of(der.as_bytes()), der }),
            _ => Err(PublicKeyError::Algorithm(None)),
        }
    }

    /// SHA-256 of the SubjectPublicKeyInfo in DER: the name of the key.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The key as PEM text with one newline at the end of each line.
    pub fn to_pem(&self) -> String {
        let text = self.der.to_pem();
        text.lines().map(|line| format!("{line}\n")).collect()
    }

    pub(crate) fn der(&self) -> &DerPublicKey {
        &self.der
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Key;

    #[test]
    fn a_key_is_named_by_its_der() {
        let pem = Key::from_seed(1).public_pem();
        let key = PublicKey::from_pem(&pem).unwrap();
        assert_eq!(key.digest(), Digest::sha256_of(key.der().as_bytes()));
        assert_eq!(key.der().as_bytes().len(), 44);
    }

    #[test]
    fn must_reject() {
        let pem = Key::from_seed(1).public_pem();
        for text in ["", "x", &pem.replace("PUBLIC KEY", "PRIVATE KEY"), &pem.replace("END", "")] {
            assert!(matches!(PublicKey::from_pem(text), Err(PublicKeyError::Pem(_))), "{text}");
        }
        let short = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert!(matches!(PublicKey::from_pem(short), Err(PublicKeyError::Algorithm(Some(_)))));
    }
}
