//! `list`: the releases and images in the store, now or at an earlier epoch.
//!
//! What is damaged is listed as far as it can be read, from its manifests, its index or the catalog alone.

use bonded_model::limits::MANIFEST_BYTES_MAX;
use bonded_model::manifest::Index;
use bonded_model::{Descriptor, Digest, ImageName, Project, Release, ReleaseName};
use bonded_store::catalog::Key;
use bonded_store::{Snapshot, StoreError};
use serde_json::{Value, json};

use super::{Context, Outcome, lease_from};
use crate::args::ListArgs;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::report;

/// What there is to say of one name.
enum Row {
    Release(Release),
    Image(ImageName, Descriptor),
    Damaged(Damaged),
}

/// A release that cannot be read as a whole, or the rest of the catalog.
struct Damaged {
    release: Option<(ReleaseName, Digest)>,
    /// How many artifacts the index lists, if that can be read.
    artifacts: Option<usize>,
    error: StoreError,
}

pub(super) fn run(context: &Context, args: &ListArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let _lease = lease_from(&store, "list", args.at.unwrap_or(u64::MAX))?;
    let snapshot = match args.at {
        Some(epoch) => store.snapshot_at(epoch),
        None => store.snapshot(),
    };
    let snapshot = snapshot.map_err(report::store_error)?;
    let mut is_empty = true;
    let rows = rows(&snapshot, args.project.as_ref()).inspect(|_| is_empty = false);
    let damaged = match context.format {
        Format::Text => tell(rows)?,
        Format::Json => tell_json(snapshot.epoch(), rows)?,
    };
    if is_empty && args.at.is_none() {
        output::say(
            "no releases here; take one in with: bonded ingest --release PROJECT@VERSION PATH…",
        );
    }
    let Some(first) = damaged.first() else { return Ok(Outcome::Done) };
    let what = "not everything can be read of what the store holds; the rest is listed";
    Err(CliError::environment(what).maybe_hint(report::store_hint(&first.error)))
}

/// Images belong to repositories and not to projects.
fn rows(snapshot: &Snapshot, project: Option<&Project>) -> impl Iterator<Item = Row> {
    let releases = snapshot.catalog().scan(Key::RELEASES).filter_map(move |entry| match entry {
        Ok((key, index)) => {
            let name = key.to_release().filter(|name| project.is_none_or(|p| *p == name.project));
            Some(release(snapshot, name?, &index))
        }
        Err(error) => Some(Row::of_catalog(error)),
    });
    let images = project.is_none().then(|| snapshot.catalog().scan(Key::IMAGES));
    let images = images.into_iter().flatten().filter_map(|entry| match entry {
        Ok((key, image)) => Some(Row::Image(key.to_image()?, image)),
        Err(error) => Some(Row::of_catalog(error)),
    });
    releases.chain(images)
}

impl Row {
    fn of_catalog(error: StoreError) -> Self {
        Self::Damaged(Damaged { release: None, artifacts: None, error })
    }
}

fn release(snapshot: &Snapshot, name: ReleaseName, index: &Descriptor) -> Row {
    match snapshot.release(&name) {
        Ok(release) => Row::Release(release),
        Err(error) => {
            let read = snapshot.read(index, MANIFEST_BYTES_MAX);
            // What is wrong with it, if anything, is the error above.
            let parsed = read.ok().and_then(|bytes| Index::parse(&bytes).ok());
            let artifacts = parsed.map(|index| index.manifests.len());
            Row::Damaged(Damaged { release: Some((name, index.digest)), artifacts, error })
        }
    }
}

fn tell(rows: impl Iterator<Item = Row>) -> Result<Vec<Damaged>, CliError> {
    let mut damaged = Vec::new();
    for row in rows {
        match row {
            Row::Release(release) => {
                let files = release.artifacts().iter().map(|artifact| artifact.file.size);
                let (count, size) = (release.artifacts().len(), output::human_bytes(files.sum()));
                let (name, digest) = (release.name(), release.digest());
                output::data_line(&format!("{name}  {count} artifacts, {size}  {digest}"))?;
            }
            Row::Image(name, image) => {
                output::data_line(&format!("{name}  image  {}", image.digest))?;
            }
            Row::Damaged(found) => {
                found.tell()?;
                damaged.push(found);
            }
        }
    }
    Ok(damaged)
}

impl Damaged {
    fn tell(&self) -> Result<(), CliError> {
        let why = report::chain(&self.error);
        let Some((name, digest)) = &self.release else {
            output::say(&format!("the catalog cannot be read any further: {why}"));
            return Ok(());
        };
        let count = self.artifacts.map(|count| format!("{count} artifacts, ")).unwrap_or_default();
        output::data_line(&format!("{name}  {count}damaged  {digest}"))?;
        output::say(&format!("{name} is damaged: {why}"));
        Ok(())
    }

    fn json(&self) -> Value {
        let mut value = json!({ "error": report::chain(&self.error) });
        if let Some(fields) = value.as_object_mut() {
            if let Some((name, digest)) = &self.release {
                fields.insert("name".to_owned(), name.to_string().into());
                fields.insert("digest".to_owned(), digest.to_string().into());
            }
            fields.extend(self.artifacts.map(|count| ("artifacts".to_owned(), count.into())));
        }
        value
    }
}

fn tell_json(epoch: u64, rows: impl Iterator<Item = Row>) -> Result<Vec<Damaged>, CliError> {
    let (mut releases, mut images, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        match row {
            Row::Release(release) => releases.push(release),
            Row::Image(name, image) => images.push(json!({ "name": name, "image": image })),
            Row::Damaged(found) => damaged.push(found),
        }
    }
    let of_damaged: Vec<_> = damaged.iter().map(Damaged::json).collect();
    output::data_json(&json!({
        "epoch": epoch, "releases": releases, "images": images, "damaged": of_damaged,
    }))?;
    Ok(damaged)
}
