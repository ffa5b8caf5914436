//! SHA-512 of artifacts, computed when a checksum document asks for it and at no other time.

use std::collections::BTreeMap;

use bonded_model::checksums;
use bonded_model::{Algorithm, Artifact, Digest, Document, DocumentKind, Release};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::facts::BlobFacts;
use crate::hashing::Sha512Wanted;
use crate::store::Store;

/// Whether a document lists SHA-512 digests.
pub(crate) fn lists_sha512(kind: DocumentKind, bytes: &[u8]) -> bool {
    kind == DocumentKind::Checksums && checksums::parse(bytes, Algorithm::Sha512).is_ok()
}

/// The release with the SHA-512 of every artifact, if one of the documents lists such digests; else
/// the release as it is. A fact that is not known is computed from the blob, and kept.
pub(crate) fn with_sha512(
    store: &Store,
    release: Release,
    documents: &[Document],
) -> Result<Release, StoreError> {
    if !documents.iter().any(|document| lists_sha512(document.kind, &document.bytes)) {
        return Ok(release);
    }
    let files: Vec<Digest> =
        release.artifacts().iter().map(|artifact| artifact.file.digest).collect();
    let known: BTreeMap<Digest, Digest> = store
        .facts()
        .get_many(&files)
        .into_iter()
        .filter_map(|(file, facts)| Some((file, facts.sha512?)))
        .collect();
    let unknown: Vec<Digest> =
        files.iter().filter(|file| !known.contains_key(file)).copied().collect();
    let computed: Result<BTreeMap<Digest, BlobFacts>, StoreError> = unknown
        .into_par_iter()
        .map(|file| {
            let (_, digests) = store.pool().hash(&file, Sha512Wanted::Yes)?;
            Ok((file, BlobFacts { blake3: digests.blake3, sha512: digests.sha512 }))
        })
        .collect();
    let computed = computed?;
    store.facts().put_many(&computed);
    let sha512 = |file: &Digest| {
        known.get(file).copied().or_else(|| computed.get(file).and_then(|facts| facts.sha512))
    };
    let artifacts = release
        .artifacts()
        .iter()
        .map(|artifact| Artifact { sha512: sha512(&artifact.file.digest), ..artifact.clone() });
    let name = release.name().clone();
    Release::from_stored(name.clone(), release.index().clone(), artifacts.collect())
        .map_err(|source| StoreError::Release { name, source })
}
