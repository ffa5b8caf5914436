//! Facts: every document of the evidence read once, in parallel, and what it covers.

mod detached;

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::checksums::{self, Checksum};
use bonded_model::detached::Files;
use bonded_model::evidence::Subject;
use bonded_model::json;
use bonded_model::limits::{EVIDENCE_BYTES_MAX, LINE_COUNT_MAX};
use bonded_model::sbom::SbomView;
use bonded_model::statement::{DigestMatch, Statement};
use bonded_model::{
    Algorithm, Artifact, ArtifactPath, Digest, Document, DocumentKind, Evidence, Release,
};
use rayon::prelude::*;

use crate::attestation::{Attestation, Frame, Purpose};
use crate::code::Code;
use crate::finding::{Fault, joined};
use crate::sbom;
use crate::signature::SignedFile;
use detached::Lying;

/// One document with everything that was read from it.
#[derive(Debug)]
pub(crate) struct Fact<'a> {
    pub(crate) document: &'a Document,
    pub(crate) attachments: Attachments,
    pub(crate) reading: Reading,
    /// The contents that any line of it names.
    pub(crate) covered: BTreeSet<usize>,
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
    /// An in-toto layout or link: read together with the others, where the policy asks for a layout.
    Metablock,
    /// A certificate or a log's entry that stands beside no signature, in words.
    Piece(&'static str),
}

/// An attestation with what its subjects name.
#[derive(Debug)]
pub(crate) struct Covering {
    pub(crate) attestation: Attestation,
    /// The contents that they name, by index.
    pub(crate) covered: BTreeMap<usize, DigestMatch>,
    /// The digests of the subjects, for findings; made once, however many findings there are.
    pub(crate) subjects: String,
    /// Whether a subject is the release index itself.
    pub(crate) names_release: bool,
}

/// The artifacts of a release by their paths and digests. Artifacts that hold the same bytes have one
/// content, so that what names a digest is compared with it once.
#[derive(Debug)]
pub(crate) struct Inventory<'a> {
    pub(crate) release: &'a Release,
    contents: Vec<Content>,
    /// For each artifact its content.
    content_of: Vec<usize>,
    by_digest: BTreeMap<Digest, Vec<usize>>,
    by_path: BTreeMap<&'a ArtifactPath, usize>,
}

/// The digests of some bytes, and the artifacts that hold them.
#[derive(Debug)]
struct Content {
    digests: Vec<Digest>,
    artifacts: Vec<usize>,
}

impl<'a> Inventory<'a> {
    pub(crate) fn new(release: &'a Release) -> Self {
        let mut contents: Vec<Content> = Vec::new();
        let mut known: BTreeMap<Vec<Digest>, usize> = BTreeMap::new();
        let (mut content_of, mut by_path) = (Vec::new(), BTreeMap::new());
        for (at, artifact) in release.artifacts().iter().enumerate() {
            by_path.insert(&artifact.path, at);
            let digests = digests_of(artifact);
            let content = *known.entry(digests.clone()).or_insert_with(|| {
                contents.push(Content { digests, artifacts: Vec::new() });
                contents.len() - 1
            });
            content_of.push(content);
            if let Some(content) = contents.get_mut(content) {
                content.artifacts.push(at);
            }
        }
        let mut by_digest: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, content) in contents.iter().enumerate() {
            content.digests.iter().for_each(|d| by_digest.entry(*d).or_default().push(at));
        }
        Self { release, contents, content_of, by_digest, by_path }
    }

    /// The content of an artifact.
    pub(crate) fn content_of(&self, at: usize) -> Option<usize> {
        self.content_of.get(at).copied()
    }

    /// The artifacts that hold a content.
    pub(crate) fn holders_of(&self, content: usize) -> &[usize] {
        self.contents.get(content).map_or(&[], |content| &content.artifacts)
    }

    /// Whether every artifact is among those covered, and agrees.
    pub(crate) fn all_agree(&self, covered: &BTreeMap<usize, DigestMatch>) -> bool {
        (0..self.contents.len()).all(|at| covered.get(&at) == Some(&DigestMatch::Agrees))
    }

    /// Whether any artifact has that digest.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.by_digest.contains_key(digest)
    }

    pub(crate) fn at_path(&self, path: &str) -> Option<usize> {
        let path = path.parse::<ArtifactPath>().ok()?; // what is no path names no artifact
        self.by_path.get(&path).copied()
    }

    /// The contents that the subjects name, each with what [`Statement::matches`] says of it. Subjects
    /// are looked up by digest: comparing each with each would take subjects times artifacts.
    pub(crate) fn covered_by(&self, statement: &Statement) -> BTreeMap<usize, DigestMatch> {
        let mut covered = BTreeMap::new();
        for subject in &statement.subjects {
            let named = Algorithm::ALL.into_iter().filter_map(|a| subject.digest.digest(a));
            for content in named.filter_map(|digest| self.by_digest.get(&digest)).flatten() {
                let digests = self.contents.get(*content).map(|c| c.digests.as_slice());
                let matched = subject.digest.matches(digests.unwrap_or_default());
                let worst = covered.entry(*content).or_insert(matched);
                if matched == DigestMatch::Conflicts {
                    *worst = matched;
                }
            }
        }
        covered
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
    let lying = Lying::of(evidence);
    let mut unique: BTreeMap<_, (&Document, Attachments)> = BTreeMap::new();
    for document in evidence.documents.iter().filter(|document| !lying.is_part(document)) {
        // A checksum document's name says which algorithm and file it is about, so it counts.
        let title = match document.kind {
            DocumentKind::Checksums => document.title.as_ref(),
            _ => None,
        };
        let pieces = lying.beside(document, inventory);
        let key = (document.digest, document.kind, title, pieces);
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
    let unique: Vec<_> = unique.into_iter().collect();
    unique
        .into_par_iter()
        .map(|((_, _, _, pieces), (document, attachments))| {
            let files = lying.files(document, &pieces);
            let reading = read(frame, document, &files, &attachments, inventory);
            let covered = match &reading {
                Reading::Attestations(lines) => {
                    lines.iter().flat_map(|line| line.covered.keys()).copied().collect()
                }
                Reading::Sbom(_)
                | Reading::Checksums(_)
                | Reading::Metablock
                | Reading::Piece(_) => BTreeSet::new(),
            };
            Fact { document, attachments, reading, covered }
        })
        .collect()
}

fn read(
    frame: &Frame<'_>,
    document: &Document,
    files: &Files<'_>,
    attachments: &Attachments,
    inventory: &Inventory<'_>,
) -> Reading {
    let first = attachments.to_artifacts.first().copied();
    let artifact = first.and_then(|at| inventory.release.artifacts().get(at));
    let digests = artifact.map(digests_of);
    let file = digests.as_deref().map(|digests| SignedFile { digests, bytes: None });
    match document.kind {
        DocumentKind::Bundle | DocumentKind::Envelope | DocumentKind::Statement => {
            let attestations = attestations(frame, &document.bytes, file);
            Reading::Attestations(attestations.into_iter().map(|a| inventory.cover(a)).collect())
        }
        DocumentKind::Signature => {
            let attestations = detached::assess(frame, files, file);
            Reading::Attestations(attestations.into_iter().map(|a| inventory.cover(a)).collect())
        }
        DocumentKind::Certificate => Reading::Piece("a certificate without signature beside it"),
        DocumentKind::LogEntry => Reading::Piece("a log's entry without signature beside it"),
        DocumentKind::Spdx | DocumentKind::CycloneDx => Reading::Sbom(sbom::read(&document.bytes)),
        DocumentKind::Checksums => Reading::Checksums(read_checksums(document)),
        DocumentKind::Metablock => Reading::Metablock,
    }
}

impl Inventory<'_> {
    /// An attestation with what it names.
    pub(crate) fn cover(&self, attestation: Attestation) -> Covering {
        let statement = attestation.statement.as_ref();
        Covering {
            covered: statement.map(|s| self.covered_by(s)).unwrap_or_default(),
            names_release: statement.is_some_and(|s| self.names_release(s)),
            subjects: statement.map(subjects_text).unwrap_or_default(),
            attestation,
        }
    }
}

/// The digests of a statement's subjects, for a finding.
pub(crate) fn subjects_text(statement: &Statement) -> String {
    let digests = statement.subjects.iter().flat_map(|subject| subject.digest.iter());
    joined(digests.map(|(name, hex)| format!("{name}:{hex}").into()))
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
            asides: Vec::new(),
        }];
    }
    lines.par_iter().map(|line| Attestation::assess(frame, line, file)).collect()
}

/// The answer of npm's registry to the question which attestations a package has.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NpmList<'a> {
    #[serde(borrow)]
    attestations: Vec<NpmEntry<'a>>,
}

/// The type beside the bundle is unsigned and not looked at.
#[derive(serde::Deserialize)]
struct NpmEntry<'a> {
    #[serde(borrow)]
    bundle: &'a serde_json::value::RawValue,
}

/// The bundles in a list of npm's registry, which begins with its only member.
fn npm_bundles(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let inner = bytes.trim_ascii().strip_prefix(b"{")?.trim_ascii_start();
    if !inner.starts_with(b"\"attestations\"") {
        return None;
    }
    // What is no such list is looked at as one document, and refused as such.
    json::check(bytes, EVIDENCE_BYTES_MAX).ok()?;
    let list: NpmList<'_> = serde_json::from_slice(bytes).ok()?; // as above
    let bundles: Vec<_> = list.attestations.iter().map(|e| e.bundle.get().as_bytes()).collect();
    (!bundles.is_empty()).then_some(bundles)
}

/// The bundles of npm's list, or the lines, if every one that is not blank is braced: no single JSON
/// document looks like that.
pub(crate) fn lines_of(bytes: &[u8]) -> Vec<&[u8]> {
    if let Some(bundles) = npm_bundles(bytes) {
        return bundles;
    }
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
