//! What can be exported by name: a release or an image.

use std::fmt;
use std::str::FromStr;

use bonded_model::name::NameError;
use bonded_model::{ImageName, ReleaseName};

/// `PROJECT@VERSION` or `REPOSITORY:TAG`. No text can be both: a release has no colon, an image no `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExportName {
    /// A release.
    Release(ReleaseName),
    /// An image.
    Image(ImageName),
}

impl ExportName {
    /// The tag that other tools find it under: the value of `org.opencontainers.image.ref.name`, which may
    /// have slashes and colons (OCI image-spec, annotations.md).
    pub(super) fn tag(&self) -> String {
        match self {
            Self::Release(name) => format!("{}/{}", name.project, name.version),
            Self::Image(name) => name.to_string(),
        }
    }
}

impl FromStr for ExportName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.contains('@') {
            true => text.parse().map(Self::Release),
            false => text.parse().map(Self::Image),
        }
    }
}

impl fmt::Display for ExportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(name) => name.fmt(f),
            Self::Image(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_images_are_told_apart() {
        for (text, tag) in [("demo@v1", "demo/v1"), ("example.com/a:v1", "example.com/a:v1")] {
            let name: ExportName = text.parse().unwrap();
            assert_eq!((name.to_string(), name.tag()), (text.to_owned(), tag.to_owned()));
        }
        for text in ["", "demo", "demo@", "a/b@v1", "a:b@v1", "A:1", "a@sha256:1"] {
            assert!(text.parse::<ExportName>().is_err(), "{text}");
        }
    }
}
