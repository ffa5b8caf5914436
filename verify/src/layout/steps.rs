//! The steps of a layout: enough functionaries for each, who agree, and files that obey the rules.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::Digest;
use in_toto::crypto::PublicKey;
use in_toto::models::LayoutMetadata;
use in_toto::models::step::Step;

use super::keys::KeyError;
use super::metablock::{Link, Metablock, Plan, id_text};
use super::pattern::{Budget, Exhausted};
use super::rules::{self, Links, Rules};
use super::{Chain, Judged, short};
use crate::code::Code;
use crate::finding::{Fault, joined};

/// Steps of a layout. Real ones have fewer than ten.
const STEP_COUNT_MAX: usize = 64;

/// Artifact rules of a layout. Each is held against every file of a link.
const RULE_COUNT_MAX: usize = 1024;

/// Steps that matching the patterns of a layout may take: a second's work.
const MATCH_STEP_COUNT_MAX: u64 = 100_000_000;

/// Judges the steps of a layout that its owners signed.
pub(super) fn judge(judged: &Judged<'_>, plan: &Plan, chain: &mut Chain) {
    let layout = &plan.layout;
    let found = shape_faults(layout);
    let rules: Result<Vec<_>, _> = layout.steps.iter().map(Rules::parse).collect();
    let rules = match rules {
        Ok(rules) if found.is_empty() => rules,
        Ok(_) => return chain.faults.extend(found),
        Err(rule) => {
            chain.faults.extend(found);
            return chain.faults.push(unsupported("rules that are read in one way only", rule));
        }
    };
    if let Some(fault) = unknown_step(layout, &rules) {
        return chain.faults.push(fault);
    }
    chain.reached = true;
    let mut links = Links::new();
    for step in &layout.steps {
        if let Some(link) = done(judged, plan, step, chain) {
            links.insert(&step.name, link);
        }
    }
    if links.len() < layout.steps.len() {
        return;
    }
    if let Err(Exhausted) = hold(layout, &rules, &links, chain) {
        let expected = format!("rules that take at most {MATCH_STEP_COUNT_MAX} steps");
        chain.faults.push(Fault::new(Code::LayoutLimit, expected, "more"));
    }
    let last = layout.steps.last().and_then(|step| links.get(step.name.as_str()));
    chain.products = last.map(|link| rules::by_digest(&link.products)).unwrap_or_default();
}

fn unsupported(expected: &str, seen: impl Into<String>) -> Fault {
    Fault::new(Code::LayoutUnsupported, expected, seen)
}

/// What a layout may not be, whatever the links say.
fn shape_faults(layout: &LayoutMetadata) -> Vec<Fault> {
    let mut faults = Vec::new();
    let malformed =
        |seen: String| Fault::new(Code::LayoutMalformed, "a layout with a meaning", seen);
    let rule_count: usize =
        layout.steps.iter().map(|s| s.expected_materials.len() + s.expected_products.len()).sum();
    for (what, found, limit) in [
        ("steps", layout.steps.len(), STEP_COUNT_MAX),
        ("artifact rules", rule_count, RULE_COUNT_MAX),
    ] {
        let fault =
            || Fault::new(Code::LayoutLimit, format!("at most {limit} {what}"), found.to_string());
        faults.extend((found > limit).then(fault));
    }
    if layout.steps.is_empty() {
        faults.push(malformed("no steps".to_owned()));
    }
    let mut names = BTreeSet::new();
    for step in &layout.steps {
        if !names.insert(&step.name) {
            faults.push(malformed(format!("step {:?} twice", step.name)));
        }
        if step.threshold == 0 {
            faults.push(malformed(format!("step {:?} with a threshold of 0", step.name)));
        }
    }
    let inspections: Vec<_> = layout.inspect.iter().map(|one| format!("{:?}", one.name)).collect();
    if !inspections.is_empty() {
        let seen = format!("inspection {}: a verdict runs no commands", inspections.join(", "));
        faults.push(unsupported("no inspections", seen));
    }
    faults
}

/// A rule that compares with a step that there is not takes no file, and by the specification that is no error.
fn unknown_step(layout: &LayoutMetadata, rules: &[Rules<'_>]) -> Option<Fault> {
    let known = |name: &str| layout.steps.iter().any(|step| step.name == name);
    let mut named = rules.iter().flat_map(|r| r.materials.iter().chain(&r.products));
    let name = named.find_map(|rule| rule.from().filter(|name| !known(name)))?;
    let seen = format!("a rule that compares with {name:?}");
    Some(Fault::new(Code::LayoutMalformed, "rules that name steps of the layout", seen))
}

/// Keys by the names that the layout has for them.
type Keys<'a> = BTreeMap<&'a str, &'a PublicKey>;

/// One who may do a step, by the key itself: one key can stand under several names.
type Functionary = (String, Vec<u8>);

/// The link of a step, if enough functionaries signed one and all of them say the same.
fn done<'a>(judged: &Judged<'a>, plan: &Plan, step: &Step, chain: &mut Chain) -> Option<&'a Link> {
    let named: BTreeSet<String> = step.pub_keys.iter().map(id_text).collect();
    let held = named.iter().filter_map(|id| Some((id.as_str(), plan.keys.get(id)?)));
    let keys: Keys<'_> =
        held.clone().filter_map(|(id, key)| Some((id, key.as_ref().ok()?))).collect();
    let mut functionaries: BTreeSet<Functionary> = BTreeSet::new();
    let mut links: Vec<(Digest, &Link)> = Vec::new();
    for (digest, (block, link)) in judged.links.iter().filter(|(_, (_, l))| l.name == step.name) {
        let by = signers(block, &keys);
        if !by.is_empty() {
            functionaries.extend(by);
            links.push((*digest, link));
        }
    }
    chain.links.extend(links.iter().map(|(digest, _)| *digest));
    let threshold = usize::try_from(step.threshold).unwrap_or(usize::MAX);
    if functionaries.len() < threshold {
        let who = joined(named.iter().map(|id| short(id).into()));
        let expected = format!("step {:?} done by {threshold} of {who}", step.name);
        let seen = format!("links by {}", functionaries.len());
        chain.faults.push(Fault::new(Code::LayoutStep, expected, seen));
        chain.faults.extend(held.filter_map(|(id, key)| Some(unusable(id, key.as_ref().err()?))));
        chain.faults.extend(sublayout(judged, step, &keys, chain.layout));
        return None;
    }
    let (first, link) = *links.first()?;
    if let Some((other, _)) = links.iter().find(|(_, other)| !same(link, other)) {
        let expected =
            format!("the same materials and products in every link of step {:?}", step.name);
        let seen = format!("{first} and {other}");
        chain.faults.push(Fault::new(Code::LayoutDisagree, expected, seen));
        return None;
    }
    let expected = step.expected_command.as_ref();
    for (digest, link) in
        links.iter().filter(|(_, l)| !expected.is_empty() && l.command != expected)
    {
        let (expected, seen) = (expected.join(" "), link.command.join(" "));
        chain.doubts.push((*digest, Fault::new(Code::LayoutCommand, expected, seen)));
    }
    Some(link)
}

/// What is wrong with a key is told where a link is missing: others may be enough.
fn unusable(id: &str, error: &KeyError) -> Fault {
    let expected = "keys of Ed25519, ECDSA P-256, or RSA with PSS, SHA-256 and 3072 bits or more";
    let fault = Fault::of_error(Code::LayoutUnsupported, expected, error);
    Fault { seen: format!("{}: {}", short(id), fault.seen), ..fault }
}

fn same(one: &Link, other: &Link) -> bool {
    one.materials == other.materials && one.products == other.products
}

/// Whose signatures over a document hold, of those who may do the step.
fn signers(block: &Metablock, keys: &Keys<'_>) -> BTreeSet<Functionary> {
    let mut tried = BTreeSet::new();
    let mut found = BTreeSet::new();
    for signature in block.signatures() {
        let Some(key) = keys.get(id_text(signature.key_id()).as_str()) else { continue };
        let first = tried.insert((signature.key_id(), signature.value().as_bytes()));
        if first && block.is_signed(key, signature) {
            found.insert((key.typ().to_string(), key.as_bytes().to_vec()));
        }
    }
    found
}

/// A layout in the place of a link, which is looked for only where a link is missing: whoever may do a step may
/// also have signed another layout.
fn sublayout(judged: &Judged<'_>, step: &Step, keys: &Keys<'_>, own: Digest) -> Option<Fault> {
    let mut others = judged.plans.iter().filter(|(digest, _)| **digest != own);
    let (digest, _) = others.find(|(_, (block, _))| !signers(block, keys).is_empty())?;
    let expected = format!("a link of step {:?}", step.name);
    Some(unsupported(&expected, format!("a layout of its own, {digest}, which is not followed")))
}

fn hold(
    layout: &LayoutMetadata,
    rules: &[Rules<'_>],
    links: &Links<'_>,
    chain: &mut Chain,
) -> Result<(), Exhausted> {
    let mut budget = Budget(MATCH_STEP_COUNT_MAX);
    for (step, rules) in layout.steps.iter().zip(rules) {
        let Some(link) = links.get(step.name.as_str()) else { continue };
        for breach in rules::breaches(rules, link, links, &mut budget)? {
            let expected = format!("step {:?}: {}", step.name, breach.rule);
            let paths = joined(breach.paths.iter().map(|path| path.as_str().into()));
            let seen = if paths.is_empty() { "no such file".to_owned() } else { paths };
            chain.faults.push(Fault::new(Code::LayoutRule, expected, seen));
        }
    }
    Ok(())
}
