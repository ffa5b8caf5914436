//! What lies beside the blobs: ROOT and the epochs, `oci-layout`, `index.json`, facts, staging.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bonded_model::{Digest, json};

use crate::blob::Pool;
use crate::disk::{DiskError, FileKind, LockAttempt};
use crate::error::StoreError;
use crate::history::{self, Newest};
use crate::index::IndexState;
use crate::layout::OCI_LAYOUT;
use crate::lease;
use crate::root::{ROOT_BYTES_MAX, Root};
use crate::store::{self, Store};

use super::finding::{Code, Finding};
use super::walk::chain;

/// How often something is looked at again that a commit may have changed meanwhile.
const LOOK_COUNT: usize = 8;

/// The documents of every epoch that is kept, ascending, ROOT's among them, and what is wrong with them.
/// The file of an epoch later than a good ROOT is of a commit that is under way or was cut short, and no
/// part of this.
pub(super) fn roots(store: &Store) -> Result<(Vec<Root>, Vec<Finding>), StoreError> {
    let pool = store.pool();
    let Pool { disk, layout } = pool;
    let (mut roots, mut findings) = (BTreeMap::new(), Vec::new());
    // Before the epochs: a commit writes them in the other order. Where ROOT is lost, all that was committed
    // is told by the epochs.
    let newest = store.newest().ok().filter(|newest| newest.recovery.is_none());
    for (path, _) in list_epochs(pool)? {
        let read = disk.read(&path, ROOT_BYTES_MAX);
        if read.as_ref().is_err_and(DiskError::is_not_found) {
            // gc has forgotten it meanwhile, and those before it, since it begins with the oldest.
            roots.clear();
            findings.clear();
            continue;
        }
        let parsed = read.map_err(|error| chain(&error));
        let parsed = parsed.and_then(|bytes| Root::parse(&bytes).map_err(|error| chain(&error)));
        let named = |root: &Root| layout.epoch(root.epoch) == path;
        match parsed {
            Ok(root) if named(&root) => drop(roots.insert(root.epoch, root)),
            Ok(root) => {
                let seen = format!("it holds epoch {}", root.epoch);
                findings.push(Finding::new(Code::EpochChainBroken, seen).at(path));
            }
            Err(seen) => findings.push(Finding::new(Code::EpochChainBroken, seen).at(path)),
        }
    }
    if let Some(Newest { root, .. }) = newest {
        roots.retain(|epoch, _| *epoch < root.epoch);
        findings.extend(own_record(pool, &root));
        roots.insert(root.epoch, root);
    }
    findings.extend(root_file(store));
    for path in history::set_aside(disk, layout)? {
        let seen = "an epoch that could not be read when ROOT was recovered";
        findings.push(Finding::new(Code::EpochChainBroken, seen).at(path));
    }
    let roots: Vec<_> = roots.into_values().collect();
    findings.extend(roots.windows(2).filter_map(|pair| broken_link(pool, pair)));
    Ok((roots, findings))
}

/// Whether what ROOT is recovered from is there, byte for byte. One that cannot be read at all is told with
/// the other epochs.
fn own_record(pool: &Pool, root: &Root) -> Option<Finding> {
    let Pool { disk, layout } = pool;
    let path = layout.epoch(root.epoch);
    let seen = match disk.read(&path, ROOT_BYTES_MAX) {
        Ok(bytes) if bytes == root.to_bytes() => return None,
        Ok(bytes) if Root::parse(&bytes).is_ok_and(|found| found.epoch == root.epoch) => {
            "it is not what ROOT is"
        }
        Err(error) if error.is_not_found() => "the record of the newest epoch is missing",
        _ => return None,
    };
    // gc may have forgotten it if there is a newer one by now.
    let is_newest = store::read_root(disk, layout).is_ok_and(|now| now == *root);
    is_newest.then(|| Finding::new(Code::EpochChainBroken, seen).at(path))
}

/// Whether ROOT leads to a catalog.
fn root_file(store: &Store) -> Option<Finding> {
    let seen = match store.snapshot() {
        Ok(_) => store.recovery()?,
        Err(error) => chain(&error),
    };
    Some(Finding::new(Code::RootDamaged, seen).at(store.pool().layout.root()))
}

fn list_epochs(pool: &Pool) -> Result<Vec<(PathBuf, FileKind)>, StoreError> {
    match pool.disk.list(&pool.layout.epochs()) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        result => Ok(result?),
    }
}

/// Two epochs that do not follow one from the other.
fn broken_link(pool: &Pool, pair: &[Root]) -> Option<Finding> {
    let [before, after] = pair else { return None };
    let path = pool.layout.epoch(after.epoch);
    let seen = if before.epoch.checked_add(1) != Some(after.epoch) {
        format!("epoch {} follows epoch {}", after.epoch, before.epoch)
    } else if after.parent != Some(Digest::sha256_of(&before.to_bytes())) {
        format!("epoch {} does not name epoch {} as its parent", after.epoch, before.epoch)
    } else {
        return None;
    };
    Some(Finding::new(Code::EpochChainBroken, seen).at(path))
}

/// What is wrong with the other files.
pub(super) fn findings(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let pool = store.pool();
    let mut findings = Vec::new();
    findings.extend(layout_file(pool)?);
    findings.extend(index_file(store));
    findings.extend(facts(store));
    for path in stray(store)? {
        findings.push(Finding::new(Code::StrayStaging, "nobody is at work there").at(path));
    }
    Ok(findings)
}

/// What lies in the staging directory and is nobody's. A file there belongs to whoever holds the writer's
/// lock, and is gone when that is let go: so what is there after the lock was seen free is of the dead. Where
/// the lock cannot be looked at, it may be of the living.
fn stray(store: &Store) -> Result<Vec<PathBuf>, StoreError> {
    let mut stray = lease::stray(store.pool())?;
    let is_file = |(_, kind): &(PathBuf, FileKind)| *kind != FileKind::Directory;
    if stray.iter().any(is_file) && is_at_work(store) != Some(false) {
        stray.retain(|left| !is_file(left));
    }
    let disk = &store.pool().disk;
    stray.retain(|(path, _)| !disk.read_kind(path).is_err_and(|error| error.is_not_found()));
    Ok(stray.into_iter().map(|(path, _)| path).collect())
}

/// Other OCI tools that write into the store write this file anew, each with its own spaces: what counts is
/// what it says.
fn layout_file(pool: &Pool) -> Result<Option<Finding>, StoreError> {
    let path = pool.layout.oci_layout();
    let seen = match pool.disk.read(&path, ROOT_BYTES_MAX) {
        Ok(bytes) if says_the_same(&bytes, OCI_LAYOUT) => return Ok(None),
        Ok(_) => "it has another content".to_owned(),
        Err(error) => chain(&error),
    };
    Ok(Some(Finding::new(Code::LayoutFile, seen).at(path)))
}

fn says_the_same(found: &[u8], written: &[u8]) -> bool {
    // What is no JSON says nothing.
    let read = |bytes| json::parse::<serde_json::Value>(bytes, ROOT_BYTES_MAX).ok();
    found == written || read(found).is_some_and(|found| read(written) == Some(found))
}

/// Where the catalog cannot be read, that has its own finding. What is missing or behind may be so because
/// a commit is under way: it is told only if there was none from before the look to after it.
fn index_file(store: &Store) -> Option<Finding> {
    let path = store.pool().layout.index();
    let mut seen = None;
    for _ in 0..LOOK_COUNT {
        let before = epoch(store);
        let of_a_commit = match store.index_state() {
            Ok(IndexState::Current | IndexState::Off) => return None,
            Ok(IndexState::Missing) => "it is missing",
            Ok(IndexState::Behind) => "it is of another epoch",
            Ok(IndexState::Unwanted) => "the store is kept without it",
            Ok(IndexState::TooLong) => "the store has more names than it can list",
            Ok(IndexState::Foreign) => {
                seen = Some("another tool has changed it".to_owned());
                break;
            }
            Err(StoreError::Disk(error)) => {
                seen = Some(chain(&error));
                break;
            }
            Err(_damaged) => return None,
        };
        if is_at_work(store) == Some(true) {
            return None; // whoever writes puts it right
        }
        if before == epoch(store) && seen.as_deref() == Some(of_a_commit) {
            break; // twice the same, and nobody at work between
        }
        seen = Some(of_a_commit.to_owned());
    }
    Some(Finding::new(Code::IndexOutOfStep, seen?).at(path))
}

fn epoch(store: &Store) -> Option<u64> {
    let Pool { disk, layout } = store.pool();
    Some(store::read_root(disk, layout).ok()?.epoch) // what is wrong with ROOT has its own finding
}

/// Whether somebody holds the writer's lock; nothing if that cannot be told. If nobody does, it is free again
/// at once. Where there is no such file, as in a copy of a store, nobody can hold it.
fn is_at_work(store: &Store) -> Option<bool> {
    let Pool { disk, layout } = store.pool();
    match disk.open(&layout.lock()).and_then(|lock| lock.try_lock()) {
        Ok(attempt) => Some(attempt == LockAttempt::HeldByAnother),
        Err(error) => error.is_not_found().then_some(false),
    }
}

/// A fact about a blob that is not held is not wrong: content and its digests stay what they are.
fn facts(store: &Store) -> Option<Finding> {
    let notice = store.facts().notice();
    notice.map(|seen| Finding::new(Code::FactsOutOfStep, seen))
}
