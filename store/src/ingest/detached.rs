//! Detached signatures: `.sig` files beside artifacts, with the certificate and the log's entry beside them.
//!
//! Other programs give files such names too, so a name alone makes no evidence, and none is missed where the
//! content is another:
//!
//! ```text
//! a.sig                    beside an artifact a, if it holds a signature in base64
//! a.cert                   beside an a.sig; it has to hold certificates
//! a.crt, a.pem             beside an a.sig with an a.cert, a.rekor.json or a.rekor, if it holds certificates
//! a.rekor.json, a.rekor    beside an artifact a; it has to hold the entry of a log
//! ```
//!
//! The others may be held already: pieces come one after another. Everything else of such a name stays an
//! artifact, such as a certificate that ships with a signed file, as does what is one in the release that is
//! held, or has a signature of its own beside it.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::detached::{Piece, piece_of};
use bonded_model::evidence::Subject;
use bonded_model::limits::DETACHED_BYTES_MAX;
use bonded_model::{ArtifactPath, ReleaseName, media_type};

use super::error::IngestError;
use super::intake::read_steadily;
use super::sidecar::Sidecar;
use super::walk::{Found, Input};
use crate::attach::check_evidence;
use crate::disk::{Disk, DiskError};
use crate::error::StoreError;
use crate::recognise::{Expected, recognise};
use crate::snapshot::Attached;
use crate::store::Store;

/// The only names of certificates that nobody else gives.
const CERTIFICATE_SUFFIX: &str = ".cert";

/// What is held of a release that pieces may belong to.
#[derive(Debug, Default)]
pub(super) struct Held {
    artifacts: BTreeSet<ArtifactPath>,
    /// The names of documents.
    titles: BTreeSet<ArtifactPath>,
    beside: Beside,
}

/// What lies beside which artifacts.
#[derive(Clone, Debug, Default)]
struct Beside {
    /// Those with a signature.
    signed: BTreeSet<ArtifactPath>,
    /// Those with a file that tells of a certificate: a log's entry, or one whose name nobody else gives.
    certified: BTreeSet<ArtifactPath>,
}

/// What is held of a release, as far as it matters for what was found. What is damaged will be told by whoever
/// needs it.
pub(super) fn held(
    store: &Store,
    release: &ReleaseName,
    found: &Found,
) -> Result<Held, StoreError> {
    let pieces: BTreeSet<Piece> =
        found.keys().filter_map(|path| Some(piece_of(path.file_name())?.1)).collect();
    if pieces.is_empty() {
        return Ok(Held::default());
    }
    let snapshot = store.snapshot()?;
    let Some(release) = unless_damaged(snapshot.release(release))? else {
        return Ok(Held::default());
    };
    let mut held = Held { artifacts: release.paths().cloned().collect(), ..Held::default() };
    if pieces.contains(&Piece::Certificate) {
        let attached = snapshot.attached_or_given(&release, &BTreeMap::new());
        unless_damaged(attached)?.iter().flatten().for_each(|document| held.add(document));
    }
    Ok(held)
}

fn unless_damaged<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(
            StoreError::NoRelease { .. }
            | StoreError::Corrupt { .. }
            | StoreError::MissingBlob { .. }
            | StoreError::Manifest { .. }
            | StoreError::Referrer { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Held {
    fn add(&mut self, document: &Attached) {
        self.titles.extend(document.title.clone());
        let beside = match document.document.media_type.as_str() {
            media_type::DETACHED_SIGNATURE => &mut self.beside.signed,
            media_type::DETACHED_LOG_ENTRY => &mut self.beside.certified,
            media_type::DETACHED_CERTIFICATE if document.title.as_ref().is_some_and(tells) => {
                &mut self.beside.certified
            }
            _ => return,
        };
        beside.extend(document.subjects.iter().filter_map(|subject| match subject {
            Subject::Artifact(path) => Some(path.clone()),
            Subject::Release => None,
        }));
    }

    /// What lies beside artifacts once the files that were found do as well; signatures are added when read.
    fn with(&self, found: &Found, artifacts: &BTreeSet<ArtifactPath>) -> Beside {
        let mut beside = self.beside.clone();
        let telling = found.keys().filter(|path| tells(path) && !self.artifacts.contains(*path));
        let owners = telling.filter_map(|path| Some(owner_of(path, artifacts)?.0));
        beside.certified.extend(owners);
        beside
    }
}

/// Takes the pieces of detached signatures out of what would be artifacts.
pub(super) fn split(
    disk: &Disk,
    release: &ReleaseName,
    found: Found,
    held: &Held,
) -> Result<(Vec<Sidecar>, Found), IngestError> {
    let mut artifacts: BTreeSet<ArtifactPath> = held.artifacts.clone();
    artifacts.extend(found.keys().cloned());
    let mut pieces: Vec<Sidecar> = Vec::new();
    let (mut beside, mut bytes) = (held.with(&found, &artifacts), 0_u64);
    let (mut signed, mut rest) = (BTreeSet::new(), Found::new());
    // What a name belongs to is its beginning, and so comes before it; a certificate comes before its signature.
    let (signatures, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(path, _)| is_signature(path));
    for (path, source) in signatures.into_iter().chain(others) {
        // What is signed itself stays what it is.
        let stays = held.artifacts.contains(&path) || signed.contains(&path);
        let owner = owner_of(&path, &artifacts).filter(|_| !stays);
        let wanted = owner.filter(|(owner, expected)| {
            *expected != Expected::Certificate
                || beside.signed.contains(owner)
                    && (beside.certified.contains(owner) || held.titles.contains(&path))
        });
        let piece = wanted.map(|(owner, expected)| read(disk, expected, &path, &source, owner));
        let Some(piece) = piece.transpose()?.flatten() else {
            rest.insert(path, source);
            continue;
        };
        if piece.expected() == Expected::Signature {
            signed.extend(piece.owner().cloned());
            beside.signed.extend(piece.owner().cloned());
        }
        artifacts.remove(&path);
        bytes = bytes.saturating_add(source.state.bytes);
        pieces.push(piece);
        check_evidence(release, pieces.len(), [bytes].into_iter())?;
    }
    Ok((pieces, rest))
}

fn is_signature(path: &ArtifactPath) -> bool {
    piece_of(path.file_name()).is_some_and(|(_, piece)| piece == Piece::Signature)
}

/// The artifact that a file of that name would belong to, and as what.
fn owner_of(
    path: &ArtifactPath,
    artifacts: &BTreeSet<ArtifactPath>,
) -> Option<(ArtifactPath, Expected)> {
    let (owner, piece) = piece_of(path.file_name())?;
    let owner = match path.directory() {
        "" => owner.parse(),
        directory => format!("{directory}/{owner}").parse(),
    };
    let owner = owner.ok().filter(|owner| artifacts.contains(owner))?; // a rest such as `..` names nothing
    let expected = match piece {
        Piece::Signature => Expected::Signature,
        Piece::Certificate => Expected::Certificate,
        Piece::LogEntry => Expected::LogEntry,
    };
    Some((owner, expected))
}

/// Whether nobody gives a file such a name who has not a signature with a certificate in mind.
fn tells(path: &ArtifactPath) -> bool {
    let name = path.file_name();
    let is_entry = piece_of(name).is_some_and(|(_, piece)| piece == Piece::LogEntry);
    is_entry || name.to_ascii_lowercase().ends_with(CERTIFICATE_SUFFIX)
}

/// The piece, if the content is one.
fn read(
    disk: &Disk,
    expected: Expected,
    title: &ArtifactPath,
    source: &Input,
    owner: ArtifactPath,
) -> Result<Option<Sidecar>, IngestError> {
    let (must, limit) = (tells(title), DETACHED_BYTES_MAX);
    let (path, description) = (source.path.clone(), expected.description());
    if source.state.bytes > limit {
        let (bytes, expected) = (source.state.bytes, description);
        let error = IngestError::EvidenceTooLarge { path, expected, bytes, limit };
        return if must { Err(error) } else { Ok(None) };
    }
    let bytes = match read_steadily(disk, source, limit) {
        Err(IngestError::Source(DiskError::OverLimit { path, .. })) => {
            return Err(IngestError::Changed { path }); // it was smaller a moment ago
        }
        other => other?,
    };
    match recognise(expected, &bytes) {
        Ok(recognised) => {
            Ok(Some(Sidecar::beside(owner, title.clone(), bytes, recognised, expected)))
        }
        Err(source) if must => Err(IngestError::Evidence { path, expected: description, source }),
        Err(_another_content) => Ok(None),
    }
}
