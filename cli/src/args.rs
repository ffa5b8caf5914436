//! The command line, as typed. Each verb's arguments are a struct here; the verb itself is a module
//! of the same name under `commands`.

mod trust;

pub(crate) use trust::{TrustUpdateArgs, TrustVerb};

use std::net::SocketAddr;
use std::path::PathBuf;

use bonded_model::{ImageName, ReleaseName, Repository, Timestamp};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::Format;
use crate::quantity::{Age, Bytes};

/// Holds release artifacts until their papers clear, then lets them out.
#[derive(Debug, Parser)]
#[command(name = "bonded", version, propagate_version = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// The store's directory [default: `BONDED_STORE`, then `store` in bonded.toml]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The configuration file [default: `BONDED_CONFIG`, then ./bonded.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The form of what goes to standard output
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done or pass, 1 verdict fail, 2 usage, 3 local environment, 4 remote, 70 defect.

The whole idea in seconds: bonded demo";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a store
    Init(InitArgs),
    /// Take files and directories into a release, with the evidence that lies beside them
    Ingest(IngestArgs),
    /// Write releases and images as an OCI layout, for other tools and for backups
    Export(ExportArgs),
    /// Take whole images in, from an OCI layout or an OCI or docker archive
    Import(ImportArgs),
    /// Look after what is known about blobs and can be computed again
    #[command(subcommand)]
    Facts(FactsVerb),
    /// List the releases and images in the store, as they are or as they were
    List(ListArgs),
    /// Tell what changed between two epochs of the store
    Diff(DiffArgs),
    /// Show a release: its artifacts, evidence and recorded verdicts; or an image and what is about it
    Show(ShowArgs),
    /// Reach a verdict on a release in the store, or on one downloaded file
    Verify(VerifyArgs),
    /// Write, check and explain policies
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Bring verified releases to directories and buckets
    #[command(subcommand)]
    Mirror(MirrorVerb),
    /// Serve verified releases over HTTP
    Serve(ServeArgs),
    /// Set aside what nothing refers to, and delete what was set aside long enough ago
    Gc(GcArgs),
    /// Check every byte and every reference of the store, and mend what can be proven
    Fsck(FsckArgs),
    /// Keep index.json, in which other OCI tools see what the store holds, or do without it
    Index(IndexArgs),
    /// Make a signing key
    Keygen(KeygenArgs),
    /// Sign a statement about artifacts of a release, and attach it
    #[command(subcommand)]
    Attest(AttestKind),
    /// Fetch trusted roots from TUF repositories, and show those that are at hand
    #[command(subcommand)]
    Trust(TrustVerb),
    /// Show the whole idea on a small release, in seconds
    Demo(DemoArgs),
    /// Show the configuration in force
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// `init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where [default: the configured store]
    pub(crate) dir: Option<PathBuf>,
    /// Keep it without index.json, for very many releases and images; bonded index on undoes this
    #[arg(long)]
    pub(crate) no_index: bool,
}

/// `index`
#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Keep the store with index.json, or without it [default: say how it is]
    #[arg(value_name = "on|off")]
    pub(crate) setting: Option<IndexSwitch>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// What `index` may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IndexSwitch {
    /// Other OCI tools see what the store holds
    On,
    /// No commit writes a list of all names
    Off,
}

/// `ingest`
#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// The release that takes them
    #[arg(long, value_name = "PROJECT@VERSION")]
    pub(crate) release: ReleaseName,
    /// Files and directories; a directory's paths become paths inside the release,
    /// and a directory that is an OCI layout gives its images
    #[arg(required_unless_present = "images", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Compute SHA-512 of every artifact, not only where a checksum list names it alone
    #[arg(long)]
    pub(crate) sha512: bool,
    /// Nobody will ever write to these files again, under any name: large ones with mode 0644 or 0444
    /// on the store's file system are linked instead of copied, and become read-only where they are
    #[arg(long)]
    pub(crate) immutable_source: bool,
    /// Images, from an OCI layout or an archive, with REPOSITORY:TAG or REPOSITORY if it does not name them
    #[arg(long = "image", value_name = "LAYOUT|ARCHIVE[=NAME]")]
    pub(crate) images: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `export`
#[derive(Debug, Args)]
#[command(after_help = "\
An export asks for no verdict: it is a copy, for inspection and backups. To publish, use mirror or serve.

Examples:
  bonded export --to backup
  bonded export demo@v1.0.0 --to demo.tar
  bonded export registry.example/tool:v1 --to tool --no-referrers")]
pub(crate) struct ExportArgs {
    /// Releases and images, each with all that it needs [default: everything in the store]
    #[arg(value_name = "PROJECT@VERSION|REPOSITORY:TAG")]
    pub(crate) names: Vec<bonded_store::export::ExportName>,
    /// A directory that is empty or does not exist, or an archive that does not exist
    #[arg(long, value_name = "DIR|FILE.tar")]
    pub(crate) to: PathBuf,
    /// Make an archive whatever its name; a name that ends with .tar is one anyway
    #[arg(long)]
    pub(crate) oci_archive: bool,
    /// Leave out signatures, attestations, SBOMs and everything else that refers to what is exported
    #[arg(long)]
    pub(crate) no_referrers: bool,
}

/// `import`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bonded import ./layout --repository registry.k8s.io/pause
  bonded import pause.tar --reference registry.k8s.io/pause:3.10
  bonded import image.tar --name example.com/demo/app:v1
  bonded import backup --releases
  skopeo copy docker://… oci:STORE:example.com/demo/app:v1 && bonded import --adopt")]
pub(crate) struct ImportArgs {
    /// A directory with an OCI layout, or an OCI or docker archive
    #[arg(value_name = "LAYOUT|ARCHIVE", required_unless_present = "adopt")]
    pub(crate) source: Option<PathBuf>,
    /// Only the image of this name or digest, and what is about it
    #[arg(long = "reference", value_name = "REF")]
    pub(crate) references: Vec<String>,
    /// The repository of images that have a tag alone
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<Repository>,
    /// The name of the only image, whatever it is called there
    #[arg(long, value_name = "REPOSITORY:TAG", conflicts_with = "repository")]
    pub(crate) name: Option<ImageName>,
    /// Also the releases that the layout holds, as a backup does
    #[arg(long)]
    pub(crate) releases: bool,
    /// Take in what another program has written into the store itself
    #[arg(long, conflicts_with_all = ["source", "references", "releases"])]
    pub(crate) adopt: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// How long a second writer waits.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Seconds to wait for another writer [default: 30, or `wait_seconds` in bonded.toml]
    #[arg(long = "wait", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

/// `facts …`
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum FactsVerb {
    /// Hash every artifact again, look at what it is, and keep the result in place of what was known
    Rebuild,
}

/// `list`
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this project
    pub(crate) project: Option<bonded_model::Project>,
    /// As of this epoch instead of the newest
    #[arg(long, value_name = "EPOCH")]
    pub(crate) at: Option<u64>,
}

/// `diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The epoch to start from
    #[arg(value_name = "EPOCH")]
    pub(crate) from: u64,
    /// The epoch to compare with it
    #[arg(value_name = "EPOCH")]
    pub(crate) to: u64,
}

/// `show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Which release or image
    #[arg(value_name = "PROJECT@VERSION|REPOSITORY:TAG")]
    pub(crate) name: bonded_store::export::ExportName,
}

/// How to reach verdicts.
#[derive(Clone, Debug, Args)]
pub(crate) struct JudgeArgs {
    /// The policy [default: the project's policy in bonded.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The trusted root: a file, NAME=FILE, `stored:` and what trust update took, or the embedded
    /// `public-good` or `staging`; several times for several side by side [default: those in bonded.toml, then public-good]
    #[arg(long = "trusted-root", value_name = "[NAME=]FILE|stored:ROOT|public-good|staging")]
    pub(crate) trusted_roots: Vec<String>,
    /// Reach the verdict as of this time (RFC 3339) instead of now, and anew
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
    /// Reach the verdict anew, even if one of the same is kept, and keep none
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// `verify`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bonded verify demo@v1.0.0 --policy policy.toml
  bonded verify kubectl --bundle kubectl.sigstore.json --policy policy.toml
  bonded verify sha256:HEX --bundle b.json --identity SAN --issuer URL
  bonded verify kubectl --bundle kubectl.sigstore.json --key release.pub
  bonded verify demo@v1.0.0 --policy policy.toml --report sarif > verdict.sarif")]
pub(crate) struct VerifyArgs {
    /// PROJECT@VERSION in the store; with --bundle a file, or sha256: and 64 hex digits
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
    /// The bundle that came with the file
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// The certificate, where the bundle is a signature in a .sig file
    #[arg(long, value_name = "FILE", requires = "bundle")]
    pub(crate) certificate: Option<PathBuf>,
    /// The log's entry as Rekor answers it, where the bundle is a signature in a .sig file
    #[arg(long, value_name = "FILE", requires = "bundle")]
    pub(crate) log_entry: Option<PathBuf>,
    /// The signer's identity (certificate SAN), exact
    #[arg(
        long,
        value_name = "SAN",
        requires = "issuer",
        requires = "bundle",
        conflicts_with = "policy"
    )]
    pub(crate) identity: Option<String>,
    /// The issuer that vouched for the identity, exact
    #[arg(long, value_name = "URL", requires = "identity")]
    pub(crate) issuer: Option<String>,
    /// The signer's public key in PEM
    #[arg(long, value_name = "PEM", requires = "bundle", conflicts_with_all = ["policy", "identity"])]
    pub(crate) key: Option<PathBuf>,
    /// The release's version, where the policy's source names `{version}` and a file is verified
    #[arg(long, value_name = "VERSION", requires = "bundle")]
    pub(crate) release_version: Option<bonded_model::Version>,
    /// Print the verdict as a report for other tools, whatever --format says
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) report: Option<ReportForm>,
    /// Where the file stands in its release, where the policy has scopes and a file is verified
    #[arg(long, value_name = "PATH", requires = "bundle")]
    pub(crate) release_path: Option<bonded_model::ArtifactPath>,
    /// Do not attach the verdict's summary to the release
    #[arg(long, conflicts_with = "bundle")]
    pub(crate) no_record: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// A form of a verdict for other tools than bonded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// SARIF 2.1.0, for code-scanning pages and editors
    Sarif,
    /// One page of HTML, without scripts
    Html,
}

/// `policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Write a starting policy from what a release in the store shows
    Init {
        /// Which release
        #[arg(value_name = "PROJECT@VERSION")]
        release: ReleaseName,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// A public key in PEM that may be proposed as a signer, if it signed anything here
        #[arg(long = "key", value_name = "PEM")]
        keys: Vec<PathBuf>,
        /// The trusted root [default: as for verify]
        #[arg(long = "trusted-root", value_name = "[NAME=]FILE|stored:ROOT|public-good|staging")]
        trusted_roots: Vec<String>,
    },
    /// Read a policy and say what is wrong or dangerous in it
    Check {
        /// The policy
        file: PathBuf,
    },
    /// Tell what a policy demands of a release in the store
    Explain {
        /// Which release
        #[arg(value_name = "PROJECT@VERSION")]
        release: ReleaseName,
        /// The policy [default: the project's policy in bonded.toml]
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
}

/// `mirror …`
#[derive(Debug, Subcommand)]
pub(crate) enum MirrorVerb {
    /// Say what would be done, and do nothing
    Plan(MirrorPlanArgs),
    /// Do it; a run that was killed goes on where it was
    Apply(MirrorApplyArgs),
    /// Say what each destination has and lacks
    Status(MirrorTargets),
}

/// What to mirror, and to where.
#[derive(Debug, Args)]
pub(crate) struct MirrorTargets {
    /// Releases [default: every release in the store whose verdict is a pass]
    #[arg(value_name = "PROJECT@VERSION")]
    pub(crate) releases: Vec<ReleaseName>,
    /// A destination: its name in bonded.toml, or a URL file:///DIR or s3://BUCKET/PREFIX
    /// [default: every destination in bonded.toml]
    #[arg(long = "to", value_name = "NAME|URL")]
    pub(crate) to: Vec<String>,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

/// `mirror plan`
#[derive(Debug, Args)]
pub(crate) struct MirrorPlanArgs {
    #[command(flatten)]
    pub(crate) targets: MirrorTargets,
    /// Also save the plan, to be reviewed and applied later
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `mirror apply`
#[derive(Debug, Args)]
pub(crate) struct MirrorApplyArgs {
    #[command(flatten)]
    pub(crate) targets: MirrorTargets,
    /// Apply this saved plan instead of a new one
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Print the plan and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `serve`
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:8080, or `serve.listen` in bonded.toml]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

/// `gc`
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// How many epochs to keep, the newest among them
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_epochs: u64,
    /// How long a blob that nothing refers to is left in place, and then again in quarantine
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(crate) grace: Age,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `fsck`
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 sound or all mended, 1 problems remain, 3 it could not be done.

Examples:
  bonded fsck --rate 200MiB
  bonded fsck --repair
  bonded fsck --repair-from /backup/store --repair-from s3://bucket/prefix")]
pub(crate) struct FsckArgs {
    /// How many threads hash [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Read at most so many bytes in a second, all threads together
    #[arg(long, value_name = "BYTES")]
    pub(crate) rate: Option<Bytes>,
    /// Trust a blob whose BLAKE3 is the one among the facts; SHA-256 decides where it is not
    #[arg(long)]
    pub(crate) fast: bool,
    /// Leave damaged blobs where they are
    #[arg(long, conflicts_with_all = ["repair", "repair_from"])]
    pub(crate) no_quarantine: bool,
    /// Mend what the store itself can prove: modes, index.json, facts, staging, ROOT, blobs in quarantine
    #[arg(long)]
    pub(crate) repair: bool,
    /// Also fetch lost blobs from here: another store, an OCI layout, a directory, a mirror's URL or its name
    /// in bonded.toml
    #[arg(long, value_name = "DIR|URL|NAME")]
    pub(crate) repair_from: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `keygen`
#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Writes FILE (private, mode 0600) and FILE.pub
    #[arg(long, value_name = "FILE", default_value = "bonded.key")]
    pub(crate) out: PathBuf,
}

/// `attest …`
#[derive(Debug, Subcommand)]
pub(crate) enum AttestKind {
    /// SLSA provenance v1: who built it, how, from which source
    Provenance(AttestProvenanceArgs),
    /// An SBOM, as an in-toto statement about the artifact
    Sbom(AttestSbomArgs),
    /// A verification summary (VSA): the verdict on a release that passes, signed
    Vsa(AttestVsaArgs),
}

/// What is attested, and with which key.
#[derive(Debug, Args)]
pub(crate) struct AttestTarget {
    /// PROJECT@VERSION for all artifacts, or PROJECT@VERSION/PATH for one
    #[arg(value_name = "RELEASE[/PATH]")]
    pub(crate) target: String,
    /// The private key, as `bonded keygen` writes it
    #[arg(long, value_name = "PEM")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `attest provenance`
#[derive(Debug, Args)]
pub(crate) struct AttestProvenanceArgs {
    #[command(flatten)]
    pub(crate) target: AttestTarget,
    /// The builder's URI, as the policy names it
    #[arg(long, value_name = "URI")]
    pub(crate) builder_id: String,
    /// The kind of build
    #[arg(long, value_name = "URI")]
    pub(crate) build_type: String,
    /// The source repository
    #[arg(long, value_name = "URL")]
    pub(crate) source: String,
    /// The source ref, such as refs/tags/v1.0.0
    #[arg(long, value_name = "REF")]
    pub(crate) source_ref: String,
    /// The source commit, 40 or 64 hex digits
    #[arg(long, value_name = "HEX")]
    pub(crate) commit: Option<String>,
}

/// `attest sbom`
#[derive(Debug, Args)]
pub(crate) struct AttestSbomArgs {
    #[command(flatten)]
    pub(crate) target: AttestTarget,
    /// The document: SPDX 2 or CycloneDX, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) sbom: PathBuf,
}

/// `attest vsa`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bonded attest vsa demo@v1.0.0 --key verifier.key --verifier-id https://example.com/verifier
  bonded attest vsa demo@v1.0.0 --key verifier.key --verifier-id https://example.com/verifier \\
    --per-artifact --resource-uri 'https://dl.example.com/release/{version}/{path}'")]
pub(crate) struct AttestVsaArgs {
    /// The release that is verified
    #[arg(value_name = "RELEASE")]
    pub(crate) release: String,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
    /// The private key, as `bonded keygen` writes it
    #[arg(long, value_name = "PEM")]
    pub(crate) key: PathBuf,
    /// Who verified, as the policies of those who read it name it in their `verifier` tables
    #[arg(long, value_name = "URI")]
    pub(crate) verifier_id: String,
    /// One summary for each artifact instead of one for the release
    #[arg(long)]
    pub(crate) per_artifact: bool,
    /// The URI of what was verified, in which {project}, {version} and {path} stand for those of it
    /// (default: pkg:generic/{project}@{version}, with #{path} for an artifact)
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) resource_uri: Option<String>,
    /// Where the policy can be found
    #[arg(long, value_name = "URI")]
    pub(crate) policy_uri: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Stop after showing it instead of serving until Ctrl-C
    #[arg(long)]
    pub(crate) once: bool,
    /// Where to put everything; must not exist or be an earlier demo's [default: ./bonded-demo]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

/// `config …`
#[derive(Clone, Copy, Debug, Subcommand, ValueEnum)]
pub(crate) enum ConfigVerb {
    /// Print every setting with its value and where it comes from
    Show,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mixes_that_make_no_sense_do_not_parse() {
        use clap::error::ErrorKind::{ArgumentConflict, MissingRequiredArgument, ValueValidation};
        for (line, expected) in [
            ("bonded verify a@1 --identity x --issuer y", MissingRequiredArgument),
            ("bonded verify f --bundle b --identity x", MissingRequiredArgument),
            ("bonded verify f --bundle b --key k --policy p", ArgumentConflict),
            ("bonded verify f --bundle b --key k --identity x --issuer y", ArgumentConflict),
            ("bonded verify f --bundle b --no-record", ArgumentConflict),
            ("bonded ingest x", MissingRequiredArgument),
            ("bonded ingest --release a x", ValueValidation),
            ("bonded verify a@1 --at yesterday", ValueValidation),
            ("bonded export", MissingRequiredArgument),
            ("bonded export a --to x", ValueValidation),
            ("bonded export a@1/b --to x", ValueValidation),
            ("bonded import", MissingRequiredArgument),
            ("bonded import l --adopt", ArgumentConflict),
            ("bonded import --adopt --reference r", ArgumentConflict),
            ("bonded import --adopt --releases", ArgumentConflict),
            ("bonded import l --name a", ValueValidation),
            ("bonded import l --repository a --name a:1", ArgumentConflict),
            ("bonded import l --repository A", ValueValidation),
        ] {
            let found = Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind());
            assert_eq!(found.err(), Some(expected), "{line}");
        }
    }
}
