//! Metablocks: classic in-toto metadata, `{"signed": …, "signatures": […]}` (in-toto specification,
//! section 4.1), where `signed` is a layout or a link.
//!
//! The crate `in-toto` reads both and checks signatures. What is signed is taken from the document itself
//! and not from what the crate makes of it, which leaves out members that it does not know.

use std::collections::BTreeMap;

use bonded_model::Digest;
use bonded_model::json::{self, JsonError};
use bonded_model::limits::{METABLOCK_BYTES_MAX, SIGNATURE_COUNT_MAX};
use in_toto::crypto::{HashAlgorithm, KeyId, PublicKey, Signature};
use in_toto::models::{LayoutMetadata, LinkMetadata, TargetDescription, VirtualTargetPath};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::canonical::{NotCanonical, canonical};
use super::keys::{KeyError, WrittenKey};

/// A layout or a link, of which it is not known yet who signed it.
#[derive(Debug)]
pub(super) struct Metablock {
    pub(super) signed: Signed,
    /// What the signatures are made over.
    canonical: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Debug)]
pub(super) enum Signed {
    Layout(Box<Plan>),
    Link(Box<Link>),
}

/// A layout with the keys of its functionaries by their names, or why one cannot be used.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: LayoutMetadata,
    pub(super) keys: BTreeMap<String, Result<PublicKey, KeyError>>,
}

/// A record of a step that was done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) materials: Artifacts,
    pub(super) products: Artifacts,
    pub(super) command: Vec<String>,
}

/// Files by their paths.
pub(super) type Artifacts = BTreeMap<String, Hashes>;

/// The digests of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashes {
    pub(super) sha256: Digest,
    pub(super) sha512: Option<Digest>,
}

impl Hashes {
    /// Whether they are of the same bytes: where both have a digest, it is the same.
    pub(super) fn agree(&self, other: &Self) -> bool {
        let same = self.sha512.zip(other.sha512).is_none_or(|(one, another)| one == another);
        self.sha256 == other.sha256 && same
    }
}

/// Why a document is no metablock that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetablockError {
    #[error("the document is no strict JSON of the shape of a metablock")]
    Json(#[from] JsonError),
    #[error("the document has {found} signatures, the limit is {SIGNATURE_COUNT_MAX}")]
    Signatures { found: usize },
    #[error(transparent)]
    Canonical(#[from] NotCanonical),
    #[error("what is signed calls itself {found:?} and not a layout or a link")]
    Type { found: String },
    #[error("what is signed is no {what} that can be read")]
    Signed {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("a link has the path {path:?}, which is not in its shortest form")]
    Path { path: String },
    #[error("the file {path:?} of a link has no SHA-256, or a digest of a wrong length")]
    Digest { path: String },
}

impl MetablockError {
    /// Whether it is too large to be looked at, rather than wrong.
    pub(super) fn is_limit(&self) -> bool {
        matches!(self, Self::Json(JsonError::TooLarge { .. }) | Self::Signatures { .. })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    signed: &'a RawValue,
    #[serde(borrow)]
    signatures: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "_type")]
    kind: String,
}

impl Metablock {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, MetablockError> {
        json::check(bytes, METABLOCK_BYTES_MAX)?;
        let written: Written<'_> = serde_json::from_slice(bytes).map_err(JsonError::Shape)?;
        let found = written.signatures.len();
        if found > SIGNATURE_COUNT_MAX {
            return Err(MetablockError::Signatures { found });
        }
        // A signature of another form, such as one by GnuPG, is one by nobody.
        let signatures = written.signatures.iter();
        let signatures = signatures.filter_map(|raw| serde_json::from_str(raw.get()).ok());
        let value: Value = serde_json::from_str(written.signed.get()).map_err(JsonError::Shape)?;
        Ok(Self {
            canonical: canonical(&value)?,
            signed: Signed::parse(value)?,
            signatures: signatures.collect(),
        })
    }

    pub(super) fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Whether the key made that signature over the document.
    pub(super) fn is_signed(&self, key: &PublicKey, signature: &Signature) -> bool {
        key.verify(&self.canonical, signature).is_ok()
    }
}

impl Signed {
    fn parse(value: Value) -> Result<Self, MetablockError> {
        let wrong = |what| move |source| MetablockError::Signed { what, source };
        let typed = Typed::deserialize(&value).map_err(wrong("object with a _type"))?;
        match typed.kind.as_str() {
            "layout" => Plan::parse(value).map(Box::new).map(Self::Layout).map_err(wrong("layout")),
            "link" => {
                let link: LinkMetadata = serde_json::from_value(value).map_err(wrong("link"))?;
                Ok(Self::Link(Box::new(Link::of(&link)?)))
            }
            _ => Err(MetablockError::Type { found: typed.kind }),
        }
    }
}

impl Plan {
    /// The keys are read here: of those that other tools write today, the crate knows few and by other names.
    fn parse(mut value: Value) -> Result<Self, serde_json::Error> {
        let keys = value.get_mut("keys").map(|keys| std::mem::replace(keys, serde_json::json!({})));
        let keys: BTreeMap<String, WrittenKey> = serde_json::from_value(keys.unwrap_or_default())?;
        // Words of rules are texts that the crate borrows, so it reads a text and no tree.
        let layout = serde_json::from_str(&value.to_string())?;
        let keys = keys.into_iter().map(|(id, key)| {
            let key = key.read(&id);
            (id, key)
        });
        Ok(Self { layout, keys: keys.collect() })
    }
}

/// The name of a key.
pub(super) fn id_text(id: &KeyId) -> String {
    let value = serde_json::to_value(id).ok(); // a name is a text, which can always be written
    value.and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

impl Link {
    fn of(link: &LinkMetadata) -> Result<Self, MetablockError> {
        Ok(Self {
            name: link.name.clone(),
            materials: artifacts(&link.materials)?,
            products: artifacts(&link.products)?,
            command: link.command.as_ref().to_vec(),
        })
    }
}

fn artifacts(
    written: &BTreeMap<VirtualTargetPath, TargetDescription>,
) -> Result<Artifacts, MetablockError> {
    let one = |(path, digests): (&VirtualTargetPath, &TargetDescription)| {
        let path = path.value().to_owned();
        // A rule against `secret` must not be passed by `./secret` (GHSA-vrxp-mg9f-hwf3).
        if !is_shortest(&path) {
            return Err(MetablockError::Path { path });
        }
        match hashes(digests) {
            Some(hashes) => Ok((path, hashes)),
            None => Err(MetablockError::Digest { path }),
        }
    };
    written.iter().map(one).collect()
}

/// Whether nothing in a path could be left out: no empty part, no `.`, and no `..` but at the beginning.
pub(super) fn is_shortest(path: &str) -> bool {
    let relative = path.strip_prefix('/').unwrap_or(path);
    let mut named = relative.len() < path.len();
    relative.split('/').all(|part| {
        let climbs = part == "..";
        let fine = !part.is_empty() && part != "." && !(climbs && named);
        named |= !climbs;
        fine
    })
}

fn hashes(written: &TargetDescription) -> Option<Hashes> {
    let found = |algorithm: &HashAlgorithm| written.get(algorithm).map(|hash| hash.value());
    let sha256 = found(&HashAlgorithm::Sha256)?.try_into().ok()?; // of a wrong length
    let sha512 = match found(&HashAlgorithm::Sha512) {
        Some(bytes) => Some(Digest::from_sha512(bytes.try_into().ok()?)), // likewise
        None => None,
    };
    Some(Hashes { sha256: Digest::from_sha256(sha256), sha512 })
}
