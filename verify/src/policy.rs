//! Policy: who may sign, who may build, from which source, at which level, with which papers.
//!
//! On the wire it is TOML, described key by key in `docs/policy.md`. The text is read once into the
//! types as written, and those once into the checked types here; rules see only the latter. Unknown
//! keys are refused with the nearest known one, and whatever is not allowed is denied.

mod check;
mod error;
pub(crate) mod exception;
mod expect;
mod explain;
mod propose;
mod require;
mod resolve;
mod rule;
mod scope;
mod written;

use std::collections::BTreeSet;

use bonded_model::limits::POLICY_BYTES_MAX;
use bonded_model::{Digest, Platform, toml_text};

use crate::identity::SignerRule;
use crate::pattern::Pattern;

pub use check::{NoteWeight, PolicyNote};
pub use error::PolicyError;
pub use propose::propose;
pub(crate) use require::{Of, Requirement};
pub(crate) use rule::{
    Builder, Count, Demand, Demands, Pinned, ProvenanceRule, SbomRule, Template,
};
pub(crate) use scope::{Scope, Selected, Sight};

/// A policy, checked and ready to be applied.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    digest: Digest,
    pub(crate) signers: Vec<SignerRule>,
    pub(crate) builders: Vec<Builder>,
    pub(crate) unsigned: Vec<Pinned>,
    /// What goes where no scope says something else.
    pub(crate) demands: Demands,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) release: ReleaseRule,
    pub(crate) requirements: Vec<Requirement>,
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
            unsigned: Vec::new(),
            demands: Demands::off(),
            scopes: Vec::new(),
            release: ReleaseRule::default(),
            requirements: Vec::new(),
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
}

#[cfg(test)]
mod tests;
