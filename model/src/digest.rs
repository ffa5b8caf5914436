//! Digests: algorithm and bytes, from hashing or from a strict parse.
//!
//! SHA-256 is the identity of content. SHA-512 and BLAKE3 are further facts about the same bytes.
//! Text form is the OCI one, `sha256:` and 64 lower-case hex digits (OCI image-spec, descriptor.md,
//! "Digests"); upper case, other lengths and unknown algorithms do not parse.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A hash algorithm that this program computes and compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the identity of content.
    Sha256,
    /// SHA-512, where a checksum list asks for it.
    Sha512,
    /// BLAKE3 with 256 bits, used to re-check blobs quickly.
    Blake3,
}

impl Algorithm {
    /// Every algorithm, in the order of their names' importance here.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512, Self::Blake3];

    /// The registered name (`sha256`, `sha512`, `blake3`), as in OCI digests and in-toto digest sets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// The length of a digest of this algorithm in bytes.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The algorithm of that registered name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no `algorithm:` in front.
    #[error("digest {text:?} lacks an algorithm; expected `sha256:` and 64 hex digits")]
    NoAlgorithm {
        /// The text as given.
        text: String,
    },
    /// The algorithm is not one that this program knows.
    #[error("digest algorithm {name:?} is not known; expected sha256, sha512 or blake3")]
    UnknownAlgorithm {
        /// The name as given.
        name: String,
    },
    /// The encoded part is not as many hex digits as the algorithm has.
    #[error("{} digest has {found} characters, expected {expected}", algorithm.name())]
    Length {
        /// Which algorithm.
        algorithm: Algorithm,
        /// Hex digits that it takes.
        expected: usize,
        /// Characters that were given.
        found: usize,
    },
    /// A character is not a lower-case hex digit.
    #[error("{} digest has a character that is no lower-case hex digit", algorithm.name())]
    NotLowerHex {
        /// Which algorithm.
        algorithm: Algorithm,
    },
}

/// Algorithm and bytes; the name of content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Repr);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
    Blake3([u8; 32]),
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        Self::from_sha256(sha2::Sha256::digest(bytes).into())
    }

    /// The SHA-512 digest of `bytes`.
    pub fn sha512_of(bytes: &[u8]) -> Self {
        Self::from_sha512(sha2::Sha512::digest(bytes).into())
    }

    /// A SHA-256 digest from its 32 bytes.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(Repr::Sha256(bytes))
    }

    /// A SHA-512 digest from its 64 bytes.
    pub fn from_sha512(bytes: [u8; 64]) -> Self {
        Self(Repr::Sha512(bytes))
    }

    /// A BLAKE3 digest from its 32 bytes.
    pub fn from_blake3(bytes: [u8; 32]) -> Self {
        Self(Repr::Blake3(bytes))
    }

    /// Parses the hex part of a digest whose algorithm is known from elsewhere.
    ///
    /// # Errors
    /// [`DigestError`] if the text has another length or other characters than lower-case hex.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        match algorithm {
            Algorithm::Sha256 => decode(algorithm, hex).map(Self::from_sha256),
            Algorithm::Sha512 => decode(algorithm, hex).map(Self::from_sha512),
            Algorithm::Blake3 => decode(algorithm, hex).map(Self::from_blake3),
        }
    }

    /// Which algorithm made it.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Repr::Sha256(_) => Algorithm::Sha256,
            Repr::Sha512(_) => Algorithm::Sha512,
            Repr::Blake3(_) => Algorithm::Blake3,
        }
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Sha256(bytes) | Repr::Blake3(bytes) => bytes,
            Repr::Sha512(bytes) => bytes,
        }
    }

    /// The bytes as lower-case hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        encode(self.as_bytes())
    }

    /// Algorithm and the first 12 hex digits: for lines that people read.
    pub fn short(&self) -> String {
        let hex = self.hex();
        format!("{}:{}", self.algorithm().name(), hex.get(..12).unwrap_or(&hex))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text
            .split_once(':')
            .ok_or_else(|| DigestError::NoAlgorithm { text: text.chars().take(80).collect() })?;
        let algorithm = Algorithm::from_name(name).ok_or_else(|| {
            DigestError::UnknownAlgorithm { name: name.chars().take(40).collect() }
        })?;
        Self::from_hex(algorithm, hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes as lower-case hex digits.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .collect()
}

fn decode<const N: usize>(algorithm: Algorithm, hex: &str) -> Result<[u8; N], DigestError> {
    let found = hex.chars().count();
    if found != 2 * N || hex.len() != 2 * N {
        return Err(DigestError::Length { algorithm, expected: 2 * N, found });
    }
    let mut out = [0_u8; N];
    for (slot, pair) in out.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let [high, low] = [nibble(pair[0]), nibble(pair[1])];
        let (Some(high), Some(low)) = (high, low) else {
            return Err(DigestError::NotLowerHex { algorithm });
        };
        *slot = high << 4 | low;
    }
    Ok(out)
}

fn nibble(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_answer() {
        assert_eq!(Digest::sha256_of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Digest::sha256_of(b"")));
        assert_eq!(Digest::sha256_of(b"").short(), "sha256:e3b0c44298fc");
    }

    #[test]
    fn must_reject() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        let table: [(&str, DigestError); 8] = [
            ("", DigestError::NoAlgorithm { text: String::new() }),
            ("e3b0", DigestError::NoAlgorithm { text: "e3b0".into() }),
            ("sha1:da39", DigestError::UnknownAlgorithm { name: "sha1".into() }),
            ("SHA256:da39", DigestError::UnknownAlgorithm { name: "SHA256".into() }),
            (
                "sha256:e3b0",
                DigestError::Length { algorithm: Algorithm::Sha256, expected: 64, found: 4 },
            ),
            (&upper, DigestError::NotLowerHex { algorithm: Algorithm::Sha256 }),
            (
                &format!("{EMPTY} "),
                DigestError::Length { algorithm: Algorithm::Sha256, expected: 64, found: 65 },
            ),
            (
                &EMPTY.replace("sha256", "sha512"),
                DigestError::Length { algorithm: Algorithm::Sha512, expected: 128, found: 64 },
            ),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Digest>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn multi_byte_text_is_refused_not_split() {
        let text = format!("sha256:{}é", "a".repeat(62));
        assert!(matches!(text.parse::<Digest>(), Err(DigestError::Length { .. })));
    }

    proptest! {
        #[test]
        fn round_trip(bytes in any::<[u8; 32]>(), wide in any::<[u8; 32]>()) {
            let mut long = [0; 64];
            long[..32].copy_from_slice(&bytes);
            long[32..].copy_from_slice(&wide);
            for digest in [Digest::from_sha256(bytes), Digest::from_sha512(long), Digest::from_blake3(wide)] {
                prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            }
        }
    }
}
