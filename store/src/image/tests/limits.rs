//! Small layouts that would be large: each is refused for its number before anything is copied.

use bonded_model::limits::{IMAGE_BLOB_COUNT_MAX, LAYOUT_REFERRER_COUNT_MAX};
use bonded_model::{Descriptor, Digest, MediaType, media_type};

use std::time::Duration;

use super::evidence::{statement, tag_of, tagged_evidence};
use super::{Layout, World, index_of};
use crate::disk::Disk;
use crate::image::plan::{Bounds, Wanted, plan};
use crate::image::source::Source;
use crate::image::{ImportError, Work, entry};
use crate::tests::holder;
use crate::tests::image::Image;

const NAME: &str = "example.com/app:v1";
const WIDTH: usize = 20_000;

/// Indexes of foreign layers, each of them another one; none has to be there.
fn wide(indexes: usize) -> Vec<Image> {
    let foreign = || MediaType::known(media_type::DOCKER_LAYER_FOREIGN);
    let layer = |at: usize| Descriptor::of(foreign(), &at.to_le_bytes());
    let index = |at: usize| index_of((at * WIDTH..(at + 1) * WIDTH).map(layer).collect());
    (0..indexes).map(index).collect()
}

fn check(layout: &Layout) -> ImportError {
    let world = World::in_memory();
    let error = world.import_layout(layout).unwrap_err();
    world.must_be_untouched();
    error
}

#[test]
fn images_with_too_many_blobs() {
    let top_of = |indexes: &[Image]| {
        let mut top = index_of(indexes.iter().map(|index| index.top.clone()).collect());
        top.blobs.extend(indexes.iter().flat_map(|index| index.blobs.clone()));
        top
    };
    let few = wide(IMAGE_BLOB_COUNT_MAX / WIDTH);
    let top = top_of(&few);
    let error = check(&Layout::default().with(NAME, &top));
    assert!(matches!(error, ImportError::ImageTooLarge { digest } if digest == top.top.digest));
}

#[test]
fn referrers_by_fallback_lists() {
    let image = Image::of("amd64", "x");
    let list = &wide(1)[0];
    let tag = |at: usize| tag_of(&Digest::sha256_of(&at.to_le_bytes()), "");
    let tags = (0..LAYOUT_REFERRER_COUNT_MAX / WIDTH).map(tag);
    let layout = tags.fold(Layout::default(), |layout, tag| layout.with(&tag, list));
    // As many as there may be, and one more by whatever way.
    let tagged = tagged_evidence(media_type::IN_TOTO, b"1");
    let referrer = Image::referrer(&image.top, media_type::IN_TOTO, b"1");
    let subject = Digest::sha256_of(b"subject");
    for more in [
        layout.clone().with(&tag_of(&subject, ".att"), &tagged),
        layout.clone().with("", &referrer),
        layout.clone().with(&tag_of(&subject, ""), list),
    ] {
        let error = check(&more.with(NAME, &image));
        assert!(matches!(error, ImportError::TooManyReferrers { .. }), "{error:?}");
    }
    // The same list under the same tag adds nothing.
    let report = World::in_memory().import_layout(&layout.with(&tag(0), list)).unwrap();
    assert_eq!(report.referrers, []);
}

#[test]
fn one_manifest_is_one_kind_of_document() {
    let image = Image::of("amd64", "x");
    let mut other = image.clone();
    other.top.media_type = MediaType::known(media_type::DOCKER_MANIFEST);
    for name in ["", "a:2"] {
        let error = check(&Layout::default().with(NAME, &image).with(name, &other));
        assert!(matches!(error, ImportError::TwoTypes { .. }), "{error:?}");
    }
}

#[test]
fn what_a_list_says_that_an_image_is_does_not_count() {
    let mut layout = Layout::default().with(NAME, &Image::of("amd64", "x"));
    layout.entries[0].artifact_type = Some("application/x.claimed".parse().unwrap());
    let world = World::in_memory();
    let report = world.import_layout(&layout).unwrap();
    assert_eq!(report.images[0].image.artifact_type, None);
}

/// Takes a layout in, with bounds that small ones reach.
fn import_within(layout: &Layout, bounds: Bounds) -> Result<(), ImportError> {
    let world = World::in_memory();
    let source = Source::open(&Disk::default(), &layout.write(&world.inputs)).unwrap();
    let entries = entry::entries_of(&source, &source.read_list(entry::INDEX).unwrap()).unwrap();
    let (references, repository, name) = (&[][..], None, None);
    let wanted = Wanted { references, repository, name, releases: false, bounds };
    let plan = plan(&source, entries, wanted);
    let work = Work { store: &world.store, holder: &holder(), wait: Duration::ZERO };
    let done = plan.and_then(|plan| work.run(&source, &plan, &()));
    if done.is_err() {
        world.must_be_untouched();
    }
    done.map(drop)
}

#[test]
fn blobs_of_one_import() {
    let image = Image::of("amd64", "x");
    let layout = Layout::default().with(NAME, &image);
    let import = |blobs| import_within(&layout, Bounds { blobs, ..Bounds::default() });
    import(image.blobs.len()).unwrap();
    let error = import(image.blobs.len() - 1).unwrap_err();
    assert!(matches!(error, ImportError::TooManyBlobs), "{error:?}");
}

#[test]
fn digests_that_statements_name() {
    let image = Image::of("amd64", "x");
    let layout = |documents: &[&[u8]]| {
        let about = |document: &&[u8]| Image::referrer(&image.top, media_type::IN_TOTO, document);
        let referrers: Vec<_> = documents.iter().map(about).collect();
        let layout = Layout::default().with(NAME, &image);
        referrers.iter().fold(layout, |layout, referrer| layout.with("", referrer))
    };
    let check = |layout: &Layout, count: usize| {
        let import = |named| import_within(layout, Bounds { named, ..Bounds::default() });
        import(count).unwrap();
        let error = import(count - 1).unwrap_err();
        assert!(matches!(error, ImportError::TooManyNamed), "{error:?}");
    };
    // Named by statements, whether it is held or not.
    let texts = ["1", "2", "3"].map(|text| statement(&Digest::sha256_of(text.as_bytes())));
    let [one, two, three] = texts.each_ref().map(Vec::as_slice);
    check(&layout(&[one, two, three]), 3);
    // One document, which is read once, in two manifests that are listed under two others each.
    let child = Image::of("arm64", "y");
    let named = statement(&child.top.digest);
    let twice = ["application/x.one", "application/x.two"]
        .map(|kind| Image::referrer(&image.top, kind, &named));
    let layout = Layout::default().with(NAME, &image).with("a:2", &child);
    check(&twice.iter().fold(layout, |layout, one| layout.with("", one)), 4);
}
