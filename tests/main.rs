//! Drives the built program as a user would: a few cases per verb, real input, bad input.
//!
//! Cases that need the public test vectors read them in place (`BONDED_VECTORS`, else
//! `../shared/vectors`) and say on standard error when they did not run.

mod attest;
mod bad_input;
mod ingest;
mod mirror;
mod readme;
mod serve;
mod vectors;
mod world;
