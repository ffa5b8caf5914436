//! What an import will do, decided before anything is copied: which images get which names, and which
//! manifests are evidence about what.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::limits::{
    EVIDENCE_BYTES_MAX, LAYOUT_BLOB_COUNT_MAX, LAYOUT_REFERRER_COUNT_MAX, MANIFEST_BYTES_MAX,
    NAMED_DIGEST_COUNT_MAX,
};
use bonded_model::{
    Algorithm, Descriptor, Digest, ImageName, MediaType, Release, ReleaseName, Repository,
};
use serde::Deserialize;

use super::entry::{Convention, Entry, Role};
use super::error::{ImportError, Trail};
use super::release;
use super::source::Source;
use super::walk::Walk;
use crate::recognise;

/// Notes how a referrer without a subject says what it is about.
pub(crate) const ANNOTATION_CONVENTION: &str = "vnd.bonded.convention";

/// How many of the names that a layout has an error tells.
const SHOWN_NAME_COUNT: usize = 10;

/// How much one import may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Blobs, and what refers to them in one more way.
    pub(super) blobs: usize,
    /// Digests that statements name, and places at which what they are about is listed.
    pub(super) named: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { blobs: LAYOUT_BLOB_COUNT_MAX, named: NAMED_DIGEST_COUNT_MAX }
    }
}

/// Which entries are wanted, and what is to be added to their names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) references: &'a [String],
    pub(super) repository: Option<&'a Repository>,
    pub(super) name: Option<&'a ImageName>,
    /// Whether releases are wanted that no reference names: whoever takes in the layout of somebody else
    /// does not mean to publish releases in their name.
    pub(super) releases: bool,
    pub(super) bounds: Bounds,
}

/// A manifest that is about another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referrer {
    /// What it says it is about, or its place does.
    pub(super) about: BTreeSet<Digest>,
    /// Its documents.
    pub(super) documents: Vec<Digest>,
    /// As the catalog lists it: with the type of the artifact, and the convention if it has no subject.
    pub(super) descriptor: Descriptor,
    /// The releases among what is taken in whose evidence it is.
    pub(super) evidence_of: BTreeSet<ReleaseName>,
}

/// What is to be named, and the blobs that this takes.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) images: BTreeMap<ImageName, Descriptor>,
    pub(super) releases: BTreeMap<ReleaseName, Release>,
    pub(super) referrers: Vec<Referrer>,
    /// Entries that are left out, since nothing would name them.
    pub(super) skipped: Vec<Descriptor>,
    /// Releases that are left out, since nobody asked for them.
    pub(super) skipped_releases: BTreeSet<ReleaseName>,
    /// What the statements of a document name, held or not.
    pub(super) named: BTreeMap<Digest, BTreeSet<Digest>>,
    pub(super) walk: Walk<'a>,
    pub(super) bounds: Bounds,
}

/// An entry that is about a manifest.
#[derive(Debug)]
struct Pending {
    label: String,
    descriptor: Descriptor,
    subject: Digest,
    /// For a manifest that does not say itself what it is about.
    convention: Option<Convention>,
}

/// The entries, each with those of its own role.
#[derive(Debug, Default)]
struct Sorted {
    images: Vec<Entry>,
    releases: Vec<Entry>,
    /// Without a name and without a subject.
    unnamed: Vec<Entry>,
    pending: Vec<Pending>,
    saved: Vec<(Entry, Convention)>,
    unknown: Vec<Descriptor>,
    /// Releases that nobody asked for.
    left: BTreeSet<ReleaseName>,
    /// As what each manifest is listed.
    types: BTreeMap<Digest, MediaType>,
    /// The subjects of manifests that were read to learn them.
    subjects: BTreeMap<Digest, Option<Digest>>,
    /// What indexes under fallback tags list.
    lists: BTreeMap<Digest, Vec<Descriptor>>,
    /// Under which tags they do.
    listed: BTreeSet<(Digest, Digest)>,
}

/// Plans the import of a source's entries.
pub(super) fn plan<'a>(
    source: &'a Source,
    entries: Vec<Entry>,
    wanted: Wanted<'_>,
) -> Result<Plan<'a>, ImportError> {
    check_references(&entries, wanted.references)?;
    let is_wanted =
        |entry: &Entry| wanted.references.iter().any(|wanted| entry.is_meant_by(wanted));
    let all = wanted.references.is_empty();
    let mut chosen = BTreeSet::new();
    let mut sorted = Sorted::default();
    for entry in entries {
        let is_chosen = match (&entry.role, all) {
            (Role::Release(name), true) if !wanted.releases => {
                sorted.left.insert(name.clone());
                continue;
            }
            _ => all || is_wanted(&entry),
        };
        if is_chosen {
            chosen.insert(entry.descriptor.digest);
        }
        sorted.add(source, entry, is_chosen)?;
    }
    let mut images = names(&sorted, wanted)?;
    let releases = release::read_all(source, &sorted.releases)?;
    sorted.settle_saved(source, &images)?;
    let bounds = wanted.bounds;
    let mut walk = Walk::new(source, bounds.blobs);
    let mut reached = Vec::new();
    for (name, image) in &images {
        reached.extend(walk.add(&name.to_string(), image)?);
    }
    for (name, release) in &releases {
        reached.extend(walk.add(&name.to_string(), release.index())?);
    }
    let tops = images.values().chain(releases.values().flat_map(release::images_of));
    walk.check_sizes(&tops.map(|image| image.digest).collect())?;
    for image in images.values_mut() {
        // The list may say what it likes; what it is, the manifest says.
        image.artifact_type = walk.head(&image.digest).and_then(|head| head.artifact_type.clone());
    }
    let left = sorted.left;
    let taken = add_pending(&mut walk, sorted.pending, reached, |pending| {
        let is_evidence_of_left = || {
            let of = release::names_of(&pending.descriptor);
            let mut of = of.peekable();
            of.peek().is_some() && of.all(|name| left.contains(&name))
        };
        (all || chosen.contains(&pending.descriptor.digest)) && !is_evidence_of_left()
    })?;
    let is_reached = |descriptor: &Descriptor| walk.has_blob(&descriptor.digest);
    let unnamed =
        sorted.unnamed.into_iter().map(|entry| entry.descriptor).filter(|d| !is_reached(d));
    let skipped: Vec<_> = unnamed.chain(sorted.unknown).collect();
    let is_nothing = images.is_empty() && releases.is_empty() && taken.is_empty();
    match (is_nothing, skipped.first(), left.first()) {
        (true, Some(first), _) => return Err(ImportError::NoName { digest: first.digest }),
        (true, None, Some(name)) => return Err(ImportError::OnlyReleases { name: name.clone() }),
        _ => {}
    }
    let referrers = referrers(&walk, &taken, &releases);
    let named = named(source, &walk, &referrers, bounds.named)?;
    releases.values().try_for_each(|release| release::check(&walk, release, &referrers))?;
    Ok(Plan { referrers, images, releases, skipped, skipped_releases: left, named, walk, bounds })
}

fn check_references(entries: &[Entry], references: &[String]) -> Result<(), ImportError> {
    let missing = |wanted: &&String| !entries.iter().any(|entry| entry.is_meant_by(wanted));
    match references.iter().find(missing) {
        None => Ok(()),
        Some(wanted) => {
            let names = entries.iter().filter_map(|entry| entry.name.clone());
            let available = names.take(SHOWN_NAME_COUNT).collect();
            Err(ImportError::NoReference { wanted: wanted.clone(), available })
        }
    }
}

#[derive(Deserialize)]
struct List {
    manifests: Option<Vec<Descriptor>>,
}

impl Sorted {
    /// Only chosen entries can become images; what is about a chosen image may be any.
    fn add(&mut self, source: &Source, entry: Entry, is_chosen: bool) -> Result<(), ImportError> {
        if entry.role != Role::Unknown {
            self.check_type(&entry)?;
        }
        match entry.role.clone() {
            Role::Image(_) | Role::Tagged(_) | Role::Misnamed(_) if is_chosen => {
                self.images.push(entry);
            }
            Role::Release(_) if is_chosen => self.releases.push(entry),
            Role::Image(_) | Role::Tagged(_) | Role::Misnamed(_) | Role::Release(_) => {}
            Role::Evidence(subject, convention) => {
                let (label, descriptor) = (entry.label(), entry.descriptor);
                let convention = Some(convention);
                self.push(source, Pending { label, descriptor, subject, convention })?;
            }
            Role::SavedEvidence(convention) => self.saved.push((entry, convention)),
            Role::Referrers(subject) => self.add_listed(source, &entry, subject)?,
            Role::Unnamed => match self.subject_of(source, &entry)? {
                Some(subject) => {
                    let (label, descriptor) = (entry.label(), entry.descriptor);
                    let convention = None;
                    self.push(source, Pending { label, descriptor, subject, convention })?;
                }
                None if is_chosen => self.unnamed.push(entry),
                None => {}
            },
            Role::Unknown if is_chosen => self.unknown.push(entry.descriptor),
            Role::Unknown => {}
        }
        Ok(())
    }

    /// One manifest is one kind of document, however many entries name it.
    fn check_type(&mut self, entry: &Entry) -> Result<(), ImportError> {
        let Descriptor { digest, media_type, .. } = &entry.descriptor;
        match self.types.get(digest) {
            Some(first) if first != media_type => {
                let trail = Trail { entry: entry.label(), steps: vec![digest.to_string()] };
                let (first, second) = (first.clone(), media_type.clone());
                Err(ImportError::TwoTypes { trail, first, second })
            }
            Some(_) => Ok(()),
            None => {
                self.types.insert(*digest, media_type.clone());
                Ok(())
            }
        }
    }

    /// Adds what is about a manifest, as long as nobody could have listed it all by hand.
    fn push(&mut self, source: &Source, pending: Pending) -> Result<(), ImportError> {
        if self.pending.len() >= LAYOUT_REFERRER_COUNT_MAX {
            let path = source.place_of(super::entry::INDEX);
            return Err(ImportError::TooManyReferrers { path });
        }
        self.pending.push(pending);
        Ok(())
    }

    /// What an entry is about by its own words; each manifest is read once.
    fn subject_of(
        &mut self,
        source: &Source,
        entry: &Entry,
    ) -> Result<Option<Digest>, ImportError> {
        let digest = entry.descriptor.digest;
        if let Some(subject) = self.subjects.get(&digest) {
            return Ok(*subject);
        }
        let (head, _) = Walk::read_alone(source, &entry.label(), &entry.descriptor)?;
        let subject = head.subject.map(|subject| subject.digest);
        self.subjects.insert(digest, subject);
        Ok(subject)
    }

    /// The referrers that an index under a fallback tag lists. The index itself follows from them.
    fn add_listed(
        &mut self,
        source: &Source,
        entry: &Entry,
        subject: Digest,
    ) -> Result<(), ImportError> {
        let (label, digest) = (entry.label(), entry.descriptor.digest);
        if !self.listed.insert((digest, subject)) {
            return Ok(());
        }
        let listed = match self.lists.get(&digest) {
            Some(listed) => listed.clone(),
            None => {
                let (_, bytes) = Walk::read_alone(source, &label, &entry.descriptor)?;
                let name = super::source::blob_name(&digest);
                let list: List = source.parse(&name, &bytes, MANIFEST_BYTES_MAX)?;
                let listed: Vec<_> = list.manifests.iter().flatten().map(bare).collect();
                self.lists.insert(digest, listed.clone());
                listed
            }
        };
        for descriptor in listed {
            let (label, convention) = (label.clone(), Some(Convention::FallbackTag));
            self.push(source, Pending { label, descriptor, subject, convention })?;
        }
        Ok(())
    }

    /// What `cosign save` wrote is about the one image beside it.
    fn settle_saved(
        &mut self,
        source: &Source,
        images: &BTreeMap<ImageName, Descriptor>,
    ) -> Result<(), ImportError> {
        let digests: BTreeSet<Digest> = images.values().map(|image| image.digest).collect();
        for (entry, convention) in std::mem::take(&mut self.saved) {
            let (Some(subject), 1) = (digests.first(), digests.len()) else {
                let (digest, count) = (entry.descriptor.digest, digests.len());
                return Err(ImportError::NoSubject { digest, count });
            };
            let (label, subject) = (entry.label(), *subject);
            let (descriptor, convention) = (entry.descriptor, Some(convention));
            self.push(source, Pending { label, descriptor, subject, convention })?;
        }
        Ok(())
    }
}

/// The names of the chosen images.
fn names(
    sorted: &Sorted,
    wanted: Wanted<'_>,
) -> Result<BTreeMap<ImageName, Descriptor>, ImportError> {
    if let Some(name) = wanted.name {
        let candidates = sorted.images.iter().chain(&sorted.unnamed);
        let images: BTreeMap<Digest, Descriptor> =
            candidates.map(|entry| (entry.descriptor.digest, bare(&entry.descriptor))).collect();
        let count = images.len();
        return match images.into_values().next() {
            Some(image) if count == 1 => Ok(BTreeMap::from([(name.clone(), image)])),
            _ => Err(ImportError::NameForSeveral { name: name.clone(), count }),
        };
    }
    let mut images: BTreeMap<ImageName, Descriptor> = BTreeMap::new();
    for entry in &sorted.images {
        let name = name_of(&entry.role, wanted.repository)?;
        let given = bare(&entry.descriptor);
        match images.get(&name) {
            Some(first) if first.digest != given.digest => {
                let (first, second) = (first.digest, given.digest);
                return Err(ImportError::Twice { name: name.to_string(), first, second });
            }
            _ => images.insert(name, given),
        };
    }
    Ok(images)
}

fn name_of(role: &Role, repository: Option<&Repository>) -> Result<ImageName, ImportError> {
    match (role, repository) {
        (Role::Image(name), _) => Ok(name.clone()),
        (Role::Tagged(tag), Some(repository)) => {
            Ok(ImageName { repository: repository.clone(), tag: tag.clone() })
        }
        (Role::Tagged(tag), None) => Err(ImportError::NoRepository { tag: tag.to_string() }),
        (Role::Misnamed(name), _) => Err(ImportError::Name { name: name.clone() }),
        _ => Err(ImportError::Name { name: String::new() }),
    }
}

/// A descriptor without what belongs to the list that it was found in.
pub(super) fn bare(listed: &Descriptor) -> Descriptor {
    Descriptor { platform: None, annotations: Default::default(), ..listed.clone() }
}

/// Adds the entries that are wanted, and those that are about something that was reached: what is about
/// such an entry in turn as well.
fn add_pending(
    walk: &mut Walk<'_>,
    pending: Vec<Pending>,
    mut reached: Vec<Digest>,
    is_wanted: impl Fn(&Pending) -> bool,
) -> Result<Vec<Pending>, ImportError> {
    let mut taken = Vec::new();
    let mut waiting: BTreeMap<Digest, Vec<Pending>> = BTreeMap::new();
    for one in pending {
        if is_wanted(&one) {
            reached.extend(walk.add(&one.label, &one.descriptor)?);
            taken.push(one);
        } else {
            waiting.entry(one.subject).or_default().push(one);
        }
    }
    while let Some(subject) = reached.pop() {
        for one in waiting.remove(&subject).unwrap_or_default() {
            reached.extend(walk.add(&one.label, &one.descriptor)?);
            taken.push(one);
        }
    }
    Ok(taken)
}

/// Every manifest that is about another: what it says itself counts, else what its place says.
fn referrers(
    walk: &Walk<'_>,
    taken: &[Pending],
    releases: &BTreeMap<ReleaseName, Release>,
) -> Vec<Referrer> {
    let mut placed: BTreeMap<Digest, Vec<&Pending>> = BTreeMap::new();
    for one in taken {
        placed.entry(one.descriptor.digest).or_default().push(one);
    }
    let mut referrers = Vec::new();
    for digest in walk.manifests() {
        let (Some(head), Some(listed)) = (walk.head(digest), walk.blob(digest)) else { continue };
        let placed = placed.get(digest).map(Vec::as_slice).unwrap_or_default();
        let mut about: BTreeSet<Digest> = placed.iter().map(|one| one.subject).collect();
        let mut descriptor = bare(listed);
        descriptor.artifact_type = head.referrer_type().cloned();
        match &head.subject {
            Some(subject) => about = BTreeSet::from([subject.digest]),
            None => {
                let convention = placed.iter().find_map(|one| one.convention);
                let noted = convention.map(|one| (ANNOTATION_CONVENTION.to_owned(), one.name()));
                descriptor.annotations.extend(noted);
            }
        }
        if !about.is_empty() {
            let documents = head.documents().map(|document| document.digest).collect();
            // Anybody may list what he likes under a fallback tag; `index.json` is the layout's own word.
            let own = placed.iter().filter(|one| one.convention != Some(Convention::FallbackTag));
            let listed = own.map(|one| &one.descriptor);
            let evidence_of = listed.flat_map(|one| release::evidence_of(one, releases)).collect();
            referrers.push(Referrer { about, documents, descriptor, evidence_of });
        }
    }
    referrers
}

/// What the statements of all these referrers name. Each document is read once, however many manifests
/// hold it, so this reads no more than the copying will.
fn named(
    source: &Source,
    walk: &Walk<'_>,
    referrers: &[Referrer],
    count_max: usize,
) -> Result<BTreeMap<Digest, BTreeSet<Digest>>, ImportError> {
    let mut named = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for document in referrers.iter().flat_map(|referrer| &referrer.documents) {
        if !seen.insert(document) || walk.blob(document).is_none_or(|d| d.size > EVIDENCE_BYTES_MAX)
        {
            continue;
        }
        let Some(mut file) = source.find_blob(document)? else { continue };
        let mut digests = recognise::subject_digests(&file.read_all(EVIDENCE_BYTES_MAX)?);
        digests.retain(|digest| digest.algorithm() == Algorithm::Sha256);
        count += digests.len();
        if count > count_max {
            return Err(ImportError::TooManyNamed);
        }
        if !digests.is_empty() {
            named.insert(*document, digests);
        }
    }
    Ok(named)
}
