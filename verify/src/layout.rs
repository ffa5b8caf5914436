//! Classic in-toto layouts: what a project's owners say the steps of a release are, who may do each, and which
//! files go from one to the next; with the links in which those who did them say what they had and made.
//!
//! ```text
//! layout, signed by owners ─▶ steps ─▶ links, signed by functionaries ─▶ artifact rules ─▶ products
//! ```
//!
//! This is the in-toto specification 0.9 and 1.0, section 5.2, without what has no place in a pure function:
//! inspections, which run commands, and sublayouts, which are found by directories. A layout that needs them is
//! refused. The crate `in-toto` reads the documents and checks signatures; its own verification runs commands,
//! reads files and the clock, so it is not called.

mod canonical;
mod keys;
mod metablock;
mod pattern;
mod rules;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::Digest;

use crate::code::Code;
use crate::facts::{Fact, Reading};
use crate::finding::Fault;
use crate::identity::{Signed as SignedBySomeone, Signer, SignerRule, Who, recognise};
use crate::key::PublicKey;
use crate::moment::Moment;
use crate::policy::{LayoutRule, Policy};
use crate::verdict::SignedBy;
use keys::layout_key;
use metablock::{Metablock, MetablockError, Plan, Signed, id_text};

/// Layouts that are looked at. A release has one; each is held against every owner.
const LAYOUT_COUNT_MAX: usize = 16;

/// What became of the layouts and links of a release.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    /// Each layout with what stands against it.
    pub(crate) chains: Vec<Chain>,
    /// What stands against documents that are no metablocks.
    pub(crate) unreadable: Vec<(Digest, Fault)>,
    /// What stands against links that no layout counts.
    pub(crate) strangers: Vec<(Digest, Fault)>,
}

/// A layout with the links that belong to it.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) layout: Digest,
    /// The owners who signed it.
    pub(crate) owners: Vec<SignedBy>,
    pub(crate) faults: Vec<Fault>,
    /// What is merely odd about links.
    pub(crate) doubts: Vec<(Digest, Fault)>,
    /// Whether it came so far that links were looked at.
    pub(crate) reached: bool,
    /// The links that count.
    pub(crate) links: BTreeSet<Digest>,
    /// SHA-256 of what the last step made, with SHA-512 where the link has it.
    pub(crate) products: BTreeMap<Digest, Option<Digest>>,
}

impl Chain {
    fn of(layout: Digest) -> Self {
        Self {
            layout,
            owners: Vec::new(),
            faults: Vec::new(),
            doubts: Vec::new(),
            reached: false,
            links: BTreeSet::new(),
            products: BTreeMap::new(),
        }
    }
}

/// The documents of a kind, each once, in the order of their digests.
type Held<'a, T> = BTreeMap<Digest, (&'a Metablock, &'a T)>;

/// Looks at every layout and link among the documents; at none if the policy asks for no layout.
pub(crate) fn gather(policy: &Policy, facts: &[Fact<'_>], now: &Moment) -> Layouts {
    let Some(rule) = policy.layout.as_ref().filter(|rule| rule.is_on()) else {
        return Layouts::default();
    };
    let documents = facts.iter().filter(|fact| matches!(fact.reading, Reading::Metablock));
    let mut layouts = Layouts::default();
    let mut blocks = BTreeMap::new();
    for fact in documents {
        match Metablock::parse(&fact.document.bytes) {
            Ok(block) => drop(blocks.insert(fact.document.digest, block)),
            Err(error) => layouts.unreadable.push((fact.document.digest, unreadable(&error))),
        }
    }
    let (mut plans, mut links) = (Held::new(), Held::new());
    for (digest, block) in &blocks {
        match &block.signed {
            Signed::Layout(layout) => drop(plans.insert(*digest, (block, &**layout))),
            Signed::Link(link) => drop(links.insert(*digest, (block, &**link))),
        }
    }
    let judged = Judged { policy, rule, now, plans: &plans, links: &links };
    let chains = plans.keys().enumerate().map(|(at, digest)| match at {
        0..LAYOUT_COUNT_MAX => judged.chain(*digest),
        _ => Chain { faults: vec![too_many(plans.len())], ..Chain::of(*digest) },
    });
    layouts.chains = chains.collect();
    let used: BTreeSet<_> = layouts.chains.iter().flat_map(|chain| &chain.links).collect();
    let reached = layouts.chains.iter().any(|chain| chain.reached);
    let strangers = links.iter().filter(|(digest, _)| reached && !used.contains(digest));
    layouts.strangers =
        strangers.map(|(digest, (block, link))| (*digest, stranger(block, link))).collect();
    layouts
}

fn unreadable(error: &MetablockError) -> Fault {
    let code = if error.is_limit() { Code::LayoutLimit } else { Code::LayoutMalformed };
    Fault::of_error(code, "an in-toto layout or link", error)
}

fn too_many(found: usize) -> Fault {
    Fault::new(Code::LayoutLimit, format!("at most {LAYOUT_COUNT_MAX} layouts"), found.to_string())
}

fn stranger(block: &Metablock, link: &metablock::Link) -> Fault {
    let keys = block.signatures().iter().map(|signature| short(&id_text(signature.key_id())));
    let keys: Vec<_> = keys.collect();
    let keys = if keys.is_empty() { "nobody".to_owned() } else { keys.join(", ") };
    let expected = "a link of a step of the layout, signed by one who may do it";
    Fault::new(Code::LayoutLink, expected, format!("step {:?}, signed by {keys}", link.name))
}

/// The beginning of the name of a key, as in-toto writes it into names of files.
fn short(id: &str) -> String {
    const TOLD_CHARACTERS: usize = 8;
    id.chars().take(TOLD_CHARACTERS).collect()
}

/// What layouts are judged under.
struct Judged<'a> {
    policy: &'a Policy,
    rule: &'a LayoutRule,
    now: &'a Moment,
    plans: &'a Held<'a, Plan>,
    links: &'a Held<'a, metablock::Link>,
}

impl Judged<'_> {
    fn chain(&self, digest: Digest) -> Chain {
        let mut chain = Chain::of(digest);
        let Some((block, plan)) = self.plans.get(&digest) else { return chain };
        if let Some(pinned) = self.rule.digest.filter(|pinned| *pinned != digest) {
            let expected = format!("the layout {pinned}");
            chain.faults.push(Fault::new(Code::LayoutDigest, expected, "another layout"));
            return chain;
        }
        let (owners, against) = self.owners(block);
        let keys: BTreeSet<&str> = owners.iter().map(|owner| owner.identity.as_str()).collect();
        if keys.len() < self.rule.quorum {
            let names: Vec<_> = owners.iter().map(|owner| owner.name.as_str()).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            chain.faults.push(Fault::new(Code::LayoutSigner, self.rule.told_owners(), names));
            chain.faults.extend(against);
            // What it says is nobody's word.
            return chain;
        }
        chain.owners = owners;
        let expires = plan.layout.expires.timestamp();
        if self.now.has_reached_second(expires.saturating_add(1)) {
            let expected = "a layout that is valid at the time of the verdict";
            let ended = plan.layout.expires.format("%Y-%m-%dT%H:%M:%SZ");
            chain.faults.push(Fault::new(Code::LayoutExpired, expected, format!("until {ended}")));
        }
        steps::judge(self, plan, &mut chain);
        chain
    }

    /// The owners who signed a layout, and what stands against those whose key did and may not any more.
    fn owners(&self, block: &Metablock) -> (Vec<SignedBy>, Vec<Fault>) {
        let (mut owners, mut against) = (Vec::new(), Vec::new());
        let named = |signer: &&SignerRule| self.rule.signers.contains(&signer.name);
        for signer in self.policy.signers.iter().filter(named) {
            let Who::Key(held) = &signer.who else { continue };
            let Some(key) = layout_key(&held.key) else { continue };
            // The names of keys beside the signatures are signed by nobody, so each is tried.
            if !block.signatures().iter().any(|signature| block.is_signed(&key, signature)) {
                continue;
            }
            let signed = SignedBySomeone {
                signer: Signer::Key(held.key.digest()),
                times: Vec::new(),
                logs: BTreeSet::new(),
                clocks: BTreeSet::new(),
                root: None,
            };
            match recognise(&signed, &[], std::slice::from_ref(signer), self.now) {
                Ok(rules) => owners.extend(rules.into_iter().map(|rule| signed.by(rule))),
                Err(faults) => against.extend(faults),
            }
        }
        (owners, against)
    }
}

/// Whether layouts can be signed with a key.
pub(crate) fn can_sign(key: &PublicKey) -> bool {
    layout_key(key).is_some()
}

#[cfg(test)]
pub(crate) mod cases;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
