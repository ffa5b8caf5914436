//! The judge: collects what the rules decide about one artifact, or about the release.
//!
//! A rule may ask for several signers. They are counted as pairs of a signer in the policy and an identity
//! that a signature proved: one key under two names is one signer, and so are two holders whom one
//! pattern names.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::{Artifact, Digest};

use crate::code::Code;
use crate::finding::{Fault, Finding, Severity, Spot, capped};
use crate::moment::Moment;
use crate::policy::{Count, Demand};
use crate::verdict::{AcceptedDocument, ArtifactVerdict, Role, SignedBy};

/// A document held against one artifact under one rule.
pub(crate) struct Candidate {
    pub(crate) document: Digest,
    /// The signers who count under the rule; the first one is on record.
    pub(crate) signers: Vec<SignedBy>,
    pub(crate) level: Option<u8>,
    pub(crate) faults: Vec<Fault>,
    /// Where it stands among what is heard about the artifact, for rules that look at what was accepted. The
    /// document says too little: of its lines one may be accepted and another refused.
    pub(crate) heard_at: Option<usize>,
}

/// A rule, as far as it is the same for every kind of paper.
pub(crate) struct Rule<'a> {
    pub(crate) role: Role,
    /// What the policy calls it, where there may be several of its kind.
    pub(crate) name: Option<&'a str>,
    pub(crate) demand: Demand,
    pub(crate) count: &'a Count,
    /// What is said where there is no candidate at all.
    pub(crate) missing: Fault,
    /// The code where fewer signers accepted than the rule asks for.
    pub(crate) too_few: Code,
    /// The code of a signature that is too old, or of unknown age.
    pub(crate) too_old: Code,
}

/// Collects what the rules decide about one artifact.
pub(crate) struct Judge<'a> {
    verdict: ArtifactVerdict,
    findings: Vec<Finding>,
    now: &'a Moment,
    /// What was accepted, by its place among what is heard about the artifact.
    accepted: Vec<(Role, usize)>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(artifact: &Artifact, now: &'a Moment) -> Self {
        let verdict = ArtifactVerdict {
            path: Some(artifact.path.clone()),
            digest: artifact.file.digest,
            level: None,
            dependencies: None,
            accepted: Vec::new(),
        };
        Self { verdict, findings: Vec::new(), now, accepted: Vec::new() }
    }

    pub(crate) fn decide(&mut self, rule: &Rule<'_>, candidates: Vec<Candidate>) {
        let decided = decide(rule, candidates, self.now);
        self.take(rule.role, decided);
    }

    /// Decides about two kinds of papers, as [`either`] does.
    pub(crate) fn decide_either(&mut self, first: Asked<'_>, second: Asked<'_>) {
        let roles = (first.0.role, second.0.role);
        let decided = either(first, second, self.now);
        self.take(roles.0, decided.0);
        self.take(roles.1, decided.1);
    }

    fn take(&mut self, role: Role, decided: Decided) {
        let (accepted, findings) = decided.into_parts();
        findings.into_iter().for_each(|(severity, document, fault)| {
            self.find(severity, document, fault);
        });
        for accepted in accepted {
            self.verdict.level = self.verdict.level.max(accepted.level);
            self.accepted.extend(accepted.heard_at.map(|at| (role, at)));
            let signer = accepted.signers.into_iter().next();
            let document = accepted.document;
            self.verdict.accepted.push(AcceptedDocument { document, role, signer });
        }
    }

    /// What a rule before this one accepted in that role, by its place among what is heard.
    pub(crate) fn accepted(&self, role: Role) -> BTreeSet<usize> {
        let accepted = self.accepted.iter().filter(|(of, _)| *of == role);
        accepted.map(|(_, at)| *at).collect()
    }

    pub(crate) fn find(&mut self, severity: Severity, document: Option<Digest>, fault: Fault) {
        let (path, subject) = (self.verdict.path.clone(), Some(self.verdict.digest));
        self.findings.push(fault.at(Spot { path, subject, document }, severity));
    }

    pub(crate) fn finish(self) -> (ArtifactVerdict, Vec<Finding>) {
        (self.verdict, capped(self.findings))
    }
}

/// A fault with its weight, and the document that it was found in.
pub(crate) type Found = (Severity, Option<Digest>, Fault);

/// What became of the candidates of a rule.
#[derive(Default)]
pub(crate) struct Decided {
    /// Those that satisfied it; none where they are too few.
    accepted: Vec<Candidate>,
    is_satisfied: bool,
    findings: Vec<Found>,
    /// What somebody says against the artifact who is heard whatever was accepted.
    vetoes: Vec<Found>,
}

impl Decided {
    /// Something else is enough: what stands against these is for the record.
    fn lower(&mut self) {
        self.findings.iter_mut().for_each(|(severity, ..)| *severity = Severity::Note);
    }

    /// What was accepted, and what was found.
    pub(crate) fn into_parts(self) -> (Vec<Candidate>, Vec<Found>) {
        let Self { accepted, mut findings, vetoes, .. } = self;
        findings.extend(vetoes);
        (accepted, findings)
    }
}

pub(crate) fn decide(rule: &Rule<'_>, mut candidates: Vec<Candidate>, now: &Moment) -> Decided {
    let vetoes: Vec<_> = candidates.iter().flat_map(vetoes).collect();
    candidates.iter_mut().for_each(|candidate| hold_to_age(rule, candidate, now));
    let none = candidates.is_empty();
    let (accepted, refused): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.faults.is_empty());
    let found = counted(rule, &accepted, none);
    let is_satisfied = found.is_ok();
    let severity = if is_satisfied { Severity::Note } else { rule.demand.severity() };
    let mut findings = Vec::new();
    if none && rule.demand != Demand::Off {
        findings.push((severity, None, rule.missing.clone()));
    }
    findings.extend(found.err().flatten().map(|fault| (severity, None, fault)));
    let each = refused.into_iter().flat_map(|candidate| {
        candidate.faults.into_iter().map(move |fault| (severity, Some(candidate.document), fault))
    });
    findings.extend(each);
    findings.retain(|(_, document, fault)| {
        document.is_none_or(|document| !vetoes.contains(&(document, fault.clone())))
    });
    let weight = rule.demand.severity();
    let vetoes = vetoes.into_iter().map(|(document, fault)| (weight, Some(document), fault));
    let mut vetoes: Vec<_> = vetoes.collect();
    let named = findings.iter_mut().chain(&mut vetoes);
    named.for_each(|(_, _, fault)| fault.rule = rule.name.map(str::to_owned));
    let accepted = if is_satisfied { accepted } else { Vec::new() };
    Decided { accepted, is_satisfied, findings, vetoes }
}

/// A rule with its candidates.
pub(crate) type Asked<'a> = (&'a Rule<'a>, Vec<Candidate>);

/// Decides about two kinds of papers of which either is enough. They are not counted together, and one is
/// not missed where there is any of the other.
pub(crate) fn either(first: Asked<'_>, second: Asked<'_>, now: &Moment) -> (Decided, Decided) {
    if second.1.is_empty() {
        return (decide(first.0, first.1, now), Decided::default());
    }
    if first.1.is_empty() {
        return (Decided::default(), decide(second.0, second.1, now));
    }
    let mut first = decide(first.0, first.1, now);
    let mut second = decide(second.0, second.1, now);
    if first.is_satisfied {
        second.lower();
    } else if second.is_satisfied {
        first.lower();
    }
    (first, second)
}

/// What a signer who counts says against the artifact weighs as the rule does, whatever another document says,
/// and whatever else is wrong in what was signed.
fn vetoes(candidate: &Candidate) -> Vec<(Digest, Fault)> {
    let said = |fault: &Fault| matches!(fault.code, Code::StmtFailed | Code::StmtPredicate);
    if candidate.signers.is_empty() || !candidate.faults.iter().all(said) {
        return Vec::new();
    }
    let failed = candidate.faults.iter().filter(|fault| fault.code == Code::StmtFailed);
    failed.map(|fault| (candidate.document, fault.clone())).collect()
}

/// Whether there are enough; if not, with the fault where one says more than that of the candidates.
///
/// That signers are too few is said of candidates that were all refused too: what stands against them may
/// be excepted, and one of them is still not as many as were asked for.
fn counted(rule: &Rule<'_>, accepted: &[Candidate], none: bool) -> Result<(), Option<Fault>> {
    let quorum = rule.count.quorum;
    if none || (accepted.is_empty() && quorum <= 1) {
        return Err(None);
    }
    if quorum <= 1 {
        return Ok(());
    }
    let pairs: BTreeSet<(&str, &str)> = accepted
        .iter()
        .flat_map(|candidate| &candidate.signers)
        .map(|signer| (signer.name.as_str(), signer.identity.as_str()))
        .collect();
    let count = distinct(&pairs);
    if count >= quorum {
        return Ok(());
    }
    let names: BTreeSet<String> = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = if names.is_empty() { "nobody".to_owned() } else { joined(&names) };
    let expected = format!("{quorum} distinct signers");
    Err(Some(Fault::new(rule.too_few, expected, format!("{count}: {names}"))))
}

/// How many pairs there are at most in which neither a signer nor an identity stands twice: a matching,
/// found by augmenting paths.
fn distinct(pairs: &BTreeSet<(&str, &str)>) -> usize {
    let mut of_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    pairs.iter().for_each(|(name, identity)| of_name.entry(name).or_default().push(identity));
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    let names: Vec<&str> = of_name.keys().copied().collect();
    names.iter().filter(|name| augment(name, &of_name, &mut taken, &mut BTreeSet::new())).count()
}

/// Finds an identity for a signer, moving others to other identities of theirs.
fn augment<'a>(
    name: &'a str,
    of_name: &BTreeMap<&'a str, Vec<&'a str>>,
    taken: &mut BTreeMap<&'a str, &'a str>,
    tried: &mut BTreeSet<&'a str>,
) -> bool {
    for identity in of_name.get(name).into_iter().flatten() {
        if !tried.insert(identity) {
            continue;
        }
        let holder = taken.get(identity).copied();
        if holder.is_none_or(|holder| augment(holder, of_name, taken, tried)) {
            taken.insert(identity, name);
            return true;
        }
    }
    false
}

/// A signature that is too old counts for nothing. A time that nobody vouches for is none. What a log or a
/// timestamp proves is that a signature is no younger: to an old one by a key a new stamp can be added at
/// any time, while a certificate is valid for minutes around its signature.
fn hold_to_age(rule: &Rule<'_>, candidate: &mut Candidate, now: &Moment) {
    let Some(age) = &rule.count.max_age else { return };
    // What is refused for another reason may have no signers to tell the age of.
    if candidate.signers.is_empty() && !candidate.faults.is_empty() {
        return;
    }
    let newest = candidate.signers.iter().filter(|s| !is_key(s)).filter_map(|s| s.signed_at).max();
    let by_key = candidate.signers.iter().any(is_key);
    let young = |signer: &SignedBy| signer.signed_at.is_some_and(|time| age.covers(time, now));
    candidate.signers.retain(|signer| !is_key(signer) && young(signer));
    if candidate.signers.is_empty() {
        let seen = match newest {
            Some(time) => format!("signed at {time}"),
            None if by_key => "signed by a key, to which a newer time can be added".to_owned(),
            None => "no authenticated signing time".to_owned(),
        };
        let expected = format!("signed within {} before the verdict", age.as_str());
        candidate.faults.push(Fault::new(rule.too_old, expected, seen));
    }
}

/// A key is known by its digest. A certificate that calls its holder so is taken for one, which is more strict.
fn is_key(signer: &SignedBy) -> bool {
    signer.identity.parse::<Digest>().is_ok()
}

pub(crate) fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}
