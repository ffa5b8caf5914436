//! What a source of lost blobs may do wrong: it is told, nothing of it stays, and the next one is asked.

use std::fs;
use std::io::{self, Cursor, ErrorKind, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bonded_model::Digest;

use super::World;
use super::fsck::{check, mend, problems};
use crate::fsck::{BlobSource, Code, DirectorySource, Finding, FsckReport, Remedy, SourceError};

const LOST: &[u8] = b"read me";

/// Says what to read of the file that is lost, whatever it is asked for.
struct Saying<F>(F);

impl<F> std::fmt::Debug for Saying<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Saying")
    }
}

impl<F, R> BlobSource for Saying<F>
where
    F: Fn() -> io::Result<Option<R>> + Sync,
    R: Read + 'static,
{
    fn name(&self) -> String {
        "the source".to_owned()
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read>>, SourceError> {
        let failed = |error: io::Error| SourceError {
            name: self.name(),
            key: key.to_owned(),
            source: error.into(),
        };
        Ok(self.0().map_err(failed)?.map(|read| Box::new(read) as Box<dyn Read>))
    }
}

fn giving(bytes: &'static [u8]) -> impl BlobSource {
    Saying(move || Ok(Some(Cursor::new(bytes))))
}

/// Fails whenever it is read.
struct Failing(ErrorKind);

impl Read for Failing {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
}

/// Is interrupted before every byte.
struct Interrupted(Cursor<&'static [u8]>, bool);

impl Read for Interrupted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        match self.1 {
            true => Err(ErrorKind::Interrupted.into()),
            false => self.0.read(buffer.get_mut(..1).unwrap_or_default()),
        }
    }
}

/// A store that has lost a file of seven bytes.
fn world() -> World {
    let world = World::in_memory();
    world.file("readme", LOST);
    world.ingest("demo@v1").unwrap();
    fs::remove_file(place(&world, LOST)).unwrap();
    world
}

fn place(world: &World, bytes: &[u8]) -> PathBuf {
    world.store_path.join("blobs/sha256").join(Digest::sha256_of(bytes).hex())
}

fn of_lost(report: &FsckReport) -> &Finding {
    let lost = Digest::sha256_of(LOST);
    let finding = report.findings.iter().find(|finding| finding.code == Code::MissingBlob);
    finding.filter(|finding| finding.digest == Some(lost)).unwrap_or_else(|| panic!("{report:#?}"))
}

/// Alone such a source leaves the store as it is, but for what is told; one that has the file is asked next.
fn check_refused(bad: &dyn BlobSource, expected: &str) {
    let world = world();
    let held = || fs::read_dir(world.store_path.join("blobs/sha256")).unwrap().count();
    let before = held();
    let report = mend(&world.store, &[bad]);
    let finding = of_lost(&report);
    assert!(finding.remains() && report.unfinished.is_none(), "{report:#?}");
    assert!(finding.seen.contains(expected), "{expected:?}: {:?}", finding.seen);
    assert_eq!((held(), staged(&world)), (before, 0), "{expected}");

    let heap = world.store_path.with_file_name("good");
    fs::create_dir_all(&heap).unwrap();
    fs::write(heap.join(Digest::sha256_of(LOST).hex()), LOST).unwrap();
    let report = mend(&world.store, &[bad, &DirectorySource::new(&heap), &giving(b"not asked")]);
    assert_eq!(of_lost(&report).remedy, Remedy::Restored { from: heap.display().to_string() });
    assert_eq!(fs::read(place(&world, LOST)).unwrap(), LOST);
    assert_eq!((problems(&check(&world.store)), staged(&world)), (vec![], 0), "{expected}");
}

fn staged(world: &World) -> usize {
    fs::read_dir(world.store_path.join("bonded/staging")).unwrap().count()
}

#[test]
fn bytes_that_are_not_the_blob_are_refused() {
    let hashes_to = |bytes: &[u8]| format!("hashes to {}", Digest::sha256_of(bytes));
    for bytes in [&b""[..], b"read m", b"Read me"] {
        check_refused(&giving(bytes), &hashes_to(bytes));
    }
    for bytes in [&b"read me\n"[..], b"read me, and more of it"] {
        check_refused(&giving(bytes), "has more than 7 bytes");
    }
}

#[test]
fn a_source_that_fails_or_goes_is_told_and_the_next_one_is_asked() {
    let nothing = || Ok(None::<io::Empty>);
    check_refused(&Saying(nothing), "the source does not have it");
    let refused = || Err::<Option<io::Empty>, _>(ErrorKind::PermissionDenied.into());
    check_refused(&Saying(refused), "of the source: permission denied");
    for before in [&b""[..], b"read", LOST] {
        let gone = move || Ok(Some(Cursor::new(before).chain(Failing(ErrorKind::ConnectionReset))));
        check_refused(&Saying(gone), "cannot be read: connection reset");
    }
}

#[test]
fn a_read_that_is_interrupted_goes_on() {
    let world = world();
    let source = Saying(|| Ok(Some(Interrupted(Cursor::new(LOST), false))));
    assert_eq!(
        of_lost(&mend(&world.store, &[&source])).remedy,
        Remedy::Restored { from: "the source".to_owned() }
    );
    assert_eq!(fs::read(place(&world, LOST)).unwrap(), LOST);
}

#[test]
fn what_came_before_a_source_went_stays() {
    let world = world();
    world.file("other", b"other");
    world.ingest("demo@v2").unwrap();
    for bytes in [LOST, b"other"] {
        fs::remove_file(place(&world, bytes)).unwrap();
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let both = [LOST, b"other"].map(|bytes| (Digest::sha256_of(bytes), bytes));
    let first = both.into_iter().min().unwrap();
    let source = {
        let asked = asked.clone();
        Saying(move || match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(Some(Cursor::new(first.1))),
            _ => Err(ErrorKind::ConnectionRefused.into()),
        })
    };
    let report = mend(&world.store, &[&source]);
    let of =
        |digest| report.findings.iter().find(|finding| finding.digest == Some(digest)).unwrap();
    let second = both.into_iter().max().unwrap();
    assert_eq!(of(first.0).remedy, Remedy::Restored { from: "the source".to_owned() });
    assert!(of(second.0).remains() && of(second.0).seen.contains("connection refused"));
    assert_eq!(fs::read(place(&world, first.1)).unwrap(), first.1);
    assert!(!place(&world, second.1).exists());
    assert!(!mend(&world.store, &[&giving(second.1)]).remains());
}

/// What stands in a directory, at the two places where the blob is looked for.
fn check_directory(make: &dyn Fn(&Path), expected: Result<(), &str>) {
    for place in ["blobs/sha256", "."] {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("whole"), LOST).unwrap();
        fs::write(home.path().join("other"), b"other").unwrap();
        let source = home.path().join("source");
        fs::create_dir_all(source.join("blobs/sha256")).unwrap();
        make(&source.join(place).join(Digest::sha256_of(LOST).hex()));
        let source = DirectorySource::new(&source);
        match expected {
            Ok(()) => assert!(!mend(&world().store, &[&source]).remains()),
            Err(expected) => check_refused(&source, expected),
        }
    }
}

/// A mirror may be a tree of links. Whatever one leads to is hashed like everything else.
#[test]
fn links_in_a_directory_are_followed_to_what_has_the_right_bytes() {
    let at = |name: &str, link: &Path| {
        let home = link.ancestors().find(|path| path.ends_with("source")).unwrap();
        symlink(home.with_file_name(name), link).unwrap();
    };
    check_directory(&|link| at("whole", link), Ok(()));
    check_directory(&|link| at("other", link), Err("hashes to"));
    check_directory(&|link| at("nowhere", link), Err("does not have it"));
    check_directory(&|link| at("source", link), Err("does not have it"));
    check_directory(&|link| symlink(link, link).unwrap(), Err("cannot read"));
    check_directory(&|link| symlink("/dev/zero", link).unwrap(), Err("does not have it"));
}

#[test]
fn what_is_no_file_in_a_directory_is_not_opened() {
    check_directory(&|path| fs::create_dir(path).unwrap(), Err("does not have it"));
    let fifo = |path: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    check_directory(&fifo, Err("does not have it"));
    let no_directory = tempfile::NamedTempFile::new().unwrap();
    check_refused(&DirectorySource::new(no_directory.path()), "does not have it");
}
