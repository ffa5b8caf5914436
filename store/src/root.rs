//! ROOT: the file that is replaced with every commit, and names the newest catalog.
//!
//! ```text
//! {"catalog":"sha256:…","epoch":41,"parent":"sha256:…","version":2}
//! ```
//!
//! `parent` is the digest of the ROOT document that this one replaced; the first has none. Every ROOT
//! document is also kept as the file of its epoch, so that they are the history of the store (see
//! `history`).

use bonded_model::Digest;
use bonded_model::json::{self, JsonError};
use serde::{Deserialize, Serialize};

/// The version of the store's format that this program writes and reads. Version 1 was written before the
/// format was specified, and by no release of this program.
pub(crate) const FORMAT_VERSION: u64 = 2;

/// A ROOT document has some 200 bytes.
pub(crate) const ROOT_BYTES_MAX: u64 = 4096;

/// The state of a store: which catalog is the newest, and how it came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Root {
    version: u64,
    pub(crate) epoch: u64,
    pub(crate) catalog: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Digest>,
}

/// Why bytes are no ROOT document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Not strict JSON of the right shape: empty, cut, or somebody else's file.
    #[error("not a ROOT document")]
    Json(#[from] JsonError),
    /// The format is newer than this program.
    #[error("store format {found} is newer than {FORMAT_VERSION}, the newest that is known here")]
    Newer {
        /// As read.
        found: u64,
    },
    /// The format was given up before it was specified.
    #[error(
        "store format {found} was used during development only, this program reads {FORMAT_VERSION}"
    )]
    Older {
        /// As read.
        found: u64,
    },
    /// The same could be written shorter, or in another order: its digest would not be that of the state.
    #[error("it is not in the one form that a ROOT document has")]
    NotCanonical,
    /// The file of an epoch holds another one.
    #[error("it holds epoch {found}")]
    Epoch {
        /// As read.
        found: u64,
    },
    /// The epoch that follows names another document as its parent.
    #[error("the epoch after {epoch} does not name it as its parent")]
    NotTheParent {
        /// The epoch that was read.
        epoch: u64,
    },
    /// A later epoch without a parent, or a first one with one.
    #[error("epoch {epoch} does not fit the parent beside it")]
    Parent {
        /// As read.
        epoch: u64,
    },
}

#[derive(Deserialize)]
struct VersionAlone {
    version: u64,
}

impl Root {
    /// The first state of a store.
    pub(crate) fn first(catalog: Digest) -> Self {
        Self { version: FORMAT_VERSION, epoch: 0, catalog, parent: None }
    }

    /// The state after this one.
    pub(crate) fn next(&self, catalog: Digest) -> Self {
        Self {
            version: FORMAT_VERSION,
            epoch: self.epoch.saturating_add(1),
            catalog,
            parent: Some(Digest::sha256_of(&self.to_bytes())),
        }
    }

    /// Reads a ROOT document. The version is looked at first: a newer format may have other fields.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, RootError> {
        let VersionAlone { version } = json::parse(bytes, ROOT_BYTES_MAX)?;
        if version > FORMAT_VERSION {
            return Err(RootError::Newer { found: version });
        }
        if version < FORMAT_VERSION {
            return Err(RootError::Older { found: version });
        }
        let root: Self = json::parse(bytes, ROOT_BYTES_MAX)?;
        if root.parent.is_some() != (root.epoch > 0) {
            return Err(RootError::Parent { epoch: root.epoch });
        }
        if root.to_bytes() != bytes {
            return Err(RootError::NotCanonical);
        }
        Ok(root)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        json::to_canonical(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_chains_by_digest() {
        let first = Root::first(Digest::sha256_of(b"a"));
        let second = first.next(Digest::sha256_of(b"b"));
        assert_eq!(second.parent, Some(Digest::sha256_of(&first.to_bytes())));
        assert_eq!(second.epoch, 1);
        for root in [first, second] {
            assert_eq!(Root::parse(&root.to_bytes()).unwrap(), root);
        }
    }

    /// With the version in front.
    fn reordered(good: &str) -> String {
        let version = r#""version":2"#;
        good.replace(&format!(",{version}"), "").replacen('{', &format!("{{{version},"), 1)
    }

    #[test]
    fn must_reject() {
        let good = String::from_utf8(Root::first(Digest::sha256_of(b"a")).to_bytes()).unwrap();
        let check = |text: &str| Root::parse(text.as_bytes()).expect_err(text);
        for text in [
            "",
            "{}",
            "hello",
            &good.replace("sha256:", "md5:"),
            &good.replace("{", r#"{"more":1,"#),
            &good.replace(r#""version":2"#, r#""version":2,"version":2"#),
            good.get(..good.len() - 1).unwrap(),
            &format!("{good}{good}"),
            &" ".repeat(5000),
        ] {
            assert!(matches!(check(text), RootError::Json(_)), "{text}");
        }
        let newer = good.replace(r#""version":2"#, r#""version":3,"shape":"unknown""#);
        assert!(matches!(check(&newer), RootError::Newer { found: 3 }));
        let older = good.replace(r#""version":2"#, r#""version":1"#);
        assert!(matches!(check(&older), RootError::Older { found: 1 }));
        for other in [good.replace(',', ", "), format!("{good}\n"), reordered(&good)] {
            assert!(matches!(check(&other), RootError::NotCanonical), "{other}");
        }
        let orphan = good.replace(r#""epoch":0"#, r#""epoch":7"#);
        assert!(matches!(check(&orphan), RootError::Parent { epoch: 7 }));
    }
}
