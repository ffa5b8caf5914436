//! Applying changes to a tree: one pass from the leaves up, which reads and writes pages on the paths
//! to what changes and no others.
//!
//! At each level the pages that cover a change are cut anew, from the beginning of the first of them to
//! the next place where an old page and a new one end together. What that changes in the list of pages
//! is the change of the level above. The result is that of building the tree from nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::iter::Peekable;
use std::sync::Arc;

use bonded_model::Digest;

use super::key::PackedKey;
use super::page::{Child, ENTRY_COUNT_MAX, Item, Page, PointsTo, encode, ends_page};
use super::pages::Pages;
use super::tree::{Cursor, Tree, raw};
use crate::error::StoreError;

/// A key and what it is to point to; nothing, if it is to go.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) key: PackedKey,
    pub(super) points_to: Option<PointsTo>,
}

/// A tree that is not stored yet.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) root: Digest,
    /// The pages that the old tree did not have.
    pub(super) pages: BTreeMap<Digest, Vec<u8>>,
}

/// Applies changes, which are ordered by key, each key once.
pub(super) fn apply(tree: &Tree, changes: Vec<Edit>) -> Result<Applied, StoreError> {
    let mut new = BTreeMap::new();
    let mut edits = changes;
    let top = tree.root.page.level();
    for level in 0..=top {
        edits = apply_at(tree, level, edits, &mut new)?;
    }
    let old_top = tree.root.page.last_key().map(|key| Item {
        key: PackedKey::from_page(key),
        points_to: PointsTo::Child(tree.root.as_child()),
    });
    let mut edits = edits.into_iter().peekable();
    let mut merged = Merged { old: old_top.into_iter().peekable(), edits: &mut edits };
    let mut items: Vec<_> = std::iter::from_fn(|| merged.next_until(None)).collect();
    let mut level = top;
    while items.len() > 1 {
        level += 1;
        items = stack(level, items, &mut new);
    }
    let root = settle(&tree.pages, items.pop(), &mut new)?;
    Ok(Applied { root, pages: new })
}

/// The root: the first page from below that stands alone at its level.
fn settle(
    pages: &Pages,
    top: Option<Item>,
    new: &mut BTreeMap<Digest, Vec<u8>>,
) -> Result<Digest, StoreError> {
    let Some(Item { points_to: PointsTo::Child(child), .. }) = top else {
        let bytes = encode(0, &[]);
        let digest = Digest::sha256_of(&bytes);
        new.insert(digest, bytes);
        return Ok(digest);
    };
    let mut digest = Digest::from_sha256(child.digest);
    loop {
        let page = match new.get(&digest) {
            Some(bytes) => Page::decode(bytes, pages.rests())
                .map(Arc::new)
                .map_err(|source| StoreError::Catalog { page: digest, source })?,
            None => pages.read(&digest)?,
        };
        match page.children() {
            [only] => {
                new.remove(&digest);
                digest = Digest::from_sha256(only.digest);
            }
            _ => return Ok(digest),
        }
    }
}

/// Puts a whole level of pages above some items.
fn stack(level: u8, items: Vec<Item>, new: &mut BTreeMap<Digest, Vec<u8>>) -> Vec<Item> {
    let mut cutter = Cutter::new(level);
    items.into_iter().for_each(|item| cutter.push(item));
    cutter.finish();
    let mut above = Vec::new();
    for cut in cutter.cuts {
        above.push(cut.as_item());
        new.insert(Digest::from_sha256(cut.child.digest), cut.bytes);
    }
    above
}

/// Applies changes to the entries of all pages at one level, and says what changes in the list of
/// these pages.
fn apply_at(
    tree: &Tree,
    level: u8,
    edits: Vec<Edit>,
    new: &mut BTreeMap<Digest, Vec<u8>>,
) -> Result<Vec<Edit>, StoreError> {
    let mut edits = edits.into_iter().peekable();
    let mut above = BTreeMap::new();
    while let Some(first) = edits.peek() {
        let cursor = Cursor::seek(tree, level, &first.key)?;
        let Recut { old, cuts } = cut_anew(cursor, Cutter::new(level), &mut edits)?;
        for (key, child) in old {
            above.insert(key, (Some(child), None));
        }
        for cut in cuts {
            match above.entry(cut.key.clone()) {
                Entry::Occupied(same) if same.get().0 == Some(cut.child) => {
                    same.remove();
                    continue;
                }
                Entry::Occupied(mut other) => other.get_mut().1 = Some(cut.child),
                Entry::Vacant(vacant) => drop(vacant.insert((None, Some(cut.child)))),
            }
            new.insert(Digest::from_sha256(cut.child.digest), cut.bytes);
        }
    }
    let above = above.into_iter();
    Ok(above.map(|(key, (_, after))| Edit { key, points_to: after.map(PointsTo::Child) }).collect())
}

/// A row of pages that was cut anew.
struct Recut {
    /// Those that were there, by their last keys.
    old: Vec<(PackedKey, Child)>,
    /// Those that come in their place.
    cuts: Vec<Cut>,
}

/// Cuts pages anew from the one where the cursor stands to where old and new pages end together.
fn cut_anew(
    mut cursor: Cursor<'_>,
    mut cutter: Cutter,
    edits: &mut Peekable<impl Iterator<Item = Edit>>,
) -> Result<Recut, StoreError> {
    let mut old = Vec::new();
    while let Some(node) = cursor.node() {
        let last = node.page.last_key().map(PackedKey::from_page);
        let until = last.as_ref().filter(|_| !node.is_last);
        let mut merged = Merged { old: node.page.items().peekable(), edits };
        std::iter::from_fn(|| merged.next_until(until)).for_each(|item| cutter.push(item));
        old.extend(last.map(|last| (last, node.as_child())));
        let ends_together = cutter.items.is_empty() && !node.is_last;
        drop(merged);
        if ends_together {
            break;
        }
        cursor.next_page()?;
    }
    cutter.finish();
    Ok(Recut { old, cuts: cutter.cuts })
}

/// The entries of a page with changes applied, in order.
struct Merged<'a, A: Iterator<Item = Item>, B: Iterator<Item = Edit>> {
    old: Peekable<A>,
    edits: &'a mut Peekable<B>,
}

impl<A: Iterator<Item = Item>, B: Iterator<Item = Edit>> Merged<'_, A, B> {
    /// The next entry; changes behind the key `until` are left for later.
    fn next_until(&mut self, until: Option<&PackedKey>) -> Option<Item> {
        loop {
            let is_due = |edit: &Edit| until.is_none_or(|until| edit.key <= *until);
            let next = self.edits.peek().filter(|edit| is_due(edit));
            let old = self.old.peek();
            match (old, next) {
                (_, None) => return self.old.next(),
                (Some(old), Some(edit)) if old.key < edit.key => return self.old.next(),
                (Some(old), Some(edit)) if old.key == edit.key => drop(self.old.next()),
                (_, Some(_)) => {}
            }
            let Edit { key, points_to } = self.edits.next()?;
            if let Some(points_to) = points_to {
                return Some(Item { key, points_to });
            }
        }
    }
}

/// A new page.
struct Cut {
    key: PackedKey,
    child: Child,
    bytes: Vec<u8>,
}

impl Cut {
    fn as_item(&self) -> Item {
        Item { key: self.key.clone(), points_to: PointsTo::Child(self.child) }
    }
}

/// Cuts a row of entries into pages.
struct Cutter {
    level: u8,
    /// What the next page has so far.
    items: Vec<Item>,
    cuts: Vec<Cut>,
}

impl Cutter {
    fn new(level: u8) -> Self {
        Self { level, items: Vec::new(), cuts: Vec::new() }
    }

    fn push(&mut self, item: Item) {
        let ends = ends_page(self.level, item.key.as_bytes());
        self.items.push(item);
        if ends || self.items.len() == ENTRY_COUNT_MAX {
            self.finish();
        }
    }

    /// Ends the page that was begun, if there is one.
    fn finish(&mut self) {
        let Some(last) = self.items.last() else { return };
        let bytes = encode(self.level, &self.items);
        let count = self.items.iter().fold(0_u64, |sum, item| match &item.points_to {
            PointsTo::Value(_) => sum + 1,
            PointsTo::Child(child) => sum.saturating_add(child.count),
        });
        let child = Child { digest: raw(&Digest::sha256_of(&bytes)), count };
        self.cuts.push(Cut { key: last.key.clone(), child, bytes });
        self.items.clear();
    }
}
