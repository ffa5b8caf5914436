//! What to tell a client that asked for something that is not there.

use crate::address::encode;
use crate::view::Tree;

/// Names in one answer: enough to choose from, few enough to read.
const NAMES_MAX: usize = 8;

/// A missing name longer than this is compared with nothing: comparing costs length times length.
const COMPARED_BYTES_MAX: usize = 255;

/// The text of a 404: the nearest directory that exists, and what in it is spelled most alike.
pub(crate) fn describe(tree: &Tree, path: &str) -> String {
    let (directory, missing) = nearest_directory(tree, path);
    let missing = if missing.len() > COMPARED_BYTES_MAX { "" } else { missing };
    let children = tree.children(directory);
    let count = children.len();
    let mut names: Vec<(usize, String)> = children
        .into_iter()
        .map(|name| (strsim::osa_distance(name.trim_end_matches('/'), missing), name))
        .collect();
    names.sort();
    let listed: Vec<String> =
        names.into_iter().take(NAMES_MAX).map(|(_, name)| encode(&name)).collect();
    let more = count.saturating_sub(listed.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!(
        "nothing at {}\nin {} there is: {}{more}\n",
        encode(path),
        encode(directory),
        listed.join(", ")
    )
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
