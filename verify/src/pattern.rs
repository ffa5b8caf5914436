//! Patterns over identities: exact text, glob, or regular expression; anchored by construction.
//!
//! There is no way to write one that matches a part of an identity. Matching takes linear time.

use regex::{Regex, RegexBuilder};

/// Compiled size of one pattern in bytes; a sensible one takes a few kilobytes.
const PATTERN_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// What an identity must be equal to or match as a whole.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Exact(String),
    Glob { text: String, regex: Regex },
    Regex { text: String, regex: Regex },
}

impl Pattern {
    /// `*` stands for any text within one `/` segment, `**` for any text; all else for itself.
    pub(crate) fn glob(text: &str) -> Result<Self, regex::Error> {
        let mut out = String::new();
        for (at, literal) in text.split("**").enumerate() {
            out.push_str(if at == 0 { "" } else { ".*" });
            let segments: Vec<_> = literal.split('*').map(regex::escape).collect();
            out.push_str(&segments.join("[^/]*"));
        }
        Ok(Self::Glob { text: text.to_owned(), regex: whole(&out)? })
    }

    /// A regular expression that must match the whole identity.
    pub(crate) fn regex(text: &str) -> Result<Self, regex::Error> {
        // Compiled on its own first: a text such as `a)|(?:b` must not close the anchoring group.
        RegexBuilder::new(text).size_limit(PATTERN_COMPILED_BYTES_MAX).build()?;
        Ok(Self::Regex { text: text.to_owned(), regex: whole(text)? })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Glob { regex, .. } | Self::Regex { regex, .. } => regex.is_match(text),
        }
    }

    /// As the policy's author wrote it.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Glob { text, .. } | Self::Regex { text, .. } => text,
        }
    }
}

/// Patterns are the same if they are written the same.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .dot_matches_new_line(true)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &Pattern, yes: &[&str], no: &[&str]) {
        yes.iter().for_each(|text| assert!(pattern.matches(text), "{pattern:?} {text:?}"));
        no.iter().for_each(|text| assert!(!pattern.matches(text), "{pattern:?} {text:?}"));
    }

    #[test]
    fn an_exact_pattern_is_equality() {
        check(&Pattern::Exact("a*".into()), &["a*"], &["a", "ab", "A*", "a*\n", ""]);
    }

    #[test]
    fn a_glob_star_stays_within_a_segment() {
        let glob = Pattern::glob("https://h/o/*/w.yml@refs/tags/v*").unwrap();
        let no = [
            "https://h/o/r/x/w.yml@refs/tags/v1",
            "https://h/o/r/w.yml@refs/tags/v1/x",
            "xhttps://h/o/r/w.yml@refs/tags/v1",
            "https://h/o/r/wxyml@refs/tags/v1",
            "https://H/o/r/w.yml@refs/tags/v1",
        ];
        check(&glob, &["https://h/o/r/w.yml@refs/tags/v1", "https://h/o//w.yml@refs/tags/v"], &no);
        check(&Pattern::glob("a/**/z").unwrap(), &["a/b/c/z", "a//z"], &["a/z", "a/b/z/"]);
        check(&Pattern::glob("a?[b]").unwrap(), &["a?[b]"], &["axb", "ab"]);
    }

    #[test]
    fn a_regex_matches_the_whole_text_or_nothing() {
        check(&Pattern::regex("a|b").unwrap(), &["a", "b"], &["ab", "xa", "a\n", ""]);
        check(&Pattern::regex("(?m)^a$").unwrap(), &["a"], &["a\nb", "b\na"]);
    }

    #[test]
    fn must_reject() {
        // The comment in the third is legal on its own, but would swallow the anchor.
        for text in ["a)|(?:b", "(", "(?x) a #", "a{1000}{1000}", "(?=a)", r"\1"] {
            assert!(Pattern::regex(text).is_err(), "{text}");
        }
    }
}
