//! What is done to a store, with a failure at every call. One test each, so that they run side by side.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bonded_model::descriptor::ANNOTATION_REF_NAME;
use bonded_model::evidence::Subject;
use bonded_model::manifest::Index;
use bonded_model::{Digest, DocumentKind, MediaType, media_type};

use super::super::image::Image;
use super::super::{holder, name};
use super::{
    Failed, INPUTS, STORE, Scenario, State, ingest, look, make_durable, open, survives_everything,
};
use super::{with_store, write_input};
use crate::catalog::Key;
use crate::disk::faulty::Failure;
use crate::disk::memory::{Loss, Memory};
use crate::disk::{Cloned, Disk, FileKind};
use crate::fsck::{BlobSource, FsckRequest, Judge, Mend, SourceError, fsck};
use crate::gc::{GcRequest, gc};
use crate::image::{AdoptRequest, ImportRequest, adopt, import};
use crate::layout::Layout;
use crate::{AttachRequest, IndexSetting, NewDocument, Store, StoreError, attach};

/// What ROOT was once.
const RECORD: &str = "/disks/record";

/// A store that holds one release with evidence, and inputs for the next.
fn with_release(inputs: impl Fn(&Disk)) -> Memory {
    with_store(&Memory::new(Cloned::Unsupported), |disk| {
        write_input(disk, "old", b"old");
        let sums = format!("{}  old\n", Digest::sha256_of(b"old").hex());
        write_input(disk, "SHA256SUMS", sums.as_bytes());
        ingest(disk, "demo@v1").unwrap();
        inputs(disk);
    })
}

#[test]
fn making_a_store() {
    let memory = Memory::default();
    memory.disk().create_directory(Path::new(INPUTS)).unwrap();
    make_durable(&memory.disk());
    let scenario = Scenario::new("init", memory, |disk| {
        match Store::init_on(Path::new(STORE), disk.clone(), Duration::ZERO) {
            Ok(_) => Ok(()),
            // It was made before the crash; nobody said that it would last. The next writer sees to that.
            Err(StoreError::AlreadyAStore { .. }) => {
                open(disk)?.lock(Duration::ZERO, &holder(), &mut |_| {})?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    });
    // A store without anything in it: whether it is there already, the next call says.
    survives_everything(&scenario.that_may_hide_success());
}

/// Where the making of a store that is kept with `index.json` was cut short.
#[test]
fn making_a_store_without_index() {
    let memory = Memory::default();
    let disk = memory.disk();
    disk.create_directory(Path::new(INPUTS)).unwrap();
    let layout = Layout::new(Path::new(STORE));
    disk.create_directory(&layout.own()).unwrap();
    disk.create(&layout.index(), 0o644).unwrap().write_all(b"{}").unwrap();
    make_durable(&disk);
    let scenario = Scenario::new("init without index.json", memory, |disk| {
        let (store, wait) = (Path::new(STORE), Duration::ZERO);
        match Store::init_with(store, disk.clone(), wait, IndexSetting::Off) {
            Ok(_) => Ok(()),
            Err(StoreError::AlreadyAStore { .. }) => set_index(disk, IndexSetting::Off),
            Err(error) => Err(error.into()),
        }
    });
    survives_everything(&scenario.that_may_hide_success());
}

fn set_index(disk: &Disk, setting: IndexSetting) -> Result<(), Failed> {
    let writer = open(disk)?.lock(Duration::ZERO, &holder(), &mut |_| {})?;
    Ok(writer.set_index(setting)?)
}

#[test]
fn doing_without_the_index_from_now_on() {
    let scenario =
        Scenario::new("index off", with_release(|_| {}), |disk| set_index(disk, IndexSetting::Off));
    // The setting may be written, and the file not be removed yet.
    survives_everything(&scenario.that_may_hide_success());
}

#[test]
fn making_the_index_again() {
    let memory = with_release(|disk| set_index(disk, IndexSetting::Off).unwrap());
    let scenario = Scenario::new("index on", memory, |disk| set_index(disk, IndexSetting::On));
    survives_everything(&scenario.that_may_hide_success());
}

#[test]
fn ingesting_without_an_index() {
    let memory = with_release(|disk| {
        set_index(disk, IndexSetting::Off).unwrap();
        write_input(disk, "new", b"new");
    });
    survives_everything(&Scenario::new("no index", memory, |disk| ingest(disk, "demo@v2")));
}

#[test]
fn ingesting_few_files_with_evidence() {
    let calls = survives_everything(&Scenario::new(
        "few files",
        with_release(|disk| write_input(disk, "new", b"new")),
        |disk| ingest(disk, "demo@v2"),
    ));
    assert!(calls > 30, "{calls}");
}

#[test]
fn ingesting_many_files() {
    survives_everything(&Scenario::new(
        "many files",
        with_release(|disk| {
            for number in 0..4 {
                write_input(disk, &format!("many/{number}"), format!("{number}").as_bytes());
            }
        }),
        |disk| ingest(disk, "demo@v2"),
    ));
}

#[test]
fn ingesting_a_large_file() {
    survives_everything(&Scenario::new(
        "large file",
        with_release(|disk| write_input(disk, "large", &[7; 300_000])),
        |disk| ingest(disk, "demo@v2"),
    ));
}

#[test]
fn ingesting_a_large_file_that_can_be_cloned() {
    survives_everything(&Scenario::new(
        "clone",
        with_store(&Memory::new(Cloned::Yes), |disk| {
            write_input(disk, "large", &[7; 300_000]);
        }),
        |disk| ingest(disk, "demo@v1"),
    ));
}

/// As another OCI tool leaves them: whole, but in memory only.
fn leave_foreign_blobs(memory: &Memory, count: u32) {
    let disk = memory.disk();
    for number in 0..count {
        let bytes = format!("{number}");
        let digest = Digest::sha256_of(bytes.as_bytes());
        let path = Path::new(STORE).join("blobs/sha256").join(digest.hex());
        disk.create(&path, 0o644).unwrap().write_all(bytes.as_bytes()).unwrap();
    }
}

fn survives_with_foreign_blobs(count: u32) {
    let memory = with_release(|disk| {
        for number in 0..count {
            write_input(disk, &format!("{number}"), format!("{number}").as_bytes());
        }
    });
    leave_foreign_blobs(&memory, count);
    survives_everything(
        &Scenario::new("found in place", memory, |disk| ingest(disk, "demo@v2"))
            .with_foreign_blobs(),
    );
}

#[test]
fn ingesting_what_is_found_in_place() {
    survives_with_foreign_blobs(1);
}

#[test]
fn ingesting_much_that_is_found_in_place() {
    survives_with_foreign_blobs(5);
}

#[test]
fn attaching_a_document() {
    survives_everything(&Scenario::new("attach", with_release(|_| {}), |disk| {
        let document = NewDocument {
            bytes: b"{\"a\":1}",
            kind: DocumentKind::Statement,
            media_type: MediaType::known(media_type::OCTET_STREAM),
            title: Some("note.json".parse().unwrap()),
            predicate_type: None,
        };
        let request = AttachRequest {
            release: &name("demo@v1"),
            subject: &Subject::Release,
            documents: &[document],
            holder: &holder(),
            wait: Duration::ZERO,
        };
        attach(&open(disk)?, &request, &mut |_| {})?;
        Ok::<_, Failed>(())
    }));
}

#[test]
fn removing_a_name() {
    survives_everything(&Scenario::new("remove", with_release(|_| {}), |disk| {
        let mut writer = open(disk)?.lock(Duration::ZERO, &holder(), &mut |_| {})?;
        writer.remove(&Key::release(&name("demo@v1")))?;
        writer.commit()?;
        Ok(())
    }));
}

/// Collects garbage, and keeps the newest epoch alone.
fn collect(disk: &Disk) -> Result<(), Failed> {
    let request = GcRequest {
        now: holder().since,
        grace: Duration::ZERO,
        keep_epochs: 1,
        dry_run: false,
        holder: &holder(),
        wait: Duration::ZERO,
    };
    gc(&open(disk)?, &request, &())?;
    Ok(())
}

/// A blob that nothing refers to lies in the pool, and one that something does among those set aside.
#[test]
fn collecting_garbage() {
    let memory = with_release(|disk| {
        let layout = Layout::new(Path::new(STORE));
        let orphan = disk.create(&layout.blob(&Digest::sha256_of(b"x")), 0o444).unwrap();
        orphan.write_all(b"x").unwrap();
        disk.create_directory(&layout.generation(7)).unwrap();
        let needed = Digest::sha256_of(b"old");
        let aside = layout.generation(7).join(needed.hex());
        disk.rename(&layout.blob(&needed), &aside).unwrap();
    });
    // What is put back is there before the rest is done.
    survives_everything(&Scenario::new("gc", memory, collect).that_may_hide_success());
}

/// Another tool has put a blob back that lies in quarantine as well, and nobody has synced it: the copy goes
/// only when the one in the pool would survive a power loss.
#[test]
fn the_last_durable_copy_is_not_deleted() {
    let layout = Layout::new(Path::new(STORE));
    let needed = layout.blob(&Digest::sha256_of(b"old"));
    for at in 1.. {
        let memory = with_release(|disk| {
            collect(disk).unwrap(); // so that nothing else is to be set aside, and synced for it
            disk.create_directory(&layout.generation(7)).unwrap();
            let aside = layout.generation(7).join(needed.file_name().unwrap());
            disk.rename(&needed, &aside).unwrap();
        });
        memory.disk().create(&needed, 0o644).unwrap().write_all(b"old").unwrap();
        let disk = memory.disk().failing(at, Failure::Crash);
        let result = collect(&disk);
        for loss in (0..20).map(|seed| Loss::Random(at * 1009 + seed)) {
            let lost = memory.after_power_loss(loss);
            collect(&lost.disk()).unwrap(); // puts back what is there to be put back
            let State::Store { faults, .. } = look(&lost, false) else { panic!("no store") };
            assert_eq!(faults, BTreeSet::new(), "call {at}, {loss:?}: {result:?}");
        }
        if disk.calls() < at {
            break;
        }
    }
}

/// What only forgotten epochs refer to is set aside, and what was set aside long ago is deleted.
#[test]
fn collecting_what_was_removed() {
    let memory = with_release(|disk| {
        let mut writer = open(disk).unwrap().lock(Duration::ZERO, &holder(), &mut |_| {}).unwrap();
        writer.remove(&Key::release(&name("demo@v1"))).unwrap();
        writer.commit().unwrap();
        write_input(disk, "new", b"new");
        ingest(disk, "demo@v2").unwrap();
        let layout = Layout::new(Path::new(STORE));
        disk.create_directory(&layout.generation(7)).unwrap();
        for number in 0..3 {
            let bytes = [number];
            let aside = layout.generation(7).join(Digest::sha256_of(&bytes).hex());
            disk.create(&aside, 0o444).unwrap().write_all(&bytes).unwrap();
        }
    });
    survives_everything(&Scenario::new("gc of epochs", memory, collect));
}

#[test]
fn importing_an_image() {
    let memory = with_release(|disk| {
        let image = Image::multi("hello");
        let mut top = image.top.clone();
        top.annotations = [(ANNOTATION_REF_NAME.to_owned(), "demo/image:v1".to_owned())].into();
        write_input(disk, "layout/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        write_input(disk, "layout/index.json", &Index::plain(vec![top]).to_bytes());
        for (digest, bytes) in &image.blobs {
            write_input(disk, &format!("layout/blobs/sha256/{}", digest.hex()), bytes);
        }
    });
    survives_everything(&Scenario::new("import", memory, |disk| {
        let request = ImportRequest {
            source: &Path::new(INPUTS).join("layout"),
            references: &[],
            repository: None,
            name: None,
            releases: true,
            holder: &holder(),
            wait: Duration::ZERO,
        };
        import(&open(disk)?, &request, &())?;
        Ok(())
    }));
}

/// What another tool wrote into the store itself.
#[test]
fn adopting_an_image() {
    let memory = with_release(|disk| {
        let layout = Layout::new(Path::new(STORE));
        let image = Image::multi("hello");
        let mut top = image.top.clone();
        top.annotations = [(ANNOTATION_REF_NAME.to_owned(), "demo/image:v1".to_owned())].into();
        for (digest, bytes) in &image.blobs {
            disk.create(&layout.blob(digest), 0o644).unwrap().write_all(bytes).unwrap();
        }
        let index = disk.open_or_create(&layout.index()).unwrap();
        index.overwrite(&Index::plain(vec![top]).to_bytes()).unwrap();
    });
    let scenario = Scenario::new("adopt", memory, |disk| {
        let (repository, name) = (None, None);
        let wait = Duration::ZERO;
        let request = AdoptRequest { repository, name, holder: &holder(), wait };
        adopt(&open(disk)?, &request, &())?;
        Ok(())
    });
    // What comes after the commit may fail; adopting again ends it.
    survives_everything(&scenario.with_foreign_blobs().that_may_hide_success());
}

/// A store whose ROOT has been lost in some way, and has to be recovered before anything is written.
fn survives_without_root(lose: impl Fn(&Disk, &Path)) {
    let memory = with_release(|disk| {
        ingest(disk, "demo@v2").unwrap();
        lose(disk, &Path::new(STORE).join("bonded/ROOT"));
        write_input(disk, "new", b"new");
    });
    survives_everything(&Scenario::new("lost ROOT", memory, |disk| ingest(disk, "demo@v3")));
}

#[test]
fn recovering_a_root_that_is_missing() {
    survives_without_root(|disk, root| disk.remove(root).unwrap());
}

#[test]
fn recovering_a_root_that_is_empty() {
    survives_without_root(|disk, root| disk.open_or_create(root).unwrap().truncate(0).unwrap());
}

/// Whether the record of an acknowledged epoch is anywhere.
fn is_recorded(disk: &Disk, record: &[u8]) -> Result<bool, StoreError> {
    let layout = Layout::new(Path::new(STORE));
    let mut files = disk.list(&layout.epochs())?;
    files.extend(disk.list(&layout.quarantine())?);
    files.retain(|(_, kind)| *kind == FileKind::File);
    for (path, _) in files {
        if disk.read(&path, 4096)? == record {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The page of an acknowledged epoch is lost: its record is not, whenever its recovery is cut short.
#[test]
fn recovering_from_a_damaged_root_page() {
    let memory = with_release(|disk| {
        write_input(disk, "new", b"new");
        ingest(disk, "demo@v2").unwrap();
        let page = open(disk).unwrap().snapshot().unwrap().root();
        disk.remove(&Layout::new(Path::new(STORE)).blob(&page)).unwrap();
        let layout = Layout::new(Path::new(STORE));
        let record = disk.read(&layout.root(), 4096).unwrap();
        disk.create(Path::new(RECORD), 0o644).unwrap().write_all(&record).unwrap();
    });
    survives_everything(&Scenario::new("lost page", memory, |disk| {
        let record = disk.read(Path::new(RECORD), 4096).map_err(StoreError::from)?;
        assert!(is_recorded(disk, &record)?, "the record of an epoch was lost");
        ingest(disk, "demo@v3")
    }));
}

/// Has what the store has lost.
#[derive(Debug)]
struct Backup;

impl BlobSource for Backup {
    fn name(&self) -> String {
        "a backup".into()
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read>>, SourceError> {
        let lost = [&b"old"[..], b"new"].into_iter();
        let mut found = lost.filter(|bytes| key.ends_with(&Digest::sha256_of(bytes).hex()));
        Ok(found.next().map(|bytes| Box::new(bytes) as _))
    }
}

#[test]
fn mending_from_a_backup() {
    let memory = with_release(|disk| {
        write_input(disk, "new", b"new");
        ingest(disk, "demo@v2").unwrap();
        let layout = Layout::new(Path::new(STORE));
        let [missing, wrong] = [&b"old"[..], b"new"].map(|b| layout.blob(&Digest::sha256_of(b)));
        disk.remove(&missing).unwrap();
        disk.open_or_create(&wrong).unwrap().overwrite(b"neu").unwrap();
        disk.set_mode(&wrong, 0o600).unwrap();
    });
    let scenario = Scenario::new("repair", memory, |disk| {
        let request = FsckRequest {
            threads: 1,
            bytes_per_second: None,
            judge: Judge::Sha256,
            quarantine: true,
            mend: Mend::From(&[&Backup]),
            holder: &holder(),
            wait: Duration::ZERO,
        };
        let report = fsck(&open(disk)?, &request, &())?;
        if report.remains() { Err(Failed::Remains) } else { Ok(()) }
    });
    survives_everything(&scenario.that_mends().that_may_hide_success());
}
