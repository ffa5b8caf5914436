//! What a run did, destination by destination.

use std::collections::BTreeSet;

use bonded_model::{Digest, ReleaseName};

use crate::desired::Class;
use crate::error::MirrorError;

/// What a run did.
#[derive(Debug)]
pub struct ApplyReport {
    /// The plan that was run.
    pub plan: Digest,
    /// Bytes read from the store's blobs: each object once, however many destinations got it.
    pub source_bytes: u64,
    /// The destinations in the order of their names.
    pub destinations: Vec<DestinationReport>,
}

/// What a run did at one destination.
#[derive(Debug)]
pub struct DestinationReport {
    /// What it is called.
    pub name: String,
    /// Its URL as configured.
    pub url: String,
    /// Whether it could be listed when the plan was made.
    pub observed: bool,
    /// What was done there.
    pub counts: Counts,
    /// Releases of the plan that are complete there, listed, and read back.
    pub complete: BTreeSet<ReleaseName>,
    /// What failed there.
    pub failures: Vec<Failure>,
    /// What became of the markers.
    pub markers: MarkerOutcome,
}

/// What was done at one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New objects written.
    pub written: usize,
    /// Their bytes.
    pub written_bytes: u64,
    /// Objects read back and found right.
    pub verified: usize,
    /// Their bytes.
    pub verified_bytes: u64,
    /// Mutable documents replaced, markers among them.
    pub replaced: usize,
    /// Steps that were found done already.
    pub found_done: usize,
    /// Steps that were not tried because something before them failed.
    pub skipped: usize,
}

/// What became of the markers of one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkerOutcome {
    /// None was to move.
    Unchanged,
    /// So many files of markers were replaced. The list's own copy of them is not counted.
    Moved(usize),
    /// Those of some releases wait.
    Withheld {
        /// Files of other releases' markers that were replaced.
        moved: usize,
        /// The destinations that do not have everything: required ones, or this one itself.
        waiting_for: Vec<String>,
    },
}

/// One thing that failed.
#[derive(Debug)]
pub struct Failure {
    /// The class of the step.
    pub class: Class,
    /// The object.
    pub key: String,
    /// The releases that are therefore not complete there.
    pub releases: BTreeSet<ReleaseName>,
    /// Why.
    pub error: MirrorError,
}

impl ApplyReport {
    /// Whether anything that was planned is not done, or a destination could not be listed.
    pub fn failed(&self) -> bool {
        self.destinations.iter().any(DestinationReport::failed)
    }

    /// All failures with the names of their destinations.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Failure)> {
        self.destinations
            .iter()
            .flat_map(|one| one.failures.iter().map(|failure| (one.name.as_str(), failure)))
    }
}

impl DestinationReport {
    /// Whether anything that was planned here is not done. Markers that wait for another destination
    /// are that one's failure.
    pub fn failed(&self) -> bool {
        !self.observed || !self.failures.is_empty() || self.counts.skipped > 0
    }
}
