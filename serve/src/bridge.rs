//! The one bridge from sockets to the blocking store. Every read of a blob goes over it.

use tokio::task::JoinHandle;

/// Runs blocking work on the runtime's threads for that. Dropping the handle does not stop work that
/// has begun, so a piece of work is bounded: one check of a blob, or one chunk.
pub(crate) fn blocking<T, F>(work: F) -> JoinHandle<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work)
}
