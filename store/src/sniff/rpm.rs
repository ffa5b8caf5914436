//! RPM packages: lead, signature header, header (RPM file format, version 4).
//!
//! ```text
//! 0    lead       96  ed ab ee db …
//! 96   header         8e ad e8 01, 4 reserved, entry count, byte count; entries of 16; bytes
//!      padding        to a multiple of 8
//!      header         again, with the tags that describe the package
//! entry: tag, type, offset into the bytes, count; four bytes each, big-endian
//! ```

use bonded_model::Platform;

use super::{ContentKind, Sniffed, platform};

const LEAD: &[u8] = &[0xed, 0xab, 0xee, 0xdb];

const LEAD_BYTES: usize = 96;

const HEADER: &[u8] = &[0x8e, 0xad, 0xe8, 0x01];

const ENTRY_BYTES: usize = 16;

const TAG_OS: u32 = 1021;
const TAG_ARCHITECTURE: u32 = 1022;
const TAG_SOURCE_PACKAGE: u32 = 1106;
const TYPE_STRING: u32 = 6;

pub(super) fn sniff(window: &[u8]) -> Option<Sniffed> {
    window
        .starts_with(LEAD)
        .then(|| Sniffed { kind: ContentKind::Rpm, platform: platform_of(window) })
}

/// `None` where the headers do not lie in the window, and for packages of sources or for every
/// architecture.
fn platform_of(window: &[u8]) -> Option<Platform> {
    let signature = Header::at(window, LEAD_BYTES)?;
    let header = Header::at(window, signature.end.checked_next_multiple_of(8)?)?;
    if header.entry(TAG_SOURCE_PACKAGE).is_some() || header.string(TAG_OS)? != b"linux" {
        return None;
    }
    let (architecture, variant) = match header.string(TAG_ARCHITECTURE)? {
        b"x86_64" => ("amd64", None),
        b"i386" | b"i486" | b"i586" | b"i686" => ("386", None),
        b"aarch64" => ("arm64", None),
        b"armv7hl" | b"armv7hnl" => ("arm", Some("v7")),
        b"armv6hl" => ("arm", Some("v6")),
        b"ppc64le" => ("ppc64le", None),
        b"ppc64" => ("ppc64", None),
        b"s390x" => ("s390x", None),
        b"riscv64" => ("riscv64", None),
        b"loongarch64" => ("loong64", None),
        _ => return None,
    };
    Some(Platform { variant: variant.map(str::to_owned), ..platform("linux", architecture) })
}

struct Header<'a> {
    entries: &'a [u8],
    /// As many as the window holds.
    bytes: &'a [u8],
    end: usize,
}

impl<'a> Header<'a> {
    fn at(window: &'a [u8], at: usize) -> Option<Self> {
        let rest = window.get(at..)?.strip_prefix(HEADER)?;
        let (fields, rest) = rest.split_first_chunk::<12>()?;
        let entry_bytes = number(fields, 4)?.checked_mul(ENTRY_BYTES)?;
        let byte_count = number(fields, 8)?;
        let (entries, bytes) = rest.split_at_checked(entry_bytes)?;
        let end = window.len().checked_sub(bytes.len())?.checked_add(byte_count)?;
        Some(Self { entries, bytes: bytes.get(..byte_count).unwrap_or(bytes), end })
    }

    fn entry(&self, tag: u32) -> Option<&'a [u8]> {
        let mut entries = self.entries.chunks_exact(ENTRY_BYTES);
        entries.find(|entry| entry.starts_with(&tag.to_be_bytes()))
    }

    fn string(&self, tag: u32) -> Option<&'a [u8]> {
        let entry = self.entry(tag)?;
        if !entry.get(4..)?.starts_with(&TYPE_STRING.to_be_bytes()) {
            return None;
        }
        let text = self.bytes.get(number(entry, 8)?..)?;
        text.split(|byte| *byte == 0).next()
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*field)).ok() // no address is that large here
}
