//! Snapshots: one immutable state of a store, read without locks for as long as one likes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bonded_model::descriptor::{ANNOTATION_PREDICATE_TYPE, ANNOTATION_TITLE};
use bonded_model::evidence::Subject;
use bonded_model::limits::{EVIDENCE_BYTES_MAX, MANIFEST_BYTES_MAX};
use bonded_model::manifest::{Index, Manifest};
use bonded_model::vsa::SUMMARY_V1;
use bonded_model::{
    Artifact, ArtifactPath, Descriptor, Digest, Document, DocumentKind, Evidence, Release,
    ReleaseName,
};
use rayon::prelude::*;

use crate::attach::check_evidence;
use crate::blob::{BlobReader, Pool, VerifiedBlob};
use crate::catalog::{Catalog, Key};
use crate::error::StoreError;
use crate::facts::Facts;
use crate::kinds;
use crate::parallel::in_order;
use crate::recognise;
use crate::references;
use crate::root::Root;
use crate::sha512::{Said, with_sha512};
use crate::store::Store;

/// One state of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    root: Root,
    catalog: Catalog,
}

/// The evidence of a release, and how it was come by.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// What a verdict may look at.
    pub evidence: Evidence,
    /// Whether every kind and platform was told from bytes that were checked. Of a large file
    /// only the beginning is read, which may be damaged: where the facts do not say the same, what is
    /// told is not to be remembered.
    pub is_certain: bool,
}

impl Gathered {
    /// What stands for kind and platform of every file in it, as [`Snapshot::content`] does.
    pub fn content(&self) -> Digest {
        kinds::digest_of(&self.evidence.release)
    }
}

/// A referrer of a release, with its manifest read.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    /// The digest of that manifest.
    pub(crate) referrer: Digest,
    /// What it is about. An image under several tags is one manifest: what refers to it is about each.
    pub(crate) subjects: Arc<[Subject]>,
    pub(crate) document: Descriptor,
    pub(crate) title: Option<ArtifactPath>,
    predicate_type: Option<String>,
}

impl Snapshot {
    pub(crate) fn new(store: Store, root: Root, catalog: Catalog) -> Self {
        Self { inner: Arc::new(Inner { store, root, catalog }) }
    }

    pub(crate) fn pool(&self) -> &Pool {
        self.inner.store.pool()
    }

    /// What is worth keeping of the store but can be computed again.
    pub fn facts(&self) -> &Facts {
        self.inner.store.facts()
    }

    pub(crate) fn root_document(&self) -> &Root {
        &self.inner.root
    }

    /// The number of the commit that made this state; 0 is the empty store.
    pub fn epoch(&self) -> u64 {
        self.inner.root.epoch
    }

    /// The digest of the catalog: equal for equal content.
    pub fn root(&self) -> Digest {
        self.inner.root.catalog
    }

    /// Everything that has a name.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// The names of all releases, in the order of the catalog.
    ///
    /// # Errors
    /// [`StoreError`] if the catalog cannot be read.
    pub fn releases(&self) -> Result<Vec<ReleaseName>, StoreError> {
        let entries = self.catalog().scan(Key::RELEASES);
        entries.filter_map(|entry| entry.map(|(key, _)| key.to_release()).transpose()).collect()
    }

    /// A release: its index, the manifests of its files, and of each image its own manifest or index are
    /// read and checked; the files and the rest of the images are not.
    ///
    /// # Errors
    /// [`StoreError::NoRelease`] with the nearest name, or what is wrong with what is held.
    pub fn release(&self, name: &ReleaseName) -> Result<Release, StoreError> {
        let Some(descriptor) = self.catalog().get(&Key::release(name))? else {
            return Err(self.no_release(name)?);
        };
        let manifest_error = |digest| move |source| StoreError::Manifest { digest, source };
        let bytes = self.read(&descriptor, MANIFEST_BYTES_MAX)?;
        let index = Index::parse(&bytes).map_err(manifest_error(descriptor.digest))?;
        let release_error = |source| StoreError::Release { name: name.clone(), source };
        let artifacts = index.manifests.par_iter().map(|listed| {
            let bytes = self.read(listed, MANIFEST_BYTES_MAX)?;
            if let Some(image) = Artifact::image_from_listed(listed).map_err(release_error)? {
                references::of(&listed.media_type, &bytes)
                    .map_err(manifest_error(listed.digest))?;
                return Ok(image);
            }
            let manifest = Manifest::parse(&bytes).map_err(manifest_error(listed.digest))?;
            Artifact::from_stored(listed, &manifest).map_err(release_error)
        });
        Release::from_stored(name.clone(), descriptor, in_order(artifacts)?).map_err(release_error)
    }

    fn no_release(&self, name: &ReleaseName) -> Result<StoreError, StoreError> {
        let wanted = name.to_string();
        let near = |held: &ReleaseName| strsim::damerau_levenshtein(&held.to_string(), &wanted);
        let nearest = self.releases()?.into_iter().min_by_key(near);
        // Further away than half of the name, it is another name and not a slip of the keys.
        let nearest = nearest.filter(|held| near(held) <= wanted.len() / 2);
        Ok(StoreError::NoRelease { name: name.clone(), nearest })
    }

    /// Everything that one verdict on a release may look at: every attached document but the
    /// unsigned summaries of earlier verdicts, ordered by digest, then subject. What each file is and runs on is
    /// in it, and where a document names SHA-512 digests, those of the artifacts. These are taken from the
    /// facts where they are known: so it is for those who compare it with what a verdict was reached from, and
    /// for people; verdicts are reached from [`Snapshot::gather`].
    ///
    /// # Errors
    /// [`StoreError`] if anything of it is missing, damaged or over a limit: a verdict on half of the
    /// evidence would be no verdict.
    pub fn evidence(&self, name: &ReleaseName) -> Result<Evidence, StoreError> {
        Ok(self.gather_as(name, Said::ByFacts)?.evidence)
    }

    /// The same for a verdict, told from the bytes alone; and whether all of them were checked.
    ///
    /// # Errors
    /// As [`Snapshot::evidence`].
    pub fn gather(&self, name: &ReleaseName) -> Result<Gathered, StoreError> {
        self.gather_as(name, Said::ByBytes)
    }

    fn gather_as(&self, name: &ReleaseName, sha512: Said) -> Result<Gathered, StoreError> {
        let store = &self.inner.store;
        let release = self.release(name)?;
        let (_summaries, documents) = self.documents(&release)?;
        let (release, is_certain) = kinds::with_kinds(store, release)?;
        let release = with_sha512(store, release, &documents, sha512)?;
        Ok(Gathered { evidence: Evidence { release, documents }, is_certain })
    }

    /// What stands for kind and platform of every file of a release, told from the bytes as for evidence. No
    /// digest pins what was seen of a large file, of which the beginning alone is read.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such release, or a file cannot be read.
    pub fn content(&self, name: &ReleaseName) -> Result<Digest, StoreError> {
        let (release, _is_certain) = kinds::with_kinds(&self.inner.store, self.release(name)?)?;
        Ok(kinds::digest_of(&release))
    }

    /// The unsigned verification summaries attached to a release, records of earlier verdicts, ordered like
    /// evidence.
    ///
    /// # Errors
    /// As [`Snapshot::evidence`].
    pub fn summaries(&self, name: &ReleaseName) -> Result<Vec<Document>, StoreError> {
        let release = self.release(name)?;
        Ok(self.documents(&release)?.0)
    }

    /// Summaries and other documents of a release, each ordered.
    pub(crate) fn documents(
        &self,
        release: &Release,
    ) -> Result<(Vec<Document>, Vec<Document>), StoreError> {
        let attached = self.attached_or_given(release, &BTreeMap::new())?;
        let count = attached.iter().map(|attached| attached.subjects.len()).sum();
        let sizes = attached.iter().map(|attached| attached.document.size);
        check_evidence(release.name(), count, sizes)?;
        let read = attached.into_par_iter().map(|attached| self.read_document(attached));
        let mut read: Vec<_> = in_order(read)?.into_iter().flatten().collect();
        read.sort_by(|(_, a), (_, b)| {
            (a.digest, &a.subject, &a.title).cmp(&(b.digest, &b.subject, &b.title))
        });
        let (summaries, others): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|(is_summary, _)| *is_summary);
        let documents = |pairs: Vec<(bool, Document)>| pairs.into_iter().map(|(_, d)| d).collect();
        Ok((documents(summaries), documents(others)))
    }

    /// A document for each subject, all with the same bytes in memory; and whether it is a summary.
    fn read_document(&self, attached: Attached) -> Result<Vec<(bool, Document)>, StoreError> {
        let bytes = self.read(&attached.document, EVIDENCE_BYTES_MAX)?;
        // The annotation only says where to look; the bytes decide.
        // One that somebody signed is evidence of what he says.
        let kind = recognise::kind_of(&attached.document.media_type, &bytes);
        let is_summary = kind == DocumentKind::Statement
            && attached.predicate_type.as_deref() == Some(SUMMARY_V1)
            && recognise::predicate_type(&bytes).as_deref() == Some(SUMMARY_V1);
        let bytes: Arc<[u8]> = bytes.into();
        let documents = attached.subjects.iter().map(|subject| Document {
            digest: attached.document.digest,
            kind,
            bytes: bytes.clone(),
            media_type: attached.document.media_type.clone(),
            title: attached.title.clone(),
            subject: subject.clone(),
        });
        Ok(documents.map(|document| (is_summary, document)).collect())
    }

    /// The manifests by which documents are attached to a release, summaries of earlier verdicts among
    /// them. What else refers to the release is none of its evidence.
    ///
    /// # Errors
    /// [`StoreError`] if the catalog cannot be read.
    pub fn evidence_referrers(&self, name: &ReleaseName) -> Result<Vec<Descriptor>, StoreError> {
        let prefix = Key::evidence_prefix(name);
        self.catalog().scan(&prefix).map(|entry| entry.map(|(_, referrer)| referrer)).collect()
    }

    /// The referrers of a release, read from their manifests and not from the documents. A manifest
    /// whose bytes are given is not read: it may be damaged, and on its way back.
    pub(crate) fn attached_or_given(
        &self,
        release: &Release,
        given: &BTreeMap<Digest, &[u8]>,
    ) -> Result<Vec<Attached>, StoreError> {
        let name = release.name();
        let subjects = subjects_of(release);
        let referrers = self.evidence_referrers(name)?;
        check_evidence(name, referrers.len(), std::iter::empty())?;
        let attached = referrers.into_par_iter().map(|listed| {
            let bytes = match given.get(&listed.digest) {
                Some(bytes) => Cow::Borrowed(*bytes),
                None => Cow::Owned(self.read(&listed, MANIFEST_BYTES_MAX)?),
            };
            let manifest = Manifest::parse(&bytes)
                .map_err(|source| StoreError::Manifest { digest: listed.digest, source })?;
            to_attached(listed.digest, &manifest, &subjects).map_err(|reason| {
                StoreError::Referrer { name: name.clone(), digest: listed.digest, reason }
            })
        });
        in_order(attached)
    }

    /// The referrers of a manifest, an index or a file, in the order of their digests. The
    /// descriptors carry the artifact type; the annotations that the referrers API lists as well stand
    /// in the manifests (OCI distribution-spec, "Listing Referrers").
    ///
    /// # Errors
    /// [`StoreError`] if the catalog cannot be read.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let prefix = Key::referrer_prefix(subject);
        self.catalog().scan(&prefix).map(|entry| entry.map(|(_, referrer)| referrer)).collect()
    }

    /// All bytes that a descriptor names, of which there may be at most `limit`; size and digest are
    /// checked.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the blob moved to quarantine, `MissingBlob`, `Size`,
    /// `BlobTooLarge`, or a failed call on the disk.
    pub fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.pool().read_described(descriptor, limit)
    }

    /// Whether there is a blob of that digest, whatever its bytes.
    pub(crate) fn is_held(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.pool().has(digest)
    }

    /// Opens a blob that is checked while it is read.
    ///
    /// # Errors
    /// [`StoreError::MissingBlob`], or a failed call on the disk.
    pub fn open_blob(&self, digest: &Digest) -> Result<BlobReader, StoreError> {
        self.pool().open_checked(digest)
    }

    /// Hashes a whole blob and hands it out open, to be read from anywhere. Costs one pass.
    ///
    /// # Errors
    /// As [`Snapshot::read`], without a limit.
    pub fn verify_blob(&self, descriptor: &Descriptor) -> Result<VerifiedBlob, StoreError> {
        self.pool().verify(descriptor)
    }
}

/// What a release consists of, by the manifests that referrers refer to.
pub(crate) fn subjects_of(release: &Release) -> BTreeMap<Digest, Arc<[Subject]>> {
    let mut subjects: BTreeMap<Digest, Vec<Subject>> = BTreeMap::new();
    subjects.insert(release.digest(), vec![Subject::Release]);
    for artifact in release.artifacts() {
        let of_manifest = subjects.entry(artifact.manifest.digest).or_default();
        of_manifest.push(Subject::Artifact(artifact.path.clone()));
    }
    subjects.into_iter().map(|(manifest, subjects)| (manifest, subjects.into())).collect()
}

fn to_attached(
    referrer: Digest,
    manifest: &Manifest,
    subjects: &BTreeMap<Digest, Arc<[Subject]>>,
) -> Result<Attached, &'static str> {
    let subject = manifest.subject.as_ref().ok_or("it has no subject")?;
    let subjects = subjects.get(&subject.digest).ok_or("its subject is not in the release")?;
    let [document] = manifest.layers.as_slice() else {
        return Err("it does not have exactly one layer");
    };
    let title = match manifest.annotations.get(ANNOTATION_TITLE) {
        None => None,
        Some(title) => Some(title.parse().map_err(|_why| "its title is no path inside a release")?),
    };
    let predicate_type = manifest.annotations.get(ANNOTATION_PREDICATE_TYPE);
    Ok(Attached {
        referrer,
        subjects: subjects.clone(),
        document: document.clone(),
        title,
        predicate_type: predicate_type.cloned(),
    })
}
