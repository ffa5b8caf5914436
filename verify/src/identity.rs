//! Who signed, and who may sign: identities that a signature proved, and the policy's signers.
//!
//! A certificate names an issuer, an identity and claims (Fulcio, oid-info.md); a managed key is
//! named by its digest. Only values that the certificate authority signed are compared.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::{Digest, Timestamp};

use crate::code::Code;
use crate::finding::Fault;
use crate::key::PublicKey;
use crate::legacy::{Forms, Lack};
use crate::moment::Moment;
use crate::pattern::Pattern;
use crate::roots::{Pin, Voucher};
use crate::verdict::SignedBy;

/// The issuer of certificates for GitHub Actions workflows.
pub(crate) const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A claim that a Fulcio certificate can make about a build, by its name in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Claim {
    BuildSignerUri,
    BuildSignerDigest,
    RunnerEnvironment,
    SourceRepository,
    SourceRepositoryDigest,
    SourceRepositoryRef,
    SourceRepositoryId,
    SourceRepositoryOwner,
    SourceRepositoryOwnerId,
    BuildConfigUri,
    BuildConfigDigest,
    BuildTrigger,
    SourceRepositoryVisibility,
    DeploymentEnvironment,
}

impl Claim {
    /// The name as policies write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BuildSignerUri => "build-signer-uri",
            Self::BuildSignerDigest => "build-signer-digest",
            Self::RunnerEnvironment => "runner-environment",
            Self::SourceRepository => "source-repository",
            Self::SourceRepositoryDigest => "source-repository-digest",
            Self::SourceRepositoryRef => "source-repository-ref",
            Self::SourceRepositoryId => "source-repository-id",
            Self::SourceRepositoryOwner => "source-repository-owner",
            Self::SourceRepositoryOwnerId => "source-repository-owner-id",
            Self::BuildConfigUri => "build-config-uri",
            Self::BuildConfigDigest => "build-config-digest",
            Self::BuildTrigger => "build-trigger",
            Self::SourceRepositoryVisibility => "source-repository-visibility",
            Self::DeploymentEnvironment => "deployment-environment",
        }
    }
}

/// Who made a signature, as proved by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// The holder of a certificate.
    Certificate(Holder),
    /// The holder of a managed key, named by the key's digest.
    Key(Digest),
}

/// What a trusted certificate says about its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) issuer: String,
    pub(crate) identity: String,
    pub(crate) claims: BTreeMap<Claim, String>,
}

/// A signature that holds, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) signer: Signer,
    /// Authenticated signing times; may be empty for managed keys.
    pub(crate) times: Vec<Timestamp>,
    /// The transparency logs that vouch for it, each by the digest of its key: one log counts once.
    pub(crate) logs: BTreeSet<Digest>,
    /// The timestamp authorities that vouch for it, likewise.
    pub(crate) clocks: BTreeSet<Digest>,
    /// The trust root that they are of; none where only the key that made it is believed.
    pub(crate) root: Option<Voucher>,
}

/// Someone who may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignerRule {
    pub(crate) name: String,
    pub(crate) who: Who,
    pub(crate) witnesses: Witnesses,
    /// The legacy forms in which its signatures count.
    pub(crate) legacy: Forms,
    /// The trust root that has to vouch for its signatures.
    pub(crate) root: Option<Pin>,
}

/// How many different logs and timestamp authorities have to vouch for a signature. What else there must be
/// by the kind of signer is not counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Witnesses {
    pub(crate) logs: usize,
    pub(crate) timestamps: usize,
}

impl Witnesses {
    fn faults(self, signed: &Signed) -> impl Iterator<Item = Fault> {
        let lacking = |code, wanted: usize, found: usize, what| {
            let expected = format!("{wanted} different {what}");
            (found < wanted).then(|| Fault::new(code, expected, found.to_string()))
        };
        let logs = lacking(Code::SigLog, self.logs, signed.logs.len(), "transparency logs");
        let (wanted, found) = (self.timestamps, signed.clocks.len());
        logs.into_iter().chain(lacking(Code::SigTime, wanted, found, "timestamp authorities"))
    }
}

impl SignerRule {
    /// The pattern of its identity, if it is not given exactly.
    pub(crate) fn pattern(&self) -> Option<&Pattern> {
        match &self.who {
            Who::Certificate { identity: Pattern::Exact(_), .. } | Who::Key(_) => None,
            Who::Certificate { identity, .. } => Some(identity),
        }
    }
}

/// How a signer is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Certificate { issuer: String, identity: Pattern, claims: BTreeMap<Claim, String> },
    Key(KeyRule),
}

/// A managed key with its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRule {
    pub(crate) key: PublicKey,
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) valid_until: Option<Timestamp>,
    pub(crate) log: LogRule,
}

/// Whether a signature by a managed key must stand in a transparency log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogRule {
    /// Entries that are present must verify.
    #[default]
    IfPresent,
    /// There must be one, and all must verify.
    Require,
}

/// The signers of a policy that a signature satisfies, or what stands against it.
pub(crate) type Recognised<'p> = Result<Vec<&'p SignerRule>, Vec<Fault>>;

/// Finds the signers that a signature satisfies. With none, the faults are those of the signers that
/// came nearest, and what its document lacks.
pub(crate) fn recognise<'p>(
    signed: &Signed,
    lacks: &[Lack],
    rules: &'p [SignerRule],
    now: &Moment,
) -> Recognised<'p> {
    if let Some(time) = signed.times.iter().find(|time| !now.has_reached(**time)) {
        let expected = "a signing time before the verdict";
        return Err(vec![Fault::new(Code::SigTime, expected, time.to_string())]);
    }
    let judged = rules.iter().map(|rule| (rule, judge(signed, lacks, rule, now)));
    let (mut names, mut nearest) = (Vec::new(), (Distance::Other, Vec::new()));
    for (rule, outcome) in judged {
        match outcome {
            Ok(()) => names.push(rule),
            Err((distance, faults)) if distance < nearest.0 => nearest = (distance, faults),
            Err((distance, faults)) if distance == nearest.0 => nearest.1.extend(faults),
            Err(_further) => {}
        }
    }
    if !names.is_empty() {
        return Ok(names);
    }
    if nearest.1.is_empty() {
        nearest.1.push(stranger(signed));
    }
    // A signer whose conditions alone are not met has said whether it names the form.
    let unsaid = lacks.iter().filter(|_| nearest.0 != Distance::Conditions);
    nearest.1.extend(unsaid.map(|lack| lack.fault.clone()));
    Err(merged(nearest.1))
}

/// How far a signature is from satisfying a signer; nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    Conditions,
    Identity,
    Issuer,
    Other,
}

fn judge(
    signed: &Signed,
    lacks: &[Lack],
    rule: &SignerRule,
    now: &Moment,
) -> Result<(), (Distance, Vec<Fault>)> {
    let lack = lacks.iter().filter(|lack| !rule.legacy.contains(&lack.form));
    let lack = lack.map(|lack| lack.fault.clone()).chain(root_fault(signed, rule));
    match (&signed.signer, &rule.who) {
        (Signer::Certificate(holder), Who::Certificate { issuer, identity, claims }) => {
            if holder.issuer != *issuer {
                let fault = Fault::new(Code::IdIssuer, issuer, &holder.issuer);
                return Err((Distance::Issuer, vec![fault]));
            }
            if !identity.matches(&holder.identity) {
                let fault = Fault::new(Code::IdSubject, identity.as_str(), &holder.identity);
                return Err((Distance::Identity, vec![fault]));
            }
            let claims =
                claims.iter().filter_map(|(claim, value)| claim_fault(holder, *claim, value));
            conditions(claims.chain(lack).chain(rule.witnesses.faults(signed)))
        }
        (Signer::Key(digest), Who::Key(key)) if key.key.digest() == *digest => {
            let required = key.log == LogRule::Require;
            let log = match signed.logs.is_empty() {
                true => required
                    .then(|| Fault::new(Code::SigLog, "an entry in a transparency log", "none")),
                false => (required || rule.witnesses.logs > 0).then(|| undated(signed)).flatten(),
            };
            let validity = validity_faults(key, signed, now).into_iter();
            conditions(validity.chain(log).chain(lack).chain(rule.witnesses.faults(signed)))
        }
        _ => Err((Distance::Other, Vec::new())),
    }
}

/// A log that vouches for no time says that the signature was seen, and not when: a log that was trusted once
/// could say so at any time since, and nobody can tell. Logs of the second version need a timestamp for it.
fn undated(signed: &Signed) -> Option<Fault> {
    let expected = "an authenticated time of a signature that has to be in a log";
    signed.times.is_empty().then(|| Fault::new(Code::SigTime, expected, "no time"))
}

/// Where there are several trust roots, nobody's signatures count who does not say which one vouches.
fn root_fault(signed: &Signed, rule: &SignerRule) -> Option<Fault> {
    let root = signed.root.as_ref()?;
    let expected = match &rule.root {
        Some(pin) if pin.is(root) => return None,
        Some(pin) => format!("a signature that the trust root {} vouches for", pin.told()),
        None if root.is_only => return None,
        None => "a signer who says which of the trust roots vouches for it".to_owned(),
    };
    Some(Fault::new(Code::SigRoot, expected, root.told()))
}

fn conditions(faults: impl Iterator<Item = Fault>) -> Result<(), (Distance, Vec<Fault>)> {
    let faults: Vec<_> = faults.collect();
    if faults.is_empty() { Ok(()) } else { Err((Distance::Conditions, faults)) }
}

fn claim_fault(holder: &Holder, claim: Claim, expected: &str) -> Option<Fault> {
    let seen = holder.claims.get(&claim).map(String::as_str);
    let text = |value: &str| format!("{} = {value}", claim.name());
    (seen != Some(expected))
        .then(|| Fault::new(Code::IdClaim, text(expected), text(seen.unwrap_or("(none)"))))
}

/// Every authenticated time must lie in the window; without one, `now` must. What stands in a log has a time,
/// which whoever hands the document over may have left out: then `now` says nothing.
fn validity_faults(rule: &KeyRule, signed: &Signed, now: &Moment) -> Vec<Fault> {
    let window = rule.valid_from.is_some() || rule.valid_until.is_some();
    let times = match signed.times.as_slice() {
        [] if window && !signed.logs.is_empty() => {
            let expected = "an authenticated time of a signature in a log, by a key with an end or a beginning";
            return vec![Fault::new(Code::IdValidity, expected, "no time")];
        }
        [] => {
            let seen = "no signing time, so used at the time of the verdict".to_owned();
            return window_faults(rule, |time| now.has_reached(time), &seen);
        }
        times => times,
    };
    let of_each = |signed: &Timestamp| {
        window_faults(rule, |time| *signed >= time, &format!("signed at {signed}"))
    };
    times.iter().flat_map(of_each).collect()
}

fn window_faults(
    rule: &KeyRule,
    has_reached: impl Fn(Timestamp) -> bool,
    seen: &str,
) -> Vec<Fault> {
    let early = rule.valid_from.filter(|from| !has_reached(*from));
    let late = rule.valid_until.filter(|until| has_reached(*until));
    let early = early.map(|from| format!("not before {from}"));
    let late = late.map(|until| format!("before {until}"));
    let fault = |expected| Fault::new(Code::IdValidity, expected, seen);
    early.into_iter().chain(late).map(fault).collect()
}

/// The signature is of a kind for which the policy has no signer at all.
fn stranger(signed: &Signed) -> Fault {
    match &signed.signer {
        Signer::Certificate(holder) => Fault::new(
            Code::IdIssuer,
            "a signer of the policy",
            format!("{} of {}", holder.identity, holder.issuer),
        ),
        Signer::Key(digest) => Fault::new(Code::SigKey, "a key of the policy", digest.to_string()),
    }
}

/// One finding for all signers that differ in the same way, not one for each.
fn merged(faults: Vec<Fault>) -> Vec<Fault> {
    let mut by_kind: BTreeMap<(Code, String), Vec<String>> = BTreeMap::new();
    for fault in faults {
        by_kind.entry((fault.code, fault.seen)).or_default().push(fault.expected);
    }
    let merge = |((code, seen), mut expected): ((Code, String), Vec<String>)| {
        expected.sort();
        expected.dedup();
        Fault::new(code, expected.join(" or "), seen)
    };
    by_kind.into_iter().map(merge).collect()
}

impl Signed {
    /// Whether nobody but the holder of a key vouches for it.
    pub(crate) fn is_by_key_alone(&self) -> bool {
        let by_key = matches!(self.signer, Signer::Key(_));
        by_key && self.logs.is_empty() && self.clocks.is_empty()
    }

    /// The record of this signature for a verdict.
    pub(crate) fn by(&self, rule: &SignerRule) -> SignedBy {
        let identity = match &self.signer {
            Signer::Certificate(holder) => holder.identity.clone(),
            Signer::Key(digest) => digest.to_string(),
        };
        let signed_at = self.times.iter().min().copied();
        SignedBy { name: rule.name.clone(), identity, signed_at }
    }
}
