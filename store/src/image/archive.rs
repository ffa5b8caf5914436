//! Archives: what a tar file holds and where, read by position from the one open file.
//!
//! ```text
//! header   512 bytes: name, size, checksum, type, link name, prefix   (POSIX ustar, GNU)
//! content  rounded up to 512 bytes
//! end      a block of zeros
//! before a header: long names (GNU `L`, `K`) or records `<length> <key>=<value>\n` (PAX `x`, `g`)
//! ```
//!
//! Nothing is unpacked: names become keys of a table, never paths. A tar that two readers could take for
//! two different things is refused: sizes or names said twice, one name for two contents, links that carry
//! data, sparse files. The `tar` crate is not used, since it reads extension headers of any length into
//! memory before its caller sees them, and hands out entries one after the other where blobs are wanted by
//! name; what is left to it is less than this file. This module knows no images.

use std::collections::BTreeMap;

use bonded_model::limits::{
    ARCHIVE_EXTENSION_BYTES_MAX, ARCHIVE_HEADER_COUNT_MAX, ARCHIVE_LINK_COUNT_MAX, PATH_BYTES_MAX,
};

use crate::disk::{DiskError, Handle};

const BLOCK_BYTES: u64 = 512;

/// Two contents of one name are compared in pieces of this size.
const COMPARED_BYTES: usize = 64 * 1024;

/// Why a file is no tar archive that can be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The archive ends in the middle of something, or without its end.
    #[error("the archive is cut: it has {bytes} bytes, and byte {at} belongs to it")]
    Cut {
        /// The first byte that is missing.
        at: u64,
        /// How many there are.
        bytes: u64,
    },
    /// What stands where a header should be is none.
    #[error("there is no tar header at byte {at}: {reason}")]
    Header {
        /// Where.
        at: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An extension header is longer than any name.
    #[error(
        "the extension header at byte {at} has {bytes} bytes, the limit is {ARCHIVE_EXTENSION_BYTES_MAX}"
    )]
    ExtensionTooLarge {
        /// Where.
        at: u64,
        /// Its length.
        bytes: u64,
    },
    /// An entry's name could lead out of the archive, or is none.
    #[error("entry {name:?} cannot be taken in: {reason}")]
    Entry {
        /// The name, cut.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// More headers than any image has files.
    #[error("the archive has more than {ARCHIVE_HEADER_COUNT_MAX} headers")]
    TooManyEntries,
    /// One name stands for two different contents.
    #[error("the archive has {name:?} twice, with different contents")]
    Twice {
        /// The name.
        name: String,
    },
}

/// Where the bytes of an entry lie in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File(Extent),
    /// To another name in the archive, from its top.
    Link(String),
}

/// The entries of an archive by name. Directories are not among them.
#[derive(Debug)]
pub(super) struct Table(BTreeMap<String, Entry>);

impl Table {
    /// Reads every header of an archive.
    pub(super) fn read(archive: &Handle) -> Result<Self, ArchiveError> {
        Self::read_within(archive, ARCHIVE_HEADER_COUNT_MAX)
    }

    fn read_within(archive: &Handle, headers: usize) -> Result<Self, ArchiveError> {
        let bytes = archive.read_state()?.bytes;
        let mut reader = Reader { archive, bytes, at: 0, table: BTreeMap::new() };
        reader.run(headers)?;
        Ok(Self(reader.table))
    }

    /// Where the file of that name lies, links followed.
    pub(super) fn find(&self, name: &str) -> Result<Option<Extent>, ArchiveError> {
        let mut at = name;
        for _ in 0..=ARCHIVE_LINK_COUNT_MAX {
            match self.0.get(at) {
                None => return Ok(None),
                Some(Entry::File(extent)) => return Ok(Some(*extent)),
                Some(Entry::Link(target)) => at = target,
            }
        }
        Err(refused(name, "it is a link that leads through too many others"))
    }
}

/// What extension headers say about the next entry.
#[derive(Debug, Default)]
struct Extended {
    name: Option<String>,
    link: Option<String>,
    bytes: Option<u64>,
}

struct Reader<'a> {
    archive: &'a Handle,
    bytes: u64,
    at: u64,
    table: BTreeMap<String, Entry>,
}

impl Reader<'_> {
    fn run(&mut self, headers: usize) -> Result<(), ArchiveError> {
        let mut extended = Extended::default();
        for _ in 0..headers {
            let at = self.at;
            let block = self.block()?;
            if block.iter().all(|byte| *byte == 0) {
                return match extended.is_empty() {
                    true => self.end(),
                    false => Err(header(at, "the archive ends after an extension header")),
                };
            }
            let header = Header::parse(&block, at)?;
            match header.kind {
                b'L' | b'K' | b'x' | b'g' => self.extension(&header, at, &mut extended)?,
                _ => self.entry(&header, at, std::mem::take(&mut extended))?,
            }
        }
        Err(ArchiveError::TooManyEntries)
    }

    /// After a block of zeroes there is another one, or nothing: what follows one alone, some programs
    /// read and others do not.
    fn end(&mut self) -> Result<(), ArchiveError> {
        let at = self.at;
        if at < self.bytes && self.block()?.iter().any(|byte| *byte != 0) {
            return Err(header(at, "an entry follows a single block of zeroes"));
        }
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; 512], ArchiveError> {
        let mut block = [0; 512];
        self.fill(self.at, &mut block)?;
        self.at += BLOCK_BYTES;
        Ok(block)
    }

    /// Reads until the buffer is full.
    fn fill(&self, mut at: u64, mut buffer: &mut [u8]) -> Result<(), ArchiveError> {
        while !buffer.is_empty() {
            let count = self.archive.read_at(at, buffer)?;
            if count == 0 {
                return Err(ArchiveError::Cut { at, bytes: self.bytes });
            }
            at += u64::try_from(count).unwrap_or(u64::MAX);
            buffer = buffer.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Passes over content that must lie in the file, and says where it is.
    fn content(&mut self, bytes: u64) -> Result<Extent, ArchiveError> {
        let offset = self.at;
        let rounded = bytes.checked_next_multiple_of(BLOCK_BYTES);
        let end = rounded.and_then(|rounded| offset.checked_add(rounded));
        match end {
            Some(end) if end <= self.bytes => self.at = end,
            _ => return Err(ArchiveError::Cut { at: self.bytes, bytes: self.bytes }),
        }
        Ok(Extent { offset, bytes })
    }

    fn extension(
        &mut self,
        header: &Header,
        at: u64,
        extended: &mut Extended,
    ) -> Result<(), ArchiveError> {
        if header.bytes > ARCHIVE_EXTENSION_BYTES_MAX {
            return Err(ArchiveError::ExtensionTooLarge { at, bytes: header.bytes });
        }
        let extent = self.content(header.bytes)?;
        let mut bytes = vec![0; usize::try_from(extent.bytes).unwrap_or(0)];
        self.fill(extent.offset, &mut bytes)?;
        match header.kind {
            b'L' => set(&mut extended.name, text(until_nul(&bytes), at)?, at),
            b'K' => set(&mut extended.link, text(until_nul(&bytes), at)?, at),
            b'x' => extended.add_records(&bytes, at),
            _global => {
                let mut everywhere = Extended::default();
                everywhere.add_records(&bytes, at)?;
                match everywhere.is_empty() {
                    true => Ok(()), // a comment, as git writes one
                    false => Err(self::header(at, "it gives all entries one name or size")),
                }
            }
        }
    }

    fn entry(&mut self, header: &Header, at: u64, extended: Extended) -> Result<(), ArchiveError> {
        let name = extended.name.unwrap_or_else(|| header.name.clone());
        let bytes = match extended.bytes {
            Some(bytes) if header.bytes != 0 && header.bytes != bytes => {
                return Err(self::header(at, "two sizes are said of one entry"));
            }
            Some(bytes) => bytes,
            None => header.bytes,
        };
        let is_directory = header.kind == b'5' || name.ends_with('/');
        if bytes != 0 && (is_directory || matches!(header.kind, b'1' | b'2')) {
            return Err(refused(&name, "it is a directory or a link, and has content"));
        }
        let path = path_of(&name)?;
        let link = extended.link.unwrap_or_else(|| header.link.clone());
        let entry = match header.kind {
            _ if is_directory => return Ok(()),
            b'0' | b'7' | 0 => Entry::File(self.content(bytes)?),
            b'1' => Entry::Link(path_of(&link)?),
            b'2' => Entry::Link(target_of(&path, &link)?),
            b'S' => {
                return Err(refused(&name, "it is a sparse file; make the archive without them"));
            }
            _ => return Err(refused(&name, "it is neither a file, a directory nor a link")),
        };
        match self.table.get(&path) {
            Some(first) if !self.is_same(first, &entry)? => Err(ArchiveError::Twice { name: path }),
            Some(_) => Ok(()),
            None => {
                self.table.insert(path, entry);
                Ok(())
            }
        }
    }

    /// Whether two entries of one name are one. Every content is compared once at most, so the cost stays
    /// below two readings of the archive.
    fn is_same(&self, first: &Entry, second: &Entry) -> Result<bool, ArchiveError> {
        let (Entry::File(first), Entry::File(second)) = (first, second) else {
            return Ok(first == second);
        };
        if first.bytes != second.bytes {
            return Ok(false);
        }
        let (mut a, mut b) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
        let mut done = 0;
        while done < first.bytes {
            let left = usize::try_from(first.bytes - done).unwrap_or(usize::MAX);
            let count = left.min(COMPARED_BYTES);
            let (Some(a), Some(b)) = (a.get_mut(..count), b.get_mut(..count)) else {
                return Ok(false);
            };
            self.fill(first.offset + done, a)?;
            self.fill(second.offset + done, b)?;
            if a != b {
                return Ok(false);
            }
            done += u64::try_from(count).unwrap_or(u64::MAX);
        }
        Ok(true)
    }
}

impl Extended {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.bytes.is_none()
    }

    /// PAX records (POSIX.1-2001, pax, "Extended Header"): `<length> <key>=<value>\n`.
    fn add_records(&mut self, mut rest: &[u8], at: u64) -> Result<(), ArchiveError> {
        let malformed = || header(at, "a PAX record is malformed");
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length = rest.get(..space).and_then(decimal).and_then(|n| usize::try_from(n).ok());
            let (record, next) =
                length.and_then(|length| rest.split_at_checked(length)).ok_or_else(malformed)?;
            let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n"));
            let record = text(record.ok_or_else(malformed)?, at)?;
            let (key, value) = record.split_once('=').ok_or_else(malformed)?;
            match key {
                "path" => set(&mut self.name, value.to_owned(), at)?,
                "linkpath" => set(&mut self.link, value.to_owned(), at)?,
                "size" => {
                    let bytes = decimal(value.as_bytes()).ok_or_else(malformed)?;
                    set(&mut self.bytes, bytes, at)?;
                }
                _ if key.starts_with("GNU.sparse") => {
                    return Err(header(
                        at,
                        "it is of a sparse file; make the archive without them",
                    ));
                }
                _ => {}
            }
            rest = next;
        }
        Ok(())
    }
}

/// Takes what is said once.
fn set<T>(slot: &mut Option<T>, value: T, at: u64) -> Result<(), ArchiveError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(header(at, "a name or size is said twice of one entry")),
    }
}

/// The fields of a header that matter here.
struct Header {
    kind: u8,
    bytes: u64,
    name: String,
    link: String,
}

impl Header {
    fn parse(block: &[u8; 512], at: u64) -> Result<Self, ArchiveError> {
        let field = |from: usize, bytes: usize| block.get(from..from + bytes).unwrap_or_default();
        let sum = block.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let own = field(148, 8).iter().map(|byte| u64::from(*byte)).sum::<u64>();
        if number(field(148, 8)) != Some(sum - own + 8 * u64::from(b' ')) {
            return Err(header(at, "its checksum is wrong"));
        }
        let name = text(until_nul(field(0, 100)), at)?;
        // Only POSIX has a prefix; GNU keeps times there.
        let prefix = match field(257, 6) {
            b"ustar\0" => text(until_nul(field(345, 155)), at)?,
            _ => String::new(),
        };
        Ok(Self {
            kind: block.get(156).copied().unwrap_or_default(),
            bytes: number(field(124, 12)).ok_or_else(|| header(at, "its size is no number"))?,
            name: if prefix.is_empty() { name } else { format!("{prefix}/{name}") },
            link: text(until_nul(field(157, 100)), at)?,
        })
    }
}

/// Octal digits between spaces and NULs, or the first bit and a number in base 256 (GNU).
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        return rest.iter().try_fold(0_u64, |sum, byte| {
            sum.checked_mul(256).and_then(|sum| sum.checked_add(u64::from(*byte)))
        });
    }
    let digits = std::str::from_utf8(field).ok()?; // not a number is an answer
    let digits = digits.trim_matches([' ', '\0']);
    if digits.is_empty() {
        return Some(0);
    }
    let is_octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    is_octal.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?; // not a number is an answer
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| digits.parse().ok()).flatten() // nor is one that is too large
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn text(bytes: &[u8], at: u64) -> Result<String, ArchiveError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(header(at, "a name is not UTF-8, or has a NUL in it")),
    }
}

/// The name of an entry as the table has it: without `./` in front and `/` at the end.
fn path_of(name: &str) -> Result<String, ArchiveError> {
    let path = name.strip_prefix("./").unwrap_or(name);
    let path = path.strip_suffix('/').unwrap_or(path);
    if matches!(path, "" | ".") && name.starts_with('.') {
        return Ok(String::new()); // the top itself, as `tar -C layout -c .` writes it
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(refused(name, "its name is too long"));
    }
    if path.starts_with('/') {
        return Err(refused(name, "its name is absolute"));
    }
    let odd = |part: &str| matches!(part, "" | "." | "..");
    if path.split('/').any(odd) {
        return Err(refused(name, "its name has an empty component, a . or a .."));
    }
    Ok(path.to_owned())
}

/// Where a symbolic link leads to inside the archive.
fn target_of(link: &str, target: &str) -> Result<String, ArchiveError> {
    if target.starts_with('/') {
        return Err(refused(link, "it is a link to an absolute path"));
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop(); // the link's own name
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_some() => {}
            ".." => return Err(refused(link, "it is a link that leads out of the archive")),
            part => parts.push(part),
        }
    }
    path_of(&parts.join("/"))
}

fn header(at: u64, reason: &'static str) -> ArchiveError {
    ArchiveError::Header { at, reason }
}

fn refused(name: &str, reason: &'static str) -> ArchiveError {
    ArchiveError::Entry { name: name.chars().take(80).collect(), reason }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tar::{self, Tar};
    use super::*;
    use crate::disk::Disk;

    fn open(bytes: &[u8]) -> (tempfile::TempDir, Handle) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        crate::disk::write_file_new(&path, bytes).unwrap();
        let handle = Disk::default().open(&path).unwrap();
        (directory, handle)
    }

    /// What an archive has under a name.
    fn check(archive: &[u8], name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let (_directory, handle) = open(archive);
        let Some(Extent { offset, bytes }) = Table::read(&handle)?.find(name)? else {
            return Ok(None);
        };
        let mut content = vec![0; usize::try_from(bytes).unwrap()];
        assert_eq!(handle.read_at(offset, &mut content)?, content.len());
        Ok(Some(content))
    }

    #[test]
    fn archives_that_programs_write_are_read() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        let path_record = tar::record("path", &long);
        let size_record = tar::record("size", "1");
        let comment = tar::record("comment", "a commit");
        let table: Vec<(Tar, &str)> = vec![
            (Tar::default().file("a", b"x"), "a"),
            (Tar::default().directory("d/").file("d/a", b"x"), "d/a"),
            (Tar::default().directory("./").file("./a", b"x"), "a"),
            (Tar::default().file("b", &[7; 1000]).file("a", b"x").file("c", b""), "a"),
            (Tar::default().entry(tar::Entry { prefix: "p/q", ..tar::file("a") }, b"x"), "p/q/a"),
            (
                Tar::default().extension(b'L', format!("{long}\0").as_bytes()).file("dd", b"x"),
                &long,
            ),
            (Tar::default().extension(b'x', path_record.as_bytes()).file("dd", b"x"), &long),
            (Tar::default().extension(b'x', size_record.as_bytes()).file("a", b"x"), "a"),
            (Tar::default().extension(b'g', comment.as_bytes()).file("a", b"x"), "a"),
            (
                Tar::default()
                    .entry(tar::Entry { size: tar::in_base_256(1), ..tar::file("a") }, b"x"),
                "a",
            ),
            (Tar::default().entry(tar::Entry { kind: 0, ..tar::file("a") }, b"x"), "a"),
            (Tar::default().file("d/b", b"x").link(b'2', "e/a", "../d/./b"), "e/a"),
            (Tar::default().link(b'2', "a", "b").link(b'2', "b", "c").file("c", b"x"), "a"),
            (Tar::default().file("d/b", b"x").link(b'1', "a", "d/b"), "a"),
            (Tar::default().file("a", b"x").file("a", b"x").file("./a", b"x"), "a"),
            (Tar::default().link(b'2', "b", "a").link(b'2', "b", "a").file("a", b"x"), "b"),
        ];
        for (number, (tar, name)) in table.into_iter().enumerate() {
            let found = check(&tar.finish(), name);
            assert!(matches!(&found, Ok(Some(content)) if content == b"x"), "{number} {found:?}");
        }
        let archive = Tar::default().file("a", b"x").link(b'2', "b", "nowhere").finish();
        assert_eq!(check(&archive, "d").unwrap(), None);
        assert_eq!(check(&archive, "b").unwrap(), None);
        assert_eq!(check(&archive[..archive.len() - 512], "a").unwrap(), Some(b"x".to_vec()));
        assert_eq!(check(&[0; 1024], "a").unwrap(), None);
    }

    fn reason(archive: &[u8]) -> &'static str {
        match check(archive, "a") {
            Err(ArchiveError::Header { reason, .. } | ArchiveError::Entry { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn must_reject_names() {
        for name in ["/a", "../a", "a/../../b", "a/./b", "a//b", "a/.."] {
            let archive = Tar::default().file(name, b"x").finish();
            assert!(reason(&archive).starts_with("its name "), "{name}");
            let record = tar::record("path", name);
            let archive =
                Tar::default().extension(b'x', record.as_bytes()).file("b", b"x").finish();
            assert!(reason(&archive).starts_with("its name "), "{name}");
        }
        let long = tar::record("path", &format!("{}a", "a/".repeat(PATH_BYTES_MAX)));
        let archive = Tar::default().extension(b'x', long.as_bytes()).file("b", b"x");
        assert_eq!(reason(&archive.finish()), "its name is too long");
        let archive = Tar::default().entry(tar::Entry { name: b"\xff", ..tar::file("") }, b"x");
        assert_eq!(reason(&archive.finish()), "a name is not UTF-8, or has a NUL in it");
        let nul = tar::record("path", "a\0b");
        let archive = Tar::default().extension(b'x', nul.as_bytes()).file("b", b"x");
        assert_eq!(reason(&archive.finish()), "a name is not UTF-8, or has a NUL in it");
    }

    #[test]
    fn must_reject_links_and_special_files() {
        for (kind, target, expected) in [
            (b'2', "/etc/passwd", "it is a link to an absolute path"),
            (b'2', "../b", "it is a link that leads out of the archive"),
            (b'2', "b/../../c", "it is a link that leads out of the archive"),
            (b'1', "/b", "its name is absolute"),
            (b'1', "../b", "its name has an empty component, a . or a .."),
            (b'3', "", "it is neither a file, a directory nor a link"),
            (b'6', "", "it is neither a file, a directory nor a link"),
            (b'S', "", "it is a sparse file; make the archive without them"),
        ] {
            assert_eq!(reason(&Tar::default().link(kind, "a", target).finish()), expected);
        }
        let circle = Tar::default().link(b'2', "a", "b").link(b'2', "b", "a").finish();
        assert_eq!(reason(&circle), "it is a link that leads through too many others");
        for kind in [b'1', b'2', b'5'] {
            let archive = Tar::default().entry(tar::Entry { kind, ..tar::file("a") }, b"x");
            assert_eq!(reason(&archive.finish()), "it is a directory or a link, and has content");
        }
    }

    #[test]
    fn must_reject_two_meanings() {
        let twice = |second: Tar| check(&second.finish(), "a");
        for archive in [
            Tar::default().file("a", b"x").file("a", b"y"),
            Tar::default().file("a", b"x").file("./a", b"xx"),
            Tar::default().file("a", b"x").link(b'2', "a", "b"),
            Tar::default().link(b'2', "a", "b").link(b'2', "a", "c"),
        ] {
            assert!(matches!(twice(archive), Err(ArchiveError::Twice { name }) if name == "a"));
        }
        let two = tar::record("path", "b") + &tar::record("path", "c");
        let archive = Tar::default().extension(b'x', two.as_bytes()).file("a", b"x");
        assert_eq!(reason(&archive.finish()), "a name or size is said twice of one entry");
        let other = tar::record("size", "2");
        let archive = Tar::default().extension(b'x', other.as_bytes()).file("a", b"x");
        assert_eq!(reason(&archive.finish()), "two sizes are said of one entry");
        let path = tar::record("path", "b");
        let archive = Tar::default().extension(b'g', path.as_bytes()).file("a", b"x");
        assert_eq!(reason(&archive.finish()), "it gives all entries one name or size");
        let sparse = tar::record("GNU.sparse.major", "1");
        let archive = Tar::default().extension(b'x', sparse.as_bytes()).file("a", b"x");
        assert_eq!(
            reason(&archive.finish()),
            "it is of a sparse file; make the archive without them"
        );
        let archive = Tar::default().extension(b'L', b"a\0").finish();
        assert_eq!(reason(&archive), "the archive ends after an extension header");
        for record in ["", "5", "5 a\n", "99 a=b\n", "+6 a=b\n", "6 a=bc", "3 ="] {
            let archive = Tar::default().extension(b'x', record.as_bytes()).file("a", b"x");
            let is_empty = record.is_empty();
            assert!(
                is_empty || reason(&archive.finish()) == "a PAX record is malformed",
                "{record}"
            );
        }
    }

    #[test]
    fn must_reject_what_follows_one_block_of_zeroes() {
        let first = Tar::default().file("a", b"x").unfinished();
        let rest = Tar::default().file("b", b"y").finish();
        let archive = [first.as_slice(), &[0; 512], &rest].concat();
        assert_eq!(reason(&archive), "an entry follows a single block of zeroes");
        let archive = [first.as_slice(), &[0; 700]].concat();
        assert!(matches!(check(&archive, "a"), Err(ArchiveError::Cut { .. })));
        // Behind two of them is no part of the archive any more.
        let archive = [first.as_slice(), &[0; 1024], &rest].concat();
        assert_eq!(check(&archive, "a").unwrap(), Some(b"x".to_vec()));
        assert_eq!(check(&archive, "b").unwrap(), None);
    }

    #[test]
    fn must_reject_what_is_no_archive_or_half_of_one() {
        let cut = |archive: &[u8]| matches!(check(archive, "a"), Err(ArchiveError::Cut { .. }));
        let whole = Tar::default().file("a", &[7; 700]).finish();
        for length in [0, 1, 511, 512, 600, 1000, 1535, 1536, 1600] {
            assert!(cut(&whole[..length]), "{length}");
        }
        let beyond = tar::Entry { size: *b"77777777777\0", ..tar::file("a") };
        assert!(cut(&Tar::default().entry(beyond, b"").finish()));
        let beyond = tar::Entry { size: tar::in_base_256(u64::MAX), ..tar::file("a") };
        assert!(cut(&Tar::default().entry(beyond, b"").finish()));
        assert_eq!(reason(&[b'x'; 1024]), "its checksum is wrong");
        let mut damaged = Tar::default().file("a", b"x").finish();
        damaged[3] ^= 1;
        assert_eq!(reason(&damaged), "its checksum is wrong");
        for size in [*b"9\0\0\0\0\0\0\0\0\0\0\0", *b"-1\0\0\0\0\0\0\0\0\0\0", [0xff; 12]] {
            let entry = tar::Entry { size, ..tar::file("a") };
            assert_eq!(reason(&Tar::default().entry(entry, b"").finish()), "its size is no number");
        }
    }

    #[test]
    fn headers_are_bounded() {
        let long = vec![b'a'; usize::try_from(ARCHIVE_EXTENSION_BYTES_MAX).unwrap() + 1];
        for kind in *b"LKxg" {
            let archive = Tar::default().extension(kind, &long).file("a", b"x").finish();
            let result = check(&archive, "a");
            let bytes = ARCHIVE_EXTENSION_BYTES_MAX + 1;
            assert!(
                matches!(result, Err(ArchiveError::ExtensionTooLarge { at: 0, bytes: b }) if b == bytes)
            );
        }
        let header = Tar::default().file("a", b"").finish()[..512].to_vec();
        let (_directory, handle) = open(&[header.repeat(10), vec![0; 1024]].concat());
        Table::read_within(&handle, 11).unwrap(); // the end is a header as well
        let result = Table::read_within(&handle, 10);
        assert!(matches!(result, Err(ArchiveError::TooManyEntries)), "{result:?}");
    }
}
