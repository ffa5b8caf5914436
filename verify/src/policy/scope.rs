//! Scopes: other demands for some artifacts, chosen by path, kind and platform.
//!
//! The first scope that selects an artifact counts. Where a scope asks for the kind or platform of an
//! artifact that nobody has looked at, no answer is given: a guess could choose the weaker demands.

use std::collections::BTreeSet;

use bonded_model::{Artifact, ArtifactPath, Platform};

use super::rule::Demands;
use crate::pattern::Pattern;

/// The kind of container images, beside those that the bytes of files have.
pub(crate) const IMAGE: &str = "image";

/// Demands in place of those at the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) name: String,
    pub(crate) selector: Selector,
    pub(crate) demands: Demands,
}

/// Which artifacts are meant: those that every list that is there names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) paths: Vec<Pattern>,
    pub(crate) kinds: BTreeSet<String>,
    pub(crate) platforms: Vec<Pattern>,
}

/// Whether a selector means an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    Yes,
    No,
    /// Not known, for want of something that nobody has looked at.
    Unknown,
}

/// What a selector looks at.
#[derive(Clone, Debug)]
pub(crate) struct Sight<'a> {
    path: Option<&'a ArtifactPath>,
    kind: Option<&'static str>,
    platform: Option<&'a Platform>,
}

impl<'a> Sight<'a> {
    pub(crate) fn of(artifact: &'a Artifact) -> Self {
        let kind = match artifact.is_image() {
            true => Some(IMAGE),
            false => artifact.kind.map(bonded_model::ContentKind::as_str),
        };
        Self { path: Some(&artifact.path), kind, platform: artifact.platform.as_ref() }
    }

    /// A file outside any release, of which at most its place in one is known.
    pub(crate) fn of_file(path: Option<&'a ArtifactPath>) -> Self {
        Self { path, kind: None, platform: None }
    }

    pub(crate) fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    pub(crate) fn platform(&self) -> Option<&'a Platform> {
        self.platform
    }
}

impl Selector {
    /// Whether it means everything.
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it asks what a file is or what it runs on.
    pub(crate) fn looks_at_content(&self) -> bool {
        !self.kinds.is_empty() || !self.platforms.is_empty()
    }

    pub(crate) fn selects(&self, sight: &Sight<'_>) -> Selected {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|p| p.matches(text));
        let answers = [
            asked(self.paths.is_empty(), sight.path.map(|path| any(&self.paths, path.as_str()))),
            asked(self.kinds.is_empty(), sight.kind.map(|kind| self.kinds.contains(kind))),
            asked(
                self.platforms.is_empty(),
                match (sight.platform, sight.kind) {
                    (Some(platform), _) => Some(any(&self.platforms, &platform.to_string())),
                    // Somebody looked and found none.
                    (None, Some(_)) => Some(false),
                    (None, None) => None,
                },
            ),
        ];
        if answers.contains(&Selected::No) {
            Selected::No
        } else if answers.contains(&Selected::Unknown) {
            Selected::Unknown
        } else {
            Selected::Yes
        }
    }

    /// As the policy's author wrote it.
    pub(crate) fn told(&self) -> String {
        let texts = |patterns: &[Pattern]| {
            patterns.iter().map(|p| p.as_str().to_owned()).collect::<Vec<_>>().join(" or ")
        };
        let kinds = self.kinds.iter().cloned().collect::<Vec<_>>().join(" or ");
        let parts = [
            ("paths", texts(&self.paths)),
            ("kinds", kinds),
            ("platforms", texts(&self.platforms)),
        ];
        let given = parts.iter().filter(|(_, text)| !text.is_empty());
        let told: Vec<_> = given.map(|(what, text)| format!("{what} {text}")).collect();
        if told.is_empty() { "everything".to_owned() } else { told.join(", ") }
    }
}

fn asked(is_open: bool, answer: Option<bool>) -> Selected {
    match answer {
        _ if is_open => Selected::Yes,
        Some(true) => Selected::Yes,
        Some(false) => Selected::No,
        None => Selected::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Selected::{No, Unknown, Yes};

    fn selector(paths: &[&str], kinds: &[&str], platforms: &[&str]) -> Selector {
        let globs = |texts: &[&str]| texts.iter().map(|t| Pattern::glob(t).unwrap()).collect();
        Selector {
            paths: globs(paths),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            platforms: globs(platforms),
        }
    }

    #[test]
    fn every_list_that_is_there_has_to_name_the_artifact() {
        let linux: Platform = "linux/arm/v7".parse().unwrap();
        let (path, other) = ("bin/linux/a".parse().unwrap(), "doc/a".parse().unwrap());
        let sight = |path, kind, platform| Sight { path: Some(path), kind, platform };
        let table = [
            (selector(&["bin/**"], &[], &[]), sight(&path, None, None), Yes),
            (selector(&["bin/*"], &[], &[]), sight(&path, None, None), No),
            (selector(&["doc/*", "bin/**"], &["elf"], &[]), sight(&path, Some("elf"), None), Yes),
            (selector(&["bin/**"], &["elf"], &[]), sight(&path, Some("text"), None), No),
            (selector(&["bin/**"], &["elf"], &[]), sight(&path, None, None), Unknown),
            (selector(&["bin/**"], &["elf"], &[]), sight(&other, None, None), No),
            (selector(&[], &[], &["linux/**"]), sight(&other, Some("elf"), Some(&linux)), Yes),
            (selector(&[], &[], &["linux/*"]), sight(&other, Some("elf"), Some(&linux)), No),
            (selector(&[], &[], &["linux/**"]), sight(&other, Some("text"), None), No),
            (selector(&[], &[], &["linux/**"]), sight(&other, None, None), Unknown),
            (selector(&["bin/**"], &[], &[]), Sight::of_file(None), Unknown),
            (selector(&[], &[], &[]), Sight::of_file(None), Yes),
        ];
        for (selector, sight, expected) in table {
            assert_eq!(selector.selects(&sight), expected, "{selector:?} {sight:?}");
        }
    }
}
