//! What other programs write into the store's own layout.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bonded_model::{Descriptor, ImageName, Repository};

use super::{Ask, Layout, World};
use crate::image::{AdoptRequest, ImportError, ImportReport, adopt};
use crate::index::IndexState;
use crate::tests::holder;
use crate::tests::image::Image;

const NAME: &str = "example.com/app:v1";

impl World {
    fn adopt(&self, ask: Ask<'_>) -> Result<Option<ImportReport>, ImportError> {
        let repository: Option<Repository> = ask.repository.parse().ok();
        let name: Option<ImageName> = ask.name.parse().ok();
        let request = AdoptRequest {
            repository: repository.as_ref(),
            name: name.as_ref(),
            holder: &holder(),
            wait: Duration::from_secs(20),
        };
        adopt(&self.store, &request, &())
    }

    fn index(&self) -> std::path::PathBuf {
        self.store_path.join("index.json")
    }

    fn listed(&self) -> Vec<Descriptor> {
        let bytes = fs::read(self.index()).unwrap();
        bonded_model::manifest::Index::parse(&bytes).unwrap().manifests
    }

    /// Writes blobs and a list as another program does: in place, and with its own idea of both.
    fn write_foreign(&self, layout: &Layout, entries: Vec<Descriptor>) {
        for (digest, bytes) in &layout.blobs {
            let path = self.store_path.join(super::super::source::blob_name(digest));
            if !path.exists() {
                fs::write(path, bytes).unwrap();
            }
        }
        let layout = Layout { entries, ..Layout::default() };
        fs::write(self.index(), layout.index()).unwrap();
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_others_list_comes_in_and_what_they_dropped_stays() {
    let world = World::new();
    world.file("tool", "tool");
    world.ingest("demo@v1").unwrap();
    let (old, kept, new) = (Image::of("arm", "0"), Image::of("arm64", "1"), Image::multi("2"));
    world.import_layout(&Layout::default().with("a:old", &old)).unwrap();
    world.import_layout(&Layout::default().with("a:kept", &kept)).unwrap();
    let listed = world.listed();
    let stale = listed.into_iter().filter(|entry| entry.digest != old.top.digest);
    let foreign = Layout::default().with(NAME, &new);
    world.write_foreign(&foreign, stale.chain(foreign.entries.clone()).collect());
    assert_eq!(world.store.index_state().unwrap(), IndexState::Foreign);

    let report = world.adopt(Ask::default()).unwrap().unwrap();
    assert_eq!((report.images.len(), report.blobs), (1, new.blobs.len()));
    assert_eq!(world.store.index_state().unwrap(), IndexState::Current);
    for (name, image) in [("a:old", &old), ("a:kept", &kept), (NAME, &new)] {
        assert_eq!(world.image(name), Some(image.top.digest), "{name}");
    }
    assert_eq!(world.listed().len(), 4);
    let blob = world.store_path.join(super::super::source::blob_name(&new.top.digest));
    assert_eq!(mode(&blob), 0o444);
    let epoch = report.epoch;
    assert!(world.adopt(Ask::default()).unwrap().is_none());
    assert_eq!(world.store.snapshot().unwrap().epoch(), epoch);
}

#[test]
fn a_list_without_news_is_made_again() {
    let world = World::new();
    let image = Image::of("amd64", "x");
    world.import_layout(&Layout::default().with(NAME, &image)).unwrap();
    world.write_foreign(&Layout::default(), vec![]);
    let report = world.adopt(Ask::default()).unwrap().unwrap();
    assert_eq!((report.images.len(), report.epoch), (0, 1));
    assert_eq!(
        (world.listed().len(), world.store.index_state().unwrap()),
        (1, IndexState::Current)
    );
}

#[test]
fn tags_alone_need_a_repository() {
    let world = World::new();
    let image = Image::of("amd64", "x");
    let foreign = Layout::default().with("v1", &image);
    world.write_foreign(&foreign, foreign.entries.clone());
    let error = world.adopt(Ask::default()).unwrap_err();
    assert!(matches!(error, ImportError::NoRepository { .. }), "{error:?}");
    assert_eq!(world.store.index_state().unwrap(), IndexState::Foreign);
    world.adopt(Ask { repository: "example.com/app", ..Ask::default() }).unwrap();
    assert_eq!(world.image(NAME), Some(image.top.digest));
}

#[test]
fn must_reject() {
    let (one, two) = (Image::of("amd64", "1"), Image::of("amd64", "2"));
    let check = |foreign: &dyn Fn(&World) -> Layout| {
        let world = World::new();
        world.file("tool", "tool");
        world.ingest("demo@v1").unwrap();
        world.import_layout(&Layout::default().with(NAME, &one)).unwrap();
        let foreign = foreign(&world);
        let before = world.store.snapshot().unwrap();
        world.write_foreign(&foreign, foreign.entries.clone());
        let list = fs::read(world.index()).unwrap();
        let error = world.adopt(Ask::default()).unwrap_err();
        assert_eq!(world.store.snapshot().unwrap().root(), before.root());
        assert_eq!(fs::read(world.index()).unwrap(), list);
        error
    };
    let error = check(&|_| Layout::default().with(NAME, &two));
    let (held, given) = (one.top.digest, two.top.digest);
    assert!(
        matches!(error, ImportError::NameTaken { held: h, given: g, .. } if (h, g) == (held, given))
    );
    let error = check(&|_| Layout::default().with("demo/v1", &two));
    assert!(
        matches!(error, ImportError::NameTaken { ref name, .. } if name == "demo/v1"),
        "{error:?}"
    );
    let error = check(&|_| Layout::default().with("demo/v2", &two));
    assert!(matches!(error, ImportError::UnknownRelease { .. }), "{error:?}");
    let error = check(&|_| Layout::default().with("b:1", &one).with("b:1", &two));
    assert!(matches!(error, ImportError::Twice { .. }), "{error:?}");
    let error = check(&|_| {
        let mut layout = Layout::default().with("b:1", &two);
        layout.blobs.pop_first();
        layout
    });
    assert!(matches!(error, ImportError::Missing { .. }), "{error:?}");
    let error = check(&|_| {
        let mut layout = Layout::default().with("b:1", &two);
        layout.blobs.first_entry().unwrap().get_mut()[0] ^= 1;
        layout
    });
    assert!(matches!(error, ImportError::Wrong { .. }), "{error:?}");
}

#[test]
fn garbage_is_refused_and_left_alone() {
    let world = World::new();
    for garbage in ["", "{", "[]", r#"{"manifests":1}"#, "\0\0\0"] {
        fs::write(world.index(), garbage).unwrap();
        let error = world.adopt(Ask::default()).unwrap_err();
        assert!(matches!(error, ImportError::Json { .. }), "{garbage} {error:?}");
        assert_eq!(fs::read(world.index()).unwrap(), garbage.as_bytes());
    }
    fs::remove_file(world.index()).unwrap();
    assert!(world.adopt(Ask::default()).unwrap().is_none());
}
