//! A kill, a power loss, a full disk or a broken one at every call leaves the old state or the new.
//!
//! A [`Scenario`] is a disk and an act on it. It is run once undisturbed, for the states before and
//! after; then again and again on a copy of that disk, with a failure at the first call, the second, and
//! so on. Each time, every disk that may be found afterwards is looked at: as a kill leaves it, and as a
//! power loss does, which takes all or some of what was not synced. On each of them there is the state
//! before or the state after, and the one after if the act was acknowledged; the act can be done again,
//! by the same program or the next one, and what it acknowledges then survives a power loss as well.
//!
//! The scenarios stand in `scenarios`, those of large files in `large`; a new one is a few lines there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use bonded_model::{Descriptor, Digest};

use super::{holder, ingest_into};
use crate::catalog::Key;
use crate::disk::faulty::Failure;
use crate::disk::memory::{Loss, Memory};
use crate::disk::{Disk, DiskError, DiskFault};
use crate::image::ImportError;
use crate::ingest::IngestError;
use crate::{IndexSetting, IndexState, Snapshot, Store, StoreError};

mod exports;
mod large;
mod scenarios;

/// Where things lie on a disk in memory.
const STORE: &str = "/disks/store";
const INPUTS: &str = "/disks/in";

/// How many random power losses are tried at each call. More of them by hand: `BONDED_CRASH_SEEDS=100
/// cargo test -p bonded-store crash`.
const SEEDS: u64 = 2;

fn seeds() -> std::ops::Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "a knob of this test alone")]
    let wanted = std::env::var("BONDED_CRASH_SEEDS");
    0..wanted.ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS)
}

/// Something that is done to a disk.
struct Scenario {
    name: &'static str,
    memory: Memory,
    /// It can be repeated; the second time it does what is left to do.
    act: fn(&Disk) -> Result<(), Failed>,
    /// Whether other programs left blobs that are not durable: those may be found damaged.
    has_foreign_blobs: bool,
    /// Whether an error may come after the change has happened, and not say so.
    may_hide_success: bool,
    /// Whether the act mends one fault after the other.
    mends: bool,
}

impl Scenario {
    fn new(name: &'static str, memory: Memory, act: fn(&Disk) -> Result<(), Failed>) -> Self {
        let (has_foreign_blobs, may_hide_success, mends) = (false, false, false);
        Self { name, memory, act, has_foreign_blobs, may_hide_success, mends }
    }

    fn with_foreign_blobs(self) -> Self {
        Self { has_foreign_blobs: true, ..self }
    }

    fn that_may_hide_success(self) -> Self {
        Self { may_hide_success: true, ..self }
    }

    fn that_mends(self) -> Self {
        Self { mends: true, ..self }
    }
}

/// Why an act failed.
#[derive(Debug)]
enum Failed {
    Store(StoreError),
    Ingest(IngestError),
    Import(ImportError),
    /// A check of the store that mended less than all.
    Remains,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<IngestError> for Failed {
    fn from(error: IngestError) -> Self {
        Self::Ingest(error)
    }
}

impl From<ImportError> for Failed {
    fn from(error: ImportError) -> Self {
        Self::Import(error)
    }
}

impl Failed {
    fn disk(&self) -> Option<&DiskError> {
        match self {
            Self::Store(error) => error.disk(),
            Self::Ingest(error) => error.disk(),
            Self::Import(error) => error.disk(),
            Self::Remains => None,
        }
    }

    /// Whether the change has happened all the same, and the error says so.
    fn has_happened(&self) -> bool {
        let (Self::Store(error)
        | Self::Ingest(IngestError::Store(error))
        | Self::Import(ImportError::Store(error))) = self
        else {
            return false;
        };
        matches!(error, StoreError::InDoubt { .. } | StoreError::IndexNotWritten { .. })
    }
}

/// What a reader finds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// No store, or one whose making was cut short.
    NoStore,
    Store {
        epoch: u64,
        names: BTreeMap<String, Descriptor>,
        index: IndexSetting,
        /// What is wrong with it.
        faults: BTreeSet<String>,
    },
}

impl State {
    fn names(&self) -> Option<(&BTreeMap<String, Descriptor>, IndexSetting)> {
        match self {
            Self::NoStore => None,
            Self::Store { names, index, .. } => Some((names, *index)),
        }
    }

    /// How `index.json` stands once a writer has seen to it.
    fn index(&self) -> IndexState {
        match self {
            Self::Store { index: IndexSetting::Off, .. } => IndexState::Off,
            _ => IndexState::Current,
        }
    }
}

/// Looks at everything that a reader relies on: each release whole, each blob its name. A look may move
/// a damaged blob, so it is a copy of the disk that is looked at.
fn look(memory: &Memory, has_foreign_blobs: bool) -> State {
    let disk = memory.after_kill().disk();
    let store = match Store::open_on(Path::new(STORE), disk.clone()) {
        Ok(store) => store,
        Err(StoreError::NotAStore { .. } | StoreError::RootMissing { .. }) => {
            return State::NoStore;
        }
        Err(error) => panic!("the store cannot be opened: {error:?}"),
    };
    let snapshot = store.snapshot().unwrap();
    let mut faults = BTreeSet::new();
    // First, since a damaged blob that is read is moved away.
    if !has_foreign_blobs {
        faults.extend(misnamed_blobs(&disk));
    }
    for epoch in store.epochs().unwrap() {
        match store.snapshot_at(epoch) {
            Ok(then) => faults.extend(faults_in(&then)),
            Err(error) => drop(faults.insert(format!("epoch {epoch}: {}", fault(error)))),
        }
    }
    let entries = snapshot.catalog().scan("").map(|entry| {
        let (key, value) = entry.unwrap();
        (key.to_string(), value.clone())
    });
    let index = store.index_setting().unwrap();
    State::Store { epoch: snapshot.epoch(), names: entries.collect(), index, faults }
}

/// What of a state cannot be read, of all that it names.
fn faults_in(snapshot: &Snapshot) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |file: &Descriptor| {
        faults.extend(snapshot.verify_blob(file).err().map(fault));
    };
    let mut unreadable = Vec::new();
    for name in snapshot.releases().unwrap() {
        match snapshot.release(&name) {
            Ok(release) => release.artifacts().iter().for_each(|artifact| check(&artifact.file)),
            Err(error) => unreadable.push(fault(error)),
        }
        unreadable.extend(snapshot.evidence(&name).err().map(fault));
    }
    for entry in snapshot.catalog().scan(Key::IMAGES) {
        match snapshot.image_closure(&entry.unwrap().1) {
            Ok(blobs) => blobs.iter().for_each(&mut check),
            Err(error) => unreadable.push(fault(error)),
        }
    }
    faults.extend(unreadable);
    faults
}

/// A blob that is lost is the same fault whether it has been moved aside or not.
fn fault(error: StoreError) -> String {
    match error {
        StoreError::Corrupt { digest, .. } | StoreError::MissingBlob { digest, .. } => {
            format!("{digest} is lost")
        }
        error => format!("{error:?}"),
    }
}

fn misnamed_blobs(disk: &Disk) -> Vec<String> {
    let blobs = disk.list(&Path::new(STORE).join("blobs/sha256")).unwrap().into_iter();
    let named = blobs.filter(|(path, _)| {
        let digest = Digest::sha256_of(&disk.read(path, u64::MAX).unwrap());
        path.file_name().unwrap().to_str() != Some(digest.hex().as_str())
    });
    named.map(|(path, _)| format!("{} is not what it is named", path.display())).collect()
}

/// One run of a scenario, with the states that it may lead to.
struct Run<'a> {
    scenario: &'a Scenario,
    before: State,
    after: State,
    /// Disks that have been looked at, with the failure that left them; many calls leave the same one.
    seen: BTreeSet<String>,
    how: Failure,
    at: u64,
}

impl fmt::Display for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} at call {}", self.scenario.name, self.how, self.at)
    }
}

impl Run<'_> {
    /// Whether this is the state before, as far as nothing was mended.
    fn is_before(&self, found: &State) -> bool {
        match (&self.before, found) {
            (
                State::Store { epoch, names, index, faults },
                State::Store {
                    epoch: epoch_found,
                    names: names_found,
                    index: index_found,
                    faults: left,
                },
            ) if self.scenario.mends => {
                (epoch, names, index) == (epoch_found, names_found, index_found)
                    && left.is_subset(faults)
            }
            (before, found) => before == found,
        }
    }

    fn look(&self, memory: &Memory) -> State {
        look(memory, self.scenario.has_foreign_blobs)
    }

    /// Every disk that a power loss may leave.
    fn losses(&self) -> impl Iterator<Item = Loss> + use<> {
        let at = self.at;
        let random = seeds().map(move |seed| Loss::Random(at.wrapping_mul(1009) + seed));
        std::iter::once(Loss::AllUnsynced).chain(random)
    }

    /// Whether no such disk was found after such a failure with such an outcome; notes that it was.
    fn is_new(&mut self, memory: &Memory, result: &Result<(), Failed>) -> bool {
        let outcome = (result.is_ok(), result.as_ref().is_err_and(Failed::has_happened));
        self.seen.insert(format!("{:?} {outcome:?} {}", self.how, memory.describe()))
    }

    /// After a crash: the old state or the new, and the new one if it was acknowledged.
    fn check_crash(&mut self, memory: &Memory, result: &Result<(), Failed>) {
        let killed = ("a kill".to_owned(), memory.after_kill());
        let lost = self.losses().map(|loss| (format!("{loss:?}"), memory.after_power_loss(loss)));
        for (how, memory) in std::iter::once(killed).chain(lost.collect::<Vec<_>>()) {
            if !self.is_new(&memory, result) {
                continue;
            }
            let found = self.look(&memory);
            assert!(self.is_before(&found) || found == self.after, "{self}, {how}: {found:#?}");
            if result.is_ok() {
                assert_eq!(found, self.after, "{self}, {how}: acknowledged and lost");
            }
            self.check_repeat(&memory, &how);
        }
    }

    /// After one call that failed: the error says which state there is.
    fn check_error(&mut self, memory: &Memory, result: &Result<(), Failed>) {
        if let Err(error) = result {
            let fault = match self.how {
                Failure::NoSpaceOnce => DiskFault::NoSpace,
                Failure::IoOnce | Failure::Crash => DiskFault::Other,
            };
            // Where there is much to mend, a later call may fail for want of what the first was to bring.
            if !self.scenario.mends {
                let named = error.disk().map(DiskError::fault);
                assert_eq!(named, Some(fault), "{self}: {error:?}");
            }
        }
        let has_happened = result.as_ref().map_or_else(Failed::has_happened, |()| true);
        if !self.is_new(memory, result) {
            return;
        }
        let found = self.look(memory);
        let may_be_new = has_happened || self.scenario.may_hide_success;
        let is_expected =
            (self.is_before(&found) && !has_happened) || (found == self.after && may_be_new);
        assert!(is_expected, "{self}: {result:?}: {found:#?}");
        for loss in self.losses().collect::<Vec<_>>() {
            let lost = memory.after_power_loss(loss);
            let found = self.look(&lost);
            if loss == Loss::AllUnsynced && !may_be_new {
                self.check_failed_for_good(&lost);
            }
            assert!(self.is_before(&found) || found == self.after, "{self}, {loss:?}: {found:#?}");
            if result.is_ok() {
                assert_eq!(found, self.after, "{self}, {loss:?}: acknowledged and lost");
            }
        }
        self.check_repeat(memory, "in the same program");
    }

    /// No later writer finishes what was said to have failed.
    fn check_failed_for_good(&self, memory: &Memory) {
        if let Ok(store) = Store::open_on(Path::new(STORE), memory.disk()) {
            drop(store.lock(Duration::ZERO, &holder(), &mut |_| {}).unwrap());
            let found = self.look(memory);
            assert!(self.is_before(&found), "{self}, finished by the next writer: {found:#?}");
        }
    }

    /// The act can be done again, leaves nothing lying about, and survives a power loss.
    fn check_repeat(&self, memory: &Memory, how: &str) {
        let disk = memory.disk();
        if let Err(error) = (self.scenario.act)(&disk) {
            panic!("{self}, {how}: it cannot be repeated: {error:?}");
        }
        for loss in [Loss::AllUnsynced, Loss::Random(self.at)] {
            let found = look(&memory.after_power_loss(loss), false);
            assert_eq!(found.names(), self.after.names(), "{self}, {how}, repeated, {loss:?}");
            if let State::Store { faults, .. } = found {
                assert_eq!(faults, BTreeSet::new(), "{self}, {how}, repeated, {loss:?}");
            }
        }
        let store = Store::open_on(Path::new(STORE), disk.clone()).unwrap();
        drop(store.lock(Duration::ZERO, &holder(), &mut |_| {}).unwrap());
        assert_eq!(store.index_state().unwrap(), self.after.index(), "{self}, {how}");
        let staged = disk.list(&Path::new(STORE).join("bonded/staging")).unwrap();
        assert_eq!(staged, [], "{self}, {how}");
    }
}

/// Fails a scenario at every call in every way. Returns how many changing calls there are.
fn survives_everything(scenario: &Scenario) -> u64 {
    // With one thread the calls come in the same order every time.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let before = look(&scenario.memory, scenario.has_foreign_blobs);
    let undisturbed = scenario.memory.after_kill();
    pool.install(|| (scenario.act)(&undisturbed.disk())).unwrap();
    let after = look(&undisturbed, false);
    if let State::Store { faults, .. } = &after {
        assert_eq!(*faults, BTreeSet::new(), "{}", scenario.name);
    }
    let mut run =
        Run { scenario, before, after, seen: BTreeSet::new(), how: Failure::Crash, at: 0 };
    let counts = [Failure::Crash, Failure::NoSpaceOnce, Failure::IoOnce].map(|how| {
        for at in 1.. {
            (run.how, run.at) = (how, at);
            let memory = scenario.memory.after_kill();
            let disk = memory.disk().failing(at, how);
            let result = pool.install(|| (scenario.act)(&disk));
            match how {
                Failure::Crash => run.check_crash(&memory, &result),
                Failure::NoSpaceOnce | Failure::IoOnce => run.check_error(&memory, &result),
            }
            if disk.calls() < at {
                return at - 1;
            }
        }
        unreachable!("the calls of an act have an end")
    });
    let [crash, no_space, io] = counts;
    assert_eq!(crash, no_space, "{}", scenario.name);
    assert!(crash > 0 && io > crash, "{}: {counts:?}", scenario.name);
    crash
}

/// Writes a file among the inputs.
fn write_input(disk: &Disk, name: &str, bytes: &[u8]) {
    let path = Path::new(INPUTS).join(name);
    disk.create_directory(path.parent().unwrap()).unwrap();
    disk.create(&path, 0o644).unwrap().write_all(bytes).unwrap();
}

fn open(disk: &Disk) -> Result<Store, StoreError> {
    Store::open_on(Path::new(STORE), disk.clone())
}

/// Ingests all inputs.
fn ingest(disk: &Disk, release: &str) -> Result<(), Failed> {
    ingest_into(&open(disk)?, release, &[Path::new(INPUTS)])?;
    Ok(())
}

/// An empty disk with a store on it, all of it durable.
fn with_store(memory: &Memory, prepare: impl Fn(&Disk)) -> Memory {
    let disk = memory.disk();
    disk.create_directory(Path::new(INPUTS)).unwrap();
    Store::init_on(Path::new(STORE), disk.clone(), Duration::ZERO).unwrap();
    prepare(&disk);
    make_durable(&disk);
    memory.clone()
}

fn make_durable(disk: &Disk) {
    let everything = disk.open_directory(Path::new("/")).unwrap();
    disk.sync_filesystem(&everything).unwrap();
}
