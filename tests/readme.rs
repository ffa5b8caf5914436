//! Every command of the README and of docs/operations.md is run, in order, in an empty directory.

use std::process::Command;

use crate::world::{Run, World, root};

/// The `$ ` lines of a file's console blocks below the given heading and before the next.
fn commands(file: &str, heading: &str) -> String {
    let text = std::fs::read_to_string(root().join(file)).expect("the file");
    let section =
        text.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let lines = section.lines().filter_map(|line| line.strip_prefix("$ "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs a script that finds the program as `bonded`, and stops at the first command that fails.
fn run(world: &World, script: &str) -> Run {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_bonded"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().expect("a directory").display());
    let mut shell = Command::new("sh");
    shell.args(["-eux", "-c", script]).env_clear().env("PATH", path).current_dir(world.path("."));
    Run::of(&shell.output().expect("sh")).must(0)
}

#[test]
fn the_page_on_operations_works() {
    let script = commands("docs/operations.md", "Try it");
    assert!(script.lines().count() > 10, "{script}");
    let run = run(&World::new(), &script);
    assert!(run.stdout.contains("missing-blob") && run.stdout.contains("mended"), "{}", run.stdout);
}

#[test]
fn the_walk_from_beginning_to_end_works() {
    let world = World::new();
    let script = commands("README.md", "A release from beginning to end");
    assert!(script.lines().count() > 10, "{script}");
    let run = run(&world, &script);
    assert!(run.stdout.ends_with("v1.0.0"), "{}", run.stdout);
    assert!(run.stdout.contains("PASS"), "{}", run.stdout);
}

#[test]
fn the_two_commands_are_the_ones_that_work() {
    let script = commands("README.md", "Two commands");
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
