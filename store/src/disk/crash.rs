//! A disk that dies at the n-th changing call: that call and all later ones fail. It knows what was
//! never synced, and [`Disk::lose_power`] takes that away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Action, Disk};

#[derive(Clone, Debug)]
pub(crate) struct CrashPoint {
    reached: Arc<AtomicU64>,
    at: u64,
    how: Failure,
    volatile: Arc<Mutex<Volatile>>,
    watcher: Option<Watcher>,
}

/// How the calls fail from that point on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The program is gone: no later call happens, clean-up included.
    Crash,
    /// One call finds the disk full; the program lives on.
    NoSpaceOnce,
}

type Watch = dyn Fn(Action, &Path) + Send + Sync;

/// Called before every call on the disk, to look on or to do what another process might.
#[derive(Clone)]
struct Watcher(Arc<Watch>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// What a power loss takes away.
#[derive(Debug, Default)]
struct Volatile {
    /// Files whose newest bytes were not synced.
    contents: BTreeSet<PathBuf>,
    /// Names that were not synced, with the bytes that each had before, if there was any file.
    names: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl Volatile {
    /// Marks are made before the call and taken away before the sync: what is written while a sync
    /// runs counts as unsynced.
    fn record(&mut self, action: Action, path: &Path) {
        match action {
            Action::Create | Action::CreateDirectory | Action::Link => {
                for missing in path.ancestors().take_while(|path| !path.exists()) {
                    self.names.entry(missing.to_owned()).or_insert(None);
                }
            }
            Action::Write | Action::Truncate | Action::Clone => {
                self.contents.insert(path.to_owned());
            }
            Action::Sync => {
                self.contents.remove(path);
            }
            Action::SyncDirectory => self.names.retain(|name, _| name.parent() != Some(path)),
            Action::SyncFileSystem => *self = Self::default(),
            Action::Remove => {
                self.contents.remove(path);
            }
            _ => {}
        }
    }

    fn record_rename(&mut self, from: &Path, to: &Path) {
        self.names.entry(to.to_owned()).or_insert_with(|| fs::read(to).ok());
        self.names.remove(from);
        self.contents.remove(to);
        if self.contents.remove(from) {
            self.contents.insert(to.to_owned());
        }
    }
}

impl CrashPoint {
    pub(super) fn reach(&self, action: Action, path: &Path) -> io::Result<()> {
        if let Some(Watcher(watch)) = &self.watcher {
            watch(action, path);
        }
        let changes = !matches!(
            action,
            Action::Inspect | Action::Resolve | Action::Open | Action::Read | Action::List
        );
        let count = if changes { self.reached.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        match self.how {
            Failure::Crash if self.reached.load(Ordering::SeqCst) >= self.at => {
                Err(io::Error::other("crashed here"))
            }
            Failure::NoSpaceOnce if count == self.at => Err(io::ErrorKind::StorageFull.into()),
            _ => {
                self.volatile.lock().unwrap().record(action, path);
                Ok(())
            }
        }
    }

    pub(super) fn renaming(&self, from: &Path, to: &Path) {
        self.volatile.lock().unwrap().record_rename(from, to);
    }
}

impl Disk {
    /// A disk whose `at`-th changing call fails, counted from 1.
    pub(crate) fn failing(at: u64, how: Failure) -> Self {
        let (reached, volatile) = Default::default();
        Self { crash: Some(CrashPoint { reached, at, how, volatile, watcher: None }) }
    }

    /// A disk on which `watch` is called before every call.
    pub(crate) fn watched(watch: impl Fn(Action, &Path) + Send + Sync + 'static) -> Self {
        Self::failing(u64::MAX, Failure::Crash).with_watcher(watch)
    }

    pub(crate) fn with_watcher(
        mut self,
        watch: impl Fn(Action, &Path) + Send + Sync + 'static,
    ) -> Self {
        if let Some(crash) = &mut self.crash {
            crash.watcher = Some(Watcher(Arc::new(watch)));
        }
        self
    }

    /// The same disk for the next process: nothing fails, and what was not synced still is not.
    pub(crate) fn restarted(&self) -> Self {
        let mut next = self.clone();
        if let Some(crash) = &mut next.crash {
            crash.at = u64::MAX;
        }
        next
    }

    /// Takes away every byte and every name that was not synced.
    pub(crate) fn lose_power(&self) {
        let crash = self.crash.as_ref().unwrap();
        let Volatile { contents, names } = std::mem::take(&mut *crash.volatile.lock().unwrap());
        for path in contents.iter().filter(|path| path.is_file()) {
            fs::remove_file(path).unwrap();
            fs::write(path, b"").unwrap();
        }
        for (path, before) in names {
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else if path.exists() {
                fs::remove_file(&path).unwrap();
            }
            if let Some(bytes) = before {
                fs::write(&path, bytes).unwrap();
            }
        }
    }

    /// How many changing calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.crash.as_ref().map_or(0, |point| point.reached.load(Ordering::SeqCst))
    }
}
