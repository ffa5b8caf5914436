//! The rules over the set of artifacts: nothing missing, nothing extra.

use std::collections::{BTreeMap, BTreeSet};

use super::bench::Bench;
use crate::code::Code;
use crate::finding::{Fault, Finding, Severity};
use crate::policy::Sight;

/// Paths: each that is expected is there, and each that is there is expected or allowed.
pub(super) fn set_findings(bench: &Bench<'_>) -> Vec<Finding> {
    let rule = &bench.policy.release;
    let Some(expected) = &rule.artifacts else { return Vec::new() };
    let release = bench.inventory.release;
    let version = release.name().version.as_str();
    let expected: BTreeSet<String> =
        expected.iter().map(|path| path.replace("{version}", version)).collect();
    let missing = expected.iter().filter(|path| bench.inventory.at_path(path).is_none());
    let missing = missing.map(|path| (None, Fault::new(Code::RelMissing, path, "nothing")));
    let allowed = |path: &str| rule.allowed.iter().any(|pattern| pattern.matches(path));
    let artifacts = release.artifacts().iter().enumerate();
    let extra = artifacts
        .map(|(at, artifact)| (at, artifact.path.as_str()))
        .filter(|(_, path)| !expected.contains(*path) && !allowed(path))
        .map(|(at, path)| (Some(at), Fault::new(Code::RelExtra, "nothing", path)));
    let faults = missing.chain(extra);
    faults.map(|(at, fault)| bench.finding(at, None, Severity::Fail, fault)).collect()
}

/// Platforms: something is for each that is expected, and nothing is for another. What is for no platform
/// is for all of them; what nobody has looked at could be for any.
pub(super) fn platform_findings(bench: &Bench<'_>) -> Vec<Finding> {
    let Some(expected) = &bench.policy.release.platforms else { return Vec::new() };
    let texts: Vec<_> = expected.iter().map(ToString::to_string).collect();
    let texts = texts.join(" or ");
    let (mut missing, mut faults) = (expected.clone(), BTreeMap::new());
    for (at, artifact) in bench.inventory.release.artifacts().iter().enumerate() {
        let sight = Sight::of(artifact);
        match sight.platform() {
            Some(platform) if expected.contains(platform) => drop(missing.remove(platform)),
            Some(platform) => {
                let seen = platform.to_string();
                faults.insert(Some(at), Fault::new(Code::RelPlatformExtra, &texts, seen));
            }
            None if sight.kind().is_none() => drop(faults.insert(Some(at), super::unknown())),
            None => {}
        }
    }
    let missing = missing.iter().map(|platform| {
        (None, Fault::new(Code::RelPlatformMissing, platform.to_string(), "nothing for it"))
    });
    let faults = missing.chain(faults);
    faults.map(|(at, fault)| bench.finding(at, None, Severity::Fail, fault)).collect()
}
