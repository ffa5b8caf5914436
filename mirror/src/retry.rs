//! The one retry policy: bounded in number and in time, with jitter, only where an error is
//! transient (no connection, a dropped one, a time-out, HTTP 408, 429 and 5xx).
//!
//! A create-only write that is retried may meet its own first attempt; the answer "already there"
//! is therefore never an error here, and the barrier compares the bytes.

use std::time::Duration;

/// How long a request to a bucket is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times a request is repeated.
    pub repeats_max: usize,
    /// Time after its first attempt from which a request is not repeated any more.
    pub total_max: Duration,
}

impl Default for RetryPolicy {
    /// Four repeats within 20 seconds: over most hiccups, and still an answer within a minute.
    fn default() -> Self {
        Self { repeats_max: 4, total_max: Duration::from_secs(20) }
    }
}

impl RetryPolicy {
    /// First pause; later ones are drawn between it and twice the one before.
    const PAUSE_FIRST: Duration = Duration::from_millis(150);
    /// Longest pause.
    const PAUSE_MAX: Duration = Duration::from_secs(5);

    pub(crate) fn to_config(self) -> object_store::RetryConfig {
        object_store::RetryConfig {
            backoff: object_store::BackoffConfig {
                init_backoff: Self::PAUSE_FIRST.min(self.total_max),
                max_backoff: Self::PAUSE_MAX.min(self.total_max),
                base: 2.0,
            },
            max_retries: self.repeats_max,
            retry_timeout: self.total_max,
        }
    }
}
