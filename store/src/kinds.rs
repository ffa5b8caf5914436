//! What the files of a release are and what they run on, for evidence: policies choose demands by it. It
//! is taken from the facts where this version of the sniffer has looked, and else from the beginning of the
//! blob; so the same release has the same evidence, whatever became of the facts.
//!
//! ```text
//! facts with a kind                 as they are
//! a blob no longer than the window  read as a whole, checked, and kept as facts
//! any other blob                    its window alone, unchecked, and kept nowhere
//! ```
//!
//! To hash every large file for this would make the first look at a release as slow as a check of all of it.
//! What a damaged blob says here goes no further: nobody is given its bytes, and once it is mended it is
//! looked at again.

use std::collections::BTreeMap;

use bonded_model::{Artifact, Descriptor, Digest, Release};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::facts::{BlobFacts, look};
use crate::hashing::Sha512Wanted;
use crate::parallel::in_order;
use crate::sniff::{Sniffed, WINDOW_BYTES, sniff};
use crate::store::Store;

/// What is known of the content of blobs.
type Known = BTreeMap<Digest, Sniffed>;

/// The release with kind and platform of every file, and whether all of them were told from bytes that were
/// checked. Of an image its media type says what it is, and the release index what it runs on.
pub(crate) fn with_kinds(store: &Store, release: Release) -> Result<(Release, bool), StoreError> {
    let files = release.artifacts().iter().filter(|artifact| !artifact.is_image());
    let files: BTreeMap<Digest, &Descriptor> =
        files.map(|artifact| (artifact.file.digest, &artifact.file)).collect();
    let digests: Vec<Digest> = files.keys().copied().collect();
    let held = store.facts().get_many(&digests);
    let mut known: Known =
        held.into_iter().filter_map(|(file, facts)| Some((file, sniffed(facts)?))).collect();
    let unknown = files.into_values().filter(|file| !known.contains_key(&file.digest));
    let (whole, large): (Vec<_>, Vec<_>) = unknown.partition(|file| fits_the_window(file));
    known.extend(look_at(store, &whole)?);
    known.extend(peek_at(store, &large)?);
    let artifacts = release.artifacts().iter().map(|artifact| with_kind(artifact, &known));
    let name = release.name().clone();
    let release = Release::from_stored(name.clone(), release.index().clone(), artifacts.collect())
        .map_err(|source| StoreError::Release { name, source })?;
    Ok((release, large.is_empty()))
}

fn fits_the_window(file: &Descriptor) -> bool {
    usize::try_from(file.size).is_ok_and(|bytes| bytes <= WINDOW_BYTES)
}

fn sniffed(BlobFacts { kind, platform, .. }: BlobFacts) -> Option<Sniffed> {
    Some(Sniffed { kind: kind?, platform })
}

fn look_at(store: &Store, files: &[&Descriptor]) -> Result<Known, StoreError> {
    let looked_at = files.par_iter().map(|file| {
        let facts = look(store, &file.digest, Sha512Wanted::No, &())?;
        Ok((file.digest, facts))
    });
    let looked_at: BTreeMap<_, _> = in_order(looked_at)?.into_iter().collect();
    store.facts().put_many(&looked_at);
    Ok(looked_at.into_iter().filter_map(|(file, facts)| Some((file, sniffed(facts)?))).collect())
}

fn peek_at(store: &Store, files: &[&Descriptor]) -> Result<Known, StoreError> {
    let peeked_at = files.par_iter().map(|file| {
        let (window, bytes) = store.pool().peek(&file.digest, WINDOW_BYTES)?;
        Ok((file.digest, sniff(&window, bytes)))
    });
    Ok(in_order(peeked_at)?.into_iter().collect())
}

/// Of a file only what its bytes say of the platform counts: the index was written by the other side, and
/// policies choose demands by it.
fn with_kind(artifact: &Artifact, known: &Known) -> Artifact {
    if artifact.is_image() {
        return Artifact { kind: None, ..artifact.clone() };
    }
    let sniffed = known.get(&artifact.file.digest);
    Artifact {
        kind: sniffed.map(|sniffed| sniffed.kind),
        platform: sniffed.and_then(|sniffed| sniffed.platform.clone()),
        ..artifact.clone()
    }
}

#[cfg(test)]
mod tests {
    use bonded_model::media_type::{OCI_INDEX, OCTET_STREAM};
    use bonded_model::{Artifact, ContentKind, Descriptor, MediaType, Platform};

    use super::{Sniffed, with_kind};

    /// The platform that the index claimed was believed where the bytes of a file say none.
    #[test]
    fn the_index_says_nothing_of_the_platform_of_a_file() {
        let platform: Platform = "linux/amd64".parse().unwrap();
        let file = Descriptor::of(MediaType::known(OCTET_STREAM), b"text");
        let file = Artifact::of_file("a".parse().unwrap(), file, None, None).0;
        let top = Descriptor::of(MediaType::known(OCI_INDEX), b"index");
        let image = Artifact::of_image(&"registry.example/a:v1".parse().unwrap(), &top).unwrap();
        let seen = |artifact: &Artifact, sniffed: Option<Platform>| {
            let claimed = Some("windows/386".parse().unwrap());
            let artifact = Artifact { platform: claimed, ..artifact.clone() };
            let known =
                [(artifact.file.digest, Sniffed { kind: ContentKind::Text, platform: sniffed })]
                    .into();
            with_kind(&artifact, &known).platform.map(|platform| platform.to_string())
        };
        assert_eq!(seen(&file, None), None);
        assert_eq!(seen(&file, Some(platform)).as_deref(), Some("linux/amd64"));
        assert_eq!(seen(&image, None).as_deref(), Some("windows/386"));
    }
}
