//! Reach: which blobs a state of the store needs, found by following references from its names.
//!
//! ```text
//! ROOT ─▶ catalog pages ─▶ entries ─▶ manifests ─▶ what they point to   (see `references`)
//! ```
//!
//! A blob is followed once, however many names lead to it, so several epochs cost what differs between
//! them, and a cycle costs nothing. It takes some 70 bytes of memory for each blob reached, at most: 70 MB
//! for a million. This module decides nothing: gc keeps what is reached, fsck asks whether it is there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bonded_model::limits::{CATALOG_PAGE_BYTES_MAX, MANIFEST_BYTES_MAX};
use bonded_model::{Algorithm, Descriptor, Digest};
use rayon::prelude::*;

use crate::catalog::PageReferences;
use crate::error::StoreError;
use crate::references;

/// Manifests read at once: enough for every core, few enough that their references stay small.
const BATCH_COUNT: usize = 256;

/// Bytes of manifests read at once, by what refers to them.
const BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// So much more than a reference says may a manifest have, to be told as one of a wrong size.
const SMALL_BYTES: u64 = 64 * 1024;

/// Entries of the catalog that are gathered from its pages before they are followed.
const ENTRY_COUNT: usize = 16 * BATCH_COUNT;

/// How the bytes of pages and manifests are had: digest and limit to checked bytes.
pub(crate) type Read<'a> = dyn Fn(&Digest, u64) -> Result<Vec<u8>, StoreError> + Sync + 'a;

/// Told what a walk comes across; an error ends the walk.
pub(crate) type Visit<'a> = dyn FnMut(Visited<'_>) -> Result<(), StoreError> + 'a;

/// What a walk comes across.
#[derive(Debug)]
pub(crate) enum Visited<'a> {
    /// A reference; one and the same blob may be named often.
    Named(&'a Descriptor),
    /// A catalog page that cannot be read, so that nothing below it is known.
    BadPage(&'a Digest, StoreError),
    /// A manifest that cannot be read, so that nothing below it is known.
    BadManifest(&'a Descriptor, StoreError),
}

/// Whether what a blob points to has been looked at. A blob may be named as a file first, and as a
/// manifest later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    No,
    Yes,
}

/// The blobs that were reached so far.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    blobs: HashMap<[u8; 32], Followed>,
}

impl Reached {
    /// Whether a blob was reached.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        key(digest).is_some_and(|key| self.blobs.contains_key(&key))
    }

    /// How many blobs were reached.
    pub(crate) fn len(&self) -> usize {
        self.blobs.len()
    }

    /// Follows one state: its catalog, by the root page, and everything that has a name there.
    pub(crate) fn follow_catalog(
        &mut self,
        root: &Digest,
        read: &Read<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let (mut pages, mut named) = (vec![*root], Vec::new());
        while let Some(page) = pages.pop() {
            if !self.note(&page, Followed::Yes) {
                continue;
            }
            match read_page(&page, read) {
                Ok(PageReferences { pages: below, entries }) => {
                    pages.extend(below);
                    named.extend(entries);
                }
                Err(error) => visit(Visited::BadPage(&page, error))?,
            }
            if named.len() >= ENTRY_COUNT {
                self.follow(std::mem::take(&mut named), read, visit)?;
            }
        }
        self.follow(named, read, visit)
    }

    /// Follows descriptors.
    pub(crate) fn follow(
        &mut self,
        named: Vec<Descriptor>,
        read: &Read<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut unread = Vec::new();
        self.sort_in(named, &mut unread, visit)?;
        while !unread.is_empty() {
            let batch = unread.split_off(unread.len() - batch_len(&unread));
            let found: Vec<_> = batch.par_iter().map(|named| read_manifest(named, read)).collect();
            for (named, found) in batch.iter().zip(found) {
                match found {
                    Ok(named) => self.sort_in(named, &mut unread, visit)?,
                    Err(error) => visit(Visited::BadManifest(named, error))?,
                }
            }
        }
        Ok(())
    }

    /// Notes descriptors, and puts those that may lead on to the unread ones.
    fn sort_in(
        &mut self,
        named: Vec<Descriptor>,
        unread: &mut Vec<Descriptor>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        for descriptor in named {
            visit(Visited::Named(&descriptor))?;
            let followed = match references::is_manifest(&descriptor.media_type) {
                true => Followed::Yes,
                false => Followed::No,
            };
            if self.note(&descriptor.digest, followed) && followed == Followed::Yes {
                unread.push(descriptor);
            }
        }
        Ok(())
    }

    /// Whether this is news. A digest of another algorithm names no blob of a store.
    fn note(&mut self, digest: &Digest, followed: Followed) -> bool {
        let Some(key) = key(digest) else { return false };
        match self.blobs.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(followed);
                true
            }
            Entry::Occupied(mut entry) if *entry.get() == Followed::No => {
                entry.insert(followed);
                followed == Followed::Yes
            }
            Entry::Occupied(_) => false,
        }
    }
}

/// How many of these, from the end, are read together: one at least.
fn batch_len(unread: &[Descriptor]) -> usize {
    let sizes = unread.iter().rev().take(BATCH_COUNT).map(|named| named.size.max(1));
    let sums = sizes.scan(0_u64, |sum, size| {
        *sum = sum.saturating_add(size.min(MANIFEST_BYTES_MAX));
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= BATCH_BYTES).count().max(1).min(unread.len())
}

fn read_page(digest: &Digest, read: &Read<'_>) -> Result<PageReferences, StoreError> {
    let bytes = read(digest, CATALOG_PAGE_BYTES_MAX)?;
    PageReferences::of(&bytes).map_err(|source| StoreError::Catalog { page: *digest, source })
}

fn read_manifest(named: &Descriptor, read: &Read<'_>) -> Result<Vec<Descriptor>, StoreError> {
    // What is read at once is bounded by what the references say, so that has to be so.
    let limit = named.size.clamp(SMALL_BYTES, MANIFEST_BYTES_MAX);
    let bytes = read(&named.digest, limit)?;
    references::of(&named.media_type, &bytes)
        .map_err(|source| StoreError::Manifest { digest: named.digest, source })
}

fn key(digest: &Digest) -> Option<[u8; 32]> {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.as_bytes().try_into().ok(), // of 32 bytes, always
        Algorithm::Sha512 | Algorithm::Blake3 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_model::{MediaType, media_type};

    #[test]
    fn what_is_read_at_once_is_bounded_by_number_and_bytes() {
        let check = |sizes: &[u64], expected: usize| {
            let named = |size: &u64| {
                let digest = Digest::sha256_of(b"");
                Descriptor::new(MediaType::known(media_type::OCI_INDEX), digest, *size)
            };
            let unread: Vec<_> = sizes.iter().map(named).collect();
            assert_eq!(batch_len(&unread), expected);
        };
        check(&[], 0);
        check(&[0], 1);
        check(&[u64::MAX], 1);
        check(&[100; 1000], BATCH_COUNT);
        check(&[MANIFEST_BYTES_MAX; 256], 8);
        check(&[u64::MAX; 256], 8);
        check(&[MANIFEST_BYTES_MAX, 1, 1], 3);
    }
}
