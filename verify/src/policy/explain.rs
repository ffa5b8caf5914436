//! A policy told in sentences: what it would demand of a release.

use std::collections::BTreeSet;

use bonded_model::Release;

use super::{Demand, Policy};
use crate::identity::{LogRule, SignerRule, Who};
use crate::sbom;

impl Policy {
    /// What the policy demands of each artifact of a release, one sentence a line.
    pub fn explain(&self, release: &Release) -> Vec<String> {
        let version = Some(&release.name().version);
        let count = release.artifacts().len();
        let mut lines = vec![format!(
            "policy {} holds {count} artifacts of {} to this:",
            self.name,
            release.name()
        )];
        let rule = &self.provenance;
        lines.push(format!(
            "each artifact: SLSA provenance at level {} or above ({})",
            rule.level,
            rule.demand.name()
        ));
        let any = "any".to_owned();
        lines.push(format!("  from source {}", rule.source.as_ref().unwrap_or(&any)));
        let reference = rule.reference.as_ref().and_then(|template| template.fill(version));
        lines.push(format!("  at ref {}", reference.unwrap_or(any)));
        lines.push(format!("  of build type {}", listed(rule.build_types.as_ref(), "any")));
        lines
            .push(format!("  with parameters {}", listed(rule.parameters.as_ref(), "of any name")));
        for builder in &self.builders {
            let signers: Vec<_> = builder.signers.iter().map(String::as_str).collect();
            lines.push(format!(
                "  built by {} (level {}), signed by {}",
                builder.id,
                builder.level,
                signers.join(" or ")
            ));
        }
        let formats: Vec<_> = self.sbom.formats.iter().map(|f| sbom::name(*f)).collect();
        let formats = formats.join(" or ");
        lines.push(format!("each artifact: an SBOM in {formats} ({})", self.sbom.demand.name()));
        if let Some(signers) = &self.sbom.signers {
            lines.push(format!("  signed by {}", listed(Some(signers), "anyone")));
        }
        lines.push(format!(
            "each file: a declared checksum ({}); one that disagrees always fails",
            self.checksums.name()
        ));
        lines.extend(self.explain_artifacts(release));
        lines.extend(self.signers.iter().map(explain_signer));
        lines
    }

    fn explain_artifacts(&self, release: &Release) -> Vec<String> {
        let Some(expected) = &self.artifacts else {
            return vec!["the release: any set of artifacts".to_owned()];
        };
        let version = release.name().version.as_str();
        let paths: Vec<_> = expected.iter().map(|p| p.replace("{version}", version)).collect();
        vec![format!("the release: exactly {}", paths.join(", "))]
    }
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
    use crate::testing::{BUILDER, Case, SOURCE, TAG};

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
    fn every_narrowing_key_is_told() {
        let mut case = Case::good();
        case.edit("#provenance", "build_types = [\"type-1\"]\nparameters = [\"one\", \"two\"]");
        case.edit("rule = \"off\"\n#sbom", "formats = [\"spdx\"]\nsigners = [\"key\"]");
        let times =
            "valid_from = \"2026-01-01T00:00:00Z\"\nvalid_until = \"2027-01-01T00:00:00Z\"\n";
        case.edit("#key", &format!("{times}log = \"require\""));
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        for part in [
            "of build type type-1",
            "with parameters one or two",
            "SBOM in spdx (require)",
            "  signed by key",
            "from 2026-01-01T00:00:00Z, before 2027-01-01T00:00:00Z, in a transparency log",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        case.edit("parameters = [\"one\", \"two\"]", "parameters = []");
        let policy = Policy::parse(&case.policy).unwrap();
        let text = policy.explain(&case.evidence().release).join("\n");
        assert!(text.contains("with parameters (none)"), "{text}");
    }
}
