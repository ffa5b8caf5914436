//! Detached signatures: `.sig` files beside artifacts, with the certificate and the log's entry beside them.
//!
//! Other programs give files such names too, so a name alone makes no evidence, and none is missed where the
//! content is another:
//!
//! ```text
//! a.sig                    beside an artifact a, if it holds a signature in base64
//! a.cert, a.crt, a.pem     beside such an a.sig, if it holds certificates; an a.cert has to
//! a.rekor.json, a.rekor    beside an artifact a; it has to hold a JSON object
//! ```
//!
//! Everything else of such a name stays an artifact, as does what is one in the release that is held, or has a
//! signature of its own beside it.

use std::collections::BTreeSet;

use bonded_model::detached::{Piece, piece_of};
use bonded_model::limits::DETACHED_BYTES_MAX;
use bonded_model::{ArtifactPath, ReleaseName};

use super::error::IngestError;
use super::intake::read_steadily;
use super::sidecar::Sidecar;
use super::walk::{Found, Input};
use crate::attach::check_evidence;
use crate::disk::{Disk, DiskError};
use crate::error::StoreError;
use crate::recognise::{Expected, recognise};
use crate::store::Store;

/// The only names of certificates that nobody else gives.
const CERTIFICATE_SUFFIX: &str = ".cert";

/// The artifacts that are held of a release. What is damaged will be told by whoever needs it.
pub(super) fn held(
    store: &Store,
    release: &ReleaseName,
    found: &Found,
) -> Result<BTreeSet<ArtifactPath>, StoreError> {
    if !found.keys().any(|path| piece_of(path.file_name()).is_some()) {
        return Ok(BTreeSet::new());
    }
    match store.snapshot()?.release(release) {
        Ok(release) => Ok(release.paths().cloned().collect()),
        Err(
            StoreError::NoRelease { .. }
            | StoreError::Corrupt { .. }
            | StoreError::MissingBlob { .. },
        ) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Takes the pieces of detached signatures out of what would be artifacts.
pub(super) fn split(
    disk: &Disk,
    release: &ReleaseName,
    found: Found,
    held: &BTreeSet<ArtifactPath>,
) -> Result<(Vec<Sidecar>, Found), IngestError> {
    let mut artifacts: BTreeSet<ArtifactPath> = held.clone();
    artifacts.extend(found.keys().cloned());
    let mut pieces: Vec<Sidecar> = Vec::new();
    let (mut signed, mut bytes) = (BTreeSet::new(), 0_u64);
    let mut rest = Found::new();
    // What a name belongs to is its beginning, and so comes before it; a certificate comes before its signature.
    let (signatures, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(path, _)| is_signature(path));
    for (path, source) in signatures.into_iter().chain(others) {
        // What is signed itself stays what it is.
        let stays = held.contains(&path) || signed.contains(&path);
        let owner = owner_of(&path, &artifacts).filter(|_| !stays);
        let wanted = owner.filter(|(owner, expected)| {
            *expected != Expected::Certificate || signed.contains(owner)
        });
        let piece = wanted.map(|(owner, expected)| read(disk, expected, &path, &source, owner));
        let Some(piece) = piece.transpose()?.flatten() else {
            rest.insert(path, source);
            continue;
        };
        if piece.expected() == Expected::Signature {
            signed.extend(piece.owner().cloned());
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

/// Whether nobody gives a file such a name for anything else.
fn must_hold(path: &ArtifactPath, expected: Expected) -> bool {
    match expected {
        Expected::LogEntry => true,
        Expected::Certificate => {
            path.file_name().to_ascii_lowercase().ends_with(CERTIFICATE_SUFFIX)
        }
        _ => false,
    }
}

/// The piece, if the content is one.
fn read(
    disk: &Disk,
    expected: Expected,
    title: &ArtifactPath,
    source: &Input,
    owner: ArtifactPath,
) -> Result<Option<Sidecar>, IngestError> {
    let (must, limit) = (must_hold(title, expected), DETACHED_BYTES_MAX);
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
