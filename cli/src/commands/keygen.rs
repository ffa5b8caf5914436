//! `keygen`: makes a signing key, ECDSA over P-256.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bonded_store::disk;
use serde_json::json;

use super::{Context, Outcome};
use crate::args::KeygenArgs;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::signing::SigningKey;

pub(super) fn run(context: &Context, args: &KeygenArgs) -> Result<Outcome, CliError> {
    let (key, public) = write_new(&args.out)?;
    let (private, public) = (args.out.display(), public.display());
    match context.format {
        Format::Text => {
            output::data_line(&format!("wrote {private} and {public} ({})", key.public_digest()))?
        }
        Format::Json => output::data_json(&json!({
            "private": private.to_string(), "public": public.to_string(), "digest": key.public_digest(),
        }))?,
    }
    output::say(&format!(
        "keep {private} secret; put the contents of {public} into a policy's [[signer]]"
    ));
    Ok(Outcome::Done)
}

/// Makes a key and writes both files; an existing file is never overwritten.
fn write_new(path: &Path) -> Result<(SigningKey, PathBuf), CliError> {
    let public: PathBuf = {
        let mut name: OsString = path.as_os_str().to_owned();
        name.push(".pub");
        name.into()
    };
    let (key, private_pem) = SigningKey::generate()
        .map_err(|source| CliError::environment("cannot make a key").because(source))?;
    let refuse = |path: &Path, source| {
        CliError::environment(format!("cannot write key file {}", path.display()))
            .because(source)
            .hint("choose another name with --out FILE; a key is never overwritten")
    };
    let pem = key.public_pem();
    disk::write_private_file_new(path, private_pem.as_bytes())
        .map_err(|source| refuse(path, source))?;
    disk::write_file_new(&public, pem.as_bytes()).map_err(|source| refuse(&public, source))?;
    Ok((key, public))
}
