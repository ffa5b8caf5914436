//! The steps of a layout: enough functionaries for each, who agree, and files that obey the rules.

use std::collections::BTreeSet;

use bonded_model::Digest;
use in_toto::crypto::PublicKey;
use in_toto::models::LayoutMetadata;
use in_toto::models::step::Step;

use super::keys::{KeyError, Who, who};
use super::metablock::{Kind, Link, NamedKeys, Plan, id_text};
use super::pattern::{Budget, Exhausted};
use super::rules::{self, Links, Rules};
use super::{Chain, Papers, short};
use crate::code::Code;
use crate::finding::{Fault, joined};

/// Steps of a layout. Real ones have fewer than ten.
pub(super) const STEP_COUNT_MAX: usize = 64;

/// Artifact rules of a layout. Each is held against every file of a link.
pub(super) const RULE_COUNT_MAX: usize = 1024;

/// Steps that matching the patterns of a layout may take: a second's work.
const MATCH_STEP_COUNT_MAX: u64 = 100_000_000;

/// Judges the steps of a layout that its owners signed.
pub(super) fn judge(papers: &Papers<'_>, plan: &Plan, chain: &mut Chain) {
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
        if let Some(link) = done(papers, plan, step, chain) {
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

/// The keys that a step names and the layout has.
fn held<'a>(
    plan: &'a Plan,
    step: &'a Step,
) -> impl Iterator<Item = (&'a str, &'a Result<PublicKey, KeyError>)> {
    let named: BTreeSet<_> = step.pub_keys.iter().map(id_text).collect();
    let held = plan.keys.iter().filter(move |(id, _)| named.contains(*id));
    held.map(|(id, key)| (id.as_str(), key))
}

/// The keys of those who may do a step, by the names that the layout has for them.
pub(super) fn keys_of<'a>(plan: &'a Plan, step: &'a Step) -> NamedKeys<'a> {
    // What is wrong with the others is told where a link is missing.
    held(plan, step).filter_map(|(id, key)| Some((id, vec![key.as_ref().ok()?]))).collect()
}

/// The link of a step, if enough functionaries signed one and all of them say the same.
fn done<'a>(
    papers: &'a Papers<'_>,
    plan: &Plan,
    step: &Step,
    chain: &mut Chain,
) -> Option<&'a Link> {
    let keys = keys_of(plan, step);
    let may: BTreeSet<Who> = keys.values().flatten().map(|key| who(key)).collect();
    let mut functionaries: BTreeSet<&Who> = BTreeSet::new();
    let mut links: Vec<(Digest, &Link)> = Vec::new();
    let records = papers.records.iter().filter(|(_, record)| record.step == step.name);
    for (digest, record) in records {
        let by: Vec<_> = record.signers.intersection(&may).collect();
        if !by.is_empty() {
            functionaries.extend(by);
            links.push((*digest, &record.link));
        }
    }
    chain.links.extend(links.iter().map(|(digest, _)| *digest));
    let threshold = usize::try_from(step.threshold).unwrap_or(usize::MAX);
    if functionaries.len() < threshold {
        chain.faults.push(too_few(step, functionaries.len()));
        chain.faults.extend(unusable(plan, step));
        chain.faults.extend(sublayout(papers, step, &keys, chain.layout));
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

fn too_few(step: &Step, found: usize) -> Fault {
    let who = joined(step.pub_keys.iter().map(|id| short(&id_text(id)).into()));
    let expected = format!("step {:?} done by {} of {who}", step.name, step.threshold);
    Fault::new(Code::LayoutStep, expected, format!("links by {found}"))
}

/// What is wrong with keys is told where a link is missing: others may be enough.
fn unusable(plan: &Plan, step: &Step) -> Vec<Fault> {
    let expected = "keys of Ed25519, ECDSA P-256, or RSA with PSS, SHA-256 and 3072 bits or more";
    let told = |id: &str, error: &KeyError| {
        let fault = Fault::of_error(Code::LayoutUnsupported, expected, error);
        Fault { seen: format!("{}: {}", short(id), fault.seen), ..fault }
    };
    held(plan, step).filter_map(|(id, key)| Some(told(id, key.as_ref().err()?))).collect()
}

fn same(one: &Link, other: &Link) -> bool {
    one.materials == other.materials && one.products == other.products
}

/// A layout in the place of a link, which is looked for only where a link is missing: whoever may do a step may
/// also have signed another layout. It is told by the names beside its signatures, since nothing depends on it.
fn sublayout(papers: &Papers<'_>, step: &Step, keys: &NamedKeys<'_>, own: Digest) -> Option<Fault> {
    let others = papers
        .blocks
        .iter()
        .filter(|(digest, block)| **digest != own && block.kind == Kind::Layout);
    let mut named =
        others.filter(|(_, block)| block.names().any(|name| keys.contains_key(name.as_str())));
    let (digest, _) = named.next()?;
    let expected = format!("a link of step {:?}", step.name);
    let seen =
        format!("a layout under the name of one who may do it, {digest}, which is not followed");
    Some(unsupported(&expected, seen))
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
