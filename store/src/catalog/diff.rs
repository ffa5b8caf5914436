//! The difference of two trees: two walks side by side that leave out every page both have.

use std::cmp::Ordering;

use super::key;
use super::page::{Child, Value};
use super::pages::Pages;
use super::tree::{Node, Tree};
use crate::error::StoreError;

/// A packed key with what each tree points it to.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) key: Vec<u8>,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

impl Difference {
    fn new(key: &[u8], before: Option<&Value>, after: Option<&Value>) -> Self {
        Self { key: key.to_vec(), before: before.cloned(), after: after.cloned() }
    }
}

/// What has to change in `before` to get `after`, in the order of the keys.
pub(super) fn diff(before: &Tree, after: &Tree) -> Result<Vec<Difference>, StoreError> {
    let mut found = Vec::new();
    if before.root.digest == after.root.digest {
        return Ok(found);
    }
    let (mut old, mut new) = (Walk::begin(before), Walk::begin(after));
    loop {
        let (old_goes, new_goes) = match compare(old.next(), new.next(), &mut found) {
            Some(goes) => goes,
            None => return Ok(found),
        };
        old.go(old_goes)?;
        new.go(new_goes)?;
    }
}

/// What a walk does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    Stay,
    /// Past the page or entry that it stands before.
    Past,
    /// Into the page that it stands before.
    Into,
}

/// Compares what two walks stand before, and says how each goes on; nothing at the end of both.
fn compare(
    old: Option<Next<'_>>,
    new: Option<Next<'_>>,
    found: &mut Vec<Difference>,
) -> Option<(Go, Go)> {
    let go = match (old, new) {
        (None, None) => return None,
        (Some(Next::Page(_, a)), Some(Next::Page(_, b))) if a == b => (Go::Past, Go::Past),
        // The higher page first; side by side where they are level.
        (Some(Next::Page(a, _)), Some(Next::Page(b, _))) => match a.cmp(&b) {
            Ordering::Less => (Go::Stay, Go::Into),
            Ordering::Equal => (Go::Into, Go::Into),
            Ordering::Greater => (Go::Into, Go::Stay),
        },
        (Some(Next::Page(..)), _) => (Go::Into, Go::Stay),
        (_, Some(Next::Page(..))) => (Go::Stay, Go::Into),
        (Some(Next::Entry(a, before)), Some(Next::Entry(b, after))) => match key::order(a, b) {
            Ordering::Less => gone(a, before, found),
            Ordering::Greater => come(b, after, found),
            Ordering::Equal => {
                if before != after {
                    found.push(Difference::new(a, Some(before), Some(after)));
                }
                (Go::Past, Go::Past)
            }
        },
        (Some(Next::Entry(key, before)), None) => gone(key, before, found),
        (None, Some(Next::Entry(key, after))) => come(key, after, found),
    };
    Some(go)
}

fn gone(key: &[u8], before: &Value, found: &mut Vec<Difference>) -> (Go, Go) {
    found.push(Difference::new(key, Some(before), None));
    (Go::Past, Go::Stay)
}

fn come(key: &[u8], after: &Value, found: &mut Vec<Difference>) -> (Go, Go) {
    found.push(Difference::new(key, None, Some(after)));
    (Go::Stay, Go::Past)
}

/// What a walk stands before: a page at some level, or an entry of a leaf.
enum Next<'a> {
    Page(u8, Child),
    Entry(&'a [u8], &'a Value),
}

/// A walk over a tree.
struct Walk<'a> {
    pages: &'a Pages,
    /// From the top down. The position in a page above is that of the page below.
    path: Vec<(Node, usize)>,
}

impl<'a> Walk<'a> {
    fn begin(tree: &'a Tree) -> Self {
        let mut walk = Self { pages: &tree.pages, path: vec![(tree.root.clone(), 0)] };
        walk.leave();
        walk
    }

    fn next(&self) -> Option<Next<'_>> {
        let (node, at) = self.path.last()?;
        match node.page.child(*at) {
            Some(child) => Some(Next::Page(node.page.level().saturating_sub(1), child)),
            None => Some(Next::Entry(node.page.key(*at), node.page.value(*at)?)),
        }
    }

    fn go(&mut self, go: Go) -> Result<(), StoreError> {
        match (go, self.path.last_mut()) {
            (Go::Stay, _) | (_, None) => {}
            (Go::Past, Some((_, at))) => {
                *at += 1;
                self.leave();
            }
            (Go::Into, Some((node, at))) => {
                let below = node.below(self.pages, *at)?;
                self.path.extend(below.map(|below| (below, 0)));
            }
        }
        Ok(())
    }

    /// Leaves the pages whose end it has reached.
    fn leave(&mut self) {
        while self.path.last().is_some_and(|(node, at)| *at >= node.page.len()) {
            self.path.pop();
            if let Some((_, at)) = self.path.last_mut() {
                *at += 1;
            }
        }
    }
}
