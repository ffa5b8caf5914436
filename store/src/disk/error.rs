//! What can go wrong with a call on the disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::FileKind;

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

    /// Whether there is nothing at the path, nor a directory on the way to it.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            }
            Self::OverLimit { .. } | Self::NotAFile { .. } => false,
        }
    }

    /// Whether a link cannot be had here, as opposed to a disk that fails.
    pub(crate) fn is_no_link(&self) -> bool {
        use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
        let refusals = [CrossesDevices, PermissionDenied, TooManyLinks, Unsupported];
        matches!(self, Self::Io { source, .. } if refusals.contains(&source.kind()))
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
