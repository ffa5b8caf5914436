//! Import: whole images come in, from OCI layouts and from OCI and docker archives.
//!
//! ```text
//! 1  source   a directory or one open archive; nothing is unpacked
//! 2  plan     entries → images with names, manifests that are about others; every manifest is read
//! 3  copy     every blob that was reached goes to the stage, hashed on its way; without the lock
//! 4  commit   image/<repository>/<tag> and referrer/<subject>/<referrer>, and of releases that export
//!             wrote release/<project>/<version> with their evidence; all of it or nothing
//! ```
//!
//! Manifests stay byte for byte what they were. A name is immutable: the same image again changes nothing,
//! another one is refused with both digests. Evidence comes in by every living convention, and is indexed
//! under what it is about and under what its statements name:
//!
//! ```text
//! subject                         as it is
//! index under sha256-<hex>        what it lists; the index itself follows from that and is left out
//! sha256-<hex>.sig, .att, .sbom   the manifest as it is; it has no subject, so the catalog's descriptor
//! cosign save                     carries the annotation vnd.bonded.convention
//! ```
//!
//! Layers that their licence forbids to pass on may be absent; they are held where they are present. This
//! module knows no policy and no signatures.

mod adopt;
mod archive;
mod artifact;
mod docker;
mod entry;
mod error;
mod inner;
mod plan;
mod release;
mod source;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write and damage files by hand")]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bonded_model::{Descriptor, Digest, ImageName, Release, ReleaseName, Repository};
use rayon::prelude::*;

pub use adopt::{AdoptRequest, adopt};
pub use archive::ArchiveError;
pub use artifact::{GivenName, ImageInput};
pub(crate) use artifact::{ImageDocument, Incoming, Planned};
pub(crate) use entry::{ANNOTATION_CONTAINERD_NAME, ANNOTATION_KIND};
pub use error::{ImportError, Trail};
pub(crate) use inner::Inner;
pub(crate) use plan::ANNOTATION_CONVENTION;

use crate::attach::named_files;
use crate::catalog::{Catalog, Key};
use crate::disk::{Disk, DiskError};
use crate::error::StoreError;
use crate::facts::BlobFacts;
use crate::hashing::{self, Digests, Sha512Wanted, Stream};
use crate::lock::Holder;
use crate::sniff::{Sniffed, Window};
use crate::stage::{LARGE_BYTES, Stage, Threads};
use crate::store::Store;
use crate::writer::Writer;

use entry::Entry;
use plan::{Bounds, Plan, Referrer, Wanted};
pub(crate) use source::is_layout;
use source::{File, Form, Source};

/// What to take in, and under which names.
#[derive(Clone, Debug)]
pub struct ImportRequest<'a> {
    /// A directory with an OCI layout, or an OCI or docker archive.
    pub source: &'a Path,
    /// The entries that are wanted, by name or digest; all of them if there are none here. What is about
    /// a wanted image is wanted as well.
    pub references: &'a [String],
    /// The repository of images of which the layout gives the tag alone.
    pub repository: Option<&'a Repository>,
    /// The name of the only image that is wanted, whatever the layout calls it.
    pub name: Option<&'a ImageName>,
    /// Whether releases are wanted that `references` does not name.
    pub releases: bool,
    /// Who imports; others that have to wait see it.
    pub holder: &'a Holder,
    /// How long to wait for another writer.
    pub wait: Duration,
}

/// Told what an import is doing, from several threads at once. `()` listens to nothing.
pub trait Progress: Sync {
    /// So many blobs with so many bytes are about to be read.
    fn planned(&self, blobs: usize, bytes: u64);
    /// So many more bytes have been read.
    fn advanced(&self, bytes: u64);
    /// Another writer has to be waited for.
    fn waiting(&self, holder: &Holder);
}

impl Progress for () {
    fn planned(&self, _blobs: usize, _bytes: u64) {}
    fn advanced(&self, _bytes: u64) {}
    fn waiting(&self, _holder: &Holder) {}
}

/// What an import did.
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// The releases, ordered by name.
    pub releases: Vec<ImportedRelease>,
    /// The images, ordered by name.
    pub images: Vec<ImportedImage>,
    /// What is about others, ordered by digest.
    pub referrers: Vec<ImportedReferrer>,
    /// Entries that were left out, since nothing would name them.
    pub skipped: Vec<Descriptor>,
    /// Releases that were left out, since nobody asked for them; ordered by name.
    pub skipped_releases: Vec<ReleaseName>,
    /// How many blobs all this has.
    pub blobs: usize,
    /// How many bytes these have.
    pub bytes: u64,
    /// Damaged manifests and pages of the catalog, below which nobody could look for what statements name:
    /// a referrer may not be listed under all that it is about. Ordered by digest.
    pub unread: Vec<Digest>,
    /// The epoch that holds all this.
    pub epoch: u64,
}

/// One release that is held now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedRelease {
    /// Its name.
    pub name: ReleaseName,
    /// Its index.
    pub index: Descriptor,
    /// Whether it was held before; then its evidence is what it was.
    pub outcome: Outcome,
}

/// One image that is held now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedImage {
    /// Its name.
    pub name: ImageName,
    /// Its manifest or index.
    pub image: Descriptor,
    /// Whether it was held before.
    pub outcome: Outcome,
}

/// Whether a name is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is.
    Created,
    /// It was held already.
    Unchanged,
}

/// One manifest that is about others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedReferrer {
    /// The manifest, with the type of the artifact and the convention if it has no subject.
    pub referrer: Descriptor,
    /// Under which digests it is listed.
    pub subjects: Vec<Digest>,
}

/// Takes images into a store.
///
/// # Errors
/// [`ImportError`]; then the store is as it was before, but for [`crate::StoreError::InDoubt`] and
/// [`crate::StoreError::IndexNotWritten`], which say what has happened.
pub fn import(
    store: &Store,
    request: &ImportRequest<'_>,
    progress: &dyn Progress,
) -> Result<ImportReport, ImportError> {
    let disk = &store.pool().disk;
    refuse_store(store, request.source)?;
    let (source, entries) = open(disk, request.source)?;
    let ImportRequest { references, repository, name, releases, .. } = *request;
    let plan = plan::plan(
        &source,
        entries,
        Wanted { references, repository, name, releases, bounds: Bounds::default() },
    )?;
    let work = Work { store, holder: request.holder, wait: request.wait };
    work.run(&source, &plan, progress)
}

/// Opens a layout or an archive, and lists what it has.
fn open(disk: &Disk, path: &Path) -> Result<(Source, Vec<Entry>), ImportError> {
    let mut source = Source::open(disk, path)?;
    let entries = match source.form()? {
        Form::Oci => entry::entries_of(&source, &source.read_list(entry::INDEX)?)?,
        Form::Docker => docker::entries_of(&mut source)?,
    };
    match entries.is_empty() {
        true => Err(ImportError::Empty { path: path.to_owned() }),
        false => Ok((source, entries)),
    }
}

fn refuse_store(store: &Store, source: &Path) -> Result<(), ImportError> {
    let disk = &store.pool().disk;
    let resolve = |path| disk.resolve(path).map_err(ImportError::Source);
    if resolve(source)? == resolve(store.directory())? {
        return Err(ImportError::IsStore { path: source.to_owned() });
    }
    Ok(())
}

/// Copying and committing what was planned.
struct Work<'a> {
    store: &'a Store,
    holder: &'a Holder,
    wait: Duration,
}

impl Work<'_> {
    /// A blob that was found in place may have gone before the commit. Then it is read anew.
    fn run(
        &self,
        source: &Source,
        plan: &Plan<'_>,
        progress: &dyn Progress,
    ) -> Result<ImportReport, ImportError> {
        match self.run_once(source, plan, progress) {
            Err(ImportError::Store(StoreError::Vanished { .. })) => {
                self.run_once(source, plan, progress)
            }
            result => result,
        }
    }

    fn run_once(
        &self,
        source: &Source,
        plan: &Plan<'_>,
        progress: &dyn Progress,
    ) -> Result<ImportReport, ImportError> {
        check_names(self.store.snapshot()?.catalog(), plan)?; // before the work, and again under the lock
        let stage = self.store.stage(self.holder)?;
        let is_evidence = |one: &Referrer| !one.evidence_of.is_empty();
        let mut inner = Inner::find(&self.store.snapshot()?, plan, is_evidence)?;
        let facts = copy(self.store, source, plan, &stage, progress)?;
        stage.sync()?;
        let on_wait = &mut |holder: &Holder| progress.waiting(holder);
        let mut writer = self.store.lock_staged(stage, self.wait, self.holder, on_wait)?;
        check_names(writer.catalog(), plan)?;
        if !inner.holds_for(writer.base()) {
            inner = Inner::find(writer.base(), plan, is_evidence)?;
        }
        let Inner { manifests, unread, .. } = inner;
        let releases = release::name_all(&mut writer, &plan.releases, &plan.referrers)?;
        let images = name_images(&mut writer, plan)?;
        let evidence_of = |referrer: &Referrer| {
            let names = referrer.evidence_of.iter();
            names.filter_map(|name| plan.releases.get(name)).collect()
        };
        let referrers = name_referrers(&mut writer, Manifests::of(plan, manifests), evidence_of)?;
        let epoch = writer.commit()?.epoch();
        self.store.facts().put_many(&facts);
        Ok(ImportReport {
            releases,
            images,
            referrers,
            skipped: plan.skipped.clone(),
            skipped_releases: plan.skipped_releases.iter().cloned().collect(),
            blobs: facts.len(),
            bytes: plan.walk.bytes(),
            unread: unread.into_iter().collect(),
            epoch,
        })
    }
}

/// That no name is held for other content.
fn check_names(catalog: &Catalog, plan: &Plan<'_>) -> Result<(), ImportError> {
    release::check_names(catalog, &plan.releases)?;
    for (name, image) in &plan.images {
        match catalog.get(&Key::image(&name.repository, &name.tag))? {
            Some(held) if held.digest != image.digest => {
                let (held, given) = (held.digest, image.digest);
                return Err(ImportError::NameTaken { name: name.to_string(), held, given });
            }
            _ => {}
        }
    }
    Ok(())
}

fn name_images(writer: &mut Writer, plan: &Plan<'_>) -> Result<Vec<ImportedImage>, ImportError> {
    let mut images = Vec::new();
    for (name, image) in &plan.images {
        let key = Key::image(&name.repository, &name.tag);
        let outcome = match writer.catalog().get(&key)? {
            Some(_same) => Outcome::Unchanged,
            None => {
                writer.insert(key, image.clone())?;
                Outcome::Created
            }
        };
        images.push(ImportedImage { name: name.clone(), image: image.clone(), outcome });
    }
    Ok(images)
}

/// Lists every referrer under what it is about, and under what its statements name: evidence of releases
/// under files of these, as attaching it would; any other under the manifests that come with it, and those
/// that names in the catalog lead to. The convention is noted where it holds: no tag says that it is about what its
/// statements name.
fn name_referrers<'a>(
    writer: &mut Writer,
    mut manifests: Manifests<'a>,
    evidence_of: impl Fn(&Referrer) -> Vec<&'a Release>,
) -> Result<Vec<ImportedReferrer>, ImportError> {
    let plan = manifests.plan;
    let mut referrers = Vec::new();
    let mut count = 0;
    for referrer in &plan.referrers {
        let mut subjects = referrer.about.clone();
        let releases = evidence_of(referrer);
        for document in &referrer.documents {
            let Some(named) = plan.named.get(document) else { continue };
            match releases.as_slice() {
                [] => subjects.extend(manifests.among(writer.catalog(), document, named)?),
                _ => {
                    releases.iter().for_each(|release| subjects.extend(named_files(release, named)))
                }
            }
        }
        count += subjects.len();
        if count > plan.bounds.named {
            return Err(ImportError::TooManyNamed);
        }
        for subject in &subjects {
            let key = Key::referrer(subject, &referrer.descriptor.digest);
            let mut listed = referrer.descriptor.clone();
            if !referrer.about.contains(subject) {
                listed.annotations.remove(ANNOTATION_CONVENTION);
            }
            let is_noted = |one: &Descriptor| one.annotations.contains_key(ANNOTATION_CONVENTION);
            let held = writer.catalog().get(&key)?;
            if held.is_none_or(|held| !is_noted(&held) && is_noted(&listed)) {
                writer.insert(key, listed)?;
            }
        }
        let subjects = subjects.into_iter().collect();
        referrers.push(ImportedReferrer { referrer: referrer.descriptor.clone(), subjects });
    }
    Ok(referrers)
}

/// The manifests that a referrer can be listed under because a statement names them.
struct Manifests<'a> {
    plan: &'a Plan<'a>,
    /// Those that are held already, below a name.
    inner: BTreeSet<Digest>,
    /// The images and releases that have names; read when they are needed.
    tops: Option<BTreeSet<Digest>>,
    /// What was found for each document.
    known: BTreeMap<Digest, Vec<Digest>>,
}

impl<'a> Manifests<'a> {
    fn of(plan: &'a Plan<'a>, inner: BTreeSet<Digest>) -> Self {
        Self { plan, inner, tops: None, known: BTreeMap::new() }
    }

    fn among(
        &mut self,
        catalog: &Catalog,
        document: &Digest,
        named: &BTreeSet<Digest>,
    ) -> Result<Vec<Digest>, StoreError> {
        if let Some(known) = self.known.get(document) {
            return Ok(known.clone());
        }
        let tops = match self.tops.take() {
            Some(tops) => tops,
            None => tops_of(catalog)?,
        };
        let is_known = |digest: &&Digest| {
            self.plan.walk.head(digest).is_some()
                || self.inner.contains(digest)
                || tops.contains(digest)
        };
        let known: Vec<Digest> = named.iter().filter(is_known).copied().collect();
        self.tops = Some(tops);
        self.known.insert(*document, known.clone());
        Ok(known)
    }
}

fn tops_of(catalog: &Catalog) -> Result<BTreeSet<Digest>, StoreError> {
    let mut tops = BTreeSet::new();
    for prefix in [Key::IMAGES, Key::RELEASES] {
        for listed in catalog.scan(prefix) {
            tops.insert(listed?.1.digest);
        }
    }
    Ok(tops)
}

/// Puts every blob on the stage, several at once, and returns what was learnt about them.
fn copy(
    store: &Store,
    source: &Source,
    plan: &Plan<'_>,
    stage: &Stage,
    progress: &dyn Progress,
) -> Result<BTreeMap<Digest, BlobFacts>, ImportError> {
    let blobs: Vec<&Descriptor> = plan.walk.blobs().collect();
    progress.planned(blobs.len(), plan.walk.bytes());
    let large = blobs.iter().filter(|blob| blob.size >= LARGE_BYTES).count();
    // Blobs side by side use the cores better than threads inside one blob, if there are enough.
    let threads = match large == 1 || large * 2 <= rayon::current_num_threads() {
        true => Threads::PerDigest,
        false => Threads::One,
    };
    let place = Place { stage, threads };
    let copied = blobs.into_par_iter().map(|blob| {
        let trail = || plan.walk.trail_to(&blob.digest);
        let Some(file) = source.find_blob(&blob.digest)? else {
            let path = source.place_of(&source::blob_name(&blob.digest));
            return Err(ImportError::Missing { trail: trail(), path });
        };
        let path = file.path.clone();
        let (digests, sniffed) = take_in(store, file, blob, place, progress)?;
        if digests.sha256 != blob.digest {
            return Err(ImportError::Wrong { trail: trail(), path, found: digests.sha256 });
        }
        if digests.bytes != blob.size {
            let (expected, found) = (blob.size, digests.bytes);
            return Err(ImportError::Size { trail: trail(), path, expected, found });
        }
        Ok((blob.digest, facts_of(&digests, sniffed)))
    });
    copied.collect()
}

fn take_in(
    store: &Store,
    file: File,
    blob: &Descriptor,
    place: Place<'_>,
    progress: &dyn Progress,
) -> Result<(Digests, Sniffed), ImportError> {
    let Place { stage, threads } = place;
    let mut reading = Reading::new(file, progress);
    if reading.file.bytes() < LARGE_BYTES {
        let bytes = reading.file.read_all(LARGE_BYTES)?;
        progress.advanced(reading.file.bytes());
        reading.window.see(&bytes);
        return Ok(reading.sniffed(stage.add_bytes(&bytes, Sha512Wanted::No)?));
    }
    if store.pool().has(&blob.digest)? {
        let mut comparing = Reading::new(reading.file.clone(), &());
        let digests = hashing::in_line(&mut comparing, Sha512Wanted::No);
        let digests = digests.map_err(ImportError::Source)?;
        if digests.sha256 != blob.digest || stage.is_held(&digests)? {
            progress.advanced(digests.bytes);
            return Ok(comparing.sniffed(digests));
        }
    }
    let digests = stage.add_stream(|buffer| reading.read(buffer), Sha512Wanted::No, threads)?;
    Ok(reading.sniffed(digests))
}

/// Where blobs go, and with how much help.
#[derive(Clone, Copy)]
struct Place<'a> {
    stage: &'a Stage,
    threads: Threads,
}

/// Tells how much was read, and what it is.
struct Reading<'a> {
    file: File,
    progress: &'a dyn Progress,
    window: Window,
}

impl<'a> Reading<'a> {
    fn new(file: File, progress: &'a dyn Progress) -> Self {
        Self { file, progress, window: Window::default() }
    }

    fn sniffed(&self, digests: Digests) -> (Digests, Sniffed) {
        (digests, self.window.sniff(digests.bytes))
    }
}

impl Stream<DiskError> for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let count = self.file.read(buffer)?;
        self.progress.advanced(u64::try_from(count).unwrap_or(u64::MAX));
        self.window.see(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn write(&mut self, _bytes: &[u8]) -> Result<(), DiskError> {
        Ok(())
    }
}

fn facts_of(digests: &Digests, Sniffed { kind, platform }: Sniffed) -> BlobFacts {
    BlobFacts { blake3: digests.blake3, sha512: digests.sha512, kind: Some(kind), platform }
}
