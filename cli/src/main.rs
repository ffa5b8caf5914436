//! The binary `bonded`: arguments, configuration, environment, clock, terminal, exit codes.
//!
//! Everything that a library refuses to know is known here, once each: the environment in
//! [`config`], the time in [`clock`], standard output and error in [`output`], exit codes in
//! [`error`]. A verb is a module under [`commands`]; it loads values, calls the libraries, prints.

mod args;
mod bucket;
mod clock;
mod commands;
mod config;
mod describe;
mod error;
mod judge;
mod lock_file_sbom;
mod output;
mod page;
mod progress;
mod quantity;
mod report;
mod roots;
mod runtime;
mod sarif;
mod signing;
mod state;
mod trust;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::commands::Outcome;

/// The exit code of a defect in bonded itself (`EX_SOFTWARE` of sysexits.h).
const EXIT_DEFECT: u8 = 70;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match std::panic::catch_unwind(|| commands::run(cli)) {
        Ok(Ok(Outcome::Done)) => ExitCode::SUCCESS,
        Ok(Ok(Outcome::VerdictFail | Outcome::FindingsRemain)) => ExitCode::from(1),
        Ok(Err(error)) => {
            output::say(&error.to_string());
            ExitCode::from(error.kind.exit_code())
        }
        Err(_panic) => {
            output::say("error: this is a defect in bonded; please report it with the lines above");
            ExitCode::from(EXIT_DEFECT)
        }
    }
}

/// Help and version go to stdout with success; everything else is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    let failed = error.use_stderr();
    let printed = error.print();
    if failed || printed.is_err() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}
