//! Trust roots as the command line and `bonded.toml` name them.
//!
//! ```text
//! public-good | staging   an embedded one; a file of that name is ./staging
//! stored:REPOSITORY       the newest one that `trust update` took from there
//! stored:sha256:HEX       the one of these bytes that `trust update` took from anywhere
//! FILE                    a file; one whose name begins with `stored:` is ./stored:a
//! NAME=…                  a file or a stored one, by a name that policies may pin; a file with `=` in its
//!                         name is ./a=b
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use bonded_model::limits::TRUST_ROOT_BYTES_MAX;
use bonded_verify::{TrustRoot, Verifier};
use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::error::{CliError, ErrorKind};
use crate::judge::read;
use crate::trust::kept::{Kept, KeptError, Which};
use crate::{report, state};

/// What begins the name of one that `trust update` took.
const STORED: &str = "stored:";

/// A trust root, by where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GivenRoot {
    /// One that is part of the program.
    Embedded(String),
    /// A file, perhaps with a name.
    File {
        /// The name by which policies may pin it.
        name: Option<String>,
        /// Where it is.
        file: PathBuf,
    },
    /// One that was fetched and verified earlier.
    Stored {
        /// The name by which policies may pin it.
        name: Option<String>,
        /// A repository's name or a digest, as written.
        which: String,
    },
}

impl GivenRoot {
    /// Reads what somebody wrote; files are relative to `base`.
    pub(crate) fn parse(text: &str, base: &Path) -> Self {
        if TrustRoot::embedded(text).is_some() {
            return Self::Embedded(text.to_owned());
        }
        let named = text.split_once('=').filter(|(name, _)| !name.contains(['/', '.']));
        let (name, file) = named.map_or((None, text), |(name, file)| (Some(name.to_owned()), file));
        match file.strip_prefix(STORED) {
            Some(which) => Self::Stored { name, which: which.to_owned() },
            None => Self::File { name, file: base.join(file) },
        }
    }

    /// Reads it.
    pub(crate) fn open(&self, config: &Config) -> Result<TrustRoot, CliError> {
        let (name, what, bytes) = match self {
            Self::Embedded(name) => {
                return TrustRoot::embedded(name)
                    .ok_or_else(|| CliError::usage(format!("no trust root is called {name:?}")));
            }
            Self::File { name, file } => {
                let bytes = read(file, TRUST_ROOT_BYTES_MAX, "trusted root")?;
                (name, file.display().to_string(), bytes)
            }
            Self::Stored { name, which } => {
                (name, format!("{STORED}{which}"), read_stored(config, which)?)
            }
        };
        let root = TrustRoot::parse(&bytes);
        let root = root.and_then(|root| match name {
            Some(name) => root.named(name),
            None => Ok(root),
        });
        root.map_err(|source| {
            CliError::usage(format!("{what} is no trusted root that can be used"))
                .because(source)
                .hint("leave --trusted-root away to use the embedded public-good root")
        })
    }
}

fn read_stored(config: &Config, which: &str) -> Result<Vec<u8>, CliError> {
    let read = |which: &str| kept(config)?.read_root(&which.parse::<Which>()?);
    read(which).map_err(kept_error)
}

/// Where trusted roots are kept for the user, if anywhere.
pub(crate) fn kept(config: &Config) -> Result<Kept, KeptError> {
    state::place(config).map(Kept::below).ok_or(KeptError::NoPlace)
}

/// What is kept cannot be used: whose matter that is, and what to do.
pub(crate) fn kept_error(error: KeptError) -> CliError {
    let (kind, hint) = match &error {
        KeptError::Unnamed { .. } => {
            (ErrorKind::Usage, "bonded trust show lists what is stored".to_owned())
        }
        KeptError::Nothing { .. } => (
            ErrorKind::Usage,
            "bonded trust show lists what is stored, and bonded trust update fetches".to_owned(),
        ),
        KeptError::NoPlace => (
            ErrorKind::Usage,
            "set BONDED_STATE to a directory of your own, outside of the store".to_owned(),
        ),
        KeptError::Damaged { path, .. } => (
            ErrorKind::Environment,
            format!(
                "move {path} away and run bonded trust update; versions may go back then that could not before"
            ),
        ),
        KeptError::Lost { path, .. } => (
            ErrorKind::Environment,
            format!(
                "move {path} away; if it is the newest of its repository, bonded trust update fetches it again"
            ),
        ),
        KeptError::Busy { .. } => (
            ErrorKind::Environment,
            "run it again when the other one is done, or wait longer with --wait".to_owned(),
        ),
        KeptError::Disk(error) => (
            ErrorKind::Environment,
            report::disk_hint(error)
                .unwrap_or_else(|| "see to the file, then run it again".to_owned()),
        ),
    };
    CliError::new(kind, "cannot use the trusted roots that are stored").because(error).hint(hint)
}

impl fmt::Display for GivenRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(name) => f.write_str(name),
            Self::File { name: Some(name), file } => write!(f, "{name}={}", file.display()),
            Self::File { name: None, file } => write!(f, "{}", file.display()),
            Self::Stored { name: Some(name), which } => write!(f, "{name}={STORED}{which}"),
            Self::Stored { name: None, which } => write!(f, "{STORED}{which}"),
        }
    }
}

impl Serialize for GivenRoot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The verifier with the trust roots in force: those named, else those configured, else the embedded one.
pub(crate) fn verifier(config: &Config, named: &[String]) -> Result<Verifier, CliError> {
    let named = named.iter().map(|text| GivenRoot::parse(text, Path::new(""))).collect::<Vec<_>>();
    let configured = config.trusted_roots.as_ref().map(|setting| setting.value.as_slice());
    let given = match named.as_slice() {
        [] => configured.unwrap_or_default(),
        named => named,
    };
    let roots = match given {
        [] => vec![TrustRoot::public_good()],
        given => given.iter().map(|root| root.open(config)).collect::<Result<_, _>>()?,
    };
    Verifier::of_roots(roots)
        .map_err(|source| CliError::usage("the trusted root cannot be used").because(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_is_one_of_four() {
        let file = |name: Option<&str>, file: &str| GivenRoot::File {
            name: name.map(str::to_owned),
            file: Path::new("base").join(file),
        };
        let stored = |name: Option<&str>, which: &str| GivenRoot::Stored {
            name: name.map(str::to_owned),
            which: which.to_owned(),
        };
        for (text, expected) in [
            ("public-good", GivenRoot::Embedded("public-good".to_owned())),
            ("staging", GivenRoot::Embedded("staging".to_owned())),
            ("./staging", file(None, "./staging")),
            ("root.json", file(None, "root.json")),
            ("corp=root.json", file(Some("corp"), "root.json")),
            ("corp=a=b", file(Some("corp"), "a=b")),
            ("./corp=root.json", file(None, "./corp=root.json")),
            ("a.b=c", file(None, "a.b=c")),
            ("=c", file(Some(""), "c")),
            ("./stored:corp", file(None, "./stored:corp")),
            ("stored:corp", stored(None, "corp")),
            ("stored:sha256:00", stored(None, "sha256:00")),
            ("corp=stored:sha256:00", stored(Some("corp"), "sha256:00")),
        ] {
            assert_eq!(GivenRoot::parse(text, Path::new("base")), expected, "{text}");
        }
    }
}
