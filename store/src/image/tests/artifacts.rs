//! Images as artifacts of releases, with the evidence that came with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bonded_model::evidence::Subject;
use bonded_model::json::JsonError;
use bonded_model::limits::{DOCUMENT_COUNT_MAX, EVIDENCE_BYTES_MAX};
use bonded_model::manifest::Manifest;
use bonded_model::{Descriptor, Digest, DocumentKind, MediaType, cosign, media_type};

use super::evidence::{statement, tag_of, tagged_evidence};
use super::{Layout, World, index_of};
use crate::StoreError;
use crate::image::{GivenName, ImageInput, ImportError};
use crate::ingest::{
    How, IngestError, IngestOptions, IngestReport, IngestRequest, Outcome, ingest,
};
use crate::recognise::RecogniseError;
use crate::tests::image::Image;
use crate::tests::{holder, name};

const NAME: &str = "example.com/app:v1";
const PATH: &str = "images/example.com/app/v1";

impl World {
    fn ingest_images(
        &self,
        inputs: &[&Path],
        images: &[ImageInput],
    ) -> Result<IngestReport, IngestError> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|path| path.to_path_buf()).collect();
        let (release, holder, wait) = (name("demo@v1"), holder(), Duration::from_secs(20));
        let request = IngestRequest {
            release: &release,
            inputs: &inputs,
            images,
            holder: &holder,
            wait,
            options: IngestOptions::default(),
        };
        ingest(&self.store, &request, &())
    }
}

fn given(source: PathBuf, name: Option<&str>) -> ImageInput {
    let name = name.map(|name| GivenName::Image(name.parse().unwrap()));
    ImageInput { source, name }
}

#[test]
fn layouts_among_the_inputs_become_artifacts_with_their_evidence() {
    let world = World::new();
    let image = Image::multi("x");
    let attested = statement(&image.top.digest);
    let referrer = Image::referrer(&image.top, media_type::IN_TOTO, &attested);
    let other = [attested.as_slice(), b"\n"].concat();
    let tagged = tagged_evidence(media_type::IN_TOTO, &other);
    let layout = Layout::default().with(NAME, &image).with("", &referrer);
    let layout = layout.with(&tag_of(&image.top.digest, ".att"), &tagged);
    layout.write(&world.inputs.join("below/layout"));
    let tool = world.file("tool", "tool");
    world.file("tool.tar", layout.archive());
    let report = world.ingest_images(&[&world.inputs], &[]).unwrap();
    assert_eq!(report.outcome, Outcome::Created);
    let paths: Vec<_> = report.release.artifacts().iter().map(|a| a.path.as_str()).collect();
    assert_eq!(paths, [PATH, "tool", "tool.tar"]);
    let artifact = &report.release.artifacts()[0];
    assert_eq!((artifact.is_image(), artifact.file.digest), (true, image.top.digest));

    let evidence = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
    let mut found: Vec<_> = evidence.documents.iter().map(|d| (d.digest, d.kind)).collect();
    found.sort();
    let mut expected =
        [&attested, &other].map(|document| (Digest::sha256_of(document), DocumentKind::Statement));
    expected.sort();
    assert_eq!(found, expected);
    let about = Subject::Artifact(PATH.parse().unwrap());
    assert!(evidence.documents.iter().all(|document| document.subject == about));
    assert!(report.evidence.iter().all(|document| document.how == How::BesideImage));
    // The referrer is evidence as it is; of the other, the document is.
    let listed = world.referrers(&image.top.digest);
    assert!(listed.contains(&(referrer.top.digest, None)), "{listed:?}");
    assert_eq!(listed.len(), 3);

    let again = world.ingest_images(&[&world.inputs], &[]).unwrap();
    assert_eq!((again.outcome, again.epoch), (Outcome::Unchanged, 1));
    let only_file = world.ingest_images(&[&tool], &[]).unwrap_err();
    assert!(matches!(only_file, IngestError::OtherRelease { .. }), "{only_file:?}");
}

#[test]
fn archives_are_images_where_they_are_given_as_such() {
    let world = World::new();
    let image = Image::of("amd64", "x");
    let archive = world.file("a.tar", Layout::default().with("v1", &image).archive());
    let nameless = world.ingest_images(&[], &[given(archive.clone(), None)]).unwrap_err();
    assert!(matches!(nameless, IngestError::Image { .. }), "{nameless:?}");
    let report = world.ingest_images(&[], &[given(archive.clone(), Some(NAME))]).unwrap();
    assert_eq!((report.release.artifacts().len(), report.evidence.len()), (1, 0));

    // Evidence that comes later is added, and another image is refused.
    let referrer = Image::referrer(&image.top, media_type::IN_TOTO, &statement(&image.top.digest));
    let more = Layout::default().with(NAME, &image).with("", &referrer);
    let more = given(more.write(&world.inputs.join("more")), None);
    let report = world.ingest_images(&[], &[more]).unwrap();
    assert_eq!((report.outcome, report.epoch), (Outcome::EvidenceAdded, 2));
    let other = Layout::default().with(NAME, &Image::of("amd64", "y"));
    let other = given(other.write(&world.inputs.join("other")), None);
    let error = world.ingest_images(&[], &[other]).unwrap_err();
    let IngestError::OtherRelease { path, held, .. } = error else { panic!("{error:?}") };
    assert_eq!((path.as_str(), held), (PATH, Some(image.top.digest)));
}

#[test]
fn evidence_of_no_known_kind_stays_a_referrer() {
    let world = World::new();
    let image = Image::of("amd64", "x");
    let simple = "application/vnd.dev.cosign.simplesigning.v1+json";
    let signature = tagged_evidence(simple, b"{}");
    let text = Image::referrer(&image.top, "text/plain", b"hello");
    let layout = Layout::default().with(NAME, &image).with("", &text);
    let layout = layout.with(&tag_of(&image.top.digest, ".sig"), &signature);
    layout.write(&world.inputs);
    let report = world.ingest_images(&[&world.inputs], &[]).unwrap();
    assert_eq!(report.evidence, []);
    assert_eq!(world.referrers(&image.top.digest).len(), 2);
    let snapshot = world.store.snapshot().unwrap();
    assert_eq!(snapshot.evidence(&name("demo@v1")).unwrap().documents, []);
}

#[test]
fn evidence_beside_an_image_is_counted_before_it_is_kept() {
    let world = World::in_memory();
    let image = Image::of("amd64", "x");
    let document = statement(&image.top.digest);
    let layer = Descriptor::of(MediaType::known(media_type::IN_TOTO), &document);
    let mut layout = Layout::default().with(NAME, &image);
    for number in 0..=DOCUMENT_COUNT_MAX {
        let mut manifest = Manifest::artifact(layer.media_type.clone(), layer.clone());
        manifest.subject = Some(image.top.clone());
        manifest.annotations.insert("number".into(), number.to_string());
        let bytes = manifest.to_bytes();
        let top = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &bytes);
        layout = layout.with("", &Image { blobs: [(top.digest, bytes)].into(), top });
    }
    let blobs = [(layer.digest, document), (Descriptor::empty().digest, b"{}".to_vec())];
    layout.blobs.extend(blobs);
    let archive = world.file("a.tar", layout.archive());
    let error = world.ingest_images(&[], &[given(archive, None)]).unwrap_err();
    let too_many = IngestError::Store(StoreError::TooManyDocuments {
        name: name("demo@v1"),
        count: DOCUMENT_COUNT_MAX + 1,
        limit: DOCUMENT_COUNT_MAX,
    });
    assert_eq!(error.to_string(), too_many.to_string());
    world.must_be_untouched();
}

#[test]
fn a_document_that_is_listed_often_is_attached_once() {
    let world = World::in_memory();
    let image = Image::of("amd64", "x");
    let document = statement(&image.top.digest);
    let mut tagged = tagged_evidence(media_type::IN_TOTO, &document);
    let mut manifest = Manifest::parse(tagged.top_bytes()).unwrap();
    manifest.layers = vec![manifest.layers[0].clone(); 20_000];
    let bytes = manifest.to_bytes();
    tagged.top = Descriptor::of(tagged.top.media_type, &bytes);
    tagged.blobs.insert(tagged.top.digest, bytes);
    let layout = Layout::default().with(NAME, &image);
    layout.with(&tag_of(&image.top.digest, ".att"), &tagged).write(&world.inputs);
    let report = world.ingest_images(&[&world.inputs], &[]).unwrap();
    assert_eq!(report.evidence.len(), 1);
}

/// A layer that cosign signed in annotations is worth nothing without them.
#[test]
fn what_cosign_signed_is_kept_with_its_annotations() {
    let world = World::in_memory();
    let image = Image::of("amd64", "x");
    let simple = "application/vnd.dev.cosign.simplesigning.v1+json";
    let mut tagged = tagged_evidence(simple, b"{\"critical\":{}}");
    let mut manifest = Manifest::parse(tagged.top_bytes()).unwrap();
    let signed = |by: &str| {
        let mut layer = manifest.layers[0].clone();
        layer.annotations.insert(cosign::SIGNATURE.into(), by.into());
        layer.annotations.insert("other".into(), "not cosign's".into());
        layer
    };
    // Twice by one, once by another; then the same payload without a signature.
    let layers = vec![signed("AA=="), signed("AQ=="), signed("AA=="), manifest.layers[0].clone()];
    manifest.layers = layers;
    let bytes = manifest.to_bytes();
    tagged.top = Descriptor::of(tagged.top.media_type, &bytes);
    tagged.blobs.insert(tagged.top.digest, bytes);
    let layout = Layout::default().with(NAME, &image);
    layout.with(&tag_of(&image.top.digest, ".sig"), &tagged).write(&world.inputs);
    world.ingest_images(&[&world.inputs], &[]).unwrap();
    let check = |world: &World| {
        let documents =
            world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap().documents;
        let held = documents.iter().map(|document| {
            assert_eq!(document.kind, DocumentKind::Bundle);
            assert_eq!(document.media_type.as_str(), media_type::COSIGN_LAYER);
            assert_eq!(document.subject, Subject::Artifact(PATH.parse().unwrap()));
            let layer = cosign::Layer::parse(&document.bytes).unwrap();
            assert_eq!(
                (layer.content.as_slice(), layer.annotations.len()),
                (&b"{\"critical\":{}}"[..], 1)
            );
            layer.annotations[cosign::SIGNATURE].clone()
        });
        let mut held: Vec<_> = held.collect();
        held.sort();
        assert_eq!(held, ["AA==", "AQ=="]);
    };
    check(&world);
    // The manifest itself is held as it came.
    let referrers = world.referrers(&image.top.digest);
    assert!(referrers.iter().any(|(digest, _)| *digest == tagged.top.digest));
}

/// Layers that are too long for a document disappeared: one was as long as the document may be, and longer
/// with its signature. They are refused by name, and nothing is taken in.
#[test]
fn what_cosign_signed_is_refused_where_it_is_too_long_to_keep() {
    let check = |bytes: u64, expected: std::ops::RangeInclusive<u64>| {
        let world = World::in_memory();
        let image = Image::of("amd64", "x");
        let content = vec![b' '; usize::try_from(bytes).unwrap()];
        let mut tagged = tagged_evidence(media_type::DSSE, &content);
        let mut manifest = Manifest::parse(tagged.top_bytes()).unwrap();
        let layer = &mut manifest.layers[0];
        layer.annotations.insert(cosign::CERTIFICATE.into(), "x".into());
        let digest = layer.digest;
        let bytes = manifest.to_bytes();
        tagged.top = Descriptor::of(tagged.top.media_type, &bytes);
        tagged.blobs.insert(tagged.top.digest, bytes);
        let layout = Layout::default().with(NAME, &image);
        layout.with(&tag_of(&image.top.digest, ".att"), &tagged).write(&world.inputs);
        let error = world.ingest_images(&[&world.inputs], &[]).unwrap_err();
        let IngestError::Image {
            source: ImportError::SignedLayer { image: about, layer, source },
            ..
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((about, layer), (image.top.digest, digest));
        let RecogniseError::Json(JsonError::TooLarge { bytes, limit }) = source else {
            panic!("{source:?}")
        };
        assert!(expected.contains(&bytes) && limit == EVIDENCE_BYTES_MAX, "{bytes}");
        world.must_be_untouched();
    };
    let least = EVIDENCE_BYTES_MAX / 4 * 3;
    check(least, EVIDENCE_BYTES_MAX + 1..=EVIDENCE_BYTES_MAX + 256);
    let beyond = EVIDENCE_BYTES_MAX + 1;
    check(beyond, beyond..=beyond);
}

#[test]
fn evidence_about_two_images_is_evidence_of_both() {
    let world = World::in_memory();
    let (one, two) = (Image::of("amd64", "1"), Image::of("amd64", "2"));
    let tagged = tagged_evidence(media_type::IN_TOTO, &statement(&one.top.digest));
    let mut list = index_of(vec![tagged.top.clone()]);
    list.blobs.extend(tagged.blobs);
    let layout = Layout::default().with("a:1", &one).with("a:2", &two);
    let layout = layout.with(&tag_of(&one.top.digest, ""), &list);
    layout.with(&tag_of(&two.top.digest, ""), &list).write(&world.inputs);
    world.ingest_images(&[&world.inputs], &[]).unwrap();
    let evidence = world.store.snapshot().unwrap().evidence(&name("demo@v1")).unwrap();
    let subjects: Vec<_> = evidence.documents.into_iter().map(|one| one.subject).collect();
    let expected = ["images/a/1", "images/a/2"];
    assert_eq!(subjects, expected.map(|path| Subject::Artifact(path.parse().unwrap())));
}

#[test]
fn an_image_without_a_name_beside_others_is_not_left_out() {
    let world = World::in_memory();
    let nameless = Image::of("amd64", "2");
    let layout = Layout::default().with(NAME, &Image::of("amd64", "1")).with("", &nameless);
    layout.write(&world.inputs);
    let error = world.ingest_images(&[&world.inputs], &[]).unwrap_err();
    let IngestError::Image { source: ImportError::NoName { digest }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(digest, nameless.top.digest);
    world.must_be_untouched();
}
