//! The rules over one SLSA provenance: builder, level, source, ref, build type, parameters, and the
//! certificate's own claims. Which artifacts it is about is asked elsewhere.

mod expect;
mod stated;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeSet;
use std::sync::Arc;

use bonded_model::slsa::{
    PROVENANCE_V0_1, PROVENANCE_V0_2, PROVENANCE_V1, Provenance, ProvenanceError, Source,
    SourceRole, normalise_repository,
};
use bonded_model::statement::Statement;

use crate::attestation::Frame;
use crate::code::Code;
use crate::finding::Fault;
use crate::identity::{Claim, GITHUB_ISSUER, Holder};
use crate::policy::{Pinned, ProvenanceRule};
use crate::verdict::SignedBy;

pub(crate) use expect::{Dependency, Expect, Wanted};
pub(crate) use version::VersionRange;

/// What stands behind a provenance.
#[derive(Debug)]
pub(crate) enum Vouched<'a> {
    /// Signatures that hold: the holder of the certificate, if there is one, and the policy's signers.
    Signed { holder: Option<&'a Holder>, signers: &'a [SignedBy] },
    /// The checksum of the document in the policy.
    Pinned(&'a Pinned),
}

/// What the rules made of a provenance.
#[derive(Debug, Default)]
pub(crate) struct Assessed {
    pub(crate) level: Option<u8>,
    /// The signers who speak for the builder.
    pub(crate) speakers: BTreeSet<String>,
    /// The commits that the build started from.
    pub(crate) commits: BTreeSet<Commit>,
    /// What the build is said to have used beside its source.
    pub(crate) dependencies: Dependencies,
    pub(crate) faults: Vec<Fault>,
}

/// Dependencies of builds, each once, by URI and digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependencies(Arc<BTreeSet<String>>);

impl Dependencies {
    fn of(sources: &[Source]) -> Self {
        let text = |source: &Source| {
            let digests = source.digest.iter().map(|(name, hex)| format!(" {name}:{hex}"));
            source.uri.clone() + &digests.collect::<String>()
        };
        Self(Arc::new(beside_source(sources).map(text).collect()))
    }

    /// How many there are in all of these together; `None` where none is named, which is not known to mean that
    /// there is none.
    pub(crate) fn count<'a>(all: impl Iterator<Item = &'a Self>) -> Option<u64> {
        let mut all: Vec<_> = all.map(|Self(one)| one).collect();
        // One provenance covers many artifacts.
        all.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let distinct: BTreeSet<&String> = all.into_iter().flat_map(|one| one.iter()).collect();
        u64::try_from(distinct.len()).ok().filter(|count| *count > 0) // no set is larger
    }
}

/// A commit in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Commit {
    /// Normalised.
    pub(crate) repository: String,
    /// As hex.
    pub(crate) id: String,
}

impl Assessed {
    fn refused(fault: Fault) -> Self {
        Self { faults: vec![fault], ..Self::default() }
    }
}

/// Every predicate type under this prefix is taken for provenance, so that an unknown version is
/// refused by name; only the three exact ones are ever accepted.
const FAMILY: &str = "https://slsa.dev/provenance/";

pub(crate) fn is_type(predicate_type: &str) -> bool {
    predicate_type.starts_with(FAMILY)
}

/// Applies every rule under each of the policy's demands; none stops another. What cannot be read has one
/// fault, whatever is demanded.
pub(crate) fn assess(
    frame: &Frame<'_>,
    statement: &Statement,
    vouched: &Vouched<'_>,
) -> Result<Vec<Assessed>, Fault> {
    let provenance = Provenance::parse(statement).map_err(|error| parse_fault(&error))?;
    let holder = match vouched {
        Vouched::Signed { holder, .. } => *holder,
        Vouched::Pinned(_) => None,
    };
    let claims = |holder| [claim_faults(holder, &provenance), stated::faults(holder, &provenance)];
    let claims: Vec<_> = holder.into_iter().flat_map(claims).flatten().collect();
    let dependencies = Dependencies::of(&provenance.sources);
    let under = |rule| {
        let mut assessed = match vouched {
            Vouched::Signed { signers, .. } => builder(frame, rule, &provenance, signers),
            Vouched::Pinned(pinned) => pinned_builder(rule, &provenance, pinned),
        };
        assessed.faults.extend(expectation_faults(frame, rule, &provenance));
        assessed.faults.extend(rule.expect.faults(frame, holder, &provenance));
        assessed.faults.extend(claims.iter().cloned());
        assessed.commits = commits(&provenance.sources);
        assessed.dependencies = dependencies.clone();
        assessed
    };
    Ok(frame.policy.all_demands().map(|demands| under(&demands.provenance)).collect())
}

/// What the rule expects of source, ref, build type and parameters.
fn expectation_faults(
    frame: &Frame<'_>,
    rule: &ProvenanceRule,
    provenance: &Provenance,
) -> Vec<Fault> {
    let filled = rule.reference.as_ref().map(|template| {
        template.fill(frame.version).ok_or_else(|| {
            Fault::new(Code::ProvRef, template.as_str(), "no version was given to fill it in")
        })
    });
    let (reference, unfilled) = match filled {
        Some(Ok(reference)) => (Some(reference), None),
        Some(Err(fault)) => (None, Some(fault)),
        None => (None, None),
    };
    let mut faults: Vec<_> = unfilled.into_iter().collect();
    faults.extend(source_faults(rule, reference.as_deref(), &provenance.sources));
    faults.extend(shape_faults(rule, provenance));
    faults
}

fn parse_fault(error: &ProvenanceError) -> Fault {
    match error {
        ProvenanceError::PredicateType { found } => {
            let expected = [PROVENANCE_V1, PROVENANCE_V0_2, PROVENANCE_V0_1].join(" or ");
            Fault::new(Code::ProvPredicate, expected, found)
        }
        _ => Fault::of_error(Code::ProvMalformed, "a provenance predicate", error),
    }
}

/// The builder must be in the policy, and be one that the signer speaks for. The level is the
/// policy's; what the document says of levels is not read.
///
/// The builder's id stands in the predicate, which any holder of a matching certificate may have
/// written by hand. A signer who is given exactly is vouched for by the policy's author; one who is
/// given by a pattern is one of many, and speaks only for the builder that it is itself.
fn builder(
    frame: &Frame<'_>,
    rule: &ProvenanceRule,
    provenance: &Provenance,
    signers: &[SignedBy],
) -> Assessed {
    let id = &provenance.builder_id;
    let Some(builder) = frame.policy.builder(id) else {
        let known: Vec<_> = frame.policy.builders.iter().map(|b| b.id.as_str()).collect();
        let expected = if known.is_empty() { "a builder".to_owned() } else { known.join(" or ") };
        return Assessed::refused(Fault::new(Code::ProvBuilder, expected, id));
    };
    let mut faults = Vec::new();
    let listed: Vec<_> = signers.iter().filter(|s| builder.signers.contains(&s.name)).collect();
    let speaks =
        |signer: &&&SignedBy| !frame.policy.is_pattern(&signer.name) || signer.identity == *id;
    let speakers: BTreeSet<_> = listed.iter().filter(speaks).map(|s| s.name.clone()).collect();
    // A signer whom the policy does not know at all has been reported as such.
    if speakers.is_empty() && !signers.is_empty() {
        let (expected, seen) = match listed.first() {
            Some(signer) => (format!("{id}, as it says"), signer.identity.clone()),
            None => {
                let expected: Vec<_> = builder.signers.iter().map(String::as_str).collect();
                let seen: Vec<_> = signers.iter().map(|signer| signer.name.as_str()).collect();
                (expected.join(" or "), seen.join(", "))
            }
        };
        faults.push(Fault::new(Code::ProvSigner, expected, seen));
    }
    let wanted = rule.level;
    if builder.level < wanted {
        let seen = format!("level {} for {id}", builder.level);
        faults.push(Fault::new(Code::ProvLevel, format!("level {wanted}"), seen));
    }
    Assessed { level: Some(builder.level), speakers, faults, ..Assessed::default() }
}

/// The builder of a provenance without a signature is the one that the policy states for its checksum.
fn pinned_builder(rule: &ProvenanceRule, provenance: &Provenance, pinned: &Pinned) -> Assessed {
    let id = &provenance.builder_id;
    if *id != pinned.builder {
        return Assessed::refused(Fault::new(Code::ProvBuilder, &pinned.builder, id));
    }
    let low = pinned.level < rule.level;
    let faults = low.then(|| {
        let seen = format!("level {} for an unsigned document", pinned.level);
        Fault::new(Code::ProvLevel, format!("level {}", rule.level), seen)
    });
    let (level, speakers) = (Some(pinned.level), BTreeSet::new());
    Assessed { level, speakers, faults: faults.into_iter().collect(), ..Assessed::default() }
}

/// Materials that are not the source that started the build.
fn beside_source(sources: &[Source]) -> impl Iterator<Item = &Source> {
    let started: Vec<_> = triggers(sources).map(Source::repository_and_ref).collect();
    let materials = sources.iter().filter(|source| source.role == SourceRole::Material);
    materials.filter(move |material| !started.contains(&material.repository_and_ref()))
}

fn triggers(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.role == SourceRole::Trigger)
}

/// What started the build must be the wanted source at the wanted ref, and no material may be the
/// same repository at another ref.
fn source_faults(rule: &ProvenanceRule, reference: Option<&str>, sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let no_trigger = triggers(sources).next().is_none();
    if let Some(wanted) = &rule.source {
        let seen: Vec<_> = triggers(sources).map(|source| source.repository_and_ref().0).collect();
        let wrong = seen.iter().filter(|seen| *seen != wanted);
        faults.extend(wrong.map(|seen| Fault::new(Code::ProvSource, wanted, seen)));
        faults.extend(no_trigger.then(|| Fault::new(Code::ProvSource, wanted, "no source")));
    }
    if let Some(wanted) = reference {
        let seen = triggers(sources).map(|s| s.repository_and_ref().1.unwrap_or("no ref"));
        let wrong = seen.filter(|seen| *seen != wanted);
        faults.extend(wrong.map(|seen| Fault::new(Code::ProvRef, wanted, seen)));
        faults.extend(no_trigger.then(|| Fault::new(Code::ProvRef, wanted, "no source")));
    }
    faults.extend(material_faults(sources));
    faults
}

/// The commits of what started the build, and of the materials that are the same repository: whoever leaves
/// one out, or writes another beside it, names both.
fn commits(sources: &[Source]) -> BTreeSet<Commit> {
    let started: BTreeSet<_> = triggers(sources).map(|s| s.repository_and_ref().0).collect();
    let named = sources.iter().flat_map(|source| {
        let repository = source.repository_and_ref().0;
        let ids = ["gitCommit", "sha1"].iter().filter_map(|name| source.digest.get(name));
        let ids = ids.filter(|_| started.contains(&repository)).map(str::to_owned);
        ids.map(|id| Commit { repository: repository.clone(), id }).collect::<Vec<_>>()
    });
    named.filter(|commit| is_commit_id(&commit.id)).collect()
}

/// SHA-1 or SHA-256, as git writes them.
fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn material_faults(sources: &[Source]) -> Vec<Fault> {
    let Some((repository, reference)) = triggers(sources).next().map(Source::repository_and_ref)
    else {
        return Vec::new();
    };
    let materials = sources.iter().filter(|source| source.role == SourceRole::Material);
    materials
        .map(Source::repository_and_ref)
        .filter(|(mine, at)| *mine == repository && at.is_some() && *at != reference)
        .map(|(_, at)| {
            let expected = reference.unwrap_or("no ref");
            let seen = format!("{} among the materials", at.unwrap_or("no ref"));
            Fault::new(Code::ProvRef, expected, seen)
        })
        .collect()
}

/// A certificate may say from which repository, ref and commit the workflow ran. The predicate is
/// written by the workflow and must say the same of what started the build, and of every material
/// that is the certified repository, at the certified ref or at none that it names.
fn claim_faults(holder: &Holder, provenance: &Provenance) -> Vec<Fault> {
    let certified = Certified::of(holder);
    let mut faults = Vec::new();
    for trigger in triggers(&provenance.sources) {
        let (repository, reference) = trigger.repository_and_ref();
        faults.extend(differs(certified.repository.as_deref(), &repository));
        faults.extend(differs(certified.reference, reference.unwrap_or("no ref")));
        faults.extend(certified.commit_faults(trigger));
    }
    let materials = provenance.sources.iter().filter(|s| s.role == SourceRole::Material);
    let same: Vec<_> = materials.filter(|s| certified.may_be(s)).collect();
    let named = same.iter().any(|source| certified.is_source(source));
    if triggers(&provenance.sources).next().is_none() && !named {
        faults.extend(differs(certified.repository.as_deref(), "the provenance names no source"));
    }
    faults.extend(same.into_iter().flat_map(|source| certified.commit_faults(source)));
    faults
}

/// What a certificate says of the source.
struct Certified<'a> {
    /// Normalised.
    repository: Option<String>,
    reference: Option<&'a str>,
    commit: Option<&'a str>,
}

impl<'a> Certified<'a> {
    /// The claims that are there, whoever the issuer is; GitHub makes them all for every workflow.
    fn of(holder: &'a Holder) -> Self {
        let always = (holder.issuer == GITHUB_ISSUER).then_some("no claim");
        let claim = |claim| holder.claims.get(&claim).map(String::as_str).or(always);
        Self {
            repository: claim(Claim::SourceRepository).map(normalise_repository),
            reference: claim(Claim::SourceRepositoryRef),
            commit: claim(Claim::SourceRepositoryDigest),
        }
    }

    /// Whether a source is the certified repository at the certified ref.
    fn is_source(&self, source: &Source) -> bool {
        let (repository, reference) = source.repository_and_ref();
        self.repository.as_ref() == Some(&repository) && self.reference == reference
    }

    /// The same, or the certified repository at a ref that is not said: what leaves the ref out must not
    /// get another commit past.
    fn may_be(&self, source: &Source) -> bool {
        let (repository, reference) = source.repository_and_ref();
        self.repository.as_ref() == Some(&repository)
            && (reference.is_none() || self.reference == reference)
    }

    fn commit_faults(&self, source: &Source) -> Vec<Fault> {
        let commits = ["gitCommit", "sha1"].iter().filter_map(|name| source.digest.get(name));
        commits.filter_map(|commit| differs(self.commit, commit)).collect()
    }
}

fn differs(certified: Option<&str>, stated: &str) -> Option<Fault> {
    let certified = certified.filter(|certified| *certified != stated)?;
    Some(Fault::new(Code::ProvClaims, format!("{certified}, as certified"), stated))
}

fn shape_faults(rule: &ProvenanceRule, provenance: &Provenance) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(allowed) = &rule.build_types
        && !allowed.contains(&provenance.build_type)
    {
        let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
        let expected = allowed.join(" or ");
        faults.push(Fault::new(Code::ProvBuildType, expected, &provenance.build_type));
    }
    if let Some(allowed) = &rule.parameters {
        let names = provenance.external_parameters.keys().chain(provenance.event_inputs.keys());
        let unknown: BTreeSet<_> = names.filter(|name| !allowed.contains(*name)).collect();
        let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
        let expected = format!("only {}", allowed.join(", "));
        faults.extend(
            unknown.into_iter().map(|name| Fault::new(Code::ProvParameter, &expected, name)),
        );
    }
    faults
}
