//! Requests to a server of one release: a path, and what stands in headers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use bonded_serve::{Server, Site};
use bonded_store::ingest::{IngestOptions, IngestRequest, ingest};
use bonded_store::{Holder, Snapshot, Store};
use bonded_verify::{Policy, verify_release};

use super::verdicts::{VERIFIER, now};

/// The headers that are read, in the order of the lines of an input, behind that with the path.
const HEADERS: [&str; 5] = ["Range", "If-Match", "If-None-Match", "If-Range", "Accept"];

/// The server of all; it ends with the process.
static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| {
    let (ready, is_ready) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = Server::bind(any, site(), Arc::new(())).await.expect("a port");
            ready.send(server.local_addr()).expect("somebody waits for it");
            server.run(std::future::pending()).await.expect("it never ends");
        });
    });
    is_ready.recv().expect("a server")
});

/// Of a release that a policy without demands lets pass.
fn site() -> Site {
    let directory = tempfile::tempdir().expect("a directory").keep();
    let store = Store::init(&directory.join("store")).expect("a store");
    let input = directory.join("in");
    fs::create_dir(&input).expect("a directory");
    fs::write(input.join("tool"), "hello".repeat(500)).expect("a file");
    fs::write(input.join("a b\u{fc}"), "other").expect("a file");
    let release = "demo@v1".parse().expect("a name");
    let request = IngestRequest {
        release: &release,
        inputs: &[input],
        images: &[],
        holder: &Holder { who: "a fuzz target".to_owned(), since: now() },
        wait: Duration::from_secs(1),
        options: IngestOptions::default(),
    };
    ingest(&store, &request, &()).expect("a release");
    let snapshot: Snapshot = store.snapshot().expect("a state");
    let evidence = snapshot.evidence(&release).expect("it is held");
    let open = "version = 1\nname = \"p\"\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n";
    let policy = Policy::parse(open).expect("a policy");
    let verdict = verify_release(&VERIFIER, &policy, &evidence, now());
    let verified = verdict.admit(evidence.release).expect("it passes");
    let (site, refused) = Site::new(snapshot, vec![verified]);
    assert!(refused.is_empty());
    site
}

/// Every request has an answer, and none is that the server does not know what to do.
pub fn request(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let path = lines.next().unwrap_or_default();
    let mut message = [b"GET ", path, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"].concat();
    for (name, value) in HEADERS.iter().zip(lines).filter(|(_, value)| !value.is_empty()) {
        message.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    message.extend(b"\r\n");
    let mut stream = TcpStream::connect(*ADDRESS).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    // Of what is too long not all is read: then the connection may end before the answer is here.
    let sent = stream.write_all(&message);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.is_empty() && (sent.is_err() || read.is_err()) {
        return;
    }
    let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.first());
    assert!(status.is_some_and(|digit| (b'2'..b'5').contains(digit)), "an answer that is one");
}
