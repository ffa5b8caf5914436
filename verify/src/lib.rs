//! Evidence in, verdict out: signatures, SLSA provenance, SBOMs, checksums, policy and summary.
//!
//! Everything here is a pure function of evidence, policy, trust root and `now`. This crate knows no
//! store, files, sockets, async, environment or clock; rayon, in the engine and in `facts`, is its only
//! concurrency.
//!
//! ```text
//! Evidence ─▶ document (signed once, read once) ─▶ rules ─▶ findings ─▶ Verdict ─▶ Summary
//!                     ▲                              ▲                    │
//!              Verifier (TrustRoot)               Policy                  └─▶ Verified<Release>
//! ```

mod attestation;
mod code;
mod engine;
mod expression;
mod facts;
mod file;
mod finding;
mod identity;
mod key;
#[cfg(feature = "in-toto")]
mod layout;
mod legacy;
mod moment;
mod pattern;
pub mod policy;
mod provenance;
mod roots;
mod sbom;
mod signature;
mod summary;
mod sums;
mod trust;
mod verdict;
mod vsa;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod testing;

pub use code::Code;
pub use engine::{verify_release, verify_summary};
pub use file::{FileExpectation, FileQuestion, verify_file};
pub use finding::{Finding, Severity};
pub use key::{PublicKey, PublicKeyError};
pub use policy::{Policy, PolicyError, ResourceTemplate, Unheard};
pub use signature::Verifier;
pub use summary::SummaryRequest;
pub use trust::{Change, LogDetails, Member, MemberKind, TrustRoot, TrustRootError};
pub use verdict::{
    AcceptedDocument, ArtifactVerdict, CacheKey, CacheQuestion, Role, SignedBy, Verdict, Verified,
};
