//! The three lists that are published beside the files, as pure functions to canonical bytes, so
//! that `serve` and every mirror answer with the same ones.
//!
//! ```text
//! <project>/release/<version>/.bonded/release.json   immutable: only what the release digest pins
//!   {"artifacts":[{"digest","manifest","mediaType","path","platform"?,"size"}…],
//!    "digest","project","version"}
//! <project>/release/<version>/.bonded/evidence.json  mutable: evidence may be added to a release
//!   {"documents":[{"digest","kind","mediaType","path","size","subjects":["release"|{"artifact"}…]}…],
//!    "evidence","policy","project","release","trustRoot","version"}
//! <project>/releases.json                            mutable
//!   {"markers":{"stable":"v1.2.3",…},"project",
//!    "releases":[{"artifacts","bytes","digest","evidence","path","policy","trustRoot","version"}…]}
//! ```
//!
//! A path stands relative to the release's directory, and in `releases.json` relative to its own
//! directory; it is text, not a URL. There is no time in any of them: the same releases under the
//! same policy give the same bytes, so that publishing twice changes nothing. The SHA-512 of a
//! file is left out because it is a fact that may be rebuilt, while the first list never changes.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use serde::Serialize;

use crate::descriptor::Platform;
use crate::digest::Digest;
use crate::evidence::{Document, DocumentKind, Subject};
use crate::json::to_canonical;
use crate::marker::markers;
use crate::media_type::MediaType;
use crate::name::{Project, ReleaseName, Version};
use crate::release::Release;
use crate::tree;

/// What a release was admitted under: the digests of a passing verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The policy.
    pub policy: Digest,
    /// The trust root.
    pub trust_root: Digest,
    /// All that the verdict looked at.
    pub evidence: Digest,
}

/// One line of [`releases_json`].
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The release.
    pub release: &'a Release,
    /// What it was admitted under.
    pub admission: Admission,
}

#[derive(Serialize)]
struct WireRelease<'a> {
    project: &'a Project,
    version: &'a Version,
    digest: Digest,
    artifacts: Vec<WireArtifact<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireArtifact<'a> {
    path: &'a str,
    digest: Digest,
    size: u64,
    media_type: &'a MediaType,
    manifest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a Platform>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireEvidence<'a> {
    project: &'a Project,
    version: &'a Version,
    release: Digest,
    policy: Digest,
    trust_root: Digest,
    evidence: Digest,
    documents: Vec<WireDocument<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireDocument<'a> {
    path: String,
    digest: Digest,
    size: usize,
    kind: DocumentKind,
    media_type: &'a MediaType,
    subjects: Vec<&'a Subject>,
}

#[derive(Serialize)]
struct WireReleases<'a> {
    project: &'a Project,
    markers: BTreeMap<String, Version>,
    releases: Vec<WireEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireEntry<'a> {
    version: &'a Version,
    digest: Digest,
    path: String,
    artifacts: usize,
    bytes: u64,
    policy: Digest,
    trust_root: Digest,
    evidence: Digest,
}

/// What a release consists of: the bytes at [`tree::inventory`].
pub fn release_json(release: &Release) -> Vec<u8> {
    let artifacts = release.artifacts().iter().map(|artifact| WireArtifact {
        path: artifact.path.as_str(),
        digest: artifact.file.digest,
        size: artifact.file.size,
        media_type: &artifact.file.media_type,
        manifest: artifact.manifest.digest,
        platform: artifact.platform.as_ref(),
    });
    to_canonical(&WireRelease {
        project: &release.name().project,
        version: &release.name().version,
        digest: release.digest(),
        artifacts: artifacts.collect(),
    })
}

/// What is held about a release: the bytes at [`tree::evidence_list`].
///
/// A document that is attached to several subjects is listed once.
pub fn evidence_json(release: &Release, documents: &[Document], admission: &Admission) -> Vec<u8> {
    let mut listed: BTreeMap<String, WireDocument<'_>> = BTreeMap::new();
    for document in documents {
        let path = inside_release(release.name(), &tree::document(release.name(), document));
        let entry = listed.entry(path.clone()).or_insert_with(|| WireDocument {
            path,
            digest: document.digest,
            size: document.bytes.len(),
            kind: document.kind,
            media_type: &document.media_type,
            subjects: Vec::new(),
        });
        entry.subjects.push(&document.subject);
        entry.subjects.sort();
    }
    to_canonical(&WireEvidence {
        project: &release.name().project,
        version: &release.name().version,
        release: release.digest(),
        policy: admission.policy,
        trust_root: admission.trust_root,
        evidence: admission.evidence,
        documents: listed.into_values().collect(),
    })
}

/// Which releases a project has, newest first: the bytes at [`tree::releases_json`].
///
/// Entries of other projects are left out.
pub fn releases_json(project: &Project, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut own: Vec<&Entry<'_>> =
        entries.iter().filter(|entry| entry.release.name().project == *project).collect();
    own.sort_by(|a, b| newest_first(&a.release.name().version, &b.release.name().version));
    let releases = own.iter().map(|entry| WireEntry {
        version: &entry.release.name().version,
        digest: entry.release.digest(),
        path: beside_list(entry.release.name()),
        artifacts: entry.release.artifacts().len(),
        bytes: total_bytes(entry.release),
        policy: entry.admission.policy,
        trust_root: entry.admission.trust_root,
        evidence: entry.admission.evidence,
    });
    to_canonical(&WireReleases {
        project,
        markers: markers(own.iter().map(|entry| &entry.release.name().version)),
        releases: releases.collect(),
    })
}

/// The content of a marker's file: the version, without a newline, as dl.k8s.io has it.
pub fn marker_text(version: &Version) -> Vec<u8> {
    version.as_str().as_bytes().to_vec()
}

/// The size of all files of a release together.
pub fn total_bytes(release: &Release) -> u64 {
    release.artifacts().iter().fold(0, |sum, artifact| sum.saturating_add(artifact.file.size))
}

/// The order of lists: semantic versions from high to low, then all others from Z to A.
pub fn newest_first(a: &Version, b: &Version) -> Ordering {
    let key = |version: &Version| Reverse((version.to_semver(), version.clone()));
    key(a).cmp(&key(b))
}

fn inside_release(name: &ReleaseName, path: &str) -> String {
    let directory = format!("{}/", tree::release(name));
    path.strip_prefix(&directory).unwrap_or(path).to_owned()
}

fn beside_list(name: &ReleaseName) -> String {
    let directory = tree::release(name);
    let above = format!("{}/", name.project);
    format!("{}/", directory.strip_prefix(&above).unwrap_or(&directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Descriptor;
    use crate::media_type;
    use crate::release::Artifact;

    fn release(name: &str) -> Release {
        let artifact = |path: &str, bytes: &[u8]| {
            let file = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), bytes);
            let sha512 = Some(Digest::sha512_of(bytes));
            Artifact { sha512, ..Artifact::of_file(path.parse().unwrap(), file, None, None).0 }
        };
        let artifacts = vec![artifact("bin/x", b"12"), artifact("a", b"3")];
        Release::new(name.parse().unwrap(), artifacts).unwrap().0
    }

    fn admission() -> Admission {
        Admission {
            policy: Digest::sha256_of(b"policy"),
            trust_root: Digest::sha256_of(b"root"),
            evidence: Digest::sha256_of(b"evidence"),
        }
    }

    fn document(title: Option<&str>, subject: Subject) -> Document {
        Document {
            digest: Digest::sha256_of(b"{}"),
            bytes: b"{}".as_slice().into(),
            kind: DocumentKind::Statement,
            media_type: MediaType::known(media_type::IN_TOTO),
            title: title.map(|title| title.parse().unwrap()),
            subject,
        }
    }

    fn read(bytes: &[u8]) -> serde_json::Value {
        crate::json::parse(bytes, 1 << 20).unwrap()
    }

    #[test]
    fn the_inventory_holds_only_what_the_release_digest_pins() {
        let with = release("demo@v1.0.0");
        let without: Vec<Artifact> = with
            .artifacts()
            .iter()
            .map(|artifact| Artifact { sha512: None, ..artifact.clone() })
            .collect();
        let without =
            Release::from_stored(with.name().clone(), with.index().clone(), without).unwrap();
        assert_eq!(release_json(&with), release_json(&without));
        let json = read(&release_json(&with));
        assert_eq!(json["artifacts"][1]["path"], "bin/x");
        assert_eq!(json["artifacts"][1]["size"], 2);
        assert_eq!(json["digest"], with.digest().to_string());
    }

    #[test]
    fn a_document_on_two_subjects_is_listed_once() {
        let on_file = Subject::Artifact("bin/x".parse().unwrap());
        let documents = [
            document(None, on_file),
            document(None, Subject::Release),
            document(Some("bin/x.intoto.jsonl"), Subject::Release),
        ];
        let json = read(&evidence_json(&release("demo@v1.0.0"), &documents, &admission()));
        let unnamed = format!(".bonded/sha256-{}.json", Digest::sha256_of(b"{}").hex());
        assert_eq!(json["documents"][0]["path"], unnamed);
        assert_eq!(
            json["documents"][0]["subjects"],
            serde_json::json!(["release", { "artifact": "bin/x" }])
        );
        assert_eq!(json["documents"][1]["path"], "bin/x.intoto.jsonl");
        assert_eq!(json["documents"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn releases_stand_newest_first_whatever_the_order_of_entries() {
        let releases = ["demo@v1.9.0", "demo@nightly", "other@v3.0.0", "demo@v1.10.0"].map(release);
        let entries: Vec<Entry<'_>> =
            releases.iter().map(|release| Entry { release, admission: admission() }).collect();
        let project = "demo".parse().unwrap();
        let bytes = releases_json(&project, &entries);
        let reversed: Vec<Entry<'_>> = entries.iter().rev().copied().collect();
        assert_eq!(bytes, releases_json(&project, &reversed));
        let json = read(&bytes);
        let versions: Vec<_> =
            json["releases"].as_array().unwrap().iter().map(|entry| &entry["version"]).collect();
        assert_eq!(versions, ["v1.10.0", "v1.9.0", "nightly"]);
        assert_eq!(json["releases"][0]["path"], "release/v1.10.0/");
        assert_eq!(json["releases"][0]["bytes"], 3);
        assert_eq!(json["markers"]["stable"], "v1.10.0");
    }
}
