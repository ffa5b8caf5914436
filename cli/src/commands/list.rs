//! `list`: the releases and images in the store, now or at an earlier epoch.

use bonded_model::{Descriptor, ImageName};
use bonded_store::catalog::Key;
use bonded_store::{Snapshot, StoreError};
use serde_json::json;

use super::{Context, Outcome, lease_from};
use crate::args::ListArgs;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::report;

pub(super) fn run(context: &Context, args: &ListArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let _lease = lease_from(&store, "list", args.at.unwrap_or(u64::MAX))?;
    let snapshot = match args.at {
        Some(epoch) => store.snapshot_at(epoch),
        None => store.snapshot(),
    };
    let snapshot = snapshot.map_err(report::store_error)?;
    let names = snapshot.releases().map_err(report::store_error)?;
    let wanted =
        names.iter().filter(|name| args.project.as_ref().is_none_or(|p| *p == name.project));
    let releases: Result<Vec<_>, _> = wanted.map(|name| snapshot.release(name)).collect();
    let releases = releases.map_err(report::store_error)?;
    // Images belong to repositories and not to projects.
    let images = match args.project {
        Some(_) => Vec::new(),
        None => images(&snapshot).map_err(report::store_error)?,
    };
    match context.format {
        Format::Text => releases.iter().try_for_each(|release| {
            let bytes: u64 = release.artifacts().iter().map(|artifact| artifact.file.size).sum();
            let (count, size) = (release.artifacts().len(), output::human_bytes(bytes));
            output::data_line(&format!(
                "{}  {count} artifacts, {size}  {}",
                release.name(),
                release.digest()
            ))
        })?,
        Format::Json => output::data_json(&json!({
            "epoch": snapshot.epoch(), "releases": releases, "images": images_json(&images),
        }))?,
    }
    if context.format == Format::Text {
        images.iter().try_for_each(|(name, image)| {
            output::data_line(&format!("{name}  image  {}", image.digest))
        })?;
    }
    if releases.is_empty() && images.is_empty() && args.at.is_none() {
        output::say(
            "no releases here; take one in with: bonded ingest --release PROJECT@VERSION PATH…",
        );
    }
    Ok(Outcome::Done)
}

fn images(snapshot: &Snapshot) -> Result<Vec<(ImageName, Descriptor)>, StoreError> {
    let entries = snapshot.catalog().scan(Key::IMAGES);
    let named = entries.map(|entry| entry.map(|(key, image)| Some((key.to_image()?, image))));
    named.filter_map(Result::transpose).collect()
}

fn images_json(images: &[(ImageName, Descriptor)]) -> serde_json::Value {
    images.iter().map(|(name, image)| json!({ "name": name, "image": image })).collect()
}
