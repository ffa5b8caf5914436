//! Bytes on disk: a content-addressed store of releases and their evidence.
//!
//! A store is a directory that is also an OCI Image Layout. Blobs are immutable and checked whenever
//! they are read; one small file, ROOT, names the newest catalog and is replaced atomically. One
//! writer at a time; any number of readers, without locks. What the files look like is written at the
//! head of the modules.
//!
//! This crate knows no policy, signatures, sockets, async or clock.

pub mod catalog;
pub mod disk;
pub mod export;
pub mod facts;
pub mod fsck;
pub mod gc;
pub mod image;
pub mod ingest;
pub mod journal;
pub mod lock;
pub mod references;
pub mod sniff;

mod attach;
mod blob;
mod closure;
mod error;
mod hashing;
mod history;
mod index;
mod kinds;
mod layout;
mod lease;
mod papers;
mod parallel;
mod quarantine;
mod reach;
mod recognise;
mod root;
mod sha512;
mod snapshot;
mod stage;
mod store;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files by hand")]
mod tests;
mod writer;

pub use attach::{AttachEachRequest, AttachRequest, NewDocument, attach, attach_each};
pub use blob::{BlobReader, VerifiedBlob};
pub use catalog::Catalog;
pub use error::StoreError;
pub use facts::{BlobFacts, Facts};
pub use index::{IndexSetting, IndexState};
pub use journal::{Journal, JournalError};
pub use lease::{Lease, LeaseInfo};
pub use lock::Holder;
pub use papers::Papers;
pub use recognise::RecogniseError;
pub use root::RootError;
pub use snapshot::{Gathered, Snapshot};
pub use store::Store;
pub use writer::Writer;
