//! The seam: every call that touches a disk, one method each.
//!
//! There are more methods here than a trait has elsewhere. Each is one call that can fail, and be the
//! last one before a crash, by itself; a method that stood for several would hide that.
//!
//! An implementation gives the operating system's own errors, since callers tell them apart. One suite
//! holds for all of them: `conformance`.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(crate) bytes: u64,
    /// Seconds since 1970 and nanoseconds.
    pub(super) modified: (i64, i64),
}

impl FileState {
    /// Whether both are the same file, whatever happened to its content.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// The file system that the file lies on.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }
}

/// All that a file system tells about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inspected {
    pub(super) kind: FileKind,
    pub(super) state: FileState,
    /// The permission bits alone.
    pub(super) mode: u32,
    /// The number of the user whom it belongs to.
    pub(super) owner: u32,
    /// When the inode last changed.
    pub(super) changed_unix_seconds: i64,
    pub(super) link_count: u64,
}

/// Whether the last component of a path is followed if it is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    Followed,
    NotFollowed,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Reading, without waiting for the other end of a FIFO.
    Existing,
    /// The same, if no symbolic link stands anywhere on the path; one that does is `ELOOP`.
    ExistingWithoutLinks,
    /// Reading and writing; the file must not exist and gets these permissions, less the umask.
    New { mode: u32 },
    /// Reading and writing; content stays.
    ExistingOrNew,
    /// Syncing; it must be a directory.
    Directory,
}

/// Whether a lock was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockAttempt {
    Taken,
    HeldByAnother,
}

/// Whether a file could share the blocks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloned {
    Yes,
    /// The file system cannot, or not between these two; nothing has happened.
    Unsupported,
}

/// Told the path of an entry of a directory, and what stands there.
pub(super) type EachEntry<'a> = dyn FnMut(PathBuf, FileKind) + 'a;

/// The calls on paths.
pub(super) trait FileSystem: fmt::Debug + Send + Sync + Any {
    fn inspect(&self, path: &Path, links: Links) -> io::Result<Inspected>;
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;
    /// Tells every entry, in no order. What is told may call nothing here.
    fn list(&self, directory: &Path, each: &mut EachEntry<'_>) -> io::Result<()>;
    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn OpenFile>>;
    /// Those above it as well; existing ones are fine.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// It alone, which must not exist.
    fn create_new_directory(&self, path: &Path) -> io::Result<()>;
    /// In place of whatever has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// It must be empty.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    fn remove_tree(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Whether a library that opens files by itself finds them at these paths.
    #[cfg(test)]
    fn is_real(&self) -> bool;
}

/// Makes what was written of a file durable while more of it is written, where that saves time, so that
/// little is left for the sync at the end.
pub(super) trait Flusher: fmt::Debug {
    /// Begins a flush of what was written so far and waits for nothing; false if there is none, since the
    /// one before is under way or has failed.
    fn begin(&mut self) -> bool;
    /// Waits for the last flush. What failed is told here, and no sync need tell it again.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// The calls on an open file. It is closed, and its lock let go, when it is dropped.
pub(super) trait OpenFile: fmt::Debug + Send + Sync + Any {
    fn inspect(&self) -> io::Result<Inspected>;
    /// Reads on; 0 is the end.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes on.
    fn write(&self, bytes: &[u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Takes over the content of a file of the same file system.
    fn clone_from(&self, from: &dyn OpenFile) -> io::Result<Cloned>;
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Begins to flush what is written from now on, whenever it is asked to.
    fn flusher(&self) -> io::Result<Box<dyn Flusher + '_>>;
    /// Makes everything durable on the file system that this file is on.
    fn sync_filesystem(&self) -> io::Result<()>;
    fn try_lock(&self) -> io::Result<LockAttempt>;
}
