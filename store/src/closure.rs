//! The closure of an image: everything that somebody needs to have it whole.
//!
//! ```text
//! index ─▶ manifest ─▶ configuration, layers        each blob once, in the order in which it is named
//!   └────▶ index ─▶ …                                (nested indexes, docker's lists)
//! ```
//!
//! Manifests are read and checked on the way, the other blobs are not. Referrers are no part of it: they
//! point to an image, it does not point to them. This module knows no names and no catalog.

use std::collections::{BTreeSet, VecDeque};

use bonded_model::Descriptor;
use bonded_model::limits::{IMAGE_BLOB_COUNT_MAX, MANIFEST_BYTES_MAX};

use crate::error::StoreError;
use crate::references;
use crate::snapshot::Snapshot;

impl Snapshot {
    /// Every blob of an image, the given manifest or index first, each once. A layer that its licence
    /// forbids to pass on is left out where the store does not hold it.
    ///
    /// # Errors
    /// [`StoreError::ImageTooLarge`] above [`IMAGE_BLOB_COUNT_MAX`] blobs, [`StoreError::Manifest`] if a
    /// manifest cannot be read as one, or what is wrong with the blob of one.
    pub fn image_closure(&self, image: &Descriptor) -> Result<Vec<Descriptor>, StoreError> {
        let mut closure = Vec::new();
        let mut named = BTreeSet::new();
        // One blob may be named as a layer first and as a manifest later, so the two are told apart.
        let as_what = |one: &Descriptor| (one.digest, references::is_manifest(&one.media_type));
        let mut queued = BTreeSet::from([as_what(image)]);
        let mut open = VecDeque::from([image.clone()]);
        while let Some(next) = open.pop_front() {
            if references::is_manifest(&next.media_type) {
                let bytes = self.read(&next, MANIFEST_BYTES_MAX)?;
                let points_to = references::of(&next.media_type, &bytes)
                    .map_err(|source| StoreError::Manifest { digest: next.digest, source })?;
                open.extend(points_to.into_iter().filter(|one| queued.insert(as_what(one))));
            } else if references::may_be_absent(&next.media_type) && !self.is_held(&next.digest)? {
                continue;
            }
            if named.insert(next.digest) {
                closure.push(next);
            }
            if queued.len() > IMAGE_BLOB_COUNT_MAX {
                let (digest, limit) = (image.digest, IMAGE_BLOB_COUNT_MAX);
                return Err(StoreError::ImageTooLarge { digest, limit });
            }
        }
        Ok(closure)
    }
}
