//! `import`: takes whole images in, or what another program has written into the store itself.

use bonded_store::Store;
use bonded_store::image::{
    AdoptRequest, ImportReport, ImportRequest, Outcome as Imported, adopt, import,
};
use serde_json::json;

use super::{Context, Outcome, holder, tell_unread};
use crate::args::ImportArgs;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::report;

pub(super) fn run(context: &Context, args: &ImportArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let report = match &args.source {
        Some(_) => Some(take_in(context, &store, args)?),
        None => take_over(context, &store, args)?,
    };
    let Some(report) = report else {
        output::say("index.json is bonded's own; there is nothing to adopt");
        if context.format == Format::Json {
            let epoch = store.snapshot().map_err(report::store_error)?.epoch();
            output::data_json(&empty(epoch))?;
        }
        return Ok(Outcome::Done);
    };
    match context.format {
        Format::Text => output::data(&text(&report))?,
        Format::Json => output::data_json(&json(&report))?,
    }
    tell_unread(&report.unread);
    if !report.skipped.is_empty() {
        output::say(
            "left out, since nothing names it; take it in with --reference DIGEST --name REPOSITORY:TAG",
        );
    }
    if let Some(name) = report.skipped_releases.first() {
        output::say(&format!(
            "left out releases, since nobody asked for them; take them in with --releases, or one with --reference {name}"
        ));
    }
    Ok(Outcome::Done)
}

fn take_in(context: &Context, store: &Store, args: &ImportArgs) -> Result<ImportReport, CliError> {
    let source =
        args.source.as_deref().ok_or_else(|| CliError::usage("name a layout or an archive"))?;
    let request = ImportRequest {
        source,
        references: &args.references,
        repository: args.repository.as_ref(),
        name: args.name.as_ref(),
        releases: args.releases,
        holder: &holder(&format!("import {}", source.display()))?,
        wait: context.wait(&args.wait),
    };
    import(store, &request, &Progress::new("import")).map_err(report::import_error)
}

fn take_over(
    context: &Context,
    store: &Store,
    args: &ImportArgs,
) -> Result<Option<ImportReport>, CliError> {
    let request = AdoptRequest {
        repository: args.repository.as_ref(),
        name: args.name.as_ref(),
        holder: &holder("import --adopt")?,
        wait: context.wait(&args.wait),
    };
    adopt(store, &request, &Progress::new("adopt")).map_err(report::import_error)
}

fn text(report: &ImportReport) -> String {
    let size = output::human_bytes(report.bytes);
    let (blobs, epoch) = (report.blobs, report.epoch);
    let mut text = format!("{blobs} blobs, {size}  epoch {epoch}\n");
    for release in &report.releases {
        let outcome = outcome(release.outcome);
        text += &format!("  {outcome:9}  {}  {}\n", release.name, release.index.digest);
    }
    for image in &report.images {
        let outcome = outcome(image.outcome);
        text += &format!("  {outcome:9}  {}  {}\n", image.name, image.image.digest);
    }
    for found in &report.referrers {
        let referrer = &found.referrer;
        let kind = referrer.artifact_type.as_ref().map_or("of no type", |kind| kind.as_str());
        let subjects: Vec<String> =
            found.subjects.iter().map(|subject| subject.short().to_string()).collect();
        text += &format!("  referrer   {}  {kind} → {}\n", referrer.digest, subjects.join(", "));
    }
    for skipped in &report.skipped {
        text += &format!("  left out   {}  {}\n", skipped.digest, skipped.media_type);
    }
    for name in &report.skipped_releases {
        text += &format!("  left out   {name}  a release\n");
    }
    text
}

fn outcome(outcome: Imported) -> &'static str {
    match outcome {
        Imported::Created => "created",
        Imported::Unchanged => "unchanged",
    }
}

fn json(report: &ImportReport) -> serde_json::Value {
    let images = report.images.iter().map(|image| {
        json!({ "name": image.name, "image": image.image, "outcome": outcome(image.outcome) })
    });
    let releases = report.releases.iter().map(|release| {
        json!({ "name": release.name, "index": release.index, "outcome": outcome(release.outcome) })
    });
    let referrers = report
        .referrers
        .iter()
        .map(|found| json!({ "referrer": found.referrer, "subjects": found.subjects }));
    json!({
        "releases": releases.collect::<Vec<_>>(), "images": images.collect::<Vec<_>>(), "referrers": referrers.collect::<Vec<_>>(),
        "skipped": report.skipped, "skipped_releases": report.skipped_releases, "blobs": report.blobs, "bytes": report.bytes,
        "unread": report.unread,
        "epoch": report.epoch,
    })
}

fn empty(epoch: u64) -> serde_json::Value {
    json!({ "releases": [], "images": [], "referrers": [], "skipped": [], "skipped_releases": [], "blobs": 0, "bytes": 0, "unread": [], "epoch": epoch })
}
