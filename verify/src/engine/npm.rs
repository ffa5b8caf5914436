//! The rule over npm packages: provenance says how a package was built, and the registry's publish
//! attestation that this build is what it released under that name and version. Each without the other
//! leaves a gap, so both are needed and have to name the same package by the same digest.

use bonded_model::predicate::npm::NPM_PUBLISH_V0_1;
use bonded_model::predicate::{Predicate, npm::NpmPublish};
use bonded_model::statement::{DigestMatch, Statement};

use super::Held;
use super::bench::Bench;
use super::judge::{Candidate, Judge, Rule, joined};
use crate::code::Code;
use crate::facts::{Covering, Fact, digests_of};
use crate::finding::Fault;
use crate::policy::{Count, NpmRule};
use crate::verdict::Role;

pub(super) fn decide(bench: &Bench<'_>, held: &Held<'_>, judge: &mut Judge) {
    let Some(npm) = bench.policy.npm.as_ref().filter(|_| !held.artifact.is_image()) else { return };
    let rule = Rule {
        role: Role::Required,
        name: None,
        demand: npm.demand,
        count: &Count::default(),
        missing: Fault::new(Code::NpmMissing, "the registry's publish attestation", "none"),
        // One is enough, at any age.
        too_few: Code::NpmMissing,
        too_old: Code::NpmMissing,
    };
    let accepted: Vec<_> = bench.provenance(held.at, judge).copied().collect();
    let publish = bench.heard(held.at).filter(|(_, covering)| is_publish(covering));
    let candidates = publish.map(|(fact, covering)| {
        let attestation = &covering.attestation;
        let mut signers = attestation.signers.clone();
        signers.retain(|signer| npm.signers.contains(&signer.name));
        let mut faults = attestation.faults.clone();
        // A signer whom the policy does not know at all has been reported as such.
        if signers.is_empty() && !attestation.signers.is_empty() {
            let seen: Vec<_> = attestation.signers.iter().map(|s| s.name.as_str()).collect();
            faults.push(Fault::new(Code::NpmSigner, joined(&npm.signers), seen.join(", ")));
        }
        faults.extend(bench.subject_fault(covering, held.at, Code::NpmSubject));
        if let Some(publish) = attestation.statement.as_ref().and_then(published) {
            faults.extend(package_fault(bench, npm, &publish));
            faults.extend(pair_fault(held, &accepted, &publish));
        }
        Candidate { document: fact.document.digest, signers, level: None, faults, heard_at: None }
    });
    judge.decide(&rule, candidates.collect());
}

pub(super) fn is_publish(covering: &Covering) -> bool {
    let statement = covering.attestation.statement.as_ref();
    statement.is_some_and(|statement| statement.predicate_type == NPM_PUBLISH_V0_1)
}

/// One that cannot be read has its fault already.
fn published(statement: &Statement) -> Option<NpmPublish> {
    match Predicate::parse(statement) {
        Ok(Some(Predicate::NpmPublish(publish))) => Some(publish),
        _ => None,
    }
}

fn package_fault(bench: &Bench<'_>, npm: &NpmRule, publish: &NpmPublish) -> Option<Fault> {
    let version = &bench.inventory.release.name().version;
    let wanted = NpmPublish {
        name: npm.package.clone(),
        version: npm.version.fill(Some(version)).unwrap_or_default(),
        registry: npm.registry.clone(),
    };
    let told = |publish: &NpmPublish| format!("{} at {}", publish.purl(), publish.registry);
    (wanted != *publish).then(|| Fault::new(Code::NpmPackage, told(&wanted), told(publish)))
}

/// A provenance that the rule on provenance accepted must name the artifact as the publish attestation does. A
/// summary that satisfied that rule in its place names no package.
fn pair_fault(
    held: &Held<'_>,
    accepted: &[(&Fact<'_>, &Covering)],
    publish: &NpmPublish,
) -> Option<Fault> {
    let (purl, digests) = (publish.purl(), digests_of(held.artifact));
    let mut seen = Vec::new();
    for (_, covering) in accepted {
        let Some(statement) = &covering.attestation.statement else { continue };
        let about = |s: &&bonded_model::statement::Subject| {
            s.digest.matches(&digests) == DigestMatch::Agrees
        };
        let names: Vec<_> =
            statement.subjects.iter().filter(about).map(|s| s.name.as_str()).collect();
        if !names.is_empty() && names.iter().all(|name| *name == purl) {
            return None;
        }
        seen.extend(names);
    }
    let seen = if seen.is_empty() { "no accepted provenance".to_owned() } else { seen.join(", ") };
    Some(Fault::new(Code::NpmPair, format!("provenance of {purl}"), seen))
}

#[cfg(test)]
mod tests {
    use crate::policy::{Policy, PolicyError};
    use crate::testing::Case;

    const GOOD: &str = "[npm]\npackage = \"@s/p\"\nsigners = [\"key\"]\n";

    fn parse(npm: &str) -> Result<Policy, PolicyError> {
        let mut case = Case::bare();
        case.edit("#sbom", npm);
        Policy::parse(&case.policy)
    }

    #[test]
    fn a_package_needs_a_name_and_somebody_who_speaks_for_the_registry() {
        let npm = parse(GOOD).unwrap().npm.unwrap();
        assert_eq!(
            (npm.version.as_str(), npm.registry.as_str()),
            ("{version}", "https://registry.npmjs.org")
        );
        for empty in ["package = \"\"", "version = \"\"", "registry = \"\""] {
            let (key, _) = empty.split_once(' ').unwrap();
            let kept: String = GOOD
                .lines()
                .filter(|line| !line.starts_with(key))
                .map(|l| format!("{l}\n"))
                .collect();
            let found = parse(&format!("{kept}{empty}\n"));
            assert!(matches!(found, Err(PolicyError::Unclear { .. })), "{empty}");
        }
        for missing in ["package = \"@s/p\"\n", "signers = [\"key\"]\n"] {
            assert!(
                matches!(parse(&GOOD.replace(missing, "")), Err(PolicyError::Toml(_))),
                "{missing}"
            );
        }
        let stranger = parse(&GOOD.replace("\"key\"", "\"kay\""));
        assert!(matches!(stranger, Err(PolicyError::UnknownSigner { .. })));
        let nobody = parse(&GOOD.replace("[\"key\"]", "[]"));
        assert!(matches!(nobody, Err(PolicyError::EmptyList { .. })));
    }

    #[test]
    fn who_speaks_for_the_registry_is_not_idle_and_is_told() {
        let mut case = Case::bare().with_second_key();
        case.edit("[\"key\", \"second\"]", "[\"key\"]");
        case.edit("#sbom", &GOOD.replace("\"key\"", "\"second\""));
        let policy = Policy::parse(&case.policy).unwrap();
        assert!(policy.check(None).iter().all(|note| !note.text.contains("named by no")));
        let told = policy.explain(&case.evidence().release).join("\n");
        assert!(
            told.contains("npm package @s/p v1 at https://registry.npmjs.org (require)"),
            "{told}"
        );
    }

    #[test]
    fn a_project_keeps_the_package_of_its_base() {
        let mut case = Case::bare();
        case.edit("#sbom", GOOD);
        let head = "version = 1\nname = \"project\"\nbase = \"base.toml\"\n";
        let over = |npm: &str| Policy::parse_over(&format!("{head}{npm}"), &case.policy);
        assert_eq!(over("").unwrap().npm.unwrap().package, "@s/p");
        assert!(over(GOOD).is_ok());
        for wider in [
            GOOD.replace("@s/p", "@s/q"),
            format!("{GOOD}rule = \"warn\"\n"),
            format!("{GOOD}registry = \"https://npm.example.com\"\n"),
        ] {
            assert!(matches!(over(&wider), Err(PolicyError::Widens { .. })), "{wider}");
        }
    }
}
