//! The rule that the policy's expressions are true: of every artifact, or of the release.
//!
//! An expression sees values and no documents: of statements only those that a signer of the policy made
//! about the artifact, also where they say that something failed, and of provenance only one that was
//! accepted. What is too large to look at is not looked at in part.
//!
//! A verdict has so many steps, and looks at so many bytes of predicates. Each evaluation gets its share of
//! both before any is run, so that none takes from another, whatever the order they run in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bonded_model::statement::Statement;
use serde_json::{Value, json};

use super::Held;
use super::bench::Bench;
use super::judge::Judge;
use super::require::names_all;
use crate::code::Code;
use crate::expression::{STEP_COUNT_MAX, Stop};
use crate::facts::{Covering, Fact, Inventory, Reading};
use crate::finding::{Fault, Finding, Severity, joined};
use crate::moment::Moment;
use crate::policy::{Condition, Of, Policy, Selected, Sight};
use crate::verdict::Role;

/// Bytes of predicates that expressions look at together. Provenance has some 10 KiB.
const PREDICATE_BYTES_MAX: usize = 512 * 1024;

/// The same for all artifacts of a verdict: a release of 8,000 has 128 KiB for each.
const PREDICATE_TOTAL_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Steps of all expressions of a verdict: some seconds of one core. A release of 8,000 artifacts has 12,500
/// for each, which go to the expressions asked of it.
const STEP_TOTAL_COUNT_MAX: usize = 100_000_000;

/// Rows of statements that are kept, since other artifacts have the same. In most releases one row is that
/// of all artifacts.
const ROW_COUNT_MAX: usize = 32;

/// What all expressions of a verdict share.
#[derive(Debug)]
pub(super) struct Asking {
    release: Value,
    now: Option<Value>,
    step_count: usize,
    predicate_bytes: usize,
    /// Statements by where they stand in memory. Which rows are kept changes what is done twice, and nothing
    /// that is seen.
    rows: Mutex<BTreeMap<Vec<usize>, Arc<Value>>>,
}

/// A statement with where it stands.
type Said<'a> = (&'a Fact<'a>, &'a Covering);

impl Asking {
    /// `None` where the policy has no expressions.
    pub(super) fn of(policy: &Policy, inventory: &Inventory<'_>, now: &Moment) -> Option<Self> {
        let conditions = &policy.conditions;
        if conditions.is_empty() {
            return None;
        }
        let of_artifacts = || conditions.iter().filter(|c| c.of == Of::Artifacts);
        let artifacts = inventory.release.artifacts();
        let of_each = artifacts.iter().map(|artifact| {
            let sight = Sight::of(artifact);
            of_artifacts().filter(|c| c.selector.selects(&sight) != Selected::No).count()
        });
        let counts: Vec<usize> = of_each.filter(|count| *count > 0).collect();
        let of_release = conditions.len() - of_artifacts().count();
        let runs = counts.iter().sum::<usize>() + of_release;
        let looks = counts.len() + usize::from(of_release > 0);
        let release = inventory.release;
        let paths: Vec<_> = release.paths().collect();
        let release = json!({
            "project": release.name().project,
            "version": release.name().version,
            "digest": release.digest(),
            "paths": paths,
        });
        // To look at `now` as a number lets the verdict be good for this second alone.
        let named = conditions.iter().any(|condition| condition.expression.names("now"));
        Some(Self {
            release,
            now: named.then(|| json!(now.unix_seconds())),
            step_count: (STEP_TOTAL_COUNT_MAX / runs.max(1)).min(STEP_COUNT_MAX),
            predicate_bytes: (PREDICATE_TOTAL_BYTES_MAX / looks.max(1)).min(PREDICATE_BYTES_MAX),
            rows: Mutex::new(BTreeMap::new()),
        })
    }

    /// The statements as expressions see them; `None` where there is too much of them.
    fn statements(&self, said: &[Said<'_>]) -> Option<Arc<Value>> {
        let statements = || said.iter().filter_map(|(_, c)| c.attestation.statement.as_ref());
        let bytes = statements().map(|statement| statement.predicate.get().len());
        if bytes.fold(0, usize::saturating_add) > self.predicate_bytes {
            return None;
        }
        let row: Vec<usize> = said.iter().map(|(_, c)| std::ptr::from_ref(*c).addr()).collect();
        let rows = || self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = rows().get(&row) {
            return Some(Arc::clone(known));
        }
        let told = said.iter().map(|(_, covering)| told(covering));
        let told = Arc::new(Value::Array(told.collect::<Option<_>>()?));
        let mut rows = rows();
        if rows.len() < ROW_COUNT_MAX {
            rows.insert(row, Arc::clone(&told));
        }
        Some(told)
    }

    fn ask(&self, condition: &Condition, seen: Option<&Seen<'_>>) -> Option<(Severity, Fault)> {
        let outcome = match seen {
            // Absence of values is absence of an answer.
            None => Err(Stop::Budget),
            Some(seen) => condition.expression.is_true(&seen.variables(self), self.step_count),
        };
        let (code, found) = match outcome {
            Ok(true) => return None,
            Ok(false) => (Code::ExprFalse, "it is false".to_owned()),
            Err(Stop::Error(error)) => (Code::ExprError, error),
            Err(Stop::Budget) => (Code::ExprBudget, "more than it may look at".to_owned()),
        };
        let documents = seen.filter(|_| condition.expression.names("statements"));
        let found = match documents.map(Seen::documents).filter(|names| !names.is_empty()) {
            Some(names) => format!("{found}; the statements are {names}"),
            None => found,
        };
        let fault = Fault::new(code, condition.told(), found).of_rule(&condition.name);
        Some((condition.demand.severity(), fault))
    }
}

/// What an expression looks at.
struct Seen<'a> {
    said: Vec<Said<'a>>,
    statements: Arc<Value>,
    /// The artifact and its accepted provenance, where it is asked of one.
    artifact: Option<[Value; 2]>,
}

impl Seen<'_> {
    fn variables<'a>(&'a self, asking: &'a Asking) -> BTreeMap<&'static str, &'a Value> {
        let shared = [("release", &asking.release), ("statements", &*self.statements)];
        let now = asking.now.iter().map(|now| ("now", now));
        let own = self.artifact.iter().flat_map(|[artifact, provenance]| {
            [("artifact", artifact), ("provenance", provenance)]
        });
        shared.into_iter().chain(now).chain(own).collect()
    }

    /// The documents that the statements stand in, as people know them.
    fn documents(&self) -> String {
        let names: BTreeSet<String> = self.said.iter().map(|said| name_of(*said)).collect();
        joined(names.into_iter().map(Into::into))
    }
}

/// Title or digest of a document, with the line where it has several.
fn name_of((fact, covering): Said<'_>) -> String {
    let document = fact.document;
    let name = match &document.title {
        Some(title) => title.to_string(),
        None => document.digest.short(),
    };
    let Reading::Attestations(lines) = &fact.reading else { return name };
    match lines.iter().position(|line| std::ptr::eq(line, covering)) {
        Some(at) if lines.len() > 1 => format!("{name} line {}", at + 1),
        _ => name,
    }
}

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let Some(asking) = bench.asking else { return };
    let sight = Sight::of(held.artifact);
    let of_artifacts = bench.policy.conditions.iter().filter(|c| c.of == Of::Artifacts);
    let mut asked = of_artifacts.filter(|c| c.selector.selects(&sight) != Selected::No).peekable();
    if asked.peek().is_none() {
        return;
    }
    let seen = of_artifact(bench, asking, held, judge);
    for condition in asked {
        let fault = match condition.selector.selects(&sight) {
            Selected::Unknown => Some((Severity::Fail, super::unknown())),
            _ => asking.ask(condition, seen.as_ref()),
        };
        if let Some((severity, fault)) = fault {
            judge.find(severity, None, fault);
        }
    }
}

pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    let Some(asking) = bench.asking else { return Vec::new() };
    let mut of_release = bench.policy.conditions.iter().filter(|c| c.of == Of::Release).peekable();
    if of_release.peek().is_none() {
        return Vec::new();
    }
    let seen = of_whole_release(bench, asking);
    of_release
        .filter_map(|condition| asking.ask(condition, seen.as_ref()))
        .map(|(severity, fault)| bench.finding(None, None, severity, fault))
        .collect()
}

/// `None` where the documents are too large to look at.
fn of_artifact<'a>(
    bench: &Bench<'a>,
    asking: &Asking,
    held: &Held<'_>,
    judge: &Judge,
) -> Option<Seen<'a>> {
    let is_said = |covering: &Covering| {
        covering.attestation.is_said()
            && bench.subject_fault(covering, held.at, Code::ReqSubject).is_none()
    };
    let heard: &'a [Said<'a>] = bench.heard.get(held.at).map_or(&[], Vec::as_slice);
    let said = || heard.iter().enumerate().filter(|(_, (_, covering))| is_said(covering));
    let accepted = judge.accepted(Role::Provenance);
    let chosen = said().position(|(at, _)| accepted.contains(&at));
    let said: Vec<_> = said().map(|(_, line)| *line).collect();
    let statements = asking.statements(&said)?;
    let mut provenance = Value::Null;
    let chosen = chosen.and_then(|at| Some((statements.get(at)?, said.get(at)?)));
    if let Some((told, (_, covering))) = chosen {
        provenance = told.clone();
        provenance["level"] = json!(covering.attestation.level_under(held.under));
    }
    let sight = Sight::of(held.artifact);
    let artifact = json!({
        "path": held.artifact.path,
        "digest": held.artifact.file.digest,
        "size": held.artifact.file.size,
        "kind": sight.kind(),
        "platform": sight.platform().map(ToString::to_string),
    });
    Some(Seen { said, statements, artifact: Some([artifact, provenance]) })
}

fn of_whole_release<'a>(bench: &Bench<'a>, asking: &Asking) -> Option<Seen<'a>> {
    let said = bench.facts.iter().flat_map(|fact| match &fact.reading {
        Reading::Attestations(lines) => lines.iter().map(|line| (fact, line)).collect(),
        Reading::Sbom(_) | Reading::Checksums(_) | Reading::Metablock | Reading::Piece(_) => {
            Vec::new()
        }
    });
    let said = said.filter(|(_, c)| c.attestation.is_said() && names_all(bench, c));
    let said: Vec<Said<'a>> = said.collect();
    Some(Seen { statements: asking.statements(&said)?, said, artifact: None })
}

/// A statement as expressions see it.
fn told(covering: &Covering) -> Option<Value> {
    let attestation = &covering.attestation;
    let statement: &Statement = attestation.statement.as_ref()?;
    // The statement was parsed as strict JSON; what is none by now has no value.
    let predicate: Value = serde_json::from_str(statement.predicate.get()).ok()?;
    let signers: Vec<_> = attestation.signers.iter().map(|signer| &signer.name).collect();
    let times = attestation.signers.iter().filter_map(|signer| signer.signed_at);
    Some(json!({
        "type": statement.predicate_type,
        "predicate": predicate,
        "signers": signers,
        "time": times.min().map(bonded_model::Timestamp::unix_seconds),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    /// Steps and bytes of each evaluation, over so many files.
    fn shares(file_count: usize, tables: &str) -> Option<(usize, usize)> {
        let mut case = Case::bare();
        case.edit("#sbom", tables);
        let names = (0..file_count).map(|at| &*Box::leak(format!("f{at}").into_boxed_str()));
        case.files = names.map(|name| (name, Vec::new())).collect();
        let (policy, evidence) = (Policy::parse(&case.policy).unwrap(), case.evidence());
        let inventory = Inventory::new(&evidence.release);
        let asking = Asking::of(&policy, &inventory, &Moment::new(case.now))?;
        Some((asking.step_count, asking.predicate_bytes))
    }

    fn expression(name: &str, rest: &str) -> String {
        format!("[[expression]]\nname = \"{name}\"\ncel = \"true\"\n{rest}\n")
    }

    /// Each evaluation had all steps there are, so that a release with many artifacts took hours.
    #[test]
    fn all_of_a_verdict_take_no_more_than_there_is() {
        let of_each = expression("a", "of = \"artifacts\"");
        let both = format!("{of_each}{}", expression("b", "of = \"release\""));
        assert_eq!(shares(1, "#"), None);
        assert_eq!(shares(1, &both), Some((STEP_COUNT_MAX, PREDICATE_BYTES_MAX)));
        let (steps, bytes) = shares(8_000, &both).unwrap();
        assert!(steps * 8_001 <= STEP_TOTAL_COUNT_MAX && steps > 10_000, "{steps}");
        assert!(bytes * 8_001 <= PREDICATE_TOTAL_BYTES_MAX && bytes > 100 * 1024, "{bytes}");
        // What is asked of few takes nothing from the others.
        let few = expression("a", "of = \"artifacts\"\npaths = [\"f7\"]");
        assert_eq!(shares(8_000, &few), Some((STEP_COUNT_MAX, PREDICATE_BYTES_MAX)));
    }
}
