//! The rule over declared checksums: each must agree with the file that it names, whatever else the
//! policy says. Whether there must be any is the policy's choice.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use bonded_model::checksums::{Checksum, sidecar_target};
use bonded_model::{Algorithm, ArtifactPath, Digest, Document};

use crate::code::Code;
use crate::facts::{Attachments, Fact, Inventory, Reading, digests_of};
use crate::finding::{Fault, Severity};

/// What the declared checksums came to.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// For each artifact, the documents that agree with it.
    pub(crate) agreed: BTreeMap<usize, BTreeSet<Digest>>,
    /// What stands against documents, with the artifact concerned if there is one.
    pub(crate) faults: Vec<(Option<usize>, Digest, Severity, Fault)>,
}

/// The documents that are called by one title; nothing keeps two from it. A line agrees if one of them has
/// its digest, so that no order decides.
#[derive(Debug, Default)]
struct Titled<'a> {
    documents: BTreeMap<Digest, &'a Document>,
    sha256: BTreeSet<Digest>,
    /// Computed once: a hostile list names a document on each of its lines, and may be there many times.
    sha512: OnceCell<BTreeSet<Digest>>,
}

/// What a line of a checksum document names.
enum Named<'a> {
    Artifact(usize),
    Evidence(&'a Titled<'a>),
    Nothing,
}

pub(crate) fn check(documents: &[Document], facts: &[Fact<'_>], inventory: &Inventory<'_>) -> Sums {
    let titles = titled(documents);
    let mut sums = Sums::default();
    for fact in facts {
        let document = fact.document;
        match &fact.reading {
            Reading::Checksums(Ok(lines)) => lines.iter().for_each(|line| {
                let named = resolve(document, &fact.attachments, lines, line);
                let named = named.map(|paths| find(&paths, inventory, &titles));
                sums.compare(document, line, named, inventory);
            }),
            Reading::Checksums(Err(fault)) => {
                sums.faults.push((None, document.digest, Severity::Fail, fault.clone()));
            }
            Reading::Attestations(_)
            | Reading::Sbom(_)
            | Reading::Metablock
            | Reading::Piece(_) => {}
        }
    }
    sums
}

fn titled(documents: &[Document]) -> BTreeMap<&str, Titled<'_>> {
    let mut titles: BTreeMap<&str, Titled<'_>> = BTreeMap::new();
    for document in documents {
        if let Some(title) = &document.title {
            let titled = titles.entry(title.as_str()).or_default();
            titled.documents.insert(document.digest, document);
            titled.sha256.insert(document.digest);
        }
    }
    titles
}

impl Titled<'_> {
    /// The digests of the documents in an algorithm; none in one that nobody computes.
    fn known(&self, algorithm: Algorithm) -> &BTreeSet<Digest> {
        const NONE: &BTreeSet<Digest> = &BTreeSet::new();
        match algorithm {
            Algorithm::Sha256 => &self.sha256,
            Algorithm::Sha512 => self.sha512.get_or_init(|| {
                self.documents.values().map(|d| Digest::sha512_of(&d.bytes)).collect()
            }),
            Algorithm::Blake3 => NONE,
        }
    }
}

/// The places that a line may mean, in the order in which they are tried: for a sidecar the file that
/// it stands beside, whatever name it writes; then beside the document; then at the top of the
/// release; and for a single line the file that the document is attached to.
fn resolve(
    document: &Document,
    attachments: &Attachments,
    lines: &[Checksum],
    line: &Checksum,
) -> Option<Vec<Place>> {
    let beside = |name: &str| {
        let directory = document.title.as_ref().map_or("", ArtifactPath::directory);
        let slash = if directory.is_empty() { "" } else { "/" };
        Place::Path(format!("{directory}{slash}{name}"))
    };
    let title = document.title.as_ref().map(ArtifactPath::file_name);
    let single = lines.len() == 1;
    let sidecar = title.filter(|_| single).and_then(sidecar_target).map(beside);
    let written = line.path.iter().flat_map(|path| [beside(path), Place::Path(path.clone())]);
    let attached = attachments.to_artifacts.iter().filter(|_| single).copied().map(Place::Artifact);
    let places: Vec<_> = sidecar.into_iter().chain(written).chain(attached).collect();
    (!places.is_empty()).then_some(places)
}

enum Place {
    Path(String),
    Artifact(usize),
}

fn find<'a>(
    places: &[Place],
    inventory: &Inventory<'_>,
    titles: &'a BTreeMap<&str, Titled<'a>>,
) -> Named<'a> {
    let found = places.iter().find_map(|place| match place {
        Place::Artifact(at) => Some(Named::Artifact(*at)),
        Place::Path(path) => inventory
            .at_path(path)
            .map(Named::Artifact)
            .or_else(|| titles.get(path.as_str()).map(Named::Evidence)),
    });
    found.unwrap_or(Named::Nothing)
}

impl Sums {
    fn compare(
        &mut self,
        document: &Document,
        line: &Checksum,
        named: Option<Named<'_>>,
        inventory: &Inventory<'_>,
    ) {
        let algorithm = line.digest.algorithm();
        let (at, known): (_, Cow<'_, BTreeSet<Digest>>) = match named {
            None => {
                let fault = Fault::new(Code::SumMalformed, "the name of a file", "none");
                return self.faults.push((None, document.digest, Severity::Fail, fault));
            }
            Some(Named::Nothing) => {
                let seen = line.path.as_deref().unwrap_or("a file that is not there");
                let fault = Fault::new(Code::SumStray, "a file of the release", seen);
                return self.faults.push((None, document.digest, Severity::Warn, fault));
            }
            Some(Named::Evidence(named)) => (None, Cow::Borrowed(named.known(algorithm))),
            Some(Named::Artifact(at)) => {
                let artifact = inventory.release.artifacts().get(at);
                let known = artifact.map(digests_of).unwrap_or_default().into_iter();
                (Some(at), Cow::Owned(known.filter(|d| d.algorithm() == algorithm).collect()))
            }
        };
        if known.contains(&line.digest) {
            if let Some(at) = at {
                self.agreed.entry(at).or_default().insert(document.digest);
            }
            return;
        }
        let fault = match known.first() {
            Some(mine) => Fault::new(Code::SumMismatch, mine.to_string(), line.digest.to_string()),
            None => {
                let expected = format!("a known {} of the file", algorithm.name());
                Fault::new(Code::SumUnknown, expected, line.digest.to_string())
            }
        };
        self.faults.push((at, document.digest, Severity::Fail, fault));
    }
}
