//! Evidence: every byte that one verdict may look at, gathered before the verdict begins.
//!
//! The store fills it, `verify` reads it, and neither knows the other. The documents are the bytes
//! as they came in; kinds and titles beside them were told from names and first bytes. A kind chooses
//! which reader the bytes get, and the title of a checksum document its algorithm and the files that it
//! is about. Neither makes anything pass: a verdict parses the bytes again, and a wrong one makes a
//! check fail.

use std::sync::Arc;

use serde::Serialize;

use crate::digest::Digest;
use crate::json;
use crate::media_type::MediaType;
use crate::name::ArtifactPath;
use crate::release::Release;

/// What a document looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentKind {
    /// A Sigstore bundle.
    Bundle,
    /// A DSSE envelope without a bundle.
    Envelope,
    /// An in-toto statement without a signature.
    Statement,
    /// An SPDX document, JSON or tag-value.
    Spdx,
    /// A CycloneDX document.
    CycloneDx,
    /// The checksum of one file, or a list of checksums.
    Checksums,
    /// A classic in-toto layout or link: `{"signed": …, "signatures": […]}`.
    Metablock,
    /// A signature that stands in a file alone.
    Signature,
    /// The certificate in a file beside one.
    Certificate,
    /// The entry of a log in a file beside one.
    LogEntry,
}

/// What a document was attached to when it came in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The release as a whole.
    Release,
    /// One artifact of it.
    Artifact(ArtifactPath),
}

/// One piece of evidence, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// What they look like.
    pub kind: DocumentKind,
    /// The media type they are held under.
    pub media_type: MediaType,
    /// The path it had beside the artifacts, if it had one.
    pub title: Option<ArtifactPath>,
    /// What it was attached to.
    pub subject: Subject,
}

/// A release with all documents that are held for it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The release as held.
    pub release: Release,
    /// The documents, ordered by digest, then subject. Summaries that this program wrote about
    /// earlier verdicts are not among them: a verdict is not evidence of itself.
    pub documents: Vec<Document>,
}

impl Evidence {
    /// The digest of all that a verdict looks at: release, SHA-512 facts, documents, attachments;
    /// the same in whatever order the documents stand.
    pub fn digest(&self) -> Digest {
        self.digest_of(|_| true)
    }

    /// The same, as if only those documents were held.
    pub fn digest_of(&self, is_held: impl Fn(&Document) -> bool) -> Digest {
        #[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
        struct Listed<'a> {
            digest: Digest,
            kind: DocumentKind,
            subject: &'a Subject,
            title: Option<&'a ArtifactPath>,
        }
        let mut documents: Vec<_> = self
            .documents
            .iter()
            .filter(|document| is_held(document))
            .map(|document| Listed {
                digest: document.digest,
                kind: document.kind,
                subject: &document.subject,
                title: document.title.as_ref(),
            })
            .collect();
        documents.sort();
        Digest::sha256_of(&json::to_canonical(&(&self.release, documents)))
    }
}
