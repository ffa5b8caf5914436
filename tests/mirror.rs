//! `mirror plan`, `apply`, `status`: to directories and to a real S3 server, several at once.

use std::net::TcpListener;
use std::process::Stdio;

use crate::world::s3::S3Server;
use crate::world::{World, tree};

#[test]
fn two_directories_get_the_same_tree_and_a_second_run_does_nothing() {
    let world = World::with_store();
    world.release("v1.0.0");
    let to = format!(
        "--to file://{} --to file://{}",
        world.path("a").display(),
        world.path("b").display()
    );
    let plan = world.ok(&format!("mirror plan --policy policy.toml {to}"));
    assert!(plan.contains("demo/release/v1.0.0/bin/tool"), "{plan}");
    assert!(!world.path("a/demo").exists(), "a plan changes nothing");
    world.ok(&format!("mirror apply --policy policy.toml {to}"));
    let (a, b) = (tree(&world.path("a")), tree(&world.path("b")));
    assert_eq!(a, b);
    assert_eq!(a["demo/release/v1.0.0/bin/tool"], b"tool v1.0.0\n");
    assert_eq!(a["demo/stable.txt"], b"v1.0.0");
    assert!(
        a.contains_key("demo/releases.json")
            && a.contains_key("demo/release/v1.0.0/.bonded/release.json")
    );
    let again = world.json(&format!("mirror apply --policy policy.toml {to}"), 0);
    assert_eq!(again["bytesWritten"], 0, "{again:#}");
    assert_eq!(tree(&world.path("a")), a);
}

#[test]
fn a_release_that_fails_stays_here() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("other/tool", "unattested");
    world.ok("ingest --release demo@v1.1.0 other");
    let run = world.run(&format!(
        "mirror apply --policy policy.toml --to file://{}",
        world.path("a").display()
    ));
    let run = run.must(1).says(&["demo@v1.1.0 stays here", "PROV-MISSING"]);
    assert!(!run.stderr.contains("demo@v1.0.0 stays"), "{}", run.stderr);
    let files = tree(&world.path("a"));
    assert!(files.contains_key("demo/release/v1.0.0/bin/tool"));
    assert!(!files.keys().any(|name| name.contains("v1.1.0")), "{:?}", files.keys());
    assert_eq!(files["demo/stable.txt"], b"v1.0.0");
}

#[test]
fn a_published_name_never_changes_its_bytes() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("a/demo/release/v1.0.0/bin/tool", "tool v6.6.6\n");
    let run = world.run(&format!(
        "mirror apply --policy policy.toml --to file://{}",
        world.path("a").display()
    ));
    let digest = |text: &str| bonded_model::Digest::sha256_of(text.as_bytes()).to_string();
    run.must(3).says(&[
        "demo/release/v1.0.0/bin/tool",
        &digest("tool v1.0.0\n"),
        &digest("tool v6.6.6\n"),
    ]);
    let files = tree(&world.path("a"));
    assert_eq!(files["demo/release/v1.0.0/bin/tool"], b"tool v6.6.6\n");
    assert!(
        !files.contains_key("demo/releases.json"),
        "no pointer to a release that did not arrive"
    );
}

#[test]
fn a_saved_plan_is_applied_as_it_was_reviewed() {
    let world = World::with_store();
    world.release("v1.0.0");
    let to = format!("--to file://{}", world.path("a").display());
    world.ok(&format!("mirror plan --policy policy.toml {to} --out plan.json"));
    world.ok(&format!("mirror apply --policy policy.toml {to} --plan plan.json"));
    assert!(world.path("a/demo/stable.txt").exists());
    let text = world.read("plan.json");
    world.write("forged.json", text.replace("bin/tool", "bin/evil"));
    std::fs::remove_dir_all(world.path("a")).unwrap();
    world
        .run(&format!("mirror apply --policy policy.toml {to} --plan forged.json"))
        .must(2)
        .says(&["bin/evil", "plan again"]);
    assert!(!world.path("a/demo").exists(), "nothing was written");
}

#[test]
fn a_bucket_and_a_directory_at_once() {
    let world = World::with_store();
    world.release("v1.0.0");
    let server = S3Server::start(&world.path("buckets"), &["mirror"]);
    world.write("bonded.toml", config(&world, &server.endpoint));
    let run = || {
        let mut command = world.command(&["mirror", "apply", "--format", "json"]);
        server.credentials(&mut command);
        crate::world::Run::of(&command.output().unwrap())
    };
    let first: serde_json::Value = serde_json::from_str(&run().must(0).stdout).unwrap();
    assert_ne!(first["bytesWritten"], 0);
    let files = tree(&world.path("a"));
    let bucket = tree(&world.path("buckets/mirror/pub"));
    for (name, bytes) in &files {
        assert_eq!(bucket.get(name), Some(bytes), "{name}");
    }
    let second: serde_json::Value = serde_json::from_str(&run().must(0).stdout).unwrap();
    assert_eq!(second["bytesWritten"], 0, "{second:#}");
    let mut status = world.command(&["mirror", "status"]);
    server.credentials(&mut status);
    let status = crate::world::Run::of(&status.output().unwrap()).must(0).stdout;
    assert!(status.contains("bucket") && status.contains("complete"), "{status}");
}

fn config(world: &World, endpoint: &str) -> String {
    format!(
        "[projects.demo]\npolicy = \"policy.toml\"\n\
         [destinations.directory]\nurl = \"file://{}\"\n\
         [destinations.bucket]\nurl = \"s3://mirror/pub\"\nendpoint = \"{endpoint}\"\nallow_http = true\n",
        world.path("a").display()
    )
}

#[test]
fn markers_wait_for_a_required_destination_that_is_not_written_to() {
    let world = World::with_store();
    world.release("v1.0.0");
    let url = |name: &str| {
        format!("[destinations.{name}]\nurl = \"file://{}\"\n", world.path(name).display())
    };
    let policy = "[projects.demo]\npolicy = \"policy.toml\"\n";
    world.write("bonded.toml", format!("{policy}{}{}", url("a"), url("b")));
    let run = world.run("mirror apply --to b").must(0);
    assert!(run.stdout.contains("withheld until a has everything"), "{}", run.stdout);
    assert!(
        world.path("b/demo/releases.json").exists() && !world.path("b/demo/stable.txt").exists()
    );
    assert!(!world.path("a/demo").exists(), "it was only looked at");
    world.ok("mirror apply");
    assert_eq!(world.read("a/demo/stable.txt"), "v1.0.0");
    assert_eq!(world.read("b/demo/stable.txt"), "v1.0.0");
}

#[test]
fn an_endpoint_that_is_down_does_not_stop_the_other() {
    let world = World::with_store();
    world.release("v1.0.0");
    let down = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", down.local_addr().unwrap());
    drop(down);
    world.write("bonded.toml", config(&world, &endpoint));
    let mut command = world.command(&["mirror", "apply"]);
    command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y");
    let run =
        crate::world::Run::of(&command.output().unwrap()).must(4).says(&["bucket", &endpoint]);
    assert!(run.stderr.contains("try: "), "{}", run.stderr);
    let files = tree(&world.path("a"));
    assert!(files.contains_key("demo/release/v1.0.0/bin/tool"));
    assert!(!files.contains_key("demo/stable.txt"), "markers wait for every required destination");
}

#[test]
fn an_endpoint_that_refuses_or_breaks_is_a_remote_failure() {
    for (status, word) in [("403 Forbidden", "refused"), ("500 Internal Server Error", "500")] {
        let world = World::with_store();
        world.release("v1.0.0");
        let (endpoint, stop) = crate::world::s3::always(status);
        world.write("bonded.toml", config(&world, &endpoint));
        let mut command = world.command(&["mirror", "apply"]);
        command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y");
        let run =
            crate::world::Run::of(&command.output().unwrap()).must(4).says(&["bucket", &endpoint]);
        assert!(run.stderr.contains(word), "{status}: {}", run.stderr);
        drop(stop);
    }
}

#[test]
fn a_run_that_was_killed_goes_on_and_ends_the_same() {
    let world = World::with_store();
    let big: Vec<u8> =
        (0..24_000_000_u32).map(|n| n.to_le_bytes()[1] ^ n.to_le_bytes()[2]).collect();
    world.write("in/big", &big);
    world.release("v1.0.0");
    let to = format!("file://{}", world.path("a").display());
    let arguments = ["mirror", "apply", "--policy", "policy.toml", "--to", &to];
    for pause_ms in [5_u64, 15, 30, 60] {
        let mut child =
            world.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        if world.path("a/demo/releases.json").exists() {
            let files = tree(&world.path("a"));
            assert_eq!(files["demo/release/v1.0.0/big"], big, "an index names only what is there");
        }
    }
    world.run_arguments(&arguments).must(0);
    let files = tree(&world.path("a"));
    assert_eq!(files["demo/release/v1.0.0/big"], big);
    assert_eq!(files["demo/stable.txt"], b"v1.0.0");
}
