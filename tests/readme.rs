//! Every command of the README is run, in order, in an empty directory.

use std::process::Command;

use crate::world::{Run, World, root};

/// The `$ ` lines of the README's console blocks below the given heading and before the next.
fn commands(heading: &str) -> String {
    let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let section =
        text.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let lines = section.lines().filter_map(|line| line.strip_prefix("$ "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_walk_from_beginning_to_end_works() {
    let world = World::new();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_bonded"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().expect("a directory").display());
    let script = commands("A release from beginning to end");
    assert!(script.lines().count() > 10, "{script}");
    let mut shell = Command::new("sh");
    shell.args(["-eux", "-c", &script]).env_clear().env("PATH", path).current_dir(world.path("."));
    let run = Run::of(&shell.output().expect("sh")).must(0);
    assert!(run.stdout.ends_with("v1.0.0"), "{}", run.stdout);
    assert!(run.stdout.contains("PASS"), "{}", run.stdout);
}

#[test]
fn the_two_commands_are_the_ones_that_work() {
    let script = commands("Two commands");
    assert_eq!(script, "cargo run --release -- demo\ncargo test --workspace");
}

#[test]
fn the_example_configuration_is_read() {
    let world = World::new();
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    world.write("bonded.toml", example);
    let shown = world.ok("config show");
    assert!(shown.contains("s3://releases/hello") && shown.contains("bonded.toml"), "{shown}");
}
