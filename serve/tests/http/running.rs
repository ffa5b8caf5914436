//! A server that runs, and the raw client that asks it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bonded_model::Release;
use bonded_serve::{Event, Events, Handle, Server, Site};
use bonded_store::Snapshot;
use bonded_verify::Verified;
use tokio::sync::oneshot;

use crate::verified::{RELEASE, World};

/// A site that shows all of these.
pub(crate) fn site(snapshot: Snapshot, releases: Vec<Verified<Release>>) -> Site {
    let (site, refused) = Site::new(snapshot, releases);
    assert!(refused.is_empty(), "{refused:?}");
    site
}

/// A server in a thread of its own, stopped when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) events: Arc<Heard>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

impl Events for Heard {
    fn happened(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Running {
    pub(crate) fn start(site: Site) -> Self {
        let events = Arc::new(Heard::default());
        let hears: Arc<dyn Events> = events.clone();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let address = SocketAddr::from(([127, 0, 0, 1], 0));
                let server = Server::bind(address, site, hears).await.unwrap();
                ready.send((server.local_addr(), server.handle())).unwrap();
                let shutdown = async { stopped.await.unwrap_or(()) };
                server.run(shutdown).await.unwrap();
            });
        });
        let (address, handle) = is_ready.recv().unwrap();
        Self { address, handle, events, stop: Some(stop), thread: Some(thread) }
    }

    /// With the release of [`World::new`].
    pub(crate) fn with_release(world: &World) -> Self {
        let (snapshot, release) = world.verified(RELEASE);
        Self::start(site(snapshot, vec![release]))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.send(request.as_bytes(), method)
    }

    pub(crate) fn send(&self, request: &[u8], method: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes, method)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.events.0.lock().unwrap().clone()
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Parses a whole connection's bytes; the body must be as long as it was said to be.
    pub(crate) fn parse(bytes: &[u8], method: &str) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let body = bytes[end + 4..].to_vec();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        if method != "HEAD" && status != 304 {
            assert_eq!(headers["content-length"], body.len().to_string(), "{head}");
        }
        Self { status, headers, body }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// What a cache would compare; the date is the time of the answer.
    pub(crate) fn lasting_headers(&self) -> BTreeMap<String, String> {
        let mut headers = self.headers.clone();
        headers.remove("date");
        headers
    }
}
