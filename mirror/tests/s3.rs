//! S3 servers in this process, on 127.0.0.1: one that works, and ones that only refuse.

use std::path::Path;

use bonded_mirror::{Destination, DestinationConfig, RetryPolicy, S3Options};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const KEY: &str = "id-of-a-test";
const SECRET: &str = "secret-of-a-test";

/// A server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) endpoint: String,
    _tasks: JoinSet<()>,
}

/// A server whose buckets are the directories in `root`.
pub(crate) async fn serve(root: &Path) -> Server {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                http.serve_connection(TokioIo::new(socket), service).await
            });
        }
    });
    Server { endpoint, _tasks: tasks }
}

/// A server that gives every request the same answer.
pub(crate) async fn always(status: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            let heard = socket.read(&mut request).await.unwrap_or(0);
            let body = "<Error><Code>Test</Code></Error>";
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            if heard > 0 && socket.write_all(answer.as_bytes()).await.is_ok() {
                socket.shutdown().await.unwrap_or_default();
            }
        }
    });
    Server { endpoint, _tasks: tasks }
}

/// A bucket of a server, with hardly any patience.
pub(crate) fn bucket(endpoint: &str, name: &str, url: &str) -> Destination {
    let keys = S3Options {
        access_key_id: Some(KEY.to_owned()),
        secret_access_key: Some(SECRET.to_owned()),
        ..S3Options::default()
    };
    open(endpoint, name, url, keys)
}

/// A bucket that is asked without credentials.
pub(crate) fn anonymous(endpoint: &str, name: &str, url: &str) -> Destination {
    open(endpoint, name, url, S3Options::default())
}

fn open(endpoint: &str, name: &str, url: &str, keys: S3Options) -> Destination {
    let s3 = S3Options { endpoint: Some(endpoint.to_owned()), allow_http: true, ..keys };
    let config =
        DestinationConfig { name: name.to_owned(), url: url.to_owned(), s3, required: true };
    let total_max = std::time::Duration::from_millis(200);
    Destination::open_with(&config, RetryPolicy { repeats_max: 1, total_max }).unwrap()
}

/// A directory.
pub(crate) fn directory(name: &str, path: &Path) -> Destination {
    let config = DestinationConfig {
        name: name.to_owned(),
        url: format!("file://{}", path.display()),
        s3: S3Options::default(),
        required: true,
    };
    Destination::open(&config).unwrap()
}
