//! What is odd about a policy that is legal: holes, dead parts, and demands that nothing can meet.
//!
//! Patterns are anchored by construction, so an unanchored one cannot be written; one that is wider than it
//! looks can.

mod contradictions;
mod holes;
mod unused;

use bonded_model::Timestamp;

use super::Policy;
use super::rule::Demands;

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
    /// Looks for contradictions, holes and unused parts; heaviest first. What has ended is told where
    /// somebody says what time it is.
    pub fn check(&self, now: Option<Timestamp>) -> Vec<PolicyNote> {
        let weighed = [
            (NoteWeight::Contradiction, contradictions::texts(self)),
            (NoteWeight::Hole, holes::texts(self)),
            (NoteWeight::Unused, unused::texts(self, now)),
        ];
        let notes = weighed.into_iter().flat_map(|(weight, texts)| {
            texts.into_iter().map(move |text| PolicyNote { weight, text })
        });
        let mut notes: Vec<_> = notes.collect();
        notes.sort();
        notes.dedup();
        notes
    }

    /// Every set of demands with the words for where it stands: of the top level none, so that a rule is
    /// called by its table alone.
    fn placed_demands(&self) -> impl Iterator<Item = (String, &Demands)> {
        let scopes = self.scopes.iter();
        let scopes = scopes.map(|scope| (format!("scope {:?}: ", scope.name), &scope.demands));
        std::iter::once((String::new(), &self.demands)).chain(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    fn check(edits: &[(&str, &str)], weight: NoteWeight, expected: &[&str]) {
        let mut case = Case::bare();
        edits.iter().for_each(|(from, to)| case.edit(from, to));
        let notes = Policy::parse(&case.policy).unwrap().check(None);
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
            ("rule = \"off\"\n#sbom", "signers = [\"key\"]\n[release]\nartifacts = [\"a\"]"),
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
        let unsigned = [("signers = [\"key\"]\n[release]", "[release]")];
        let unsigned = [closed.as_slice(), &unsigned].concat();
        check(&unsigned, NoteWeight::Hole, &["[sbom] names no signers"]);
    }

    /// Of a verifier of releases it was told that it may verify by any policy, which is held against this one;
    /// and not that its level is too low for the strictest scope.
    #[test]
    fn verifiers_of_releases_are_told_for_what_they_are() {
        let of = |level: u8, resources: &str| {
            format!(
                "[[verifier]]\nid = \"https://v\"\nsigners = [\"key\"]\nlevel = {level}\nmax_age = \"7d\"\n\
                 {resources}\n[[scope]]\nname = \"low\"\npaths = [\"doc/*\"]\n\
                 provenance = {{ level = 1, source = \"any\", ref = \"any\" }}\n"
            )
        };
        let told = |verifier: &str, weight: NoteWeight| -> Vec<String> {
            let mut case = Case::bare();
            case.edit("#sbom", verifier);
            let notes = Policy::parse(&case.policy).unwrap().check(None).into_iter();
            let notes = notes.filter(|note| note.weight == weight).map(|note| note.text);
            notes.filter(|text| text.contains("verifier")).collect()
        };
        let (release, artifact) = ("release = \"pkg:x\"", "resource = \"pkg:x#{path}\"");
        assert_eq!(told(&of(3, release), NoteWeight::Hole), Vec::<String>::new());
        assert_eq!(told(&of(3, artifact), NoteWeight::Hole).len(), 2);
        assert_eq!(told(&of(3, release), NoteWeight::Unused), Vec::<String>::new());
        assert_eq!(told(&of(2, artifact), NoteWeight::Unused), Vec::<String>::new());
        let low = told(&of(2, release), NoteWeight::Unused);
        assert!(low.len() == 1 && low[0].contains("below the highest required level 3"), "{low:?}");
    }

    const SCOPE: &str = "[[scope]]\nname = \"a\"\npaths = [\"bin/*\"]\n";

    #[test]
    fn what_goes_for_scopes_is_told_with_their_name() {
        let scope =
            format!("{SCOPE}provenance = {{ rule = \"off\" }}\nsbom = {{ rule = \"off\" }}");
        let mut case = Case::bare();
        case.edit("#sbom", &scope);
        let notes = Policy::parse(&case.policy).unwrap().check(None);
        assert!(notes.iter().any(|n| n.text.starts_with("scope \"a\": [provenance] is off")));
        let high = "[[builder]]\nid = \"https://b\"\nsigners = [\"key\"]\nlevel = 1\n[provenance]";
        let strict = format!(
            "{SCOPE}provenance = {{ level = 3, source = \"any\", ref = \"any\", quorum = 2 }}"
        );
        let edits = [("[provenance]", high), ("#sbom", &strict)];
        let few = "scope \"a\": provenance needs 2 distinct signers, but only 1 may";
        check(&edits, NoteWeight::Contradiction, &[few]);
    }

    /// Whoever made a file decides what it looks like.
    #[test]
    fn whatever_is_chosen_by_what_bytes_look_like_is_a_hole() {
        let found = |table: &str, selector: &str, rest: &str| {
            let mut case = Case::bare();
            case.edit("#sbom", &format!("[[{table}]]\nname = \"a\"\n{selector}\n{rest}"));
            let notes = Policy::parse(&case.policy).unwrap().check(None);
            let mut holes = notes.iter().filter(|note| note.weight == NoteWeight::Hole);
            holes.any(|note| note.text.contains(" \"a\" is chosen by what bytes look like"))
        };
        let require = "predicate = \"t\"\nof = \"artifacts\"\nsigners = [\"key\"]";
        for (table, rest) in [
            ("scope", "provenance = { rule = \"off\" }"),
            ("scope", "sbom = { rule = \"require\" }"),
            ("scope", ""),
            ("require", require),
            ("expression", "of = \"artifacts\"\ncel = \"true\""),
        ] {
            assert!(found(table, "kinds = [\"text\"]", rest), "{table} {rest}");
            assert!(found(table, "platforms = [\"linux/*\"]", rest), "{table} {rest}");
            assert!(found(table, "paths = [\"doc/*\"]\nkinds = [\"text\"]", rest), "{table}");
            assert!(!found(table, "paths = [\"doc/*\"]", rest), "{table} {rest}");
        }
    }

    #[test]
    fn a_quorum_that_cannot_be_met_is_a_contradiction() {
        let edits = [("#provenance", "quorum = 2")];
        check(&edits, NoteWeight::Contradiction, &["provenance needs 2 distinct signers"]);
        let pem = crate::testing::Key::from_seed(1).public_pem();
        let alias =
            format!("[[signer]]\nname = \"alias\"\npublic_key = '''\n{pem}'''\n[[builder]]");
        let aliased = [
            ("#provenance", "quorum = 2"),
            ("[[builder]]", &*alias),
            ("[\"key\"]", "[\"key\", \"alias\"]"),
        ];
        check(&aliased, NoteWeight::Contradiction, &["only 1 may sign it"]);
        let sbom = [("rule = \"off\"\n#sbom", "signers = [\"key\"]\nquorum = 3")];
        check(&sbom, NoteWeight::Contradiction, &["an SBOM needs 3 distinct signers, but only 1"]);
    }

    #[test]
    fn requirements_and_exceptions_are_looked_at() {
        let require = "[[require]]\nname = \"r\"\npredicate = \"t\"\nof = \"artifacts\"\nsigners = [\"key\"]\npaths = [\"doc/*\"]\n";
        let few = format!("{require}quorum = 2");
        check(&[("#sbom", &*few)], NoteWeight::Contradiction, &["requirement \"r\" needs 2"]);
        let lax = format!("{require}quorum = 2\nrule = \"warn\"");
        check(&[("#sbom", &*lax)], NoteWeight::Contradiction, &[]);
        let empty = format!("{require}[release]\nartifacts = [\"bin/a\"]");
        check(&[("#sbom", &*empty)], NoteWeight::Unused, &["requirement \"r\" selects none"]);
        let mut case = Case::bare();
        let until = "until = \"2026-01-01T00:00:00Z\"\nreason = \"why\"";
        case.edit("#sbom", &format!("[[exception]]\ncode = \"REL-EXTRA\"\n{until}"));
        let policy = Policy::parse(&case.policy).unwrap();
        let told = |now: Option<&str>, weight| {
            let notes = policy.check(now.map(crate::testing::time));
            let about =
                notes.into_iter().filter(|n| n.weight == weight && n.text.contains("REL-EXTRA"));
            about.map(|note| note.text).collect::<Vec<_>>()
        };
        let hole = "REL-EXTRA only warns until 2026-01-01T00:00:00Z: why";
        assert_eq!(told(None, NoteWeight::Hole), [hole]);
        let before = told(Some("2025-12-31T23:59:59Z"), NoteWeight::Unused);
        assert!(before.is_empty() && told(None, NoteWeight::Unused).is_empty());
        let ended = told(Some("2026-01-01T00:00:00Z"), NoteWeight::Unused);
        assert_eq!(ended, ["the exception for REL-EXTRA ended at 2026-01-01T00:00:00Z"]);
    }

    #[test]
    fn scopes_that_nothing_reaches_are_unused() {
        let second = |selector: &str| format!("{SCOPE}[[scope]]\nname = \"b\"\n{selector}");
        for shadowed in ["paths = [\"bin/a\"]", "paths = [\"bin/*-x\"]\nkinds = [\"elf\"]"] {
            let edits = [("#sbom", &*second(shadowed))];
            check(&edits, NoteWeight::Unused, &["scope \"b\" is never reached: scope \"a\""]);
        }
        for reached in ["paths = [\"bin/**\"]", "kinds = [\"elf\"]", "paths = [\"bin/a\", \"b\"]"] {
            check(&[("#sbom", &*second(reached))], NoteWeight::Unused, &[]);
        }
        let listed = |path: &str| format!("{SCOPE}[release]\nartifacts = [\"{path}\"]");
        let none = [("#sbom", &*listed("lib/a-{version}"))];
        check(&none, NoteWeight::Unused, &["scope \"a\" selects none of the listed artifacts"]);
        check(&[("#sbom", &*listed("bin/a-{version}"))], NoteWeight::Unused, &[]);
    }

    #[test]
    fn patterns_that_are_wider_than_they_look_are_holes() {
        let signer =
            |line: &str| format!("[[signer]]\nname = \"x\"\nissuer = \"i\"\n{line}\n[[builder]]");
        let found = |line: &str| {
            let mut case = Case::bare();
            case.edit("[[builder]]", &signer(line));
            let notes = Policy::parse(&case.policy).unwrap().check(None);
            notes.iter().filter(|note| note.text.starts_with("signer \"x\" has")).count()
        };
        for line in ["identity_glob = \"https://a/**\"", "identity_regex = 'a@example.com'"] {
            assert_eq!(found(line), 1, "{line}");
        }
        for line in ["identity_glob = \"https://a/*\"", r"identity_regex = 'a@example\.com'"] {
            assert_eq!(found(line), 0, "{line}");
        }
    }

    #[test]
    fn idle_signers_are_found() {
        let second = "[[signer]]\nname = \"idle\"\nissuer = \"i\"\nidentity = \"a\"\n[[builder]]";
        check(&[("[[builder]]", second)], NoteWeight::Unused, &["signer \"idle\""]);
        let found = |text: &str, expected: &[&str]| {
            let head = "[[expression]]\nname = \"e\"\nof = \"release\"\ncel = ";
            let table = format!("{head}\"\"\"statements.exists(s, {text})\"\"\"");
            let edits = [("[[builder]]", second), ("#sbom", &*table)];
            check(&edits, NoteWeight::Unused, expected);
        };
        found("\"idle\" in s.signers", &[]);
        found("'idle' in s.signers", &[]);
        found("\"idler\" in s.signers || has(s.idle)", &["signer \"idle\""]);
    }

    #[test]
    fn verifiers_are_looked_at() {
        let table = |rest: &str| {
            let head = "[[verifier]]\nid = \"https://v\"\nresource = \"pkg:x\"\nsigners = ";
            format!("[[signer]]\nname = \"v\"\nissuer = \"i\"\n{rest}\n{head}[\"v\"]\nlevel = ")
        };
        let exact = table("identity = \"a\"");
        let two = format!("{exact}2\nmax_age = \"1d\"");
        check(&[("#sbom", &*two)], NoteWeight::Unused, &["verifier \"https://v\" is below"]);
        let three = format!("{exact}3");
        check(&[("#sbom", &*three)], NoteWeight::Unused, &[]);
        let low = [("level = 3\n[provenance]", "level = 2\n[provenance]")];
        let high = [low[0], ("#sbom", &*three)];
        check(&high, NoteWeight::Contradiction, &[]);
        let low = [low[0], ("#sbom", &*two)];
        check(&low, NoteWeight::Contradiction, &["level 3 is required"]);
        let mute = format!("{}3", table("identity_glob = \"https://w/*\""));
        check(
            &[("#sbom", &*mute)],
            NoteWeight::Contradiction,
            &["verifier \"https://v\" does not"],
        );
        let holes = |text: &str| {
            let mut case = Case::bare();
            case.edit("#sbom", text);
            let notes = Policy::parse(&case.policy).unwrap().check(None);
            notes.iter().filter(|note| note.text.starts_with("verifier ")).count()
        };
        assert_eq!(holes(&three), 3);
        let digest = bonded_model::Digest::sha256_of(b"");
        let closed = format!("{three}\nmax_age = \"1d\"\npolicies = [\"{digest}\"]");
        assert_eq!(holes(&closed), 1);
    }

    #[test]
    fn a_package_that_need_not_be_proved_is_a_hole() {
        let found = |rule: &str| {
            let mut case = Case::bare();
            let table = "[npm]\npackage = \"a\"\nsigners = [\"key\"]\nrule";
            case.edit("#sbom", &format!("{table} = \"{rule}\""));
            let notes = Policy::parse(&case.policy).unwrap().check(None);
            notes.iter().any(|note| note.text == "[npm] is not required")
        };
        assert!(found("warn") && found("off") && !found("require"));
    }
}
