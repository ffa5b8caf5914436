//! What to tell a client that asked for something that is not there.

use crate::address::encode;
use crate::view::Tree;

/// Names in one answer: enough to choose from, few enough to read.
const NAMES_MAX: usize = 8;

/// Names that a missing one is compared with; of a larger directory, those that sort next to it. An
/// answer that anybody can ask for must not cost much.
const COMPARED_NAMES_MAX: usize = 500;

/// Longer names are compared with nothing: comparing costs length times length.
const COMPARED_BYTES_MAX: usize = 64;

/// The text of a 404: the nearest directory that exists, and what in it is spelled most alike.
pub(crate) fn describe(tree: &Tree, path: &str) -> String {
    let (directory, missing) = nearest_directory(tree, path);
    let children: Vec<String> = tree.children(directory).into_iter().collect();
    let count = children.len();
    let mut names: Vec<(usize, &str)> =
        near(&children, missing).iter().map(|name| (distance(name, missing), &**name)).collect();
    names.sort();
    let listed: Vec<String> =
        names.into_iter().take(NAMES_MAX).map(|(_, name)| encode(name)).collect();
    let more = count.saturating_sub(listed.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!(
        "nothing at {}\nin {} there is: {}{more}\n",
        encode(path),
        encode(directory),
        listed.join(", ")
    )
}

/// The names, which are sorted, among which to look: all of them, or those that sort next to it.
fn near<'a>(names: &'a [String], missing: &str) -> &'a [String] {
    let place = names.partition_point(|name| name.as_str() < missing);
    let last = names.len().saturating_sub(COMPARED_NAMES_MAX);
    let first = place.saturating_sub(COMPARED_NAMES_MAX / 2).min(last);
    let window = names.get(first..).unwrap_or_default();
    window.get(..COMPARED_NAMES_MAX).unwrap_or(window)
}

/// How differently two names are spelled.
fn distance(name: &str, missing: &str) -> usize {
    let name = name.trim_end_matches('/');
    if name.len().max(missing.len()) > COMPARED_BYTES_MAX {
        return usize::MAX;
    }
    strsim::osa_distance(name, missing)
}

/// The deepest directory above `path` that has something in it, and the component missing there.
/// Walks down, so that a long path below nothing costs nothing.
fn nearest_directory<'a>(tree: &Tree, path: &'a str) -> (&'a str, &'a str) {
    let (mut directory, mut missing) = ("/", path.trim_start_matches('/'));
    while let Some((component, rest)) = missing.split_once('/') {
        let below = path.get(..directory.len() + component.len() + 1).unwrap_or(directory);
        if tree.children(below).is_empty() {
            return (directory, component);
        }
        (directory, missing) = (below, rest);
    }
    (directory, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: usize, missing: &str, first: usize, compared: usize) {
        let names: Vec<String> = (0..count).map(|at| format!("{at:06}")).collect();
        let near = near(&names, missing);
        assert_eq!((near.first(), near.len()), (names.get(first), compared), "{missing}");
    }

    #[test]
    fn few_names_of_a_large_directory_are_compared() {
        // A missing name was compared with all names there, which took seconds for each answer.
        check(0, "x", 0, 0);
        check(3, "000001", 0, 3);
        check(500, "000499", 0, 500);
        check(100_000, "", 0, 500);
        check(100_000, "050000", 49_750, 500);
        check(100_000, "x", 99_500, 500);
    }

    #[test]
    fn long_names_are_not_compared() {
        let long = "a".repeat(65);
        assert_eq!(distance("RAEDME", "README"), 1);
        assert_eq!(distance("bin/", "bni"), 1);
        assert_eq!(distance(&long, "a"), usize::MAX);
        assert_eq!(distance("a", &long), usize::MAX);
    }
}
