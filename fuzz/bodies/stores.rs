//! Files of a store that a fault or another program may have written, and what comes into one.
//!
//! These parsers are private, so the bytes go to the disk and the store is opened. Refusing is an error of the
//! store, never its end; what is refused on its way in leaves the store at the state it had.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bonded_mirror::Known;
use bonded_model::Digest;
use bonded_model::media_type::{OCI_INDEX, OCI_MANIFEST};
use bonded_store::image::{ImportRequest, import};
use bonded_store::ingest::{IngestOptions, IngestRequest, ingest};
use bonded_store::{BlobFacts, Holder, Store};
use redb::TableDefinition;
use tempfile::TempDir;

use super::verdicts::now;

/// After so many inputs a store is made anew: what was taken in stays there.
const INPUT_COUNT_MAX: usize = 500;

/// A directory with a store and a place for files.
struct Ground {
    directory: TempDir,
    uses: usize,
}

static GROUND: Mutex<Option<Ground>> = Mutex::new(None);

impl Ground {
    fn new() -> Self {
        let ground = Self { directory: tempfile::tempdir().expect("a directory"), uses: 0 };
        Store::init(&ground.path("store")).expect("a store");
        fs::create_dir(ground.path("in")).expect("a directory");
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("a directory");
        drop(fs::remove_file(&path)); // a blob is read-only
        fs::write(&path, bytes).expect("a file");
        path
    }

    fn blob(&self, root: &str, bytes: &[u8]) -> String {
        let hex = Digest::sha256_of(bytes).hex();
        self.write(&format!("{root}/blobs/sha256/{hex}"), bytes);
        format!("sha256:{hex}")
    }

    fn store(&self) -> Store {
        Store::open(&self.path("store")).expect("the store was not touched")
    }
}

/// The ground of all, one after another.
fn ground() -> MutexGuard<'static, Option<Ground>> {
    let mut ground = GROUND.lock().unwrap_or_else(PoisonError::into_inner);
    if ground.as_ref().is_none_or(|ground| ground.uses >= INPUT_COUNT_MAX) {
        *ground = Some(Ground::new());
    }
    ground
}

fn with(act: impl FnOnce(&Ground)) {
    let mut held = ground();
    // Whoever panics leaves nothing behind that others would meet.
    let mut ground = held.take().expect("it was made");
    act(&ground);
    ground.uses += 1;
    *held = Some(ground);
}

/// ROOT, and the record of an epoch where ROOT is gone.
pub fn root(bytes: &[u8]) {
    with(|ground| {
        let first = fs::read(ground.path("store/bonded/ROOT")).expect("ROOT");
        for name in ["ROOT", "epochs/00000000000000000000"] {
            let path = ground.path(&format!("store/bonded/{name}"));
            let before = fs::read(&path).expect("it is there");
            ground.write(&format!("store/bonded/{name}"), bytes);
            if name != "ROOT" {
                fs::remove_file(ground.path("store/bonded/ROOT")).expect("it is there");
            }
            look(&ground.path("store"));
            ground.write(&format!("store/bonded/{name}"), &before);
            ground.write("store/bonded/ROOT", &first);
        }
    });
}

/// Opens a store and reads all that it names.
fn look(directory: &std::path::Path) {
    let Ok(store) = Store::open(directory) else { return };
    drop((store.recovery(), store.epochs(), store.index_state()));
    let Ok(snapshot) = store.snapshot() else { return };
    let read = snapshot.catalog().scan("").take(10_000).filter(Result::is_ok).count();
    assert!(read <= snapshot.catalog().len().max(10_000));
    drop(snapshot.releases().map(|names| {
        names.iter().take(10).for_each(|name| drop(snapshot.evidence(name)));
    }));
}

/// A page of the catalog, as the only one.
pub fn page(bytes: &[u8]) {
    with(|ground| {
        let first = fs::read(ground.path("store/bonded/ROOT")).expect("ROOT");
        let digest = ground.blob("store", bytes);
        let root = format!(r#"{{"catalog":"{digest}","epoch":0,"version":2}}"#);
        ground.write("store/bonded/ROOT", root.as_bytes());
        ground.write("store/bonded/epochs/00000000000000000000", root.as_bytes());
        look(&ground.path("store"));
        ground.write("store/bonded/ROOT", &first);
        ground.write("store/bonded/epochs/00000000000000000000", &first);
    });
}

/// A journal, and its records as those of a mirror.
pub fn journal(bytes: &[u8]) {
    with(|ground| {
        ground.write("store/bonded/journal/fuzz", bytes);
        let store = ground.store();
        if let Ok(records) = store.journal_records("fuzz") {
            drop(Known::of(&records));
            let opened = store.journal("fuzz").expect("what can be read can be opened");
            assert_eq!(opened.records(), records);
        }
    });
}

/// A record of what is known about a blob, as it is, and one with its check made right.
pub fn facts_record(bytes: &[u8]) {
    drop(facts_of(bytes));
}

/// What is known by a record whose check is right.
fn facts_of(bytes: &[u8]) -> Option<BlobFacts> {
    const BLOBS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("blobs");
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let mut known = None;
    with(|ground| {
        let [broken, whole] = [Digest::sha256_of(b"a blob"), Digest::sha256_of(b"another")];
        let mut check = [0; 16];
        let mut hash = blake3::Hasher::new();
        hash.update(whole.as_bytes()).update(bytes).finalize_xof().fill(&mut check);
        let path = ground.path("store/bonded/facts.redb");
        drop(fs::remove_file(path.with_extension("redb.count")));
        drop(fs::remove_file(&path));
        let database = redb::Database::create(&path).expect("a database");
        let writing = database.begin_write().expect("a transaction");
        for (blob, record) in [(broken, bytes.to_vec()), (whole, [&check, bytes].concat())] {
            let mut blobs = writing.open_table(BLOBS).expect("a table");
            blobs.insert(blob.as_bytes(), record.as_slice()).expect("an entry");
        }
        let tally = [1_u64.to_be_bytes(), 2_u64.to_be_bytes()].concat();
        let mut meta = writing.open_table(META).expect("a table");
        meta.insert("tally", tally.as_slice()).expect("an entry");
        drop(meta);
        writing.commit().expect("a commit");
        drop(database);
        let store = ground.store();
        known = store.facts().get(&whole);
        assert_eq!(store.facts().get(&broken), None, "nobody made its check by chance");
        drop(store.facts().notice());
    });
    known
}

/// That a record with its check made right is read.
pub(super) fn reach() {
    let record = [&[0; 32][..], b"\x00\x0blinux/amd64"].concat();
    let known = facts_of(&record).expect("a record that is one");
    assert_eq!(known.blake3.hex(), "0".repeat(64));
}

/// An OCI or docker archive.
pub fn archive(bytes: &[u8]) {
    with(|ground| {
        let path = ground.write("a.tar", bytes);
        take_in(ground, &path);
    });
}

/// An OCI layout: the bytes as its list, and as the manifest, index and config of one that is good otherwise.
pub fn layout(bytes: &[u8]) {
    with(|ground| {
        let path = ground.path("layout");
        let digest = ground.blob("layout", bytes);
        let size = bytes.len();
        ground.write("layout/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        ground.write("layout/index.json", bytes);
        take_in(ground, &path);
        let listed = |digest: &str, size: usize, media_type: &str| {
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"example.com/a:v1"}}}}]}}"#
            )
        };
        for media_type in [OCI_MANIFEST, OCI_INDEX] {
            ground.write("layout/index.json", listed(&digest, size, media_type).as_bytes());
            take_in(ground, &path);
        }
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{size}}},"layers":[]}}"#
        );
        let above = ground.blob("layout", manifest.as_bytes());
        ground.write("layout/index.json", listed(&above, manifest.len(), OCI_MANIFEST).as_bytes());
        take_in(ground, &path);
        fs::remove_dir_all(&path).expect("it is there");
    });
}

fn holder() -> Holder {
    Holder { who: "a fuzz target".to_owned(), since: now() }
}

fn take_in(ground: &Ground, path: &std::path::Path) {
    let store = ground.store();
    let before = store.snapshot().expect("a state").epoch();
    let holder = holder();
    let request = ImportRequest {
        source: path,
        references: &[],
        repository: None,
        name: None,
        releases: true,
        holder: &holder,
        wait: Duration::from_secs(1),
    };
    let taken = import(&store, &request, &());
    let after = store.snapshot().expect("a state").epoch();
    assert!(taken.is_ok() || after == before, "what is refused leaves the store as it was");
}

const NAMES: [&str; 9] = [
    "tool.sigstore.json",
    "tool.intoto.jsonl",
    "tool.spdx.json",
    "tool.cdx.json",
    "SHA256SUMS",
    "root.layout",
    "build.776a00e2.link",
    "tool.sig",
    "tool.rekor.json",
];

/// A document beside a file, under each name that makes it one.
pub fn sidecar(bytes: &[u8]) {
    with(|ground| {
        for name in NAMES {
            let input = ground.path("in");
            ground.write("in/tool", b"hello");
            let document = ground.write(&format!("in/{name}"), bytes);
            let store = ground.store();
            let before = store.snapshot().expect("a state").epoch();
            let release = format!("demo@v{}", before + 1).parse().expect("a name");
            let holder = holder();
            let request = IngestRequest {
                release: &release,
                inputs: &[input],
                images: &[],
                holder: &holder,
                wait: Duration::from_secs(1),
                options: IngestOptions::default(),
            };
            let taken = ingest(&store, &request, &());
            let snapshot = store.snapshot().expect("a state");
            match taken {
                Ok(_) => drop(snapshot.evidence(&release).expect("what came in can be read")),
                Err(_) => assert_eq!(snapshot.epoch(), before, "the store is as it was"),
            }
            fs::remove_file(document).expect("it is there");
        }
    });
}
