//! What belongs to an export, as a value: made from a snapshot, before anything is written.
//!
//! ```text
//! index.json   names            ref.name = <project>/<version> or <repository>:<tag>
//!              referrers        no ref.name; vnd.bonded.evidence = the releases whose evidence it is
//!              fallback tags    ref.name = sha256-<hex of the subject>, an index of its referrers
//!              cosign's tags    ref.name = sha256-<hex of the subject>.sig, .att or .sbom
//! blobs        all that is reachable from these, each once
//! ```
//!
//! Referrers stand in the list twice because both conventions live: untagged entries (oras, cosign) and
//! tags that clients of registries without a referrers API make (OCI distribution-spec, "Referrers Tag
//! Schema"). What came in without a subject goes out by the convention that it came in by. Of a file that
//! stands in several releases, only the evidence of exported releases goes with it; of an image, all that
//! refers to it. The images of a release have tags of their own where the catalog names them as well.
//!
//! A referrer's own annotations go out with its entry, as the referrers API would list them, but for those
//! that mean something to whoever reads the list: a stranger could give himself a name, or a release's
//! trust.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::descriptor::{ANNOTATION_REF_NAME, Annotations};
use bonded_model::json;
use bonded_model::limits::MANIFEST_BYTES_MAX;
use bonded_model::manifest::{Index, ManifestError};
use bonded_model::{Descriptor, Digest, ImageName, MediaType, Release, ReleaseName, media_type};
use serde::Deserialize;

use super::bounds::Bounds;
use super::{ExportError, ExportName, ExportedName, Referrers, What};
use crate::catalog::Key;
use crate::error::StoreError;
use crate::image::{ANNOTATION_CONTAINERD_NAME, ANNOTATION_CONVENTION, ANNOTATION_KIND};
use crate::references;
use crate::snapshot::Snapshot;

/// On an untagged entry of `index.json`: the releases whose evidence it is, as `<project>/<version>`
/// between spaces. What is evidence for one release need not be for another that shares a file with it.
pub(crate) const ANNOTATION_EVIDENCE: &str = "vnd.bonded.evidence";

/// Annotations that give an entry of `index.json` a name or a role. What begins with [`OWN`] is for this
/// program alone to write.
const NAMING: [&str; 3] = [ANNOTATION_REF_NAME, ANNOTATION_CONTAINERD_NAME, ANNOTATION_KIND];
const OWN: &str = "vnd.bonded.";

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
    place: Place,
    evidence_of: BTreeSet<ReleaseName>,
}

/// A referrer in the catalog.
struct Found {
    /// The subject that it is listed under.
    under: Digest,
    listed: Descriptor,
    evidence_of: BTreeSet<ReleaseName>,
}

/// How a referrer says what it is about.
#[derive(Debug)]
enum Place {
    /// By its subject.
    Subject(Digest),
    /// By standing under the fallback tag of these.
    Fallback(BTreeSet<Digest>),
    /// By a tag with a suffix that is made from these.
    CosignTag(BTreeSet<Digest>, String),
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
    /// All that goes out with some names, if it is within these bounds.
    pub(super) fn gather(
        snapshot: &Snapshot,
        what: What<'_>,
        referrers: Referrers,
        bounds: Bounds,
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
        let has = contents.make_index();
        bounds.check(has)?;
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
                    let found = Found { under: subject.digest, listed, evidence_of };
                    self.add_referrer(snapshot, found, &mut open)?;
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
            let (key, listed) = entry?;
            let Some((under, _)) = key.to_referrer() else { continue };
            let evidence_of = evidence.get(&listed.digest).cloned().unwrap_or_default();
            // What refers to a referrer has a key of its own, so its manifests need not be kept.
            let found = Found { under, listed, evidence_of };
            self.add_referrer(snapshot, found, &mut Vec::new())?;
        }
        Ok(())
    }

    fn add_referrer(
        &mut self,
        snapshot: &Snapshot,
        found: Found,
        open: &mut Vec<Descriptor>,
    ) -> Result<(), StoreError> {
        let listed = found.listed.clone();
        if let Some(held) = self.referrers.get_mut(&listed.digest) {
            if let Place::Fallback(subjects) | Place::CosignTag(subjects, _) = &mut held.place
                && found.listed.annotations.contains_key(ANNOTATION_CONVENTION)
            {
                subjects.insert(found.under);
            }
            return Ok(());
        }
        let Some(referrer) = read_referrer(snapshot, found)? else { return Ok(()) };
        self.referrers.insert(listed.digest, referrer);
        self.add_closure(snapshot, &listed, open)
    }

    /// Makes the fallback tags and the list of all, and counts what an import will.
    fn make_index(&mut self) -> Bounds {
        let mut entries: Vec<Descriptor> = self
            .names
            .iter()
            .map(|name| tagged(name.descriptor.clone(), name.tag.clone()))
            .collect();
        let mut by_subject: BTreeMap<Digest, Vec<Descriptor>> = BTreeMap::new();
        let mut tags = BTreeSet::new();
        for referrer in self.referrers.values() {
            let descriptor = &referrer.descriptor;
            match &referrer.place {
                Place::Subject(subject) => {
                    entries.push(referrer.to_entry());
                    by_subject.entry(*subject).or_default().push(descriptor.clone());
                }
                // Two that claim one tag, as from two layouts, cannot both have it.
                Place::CosignTag(subjects, suffix) => subjects.iter().for_each(|subject| {
                    let tag = format!("{}.{suffix}", digest_tag(subject));
                    if tags.insert(tag.clone()) {
                        entries.push(tagged(descriptor.clone(), tag));
                    } else {
                        by_subject.entry(*subject).or_default().push(descriptor.clone());
                    }
                }),
                Place::Fallback(subjects) => subjects.iter().for_each(|subject| {
                    by_subject.entry(*subject).or_default().push(descriptor.clone());
                }),
            }
        }
        let mut listed_count = 0;
        for (subject, listed) in by_subject {
            let count = listed.len();
            let bytes = Index::plain(listed).to_bytes();
            let fallback = Descriptor::of(MediaType::known(media_type::OCI_INDEX), &bytes);
            if fallback.size > MANIFEST_BYTES_MAX {
                self.without_fallback.push(subject);
                continue;
            }
            listed_count += count;
            self.blobs.insert(fallback.digest, fallback.size);
            self.made.insert(fallback.digest, bytes);
            entries.push(tagged(fallback, digest_tag(&subject)));
        }
        let count = entries.len();
        self.index = Index::plain(entries).to_bytes();
        let referrers = count + listed_count;
        let (index_bytes, blobs) = (self.index.len(), referrers + self.blobs.len());
        Bounds { entries: count, index_bytes, referrers, blobs }
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

/// The tag that stands for a digest (OCI distribution-spec, "Referrers Tag Schema").
fn digest_tag(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
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
/// `None` if it says nowhere that it is about this: then its statements name it, and it goes out with what
/// it is about.
fn read_referrer(snapshot: &Snapshot, found: Found) -> Result<Option<Referrer>, StoreError> {
    let Found { under, listed, evidence_of } = found;
    let bytes = snapshot.read(&listed, MANIFEST_BYTES_MAX)?;
    let head: Head = json::parse(&bytes, MANIFEST_BYTES_MAX).map_err(|source| {
        StoreError::Manifest { digest: listed.digest, source: ManifestError::Json(source) }
    })?;
    let convention = listed.annotations.get(ANNOTATION_CONVENTION).map(String::as_str);
    let place = match (head.subject, convention.map(cosign_suffix)) {
        (Some(subject), _) => Place::Subject(subject.digest),
        (None, Some(Some(suffix))) => Place::CosignTag(BTreeSet::from([under]), suffix.to_owned()),
        (None, Some(None)) => Place::Fallback(BTreeSet::from([under])),
        (None, None) => return Ok(None),
    };
    let config = head.config.map(|config| config.media_type);
    let descriptor = Descriptor {
        artifact_type: head.artifact_type.or(config),
        annotations: harmless(head.annotations.unwrap_or_default()),
        platform: None,
        ..listed
    };
    Ok(Some(Referrer { descriptor, place, evidence_of }))
}

/// Without what would give an entry of a list a name or a role.
fn harmless(mut annotations: Annotations) -> Annotations {
    annotations.retain(|key, _| !NAMING.contains(&key.as_str()) && !key.starts_with(OWN));
    annotations
}

/// The suffix of the tag under which cosign keeps what came in by a convention of its own.
fn cosign_suffix(convention: &str) -> Option<&str> {
    match convention {
        "cosign-save-sigs" => Some("sig"),
        "cosign-save-atts" => Some("att"),
        _ => convention.strip_prefix("cosign-tag-"),
    }
}
