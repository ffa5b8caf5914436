//! A site: verified releases of one snapshot of a store, as they are served.

use std::collections::BTreeSet;

use bonded_model::{Release, ReleaseName, inventory};
use bonded_store::Snapshot;
use bonded_verify::Verified;

use crate::error::ServeError;
use crate::view::{ReleaseView, Tree};

/// What a server shows: a snapshot of a store, of which only verified releases are visible.
///
/// A release without its proof does not fit:
///
/// ```compile_fail,E0308
/// fn site(snapshot: bonded_store::Snapshot, release: bonded_model::Release) {
///     let _site = bonded_serve::Site::new(snapshot, vec![release]);
/// }
/// ```
///
/// ```
/// use bonded_model::Release;
/// use bonded_verify::Verified;
///
/// fn site(snapshot: bonded_store::Snapshot, release: Verified<Release>) {
///     let _site = bonded_serve::Site::new(snapshot, vec![release]);
/// }
/// ```
#[derive(Debug)]
pub struct Site {
    snapshot: Snapshot,
    tree: Tree,
}

impl Site {
    /// The site of these releases, which must stand in the snapshot with the very evidence that
    /// their verdicts looked at. Reads all evidence of the releases and the manifests of their images, and
    /// none of their layers; of their files only what the store has no facts about: the beginning, or all of
    /// one whose SHA-512 a document names.
    ///
    /// A release that the store cannot give, or holds as another one or with other evidence, is not
    /// shown: it comes back with the reason. So does the second one of a name.
    pub fn new(
        snapshot: Snapshot,
        releases: Vec<Verified<Release>>,
    ) -> (Self, Vec<(ReleaseName, ServeError)>) {
        let mut tree = Tree::default();
        let mut refused = Vec::new();
        for release in releases {
            let name = release.get().name().clone();
            match view(&snapshot, release).and_then(|view| tree.add(view)) {
                Ok(()) => {}
                Err(error) => refused.push((name, error)),
            }
        }
        tree.point_markers();
        (Self { snapshot, tree }, refused)
    }

    /// Every path that answers with content, decoded, in order; other spellings and the short paths
    /// of an only project are not listed.
    pub fn paths(&self) -> Vec<String> {
        let mut paths: BTreeSet<String> = self.tree.paths().into_iter().collect();
        paths.insert(HEALTH_PATH.to_owned());
        paths.into_iter().collect()
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }
}

/// Where the server says that it is alive.
pub(crate) const HEALTH_PATH: &str = "/healthz";

fn view(snapshot: &Snapshot, verified: Verified<Release>) -> Result<ReleaseView, ServeError> {
    let name = verified.get().name().clone();
    let evidence = snapshot
        .evidence(&name)
        .map_err(|source| ServeError::Store { release: name.clone(), source })?;
    let (digest, held) = (verified.get().digest(), evidence.release.digest());
    if digest != held {
        return Err(ServeError::ReleaseChanged { release: name, verified: digest, held });
    }
    let (digest, held) = (verified.verdict().evidence_digest(), evidence.digest());
    if digest != held {
        return Err(ServeError::EvidenceChanged { release: name, verified: digest, held });
    }
    let documents = inventory::list(&evidence.release, &evidence.documents)?;
    let mut blobs = Vec::new();
    for image in verified.get().artifacts().iter().filter(|artifact| artifact.is_image()) {
        let closure = snapshot.image_closure(&image.manifest);
        let store = |source| ServeError::Store { release: name.clone(), source };
        blobs.extend(closure.map_err(store)?);
    }
    Ok(ReleaseView::new(verified, documents, blobs))
}
