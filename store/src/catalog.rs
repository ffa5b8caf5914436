//! The catalog: an ordered map from key to descriptor, stored as immutable pages in the blob pool.
//!
//! Its root digest depends on its content alone, not on the order of insertion. Today one page holds
//! the whole map, as canonical JSON:
//!
//! ```text
//! {"entries":{"release/demo/v1.0.0":{"digest":"sha256:…","mediaType":"…","size":123}},"version":1}
//! ```
//!
//! Keys (first component, then names that hold no slash):
//!
//! ```text
//! release/<project>/<version>                        a release index
//! image/<repository>/<tag>                           an image manifest or index; the repository may hold
//!                                                    slashes, the tag is the last component
//! evidence/<project>/<version>/<referrer digest>     a referrer that was attached to that release
//! referrer/<subject digest>/<referrer digest>        the same, found from what it is about: a file
//!                                                    manifest, a release index, or a file's bytes
//! ```
//!
//! Evidence has keys of its own because one file manifest can stand in several releases, and what was
//! attached for one of them is no evidence for the others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bonded_model::json::{self, JsonError};
use bonded_model::limits::CATALOG_BYTES_MAX;
use bonded_model::{Descriptor, Digest, ImageName, ReleaseName, Repository, Tag};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// The version of the page format that this program writes, and the newest that it reads.
const PAGE_VERSION: u32 = 1;

/// The longest is an image of a repository with 255 characters and a tag with 128.
const KEY_BYTES_MAX: usize = 512;

/// A key of the catalog.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(String);

/// Why bytes are no catalog page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Not strict JSON of the right shape.
    #[error("not a catalog page")]
    Json(#[from] JsonError),
    /// Written by a newer program.
    #[error("catalog page has version {found}, this program reads up to {PAGE_VERSION}")]
    NewerVersion {
        /// As read.
        found: u32,
    },
    /// A key is empty, too long, or has control characters.
    #[error("catalog page has the malformed key {text:?}")]
    Key {
        /// As read, cut.
        text: String,
    },
    /// The page would not be readable again.
    #[error("catalog would have {bytes} bytes, the limit is {CATALOG_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

impl Key {
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

    /// What every key of a release starts with.
    pub const RELEASES: &'static str = "release/";

    /// What every key of an image starts with.
    pub const IMAGES: &'static str = "image/";

    /// What the keys of all evidence of one release start with.
    pub fn evidence_prefix(name: &ReleaseName) -> String {
        format!("evidence/{}/{}/", name.project, name.version)
    }

    /// What the keys of all referrers of one subject start with.
    pub fn referrer_prefix(subject: &Digest) -> String {
        format!("referrer/{subject}/")
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

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: String) -> Result<Self, CatalogError> {
        let legal = !text.is_empty()
            && text.len() <= KEY_BYTES_MAX
            && !text.chars().any(char::is_control)
            && text.split('/').all(|component| !component.is_empty());
        if legal {
            Ok(Self(text))
        } else {
            Err(CatalogError::Key { text: text.chars().take(80).collect() })
        }
    }
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

/// An ordered map from key to descriptor; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    entries: Arc<BTreeMap<Key, Descriptor>>,
}

/// One entry in which two catalogs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// What it pointed to before, if it was there.
    pub before: Option<Descriptor>,
    /// What it points to now, if it is there.
    pub after: Option<Descriptor>,
}

/// A catalog as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The digest of the root page.
    pub root: Digest,
    /// Every page that a reader needs, the root last.
    pub pages: Vec<Vec<u8>>,
}

#[derive(Serialize)]
struct WirePage<'a> {
    version: u32,
    entries: &'a BTreeMap<Key, Descriptor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireOwnedPage {
    version: u32,
    entries: BTreeMap<String, Descriptor>,
}

impl Catalog {
    /// Reads a catalog from its root page.
    ///
    /// # Errors
    /// [`CatalogError`] if the bytes are no page of a known version.
    pub fn parse(page: &[u8]) -> Result<Self, CatalogError> {
        let wire: WireOwnedPage = json::parse(page, CATALOG_BYTES_MAX)?;
        if wire.version != PAGE_VERSION {
            return Err(CatalogError::NewerVersion { found: wire.version });
        }
        let entries = wire.entries.into_iter().map(|(key, value)| Ok((Key::parse(key)?, value)));
        Ok(Self { entries: Arc::new(entries.collect::<Result<_, CatalogError>>()?) })
    }

    /// Its pages and its root digest.
    ///
    /// # Errors
    /// [`CatalogError::TooLarge`] if it could not be read again.
    pub fn seal(&self) -> Result<Sealed, CatalogError> {
        let page = json::to_canonical(&WirePage { version: PAGE_VERSION, entries: &self.entries });
        match u64::try_from(page.len()) {
            Ok(bytes) if bytes <= CATALOG_BYTES_MAX => {
                Ok(Sealed { root: Digest::sha256_of(&page), pages: vec![page] })
            }
            _ => Err(CatalogError::TooLarge { bytes: page.len() }),
        }
    }

    /// What a key points to.
    ///
    /// # Errors
    /// [`StoreError`] if a page on the way cannot be read.
    pub fn get(&self, key: &Key) -> Result<Option<Descriptor>, StoreError> {
        Ok(self.entries.get(key).cloned())
    }

    /// Every entry whose key starts with `prefix`, in the order of the keys. An item is an error if
    /// a page on the way cannot be read.
    pub fn scan<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = Result<(Key, Descriptor), StoreError>> + 'a {
        self.entries
            .range(Key(prefix.to_owned())..)
            .take_while(move |(key, _)| key.0.starts_with(prefix))
            .map(|(key, value)| Ok((key.clone(), value.clone())))
    }

    /// Points a key to a descriptor and returns what it pointed to before.
    ///
    /// # Errors
    /// [`StoreError`] if a page on the way cannot be read.
    pub fn insert(
        &mut self,
        key: Key,
        value: Descriptor,
    ) -> Result<Option<Descriptor>, StoreError> {
        Ok(Arc::make_mut(&mut self.entries).insert(key, value))
    }

    /// Removes a key and returns what it pointed to.
    ///
    /// # Errors
    /// [`StoreError`] if a page on the way cannot be read.
    pub fn remove(&mut self, key: &Key) -> Result<Option<Descriptor>, StoreError> {
        Ok(Arc::make_mut(&mut self.entries).remove(key))
    }

    /// What has to change in `before` to get `self`, in the order of the keys.
    ///
    /// # Errors
    /// [`StoreError`] if a page on the way cannot be read.
    pub fn diff(&self, before: &Self) -> Result<Vec<Change>, StoreError> {
        let keys: std::collections::BTreeSet<&Key> =
            self.entries.keys().chain(before.entries.keys()).collect();
        let changes = keys.into_iter().map(|key| Change {
            key: key.clone(),
            before: before.entries.get(key).cloned(),
            after: self.entries.get(key).cloned(),
        });
        Ok(changes.filter(|change| change.before != change.after).collect())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_model::{MediaType, media_type};
    use proptest::prelude::*;

    fn descriptor(content: u8) -> Descriptor {
        Descriptor::of(MediaType::known(media_type::OCTET_STREAM), &[content])
    }

    fn catalog(entries: &BTreeMap<Key, Descriptor>) -> Catalog {
        let mut catalog = Catalog::default();
        for (key, value) in entries {
            catalog.insert(key.clone(), value.clone()).unwrap();
        }
        catalog
    }

    /// Inserts, and removals where there is no content.
    fn history() -> impl Strategy<Value = Vec<(Key, Option<u8>)>> {
        let key = "(a|b|release)/([ab]{1,2}/)?[ab]".prop_map(Key);
        proptest::collection::vec((key, proptest::option::weighted(0.8, 0_u8..4)), 0..40)
    }

    fn replay(history: &[(Key, Option<u8>)]) -> (Catalog, BTreeMap<Key, Descriptor>) {
        let (mut catalog, mut model) = (Catalog::default(), BTreeMap::new());
        for (key, content) in history {
            let (found, expected) = match content {
                Some(content) => (
                    catalog.insert(key.clone(), descriptor(*content)).unwrap(),
                    model.insert(key.clone(), descriptor(*content)),
                ),
                None => (catalog.remove(key).unwrap(), model.remove(key)),
            };
            assert_eq!(found, expected);
        }
        (catalog, model)
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(history in history(), prefix in "(a|b|release)?/?[ab]?") {
            let (held, model) = replay(&history);
            for (key, _) in &history {
                prop_assert_eq!(held.get(key).unwrap(), model.get(key).cloned());
            }
            let scanned: Vec<_> = held.scan(&prefix).collect::<Result<_, _>>().unwrap();
            let expected: Vec<_> = model
                .iter()
                .filter(|(key, _)| key.0.starts_with(&prefix))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            prop_assert_eq!(scanned, expected);
            prop_assert_eq!((held.len(), held.is_empty()), (model.len(), model.is_empty()));
        }

        #[test]
        fn equal_content_has_an_equal_root_whatever_the_history(history in history()) {
            let (held, model) = replay(&history);
            let straight = catalog(&model);
            prop_assert_eq!(held.seal().unwrap(), straight.seal().unwrap());
            let sealed = held.seal().unwrap();
            let root = sealed.pages.last().unwrap();
            prop_assert_eq!(sealed.root, Digest::sha256_of(root));
            prop_assert_eq!(Catalog::parse(root).ok(), Some(held));
        }

        #[test]
        fn a_difference_leads_from_one_to_the_other(one in history(), other in history()) {
            let ((before, _), (after, _)) = (replay(&one), replay(&other));
            let mut walked = before.clone();
            for change in after.diff(&before).unwrap() {
                prop_assert_eq!(walked.get(&change.key).unwrap(), change.before);
                match change.after {
                    Some(value) => walked.insert(change.key, value).unwrap(),
                    None => walked.remove(&change.key).unwrap(),
                };
            }
            prop_assert_eq!(&walked, &after);
            prop_assert_eq!(after.diff(&after).unwrap(), vec![]);
            let same = before.seal().unwrap().root == after.seal().unwrap().root;
            prop_assert_eq!(same, after.diff(&before).unwrap().is_empty());
        }
    }

    #[test]
    fn keys_name_releases_and_nothing_else() {
        let name: ReleaseName = "demo@v1+2".parse().unwrap();
        assert_eq!(Key::release(&name).as_str(), "release/demo/v1+2");
        assert_eq!(Key::release(&name).to_release(), Some(name.clone()));
        let digest = Digest::sha256_of(b"x");
        for key in [Key::evidence(&name, &digest), Key::referrer(&digest, &digest)] {
            assert_eq!(key.to_release(), None);
            assert_eq!(Key::parse(key.as_str().to_owned()).unwrap(), key);
        }
        let image: ImageName = "localhost:5000/a/b:v1".parse().unwrap();
        let key = Key::image(&image.repository, &image.tag);
        assert_eq!(key.as_str(), "image/localhost:5000/a/b/v1");
        assert_eq!((key.to_image(), key.to_release()), (Some(image), None));
        assert_eq!(Key::parse(key.as_str().to_owned()).unwrap(), key);
        for text in ["image/a", "image/A/v1", "image/a/-", "release/demo/v1"] {
            assert_eq!(Key(text.into()).to_image(), None, "{text}");
        }
        assert_eq!(Key("release/UPPER/v1".into()).to_release(), None);
        assert_eq!(Key("release/demo".into()).to_release(), None);
    }

    #[test]
    fn must_reject() {
        let value = r#"{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;
        let page = |key: &str| format!(r#"{{"version":1,"entries":{{"{key}":{value}}}}}"#);
        let check = |text: &str| Catalog::parse(text.as_bytes()).expect_err(text);
        assert!(Catalog::parse(page("a/b").as_bytes()).is_ok());
        for text in ["", "{}", "[]", r#"{"version":1}"#, r#"{"version":1,"entries":{},"x":1}"#] {
            assert!(matches!(check(text), CatalogError::Json(_)), "{text}");
        }
        let twice = format!(r#"{{"version":1,"entries":{{"a":{value},"a":{value}}}}}"#);
        assert!(matches!(check(&twice), CatalogError::Json(_)));
        let newer = page("a").replace(r#""version":1"#, r#""version":2"#);
        assert!(matches!(check(&newer), CatalogError::NewerVersion { found: 2 }));
        for key in ["", "/", "a//b", "a/", "/a", "a\\u0000", "a\\nb", &"k".repeat(513)] {
            assert!(matches!(check(&page(key)), CatalogError::Key { .. }), "{key}");
        }
    }
}
