//! That the tests named in the list of attacks are there and run, and that they ask for the codes that are named
//! beside them.

use std::fs;

use super::rust::{body, functions, has_word, line_at, source};
use super::{Violation, at, none, root};

const LIST: &str = "docs/attacks.md";
const FINDINGS: &str = "docs/findings.md";

/// How many classes there are.
const CLASS_COUNT: usize = 25;

/// A row of the table.
struct Row<'a> {
    line: usize,
    number: &'a str,
    codes: Vec<&'a str>,
    /// Files with the tests that are said to be in them.
    tests: Vec<(&'a str, Vec<&'a str>)>,
}

/// The last cell names tests: `path` name, name; `path` name. The one before it names codes.
fn rows(list: &str) -> Vec<Row<'_>> {
    let lines = list.lines().enumerate();
    lines
        .filter_map(|(line, text)| {
            let cells: Vec<&str> = text.trim_matches('|').split(" | ").map(str::trim).collect();
            let [number, .., codes, tests] = cells.as_slice() else { return None };
            number.parse::<usize>().ok()?; // the head of the table
            let codes = codes.split('`').skip(1).step_by(2).collect();
            Some(Row { line: line + 1, number, codes, tests: named(tests) })
        })
        .collect()
}

fn named(cell: &str) -> Vec<(&str, Vec<&str>)> {
    let groups = cell.split("; ").filter_map(|group| group.strip_prefix('`')?.split_once("` "));
    groups.map(|(path, tests)| (path, tests.split(", ").collect())).collect()
}

/// The text of a test: none if there is no such function, if it is no test, or if it is not run.
fn text_of_test(path: &str, text: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let code = source(path, text).0.code;
    let joined = code.join("\n");
    let found = functions(&joined).into_iter().filter(|(_, found)| found == name);
    let mut tests = found.filter_map(|(start, _)| {
        let first = line_at(&joined, start) - 1;
        let above = code.get(..first)?.iter().rev().map(|line| line.trim());
        let attributes: Vec<_> = above.take_while(|line| line.starts_with("#[")).collect();
        let is_run =
            attributes.contains(&"#[test]") && !attributes.iter().any(|a| a.contains("ignore"));
        let (_, end) = body(&joined, start).filter(|_| is_run)?;
        Some(lines.get(first..line_at(&joined, end))?.join("\n"))
    });
    tests.next()
}

/// SIG-LOG is `SigLog` in code.
fn variant(code: &str) -> String {
    let words = code.split('-').filter_map(|word| word.split_at_checked(1));
    words.map(|(first, rest)| format!("{first}{}", rest.to_lowercase())).collect()
}

/// What is wrong with the codes of a row, given the texts of its tests. One that ends with `…` stands for
/// several.
fn wrong_codes(row: &Row<'_>, findings: &str, tests: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for code in &row.codes {
        let known = |code: &str| match code.strip_suffix('…') {
            Some(start) => findings.lines().any(|line| line.starts_with(&format!("## {start}"))),
            None => findings.lines().any(|line| line == format!("## {code}")),
        };
        let asked = match code.strip_suffix("-…") {
            Some(start) => tests.contains(&format!("Code::{}", variant(start))),
            None => has_word(tests, &format!("Code::{}", variant(code))) || has_word(tests, code),
        };
        if !known(code) {
            found.push(at(LIST, row.line, format!("{code} is not in {FINDINGS}")));
        }
        if !asked {
            found.push(at(LIST, row.line, format!("no test of class {} asks {code}", row.number)));
        }
    }
    found
}

fn violations(
    list: &str,
    findings: &str,
    text_of: impl Fn(&str) -> Option<String>,
) -> Vec<Violation> {
    let rows = rows(list);
    let mut found = Vec::new();
    let numbers: Vec<String> = rows.iter().map(|row| row.number.to_owned()).collect();
    if numbers != (1..=CLASS_COUNT).map(|number| number.to_string()).collect::<Vec<_>>() {
        found.push(at(LIST, 1, format!("the classes are {numbers:?}, not 1 to {CLASS_COUNT}")));
    }
    for row in rows {
        if row.tests.is_empty() {
            found.push(at(LIST, row.line, format!("class {} names no test", row.number)));
        }
        let mut texts = String::new();
        for (path, tests) in &row.tests {
            let text = text_of(path).unwrap_or_default();
            for test in tests {
                match text_of_test(path, &text, test) {
                    Some(text) => texts.extend([text.as_str(), "\n"]),
                    None => {
                        let what = format!("{path} has no test {test} that is run");
                        found.push(at(LIST, row.line, what));
                    }
                }
            }
        }
        found.extend(wrong_codes(&row, findings, &texts));
    }
    found
}

#[test]
fn every_attack_has_the_tests_and_codes_that_it_names() {
    let read = |path: &str| fs::read_to_string(root().join(path)).ok(); // gone is told as such
    let list = read(LIST).expect("docs/attacks.md lists the attacks");
    let findings = read(FINDINGS).expect("docs/findings.md lists the codes");
    none(violations(&list, &findings, read));
}

#[test]
fn a_test_or_code_that_is_gone_is_found() {
    const TESTS: &str = "#[test]\nfn one() {\n    check(Code::SigLog);\n}\n\n\
         #[test]\n#[ignore]\nfn idle() {}\n\nfn helper() {}\n\n\
         // A comment names SIG-TIME.\n#[test]\nfn two() {\n    say(\"SIG-LOG\");\n}\n";
    const FINDINGS: &str = "# Findings\n\n## SIG-LOG\n\n## SIG-TIME\n";
    let text = |path: &str| (path == "a.rs").then(|| TESTS.to_owned());
    let row = |number: usize, codes: &str, cell: &str| {
        format!("| {number} | x | y | {codes} | {cell} |\n")
    };
    let list = |codes: &str, cell: &str| -> String {
        let cells = |n| if n == 7 { (codes, cell) } else { ("`SIG-LOG`", "`a.rs` one") };
        (1..=CLASS_COUNT).map(|n| row(n, cells(n).0, cells(n).1)).collect()
    };
    for (codes, cell) in [
        ("`SIG-LOG`", "`a.rs` one"),
        ("`SIG-LOG`, an error of the store", "`a.rs` two"),
        ("`SIG-…`", "`a.rs` one"),
        ("an error", "`a.rs` two"),
    ] {
        assert_eq!(violations(&list(codes, cell), FINDINGS, text), [], "{codes} {cell}");
    }
    for (codes, cell, what) in [
        ("an error", "`a.rs` three", "a.rs has no test three that is run"),
        ("an error", "`a.rs` one, three", "a.rs has no test three that is run"),
        ("an error", "`a.rs` idle", "a.rs has no test idle that is run"),
        ("an error", "`a.rs` helper", "a.rs has no test helper that is run"),
        ("an error", "`b.rs` one", "b.rs has no test one that is run"),
        ("an error", "none", "class 7 names no test"),
        ("`SIG-TIME`", "`a.rs` one, two", "no test of class 7 asks SIG-TIME"),
        ("`PROV-…`", "`a.rs` one", "PROV-… is not in docs/findings.md"),
    ] {
        let found = violations(&list(codes, cell), FINDINGS, text);
        assert!(found.first().is_some_and(|found| found.what == what), "{cell} {found:?}");
    }
    let found = violations(&row(1, "an error", "`a.rs` one"), FINDINGS, text);
    assert!(found.len() == 1 && found[0].what.contains("not 1 to 25"), "{found:?}");
}
