//! `init`: makes a store.

use bonded_store::Store;
use serde_json::json;

use super::{Context, Outcome};
use crate::args::InitArgs;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::report;

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Outcome, CliError> {
    let directory = match &args.dir {
        Some(directory) => directory.as_path(),
        None => context.config.store()?,
    };
    let made = match args.no_index {
        true => Store::init_without_index(directory),
        false => Store::init(directory),
    };
    let store = made.map_err(report::store_error)?;
    let shown = store.directory().display();
    match context.format {
        Format::Text => output::data_line(&format!("made a store in {shown}"))?,
        Format::Json => output::data_json(&json!({ "store": shown.to_string(), "epoch": 0 }))?,
    }
    output::say(&format!("next: bonded --store {shown} ingest --release PROJECT@VERSION PATH…"));
    Ok(Outcome::Done)
}
