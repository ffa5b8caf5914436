//! The house rules that a program can check, as ordinary tests: they need no reviewer.
//!
//! Each rule is a function from texts to violations, a test that runs it over the workspace, and a
//! test that shows it firing on a bad sample. Rust sources are looked at with comments, strings and
//! character literals blanked out, so that a rule sees code only.

#![allow(clippy::disallowed_methods, reason = "this test reads the workspace's own files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use bonded_verify::Code;

#[path = "tidy/attacks.rs"]
mod attacks;
#[path = "tidy/fuzz.rs"]
mod fuzz;
#[path = "tidy/rust.rs"]
mod rust;

use rust::{Source, body, functions, has_word, line_at, source};

/// Which crates each crate may depend on (ARCHITECTURE.md, "Map"). A crate that is not here is refused.
const EDGES: [(&str, &[&str]); 7] = [
    ("model", &[]),
    ("store", &["model"]),
    ("verify", &["model", "testsigner"]),
    ("mirror", &["model", "store", "verify"]),
    ("serve", &["model", "store", "verify"]),
    ("cli", &["model", "store", "verify", "mirror", "serve", "testsigner"]),
    ("testsigner", &["model"]),
];

/// A crate of tests: depended on by tests only.
const TEST_CRATE: &str = "bonded-testsigner";

/// The crates that are ordinary blocking Rust.
const BLOCKING: [&str; 4] = ["model", "store", "verify", "testsigner"];

/// What brings a runtime, sockets or a client into a crate.
const ASYNC_CRATES: [&str; 12] = [
    "async-std",
    "async-trait",
    "axum",
    "futures",
    "futures-util",
    "hyper",
    "hyper-util",
    "object_store",
    "reqwest",
    "tokio",
    "tokio-util",
    "tower",
];

/// A call, the sources that may make it, and what to do instead. A prefix that ends with `/` allows
/// a directory.
const CALLS: [(&str, &[&str], &str); 12] = [
    ("std::fs", &["store/src/disk.rs", "store/src/disk/"], "go through bonded_store::disk"),
    ("std::{fs", &["store/src/disk.rs", "store/src/disk/"], "go through bonded_store::disk"),
    ("tokio::fs", &[], "go through bonded_store::disk, over the crate's bridge"),
    ("rustix::fs", &["store/src/disk.rs", "store/src/disk/"], "go through bonded_store::disk"),
    ("std::env", &["cli/src/config.rs"], "only cli::config reads the environment"),
    ("SystemTime::now", &["cli/src/clock.rs"], "take `now` as an argument"),
    ("Utc::now", &[], "take `now` as an argument"),
    ("Timestamp::now", &["cli/src/clock.rs"], "take `now` as an argument"),
    ("Zoned::now", &[], "take `now` as an argument"),
    ("process::exit", &["cli/src/main.rs"], "return an exit code to main"),
    ("to_cache", &KEEPERS, "only cli::judge keeps verdicts"),
    ("from_cache", &KEEPERS, "only cli::judge takes a kept verdict for one that it reached"),
];

/// Where kept verdicts are defined, and where they are written and read.
const KEEPERS: [&str; 2] = ["verify/src/verdict/cached.rs", "cli/src/judge.rs"];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 60;

/// Written in pieces, so that this file passes its own rules.
const BANNED: [(&str, &str); 4] = [
    (concat!("#[", "ignore"), "a test that does not run proves nothing"),
    (concat!("to", "do!("), "finish it"),
    (concat!("unimple", "mented!("), "finish it"),
    (concat!("db", "g!("), "take it out"),
];
const MACHINE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/tmp/", "target"),
];

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

fn at(file: &str, line: usize, what: impl Into<String>) -> Violation {
    Violation { file: file.to_owned(), line, what: what.into() }
}

/// A file with its path from the root, `/` between components.
struct File {
    path: String,
    text: String,
}

// The rules.

fn edges(crate_name: &str, manifest: &str) -> Vec<Violation> {
    let file = format!("{crate_name}/Cargo.toml");
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == crate_name) else {
        return vec![at(
            &file,
            1,
            "a crate without a place in ARCHITECTURE.md's map; add it to EDGES",
        )];
    };
    let dependencies = dependencies(manifest);
    let own = dependencies.iter().filter_map(|name| Some((name, name.strip_prefix("bonded-")?)));
    let wrong = own.filter(|(_, short)| !allowed.contains(short));
    wrong
        .map(|(name, _)| {
            let what = format!("{crate_name} must not depend on {name}; it may on {allowed:?}");
            at(&file, line_of(manifest, name), what)
        })
        .collect()
}

/// The test signer is shipped in nothing.
fn only_in_tests(crate_name: &str, manifest: &str) -> Vec<Violation> {
    let table = parse_toml(manifest);
    let shipped = ["dependencies", "build-dependencies"].iter().filter_map(|kind| table.get(*kind));
    let found = shipped.filter(|names| names.get(TEST_CRATE).is_some());
    found
        .map(|_| {
            let what = format!("{TEST_CRATE} is for tests; make it a dev-dependency");
            at(&format!("{crate_name}/Cargo.toml"), line_of(manifest, TEST_CRATE), what)
        })
        .collect()
}

fn no_runtime(crate_name: &str, manifest: &str) -> Vec<Violation> {
    let dependencies = dependencies(manifest);
    let wrong = dependencies.iter().filter(|name| ASYNC_CRATES.contains(&name.as_str()));
    wrong
        .map(|name| {
            let what = format!("{crate_name} is blocking Rust; {name} belongs above it");
            at(&format!("{crate_name}/Cargo.toml"), line_of(manifest, name), what)
        })
        .collect()
}

fn inherits_lints(crate_name: &str, manifest: &str) -> Vec<Violation> {
    let inherited =
        parse_toml(manifest).get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
    if inherited == Some(true) {
        return Vec::new();
    }
    vec![at(&format!("{crate_name}/Cargo.toml"), 1, "add [lints] workspace = true")]
}

fn calls(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (call, allowed, instead) in CALLS {
        let may = |place: &&str| match place.strip_suffix('/') {
            Some(_) => source.path.starts_with(*place),
            None => source.path == **place,
        };
        if allowed.iter().any(may) {
            continue;
        }
        let lines = source.lines().filter(|(_, code)| has_word(code, call));
        found.extend(lines.map(|(line, _)| at(&source.path, line, format!("`{call}`: {instead}"))));
    }
    found
}

fn no_async(source: &Source) -> Vec<Violation> {
    let lines = source.code.iter().enumerate().filter(|(_, code)| has_word(code, "async"));
    lines
        .map(|(line, _)| at(&source.path, line + 1, "async only where there are sockets"))
        .collect()
}

/// `Instant` measures waiting; what decides or is hashed must not even do that.
fn no_instant(source: &Source) -> Vec<Violation> {
    let lines = source.lines().filter(|(_, code)| has_word(code, "Instant"));
    lines.map(|(line, _)| at(&source.path, line, "pure code measures no time")).collect()
}

/// What would open a connection. An address that is a text is none.
const SOCKETS: [&str; 5] = ["std::net", "TcpStream", "UdpSocket", "UnixStream", "ToSocketAddrs"];

fn no_sockets(source: &Source) -> Vec<Violation> {
    let words = |code: &str| SOCKETS.iter().any(|word| has_word(code, word));
    let lines = source.lines().filter(|(_, code)| words(code));
    lines.map(|(line, _)| at(&source.path, line, "what decides asks nobody")).collect()
}

fn file_length(source: &Source) -> Vec<Violation> {
    let count = source.lines().count();
    if count <= FILE_LINES_MAX {
        return Vec::new();
    }
    let what = format!("{count} lines without tests, the cap is {FILE_LINES_MAX}; split the file");
    vec![at(&source.path, 1, what)]
}

fn function_length(source: &Source) -> Vec<Violation> {
    let text = source.code.join("\n");
    let mut found = Vec::new();
    for (start, name) in functions(&text) {
        let Some((open, close)) = body(&text, start) else { continue };
        let inner = text.get(open + 1..close).unwrap_or_default();
        let count = inner.lines().filter(|line| !line.trim().is_empty()).count();
        if count > FUNCTION_LINES_MAX && !is_excepted(&text, start) {
            let what = format!("fn {name} has {count} lines, the cap is {FUNCTION_LINES_MAX}");
            found.push(at(&source.path, line_at(&text, start), what));
        }
    }
    found
}

/// Whether the item's attributes hold clippy's own exception for long functions. The compiler demands a
/// reason in it, and complains where it is not needed.
fn is_excepted(text: &str, start: usize) -> bool {
    let above = text.get(..start).unwrap_or_default();
    let own = above.rfind(['}', ';']).map_or(above, |end| above.get(end..).unwrap_or_default());
    own.contains("expect(clippy::too_many_lines")
}

fn banned(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (line, code) in source.code.iter().enumerate() {
        for (word, why) in BANNED {
            if has_word(code, word) {
                found.push(at(&source.path, line + 1, format!("`{word}`: {why}")));
            }
        }
    }
    found
}

fn machine_paths(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    for (line, text) in file.text.lines().enumerate() {
        for path in MACHINE_PATHS.into_iter().filter(|path| text.contains(path)) {
            found.push(at(&file.path, line + 1, format!("`{path}` is a path of one machine")));
        }
    }
    found
}

fn codes_without_entry(codes: &[&str], document: &str) -> Vec<Violation> {
    let missing = codes.iter().filter(|code| !document.lines().any(|line| has_word(line, code)));
    missing
        .map(|code| at("docs/findings.md", 1, format!("no entry for the finding code {code}")))
        .collect()
}

fn decisions(records: &[&str], index: &str) -> Vec<Violation> {
    let file = "docs/adr/README.md";
    let mut found = Vec::new();
    let mut numbers = BTreeMap::new();
    for record in records {
        if !index.contains(&format!("({record})")) {
            found.push(at(file, 1, format!("{record} is not in the list")));
        }
        let number = record.split('-').next().unwrap_or_default();
        if let Some(first) = numbers.insert(number, record) {
            found.push(at(file, 1, format!("{first} and {record} have one number")));
        }
    }
    for (line, text) in index.lines().enumerate() {
        let link = text.split_once("](").and_then(|(_, rest)| rest.split_once(')')).map(|(l, _)| l);
        if let Some(link) = link.filter(|link| link.ends_with(".md") && !records.contains(link)) {
            found.push(at(file, line + 1, format!("{link} does not exist")));
        }
    }
    found
}

// What the rules need to read.

fn parse_toml(text: &str) -> toml::Table {
    text.parse().expect("a manifest is TOML")
}

/// Names of all dependencies, of every kind and for every target.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    fn collect(table: &toml::Table, names: &mut BTreeSet<String>) {
        for (key, value) in table {
            let Some(inner) = value.as_table() else { continue };
            if key.ends_with("dependencies") {
                let renamed = inner.values().filter_map(|value| value.get("package")?.as_str());
                names.extend(inner.keys().cloned().chain(renamed.map(str::to_owned)));
            } else {
                collect(inner, names);
            }
        }
    }
    let mut names = BTreeSet::new();
    collect(&parse_toml(manifest), &mut names);
    names
}

fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.contains(word)).map_or(1, |line| line + 1)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli has a parent").to_path_buf()
}

/// All text files of the workspace; build output and version control are not part of it.
fn files() -> Vec<File> {
    fn walk(directory: &Path, root: &Path, files: &mut Vec<File>) {
        let entries = fs::read_dir(directory).expect("a directory of the workspace");
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // `.git` is a file in a second work tree.
            if ["target", ".git", "bonded-demo", "corpus"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, files);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let inside = path.strip_prefix(root).expect("walked from the root");
                files.push(File { path: inside.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    let mut files = Vec::new();
    walk(&root(), &root(), &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// All Rust sources; a module that a parent declares under `#[cfg(test)]` is a test as a whole, and
/// so is what stands outside of `<crate>/src`.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut test_modules = BTreeSet::new();
    for file in files().iter().filter(|file| file.path.ends_with(".rs")) {
        let (source, modules) = source(&file.path, &file.text);
        let parent = file.path.strip_suffix(".rs").unwrap_or(&file.path);
        let parent = ["/lib", "/main", "/mod"]
            .iter()
            .find_map(|end| parent.strip_suffix(end))
            .unwrap_or(parent);
        test_modules.extend(modules.iter().map(|name| format!("{parent}/{name}")));
        sources.push(source);
    }
    for source in &mut sources {
        let whole = test_modules.iter().any(|module| {
            source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/"))
        });
        if whole || !source.path.contains("/src/") {
            source.is_test.fill(true);
        }
    }
    sources
}

/// Name and manifest of each member of the workspace.
fn manifests() -> Vec<(String, String)> {
    let read = |path: PathBuf| fs::read_to_string(path).expect("a manifest");
    let workspace = parse_toml(&read(root().join("Cargo.toml")));
    let members = workspace.get("workspace").and_then(|table| table.get("members")?.as_array());
    let members = members.expect("the workspace lists its members").iter();
    let names = members.map(|name| name.as_str().expect("a member is a name").to_owned());
    names.map(|name| (name.clone(), read(root().join(&name).join("Cargo.toml")))).collect()
}

fn is_blocking(source: &&Source) -> bool {
    BLOCKING.iter().any(|name| source.path.starts_with(&format!("{name}/")))
}

#[track_caller]
fn none(violations: impl IntoIterator<Item = Violation>) {
    let lines: Vec<String> = violations.into_iter().map(|found| found.to_string()).collect();
    assert!(lines.is_empty(), "{} against the house rules:\n{}", lines.len(), lines.join("\n"));
}

#[track_caller]
fn fires(violations: &[Violation], expected: &[(usize, &str)]) {
    let found: Vec<usize> = violations.iter().map(|violation| violation.line).collect();
    let lines: Vec<usize> = expected.iter().map(|(line, _)| *line).collect();
    assert_eq!(found, lines, "{violations:?}");
    for (violation, (_, text)) in violations.iter().zip(expected) {
        assert!(violation.to_string().contains(text), "{violation} lacks {text:?}");
    }
}

fn sample(path: &str, text: &str) -> Source {
    source(path, text).0
}

// The rules over the workspace, each followed by its proof that it fires.

#[test]
fn crates_depend_downwards_only() {
    none(manifests().iter().flat_map(|(name, manifest)| edges(name, manifest)));
    none(manifests().iter().flat_map(|(name, manifest)| only_in_tests(name, manifest)));
}

#[test]
fn a_shipped_test_signer_is_found() {
    let bad = "[dependencies]\nbonded-testsigner.workspace = true\n";
    fires(&only_in_tests("verify", bad), &[(2, "dev-dependency")]);
    let good = "[dev-dependencies]\nbonded-testsigner.workspace = true\n";
    fires(&only_in_tests("verify", good), &[]);
}

#[test]
fn a_wrong_edge_is_found() {
    let bad =
        "[dependencies]\nbonded-verify.workspace = true\n[dev-dependencies]\nbonded-model = '1'\n";
    fires(&edges("store", bad), &[(2, "store must not depend on bonded-verify")]);
    let renamed = "[target.x.build-dependencies]\nv = { package = 'bonded-verify' }\n";
    fires(&edges("store", renamed), &[(2, "bonded-verify")]);
    fires(&edges("newcomer", ""), &[(1, "without a place")]);
}

#[test]
fn blocking_crates_have_no_runtime() {
    let below = manifests().into_iter().filter(|(name, _)| BLOCKING.contains(&name.as_str()));
    none(below.flat_map(|(name, manifest)| no_runtime(&name, &manifest)));
}

#[test]
fn a_runtime_is_found() {
    let bad = "[dev-dependencies]\nserde = '1'\ntokio = '1'\n";
    fires(&no_runtime("store", bad), &[(3, "tokio belongs above")]);
}

#[test]
fn every_crate_inherits_the_lints() {
    none(manifests().iter().flat_map(|(name, manifest)| inherits_lints(name, manifest)));
}

#[test]
fn own_lints_are_found() {
    fires(&inherits_lints("model", "[lints.clippy]\nx = 'allow'\n"), &[(1, "workspace = true")]);
    fires(&inherits_lints("model", ""), &[(1, "workspace = true")]);
}

#[test]
fn files_environment_and_clock_have_their_modules() {
    none(sources().iter().flat_map(calls));
}

#[test]
fn a_call_outside_its_module_is_found() {
    let bad = "use std::fs;\n// std::fs\nlet a = \"std::env\";\nstd::env::var(b);\n\
               #[cfg(test)]\nmod tests {\n use std::fs;\n}\nSystemTime::now();\n";
    let found = [(1, "bonded_store::disk"), (4, "cli::config"), (9, "`now` as an argument")];
    fires(&calls(&sample("serve/src/x.rs", bad)), &found);
    fires(&calls(&sample("store/src/disk.rs", "use std::fs;")), &[]);
    let kept = "Verdict::from_cache(a, b, c, d);\nverdict.to_cache(b, c);\n";
    fires(
        &calls(&sample("serve/src/x.rs", kept)),
        &[(2, "only cli::judge"), (1, "only cli::judge")],
    );
    fires(
        &calls(&sample("cli/src/commands/verify.rs", kept)),
        &[(2, "cli::judge"), (1, "cli::judge")],
    );
    fires(&calls(&sample("cli/src/judge.rs", kept)), &[]);
    fires(&calls(&sample("store/src/disk/x.rs", "use std::fs;")), &[]);
    fires(&calls(&sample("store/src/disks.rs", "use std::fs;")), &[(1, "disk")]);
}

#[test]
fn blocking_crates_are_not_async() {
    none(sources().iter().filter(is_blocking).flat_map(no_async));
}

#[test]
fn async_code_is_found() {
    let bad = "// async\nfn asynchronous() {}\npub async fn f() {}\nlet r#async = 'a';\n";
    fires(&no_async(&sample("store/src/x.rs", bad)), &[(3, "sockets"), (4, "sockets")]);
}

#[test]
fn what_decides_has_no_sockets() {
    none(sources().iter().filter(is_blocking).flat_map(no_sockets));
}

#[test]
fn a_socket_is_found() {
    let bad =
        "// TcpStream\nuse std::net::TcpStream;\nlet a = \"std::net\";\nUdpSocket::bind(b);\n";
    let found = [(2, "asks nobody"), (4, "asks nobody")];
    fires(&no_sockets(&sample("verify/src/x.rs", bad)), &found);
}

#[test]
fn pure_crates_measure_no_time() {
    let pure =
        |source: &&Source| source.path.starts_with("model/") || source.path.starts_with("verify/");
    none(sources().iter().filter(pure).flat_map(no_instant));
}

#[test]
fn an_instant_is_found() {
    fires(&no_instant(&sample("verify/src/x.rs", "\nInstant::now()")), &[(2, "measures no time")]);
}

#[test]
fn files_and_functions_are_short() {
    let all = sources();
    none(
        all.iter()
            .flat_map(|source| file_length(source).into_iter().chain(function_length(source))),
    );
}

#[test]
fn long_files_and_functions_are_found() {
    let lines = |count: usize| "x;\n".repeat(count);
    fires(&file_length(&sample("a/src/x.rs", &lines(601))), &[(1, "601 lines")]);
    let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(600), lines(99));
    fires(&file_length(&sample("a/src/x.rs", &with_tests)), &[]);
    let long = format!("fn short() {{}}\nfn long(a: [u8; 2]) {{\n{}}}\n", lines(61));
    fires(&function_length(&sample("a/src/x.rs", &long)), &[(2, "fn long has 61 lines")]);
    let excepted =
        long.replace("fn long", "#[expect(clippy::too_many_lines, reason = \"…\")]\nfn long");
    fires(&function_length(&sample("a/src/x.rs", &excepted)), &[]);
    let of_another =
        format!("#[expect(clippy::too_many_lines, reason = \"…\")]\nfn first() {{}}\n{long}");
    fires(&function_length(&sample("a/src/x.rs", &of_another)), &[(4, "fn long has 61 lines")]);
    let sixty = format!("fn f() {{\n{}// a comment\n\n}}\n", lines(60));
    fires(&function_length(&sample("a/src/x.rs", &sixty)), &[]);
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    none(sources().iter().flat_map(banned));
}

#[test]
fn unfinished_code_is_found() {
    let bad: String = BANNED.iter().map(|(word, _)| format!("fn f() {{ {word} }}\n")).collect();
    let found = [(1, "proves nothing"), (2, "finish"), (3, "finish"), (4, "take it out")];
    fires(&banned(&sample("a/src/x.rs", &bad)), &found);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    none(files().iter().flat_map(machine_paths));
}

#[test]
fn a_machine_path_is_found() {
    let file = File { path: "README.md".into(), text: format!("a\ncd {}x\n", MACHINE_PATHS[0]) };
    fires(&machine_paths(&file), &[(2, "one machine")]);
}

#[test]
fn every_finding_code_has_its_entry() {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let document = fs::read_to_string(root().join("docs/findings.md"));
    none(codes_without_entry(&codes, &document.expect("docs/findings.md lists the finding codes")));
}

#[test]
fn a_code_without_entry_is_found() {
    let document = "## `SIG-LOG-OLD`\n## `PROV-REF`\n";
    fires(&codes_without_entry(&["PROV-REF", "SIG-LOG"], document), &[(1, "SIG-LOG")]);
}

#[test]
fn every_decision_is_listed() {
    let directory = fs::read_dir(root().join("docs/adr")).expect("the decision records");
    let names = directory.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("a name is UTF-8")).collect();
    names.retain(|name| name.ends_with(".md") && name != "README.md");
    names.sort();
    let records: Vec<&str> = names.iter().map(String::as_str).collect();
    let index = fs::read_to_string(root().join("docs/adr/README.md"));
    none(decisions(&records, &index.expect("docs/adr/README.md lists the decisions")));
}

#[test]
fn an_unlisted_decision_is_found() {
    let records = ["0001-a.md", "0002-b.md", "0002-c.md"];
    let index = "- [1](0001-a.md)\n- [2](0002-b.md)\n- [9](0009-gone.md)\n";
    let found = [(1, "0002-c.md is not in the list"), (1, "one number"), (3, "does not exist")];
    fires(&decisions(&records, index), &found);
}
