//! The public tree over verified releases: from a path to content, without reading a blob.
//!
//! Paths are those of [`bonded_model::tree`]. A site of exactly one project answers the same content
//! without the project in front, so that the layout of dl.k8s.io holds:
//!
//! ```text
//! /                     page of all projects, or of the only one
//! /releases.json        list of all projects, or the releases of the only one
//! /<project>/…          page, releases.json, markers, release/<version>/…
//! /release/<version>/…  the only project's, as are /stable.txt and /release/stable.txt
//! /blobs/sha256/<hex>   what the images of releases consist of
//! ```
//!
//! Lists and pages are made when they are asked for: with many large releases they would need more
//! memory than everything else here. Knows nothing of HTTP and of blobs.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bonded_model::inventory::{self, Admission, ListedDocument};
use bonded_model::json::to_canonical;
use bonded_model::marker::markers;
use bonded_model::media_type::OCTET_STREAM;
use bonded_model::{
    Algorithm, Artifact, ArtifactPath, Descriptor, Digest, Project, Release, Version, tree,
};
use bonded_store::references;
use bonded_verify::Verified;
use serde::Serialize;

use crate::content::{Cache, Content};
use crate::error::ServeError;
use crate::{media, page};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where the blobs of images stand, as in an OCI image layout.
const BLOBS: &str = "blobs/sha256/";

/// All that is visible.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) projects: BTreeMap<Project, ProjectView>,
    /// The blobs of all images.
    blobs: BTreeMap<Digest, Descriptor>,
}

/// One project.
#[derive(Debug, Default)]
pub(crate) struct ProjectView {
    pub(crate) markers: BTreeMap<String, Version>,
    pub(crate) releases: BTreeMap<Version, ReleaseView>,
}

/// One release, with the documents that its verdict looked at, in the order of their paths.
#[derive(Debug)]
pub(crate) struct ReleaseView {
    verified: Verified<Release>,
    documents: Vec<ListedDocument>,
    /// Every blob of its images.
    blobs: Vec<Descriptor>,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Content(Content),
    /// A directory that was asked for without the slash at its end.
    Directory,
    Nothing,
}

#[derive(Serialize)]
struct WireProjects<'a> {
    projects: Vec<WireProject<'a>>,
}

#[derive(Serialize)]
struct WireProject<'a> {
    project: &'a Project,
    releases: String,
}

impl ReleaseView {
    /// A verified release, its documents as [`inventory::list`] gives them, and the blobs of its images.
    pub(crate) fn new(
        verified: Verified<Release>,
        documents: Vec<ListedDocument>,
        blobs: Vec<Descriptor>,
    ) -> Self {
        Self { verified, documents, blobs }
    }

    pub(crate) fn release(&self) -> &Release {
        self.verified.get()
    }

    pub(crate) fn verified(&self) -> &Verified<Release> {
        &self.verified
    }

    pub(crate) fn documents(&self) -> &[ListedDocument] {
        &self.documents
    }

    pub(crate) fn admission(&self) -> Admission {
        let verdict = self.verified.verdict();
        Admission {
            policy: verdict.policy_digest(),
            trust_root: verdict.trust_root_digest(),
            evidence: verdict.evidence_digest(),
        }
    }

    fn find(&self, rest: &str) -> Found {
        match rest {
            "" => html(page::release(self)),
            ".bonded/release.json" => {
                let bytes = inventory::release_json(self.release());
                Found::Content(Content::inline(bytes, JSON, Cache::Immutable))
            }
            ".bonded/evidence.json" => {
                json(inventory::evidence_json(self.release(), &self.documents, &self.admission()))
            }
            _ => self.find_file(rest).map_or(Found::Nothing, Found::Content),
        }
    }

    fn find_file(&self, rest: &str) -> Option<Content> {
        let path = rest.parse::<ArtifactPath>().ok(); // another text names no artifact
        let artifact = path.and_then(|path| self.release().artifact(&path));
        if let Some(Artifact { path, file, .. }) = artifact {
            let content_type = match artifact.is_some_and(Artifact::is_image) {
                true => Cow::Owned(file.media_type.to_string()),
                false => Cow::Borrowed(media::type_of(path.as_str())),
            };
            return Some(Content::stored(file.digest, file.size, content_type));
        }
        let at = self.documents.binary_search_by(|document| document.path.as_str().cmp(rest));
        let document = self.documents.get(at.ok()?)?; // not found is an answer
        let ListedDocument { media_type, digest, size, .. } = document;
        Some(Content::stored(*digest, *size, Cow::Owned(media_type.to_string())))
    }

    /// Every path below the release's directory that a file or a document has.
    fn inner_paths(&self) -> impl Iterator<Item = &str> {
        let files = self.release().artifacts().iter().map(|artifact| artifact.path.as_str());
        files.chain(self.documents.iter().map(|document| document.path.as_str()))
    }
}

impl ProjectView {
    fn find(&self, project: &Project, rest: &str) -> Found {
        if rest.is_empty() {
            return html(page::project(project, self));
        }
        if rest == "releases.json" {
            return json(inventory::releases_json(project, &self.entries()));
        }
        let (inside_release, name) = match rest.strip_prefix("release/") {
            Some(name) => (true, name),
            None => (false, rest),
        };
        if let Some(version) = name.strip_suffix(".txt").and_then(|name| self.markers.get(name)) {
            let bytes = inventory::marker_text(version);
            return Found::Content(Content::inline(bytes, TEXT, Cache::Short));
        }
        if inside_release { self.find_in_release(name) } else { Found::Nothing }
    }

    fn find_in_release(&self, rest: &str) -> Found {
        let (version, inner) = rest.split_once('/').map_or((rest, None), |(v, r)| (v, Some(r)));
        let version = version.parse::<Version>().ok(); // another text names no release
        match (version.and_then(|version| self.releases.get(&version)), inner) {
            (Some(release), Some(inner)) => release.find(inner),
            (Some(_), None) => Found::Directory,
            (None, _) => Found::Nothing,
        }
    }

    fn entries(&self) -> Vec<inventory::Entry<'_>> {
        let releases = self.releases.values();
        releases
            .map(|view| inventory::Entry { release: view.release(), admission: view.admission() })
            .collect()
    }
}

impl Tree {
    /// Adds a release.
    ///
    /// # Errors
    /// [`ServeError::Twice`] if it is there already; that one stays.
    pub(crate) fn add(&mut self, mut view: ReleaseView) -> Result<(), ServeError> {
        let name = view.release().name().clone();
        let project = self.projects.entry(name.project.clone()).or_default();
        match project.releases.entry(name.version.clone()) {
            Entry::Occupied(_) => Err(ServeError::Twice { release: name }),
            Entry::Vacant(place) => {
                let blobs = std::mem::take(&mut view.blobs);
                self.blobs.extend(blobs.into_iter().map(|blob| (blob.digest, blob)));
                place.insert(view);
                Ok(())
            }
        }
    }

    /// Points the markers, once all releases are there.
    pub(crate) fn point_markers(&mut self) {
        for project in self.projects.values_mut() {
            project.markers = markers(project.releases.keys());
        }
    }

    /// What stands at a decoded, canonical path.
    pub(crate) fn find(&self, path: &str) -> Found {
        let rest = path.strip_prefix('/').unwrap_or(path);
        match (rest, self.only_project()) {
            ("", None) => html(page::projects(self)),
            ("releases.json", None) => json(self.projects_json()),
            _ => self.find_in_projects(rest),
        }
    }

    fn find_in_projects(&self, rest: &str) -> Found {
        let (name, inner) = rest.split_once('/').map_or((rest, None), |(n, r)| (n, Some(r)));
        let named = self.named(name);
        let found = match (named, inner) {
            (Some((project, view)), Some(inner)) => view.find(project, inner),
            _ => Found::Nothing,
        };
        if found != Found::Nothing {
            return found;
        }
        let below_only = self.only_project().map(|(project, view)| view.find(project, rest));
        match below_only {
            Some(found) if found != Found::Nothing => found,
            _ if named.is_some() && inner.is_none() => Found::Directory,
            _ => self.find_blob(rest).map_or(Found::Nothing, Found::Content),
        }
    }

    /// A manifest goes out as what it is. What a layer calls itself is its author's choice, and must not
    /// run as a page of this server.
    fn find_blob(&self, rest: &str) -> Option<Content> {
        let hex = rest.strip_prefix(BLOBS)?;
        let digest = Digest::from_hex(Algorithm::Sha256, hex).ok()?; // another text names no blob
        let Descriptor { media_type, size, .. } = self.blobs.get(&digest)?;
        let content_type = match references::is_manifest(media_type) {
            true => Cow::Owned(media_type.to_string()),
            false => Cow::Borrowed(OCTET_STREAM),
        };
        Some(Content::stored(digest, *size, content_type))
    }

    /// The project, if there is exactly one.
    pub(crate) fn only_project(&self) -> Option<(&Project, &ProjectView)> {
        let mut projects = self.projects.iter();
        projects.next().filter(|_| projects.next().is_none())
    }

    pub(crate) fn named(&self, name: &str) -> Option<(&Project, &ProjectView)> {
        let name = name.parse::<Project>().ok()?; // another text names no project
        self.projects.get_key_value(&name)
    }

    /// Every path, decoded, in its canonical place.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = BTreeSet::from(["/".to_owned(), "/releases.json".to_owned()]);
        paths.extend(self.blobs.keys().map(|digest| format!("/{BLOBS}{}", digest.hex())));
        for (project, view) in &self.projects {
            paths.insert(format!("/{project}/"));
            paths.insert(format!("/{}", tree::releases_json(project)));
            paths.extend(
                view.markers.keys().map(|name| format!("/{}", tree::marker(project, name))),
            );
            for release in view.releases.values() {
                let name = release.release().name();
                let directory = format!("/{}/", tree::release(name));
                paths.insert(format!("/{}", tree::inventory(name)));
                paths.insert(format!("/{}", tree::evidence_list(name)));
                paths.extend(release.inner_paths().map(|inner| format!("{directory}{inner}")));
                paths.insert(directory);
            }
        }
        paths.into_iter().collect()
    }

    /// What stands directly in a directory, a path that ends with `/`; directories end with `/`.
    pub(crate) fn children(&self, directory: &str) -> BTreeSet<String> {
        let rest = directory.strip_prefix('/').unwrap_or(directory);
        let mut children = BTreeSet::new();
        if rest.is_empty() {
            children.extend(self.projects.keys().map(|project| format!("{project}/")));
            children.insert("releases.json".to_owned());
        }
        if let Some((name, inner)) = rest.split_once('/')
            && let Some((_, view)) = self.named(name)
        {
            children.extend(view.children(inner));
        }
        if let Some((_, view)) = self.only_project() {
            children.extend(view.children(rest));
        }
        children
    }

    fn projects_json(&self) -> Vec<u8> {
        let projects = self
            .projects
            .keys()
            .map(|project| WireProject { project, releases: tree::releases_json(project) });
        to_canonical(&WireProjects { projects: projects.collect() })
    }
}

impl ProjectView {
    fn children(&self, rest: &str) -> BTreeSet<String> {
        let marker_files = self.markers.keys().map(|name| format!("{name}.txt"));
        match rest.split_once('/') {
            None if rest.is_empty() => {
                let fixed = ["release/", "releases.json"].map(str::to_owned);
                fixed.into_iter().chain(marker_files).collect()
            }
            Some(("release", "")) => {
                self.releases.keys().map(|version| format!("{version}/")).collect()
            }
            Some(("release", rest)) => self.release_children(rest),
            _ => BTreeSet::new(),
        }
    }

    fn release_children(&self, rest: &str) -> BTreeSet<String> {
        let Some((version, inner)) = rest.split_once('/') else {
            return BTreeSet::new();
        };
        let version = version.parse::<Version>().ok(); // another text names no release
        let Some(release) = version.and_then(|version| self.releases.get(&version)) else {
            return BTreeSet::new();
        };
        let below = release.inner_paths().filter_map(|path| path.strip_prefix(inner));
        below.map(first_component).collect()
    }
}

/// `a` of `a`, and `a/` of `a/b`.
fn first_component(path: &str) -> String {
    path.split_once('/').map_or_else(|| path.to_owned(), |(first, _)| format!("{first}/"))
}

fn html(text: String) -> Found {
    Found::Content(Content::inline(text, HTML, Cache::Short))
}

fn json(bytes: Vec<u8>) -> Found {
    Found::Content(Content::inline(bytes, JSON, Cache::Short))
}
