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
//!   bonded.toml        store, policy and mirrors, so that commands need no options there
//!   store/             the store
//!   mirror-a/ -b/      two mirrors
//!   tampered/          the same release with one bit of the program flipped
//! ```

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bonded_model::Digest;
use bonded_store::disk;
use bonded_store::ingest::IngestError;
use clap::Parser;
use url::Url;

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
    let release = format!("demo@{VERSION}");
    stage.clear()?;
    stage.write_config()?;
    stage.tell(
        "1. A release made of real files: this program, its licence and manual, an SBOM made from\n   \
         the lock file, checksums. The key is made on the spot and worth nothing outside this demo.",
    )?;
    stage.write_release()?;
    stage.show(&["keygen", "--out", &stage.path("demo.key")])?;
    stage.write_policy()?;
    stage.tell("2. Take it in, with the evidence beside it; sign provenance and attach it.")?;
    stage.show(&["init"])?;
    stage.show(&["ingest", "--release", &release, &stage.path("release")])?;
    stage.attest(&release)?;
    stage.tell("3. The verdict on the whole release, under a written policy.")?;
    stage.show(&["verify", &release])?;
    stage.tell("4. Two mirrors at once: evidence first, pointers last, read back before any pointer moves.")?;
    stage.show(&["mirror", "apply"])?;
    stage.tell(
        "5. Somebody flips one bit of the program. Neither its user nor the store is fooled.",
    )?;
    stage.tamper(&release)?;
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

    /// Shows a command line and runs it, as it would be from a shell in the demo's directory.
    fn show(&self, arguments: &[&str]) -> Result<(), CliError> {
        self.show_ending(arguments, Outcome::Done)
    }

    fn show_ending(&self, arguments: &[&str], expected: Outcome) -> Result<(), CliError> {
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
        let (config, store) = (self.path("bonded.toml"), self.path("store"));
        let line = ["bonded", "--config", &config, "--store", &store];
        let cli = Cli::try_parse_from(line.into_iter().chain(arguments.iter().copied())).map_err(
            |source| CliError::usage("the demo's own command line is wrong").because(source),
        )?;
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

    /// The configuration that spares the options: store, policy, two mirrors.
    fn write_config(&self) -> Result<(), CliError> {
        let mirror = |name: &str| {
            let url = Url::from_directory_path(self.directory.join(name));
            let url = url.map_err(|()| CliError::environment(format!("{name} has no URL")))?;
            Ok::<_, CliError>(format!("[destinations.{name}]\nurl = \"{url}\"\n"))
        };
        let text = format!(
            "store = \"store\"\n\n[projects.demo]\npolicy = \"policy.toml\"\n\n{}\n{}",
            mirror("mirror-a")?,
            mirror("mirror-b")?
        );
        self.write("bonded.toml", text.as_bytes())
    }

    fn attest(&self, release: &str) -> Result<(), CliError> {
        let (key, source_ref) = (self.path("demo.key"), format!("refs/tags/{VERSION}"));
        let build_type = "https://bonded.invalid/demo/build";
        let options = ["--key", &key, "--builder-id", BUILDER, "--build-type", build_type];
        let source = ["--source", SOURCE, "--source-ref", &source_ref];
        self.show(&[&["attest", "provenance", release], options.as_slice(), &source].concat())
    }

    /// Flips a bit; the file fails its provenance, and the store refuses it under the old name.
    fn tamper(&self, release: &str) -> Result<(), CliError> {
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
        let (policy, options) = (self.path("policy.toml"), ["--release-version", VERSION]);
        let verify = ["verify", &tampered, "--bundle", &bundle, "--policy", &policy];
        self.show_ending(&[verify.as_slice(), &options].concat(), Outcome::VerdictFail)?;
        let ingest = ["ingest", "--release", release, &self.path("tampered")];
        self.announce(&ingest)?;
        match self.run(&ingest) {
            Err(refused) if is_other_release(&refused) => output::data_line(&refused.to_string()),
            Err(error) => Err(error),
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
        let (config, store) = (self.directory.join("bonded.toml"), self.directory.join("store"));
        let config = Config::load(Some(&config), Some(&store))?;
        let context = Context { config, format: Format::Text, opened: OnceCell::new() };
        let judge = JudgeArgs { policy: None, trusted_roots: Vec::new(), at: None, no_cache: true };
        let serve = ServeArgs { listen: Some(args.listen), judge };
        let program = config::own_program()?;
        serve::run_announced(&context, &serve, &|address| {
            self.invite(address, &program)?;
            if args.once {
                return Ok(Until::Now);
            }
            output::data_line("\nCtrl-C ends it.")?;
            Ok(Until::AskedToStop)
        })
    }

    fn invite(&self, address: SocketAddr, program: &Path) -> Result<(), CliError> {
        let base = format!("http://{address}");
        let file = format!("{base}/release/{VERSION}/bin/bonded");
        let config = self.path("bonded.toml");
        let bonded =
            format!("{} --config {}", quoted(&program.display().to_string()), quoted(&config));
        output::data_line(&format!("\n  {base}/\n  {base}/releases.json\n  {file}"))?;
        output::data_line(&format!(
            "\nthree commands to try:\n  curl -sI {file}\n  {bonded} show demo@{VERSION}\n  \
             {bonded} mirror status"
        ))
    }
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn is_other_release(error: &CliError) -> bool {
    matches!(error.cause(), Some(IngestError::OtherRelease { .. }))
}

/// An error of a file call, told as what was attempted.
fn io<'a>(verb: &'a str, path: &'a Path) -> impl FnOnce(disk::DiskError) -> CliError + 'a {
    move |source| CliError::environment(format!("cannot {verb} {}", path.display())).because(source)
}
