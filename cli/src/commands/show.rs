//! `show`: one release with its artifacts, evidence and recorded verdicts, or one image with what is about it.

use std::collections::BTreeMap;

use bonded_model::statement::Statement;
use bonded_model::vsa::{Summary, SummaryResult};
use bonded_model::{Digest, Document, ImageName};
use bonded_store::BlobFacts;
use bonded_store::catalog::Key;
use bonded_store::export::ExportName;
use serde::Serialize;
use serde_json::json;

use super::{Context, Outcome, lease_from};
use crate::args::ShowArgs;
use crate::describe;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::report;

pub(super) fn run(context: &Context, args: &ShowArgs) -> Result<Outcome, CliError> {
    let release = match &args.name {
        ExportName::Release(release) => release,
        ExportName::Image(image) => return show_image(context, image),
    };
    let store = context.open_store()?;
    let _lease = lease_from(&store, "show", u64::MAX)?;
    let snapshot = store.snapshot().map_err(report::store_error)?;
    let evidence = snapshot.evidence(release).map_err(report::store_error)?;
    let summaries = snapshot.summaries(release).map_err(report::store_error)?;
    // As it is held: what its files look like is told beside it.
    let release = snapshot.release(release).map_err(report::store_error)?;
    let files: Vec<_> = release.artifacts().iter().map(|artifact| artifact.file.digest).collect();
    let facts = store.facts().get_many(&files);
    let documents: Vec<_> = evidence.documents.iter().map(describe).collect();
    let records: Vec<Record> = summaries.iter().filter_map(record).collect();
    if context.format == Format::Json {
        output::data_json(&json!({
            "release": &release, "evidence": documents, "summaries": records,
            "evidenceDigest": evidence.digest(), "facts": facts_json(&facts),
        }))?;
        return Ok(Outcome::Done);
    }
    let mut text = format!("{}  {}\n", release.name(), release.digest());
    for artifact in release.artifacts() {
        let file = &artifact.file;
        text += &format!("  {}  {:>12}  {}", file.digest, file.size, artifact.path);
        if let Some(seen) = facts.get(&file.digest).map(describe::facts).filter(|s| !s.is_empty()) {
            text += &format!("  looks like {seen}");
        }
        text += "\n";
    }
    for document in &evidence.documents {
        let title = document.title.as_ref().map_or("(no name)", |title| title.as_str());
        let (kind, subject) = (describe::kind(document.kind), describe::subject(&document.subject));
        text += &format!("  evidence  {}  {kind}  {title} → {subject}\n", document.digest);
    }
    for Record { digest, summary } in &records {
        let levels = summary.verified_levels.join(" ");
        let time =
            summary.time_verified.map_or_else(|| "at an unknown time".into(), |t| t.to_string());
        let result = match summary.verification_result {
            SummaryResult::Passed => "PASSED",
            SummaryResult::Failed => "FAILED",
        };
        text += &format!("  verdict   {digest}  {result} {levels}  {time}, unsigned record\n");
    }
    output::data(&text)?;
    Ok(Outcome::Done)
}

fn show_image(context: &Context, name: &ImageName) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let _lease = lease_from(&store, "show", u64::MAX)?;
    let snapshot = store.snapshot().map_err(report::store_error)?;
    let held = snapshot.catalog().get(&Key::image(&name.repository, &name.tag));
    let image = held
        .map_err(report::store_error)?
        .ok_or_else(|| CliError::usage(format!("there is no image {name}")).hint("bonded list"))?;
    let blobs = snapshot.image_closure(&image).map_err(report::store_error)?;
    let referrers = snapshot.referrers(&image.digest).map_err(report::store_error)?;
    if context.format == Format::Json {
        output::data_json(
            &json!({ "name": name, "image": image, "blobs": blobs, "referrers": referrers }),
        )?;
        return Ok(Outcome::Done);
    }
    let mut text = format!("{name}  {}\n", image.digest);
    for blob in &blobs {
        text += &format!("  {}  {:>12}  {}\n", blob.digest, blob.size, blob.media_type);
    }
    for referrer in &referrers {
        let kind = referrer.artifact_type.as_ref().map_or("of no type", |kind| kind.as_str());
        text += &format!("  referrer  {}  {kind}\n", referrer.digest);
    }
    output::data(&text)?;
    Ok(Outcome::Done)
}

/// What is known by the digests of files. It was found by looking at bytes, and nobody vouches for it.
fn facts_json(facts: &BTreeMap<Digest, BlobFacts>) -> serde_json::Value {
    let one = |(file, facts): (&Digest, &BlobFacts)| {
        let value = json!({
            "blake3": facts.blake3, "sha512": facts.sha512, "kind": facts.kind,
            "platform": facts.platform,
        });
        (file.to_string(), value)
    };
    facts.iter().map(one).collect::<serde_json::Map<_, _>>().into()
}

fn describe(document: &Document) -> serde_json::Value {
    json!({
        "digest": document.digest, "kind": document.kind, "mediaType": document.media_type,
        "title": document.title, "subject": document.subject, "size": document.bytes.len(),
    })
}

/// A recorded verdict.
#[derive(Serialize)]
struct Record {
    digest: Digest,
    summary: Summary,
}

/// Records are this program's own writing; one that does not read back is not shown as a verdict.
fn record(document: &Document) -> Option<Record> {
    let statement = Statement::parse(&document.bytes).ok()?; // see above
    let summary = Summary::parse(&statement).ok()?; // see above
    Some(Record { digest: document.digest, summary })
}
