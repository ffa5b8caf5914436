//! The rule that an artifact needs an SBOM.

use bonded_model::Digest;
use bonded_model::sbom::SbomView;

use super::Held;
use super::bench::Bench;
use super::judge::{Candidate, Judge, Rule, joined};
use crate::attestation::{Attestation, Purpose};
use crate::code::Code;
use crate::facts::{Reading, digests_of};
use crate::finding::Fault;
use crate::policy::SbomRule;
use crate::sbom;
use crate::verdict::{Role, SignedBy};

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let rule = &held.demands.sbom;
    let rule = Rule {
        role: Role::Sbom,
        name: None,
        demand: rule.demand,
        count: &rule.count,
        missing: Fault::new(Code::SbomMissing, "an SBOM that names the file's digest", "none"),
        too_few: Code::SbomQuorum,
        too_old: Code::SbomAge,
    };
    let digests = &*digests_of(held.artifact);
    let candidates = wrapped(bench, held, digests).into_iter().chain(plain(bench, held, digests));
    judge.decide(&rule, candidates.collect());
}

/// An SBOM of an image describes what is in its layers, and few producers write down the digest of the
/// manifest above them. So there the subjects of an attestation are what binds it; a document without
/// an attestation has to name the digest, as for files.
fn wrapped(bench: &Bench<'_>, held: &Held<'_>, digests: &[Digest]) -> Vec<Candidate> {
    let rule = &held.demands.sbom;
    let wrapped = bench.heard(held.at).filter_map(|(fact, covering)| {
        let attestation = &covering.attestation;
        let Purpose::Sbom(view) = &attestation.purpose else { return None };
        let mut faults = attestation.faults.clone();
        faults.extend(bench.subject_fault(covering, held.at, Code::SbomSubject));
        faults.extend(view.iter().flat_map(|view| match held.artifact.is_image() {
            true => sbom::format_fault(rule, view).into_iter().collect(),
            false => content_faults(rule, view, digests),
        }));
        faults.extend(signer_fault(rule, attestation));
        let signers = wanted_signers(rule, attestation);
        Some(Candidate {
            document: fact.document.digest,
            signers,
            level: None,
            faults,
            heard_at: None,
        })
    });
    wrapped.collect()
}

fn plain(bench: &Bench<'_>, held: &Held<'_>, digests: &[Digest]) -> Vec<Candidate> {
    let rule = &held.demands.sbom;
    let plain =
        bench.facts.iter().filter_map(|fact| {
            let Reading::Sbom(read) = &fact.reading else { return None };
            let attached = fact.attachments.to_artifacts.contains(&held.at);
            let of_release =
                fact.attachments.to_release && read.as_ref().is_ok_and(|view| view.names(digests));
            if !attached && !of_release {
                return None;
            }
            let mut faults = match read {
                Ok(view) => content_faults(rule, view, digests),
                Err(fault) => vec![fault.clone()],
            };
            faults.extend(rule.signers.as_ref().map(|signers| {
                Fault::new(Code::SbomSigner, joined(signers), "an unsigned document")
            }));
            let document = fact.document.digest;
            Some(Candidate { document, signers: Vec::new(), level: None, faults, heard_at: None })
        });
    plain.collect()
}

fn content_faults(rule: &SbomRule, view: &SbomView, digests: &[Digest]) -> Vec<Fault> {
    let named = view.names(digests);
    let mine = digests.first().map_or_else(String::new, ToString::to_string);
    let seen = || format!("{} other digests in the document", view.digests.len());
    let subject = (!named).then(|| Fault::new(Code::SbomSubject, mine, seen()));
    sbom::format_fault(rule, view).into_iter().chain(subject).collect()
}

fn signer_fault(rule: &SbomRule, attestation: &Attestation) -> Option<Fault> {
    let wanted = rule.signers.as_ref()?;
    // A signer whom the policy does not know at all has been reported as such.
    (wanted_signers(rule, attestation).is_empty() && !attestation.signers.is_empty()).then(|| {
        let seen: Vec<_> = attestation.signers.iter().map(|s| s.name.as_str()).collect();
        Fault::new(Code::SbomSigner, joined(wanted), seen.join(", "))
    })
}

/// The signers that count: those that the rule names, if it names any.
fn wanted_signers(rule: &SbomRule, attestation: &Attestation) -> Vec<SignedBy> {
    let wanted = rule.signers.as_ref();
    let named = |signer: &&SignedBy| wanted.is_none_or(|wanted| wanted.contains(&signer.name));
    attestation.signers.iter().filter(named).cloned().collect()
}
