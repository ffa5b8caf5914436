//! Ranges of semantic versions, as slsa-verifier's `--source-versioned-tag` has them: what the range
//! leaves out is open.

use semver::Version;

/// `v1` holds every `v1.x.y`, `v1.2` every `v1.2.y`, `v1.2.3` only itself. Build metadata does not count.
///
/// Unlike there, a prerelease is only held by a range that names it: who asks for `v1` has not asked for a
/// candidate of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionRange {
    least: Version,
    /// How many of the three numbers the range names.
    named: usize,
}

impl VersionRange {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (least, named) = canonical(text)?;
        Some(Self { least, named })
    }

    pub(crate) fn holds(&self, tag: &str) -> bool {
        let Some((tag, _)) = canonical(tag) else { return false };
        let numbers = |version: &Version| [version.major, version.minor, version.patch];
        let (mine, other) = (numbers(&self.least), numbers(&tag));
        let same = mine.iter().zip(other).take(self.named).all(|(mine, other)| *mine == other);
        same && tag.pre == self.least.pre
    }
}

/// A version with the numbers that it leaves out as zeros, and how many it names. Only a whole one may
/// name a prerelease or build metadata (Semantic Versioning 2.0.0; Go, golang.org/x/mod/semver).
fn canonical(text: &str) -> Option<(Version, usize)> {
    let text = text.strip_prefix('v')?;
    let named = text.split(['-', '+']).next()?.split('.').count();
    let padded = match named {
        1 | 2 if text.contains(['-', '+']) => return None,
        1 => format!("{text}.0.0"),
        2 => format!("{text}.0"),
        _ => text.to_owned(),
    };
    Some((Version::parse(&padded).ok()?, named)) // what is no version is in no range
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, yes: &[&str], no: &[&str]) {
        let parsed = VersionRange::parse(range).unwrap();
        yes.iter().for_each(|tag| assert!(parsed.holds(tag), "{range} {tag}"));
        no.iter().for_each(|tag| assert!(!parsed.holds(tag), "{range} {tag}"));
    }

    #[test]
    fn what_a_range_leaves_out_is_open() {
        let no =
            ["v10", "v10.0.0", "v2.0.0", "v0.1.0", "1.2.3", "v1.2.3-rc.1", "v1.2.3.4", "vv1", ""];
        check("v1", &["v1", "v1.0", "v1.2.3", "v1.99.0", "v1.2.3+build"], &no);
        let no = ["v1", "v1.20.0", "v1.21", "v2.2.0", "v1.2-rc.1", "v1.2.0-rc.1", "V1.2.0"];
        check("v1.2", &["v1.2", "v1.2.0", "v1.2.30"], &no);
        let no =
            ["v1.2", "v1.2.4", "v1.2.30", "v1.2.3-rc.1", "v1.2.3 ", "v01.2.3", "refs/tags/v1.2.3"];
        check("v1.2.3", &["v1.2.3", "v1.2.3+build"], &no);
        check("v1.2.3-rc.1", &["v1.2.3-rc.1"], &["v1.2.3", "v1.2.3-rc.2", "v1.2.3-rc.10"]);
        check("v1.0", &["v1"], &["v1.1"]);
    }

    #[test]
    fn must_reject() {
        for text in [
            "", "v", "1", "v1.", "v1..2", "v1.2.3.4", "v-1", "v1-rc.1", "v1.2+b", "v01", "vx",
            "v1.2.x",
        ] {
            assert_eq!(VersionRange::parse(text), None, "{text}");
        }
    }
}
