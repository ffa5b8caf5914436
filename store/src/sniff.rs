//! Sniffing: what a file is and what it runs on, from its first bytes.
//!
//! Only a window of [`WINDOW_BYTES`] at the start of a file is ever looked at, whatever the headers in
//! it point to, and each format is looked at with loops that the window bounds. What is found is a
//! fact, for people and for policies to choose demands by; it is no part of a release's digest.
//!
//! Headers of programs are read with the crate `object`, the others by hand: they are a magic number
//! and a field or two. Nothing is decompressed, so what is inside a compressed file is not known here.
//! This module knows no files and no store.

mod archive;
mod executable;
mod rpm;
mod text;

pub use bonded_model::ContentKind;
use bonded_model::Platform;

/// How much of a file's beginning is looked at. The headers of an RPM, the longest, end well before.
pub const WINDOW_BYTES: usize = 64 * 1024;

/// The version of what is found here. Every change after which some bytes may give another kind or platform
/// raises it, so that what an earlier program found is looked for again.
pub(crate) const VERSION: u8 = 1;

/// What the beginning of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sniffed {
    /// What it is.
    pub kind: ContentKind,
    /// What it runs on, in Go's words, where it names one platform.
    pub platform: Option<Platform>,
}

impl From<ContentKind> for Sniffed {
    fn from(kind: ContentKind) -> Self {
        Self { kind, platform: None }
    }
}

/// What the first bytes of a file of `size` bytes say. Of more than [`WINDOW_BYTES`], the rest is not
/// looked at. Never fails and never panics; what is no header of the formats that are known here is
/// [`ContentKind::Unknown`].
pub fn sniff(first_window: &[u8], size: u64) -> Sniffed {
    let window = first_window.get(..WINDOW_BYTES).unwrap_or(first_window);
    let is_whole = u64::try_from(window.len()).is_ok_and(|bytes| bytes >= size);
    if window.is_empty() {
        return ContentKind::Empty.into();
    }
    executable::sniff(window)
        .or_else(|| rpm::sniff(window))
        .or_else(|| archive::sniff(window).map(Sniffed::from))
        .unwrap_or_else(|| text::sniff(window, is_whole).into())
}

/// Gathers the window of a file whose bytes come by in pieces.
#[derive(Debug, Default)]
pub(crate) struct Window(Vec<u8>);

impl Window {
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        let wanted = WINDOW_BYTES.saturating_sub(self.0.len()).min(bytes.len());
        self.0.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
    }

    pub(crate) fn sniff(&self, size: u64) -> Sniffed {
        sniff(&self.0, size)
    }
}

/// A platform of an operating system and an architecture without variants.
fn platform(os: &str, architecture: &str) -> Platform {
    Platform { architecture: architecture.to_owned(), os: os.to_owned(), variant: None }
}

#[cfg(test)]
mod tests;
