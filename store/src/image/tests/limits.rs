//! Small layouts that would be large: each is refused for its number before anything is copied.

use bonded_model::limits::{IMAGE_BLOB_COUNT_MAX, LAYOUT_REFERRER_COUNT_MAX};
use bonded_model::{Descriptor, Digest, MediaType, media_type};

use super::evidence::{tag_of, tagged_evidence};
use super::{Layout, World, index_of};
use crate::image::ImportError;
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
