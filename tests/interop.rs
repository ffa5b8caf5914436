//! Images through real tools of others: what bonded writes they read, what they write it takes in, byte for
//! byte.
//!
//! A test whose tool is not installed says on standard error that it did not run; in CI it fails.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bonded_model::{Digest, ImageName, MediaType, media_type};
use bonded_store::catalog::Key;
use bonded_store::{Holder, Store};

use crate::world::image::Image;
use crate::world::{World, tree};

const NAME: &str = "registry.example/tools/hello:v1.0";

/// Whether the tools of a test are there.
fn have(test: &str, tools: &[&str]) -> bool {
    let missing: Vec<_> =
        tools.iter().filter(|tool| Command::new(tool).arg("--version").output().is_err()).collect();
    assert!(missing.is_empty() || std::env::var_os("CI").is_none(), "{missing:?} required in CI");
    if !missing.is_empty() {
        eprintln!("{test} did not run: no {missing:?}");
    }
    missing.is_empty()
}

/// Runs a tool in the world's directory and insists on success.
#[track_caller]
fn tool(world: &World, line: &str) -> Vec<u8> {
    let Output { status, stdout, stderr } = attempt(world, line);
    assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
    stdout
}

fn attempt(world: &World, line: &str) -> Output {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let mut command = Command::new(words.next().unwrap());
    command.args(words).current_dir(world.path(".")).env("HOME", world.path("home"));
    command.output().unwrap()
}

/// Holds an image under a name.
fn hold(world: &World, name: &str, image: &Image) {
    let store = Store::open(&world.path("store")).unwrap();
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    let holder = Holder { who: "a test".into(), since };
    let mut writer = store.lock(Duration::from_secs(10), &holder, &mut |_| {}).unwrap();
    for bytes in image.blobs.values() {
        writer.hold(MediaType::known(media_type::OCTET_STREAM), bytes).unwrap();
    }
    let name: ImageName = name.parse().unwrap();
    writer.insert(Key::image(&name.repository, &name.tag), image.top.clone()).unwrap();
    writer.commit().unwrap();
}

fn with_image(image: &Image) -> World {
    let world = World::with_store();
    hold(&world, NAME, image);
    world
}

/// A world with the image exported as layout and as archive, and what tools call these.
fn with_exports(image: &Image) -> (World, [String; 2]) {
    let world = with_image(image);
    world.ok(&format!("export {NAME} --to out"));
    world.ok(&format!("export {NAME} --to out.tar"));
    (world, [format!("oci:out:{NAME}"), format!("oci-archive:out.tar:{NAME}")])
}

/// That a layout has every blob of an image, byte for byte.
fn has_blobs(layout: &Path, image: &Image) {
    for (digest, bytes) in &image.blobs {
        let found = std::fs::read(layout.join("blobs/sha256").join(digest.hex()));
        assert!(found.is_ok_and(|found| found == *bytes), "{digest} in {}", layout.display());
    }
}

#[test]
fn skopeo_reads_what_is_exported() {
    if !have("skopeo_reads_what_is_exported", &["skopeo"]) {
        return;
    }
    let image = Image::multi("hello");
    let (world, references) = with_exports(&image);
    for reference in references {
        let raw = tool(&world, &format!("skopeo inspect --raw {reference}"));
        assert!(raw == image.top_bytes(), "{reference}");
    }
    let copy = "skopeo copy -q --all --preserve-digests";
    tool(&world, &format!("{copy} oci:out:{NAME} oci:of-directory:x"));
    tool(&world, &format!("{copy} oci-archive:out.tar:{NAME} oci:of-archive:x"));
    has_blobs(&world.path("of-directory"), &image);
    has_blobs(&world.path("of-archive"), &image);
}

#[test]
fn umoci_unpacks_what_is_exported() {
    if !have("umoci_unpacks_what_is_exported", &["umoci"]) {
        return;
    }
    let world = with_image(&Image::of("amd64", "hello"));
    world.ok(&format!("export {NAME} --to out"));
    let listed = tool(&world, "umoci ls --layout out");
    assert_eq!(String::from_utf8_lossy(&listed).trim(), NAME);
    tool(&world, &format!("umoci unpack --rootless --image out:{NAME} bundle"));
    assert_eq!(world.read("bundle/rootfs/hello"), "hello");
    assert!(world.read("bundle/config.json").contains("\"/hello\""), "the command of the image");
}

#[test]
fn buildah_pulls_what_is_exported() {
    if !have("buildah_pulls_what_is_exported", &["buildah"]) {
        return;
    }
    let image = Image::multi("hello");
    let (world, references) = with_exports(&image);
    for reference in references {
        let at = "buildah --storage-driver vfs --root root --runroot run";
        let pulled = tool(&world, &format!("{at} pull -q --arch amd64 {reference}"));
        let id = String::from_utf8(pulled).unwrap().trim().to_owned();
        let config =
            tool(&world, &format!("{at} inspect --type image --format {{{{.Config}}}} {id}"));
        assert_eq!(Digest::sha256_of(config.trim_ascii()).hex(), id, "{reference}");
    }
}

/// What `umoci` makes from nothing, with a layer of its own.
fn umoci_image(world: &World) {
    world.write("home/hello", "hello from umoci");
    for line in [
        "umoci init --layout made",
        "umoci new --image made:v1",
        "umoci insert --rootless --image made:v1 home/hello /hello",
    ] {
        tool(world, line);
    }
}

#[test]
fn what_umoci_makes_goes_through() {
    if !have("what_umoci_makes_goes_through", &["umoci", "skopeo", "buildah"]) {
        return;
    }
    let world = World::with_store();
    umoci_image(&world);
    let name = "registry.example/umoci:v1";
    let imported = world.json("import made --repository registry.example/umoci", 0);
    assert_eq!(imported["images"][0]["name"], name);
    world.ok(&format!("export {name} --to out"));
    let before = tool(&world, "skopeo inspect --raw oci:made:v1");
    for layout in ["out", "store"] {
        let after = tool(&world, &format!("skopeo inspect --raw oci:{layout}:{name}"));
        assert!(before == after, "{layout}");
        tool(&world, &format!("umoci unpack --rootless --image {layout}:{name} {layout}-bundle"));
        assert_eq!(world.read(&format!("{layout}-bundle/rootfs/hello")), "hello from umoci");
        let at = "buildah --storage-driver vfs --root root --runroot run";
        tool(&world, &format!("{at} pull -q oci:{layout}:{name}"));
    }
}

#[test]
fn what_buildah_commits_goes_through() {
    if !have("what_buildah_commits_goes_through", &["buildah", "skopeo"]) {
        return;
    }
    let theirs = World::new();
    theirs.write("home/hello", "hello from buildah");
    let buildah = |line: &str| {
        let at = "buildah --storage-driver vfs --root root --runroot run";
        tool(&theirs, &format!("{at} {line}"))
    };
    let container = String::from_utf8(buildah("from scratch")).unwrap();
    let container = container.trim();
    buildah(&format!("copy -q {container} home/hello /hello"));
    buildah(&format!("commit -q {container} made"));
    buildah(&format!("push -q made oci:layout:{NAME}"));
    buildah(&format!("push -q made oci-archive:layout.tar:{NAME}"));
    let written = tree(&theirs.path("layout/blobs/sha256"));
    assert_eq!(written.len(), 3, "manifest, configuration and layer");
    let raw = tool(&theirs, &format!("skopeo inspect --raw oci:layout:{NAME}"));
    for from in ["layout", "layout.tar"] {
        let world = World::with_store();
        let imported = world.json(&format!("import {}", theirs.path(from).display()), 0);
        assert_eq!((&imported["images"][0]["name"], &imported["blobs"]), (&NAME.into(), &3.into()));
        world.ok(&format!("export {NAME} --to out"));
        for blobs in ["store/blobs/sha256", "out/blobs/sha256"] {
            let held = tree(&world.path(blobs));
            for (name, bytes) in &written {
                assert!(held.get(name) == Some(bytes), "{name} from {from} in {blobs}");
            }
        }
        for layout in ["store", "out"] {
            assert!(raw == tool(&world, &format!("skopeo inspect --raw oci:{layout}:{NAME}")));
        }
    }
}

#[test]
fn what_skopeo_writes_goes_through_in_every_form() {
    if !have("what_skopeo_writes_goes_through_in_every_form", &["skopeo", "umoci"]) {
        return;
    }
    let image = Image::multi("hello");
    let source = with_image(&image);
    source.ok(&format!("export {NAME} --to out"));
    let copy = "skopeo copy -q --all --preserve-digests";
    tool(&source, &format!("{copy} oci:out:{NAME} oci:theirs:{NAME}"));
    tool(&source, &format!("{copy} oci:out:{NAME} oci-archive:theirs.tar:{NAME}"));
    for from in ["theirs", "theirs.tar"] {
        let world = World::with_store();
        let from = source.path(from).display().to_string();
        world.ok(&format!("import {from}"));
        for to in ["again", "again.tar"] {
            world.ok(&format!("export {NAME} --to {to}"));
        }
        has_blobs(&world.path("again"), &image);
        for reference in ["oci:again", "oci-archive:again.tar", "oci:store"] {
            let raw = tool(&world, &format!("skopeo inspect --raw {reference}:{NAME}"));
            assert!(raw == image.top_bytes(), "{reference}");
        }
    }
}

#[test]
fn a_release_with_its_evidence_goes_out_and_comes_in_again() {
    let world = World::with_store();
    world.release("v1.0.0");
    hold(&world, NAME, &Image::multi("hello"));
    world.ok("verify demo@v1.0.0 --policy policy.toml");
    let shown = world.json("show demo@v1.0.0", 0);
    for to in ["backup", "backup.tar"] {
        let exported = world.json(&format!("export --to {to}"), 0);
        assert_eq!(exported["names"][0]["tag"], "demo/v1.0.0");
        assert_eq!(exported["referrers"], 2);
        world.ok("init again");
        let imported = world.json(&format!("--store again import {to} --releases"), 0);
        assert_eq!(imported["releases"][0]["outcome"], "created");
        let again = world.json("--store again show demo@v1.0.0", 0);
        // All but the facts, which each store finds out for itself.
        for part in ["release", "evidence", "evidenceDigest", "summaries"] {
            assert_eq!(again[part], shown[part], "{part}");
        }
        world.ok("--store again verify demo@v1.0.0 --policy policy.toml --no-record");
        std::fs::remove_dir_all(world.path("again")).unwrap();
    }
}

#[test]
fn exports_that_are_refused_say_what_to_do() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("taken/file", "theirs");
    let check = |line: &str, words: &[&str]| world.run(line).must(2).says(words);
    check("export --to taken", &["taken is not empty", "try: "]);
    check("export --to taken/file", &["exists already", "try: "]);
    check("export --to store/inside", &["in the store itself", "try: "]);
    check(
        "export demo@v1.0.1 --to out",
        &["no release demo@v1.0.1", "the nearest is", "bonded list"],
    );
    check("export a/b:v1 --to out", &["no image a/b:v1", "bonded list"]);
    check("export nothing --to out", &["nothing"]);
    world.run("export --to no/such/out").must(3).says(&["try: "]);
    assert_eq!(world.read("taken/file"), "theirs");
    assert!(!world.path("out").exists());
    world.ok("export --to plain --oci-archive");
    assert!(world.path("plain").is_file());
}
