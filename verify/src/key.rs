//! Managed public keys: SubjectPublicKeyInfo as PEM, named by the SHA-256 of its DER.

use std::fmt;

use bonded_model::Digest;
use sigstore_crypto::KeyAlgorithm;
use sigstore_types::DerPublicKey;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// The shortest RSA key that is trusted (NIST SP 800-57 part 1: 128 bits of strength).
pub(crate) const RSA_BITS_MIN: usize = 3072;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A public key that a policy or a caller trusts: ECDSA P-256 or P-384, Ed25519, or RSA of 3072 bits
/// or more.
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
    /// An RSA key that is too short.
    #[error("RSA key has {bits} bits, fewer than {RSA_BITS_MIN}")]
    Weak {
        /// How many bits it has.
        bits: usize,
    },
}

impl PublicKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// [`PublicKeyError`] if it is not PEM, malformed, or of an unsupported algorithm.
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        let der = DerPublicKey::from_pem(text).map_err(|e| PublicKeyError::Pem(e.into()))?;
        let algorithm = KeyAlgorithm::from_spki(&der);
        if let Some(bits) = rsa_bits(der.as_bytes()).filter(|bits| *bits < RSA_BITS_MIN) {
            return Err(PublicKeyError::Weak { bits });
        }
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

/// The length of the modulus of an RSA key in a SubjectPublicKeyInfo; `None` for any other key.
pub(crate) fn rsa_bits(spki: &[u8]) -> Option<usize> {
    let spki = SubjectPublicKeyInfoRef::try_from(spki).ok()?; // no key that can be read
    if spki.algorithm.oid != RSA {
        return None;
    }
    let mut reader = SliceReader::new(spki.subject_public_key.raw_bytes()).ok()?; // likewise
    let modulus = reader.sequence(|key| {
        let modulus = UintRef::decode(key)?;
        AnyRef::decode(key)?;
        Ok(modulus)
    });
    let modulus = modulus.ok()?.as_bytes(); // likewise
    let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?; // at most eight
    Some(modulus.len() * 8 - unused)
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
    use bonded_testsigner::KeyKind;

    #[test]
    fn a_key_is_named_by_its_der() {
        let pem = Key::from_seed(1).public_pem();
        let key = PublicKey::from_pem(&pem).unwrap();
        assert_eq!(key.digest(), Digest::sha256_of(key.der().as_bytes()));
        assert_eq!(key.der().as_bytes().len(), 44);
    }

    #[test]
    fn short_rsa_keys_are_refused() {
        for (kind, weak) in
            [(KeyKind::Rsa2048, Some(2048)), (KeyKind::Rsa3072, None), (KeyKind::Rsa4096, None)]
        {
            let found = PublicKey::from_pem(&bonded_testsigner::Key::new(kind, "").public_pem());
            match (found, weak) {
                (Ok(_), None) => {}
                (Err(PublicKeyError::Weak { bits }), Some(expected)) if bits == expected => {}
                (found, _) => panic!("{kind:?}: {found:?}"),
            }
        }
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
