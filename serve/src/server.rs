//! The server: listens, bounds what a client may take of the machine, drains when it is to stop.
//!
//! HTTP/1.1 in clear text. A TLS and HTTP/2 front, and the metrics of one, are not here yet.
//!
//! Locks: none; the current site is a watched value, and each request keeps the one it began with.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::blobs::{Blobs, OPEN_COUNT_MAX};
use crate::error::ServeError;
use crate::event::{Event, Events};
use crate::respond::{Shared, respond};
use crate::site::Site;
use crate::stall::Stalling;

/// Connections at one time; more wait in the system's queue. Each has a socket and perhaps a blob open
/// that nobody else holds any more: with the blobs that are held for all, 640 files.
const CONNECTION_COUNT_MAX: usize = 256;

// Below the usual limit of 1,024 open files, with room for the store and the runtime.
const _: () = assert!(2 * CONNECTION_COUNT_MAX + OPEN_COUNT_MAX <= 1024 - 256);

/// The head of a request. A path has at most 6 KiB, the rest is a browser's headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header lines of a request; browsers send about 20.
const HEADER_COUNT_MAX: usize = 64;

/// Time for the head of a request, and so for an idle connection.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);

/// Time in which a client must take some bytes of an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Time that answers under way get to finish when the server is to stop.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Pause after a connection could not be taken, as when the process is out of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that is bound to its address, and answers once it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    sites: watch::Sender<Arc<Site>>,
    events: Arc<dyn Events>,
}

/// Changes what a running server shows.
#[derive(Clone, Debug)]
pub struct Handle {
    sites: watch::Sender<Arc<Site>>,
}

impl Handle {
    /// Shows another site from the next request on. Requests under way finish with the old one.
    pub fn replace(&self, site: Site) {
        self.sites.send_replace(Arc::new(site));
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on an address; port 0 takes a free one. `events` hears what clients are not told.
    ///
    /// # Errors
    /// [`ServeError::AddressInUse`] or [`ServeError::Bind`].
    pub async fn bind(
        address: SocketAddr,
        site: Site,
        events: Arc<dyn Events>,
    ) -> Result<Self, ServeError> {
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::AddressInUse { address, source },
            _ => ServeError::Bind { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, sites: watch::Sender::new(Arc::new(site)), events })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The handle that replaces its site.
    pub fn handle(&self) -> Handle {
        Handle { sites: self.sites.clone() }
    }

    /// Serves until `shutdown` is ready, then takes no more connections, lets answers under way
    /// finish for at most half a minute, and cuts the rest. Needs a runtime with IO and time.
    ///
    /// # Errors
    /// None today; an address that is lost while it runs would be one.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, sites, events, .. } = self;
        let shared = Arc::new(Shared { blobs: Blobs::new(), events: Arc::clone(&events) });
        let slots = Arc::new(Semaphore::new(CONNECTION_COUNT_MAX));
        let stop = watch::Sender::new(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => report(&*events, ended),
                accepted = accept(&listener, &slots) => match accepted {
                    Ok(accepted) => {
                        let connection = Connection {
                            shared: Arc::clone(&shared),
                            sites: sites.subscribe(),
                            stop: stop.subscribe(),
                        };
                        connections.spawn(connection.run(accepted));
                    }
                    Err(error) => {
                        events.happened(&Event::AcceptFailed { error: &error });
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(listener);
        stop.send_replace(true);
        drain(connections, &*events).await;
        Ok(())
    }
}

struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
}

/// The next connection, once there is room for it. Dropping the future loses none.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok(Accepted { stream, peer, slot })
}

type Ended = (SocketAddr, Result<(), Box<dyn Error + Send + Sync>>);

struct Connection {
    shared: Arc<Shared>,
    sites: watch::Receiver<Arc<Site>>,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn run(self, accepted: Accepted) -> Ended {
        let Accepted { stream, peer, slot } = accepted;
        let ended = self.serve(stream).await;
        drop(slot);
        (peer, ended)
    }

    async fn serve(self, stream: TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Self { shared, sites, mut stop } = self;
        stream.set_nodelay(true)?;
        let service = service_fn(|request| {
            let site = Arc::clone(&sites.borrow());
            let shared = Arc::clone(&shared);
            async move { respond(&shared, &site, &request).await }
        });
        let io = TokioIo::new(Stalling::new(stream, WRITE_PATIENCE));
        let mut connection = pin!(protocol().serve_connection(io, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = asked_to_stop(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(Into::into)
    }
}

/// Ready when the server is to stop, or is gone.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADER_COUNT_MAX);
    protocol
}

fn report(events: &dyn Events, ended: Result<Ended, JoinError>) {
    match ended {
        Ok((_, Ok(()))) => {}
        Ok((peer, Err(error))) => {
            events.happened(&Event::ConnectionFailed { peer, error: &*error });
        }
        Err(error) => events.happened(&Event::TaskFailed { error: &error }),
    }
}

/// Lets connections finish, then cuts those that have not.
async fn drain(mut connections: JoinSet<Ended>, events: &dyn Events) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(events, ended);
        }
    };
    if timeout(DRAIN_PATIENCE, all).await.is_err() {
        events.happened(&Event::DrainCut { connections: connections.len() });
        connections.shutdown().await;
    }
}
