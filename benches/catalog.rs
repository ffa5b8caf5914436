//! The catalog as it grows: opening, point reads, scans, commits of a release and differences at 10 k,
//! 100 k and 1 M entries, beside redb with the same entries in the same run.
//!
//! Every size is filled by one process and measured by another, so that the memory told is that of
//! the work, and the caches begin empty.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark is a program of its own, with files, environment and a terminal"
)]

mod measure;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bonded_model::{Descriptor, Digest, MediaType, ReleaseName, Timestamp, media_type};
use bonded_store::catalog::Key;
use bonded_store::{Holder, Snapshot, Store, Writer};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// Files in the release that is taken in, each with one bundle.
const FILE_COUNT: u64 = 500;

/// What one such release puts into the catalog: itself, and each bundle as evidence of the release, of
/// the file's manifest and of the file.
const RELEASE_ENTRIES: u64 = 1 + 3 * FILE_COUNT;

/// Entries in one commit while a store is filled.
const FILL_COUNT: usize = 50_000;

const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let at = |index: usize| arguments.get(index).map(String::as_str);
    if let (Some(step @ ("fill" | "measure")), Some(count), Some(directory)) = (at(1), at(2), at(3))
    {
        let count = count.parse().expect("a number of entries");
        let directory = Path::new(directory);
        return if step == "fill" { fill(count, directory) } else { measure(count, directory) };
    }
    let sizes: &[u64] = if measure::smoke() { &[2_000] } else { &[10_000, 100_000, 1_000_000] };
    for count in sizes {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for step in ["fill", "measure"] {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.arg(step).arg(count.to_string()).arg(directory.path());
            if measure::smoke() {
                command.arg("--smoke");
            }
            assert!(command.status().expect("this program starts").success(), "{step} {count}");
        }
    }
}

fn digest(of: &str, number: u64) -> Digest {
    Digest::sha256_of(format!("{of} {number}").as_bytes())
}

fn release_name(number: u64) -> ReleaseName {
    format!("bench@v1.{number}.0").parse().expect("a release name")
}

/// Everything that one release puts into the catalog.
fn entries_of(release: u64) -> Vec<(Key, Descriptor)> {
    let name = release_name(release);
    let descriptor = |kind, artifact, digest| Descriptor {
        artifact_type: Some(MediaType::known(artifact)),
        ..Descriptor::new(MediaType::known(kind), digest, 700)
    };
    let index = digest("release", release);
    let mut entries = vec![(
        Key::release(&name),
        descriptor(media_type::OCI_INDEX, media_type::BONDED_RELEASE, index),
    )];
    for file in release * FILE_COUNT..(release + 1) * FILE_COUNT {
        let referrer = digest("referrer", file);
        let value = descriptor(media_type::OCI_MANIFEST, media_type::SIGSTORE_BUNDLE, referrer);
        entries.push((Key::evidence(&name, &referrer), value.clone()));
        entries.push((Key::referrer(&digest("manifest", file), &referrer), value.clone()));
        entries.push((Key::referrer(&digest("file", file), &referrer), value));
    }
    entries
}

fn holder() -> Holder {
    let since = Timestamp::from_unix_seconds(1_700_000_000).expect("a time");
    Holder { who: "the catalog benchmark".into(), since }
}

fn writer(store: &Store) -> Writer {
    store.lock(Duration::ZERO, &holder(), &mut |_| {}).expect("nobody else writes")
}

fn commit(writer: Writer) -> Snapshot {
    writer.commit().expect("space for the pages")
}

fn fill(count: u64, directory: &Path) {
    let began = Instant::now();
    let store = Store::init(&directory.join("store")).expect("a new store");
    let mut entries = BTreeMap::new();
    for release in 0..count.div_ceil(RELEASE_ENTRIES) {
        entries.extend(entries_of(release));
    }
    let entries: Vec<_> =
        entries.into_iter().take(usize::try_from(count).expect("small")).collect();
    for batch in entries.chunks(FILL_COUNT) {
        let mut writer = writer(&store);
        for (key, value) in batch {
            writer.insert(key.clone(), value.clone()).expect("a readable catalog");
        }
        commit(writer);
    }
    let filled = began.elapsed();
    let database = Database::create(directory.join("redb")).expect("a new database");
    for batch in entries.chunks(FILL_COUNT) {
        put_all(&database, batch);
    }
    let (pages, bytes) = pages(directory);
    println!(
        "\n{count} entries: {pages} pages, {:.1} MiB, filled in {:.1} s",
        mib(bytes),
        filled.as_secs_f64()
    );
}

fn put_all(database: &Database, entries: &[(Key, Descriptor)]) {
    let transaction = database.begin_write().expect("a transaction");
    {
        let mut table = transaction.open_table(ENTRIES).expect("the table");
        for (key, value) in entries {
            let value = bonded_model::json::to_canonical(value);
            table.insert(key.as_str(), &*value).expect("an insert");
        }
    }
    transaction.commit().expect("a durable commit");
}

fn measure(count: u64, directory: &Path) {
    let rounds = if measure::smoke() { 1 } else { 5 };
    let began = Instant::now();
    let store = Store::open(&directory.join("store")).expect("the store");
    let snapshot = store.snapshot().expect("its newest state");
    report("open", began.elapsed(), None);
    let database = Database::open(directory.join("redb")).expect("the database");

    reads(&snapshot, &database, count);
    scan(&snapshot, &database);
    let memory = peak_memory_bytes();
    let next = count.div_ceil(RELEASE_ENTRIES);
    releases(&store, directory, &database, next, rounds);
    difference(&store, directory, count);
    println!(
        "  resident memory at most {:.0} MiB, {:.0} before the commits",
        mib(peak_memory_bytes()),
        mib(memory)
    );
}

/// Point reads: all over the catalog, and again where they were before.
fn reads(snapshot: &Snapshot, database: &Database, count: u64) {
    let releases = count / RELEASE_ENTRIES;
    let keys: Vec<Key> = (0..20_000_u64)
        .map(|number| {
            let file = number.wrapping_mul(7_919) % (releases.max(1) * FILE_COUNT);
            Key::referrer(&digest("file", file), &digest("referrer", file))
        })
        .collect();
    let read = |keys: &[Key]| {
        let began = Instant::now();
        let found = keys
            .iter()
            .filter(|key| snapshot.catalog().get(key).expect("a readable page").is_some());
        let found = found.count();
        (began.elapsed() / u32::try_from(keys.len()).expect("few"), found)
    };
    let (first, found) = read(&keys);
    let hot = keys.get(..200).expect("there are more");
    read(hot);
    let (again, _) = read(hot);
    let began = Instant::now();
    let transaction = database.begin_read().expect("a transaction");
    let table = transaction.open_table(ENTRIES).expect("the table");
    let in_redb = keys.iter().filter(|key| table.get(key.as_str()).expect("a read").is_some());
    assert!(found == in_redb.count() || releases == 0, "both hold the same");
    let redb = began.elapsed() / u32::try_from(keys.len()).expect("few");
    report("point read, anywhere", first, Some(redb));
    report("point read, again", again, Some(redb));
}

fn scan(snapshot: &Snapshot, database: &Database) {
    let began = Instant::now();
    let mut count = 0;
    for entry in snapshot.catalog().scan("") {
        std::hint::black_box(entry.expect("a readable page"));
        count += 1;
    }
    let ours = began.elapsed();
    let began = Instant::now();
    let transaction = database.begin_read().expect("a transaction");
    let table = transaction.open_table(ENTRIES).expect("the table");
    let mut in_redb = 0;
    for entry in table.iter().expect("a scan") {
        let (key, value) = entry.expect("an entry");
        let value: Descriptor = serde_json::from_slice(value.value()).expect("a descriptor");
        std::hint::black_box((key.value().to_owned(), value));
        in_redb += 1;
    }
    assert_eq!(in_redb, count);
    report("ordered scan", ours, Some(began.elapsed()));
    println!("    {:.2} M entries/s", f64::from(count) / ours.as_secs_f64() / 1e6);
}

/// Takes in releases: their blobs with one name, and with all the names that they have.
fn releases(store: &Store, directory: &Path, database: &Database, next: u64, rounds: u64) {
    let [mut blobs_alone, mut whole, mut listed, mut redb] = [(); 4].map(|()| Vec::new());
    let (mut most_pages, mut most_bytes) = (0, 0);
    let (mut list_pages, mut list_bytes) = (0, 0);
    for round in 0..rounds {
        let release = next + round;
        let entries = entries_of(release);
        let one = entries_of(release + 1_000_000).split_off(1);
        blobs_alone.push(timed(store, 2 * release, one.get(..1).expect("many")));
        let before = pages(directory);
        whole.push(timed(store, 2 * release + 1, &entries));
        let after = pages(directory);
        most_pages = most_pages.max(after.0 - before.0 - BLOB_COUNT);
        most_bytes = most_bytes.max(after.1 - before.1 - BLOB_COUNT * BLOB_BYTES);
        // One checksum list for all files: a referrer of each of them, found nowhere else.
        let list: Vec<_> = one.iter().skip(2).step_by(3).cloned().collect();
        let before = pages(directory);
        listed.push(timed(store, 4_000_000 + release, &list));
        let after = pages(directory);
        list_pages = list_pages.max(after.0 - before.0 - BLOB_COUNT);
        list_bytes = list_bytes.max(after.1 - before.1 - BLOB_COUNT * BLOB_BYTES);
        let began = Instant::now();
        put_all(database, &entries);
        redb.push(began.elapsed());
    }
    let [blobs_alone, whole, listed, redb] =
        [blobs_alone, whole, listed, redb].map(measure::median);
    report("2,000 blobs, one name", blobs_alone, None);
    report("  with 501 names of a list", listed, None);
    report("  with 1,501 names of a release", whole, None);
    report("beyond the blobs, list", listed.saturating_sub(blobs_alone), None);
    report("beyond the blobs, release", whole.saturating_sub(blobs_alone), Some(redb));
    println!(
        "    new pages at most: list {list_pages}, {:.2} MiB; release {most_pages}, {:.2} MiB",
        mib(list_bytes),
        mib(most_bytes)
    );
}

/// Blobs of a release of 500 files: files, their manifests, bundles, their manifests.
const BLOB_COUNT: u64 = 4 * FILE_COUNT;
const BLOB_BYTES: u64 = 4096;

fn timed(store: &Store, seed: u64, entries: &[(Key, Descriptor)]) -> Duration {
    let began = Instant::now();
    let mut writer = writer(store);
    for number in 0..BLOB_COUNT {
        let mut bytes = vec![0; usize::try_from(BLOB_BYTES).expect("small")];
        let unique = digest("blob", seed * BLOB_COUNT + number);
        bytes.splice(..32, unique.as_bytes().iter().copied());
        writer.hold(MediaType::known(media_type::OCTET_STREAM), &bytes).expect("space");
    }
    for (key, value) in entries {
        writer.insert(key.clone(), value.clone()).expect("a readable catalog");
    }
    commit(writer);
    began.elapsed()
}

/// A thousand changes all over the catalog, looked for by a store that was just opened.
fn difference(store: &Store, directory: &Path, count: u64) {
    let mut writer = writer(store);
    let before = writer.base().epoch();
    let files = (count / RELEASE_ENTRIES).max(1) * FILE_COUNT;
    for number in 0..1_000_u64 {
        let file = number.wrapping_mul(7_919) % files;
        let referrer = digest("referrer", file);
        let mut value = Descriptor::new(MediaType::known(media_type::OCI_MANIFEST), referrer, 0);
        value.size = number;
        writer
            .insert(Key::referrer(&digest("file", file), &referrer), value)
            .expect("a readable catalog");
    }
    let after = commit(writer).epoch();
    let opened = Store::open(&directory.join("store")).expect("the store");
    let [old, new] = [before, after].map(|epoch| opened.snapshot_at(epoch).expect("a kept epoch"));
    let find = || {
        let began = Instant::now();
        let changes = new.catalog().diff(old.catalog()).expect("readable catalogs");
        (began.elapsed(), changes.len())
    };
    let (first, found) = find();
    let (again, _) = find();
    println!("  {found} changes");
    report("difference, first time", first, None);
    report("difference, again", again, None);
}

/// How many blobs there are, and how many bytes.
fn pages(directory: &Path) -> (u64, u64) {
    let blobs = std::fs::read_dir(directory.join("store/blobs/sha256")).expect("blobs");
    blobs.fold((0, 0), |(count, bytes), blob| {
        (count + 1, bytes + blob.expect("an entry").metadata().expect("a file").len())
    })
}

fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the line");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn report(name: &str, time: Duration, redb: Option<Duration>) {
    let ratio = redb.map_or_else(String::new, |redb| {
        format!(
            "   redb {:>10.4} ms   {:6.2} x",
            redb.as_secs_f64() * 1e3,
            redb.as_secs_f64() / time.as_secs_f64()
        )
    });
    println!("  {name:32} {:>10.4} ms{ratio}", time.as_secs_f64() * 1e3);
}
