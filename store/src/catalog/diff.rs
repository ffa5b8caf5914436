//! The difference of two trees, which costs the pages that only one of them has.
//!
//! ```text
//!   level 2    pages of either tree, in order ─▶ what they list, merged: what is on both sides is left out
//!                    ┌─────────────── pages below that are on one side ───────────────┘
//!   level 1          └▶ the same ─▶ …
//!   level 0               leaves ─▶ entries, merged: what is not left out is the difference
//! ```
//!
//! A page that both trees have adds the same entries to both sides, so it makes no difference whether it is
//! left out of both or read for both. Each level reads some pages ahead, those of both sides at once, and asks
//! the level above for more when it has none: what is held at one time has a bound for each level.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use super::ahead::{self, Place, READ_COUNT_MAX};
use super::key;
use super::page::Value;
use super::pages::Pages;
use super::tree::{Node, Tree};
use crate::error::StoreError;

/// So many pages that were found on one side may wait to be read, while the other side is short of any. Tests
/// let fewer wait, since their trees are small.
pub(super) const WAITING_COUNT_MAX: usize =
    if cfg!(test) { READ_COUNT_MAX } else { 16 * READ_COUNT_MAX };

/// A packed key with what each tree points it to.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) key: Vec<u8>,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// What has to change in one tree to get another, in the order of the keys. An error is the last item; pages
/// are read ahead, so it may come in place of differences that stand in front of it.
pub(super) struct Differences<'a> {
    /// The leaves; nothing after an error.
    leaves: Option<Level<'a>>,
}

impl<'a> Differences<'a> {
    /// Reads nothing yet.
    pub(super) fn new(before: &'a Tree, after: &'a Tree) -> Self {
        if before.root.digest == after.root.digest {
            return Self { leaves: None };
        }
        let top = before.root.page.level().max(after.root.page.level());
        let leaves = (0..=top).rev().fold(None, |above: Option<Level<'a>>, level| {
            let [old, new] = [before, after].map(|tree| Side::with_root(tree, level));
            Some(Level { above: above.map(Box::new), old, new })
        });
        Self { leaves }
    }

    fn read_next(&mut self) -> Result<Option<Difference>, StoreError> {
        let Some(leaves) = &mut self.leaves else { return Ok(None) };
        let Some(OneSided { old, new }) = leaves.next(None)? else { return Ok(None) };
        let key = old.as_ref().or(new.as_ref()).map(|place| place.key().to_vec());
        let [before, after] = [old, new].map(|place| place?.value().cloned());
        Ok(key.map(|key| Difference { key, before, after }))
    }
}

#[cfg(test)]
impl Differences<'_> {
    /// How many pages wait to be read on the level where most do.
    pub(super) fn waiting_count(&self) -> usize {
        let levels = std::iter::successors(self.leaves.as_ref(), |level| level.above.as_deref());
        levels.map(|level| level.old.waiting.len() + level.new.waiting.len()).max().unwrap_or(0)
    }
}

impl Iterator for Differences<'_> {
    type Item = Result<Difference, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next();
        if next.is_err() {
            self.leaves = None;
        }
        next.transpose()
    }
}

/// One of the two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Old,
    New,
}

/// One level of both trees, but for what is left out.
struct Level<'a> {
    /// Where further pages are listed; nothing when there are no more.
    above: Option<Box<Level<'a>>>,
    old: Side<'a>,
    new: Side<'a>,
}

/// What one key stands for in one tree only, or differently in both.
struct OneSided {
    old: Option<Place>,
    new: Option<Place>,
}

impl<'a> Level<'a> {
    /// The next thing that is not the same on both sides: the one with the first key, but of the tree that is
    /// wanted, as long as that has any.
    fn next(&mut self, wanted: Option<Which>) -> Result<Option<OneSided>, StoreError> {
        loop {
            self.fill()?;
            let order = match (self.old.listed.front(), self.new.listed.front()) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => match (key::order(old.key(), new.key()), wanted) {
                    (Ordering::Equal, _) if old.points_to_the_same(new) => {
                        self.old.pass();
                        self.new.pass();
                        continue;
                    }
                    (Ordering::Less, Some(Which::New)) => Ordering::Greater,
                    (Ordering::Greater, Some(Which::Old)) => Ordering::Less,
                    (order, _) => order,
                },
            };
            let old = order.is_le().then(|| self.old.take()).flatten();
            let new = order.is_ge().then(|| self.new.take()).flatten();
            return Ok(Some(OneSided { old, new }));
        }
    }

    /// Sees to it that each side lists something, unless there is no more.
    fn fill(&mut self) -> Result<(), StoreError> {
        for which in [Which::Old, Which::New] {
            if self.side(which).listed.is_empty() {
                self.gather(which)?;
                if !self.side(which).waiting.is_empty() {
                    self.read()?;
                }
            }
        }
        Ok(())
    }

    /// Asks the level above for pages that are worth reading at once, and for one of this tree in any case.
    fn gather(&mut self, which: Which) -> Result<(), StoreError> {
        while let Some(mut above) = self.above.take() {
            let waiting = self.old.waiting.len() + self.new.waiting.len();
            let has_some = !self.side(which).waiting.is_empty();
            if waiting >= READ_COUNT_MAX && (has_some || above.is_over(which)?) {
                self.above = Some(above);
                break;
            }
            let wanted = (waiting >= WAITING_COUNT_MAX).then_some(which);
            if let Some(OneSided { old, new }) = above.next(wanted)? {
                self.old.waiting.extend(old);
                self.new.waiting.extend(new);
                self.above = Some(above);
            }
        }
        Ok(())
    }

    /// Whether no more comes of a tree.
    fn is_over(&mut self, which: Which) -> Result<bool, StoreError> {
        self.fill()?;
        Ok(self.side(which).listed.is_empty())
    }

    /// Reads pages of both trees.
    fn read(&mut self) -> Result<(), StoreError> {
        let [old, new] = [&mut self.old, &mut self.new].map(Side::next_places);
        let old = old.into_iter().map(|place| (Which::Old, place));
        let places = old.chain(new.into_iter().map(|place| (Which::New, place))).collect();
        let pages = [self.old.pages, self.new.pages];
        let below = |(which, place): (Which, Place)| {
            let [old, new] = pages;
            let pages = if which == Which::Old { old } else { new };
            Ok((which, place.below(pages)?))
        };
        let (nodes, failed) = ahead::each(places, below);
        for (which, node) in nodes {
            self.side(which).list(node);
        }
        failed.map_or(Ok(()), Err)
    }

    fn side(&mut self, which: Which) -> &mut Side<'a> {
        match which {
            Which::Old => &mut self.old,
            Which::New => &mut self.new,
        }
    }
}

/// One level of one tree.
struct Side<'a> {
    pages: &'a Pages,
    /// Where pages are listed that are to be read.
    waiting: VecDeque<Place>,
    /// Pages that were read, each with the position of what it lists next.
    listed: VecDeque<Place>,
}

impl<'a> Side<'a> {
    /// A side with nothing but the root, if that is of this level.
    fn with_root(tree: &'a Tree, level: u8) -> Self {
        let (waiting, listed) = (VecDeque::new(), VecDeque::new());
        let mut side = Self { pages: &tree.pages, waiting, listed };
        side.list((tree.root.page.level() == level).then(|| tree.root.clone()));
        side
    }

    /// Adds a page that was read, but for an empty one.
    fn list(&mut self, node: Option<Node>) {
        let node = node.filter(|node| node.page.len() > 0);
        self.listed.extend(node.map(|node| Place { node: Arc::new(node), at: 0 }));
    }

    /// What is read next, as much as may be held beside what is listed.
    fn next_places(&mut self) -> Vec<Place> {
        let free = READ_COUNT_MAX.saturating_sub(self.listed.len());
        self.waiting.drain(..free.min(self.waiting.len())).collect()
    }

    /// Goes past what is listed first, and returns it.
    fn take(&mut self) -> Option<Place> {
        let first = self.listed.front().cloned();
        self.pass();
        first
    }

    fn pass(&mut self) {
        let Some(first) = self.listed.front_mut() else { return };
        first.at += 1;
        if first.at >= first.node.page.len() {
            self.listed.pop_front();
        }
    }
}
