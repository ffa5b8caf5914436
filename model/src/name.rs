//! Names of projects, versions, releases, images and the paths inside a release.
//!
//! Each parses once, at the edge; inside, the type is the proof that a name is safe to use as a
//! path component, a URL segment and a catalog key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{
    NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_COMPONENT_BYTES_MAX, REPOSITORY_BYTES_MAX, TAG_BYTES_MAX,
};

/// Why a text is no name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A project is lower-case letters, digits and inner `.`, `_`, `-`.
    #[error("{text:?} is no project name; expected lower-case letters, digits and inner . _ -")]
    Project {
        /// The text as given, cut.
        text: String,
    },
    /// A version is letters, digits and inner `.`, `_`, `+`, `-`.
    #[error("{text:?} is no version; expected letters, digits and inner . _ + -")]
    Version {
        /// The text as given, cut.
        text: String,
    },
    /// A release is `PROJECT@VERSION`.
    #[error("{text:?} is no release; expected PROJECT@VERSION, for example kubernetes@v1.31.2")]
    Release {
        /// The text as given, cut.
        text: String,
    },
    /// A repository is lower-case path components, perhaps behind a registry's host and port.
    #[error(
        "{text:?} is no repository; expected lower-case names between slashes, for example registry.k8s.io/pause"
    )]
    Repository {
        /// The text as given, cut.
        text: String,
    },
    /// A tag is letters, digits, `_`, and after the first character `.` and `-`.
    #[error("{text:?} is no tag; expected letters, digits and _ . -, 128 at most")]
    Tag {
        /// The text as given, cut.
        text: String,
    },
    /// An image is `REPOSITORY:TAG`.
    #[error(
        "{text:?} is no image; expected REPOSITORY:TAG, for example registry.k8s.io/pause:3.10"
    )]
    Image {
        /// The text as given, cut.
        text: String,
    },
    /// A path inside a release is refused for the named reason.
    #[error("{text:?} is no path inside a release: {reason}")]
    Path {
        /// The text as given, cut.
        text: String,
        /// What is wrong with it.
        reason: PathFault,
    },
}

/// What makes a path unfit to stand inside a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// No characters.
    #[error("it is empty")]
    Empty,
    /// Longer than [`PATH_BYTES_MAX`] or a component longer than [`PATH_COMPONENT_BYTES_MAX`].
    #[error("it is too long")]
    TooLong,
    /// Starts with `/`.
    #[error("it is absolute")]
    Absolute,
    /// A component is `.` or `..`.
    #[error("it has a component . or ..")]
    Dots,
    /// A component is empty.
    #[error("it has an empty component")]
    EmptyComponent,
    /// Has a control character (NUL among them), a backslash, or a character that is not seen: text
    /// directions, joiners, variation selectors, separators of lines, and all others that fonts show as
    /// nothing. With those, a path could be shown to people as another one.
    #[error("it has a control character, a character that is not seen or a backslash")]
    Character,
    /// A component ends in a dot or a space, which Windows drops, so that two names would be one there.
    /// A colon, which Windows refuses, is let through: a repository's port has one, and a package's epoch.
    #[error("it has a component that ends in a dot or a space")]
    Ending,
    /// Stands under [`RESERVED_DIRECTORY`], where generated documents go.
    #[error("its first component is reserved for documents that bonded itself writes")]
    Reserved,
}

/// The directory of a release's tree that no ingested file may claim: evidence without a name of
/// its own is published there under its digest.
pub const RESERVED_DIRECTORY: &str = ".bonded";

macro_rules! text_type {
    ($name:ident, $what:literal) => {
        impl $name {
            #[doc = concat!("The ", $what, " as text.")]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The name of a project: `[a-z0-9]` with inner `.`, `_`, `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Project(String);
text_type!(Project, "project");

/// A version as the project spells it: letters and digits with inner `.`, `_`, `+`, `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(String);
text_type!(Version, "version");

/// A path inside a release: relative, `/` between components, no `.`, `..`, control characters or
/// text directions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactPath(String);
text_type!(ArtifactPath, "path");

/// `PROJECT@VERSION`: the name of a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseName {
    /// Whose release it is.
    pub project: Project,
    /// Which one.
    pub version: Version,
}

/// The name of a repository of images: `[a-z0-9]` with inner `.`, `_`, `__` and dashes, in components
/// between slashes; the first may be a host with a port (OCI distribution-spec, "Pulling manifests").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);
text_type!(Repository, "repository");

/// The tag of an image (OCI distribution-spec, "Pulling manifests").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);
text_type!(Tag, "tag");

/// `REPOSITORY:TAG`: the name of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Where it belongs.
    pub repository: Repository,
    /// Which one.
    pub tag: Tag,
}

impl FromStr for Project {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let lower = text.bytes().all(|b| !b.is_ascii_uppercase() && b != b'+');
        if lower && is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Project { text: cut(text) })
        }
    }
}

impl FromStr for Version {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Version { text: cut(text) })
        }
    }
}

impl Version {
    /// The version in the order of Semantic Versioning, with or without a leading `v`.
    pub fn to_semver(&self) -> Option<semver::Version> {
        let text = self.0.strip_prefix('v').unwrap_or(&self.0);
        semver::Version::parse(text).ok() // not semantic is an answer
    }
}

impl FromStr for ReleaseName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (project, version) =
            text.split_once('@').ok_or_else(|| NameError::Release { text: cut(text) })?;
        Ok(Self { project: project.parse()?, version: version.parse()? })
    }
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.project, self.version)
    }
}

impl Serialize for ReleaseName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReleaseName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Repository {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (first, rest) = text.split_once('/').unwrap_or((text, ""));
        let host = match first.split_once(':') {
            Some((host, port)) if is_port(port) && !rest.is_empty() => host,
            _ => first, // a colon that is left makes it no component
        };
        let components = text.split('/').skip(1);
        if text.len() <= REPOSITORY_BYTES_MAX
            && is_repository_component(host)
            && components.into_iter().all(is_repository_component)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Repository { text: cut(text) })
        }
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let first = bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let legal = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
        if first && bytes.len() <= TAG_BYTES_MAX && bytes.iter().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Tag { text: cut(text) })
        }
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => {
                Ok(Self { repository: repository.parse()?, tag: tag.parse()? })
            }
            _ => Err(NameError::Image { text: cut(text) }),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl Serialize for ImageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for ArtifactPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match path_fault(text) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(NameError::Path { text: cut(text), reason }),
        }
    }
}

impl ArtifactPath {
    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.as_str(), |(_, name)| name)
    }

    /// The path for people who have to tell it from another one that looks the same: letters beyond
    /// ASCII stand as `\u{…}`.
    pub fn escaped(&self) -> String {
        let escape = |letter: char| match letter.is_ascii() {
            true => letter.to_string(),
            false => letter.escape_unicode().to_string(),
        };
        self.0.chars().map(escape).collect()
    }

    /// The directory part, without the slash; empty at the top.
    pub fn directory(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(directory, _)| directory)
    }
}

fn path_fault(text: &str) -> Option<PathFault> {
    if text.is_empty() {
        return Some(PathFault::Empty);
    }
    if text.len() > PATH_BYTES_MAX {
        return Some(PathFault::TooLong);
    }
    if text.starts_with('/') {
        return Some(PathFault::Absolute);
    }
    if text.chars().any(|c| c.is_control() || c == '\\' || is_unseen(c)) {
        return Some(PathFault::Character);
    }
    if text.split('/').next() == Some(RESERVED_DIRECTORY) {
        return Some(PathFault::Reserved);
    }
    text.split('/').find_map(|component| match component {
        "" => Some(PathFault::EmptyComponent),
        "." | ".." => Some(PathFault::Dots),
        _ if component.len() > PATH_COMPONENT_BYTES_MAX => Some(PathFault::TooLong),
        _ if component.ends_with(['.', ' ']) => Some(PathFault::Ending),
        _ => None,
    })
}

/// What is not seen: Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties), which holds the
/// explicit directions of UAX #9, and the separators of lines.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Letters and digits at both ends; `.`, `_`, `+`, `-` between.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= NAME_BYTES_MAX
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(b))
        && !text.contains("..")
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`: separators stand alone, but for `__` and dashes.
fn is_repository_component(text: &str) -> bool {
    let is_separator = |c: char| matches!(c, '.' | '_' | '-');
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    ends.iter().all(|end| end.is_some_and(is_word))
        && bytes.iter().all(|b| is_word(b) || b"._-".contains(b))
        && text
            .split(|c| !is_separator(c))
            .all(|run| run.len() <= 1 || run == "__" || run.bytes().all(|b| b == b'-'))
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_people_use_parse() {
        for text in ["kubernetes@v1.31.2", "cri-o@1.31.0-rc.1+build5", "a@1"] {
            assert_eq!(text.parse::<ReleaseName>().unwrap().to_string(), text);
        }
        for text in ["kubectl", "bin/linux/amd64/kubectl", "a b/ü.txt", "..x", "-", "a:1", " x"] {
            assert_eq!(text.parse::<ArtifactPath>().unwrap().as_str(), text);
        }
    }

    /// None of the texts parses, and each for this reason.
    fn refuses<T: FromStr<Err = NameError> + fmt::Debug>(
        texts: &[&str],
        is_expected: fn(&NameError) -> bool,
    ) {
        for text in texts {
            let parsed = text.parse::<T>();
            assert!(parsed.as_ref().is_err_and(is_expected), "{text:?}: {parsed:?}");
        }
    }

    #[test]
    fn must_reject_releases() {
        let long = format!("a@{}", "1".repeat(NAME_BYTES_MAX + 1));
        refuses::<ReleaseName>(&["", "a"], |e| matches!(e, NameError::Release { .. }));
        refuses::<ReleaseName>(&["@1", "A@1", "a/b@1"], |e| matches!(e, NameError::Project { .. }));
        refuses::<ReleaseName>(
            &["a@", "a@1/2", "a@..", "a@1..2", "a@-1", "a@1 ", "a@@1", "a@1\0", &long],
            |e| matches!(e, NameError::Version { .. }),
        );
    }

    #[test]
    fn images_that_people_use_parse() {
        for (text, repository, tag) in [
            ("registry.k8s.io/kube-apiserver:v1.31.2", "registry.k8s.io/kube-apiserver", "v1.31.2"),
            ("localhost:5000/a/b:latest", "localhost:5000/a/b", "latest"),
            ("a:1", "a", "1"),
            ("a__b/c---d/e.f_g:_x-1.2", "a__b/c---d/e.f_g", "_x-1.2"),
            ("10.0.0.1:80/x:sha256-ab.sig", "10.0.0.1:80/x", "sha256-ab.sig"),
        ] {
            let name: ImageName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!((name.repository.as_str(), name.tag.as_str()), (repository, tag));
        }
    }

    #[test]
    fn must_reject_images() {
        let long = format!("a:{}", "1".repeat(TAG_BYTES_MAX + 1));
        let deep = format!("{}a:1", "a/".repeat(REPOSITORY_BYTES_MAX / 2 + 1));
        refuses::<ImageName>(&["", "a", "a:1/2", "localhost:5000/a"], |e| {
            matches!(e, NameError::Image { .. })
        });
        refuses::<ImageName>(&["a:", "a:-1", "a:.1", "a:1 ", &long], |e| {
            matches!(e, NameError::Tag { .. })
        });
        let repositories = [
            ":1",
            "A:1",
            "a/B:1",
            "a//b:1",
            "/a:1",
            "a/:1",
            "../a:1",
            "a/..:1",
            "a/.b:1",
            "a..b:1",
            "a___b:1",
            "a._b:1",
            "a-:1",
            "a:b:c",
            "host:port/a:1",
            "host:123456/a:1",
            "a/b:80/c:1",
            "a@sha256:1",
            "a\0b:1",
            "\u{e4}:1",
            &deep,
        ];
        refuses::<ImageName>(&repositories, |e| matches!(e, NameError::Repository { .. }));
    }

    #[test]
    fn must_reject_paths() {
        let long = "a/".repeat(PATH_BYTES_MAX);
        let wide = "a".repeat(PATH_COMPONENT_BYTES_MAX + 1);
        let table = [
            ("", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("../x", PathFault::Dots),
            ("a/../../x", PathFault::Dots),
            ("a/./b", PathFault::Dots),
            ("a//b", PathFault::EmptyComponent),
            ("a/", PathFault::EmptyComponent),
            ("a\0b", PathFault::Character),
            ("a\nb", PathFault::Character),
            ("a\u{202e}gpj.exe", PathFault::Character),
            ("a\u{200f}b", PathFault::Character),
            ("a\u{61c}b", PathFault::Character),
            ("a\u{2066}b\u{2069}", PathFault::Character),
            ("\u{feff}a", PathFault::Character),
            ("a\u{ad}b", PathFault::Character),
            ("a\u{200b}b", PathFault::Character),
            ("a\u{200d}b", PathFault::Character),
            ("a\u{2028}b", PathFault::Character),
            ("a\u{2060}b", PathFault::Character),
            ("a\u{fe0f}", PathFault::Character),
            ("a\u{3164}", PathFault::Character),
            ("a\u{e0101}", PathFault::Character),
            ("a\\b", PathFault::Character),
            ("tool.", PathFault::Ending),
            ("tool ", PathFault::Ending),
            ("bin./tool", PathFault::Ending),
            ("bin /tool", PathFault::Ending),
            ("...", PathFault::Ending),
            (".bonded/x", PathFault::Reserved),
            (&long, PathFault::TooLong),
            (&wide, PathFault::TooLong),
        ];
        for (text, reason) in table {
            let expected = NameError::Path { text: cut(text), reason };
            assert_eq!(text.parse::<ArtifactPath>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn semantic_order_ignores_the_v() {
        let of = |text: &str| text.parse::<Version>().unwrap().to_semver();
        assert!(of("v1.10.0") > of("1.9.0"));
        assert!(of("v1.31.0-rc.1") < of("v1.31.0"));
        assert_eq!(of("nightly"), None);
    }

    proptest! {
        #[test]
        fn no_accepted_path_leaves_its_directory(text in "[a./\\\\\0]{0,12}") {
            if let Ok(path) = text.parse::<ArtifactPath>() {
                prop_assert!(path.as_str().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
                prop_assert!(!path.as_str().contains(['\0', '\\']));
            }
        }
    }
}
