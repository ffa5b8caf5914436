//! The tree of pages under one root: reading it from the top, without ever holding more than a path.
//!
//! Every page that is read is compared with what the page above it promises, so a tree that was put
//! together wrongly shows as an error, and never as other content.

use std::sync::Arc;

use bonded_model::Digest;

use super::CatalogError;
use super::key::{self, PackedKey};
use super::page::{Child, Page, Value};
use super::pages::Pages;
use crate::error::StoreError;

/// A page at its place in a tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) digest: Digest,
    pub(super) page: Arc<Page>,
    /// The last key in front of it.
    after: Option<PackedKey>,
    /// Whether no page follows at its level.
    pub(super) is_last: bool,
}

impl Node {
    /// What the page above says about this one.
    pub(super) fn as_child(&self) -> Child {
        Child { digest: raw(&self.digest), count: self.page.count() }
    }

    /// The last key in front of the entry at a position, as far as this page and those above tell.
    pub(super) fn key_before(&self, at: usize) -> Option<&[u8]> {
        match at.checked_sub(1) {
            Some(before) => Some(self.page.key(before)),
            None => self.after.as_ref().map(PackedKey::as_bytes),
        }
    }

    /// The page below at a position, read and checked; `None` beyond the end or in a leaf.
    pub(super) fn below(&self, pages: &Pages, at: usize) -> Result<Option<Self>, StoreError> {
        let Some(child) = self.page.child(at) else { return Ok(None) };
        let digest = Digest::from_sha256(child.digest);
        let after = self.key_before(at).map(PackedKey::from_page);
        let is_last = self.is_last && at + 1 == self.page.len();
        let node = Self { digest, page: pages.read(&digest)?, after, is_last };
        match node.check(&self.page, at, child.count) {
            Ok(()) => Ok(Some(node)),
            Err(source) => Err(StoreError::Catalog { page: digest, source }),
        }
    }

    fn check(&self, above: &Page, at: usize, count: u64) -> Result<(), CatalogError> {
        let page = &self.page;
        let is_promised = above.level().checked_sub(1) == Some(page.level())
            && page.last_key() == Some(above.key(at))
            && page.count() == count;
        if !is_promised {
            return Err(CatalogError::Promise);
        }
        let begins_after = |first: &[u8]| {
            self.after.as_ref().is_none_or(|after| key::order(after.as_bytes(), first).is_lt())
        };
        if !page.first_key().is_some_and(begins_after) {
            return Err(CatalogError::Overlap);
        }
        if !self.is_last && !page.ends_well() {
            return Err(CatalogError::EndsEarly);
        }
        Ok(())
    }
}

/// The 32 bytes of a page's digest.
pub(super) fn raw(digest: &Digest) -> [u8; 32] {
    digest.as_bytes().try_into().expect("pages are named by SHA-256")
}

/// All entries under one root. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) pages: Pages,
    pub(super) root: Node,
}

impl Tree {
    /// Reads the page at the top.
    pub(super) fn open(pages: Pages, digest: Digest) -> Result<Self, StoreError> {
        let page = pages.read(&digest)?;
        if page.level() > 0 && page.len() == 1 {
            let source = CatalogError::NeedlessTop;
            return Err(StoreError::Catalog { page: digest, source });
        }
        Ok(Self { pages, root: Node { digest, page, after: None, is_last: true } })
    }

    /// What a key points to.
    pub(super) fn get(&self, key: &PackedKey) -> Result<Option<Value>, StoreError> {
        let mut node = self.root.clone();
        loop {
            let at = node.page.position(key.as_bytes());
            match node.below(&self.pages, at)? {
                Some(below) => node = below,
                None if node.page.key(at) == key.as_bytes() => {
                    return Ok(node.page.value(at).cloned());
                }
                None => return Ok(None),
            }
        }
    }
}

/// A place in a tree: a page at one level, and a position in it.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pages: &'a Pages,
    level: u8,
    /// From the top down; the position in a page above is that of the page below.
    path: Vec<(Node, usize)>,
}

impl<'a> Cursor<'a> {
    /// The first position at `level` whose key is not before `key`: in the page that covers the key,
    /// which is the last page for a key behind all others.
    pub(super) fn seek(tree: &'a Tree, level: u8, key: &PackedKey) -> Result<Self, StoreError> {
        let mut cursor = Self { pages: &tree.pages, level, path: Vec::new() };
        let mut node = tree.root.clone();
        while node.page.level() > level {
            let at = node.page.position(key.as_bytes()).min(node.page.len().saturating_sub(1));
            let below = node.below(cursor.pages, at)?;
            cursor.path.push((node, at));
            match below {
                Some(below) => node = below,
                None => return Ok(cursor),
            }
        }
        let at = node.page.position(key.as_bytes());
        cursor.path.push((node, at));
        Ok(cursor)
    }

    /// The page that the cursor is in; none behind the last.
    pub(super) fn node(&self) -> Option<&Node> {
        self.path.last().map(|(node, _)| node)
    }

    /// Goes to the beginning of the next page at this level; behind the last there is none.
    pub(super) fn next_page(&mut self) -> Result<(), StoreError> {
        self.path.pop();
        while let Some((node, at)) = self.path.last_mut() {
            *at += 1;
            match node.below(self.pages, *at)? {
                Some(below) => return self.push_first(below),
                None => self.path.pop(),
            };
        }
        Ok(())
    }

    /// Goes down along the first pages.
    fn push_first(&mut self, mut node: Node) -> Result<(), StoreError> {
        while node.page.level() > self.level
            && let Some(below) = node.below(self.pages, 0)?
        {
            self.path.push((node, 0));
            node = below;
        }
        self.path.push((node, 0));
        Ok(())
    }
}
