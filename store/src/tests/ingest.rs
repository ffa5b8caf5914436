//! Files and directories become releases, once and for all.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bonded_model::Digest;

use super::evidence::statement;
use super::{World, name, path};
use crate::StoreError;
use crate::ingest::{IngestError, Outcome};

#[test]
fn a_directory_becomes_a_release_and_reads_back() {
    let world = World::new();
    let large: Vec<u8> = (0..20_000_000_u32).map(|at| u8::try_from(at % 253).unwrap()).collect();
    world.file("bin/tool", &large);
    world.file("empty", b"");
    world.file("README", b"hello");
    let report = world.ingest("demo@v1.0.0").unwrap();
    assert_eq!((report.outcome, report.epoch, report.bytes), (Outcome::Created, 1, 20_000_005));
    let paths: Vec<_> = report.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["README", "bin/tool", "empty"]);

    let snapshot = world.store.snapshot().unwrap();
    assert_eq!(snapshot.releases().unwrap(), [name("demo@v1.0.0")]);
    let release = snapshot.release(&name("demo@v1.0.0")).unwrap();
    assert_eq!(release, report.release);
    let tool = release.artifact(&path("bin/tool")).unwrap();
    assert_eq!(tool.file.digest, Digest::sha256_of(&large));
    assert_eq!(snapshot.read(&tool.file, 1 << 30).unwrap(), large);
    let mut streamed = Vec::new();
    snapshot.open_blob(&tool.file.digest).unwrap().read_to_end(&mut streamed).unwrap();
    assert_eq!(streamed, large);
    let blob = snapshot.verify_blob(&tool.file).unwrap();
    let mut part = [0; 5];
    assert_eq!((blob.size(), blob.read_at(253, &mut part).unwrap()), (20_000_000, 5));
    assert_eq!(part, [0, 1, 2, 3, 4]);
    let blob = world.store_path.join("blobs/sha256").join(tool.file.digest.hex());
    assert_eq!(fs::metadata(blob).unwrap().permissions().mode() & 0o777, 0o444);
    let blake3 = world.store.facts().get(&tool.file.digest).unwrap().blake3;
    assert_eq!(blake3.as_bytes(), blake3::hash(&large).as_bytes());
    assert_eq!(world.store.facts().notice(), None);
}

#[test]
fn the_same_bytes_again_change_nothing() {
    let world = World::new();
    world.file("a", b"a");
    world.file("a.intoto.jsonl", statement(&[Digest::sha256_of(b"a")]));
    let first = world.ingest("demo@v1").unwrap();
    let again = world.ingest("demo@v1").unwrap();
    assert_eq!((again.outcome, again.epoch), (Outcome::Unchanged, first.epoch));
    assert_eq!(again.release, first.release);
    assert_eq!(fs::read_dir(world.store_path.join("bonded/staging")).unwrap().count(), 0);
}

#[test]
fn another_set_of_files_is_refused_with_both_digests() {
    let world = World::new();
    world.file("a", b"a");
    world.file("b", b"b");
    let first = world.ingest("demo@v1").unwrap();
    let check = |world: &World, at: &str, before: Option<&[u8]>, now: Option<&[u8]>| {
        let error = world.ingest("demo@v1").unwrap_err();
        let text = error.to_string();
        let IngestError::OtherRelease { path, held, given, held_release, given_release, .. } =
            error
        else {
            panic!("{text}")
        };
        assert_eq!(path.as_str(), at);
        assert_eq!((held, given), (before.map(Digest::sha256_of), now.map(Digest::sha256_of)));
        assert_eq!(held_release, first.release.digest());
        assert_ne!(given_release, held_release);
        for digest in [held, given, Some(held_release), Some(given_release)].into_iter().flatten() {
            assert!(text.contains(&digest.to_string()), "{text}");
        }
        assert_eq!(world.store.snapshot().unwrap().epoch(), 1);
    };
    world.file("b", b"B");
    check(&world, "b", Some(b"b"), Some(b"B"));
    world.file("b", b"b");
    world.file("c", b"c");
    check(&world, "c", None, Some(b"c"));
    fs::remove_file(world.inputs.join("c")).unwrap();
    fs::remove_file(world.inputs.join("a")).unwrap();
    check(&world, "a", Some(b"a"), None);
    world.file("b", b"B");
    check(&world, "b", Some(b"b"), Some(b"B")); // other bytes say more than a missing file
}

#[test]
fn a_damaged_blob_is_put_back_by_ingesting_again() {
    let world = World::new();
    world.file("a", b"good");
    let report = world.ingest("demo@v1").unwrap();
    let blob = world.store_path.join("blobs/sha256").join(report.files[0].digest.hex());
    for damage in [
        |blob: &Path| fs::remove_file(blob).unwrap(),
        |blob: &Path| {
            fs::remove_file(blob).unwrap();
            fs::write(blob, b"evil").unwrap();
        },
    ] {
        damage(&blob);
        assert_eq!(world.ingest("demo@v1").unwrap().outcome, Outcome::Unchanged);
        assert_eq!(fs::read(&blob).unwrap(), b"good");
    }
}

#[test]
fn damaged_manifests_are_put_back_by_ingesting_again() {
    let world = World::new();
    world.file("a", b"a");
    world.file("SHA256SUMS", format!("{}  a\n", Digest::sha256_of(b"a").hex()));
    let release = world.ingest("demo@v1").unwrap().release;
    let before = world.store.snapshot().unwrap();
    let good = before.evidence(release.name()).unwrap().digest();
    let referrer = before.referrers(&release.digest()).unwrap()[0].digest;
    let file = release.artifacts()[0].manifest.digest;
    let of = |digest: &Digest| world.store_path.join("blobs/sha256").join(digest.hex());
    let check = |what: &str| {
        assert!(before.evidence(release.name()).is_err(), "{what}");
        let again = world.ingest("demo@v1").unwrap();
        assert_eq!((again.outcome, again.epoch), (Outcome::Unchanged, 1), "{what}");
        assert_eq!(before.evidence(release.name()).unwrap().digest(), good, "{what}");
    };
    for damaged in [vec![release.digest()], vec![file], vec![referrer], vec![file, referrer]] {
        for blob in damaged.iter().map(of) {
            fs::remove_file(&blob).unwrap();
        }
        check("missing");
        for blob in damaged.iter().map(of) {
            fs::remove_file(&blob).unwrap();
            fs::write(&blob, b"evil").unwrap();
        }
        check("evil");
    }
    // Other files are no way to mend it, nor is evidence alone.
    fs::remove_file(of(&file)).unwrap();
    let sums = world.inputs.join("SHA256SUMS");
    let other = world.file("b", b"b");
    for inputs in [[sums.as_path()], [other.as_path()]] {
        let error = world.ingest_paths("demo@v1", &inputs).unwrap_err();
        assert!(
            matches!(&error, IngestError::Store(StoreError::MissingBlob { digest, .. }) if *digest == file),
            "{error}"
        );
    }
    assert_eq!(world.store.snapshot().unwrap().epoch(), 1);
}
