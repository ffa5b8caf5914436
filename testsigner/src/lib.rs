//! A Sigstore instance in memory, for tests: authorities, logs and clocks that make bundles which verify
//! under a trust root of their own, and bundles with exactly one chosen defect.
//!
//! ```text
//! World ── keyless(&Request) ─▶ Draft ── with(Defect) ─▶ Draft ── to_json() ─▶ bundle
//!   └──── trusted_root() ─▶ trusted_root.json
//! ```
//!
//! It signs only; it does not know what verifies and shares no code with it, so that both can be wrong
//! independently. Nothing here reads a clock or a file: times are arguments and keys come from labels.
//! It is a dependency of tests and benchmarks and of nothing that is shipped.

mod bundle;
mod certificate;
mod cosign;
mod ct;
mod defect;
mod der;
mod key;
mod log;
mod request;
mod tsa;
mod tuf;
mod world;

pub use bundle::{Draft, envelope};
pub use certificate::Window;
pub use cosign::image_payload;
pub use defect::Defect;
pub use key::{Key, KeyKind};
pub use request::{Authority, BundleVersion, Claim, Content, Extensions, Log, Request};
pub use tuf::{TufRepository, TufRole};
pub use world::World;

/// SHA-256.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = bonded_model::Digest::sha256_of(bytes);
    digest.as_bytes().try_into().expect("SHA-256 has 32 bytes")
}
