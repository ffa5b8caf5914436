//! Everything that some entries of a layout reach, each blob once, with the way to it.
//!
//! Manifests are read and checked here, since their references cannot be followed otherwise; all other
//! blobs are looked for, and checked when they are copied. The walk is breadth first, so a blob's depth is
//! its least, and ends whatever the manifests say: each is read once, and their depth and number are
//! bounded. A circle would need a manifest that holds its own hash; one that is faked fails that check.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::limits::{
    IMAGE_BLOB_COUNT_MAX, LAYOUT_BLOB_COUNT_MAX, MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX,
};
use bonded_model::manifest::ManifestError;
use bonded_model::{Algorithm, Descriptor, Digest, MediaType, json};
use serde::Deserialize;

use super::error::{ImportError, Trail};
use super::plan::bare;
use super::source::{File, Source, blob_name};
use crate::references;

/// How many references are followed to find out how large images are that share most of their blobs.
const CLOSURE_STEP_COUNT_MAX: usize = 100 * LAYOUT_BLOB_COUNT_MAX;

/// What a manifest or an index says besides its references.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", from = "Stated")]
pub(super) struct Head {
    pub(super) artifact_type: Option<MediaType>,
    pub(super) subject: Option<Descriptor>,
    config_type: Option<MediaType>,
    /// The content of an artifact, each document once.
    documents: Vec<Descriptor>,
}

/// A head as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    artifact_type: Option<MediaType>,
    subject: Option<Descriptor>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
}

impl From<Stated> for Head {
    fn from(stated: Stated) -> Self {
        let Stated { artifact_type, subject, config, layers, blobs } = stated;
        let mut seen = BTreeSet::new();
        let listed = layers.iter().chain(&blobs).flatten();
        let documents = listed.filter(|one| seen.insert(one.digest)).map(bare).collect();
        let subject = subject.as_ref().map(bare);
        Self { artifact_type, subject, config_type: config.map(|one| one.media_type), documents }
    }
}

impl Head {
    /// The type that the referrers API tells: a manifest without one has that of its configuration (OCI
    /// distribution-spec, "Listing Referrers").
    pub(super) fn referrer_type(&self) -> Option<&MediaType> {
        self.artifact_type.as_ref().or(self.config_type.as_ref())
    }

    /// The content of an artifact, each document once however often it is listed.
    pub(super) fn documents(&self) -> impl Iterator<Item = &Descriptor> {
        self.documents.iter()
    }
}

/// A descriptor that the walk came by, and from where.
#[derive(Debug)]
struct Node {
    descriptor: Descriptor,
    above: Option<usize>,
    depth: usize,
}

/// What was reached so far.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    source: &'a Source,
    nodes: Vec<Node>,
    /// What is among the nodes already, so that each stands there once however often it is listed.
    queued: BTreeSet<(Digest, u64, MediaType)>,
    /// The names of the entries, by the number of their node.
    entries: BTreeMap<usize, String>,
    blobs: BTreeMap<Digest, usize>,
    manifests: BTreeMap<Digest, Read>,
    bytes: u64,
    /// So many descriptors at most.
    count_max: usize,
}

/// A manifest that was read, as what.
#[derive(Debug)]
struct Read {
    media_type: MediaType,
    head: Head,
    /// What it refers to, and whether as a manifest.
    children: Vec<(Digest, bool)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(source: &'a Source, count_max: usize) -> Self {
        Self {
            source,
            nodes: Vec::new(),
            queued: BTreeSet::new(),
            entries: BTreeMap::new(),
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            bytes: 0,
            count_max,
        }
    }

    /// Every blob that was reached and is there, in the order of their digests.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.blobs.values().map(|at| &self.node(*at).descriptor)
    }

    /// The descriptor by which a blob was reached first.
    pub(super) fn blob(&self, digest: &Digest) -> Option<&Descriptor> {
        self.blobs.get(digest).map(|at| &self.node(*at).descriptor)
    }

    /// The way to a blob that was reached.
    pub(super) fn trail_to(&self, digest: &Digest) -> Trail {
        self.blobs.get(digest).map_or_else(Trail::default, |at| self.trail(*at))
    }

    /// How many bytes these have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where all this lies.
    pub(super) fn source(&self) -> &'a Source {
        self.source
    }

    pub(super) fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// The digests of all manifests and indexes that were reached.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.keys()
    }

    /// That no image among these has more blobs than [`crate::Snapshot::image_closure`] would give.
    pub(super) fn check_sizes(&self, images: &BTreeSet<Digest>) -> Result<(), ImportError> {
        if self.queued.len() < IMAGE_BLOB_COUNT_MAX {
            return Ok(()); // not even all of them together have
        }
        let mut work = 0_usize;
        for image in images {
            let mut reached = BTreeSet::from([(*image, true)]);
            let mut open = vec![*image];
            while let Some(next) = open.pop() {
                let children = self.manifests.get(&next).map(|read| read.children.as_slice());
                for (child, is_manifest) in children.unwrap_or_default() {
                    work += 1;
                    if reached.insert((*child, *is_manifest)) && *is_manifest {
                        open.push(*child);
                    }
                }
                if reached.len() > IMAGE_BLOB_COUNT_MAX {
                    return Err(ImportError::ImageTooLarge { digest: *image });
                }
                if work > CLOSURE_STEP_COUNT_MAX {
                    return Err(ImportError::TooManyBlobs);
                }
            }
        }
        Ok(())
    }

    /// What a manifest that was reached says.
    pub(super) fn head(&self, digest: &Digest) -> Option<&Head> {
        self.manifests.get(digest).map(|read| &read.head)
    }

    /// Reads one manifest, without what it refers to.
    pub(super) fn read_alone(
        source: &Source,
        entry: &str,
        descriptor: &Descriptor,
    ) -> Result<(Head, Vec<u8>), ImportError> {
        let mut walk = Walk::new(source, LAYOUT_BLOB_COUNT_MAX);
        let at = walk.begin(entry, descriptor);
        let bytes = walk.read_manifest(at)?;
        let head = walk.parse_head(at, &bytes)?;
        Ok((head, bytes))
    }

    /// Adds an entry with all that it reaches, and says which manifests that brought.
    pub(super) fn add(
        &mut self,
        entry: &str,
        descriptor: &Descriptor,
    ) -> Result<Vec<Digest>, ImportError> {
        let mut manifests = Vec::new();
        let mut queue = VecDeque::from([self.begin(entry, descriptor)]);
        while let Some(at) = queue.pop_front() {
            let children = self.visit(at, &mut manifests)?;
            let depth = self.node(at).depth + 1;
            if depth > MANIFEST_DEPTH_MAX && !children.is_empty() {
                return Err(ImportError::TooDeep { trail: self.trail(at) });
            }
            for descriptor in children {
                let Descriptor { digest, size, media_type, .. } = &descriptor;
                if !self.queued.insert((*digest, *size, media_type.clone())) {
                    continue;
                }
                if self.nodes.len() >= self.count_max {
                    return Err(ImportError::TooManyBlobs);
                }
                let descriptor = bare(&descriptor);
                self.nodes.push(Node { descriptor, above: Some(at), depth });
                queue.push_back(self.nodes.len() - 1);
            }
        }
        Ok(manifests)
    }

    fn begin(&mut self, entry: &str, descriptor: &Descriptor) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node { descriptor: bare(descriptor), above: None, depth: 0 });
        self.entries.insert(at, entry.to_owned());
        at
    }

    fn node(&self, at: usize) -> &Node {
        self.nodes.get(at).expect("nodes are only ever added")
    }

    /// Looks at one blob for the first time, and returns what it refers to.
    fn visit(
        &mut self,
        at: usize,
        manifests: &mut Vec<Digest>,
    ) -> Result<Vec<Descriptor>, ImportError> {
        let Descriptor { digest, size, media_type, .. } = &self.node(at).descriptor;
        let (digest, size, media_type) = (*digest, *size, media_type.clone());
        let is_manifest = references::is_manifest(&media_type);
        if is_manifest && size > MANIFEST_BYTES_MAX {
            return Err(ImportError::ManifestTooLarge { trail: self.trail(at), bytes: size });
        }
        if self.reach(at)? == Reached::Absent || !is_manifest {
            return Ok(Vec::new());
        }
        match self.manifests.get(&digest) {
            Some(read) if read.media_type == media_type => return Ok(Vec::new()),
            Some(Read { media_type: first, .. }) => {
                let (trail, first) = (self.trail(at), first.clone());
                return Err(ImportError::TwoTypes { trail, first, second: media_type });
            }
            None => {}
        }
        let bytes = self.read_manifest(at)?;
        let manifest_error = |source| ImportError::Manifest { trail: self.trail(at), source };
        let children = references::of(&media_type, &bytes).map_err(manifest_error)?;
        let head = self.parse_head(at, &bytes)?;
        let as_child =
            |child: &Descriptor| (child.digest, references::is_manifest(&child.media_type));
        let listed = children.iter().map(as_child).collect();
        self.manifests.insert(digest, Read { media_type, head, children: listed });
        manifests.push(digest);
        Ok(children)
    }

    /// Notes that a blob was reached, and finds it unless it may be absent.
    fn reach(&mut self, at: usize) -> Result<Reached, ImportError> {
        let Descriptor { digest, size, media_type, .. } = &self.node(at).descriptor;
        let (digest, size) = (*digest, *size);
        let before = self.blobs.get(&digest).map(|first| self.node(*first).descriptor.size);
        if before == Some(size) {
            return Ok(Reached::Present);
        }
        let may_be_absent = references::may_be_absent(media_type);
        match self.find(at)? {
            Some(file) if file.bytes() == size => {}
            Some(file) => {
                let (path, found) = (file.path.clone(), file.bytes());
                return Err(ImportError::Size {
                    trail: self.trail(at),
                    path,
                    expected: size,
                    found,
                });
            }
            None if may_be_absent => return Ok(Reached::Absent),
            None => {
                let path = self.source.place_of(&blob_name(&digest));
                return Err(ImportError::Missing { trail: self.trail(at), path });
            }
        }
        self.blobs.insert(digest, at);
        self.bytes = self.bytes.saturating_add(size);
        Ok(Reached::Present)
    }

    fn find(&self, at: usize) -> Result<Option<File>, ImportError> {
        let digest = self.node(at).descriptor.digest;
        match digest.algorithm() {
            Algorithm::Sha256 => self.source.find_blob(&digest),
            Algorithm::Sha512 | Algorithm::Blake3 => {
                Err(ImportError::Algorithm { trail: self.trail(at), digest })
            }
        }
    }

    /// All bytes of a manifest; its size is looked at first.
    fn read_manifest(&self, at: usize) -> Result<Vec<u8>, ImportError> {
        let Descriptor { digest, size, .. } = self.node(at).descriptor;
        if size > MANIFEST_BYTES_MAX {
            return Err(ImportError::ManifestTooLarge { trail: self.trail(at), bytes: size });
        }
        let Some(mut file) = self.find(at)? else {
            let path = self.source.place_of(&blob_name(&digest));
            return Err(ImportError::Missing { trail: self.trail(at), path });
        };
        if file.bytes() != size {
            let (path, found) = (file.path.clone(), file.bytes());
            return Err(ImportError::Size { trail: self.trail(at), path, expected: size, found });
        }
        let bytes = file.read_all(MANIFEST_BYTES_MAX)?;
        match Digest::sha256_of(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(ImportError::Wrong { trail: self.trail(at), path: file.path, found }),
        }
    }

    fn parse_head(&self, at: usize, bytes: &[u8]) -> Result<Head, ImportError> {
        let manifest_error =
            |source| ImportError::Manifest { trail: self.trail(at), source: json_error(source) };
        let head = json::parse(bytes, MANIFEST_BYTES_MAX).map_err(manifest_error)?;
        match has_honest_data(bytes, MANIFEST_BYTES_MAX) {
            true => Ok(head),
            false => Err(ImportError::Data { trail: self.trail(at) }),
        }
    }

    fn trail(&self, at: usize) -> Trail {
        let mut steps = Vec::new();
        let mut next = Some(at);
        let mut entry = String::new();
        while let Some(at) = next {
            let node = self.node(at);
            steps.push(format!("{} {}", what_of(&node.descriptor), node.descriptor.digest));
            next = node.above;
            if next.is_none() {
                entry = self.entries.get(&at).cloned().unwrap_or_default();
            }
        }
        steps.reverse();
        Trail { entry, steps }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Present,
    Absent,
}

fn json_error(source: json::JsonError) -> ManifestError {
    ManifestError::Json(source)
}

fn what_of(descriptor: &Descriptor) -> &'static str {
    let text = descriptor.media_type.as_str();
    if !references::is_manifest(&descriptor.media_type) {
        return if text.contains("config") { "config" } else { "blob" };
    }
    if text.contains("index") || text.contains("list") { "index" } else { "manifest" }
}

/// What can carry its content inside of itself (OCI image-spec, descriptor.md, "data").
#[derive(Deserialize)]
struct Carrier {
    digest: Digest,
    size: u64,
    data: Option<String>,
}

#[derive(Deserialize)]
struct Carriers {
    config: Option<Carrier>,
    subject: Option<Carrier>,
    layers: Option<Vec<Carrier>>,
    manifests: Option<Vec<Carrier>>,
    blobs: Option<Vec<Carrier>>,
}

/// Whether all content that the descriptors of a document carry is what they describe.
pub(super) fn has_honest_data(bytes: &[u8], limit: u64) -> bool {
    let Ok(carriers) = json::parse::<Carriers>(bytes, limit) else {
        return false;
    };
    let single = carriers.config.into_iter().chain(carriers.subject);
    let lists = [carriers.layers, carriers.manifests, carriers.blobs];
    single.chain(lists.into_iter().flatten().flatten()).all(|carrier| {
        let Some(data) = carrier.data else { return true };
        STANDARD.decode(data).is_ok_and(|data| {
            u64::try_from(data.len()) == Ok(carrier.size)
                && match carrier.digest.algorithm() {
                    Algorithm::Sha256 => Digest::sha256_of(&data) == carrier.digest,
                    Algorithm::Sha512 => Digest::sha512_of(&data) == carrier.digest,
                    Algorithm::Blake3 => false, // nobody writes it, and it is refused anyway
                }
        })
    })
}
