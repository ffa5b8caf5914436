//! Keys as layouts are signed with them, and as layouts have them: PEM, or hex of the bare key.
//!
//! A key is known by itself and not by its name: names are what the owners call keys, and were made in several
//! ways over the years.

use std::collections::BTreeSet;

use bonded_model::Digest;
use in_toto::crypto::{KeyType, PublicKey as LayoutKey, SignatureScheme};
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_crypto::KeyAlgorithm;

use super::canonical::canonical;
use super::metablock::id_text;
use crate::key::{PublicKey, PublicKeyError};

/// Why a key of a layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the key is called {found:?} inside")]
    Name { found: String },
    #[error("the key is no PEM that can be used, and no hex")]
    Malformed(#[from] PublicKeyError),
    #[error("the key is of type {kind:?} with scheme {scheme:?}")]
    Scheme { kind: String, scheme: String },
}

/// A key as it stands in a layout.
#[derive(Deserialize)]
pub(super) struct WrittenKey {
    keyid: Option<String>,
    keytype: String,
    scheme: String,
    keyval: WrittenValue,
}

#[derive(Deserialize)]
struct WrittenValue {
    public: String,
}

impl WrittenKey {
    pub(super) fn read(self, id: &str) -> Result<LayoutKey, KeyError> {
        if let Some(found) = self.keyid.filter(|found| found != id) {
            return Err(KeyError::Name { found });
        }
        let public = self.keyval.public;
        let bare = hex(&public);
        let read = match (self.keytype.as_str(), self.scheme.as_str(), bare) {
            ("ed25519", "ed25519", Some(bare)) => LayoutKey::from_ed25519(bare).ok(), // of a wrong length
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", Some(bare)) => {
                LayoutKey::from_ecdsa(bare).ok() // likewise
            }
            (_, scheme, _) => {
                let key = layout_key(&PublicKey::from_pem(&public)?);
                key.filter(|key| told(key.scheme()) == Some(scheme))
            }
        };
        read.ok_or(KeyError::Scheme { kind: self.keytype, scheme: self.scheme })
    }
}

/// The word that a layout has for how a key signs.
fn told(scheme: &SignatureScheme) -> Option<&'static str> {
    match scheme {
        SignatureScheme::Ed25519 => Some("ed25519"),
        SignatureScheme::RsaSsaPssSha256 => Some("rsassa-pss-sha256"),
        SignatureScheme::EcdsaP256Sha256 => Some("ecdsa-sha2-nistp256"),
        SignatureScheme::RsaSsaPssSha512 | SignatureScheme::Unknown(_) => None,
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let pairs = digits.as_ref()?.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| pair.iter().fold(0, |high, low| high << 4 | low)).collect())
}

pub(super) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One who signs, by the key itself: one key can stand under several names.
pub(super) type Who = (String, Vec<u8>);

pub(super) fn who(key: &LayoutKey) -> Who {
    (key.typ().to_string(), key.as_bytes().to_vec())
}

/// The names that tools give a key: SHA-256 of what a layout has of it, which differs in small things from one
/// tool and year to the next.
pub(super) fn names(key: &PublicKey) -> BTreeSet<String> {
    let Some(made) = layout_key(key) else { return BTreeSet::new() };
    let (text, bare) = (key.to_pem(), hex_of(made.as_bytes()));
    let trimmed = text.trim_end().to_owned();
    let (kinds, forms) = match made.typ() {
        KeyType::Ed25519 => (vec!["ed25519"], vec![bare]),
        KeyType::Ecdsa => (vec!["ecdsa", "ecdsa-sha2-nistp256"], vec![text, trimmed, bare]),
        KeyType::Rsa => (vec!["rsa"], vec![text, trimmed]),
        KeyType::Unknown(_) => return BTreeSet::new(),
    };
    let mut names: BTreeSet<_> = [id_text(made.key_id())].into();
    let scheme = told(made.scheme());
    for (kind, public) in kinds.iter().flat_map(|kind| forms.iter().map(move |form| (kind, form))) {
        let mut written = json!({"keytype": kind, "scheme": scheme, "keyval": {"public": public}});
        names.extend(name(&written));
        written["keyid_hash_algorithms"] = json!(["sha256", "sha512"]);
        names.extend(name(&written));
    }
    names
}

fn name(written: &Value) -> Option<String> {
    let form = canonical(written).ok()?; // it has no numbers, so it has one
    Some(Digest::sha256_of(&form).hex())
}

/// A key as in-toto signs with it: Ed25519, ECDSA P-256, or RSA with PSS and SHA-256.
pub(super) fn layout_key(key: &PublicKey) -> Option<LayoutKey> {
    const ED25519_BYTES: usize = 32;
    let der = key.der().as_bytes();
    let made = match KeyAlgorithm::from_spki(key.der()).ok()? {
        // The key stands at the end of its description (RFC 8410, section 4).
        KeyAlgorithm::Ed25519 => {
            LayoutKey::from_ed25519(der.get(der.len().checked_sub(ED25519_BYTES)?..)?)
        }
        KeyAlgorithm::EcdsaP256 => LayoutKey::from_spki(der, SignatureScheme::EcdsaP256Sha256),
        KeyAlgorithm::Rsa => LayoutKey::from_spki(der, SignatureScheme::RsaSsaPssSha256),
        _ => return None,
    };
    made.ok() // it was read as a key before
}

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_testsigner::{Key, KeyKind};
    use serde_json::json;

    fn read(kind: &str, scheme: &str, public: &str) -> Result<LayoutKey, KeyError> {
        let key = json!({"keytype": kind, "scheme": scheme, "keyval": {"public": public}});
        serde_json::from_value::<WrittenKey>(key).unwrap().read("id")
    }

    #[test]
    fn keys_are_read_in_the_forms_in_use() {
        let pem = |kind| Key::new(kind, "").public_pem();
        let (pss, p256) = ("rsassa-pss-sha256", "ecdsa-sha2-nistp256");
        for (kind, scheme, text) in [
            ("ed25519", "ed25519", pem(KeyKind::Ed25519)),
            ("ed25519", "ed25519", "0a".repeat(32)),
            ("ed25519", "ed25519", "0A".repeat(32)),
            ("rsa", pss, pem(KeyKind::Rsa3072)),
            ("rsa", pss, pem(KeyKind::Rsa3072).trim().to_owned()),
            ("ecdsa", p256, pem(KeyKind::P256)),
            (p256, p256, pem(KeyKind::P256)),
            ("ecdsa", p256, format!("04{}", "0a".repeat(64))),
        ] {
            read(kind, scheme, &text).unwrap_or_else(|error| panic!("{kind} {text}: {error}"));
        }
    }

    #[test]
    fn must_reject() {
        let pem = |kind| Key::new(kind, "").public_pem();
        for (kind, scheme, text) in [
            ("rsa", "rsassa-pss-sha256", pem(KeyKind::Rsa2048)),
            ("ed25519", "ed25519", "0a".repeat(31) + "0"),
            ("ed25519", "ed25519", "0g".repeat(32)),
            ("rsa", "rsassa-pss-sha256", "0a".repeat(32)),
            ("rsa", "rsassa-pss-sha256", "-----BEGIN PUBLIC KEY-----".to_owned()),
        ] {
            let found = read(kind, scheme, &text);
            assert!(matches!(found, Err(KeyError::Malformed(_))), "{kind} {text}: {found:?}");
        }
        for (kind, scheme, text) in [
            ("ed25519", "ed25519", "0a".repeat(31)),
            ("ed25519", "ed25519", pem(KeyKind::P256)),
            ("rsa", "rsassa-pss-sha512", pem(KeyKind::Rsa3072)),
            ("rsa", "rsa-pkcs1v15-sha256", pem(KeyKind::Rsa3072)),
            ("ecdsa", "ecdsa-sha2-nistp384", pem(KeyKind::P384)),
            ("gpg", "pgp+rsa-pkcsv1.5", pem(KeyKind::Rsa3072)),
        ] {
            let found = read(kind, scheme, &text);
            assert!(matches!(found, Err(KeyError::Scheme { .. })), "{kind} {scheme}: {found:?}");
        }
        let named = json!({"keyid": "x", "keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": ""}});
        let found = serde_json::from_value::<WrittenKey>(named).unwrap().read("id");
        assert!(matches!(found, Err(KeyError::Name { .. })));
    }
}
