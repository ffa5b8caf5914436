//! The rule on the source track: of every commit that accepted provenance names, a source control system of
//! the policy has to say at which level its source was kept (SLSA v1.2, verifying-source.md). The commit binds
//! the summary to the provenance as a digest binds provenance to an artifact.

use std::collections::BTreeSet;

use bonded_model::slsa::normalise_repository;
use bonded_model::statement::{Statement, Subject};
use bonded_model::vsa::{Label, Summary};

use super::Held;
use super::bench::Bench;
use super::judge::{Candidate, Judge, Rule};
use crate::attestation::{Attestation, Purpose};
use crate::code::Code;
use crate::facts::Covering;
use crate::finding::{Fault, joined};
use crate::policy::{Count, Demand, SourceRule};
use crate::provenance::Commit;
use crate::verdict::{Role, SignedBy};
use crate::vsa;

const GIT_COMMIT: &str = "gitCommit";

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge<'_>) {
    let Some(source) = &bench.policy.source else { return };
    if held.demands.provenance.demand == Demand::Off {
        return;
    }
    let accepted = bench.provenance(held.at, judge);
    let commits: BTreeSet<&Commit> =
        accepted.flat_map(|(_, covering)| commits_of(&covering.attestation)).collect();
    if commits.is_empty() {
        let expected = "accepted provenance that names the commit";
        let fault = Fault::new(Code::SrcCommit, expected, "none");
        judge.find(source.demand.severity(), None, fault);
    }
    for commit in commits {
        let rule = Rule {
            role: Role::Source,
            name: None,
            demand: source.demand,
            count: &Count::default(),
            missing: Fault::new(Code::SrcMissing, format!("a summary of {}", commit.id), "none"),
            // One is enough, and how old it may be is held against the time that it states.
            too_few: Code::SrcMissing,
            too_old: Code::SrcAge,
        };
        judge.decide(&rule, candidates(bench, source, commit));
    }
}

fn commits_of(attestation: &Attestation) -> impl Iterator<Item = &Commit> {
    let assessed = match &attestation.purpose {
        Purpose::Provenance(assessed) => assessed.first(),
        _ => None,
    };
    assessed.into_iter().flat_map(|assessed| &assessed.commits)
}

/// Whether a statement is about commits alone, which no artifact's digest can be.
pub(super) fn is_of_commits(covering: &Covering) -> bool {
    let statement = covering.attestation.statement.as_ref();
    matches!(covering.attestation.purpose, Purpose::Summary(_))
        && statement.is_some_and(|made| made.subjects.iter().all(|s| commit_of(s).is_some()))
}

/// Whether any provenance names the commit, so that the rule tells what became of it.
pub(super) fn is_heard(bench: &Bench<'_>, covering: &Covering) -> bool {
    let names = |commit: &Commit| {
        let statement = covering.attestation.statement.as_ref();
        statement.is_some_and(|made| subject(made, commit).is_some())
    };
    bench.policy.source.is_some()
        && bench.lines().any(|(_, line)| commits_of(&line.attestation).any(names))
}

fn commit_of(subject: &Subject) -> Option<&str> {
    subject.digest.get(GIT_COMMIT)
}

fn subject<'a>(statement: &'a Statement, commit: &Commit) -> Option<&'a Subject> {
    statement.subjects.iter().find(|subject| commit_of(subject) == Some(&*commit.id))
}

fn candidates(bench: &Bench<'_>, source: &SourceRule, commit: &Commit) -> Vec<Candidate> {
    let candidates = bench.lines().filter_map(|(fact, covering)| {
        let attestation = &covering.attestation;
        if !matches!(attestation.purpose, Purpose::Summary(_)) {
            return None;
        }
        let subject = subject(attestation.statement.as_ref()?, commit)?;
        let mut faults = attestation.faults.clone();
        let mut signers = Vec::new();
        // A signer whom the policy does not know at all has been reported as such.
        if let (Some(summary), false) =
            (vsa::summary_of(attestation), attestation.signers.is_empty())
        {
            match weigh(bench, source, (summary, subject), commit, &attestation.signers) {
                Ok((speakers, found)) => {
                    signers = speakers;
                    faults.extend(found);
                }
                Err(fault) => faults.push(fault),
            }
        }
        Some(Candidate {
            document: fact.document.digest,
            signers,
            level: None,
            faults,
            heard_at: None,
        })
    });
    candidates.collect()
}

/// What stands against a summary of a commit by one who speaks for its source control system.
fn weigh(
    bench: &Bench<'_>,
    source: &SourceRule,
    (summary, subject): (&Summary, &Subject),
    commit: &Commit,
    signers: &[SignedBy],
) -> Result<(Vec<SignedBy>, Vec<Fault>), Fault> {
    let id = &summary.verifier.id;
    let Some(verifier) = source.verifiers.iter().find(|verifier| verifier.id == *id) else {
        let known: Vec<_> = source.verifiers.iter().map(|verifier| verifier.id.as_str()).collect();
        return Err(Fault::new(Code::SrcVerifier, known.join(" or "), id));
    };
    let speakers = vsa::speaking(bench.policy, id, &verifier.signers, signers);
    if speakers.is_empty() {
        let expected: Vec<_> = verifier.signers.iter().map(String::as_str).collect();
        let seen = joined(signers.iter().map(|signer| signer.name.as_str().into()));
        return Err(Fault::new(Code::SrcSigner, expected.join(" or "), seen));
    }
    // One that says FAILED says so of any ref, at any level and age.
    let speakers = match summary.failed() {
        true => speakers,
        false => vsa::contemporary(Code::SrcAge, summary, speakers)?,
    };
    let repository = normalise_repository(&summary.resource_uri);
    let other = (repository != commit.repository)
        .then(|| Fault::new(Code::SrcRepository, &commit.repository, repository));
    let mut faults: Vec<_> = other.into_iter().collect();
    if !summary.failed() {
        faults.extend(ref_fault(bench, source, subject));
        faults.extend(level_fault(source, verifier.level, summary));
        faults.extend(vsa::age_fault(Code::SrcAge, summary, &[source.max_age.as_ref()], bench.now));
    }
    Ok((speakers, faults))
}

/// The commit has to have been on the wanted ref.
fn ref_fault(bench: &Bench<'_>, source: &SourceRule, subject: &Subject) -> Option<Fault> {
    let version = &bench.inventory.release.name().version;
    let wanted = source.reference.as_ref()?.fill(Some(version))?;
    if subject.source_refs.contains(&wanted) {
        return None;
    }
    let seen = joined(subject.source_refs.iter().map(|found| found.as_str().into()));
    let seen = if seen.is_empty() { "no source refs".to_owned() } else { seen };
    Some(Fault::new(Code::SrcRef, wanted, seen))
}

fn level_fault(source: &SourceRule, trusted: u8, summary: &Summary) -> Option<Fault> {
    let level = summary.labels().find_map(|label| match label {
        Label::Level { track, level } if track == "SOURCE" => Some(level?.min(trusted)),
        _ => None,
    });
    if level.is_some_and(|level| level >= source.level) {
        return None;
    }
    let said = joined(summary.verified_levels.iter().map(|label| label.as_str().into()));
    let seen = format!("{said} by a verifier for level {trusted} at most");
    Some(Fault::new(Code::SrcLevel, format!("level {}", source.level), seen))
}

#[cfg(test)]
mod tests {
    use bonded_model::DocumentKind;
    use bonded_model::vsa::SUMMARY_V1;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Case, FILE, Key, SOURCE, provenance, statement};

    const SCS: &str = "https://example.com/scs";
    const COMMIT: &str = "0123456789012345678901234567890123456789";
    const OTHER: &str = "9876543210987654321098765432109876543210";

    /// A build of a commit, and with another among its materials where one is given.
    fn built(material: Option<&str>) -> Case {
        let build = |predicate: &mut Value| {
            let definition = &mut predicate["buildDefinition"];
            definition["externalParameters"]["source"]["digest"] = json!({"gitCommit": COMMIT});
            let found = material.map(|m| json!({"uri": SOURCE, "digest": {"sha1": m}}));
            definition["resolvedDependencies"] = json!(found.into_iter().collect::<Vec<_>>());
        };
        let mut case = Case::bare().with_second_key();
        let made = provenance(FILE, build).to_bytes();
        case.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(&made));
        case.edit("[\"key\", \"second\"]", "[\"key\"]");
        let verifiers = format!("[{{ id = \"{SCS}\", signers = [\"second\"], level = 3 }}]");
        let source = format!("[source]\nlevel = 3\nbranch = \"main\"\nverifiers = {verifiers}\n");
        case.edit("#sbom", &format!("{source}#sbom"));
        case
    }

    fn said(seed: u8, commit: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut predicate = json!({
            "verifier": {"id": SCS}, "resourceUri": SOURCE, "policy": {},
            "verificationResult": "PASSED", "verifiedLevels": ["SLSA_SOURCE_LEVEL_3"],
        });
        change(&mut predicate);
        let mut made = statement(FILE, SUMMARY_V1, &predicate);
        let subject = json!({
            "digest": {"gitCommit": commit}, "annotations": {"sourceRefs": ["refs/heads/main"]},
        });
        made.subjects = vec![serde_json::from_value(subject).unwrap()];
        Key::from_seed(seed).bundle(&made.to_bytes())
    }

    fn codes(case: Case) -> Vec<Code> {
        let verdict = case.verdict();
        let codes: Vec<_> = verdict.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(verdict.is_pass(), codes.is_empty(), "{verdict:?}");
        codes
    }

    fn with(mut case: Case, bundles: &[Vec<u8>]) -> Case {
        bundles.iter().for_each(|bundle| case.attach(DocumentKind::Bundle, bundle));
        case
    }

    #[test]
    fn every_commit_that_the_provenance_names_needs_a_summary() {
        let (one, other) = (said(2, COMMIT, |_| {}), said(2, OTHER, |_| {}));
        let good = with(built(None), std::slice::from_ref(&one));
        let verdict = good.clone().verdict();
        let roles: Vec<_> = verdict.artifacts()[0].accepted.iter().map(|a| a.role).collect();
        assert!(roles.contains(&Role::Source) && roles.contains(&Role::Provenance), "{roles:?}");
        assert_eq!(codes(good), []);
        assert_eq!(codes(with(built(Some(OTHER)), std::slice::from_ref(&one))), [Code::SrcMissing]);
        assert_eq!(codes(with(built(Some(OTHER)), &[one, other])), []);
    }

    #[test]
    fn a_source_control_system_is_heard_and_nobody_else() {
        let good = said(2, COMMIT, |_| {});
        let failed = |seed| said(seed, COMMIT, |s| s["verificationResult"] = json!("FAILED"));
        assert_eq!(codes(with(built(None), &[good.clone(), failed(2)])), [Code::StmtFailed]);
        assert!(with(built(None), &[good, failed(1)]).verdict().is_pass());
        assert_eq!(codes(with(built(None), &[said(3, COMMIT, |_| {})])), [Code::SigKey]);
        let build = said(2, COMMIT, |s| s["verifiedLevels"] = json!(["SLSA_BUILD_LEVEL_3"]));
        assert_eq!(codes(with(built(None), &[build])), [Code::SrcLevel]);
        let two = said(2, COMMIT, |s| {
            s["verifiedLevels"] = json!(["SLSA_SOURCE_LEVEL_3", "SLSA_SOURCE_LEVEL_4"]);
        });
        assert_eq!(codes(with(built(None), &[two])), [Code::StmtPredicate]);
    }

    #[test]
    fn no_commit_is_known_where_a_summary_stands_for_provenance() {
        let mut case = built(None);
        case.documents.clear();
        let verifier = format!("[[verifier]]\nid = \"{SCS}\"\nsigners = [\"second\"]\nlevel = 3\n");
        case.edit("#sbom", &format!("{verifier}resource = \"{SOURCE}\"\n"));
        let predicate = json!({
            "verifier": {"id": SCS}, "resourceUri": SOURCE, "policy": {},
            "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
        });
        let made = statement(FILE, SUMMARY_V1, &predicate).to_bytes();
        let case = with(case, &[Key::from_seed(2).bundle(&made)]);
        assert_eq!(codes(case), [Code::SrcCommit]);
    }
}
