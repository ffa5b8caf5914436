//! One update by TUF: from a root that is believed, and what was kept of earlier updates, to a target that
//! follows from them (TUF specification 1.0.34, section 5).
//!
//! The library verifies; this module says what it is given, within which limits, and what is worth keeping.
//! It knows no files and no clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bonded_model::Timestamp;
use bonded_model::limits::TRUST_ROOT_BYTES_MAX;
use serde_json::Value;
use sigstore_tuf::{Error, MetadataStore, Repository, Updater, UpdaterConfig};

use super::repository::{Asked, Guarded, TargetPath, check_metadata};

/// The public-good instance's root has 6 KiB.
pub(crate) const ROOT_BYTES_MAX: u64 = 256 * 1024;
/// It names one file.
const TIMESTAMP_BYTES_MAX: u64 = 16 * 1024;
/// It names the files of every role.
const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024;
/// It names every target.
const TARGETS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The public-good instance has had 14 roots in five years.
const NEW_ROOTS_MAX: u32 = 64;
/// How many roles are looked at on the way to a target.
const ROLES_MAX: u32 = 32;
/// However many files there are, and however slowly they come.
const UPDATE_SECONDS_MAX: u64 = 300;

const HISTORY: &str = "root_history/";
const LOWER: [&str; 3] = ["timestamp.json", "snapshot.json", "targets.json"];

/// Verified metadata by name: `root_history/N.root.json`, and the newest of the three roles below.
pub(crate) type Metadata = BTreeMap<String, String>;

/// What an update starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    /// The root that is believed, whatever the repository says.
    pub(crate) root: &'a [u8],
    /// What earlier updates have verified: no version may go back behind it.
    pub(crate) kept: &'a Metadata,
    /// What is wanted.
    pub(crate) target: &'a TargetPath,
}

/// How an update ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What is to be kept. A new root counts even if nothing below it could be had.
    pub(crate) metadata: Metadata,
    /// The target's bytes.
    pub(crate) target: Result<Vec<u8>, UpdateError>,
}

/// Why an update gave no target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    /// Whoever gave the root has to give another one.
    #[error("the root to start from is no TUF root that its own keys have signed")]
    Start(#[source] Error),
    /// Kept files were changed by hand, or the repository does not lead to them from where this program
    /// starts.
    #[error("version {kept} of the root that is kept does not follow from version {reached}")]
    Kept {
        /// The newest one that is kept.
        kept: u64,
        /// The newest one that follows from the start, by what is kept and by what the repository has.
        reached: u64,
    },
    /// The repository is out of reach, or does not have the file, or sends too much of it.
    #[error("cannot fetch {asked}")]
    Unreachable {
        /// The file.
        asked: String,
        /// Why.
        source: Error,
    },
    /// What it says is not what those say who are believed, or is out of date.
    #[error("{asked} cannot be believed")]
    Refused {
        /// The file that was fetched last.
        asked: String,
        /// Why.
        source: Error,
    },
    /// It says nothing of the target.
    #[error("the repository has no target {target}")]
    NoTarget {
        /// Its path.
        target: TargetPath,
    },
    /// It takes its time.
    #[error("the update is not done after {seconds} seconds, at {asked}")]
    Slow {
        /// The file that is being fetched.
        asked: String,
        /// How long it was given.
        seconds: u64,
    },
}

/// What the client keeps while it runs.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Mutex<Metadata>>);

impl MetadataStore for Shelf {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(shelf.get(name).map(|text| text.clone().into_bytes()))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if !name.starts_with(HISTORY) && !LOWER.contains(&name) {
            return Ok(());
        }
        // What was verified is JSON, and so it is text.
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), text);
        Ok(())
    }
}

impl Shelf {
    /// Whether the root of a version still says what the kept one says, whoever has signed it.
    fn has_kept(&self, kept: &Metadata, version: u64) -> bool {
        let name = root_name(version);
        let signed = |metadata: &Metadata| {
            let value: Value = serde_json::from_str(metadata.get(&name)?).ok()?; // then it is not the same
            value.get("signed").cloned()
        };
        signed(kept).is_some_and(|kept| signed(&self.contents()) == Some(kept))
    }

    fn contents(&self) -> Metadata {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks a repository for a target, as of `now`.
pub(crate) async fn update(
    repository: Box<dyn Repository>,
    start: Start<'_>,
    now: Timestamp,
) -> Ended {
    update_within(UPDATE_SECONDS_MAX, repository, start, now).await
}

async fn update_within(
    seconds: u64,
    repository: Box<dyn Repository>,
    start: Start<'_>,
    now: Timestamp,
) -> Ended {
    let shelf = Shelf(Arc::new(Mutex::new(start.kept.clone())));
    let asked = Asked::nothing();
    let guarded = Guarded { inner: repository, asked: asked.clone() };
    let time = Duration::from_secs(seconds);
    let target = match tokio::time::timeout(time, fetch(guarded, &shelf, start, now)).await {
        Ok(fetched) => fetched,
        Err(_over) => Err(UpdateError::Slow { asked: asked.name(), seconds }),
    };
    let metadata = match &target {
        Ok(_) => shelf.contents(),
        // What leads elsewhere than to what is kept is no news of this repository.
        Err(UpdateError::Kept { .. }) => start.kept.clone(),
        Err(_) => {
            let mut kept = start.kept.clone();
            let roots = shelf.contents().into_iter().filter(|(name, _)| name.starts_with(HISTORY));
            kept.extend(roots);
            kept
        }
    };
    Ended { metadata, target }
}

async fn fetch(
    repository: Guarded,
    shelf: &Shelf,
    start: Start<'_>,
    now: Timestamp,
) -> Result<Vec<u8>, UpdateError> {
    let asked = repository.asked.clone();
    let failed = |error| sort(error, &asked, start.target);
    check_metadata(start.root, ROOT_BYTES_MAX).map_err(UpdateError::Start)?;
    let updater = Updater::new(repository, start.root).map_err(UpdateError::Start)?;
    let mut updater = updater.with_config(limits()).with_store(shelf.clone());
    let now = moment(now);
    let refreshed = updater.refresh(now).await;
    let is_out_of_reach = matches!(refreshed, Err(Error::Transport { .. }));
    let reached = updater.trusted().root().version;
    if let Some(kept) = newest_root(start.kept).filter(|_| !is_out_of_reach)
        && (reached < kept || !shelf.has_kept(start.kept, kept))
    {
        return Err(UpdateError::Kept { kept, reached });
    }
    refreshed.map_err(failed)?;
    let failed = |error| sort(error, &asked, start.target);
    updater.get_target(start.target.as_str(), now).await.map_err(failed)
}

/// The moment for the library, which takes metadata at the second in which they expire. The specification
/// does not (5.3.10, 5.4.4, 5.5.6, 5.6.5), and by then part of the second may have gone by.
fn moment(now: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(now.unix_seconds().saturating_add(1))
        .unwrap_or(jiff::Timestamp::MAX)
}

fn sort(error: Error, asked: &Asked, target: &TargetPath) -> UpdateError {
    let asked = asked.name();
    match error {
        Error::TargetNotFound(_) => UpdateError::NoTarget { target: target.clone() },
        source @ Error::Transport { .. } => UpdateError::Unreachable { asked, source },
        source => UpdateError::Refused { asked, source },
    }
}

fn limits() -> UpdaterConfig {
    let mut limits = UpdaterConfig::default();
    limits.root_max_length = ROOT_BYTES_MAX;
    limits.timestamp_max_length = TIMESTAMP_BYTES_MAX;
    limits.snapshot_max_length = SNAPSHOT_BYTES_MAX;
    limits.targets_max_length = TARGETS_BYTES_MAX;
    limits.target_max_length = TRUST_ROOT_BYTES_MAX;
    limits.max_root_rotations = NEW_ROOTS_MAX;
    limits.max_delegations = ROLES_MAX;
    limits
}

fn root_name(version: u64) -> String {
    format!("{HISTORY}{version}.root.json")
}

/// The version of the newest root that is kept.
fn newest_root(kept: &Metadata) -> Option<u64> {
    let version = |name: &str| name.strip_prefix(HISTORY)?.strip_suffix(".root.json")?.parse().ok(); // none
    kept.keys().filter_map(|name| version(name)).max()
}

/// The texts of the metadata in force by role: the newest root, and what is below it.
pub(crate) fn in_force(kept: &Metadata) -> impl Iterator<Item = (&'static str, &str)> {
    let root = newest_root(kept).map(root_name);
    let root = root.and_then(|name| kept.get(&name)).map(|text| ("root", text.as_str()));
    let lower = [("timestamp", LOWER[0]), ("snapshot", LOWER[1]), ("targets", LOWER[2])];
    let lower = lower.into_iter().filter_map(|(role, name)| Some((role, kept.get(name)?.as_str())));
    root.into_iter().chain(lower)
}

#[cfg(test)]
mod tests;
