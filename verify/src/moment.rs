//! The moment that a verdict speaks of, and how long the same verdict would be reached.
//!
//! A verdict depends on `now` through comparisons alone: whether a time has been reached. Every one of them
//! is asked here, and the nearest times before and after `now` are kept. At every other moment between the
//! two each comparison comes out the same, so the verdict is the same but for the time that it speaks of.
//! Whoever needs the number itself, or leaves a comparison to somebody who looks at another clock, says so,
//! and the verdict is good for that second alone. Findings do not tell `now`: the verdict does.
//!
//! Which times are kept does not depend on the order of the questions, nor on the number of threads.

use std::sync::atomic::{AtomicI64, Ordering};

use bonded_model::Timestamp;
use serde::{Deserialize, Serialize};

/// The moment, shared by all rules of one verdict.
#[derive(Debug)]
pub(crate) struct Moment {
    seconds: i64,
    /// The latest time asked about that has been reached.
    since: AtomicI64,
    /// The earliest time asked about that has not.
    until: AtomicI64,
}

/// Seconds since 1970 between which a verdict stays the same; the end is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interval {
    since: i64,
    until: i64,
}

impl Interval {
    /// Whether it is one second, or none.
    pub(crate) fn is_moment(self) -> bool {
        self.until <= self.since.saturating_add(1)
    }

    /// Whether the verdict is the same at that time.
    pub(crate) fn contains(self, time: Timestamp) -> bool {
        (self.since..self.until).contains(&time.unix_seconds())
    }
}

impl Moment {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            seconds: now.unix_seconds(),
            since: AtomicI64::new(i64::MIN),
            until: AtomicI64::new(i64::MAX),
        }
    }

    /// Whether it is that time, or later.
    pub(crate) fn has_reached(&self, time: Timestamp) -> bool {
        self.has_reached_second(time.unix_seconds())
    }

    /// Whether more than so many seconds have passed since that time.
    pub(crate) fn has_passed(&self, seconds: i64, since: Timestamp) -> bool {
        self.has_reached_second(since.unix_seconds().saturating_add(seconds).saturating_add(1))
    }

    /// The moment as a number, in whatever way it is going to be used.
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.hold();
        self.seconds
    }

    /// Lets the verdict be good for this second alone.
    pub(crate) fn hold(&self) {
        self.keep(self.seconds);
        self.keep(self.seconds.saturating_add(1));
    }

    /// Keeps a time that somebody else compares with a clock.
    pub(crate) fn note(&self, time: Timestamp) {
        self.keep(time.unix_seconds());
    }

    /// As long as all comparisons made so far come out the same.
    pub(crate) fn interval(&self) -> Interval {
        Interval {
            since: self.since.load(Ordering::Relaxed),
            until: self.until.load(Ordering::Relaxed),
        }
    }

    /// Whether it is that second since 1970, or later.
    pub(crate) fn has_reached_second(&self, seconds: i64) -> bool {
        self.keep(seconds);
        self.seconds >= seconds
    }

    fn keep(&self, seconds: i64) {
        if self.seconds >= seconds {
            self.since.fetch_max(seconds, Ordering::Relaxed);
        } else {
            self.until.fetch_min(seconds, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds).unwrap()
    }

    fn check(now: i64, ask: impl Fn(&Moment), since: i64, until: i64) {
        let moment = Moment::new(at(now));
        ask(&moment);
        let interval = moment.interval();
        assert_eq!(interval, Interval { since, until });
        assert!(interval.contains(at(now)));
        for (time, is_in) in [(since.saturating_sub(1), false), (since, true), (until, false)] {
            if let Ok(time) = Timestamp::from_unix_seconds(time) {
                assert_eq!(interval.contains(time), is_in, "{time}");
            }
        }
    }

    #[test]
    fn the_nearest_times_on_both_sides_are_kept() {
        check(100, |_| (), i64::MIN, i64::MAX);
        let times = [100, 40, 101, 7_000, 99];
        let asked =
            |m: &Moment| times.iter().for_each(|t| assert_eq!(m.has_reached(at(*t)), *t <= 100));
        check(100, asked, 100, 101);
        check(100, |m| assert!(m.has_reached(at(40)) && !m.has_reached(at(160))), 40, 160);
        check(100, |m| assert!(m.has_reached(at(-5)) && m.has_reached(at(60))), 60, i64::MAX);
    }

    #[test]
    fn the_last_second_has_not_passed() {
        check(160, |m| assert!(!m.has_passed(60, at(100))), i64::MIN, 161);
        check(161, |m| assert!(m.has_passed(60, at(100))), 161, i64::MAX);
        check(0, |m| assert!(!m.has_passed(60, at(100))), i64::MIN, 161);
        check(0, |m| assert!(!m.has_passed(i64::MAX, at(100))), i64::MIN, i64::MAX);
    }

    #[test]
    fn who_looks_at_the_number_holds_the_moment() {
        check(100, |m| assert_eq!(m.unix_seconds(), 100), 100, 101);
        check(100, |m| m.hold(), 100, 101);
    }

    #[test]
    fn one_second_is_a_moment() {
        let moment = Moment::new(at(100));
        assert!(!moment.interval().is_moment());
        moment.note(at(99));
        moment.note(at(101));
        assert!(!moment.interval().is_moment());
        moment.hold();
        assert!(moment.interval().is_moment());
    }

    #[test]
    fn the_order_of_questions_does_not_matter() {
        let ask = |times: &[i64]| {
            let moment = Moment::new(at(50));
            times.iter().for_each(|time| moment.note(at(*time)));
            moment.interval()
        };
        assert_eq!(ask(&[10, 90, 30, 60]), ask(&[60, 30, 90, 10]));
    }
}
