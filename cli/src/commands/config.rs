//! `config show`: every setting with its value and where it comes from.

use std::collections::BTreeMap;

use super::{Context, Outcome};
use crate::args::ConfigVerb;
use crate::error::CliError;
use crate::output::{self, Format};

pub(super) fn run(context: &Context, verb: ConfigVerb) -> Result<Outcome, CliError> {
    let ConfigVerb::Show = verb;
    let rows = context.config.describe();
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
