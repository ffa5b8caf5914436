//! Paths that some file systems take for one: they differ only by case, or by the Unicode form of the
//! same letters.
//!
//! A release is mirrored to directories and buckets and unpacked on machines of all kinds. macOS and
//! Windows ignore case, and macOS the normalisation form as well, so `README` and `readme` beside each
//! other would be one file there, and which one is chance. Two paths are compared by canonical caseless
//! matching (Unicode 16, section 3.13, D145), here as NFD, lower, upper and lower case, NFD: that
//! takes a few more letters for one than the standard does, such as `ı` and `i`.

use std::collections::BTreeMap;

use icu_normalizer::DecomposingNormalizerBorrowed;

use crate::name::ArtifactPath;

/// The names of one tree, every directory on the way included, each in one spelling.
#[derive(Clone, Debug, Default)]
pub struct Spellings {
    by_fold: BTreeMap<String, Spelled>,
}

/// The path that came first with a name, and how many bytes of it the name is.
#[derive(Clone, Debug)]
struct Spelled {
    path: ArtifactPath,
    bytes: usize,
}

impl Spellings {
    /// Adds a path, unless a path of the tree spells it, or a directory above it, in another way: then
    /// that path is returned. The same path again is no other spelling.
    pub fn add(&mut self, path: &ArtifactPath) -> Result<(), ArtifactPath> {
        let folded = fold(path.as_str());
        let names = prefixes(path.as_str()).zip(prefixes(&folded));
        for (name, folded) in names.clone() {
            if let Some(first) = self.by_fold.get(folded)
                && first.path.as_str().get(..first.bytes) != Some(name)
            {
                return Err(first.path.clone());
            }
        }
        for (name, folded) in names {
            let spelled = || Spelled { path: path.clone(), bytes: name.len() };
            self.by_fold.entry(folded.to_owned()).or_insert_with(spelled);
        }
        Ok(())
    }
}

/// A path's directories from the top, then the path itself. Folding neither makes nor takes a slash, so
/// a path and its folded form have as many.
fn prefixes(path: &str) -> impl Iterator<Item = &str> + Clone {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.filter_map(|end| path.get(..end))
}

fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfd();
    // Letter by letter: as a whole, a last sigma would stay one. Lower case comes first for the one
    // capital letter, `ẞ`, that is no upper case of its small one.
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    let folded = lower(&lower(&decomposed.normalize(text)).to_uppercase());
    decomposed.normalize(&folded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> ArtifactPath {
        text.parse().unwrap()
    }

    fn check(paths: &[&str], expected: Option<&str>) {
        let mut spellings = Spellings::default();
        let clash = paths.iter().find_map(|text| spellings.add(&path(text)).err());
        assert_eq!(clash, expected.map(path), "{paths:?}");
    }

    #[test]
    fn one_tree_has_one_spelling_of_each_name() {
        for paths in [
            &["README", "readme"][..],
            &["bin/tool", "bin/Tool"],
            &["Bin/tool", "bin/other"],
            &["BIN", "bin/tool"],
            &["a/B/c", "a/b/c/d"],
            &["caf\u{e9}", "cafe\u{301}"],
            &["CAF\u{c9}", "cafe\u{301}"],
            &["stra\u{df}e", "STRASSE"],
            &["\u{1e9e}", "ss"],
            &["\u{3c3}", "\u{3c2}"],
            &["\u{212a}elvin", "kelvin"],
            &["\u{fb01}le", "file"],
            &["\u{1100}\u{1161}", "\u{ac00}"],
            &["q\u{323}\u{307}", "q\u{307}\u{323}"],
            &["other", "x/y", "X/y"],
        ] {
            check(paths, Some(paths[paths.len() - 2]));
        }
    }

    #[test]
    fn other_names_are_no_clash() {
        check(&["a", "a"], None);
        check(&["a/b", "a/b", "a"], None);
        check(&["a/b", "a/c", "ab/c", "b/a"], None);
        check(&["tool-amd64", "tool-arm64", "tool.sha256"], None);
        check(&["caf\u{e9}", "cafe", "\u{4e2d}\u{6587}", "\u{e9}"], None);
        check(&[], None);
    }

    #[test]
    fn a_refused_path_leaves_no_trace() {
        let mut spellings = Spellings::default();
        spellings.add(&path("a/b")).unwrap();
        assert_eq!(spellings.add(&path("x/y")), Ok(()));
        assert_eq!(spellings.add(&path("A/new")), Err(path("a/b")));
        assert_eq!(spellings.add(&path("a/NEW")), Ok(()));
    }

    proptest! {
        #[test]
        fn case_is_no_difference(text in "[a-zA-Z0-9äöüßéÀÇñøÅ\\u{430}-\\u{44f}/]{0,40}") {
            prop_assert_eq!(fold(&text.to_uppercase()), fold(&text));
            prop_assert_eq!(fold(&text.to_lowercase()), fold(&text));
        }

        #[test]
        fn folding_is_stable_and_keeps_slashes(text in "\\PC{0,40}") {
            let folded = fold(&text);
            prop_assert_eq!(fold(&folded), folded.clone());
            prop_assert_eq!(folded.matches('/').count(), text.matches('/').count());
        }
    }
}
