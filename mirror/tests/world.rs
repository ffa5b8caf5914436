//! Releases to mirror, trees to compare, and what must hold of a tree at every instant.

use std::collections::BTreeMap;
use std::path::Path;

use bonded_mirror::{ApplyReport, Desired, Destination, Ledger, Plan, apply, observe, plan};
use bonded_model::inventory::Listing;
use bonded_model::{Digest, Project, ReleaseName, json, tree};

use crate::memory::{Held, Tree};
use crate::verified::World;

/// Everything about these releases that should be at every destination.
pub(crate) fn desired(world: &World, releases: &[&str]) -> Desired {
    let verified: Vec<_> = releases.iter().map(|release| world.verified(release).1).collect();
    let (desired, refused) = Desired::new(&world.store.snapshot().unwrap(), &verified);
    assert!(refused.is_empty(), "{refused:?}");
    desired
}

/// Looks at the destinations that can be looked at, and plans.
pub(crate) async fn planned(
    desired: &Desired,
    destinations: &[Destination],
    ledger: &Ledger,
) -> Plan {
    let mut observed = Vec::new();
    for destination in destinations {
        observed.extend(observe(destination, &desired.projects()).await.ok());
    }
    plan(desired, destinations, &observed, &ledger.known())
}

/// Plans and runs.
pub(crate) async fn mirrored(
    desired: &Desired,
    destinations: &[Destination],
    ledger: &Ledger,
) -> ApplyReport {
    let plan = planned(desired, destinations, ledger).await;
    apply(&plan, desired, destinations, ledger, &()).await.unwrap()
}

/// What is below a directory.
pub(crate) fn files(directory: &Path) -> Tree {
    let mut found = Tree::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let key = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                found.insert(key, Held::new(std::fs::read(path).unwrap().into()));
            }
        }
    }
    found
}

/// Everything that a list or a marker names and that is not there, at any of these destinations.
/// All of them are required, so a marker may name only what all of them list.
pub(crate) fn violations(trees: &BTreeMap<String, Tree>) -> Vec<String> {
    let project: Project = "demo".parse().unwrap();
    let key = tree::releases_json(&project);
    let mut found = Vec::new();
    for (name, tree) in trees {
        let Some(bytes) = tree.get(&key) else {
            let marker = |key: &&String| key.starts_with("demo/") && key.ends_with(".txt");
            let markers = tree.keys().filter(|key| marker(key) && !key.contains("/release/"));
            found.extend(markers.map(|key| format!("{name}: {key} without a list")));
            continue;
        };
        let listing = Listing::parse(&project, bytes).unwrap();
        for (version, listed) in &listing.releases {
            let release = ReleaseName { project: project.clone(), version: version.clone() };
            let problems = incomplete(tree, &release, listed.digest);
            found.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
        }
        for (marker, version) in &listing.markers {
            let file = tree.get(&tree::marker(&project, marker));
            if file.is_none() {
                found.push(format!("{name}: the list has marker {marker}, which has no file"));
            }
            found.extend(unlisted(trees, &key, version.as_str()));
        }
        for (key_of_marker, bytes) in tree.range("demo/".to_owned()..) {
            if key_of_marker.ends_with(".txt") && !key_of_marker.contains("/release/") {
                found.extend(unlisted(trees, &key, std::str::from_utf8(bytes).unwrap()));
            }
        }
    }
    found
}

fn unlisted(trees: &BTreeMap<String, Tree>, key: &str, version: &str) -> Vec<String> {
    let project: Project = "demo".parse().unwrap();
    let listed = |tree: &Tree| {
        tree.get(key).is_some_and(|bytes| {
            let listing = Listing::parse(&project, bytes).unwrap();
            listing.releases.contains_key(&version.parse().unwrap())
        })
    };
    let lacking = trees.iter().filter(|(_, tree)| !listed(tree));
    lacking.map(|(name, _)| format!("a marker names {version}, {name} does not list it")).collect()
}

fn incomplete(tree: &Tree, release: &ReleaseName, digest: Digest) -> Vec<String> {
    let mut problems = Vec::new();
    let manifest = |digest: &str| digest.replacen("sha256:", "blobs/sha256/", 1);
    problems.extend(wrong(tree, &manifest(&digest.to_string()), &digest.to_string()));
    let lists =
        [(tree::inventory(release), "artifacts"), (tree::evidence_list(release), "documents")];
    for (list, field) in lists {
        let Some(bytes) = tree.get(&list) else {
            problems.push(format!("{list} is missing"));
            continue;
        };
        let list: serde_json::Value = json::parse(bytes, 1 << 20).unwrap();
        for entry in list[field].as_array().unwrap() {
            let key = format!("{}/{}", tree::release(release), entry["path"].as_str().unwrap());
            problems.extend(wrong(tree, &key, entry["digest"].as_str().unwrap()));
            if let Some(digest) = entry["manifest"].as_str() {
                problems.extend(wrong(tree, &manifest(digest), digest));
            }
        }
    }
    problems
}

fn wrong(tree: &Tree, key: &str, digest: &str) -> Option<String> {
    match tree.get(key) {
        None => Some(format!("{key} is missing")),
        Some(held) if held.digest.to_string() != digest => Some(format!("{key} has other bytes")),
        Some(_) => None,
    }
}
