//! HTTP over a store: the public tree of verified releases, their pages and lists.
//!
//! ```text
//! Verified<Release> ─▶ Site ─▶ view (path ─▶ content) ─▶ answer (status, headers, part) ─▶ body (checked bytes)
//!                        ▲ replaced as a whole while the server runs
//! ```
//!
//! Only releases that come with their proof are visible, and no byte of a file goes out before the
//! whole file was found to be the one that its digest names. This crate does not know how a verdict
//! is reached, nor mirrors, environment and terminal; it never prints.

mod address;
mod answer;
mod blobs;
mod body;
mod bridge;
mod condition;
mod content;
mod error;
mod event;
mod media;
mod nearby;
mod page;
mod range;
mod respond;
mod server;
mod site;
mod stall;
mod view;

pub use error::ServeError;
pub use event::{Event, Events};
pub use server::{Handle, Server};
pub use site::Site;
