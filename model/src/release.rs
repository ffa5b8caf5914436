//! A release: project, version and the closed set of its artifacts.
//!
//! On the wire it is an OCI index of file manifests and images:
//!
//! ```text
//! index  artifactType application/vnd.bonded.release.v1, annotations project and version
//!   ├─ manifest  artifactType application/vnd.bonded.file.v1, annotation title = path
//!   │    └─ layer  the file, verbatim: the layer digest is the file's SHA-256
//!   └─ image     its own manifest or index, annotation ref.name = <repository>:<tag>
//! ```
//!
//! An image stands at the path `images/<repository>/<tag>`, and its manifest or index is file and
//! manifest at once: what statements about images name, and what their referrers refer to.

use serde::Serialize;

use crate::content_kind::ContentKind;
use crate::descriptor::{
    ANNOTATION_PROJECT, ANNOTATION_REF_NAME, ANNOTATION_SHA512, ANNOTATION_TITLE,
    ANNOTATION_VERSION, Descriptor, Platform,
};
use crate::digest::Digest;
use crate::limits::{ARTIFACT_COUNT_MAX, MANIFEST_BYTES_MAX};
use crate::manifest::{Index, Manifest};
use crate::media_type::{self, MediaType};
use crate::name::{ArtifactPath, ImageName, ReleaseName};
use crate::spelling::Spellings;

/// The directory of a release's tree in which its images stand.
const IMAGES: &str = "images/";

/// What the manifest or index of an image may be.
const IMAGE_TYPES: [&str; 4] = [
    media_type::OCI_MANIFEST,
    media_type::OCI_INDEX,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_LIST,
];

/// One file or image of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Where it stands in the release.
    pub path: ArtifactPath,
    /// The file itself: its digest is the SHA-256 that in-toto subjects name. Of an image, its own
    /// manifest or index.
    pub file: Descriptor,
    /// The OCI manifest around it: what referrers name as their subject. Of an image, the same as
    /// `file`.
    pub manifest: Descriptor,
    /// SHA-512 of the file, where somebody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Digest>,
    /// Operating system and architecture, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What its bytes are, where somebody looked; of an image its media type says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ContentKind>,
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
    /// Two paths are one on file systems that ignore case or the form of letters.
    #[error("release {name} has {path} and {other}, which some file systems take for one")]
    Spelling {
        /// Which release.
        name: ReleaseName,
        /// The path that comes second.
        path: ArtifactPath,
        /// The path that comes first.
        other: ArtifactPath,
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
    /// What stands as an image in the index is none.
    #[error("{manifest} is no image of a release: {reason}")]
    NotAnImage {
        /// The digest of its manifest or index.
        manifest: Digest,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Release {
    /// A release of these artifacts, with its index made and hashed.
    ///
    /// # Errors
    /// [`ReleaseError`] if the set is empty, too large, or a path stands in it twice or in two spellings,
    /// or if the index would be longer than registries and this program accept.
    pub fn new(name: ReleaseName, artifacts: Vec<Artifact>) -> Result<(Self, Index), ReleaseError> {
        let artifacts = checked(&name, artifacts)?;
        check_spellings(&name, artifacts.iter().map(|artifact| &artifact.path))?;
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
    /// As [`Release::new`], but that paths are not compared by spelling: what is held stays readable.
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

    /// The paths of the artifacts, in order.
    pub fn paths(&self) -> impl Iterator<Item = &ArtifactPath> {
        self.artifacts.iter().map(|artifact| &artifact.path)
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
        (Self { path, file, manifest: descriptor, sha512, platform, kind: None }, manifest)
    }

    /// The artifact that an image is, given the descriptor of its own manifest or index. Annotations
    /// of that descriptor belong to the list that it was found in, and are left out.
    ///
    /// # Errors
    /// [`ReleaseError::NotAnImage`] if the media type is not that of an image.
    pub fn of_image(name: &ImageName, image: &Descriptor) -> Result<Self, ReleaseError> {
        if !IMAGE_TYPES.contains(&image.media_type.as_str()) {
            let reason = "its media type is not that of an image manifest or index";
            return Err(ReleaseError::NotAnImage { manifest: image.digest, reason });
        }
        let path = format!("{IMAGES}{}/{}", name.repository, name.tag);
        let platform = image.platform.clone();
        let image = Descriptor { platform: None, annotations: Default::default(), ..image.clone() };
        Ok(Self {
            path: path.parse().expect("repositories and tags are short components without dots"),
            file: image.clone(),
            manifest: image,
            sha512: None,
            platform,
            kind: None,
        })
    }

    /// Whether it is an image and no file. No manifest can hold its own digest, so of a file the two
    /// differ.
    pub fn is_image(&self) -> bool {
        self.file.digest == self.manifest.digest
    }

    /// The name of the image, if it is one.
    pub fn image_name(&self) -> Option<ImageName> {
        let (repository, tag) = self.path.as_str().strip_prefix(IMAGES)?.rsplit_once('/')?;
        // A path of another shape is that of a file.
        let name = ImageName { repository: repository.parse().ok()?, tag: tag.parse().ok()? };
        self.is_image().then_some(name)
    }

    /// The image that an entry of a release index stands for; `None` if it stands for a file.
    ///
    /// # Errors
    /// [`ReleaseError::NotAnImage`] if it could be both, has no name of an image, or another media type.
    pub fn image_from_listed(listed: &Descriptor) -> Result<Option<Self>, ReleaseError> {
        let Some(name) = listed.annotations.get(ANNOTATION_REF_NAME) else {
            return Ok(None);
        };
        let not_an_image = |reason| ReleaseError::NotAnImage { manifest: listed.digest, reason };
        let artifact_type = listed.artifact_type.as_ref().map(MediaType::as_str);
        if artifact_type == Some(media_type::BONDED_FILE)
            || listed.annotations.contains_key(ANNOTATION_TITLE)
        {
            return Err(not_an_image("it is listed as a file and as an image"));
        }
        let name = name.parse().map_err(|_why| not_an_image("its name is not REPOSITORY:TAG"))?;
        Self::of_image(&name, listed).map(Some)
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
            kind: None, // as above
        })
    }
}

/// That each name in a tree of these paths has one spelling.
///
/// # Errors
/// [`ReleaseError::Spelling`] with the first two that differ only by spelling.
pub fn check_spellings<'a>(
    name: &ReleaseName,
    paths: impl IntoIterator<Item = &'a ArtifactPath>,
) -> Result<(), ReleaseError> {
    let mut spellings = Spellings::default();
    paths.into_iter().try_for_each(|path| {
        spellings.add(path).map_err(|other| {
            let (name, path) = (name.clone(), path.clone());
            ReleaseError::Spelling { name, path, other }
        })
    })
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
            let (annotation, value) = match artifact.image_name() {
                Some(name) => (ANNOTATION_REF_NAME, name.to_string()),
                None => (ANNOTATION_TITLE, artifact.path.to_string()),
            };
            listed.annotations.insert(annotation.into(), value);
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

    #[test]
    fn the_digest_of_a_release_of_files_stays_what_it_was() {
        let artifacts = vec![artifact("bin/x", b"12"), artifact("images/a", b"3")];
        let (release, index) = Release::new(name(), artifacts).unwrap();
        let digest = "sha256:601dbd35ce646fb170697bd0002fdf6bb909fd9de0cda2b55b078c9e5ce1db72";
        assert_eq!(release.digest().to_string(), digest);
        assert_eq!(Digest::sha256_of(&index.to_bytes()), release.digest());
        assert!(release.artifacts().iter().all(|artifact| artifact.image_name().is_none()));
    }

    #[test]
    fn one_name_has_one_spelling_in_a_new_release() {
        let image = |name: &str| {
            Artifact::of_image(&name.parse().unwrap(), &image(media_type::OCI_MANIFEST)).unwrap()
        };
        for artifacts in [
            vec![artifact("README", b"1"), artifact("readme", b"2")],
            vec![artifact("Bin/x", b"1"), artifact("bin/y", b"2")],
            vec![image("a:v1"), image("a:V1")],
            vec![image("a:v1"), artifact("Images/x", b"1")],
        ] {
            let error = Release::new(name(), artifacts.clone()).unwrap_err();
            assert!(matches!(error, ReleaseError::Spelling { .. }), "{error}");
            let index = Descriptor::of(MediaType::known(media_type::OCI_INDEX), b"{}");
            Release::from_stored(name(), index, artifacts).unwrap(); // what is held stays readable
        }
    }

    fn image(media_type: &'static str) -> Descriptor {
        let mut image = Descriptor::of(MediaType::known(media_type), b"{}");
        image.annotations.insert(ANNOTATION_REF_NAME.into(), "latest".into());
        image
    }

    #[test]
    fn an_image_stands_under_its_name_and_reads_back() {
        let name_of_image: ImageName = "registry.k8s.io:443/a/b:v1".parse().unwrap();
        for media_type in IMAGE_TYPES {
            let made = Artifact::of_image(&name_of_image, &image(media_type)).unwrap();
            assert_eq!(made.path.as_str(), "images/registry.k8s.io:443/a/b/v1");
            assert_eq!((made.is_image(), made.image_name()), (true, Some(name_of_image.clone())));
            let (_, index) = Release::new(name(), vec![made.clone(), artifact("z", b"1")]).unwrap();
            let [listed, file] = index.manifests.as_slice() else { panic!("{index:?}") };
            let annotations: Vec<_> = listed.annotations.iter().collect();
            let expected = (ANNOTATION_REF_NAME.to_owned(), name_of_image.to_string());
            assert_eq!(annotations, [(&expected.0, &expected.1)]);
            assert_eq!(Artifact::image_from_listed(listed).unwrap(), Some(made));
            assert_eq!(Artifact::image_from_listed(file).unwrap(), None);
        }
    }

    #[test]
    fn an_image_keeps_its_platform_beside_its_descriptor() {
        let platform = Platform { architecture: "arm64".into(), os: "linux".into(), variant: None };
        let listed =
            Descriptor { platform: Some(platform.clone()), ..image(media_type::OCI_MANIFEST) };
        let made = Artifact::of_image(&"a:1".parse().unwrap(), &listed).unwrap();
        assert_eq!((&made.platform, &made.file.platform), (&Some(platform.clone()), &None));
        let (_, index) = Release::new(name(), vec![made]).unwrap();
        assert_eq!(index.manifests.first().unwrap().platform, Some(platform));
    }

    #[test]
    fn must_reject_as_images() {
        let named = |name: &str, change: &dyn Fn(&mut Descriptor)| {
            let mut listed = image(media_type::OCI_INDEX);
            listed.annotations.insert(ANNOTATION_REF_NAME.into(), name.into());
            change(&mut listed);
            Artifact::image_from_listed(&listed)
        };
        assert!(matches!(named("a:1", &|_| {}), Ok(Some(_))));
        let with_title = |listed: &mut Descriptor| {
            listed.annotations.insert(ANNOTATION_TITLE.into(), "a".into());
        };
        let as_file = |listed: &mut Descriptor| {
            listed.artifact_type = Some(MediaType::known(media_type::BONDED_FILE));
        };
        let of_bytes = |listed: &mut Descriptor| {
            listed.media_type = MediaType::known(media_type::OCTET_STREAM);
        };
        for (name, change) in [
            ("a:1", &with_title as &dyn Fn(&mut Descriptor)),
            ("a:1", &as_file),
            ("a:1", &of_bytes),
            ("a", &|_| {}),
            ("A:1", &|_| {}),
            ("../a:1", &|_| {}),
            ("", &|_| {}),
        ] {
            let result = named(name, change);
            assert!(matches!(result, Err(ReleaseError::NotAnImage { .. })), "{name} {result:?}");
        }
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
        let images = ["a:b", "a/b:c"].map(|name| {
            Artifact::of_image(&name.parse().unwrap(), &image(media_type::OCI_INDEX)).unwrap()
        });
        let result = Release::new(name(), images.to_vec());
        assert!(matches!(result, Err(ReleaseError::FileAndDirectory { .. })));
        let taken = vec![artifact("images/a/b", b"1"), images[0].clone()];
        assert!(matches!(Release::new(name(), taken), Err(ReleaseError::Twice { .. })));
    }
}
