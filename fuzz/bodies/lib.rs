//! The bodies of the fuzz targets: each takes bytes that somebody else wrote to a parser, and holds what is
//! promised of it. A body returns, or panics; whether the bytes are refused is not its business.
//!
//! cargo-fuzz runs them from `fuzz_targets`, and `tests/corpus.rs`, which includes this module, over the
//! corpus and over small changes of it. A private parser is reached through the nearest public entrance.

#![allow(unreachable_pub, reason = "a library for cargo-fuzz, a module of a test elsewhere")]
#![allow(clippy::disallowed_methods, reason = "some bodies put the bytes on the disk")]

mod documents;
mod pieces;
mod policies;
mod requests;
mod stores;
mod verdicts;

/// What is done with the bytes.
pub type Body = fn(&[u8]);

/// Every target. Each has a file in `fuzz_targets` and a folder in `corpus`.
pub const TARGETS: [(&str, Body); 36] = [
    ("json", documents::json),
    ("names", documents::names),
    ("statement", documents::statement),
    ("predicate", documents::predicate),
    ("envelope", documents::envelope),
    ("sbom", documents::sbom),
    ("checksums", documents::checksums),
    ("manifest", documents::manifest),
    ("listing", documents::listing),
    ("mirror_plan", documents::mirror_plan),
    ("mirror_record", documents::mirror_record),
    ("sniff", documents::sniff),
    ("bundle", verdicts::bundle),
    ("evidence", verdicts::evidence),
    ("cosign_layer", verdicts::cosign_layer),
    ("cosign_files", verdicts::cosign_files),
    ("metablock", verdicts::metablock),
    ("cached_verdict", verdicts::cached_verdict),
    ("certificate", pieces::certificate),
    ("timestamp", pieces::timestamp),
    ("log_body", pieces::log_body),
    ("checkpoint", pieces::checkpoint),
    ("promise", pieces::promise),
    ("policy", policies::policy),
    ("expression", policies::expression),
    ("pattern", policies::pattern),
    ("public_key", policies::public_key),
    ("trust_root", policies::trust_root),
    ("store_root", stores::root),
    ("catalog_page", stores::page),
    ("journal", stores::journal),
    ("facts_record", stores::facts_record),
    ("archive", stores::archive),
    ("layout", stores::layout),
    ("sidecar", stores::sidecar),
    ("request", requests::request),
];

/// Runs the body of a target.
///
/// # Panics
/// If there is no target of that name, or something promised does not hold.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, body) = found.expect("a target of that name");
    body(bytes);
}

/// Holds that bodies get to what they are named after: that good bytes are taken for good.
///
/// # Panics
/// If one does not.
pub fn reach() {
    pieces::reach();
    policies::reach();
    stores::reach();
    verdicts::reach();
}
