//! A directory of its own, the built program, and small releases to play with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) mod image;
pub(crate) mod s3;
mod vectors;

pub(crate) use vectors::vectors;

use serde_json::Value;
use tempfile::TempDir;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli has a parent").to_path_buf()
}

/// A temporary directory in which the program runs.
pub(crate) struct World {
    directory: TempDir,
}

/// What one run of the program did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    /// A world with an empty store in `store`.
    pub(crate) fn with_store() -> Self {
        let world = Self::new();
        world.ok("init store");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside the world")).expect("a directory");
        fs::write(&path, bytes).expect("a file");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn copy(&self, from: &Path, name: &str) -> PathBuf {
        let bytes = fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.write(name, bytes)
    }

    /// The program with a clean environment and the store `store`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bonded"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("BONDED_STORE", "store");
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Runs it with arguments split at spaces.
    pub(crate) fn run(&self, line: &str) -> Run {
        let arguments: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        self.run_arguments(&arguments)
    }

    pub(crate) fn run_arguments(&self, arguments: &[&str]) -> Run {
        Run::of(&self.command(arguments).output().expect("the program starts"))
    }

    /// Runs it and insists on success; gives stdout.
    pub(crate) fn ok(&self, line: &str) -> String {
        self.run(line).must(0).stdout
    }

    /// Runs it with `--format json` and gives the value.
    pub(crate) fn json(&self, line: &str, code: i32) -> Value {
        let run = self.run(&format!("{line} --format json")).must(code);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{line}: {error}\n{run:?}"))
    }

    /// A key, a policy that trusts it for source `https://example.com/demo` at level 2, and files in
    /// `in/`; ingested as `demo@VERSION` and attested.
    pub(crate) fn release(&self, version: &str) {
        if !self.path("key").exists() {
            self.ok("keygen --out key");
            self.write("policy.toml", self.policy());
        }
        self.write("in/bin/tool", format!("tool {version}\n"));
        self.write("in/empty", "");
        self.ok(&format!("ingest --release demo@{version} in"));
        self.attest(version);
    }

    pub(crate) fn attest(&self, version: &str) {
        self.ok(&format!(
            "attest provenance demo@{version} --key key --builder-id https://example.com/builder \
             --build-type https://example.com/build --source https://example.com/demo \
             --source-ref refs/tags/{version}"
        ));
    }

    pub(crate) fn policy(&self) -> String {
        let key = self.read("key.pub");
        format!(
            r#"version = 1
name = "demo"

[[signer]]
name = "demo key"
public_key = """
{key}"""

[[builder]]
id = "https://example.com/builder"
signers = ["demo key"]
level = 2

[provenance]
level = 2
source = "https://example.com/demo"
tag = "{{version}}"

[sbom]
rule = "off"
"#
        )
    }
}

impl Run {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Insists on an exit code.
    #[track_caller]
    pub(crate) fn must(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Insists that stderr holds all of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "stderr lacks {word:?}:\n{}", self.stderr);
        }
        self
    }
}

/// The codes of the findings of one severity in a verdict, in order, each once.
pub(crate) fn codes(verdict: &Value, severity: &str) -> Vec<String> {
    let findings = verdict["findings"].as_array().expect("a verdict has findings");
    let wanted = findings.iter().filter(|finding| finding["severity"] == severity);
    let mut codes: Vec<String> =
        wanted.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect();
    codes.sort();
    codes.dedup();
    codes
}

/// Every file below a directory with its bytes, by relative path.
pub(crate) fn tree(directory: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = std::collections::BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in
            fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display()))
        {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("below").display().to_string();
                files.insert(name, fs::read(&path).expect("readable"));
            }
        }
    }
    files
}
