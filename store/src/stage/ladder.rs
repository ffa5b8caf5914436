//! The ladder: how a large file becomes ours without being copied.
//!
//! ```text
//! clone   blocks are shared until somebody writes, and then only his copy changes   (btrfs, xfs, …)
//! link    a second name of the very same file, if it is declared that nobody writes to it again
//! copy    where neither can be had; see `Stage::add_stream`
//! ```
//!
//! Whichever it was, the file in the staging directory is hashed, and not the one that was found: what
//! was hashed is what is held. A device from which nothing can be cloned is remembered.
//!
//! A link shares the file's owner, mode and other names with the source. So it is taken only of a file
//! that belongs to the user at work, has no other name and may be written by nobody else, and whose
//! mode becomes that of a blob by taking the owner's own right to write: an executable would stop being
//! one, and a private file would become public. All others are copied. The mode changes when the link
//! becomes a blob and not before: a source that does not is left as it was.

use super::{BLOB_MODE, Stage, locked};
use crate::disk::{Cloned, Handle};
use crate::error::StoreError;
use crate::ingest::Sources;

/// Modes that differ from that of a blob by the owner's right to write at most.
const LINKABLE_MODES: [u32; 2] = [BLOB_MODE, BLOB_MODE | 0o200];

impl Stage {
    /// The bytes of a source in a file of ours, to be hashed and settled; `None` if they have to be
    /// copied.
    pub(crate) fn share(
        &self,
        source: &Handle,
        sources: Sources,
    ) -> Result<Option<Handle>, StoreError> {
        if let Some(ours) = self.clone_of(source)? {
            return Ok(Some(ours));
        }
        match sources {
            Sources::MayChange => Ok(None),
            Sources::Immutable => self.link_to(source),
        }
    }

    fn clone_of(&self, source: &Handle) -> Result<Option<Handle>, StoreError> {
        let device = source.read_state()?.device();
        if locked(&self.unclonable).contains(&device) {
            return Ok(None);
        }
        let ours = self.create_temporary()?;
        match self.pool.disk.clone_file(source, &ours) {
            Ok(Cloned::Yes) => Ok(Some(ours)),
            Ok(Cloned::Unsupported) => {
                locked(&self.unclonable).insert(device);
                self.pool.disk.remove(ours.path())?;
                Ok(None)
            }
            Err(error) => Err(error.into()), // the lease removes the file
        }
    }

    fn link_to(&self, source: &Handle) -> Result<Option<Handle>, StoreError> {
        let disk = &self.pool.disk;
        let (found, own) =
            (disk.read_attributes(source.path())?, disk.read_attributes(self.lease.file())?);
        let is_fit = found.owner == own.owner
            && found.link_count == 1
            && LINKABLE_MODES.contains(&found.mode);
        if !is_fit {
            return Ok(None);
        }
        let path = self.next_path();
        match disk.link(source.path(), &path) {
            Err(error) if error.is_no_link() => return Ok(None),
            result => result?,
        }
        let ours = disk.open(&path)?;
        // Before the link, another file or another name may have come.
        let now = disk.read_attributes(&path)?;
        let is_still_fit = now.owner == own.owner
            && now.link_count == 2
            && LINKABLE_MODES.contains(&now.mode)
            && ours.read_state()?.is_same_file(&source.read_state()?);
        if !is_still_fit {
            disk.remove(&path)?;
            return Ok(None);
        }
        Ok(Some(ours))
    }
}
