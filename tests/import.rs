//! `import`: whole images come in, from layouts and archives that real tools wrote.

use std::fs;
use std::process::Command;

use bonded_model::descriptor::ANNOTATION_REF_NAME;
use bonded_model::manifest::Index;
use bonded_model::media_type;

use crate::world::World;
use crate::world::image::Image;

const NAME: &str = "registry.example/tools/hello:v1.0";

/// Writes a layout with this image under this ref.name.
fn layout(world: &World, directory: &str, name: &str, image: &Image) {
    let mut entry = image.top.clone();
    entry.annotations.insert(ANNOTATION_REF_NAME.into(), name.into());
    world.write(&format!("{directory}/index.json"), Index::plain(vec![entry]).to_bytes());
    world.write(&format!("{directory}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    for (digest, bytes) in &image.blobs {
        world.write(&format!("{directory}/blobs/sha256/{}", digest.hex()), bytes);
    }
}

fn have_skopeo(test: &str) -> bool {
    let found = Command::new("skopeo").arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "skopeo is required in CI");
    if !found {
        eprintln!("{test} did not run: no skopeo");
    }
    found
}

#[track_caller]
fn skopeo(world: &World, line: &str) {
    let mut command = Command::new("skopeo");
    command.args(line.split(' ')).current_dir(world.path(".")).env("HOME", world.path("home"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_image_comes_in_once_and_is_listed_and_shown() {
    let world = World::with_store();
    let image = Image::multi("hello");
    layout(&world, "l", "v1.0", &image);
    let first = world.json("import l --repository registry.example/tools/hello", 0);
    assert_eq!(first["images"][0]["name"], NAME);
    assert_eq!((&first["images"][0]["outcome"], &first["epoch"]), (&"created".into(), &1.into()));
    let second = world.json("import l --repository registry.example/tools/hello", 0);
    assert_eq!(second["images"][0]["outcome"], "unchanged");
    assert_eq!(second["epoch"], 1);
    let digest = image.top.digest.to_string();
    assert_eq!(world.ok("list"), format!("{NAME}  image  {digest}\n"));
    assert_eq!(world.json("list", 0)["images"][0]["image"]["digest"], digest);
    let shown = world.json(&format!("show {NAME}"), 0);
    assert_eq!(shown["blobs"].as_array().unwrap().len(), image.blobs.len());
    assert!(world.ok(&format!("show {NAME}")).starts_with(&format!("{NAME}  {digest}\n")));
    world.run("show registry.example/other:v1").must(2).says(&["bonded list"]);
}

#[test]
fn archives_of_real_tools_come_in() {
    if !have_skopeo("archives_of_real_tools_come_in") {
        return;
    }
    let world = World::with_store();
    let image = Image::of("amd64", "hello");
    layout(&world, "l", "v1.0", &image);
    skopeo(&world, &format!("copy -q oci:l:v1.0 oci-archive:oci.tar:{NAME}"));
    skopeo(&world, "copy -q oci:l:v1.0 docker-archive:docker.tar:registry.example/docker:v1");
    let imported = world.json("import oci.tar", 0);
    assert_eq!(imported["images"][0]["name"], NAME);
    let docker = world.json("import docker.tar", 0);
    assert_eq!(docker["images"][0]["name"], "registry.example/docker:v1");
    skopeo(&world, "copy -q oci:store:registry.example/docker:v1 dir:out");
    assert!(fs::metadata(world.path("out/manifest.json")).unwrap().is_file());
}

#[test]
fn what_skopeo_writes_into_the_store_is_adopted() {
    if !have_skopeo("what_skopeo_writes_into_the_store_is_adopted") {
        return;
    }
    let world = World::with_store();
    world.write("in/tool", "tool");
    world.ok("ingest --release demo@v1 in");
    let (old, new) = (Image::of("arm64", "old"), Image::of("amd64", "new"));
    layout(&world, "old", NAME, &old);
    layout(&world, "new", "latest", &new);
    world.ok("import old");
    skopeo(&world, "copy -q --preserve-digests oci:new:latest oci:store:registry.example/new:v2");
    world.run("list").must(0).says(&["another tool", "bonded import --adopt"]);
    let adopted = world.json("import --adopt", 0);
    assert_eq!(adopted["images"].as_array().unwrap().len(), 1);
    assert_eq!(adopted["images"][0]["name"], "registry.example/new:v2");
    assert_eq!(adopted["images"][0]["image"]["digest"], new.top.digest.to_string());
    assert!(!world.run("list").must(0).stderr.contains("another tool"));
    let listed = world.json("list", 0);
    assert_eq!(listed["images"].as_array().unwrap().len(), 2);
    assert_eq!((listed["releases"].as_array().unwrap().len(), &listed["epoch"]), (1, &3.into()));
    let index: serde_json::Value = serde_json::from_str(&world.read("store/index.json")).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    world.run("import --adopt").must(0).says(&["nothing to adopt"]);
    world.run("fsck").must(0);

    // A name that is held cannot be moved from outside; both digests are told.
    skopeo(&world, &format!("copy -q --preserve-digests oci:new:latest oci:store:{NAME}"));
    let both = [old.top.digest.to_string(), new.top.digest.to_string()];
    world.run("import --adopt").must(2).says(&[NAME, &both[0], &both[1]]);
    world.write("store/index.json", "garbage");
    world.run("import --adopt").must(2).says(&["index.json", "mv "]);
    fs::remove_file(world.path("store/index.json")).unwrap();
    world.ok("import old");
    let shown = world.json(&format!("show {NAME}"), 0);
    assert_eq!(shown["image"]["digest"], both[0]);
}

#[test]
fn bad_layouts_are_refused_with_what_to_do() {
    let world = World::with_store();
    let (one, two) = (Image::of("amd64", "1"), Image::of("amd64", "2"));
    layout(&world, "l", NAME, &one);
    world.ok("import l");
    layout(&world, "other", NAME, &two);
    let both = [one.top.digest.to_string(), two.top.digest.to_string()];
    world.run("import other").must(2).says(&[NAME, &both[0], &both[1]]);
    layout(&world, "tag", "v1", &two);
    world.run("import tag").must(2).says(&["--repository"]);
    world.run("import tag --repository a --reference v2").must(2).says(&["v2", "v1"]);
    let lost = two.blobs.keys().find(|digest| **digest != two.top.digest).unwrap().hex();
    fs::remove_file(world.path("tag/blobs/sha256").join(&lost)).unwrap();
    world.run("import tag --repository a").must(2).says(&["v1 → manifest", &lost]);
    world.write("x.tar", "x");
    world.run("import x.tar").must(2).says(&["x.tar"]);
    world.write("x.tar.gz", b"\x1f\x8b\x08");
    world.run("import x.tar.gz").must(2).says(&["gzip -dc"]);
    world.run("import store").must(2).says(&["--adopt"]);
    world.run("import nowhere").must(3).says(&["nowhere"]);
    assert_eq!(world.json("list", 0)["epoch"], 1);
}

#[test]
fn damage_that_hides_what_a_statement_names_is_told() {
    let world = World::with_store();
    layout(&world, "l", NAME, &Image::multi("hello"));
    let [lost, named] = ["amd64", "arm64"].map(|one| Image::of(one, &format!("hello on {one}")));
    let about = Image::of("amd64", "about");
    let statement = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"x","digest":{{"sha256":"{}"}}}}],"predicateType":"https://example.com/p","predicate":{{}}}}"#,
        named.top.digest.hex()
    );
    let referrer = Image::referrer(&about.top, media_type::IN_TOTO, statement.as_bytes());
    layout(&world, "r", "registry.example/about:v1", &referrer);
    layout(&world, "r", "registry.example/about:v1", &about);
    let mut entries = Index::parse(world.read("r/index.json").as_bytes()).unwrap().manifests;
    entries.push(referrer.top.clone());
    world.write("r/index.json", Index::plain(entries).to_bytes());
    world.ok("import l");
    let lost = lost.top.digest;
    let blob = format!("store/blobs/sha256/{}", lost.hex());
    let bytes = fs::read(world.path(&blob)).unwrap();
    fs::remove_file(world.path(&blob)).unwrap();
    world.run("import r").must(0).says(&["could not look below 1", &lost.hex(), "bonded fsck"]);
    assert_eq!(world.json("import r", 0)["unread"], serde_json::json!([lost]));
    fs::write(world.path(&blob), bytes).unwrap();
    assert_eq!(world.json("import r", 0)["unread"], serde_json::json!([]));
}

#[test]
fn images_become_artifacts_of_a_release() {
    let world = World::with_store();
    let image = Image::multi("hello");
    layout(&world, "l", "v1.0", &image);
    world.write("in/tool", "tool");
    world.run("ingest --release demo@v1 in --image l").must(2).says(&["--image l=REPOSITORY:TAG"]);
    let line = "ingest --release demo@v1 in --image l=registry.example/tools/hello";
    let report = world.json(line, 0);
    assert_eq!(report["outcome"], "created");
    let artifacts = report["release"]["artifacts"].as_array().unwrap();
    assert_eq!(artifacts[0]["path"], "images/registry.example/tools/hello/v1.0");
    assert_eq!(artifacts[0]["file"]["digest"], image.top.digest.to_string());
    assert_eq!(world.json(line, 0)["outcome"], "unchanged");
    assert!(world.ok("show demo@v1").contains("images/registry.example/tools/hello/v1.0"));
}
