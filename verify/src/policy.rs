//! Policy: who may sign, who may build, from which source, at which level, with which papers.
//!
//! On the wire it is TOML, described key by key in `docs/policy.md`. The text is read once into the
//! types as written, and those once into the checked types here; rules see only the latter. Unknown
//! keys are refused with the nearest known one, and whatever is not allowed is denied.

mod check;
mod explain;
mod propose;
mod resolve;
mod written;

use std::collections::BTreeSet;

use bonded_model::limits::POLICY_BYTES_MAX;
use bonded_model::sbom::SbomFormat;
use bonded_model::toml_text::{self, TomlError};
use bonded_model::{Digest, Version};

use crate::finding::Severity;
use crate::identity::SignerRule;
use crate::key::PublicKeyError;

pub use check::{NoteWeight, PolicyNote};
pub use propose::propose;

/// A policy, checked and ready to be applied.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    digest: Digest,
    pub(crate) signers: Vec<SignerRule>,
    pub(crate) builders: Vec<Builder>,
    pub(crate) provenance: ProvenanceRule,
    pub(crate) sbom: SbomRule,
    pub(crate) checksums: Demand,
    pub(crate) artifacts: Option<BTreeSet<String>>,
}

/// A builder with the level that it is trusted for and the signers who speak for it.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    pub(crate) id: String,
    pub(crate) level: u8,
    pub(crate) signers: BTreeSet<String>,
}

/// What provenance must say.
#[derive(Clone, Debug)]
pub(crate) struct ProvenanceRule {
    pub(crate) demand: Demand,
    pub(crate) level: u8,
    /// Normalised; `None` accepts any, which the text has to say.
    pub(crate) source: Option<String>,
    /// `None` accepts any, which the text has to say.
    pub(crate) reference: Option<Template>,
    pub(crate) build_types: Option<BTreeSet<String>>,
    pub(crate) parameters: Option<BTreeSet<String>>,
}

/// What SBOMs must be there.
#[derive(Clone, Debug)]
pub(crate) struct SbomRule {
    pub(crate) demand: Demand,
    pub(crate) formats: Vec<SbomFormat>,
    pub(crate) signers: Option<BTreeSet<String>>,
}

/// How much a rule weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
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
pub(crate) struct Template(String);

impl Template {
    const VERSION: &'static str = "{version}";

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

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Longer than the limit.
    #[error("policy has {bytes} bytes, the limit is {POLICY_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not TOML of the right shape.
    #[error("policy cannot be read")]
    Toml(#[from] TomlError),
    /// `version` names a format that is not known.
    #[error("policy is of version {found}, expected 1")]
    Version {
        /// As read.
        found: u32,
    },
    /// A name or a builder id stands twice, or is empty.
    #[error("{what} {name:?} is empty or stands twice")]
    Name {
        /// `signer`, `builder` or `policy`.
        what: &'static str,
        /// As read.
        name: String,
    },
    /// A signer is not exactly one of certificate identity and managed key.
    #[error("signer {signer:?} is unclear: {reason}")]
    Signer {
        /// Its name.
        signer: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pattern does not compile or is too large.
    #[error("signer {signer:?} has a pattern that cannot be used")]
    Pattern {
        /// The signer's name.
        signer: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key cannot be read.
    #[error("signer {signer:?} has a key that cannot be used")]
    Key {
        /// The signer's name.
        signer: String,
        /// What is wrong with it.
        #[source]
        source: PublicKeyError,
    },
    /// A rule names a signer that there is not.
    #[error("{place} names signer {signer:?}, which is not defined{}", hint(nearest.as_deref()))]
    UnknownSigner {
        /// Where.
        place: String,
        /// As read.
        signer: String,
        /// The nearest defined one.
        nearest: Option<String>,
    },
    /// A list that has to name something is empty.
    #[error("{key} is an empty list; leave it out or name something")]
    EmptyList {
        /// Which list.
        key: &'static str,
    },
    /// A level is not 1, 2 or 3, or is missing where it is needed.
    #[error("{place} needs a level of 1, 2 or 3, found {found}")]
    Level {
        /// Where.
        place: String,
        /// As read; 0 where there is none.
        found: u8,
    },
    /// No `source`, or an empty one.
    #[error("[provenance] needs a source; source = \"any\" accepts every repository")]
    Source,
    /// Not exactly one of `tag`, `branch` and `ref`, or an empty one.
    #[error(
        "[provenance] needs exactly one of tag, branch and ref; ref = \"any\" accepts every one"
    )]
    Reference,
    /// An expected artifact is no path inside a release.
    #[error("release.artifacts has {path:?}, which is no path inside a release")]
    Artifact {
        /// As read.
        path: String,
        /// What is wrong with it.
        #[source]
        source: bonded_model::name::NameError,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"))
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] at the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if u64::try_from(text.len()).is_ok_and(|length| length > POLICY_BYTES_MAX) {
            return Err(PolicyError::TooLarge { bytes: text.len() });
        }
        resolve::resolve(toml_text::parse(text)?, Digest::sha256_of(text.as_bytes()))
    }

    /// The digest of its text.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The policy that stands behind the question whether one given signer signed a file.
    pub(crate) fn of_one_signer(signer: SignerRule, digest: Digest) -> Self {
        Self {
            name: signer.name.clone(),
            digest,
            signers: vec![signer],
            builders: Vec::new(),
            provenance: ProvenanceRule {
                demand: Demand::Off,
                level: 1,
                source: None,
                reference: None,
                build_types: None,
                parameters: None,
            },
            sbom: SbomRule { demand: Demand::Off, formats: Vec::new(), signers: None },
            checksums: Demand::Off,
            artifacts: None,
        }
    }

    /// Whether a signer is given by a pattern, so that its name stands for many.
    pub(crate) fn is_pattern(&self, signer: &str) -> bool {
        let mut named = self.signers.iter().filter(|rule| rule.name == signer);
        named.any(|rule| rule.pattern().is_some())
    }

    pub(crate) fn builder(&self, id: &str) -> Option<&Builder> {
        self.builders.iter().find(|builder| builder.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, Key};

    fn documented() -> String {
        let text = include_str!("../../docs/policy.md");
        let (_, rest) = text.split_once("```toml\n").unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    }

    fn parse(from: &str, to: &str) -> Result<Policy, PolicyError> {
        let text = documented();
        assert!(text.contains(from), "{from}");
        Policy::parse(&text.replacen(from, to, 1))
    }

    #[test]
    fn the_documented_example_is_a_policy() {
        let policy = Policy::parse(&documented()).unwrap();
        assert_eq!(policy.name(), "example");
        assert_eq!(policy.digest(), Digest::sha256_of(documented().as_bytes()));
        assert_eq!((policy.signers.len(), policy.builders.len()), (4, 3));
        assert!(documented().contains(Key::from_seed(1).public_pem().lines().nth(1).unwrap()));
    }

    #[test]
    fn what_is_left_out_denies() {
        let policy = Policy::parse(&Case::bare().policy.replace("rule = \"off\"\n", "")).unwrap();
        assert_eq!(policy.provenance.demand, Demand::Require);
        assert_eq!(policy.sbom.demand, Demand::Require);
        assert_eq!(policy.checksums, Demand::Off);
        let without = "version = 1\nname = \"a\"\n";
        assert!(matches!(Policy::parse(without), Err(PolicyError::Toml(_))));
        let without_level = "version = 1\nname = \"a\"\n[provenance]\n";
        assert!(matches!(Policy::parse(without_level), Err(PolicyError::Level { found: 0, .. })));
    }

    #[test]
    fn any_source_and_any_ref_have_to_be_said() {
        let any = parse("tag = \"{version}\"", "ref = \"any\"").unwrap().provenance;
        assert!(any.reference.is_none() && any.source.is_some());
        let source = "source = \"https://github.com/slsa-framework/example-package\"";
        let any = parse(source, "source = \"any\"").unwrap().provenance;
        assert!(any.reference.is_some() && any.source.is_none());
        for named in ["tag", "branch"] {
            let text = format!("{named} = \"any\"");
            let named = parse("tag = \"{version}\"", &text).unwrap().provenance.reference;
            assert!(named.unwrap().as_str().ends_with("/any"), "{text}");
        }
        let off = "version = 1\nname = \"a\"\n[provenance]\nrule = \"off\"\n";
        assert!(Policy::parse(off).unwrap().provenance.source.is_none());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let table = [
            ("[provenance]\n", "[provenance]\nsorce = \"x\"\n", "source"),
            ("[sbom]\n", "[sbom]\nformat = [\"spdx\"]\n", "formats"),
            ("[checksums]\n", "[checksums]\nrules = \"warn\"\n", "rule"),
            ("[release]\n", "[release]\nartefacts = []\n", "artifacts"),
            ("level = 1\n", "level = 1\nsigner = []\n", "signers"),
            ("log = ", "logs = ", "log"),
            ("runner-environment", "runner-enviroment", "runner-environment"),
            ("[sbom]\n", "[sboms]\n[sbom]\n", "sbom"),
        ];
        for (from, to, nearest) in table {
            match parse(from, to) {
                Err(PolicyError::Toml(error)) => {
                    assert_eq!(error.hint.as_deref(), Some(nearest), "{to}");
                }
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn must_reject_shapes() {
        let toml = [
            ("version = 1\n", ""),
            ("name = \"example\"\n", ""),
            ("version = 1\n", "version = 1\nversion = 1\n"),
            ("rule = \"require\"", "rule = \"maybe\""),
            ("log = \"if-present\"", "log = \"never\""),
            ("formats = [\"spdx\"", "formats = [\"swid\""),
            ("level = 3", "level = \"3\""),
            ("level = 3", "level = 300"),
            ("level = 3", "level = -1"),
            ("valid_from = \"2026-01-01T00:00:00Z\"", "valid_from = \"2026-01-01\""),
            ("[release]", "[[release]]"),
        ];
        for (from, to) in toml {
            assert!(matches!(parse(from, to), Err(PolicyError::Toml(_))), "{to}");
        }
        let long = " ".repeat(usize::try_from(POLICY_BYTES_MAX).unwrap() + 1);
        assert!(matches!(Policy::parse(&long), Err(PolicyError::TooLarge { .. })));
        assert!(matches!(
            parse("version = 1", "version = 2"),
            Err(PolicyError::Version { found: 2 })
        ));
        assert!(matches!(
            parse("tag = \"{version}\"", "tag = \"a\"\nbranch = \"b\""),
            Err(PolicyError::Reference)
        ));
        for none in ["tag = \"\"", "ref = \"\"", ""] {
            let found = parse("tag = \"{version}\"", none);
            assert!(matches!(found, Err(PolicyError::Reference)), "{none}");
        }
        let source = "source = \"https://github.com/slsa-framework/example-package\"\n";
        for none in ["source = \"\"\n", ""] {
            assert!(matches!(parse(source, none), Err(PolicyError::Source)), "{none}");
            let warns = documented().replacen("rule = \"require\"", "rule = \"warn\"", 1);
            let found = Policy::parse(&warns.replacen(source, none, 1));
            assert!(matches!(found, Err(PolicyError::Source)), "{none}");
        }
        let artifacts = ["../x", "/x", "", "a//b"];
        for path in artifacts {
            let found = parse("\"LICENSE\"", &format!("\"{path}\""));
            assert!(matches!(found, Err(PolicyError::Artifact { .. })), "{path}");
        }
    }

    #[test]
    fn must_reject_levels_and_names() {
        for level in ["0", "4"] {
            let found = parse("level = 3", &format!("level = {level}"));
            assert!(matches!(found, Err(PolicyError::Level { .. })), "{level}");
        }
        let names = [
            ("name = \"our people\"", "name = \"release key\""),
            ("name = \"our people\"", "name = \"\""),
            ("name = \"example\"", "name = \"\""),
            ("id = \"https://example.com/workshop\"", "id = \"\""),
        ];
        for (from, to) in names {
            assert!(matches!(parse(from, to), Err(PolicyError::Name { .. })), "{to}");
        }
        let lists = [
            ("signers = [\"slsa-generic\"]", "signers = []"),
            ("formats = [\"spdx\", \"cyclonedx\"]", "formats = []"),
            ("signers = [\"release key\", \"our people\"]", "signers = []"),
            ("artifacts = [\"example-{version}.tar.gz\", \"LICENSE\"]", "artifacts = []"),
        ];
        for (from, to) in lists {
            assert!(matches!(parse(from, to), Err(PolicyError::EmptyList { .. })), "{to}");
        }
        match parse("signers = [\"slsa-generic\"]", "signers = [\"slsa-generik\"]") {
            Err(PolicyError::UnknownSigner { nearest, .. }) => {
                assert_eq!(nearest.as_deref(), Some("slsa-generic"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn must_reject_signers() {
        let issuer = "issuer = \"https://accounts.example.com\"\n";
        let regex = "identity_regex = '(alice|bob)@example\\.com'\n";
        let from = "valid_from = \"2026-01-01T00:00:00Z\"\n";
        let unclear = [
            (issuer, ""),
            (issuer, "issuer = \"\"\n"),
            (regex, ""),
            (regex, "identity = \"\"\n"),
            (regex, "identity = \"a\"\nidentity_glob = \"*\"\n"),
            (regex, "identity = \"a\"\nlog = \"require\"\n"),
            (regex, "identity = \"a\"\npublic_key = \"\"\n"),
            (from, "identity = \"a\"\n"),
            (from, "claims = {}\n"),
            (from, "valid_from = \"2027-01-01T00:00:00Z\"\n"),
        ];
        for (from, to) in unclear {
            assert!(matches!(parse(from, to), Err(PolicyError::Signer { .. })), "{to}");
        }
        for pattern in ["(", "a)|(?:b", "a{1000}{1000}"] {
            let found = parse(regex, &format!("identity_regex = '{pattern}'\n"));
            assert!(matches!(found, Err(PolicyError::Pattern { .. })), "{pattern}");
        }
        let found = parse("MCowBQYDK2VwAyEA", "MCowBQYDK2VwAyE");
        assert!(matches!(found, Err(PolicyError::Key { .. })));
    }
}
