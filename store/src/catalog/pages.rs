//! Where pages are read from: the blob pool, behind a cache that all snapshots of a store share.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonded_model::Digest;
use bonded_model::limits::CATALOG_PAGE_BYTES_MAX;

use super::page::Page;
use super::rest::Rests;
use crate::blob::Pool;
use crate::error::StoreError;

/// Memory for pages that were read. The pages above the leaves of a million entries take an eighth of
/// it, so that a point read costs one file at most.
const CACHE_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Gives the bytes of pages, checked against their digests.
pub(super) trait PageSource: fmt::Debug + Send + Sync {
    /// All bytes of one page.
    fn read_page(&self, digest: &Digest) -> Result<Vec<u8>, StoreError>;
}

impl PageSource for Pool {
    fn read_page(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.read_small(digest, CATALOG_PAGE_BYTES_MAX)
    }
}

/// The pages of one store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pages {
    inner: Arc<Inner>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("source", &self.inner.source).finish_non_exhaustive()
    }
}

struct Inner {
    source: Box<dyn PageSource>,
    rests: Rests,
    cache: Mutex<Cache>,
}

impl Pages {
    /// The pages among the blobs of a store.
    pub(crate) fn of(pool: Pool) -> Self {
        Self::from_source(Box::new(pool), CACHE_BYTES_MAX)
    }

    pub(super) fn from_source(source: Box<dyn PageSource>, cache_bytes_max: usize) -> Self {
        let cache = Mutex::new(Cache::new(cache_bytes_max));
        Self { inner: Arc::new(Inner { source, rests: Rests::default(), cache }) }
    }

    /// A page, from memory if it was read lately.
    pub(super) fn read(&self, digest: &Digest) -> Result<Arc<Page>, StoreError> {
        if let Some(page) = self.cache().get(digest) {
            return Ok(page);
        }
        let bytes = self.inner.source.read_page(digest)?;
        let page = Page::decode(&bytes, &self.inner.rests)
            .map_err(|source| StoreError::Catalog { page: *digest, source })?;
        let page = Arc::new(page);
        self.cache().put(*digest, page.clone());
        Ok(page)
    }

    pub(super) fn rests(&self) -> &Rests {
        &self.inner.rests
    }

    /// The cache is whole between any two calls on it, so a panic elsewhere leaves it usable.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock: a page that was used since the hand came by stays for another round.
struct Cache {
    bytes_max: usize,
    bytes: usize,
    pages: HashMap<Digest, Cached>,
    hand: VecDeque<Digest>,
}

struct Cached {
    page: Arc<Page>,
    bytes: usize,
    is_used: bool,
}

impl Cache {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, pages: HashMap::new(), hand: VecDeque::new() }
    }

    fn get(&mut self, digest: &Digest) -> Option<Arc<Page>> {
        let cached = self.pages.get_mut(digest)?;
        cached.is_used = true;
        Some(cached.page.clone())
    }

    fn put(&mut self, digest: Digest, page: Arc<Page>) {
        // What the maps take for each page, about.
        let bytes = page.memory_bytes() + 4 * size_of::<Digest>();
        let cached = Cached { page, bytes, is_used: false };
        if let Some(twin) = self.pages.insert(digest, cached) {
            self.bytes -= twin.bytes; // two threads read it at once
        } else {
            self.hand.push_back(digest);
        }
        self.bytes += bytes;
        while self.bytes > self.bytes_max && self.turn() {}
    }

    /// Lets the page under the hand go, or spares it once. Says whether there was any.
    fn turn(&mut self) -> bool {
        let Some(digest) = self.hand.pop_front() else { return false };
        match self.pages.get_mut(&digest) {
            Some(cached) if cached.is_used => {
                cached.is_used = false;
                self.hand.push_back(digest);
            }
            Some(_) | None => {
                let gone = self.pages.remove(&digest);
                self.bytes -= gone.map_or(0, |gone| gone.bytes);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::page::encode;

    #[test]
    fn the_cache_stays_in_its_bounds_and_keeps_what_is_used() {
        let page = Arc::new(Page::decode(&encode(0, &[]), &Rests::default()).unwrap());
        let mut cache = Cache::new(20 * (page.memory_bytes() + 4 * size_of::<Digest>()));
        let digest = |number: u32| Digest::sha256_of(&number.to_le_bytes());
        for number in 0..1000 {
            cache.put(digest(number), page.clone());
            cache.put(digest(number), page.clone());
            assert!(cache.get(&digest(0)).is_some(), "{number}");
            assert!(cache.bytes <= cache.bytes_max && cache.pages.len() == cache.hand.len());
        }
        assert_eq!(cache.pages.len(), 20);
        assert!(cache.get(&digest(500)).is_none() && cache.get(&digest(999)).is_some());
        let mut tiny = Cache::new(1);
        tiny.put(digest(0), page);
        assert_eq!((tiny.bytes, tiny.pages.len(), tiny.hand.len()), (0, 0, 0));
    }
}
