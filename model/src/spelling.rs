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

/// The names of one tree, every directory on the way included, each in one spelling. A node for each
/// component, so that it takes no more space than the paths do.
#[derive(Clone, Debug, Default)]
pub struct Spellings {
    paths: Vec<ArtifactPath>,
    nodes: Vec<Node>,
    /// Nodes at the top, by their folded components.
    top: BTreeMap<Box<str>, usize>,
}

/// A component below another.
#[derive(Clone, Debug)]
struct Node {
    spelled: Box<str>,
    /// The path that came first with it.
    path: usize,
    below: BTreeMap<Box<str>, usize>,
}

impl Spellings {
    /// Adds a path, unless a path of the tree spells it, or a directory above it, in another way: then
    /// that path is returned. The same path again is no other spelling.
    pub fn add(&mut self, path: &ArtifactPath) -> Result<(), ArtifactPath> {
        let folded = fold(path.as_str());
        // Folding neither makes nor takes a slash, so both have as many components.
        let mut components = path.as_str().split('/').zip(folded.split('/')).peekable();
        let mut parent = None;
        while let Some((spelled, folded)) = components.peek()
            && let Some(&known) = self.below(parent).get(*folded)
        {
            if let Some(node) = self.nodes.get(known).filter(|node| *node.spelled != **spelled) {
                return self.paths.get(node.path).cloned().map_or(Ok(()), Err);
            }
            parent = Some(known);
            components.next();
        }
        // From here on everything is new, so nothing is refused after something was added.
        if components.peek().is_some() {
            self.paths.push(path.clone());
        }
        for (spelled, folded) in components {
            let (new, path) = (self.nodes.len(), self.paths.len() - 1);
            self.nodes.push(Node { spelled: spelled.into(), path, below: BTreeMap::new() });
            self.below_mut(parent).insert(folded.into(), new);
            parent = Some(new);
        }
        Ok(())
    }

    fn below(&self, parent: Option<usize>) -> &BTreeMap<Box<str>, usize> {
        parent.and_then(|parent| self.nodes.get(parent)).map_or(&self.top, |node| &node.below)
    }

    fn below_mut(&mut self, parent: Option<usize>) -> &mut BTreeMap<Box<str>, usize> {
        match parent.and_then(|parent| self.nodes.get_mut(parent)) {
            Some(node) => &mut node.below,
            None => &mut self.top,
        }
    }
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

    #[test]
    fn a_deep_tree_takes_no_more_space_than_its_paths() {
        let mut spellings = Spellings::default();
        let deep = "a/".repeat(400);
        for number in 0..100 {
            spellings.add(&path(&format!("{deep}{number}"))).unwrap();
        }
        assert_eq!((spellings.nodes.len(), spellings.paths.len()), (500, 100));
        let spelled: usize = spellings.nodes.iter().map(|node| node.spelled.len()).sum();
        assert!(spelled < 2_000, "{spelled}");
        assert_eq!(spellings.add(&path(&format!("{deep}A"))), Ok(()));
        assert_eq!(spellings.add(&path("A/b")), Err(path(&format!("{deep}0"))));
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
