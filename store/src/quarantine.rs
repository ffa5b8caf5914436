//! What was moved out of the pool, and the ways back into it.
//!
//! ```text
//! bonded/quarantine/damaged/<hex>-as-<short>               bytes that are not what they were named
//! bonded/quarantine/unreachable/<unix seconds>/<hex>       what one run of gc found nothing to refer to
//! ```
//!
//! The seconds have 20 digits, so that the order of names is the order of time. What is damaged stays until
//! somebody looks at it and removes it by hand.

use std::path::{Path, PathBuf};

use bonded_model::{Algorithm, Digest};

use crate::blob::Pool;
use crate::disk::{DiskError, FileKind};
use crate::error::StoreError;

/// What one run of gc set aside.
#[derive(Debug)]
pub(crate) struct Generation {
    /// When that run took place, in seconds since 1970.
    pub(crate) seconds: i64,
    pub(crate) directory: PathBuf,
}

/// The generations in quarantine, the oldest first. Whatever else lies there is nobody's to remove.
pub(crate) fn generations(pool: &Pool) -> Result<Vec<Generation>, DiskError> {
    let entries = match pool.disk.list(&pool.layout.unreachable()) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        entries => entries?.into_iter(),
    };
    let directories = entries.filter(|(_, kind)| *kind == FileKind::Directory);
    let named = directories.filter_map(|(directory, _)| {
        let name = directory.file_name()?.to_str()?;
        let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = digits.then(|| name.parse().ok())??; // more than fit are not ours
        Some(Generation { seconds, directory })
    });
    Ok(named.collect())
}

impl Generation {
    /// Where a blob lies, if it belongs to this generation.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.hex())
    }

    /// The blobs of a generation, in the order of their names.
    pub(crate) fn blobs(&self, pool: &Pool) -> Result<Vec<Digest>, DiskError> {
        let mut blobs = Vec::new();
        let listed =
            pool.disk.list_each(&self.directory, |path, kind| blobs.extend(blob_name(&path, kind)));
        match listed {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => blobs.sort_unstable(),
        }
        Ok(blobs)
    }
}

/// The digest that a file in a directory of blobs is named by, if it is named by one.
pub(crate) fn blob_name(path: &Path, kind: FileKind) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    let digest = Digest::from_hex(Algorithm::Sha256, name).ok()?; // another name is no blob's
    (kind == FileKind::File).then_some(digest)
}

/// The bytes of a blob that gc has set aside, if they are what they are named.
pub(crate) fn read(
    pool: &Pool,
    digest: &Digest,
    limit: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    for generation in generations(pool)?.iter().rev() {
        match pool.disk.read(&generation.blob(digest), limit) {
            Ok(bytes) if Digest::sha256_of(&bytes) == *digest => return Ok(Some(bytes)),
            Ok(_damaged) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
