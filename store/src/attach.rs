//! Attaching documents to a release that is held.
//!
//! A document becomes an OCI referrer (image-spec, manifest.md, "subject"):
//!
//! ```text
//! manifest  artifactType = layer media type = the document's own
//!   subject      the file's manifest, or the release index
//!   layers[0]    the document, verbatim
//!   annotations  title: its path beside the artifacts, if it has one
//!                in-toto.io/predicate-type: a hint, if it is short enough for one
//! ```
//!
//! The text of a document can so not make its manifest longer than any reader takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bonded_model::descriptor::{ANNOTATION_PREDICATE_TYPE, ANNOTATION_TITLE};
use bonded_model::evidence::Subject;
use bonded_model::limits::{DOCUMENT_COUNT_MAX, EVIDENCE_TOTAL_BYTES_MAX, HINT_BYTES_MAX};
use bonded_model::manifest::Manifest;
use bonded_model::spelling::Spellings;
use bonded_model::{
    ArtifactPath, Descriptor, Digest, DocumentKind, MediaType, Release, ReleaseName, media_type,
};

use crate::catalog::Key;
use crate::error::StoreError;
use crate::lock::Holder;
use crate::recognise;
use crate::snapshot::{Attached, subjects_of};
use crate::store::Store;
use crate::writer::Writer;

/// A document that is to be held.
#[derive(Clone, Debug)]
pub struct NewDocument<'a> {
    /// Its bytes, kept verbatim.
    pub bytes: &'a [u8],
    /// What it looks like. Whoever reads it later looks at the bytes again.
    pub kind: DocumentKind,
    /// The media type that it is held and offered under.
    pub media_type: MediaType,
    /// Its path beside the artifacts, if it has one.
    pub title: Option<ArtifactPath>,
    /// The type of its predicate, if it is an attestation; becomes a hint in its manifest.
    pub predicate_type: Option<&'a str>,
}

/// Documents for one subject of one release.
#[derive(Clone, Debug)]
pub struct AttachRequest<'a> {
    /// The release, which must be held.
    pub release: &'a ReleaseName,
    /// The release as a whole or one artifact of it.
    pub subject: &'a Subject,
    /// What to attach.
    pub documents: &'a [NewDocument<'a>],
    /// Who says so; others that have to wait see it.
    pub holder: &'a Holder,
    /// How long to wait for another writer.
    pub wait: Duration,
}

/// Attaches documents in one commit and returns the epoch that holds them. Documents that are
/// attached already change nothing. `on_wait` is called once if another writer has to be waited for.
///
/// # Errors
/// [`StoreError::NoRelease`], [`StoreError::NoArtifact`], [`StoreError::TitleTaken`] if a title
/// belongs to other bytes, [`StoreError::TooManyDocuments`], [`StoreError::TooMuchEvidence`],
/// [`StoreError::LockTimeout`], or what went wrong on the disk.
pub fn attach(
    store: &Store,
    request: &AttachRequest<'_>,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<u64, StoreError> {
    let mut writer = store.lock(request.wait, request.holder, on_wait)?;
    let release = writer.base().release(request.release)?;
    let documents: Vec<_> =
        request.documents.iter().map(|document| (request.subject.clone(), document)).collect();
    add_documents(&mut writer, &release, &documents, &[])?;
    Ok(writer.commit()?.epoch())
}

/// Documents for several subjects of one release.
#[derive(Clone, Debug)]
pub struct AttachEachRequest<'a> {
    /// The release, which must be held.
    pub release: &'a ReleaseName,
    /// What to attach, each to the release as a whole or to one artifact of it.
    pub documents: &'a [(Subject, NewDocument<'a>)],
    /// Who says so; others that have to wait see it.
    pub holder: &'a Holder,
    /// How long to wait for another writer.
    pub wait: Duration,
}

/// Attaches documents to several subjects in one commit, as [`attach`] does for one.
///
/// # Errors
/// As [`attach`].
pub fn attach_each(
    store: &Store,
    request: &AttachEachRequest<'_>,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<u64, StoreError> {
    let mut writer = store.lock(request.wait, request.holder, on_wait)?;
    let release = writer.base().release(request.release)?;
    let documents = request.documents.iter().map(|(subject, made)| (subject.clone(), made));
    add_documents(&mut writer, &release, &documents.collect::<Vec<_>>(), &[])?;
    Ok(writer.commit()?.epoch())
}

/// A document with the manifest that makes it a referrer.
struct Referrer<'a> {
    document: &'a NewDocument<'a>,
    layer: Descriptor,
    manifest: Descriptor,
    bytes: Vec<u8>,
    /// The manifest that it refers to.
    about: Digest,
    /// The digests under which the catalog lists it.
    subjects: Vec<Digest>,
}

/// A referrer that somebody else made, and that is evidence as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AsItIs {
    pub(crate) referrer: Descriptor,
    /// The manifest that it is about.
    pub(crate) about: Digest,
    /// How many bytes its document has.
    pub(crate) bytes: u64,
}

/// Adds documents to the change that a writer prepares; the release need not be committed yet.
/// Where a referrer that is held has been damaged, and is among these, it is put back. What is evidence as
/// it is must be held already, and counts like the rest.
pub(crate) fn add_documents(
    writer: &mut Writer,
    release: &Release,
    documents: &[(Subject, &NewDocument<'_>)],
    as_they_are: &[AsItIs],
) -> Result<(), StoreError> {
    if documents.is_empty() && as_they_are.is_empty() {
        return Ok(());
    }
    let referrers = documents.iter().map(|(subject, document)| prepare(release, subject, document));
    let referrers = referrers.collect::<Result<Vec<_>, _>>()?;
    let given = referrers.iter().map(|referrer| (referrer.manifest.digest, &*referrer.bytes));
    let held = writer.base().attached_or_given(release, &given.collect())?;
    check_titles(release, &held, documents)?;
    check_amount(release, &held, &referrers, as_they_are)?;
    for AsItIs { referrer, .. } in as_they_are {
        writer.insert(Key::evidence(release.name(), &referrer.digest), referrer.clone())?;
    }
    if referrers.is_empty() {
        return Ok(());
    }
    writer.hold(MediaType::known(media_type::OCI_EMPTY), b"{}")?;
    for referrer in referrers {
        writer.hold(referrer.layer.media_type.clone(), referrer.document.bytes)?;
        writer.hold(referrer.manifest.media_type.clone(), &referrer.bytes)?;
        for digest in &referrer.subjects {
            let key = Key::referrer(digest, &referrer.manifest.digest);
            writer.insert(key, referrer.manifest.clone())?;
        }
        let key = Key::evidence(release.name(), &referrer.manifest.digest);
        writer.insert(key, referrer.manifest)?;
    }
    Ok(())
}

fn prepare<'a>(
    release: &Release,
    subject: &Subject,
    document: &'a NewDocument<'a>,
) -> Result<Referrer<'a>, StoreError> {
    let manifest_of_subject = match subject {
        Subject::Release => release.index(),
        Subject::Artifact(path) => match release.artifact(path) {
            Some(artifact) => &artifact.manifest,
            None => {
                let (name, path) = (release.name().clone(), path.clone());
                return Err(StoreError::NoArtifact { name, path });
            }
        },
    };
    let layer = Descriptor::of(document.media_type.clone(), document.bytes);
    let mut manifest = Manifest::artifact(document.media_type.clone(), layer.clone());
    manifest.subject = Some(Descriptor { artifact_type: None, ..manifest_of_subject.clone() });
    let hint = document.predicate_type.filter(|hint| hint.len() <= HINT_BYTES_MAX);
    let annotations = [
        (ANNOTATION_TITLE, document.title.as_ref().map(ArtifactPath::as_str)),
        (ANNOTATION_PREDICATE_TYPE, hint),
    ];
    for (annotation, value) in annotations {
        if let Some(value) = value {
            manifest.annotations.insert(annotation.to_owned(), value.to_owned());
        }
    }
    let bytes = manifest.to_bytes();
    let named = recognise::subject_digests(document.bytes);
    Ok(Referrer {
        document,
        layer,
        manifest: Descriptor {
            artifact_type: Some(document.media_type.clone()),
            ..Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &bytes)
        },
        bytes,
        about: manifest_of_subject.digest,
        subjects: named_files(release, &named).chain([manifest_of_subject.digest]).collect(),
    })
}

/// The files of a release that its evidence names: evidence is listed under these, and what it is about.
pub(crate) fn named_files<'a>(
    release: &'a Release,
    named: &'a BTreeSet<Digest>,
) -> impl Iterator<Item = Digest> + 'a {
    let files = release.artifacts().iter().map(|artifact| artifact.file.digest);
    files.filter(|file| named.contains(file))
}

/// That a verdict can take all of it in: what is held and what comes, each referrer once.
fn check_amount(
    release: &Release,
    held: &[Attached],
    referrers: &[Referrer<'_>],
    as_they_are: &[AsItIs],
) -> Result<(), StoreError> {
    let subjects = subjects_of(release);
    let count_of = |about| subjects.get(about).map_or(0, |subjects| subjects.len());
    let held = held
        .iter()
        .map(|attached| (attached.referrer, (attached.subjects.len(), attached.document.size)));
    let given = referrers.iter().map(|referrer| {
        (referrer.manifest.digest, (count_of(&referrer.about), referrer.layer.size))
    });
    let as_they_are =
        as_they_are.iter().map(|one| (one.referrer.digest, (count_of(&one.about), one.bytes)));
    let all: BTreeMap<Digest, (usize, u64)> = held.chain(given).chain(as_they_are).collect();
    let count = all.values().map(|(count, _)| count).sum();
    check_evidence(release.name(), count, all.into_values().map(|(_, size)| size))
}

/// That evidence of so many documents of these sizes is no more than a verdict may take in. A document
/// counts for each artifact that it is about, as an image under several tags; its bytes count once.
pub(crate) fn check_evidence(
    name: &ReleaseName,
    count: usize,
    sizes: impl Iterator<Item = u64>,
) -> Result<(), StoreError> {
    let name = name.clone();
    if count > DOCUMENT_COUNT_MAX {
        return Err(StoreError::TooManyDocuments { name, count, limit: DOCUMENT_COUNT_MAX });
    }
    match sizes.fold(0_u64, u64::saturating_add) {
        bytes if bytes > EVIDENCE_TOTAL_BYTES_MAX => {
            Err(StoreError::TooMuchEvidence { name, bytes, limit: EVIDENCE_TOTAL_BYTES_MAX })
        }
        _ => Ok(()),
    }
}

/// Every path of a release's tree has one content for ever: an artifact, or a document with a title.
fn check_titles(
    release: &Release,
    held: &[Attached],
    documents: &[(Subject, &NewDocument<'_>)],
) -> Result<(), StoreError> {
    let artifacts = release.artifacts().iter();
    let mut taken: BTreeMap<&str, Digest> =
        artifacts.map(|artifact| (artifact.path.as_str(), artifact.file.digest)).collect();
    for attached in held {
        if let Some(title) = &attached.title {
            taken.entry(title.as_str()).or_insert(attached.document.digest);
        }
    }
    let mut spellings = Spellings::default();
    let titles = held.iter().filter_map(|attached| attached.title.as_ref());
    for path in release.paths().chain(titles) {
        drop(spellings.add(path)); // what is held stays, also from before this was looked at
    }
    for (_, document) in documents {
        let Some(title) = &document.title else { continue };
        if let Err(other) = spellings.add(title) {
            let (name, title) = (release.name().clone(), title.clone());
            return Err(StoreError::Spelling { name, title, other });
        }
        let given = Digest::sha256_of(document.bytes);
        let held = *taken.entry(title.as_str()).or_insert(given);
        let is_artifact = release.artifact(title).is_some();
        if held != given || is_artifact {
            let (name, title) = (release.name().clone(), title.clone());
            return Err(StoreError::TitleTaken { name, title, held, given });
        }
        if let Some(other) = file_and_directory(&taken, title) {
            let (name, title) = (release.name().clone(), title.clone());
            return Err(StoreError::FileAndDirectory { name, title, other });
        }
    }
    Ok(())
}

/// A path that is a directory above this one, or below this one as a directory: no tree holds both.
pub(crate) fn file_and_directory(
    taken: &BTreeMap<&str, Digest>,
    title: &ArtifactPath,
) -> Option<ArtifactPath> {
    let above = std::iter::successors(Some(title.directory()), |directory| {
        directory.rsplit_once('/').map(|(above, _)| above)
    });
    let above = above.into_iter().find(|directory| taken.contains_key(directory));
    let as_directory = format!("{title}/");
    let below = taken.range(as_directory.as_str()..).next().map(|(path, _)| *path);
    let below = below.filter(|path| path.starts_with(&as_directory));
    above.or(below).and_then(|path| path.parse().ok()) // it was a path before
}
