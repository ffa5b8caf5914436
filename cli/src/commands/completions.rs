//! `completions`: a script that teaches a shell the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Outcome;
use crate::args::Cli;
use crate::error::CliError;
use crate::output;

pub(super) fn run(shell: Shell) -> Result<Outcome, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bonded", &mut script);
    output::data_bytes(&script)?;
    Ok(Outcome::Done)
}
