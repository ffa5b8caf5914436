//! The summary of a verdict: a SLSA verification summary attestation (VSA) v1 as a statement, of the whole
//! release or of one artifact.
//!
//! An unsigned summary is a record. Signing it is the caller's business; what a signed one is worth later is
//! decided in `engine`.

use bonded_model::Digest;
use bonded_model::limits::SUBJECT_COUNT_MAX;
use bonded_model::statement::{DigestSet, Statement, Subject};
use bonded_model::vsa::{ResourceDescriptor, SUMMARY_V1, Summary, SummaryResult, SummaryVerifier};

use crate::verdict::{ArtifactVerdict, Verdict};

/// The version of SLSA whose rules are applied.
const SLSA_VERSION: &str = "1.2";

/// What is said of what was not looked at.
const UNEVALUATED: &str = "SLSA_BUILD_LEVEL_UNEVALUATED";

/// The name under which this program's version stands in a summary.
const VERIFIER_NAME: &str = "bonded";

/// What the inputs are called that are no single document.
const EVIDENCE: &str = "https://bonded.invalid/input/evidence";
const TRUST_ROOT: &str = "https://bonded.invalid/input/trust-root";
const RULES: &str = "https://bonded.invalid/input/rules";

/// What a verdict was reached from besides the policy, each under a URI of its own: all the evidence with its
/// kinds, titles and attachments, the trust root, and the program with its rules. A summary states them, and
/// stands in place of a verdict only while all are the same.
pub(crate) fn grounds(
    basis: Digest,
    trust_root: Digest,
    program: &str,
) -> [(&'static str, Digest); 3] {
    let rules = Digest::sha256_of(program.as_bytes());
    [(EVIDENCE, basis), (TRUST_ROOT, trust_root), (RULES, rules)]
}

/// What a summary says that the verdict does not know.
#[derive(Clone, Copy, Debug)]
pub struct SummaryRequest<'a> {
    /// The URI of what was verified, as consumers know it.
    pub resource_uri: &'a str,
    /// Where the policy can be found, if anywhere.
    pub policy_uri: Option<&'a str>,
    /// The URI of the verifier: who speaks.
    pub verifier_id: &'a str,
    /// The program in its version, with all its rules.
    pub program: &'a str,
}

impl Verdict {
    /// The verdict as a VSA v1 (SLSA v1.2, verification_summary.md). Its inputs are all documents that were
    /// looked at, and what else it was reached from.
    ///
    /// Subjects are the release index and every artifact; a release with more artifacts than a
    /// statement can name is named by its index alone, which lists them all by digest.
    pub fn to_summary(&self, request: &SummaryRequest<'_>) -> Statement {
        // The weakest artifact: a release is no better than that.
        let level = self.artifacts().iter().map(|artifact| artifact.level).min().flatten();
        let summary = self.summary(request, level, self.dependencies());
        Statement::new(self.summary_subjects(), SUMMARY_V1, &summary)
    }

    /// What the verdict says of one of its artifacts, as a VSA v1. Its inputs are those of the
    /// verdict: all were looked at.
    pub fn to_artifact_summary(
        &self,
        artifact: &ArtifactVerdict,
        request: &SummaryRequest<'_>,
    ) -> Statement {
        let summary = self.summary(request, artifact.level, artifact.dependencies);
        Statement::new(vec![subject(artifact)], SUMMARY_V1, &summary)
    }

    fn summary(
        &self,
        request: &SummaryRequest<'_>,
        level: Option<u8>,
        dependencies: Option<u64>,
    ) -> Summary {
        let (verification_result, label) = match (self.is_pass(), level) {
            (false, _) => (SummaryResult::Failed, "FAILED".to_owned()),
            (true, Some(level)) => (SummaryResult::Passed, format!("SLSA_BUILD_LEVEL_{level}")),
            (true, None) => (SummaryResult::Passed, UNEVALUATED.to_owned()),
        };
        // Nobody looked at how they were built. Where none is named, nothing is claimed: a set without any would
        // say that there is none.
        let dependencies = dependencies.filter(|_| self.is_pass());
        Summary {
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
            input_attestations: self.inputs(request.program),
            verification_result,
            verified_levels: vec![label],
            dependency_levels: dependencies.map(|count| [(UNEVALUATED.to_owned(), count)].into()),
            slsa_version: Some(SLSA_VERSION.to_owned()),
        }
    }

    fn inputs(&self, program: &str) -> Vec<ResourceDescriptor> {
        let input = |uri: Option<&str>, digest| ResourceDescriptor {
            uri: uri.map(str::to_owned),
            digest: DigestSet::of(&[digest]),
        };
        let grounds = grounds(self.basis(), self.trust_root_digest(), program);
        let documents = self.documents().iter().map(|document| input(None, *document));
        documents.chain(grounds.map(|(uri, digest)| input(Some(uri), digest))).collect()
    }

    fn summary_subjects(&self) -> Vec<Subject> {
        let release = self.release().map(|(name, digest)| Subject::new(name.to_string(), digest));
        let artifacts = self.artifacts().iter().map(subject);
        match &release {
            Some(index) if self.artifacts().len() >= SUBJECT_COUNT_MAX => vec![index.clone()],
            _ => release.into_iter().chain(artifacts).collect(),
        }
    }
}

fn subject(artifact: &ArtifactVerdict) -> Subject {
    let name = artifact.path.as_ref().map_or_else(String::new, ToString::to_string);
    Subject::new(name, artifact.digest)
}
