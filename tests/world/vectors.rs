//! Where the public test vectors lie: outside of the repository, in the folder that `BONDED_VECTORS`
//! names, else in `shared/vectors` beside it.
//!
//! Included with `#[path]` by the tests of several crates, each of which stands right below the root.

use std::path::{Path, PathBuf};

/// A folder of the vectors, or `None` with a line on stderr that the test did not run. Where the
/// vectors are named, or where `shared` is, they must be there.
pub(crate) fn vectors(below: &str) -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let named = std::env::var_os("BONDED_VECTORS").map(PathBuf::from);
    let is_required = named.is_some() || shared.exists();
    let folder = named.unwrap_or_else(|| shared.join("vectors")).join(below);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(!is_required, "there are no vectors at {}", folder.display());
    eprintln!("did not run: there are no vectors at {}", folder.display());
    None
}
