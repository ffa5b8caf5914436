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
use crate::store::Store;

/// The inner manifests that are held already and that statements of a plan name. Costs the reading of every
/// manifest of the store where there may be any, else a look at each blob that is named.
pub(super) fn named(
    store: &Store,
    plan: &Plan<'_>,
    is_evidence: impl Fn(&Referrer) -> bool,
) -> Result<BTreeSet<Digest>, StoreError> {
    let others = plan.referrers.iter().filter(|referrer| !is_evidence(referrer));
    let documents = others.flat_map(|referrer| &referrer.documents);
    let digests = documents.filter_map(|document| plan.named.get(document)).flatten();
    let digests: BTreeSet<&Digest> =
        digests.filter(|digest| plan.walk.head(digest).is_none()).collect();
    let mut held = BTreeSet::new();
    for digest in digests {
        if store.pool().has(digest)? {
            held.insert(*digest);
        }
    }
    if held.is_empty() {
        return Ok(held);
    }
    let snapshot = store.snapshot()?;
    let tops = tops_of(snapshot.catalog())?;
    held.retain(|digest| !tops.contains(digest) && may_be_manifest(store.pool(), digest));
    if held.is_empty() {
        return Ok(held);
    }
    let mut found = BTreeSet::new();
    let mut visit = |visited: Visited<'_>| match visited {
        Visited::Named(one) => {
            if held.contains(&one.digest) && references::is_manifest(&one.media_type) {
                found.insert(one.digest);
            }
            Ok(())
        }
        // Taking in again what is damaged mends it, and must not end here. Who needs it is told.
        Visited::BadPage(..) | Visited::BadManifest(..) => Ok(()),
    };
    let read = |digest: &Digest, limit: u64| store.pool().read(digest, limit);
    Reached::default().follow_catalog(&snapshot.root(), &read, &mut visit)?;
    Ok(found)
}

/// Whether names may lead to a blob as to a manifest. Of what is damaged only they can tell.
fn may_be_manifest(pool: &Pool, digest: &Digest) -> bool {
    match pool.read(digest, MANIFEST_BYTES_MAX) {
        Ok(bytes) => references::reads_as_manifest(&bytes),
        Err(StoreError::MissingBlob { .. } | StoreError::BlobTooLarge { .. }) => false,
        Err(_damage) => true,
    }
}
