//! Gives this build of the program a name of its own: what it does with evidence may differ from what another
//! one did, so verdicts that are kept by one are none to another.
//!
//! The name is the version and a hash of all sources, of the locked dependencies and of the features. The
//! hash is no digest that anybody has to trust; it only has to be another one when something changed.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script reads sources and the environment, and talks to cargo"
)]

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

const SOURCES: [&str; 5] =
    ["../model/src", "../store/src", "../verify/src", "src", "../Cargo.lock"];

fn main() {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        for (path, bytes) in read(Path::new(source)) {
            (path, bytes).hash(&mut hasher);
        }
    }
    let features = std::env::vars().filter(|(name, _)| name.starts_with("CARGO_FEATURE_"));
    features.collect::<BTreeMap<_, _>>().hash(&mut hasher);
    let version = env!("CARGO_PKG_VERSION");
    println!("cargo::rustc-env=BONDED_BUILD={version}+{:016x}", hasher.finish());
}

/// All files at or below a path, in the order of their paths. A package without the other crates beside it has
/// no such files.
fn read(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::read(path).map(|bytes| (path.to_owned(), bytes)).into_iter().collect();
    };
    entries.filter_map(Result::ok).flat_map(|entry| read(&entry.path())).collect()
}
