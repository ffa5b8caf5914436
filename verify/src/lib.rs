//! Evidence in, verdict out: signatures, SLSA provenance, SBOMs, checksums, policy and summary.
//!
//! Everything here is a pure function of evidence, policy, trust root and `now`. This crate knows no
//! store, files, sockets, async, environment or clock; rayon in the engine is its only concurrency.
//!
//! ```text
//! Evidence ─▶ document (signed once, read once) ─▶ rules ─▶ findings ─▶ Verdict ─▶ Summary
//!                     ▲                              ▲                    │
//!              Verifier (TrustRoot)               Policy                  └─▶ Verified<Release>
//! ```

mod code;
mod finding;
mod summary;
mod verdict;

pub use code::Code;
pub use finding::{Finding, Severity};
pub use summary::SummaryRequest;
pub use verdict::{AcceptedDocument, ArtifactVerdict, Role, SignedBy, Verdict, Verified};
