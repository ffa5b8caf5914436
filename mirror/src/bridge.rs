//! The one crossing from async to blocking code: the store is ordinary blocking Rust.

/// Runs blocking work on a thread of its own; a panic in it goes on here.
pub(crate) async fn blocking<T, W>(work: W) -> T
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is being shut down cancels; nobody waits for an answer then.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
