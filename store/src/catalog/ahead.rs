//! Reading ahead: pages that are needed soon, several at once.
//!
//! A page that is not in memory costs some calls, the hashing of its bytes and keys, and its checks, and none
//! of that depends on another page of the same level. So walks over many pages gather places first and read
//! below all of them with the threads of the process, as many as a bound allows. Results stay in order; with
//! one thread the pages are read in that order as well.

use std::sync::Arc;

use rayon::prelude::*;

use super::page::Value;
use super::pages::Pages;
use super::tree::Node;
use crate::error::StoreError;

/// So many leaves, or entries above them, are read ahead at most: enough that threads are seldom idle at the
/// end of a row. Leaves have some 2 KiB, and never more than 256 entries.
pub(super) const READ_COUNT_MAX: usize = 64;

/// A position in a page.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) node: Arc<Node>,
    pub(super) at: usize,
}

impl Place {
    /// The packed key here.
    pub(super) fn key(&self) -> &[u8] {
        self.node.page.key(self.at)
    }

    /// What the entry here points to; nothing above the leaves.
    pub(super) fn value(&self) -> Option<&Value> {
        self.node.page.value(self.at)
    }

    /// Whether two places of one level point to the same page or content.
    pub(super) fn points_to_the_same(&self, other: &Self) -> bool {
        let child = |place: &Self| place.node.page.child(place.at);
        self.value() == other.value() && child(self) == child(other)
    }

    /// The page below, read and checked; `None` in a leaf.
    pub(super) fn below(&self, pages: &Pages) -> Result<Option<Node>, StoreError> {
        self.node.below(pages, self.at)
    }
}

/// Does the same work for each item, at once where there are several, and gives what it came to in the order
/// of the items, up to the first error.
pub(super) fn each<I: Send, T: Send>(
    items: Vec<I>,
    work: impl Fn(I) -> Result<T, StoreError> + Send + Sync,
) -> (Vec<T>, Option<StoreError>) {
    let results: Vec<_> = match items.len() {
        0 | 1 => items.into_iter().map(work).collect(),
        _ => items.into_par_iter().map(work).collect(),
    };
    let mut done = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ok(value) => done.push(value),
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}
