//! What a verification summary (VSA) by somebody else is worth under a policy (SLSA v1.2,
//! verification_summary.md, "How to verify"). Which artifacts it is about is asked elsewhere.

use bonded_model::Timestamp;
use std::collections::BTreeSet;

use bonded_model::statement::{DigestSet, Statement};
use bonded_model::vsa::{Label, SUMMARY_V0_2, SUMMARY_V1, Summary};

use crate::attestation::{Attestation, Purpose};
use crate::code::Code;
use crate::finding::{Fault, joined};
use crate::moment::Moment;
use crate::policy::{Age, Place, Policy, VerifierRule};
use crate::verdict::SignedBy;

/// How far the clocks of a verifier and of whoever vouches for the time of its signature may be apart.
const SKEW_SECONDS: i64 = 300;

/// Whether a type is one of summaries, exactly.
pub(crate) fn is_type(predicate_type: &str) -> bool {
    [SUMMARY_V1, SUMMARY_V0_2].contains(&predicate_type)
}

/// What is asked of a summary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) now: &'a Moment,
    /// The lowest level that is enough.
    pub(crate) level: u8,
    /// How long its `timeVerified` may lie back, beside what the verifier's rule says. How old the papers were
    /// that its verifier looked at, a summary does not tell.
    pub(crate) max_age: Option<&'a Age>,
    pub(crate) place: Place<'a>,
}

/// What a summary is worth.
#[derive(Debug, Default)]
pub(crate) struct Worth {
    /// The signers who speak for its verifier.
    pub(crate) signers: Vec<SignedBy>,
    /// What it says, and no more than its verifier is trusted for.
    pub(crate) level: Option<u8>,
    /// What stands against it, besides what stands against the attestation itself.
    pub(crate) faults: Vec<Fault>,
}

/// The summary that an attestation holds, if it can be read.
pub(crate) fn summary_of(attestation: &Attestation) -> Option<&Summary> {
    match &attestation.purpose {
        Purpose::Summary(summary) => summary.as_deref(),
        _ => None,
    }
}

/// Those of the signers who speak for a verifier. One who is given by a pattern is one of many, and speaks
/// only for the verifier that it is itself.
pub(crate) fn speaking(
    policy: &Policy,
    id: &str,
    listed: &BTreeSet<String>,
    signers: &[SignedBy],
) -> Vec<SignedBy> {
    let speaks = |signer: &&SignedBy| {
        listed.contains(&signer.name) && (!policy.is_pattern(&signer.name) || signer.identity == id)
    };
    signers.iter().filter(speaks).cloned().collect()
}

/// The verifier whom a summary names, and its signers who speak for it; or why nobody does.
pub(crate) fn speakers<'p>(
    policy: &'p Policy,
    summary: &Summary,
    signers: &[SignedBy],
) -> Result<(&'p VerifierRule, Vec<SignedBy>), Fault> {
    let id = &summary.verifier.id;
    let Some(rule) = policy.verifier(id) else {
        let known: Vec<_> = policy.verifiers.iter().map(|rule| rule.id.as_str()).collect();
        let expected = if known.is_empty() { "a verifier".to_owned() } else { known.join(" or ") };
        return Err(Fault::new(Code::VsaVerifier, expected, id));
    };
    let speakers = speaking(policy, id, &rule.signers, signers);
    if speakers.is_empty() {
        let expected: Vec<_> = rule.signers.iter().map(String::as_str).collect();
        let seen = joined(signers.iter().map(|signer| signer.name.as_str().into()));
        return Err(Fault::new(Code::VsaSigner, expected.join(" or "), seen));
    }
    // One that says FAILED says so whenever it was.
    let speakers =
        if summary.failed() { speakers } else { contemporary(Code::VsaAge, summary, speakers)? };
    Ok((rule, speakers))
}

/// The signers of whom nobody can tell that they signed before the time that the summary states: what is
/// dated ahead would stay good for longer than its age may be.
pub(crate) fn contemporary(
    code: Code,
    summary: &Summary,
    signers: Vec<SignedBy>,
) -> Result<Vec<SignedBy>, Fault> {
    let Some(stated) = summary.time_verified else { return Ok(signers) };
    let least = stated.unix_seconds().saturating_sub(SKEW_SECONDS);
    let earlier = |time: &Timestamp| time.unix_seconds() < least;
    let first = signers.iter().filter_map(|signer| signer.signed_at.filter(earlier)).min();
    let kept = signers.into_iter().filter(|signer| !signer.signed_at.is_some_and(|t| earlier(&t)));
    let kept: Vec<_> = kept.collect();
    match first {
        Some(time) if kept.is_empty() => {
            let seen = format!("signed at {time}, verified at {stated}");
            Err(Fault::new(code, "a time no later than the signature's", seen))
        }
        _ => Ok(kept),
    }
}

/// Weighs a summary of one artifact.
pub(crate) fn weigh(asked: &Asked<'_>, attestation: &Attestation) -> Worth {
    let (Some(summary), Some(statement)) = (summary_of(attestation), &attestation.statement) else {
        return Worth::default();
    };
    // A signer whom the policy does not know at all has been reported as such.
    if attestation.signers.is_empty() {
        return Worth::default();
    }
    let (rule, signers) = match speakers(asked.policy, summary, &attestation.signers) {
        Ok(found) => found,
        Err(fault) => return Worth { faults: vec![fault], ..Worth::default() },
    };
    let mut faults: Vec<_> = resource_fault(rule, summary, &asked.place).into_iter().collect();
    // One that says FAILED says so under any policy, at any level and age.
    if summary.failed() {
        return Worth { signers, level: None, faults };
    }
    let level = level(rule, statement, summary);
    faults.extend(policy_fault(rule, summary));
    faults.extend(level_fault(rule, asked.level, level, summary));
    let ages = [rule.max_age.as_ref(), asked.max_age];
    faults.extend(age_fault(Code::VsaAge, summary, &ages, asked.now));
    Worth { signers, level, faults }
}

fn resource_fault(rule: &VerifierRule, summary: &Summary, place: &Place<'_>) -> Option<Fault> {
    let seen = &summary.resource_uri;
    let Some(template) = &rule.resource else {
        return Some(Fault::new(Code::VsaResource, "a summary of a whole release", seen));
    };
    match template.fill(place) {
        Some(wanted) if wanted == *seen => None,
        // What is not known is not another: a FAILED is heard.
        None if summary.failed() => None,
        Some(wanted) => Some(Fault::new(Code::VsaResource, wanted, seen)),
        None => {
            let expected = format!("{}, of which something is not known", template.as_str());
            Some(Fault::new(Code::VsaResource, expected, seen))
        }
    }
}

fn policy_fault(rule: &VerifierRule, summary: &Summary) -> Option<Fault> {
    use bonded_model::statement::DigestMatch::Agrees;
    let accepted = rule.policies.as_ref()?;
    let digest = &summary.policy.digest;
    if accepted.iter().any(|policy| digest.matches(&[*policy]) == Agrees) {
        return None;
    }
    let expected = joined(accepted.iter().map(|digest| digest.to_string().into()));
    Some(Fault::new(Code::VsaPolicy, expected, digests_text(digest)))
}

/// A digest set, for a finding.
pub(crate) fn digests_text(digests: &DigestSet) -> String {
    let text = joined(digests.iter().map(|(name, hex)| format!("{name}:{hex}").into()));
    if text.is_empty() { "no digest".to_owned() } else { text }
}

/// The level of the build track, capped. Of v0.2, which has one track without a name, it is that.
pub(crate) fn level(rule: &VerifierRule, statement: &Statement, summary: &Summary) -> Option<u8> {
    let build = if statement.predicate_type == SUMMARY_V0_2 { "" } else { "BUILD" };
    summary.labels().find_map(|label| match label {
        Label::Level { track, level } if track == build => Some(level?.min(rule.level)),
        _ => None,
    })
}

/// Why a summary does not say a level that is enough.
pub(crate) fn level_fault(
    rule: &VerifierRule,
    wanted: u8,
    level: Option<u8>,
    summary: &Summary,
) -> Option<Fault> {
    if level.is_some_and(|level| level >= wanted) {
        return None;
    }
    let said = joined(summary.verified_levels.iter().map(|label| label.as_str().into()));
    let seen = format!("{said} by a verifier for level {} at most", rule.level);
    Some(Fault::new(Code::VsaLevel, format!("level {wanted}"), seen))
}

/// A summary is good from the moment at which it was made until it is too old. When that was the verifier
/// says itself, in what it signed.
pub(crate) fn age_fault(
    code: Code,
    summary: &Summary,
    ages: &[Option<&Age>],
    now: &Moment,
) -> Option<Fault> {
    let seen = |time: Timestamp| format!("verified at {time}");
    match summary.time_verified {
        Some(time) if !now.has_reached(time) => {
            Some(Fault::new(code, "a time before the verdict", seen(time)))
        }
        found => {
            let young = |age: &&Age| found.is_some_and(|time| age.covers(time, now));
            let age = ages.iter().copied().flatten().find(|age| !young(age))?;
            let seen = found.map_or("no time".to_owned(), seen);
            let expected = format!("verified within {} before the verdict", age.as_str());
            Some(Fault::new(code, expected, seen))
        }
    }
}
