//! `config show`: every setting with its value and where it comes from.

use std::collections::BTreeMap;

use bonded_store::{IndexSetting, Store};

use super::{Context, Outcome};
use crate::args::ConfigVerb;
use crate::error::CliError;
use crate::output::{self, Format};

pub(super) fn run(context: &Context, verb: ConfigVerb) -> Result<Outcome, CliError> {
    let ConfigVerb::Show = verb;
    let mut rows = context.config.describe();
    rows.extend(index_row(context));
    match context.format {
        Format::Text => rows.iter().try_for_each(|(name, value, origin)| {
            output::data_line(&format!("{name:28} {value}  ({origin})"))
        })?,
        Format::Json => {
            let rows: BTreeMap<_, _> = rows
                .into_iter()
                .map(|(name, value, origin)| {
                    (name, BTreeMap::from([("value", value), ("origin", origin)]))
                })
                .collect();
            output::data_json(&rows)?;
        }
    }
    Ok(Outcome::Done)
}

/// What the store itself says. Whether there is a store, and a sound one, is the matter of other verbs.
fn index_row(context: &Context) -> Option<(String, String, String)> {
    let store = Store::open(context.config.store().ok()?).ok()?;
    let value = match store.index_setting().ok()? {
        IndexSetting::On => "on",
        IndexSetting::Off => "off",
    };
    Some(("store.index".to_owned(), value.to_owned(), store.directory().display().to_string()))
}
