//! Several trust roots side by side: which of them vouched for a signature, and for whom that counts.
//!
//! Whoever holds the keys of a trust root can certify any identity. So where there are several, each signer
//! says which one vouches for it; a root that is added lends nothing to signers that do not name it.

use bonded_model::Digest;
use bonded_model::json::to_canonical;

use crate::trust::{TrustRoot, TrustRootError, is_root_name};

/// Trust roots of one verifier. Each takes part in the verification of every signature.
const ROOT_COUNT_MAX: usize = 8;

/// A trust root that vouched for a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voucher {
    pub(crate) name: Option<String>,
    pub(crate) digest: Digest,
    /// Whether there is no other.
    pub(crate) is_only: bool,
}

impl Voucher {
    /// As a policy would pin it.
    pub(crate) fn told(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.digest.to_string())
    }
}

/// The trust root that a signer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    Name(String),
    Digest(Digest),
}

impl Pin {
    /// `None` for what is neither the digest of a trust root nor a name that one can have.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digest = text.parse().ok().map(Self::Digest); // then it may be a name
        digest.or_else(|| is_root_name(text).then(|| Self::Name(text.to_owned())))
    }

    pub(crate) fn is(&self, root: &Voucher) -> bool {
        match self {
            Self::Name(name) => root.name.as_ref() == Some(name),
            Self::Digest(digest) => root.digest == *digest,
        }
    }

    pub(crate) fn told(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Digest(digest) => digest.to_string(),
        }
    }
}

/// The roots in an order that does not depend on how they were given, if they can stand side by side.
pub(crate) fn ordered(mut roots: Vec<TrustRoot>) -> Result<Vec<TrustRoot>, TrustRootError> {
    if roots.is_empty() || roots.len() > ROOT_COUNT_MAX {
        return Err(TrustRootError::Count { count: roots.len(), limit: ROOT_COUNT_MAX });
    }
    roots.sort_by(|a, b| (a.name(), a.digest()).cmp(&(b.name(), b.digest())));
    for (at, root) in roots.iter().enumerate() {
        let same = |other: &&TrustRoot| {
            other.digest() == root.digest() || other.name().is_some() && other.name() == root.name()
        };
        if let Some(other) = roots.iter().skip(at + 1).find(same) {
            let name = other.name().map_or_else(|| other.digest().to_string(), str::to_owned);
            return Err(TrustRootError::Twice { name });
        }
    }
    Ok(roots)
}

/// The digest of all roots: that of the only one where its name says nothing that its bytes do not, else of the
/// canonical JSON of `["trust roots", [[name or null, digest], …]]`, for a policy may pin either.
pub(crate) fn digest_of(roots: &[TrustRoot]) -> Digest {
    if let [only] = roots
        && (only.name().is_none() || only.is_embedded())
    {
        return only.digest();
    }
    let listed: Vec<_> = roots.iter().map(|root| (root.name(), root.digest())).collect();
    Digest::sha256_of(&to_canonical(&("trust roots", listed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staging(name: Option<&str>) -> TrustRoot {
        let root = TrustRoot::staging();
        name.map_or(root.clone(), |name| root.named(name).unwrap())
    }

    #[test]
    fn the_digest_is_of_names_and_bytes_in_any_order() {
        let (good, other) = (TrustRoot::public_good(), staging(None));
        let of = |roots: Vec<TrustRoot>| digest_of(&ordered(roots).unwrap());
        assert_eq!(of(vec![good.clone()]), good.digest());
        assert_eq!(of(vec![other.clone()]), other.digest());
        let both = of(vec![good.clone(), other.clone()]);
        assert_eq!(both, of(vec![other.clone(), good.clone()]));
        let named = staging(Some("mine"));
        let all = [of(vec![named.clone()]), of(vec![good.clone(), named]), both];
        for (at, digest) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(digest));
            assert!(*digest != good.digest() && *digest != other.digest());
        }
    }

    #[test]
    fn no_root_stands_there_twice() {
        let good = TrustRoot::public_good;
        let check = |roots: Vec<TrustRoot>| ordered(roots).map(|roots| roots.len());
        assert!(matches!(check(vec![]), Err(TrustRootError::Count { count: 0, .. })));
        let many = vec![good(); ROOT_COUNT_MAX + 1];
        assert!(matches!(check(many), Err(TrustRootError::Count { .. })));
        assert!(matches!(check(vec![good(), good()]), Err(TrustRootError::Twice { .. })));
        let again = vec![staging(None), staging(Some("mine"))];
        assert!(matches!(check(again), Err(TrustRootError::Twice { .. })));
        assert_eq!(check(vec![good(), staging(None)]).unwrap(), 2);
    }

    #[test]
    fn pins_are_names_or_digests() {
        let digest = TrustRoot::staging().digest();
        let root = Voucher { name: Some("mine".to_owned()), digest, is_only: false };
        for (text, expected) in [
            ("mine".to_owned(), Some(true)),
            ("min".to_owned(), Some(false)),
            (digest.to_string(), Some(true)),
            (Digest::sha256_of(b"").to_string(), Some(false)),
            (String::new(), None),
            ("a b".to_owned(), None),
            ("../mine".to_owned(), None),
            ("sha256:00".to_owned(), None),
        ] {
            assert_eq!(Pin::parse(&text).map(|pin| pin.is(&root)), expected, "{text}");
        }
        let nameless = Voucher { name: None, ..root };
        assert!(!Pin::Name("mine".to_owned()).is(&nameless));
    }
}
