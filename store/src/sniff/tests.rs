//! What is told apart, that nothing which merely looks like it is, and that no bytes do harm.

use proptest::prelude::*;

use super::*;
use ContentKind as Kind;

fn check(bytes: &[u8], kind: ContentKind, platform: Option<&str>) {
    let found = sniff(bytes, u64::try_from(bytes.len()).unwrap());
    let expected = Sniffed { kind, platform: platform.map(|text| text.parse().unwrap()) };
    let beginning = &bytes[..bytes.len().min(24)];
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(beginning));
}

/// The fields of an ELF header that say what a program runs on.
#[derive(Clone, Copy)]
struct Elf {
    is_64: bool,
    is_little: bool,
    os_abi: u8,
    kind: u16,
    machine: u16,
}

const AMD64: Elf = Elf { is_64: true, is_little: true, os_abi: 0, kind: 2, machine: 62 };

impl Elf {
    fn number(self, bytes: usize, value: u64) -> Vec<u8> {
        let big = value.to_be_bytes();
        let mut number = big[8 - bytes..].to_vec();
        if self.is_little {
            number.reverse();
        }
        number
    }

    /// A file with this header, program headers of these types, and their bytes.
    fn with(self, segments: &[(u32, &[u8])]) -> Vec<u8> {
        let word = if self.is_64 { 8 } else { 4 };
        let header_bytes = if self.is_64 { 64 } else { 52 };
        let segment_bytes = if self.is_64 { 56_usize } else { 32 };
        let count = u64::try_from(segments.len()).unwrap();
        let class = [if self.is_64 { 2 } else { 1 }, if self.is_little { 1 } else { 2 }];
        let mut file = [b"\x7fELF", &class[..], &[1, self.os_abi], &[0; 8]].concat();
        file.extend(self.number(2, self.kind.into()));
        file.extend(self.number(2, self.machine.into()));
        file.extend(self.number(4, 1));
        file.extend(self.number(word, 0));
        file.extend(self.number(word, if count == 0 { 0 } else { header_bytes }));
        file.extend(self.number(word, 0));
        file.extend(self.number(4, 0));
        for field in [header_bytes, u64::try_from(segment_bytes).unwrap(), count, 64, 0, 0] {
            file.extend(self.number(2, field));
        }
        let mut at = file.len() + segments.len() * segment_bytes;
        for (kind, bytes) in segments {
            let (offset, length) =
                (u64::try_from(at).unwrap(), u64::try_from(bytes.len()).unwrap());
            file.extend(self.number(4, (*kind).into()));
            let flags = self.number(4, 4);
            if self.is_64 {
                file.extend(&flags);
            }
            for field in [offset, 0, 0, length, length] {
                file.extend(self.number(word, field));
            }
            if !self.is_64 {
                file.extend(&flags);
            }
            file.extend(self.number(word, 4));
            at += bytes.len();
        }
        segments.iter().for_each(|(_, bytes)| file.extend(*bytes));
        file
    }

    fn note(self, name: &[u8]) -> Vec<u8> {
        let mut note = self.number(4, u64::try_from(name.len()).unwrap());
        note.extend(self.number(4, 4));
        note.extend(self.number(4, 1));
        note.extend(name);
        note.resize(note.len().next_multiple_of(4), 0);
        note.extend(self.number(4, 0));
        note
    }
}

#[test]
fn elf_machines() {
    for (is_64, is_little, machine, expected) in [
        (true, true, 62, Some("linux/amd64")),
        (false, true, 3, Some("linux/386")),
        (true, true, 183, Some("linux/arm64")),
        (false, true, 40, Some("linux/arm")),
        (true, true, 21, Some("linux/ppc64le")),
        (true, false, 21, Some("linux/ppc64")),
        (true, false, 22, Some("linux/s390x")),
        (true, true, 243, Some("linux/riscv64")),
        (true, true, 258, Some("linux/loong64")),
        (false, false, 8, Some("linux/mips")),
        (false, true, 8, Some("linux/mipsle")),
        (true, true, 8, Some("linux/mips64le")),
        // x32, 31-bit s390, 32-bit RISC-V, BPF: no words for them.
        (false, true, 62, None),
        (false, false, 22, None),
        (false, true, 243, None),
        (true, true, 247, None),
        (true, false, 62, None),
    ] {
        check(&Elf { is_64, is_little, machine, ..AMD64 }.with(&[]), Kind::Elf, expected);
    }
}

#[test]
fn elf_systems() {
    let abi = |os_abi| Elf { os_abi, ..AMD64 }.with(&[]);
    for (os_abi, expected) in [
        (0, Some("linux/amd64")),
        (3, Some("linux/amd64")),
        (9, Some("freebsd/amd64")),
        (2, Some("netbsd/amd64")),
        (12, Some("openbsd/amd64")),
        (255, None),
    ] {
        check(&abi(os_abi), Kind::Elf, expected);
    }
    for (loader, expected) in [
        (&b"/lib64/ld-linux-x86-64.so.2\0"[..], "linux/amd64"),
        (b"/usr/libexec/ld.so\0", "openbsd/amd64"),
        (b"/libexec/ld.elf_so\0", "netbsd/amd64"),
        (b"/libexec/ld-elf.so.1\0", "freebsd/amd64"),
        (b"/system/bin/linker64\0", "android/amd64"),
        (b"/usr/libexec/ld.so", "linux/amd64"), // it has no end
    ] {
        check(&AMD64.with(&[(1, b"code"), (3, loader)]), Kind::Elf, Some(expected));
    }
    for elf in [AMD64, Elf { is_64: false, is_little: false, machine: 8, ..AMD64 }] {
        let expected = if elf.is_64 { "openbsd/amd64" } else { "openbsd/mips" };
        let notes = [elf.note(b"GNU\0"), elf.note(b"OpenBSD\0")].concat();
        check(&elf.with(&[(4, &notes)]), Kind::Elf, Some(expected));
    }
    for kind in [0, 1, 4, 0xfe00] {
        check(&Elf { kind, ..AMD64 }.with(&[]), Kind::Elf, None);
    }
    check(&Elf { kind: 3, ..AMD64 }.with(&[]), Kind::Elf, Some("linux/amd64"));
}

#[test]
fn elf_that_is_cut_or_lies() {
    let whole = AMD64.with(&[(3, b"/usr/libexec/ld.so\0")]);
    for length in 4..64 {
        check(&whole[..length], Kind::Elf, None);
    }
    // Headers that point beyond the window say nothing; the machine still does.
    for length in 64..whole.len() {
        check(&whole[..length], Kind::Elf, Some("linux/amd64"));
    }
    for at in [4, 5, 6] {
        let mut wrong = whole.clone();
        wrong[at] = 9;
        check(&wrong, Kind::Elf, None);
    }
    let mut countless = whole;
    countless[56..58].fill(0xff);
    check(&countless, Kind::Elf, Some("linux/amd64"));
}

#[test]
fn the_program_that_runs_this_is_one() {
    #[expect(clippy::disallowed_methods, reason = "a test reads its own program")]
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let found = sniff(&bytes, u64::try_from(bytes.len()).unwrap());
    assert_eq!(found.kind, Kind::Elf);
    assert_eq!(found.platform.unwrap().os, "linux");
}

fn macho(magic: u32, cpu: u32, commands: &[u8]) -> Vec<u8> {
    let count = u32::from(!commands.is_empty());
    let bytes = u32::try_from(commands.len()).unwrap();
    let mut file: Vec<u8> =
        [magic, cpu, 0, 2, count, bytes, 0].iter().flat_map(|field| field.to_le_bytes()).collect();
    if magic == 0xfeed_facf {
        file.extend([0; 4]);
    }
    file.extend(commands);
    file
}

fn build_version(platform: u32) -> Vec<u8> {
    [0x32, 24, platform, 0, 0, 0].iter().flat_map(|field: &u32| field.to_le_bytes()).collect()
}

fn universal(magic: u32, cpus: &[u32]) -> Vec<u8> {
    let count = u32::try_from(cpus.len()).unwrap();
    let mut file = [magic.to_be_bytes(), count.to_be_bytes()].concat();
    for cpu in cpus {
        file.extend(cpu.to_be_bytes());
        file.extend([0; 4 * 4]);
        if magic == 0xcafe_babf {
            file.extend([0; 3 * 4]);
        }
    }
    file
}

#[test]
fn mach_o() {
    const AMD64: u32 = 0x0100_0007;
    const ARM64: u32 = 0x0100_000c;
    check(&macho(0xfeed_facf, AMD64, &[]), Kind::MachO, Some("darwin/amd64"));
    check(&macho(0xfeed_facf, ARM64, &build_version(1)), Kind::MachO, Some("darwin/arm64"));
    check(&macho(0xfeed_facf, ARM64, &build_version(2)), Kind::MachO, Some("ios/arm64"));
    check(&macho(0xfeed_facf, ARM64, &build_version(13)), Kind::MachO, None);
    check(&macho(0xfeed_face, 7, &[]), Kind::MachO, Some("darwin/386"));
    check(&macho(0xfeed_facf, 99, &[]), Kind::MachO, None);
    check(&macho(0xfeed_facf, AMD64, &build_version(2)[..20]), Kind::MachO, Some("darwin/amd64"));
    for length in 4..32 {
        check(&macho(0xfeed_facf, AMD64, &[])[..length], Kind::MachO, None);
    }
    for magic in [0xcafe_babe, 0xcafe_babf] {
        check(&universal(magic, &[AMD64, ARM64]), Kind::MachOUniversal, None);
        check(&universal(magic, &[ARM64]), Kind::MachOUniversal, Some("darwin/arm64"));
        check(&universal(magic, &[ARM64])[..20], Kind::MachOUniversal, None);
    }
    // A Java class of version 52.
    check(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52, 1], Kind::Unknown, None);
    check(&[0xca, 0xfe, 0xba, 0xbe, 0, 0], Kind::Unknown, None);
}

fn pe(at: u32, magic: u16, machine: u16, subsystem: u16) -> Vec<u8> {
    let mut file = vec![0; 400];
    file[..2].copy_from_slice(b"MZ");
    file[60..64].copy_from_slice(&at.to_le_bytes());
    let at = usize::try_from(at).unwrap();
    if let Some(header) = file.get_mut(at..) {
        header[..4].copy_from_slice(b"PE\0\0");
        header[4..6].copy_from_slice(&machine.to_le_bytes());
        header[20..22].copy_from_slice(&240_u16.to_le_bytes());
        header[24..26].copy_from_slice(&magic.to_le_bytes());
        header[24 + 68..24 + 70].copy_from_slice(&subsystem.to_le_bytes());
    }
    file
}

#[test]
fn portable_executables() {
    check(&pe(64, 0x20b, 0x8664, 3), Kind::Pe, Some("windows/amd64"));
    check(&pe(64, 0x20b, 0xaa64, 3), Kind::Pe, Some("windows/arm64"));
    check(&pe(64, 0x10b, 0x14c, 2), Kind::Pe, Some("windows/386"));
    check(&pe(64, 0x10b, 0x1c4, 3), Kind::Pe, Some("windows/arm/v7"));
    check(&pe(64, 0x20b, 0x8664, 10), Kind::Pe, None);
    check(&pe(64, 0x20b, 0x0200, 3), Kind::Pe, None);
    check(&pe(64, 0x107, 0x8664, 3), Kind::Pe, None);
    check(&pe(1 << 20, 0x20b, 0x8664, 3), Kind::Unknown, None);
    check(b"MZ but not more", Kind::Text, None);
}

/// A header of tar, and as many bytes behind it as it says.
fn tar(name: &str, bytes: usize) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{bytes:011o}").as_bytes());
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.resize(512 + bytes.next_multiple_of(512), b'x');
    block
}

#[test]
fn archives_by_their_first_names() {
    let hex = "a".repeat(64);
    let layer = format!("{hex}/layer.tar");
    for (names, kind) in [
        (vec!["a", "b"], Kind::Tar),
        (vec!["oci-layout"], Kind::OciArchive),
        (vec!["./", "./oci-layout"], Kind::OciArchive),
        (vec!["blobs/", "blobs/sha256/", &format!("blobs/sha256/{hex}")], Kind::OciArchive),
        (vec!["manifest.json"], Kind::DockerArchive),
        (vec![&layer], Kind::DockerArchive),
        (vec![&format!("{hex}.json")], Kind::DockerArchive),
        (vec!["manifest.json", "oci-layout"], Kind::OciArchive),
        (vec!["in/oci-layout", "in/manifest.json"], Kind::Tar),
        (vec![&format!("{hex}.txt")], Kind::Tar),
        (vec![&format!("blobs/sha256/{hex}0")], Kind::Tar),
    ] {
        let archive: Vec<u8> = names.iter().flat_map(|name| tar(name, 700)).collect();
        check(&archive, kind, None);
    }
    let far = [tar("large", WINDOW_BYTES), tar("oci-layout", 30)].concat();
    check(&far, Kind::Tar, None);
    let mut endless = tar("a", 0);
    endless[124..136].copy_from_slice(&[0x80, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    let sum: u64 = endless
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    endless[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    check(&endless, Kind::Tar, None);
    let mut wrong = tar("a", 0);
    wrong[0] = b'b';
    check(&wrong, Kind::Unknown, None);
    check(&tar("a", 0)[..511], Kind::Unknown, None);
    check(&[0; 1024], Kind::Unknown, None);
}

#[test]
fn magic_numbers() {
    for (bytes, kind) in [
        (&[0x1f, 0x8b, 8, 0][..], Kind::Gzip),
        (b"PK\x03\x04...", Kind::Zip),
        (b"PK\x05\x06", Kind::Zip),
        (b"\xfd7zXZ\0", Kind::Xz),
        (b"\x28\xb5\x2f\xfd", Kind::Zstd),
        (b"BZh9", Kind::Bzip2),
        (b"!<arch>\ndebian-binary   1", Kind::Deb),
        (b"!<arch>\nx.o/            1", Kind::Ar),
        (b"", Kind::Empty),
        (&[0x1f, 0x8b, 9, 0], Kind::Unknown),
        (b"PK\x01\x02", Kind::Unknown),
        (b"\0", Kind::Unknown),
    ] {
        check(bytes, kind, None);
    }
}

/// Lead, a signature header with nothing in it, and a header with these tags.
fn rpm(tags: &[(u32, u32, &str)], signature_bytes: usize) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let mut file = vec![0; 96];
    file[..4].copy_from_slice(&[0xed, 0xab, 0xee, 0xdb]);
    let begin = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    file.extend([&begin[..], &number(0), &number(signature_bytes)].concat());
    file.resize((file.len() + signature_bytes).next_multiple_of(8), 0);
    let texts: Vec<u8> =
        tags.iter().flat_map(|(_, _, text)| [text.as_bytes(), &[0]].concat()).collect();
    file.extend([&begin[..], &number(tags.len()), &number(texts.len())].concat());
    let mut offset = 0;
    for (tag, kind, text) in tags {
        file.extend([tag.to_be_bytes(), kind.to_be_bytes(), number(offset), number(1)].concat());
        offset += text.len() + 1;
    }
    file.extend(texts);
    file
}

#[test]
fn rpm_packages() {
    let of = |architecture| rpm(&[(1000, 6, "x"), (1021, 6, "linux"), (1022, 6, architecture)], 13);
    check(&of("x86_64"), Kind::Rpm, Some("linux/amd64"));
    check(&of("aarch64"), Kind::Rpm, Some("linux/arm64"));
    check(&of("armv7hl"), Kind::Rpm, Some("linux/arm/v7"));
    check(&of("noarch"), Kind::Rpm, None);
    let source = [(1021, 6, "linux"), (1022, 6, "x86_64"), (1106, 4, "")];
    check(&rpm(&source, 0), Kind::Rpm, None);
    check(&rpm(&[(1021, 6, "irix"), (1022, 6, "x86_64")], 0), Kind::Rpm, None);
    check(&rpm(&[(1021, 6, "linux"), (1022, 4, "x86_64")], 0), Kind::Rpm, None);
    check(&rpm(&[(1022, 6, "x86_64")], 0), Kind::Rpm, None);
    check(&rpm(&[(1021, 6, "linux"), (1022, 6, "x86_64")], WINDOW_BYTES), Kind::Rpm, None);
    let whole = of("x86_64");
    for length in 4..whole.len() - 7 {
        check(&whole[..length], Kind::Rpm, None);
    }
}

#[test]
fn text_and_json() {
    let manifest = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    let docker = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","x":1}}"#,
        "application/vnd.docker.distribution.manifest.list.v2+json"
    );
    for (text, kind) in [
        ("#!/bin/sh\n", Kind::Script),
        ("hello\n", Kind::Text),
        ("\u{feff}hellö\n", Kind::Text),
        ("a\0b", Kind::Unknown),
        ("a\u{7}", Kind::Unknown),
        ("{}", Kind::Json),
        (" [1, 2]\n", Kind::Json),
        ("[not JSON", Kind::Text),
        ("{\"a\":1} and more", Kind::Text),
        ("\"text\"", Kind::Text),
        (r#"{"layers":7}"#, Kind::Json),
        (manifest, Kind::OciManifest),
        (&manifest.replace('2', "1"), Kind::Json),
        (&manifest.replace("layers", "players"), Kind::Json),
        (r#"{"schemaVersion":2,"manifests":[]}"#, Kind::OciIndex),
        (&docker, Kind::OciIndex),
        (&docker.replace(".list.", "."), Kind::OciManifest),
        (r#"{"imageLayoutVersion":"1.0.0"}"#, Kind::OciLayout),
        (&"[".repeat(5000), Kind::Text),
    ] {
        check(text.as_bytes(), kind, None);
    }
    check(b"latin \xe9\n", Kind::Unknown, None);
}

/// What goes on behind the window is judged by its beginning.
#[test]
fn the_window_is_all_that_is_looked_at() {
    let long = u64::try_from(WINDOW_BYTES).unwrap() + 100;
    let json = format!("{{\"a\":\"{}", "x".repeat(WINDOW_BYTES));
    assert_eq!(sniff(json.as_bytes(), long).kind, Kind::Json);
    assert_eq!(sniff("{no".repeat(WINDOW_BYTES).as_bytes(), long).kind, Kind::Text);
    let cut_inside = format!("{}é", "x".repeat(WINDOW_BYTES - 1));
    assert_eq!(sniff(cut_inside.as_bytes(), long).kind, Kind::Text);
    let mut late = "x".repeat(WINDOW_BYTES).into_bytes();
    late.push(0);
    assert_eq!(sniff(&late, long).kind, Kind::Text);
    assert_eq!(sniff(b"half \xc3", 6).kind, Kind::Unknown);
    let mut window = Window::default();
    late.chunks(1000).for_each(|chunk| window.see(chunk));
    assert_eq!((window.0.len(), window.sniff(long).kind), (WINDOW_BYTES, Kind::Text));
}

fn samples() -> Vec<Vec<u8>> {
    vec![
        AMD64.with(&[(4, &AMD64.note(b"OpenBSD\0")), (3, b"/usr/libexec/ld.so\0")]),
        Elf { is_64: false, is_little: false, machine: 8, ..AMD64 }.with(&[(3, b"/x\0")]),
        macho(0xfeed_facf, 0x0100_0007, &build_version(1)),
        universal(0xcafe_babe, &[7, 12]),
        universal(0xcafe_babf, &[7]),
        pe(64, 0x20b, 0x8664, 3),
        pe(64, 0x10b, 0x14c, 2),
        [tar("a", 10), tar("oci-layout", 30)].concat(),
        rpm(&[(1021, 6, "linux"), (1022, 6, "x86_64")], 13),
        br#"{"schemaVersion":2,"config":{},"layers":[]}"#.to_vec(),
        b"!<arch>\ndebian-binary".to_vec(),
    ]
}

/// What is found in a fixed table of beginnings. A fact that an earlier program wrote is looked for again only
/// where the version tells that the answers changed.
#[test]
fn other_answers_are_another_version() {
    let numbers = || 0..=300;
    let elf = |machine| {
        let forms = [(true, true), (true, false), (false, true), (false, false)];
        forms.map(|(is_64, is_little)| Elf { is_64, is_little, machine, ..AMD64 }.with(&[]))
    };
    let mut table = samples();
    table.extend(numbers().flat_map(elf));
    table.extend((0..=20).map(|os_abi| Elf { os_abi, ..AMD64 }.with(&[])));
    table.extend((0..=6).map(|kind| Elf { kind, ..AMD64 }.with(&[])));
    table.extend((0..=20).map(|cpu| macho(0xfeed_facf, 0x0100_0000 + cpu, &build_version(1))));
    table
        .extend((0..=14).map(|platform| macho(0xfeed_facf, 0x0100_0007, &build_version(platform))));
    let machines = [0x14c, 0x1c0, 0x1c2, 0x1c4, 0x200, 0x8664, 0xaa64, 0x5032, 0x5064, 0x6264];
    table.extend(machines.map(|machine| pe(64, 0x20b, machine, 3)));
    table.extend((0..=16).map(|subsystem| pe(64, 0x20b, 0x8664, subsystem)));
    table.extend(
        ["x86_64", "aarch64", "i686", "armv7hl", "ppc64le", "s390x", "riscv64", "noarch", "src"]
            .map(|machine| rpm(&[(1021, 6, "linux"), (1022, 6, machine)], 13)),
    );
    table.extend((0..=255).map(|byte| vec![byte, 0x8b, 8, 0]));
    let beginnings: [&[u8]; 12] = [
        b"",
        b"text\n",
        b"{}",
        b"[1]",
        b"{",
        b"#!/bin/sh\n",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\xfd7zXZ\0",
        b"BZh9",
        b"\x28\xb5\x2f\xfd",
        b"!<arch>\n",
    ];
    table.extend(beginnings.map(<[u8]>::to_vec));
    let answers = table.iter().map(|bytes| {
        let found = sniff(bytes, u64::try_from(bytes.len()).unwrap());
        let platform = found.platform.map(|platform| platform.to_string());
        format!("{} {}\n", found.kind.as_str(), platform.unwrap_or_default())
    });
    let digest = bonded_model::Digest::sha256_of(answers.collect::<String>().as_bytes());
    let expected = "sha256:e31e60ca392bce90562a4bf2cd79b20efc84e874fcc30a1658fd4d2fe47213ea";
    assert_eq!(
        (VERSION, digest.to_string().as_str()),
        (1, expected),
        "raise VERSION with the digest"
    );
}

proptest! {
    #![proptest_config(crate::tests::cases(2_000))]

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600), size in any::<u64>()) {
        sniff(&bytes, size);
    }

    /// Headers of every format with a few bytes changed, and cut somewhere.
    #[test]
    fn no_header_does_harm(
        sample in proptest::sample::select(samples()),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8),
        length in any::<proptest::sample::Index>(),
        size in any::<u64>(),
    ) {
        let mut bytes = sample;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let length = length.index(bytes.len() + 1);
        sniff(&bytes, size);
        sniff(&bytes[..length], size);
    }
}
