//! Large files on their way in, with a failure at every call: copied and flushed on the way, or linked.
//!
//! What somebody has just unpacked is in memory only. So each act writes its input first, and no sync of
//! that is to be had from anybody but the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bonded_model::Digest;

use super::super::ingest_with;
use super::{Failed, INPUTS, STORE, Scenario, open, survives_everything, with_store};
use crate::StoreError;
use crate::disk::faulty::Failure;
use crate::disk::memory::{Loss, Memory};
use crate::disk::{Action, Cloned, Disk};
use crate::ingest::{IngestOptions, Sources};
use crate::layout::Layout;
use crate::stage::{FLUSH_BYTES, LARGE_BYTES};

fn input() -> PathBuf {
    Path::new(INPUTS).join("large")
}

/// Writes the input anew, as an archive program does, and takes it in.
fn unpack_and_ingest(disk: &Disk, bytes: &[u8], sources: Sources) -> Result<(), Failed> {
    let unpack = || {
        disk.remove(&input())?;
        disk.create(&input(), 0o644)?.write_all(bytes)
    };
    unpack().map_err(StoreError::from)?;
    let options = IngestOptions { sources, ..IngestOptions::default() };
    ingest_with(&open(disk)?, "demo@v1", &[&input()], options)?;
    Ok(())
}

fn large(bytes: u64) -> Vec<u8> {
    vec![7; usize::try_from(bytes).unwrap()]
}

fn empty_store() -> Memory {
    with_store(&Memory::new(Cloned::Unsupported), |_| {})
}

/// How often the file that is synced most often is synced, while an act on a new store goes on undisturbed.
fn syncs_of_one_file(act: fn(&Disk) -> Result<(), Failed>) -> usize {
    let counts = Arc::new(Mutex::new(BTreeMap::<PathBuf, usize>::new()));
    let counted = counts.clone();
    let disk = empty_store().disk().with_watcher(move |action, path| {
        if action == Action::Sync {
            *counted.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        }
    });
    act(&disk).unwrap();
    let most = counts.lock().unwrap().values().max().copied();
    most.unwrap_or(0)
}

fn ingest_flushed(disk: &Disk) -> Result<(), Failed> {
    unpack_and_ingest(disk, &large(FLUSH_BYTES + 1), Sources::MayChange)
}

#[test]
fn ingesting_a_file_that_is_flushed_on_the_way() {
    let told = "what starts the flushing, a flush, and the sync at the end";
    assert_eq!(syncs_of_one_file(ingest_flushed), 3, "{told}");
    survives_everything(&Scenario::new("flushed", empty_store(), ingest_flushed));
}

fn ingest_linked(disk: &Disk) -> Result<(), Failed> {
    unpack_and_ingest(disk, &large(LARGE_BYTES + 1), Sources::Immutable)
}

fn blob_of_linked() -> PathBuf {
    Layout::new(Path::new(STORE)).blob(&Digest::sha256_of(&large(LARGE_BYTES + 1)))
}

#[test]
fn ingesting_a_file_by_a_link() {
    let memory = empty_store();
    let disk = memory.disk();
    ingest_linked(&disk).unwrap();
    let [held, found] = [blob_of_linked(), input()].map(|path| disk.read_state(&path).unwrap());
    assert!(held.is_same_file(&found), "it was copied");
    survives_everything(&Scenario::new("linked", empty_store(), ingest_linked));
}

/// Who writes under the other name would change a blob behind its digest.
#[test]
fn a_linked_blob_is_read_only_whatever_is_lost() {
    let mut blobs = 0;
    for at in 1.. {
        let memory = empty_store();
        let disk = memory.disk().failing(at, Failure::Crash);
        let result = ingest_linked(&disk);
        for loss in [Loss::AllUnsynced, Loss::Random(at), Loss::Random(at + 1000)] {
            let lost = memory.after_power_loss(loss).disk();
            if let Ok(blob) = lost.read_attributes(&blob_of_linked()) {
                assert_eq!(blob.mode, 0o444, "call {at}, {loss:?}: {result:?}");
                blobs += 1;
            }
        }
        if disk.calls() < at {
            break;
        }
    }
    assert!(blobs > 10, "{blobs}");
}

/// Whatever call fails: a source is read-only if it has become the blob, and as it was if not.
#[test]
fn a_source_that_became_no_blob_keeps_its_mode() {
    let (mut kept, mut became) = (0, 0);
    for at in 1.. {
        let memory = empty_store();
        let disk = memory.disk().failing(at, Failure::IoOnce);
        let result = ingest_linked(&disk);
        let [held, found] =
            [blob_of_linked(), input()].map(|path| memory.disk().read_state(&path).ok());
        if let Some(found) = found {
            let is_blob = held.is_some_and(|held| held.is_same_file(&found));
            let mode = memory.disk().read_attributes(&input()).unwrap().mode;
            assert_eq!(mode, if is_blob { 0o444 } else { 0o644 }, "call {at}: {result:?}");
            (kept, became) = (kept + u32::from(!is_blob), became + u32::from(is_blob));
        }
        if disk.calls() < at {
            break;
        }
    }
    assert!(kept > 10 && became > 10, "{kept} and {became}");
}
