//! The only place that touches the file system, but for the engine of the facts database, which opens
//! its own file: every call has a name, and every error the path.
//!
//! What is to survive power loss is written in this order, and each step is one named call:
//!
//! ```text
//! create          a temporary file on the same file system
//! write_all       the bytes
//! sync            fsync of the file, or sync_filesystem once for many files
//! rename          to the final name
//! sync_directory  the name itself
//! ```
//!
//! A file is opened for reading only after its type is known, and without blocking, so that a FIFO
//! can hold nobody up. This module knows no store, no digests and no formats.
//!
//! Behind the named calls is a seam, `system`, with three implementations: the operating system
//! (`real`), and for tests one in memory that knows what was synced (`memory`), and one that fails or
//! dies at a chosen call on the way to another (`faulty`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
mod conformance;
mod error;
mod exclusive;
#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
pub(crate) mod memory;
mod plain;
mod real;
mod system;

pub use error::{Action, DiskError, DiskFault};
pub use exclusive::Exclusive;
pub use plain::{
    HashedFile, create_dir_all, create_private_dir_all, hash_file, kind_of, read_dir, read_file,
    read_private_file, remove_tree, replace_private_file, write_file_new, write_private_file_new,
};
pub use system::FileKind;
pub(crate) use system::{Cloned, FileState, LockAttempt};

use rustix::io::Errno;
use system::{FileSystem, Flusher, Inspected, Links, OpenFile, Opening};

/// What the file system tells about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) kind: FileKind,
    pub(crate) bytes: u64,
    /// The permission bits alone.
    pub(crate) mode: u32,
    /// The number of the user whom it belongs to.
    pub(crate) owner: u32,
    pub(crate) modified_unix_seconds: i64,
    /// When anything about the file last changed, names and permissions included. Copies that keep the
    /// time of modification have one of their own.
    pub(crate) changed_unix_seconds: i64,
    /// How many names the file has.
    pub(crate) link_count: u64,
}

/// The directory that a path's name stands in, so that it can be synced.
pub(crate) fn containing(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_nothing_written) => Path::new("."),
        None => path,
    }
}

/// The named calls. Everything in this crate that touches the disk is handed one of these. The default
/// is the file system of the operating system.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    system: Arc<dyn FileSystem>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { system: Arc::new(real::Real) }
    }
}

/// An open file that knows its path.
#[derive(Debug)]
pub(crate) struct Handle {
    file: Box<dyn OpenFile>,
    path: PathBuf,
}

fn failed(action: Action, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError::Io { action, path: path.to_owned(), source }
}

impl Disk {
    /// Whether a library that opens files by itself finds them at this disk's paths.
    #[cfg(test)]
    pub(crate) fn is_real(&self) -> bool {
        self.system.is_real()
    }

    fn inspect(&self, path: &Path, links: Links) -> Result<Inspected, DiskError> {
        self.system.inspect(path, links).map_err(failed(Action::Inspect, path))
    }

    fn open_for(&self, action: Action, path: &Path, opening: Opening) -> Result<Handle, DiskError> {
        let file = self.system.open(path, opening).map_err(failed(action, path))?;
        Ok(Handle { file, path: path.to_owned() })
    }

    /// What stands at a path, links not followed.
    pub(crate) fn read_kind(&self, path: &Path) -> Result<FileKind, DiskError> {
        Ok(self.inspect(path, Links::NotFollowed)?.kind)
    }

    /// What stands at a path, links followed.
    pub(crate) fn read_kind_behind_links(&self, path: &Path) -> Result<FileKind, DiskError> {
        Ok(self.inspect(path, Links::Followed)?.kind)
    }

    /// The state of the file at a path, links not followed.
    pub(crate) fn read_state(&self, path: &Path) -> Result<FileState, DiskError> {
        Ok(self.inspect(path, Links::NotFollowed)?.state)
    }

    /// Whether an open file still has the name that it was opened at.
    pub(crate) fn is_named(&self, handle: &Handle) -> Result<bool, DiskError> {
        match self.read_state(handle.path()) {
            Ok(named) => Ok(named.is_same_file(&handle.read_state()?)),
            Err(error) if error.fault() == DiskFault::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the file system tells about a path, links not followed.
    pub(crate) fn read_attributes(&self, path: &Path) -> Result<Attributes, DiskError> {
        let found = self.inspect(path, Links::NotFollowed)?;
        Ok(Attributes {
            kind: found.kind,
            bytes: found.state.bytes,
            mode: found.mode,
            owner: found.owner,
            modified_unix_seconds: found.state.modified.0,
            changed_unix_seconds: found.changed_unix_seconds,
            link_count: found.link_count,
        })
    }

    /// The path behind all symbolic links; a loop of links is an error.
    pub(crate) fn resolve(&self, path: &Path) -> Result<PathBuf, DiskError> {
        self.system.resolve(path).map_err(failed(Action::Resolve, path))
    }

    /// The entries of a directory with their types, ordered by name.
    pub(crate) fn list(&self, path: &Path) -> Result<Vec<(PathBuf, FileKind)>, DiskError> {
        let mut entries = Vec::new();
        self.list_each(path, |entry, kind| entries.push((entry, kind)))?;
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    /// Tells the entries of a directory with their types, one by one and in no order, where there may be
    /// more of them than one wants in memory. What is told may not call the disk.
    pub(crate) fn list_each(
        &self,
        path: &Path,
        mut each: impl FnMut(PathBuf, FileKind),
    ) -> Result<(), DiskError> {
        self.system.list(path, &mut each).map_err(failed(Action::List, path))
    }

    /// Opens a regular file for reading. The type is looked at before opening, since opening a FIFO
    /// or a device can have effects, and again afterwards, since the path may have changed hands.
    pub(crate) fn open(&self, path: &Path) -> Result<Handle, DiskError> {
        let check = |found: Inspected| match found.kind {
            FileKind::File => Ok(()),
            found => Err(DiskError::NotAFile { path: path.to_owned(), found }),
        };
        check(self.inspect(path, Links::Followed)?)?;
        let handle = self.open_for(Action::Open, path, Opening::Existing)?;
        check(handle.inspect()?)?;
        Ok(handle)
    }

    /// Opens a regular file for reading like [`Disk::open`], unless a symbolic link stands on its path:
    /// that one is told as what was found.
    pub(crate) fn open_without_links(&self, path: &Path) -> Result<Handle, DiskError> {
        let check = |found: FileKind| match found {
            FileKind::File => Ok(()),
            found => Err(DiskError::NotAFile { path: path.to_owned(), found }),
        };
        check(self.inspect(path, Links::NotFollowed)?.kind)?;
        let handle = match self.open_for(Action::Open, path, Opening::ExistingWithoutLinks) {
            Err(DiskError::Io { source, .. })
                if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) =>
            {
                return Err(DiskError::NotAFile {
                    path: path.to_owned(),
                    found: FileKind::Symlink,
                });
            }
            result => result?,
        };
        check(handle.inspect()?.kind)?;
        Ok(handle)
    }

    /// All bytes of a regular file of at most `limit` bytes.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
        self.open(path)?.read_to_end(limit)
    }

    /// Creates a file that must not exist, with these permissions (less the umask).
    pub(crate) fn create(&self, path: &Path, mode: u32) -> Result<Handle, DiskError> {
        self.open_for(Action::Create, path, Opening::New { mode })
    }

    /// Opens a file for reading and writing, and creates it if need be; content stays.
    pub(crate) fn open_or_create(&self, path: &Path) -> Result<Handle, DiskError> {
        self.open_for(Action::Create, path, Opening::ExistingOrNew)
    }

    /// Creates a directory and those above it; existing ones are fine.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<(), DiskError> {
        self.system.create_directory(path).map_err(failed(Action::CreateDirectory, path))
    }

    /// Creates a directory and those above it, durably and for their owner alone; existing ones are left as
    /// they are.
    pub(crate) fn create_private_directory(&self, path: &Path) -> Result<(), DiskError> {
        let named = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        let missing: Vec<_> =
            named.take_while(|path| self.read_kind_behind_links(path).is_err()).collect();
        for path in missing.into_iter().rev() {
            match self.create_new_directory(path) {
                Err(error) if error.fault() == DiskFault::Exists => {}
                made => made.and_then(|()| self.set_mode(path, 0o700))?,
            }
            self.sync_directory(containing(path))?;
        }
        Ok(())
    }

    /// Creates one directory, which must not exist.
    pub(crate) fn create_new_directory(&self, path: &Path) -> Result<(), DiskError> {
        self.system.create_new_directory(path).map_err(failed(Action::CreateDirectory, path))
    }

    /// Gives a file another name, in place of whatever had it.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.system.rename(from, to).map_err(failed(Action::Rename, to))
    }

    /// Gives a file a second name, which must not exist.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.system.link(from, to).map_err(failed(Action::Link, to))
    }

    /// Makes a file share the blocks of another one in place of its own content, as a copy that costs
    /// nothing until one of them is written.
    pub(crate) fn clone_file(&self, from: &Handle, to: &Handle) -> Result<Cloned, DiskError> {
        to.file.clone_from(&*from.file).map_err(failed(Action::Clone, &to.path))
    }

    /// Sets the permissions of a file or directory, whatever the umask.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> Result<(), DiskError> {
        self.system.set_mode(path, mode).map_err(failed(Action::SetMode, path))
    }

    /// Removes a file; one that is already gone is success.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), DiskError> {
        match self.system.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(failed(Action::Remove, path)),
        }
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&self, path: &Path) -> Result<(), DiskError> {
        self.system.remove_directory(path).map_err(failed(Action::RemoveDirectory, path))
    }

    /// Removes a directory with everything in it; links in it are removed, not followed.
    pub(crate) fn remove_tree(&self, path: &Path) -> Result<(), DiskError> {
        self.system.remove_tree(path).map_err(failed(Action::Remove, path))
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<(), DiskError> {
        self.system.sync_directory(path).map_err(failed(Action::SyncDirectory, path))
    }

    /// Opens a directory so that a later [`Disk::sync_filesystem`] reports every failed writeback
    /// since now.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<Handle, DiskError> {
        self.open_for(Action::Open, path, Opening::Directory)
    }

    /// Makes everything on the file system of an open directory durable.
    pub(crate) fn sync_filesystem(&self, directory: &Handle) -> Result<(), DiskError> {
        directory.file.sync_filesystem().map_err(failed(Action::SyncFileSystem, &directory.path))
    }
}

impl Handle {
    /// Where the file was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same open file after a rename.
    pub(crate) fn renamed(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    fn inspect(&self) -> Result<Inspected, DiskError> {
        self.file.inspect().map_err(failed(Action::Inspect, &self.path))
    }

    /// Size and time of change, as of now.
    pub(crate) fn read_state(&self) -> Result<FileState, DiskError> {
        Ok(self.inspect()?.state)
    }

    /// Reads on; 0 is the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read(buffer).map_err(failed(Action::Read, &self.path))
    }

    /// All bytes from here on, of which there may be at most `limit`; a longer file is not read.
    pub(crate) fn read_to_end(&mut self, limit: u64) -> Result<Vec<u8>, DiskError> {
        let over_limit = |bytes| DiskError::OverLimit { path: self.path.clone(), bytes, limit };
        let bytes = self.read_state()?.bytes;
        if bytes > limit {
            return Err(over_limit(bytes));
        }
        let mut out = Vec::new();
        let mut bounded = io::Read::take(Reading(&*self.file), limit.saturating_add(1));
        // One byte more than there should be, so that the end is seen without growing.
        out.reserve_exact(usize::try_from(bytes).unwrap_or(0).saturating_add(1));
        let read = io::Read::read_to_end(&mut bounded, &mut out);
        read.map_err(failed(Action::Read, &self.path))?;
        match u64::try_from(out.len()) {
            Ok(read) if read <= limit => Ok(out),
            _ => Err(over_limit(limit.saturating_add(1))), // it grew while it was read
        }
    }

    /// Reads from a position, until the buffer is full or the file ends.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(offset, buffer).map_err(failed(Action::Read, &self.path))
    }

    /// Writes on.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write(bytes).map_err(failed(Action::Write, &self.path))
    }

    /// Writes from the start and cuts what was there.
    pub(crate) fn overwrite(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.truncate(0)?;
        self.write_at(0, bytes)
    }

    /// Writes from a position.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_at(offset, bytes).map_err(failed(Action::Write, &self.path))
    }

    /// Cuts or extends the file to this length.
    pub(crate) fn truncate(&self, bytes: u64) -> Result<(), DiskError> {
        self.file.truncate(bytes).map_err(failed(Action::Truncate, &self.path))
    }

    /// Makes content and length durable.
    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        self.file.sync().map_err(failed(Action::Sync, &self.path))
    }

    /// Makes what is written from now on durable whenever it is asked to, while more is written.
    pub(crate) fn flushing(&self) -> Result<Flushing<'_>, DiskError> {
        let flusher = self.file.flusher().map_err(failed(Action::Sync, &self.path))?;
        Ok(Flushing { flusher, path: &self.path })
    }

    /// Tries to take the file's exclusive lock, which the kernel drops with the last handle.
    pub(crate) fn try_lock(&self) -> Result<LockAttempt, DiskError> {
        self.file.try_lock().map_err(failed(Action::Lock, &self.path))
    }
}

/// What is written of a file becomes durable while more of it is written.
#[derive(Debug)]
pub(crate) struct Flushing<'a> {
    flusher: Box<dyn Flusher + 'a>,
    path: &'a Path,
}

impl Flushing<'_> {
    /// Begins to make durable what was written so far, and waits for nothing. It says whether it did: while
    /// that is still under way, or after it has failed, nothing is begun.
    pub(crate) fn begin(&mut self) -> bool {
        self.flusher.begin()
    }

    /// Waits for what was begun. The kernel tells an error once: if it does so here, a later
    /// [`Handle::sync`] need not repeat it.
    pub(crate) fn finish(self) -> Result<(), DiskError> {
        self.flusher.finish().map_err(failed(Action::Sync, self.path))
    }
}

/// An open file as the standard library reads one.
struct Reading<'a>(&'a dyn OpenFile);

impl io::Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
