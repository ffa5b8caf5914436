//! The arguments of `trust`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::WaitArgs;
use crate::trust::repository::{Address, Name, TargetPath};

/// `trust …`
#[derive(Debug, Subcommand)]
pub(crate) enum TrustVerb {
    /// Ask a TUF repository for its trusted root, verify the answer, and store it; nothing uses it unasked
    Update(TrustUpdateArgs),
    /// List the trusted roots at hand, or show whom one of them names
    Show {
        /// One of them, as --trusted-root takes it [default: list all]
        #[arg(value_name = "ROOT")]
        root: Option<String>,
    },
}

/// `trust update`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bonded trust update
  bonded trust update corp --repository https://tuf.example.com --root corp-root.json
  bonded trust update corp
  bonded verify demo@v1.0.0 --policy policy.toml --trusted-root stored:public-good")]
pub(crate) struct TrustUpdateArgs {
    /// What the repository is called here; public-good, staging and github are known
    #[arg(value_name = "NAME", default_value = "public-good")]
    pub(crate) name: Name,
    /// Where it is: https://HOST/PATH or file:///DIRECTORY [default: where it was last time]
    #[arg(long, value_name = "URL")]
    pub(crate) repository: Option<Address>,
    /// The TUF root to start from, which you have from somewhere that you trust [default: that of last time]
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
    /// What to fetch [default: what was fetched last time, then trusted_root.json]
    #[arg(long, value_name = "PATH")]
    pub(crate) target: Option<TargetPath>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}
