//! stdout is data, stderr is talk. Nothing else in the workspace writes to either.

use std::io::{self, IsTerminal, Write};

use crate::error::CliError;

/// The form of what goes to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: documented in docs/json.md.
    Json,
}

/// Writes data to stdout.
pub(crate) fn data(text: &str) -> Result<(), CliError> {
    data_bytes(text.as_bytes())
}

/// Writes data to stdout, with a newline at its end.
pub(crate) fn data_line(text: &str) -> Result<(), CliError> {
    data_bytes(text.as_bytes())?;
    data_bytes(b"\n")
}

/// Writes one value as one line of JSON with sorted keys.
pub(crate) fn data_json<T: serde::Serialize>(value: &T) -> Result<(), CliError> {
    data_bytes(&bonded_model::json::to_canonical(value))?;
    data_bytes(b"\n")
}

/// Writes bytes to stdout. A reader that went away, as `head` does, has what it wanted: the work goes
/// on and ends with its own exit code.
pub(crate) fn data_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => {
            Err(CliError::environment("cannot write to standard output").because(source))
        }
    }
}

/// Says something on stderr. Talk that nobody can hear is not a failure of the work.
pub(crate) fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let spoken = stderr.write_all(text.as_bytes()).and_then(|()| stderr.write_all(b"\n"));
    drop(spoken);
}

/// Whether a person is likely to be watching stderr.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// A size for people: `0 B`, `1.4 MiB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
