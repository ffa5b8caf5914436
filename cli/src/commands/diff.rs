//! `diff`: what changed between two epochs, in names people know.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::json::to_canonical;
use bonded_model::limits::MANIFEST_BYTES_MAX;
use bonded_model::manifest::Index;
use bonded_model::{Descriptor, Digest, ReleaseName};
use bonded_store::Snapshot;
use bonded_store::catalog::{Change, Key};
use serde::Serialize;

use super::{Context, Outcome, lease_from};
use crate::args::DiffArgs;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::report;

/// One difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    change: &'static str,
    kind: &'static str,
    /// The release, the image, or the digest that a referrer is about.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Descriptor>,
}

pub(super) fn run(context: &Context, args: &DiffArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    let _lease = lease_from(&store, "diff", args.from.min(args.to))?;
    let [before, after] = [args.from, args.to].map(|epoch| store.snapshot_at(epoch));
    let before = before.map_err(report::store_error)?;
    let after = after.map_err(report::store_error)?;
    let changes = after.catalog().diff(before.catalog());
    let changes = changes.map(|change| change.map_err(report::store_error));
    let is_empty = match context.format {
        Format::Text => tell(changes, &before, &after)?,
        Format::Json => tell_json(changes, args)?,
    };
    if is_empty {
        output::say("no difference: both epochs hold the same");
    }
    Ok(Outcome::Done)
}

/// Tells each change when it is found, and says in the end whether there was none.
fn tell(
    changes: impl Iterator<Item = Result<Change, CliError>>,
    before: &Snapshot,
    after: &Snapshot,
) -> Result<bool, CliError> {
    let mut is_empty = true;
    let mut told = Told::default();
    for change in changes {
        let change = change?;
        is_empty = false;
        let subjects = |name: &ReleaseName, (was_there, _): Direction| {
            subjects(if was_there { before } else { after }, name)
        };
        if !told.is_repeated(&change, subjects) {
            output::data_line(&text(&line(change)))?;
        }
    }
    Ok(is_empty)
}

/// The same, as one document, of which no more than a change is in memory at a time.
fn tell_json(
    changes: impl Iterator<Item = Result<Change, CliError>>,
    args: &DiffArgs,
) -> Result<bool, CliError> {
    let mut is_empty = true;
    output::data("{\"changes\":[")?;
    for change in changes {
        let mut bytes = if is_empty { Vec::new() } else { b",".to_vec() };
        bytes.extend(to_canonical(&line(change?)));
        output::data_bytes(&bytes)?;
        is_empty = false;
    }
    output::data(&format!("],\"from\":{},\"to\":{}}}\n", args.from, args.to))?;
    Ok(is_empty)
}

/// Whether something was there before, and is there after.
type Direction = (bool, bool);

fn direction(change: &Change) -> Direction {
    (change.before.is_some(), change.after.is_some())
}

/// What was told of the evidence of releases. For people, a referrer that comes or goes with it is told once, as
/// that: if it is about the release, or something in it. Evidence stands before referrers in the order of keys.
#[derive(Default)]
struct Told {
    /// By release, what the referrers of its evidence may be about.
    subjects: BTreeMap<(ReleaseName, Direction), BTreeSet<Digest>>,
    /// By referrer, the releases whose evidence it is.
    releases: BTreeMap<(Digest, Direction), Vec<ReleaseName>>,
}

impl Told {
    fn is_repeated(
        &mut self,
        change: &Change,
        subjects: impl Fn(&ReleaseName, Direction) -> BTreeSet<Digest>,
    ) -> bool {
        let direction = direction(change);
        if let Some((name, by)) = change.key.to_evidence() {
            self.releases.entry((by, direction)).or_default().push(name.clone());
            let of = self.subjects.entry((name, direction));
            of.or_insert_with_key(|(name, direction)| subjects(name, *direction));
            return false;
        }
        let Some((subject, by)) = change.key.to_referrer() else { return false };
        let releases = self.releases.get(&(by, direction)).into_iter().flatten();
        let of = releases.filter_map(|name| self.subjects.get(&(name.clone(), direction)));
        of.into_iter().any(|subjects| subjects.contains(&subject))
    }
}

/// A release and the manifests in it. One that cannot be read has none, so that more is told and not less.
fn subjects(snapshot: &Snapshot, name: &ReleaseName) -> BTreeSet<Digest> {
    let Ok(Some(release)) = snapshot.catalog().get(&Key::release(name)) else {
        return BTreeSet::new();
    };
    let index = snapshot.read(&release, MANIFEST_BYTES_MAX).map(|bytes| Index::parse(&bytes));
    let Ok(Ok(index)) = index else { return BTreeSet::new() };
    let listed = index.manifests.iter().map(|manifest| manifest.digest);
    listed.chain([release.digest]).collect()
}

fn line(change: Change) -> Line {
    let Change { key, before, after } = change;
    let (kind, name) = if let Some(name) = key.to_release() {
        ("release", name.to_string())
    } else if let Some(name) = key.to_image() {
        ("image", name.to_string())
    } else if let Some((name, _)) = key.to_evidence() {
        ("evidence", name.to_string())
    } else if let Some((subject, _)) = key.to_referrer() {
        ("referrer", subject.to_string())
    } else {
        ("entry", key.to_string())
    };
    let change = match (&before, &after) {
        (None, _) => "added",
        (_, None) => "removed",
        (Some(_), Some(_)) => "changed",
    };
    Line { change, kind, name, before, after }
}

fn text(line: &Line) -> String {
    let Line { change, kind, name, before, after } = line;
    let of = match *kind {
        "evidence" | "referrer" => " of",
        _ => "",
    };
    let digest = |side: &Option<Descriptor>| side.as_ref().map(|side| side.digest.to_string());
    let digests = [digest(before), digest(after)].into_iter().flatten().collect::<Vec<_>>();
    format!("{change:<8} {kind}{of} {name}  {}", digests.join(" -> "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_model::{MediaType, media_type};

    #[test]
    fn changes_are_told_in_names_people_know() {
        let descriptor =
            |content: &[u8]| Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), content);
        let name = "demo@v1".parse().unwrap();
        let image: bonded_model::ImageName = "example.com/tool:v1".parse().unwrap();
        let (one, two) = (descriptor(b"1"), descriptor(b"2"));
        let added = |key| Change { key, before: None, after: Some(one.clone()) };
        let changes = vec![
            added(Key::evidence(&name, &one.digest)),
            Change {
                before: Some(two.clone()),
                ..added(Key::image(&image.repository, &image.tag))
            },
            added(Key::referrer(&two.digest, &one.digest)),
            added(Key::referrer(&one.digest, &two.digest)),
            // It went, while the evidence came; and it is about something else.
            Change {
                before: Some(one.clone()),
                after: None,
                ..added(Key::referrer(&two.digest, &one.digest))
            },
            added(Key::referrer(&one.digest, &one.digest)),
            Change { after: None, before: Some(two.clone()), key: Key::release(&name) },
        ];
        let (one, two) = (one.digest, two.digest);
        let mut told = Told::default();
        let changes = changes.into_iter();
        let changes = changes.filter(|change| !told.is_repeated(change, |_, _| [two].into()));
        let told: Vec<_> = changes.map(|change| text(&line(change))).collect();
        assert_eq!(
            told,
            [
                format!("added    evidence of demo@v1  {one}"),
                format!("changed  image example.com/tool:v1  {two} -> {one}"),
                format!("added    referrer of {one}  {one}"),
                format!("removed  referrer of {two}  {one}"),
                format!("added    referrer of {one}  {one}"),
                format!("removed  release demo@v1  {two}"),
            ]
        );
    }
}
