//! Where things lie in a store's directory, as pure functions.
//!
//! ```text
//! <store>/oci-layout               {"imageLayoutVersion":"1.0.0"}
//! <store>/index.json               generated, see `index`
//! <store>/blobs/sha256/<64 hex>    every byte held
//! <store>/bonded/ROOT              see `root`
//! <store>/bonded/epochs/<N>        what ROOT was at epoch N, in 20 digits, see `history`
//! <store>/bonded/no-index          if it is there, the store is kept without index.json, see `index`
//! <store>/bonded/lock              see `lock`
//! <store>/bonded/staging/<work>/   see `lease`: temporary files, a directory for each running work
//! <store>/bonded/quarantine/       blobs that were found damaged
//!   unreachable/<time>/<64 hex>    blobs that nothing referred to, by the time at which that was found
//! <store>/bonded/journal/<name>    see `journal`
//! <store>/bonded/facts.redb        see `facts`, and others of that name with an ending
//! ```

use std::path::{Path, PathBuf};

use bonded_model::Digest;

/// The one content that `oci-layout` may have (OCI image-spec, image-layout.md, "oci-layout file").
pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// From a store's directory, what says that it is kept without `index.json`.
pub(crate) const NO_INDEX: &str = "bonded/no-index";

/// The paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
}

impl Layout {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn oci_layout(&self) -> PathBuf {
        self.directory.join("oci-layout")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.directory.join("index.json")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.directory.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The directory of everything that is not part of the OCI layout.
    pub(crate) fn own(&self) -> PathBuf {
        self.directory.join("bonded")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.own().join("ROOT")
    }

    /// What says that the store is kept without `index.json`.
    pub(crate) fn no_index(&self) -> PathBuf {
        self.directory.join(NO_INDEX)
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.own().join("lock")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.own().join("staging")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.own().join("quarantine")
    }

    /// Where gc sets blobs aside, in a directory for each of its runs.
    pub(crate) fn unreachable(&self) -> PathBuf {
        self.quarantine().join("unreachable")
    }

    /// Where blobs are moved that are not what they are named.
    pub(crate) fn damaged(&self) -> PathBuf {
        self.quarantine().join("damaged")
    }

    /// Where one run of gc sets blobs aside.
    pub(crate) fn generation(&self, seconds: i64) -> PathBuf {
        self.unreachable().join(format!("{seconds:020}"))
    }

    /// What ROOT was at each epoch that is kept.
    pub(crate) fn epochs(&self) -> PathBuf {
        self.own().join("epochs")
    }

    /// What ROOT was at one epoch.
    pub(crate) fn epoch(&self, epoch: u64) -> PathBuf {
        self.epochs().join(format!("{epoch:020}"))
    }

    /// Where the record of an epoch is moved that ROOT does not lead to.
    pub(crate) fn epoch_aside(&self, epoch: u64, digest: &str) -> PathBuf {
        self.quarantine().join(format!("epoch-{epoch:020}-{digest}"))
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.own().join("journal")
    }

    /// The name of the database says which engine wrote it.
    pub(crate) fn facts(&self) -> PathBuf {
        self.own().join(if cfg!(feature = "sled") { "facts.sled" } else { "facts.redb" })
    }
}
