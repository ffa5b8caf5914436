//! What is known to have been done, over a log that survives a kill.
//!
//! One record is one line of canonical JSON:
//!
//! ```text
//! {"destination":"s3://bucket/prefix","digest":"sha256:…","etag":"…"?,"key":"demo/release/v1/a",
//!  "plan":"sha256:…","state":"written"|"verified","version":1}
//! ```
//!
//! The journal saves work and decides nothing by itself: a record that an object was written leads
//! to a look at the object, one that it was verified spares reading it again as long as size and
//! etag are what they were. A lost record costs a repetition, never a wrong answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonded_model::{Digest, json};
use bonded_store::{Journal, Store};
use serde::{Deserialize, Serialize};

use crate::backend::Seen;
use crate::bridge;
use crate::error::MirrorError;

/// A log of records that were appended earlier and can be appended to.
///
/// Implemented by the store's journal, and by doubles that fail on purpose.
pub trait Records: Send {
    /// Appends one record.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn append(&mut self, record: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// Whatever keeps it from being durable.
    fn sync(&mut self) -> Result<(), Box<dyn Error + Send + Sync>>;
}

impl Records for Journal {
    fn append(&mut self, record: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(Self::append(self, record)?)
    }

    fn sync(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(Self::sync(self)?)
    }
}

/// How far an object is known to have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The destination acknowledged it.
    Written,
    /// It was read back and had the right bytes.
    Verified,
}

/// One finished step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    pub(crate) plan: Digest,
    pub(crate) destination: String,
    pub(crate) key: String,
    pub(crate) digest: Digest,
    pub(crate) state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
}

/// The name of the log in the store.
pub const NAME: &str = "mirror";
/// The version of the records written here; others are not understood and cost a repetition.
const RECORD_VERSION: u32 = 1;
/// A record names one key of at most a kilobyte.
const RECORD_BYTES_MAX: u64 = 16 * 1024;

/// A journal with fewer records is not worth writing anew.
const REWRITE_RECORDS_MIN: usize = 1000;

/// What is known of the objects at all destinations: a pure value that a plan is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    objects: BTreeMap<(String, String), (Digest, State, Option<String>)>,
}

impl Known {
    /// What the records of a log tell.
    ///
    /// Records that are not understood are passed over: they can only cost a repetition.
    pub fn of(found: &[Vec<u8>]) -> Self {
        let mut known = Self::default();
        found.iter().filter_map(|bytes| parse(bytes)).for_each(|record| known.learn(record));
        known
    }

    pub(crate) fn learn(&mut self, record: Record) {
        let known = (record.digest, record.state, record.etag);
        self.objects.insert((record.destination, record.key), known);
    }

    /// How far the object with that digest is known to have come at a destination.
    pub(crate) fn state(&self, destination: &str, key: &str, digest: Digest) -> Option<State> {
        self.at(destination, key, digest).map(|(state, _)| state)
    }

    /// Whether the object as it is seen now is one that was read back and had that digest.
    pub(crate) fn is_verified(
        &self,
        destination: &str,
        key: &str,
        digest: Digest,
        seen: &Seen,
    ) -> bool {
        self.at(destination, key, digest).is_some_and(|(state, etag)| {
            let same = match (etag, &seen.etag) {
                (Some(then), Some(now)) => then == now,
                _ => true, // no etag on one side: the size was compared already
            };
            state == State::Verified && same
        })
    }

    fn has(&self, record: &Record) -> bool {
        let known = self.at(&record.destination, &record.key, record.digest);
        known == Some((record.state, record.etag.as_ref()))
    }

    fn at(&self, destination: &str, key: &str, digest: Digest) -> Option<(State, Option<&String>)> {
        let (held, state, etag) = self.objects.get(&(destination.to_owned(), key.to_owned()))?;
        (*held == digest).then_some((*state, etag.as_ref()))
    }
}

/// A record, unless it is not understood.
fn parse(bytes: &[u8]) -> Option<Record> {
    match json::parse::<Record>(bytes, RECORD_BYTES_MAX) {
        Ok(record) if record.version == RECORD_VERSION => Some(record),
        Ok(_) | Err(_) => None,
    }
}

/// The records that no later one replaces, by destination and key.
fn live(found: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut last = BTreeMap::new();
    for bytes in found {
        if let Some(record) = parse(bytes) {
            last.insert((record.destination, record.key), bytes);
        }
    }
    last.into_values().cloned().collect()
}

/// The journal of mirror runs.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    known: Known,
    records: Box<dyn Records>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("known", &self.lock().known.objects.len()).finish()
    }
}

impl Ledger {
    /// The journal of a store's mirror runs. Blocks while it is read; not for async code.
    ///
    /// A journal that has grown to many times what still counts is written anew, with what counts.
    ///
    /// # Errors
    /// [`MirrorError::Journal`] if it is damaged, another run has it open, or it cannot be written.
    pub fn open(store: &Store) -> Result<Self, MirrorError> {
        let mut log = store.journal(NAME).map_err(|source| journal("open", Box::new(source)))?;
        let live = live(log.records());
        let count = log.records().len();
        if count >= REWRITE_RECORDS_MIN && count / 2 >= live.len() {
            log.rewrite(live).map_err(|source| journal("rewrite", Box::new(source)))?;
        }
        let found = log.records().to_vec();
        Ok(Self::new(&found, Box::new(log)))
    }

    /// A journal over a log and the records that were found in it, read as by [`Known::of`].
    pub fn new(found: &[Vec<u8>], records: Box<dyn Records>) -> Self {
        let known = Known::of(found);
        Self { inner: Arc::new(Mutex::new(Inner { known, records })) }
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        self.lock().known.clone()
    }

    pub(crate) async fn append(&self, entry: Entry) -> Result<(), MirrorError> {
        let ledger = self.clone();
        bridge::blocking(move || {
            let record = entry.into_record();
            let bytes = json::to_canonical(&record);
            let mut inner = ledger.lock();
            if inner.known.has(&record) {
                return Ok(()); // the log grows by what is new
            }
            inner.records.append(&bytes).map_err(|source| journal("append to", source))?;
            inner.known.learn(record);
            Ok(())
        })
        .await
    }

    pub(crate) async fn sync(&self) -> Result<(), MirrorError> {
        let ledger = self.clone();
        bridge::blocking(move || {
            ledger.lock().records.sync().map_err(|source| journal("sync", source))
        })
        .await
    }

    pub(crate) fn with_known<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.lock().known)
    }

    /// Whoever panicked while holding it left a map that is still right: records are added whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that was finished just now.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) plan: Digest,
    pub(crate) destination: String,
    pub(crate) key: String,
    pub(crate) digest: Digest,
    pub(crate) state: State,
    pub(crate) etag: Option<String>,
}

impl Entry {
    fn into_record(self) -> Record {
        let Self { plan, destination, key, digest, state, etag } = self;
        Record { version: RECORD_VERSION, plan, destination, key, digest, state, etag }
    }
}

fn journal(attempt: &'static str, source: Box<dyn Error + Send + Sync>) -> MirrorError {
    MirrorError::Journal { attempt, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "demo/release/v1/a";

    fn record(state: State, etag: Option<&str>) -> Record {
        let (plan, digest) = (Digest::sha256_of(b"plan"), Digest::sha256_of(b"a"));
        let (destination, key) = ("s3://b".to_owned(), KEY.to_owned());
        let etag = etag.map(str::to_owned);
        Entry { plan, destination, key, digest, state, etag }.into_record()
    }

    fn check(then: Record, now: Option<&str>, verified: bool) {
        let known = Known::of(&[json::to_canonical(&then)]);
        let seen = Seen { size: 1, etag: now.map(str::to_owned) };
        let is_verified = |at, digest| known.is_verified(at, KEY, digest, &seen);
        assert_eq!(is_verified("s3://b", Digest::sha256_of(b"a")), verified);
        assert!(!is_verified("s3://other", Digest::sha256_of(b"a")));
        assert!(!is_verified("s3://b", Digest::sha256_of(b"b")));
    }

    #[test]
    fn only_what_was_read_back_and_is_the_same_still_counts_as_verified() {
        check(record(State::Verified, Some("1")), Some("1"), true);
        check(record(State::Verified, Some("1")), None, true);
        check(record(State::Verified, None), Some("1"), true);
        check(record(State::Verified, Some("1")), Some("2"), false);
        check(record(State::Written, Some("1")), Some("1"), false);
    }

    #[test]
    fn records_that_are_not_understood_cost_only_a_repetition() {
        let good = String::from_utf8(json::to_canonical(&record(State::Verified, None))).unwrap();
        for bad in [
            String::new(),
            "[]".to_owned(),
            good.replace("\"version\":1", "\"version\":2"),
            good.replace("\"version\":1", "\"version\":1,\"more\":1"),
            good.replace("sha256:", "md5:"),
            good.replace("verified", "believed"),
            format!("{good}{good}"),
        ] {
            assert_eq!(Known::of(&[bad.clone().into_bytes()]), Known::default(), "{bad}");
        }
    }

    #[test]
    fn a_journal_that_mostly_repeats_itself_is_written_anew() {
        // It only ever grew, until it could not be read any more and mirroring was over.
        let home = tempfile::tempdir().unwrap();
        let store = Store::init(&home.path().join("store")).unwrap();
        let mut log = store.journal(NAME).unwrap();
        let (written, verified) = (record(State::Written, None), record(State::Verified, None));
        let mut other = record(State::Written, None);
        other.destination = "s3://other".to_owned();
        log.append(&json::to_canonical(&other)).unwrap();
        for _ in 0..REWRITE_RECORDS_MIN {
            log.append(&json::to_canonical(&written)).unwrap();
            log.append(&json::to_canonical(&verified)).unwrap();
        }
        let before = Known::of(log.records());
        drop(log);
        assert_eq!(Ledger::open(&store).unwrap().known(), before);
        assert_eq!(store.journal_records(NAME).unwrap().len(), 2);
        assert_eq!(Ledger::open(&store).unwrap().known(), before);
    }

    #[test]
    fn a_short_journal_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::init(&home.path().join("store")).unwrap();
        let mut log = store.journal(NAME).unwrap();
        let line = json::to_canonical(&record(State::Written, None));
        (1..REWRITE_RECORDS_MIN).for_each(|_| log.append(&line).unwrap());
        drop(log);
        Ledger::open(&store).unwrap();
        assert_eq!(store.journal_records(NAME).unwrap().len(), REWRITE_RECORDS_MIN - 1);
    }
}
