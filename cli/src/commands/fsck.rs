//! `fsck`: checks every byte and every reference of the store, and mends what can be proven.

use std::path::Path;

use bonded_store::disk::{self, FileKind};
use bonded_store::fsck::{
    BlobSource, Code, DirectorySource, Finding, FsckReport, FsckRequest, Judge, Mend, Remedy, Way,
    Weight, fsck,
};
use serde_json::json;

use super::{Context, Outcome, holder, lease_from};
use crate::args::FsckArgs;
use crate::bucket::BucketSource;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::report;

/// Findings of one code that are told to people one by one; JSON has them all.
const LIKE_COUNT_MAX: usize = 20;

pub(super) fn run(context: &Context, args: &FsckArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let oldest = store.epochs().map_err(report::store_error)?.first().copied();
    let _lease = lease_from(&store, "fsck", oldest.unwrap_or(0))?;
    let sources = sources(context, args)?;
    let sources: Vec<&dyn BlobSource> = sources.iter().map(|source| &**source).collect();
    let mends = args.repair || !sources.is_empty();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let request = FsckRequest {
        threads: args.threads.unwrap_or(threads),
        bytes_per_second: args.rate.map(|rate| rate.count),
        judge: if args.fast { Judge::Facts } else { Judge::Sha256 },
        quarantine: !args.no_quarantine,
        mend: if mends { Mend::From(&sources) } else { Mend::Nothing },
        holder: &holder("fsck")?,
        wait: context.wait(&args.wait),
    };
    let progress = Progress::new("fsck");
    let checked = fsck(&store, &request, &progress).map_err(report::store_error)?;
    drop(progress);
    match context.format {
        Format::Text => output::data(&text(&checked))?,
        Format::Json => output::data_json(&json(&checked))?,
    }
    if let Some(error) = checked.unfinished {
        return Err(report::store_error(error));
    }
    Ok(if checked.remains() { Outcome::FindingsRemain } else { Outcome::Done })
}

fn sources(context: &Context, args: &FsckArgs) -> Result<Vec<Box<dyn BlobSource>>, CliError> {
    let names = context.config.destination_names();
    let source = |given: &String| -> Result<Box<dyn BlobSource>, CliError> {
        if given.contains("://") || names.contains(given) {
            return Ok(Box::new(BucketSource::open(context, given)?));
        }
        let path = Path::new(given);
        let kind = disk::kind_of(path)
            .map_err(|source| report::unreadable("a source of copies", path, source))?;
        match kind {
            Some(FileKind::Directory) => Ok(Box::new(DirectorySource::new(path))),
            // A directory that is misspelt would look like one that has nothing.
            _ => {
                let what = format!("{given} is no directory and no destination of that name");
                let hint = "name a store, a layout, a directory of blobs, a mirror's URL, or a destination in bonded.toml";
                Err(CliError::usage(what).hint(hint))
            }
        }
    };
    args.repair_from.iter().map(source).collect()
}

fn text(report: &FsckReport) -> String {
    let remaining = report.findings.iter().filter(|finding| finding.remains()).count();
    let of = |weight| report.findings.iter().filter(move |found| found.code.weight() == weight);
    let problems = of(Weight::Problem).count();
    let result = match (problems, remaining) {
        (0, _) => "sound".to_owned(),
        (1, 0) => "the one problem mended".to_owned(),
        (_, 0) => format!("all {problems} problems mended"),
        (1, _) => "one problem remains".to_owned(),
        _ => format!("{remaining} of {problems} problems remain"),
    };
    let mut text = format!(
        "{result}  {} blobs, {}, {} epochs\n",
        report.blobs,
        output::human_bytes(report.bytes),
        report.epochs.len()
    );
    for code in Code::ALL {
        let like: Vec<_> = report.findings.iter().filter(|found| found.code == code).collect();
        like.iter().take(LIKE_COUNT_MAX).for_each(|found| text += &finding(found));
        if let Some(more) = like.len().checked_sub(LIKE_COUNT_MAX).filter(|more| *more > 0) {
            text += &format!("  and {more} more of {}; --format json has all\n", code.name());
        }
        if like.iter().any(|finding| finding.remains()) {
            text += &format!("       try      {}\n", advice(code));
        }
    }
    text
}

fn finding(finding: &Finding) -> String {
    let word = match finding.code.weight() {
        Weight::Note => "note",
        Weight::Problem if finding.remains() => "problem",
        Weight::Problem => "mended",
    };
    let path = finding.path.as_ref().map(|path| path.display().to_string());
    let digest = finding.digest.map(|digest| digest.to_string());
    let about = digest.or(path).unwrap_or_else(|| "the store".to_owned());
    let mut text = format!("  {word} {}  {about}: {}\n", finding.code.name(), finding.seen);
    for way in &finding.needed_by {
        text += &format!("       needed   {}\n", way_text(way));
    }
    match &finding.remedy {
        Remedy::Quarantined { to } => text += &format!("       moved to {}\n", to.display()),
        Remedy::Restored { from } => text += &format!("       restored from {from}\n"),
        _ => {}
    }
    text
}

fn way_text(way: &Way) -> String {
    let steps = way.steps.iter().map(|step| match &step.title {
        Some(title) => format!(" → {title} ({})", step.digest.short()),
        None => format!(" → {}", step.digest.short()),
    });
    format!("{}{}  in epoch {}", way.key, steps.collect::<String>(), way.epoch)
}

/// The next thing to do about findings of a code that are left.
fn advice(code: Code) -> &'static str {
    match code {
        Code::RootDamaged | Code::LayoutFile | Code::WrongMode | Code::FactsOutOfStep => {
            "bonded fsck --repair"
        }
        Code::IndexOutOfStep => {
            "bonded fsck --repair; bonded import --adopt for what another tool has written; bonded index off where the list is too long"
        }
        Code::EpochChainBroken => {
            "bonded fsck --repair; an epoch that stays unreadable goes with: bonded gc --keep-epochs N"
        }
        Code::ForeignFile => "move that file out of the store; nothing here needs it",
        Code::UnreadableBlob => {
            "look at the disk and the file's permissions, then: bonded fsck --repair"
        }
        Code::MisplacedPage | Code::UnreadableManifest | Code::WrongSize => {
            "the bytes are the ones named, so no copy helps; show this to whoever made them"
        }
        _ => {
            "bonded fsck --repair-from ANOTHER-STORE-OR-MIRROR, or ingest the release's files again"
        }
    }
}

fn json(report: &FsckReport) -> serde_json::Value {
    let unfinished = report.unfinished.as_ref().map(ToString::to_string);
    let mut document = json!({
        "epochs": report.epochs, "blobs": report.blobs, "bytes": report.bytes,
        "findings": report.findings, "remains": report.remains(),
    });
    if let (Some(unfinished), Some(fields)) = (unfinished, document.as_object_mut()) {
        fields.insert("unfinished".to_owned(), unfinished.into());
    }
    document
}
