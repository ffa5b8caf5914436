//! A rate that several threads keep together.
//!
//! Bytes are paid for after they were read: each payment books the next stretch of time, and whoever pays
//! sleeps until the stretch begins. So nobody waits in a loop, and the threads share one rate however many
//! there are. This module knows no files.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// At most so much unused time is made good: after a stall of the disk there is no long burst.
const ARREARS_MAX: Duration = Duration::from_millis(100);

/// A rate in bytes per second, or none.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_second: Option<u64>,
    /// The end of the last stretch that was booked.
    booked: Mutex<Option<Instant>>,
}

impl Rate {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, booked: Mutex::default() }
    }

    /// Pays for bytes that were read, and waits until they may be followed by more.
    pub(super) fn pay(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let now = Instant::now();
        let wait = {
            // A time is whole between any two calls on it.
            let mut booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
            let (wait, next) = book(*booked, now, stretch(bytes, rate));
            *booked = Some(next);
            wait
        };
        if !wait.is_zero() {
            thread::sleep(wait);
        }
    }
}

/// How long so many bytes take at a rate.
fn stretch(bytes: u64, rate: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// How long to wait now, and until when time is booked after that.
fn book(booked: Option<Instant>, now: Instant, stretch: Duration) -> (Duration, Instant) {
    let earliest = now.checked_sub(ARREARS_MAX).unwrap_or(now);
    let begin = booked.map_or(now, |booked| booked.max(earliest));
    let next = begin.checked_add(stretch).unwrap_or(begin);
    (next.saturating_duration_since(now), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times at which payments of a tenth of a second's worth of bytes end, in milliseconds, if they
    /// are made at these times or as soon as the one before has ended.
    fn check(made_at: &[u64], expected: &[u64]) {
        let start = Instant::now();
        let (mut booked, mut free, mut ends) = (None, 0, Vec::new());
        for at in made_at {
            let at = free.max(*at);
            let now = start + Duration::from_millis(at);
            let (wait, next) = book(booked, now, stretch(100, 1000));
            booked = Some(next);
            free = at + u64::try_from(wait.as_millis()).unwrap();
            ends.push(free);
        }
        assert_eq!(ends, expected);
    }

    #[test]
    fn payments_follow_one_another() {
        check(&[0, 0, 0], &[100, 200, 300]);
        check(&[0, 150, 150], &[100, 200, 300]); // half a stretch late is made good
        check(&[0, 1000, 1000, 1000], &[100, 1000, 1100, 1200]); // a long pause is not
    }

    #[test]
    fn extremes_do_not_panic() {
        assert_eq!(stretch(0, 5), Duration::ZERO);
        assert_eq!(stretch(10, 0), Duration::from_secs(10));
        let long = stretch(u64::MAX, 1);
        book(None, Instant::now(), long);
        book(Some(Instant::now()), Instant::now(), Duration::MAX);
        Rate::new(None).pay(u64::MAX);
    }
}
