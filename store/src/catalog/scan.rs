//! Scans: the entries of a tree whose keys start with a prefix, in order.
//!
//! Leaves are read ahead, more of them the further the scan gets, so that one that ends early has read
//! little. An error is told behind all entries in front of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec::IntoIter;

use bonded_model::Descriptor;

use super::ahead::{self, Place, READ_COUNT_MAX};
use super::key::{self, Key, PackedKey};
use super::page::Value;
use super::to_descriptor;
use super::tree::{Node, Tree};
use crate::error::StoreError;

/// Pages below a page, about.
const FAN_OUT: usize = 16;

/// The entries of a tree whose keys start with a prefix.
pub(super) struct Scan<'a> {
    tree: &'a Tree,
    range: Range<'a>,
    /// What is read next, for each level below which it stands, the leaves first. What stands further up
    /// comes later.
    ahead: Vec<VecDeque<Place>>,
    /// How many leaves are read next.
    leaf_count: usize,
    /// The leaf that the scan is in, and the position of its next entry. Entries are made as they are asked
    /// for, while they are in the processor's cache, which is worth more than making them in parallel.
    leaf: Option<(Node, usize)>,
    leaves: IntoIter<Node>,
    /// What comes behind everything else.
    failed: Option<StoreError>,
}

/// The keys that start with a prefix.
struct Range<'a> {
    prefix: &'a str,
    first: PackedKey,
}

impl<'a> Scan<'a> {
    pub(super) fn new(tree: &'a Tree, prefix: &'a str) -> Self {
        let range = Range { prefix, first: PackedKey::of(prefix) };
        let levels = usize::from(tree.root.page.level());
        let mut scan = Self {
            tree,
            range,
            ahead: vec![VecDeque::new(); levels],
            leaf_count: 1,
            leaf: None,
            leaves: Vec::new().into_iter(),
            failed: None,
        };
        match levels.checked_sub(1) {
            Some(below) => scan.stand_before(below, tree.root.clone()),
            None => scan.leaves = vec![tree.root.clone()].into_iter(),
        }
        scan
    }

    /// Puts those pages below a page, which are of a level, in front of what is read next.
    fn stand_before(&mut self, level: usize, node: Node) {
        let Some(ahead) = self.ahead.get_mut(level) else { return };
        let node = Arc::new(node);
        let places = self.range.places(&node).map(|at| Place { node: node.clone(), at });
        ahead.extend(places);
    }

    /// Forgets everything that would come next.
    fn end(&mut self) {
        self.leaf = None;
        self.leaves = Vec::new().into_iter();
        self.ahead.clear();
        self.failed = None;
    }

    /// Reads the next pages. Says whether there were any.
    fn read_on(&mut self) -> bool {
        let mut levels = self.ahead.iter_mut().enumerate();
        let Some((level, next)) = levels.find(|(_, places)| !places.is_empty()) else {
            return false;
        };
        let count = match level {
            0 => self.leaf_count,
            _ => self.leaf_count.div_ceil(FAN_OUT),
        };
        let places: Vec<_> = next.drain(..count.min(next.len())).collect();
        let pages = &self.tree.pages;
        let (nodes, failed) = ahead::each(places, |place| place.below(pages));
        let nodes = nodes.into_iter().flatten();
        match level.checked_sub(1) {
            None => {
                self.leaf_count = (2 * self.leaf_count).min(READ_COUNT_MAX);
                self.leaves = nodes.collect::<Vec<_>>().into_iter();
            }
            Some(below) => nodes.for_each(|node| self.stand_before(below, node)),
        }
        if failed.is_some() {
            self.failed = failed;
            self.ahead.iter_mut().skip(level).for_each(VecDeque::clear);
        }
        true
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Key, Descriptor), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((leaf, at)) = &mut self.leaf
                && let Some(value) = leaf.page.value(*at)
            {
                let entry = entry(leaf, *at, value);
                *at += 1;
                match &entry {
                    Ok((key, _)) if key.as_str().starts_with(self.range.prefix) => {
                        return Some(entry);
                    }
                    Ok(_behind_the_range) => self.end(),
                    Err(_) => {
                        self.end();
                        return Some(entry);
                    }
                }
            }
            self.leaf = self.leaves.next().map(|leaf| {
                let at = leaf.page.position(self.range.first.as_bytes());
                (leaf, at)
            });
            if self.leaf.is_none() && !self.read_on() {
                return self.failed.take().map(Err);
            }
        }
    }
}

/// The entry of a leaf at a position.
fn entry(leaf: &Node, at: usize, value: &Value) -> Result<(Key, Descriptor), StoreError> {
    let malformed = |source| StoreError::Catalog { page: leaf.digest, source };
    let key = key::to_key(leaf.page.key(at)).map_err(malformed)?;
    Ok((key, to_descriptor(value)))
}

impl Range<'_> {
    /// Where in a page there can be keys of the range.
    fn places(&self, node: &Node) -> impl Iterator<Item = usize> {
        let all = node.page.position(self.first.as_bytes())..node.page.len();
        all.take_while(|at| !node.key_before(*at).is_some_and(|key| self.is_before(key)))
    }

    /// Whether the range has ended before a key, or at it.
    fn is_before(&self, key: &[u8]) -> bool {
        !self.prefix.is_empty()
            && key::order(self.first.as_bytes(), key).is_lt()
            && !key::unpack(key).starts_with(self.prefix.as_bytes())
    }
}
