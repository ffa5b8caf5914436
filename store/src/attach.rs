//! Attaching documents to a release that is held.
//!
//! A document becomes an OCI referrer (image-spec, manifest.md, "subject"):
//!
//! ```text
//! manifest  artifactType = layer media type = the document's own
//!   subject      the file's manifest, or the release index
//!   layers[0]    the document, verbatim
//!   annotations  title: its path beside the artifacts, if it has one
//!                in-toto.io/predicate-type: a hint
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use bonded_model::descriptor::{ANNOTATION_PREDICATE_TYPE, ANNOTATION_TITLE};
use bonded_model::evidence::Subject;
use bonded_model::limits::DOCUMENT_COUNT_MAX;
use bonded_model::manifest::Manifest;
use bonded_model::{
    ArtifactPath, Descriptor, Digest, DocumentKind, MediaType, Release, ReleaseName, media_type,
};

use crate::catalog::Key;
use crate::error::StoreError;
use crate::lock::Holder;
use crate::recognise;
use crate::snapshot::Attached;
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
/// belongs to other bytes, [`StoreError::LockTimeout`], or what went wrong on the disk.
pub fn attach(
    store: &Store,
    request: &AttachRequest<'_>,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<u64, StoreError> {
    let mut writer = store.lock(request.wait, request.holder, on_wait)?;
    let release = writer.base().release(request.release)?;
    let documents: Vec<_> =
        request.documents.iter().map(|document| (request.subject.clone(), document)).collect();
    add_documents(&mut writer, &release, &documents)?;
    Ok(writer.commit()?.epoch())
}

/// Adds documents to the change that a writer prepares; the release need not be committed yet.
pub(crate) fn add_documents(
    writer: &mut Writer,
    release: &Release,
    documents: &[(Subject, &NewDocument<'_>)],
) -> Result<(), StoreError> {
    if documents.is_empty() {
        return Ok(());
    }
    let held = writer.base().attached(release)?;
    check_titles(release, &held, documents)?;
    writer.hold(MediaType::known(media_type::OCI_EMPTY), b"{}")?;
    for (subject, document) in documents {
        add_document(writer, release, subject, document)?;
    }
    let prefix = Key::evidence_prefix(release.name());
    let count = writer.catalog().scan(&prefix).count();
    if count > DOCUMENT_COUNT_MAX {
        let (name, limit) = (release.name().clone(), DOCUMENT_COUNT_MAX);
        return Err(StoreError::TooManyDocuments { name, count, limit });
    }
    Ok(())
}

fn add_document(
    writer: &mut Writer,
    release: &Release,
    subject: &Subject,
    document: &NewDocument<'_>,
) -> Result<(), StoreError> {
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
    let layer = writer.hold(document.media_type.clone(), document.bytes)?;
    let mut manifest = Manifest::artifact(document.media_type.clone(), layer);
    manifest.subject = Some(Descriptor { artifact_type: None, ..manifest_of_subject.clone() });
    let hints = [
        (ANNOTATION_TITLE, document.title.as_ref().map(ArtifactPath::as_str)),
        (ANNOTATION_PREDICATE_TYPE, document.predicate_type),
    ];
    for (annotation, value) in hints {
        if let Some(value) = value {
            manifest.annotations.insert(annotation.to_owned(), value.to_owned());
        }
    }
    let mut referrer =
        writer.hold(MediaType::known(media_type::OCI_MANIFEST), &manifest.to_bytes())?;
    referrer.artifact_type = Some(document.media_type.clone());
    referrer.annotations = manifest.annotations;

    let named = recognise::subject_digests(document.bytes);
    let files = release.artifacts().iter().map(|artifact| artifact.file.digest);
    let subjects = files.filter(|file| named.contains(file)).chain([manifest_of_subject.digest]);
    for digest in subjects {
        writer.insert(Key::referrer(&digest, &referrer.digest), referrer.clone())?;
    }
    writer.insert(Key::evidence(release.name(), &referrer.digest), referrer)?;
    Ok(())
}

/// Every path of a release's tree has one content for ever: an artifact, or a document with a title.
fn check_titles(
    release: &Release,
    held: &[Attached],
    documents: &[(Subject, &NewDocument<'_>)],
) -> Result<(), StoreError> {
    let titled = |attached: &Attached| Some((attached.title.clone()?, attached.document.digest));
    let mut taken: BTreeMap<ArtifactPath, Digest> = held.iter().filter_map(titled).collect();
    let artifacts = release.artifacts().iter();
    taken.extend(artifacts.map(|artifact| (artifact.path.clone(), artifact.file.digest)));
    for (_, document) in documents {
        let Some(title) = &document.title else { continue };
        let given = Digest::sha256_of(document.bytes);
        let held = *taken.entry(title.clone()).or_insert(given);
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
fn file_and_directory(
    taken: &BTreeMap<ArtifactPath, Digest>,
    title: &ArtifactPath,
) -> Option<ArtifactPath> {
    let mut directory = title.directory();
    while !directory.is_empty() {
        let path = directory.parse().ok()?; // a directory of a path is a path
        if taken.contains_key(&path) {
            return Some(path);
        }
        directory = directory.rsplit_once('/').map_or("", |(above, _)| above);
    }
    let beginning_alike = taken.range(title.clone()..).map(|(path, _)| path.as_str());
    let mut rests =
        beginning_alike.map_while(|path| Some((path, path.strip_prefix(title.as_str())?)));
    let below = rests.find(|(_, rest)| rest.starts_with('/'));
    below.and_then(|(path, _)| path.parse().ok()) // it was a path before
}
