//! `diff` and `list --at`: what the store held before, and a ROOT that was lost.

use std::fs;
use std::time::Duration;

use bonded_model::manifest::Index;
use bonded_model::{Descriptor, ReleaseName, Timestamp};
use bonded_store::catalog::Key;
use bonded_store::{Holder, Snapshot, Store};
use serde_json::{Value, json};

use crate::world::World;
use crate::world::image::Image;

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

/// A layout of one image.
fn layout(world: &World, directory: &str, image: &Image) {
    world.write(&format!("{directory}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = Index::plain(vec![image.top.clone()]);
    world.write(&format!("{directory}/index.json"), index.to_bytes());
    for (digest, bytes) in &image.blobs {
        world.write(&format!("{directory}/blobs/sha256/{}", digest.hex()), bytes);
    }
}

/// Epoch 1 has a release, 2 an image as well; in 3 both are others under their old names, as no verb of ours
/// leaves them, and another image and release have come.
fn changed_world() -> (World, [Key; 4]) {
    let world = World::with_store();
    world.write("in/tool", "one");
    world.ok("ingest --release demo@v1 in");
    let [first, second] = ["first", "second"].map(|text| Image::of("amd64", text));
    layout(&world, "l1", &first);
    layout(&world, "l2", &second);
    world.ok("import l1 --name example.com/a:v1");
    world.write("other/in/tool", "two");
    world.ok("init spare");
    world.ok("--store spare ingest --release demo@v1 other/in");
    let spare = Store::open(&world.path("spare")).unwrap();
    let other = spare.snapshot().unwrap().release(&name("demo@v1")).unwrap();
    let store = Store::open(&world.path("store")).unwrap();
    let holder = Holder { who: "a test".into(), since: Timestamp::from_unix_seconds(0).unwrap() };
    let mut writer = store.lock(Duration::from_secs(20), &holder, &mut |_| {}).unwrap();
    for blob in fs::read_dir(world.path("spare/blobs/sha256")).unwrap() {
        let bytes = fs::read(blob.unwrap().path()).unwrap();
        writer.hold(first.top.media_type.clone(), &bytes).unwrap();
    }
    for bytes in second.blobs.values() {
        writer.hold(first.top.media_type.clone(), bytes).unwrap();
    }
    let image = |name: &str| Key::image(&"example.com/a".parse().unwrap(), &name.parse().unwrap());
    let [v1, v2] = ["demo@v1", "demo@v2"].map(|release| Key::release(&name(release)));
    let [old, new] = ["v1", "v2"].map(image);
    for (key, to) in
        [(&v1, other.index()), (&v2, other.index()), (&old, &second.top), (&new, &first.top)]
    {
        writer.insert(key.clone(), to.clone()).unwrap();
    }
    writer.commit().unwrap();
    (world, [v1, v2, old, new])
}

fn name(name: &str) -> ReleaseName {
    name.parse().unwrap()
}

fn at(world: &World, epoch: u64) -> Snapshot {
    Store::open(&world.path("store")).unwrap().snapshot_at(epoch).unwrap()
}

#[test]
fn every_kind_of_difference_has_its_exact_form() {
    let (world, [v1, v2, old, new]) = changed_world();
    let held = |epoch, key| at(&world, epoch).catalog().get(key).unwrap().unwrap();
    let (one, two) = (held(1, &v1), held(3, &v1));
    let (first, second) = (held(2, &old), held(3, &old));
    assert!(one != two && first != second && held(3, &v2) == two && held(3, &new) == first);
    let [o, t, f, s] = [&one, &two, &first, &second].map(|descriptor| descriptor.digest);
    let check = |from: u64, to: u64, text: &str, changes: Value| {
        let line = format!("diff {from} {to}");
        assert_eq!(world.ok(&line), text, "{line}");
        let expected = json!({ "changes": changes, "from": from, "to": to });
        assert_eq!(world.json(&line, 0), expected, "{line}");
        // Byte for byte, in the order of keys, and as one line.
        assert_eq!(world.ok(&format!("{line} --format json")), format!("{expected}\n"));
    };
    let (image, release) = ("example.com/a:v1", "demo@v1");
    let entry = |change, kind, name, before: Option<&Descriptor>, after: Option<&Descriptor>| {
        let mut entry = json!({ "change": change, "kind": kind, "name": name });
        before.into_iter().for_each(|before| entry["before"] = json!(before));
        after.into_iter().for_each(|after| entry["after"] = json!(after));
        entry
    };
    check(
        0,
        2,
        &format!("added    image {image}  {f}\nadded    release {release}  {o}\n"),
        json!([
            entry("added", "image", image, None, Some(&first)),
            entry("added", "release", release, None, Some(&one)),
        ]),
    );
    check(
        2,
        3,
        &format!(
            "changed  image {image}  {f} -> {s}\nadded    image example.com/a:v2  {f}\n\
             changed  release {release}  {o} -> {t}\nadded    release demo@v2  {t}\n"
        ),
        json!([
            entry("changed", "image", image, Some(&first), Some(&second)),
            entry("added", "image", "example.com/a:v2", None, Some(&first)),
            entry("changed", "release", release, Some(&one), Some(&two)),
            entry("added", "release", "demo@v2", None, Some(&two)),
        ]),
    );
    check(
        3,
        1,
        &format!(
            "removed  image {image}  {s}\nremoved  image example.com/a:v2  {f}\n\
             changed  release {release}  {t} -> {o}\nremoved  release demo@v2  {t}\n"
        ),
        json!([
            entry("removed", "image", image, Some(&second), None),
            entry("removed", "image", "example.com/a:v2", Some(&first), None),
            entry("changed", "release", release, Some(&two), Some(&one)),
            entry("removed", "release", "demo@v2", Some(&two), None),
        ]),
    );
    check(3, 3, "", json!([]));
}

#[test]
fn evidence_that_came_has_its_exact_form() {
    let world = world();
    let catalog = |epoch| at(&world, epoch).catalog().clone();
    let came = catalog(2);
    let came: Vec<_> = came.diff(&catalog(1)).map(|change| change.unwrap()).collect();
    let evidence = came.iter().find(|change| change.key.to_evidence().is_some()).unwrap();
    let after = evidence.after.as_ref().unwrap();
    assert_eq!(world.ok("diff 1 2"), format!("added    evidence of demo@v1  {}\n", after.digest));
    assert_eq!(world.ok("diff 2 1"), format!("removed  evidence of demo@v1  {}\n", after.digest));
    let changes = world.json("diff 1 2", 0)["changes"].clone();
    let [first, second] = &changes.as_array().unwrap()[..] else { panic!("{changes:#}") };
    let of = |kind, name: String| json!({ "change": "added", "kind": kind, "name": name, "after": after });
    assert_eq!(*first, of("evidence", "demo@v1".to_owned()));
    let referrer = came.iter().find(|change| change.key.to_referrer().is_some()).unwrap();
    let (subject, by) = referrer.key.to_referrer().unwrap();
    assert_eq!((by, referrer.after.as_ref()), (after.digest, Some(after)));
    assert_eq!(*second, of("referrer", subject.to_string()));
}

#[test]
fn earlier_states_are_listed_in_their_exact_form() {
    let (world, [v1, _, old, _]) = changed_world();
    let held = |epoch, key| at(&world, epoch).catalog().get(key).unwrap().unwrap();
    let release = |epoch, of: &str| json!(at(&world, epoch).release(&name(of)).unwrap());
    let check = |epoch: u64, text: &str, releases: Value, images: Value| {
        assert_eq!(world.ok(&format!("list --at {epoch}")), text);
        let expected =
            json!({ "damaged": [], "epoch": epoch, "images": images, "releases": releases });
        let line = format!("list --at {epoch} --format json");
        assert_eq!(world.ok(&line), format!("{expected}\n"));
    };
    let (one, two) = (held(1, &v1), held(3, &v1));
    let (first, second) = (held(2, &old), held(3, &old));
    let image = |tag: &str, image: &Descriptor| json!({ "image": image, "name": format!("example.com/a:{tag}") });
    let row = |version: &str, index: &Descriptor| {
        format!("demo@{version}  1 artifacts, 3 B  {}\n", index.digest)
    };
    let image_row =
        |tag: &str, image: &Descriptor| format!("example.com/a:{tag}  image  {}\n", image.digest);
    check(0, "", json!([]), json!([]));
    check(1, &row("v1", &one), json!([release(1, "demo@v1")]), json!([]));
    check(
        2,
        &(row("v1", &one) + &image_row("v1", &first)),
        json!([release(1, "demo@v1")]),
        json!([image("v1", &first)]),
    );
    check(
        3,
        &(row("v1", &two)
            + &row("v2", &two)
            + &image_row("v1", &second)
            + &image_row("v2", &first)),
        json!([release(3, "demo@v1"), release(3, "demo@v2")]),
        json!([image("v1", &second), image("v2", &first)]),
    );
}

#[test]
fn an_epoch_that_is_not_kept_is_refused_with_those_that_are() {
    let world = world();
    let says = |line: &str, wanted: u64, kept: &str| {
        let told = format!("there is no epoch {wanted}; those kept are {kept}");
        for format in ["", " --format json"] {
            let run = world.run(&format!("{line}{format}")).must(2).says(&[&told]);
            assert_eq!(run.stdout, "", "{line}{format}");
        }
    };
    for (line, wanted) in [
        ("list --at 4".to_owned(), 4),
        (format!("list --at {}", u64::MAX), u64::MAX),
        ("diff 4 1".to_owned(), 4),
        ("diff 1 4".to_owned(), 4),
        ("diff 5 4".to_owned(), 5),
    ] {
        says(&line, wanted, "0 to 3");
    }
    world.ok("gc --keep-epochs 2 --grace 0s");
    for (line, wanted) in [("list --at 1", 1), ("list --at 0", 0), ("diff 1 3", 1), ("diff 3 1", 1)]
    {
        says(line, wanted, "2 to 3");
    }
    assert!(world.ok("diff 2 3").starts_with("added    release demo@v2  sha256:"));
    assert_eq!(world.ok("list --at 3"), world.ok("list"));
    world.ok("gc --keep-epochs 1 --grace 0s");
    says("diff 2 3", 2, "3 to 3");
    for line in ["list --at -1", "list --at x", "diff 2 x", "diff 1 2 3"] {
        assert_eq!(world.run(line).must(2).stdout, "", "{line}");
    }
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
