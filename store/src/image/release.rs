//! Releases in a layout that `export` wrote: they come back as what they were.
//!
//! ```text
//! ref.name <project>/<version>, artifactType application/vnd.bonded.release.v1     the release
//! vnd.bonded.evidence = <project>/<version> …, on a referrer's entry               whose evidence it is
//! ```
//!
//! Evidence that a release holds is read whenever a verdict is reached, so what could not be read then is
//! refused here. A release that the store holds already stays as it is: evidence is added by ingest.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::descriptor::{ANNOTATION_PROJECT, ANNOTATION_TITLE, ANNOTATION_VERSION};
use bonded_model::limits::EVIDENCE_BYTES_MAX;
use bonded_model::manifest::{Index, Manifest};
use bonded_model::{Artifact, ArtifactPath, Descriptor, Digest, Release, ReleaseName};

use super::entry::{Entry, Role, release_of};
use super::error::ImportError;
use super::plan::{Referrer, bare};
use super::source::{Source, blob_name};
use super::walk::Walk;
use super::{ImportedRelease, Outcome};
use crate::attach::{check_evidence, file_and_directory};
use crate::catalog::{Catalog, Key};
use crate::export::ANNOTATION_EVIDENCE;
use crate::snapshot::subjects_of;
use crate::writer::Writer;

/// The releases that some entries stand for.
pub(super) fn read_all(
    source: &Source,
    entries: &[Entry],
) -> Result<BTreeMap<ReleaseName, Release>, ImportError> {
    let mut releases = BTreeMap::new();
    for entry in entries {
        let Role::Release(name) = &entry.role else { continue };
        let digest = entry.descriptor.digest;
        if releases.get(name).is_some_and(|first: &Release| first.digest() == digest) {
            continue;
        }
        let release = read(source, entry, name)?;
        let second = release.digest();
        match releases.insert(name.clone(), release).map(|release| release.digest()) {
            Some(first) if first != second => {
                return Err(ImportError::Twice { name: name.to_string(), first, second });
            }
            _ => {}
        }
    }
    Ok(releases)
}

fn read(source: &Source, entry: &Entry, name: &ReleaseName) -> Result<Release, ImportError> {
    let label = entry.label();
    let (_, bytes) = Walk::read_alone(source, &label, &entry.descriptor)?;
    let not_a_release = |reason| ImportError::NotARelease { name: name.clone(), reason };
    let index = Index::parse(&bytes).map_err(|_why| not_a_release("its index cannot be read"))?;
    let says = |annotation| index.annotations.get(annotation).map(String::as_str);
    if says(ANNOTATION_PROJECT) != Some(name.project.as_str())
        || says(ANNOTATION_VERSION) != Some(name.version.as_str())
    {
        return Err(not_a_release("its index is that of another release"));
    }
    let refused = |source| ImportError::Release { name: name.clone(), source };
    let artifacts = index.manifests.iter().map(|listed| {
        if let Some(image) = Artifact::image_from_listed(listed).map_err(refused)? {
            return Ok(image);
        }
        let (_, bytes) = Walk::read_alone(source, &label, listed)?;
        let manifest = Manifest::parse(&bytes)
            .map_err(|_why| not_a_release("the manifest of a file cannot be read"))?;
        Artifact::from_stored(listed, &manifest).map_err(refused)
    });
    let artifacts = artifacts.collect::<Result<_, _>>()?;
    Release::from_stored(name.clone(), bare(&entry.descriptor), artifacts).map_err(refused)
}

/// Which of these releases an entry says that it is evidence of.
pub(super) fn evidence_of(
    listed: &Descriptor,
    releases: &BTreeMap<ReleaseName, Release>,
) -> BTreeSet<ReleaseName> {
    // That of one that is not taken in is a hint about nothing here.
    names_of(listed).filter(|name| releases.contains_key(name)).collect()
}

/// Of which releases an entry says that it is evidence.
pub(super) fn names_of(listed: &Descriptor) -> impl Iterator<Item = ReleaseName> + '_ {
    let names = listed.annotations.get(ANNOTATION_EVIDENCE).map_or("", String::as_str);
    names.split(' ').filter_map(release_of) // what is no name of a release is none
}

/// The images that a release has.
pub(super) fn images_of(release: &Release) -> impl Iterator<Item = &Descriptor> {
    release.artifacts().iter().filter(|artifact| artifact.is_image()).map(|image| &image.manifest)
}

/// That the layout has this blob: images may leave some of theirs out, releases none.
fn must_have(walk: &Walk<'_>, holder: &Digest, blob: &Descriptor) -> Result<(), ImportError> {
    if walk.has_blob(&blob.digest) {
        return Ok(());
    }
    let mut trail = walk.trail_to(holder);
    trail.steps.push(format!("blob {}", blob.digest));
    let path = walk.source().place_of(&blob_name(&blob.digest));
    Err(ImportError::Missing { trail, path })
}

/// That a release is whole, and what is to be evidence of it can be read as such.
pub(super) fn check(
    walk: &Walk<'_>,
    release: &Release,
    referrers: &[Referrer],
) -> Result<(), ImportError> {
    let subjects = subjects_of(release);
    let mut count = 0;
    for artifact in release.artifacts() {
        must_have(walk, &artifact.manifest.digest, &artifact.file)?;
    }
    let mut taken: BTreeMap<String, Digest> = BTreeMap::new();
    let files: BTreeSet<&str> = release.artifacts().iter().map(|a| a.path.as_str()).collect();
    let mut sizes = Vec::new();
    for referrer in referrers.iter().filter(|one| one.evidence_of.contains(release.name())) {
        let refused = |reason| ImportError::NoEvidence {
            name: release.name().clone(),
            referrer: referrer.descriptor.digest,
            reason,
        };
        let label = release.name().to_string();
        let (_, bytes) = Walk::read_alone(walk.source(), &label, &referrer.descriptor)?;
        let manifest =
            Manifest::parse(&bytes).map_err(|_why| refused("it is no image manifest"))?;
        let about = manifest.subject.and_then(|subject| subjects.get(&subject.digest));
        count += about.ok_or_else(|| refused("its subject is not in the release"))?.len();
        let [document] = manifest.layers.as_slice() else {
            return Err(refused("it does not have exactly one layer"));
        };
        must_have(walk, &referrer.descriptor.digest, document)?;
        if document.size > EVIDENCE_BYTES_MAX {
            return Err(refused("its document is longer than a verdict would read"));
        }
        sizes.push(document.size);
        let Some(title) = manifest.annotations.get(ANNOTATION_TITLE) else { continue };
        let title: ArtifactPath =
            title.parse().map_err(|_why| refused("its title is no path inside a release"))?;
        let held = *taken.entry(title.to_string()).or_insert(document.digest);
        if held != document.digest || files.contains(title.as_str()) {
            return Err(refused("its title belongs to other content"));
        }
    }
    let all =
        release.artifacts().iter().map(|artifact| (artifact.path.as_str(), artifact.file.digest));
    let all: BTreeMap<&str, Digest> =
        all.chain(taken.iter().map(|(title, digest)| (title.as_str(), *digest))).collect();
    let titles: Vec<ArtifactPath> = taken.keys().filter_map(|title| title.parse().ok()).collect(); // each was a path before
    check_spellings(release, &titles)?;
    let clash = titles.into_iter().find_map(|title| file_and_directory(&all, &title));
    if let Some(path) = clash {
        let source = bonded_model::release::ReleaseError::FileAndDirectory {
            name: release.name().clone(),
            path,
        };
        return Err(ImportError::Release { name: release.name().clone(), source });
    }
    Ok(check_evidence(release.name(), count, sizes.into_iter())?)
}

/// That a tree with these documents beside the artifacts has one spelling of each name.
fn check_spellings(release: &Release, titles: &[ArtifactPath]) -> Result<(), ImportError> {
    let name = release.name();
    bonded_model::release::check_spellings(name, release.paths().chain(titles))
        .map_err(|source| ImportError::Release { name: name.clone(), source })
}

/// That no release is held with another digest.
pub(super) fn check_names(
    catalog: &Catalog,
    releases: &BTreeMap<ReleaseName, Release>,
) -> Result<(), ImportError> {
    for (name, release) in releases {
        match catalog.get(&Key::release(name))? {
            Some(held) if held.digest != release.digest() => {
                let (held, given) = (held.digest, release.digest());
                return Err(ImportError::NameTaken { name: name.to_string(), held, given });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Names the releases, and lists the evidence of those that are new.
pub(super) fn name_all(
    writer: &mut Writer,
    releases: &BTreeMap<ReleaseName, Release>,
    referrers: &[Referrer],
) -> Result<Vec<ImportedRelease>, ImportError> {
    let mut named = Vec::new();
    for (name, release) in releases {
        let key = Key::release(name);
        let is_held = writer.catalog().get(&key)?.is_some();
        let outcome = if is_held { Outcome::Unchanged } else { Outcome::Created };
        if !is_held {
            writer.insert(key, release.index().clone())?;
            for referrer in referrers.iter().filter(|one| one.evidence_of.contains(name)) {
                let key = Key::evidence(name, &referrer.descriptor.digest);
                writer.insert(key, referrer.descriptor.clone())?;
            }
        }
        named.push(ImportedRelease { name: name.clone(), index: release.index().clone(), outcome });
    }
    Ok(named)
}
