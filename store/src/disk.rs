//! The only place that touches the file system, but for the engine of the facts database, which opens
//! its own file: every call has a name, and every error the path.
//!
//! What is to survive power loss is written in this order, and each step is one named call:
//!
//! ```text
//! create_staged   a temporary file on the same file system
//! write_all       the bytes
//! sync            fsync of the file, or sync_filesystem once for many files
//! rename          to the final name
//! sync_directory  the name itself
//! ```
//!
//! A file is opened for reading only after its type is known, and without blocking, so that a FIFO
//! can hold nobody up. This module knows no store, no digests and no formats.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the module that the ban on raw file calls points to"
)]
#![allow(dead_code, reason = "the calls that a file system has stand together, used or not")]

use std::fmt;
use std::fs::{self, File, FileType, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

#[cfg(test)]
pub(crate) mod crash;
mod plain;

pub use plain::{
    HashedFile, create_dir_all, hash_file, kind_of, read_dir, read_file, remove_tree,
    write_file_new, write_private_file_new,
};

/// What was attempted on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Ask for type and size.
    Inspect,
    /// Follow symbolic links to the end.
    Resolve,
    /// Open for reading.
    Open,
    /// Read bytes.
    Read,
    /// List a directory.
    List,
    /// Create a file.
    Create,
    /// Create a directory.
    CreateDirectory,
    /// Write bytes.
    Write,
    /// Make a file durable.
    Sync,
    /// Make the names in a directory durable.
    SyncDirectory,
    /// Make everything on a file system durable.
    SyncFileSystem,
    /// Give a file its final name.
    Rename,
    /// Give a file a second name.
    Link,
    /// Share the blocks of another file.
    Clone,
    /// Change the permissions.
    SetMode,
    /// Remove a name.
    Remove,
    /// Remove an empty directory.
    RemoveDirectory,
    /// Cut a file.
    Truncate,
    /// Take a file lock.
    Lock,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inspect => "inspect",
            Self::Resolve => "resolve",
            Self::Open => "open",
            Self::Read => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::CreateDirectory => "create directory",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::SyncDirectory => "sync directory",
            Self::SyncFileSystem => "sync the file system of",
            Self::Rename => "rename to",
            Self::Link => "link to",
            Self::Clone => "clone another file into",
            Self::SetMode => "set the permissions of",
            Self::Remove => "remove",
            Self::RemoveDirectory => "remove directory",
            Self::Truncate => "truncate",
            Self::Lock => "lock",
        })
    }
}

/// A call on the file system that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: Action,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file is longer than its reader allows; nothing of it was read.
    #[error("{} has {bytes} bytes, the limit is {limit}", path.display())]
    OverLimit {
        /// Which file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Something else stands where a regular file was expected; it was not opened.
    #[error("{} is a {found}, expected a regular file", path.display())]
    NotAFile {
        /// Which path.
        path: PathBuf,
        /// What stands there.
        found: FileKind,
    },
}

/// What a failed call means to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFault {
    /// The disk or the quota is full.
    NoSpace,
    /// A file would pass the limit that the system or the user has set on file sizes.
    FileTooLarge,
    /// A file is longer than its reader takes; nothing is wrong with the disk.
    OverReaderLimit,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The user may not do this.
    PermissionDenied,
    /// There is no such path.
    NotFound,
    /// There is something at that path already.
    Exists,
    /// A directory is not empty.
    NotEmpty,
    /// Anything else.
    Other,
}

impl DiskError {
    /// The path of the failed call.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::OverLimit { path, .. } | Self::NotAFile { path, .. } => {
                path
            }
        }
    }

    /// What the failure means to the caller.
    pub fn fault(&self) -> DiskFault {
        match self {
            Self::OverLimit { .. } => DiskFault::OverReaderLimit,
            Self::NotAFile { .. } => DiskFault::Other,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskFault::NoSpace,
                io::ErrorKind::FileTooLarge => DiskFault::FileTooLarge,
                io::ErrorKind::ReadOnlyFilesystem => DiskFault::ReadOnly,
                io::ErrorKind::PermissionDenied => DiskFault::PermissionDenied,
                io::ErrorKind::NotFound => DiskFault::NotFound,
                io::ErrorKind::AlreadyExists => DiskFault::Exists,
                io::ErrorKind::DirectoryNotEmpty => DiskFault::NotEmpty,
                _ => DiskFault::Other,
            },
        }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block or character device, or something newer.
    Device,
}

impl FileKind {
    fn of(kind: FileType) -> Self {
        if kind.is_file() {
            Self::File
        } else if kind.is_dir() {
            Self::Directory
        } else if kind.is_symlink() {
            Self::Symlink
        } else if kind.is_fifo() {
            Self::Fifo
        } else if kind.is_socket() {
            Self::Socket
        } else {
            Self::Device
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "regular file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Fifo => "FIFO",
            Self::Socket => "socket",
            Self::Device => "device",
        })
    }
}

/// Which file an open handle refers to, and in which state it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    device: u64,
    inode: u64,
    pub(crate) bytes: u64,
    modified: (i64, i64),
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether both are the same file, whatever happened to its content.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// What the file system tells about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) kind: FileKind,
    pub(crate) bytes: u64,
    /// The permission bits alone.
    pub(crate) mode: u32,
    pub(crate) modified_unix_seconds: i64,
    /// How many names the file has.
    pub(crate) link_count: u64,
}

impl Attributes {
    fn of(metadata: &Metadata) -> Self {
        Self {
            kind: FileKind::of(metadata.file_type()),
            bytes: metadata.len(),
            mode: metadata.mode() & MODE_BITS,
            modified_unix_seconds: metadata.mtime(),
            link_count: metadata.nlink(),
        }
    }
}

/// The bits of a mode that are permissions; the others say what kind of file it is.
const MODE_BITS: u32 = 0o7777;

/// Whether a file could share the blocks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloned {
    Yes,
    /// The file system cannot, or not between these two; nothing has happened.
    Unsupported,
}

/// The directory that a path's name stands in, so that it can be synced.
pub(crate) fn containing(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_nothing_written) => Path::new("."),
        None => path,
    }
}

/// The named calls. Everything in this crate that touches the disk is handed one of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    crash: Option<crash::CrashPoint>,
}

/// An open file that knows its path.
#[derive(Debug)]
pub(crate) struct Handle {
    disk: Disk,
    file: File,
    path: PathBuf,
}

/// Whether a lock was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockAttempt {
    Taken,
    HeldByAnother,
}

impl Disk {
    fn call<T>(
        &self,
        action: Action,
        path: &Path,
        call: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, DiskError> {
        #[cfg(test)]
        let call = || match &self.crash {
            Some(point) => point.reach(action, path).and_then(|()| call()),
            None => call(),
        };
        call().map_err(|source| DiskError::Io { action, path: path.to_owned(), source })
    }

    fn handle(&self, file: File, path: &Path) -> Handle {
        Handle { disk: self.clone(), file, path: path.to_owned() }
    }

    /// What stands at a path, links not followed.
    pub(crate) fn read_kind(&self, path: &Path) -> Result<FileKind, DiskError> {
        let metadata = self.call(Action::Inspect, path, || fs::symlink_metadata(path))?;
        Ok(FileKind::of(metadata.file_type()))
    }

    /// What stands at a path, links followed.
    pub(crate) fn read_kind_behind_links(&self, path: &Path) -> Result<FileKind, DiskError> {
        let metadata = self.call(Action::Inspect, path, || fs::metadata(path))?;
        Ok(FileKind::of(metadata.file_type()))
    }

    /// The state of the file at a path, links not followed.
    pub(crate) fn read_state(&self, path: &Path) -> Result<FileState, DiskError> {
        let metadata = self.call(Action::Inspect, path, || fs::symlink_metadata(path))?;
        Ok(FileState::of(&metadata))
    }

    /// The path behind all symbolic links; a loop of links is an error.
    pub(crate) fn resolve(&self, path: &Path) -> Result<PathBuf, DiskError> {
        self.call(Action::Resolve, path, || fs::canonicalize(path))
    }

    /// The entries of a directory with their types, ordered by name.
    pub(crate) fn list(&self, path: &Path) -> Result<Vec<(PathBuf, FileKind)>, DiskError> {
        let entries = self.call(Action::List, path, || {
            let entries = fs::read_dir(path)?.map(|entry| {
                let entry = entry?;
                Ok((entry.path(), FileKind::of(entry.file_type()?)))
            });
            entries.collect::<io::Result<Vec<_>>>()
        });
        entries.map(|mut entries| {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries
        })
    }

    /// Opens a regular file for reading. The type is looked at before opening, since opening a FIFO
    /// or a device can have effects, and again afterwards, since the path may have changed hands.
    pub(crate) fn open(&self, path: &Path) -> Result<Handle, DiskError> {
        let check = |metadata: Metadata| match FileKind::of(metadata.file_type()) {
            FileKind::File => Ok(()),
            found => Err(DiskError::NotAFile { path: path.to_owned(), found }),
        };
        check(self.call(Action::Inspect, path, || fs::metadata(path))?)?;
        let file = self.call(Action::Open, path, || {
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            OpenOptions::new().read(true).custom_flags(flags).open(path)
        })?;
        check(self.call(Action::Inspect, path, || file.metadata())?)?;
        Ok(self.handle(file, path))
    }

    /// All bytes of a regular file of at most `limit` bytes.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
        self.open(path)?.read_to_end(limit)
    }

    /// Creates a file that must not exist, with these permissions (less the umask).
    pub(crate) fn create(&self, path: &Path, mode: u32) -> Result<Handle, DiskError> {
        let file = self.call(Action::Create, path, || {
            OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
        })?;
        Ok(self.handle(file, path))
    }

    /// Opens a file for reading and writing, and creates it if need be; content stays.
    pub(crate) fn open_or_create(&self, path: &Path) -> Result<Handle, DiskError> {
        let file = self.call(Action::Create, path, || {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        })?;
        Ok(self.handle(file, path))
    }

    /// Creates a directory and those above it; existing ones are fine.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<(), DiskError> {
        self.call(Action::CreateDirectory, path, || fs::create_dir_all(path))
    }

    /// Gives a file another name, in place of whatever had it.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.call(Action::Rename, to, || {
            #[cfg(test)]
            self.crash.iter().for_each(|point| point.renaming(from, to));
            fs::rename(from, to)
        })
    }

    /// Gives a file a second name, which must not exist.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.call(Action::Link, to, || fs::hard_link(from, to))
    }

    /// Makes a file share the blocks of another one in place of its own content, as a copy that costs
    /// nothing until one of them is written.
    pub(crate) fn clone_file(&self, from: &Handle, to: &Handle) -> Result<Cloned, DiskError> {
        self.call(Action::Clone, &to.path, || {
            match rustix::fs::ioctl_ficlone(&to.file, &from.file) {
                Ok(()) => Ok(Cloned::Yes),
                // Each is what some file system answers that knows no clones, or none between the two.
                Err(
                    Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS,
                ) => Ok(Cloned::Unsupported),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// What the file system tells about a path, links not followed.
    pub(crate) fn read_attributes(&self, path: &Path) -> Result<Attributes, DiskError> {
        let metadata = self.call(Action::Inspect, path, || fs::symlink_metadata(path))?;
        Ok(Attributes::of(&metadata))
    }

    /// Sets the permissions of a file or directory, whatever the umask.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> Result<(), DiskError> {
        self.call(Action::SetMode, path, || {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        })
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&self, path: &Path) -> Result<(), DiskError> {
        self.call(Action::RemoveDirectory, path, || fs::remove_dir(path))
    }

    /// Removes a file; one that is already gone is success.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.call(Action::Remove, path, || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        })
    }

    /// Removes a directory with everything in it; links in it are removed, not followed.
    pub(crate) fn remove_tree(&self, path: &Path) -> Result<(), DiskError> {
        self.call(Action::Remove, path, || fs::remove_dir_all(path))
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<(), DiskError> {
        self.call(Action::SyncDirectory, path, || File::open(path)?.sync_all())
    }

    /// Opens a directory so that a later [`Disk::sync_filesystem`] reports every failed writeback
    /// since now.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<Handle, DiskError> {
        let file = self.call(Action::Open, path, || File::open(path))?;
        Ok(self.handle(file, path))
    }

    /// Makes everything on the file system of an open directory durable.
    pub(crate) fn sync_filesystem(&self, directory: &Handle) -> Result<(), DiskError> {
        self.call(Action::SyncFileSystem, &directory.path, || {
            rustix::fs::syncfs(&directory.file).map_err(io::Error::from)
        })
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

    /// Type, size and time of change, as of now.
    pub(crate) fn read_state(&self) -> Result<FileState, DiskError> {
        let metadata = self.disk.call(Action::Inspect, &self.path, || self.file.metadata())?;
        Ok(FileState::of(&metadata))
    }

    /// Reads on; 0 is the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.call(Action::Read, &self.path, || {
            loop {
                match self.file.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        })
    }

    /// All bytes from here on, of which there may be at most `limit`; a longer file is not read.
    pub(crate) fn read_to_end(&mut self, limit: u64) -> Result<Vec<u8>, DiskError> {
        let over_limit = |bytes| DiskError::OverLimit { path: self.path.clone(), bytes, limit };
        let bytes = self.read_state()?.bytes;
        if bytes > limit {
            return Err(over_limit(bytes));
        }
        let mut out = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        let mut bounded = (&self.file).take(limit.saturating_add(1));
        self.disk.call(Action::Read, &self.path, || bounded.read_to_end(&mut out))?;
        match u64::try_from(out.len()) {
            Ok(read) if read <= limit => Ok(out),
            _ => Err(over_limit(limit.saturating_add(1))), // it grew while it was read
        }
    }

    /// Reads from a position, until the buffer is full or the file ends.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.call(Action::Read, &self.path, || self.file.read_at(buffer, offset))
    }

    /// Writes on.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.disk.call(Action::Write, &self.path, || (&self.file).write_all(bytes))
    }

    /// Writes from the start and cuts what was there.
    pub(crate) fn overwrite(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.truncate(0)?;
        self.disk.call(Action::Write, &self.path, || self.file.write_all_at(bytes, 0))
    }

    /// Writes from a position.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.disk.call(Action::Write, &self.path, || self.file.write_all_at(bytes, offset))
    }

    /// Cuts or extends the file to this length.
    pub(crate) fn truncate(&self, bytes: u64) -> Result<(), DiskError> {
        self.disk.call(Action::Truncate, &self.path, || self.file.set_len(bytes))
    }

    /// Makes content and length durable.
    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        self.disk.call(Action::Sync, &self.path, || self.file.sync_all())
    }

    /// Makes what was written so far durable, while others may write on. An error is told once only:
    /// a later [`Handle::sync`] need not repeat it.
    pub(crate) fn sync_data(&self) -> Result<(), DiskError> {
        self.disk.call(Action::Sync, &self.path, || self.file.sync_data())
    }

    /// Tries to take the file's exclusive lock, which the kernel drops with the last handle.
    pub(crate) fn try_lock(&self) -> Result<LockAttempt, DiskError> {
        self.disk.call(Action::Lock, &self.path, || match self.file.try_lock() {
            Ok(()) => Ok(LockAttempt::Taken),
            Err(TryLockError::WouldBlock) => Ok(LockAttempt::HeldByAnother),
            Err(TryLockError::Error(error)) => Err(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_modes_and_empty_directories_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let disk = Disk::default();
        let file = disk.create(&at("a"), 0o444).unwrap();
        file.write_all(b"12345").unwrap();
        disk.link(&at("a"), &at("b")).unwrap();
        assert!(disk.link(&at("a"), &at("b")).is_err());
        disk.set_mode(&at("a"), 0o600).unwrap();
        let attributes = disk.read_attributes(&at("b")).unwrap();
        assert_eq!((attributes.kind, attributes.bytes), (FileKind::File, 5));
        assert_eq!((attributes.mode, attributes.link_count), (0o600, 2));
        disk.create_directory(&at("d/e")).unwrap();
        assert!(disk.remove_directory(&at("d")).is_err());
        disk.remove_directory(&at("d/e")).unwrap();
        disk.remove_directory(&at("d")).unwrap();
        assert_eq!(disk.read_kind(&at("d")).unwrap_err().fault(), DiskFault::NotFound);
    }

    #[test]
    fn a_clone_has_the_same_bytes_or_nothing_has_happened() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let disk = Disk::default();
        let (from, to) = (disk.create(&at("a"), 0o644), disk.create(&at("b"), 0o644));
        let (from, to) = (from.unwrap(), to.unwrap());
        from.write_all(b"12345").unwrap();
        let expected = match disk.clone_file(&from, &to).unwrap() {
            Cloned::Yes => &b"12345"[..],
            Cloned::Unsupported => b"",
        };
        assert_eq!(disk.read(&at("b"), 10).unwrap(), expected);
    }
}
