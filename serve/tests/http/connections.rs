//! What happens while connections are open: replaced sites, changed files, clients that leave, the end.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bonded_model::Digest;
use bonded_serve::{ServeError, Server};

use crate::running::{Answer, Running, site};
use crate::verified::{RELEASE, World};
use crate::{LARGE, README, large};

#[test]
fn a_corrupt_blob_is_never_served() {
    for (path, bytes) in [(README, b"# demo\n".to_vec()), (LARGE, large())] {
        let world = World::new();
        let server = Running::with_release(&world);
        let digest = Digest::sha256_of(&bytes);
        world.corrupt(&digest);
        // The first request finds the damage, the later ones find the blob in quarantine.
        for request in [&[][..], &[("Range", "bytes=0-1")], &[]] {
            let answer = server.ask("GET", path, request);
            assert_eq!(answer.status, 500, "{path}");
            assert!(answer.text().contains(&digest.to_string()), "{}", answer.text());
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert!(!answer.headers.contains_key("etag"));
        }
        assert_eq!(server.ask("HEAD", path, &[]).status, 500);
        let heard = server.heard();
        assert_eq!(heard.len(), 4, "{heard:?}");
        assert!(heard[0].contains("BlobRefused") && heard[0].contains("Corrupt"), "{heard:?}");
        assert!(heard[1].contains("MissingBlob"), "{heard:?}");
        assert_eq!(server.get("/demo/release/v1.2.3/empty.txt").status, 200);
    }
}

#[test]
fn a_site_is_replaced_without_a_restart() {
    let world = World::new();
    let (empty, _) = world.verified(RELEASE);
    let server = Running::start(site(empty, Vec::new()));
    assert_eq!(server.get(README).status, 404, "in the store, and not verified");
    assert!(!server.get("/").text().contains("demo"));

    let (snapshot, release) = world.verified(RELEASE);
    server.handle.replace(site(snapshot, vec![release]));
    assert_eq!(server.get(README).status, 200);

    world.ingest("other@v2.0.0", &[("a.txt", b"a\n".to_vec())]);
    let (_, first) = world.verified(RELEASE);
    let (snapshot, second) = world.verified("other@v2.0.0");
    server.handle.replace(site(snapshot, vec![first, second]));
    assert_eq!(server.get("/other/release/v2.0.0/a.txt").text(), "a\n");
    assert_eq!(server.get("/release/v1.2.3/README.md").status, 404, "two projects, no short paths");
    let list = server.get("/releases.json");
    let expected = r#"{"projects":[{"project":"demo","releases":"demo/releases.json"},{"project":"other","releases":"other/releases.json"}]}"#;
    assert_eq!(list.text(), expected);
}

#[test]
fn one_connection_answers_many_requests() {
    let world = World::new();
    let mut server = Running::with_release(&world);
    let mut stream = server.connect();
    for _ in 0..3 {
        let request = format!("GET {README} HTTP/1.1\r\nHost: t\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"# demo\n") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0);
            seen.extend_from_slice(&buffer[..count]);
        }
    }
    // An idle connection does not hold the server up when it is to stop.
    server.stop();
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0);
}

#[test]
fn an_answer_under_way_is_finished_before_the_server_stops() {
    let world = World::new();
    let mut server = Running::with_release(&world);
    let mut stream = server.connect();
    stream.write_all(format!("GET {LARGE} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes()).unwrap();
    let mut bytes = vec![0; 1000];
    stream.read_exact(&mut bytes).unwrap();
    let reader = std::thread::spawn(move || {
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    });
    server.stop();
    let answer = Answer::parse(&reader.join().unwrap(), "GET");
    assert!(answer.body == large());
}

#[test]
fn a_client_that_leaves_does_no_harm() {
    let world = World::new();
    let server = Running::with_release(&world);
    for _ in 0..20 {
        let mut stream = server.connect();
        let request = format!("GET {LARGE} HTTP/1.1\r\nHost: t\r\nRange: bytes=5-\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 100];
        stream.read_exact(&mut first).unwrap();
    }
    assert!(server.get(LARGE).body == large());
}

#[test]
fn many_clients_of_one_large_file_all_get_it() {
    let world = World::new();
    let server = Running::with_release(&world);
    let expected = large();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert!(server.get(LARGE).body == expected));
        }
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test damages a file by hand")]
fn a_file_that_is_changed_in_place_after_its_check_is_not_sent() {
    use std::os::unix::fs::{FileExt, PermissionsExt};
    let world = World::new();
    let server = Running::with_release(&world);
    assert!(server.get(LARGE).body == large());
    let hex = bonded_model::Digest::sha256_of(&large()).hex();
    let path = world.store.directory().join("blobs/sha256").join(hex);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let [first, ..] = large()[..] else { panic!("it has bytes") };
    file.write_all_at(&[!first], 0).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap(); // whatever the clock's resolution
    let answer = server.get(LARGE);
    assert!(answer.status >= 500 && answer.body != large(), "{}", answer.status);
    assert!(!path.exists());
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let world = World::empty();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let shown = site(world.store.snapshot().unwrap(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Server::bind(address, shown, Arc::new(()))).unwrap_err();
    assert!(matches!(&error, ServeError::AddressInUse { address: at, .. } if *at == address));
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("another port"), "{text}");
}
