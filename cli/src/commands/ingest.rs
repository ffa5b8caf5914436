//! `ingest`: takes files and directories into a release, with the evidence beside them.

use std::path::Path;

use bonded_store::disk;
use bonded_store::image::{GivenName, ImageInput};
use bonded_store::ingest::{
    IngestOptions, IngestReport, IngestRequest, Outcome as Ingested, Sha512, Sources, ingest,
};
use serde_json::json;

use super::{Context, Outcome, holder, tell_unread};
use crate::args::IngestArgs;
use crate::describe;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::report;

pub(super) fn run(context: &Context, args: &IngestArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let images: Vec<ImageInput> = args.images.iter().map(|text| image_input(text)).collect();
    let request = IngestRequest {
        release: &args.release,
        inputs: &args.paths,
        images: &images,
        holder: &holder(&format!("ingest {}", args.release))?,
        wait: context.wait(&args.wait),
        options: options(context, args),
    };
    let progress = Progress::new("ingest");
    let report = ingest(&store, &request, &progress).map_err(report::ingest_error)?;
    drop(progress);
    match context.format {
        Format::Text => output::data(&text(&report))?,
        Format::Json => output::data_json(&json(&report))?,
    }
    tell_unread(&report.unread);
    output::say(&format!("next: bonded verify {} --policy FILE", args.release));
    Ok(Outcome::Done)
}

fn options(context: &Context, args: &IngestArgs) -> IngestOptions {
    let sha512 = if args.sha512 || context.config.ingest_sha512.value {
        Sha512::Always
    } else {
        Sha512::WhereNamed
    };
    let sources = if args.immutable_source { Sources::Immutable } else { Sources::MayChange };
    IngestOptions { sources, sha512 }
}

/// `LAYOUT_OR_ARCHIVE`, or with `=` and a name; what follows the last `=` and is none belongs to the path,
/// and so does all of it where there is such a file.
fn image_input(text: &str) -> ImageInput {
    // What cannot be looked at is told when it is opened.
    if matches!(disk::kind_of(Path::new(text)), Ok(Some(_))) {
        return ImageInput { source: text.into(), name: None };
    }
    let named = text.rsplit_once('=').and_then(|(source, name)| {
        let image = name.parse().map(GivenName::Image);
        let name = image.or_else(|_no_image| name.parse().map(GivenName::Repository));
        Some(ImageInput { source: source.into(), name: Some(name.ok()?) }) // else part of the path
    });
    named.unwrap_or_else(|| ImageInput { source: text.into(), name: None })
}

fn text(report: &IngestReport) -> String {
    let release = &report.release;
    let outcome = match report.outcome {
        Ingested::Created => "took in",
        Ingested::Unchanged => "already held, unchanged:",
        Ingested::EvidenceAdded => "added evidence to",
    };
    let mut text =
        format!("{outcome} {}  {}  epoch {}\n", release.name(), release.digest(), report.epoch);
    for artifact in release.artifacts() {
        let size = output::human_bytes(artifact.file.size);
        text += &format!("  {}  {size:>10}  {}\n", artifact.file.digest.short(), artifact.path);
    }
    for document in &report.evidence {
        let title = document.title.as_ref().map_or("(no name)", |title| title.as_str());
        let subject = describe::subject(&document.subject);
        text += &format!(
            "  evidence  {}  {title} → {subject}, {}\n",
            describe::kind(document.kind),
            describe::how(document.how)
        );
    }
    text
}

fn json(report: &IngestReport) -> serde_json::Value {
    let evidence: Vec<_> = report
        .evidence
        .iter()
        .map(|document| {
            json!({
                "digest": document.digest, "kind": document.kind, "subject": document.subject,
                "title": document.title, "how": describe::how(document.how),
            })
        })
        .collect();
    let outcome = match report.outcome {
        Ingested::Created => "created",
        Ingested::Unchanged => "unchanged",
        Ingested::EvidenceAdded => "evidence-added",
    };
    json!({
        "release": report.release, "outcome": outcome, "evidence": evidence,
        "bytes": report.bytes, "unread": report.unread, "epoch": report.epoch,
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test makes a directory by hand")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_follows_unless_it_is_part_of_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("layout=a");
        let text = path.to_str().unwrap();
        let name = || Some(GivenName::Repository("a".parse().unwrap()));
        let source = directory.path().join("layout");
        assert_eq!(image_input(text), ImageInput { source, name: name() });
        std::fs::create_dir(&path).unwrap();
        assert_eq!(image_input(text), ImageInput { source: path.clone(), name: None });
        let named = image_input(&format!("{text}=a"));
        assert_eq!(named, ImageInput { source: path.clone(), name: name() });
        let image = Some(GivenName::Image("b:1".parse().unwrap()));
        assert_eq!(image_input("x.tar=b:1"), ImageInput { source: "x.tar".into(), name: image });
        let odd = ImageInput { source: "x=..".into(), name: None };
        assert_eq!(image_input("x=.."), odd);
    }
}
