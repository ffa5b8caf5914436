//! What should be at every destination: the objects of verified releases by their public paths.
//!
//! ```text
//! blobs/sha256/<hex>                     manifests: release index, files, images, referrers;
//!                                        configurations and layers of images
//! <release>/<title>, <release>/.bonded/… evidence
//! <release>/<path>                       artifacts; of an image, its own manifest or index
//! <release>/.bonded/release.json         inventory (immutable)
//! <release>/.bonded/evidence.json        evidence list (mutable)
//! <project>/releases.json, <marker>.txt  computed for each destination from what it already lists
//! ```
//!
//! The bytes of files and documents stand only at their versioned path, not a second time among
//! the blobs: a destination is a download point, not an OCI layout. The manifests are there so that
//! everything that was signed or referred to by digest can be fetched by digest. What an image consists of
//! has no path, so it stands among the blobs.
//!
//! A [`Desired`] is made from `Verified<Release>` alone, and nothing can be written to a destination
//! without one. The evidence that is published is exactly the evidence that the verdict looked at.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bonded_model::inventory::{self, Admission, Listed};
use bonded_model::limits::MANIFEST_BYTES_MAX;
use bonded_model::manifest::Manifest;
use bonded_model::{Descriptor, Digest, Document, Project, Release, ReleaseName, tree};
use bonded_store::{Snapshot, StoreError, references};
use bonded_verify::Verified;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::MirrorError;

/// The classes of steps, in the order in which a destination gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Content-addressed manifests.
    Manifest,
    /// Documents of evidence.
    Evidence,
    /// Files of releases; configurations and layers of their images.
    Artifact,
    /// Reading back what arrived: nothing later is written before it has passed.
    Barrier,
    /// What each release consists of; immutable.
    Inventory,
    /// Which evidence each release has; mutable.
    EvidenceList,
    /// Which releases a project has; mutable.
    Releases,
    /// Names that move; last.
    Marker,
}

impl Class {
    /// The classes of immutable objects that are written before the barrier, in order.
    pub(crate) const BEFORE_BARRIER: [Self; 3] = [Self::Manifest, Self::Evidence, Self::Artifact];
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Evidence => "evidence",
            Self::Artifact => "artifact",
            Self::Barrier => "barrier",
            Self::Inventory => "inventory",
            Self::EvidenceList => "evidence-list",
            Self::Releases => "releases",
            Self::Marker => "marker",
        })
    }
}

/// Where the bytes of an object come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The blob of the store with the object's digest.
    Blob,
    /// A document made here.
    Inline(Bytes),
}

/// An immutable object that should be at every destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its path in the public tree.
    pub key: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// When it is written.
    pub class: Class,
    /// The releases that need it.
    pub releases: BTreeSet<ReleaseName>,
    pub(crate) source: Source,
}

/// One release as it should be listed.
#[derive(Clone, Debug)]
pub(crate) struct DesiredRelease {
    pub(crate) listed: Listed,
    pub(crate) evidence_list: Bytes,
}

/// What should be at every destination.
#[derive(Clone, Debug)]
pub struct Desired {
    snapshot: Snapshot,
    releases: BTreeMap<ReleaseName, DesiredRelease>,
    objects: BTreeMap<String, Object>,
}

impl Desired {
    /// What should be at every destination for these releases.
    ///
    /// A release that the store cannot give, or holds as another one or with other evidence than the
    /// verdict looked at, is not among them: it comes back with the reason, of side source.
    ///
    /// Blocks while it reads manifests and evidence from the store; not for async code.
    ///
    /// ```compile_fail,E0308
    /// fn without_a_verdict(snapshot: &bonded_store::Snapshot, release: bonded_model::Release) {
    ///     // expected `&[Verified<Release>]`, found `&[Release]`
    ///     let _desired = bonded_mirror::Desired::new(snapshot, &[release]);
    /// }
    /// ```
    pub fn new(
        snapshot: &Snapshot,
        releases: &[Verified<Release>],
    ) -> (Self, Vec<(ReleaseName, MirrorError)>) {
        let mut all = Self::empty(snapshot);
        let mut refused = Vec::new();
        for verified in releases {
            // Each on its own first, so that a refused one leaves nothing behind.
            let mut alone = Self::empty(snapshot);
            match alone.add(verified).and_then(|()| all.merge(alone)) {
                Ok(()) => {}
                Err(error) => refused.push((verified.get().name().clone(), error)),
            }
        }
        (all, refused)
    }

    fn empty(snapshot: &Snapshot) -> Self {
        let (releases, objects) = (BTreeMap::new(), BTreeMap::new());
        Self { snapshot: snapshot.clone(), releases, objects }
    }

    /// Adds all of another one, or nothing.
    fn merge(&mut self, other: Self) -> Result<(), MirrorError> {
        for (key, object) in &other.objects {
            if let Some(held) = self.objects.get(key) {
                held.check_same(object.digest)?;
            }
        }
        for (key, object) in other.objects {
            match self.objects.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(object);
                }
                Entry::Occupied(mut held) => held.get_mut().add(object.class, object.releases),
            }
        }
        self.releases.extend(other.releases);
        Ok(())
    }

    /// The names of the releases with their digests.
    pub fn releases(&self) -> BTreeMap<ReleaseName, Digest> {
        let listed = |(name, release): (&ReleaseName, &DesiredRelease)| {
            (name.clone(), release.listed.digest)
        };
        self.releases.iter().map(listed).collect()
    }

    /// The projects whose releases these are.
    pub fn projects(&self) -> BTreeSet<Project> {
        self.releases.keys().map(|name| name.project.clone()).collect()
    }

    /// The immutable objects in the order of their paths.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    pub(crate) fn object(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    pub(crate) fn release(&self, name: &ReleaseName) -> Option<&DesiredRelease> {
        self.releases.get(name)
    }

    pub(crate) fn of_project(
        &self,
        project: &Project,
    ) -> impl Iterator<Item = (&ReleaseName, &DesiredRelease)> {
        self.releases.iter().filter(move |(name, _)| name.project == *project)
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    fn add(&mut self, verified: &Verified<Release>) -> Result<(), MirrorError> {
        let (release, verdict) = (verified.get(), verified.verdict());
        let name = release.name();
        let held = self.snapshot.release(name).map_err(|source| store(name, source))?;
        if held.digest() != release.digest() {
            let (held, verified) = (held.digest(), release.digest());
            return Err(MirrorError::ReleaseChanged { release: name.clone(), held, verified });
        }
        let evidence = self.snapshot.evidence(name).map_err(|source| store(name, source))?;
        let (held, judged) = (evidence.digest(), verdict.evidence_digest());
        if held != judged {
            return Err(MirrorError::EvidenceChanged { release: name.clone(), held, judged });
        }
        let admission = Admission {
            policy: verdict.policy_digest(),
            trust_root: verdict.trust_root_digest(),
            evidence: judged,
        };
        self.add_manifests(release, &evidence.documents)?;
        let documents = inventory::list(release, &evidence.documents)?;
        for document in &documents {
            let key = format!("{}/{}", tree::release(name), document.path);
            let (digest, size) = (document.digest, document.size);
            self.insert(name, Class::Evidence, key, Content::Blob { digest, size })?;
        }
        for artifact in release.artifacts() {
            let (digest, size) = (artifact.file.digest, artifact.file.size);
            let key = tree::file(name, &artifact.path);
            self.insert(name, Class::Artifact, key, Content::Blob { digest, size })?;
            if artifact.is_image() {
                self.add_image(name, &artifact.manifest)?;
            }
        }
        let contents = Content::Inline(inventory::release_json(release).into());
        self.insert(name, Class::Inventory, tree::inventory(name), contents)?;
        let listed = Listed::of(&inventory::Entry { release, admission });
        let evidence_list = inventory::evidence_json(release, &documents, &admission).into();
        self.releases.insert(name.clone(), DesiredRelease { listed, evidence_list });
        Ok(())
    }

    /// The release index, the manifests of its files, and the referrers that hold the evidence. What else
    /// refers to these, such as summaries of earlier verdicts or what an import brought, stays here.
    fn add_manifests(
        &mut self,
        release: &Release,
        documents: &[Document],
    ) -> Result<(), MirrorError> {
        let name = release.name();
        let judged: BTreeSet<Digest> = documents.iter().map(|document| document.digest).collect();
        let files = release.artifacts().iter().map(|artifact| &artifact.manifest);
        for manifest in std::iter::once(release.index()).chain(files) {
            self.insert_manifest(name, manifest.digest, manifest.size)?;
        }
        let referrers = self.snapshot.evidence_referrers(name);
        for referrer in referrers.map_err(|source| store(name, source))? {
            let bytes = self.snapshot.read(&referrer, MANIFEST_BYTES_MAX);
            let bytes = bytes.map_err(|source| store(name, source))?;
            let parsed = Manifest::parse(&bytes)
                .map_err(|source| MirrorError::Referrer { digest: referrer.digest, source })?;
            if let [document] = parsed.layers.as_slice()
                && judged.contains(&document.digest)
            {
                self.insert_manifest(name, referrer.digest, referrer.size)?;
            }
        }
        Ok(())
    }

    /// Every blob of an image.
    fn add_image(&mut self, name: &ReleaseName, image: &Descriptor) -> Result<(), MirrorError> {
        let closure = self.snapshot.image_closure(image).map_err(|source| store(name, source))?;
        for Descriptor { media_type, digest, size, .. } in closure {
            let class = match references::is_manifest(&media_type) {
                true => Class::Manifest,
                false => Class::Artifact,
            };
            let key = format!("{BLOBS}{}", digest.hex());
            self.insert(name, class, key, Content::Blob { digest, size })?;
        }
        Ok(())
    }

    fn insert_manifest(
        &mut self,
        name: &ReleaseName,
        digest: Digest,
        size: u64,
    ) -> Result<(), MirrorError> {
        let key = format!("{BLOBS}{}", digest.hex());
        self.insert(name, Class::Manifest, key, Content::Blob { digest, size })
    }

    /// An object that stands in two releases, or is evidence and artifact at once, is one object.
    fn insert(
        &mut self,
        name: &ReleaseName,
        class: Class,
        key: String,
        content: Content,
    ) -> Result<(), MirrorError> {
        let (digest, size, source) = content.into_parts();
        let object = self.objects.entry(key).or_insert_with_key(|key| Object {
            key: key.clone(),
            digest,
            size,
            class,
            releases: BTreeSet::new(),
            source,
        });
        object.check_same(digest)?;
        object.add(class, [name.clone()]);
        Ok(())
    }
}

impl Object {
    fn check_same(&self, digest: Digest) -> Result<(), MirrorError> {
        if self.digest == digest {
            return Ok(());
        }
        let (key, first) = (self.key.clone(), self.digest);
        Err(MirrorError::SameKey { key, first, second: digest })
    }

    /// Makes it an object of more releases, written when the first of them needs it.
    fn add(&mut self, class: Class, releases: impl IntoIterator<Item = ReleaseName>) {
        self.class = self.class.min(class);
        self.releases.extend(releases);
    }
}

/// Where content-addressed objects stand, as in an OCI image layout.
pub(crate) const BLOBS: &str = "blobs/sha256/";

enum Content {
    Blob { digest: Digest, size: u64 },
    Inline(Bytes),
}

impl Content {
    fn into_parts(self) -> (Digest, u64, Source) {
        match self {
            Self::Blob { digest, size } => (digest, size, Source::Blob),
            Self::Inline(bytes) => {
                (Digest::sha256_of(&bytes), length(&bytes), Source::Inline(bytes))
            }
        }
    }
}

/// The length of some bytes as sizes are counted here.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn store(name: &ReleaseName, source: StoreError) -> MirrorError {
    MirrorError::Store { what: format!("release {name}"), source }
}
