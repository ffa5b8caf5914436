//! Evidence about images, in every convention that is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bonded_model::descriptor::ANNOTATION_REF_NAME;
use bonded_model::manifest::{Index, Manifest};
use bonded_model::{Descriptor, Digest, MediaType, media_type};

use super::{Ask, Layout, World, index_of};
use crate::Store;
use crate::disk::{Action, Disk};
use crate::export::{ExportRequest, Form, Referrers, What, export};
use crate::image::{ImportError, ImportRequest, Progress, import};
use crate::lock::Holder;
use crate::tests::image::Image;
use crate::tests::{WAIT, holder};

const NAME: &str = "example.com/app:v1";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What cosign keeps under a tag: a manifest without a subject.
pub(super) fn tagged_evidence(media_type: &str, document: &[u8]) -> Image {
    let layer = Descriptor::of(media_type.parse().unwrap(), document);
    let config = Descriptor::of(MediaType::known(media_type::OCI_CONFIG), b"{}");
    let manifest = Manifest::image(config.clone(), vec![layer.clone()]).to_bytes();
    let top = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &manifest);
    let blobs = [
        (top.digest, manifest),
        (layer.digest, document.to_vec()),
        (config.digest, b"{}".to_vec()),
    ];
    Image { top, blobs: blobs.into() }
}

pub(super) fn statement(subject: &Digest) -> Vec<u8> {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"x","digest":{{"sha256":"{}"}}}}],"predicateType":"https://example.com/p","predicate":{{}}}}"#,
        subject.hex()
    )
    .into_bytes()
}

pub(super) fn tag_of(digest: &Digest, suffix: &str) -> String {
    format!("sha256-{}{suffix}", digest.hex())
}

#[test]
fn referrers_come_in_by_their_subject() {
    let image = Image::multi("x");
    let child = Image::of("amd64", "x on amd64");
    let bundle = Image::referrer(&image.top, media_type::SIGSTORE_BUNDLE, b"{}");
    let dsse = Image::referrer(&child.top, media_type::IN_TOTO, b"[]");
    let cosign =
        Image::referrer(&image.top, "application/vnd.dev.cosign.artifact.sig.v1+json", b"1");
    let about_bundle = Image::referrer(&bundle.top, "text/plain", b"about");
    let elsewhere = Descriptor::of(image.top.media_type.clone(), b"elsewhere");
    let stray = Image::referrer(&elsewhere, "text/plain", b"stray");
    let all = [&bundle, &dsse, &cosign, &about_bundle, &stray];
    let layout = all
        .into_iter()
        .fold(Layout::default().with(NAME, &image), |layout, one| layout.with("", one));
    let world = World::in_memory();
    let report = world.import_layout(&layout).unwrap();
    assert_eq!((report.referrers.len(), report.images.len(), report.skipped.len()), (5, 1, 0));
    let of = |image: &Image| world.referrers(&image.top.digest);
    let mut expected = [(bundle.top.digest, None), (cosign.top.digest, None)];
    expected.sort();
    assert_eq!(of(&image), expected);
    assert_eq!(of(&child), [(dsse.top.digest, None)]);
    assert_eq!(of(&bundle), [(about_bundle.top.digest, None)]);
    assert_eq!(world.referrers(&elsewhere.digest), [(stray.top.digest, None)]);
    let listed = world.store.snapshot().unwrap().referrers(&child.top.digest).unwrap();
    assert_eq!(listed[0].artifact_type.as_ref().unwrap().as_str(), media_type::IN_TOTO);

    // Whoever asks for the image gets what is about it, however far away, and nothing else.
    let world = World::in_memory();
    let ask = Ask { references: &[NAME], ..Ask::default() };
    let report = world.import_as(&layout.write(&world.inputs), ask).unwrap();
    assert_eq!(report.referrers.len(), 4);
    assert_eq!(world.referrers(&elsewhere.digest), []);
}

#[test]
fn fallback_tags_list_referrers() {
    let image = Image::of("amd64", "x");
    let with_subject = Image::referrer(&image.top, "text/plain", b"1");
    let without = tagged_evidence(media_type::IN_TOTO, b"2");
    let mut list = index_of(vec![with_subject.top.clone(), without.top.clone()]);
    list.blobs.extend(with_subject.blobs.clone());
    list.blobs.extend(without.blobs.clone());
    for prefix in ["", "example.com/app:"] {
        let tag = format!("{prefix}{}", tag_of(&image.top.digest, ""));
        let layout = Layout::default().with(NAME, &image).with(&tag, &list);
        let world = World::in_memory();
        let report = world.import_layout(&layout).unwrap();
        assert_eq!((report.images.len(), report.referrers.len()), (1, 2));
        let noted = Some("fallback-tag".to_owned());
        let mut expected = [(with_subject.top.digest, None), (without.top.digest, noted)];
        expected.sort();
        assert_eq!(world.referrers(&image.top.digest), expected);
    }
}

#[test]
fn what_cosign_keeps_under_tags_is_about_the_digest_in_the_tag() {
    let image = Image::of("amd64", "x");
    let mut layout = Layout::default().with(NAME, &image);
    let mut expected = Vec::new();
    for (suffix, media_type) in
        [(".sig", SIMPLE_SIGNING), (".att", media_type::DSSE), (".sbom", media_type::SPDX_JSON)]
    {
        let evidence = tagged_evidence(media_type, suffix.as_bytes());
        layout = layout.with(&tag_of(&image.top.digest, suffix), &evidence);
        expected.push((
            evidence.top.digest,
            Some(format!("cosign-tag-{}", suffix.trim_start_matches('.'))),
        ));
    }
    expected.sort();
    let world = World::in_memory();
    let report = world.import_layout(&layout).unwrap();
    assert_eq!((report.images.len(), report.referrers.len()), (1, 3));
    assert_eq!(world.referrers(&image.top.digest), expected);
    let snapshot = world.store.snapshot().unwrap();
    for referrer in snapshot.referrers(&image.top.digest).unwrap() {
        assert_eq!(snapshot.read(&referrer, 1 << 20).unwrap(), layout.blobs[&referrer.digest]);
    }
}

#[test]
fn what_cosign_save_wrote_is_about_the_image_beside_it() {
    let image = Image::of("amd64", "x");
    let (sigs, atts) =
        (tagged_evidence(SIMPLE_SIGNING, b"s"), tagged_evidence(media_type::DSSE, b"a"));
    let kind = |kind: &str| format!("dev.cosignproject.cosign/{kind}");
    let saved = |named: &[(&str, &str)]| {
        let image_kind = kind("image");
        let annotations = [&[("kind", image_kind.as_str())], named].concat();
        Layout::default()
            .annotated(&annotations, &image)
            .annotated(&[("kind", &kind("sigs"))], &sigs)
            .annotated(&[("kind", &kind("atts"))], &atts)
    };
    let check = |layout: Layout, ask: Ask<'_>| {
        let world = World::in_memory();
        world.import_as(&layout.write(&world.inputs), ask).unwrap();
        assert_eq!(world.image(NAME), Some(image.top.digest));
        let noted = |kind: &str| Some(format!("cosign-save-{kind}"));
        let mut expected = [(sigs.top.digest, noted("sigs")), (atts.top.digest, noted("atts"))];
        expected.sort();
        assert_eq!(world.referrers(&image.top.digest), expected);
    };
    check(saved(&[("org.opencontainers.image.ref.name", NAME)]), Ask::default());
    check(saved(&[]), Ask { name: NAME, ..Ask::default() });
    let other = Image::of("amd64", "y");
    let two = saved(&[("org.opencontainers.image.ref.name", NAME)]).with("a:2", &other);
    let world = World::in_memory();
    let error = world.import_layout(&two).unwrap_err();
    assert!(matches!(error, ImportError::NoSubject { count: 2, .. }), "{error:?}");
    world.must_be_untouched();
}

#[test]
fn what_statements_name_is_indexed_if_it_is_held() {
    let image = Image::multi("x");
    let child = Image::of("arm64", "x on arm64");
    let about_child =
        Image::referrer(&image.top, media_type::IN_TOTO, &statement(&child.top.digest));
    let gone = Digest::sha256_of(b"not here");
    let about_gone = Image::referrer(&image.top, media_type::IN_TOTO, &statement(&gone));
    let layout = Layout::default().with(NAME, &image).with("", &about_child).with("", &about_gone);
    let world = World::in_memory();
    world.import_layout(&layout).unwrap();
    assert_eq!(world.referrers(&image.top.digest).len(), 2);
    assert_eq!(world.referrers(&child.top.digest), [(about_child.top.digest, None)]);
    assert_eq!(world.referrers(&gone), []);
}

#[test]
fn evidence_that_lacks_a_blob_is_refused() {
    let image = Image::of("amd64", "x");
    let referrer = Image::referrer(&image.top, "text/plain", b"1");
    let mut layout = Layout::default().with(NAME, &image).with("", &referrer);
    layout.blobs.remove(&Digest::sha256_of(b"1"));
    let world = World::in_memory();
    let error = world.import_layout(&layout).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ImportError::Missing { .. }), "{text}");
    let way =
        format!("index.json → manifest {} → blob {}", referrer.top.digest, Digest::sha256_of(b"1"));
    assert!(text.contains(&way), "{text}");
    world.must_be_untouched();
}

#[test]
fn a_tag_says_nothing_of_what_the_statements_behind_it_name() {
    let (one, other) = (Image::of("amd64", "one"), Image::of("amd64", "other"));
    let about_one = tagged_evidence(media_type::DSSE, &statement(&other.top.digest));
    let tag = tag_of(&one.top.digest, ".att");
    let layout = Layout::default().with(NAME, &one).with("example.com/other:v1", &other);
    let world = World::in_memory();
    world.import_layout(&layout.with(&tag, &about_one)).unwrap();
    assert_eq!(world.referrers(&other.top.digest), [(about_one.top.digest, None)]);
    let exported_tags = |what: What<'_>, to: &str| {
        let to = world.inputs.join(to);
        let (form, referrers) = (Form::Directory, Referrers::All);
        let request = ExportRequest { what, to: &to, form, referrers };
        export(&world.store.snapshot().unwrap(), &request, &()).unwrap();
        let index = Index::parse(&std::fs::read(to.join("index.json")).unwrap()).unwrap();
        let tags = index.manifests.iter().map(|one| one.annotations[ANNOTATION_REF_NAME].clone());
        tags.collect::<Vec<_>>()
    };
    let all = exported_tags(What::Everything, "all");
    assert_eq!(all, [NAME.to_owned(), "example.com/other:v1".to_owned(), tag.clone()]);
    let alone = ["example.com/other:v1".parse().unwrap()];
    assert_eq!(exported_tags(What::Names(&alone), "alone"), ["example.com/other:v1"]);
    // Once it is about the other as well, a tag says so.
    let second = tag_of(&other.top.digest, ".att");
    world.import_layout(&Layout::default().with(&second, &about_one)).unwrap();
    let mut tags = vec![tag, second];
    tags.sort();
    assert_eq!(exported_tags(What::Everything, "both")[2..], tags);
}

#[test]
fn what_lies_in_the_store_and_has_no_name_is_not_indexed() {
    let world = World::in_memory();
    let image = Image::of("amd64", "x");
    let (garbage, digest) = (b"garbage".to_vec(), Digest::sha256_of(b"garbage"));
    let blob = world.store_path.join(super::super::source::blob_name(&digest));
    std::fs::write(blob, garbage).unwrap();
    let held = Image::of("amd64", "held before");
    world.import_layout(&Layout::default().with("a:1", &held)).unwrap();
    let of = |about: &Digest| Image::referrer(&image.top, media_type::IN_TOTO, &statement(about));
    let (about_garbage, about_held) = (of(&digest), of(&held.top.digest));
    let layout = Layout::default().with(NAME, &image).with("", &about_garbage);
    world.import_layout(&layout.with("", &about_held)).unwrap();
    assert_eq!(world.referrers(&digest), []);
    assert_eq!(world.referrers(&held.top.digest), [(about_held.top.digest, None)]);
}

/// What a store lists, but for the descriptors.
fn keys(world: &World) -> Vec<String> {
    let snapshot = world.store.snapshot().unwrap();
    let entries = snapshot.catalog().scan("");
    entries.map(|entry| entry.unwrap().0.to_string()).collect()
}

/// A statement that named a manifest below an image of an earlier import was not listed under it; in a store
/// that was restored from an export it was. Now it is, whenever the image came in.
#[test]
fn what_names_an_inner_manifest_of_an_earlier_import_is_listed_as_after_a_restore() {
    let (image, about) = (Image::multi("x"), Image::of("amd64", "about"));
    let child = Image::of("arm64", "x on arm64");
    let check = |named: &Digest, expected: &[(Digest, Option<String>)], referrer: &Image| {
        let world = World::in_memory();
        world.import_layout(&Layout::default().with(NAME, &image)).unwrap();
        let layout = Layout::default().with("example.com/about:v1", &about).with("", referrer);
        world.import_layout(&layout).unwrap();
        assert_eq!(world.referrers(named), expected);
        let to = world.inputs.join("backup");
        let (what, form, referrers) = (What::Everything, Form::Directory, Referrers::All);
        let request = ExportRequest { what, to: &to, form, referrers };
        export(&world.store.snapshot().unwrap(), &request, &()).unwrap();
        let restored = World::in_memory();
        restored.import(&to).unwrap();
        assert_eq!(keys(&restored), keys(&world));
        assert_eq!(
            restored.store.snapshot().unwrap().root(),
            world.store.snapshot().unwrap().root()
        );
    };
    let naming =
        |named: &Digest| Image::referrer(&about.top, media_type::IN_TOTO, &statement(named));
    for named in [child.top.digest, image.top.digest] {
        let referrer = naming(&named);
        check(&named, &[(referrer.top.digest, None)], &referrer);
    }
    // A layer is no manifest, and what is not held is nothing.
    let layer = image.blobs.iter().find(|(_, bytes)| !bytes.starts_with(b"{")).unwrap().0;
    for named in [*layer, Digest::sha256_of(b"not here")] {
        check(&named, &[], &naming(&named));
    }
}

/// Statements name files and layers every day; that must not cost a walk over all that the store holds.
#[test]
fn only_what_reads_as_a_manifest_is_looked_for_below_the_names() {
    let (image, about) = (Image::multi("x"), Image::of("amd64", "about"));
    let child = Image::of("arm64", "x on arm64");
    let check = |named: &Digest, is_walked: bool| {
        let mut world = World::in_memory();
        world.import_layout(&Layout::default().with(NAME, &image)).unwrap();
        let top = world.store_path.join(super::super::source::blob_name(&image.top.digest));
        let opened = Arc::new(AtomicBool::new(false));
        let seen = opened.clone();
        let disk = Disk::watched(move |action, path| {
            if action == Action::Open && path == top {
                seen.store(true, Ordering::SeqCst);
            }
        });
        world.store = Store::open_on(&world.store_path, disk).unwrap();
        let referrer = Image::referrer(&about.top, media_type::IN_TOTO, &statement(named));
        let layout = Layout::default().with("example.com/about:v1", &about);
        world.import_layout(&layout.with("", &referrer)).unwrap();
        assert_eq!(opened.load(Ordering::SeqCst), is_walked, "{named}");
    };
    let parts = child.blobs.keys().filter(|digest| **digest != child.top.digest);
    parts.for_each(|part| check(part, false));
    check(&image.top.digest, false);
    check(&child.top.digest, true);
}

/// Imports another layout, once, when the blobs of the first are about to be copied.
struct Meanwhile<'a> {
    world: &'a World,
    other: Layout,
    done: AtomicBool,
}

impl Progress for Meanwhile<'_> {
    fn planned(&self, _blobs: usize, _bytes: u64) {
        if !self.done.swap(true, Ordering::SeqCst) {
            self.world.import_layout(&self.other).unwrap();
        }
    }

    fn advanced(&self, _bytes: u64) {}

    fn waiting(&self, _holder: &Holder) {}
}

#[test]
fn what_another_writer_commits_meanwhile_is_looked_at_under_the_lock() {
    let (image, about) = (Image::multi("x"), Image::of("amd64", "about"));
    let child = Image::of("arm64", "x on arm64").top.digest;
    let referrer = Image::referrer(&about.top, media_type::IN_TOTO, &statement(&child));
    let world = World::in_memory();
    let layout = Layout::default().with("example.com/about:v1", &about).with("", &referrer);
    let other = Layout::default().with(NAME, &image);
    let request = ImportRequest {
        source: &layout.write(&world.inputs.join("layout")),
        references: &[],
        repository: None,
        name: None,
        releases: false,
        holder: &holder(),
        wait: WAIT,
    };
    let meanwhile = Meanwhile { world: &world, other, done: AtomicBool::new(false) };
    let report = import(&world.store, &request, &meanwhile).unwrap();
    assert_eq!((report.epoch, report.unread), (2, vec![]));
    assert_eq!(world.referrers(&child), [(referrer.top.digest, None)]);
}

#[test]
fn damage_elsewhere_keeps_no_referrer_out() {
    let (image, about) = (Image::multi("x"), Image::of("amd64", "about"));
    let [child, sibling] =
        ["arm64", "amd64"].map(|one| Image::of(one, &format!("x on {one}")).top.digest);
    let referrer = Image::referrer(&about.top, media_type::IN_TOTO, &statement(&child));
    for (lost, count) in [(sibling, 1), (image.top.digest, 0)] {
        let world = World::in_memory();
        world.import_layout(&Layout::default().with(NAME, &image)).unwrap();
        let blob = world.store_path.join(super::super::source::blob_name(&lost));
        let bytes = std::fs::read(&blob).unwrap();
        std::fs::remove_file(&blob).unwrap();
        let layout = Layout::default().with("example.com/about:v1", &about).with("", &referrer);
        assert_eq!(world.import_layout(&layout).unwrap().unread, [lost]);
        assert_eq!(world.referrers(&child).len(), count);
        assert_eq!(world.referrers(&about.top.digest), [(referrer.top.digest, None)]);
        // Once it is mended, the same import lists what was left out.
        std::fs::write(&blob, bytes).unwrap();
        assert_eq!(world.import_layout(&layout).unwrap().unread, []);
        assert_eq!(world.referrers(&child), [(referrer.top.digest, None)]);
    }
}
