//! Images on their way into a release: artifacts of it, and what is about them as its evidence.
//!
//! A referrer that has an image of the release as its subject and holds one document is evidence as it is.
//! From every other manifest that is about such an image, by whatever convention, the documents that are
//! recognised are attached; the manifest itself is held and listed under what it is about.

use std::path::{Path, PathBuf};

use bonded_model::descriptor::ANNOTATION_TITLE;
use bonded_model::evidence::Subject;
use bonded_model::limits::{EVIDENCE_BYTES_MAX, MANIFEST_BYTES_MAX};
use bonded_model::manifest::Manifest;
use bonded_model::release::ReleaseError;
use bonded_model::{Artifact, Descriptor, Digest, ImageName, Repository};

use super::entry::Entry;
use super::error::ImportError;
use super::plan::{self, Plan, Referrer, Wanted};
use super::source::Source;
use super::{Progress, copy, name_referrers, open};
use crate::attach::NewDocument;
use crate::catalog::Key;
use crate::disk::Disk;
use crate::recognise::{self, Expected, Recognised, recognise};
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
    pub(crate) recognised: Recognised,
    pub(crate) bytes: Vec<u8>,
    /// The referrer that is evidence as it is.
    referrer: Option<Descriptor>,
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

    pub(crate) fn plan(&self) -> Result<Planned<'_>, ImportError> {
        let (name, repository) = match &self.name {
            Some(GivenName::Image(name)) => (Some(name), None),
            Some(GivenName::Repository(repository)) => (None, Some(repository)),
            None => (None, None),
        };
        let wanted = Wanted { references: &[], repository, name };
        let plan = plan::plan(&self.source, self.entries.clone(), wanted)?;
        if let Some(name) = plan.releases.keys().next() {
            return Err(ImportError::HoldsRelease { name: name.clone() });
        }
        let mut documents = Vec::new();
        for referrer in &plan.referrers {
            if let Some(image) = image_of(&plan, referrer) {
                documents.extend(documents_of(&self.source, &plan, referrer, &image)?);
            }
        }
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

    /// Lists what is about the images, and what of it is evidence of the release as it is.
    pub(crate) fn name(
        &self,
        store: &Store,
        writer: &mut Writer,
        release: &bonded_model::ReleaseName,
    ) -> Result<(), ImportError> {
        name_referrers(store, writer, &self.plan)?;
        for referrer in self.documents.iter().filter_map(|document| document.referrer.as_ref()) {
            writer.insert(Key::evidence(release, &referrer.digest), referrer.clone())?;
        }
        Ok(())
    }
}

impl ImageDocument {
    /// As it is to be attached; `None` if it is evidence as it is.
    pub(crate) fn to_document(&self) -> Option<NewDocument<'_>> {
        self.referrer.is_none().then(|| NewDocument {
            bytes: &self.bytes,
            kind: self.recognised.kind,
            media_type: self.recognised.media_type.clone(),
            title: None,
            predicate_type: self.recognised.predicate_type.as_deref(),
        })
    }
}

/// The image that a referrer is about: it, or the one that what it is about is part of.
fn image_of(plan: &Plan<'_>, referrer: &Referrer) -> Option<(ImageName, Digest)> {
    let of = |about: &Digest| {
        let itself = plan.images.iter().find(|(_, image)| image.digest == *about);
        // The entry of any other trail is no name of an image.
        let around = plan.walk.trail_to(about).entry.parse::<ImageName>().ok();
        let found = itself.or_else(|| plan.images.get_key_value(&around?));
        found.map(|(name, image)| (name.clone(), image.digest))
    };
    referrer.about.iter().find_map(of)
}

fn documents_of(
    source: &Source,
    plan: &Plan<'_>,
    referrer: &Referrer,
    image: &(ImageName, Digest),
) -> Result<Vec<ImageDocument>, ImportError> {
    let (name, digest) = image;
    let Some(artifact) =
        plan.images.get(name).and_then(|image| Artifact::of_image(name, image).ok())
    else {
        return Ok(Vec::new()); // no image of a release; making the release says so
    };
    let whole = whole_evidence(source, referrer, digest)?;
    let mut documents = Vec::new();
    let head = plan.walk.head(&referrer.descriptor.digest);
    for layer in head.into_iter().flat_map(super::walk::Head::documents) {
        let Some(bytes) = read(source, layer, EVIDENCE_BYTES_MAX)? else { continue };
        let found = [Expected::Attestation, Expected::Sbom];
        // What is recognised as nothing proves nothing, and stays a referrer.
        let found = found.into_iter().find_map(|expected| recognise(expected, &bytes).ok());
        let Some(recognised) = found else { continue };
        let as_is = whole && recognise::kind_of(&layer.media_type, &bytes) == recognised.kind;
        documents.push(ImageDocument {
            subject: Subject::Artifact(artifact.path.clone()),
            recognised,
            bytes,
            referrer: as_is.then(|| referrer.descriptor.clone()),
        });
    }
    Ok(documents)
}

/// Whether a referrer is what this program would read as evidence about that image.
fn whole_evidence(
    source: &Source,
    referrer: &Referrer,
    image: &Digest,
) -> Result<bool, ImportError> {
    let bytes = read(source, &referrer.descriptor, MANIFEST_BYTES_MAX)?;
    let Some(Ok(manifest)) = bytes.map(|bytes| Manifest::parse(&bytes)) else {
        return Ok(false);
    };
    Ok(manifest.layers.len() == 1
        && manifest.subject.is_some_and(|subject| subject.digest == *image)
        && !manifest.annotations.contains_key(ANNOTATION_TITLE))
}

fn read(source: &Source, blob: &Descriptor, limit: u64) -> Result<Option<Vec<u8>>, ImportError> {
    if blob.size > limit {
        return Ok(None);
    }
    let file = source.find_blob(&blob.digest)?;
    file.map(|mut file| file.read_all(limit)).transpose()
}
