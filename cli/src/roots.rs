//! Trust roots as the command line and `bonded.toml` name them.
//!
//! ```text
//! public-good | staging   an embedded one; a file of that name is ./staging
//! NAME=FILE               a file, by a name that policies may pin; a file with `=` in its name is ./a=b
//! FILE                    a file
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use bonded_model::limits::TRUST_ROOT_BYTES_MAX;
use bonded_verify::{TrustRoot, Verifier};
use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::error::CliError;
use crate::judge::read;

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
}

impl GivenRoot {
    /// Reads what somebody wrote; files are relative to `base`.
    pub(crate) fn parse(text: &str, base: &Path) -> Self {
        if TrustRoot::embedded(text).is_some() {
            return Self::Embedded(text.to_owned());
        }
        let named = text.split_once('=').filter(|(name, _)| !name.contains(['/', '.']));
        let (name, file) = named.map_or((None, text), |(name, file)| (Some(name.to_owned()), file));
        Self::File { name, file: base.join(file) }
    }

    fn open(&self) -> Result<TrustRoot, CliError> {
        let (name, file) = match self {
            Self::Embedded(name) => {
                return TrustRoot::embedded(name)
                    .ok_or_else(|| CliError::usage(format!("no trust root is called {name:?}")));
            }
            Self::File { name, file } => (name, file),
        };
        let bytes = read(file, TRUST_ROOT_BYTES_MAX, "trusted root")?;
        let root = TrustRoot::parse(&bytes);
        let root = root.and_then(|root| match name {
            Some(name) => root.named(name),
            None => Ok(root),
        });
        root.map_err(|source| {
            CliError::usage(format!("{} is no trusted root that can be used", file.display()))
                .because(source)
                .hint("leave --trusted-root away to use the embedded public-good root")
        })
    }
}

impl fmt::Display for GivenRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(name) => f.write_str(name),
            Self::File { name: Some(name), file } => write!(f, "{name}={}", file.display()),
            Self::File { name: None, file } => write!(f, "{}", file.display()),
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
        given => given.iter().map(GivenRoot::open).collect::<Result<_, _>>()?,
    };
    Verifier::of_roots(roots)
        .map_err(|source| CliError::usage("the trusted root cannot be used").because(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_is_one_of_three() {
        let file = |name: Option<&str>, file: &str| GivenRoot::File {
            name: name.map(str::to_owned),
            file: Path::new("base").join(file),
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
        ] {
            assert_eq!(GivenRoot::parse(text, Path::new("base")), expected, "{text}");
        }
    }
}
