//! The nouns of bonded: digests, descriptors, OCI manifests, DSSE envelopes, in-toto statements, SLSA
//! predicates, SBOM views, names, releases, evidence and limits.
//!
//! Everything here is a value and a strict parse or a canonical writing of it. This crate knows no
//! files, sockets, clocks, environment, threads, nor any other crate of the workspace.

pub mod bundle;
pub mod checksums;
pub mod content_kind;
pub mod cosign;
pub mod descriptor;
pub mod detached;
pub mod digest;
pub mod dsse;
pub mod evidence;
pub mod inventory;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod marker;
pub mod media_type;
pub mod name;
pub mod predicate;
pub mod release;
pub mod sbom;
pub mod slsa;
pub mod spelling;
pub mod statement;
pub mod timestamp;
pub mod toml_text;
pub mod tree;
pub mod vsa;

pub use content_kind::ContentKind;
pub use descriptor::{Descriptor, Platform};
pub use digest::{Algorithm, Digest};
pub use evidence::{Document, DocumentKind, Evidence};
pub use media_type::MediaType;
pub use name::{ArtifactPath, ImageName, Project, ReleaseName, Repository, Tag, Version};
pub use release::{Artifact, Release};
pub use timestamp::Timestamp;
