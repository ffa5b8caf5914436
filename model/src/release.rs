//! A release: project, version and the closed set of its artifacts.
//!
//! On the wire it is an OCI index of file manifests:
//!
//! ```text
//! index  artifactType application/vnd.bonded.release.v1, annotations project and version
//!   └─ manifest  artifactType application/vnd.bonded.file.v1, annotation title = path
//!        └─ layer  the file, verbatim: the layer digest is the file's SHA-256
//! ```

use serde::Serialize;

use crate::descriptor::{
    ANNOTATION_PROJECT, ANNOTATION_SHA512, ANNOTATION_TITLE, ANNOTATION_VERSION, Descriptor,
    Platform,
};
use crate::digest::Digest;
use crate::limits::{ARTIFACT_COUNT_MAX, MANIFEST_BYTES_MAX};
use crate::manifest::{Index, Manifest};
use crate::media_type::{self, MediaType};
use crate::name::{ArtifactPath, ReleaseName};

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Where it stands in the release.
    pub path: ArtifactPath,
    /// The file itself: its digest is the SHA-256 that in-toto subjects name.
    pub file: Descriptor,
    /// The OCI manifest around it: what referrers name as their subject.
    pub manifest: Descriptor,
    /// SHA-512 of the file, where somebody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Digest>,
    /// Operating system and architecture, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// A release and its artifacts, ordered by path, each path once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    name: ReleaseName,
    index: Descriptor,
    artifacts: Vec<Artifact>,
}

/// Why an index and its manifests are no release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A release without artifacts would pass every check on artifacts.
    #[error("release {name} has no artifacts")]
    Empty {
        /// Which release.
        name: ReleaseName,
    },
    /// More artifacts than [`ARTIFACT_COUNT_MAX`].
    #[error("release {name} has {count} artifacts, the limit is {ARTIFACT_COUNT_MAX}")]
    TooMany {
        /// Which release.
        name: ReleaseName,
        /// How many there are.
        count: usize,
    },
    /// Two artifacts claim one path.
    #[error("release {name} has {path} twice, as {first} and as {second}")]
    Twice {
        /// Which release.
        name: ReleaseName,
        /// The path.
        path: ArtifactPath,
        /// The file digest seen first.
        first: Digest,
        /// The file digest seen second.
        second: Digest,
    },
    /// A file is also a directory on the way to another file.
    #[error("release {name} has {path} as a file and as a directory")]
    FileAndDirectory {
        /// Which release.
        name: ReleaseName,
        /// The path that is both.
        path: ArtifactPath,
    },
    /// The index would be longer than any reader accepts: too many artifacts with too long paths.
    #[error("the index of release {name} has {bytes} bytes, the limit is {MANIFEST_BYTES_MAX}")]
    IndexTooLarge {
        /// Which release.
        name: ReleaseName,
        /// The length of its index.
        bytes: u64,
    },
    /// The manifest of a file does not hold exactly one layer with a title.
    #[error("manifest {manifest} is no file of a release: {reason}")]
    NotAFile {
        /// The manifest's digest.
        manifest: Digest,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Release {
    /// A release of these artifacts, with its index made and hashed.
    ///
    /// # Errors
    /// [`ReleaseError`] if the set is empty, too large, or a path stands in it twice, or if the index
    /// would be longer than registries and this program accept.
    pub fn new(name: ReleaseName, artifacts: Vec<Artifact>) -> Result<(Self, Index), ReleaseError> {
        let artifacts = checked(&name, artifacts)?;
        let index = index_of(&name, &artifacts);
        let descriptor = Descriptor {
            artifact_type: index.artifact_type.clone(),
            ..Descriptor::of(MediaType::known(media_type::OCI_INDEX), &index.to_bytes())
        };
        if descriptor.size > MANIFEST_BYTES_MAX {
            return Err(ReleaseError::IndexTooLarge { name, bytes: descriptor.size });
        }
        Ok((Self { name, index: descriptor, artifacts }, index))
    }

    /// A release as read back from its index and the artifacts of its manifests.
    ///
    /// # Errors
    /// As [`Release::new`].
    pub fn from_stored(
        name: ReleaseName,
        index: Descriptor,
        artifacts: Vec<Artifact>,
    ) -> Result<Self, ReleaseError> {
        let artifacts = checked(&name, artifacts)?;
        Ok(Self { name, index, artifacts })
    }

    /// Project and version.
    pub fn name(&self) -> &ReleaseName {
        &self.name
    }

    /// The release index; its digest is the identity of the release.
    pub fn index(&self) -> &Descriptor {
        &self.index
    }

    /// The identity of the release.
    pub fn digest(&self) -> Digest {
        self.index.digest
    }

    /// The artifacts in the order of their paths.
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// The artifact at that path.
    pub fn artifact(&self, path: &ArtifactPath) -> Option<&Artifact> {
        let at = self.artifacts.binary_search_by(|artifact| artifact.path.cmp(path));
        at.ok().and_then(|at| self.artifacts.get(at)) // not found is an answer, not an error
    }
}

impl Artifact {
    /// The manifest that holds one file, and the artifact that it makes.
    pub fn of_file(
        path: ArtifactPath,
        file: Descriptor,
        sha512: Option<Digest>,
        platform: Option<Platform>,
    ) -> (Self, Manifest) {
        let mut manifest =
            Manifest::artifact(MediaType::known(media_type::BONDED_FILE), file.clone());
        manifest.annotations.insert(ANNOTATION_TITLE.into(), path.to_string());
        if let Some(digest) = &sha512 {
            manifest.annotations.insert(ANNOTATION_SHA512.into(), digest.hex());
        }
        let descriptor = Descriptor {
            artifact_type: manifest.artifact_type.clone(),
            ..Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &manifest.to_bytes())
        };
        (Self { path, file, manifest: descriptor, sha512, platform }, manifest)
    }

    /// The artifact behind a file manifest that was read back.
    ///
    /// # Errors
    /// [`ReleaseError::NotAFile`] unless there is one layer, a title and the right type.
    pub fn from_stored(listed: &Descriptor, manifest: &Manifest) -> Result<Self, ReleaseError> {
        let not_a_file = |reason| ReleaseError::NotAFile { manifest: listed.digest, reason };
        if manifest.artifact_type.as_ref().map(MediaType::as_str) != Some(media_type::BONDED_FILE) {
            return Err(not_a_file("its artifactType is not application/vnd.bonded.file.v1"));
        }
        let [file] = manifest.layers.as_slice() else {
            return Err(not_a_file("it does not have exactly one layer"));
        };
        let title = manifest.annotations.get(ANNOTATION_TITLE);
        let path = title.and_then(|title| title.parse().ok()); // the reason below covers both
        Ok(Self {
            path: path.ok_or_else(|| not_a_file("its title is no path inside a release"))?,
            file: file.clone(),
            manifest: Descriptor {
                platform: None,
                annotations: Default::default(),
                ..listed.clone()
            },
            sha512: None, // an annotation is a hint; the store knows what it hashed
            platform: listed.platform.clone(),
        })
    }
}

fn checked(
    name: &ReleaseName,
    mut artifacts: Vec<Artifact>,
) -> Result<Vec<Artifact>, ReleaseError> {
    if artifacts.is_empty() {
        return Err(ReleaseError::Empty { name: name.clone() });
    }
    if artifacts.len() > ARTIFACT_COUNT_MAX {
        return Err(ReleaseError::TooMany { name: name.clone(), count: artifacts.len() });
    }
    artifacts.sort_by(|a, b| a.path.cmp(&b.path));
    for pair in artifacts.windows(2) {
        if let [first, second] = pair
            && first.path == second.path
        {
            return Err(ReleaseError::Twice {
                name: name.clone(),
                path: first.path.clone(),
                first: first.file.digest,
                second: second.file.digest,
            });
        }
    }
    match file_and_directory(&artifacts) {
        Some(path) => Err(ReleaseError::FileAndDirectory { name: name.clone(), path }),
        None => Ok(artifacts),
    }
}

/// A path that is a file and also a directory above another file: no tree can hold both.
fn file_and_directory(artifacts: &[Artifact]) -> Option<ArtifactPath> {
    let files: std::collections::BTreeSet<&str> =
        artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    artifacts.iter().find_map(|artifact| {
        let mut directory = artifact.path.directory();
        while !directory.is_empty() {
            if files.contains(directory) {
                return directory.parse().ok(); // it is an accepted path's own prefix
            }
            directory = directory.rsplit_once('/').map_or("", |(above, _)| above);
        }
        None
    })
}

fn index_of(name: &ReleaseName, artifacts: &[Artifact]) -> Index {
    let manifests = artifacts
        .iter()
        .map(|artifact| {
            let mut listed =
                Descriptor { platform: artifact.platform.clone(), ..artifact.manifest.clone() };
            listed.annotations.insert(ANNOTATION_TITLE.into(), artifact.path.to_string());
            listed
        })
        .collect();
    let mut index = Index::artifact(MediaType::known(media_type::BONDED_RELEASE), manifests);
    index.annotations.insert(ANNOTATION_PROJECT.into(), name.project.to_string());
    index.annotations.insert(ANNOTATION_VERSION.into(), name.version.to_string());
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(path: &str, bytes: &[u8]) -> Artifact {
        let file = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), bytes);
        Artifact::of_file(path.parse().unwrap(), file, None, None).0
    }

    fn name() -> ReleaseName {
        "demo@v1.0.0".parse().unwrap()
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let (one, _) =
            Release::new(name(), vec![artifact("a", b"1"), artifact("b", b"2")]).unwrap();
        let (two, _) =
            Release::new(name(), vec![artifact("b", b"2"), artifact("a", b"1")]).unwrap();
        assert_eq!(one, two);
        assert_eq!(one.artifact(&"b".parse().unwrap()).unwrap().file.size, 1);
    }

    #[test]
    fn a_stored_file_manifest_reads_back() {
        let file = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), b"x");
        let (made, manifest) = Artifact::of_file("bin/x".parse().unwrap(), file, None, None);
        let read = Manifest::parse(&manifest.to_bytes()).unwrap();
        assert_eq!(Artifact::from_stored(&made.manifest, &read).unwrap(), made);
    }

    /// A path of this length for each number, in components that are short enough.
    fn long_path(number: usize, length: usize) -> String {
        let mut path = format!("{number:06}");
        while path.len() < length {
            path.push(if path.len() % 200 == 100 && path.len() + 1 < length { '/' } else { 'x' });
        }
        path
    }

    #[test]
    fn the_index_has_as_many_bytes_as_its_readers_accept() {
        let limit = usize::try_from(MANIFEST_BYTES_MAX).unwrap();
        let made = |lengths: &[usize]| {
            let paths = lengths.iter().enumerate().map(|(at, length)| long_path(at, *length));
            Release::new(name(), paths.map(|path| artifact(&path, b"x")).collect())
        };
        let bytes_of = |lengths: &[usize]| made(lengths).unwrap().1.to_bytes().len();
        let (one, two) = (bytes_of(&[900]), bytes_of(&[900, 900]));
        let mut lengths = vec![900; (limit - one) / (two - one) + 1];
        let mut missing = limit - bytes_of(&lengths);
        for length in &mut lengths {
            let more = missing.min(100);
            *length += more;
            missing -= more;
        }
        let (release, index) = made(&lengths).unwrap();
        assert_eq!((index.to_bytes().len(), release.index().size), (limit, MANIFEST_BYTES_MAX));
        *lengths.last_mut().unwrap() += 1;
        let error = made(&lengths).unwrap_err();
        let over = MANIFEST_BYTES_MAX + 1;
        assert!(matches!(error, ReleaseError::IndexTooLarge { bytes, .. } if bytes == over));
    }

    #[test]
    fn must_reject() {
        assert!(matches!(Release::new(name(), vec![]), Err(ReleaseError::Empty { .. })));
        let twice = vec![artifact("a", b"1"), artifact("a", b"2")];
        assert!(matches!(Release::new(name(), twice), Err(ReleaseError::Twice { .. })));
        let both = vec![artifact("a", b"1"), artifact("a-b", b"1"), artifact("a/b/c", b"2")];
        assert!(matches!(Release::new(name(), both), Err(ReleaseError::FileAndDirectory { .. })));
    }
}
