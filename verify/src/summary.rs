//! The summary of a verdict: a SLSA verification summary attestation (VSA) v1 as a statement.
//!
//! An unsigned summary is a record. Signing it is the caller's business; accepting a stored, signed
//! summary in place of a new verdict is not part of this crate yet.

use bonded_model::limits::SUBJECT_COUNT_MAX;
use bonded_model::statement::{DigestSet, Statement, Subject};
use bonded_model::vsa::{ResourceDescriptor, SUMMARY_V1, Summary, SummaryResult, SummaryVerifier};

use crate::verdict::Verdict;

/// The version of SLSA whose rules are applied.
const SLSA_VERSION: &str = "1.1";

/// The name under which this program's version stands in a summary.
const VERIFIER_NAME: &str = "bonded";

/// What a summary says that the verdict does not know.
#[derive(Clone, Copy, Debug)]
pub struct SummaryRequest<'a> {
    /// The URI of what was verified, as consumers know it.
    pub resource_uri: &'a str,
    /// Where the policy can be found, if anywhere.
    pub policy_uri: Option<&'a str>,
    /// The URI of the verifier: who speaks.
    pub verifier_id: &'a str,
}

impl Verdict {
    /// The verdict as a VSA v1 (SLSA v1.1, verification_summary.md).
    ///
    /// Subjects are the release index and every artifact; a release with more artifacts than a
    /// statement can name is named by its index alone, which lists them all by digest.
    pub fn to_summary(&self, request: &SummaryRequest<'_>) -> Statement {
        let summary = Summary {
            verifier: SummaryVerifier {
                id: request.verifier_id.to_owned(),
                version: [(VERIFIER_NAME.to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
            },
            time_verified: Some(self.now()),
            resource_uri: request.resource_uri.to_owned(),
            policy: ResourceDescriptor {
                uri: request.policy_uri.map(str::to_owned),
                digest: DigestSet::of(&[self.policy_digest()]),
            },
            input_attestations: self.documents().iter().map(|digest| by_digest(*digest)).collect(),
            verification_result: match self.is_pass() {
                true => SummaryResult::Passed,
                false => SummaryResult::Failed,
            },
            verified_levels: vec![self.verified_level()],
            dependency_levels: None,
            slsa_version: Some(SLSA_VERSION.to_owned()),
        };
        Statement::new(self.summary_subjects(), SUMMARY_V1, &summary)
    }

    /// The level of the weakest artifact: a release is no better than that.
    fn verified_level(&self) -> String {
        if !self.is_pass() {
            return "FAILED".to_owned();
        }
        let lowest: Option<Option<u8>> = self.artifacts().iter().map(|a| a.level).min();
        match lowest.flatten() {
            Some(level) => format!("SLSA_BUILD_LEVEL_{level}"),
            None => "SLSA_BUILD_LEVEL_UNEVALUATED".to_owned(),
        }
    }

    fn summary_subjects(&self) -> Vec<Subject> {
        let release = self.release().map(|(name, digest)| Subject::new(name.to_string(), digest));
        let artifacts = self.artifacts().iter().map(|artifact| {
            let name = artifact.path.as_ref().map_or_else(String::new, ToString::to_string);
            Subject::new(name, artifact.digest)
        });
        match &release {
            Some(index) if self.artifacts().len() >= SUBJECT_COUNT_MAX => vec![index.clone()],
            _ => release.into_iter().chain(artifacts).collect(),
        }
    }
}

fn by_digest(digest: bonded_model::Digest) -> ResourceDescriptor {
    ResourceDescriptor { uri: None, digest: DigestSet::of(&[digest]) }
}
