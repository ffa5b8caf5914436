//! Markers: mutable names such as `stable-1.31`, a pure function of the verified releases.
//!
//! `stable` is the highest version without a pre-release part, `latest` the highest of all, so that
//! `latest` is never behind `stable`; each also per major and per minor version. Versions that do
//! not follow Semantic Versioning move no marker.

use std::collections::BTreeMap;

use crate::name::Version;

/// Marker name (`stable`, `stable-1`, `stable-1.31`, `latest`, …) to the version it points to.
pub fn markers<'a>(versions: impl IntoIterator<Item = &'a Version>) -> BTreeMap<String, Version> {
    let mut highest: BTreeMap<String, (semver::Version, &Version)> = BTreeMap::new();
    for version in versions {
        let Some(order) = version.to_semver() else {
            continue;
        };
        for name in names_for(&order) {
            let current = highest.get(&name);
            if current.is_none_or(|(held, held_as)| (held, *held_as) < (&order, version)) {
                highest.insert(name, (order.clone(), version));
            }
        }
    }
    highest.into_iter().map(|(name, (_, version))| (name, version.clone())).collect()
}

fn names_for(version: &semver::Version) -> Vec<String> {
    let kinds = if version.pre.is_empty() { ["stable", "latest"].as_slice() } else { &["latest"] };
    let (major, minor) = (version.major, version.minor);
    kinds
        .iter()
        .flat_map(|kind| {
            [(*kind).to_owned(), format!("{kind}-{major}"), format!("{kind}-{major}.{minor}")]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(texts: &[&str]) -> BTreeMap<String, String> {
        let versions: Vec<Version> = texts.iter().map(|text| text.parse().unwrap()).collect();
        markers(&versions).into_iter().map(|(name, version)| (name, version.to_string())).collect()
    }

    #[test]
    fn stable_never_points_at_a_pre_release() {
        let made = of(&["v1.31.2", "v1.32.0-rc.1", "v1.30.9", "nightly"]);
        let expected = [
            ("latest", "v1.32.0-rc.1"),
            ("latest-1", "v1.32.0-rc.1"),
            ("latest-1.30", "v1.30.9"),
            ("latest-1.31", "v1.31.2"),
            ("latest-1.32", "v1.32.0-rc.1"),
            ("stable", "v1.31.2"),
            ("stable-1", "v1.31.2"),
            ("stable-1.30", "v1.30.9"),
            ("stable-1.31", "v1.31.2"),
        ];
        assert_eq!(
            made,
            expected.map(|(name, version)| (name.to_owned(), version.to_owned())).into()
        );
    }

    #[test]
    fn without_semantic_versions_there_are_no_markers() {
        assert!(of(&["nightly", "2026.01.x"]).is_empty());
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut minors in proptest::collection::vec(0_u8..5, 0..8)) {
            let texts: Vec<String> = minors.iter().map(|minor| format!("1.{minor}.0")).collect();
            let forward = of(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            minors.reverse();
            let texts: Vec<String> = minors.iter().map(|minor| format!("1.{minor}.0")).collect();
            prop_assert_eq!(forward, of(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    }
}
