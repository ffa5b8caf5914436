//! What can be wrong with a page of the catalog, or with an entry that is to go into one.

use bonded_model::json::JsonError;

use super::page::{ENTRY_COUNT_MAX, LEVEL_MAX, PAGE_VERSION, REST_BYTES_MAX};

/// Why bytes are no catalog page, or an entry cannot stand in one. A page has exactly one encoding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// It does not begin like a page.
    #[error("not a catalog page")]
    NotAPage,
    /// Written by a newer program.
    #[error("catalog page has version {found}, this program reads {PAGE_VERSION}")]
    Version {
        /// As read.
        found: u8,
    },
    /// It ends before what it announces.
    #[error("catalog page is cut short")]
    Cut,
    /// Bytes follow its last entry.
    #[error("catalog page has {bytes} bytes too many")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A number is not in its shortest form, or too large.
    #[error("catalog page has a malformed number")]
    Number,
    /// It stands higher than any tree is.
    #[error("catalog page is at level {found}, the limit is {LEVEL_MAX}")]
    Level {
        /// As read.
        found: u8,
    },
    /// It has more entries than a page can have, or an interior one has none.
    #[error(
        "catalog page has {found} entries; at most {ENTRY_COUNT_MAX}, in an interior page at least 1"
    )]
    EntryCount {
        /// As read.
        found: u64,
    },
    /// A key is empty, too long, has control characters, or a digest in it is not packed.
    #[error("malformed catalog key {text:?}")]
    Key {
        /// As read, cut.
        text: String,
    },
    /// A key does not follow the one before.
    #[error("catalog page is not ordered")]
    Order,
    /// A key shares another number of bytes with the one before than it says.
    #[error("catalog page has a key that is not shortened as it should be")]
    Shared,
    /// An entry spells out the digest that its key ends with, or leaves out one that it does not.
    #[error("catalog page has an entry whose digest is not written as it should be")]
    DigestForm,
    /// The rest of a descriptor is no JSON of the right shape.
    #[error("catalog page has a malformed descriptor")]
    Rest(#[source] JsonError),
    /// The rest of a descriptor is not canonical, stands in the page already, or refers to none there.
    #[error("catalog page has a descriptor that is not written as it should be")]
    RestForm,
    /// The rest of a descriptor is too long for a page.
    #[error(
        "descriptor has {bytes} bytes of type, platform and annotations, the limit is {REST_BYTES_MAX}"
    )]
    RestTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Only SHA-256 names content that is held.
    #[error("descriptor names its content by another digest than SHA-256")]
    NotSha256,
    /// A key ends the page by its rank, but others follow.
    #[error("catalog page goes on after a key that ends it")]
    EndsLate,
    /// Neither the rank of its last key nor its length ends a page that is not the last.
    #[error("catalog page ends after a key that does not end it")]
    EndsEarly,
    /// It is not what the page above it promises: level, last key, or number of entries below it.
    #[error("catalog page is not the one that the page above it describes")]
    Promise,
    /// It begins before the page in front of it ends.
    #[error("catalog page begins before the page in front of it ends")]
    Overlap,
    /// The page at the top has one page below it, which should be at the top.
    #[error("catalog has a page at its top that is not needed")]
    NeedlessTop,
}

impl CatalogError {
    /// Whether a program of another version wrote the page; then it is not damaged.
    pub(crate) fn is_of_another_version(&self) -> bool {
        matches!(self, Self::Version { .. })
    }
}
