//! Docker archives, which have no manifests of their own.

use bonded_model::limits::{LAYOUT_BLOB_COUNT_MAX, LAYOUT_ENTRY_COUNT_MAX};
use bonded_model::manifest::Manifest;
use bonded_model::{Digest, media_type};
use serde_json::json;

use super::tar::Tar;
use super::{Ask, Layout, World};
use crate::image::ImportError;
use crate::tests::image::Image;

const NAME: &str = "docker.io/library/app:v1";

/// The parts of an archive of one image with two layers.
struct Saved {
    tags: serde_json::Value,
    layers: [Vec<u8>; 2],
    config_name: Option<String>,
    diff_ids: Option<Vec<Digest>>,
}

impl Saved {
    fn new() -> Self {
        let layers = [b"first".to_vec(), b"\x1f\x8bsecond".to_vec()];
        Self { tags: json!([NAME]), layers, config_name: None, diff_ids: None }
    }

    fn config(&self) -> Vec<u8> {
        let all = || self.layers.iter().map(|layer| Digest::sha256_of(layer)).collect();
        let diff_ids: Vec<Digest> = self.diff_ids.clone().unwrap_or_else(all);
        let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
        json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs }).to_string().into_bytes()
    }

    /// The layers lie under their names, the second behind a link.
    fn archive(&self) -> Tar {
        let config = self.config();
        let named = || format!("{}.json", Digest::sha256_of(&config).hex());
        let name = self.config_name.clone().unwrap_or_else(named);
        let list = json!([{ "Config": name, "RepoTags": self.tags,
            "Layers": ["1/layer.tar", "2/layer.tar"] }]);
        Tar::default()
            .file("1/layer.tar", &self.layers[0])
            .file("x.tar", &self.layers[1])
            .link(b'2', "2/layer.tar", "../x.tar")
            .file(&name, &config)
            .file("manifest.json", list.to_string().as_bytes())
    }
}

#[test]
fn an_archive_gets_the_manifest_that_follows_from_it() {
    let saved = Saved::new();
    let others_first = Tar::default().file("repositories", b"{}").unfinished();
    let digests = [Vec::new(), others_first].map(|start| {
        let world = World::in_memory();
        let archive = [start, saved.archive().finish()].concat();
        let report = world.import(&world.file("a.tar", archive)).unwrap();
        assert_eq!((report.images.len(), report.blobs), (1, 4));
        let snapshot = world.store.snapshot().unwrap();
        let bytes = snapshot.read(&report.images[0].image, 1 << 20).unwrap();
        let manifest = Manifest::parse(&bytes).unwrap();
        assert_eq!(snapshot.read(&manifest.config, 1 << 20).unwrap(), saved.config());
        let layers: Vec<_> =
            manifest.layers.iter().map(|l| (l.media_type.as_str(), l.digest)).collect();
        let of = |layer: &[u8]| Digest::sha256_of(layer);
        let expected = [
            (media_type::OCI_LAYER, of(&saved.layers[0])),
            (media_type::OCI_LAYER_GZIP, of(&saved.layers[1])),
        ];
        assert_eq!(layers, expected);
        world.image(NAME).unwrap()
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn names_are_the_tags_of_the_archive() {
    let check = |tags, ask| {
        let world = World::in_memory();
        let archive = Saved { tags, ..Saved::new() }.archive().finish();
        let result = world.import_as(&world.file("a.tar", archive), ask);
        result.map(|report| {
            report.images.iter().map(|image| image.name.to_string()).collect::<Vec<_>>()
        })
    };
    let named = || Ask { name: "a:1", ..Ask::default() };
    assert_eq!(check(json!(["a:1", "b:2"]), Ask::default()).unwrap(), ["a:1", "b:2"]);
    assert_eq!(check(json!(null), named()).unwrap(), ["a:1"]);
    assert_eq!(check(json!([]), named()).unwrap(), ["a:1"]);
    assert_eq!(check(json!(["x:1", "y:1"]), named()).unwrap(), ["a:1"]);
    let one = Ask { references: &["b:2"], ..Ask::default() };
    assert_eq!(check(json!(["a:1", "b:2"]), one).unwrap(), ["b:2"]);
    assert!(matches!(check(json!(null), Ask::default()), Err(ImportError::NoName { .. })));
    assert!(matches!(check(json!(["A:1"]), Ask::default()), Err(ImportError::Name { .. })));
}

#[test]
fn an_archive_that_is_a_layout_as_well_is_read_as_one() {
    let image = Image::of("amd64", "x");
    let layout = Layout::default().with(NAME, &image);
    let archive = Tar::default().file("manifest.json", b"[]");
    let archive = [archive.unfinished(), layout.archive()].concat();
    let world = World::in_memory();
    world.import(&world.file("a.tar", archive)).unwrap();
    assert_eq!(world.image(NAME), Some(image.top.digest));
}

#[test]
fn must_reject_contradictions() {
    let check = |archive: Tar, part: &str| {
        let world = World::in_memory();
        let error = world.import(&world.file("a.tar", archive.finish())).unwrap_err();
        world.must_be_untouched();
        let text = error.to_string();
        assert!(matches!(error, ImportError::Docker { .. }) && text.contains(part), "{text}");
    };
    let config_name = Some(format!("{}.json", Digest::sha256_of(b"other").hex()));
    check(Saved { config_name, ..Saved::new() }.archive(), "hashes to");
    let of = |bytes: &[u8]| Digest::sha256_of(bytes);
    let diff_ids = Some(vec![of(b"other"), of(b"x")]);
    check(Saved { diff_ids, ..Saved::new() }.archive(), "its layer 1/layer.tar hashes to");
    for diff_ids in [vec![], vec![of(b"first")], vec![of(b"first"); 3]] {
        let saved = Saved { diff_ids: Some(diff_ids), ..Saved::new() };
        check(saved.archive(), "it lists 2 layers where");
    }
    let listed = |config: &str, layers: &[&str]| {
        let list = json!([{ "Config": config, "RepoTags": [NAME], "Layers": layers }]);
        let config = br#"{"rootfs":{"diff_ids":[]}}"#;
        Tar::default().file("c.json", config).file("manifest.json", list.to_string().as_bytes())
    };
    check(listed("d.json", &[]), "d.json");
    check(listed("c.json", &["layer.tar"]), "layer.tar");
    check(listed("c.json", &["../c.json"]), "../c.json");
}

#[test]
fn must_reject_lists() {
    let check = |list: &str| {
        let world = World::in_memory();
        let archive = Tar::default().file("manifest.json", list.as_bytes()).finish();
        world.import(&world.file("a.tar", archive)).unwrap_err()
    };
    for list in ["", "{}", "[{}]", r#"[{"Config":1}]"#, r#"[{"Config":"a","Config":"b"}]"#] {
        let error = check(list);
        assert!(matches!(error, ImportError::Json { .. }), "{list} {error:?}");
    }
    assert!(matches!(check("[]"), ImportError::Empty { .. }));
}

#[test]
fn tags_are_counted_after_they_were_expanded() {
    let check = |tags: usize| {
        let tags = json!(vec!["a:1"; tags]);
        let archive = Saved { tags, ..Saved::new() }.archive().finish();
        let world = World::in_memory();
        world.import(&world.file("a.tar", archive))
    };
    assert_eq!(check(LAYOUT_ENTRY_COUNT_MAX).unwrap().images.len(), 1);
    let error = check(LAYOUT_ENTRY_COUNT_MAX + 1).unwrap_err();
    let count = LAYOUT_ENTRY_COUNT_MAX + 1;
    assert!(
        matches!(error, ImportError::TooManyEntries { count: c, .. } if c == count),
        "{error:?}"
    );
}

#[test]
fn files_under_several_names_are_one() {
    let of = |bytes: &[u8]| Digest::sha256_of(bytes);
    let config = json!({ "rootfs": { "diff_ids": [of(b"x"), of(b"x"), of(b"x")] } }).to_string();
    let image = |config: &str, tag: &str| json!({ "Config": config, "RepoTags": [tag], "Layers": ["a.tar", "b.tar", "a.tar"] });
    let list = json!([image("c.json", "a:1"), image("d.json", "a:2")]).to_string();
    let archive = Tar::default().file("a.tar", b"x").link(b'2', "b.tar", "a.tar");
    let archive = archive.file("c.json", config.as_bytes()).link(b'1', "d.json", "c.json");
    let archive = archive.file("manifest.json", list.as_bytes()).finish();
    let world = World::in_memory();
    let report = world.import(&world.file("a.tar", archive)).unwrap();
    assert_eq!((report.images.len(), report.blobs), (2, 3));
    assert_eq!(report.images[0].image, report.images[1].image);
}

#[test]
fn more_layers_than_there_may_be_blobs() {
    let refused = |count: usize| {
        let layers = vec!["l"; count];
        let list = json!([{ "Config": "c", "RepoTags": [NAME], "Layers": layers }]).to_string();
        let world = World::in_memory();
        let archive = Tar::default().file("manifest.json", list.as_bytes()).finish();
        let error = world.import(&world.file("a.tar", archive)).unwrap_err();
        world.must_be_untouched();
        error
    };
    let error = refused(LAYOUT_BLOB_COUNT_MAX + 1);
    assert!(matches!(error, ImportError::TooManyBlobs), "{error:?}");
    let error = refused(LAYOUT_BLOB_COUNT_MAX);
    assert!(!matches!(error, ImportError::TooManyBlobs), "{error:?}");
}
