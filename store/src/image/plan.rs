//! What an import will do, decided before anything is copied: which images get which names, and which
//! manifests are evidence about what.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::limits::{EVIDENCE_BYTES_MAX, LAYOUT_REFERRER_COUNT_MAX, MANIFEST_BYTES_MAX};
use bonded_model::{Descriptor, Digest, ImageName, Release, ReleaseName, Repository};
use serde::Deserialize;

use super::entry::{Convention, Entry, Role};
use super::error::ImportError;
use super::release;
use super::source::Source;
use super::walk::{Head, Walk};
use crate::recognise;

/// Notes how a referrer without a subject says what it is about.
pub(crate) const ANNOTATION_CONVENTION: &str = "vnd.bonded.convention";

/// How many of the names that a layout has an error tells.
const SHOWN_NAME_COUNT: usize = 10;

/// Which entries are wanted, and what is to be added to their names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) references: &'a [String],
    pub(super) repository: Option<&'a Repository>,
    pub(super) name: Option<&'a ImageName>,
}

/// A manifest that is about another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referrer {
    /// What it says it is about, or its place does.
    pub(super) about: BTreeSet<Digest>,
    /// What its statements name, held or not.
    pub(super) named: BTreeSet<Digest>,
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
    pub(super) walk: Walk<'a>,
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
        let is_chosen = all || is_wanted(&entry);
        if is_chosen {
            chosen.insert(entry.descriptor.digest);
        }
        sorted.add(source, entry, is_chosen)?;
    }
    let images = names(&sorted, wanted)?;
    let releases = release::read_all(source, &sorted.releases)?;
    sorted.settle_saved(&images)?;
    let mut walk = Walk::new(source);
    let mut reached = Vec::new();
    for (name, image) in &images {
        reached.extend(walk.add(&name.to_string(), image)?);
    }
    for (name, release) in &releases {
        reached.extend(walk.add(&name.to_string(), release.index())?);
    }
    let taken = add_pending(&mut walk, sorted.pending, reached, |pending| {
        all || chosen.contains(&pending.descriptor.digest)
    })?;
    let is_reached = |descriptor: &Descriptor| walk.has_blob(&descriptor.digest);
    let left = sorted.unnamed.into_iter().map(|entry| entry.descriptor).filter(|d| !is_reached(d));
    let left: Vec<_> = left.chain(sorted.unknown).collect();
    let is_nothing = images.is_empty() && releases.is_empty() && taken.is_empty();
    if let (true, Some(first)) = (is_nothing, left.first()) {
        return Err(ImportError::NoName { digest: first.digest });
    }
    let referrers = referrers(source, &walk, &taken, &releases)?;
    releases.values().try_for_each(|release| release::check(source, release, &referrers))?;
    Ok(Plan { referrers, images, releases, skipped: left, walk })
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
        match entry.role.clone() {
            Role::Image(_) | Role::Tagged(_) | Role::Misnamed(_) if is_chosen => {
                self.images.push(entry);
            }
            Role::Release(_) if is_chosen => self.releases.push(entry),
            Role::Image(_) | Role::Tagged(_) | Role::Misnamed(_) | Role::Release(_) => {}
            Role::Evidence(subject, convention) => {
                let (label, descriptor) = (entry.label(), entry.descriptor);
                let convention = Some(convention);
                self.pending.push(Pending { label, descriptor, subject, convention });
            }
            Role::SavedEvidence(convention) => self.saved.push((entry, convention)),
            Role::Referrers(subject) => self.add_listed(source, &entry, subject)?,
            Role::Unnamed => {
                let label = entry.label();
                let (head, _) = Walk::read_alone(source, &label, &entry.descriptor)?;
                match head.subject {
                    Some(subject) => {
                        let (subject, descriptor) = (subject.digest, entry.descriptor);
                        self.pending.push(Pending { label, descriptor, subject, convention: None });
                    }
                    None if is_chosen => self.unnamed.push(entry),
                    None => {}
                }
            }
            Role::Unknown if is_chosen => self.unknown.push(entry.descriptor),
            Role::Unknown => {}
        }
        Ok(())
    }

    /// The referrers that an index under a fallback tag lists. The index itself follows from them.
    fn add_listed(
        &mut self,
        source: &Source,
        entry: &Entry,
        subject: Digest,
    ) -> Result<(), ImportError> {
        let label = entry.label();
        let (_, bytes) = Walk::read_alone(source, &label, &entry.descriptor)?;
        let name = super::source::blob_name(&entry.descriptor.digest);
        let list: List = source.parse(&name, &bytes, MANIFEST_BYTES_MAX)?;
        for descriptor in list.manifests.into_iter().flatten() {
            if self.pending.len() == LAYOUT_REFERRER_COUNT_MAX {
                return Err(ImportError::TooManyReferrers { path: source.place_of(&name) });
            }
            let (label, convention) = (label.clone(), Some(Convention::FallbackTag));
            self.pending.push(Pending { label, descriptor, subject, convention });
        }
        Ok(())
    }

    /// What `cosign save` wrote is about the one image beside it.
    fn settle_saved(
        &mut self,
        images: &BTreeMap<ImageName, Descriptor>,
    ) -> Result<(), ImportError> {
        for (entry, convention) in std::mem::take(&mut self.saved) {
            let digests: BTreeSet<Digest> = images.values().map(|image| image.digest).collect();
            let (Some(subject), 1) = (digests.first(), digests.len()) else {
                let (digest, count) = (entry.descriptor.digest, digests.len());
                return Err(ImportError::NoSubject { digest, count });
            };
            let (label, subject) = (entry.label(), *subject);
            let (descriptor, convention) = (entry.descriptor, Some(convention));
            self.pending.push(Pending { label, descriptor, subject, convention });
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
    source: &Source,
    walk: &Walk<'_>,
    taken: &[Pending],
    releases: &BTreeMap<ReleaseName, Release>,
) -> Result<Vec<Referrer>, ImportError> {
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
            let named = named_subjects(source, head)?;
            // Anybody may list what he likes under a fallback tag; `index.json` is the layout's own word.
            let own = placed.iter().filter(|one| one.convention != Some(Convention::FallbackTag));
            let listed = own.map(|one| &one.descriptor);
            let evidence_of = listed.flat_map(|one| release::evidence_of(one, releases)).collect();
            referrers.push(Referrer { about, named, descriptor, evidence_of });
        }
    }
    Ok(referrers)
}

/// The digests that the statements of a referrer name.
fn named_subjects(source: &Source, head: &Head) -> Result<BTreeSet<Digest>, ImportError> {
    let mut named = BTreeSet::new();
    for document in head.documents() {
        let text = document.media_type.as_str();
        if document.size > EVIDENCE_BYTES_MAX
            || !(text.contains("json") || text.contains("in-toto"))
        {
            continue;
        }
        let Some(mut file) = source.find_blob(&document.digest)? else { continue };
        named.extend(recognise::subject_digests(&file.read_all(EVIDENCE_BYTES_MAX)?));
    }
    Ok(named)
}
