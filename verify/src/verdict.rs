//! The verdict: pass or fail, with everything that led to it, and the proof value that it opens.
//!
//! As JSON it is canonical: keys sorted, lists in canonical order, no whitespace.
//!
//! ```text
//! {"artifacts":[{"accepted":[…],"digest":"sha256:…","level":3,"path":"bin/a"}],
//!  "documents":["sha256:…"],"evidence":"sha256:…","findings":[…],"now":"2026-01-31T12:00:00Z",
//!  "policy":"sha256:…","release":{"digest":"sha256:…","name":"demo@v1"},"result":"pass",
//!  "trustRoot":"sha256:…","version":1}
//! ```
//!
//! This is the only module that can make a [`Verified`], and it makes one only from a verdict that
//! passes and that is about the very release. A verdict is reached by the engine, or was and is read back by
//! `cached`.

mod cached;

use bonded_model::json::to_canonical;
use bonded_model::{ArtifactPath, Digest, Release, ReleaseName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Severity, capped};
use crate::moment::Interval;

pub use cached::{CacheKey, CacheQuestion};

/// The version of the verdict's JSON.
const VERDICT_VERSION: u32 = 1;

/// The outcome of looking at evidence under a policy, a trust root and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    about: About,
    grounds: Grounds,
    /// Of all artifacts together.
    dependencies: Option<u64>,
    artifacts: Vec<ArtifactVerdict>,
    documents: Vec<Digest>,
    findings: Vec<Finding>,
}

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum About {
    Release { name: ReleaseName, digest: Digest },
    File { digest: Digest },
}

/// The inputs that a verdict is a pure function of, beside what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grounds {
    pub(crate) policy: Digest,
    pub(crate) trust_root: Digest,
    pub(crate) evidence: Digest,
    /// The digest of the evidence but for what verifiers signed of this whole release under this policy: they
    /// would not vouch for each other's summaries otherwise, nor for themselves a second time.
    pub(crate) basis: Digest,
    pub(crate) now: Timestamp,
    /// When else the same verdict would be reached.
    pub(crate) lasts: Interval,
}

/// What was found out about one artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactVerdict {
    /// Where it stands in the release; absent for a file that was asked about without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<ArtifactPath>,
    /// Its SHA-256.
    pub digest: Digest,
    /// The SLSA build level that an accepted provenance reaches under the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// How many dependencies its accepted provenance names beside the source; absent where it names none. Of a
    /// single file they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<u64>,
    /// The documents that satisfied a rule, by digest, then role.
    pub accepted: Vec<AcceptedDocument>,
}

/// A document that satisfied a rule. Holds only what was signed or what the policy says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedDocument {
    /// SHA-256 of the document as it is held.
    pub document: Digest,
    /// The rule that it satisfied.
    pub role: Role,
    /// Who signed it; absent where the rule asks for no signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignedBy>,
}

/// The rule that a document satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A signature over the artifact itself, or a statement about it by the expected signer.
    Signature,
    /// SLSA provenance.
    Provenance,
    /// A verification summary in place of provenance.
    Summary,
    /// A verification summary of the source.
    Source,
    /// An SBOM.
    Sbom,
    /// A declared checksum.
    Checksum,
    /// A further document that the policy requires.
    Required,
    /// An in-toto layout, of whose last step the artifact is a product.
    Layout,
}

impl Role {
    /// The name of the rule, as the JSON of a verdict has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Provenance => "provenance",
            Self::Summary => "summary",
            Self::Source => "source",
            Self::Sbom => "sbom",
            Self::Checksum => "checksum",
            Self::Required => "required",
            Self::Layout => "layout",
        }
    }
}

/// Who signed a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SignedBy {
    /// The signer's name in the policy, or `expected` where there is no policy.
    pub name: String,
    /// Who that is: the identity in the certificate, or the digest of the public key.
    pub identity: String,
    /// The earliest authenticated signing time, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
}

impl Verdict {
    pub(crate) fn new(
        about: About,
        grounds: Grounds,
        mut artifacts: Vec<ArtifactVerdict>,
        mut documents: Vec<Digest>,
        findings: Vec<Finding>,
    ) -> Self {
        artifacts.sort_by(|a, b| (&a.path, a.digest).cmp(&(&b.path, b.digest)));
        artifacts.iter_mut().for_each(|artifact| {
            artifact.accepted.sort();
            artifact.accepted.dedup();
        });
        documents.sort();
        documents.dedup();
        let findings = capped(findings);
        Self { about, grounds, dependencies: None, artifacts, documents, findings }
    }

    pub(crate) fn with_dependencies(self, dependencies: Option<u64>) -> Self {
        Self { dependencies, ..self }
    }

    /// How many dependencies the accepted provenance of all artifacts names beside their source, each counted
    /// once; `None` where it names none.
    pub fn dependencies(&self) -> Option<u64> {
        self.dependencies
    }

    /// Whether nothing stands against it.
    pub fn is_pass(&self) -> bool {
        !self.artifacts.is_empty()
            && self.findings.iter().all(|finding| finding.severity != Severity::Fail)
    }

    /// All findings in canonical order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The artifacts in the order of their paths.
    pub fn artifacts(&self) -> &[ArtifactVerdict] {
        &self.artifacts
    }

    /// The release that it is about, with its digest; `None` for a verdict on one file.
    pub fn release(&self) -> Option<(&ReleaseName, Digest)> {
        match &self.about {
            About::Release { name, digest } => Some((name, *digest)),
            About::File { .. } => None,
        }
    }

    /// The digest of the release or of the file that it is about.
    pub fn subject_digest(&self) -> Digest {
        match &self.about {
            About::Release { digest, .. } | About::File { digest } => *digest,
        }
    }

    /// The digests of all documents that were looked at, accepted or not.
    pub fn documents(&self) -> &[Digest] {
        &self.documents
    }

    /// The digest of the policy's text, or of the expectation that stood in for a policy.
    pub fn policy_digest(&self) -> Digest {
        self.grounds.policy
    }

    /// The digest of the trust root.
    pub fn trust_root_digest(&self) -> Digest {
        self.grounds.trust_root
    }

    /// The digest of all that was looked at.
    pub fn evidence_digest(&self) -> Digest {
        self.grounds.evidence
    }

    pub(crate) fn basis(&self) -> Digest {
        self.grounds.basis
    }

    /// The time that the verdict was asked for.
    pub fn now(&self) -> Timestamp {
        self.grounds.now
    }

    /// Whether the same question asked at that time has the same answer, but for the time that it tells.
    /// `false` says that it may have another one.
    pub fn lasts_at(&self, time: Timestamp) -> bool {
        self.grounds.lasts.contains(time)
    }

    /// The canonical JSON: equal verdicts have equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        to_canonical(&self.as_wire())
    }

    /// Opens the door for a release, if this verdict passes and is about it.
    ///
    /// # Errors
    /// The verdict itself, if it is a fail, or about a file, another release, or other artifacts.
    pub fn admit(self, release: Release) -> Result<Verified<Release>, Box<Self>> {
        let same = self.release() == Some((release.name(), release.digest()));
        // The index and the artifacts of a release that was read back are two things.
        let looked_at =
            self.artifacts.iter().map(|artifact| (artifact.path.as_ref(), artifact.digest));
        let held = release.artifacts().iter().map(|held| (Some(&held.path), held.file.digest));
        if same && looked_at.eq(held) && self.is_pass() {
            Ok(Verified { inner: release, verdict: self })
        } else {
            Err(Box::new(self))
        }
    }

    fn as_wire(&self) -> WireVerdict<'_> {
        let (release, file) = match &self.about {
            About::Release { name, digest } => (Some(WireRelease { name, digest: *digest }), None),
            About::File { digest } => (None, Some(*digest)),
        };
        WireVerdict {
            version: VERDICT_VERSION,
            result: if self.is_pass() { "pass" } else { "fail" },
            release,
            file,
            policy: self.grounds.policy,
            trust_root: self.grounds.trust_root,
            evidence: self.grounds.evidence,
            now: self.grounds.now,
            artifacts: &self.artifacts,
            documents: &self.documents,
            findings: self.findings.iter().map(WireFinding::of).collect(),
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_wire().serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireVerdict<'a> {
    version: u32,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<WireRelease<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Digest>,
    policy: Digest,
    trust_root: Digest,
    evidence: Digest,
    now: Timestamp,
    artifacts: &'a [ArtifactVerdict],
    documents: &'a [Digest],
    findings: Vec<WireFinding<'a>>,
}

#[derive(Serialize)]
struct WireRelease<'a> {
    name: &'a ReleaseName,
    digest: Digest,
}

#[derive(Serialize)]
struct WireFinding<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    clause: &'static str,
}

impl<'a> WireFinding<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self { finding, clause: finding.code.clause() }
    }
}

/// A value that a passing verdict vouches for. There is no other way to make one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    inner: T,
    verdict: Verdict,
}

impl<T> Verified<T> {
    /// The value.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// The verdict that vouches for it.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The value without its proof.
    pub fn into_inner(self) -> T {
        self.inner
    }
}
