//! `serve` and `demo`: what a client sees over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use crate::world::{Run, World};

/// A running server; asked to stop, and waited for, when dropped.
pub(crate) struct Served {
    child: Child,
    address: String,
}

impl Served {
    pub(crate) fn start(world: &World, arguments: &[&str]) -> Self {
        let mut child = world
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let url = lines
            .find_map(|line| Some(line.split_once("http://")?.1.split('/').next()?.to_owned()));
        // Somebody goes on listening, so that the program can go on talking.
        std::thread::spawn(move || lines.for_each(drop));
        Self { address: url.expect("the program prints its URL"), child }
    }

    /// Status line with headers in lower case, and body.
    pub(crate) fn ask(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let request = format!("{request}\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).expect("writes");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("reads");
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
        (head, answer[split + 4..].to_vec())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // SIGTERM to exactly this process, so that the drain is exercised as well.
        let pid = self.child.id().to_string();
        drop(std::process::Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
    }
}

#[test]
fn only_verified_releases_are_visible() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("other/tool", "unattested");
    world.ok("ingest --release demo@v1.1.0 other");
    let served =
        Served::start(&world, &["serve", "--listen", "127.0.0.1:0", "--policy", "policy.toml"]);
    let (head, body) = served.ask("GET /release/v1.0.0/bin/tool HTTP/1.1");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, b"tool v1.0.0\n");
    let digest = bonded_model::Digest::sha256_of(&body);
    assert!(head.contains(&format!("etag: \"{digest}\"")), "{head}");
    let (same, _) = served
        .ask(&format!("GET /release/v1.0.0/bin/tool HTTP/1.1\r\nif-none-match: \"{digest}\""));
    assert!(same.starts_with("http/1.1 304"), "{same}");
    let (part, body) =
        served.ask("GET /demo/release/v1.0.0/bin/tool HTTP/1.1\r\nrange: bytes=5-10");
    assert!(part.starts_with("http/1.1 206"), "{part}");
    assert_eq!(body, b"v1.0.0");
    let (hidden, _) = served.ask("GET /release/v1.1.0/tool HTTP/1.1");
    assert!(hidden.starts_with("http/1.1 404"), "{hidden}");
    let (_, list) = served.ask("GET /releases.json HTTP/1.1");
    let list = String::from_utf8(list).unwrap();
    assert!(list.contains("v1.0.0") && !list.contains("v1.1.0"), "{list}");
    let (healthy, _) = served.ask("HEAD /healthz HTTP/1.1");
    assert!(healthy.starts_with("http/1.1 200"), "{healthy}");
    let (page, html) = served.ask("GET / HTTP/1.1");
    assert!(page.contains("content-type: text/html"), "{page}");
    assert!(String::from_utf8(html).unwrap().contains("v1.0.0"));
}

#[test]
fn a_port_in_use_is_said_so() {
    let world = World::with_store();
    world.release("v1.0.0");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    world
        .run(&format!("serve --listen {address} --policy policy.toml"))
        .must(3)
        .says(&[&address, "try: ", "--listen"]);
}

#[test]
fn the_demo_shows_the_whole_idea_and_leaves_only_its_directory() {
    let world = World::new();
    let run = Run::of(&world.command(&["demo", "--once"]).output().unwrap()).must(0);
    for word in ["PASS", "FAIL", "PROV-SUBJECT", "http://127.0.0.1:", "bonded-demo"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let left: Vec<_> =
        std::fs::read_dir(world.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["bonded-demo"]);
    let again = Run::of(&world.command(&["demo", "--once"]).output().unwrap());
    again.must(0);
    world.write("mine/file", "precious");
    world.run("demo --once --dir mine").must(2).says(&["mine"]);
    assert_eq!(world.read("mine/file"), "precious");
}

#[test]
fn the_demo_serves_until_it_is_stopped() {
    let world = World::new();
    let served = Served::start(&world, &["demo"]);
    let (head, body) = served.ask("GET /releases.json HTTP/1.1");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("demo"));
}
