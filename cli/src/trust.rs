//! Trusted roots from TUF repositories: how one is fetched and verified, and where it is kept.
//!
//! ```text
//! repository ─ guarded ─▶ TUF client ─ verified ─▶ trusted_root.json ─▶ kept for the user, by digest
//! ```
//!
//! This is the only part of bonded that fetches trust, and it does so when somebody says `trust update`.
//! Whoever reaches verdicts reads what is kept, if it was named, and asks nobody.

pub(crate) mod client;
pub(crate) mod kept;
pub(crate) mod repository;
