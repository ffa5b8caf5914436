//! A disk that dies at the n-th changing call: that call and all later ones fail.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Action, Disk};

#[derive(Clone, Debug)]
pub(crate) struct CrashPoint {
    reached: Arc<AtomicU64>,
    at: u64,
    how: Failure,
}

/// How the calls fail from that point on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The program is gone: no later call happens, clean-up included.
    Crash,
    /// One call finds the disk full; the program lives on.
    NoSpaceOnce,
}

impl CrashPoint {
    pub(super) fn reach(&self, action: Action, _path: &Path) -> io::Result<()> {
        let changes = !matches!(
            action,
            Action::Inspect | Action::Resolve | Action::Open | Action::Read | Action::List
        );
        let count = if changes { self.reached.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        match self.how {
            Failure::Crash if self.reached.load(Ordering::SeqCst) >= self.at => {
                Err(io::Error::other("crashed here"))
            }
            Failure::NoSpaceOnce if count == self.at => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Disk {
    /// A disk whose `at`-th changing call fails, counted from 1.
    pub(crate) fn failing(at: u64, how: Failure) -> Self {
        Self { crash: Some(CrashPoint { reached: Arc::default(), at, how }) }
    }

    /// How many changing calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.crash.as_ref().map_or(0, |point| point.reached.load(Ordering::SeqCst))
    }
}
