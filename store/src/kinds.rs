//! What the files of a release are and what they run on, for evidence: policies choose demands by it. It
//! is taken from the facts, and computed from the blob where nobody has looked; so the same release has
//! the same evidence, whatever became of the facts.

use std::collections::BTreeMap;

use bonded_model::{Artifact, Digest, Release};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::facts::{BlobFacts, look};
use crate::hashing::Sha512Wanted;
use crate::store::Store;

/// The release with kind and platform of every file. Of an image its media type says what it is, and the
/// release index what it runs on.
pub(crate) fn with_kinds(store: &Store, release: Release) -> Result<Release, StoreError> {
    let files = release.artifacts().iter().filter(|artifact| !artifact.is_image());
    let files: Vec<Digest> = files.map(|artifact| artifact.file.digest).collect();
    let mut known = store.facts().get_many(&files);
    known.retain(|_, facts| facts.kind.is_some());
    let looked_at = look_at(store, files.iter().filter(|file| !known.contains_key(file)))?;
    store.facts().put_many(&looked_at);
    known.extend(looked_at);
    let artifacts = release.artifacts().iter().map(|artifact| with_kind(artifact, &known));
    let name = release.name().clone();
    Release::from_stored(name.clone(), release.index().clone(), artifacts.collect())
        .map_err(|source| StoreError::Release { name, source })
}

fn look_at<'a>(
    store: &Store,
    files: impl Iterator<Item = &'a Digest>,
) -> Result<BTreeMap<Digest, BlobFacts>, StoreError> {
    let unknown: std::collections::BTreeSet<Digest> = files.copied().collect();
    let looked_at = unknown.into_par_iter().map(|file| {
        let facts = look(store, &file, Sha512Wanted::No, &())?;
        Ok((file, facts))
    });
    looked_at.collect()
}

/// What the bytes say of the platform comes before what the index says: nobody wrote it by hand.
fn with_kind(artifact: &Artifact, known: &BTreeMap<Digest, BlobFacts>) -> Artifact {
    let facts = known.get(&artifact.file.digest).filter(|_| !artifact.is_image());
    let platform = facts.and_then(|facts| facts.platform.clone());
    Artifact {
        kind: facts.and_then(|facts| facts.kind),
        platform: platform.or_else(|| artifact.platform.clone()),
        ..artifact.clone()
    }
}
