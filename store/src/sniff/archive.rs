//! Archives and compressed files: a magic number, and for tar the names of the first entries.

use super::ContentKind;

/// What a compressed file or an archive begins with.
const MAGIC: [(&[u8], ContentKind); 7] = [
    (&[0x1f, 0x8b, 8], ContentKind::Gzip),
    (b"PK\x03\x04", ContentKind::Zip),
    (b"PK\x05\x06", ContentKind::Zip), // an empty one
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], ContentKind::Xz),
    (&[0x28, 0xb5, 0x2f, 0xfd], ContentKind::Zstd),
    (b"BZh", ContentKind::Bzip2),
    (b"!<arch>\n", ContentKind::Ar),
];

const BLOCK_BYTES: usize = 512;

/// Where a header of tar has its fields (POSIX.1-2017, pax, "ustar Interchange Format").
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;

pub(super) fn sniff(window: &[u8]) -> Option<ContentKind> {
    let by_magic = MAGIC.iter().find(|(magic, _)| window.starts_with(magic));
    match by_magic {
        Some((_, ContentKind::Ar)) if is_deb(window) => Some(ContentKind::Deb),
        Some((_, kind)) => Some(*kind),
        None => tar(window),
    }
}

/// A Debian package is an ar archive whose first member is the format's version (deb(5)).
fn is_deb(window: &[u8]) -> bool {
    window.get(8..).is_some_and(|member| member.starts_with(b"debian-binary"))
}

/// A layout's own files tell more than those of docker, which writes both into one archive.
fn tar(window: &[u8]) -> Option<ContentKind> {
    let mut names = Names { window, at: 0 };
    let first = names.next()?;
    let names: Vec<&[u8]> = std::iter::once(first).chain(names).map(from_top).collect();
    Some(if names.iter().any(|name| is_of_layout(name)) {
        ContentKind::OciArchive
    } else if names.iter().any(|name| is_of_docker(name)) {
        ContentKind::DockerArchive
    } else {
        ContentKind::Tar
    })
}

fn from_top(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"./").unwrap_or(name)
}

/// Many programs write the blobs first, and a large one hides every later name.
fn is_of_layout(name: &[u8]) -> bool {
    name == b"oci-layout" || name.strip_prefix(b"blobs/sha256/").is_some_and(is_hex_digest)
}

fn is_of_docker(name: &[u8]) -> bool {
    let of_layer = |(digest, rest): (&[u8], &[u8])| {
        let ends = [&b".json"[..], b".tar", b"/layer.tar", b"/json", b"/VERSION"];
        is_hex_digest(digest) && ends.contains(&rest)
    };
    name == b"manifest.json" || name.split_at_checked(64).is_some_and(of_layer)
}

fn is_hex_digest(text: &[u8]) -> bool {
    text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit)
}

/// The names of the entries whose headers lie in the window.
struct Names<'a> {
    window: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let header = self.window.get(self.at..)?.get(..BLOCK_BYTES)?;
        if octal(header.get(CHECKSUM)?)? != checksum(header) {
            return None;
        }
        let blocks = octal(header.get(SIZE)?).unwrap_or(u64::MAX).div_ceil(512);
        let bytes = usize::try_from(blocks.saturating_mul(512)).unwrap_or(usize::MAX);
        self.at = self.at.saturating_add(BLOCK_BYTES).saturating_add(bytes);
        header.get(NAME)?.split(|byte| *byte == 0).next()
    }
}

/// The sum of a header's bytes, with its own field as spaces.
fn checksum(header: &[u8]) -> u64 {
    let of = |(at, byte): (usize, &u8)| if CHECKSUM.contains(&at) { 32 } else { u64::from(*byte) };
    header.iter().enumerate().map(of).sum()
}

/// Digits to the first NUL or space; spaces may stand before them. There must be one at least.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let length = digits.iter().take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let digits = std::str::from_utf8(digits.get(..length)?).ok()?; // octal digits are ASCII
    u64::from_str_radix(digits, 8).ok() // none is no number
}
