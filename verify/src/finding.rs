//! Findings: what a rule holds against a piece of evidence, with what was expected and what was seen.

use std::collections::BTreeMap;

use bonded_model::limits::LIKE_FINDING_COUNT_MAX;
use bonded_model::{ArtifactPath, Digest};
use serde::{Deserialize, Serialize};

use crate::code::Code;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The verdict is a fail.
    Fail,
    /// Somebody should look at it; the verdict does not depend on it.
    Warn,
    /// For the record, such as a document that was not accepted where another one was.
    Note,
}

/// One thing that a rule found.
///
/// The derived order is the canonical one: by artifact (whole release first), then document, code,
/// and what was expected and seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Finding {
    /// The artifact it is about; absent where it is about the release or a document as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<ArtifactPath>,
    /// The digest of that artifact, or of the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// The document of evidence that it was found in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Digest>,
    /// What kind of finding it is.
    pub code: Code,
    /// What the rule expected.
    pub expected: String,
    /// What it saw.
    pub seen: String,
    /// How much it weighs.
    pub severity: Severity,
    /// What the policy calls the requirement or expression that found it. The text says it too.
    #[serde(skip)]
    pub(crate) rule: Option<String>,
}

impl Finding {
    /// Adds to what was seen; where that is too long, the addition stays whole.
    pub(crate) fn tell(&mut self, more: &str) {
        let more = bounded(more.to_owned());
        let room = TEXT_CHARACTERS_MAX.saturating_sub(more.chars().count());
        self.seen = self.seen.chars().take(room).chain(more.chars()).collect();
    }
}

/// The findings in canonical order, each once. Of those that differ in their texts only, some are
/// told and the last one says how many more there are; no kind and no weight disappears.
pub(crate) fn capped(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings.dedup();
    let mut kept: Vec<Finding> = Vec::new();
    let mut tallies: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for finding in findings {
        let (path, subject) = (finding.path.clone(), finding.subject);
        let (code, severity, rule) = (finding.code, finding.severity, finding.rule.clone());
        let like = (path, subject, finding.document, code, severity, rule);
        let (count, last) = tallies.entry(like).or_default();
        *count += 1;
        if *count <= LIKE_FINDING_COUNT_MAX {
            *last = kept.len();
            kept.push(finding);
        }
    }
    for (count, last) in tallies.into_values() {
        let more = count.saturating_sub(LIKE_FINDING_COUNT_MAX);
        if let Some(finding) = kept.get_mut(last).filter(|_| more > 0) {
            finding.seen.push_str(&format!(", and {more} more like it"));
        }
    }
    kept.sort();
    kept
}

/// What a finding is held against.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spot {
    pub(crate) path: Option<ArtifactPath>,
    /// The digest of the artifact, or of the release.
    pub(crate) subject: Option<Digest>,
    pub(crate) document: Option<Digest>,
}

/// What a rule found, before it is known whom it concerns and how much it weighs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) expected: String,
    pub(crate) seen: String,
    /// What the policy calls the rule that found it, where there may be several of its kind.
    pub(crate) rule: Option<String>,
}

impl Fault {
    pub(crate) fn new(code: Code, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        let (expected, seen) = (bounded(expected.into()), bounded(seen.into()));
        Self { code, expected, seen, rule: None }
    }

    /// The fault as a finding, held against that spot.
    pub(crate) fn at(self, spot: Spot, severity: Severity) -> Finding {
        let Spot { path, subject, document } = spot;
        let Self { code, expected, seen, rule } = self;
        Finding { path, subject, document, code, expected, seen, severity, rule }
    }

    pub(crate) fn of_rule(self, name: &str) -> Self {
        Self { rule: Some(name.to_owned()), ..self }
    }

    /// A fault whose details are the messages of an error and of all its sources.
    pub(crate) fn of_error(
        code: Code,
        expected: impl Into<String>,
        error: &dyn std::error::Error,
    ) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let text: Vec<String> = chain.map(ToString::to_string).collect();
        Self::new(code, expected, text.join(": "))
    }
}

/// Joins texts with commas, and stops where a finding would be cut off anyway.
pub(crate) fn joined<'a>(texts: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> String {
    let mut joined = String::new();
    for text in texts {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&text);
        if joined.len() > TEXT_CHARACTERS_MAX * char::MAX.len_utf8() {
            break;
        }
    }
    joined
}

/// Texts come from hostile documents; a finding stays readable and small.
const TEXT_CHARACTERS_MAX: usize = 1024;

fn bounded(text: String) -> String {
    if text.chars().any(char::is_control) || text.chars().count() > TEXT_CHARACTERS_MAX {
        let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        return clean.take(TEXT_CHARACTERS_MAX).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(path: &str, seen: &str, severity: Severity) -> Finding {
        Finding {
            path: Some(path.parse().unwrap()),
            subject: None,
            document: None,
            code: Code::SigUnsigned,
            expected: String::new(),
            seen: seen.to_owned(),
            severity,
            rule: None,
        }
    }

    #[test]
    fn like_findings_are_counted_and_no_weight_disappears() {
        let many = LIKE_FINDING_COUNT_MAX + 5;
        let warns = (0..many).map(|at| finding("a", &format!("{at:03}"), Severity::Warn));
        let mut findings: Vec<_> = warns.collect();
        findings.extend(vec![finding("a", "999", Severity::Fail); many]);
        findings.push(finding("b", "0", Severity::Warn));
        let kept = capped(findings.clone());
        let told: Vec<_> = kept.iter().filter(|f| f.severity == Severity::Warn).collect();
        assert_eq!(told.len(), LIKE_FINDING_COUNT_MAX + 1);
        assert_eq!(told[LIKE_FINDING_COUNT_MAX - 1].seen, "015, and 5 more like it");
        assert_eq!(told[LIKE_FINDING_COUNT_MAX - 2].seen, "014");
        assert_eq!(kept.iter().filter(|f| f.severity == Severity::Fail).count(), 1);
        assert_eq!(capped(kept.clone()), kept);
        findings.reverse();
        assert_eq!(capped(findings), kept);
    }

    /// Each may have an exception of its own, so the one must not be hidden among the others.
    #[test]
    fn findings_of_two_rules_are_counted_apart() {
        let of = |rule: &str, at: usize| Finding {
            rule: Some(rule.to_owned()),
            ..finding("a", &format!("{at:03}"), Severity::Fail)
        };
        let many = (0..LIKE_FINDING_COUNT_MAX + 1).map(|at| of("a", at));
        let kept = capped(many.chain([of("b", 999)]).collect());
        assert!(kept.contains(&of("b", 999)));
    }

    #[test]
    fn a_long_list_of_texts_is_not_joined_to_its_end() {
        let many = std::iter::repeat_n(std::borrow::Cow::Borrowed("0123456789"), 1_000_000);
        assert!(joined(many).len() < 5 * TEXT_CHARACTERS_MAX);
        assert_eq!(joined(["a", "b"].into_iter().map(Into::into)), "a, b");
    }
}
