//! Keys of every kind that signs here, always the same for the same label.
//!
//! Ed25519 and ECDSA keys are made from the hash of the label. RSA keys cannot be made quickly, so three
//! of them lie in `keys/`; they sign nothing outside of tests. ECDSA signatures hold a random nonce,
//! everything else is the same in each run.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::der;

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits, PKCS #1 v1.5 with SHA-256.
    Rsa2048,
    /// RSA of 3072 bits, PKCS #1 v1.5 with SHA-256.
    Rsa3072,
    /// RSA of 4096 bits, PKCS #1 v1.5 with SHA-256.
    Rsa4096,
}

/// A key that signs.
pub struct Key {
    algorithm: KeyKind,
    pair: Pair,
    spki: Vec<u8>,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    /// The key of that kind with that label; there is one RSA key of each size, whatever the label.
    pub fn new(algorithm: KeyKind, label: &str) -> Self {
        let pair = match algorithm {
            KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, &digest::SHA256, label),
            KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, &digest::SHA384, label),
            KeyKind::Ed25519 => {
                let seed = digest::digest(&digest::SHA256, label.as_bytes());
                let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref());
                Pair::Ed25519(pair.expect("any 32 bytes are a seed"))
            }
            KeyKind::Rsa2048 => rsa(include_str!("../keys/rsa-2048.pem")),
            KeyKind::Rsa3072 => rsa(include_str!("../keys/rsa-3072.pem")),
            KeyKind::Rsa4096 => rsa(include_str!("../keys/rsa-4096.pem")),
        };
        let spki = spki(algorithm, pair.public());
        Self { algorithm, pair, spki }
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyKind {
        self.algorithm
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&random, message).expect("ECDSA signs any message");
                signature.as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("the signature has the length of the modulus");
                signature
            }
        }
    }

    /// The public key as SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The public key as PEM.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// The usual hint in a bundle: base64 of the SHA-256 of the public key.
    pub fn hint(&self) -> String {
        STANDARD.encode(crate::sha256(&self.spki))
    }

    /// The bytes inside of the SubjectPublicKeyInfo.
    pub(crate) fn raw_public(&self) -> &[u8] {
        self.pair.public()
    }

    /// The AlgorithmIdentifier of its signatures, as certificates write it.
    pub(crate) fn signature_algorithm(&self) -> Vec<u8> {
        match self.algorithm {
            KeyKind::P256 => der::sequence(&[der::oid("1.2.840.10045.4.3.2")]),
            KeyKind::P384 => der::sequence(&[der::oid("1.2.840.10045.4.3.3")]),
            KeyKind::Ed25519 => der::sequence(&[der::oid("1.3.101.112")]),
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
                der::sequence(&[der::oid("1.2.840.113549.1.1.11"), der::null()])
            }
        }
    }

    /// How trust roots and log entries call it (sigstore protobuf-specs, `PublicKeyDetails`).
    pub(crate) fn details(&self) -> &'static str {
        match self.algorithm {
            KeyKind::P256 => "PKIX_ECDSA_P256_SHA_256",
            KeyKind::P384 => "PKIX_ECDSA_P384_SHA_384",
            KeyKind::Ed25519 => "PKIX_ED25519",
            KeyKind::Rsa2048 => "PKIX_RSA_PKCS1V15_2048_SHA256",
            KeyKind::Rsa3072 => "PKIX_RSA_PKCS1V15_3072_SHA256",
            KeyKind::Rsa4096 => "PKIX_RSA_PKCS1V15_4096_SHA256",
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {})", self.algorithm, self.hint())
    }
}

impl Pair {
    fn public(&self) -> &[u8] {
        match self {
            Self::Ecdsa(pair) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair) => pair.public_key().as_ref(),
        }
    }
}

/// A private key in the form of RFC 5915, of which the public one is computed.
fn ecdsa(
    algorithm: &'static EcdsaSigningAlgorithm,
    hash: &'static digest::Algorithm,
    label: &str,
) -> Pair {
    let scalar = digest::digest(hash, label.as_bytes());
    let private = der::sequence(&[der::small(1), der::octets(scalar.as_ref())]);
    let pair = EcdsaKeyPair::from_private_key_der(algorithm, &private);
    Pair::Ecdsa(pair.expect("a hash is below the order of the curve, but for one in four billion"))
}

fn rsa(text: &str) -> Pair {
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let private = STANDARD.decode(body).expect("the key beside the sources is PEM");
    Pair::Rsa(RsaKeyPair::from_pkcs8(&private).expect("the key beside the sources is PKCS #8"))
}

fn spki(algorithm: KeyKind, public: &[u8]) -> Vec<u8> {
    let curve = |curve: &str| der::sequence(&[der::oid("1.2.840.10045.2.1"), der::oid(curve)]);
    let identifier = match algorithm {
        KeyKind::P256 => curve("1.2.840.10045.3.1.7"),
        KeyKind::P384 => curve("1.3.132.0.34"),
        KeyKind::Ed25519 => der::sequence(&[der::oid("1.3.101.112")]),
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
            der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()])
        }
    };
    der::sequence(&[identifier, der::bits(public)])
}

/// One block with lines of 64 characters.
pub(crate) fn pem(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, character) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}
