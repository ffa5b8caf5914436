//! What is at a destination: objects with their sizes, and the small mutable documents.
//!
//! A destination that cannot be listed has no [`Observed`]: "could not list" is an error, never an
//! empty answer.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::inventory::Listing;
use bonded_model::limits::CATALOG_BYTES_MAX;
use bonded_model::{Project, Version, tree};

use crate::backend::{Expected, Seen};
use crate::desired::BLOBS;
use crate::destination::Destination;
use crate::error::{At, MirrorError};
use crate::fault::Fault;
use crate::limits::MARKER_BYTES_MAX;

/// What is at a destination.
#[derive(Clone, Debug)]
pub struct Observed {
    pub(crate) destination: String,
    pub(crate) objects: BTreeMap<String, Seen>,
    pub(crate) listings: BTreeMap<Project, Listing>,
    pub(crate) markers: BTreeMap<Project, BTreeMap<String, Version>>,
}

impl Observed {
    /// The name of the destination.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// The object of that path, if it is there.
    pub fn object(&self, key: &str) -> Option<&Seen> {
        self.objects.get(key)
    }

    /// What the destination lists of a project.
    pub fn listing(&self, project: &Project) -> Option<&Listing> {
        self.listings.get(project)
    }

    /// The markers of a project whose files hold a version.
    pub fn markers(&self, project: &Project) -> BTreeMap<String, Version> {
        self.markers.get(project).cloned().unwrap_or_default()
    }
}

/// A mutable document with what to expect when it is replaced.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) expected: Expected,
}

/// Lists what a destination has of these projects, and reads its lists and markers.
///
/// Costs one listing for each project, one for the blobs, and one small read for each list and
/// marker. Of a destination that is only looked at, the lists alone are read.
///
/// # Errors
/// [`MirrorError`] of side destination if it cannot be listed or read, or if its list of releases is
/// not one that this program wrote.
pub async fn observe(
    destination: &Destination,
    projects: &BTreeSet<Project>,
) -> Result<Observed, MirrorError> {
    let mut observed = Observed {
        destination: destination.name().to_owned(),
        objects: BTreeMap::new(),
        listings: BTreeMap::new(),
        markers: BTreeMap::new(),
    };
    if destination.is_watched() {
        return observe_listings(destination, projects, observed).await;
    }
    let directories = projects.iter().map(|project| format!("{project}/"));
    for prefix in std::iter::once(BLOBS.to_owned()).chain(directories) {
        let found = destination.backend().list(&prefix).await;
        observed.objects.extend(found.map_err(|fault| failed(destination, fault))?);
    }
    for project in projects {
        let (listing, _) = read_listing(destination, project).await?;
        observed.listings.insert(project.clone(), listing);
        let markers = read_markers(destination, project, &observed.objects).await?;
        observed.markers.insert(project.clone(), markers);
    }
    Ok(observed)
}

/// Of a destination that is only looked at, its lists are all that counts.
async fn observe_listings(
    destination: &Destination,
    projects: &BTreeSet<Project>,
    mut observed: Observed,
) -> Result<Observed, MirrorError> {
    for project in projects {
        let (listing, _) = read_listing(destination, project).await?;
        observed.listings.insert(project.clone(), listing);
    }
    Ok(observed)
}

/// What a destination lists of a project now; nothing if it has no list.
pub(crate) async fn read_listing(
    destination: &Destination,
    project: &Project,
) -> Result<(Listing, Current), MirrorError> {
    let key = tree::releases_json(project);
    let current = read_small(destination, &key, CATALOG_BYTES_MAX).await?;
    let listing =
        match &current.bytes {
            None => Listing::empty(project.clone()),
            Some(bytes) => Listing::parse(project, bytes)
                .map_err(|source| MirrorError::Foreign { at: At::of(destination), key, source })?,
        };
    Ok((listing, current))
}

/// The markers of a project: `<project>/<name>.txt`, directly in the project's directory.
async fn read_markers(
    destination: &Destination,
    project: &Project,
    objects: &BTreeMap<String, Seen>,
) -> Result<BTreeMap<String, Version>, MirrorError> {
    let directory = format!("{project}/");
    let names = objects.iter().filter_map(|(key, seen)| {
        let name = key.strip_prefix(&directory)?.strip_suffix(".txt")?;
        (!name.contains('/') && seen.size <= MARKER_BYTES_MAX).then(|| name.to_owned())
    });
    let mut markers = BTreeMap::new();
    for name in names {
        let key = tree::marker(project, &name);
        let current = read_small(destination, &key, MARKER_BYTES_MAX).await?;
        if let Some(version) = current.bytes.as_deref().and_then(marker_version) {
            markers.insert(name, version);
        }
    }
    Ok(markers)
}

/// The version in a marker's file; none if it holds something else, which is then replaced.
pub(crate) fn marker_version(bytes: &[u8]) -> Option<Version> {
    std::str::from_utf8(bytes).ok()?.parse().ok() // no version is an answer
}

/// Reads a small mutable object whole.
pub(crate) async fn read_small(
    destination: &Destination,
    key: &str,
    limit: u64,
) -> Result<Current, MirrorError> {
    let opened = destination.backend().read(key).await;
    let Some(mut chunks) = opened.map_err(|fault| failed(destination, fault))? else {
        return Ok(Current { bytes: None, expected: Expected::Absent });
    };
    let seen = chunks.seen().clone();
    let too_large =
        |size| MirrorError::TooLarge { at: At::of(destination), key: key.to_owned(), size, limit };
    if seen.size > limit {
        return Err(too_large(seen.size));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await.map_err(|fault| failed(destination, fault))? {
        bytes.extend_from_slice(&chunk);
        let size = crate::desired::length(&bytes);
        if size > limit {
            return Err(too_large(size));
        }
    }
    Ok(Current { bytes: Some(bytes), expected: Expected::Present(seen.etag) })
}

pub(crate) fn failed(destination: &Destination, fault: Fault) -> MirrorError {
    MirrorError::Destination { at: At::of(destination), fault }
}
