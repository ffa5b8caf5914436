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
    why: Why,
}

/// Why something of the store cannot be listed.
enum Why {
    Store(Box<StoreError>),
    /// A key of releases or images that names none, as another version may have written it.
    Key(Key),
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
    Err(CliError::environment(what).maybe_hint(first.why.hint()))
}

/// Images belong to repositories and not to projects.
fn rows(snapshot: &Snapshot, project: Option<&Project>) -> impl Iterator<Item = Row> {
    let releases = snapshot.catalog().scan(Key::RELEASES);
    let releases = releases.filter_map(move |entry| release_row(snapshot, project, entry));
    let images = project.is_none().then(|| snapshot.catalog().scan(Key::IMAGES));
    releases.chain(images.into_iter().flatten().map(image_row))
}

fn release_row(
    snapshot: &Snapshot,
    project: Option<&Project>,
    entry: Result<(Key, Descriptor), StoreError>,
) -> Option<Row> {
    let (key, index) = match entry {
        Ok(entry) => entry,
        Err(error) => return Some(Row::of_catalog(Why::Store(Box::new(error)))),
    };
    match key.to_release() {
        Some(name) if project.is_some_and(|wanted| *wanted != name.project) => None,
        Some(name) => Some(release(snapshot, name, &index)),
        None => Some(Row::of_catalog(Why::Key(key))),
    }
}

fn image_row(entry: Result<(Key, Descriptor), StoreError>) -> Row {
    match entry {
        Ok((key, image)) => match key.to_image() {
            Some(name) => Row::Image(name, image),
            None => Row::of_catalog(Why::Key(key)),
        },
        Err(error) => Row::of_catalog(Why::Store(Box::new(error))),
    }
}

impl Row {
    fn of_catalog(why: Why) -> Self {
        Self::Damaged(Damaged { release: None, artifacts: None, why })
    }
}

impl Why {
    fn text(&self) -> String {
        match self {
            Self::Store(error) => report::chain(error.as_ref()),
            Self::Key(key) => {
                format!("the catalog's key {:?} names nothing known here", key.as_str())
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => report::store_hint(error),
            Self::Key(_) => Some("use the bonded that wrote it, or a newer one".to_owned()),
        }
    }

    /// What the disk does not give may be whole.
    fn state(&self) -> &'static str {
        match self {
            Self::Store(error) if error.disk().is_some() => "unreadable",
            Self::Store(_) | Self::Key(_) => "damaged",
        }
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
            let why = Why::Store(Box::new(error));
            Row::Damaged(Damaged { release: Some((name, index.digest)), artifacts, why })
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
        let (why, state) = (self.why.text(), self.why.state());
        let Some((name, digest)) = &self.release else {
            match &self.why {
                Why::Store(_) => {
                    output::say(&format!("the catalog cannot be read any further: {why}"));
                }
                Why::Key(_) => output::say(&why),
            }
            return Ok(());
        };
        let count = self.artifacts.map(|count| format!("{count} artifacts, ")).unwrap_or_default();
        output::data_line(&format!("{name}  {count}{state}  {digest}"))?;
        output::say(&format!("{name} is {state}: {why}"));
        Ok(())
    }

    fn json(&self) -> Value {
        let mut value = json!({ "error": self.why.text() });
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

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_store::Store;

    #[test]
    fn a_key_that_names_nothing_known_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = Store::init(directory.path()).unwrap().snapshot().unwrap();
        let digest = Digest::sha256_of(b"x");
        let key = Key::referrer(&digest, &digest);
        let entry = || Ok((key.clone(), Descriptor::empty()));
        let rows = [release_row(&snapshot, None, entry()).unwrap(), image_row(entry())];
        for row in rows {
            let Row::Damaged(Damaged { release: None, why, .. }) = row else {
                panic!("passed over")
            };
            assert!(matches!(&why, Why::Key(of) if *of == key));
            assert!(why.text().contains(key.as_str()), "{}", why.text());
        }
    }
}
