//! `index.json`: what other OCI tools see of the store. An output, never read as truth.
//!
//! It lists every release index under `org.opencontainers.image.ref.name` = `<project>/<version>`, and
//! every image under `<repository>:<tag>`, forms that both the annotation's grammar (OCI image-spec,
//! annotations.md) and skopeo's `oci:<directory>:<reference>` accept. An annotation holds the digest of
//! the list, so that a list which somebody else changed can be told from one that is merely behind;
//! another names what the list was made from, so that a writer sees without making it anew that it is up
//! to date.
//!
//! It grows with every name, and is written as a whole. A store with very many is kept without it: then there
//! is an empty file `bonded/no-index`, which every writer honours (see `keep`).

mod keep;

use bonded_model::descriptor::ANNOTATION_REF_NAME;
use bonded_model::json;
use bonded_model::manifest::{Index, ManifestError};
use bonded_model::{Descriptor, Digest};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Key};
use crate::disk::{Disk, DiskError};
use crate::error::StoreError;
use crate::layout::Layout;

pub(crate) use keep::{begin, read_setting, set, take_back, tend};

/// The digest of the list beside it, over its canonical JSON.
const ANNOTATION_LIST: &str = "vnd.bonded.list";

/// The digest of what the list was made from, see [`Catalog::fingerprint`].
const ANNOTATION_SOURCE: &str = "vnd.bonded.source";

/// Keys with these beginnings are listed.
const LISTED: [&str; 2] = [Key::RELEASES, Key::IMAGES];

/// The longest `index.json` that is written or read: 64 MiB are some 200,000 releases.
const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Whether a store is kept with `index.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexSetting {
    /// With it, so that other OCI tools see what the store holds.
    On,
    /// Without it, so that no commit has to write a list of all names.
    Off,
}

/// How `index.json` stands to the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexState {
    /// It is what the catalog gives.
    Current,
    /// It is missing; the next writer makes it.
    Missing,
    /// It is ours, but older or newer than this view of the catalog: a commit is under way or died
    /// half-way. The next writer brings it up to date.
    Behind,
    /// Somebody else changed it. It is left alone, and so does not list newer releases; moving it
    /// away lets the next writer make it again.
    Foreign,
    /// It would be longer than any reader takes, and is not written any more.
    TooLong,
    /// It is not there, as it should be: the store is kept without it.
    Off,
    /// It is ours, but the store is kept without it. The next writer removes it.
    Unwanted,
}

/// The bytes of `index.json` for a catalog.
pub(crate) fn generate(catalog: &Catalog) -> Result<Vec<u8>, StoreError> {
    let mut listed = Vec::new();
    for entry in catalog.scan(Key::RELEASES) {
        let (key, mut descriptor) = entry?;
        let tag = key.as_str().strip_prefix(Key::RELEASES).unwrap_or(key.as_str());
        descriptor.annotations.insert(ANNOTATION_REF_NAME.to_owned(), tag.to_owned());
        listed.push(descriptor);
    }
    for entry in catalog.scan(Key::IMAGES) {
        let (key, mut descriptor) = entry?;
        let Some(name) = key.to_image() else { continue }; // no other key is ever written there
        descriptor.annotations.insert(ANNOTATION_REF_NAME.to_owned(), name.to_string());
        listed.push(descriptor);
    }
    Ok(to_bytes(listed, catalog.fingerprint(&LISTED)?))
}

/// The bytes of `index.json` for a catalog without entries.
pub(crate) fn empty() -> Vec<u8> {
    to_bytes(Vec::new(), Catalog::fingerprint_of_nothing())
}

/// Whether a change of a catalog changes the list.
pub(crate) fn is_listed_anew(catalog: &Catalog) -> bool {
    LISTED.iter().any(|prefix| catalog.is_changed_at(prefix))
}

/// Whether the file begins like one that was made from this catalog, or from one that lists the same.
/// Costs the same however long the list is, and does not notice what somebody else did to the end of it.
pub(crate) fn is_at_first_sight_from(
    disk: &Disk,
    layout: &Layout,
    catalog: &Catalog,
) -> Result<bool, StoreError> {
    let source = catalog.fingerprint(&LISTED)?;
    let list = format!("{{\"annotations\":{{\"{ANNOTATION_LIST}\":\"");
    let source = format!("\",\"{ANNOTATION_SOURCE}\":\"{source}\"}},");
    let digest_bytes = source_digest_bytes();
    let mut head = vec![0; list.len() + digest_bytes + source.len()];
    let read = disk.open(&layout.index()).and_then(|file| file.read_at(0, &mut head));
    let Ok(count) = read else { return Ok(false) }; // whoever looks closer says what is wrong
    let head = head.get(..count).unwrap_or_default();
    let rest = head.strip_prefix(list.as_bytes()).and_then(|rest| rest.get(digest_bytes..));
    Ok(rest == Some(source.as_bytes()))
}

/// The length of a digest as text.
fn source_digest_bytes() -> usize {
    Catalog::fingerprint_of_nothing().to_string().len()
}

fn to_bytes(listed: Vec<Descriptor>, source: Digest) -> Vec<u8> {
    let digest = digest_of(&listed);
    let mut index = Index::plain(listed);
    index.annotations.insert(ANNOTATION_SOURCE.to_owned(), source.to_string());
    index.annotations.insert(ANNOTATION_LIST.to_owned(), digest.to_string());
    index.to_bytes()
}

fn digest_of(listed: &[Descriptor]) -> Digest {
    Digest::sha256_of(&json::to_canonical(listed))
}

/// Compares the file with what it should be.
pub(crate) fn read_state(
    disk: &Disk,
    layout: &Layout,
    expected: &[u8],
) -> Result<IndexState, DiskError> {
    Ok(match Found::read(disk, layout)? {
        Found::Nothing if is_too_long(expected) => IndexState::TooLong,
        Found::Nothing => IndexState::Missing,
        Found::Bytes(found) if found == expected => IndexState::Current,
        found if !found.is_own() => IndexState::Foreign,
        _ if is_too_long(expected) => IndexState::TooLong,
        _ => IndexState::Behind,
    })
}

/// What the file is where the store is kept without it.
pub(crate) fn read_state_without(disk: &Disk, layout: &Layout) -> Result<IndexState, DiskError> {
    Ok(match Found::read(disk, layout)? {
        Found::Nothing => IndexState::Off,
        found if found.is_own() => IndexState::Unwanted,
        _ => IndexState::Foreign,
    })
}

/// What stands in the place of `index.json`.
enum Found {
    Nothing,
    /// No file, or one that is longer than any of ours.
    Unreadable,
    Bytes(Vec<u8>),
}

impl Found {
    fn read(disk: &Disk, layout: &Layout) -> Result<Self, DiskError> {
        match disk.read(&layout.index(), INDEX_BYTES_MAX) {
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(error) if error.is_not_found() => Ok(Self::Nothing),
            Err(DiskError::OverLimit { .. } | DiskError::NotAFile { .. }) => Ok(Self::Unreadable),
            Err(error) => Err(error),
        }
    }

    fn is_own(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if list_of(bytes).is_some())
    }
}

/// Whether a list has more than is ever read, and so must not be written.
fn is_too_long(expected: &[u8]) -> bool {
    u64::try_from(expected.len()).is_ok_and(|bytes| bytes > INDEX_BYTES_MAX)
}

/// What another tool has named in the file; nothing if it is this program's own.
pub(crate) fn foreign_entries(disk: &Disk, layout: &Layout) -> Result<Vec<Descriptor>, StoreError> {
    let path = layout.index();
    let bytes = match disk.read(&path, INDEX_BYTES_MAX) {
        Ok(bytes) if list_of(&bytes).is_some() => return Ok(Vec::new()),
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let source = match json::parse::<ForeignList>(&bytes, INDEX_BYTES_MAX) {
        Ok(ForeignList { schema_version: 2, manifests }) => return Ok(manifests),
        Ok(ForeignList { schema_version: found, .. }) => ManifestError::SchemaVersion { found },
        Err(source) => ManifestError::Json(source),
    };
    Err(StoreError::ForeignIndex { path, source })
}

/// Whether the file lists what it should, although it may have been made from an earlier catalog.
pub(crate) fn lists_the_same(
    disk: &Disk,
    layout: &Layout,
    expected: &[u8],
) -> Result<bool, DiskError> {
    let found = disk.read(&layout.index(), INDEX_BYTES_MAX)?;
    Ok(list_of(&found).is_some_and(|list| Some(list) == list_of(expected)))
}

/// What any tool's list must have (OCI image-spec, image-index.md). One without `manifests` is no empty
/// list: nobody could say what it keeps.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForeignList {
    schema_version: u32,
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// The digest of the list in a file that is ours.
fn list_of(bytes: &[u8]) -> Option<Digest> {
    // What cannot be parsed is somebody else's.
    let listed: Listed = json::parse(bytes, INDEX_BYTES_MAX).ok()?;
    let list = digest_of(&listed.manifests);
    let noted = listed.annotations.get(ANNOTATION_LIST)?;
    (*noted == list.to_string()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Pool;
    use crate::tests::World;
    use bonded_model::{MediaType, media_type};

    #[test]
    fn lists_that_are_longer_than_a_manifest_are_read() {
        let world = World::in_memory();
        let manifest = MediaType::known(media_type::OCI_MANIFEST);
        let entry = |number: u64| Descriptor::of(manifest.clone(), &number.to_le_bytes());
        let entries: Vec<Descriptor> = (0..40_000).map(entry).collect();
        let bytes = Index::plain(entries.clone()).to_bytes();
        assert!(bytes.len() as u64 > bonded_model::limits::MANIFEST_BYTES_MAX);
        let layout = &world.store.pool().layout;
        let disk = &world.store.pool().disk;
        disk.remove(&layout.index()).unwrap();
        disk.create(&layout.index(), 0o644).unwrap().write_all(&bytes).unwrap();
        assert_eq!(foreign_entries(disk, layout).unwrap(), entries);
        assert_eq!(world.store.index_state().unwrap(), IndexState::Foreign);
    }

    #[test]
    fn a_list_that_nobody_would_read_is_not_written() {
        let world = World::in_memory();
        let pool = world.store.pool();
        for (over, expected) in [(0, IndexState::Behind), (1, IndexState::TooLong)] {
            let bytes = vec![b' '; usize::try_from(INDEX_BYTES_MAX).unwrap() + over];
            assert_eq!(read_state(&pool.disk, &pool.layout, &bytes).unwrap(), expected);
        }
    }

    /// What another tool has listed is to be adopted, however long the list of ours would be.
    #[test]
    fn what_another_tool_wrote_is_told_before_the_length() {
        let world = World::in_memory();
        let Pool { disk, layout } = world.store.pool();
        let too_long = vec![b' '; usize::try_from(INDEX_BYTES_MAX).unwrap() + 1];
        let state = || read_state(disk, layout, &too_long).unwrap();
        disk.remove(&layout.index()).unwrap();
        assert_eq!(state(), IndexState::TooLong);
        disk.create(&layout.index(), 0o644).unwrap().write_all(b"{}").unwrap();
        assert_eq!(state(), IndexState::Foreign);
    }
}
