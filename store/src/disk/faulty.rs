//! A disk that fails or dies at a chosen call on the way to another disk, for tests.
//!
//! What is several calls to the operating system is several calls here as well: a tree is removed name
//! by name. A write that fails has written half of its bytes; a sync that fails has lost what it was to
//! make durable, as it is with the kernel's page cache.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::memory::{InLine, MemoryFile};
use super::system::{
    Cloned, EachEntry, FileKind, FileSystem, Flusher, Inspected, Links, LockAttempt, OpenFile,
    Opening,
};
use super::{Action, Disk};

/// How the calls fail from the chosen one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The program is gone: no later call happens, clean-up included. Changing calls are counted.
    Crash,
    /// One changing call finds the disk full; the program lives on.
    NoSpaceOnce,
    /// One call of any kind finds the disk broken; the program lives on.
    IoOnce,
}

type Refuse = dyn Fn(Action, &Path) -> Option<Errno> + Send + Sync;

type Watch = dyn Fn(Action, &Path) + Send + Sync;

/// The disk; clones share the count of calls.
#[derive(Clone)]
struct Faulty {
    inner: Arc<dyn FileSystem>,
    reached: Arc<AtomicU64>,
    at: u64,
    how: Failure,
    /// Called before every call, to look on or to do what another process might.
    watch: Option<Arc<Watch>>,
    /// Which calls fail every time, whatever else does.
    refuse: Option<Arc<Refuse>>,
}

impl Disk {
    /// This disk, but its `at`-th call fails, counted from 1.
    pub(crate) fn failing(&self, at: u64, how: Failure) -> Self {
        let (inner, reached) = (self.system.clone(), Arc::default());
        Self { system: Arc::new(Faulty { inner, reached, at, how, watch: None, refuse: None }) }
    }

    /// This disk, but `watch` is called before every call.
    pub(crate) fn with_watcher(
        &self,
        watch: impl Fn(Action, &Path) + Send + Sync + 'static,
    ) -> Self {
        let (inner, reached, how) = (self.system.clone(), Arc::default(), Failure::Crash);
        let watch: Option<Arc<Watch>> = Some(Arc::new(watch));
        Self { system: Arc::new(Faulty { inner, reached, at: u64::MAX, how, watch, refuse: None }) }
    }

    /// This disk, but every call fails for which `refuse` gives an error.
    pub(crate) fn refusing(
        &self,
        refuse: impl Fn(Action, &Path) -> Option<Errno> + Send + Sync + 'static,
    ) -> Self {
        let (inner, reached, how) = (self.system.clone(), Arc::default(), Failure::Crash);
        let refuse: Option<Arc<Refuse>> = Some(Arc::new(refuse));
        let at = u64::MAX;
        Self { system: Arc::new(Faulty { inner, reached, at, how, watch: None, refuse }) }
    }

    /// The file system of the operating system with a watcher.
    pub(crate) fn watched(watch: impl Fn(Action, &Path) + Send + Sync + 'static) -> Self {
        Self::default().with_watcher(watch)
    }

    /// How many calls a failing disk has counted.
    pub(crate) fn calls(&self) -> u64 {
        let faulty = (&*self.system as &dyn Any).downcast_ref::<Faulty>();
        faulty.map_or(0, |faulty| faulty.reached.load(Ordering::SeqCst))
    }
}

fn changes(action: Action) -> bool {
    !matches!(
        action,
        Action::Inspect | Action::Resolve | Action::Open | Action::Read | Action::List
    )
}

impl Faulty {
    /// Comes before every call.
    fn reach(&self, action: Action, path: &Path) -> io::Result<()> {
        if let Some(watch) = &self.watch {
            watch(action, path);
        }
        if let Some(errno) = self.refuse.as_ref().and_then(|refuse| refuse(action, path)) {
            return Err(errno.into());
        }
        let is_counted = self.how == Failure::IoOnce || changes(action);
        let count = if is_counted { self.reached.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        match self.how {
            Failure::Crash if self.reached.load(Ordering::SeqCst) >= self.at => {
                Err(io::Error::other("crashed here"))
            }
            Failure::NoSpaceOnce if count == self.at => Err(Errno::NOSPC.into()),
            Failure::IoOnce if count == self.at => Err(Errno::IO.into()),
            _ => Ok(()),
        }
    }

    /// Whether the call that failed just now is the first one: it may have happened in part.
    fn is_first(&self) -> bool {
        self.reached.load(Ordering::SeqCst) == self.at
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("at", &self.at).field("how", &self.how).finish()
    }
}

impl FileSystem for Faulty {
    fn inspect(&self, path: &Path, links: Links) -> io::Result<Inspected> {
        self.reach(Action::Inspect, path)?;
        self.inner.inspect(path, links)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.reach(Action::Resolve, path)?;
        self.inner.resolve(path)
    }

    fn list(&self, directory: &Path, each: &mut EachEntry<'_>) -> io::Result<()> {
        self.reach(Action::List, directory)?;
        self.inner.list(directory, each)
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn OpenFile>> {
        let action = match opening {
            Opening::Existing | Opening::ExistingWithoutLinks | Opening::Directory => Action::Open,
            Opening::New { .. } | Opening::ExistingOrNew => Action::Create,
        };
        self.reach(action, path)?;
        let inner = self.inner.open(path, opening)?;
        Ok(Box::new(FaultyFile { faulty: self.clone(), inner, path: path.to_owned() }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let is_there = |path: &Path| self.inner.inspect(path, Links::Followed).is_ok();
        let named = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        let missing: Vec<_> = named.skip(1).take_while(|path| !is_there(path)).collect();
        for path in missing.into_iter().rev().chain([path]) {
            self.reach(Action::CreateDirectory, path)?;
            self.inner.create_directory(path)?;
        }
        Ok(())
    }

    fn create_new_directory(&self, path: &Path) -> io::Result<()> {
        self.reach(Action::CreateDirectory, path)?;
        self.inner.create_new_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.reach(Action::Rename, to)?;
        self.inner.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.reach(Action::Link, to)?;
        self.inner.link(from, to)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.reach(Action::SetMode, path)?;
        self.inner.set_mode(path, mode)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.reach(Action::Remove, path)?;
        self.inner.remove(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.reach(Action::RemoveDirectory, path)?;
        self.inner.remove_directory(path)
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        self.list(path, &mut |entry, kind| entries.push((entry, kind)))?;
        for (entry, kind) in entries {
            match kind {
                FileKind::Directory => self.remove_tree(&entry)?,
                _ => self.remove(&entry)?,
            }
        }
        self.remove_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.reach(Action::SyncDirectory, path)?;
        self.inner.sync_directory(path)
    }

    fn is_real(&self) -> bool {
        self.inner.is_real()
    }
}

/// An open file with the path that it was opened at.
#[derive(Debug)]
struct FaultyFile {
    faulty: Faulty,
    inner: Box<dyn OpenFile>,
    path: PathBuf,
}

impl FaultyFile {
    fn reach(&self, action: Action) -> io::Result<()> {
        self.faulty.reach(action, &self.path)
    }

    fn write_half_if_it_fails(
        &self,
        bytes: &[u8],
        write: impl Fn(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let reached = self.reach(Action::Write);
        if reached.is_ok() {
            return write(bytes);
        }
        if self.faulty.is_first() {
            write(&bytes[..bytes.len() / 2])?;
        }
        reached
    }

    /// What a failed sync has lost is a matter of the disk in memory alone.
    fn lose_if_it_fails(&self, action: Action, lose: impl Fn(&MemoryFile)) -> io::Result<()> {
        let reached = self.reach(action);
        let inner = (&*self.inner as &dyn Any).downcast_ref::<MemoryFile>();
        // After a crash, what was not synced is lost in any case.
        if let (Err(_), Failure::NoSpaceOnce | Failure::IoOnce, Some(inner)) =
            (&reached, self.faulty.how, inner)
        {
            lose(inner);
        }
        reached
    }
}

impl OpenFile for FaultyFile {
    fn inspect(&self) -> io::Result<Inspected> {
        self.reach(Action::Inspect)?;
        self.inner.inspect()
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reach(Action::Read)?;
        self.inner.read(buffer)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.reach(Action::Read)?;
        self.inner.read_at(offset, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_half_if_it_fails(bytes, |bytes| self.inner.write(bytes))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_half_if_it_fails(bytes, |bytes| self.inner.write_at(offset, bytes))
    }

    fn clone_from(&self, from: &dyn OpenFile) -> io::Result<Cloned> {
        self.reach(Action::Clone)?;
        match (from as &dyn Any).downcast_ref::<Self>() {
            Some(from) => self.inner.clone_from(&*from.inner),
            None => Ok(Cloned::Unsupported),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.reach(Action::Truncate)?;
        self.inner.truncate(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.lose_if_it_fails(Action::Sync, MemoryFile::lose_writes)?;
        self.inner.sync()
    }

    fn flusher(&self) -> io::Result<Box<dyn Flusher + '_>> {
        self.reach(Action::Sync)?;
        Ok(Box::new(InLine::new(self)))
    }

    fn sync_filesystem(&self) -> io::Result<()> {
        self.lose_if_it_fails(Action::SyncFileSystem, MemoryFile::lose_all_writes)?;
        self.inner.sync_filesystem()
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        self.reach(Action::Lock)?;
        self.inner.try_lock()
    }
}
