//! One suite for every disk: what one does, all do, down to the error.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::faulty::Failure;
use super::memory::{Loss, Memory};
use super::{Action, Cloned, Disk, DiskError, FileKind, LockAttempt};

/// A disk and an empty directory on it.
struct Place {
    name: &'static str,
    disk: Disk,
    directory: PathBuf,
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.disk.create(&self.at(name), 0o644).unwrap().write_all(bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        self.disk.read(&self.at(name), 1 << 20).unwrap()
    }

    /// The names in the directory, with `/` behind directories.
    fn names(&self, directory: &str) -> Vec<String> {
        let entries = self.disk.list(&self.at(directory)).unwrap().into_iter();
        let named = entries.map(|(path, kind)| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(path, self.at(directory).join(&name), "{}", self.name);
            if kind == FileKind::Directory { name + "/" } else { name }
        });
        named.collect()
    }
}

/// Runs a test on every disk.
fn on_every_disk(test: impl Fn(&Place)) {
    let temporary = tempfile::tempdir().unwrap();
    let real = |name: &str| {
        let directory = temporary.path().join(name);
        Disk::default().create_directory(&directory).unwrap();
        directory
    };
    let memory = |clones| {
        let disk = Memory::new(clones).disk();
        disk.create_directory(Path::new("/a place")).unwrap();
        disk
    };
    let (in_memory, without_clones) = (memory(Cloned::Yes), memory(Cloned::Unsupported));
    let never = |disk: &Disk| disk.failing(u64::MAX, Failure::Crash);
    let directory = PathBuf::from("/a place");
    let faulty_memory = never(&memory(Cloned::Yes));
    let places = [
        Place { name: "real", disk: Disk::default(), directory: real("real") },
        Place { name: "memory", disk: in_memory, directory: directory.clone() },
        Place { name: "no clones", disk: without_clones, directory: directory.clone() },
        Place { name: "faulty real", disk: never(&Disk::default()), directory: real("faulty") },
        Place { name: "faulty memory", disk: faulty_memory, directory },
    ];
    places.iter().for_each(test);
}

/// A call is refused with the operating system's own error, whatever the disk.
fn check(place: &Place, what: &str, found: Result<(), DiskError>, expected: Errno) {
    let Err(DiskError::Io { source, .. }) = &found else {
        panic!("{}: {what}: {found:?}", place.name)
    };
    let expected = Some(expected.raw_os_error());
    assert_eq!(source.raw_os_error(), expected, "{}: {what}: {source}", place.name);
}

#[test]
fn content_is_what_was_written() {
    on_every_disk(|place| {
        let disk = &place.disk;
        let file = disk.create(&place.at("a"), 0o644).unwrap();
        file.write_all(b"12").unwrap();
        file.write_all(b"345").unwrap();
        file.write_at(1, b"x").unwrap();
        file.write_at(7, b"y").unwrap();
        assert_eq!(place.read("a"), b"1x345\0\0y");
        file.truncate(2).unwrap();
        file.truncate(4).unwrap();
        assert_eq!(place.read("a"), b"1x\0\0");
        file.overwrite(b"new").unwrap();
        assert_eq!(file.read_state().unwrap().bytes, 3);
        let mut buffer = [0; 2];
        assert_eq!((file.read_at(2, &mut buffer).unwrap(), buffer[0]), (1, b'w'));
        assert_eq!(file.read_at(9, &mut buffer).unwrap(), 0);
        let mut reader = disk.open(&place.at("a")).unwrap();
        assert_eq!((reader.read(&mut buffer).unwrap(), &buffer), (2, b"ne"));
        assert_eq!(reader.read_to_end(3).unwrap(), b"w");
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        check(place, "write", reader.write_at(0, b"!"), Errno::BADF);
        file.sync().unwrap();
        disk.sync_filesystem(&disk.open_directory(&place.directory).unwrap()).unwrap();
        assert!(matches!(disk.read(&place.at("a"), 2), Err(DiskError::OverLimit { bytes: 3, .. })));
    });
}

#[test]
fn a_file_is_flushed_while_it_is_written() {
    on_every_disk(|place| {
        let file = place.disk.create(&place.at("a"), 0o644).unwrap();
        let mut flushing = file.flushing().unwrap();
        for bytes in [b"12", b"34"] {
            file.write_all(bytes).unwrap();
            while !flushing.begin() {
                std::thread::yield_now(); // the one before is under way
            }
        }
        file.write_all(b"5").unwrap();
        flushing.finish().unwrap();
        assert_eq!(place.read("a"), b"12345");
        // Nobody has to ask.
        file.flushing().unwrap().finish().unwrap();
    });
}

#[test]
fn a_flush_that_fails_is_told_at_the_end_and_is_the_last() {
    let memory = Memory::new(Cloned::Yes);
    let syncs = AtomicU64::new(0);
    let disk = memory.disk().refusing(move |action, _| {
        let is_flush = action == Action::Sync && syncs.fetch_add(1, Ordering::SeqCst) > 0;
        is_flush.then_some(Errno::IO)
    });
    let file = disk.create(Path::new("/a"), 0o644).unwrap();
    file.write_all(b"1").unwrap();
    let mut flushing = file.flushing().unwrap();
    assert!(flushing.begin());
    assert!(!flushing.begin(), "it has failed");
    let told = flushing.finish();
    assert!(
        matches!(&told, Err(DiskError::Io { action: Action::Sync, path, source })
            if path == Path::new("/a") && source.raw_os_error() == Some(Errno::IO.raw_os_error())),
        "{told:?}"
    );
}

/// To prepare for flushing is a call to the operating system of its own.
#[test]
fn flushing_may_fail_before_anything_is_flushed() {
    let memory = Memory::new(Cloned::Yes);
    let disk = memory.disk().failing(2, Failure::NoSpaceOnce);
    let file = disk.create(Path::new("/a"), 0o644).unwrap();
    let failed = file.flushing();
    assert!(matches!(&failed, Err(DiskError::Io { action: Action::Sync, .. })));
    file.flushing().unwrap().finish().unwrap();
}

/// What was flushed survives a power loss, and what came after it does not.
#[test]
fn a_flush_makes_durable_what_was_written_before_it() {
    let memory = Memory::new(Cloned::Yes);
    let disk = memory.disk();
    let file = disk.create(Path::new("/a"), 0o644).unwrap();
    disk.sync_directory(Path::new("/")).unwrap();
    let mut flushing = file.flushing().unwrap();
    file.write_all(b"1").unwrap();
    assert!(flushing.begin());
    file.write_all(b"2").unwrap();
    flushing.finish().unwrap();
    let lost = memory.after_power_loss(Loss::AllUnsynced).disk();
    assert_eq!(lost.read(Path::new("/a"), 9).unwrap(), b"1");
}

#[test]
fn an_open_file_outlives_its_name() {
    on_every_disk(|place| {
        let disk = &place.disk;
        place.write("a", b"old");
        place.write("b", b"new");
        let mut open = disk.open(&place.at("a")).unwrap();
        let before = open.read_state().unwrap();
        disk.rename(&place.at("b"), &place.at("a")).unwrap();
        assert!(!disk.read_state(&place.at("a")).unwrap().is_same_file(&before));
        assert_eq!((open.read_to_end(9).unwrap(), place.read("a")), (b"old".into(), b"new".into()));
        disk.remove(&place.at("a")).unwrap();
        disk.remove(&place.at("a")).unwrap();
        assert_eq!(place.names(""), [""; 0]);
        assert!(open.read_state().unwrap().is_same_file(&before));
    });
}

#[test]
fn a_change_of_content_shows() {
    on_every_disk(|place| {
        let file = place.disk.create(&place.at("a"), 0o644).unwrap();
        file.write_all(b"1").unwrap();
        let before = file.read_state().unwrap();
        assert_eq!(place.disk.read_state(&place.at("a")).unwrap(), before);
        file.write_all(b"2").unwrap();
        let after = file.read_state().unwrap();
        assert!(after != before && after.is_same_file(&before), "{}", place.name);
    });
}

#[test]
fn names_are_given_and_taken() {
    on_every_disk(|place| {
        let disk = &place.disk;
        disk.create_directory(&place.at("d/e/f")).unwrap();
        disk.create_directory(&place.at("d/e")).unwrap();
        disk.create_new_directory(&place.at("d/n")).unwrap();
        disk.remove_directory(&place.at("d/n")).unwrap();
        place.write("d/a", b"a");
        disk.link(&place.at("d/a"), &place.at("d/e/b")).unwrap();
        let attributes = disk.read_attributes(&place.at("d/e/b")).unwrap();
        assert_eq!((attributes.kind, attributes.bytes), (FileKind::File, 1));
        assert_eq!((attributes.mode, attributes.link_count), (0o644, 2));
        assert!(attributes.modified_unix_seconds >= 1_700_000_000);
        assert!(attributes.changed_unix_seconds >= attributes.modified_unix_seconds);
        assert_eq!(place.names("d"), ["a", "e/"]);
        // Two names of one file: neither goes.
        disk.rename(&place.at("d/a"), &place.at("d/e/b")).unwrap();
        assert_eq!(
            (place.names("d"), place.names("d/e")),
            (vec!["a".into(), "e/".into()], vec!["b".into(), "f/".into()])
        );
        disk.rename(&place.at("d/e"), &place.at("g")).unwrap();
        assert_eq!(
            (place.names("d"), place.names("")),
            (vec!["a".into()], vec!["d/".into(), "g/".into()])
        );
        disk.remove(&place.at("g/b")).unwrap();
        assert_eq!(disk.read_attributes(&place.at("d/a")).unwrap().link_count, 1);
        disk.rename(&place.at("d"), &place.at("g/f")).unwrap(); // in place of an empty one
        assert_eq!(place.read("g/f/a"), b"a");
        disk.sync_directory(&place.at("g/f")).unwrap();
        disk.remove_tree(&place.at("g")).unwrap();
        assert_eq!(place.names(""), [""; 0]);
    });
}

#[test]
fn paths_may_be_written_in_several_ways() {
    on_every_disk(|place| {
        let disk = &place.disk;
        disk.create_directory(&place.at("d/e")).unwrap();
        place.write("d/a", b"a");
        let canonical = disk.resolve(&place.at("d/a")).unwrap();
        for way in ["d/../d/a", "d/./a", "d//a", "d/e/../a"] {
            assert_eq!(place.read(way), b"a", "{}: {way}", place.name);
            assert_eq!(disk.resolve(&place.at(way)).unwrap(), canonical);
        }
        check(place, "resolve", disk.resolve(&place.at("d/x")).map(drop), Errno::NOENT);
        check(place, "resolve", disk.resolve(&place.at("d/a/x")).map(drop), Errno::NOTDIR);
    });
}

#[test]
fn modes_are_kept() {
    on_every_disk(|place| {
        let mode = |name: &str| place.disk.read_attributes(&place.at(name)).unwrap().mode;
        for wanted in [0o444, 0o600, 0o644] {
            let name = format!("{wanted:o}");
            place.disk.create(&place.at(&name), wanted).unwrap();
            assert_eq!(mode(&name), wanted, "{}", place.name);
        }
        place.disk.set_mode(&place.at("600"), 0o666).unwrap();
        assert_eq!(mode("600"), 0o666, "{}", place.name);
        check(place, "set mode", place.disk.set_mode(&place.at("x"), 0o600), Errno::NOENT);
    });
}

#[test]
fn a_clone_has_the_same_bytes_or_nothing_has_happened() {
    on_every_disk(|place| {
        place.write("a", b"12345");
        let from = place.disk.open(&place.at("a")).unwrap();
        let to = place.disk.create(&place.at("b"), 0o644).unwrap();
        let expected = match place.disk.clone_file(&from, &to).unwrap() {
            Cloned::Yes => &b"12345"[..],
            Cloned::Unsupported => b"",
        };
        assert_eq!(place.read("b"), expected, "{}", place.name);
    });
}

#[test]
fn a_lock_is_held_by_one_handle_and_goes_with_it() {
    on_every_disk(|place| {
        let [first, second] =
            [(), ()].map(|()| place.disk.open_or_create(&place.at("lock")).unwrap());
        let reader = place.disk.open(&place.at("lock")).unwrap();
        assert_eq!(first.try_lock().unwrap(), LockAttempt::Taken);
        assert_eq!(first.try_lock().unwrap(), LockAttempt::Taken);
        assert_eq!(second.try_lock().unwrap(), LockAttempt::HeldByAnother);
        assert_eq!(reader.try_lock().unwrap(), LockAttempt::HeldByAnother);
        place.disk.rename(&place.at("lock"), &place.at("moved")).unwrap();
        assert_eq!(second.try_lock().unwrap(), LockAttempt::HeldByAnother);
        drop(first);
        assert_eq!(reader.try_lock().unwrap(), LockAttempt::Taken, "{}", place.name);
        assert_eq!(second.try_lock().unwrap(), LockAttempt::HeldByAnother);
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn what_cannot_be_done_is_refused_with_the_same_error() {
    type Call = fn(&Disk, &dyn Fn(&str) -> PathBuf) -> Result<(), DiskError>;
    // There is a file `file`, a directory `full` with the file `full/file` in it, and one `empty`.
    let table: [(&str, Call, Errno); 36] = [
        ("kind of nothing", |d, at| d.read_kind(&at("x")).map(drop), Errno::NOENT),
        ("kind below a file", |d, at| d.read_kind(&at("file/x")).map(drop), Errno::NOTDIR),
        ("kind behind links", |d, at| d.read_kind_behind_links(&at("x")).map(drop), Errno::NOENT),
        (
            "kind of a long name",
            |d, at| d.read_kind(&at(&"x".repeat(256))).map(drop),
            Errno::NAMETOOLONG,
        ),
        ("open nothing", |d, at| d.open(&at("x")).map(drop), Errno::NOENT),
        ("list nothing", |d, at| d.list(&at("x")).map(drop), Errno::NOENT),
        ("list a file", |d, at| d.list(&at("file")).map(drop), Errno::NOTDIR),
        ("create what exists", |d, at| d.create(&at("file"), 0o600).map(drop), Errno::EXIST),
        (
            "create a directory's name",
            |d, at| d.create(&at("empty"), 0o600).map(drop),
            Errno::EXIST,
        ),
        ("create nowhere", |d, at| d.create(&at("x/y"), 0o600).map(drop), Errno::NOENT),
        ("create below a file", |d, at| d.create(&at("file/x"), 0o600).map(drop), Errno::NOTDIR),
        (
            "create a long name",
            |d, at| d.create(&at(&"x".repeat(256)), 0o600).map(drop),
            Errno::NAMETOOLONG,
        ),
        ("write a directory", |d, at| d.open_or_create(&at("empty")).map(drop), Errno::ISDIR),
        (
            "open a file as a directory",
            |d, at| d.open_directory(&at("file")).map(drop),
            Errno::NOTDIR,
        ),
        ("sync the names in a file", |d, at| d.sync_directory(&at("file")), Errno::NOTDIR),
        ("sync the names in nothing", |d, at| d.sync_directory(&at("x")), Errno::NOENT),
        ("a directory for a file", |d, at| d.create_directory(&at("file")), Errno::EXIST),
        ("a new directory that exists", |d, at| d.create_new_directory(&at("empty")), Errno::EXIST),
        ("a new directory for a file", |d, at| d.create_new_directory(&at("file")), Errno::EXIST),
        ("a new directory in none", |d, at| d.create_new_directory(&at("x/y")), Errno::NOENT),
        ("a new directory in a file", |d, at| d.create_new_directory(&at("file/x")), Errno::NOTDIR),
        ("a directory below a file", |d, at| d.create_directory(&at("file/x/y")), Errno::NOTDIR),
        ("rename nothing", |d, at| d.rename(&at("x"), &at("y")), Errno::NOENT),
        ("rename to nowhere", |d, at| d.rename(&at("file"), &at("x/y")), Errno::NOENT),
        ("rename a file to a directory", |d, at| d.rename(&at("file"), &at("empty")), Errno::ISDIR),
        (
            "rename a directory to a file",
            |d, at| d.rename(&at("empty"), &at("file")),
            Errno::NOTDIR,
        ),
        (
            "rename to a full directory",
            |d, at| d.rename(&at("empty"), &at("full")),
            Errno::NOTEMPTY,
        ),
        ("rename into itself", |d, at| d.rename(&at("full"), &at("full/x")), Errno::INVAL),
        ("link nothing", |d, at| d.link(&at("x"), &at("y")), Errno::NOENT),
        ("link to what exists", |d, at| d.link(&at("file"), &at("full/file")), Errno::EXIST),
        ("link a directory", |d, at| d.link(&at("empty"), &at("x")), Errno::PERM),
        ("remove a directory as a file", |d, at| d.remove(&at("empty")), Errno::ISDIR),
        ("remove below a file", |d, at| d.remove(&at("file/x")), Errno::NOTDIR),
        ("remove a file as a directory", |d, at| d.remove_directory(&at("file")), Errno::NOTDIR),
        ("remove a full directory", |d, at| d.remove_directory(&at("full")), Errno::NOTEMPTY),
        ("remove no tree", |d, at| d.remove_tree(&at("x")), Errno::NOENT),
    ];
    on_every_disk(|place| {
        place.write("file", b"1");
        place.disk.create_directory(&place.at("full")).unwrap();
        place.disk.create_directory(&place.at("empty")).unwrap();
        place.write("full/file", b"2");
        for (what, call, expected) in &table {
            check(place, what, call(&place.disk, &|name| place.at(name)), *expected);
        }
        let opened = place.disk.open(&place.at("empty"));
        assert!(matches!(opened, Err(DiskError::NotAFile { found: FileKind::Directory, .. })));
        assert_eq!(place.names(""), ["empty/", "file", "full/"], "{}", place.name);
        assert_eq!((place.read("file"), place.read("full/file")), (b"1".into(), b"2".into()));
    });
}
