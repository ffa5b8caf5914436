//! Large files become blobs without a copy where the file system can, and the same ones where it cannot.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bonded_model::Digest;

use super::{World, ingest_with};
use crate::Store;
use crate::disk::{Action, Disk};
use crate::ingest::{IngestOptions, Sha512, Sources};

const LARGE: usize = 700_000;

fn options(sources: Sources) -> IngestOptions {
    IngestOptions { sources, sha512: Sha512::WhereNamed }
}

fn blob(store: &Path, bytes: &[u8]) -> PathBuf {
    store.join("blobs/sha256").join(Digest::sha256_of(bytes).hex())
}

/// Ingests one file and tells whether the blob is the very file; either way it is a good blob.
fn is_linked(world: &World, file: &Path, sources: Sources) -> bool {
    let bytes = fs::read(file).unwrap();
    let release = format!("demo@{}", file.file_name().unwrap().to_str().unwrap());
    ingest_with(&world.store, &release, &[file], options(sources)).unwrap();
    let blob = blob(&world.store_path, &bytes);
    assert_eq!(fs::read(&blob).unwrap(), bytes);
    let [ours, theirs] = [blob.as_path(), file].map(|path| fs::metadata(path).unwrap());
    assert_eq!(ours.permissions().mode() & 0o777, 0o444);
    ours.ino() == theirs.ino()
}

#[test]
fn only_what_is_declared_immutable_and_safe_to_share_is_linked() {
    type Prepare = fn(&Path);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let table: [(&str, Sources, Prepare, bool); 8] = [
        ("plain", Sources::Immutable, |_| {}, true),
        ("may-change", Sources::MayChange, |_| {}, false),
        (
            "two-names",
            Sources::Immutable,
            |f| fs::hard_link(f, f.with_extension("2")).unwrap(),
            false,
        ),
        ("read-only", Sources::Immutable, |_| {}, true),
        ("group-writes", Sources::Immutable, |_| {}, false),
        ("executable", Sources::Immutable, |_| {}, false),
        ("private", Sources::Immutable, |_| {}, false),
        ("small", Sources::Immutable, |f| fs::write(f, "small").unwrap(), false),
    ];
    let modes = [0o644, 0o644, 0o644, 0o444, 0o664, 0o755, 0o600, 0o644];
    for ((name, sources, prepare, expected), its_mode) in table.into_iter().zip(modes) {
        let world = World::new();
        let file = world.file(name, vec![name.as_bytes()[0]; LARGE]);
        mode(&file, its_mode);
        prepare(&file);
        assert_eq!(is_linked(&world, &file, sources), expected, "{name}");
        let left = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(left, if expected { 0o444 } else { its_mode }, "{name}");
        // A second store: the file has another name by now, and is copied.
        if expected {
            assert!(!is_linked(&World::new(), &file, sources), "{name}");
        }
    }
}

#[test]
fn a_file_of_another_user_is_copied() {
    let world = World::new();
    let file = world.file("a", vec![1; LARGE]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    if chown(&file, Some(12345), None).is_err() {
        eprintln!("a_file_of_another_user_is_copied did not run: this user gives no file away");
        return;
    }
    assert!(!is_linked(&world, &file, Sources::Immutable));
}

#[test]
fn a_link_goes_where_the_file_went_that_was_found() {
    let world = World::new();
    let file = world.file("a", vec![1; LARGE]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let other = world.inputs.with_file_name("other");
    fs::write(&other, vec![2; LARGE]).unwrap();
    let path = file.clone();
    let disk = Disk::watched(move |action, _| {
        if action == Action::Link {
            fs::rename(&other, &path).unwrap();
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    // The open handle is still the first file; its bytes are copied, and are what is held.
    let report = ingest_with(&store, "demo@v1", &[&file], options(Sources::Immutable)).unwrap();
    assert_eq!(report.files[0].digest, Digest::sha256_of(&vec![1; LARGE]));
    assert!(!blob(&world.store_path, &vec![2; LARGE]).exists());
}

#[test]
fn a_device_that_cannot_clone_is_asked_once() {
    let world = World::new();
    for number in 0..5 {
        world.file(&format!("{number}"), vec![number; LARGE]);
    }
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let disk = Disk::watched(move |action, _| {
        if action == Action::Clone {
            *count.lock().unwrap() += 1;
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one_thread.install(|| {
        ingest_with(&store, "demo@v1", &[&world.inputs], options(Sources::MayChange)).unwrap();
    });
    // The temporary directory may lie on a file system that clones.
    assert!([1, 5].contains(&*asked.lock().unwrap()));
}

/// On a file system that shares blocks the store takes next to no space of its own, and what is written
/// to the source later does not reach the blob.
#[test]
fn a_clone_shares_blocks_and_not_the_future() {
    let directory = tempfile::tempdir().unwrap();
    let [image, at] = ["image", "at"].map(|name| directory.path().join(name));
    fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
    fs::create_dir(&at).unwrap();
    let run = |command: &str, arguments: &[&std::ffi::OsStr]| {
        Command::new(command).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let made = run("mkfs.btrfs", &["-q".as_ref(), image.as_ref()]);
    if !made || !run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at.as_ref()]) {
        eprintln!("a_clone_shares_blocks_… did not run: no btrfs can be made and mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let (file, store_path) = (at.join("file"), at.join("store"));
        let bytes = vec![7; 40 << 20];
        fs::write(&file, &bytes).unwrap();
        assert!(run("sync", &[]));
        let store = Store::init(&store_path).unwrap();
        let before = free_bytes(&at);
        ingest_with(&store, "demo@v1", &[&file], options(Sources::MayChange)).unwrap();
        let taken = before.saturating_sub(free_bytes(&at));
        assert!(taken < 20 << 20, "{taken} bytes for a file of {}", bytes.len());
        fs::write(&file, "other").unwrap();
        assert_eq!(fs::read(blob(&store_path, &bytes)).unwrap(), bytes);
    });
    assert!(run("umount", &[at.as_ref()]));
    outcome.unwrap();
}

fn free_bytes(at: &Path) -> u64 {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(at).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().nth(1).unwrap().trim().parse().unwrap()
}

#[test]
fn a_link_that_becomes_no_blob_leaves_its_source_as_it_was() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let world = World::new();
    let bytes = vec![1; LARGE];
    let [first, second] = ["a", "b"].map(|name| world.file(name, &bytes));
    for file in [&first, &second] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    assert!(is_linked(&world, &first, Sources::Immutable));
    // The same bytes again are held already.
    assert!(!is_linked(&world, &second, Sources::Immutable));
    assert_eq!((mode(&first), mode(&second)), (0o444, 0o644));

    // Another name comes just before the link: whoever has that one may write to it.
    let world = World::new();
    let file = world.file("c", &bytes);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let disk = Disk::watched(|action, path| {
        if action == Action::Link {
            let source = path.ancestors().nth(5).unwrap().join("in/c");
            fs::hard_link(&source, source.with_extension("2")).unwrap();
        }
    });
    let store = Store::open_on(&world.store_path, disk).unwrap();
    ingest_with(&store, "demo@v1", &[&file], options(Sources::Immutable)).unwrap();
    assert_eq!((mode(&file), fs::metadata(&file).unwrap().nlink()), (0o644, 2));
    assert_eq!(mode(&blob(&world.store_path, &bytes)), 0o444);
}

#[test]
fn a_blob_of_another_program_becomes_read_only() {
    let world = World::new();
    let file = world.file("a", b"a");
    let blob = blob(&world.store_path, b"a");
    fs::write(&blob, b"a").unwrap();
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o664)).unwrap();
    ingest_with(&world.store, "demo@v1", &[&file], options(Sources::MayChange)).unwrap();
    assert_eq!(fs::metadata(&blob).unwrap().permissions().mode() & 0o777, 0o444);
}
