//! The source track: what has to be said of the commit that something was built from, and whose word on it
//! is taken (SLSA v1.2, verifying-source.md).

use std::collections::BTreeSet;

use super::error::PolicyError;
use super::resolve::known_signers;
use super::rule::{ANY, Age, Demand, Template};
use super::written::{WrittenSource, WrittenSourceVerifier};
use crate::identity::SignerRule;

/// What must be said of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceRule {
    pub(crate) demand: Demand,
    pub(crate) level: u8,
    /// The ref that the commit has to have been on; `None` accepts any, which the text has to say.
    pub(crate) reference: Option<Template>,
    pub(crate) verifiers: Vec<SourceVerifier>,
    pub(crate) max_age: Option<Age>,
}

/// Who speaks for a source control system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceVerifier {
    /// `verifier.id`, compared exactly.
    pub(crate) id: String,
    pub(crate) signers: BTreeSet<String>,
    /// The most that it is trusted for.
    pub(crate) level: u8,
}

/// The levels of the SLSA source track.
const LEVELS: std::ops::RangeInclusive<u8> = 1..=4;

const PLACE: &str = "[source]";

pub(super) fn resolve(
    written: WrittenSource,
    signers: &[SignerRule],
) -> Result<SourceRule, PolicyError> {
    let given =
        [("refs/tags/", written.tag), ("refs/heads/", written.branch), ("", written.reference)];
    let given: Vec<_> =
        given.into_iter().filter_map(|(prefix, text)| Some((prefix, text?))).collect();
    let reference = match given.as_slice() {
        [(prefix, text)] if !text.is_empty() => Template(format!("{prefix}{text}")),
        _ => {
            let reason =
                "it needs exactly one of tag, branch and ref; ref = \"any\" accepts every one";
            return Err(PolicyError::Unclear { place: PLACE.to_owned(), reason });
        }
    };
    let value = |key, found: String, expected: &str| PolicyError::Value {
        place: PLACE.to_owned(),
        key,
        found,
        expected: expected.to_owned(),
    };
    if written.verifiers.is_empty() {
        return Err(PolicyError::EmptyList { key: format!("verifiers of {PLACE}") });
    }
    super::resolve::unique(
        "verifier of [source]",
        written.verifiers.iter().map(|v| v.id.as_str()),
    )?;
    let age = |text: String| {
        let age = Age::parse(&text);
        age.ok_or_else(|| value("max_age", text, "a length of time such as 30d"))
    };
    let level = |level: u8| match LEVELS.contains(&level) {
        true => Ok(level),
        false => Err(value("level", level.to_string(), "1, 2, 3 or 4")),
    };
    let verifier = |written: WrittenSourceVerifier| {
        Ok(SourceVerifier {
            signers: known_signers(PLACE, written.signers, signers)?,
            level: level(written.level)?,
            id: written.id,
        })
    };
    Ok(SourceRule {
        demand: written.rule.unwrap_or_default(),
        level: level(written.level)?,
        reference: Some(reference).filter(|template| template.as_str() != ANY),
        verifiers: written
            .verifiers
            .into_iter()
            .map(verifier)
            .collect::<Result<_, PolicyError>>()?,
        max_age: written.max_age.map(age).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use crate::policy::{NoteWeight, Policy, PolicyError};
    use crate::testing::Case;

    const GOOD: &str = "[source]\nlevel = 2\nbranch = \"main\"\n\
        verifiers = [{ id = \"https://scs\", signers = [\"key\"], level = 3 }]\n";

    fn parse(source: &str) -> Result<Policy, PolicyError> {
        let mut case = Case::bare();
        case.edit("#sbom", source);
        Policy::parse(&case.policy)
    }

    #[test]
    fn a_source_has_a_level_a_ref_and_somebody_who_speaks_for_it() {
        let rule = parse(GOOD).unwrap().source.unwrap();
        assert_eq!(rule.reference.unwrap().as_str(), "refs/heads/main");
        assert!(parse(&GOOD.replace("branch = \"main\"", "ref = \"any\"")).is_ok());
        for missing in [
            "level = 2\n",
            "verifiers = [{ id = \"https://scs\", signers = [\"key\"], level = 3 }]\n",
        ] {
            assert!(matches!(parse(&GOOD.replace(missing, "")), Err(PolicyError::Toml(_))));
        }
        for unclear in ["", "branch = \"\"", "branch = \"a\"\ntag = \"b\""] {
            let found = parse(&GOOD.replace("branch = \"main\"", unclear));
            assert!(matches!(found, Err(PolicyError::Unclear { .. })), "{unclear}");
        }
        for (from, to) in [
            ("level = 2", "level = 5"),
            ("level = 3", "level = 0"),
            ("level = 2", "level = 2\nmax_age = \"x\""),
        ] {
            let found = parse(&GOOD.replace(from, to));
            assert!(matches!(found, Err(PolicyError::Value { .. })), "{to}");
        }
        let stranger = parse(&GOOD.replace("\"key\"", "\"kay\""));
        assert!(matches!(stranger, Err(PolicyError::UnknownSigner { .. })));
        let nobody = parse("[source]\nlevel = 2\nbranch = \"main\"\nverifiers = []\n");
        assert!(matches!(nobody, Err(PolicyError::EmptyList { .. })));
    }

    #[test]
    fn what_is_odd_is_noted() {
        let notes = |text: &str| -> Vec<_> {
            let notes = parse(text).unwrap().check(None);
            notes.into_iter().filter(|note| note.text.starts_with("[source]")).collect()
        };
        assert!(notes(GOOD).is_empty());
        let any = notes(&GOOD.replace("branch = \"main\"", "ref = \"any\"\nrule = \"warn\""));
        assert_eq!(any.iter().filter(|note| note.weight == NoteWeight::Hole).count(), 2);
        let low = notes(&GOOD.replace("level = 2", "level = 4"));
        assert_eq!(low.first().unwrap().weight, NoteWeight::Contradiction);
    }

    #[test]
    fn a_project_may_ask_for_more() {
        let mut case = Case::bare();
        case.edit("#sbom", GOOD);
        let head = "version = 1\nname = \"project\"\nbase = \"base.toml\"\n";
        let over = |text: &str| Policy::parse_over(&format!("{head}{text}"), &case.policy);
        assert!(over("").unwrap().source.is_some() && over(GOOD).is_ok());
        assert!(over(&GOOD.replace("level = 2", "level = 3\nmax_age = \"1d\"")).is_ok());
        assert!(over(&GOOD.replace("level = 3 }", "level = 2 }")).is_ok());
        for (from, to) in [
            ("level = 2", "level = 1"),
            ("level = 2", "level = 2\nrule = \"warn\""),
            ("branch = \"main\"", "ref = \"any\""),
            ("https://scs", "https://other"),
            ("level = 3 }", "level = 4 }"),
        ] {
            let found = over(&GOOD.replace(from, to));
            assert!(matches!(found, Err(PolicyError::Widens { .. })), "{to}");
        }
        let bare = Case::bare().policy;
        assert!(Policy::parse_over(&format!("{head}{GOOD}"), &bare).is_ok());
    }
}
