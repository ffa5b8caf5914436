//! Drives the built program as a user would: a few cases per verb, real input, bad input.
//!
//! Cases that need the public test vectors read them in place (`BONDED_VECTORS`, else
//! `../shared/vectors`) and say on standard error when they did not run.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests touch files and the environment directly, and an unwrap that fails is a failed test"
)]

mod attest;
mod bad_input;
mod cache;
mod care;
mod concurrency;
mod conformance;
mod detached;
// It damages the database of a default build.
#[cfg(not(feature = "sled"))]
mod facts;
mod history;
mod import;
mod ingest;
mod interop;
mod kill;
mod layouts;
mod mirror;
mod readme;
mod reports;
mod serve;
mod trust;
mod vectors;
mod world;
