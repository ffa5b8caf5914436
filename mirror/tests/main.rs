//! Mirror against directories, an S3 server in this process, and doubles that fail on purpose.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, in its helpers too")]
#![expect(clippy::disallowed_methods, reason = "tests look at the disk directly")]

mod conformance;
mod crash;
mod endpoints;
mod memory;
mod plans;
mod runs;
mod s3;
#[path = "../../tests/world/verified.rs"]
mod verified;
mod world;
