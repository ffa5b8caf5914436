//! What the process as a whole needs from the system: signals, and the async runtime for the verbs that have
//! sockets: `serve`, `mirror`, `trust update`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::CliError;

/// `SIGXFSZ` on Linux and the BSDs.
const SIGNAL_FILE_SIZE: i32 = 25;

/// Turns the signal for a file over the size limit, whose default is a sudden end, into the error
/// that the failed write returns anyway.
pub(crate) fn survive_file_size_limit() -> Result<(), CliError> {
    signal_hook::flag::register(SIGNAL_FILE_SIZE, Arc::new(AtomicBool::new(false)))
        .map(drop)
        .map_err(|source| CliError::environment("cannot set up signals").because(source))
}

/// Worker threads for what waits on sockets.
pub(crate) fn new() -> Result<tokio::runtime::Runtime, CliError> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|source| CliError::environment("cannot start worker threads").because(source))
}

/// Runs one future to its end.
pub(crate) fn block_on<T>(
    future: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    new()?.block_on(future)
}

/// Ends when the person presses Ctrl-C or the service manager asks to stop.
pub(crate) async fn until_asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _interrupted = interrupt => {}
            _terminated = terminate.recv() => {}
        },
        // Without a handler for SIGTERM its default, an immediate end, is still right.
        Err(_no_handler) => drop(interrupt.await),
    }
}
