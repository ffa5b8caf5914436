//! What the files of a release are and what they run on, for evidence: policies choose demands by it. It
//! is told from the beginning of each blob, every time: the facts lie in the store, and whoever may write
//! there could choose the demands.
//!
//! ```text
//! a blob no longer than the window  read as a whole, and checked; what the facts say else is put right
//! any other blob                    its window alone, unchecked; certain where the facts say the same
//! ```
//!
//! To hash every large file for this would make the first look at a release as slow as a check of all of it.
//! What a damaged blob says here goes no further: nobody is given its bytes, and once it is mended it is
//! looked at again.

use std::collections::BTreeMap;

use bonded_model::json::to_canonical;
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
/// checked, now or when the facts were made. Of an image its media type says what it is, and the release index
/// what it runs on.
pub(crate) fn with_kinds(store: &Store, release: Release) -> Result<(Release, bool), StoreError> {
    let files = release.artifacts().iter().filter(|artifact| !artifact.is_image());
    let files: BTreeMap<Digest, &Descriptor> =
        files.map(|artifact| (artifact.file.digest, &artifact.file)).collect();
    let digests: Vec<Digest> = files.keys().copied().collect();
    let held = store.facts().get_many(&digests);
    let held: Known =
        held.into_iter().filter_map(|(file, facts)| Some((file, sniffed(facts)?))).collect();
    let (whole, large): (Vec<_>, Vec<_>) =
        files.into_values().partition(|file| fits_the_window(file));
    let peeked = peek_at(store, &large)?;
    let is_certain = peeked.iter().all(|(file, seen)| held.get(file) == Some(seen));
    let mut known = look_at(store, &whole, &held)?;
    known.extend(peeked);
    let artifacts = release.artifacts().iter().map(|artifact| with_kind(artifact, &known));
    let name = release.name().clone();
    let release = Release::from_stored(name.clone(), release.index().clone(), artifacts.collect())
        .map_err(|source| StoreError::Release { name, source })?;
    Ok((release, is_certain))
}

/// What stands for kind and platform of every artifact, as that release has them.
pub(crate) fn digest_of(release: &Release) -> Digest {
    let seen = release.artifacts().iter().map(|a| (&a.path, a.kind, &a.platform));
    Digest::sha256_of(&to_canonical(&("content", seen.collect::<Vec<_>>())))
}

fn fits_the_window(file: &Descriptor) -> bool {
    usize::try_from(file.size).is_ok_and(|bytes| bytes <= WINDOW_BYTES)
}

fn sniffed(BlobFacts { kind, platform, .. }: BlobFacts) -> Option<Sniffed> {
    Some(Sniffed { kind: kind?, platform })
}

fn look_at(store: &Store, files: &[&Descriptor], held: &Known) -> Result<Known, StoreError> {
    let looked_at = files.par_iter().map(|file| {
        let facts = look(store, &file.digest, Sha512Wanted::No, &())?;
        Ok((file.digest, facts))
    });
    let (mut known, mut others) = (Known::new(), BTreeMap::new());
    for (file, facts) in in_order(looked_at)? {
        let Some(seen) = sniffed(facts.clone()) else { continue };
        if held.get(&file) != Some(&seen) {
            others.insert(file, facts);
        }
        known.insert(file, seen);
    }
    store.facts().put_many(&others);
    Ok(known)
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
