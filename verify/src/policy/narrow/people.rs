//! Whether signers and builders are among those of a base, or narrower than one of them.

use std::collections::BTreeSet;

use super::super::Policy;
use super::super::error::PolicyError;
use super::widens;
use crate::identity::{KeyRule, LogRule, SignerRule, Who};
use crate::pattern::Pattern;

/// The signers and builders of two policies.
pub(super) struct People<'a> {
    pub(super) policy: &'a Policy,
    pub(super) base: &'a Policy,
}

impl People<'_> {
    /// A signer of the base's stays as narrow as it is, and a new one is narrower than one of the base's.
    pub(super) fn check_signers(&self) -> Result<(), PolicyError> {
        for found in &self.policy.signers {
            let key = format!("signer {:?}", found.name);
            match signer(self.base, &found.name) {
                Some(base) if is_within(found, base) => {}
                Some(_) => return Err(widens(key, "the signer of that name", "a wider one")),
                None if self.base_counts() => {
                    let base = "no new signer, since a quorum of the base counts signers";
                    return Err(widens(key, base, "a new one"));
                }
                None if self.base.signers.iter().any(|base| is_within(found, base)) => {}
                None => return Err(widens(key, "one that a signer covers", "a stranger")),
            }
        }
        Ok(())
    }

    /// Two narrow signers in place of a wide one would count twice: under a quorum only the base's count.
    fn base_counts(&self) -> bool {
        let demands = self.base.all_demands();
        let of_demands = demands.flat_map(|d| [d.provenance.count.quorum, d.sbom.count.quorum]);
        let of_requirements = self.base.requirements.iter().map(|r| r.count.quorum);
        of_demands.chain(of_requirements).any(|quorum| quorum > 1)
    }

    pub(super) fn check_builders(&self) -> Result<(), PolicyError> {
        for found in &self.policy.builders {
            let key = format!("builder {:?}", found.id);
            let Some(base) = self.base.builder(&found.id) else {
                return Err(widens(key, "no such builder", "a new one"));
            };
            if found.level > base.level {
                let (base, found) = (base.level.to_string(), found.level.to_string());
                return Err(widens(format!("{key}: level"), base, found));
            }
            self.check_list(&format!("{key}: signers"), Some(&found.signers), Some(&base.signers))?;
            for name in &found.signers {
                self.check_speaker(&key, &found.id, name, &base.signers)?;
            }
        }
        Ok(())
    }

    /// A pattern speaks only for the builder that it is itself; one identity of it, named exactly, would
    /// speak for any. So it may be named for that builder alone.
    pub(super) fn check_speaker(
        &self,
        key: &str,
        id: &str,
        name: &str,
        base: &BTreeSet<String>,
    ) -> Result<(), PolicyError> {
        let Some(found) = signer(self.policy, name) else { return Ok(()) };
        let exact = match &found.who {
            Who::Certificate { identity: Pattern::Exact(exact), .. } => exact,
            Who::Certificate { .. } | Who::Key(_) => return Ok(()),
        };
        let mut above = base.iter().filter_map(|name| signer(self.base, name));
        let free = above.any(|base| base.pattern().is_none() && is_within(found, base));
        if free || exact == id {
            return Ok(());
        }
        Err(widens(format!("{key}: signers"), "the builder itself", exact))
    }

    /// Those who may say FAILED are those whom the base lists, under the same rules: a signature that counts no
    /// more would also leave what it says against an artifact unheard.
    pub(super) fn heard(
        &self,
        key: &str,
        found: &BTreeSet<String>,
        base: &BTreeSet<String>,
    ) -> Result<(), PolicyError> {
        let changed = |name: &&String| signer(self.policy, name) != signer(self.base, name);
        let told = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        if found != base {
            return Err(widens(key, told(base), told(found)));
        }
        let changed = base.iter().find(changed);
        changed.map_or(Ok(()), |name| Err(widens(key, format!("{name} as it is"), "another rule")))
    }

    /// Each who is listed is listed by the base, or narrower than one whom it lists.
    pub(super) fn check_list(
        &self,
        key: &str,
        found: Option<&BTreeSet<String>>,
        base: Option<&BTreeSet<String>>,
    ) -> Result<(), PolicyError> {
        let Some(base) = base else { return Ok(()) };
        let told = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let Some(found) = found else {
            return Err(widens(key, told(base), super::super::rule::ANY));
        };
        let above = || base.iter().filter_map(|name| signer(self.base, name));
        for name in found {
            let within = |found: &SignerRule| match self.base_counts() {
                true => base.contains(name),
                false => above().any(|base| is_within(found, base)),
            };
            if !signer(self.policy, name).is_some_and(within) {
                return Err(widens(key, told(base), name));
            }
        }
        Ok(())
    }
}

fn signer<'a>(policy: &'a Policy, name: &str) -> Option<&'a SignerRule> {
    policy.signers.iter().find(|signer| signer.name == name)
}

/// Whether every signature that satisfies the first satisfies the second.
fn is_within(found: &SignerRule, base: &SignerRule) -> bool {
    let (more, least) = (found.witnesses, base.witnesses);
    let excused =
        found.legacy.is_subset(&base.legacy) && (base.root.is_none() || found.root == base.root);
    if more.logs < least.logs || more.timestamps < least.timestamps || !excused {
        return false;
    }
    match (&found.who, &base.who) {
        (
            Who::Certificate { issuer, identity, claims },
            Who::Certificate { issuer: base_issuer, identity: base_identity, claims: base_claims },
        ) => {
            let named = match identity {
                Pattern::Exact(exact) => base_identity.matches(exact),
                Pattern::Glob { .. } | Pattern::Regex { .. } => identity == base_identity,
            };
            let claimed = |(claim, value)| claims.get(claim) == Some(value);
            issuer == base_issuer && named && base_claims.iter().all(claimed)
        }
        (Who::Key(found), Who::Key(base)) => key_within(found, base),
        (Who::Certificate { .. }, Who::Key(_)) | (Who::Key(_), Who::Certificate { .. }) => false,
    }
}

fn key_within(found: &KeyRule, base: &KeyRule) -> bool {
    let from = base.valid_from.is_none_or(|base| found.valid_from.is_some_and(|f| f >= base));
    let until = base.valid_until.is_none_or(|base| found.valid_until.is_some_and(|f| f <= base));
    let log = base.log == LogRule::IfPresent || found.log == LogRule::Require;
    found.key == base.key && from && until && log
}
