//! `export`: writes releases and images as an OCI layout, for other tools and for backups.

use bonded_store::StoreError;
use bonded_store::disk::DiskFault;
use bonded_store::export::{
    ExportError, ExportReport, ExportRequest, Form, Referrers, What, export,
};
use serde_json::json;

use super::{Context, Outcome, reading_lease};
use crate::args::ExportArgs;
use crate::error::{CliError, ErrorKind};
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::report;

pub(super) fn run(context: &Context, args: &ExportArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let lease = reading_lease(&store, "export")?;
    let snapshot = store.snapshot().map_err(report::store_error)?;
    let request = ExportRequest {
        what: match args.names.as_slice() {
            [] => What::Everything,
            names => What::Names(names),
        },
        to: &args.to,
        form: form(args),
        referrers: if args.no_referrers { Referrers::None } else { Referrers::All },
    };
    let progress = Progress::new("export");
    let report = export(&snapshot, &request, &progress).map_err(error)?;
    drop((progress, lease));
    for subject in &report.without_fallback {
        output::say(&format!(
            "note: {subject} has more referrers than a fallback tag can list; they stand in index.json"
        ));
    }
    match context.format {
        Format::Text => output::data(&text(&report))?,
        Format::Json => output::data_json(&json(&report))?,
    }
    output::say(
        "note: an export asks for no verdict; whoever publishes from it has to verify first",
    );
    Ok(Outcome::Done)
}

/// An archive where it is asked for, or where the name says so.
fn form(args: &ExportArgs) -> Form {
    let is_tar = args.to.extension().is_some_and(|extension| extension == "tar");
    if args.oci_archive || is_tar { Form::Archive } else { Form::Directory }
}

fn text(report: &ExportReport) -> String {
    let mut text = format!(
        "exported {} blobs, {}, and {} referrers to {}\n",
        report.blobs,
        output::human_bytes(report.bytes),
        report.referrers,
        report.to.display()
    );
    for name in &report.names {
        text += &format!("  {}  {}  tag {}\n", name.descriptor.digest, name.name, name.tag);
    }
    text
}

fn json(report: &ExportReport) -> serde_json::Value {
    let names: Vec<_> = report
        .names
        .iter()
        .map(|name| {
            let digest = name.descriptor.digest;
            json!({ "name": name.name.to_string(), "tag": name.tag, "digest": digest })
        })
        .collect();
    json!({
        "to": report.to.display().to_string(), "names": names, "referrers": report.referrers,
        "blobs": report.blobs, "bytes": report.bytes, "withoutFallback": report.without_fallback,
    })
}

fn error(error: ExportError) -> CliError {
    let kind = match &error {
        ExportError::Store(StoreError::NoRelease { .. })
        | ExportError::NoImage { .. }
        | ExportError::Exists { .. }
        | ExportError::NotEmpty { .. }
        | ExportError::InsideStore { .. }
        | ExportError::NoName { .. } => ErrorKind::Usage,
        _ => ErrorKind::Environment,
    };
    let hint = match &error {
        ExportError::Store(store) => report::store_hint(store),
        ExportError::Write(disk) if disk.fault() == DiskFault::NotFound => {
            Some("make the directory above it first, then run the same command again".to_owned())
        }
        ExportError::Write(disk) => report::disk_hint(disk),
        ExportError::NoImage { .. } => Some("bonded list".to_owned()),
        ExportError::TooLarge { .. } => {
            Some("export the releases one by one, each to a place of its own".to_owned())
        }
        _ => Some("name a directory that is empty, or a path where nothing is yet".to_owned()),
    };
    CliError::new(kind, "cannot export").because(error).maybe_hint(hint)
}
