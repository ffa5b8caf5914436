//! Programs: ELF, Mach-O and PE.

use bonded_model::Platform;
use object::endian::{Endianness, LittleEndian};
use object::macho::{FatArch32, FatArch64, MachHeader32, MachHeader64};
use object::pe::{ImageDosHeader, ImageNtHeaders32, ImageNtHeaders64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::macho::{FatArch, MachHeader, MachOFatFile};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, optional_header_magic};
use object::{elf, macho, pe};

use super::{ContentKind, Sniffed, platform};

/// A universal file has one part for each architecture; a Java class, which begins with the same four
/// bytes, has its version there, which began at 45.
const UNIVERSAL_PARTS_MAX: u32 = 44;

/// Programs have a dozen segments; each that is looked at may cost a pass over the window.
const SEGMENT_COUNT_MAX: usize = 64;

pub(super) fn sniff(window: &[u8]) -> Option<Sniffed> {
    let (magic, rest) = window.split_first_chunk::<4>()?;
    let big = u32::from_be_bytes(*magic);
    match big {
        _ if *magic == elf::ELFMAG => {
            Some(Sniffed { kind: ContentKind::Elf, platform: of_elf(window) })
        }
        macho::MH_MAGIC | macho::MH_CIGAM => Some(Sniffed {
            kind: ContentKind::MachO,
            platform: of_macho::<MachHeader32<Endianness>>(window),
        }),
        macho::MH_MAGIC_64 | macho::MH_CIGAM_64 => Some(Sniffed {
            kind: ContentKind::MachO,
            platform: of_macho::<MachHeader64<Endianness>>(window),
        }),
        macho::FAT_MAGIC | macho::FAT_MAGIC_64 => {
            let parts = u32::from_be_bytes(*rest.first_chunk::<4>()?);
            let is_universal = (1..=UNIVERSAL_PARTS_MAX).contains(&parts);
            is_universal.then(|| Sniffed {
                kind: ContentKind::MachOUniversal,
                platform: if big == macho::FAT_MAGIC {
                    of_universal::<FatArch32>(window)
                } else {
                    of_universal::<FatArch64>(window)
                },
            })
        }
        _ => pe(window),
    }
}

fn of_elf(window: &[u8]) -> Option<Platform> {
    // The class stands behind the magic number.
    match window.get(4)? {
        1 => of_elf_class::<elf::FileHeader32<Endianness>>(window),
        2 => of_elf_class::<elf::FileHeader64<Endianness>>(window),
        _ => None,
    }
}

/// Objects and core files run on nothing.
fn of_elf_class<H: FileHeader<Endian = Endianness>>(window: &[u8]) -> Option<Platform> {
    let header = H::parse(window).ok()?; // no header is no platform
    let endian = header.endian().ok()?; // as above
    if ![elf::ET_EXEC, elf::ET_DYN].contains(&header.e_type(endian)) {
        return None;
    }
    let is_little = endian == Endianness::Little;
    let architecture = match (header.e_machine(endian), header.is_type_64(), is_little) {
        (elf::EM_386, false, true) => "386",
        (elf::EM_X86_64, true, true) => "amd64",
        (elf::EM_ARM, false, true) => "arm",
        (elf::EM_AARCH64, true, true) => "arm64",
        (elf::EM_PPC64, true, true) => "ppc64le",
        (elf::EM_PPC64, true, false) => "ppc64",
        (elf::EM_S390, true, false) => "s390x",
        (elf::EM_RISCV, true, true) => "riscv64",
        (elf::EM_LOONGARCH, true, true) => "loong64",
        (elf::EM_MIPS, false, true) => "mipsle",
        (elf::EM_MIPS, false, false) => "mips",
        (elf::EM_MIPS, true, true) => "mips64le",
        (elf::EM_MIPS, true, false) => "mips64",
        (elf::EM_SPARCV9, true, false) => "sparc64",
        _ => return None,
    };
    Some(platform(os_of_elf(header, endian, window)?, architecture))
}

/// Most systems leave the field for their name at 0, and Linux does nearly always; then the loader that
/// a program asks for, or a note with the system's name, may say that it is another.
fn os_of_elf<H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    window: &[u8],
) -> Option<&'static str> {
    match header.e_ident().os_abi {
        elf::ELFOSABI_LINUX => return Some("linux"),
        elf::ELFOSABI_FREEBSD => return Some("freebsd"),
        elf::ELFOSABI_NETBSD => return Some("netbsd"),
        elf::ELFOSABI_OPENBSD => return Some("openbsd"),
        elf::ELFOSABI_SOLARIS => return Some("solaris"),
        elf::ELFOSABI_NONE => {}
        _ => return None,
    }
    // Headers beyond the window tell nothing.
    let segments = header.program_headers(endian, window).unwrap_or_default();
    let told = segments.iter().take(SEGMENT_COUNT_MAX).find_map(|segment| {
        let loader = segment.interpreter(endian, window).ok().flatten(); // none in the window
        loader.and_then(os_of_loader).or_else(|| os_of_notes::<H>(segment, endian, window))
    });
    Some(told.unwrap_or("linux"))
}

fn os_of_loader(loader: &[u8]) -> Option<&'static str> {
    match loader {
        b"/libexec/ld.elf_so" | b"/usr/libexec/ld.elf_so" => Some("netbsd"),
        b"/usr/libexec/ld.so" => Some("openbsd"),
        b"/libexec/ld-elf.so.1" => Some("freebsd"),
        _ if loader.starts_with(b"/system/bin/linker") => Some("android"),
        _ => None,
    }
}

fn os_of_notes<H: FileHeader<Endian = Endianness>>(
    segment: &H::ProgramHeader,
    endian: Endianness,
    window: &[u8],
) -> Option<&'static str> {
    let mut notes = segment.notes(endian, window).ok()??; // none in the window
    while let Ok(Some(note)) = notes.next() {
        match note.name() {
            b"NetBSD" => return Some("netbsd"),
            b"OpenBSD" => return Some("openbsd"),
            b"FreeBSD" => return Some("freebsd"),
            b"Android" => return Some("android"),
            _ => {}
        }
    }
    None
}

fn of_macho<H: MachHeader<Endian = Endianness>>(window: &[u8]) -> Option<Platform> {
    let header = H::parse(window, 0).ok()?; // no header is no platform
    let endian = header.endian().ok()?; // as above
    let architecture = architecture_of_macho(header.cputype(endian))?;
    let mut os = "darwin";
    // Commands that reach beyond the window tell nothing.
    if let Ok(mut commands) = header.load_commands(endian, window, 0) {
        while let Ok(Some(command)) = commands.next() {
            if let Ok(Some((version, _))) = command.build_version(endian) {
                os = os_of_macho(version.platform.get(endian))?;
            }
        }
    }
    Some(platform(os, architecture))
}

fn architecture_of_macho(cpu: macho::CpuType) -> Option<&'static str> {
    match cpu {
        macho::CPU_TYPE_X86 => Some("386"),
        macho::CPU_TYPE_X86_64 => Some("amd64"),
        macho::CPU_TYPE_ARM => Some("arm"),
        macho::CPU_TYPE_ARM64 => Some("arm64"),
        macho::CPU_TYPE_POWERPC => Some("ppc"),
        macho::CPU_TYPE_POWERPC64 => Some("ppc64"),
        _ => None,
    }
}

fn os_of_macho(platform: macho::Platform) -> Option<&'static str> {
    match platform {
        macho::PLATFORM_MACOS | macho::PLATFORM_MACCATALYST => Some("darwin"),
        macho::PLATFORM_IOS | macho::PLATFORM_IOSSIMULATOR => Some("ios"),
        _ => None,
    }
}

/// A file for several architectures names no single platform.
fn of_universal<A: FatArch>(window: &[u8]) -> Option<Platform> {
    let parts = MachOFatFile::<A>::parse(window).ok()?; // its list is not in the window
    let [part] = parts.arches() else { return None };
    architecture_of_macho(part.cputype()).map(|architecture| platform("darwin", architecture))
}

/// A file that only begins like a program for DOS is not told from any other.
fn pe(window: &[u8]) -> Option<Sniffed> {
    if !window.starts_with(b"MZ") {
        return None;
    }
    let platform = match optional_header_magic(window).ok()? {
        pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => of_pe::<ImageNtHeaders32>(window),
        pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => of_pe::<ImageNtHeaders64>(window),
        _ => None,
    };
    Some(Sniffed { kind: ContentKind::Pe, platform })
}

fn of_pe<H: ImageNtHeaders>(window: &[u8]) -> Option<Platform> {
    let mut at = ImageDosHeader::parse(window).ok()?.nt_headers_offset().into();
    let (headers, _) = H::parse(window, &mut at).ok()?; // they are not in the window
    let boots = [
        pe::IMAGE_SUBSYSTEM_EFI_APPLICATION,
        pe::IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER,
        pe::IMAGE_SUBSYSTEM_EFI_RUNTIME_DRIVER,
        pe::IMAGE_SUBSYSTEM_EFI_ROM,
    ];
    if boots.contains(&headers.optional_header().subsystem()) {
        return None; // it runs before any operating system does
    }
    let (architecture, variant) = match headers.file_header().machine.get(LittleEndian) {
        pe::IMAGE_FILE_MACHINE_I386 => ("386", None),
        pe::IMAGE_FILE_MACHINE_AMD64 => ("amd64", None),
        pe::IMAGE_FILE_MACHINE_ARM64 => ("arm64", None),
        pe::IMAGE_FILE_MACHINE_ARMNT => ("arm", Some("v7".to_owned())),
        _ => return None,
    };
    Some(Platform { variant, ..platform("windows", architecture) })
}
