//! Every reference of every kept epoch is followed, and the ways to what is bad or missing are told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bonded_model::descriptor::{ANNOTATION_REF_NAME, ANNOTATION_TITLE};
use bonded_model::limits::MANIFEST_BYTES_MAX;
use bonded_model::manifest::Manifest;
use bonded_model::{ArtifactPath, Descriptor, Digest, ReleaseName, tree};

use crate::blob::Pool;
use crate::catalog::{Catalog, Pages};
use crate::disk::DiskError;
use crate::error::StoreError;
use crate::index;
use crate::reach::{Reached, Visited};
use crate::references;
use crate::root::Root;
use crate::store::Store;

use super::bytes::{Listed, raw};
use super::finding::{Code, Finding, Step, Way};
use super::rate::Rate;

/// Ways told for one blob; people need one, and a second to see that there is more to it.
const WAY_COUNT_MAX: usize = 4;

/// References from a name to a blob: release, image index, image, layer, and one to spare.
const STEP_COUNT_MAX: usize = 8;

/// What following every reference brought to light.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) reached: Reached,
    /// Blobs that are referred to and not there, with the size that a reference says.
    pub(super) missing: BTreeMap<Digest, Option<u64>>,
    /// What references say about the sizes of blobs that are bad.
    pub(super) sizes: BTreeMap<Digest, u64>,
    pub(super) findings: Vec<Finding>,
}

/// What lies in the pool, and what of it is not what it is named.
#[derive(Debug)]
pub(super) struct Judged {
    /// Ordered by digest.
    pub(super) held: Vec<Listed>,
    /// Damaged or unreadable, whether anything needs it or not.
    pub(super) not_whole: BTreeSet<Digest>,
}

impl Judged {
    /// What is known of a blob does not hold any more: it was put in its place, and is looked up there.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.not_whole.remove(digest);
        if let Ok(index) = self.find(digest) {
            self.held.remove(index);
        }
    }

    fn find(&self, digest: &Digest) -> Result<usize, usize> {
        self.held.binary_search_by_key(&raw(digest), |listed| listed.digest)
    }
}

/// Follows everything in these states, and what another tool has named. What is not whole is read by nobody.
pub(super) fn walk(
    pool: &Pool,
    rate: &Rate,
    roots: &[Root],
    judged: &Judged,
) -> Result<Walked, StoreError> {
    let mut walked = Walked::default();
    let mut reached = Reached::default();
    let read = |digest: &Digest, limit: u64| {
        let bytes = read_unless_bad(pool, &judged.not_whole, digest, limit)?;
        rate.pay(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(bytes)
    };
    let mut told = BTreeSet::new();
    let mut visit = |visited: Visited<'_>| {
        note(&mut walked, pool, judged, &mut told, visited)?;
        Ok(())
    };
    for root in roots.iter().rev() {
        reached.follow_catalog(&root.catalog, &read, &mut visit)?;
    }
    // What cannot be read is told with the rest of index.json.
    let foreign = index::foreign_entries(&pool.disk, &pool.layout).unwrap_or_default();
    reached.follow(foreign, &read, &mut visit)?;
    walked.reached = reached;
    // A page that is no page has its finding, and what is below it cannot be looked at in its place.
    let is_whole = !walked.findings.iter().any(|finding| finding.code == Code::UnreadablePage)
        && !walked.missing.values().any(Option::is_none)
        && judged.not_whole.is_empty();
    if is_whole {
        walked.findings.extend(misplaced(pool, roots));
    }
    Ok(walked)
}

/// Pages that are whole, and stand in a tree where they must not.
fn misplaced(pool: &Pool, roots: &[Root]) -> Vec<Finding> {
    let pages = Pages::of(pool.clone());
    let mut found = BTreeMap::new();
    for root in roots {
        let checked = Catalog::open(&pages, root.catalog).and_then(|catalog| catalog.check());
        // Whatever else happens to a page has its own finding.
        if let Err(StoreError::Catalog { page, source }) = checked {
            found.insert(page, chain(&source));
        }
    }
    let finding = |(page, seen)| Finding::new(Code::MisplacedPage, seen).about(page);
    found.into_iter().map(finding).collect()
}

/// As every reader does, but nothing is moved: the bytes were judged before.
fn read_unless_bad(
    pool: &Pool,
    bad: &BTreeSet<Digest>,
    digest: &Digest,
    limit: u64,
) -> Result<Vec<u8>, StoreError> {
    let path = pool.layout.blob(digest);
    if bad.contains(digest) {
        return Err(StoreError::MissingBlob { digest: *digest, path });
    }
    match pool.disk.read(&path, limit) {
        Ok(bytes) => match Digest::sha256_of(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(StoreError::Corrupt { digest: *digest, found, path, quarantined: None }),
        },
        Err(error) if error.is_not_found() => {
            Err(StoreError::MissingBlob { digest: *digest, path })
        }
        Err(DiskError::OverLimit { bytes, limit, .. }) => {
            Err(StoreError::BlobTooLarge { digest: *digest, bytes, limit })
        }
        Err(error) => Err(error.into()),
    }
}

/// `told` are blobs whose size was told to be wrong.
fn note(
    walked: &mut Walked,
    pool: &Pool,
    judged: &Judged,
    told: &mut BTreeSet<Digest>,
    visited: Visited<'_>,
) -> Result<(), DiskError> {
    let (code, digest, size, error) = match visited {
        Visited::Named(named) => return note_named(walked, pool, judged, told, named),
        Visited::BadPage(digest, error) => (Code::UnreadablePage, *digest, None, error),
        Visited::BadManifest(named, error) => {
            (Code::UnreadableManifest, named.digest, Some(named.size), error)
        }
    };
    match error {
        // Bad ones have their finding. Others may have gone after they were looked at.
        StoreError::MissingBlob { .. } if judged.not_whole.contains(&digest) => {}
        StoreError::MissingBlob { .. } => drop(walked.missing.entry(digest).or_insert(size)),
        error => walked.findings.push(Finding::new(code, chain(&error)).about(digest)),
    }
    Ok(())
}

fn note_named(
    walked: &mut Walked,
    pool: &Pool,
    judged: &Judged,
    told: &mut BTreeSet<Digest>,
    named: &Descriptor,
) -> Result<(), DiskError> {
    if judged.not_whole.contains(&named.digest) {
        let size = walked.sizes.entry(named.digest).or_default();
        *size = named.size.max(*size);
        return Ok(());
    }
    if let Some(size) = walked.missing.get_mut(&named.digest) {
        *size = Some(size.map_or(named.size, |size| size.max(named.size)));
        return Ok(());
    }
    let found = match judged.find(&named.digest) {
        Ok(index) => judged.held.get(index).map(|listed| listed.bytes),
        // It may have come after the blobs were listed.
        Err(_) => size_of(pool, &named.digest)?,
    };
    match found {
        None if references::may_be_absent(&named.media_type) => {}
        None => drop(walked.missing.insert(named.digest, Some(named.size))),
        Some(found) if found != named.size && told.insert(named.digest) => {
            let seen = format!("it has {found} bytes, a reference says {}", named.size);
            walked.findings.push(Finding::new(Code::WrongSize, seen).about(named.digest));
        }
        Some(_) => {}
    }
    Ok(())
}

fn size_of(pool: &Pool, digest: &Digest) -> Result<Option<u64>, DiskError> {
    match pool.disk.read_attributes(&pool.layout.blob(digest)) {
        Ok(found) => Ok(Some(found.bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Findings about blobs that are referred to and not there.
pub(super) fn missing(walked: &Walked, pool: &Pool) -> Vec<Finding> {
    let findings = walked.missing.iter().map(|(digest, size)| {
        let seen = match size {
            Some(bytes) => format!("a blob of {bytes} bytes is not there"),
            None => "a page of a catalog is not there".to_owned(),
        };
        Finding::new(Code::MissingBlob, seen).about(*digest).at(pool.layout.blob(digest))
    });
    findings.collect()
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let texts = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    texts.collect::<Vec<_>>().join(": ")
}

/// Ways to each of these blobs, from the newest epochs. Costs a walk of its own, and so is for use where
/// something is wrong.
pub(super) fn ways_to(
    store: &Store,
    roots: &[Root],
    wanted: &BTreeSet<Digest>,
) -> BTreeMap<Digest, Vec<Way>> {
    let pool = store.pool();
    let mut search = Search {
        pool,
        wanted,
        below: HashMap::new(),
        passed: HashMap::new(),
        ways: BTreeMap::new(),
    };
    let mut entries = HashSet::new();
    if wanted.is_empty() {
        return search.ways;
    }
    for root in roots.iter().rev() {
        // Where a page is missing, what is below it is not known; that has its own finding.
        let Ok(catalog) = Catalog::open(store.pages(), root.catalog) else { continue };
        for (key, named) in catalog.scan("").map_while(Result::ok) {
            if search.is_over() {
                return search.ways;
            }
            // An epoch mostly has the entries of the one after it.
            let leads = search.leads(&named, STEP_COUNT_MAX);
            if leads && entries.insert((key.as_str().to_owned(), named.digest)) {
                search.tell(&named, &mut Vec::new(), &|steps| Way {
                    epoch: root.epoch,
                    key: key.as_str().to_owned(),
                    steps,
                });
            }
        }
    }
    search.ways
}

/// Where blobs stand in the public tree, as far as the ways to them tell.
pub(super) fn public_paths(
    pool: &Pool,
    ways: &BTreeMap<Digest, Vec<Way>>,
) -> BTreeMap<Digest, Vec<String>> {
    let paths = |(digest, ways): (&Digest, &Vec<Way>)| {
        let paths = ways.iter().flat_map(|way| public_paths_of(pool, digest, way)).collect();
        (*digest, paths)
    };
    ways.iter().map(paths).collect()
}

fn public_paths_of(pool: &Pool, digest: &Digest, way: &Way) -> Vec<String> {
    let mut parts = way.key.split('/');
    let [kind, project, version] =
        [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
    let Ok(name) = format!("{project}@{version}").parse::<ReleaseName>() else {
        return Vec::new(); // a key of another kind
    };
    let mut titles: Vec<_> = way.steps.iter().filter_map(|step| step.title.clone()).collect();
    let mut paths = Vec::new();
    if kind == "evidence" {
        // The name of a document stands in its manifest.
        let manifest = way.steps.first().map(|step| pool.read(&step.digest, MANIFEST_BYTES_MAX));
        let manifest = manifest.and_then(|bytes| Manifest::parse(&bytes.ok()?).ok());
        titles.extend(
            manifest.and_then(|mut manifest| manifest.annotations.remove(ANNOTATION_TITLE)),
        );
        paths.push(tree::unnamed_evidence(&name, digest));
    }
    // A title is somebody else's text; one that is no path of a release leads out of its directory.
    let titles = titles.iter().filter_map(|title| title.parse::<ArtifactPath>().ok());
    paths.extend(titles.map(|title| format!("{}/{title}", tree::release(&name))));
    paths
}

struct Search<'a> {
    pool: &'a Pool,
    wanted: &'a BTreeSet<Digest>,
    /// Whether a manifest leads to anything that is wanted, and in how many steps that was looked for.
    below: HashMap<Digest, (bool, usize)>,
    /// How often a manifest was passed on the way to something.
    passed: HashMap<Digest, usize>,
    ways: BTreeMap<Digest, Vec<Way>>,
}

impl Search<'_> {
    /// Whether there are ways enough to everything.
    fn is_over(&self) -> bool {
        self.ways.len() == self.wanted.len()
            && self.ways.values().all(|ways| ways.len() >= WAY_COUNT_MAX)
    }

    fn leads(&mut self, named: &Descriptor, steps_left: usize) -> bool {
        if self.wanted.contains(&named.digest) {
            return true;
        }
        if !references::is_manifest(&named.media_type) {
            return false;
        }
        match self.below.get(&named.digest) {
            Some((true, steps)) if *steps <= steps_left => return true,
            Some((false, steps)) if *steps >= steps_left => return false,
            _ => {}
        }
        let leads = steps_left > 0
            && self.references(named).iter().any(|named| self.leads(named, steps_left - 1));
        self.below.insert(named.digest, (leads, steps_left));
        leads
    }

    /// Adds the ways on from here, if there are not enough of them yet. Nothing is passed more often than
    /// there are ways to tell: what lies below has them all then, and hostile images have many ways.
    fn tell(&mut self, named: &Descriptor, above: &mut Vec<Step>, way: &dyn Fn(Vec<Step>) -> Way) {
        above.push(Step { title: title(named), digest: named.digest });
        if self.wanted.contains(&named.digest) {
            let ways = self.ways.entry(named.digest).or_default();
            let told = way(above.clone());
            let like = |other: &Way| (&other.key, &other.steps) == (&told.key, &told.steps);
            if ways.len() < WAY_COUNT_MAX && !ways.iter().any(like) {
                ways.push(told);
            }
        } else if above.len() < STEP_COUNT_MAX && self.may_pass(&named.digest) {
            for next in self.references(named) {
                if self.leads(&next, STEP_COUNT_MAX - above.len()) {
                    self.tell(&next, above, way);
                }
            }
        }
        above.pop();
    }

    fn may_pass(&mut self, digest: &Digest) -> bool {
        let passed = self.passed.entry(*digest).or_default();
        *passed += 1;
        *passed <= WAY_COUNT_MAX
    }

    /// What cannot be read leads nowhere; it has its own finding.
    /// The same blob may be named under two titles, which are two ways to it.
    fn references(&self, named: &Descriptor) -> Vec<Descriptor> {
        if !references::is_manifest(&named.media_type) {
            return Vec::new();
        }
        let bytes = read_unless_bad(self.pool, self.wanted, &named.digest, MANIFEST_BYTES_MAX);
        let of = |bytes: Vec<u8>| references::of(&named.media_type, &bytes).ok();
        let mut references = bytes.ok().and_then(of).unwrap_or_default();
        let mut seen = HashSet::new();
        references.retain(|named| seen.insert((named.digest, title(named))));
        references
    }
}

fn title(named: &Descriptor) -> Option<String> {
    let title = |key: &str| named.annotations.get(key).cloned();
    title(ANNOTATION_TITLE).or_else(|| title(ANNOTATION_REF_NAME))
}
