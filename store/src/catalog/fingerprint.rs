//! Fingerprints of a range of keys: from whole pages where they lie in the range, so that they cost the
//! pages at its two ends.

use bonded_model::Digest;
use sha2::{Digest as _, Sha256};

use super::page::{Page, Value};
use super::pages::Pages;
use super::tree::Node;
use crate::error::StoreError;

/// A fingerprint that is being made.
pub(super) struct Fingerprint<'a> {
    pages: &'a Pages,
    hash: Sha256,
}

impl<'a> Fingerprint<'a> {
    pub(super) fn new(pages: &'a Pages) -> Self {
        Self { pages, hash: Sha256::new() }
    }

    pub(super) fn finish(self) -> Digest {
        Digest::from_sha256(self.hash.finalize().into())
    }

    /// Adds what is in and below a page and has keys that start with `prefix`.
    pub(super) fn add(&mut self, node: &Node, prefix: &str) -> Result<(), StoreError> {
        let is_in = |key: &[u8]| key.starts_with(prefix.as_bytes());
        let page = &node.page;
        for at in page.position(prefix.as_bytes())..page.len() {
            match (page.value(at), page.child(at)) {
                (Some(value), _) if is_in(page.key(at)) => self.entry(page, at, value),
                (None, Some(child)) => {
                    if is_in(page.key(at)) && node.key_before(at).is_some_and(is_in) {
                        self.hash.update([1]);
                        self.hash.update(child.digest);
                    } else if let Some(below) = node.below(self.pages, at)? {
                        self.add(&below, prefix)?;
                    }
                }
                _ => {}
            }
            if !is_in(page.key(at)) {
                break;
            }
        }
        Ok(())
    }

    fn entry(&mut self, page: &Page, at: usize, value: &Value) {
        let key = page.key(at);
        let rest = value.rest.json();
        self.hash.update([0]);
        for length in [key.len(), rest.len()] {
            self.hash.update(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
        self.hash.update(key);
        self.hash.update(rest);
        self.hash.update(value.digest);
        self.hash.update(value.size.to_be_bytes());
    }
}
