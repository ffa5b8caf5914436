//! Signatures over files of a release: which file each is of, which pieces lie beside it, and what they make
//! together.
//!
//! Names say which pieces lie beside a signature, and anybody could have given a file such a name. So each
//! certificate is tried with each entry, and the signature as one by a key without them: whatever was signed
//! by another, or logged of something else, takes nothing away from what holds. A piece of another signature
//! makes nothing hold, since certificate and entry are bound to theirs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bonded_model::detached::Files;
use bonded_model::evidence::Subject;
use bonded_model::{Digest, Document, DocumentKind, Evidence};

use super::Inventory;
use crate::attestation::{Attestation, Frame};
use crate::code::Code;
use crate::finding::Fault;
use crate::signature::SignedFile;

/// As many certificates, and entries, as are looked at beside one signature: more than there are suffixes for.
const BESIDE_COUNT_MAX: usize = 4;

/// What stands beside a signature over a file, and over which content it is: one signature with other pieces, or
/// over another file, is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pieces {
    content: Option<usize>,
    certificates: Vec<Digest>,
    entries: Vec<Digest>,
}

/// The pieces of one kind beside each artifact, by their digests.
type Beside<'a> = BTreeMap<&'a Subject, BTreeMap<Digest, &'a Document>>;

/// The pieces of detached signatures of the evidence.
#[derive(Debug, Default)]
pub(super) struct Lying<'a> {
    signed: BTreeSet<&'a Subject>,
    certificates: Beside<'a>,
    entries: Beside<'a>,
    /// Message signatures in bundles that lie beside more than one file.
    shared: BTreeSet<Digest>,
}

/// Without this name in it a bundle holds no signature over a file.
const MESSAGE_SIGNATURE: &[u8] = b"messageSignature";

impl<'a> Lying<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Self {
        let mut lying = Self { shared: shared(evidence), ..Self::default() };
        for document in &evidence.documents {
            let beside = match document.kind {
                DocumentKind::Signature => {
                    lying.signed.insert(&document.subject);
                    continue;
                }
                DocumentKind::Certificate => &mut lying.certificates,
                DocumentKind::LogEntry => &mut lying.entries,
                _ => continue,
            };
            beside.entry(&document.subject).or_default().insert(document.digest, document);
        }
        lying
    }

    /// Whether a document is part of what is read with a signature.
    pub(super) fn is_part(&self, document: &Document) -> bool {
        matches!(document.kind, DocumentKind::Certificate | DocumentKind::LogEntry)
            && self.signed.contains(&document.subject)
            && document.subject != Subject::Release
    }

    pub(super) fn beside(&self, document: &Document, inventory: &Inventory<'_>) -> Pieces {
        let Subject::Artifact(path) = &document.subject else { return Pieces::default() };
        let at = inventory.at_path(path.as_str());
        let content = at.and_then(|at| inventory.content_of(at));
        if document.kind != DocumentKind::Signature {
            let is_of_one = self.shared.contains(&document.digest);
            return Pieces { content: content.filter(|_| is_of_one), ..Pieces::default() };
        }
        // One too many is as good as all of them.
        let first = |beside: &Beside<'_>| -> Vec<Digest> {
            let all = beside.get(&document.subject).into_iter().flat_map(BTreeMap::keys);
            all.take(BESIDE_COUNT_MAX + 1).copied().collect()
        };
        Pieces { content, certificates: first(&self.certificates), entries: first(&self.entries) }
    }

    /// The signature with the bytes of what stands beside it.
    pub(super) fn files(&self, document: &'a Document, pieces: &Pieces) -> Files<'a> {
        let bytes = |document: &'a Document| Cow::Borrowed(&*document.bytes);
        let of = |beside: &Beside<'a>, digests: &[Digest]| {
            let held = beside.get(&document.subject);
            let held = digests.iter().filter_map(|digest| held?.get(digest).copied());
            held.map(bytes).collect()
        };
        Files {
            signature: bytes(document),
            certificates: of(&self.certificates, &pieces.certificates),
            entries: of(&self.entries, &pieces.entries),
        }
    }
}

/// The message signatures in bundles that lie beside more than one file: each is of one of them at most, and
/// has to be read as that of each. What names its files itself is read once.
fn shared(evidence: &Evidence) -> BTreeSet<Digest> {
    let mut beside: BTreeMap<Digest, (&Document, bool)> = BTreeMap::new();
    let bundles = evidence.documents.iter().filter(|d| d.kind == DocumentKind::Bundle);
    for document in bundles.filter(|document| document.subject != Subject::Release) {
        let (first, several) = beside.entry(document.digest).or_insert((document, false));
        *several |= first.subject != document.subject;
    }
    let several = beside.into_iter().filter(|(_, (_, several))| *several);
    several.filter(|(_, (document, _))| is_over_a_file(&document.bytes)).map(|(d, _)| d).collect()
}

fn is_over_a_file(bytes: &[u8]) -> bool {
    bytes.windows(MESSAGE_SIGNATURE.len()).any(|window| window == MESSAGE_SIGNATURE)
}

/// What a signature makes with each certificate and each entry, and what holds without them.
pub(super) fn assess(
    frame: &Frame<'_>,
    files: &Files<'_>,
    file: Option<SignedFile<'_>>,
) -> Vec<Attestation> {
    let mut kept: Vec<Attestation> = Vec::new();
    // All of it comes before any part of it that could hold: a certificate without entry never does.
    for certificate in choices(&files.certificates) {
        for entry in choices(&files.entries) {
            let is_all = (certificate.is_some() || files.certificates.is_empty())
                && (entry.is_some() || files.entries.is_empty());
            let is_nothing = certificate.is_some() && entry.is_none() && !is_all;
            if is_nothing {
                continue;
            }
            let attestation =
                Attestation::assess_files(frame, &of(files, certificate, entry), file);
            if is_all || adds(&kept, &attestation) {
                kept.push(attestation);
            }
        }
    }
    kept.extend(limit(files).map(|fault| Attestation::refused_file(fault, file)));
    kept
}

/// Each of some pieces, and none of them.
fn choices<'a, 'b>(
    pieces: &'b [Cow<'a, [u8]>],
) -> impl Iterator<Item = Option<&'b Cow<'a, [u8]>>> + 'b {
    pieces.iter().take(BESIDE_COUNT_MAX).map(Some).chain([None])
}

fn of<'a>(
    files: &'a Files<'_>,
    certificate: Option<&'a Cow<'_, [u8]>>,
    entry: Option<&'a Cow<'_, [u8]>>,
) -> Files<'a> {
    let one = |piece: Option<&'a Cow<'_, [u8]>>| piece.map(|p| Cow::Borrowed(&**p));
    Files {
        signature: Cow::Borrowed(&*files.signature),
        certificates: one(certificate).into_iter().collect(),
        entries: one(entry).into_iter().collect(),
    }
}

/// Whether it holds for a signer for whom nothing before it does.
fn adds(kept: &[Attestation], attestation: &Attestation) -> bool {
    let holds = |attestation: &&Attestation| attestation.faults.is_empty();
    let known = |name: &str| {
        let mut signers = kept.iter().filter(holds).flat_map(|kept| &kept.signers);
        signers.any(|signer| signer.name == name)
    };
    holds(&attestation) && attestation.signers.iter().any(|signer| !known(&signer.name))
}

fn limit(files: &Files<'_>) -> Option<Fault> {
    let expected = format!(
        "at most {BESIDE_COUNT_MAX} certificates and {BESIDE_COUNT_MAX} log entries beside it"
    );
    let is_over = files.certificates.len().max(files.entries.len()) > BESIDE_COUNT_MAX;
    is_over.then(|| Fault::new(Code::SigLimit, expected, "more of them"))
}
