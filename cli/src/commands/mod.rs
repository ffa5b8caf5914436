//! One module per verb. Each loads what it needs, calls the libraries, and prints.

mod attest;
mod completions;
mod config;
mod demo;
mod diff;
mod export;
mod facts;
mod fsck;
mod gc;
mod import;
mod index;
mod ingest;
mod init;
mod keygen;
mod list;
mod mirror;
mod policy;
mod serve;
mod show;
mod trust;
mod verify;

use std::cell::OnceCell;
use std::time::Duration;

use bonded_model::Digest;
use bonded_store::Holder;
use bonded_store::disk::DiskFault;
use bonded_store::{IndexSetting, Lease, Store, StoreError};

use crate::args::{Cli, Verb, WaitArgs};
use crate::clock;
use crate::config::Config;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::{report, runtime};

/// How a verb ended, if not in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: a decision was reached, and it is no.
    VerdictFail,
    /// Exit code 1: the store was checked, and something is wrong that was not mended.
    FindingsRemain,
}

/// What every verb may look at.
#[derive(Debug)]
pub(crate) struct Context {
    /// The configuration in force.
    pub(crate) config: Config,
    /// The form of stdout.
    pub(crate) format: Format,
    /// The store, once it was opened.
    pub(crate) opened: OnceCell<Store>,
}

/// Runs the verb.
pub(crate) fn run(cli: Cli) -> Result<Outcome, CliError> {
    if let Verb::Completions { shell } = cli.verb {
        return completions::run(shell);
    }
    runtime::survive_file_size_limit()?;
    let config = Config::load(cli.config.as_deref(), cli.store.as_deref())?;
    let context = Context { config, format: cli.format, opened: OnceCell::new() };
    let ran = run_verb(&context, cli.verb);
    context.opened.get().into_iter().for_each(warn);
    ran
}

/// Says what fails no verb but should be known.
fn warn(store: &Store) {
    if let Some(notice) = store.facts().notice() {
        output::say(&format!("warning: {notice}"));
    }
    // What cannot be read is told by the verb that needs it.
    if store.has_foreign_index().unwrap_or(false) {
        let what = match store.index_setting() {
            Ok(IndexSetting::Off) => {
                "another tool has written index.json into a store that is kept without it"
            }
            _ => "another tool has changed index.json, so OCI tools do not see what is new here",
        };
        output::say(&format!("warning: {what}; take in what it lists with: bonded import --adopt"));
    }
}

/// Says what import could not look into.
fn tell_unread(unread: &[Digest]) {
    let Some(first) = unread.first() else { return };
    output::say(&format!(
        "could not look below {} damaged manifests or pages of the catalog (the first is {first}), so a \
         referrer may not be listed under all that it is about; see what to do with: bonded fsck, then \
         take this in again",
        unread.len()
    ));
}

fn run_verb(context: &Context, verb: Verb) -> Result<Outcome, CliError> {
    match verb {
        Verb::Init(args) => init::run(context, &args),
        Verb::Ingest(args) => ingest::run(context, &args),
        Verb::Export(args) => export::run(context, &args),
        Verb::Import(args) => import::run(context, &args),
        Verb::Facts(verb) => facts::run(context, verb),
        Verb::List(args) => list::run(context, &args),
        Verb::Diff(args) => diff::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Verify(args) => verify::run(context, &args),
        Verb::Policy(verb) => policy::run(context, &verb),
        Verb::Mirror(verb) => mirror::run(context, &verb),
        Verb::Serve(args) => serve::run(context, &args),
        Verb::Gc(args) => gc::run(context, &args),
        Verb::Fsck(args) => fsck::run(context, &args),
        Verb::Index(args) => index::run(context, &args),
        Verb::Keygen(args) => keygen::run(context, &args),
        Verb::Attest(kind) => attest::run(context, &kind),
        Verb::Trust(verb) => trust::run(context, &verb),
        Verb::Demo(args) => demo::run(&args),
        Verb::Config(verb) => config::run(context, verb),
        Verb::Completions { shell } => completions::run(shell),
    }
}

impl Context {
    /// Opens the store, and says on stderr what a person should know about its state.
    pub(crate) fn open_store(&self) -> Result<Store, CliError> {
        let directory = self.config.store()?;
        let store = Store::open(directory).map_err(report::store_error)?;
        if let Some(notice) = store.recovery() {
            output::say(&format!("warning: {notice}"));
        }
        Ok(self.opened.get_or_init(|| store).clone())
    }

    /// How long to wait for another writer.
    pub(crate) fn wait(&self, args: &WaitArgs) -> Duration {
        Duration::from_secs(args.seconds.unwrap_or(self.config.wait_seconds.value))
    }
}

/// Who holds the writer's lock while this verb works.
pub(crate) fn holder(what: &str) -> Result<Holder, CliError> {
    let who = format!("bonded {what} (process {})", std::process::id());
    Ok(Holder { who, since: clock::now()? })
}

/// A lease for a verb that reads for long: gc keeps what it reads. A store that this user cannot write
/// gives none, and is read all the same.
pub(crate) fn reading_lease(store: &Store, what: &str) -> Result<Option<Lease>, CliError> {
    let lease = unless_refused(store.lease(&holder(what)?))?;
    if lease.is_none() {
        output::say(
            "the store cannot be written here, so gc by others does not know of this reader",
        );
    }
    Ok(lease)
}

/// A lease from an epoch on, for a verb that is soon over: where the store cannot be written it goes without.
fn lease_from(store: &Store, what: &str, epoch: u64) -> Result<Option<Lease>, CliError> {
    unless_refused(store.lease_from(epoch, &holder(what)?))
}

fn unless_refused(taken: Result<Lease, StoreError>) -> Result<Option<Lease>, CliError> {
    let is_refused = |error: &StoreError| {
        let refusals = [DiskFault::ReadOnly, DiskFault::PermissionDenied, DiskFault::NoSpace];
        error.disk().is_some_and(|error| refusals.contains(&error.fault()))
    };
    match taken {
        Ok(lease) => Ok(Some(lease)),
        Err(error) if is_refused(&error) => Ok(None),
        Err(error) => Err(report::store_error(error)),
    }
}
