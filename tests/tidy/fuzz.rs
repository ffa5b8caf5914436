//! That every fuzz target is whole: a body, a file of its own for the fuzzer, a place in the manifest, and a
//! corpus, each file for the fuzzer the same text. `fuzz/` is a workspace of its own with a lock file of its own,
//! which has to name the versions that the program is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Violation, at, none, parse_toml, root};

const BODIES: &str = "fuzz/bodies/lib.rs";
const MANIFEST: &str = "fuzz/Cargo.toml";
const LOCK: &str = "fuzz/Cargo.lock";

/// What the fuzzer alone is made of.
const OF_THE_FUZZER: [&str; 3] = ["arbitrary", "bonded-fuzz", "libfuzzer-sys"];

/// What is there of the targets.
#[derive(Default)]
struct Found {
    /// Those with a body, from the table in the text of the bodies.
    bodies: BTreeSet<String>,
    /// Name and text of each file for the fuzzer.
    files: Vec<(String, String)>,
    manifest: BTreeSet<String>,
    /// Those with at least one file in their corpus.
    corpora: BTreeSet<String>,
}

fn bodies(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    rows.filter_map(|row| Some(row.split_once("\", ")?.0.to_owned())).collect()
}

fn text_of(target: &str) -> String {
    format!(
        "#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|bytes: &[u8]| bonded_fuzz::run(\"{target}\", bytes));\n"
    )
}

fn violations(found: &Found) -> Vec<Violation> {
    let files: BTreeSet<String> = found.files.iter().map(|(name, _)| name.clone()).collect();
    let places = [
        ("fuzz/fuzz_targets", &files),
        (MANIFEST, &found.manifest),
        ("fuzz/corpus", &found.corpora),
    ];
    let mut wrong = Vec::new();
    for (place, there) in places {
        let missing = found.bodies.difference(there);
        wrong.extend(missing.map(|name| at(place, 1, format!("has nothing of target {name}"))));
        let strange = there.difference(&found.bodies);
        wrong.extend(strange.map(|name| at(BODIES, 1, format!("{place} has {name}, no target"))));
    }
    let other = found.files.iter().filter(|(name, text)| *text != text_of(name));
    wrong.extend(other.map(|(name, _)| {
        at(&format!("fuzz/fuzz_targets/{name}.rs"), 1, "is not the one line that runs its body")
    }));
    wrong
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory of fuzz");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    names.map(|name| name.expect("a name is UTF-8")).collect()
}

fn found() -> Found {
    let fuzz = root().join("fuzz");
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a file of fuzz");
    let sources = names(&fuzz.join("fuzz_targets")).into_iter();
    let files = sources.map(|name| {
        let text = read(&format!("fuzz/fuzz_targets/{name}"));
        (name.strip_suffix(".rs").unwrap_or(&name).to_owned(), text)
    });
    let manifest = parse_toml(&read(MANIFEST));
    let bins = manifest.get("bin").and_then(|bins| bins.as_array()).expect("targets are binaries");
    let bins = bins.iter().filter_map(|bin| Some(bin.get("name")?.as_str()?.to_owned()));
    let corpora = names(&fuzz.join("corpus")).into_iter();
    Found {
        bodies: bodies(&read(BODIES)),
        files: files.collect(),
        manifest: bins.collect(),
        corpora: corpora
            .filter(|name| !names(&fuzz.join("corpus").join(name)).is_empty())
            .collect(),
    }
}

#[test]
fn every_fuzz_target_is_whole() {
    let found = found();
    assert!(found.bodies.len() > 20, "{:?}", found.bodies);
    none(violations(&found));
}

#[test]
fn half_a_target_is_found() {
    let table = "pub const TARGETS: X = [\n    (\"json\", documents::json),\n];\n";
    assert_eq!(bodies(table), BTreeSet::from(["json".to_owned()]));
    let whole = || Found {
        bodies: bodies(table),
        files: vec![("json".to_owned(), text_of("json"))],
        manifest: ["json".to_owned()].into(),
        corpora: ["json".to_owned()].into(),
    };
    assert_eq!(violations(&whole()), []);
    let check = |found: Found, what: &str| {
        let wrong = violations(&found);
        assert!(wrong.iter().any(|wrong| wrong.what.contains(what)), "{what}: {wrong:?}");
    };
    check(Found { files: Vec::new(), ..whole() }, "nothing of target json");
    check(Found { manifest: BTreeSet::new(), ..whole() }, "nothing of target json");
    check(Found { corpora: BTreeSet::new(), ..whole() }, "nothing of target json");
    check(Found { bodies: BTreeSet::new(), ..whole() }, "has json, no target");
    let files = vec![("json".to_owned(), text_of("other"))];
    check(Found { files, ..whole() }, "the one line");
}

/// Names and versions in a lock file.
fn locked(text: &str) -> BTreeSet<(String, String)> {
    let packages = parse_toml(text);
    let packages = packages.get("package").and_then(|found| found.as_array()).into_iter().flatten();
    let text = |package: &toml::Value, key| Some(package.get(key)?.as_str()?.to_owned());
    packages.filter_map(|one| Some((text(one, "name")?, text(one, "version")?))).collect()
}

fn unknown_versions(fuzz: &str, program: &str) -> Vec<Violation> {
    let program = locked(program);
    let own = |name: &str| OF_THE_FUZZER.contains(&name);
    let unknown = locked(fuzz).into_iter().filter(|one| !own(&one.0) && !program.contains(one));
    unknown
        .map(|(name, version)| at(LOCK, 1, format!("{name} {version} is not what is shipped")))
        .collect()
}

#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a lock file");
    let fuzz = read(LOCK);
    assert!(locked(&fuzz).len() > 100);
    none(unknown_versions(&fuzz, &read("Cargo.lock")));
}

#[test]
fn another_version_is_found() {
    let lock = |version: &str| format!("[[package]]\nname = \"a\"\nversion = \"{version}\"\n");
    assert_eq!(unknown_versions(&lock("1.0.0"), &lock("1.0.0")), []);
    assert_eq!(unknown_versions(&lock("1.0.1"), &lock("1.0.0")).len(), 1);
    let own = "[[package]]\nname = \"libfuzzer-sys\"\nversion = \"0.4.0\"\n";
    assert_eq!(unknown_versions(own, &lock("1.0.0")), []);
}
