//! Layouts and archives of every living kind, and of some that should not live.

mod adopting;
mod artifacts;
mod evidence;
mod layouts;
mod limits;
mod releases;
mod saved;
pub(crate) mod tar;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonded_model::descriptor::ANNOTATION_REF_NAME;
use bonded_model::manifest::Index;
use bonded_model::{Descriptor, Digest, ImageName, MediaType, Repository, media_type};

use super::{ImportError, ImportReport, ImportRequest, import};
use crate::catalog::Key;
use crate::tests::image::Image;
use crate::tests::{World, holder};
use tar::Tar;

const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A layout that grows.
#[derive(Clone, Default)]
pub(super) struct Layout {
    pub(super) entries: Vec<Descriptor>,
    pub(super) blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Layout {
    /// With an image under this ref.name; none if it is empty.
    pub(super) fn with(self, name: &str, image: &Image) -> Self {
        let annotations: &[(&str, &str)] = match name {
            "" => &[],
            name => &[(ANNOTATION_REF_NAME, name)],
        };
        self.annotated(annotations, image)
    }

    pub(super) fn annotated(mut self, annotations: &[(&str, &str)], image: &Image) -> Self {
        let mut entry = image.top.clone();
        let owned = annotations.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        entry.annotations = owned.collect();
        self.entries.push(entry);
        self.blobs.extend(image.blobs.clone());
        self
    }

    pub(super) fn index(&self) -> Vec<u8> {
        Index::plain(self.entries.clone()).to_bytes()
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let blobs = self.blobs.iter();
        let blobs = blobs.map(|(digest, bytes)| (super::source::blob_name(digest), bytes.clone()));
        let tops = [("oci-layout", OCI_LAYOUT.to_vec()), ("index.json", self.index())];
        blobs.chain(tops.map(|(name, bytes)| (name.to_owned(), bytes))).collect()
    }

    pub(super) fn write(&self, directory: &Path) -> PathBuf {
        for (name, bytes) in self.files() {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        directory.to_owned()
    }

    pub(super) fn archive(&self) -> Vec<u8> {
        let tar = Tar::default().directory("blobs/").directory("blobs/sha256/");
        self.files().iter().fold(tar, |tar, (name, bytes)| tar.file(name, bytes)).finish()
    }
}

/// How an import is asked for.
#[derive(Clone, Default)]
pub(super) struct Ask<'a> {
    pub(super) references: &'a [&'a str],
    pub(super) repository: &'a str,
    pub(super) name: &'a str,
    pub(super) releases: bool,
}

impl World {
    pub(super) fn import(&self, source: &Path) -> Result<ImportReport, ImportError> {
        self.import_as(source, Ask::default())
    }

    pub(super) fn import_as(
        &self,
        source: &Path,
        ask: Ask<'_>,
    ) -> Result<ImportReport, ImportError> {
        let references: Vec<String> = ask.references.iter().map(|text| (*text).into()).collect();
        let repository: Option<Repository> = ask.repository.parse().ok();
        let name: Option<ImageName> = ask.name.parse().ok();
        let request = ImportRequest {
            source,
            references: &references,
            repository: repository.as_ref(),
            name: name.as_ref(),
            releases: ask.releases,
            holder: &holder(),
            wait: Duration::from_secs(20),
        };
        import(&self.store, &request, &())
    }

    /// Imports a layout that is written to a directory of its own.
    pub(super) fn import_layout(&self, layout: &Layout) -> Result<ImportReport, ImportError> {
        self.import(
            &layout.write(tempfile::tempdir_in(&self.inputs).unwrap().path().join("l").as_path()),
        )
    }

    /// What the catalog has under the name of an image.
    pub(super) fn image(&self, name: &str) -> Option<Digest> {
        let name: ImageName = name.parse().unwrap();
        let snapshot = self.store.snapshot().unwrap();
        let held = snapshot.catalog().get(&Key::image(&name.repository, &name.tag)).unwrap();
        held.map(|image| image.digest)
    }

    /// The referrers of a digest, with the convention that is noted.
    pub(super) fn referrers(&self, subject: &Digest) -> Vec<(Digest, Option<String>)> {
        let referrers = self.store.snapshot().unwrap().referrers(subject).unwrap();
        let noted = |referrer: &Descriptor| referrer.annotations.values().next().cloned();
        referrers.iter().map(|referrer| (referrer.digest, noted(referrer))).collect()
    }

    /// That the store is as it was made: no epoch, no blob and no file more.
    pub(super) fn must_be_untouched(&self) {
        assert_eq!(self.store.snapshot().unwrap().epoch(), 0);
        assert_eq!(fs::read_dir(self.store_path.join("blobs/sha256")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(self.store_path.join("bonded/staging")).unwrap().count(), 0);
    }
}

/// An index over these descriptors with no blobs but itself.
pub(super) fn index_of(manifests: Vec<Descriptor>) -> Image {
    let bytes = Index::plain(manifests).to_bytes();
    let top = Descriptor::of(MediaType::known(media_type::OCI_INDEX), &bytes);
    Image { blobs: [(top.digest, bytes)].into(), top }
}

/// An image whose own manifest is these bytes.
pub(super) fn image_of(media_type: &str, bytes: &[u8]) -> Image {
    let top = Descriptor::of(media_type.parse().unwrap(), bytes);
    Image { blobs: [(top.digest, bytes.to_vec())].into(), top }
}
