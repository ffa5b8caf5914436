//! `gc` and `fsck`: looking after a store.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bonded_model::Digest;

use crate::world::s3::answering;
use crate::world::{Run, World};

fn world() -> World {
    let world = World::with_store();
    world.write("in/tool", "tool");
    world.ok("ingest --release demo@v1 in");
    world
}

fn blob(world: &World, bytes: &[u8]) -> std::path::PathBuf {
    world.path("store/blobs/sha256").join(Digest::sha256_of(bytes).hex())
}

#[test]
fn gc_says_what_it_would_do_and_then_does_it() {
    let world = world();
    fs::write(blob(&world, b"lost"), "lost").unwrap();
    let young = world.json("gc --keep-epochs 1", 0);
    assert_eq!((&young["quarantined"]["blobs"], &young["dryRun"]), (&0.into(), &false.into()));
    assert!(young["young"]["blobs"].as_u64().unwrap() >= 1, "{young:#}");
    let dry = world.ok("gc --keep-epochs 1 --grace 0s --dry-run");
    assert!(dry.starts_with("dry run") && dry.contains("set aside"), "{dry}");
    assert!(blob(&world, b"lost").exists());
    let done = world.json("gc --keep-epochs 1 --grace 0s", 0);
    assert!(done["quarantined"]["bytes"].as_u64().unwrap() >= 4, "{done:#}");
    assert_eq!(done["deleted"], done["quarantined"]);
    assert!(!blob(&world, b"lost").exists());
    assert!(world.ok("fsck").starts_with("sound"));
    world.ok("show demo@v1");
}

#[test]
fn gc_refuses_what_it_cannot_understand() {
    let world = world();
    world.run("gc --grace 7weeks").must(2).says(&["7weeks", "7d"]);
    world.run("gc --keep-epochs 0").must(2).says(&["keep-epochs"]);
    world.write("store/index.json", "{}");
    world.run("gc --grace 0s").must(3).says(&["index.json", "import --adopt"]);
    let release = world.json("show demo@v1", 0);
    let manifest = release["release"]["artifacts"][0]["manifest"]["digest"].as_str().unwrap();
    fs::remove_file(world.path("store/index.json")).unwrap();
    let hex = manifest.strip_prefix("sha256:").unwrap();
    fs::remove_file(world.path("store/blobs/sha256").join(hex)).unwrap();
    world.run("gc --grace 0s").must(3).says(&[manifest, "bonded fsck"]);
}

#[test]
fn fsck_finds_a_flipped_bit_tells_what_needs_it_and_fetches_it() {
    let world = world();
    let copy = world.path("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(blob(&world, b"tool"), copy.join(Digest::sha256_of(b"tool").hex())).unwrap();
    fs::remove_file(blob(&world, b"tool")).unwrap();
    fs::write(blob(&world, b"tool"), "tooL").unwrap();
    fs::set_permissions(blob(&world, b"tool"), fs::Permissions::from_mode(0o444)).unwrap();
    let digest = Digest::sha256_of(b"tool").to_string();
    let left = world.run("fsck --no-quarantine").must(1);
    assert!(left.stdout.contains("corrupt-blob") && left.stdout.contains(&digest));
    assert!(left.stdout.contains("release/demo/v1 → "), "{}", left.stdout);
    assert_eq!(fs::read(blob(&world, b"tool")).unwrap(), b"tooL");
    let found = world.json("fsck --threads 1 --rate 1GiB", 1);
    assert_eq!(found["findings"][0]["code"], "corrupt-blob", "{found:#}");
    assert_eq!(found["findings"][0]["needed_by"], serde_json::Value::Null);
    assert_eq!(found["findings"][0]["neededBy"][0]["key"], "release/demo/v1");
    assert_eq!(found["findings"][0]["remedy"]["done"], "quarantined");
    let missing = world.json("fsck --repair", 1);
    assert_eq!(missing["findings"][0]["code"], "missing-blob", "{missing:#}");
    let mended = world.ok("fsck --repair-from copy");
    assert!(mended.starts_with("the one problem mended"), "{mended}");
    assert!(world.ok("fsck --fast").starts_with("sound"));
}

#[test]
fn fsck_fetches_from_a_mirror_by_its_url() {
    let world = world();
    let mirror = world.path("mirror/demo/release/v1");
    fs::create_dir_all(&mirror).unwrap();
    fs::write(mirror.join("tool"), "tool").unwrap();
    fs::remove_file(blob(&world, b"tool")).unwrap();
    let url = format!("file://{}", world.path("mirror").display());
    let mended = world.json(&format!("fsck --repair-from {url}"), 0);
    assert_eq!(mended["remains"], false, "{mended:#}");
    assert_eq!(mended["findings"][0]["remedy"]["from"], url);
    assert_eq!(fs::read(blob(&world, b"tool")).unwrap(), b"tool");
}

/// A bucket that fails is told, and the next source is asked.
#[test]
fn fsck_asks_the_next_source_where_a_bucket_breaks() {
    let whole =
        "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
    let closed = |length: usize, body: &str| {
        format!("{whole}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    let status = |status: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    for (answer, expected) in [
        (status("500 Internal Server Error"), "500"),
        (status("403 Forbidden"), "refused"),
        (closed(4, "to"), "cannot be read"),
        (closed(4, "loot"), "hashes to sha256:"),
        (closed(9, "tool, etc"), "has more than 4 bytes"),
    ] {
        let world = world();
        fs::remove_file(blob(&world, b"tool")).unwrap();
        let (endpoint, stop) = answering(answer);
        world.write("bonded.toml", format!(
            "[destinations.bucket]\nurl = \"s3://mirror\"\nendpoint = \"{endpoint}\"\nallow_http = true\n"
        ));
        let fsck = |sources: &[&str]| {
            let mut command = world.command(&["fsck", "--format", "json"]);
            for source in sources {
                command.args(["--repair-from", source]);
            }
            command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y");
            Run::of(&command.output().unwrap())
        };
        let left = fsck(&["bucket"]).must(1);
        assert!(left.stdout.contains(expected), "{expected}: {}", left.stdout);
        assert!(!blob(&world, b"tool").exists());
        world.write(&format!("heap/{}", Digest::sha256_of(b"tool").hex()), "tool");
        let mended = fsck(&["bucket", "heap"]).must(0);
        assert!(mended.stdout.contains(r#""from":"heap""#), "{}", mended.stdout);
        assert_eq!(fs::read(blob(&world, b"tool")).unwrap(), b"tool");
        drop(stop);
    }
}

#[test]
fn fsck_mends_what_the_store_can_prove() {
    let world = world();
    fs::set_permissions(blob(&world, b"tool"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::remove_file(world.path("store/index.json")).unwrap();
    world.write("store/oci-layout", "");
    world.write("store/bonded/ROOT", "");
    let found = world.json("fsck", 1);
    let codes: Vec<_> = found["findings"].as_array().unwrap().iter().map(|f| &f["code"]).collect();
    for code in ["root-damaged", "wrong-mode", "layout-file", "index-out-of-step"] {
        assert!(codes.contains(&&code.into()), "{found:#}");
    }
    world.ok("fsck --repair");
    assert!(world.ok("fsck").starts_with("sound"));
    world.run("fsck --repair --no-quarantine").must(2);
    world.run("fsck --rate fast").must(2).says(&["200MiB"]);
    world.run("fsck --repair-from nonsense://x").must(2);
    for nothing in ["misspelt", "store/bonded/ROOT"] {
        let refused = world.run(&format!("fsck --repair-from {nothing}")).must(2);
        refused.says(&[nothing, "no directory", "bonded.toml"]);
    }
}

#[test]
fn a_store_is_kept_without_index_json_if_asked() {
    let world = World::new();
    world.write("in/tool", "tool");
    world.ok("init store --no-index");
    world.ok("ingest --release demo@v1 in");
    assert!(!world.path("store/index.json").exists());
    assert!(world.ok("index").starts_with("off: "));
    assert_eq!(world.json("config show", 0)["store.index"]["value"], "off");
    assert!(world.ok("fsck").starts_with("sound"));
    world.ok("init other");
    world.run("--store other import store --releases").must(2).says(&["export --to", "index on"]);

    let on = world.json("index on", 0);
    assert_eq!((&on["index"], &on["state"]), (&"on".into(), &"current".into()));
    world.ok("--store other import store --releases");
    let off = world.json("index off", 0);
    assert_eq!((&off["index"], &off["state"]), (&"off".into(), &"off".into()));
    world.ok("index off");

    world.write("store/index.json", "{\"schemaVersion\":2,\"manifests\":[]}");
    world.run("index").must(0).says(&["import --adopt"]);
    let listed = world.run("list").must(0).says(&["that is kept without it", "import --adopt"]);
    assert!(!listed.stderr.contains("do not see"), "{}", listed.stderr);
    world.run("fsck").must(1).says(&["import --adopt"]);
    world.ok("import --adopt");
    assert!(!world.path("store/index.json").exists());
    world.run("index of").must(2).says(&["off"]);
}
