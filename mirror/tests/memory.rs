//! A double of everything that a run talks to: destinations and the journal in memory, with a fuse
//! that blows at the k-th call which changes something, and a look at the consumer's view after
//! every change.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use bonded_mirror::{
    Answer, Backend, Chunks, Destination, DestinationConfig, Expected, Fault, FaultKind, Ledger,
    Operation, Put, Records, S3Options, Seen, Upload,
};
use bonded_model::Digest;
use bytes::Bytes;

use crate::conformance::{Conditional, check};

/// Objects by key.
pub(crate) type Tree = BTreeMap<String, Held>;

/// Bytes that were hashed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
}

impl Held {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { digest: Digest::sha256_of(&bytes), bytes }
    }

    fn seen(&self) -> Seen {
        let size = u64::try_from(self.bytes.len()).unwrap();
        Seen { size, etag: Some(self.digest.to_string()) }
    }
}

impl std::ops::Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What happens when the fuse has burnt down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Nothing works from then on, as if the process were gone.
    Kill,
    /// That one call fails.
    Hiccup,
}

/// What survives a kill of the journal's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survive {
    /// Everything that was appended.
    Appended,
    /// Only what was synced.
    Synced,
}

/// Several destinations and a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cloud(Arc<Mutex<Inside>>);

#[derive(Clone, Debug, Default)]
struct Inside {
    trees: BTreeMap<String, Tree>,
    records: Vec<Vec<u8>>,
    synced: usize,
    calls: usize,
    writes: usize,
    fuse: Option<(usize, Blow)>,
    violations: Vec<String>,
}

impl Cloud {
    pub(crate) fn destination(&self, name: &str) -> Destination {
        self.0.lock().unwrap().trees.entry(name.to_owned()).or_default();
        let config = DestinationConfig {
            name: name.to_owned(),
            url: format!("memory://{name}"),
            s3: S3Options::default(),
            required: true,
        };
        let backend = Memory { cloud: self.clone(), name: name.to_owned() };
        Destination::with_backend(&config, Arc::new(backend))
    }

    /// The same objects and records, with a life of their own.
    pub(crate) fn fork(&self) -> Self {
        let inside = self.0.lock().unwrap().clone();
        Self(Arc::new(Mutex::new(inside)))
    }

    pub(crate) fn backend(&self, name: &str) -> Memory {
        self.0.lock().unwrap().trees.entry(name.to_owned()).or_default();
        Memory { cloud: self.clone(), name: name.to_owned() }
    }

    /// The journal as the next process finds it.
    pub(crate) fn ledger(&self, survive: Survive) -> Ledger {
        let mut inside = self.0.lock().unwrap();
        if survive == Survive::Synced {
            let synced = inside.synced;
            inside.records.truncate(synced);
        }
        let found = inside.records.clone();
        drop(inside);
        Ledger::new(&found, Box::new(Log(self.clone())))
    }

    /// Lets the k-th changing call from now on fail, counted from 1.
    pub(crate) fn set_fuse(&self, k: usize, blow: Blow) {
        let mut inside = self.0.lock().unwrap();
        inside.calls = 0;
        inside.fuse = Some((k, blow));
    }

    pub(crate) fn mend(&self) {
        let mut inside = self.0.lock().unwrap();
        inside.fuse = None;
        inside.calls = 0;
    }

    /// Changing calls since the fuse was set or mended.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// Objects written or replaced, ever.
    pub(crate) fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    pub(crate) fn tree(&self, name: &str) -> Tree {
        self.0.lock().unwrap().trees[name].clone()
    }

    pub(crate) fn insert(&self, name: &str, key: &str, bytes: &'static [u8]) {
        let mut inside = self.0.lock().unwrap();
        let tree = inside.trees.entry(name.to_owned()).or_default();
        tree.insert(key.to_owned(), Held::new(Bytes::from_static(bytes)));
    }

    pub(crate) fn remove(&self, name: &str, key: &str) {
        self.0.lock().unwrap().trees.get_mut(name).unwrap().remove(key).unwrap();
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap().violations.clone()
    }

    fn burn(&self) -> Result<(), String> {
        let mut inside = self.0.lock().unwrap();
        inside.calls += 1;
        match inside.fuse {
            Some((k, Blow::Kill)) if inside.calls >= k => Err("killed".into()),
            Some((k, Blow::Hiccup)) if inside.calls == k => Err("hiccup".into()),
            _ => Ok(()),
        }
    }

    fn write(&self, name: &str, key: &str, bytes: Bytes) {
        let held = Held::new(bytes);
        let mut inside = self.0.lock().unwrap();
        inside.writes += 1;
        let tree = inside.trees.get_mut(name).unwrap();
        tree.insert(key.to_owned(), held);
        let mut violations = crate::world::violations(&inside.trees);
        inside.violations.append(&mut violations);
    }
}

struct Log(Cloud);

impl Records for Log {
    fn append(&mut self, record: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.burn()?;
        self.0.0.lock().unwrap().records.push(record.to_vec());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.burn()?;
        let mut inside = self.0.0.lock().unwrap();
        inside.synced = inside.records.len();
        Ok(())
    }
}

/// One destination in memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    cloud: Cloud,
    name: String,
}

impl Memory {
    fn get(&self, key: &str) -> Option<Held> {
        self.cloud.0.lock().unwrap().trees[&self.name].get(key).cloned()
    }

    fn burn(&self, operation: Operation, key: &str) -> Result<(), Fault> {
        let kind = |text: &str| match text {
            "killed" => FaultKind::Unreachable,
            _ => FaultKind::Server,
        };
        self.cloud.burn().map_err(|text| Fault::new(kind(&text), operation, key, text.into()))
    }
}

impl Backend for Memory {
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<(String, Seen)>> {
        Box::pin(async move {
            let inside = self.cloud.0.lock().unwrap();
            let below = inside.trees[&self.name].iter().filter(|(key, _)| key.starts_with(prefix));
            Ok(below.map(|(key, bytes)| (key.clone(), bytes.seen())).collect())
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Seen>> {
        Box::pin(async move { Ok(self.get(key).as_ref().map(Held::seen)) })
    }

    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Chunks>>> {
        Box::pin(async move {
            let whole = |held: Held| Whole { seen: held.seen(), bytes: Some(held.bytes) };
            Ok(self.get(key).map(|bytes| Box::new(whole(bytes)) as Box<dyn Chunks>))
        })
    }

    fn put_new<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Put> {
        Box::pin(async move {
            self.burn(Operation::Put, key)?;
            if self.get(key).is_some() {
                return Ok(Put::AlreadyThere);
            }
            self.cloud.write(&self.name, key, bytes);
            Ok(Put::Created)
        })
    }

    fn upload<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        Box::pin(async move {
            self.burn(Operation::Put, key)?;
            let to = self.clone();
            Ok(Box::new(Parts { to, key: key.to_owned(), bytes: Vec::new() }) as Box<dyn Upload>)
        })
    }

    fn replace<'a>(&'a self, key: &'a str, bytes: Bytes, expected: Expected) -> Answer<'a, ()> {
        Box::pin(async move {
            self.burn(Operation::Replace, key)?;
            let there = self.get(key).as_ref().map(Held::seen);
            let as_expected = match (&expected, there) {
                (Expected::Absent, there) => there.is_none(),
                (Expected::Present(etag), Some(there)) => etag.is_none() || *etag == there.etag,
                (Expected::Present(_), None) => false,
            };
            if !as_expected {
                let kind = FaultKind::Changed;
                return Err(Fault::new(kind, Operation::Replace, key, "etag".into()));
            }
            self.cloud.write(&self.name, key, bytes);
            Ok(())
        })
    }
}

struct Whole {
    seen: Seen,
    bytes: Option<Bytes>,
}

impl Chunks for Whole {
    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn next(&mut self) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move { Ok(self.bytes.take()) })
    }
}

struct Parts {
    to: Memory,
    key: String,
    bytes: Vec<u8>,
}

impl Upload for Parts {
    fn part(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            self.to.burn(Operation::Put, &self.key)?;
            self.bytes.extend_from_slice(&bytes);
            Ok(())
        })
    }

    fn complete(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.to.burn(Operation::Put, &self.key)?;
            let bytes = std::mem::take(&mut self.bytes);
            self.to.cloud.write(&self.to.name, &self.key, bytes.into());
            Ok(())
        })
    }

    fn abort(&mut self) -> Answer<'_, ()> {
        Box::pin(async move { Ok(()) })
    }
}

#[tokio::test]
async fn memory_keeps_the_promises() {
    let cloud = Cloud::default();
    check(&cloud.backend("m"), Conditional::Yes).await;
}
