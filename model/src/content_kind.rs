//! What the bytes of a file are: the kinds that are told apart, with their names and the codes under which
//! facts keep them. Who looks at the bytes is no matter of this module.

use std::fmt;

use serde::{Serialize, Serializer};

/// What the bytes of a file are, as far as their beginning tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ContentKind {
    /// None of those below.
    Unknown,
    /// No bytes at all.
    Empty,
    /// An ELF file: program, library, object or core.
    Elf,
    /// A Mach-O file for one architecture.
    MachO,
    /// A Mach-O file for several architectures.
    MachOUniversal,
    /// A PE file: program or library for Windows, or a boot program.
    Pe,
    /// A tar archive.
    Tar,
    /// A tar archive of an OCI Image Layout.
    OciArchive,
    /// A tar archive as `docker save` wrote it before it wrote OCI layouts.
    DockerArchive,
    /// Something compressed with gzip.
    Gzip,
    /// A zip archive, and what is built on it (jar, wheel, …).
    Zip,
    /// A Debian package.
    Deb,
    /// An ar archive that is no Debian package: a static library, as a rule.
    Ar,
    /// An RPM package.
    Rpm,
    /// Something compressed with xz.
    Xz,
    /// Something compressed with zstd.
    Zstd,
    /// Something compressed with bzip2.
    Bzip2,
    /// An OCI image manifest or docker's own.
    OciManifest,
    /// An OCI index or docker's manifest list.
    OciIndex,
    /// The file `oci-layout`.
    OciLayout,
    /// Text that begins with `#!`.
    Script,
    /// JSON, or the beginning of it.
    Json,
    /// Other text in UTF-8.
    Text,
}

impl ContentKind {
    /// Every kind with the code that records keep and the name that people read. Codes are never
    /// given twice.
    const TABLE: [(Self, u8, &'static str); 23] = [
        (Self::Unknown, 1, "unknown"),
        (Self::Empty, 2, "empty"),
        (Self::Elf, 3, "elf"),
        (Self::MachO, 4, "mach-o"),
        (Self::MachOUniversal, 5, "mach-o-universal"),
        (Self::Pe, 6, "pe"),
        (Self::Tar, 7, "tar"),
        (Self::OciArchive, 8, "oci-archive"),
        (Self::DockerArchive, 9, "docker-archive"),
        (Self::Gzip, 10, "gzip"),
        (Self::Zip, 11, "zip"),
        (Self::Deb, 12, "deb"),
        (Self::Ar, 13, "ar"),
        (Self::Rpm, 14, "rpm"),
        (Self::Xz, 15, "xz"),
        (Self::Zstd, 16, "zstd"),
        (Self::Bzip2, 17, "bzip2"),
        (Self::OciManifest, 18, "oci-manifest"),
        (Self::OciIndex, 19, "oci-index"),
        (Self::OciLayout, 20, "oci-layout"),
        (Self::Script, 21, "script"),
        (Self::Json, 22, "json"),
        (Self::Text, 23, "text"),
    ];

    /// The names of all kinds.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::TABLE.iter().map(|(_, _, name)| *name)
    }

    fn row(self) -> (u8, &'static str) {
        let row = Self::TABLE.iter().find(|(kind, _, _)| *kind == self);
        row.map_or((1, "unknown"), |(_, code, name)| (*code, *name))
    }

    /// The name for people and programs: lower case, words joined by `-`.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The code under which records keep it.
    pub fn code(self) -> u8 {
        self.row().0
    }

    /// The kind with that code; `None` for a code that is not known here.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::TABLE.iter().find(|(_, of, _)| *of == code).map(|(kind, _, _)| *kind)
    }
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ContentKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_code_and_a_name_of_its_own() {
        let (mut codes, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (kind, code, name) in ContentKind::TABLE {
            assert!(codes.insert(code) && names.insert(name), "{name}");
            assert_eq!((kind.code(), kind.as_str()), (code, name));
            assert_eq!(ContentKind::from_code(code), Some(kind));
        }
        assert_eq!(ContentKind::from_code(0), None);
        assert_eq!(ContentKind::from_code(24), None);
    }

    #[test]
    fn the_format_lists_every_code() {
        let format = include_str!("../../docs/store-format.md");
        let (_, listed) = format.split_once("The codes of kinds").unwrap();
        let listed = listed.split("```").nth(1).unwrap().trim_start_matches("text");
        let listed: Vec<_> = listed.split(',').map(|row| row.trim().to_owned()).collect();
        let rows = ContentKind::TABLE.map(|(_, code, name)| format!("{code} {name}"));
        assert_eq!(listed, rows);
    }
}
