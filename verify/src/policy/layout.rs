//! The layout that a release has to follow.

use std::collections::BTreeSet;

use bonded_model::{Algorithm, Digest};

use super::error::PolicyError;
use super::resolve::known_signers;
use super::resolve::scopes::selector;
use super::rule::Demand;
use super::scope::Selector;
use super::written::WrittenLayout;
use crate::identity::{SignerRule, Who};

/// Owners in one policy. Each signature of a layout is tried with every one of their keys.
const OWNER_COUNT_MAX: usize = 16;

const PLACE: &str = "[layout]";

/// The layout that a release has to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayoutRule {
    pub(crate) demand: Demand,
    /// The owners, all of them by keys.
    pub(crate) signers: BTreeSet<String>,
    /// How many of them have to have signed it.
    pub(crate) quorum: usize,
    /// The one layout that is meant, if it is said.
    pub(crate) digest: Option<Digest>,
    /// What has to be a product of the last step.
    pub(crate) selector: Selector,
}

impl LayoutRule {
    pub(crate) fn is_on(&self) -> bool {
        self.demand != Demand::Off
    }

    /// What is demanded, in words.
    pub(crate) fn told(&self) -> String {
        let which = self.digest.map(|digest| format!(" {digest}")).unwrap_or_default();
        let of = self.selector.told();
        format!(
            "an in-toto layout{which} signed by {}, whose last step made {of}",
            self.told_owners()
        )
    }

    /// Who has to have signed it, in words.
    pub(crate) fn told_owners(&self) -> String {
        let names: Vec<_> = self.signers.iter().map(String::as_str).collect();
        match (self.quorum, names.len()) {
            (1, 1) => names.concat(),
            (quorum, count) if quorum == count => format!("all of {}", names.join(", ")),
            (quorum, _) => format!("{quorum} of {}", names.join(", ")),
        }
    }
}

pub(super) fn resolve(
    written: WrittenLayout,
    signers: &[SignerRule],
) -> Result<LayoutRule, PolicyError> {
    let unclear = |reason| PolicyError::Unclear { place: PLACE.to_owned(), reason };
    if !cfg!(feature = "in-toto") {
        let reason = "this build cannot follow layouts; build it with the cargo feature in-toto";
        return Err(unclear(reason));
    }
    let owners = known_signers(PLACE, written.signers, signers)?;
    if owners.len() > OWNER_COUNT_MAX {
        let (what, found) = ("the signers of [layout]", owners.len());
        return Err(PolicyError::TooMany { what, found, limit: OWNER_COUNT_MAX });
    }
    let mut named = signers.iter().filter(|signer| owners.contains(&signer.name));
    if !named.all(|signer| matches!(&signer.who, Who::Key(rule) if can_sign(&rule.key))) {
        let reason =
            "its signers are keys of Ed25519, ECDSA P-256 or RSA: layouts have no certificates";
        return Err(unclear(reason));
    }
    let quorum = written.quorum.unwrap_or(owners.len());
    if quorum == 0 || quorum > owners.len() {
        let expected = format!("a number from 1 to {}", owners.len());
        let found = quorum.to_string();
        return Err(PolicyError::Value { place: PLACE.to_owned(), key: "quorum", found, expected });
    }
    Ok(LayoutRule {
        demand: written.rule.unwrap_or_default(),
        digest: written.digest.map(digest).transpose()?,
        selector: selector(PLACE, written.paths, written.kinds, written.platforms)?,
        signers: owners,
        quorum,
    })
}

fn digest(found: String) -> Result<Digest, PolicyError> {
    let digest = found.parse::<Digest>().ok(); // what is no digest is told as such
    digest.filter(|digest| digest.algorithm() == Algorithm::Sha256).ok_or_else(|| {
        let expected = "`sha256:` and 64 hex digits".to_owned();
        PolicyError::Value { place: PLACE.to_owned(), key: "digest", found, expected }
    })
}

#[cfg(feature = "in-toto")]
fn can_sign(key: &crate::key::PublicKey) -> bool {
    crate::layout::can_sign(key)
}

#[cfg(not(feature = "in-toto"))]
fn can_sign(_: &crate::key::PublicKey) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, PolicyError};
    use crate::testing::Case;

    fn parse(layout: &str) -> Result<Policy, PolicyError> {
        let mut case = Case::bare().with_second_key();
        let other = bonded_testsigner::Key::new(bonded_testsigner::KeyKind::P384, "").public_pem();
        let signers = format!(
            "[[signer]]\nname = \"large\"\npublic_key = '''\n{other}'''\n\
             [[signer]]\nname = \"workflow\"\nissuer = \"i\"\nidentity = \"w\"\n[[builder]]"
        );
        case.edit("[[builder]]", &signers);
        case.edit("#sbom", &format!("[layout]\n{layout}"));
        Policy::parse(&case.policy)
    }

    /// Absence of the feature never means absence of the rule.
    #[cfg(not(feature = "in-toto"))]
    #[test]
    fn a_build_without_layouts_refuses_to_be_asked_for_one() {
        for layout in ["signers = [\"key\"]", "rule = \"off\"\nsigners = [\"key\"]"] {
            match parse(layout) {
                Err(PolicyError::Unclear { place, reason }) => {
                    assert!(place == "[layout]" && reason.contains("feature in-toto"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[cfg(feature = "in-toto")]
    #[test]
    fn all_owners_have_to_sign_unless_it_says_less() {
        let quorum = |text: &str| parse(text).unwrap().layout.unwrap().quorum;
        assert_eq!(quorum("signers = [\"key\"]"), 1);
        assert_eq!(quorum("signers = [\"key\", \"second\"]"), 2);
        assert_eq!(quorum("signers = [\"key\", \"second\"]\nquorum = 1"), 1);
    }

    #[cfg(feature = "in-toto")]
    #[test]
    fn must_reject() {
        let place = |text: &str| match parse(text) {
            Err(PolicyError::Unclear { place, .. }) => place,
            Err(PolicyError::Value { key, .. }) => key.to_owned(),
            Err(PolicyError::EmptyList { key }) => key,
            Err(PolicyError::UnknownSigner { signer, .. }) => signer,
            Err(PolicyError::Toml(_)) => "toml".to_owned(),
            other => panic!("{text}: {other:?}"),
        };
        for (text, expected) in [
            ("", "toml"),
            ("signers = [\"key\"]\nx = 1", "toml"),
            ("signers = []", "signers of [layout]"),
            ("signers = [\"other\"]", "other"),
            ("signers = [\"workflow\"]", "[layout]"),
            ("signers = [\"key\", \"large\"]", "[layout]"),
            ("signers = [\"key\"]\nquorum = 0", "quorum"),
            ("signers = [\"key\"]\nquorum = 2", "quorum"),
            ("signers = [\"key\"]\ndigest = \"sha256:00\"", "digest"),
            ("signers = [\"key\"]\nkinds = [\"elv\"]", "kinds"),
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
    }
}
