//! The rule over in-toto layouts: the steps of the release were done as its owners laid down, and what the
//! last of them made is what is released.

use super::Held;
use super::bench::Bench;
use super::judge::{Candidate, Judge, Rule, decide as decided};
use crate::code::Code;
use crate::facts::digests_of;
use crate::finding::{Fault, Finding, Severity};
use crate::layout::Chain;
use crate::policy::{Count, LayoutRule, Selected, Sight};
use crate::verdict::Role;

/// One count for every layout: how many owners there must be stands in the rule itself.
const ONE: Count = Count { quorum: 1, max_age: None };

/// One layout that holds is enough; what stands against others is noted then.
pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    let Some(rule) = on(bench) else { return Vec::new() };
    let layouts = bench.layouts;
    let candidates = layouts.chains.iter().map(|chain| Candidate {
        document: chain.layout,
        signers: chain.owners.clone(),
        level: None,
        faults: chain.faults.clone(),
        heard_at: None,
    });
    let (held, mut found) =
        decided(&judged(rule, missing()), candidates.collect(), bench.now).into_parts();
    let against = if held.is_empty() { rule.demand.severity() } else { Severity::Note };
    let told = |documents: &[(_, Fault)], severity| {
        let told =
            documents.iter().map(|(document, fault)| (severity, Some(*document), fault.clone()));
        told.collect::<Vec<_>>()
    };
    found.extend(told(&layouts.unreadable, rule.demand.severity()));
    found.extend(told(&layouts.strangers, against));
    found.extend(accepted(bench).flat_map(|chain| told(&chain.doubts, Severity::Warn)));
    found
        .into_iter()
        .map(|(severity, at, fault)| bench.finding(None, at, severity, fault))
        .collect()
}

/// Where no layout holds, that is said of the release and not once more of each artifact.
pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let Some(rule) = on(bench) else { return };
    match rule.selector.selects(&Sight::of(held.artifact)) {
        Selected::No => return,
        Selected::Unknown => return judge.find(Severity::Fail, None, super::unknown()),
        Selected::Yes => {}
    }
    let candidates = accepted(bench).map(|chain| {
        let seen = format!("{} other products", chain.products.len());
        let made = makes(chain, held);
        let fault =
            (!made).then(|| Fault::new(Code::LayoutProduct, "a product of the last step", seen));
        Candidate {
            document: chain.layout,
            signers: chain.owners.clone(),
            level: None,
            faults: fault.into_iter().collect(),
            heard_at: None,
        }
    });
    let candidates: Vec<_> = candidates.collect();
    if !candidates.is_empty() {
        judge.decide(&judged(rule, missing()), candidates);
    }
}

fn on<'a>(bench: &Bench<'a>) -> Option<&'a LayoutRule> {
    bench.policy.layout.as_ref().filter(|rule| rule.is_on())
}

fn accepted<'a>(bench: &Bench<'a>) -> impl Iterator<Item = &'a Chain> {
    bench.layouts.chains.iter().filter(|chain| chain.faults.is_empty())
}

/// By digest: a link has the paths of a build, and a release those of its own.
fn makes(chain: &Chain, held: &Held<'_>) -> bool {
    let digests = digests_of(held.artifact);
    let made = chain.products.get(&held.artifact.file.digest);
    made.is_some_and(|sha512| {
        let known = digests.iter().find(|d| d.algorithm() == bonded_model::Algorithm::Sha512);
        known.is_none_or(|known| sha512.iter().all(|one| one == known))
    })
}

fn missing() -> Fault {
    Fault::new(Code::LayoutMissing, "an in-toto layout", "none")
}

fn judged(rule: &LayoutRule, missing: Fault) -> Rule<'_> {
    Rule {
        role: Role::Layout,
        name: None,
        demand: rule.demand,
        count: &ONE,
        missing,
        // One is enough, at any age.
        too_few: Code::LayoutMissing,
        too_old: Code::LayoutMissing,
    }
}
