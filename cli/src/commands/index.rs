//! `index`: whether the store is kept with `index.json`, and how that file stands.

use bonded_store::{IndexSetting, IndexState, Store};
use serde_json::json;

use super::{Context, Outcome, holder};
use crate::args::{IndexArgs, IndexSwitch};
use crate::error::CliError;
use crate::output::{self, Format};
use crate::{progress, report};

pub(super) fn run(context: &Context, args: &IndexArgs) -> Result<Outcome, CliError> {
    let store = context.open_store()?;
    if let Some(switch) = args.setting {
        set(context, &store, switch, args)?;
    }
    let setting = store.index_setting().map_err(report::store_error)?;
    let state = store.index_state().map_err(report::store_error)?;
    match context.format {
        Format::Text => output::data_line(text(setting, state))?,
        Format::Json => output::data_json(&json!({ "index": setting, "state": state }))?,
    }
    Ok(Outcome::Done)
}

fn set(
    context: &Context,
    store: &Store,
    switch: IndexSwitch,
    args: &IndexArgs,
) -> Result<(), CliError> {
    let setting = match switch {
        IndexSwitch::On => IndexSetting::On,
        IndexSwitch::Off => IndexSetting::Off,
    };
    let wait = context.wait(&args.wait);
    let writer = store.lock(wait, &holder("index")?, &mut progress::say_waiting);
    writer.and_then(|writer| writer.set_index(setting)).map_err(report::store_error)
}

fn text(setting: IndexSetting, state: IndexState) -> &'static str {
    match (setting, state) {
        (_, IndexState::Current) => "on: index.json lists what the store holds",
        (_, IndexState::Off) => "off: the store is kept without index.json",
        (_, IndexState::Unwanted) => "off: the next command that writes removes index.json",
        (_, IndexState::Missing | IndexState::Behind) => {
            "on: the next command that writes brings index.json up to date"
        }
        (_, IndexState::TooLong) => {
            "on: the store has more names than index.json can list; to do without it: bonded index off"
        }
        (IndexSetting::On, IndexState::Foreign) => "on: another tool has changed index.json",
        (IndexSetting::Off, IndexState::Foreign) => {
            "off: another tool has written index.json; import --adopt takes in what it lists, and removes it"
        }
    }
}
