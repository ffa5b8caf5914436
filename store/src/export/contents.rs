//! What belongs to an export, as a value: made from a snapshot, before anything is written.
//!
//! ```text
//! index.json   names            ref.name = <project>/<version> or <repository>:<tag>
//!              referrers        no ref.name; bonded.evidence = the releases whose evidence it is
//!              fallback tags    ref.name = sha256-<hex of the subject>, an index of its referrers
//! blobs        all that is reachable from these, each once
//! ```
//!
//! Referrers stand in the list twice because both conventions live: untagged entries (oras, cosign) and
//! tags that clients of registries without a referrers API make (OCI distribution-spec, "Referrers Tag
//! Schema"). Of a file that stands in several releases, only the evidence of exported releases goes with
//! it; of an image, all that refers to it. The images of a release have tags of their own where the catalog
//! names them as well.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::descriptor::{ANNOTATION_REF_NAME, Annotations};
use bonded_model::json;
use bonded_model::limits::MANIFEST_BYTES_MAX;
use bonded_model::manifest::{Index, ManifestError};
use bonded_model::{Descriptor, Digest, ImageName, MediaType, Release, ReleaseName, media_type};
use serde::Deserialize;

use super::{ExportError, ExportName, ExportedName, Referrers, What};
use crate::catalog::Key;
use crate::error::StoreError;
use crate::references;
use crate::snapshot::Snapshot;

/// On an untagged entry of `index.json`: the releases whose evidence it is, as `<project>/<version>`
/// between spaces. What is evidence for one release need not be for another that shares a file with it.
pub(crate) const ANNOTATION_EVIDENCE: &str = "vnd.bonded.evidence";

/// All that an export consists of.
#[derive(Debug, Default)]
pub(super) struct Contents {
    names: Vec<ExportedName>,
    /// The blobs by digest, with their sizes.
    blobs: BTreeMap<Digest, u64>,
    /// Those of them that are made here.
    made: BTreeMap<Digest, Vec<u8>>,
    referrers: BTreeMap<Digest, Referrer>,
    without_fallback: Vec<Digest>,
    index: Vec<u8>,
}

#[derive(Debug)]
struct Referrer {
    /// As the referrers API would list it.
    descriptor: Descriptor,
    subject: Option<Digest>,
    evidence_of: BTreeSet<ReleaseName>,
}

/// The releases whose evidence a referrer is.
type EvidenceOf = BTreeMap<Digest, BTreeSet<ReleaseName>>;

/// What a manifest or index says of itself beside its references.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    artifact_type: Option<MediaType>,
    config: Option<Descriptor>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<Annotations>,
}

impl Contents {
    /// All that goes out with some names.
    pub(super) fn gather(
        snapshot: &Snapshot,
        what: What<'_>,
        referrers: Referrers,
    ) -> Result<Self, ExportError> {
        let mut contents = Self { names: names(snapshot, what)?, ..Self::default() };
        let mut manifests = Vec::new();
        for name in contents.names.clone() {
            contents.add_closure(snapshot, &name.descriptor, &mut manifests)?;
        }
        if referrers == Referrers::All {
            let evidence = evidence(snapshot, &contents.names)?;
            contents.add_referrers(snapshot, &evidence, manifests)?;
            if what == What::Everything {
                contents.add_stray_referrers(snapshot, &evidence)?;
            }
        }
        contents.make_index();
        Ok(contents)
    }

    /// The bytes of `index.json`.
    pub(super) fn index(&self) -> &[u8] {
        &self.index
    }

    /// The blobs by digest, with their sizes.
    pub(super) fn blobs(&self) -> &BTreeMap<Digest, u64> {
        &self.blobs
    }

    /// The bytes of a blob that the store need not hold.
    pub(super) fn made(&self, digest: &Digest) -> Option<&[u8]> {
        self.made.get(digest).map(Vec::as_slice)
    }

    /// How many bytes the blobs have.
    pub(super) fn bytes(&self) -> u64 {
        self.blobs.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    pub(super) fn referrer_count(&self) -> usize {
        self.referrers.len()
    }

    pub(super) fn without_fallback(&self) -> &[Digest] {
        &self.without_fallback
    }

    pub(super) fn into_names(self) -> Vec<ExportedName> {
        self.names
    }

    /// Adds what a manifest or index consists of, and tells which of that is a manifest and new.
    fn add_closure(
        &mut self,
        snapshot: &Snapshot,
        top: &Descriptor,
        manifests: &mut Vec<Descriptor>,
    ) -> Result<(), StoreError> {
        for blob in snapshot.image_closure(top)? {
            let is_new = self.blobs.insert(blob.digest, blob.size).is_none();
            if is_new && references::is_manifest(&blob.media_type) {
                manifests.push(blob);
            }
        }
        Ok(())
    }

    /// Adds what refers to these manifests, and to the manifests of that, to the end.
    fn add_referrers(
        &mut self,
        snapshot: &Snapshot,
        evidence: &EvidenceOf,
        mut open: Vec<Descriptor>,
    ) -> Result<(), StoreError> {
        while let Some(subject) = open.pop() {
            let own = subject.artifact_type.as_ref().map(MediaType::as_str);
            let of_release =
                matches!(own, Some(media_type::BONDED_FILE | media_type::BONDED_RELEASE));
            for listed in snapshot.referrers(&subject.digest)? {
                let evidence_of = evidence.get(&listed.digest).cloned().unwrap_or_default();
                let is_anothers = of_release && evidence_of.is_empty();
                if !is_anothers {
                    self.add_referrer(snapshot, &listed, evidence_of, &mut open)?;
                }
            }
        }
        Ok(())
    }

    /// Adds referrers whose subjects are not held, which is legal (OCI distribution-spec, "Pushing
    /// Manifests with Subject").
    fn add_stray_referrers(
        &mut self,
        snapshot: &Snapshot,
        evidence: &EvidenceOf,
    ) -> Result<(), StoreError> {
        for entry in snapshot.catalog().scan(Key::REFERRERS) {
            let (_, listed) = entry?;
            let evidence_of = evidence.get(&listed.digest).cloned().unwrap_or_default();
            // What refers to a referrer has a key of its own, so its manifests need not be kept.
            self.add_referrer(snapshot, &listed, evidence_of, &mut Vec::new())?;
        }
        Ok(())
    }

    fn add_referrer(
        &mut self,
        snapshot: &Snapshot,
        listed: &Descriptor,
        evidence_of: BTreeSet<ReleaseName>,
        open: &mut Vec<Descriptor>,
    ) -> Result<(), StoreError> {
        if self.referrers.contains_key(&listed.digest) {
            return Ok(());
        }
        let referrer = read_referrer(snapshot, listed, evidence_of)?;
        self.referrers.insert(listed.digest, referrer);
        self.add_closure(snapshot, listed, open)
    }

    /// Makes the fallback tags and the list of all.
    fn make_index(&mut self) {
        let mut entries: Vec<Descriptor> = self
            .names
            .iter()
            .map(|name| tagged(name.descriptor.clone(), name.tag.clone()))
            .collect();
        entries.extend(self.referrers.values().map(Referrer::to_entry));
        let mut by_subject: BTreeMap<Digest, Vec<Descriptor>> = BTreeMap::new();
        for referrer in self.referrers.values() {
            if let Some(subject) = referrer.subject {
                by_subject.entry(subject).or_default().push(referrer.descriptor.clone());
            }
        }
        for (subject, listed) in by_subject {
            let bytes = Index::plain(listed).to_bytes();
            let fallback = Descriptor::of(MediaType::known(media_type::OCI_INDEX), &bytes);
            if fallback.size > MANIFEST_BYTES_MAX {
                self.without_fallback.push(subject);
                continue;
            }
            self.blobs.insert(fallback.digest, fallback.size);
            self.made.insert(fallback.digest, bytes);
            let tag = format!("{}-{}", subject.algorithm().name(), subject.hex());
            entries.push(tagged(fallback, tag));
        }
        self.index = Index::plain(entries).to_bytes();
    }
}

impl Referrer {
    fn to_entry(&self) -> Descriptor {
        let mut entry = self.descriptor.clone();
        let releases = self.evidence_of.iter();
        let releases: Vec<String> =
            releases.map(|name| format!("{}/{}", name.project, name.version)).collect();
        if !releases.is_empty() {
            entry.annotations.insert(ANNOTATION_EVIDENCE.to_owned(), releases.join(" "));
        }
        entry
    }
}

fn tagged(mut descriptor: Descriptor, tag: String) -> Descriptor {
    descriptor.annotations.insert(ANNOTATION_REF_NAME.to_owned(), tag);
    descriptor
}

/// The names that are wanted, each once, in the order of their tags.
fn names(snapshot: &Snapshot, what: What<'_>) -> Result<Vec<ExportedName>, ExportError> {
    let wanted: BTreeSet<ExportName> = match what {
        What::Names(names) => names.iter().cloned().collect(),
        What::Everything => {
            let releases = snapshot.releases()?.into_iter().map(ExportName::Release);
            releases.chain(images(snapshot)?.into_iter().map(ExportName::Image)).collect()
        }
    };
    let mut found = BTreeMap::new();
    for name in wanted {
        match &name {
            ExportName::Release(release) => {
                let release = snapshot.release(release)?;
                found.extend(images_of(snapshot, &release)?);
                found.insert(name, release.index().clone());
            }
            ExportName::Image(image) => {
                let descriptor = find_image(snapshot, image)?;
                found.insert(name, descriptor);
            }
        }
    }
    let exported = found.into_iter().map(|(name, descriptor)| ExportedName {
        tag: name.tag(),
        name,
        descriptor,
    });
    let mut exported: Vec<_> = exported.collect();
    exported.sort_by(|a, b| a.tag.cmp(&b.tag));
    Ok(exported)
}

/// The images of a release that the catalog has under the same names.
fn images_of(
    snapshot: &Snapshot,
    release: &Release,
) -> Result<BTreeMap<ExportName, Descriptor>, StoreError> {
    let mut images = BTreeMap::new();
    for artifact in release.artifacts() {
        let Some(name) = artifact.image_name() else { continue };
        let held = snapshot.catalog().get(&Key::image(&name.repository, &name.tag))?;
        if let Some(held) = held.filter(|held| held.digest == artifact.manifest.digest) {
            images.insert(ExportName::Image(name), held);
        }
    }
    Ok(images)
}

fn images(snapshot: &Snapshot) -> Result<Vec<ImageName>, StoreError> {
    let entries = snapshot.catalog().scan(Key::IMAGES);
    entries.filter_map(|entry| entry.map(|(key, _)| key.to_image()).transpose()).collect()
}

fn find_image(snapshot: &Snapshot, name: &ImageName) -> Result<Descriptor, ExportError> {
    let found = snapshot.catalog().get(&Key::image(&name.repository, &name.tag))?;
    if let Some(descriptor) = found {
        return Ok(descriptor);
    }
    let wanted = name.to_string();
    let near = |held: &ImageName| strsim::damerau_levenshtein(&held.to_string(), &wanted);
    let nearest = images(snapshot)?.into_iter().min_by_key(near);
    let nearest = nearest.filter(|held| near(held) <= wanted.len() / 2);
    Err(ExportError::NoImage { name: name.clone(), nearest })
}

/// The referrers that are evidence of exported releases.
fn evidence(snapshot: &Snapshot, names: &[ExportedName]) -> Result<EvidenceOf, StoreError> {
    let mut evidence = EvidenceOf::new();
    for exported in names {
        let ExportName::Release(release) = &exported.name else { continue };
        for entry in snapshot.catalog().scan(&Key::evidence_prefix(release)) {
            let (_, referrer) = entry?;
            evidence.entry(referrer.digest).or_default().insert(release.clone());
        }
    }
    Ok(evidence)
}

/// Reads a referrer, to list it as the referrers API would (OCI distribution-spec, "Listing Referrers").
fn read_referrer(
    snapshot: &Snapshot,
    listed: &Descriptor,
    evidence_of: BTreeSet<ReleaseName>,
) -> Result<Referrer, StoreError> {
    let bytes = snapshot.read(listed, MANIFEST_BYTES_MAX)?;
    let head: Head = json::parse(&bytes, MANIFEST_BYTES_MAX).map_err(|source| {
        StoreError::Manifest { digest: listed.digest, source: ManifestError::Json(source) }
    })?;
    let config = head.config.map(|config| config.media_type);
    let descriptor = Descriptor {
        artifact_type: head.artifact_type.or(config),
        annotations: head.annotations.unwrap_or_default(),
        platform: None,
        ..listed.clone()
    };
    let subject = head.subject.map(|subject| subject.digest);
    Ok(Referrer { descriptor, subject, evidence_of })
}
