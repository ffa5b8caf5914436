//! The catalog: an ordered map from key to descriptor, stored as immutable pages in the blob pool.
//!
//! ```text
//!                      root page                     last key, digest and number of entries
//!                    /     |     \                   of each page below
//!                page     page    page
//!               / | \     / | \    …
//!           leaf leaf …                              keys and descriptors, in order
//! ```
//!
//! It is a search tree whose pages end where the hash of a key says so. The root digest depends on the
//! content alone, not on the order of insertion or on earlier content; a change rewrites the pages on
//! its paths; the difference of two catalogs is found in the pages that only one of them has.
//!
//! A [`Catalog`] is a base that is stored, and changes beside it in memory that are applied when it is
//! sealed, all at once. What keys there are stands in `key`, the form of a page in `page`.

mod ahead;
mod apply;
mod diff;
mod error;
mod fingerprint;
mod key;
mod page;
mod pages;
mod rest;
mod scan;
#[cfg(test)]
mod tests;
mod tree;
mod wire;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use bonded_model::{Descriptor, Digest};

pub use error::CatalogError;
pub use key::Key;
pub(crate) use pages::Pages;

use apply::{Applied, Edit};
use diff::{Difference, Differences};
use fingerprint::Fingerprint;
use key::PackedKey;
use page::{Page, PointsTo, Value};
use rest::{Rest, Rests};
use scan::Scan;
use tree::{Cursor, Tree, raw};

use crate::error::StoreError;

/// An ordered map from key to descriptor; cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    base: Tree,
    /// Where the map differs from its base, and nothing else: `None` is a key that is gone.
    changes: Arc<BTreeMap<Key, Option<Descriptor>>>,
    len: u64,
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

/// What has to be stored before a catalog can be read from its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// The digest of the root page.
    pub(crate) root: Digest,
    /// Every page that the base does not have.
    pub(crate) pages: Vec<Vec<u8>>,
}

/// What one page refers to.
#[derive(Debug)]
pub(crate) struct PageReferences {
    /// The pages below it.
    pub(crate) pages: Vec<Digest>,
    /// What its entries point to.
    pub(crate) entries: Vec<Descriptor>,
}

impl PageReferences {
    /// Reads them out of a page by itself; how it stands to others is not looked at.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, CatalogError> {
        let page = Page::decode(bytes, &Rests::default())?;
        let below = (0..page.len()).filter_map(|at| page.child(at));
        let pages = below.map(|child| Digest::from_sha256(child.digest)).collect();
        let values = (0..page.len()).filter_map(|at| page.value(at));
        Ok(Self { pages, entries: values.map(to_descriptor).collect() })
    }
}

impl Catalog {
    /// The one page of a catalog without entries.
    pub(crate) fn empty_page() -> Vec<u8> {
        page::encode(0, &[])
    }

    /// Reads a catalog from its root page; the others are read when they are needed.
    pub(crate) fn open(pages: &Pages, root: Digest) -> Result<Self, StoreError> {
        let base = Tree::open(pages.clone(), root)?;
        let len = base.root.page.count();
        Ok(Self { base, changes: Arc::default(), len })
    }

    /// Its root digest, and the pages that have to be stored for it.
    pub(crate) fn seal(&self) -> Result<Sealed, StoreError> {
        if self.changes.is_empty() {
            return Ok(Sealed { root: self.base.root.digest, pages: Vec::new() });
        }
        let mut made = Vec::new();
        let edits = self.changes.iter().map(|(key, value)| {
            let points_to =
                value.as_ref().map(|value| to_value(key, value, &mut made)).transpose()?;
            let key = PackedKey::of(key.as_str());
            Ok(Edit { key, points_to: points_to.map(PointsTo::Value) })
        });
        let edits: Vec<_> = edits.collect::<Result<_, StoreError>>()?;
        let Applied { root, pages } = apply::apply(&self.base, edits)?;
        Ok(Sealed { root, pages: pages.into_values().collect() })
    }

    /// Whether it differs from the catalog that was opened.
    pub(crate) fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether an entry whose key starts with `prefix` differs from the catalog that was opened.
    pub(crate) fn is_changed_at(&self, prefix: &str) -> bool {
        let mut from = self.changes.range(Key::from_prefix(prefix)..);
        from.next().is_some_and(|(key, _)| key.as_str().starts_with(prefix))
    }

    /// A digest over all entries of the base whose keys start with one of some prefixes, which are whole
    /// components and no digests. Two that are equal stand for equal entries; two that differ may. Reads
    /// the pages at both ends of each range, however long it is.
    pub(crate) fn fingerprint(&self, prefixes: &[&str]) -> Result<Digest, StoreError> {
        let mut print = Fingerprint::new(&self.base.pages);
        for prefix in prefixes {
            print.add(&self.base.root, prefix)?;
        }
        Ok(print.finish())
    }

    /// The fingerprint of no entries.
    pub(crate) fn fingerprint_of_nothing() -> Digest {
        Digest::sha256_of(b"")
    }

    /// Reads every page of the base at its place, and compares each with what the one above promises.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let mut cursor = Cursor::seek(&self.base, 0, &PackedKey::of(""))?;
        let mut count = 0;
        while let Some(leaf) = cursor.node() {
            count += leaf.page.count();
            cursor.next_page()?;
        }
        match count == self.base.root.page.count() {
            true => Ok(()),
            false => Err(self.malformed(CatalogError::Promise)),
        }
    }

    /// What a key points to.
    ///
    /// # Errors
    /// [`StoreError`] if a page on the way cannot be read.
    pub fn get(&self, key: &Key) -> Result<Option<Descriptor>, StoreError> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.get_from_base(key),
        }
    }

    fn get_from_base(&self, key: &Key) -> Result<Option<Descriptor>, StoreError> {
        Ok(self.base.get(&PackedKey::of(key.as_str()))?.as_ref().map(to_descriptor))
    }

    /// Every entry whose key starts with `prefix`, in the order of the keys. Pages are read as the iteration
    /// gets there, and some ahead of it by several threads, the more of them the longer it goes on. An item is
    /// an error if a page on the way cannot be read; it is the last.
    pub fn scan<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = Result<(Key, Descriptor), StoreError>> + 'a {
        let changes = self.changes.range(Key::from_prefix(prefix)..);
        let changes = changes.take_while(move |(key, _)| key.as_str().starts_with(prefix));
        let base = Scan::new(&self.base, prefix).peekable();
        Overlaid { base, changes: changes.peekable(), is_over: false }
    }

    /// Points a key to a descriptor and returns what it pointed to before.
    ///
    /// # Errors
    /// [`StoreError::Entry`] if the descriptor cannot stand in a catalog, or [`StoreError`] if a page
    /// on the way cannot be read.
    pub fn insert(
        &mut self,
        key: Key,
        value: Descriptor,
    ) -> Result<Option<Descriptor>, StoreError> {
        check_value(&key, &value)?;
        self.change(key, Some(value))
    }

    /// Removes a key and returns what it pointed to.
    ///
    /// # Errors
    /// [`StoreError`] if a page on the way cannot be read.
    pub fn remove(&mut self, key: &Key) -> Result<Option<Descriptor>, StoreError> {
        self.change(key.clone(), None)
    }

    fn change(
        &mut self,
        key: Key,
        after: Option<Descriptor>,
    ) -> Result<Option<Descriptor>, StoreError> {
        let in_base = self.get_from_base(&key)?;
        let changes = Arc::make_mut(&mut self.changes);
        let before = changes.get(&key).cloned().unwrap_or_else(|| in_base.clone());
        self.len = self.len - u64::from(before.is_some()) + u64::from(after.is_some());
        match after == in_base {
            true => drop(changes.remove(&key)),
            false => drop(changes.insert(key, after)),
        }
        Ok(before)
    }

    /// What has to change in `before` to get `self`, in the order of the keys, found as the iteration gets
    /// there. Costs what differs, not what there is. An item is an error if a page on the way cannot be read;
    /// it is the last, and may come in place of changes in front of it.
    pub fn diff<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = Result<Change, StoreError>> + 'a {
        let stored = Differences::new(&before.base, &self.base);
        let stored = stored.map(|found| self.to_change(found?));
        let unsaved: BTreeSet<&Key> = self.changes.keys().chain(before.changes.keys()).collect();
        let unsaved = unsaved.into_iter().map(|key| {
            Ok(Change { key: key.clone(), before: before.get(key)?, after: self.get(key)? })
        });
        let (stored, unsaved) = (stored.peekable(), unsaved.peekable());
        Changes { stored, unsaved, is_over: false }
    }

    fn to_change(&self, found: Difference) -> Result<Change, StoreError> {
        let Difference { key, before, after } = found;
        let key = key::to_key(&key).map_err(|source| self.malformed(source))?;
        let [before, after] = [before, after].map(|value| value.as_ref().map(to_descriptor));
        Ok(Change { key, before, after })
    }

    fn malformed(&self, source: CatalogError) -> StoreError {
        StoreError::Catalog { page: self.base.root.digest, source }
    }

    /// How many entries there are. Costs nothing.
    pub fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn to_descriptor(value: &Value) -> Descriptor {
    value.rest.to_descriptor(value.digest, value.size)
}

/// How many rests of descriptors are compared before one is made anew.
const MADE_COUNT_MAX: usize = 16;

/// That a descriptor can stand in a catalog.
fn check_value(key: &Key, descriptor: &Descriptor) -> Result<(), StoreError> {
    let refused = |source| StoreError::Entry { key: key.clone(), source };
    if descriptor.digest.algorithm() != bonded_model::Algorithm::Sha256 {
        return Err(refused(CatalogError::NotSha256));
    }
    Rest::check_length(descriptor).map_err(refused)
}

/// A descriptor as pages hold it. Most of those that come together have the same rest, so it is made once.
fn to_value(
    key: &Key,
    descriptor: &Descriptor,
    made: &mut Vec<Arc<Rest>>,
) -> Result<Value, StoreError> {
    let (digest, size) = (raw(&descriptor.digest), descriptor.size);
    if let Some(rest) = made.iter().find(|rest| rest.is_of(descriptor)) {
        return Ok(Value { digest, size, rest: rest.clone() });
    }
    let refused = |source| StoreError::Entry { key: key.clone(), source };
    let rest = Arc::new(Rest::of(descriptor).map_err(refused)?);
    if made.len() < MADE_COUNT_MAX {
        made.push(rest.clone());
    }
    Ok(Value { digest, size, rest })
}

/// A base with changes beside it, as one ordered row.
struct Overlaid<A: Iterator, B: Iterator> {
    base: Peekable<A>,
    changes: Peekable<B>,
    /// After an error nothing is told any more: there may be a gap.
    is_over: bool,
}

impl<'a, A, B> Iterator for Overlaid<A, B>
where
    A: Iterator<Item = Result<(Key, Descriptor), StoreError>>,
    B: Iterator<Item = (&'a Key, &'a Option<Descriptor>)>,
{
    type Item = Result<(Key, Descriptor), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let Some((changed, _)) = self.changes.peek() else { return self.base.next() };
            match self.base.peek() {
                Some(Err(_)) => {
                    self.is_over = true;
                    return self.base.next();
                }
                Some(Ok((key, _))) if key < *changed => return self.base.next(),
                Some(Ok((key, _))) if key == *changed => drop(self.base.next()),
                Some(Ok(_)) | None => {}
            }
            let (key, value) = self.changes.next()?;
            if let Some(value) = value {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
        None
    }
}

/// The differences of two bases, but where there are changes beside them: those count.
struct Changes<A: Iterator, B: Iterator> {
    stored: Peekable<A>,
    /// Every key with a change beside a base, also where that makes no difference.
    unsaved: Peekable<B>,
    is_over: bool,
}

impl<A, B> Changes<A, B>
where
    A: Iterator<Item = Result<Change, StoreError>>,
    B: Iterator<Item = Result<Change, StoreError>>,
{
    fn merge_next(&mut self) -> Option<Result<Change, StoreError>> {
        let Some(unsaved) = self.unsaved.peek() else { return self.stored.next() };
        let order = match (self.stored.peek(), unsaved) {
            (None, _) | (_, Err(_)) => Ordering::Greater,
            (Some(Err(_)), _) => Ordering::Less,
            (Some(Ok(stored)), Ok(unsaved)) => stored.key.cmp(&unsaved.key),
        };
        match order {
            Ordering::Less => return self.stored.next(),
            Ordering::Equal => drop(self.stored.next()),
            Ordering::Greater => {}
        }
        self.unsaved.next()
    }
}

impl<A, B> Iterator for Changes<A, B>
where
    A: Iterator<Item = Result<Change, StoreError>>,
    B: Iterator<Item = Result<Change, StoreError>>,
{
    type Item = Result<Change, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let next = self.merge_next()?;
            self.is_over = next.is_err();
            if !next.as_ref().is_ok_and(|change| change.before == change.after) {
                return Some(next);
            }
        }
        None
    }
}
