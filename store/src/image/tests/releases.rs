//! Releases in the layouts of others, which nobody publishes by accident.

use bonded_model::descriptor::ANNOTATION_REF_NAME;
use bonded_model::{Artifact, Descriptor, Digest, MediaType, Release, media_type};

use super::evidence::statement;
use super::{Ask, Layout, World};
use crate::image::ImportError;
use crate::sniff::ContentKind;
use crate::stage::LARGE_BYTES;
use crate::tests::image::Image;
use crate::tests::name;

/// The layout of a release with one file of that media type, and evidence about it.
fn layout_of(file_type: &'static str) -> Layout {
    layout_with(file_type, b"tool")
}

fn layout_with(file_type: &'static str, bytes: &[u8]) -> Layout {
    let file = Descriptor::of(MediaType::known(file_type), bytes);
    let (artifact, manifest) = Artifact::of_file("tool".parse().unwrap(), file.clone(), None, None);
    let about = artifact.manifest.clone();
    let (release, index) = Release::new(name("demo@v1"), vec![artifact]).unwrap();
    let mut entry = release.index().clone();
    entry.annotations.insert(ANNOTATION_REF_NAME.into(), "demo/v1".into());
    let mut layout = Layout { entries: vec![entry], ..Layout::default() };
    layout.blobs.insert(release.digest(), index.to_bytes());
    layout.blobs.insert(about.digest, manifest.to_bytes());
    layout.blobs.insert(manifest.config.digest, b"{}".to_vec());
    layout.blobs.insert(file.digest, bytes.to_vec());
    let evidence = Image::referrer(&about, media_type::IN_TOTO, &statement(&file.digest));
    layout.annotated(&[("vnd.bonded.evidence", "demo/v1")], &evidence)
}

#[test]
fn releases_come_in_only_when_they_are_asked_for() {
    let all = || Ask { releases: true, ..Ask::default() };
    let by_name = |names| Ask { references: names, ..Ask::default() };
    for ask in [all(), by_name(&["demo@v1"]), by_name(&["demo/v1"])] {
        let world = World::in_memory();
        let layout = layout_of(media_type::OCTET_STREAM);
        let report = world.import_as(&layout.write(&world.inputs), ask).unwrap();
        assert_eq!((report.releases.len(), report.skipped_releases), (1, vec![]));
        let evidence = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
        assert_eq!(evidence.documents.len(), 1);
    }
    let world = World::in_memory();
    let error = world.import_layout(&layout_of(media_type::OCTET_STREAM)).unwrap_err();
    assert!(matches!(&error, ImportError::OnlyReleases { name: n } if *n == name("demo@v1")));
    world.must_be_untouched();
    let image = Image::of("amd64", "x");
    let layout = layout_of(media_type::OCTET_STREAM).with("a:1", &image);
    let report = world.import_layout(&layout).unwrap();
    assert_eq!((report.skipped_releases, report.releases), (vec![name("demo@v1")], vec![]));
    assert_eq!(
        (report.images.len(), report.referrers, report.blobs),
        (1, vec![], image.blobs.len())
    );
    let error = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap_err();
    assert!(matches!(error, crate::StoreError::NoRelease { .. }), "{error:?}");
}

/// So that nobody has to read them again to know it.
#[test]
fn what_a_file_is_is_seen_as_it_comes_in() {
    for bytes in [100, LARGE_BYTES + 1] {
        let mut program = vec![0; usize::try_from(bytes).unwrap()];
        program[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
        program[20] = 1;
        program[52..56].copy_from_slice(&[64, 0, 56, 0]);
        let world = World::in_memory();
        let layout = layout_with(media_type::OCTET_STREAM, &program);
        for _new_and_held in 0..2 {
            let ask = Ask { releases: true, ..Ask::default() };
            let source = tempfile::tempdir_in(&world.inputs).unwrap();
            world.import_as(&layout.write(&source.path().join("l")), ask).unwrap();
            let facts = world.store.facts().get(&Digest::sha256_of(&program)).unwrap();
            let platform = facts.platform.map(|platform| platform.to_string());
            assert_eq!(facts.kind, Some(ContentKind::Elf), "{bytes}");
            assert_eq!(platform.as_deref(), Some("linux/amd64"), "{bytes}");
            world.forget_facts();
        }
    }
}

#[test]
fn a_release_is_whole_whatever_its_files_are_called() {
    for file_type in [media_type::OCTET_STREAM, media_type::DOCKER_LAYER_FOREIGN] {
        let mut layout = layout_of(file_type);
        let file = Descriptor::of(MediaType::known(file_type), b"tool");
        layout.blobs.remove(&file.digest);
        let world = World::in_memory();
        let ask = Ask { releases: true, ..Ask::default() };
        let error = world.import_as(&layout.write(&world.inputs), ask).unwrap_err();
        let ImportError::Missing { trail, .. } = error else { panic!("{error:?}") };
        assert_eq!(trail.steps.last(), Some(&format!("blob {}", file.digest)));
        world.must_be_untouched();
    }
}
