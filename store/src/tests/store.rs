//! Stores that are made, opened, locked, shared, damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bonded_model::evidence::Subject;
use bonded_model::limits::{EVIDENCE_BYTES_MAX, EVIDENCE_TOTAL_BYTES_MAX};
use bonded_model::manifest::Manifest;
use bonded_model::statement::{Statement, Subject as StatementSubject};
use bonded_model::{Descriptor, Digest, DocumentKind, MediaType, Release, media_type, vsa};

use super::{World, holder, ingest_into, name};
use crate::catalog::Key;
use crate::disk::memory::Memory;
use crate::disk::{Action, Disk, DiskFault};
use crate::ingest::Outcome;
use crate::{
    AttachEachRequest, AttachRequest, IndexState, NewDocument, Store, StoreError, attach,
    attach_each,
};

#[test]
fn a_store_needs_a_directory_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    assert!(matches!(Store::open(&at("gone")), Err(StoreError::NotAStore { .. })));
    assert!(matches!(Store::open(directory.path()), Err(StoreError::NotAStore { .. })));
    let store = Store::init(&at("a/b")).unwrap();
    assert_eq!(store.snapshot().unwrap().epoch(), 0);
    assert_eq!(fs::read(at("a/b/oci-layout")).unwrap(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    assert!(matches!(Store::init(&at("a/b")), Err(StoreError::AlreadyAStore { .. })));
    for (name, entry) in [("foreign", "file"), ("layout", "oci-layout")] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join(entry), "x").unwrap();
        assert!(matches!(Store::init(&at(name)), Err(StoreError::NotEmpty { .. })), "{name}");
    }
    fs::write(at("file"), "x").unwrap();
    assert!(matches!(Store::init(&at("file")), Err(StoreError::Disk(_))));
}

/// A release of one file whose blob has other bytes, the descriptor of that file, and the blob's path.
fn damaged() -> (World, Descriptor, PathBuf) {
    let world = World::new();
    world.file("a", b"good");
    let file = world.ingest("demo@v1").unwrap().release.artifacts()[0].file.clone();
    let blob = world.store_path.join("blobs/sha256").join(file.digest.hex());
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, b"evil").unwrap();
    (world, file, blob)
}

#[test]
fn a_corrupt_blob_is_moved_aside_and_never_handed_out() {
    let read = |world: &World, how: &str, digest: Digest| {
        let snapshot = world.store.snapshot().unwrap();
        let release = snapshot.release(&name("demo@v1")).unwrap();
        let file = release.artifacts()[0].file.clone();
        assert_eq!(file.digest, digest);
        match how {
            "read" => snapshot.read(&file, 1 << 20).map(drop).unwrap_err(),
            "verify" => snapshot.verify_blob(&file).map(drop).unwrap_err(),
            _ => {
                let mut reader = snapshot.open_blob(&digest).unwrap();
                let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
                *error.into_inner().unwrap().downcast::<StoreError>().unwrap()
            }
        }
    };
    for how in ["read", "verify", "stream"] {
        let (world, file, _) = damaged();
        let digest = file.digest;
        let error = read(&world, how, digest);
        let StoreError::Corrupt { digest: named, found, quarantined, .. } = &error else {
            panic!("{how}: {error:?}")
        };
        assert_eq!((*named, *found), (digest, Digest::sha256_of(b"evil")));
        assert_eq!(fs::read(quarantined.as_ref().unwrap()).unwrap(), b"evil");
        let snapshot = world.store.snapshot().unwrap();
        assert!(matches!(snapshot.open_blob(&digest), Err(StoreError::MissingBlob { .. })));
    }
}

#[test]
fn a_damaged_blob_stays_while_somebody_writes() {
    let (world, file, blob) = damaged();
    let writer = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    let mut reader = world.store.snapshot().unwrap().open_blob(&file.digest).unwrap();
    for _ in 0..2 {
        let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
        let error = error.into_inner().unwrap().downcast::<StoreError>().unwrap();
        assert!(matches!(*error, StoreError::Corrupt { quarantined: None, .. }), "{error}");
    }
    assert_eq!(fs::read(&blob).unwrap(), b"evil");
    drop(writer);
    // What takes its place moves it aside.
    world.ingest("demo@v1").unwrap();
    assert_eq!(fs::read(&blob).unwrap(), b"good");
    let damaged = fs::read_dir(world.store_path.join("bonded/quarantine/damaged")).unwrap();
    assert_eq!(damaged.count(), 1);
}

#[test]
fn a_damaged_stream_never_comes_to_a_good_end() {
    let (world, file, _) = damaged();
    let mut reader = world.store.snapshot().unwrap().open_blob(&file.digest).unwrap();
    let mut buffer = [0; 9];
    assert_eq!(std::io::Read::read(&mut reader, &mut buffer).unwrap(), 4);
    for _ in 0..3 {
        let error = std::io::Read::read(&mut reader, &mut buffer).unwrap_err();
        let error = error.into_inner().unwrap().downcast::<StoreError>().unwrap();
        assert!(matches!(*error, StoreError::Corrupt { quarantined: Some(_), .. }), "{error}");
    }
}

/// Calls `meddle` once, just before a blob is moved to quarantine.
fn meddling_store(world: &World, meddle: impl Fn() + Send + Sync + 'static) -> Store {
    let done = AtomicBool::new(false);
    let disk = Disk::watched(move |action, path| {
        let is_move = action == Action::Rename && path.to_string_lossy().contains("/quarantine/");
        if is_move && !done.swap(true, Ordering::SeqCst) {
            meddle();
        }
    });
    Store::open_on(&world.store_path, disk).unwrap()
}

#[test]
fn a_blob_that_was_put_back_meanwhile_is_not_moved_aside() {
    let (world, file, blob) = damaged();
    let [new, old] = [blob.with_extension("new"), blob.clone()];
    let store = meddling_store(&world, move || {
        fs::write(&new, b"good").unwrap();
        fs::rename(&new, &old).unwrap();
    });
    let error = store.snapshot().unwrap().read(&file, 9).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { quarantined: None, .. }), "{error}");
    assert_eq!(store.snapshot().unwrap().read(&file, 9).unwrap(), b"good");
}

#[test]
fn an_ingest_puts_a_blob_back_that_a_reader_moved_aside_first() {
    let (world, _, blob) = damaged();
    let path = blob.clone();
    let store = meddling_store(&world, move || fs::remove_file(&path).unwrap());
    assert_eq!(
        ingest_into(&store, "demo@v1", &[&world.inputs]).unwrap().outcome,
        Outcome::Unchanged
    );
    assert_eq!(fs::read(&blob).unwrap(), b"good");
}

#[test]
fn evidence_of_a_release_has_a_limit_in_all() {
    let world = World::new();
    world.file("a", b"a");
    let release = world.ingest("demo@v1").unwrap().release;
    let mut writer = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    let media_type = MediaType::known(media_type::IN_TOTO);
    let count = EVIDENCE_TOTAL_BYTES_MAX / EVIDENCE_BYTES_MAX + 1;
    for number in 0..count {
        let digest = Digest::sha256_of(&number.to_le_bytes());
        let layer = Descriptor::new(media_type.clone(), digest, EVIDENCE_BYTES_MAX);
        let mut manifest = Manifest::artifact(media_type.clone(), layer);
        manifest.subject = Some(release.index().clone());
        let manifest_type = MediaType::known(media_type::OCI_MANIFEST);
        let held = writer.hold(manifest_type, &manifest.to_bytes()).unwrap();
        writer.insert(Key::evidence(release.name(), &held.digest), held).unwrap();
    }
    let snapshot = writer.commit().unwrap();
    let is_refused = |error: &StoreError| matches!(error, StoreError::TooMuchEvidence { bytes, .. } if *bytes >= count * EVIDENCE_BYTES_MAX);
    let error = snapshot.evidence(release.name()).unwrap_err();
    assert!(is_refused(&error), "{error}");
    let error = attach_statement(&world, &release, &summary(release.digest()), None).unwrap_err();
    assert!(is_refused(&error), "{error}");
}

fn attach_statement(
    world: &World,
    release: &Release,
    bytes: &[u8],
    predicate_type: Option<&str>,
) -> Result<u64, StoreError> {
    let document = NewDocument {
        bytes,
        kind: DocumentKind::Statement,
        media_type: MediaType::known(media_type::IN_TOTO),
        title: None,
        predicate_type,
    };
    let request = AttachRequest {
        release: release.name(),
        subject: &Subject::Release,
        documents: &[document],
        holder: &holder(),
        wait: super::WAIT,
    };
    attach(&world.store, &request, &mut |_| {})
}

#[test]
fn a_predicate_type_of_any_length_leaves_manifest_and_catalog_small() {
    let world = World::new();
    world.file("a", b"a");
    let release = world.ingest("demo@v1").unwrap().release;
    for (length, is_hint) in [(255, true), (256, false), (5 << 20, false)] {
        let predicate = "p".repeat(length);
        let subject = StatementSubject::new("a", Digest::sha256_of(b"a"));
        let bytes = Statement::new(vec![subject], &predicate, &serde_json::json!({})).to_bytes();
        let before = world.store.snapshot().unwrap();
        attach_statement(&world, &release, &bytes, Some(&predicate)).unwrap();
        let snapshot = world.store.snapshot().unwrap();
        for change in snapshot.catalog().diff(before.catalog()).map(Result::unwrap) {
            let referrer = change.after.unwrap();
            assert!(referrer.annotations.is_empty());
            let manifest = snapshot.read(&referrer, 2048).unwrap();
            let manifest = Manifest::parse(&manifest).unwrap();
            let hint = manifest.annotations.get("in-toto.io/predicate-type");
            assert_eq!(hint, is_hint.then_some(&predicate));
        }
    }
    let evidence = world.store.snapshot().unwrap().evidence(release.name()).unwrap();
    assert_eq!(evidence.documents.len(), 3);
}

#[test]
fn limits_and_sizes_hold_before_and_after_reading() {
    let world = World::new();
    world.file("a", b"12345");
    let release = world.ingest("demo@v1").unwrap().release;
    let snapshot = world.store.snapshot().unwrap();
    let mut file = release.artifacts()[0].file.clone();
    assert!(matches!(
        snapshot.read(&file, 4),
        Err(StoreError::BlobTooLarge { bytes: 5, limit: 4, .. })
    ));
    file.size = 6;
    assert!(matches!(snapshot.read(&file, 9), Err(StoreError::Size { expected: 6, found: 5, .. })));
    assert!(matches!(snapshot.verify_blob(&file), Err(StoreError::Size { .. })));
}

#[test]
fn the_nearest_name_is_told() {
    let world = World::new();
    world.file("a", b"a");
    world.ingest("demo@v1.31.2").unwrap();
    let snapshot = world.store.snapshot().unwrap();
    let nearest = |text: &str| match snapshot.release(&name(text)).unwrap_err() {
        StoreError::NoRelease { nearest, .. } => nearest,
        other => panic!("{other}"),
    };
    assert_eq!(nearest("demo@v1.31.3"), Some(name("demo@v1.31.2")));
    assert_eq!(nearest("kubernetes@v9"), None);
}

#[test]
fn a_second_writer_waits_and_is_told_for_whom() {
    let (memory, path) = (Memory::default(), Path::new("/disks/store"));
    memory.disk().create_directory(Path::new("/disks")).unwrap();
    let store = Store::init_on(path, memory.disk(), Duration::ZERO).unwrap();
    let first = store.lock(Duration::ZERO, &holder(), &mut |_| panic!("it is free")).unwrap();
    let other = Store::open_on(path, memory.disk()).unwrap();
    let mut told = Vec::new();
    let second = other.lock(Duration::from_millis(50), &holder(), &mut |by| told.push(by.clone()));
    let Err(StoreError::LockTimeout { holder: by, .. }) = second else { panic!("{second:?}") };
    assert_eq!((by, told), (holder(), vec![holder()]));
    assert_eq!(other.snapshot().unwrap().epoch(), 0); // readers do not wait
    drop(first);
    other.lock(Duration::ZERO, &holder(), &mut |_| panic!("it is free")).unwrap();
}

#[test]
fn two_writers_at_once_both_succeed() {
    let world = World::new();
    let inputs: Vec<_> = (0..8).map(|n| world.file(&format!("{n}"), format!("{n}"))).collect();
    std::thread::scope(|scope| {
        for (number, input) in inputs.iter().enumerate() {
            let path = world.store_path.clone();
            scope.spawn(move || {
                let store = Store::open(&path).unwrap();
                ingest_into(&store, &format!("demo@v{number}"), &[input]).unwrap();
            });
        }
    });
    let snapshot = world.store.snapshot().unwrap();
    assert_eq!((snapshot.epoch(), snapshot.releases().unwrap().len()), (8, 8));
    assert_eq!(world.store.index_state().unwrap(), IndexState::Current);
}

#[test]
fn a_commit_that_lost_its_base_is_refused() {
    let world = World::new();
    world.file("a", b"a");
    let root = world.store_path.join("bonded/ROOT");
    let mut writer = world.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap();
    let held = writer.hold(MediaType::known(media_type::OCI_EMPTY), b"{}").unwrap();
    writer.insert(Key::release(&name("demo@v1")), held).unwrap();
    let text = fs::read_to_string(&root).unwrap();
    let parent = format!(r#""epoch":5,"parent":"{}","#, Digest::sha256_of(b"x"));
    fs::write(&root, text.replace(r#""epoch":0,"#, &parent)).unwrap();
    let error = writer.commit().unwrap_err();
    assert!(matches!(error, StoreError::Raced { expected: 0, found: 5 }), "{error}");
}

#[test]
fn a_read_only_store_is_readable_and_says_why_it_cannot_be_written() {
    let world = World::new();
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let own = world.store_path.join("bonded");
    for path in [own.join("lock"), own.join("staging"), own.clone()] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    let above_permissions = fs::write(own.join("probe"), "").is_ok();
    if !above_permissions {
        check_read_only(&world.store, &world, DiskFault::PermissionDenied);
    }
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    if above_permissions {
        read_only_mount(&world);
    }
}

/// Root is above permissions; a read-only bind mount is not, where one can be made.
fn read_only_mount(world: &World) {
    let at = world.store_path.with_extension("ro");
    fs::create_dir(&at).unwrap();
    let mount = |arguments: &[&str]| {
        let made = std::process::Command::new("mount").args(arguments).arg(&at).output();
        made.is_ok_and(|output| output.status.success())
    };
    let source = world.store_path.to_str().unwrap();
    if !mount(&["--bind", source]) {
        eprintln!("did not run: root, and no bind mount can be made here");
        return;
    }
    if mount(&["-o", "remount,bind,ro"]) {
        check_read_only(&Store::open(&at).unwrap(), world, DiskFault::ReadOnly);
    }
    let unmounted = std::process::Command::new("umount").arg(&at).status().unwrap();
    assert!(unmounted.success());
}

fn check_read_only(store: &Store, world: &World, fault: DiskFault) {
    let release = store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    store.snapshot().unwrap().verify_blob(&release.artifacts()[0].file).unwrap();
    // sled opens nothing that it cannot write; then facts are computed.
    let is_known = store.facts().get(&release.artifacts()[0].file.digest).is_some();
    assert_eq!(is_known, !cfg!(feature = "sled"));
    let error = ingest_into(store, "demo@v2", &[&world.inputs]).unwrap_err();
    assert_eq!(error.disk().unwrap().fault(), fault, "{error}");
}

fn summary(digest: Digest) -> Vec<u8> {
    let subject = StatementSubject::new("demo", digest);
    Statement::new(vec![subject], vsa::SUMMARY_V1, &serde_json::json!({})).to_bytes()
}

/// Summaries of the release and of an artifact, in one commit.
#[test]
fn a_summary_that_somebody_signed_is_evidence() {
    let world = World::new();
    world.file("a", b"a");
    let release = world.ingest("demo@v1").unwrap().release;
    let signed = |made: u8| {
        let envelope = bonded_model::dsse::Envelope {
            payload_type: media_type::IN_TOTO.to_owned(),
            payload: summary(release.digest()),
            signatures: vec![bonded_model::dsse::Signature { key_id: None, bytes: vec![made] }],
        };
        bonded_model::bundle::with_managed_key(&envelope, &Digest::sha256_of(b"key"))
    };
    let bundles = [signed(1), signed(2)];
    let document = |at: usize| NewDocument {
        bytes: &bundles[at],
        kind: DocumentKind::Bundle,
        media_type: MediaType::known(media_type::SIGSTORE_BUNDLE),
        title: None,
        predicate_type: Some(vsa::SUMMARY_V1),
    };
    let of_file = Subject::Artifact("a".parse().unwrap());
    let mut documents = vec![(Subject::Release, document(0)), (of_file.clone(), document(1))];
    let holder = holder();
    let attach = |documents: &[(Subject, NewDocument<'_>)]| {
        let wait = Duration::from_secs(20);
        let release = release.name();
        let request = AttachEachRequest { release, documents, holder: &holder, wait };
        attach_each(&world.store, &request, &mut |_| {})
    };
    assert_eq!([attach(&documents).unwrap(), attach(&documents).unwrap()], [2, 2]);
    let snapshot = world.store.snapshot().unwrap();
    assert!(snapshot.summaries(release.name()).unwrap().is_empty());
    let mut held = snapshot.evidence(release.name()).unwrap().documents;
    held.sort_by(|a, b| a.subject.cmp(&b.subject));
    let subjects: Vec<_> = held.iter().map(|held| held.subject.clone()).collect();
    assert_eq!(subjects, [Subject::Release, of_file]);
    assert_eq!(held[1].digest, Digest::sha256_of(&bundles[1]));

    documents.push((Subject::Artifact("gone".parse().unwrap()), document(0)));
    assert!(matches!(attach(&documents), Err(StoreError::NoArtifact { .. })));
    assert_eq!(world.store.snapshot().unwrap().epoch(), 2);
}

#[test]
fn summaries_are_attached_once_and_are_no_evidence() {
    let world = World::new();
    world.file("a", b"a");
    let release = world.ingest("demo@v1").unwrap().release;
    let before = world.store.snapshot().unwrap().evidence(release.name()).unwrap().digest();
    let bytes = summary(release.digest());
    let document = NewDocument {
        bytes: &bytes,
        kind: DocumentKind::Statement,
        media_type: MediaType::known(media_type::IN_TOTO),
        title: None,
        predicate_type: Some(vsa::SUMMARY_V1),
    };
    let holder = holder();
    let mut request = AttachRequest {
        release: release.name(),
        subject: &Subject::Release,
        documents: &[document.clone(), document.clone()],
        holder: &holder,
        wait: Duration::from_secs(20),
    };
    let attach = |request: &AttachRequest<'_>| attach(&world.store, request, &mut |_| {});
    assert_eq!([attach(&request).unwrap(), attach(&request).unwrap()], [2, 2]);
    let snapshot = world.store.snapshot().unwrap();
    let summaries = snapshot.summaries(release.name()).unwrap();
    assert_eq!(summaries.len(), 1);
    assert_eq!(summaries[0].digest, Digest::sha256_of(&bytes));
    assert_eq!(snapshot.evidence(release.name()).unwrap().digest(), before);
    assert_eq!(snapshot.referrers(&release.digest()).unwrap().len(), 1);

    // A hint alone does not hide a document.
    let disguised = NewDocument { bytes: b"{}", ..document.clone() };
    request.documents = std::slice::from_ref(&disguised);
    attach(&request).unwrap();
    let evidence = world.store.snapshot().unwrap().evidence(release.name()).unwrap();
    assert_eq!(evidence.documents.len(), 1);

    let nowhere = Subject::Artifact("gone".parse().unwrap());
    request.subject = &nowhere;
    assert!(matches!(attach(&request), Err(StoreError::NoArtifact { .. })));
    let gone = name("demo@v9");
    request.release = &gone;
    assert!(matches!(attach(&request), Err(StoreError::NoRelease { .. })));
    let taken = NewDocument { title: Some("a".parse().unwrap()), ..document };
    request = AttachRequest {
        release: release.name(),
        subject: &Subject::Release,
        documents: std::slice::from_ref(&taken),
        ..request
    };
    assert!(matches!(attach(&request), Err(StoreError::TitleTaken { .. })));
}

#[test]
fn a_foreign_index_is_told_from_one_that_is_behind() {
    let world = World::new();
    let index = world.store_path.join("index.json");
    let empty = fs::read(&index).unwrap();
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let current = fs::read_to_string(&index).unwrap();
    assert!(current.contains(r#""org.opencontainers.image.ref.name":"demo/v1""#));
    let state = || world.store.index_state().unwrap();
    assert_eq!(state(), IndexState::Current);
    fs::write(&index, &empty).unwrap();
    assert_eq!(state(), IndexState::Behind);
    fs::remove_file(&index).unwrap();
    assert_eq!(state(), IndexState::Missing);
    assert_eq!(world.ingest("demo@v1").unwrap().outcome, Outcome::Unchanged);
    assert_eq!(fs::read_to_string(&index).unwrap(), current);
    for foreign in [
        current.replace("demo/v1", "demo/v2"),
        r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(),
        current.get(..current.len() / 2).unwrap().to_owned(),
        String::new(),
    ] {
        fs::write(&index, &foreign).unwrap();
        assert_eq!(state(), IndexState::Foreign, "{foreign}");
        world.ingest("demo@v1").unwrap();
        world.ingest(&format!("demo@w{}", foreign.len())).unwrap();
        assert_eq!(fs::read_to_string(&index).unwrap(), foreign, "it is not ours to overwrite");
    }
}

/// What `skopeo` says, or `None` where it is not installed; in CI it must be.
fn skopeo(arguments: &[&str]) -> Option<std::process::Output> {
    match std::process::Command::new("skopeo").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            #[expect(clippy::disallowed_methods, reason = "a test may be told that it runs in CI")]
            let required = std::env::var_os("CI").is_some();
            assert!(!required, "skopeo must be installed in CI: {error}");
            eprintln!("did not run: skopeo is not installed");
            None
        }
    }
}

#[test]
fn skopeo_reads_releases_in_place() {
    let world = World::new();
    for (at, release) in ["demo@v1.0.0", "demo@1.2.3-rc.1+build.7", "a-b.c_d@V2"].iter().enumerate()
    {
        world.file("a", format!("{at}"));
        let release = world.ingest(release).unwrap().release;
        let store = world.store_path.to_str().unwrap();
        let (project, version) = (&release.name().project, &release.name().version);
        let reference = format!("oci:{store}:{project}/{version}");
        let Some(output) = skopeo(&["inspect", "--raw", &reference]) else { return };
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{reference}: {error}");
        assert_eq!(Digest::sha256_of(&output.stdout), release.digest());
    }
}

/// Runs `body` on a file system of 6 MiB, where one can be mounted.
fn on_a_small_disk(body: impl FnOnce(&std::path::Path)) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=6m", "small"])
        .arg(at)
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("did not run: no file system can be mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(at)));
    assert!(std::process::Command::new("umount").arg(at).status().unwrap().success());
    outcome.unwrap();
}

#[test]
fn a_disk_that_is_really_full_loses_nothing() {
    let world = World::new();
    let small = world.file("small", b"small");
    let big = world.file("big", vec![3; 9 << 20]);
    let many: Vec<_> = (0..70).map(|n| world.file(&format!("n{n}"), vec![n; 100_000])).collect();
    on_a_small_disk(|disk| {
        let store = Store::init(&disk.join("store")).unwrap();
        ingest_into(&store, "demo@v1", &[&small]).unwrap();
        let many: Vec<_> = many.iter().map(std::path::PathBuf::as_path).collect();
        for inputs in [&[big.as_path()][..], &many] {
            let error = ingest_into(&store, "demo@v2", inputs).unwrap_err();
            assert_eq!(error.disk().unwrap().fault(), DiskFault::NoSpace, "{error}");
            assert_eq!(store.snapshot().unwrap().releases().unwrap(), [name("demo@v1")]);
            assert_eq!(fs::read_dir(disk.join("store/bonded/staging")).unwrap().count(), 0);
        }
        ingest_into(&store, "demo@v2", &[&small]).unwrap();
    });
}
