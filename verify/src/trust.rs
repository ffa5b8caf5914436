//! Trust roots: whose certificates, logs and timestamps are believed.
//!
//! On the wire it is a Sigstore `trusted_root.json` (sigstore protobuf-specs,
//! `sigstore_trustroot.proto`). It is an input with a digest that stands in every verdict; nothing
//! here fetches or refreshes one.

mod members;

pub use members::{Change, LogDetails, Member, MemberKind};

use bonded_model::Digest;
use bonded_model::json::{self, JsonError};
use bonded_model::limits::TRUST_ROOT_BYTES_MAX;
use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT, TrustedRoot,
};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The name of the embedded root of Sigstore's public-good instance.
const PUBLIC_GOOD: &str = "public-good";
/// The name of the embedded root of Sigstore's staging instance.
const STAGING: &str = "staging";
/// A name is written into policies and told in findings.
const NAME_CHARACTERS_MAX: usize = 64;

/// A set of certificate authorities, logs and timestamp authorities, with its digest.
#[derive(Clone, Debug)]
pub struct TrustRoot {
    name: Option<String>,
    digest: Digest,
    inner: TrustedRoot,
}

/// Why bytes are no trust root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustRootError {
    /// Not strict JSON, or too large.
    #[error("trust root is not strict JSON")]
    Json(#[from] JsonError),
    /// JSON, but no trusted root, or one with a key or certificate that cannot be read.
    #[error("trust root is malformed")]
    Malformed(#[source] Source),
    /// It names nobody: nothing signed by certificate could ever verify under it.
    #[error("trust root names no certificate authority and no transparency log")]
    Empty,
    /// Its keys and certificates cannot be used together.
    #[error("trust root cannot be used for verification")]
    Unusable(#[source] Source),
    /// No name, or the name of an embedded root for other bytes.
    #[error("{name:?} is no name for this trust root")]
    Name {
        /// What it was to be called.
        name: String,
    },
    /// None, or more than anybody needs side by side.
    #[error("{count} trust roots; there may be one to {limit}")]
    Count {
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A name or a root that stands there twice.
    #[error("trust root {name} is given twice")]
    Twice {
        /// Its name, or its digest.
        name: String,
    },
}

impl TrustRoot {
    /// The root of the Sigstore public-good instance, as embedded in this program.
    pub fn public_good() -> Self {
        let bytes = SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes();
        Self::read(Some(PUBLIC_GOOD), bytes).expect("the embedded root is valid")
    }

    /// The root of Sigstore's staging instance, as embedded in this program: for tests of clients and
    /// producers. Nobody vouches for who signs there.
    pub fn staging() -> Self {
        let bytes = SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes();
        Self::read(Some(STAGING), bytes).expect("the embedded root is valid")
    }

    /// Reads a trust root.
    ///
    /// # Errors
    /// [`TrustRootError`] if it is too large, not strict JSON or no trusted root.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustRootError> {
        Self::read(None, bytes)
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The embedded root of that name: `public-good` or `staging`.
    pub fn embedded(name: &str) -> Option<Self> {
        match name {
            PUBLIC_GOOD => Some(Self::public_good()),
            STAGING => Some(Self::staging()),
            _ => None,
        }
    }

    /// The same under a name, by which a policy may pin it: lower-case letters, digits and hyphens.
    ///
    /// # Errors
    /// [`TrustRootError::Name`] if it is no such name, or that of an embedded root with other bytes.
    pub fn named(self, name: &str) -> Result<Self, TrustRootError> {
        let taken = Self::embedded(name).is_some_and(|root| root.digest != self.digest);
        if taken || !is_root_name(name) {
            return Err(TrustRootError::Name { name: name.to_owned() });
        }
        Ok(Self { name: Some(name.to_owned()), ..self })
    }

    /// Whether a text can be the name of a trust root: lower-case letters, digits and hyphens.
    pub fn is_name(text: &str) -> bool {
        is_root_name(text)
    }

    /// What to call it; the embedded ones have names.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it is an embedded one by its own name.
    pub(crate) fn is_embedded(&self) -> bool {
        let own = self.name().and_then(Self::embedded);
        own.is_some_and(|root| root.digest == self.digest)
    }

    pub(crate) fn inner(&self) -> &TrustedRoot {
        &self.inner
    }

    fn read(name: Option<&str>, bytes: &[u8]) -> Result<Self, TrustRootError> {
        json::check(bytes, TRUST_ROOT_BYTES_MAX)?;
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.into()))?;
        let inner = TrustedRoot::from_json(text).map_err(|error| malformed(error.into()))?;
        if inner.certificate_authorities.is_empty() && inner.tlogs.is_empty() {
            return Err(TrustRootError::Empty);
        }
        Ok(Self { name: name.map(str::to_owned), digest: Digest::sha256_of(bytes), inner })
    }
}

/// Whether a text can be the name of a trust root.
pub(crate) fn is_root_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(known)
}

fn malformed(source: Source) -> TrustRootError {
    TrustRootError::Malformed(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_roots_are_named_by_their_bytes() {
        let embedded = [
            (TrustRoot::public_good(), SIGSTORE_PRODUCTION_TRUSTED_ROOT),
            (TrustRoot::staging(), SIGSTORE_STAGING_TRUSTED_ROOT),
        ];
        for (root, text) in &embedded {
            assert_eq!(root.digest(), Digest::sha256_of(text.as_bytes()));
            assert_eq!(TrustRoot::parse(text.as_bytes()).unwrap().digest(), root.digest());
        }
        assert_ne!(embedded[0].0.digest(), embedded[1].0.digest());
    }

    #[test]
    fn names_of_embedded_roots_are_taken() {
        let root = TrustRoot::staging;
        for name in ["mine", "staging", "a-1"] {
            assert_eq!(root().named(name).unwrap().name(), Some(name));
        }
        for name in ["public-good", "", "Mine", "a b", "a/b", &"a".repeat(65)] {
            let error = root().named(name).unwrap_err();
            assert!(matches!(error, TrustRootError::Name { .. }), "{name}");
        }
        let given = TrustRoot::parse(SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes()).unwrap();
        assert!(given.name().is_none() && !given.is_embedded() && root().is_embedded());
        assert!(!root().named("mine").unwrap().is_embedded());
    }

    #[test]
    fn must_reject() {
        let twice = SIGSTORE_PRODUCTION_TRUSTED_ROOT.replacen('{', r#"{"mediaType":"x","#, 1);
        let cut = &SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()[..200];
        let long = vec![b' '; usize::try_from(TRUST_ROOT_BYTES_MAX).unwrap() + 1];
        for bytes in [b"".as_slice(), cut, twice.as_bytes(), &long, b"{} {}"] {
            assert!(matches!(TrustRoot::parse(bytes), Err(TrustRootError::Json(_))));
        }
        for bytes in [b"[]".as_slice(), b"1", br#"{"mediaType":"x","tlogs":[{}]}"#] {
            assert!(matches!(TrustRoot::parse(bytes), Err(TrustRootError::Malformed(_))));
        }
        let empty = br#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
        for bytes in [b"{}".as_slice(), empty] {
            let error = TrustRoot::parse(bytes).unwrap_err();
            assert!(
                matches!(error, TrustRootError::Empty | TrustRootError::Malformed(_)),
                "{error:?}"
            );
        }
    }
}
