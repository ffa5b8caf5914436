//! The file system of the operating system.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the module that the ban on raw file calls points to"
)]

use std::any::Any;
use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::system::{
    Cloned, EachEntry, FileKind, FileState, FileSystem, Flusher, Inspected, Links, LockAttempt,
    OpenFile, Opening,
};

/// The bits of a mode that are permissions; the others say what kind of file it is.
const MODE_BITS: u32 = 0o7777;

#[derive(Clone, Copy, Debug)]
pub(super) struct Real;

impl FileSystem for Real {
    fn inspect(&self, path: &Path, links: Links) -> io::Result<Inspected> {
        let metadata = match links {
            Links::Followed => fs::metadata(path),
            Links::NotFollowed => fs::symlink_metadata(path),
        };
        metadata.map(|metadata| inspected(&metadata))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn list(&self, directory: &Path, each: &mut EachEntry<'_>) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            each(entry.path(), kind_of(entry.file_type()?));
        }
        Ok(())
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn OpenFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match opening {
            Opening::ExistingWithoutLinks => return open_without_links(path),
            Opening::Existing => options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()),
            Opening::New { mode } => options.write(true).create_new(true).mode(mode),
            Opening::ExistingOrNew => options.write(true).create(true).truncate(false),
            Opening::Directory => options.custom_flags(OFlags::DIRECTORY.bits().cast_signed()),
        };
        Ok(Box::new(options.open(path)?))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create_new_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(mode))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.open(path, Opening::Directory)?.sync()
    }

    #[cfg(test)]
    fn is_real(&self) -> bool {
        true
    }
}

impl OpenFile for File {
    fn inspect(&self) -> io::Result<Inspected> {
        Ok(inspected(&self.metadata()?))
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        again_if_interrupted(|| Read::read(&mut &*self, buffer))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        again_if_interrupted(|| FileExt::read_at(self, buffer, offset))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self).write_all(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn clone_from(&self, from: &dyn OpenFile) -> io::Result<Cloned> {
        let Some(from) = (from as &dyn Any).downcast_ref::<File>() else {
            return Ok(Cloned::Unsupported);
        };
        match rustix::fs::ioctl_ficlone(self, from) {
            Ok(()) => Ok(Cloned::Yes),
            // Each is what some file system answers that knows no clones, or none between the two.
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
                Ok(Cloned::Unsupported)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn flusher(&self) -> io::Result<Box<dyn Flusher>> {
        let (ask, asked) = sync_channel(0);
        // The same open file by another number: an error of writing is told once for both.
        let file = self.try_clone()?;
        let flush_all = move || asked.iter().try_for_each(|()| file.sync_data());
        let thread = thread::Builder::new().name("flush".into()).spawn(flush_all)?;
        Ok(Box::new(FlushingThread { ask, thread }))
    }

    fn sync_filesystem(&self) -> io::Result<()> {
        rustix::fs::syncfs(self).map_err(io::Error::from)
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        match File::try_lock(self) {
            Ok(()) => Ok(LockAttempt::Taken),
            Err(TryLockError::WouldBlock) => Ok(LockAttempt::HeldByAnother),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Flushes while others write and hash. Where it is not asked any more, it ends by itself.
#[derive(Debug)]
struct FlushingThread {
    /// Taken while the thread waits for it, and not during a flush.
    ask: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher for FlushingThread {
    fn begin(&mut self) -> bool {
        self.ask.try_send(()).is_ok()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { ask, thread } = *self;
        drop(ask);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn again_if_interrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The kernel looks at every component while it walks, so nothing can be put in between. Where there is
/// no such call, or a sandbox forbids it, the last component alone is looked at.
fn open_without_links(path: &Path) -> io::Result<Box<dyn OpenFile>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let (mode, resolve) = (Mode::empty(), ResolveFlags::NO_SYMLINKS);
    let opened = match rustix::fs::openat2(rustix::fs::CWD, path, flags, mode, resolve) {
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::open(path, flags | OFlags::NOFOLLOW, mode),
        result => result,
    };
    Ok(Box::new(File::from(opened?)))
}

fn inspected(metadata: &Metadata) -> Inspected {
    Inspected {
        kind: kind_of(metadata.file_type()),
        state: FileState {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        },
        mode: metadata.mode() & MODE_BITS,
        owner: metadata.uid(),
        changed_unix_seconds: metadata.ctime(),
        link_count: metadata.nlink(),
    }
}

fn kind_of(kind: FileType) -> FileKind {
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else if kind.is_socket() {
        FileKind::Socket
    } else {
        FileKind::Device
    }
}
