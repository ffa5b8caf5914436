//! The public file tree, as pure functions from names to paths. `serve` answers these paths and
//! `mirror` writes them, so that every download point looks the same.
//!
//! ```text
//! <project>/releases.json                          which releases there are (mutable)
//! <project>/stable.txt, latest-1.31.txt, …         markers (mutable)
//! <project>/release/<version>/<path>               artifacts, and evidence under its own name; an image's
//!                                                  own manifest or index at images/<repository>/<tag>
//! blobs/sha256/<hex>                               what images consist of; on mirrors all manifests
//! <project>/release/<version>/.bonded/sha256-<hex>.json   evidence that had no name
//! <project>/release/<version>/.bonded/release.json what the release consists of (immutable)
//! <project>/release/<version>/.bonded/evidence.json what was held for it when it was admitted, and
//!                                                  under which policy (mutable: evidence is added)
//! ```

use crate::digest::Digest;
use crate::evidence::Document;
use crate::name::{ArtifactPath, Project, RESERVED_DIRECTORY, ReleaseName};

/// The list of a project's releases.
pub fn releases_json(project: &Project) -> String {
    format!("{project}/releases.json")
}

/// A marker's file.
pub fn marker(project: &Project, name: &str) -> String {
    format!("{project}/{name}.txt")
}

/// The directory of one release, without a trailing slash.
pub fn release(name: &ReleaseName) -> String {
    format!("{}/release/{}", name.project, name.version)
}

/// An artifact, or evidence that has a name of its own.
pub fn file(name: &ReleaseName, path: &ArtifactPath) -> String {
    format!("{}/{path}", release(name))
}

/// Evidence without a name of its own.
pub fn unnamed_evidence(name: &ReleaseName, digest: &Digest) -> String {
    let algorithm = digest.algorithm().name();
    format!("{}/{RESERVED_DIRECTORY}/{algorithm}-{}.json", release(name), digest.hex())
}

/// The inventory of one release.
pub fn inventory(name: &ReleaseName) -> String {
    format!("{}/{RESERVED_DIRECTORY}/release.json", release(name))
}

/// The list of the evidence of one release.
pub fn evidence_list(name: &ReleaseName) -> String {
    format!("{}/{RESERVED_DIRECTORY}/evidence.json", release(name))
}

/// A piece of evidence: under its own name if it has one, else under its digest.
pub fn document(name: &ReleaseName, document: &Document) -> String {
    match &document.title {
        Some(title) => file(name, title),
        None => unnamed_evidence(name, &document.digest),
    }
}
