//! The one place that asks the machine for the time; everything below takes `now` as an argument.

use bonded_model::Timestamp;

use crate::error::{CliError, ErrorKind};

/// The machine's time, in whole seconds.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Result<Timestamp, CliError> {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since_1970.map(|duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX));
    let seconds = seconds.map_err(|source| {
        CliError::new(ErrorKind::Environment, "this machine's clock is set before 1970")
            .because(source)
            .hint("set the clock, or give a time with --at")
    })?;
    Timestamp::from_unix_seconds(seconds).map_err(|source| {
        CliError::new(ErrorKind::Environment, "this machine's clock is set beyond the year 9999")
            .because(source)
    })
}
