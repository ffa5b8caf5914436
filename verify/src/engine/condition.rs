//! The rule that the policy's expressions are true: of every artifact, or of the release.
//!
//! An expression sees values and no documents: of statements only those that a signer of the policy made
//! about the artifact, also where they say that something failed, and of provenance only one that was
//! accepted. What is too large to look at is not looked at in part.

use std::collections::BTreeMap;

use bonded_model::statement::Statement;
use serde_json::{Value, json};

use super::Held;
use super::bench::Bench;
use super::judge::Judge;
use super::require::names_all;
use crate::code::Code;
use crate::expression::Stop;
use crate::facts::{Covering, Reading};
use crate::finding::{Fault, Finding, Severity};
use crate::policy::{Condition, Of, Selected, Sight};
use crate::verdict::Role;

/// Bytes of predicates that expressions look at together. Provenance has some 10 KiB.
const PREDICATE_BYTES_MAX: usize = 512 * 1024;

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let sight = Sight::of(held.artifact);
    let of_artifacts = bench.policy.conditions.iter().filter(|c| c.of == Of::Artifacts);
    let mut asked = of_artifacts.filter(|c| c.selector.selects(&sight) != Selected::No).peekable();
    if asked.peek().is_none() {
        return;
    }
    let variables = of_artifact(bench, held, judge);
    for condition in asked {
        let fault = match condition.selector.selects(&sight) {
            Selected::Unknown => Some((Severity::Fail, super::unknown())),
            _ => fault(condition, variables.as_ref()),
        };
        if let Some((severity, fault)) = fault {
            judge.find(severity, None, fault);
        }
    }
}

pub(super) fn findings(bench: &Bench<'_>) -> Vec<Finding> {
    let mut of_release = bench.policy.conditions.iter().filter(|c| c.of == Of::Release).peekable();
    if of_release.peek().is_none() {
        return Vec::new();
    }
    let variables = of_whole_release(bench);
    of_release
        .filter_map(|condition| fault(condition, variables.as_ref()))
        .map(|(severity, fault)| bench.finding(None, None, severity, fault))
        .collect()
}

/// Absence of variables is absence of an answer.
fn fault(
    condition: &Condition,
    variables: Option<&BTreeMap<&str, Value>>,
) -> Option<(Severity, Fault)> {
    let outcome = match variables {
        Some(variables) => condition.expression.is_true(variables),
        None => Err(Stop::Budget),
    };
    let (code, seen) = match outcome {
        Ok(true) => return None,
        Ok(false) => (Code::ExprFalse, "it is false".to_owned()),
        Err(Stop::Error(error)) => (Code::ExprError, error),
        Err(Stop::Budget) => (Code::ExprBudget, "more than it may look at".to_owned()),
    };
    let fault = Fault::new(code, condition.told(), seen).of_rule(&condition.name);
    Some((condition.demand.severity(), fault))
}

/// `None` where the documents are too large to look at.
fn of_artifact(
    bench: &Bench<'_>,
    held: &Held<'_>,
    judge: &Judge,
) -> Option<BTreeMap<&'static str, Value>> {
    let accepted = judge.accepted(Role::Provenance);
    let (mut statements, mut provenance, mut bytes) = (Vec::new(), Value::Null, 0);
    for (fact, covering) in bench.heard(held.at) {
        if !covering.attestation.is_said()
            || bench.subject_fault(covering, held.at, Code::ReqSubject).is_some()
        {
            continue;
        }
        let told = told(covering, &mut bytes)?;
        let level = covering.attestation.level_under(held.under);
        let chosen = accepted.contains(&fact.document.digest) && level.is_some();
        if provenance.is_null() && chosen {
            provenance = told.clone();
            provenance["level"] = json!(level);
        }
        statements.push(told);
    }
    let sight = Sight::of(held.artifact);
    let artifact = json!({
        "path": held.artifact.path,
        "digest": held.artifact.file.digest,
        "size": held.artifact.file.size,
        "kind": sight.kind(),
        "platform": sight.platform().map(ToString::to_string),
    });
    let mut variables = shared(bench, statements);
    variables.extend([("artifact", artifact), ("provenance", provenance)]);
    Some(variables)
}

fn of_whole_release(bench: &Bench<'_>) -> Option<BTreeMap<&'static str, Value>> {
    let (mut statements, mut bytes) = (Vec::new(), 0);
    for fact in bench.facts {
        let Reading::Attestations(coverings) = &fact.reading else { continue };
        for covering in coverings {
            if covering.attestation.is_said() && names_all(bench, covering) {
                statements.push(told(covering, &mut bytes)?);
            }
        }
    }
    Some(shared(bench, statements))
}

fn shared(bench: &Bench<'_>, statements: Vec<Value>) -> BTreeMap<&'static str, Value> {
    let release = bench.inventory.release;
    let paths: Vec<_> = release.paths().collect();
    let release = json!({
        "project": release.name().project,
        "version": release.name().version,
        "digest": release.digest(),
        "paths": paths,
    });
    let mut shared =
        BTreeMap::from([("release", release), ("statements", Value::Array(statements))]);
    // To look at `now` as a number lets the verdict be good for this second alone.
    if bench.policy.conditions.iter().any(|condition| condition.expression.names("now")) {
        shared.insert("now", json!(bench.now.unix_seconds()));
    }
    shared
}

/// A statement as expressions see it; `None` where there is too much of it.
fn told(covering: &Covering, bytes: &mut usize) -> Option<Value> {
    let attestation = &covering.attestation;
    let statement: &Statement = attestation.statement.as_ref()?;
    *bytes = bytes.saturating_add(statement.predicate.get().len());
    if *bytes > PREDICATE_BYTES_MAX {
        return None;
    }
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
