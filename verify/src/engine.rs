//! The verdict on a release: facts gathered in parallel, rules applied to each artifact, findings
//! put in canonical order.
//!
//! For each artifact a rule has candidates. As many accepted ones as the rule asks for satisfy it, and
//! what stands against the others is noted; with fewer, everything that stands against them counts, and
//! only an artifact without any candidate lacks the document altogether.
//!
//! A rule is one module here and one line in [`ARTIFACT_RULES`] or [`RELEASE_RULES`].

mod bench;
mod checksums;
mod condition;
mod documents;
pub(crate) mod judge;
#[cfg(feature = "in-toto")]
mod layout;
mod npm;
mod provenance;
mod release;
mod require;
mod sbom;
mod source;
mod stored;
mod vsa;

use bonded_model::limits::DOCUMENT_COUNT_MAX;
use bonded_model::{Artifact, Evidence, Timestamp};
use rayon::prelude::*;

use crate::attestation::Frame;
use crate::code::Code;
use crate::facts::{self, Inventory};
use crate::finding::{Fault, Finding, Severity};
use crate::moment::Moment;
use crate::policy::{Demands, DemandsAt, Policy, Sight, exception};
use crate::provenance::Dependencies;
use crate::signature::Verifier;
use crate::sums;
use crate::verdict::{About, ArtifactVerdict, Grounds, Verdict};
use bench::Bench;
use judge::Judge;

pub use stored::verify_summary;

/// An artifact with what the policy demands of it.
struct Held<'a> {
    /// Its index in the release.
    at: usize,
    artifact: &'a Artifact,
    demands: &'a Demands,
    under: DemandsAt,
}

/// The rules over one artifact.
const ARTIFACT_RULES: &[fn(&Bench<'_>, &Held<'_>, &mut Judge)] = &[
    provenance::decide,
    source::decide,
    sbom::decide,
    checksums::decide,
    require::decide,
    npm::decide,
    #[cfg(feature = "in-toto")]
    layout::decide,
    condition::decide,
];

/// The rules over the release and its documents as a whole.
const RELEASE_RULES: &[fn(&Bench<'_>) -> Vec<Finding>] = &[
    documents::findings,
    vsa::findings,
    checksums::findings,
    release::set_findings,
    release::platform_findings,
    require::findings,
    #[cfg(feature = "in-toto")]
    layout::findings,
    condition::findings,
];

/// Reaches the verdict on a release: a pure function of its arguments.
pub fn verify_release(
    verifier: &Verifier,
    policy: &Policy,
    evidence: &Evidence,
    now: Timestamp,
) -> Verdict {
    let release = &evidence.release;
    let moment = Moment::new(now);
    let about = About::Release { name: release.name().clone(), digest: release.digest() };
    let version = Some(&release.name().version);
    let frame = Frame::new(verifier, policy, version, &moment);
    let inventory = Inventory::new(release);
    let facts = match evidence.documents.len() {
        0..=DOCUMENT_COUNT_MAX => facts::gather(&frame, evidence, &inventory),
        _ => Vec::new(),
    };
    let sums = sums::check(&evidence.documents, &facts, &inventory);
    let heard = bench::heard(&facts, &inventory);
    let (facts, heard, inventory) = (&*facts, &*heard, &inventory);
    let asking = condition::Asking::of(policy, inventory, &moment);
    let bench = Bench {
        policy,
        facts,
        heard,
        inventory,
        sums: &sums,
        asking: asking.as_ref(),
        #[cfg(feature = "in-toto")]
        layouts: &crate::layout::gather(policy, facts, &moment),
        now: &moment,
    };
    let judged: Vec<_> = (0..release.artifacts().len())
        .into_par_iter()
        .filter_map(|at| Some(judge_artifact(&bench, at, release.artifacts().get(at)?)))
        .collect();
    let dependencies = Dependencies::count(judged.iter().flat_map(|(_, _, used)| used));
    let (mut artifacts, mut findings) = (Vec::new(), Vec::new());
    judged.into_iter().for_each(|(artifact, found, _)| {
        artifacts.push(artifact);
        findings.extend(found);
    });
    findings.extend(RELEASE_RULES.iter().flat_map(|rule| rule(&bench)));
    findings.extend(too_many(&bench, evidence.documents.len()));
    exception::apply(&policy.exceptions, &mut findings, &release.name().version, &moment);
    let own = vsa::own(&bench);
    let documents = evidence.documents.iter().map(|document| document.digest).collect();
    let grounds = Grounds {
        policy: policy.digest(),
        trust_root: verifier.trust_root_digest(),
        evidence: evidence.digest(),
        basis: evidence.digest_of(|document| !vsa::is_among(&own, document)),
        now,
        lasts: moment.interval(),
    };
    Verdict::new(about, grounds, artifacts, documents, findings).with_dependencies(dependencies)
}

/// What is found out about an artifact, with the dependencies of the builds that made it.
fn judge_artifact(
    bench: &Bench<'_>,
    at: usize,
    artifact: &Artifact,
) -> (ArtifactVerdict, Vec<Finding>, Vec<Dependencies>) {
    let mut judge = Judge::new(artifact, bench.now);
    let mut used = Vec::new();
    match bench.policy.demands_for(&Sight::of(artifact)) {
        Some((under, demands)) => {
            let held = Held { at, artifact, demands, under };
            ARTIFACT_RULES.iter().for_each(|rule| rule(bench, &held, &mut judge));
            let accepted = bench.provenance(at, &judge);
            let assessed = accepted.filter_map(|(_, line)| line.attestation.assessed(under));
            used.extend(assessed.map(|assessed| assessed.dependencies.clone()));
        }
        None => judge.find(Severity::Fail, None, unknown()),
    }
    let (verdict, findings) = judge.finish();
    let verdict = ArtifactVerdict { dependencies: Dependencies::count(used.iter()), ..verdict };
    (verdict, findings, used)
}

/// Demands are chosen by kind and platform, and nobody has looked.
fn unknown() -> Fault {
    Fault::new(Code::RelUnknown, "kind and platform of the artifact", "nobody has looked")
}

fn too_many(bench: &Bench<'_>, document_count: usize) -> Option<Finding> {
    let expected = format!("at most {DOCUMENT_COUNT_MAX} documents");
    let fault = Fault::new(Code::RelLimit, expected, document_count.to_string());
    (document_count > DOCUMENT_COUNT_MAX).then(|| bench.finding(None, None, Severity::Fail, fault))
}

#[cfg(test)]
mod tests;
