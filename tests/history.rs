//! `diff` and `list --at`: what the store held before, and a ROOT that was lost.

use std::fs;

use crate::world::World;

fn world() -> World {
    let world = World::with_store();
    world.write("in/tool", "one");
    world.ok("ingest --release demo@v1 in");
    let hex = bonded_model::Digest::sha256_of(b"one").hex();
    world.write("in/SHA256SUMS", format!("{hex}  tool\n"));
    world.ok("ingest --release demo@v1 in");
    world.write("in/tool", "two");
    fs::remove_file(world.path("in/SHA256SUMS")).unwrap();
    world.ok("ingest --release demo@v2 in");
    world
}

#[test]
fn earlier_states_are_listed() {
    let world = world();
    let names = |epoch: u64| {
        let listed = world.json(&format!("list --at {epoch}"), 0);
        assert_eq!(listed["epoch"], epoch);
        let releases = listed["releases"].as_array().unwrap().iter();
        releases.map(|release| release["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(names(0).is_empty());
    assert_eq!(names(1), ["demo@v1"]);
    assert_eq!(names(3), ["demo@v1", "demo@v2"]);
    assert_eq!(world.ok("list --at 3"), world.ok("list"));
    world.run("list --at 4").must(2).says(&["there is no epoch 4", "0 to 3", "bonded list --at 3"]);
}

#[test]
fn differences_are_told_in_names_people_know() {
    let world = world();
    let text = world.ok("diff 0 1");
    assert!(text.starts_with("added    release demo@v1  sha256:"), "{text}");
    assert_eq!(text.lines().count(), 1);
    let text = world.ok("diff 1 3");
    let [first, second] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(first.starts_with("added    evidence of demo@v1  sha256:"), "{text}");
    assert!(second.starts_with("added    release demo@v2  sha256:"), "{text}");
    let all = world.json("diff 1 3", 0)["changes"].as_array().unwrap().len();
    assert!(all > 2, "{all}: programs are told every change");
    let back = world.json("diff 3 2", 0);
    assert_eq!((&back["from"], &back["to"]), (&3.into(), &2.into()));
    let changes = back["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0]["change"], "removed");
    assert_eq!((&changes[0]["kind"], &changes[0]["name"]), (&"release".into(), &"demo@v2".into()));
    assert!(changes[0]["before"]["digest"].is_string() && changes[0].get("after").is_none());
    world.run("diff 2 2").must(0).says(&["no difference"]);
    world.run("diff 2 9").must(2).says(&["there is no epoch 9"]);
    world.run("diff 2").must(2);
}

#[test]
fn a_lost_root_is_told_once_and_mended_by_the_next_writer() {
    let world = world();
    let good = fs::read(world.path("store/bonded/ROOT")).unwrap();
    fs::write(world.path("store/bonded/ROOT"), "").unwrap();
    let expected = world.run("list").must(0).says(&["warning:", "recovered epoch 3"]).stdout;
    world.write("in/tool", "three");
    world.run("ingest --release demo@v3 in").must(0).says(&["recovered epoch 3"]);
    assert!(world.ok("list").starts_with(&expected));
    let document = String::from_utf8(good).unwrap();
    for (version, expected) in [(3, "has format 3"), (1, "make a new store")] {
        let other = document.replace(r#""version":2"#, &format!(r#""version":{version}"#));
        fs::write(world.path("store/bonded/ROOT"), other).unwrap();
        world.run("list").must(3).says(&[expected]);
    }
}

/// The blob of a release's index, or of the manifest of its only artifact, by name and version.
fn listed_blob(world: &World, version: usize, member: &str) -> std::path::PathBuf {
    let release = &world.json("list", 0)["releases"][version];
    let digest = match member {
        "index" => &release["index"]["digest"],
        _ => &release["artifacts"][0]["manifest"]["digest"],
    };
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    world.path("store/blobs/sha256").join(hex)
}

#[test]
fn a_damaged_release_does_not_end_the_list() {
    type Damage = fn(&std::path::Path);
    let remove: Damage = |path| fs::remove_file(path).unwrap();
    let flip: Damage = |path| {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        fs::write(path, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
    };
    for (member, damage, artifacts, line) in [
        ("index", remove, None, "damaged"),
        ("index", flip, None, "damaged"),
        ("manifest", remove, Some(1), "1 artifacts, damaged"),
        ("manifest", flip, Some(1), "1 artifacts, damaged"),
    ] {
        let world = world();
        let whole = world.ok("list");
        let [first, second] = whole.lines().collect::<Vec<_>>()[..] else { panic!("{whole}") };
        let digest = first.rsplit("  ").next().unwrap();
        damage(&listed_blob(&world, 0, member));
        let text = world.run("list").must(3).says(&["demo@v1 is damaged: ", "fsck --repair-from"]);
        assert_eq!(text.stdout, format!("demo@v1  {line}  {digest}\n{second}\n"));
        assert_eq!(world.run("list other").must(0).stdout, "");
        let json = world.json("list", 3);
        assert_eq!(json["releases"].as_array().unwrap().len(), 1);
        assert_eq!(json["releases"][0]["name"], "demo@v2");
        let [damaged] = &json["damaged"].as_array().unwrap()[..] else { panic!("{json:#}") };
        assert_eq!((&damaged["name"], &damaged["digest"]), (&"demo@v1".into(), &digest.into()));
        assert_eq!(damaged.get("artifacts").and_then(|count| count.as_u64()), artifacts);
        assert!(damaged["error"].as_str().unwrap().contains("blob "), "{json:#}");
    }
}

/// What the disk does not give is not called damaged: it may be whole.
#[test]
fn what_the_disk_does_not_give_is_listed_as_unreadable() {
    let world = world();
    let blob = listed_blob(&world, 0, "index");
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(&blob, &blob).unwrap();
    let listed = world.run("list").must(3).says(&["demo@v1 is unreadable: "]);
    assert!(listed.stdout.starts_with("demo@v1  unreadable  sha256:"), "{}", listed.stdout);
    assert!(!listed.stderr.contains("damaged"), "{}", listed.stderr);
}
