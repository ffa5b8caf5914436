//! Ordinary files, for callers outside this crate: configuration, keys, policies, downloads.

use std::io;
use std::path::{Path, PathBuf};

use bonded_model::Digest;

use super::{Action, Disk, DiskError, DiskFault, FileKind, Handle, containing};
use crate::hashing::{self, Sha512Wanted, Stream};

/// A file that was read once: its digests, and its bytes if it is small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedFile {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// SHA-512 of the bytes.
    pub sha512: Digest,
    /// How many bytes there are.
    pub size: u64,
    /// The bytes, unless there are more than the caller wanted to keep.
    pub bytes: Option<Vec<u8>>,
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`DiskError`], with `OverLimit` before anything was read.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
    Disk::default().read(path, limit)
}

/// Hashes a regular file of any length in one pass, and keeps its bytes up to `keep_bytes_max`.
///
/// # Errors
/// [`DiskError`] if it cannot be opened or read.
pub fn hash_file(path: &Path, keep_bytes_max: u64) -> Result<HashedFile, DiskError> {
    let mut handle = Disk::default().open(path)?;
    let mut kept = Kept { handle: &mut handle, bytes: Some(Vec::new()), bytes_max: keep_bytes_max };
    let digests = hashing::in_line(&mut kept, Sha512Wanted::Yes)?;
    Ok(HashedFile {
        sha256: digests.sha256,
        sha512: digests.sha512.expect("it was asked for"),
        size: digests.bytes,
        bytes: kept.bytes,
    })
}

struct Kept<'a> {
    handle: &'a mut Handle,
    bytes: Option<Vec<u8>>,
    bytes_max: u64,
}

impl Stream<DiskError> for Kept<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.handle.read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.bytes = self.bytes.take().and_then(|mut kept| {
            kept.extend_from_slice(bytes);
            u64::try_from(kept.len()).is_ok_and(|length| length <= self.bytes_max).then_some(kept)
        });
        Ok(())
    }
}

/// Writes a file that must not exist yet, durably, readable by everyone.
///
/// # Errors
/// [`DiskError`]; what was written of the file is removed again, unless it was the last step that failed,
/// the sync of its directory: then the file is there, and a power loss may take it away.
pub fn write_file_new(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    write_new(&Disk::default(), path, bytes, 0o644)
}

/// Writes a file that must not exist yet, durably, readable by its owner alone: for private keys.
///
/// # Errors
/// [`DiskError`]; what was written of the file is removed again, unless it was the last step that failed,
/// the sync of its directory: then the file is there, and a power loss may take it away.
pub fn write_private_file_new(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    write_new(&Disk::default(), path, bytes, 0o600)
}

/// Reads a regular file that nobody but its owner can read or write.
///
/// # Errors
/// [`DiskError`], with `PermissionDenied` before anything was read if others may.
pub fn read_private_file(path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
    let disk = Disk::default();
    let mode = disk.read_attributes(path)?.mode;
    if mode & 0o077 != 0 {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, "others may read or write it");
        return Err(DiskError::Io { action: Action::Open, path: path.to_owned(), source });
    }
    disk.read(path, limit)
}

/// Puts a file in the place of what is there, or is not, durably and at once, readable by its owner alone.
///
/// # Errors
/// [`DiskError`]; what was there before is still there, unless it was the last step that failed, the sync
/// of its directory.
pub fn replace_private_file(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let disk = Disk::default();
    let new = path.with_added_extension(format!("new-{}", std::process::id()));
    write_new(&disk, &new, bytes, 0o600)?;
    if let Err(error) = disk.rename(&new, path) {
        disk.remove(&new)?;
        return Err(error);
    }
    disk.sync_directory(containing(path))
}

fn write_new(disk: &Disk, path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    let handle = disk.create(path, mode)?;
    if let Err(error) = handle.write_all(bytes).and_then(|()| handle.sync()) {
        disk.remove(path)?;
        return Err(error);
    }
    disk.sync_directory(containing(path))
}

/// Creates a directory and those above it; existing ones are fine.
///
/// # Errors
/// [`DiskError`].
pub fn create_dir_all(path: &Path) -> Result<(), DiskError> {
    Disk::default().create_directory(path)
}

/// Creates a directory and those above it, durably and for their owner alone; existing ones are left as they
/// are.
///
/// # Errors
/// [`DiskError`].
pub fn create_private_dir_all(path: &Path) -> Result<(), DiskError> {
    Disk::default().create_private_directory(path)
}

/// Removes a directory with everything in it; links in it are removed, not followed.
///
/// # Errors
/// [`DiskError`]; part of it may be gone.
pub fn remove_tree(path: &Path) -> Result<(), DiskError> {
    Disk::default().remove_tree(path)
}

/// The entries of a directory with their types, ordered by name; links are not followed.
///
/// # Errors
/// [`DiskError`].
pub fn read_dir(path: &Path) -> Result<Vec<(PathBuf, FileKind)>, DiskError> {
    Disk::default().list(path)
}

/// What stands at a path, links followed; `None` if nothing does.
///
/// # Errors
/// [`DiskError`] if that cannot be told.
pub fn kind_of(path: &Path) -> Result<Option<FileKind>, DiskError> {
    match Disk::default().read_kind_behind_links(path) {
        Ok(kind) => Ok(Some(kind)),
        Err(error) if error.fault() == DiskFault::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test asks the file system itself")]
mod tests {
    use super::*;
    use crate::disk::memory::{Loss, Memory};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_written_once_and_read_within_limits() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        write_file_new(&at("a"), b"12345").unwrap();
        assert_eq!(read_file(&at("a"), 5).unwrap(), b"12345");
        let error = read_file(&at("a"), 4).unwrap_err();
        assert!(matches!(error, DiskError::OverLimit { bytes: 5, limit: 4, .. }));
        assert_eq!(error.fault(), DiskFault::OverReaderLimit);
        assert!(matches!(write_file_new(&at("a"), b""), Err(DiskError::Io { .. })));
        assert_eq!(read_file(&at("gone"), 4).unwrap_err().fault(), DiskFault::NotFound);
        let error = read_file(directory.path(), 4).unwrap_err();
        assert!(matches!(error, DiskError::NotAFile { found: FileKind::Directory, .. }));
        write_private_file_new(&at("key"), b"secret").unwrap();
        let mode = std::fs::File::open(at("key")).unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        create_dir_all(&at("d/e")).unwrap();
        let names: Vec<_> = read_dir(directory.path()).unwrap();
        assert_eq!(
            names.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(),
            [FileKind::File, FileKind::Directory, FileKind::File]
        );
        assert_eq!(kind_of(&at("d")).unwrap(), Some(FileKind::Directory));
        remove_tree(&at("d")).unwrap();
        assert_eq!(kind_of(&at("d")).unwrap(), None);
    }

    #[test]
    fn a_private_file_is_replaced_as_a_whole_and_read_while_it_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        for bytes in [b"one".as_slice(), b"another"] {
            replace_private_file(&file, bytes).unwrap();
            assert_eq!(read_private_file(&file, 9).unwrap(), bytes);
        }
        assert_eq!(read_dir(directory.path()).unwrap().len(), 1);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_private_file(&file, 9).unwrap_err();
        assert_eq!(error.fault(), DiskFault::PermissionDenied);
        let taken = directory.path().join("taken");
        create_dir_all(&taken.join("x")).unwrap();
        replace_private_file(&taken, b"one").unwrap_err();
        assert_eq!(read_dir(directory.path()).unwrap().len(), 2, "nothing is left behind");
    }

    #[test]
    fn a_file_that_was_written_survives_a_power_loss() {
        let memory = Memory::default();
        write_new(&memory.disk(), Path::new("/key"), b"secret", 0o600).unwrap();
        let lost = memory.after_power_loss(Loss::AllUnsynced).disk();
        assert_eq!(lost.read(Path::new("/key"), 9).unwrap(), b"secret");
        assert_eq!(lost.read_attributes(Path::new("/key")).unwrap().mode, 0o600);
    }

    #[test]
    fn every_name_stands_in_a_directory() {
        for (path, expected) in [("/a/b", "/a"), ("a/b", "a"), ("a", "."), ("/", "/"), ("", "")] {
            assert_eq!(containing(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn a_fifo_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = read_file(&pipe, 10).unwrap_err();
        assert!(matches!(error, DiskError::NotAFile { found: FileKind::Fifo, .. }));
        assert!(error.to_string().ends_with("is a FIFO, expected a regular file"));
    }

    #[test]
    fn one_pass_gives_both_digests() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        let bytes = vec![9; 700_000];
        write_file_new(&file, &bytes).unwrap();
        let hashed = hash_file(&file, 700_000).unwrap();
        assert_eq!(hashed.sha256, Digest::sha256_of(&bytes));
        assert_eq!(hashed.sha512, Digest::sha512_of(&bytes));
        assert_eq!((hashed.size, hashed.bytes), (700_000, Some(bytes)));
        assert_eq!(hash_file(&file, 699_999).unwrap().bytes, None);
    }
}
