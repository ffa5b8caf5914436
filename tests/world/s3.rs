//! A real S3 server in this process, and one that only ever gives one answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

const KEY_ID: &str = "test-key-id";
const SECRET: &str = "test-secret";

/// `s3s-fs` on a free port of 127.0.0.1; ends when dropped.
pub(crate) struct S3Server {
    pub(crate) endpoint: String,
    _runtime: tokio::runtime::Runtime,
}

impl S3Server {
    /// Serves `root`, each bucket a directory in it.
    pub(crate) fn start(root: &Path, buckets: &[&str]) -> Self {
        for bucket in buckets {
            std::fs::create_dir_all(root.join(bucket)).expect("a bucket");
        }
        let backend = s3s_fs::FileSystem::new(root).expect("a file system");
        let mut builder = S3ServiceBuilder::new(backend);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    drop(builder.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { endpoint: format!("http://{address}"), _runtime: runtime }
    }

    /// Gives a command the right credentials.
    pub(crate) fn credentials(&self, command: &mut Command) {
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
    }
}

/// Stops a server of [`always`] or [`answering`] when dropped.
pub(crate) struct Stop(Arc<AtomicBool>, SocketAddr);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.1));
    }
}

/// A server that answers every request with one status and closes.
pub(crate) fn always(status: &str) -> (String, Stop) {
    answering(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
}

/// A server that answers every request with the same bytes and closes.
pub(crate) fn answering(answer: String) -> (String, Stop) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Stop(stopped.clone(), address);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            let mut head = [0; 65536];
            let read = stream.read(&mut head).unwrap_or(0);
            if read > 0 {
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    (format!("http://{address}"), stop)
}
