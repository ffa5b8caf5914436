//! What is done to a store, with a failure at every call. One test each, so that they run side by side.

use std::path::Path;
use std::time::Duration;

use bonded_model::evidence::Subject;
use bonded_model::{Digest, DocumentKind, MediaType, media_type};

use super::super::{holder, name};
use super::{Failed, INPUTS, STORE, Scenario, ingest, make_durable, open, survives_everything};
use super::{with_store, write_input};
use crate::disk::memory::Memory;
use crate::disk::{Cloned, Disk};
use crate::{AttachRequest, NewDocument, Store, StoreError, attach};

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
        writer.remove(&crate::catalog::Key::release(&name("demo@v1")))?;
        writer.commit()?;
        Ok(())
    }));
}

/// A store with a blob that nothing refers to, and one that something does among those set aside.
fn with_work_for_gc() -> Memory {
    with_release(|disk| {
        let layout = crate::layout::Layout::new(Path::new(STORE));
        let orphan = disk.create(&layout.blob(&Digest::sha256_of(b"x")), 0o444).unwrap();
        orphan.write_all(b"x").unwrap();
        disk.create_directory(&layout.generation(7)).unwrap();
        let needed = Digest::sha256_of(b"old");
        let aside = layout.generation(7).join(needed.hex());
        disk.rename(&layout.blob(&needed), &aside).unwrap();
    })
}

#[test]
fn collecting_garbage() {
    let scenario = Scenario::new("gc", with_work_for_gc(), |disk| {
        let request = crate::gc::GcRequest {
            now: holder().since,
            grace: Duration::ZERO,
            keep_epochs: 1,
            dry_run: false,
            holder: &holder(),
            wait: Duration::ZERO,
        };
        crate::gc::gc(&open(disk)?, &request, &())?;
        Ok(())
    });
    // What is put back is there before the rest is done.
    survives_everything(&scenario.that_may_hide_success());
}
