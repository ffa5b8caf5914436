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
use in_toto::crypto::PublicKey as LayoutKey;

use crate::code::Code;
use crate::facts::{Fact, Reading};
use crate::finding::Fault;
use crate::identity::{Signed as SignedBySomeone, Signer, SignerRule, Who, recognise};
use crate::key::PublicKey;
use crate::moment::Moment;
use crate::policy::{LayoutRule, Policy};
use crate::verdict::SignedBy;
use keys::{Who as KeyHolder, layout_key, names, who};
use metablock::{Kind, Link, Metablock, MetablockError, NamedKeys, Plan};

/// Layouts by the owners that are followed. A release has one; beside it there may be older ones, and those of other
/// releases.
const LAYOUT_COUNT_MAX: usize = 16;

/// A layout. It is hashed once for each owner who is named beside its signatures; real ones have some 10 KiB.
const LAYOUT_BYTES_MAX: usize = 1024 * 1024;

/// What became of the layouts and links of a release.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    /// Each layout with what stands against it.
    pub(crate) chains: Vec<Chain>,
    /// What stands against links by those who may make them.
    pub(crate) unreadable: Vec<(Digest, Fault)>,
    /// What stands against links that no layout counts, and against documents that are no metablocks: anybody can
    /// have written them.
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
    /// SHA-256 of what the last step made, with each SHA-512 that the link has for it.
    pub(crate) products: BTreeMap<Digest, BTreeSet<Digest>>,
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

/// The documents that layouts are judged with.
#[derive(Debug)]
struct Papers<'a> {
    /// Every metablock, by whomever it is.
    blocks: BTreeMap<Digest, Metablock<'a>>,
    /// The links that somebody signed who may do a step of that name.
    records: BTreeMap<Digest, Record>,
}

/// A link with those who signed it, of all who may do a step of that name in any layout by the owners.
#[derive(Debug)]
struct Record {
    step: String,
    link: Link,
    signers: BTreeSet<KeyHolder>,
}

/// Looks at every layout and link among the documents; at none if the policy asks for no layout.
///
/// Whoever can add a document can make work: a document is read as JSON, and hashed once for each owner or
/// functionary whose name stands beside its signatures. All else waits for a signature that holds.
pub(crate) fn gather(policy: &Policy, facts: &[Fact<'_>], now: &Moment) -> Layouts {
    let Some(rule) = policy.layout.as_ref().filter(|rule| rule.is_on()) else {
        return Layouts::default();
    };
    let mut layouts = Layouts::default();
    let mut papers = Papers { blocks: BTreeMap::new(), records: BTreeMap::new() };
    for fact in facts.iter().filter(|fact| matches!(fact.reading, Reading::Metablock)) {
        match Metablock::parse(&fact.document.bytes) {
            Ok(block) => drop(papers.blocks.insert(fact.document.digest, block)),
            Err(error) => layouts.strangers.push((fact.document.digest, unreadable(&error))),
        }
    }
    let judged = Judged { rule, now, owners: owners_of(policy, rule) };
    let mut plans = Vec::new();
    for (digest, block) in papers.blocks.iter().filter(|(_, block)| block.kind == Kind::Layout) {
        let mut chain = Chain::of(*digest);
        match judged.plan(block, &mut chain) {
            Some(plan) => plans.push((chain, plan)),
            None => layouts.chains.push(chain),
        }
    }
    follow(papers, plans, &mut layouts);
    layouts
}

/// Follows the layouts by the owners, those that last longest before others.
fn follow(mut papers: Papers<'_>, mut plans: Vec<(Chain, Plan)>, layouts: &mut Layouts) {
    plans.sort_by_key(|(_, plan)| std::cmp::Reverse(plan.layout.expires));
    let found = plans.len();
    let beyond = plans.split_off(found.min(LAYOUT_COUNT_MAX)).into_iter();
    layouts
        .chains
        .extend(beyond.map(|(chain, _)| Chain { faults: vec![too_many(found)], ..chain }));
    layouts.unreadable.extend(read_links(&mut papers, &plans));
    for (mut chain, plan) in plans {
        steps::judge(&papers, &plan, &mut chain);
        layouts.chains.push(chain);
    }
    if layouts.chains.iter().any(|chain| chain.reached) {
        let used = layouts.chains.iter().flat_map(|chain| &chain.links);
        let told: BTreeSet<_> = used.chain(layouts.unreadable.iter().map(|(at, _)| at)).collect();
        let unused = papers.blocks.iter().filter(|(digest, _)| !told.contains(digest));
        let unused = unused.filter_map(|(digest, block)| Some((*digest, stranger(block)?)));
        layouts.strangers.extend(unused);
    }
}

/// Reads the links that somebody signed who may do their step; gives those that cannot be read.
fn read_links(papers: &mut Papers<'_>, plans: &[(Chain, Plan)]) -> Vec<(Digest, Fault)> {
    let mut wrong = Vec::new();
    for (digest, block) in &papers.blocks {
        let Kind::Link { step } = &block.kind else { continue };
        let mut keys = NamedKeys::new();
        for (_, plan) in plans {
            let named = plan.layout.steps.iter().filter(|one| one.name == *step);
            for (name, more) in named.flat_map(|step| steps::keys_of(plan, step)) {
                keys.entry(name).or_default().extend(more);
            }
        }
        let signers = block.signers(&keys);
        if signers.is_empty() {
            continue;
        }
        match block.link() {
            Ok(link) => {
                let record = Record { step: step.clone(), link, signers };
                papers.records.insert(*digest, record);
            }
            Err(error) => wrong.push((*digest, unreadable(&error))),
        }
    }
    wrong
}

fn unreadable(error: &MetablockError) -> Fault {
    let code = if error.is_limit() { Code::LayoutLimit } else { Code::LayoutMalformed };
    Fault::of_error(code, "an in-toto layout or link", error)
}

fn too_many(found: usize) -> Fault {
    let expected = format!("at most {LAYOUT_COUNT_MAX} layouts by the owners");
    Fault::new(Code::LayoutLimit, expected, found.to_string())
}

/// A link that no layout counts.
fn stranger(block: &Metablock<'_>) -> Option<Fault> {
    let Kind::Link { step } = &block.kind else { return None };
    let expected = "a link of a step of the layout, signed by one who may do it";
    let seen = format!("step {step:?}, signed by {}", signed_by(block));
    Some(Fault::new(Code::LayoutLink, expected, seen))
}

/// The names of keys beside the signatures of a document.
fn signed_by(block: &Metablock<'_>) -> String {
    let names: Vec<_> = block.names().map(|name| short(&name)).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

/// The beginning of the name of a key, as in-toto writes it into names of files.
fn short(id: &str) -> String {
    const TOLD_CHARACTERS: usize = 8;
    id.chars().take(TOLD_CHARACTERS).collect()
}

/// What layouts are judged under.
struct Judged<'a> {
    rule: &'a LayoutRule,
    now: &'a Moment,
    owners: Vec<Owner<'a>>,
}

/// An owner with the names that tools give the key.
struct Owner<'a> {
    signer: &'a SignerRule,
    digest: Digest,
    key: LayoutKey,
    names: BTreeSet<String>,
}

fn owners_of<'a>(policy: &'a Policy, rule: &LayoutRule) -> Vec<Owner<'a>> {
    let named = policy.signers.iter().filter(|signer| rule.signers.contains(&signer.name));
    let owners = named.filter_map(|signer| {
        let Who::Key(held) = &signer.who else { return None };
        let key = layout_key(&held.key)?;
        Some(Owner { signer, digest: held.key.digest(), key, names: names(&held.key) })
    });
    owners.collect()
}

impl Judged<'_> {
    /// What a layout says, if enough owners signed it and it has not expired.
    fn plan(&self, block: &Metablock<'_>, chain: &mut Chain) -> Option<Plan> {
        if let Some(pinned) = self.rule.digest.filter(|pinned| *pinned != chain.layout) {
            let expected = format!("the layout {pinned}");
            chain.faults.push(Fault::new(Code::LayoutDigest, expected, "another layout"));
            return None;
        }
        if block.length > LAYOUT_BYTES_MAX {
            let expected = format!("a layout of at most {LAYOUT_BYTES_MAX} bytes");
            chain.faults.push(Fault::new(Code::LayoutLimit, expected, block.length.to_string()));
            return None;
        }
        let (owners, against) = self.owners(block);
        let keys: BTreeSet<&str> = owners.iter().map(|owner| owner.identity.as_str()).collect();
        if keys.len() < self.rule.quorum {
            let names: Vec<_> = owners.iter().map(|owner| owner.name.as_str()).collect();
            let names = if names.is_empty() { "none of them".to_owned() } else { names.join(", ") };
            let seen =
                format!("{names}; names of keys beside the signatures: {}", signed_by(block));
            chain.faults.push(Fault::new(Code::LayoutSigner, self.rule.told_owners(), seen));
            chain.faults.extend(against);
            // What it says is nobody's word.
            return None;
        }
        chain.owners = owners;
        let plan = block.plan().map_err(|error| chain.faults.push(unreadable(&error))).ok()?; // told
        let expires = plan.layout.expires;
        if self.now.has_reached_second(expires.timestamp().saturating_add(1)) {
            let expected = "a layout that is valid at the time of the verdict";
            let ended = format!("until {}", expires.format("%Y-%m-%dT%H:%M:%SZ"));
            chain.faults.push(Fault::new(Code::LayoutExpired, expected, ended));
            return None;
        }
        Some(plan)
    }

    /// The owners who signed a layout, and what stands against those whose key did and may not any more.
    fn owners(&self, block: &Metablock<'_>) -> (Vec<SignedBy>, Vec<Fault>) {
        let (mut owners, mut against) = (Vec::new(), Vec::new());
        let mut keys = NamedKeys::new();
        for owner in &self.owners {
            for name in &owner.names {
                keys.entry(name.as_str()).or_default().push(&owner.key);
            }
        }
        let signers = block.signers(&keys);
        for owner in self.owners.iter().filter(|owner| signers.contains(&who(&owner.key))) {
            let signed = SignedBySomeone {
                signer: Signer::Key(owner.digest),
                times: Vec::new(),
                logs: BTreeSet::new(),
                clocks: BTreeSet::new(),
                root: None,
            };
            match recognise(&signed, &[], std::slice::from_ref(owner.signer), self.now) {
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
mod hostile;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
