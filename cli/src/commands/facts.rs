//! `facts`: looks after what is known about blobs and can be computed again.

use bonded_store::facts::{RebuildReport, rebuild};
use serde_json::json;

use super::{Context, Outcome, reading_lease};
use crate::args::FactsVerb;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::report;

pub(super) fn run(context: &Context, verb: FactsVerb) -> Result<Outcome, CliError> {
    match verb {
        FactsVerb::Rebuild => run_rebuild(context),
    }
}

fn run_rebuild(context: &Context) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let _lease = reading_lease(&store, "facts rebuild")?;
    let progress = Progress::new("facts");
    let report = rebuild(&store, &progress).map_err(report::store_error)?;
    drop(progress);
    match context.format {
        Format::Text => output::data_line(&text(&report))?,
        Format::Json => output::data_json(&json(&report))?,
    }
    let Some(first) = report.unreadable.first() else { return Ok(Outcome::Done) };
    for error in &report.unreadable {
        output::say(&format!("no facts: {}", report::chain(error)));
    }
    let count = report.unreadable.len();
    Err(CliError::environment(format!(
        "{count} blobs or releases cannot be read; the rest is done"
    ))
    .maybe_hint(report::store_hint(first)))
}

fn text(report: &RebuildReport) -> String {
    let RebuildReport { blobs, bytes, sha512, .. } = report;
    format!("facts of {blobs} blobs, {}; SHA-512 of {sha512}", output::human_bytes(*bytes))
}

fn json(report: &RebuildReport) -> serde_json::Value {
    let unreadable: Vec<_> = report.unreadable.iter().map(|error| report::chain(error)).collect();
    json!({
        "blobs": report.blobs, "bytes": report.bytes, "sha512": report.sha512,
        "unreadable": unreadable,
    })
}
