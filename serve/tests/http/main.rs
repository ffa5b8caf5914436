//! The server over real sockets, asked by a raw client: what goes over the wire is what is checked.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, in its helpers too")]

mod connections;
mod running;
#[path = "../../../tests/world/verified.rs"]
mod verified;

use std::io::Write as _;

use bonded_model::{Digest, Release, tree};
use bonded_serve::{ServeError, Site};
use bonded_store::Snapshot;
use bonded_verify::Verified;

use running::{Running, site};
use verified::image::Image;
use verified::{RELEASE, World, small_release};

const LARGE: &str = "/demo/release/v1.2.3/bin/linux%20amd64/%3Cdemo%3E%20&%20'co'";
const README: &str = "/demo/release/v1.2.3/README.md";

fn large() -> Vec<u8> {
    small_release()[1].1.clone()
}

#[test]
fn files_go_out_byte_for_byte_with_their_digest() {
    let world = World::new();
    let server = Running::with_release(&world);
    for (path, expected, content_type) in [
        (LARGE, large(), "application/octet-stream"),
        (README, b"# demo\n".to_vec(), "text/markdown; charset=utf-8"),
        ("/demo/release/v1.2.3/empty.txt", Vec::new(), "text/plain; charset=utf-8"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body == expected, "{path}");
        let digest = Digest::sha256_of(&expected);
        let headers = &answer.headers;
        assert_eq!(headers["etag"], format!("\"{digest}\""));
        assert_eq!(headers["content-type"], content_type);
        assert_eq!(headers["accept-ranges"], "bytes");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable, no-transform");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers["repr-digest"].starts_with("sha-256=:"));
        let head = server.ask("HEAD", path, &[]);
        assert_eq!((head.status, head.lasting_headers()), (200, answer.lasting_headers()));
        assert!(head.body.is_empty());
    }
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[test]
fn every_listed_path_answers_and_head_equals_get() {
    let world = World::new();
    let (snapshot, release) = world.verified(RELEASE);
    let shown = site(snapshot, vec![release]);
    let paths = shown.paths();
    let server = Running::start(shown);
    for path in &paths {
        let path = path.replace(' ', "%20").replace('<', "%3C").replace('>', "%3E");
        let (got, head) = (server.get(&path), server.ask("HEAD", &path, &[]));
        assert_eq!(got.status, 200, "{path}");
        assert_eq!(head.lasting_headers(), got.lasting_headers(), "{path}");
        if let Some(tag) = got.headers.get("etag") {
            let again = server.ask("GET", &path, &[("If-None-Match", tag)]);
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
            assert_eq!(&again.headers["etag"], tag);
        }
    }
    let name = RELEASE.parse().unwrap();
    assert!(paths.contains(&format!("/{}", tree::inventory(&name))));
    assert!(paths.contains(&format!("/{}", tree::evidence_list(&name))));
    assert!(paths.contains(&"/demo/stable-1.2.txt".to_owned()));
    assert!(paths.iter().any(|path| path.contains("/.bonded/sha256-")), "{paths:?}");
    assert!(paths.contains(&"/demo/release/v1.2.3/provenance.intoto.jsonl".to_owned()));
}

#[test]
fn an_only_project_is_answered_without_its_name() {
    let world = World::new();
    let server = Running::with_release(&world);
    for (short, long) in [
        ("/", "/demo/"),
        ("/releases.json", "/demo/releases.json"),
        ("/stable.txt", "/demo/stable.txt"),
        ("/release/stable.txt", "/demo/stable.txt"),
        ("/release/v1.2.3/", "/demo/release/v1.2.3/"),
        ("/release/v1.2.3/README.md", README),
    ] {
        let (short_answer, long_answer) = (server.get(short), server.get(long));
        assert_eq!((short_answer.status, long_answer.status), (200, 200), "{short}");
        assert_eq!(short_answer.body, long_answer.body, "{short}");
        assert_eq!(short_answer.lasting_headers(), long_answer.lasting_headers(), "{short}");
    }
    assert_eq!(server.get("/stable.txt").text(), "v1.2.3");
    let short_lived =
        "public, max-age=0, s-maxage=60, stale-while-revalidate=60, stale-if-error=86400";
    assert_eq!(server.get("/stable.txt").headers["cache-control"], short_lived);
}

#[test]
fn ranges_are_slices_of_the_file() {
    let world = World::new();
    let server = Running::with_release(&world);
    let content = large();
    let size = content.len();
    for (range, first, last) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=262143-262144".to_owned(), 262_143, 262_144),
        ("bytes=1-2000000".to_owned(), 1, 2_000_000),
        (format!("bytes={}-", size - 5), size - 5, size - 1),
        ("bytes=-300000".to_owned(), size - 300_000, size - 1),
        ("bytes=0-".to_owned(), 0, size - 1),
    ] {
        let answer = server.ask("GET", LARGE, &[("Range", &range)]);
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == content[first..=last], "{range}");
        assert_eq!(answer.headers["content-range"], format!("bytes {first}-{last}/{size}"));
    }
    let none = server.ask("GET", LARGE, &[("Range", &format!("bytes={size}-"))]);
    assert_eq!(none.status, 416);
    assert_eq!(none.headers["content-range"], format!("bytes */{size}"));
    let several = server.ask("GET", LARGE, &[("Range", "bytes=0-1,5-6")]);
    assert_eq!((several.status, several.body.len()), (200, size));
    let stale = server.ask("GET", LARGE, &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]);
    assert_eq!((stale.status, stale.body.len()), (200, size));
    let small = server.ask("GET", README, &[("Range", "bytes=2-5")]);
    assert_eq!((small.status, small.text()), (206, "demo"));
    let failed = server.ask("GET", README, &[("If-Match", "\"x\"")]);
    assert_eq!((failed.status, failed.headers["cache-control"].as_str()), (412, "no-store"));
}

#[test]
fn hostile_requests_are_refused() {
    let world = World::new();
    let server = Running::with_release(&world);
    for (path, status) in [
        ("/../../etc/passwd", 400),
        ("/demo/release/v1.2.3/../../../x", 400),
        ("/%2e%2e/%2e%2e/etc/passwd", 400),
        ("/demo%2frelease", 400),
        ("/demo/%00", 400),
        ("/demo/%0d%0aX:%20y", 400),
        ("/demo\\release", 400),
        ("/%ff", 400),
        ("/bonded/ROOT", 404),
        ("/blobs/sha256", 404),
        ("/index.json", 404),
        ("/demo/release/v1.2.3/.bonded/", 404),
        ("/demo/release/v9/", 404),
        ("/DEMO/", 404),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    }
    let long = format!("/{}", "a".repeat(4096));
    assert_eq!(server.get(&long).status, 414);
    for (from, to) in [
        ("//demo//release/v1.2.3/README.md", README),
        ("/demo/release/v1.2.3/%52EADME.md", README),
        ("//evil.example/", "/evil.example/"),
        ("/demo", "/demo/"),
        ("/demo/release/v1.2.3", "/demo/release/v1.2.3/"),
        ("/release/v1.2.3", "/release/v1.2.3/"),
    ] {
        let answer = server.get(from);
        assert_eq!((answer.status, answer.headers["location"].as_str()), (308, to), "{from}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        let answer = server.ask(method, README, &[]);
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD"));
    }
    let no_host = server.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "GET");
    assert_eq!(no_host.status, 400);
    let wide = format!("GET / HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let refused = server.connect();
    // The server may close before all of it is sent; what counts is that it answers others.
    drop((&refused).write_all(wide.as_bytes()));
    assert_eq!(server.get("/healthz").text(), "ok\n");
}

#[test]
fn a_missing_path_says_what_is_near() {
    let world = World::new();
    let server = Running::with_release(&world);
    for (path, near) in [
        ("/demo/release/v1.2.3/RAEDME.md", "in /demo/release/v1.2.3/ there is: README.md,"),
        (
            "/demo/release/v1.2.3/bin/none",
            "in /demo/release/v1.2.3/bin/ there is: linux%20amd64/\n",
        ),
        ("/demo/release/v1.2.4/README.md", "in /demo/release/ there is: v1.2.3/\n"),
        ("/demo/release/v1.2.3/bin/", "in /demo/release/v1.2.3/bin/ there is: linux%20amd64/\n"),
        ("/demo/release/v1.2.3/README.md/", "in /demo/release/v1.2.3/ there is: README.md,"),
        ("/demo/a/b/c/d", "in /demo/ there is: "),
        ("/dmeo/x", "in / there is: demo/,"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404);
        assert!(answer.text().contains(near), "{path}: {}", answer.text());
    }
}

#[test]
fn pages_escape_names_and_name_the_commands() {
    let world = World::new();
    let server = Running::with_release(&world);
    let page = server.get("/demo/release/v1.2.3/");
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(
        page.headers["content-security-policy"].contains("default-src 'none'; style-src 'sha256-")
    );
    let text = page.text();
    assert!(!text.contains("<demo>") && !text.contains("<script"), "{text}");
    assert!(
        text.contains("href=\"./bin/linux%20amd64/%3Cdemo%3E%20&amp;%20&#39;co&#39;\""),
        "{text}"
    );
    assert!(text.contains("bin/linux amd64/&lt;demo&gt; &amp; &#39;co&#39;"), "{text}");
    assert!(text.contains("bonded verify ./README.md --bundle ./"), "{text}");
    assert!(text.contains(" --policy POLICY.toml --release-version v1.2.3\n"), "{text}");
    assert!(text.contains(&Digest::sha256_of(b"# demo\n").to_string()));
    let list: serde_json::Value =
        serde_json::from_slice(&server.get("/releases.json").body).unwrap();
    assert_eq!(list["releases"][0]["version"], "v1.2.3");
    assert_eq!(list["releases"][0]["artifacts"], 3);
}

#[test]
fn a_verdict_on_other_content_opens_nothing() {
    let world = World::new();
    let (_, release) = world.verified(RELEASE);
    let (_, again) = world.verified(RELEASE);
    let refusal = |snapshot: Snapshot, releases: Vec<Verified<Release>>, shown: bool| {
        let (site, refused) = Site::new(snapshot, releases);
        let page = "/demo/release/v1.2.3/".to_owned();
        assert_eq!(site.paths().contains(&page), shown);
        let [(name, error)] = <[_; 1]>::try_from(refused).unwrap();
        assert_eq!(name.to_string(), RELEASE);
        error
    };
    let snapshot = || world.store.snapshot().unwrap();
    let error = refusal(snapshot(), vec![release.clone(), again], true);
    assert!(matches!(error, ServeError::Twice { .. }), "{error}");

    let elsewhere = World::empty();
    let error = refusal(elsewhere.store.snapshot().unwrap(), vec![release.clone()], false);
    assert!(matches!(error, ServeError::Store { .. }), "{error}");

    elsewhere.ingest(RELEASE, &[("README.md", b"other\n".to_vec())]);
    let error = refusal(elsewhere.store.snapshot().unwrap(), vec![release.clone()], false);
    assert!(matches!(error, ServeError::ReleaseChanged { .. }), "{error}");

    world.attach_note(RELEASE);
    let error = refusal(snapshot(), vec![release.clone()], false);
    assert!(matches!(error, ServeError::EvidenceChanged { .. }), "{error}");

    // One such release kept all others from being shown as well.
    world.ingest("demo@v2.0.0", &[("good", b"good\n".to_vec())]);
    let (snapshot, good) = world.verified("demo@v2.0.0");
    let (site, refused) = Site::new(snapshot, vec![release, good]);
    assert!(site.paths().contains(&"/demo/release/v2.0.0/good".to_owned()));
    assert!(!site.paths().iter().any(|path| path.contains("v1.2.3")), "{:?}", site.paths());
    assert_eq!(refused.len(), 1);
}

#[test]
fn what_an_image_consists_of_is_served_and_nothing_else_of_the_store() {
    let world = World::new();
    let image = Image::multi("hello");
    world.hold_image("demo@v2.0.0", "example.com/hello:v1", &image);
    let (snapshot, release) = world.verified("demo@v2.0.0");
    let running = Running::start(site(snapshot, vec![release]));
    let blob = |digest: &Digest| format!("/blobs/sha256/{}", digest.hex());
    for (digest, bytes) in &image.blobs {
        let answer = running.get(&blob(digest));
        assert_eq!((answer.status, &answer.body), (200, bytes), "{digest}");
        let is_manifest = bytes.starts_with(b"{\n");
        let content_type = answer.headers["content-type"].as_str();
        assert_eq!(content_type.starts_with("application/vnd.oci.image"), is_manifest);
        assert!(answer.headers["cache-control"].contains("immutable"));
    }
    let at_path = running.get("/demo/release/v2.0.0/images/example.com/hello/v1");
    assert_eq!((at_path.status, at_path.body.as_slice()), (200, image.top_bytes()));
    let own_type = image.top.media_type.as_str();
    assert_eq!(at_path.headers["content-type"], own_type);

    let unproven = world.store.snapshot().unwrap().release(&RELEASE.parse().unwrap()).unwrap();
    let file = unproven.artifacts()[0].file.digest;
    for path in [blob(&file), blob(&Digest::sha256_of(b"x")), "/blobs/sha256/00".into()] {
        assert_eq!(running.get(&path).status, 404, "{path}");
    }
    assert_eq!(running.get(&blob(&image.top.digest).to_uppercase()).status, 404);
}

#[test]
fn a_release_whose_image_is_not_whole_is_not_shown() {
    let world = World::empty();
    let image = Image::multi("hello");
    world.hold_image("demo@v2.0.0", "example.com/hello:v1", &image);
    let (snapshot, release) = world.verified("demo@v2.0.0");
    let platform = image
        .blobs
        .iter()
        .find(|(digest, bytes)| **digest != image.top.digest && bytes.starts_with(b"{\n"));
    world.corrupt(platform.unwrap().0);
    let (_, refused) = Site::new(snapshot, vec![release]);
    assert!(matches!(&refused[..], [(_, ServeError::Store { .. })]), "{refused:?}");
}
