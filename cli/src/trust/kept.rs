//! Trusted roots that were fetched and verified, kept for the user outside of any store.
//!
//! ```text
//! <state>/trust/lock                      flock, while somebody updates
//! <state>/trust/roots/<64 hex>.json       a trusted root, by the SHA-256 of its bytes; never changed or removed
//! <state>/trust/repositories/<name>.json  what is known of a repository, see Record
//! ```
//!
//! A root is durable before the record names it, and each file is replaced as a whole, so whoever dies in
//! between leaves what was there. Readers take no lock.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bonded_model::limits::TRUST_ROOT_BYTES_MAX;
use bonded_model::{Digest, Timestamp, json};
use bonded_store::disk::{self, DiskError, DiskFault, Exclusive, FileKind};
use serde::{Deserialize, Serialize};

use super::client::{Metadata, in_force};
use super::repository::{Name, TargetPath};

/// Metadata of 64 roots and more, as text in JSON.
const RECORD_BYTES_MAX: u64 = 64 * 1024 * 1024;

const VERSION: u32 = 1;

/// What is known of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    /// Where it was when it was last asked.
    pub(crate) repository: String,
    /// What is fetched from it.
    pub(crate) target: TargetPath,
    /// The root that somebody gave to start from, if it is not one of the program's.
    pub(crate) root: Option<String>,
    /// What was verified on the way.
    pub(crate) metadata: Metadata,
    /// When the repository last gave an answer that could be believed.
    pub(crate) checked: Timestamp,
    /// The trusted roots that it has given, oldest first; the last is the one in force.
    pub(crate) taken: Vec<Taken>,
}

/// A trusted root that a repository gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taken {
    /// The digest of its bytes.
    pub(crate) digest: Digest,
    /// When it was first given.
    pub(crate) at: Timestamp,
}

/// What metadata of one role say of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Their version.
    pub(crate) version: u64,
    /// When they are worth nothing any more.
    pub(crate) expires: Timestamp,
}

impl Record {
    /// Of a repository that has given nothing yet.
    pub(crate) fn new(repository: String, target: TargetPath, checked: Timestamp) -> Self {
        let (root, metadata, taken) = (None, Metadata::new(), Vec::new());
        Self { version: VERSION, repository, target, root, metadata, checked, taken }
    }

    /// The digest of the root in force.
    pub(crate) fn current(&self) -> Option<Digest> {
        self.taken.last().map(|taken| taken.digest)
    }

    /// What the metadata in force say of themselves, from the root downwards.
    pub(crate) fn standings(&self) -> Vec<(&'static str, Standing)> {
        #[derive(Deserialize)]
        struct Envelope {
            signed: Standing,
        }
        let read = |text: &str| json::parse::<Envelope>(text.as_bytes(), RECORD_BYTES_MAX).ok(); // by hand
        let roles = in_force(&self.metadata);
        roles.filter_map(|(role, text)| Some((role, read(text)?.signed))).collect()
    }
}

/// Which of the kept roots somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The newest one of a repository.
    Newest(Name),
    /// The one with these bytes, wherever it is from.
    Exactly(Digest),
}

impl FromStr for Which {
    type Err = KeptError;

    fn from_str(text: &str) -> Result<Self, KeptError> {
        let digest = text.parse().ok().map(Self::Exactly); // then it is a name, or nothing
        digest
            .or_else(|| text.parse().ok().map(Self::Newest)) // nothing, as the error says
            .ok_or_else(|| KeptError::Unnamed { text: text.to_owned() })
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(name) => fmt::Display::fmt(name, f),
            Self::Exactly(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

/// Why what is kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// Neither a digest nor a name.
    #[error("{text:?} is neither sha256: and 64 hex digits nor the name of a repository")]
    Unnamed {
        /// As written.
        text: String,
    },
    /// The environment names no directory for it.
    #[error("there is no place where anything is kept for the user")]
    NoPlace,
    /// Nothing of that is here.
    #[error("no trusted root {which} is stored")]
    Nothing {
        /// What was wanted.
        which: Which,
    },
    /// A trusted root does not have the bytes that its name says.
    #[error("{path} is damaged: its bytes are {found}")]
    Lost {
        /// Where.
        path: String,
        /// The digest of what is there.
        found: Digest,
    },
    /// A record is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// Where.
        path: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody else updates.
    #[error("another update is running; waited {seconds} seconds for it")]
    Busy {
        /// So long.
        seconds: u64,
    },
    /// The files are out of reach.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The place.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// Below the directory of the user's state. Nothing is made.
    pub(crate) fn below(state: &Path) -> Self {
        Self { directory: state.join("trust") }
    }

    fn roots(&self) -> PathBuf {
        self.directory.join("roots")
    }

    fn repositories(&self) -> PathBuf {
        self.directory.join("repositories")
    }

    fn root_file(&self, digest: Digest) -> PathBuf {
        self.roots().join(format!("{}.json", digest.hex()))
    }

    fn record_file(&self, name: &Name) -> PathBuf {
        self.repositories().join(format!("{name}.json"))
    }

    /// Makes the place, and waits until nobody else updates.
    pub(crate) fn lock(&self, wait: Duration) -> Result<Exclusive, KeptError> {
        for directory in [self.roots(), self.repositories()] {
            disk::create_private_dir_all(&directory)?;
        }
        let taken = Exclusive::take(&self.directory.join("lock"), wait)?;
        taken.ok_or(KeptError::Busy { seconds: wait.as_secs() })
    }

    /// What is known of a repository.
    pub(crate) fn read(&self, name: &Name) -> Result<Option<Record>, KeptError> {
        let file = self.record_file(name);
        let bytes = match disk::read_file(&file, RECORD_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.fault() == DiskFault::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let record: Record =
            json::parse(&bytes, RECORD_BYTES_MAX).map_err(|source| damaged(&file, source))?;
        if record.version != VERSION {
            let what = format!("its form is version {}, known is {VERSION}", record.version);
            return Err(damaged(&file, what));
        }
        Ok(Some(record))
    }

    /// All repositories that something is known of, by name.
    pub(crate) fn read_all(&self) -> Result<Vec<(Name, Record)>, KeptError> {
        let entries = match disk::read_dir(&self.repositories()) {
            Err(error) if error.fault() == DiskFault::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let name_of = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok(); // not ours
        let files = entries.iter().filter(|(_, kind)| *kind == FileKind::File);
        let names = files.filter_map(|(path, _)| name_of(path));
        names
            .filter_map(|name: Name| self.read(&name).map(|found| Some((name, found?))).transpose())
            .collect()
    }

    /// Keeps a trusted root under its digest.
    pub(crate) fn keep_root(&self, held: &Exclusive, bytes: &[u8]) -> Result<Digest, KeptError> {
        let digest = Digest::sha256_of(bytes);
        // One that is there and whole needs no second copy; a damaged one is mended.
        if self.read_root(&Which::Exactly(digest)).is_err() {
            held.replace(&self.root_file(digest), bytes)?;
        }
        Ok(digest)
    }

    /// Keeps what is known of a repository, in place of what was.
    pub(crate) fn keep_record(
        &self,
        held: &Exclusive,
        name: &Name,
        record: &Record,
    ) -> Result<(), KeptError> {
        Ok(held.replace(&self.record_file(name), &json::to_canonical(record))?)
    }

    /// The bytes of a trusted root, which are those that its digest names.
    pub(crate) fn read_root(&self, which: &Which) -> Result<Vec<u8>, KeptError> {
        let nothing = || KeptError::Nothing { which: which.clone() };
        let digest = match which {
            Which::Exactly(digest) => *digest,
            Which::Newest(name) => {
                self.read(name)?.and_then(|record| record.current()).ok_or_else(nothing)?
            }
        };
        let file = self.root_file(digest);
        let bytes = match disk::read_file(&file, TRUST_ROOT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.fault() == DiskFault::NotFound => return Err(nothing()),
            Err(error) => return Err(error.into()),
        };
        let found = Digest::sha256_of(&bytes);
        if found != digest {
            return Err(KeptError::Lost { path: file.display().to_string(), found });
        }
        Ok(bytes)
    }
}

fn damaged(file: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> KeptError {
    KeptError::Damaged { path: file.display().to_string(), source: source.into() }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at files and change them by hand")]
mod tests {
    use super::*;
    use std::fs;

    fn kept(directory: &Path) -> (Kept, Exclusive) {
        let kept = Kept::below(directory);
        let held = kept.lock(Duration::ZERO).unwrap();
        (kept, held)
    }

    fn name() -> Name {
        "corp".parse().unwrap()
    }

    fn record(taken: &[&[u8]]) -> Record {
        let now = Timestamp::from_unix_seconds(0).unwrap();
        let mut record = Record::new("file:///x".to_owned(), "a".parse().unwrap(), now);
        let digests = taken.iter().map(|bytes| Digest::sha256_of(bytes));
        record.taken = digests.map(|digest| Taken { digest, at: now }).collect();
        record
    }

    #[test]
    fn the_newest_and_every_earlier_one_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, held) = kept(directory.path());
        assert_eq!(kept.read(&name()).unwrap(), None);
        for (bytes, taken) in [(b"one", record(&[b"one"])), (b"two", record(&[b"one", b"two"]))] {
            let digest = kept.keep_root(&held, bytes).unwrap();
            kept.keep_record(&held, &name(), &taken).unwrap();
            assert_eq!(kept.read_root(&Which::Newest(name())).unwrap(), bytes);
            assert_eq!(kept.read_root(&Which::Exactly(digest)).unwrap(), bytes);
        }
        assert_eq!(kept.read_root(&Which::Exactly(Digest::sha256_of(b"one"))).unwrap(), b"one");
        assert_eq!(kept.read_all().unwrap(), [(name(), record(&[b"one", b"two"]))]);
        for which in
            [Which::Newest("other".parse().unwrap()), Which::Exactly(Digest::sha256_of(b""))]
        {
            assert!(matches!(kept.read_root(&which), Err(KeptError::Nothing { .. })), "{which}");
        }
    }

    #[test]
    fn who_dies_between_root_and_record_leaves_the_old_one_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, held) = kept(directory.path());
        kept.keep_root(&held, b"one").unwrap();
        kept.keep_record(&held, &name(), &record(&[b"one"])).unwrap();
        kept.keep_root(&held, b"two").unwrap();
        fs::write(kept.record_file(&name()).with_added_extension("new"), "{").unwrap();
        drop(held);
        assert_eq!(kept.read_root(&Which::Newest(name())).unwrap(), b"one");
        let held = kept.lock(Duration::ZERO).unwrap();
        kept.keep_record(&held, &name(), &record(&[b"one", b"two"])).unwrap();
        assert_eq!(kept.read_root(&Which::Newest(name())).unwrap(), b"two");
        assert_eq!(fs::read_dir(kept.repositories()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_changed_by_hand_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, held) = kept(directory.path());
        let digest = kept.keep_root(&held, b"one").unwrap();
        fs::write(kept.root_file(digest), "other").unwrap();
        let error = kept.read_root(&Which::Exactly(digest)).unwrap_err();
        assert!(matches!(error, KeptError::Lost { .. }), "{error:?}");
        kept.keep_root(&held, b"one").unwrap();
        assert_eq!(kept.read_root(&Which::Exactly(digest)).unwrap(), b"one");
        let whole = json::to_canonical(&record(&[]));
        let text = String::from_utf8(whole).unwrap();
        for bad in [
            String::new(),
            text.replace("\"version\":1", "\"version\":2"),
            text.replace("\"target\":\"a\"", "\"target\":\"../a\""),
            text.replacen('{', "{\"more\":1,", 1),
        ] {
            fs::write(kept.record_file(&name()), &bad).unwrap();
            let error = kept.read(&name()).unwrap_err();
            assert!(matches!(error, KeptError::Damaged { .. }), "{bad}: {error:?}");
        }
    }

    #[test]
    fn a_name_or_a_digest() {
        let digest = Digest::sha256_of(b"");
        assert_eq!(digest.to_string().parse::<Which>().unwrap(), Which::Exactly(digest));
        assert_eq!("corp".parse::<Which>().unwrap(), Which::Newest(name()));
        for bad in ["", "sha256:00", "../x", "Corp"] {
            assert!(matches!(bad.parse::<Which>(), Err(KeptError::Unnamed { .. })), "{bad}");
        }
    }

    #[test]
    fn one_update_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, held) = kept(directory.path());
        let busy = kept.lock(Duration::ZERO).unwrap_err();
        assert!(matches!(busy, KeptError::Busy { seconds: 0 }), "{busy:?}");
        drop(held);
        kept.lock(Duration::ZERO).unwrap();
    }
}
