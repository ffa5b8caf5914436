//! `demo`: the whole idea on a small release made of real files, in seconds.
//!
//! The demo is a script of the program's own verbs: each line that it shows is run just as it would be
//! from a shell. Everything lies in one directory, which is marked as the demo's, so that a second
//! demo may replace it and nothing else ever is.
//!
//! ```text
//! bonded-demo/
//!   .bonded-demo       the mark
//!   demo.key, .pub     a key made on the spot, worth nothing
//!   release/           the release: this program, its licence and manual, SBOM, checksums
//!   policy.toml        who may sign and build it
//!   store/             the store
//!   mirror-a/ -b/      two mirrors
//!   tampered/          the same release with one bit of the program flipped
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bonded_model::Digest;
use bonded_store::disk;
use clap::Parser;

use super::serve::{self, Until};
use super::{Context, Outcome};
use crate::args::{Cli, DemoArgs, JudgeArgs, ServeArgs};
use crate::config::{self, Config};
use crate::error::CliError;
use crate::lock_file_sbom::{self, Described};
use crate::output::{self, Format};
use crate::{clock, judge};

const DIRECTORY: &str = "bonded-demo";
const MARK: &str = ".bonded-demo";
const MARK_TEXT: &str = "Made by `bonded demo`, which may replace this directory.\n";
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
const LICENSE: &str = include_str!("../../../LICENSE");
const MANUAL: &str = include_str!("../../../README.md");
const LOCK_FILE: &str = include_str!("../../../Cargo.lock");
/// The program with all its debug information stays well below this.
const PROGRAM_BYTES_MAX: u64 = 2 << 30;
const BUILDER: &str = "https://bonded.invalid/demo/builder";
const SOURCE: &str = "https://bonded.invalid/demo/source";

pub(super) fn run(args: &DemoArgs) -> Result<Outcome, CliError> {
    let named = args.dir.clone().unwrap_or_else(|| PathBuf::from(DIRECTORY));
    let stage = Stage { directory: config::absolute(&named)? };
    stage.clear()?;
    stage.tell("1. A release made of real files: this program, its licence and manual, an SBOM made from\n   the lock file, checksums. The key is made on the spot and worth nothing outside this demo.")?;
    stage.write_release()?;
    stage.show(&["keygen", "--out", &stage.path("demo.key")], Outcome::Done)?;
    stage.write_policy()?;
    let release = format!("demo@{VERSION}");
    stage.tell("2. Take it in, with the evidence beside it; sign provenance and attach it.")?;
    stage.show(&["init"], Outcome::Done)?;
    stage.show(&["ingest", "--release", &release, &stage.path("release")], Outcome::Done)?;
    stage.show(
        &stage.attest(&release).iter().map(String::as_str).collect::<Vec<_>>(),
        Outcome::Done,
    )?;
    stage.tell("3. The verdict on the whole release, under a written policy.")?;
    let policy = stage.path("policy.toml");
    stage.show(&["verify", &release, "--policy", &policy], Outcome::Done)?;
    stage.tell("4. Two mirrors at once: evidence first, pointers last, read back before any pointer moves.")?;
    let (a, b) = (stage.url("mirror-a"), stage.url("mirror-b"));
    stage.show(&["mirror", "apply", "--policy", &policy, "--to", &a, "--to", &b], Outcome::Done)?;
    stage.tell(
        "5. Somebody flips one bit of the program. Neither its user nor the store is fooled.",
    )?;
    stage.tamper(&release, &policy)?;
    stage.tell("6. Verified releases over HTTP.")?;
    stage.serve(args)?;
    Ok(Outcome::Done)
}

/// The demo's directory.
struct Stage {
    directory: PathBuf,
}

impl Stage {
    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name))
    }

    /// Makes the directory anew; one that is not a demo's is left alone.
    fn clear(&self) -> Result<(), CliError> {
        let shown = self.directory.display();
        let exists =
            disk::kind_of(&self.directory).map_err(io("look at", &self.directory))?.is_some();
        if exists {
            let marked = disk::kind_of(&self.directory.join(MARK))
                .map_err(io("look at", &self.directory))?;
            if marked.is_none() {
                return Err(CliError::usage(format!(
                    "{shown} exists and is not an earlier demo's"
                ))
                .hint("name another directory: bonded demo --dir DIR"));
            }
            disk::remove_tree(&self.directory)
                .map_err(io("remove the earlier demo", &self.directory))?;
        }
        disk::create_dir_all(&self.directory).map_err(io("make", &self.directory))?;
        self.write(MARK, MARK_TEXT.as_bytes())?;
        output::data_line(&format!("everything of this demo lies in {shown}"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CliError> {
        let path = self.directory.join(name);
        disk::write_file_new(&path, bytes).map_err(io("write", &path))
    }

    fn tell(&self, text: &str) -> Result<(), CliError> {
        output::data_line(&format!("\n{text}"))
    }

    /// Shows a command line and runs it, as it would be from a shell.
    fn show(&self, arguments: &[&str], expected: Outcome) -> Result<(), CliError> {
        self.announce(arguments)?;
        match self.run(arguments)? {
            outcome if outcome == expected => Ok(()),
            outcome => Err(CliError::environment(format!(
                "the demo expected {expected:?}, not {outcome:?}"
            ))
            .hint("the lines above say why; please report this")),
        }
    }

    fn announce(&self, arguments: &[&str]) -> Result<(), CliError> {
        let here = format!("{}/", self.directory.display());
        let near = |argument: &&str| argument.strip_prefix(&here).unwrap_or(argument).to_owned();
        let line: Vec<String> = arguments.iter().map(near).collect();
        output::data_line(&format!("\n$ bonded {}", line.join(" ")))
    }

    fn run(&self, arguments: &[&str]) -> Result<Outcome, CliError> {
        let store = self.path("store");
        let line = ["bonded", "--store", &store].into_iter().chain(arguments.iter().copied());
        let cli = Cli::try_parse_from(line).map_err(|source| {
            CliError::usage("the demo's own command line is wrong").because(source)
        })?;
        super::run(cli)
    }

    fn write_release(&self) -> Result<(), CliError> {
        let own = config::own_program()?;
        let program = disk::read_file(&own, PROGRAM_BYTES_MAX).map_err(io("read", &own))?;
        disk::create_dir_all(&self.directory.join("release/bin"))
            .map_err(io("make", &self.directory))?;
        let files: [(&str, &[u8]); 3] = [
            ("bin/bonded", &program),
            ("LICENSE", LICENSE.as_bytes()),
            ("README.md", MANUAL.as_bytes()),
        ];
        let digests: Vec<(&str, Digest)> =
            files.iter().map(|(name, bytes)| (*name, Digest::sha256_of(bytes))).collect();
        for (name, bytes) in files {
            self.write(&format!("release/{name}"), bytes)?;
        }
        let sums: String =
            digests.iter().map(|(name, digest)| format!("{}  {name}\n", digest.hex())).collect();
        self.write("release/SHA256SUMS", sums.as_bytes())?;
        let described = Described {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            files: &digests,
            created: clock::now()?,
        };
        let sbom = lock_file_sbom::from_lock_file(LOCK_FILE, &described)
            .map_err(|source| CliError::environment("cannot make an SBOM").because(source))?;
        self.write("release/bonded.spdx.json", &sbom)
    }

    fn write_policy(&self) -> Result<(), CliError> {
        let public = self.directory.join("demo.key.pub");
        let key = judge::read(&public, bonded_model::limits::POLICY_BYTES_MAX, "public key")?;
        let key = String::from_utf8_lossy(&key);
        let text = format!(
            r#"# Who may sign and build the demo's release, and from which source.
version = 1
name = "demo"

[[signer]]
name = "demo key, made on the spot"
public_key = """
{key}"""

[[builder]]
id = "{BUILDER}"
signers = ["demo key, made on the spot"]
level = 1

[provenance]
level = 1
source = "{SOURCE}"
tag = "{{version}}"

[sbom]
rule = "require"

[checksums]
rule = "require"

[release]
artifacts = ["LICENSE", "README.md", "bin/bonded"]
"#
        );
        self.write("policy.toml", text.as_bytes())
    }

    fn attest(&self, release: &str) -> Vec<String> {
        let options = [
            ("--key", self.path("demo.key")),
            ("--builder-id", BUILDER.to_owned()),
            ("--build-type", "https://bonded.invalid/demo/build".to_owned()),
            ("--source", SOURCE.to_owned()),
            ("--source-ref", format!("refs/tags/{VERSION}")),
        ];
        let mut line = vec!["attest".to_owned(), "provenance".to_owned(), release.to_owned()];
        line.extend(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        line
    }

    /// Flips a bit; the file fails its provenance, and the store refuses it under the old name.
    fn tamper(&self, release: &str, policy: &str) -> Result<(), CliError> {
        let original = self.directory.join("release/bin/bonded");
        let mut bytes =
            disk::read_file(&original, PROGRAM_BYTES_MAX).map_err(io("read", &original))?;
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        disk::create_dir_all(&self.directory.join("tampered/bin"))
            .map_err(io("make", &self.directory))?;
        self.write("tampered/bin/bonded", &bytes)?;
        self.write("tampered/LICENSE", LICENSE.as_bytes())?;
        self.write("tampered/README.md", MANUAL.as_bytes())?;
        let bundle = self.provenance()?;
        let tampered = self.path("tampered/bin/bonded");
        let verify = [
            "verify",
            &tampered,
            "--bundle",
            &bundle,
            "--policy",
            policy,
            "--release-version",
            VERSION,
        ];
        self.show(&verify, Outcome::VerdictFail)?;
        let ingest = ["ingest", "--release", release, &self.path("tampered")];
        self.announce(&ingest)?;
        match self.run(&ingest) {
            Err(refused) => output::data_line(&refused.to_string()),
            Ok(_) => {
                Err(CliError::environment("the store took other bytes under a published name"))
            }
        }
    }

    /// The signed provenance, as a mirror holds it.
    fn provenance(&self) -> Result<String, CliError> {
        let directory = self.directory.join(format!("mirror-a/demo/release/{VERSION}/.bonded"));
        let listed = disk::read_dir(&directory).map_err(io("list", &directory))?;
        let mut evidence = listed.into_iter().map(|(path, _)| path.display().to_string());
        evidence
            .find(|path| path.contains("/.bonded/sha256-"))
            .ok_or_else(|| CliError::environment("the mirror holds no provenance"))
    }

    fn serve(&self, args: &DemoArgs) -> Result<(), CliError> {
        let store = self.directory.join("store");
        let context = Context { config: Config::load(None, Some(&store))?, format: Format::Text };
        let policy = Some(self.directory.join("policy.toml"));
        let judge = JudgeArgs { policy, trusted_root: None, at: None };
        let serve = ServeArgs { listen: Some(args.listen), judge };
        let once = args.once;
        serve::run_announced(&context, &serve, &|address| self.invite(address, once))
    }

    fn invite(&self, address: SocketAddr, once: bool) -> Result<Until, CliError> {
        let base = format!("http://{address}");
        let program = format!("{base}/release/{VERSION}/bin/bonded");
        let (store, policy) = (self.path("store"), self.path("policy.toml"));
        output::data_line(&format!("\n  {base}/\n  {base}/releases.json\n  {program}"))?;
        output::data_line(&format!(
            "\nthree commands to try:\n  curl -sI {program}\n  \
             bonded --store {store} show demo@{VERSION}\n  \
             bonded --store {store} mirror status --policy {policy} --to {}",
            self.url("mirror-a"),
        ))?;
        if once {
            return Ok(Until::Now);
        }
        output::data_line("\nCtrl-C ends it.")?;
        Ok(Until::AskedToStop)
    }
}

/// An error of a file call, told as what was attempted.
fn io<'a>(verb: &'a str, path: &'a Path) -> impl FnOnce(disk::DiskError) -> CliError + 'a {
    move |source| CliError::environment(format!("cannot {verb} {}", path.display())).because(source)
}
