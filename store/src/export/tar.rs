//! Headers of a tar archive (POSIX.1-1988, ustar), each the same whenever and by whomever it is made.
//!
//! ```text
//! name 100, mode 8, uid 8, gid 8, size 12, mtime 12, sum 8, type 1, …, "ustar\0" "00", …    512 bytes
//! ```
//!
//! Sizes of 8 GiB and more stand in GNU's binary form, which every reader in use knows. Names here are
//! short; this module knows nothing of what the archive is for.

/// Headers and contents begin at multiples of this.
const BLOCK_BYTES: usize = 512;

/// What ends an archive.
pub(super) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// The largest size that eleven octal digits can say.
const OCTAL_MAX: u64 = 0o777_7777_7777;

/// The header of a file.
pub(super) fn file(name: &str, bytes: u64) -> [u8; BLOCK_BYTES] {
    header(name, b'0', "0000644\0", bytes)
}

/// The header of a directory.
pub(super) fn directory(name: &str) -> [u8; BLOCK_BYTES] {
    header(name, b'5', "0000755\0", 0)
}

/// What follows a content of that many bytes.
pub(super) fn padding(bytes: u64) -> &'static [u8] {
    let over = usize::try_from(bytes % 512).unwrap_or(0);
    let missing = if over == 0 { 0 } else { BLOCK_BYTES - over };
    END.get(..missing).unwrap_or_default()
}

fn header(name: &str, kind: u8, mode: &str, bytes: u64) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut set = |at: usize, field: &[u8]| {
        let place = header.get_mut(at..at + field.len());
        place.expect("fields lie inside the header").copy_from_slice(field);
    };
    set(0, name.as_bytes().get(..name.len().min(100)).unwrap_or_default());
    set(100, mode.as_bytes());
    set(108, b"0000000\0");
    set(116, b"0000000\0");
    set(124, &size(bytes));
    set(136, b"00000000000\0");
    set(148, b"        ");
    set(156, &[kind]);
    set(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    let place = header.get_mut(148..156);
    place.expect("the field lies inside the header").copy_from_slice(sum.as_bytes());
    header
}

fn size(bytes: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if bytes <= OCTAL_MAX {
        field.copy_from_slice(format!("{bytes:011o}\0").as_bytes());
    } else {
        let (head, tail) = field.split_at_mut(4);
        head.copy_from_slice(&[0x80, 0, 0, 0]);
        tail.copy_from_slice(&bytes.to_be_bytes());
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_that_of_the_standard() {
        let header = file("index.json", 0o1234);
        assert_eq!(&header[..11], b"index.json\0");
        assert_eq!(&header[100..108], b"0000644\0");
        assert_eq!(&header[124..136], b"00000001234\0");
        assert_eq!((header[156], &header[257..265]), (b'0', b"ustar\x0000".as_slice()));
        let sum: u32 = header[..148].iter().chain(&header[156..]).map(|b| u32::from(*b)).sum();
        assert_eq!(&header[148..156], format!("{:06o}\0 ", sum + 8 * 32).as_bytes());
        assert_eq!(directory("blobs/")[156], b'5');
    }

    #[test]
    fn sizes_that_no_octal_field_can_say_are_binary() {
        assert_eq!(&size(OCTAL_MAX), b"77777777777\0");
        assert_eq!(size(OCTAL_MAX + 1), [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn contents_end_at_a_block() {
        for (bytes, expected) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)] {
            assert_eq!(padding(bytes).len(), expected, "{bytes}");
        }
    }
}
