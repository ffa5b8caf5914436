//! SHA-512 of artifacts, computed when a document asks for it and at no other time: a checksum list
//! of such digests, or a signed statement with a subject that names one. Without the fact, such a
//! digest could neither match nor contradict.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use bonded_model::checksums;
use bonded_model::limits::LINE_COUNT_MAX;
use bonded_model::statement::Statement;
use bonded_model::{Algorithm, Artifact, Digest, Document, DocumentKind, Release};
use rayon::prelude::*;
use serde::Deserialize;

use crate::error::StoreError;
use crate::facts::{BlobFacts, look};
use crate::hashing::Sha512Wanted;
use crate::parallel::in_order;
use crate::store::Store;

/// Whether a document lists SHA-512 digests.
pub(crate) fn lists_sha512(kind: DocumentKind, bytes: &[u8]) -> bool {
    kind == DocumentKind::Checksums && checksums::parse(bytes, Algorithm::Sha512).is_ok()
}

/// What of a bundle or of an envelope leads to the payload.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default, rename = "dsseEnvelope")]
    envelope: Option<Enveloped<'a>>,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Enveloped<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// Whether a signed statement names a subject by SHA-512; a statement without a signature is never
/// believed. What is malformed names nothing here: the verdict on it is reached elsewhere.
fn attests_sha512(kind: DocumentKind, bytes: &[u8]) -> bool {
    if !matches!(kind, DocumentKind::Bundle | DocumentKind::Envelope) {
        return false;
    }
    if let Ok(outline) = serde_json::from_slice::<Outline<'_>>(bytes) {
        return outline.names_sha512();
    }
    let lines = bytes.split(|byte| *byte == b'\n').take(LINE_COUNT_MAX);
    lines
        .filter_map(|line| serde_json::from_slice::<Outline<'_>>(line).ok())
        .any(|o| o.names_sha512())
}

impl Outline<'_> {
    fn names_sha512(&self) -> bool {
        let payload = self.envelope.as_ref().map(|e| &e.payload).or(self.payload.as_ref());
        let decoded = payload.and_then(|text| {
            let standard = STANDARD.decode(text.as_bytes());
            standard.or_else(|_other_alphabet| URL_SAFE.decode(text.as_bytes())).ok() // malformed
        });
        decoded.is_some_and(|payload| payload_names_sha512(&payload))
    }
}

/// Looks before it parses: few statements hold the word, or an escape that could spell it.
fn payload_names_sha512(payload: &[u8]) -> bool {
    const NAME: &str = "sha512";
    let holds = |text: &[u8]| payload.windows(text.len()).any(|window| window == text);
    if !holds(NAME.as_bytes()) && !holds(b"\\u") {
        return false;
    }
    let statement = Statement::parse(payload);
    statement.is_ok_and(|statement| statement.subjects.iter().any(|s| s.digest.get(NAME).is_some()))
}

fn asks_for_sha512(document: &Document) -> bool {
    lists_sha512(document.kind, &document.bytes) || attests_sha512(document.kind, &document.bytes)
}

/// Whether one of these documents names SHA-512 digests.
pub(crate) fn wanted_by(documents: &[Document]) -> Sha512Wanted {
    if documents.par_iter().any(asks_for_sha512) { Sha512Wanted::Yes } else { Sha512Wanted::No }
}

/// Whether the facts, which lie in the store, are enough to say what a SHA-512 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// They are: it decides about nothing.
    ByFacts,
    /// They are not: whoever may write them could have a file pass for another.
    ByBytes,
}

/// The release with the SHA-512 of every artifact, if one of the documents names such digests; else
/// the release as it is. What is computed from the blob, whose SHA-256 is checked in the same pass, is kept where
/// the facts say something else.
pub(crate) fn with_sha512(
    store: &Store,
    release: Release,
    documents: &[Document],
    said: Said,
) -> Result<Release, StoreError> {
    if wanted_by(documents) == Sha512Wanted::No {
        return Ok(release);
    }
    let files: Vec<Digest> =
        release.artifacts().iter().map(|artifact| artifact.file.digest).collect();
    let held = store.facts().get_many(&files);
    let held: BTreeMap<Digest, Digest> =
        held.into_iter().filter_map(|(file, facts)| Some((file, facts.sha512?))).collect();
    let known = |file: &Digest| held.get(file).copied().filter(|_| said == Said::ByFacts);
    let unknown: Vec<Digest> = files.iter().filter(|file| known(file).is_none()).copied().collect();
    let computed = unknown
        .into_par_iter()
        .map(|file| Ok::<_, StoreError>((file, look(store, &file, Sha512Wanted::Yes, &())?)));
    let computed: BTreeMap<Digest, BlobFacts> = in_order(computed)?.into_iter().collect();
    let others = computed.iter().filter(|(file, facts)| held.get(file) != facts.sha512.as_ref());
    let others = others.map(|(file, facts)| (*file, facts.clone())).collect();
    store.facts().put_many(&others);
    let sha512 =
        |file: &Digest| known(file).or_else(|| computed.get(file).and_then(|facts| facts.sha512));
    let artifacts = release
        .artifacts()
        .iter()
        .map(|artifact| Artifact { sha512: sha512(&artifact.file.digest), ..artifact.clone() });
    let name = release.name().clone();
    Release::from_stored(name.clone(), release.index().clone(), artifacts.collect())
        .map_err(|source| StoreError::Release { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_model::bundle::with_managed_key;
    use bonded_model::dsse::{Envelope, Signature};
    use bonded_model::media_type::IN_TOTO;
    use bonded_model::statement::{DigestSet, Subject};

    fn envelope(payload: Vec<u8>) -> Envelope {
        let signatures = vec![Signature { key_id: None, bytes: vec![1] }];
        Envelope { payload_type: IN_TOTO.to_owned(), payload, signatures }
    }

    fn statement(digests: &[Digest], predicate: &str) -> Vec<u8> {
        let subject =
            Subject { name: "x".to_owned(), digest: DigestSet::of(digests), source_refs: vec![] };
        Statement::new(vec![subject], "https://example.com/p", &predicate).to_bytes()
    }

    fn check(payload: Vec<u8>, expected: bool) {
        let envelope = envelope(payload);
        let (bare, bundle) =
            (envelope.to_bytes(), with_managed_key(&envelope, &Digest::sha256_of(b"key")));
        let pretty: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
        let pretty = serde_json::to_vec_pretty(&pretty).unwrap();
        let lines = [b"{}".as_slice(), b"not JSON", &bundle].join(&b'\n');
        for bytes in [&bare, &bundle, &pretty, &lines] {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(attests_sha512(DocumentKind::Bundle, bytes), expected, "{text}");
            assert!(!attests_sha512(DocumentKind::Spdx, bytes), "{text}");
        }
    }

    #[test]
    fn only_a_subject_asks() {
        let (two56, five12) = (Digest::sha256_of(b"a"), Digest::sha512_of(b"a"));
        check(statement(&[two56], ""), false);
        check(statement(&[two56], "sha512 of something else"), false);
        check(statement(&[two56, five12], ""), true);
        check(statement(&[five12], ""), true);
        let escaped = String::from_utf8(statement(&[five12], "")).unwrap();
        check(escaped.replace("sha512", "\\u0073ha512").into_bytes(), true);
        check(b"sha512".to_vec(), false);
        check(Vec::new(), false);
    }

    #[test]
    fn what_is_malformed_asks_for_nothing() {
        for text in ["", "{}", "[]", r#"{"payload":"!"}"#, r#"{"dsseEnvelope":{"payload":7}}"#] {
            assert!(!attests_sha512(DocumentKind::Envelope, text.as_bytes()), "{text}");
        }
    }
}
