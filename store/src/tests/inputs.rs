//! Inputs that are no files of a release, or do not stay what they are, are refused.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bonded_model::Digest;
use bonded_model::name::{NameError, PathFault};

use super::{World, ingest_into, ingest_while, path};
use crate::disk::{Action, Disk, FileKind};
use crate::ingest::{IngestError, Outcome};
use crate::{Store, StoreError};

#[test]
fn another_file_than_the_one_found_is_refused() {
    for (file, bytes) in
        [("a", vec![b'a'; 9]), ("large", vec![1; 400_000]), ("SHA256SUMS", vec![b'0'; 64])]
    {
        let world = World::new();
        world.file("0", b"0");
        let input = world.file(file, &bytes).canonicalize().unwrap();
        let secret = world.inputs.with_file_name("secret");
        fs::write(&secret, &bytes).unwrap();
        let (path, inspected) = (input.clone(), AtomicUsize::new(0));
        let disk = Disk::watched(move |action, at| {
            // The walk has inspected it by itself; the second time it is about to be opened.
            if (action, at) == (Action::Inspect, path.as_path())
                && inspected.fetch_add(1, Ordering::SeqCst) == 1
            {
                fs::remove_file(&path).unwrap();
                symlink(&secret, &path).unwrap();
            }
        });
        let store = Store::open_on(&world.store_path, disk).unwrap();
        let error = ingest_into(&store, "demo@v1", &[&world.inputs]).unwrap_err();
        let IngestError::Changed { path } = &error else { panic!("{file}: {error}") };
        assert_eq!(*path, input);
        assert_eq!(store.snapshot().unwrap().epoch(), 0);
    }
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere_else() {
    for bytes in [9, 400_000] {
        let world = World::new();
        world.file("d/a", vec![b'a'; bytes]);
        let inputs = world.inputs.canonicalize().unwrap();
        let (directory, outside) = (inputs.join("d"), inputs.with_file_name("outside"));
        let listed = directory.clone();
        // A list of the directory and a look at its file; then it is another one, with the same file.
        let disk = Disk::watched(move |action, at| {
            if (action, at) == (Action::Inspect, listed.join("a").as_path()) && !outside.exists() {
                fs::rename(&listed, &outside).unwrap();
                symlink(&outside, &listed).unwrap();
            }
        });
        let store = Store::open_on(&world.store_path, disk).unwrap();
        let error = ingest_into(&store, "demo@v1", &[&world.inputs]).unwrap_err();
        let IngestError::Changed { path } = &error else { panic!("{error}") };
        assert_eq!(*path, directory.join("a"));
        assert_eq!(store.snapshot().unwrap().epoch(), 0);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn inputs_that_are_no_files_of_a_release_are_refused() {
    type Check = fn(&IngestError) -> bool;
    type Prepare = fn(&Path);
    let table: [(&str, Prepare, Check); 12] = [
        ("nothing", |_| {}, |e| matches!(e, IngestError::NoArtifacts { .. })),
        (
            "evidence alone",
            |d| fs::write(d.join("SHA256SUMS"), "0".repeat(64)).unwrap(),
            |e| matches!(e, IngestError::NoArtifacts { .. }),
        ),
        (
            "loop of directories",
            |d| symlink(".", d.join("loop")).unwrap(),
            |e| matches!(e, IngestError::Link { .. }),
        ),
        (
            "loop of links",
            |d| symlink("l", d.join("l")).unwrap(),
            |e| matches!(e, IngestError::DeadLink { .. }),
        ),
        (
            "dangling link",
            |d| symlink("gone", d.join("l")).unwrap(),
            |e| matches!(e, IngestError::DeadLink { .. }),
        ),
        (
            "link that leads out",
            |d| symlink("/etc/passwd", d.join("l")).unwrap(),
            |e| matches!(e, IngestError::Link { .. }),
        ),
        (
            "not UTF-8",
            |d| {
                fs::write(d.join(std::ffi::OsStr::from_bytes(b"\xff")), "x").unwrap();
            },
            |e| matches!(e, IngestError::NotUtf8 { .. }),
        ),
        (
            "newline",
            |d| fs::write(d.join("a\nb"), "x").unwrap(),
            |e| {
                matches!(
                    e,
                    IngestError::Name {
                        source: NameError::Path { reason: PathFault::Character, .. },
                        ..
                    }
                )
            },
        ),
        (
            "reserved",
            |d| {
                fs::create_dir(d.join(".bonded")).unwrap();
                fs::write(d.join(".bonded/a"), "x").unwrap();
            },
            |e| {
                matches!(
                    e,
                    IngestError::Name {
                        source: NameError::Path { reason: PathFault::Reserved, .. },
                        ..
                    }
                )
            },
        ),
        (
            "too deep",
            |d| {
                let deep = d.join("d/".repeat(70));
                fs::create_dir_all(&deep).unwrap();
            },
            |e| matches!(e, IngestError::TooDeep { .. }),
        ),
        (
            "FIFO",
            |d| {
                let fifo = d.join("pipe");
                let made = std::process::Command::new("mkfifo").arg(fifo).status().unwrap();
                assert!(made.success());
            },
            |e| matches!(e, IngestError::SpecialFile { found: FileKind::Fifo, .. }),
        ),
        (
            "socket",
            |d| {
                drop(std::os::unix::net::UnixListener::bind(d.join("s")).unwrap());
            },
            |e| matches!(e, IngestError::SpecialFile { found: FileKind::Socket, .. }),
        ),
    ];
    for (what, prepare, is_right) in table {
        let world = World::new();
        prepare(&world.inputs);
        let error = world.ingest("demo@v1").expect_err(what);
        assert!(is_right(&error), "{what}: {error:?}");
        assert_eq!(world.store.snapshot().unwrap().epoch(), 0, "{what}");
    }
}

#[test]
fn inputs_given_directly_are_checked_too() {
    let world = World::new();
    world.file("x/a", b"1");
    world.file("y/a", b"1");
    let refuse = |inputs: &[&Path]| world.ingest_paths("demo@v1", inputs).unwrap_err();
    let (x, y) = (world.inputs.join("x/a"), world.inputs.join("y/a"));
    assert!(matches!(refuse(&[&x, &y]), IngestError::SamePath { .. }));
    assert!(matches!(refuse(&[Path::new("/dev/null")]), IngestError::SpecialFile { .. }));
    assert!(matches!(refuse(&[&world.inputs.join("gone")]), IngestError::Source(_)));
    let above = world.inputs.parent().unwrap();
    assert!(matches!(refuse(&[above]), IngestError::HoldsStore { .. }));
    symlink("x/a", world.inputs.join("link")).unwrap();
    let report = world.ingest_paths("demo@v1", &[&world.inputs.join("link")]).unwrap();
    assert_eq!(report.files[0].path, path("link"));
}

#[test]
fn links_inside_a_directory_are_read_as_files() {
    let world = World::new();
    world.file("a", b"a");
    symlink("a", world.inputs.join("b")).unwrap();
    let report = world.ingest("demo@v1").unwrap();
    let digests: Vec<_> = report.files.iter().map(|file| file.digest).collect();
    assert_eq!(digests, [Digest::sha256_of(b"a"); 2]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let world = World::new();
    let file = world.file("a", vec![1; 20_000_000]);
    let meddle = || {
        let file = fs::File::options().write(true).open(&file).unwrap();
        file.set_len(30_000_000).unwrap();
    };
    let error = ingest_while(&world.store, "demo@v1", &file, meddle).unwrap_err();
    assert!(matches!(error, IngestError::Changed { .. }), "{error}");
    assert_eq!(fs::read_dir(world.store_path.join("bonded/staging")).unwrap().count(), 0);
    assert_eq!(world.store.snapshot().unwrap().epoch(), 0);
}

#[test]
fn names_that_some_file_systems_take_for_one_are_refused_with_both() {
    for (first, second) in [
        ("README", "readme"),
        ("Bin/a", "bin/b"),
        ("a", "A/b"),
        ("cafe\u{301}", "caf\u{e9}"),
        ("tool.intoto.jsonl", "TOOL.intoto.jsonl"),
    ] {
        let world = World::new();
        let (one, two) =
            (world.file(&format!("x/{first}"), b"1"), world.file(&format!("y/{second}"), b"1"));
        let [x, y] = ["x", "y"].map(|side| world.inputs.join(side));
        let error = world.ingest_paths("demo@v1", &[&x, &y]).unwrap_err();
        let text = error.to_string();
        let IngestError::Spelling { path: path_two, other, first: from, second: from_two } = error
        else {
            panic!("{text}")
        };
        assert_eq!((other, path_two), (path(first), path(second)));
        assert_eq!([from, from_two], [one, two].map(|file| file.canonicalize().unwrap()));
        assert_eq!(text.contains(r"caf\u{e9}"), first.starts_with("caf"), "{text}");
        assert_eq!(world.store.snapshot().unwrap().epoch(), 0);
    }
}

#[test]
fn evidence_that_comes_later_may_not_differ_by_case_either() {
    let world = World::new();
    let artifact = world.file("x/bom.json-of", b"a");
    let held = world.file("x/SHA256SUMS", "0".repeat(64));
    world.ingest_paths("demo@v1", &[&artifact, &held]).unwrap();
    let later = world.file("y/sha256sums", "1".repeat(64));
    let error = world.ingest_paths("demo@v1", &[&later]).unwrap_err();
    let IngestError::Store(StoreError::Spelling { title, other, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!((title, other), (&path("sha256sums"), &path("SHA256SUMS")));
    assert_eq!(world.ingest_paths("demo@v1", &[&held]).unwrap().outcome, Outcome::Unchanged);
}

#[test]
fn a_layout_with_other_files_is_refused() {
    let world = World::new();
    for name in ["oci-layout", "index.json", "manifest.json", "repositories", "blobs/x"] {
        world.file(&format!("images/{name}"), b"{}");
    }
    let own = world.ingest("demo@v1").unwrap_err();
    assert!(matches!(own, IngestError::Image { .. }), "{own:?}");
    let lost = world.file("images/readme", b"lost");
    world.file("images/tool", b"lost");
    let error = world.ingest("demo@v1").unwrap_err();
    let IngestError::InLayout { layout, foreign } = &error else { panic!("{error:?}") };
    assert_eq!((layout.as_path(), foreign), (lost.parent().unwrap(), &lost));
}
