//! Archives made by hand, the malformed ones among them.

/// The fields of one header.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
    pub(crate) link: &'a str,
    pub(crate) prefix: &'a str,
    /// As it stands in the header; all NULs give the length of the content.
    pub(crate) size: [u8; 12],
}

pub(crate) fn file(name: &str) -> Entry<'_> {
    Entry { kind: b'0', name: name.as_bytes(), link: "", prefix: "", size: [0; 12] }
}

pub(crate) fn in_base_256(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[0] = 0x80;
    field[4..].copy_from_slice(&size.to_be_bytes());
    field
}

/// A PAX record, whose length counts its own digits.
pub(crate) fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

/// An archive that grows.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        match name.len() {
            0..=100 => self.entry(file(name), bytes),
            _ => self.extension(b'x', record("path", name).as_bytes()).entry(file("long"), bytes),
        }
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(Entry { kind: b'5', ..file(name) }, b"")
    }

    pub(crate) fn link(self, kind: u8, name: &str, link: &str) -> Self {
        self.entry(Entry { kind, link, ..file(name) }, b"")
    }

    pub(crate) fn extension(self, kind: u8, bytes: &[u8]) -> Self {
        self.entry(Entry { kind, ..file("extension") }, bytes)
    }

    pub(crate) fn entry(mut self, entry: Entry<'_>, bytes: &[u8]) -> Self {
        let length = format!("{:011o}\0", bytes.len());
        let size = if entry.size == [0; 12] { length.as_bytes() } else { &entry.size };
        let mut header = [0_u8; 512];
        for (at, field) in [
            (0, entry.name),
            (100, b"0000644\0"),
            (124, size),
            (148, b"        "),
            (156, &[entry.kind]),
            (157, entry.link.as_bytes()),
            (257, b"ustar\x0000"),
            (345, entry.prefix.as_bytes()),
        ] {
            header[at..at + field.len()].copy_from_slice(field);
        }
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive so far, to which another one can be added.
    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}
