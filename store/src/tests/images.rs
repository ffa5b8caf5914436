//! Images in the store: what belongs to one, and releases that have some.

use bonded_model::evidence::Subject;
use bonded_model::limits::{DOCUMENT_COUNT_MAX, EVIDENCE_TOTAL_BYTES_MAX};
use bonded_model::manifest::Index;
use bonded_model::{
    Artifact, Descriptor, Digest, DocumentKind, ImageName, MediaType, Release, media_type,
};

use super::image::Image;
use super::{World, holder, name, spdx};
use crate::catalog::Key;
use crate::error::StoreError;
use crate::{AttachRequest, NewDocument, Writer, attach};

const IMAGE: &str = "example.com/tool:v1";

impl World {
    /// Holds an image under a name, as an import would.
    pub(crate) fn hold_image(&self, name: &str, image: &Image) {
        let mut writer = self.writer();
        hold(&writer, image);
        let name: ImageName = name.parse().unwrap();
        let key = Key::image(&name.repository, &name.tag);
        writer.insert(key, image.top.clone()).unwrap();
        writer.commit().unwrap();
    }

    /// Holds a referrer of a manifest, as an import would.
    pub(crate) fn hold_referrer(&self, subject: &Descriptor, referrer: &Image) {
        let mut writer = self.writer();
        hold(&writer, referrer);
        let key = Key::referrer(&subject.digest, &referrer.top.digest);
        writer.insert(key, referrer.top.clone()).unwrap();
        writer.commit().unwrap();
    }

    /// Holds a release of files and images, as an ingest would.
    pub(crate) fn hold_release(
        &self,
        release: &str,
        files: &[(&str, &[u8])],
        images: &[(&str, &Image)],
    ) -> Release {
        let mut writer = self.writer();
        let mut artifacts = Vec::new();
        for (path, bytes) in files {
            let file = writer.hold(MediaType::known(media_type::OCTET_STREAM), bytes).unwrap();
            let (artifact, manifest) = Artifact::of_file(path.parse().unwrap(), file, None, None);
            writer.hold(artifact.manifest.media_type.clone(), &manifest.to_bytes()).unwrap();
            artifacts.push(artifact);
        }
        for (name, image) in images {
            hold(&writer, image);
            artifacts.push(Artifact::of_image(&name.parse().unwrap(), &image.top).unwrap());
        }
        writer.hold(MediaType::known(media_type::OCI_EMPTY), b"{}").unwrap();
        let (release, index) = Release::new(name(release), artifacts).unwrap();
        writer.hold(MediaType::known(media_type::OCI_INDEX), &index.to_bytes()).unwrap();
        writer.insert(Key::release(release.name()), release.index().clone()).unwrap();
        writer.commit().unwrap();
        release
    }

    fn writer(&self) -> Writer {
        self.store.lock(super::WAIT, &holder(), &mut |_| {}).unwrap()
    }
}

fn hold(writer: &Writer, image: &Image) {
    for bytes in image.blobs.values() {
        writer.hold(MediaType::known(media_type::OCTET_STREAM), bytes).unwrap();
    }
}

fn closure(image: &Image) -> Result<Vec<Digest>, StoreError> {
    let world = World::in_memory();
    world.hold_image(IMAGE, image);
    let closure = world.store.snapshot().unwrap().image_closure(&image.top)?;
    Ok(closure.into_iter().map(|descriptor| descriptor.digest).collect())
}

/// An index over descriptors that nobody needs to hold.
fn index_of(manifests: Vec<Descriptor>) -> Image {
    let bytes = Index::plain(manifests).to_bytes();
    let top = Descriptor::of(MediaType::known(media_type::OCI_INDEX), &bytes);
    Image { blobs: [(top.digest, bytes)].into(), top }
}

#[test]
fn a_closure_is_every_blob_once_with_the_top_first() {
    let single = Image::of("amd64", "x");
    let nested = Image::index(&[Image::multi("x"), Image::multi("x"), Image::multi("y")]);
    for image in [single, Image::multi("x"), nested] {
        let mut digests = closure(&image).unwrap();
        assert_eq!(digests.first(), Some(&image.top.digest));
        digests.sort();
        assert_eq!(digests, image.blobs.keys().copied().collect::<Vec<_>>());
    }
}

#[test]
fn a_manifest_that_is_named_as_a_layer_first_is_opened_all_the_same() {
    let image = Image::of("amd64", "x");
    let as_bytes =
        Descriptor { media_type: MediaType::known(media_type::OCTET_STREAM), ..image.top.clone() };
    let mut both = index_of(vec![as_bytes, image.top.clone()]);
    both.blobs.extend(image.blobs.clone());
    assert_eq!(closure(&both).unwrap().len(), both.blobs.len());
}

#[test]
fn a_layer_that_may_lie_elsewhere_may_be_absent() {
    let foreign = MediaType::known(media_type::DOCKER_LAYER_FOREIGN);
    let absent = Descriptor::of(foreign.clone(), b"not here");
    assert_eq!(closure(&index_of(vec![absent.clone()])).unwrap().len(), 1);
    let mut held = index_of(vec![absent.clone()]);
    held.blobs.insert(absent.digest, b"not here".to_vec());
    assert_eq!(closure(&held).unwrap().len(), 2);
}

#[test]
fn closures_that_are_refused() {
    let missing = Image::of("amd64", "x").top;
    let error = closure(&index_of(vec![missing.clone()])).unwrap_err();
    assert!(matches!(error, StoreError::MissingBlob { digest, .. } if digest == missing.digest));

    let as_index =
        Descriptor { media_type: MediaType::known(media_type::OCI_INDEX), ..missing.clone() };
    let mut other = index_of(vec![as_index]);
    other.blobs.extend(Image::of("amd64", "x").blobs);
    let error = closure(&other).unwrap_err();
    assert!(matches!(error, StoreError::Manifest { digest, .. } if digest == missing.digest));

    let mut longer = Image::of("amd64", "x");
    let size = longer.top.size + 1;
    let mut index = index_of(vec![Descriptor { size, ..longer.top.clone() }]);
    index.blobs.append(&mut longer.blobs);
    assert!(matches!(closure(&index).unwrap_err(), StoreError::Size { .. }));
}

#[test]
fn a_closure_has_an_end() {
    let foreign = || MediaType::known(media_type::DOCKER_LAYER_FOREIGN);
    let wide = |number: u64| {
        let of = |at: u64| Descriptor::of(foreign(), &(number * 20_000 + at).to_le_bytes());
        index_of((0..20_000).map(of).collect())
    };
    let wide: Vec<Image> = (0..6).map(wide).collect();
    let mut top = index_of(wide.iter().map(|image| image.top.clone()).collect());
    top.blobs.extend(wide.into_iter().flat_map(|image| image.blobs));
    let error = closure(&top).unwrap_err();
    assert!(matches!(error, StoreError::ImageTooLarge { digest, .. } if digest == top.top.digest));
}

#[test]
fn a_blob_that_is_named_often_counts_once() {
    let layer = Descriptor::of(MediaType::known(media_type::DOCKER_LAYER_FOREIGN), b"x");
    // Each index is another one, and all of them name the same layer 20,000 times.
    let wide = |number: usize| index_of(vec![layer.clone(); 20_000 - number]);
    let wide: Vec<Image> = (0..6).map(wide).collect();
    let mut top = index_of(wide.iter().map(|image| image.top.clone()).collect());
    top.blobs.extend(wide.into_iter().flat_map(|image| image.blobs));
    assert_eq!(closure(&top).unwrap().len(), 7);
}

#[test]
fn a_release_with_images_reads_back() {
    let world = World::in_memory();
    let (one, two) = (Image::of("amd64", "x"), Image::multi("y"));
    let images = [("example.com/a:v1", &one), ("example.com/a:latest", &one), ("b:1", &two)];
    let made = world.hold_release("demo@v1", &[("bin/x", b"x")], &images);
    let held = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    assert_eq!(held, made);
    let paths: Vec<_> = held.artifacts().iter().map(|artifact| artifact.path.as_str()).collect();
    let expected =
        ["bin/x", "images/b/1", "images/example.com/a/latest", "images/example.com/a/v1"];
    assert_eq!(paths, expected);
}

#[test]
fn what_refers_to_an_image_is_evidence_for_each_of_its_tags() {
    let world = World::in_memory();
    let image = Image::of("amd64", "x");
    let images = [("a:v1", &image), ("a:latest", &image)];
    world.hold_release("demo@v1", &[], &images);
    let request = AttachRequest {
        release: &name("demo@v1"),
        subject: &Subject::Artifact("images/a/v1".parse().unwrap()),
        documents: &[NewDocument {
            bytes: b"{}",
            kind: DocumentKind::Spdx,
            media_type: MediaType::known(media_type::SPDX_JSON),
            title: None,
            predicate_type: None,
        }],
        holder: &holder(),
        wait: super::WAIT,
    };
    attach(&world.store, &request, &mut |_| {}).unwrap();
    let snapshot = world.store.snapshot().unwrap();
    assert_eq!(snapshot.referrers(&image.top.digest).unwrap().len(), 1);
    let evidence = snapshot.evidence(&name("demo@v1")).unwrap();
    let subjects: Vec<_> = evidence.documents.into_iter().map(|one| one.subject).collect();
    let expected = ["images/a/latest", "images/a/v1"];
    assert_eq!(subjects, expected.map(|path| Subject::Artifact(path.parse().unwrap())));
}

/// Attaches documents to the first of so many tags of one image.
fn attach_to_tags(tags: usize, documents: &[Vec<u8>]) -> (World, Result<u64, StoreError>) {
    let world = World::in_memory();
    let image = Image::of("amd64", "x");
    let names: Vec<String> = (0..tags).map(|number| format!("a:v{number}")).collect();
    let images: Vec<(&str, &Image)> = names.iter().map(|name| (name.as_str(), &image)).collect();
    world.hold_release("demo@v1", &[], &images);
    let documents = documents.iter().map(|bytes| spdx(bytes));
    let request = AttachRequest {
        release: &name("demo@v1"),
        subject: &Subject::Artifact("images/a/v0".parse().unwrap()),
        documents: &documents.collect::<Vec<_>>(),
        holder: &holder(),
        wait: super::WAIT,
    };
    let attached = attach(&world.store, &request, &mut |_| {});
    (world, attached)
}

#[test]
fn the_bytes_of_a_document_count_once_however_many_tags_an_image_has() {
    const BYTES: usize = 20 << 20;
    const TAGS: usize = 60;
    assert!((BYTES * TAGS) as u64 > EVIDENCE_TOTAL_BYTES_MAX);
    let document = format!("\"{}\"", "x".repeat(BYTES));
    let (world, attached) = attach_to_tags(TAGS, &[document.into_bytes()]);
    attached.unwrap();
    let evidence = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
    let [first, others @ ..] = evidence.documents.as_slice() else { panic!("no documents") };
    assert_eq!(others.len(), TAGS - 1);
    assert!(others.iter().all(|other| std::sync::Arc::ptr_eq(&first.bytes, &other.bytes)));
}

#[test]
fn documents_about_many_tags_are_refused_when_they_come_and_not_when_they_are_read() {
    let documents: Vec<_> = (0..=DOCUMENT_COUNT_MAX / 200).map(|n| n.to_string().into()).collect();
    let (world, attached) = attach_to_tags(200, &documents);
    let count = documents.len() * 200;
    let error = attached.unwrap_err();
    let is_refused = matches!(error, StoreError::TooManyDocuments { count: c, .. } if c == count);
    assert!(is_refused, "{error:?}");
    assert_eq!(world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap().documents, []);
}

#[test]
fn a_release_whose_image_is_none_is_refused() {
    for (media_type, bytes) in [
        (media_type::OCI_INDEX, b"{}".as_slice()),
        (media_type::OCI_MANIFEST, br#"{"schemaVersion":2,"layers":[]}"#),
    ] {
        let world = World::in_memory();
        let top = Descriptor::of(MediaType::known(media_type), bytes);
        let image = Image { blobs: [(top.digest, bytes.to_vec())].into(), top };
        world.hold_release("demo@v1", &[], &[("a:1", &image)]);
        let error = world.store.snapshot().unwrap().release(&name("demo@v1")).unwrap_err();
        assert!(matches!(error, StoreError::Manifest { digest, .. } if digest == image.top.digest));
    }
}
