//! `init`, `ingest`, `list`, `show`: what goes in is held, once, for ever.

use std::process::Command;

use crate::world::{World, tree};

#[test]
fn a_release_comes_in_and_a_second_time_changes_nothing() {
    let world = World::with_store();
    world.write("in/bin/tool", "tool");
    world.write("in/LICENSE", "licence");
    let first = world.json("ingest --release demo@v1.0.0 in", 0);
    assert_eq!(first["outcome"], "created");
    let before = tree(&world.path("store"));
    let second = world.json("ingest --release demo@v1.0.0 in", 0);
    assert_eq!((&second["outcome"], &second["epoch"]), (&"unchanged".into(), &first["epoch"]));
    let mut after = tree(&world.path("store"));
    after.remove("bonded/lock");
    let mut before = before;
    before.remove("bonded/lock");
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert_eq!(before["bonded/ROOT"], after["bonded/ROOT"]);
    let listed = world.ok("list");
    assert!(listed.starts_with("demo@v1.0.0  2 artifacts"), "{listed}");
}

#[test]
fn the_same_name_with_other_bytes_is_refused_with_both_digests() {
    let world = World::with_store();
    world.write("in/tool", "one");
    world.ok("ingest --release demo@v1 in");
    world.write("in/tool", "two");
    let digest = |text: &str| bonded_model::Digest::sha256_of(text.as_bytes()).to_string();
    world.run("ingest --release demo@v1 in").must(2).says(&[
        "tool",
        &digest("one"),
        &digest("two"),
    ]);
    let shown = world.json("show demo@v1", 0);
    assert_eq!(shown["release"]["artifacts"][0]["file"]["digest"], digest("one"));
}

#[test]
fn an_artifact_more_is_refused_too() {
    let world = World::with_store();
    world.write("in/tool", "one");
    world.ok("ingest --release demo@v1 in");
    world.write("in/more", "more");
    world.run("ingest --release demo@v1 in").must(2).says(&["more"]);
}

#[test]
fn evidence_that_comes_later_is_added() {
    let world = World::with_store();
    world.write("in/tool", "one");
    world.ok("ingest --release demo@v1 in");
    let hex = bonded_model::Digest::sha256_of(b"one").hex();
    world.write("in/SHA256SUMS", format!("{hex}  tool\n"));
    let report = world.json("ingest --release demo@v1 in", 0);
    assert_eq!(report["outcome"], "evidence-added", "{report:#}");
    assert_eq!(world.json("show demo@v1", 0)["evidence"][0]["title"], "SHA256SUMS");
}

#[test]
fn skopeo_reads_the_release_in_place() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "skopeo is required in CI");
        eprintln!("skopeo_reads_the_release_in_place did not run: no skopeo");
        return;
    }
    let world = World::with_store();
    world.write("in/tool", "one");
    let report = world.json("ingest --release demo@v1.2.3 in", 0);
    let tag = {
        let index: serde_json::Value =
            serde_json::from_str(&world.read("store/index.json")).unwrap();
        index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let reference = format!("oci:{}:{tag}", world.path("store").display());
    let inspected = Command::new("skopeo").args(["inspect", "--raw", &reference]).output().unwrap();
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    let digest = bonded_model::Digest::sha256_of(&inspected.stdout).to_string();
    assert_eq!(report["release"]["index"]["digest"], digest);
}

#[test]
fn every_byte_held_is_the_byte_named() {
    let world = World::with_store();
    world.release("v1.0.0");
    for (name, bytes) in tree(&world.path("store/blobs/sha256")) {
        assert_eq!(bonded_model::Digest::sha256_of(&bytes).hex(), name);
    }
}

#[test]
fn sha512_is_a_fact_where_it_is_asked_for() {
    for (arguments, expected) in [
        ("", false),
        (" --sha512", true),
        (" --config sha512.toml", true),
        (" --config sha512.toml --sha512", true),
        (" --config not.toml", false),
    ] {
        let world = World::with_store();
        world.write("in/tool", "one");
        world.write("sha512.toml", "[ingest]\nsha512 = true\n");
        world.write("not.toml", "[ingest]\nsha512 = false\n");
        world.ok(&format!("ingest --release demo@v1 in{arguments}"));
        let store = bonded_store::Store::open(&world.path("store")).unwrap();
        let facts = store.facts().get(&bonded_model::Digest::sha256_of(b"one")).unwrap();
        let sha512 = bonded_model::Digest::sha512_of(b"one");
        assert_eq!(facts.sha512, expected.then_some(sha512), "{arguments}");
    }
}

#[test]
fn an_immutable_source_becomes_a_blob_by_a_second_name() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let world = World::with_store();
    let file = world.write("in/large", vec![5; 9 << 20]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    world.ok("ingest --release demo@v1 --immutable-source in");
    let hex = bonded_model::Digest::sha256_of(&vec![5; 9 << 20]).hex();
    let [source, blob] = [file, world.path(&format!("store/blobs/sha256/{hex}"))]
        .map(|path| std::fs::metadata(path).unwrap());
    assert_eq!(blob.permissions().mode() & 0o777, 0o444);
    // Where the file system shares blocks, that is done instead.
    assert!(source.ino() == blob.ino() || source.permissions().mode() & 0o777 == 0o644);
}
