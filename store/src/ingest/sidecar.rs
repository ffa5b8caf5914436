//! Sidecars: evidence that lies beside the artifacts.
//!
//! A name makes a candidate and the content has to confirm it; a candidate that is something else is
//! an error, since a release that silently lost its provenance to a typing error, or silently gained
//! a broken bundle as an artifact, helps nobody. A sidecar is about the artifact whose name it carries
//! (`kubectl.sigstore.json`), else about the one whose digest its content names, else about the
//! release. Lists of checksums are about the release.

use std::collections::BTreeMap;

use bonded_model::evidence::Subject;
use bonded_model::limits::{
    CHECKSUMS_BYTES_MAX, DETACHED_BYTES_MAX, EVIDENCE_BYTES_MAX, METABLOCK_BYTES_MAX,
};
use bonded_model::{
    Algorithm, ArtifactPath, Digest, DocumentKind, Release, ReleaseName, checksums,
};
use rayon::prelude::*;

use super::How;
use super::error::IngestError;
use super::intake::read_steadily;
use super::walk::{Found, Input};
use crate::attach::{NewDocument, check_evidence};
use crate::disk::{Disk, DiskError};
use crate::recognise::{Expected, Recognised, recognise};

/// Suffixes of attestations in use, longer ones first where one ends in another.
const ATTESTATION_SUFFIXES: [&str; 18] = [
    ".intoto.sigstore.json",
    ".intoto.build.slsa",
    ".intoto.sigstore",
    ".intoto.jsonl",
    ".intoto.json",
    ".build.slsa",
    ".slsa",
    ".sigstore.json",
    ".sigstore",
    ".attestation.jsonl",
    ".attestation.json",
    ".att.jsonl",
    ".att.json",
    ".provenance.jsonl",
    ".provenance.json",
    "-provenance.json",
    "-attestation.json",
    "-attestations.json",
];

/// Suffixes of SBOMs in use.
const SBOM_SUFFIXES: [&str; 6] =
    [".spdx.json", ".spdx", ".cdx.json", ".cyclonedx.json", ".bom.json", ".sbom.json"];

/// Whole names that stand for the release rather than one artifact.
const ATTESTATION_NAMES: [&str; 4] =
    ["provenance.json", "provenance.jsonl", "attestation.json", "attestations.json"];
const SBOM_NAMES: [&str; 2] = ["bom.json", "sbom.json"];

/// Suffixes of in-toto layouts, and of links behind the beginning of the name of a key. Other programs have
/// files that end in `.link`.
const LAYOUT_SUFFIX: &str = ".layout";
const LINK_SUFFIX: &str = ".link";
const KEY_DIGITS: usize = 8;

/// A file whose name and content say that it is evidence.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) title: ArtifactPath,
    pub(super) bytes: Vec<u8>,
    recognised: Recognised,
    expected: Expected,
    /// The artifact that it lies beside, where that was found together with it.
    owner: Option<ArtifactPath>,
}

/// Separates evidence from artifacts. The evidence is read if a release can have so much of it, the
/// artifacts are not.
pub(super) fn split(
    disk: &Disk,
    release: &ReleaseName,
    found: Found,
) -> Result<(Vec<Sidecar>, Found), IngestError> {
    let (candidates, artifacts): (Vec<_>, Vec<_>) = found
        .into_iter()
        .map(|(path, source)| (expected_of(path.file_name()), path, source))
        .partition(|(expected, _, _)| expected.is_some());
    let sizes = candidates.iter().map(|(_, _, source)| source.state.bytes);
    for (expected, _, source) in &candidates {
        check_length(*expected, source)?; // says more than the sum would
    }
    check_evidence(release, candidates.len(), sizes)?;
    let sidecars: Result<Vec<_>, _> = candidates
        .into_par_iter()
        .filter_map(|(expected, title, source)| Some(read(disk, expected?, title, source)))
        .collect();
    Ok((sidecars?, artifacts.into_iter().map(|(_, path, source)| (path, source)).collect()))
}

fn check_length(expected: Option<Expected>, source: &Input) -> Result<(), IngestError> {
    let Some(expected) = expected else { return Ok(()) };
    let (bytes, limit) = (source.state.bytes, bytes_max(expected));
    if bytes <= limit {
        return Ok(());
    }
    let (path, expected) = (source.path.clone(), expected.description());
    Err(IngestError::EvidenceTooLarge { path, expected, bytes, limit })
}

fn bytes_max(expected: Expected) -> u64 {
    match expected {
        Expected::Checksums(_) => CHECKSUMS_BYTES_MAX,
        Expected::Attestation | Expected::Sbom => EVIDENCE_BYTES_MAX,
        Expected::Metablock => METABLOCK_BYTES_MAX,
        Expected::Signature | Expected::Certificate | Expected::LogEntry => DETACHED_BYTES_MAX,
    }
}

fn read(
    disk: &Disk,
    expected: Expected,
    title: ArtifactPath,
    source: Input,
) -> Result<Sidecar, IngestError> {
    let bytes = match read_steadily(disk, &source, bytes_max(expected)) {
        Err(IngestError::Source(DiskError::OverLimit { path, .. })) => {
            return Err(IngestError::Changed { path }); // it was smaller a moment ago
        }
        other => other?,
    };
    let path = source.path;
    match recognise(expected, &bytes) {
        Ok(recognised) => Ok(Sidecar { title, bytes, recognised, expected, owner: None }),
        Err(source) => {
            Err(IngestError::Evidence { path, expected: expected.description(), source })
        }
    }
}

/// What a file name lets expect, if it is one of evidence.
fn expected_of(file_name: &str) -> Option<Expected> {
    let name = file_name.to_ascii_lowercase();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    if let Some(algorithm) = checksums::algorithm_of(&name) {
        Some(Expected::Checksums(algorithm))
    } else if ends(&ATTESTATION_SUFFIXES) || ATTESTATION_NAMES.contains(&name.as_str()) {
        Some(Expected::Attestation)
    } else if ends(&SBOM_SUFFIXES) || SBOM_NAMES.contains(&name.as_str()) {
        Some(Expected::Sbom)
    } else if is_metablock(&name) {
        Some(Expected::Metablock)
    } else {
        None
    }
}

/// `<name>.layout`, or `<step>.<eight hex digits>.link`.
fn is_metablock(name: &str) -> bool {
    let key = name.strip_suffix(LINK_SUFFIX).and_then(|rest| rest.rsplit_once('.'));
    let is_key = |key: &str| key.len() == KEY_DIGITS && key.bytes().all(|b| b.is_ascii_hexdigit());
    key.is_some_and(|(step, key)| !step.is_empty() && is_key(key))
        || name.strip_suffix(LAYOUT_SUFFIX).is_some_and(|name| !name.is_empty())
}

/// The name without the suffix that makes it evidence, if anything is left.
fn without_suffix(file_name: &str) -> Option<&str> {
    let lower = file_name.to_ascii_lowercase();
    let suffix = ATTESTATION_SUFFIXES.iter().chain(&SBOM_SUFFIXES).find(|s| lower.ends_with(*s));
    match suffix {
        Some(suffix) => file_name.get(..file_name.len() - suffix.len()),
        None => checksums::sidecar_target(file_name),
    }
    .filter(|rest| !rest.is_empty())
}

impl Sidecar {
    /// What lies beside an artifact.
    pub(super) fn beside(
        owner: ArtifactPath,
        title: ArtifactPath,
        bytes: Vec<u8>,
        recognised: Recognised,
        expected: Expected,
    ) -> Self {
        Self { title, bytes, recognised, expected, owner: Some(owner) }
    }

    pub(super) fn expected(&self) -> Expected {
        self.expected
    }

    pub(super) fn owner(&self) -> Option<&ArtifactPath> {
        self.owner.as_ref()
    }

    pub(super) fn kind(&self) -> DocumentKind {
        self.recognised.kind
    }

    /// Whether SHA-512 is all that it says about artifacts. An SBOM is not asked: its packages are
    /// seldom artifacts, and the digest is slow.
    pub(super) fn needs_sha512(&self) -> bool {
        let has = |algorithm| {
            self.recognised.digests.iter().any(|digest| digest.algorithm() == algorithm)
        };
        self.expected != Expected::Sbom && has(Algorithm::Sha512) && !has(Algorithm::Sha256)
    }

    pub(super) fn to_document(&self) -> NewDocument<'_> {
        NewDocument {
            bytes: &self.bytes,
            kind: self.recognised.kind,
            media_type: self.recognised.media_type.clone(),
            title: Some(self.title.clone()),
            predicate_type: self.recognised.predicate_type.as_deref(),
        }
    }

    /// The artifact whose name this one carries: `a.spdx.json.sigstore.json` is about `a` if there
    /// is no artifact `a.spdx.json`.
    fn by_name<'a>(&self, release: &'a Release) -> Option<&'a ArtifactPath> {
        let directory = self.title.directory();
        let mut name = self.title.file_name();
        loop {
            name = without_suffix(name)?;
            let path =
                if directory.is_empty() { name.into() } else { format!("{directory}/{name}") };
            let path = path.parse().ok()?; // a rest such as `..` names nothing
            if let Some(artifact) = release.artifact(&path) {
                return Some(&artifact.path);
            }
        }
    }
}

/// What each sidecar is about, and how that was found. `sha512` has that digest of artifacts by their
/// SHA-256, as far as it is known.
pub(super) fn place(
    release: &Release,
    sha512: &BTreeMap<Digest, Digest>,
    sidecars: &[Sidecar],
) -> Vec<(Subject, How)> {
    sidecars.iter().map(|sidecar| place_one(release, sha512, sidecar)).collect()
}

fn place_one(
    release: &Release,
    sha512: &BTreeMap<Digest, Digest>,
    sidecar: &Sidecar,
) -> (Subject, How) {
    if sidecar.kind() == DocumentKind::Metablock {
        return (Subject::Release, How::ByContent);
    }
    let owner = sidecar.owner.as_ref().or_else(|| sidecar.by_name(release));
    if let Some(path) = owner {
        return (Subject::Artifact(path.clone()), How::ByName);
    }
    let named = |artifact: &&bonded_model::Artifact| {
        let digests = &sidecar.recognised.digests;
        let sha512 = sha512.get(&artifact.file.digest);
        digests.contains(&artifact.file.digest)
            || sha512.is_some_and(|sha512| digests.contains(sha512))
    };
    let mut named = release.artifacts().iter().filter(named);
    match (named.next(), named.next()) {
        (None, _) => (Subject::Release, How::Unmatched),
        (Some(one), None) if sidecar.kind() != DocumentKind::Checksums => {
            (Subject::Artifact(one.path.clone()), How::ByContent)
        }
        _ => (Subject::Release, How::ByContent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_evidence_and_what_they_stand_beside() {
        let attestation = Some(Expected::Attestation);
        let sums = |algorithm| Some(Expected::Checksums(algorithm));
        for (name, expected, beside) in [
            ("kubectl.intoto.jsonl", attestation, Some("kubectl")),
            ("kubectl.intoto.build.slsa", attestation, Some("kubectl")),
            ("kubectl.build.slsa", attestation, Some("kubectl")),
            ("kubectl.sigstore.json", attestation, Some("kubectl")),
            ("Kubectl.SIGSTORE", attestation, Some("Kubectl")),
            ("kubectl.att.json", attestation, Some("kubectl")),
            ("kubectl.attestation.jsonl", attestation, Some("kubectl")),
            ("v1-provenance.json", attestation, Some("v1")),
            ("provenance.json", attestation, None),
            (".sigstore.json", attestation, None),
            ("kubectl.spdx.json", Some(Expected::Sbom), Some("kubectl")),
            ("kubectl.spdx", Some(Expected::Sbom), Some("kubectl")),
            ("kubectl.cdx.json", Some(Expected::Sbom), Some("kubectl")),
            ("bom.json", Some(Expected::Sbom), None),
            ("kubectl.sha256", sums(Algorithm::Sha256), Some("kubectl")),
            ("SHA512SUMS", sums(Algorithm::Sha512), None),
            ("root.layout", Some(Expected::Metablock), None),
            ("build.776a00e2.link", Some(Expected::Metablock), None),
            ("99-default.link", None, None),
            ("build.776a00e.link", None, None),
            ("build.776a00eg.link", None, None),
            (".776a00e2.link", None, None),
            (".layout", None, None),
            ("kubectl", None, None),
            ("kubectl.json", None, None),
            ("kubectl.sig", None, None),
            ("slsa", None, None),
            ("intoto.jsonl", None, None),
        ] {
            assert_eq!(expected_of(name), expected, "{name}");
            assert_eq!(without_suffix(name), beside, "{name}");
        }
    }
}
