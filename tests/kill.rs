//! Kills the program at random moments, over and over on one store: what it acknowledged is there and
//! whole, what it did not is there as a whole or not at all, and the store can always be used.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bonded_model::manifest::Index;
use bonded_model::{Digest, ImageName, ReleaseName};
use bonded_store::catalog::Key;
use bonded_store::{IndexState, Snapshot, Store};
use serde_json::Value;

use crate::world::image::Image;
use crate::world::{Run, World};

/// How often it is killed; when it ends before that, it does not count. More often by hand: `BONDED_KILLS=1000
/// cargo test -p bonded --test main kills`.
const KILLS: u64 = 200;

/// After so many rounds, everything is read that is held.
const FULL_CHECK_ROUNDS: u64 = 20;

/// The generator splitmix64.
struct Chance(u64);

impl Chance {
    /// A part of a duration.
    fn part_of(&mut self, whole: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        whole.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// What one round tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Ingest,
    IngestLarge,
    Attest,
    Import,
    Collect,
}

const DEEDS: [Deed; 5] =
    [Deed::Ingest, Deed::Attest, Deed::Import, Deed::IngestLarge, Deed::Collect];

/// From 8 MiB on, a file is streamed, hashed by threads of its own and synced by itself.
const LARGE_BYTES: usize = 9 << 20;

/// What a line of arguments is about.
#[derive(Clone, Debug)]
enum About {
    Release(ReleaseName),
    Image(ImageName),
    Store,
}

/// A release that may be in the store.
#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<String, Digest>,
    is_acknowledged: bool,
    acknowledged_documents: usize,
}

struct Field {
    world: World,
    /// Names of images, and whether they were acknowledged.
    images: BTreeMap<ImageName, bool>,
    releases: BTreeMap<ReleaseName, Known>,
    /// The one that was acknowledged last.
    newest: Option<ReleaseName>,
    /// How long each deed takes, about; follows what is seen.
    windows: BTreeMap<Deed, Duration>,
    counts: BTreeMap<(Deed, bool), u64>,
}

fn name(round: u64) -> ReleaseName {
    format!("demo@v{round}").parse().unwrap()
}

impl Field {
    fn new() -> Self {
        let world = World::with_store();
        world.ok("keygen --out key");
        let windows = DEEDS.map(|deed| (deed, Duration::ZERO)).into();
        let (images, releases, counts) = Default::default();
        let mut field = Self { world, images, releases, newest: None, windows, counts };
        for (deed, round) in DEEDS.into_iter().zip((0..u64::MAX).rev()) {
            let (line, about) = field.prepare(deed, round);
            let began = Instant::now();
            field.world.ok(&line);
            field.windows.insert(deed, began.elapsed());
            field.acknowledge(deed, about);
        }
        field
    }

    /// The command line of a deed, and what it is about.
    fn prepare(&mut self, deed: Deed, round: u64) -> (String, About) {
        match (deed, self.newest.clone()) {
            (Deed::Attest, Some(newest)) => {
                let line = format!(
                    "attest provenance {newest} --key key --builder-id https://example.com/{round} \
                     --build-type https://example.com/build --source https://example.com/demo \
                     --source-ref refs/tags/v1"
                );
                (line, About::Release(newest))
            }
            (Deed::Import, _) => self.prepare_image(round),
            (Deed::Collect, _) => ("gc --keep-epochs 3 --grace 0s".to_owned(), About::Store),
            (Deed::IngestLarge, _) => {
                let mut image = round.to_le_bytes().to_vec();
                image.resize(LARGE_BYTES, 7);
                self.prepare_release(round, &[("image", image)])
            }
            (Deed::Ingest | Deed::Attest, _) => self.prepare_release(
                round,
                &[
                    ("bin/tool", format!("tool {round}\n").repeat(2_000).into()),
                    ("note", format!("note {round}\n").into()),
                    ("licence", "the same in all of them\n".into()),
                ],
            ),
        }
    }

    fn prepare_release(&mut self, round: u64, files: &[(&str, Vec<u8>)]) -> (String, About) {
        let release = name(round);
        let inputs = format!("in/{round}");
        let mut known = Known::default();
        for (file, bytes) in files {
            self.world.write(&format!("{inputs}/{file}"), bytes);
            known.files.insert((*file).to_owned(), Digest::sha256_of(bytes));
        }
        self.releases.insert(release.clone(), known);
        (format!("ingest --release {release} {inputs}"), About::Release(release))
    }

    fn prepare_image(&mut self, round: u64) -> (String, About) {
        let image = Image::multi(&format!("image {round}"));
        let layout = format!("layout/{round}");
        self.world.write(&format!("{layout}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
        for (digest, bytes) in &image.blobs {
            self.world.write(&format!("{layout}/blobs/sha256/{}", digest.hex()), bytes);
        }
        let index = Index::plain(vec![image.top]);
        self.world.write(&format!("{layout}/index.json"), index.to_bytes());
        let name: ImageName = format!("demo/image:v{round}").parse().unwrap();
        self.images.insert(name.clone(), false);
        (format!("import {layout} --name {name}"), About::Image(name))
    }

    fn acknowledge(&mut self, deed: Deed, about: About) {
        match about {
            About::Release(release) => {
                let known = self.releases.get_mut(&release).unwrap();
                match deed {
                    Deed::Attest => known.acknowledged_documents += 1,
                    _ => known.is_acknowledged = true,
                }
                self.newest = Some(release);
            }
            About::Image(name) => drop(self.images.insert(name, true)),
            About::Store => {}
        }
    }

    /// Starts the program and kills it at a moment within its time, if it still runs.
    fn round(&mut self, round: u64, chance: &mut Chance) {
        let deed = DEEDS[usize::try_from(round).unwrap() % DEEDS.len()];
        let (line, about) = self.prepare(deed, round);
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let mut command = self.world.command(&words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(chance.part_of(self.windows[&deed]));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if deed == Deed::IngestLarge {
            std::fs::remove_dir_all(self.world.path(&format!("in/{round}"))).unwrap();
        }
        let ended = output.status.code();
        assert!(matches!(ended, None | Some(0)), "round {round}: {line}: {:?}", Run::of(&output));
        let window = self.windows.get_mut(&deed).unwrap();
        // So that one in five ends by itself, however busy the machine is.
        *window = window.mul_f64(if ended.is_some() { 0.8 } else { 1.06 });
        *self.counts.entry((deed, ended.is_some())).or_default() += 1;
        if ended.is_some() {
            self.acknowledge(deed, about);
        }
    }

    fn count(&self, ended: bool) -> u64 {
        DEEDS.iter().filter_map(|deed| self.counts.get(&(*deed, ended))).sum()
    }

    /// Everything that was acknowledged is there, and all that is there is whole. Blobs do not change,
    /// so what a kill has damaged is found later as well: not every release is read every time.
    fn check(&self, round: u64) {
        let store = Store::open(&self.world.path("store")).unwrap();
        let state = store.index_state().unwrap();
        assert!(matches!(state, IndexState::Current | IndexState::Behind), "{round}: {state:?}");
        let snapshot = store.snapshot().unwrap();
        let held: BTreeSet<_> = snapshot.releases().unwrap().into_iter().collect();
        for (release, known) in &self.releases {
            assert!(held.contains(release) || !known.is_acknowledged, "{round}: {release} is lost");
        }
        let images: BTreeMap<_, _> = snapshot
            .catalog()
            .scan(Key::IMAGES)
            .map(|entry| entry.unwrap())
            .map(|(key, image)| (key.to_image().unwrap(), image))
            .collect();
        for (name, is_acknowledged) in &self.images {
            match images.get(name) {
                Some(image) => {
                    let blobs = snapshot.image_closure(image).unwrap();
                    blobs.iter().for_each(|blob| drop(snapshot.verify_blob(blob).unwrap()));
                }
                None => assert!(!is_acknowledged, "{round}: {name} is lost"),
            }
        }
        let is_new = |release: &&ReleaseName| {
            self.newest.as_ref() == Some(*release) || **release == name(round)
        };
        let every =
            |release: &&ReleaseName| round.is_multiple_of(FULL_CHECK_ROUNDS) || is_new(release);
        held.iter().filter(every).for_each(|release| self.check_release(round, &snapshot, release));
    }

    fn check_release(&self, round: u64, snapshot: &Snapshot, release: &ReleaseName) {
        let known = self.releases.get(release).expect("somebody ingested it");
        let evidence = snapshot.evidence(release).unwrap();
        let count = evidence.documents.len();
        assert!(count >= known.acknowledged_documents, "{round}: {release} has {count} documents");
        let artifacts = evidence.release.artifacts().iter();
        let files = artifacts.map(|artifact| {
            snapshot.verify_blob(&artifact.file).unwrap();
            (artifact.path.to_string(), artifact.file.digest)
        });
        assert_eq!(files.collect::<BTreeMap<_, _>>(), known.files, "{round}: {release}");
    }
}

#[test]
fn a_store_survives_two_hundred_kills() {
    let seed = RandomState::new().build_hasher().finish();
    eprintln!("seed {seed}"); // shown if the test fails
    let mut chance = Chance(seed);
    let mut field = Field::new();
    let mut round = 0;
    let asked_for = std::env::var("BONDED_KILLS").ok().and_then(|count| count.parse().ok());
    let kills = asked_for.unwrap_or(KILLS);
    while field.count(false) < kills {
        field.round(round, &mut chance);
        field.check(round);
        round += 1;
    }
    assert!(field.count(true) > kills / 10, "{:?}", field.counts);
    let (line, about) = field.prepare(Deed::Ingest, round);
    field.world.ok(&line);
    field.acknowledge(Deed::Ingest, about);
    field.check(0);
    let staged = std::fs::read_dir(field.world.path("store/bonded/staging")).unwrap();
    assert_eq!(staged.count(), 0);
    let store = Store::open(&field.world.path("store")).unwrap();
    assert_eq!(store.index_state().unwrap(), IndexState::Current);
    let checked = field.world.json("fsck", 0);
    for finding in checked["findings"].as_array().unwrap() {
        let may_be_left = ["unreferenced-blob", "stray-staging"].map(Value::from);
        assert!(may_be_left.contains(&finding["code"]), "{finding:#}");
    }
}
