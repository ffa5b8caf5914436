//! Facts: every document of the evidence read once, in parallel, and what it covers.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::checksums::{self, Checksum};
use bonded_model::evidence::Subject;
use bonded_model::limits::LINE_COUNT_MAX;
use bonded_model::sbom::SbomView;
use bonded_model::statement::{DigestMatch, Statement};
use bonded_model::{
    Algorithm, Artifact, ArtifactPath, Digest, Document, DocumentKind, Evidence, Release,
};
use rayon::prelude::*;

use crate::attestation::{Attestation, Frame, Purpose};
use crate::code::Code;
use crate::finding::Fault;
use crate::sbom;
use crate::signature::SignedFile;

/// One document with everything that was read from it.
#[derive(Debug)]
pub(crate) struct Fact<'a> {
    pub(crate) document: &'a Document,
    pub(crate) attachments: Attachments,
    pub(crate) reading: Reading,
}

/// What a document was attached to; the same document may come in more than once.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    pub(crate) to_release: bool,
    /// Indices of artifacts.
    pub(crate) to_artifacts: BTreeSet<usize>,
}

/// What a document turned out to be.
#[derive(Debug)]
pub(crate) enum Reading {
    Attestations(Vec<Covering>),
    Sbom(Result<SbomView, Fault>),
    Checksums(Result<Vec<Checksum>, Fault>),
}

/// An attestation with the artifacts that its subjects name, by index.
#[derive(Debug)]
pub(crate) struct Covering {
    pub(crate) attestation: Attestation,
    pub(crate) covered: BTreeMap<usize, DigestMatch>,
    /// Whether a subject is the release index itself.
    pub(crate) names_release: bool,
}

/// The artifacts of a release by their digests.
#[derive(Debug)]
pub(crate) struct Inventory<'a> {
    pub(crate) release: &'a Release,
    by_digest: BTreeMap<Digest, Vec<usize>>,
    by_path: BTreeMap<&'a ArtifactPath, usize>,
}

impl<'a> Inventory<'a> {
    pub(crate) fn new(release: &'a Release) -> Self {
        let mut by_digest: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut by_path = BTreeMap::new();
        for (at, artifact) in release.artifacts().iter().enumerate() {
            by_path.insert(&artifact.path, at);
            for digest in digests_of(artifact) {
                by_digest.entry(digest).or_default().push(at);
            }
        }
        Self { release, by_digest, by_path }
    }

    pub(crate) fn at_path(&self, path: &str) -> Option<usize> {
        let path = path.parse::<ArtifactPath>().ok()?; // what is no path names no artifact
        self.by_path.get(&path).copied()
    }

    pub(crate) fn covered_by(&self, statement: &Statement) -> BTreeMap<usize, DigestMatch> {
        let digests = statement.subjects.iter().flat_map(|subject| {
            Algorithm::ALL.into_iter().filter_map(|algorithm| subject.digest.digest(algorithm))
        });
        let named: BTreeSet<usize> =
            digests.filter_map(|digest| self.by_digest.get(&digest)).flatten().copied().collect();
        let artifacts = self.release.artifacts();
        let matched = named.into_iter().filter_map(|at| {
            let artifact = artifacts.get(at)?;
            Some((at, statement.matches(&digests_of(artifact))))
        });
        matched.collect()
    }

    fn names_release(&self, statement: &Statement) -> bool {
        statement.matches(&[self.release.digest()]) == DigestMatch::Agrees
    }
}

pub(crate) fn digests_of(artifact: &Artifact) -> Vec<Digest> {
    [Some(artifact.file.digest), artifact.sha512].into_iter().flatten().collect()
}

/// Reads every document once. The order is that of the documents' digests, whatever order the
/// evidence stands in.
pub(crate) fn gather<'a>(
    frame: &Frame<'_>,
    evidence: &'a Evidence,
    inventory: &Inventory<'_>,
) -> Vec<Fact<'a>> {
    let mut unique: BTreeMap<_, (&Document, Attachments)> = BTreeMap::new();
    for document in &evidence.documents {
        // A checksum document's name says which algorithm and file it is about, so it counts.
        let title = match document.kind {
            DocumentKind::Checksums => document.title.as_ref(),
            _ => None,
        };
        let key = (document.digest, document.kind, title);
        let entry = unique.entry(key).or_insert_with(|| (document, Attachments::default()));
        match &document.subject {
            Subject::Release => entry.1.to_release = true,
            Subject::Artifact(path) => match inventory.at_path(path.as_str()) {
                Some(at) => {
                    entry.1.to_artifacts.insert(at);
                }
                None => entry.1.to_release = true,
            },
        }
    }
    let unique: Vec<_> = unique.into_values().collect();
    unique
        .into_par_iter()
        .map(|(document, attachments)| {
            let reading = read(frame, document, &attachments, inventory);
            Fact { document, attachments, reading }
        })
        .collect()
}

fn read(
    frame: &Frame<'_>,
    document: &Document,
    attachments: &Attachments,
    inventory: &Inventory<'_>,
) -> Reading {
    match document.kind {
        DocumentKind::Bundle | DocumentKind::Envelope | DocumentKind::Statement => {
            let first = attachments.to_artifacts.first().copied();
            let artifact = first.and_then(|at| inventory.release.artifacts().get(at));
            let digests = artifact.map(digests_of);
            let file = digests.as_deref().map(|digests| SignedFile { digests, bytes: None });
            let attestations = attestations(frame, &document.bytes, file);
            Reading::Attestations(attestations.into_iter().map(|a| inventory.cover(a)).collect())
        }
        DocumentKind::Spdx | DocumentKind::CycloneDx => Reading::Sbom(sbom::read(&document.bytes)),
        DocumentKind::Checksums => Reading::Checksums(read_checksums(document)),
    }
}

impl Inventory<'_> {
    fn cover(&self, attestation: Attestation) -> Covering {
        let statement = attestation.statement.as_ref();
        Covering {
            covered: statement.map(|s| self.covered_by(s)).unwrap_or_default(),
            names_release: statement.is_some_and(|s| self.names_release(s)),
            attestation,
        }
    }
}

/// One attestation for a document, or one for each line of a JSON-lines document.
pub(crate) fn attestations(
    frame: &Frame<'_>,
    bytes: &[u8],
    file: Option<SignedFile<'_>>,
) -> Vec<Attestation> {
    let lines = lines_of(bytes);
    if lines.len() > LINE_COUNT_MAX {
        let expected = format!("at most {LINE_COUNT_MAX} lines");
        let fault = Fault::new(Code::SigLimit, expected, lines.len().to_string());
        return vec![Attestation {
            purpose: Purpose::Unreadable,
            statement: None,
            faults: vec![fault],
            signers: Vec::new(),
        }];
    }
    lines.par_iter().map(|line| Attestation::assess(frame, line, file)).collect()
}

/// The lines, if every one that is not blank is braced: no single JSON document looks like that.
pub(crate) fn lines_of(bytes: &[u8]) -> Vec<&[u8]> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let braced = lines.iter().all(|line| line.starts_with(b"{") && line.ends_with(b"}"));
    if lines.len() > 1 && braced { lines } else { vec![bytes] }
}

fn read_checksums(document: &Document) -> Result<Vec<Checksum>, Fault> {
    let announced = document.title.as_ref().and_then(|t| checksums::algorithm_of(t.file_name()));
    let parse = |algorithm| checksums::parse(&document.bytes, algorithm);
    let read = match announced {
        Some(algorithm) => parse(algorithm),
        // The lengths of the two differ, so at most one of them can be meant.
        None => parse(Algorithm::Sha256)
            .or_else(|error| parse(Algorithm::Sha512).map_err(|_also_malformed| error)),
    };
    read.map_err(|error| Fault::of_error(Code::SumMalformed, "a checksum on each line", &error))
}
