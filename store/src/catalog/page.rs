//! Pages: the parts of the catalog that are stored, each as one blob.
//!
//! ```text
//! "bcat"  version (1)  level (0 in a leaf)  number of entries
//!   then for each entry of a leaf
//!     shared   how many bytes its packed key shares with the key before
//!     length   of the rest of its packed key, and these bytes
//!     form     2 × n, plus 1 where a digest follows that is not the one the key ends with;
//!              n = 0: a new rest of a descriptor follows, its length and its bytes
//!              n > 0: the n-th rest in this page, counted from 1
//!     digest   32 bytes, if the form says so
//!     size     of the content
//!   or for each entry of a page above
//!     shared, length, bytes   the last key of the page below, in the same way
//!     digest   of that page, 32 bytes
//!     count    of the entries of leaves below it
//! ```
//!
//! Numbers are LEB128 in the shortest form, version and level one byte each. A page ends after a key of
//! high enough rank, or when it is full; so where pages end depends on the keys alone. Content has
//! exactly one encoding, and [`Page::decode`] refuses every other. `docs/store-format.md` has it all.

use std::sync::Arc;

use super::CatalogError;
use super::key::{self, PackedKey};
pub(super) use super::rest::REST_BYTES_MAX;
use super::rest::{Rest, Rests};
use super::wire::{Reader, put_number};

/// The version of the page format that this program writes and reads.
pub(super) const PAGE_VERSION: u8 = 1;

const MAGIC: &[u8; 4] = b"bcat";

/// A key of this rank ends a leaf: one in 32.
const LEAF_RANK: u32 = 5;

/// So much more rank ends a page one level up: one page below in 16.
const LEVEL_RANK: u32 = 4;

/// A page that no key has ended ends after so many entries, whatever their rank: keys can be chosen by
/// people. Chance alone makes one leaf in 3,000 as long as this.
pub(super) const ENTRY_COUNT_MAX: usize = 256;

/// More than chance or effort can make: at level 15 no rank ends a page any more.
pub(super) const LEVEL_MAX: u8 = 24;

/// What a leaf's entry points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) digest: [u8; 32],
    pub(super) size: u64,
    pub(super) rest: Arc<Rest>,
}

/// What an entry above the leaves points to: a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) digest: [u8; 32],
    /// Entries of leaves below it.
    pub(super) count: u64,
}

/// The entries' right-hand sides.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    Leaf(Vec<Value>),
    Interior(Vec<Child>),
}

/// One entry on its way into a page.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) key: PackedKey,
    pub(super) points_to: PointsTo,
}

/// The right-hand side of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PointsTo {
    Value(Value),
    Child(Child),
}

/// A page that was read and checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    level: u8,
    /// The packed keys, one after the other, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    body: Body,
}

/// Whether a key ends a page at this level, however many entries the page has.
pub(super) fn ends_page(level: u8, key: &[u8]) -> bool {
    key::rank(key) >= LEAF_RANK + LEVEL_RANK * u32::from(level)
}

impl Page {
    /// Reads a page and checks all that can be told from the page alone.
    pub(super) fn decode(bytes: &[u8], rests: &Rests) -> Result<Self, CatalogError> {
        let mut reader = Reader::new(bytes);
        if reader.bytes(4).ok() != Some(MAGIC) {
            return Err(CatalogError::NotAPage);
        }
        match reader.byte()? {
            PAGE_VERSION => {}
            found => return Err(CatalogError::Version { found }),
        }
        let level = reader.byte()?;
        if level > LEVEL_MAX {
            return Err(CatalogError::Level { found: level });
        }
        let found = reader.number()?;
        let count = usize::try_from(found).ok().filter(|count| *count <= ENTRY_COUNT_MAX);
        let count = count.filter(|count| level == 0 || *count > 0);
        let count = count.ok_or(CatalogError::EntryCount { found })?;
        let page = Decoder { reader, rests, in_page: Vec::new() }.page(level, count)?;
        page.check_end_before_last()?;
        Ok(page)
    }

    fn check_end_before_last(&self) -> Result<(), CatalogError> {
        let before_last = (0..self.len().saturating_sub(1)).map(|index| self.key(index));
        match before_last.into_iter().any(|key| ends_page(self.level, key)) {
            true => Err(CatalogError::EndsLate),
            false => Ok(()),
        }
    }

    /// Whether a page may end here although others follow.
    pub(super) fn ends_well(&self) -> bool {
        self.len() == ENTRY_COUNT_MAX
            || self.last_key().is_some_and(|key| ends_page(self.level, key))
    }

    pub(super) fn level(&self) -> u8 {
        self.level
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The packed key at a position; empty beyond the end.
    pub(super) fn key(&self, index: usize) -> &[u8] {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied(),
            None => Some(0),
        };
        let range = start.zip(self.ends.get(index).copied());
        range.and_then(|(start, end)| self.keys.get(start..end)).unwrap_or_default()
    }

    pub(super) fn last_key(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).map(|last| self.key(last))
    }

    pub(super) fn first_key(&self) -> Option<&[u8]> {
        (self.len() > 0).then(|| self.key(0))
    }

    /// What a leaf's entry points to; nothing in a page above.
    pub(super) fn value(&self, index: usize) -> Option<&Value> {
        match &self.body {
            Body::Leaf(values) => values.get(index),
            Body::Interior(_) => None,
        }
    }

    /// The page below at a position; none in a leaf.
    pub(super) fn child(&self, index: usize) -> Option<Child> {
        match &self.body {
            Body::Leaf(_) => None,
            Body::Interior(children) => children.get(index).copied(),
        }
    }

    /// The digests of all pages below.
    pub(super) fn children(&self) -> &[Child] {
        match &self.body {
            Body::Leaf(_) => &[],
            Body::Interior(children) => children,
        }
    }

    /// How many entries of leaves are in it or below it.
    pub(super) fn count(&self) -> u64 {
        match &self.body {
            Body::Leaf(values) => values.len().try_into().unwrap_or(u64::MAX),
            Body::Interior(children) => {
                children.iter().fold(0, |sum, child| sum.saturating_add(child.count))
            }
        }
    }

    /// The first position whose key is not before `key`.
    pub(super) fn position(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match key::order(self.key(middle), key).is_lt() {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// The entries, to be put into new pages.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> + '_ {
        (0..self.len()).filter_map(|index| {
            let points_to = match &self.body {
                Body::Leaf(values) => PointsTo::Value(values.get(index)?.clone()),
                Body::Interior(children) => PointsTo::Child(*children.get(index)?),
            };
            Some(Item { key: PackedKey::from_page(self.key(index)), points_to })
        })
    }

    /// About how many bytes of memory it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let entry = match &self.body {
            Body::Leaf(_) => size_of::<Value>(),
            Body::Interior(_) => size_of::<Child>(),
        };
        size_of::<Self>() + self.keys.capacity() + self.len() * (entry + size_of::<usize>())
    }
}

/// The bytes of a page. The items are ordered, and all of one kind.
pub(super) fn encode(level: u8, items: &[Item]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([PAGE_VERSION, level]);
    put_number(&mut bytes, items.len());
    let mut before: &[u8] = &[];
    let mut in_page = Vec::new();
    for item in items {
        let key = item.key.as_bytes();
        let shared = shared_bytes(before, key);
        let (_, new) = key.split_at_checked(shared).unwrap_or_default();
        put_number(&mut bytes, shared);
        put_number(&mut bytes, new.len());
        bytes.extend_from_slice(new);
        match &item.points_to {
            PointsTo::Value(value) => put_value(&mut bytes, key, value, &mut in_page),
            PointsTo::Child(child) => {
                bytes.extend_from_slice(&child.digest);
                put_number(&mut bytes, child.count);
            }
        }
        before = key;
    }
    bytes
}

fn put_value<'a>(bytes: &mut Vec<u8>, key: &[u8], value: &'a Value, in_page: &mut Vec<&'a Rest>) {
    let rest = &*value.rest;
    // Mostly the very same; comparing texts is for those that were made apart.
    let known = in_page.iter().position(|known| std::ptr::eq(*known, rest) || *known == rest);
    let digest = (key::last_digest(key) != Some(value.digest)).then_some(value.digest);
    let number = known.map_or(0, |position| position + 1);
    put_number(bytes, number * 2 + usize::from(digest.is_some()));
    if known.is_none() {
        put_number(bytes, rest.json().len());
        bytes.extend_from_slice(rest.json());
        in_page.push(rest);
    }
    bytes.extend(digest.iter().flatten());
    put_number(bytes, value.size);
}

fn shared_bytes(before: &[u8], key: &[u8]) -> usize {
    before.iter().zip(key).take_while(|(a, b)| a == b).count()
}

/// A page while it is read.
struct Decoder<'a> {
    reader: Reader<'a>,
    rests: &'a Rests,
    /// The rests that stood in this page so far.
    in_page: Vec<Arc<Rest>>,
}

impl Decoder<'_> {
    fn page(mut self, level: u8, count: usize) -> Result<Page, CatalogError> {
        let (mut keys, mut ends) = (Vec::with_capacity(count * 64), Vec::with_capacity(count));
        let mut body = match level {
            0 => Body::Leaf(Vec::with_capacity(count)),
            _ => Body::Interior(Vec::with_capacity(count)),
        };
        let mut start = 0;
        for _ in 0..count {
            let end = self.key(&mut keys, start)?;
            let key = keys.get(end.start..).unwrap_or_default();
            match &mut body {
                Body::Leaf(values) => values.push(self.value(key)?),
                Body::Interior(children) => children.push(self.child()?),
            }
            start = end.start;
            ends.push(keys.len());
        }
        match self.reader.left() {
            0 => Ok(Page { level, keys, ends, body }),
            bytes => Err(CatalogError::Trailing { bytes }),
        }
    }

    /// Appends the next key to those before; the last of them begins at `start`.
    fn key(
        &mut self,
        keys: &mut Vec<u8>,
        start: usize,
    ) -> Result<std::ops::Range<usize>, CatalogError> {
        let shared = self.reader.length()?;
        let new_bytes = self.reader.length()?;
        let new = self.reader.bytes(new_bytes)?;
        let end = keys.len();
        let before = keys.get(start..end).unwrap_or_default();
        if shared > before.len() || before.get(shared).is_some_and(|b| new.first() == Some(b)) {
            return Err(CatalogError::Shared);
        }
        keys.extend_from_within(start..start + shared);
        keys.extend_from_slice(new);
        let (before, key) = keys.split_at_checked(end).unwrap_or_default();
        let before = before.get(start..).unwrap_or_default();
        key::check(key)?;
        if end > 0 && key::order(before, key).is_ge() {
            return Err(CatalogError::Order);
        }
        Ok(end..keys.len())
    }

    fn value(&mut self, key: &[u8]) -> Result<Value, CatalogError> {
        let form = self.reader.length()?;
        let rest = match (form / 2).checked_sub(1) {
            None => self.new_rest()?,
            Some(position) => self.in_page.get(position).cloned().ok_or(CatalogError::RestForm)?,
        };
        let of_key = key::last_digest(key);
        let digest = match form % 2 {
            0 => of_key.ok_or(CatalogError::DigestForm)?,
            _ => self.reader.digest()?,
        };
        if form % 2 == 1 && of_key == Some(digest) {
            return Err(CatalogError::DigestForm);
        }
        Ok(Value { digest, size: self.reader.number()?, rest })
    }

    fn new_rest(&mut self) -> Result<Arc<Rest>, CatalogError> {
        let length = self.reader.length()?;
        let rest = self.rests.parse(self.reader.bytes(length)?)?;
        if self.in_page.contains(&rest) {
            return Err(CatalogError::RestForm);
        }
        self.in_page.push(rest.clone());
        Ok(rest)
    }

    fn child(&mut self) -> Result<Child, CatalogError> {
        let child = Child { digest: self.reader.digest()?, count: self.reader.number()? };
        match child.count {
            0 => Err(CatalogError::EntryCount { found: 0 }),
            _ => Ok(child),
        }
    }
}
