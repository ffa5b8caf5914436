//! What an export may have so that `import` takes it in again: a backup that cannot be restored is none.
//!
//! An import counts what it holds in memory: the entries of `index.json`, what fallback tags list, and the
//! blobs. Here each of them counts as often as it may count there. Knows nothing of how the numbers come
//! to be.

use bonded_model::limits::{
    LAYOUT_BLOB_COUNT_MAX, LAYOUT_ENTRY_COUNT_MAX, LAYOUT_INDEX_BYTES_MAX,
    LAYOUT_REFERRER_COUNT_MAX,
};

use super::ExportError;

/// How much of each an export has, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Entries of `index.json`.
    pub(super) entries: usize,
    /// The length of `index.json`.
    pub(super) index_bytes: usize,
    /// Entries of `index.json` and of the lists under fallback tags.
    pub(super) referrers: usize,
    /// Those, and the blobs.
    pub(super) blobs: usize,
}

impl Bounds {
    /// What an import takes.
    pub(super) const OF_IMPORT: Self = Self {
        entries: LAYOUT_ENTRY_COUNT_MAX,
        index_bytes: bytes(LAYOUT_INDEX_BYTES_MAX),
        referrers: LAYOUT_REFERRER_COUNT_MAX,
        blobs: LAYOUT_BLOB_COUNT_MAX,
    };

    /// That an export with so much of each is within these.
    pub(super) fn check(self, has: Self) -> Result<(), ExportError> {
        for (what, count, limit) in [
            ("entries in its index.json", has.entries, self.entries),
            ("bytes in its index.json", has.index_bytes, self.index_bytes),
            ("entries and referrers in its lists", has.referrers, self.referrers),
            ("entries, referrers and blobs", has.blobs, self.blobs),
        ] {
            if count > limit {
                return Err(ExportError::TooLarge { what, count, limit });
            }
        }
        Ok(())
    }
}

/// On a machine whose addresses are shorter than the limit, no more than it can address.
#[expect(clippy::cast_possible_truncation, reason = "compared before; `try_from` is not const")]
const fn bytes(limit: u64) -> usize {
    if limit > usize::MAX as u64 { usize::MAX } else { limit as usize }
}

#[cfg(test)]
mod tests {
    use super::super::contents::Contents;
    use super::super::{Referrers, What};
    use super::*;
    use crate::tests::World;
    use crate::tests::image::Image;

    const SBOM: &str = "application/spdx+json";

    #[test]
    fn what_an_import_would_refuse_does_not_go_out() {
        let world = World::in_memory();
        let image = Image::of("amd64", "x");
        world.hold_image("example.com/x:v1", &image);
        world.hold_referrer(&image.top, &Image::referrer(&image.top, SBOM, b"1"));
        let snapshot = world.store.snapshot().unwrap();
        let gather = |bounds| {
            Contents::gather(&snapshot, What::Everything, Referrers::All, bounds).map(drop)
        };
        // The image, its referrer and the fallback tag; one in the list; 3 + 3 + 1 blobs, of which
        // `{}` is one.
        let has = Contents::gather(&snapshot, What::Everything, Referrers::All, Bounds::OF_IMPORT);
        let index_bytes = has.unwrap().index().len();
        let exact = Bounds { entries: 3, index_bytes, referrers: 4, blobs: 11 };
        gather(exact).unwrap();
        for (bounds, expected) in [
            (Bounds { entries: 2, ..exact }, (3, 2)),
            (Bounds { index_bytes: index_bytes - 1, ..exact }, (index_bytes, index_bytes - 1)),
            (Bounds { referrers: 3, ..exact }, (4, 3)),
            (Bounds { blobs: 10, ..exact }, (11, 10)),
        ] {
            match gather(bounds) {
                Err(ExportError::TooLarge { count, limit, .. }) => {
                    assert_eq!((count, limit), expected);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
