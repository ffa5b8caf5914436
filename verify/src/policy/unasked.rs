//! What a policy says of releases, and so not of a single file: for those who verify one, who would take the
//! verdict for an answer to all of it.

use super::rule::{Count, Demand};
use super::{LayoutRule, Policy};

impl Policy {
    /// The parts of it that [`crate::verify_file`] does not ask, as people call them; none if it asks all.
    pub fn unasked_of_files(&self) -> Vec<String> {
        let demands = || self.all_demands();
        let uncounted = demands().any(|demands| {
            let rule = &demands.provenance;
            rule.demand != Demand::Require && rule.count != Count::default()
        });
        let parts = [
            (uncounted, "quorum and max_age of a [provenance] that is not required"),
            (demands().any(|demands| demands.sbom.demand != Demand::Off), "[sbom]"),
            (demands().any(|demands| demands.checksums != Demand::Off), "[checksums]"),
            (self.npm.as_ref().is_some_and(|npm| npm.demand != Demand::Off), "[npm]"),
            (self.source.as_ref().is_some_and(|s| s.demand != Demand::Off), "[source]"),
            (self.layout.as_ref().is_some_and(LayoutRule::is_on), "[layout]"),
            (self.release.artifacts.is_some() || self.release.platforms.is_some(), "[release]"),
        ];
        let parts = parts.iter().filter(|(is, _)| *is).map(|(_, part)| (*part).to_owned());
        let requirements = self.requirements.iter().map(|r| format!("requirement {:?}", r.name));
        let conditions = self.conditions.iter().map(|c| format!("expression {:?}", c.name));
        let excepted = (!self.exceptions.is_empty()).then(|| "exceptions".to_owned());
        parts.chain(requirements).chain(conditions).chain(excepted).collect()
    }
}
