//! What is odd about a policy that is legal: holes, dead parts, and demands that nothing can meet.
//! Patterns need no check: an unanchored one cannot be written.

use std::collections::BTreeSet;

use super::{Demand, Policy};
use crate::identity::{SignerRule, Who};

/// How much a note on a policy weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteWeight {
    /// Nothing can ever pass, or a part contradicts another.
    Contradiction,
    /// More is allowed than a careful policy would.
    Hole,
    /// A part that has no effect.
    Unused,
}

/// One thing that is odd about a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyNote {
    /// How much it weighs.
    pub weight: NoteWeight,
    /// What is odd, in one sentence.
    pub text: String,
}

impl Policy {
    /// Looks for contradictions, holes and unused parts; heaviest first.
    pub fn check(&self) -> Vec<PolicyNote> {
        let mut notes = Vec::new();
        let mut note = |weight, text: String| notes.push(PolicyNote { weight, text });
        self.contradictions().into_iter().for_each(|text| note(NoteWeight::Contradiction, text));
        self.holes().into_iter().for_each(|text| note(NoteWeight::Hole, text));
        self.unused().into_iter().for_each(|text| note(NoteWeight::Unused, text));
        notes.sort();
        notes
    }

    fn contradictions(&self) -> Vec<String> {
        let wanted = self.provenance.level;
        let required = self.provenance.demand == Demand::Require;
        let mut notes = Vec::new();
        if required && self.builders.is_empty() {
            notes.push("provenance is required, but no builder is trusted".to_owned());
        }
        if required && !self.builders.is_empty() && self.builders.iter().all(|b| b.level < wanted) {
            notes.push(format!("level {wanted} is required, but no builder is trusted for it"));
        }
        notes.extend(self.mute_patterns());
        notes
    }

    /// A signer who is given by a pattern speaks only for the builder that it is itself.
    fn mute_patterns(&self) -> Vec<String> {
        let pairs = self.builders.iter().flat_map(|builder| {
            let listed = self.signers.iter().filter(|s| builder.signers.contains(&s.name));
            listed.map(move |signer| (builder, signer))
        });
        let mute = pairs.filter(|(builder, signer)| {
            signer.pattern().is_some_and(|pattern| !pattern.matches(&builder.id))
        });
        mute.map(|(builder, signer)| {
            format!(
                "signer {:?} is given by a pattern that builder {:?} does not match, so it can never speak for it",
                signer.name, builder.id
            )
        })
        .collect()
    }

    fn holes(&self) -> Vec<String> {
        let rule = &self.provenance;
        let mut notes = Vec::new();
        let mut hole = |is: bool, text: &str| notes.extend(is.then(|| text.to_owned()));
        let on = rule.demand != Demand::Off;
        hole(!on, "[provenance] is off: artifacts need not say how they were built");
        hole(rule.demand == Demand::Warn, "[provenance] only warns");
        hole(
            on && rule.source.is_none(),
            "[provenance] has source = \"any\": every repository is accepted",
        );
        hole(
            on && rule.reference.is_none(),
            "[provenance] has ref = \"any\": every tag and branch is accepted",
        );
        hole(
            on && rule.build_types.is_none(),
            "[provenance] lists no build_types: any are accepted",
        );
        hole(on && rule.parameters.is_none(), "[provenance] lists no parameters: any are accepted");
        hole(self.sbom.demand != Demand::Require, "[sbom] is not required");
        hole(
            self.artifacts.is_none(),
            "[release] lists no artifacts: a missing or extra one passes",
        );
        notes.extend(self.signers.iter().filter_map(signer_hole));
        notes
    }

    fn unused(&self) -> Vec<String> {
        let named: BTreeSet<&String> = self
            .builders
            .iter()
            .flat_map(|builder| &builder.signers)
            .chain(self.sbom.signers.iter().flatten())
            .collect();
        let idle = self.signers.iter().filter(|signer| !named.contains(&signer.name));
        let signers = idle
            .map(|signer| format!("signer {:?} is named by no builder and no rule", signer.name));
        let wanted = self.provenance.level;
        let low = self.builders.iter().filter(|builder| builder.level < wanted);
        let builders = low.map(|builder| {
            format!("builder {:?} is below the required level {wanted}", builder.id)
        });
        signers.chain(builders).collect()
    }
}

fn signer_hole(signer: &SignerRule) -> Option<String> {
    match &signer.who {
        Who::Certificate { .. } => signer
            .pattern()
            .map(|_pattern| format!("signer {:?} is given by a pattern, not exactly", signer.name)),
        Who::Key(key) => key
            .valid_until
            .is_none()
            .then(|| format!("signer {:?} is a key without valid_until", signer.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    fn check(edits: &[(&str, &str)], weight: NoteWeight, expected: &[&str]) {
        let mut case = Case::bare();
        edits.iter().for_each(|(from, to)| case.edit(from, to));
        let notes = Policy::parse(&case.policy).unwrap().check();
        let found: Vec<_> =
            notes.iter().filter(|note| note.weight == weight).map(|n| n.text.as_str()).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} {expected}");
        }
    }

    #[test]
    fn contradictions_are_found() {
        check(&[], NoteWeight::Contradiction, &[]);
        let low = [("level = 3\n[provenance]", "level = 2\n[provenance]")];
        check(&low, NoteWeight::Contradiction, &["level 3 is required"]);
        check(&low, NoteWeight::Unused, &["below the required level"]);
        let pattern =
            "[[signer]]\nname = \"all\"\nissuer = \"i\"\nidentity_glob = \"https://a/*\"\n";
        let other =
            format!("{pattern}[[builder]]\nid = \"https://b/c\"\nsigners = [\"all\"]\nlevel = 3\n");
        let other = [("[provenance]", &*format!("{other}[provenance]"))];
        check(&other, NoteWeight::Contradiction, &["signer \"all\" is given by a pattern"]);
        let own =
            format!("{pattern}[[builder]]\nid = \"https://a/c\"\nsigners = [\"all\"]\nlevel = 3\n");
        check(&[("[provenance]", &*format!("{own}[provenance]"))], NoteWeight::Contradiction, &[]);
    }

    #[test]
    fn holes_are_found() {
        let closed = [
            ("rule = \"off\"\n#sbom", "[release]\nartifacts = [\"a\"]"),
            ("#provenance", "parameters = []\nbuild_types = [\"t\"]"),
            ("#key", "valid_until = \"2027-01-01T00:00:00Z\""),
        ];
        check(&closed, NoteWeight::Hole, &[]);
        let open = [
            "[provenance] lists no build_types",
            "[provenance] lists no param",
            "[release]",
            "[sbom]",
            "signer \"key\"",
        ];
        check(&[], NoteWeight::Hole, &open);
        let source = format!("source = \"{}\"", crate::testing::SOURCE);
        let any = [(&*source, "source = \"any\""), ("tag = \"{version}\"", "ref = \"any\"")];
        let any = [closed.as_slice(), &any].concat();
        check(&any, NoteWeight::Hole, &["ref = \"any\"", "source = \"any\""]);
    }

    #[test]
    fn idle_signers_are_found() {
        let second = "[[signer]]\nname = \"idle\"\nissuer = \"i\"\nidentity = \"a\"\n[[builder]]";
        check(&[("[[builder]]", second)], NoteWeight::Unused, &["signer \"idle\""]);
    }
}
