//! That the tests named in the list of attacks are there.

use std::fs;

use super::rust::{functions, source};
use super::{Violation, at, none, root};

const LIST: &str = "docs/attacks.md";

/// How many classes there are.
const CLASS_COUNT: usize = 25;

/// The cell of each row that names tests: `path` name, name; `path` name.
fn rows(list: &str) -> Vec<(usize, &str, &str)> {
    let lines = list.lines().enumerate();
    lines
        .filter_map(|(line, text)| {
            let cells: Vec<&str> = text.trim_matches('|').split(" | ").map(str::trim).collect();
            let number = cells.first()?;
            number.parse::<usize>().ok()?; // the head of the table
            Some((line + 1, *number, *cells.last()?))
        })
        .collect()
}

/// Files with the tests that are said to be in them.
fn named(cell: &str) -> Vec<(&str, Vec<&str>)> {
    let groups = cell.split("; ").filter_map(|group| group.strip_prefix('`')?.split_once("` "));
    groups.map(|(path, tests)| (path, tests.split(", ").collect())).collect()
}

fn violations(list: &str, text_of: impl Fn(&str) -> Option<String>) -> Vec<Violation> {
    let rows = rows(list);
    let mut found = Vec::new();
    let numbers: Vec<String> = rows.iter().map(|(_, number, _)| (*number).to_owned()).collect();
    if numbers != (1..=CLASS_COUNT).map(|number| number.to_string()).collect::<Vec<_>>() {
        found.push(at(LIST, 1, format!("the classes are {numbers:?}, not 1 to {CLASS_COUNT}")));
    }
    for (line, number, cell) in rows {
        let files = named(cell);
        if files.is_empty() {
            found.push(at(LIST, line, format!("class {number} names no test")));
        }
        for (path, tests) in files {
            let there: Vec<String> = text_of(path)
                .map(|text| functions(&source(path, &text).0.code.join("\n")))
                .unwrap_or_default()
                .into_iter()
                .map(|(_, name)| name)
                .collect();
            let gone = tests.into_iter().filter(|test| !there.iter().any(|name| name == test));
            found.extend(gone.map(|test| at(LIST, line, format!("{path} has no {test}"))));
        }
    }
    found
}

#[test]
fn every_attack_has_the_tests_that_it_names() {
    let read = |path: &str| fs::read_to_string(root().join(path)).ok(); // gone is told as such
    none(violations(&read(LIST).expect("docs/attacks.md lists the attacks"), read));
}

#[test]
fn a_test_that_is_gone_is_found() {
    let text = |path: &str| (path == "a.rs").then(|| "#[test]\nfn one() {}\n".to_owned());
    let row = |number: usize, cell: &str| format!("| {number} | x | y | `Z` | {cell} |\n");
    let list = |cell: &str| -> String {
        (1..=CLASS_COUNT).map(|n| row(n, if n == 7 { cell } else { "`a.rs` one" })).collect()
    };
    assert_eq!(violations(&list("`a.rs` one"), text), []);
    for (cell, what) in [
        ("`a.rs` two", "a.rs has no two"),
        ("`a.rs` one, two", "a.rs has no two"),
        ("`b.rs` one", "b.rs has no one"),
        ("`a.rs` one; `b.rs` x", "b.rs has no x"),
        ("none", "class 7 names no test"),
    ] {
        let found = violations(&list(cell), text);
        assert!(found.len() == 1 && found[0].what == what, "{cell} {found:?}");
    }
    let found = violations(&row(1, "`a.rs` one"), text);
    assert!(found.len() == 1 && found[0].what.contains("not 1 to 25"), "{found:?}");
}
