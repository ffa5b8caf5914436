//! A policy told in sentences: what it would demand of a release.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::{Artifact, Release};

use super::exception::Exception;
use super::rule::{ANY, Count, Demand, Demands, ProvenanceRule, SbomRule, Template};
use super::scope::Selector;
use super::verifier::ResourceTemplate;
use super::{
    Condition, DemandsAt, Of, Policy, Requirement, Selected, Sight, SourceRule, VerifierRule,
};
use crate::identity::{LogRule, SignerRule, Who};
use crate::pattern::Pattern;
use crate::sbom;

impl Policy {
    /// What the policy demands of each artifact of a release, one sentence a line; artifacts of which the
    /// same is demanded stand together.
    pub fn explain(&self, release: &Release) -> Vec<String> {
        let count = release.artifacts().len();
        let mut lines = vec![format!(
            "policy {} holds {count} artifact{} of {} to this:",
            self.name,
            if count == 1 { "" } else { "s" },
            release.name()
        )];
        for (group, artifacts) in self.groups(release) {
            lines.extend(self.explain_group(&group, &artifacts, release));
        }
        lines.extend(self.explain_release(release));
        lines.extend(self.signers.iter().map(explain_signer));
        lines.extend(self.npm.iter().map(|npm| {
            format!(
                "each file: the publish attestation of npm package {} {} at {} ({}), signed by {}",
                npm.package,
                npm.version.fill(Some(&release.name().version)).unwrap_or_default(),
                npm.registry,
                npm.demand.name(),
                listed(Some(&npm.signers), ANY)
            )
        }));
        lines.extend(self.verifiers.iter().flat_map(|rule| explain_verifier(rule, release)));
        let layout = self.layout.as_ref();
        lines.extend(
            layout.map(|rule| format!("the release: {} ({})", rule.told(), rule.demand.name())),
        );
        lines.extend(self.unsigned.iter().map(|pinned| {
            format!(
                "without a signature: provenance {} by {} (level {}): {}",
                pinned.digest, pinned.builder, pinned.level, pinned.reason
            )
        }));
        lines
    }

    /// The artifacts by what goes for them.
    fn groups<'a>(&self, release: &'a Release) -> BTreeMap<Group, Vec<&'a Artifact>> {
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for artifact in release.artifacts() {
            groups.entry(self.group(&Sight::of(artifact))).or_default().push(artifact);
        }
        groups
    }

    fn group(&self, sight: &Sight<'_>) -> Group {
        let under = self.demands_for(sight).map(|(under, _)| under);
        let requirements = self.requirements.iter().map(|r| (r.of, &r.selector));
        let requirements = selecting(requirements, sight);
        let conditions = selecting(self.conditions.iter().map(|c| (c.of, &c.selector)), sight);
        let known = requirements.is_some() && conditions.is_some();
        Group {
            under: under.filter(|_| known),
            requirements: requirements.unwrap_or_default(),
            conditions: conditions.unwrap_or_default(),
        }
    }

    fn explain_group(
        &self,
        group: &Group,
        artifacts: &[&Artifact],
        release: &Release,
    ) -> Vec<String> {
        let paths = few(artifacts.iter().map(|artifact| artifact.path.as_str()));
        let Some(under) = group.under else {
            return vec![format!("{paths}: refused, since it is not known what they are")];
        };
        let scope = under.checked_sub(1).and_then(|at| self.scopes.get(at));
        let which = match scope {
            Some(scope) => format!("by scope {:?}, for {}", scope.name, scope.selector.told()),
            None => "by the top level".to_owned(),
        };
        let mut lines = vec![format!("{paths}: {which}")];
        let demands = self.all_demands().nth(under).unwrap_or(&self.demands);
        let mut told = self.explain_demands(demands, release);
        let required = group.requirements.iter().filter_map(|at| self.requirements.get(*at));
        told.extend(required.flat_map(explain_requirement));
        let conditions = group.conditions.iter().filter_map(|at| self.conditions.get(*at));
        told.extend(conditions.map(explain_condition));
        lines.extend(told.into_iter().map(|line| format!("  {line}")));
        lines
    }

    fn explain_demands(&self, demands: &Demands, release: &Release) -> Vec<String> {
        let mut lines = self.explain_provenance(&demands.provenance, release);
        lines.extend(explain_sbom(&demands.sbom));
        lines.push(format!(
            "for a file a declared checksum ({}); one that disagrees always fails",
            demands.checksums.name()
        ));
        lines
    }

    fn explain_provenance(&self, rule: &ProvenanceRule, release: &Release) -> Vec<String> {
        if rule.demand == Demand::Off {
            return vec!["SLSA provenance (off)".to_owned()];
        }
        let version = Some(&release.name().version);
        let filled = |template: &Template| template.fill(version).unwrap_or_default();
        let reference = match (&rule.reference, &rule.expect.versioned_tag) {
            (Some(reference), _) => format!("at ref {}", filled(reference)),
            (None, Some(tag)) => format!("at a tag of version {}, or of one under it", filled(tag)),
            (None, None) => format!("at ref {ANY}"),
        };
        let mut lines = vec![
            format!("SLSA provenance at level {} or above ({})", rule.level, rule.demand.name()),
            format!("  from source {}", rule.source.as_deref().unwrap_or(ANY)),
            format!("  {reference}"),
            format!("  of build type {}", listed(rule.build_types.as_ref(), ANY)),
            format!("  with parameters {}", listed(rule.parameters.as_ref(), "of any name")),
        ];
        lines.extend(rule.expect.explain());
        let builders = self.builders.iter().filter(|builder| builder.level >= rule.level);
        lines.extend(builders.map(|builder| {
            let signers = listed(Some(&builder.signers), ANY);
            format!("  built by {} (level {}), signed by {signers}", builder.id, builder.level)
        }));
        lines.extend(explain_count(&rule.count));
        lines
    }

    fn explain_release(&self, release: &Release) -> Vec<String> {
        let rule = &self.release;
        let version = release.name().version.as_str();
        let mut lines = match &rule.artifacts {
            None => vec!["the release: any set of artifacts".to_owned()],
            Some(expected) => {
                let paths: Vec<_> =
                    expected.iter().map(|path| path.replace("{version}", version)).collect();
                vec![format!("the release: exactly {}", paths.join(", "))]
            }
        };
        let allowed: Vec<_> = rule.allowed.iter().map(|pattern| pattern.as_str()).collect();
        if !allowed.is_empty() {
            lines.push(format!("  and beside them what matches {}", allowed.join(" or ")));
        }
        if let Some(platforms) = &rule.platforms {
            let platforms: Vec<_> = platforms.iter().map(ToString::to_string).collect();
            lines.push(format!("  for exactly the platforms {}", platforms.join(", ")));
        }
        let of_release = self.requirements.iter().filter(|r| r.of == Of::Release);
        lines.extend(of_release.flat_map(explain_requirement).map(|line| format!("  {line}")));
        let of_release = self.conditions.iter().filter(|c| c.of == Of::Release);
        lines.extend(of_release.map(|condition| format!("  {}", explain_condition(condition))));
        lines.extend(self.source.iter().flat_map(|source| explain_source(source, release)));
        lines.extend(self.exceptions.iter().map(explain_exception));
        lines
    }
}

/// Which of these are of artifacts and select this one; `None` where it is not known.
fn selecting<'a>(
    all: impl Iterator<Item = (Of, &'a Selector)>,
    sight: &Sight<'_>,
) -> Option<Vec<usize>> {
    let mut selecting = Vec::new();
    for (at, (of, selector)) in all.enumerate() {
        match (of, selector.selects(sight)) {
            (Of::Release, _) | (_, Selected::No) => {}
            (Of::Artifacts, Selected::Yes) => selecting.push(at),
            (Of::Artifacts, Selected::Unknown) => return None,
        }
    }
    Some(selecting)
}

/// What goes for some artifacts alike.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// `None` where it is not known.
    under: Option<DemandsAt>,
    requirements: Vec<usize>,
    conditions: Vec<usize>,
}

fn explain_source(rule: &SourceRule, release: &Release) -> Vec<String> {
    let version = Some(&release.name().version);
    let reference = rule.reference.as_ref().and_then(|template| template.fill(version));
    let reference = reference.as_deref().unwrap_or(ANY);
    let (level, demand) = (rule.level, rule.demand.name());
    let mut lines = vec![format!(
        "the commit of each build: source level {level} or above, on ref {reference} ({demand})"
    )];
    lines.extend(rule.verifiers.iter().map(|verifier| {
        let signers = listed(Some(&verifier.signers), ANY);
        format!("  said by {} (level {}), signed by {signers}", verifier.id, verifier.level)
    }));
    let age = rule.max_age.as_ref();
    lines.extend(age.map(|age| format!("  within {} before the verdict", age.as_str())));
    lines
}

/// Of an artifact the path stays open: what goes for each stands on one line.
fn explain_verifier(rule: &VerifierRule, release: &Release) -> Vec<String> {
    // Of which artifact is not said, so the path stands for itself: it is one, and would else stay unfilled.
    let path = ResourceTemplate::PATH.parse().ok();
    let fill = |template: &ResourceTemplate| {
        template.uri(release.name(), path.as_ref()).unwrap_or_else(|| template.as_str().to_owned())
    };
    let signers = format!("  signed by {}", listed(Some(&rule.signers), ANY));
    let age = rule.max_age.as_ref().map(|age| format!("  verified within {} before", age.as_str()));
    let policies: Option<BTreeSet<_>> =
        rule.policies.as_ref().map(|digests| digests.iter().map(ToString::to_string).collect());
    let mut lines = Vec::new();
    if let Some(template) = &rule.resource {
        let (uri, id, level) = (fill(template), &rule.id, rule.level);
        lines.push(format!("in place of provenance: a summary of {uri} by {id} (level {level})"));
        lines.push(signers.clone());
        lines.push(format!("  under the policies {}", listed(policies.as_ref(), ANY)));
        lines.extend(age.clone());
    }
    if let Some(template) = &rule.release {
        let (uri, id) = (fill(template), &rule.id);
        lines.push(format!("in place of a verdict: a summary of {uri} by {id} under this policy"));
        lines.push(signers);
        lines.extend(age);
    }
    lines
}

fn explain_condition(condition: &Condition) -> String {
    let (name, demand) = (&condition.name, condition.demand.name());
    let said = condition.message.as_ref().map(|message| format!(", {message}")).unwrap_or_default();
    format!("true {name:?}: {} ({demand}){said}", condition.expression.as_str())
}

fn explain_requirement(requirement: &Requirement) -> Vec<String> {
    let demand = requirement.demand.name();
    let mut lines = vec![format!("required {} ({demand})", requirement.told())];
    lines.push(format!("  signed by {}", listed(Some(&requirement.signers), ANY)));
    lines.extend(explain_count(&requirement.count));
    lines
}

fn explain_exception(exception: &Exception) -> String {
    let texts = |what: &str, patterns: &[Pattern]| {
        let texts: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
        if texts.is_empty() { String::new() } else { format!(" {what} {}", texts.join(" or ")) }
    };
    format!(
        "{} only warns{}{} until {}: {}",
        exception.code,
        texts("for", &exception.paths),
        texts("in", &exception.versions),
        exception.until,
        exception.reason
    )
}

fn explain_sbom(rule: &SbomRule) -> Vec<String> {
    if rule.demand == Demand::Off {
        return vec!["an SBOM (off)".to_owned()];
    }
    let formats: Vec<_> = rule.formats.iter().map(|format| sbom::name(*format)).collect();
    let mut lines = vec![format!("an SBOM in {} ({})", formats.join(" or "), rule.demand.name())];
    if let Some(signers) = &rule.signers {
        lines.push(format!("  signed by {}", listed(Some(signers), "anyone")));
    }
    lines.extend(explain_count(&rule.count));
    lines
}

fn explain_count(count: &Count) -> Vec<String> {
    let quorum = (count.quorum > 1).then(|| format!("  by {} distinct signers", count.quorum));
    let age = count.max_age.as_ref();
    let age = age.map(|age| format!("  signed within {} before the verdict", age.as_str()));
    quorum.into_iter().chain(age).collect()
}

/// Paths that one line tells one by one.
const TOLD_PATH_COUNT_MAX: usize = 8;

fn few<'a>(paths: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = paths.len().saturating_sub(TOLD_PATH_COUNT_MAX);
    let told: Vec<_> = paths.take(TOLD_PATH_COUNT_MAX).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", told.join(", "))
}

/// The texts of a list, or what its absence means; an empty one allows nothing.
fn listed(texts: Option<&BTreeSet<String>>, absent: &str) -> String {
    let Some(texts) = texts else { return absent.to_owned() };
    if texts.is_empty() {
        return "(none)".to_owned();
    }
    texts.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}

fn explain_signer(signer: &SignerRule) -> String {
    let witnesses = [
        (signer.witnesses.logs, "transparency logs"),
        (signer.witnesses.timestamps, "timestamp authorities"),
    ];
    let told = witnesses.iter().filter(|(count, _)| *count > 0);
    let told: Vec<_> = told
        .map(|(count, what)| format!(", vouched for by at least {count} of the {what}"))
        .collect();
    let forms: Vec<_> = signer.legacy.iter().map(|form| form.name()).collect();
    let forms = match forms.is_empty() {
        true => String::new(),
        false => format!(", also in the legacy form {}", forms.join(" or ")),
    };
    let root = signer.root.as_ref().map(|pin| format!(", under the trust root {}", pin.told()));
    explain_who(signer) + &told.concat() + &root.unwrap_or_default() + &forms
}

fn explain_who(signer: &SignerRule) -> String {
    match &signer.who {
        Who::Certificate { issuer, identity, claims } => {
            let claims: Vec<_> =
                claims.iter().map(|(c, v)| format!(", {} {v}", c.name())).collect();
            let identity = identity.as_str();
            format!("signer {}: {identity} certified by {issuer}{}", signer.name, claims.concat())
        }
        Who::Key(rule) => {
            let from = rule.valid_from.map(|time| format!(", from {time}"));
            let until = rule.valid_until.map(|time| format!(", before {time}"));
            let log = match rule.log {
                LogRule::Require => ", in a transparency log",
                LogRule::IfPresent => "",
            };
            let (from, until) = (from.unwrap_or_default(), until.unwrap_or_default());
            format!("signer {}: key {}{from}{until}{log}", signer.name, rule.key.digest())
        }
    }
}

impl Demand {
    /// The word for it in a policy.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Require => "require",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BUILDER, Case, FILE, SOURCE, TAG};

    #[test]
    fn what_is_demanded_is_told_with_the_release_filled_in() {
        let mut case = Case::good();
        case.edit("#sbom", "[release]\nartifacts = [\"bin/a-{version}\"]");
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        for part in ["demo@v1", BUILDER, SOURCE, TAG, "level 3", "(off)", "bin/a-v1", "signer key"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("of build type any\n") && text.contains("of any name\n"), "{text}");
    }

    #[test]
    fn artifacts_stand_together_by_what_is_demanded_of_them() {
        let mut case = Case::good();
        let scope = "[[scope]]\nname = \"docs\"\npaths = [\"doc/**\"]\nprovenance = { rule = \"off\" }\n\
                     [[scope]]\nname = \"text\"\nkinds = [\"text\"]\npaths = [\"x/*\"]\n";
        case.edit("#sbom", scope);
        for path in ["bin/b", "doc/a", "doc/b", "x/y"] {
            case.files.push((path, path.as_bytes().to_vec()));
        }
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        for part in [
            "bin/a, bin/b: by the top level\n  SLSA provenance at level 3 or above (require)",
            "doc/a, doc/b: by scope \"docs\", for paths doc/**\n  SLSA provenance (off)",
            "x/y: refused, since it is not known what they are",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn whose_summaries_count_is_told() {
        let mut case = Case::good();
        let verifier = "[[verifier]]\nid = \"https://v\"\nsigners = [\"key\"]\nlevel = 2\nmax_age = \"7d\"\n\
                        resource = \"pkg:{project}@{version}#{path}\"\nrelease = \"pkg:{project}@{version}\"";
        case.edit("#sbom", verifier);
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        let told = "in place of provenance: a summary of pkg:demo@v1#{path} by https://v (level 2)\n  \
                    signed by key\n  under the policies any\n  verified within 7d before\n\
                    in place of a verdict: a summary of pkg:demo@v1 by https://v under this policy\n  \
                    signed by key\n  verified within 7d before";
        assert!(text.contains(told), "{text}");
        // Under which policies is asked of summaries of artifacts alone.
        case.edit("resource = \"pkg:{project}@{version}#{path}\"\n", "");
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        assert!(text.contains("in place of a verdict") && !text.contains("policies"), "{text}");
    }

    #[test]
    fn requirements_and_exceptions_are_told() {
        let mut case = Case::good();
        let of = |name: &str, rest: &str| {
            format!(
                "[[require]]\nname = \"{name}\"\npredicate = \"https://t\"\nsigners = [\"key\"]\n{rest}\n"
            )
        };
        let rules = of("one", "of = \"artifacts\"\npaths = [\"bin/b\"]\nmax_age = \"2d\"")
            + &of("all", "of = \"release\"")
            + "[[exception]]\ncode = \"REL-EXTRA\"\npaths = [\"x\"]\nuntil = \"2030-01-01T00:00:00Z\"\nreason = \"soon\"\n";
        case.edit("#sbom", &rules);
        case.files.push(("bin/b", FILE.to_vec()));
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        for part in [
            "bin/a: by the top level\n",
            "bin/b: by the top level\n",
            "  required \"one\": a document of type https://t (require)\n    signed by key\n    signed within 2d",
            "the release: any set of artifacts\n  required \"all\"",
            "REL-EXTRA only warns for x until 2030-01-01T00:00:00Z: soon",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.matches("\"one\"").count(), 1);
    }

    #[test]
    fn every_narrowing_key_is_told() {
        let mut case = Case::good();
        case.edit("#provenance", "build_types = [\"type-1\"]\nparameters = [\"one\", \"two\"]");
        case.edit("rule = \"off\"\n#sbom", "formats = [\"spdx\"]\nsigners = [\"key\"]");
        let times =
            "valid_from = \"2026-01-01T00:00:00Z\"\nvalid_until = \"2027-01-01T00:00:00Z\"\n";
        case.edit("#key", &format!("{times}log = \"require\"\nlogs = 2\ntimestamps = 1"));
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        for part in [
            "of build type type-1",
            "with parameters one or two",
            "SBOM in spdx (require)",
            "  signed by key",
            "from 2026-01-01T00:00:00Z, before 2027-01-01T00:00:00Z, in a transparency log, \
             vouched for by at least 2 of the transparency logs, \
             vouched for by at least 1 of the timestamp authorities",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        case.edit("parameters = [\"one\", \"two\"]", "parameters = []");
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        assert!(text.contains("with parameters (none)"), "{text}");
    }
}
