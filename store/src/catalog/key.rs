//! Keys of the catalog, as text and as pages hold them.
//!
//! First component, then names; a repository may have slashes of its own:
//!
//! ```text
//! release/<project>/<version>                        a release index
//! image/<repository>/<tag>                           an image's manifest or index
//! evidence/<project>/<version>/<referrer digest>     a referrer that was attached to that release
//! referrer/<subject digest>/<referrer digest>        the same, found from what it is about: a file
//!                                                    manifest, an image, a release index, or a file
//! ```
//!
//! Evidence has keys of its own because one file manifest can stand in several releases, and what was
//! attached for one of them is no evidence for the others.
//!
//! In a page, a component that is `sha256:` and 64 lower-case hex digits is packed into the byte 0x01,
//! which no text of a key can contain, and the 32 bytes of the digest. The order is that of the text.

use std::cmp::Ordering;
use std::fmt;

use bonded_model::{Digest, ImageName, ReleaseName, Repository, Tag};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::CatalogError;

/// Four components at most, of which two are digests, or a repository of 255 bytes and a tag of 128.
const KEY_BYTES_MAX: usize = 512;

/// Stands in front of a packed digest.
const PACKED: u8 = 0x01;

const SHA256: &str = "sha256:";

/// A key of the catalog.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// What every key of a release starts with.
    pub const RELEASES: &'static str = "release/";

    /// What every key of an image starts with.
    pub const IMAGES: &'static str = "image/";

    /// What every key of evidence starts with.
    pub const EVIDENCE: &'static str = "evidence/";

    /// The key of a release.
    pub fn release(name: &ReleaseName) -> Self {
        Self(format!("{}{}/{}", Self::RELEASES, name.project, name.version))
    }

    /// The key of an image.
    pub fn image(repository: &Repository, tag: &Tag) -> Self {
        Self(format!("{}{repository}/{tag}", Self::IMAGES))
    }

    /// The key of a referrer among the evidence of a release.
    pub fn evidence(name: &ReleaseName, referrer: &Digest) -> Self {
        Self(format!("{}{referrer}", Self::evidence_prefix(name)))
    }

    /// The key of a referrer under what it is about.
    pub fn referrer(subject: &Digest, referrer: &Digest) -> Self {
        Self(format!("{}{referrer}", Self::referrer_prefix(subject)))
    }

    /// What the keys of all evidence of one release start with.
    pub fn evidence_prefix(name: &ReleaseName) -> String {
        format!("{}{}/{}/", Self::EVIDENCE, name.project, name.version)
    }

    /// What every key of a referrer starts with.
    pub const REFERRERS: &'static str = "referrer/";

    /// What the keys of all referrers of one subject start with.
    pub fn referrer_prefix(subject: &Digest) -> String {
        format!("{}{subject}/", Self::REFERRERS)
    }

    /// The release that this key names, if it names one.
    pub fn to_release(&self) -> Option<ReleaseName> {
        let (project, version) = self.0.strip_prefix(Self::RELEASES)?.split_once('/')?;
        // A key of another shape names no release.
        Some(ReleaseName { project: project.parse().ok()?, version: version.parse().ok()? })
    }

    /// The image that this key names, if it names one.
    pub fn to_image(&self) -> Option<ImageName> {
        let (repository, tag) = self.0.strip_prefix(Self::IMAGES)?.rsplit_once('/')?;
        // A key of another shape names no image.
        Some(ImageName { repository: repository.parse().ok()?, tag: tag.parse().ok()? })
    }

    /// The release whose evidence this key lists, and the digest of the referrer, if it lists any.
    pub fn to_evidence(&self) -> Option<(ReleaseName, Digest)> {
        let (project, rest) = self.0.strip_prefix(Self::EVIDENCE)?.split_once('/')?;
        let (version, referrer) = rest.split_once('/')?;
        // A key of another shape lists no evidence.
        let name = ReleaseName { project: project.parse().ok()?, version: version.parse().ok()? };
        Some((name, referrer.parse().ok()?))
    }

    /// The subject and the referrer that this key lists under it, if it lists any.
    pub fn to_referrer(&self) -> Option<(Digest, Digest)> {
        let (subject, referrer) = self.0.strip_prefix(Self::REFERRERS)?.split_once('/')?;
        // A key of another shape lists no referrer.
        Some((subject.parse().ok()?, referrer.parse().ok()?))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where keys with this beginning start, for looking them up; it may be no key itself.
    pub(super) fn from_prefix(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    /// A key from text of any origin.
    #[cfg(test)]
    pub(super) fn parse(text: String) -> Result<Self, CatalogError> {
        if text.len() <= KEY_BYTES_MAX && text.split('/').all(is_component) {
            Ok(Self(text))
        } else {
            Err(CatalogError::Key { text: text.chars().take(80).collect() })
        }
    }
}

fn is_component(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The 32 bytes of a component that can be packed.
fn packable(component: &str) -> Option<Digest> {
    // Any other text is no digest of the one form that is packed.
    component.starts_with(SHA256).then(|| component.parse().ok()).flatten()
}

/// A key as pages hold it. Compares like the text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PackedKey(Vec<u8>);

impl PackedKey {
    /// Packs any text, also the beginning of a key.
    pub(super) fn of(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len());
        for (index, component) in text.split('/').enumerate() {
            if index > 0 {
                bytes.push(b'/');
            }
            match packable(component) {
                Some(digest) => {
                    bytes.push(PACKED);
                    bytes.extend_from_slice(digest.as_bytes());
                }
                None => bytes.extend_from_slice(component.as_bytes()),
            }
        }
        Self(bytes)
    }

    pub(super) fn from_page(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for PackedKey {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.0, &other.0)
    }
}

impl PartialOrd for PackedKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for PackedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&unpack(&self.0), f)
    }
}

/// The order of two packed keys, which is that of their texts. Bytes of digests are ordered like their
/// hex digits; only where a digest meets a text the texts themselves have to be compared.
pub(super) fn order(a: &[u8], b: &[u8]) -> Ordering {
    if a == b {
        return Ordering::Equal; // what walks side by side mostly find, and told at once
    }
    match a.iter().zip(b).find(|(a, b)| a != b) {
        None => a.len().cmp(&b.len()),
        Some((&PACKED, _) | (_, &PACKED)) => unpack(a).cmp(&unpack(b)),
        Some((a, b)) => a.cmp(b),
    }
}

/// One component of a packed key.
enum Component<'a> {
    Packed(&'a [u8]),
    Text(&'a [u8]),
}

/// The components of a packed key; what is no digest for want of bytes comes out as text.
fn components(packed: &[u8]) -> impl Iterator<Item = Component<'_>> {
    let mut rest = Some(packed);
    std::iter::from_fn(move || {
        let bytes = rest?;
        if let Some((&PACKED, after)) = bytes.split_first()
            && let Some((digest, after)) = after.split_at_checked(32)
            && matches!(after.first(), None | Some(b'/'))
        {
            rest = after.get(1..);
            return Some(Component::Packed(digest));
        }
        let end = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
        let (text, after) = bytes.split_at_checked(end)?;
        rest = after.get(1..);
        Some(Component::Text(text))
    })
}

/// The text of a packed key, as bytes: hex digits where digests are packed.
pub(super) fn unpack(packed: &[u8]) -> Vec<u8> {
    // Without a table, so that the compiler can do many digits at once.
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    let mut text = Vec::with_capacity(packed.len() * 2 + 16);
    for (index, component) in components(packed).enumerate() {
        if index > 0 {
            text.push(b'/');
        }
        match component {
            Component::Text(bytes) => text.extend_from_slice(bytes),
            Component::Packed(digest) => {
                text.extend_from_slice(SHA256.as_bytes());
                let mut hex = [0; 64];
                for (pair, byte) in hex.as_chunks_mut().0.iter_mut().zip(digest) {
                    *pair = [digit(byte >> 4), digit(byte & 15)];
                }
                text.extend_from_slice(&hex);
            }
        }
    }
    text
}

/// The key whose packed form this is; it was checked when its page was read.
pub(super) fn to_key(packed: &[u8]) -> Result<Key, CatalogError> {
    match String::from_utf8(unpack(packed)) {
        Ok(text) => Ok(Key(text)),
        Err(error) => Err(CatalogError::Key { text: error.to_string() }),
    }
}

/// That these bytes are the packed form of a key, the only one it has.
pub(super) fn check(packed: &[u8]) -> Result<(), CatalogError> {
    let mut text_bytes = 0;
    let well_formed = components(packed).all(|component| match component {
        Component::Packed(_) => {
            text_bytes += SHA256.len() + 64 + 1;
            true
        }
        Component::Text(text) => {
            text_bytes += text.len() + 1;
            // What most texts are made of needs no look at its characters.
            let is_plain = !text.is_empty() && text.iter().all(|byte| (b' '..=b'~').contains(byte));
            str::from_utf8(text)
                .is_ok_and(|text| (is_plain || is_component(text)) && packable(text).is_none())
        }
    });
    if well_formed && text_bytes <= KEY_BYTES_MAX + 1 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(packed).chars().take(80).collect();
    Err(CatalogError::Key { text })
}

/// The digest that a key ends with, if it does: most entries point to what their key ends with.
pub(super) fn last_digest(packed: &[u8]) -> Option<[u8; 32]> {
    match components(packed).last() {
        // Anything but 32 bytes is no packed digest.
        Some(Component::Packed(digest)) => digest.try_into().ok(),
        _ => None,
    }
}

/// The rank of a key: how many zero bits its hash begins with, of 64. It decides which pages end here.
pub(super) fn rank(packed: &[u8]) -> u32 {
    let hash: [u8; 32] = Sha256::digest(packed).into();
    let (first, _) = hash.split_first_chunk::<8>().expect("32 bytes begin with 8");
    u64::from_be_bytes(*first).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_name_what_they_are_for_and_nothing_else() {
        let name: ReleaseName = "demo@v1+2".parse().unwrap();
        assert_eq!(Key::release(&name).as_str(), "release/demo/v1+2");
        assert_eq!(Key::release(&name).to_release(), Some(name.clone()));
        let digest = Digest::sha256_of(b"x");
        let evidence = Key::evidence(&name, &digest);
        assert_eq!(evidence.to_evidence(), Some((name.clone(), digest)));
        let image: ImageName = "registry.k8s.io/kube-apiserver:v1.31.0".parse().unwrap();
        let image_key = Key::image(&image.repository, &image.tag);
        assert_eq!(image_key.as_str(), "image/registry.k8s.io/kube-apiserver/v1.31.0");
        assert_eq!(image_key.to_image(), Some(image));
        let referrer = Key::referrer(&digest, &digest);
        assert_eq!(referrer.to_referrer(), Some((digest, digest)));
        assert_eq!((evidence.to_referrer(), referrer.to_evidence()), (None, None));
        for key in [&evidence, &referrer, &image_key] {
            assert_eq!(key.to_release(), None);
            assert_eq!(Key::parse(key.as_str().to_owned()).unwrap(), *key);
        }
        for text in
            ["release/UPPER/v1", "release/demo", "image/demo", "image/UPPER/v1", "evidence/a/b"]
        {
            let key = Key(text.into());
            assert_eq!((key.to_release(), key.to_image(), key.to_evidence()), (None, None, None));
        }
    }

    #[test]
    fn digests_are_packed_and_nothing_else_is() {
        let hex = Digest::sha256_of(b"x").hex();
        let table = [
            ("release/demo/v1".to_owned(), 15),
            (format!("referrer/sha256:{hex}/sha256:{hex}"), 9 + 33 + 1 + 33),
            (format!("sha256:{hex}"), 33),
            (format!("a/sha256:{hex}b"), 74),
            (format!("a/sha512:{hex}"), 73),
            (format!("a/sha256:{}", hex.to_uppercase()), 73),
            (format!("a/xsha256:{hex}/b"), 76),
        ];
        for (text, length) in table {
            let packed = PackedKey::of(&text);
            assert_eq!(packed.as_bytes().len(), length, "{text}");
            check(packed.as_bytes()).unwrap();
            assert_eq!(to_key(packed.as_bytes()).unwrap().as_str(), text);
            assert_eq!(
                last_digest(packed.as_bytes()).is_some(),
                text.ends_with(&format!("sha256:{hex}")) && !text.contains("xsha"),
                "{text}"
            );
        }
    }

    #[test]
    fn must_reject() {
        let hex = Digest::sha256_of(b"x").hex();
        let packed = |tail: &[u8]| [b"a/\x01".as_slice(), &[7; 32], tail].concat();
        let table: [(&str, Vec<u8>); 12] = [
            ("empty", vec![]),
            ("empty component", b"a//b".to_vec()),
            ("empty first component", b"/a".to_vec()),
            ("empty last component", b"a/".to_vec()),
            ("control character", b"a/b\n".to_vec()),
            ("control character of two bytes", "a/\u{85}".into()),
            ("not UTF-8", b"a/\xff".to_vec()),
            ("not packed", format!("a/sha256:{hex}").into()),
            ("packed but cut", packed(b"")[..30].to_vec()),
            ("packed and more", packed(b"b")),
            ("too long", vec![b'k'; 513]),
            ("too long as text", [packed(b"/"), vec![b'k'; 440]].concat()),
        ];
        check(&packed(b"")).unwrap();
        check(&[b'k'; 512]).unwrap();
        check(&[packed(b"/"), vec![b'k'; 438]].concat()).unwrap();
        for (what, bytes) in table {
            assert!(matches!(check(&bytes), Err(CatalogError::Key { .. })), "{what}");
        }
        for text in ["", "/", "a//b", "a/", "/a", "a\0", "a\nb", &"k".repeat(513)] {
            let parsed = Key::parse(text.to_owned());
            assert!(matches!(parsed, Err(CatalogError::Key { .. })), "{text}");
        }
    }

    /// Components that are digests, nearly digests, and what sorts around them.
    fn text() -> impl Strategy<Value = String> {
        let digest = any::<u8>().prop_map(|n| Digest::sha256_of(&[n]).to_string());
        let close = (any::<u8>(), "[0-9a-f]?").prop_map(|(n, more)| {
            format!("sha256:{}{more}", Digest::sha256_of(&[n]).hex().split_off(1))
        });
        let component = prop_oneof![digest, close, "[!-.0-~é]{1,3}", "sha25[5-7]:?"];
        proptest::collection::vec(component, 1..4).prop_map(|parts| parts.join("/"))
    }

    proptest! {
        #[test]
        fn packed_keys_are_ordered_like_their_texts(one in text(), other in text()) {
            let (a, b) = (PackedKey::of(&one), PackedKey::of(&other));
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            let key = to_key(a.as_bytes()).unwrap();
            prop_assert_eq!(key.as_str(), one);
            prop_assert!(check(b.as_bytes()).is_ok());
        }

        #[test]
        fn what_passes_the_check_is_the_packed_form_of_its_key(bytes: Vec<u8>) {
            if check(&bytes).is_ok() {
                let key = to_key(&bytes).unwrap();
                let packed = PackedKey::of(key.as_str());
                prop_assert_eq!(packed.as_bytes(), &bytes);
                prop_assert!(Key::parse(key.as_str().to_owned()).is_ok());
            }
        }
    }
}
