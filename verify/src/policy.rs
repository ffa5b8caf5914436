//! Policy: who may sign, who may build, from which source, at which level, with which papers.
//!
//! On the wire it is TOML, described key by key in `docs/policy.md`. The text is read once into the
//! types as written, and those once into the checked types here; rules see only the latter. Unknown
//! keys are refused with the nearest known one, and whatever is not allowed is denied.

mod check;
mod condition;
mod error;
pub(crate) mod exception;
mod expect;
mod explain;
mod inherit;
mod layout;
mod narrow;
mod propose;
mod require;
mod resolve;
mod rule;
mod scope;
mod source;
mod unasked;
mod verifier;
mod written;

use std::collections::BTreeSet;

use bonded_model::json::to_canonical;
use bonded_model::limits::POLICY_BYTES_MAX;
use bonded_model::{ArtifactPath, Digest, Platform, toml_text};

use crate::identity::SignerRule;
use crate::pattern::Pattern;

pub use check::{NoteWeight, PolicyNote};
pub(crate) use condition::Condition;
pub use error::PolicyError;
pub(crate) use layout::LayoutRule;
pub use propose::propose;
pub(crate) use require::{Of, Requirement};
pub(crate) use rule::{
    Age, Builder, Count, Demand, Demands, NpmRule, Pinned, ProvenanceRule, SbomRule, Template,
};
use scope::Selector;
pub(crate) use scope::{Scope, Selected, Sight};
pub(crate) use source::SourceRule;
pub(crate) use verifier::{Place, VerifierRule};
pub use verifier::{ResourceTemplate, Unheard};

/// A policy, checked and ready to be applied.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    digest: Digest,
    pub(crate) signers: Vec<SignerRule>,
    pub(crate) builders: Vec<Builder>,
    pub(crate) unsigned: Vec<Pinned>,
    pub(crate) verifiers: Vec<VerifierRule>,
    pub(crate) source: Option<SourceRule>,
    pub(crate) npm: Option<NpmRule>,
    pub(crate) layout: Option<LayoutRule>,
    /// What goes where no scope says something else.
    pub(crate) demands: Demands,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) release: ReleaseRule,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) exceptions: Vec<exception::Exception>,
}

/// What a release has to consist of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReleaseRule {
    /// Those that must be there; with them, nothing else may.
    pub(crate) artifacts: Option<BTreeSet<String>>,
    /// Those that may be there beside them.
    pub(crate) allowed: Vec<Pattern>,
    /// Those that something must be for; with them, nothing may be for another.
    pub(crate) platforms: Option<BTreeSet<Platform>>,
}

/// Which of the demands of a policy go for an artifact: 0 for those at the top level, then those of the
/// scopes in their order.
pub(crate) type DemandsAt = usize;

impl Policy {
    /// Reads a policy that stands on no base.
    ///
    /// # Errors
    /// [`PolicyError`] at the first thing that is wrong; [`PolicyError::NeedsBase`] if it has a base.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let written = read(text)?;
        if let Some(base) = written.base {
            return Err(PolicyError::NeedsBase { base });
        }
        resolve::resolve(written, Digest::sha256_of(text.as_bytes()))
    }

    /// The file name of the base that a policy stands on, if it has one.
    ///
    /// # Errors
    /// [`PolicyError`] if the text has not the shape of a policy, or names no plain file.
    pub fn base_of(text: &str) -> Result<Option<String>, PolicyError> {
        let base = read(text)?.base;
        match &base {
            Some(name) if name.parse::<ArtifactPath>().is_err() || name.contains(['/', '\\']) => {
                let reason = "base is the name of a file beside it, without directories";
                Err(PolicyError::Unclear { place: "policy".to_owned(), reason })
            }
            _ => Ok(base),
        }
    }

    /// Reads a policy over the text of its base, which it may only narrow. The digest is that of the
    /// canonical JSON of `["base", SHA-256 of the base's text, SHA-256 of the text]`.
    ///
    /// # Errors
    /// [`PolicyError`] at the first thing that is wrong; [`PolicyError::Widens`] for the first part that is
    /// wider than the base.
    pub fn parse_over(text: &str, base: &str) -> Result<Self, PolicyError> {
        let held = Self::parse(base).map_err(|error| PolicyError::Base(Box::new(error)))?;
        let digest = |text: &str| Digest::sha256_of(text.as_bytes());
        let digest = Digest::sha256_of(&to_canonical(&("base", digest(base), digest(text))));
        let written = inherit::merged(read(text)?, read(base)?);
        let policy = resolve::resolve(written, digest)?;
        narrow::check(&policy, &held)?;
        Ok(policy)
    }

    /// The digest of its text, or of both texts where it stands on a base.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether a signed summary of a release can stand in place of a verdict under it.
    pub fn accepts_summaries(&self) -> bool {
        self.verifiers.iter().any(|verifier| verifier.release.is_some())
    }

    /// Whether it asks anywhere what a file is or what it runs on. Expressions may, where they see the artifact.
    pub fn looks_at_content(&self) -> bool {
        let scopes = self.scopes.iter().map(|scope| &scope.selector);
        let requirements = self.requirements.iter().map(|requirement| &requirement.selector);
        let conditions = self.conditions.iter().map(|condition| &condition.selector);
        let layout = self.layout.iter().map(|layout| &layout.selector);
        let mut selectors = scopes.chain(requirements).chain(conditions).chain(layout);
        self.release.platforms.is_some()
            || selectors.any(Selector::looks_at_content)
            || self.conditions.iter().any(|condition| condition.expression.names("artifact"))
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
            unsigned: Vec::new(),
            verifiers: Vec::new(),
            source: None,
            npm: None,
            layout: None,
            demands: Demands::off(),
            scopes: Vec::new(),
            release: ReleaseRule::default(),
            requirements: Vec::new(),
            conditions: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    /// Every set of demands, those at the top level first.
    pub(crate) fn all_demands(&self) -> impl Iterator<Item = &Demands> {
        std::iter::once(&self.demands).chain(self.scopes.iter().map(|scope| &scope.demands))
    }

    /// What goes for an artifact; `None` where a scope asks for what nobody has looked at.
    pub(crate) fn demands_for(&self, sight: &Sight<'_>) -> Option<(DemandsAt, &Demands)> {
        for (at, scope) in self.scopes.iter().enumerate() {
            match scope.selector.selects(sight) {
                Selected::Yes => return Some((at + 1, &scope.demands)),
                Selected::No => {}
                Selected::Unknown => return None,
            }
        }
        Some((0, &self.demands))
    }

    /// Whether a signer is given by a pattern, so that its name stands for many.
    pub(crate) fn is_pattern(&self, signer: &str) -> bool {
        let mut named = self.signers.iter().filter(|rule| rule.name == signer);
        named.any(|rule| rule.pattern().is_some())
    }

    pub(crate) fn builder(&self, id: &str) -> Option<&Builder> {
        self.builders.iter().find(|builder| builder.id == id)
    }

    pub(crate) fn verifier(&self, id: &str) -> Option<&VerifierRule> {
        self.verifiers.iter().find(|verifier| verifier.id == id)
    }
}

fn read(text: &str) -> Result<written::Written, PolicyError> {
    if u64::try_from(text.len()).is_ok_and(|length| length > POLICY_BYTES_MAX) {
        return Err(PolicyError::TooLarge { bytes: text.len() });
    }
    Ok(toml_text::parse(text)?)
}

#[cfg(test)]
mod tests;
