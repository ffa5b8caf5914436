//! Verdicts that are kept: found again without a look at the evidence, and only while they are the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use bonded_model::{ContentKind, Digest};
use bonded_store::{BlobFacts, Store};
use serde_json::Value;

use crate::world::{Run, World};

/// The release `demo@v1.0.0` under `policy.toml`, whose verdict is kept.
fn world() -> World {
    let world = World::with_store();
    world.release("v1.0.0");
    verify(&world, "").must(0);
    world
}

fn run(world: &World, line: &str) -> Run {
    let arguments: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let mut command = world.command(&arguments);
    Run::of(&command.env("BONDED_STATE", "state").output().unwrap())
}

fn verify(world: &World, more: &str) -> Run {
    run(world, &format!("verify demo@v1.0.0 --policy policy.toml --format json {more}"))
}

fn verdict(run: &Run) -> Value {
    let mut verdict: Value = serde_json::from_str(&run.stdout).unwrap();
    verdict["now"] = Value::Null;
    verdict
}

/// The document of the release's evidence: whoever reads it anew cannot without its blob.
fn document(world: &World) -> PathBuf {
    let verdict = verdict(&verify(world, "--no-cache --no-record").must(0));
    let digest = verdict["documents"][0].as_str().unwrap().replace(':', "/");
    world.path(&format!("store/blobs/{digest}"))
}

#[test]
fn a_verdict_is_found_again_without_its_evidence() {
    let world = world();
    let first = verdict(&verify(&world, "--no-cache").must(0));
    fs::remove_file(document(&world)).unwrap();
    let second = verify(&world, "").must(0);
    assert_eq!(verdict(&second), first);
    assert!(second.stderr.is_empty(), "{}", second.stderr);
    assert_eq!(verdict(&verify(&world, "--no-record").must(0)), first);
    verify(&world, "--no-cache").must(3);
    verify(&world, "--at 2026-06-01T00:00:00Z").must(3);
    let plan = "mirror plan --policy policy.toml --to file://OUT";
    let plan = plan.replace("OUT", world.path("out").to_str().unwrap());
    assert!(!run(&world, &plan).stderr.contains("stays here: no verdict"));
    let anew = run(&world, &format!("{plan} --no-cache"));
    assert!(anew.stderr.contains("stays here: no verdict"), "{}", anew.stderr);
}

/// Where summaries count, the evidence was gathered for them before a kept verdict was asked for.
#[test]
fn a_kept_pass_is_asked_for_before_summaries_are() {
    let world = world();
    let verifier = r#"
[[verifier]]
id = "https://example.com/verifier"
signers = ["demo key"]
level = 2
release = "pkg:generic/{project}@{version}"
max_age = "7d"
"#;
    world.write("policy.toml", world.policy() + verifier);
    verify(&world, "").must(0);
    let gone = document(&world);
    fs::remove_file(gone).unwrap();
    let plan =
        format!("mirror plan --policy policy.toml --to file://{}", world.path("out").display());
    let kept = run(&world, &plan).stderr;
    assert!(!kept.contains("stays here"), "{kept}");
    assert!(run(&world, &format!("{plan} --no-cache")).stderr.contains("stays here: no verdict"));
}

#[test]
fn a_fail_is_kept_as_well() {
    let world = world();
    world.write(
        "policy.toml",
        world.policy().replace("https://example.com/demo", "https://example.com/x"),
    );
    let first = verdict(&verify(&world, "").must(1));
    let gone = world.path(&format!(
        "store/blobs/{}",
        first["documents"][0].as_str().unwrap().replace(':', "/")
    ));
    fs::remove_file(gone).unwrap();
    assert_eq!(verdict(&verify(&world, "").must(1)), first);
}

#[test]
fn what_a_verdict_depends_on_lets_it_be_reached_anew() {
    type Change = fn(&World);
    let changes: [(&str, Change); 4] = [
        ("policy", |world| {
            world.write("policy.toml", format!("{}# \n", world.policy()));
        }),
        ("evidence", |world| world.attest("v1.0.0")),
        ("rebuild", |world| {
            run(world, "facts rebuild");
        }),
        ("key", |world| {
            let key = world.path("state/verdicts.key");
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(key, [7; 32]).unwrap();
        }),
    ];
    for (what, change) in changes {
        let world = world();
        let document = document(&world);
        let away = world.path("away");
        if what == "evidence" {
            change(&world); // which reads what is there
        }
        fs::rename(&document, &away).unwrap();
        if what != "evidence" {
            verify(&world, "").must(0);
            change(&world);
        }
        verify(&world, "").must(3);
        fs::rename(&away, &document).unwrap();
        verify(&world, "").must(0);
        fs::remove_file(&document).unwrap();
        verify(&world, "").must(0);
    }
}

/// Who can write the store can change, cut, move and take away what is kept in it, and the verdict stays
/// what the evidence says.
#[test]
fn what_was_changed_in_the_store_is_reached_anew() {
    let world = world();
    let good = verdict(&verify(&world, "--no-cache").must(0));
    let facts = world.path("store/bonded/facts.redb");
    let bytes = fs::read(&facts).unwrap();
    let kept = bytes.windows(8).position(|window| window == b"\"lasts\":").unwrap();
    for change in [0, 9, 30] {
        let mut changed = bytes.clone();
        changed[kept + change] ^= 1;
        fs::write(&facts, changed).unwrap();
        assert_eq!(verdict(&verify(&world, "").must(0)), good);
        fs::write(&facts, &bytes).unwrap();
    }
}

/// A policy that asks for less of texts, and what passes for one.
#[test]
fn neither_facts_nor_a_beginning_that_went_make_a_program_a_text() {
    let world = World::with_store();
    world.release("v1.0.0");
    let scope = "[[scope]]\nname = \"texts\"\nkinds = [\"text\", \"empty\"]\n";
    let scope = format!("\n{scope}provenance = {{ rule = \"off\" }}\n");
    world.write("policy.toml", world.policy() + &scope);
    let mut program = vec![0; 100_000];
    program[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    program[16..21].copy_from_slice(&[2, 0, 62, 0, 1]);
    program[52..56].copy_from_slice(&[64, 0, 56, 0]);
    world.write("programs/tool", &program);
    run(&world, "ingest --release demo@v2.0.0 programs").must(0);
    let ask = |more: &str| {
        run(&world, &format!("verify demo@v2.0.0 --no-record --policy policy.toml {more}"))
    };
    ask("--no-cache").must(1);
    let file = Digest::sha256_of(&program);
    {
        let store = Store::open(&world.path("store")).unwrap();
        let facts = store.facts().get(&file).unwrap();
        assert_eq!(facts.kind, Some(ContentKind::Elf));
        let text = BlobFacts { kind: Some(ContentKind::Text), platform: None, ..facts };
        store.facts().put_many(&[(file, text)].into());
    }
    ask("--no-cache").must(1);
    ask("").must(1);
    // A pass that was reached while the beginning of the file was another is none afterwards.
    let blob = world.path(&format!("store/blobs/sha256/{}", file.hex()));
    let away = world.path("away");
    fs::rename(&blob, &away).unwrap();
    fs::write(&blob, "a text\n".repeat(20_000)).unwrap();
    ask("").must(0);
    fs::remove_file(&blob).unwrap();
    fs::rename(&away, &blob).unwrap();
    ask("").must(1);
}

#[test]
fn the_key_is_the_users_own_and_nothing_fails_without_one() {
    let world = world();
    let key = world.path("state/verdicts.key");
    let read = fs::read(&key).unwrap();
    let mode = fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!((read.len(), mode), (32, 0o600));
    verify(&world, "").must(0);
    assert_eq!(fs::read(&key).unwrap(), read);
    let facts = fs::read(world.path("store/bonded/facts.redb")).unwrap();
    assert!(!facts.windows(32).any(|window| window == read), "the key is not in the store");
    world.write("file", "");
    let nowhere = ["file", "file/below", "store", "store/bonded", "./store/../store/x"];
    for state in nowhere {
        let line = ["verify", "demo@v1.0.0", "--policy", "policy.toml"];
        let mut command = world.command(&line);
        Run::of(&command.env("BONDED_STATE", state).output().unwrap()).must(0);
        assert!(!world.path(state).join("verdicts.key").exists(), "{state}");
    }
    fs::remove_file(document(&world)).unwrap();
    let mut home = world.command(&["verify", "demo@v1.0.0", "--policy", "policy.toml"]);
    Run::of(&home.env("HOME", world.path("home")).output().unwrap()).must(3);
    assert!(world.path("home/.local/state/bonded/verdicts.key").exists());
}
