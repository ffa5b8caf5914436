//! Layouts and OCI archives: what comes in, under which names, and what does not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bonded_model::limits::{
    LAYOUT_ENTRY_COUNT_MAX, LAYOUT_INDEX_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX,
};
use bonded_model::{Descriptor, Digest, MediaType, media_type};
use serde_json::json;

use super::{Ask, Layout, World, image_of, index_of};
use crate::image::{ArchiveError, ImportError, Outcome};
use crate::stage::LARGE_BYTES;
use crate::tests::image::Image;

const NAME: &str = "example.com/demo/app:v1";

fn layout_of(image: &Image) -> Layout {
    Layout::default().with(NAME, image)
}

#[test]
fn an_image_comes_in_byte_for_byte_from_a_directory_and_from_an_archive() {
    let image = Image::multi("hello");
    let layout = layout_of(&image);
    let roots = ["directory", "archive"].map(|form| {
        let world = World::new();
        let source = match form {
            "directory" => layout.write(&world.inputs.join("l")),
            _ => world.file("l.tar", layout.archive()),
        };
        let report = world.import(&source).unwrap();
        assert_eq!((report.epoch, report.blobs), (1, image.blobs.len()));
        let [imported] = report.images.as_slice() else { panic!("{report:?}") };
        assert_eq!(imported.name.to_string(), NAME);
        assert_eq!((imported.image.digest, imported.outcome), (image.top.digest, Outcome::Created));
        let snapshot = world.store.snapshot().unwrap();
        for (digest, bytes) in &image.blobs {
            let listed = MediaType::known(media_type::OCTET_STREAM);
            let descriptor = Descriptor::of(listed, bytes);
            assert_eq!(&snapshot.read(&descriptor, 1 << 20).unwrap(), bytes, "{digest}");
        }
        assert_eq!(snapshot.image_closure(&imported.image).unwrap().len(), image.blobs.len());
        let blake3 = world.store.facts().get(&image.top.digest).unwrap().blake3;
        assert_eq!(blake3.as_bytes(), blake3::hash(image.top_bytes()).as_bytes());
        let again = world.import(&source).unwrap();
        assert_eq!((again.epoch, again.images[0].outcome), (1, Outcome::Unchanged));
        let listed = fs::read_to_string(world.store_path.join("index.json")).unwrap();
        assert!(listed.contains(&format!(r#""org.opencontainers.image.ref.name":"{NAME}""#)));
        snapshot.root()
    });
    assert_eq!(roots[0], roots[1]);
}

#[test]
fn large_layers_are_streamed_and_compared_where_they_are_held() {
    let world = World::new();
    let large = vec![7; usize::try_from(LARGE_BYTES).unwrap() * 2];
    let layer = Descriptor::of(MediaType::known(media_type::OCI_LAYER), &large);
    let manifest = json!({ "schemaVersion": 2, "config": layer, "layers": [layer] });
    let mut image = image_of(media_type::OCI_MANIFEST, manifest.to_string().as_bytes());
    image.blobs.insert(layer.digest, large);
    let archive = world.file("l.tar", layout_of(&image).archive());
    assert_eq!(world.import(&archive).unwrap().blobs, 2);
    let blob = world.store_path.join(super::super::source::blob_name(&layer.digest));
    let modified = fs::metadata(&blob).unwrap().modified().unwrap();
    assert_eq!(world.import(&archive).unwrap().epoch, 1);
    assert_eq!(fs::metadata(&blob).unwrap().modified().unwrap(), modified);
    // One that was damaged meanwhile is put back.
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, b"damaged").unwrap();
    world.import(&archive).unwrap();
    assert_eq!(
        world.store.snapshot().unwrap().verify_blob(&layer).unwrap().size(),
        LARGE_BYTES * 2
    );
}

#[test]
fn names_come_from_the_layout_and_from_the_request() {
    let image = Image::of("amd64", "a");
    let containerd = ("io.containerd.image.name", "docker.io/library/app:v1");
    let ref_name = ("org.opencontainers.image.ref.name", "v1");
    let repository = Ask { repository: "r.io/a/b", ..Ask::default() };
    let name = Ask { name: "r.io/x:y", ..Ask::default() };
    for (annotations, ask, expected) in [
        (&[("org.opencontainers.image.ref.name", NAME)][..], Ask::default(), NAME),
        (&[("org.opencontainers.image.ref.name", NAME)], repository.clone(), NAME),
        (&[ref_name], repository.clone(), "r.io/a/b:v1"),
        (&[ref_name, containerd], Ask::default(), "docker.io/library/app:v1"),
        (&[ref_name, containerd], repository, "docker.io/library/app:v1"),
        (&[ref_name], name.clone(), "r.io/x:y"),
        (&[("org.opencontainers.image.ref.name", "no/name")], name.clone(), "r.io/x:y"),
        (&[("org.opencontainers.image.ref.name", "a@sha256:00")], name.clone(), "r.io/x:y"),
        (&[], name, "r.io/x:y"),
    ] {
        let world = World::in_memory();
        let source = Layout::default().annotated(annotations, &image).write(&world.inputs);
        world.import_as(&source, ask).unwrap();
        assert_eq!(world.image(expected), Some(image.top.digest), "{annotations:?}");
    }
}

#[test]
fn must_reject_names() {
    let (one, two) = (Image::of("amd64", "1"), Image::of("amd64", "2"));
    let check = |layout: Layout, ask: Ask<'_>| {
        let world = World::in_memory();
        let error = world.import_as(&layout.write(&world.inputs), ask).unwrap_err();
        world.must_be_untouched();
        error
    };
    let tag = || Layout::default().with("v1", &one);
    let plain = Ask::default;
    let named = || Ask { name: "a:1", ..Ask::default() };
    assert!(matches!(check(tag(), plain()), ImportError::NoRepository { tag } if tag == "v1"));
    for name in ["a/b", "-x", "a b", "A/b:1", "a:b:c/d", "../a:1"] {
        let error = check(Layout::default().with(name, &one), plain());
        assert!(matches!(error, ImportError::Name { name: ref n } if n == name), "{error:?}");
    }
    let error = check(Layout::default().with("", &one), plain());
    assert!(matches!(error, ImportError::NoName { digest } if digest == one.top.digest));
    let error = check(tag().with("v2", &two), named());
    assert!(matches!(error, ImportError::NameForSeveral { count: 2, .. }), "{error:?}");
    let error = check(layout_of(&one).with(NAME, &two), plain());
    let (a, b) = (one.top.digest, two.top.digest);
    assert!(matches!(error, ImportError::Twice { first, second, .. } if (first, second) == (a, b)));
    let other = Ask { references: &["v2"], ..named() };
    let ImportError::NoReference { wanted, available } = check(tag(), other) else { panic!() };
    assert_eq!((wanted.as_str(), available), ("v2", vec!["v1".to_owned()]));
}

#[test]
fn a_name_never_changes_what_it_stands_for() {
    let world = World::new();
    let (one, two) = (Image::of("amd64", "1"), Image::of("amd64", "2"));
    world.import_layout(&layout_of(&one)).unwrap();
    let error = world.import_layout(&layout_of(&two).with("a:2", &two)).unwrap_err();
    let ImportError::NameTaken { name, held, given } = error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), held, given), (NAME, one.top.digest, two.top.digest));
    assert_eq!((world.image(NAME), world.image("a:2")), (Some(one.top.digest), None));
}

#[test]
fn what_is_asked_for_comes_alone() {
    let (one, two) = (Image::of("amd64", "1"), Image::of("amd64", "2"));
    let layout = Layout::default().with("a:1", &one).with("2", &two);
    for (reference, ask) in [
        ("2", Ask { repository: "b", ..Ask::default() }),
        (&two.top.digest.to_string(), Ask { name: "b:2", ..Ask::default() }),
    ] {
        let world = World::in_memory();
        let ask = Ask { references: &[reference], ..ask };
        let report = world.import_as(&layout.write(&world.inputs), ask).unwrap();
        assert_eq!(report.blobs, two.blobs.len());
        assert_eq!((world.image("b:2"), world.image("a:1")), (Some(two.top.digest), None));
    }
    // The same entry twice is one, and what nothing names is left out where others have names.
    let world = World::in_memory();
    let unknown = image_of("application/x.unknown", b"?");
    let layout = layout_of(&one).with(NAME, &one).with("", &two).with("u:1", &unknown);
    let report = world.import_layout(&layout).unwrap();
    let skipped: Vec<_> = report.skipped.iter().map(|entry| entry.digest).collect();
    assert_eq!(skipped, [two.top.digest, unknown.top.digest]);
    assert_eq!((report.images.len(), report.blobs), (1, one.blobs.len()));
}

/// What becomes of an image after its layout was damaged, with the text of the error.
fn check(image: &Image, damage: impl FnOnce(&mut Layout)) -> (ImportError, String) {
    let world = World::in_memory();
    let mut layout = layout_of(image);
    damage(&mut layout);
    let error = world.import_layout(&layout).unwrap_err();
    world.must_be_untouched();
    let text = error.to_string();
    (error, text)
}

#[test]
fn a_missing_or_wrong_blob_is_refused_with_the_way_to_it() {
    let image = Image::index(&[Image::multi("deep")]);
    for (digest, bytes) in image.blobs.iter().filter(|(digest, _)| **digest != image.top.digest) {
        let (error, text) = check(&image, |layout| drop(layout.blobs.remove(digest)));
        assert!(matches!(error, ImportError::Missing { .. }), "{error:?}");
        let way = format!("blob missing: {NAME} → index {} → index sha256:", image.top.digest);
        assert!(text.starts_with(&way) || text.contains(&format!("→ index {digest};")), "{text}");
        assert!(text.ends_with(&format!("blobs/sha256/{}", digest.hex())), "{text}");
        assert!(text.contains(&format!(" {digest};")), "{text}");

        let mut flipped = bytes.clone();
        flipped[0] ^= 1;
        let found = Digest::sha256_of(&flipped);
        let (error, text) = check(&image, |layout| drop(layout.blobs.insert(*digest, flipped)));
        assert!(matches!(error, ImportError::Wrong { found: f, .. } if f == found), "{error:?}");
        assert!(text.contains(&format!(" {digest};")), "{text}");

        let longer = [bytes.as_slice(), b"x"].concat();
        let (error, _) = check(&image, |layout| drop(layout.blobs.insert(*digest, longer)));
        let length = u64::try_from(bytes.len()).unwrap();
        assert!(matches!(error, ImportError::Size { expected, .. } if expected == length));
    }
}

#[test]
fn manifests_that_lie_are_refused() {
    let layer = Descriptor::of(MediaType::known(media_type::OCI_LAYER), b"layer");
    let with_data = |data: &str| {
        let mut carrier = serde_json::to_value(&layer).unwrap();
        carrier["data"] = data.into();
        json!({ "schemaVersion": 2, "config": carrier, "layers": [] }).to_string()
    };
    let check_of = |media_type: &str, text: &str| {
        let image = image_of(media_type, text.as_bytes());
        check(&image, |layout| drop(layout.blobs.insert(layer.digest, b"layer".to_vec()))).0
    };
    let manifest = media_type::OCI_MANIFEST;
    for data in ["bGF5ZXI", "bGF5ZXIh", "", "****", "TEFZRVI="] {
        let error = check_of(manifest, &with_data(data));
        assert!(matches!(error, ImportError::Data { .. }), "{data} {error:?}");
    }
    let world = World::in_memory();
    let mut honest = layout_of(&image_of(manifest, with_data("bGF5ZXI=").as_bytes()));
    honest.blobs.insert(layer.digest, b"layer".to_vec());
    world.import_layout(&honest).unwrap();

    let sha512 = serde_json::to_string(&layer).unwrap();
    let other = sha512.replace(&layer.digest.to_string(), &Digest::sha512_of(b"layer").to_string());
    let text = format!(r#"{{"schemaVersion":2,"config":{other},"layers":[]}}"#);
    let error = check_of(manifest, &text);
    assert!(matches!(error, ImportError::Algorithm { .. }), "{error:?}");
    assert!(error.to_string().contains("sha512:"), "{error}");

    let both = format!(r#"{{"schemaVersion":2,"config":{sha512},"layers":[],"manifests":[]}}"#);
    for text in [&both, "{}", "[]", "", r#"{"schemaVersion":1}"#] {
        let error = check_of(manifest, text);
        assert!(matches!(error, ImportError::Manifest { .. }), "{text} {error:?}");
    }
    // No blob is a manifest and an index.
    let inner = Image::of("amd64", "x");
    let as_index =
        Descriptor { media_type: MediaType::known(media_type::OCI_INDEX), ..inner.top.clone() };
    let mut image = index_of(vec![inner.top.clone(), as_index]);
    image.blobs.extend(inner.blobs.clone());
    assert!(matches!(check(&image, |_| {}).0, ImportError::TwoTypes { .. }));
    // A size that is said twice is said wrong once.
    let longer = Descriptor { size: inner.top.size + 1, ..inner.top.clone() };
    let mut image = index_of(vec![inner.top.clone(), longer]);
    image.blobs.extend(inner.blobs);
    assert!(matches!(check(&image, |_| {}).0, ImportError::Size { .. }));
}

#[test]
fn depth_size_and_circles_are_bounded() {
    let nested =
        |depth: usize| (0..depth).fold(Image::of("amd64", "x"), |inner, _| Image::index(&[inner]));
    // A manifest refers to its configuration, which is one step more.
    let world = World::in_memory();
    world.import_layout(&layout_of(&nested(MANIFEST_DEPTH_MAX - 1))).unwrap();
    let (error, text) = check(&nested(MANIFEST_DEPTH_MAX), |_| {});
    assert!(matches!(error, ImportError::TooDeep { .. }), "{text}");

    let large = MANIFEST_BYTES_MAX + 1;
    let top = Descriptor { size: 100 << 20, ..nested(0).top };
    let image = Image { top, ..nested(0) };
    assert!(matches!(check(&image, |_| {}).0, ImportError::ManifestTooLarge { .. }));
    let inner = Descriptor { size: large, ..nested(0).top };
    let error = check(&index_of(vec![inner]), |_| {}).0;
    assert!(matches!(error, ImportError::ManifestTooLarge { bytes, .. } if bytes == large));

    // A circle cannot be made; two manifests that claim to hold each other fail their own hashes.
    let (a, b) = (Digest::sha256_of(b"a"), Digest::sha256_of(b"b"));
    let index_type = || MediaType::known(media_type::OCI_INDEX);
    let to = |digest| index_of(vec![Descriptor::new(index_type(), digest, 0)]).top_bytes().to_vec();
    let size = u64::try_from(to(a).len()).unwrap();
    let of =
        |digest| index_of(vec![Descriptor::new(index_type(), digest, size)]).top_bytes().to_vec();
    let size = u64::try_from(of(a).len()).unwrap();
    let top = Descriptor::new(index_type(), a, size);
    let image = Image { top, blobs: [(a, of(b)), (b, of(a))].into() };
    assert!(matches!(check(&image, |_| {}).0, ImportError::Wrong { .. }));
}

#[test]
fn layers_that_may_not_be_passed_on_may_be_absent() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let layer = Descriptor::of(foreign.parse().unwrap(), b"base");
    let config = Descriptor::of(MediaType::known(media_type::DOCKER_CONFIG), b"{}");
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
        "config": config, "layers": [layer] });
    let mut image = image_of(media_type::DOCKER_MANIFEST, manifest.to_string().as_bytes());
    image.blobs.insert(config.digest, b"{}".to_vec());
    let world = World::in_memory();
    assert_eq!(world.import_layout(&layout_of(&image)).unwrap().blobs, 2);
    image.blobs.insert(layer.digest, b"base".to_vec());
    assert_eq!(world.import_layout(&layout_of(&image)).unwrap().blobs, 3);
    let (error, _) =
        check(&image, |layout| drop(layout.blobs.insert(layer.digest, b"bass".into())));
    assert!(matches!(error, ImportError::Wrong { .. }), "{error:?}");
}

#[test]
fn must_reject_what_is_no_layout() {
    let image = Image::of("amd64", "x");
    let check = |change: &dyn Fn(&Path)| {
        let world = World::in_memory();
        let source = layout_of(&image).write(&world.inputs.join("l"));
        change(&source);
        let error = world.import(&source).unwrap_err();
        world.must_be_untouched();
        error
    };
    let write = |name: &'static str, bytes: Vec<u8>| {
        check(&move |source: &Path| fs::write(source.join(name), &bytes).unwrap())
    };
    let remove = |name: &'static str| {
        check(&move |source: &Path| fs::remove_file(source.join(name)).unwrap())
    };
    assert!(matches!(remove("oci-layout"), ImportError::NotALayout { .. }));
    assert!(matches!(remove("index.json"), ImportError::NotALayout { .. }));
    for bytes in ["", "{}", r#"{"imageLayoutVersion":1}"#, "1.0.0"] {
        let error = write("oci-layout", bytes.into());
        assert!(matches!(error, ImportError::Json { .. }), "{error:?}");
    }
    let error = write("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec());
    assert!(matches!(error, ImportError::LayoutVersion { found, .. } if found == "2.0.0"));
    for bytes in ["", "[]", "{", r#"{"manifests":[],"manifests":[]}"#, r#"{"manifests":[{}]}"#] {
        let error = write("index.json", bytes.into());
        assert!(matches!(error, ImportError::Json { .. }), "{bytes} {error:?}");
    }
    for bytes in ["{}", r#"{"schemaVersion":2,"manifests":[]}"#, r#"{"manifests":null}"#] {
        assert!(matches!(write("index.json", bytes.into()), ImportError::Empty { .. }), "{bytes}");
    }
    let long = check(&|source| {
        let file = fs::OpenOptions::new().write(true).open(source.join("index.json")).unwrap();
        file.set_len(LAYOUT_INDEX_BYTES_MAX + 1).unwrap();
    });
    assert!(matches!(long, ImportError::TooLarge { .. }), "{long:?}");
    let entry = serde_json::to_string(&image.top).unwrap();
    let many = vec![entry.as_str(); LAYOUT_ENTRY_COUNT_MAX + 1].join(",");
    let many = write("index.json", format!(r#"{{"manifests":[{many}]}}"#).into_bytes());
    let count = LAYOUT_ENTRY_COUNT_MAX + 1;
    assert!(matches!(many, ImportError::TooManyEntries { count: c, .. } if c == count), "{many:?}");
    let error = check(&|source| {
        let blob = source.join(super::super::source::blob_name(&image.top.digest));
        fs::remove_file(&blob).unwrap();
        symlink("/etc/hostname", blob).unwrap();
    });
    assert!(matches!(error, ImportError::Link { .. } | ImportError::Missing { .. }), "{error:?}");
}

#[test]
fn must_reject_what_is_no_archive() {
    let world = World::in_memory();
    let check = |bytes: &[u8]| world.import(&world.file("a.tar", bytes)).unwrap_err();
    for (magic, with) in
        [(&b"\x1f\x8b\x08"[..], "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh9", "bzip2")]
    {
        let error = check(magic);
        assert!(matches!(error, ImportError::Compressed { with: w, .. } if w == with), "{error:?}");
    }
    let not_tar = check(&[b'x'; 600]);
    let header =
        matches!(not_tar, ImportError::Archive { source: ArchiveError::Header { .. }, .. });
    assert!(header, "{not_tar:?}");
    let empty = check(b"");
    assert!(matches!(empty, ImportError::Archive { source: ArchiveError::Cut { .. }, .. }));
    let other = check(&super::Tar::default().file("README", b"x").finish());
    assert!(matches!(other, ImportError::NotALayout { .. }), "{other:?}");
    let bomb = super::Tar::default().file("../../etc/passwd", b"x").finish();
    assert!(matches!(
        check(&bomb),
        ImportError::Archive { source: ArchiveError::Entry { .. }, .. }
    ));
    let gone = world.import(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(matches!(gone, ImportError::Source(_)), "{gone:?}");
    let itself = world.import(&world.store_path).unwrap_err();
    assert!(matches!(itself, ImportError::IsStore { .. }), "{itself:?}");
    world.must_be_untouched();
}
