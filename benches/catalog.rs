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

/// How long something took: by the clock, and of the processor. Other work on a machine makes the first
/// longer and leaves the second alone.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    processor: Duration,
}

impl Took {
    fn of<T>(work: impl FnOnce() -> T) -> (Self, T) {
        let (began, processor) = (Instant::now(), processor_time());
        let done = work();
        (Self { wall: began.elapsed(), processor: processor_time() - processor }, done)
    }

    fn each(self, count: usize) -> Self {
        let count = u32::try_from(count).expect("few");
        Self { wall: self.wall / count, processor: self.processor / count }
    }
}

/// What the threads of this process, none of which ends before it, have had of processors.
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("a Linux");
    let of_each = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.expect("a thread").path().join("schedstat"));
        let text = text.expect("a thread that has not ended");
        let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number"))
    });
    of_each.sum()
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
    let (open, (store, snapshot)) = Took::of(|| {
        let store = Store::open(&directory.join("store")).expect("the store");
        let snapshot = store.snapshot().expect("its newest state");
        (store, snapshot)
    });
    compare("open", open, None);
    let keys = keys(count);
    let (anywhere, again) = reads(&snapshot, &keys);
    let scanned = scan(&snapshot);
    let release = releases(&store, directory, count.div_ceil(RELEASE_ENTRIES), rounds);
    difference(&store, directory, count);
    println!("  resident memory at most {:.0} MiB", mib(peak_memory_bytes()));

    // Last, since its cache is large.
    let database = Database::open(directory.join("redb")).expect("the database");
    let point = point_reads_in_redb(&database, &keys);
    compare("point read, anywhere", anywhere, Some(point));
    compare("point read, where it was before", again, Some(point));
    compare("ordered scan", scanned, Some(scan_in_redb(&database, &keys)));
    let in_redb = (0..rounds).map(|round| {
        let entries = entries_of(2_000_000 + round);
        let began = Instant::now();
        put_all(&database, &entries);
        began.elapsed()
    });
    report("names of a release, durable", release, Some(measure::median(in_redb.collect())));
}

/// Keys all over the catalog, as readers meet them.
fn keys(count: u64) -> Vec<Key> {
    let files = (count / RELEASE_ENTRIES).max(1) * FILE_COUNT;
    let keys = (0..20_000_u64).map(|number| {
        let file = number.wrapping_mul(7_919) % files;
        Key::referrer(&digest("file", file), &digest("referrer", file))
    });
    keys.collect()
}

/// Point reads: all over the catalog, and again where they were before.
fn reads(snapshot: &Snapshot, keys: &[Key]) -> (Took, Took) {
    let read = |keys: &[Key]| {
        let (took, ()) = Took::of(|| {
            for key in keys {
                std::hint::black_box(snapshot.catalog().get(key).expect("a readable page"));
            }
        });
        took.each(keys.len())
    };
    let anywhere = read(keys);
    let (hot, _) = keys.split_at(200);
    read(hot);
    (anywhere, read(hot))
}

fn point_reads_in_redb(database: &Database, keys: &[Key]) -> Took {
    let transaction = database.begin_read().expect("a transaction");
    let table = transaction.open_table(ENTRIES).expect("the table");
    let (took, ()) = Took::of(|| {
        for key in keys {
            let value = table.get(key.as_str()).expect("a read");
            let value: Option<Descriptor> =
                value.map(|value| serde_json::from_slice(value.value()).expect("a descriptor"));
            std::hint::black_box(value);
        }
    });
    took.each(keys.len())
}

fn scan(snapshot: &Snapshot) -> Took {
    let mut count = 0;
    let (took, ()) = Took::of(|| {
        for entry in snapshot.catalog().scan("") {
            std::hint::black_box(entry.expect("a readable page"));
            count += 1;
        }
    });
    let rate = |time: Duration| f64::from(count) / time.as_secs_f64() / 1e6;
    let (wall, processor) = (rate(took.wall), rate(took.processor));
    println!("  scan of {wall:.2} M entries/s, {processor:.2} for a second of processor");
    took
}

fn scan_in_redb(database: &Database, keys: &[Key]) -> Took {
    point_reads_in_redb(database, keys); // so that it has been used as much
    let transaction = database.begin_read().expect("a transaction");
    let table = transaction.open_table(ENTRIES).expect("the table");
    let (took, ()) = Took::of(|| {
        for entry in table.iter().expect("a scan") {
            let (key, value) = entry.expect("an entry");
            let value: Descriptor = serde_json::from_slice(value.value()).expect("a descriptor");
            std::hint::black_box((key.value().to_owned(), value));
        }
    });
    took
}

/// Takes in blobs with one name, with the names that a checksum list gives them, with all the names of a
/// release, and beside as many plain blobs as that has pages. Gives what the names of a release cost.
fn releases(store: &Store, directory: &Path, next: u64, rounds: u64) -> Duration {
    let [mut alone, mut listed, mut whole, mut plain] = [(); 4].map(|()| Vec::new());
    let (mut of_list, mut of_release) = ((0, 0), (0, 0));
    for round in 0..rounds {
        let entries = entries_of(next + round);
        let other = entries_of(next + round + 1_000_000);
        let one = other.get(1..2).expect("many");
        // Of each file, the referrer of what a statement names: spread all over the catalog.
        let list: Vec<_> = other.iter().skip(3).step_by(3).cloned().collect();
        let seed = 4 * (next + round);
        alone.push(timed(store, seed, BLOB_COUNT, one));
        let before = pages(directory);
        listed.push(timed(store, seed + 1, BLOB_COUNT, &list));
        of_list = most(of_list, before, pages(directory));
        let before = pages(directory);
        whole.push(timed(store, seed + 2, BLOB_COUNT, &entries));
        of_release = most(of_release, before, pages(directory));
        let two = other.get(2..3).expect("many");
        plain.push(timed(store, seed + 3, BLOB_COUNT + of_release.0, two));
    }
    let [alone, listed, whole, plain] = [alone, listed, whole, plain].map(measure::median);
    report("2,000 blobs, one name", alone, None);
    report("  with 501 names of a list", listed, None);
    report("  with 1,501 names of a release", whole, None);
    report("  with plain blobs for its pages", plain, None);
    for (what, (count, bytes)) in [("list", of_list), ("release", of_release)] {
        println!("  new pages of a {what}: {count}, {:.2} MiB", mib(bytes));
    }
    whole.saturating_sub(alone)
}

/// The largest growth so far, less that of the blobs.
fn most(so_far: (u64, u64), before: (u64, u64), after: (u64, u64)) -> (u64, u64) {
    let count = after.0 - before.0 - BLOB_COUNT;
    let bytes = after.1 - before.1 - BLOB_COUNT * BLOB_BYTES;
    so_far.max((count, bytes))
}

/// Blobs of a release of 500 files: files, their manifests, bundles, their manifests.
const BLOB_COUNT: u64 = 4 * FILE_COUNT;
const BLOB_BYTES: u64 = 4096;

fn timed(store: &Store, seed: u64, blob_count: u64, entries: &[(Key, Descriptor)]) -> Duration {
    let began = Instant::now();
    let mut writer = writer(store);
    for number in 0..blob_count {
        let mut bytes = vec![0; usize::try_from(BLOB_BYTES).expect("small")];
        let unique = digest("blob", seed * 1_000_000 + number);
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
        Took::of(|| {
            let changes: Result<Vec<_>, _> = new.catalog().diff(old.catalog()).collect();
            changes.expect("readable catalogs").len()
        })
    };
    let (first, found) = find();
    let (again, _) = find();
    println!("  {found} changes");
    compare("difference, first time", first, None);
    compare("difference, again", again, None);
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

fn compare(name: &str, time: Took, redb: Option<Took>) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let (wall, processor) = (milliseconds(time.wall), milliseconds(time.processor));
    let ratio = redb.map_or_else(String::new, |redb| {
        let (redb_wall, redb) = (milliseconds(redb.wall), milliseconds(redb.processor));
        format!("   redb {redb_wall:.4} ms, processor {redb:.4}: {:.2} x", redb / processor)
    });
    println!("  {name:32} {wall:>10.4} ms, processor {processor:.4}{ratio}");
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
