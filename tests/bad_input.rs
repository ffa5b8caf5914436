//! Bad input: a clear error, the right exit code, nothing lost, no partial release visible.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::world::{Run, World, tree};

/// The store as its readers see it: which releases, and which epoch.
fn visible(world: &World) -> serde_json::Value {
    world.json("list", 0)
}

/// Ingests `in`, insists on failure with words, and on a store that looks as before.
#[track_caller]
fn refused(world: &World, code: i32, words: &[&str]) {
    let before = visible(world);
    let run = world.run("ingest --release demo@v1 in").must(code).says(words);
    assert!(run.stderr.contains("error: "), "{}", run.stderr);
    assert_eq!(visible(world), before, "nothing became visible");
}

#[test]
fn a_path_that_is_not_there() {
    let world = World::with_store();
    refused(&world, 3, &["in"]);
}

#[test]
fn an_unreadable_file_names_itself() {
    let world = World::with_store();
    world.write("in/good", "good");
    let path = world.write("in/secret", "secret");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let Some(mut command) = as_nobody(&world, &["ingest", "--release", "demo@v1", "in"]) else {
        eprintln!(
            "an_unreadable_file_names_itself did not run: no user who cannot read everything"
        );
        return;
    };
    let run = Run::of(&command.output().unwrap()).must(3);
    run.says(&["secret", "try: "]);
    assert!(visible(&world)["releases"].as_array().unwrap().is_empty());
}

/// The program as a user who may not read everything, in a world that belongs to that user: this
/// user, or `nobody` where this one is root. `None` where that user cannot run the program at all.
fn as_nobody(world: &World, arguments: &[&str]) -> Option<Command> {
    const NOBODY: u32 = 65534;
    let mut command = world.command(arguments);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let owned = Command::new("chown").args(["-R", "65534"]).arg(world.path(".")).status();
        assert!(owned.unwrap().success());
        command.uid(NOBODY);
        let mut probe = world.command(&["--version"]);
        let ran = probe.uid(NOBODY).output();
        return ran.is_ok_and(|output| output.status.success()).then_some(command);
    }
    Some(command)
}

/// The fourth file may not be read, or the store lets nobody write where the blobs go: what was read
/// before is gone again, and the store is as it was.
#[test]
fn permissions_that_end_half_way_leave_nothing_half_there() {
    for (forbidden, mode, words) in [
        ("in/d", 0o000, ["in/d", "allow this user"]),
        ("in/e", 0o000, ["in/e", "allow this user"]),
        ("store/blobs/sha256", 0o555, ["store/blobs/sha256", "allow this user"]),
    ] {
        let world = World::with_store();
        world.write("old/a", "old");
        world.ok("ingest --release old@v1 old");
        for (name, bytes) in [("a", 10), ("b", 9 << 20), ("c", 10), ("d", 10), ("e/f", 10)] {
            world.write(&format!("in/{name}"), vec![1; bytes]);
        }
        let before = visible(&world);
        let path = world.path(forbidden);
        let Some(mut command) = as_nobody(&world, &["ingest", "--release", "demo@v1", "in"]) else {
            eprintln!("permissions_that_end_… did not run: no user who cannot read everything");
            return;
        };
        let allowed = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let run = Run::of(&command.output().unwrap());
        fs::set_permissions(&path, allowed).unwrap();
        run.must(3).says(&words);
        assert_eq!(visible(&world), before, "{forbidden}");
        let staged = tree(&world.path("store/bonded/staging"));
        assert!(staged.is_empty(), "{forbidden}: {:?}", staged.keys());
        world.ok("ingest --release demo@v1 in");
    }
}

#[test]
fn a_directory_loop_ends() {
    let world = World::with_store();
    world.write("in/sub/file", "x");
    symlink(world.path("in"), world.path("in/sub/loop")).unwrap();
    refused(&world, 2, &["loop"]);
}

#[test]
fn special_files_are_not_waited_for() {
    let world = World::with_store();
    world.write("in/file", "x");
    assert!(Command::new("mkfifo").arg(world.path("in/pipe")).status().unwrap().success());
    refused(&world, 2, &["pipe"]);
}

#[test]
fn names_that_are_not_names() {
    for name in [b"not\xffutf8".as_slice(), b"new\nline", b"back\\slash"] {
        let world = World::with_store();
        world.write("in/good", "good");
        fs::write(world.path("in").join(OsStr::from_bytes(name)), "x").unwrap();
        refused(&world, 2, &["in/"]);
    }
    let world = World::with_store();
    for release in ["demo@../v1", "demo@", "../demo@v1", "demo", "Demo@v1"] {
        world.run_arguments(&["ingest", "--release", release, "in"]).must(2);
    }
}

#[test]
fn a_reserved_name_is_refused() {
    let world = World::with_store();
    world.write("in/.bonded/release.json", "{}");
    refused(&world, 2, &[".bonded", "reserved"]);
}

#[test]
fn a_huge_json_sidecar_is_refused_by_its_size() {
    let world = World::with_store();
    world.write("in/tool", "x");
    let sidecar = fs::File::create(world.path("in/tool.sigstore.json")).unwrap();
    sidecar.set_len(3 << 30).unwrap();
    refused(&world, 2, &["tool.sigstore.json", "3221225472 bytes", "at most"]);
}

#[test]
fn an_empty_or_cut_bundle_is_refused_with_its_name() {
    for content in
        ["", "{", "{}", "hello", r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}"#]
    {
        let world = World::with_store();
        world.write("in/tool", "x");
        world.write("in/tool.sigstore.json", content);
        refused(&world, 2, &["tool.sigstore.json"]);
    }
}

#[test]
fn an_empty_bundle_given_to_verify_is_a_verdict_or_an_error_but_never_a_pass() {
    let world = World::with_store();
    world.ok("keygen --out key");
    world.write("tool", "x");
    for content in ["", "{}", "[]", "null"] {
        world.write("empty.json", content);
        let run = world.run("verify tool --bundle empty.json --key key.pub").must(1);
        assert!(run.stdout.contains("SIG-"), "{content:?}: {}", run.stdout);
    }
}

/// Documents may name any URL they like; a listener behind one hears nothing of a whole run.
#[test]
fn no_url_of_a_document_is_asked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let world = World::with_store();
    world.ok("keygen --out key");
    let policy = world.policy();
    let policy = policy.replace("https://example.com/builder", &format!("{url}/builder"));
    world.write("policy.toml", policy.replace("https://example.com/demo", &format!("{url}/demo")));
    world.write("in/tool", "tool");
    let sbom = format!(
        r#"{{"spdxVersion":"SPDX-2.3","documentNamespace":"{url}/n","externalDocumentRefs":[{{"spdxDocument":"{url}/r"}}],"files":[]}}"#
    );
    world.write("in/tool.spdx.json", sbom);
    world.ok("ingest --release demo@v1 in");
    world.ok(&format!(
        "attest provenance demo@v1 --key key --builder-id {url}/builder --build-type {url}/build \
         --source {url}/demo --source-ref refs/tags/v1"
    ));
    world.ok("verify demo@v1 --policy policy.toml");
    world.ok("policy explain demo@v1 --policy policy.toml");
    let to = world.path("a");
    world.ok(&format!("mirror apply --policy policy.toml --to file://{}", to.display()));
    let heard = listener.accept().unwrap_err();
    assert_eq!(heard.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_misspelt_policy_key_names_the_nearest() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("bad.toml", world.policy().replace("signers =", "signer ="));
    world.run("verify demo@v1.0.0 --policy bad.toml").must(2).says(&[
        "bad.toml",
        "signer",
        "did you mean `signers`?",
    ]);
    world.run("policy check bad.toml").must(2).says(&["did you mean `signers`?"]);
    world.write("bonded.toml", "stoer = \"x\"\n");
    world.run("list").must(2).says(&["bonded.toml", "did you mean `store`?"]);
}

#[test]
fn a_release_that_is_not_there_names_the_nearest() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.run("show demo@v1.0.1").must(2).says(&["demo@v1.0.1", "demo@v1.0.0"]);
}

#[test]
fn a_full_disk_loses_nothing() {
    let world = World::with_store();
    world.write("in/small", "small");
    world.ok("ingest --release demo@v0 in");
    fs::write(world.path("in/large"), vec![7; 4 << 20]).unwrap();
    let before = visible(&world);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 1024; exec \"$0\" --store store ingest --release demo@v1 in"]);
    limited.arg(env!("CARGO_BIN_EXE_bonded")).current_dir(world.path("."));
    let run = Run::of(&limited.output().unwrap()).must(3);
    let run = run.says(&["error: ", "large"]);
    assert!(run.stderr.contains("try: "), "{}", run.stderr);
    assert_eq!(visible(&world), before);
    world.ok("ingest --release demo@v1 in");
    let staged = tree(&world.path("store/bonded/staging"));
    assert!(staged.is_empty(), "the next writer sweeps up: {:?}", staged.keys());
}

#[test]
fn a_read_only_store_is_read_and_not_written() {
    let world = World::with_store();
    world.release("v1.0.0");
    let modes = make_read_only(&world);
    for (arguments, code) in [
        (["ingest", "--release", "demo@v2", "in"].as_slice(), 3),
        (&["list"], 0),
        (&["verify", "demo@v1.0.0", "--policy", "policy.toml", "--no-record"], 0),
    ] {
        let Some(mut command) = as_nobody(&world, arguments) else {
            eprintln!("a_read_only_store_… did not run: no user who cannot write everywhere");
            return;
        };
        let run = Run::of(&command.output().unwrap()).must(code);
        assert!(code == 0 || run.stderr.contains("try: "), "{}", run.stderr);
    }
    for (path, mode) in modes {
        fs::set_permissions(path, mode).unwrap();
    }
}

fn make_read_only(world: &World) -> Vec<(std::path::PathBuf, fs::Permissions)> {
    ["store", "store/bonded", "store/bonded/staging", "store/blobs/sha256"]
        .map(|name| {
            let path = world.path(name);
            let before = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
            (path, before)
        })
        .into()
}

#[test]
fn a_second_writer_waits_and_says_for_whom() {
    let world = World::with_store();
    world.write("in/tool", "x");
    let lock = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(world.path("store/bonded/lock"))
        .unwrap();
    lock.lock().unwrap();
    world.write(
        "store/bonded/lock",
        r#"{"since":"2026-01-01T00:00:00Z","who":"a very slow writer"}"#,
    );
    let run = world.run("ingest --release demo@v1 in --wait 1").must(3);
    run.says(&["waiting for a very slow writer", "2026-01-01T00:00:00Z", "try: "]);
    drop(lock);
    world.ok("ingest --release demo@v1 in");
}

#[test]
fn two_writers_at_once_both_succeed() {
    let world = World::with_store();
    for name in ["a", "b", "c", "d"] {
        world.write(&format!("{name}/tool"), name);
    }
    let children: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| {
            world.command(&["ingest", "--release", &format!("{name}@v1"), name]).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(visible(&world)["releases"].as_array().unwrap().len(), 4);
}

#[test]
fn a_writer_that_is_killed_leaves_the_old_state_or_the_new() {
    let world = World::with_store();
    world.write("in/big", vec![3; 20 << 20]);
    for round in 0..8_u64 {
        let before = visible(&world)["releases"].as_array().unwrap().len();
        let name = format!("demo@v{round}");
        world.write("in/round", round.to_string());
        let mut child = world.command(&["ingest", "--release", &name, "in"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 8));
        child.kill().unwrap();
        child.wait().unwrap();
        let after = visible(&world)["releases"].as_array().unwrap().len();
        assert!(after == before || after == before + 1);
        for (name, bytes) in tree(&world.path("store/blobs/sha256")) {
            assert_eq!(bonded_model::Digest::sha256_of(&bytes).hex(), name, "round {round}");
        }
    }
    world.write("in/round", "7");
    world.ok("ingest --release demo@v7 in");
}

#[test]
fn a_corrupt_blob_is_never_handed_out() {
    let world = World::with_store();
    world.release("v1.0.0");
    let hex = bonded_model::Digest::sha256_of(b"tool v1.0.0\n").hex();
    let blob = world.path(&format!("store/blobs/sha256/{hex}"));
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, b"tool v6.6.6\n").unwrap();
    let to = world.path("a");
    let run = world.run(&format!("mirror apply --policy policy.toml --to file://{}", to.display()));
    run.must(3).says(&[&hex]);
    assert!(!to.join("demo/release/v1.0.0/bin/tool").exists());
    assert!(!to.join("demo/releases.json").exists());
}

#[test]
fn what_is_no_store_is_not_taken_for_an_empty_one() {
    let world = World::new();
    world.run("list").must(3).says(&["store", "bonded init"]);
    world.write("store/file", "x");
    world.run("list").must(3).says(&["bonded init"]);
    world.run("init store").must(3).says(&["store"]);
    let world = World::with_store();
    for (content, words) in [
        ("", "ROOT"),
        ("{", "ROOT"),
        ("{}", "ROOT"),
        (r#"{"version":3,"epoch":0,"catalog":"x"}"#, "newer"),
    ] {
        // With the history it would be recovered.
        drop(std::fs::remove_dir_all(world.path("store/bonded/epochs")));
        world.write("store/bonded/ROOT", content);
        world.run("list").must(3).says(&[words, "try: "]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::with_store();
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" completions bash | head -n 1"]).arg(env!("CARGO_BIN_EXE_bonded"));
    let run = Run::of(&shell.current_dir(world.path(".")).output().unwrap()).must(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_closed_stdout_hides_no_verdict() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("strict.toml", world.policy().replace("level = 2\nsource", "level = 3\nsource"));
    let script = "\"$0\" --store store verify demo@v1.0.0 --policy strict.toml >&-; echo $?";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(env!("CARGO_BIN_EXE_bonded")).current_dir(world.path("."));
    let run = Run::of(&shell.output().unwrap()).must(0);
    assert_ne!(run.stdout.trim(), "0", "{run:?}");
    let script =
        "(\"$0\" --store store verify demo@v1.0.0 --policy strict.toml; echo $? >code) | true";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(env!("CARGO_BIN_EXE_bonded")).current_dir(world.path("."));
    Run::of(&shell.output().unwrap()).must(0);
    assert_eq!(world.read("code").trim(), "1");
    assert_eq!(world.json("show demo@v1.0.0", 0)["summaries"].as_array().unwrap().len(), 1);
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    let world = World::new();
    assert_eq!(world.run("frobnicate").code, 2);
    assert_eq!(world.run("verify").code, 2);
    assert_eq!(world.run("--help").code, 0);
    assert_eq!(world.run("--version").code, 0);
    world.run("list --store").must(2);
}

/// A file that the command line names and that cannot be read ended without a next command.
/// Each says what it was wanted for, and what to try.
#[test]
fn files_that_cannot_be_read_end_with_something_to_try() {
    let world = World::with_store();
    world.ok("keygen --out key");
    world.write("file", "x");
    for (line, code, what) in [
        ("verify demo@v1 --policy gone", 3, "policy gone"),
        ("verify file --bundle gone --key key.pub", 3, "bundle gone"),
        ("verify gone --bundle file --key key.pub", 3, "file gone"),
        ("verify file --bundle file --key gone", 3, "public key gone"),
        ("verify file --bundle file --key file", 2, "file is no public key"),
        ("verify file --bundle file --key key.pub --trusted-root gone", 3, "trusted root gone"),
        ("policy check gone", 3, "policy gone"),
        ("policy check store", 3, "policy store"),
        ("policy check key", 2, "policy key is wrong"),
        (
            "attest provenance demo@v1 --key gone --builder-id https://example.com/b \
             --build-type https://example.com/t --source https://example.com/s --source-ref refs/tags/r",
            3,
            "private key gone",
        ),
        ("attest sbom demo@v1 --key key --sbom gone", 3, "SBOM gone"),
        ("attest sbom demo@v1 --key key --sbom file", 2, "file is no SBOM"),
        ("--config gone list", 3, "configuration gone"),
        ("--config file list", 2, "configuration file is wrong"),
    ] {
        let run = world.run(line).must(code).says(&[what, "\n  try: "]);
        assert!(!run.stderr.contains("try: bonded init"), "{line}: {}", run.stderr);
    }
}
