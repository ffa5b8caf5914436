//! Content that has a path: what it is, how long a cache may keep it, where its bytes are.

use std::borrow::Cow;

use bonded_model::Digest;
use bytes::Bytes;

/// Something that can be answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) cache: Cache,
    pub(crate) source: Source,
}

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Made here, in memory.
    Inline(Bytes),
    /// In the store, to be checked before the first byte goes out.
    Store,
}

/// How long a cache may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// A published name that never changes its bytes.
    Immutable,
    /// A marker, a list or a page: asked again each time by clients, kept for a minute by a CDN.
    Short,
    /// Errors, redirects and the health check.
    Never,
}

impl Cache {
    /// The value of `Cache-Control`.
    pub(crate) fn control(self) -> &'static str {
        match self {
            Self::Immutable => "public, max-age=31536000, immutable, no-transform",
            Self::Short => {
                "public, max-age=0, s-maxage=60, stale-while-revalidate=60, stale-if-error=86400"
            }
            Self::Never => "no-store",
        }
    }
}

impl Content {
    /// Content made here.
    pub(crate) fn inline(
        bytes: impl Into<Bytes>,
        content_type: &'static str,
        cache: Cache,
    ) -> Self {
        let bytes = bytes.into();
        Self {
            digest: Digest::sha256_of(&bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            content_type: Cow::Borrowed(content_type),
            cache,
            source: Source::Inline(bytes),
        }
    }

    /// Content of the store under an immutable name.
    pub(crate) fn stored(digest: Digest, size: u64, content_type: Cow<'static, str>) -> Self {
        Self { digest, size, content_type, cache: Cache::Immutable, source: Source::Store }
    }
}
