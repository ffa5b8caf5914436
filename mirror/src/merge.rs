//! The mutable documents as pure functions of what a destination lists and what is added to it.
//!
//! A pointer never names what is not there. A marker at one destination can therefore point only to
//! a version which that destination lists, and moves to a version only when every required
//! destination lists the very same release. It never goes back because a required destination is
//! new and still has less.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::inventory::{Listed, Listing};
use bonded_model::marker::markers;
use bonded_model::{Digest, ReleaseName, Version};

/// A release that is listed with another digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    pub(crate) release: ReleaseName,
    pub(crate) expected: Digest,
    pub(crate) found: Digest,
}

/// The list with releases added, and the ones that clash with it. Markers stay what they were.
pub(crate) fn add<'a>(
    current: &Listing,
    added: impl IntoIterator<Item = (&'a ReleaseName, &'a Listed)>,
) -> (Listing, Vec<Clash>) {
    let mut next = current.clone();
    let mut clashes = Vec::new();
    for (release, listed) in added {
        match current.releases.get(&release.version) {
            Some(held) if held.digest != listed.digest => clashes.push(Clash {
                release: release.clone(),
                expected: listed.digest,
                found: held.digest,
            }),
            _ => {
                next.releases.insert(release.version.clone(), *listed);
            }
        }
    }
    (next, clashes)
}

/// Where the markers of a project should point at one destination.
///
/// `existing` are the markers that are there, `required` the lists of all required destinations.
pub(crate) fn next_markers(
    here: &Listing,
    existing: &BTreeMap<String, Version>,
    required: &[&Listing],
) -> BTreeMap<String, Version> {
    let everywhere = here.releases.iter().filter(|(version, listed)| {
        required.iter().all(|there| {
            there.releases.get(*version).is_some_and(|other| other.digest == listed.digest)
        })
    });
    let pointed_to = existing.values().filter(|version| here.releases.contains_key(*version));
    let candidates: BTreeSet<&Version> =
        everywhere.map(|(version, _)| version).chain(pointed_to).collect();
    markers(candidates)
}

#[cfg(test)]
mod tests {
    use bonded_model::inventory::Admission;

    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::sha256_of(text.as_bytes())
    }

    fn listed(text: &str) -> Listed {
        let any = digest("");
        let admission = Admission { policy: any, trust_root: any, evidence: any };
        Listed { digest: digest(text), artifacts: 1, bytes: 1, admission }
    }

    fn listing(versions: &[&str]) -> Listing {
        let mut listing = Listing::empty("demo".parse().unwrap());
        for version in versions {
            listing.releases.insert(version.parse().unwrap(), listed(version));
        }
        listing
    }

    fn versions(pairs: &[(&str, &str)]) -> BTreeMap<String, Version> {
        pairs.iter().map(|(name, v)| ((*name).to_owned(), v.parse().unwrap())).collect()
    }

    fn check(here: &[&str], existing: &[(&str, &str)], required: &[&[&str]], stable: Option<&str>) {
        let required: Vec<Listing> = required.iter().map(|there| listing(there)).collect();
        let required: Vec<&Listing> = required.iter().collect();
        let next = next_markers(&listing(here), &versions(existing), &required);
        assert_eq!(next.get("stable").map(Version::as_str), stable);
    }

    #[test]
    fn a_marker_moves_when_all_required_destinations_have_the_release() {
        check(&["v1", "v1.0.0", "v1.1.0"], &[], &[], Some("v1.1.0"));
        check(&["v1.0.0", "v1.1.0"], &[], &[&["v1.0.0", "v1.1.0"], &["v1.1.0"]], Some("v1.1.0"));
        check(&["v1.0.0", "v1.1.0"], &[], &[&["v1.0.0"]], Some("v1.0.0"));
        check(&["v1.0.0"], &[], &[&["v1.0.0", "v1.1.0"]], Some("v1.0.0"));
        check(&["v1.0.0"], &[], &[&[]], None);
        check(&[], &[("stable", "v1.0.0")], &[], None);
    }

    #[test]
    fn a_marker_does_not_go_back_for_a_new_required_destination() {
        check(&["v1.0.0", "v1.5.0"], &[("stable", "v1.5.0")], &[&["v1.0.0"]], Some("v1.5.0"));
    }

    #[test]
    fn the_same_version_with_other_bytes_elsewhere_does_not_count() {
        let mut there = listing(&["v1.0.0"]);
        there.releases.insert("v1.0.0".parse().unwrap(), listed("other"));
        assert!(next_markers(&listing(&["v1.0.0"]), &BTreeMap::new(), &[&there]).is_empty());
    }

    #[test]
    fn adding_keeps_what_is_listed_and_names_what_clashes() {
        let current = listing(&["v1.0.0", "v2.0.0"]);
        let names = ["demo@v1.0.0", "demo@v2.0.0", "demo@v3.0.0"].map(|n| n.parse().unwrap());
        let (same, other, new) = (listed("v1.0.0"), listed("other"), listed("v3.0.0"));
        let (next, clashes) = add(&current, names.iter().zip([&same, &other, &new]));
        assert_eq!(next.releases.len(), 3);
        assert_eq!(next.releases[&names[1].version].digest, digest("v2.0.0"));
        let [clash] = clashes.as_slice() else { panic!("{clashes:?}") };
        assert_eq!((clash.expected, clash.found), (digest("other"), digest("v2.0.0")));
    }
}
