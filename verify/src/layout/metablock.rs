//! Metablocks: classic in-toto metadata (in-toto specification, section 4.1), where what is signed is a layout or
//! a link, in one of two envelopes:
//!
//! ```text
//! {"signed": …, "signatures": [{"keyid": …, "sig": hex}]}        signed is the canonical form of `signed`
//! {"payload": base64, "payloadType": "application/vnd.in-toto+json", "signatures": […]}        DSSE (ITE-5)
//! ```
//!
//! The crate `in-toto` reads what is inside and checks signatures. What is signed is taken from the document itself
//! and not from what the crate makes of it, which leaves out members that it does not know. Nothing is read of a
//! document before a signature over it holds but its type, the step of a link, and the names of keys.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::dsse::{Envelope, EnvelopeError};
use bonded_model::json::{self, JsonError};
use bonded_model::limits::{METABLOCK_BYTES_MAX, SIGNATURE_COUNT_MAX};
use bonded_model::{Digest, media_type};
use in_toto::crypto::{HashAlgorithm, KeyId, PublicKey, Signature};
use in_toto::models::{LayoutMetadata, LinkMetadata, TargetDescription, VirtualTargetPath};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::canonical::canonical;
use super::keys::{KeyError, Who, WrittenKey, hex_of, who};

/// Keys in a layout. Real ones have fewer than ten.
pub(super) const KEY_COUNT_MAX: usize = 256;

/// A layout or a link, of which it is not known yet who signed it, nor whether it can be read.
#[derive(Debug)]
pub(super) struct Metablock<'a> {
    pub(super) kind: Kind,
    /// How many bytes the document has.
    pub(super) length: usize,
    signed: Signed<'a>,
    signatures: Vec<Signature>,
}

/// What a document says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Layout,
    Link { step: String },
}

#[derive(Debug)]
enum Signed<'a> {
    Classic(&'a RawValue),
    Enveloped(Envelope),
}

/// Keys by the names under which their signatures may stand.
pub(super) type NamedKeys<'a> = BTreeMap<&'a str, Vec<&'a PublicKey>>;

/// A layout with the keys of its functionaries by their names, or why one cannot be used.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: LayoutMetadata,
    pub(super) keys: BTreeMap<String, Result<PublicKey, KeyError>>,
}

/// A record of a step that was done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
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
    #[error("the document is no envelope of a metablock")]
    Envelope(#[source] EnvelopeError),
    #[error("the payload of the envelope is of type {found:?}")]
    PayloadType { found: String },
    #[error("the document has {found} signatures, the limit is {SIGNATURE_COUNT_MAX}")]
    Signatures { found: usize },
    #[error("the layout has {found} keys, the limit is {KEY_COUNT_MAX}")]
    Keys { found: usize },
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
        matches!(
            self,
            Self::Json(JsonError::TooLarge { .. })
                | Self::Signatures { .. }
                | Self::Keys { .. }
                | Self::Envelope(EnvelopeError::SignatureCount { count: 1.. })
        )
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

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl<'a> Metablock<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, MetablockError> {
        json::check(bytes, METABLOCK_BYTES_MAX)?;
        let (signed, signatures) = match serde_json::from_slice::<Written<'_>>(bytes) {
            Ok(written) => classic(&written)?,
            Err(shape) => enveloped(bytes, shape)?,
        };
        Ok(Self { kind: Kind::of(signed.text())?, length: bytes.len(), signed, signatures })
    }

    /// The names of keys that stand beside its signatures, which nobody signed.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.signatures.iter().map(|signature| id_text(signature.key_id()))
    }

    /// Whose signatures over it hold. A signature is tried with the keys of its name alone, and a key with its
    /// first signature alone: each trial costs a hash over the document.
    pub(super) fn signers(&self, keys: &NamedKeys<'_>) -> BTreeSet<Who> {
        let mut tried = BTreeSet::new();
        let mut trials = Vec::new();
        for signature in &self.signatures {
            let named = keys.get(id_text(signature.key_id()).as_str());
            for key in named.into_iter().flatten().filter(|key| tried.insert(who(key))) {
                trials.push((*key, signature));
            }
        }
        let message = if trials.is_empty() { None } else { self.message() };
        let Some(message) = message else { return BTreeSet::new() };
        trials.retain(|(key, signature)| key.verify(&message, signature).is_ok());
        trials.into_iter().map(|(key, _)| who(key)).collect()
    }

    /// What is signed. What has no canonical form cannot have been signed by anybody.
    fn message(&self) -> Option<Vec<u8>> {
        match &self.signed {
            Signed::Classic(raw) => {
                let value: Value = serde_json::from_str(raw.get()).ok()?; // it was read as JSON before
                canonical(&value).ok() // see above
            }
            Signed::Enveloped(envelope) => Some(envelope.pae()),
        }
    }

    /// Reads the layout that it is.
    pub(super) fn plan(&self) -> Result<Plan, MetablockError> {
        Plan::parse(self.signed.text())
    }

    /// Reads the link that it is.
    pub(super) fn link(&self) -> Result<Link, MetablockError> {
        let wrong = |source| MetablockError::Signed { what: "link", source };
        Link::of(&serde_json::from_slice(self.signed.text()).map_err(wrong)?)
    }
}

fn classic<'a>(written: &Written<'a>) -> Result<(Signed<'a>, Vec<Signature>), MetablockError> {
    let found = written.signatures.len();
    if found > SIGNATURE_COUNT_MAX {
        return Err(MetablockError::Signatures { found });
    }
    // A signature of another form, such as one by GnuPG, is one by nobody.
    let signatures = written.signatures.iter();
    let signatures = signatures.filter_map(|raw| serde_json::from_str(raw.get()).ok());
    Ok((Signed::Classic(written.signed), signatures.collect()))
}

/// A document that does not have the classic shape for a reason.
fn enveloped<'a>(
    bytes: &[u8],
    shape: serde_json::Error,
) -> Result<(Signed<'a>, Vec<Signature>), MetablockError> {
    let envelope = match Envelope::parse(bytes) {
        Ok(envelope) => envelope,
        Err(EnvelopeError::Json(_)) => return Err(JsonError::Shape(shape).into()),
        Err(error) => return Err(MetablockError::Envelope(error)),
    };
    if envelope.payload_type != media_type::IN_TOTO {
        return Err(MetablockError::PayloadType { found: envelope.payload_type });
    }
    json::check(&envelope.payload, METABLOCK_BYTES_MAX)?;
    let signatures = envelope.signatures.iter().filter_map(|signature| {
        let written =
            serde_json::json!({"keyid": signature.key_id, "sig": hex_of(&signature.bytes)});
        serde_json::from_value(written).ok() // one without a name of a key is one by nobody
    });
    let signatures = signatures.collect();
    Ok((Signed::Enveloped(envelope), signatures))
}

impl Signed<'_> {
    fn text(&self) -> &[u8] {
        match self {
            Self::Classic(raw) => raw.get().as_bytes(),
            Self::Enveloped(envelope) => &envelope.payload,
        }
    }
}

impl Kind {
    fn of(text: &[u8]) -> Result<Self, MetablockError> {
        let wrong = |what| move |source| MetablockError::Signed { what, source };
        let typed: Typed = serde_json::from_slice(text).map_err(wrong("object with a _type"))?;
        match typed.kind.as_str() {
            "layout" => Ok(Self::Layout),
            "link" => {
                let named: Named = serde_json::from_slice(text).map_err(wrong("link"))?;
                Ok(Self::Link { step: named.name })
            }
            _ => Err(MetablockError::Type { found: typed.kind }),
        }
    }
}

impl Plan {
    /// The keys are read here: of those that other tools write today, the crate knows few and by other names.
    fn parse(text: &[u8]) -> Result<Self, MetablockError> {
        let wrong = |source| MetablockError::Signed { what: "layout", source };
        let mut value: Value = serde_json::from_slice(text).map_err(wrong)?;
        let keys = value.get_mut("keys").map(|keys| std::mem::replace(keys, serde_json::json!({})));
        let keys: BTreeMap<String, WrittenKey> =
            serde_json::from_value(keys.unwrap_or_default()).map_err(wrong)?;
        if keys.len() > KEY_COUNT_MAX {
            return Err(MetablockError::Keys { found: keys.len() });
        }
        // Words of rules are texts that the crate borrows, so it reads a text and no tree.
        let layout = serde_json::from_str(&value.to_string()).map_err(wrong)?;
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
