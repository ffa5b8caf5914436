//! `serve`: the HTTP views over the verified releases of the store.
//!
//! The store is looked at every two seconds; when its epoch has moved, verdicts are reached again and
//! the site is replaced as a whole, so that a release appears complete or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bonded_serve::{Event, Events, Handle, Server, Site};
use bonded_store::{Lease, Snapshot, Store};

use super::{Context, Outcome, reading_lease};
use crate::args::{JudgeArgs, ServeArgs};
use crate::error::CliError;
use crate::judge::Judge;
use crate::{output, report, runtime};

/// How often the store is asked whether its epoch has moved.
const REFRESH: Duration = Duration::from_secs(2);
/// How old a verdict may get before it is reached again: keys and evidence can run out while the store
/// stands still. Where that fails as a whole, nothing vouches for the site any more, and the server ends.
const VERDICT_AGE_MAX: Duration = Duration::from_secs(3600);

/// How long to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until Ctrl-C or SIGTERM.
    AskedToStop,
    /// Not at all: everything was set up, and that was the point.
    Now,
}

pub(super) fn run(context: &Context, args: &ServeArgs) -> Result<Outcome, CliError> {
    let announce = |address: SocketAddr| {
        output::data_line(&format!("http://{address}/"))?;
        Ok(Until::AskedToStop)
    };
    run_announced(context, args, &announce)?;
    output::say("stopped");
    Ok(Outcome::Done)
}

/// Serves; `announce` is told the address once clients can connect, and says how long to go on.
pub(super) fn run_announced(
    context: &Context,
    args: &ServeArgs,
    announce: &dyn Fn(SocketAddr) -> Result<Until, CliError>,
) -> Result<(), CliError> {
    let store = context.open_store()?;
    let listen = args.listen.unwrap_or(context.config.listen.value);
    let lease = reading_lease(&store, "serve")?;
    let snapshot = store.snapshot().map_err(report::store_error)?;
    let shown = Shown { epoch: snapshot.epoch(), lease };
    let site = site(context, &args.judge, snapshot)?;
    runtime::block_on(async {
        let server =
            Server::bind(listen, site, Arc::new(ServeEvents)).await.map_err(report::serve_error)?;
        let (address, handle) = (server.local_addr(), server.handle());
        let mut announced = Ok(());
        let stop = async {
            match tokio::task::block_in_place(|| announce(address)) {
                Ok(Until::AskedToStop) => runtime::until_asked_to_stop().await,
                Ok(Until::Now) => {}
                Err(error) => announced = Err(error),
            }
        };
        tokio::select! {
            ended = server.run(stop) => ended.map_err(report::serve_error)?,
            error = refresh(context, &args.judge, &store, &handle, shown) => return Err(error),
        }
        announced
    })
}

/// A site of every release in the snapshot whose verdict is a pass.
fn site(context: &Context, judge: &JudgeArgs, snapshot: Snapshot) -> Result<Site, CliError> {
    let judge = Judge::load(&context.config, judge)?;
    let names = snapshot.releases().map_err(report::store_error)?;
    let judged = judge.admit(&snapshot, &names);
    judged.errors.iter().for_each(|error| output::say(&error.to_string()));
    let (epoch, passed) = (snapshot.epoch(), judged.admitted.len());
    let (site, refused) = Site::new(snapshot, judged.admitted);
    let (visible, hidden) = (passed - refused.len(), judged.refused + refused.len());
    for (_, error) in refused {
        output::say(&report::serve_error(error).to_string());
    }
    output::say(&format!("epoch {epoch}: {visible} releases visible, {hidden} not"));
    Ok(site)
}

/// What the site shows.
struct Shown {
    epoch: u64,
    /// Keeps it from being collected.
    lease: Option<Lease>,
}

/// Replaces the site whenever the store has moved or the verdicts have grown old. What goes wrong is
/// said, and the site that is there stays until it can be replaced, or its verdicts are too old.
async fn refresh(
    context: &Context,
    judge: &JudgeArgs,
    store: &Store,
    handle: &Handle,
    mut shown: Shown,
) -> CliError {
    let mut judged_at = Instant::now();
    let mut told = String::new();
    loop {
        tokio::time::sleep(REFRESH).await;
        let is_old = judged_at.elapsed() > VERDICT_AGE_MAX;
        let replaced =
            tokio::task::block_in_place(|| -> Result<Option<(Site, Shown)>, CliError> {
                let newest = store.snapshot().map_err(report::store_error)?.epoch();
                if newest == shown.epoch && !is_old {
                    return Ok(None);
                }
                let lease = reading_lease(store, "serve")?;
                let snapshot = store.snapshot().map_err(report::store_error)?;
                let next = Shown { epoch: snapshot.epoch(), lease };
                Ok(Some((site(context, judge, snapshot)?, next)))
            });
        match replaced {
            Ok(None) => {}
            Ok(Some((site, next))) => {
                handle.replace(site);
                drop(shown.lease.take()); // only now: until here the site that it is for was shown
                (shown, judged_at) = (next, Instant::now());
                told.clear();
            }
            Err(error) if is_old => return error,
            Err(error) if error.to_string() == told => {}
            Err(error) => {
                told = error.to_string();
                output::say(&format!("the site stays as it was at epoch {}\n{told}", shown.epoch));
            }
        }
    }
}

/// Tells on stderr what a client's answer does not tell.
#[derive(Debug)]
struct ServeEvents;

impl Events for ServeEvents {
    fn happened(&self, event: &Event<'_>) {
        let text = match event {
            Event::BlobRefused { digest, error } => {
                format!("refused to serve {digest}: {}", report::chain(*error))
            }
            Event::ReadFailed { digest, error } => {
                format!("cut a connection while reading {digest}: {}", report::chain(*error))
            }
            Event::AcceptFailed { error } => {
                format!("cannot take a connection: {}", report::chain(*error))
            }
            // Clients leave; that is no news.
            Event::ConnectionFailed { .. } => return,
            Event::TaskFailed { error } => {
                format!("a connection ended in a defect of bonded: {}", report::chain(*error))
            }
            Event::DrainCut { connections } => {
                format!("cut {connections} connections that did not finish")
            }
            _ => return,
        };
        output::say(&text);
    }
}
