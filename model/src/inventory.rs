//! The three lists that are published beside the files, as pure functions to canonical bytes, so
//! that `serve` and every mirror answer with the same ones.
//!
//! ```text
//! <project>/release/<version>/.bonded/release.json   immutable: only what the release digest pins
//!   {"artifacts":[{"digest","image"?,"manifest","mediaType","path","platform"?,"size"}…],
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

use serde::{Deserialize, Serialize};

use crate::descriptor::Platform;
use crate::digest::Digest;
use crate::evidence::{Document, DocumentKind, Subject};
use crate::json::{self, JsonError, to_canonical};
use crate::limits::CATALOG_BYTES_MAX;
use crate::marker::markers;
use crate::media_type::MediaType;
use crate::name::{ImageName, Project, ReleaseName, Version};
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

/// A document as it is published: once per path, however many subjects it is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedDocument {
    /// Where it stands, relative to the release's directory.
    pub path: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// What it looks like.
    pub kind: DocumentKind,
    /// The media type it is held under.
    pub media_type: MediaType,
    /// What it is attached to, in order.
    pub subjects: Vec<Subject>,
}

/// Two contents claim one published path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("release {release} would publish {path} twice, as {first} and as {second}")]
pub struct SamePath {
    /// Which release.
    pub release: ReleaseName,
    /// The path inside it.
    pub path: String,
    /// The digest that has it.
    pub first: Digest,
    /// The digest that claims it too.
    pub second: Digest,
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
    image: Option<ImageName>,
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
    documents: &'a [ListedDocument],
}

/// `releases.json` as a value: what a destination already says, or is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Whose releases.
    pub project: Project,
    /// Marker name to the version it points to.
    pub markers: BTreeMap<String, Version>,
    /// The releases by version; written newest first.
    pub releases: BTreeMap<Version, Listed>,
}

/// What [`Listing`] says about one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The release digest.
    pub digest: Digest,
    /// How many artifacts it has.
    pub artifacts: usize,
    /// The size of all its files together.
    pub bytes: u64,
    /// What it was admitted under.
    pub admission: Admission,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireReleases {
    project: Project,
    markers: BTreeMap<String, Version>,
    releases: Vec<WireEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireEntry {
    version: Version,
    digest: Digest,
    path: String,
    artifacts: usize,
    bytes: u64,
    policy: Digest,
    trust_root: Digest,
    evidence: Digest,
}

/// Why bytes are no `releases.json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// Not strict JSON of the right shape.
    #[error("not a list of releases")]
    Json(#[from] JsonError),
    /// It lists releases of another project than the one asked for.
    #[error("the list is of project {found}, expected {expected}")]
    Project {
        /// The project asked for.
        expected: Project,
        /// As read.
        found: Project,
    },
    /// One version stands in it twice.
    #[error("the list has version {version} twice")]
    Twice {
        /// The version.
        version: Version,
    },
}

impl Listing {
    /// A list of nothing.
    pub fn empty(project: Project) -> Self {
        Self { project, markers: BTreeMap::new(), releases: BTreeMap::new() }
    }

    /// Reads the list of one project, as [`Listing::to_bytes`] writes it.
    ///
    /// # Errors
    /// [`ListingError`] if it is something else, another project's, or has a version twice.
    pub fn parse(project: &Project, bytes: &[u8]) -> Result<Self, ListingError> {
        let wire: WireReleases = json::parse(bytes, CATALOG_BYTES_MAX)?;
        if wire.project != *project {
            return Err(ListingError::Project { expected: project.clone(), found: wire.project });
        }
        let mut listing = Self { markers: wire.markers, ..Self::empty(wire.project) };
        for entry in wire.releases {
            let (version, listed) = entry.into_listed();
            if listing.releases.insert(version.clone(), listed).is_some() {
                return Err(ListingError::Twice { version });
            }
        }
        Ok(listing)
    }

    /// Its canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut versions: Vec<&Version> = self.releases.keys().collect();
        versions.sort_by(|a, b| newest_first(a, b));
        let entries = versions.into_iter().filter_map(|version| {
            let listed = self.releases.get(version)?;
            Some(WireEntry::new(&self.project, version, listed))
        });
        to_canonical(&WireReleases {
            project: self.project.clone(),
            markers: self.markers.clone(),
            releases: entries.collect(),
        })
    }
}

impl Listed {
    /// What is listed about a release.
    pub fn of(entry: &Entry<'_>) -> Self {
        Self {
            digest: entry.release.digest(),
            artifacts: entry.release.artifacts().len(),
            bytes: total_bytes(entry.release),
            admission: entry.admission,
        }
    }
}

impl WireEntry {
    fn new(project: &Project, version: &Version, listed: &Listed) -> Self {
        let name = ReleaseName { project: project.clone(), version: version.clone() };
        Self {
            version: version.clone(),
            digest: listed.digest,
            path: beside_list(&name),
            artifacts: listed.artifacts,
            bytes: listed.bytes,
            policy: listed.admission.policy,
            trust_root: listed.admission.trust_root,
            evidence: listed.admission.evidence,
        }
    }

    fn into_listed(self) -> (Version, Listed) {
        let admission =
            Admission { policy: self.policy, trust_root: self.trust_root, evidence: self.evidence };
        let listed =
            Listed { digest: self.digest, artifacts: self.artifacts, bytes: self.bytes, admission };
        (self.version, listed)
    }
}

/// What a release consists of: the bytes at [`tree::inventory`].
pub fn release_json(release: &Release) -> Vec<u8> {
    let artifacts = release.artifacts().iter().map(|artifact| WireArtifact {
        path: artifact.path.as_str(),
        digest: artifact.file.digest,
        size: artifact.file.size,
        media_type: &artifact.file.media_type,
        manifest: artifact.manifest.digest,
        image: artifact.image_name(),
        platform: artifact.platform.as_ref(),
    });
    to_canonical(&WireRelease {
        project: &release.name().project,
        version: &release.name().version,
        digest: release.digest(),
        artifacts: artifacts.collect(),
    })
}

/// The documents of a release by the path at which each is published, in the order of the paths.
///
/// # Errors
/// [`SamePath`] if two documents, or a document and a file of the release, differ under one path.
pub fn list(release: &Release, documents: &[Document]) -> Result<Vec<ListedDocument>, SamePath> {
    let files = release.artifacts().iter();
    let files: BTreeMap<&str, Digest> =
        files.map(|artifact| (artifact.path.as_str(), artifact.file.digest)).collect();
    let mut listed: BTreeMap<String, ListedDocument> = BTreeMap::new();
    for document in documents {
        let path = inside_release(release.name(), &tree::document(release.name(), document));
        let held = files.get(path.as_str()).copied();
        let entry = listed.entry(path).or_insert_with_key(|path| as_listed(path, document));
        let first = held.unwrap_or(entry.digest);
        if first != document.digest {
            return Err(SamePath {
                release: release.name().clone(),
                path: entry.path.clone(),
                first,
                second: document.digest,
            });
        }
        entry.subjects.push(document.subject.clone());
        entry.subjects.sort();
    }
    Ok(listed.into_values().collect())
}

/// What is held about a release, from [`list`]: the bytes at [`tree::evidence_list`].
pub fn evidence_json(
    release: &Release,
    documents: &[ListedDocument],
    admission: &Admission,
) -> Vec<u8> {
    to_canonical(&WireEvidence {
        project: &release.name().project,
        version: &release.name().version,
        release: release.digest(),
        policy: admission.policy,
        trust_root: admission.trust_root,
        evidence: admission.evidence,
        documents,
    })
}

/// Which releases a project has, newest first: the bytes at [`tree::releases_json`].
///
/// Entries of other projects are left out.
pub fn releases_json(project: &Project, entries: &[Entry<'_>]) -> Vec<u8> {
    let own = entries.iter().filter(|entry| entry.release.name().project == *project);
    let releases: BTreeMap<Version, Listed> =
        own.map(|entry| (entry.release.name().version.clone(), Listed::of(entry))).collect();
    let markers = markers(releases.keys());
    Listing { project: project.clone(), markers, releases }.to_bytes()
}

/// The content of a marker's file: the version, without a newline, as dl.k8s.io has it.
pub fn marker_text(version: &Version) -> Vec<u8> {
    version.as_str().as_bytes().to_vec()
}

/// The size of all files of a release together. An image counts with its manifest or index, since a
/// release says no more of it.
pub fn total_bytes(release: &Release) -> u64 {
    release.artifacts().iter().fold(0, |sum, artifact| sum.saturating_add(artifact.file.size))
}

/// The order of lists: semantic versions from high to low, then all others from Z to A.
pub fn newest_first(a: &Version, b: &Version) -> Ordering {
    let key = |version: &Version| Reverse((version.to_semver(), version.clone()));
    key(a).cmp(&key(b))
}

fn as_listed(path: &str, document: &Document) -> ListedDocument {
    ListedDocument {
        path: path.to_owned(),
        digest: document.digest,
        size: u64::try_from(document.bytes.len()).unwrap_or(u64::MAX),
        kind: document.kind,
        media_type: document.media_type.clone(),
        subjects: Vec::new(),
    }
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
    fn an_image_is_listed_with_its_name() {
        let index = Descriptor::of(MediaType::known(media_type::OCI_INDEX), b"{}");
        let image = Artifact::of_image(&"example.com/x:v1".parse().unwrap(), &index).unwrap();
        let (release, _) = Release::new("demo@v1".parse().unwrap(), vec![image]).unwrap();
        let json = read(&release_json(&release));
        let listed = &json["artifacts"][0];
        assert_eq!(listed["path"], "images/example.com/x/v1");
        assert_eq!(listed["image"], "example.com/x:v1");
        assert_eq!(
            (&listed["digest"], &listed["manifest"]),
            (&listed["manifest"], &listed["digest"])
        );
        assert_eq!(listed["mediaType"], media_type::OCI_INDEX);
    }

    #[test]
    fn a_document_on_two_subjects_is_listed_once() {
        let on_file = Subject::Artifact("bin/x".parse().unwrap());
        let documents = [
            document(None, on_file),
            document(None, Subject::Release),
            document(Some("bin/x.intoto.jsonl"), Subject::Release),
        ];
        let release = release("demo@v1.0.0");
        let listed = list(&release, &documents).unwrap();
        let json = read(&evidence_json(&release, &listed, &admission()));
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
    fn one_path_holds_one_content() {
        let release = release("demo@v1.0.0");
        let on_release = |title, bytes: &[u8]| Document {
            digest: Digest::sha256_of(bytes),
            ..document(Some(title), Subject::Release)
        };
        let refused = |documents: &[Document]| list(&release, documents).unwrap_err();
        let twice = refused(&[on_release("x.spdx", b"1"), on_release("x.spdx", b"2")]);
        assert_eq!((twice.path.as_str(), twice.second), ("x.spdx", Digest::sha256_of(b"2")));
        let over_a_file = refused(&[on_release("a", b"4")]);
        assert_eq!(over_a_file.first, Digest::sha256_of(b"3"));
        assert_eq!(list(&release, &[on_release("a", b"3")]).unwrap().len(), 1);
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

    #[test]
    fn a_listing_reads_back_and_strangers_are_refused() {
        let releases = ["demo@v1.9.0", "demo@nightly"].map(release);
        let entries: Vec<Entry<'_>> =
            releases.iter().map(|release| Entry { release, admission: admission() }).collect();
        let (project, other) = ("demo".parse().unwrap(), "other".parse().unwrap());
        let bytes = releases_json(&project, &entries);
        let listing = Listing::parse(&project, &bytes).unwrap();
        assert_eq!(listing.to_bytes(), bytes);
        assert_eq!(listing.releases.len(), 2);

        let text = String::from_utf8(bytes).unwrap();
        let refused = |project, text: &str| Listing::parse(project, text.as_bytes()).unwrap_err();
        assert!(matches!(refused(&other, &text), ListingError::Project { .. }));
        let twice = text.replace("\"nightly\"", "\"v1.9.0\"");
        assert!(matches!(refused(&project, &twice), ListingError::Twice { .. }));
        let unknown = text.replace("{\"markers\"", "{\"more\":1,\"markers\"");
        assert!(matches!(refused(&project, &unknown), ListingError::Json(_)));
        assert!(matches!(refused(&project, "[]"), ListingError::Json(_)));
        assert!(matches!(refused(&project, ""), ListingError::Json(_)));
    }
}
