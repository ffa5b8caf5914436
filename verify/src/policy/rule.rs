//! The rules of a policy as values: what each kind of paper must say, and how much a breach weighs.

use std::collections::BTreeSet;

use bonded_model::sbom::SbomFormat;
use bonded_model::{Digest, Timestamp, Version};

use crate::finding::Severity;
use crate::moment::Moment;
use crate::provenance::Expect;

/// What is demanded of one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demands {
    pub(crate) provenance: ProvenanceRule,
    pub(crate) sbom: SbomRule,
    pub(crate) checksums: Demand,
}

impl Demands {
    /// Nothing at all.
    pub(super) fn off() -> Self {
        let provenance = ProvenanceRule {
            demand: Demand::Off,
            level: 1,
            source: None,
            reference: None,
            build_types: None,
            parameters: None,
            expect: Expect::default(),
            count: Count::default(),
        };
        let sbom = SbomRule {
            demand: Demand::Off,
            formats: Vec::new(),
            signers: None,
            count: Count::default(),
        };
        Self { provenance, sbom, checksums: Demand::Off }
    }
}

/// A builder with the level that it is trusted for and the signers who speak for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Builder {
    pub(crate) id: String,
    pub(crate) level: u8,
    pub(crate) signers: BTreeSet<String>,
}

/// A provenance without a signature that is accepted by its checksum.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    /// SHA-256 of the document as it is held.
    pub(crate) digest: Digest,
    /// Why, for the people who read the policy.
    pub(crate) reason: String,
    /// The builder that it must name.
    pub(crate) builder: String,
    /// Never above 1: level 2 asks for a signature (SLSA v1.1, requirements.md).
    pub(crate) level: u8,
}

/// Which npm package the files of a release are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NpmRule {
    pub(crate) demand: Demand,
    /// The name, with its scope.
    pub(crate) package: String,
    pub(crate) version: Template,
    pub(crate) registry: String,
    /// Who speaks for the registry.
    pub(crate) signers: BTreeSet<String>,
}

/// What provenance must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProvenanceRule {
    pub(crate) demand: Demand,
    pub(crate) level: u8,
    /// Normalised; `None` accepts any, which the text has to say.
    pub(crate) source: Option<String>,
    /// `None` accepts any, which the text has to say.
    pub(crate) reference: Option<Template>,
    pub(crate) build_types: Option<BTreeSet<String>>,
    pub(crate) parameters: Option<BTreeSet<String>>,
    /// What else it must say, where the text asks for it.
    pub(crate) expect: Expect,
    pub(crate) count: Count,
}

/// What SBOMs must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SbomRule {
    pub(crate) demand: Demand,
    pub(crate) formats: Vec<SbomFormat>,
    pub(crate) signers: Option<BTreeSet<String>>,
    pub(crate) count: Count,
}

/// How many distinct signers there must be behind the documents that satisfy a rule, and how old their
/// signatures may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// At least 1.
    pub(crate) quorum: usize,
    pub(crate) max_age: Option<Age>,
}

impl Default for Count {
    fn default() -> Self {
        Self { quorum: 1, max_age: None }
    }
}

/// A length of time as a policy writes it: a number and one of `m`, `h`, `d` and `w`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    seconds: i64,
    text: String,
}

impl Age {
    const UNITS: [(char, i64); 4] = [('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];

    /// `None` for what is no length of time, or is none at all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, seconds) = Self::UNITS
            .iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)))?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let count: i64 = number.parse().ok()?; // too many digits are no length of time
        let seconds = count.checked_mul(*seconds).filter(|seconds| *seconds > 0)?;
        Some(Self { seconds, text: text.to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is no longer than another.
    pub(crate) fn within(&self, other: &Self) -> bool {
        self.seconds <= other.seconds
    }

    /// Whether no more than this lies between a time and now.
    pub(crate) fn covers(&self, from: Timestamp, now: &Moment) -> bool {
        !now.has_passed(self.seconds, from)
    }
}

/// How much a rule weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Demand {
    /// The rule is not applied; what it would have looked at is noted.
    Off,
    /// A breach is a warning.
    Warn,
    /// A breach fails the verdict.
    #[default]
    Require,
}

impl Demand {
    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::Off => Severity::Note,
            Self::Warn => Severity::Warn,
            Self::Require => Severity::Fail,
        }
    }
}

/// What `source` and `ref` say where everything is accepted: absence is not taken for consent.
pub(crate) const ANY: &str = "any";

/// A text in which `{version}` stands for the version of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(pub(super) String);

impl Template {
    pub(super) const VERSION: &'static str = "{version}";

    /// The text for that version; `None` if it asks for one and there is none.
    pub(crate) fn fill(&self, version: Option<&Version>) -> Option<String> {
        match version {
            Some(version) => Some(self.0.replace(Self::VERSION, version.as_str())),
            None if self.0.contains(Self::VERSION) => None,
            None => Some(self.0.clone()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (text, seconds) in
            [("1m", 60), ("36h", 129_600), ("30d", 2_592_000), ("02w", 1_209_600)]
        {
            let age = Age::parse(text).unwrap();
            assert_eq!((age.seconds, age.as_str()), (seconds, text));
        }
        let none = [
            "",
            "d",
            "0d",
            "1",
            "-1d",
            "+1d",
            "1.5d",
            "1 d",
            "1D",
            "1y",
            "1dd",
            "9223372036854775807w",
        ];
        for text in none {
            assert_eq!(Age::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_second_is_within() {
        let at = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
        let age = Age::parse("1m").unwrap();
        let covers = |from, now| age.covers(at(from), &Moment::new(at(now)));
        assert!(covers(0, 60) && !covers(0, 61) && covers(100, 0));
    }
}
