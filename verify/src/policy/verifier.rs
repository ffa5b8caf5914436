//! Verifiers: whose summaries (VSA) stand in place of provenance, or of a whole verdict.
//!
//! A verifier is a pair of the id that a summary states and the signers who speak for it. A trusted key alone
//! says nothing: its holder may sign for one verifier and write the id of another.

use std::collections::BTreeSet;

use bonded_model::{ArtifactPath, Digest, Project, ReleaseName, Version};

use super::Policy;
use super::error::PolicyError;
use super::resolve::{known_signers, not_empty};
use super::rule::{Age, Demand};
use super::written::WrittenVerifier;
use crate::identity::SignerRule;

impl Policy {
    /// What a verifier has to be trusted for so that a summary of a release by it can count: no less than what
    /// is required of any artifact.
    pub(crate) fn highest_required_level(&self) -> u8 {
        let provenance = self.all_demands().map(|demands| &demands.provenance);
        let required = provenance.filter(|rule| rule.demand == Demand::Require);
        required.map(|rule| rule.level).max().unwrap_or_default()
    }

    /// Why a summary by a verifier with that id about that resource, of a release or of an artifact in it, would
    /// count for nothing under this policy; `None` where nothing is known against it. Who signs it, and how, is
    /// not asked.
    pub fn unheard(
        &self,
        verifier_id: &str,
        resource_uri: &str,
        release: &ReleaseName,
        path: Option<&ArtifactPath>,
    ) -> Option<Unheard> {
        let Some(rule) = self.verifier(verifier_id) else { return Some(Unheard::Verifier) };
        let wanted = match path {
            None => rule.of_release(release),
            Some(_) => rule.resource.as_ref().and_then(|template| template.uri(release, path)),
        };
        (wanted.as_deref() != Some(resource_uri)).then_some(Unheard::Resource { wanted })
    }
}

/// Why a summary counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// The policy names no such verifier.
    Verifier,
    /// The verifier is heard about another resource.
    Resource {
        /// About which; `None` where it is not heard about anything of the kind.
        wanted: Option<String>,
    },
}

/// A verifier whose word is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifierRule {
    /// `verifier.id`, compared exactly.
    pub(crate) id: String,
    pub(crate) signers: BTreeSet<String>,
    /// The most that it is trusted for.
    pub(crate) level: u8,
    /// The resource of a summary about one artifact.
    pub(crate) resource: Option<ResourceTemplate>,
    /// The resource of a summary about a whole release, which opens the door.
    pub(crate) release: Option<ResourceTemplate>,
    /// The policies that it may have applied; `None` accepts any.
    pub(crate) policies: Option<BTreeSet<Digest>>,
    /// How long after its `timeVerified` a summary is good.
    pub(crate) max_age: Option<Age>,
}

/// A URI in which `{project}`, `{version}` and `{path}` stand for those of what is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceTemplate(String);

/// What a resource is held against, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) project: Option<&'a Project>,
    pub(crate) version: Option<&'a Version>,
    pub(crate) path: Option<&'a ArtifactPath>,
}

impl VerifierRule {
    /// The resource of a summary of that release, if the verifier may make one.
    pub(crate) fn of_release(&self, name: &ReleaseName) -> Option<String> {
        self.release.as_ref()?.uri(name, None)
    }
}

impl ResourceTemplate {
    pub(super) const PATH: &'static str = "{path}";

    /// The template of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it asks for a path, so that it stands for one artifact and not for a release.
    pub fn names_path(&self) -> bool {
        self.0.contains(Self::PATH)
    }

    /// The URI of a release, or of an artifact of it; `None` if it asks for a path and none is given.
    pub fn uri(&self, name: &ReleaseName, path: Option<&ArtifactPath>) -> Option<String> {
        let (project, version) = (Some(&name.project), Some(&name.version));
        self.fill(&Place { project, version, path })
    }

    /// The URI for that place; `None` if it asks for what is not known.
    pub(crate) fn fill(&self, place: &Place<'_>) -> Option<String> {
        let known = [
            ("{project}", place.project.map(Project::as_str)),
            ("{version}", place.version.map(Version::as_str)),
            (Self::PATH, place.path.map(ArtifactPath::as_str)),
        ];
        let mut filled = String::new();
        let mut rest = self.0.as_str();
        // From left to right, so that what is filled in is not looked at again.
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            match known.iter().find(|(name, _)| from.starts_with(name)) {
                Some((name, value)) => {
                    filled.push_str((*value)?);
                    rest = from.get(name.len()..).unwrap_or_default();
                }
                None => {
                    filled.push('{');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        Some(filled + rest)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Verifiers in one policy. Each summary is held against one, and the age of each is told.
pub(super) const VERIFIER_COUNT_MAX: usize = 64;

pub(super) fn resolve(
    written: WrittenVerifier,
    signers: &[SignerRule],
) -> Result<VerifierRule, PolicyError> {
    let place = format!("verifier {:?}", written.id);
    let unclear = |reason| PolicyError::Unclear { place: place.clone(), reason };
    let value = |key, found: &str, expected: &str| PolicyError::Value {
        place: place.clone(),
        key,
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    let age = |text: &str| {
        Age::parse(text).ok_or_else(|| value("max_age", text, "a length of time such as 30d"))
    };
    let max_age = written.max_age.as_deref().map(age).transpose()?;
    if written.resource.is_none() && written.release.is_none() {
        return Err(unclear("it needs a resource, of its artifacts or of a release"));
    }
    if written.release.is_some() && max_age.is_none() {
        let reason =
            "release needs max_age: keys, ages and exceptions run out while a summary stands";
        return Err(unclear(reason));
    }
    let release = written.release.as_deref();
    if release.is_some_and(|release| release.contains(ResourceTemplate::PATH)) {
        return Err(unclear("release is about no single artifact, so there is no {path} in it"));
    }
    if [written.resource.as_deref(), release].contains(&Some("")) {
        return Err(unclear("its resource is empty"));
    }
    let digest = |text: &String| text.parse::<Digest>();
    let policies = match written.policies {
        None => None,
        Some(texts) => {
            let unread = texts.iter().find(|text| digest(text).is_err());
            if let Some(text) = unread {
                return Err(value("policies", text, "`sha256:` and 64 hex digits"));
            }
            let texts = not_empty(&place, "policies", texts)?;
            Some(texts.iter().filter_map(|text| digest(text).ok()).collect()) // each was read above
        }
    };
    Ok(VerifierRule {
        signers: known_signers(&place, written.signers, signers)?,
        level: super::resolve::level(&place, written.level)?,
        resource: written.resource.map(ResourceTemplate),
        release: written.release.map(ResourceTemplate),
        policies,
        max_age,
        id: written.id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::testing::Case;

    const GOOD: &str = "[[verifier]]\nid = \"https://v\"\nsigners = [\"key\"]\nlevel = 3\n\
                        resource = \"pkg:x/{path}\"\n";

    fn parse(verifier: &str) -> Result<Policy, PolicyError> {
        let mut case = Case::bare();
        case.edit("#sbom", verifier);
        Policy::parse(&case.policy)
    }

    #[test]
    fn a_template_is_filled_once_from_left_to_right() {
        let (project, version) = ("p".parse().unwrap(), "1".parse().unwrap());
        let path = "a/{project}".parse().unwrap();
        let place = Place { project: Some(&project), version: Some(&version), path: Some(&path) };
        let fill = |text: &str, place: &Place<'_>| ResourceTemplate::new(text).fill(place);
        let all = fill("{project}@{version}#{path}", &place);
        assert_eq!(all.as_deref(), Some("p@1#a/{project}"));
        assert_eq!(fill("{{version}}{other}{", &place).as_deref(), Some("{1}{other}{"));
        let none = Place { path: None, ..place };
        assert_eq!(fill("{path}", &none), None);
        assert_eq!(fill("{project}", &none).as_deref(), Some("p"));
    }

    #[test]
    fn a_verifier_is_a_pair_with_a_resource() {
        assert_eq!(parse(GOOD).unwrap().verifiers.len(), 1);
        let digest = Digest::sha256_of(b"");
        for more in ["max_age = \"7d\"".to_owned(), format!("policies = [\"{digest}\"]")] {
            assert!(parse(&format!("{GOOD}{more}\n")).is_ok(), "{more}");
        }
        let without = |key: &str| {
            let kept = GOOD.lines().filter(|line| !line.starts_with(key));
            kept.map(|line| format!("{line}\n")).collect::<String>()
        };
        for key in ["id", "signers", "level"] {
            assert!(matches!(parse(&without(key)), Err(PolicyError::Toml(_))), "{key}");
        }
        let unclear = [
            without("resource"),
            GOOD.replace("pkg:x/{path}", ""),
            format!("{GOOD}release = \"pkg:x\"\n"),
            format!("{GOOD}release = \"pkg:x/{{path}}\"\nmax_age = \"1d\"\n"),
        ];
        for text in unclear {
            assert!(matches!(parse(&text), Err(PolicyError::Unclear { .. })), "{text}");
        }
        for more in ["max_age = \"1y\"", "policies = [\"sha256:00\"]"] {
            let found = parse(&format!("{GOOD}{more}\n"));
            assert!(matches!(found, Err(PolicyError::Value { .. })), "{more}");
        }
        let nobody = parse(&GOOD.replace("[\"key\"]", "[]"));
        assert!(matches!(nobody, Err(PolicyError::EmptyList { .. })));
        let none = parse(&format!("{GOOD}policies = []\n"));
        assert!(matches!(none, Err(PolicyError::EmptyList { .. })));
        let stranger = parse(&GOOD.replace("\"key\"", "\"kay\""));
        assert!(matches!(stranger, Err(PolicyError::UnknownSigner { .. })));
        let high = parse(&GOOD.replace("level = 3", "level = 4"));
        assert!(matches!(high, Err(PolicyError::Level { .. })));
        let twice = parse(&format!("{GOOD}{GOOD}"));
        assert!(matches!(twice, Err(PolicyError::Name { .. })));
        assert!(parse(&format!("{GOOD}release = \"pkg:x\"\nmax_age = \"1d\"\n")).is_ok());
    }
}
