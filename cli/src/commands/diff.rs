//! `diff`: what changed between two epochs, in names people know.

use std::collections::BTreeSet;

use bonded_model::{Descriptor, Digest};
use bonded_store::catalog::{Change, Key};
use serde::Serialize;
use serde_json::json;

use super::{Context, Outcome};
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
    let [before, after] = [args.from, args.to].map(|epoch| store.snapshot_at(epoch));
    let before = before.map_err(report::store_error)?;
    let after = after.map_err(report::store_error)?;
    let changes = after.catalog().diff(before.catalog()).map_err(report::store_error)?;
    let lines = lines(changes);
    match context.format {
        Format::Text => lines.iter().try_for_each(|line| output::data_line(&text(line)))?,
        Format::Json => output::data_json(
            &json!({ "changes": lines, "from": before.epoch(), "to": after.epoch() }),
        )?,
    }
    if lines.is_empty() {
        output::say("no difference: both epochs hold the same");
    }
    Ok(Outcome::Done)
}

/// A referrer that is evidence of a release is told once, as that.
fn lines(changes: Vec<Change>) -> Vec<Line> {
    let as_evidence: BTreeSet<Digest> =
        changes.iter().filter_map(|change| Some(change.key.to_evidence()?.1)).collect();
    let is_told = |key: &Key| key.to_referrer().is_some_and(|(_, by)| as_evidence.contains(&by));
    changes.into_iter().filter(|change| !is_told(&change.key)).map(line).collect()
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
            Change { after: None, before: Some(two.clone()), key: Key::release(&name) },
        ];
        let (one, two) = (one.digest, two.digest);
        let told: Vec<_> = lines(changes).iter().map(text).collect();
        assert_eq!(
            told,
            [
                format!("added    evidence of demo@v1  {one}"),
                format!("changed  image example.com/tool:v1  {two} -> {one}"),
                format!("added    referrer of {one}  {one}"),
                format!("removed  release demo@v1  {two}"),
            ]
        );
    }
}
