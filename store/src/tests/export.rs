//! What leaves the store as a layout is whole and byte for byte what came in, or nothing is left there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bonded_model::descriptor::{ANNOTATION_REF_NAME, ANNOTATION_TITLE};
use bonded_model::evidence::Subject;
use bonded_model::manifest::{Index, Manifest};
use bonded_model::release::ReleaseError;
use bonded_model::statement::{self, Statement};
use bonded_model::{Descriptor, Digest, MediaType, media_type};

use super::image::Image;
use super::{World, holder, name, spdx};
use crate::catalog::Key;
use crate::error::StoreError;
use crate::export::{
    ExportError, ExportName, ExportReport, ExportRequest, Form, Referrers, What, export,
};
use crate::image::{ImportError, ImportReport, ImportRequest, import};
use crate::{AttachRequest, attach};

const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

impl World {
    fn export_as(
        &self,
        form: Form,
        names: &[&str],
        to: &Path,
    ) -> Result<ExportReport, ExportError> {
        let names: Vec<ExportName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let what = if names.is_empty() { What::Everything } else { What::Names(&names) };
        self.export(&ExportRequest { what, to, form, referrers: Referrers::All })
    }

    fn export(&self, request: &ExportRequest<'_>) -> Result<ExportReport, ExportError> {
        export(&self.store.snapshot().unwrap(), request, &())
    }

    /// Where an export may go.
    fn to(&self, name: &str) -> PathBuf {
        self.inputs.join(name)
    }

    fn attach_to(&self, release: &str, subject: &Subject, bytes: &[u8]) {
        let request = AttachRequest {
            release: &name(release),
            subject,
            documents: &[spdx(bytes)],
            holder: &holder(),
            wait: super::WAIT,
        };
        attach(&self.store, &request, &mut |_| {}).unwrap();
    }
}

/// A store with a release of a file and an image, one more image, and referrers of all of them.
fn full() -> (World, Image) {
    let world = World::in_memory();
    let image = Image::multi("x");
    let release = world.hold_release("demo@v1", &[("a", b"a")], &[("example.com/x:v1", &image)]);
    world.hold_image("example.com/x:v1", &image);
    world.hold_image("example.com/y:v1", &Image::of("amd64", "y"));
    world.attach_to("demo@v1", &Subject::Release, b"{\"of\":\"release\"}");
    world.attach_to("demo@v1", &Subject::Artifact("a".parse().unwrap()), b"{\"of\":\"a\"}");
    let sbom = Image::referrer(&image.top, SBOM, b"{}");
    world.hold_referrer(&image.top, &sbom);
    world.hold_referrer(&sbom.top, &Image::referrer(&sbom.top, SIGNATURE, b"signed"));
    assert!(release.artifacts().iter().any(|artifact| artifact.is_image()));
    (world, image)
}

/// The files of a layout, of which every blob is what it is called.
fn read_layout(directory: &Path) -> (Index, BTreeMap<Digest, Vec<u8>>) {
    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    assert_eq!(read("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let blobs = fs::read_dir(directory.join("blobs/sha256")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let digest = Digest::sha256_of(&bytes);
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), digest.hex());
        (digest, bytes)
    });
    (Index::parse(&read("index.json")).unwrap(), blobs.collect())
}

fn tags(index: &Index) -> Vec<&str> {
    let tags = index.manifests.iter().filter_map(|one| one.annotations.get(ANNOTATION_REF_NAME));
    tags.map(String::as_str).collect()
}

fn untagged(index: &Index) -> Vec<&Descriptor> {
    let entries = index.manifests.iter();
    entries.filter(|one| !one.annotations.contains_key(ANNOTATION_REF_NAME)).collect()
}

fn fallback_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

#[test]
fn a_whole_store_goes_out_with_everything_that_has_a_name() {
    let (world, image) = full();
    let to = world.to("out");
    let report = world.export_as(Form::Directory, &[], &to).unwrap();
    let (index, blobs) = read_layout(&to);
    let names: Vec<_> = report.names.iter().map(|name| name.name.to_string()).collect();
    assert_eq!(names, ["demo@v1", "example.com/x:v1", "example.com/y:v1"]);
    assert_eq!(tags(&index)[..3], ["demo/v1", "example.com/x:v1", "example.com/y:v1"]);
    assert_eq!((report.blobs, report.referrers), (blobs.len(), 4));
    assert_eq!(report.bytes, blobs.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    for (digest, bytes) in &image.blobs {
        assert_eq!(blobs.get(digest), Some(bytes), "{digest}");
    }
    let release = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    assert!(blobs.contains_key(&release.artifacts()[0].file.digest));
}

#[test]
fn referrers_stand_in_both_conventions() {
    let (world, image) = full();
    let to = world.to("out");
    world.export_as(Form::Directory, &["demo@v1"], &to).unwrap();
    let (index, blobs) = read_layout(&to);
    let release = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    let of_release = release.digest();
    let of_file = release.artifacts()[0].manifest.digest;
    let sbom = Image::referrer(&image.top, SBOM, b"{}");
    let signature = Image::referrer(&sbom.top, SIGNATURE, b"signed");

    let evidence: Vec<_> = untagged(&index)
        .iter()
        .map(|one| one.annotations.get("vnd.bonded.evidence").map(String::as_str))
        .collect();
    assert_eq!(evidence.len(), 4);
    assert_eq!(evidence.iter().filter(|of| **of == Some("demo/v1")).count(), 2);
    for referrer in [&sbom, &signature] {
        let entries = untagged(&index);
        let entry = entries.iter().find(|one| one.digest == referrer.top.digest).unwrap();
        assert_eq!(entry.artifact_type, referrer.top.artifact_type);
    }

    for (subject, referrer) in [
        (of_release, None),
        (of_file, None),
        (image.top.digest, Some(sbom.top.digest)),
        (sbom.top.digest, Some(signature.top.digest)),
    ] {
        let tag = fallback_tag(&subject);
        let tagged = index.manifests.iter().find(|one| {
            one.annotations.get(ANNOTATION_REF_NAME).is_some_and(|found| *found == tag)
        });
        let fallback = Index::parse(&blobs[&tagged.unwrap().digest]).unwrap();
        let [listed] = fallback.manifests.as_slice() else { panic!("{fallback:?}") };
        assert!(referrer.is_none_or(|referrer| listed.digest == referrer));
        assert!(listed.artifact_type.is_some());
    }
}

#[test]
fn an_archive_holds_the_same_files_and_is_the_same_each_time() {
    let (world, _) = full();
    let [one, two, directory] = ["1.tar", "2.tar", "out"].map(|name| world.to(name));
    world.export_as(Form::Archive, &["demo@v1"], &one).unwrap();
    world.export_as(Form::Archive, &["demo@v1"], &two).unwrap();
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    let report = world.export_as(Form::Directory, &["demo@v1"], &directory).unwrap();
    let unpacked = world.to("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut tar = std::process::Command::new("tar");
    let status = tar.arg("-xf").arg(&one).arg("-C").arg(&unpacked).status().unwrap();
    assert!(status.success());
    assert_eq!(read_layout(&unpacked), read_layout(&directory));
    assert_eq!(read_layout(&unpacked).1.len(), report.blobs);
}

#[test]
fn one_image_goes_out_alone() {
    let (world, image) = full();
    let to = world.to("out");
    let names = ["example.com/x:v1".parse().unwrap()];
    let (what, form) = (What::Names(&names), Form::Directory);
    world.export(&ExportRequest { what, to: &to, form, referrers: Referrers::None }).unwrap();
    let (index, blobs) = read_layout(&to);
    assert_eq!((tags(&index), index.manifests.len()), (vec!["example.com/x:v1"], 1));
    assert_eq!(blobs, image.blobs);
}

#[test]
fn what_is_evidence_for_one_release_stays_out_of_another() {
    let world = World::in_memory();
    world.hold_release("demo@v1", &[("a", b"a")], &[]);
    world.hold_release("demo@v2", &[("a", b"a"), ("b", b"b")], &[]);
    let on_a = Subject::Artifact("a".parse().unwrap());
    world.attach_to("demo@v1", &on_a, b"{\"for\":1}");
    world.attach_to("demo@v2", &on_a, b"{\"for\":2}");
    for (names, expected) in [
        (&["demo@v1"][..], &["demo/v1"][..]),
        (&["demo@v2"], &["demo/v2"]),
        (&["demo@v2", "demo@v1"], &["demo/v1", "demo/v2"]),
    ] {
        let to = world.to(&names.concat());
        world.export_as(Form::Directory, names, &to).unwrap();
        let (index, _) = read_layout(&to);
        let mut of: Vec<&str> = untagged(&index)
            .iter()
            .map(|one| one.annotations["vnd.bonded.evidence"].as_str())
            .collect();
        of.sort_unstable();
        assert_eq!(of, expected);
    }
}

#[test]
fn referrers_whose_subject_is_not_held_go_out_with_the_whole_store() {
    let world = World::in_memory();
    let absent = Image::of("amd64", "absent");
    world.hold_referrer(&absent.top, &Image::referrer(&absent.top, SBOM, b"{}"));
    let to = world.to("out");
    let report = world.export_as(Form::Directory, &[], &to).unwrap();
    let (index, blobs) = read_layout(&to);
    assert_eq!((report.referrers, tags(&index)), (1, vec![&*fallback_tag(&absent.top.digest)]));
    assert!(!blobs.contains_key(&absent.top.digest));
}

/// Everything that has a name, with what it points to.
fn entries(world: &World) -> Vec<(String, Descriptor)> {
    let snapshot = world.store.snapshot().unwrap();
    let entries = snapshot.catalog().scan("").map(|entry| entry.unwrap());
    entries.map(|(key, descriptor)| (key.to_string(), descriptor)).collect()
}

fn import_into(world: &World, source: &Path) -> Result<ImportReport, ImportError> {
    let request = ImportRequest {
        source,
        references: &[],
        repository: None,
        name: None,
        releases: true,
        holder: &holder(),
        wait: super::WAIT,
    };
    import(&world.store, &request, &())
}

/// What cosign wrote under a tag: a manifest without a subject.
fn cosign_signature(world: &World, subject: &Descriptor) {
    let document = Descriptor::of(SIGNATURE.parse().unwrap(), b"signed");
    let manifest = Manifest::artifact(SIGNATURE.parse().unwrap(), document.clone()).to_bytes();
    let mut top = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &manifest);
    top.artifact_type = Some(SIGNATURE.parse().unwrap());
    top.annotations.insert("vnd.bonded.convention".into(), "cosign-tag-sig".into());
    let empty = (Descriptor::empty().digest, b"{}".to_vec());
    let blobs = [(top.digest, manifest), (document.digest, b"signed".to_vec()), empty].into();
    world.hold_referrer(subject, &Image { top, blobs });
}

#[test]
fn a_store_that_goes_out_and_comes_in_again_has_the_same_names() {
    let (world, image) = full();
    world.hold_release("other@v1", &[("a", b"a"), ("b", b"b")], &[]);
    world.attach_to("other@v1", &Subject::Artifact("a".parse().unwrap()), b"{\"of\":\"other\"}");
    let statement = Statement::new(
        vec![statement::Subject::new("a", Digest::sha256_of(b"a"))],
        "https://example.com/type",
        &serde_json::json!({}),
    );
    world.attach_to("demo@v1", &Subject::Release, &statement.to_bytes());
    cosign_signature(&world, &image.top);
    for (form, file) in [(Form::Directory, "out"), (Form::Archive, "out.tar")] {
        let to = world.to(file);
        world.export_as(form, &[], &to).unwrap();
        let again = World::in_memory();
        let report = import_into(&again, &to).unwrap();
        assert_eq!((report.releases.len(), report.skipped.len()), (2, 0));
        assert_eq!(entries(&again), entries(&world));
        let evidence = again.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
        let before = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
        assert_eq!(evidence.digest(), before.digest());
        let epoch = report.epoch;
        assert_eq!(import_into(&again, &to).unwrap().epoch, epoch, "a second time changes nothing");
    }
}

/// A manifest with annotations that give an entry of a list a name or a role.
fn smuggler(subject: Option<&Descriptor>, text: &[u8]) -> Image {
    let document = Descriptor::of(SBOM.parse().unwrap(), text);
    let mut manifest = Manifest::artifact(SBOM.parse().unwrap(), document.clone());
    manifest.subject = subject.map(|subject| Descriptor { platform: None, ..subject.clone() });
    for (key, value) in [
        (ANNOTATION_REF_NAME, "example.com/evil:v1"),
        ("io.containerd.image.name", "example.com/evil:v2"),
        ("kind", "dev.cosignproject.cosign/sigs"),
        ("vnd.bonded.evidence", "demo/v1"),
        ("vnd.bonded.convention", "cosign-tag-sig"),
        ("example.com/kept", "yes"),
    ] {
        manifest.annotations.insert(key.into(), value.into());
    }
    let bytes = manifest.to_bytes();
    let mut top = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &bytes);
    top.artifact_type = Some(SBOM.parse().unwrap());
    let empty = (Descriptor::empty().digest, b"{}".to_vec());
    Image { blobs: [(top.digest, bytes), (document.digest, text.to_vec()), empty].into(), top }
}

#[test]
fn a_referrer_gives_itself_neither_a_name_nor_a_role() {
    let (world, image) = full();
    let release = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    for subject in [release.index(), &release.artifacts()[0].manifest, &image.top] {
        world.hold_referrer(subject, &smuggler(Some(subject), subject.digest.hex().as_bytes()));
    }
    let mut listed = smuggler(None, b"listed");
    listed.top.annotations.insert("vnd.bonded.convention".into(), "fallback-tag".into());
    world.hold_referrer(&image.top, &listed);
    let to = world.to("out");
    world.export_as(Form::Directory, &[], &to).unwrap();
    let (index, blobs) = read_layout(&to);
    let fallbacks = index.manifests.iter().filter(|one| {
        one.annotations.get(ANNOTATION_REF_NAME).is_some_and(|tag| tag.starts_with("sha256-"))
    });
    let fallbacks = fallbacks.map(|one| Index::parse(&blobs[&one.digest]).unwrap());
    let lists = fallbacks.flat_map(|fallback| fallback.manifests);
    let kept = lists.filter(|one| one.annotations.contains_key("example.com/kept"));
    let keys = kept.map(|one| one.annotations.into_keys().collect::<Vec<_>>());
    assert_eq!(keys.collect::<Vec<_>>(), vec![vec!["example.com/kept".to_owned()]; 4]);
    let again = World::in_memory();
    let report = import_into(&again, &to).unwrap();
    assert_eq!((report.releases.len(), report.images.len()), (1, 2));
    assert_eq!(entries(&again), entries(&world));
}

#[test]
fn a_fallback_list_makes_nothing_evidence() {
    let (world, image) = full();
    let to = world.to("out");
    world.export_as(Form::Directory, &["demo@v1"], &to).unwrap();
    let (mut index, blobs) = read_layout(&to);
    let tag = fallback_tag(&image.top.digest);
    let fallback = index
        .manifests
        .iter_mut()
        .find(|one| one.annotations.get(ANNOTATION_REF_NAME).is_some_and(|found| *found == tag));
    let fallback = fallback.unwrap();
    let mut list = Index::parse(&blobs[&fallback.digest]).unwrap();
    list.manifests[0].annotations.insert("vnd.bonded.evidence".into(), "demo/v1".into());
    let list = list.to_bytes();
    let annotations = std::mem::take(&mut fallback.annotations);
    *fallback = Descriptor::of(MediaType::known(media_type::OCI_INDEX), &list);
    fallback.annotations = annotations;
    fs::write(to.join("blobs/sha256").join(fallback.digest.hex()), &list).unwrap();
    fs::write(to.join("index.json"), index.to_bytes()).unwrap();
    let again = World::in_memory();
    import_into(&again, &to).unwrap();
    let evidence =
        |world: &World| world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
    assert_eq!(evidence(&again).digest(), evidence(&world).digest());
}

#[test]
fn a_release_that_is_held_with_other_content_is_not_replaced() {
    let (world, _) = full();
    world.export_as(Form::Directory, &["demo@v1"], &world.to("out")).unwrap();
    let other = World::in_memory();
    let held = other.hold_release("demo@v1", &[("a", b"other")], &[]);
    let error = import_into(&other, &world.to("out")).unwrap_err();
    assert!(matches!(error, ImportError::NameTaken { held: found, .. } if found == held.digest()));
    assert_eq!(entries(&other).len(), 1);
}

/// A layout of a release whose list was edited.
fn edited(edit: impl Fn(&mut Index, &mut BTreeMap<Digest, Vec<u8>>)) -> ImportError {
    let (world, _) = full();
    let to = world.to("out");
    world.export_as(Form::Directory, &["demo@v1"], &to).unwrap();
    let (mut index, mut blobs) = read_layout(&to);
    edit(&mut index, &mut blobs);
    fs::write(to.join("index.json"), index.to_bytes()).unwrap();
    for (digest, bytes) in blobs {
        fs::write(to.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    }
    let again = World::in_memory();
    let error = import_into(&again, &to).unwrap_err();
    assert_eq!(entries(&again), []);
    error
}

#[test]
fn lists_that_tell_of_no_release_are_refused() {
    let release_is = |name: &'static str| {
        move |index: &mut Index, _: &mut BTreeMap<_, _>| {
            let release = index.manifests.iter_mut().find(|one| {
                one.annotations.get(ANNOTATION_REF_NAME).is_some_and(|tag| tag == "demo/v1")
            });
            release.unwrap().annotations.insert(ANNOTATION_REF_NAME.into(), name.into());
        }
    };
    let error = edited(release_is("demo/v2"));
    assert!(matches!(error, ImportError::NotARelease { .. }), "{error:?}");

    let image_as_release = edited(|index, _| {
        let image = index.manifests.iter_mut().find(|one| one.artifact_type.is_none()).unwrap();
        image.artifact_type = Some(MediaType::known(media_type::BONDED_RELEASE));
        image.annotations.insert(ANNOTATION_REF_NAME.into(), "demo/v3".into());
    });
    assert!(matches!(image_as_release, ImportError::NotARelease { .. }), "{image_as_release:?}");

    let foreign_evidence = edited(|index, _| {
        let untagged = index.manifests.iter_mut().filter(|one| one.annotations.is_empty());
        for entry in untagged {
            entry.annotations.insert("vnd.bonded.evidence".into(), "demo/v1".into());
        }
    });
    assert!(matches!(foreign_evidence, ImportError::NoEvidence { .. }), "{foreign_evidence:?}");
}

#[test]
fn evidence_under_another_spelling_of_a_file_is_refused() {
    let (world, _) = full();
    let release = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    let mut manifest = Manifest::artifact(SBOM.parse().unwrap(), Descriptor::empty());
    manifest.subject = Some(release.index().clone());
    manifest.annotations.insert(ANNOTATION_TITLE.into(), "A".into());
    let bytes = manifest.to_bytes();
    let top = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &bytes);
    world.hold_referrer(
        release.index(),
        &Image { blobs: [(top.digest, bytes)].into(), top: top.clone() },
    );
    let wait = super::WAIT;
    let mut writer = world.store.lock(wait, &holder(), &mut |_| {}).unwrap();
    writer.insert(Key::evidence(&name("demo@v1"), &top.digest), top).unwrap();
    writer.commit().unwrap();
    world.export_as(Form::Directory, &["demo@v1"], &world.to("out")).unwrap();
    let error = import_into(&World::in_memory(), &world.to("out")).unwrap_err();
    let is_spelling = |source: &ReleaseError| {
        matches!(source, ReleaseError::Spelling { path, other, .. }
            if path.as_str() == "A" && other.as_str() == "a")
    };
    assert!(
        matches!(&error, ImportError::Release { source, .. } if is_spelling(source)),
        "{error:?}"
    );
}

#[test]
fn an_empty_store_is_an_empty_layout() {
    let world = World::in_memory();
    let to = world.to("out");
    fs::create_dir(&to).unwrap(); // an empty directory may be there
    let report = world.export_as(Form::Directory, &[], &to).unwrap();
    let (index, blobs) = read_layout(&to);
    assert_eq!((index.manifests.len(), blobs.len(), report.names.len()), (0, 0, 0));
}

#[test]
fn a_damaged_or_missing_blob_ends_the_export_and_leaves_nothing() {
    for (form, missing) in
        [(Form::Directory, false), (Form::Archive, false), (Form::Directory, true)]
    {
        let (world, image) = full();
        let digest = *image.blobs.keys().find(|digest| **digest != image.top.digest).unwrap();
        let blob = world.store_path.join("blobs/sha256").join(digest.hex());
        let mut bytes = fs::read(&blob).unwrap();
        bytes[0] ^= 1;
        fs::remove_file(&blob).unwrap();
        if !missing {
            fs::write(&blob, bytes).unwrap();
        }
        let before: Vec<_> = fs::read_dir(&world.inputs).unwrap().collect();
        let error = world.export_as(form, &["demo@v1"], &world.to("out")).unwrap_err();
        match error {
            ExportError::Store(StoreError::MissingBlob { digest: at, .. }) if missing => {
                assert_eq!(at, digest);
            }
            ExportError::Store(StoreError::Corrupt { digest: at, .. }) => assert_eq!(at, digest),
            error => panic!("{error:?}"),
        }
        assert_eq!(fs::read_dir(&world.inputs).unwrap().count(), before.len());
    }
}

#[test]
fn a_blob_of_another_length_is_refused_before_it_is_copied() {
    let (world, image) = full();
    let layer = image.blobs.iter().find(|(_, bytes)| bytes.starts_with(b"hello")).unwrap();
    let blob = world.store_path.join("blobs/sha256").join(layer.0.hex());
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, b"short").unwrap();
    let error = world.export_as(Form::Archive, &["demo@v1"], &world.to("out.tar")).unwrap_err();
    assert!(matches!(error, ExportError::Store(StoreError::Size { found: 5, .. })), "{error:?}");
    assert!(!world.to("out.tar").exists());
}

#[test]
fn destinations_that_are_refused_stay_as_they_are() {
    let (world, _) = full();
    fs::create_dir(world.to("full")).unwrap();
    fs::write(world.to("full/oci-layout"), "theirs").unwrap();
    fs::write(world.to("file"), "theirs").unwrap();
    std::os::unix::fs::symlink("nowhere", world.to("link")).unwrap();
    let check = |form, to: &Path| world.export_as(form, &[], to).unwrap_err();
    let is = |error: &ExportError, expected: &str| {
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    };
    is(&check(Form::Directory, &world.to("full")), "NotEmpty");
    is(&check(Form::Archive, &world.to("full")), "Exists");
    is(&check(Form::Directory, &world.to("file")), "Exists");
    is(&check(Form::Archive, &world.to("file")), "Exists");
    is(&check(Form::Directory, &world.to("link")), "Exists");
    is(&check(Form::Directory, &world.store_path), "InsideStore");
    is(&check(Form::Directory, &world.store_path.join("new")), "InsideStore");
    is(&check(Form::Archive, &world.store_path.join("bonded/staging/x")), "InsideStore");
    is(&check(Form::Directory, Path::new("/")), "NoName");
    is(&check(Form::Directory, &world.to("x/..")), "NoName");
    is(&check(Form::Directory, &world.to("no/such/directory")), "Write");
    assert_eq!(fs::read(world.to("file")).unwrap(), b"theirs");
    assert_eq!(fs::read(world.to("full/oci-layout")).unwrap(), b"theirs");
    assert_eq!(fs::read_dir(&world.inputs).unwrap().count(), 3);
}

#[test]
fn names_that_are_not_held_are_refused_with_the_nearest() {
    let (world, _) = full();
    let check = |name| world.export_as(Form::Directory, &[name], &world.to("out")).unwrap_err();
    let error = check("demo@v2");
    assert!(matches!(error, ExportError::Store(StoreError::NoRelease { nearest: Some(_), .. })));
    let error = check("example.com/x:v2");
    assert!(error.to_string().contains("the nearest is example.com/x:v1"), "{error}");
    let error = check("elsewhere.example/something:else");
    assert!(matches!(error, ExportError::NoImage { nearest: None, .. }), "{error:?}");
}

#[test]
fn what_a_killed_export_left_is_no_obstacle() {
    let (world, _) = full();
    fs::create_dir(world.to(".out.export-0")).unwrap();
    fs::write(world.to(".out.export-0/oci-layout"), "").unwrap();
    fs::write(world.to(".out.tar.export-0"), "half").unwrap();
    world.export_as(Form::Directory, &[], &world.to("out")).unwrap();
    world.export_as(Form::Archive, &[], &world.to("out.tar")).unwrap();
    read_layout(&world.to("out"));
    assert_eq!(fs::read(world.to(".out.tar.export-0")).unwrap(), b"half");
}

/// Makes a file where the export is to go, while it goes on.
struct Rival<'a>(&'a Path);

impl crate::export::Progress for Rival<'_> {
    fn planned(&self, _blobs: usize, _bytes: u64) {
        fs::write(self.0, "theirs").unwrap();
    }
    fn advanced(&self, _bytes: u64) {}
}

#[test]
fn a_file_that_is_made_meanwhile_is_not_replaced() {
    let (world, _) = full();
    for form in [Form::Archive, Form::Directory] {
        let to = world.to("out");
        let request =
            ExportRequest { what: What::Everything, to: &to, form, referrers: Referrers::All };
        let error = export(&world.store.snapshot().unwrap(), &request, &Rival(&to)).unwrap_err();
        match form {
            Form::Archive => assert!(matches!(error, ExportError::Exists { .. }), "{error:?}"),
            Form::Directory => assert!(matches!(error, ExportError::Write(_)), "{error:?}"),
        }
        assert_eq!(fs::read(&to).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(&world.inputs).unwrap().count(), 1);
        fs::remove_file(&to).unwrap();
    }
}
