//! Measuring for the benchmarks: medians of several runs, alternating between the things compared, so
//! that a noisy machine is noisy for both. Ratios are what counts; seconds are for orientation.

#![allow(dead_code, reason = "each benchmark uses a part of this module")]

use std::process::Command;
use std::time::{Duration, Instant};

/// Whether this is a smoke run: small sizes, one round, no claims.
pub(crate) fn smoke() -> bool {
    std::env::args().any(|argument| argument == "--smoke")
}

/// The median time of each contender over `rounds` rounds, in turn.
pub(crate) fn medians(rounds: usize, contenders: &mut [(&str, &mut dyn FnMut())]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            times.push(start.elapsed());
        }
    }
    times.into_iter().map(median).collect()
}

/// The middle of some times.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Runs a command to its end and insists on success.
pub(crate) fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// One line of a result: median seconds and the ratio to the reference.
pub(crate) fn line(name: &str, time: Duration, reference: Duration) {
    let (time, reference) = (time.as_secs_f64(), reference.as_secs_f64());
    println!("{name:32} {time:9.4} s   {:6.2} x", reference / time);
}
