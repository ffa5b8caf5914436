//! `facts rebuild`, and what `show` tells of facts.

use std::fs;

use crate::world::World;

/// A store with the header of a program for Linux in it, and a script.
fn world() -> World {
    let world = World::with_store();
    let mut program = [0; 64];
    program[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (program[16], program[18], program[20], program[52]) = (2, 62, 1, 64);
    world.write("in/tool", program);
    world.write("in/run.sh", "#!/bin/sh\n");
    world.write("in/noise", [0xff, 0xfe, 0x00, 0x07]);
    world.ok("ingest --release demo@v1 in");
    world
}

#[test]
fn show_tells_what_files_look_like() {
    let world = world();
    let text = world.ok("show demo@v1");
    assert!(text.contains("run.sh  looks like script\n"), "{text}");
    assert!(text.contains("tool  looks like elf, linux/amd64"), "{text}");
    assert!(text.contains("noise\n"), "nothing is told of what looks like nothing: {text}");
    let shown = world.json("show demo@v1", 0);
    let artifacts = shown["release"]["artifacts"].as_array().unwrap();
    let facts_of = |path: &str| {
        let artifact = artifacts.iter().find(|artifact| artifact["path"] == path).unwrap();
        assert!(artifact.get("platform").is_none(), "nobody vouches for what was sniffed");
        shown["facts"][artifact["file"]["digest"].as_str().unwrap()].clone()
    };
    assert_eq!(facts_of("tool")["kind"], "elf");
    assert_eq!(facts_of("tool")["platform"]["os"], "linux");
    let script = facts_of("run.sh");
    assert_eq!((&script["kind"], script["platform"].is_null()), (&"script".into(), true));
    assert!(script["blake3"].as_str().unwrap().starts_with("blake3:"));
}

#[test]
fn facts_are_rebuilt() {
    let world = world();
    let before = world.json("show demo@v1", 0);
    let database = world.path("store/bonded/facts.redb");
    fs::remove_file(&database).unwrap();
    // Verdicts may depend on them, so whoever gathers evidence computes what is not there.
    assert_eq!(world.json("show demo@v1", 0), before);
    fs::remove_file(&database).unwrap();
    let run = world.run("facts rebuild").must(0).says(&["facts: 3 blobs"]);
    assert!(run.stdout.starts_with("facts of 3 blobs, "), "{}", run.stdout);
    assert_eq!(world.json("show demo@v1", 0), before);
    let report = world.json("facts rebuild", 0);
    assert_eq!((&report["blobs"], &report["unreadable"]), (&3.into(), &serde_json::json!([])));
}

#[test]
fn damaged_facts_are_told_once_and_fail_nothing() {
    let world = world();
    let database = world.path("store/bonded/facts.redb");
    let bytes = fs::read(&database).unwrap();
    fs::write(&database, &bytes[..bytes.len() / 2]).unwrap();
    let run = world.run("show demo@v1").must(0);
    assert!(run.stdout.contains("looks like script"), "computed again: {}", run.stdout);
    let notices = run.stderr.lines().filter(|line| line.contains("facts are computed again"));
    assert_eq!(notices.count(), 1, "{}", run.stderr);
    assert!(!world.run("show demo@v1").must(0).stderr.contains("facts"), "told once");
    world.ok("facts rebuild");
    assert!(world.ok("show demo@v1").contains("looks like script"));
}

#[test]
fn what_cannot_be_read_ends_a_rebuild_with_something_to_try() {
    let world = world();
    let shown = world.json("show demo@v1", 0);
    let digest = shown["release"]["artifacts"][0]["file"]["digest"].as_str().unwrap();
    let blob = format!("store/blobs/{}", digest.replace(':', "/"));
    fs::remove_file(world.path(&blob)).unwrap();
    let run = world.run("facts rebuild").must(3).says(&[digest, "cannot be read", "\n  try: "]);
    assert!(run.stdout.starts_with("facts of 2 blobs"), "{}", run.stdout);
    fs::remove_dir_all(world.path("store")).unwrap();
    world.run("facts rebuild").must(3).says(&["not a bonded store", "try: bonded init"]);
}
