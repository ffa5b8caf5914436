//! Ingest: files and directories become a release, and the evidence beside them its referrers.
//!
//! ```text
//! 1  walk      inputs → paths inside the release; refuses links that lead out, special files, …
//! 2  sidecar   which of them are evidence: by name, confirmed by content
//! 3  intake    every artifact is hashed while it is written, several at once, and made durable
//! 4  lock      from here on nobody else writes; what others have committed meanwhile is looked at
//! 5  commit    all of it in one step, or nothing
//! ```
//!
//! Up to 4 any number of ingests run side by side, each under a lease and in a directory of its own.
//!
//! A file given directly stands under its name, a file in a directory under its path below that
//! directory. A release is immutable: the same bytes again change nothing, other bytes are refused.
//! This module knows no policy: evidence that proves nothing is taken in as well.

mod detached;
mod error;
mod intake;
mod sidecar;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonded_model::evidence::Subject;
use bonded_model::{
    Artifact, ArtifactPath, Descriptor, Digest, DocumentKind, MediaType, Release, ReleaseName,
    media_type,
};
use rayon::prelude::*;

pub use error::IngestError;

use crate::attach;
use crate::catalog::Key;
use crate::error::StoreError;
use crate::facts::BlobFacts;
use crate::hashing::Sha512Wanted;
use crate::image::{self, ImageDocument, ImageInput, ImportError, Incoming, Inner, Planned};
use crate::lock::Holder;
use crate::snapshot::Snapshot;
use crate::sniff::Sniffed;
use crate::stage::Stage;
use crate::store::Store;
use crate::writer::Writer;

use intake::Taken;
use sidecar::Sidecar;

/// What to take in, and as what.
#[derive(Clone, Debug)]
pub struct IngestRequest<'a> {
    /// The release that the files become, or that the evidence is added to.
    pub release: &'a ReleaseName,
    /// Files and directories; a directory that is an OCI layout gives its images.
    pub inputs: &'a [PathBuf],
    /// Layouts and archives that give images.
    pub images: &'a [ImageInput],
    /// Who ingests; others that have to wait see it.
    pub holder: &'a Holder,
    /// How long to wait for another writer.
    pub wait: Duration,
    /// What is known about the files and wanted to be known.
    pub options: IngestOptions,
}

/// What is known about the files of an ingest, and what is wanted to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestOptions {
    /// Whether somebody may still write to the files.
    pub sources: Sources,
    /// For which artifacts SHA-512 is computed.
    pub sha512: Sha512,
}

/// Whether somebody may still write to the files that are taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// Somebody may: the store gets blocks of its own, by cloning or copying.
    #[default]
    MayChange,
    /// Nobody ever writes to them again, under whatever name: a large file on the store's file system
    /// may become a blob by a second name. It becomes read-only under its first name as well. Only files
    /// of this user that have one name and the mode 0644 or 0444 are linked, the others are copied.
    Immutable,
}

/// For which artifacts SHA-512 is computed, which costs about twice as much as SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sha512 {
    /// Where a checksum list or an attestation names artifacts by it alone.
    #[default]
    WhereNamed,
    /// For all of them.
    Always,
}

/// Told what an ingest is doing, from several threads at once. `()` listens to nothing.
pub trait Progress: Sync {
    /// So many artifacts with so many bytes are about to be read.
    fn planned(&self, files: usize, bytes: u64);
    /// So many more bytes have been read.
    fn advanced(&self, bytes: u64);
    /// An artifact has been read to its end.
    fn finished_file(&self, path: &ArtifactPath);
    /// Another writer has to be waited for.
    fn waiting(&self, holder: &Holder);
}

impl Progress for () {
    fn planned(&self, _files: usize, _bytes: u64) {}
    fn advanced(&self, _bytes: u64) {}
    fn finished_file(&self, _path: &ArtifactPath) {}
    fn waiting(&self, _holder: &Holder) {}
}

/// What an ingest did.
#[derive(Clone, Debug)]
pub struct IngestReport {
    /// The release as it is held now.
    pub release: Release,
    /// Whether anything changed.
    pub outcome: Outcome,
    /// The artifacts among the inputs, ordered by path.
    pub files: Vec<IngestedFile>,
    /// The evidence among the inputs, ordered by title.
    pub evidence: Vec<IngestedDocument>,
    /// How many bytes the artifacts have.
    pub bytes: u64,
    /// As [`crate::image::ImportReport::unread`], for statements that came in with images.
    pub unread: Vec<Digest>,
    /// The epoch that holds all this.
    pub epoch: u64,
}

/// Whether an ingest changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The release is new.
    Created,
    /// Everything was held already.
    Unchanged,
    /// The release was held; evidence was added to it.
    EvidenceAdded,
}

/// One artifact among the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestedFile {
    /// Where it stands in the release.
    pub path: ArtifactPath,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// BLAKE3 of its bytes.
    pub blake3: Digest,
    /// How many bytes it has.
    pub size: u64,
}

/// One piece of evidence among the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestedDocument {
    /// Its path beside the artifacts.
    pub title: Option<ArtifactPath>,
    /// What it is.
    pub kind: DocumentKind,
    /// What it was attached to.
    pub subject: Subject,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Why it was attached to that.
    pub how: How,
}

/// How the subject of a document was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its name is that of an artifact and a suffix.
    ByName,
    /// Its content names the digests of one artifact, or of several and so of the release.
    ByContent,
    /// It came in the layout of an image and is about it.
    BesideImage,
    /// Neither; it was attached to the release, and a verdict will see what it is worth.
    Unmatched,
}

/// Takes files and directories into a store.
///
/// # Errors
/// [`IngestError`]; then the store is as it was before, but for [`StoreError::InDoubt`] and
/// [`StoreError::IndexNotWritten`], which say what has happened.
pub fn ingest(
    store: &Store,
    request: &IngestRequest<'_>,
    progress: &dyn Progress,
) -> Result<IngestReport, IngestError> {
    let disk = &store.pool().disk;
    let (found, layouts) = walk::walk(disk, request.inputs, store.directory())?;
    let layouts = layouts.into_iter().map(|source| ImageInput { source, name: None });
    let mut incoming = Vec::new();
    for input in request.images.iter().cloned().chain(layouts) {
        let path = input.source.clone();
        incoming.push(Incoming::open(disk, input).map_err(|source| image_error(&path, source))?);
    }
    let images = incoming.iter().map(|incoming| {
        let planned = incoming.plan(request.release);
        planned.map_err(|source| image_error(incoming.path(), source))
    });
    let images: Vec<Planned<'_>> = images.collect::<Result<_, _>>()?;
    let (mut sidecars, found) = sidecar::split(disk, request.release, found)?;
    let held = detached::held(store, request.release, &found)?;
    let (pieces, artifacts) = detached::split(disk, request.release, found, &held)?;
    sidecars.extend(pieces);
    sidecars.sort_by(|a, b| a.title.cmp(&b.title));
    let sha512 = wants_sha512(request.options.sha512, &sidecars);
    let plan = intake::Plan::new(disk, artifacts, sha512, request.options.sources);
    let work = Work { store, request, sidecars, plan, images, progress };
    progress.planned(work.count(), work.bytes());
    match work.run() {
        // A blob that was found in place has gone before the commit. Now it is read anew.
        Err(IngestError::Store(StoreError::Vanished { .. })) => work.run(),
        result => result,
    }
}

/// One ingest whose inputs are known.
struct Work<'a> {
    store: &'a Store,
    request: &'a IngestRequest<'a>,
    sidecars: Vec<Sidecar>,
    plan: intake::Plan,
    images: Vec<Planned<'a>>,
    progress: &'a dyn Progress,
}

/// Tells of blobs what is told of files.
struct BlobProgress<'a>(&'a dyn Progress);

impl image::Progress for BlobProgress<'_> {
    fn planned(&self, _blobs: usize, _bytes: u64) {}

    fn advanced(&self, bytes: u64) {
        self.0.advanced(bytes);
    }

    fn waiting(&self, holder: &Holder) {
        self.0.waiting(holder);
    }
}

/// What has been staged, or recognised as held.
struct Prepared {
    release: Release,
    taken: Vec<Taken>,
}

impl Work<'_> {
    fn run(&self) -> Result<IngestReport, IngestError> {
        let stage = self.store.stage(self.request.holder)?;
        let Prepared { release, taken } = self.prepare(&stage)?;
        let sha512 = known_sha512(self.store, &release, &taken);
        let placed = sidecar::place(&release, &sha512, &self.sidecars);
        let documents: Vec<_> = self.sidecars.iter().map(Sidecar::to_document).collect();
        let of_images = self.images.iter().flat_map(|images| &images.documents);
        let of_images: Vec<_> = of_images
            .filter_map(|document| Some((document.subject.clone(), document.to_document()?)))
            .collect();
        for document in documents.iter().chain(of_images.iter().map(|(_, document)| document)) {
            stage.add(document.media_type.clone(), document.bytes)?;
        }
        let mut inner = self.inner(&self.store.snapshot()?)?;
        stage.sync()?;

        let mut writer = self.lock(stage)?;
        if !inner.iter().all(|inner| inner.holds_for(writer.base())) {
            inner = self.inner(writer.base())?;
        }
        let (release, is_new) = self.name_release(&mut writer, release)?;
        let subjects = placed.iter().map(|(subject, _)| subject.clone());
        let from_images = of_images.iter().map(|(subject, document)| (subject.clone(), document));
        let attached: Vec<_> = subjects.zip(&documents).chain(from_images).collect();
        let as_they_are: Vec<_> = self.images.iter().flat_map(Planned::as_they_are).collect();
        attach::add_documents(&mut writer, &release, &attached, &as_they_are)?;
        let mut unread = BTreeSet::new();
        for (images, inner) in self.images.iter().zip(inner) {
            let done = images.name(&mut writer, &release, inner);
            unread.extend(done.map_err(|source| image_error(images.path(), source))?);
        }
        let epoch_before = writer.base().epoch();
        let epoch = writer.commit()?.epoch();
        let outcome = match (is_new, epoch == epoch_before) {
            (true, _) => Outcome::Created,
            (false, true) => Outcome::Unchanged,
            (false, false) => Outcome::EvidenceAdded,
        };
        self.store.facts().put_many(&facts_of(&taken));
        Ok(IngestReport {
            outcome,
            evidence: self.ingested_documents(placed),
            bytes: self.bytes(),
            epoch,
            files: taken.into_iter().map(Taken::into_ingested).collect(),
            unread: unread.into_iter().collect(),
            release,
        })
    }

    /// What statements about each of the images name and is held already.
    fn inner(&self, snapshot: &Snapshot) -> Result<Vec<Inner>, StoreError> {
        self.images.iter().map(|images| images.inner(snapshot)).collect()
    }

    /// Stages what is not held yet, as far as the newest state tells.
    fn prepare(&self, stage: &Stage) -> Result<Prepared, IngestError> {
        let snapshot = self.store.snapshot()?;
        match snapshot.release(self.request.release) {
            Err(StoreError::NoRelease { .. }) => self.create(stage),
            Ok(release) if self.count() == 0 => Ok(Prepared { release, taken: Vec::new() }),
            Ok(release) => self.recognise_again(stage, release),
            Err(damage @ (StoreError::Corrupt { .. } | StoreError::MissingBlob { .. }))
                if self.count() > 0 =>
            {
                self.mend(stage, &snapshot, damage)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn lock(&self, stage: Stage) -> Result<Writer, StoreError> {
        let IngestRequest { holder, wait, .. } = *self.request;
        let on_wait = &mut |holder: &Holder| self.progress.waiting(holder);
        self.store.lock_staged(stage, wait, holder, on_wait)
    }

    /// Gives the release its name, unless it has it: then it is what is held, and not new. Somebody else
    /// may have been faster, with the same files or with others.
    fn name_release(
        &self,
        writer: &mut Writer,
        release: Release,
    ) -> Result<(Release, bool), IngestError> {
        let key = Key::release(self.request.release);
        match writer.base().catalog().get(&key)? {
            Some(held) if held == *release.index() => Ok((release, false)),
            Some(_) => Ok((same_files(writer.base().release(release.name())?, &release)?, false)),
            None => {
                writer.insert(key, release.index().clone())?;
                Ok((release, true))
            }
        }
    }

    /// Takes the artifacts of a new release in.
    fn create(&self, stage: &Stage) -> Result<Prepared, IngestError> {
        let name = self.request.release;
        if self.count() == 0 {
            return Err(IngestError::NoArtifacts { release: name.clone() });
        }
        let taken = self.plan.take_in(stage, self.progress)?;
        stage.add(MediaType::known(media_type::OCI_EMPTY), b"{}")?;
        let manifest_type = MediaType::known(media_type::OCI_MANIFEST);
        let artifacts: Result<Vec<Artifact>, StoreError> = taken
            .par_iter()
            .map(|file| {
                let (artifact, manifest) = to_artifact(file);
                stage.add(manifest_type.clone(), &manifest.to_bytes())?;
                Ok(artifact)
            })
            .collect();
        let release_error = |source| StoreError::Release { name: name.clone(), source };
        let mut artifacts = artifacts?;
        artifacts.extend(self.stage_images(stage)?);
        let (release, index) = Release::new(name.clone(), artifacts).map_err(release_error)?;
        stage.add(release.index().media_type.clone(), &index.to_bytes())?;
        Ok(Prepared { release, taken })
    }

    /// Takes in again a release whose index or manifests are damaged or gone, if it is the very same
    /// one; else what can be said is still the damage.
    fn mend(
        &self,
        stage: &Stage,
        snapshot: &Snapshot,
        damage: StoreError,
    ) -> Result<Prepared, IngestError> {
        let prepared = self.create(stage)?;
        let held = snapshot.catalog().get(&Key::release(self.request.release))?;
        let is_same = held.as_ref() == Some(prepared.release.index());
        if is_same { Ok(prepared) } else { Err(damage.into()) }
    }

    /// Compares the artifacts with those of the release that is held, and writes none of them but
    /// where what is held turns out damaged or gone.
    fn recognise_again(&self, stage: &Stage, held: Release) -> Result<Prepared, IngestError> {
        let taken = self.plan.hash(self.progress)?;
        let mut artifacts: Vec<Artifact> = taken.iter().map(|file| to_artifact(file).0).collect();
        artifacts.extend(self.stage_images(stage)?);
        let name = held.name();
        let release_error = |source| StoreError::Release { name: name.clone(), source };
        let (given, _) = Release::new(name.clone(), artifacts).map_err(release_error)?;
        let release = same_files(held, &given)?;
        self.plan.put_back(stage, &taken)?;
        Ok(Prepared { release, taken })
    }

    /// How many things there are to read.
    fn count(&self) -> usize {
        self.images.iter().map(Planned::blobs).fold(self.plan.len(), usize::saturating_add)
    }

    fn bytes(&self) -> u64 {
        self.images.iter().map(Planned::bytes).fold(self.plan.bytes(), u64::saturating_add)
    }

    /// Stages the images, comparing what is held already, and returns the artifacts that they are.
    fn stage_images(&self, stage: &Stage) -> Result<Vec<Artifact>, IngestError> {
        let mut artifacts = Vec::new();
        for images in &self.images {
            let staged = images.stage(self.store, stage, &BlobProgress(self.progress));
            staged.map_err(|source| image_error(images.path(), source))?;
            let name = self.request.release;
            let made = images.artifacts();
            let release_error = |source| StoreError::Release { name: name.clone(), source };
            artifacts.extend(made.map_err(release_error)?);
        }
        Ok(artifacts)
    }

    fn ingested_documents(&self, placed: Vec<(Subject, How)>) -> Vec<IngestedDocument> {
        let documents = self.sidecars.iter().zip(placed);
        let documents = documents.map(|(sidecar, (subject, how))| IngestedDocument {
            title: Some(sidecar.title.clone()),
            kind: sidecar.kind(),
            subject,
            digest: Digest::sha256_of(&sidecar.bytes),
            how,
        });
        let of_images = self.images.iter().flat_map(|images| &images.documents);
        documents.chain(of_images.map(of_image)).collect()
    }
}

fn of_image(document: &ImageDocument) -> IngestedDocument {
    IngestedDocument {
        title: None,
        kind: document.kind,
        subject: document.subject.clone(),
        digest: document.digest,
        how: How::BesideImage,
    }
}

fn image_error(path: &Path, source: ImportError) -> IngestError {
    match source {
        ImportError::Store(error) => IngestError::Store(error),
        source => IngestError::Image { path: path.to_owned(), source },
    }
}

fn wants_sha512(asked: Sha512, sidecars: &[Sidecar]) -> Sha512Wanted {
    match asked {
        Sha512::Always => Sha512Wanted::Yes,
        Sha512::WhereNamed if sidecars.iter().any(Sidecar::needs_sha512) => Sha512Wanted::Yes,
        Sha512::WhereNamed => Sha512Wanted::No,
    }
}

/// The SHA-512 of artifacts by their SHA-256: as just computed, or else as known from before.
fn known_sha512(store: &Store, release: &Release, taken: &[Taken]) -> BTreeMap<Digest, Digest> {
    let files: Vec<Digest> =
        release.artifacts().iter().map(|artifact| artifact.file.digest).collect();
    let mut facts = store.facts().get_many(&files);
    facts.extend(facts_of(taken).into_iter().filter(|(_, facts)| facts.sha512.is_some()));
    facts.into_iter().filter_map(|(file, facts)| Some((file, facts.sha512?))).collect()
}

/// The SHA-512 stays out of the manifest: the digest of a release is a matter of its files alone, and
/// not of which checksum lists lay beside them when they came in.
fn to_artifact(file: &Taken) -> (Artifact, bonded_model::manifest::Manifest) {
    let octets = MediaType::known(media_type::OCTET_STREAM);
    let descriptor = Descriptor::new(octets, file.digests.sha256, file.digests.bytes);
    Artifact::of_file(file.path.clone(), descriptor, None, None)
}

/// The release that is held, if the one that is given has the same files.
fn same_files(held: Release, given: &Release) -> Result<Release, IngestError> {
    match first_difference(&held, given) {
        None => Ok(held),
        Some((path, before, now)) => Err(IngestError::OtherRelease {
            release: held.name().clone(),
            path,
            held: before,
            given: now,
            held_release: held.digest(),
            given_release: given.digest(),
        }),
    }
}

/// The first path, in order, at which two releases differ, with the digest that each has there; one
/// with other bytes before one that is merely missing on a side, since that is the graver difference.
fn first_difference(
    held: &Release,
    given: &Release,
) -> Option<(ArtifactPath, Option<Digest>, Option<Digest>)> {
    let mut digests: BTreeMap<&ArtifactPath, (Option<Digest>, Option<Digest>)> = BTreeMap::new();
    for artifact in held.artifacts() {
        digests.entry(&artifact.path).or_default().0 = Some(artifact.file.digest);
    }
    for artifact in given.artifacts() {
        digests.entry(&artifact.path).or_default().1 = Some(artifact.file.digest);
    }
    let differences = || digests.iter().filter(|(_, (held, given))| held != given);
    let other_bytes = differences().find(|(_, (held, given))| held.is_some() && given.is_some());
    let difference = other_bytes.or_else(|| differences().next());
    difference.map(|(path, (held, given))| ((*path).clone(), *held, *given))
}

fn facts_of(taken: &[Taken]) -> BTreeMap<Digest, BlobFacts> {
    let facts = taken.iter().map(|file| {
        let (blake3, sha512) = (file.digests.blake3, file.digests.sha512);
        let Sniffed { kind, platform } = file.sniffed.clone();
        (file.digests.sha256, BlobFacts { blake3, sha512, kind: Some(kind), platform })
    });
    facts.collect()
}
