//! `gc`: sets aside what nothing refers to, and deletes what was set aside long enough ago.

use std::time::Duration;

use bonded_store::gc::{Amount, GcReport, GcRequest, Held, gc};
use serde_json::json;

use super::{Context, Outcome, holder};
use crate::args::GcArgs;
use crate::clock;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::report;

pub(super) fn run(context: &Context, args: &GcArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let holder = holder("gc")?;
    let request = GcRequest {
        now: clock::now()?,
        grace: Duration::from_secs(args.grace.seconds),
        keep_epochs: args.keep_epochs,
        dry_run: args.dry_run,
        holder: &holder,
        wait: context.wait(&args.wait),
    };
    let progress = Progress::new("gc");
    let report = gc(&store, &request, &progress).map_err(report::gc_error)?;
    drop(progress);
    match context.format {
        Format::Text => output::data(&text(&report, args.dry_run))?,
        Format::Json => output::data_json(&json(&report, args.dry_run))?,
    }
    Ok(Outcome::Done)
}

fn text(report: &GcReport, dry_run: bool) -> String {
    let forgotten = match report.epochs_forgotten.as_slice() {
        [] => "no epoch forgotten".to_owned(),
        [one] => format!("epoch {one} forgotten"),
        [first, .., last] => format!("epochs {first} to {last} forgotten"),
    };
    let mut text = format!(
        "{}kept {} blobs of {} epochs; {forgotten}\n",
        if dry_run { "dry run, nothing is changed\n" } else { "" },
        report.reachable,
        report.epochs_kept.len(),
    );
    let lines = [
        ("set aside", report.quarantined, "nothing refers to them"),
        ("deleted", report.deleted, "set aside longer ago than the grace period"),
        ("put back", report.restored, "something refers to them again"),
        ("left", report.young, "nothing refers to them, but they are young"),
        ("waiting", report.waiting, "set aside, not yet for the grace period"),
    ];
    for (what, amount, why) in lines.into_iter().filter(|(_, amount, _)| amount.blobs > 0) {
        text += &line(what, amount, why);
    }
    for Held { set_aside, amount, by } in &report.held {
        let why = format!("set aside at {set_aside}, kept for {} since {}", by.who, by.since);
        text += &line("held", *amount, &why);
    }
    text
}

fn line(what: &str, amount: Amount, why: &str) -> String {
    let size = output::human_bytes(amount.bytes);
    format!("  {what:9}  {:>8} blobs  {size:>10}  {why}\n", amount.blobs)
}

fn json(report: &GcReport, dry_run: bool) -> serde_json::Value {
    let amount = |amount: Amount| json!({ "blobs": amount.blobs, "bytes": amount.bytes });
    let held = report.held.iter().map(|held| {
        json!({
            "setAside": held.set_aside, "blobs": held.amount.blobs, "bytes": held.amount.bytes,
            "lease": { "who": held.by.who, "since": held.by.since, "epoch": held.by.epoch },
        })
    });
    json!({
        "dryRun": dry_run,
        "epochsKept": report.epochs_kept, "epochsForgotten": report.epochs_forgotten,
        "reachable": report.reachable, "young": amount(report.young),
        "quarantined": amount(report.quarantined), "restored": amount(report.restored),
        "deleted": amount(report.deleted), "waiting": amount(report.waiting),
        "held": held.collect::<Vec<_>>(),
    })
}
