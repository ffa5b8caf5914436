//! Images on their way into a release: artifacts of it, and what is about them as its evidence.
//!
//! A referrer that has an image of the release as its subject and holds one document is evidence as it is.
//! From every other manifest that is about such an image, by whatever convention, the documents that are
//! recognised are attached; the manifest itself is held and listed under what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bonded_model::cosign::{self, Layer};
use bonded_model::descriptor::ANNOTATION_TITLE;
use bonded_model::evidence::Subject;
use bonded_model::json::JsonError;
use bonded_model::limits::{EVIDENCE_BYTES_MAX, MANIFEST_BYTES_MAX};
use bonded_model::manifest::Manifest;
use bonded_model::release::ReleaseError;
use bonded_model::{
    Artifact, Descriptor, Digest, DocumentKind, ImageName, Release, ReleaseName, Repository,
};

use super::entry::Entry;
use super::error::ImportError;
use super::inner::Inner;
use super::plan::{self, Bounds, Plan, Referrer, Wanted};
use super::source::Source;
use super::{Manifests, Progress, copy, name_referrers, open};
use crate::attach::{AsItIs, NewDocument, check_evidence};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::recognise::{self, Expected, Recognised, recognise};
use crate::references;
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::store::Store;
use crate::writer::Writer;

/// Images for a release: where they are, and what is to be added to their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// A directory with an OCI layout, or an OCI or docker archive.
    pub source: PathBuf,
    /// What the layout does not say, or says otherwise.
    pub name: Option<GivenName>,
}

/// A name that is given to images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenName {
    /// That of the only image.
    Image(ImageName),
    /// The repository of images that have a tag alone.
    Repository(Repository),
}

/// A layout or an archive that was opened and listed.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: PathBuf,
    source: Source,
    entries: Vec<Entry>,
    name: Option<GivenName>,
}

/// A document that is about an image of the release.
#[derive(Debug)]
pub(crate) struct ImageDocument {
    pub(crate) subject: Subject,
    pub(crate) kind: DocumentKind,
    pub(crate) digest: Digest,
    form: Form,
}

/// How a document becomes evidence.
#[derive(Debug)]
enum Form {
    /// By the referrer that it came in. Its bytes are copied like any blob, and not needed here.
    AsItIs(AsItIs),
    /// By one that is made for it.
    Attached { recognised: Recognised, bytes: Vec<u8> },
}

/// What is to be taken in, and the evidence that came with it.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    incoming: &'a Incoming,
    plan: Plan<'a>,
    pub(crate) documents: Vec<ImageDocument>,
}

impl Incoming {
    pub(crate) fn open(disk: &Disk, input: ImageInput) -> Result<Self, ImportError> {
        let (source, entries) = open(disk, &input.source)?;
        Ok(Self { path: input.source, source, entries, name: input.name })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Plans to take all images of the source into a release.
    pub(crate) fn plan(&self, release: &ReleaseName) -> Result<Planned<'_>, ImportError> {
        let (name, repository) = match &self.name {
            Some(GivenName::Image(name)) => (Some(name), None),
            Some(GivenName::Repository(repository)) => (None, Some(repository)),
            None => (None, None),
        };
        let wanted =
            Wanted { references: &[], repository, name, releases: true, bounds: Bounds::default() };
        let plan = plan::plan(&self.source, self.entries.clone(), wanted)?;
        if let Some(name) = plan.releases.keys().next() {
            return Err(ImportError::HoldsRelease { name: name.clone() });
        }
        // A release is immutable, so an image that is left out now could never be added.
        let is_image = |entry: &&Descriptor| references::is_manifest(&entry.media_type);
        if let Some(unnamed) = plan.skipped.iter().find(is_image) {
            return Err(ImportError::NoName { digest: unnamed.digest });
        }
        let mut documents = Documents::new(&self.source, &plan, release);
        plan.referrers.iter().try_for_each(|referrer| documents.add(referrer))?;
        let documents = documents.found;
        Ok(Planned { incoming: self, plan, documents })
    }
}

impl Planned<'_> {
    pub(crate) fn path(&self) -> &Path {
        self.incoming.path()
    }

    pub(crate) fn blobs(&self) -> usize {
        self.plan.walk.blobs().count()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.plan.walk.bytes()
    }

    /// The artifacts that the images are.
    pub(crate) fn artifacts(&self) -> Result<Vec<Artifact>, ReleaseError> {
        let images = self.plan.images.iter();
        images.map(|(name, image)| Artifact::of_image(name, image)).collect()
    }

    /// Puts every blob on the stage.
    pub(crate) fn stage(
        &self,
        store: &Store,
        stage: &Stage,
        progress: &dyn Progress,
    ) -> Result<(), ImportError> {
        let facts = copy(store, &self.incoming.source, &self.plan, stage, progress)?;
        store.facts().put_many(&facts);
        Ok(())
    }

    /// The referrers that are evidence as they are.
    pub(crate) fn as_they_are(&self) -> impl Iterator<Item = AsItIs> + '_ {
        self.documents.iter().filter_map(|document| match &document.form {
            Form::AsItIs(one) => Some(one.clone()),
            Form::Attached { .. } => None,
        })
    }

    /// What is held already and statements about the images name.
    pub(crate) fn inner(&self, snapshot: &Snapshot) -> Result<Inner, StoreError> {
        let evidence = self.evidence();
        Inner::find(snapshot, &self.plan, |one| evidence.contains(&one.descriptor.digest))
    }

    fn evidence(&self) -> BTreeSet<Digest> {
        self.as_they_are().map(|one| one.referrer.digest).collect()
    }

    /// Lists what is about the images, and about those manifests that are held already. Gives what could not
    /// be read when these were looked for.
    pub(crate) fn name(
        &self,
        writer: &mut Writer,
        release: &Release,
        inner: Inner,
    ) -> Result<BTreeSet<Digest>, ImportError> {
        let evidence = self.evidence();
        name_referrers(writer, Manifests::of(&self.plan, inner.manifests), |referrer| {
            let is_evidence = evidence.contains(&referrer.descriptor.digest);
            if is_evidence { vec![release] } else { Vec::new() }
        })?;
        Ok(inner.unread)
    }
}

impl ImageDocument {
    /// As it is to be attached; `None` if it is evidence as it is.
    pub(crate) fn to_document(&self) -> Option<NewDocument<'_>> {
        let Form::Attached { recognised, bytes } = &self.form else { return None };
        Some(NewDocument {
            bytes,
            kind: recognised.kind,
            media_type: recognised.media_type.clone(),
            title: None,
            predicate_type: recognised.predicate_type.as_deref(),
        })
    }
}

/// Finds the documents of referrers. No more is read and kept than a verdict could take in: a few small
/// manifests can name one large document as often as they like.
struct Documents<'a> {
    source: &'a Source,
    plan: &'a Plan<'a>,
    release: &'a ReleaseName,
    /// The first name of each image.
    names: BTreeMap<Digest, &'a ImageName>,
    found: Vec<ImageDocument>,
    bytes: u64,
    /// What is attached to which image already.
    attached: BTreeSet<(Digest, Digest)>,
    /// What was recognised as nothing.
    unknown: BTreeSet<Digest>,
}

impl<'a> Documents<'a> {
    fn new(source: &'a Source, plan: &'a Plan<'a>, release: &'a ReleaseName) -> Self {
        // The last one that is collected stays.
        let names = plan.images.iter().rev().map(|(name, image)| (image.digest, name)).collect();
        let (attached, unknown) = (BTreeSet::new(), BTreeSet::new());
        Self { source, plan, release, names, found: Vec::new(), bytes: 0, attached, unknown }
    }

    /// Adds what a referrer holds, for each image that it is about.
    fn add(&mut self, referrer: &Referrer) -> Result<(), ImportError> {
        let images: BTreeSet<&ImageName> =
            referrer.about.iter().filter_map(|about| self.image_of(about)).collect();
        for name in images {
            let Some(image) = self.plan.images.get(name) else { continue };
            // What is no image of a release is refused when the release is made.
            let Ok(artifact) = Artifact::of_image(name, image) else { continue };
            self.add_about(referrer, &artifact)?;
        }
        Ok(())
    }

    /// The image with that digest, or the one that what has it is part of.
    fn image_of(&self, about: &Digest) -> Option<&'a ImageName> {
        if let Some(name) = self.names.get(about) {
            return Some(name);
        }
        // The entry of any other trail is no name of an image.
        let around = self.plan.walk.trail_to(about).entry.parse::<ImageName>().ok()?;
        self.plan.images.get_key_value(&around).map(|(name, _)| name)
    }

    fn add_about(&mut self, referrer: &Referrer, artifact: &Artifact) -> Result<(), ImportError> {
        let image = artifact.file.digest;
        let manifest = manifest(self.source, referrer)?;
        let signed = manifest.as_ref().map(signed_layers).unwrap_or_default();
        for layer in &signed {
            self.add_signed(layer, artifact)?;
        }
        let whole = manifest.as_ref().is_some_and(|manifest| is_whole(manifest, &image));
        let plan = self.plan;
        let head = plan.walk.head(&referrer.descriptor.digest);
        for layer in head.into_iter().flat_map(super::walk::Head::documents) {
            let is_known = signed.iter().any(|signed| signed.digest == layer.digest)
                || self.unknown.contains(&layer.digest)
                || !whole && self.attached.contains(&(image, layer.digest));
            if is_known {
                continue;
            }
            let Some(bytes) = read(self.source, layer, EVIDENCE_BYTES_MAX)? else { continue };
            let found = [Expected::Attestation, Expected::Sbom];
            // What is recognised as nothing proves nothing, and stays a referrer.
            let found = found.into_iter().find_map(|expected| recognise(expected, &bytes).ok());
            let Some(recognised) = found else {
                self.unknown.insert(layer.digest);
                continue;
            };
            let as_is = whole && recognise::kind_of(&layer.media_type, &bytes) == recognised.kind;
            if !as_is && !self.attached.insert((image, layer.digest)) {
                continue;
            }
            let (kind, digest) = (recognised.kind, layer.digest);
            let form = match as_is {
                true => Form::AsItIs(AsItIs {
                    referrer: referrer.descriptor.clone(),
                    about: image,
                    bytes: layer.size,
                }),
                false => Form::Attached { recognised, bytes },
            };
            let subject = Subject::Artifact(artifact.path.clone());
            self.keep(ImageDocument { subject, kind, digest, form }, layer.size)?;
        }
        Ok(())
    }

    /// Adds a layer of cosign's together with the annotations that it is worth nothing without.
    fn add_signed(&mut self, layer: &Descriptor, artifact: &Artifact) -> Result<(), ImportError> {
        let image = artifact.file.digest;
        // Left out, it would be missed by nobody: who signed an image is the point of keeping it.
        let refused = |source| ImportError::SignedLayer { image, layer: layer.digest, source };
        if layer.size > EVIDENCE_BYTES_MAX {
            let (bytes, limit) = (layer.size, EVIDENCE_BYTES_MAX);
            return Err(refused(JsonError::TooLarge { bytes, limit }.into()));
        }
        let Some(content) = read(self.source, layer, EVIDENCE_BYTES_MAX)? else { return Ok(()) };
        let Some(signed) = Layer::of(&layer.annotations, content) else { return Ok(()) };
        let bytes = signed.to_bytes();
        let recognised = recognise(Expected::Attestation, &bytes).map_err(refused)?;
        let (digest, size) =
            (Digest::sha256_of(&bytes), bytes.len().try_into().unwrap_or(u64::MAX));
        if !self.attached.insert((image, digest)) {
            return Ok(());
        }
        let subject = Subject::Artifact(artifact.path.clone());
        let (kind, form) = (recognised.kind, Form::Attached { recognised, bytes });
        self.keep(ImageDocument { subject, kind, digest, form }, size)
    }

    fn keep(&mut self, document: ImageDocument, bytes: u64) -> Result<(), ImportError> {
        self.found.push(document);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(check_evidence(self.release, self.found.len(), [self.bytes].into_iter())?)
    }
}

/// The manifest of a referrer, unless it is of a kind that holds no layers.
fn manifest(source: &Source, referrer: &Referrer) -> Result<Option<Manifest>, ImportError> {
    let bytes = read(source, &referrer.descriptor, MANIFEST_BYTES_MAX)?;
    Ok(bytes.and_then(|bytes| Manifest::parse(&bytes).ok())) // then it is no evidence as it is
}

/// The layers that cosign signed in annotations. Several may be of the same bytes, each with a signature.
fn signed_layers(manifest: &Manifest) -> Vec<Descriptor> {
    let signed = manifest.layers.iter().filter(|layer| cosign::is_signed(&layer.annotations));
    signed.cloned().collect()
}

/// Whether a referrer is what this program would read as evidence about that image.
fn is_whole(manifest: &Manifest, image: &Digest) -> bool {
    manifest.layers.len() == 1
        && manifest.subject.as_ref().is_some_and(|subject| subject.digest == *image)
        && !manifest.annotations.contains_key(ANNOTATION_TITLE)
}

fn read(source: &Source, blob: &Descriptor, limit: u64) -> Result<Option<Vec<u8>>, ImportError> {
    if blob.size > limit {
        return Ok(None);
    }
    let file = source.find_blob(&blob.digest)?;
    file.map(|mut file| file.read_all(limit)).transpose()
}
