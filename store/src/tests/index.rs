//! A store that is kept without `index.json`, and one that is switched to that and back.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{MEDDLED_INDEX, Meddled, WAIT, World, holder, ingest_into, meddled_disk};
use crate::disk::{Action, FileKind};
use crate::image::{AdoptRequest, ImportError, ImportRequest, adopt, import};
use crate::{IndexSetting, IndexState, Store};

const FOREIGN: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

impl World {
    fn set_index(&self, setting: IndexSetting) {
        let writer = self.store.lock(WAIT, &holder(), &mut |_| {}).unwrap();
        writer.set_index(setting).unwrap();
    }

    #[track_caller]
    fn check_index(&self, setting: IndexSetting, state: IndexState) {
        let found = (self.store.index_setting().unwrap(), self.store.index_state().unwrap());
        assert_eq!(found, (setting, state));
        let is_foreign = self.store.has_foreign_index().unwrap();
        assert_eq!(is_foreign, state == IndexState::Foreign);
    }
}

#[test]
fn a_store_without_index_json_is_made_and_written_to_without_it() {
    let world = World::new();
    let (file, path) = (world.file("a", b"a"), world.inputs.join("../other"));
    let store = Store::init_without_index(&path).unwrap();
    ingest_into(&store, "demo@v1", &[&file]).unwrap();
    assert!(!path.join("index.json").exists());
    assert_eq!(fs::read(path.join("bonded/no-index")).unwrap(), b"");
    let store = Store::open(&path).unwrap();
    assert_eq!(store.index_state().unwrap(), IndexState::Off);
    assert!(!store.has_foreign_index().unwrap());
    assert_eq!(store.snapshot().unwrap().releases().unwrap().len(), 1);
    world.check_index(IndexSetting::On, IndexState::Current);
}

#[test]
fn switching_it_off_and_on_gives_the_same_file() {
    let world = World::new();
    let index = world.store_path.join("index.json");
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    let listed = fs::read(&index).unwrap();
    for _twice in 0..2 {
        world.set_index(IndexSetting::Off);
        world.check_index(IndexSetting::Off, IndexState::Off);
        assert!(!index.exists());
    }
    world.ingest("demo@v2").unwrap();
    assert!(!index.exists());
    for _twice in 0..2 {
        world.set_index(IndexSetting::On);
        world.check_index(IndexSetting::On, IndexState::Current);
    }
    let both = fs::read_to_string(&index).unwrap();
    assert!(both.contains("demo/v1") && both.contains("demo/v2"));
    assert_ne!(both.as_bytes(), listed);
    assert_eq!(world.store.snapshot().unwrap().epoch(), 2, "a setting makes no epoch");
}

/// A program that does not know the setting has written the file.
#[test]
fn a_list_of_ours_is_removed_by_the_next_writer() {
    let world = World::new();
    let index = world.store_path.join("index.json");
    let ours = fs::read(&index).unwrap();
    world.set_index(IndexSetting::Off);
    fs::write(&index, &ours).unwrap();
    world.check_index(IndexSetting::Off, IndexState::Unwanted);
    world.file("a", b"a");
    world.ingest("demo@v1").unwrap();
    world.check_index(IndexSetting::Off, IndexState::Off);
}

#[test]
fn what_another_tool_wrote_is_left_alone_until_it_is_adopted() {
    let world = World::new();
    let index = world.store_path.join("index.json");
    world.file("a", b"a");
    for foreign in [FOREIGN, "", "{}"] {
        fs::write(&index, foreign).unwrap();
        world.set_index(IndexSetting::Off);
        world.check_index(IndexSetting::Off, IndexState::Foreign);
        world.ingest("demo@v1").unwrap();
        assert_eq!(fs::read_to_string(&index).unwrap(), foreign);
        world.set_index(IndexSetting::On);
        world.check_index(IndexSetting::On, IndexState::Foreign);
    }
    world.set_index(IndexSetting::Off);
    fs::write(&index, FOREIGN).unwrap();
    let request =
        AdoptRequest { repository: None, name: None, holder: &holder(), wait: Duration::ZERO };
    adopt(&world.store, &request, &()).unwrap().unwrap();
    world.check_index(IndexSetting::Off, IndexState::Off);
    assert!(adopt(&world.store, &request, &()).unwrap().is_none());
}

#[test]
fn whatever_stands_in_the_place_of_the_setting_sets_it() {
    let world = World::new();
    let setting = world.store_path.join("bonded/no-index");
    fs::write(&setting, "with a remark").unwrap();
    world.check_index(IndexSetting::Off, IndexState::Unwanted);
    fs::remove_file(&setting).unwrap();
    std::os::unix::fs::symlink("nowhere", &setting).unwrap();
    world.check_index(IndexSetting::Off, IndexState::Unwanted);
    world.set_index(IndexSetting::On);
    world.check_index(IndexSetting::On, IndexState::Current);
}

#[test]
fn such_a_store_is_no_layout_to_import_from() {
    let world = World::new();
    let from = world.inputs.join("../other");
    Store::init_without_index(&from).unwrap();
    let request = ImportRequest {
        source: &from,
        references: &[],
        repository: None,
        name: None,
        releases: true,
        holder: &holder(),
        wait: Duration::ZERO,
    };
    let error = import(&world.store, &request, &()).unwrap_err();
    let ImportError::StoreWithoutIndex { path } = &error else { panic!("{error:?}") };
    assert_eq!(*path, from);
}

/// Another tool writes index.json at every call of the switching off. What it wrote is there afterwards, unless
/// it came between the last look and the removal.
#[test]
fn an_index_that_another_tool_writes_while_it_is_switched_off_is_left_alone() {
    let path = Path::new(MEDDLED_INDEX);
    let mut kept = 0;
    for at in 0.. {
        let Meddled { memory, store, calls, is_late } =
            meddled_disk(at, Action::Remove, FOREIGN.as_bytes());
        let writer = store.lock(WAIT, &holder(), &mut |_| {}).unwrap();
        writer.set_index(IndexSetting::Off).unwrap();
        if calls.load(Ordering::SeqCst) <= at {
            break;
        }
        let is_there = memory.disk().read_kind(path).is_ok_and(|kind| kind == FileKind::File);
        assert!(is_there || is_late.load(Ordering::SeqCst), "at call {at}");
        kept += u64::from(is_there);
    }
    assert!(kept > 10, "{kept}");
}
