//! Mirrors: verified releases out to directories and buckets.
//!
//! `Desired − Observed = Plan`, and a plan is run with a journal:
//!
//! ```text
//! Snapshot + Verified<Release>… ─▶ Desired ─┐
//!                                           ├─ plan ─▶ Plan ─ apply ─▶ ApplyReport
//! Destination ─ observe ─▶ Observed ────────┘            ▲
//! Ledger (what is known to be done) ─────────────────────┘
//! ```
//!
//! A destination gets content-addressed manifests, evidence, artifacts; then everything that
//! arrived is read back; then inventories, lists and, last of all, markers. At every instant
//! whatever a list or a marker names is already there with its evidence.
//!
//! This crate does not know how a verdict is reached, and reads neither clock nor environment. It is
//! async because of the sockets; the store is read through one bridge.

mod apply;
mod backend;
mod bridge;
mod covered;
mod desired;
mod destination;
mod error;
mod fault;
mod journal;
mod limits;
mod markers;
mod merge;
mod objects;
mod observed;
mod plan;
mod progress;
mod report;
mod retry;
mod settle;
mod site;
mod status;
mod transfer;

#[cfg(test)]
extern crate self as bonded_mirror;

#[cfg(test)]
#[path = "../tests/conformance.rs"]
mod conformance;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their directories themselves")]
mod places;
#[cfg(test)]
#[allow(dead_code, reason = "the whole runs in tests/ use the rest")]
#[path = "../tests/s3.rs"]
mod s3;

pub use apply::apply;
pub use backend::{Answer, Backend, Chunks, Expected, Put, Seen, Upload};
pub use desired::{Class, Desired, Object};
pub use destination::{ConfigError, Destination, DestinationConfig, Locality, S3Options};
pub use error::{At, MirrorError, Side};
pub use fault::{Fault, FaultKind, Operation};
pub use journal::{Known, Ledger, NAME as JOURNAL, Records, State};
pub use observed::{Observed, observe};
pub use plan::{Action, DestinationPlan, Plan, PlanError, Step, plan};
pub use progress::Progress;
pub use report::{ApplyReport, Counts, DestinationReport, Failure, MarkerOutcome};
pub use retry::RetryPolicy;
pub use status::{Contents, DestinationStatus, MarkerStatus, ReleaseStatus, status};
