//! Findings: what a rule holds against a piece of evidence, with what was expected and what was seen.

use bonded_model::{ArtifactPath, Digest};
use serde::Serialize;

use crate::code::Code;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
}

/// What a rule found, before it is known whom it concerns and how much it weighs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) expected: String,
    pub(crate) seen: String,
}

impl Fault {
    pub(crate) fn new(code: Code, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { code, expected: bounded(expected.into()), seen: bounded(seen.into()) }
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

/// Texts come from hostile documents; a finding stays readable and small.
const TEXT_CHARACTERS_MAX: usize = 1024;

fn bounded(text: String) -> String {
    if text.chars().any(char::is_control) || text.chars().count() > TEXT_CHARACTERS_MAX {
        let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        return clean.take(TEXT_CHARACTERS_MAX).collect();
    }
    text
}
