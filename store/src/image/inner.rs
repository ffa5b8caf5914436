//! Inner manifests: what names in the catalog lead to, and have no name themselves.
//!
//! ```text
//! image/… ─▶ index ─▶ manifest of a platform        a statement may name any of these, also when the image
//!                └──▶ index ─▶ manifest             came in long before the statement
//! ```
//!
//! What a referrer is listed under must not hang on whether it came in with the image or after it: an export
//! brings both together. So the store's own manifests are looked through as well, if a statement names a
//! blob that is held, reads as a manifest, and is neither part of what comes in nor an image or a release
//! with a name. Files and layers, which statements name every day, cost no more than a look at themselves.

use std::collections::BTreeSet;

use bonded_model::Digest;
use bonded_model::limits::MANIFEST_BYTES_MAX;

use super::plan::{Plan, Referrer};
use super::tops_of;
use crate::blob::Pool;
use crate::error::StoreError;
use crate::reach::{Reached, Visited};
use crate::references;
use crate::snapshot::Snapshot;

/// What was found below the names of a store.
#[derive(Debug)]
pub(crate) struct Inner {
    /// The manifests that are held already and that statements of a plan name.
    pub(super) manifests: BTreeSet<Digest>,
    /// Pages and manifests that could not be read, so that nothing below them is known.
    pub(super) unread: BTreeSet<Digest>,
    /// The epoch that was looked at.
    epoch: u64,
}

impl Inner {
    /// Looks, without the lock as a rule: who takes it later asks [`Self::holds_for`], and looks again if
    /// another writer was faster. Costs the reading of every manifest of the store where there may be any, else a look at each
    /// blob that is named.
    pub(super) fn find(
        snapshot: &Snapshot,
        plan: &Plan<'_>,
        is_evidence: impl Fn(&Referrer) -> bool,
    ) -> Result<Self, StoreError> {
        let pool = snapshot.pool();
        let (manifests, unread) = (BTreeSet::new(), BTreeSet::new());
        let mut found = Self { manifests, unread, epoch: snapshot.epoch() };
        let held = held(snapshot, named(plan, is_evidence))?;
        if held.is_empty() {
            return Ok(found);
        }
        let mut visit = |visited: Visited<'_>| {
            match visited {
                Visited::Named(one) => {
                    if held.contains(&one.digest) && references::is_manifest(&one.media_type) {
                        found.manifests.insert(one.digest);
                    }
                }
                // Taking in again what is damaged mends it, and must not end here. It is told.
                Visited::BadPage(digest, _) => {
                    found.unread.insert(*digest);
                }
                Visited::BadManifest(named, _) => {
                    found.unread.insert(named.digest);
                }
            }
            Ok(())
        };
        let read = |digest: &Digest, limit: u64| pool.read(digest, limit);
        Reached::default().follow_catalog(&snapshot.root(), &read, &mut visit)?;
        Ok(found)
    }

    /// Whether this is what there is to find in that state too.
    pub(crate) fn holds_for(&self, base: &Snapshot) -> bool {
        self.epoch == base.epoch()
    }
}

/// What statements name that does not come in as a manifest itself.
fn named<'a>(plan: &'a Plan<'_>, is_evidence: impl Fn(&Referrer) -> bool) -> BTreeSet<&'a Digest> {
    let others = plan.referrers.iter().filter(|referrer| !is_evidence(referrer));
    let documents = others.flat_map(|referrer| &referrer.documents);
    let digests = documents.filter_map(|document| plan.named.get(document)).flatten();
    digests.filter(|digest| plan.walk.head(digest).is_none()).collect()
}

/// Those that are held, have no name, and may be manifests.
fn held(snapshot: &Snapshot, named: BTreeSet<&Digest>) -> Result<BTreeSet<Digest>, StoreError> {
    let pool = snapshot.pool();
    let mut held = BTreeSet::new();
    for digest in named {
        if pool.has(digest)? {
            held.insert(*digest);
        }
    }
    if !held.is_empty() {
        let tops = tops_of(snapshot.catalog())?;
        held.retain(|digest| !tops.contains(digest) && may_be_manifest(pool, digest));
    }
    Ok(held)
}

/// Whether names may lead to a blob as to a manifest. Of what is damaged only they can tell.
fn may_be_manifest(pool: &Pool, digest: &Digest) -> bool {
    match pool.read(digest, MANIFEST_BYTES_MAX) {
        Ok(bytes) => references::reads_as_manifest(&bytes),
        Err(StoreError::MissingBlob { .. } | StoreError::BlobTooLarge { .. }) => false,
        Err(_damage) => true,
    }
}
