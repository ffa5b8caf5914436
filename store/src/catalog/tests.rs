//! The catalog against a plain map: content, shape, damage, and how many pages are touched.

mod cuts;
mod form;
mod golden;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bonded_model::{MediaType, Platform, media_type};
use proptest::prelude::*;

use super::page::{ENTRY_COUNT_MAX, Item, Page, encode, ends_page};
use super::pages::PageSource;
use super::rest::Rests;
use super::*;

/// Pages in memory that count how often they are read.
#[derive(Clone, Debug, Default)]
struct Memory {
    pages: Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>,
    reads: Arc<AtomicUsize>,
}

impl PageSource for Memory {
    fn read_page(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let pages = self.pages.lock().unwrap();
        let missing = || StoreError::MissingBlob { digest: *digest, path: "memory".into() };
        let bytes = pages.get(digest).ok_or_else(missing)?;
        match Digest::sha256_of(bytes) {
            found if found == *digest => Ok(bytes.clone()),
            found => {
                let (path, quarantined) = ("memory".into(), None);
                Err(StoreError::Corrupt { digest: *digest, found, path, quarantined })
            }
        }
    }
}

impl Memory {
    fn new() -> Self {
        let memory = Self::default();
        memory.put(&[Catalog::empty_page()]);
        memory
    }

    fn put(&self, pages: &[Vec<u8>]) {
        let mut held = self.pages.lock().unwrap();
        held.extend(pages.iter().map(|page| (Digest::sha256_of(page), page.clone())));
    }

    /// With nothing in the cache.
    fn open(&self, root: Digest) -> Result<Catalog, StoreError> {
        Catalog::open(&Pages::from_source(Box::new(self.clone()), 1 << 30), root)
    }

    fn empty(&self) -> Catalog {
        self.open(Digest::sha256_of(&Catalog::empty_page())).unwrap()
    }

    fn commit(&self, catalog: &Catalog) -> Catalog {
        let sealed = catalog.seal().unwrap();
        self.put(&sealed.pages);
        Catalog::open(&catalog.base.pages, sealed.root).unwrap()
    }

    /// Counts the reads that something takes.
    fn reads<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        let before = self.reads.load(Ordering::SeqCst);
        let result = work();
        (result, self.reads.load(Ordering::SeqCst) - before)
    }
}

type Model = BTreeMap<Key, Descriptor>;

fn key(text: &str) -> Key {
    Key::parse(text.to_owned()).unwrap()
}

fn descriptor(content: u8) -> Descriptor {
    let types = [media_type::OCTET_STREAM, media_type::OCI_MANIFEST, media_type::OCI_INDEX];
    let media_type = MediaType::known(types[usize::from(content) % 3]);
    let mut descriptor = Descriptor::of(media_type, &[content]);
    if content % 4 == 1 {
        descriptor.artifact_type = Some(MediaType::known(media_type::BONDED_RELEASE));
    }
    if content % 5 == 2 {
        let (os, architecture) = ("linux".into(), "amd64".into());
        descriptor.platform = Some(Platform { os, architecture, variant: None });
        descriptor.annotations.insert("note".into(), "é \"quoted\"".into());
    }
    descriptor
}

/// A referrer as stores have it: the key ends with what it points to.
fn referrer(subject: u64, number: u64) -> (Key, Descriptor) {
    let subject = Digest::sha256_of(&subject.to_le_bytes());
    let value = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &number.to_le_bytes());
    (Key::referrer(&subject, &value.digest), value)
}

fn sealed_root(catalog: &Catalog) -> Digest {
    catalog.seal().unwrap().root
}

fn filled(memory: &Memory, entries: impl IntoIterator<Item = (Key, Descriptor)>) -> Catalog {
    let mut catalog = memory.empty();
    for (key, value) in entries {
        catalog.insert(key, value).unwrap();
    }
    memory.commit(&catalog)
}

fn changes(after: &Catalog, before: &Catalog) -> Vec<Change> {
    after.diff(before).collect::<Result<_, _>>().unwrap()
}

fn check_same(catalog: &Catalog, model: &Model) {
    let scanned: Vec<_> = catalog.scan("").collect::<Result<_, _>>().unwrap();
    let expected: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(scanned, expected);
    assert_eq!((catalog.len(), catalog.is_empty()), (model.len(), model.is_empty()));
}

/// Everything under a page: that it stands where it should, and how many pages there are by level.
fn shape(catalog: &Catalog) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    let mut nodes = vec![catalog.base.root.clone()];
    while let Some(node) = nodes.pop() {
        *counts.entry(node.page.level()).or_default() += 1;
        for at in 0..node.page.children().len() {
            nodes.extend(node.below(&catalog.base.pages, at).unwrap());
        }
    }
    counts
}

#[derive(Clone, Debug)]
enum Act {
    Insert(Key, u8),
    Remove(Key),
    Commit,
    Reopen,
}

fn any_key() -> impl Strategy<Value = Key> {
    let digest = (0..40_u8).prop_map(|n| Digest::sha256_of(&[n]).to_string());
    let short = "(a|b|release)/([ab]{1,2}/)?[ab]";
    let numbered = (0..300_u16).prop_map(|n| format!("evidence/demo/v1/{n}"));
    let referrer = (digest.clone(), digest).prop_map(|(a, b)| format!("referrer/{a}/{b}"));
    prop_oneof![short, numbered, referrer].prop_map(|text| key(&text))
}

fn history(acts_max: usize) -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        12 => (any_key(), 0_u8..30).prop_map(|(key, content)| Act::Insert(key, content)),
        4 => any_key().prop_map(Act::Remove),
        1 => Just(Act::Commit),
        1 => Just(Act::Reopen),
    ];
    proptest::collection::vec(act, 0..acts_max)
}

fn replay(memory: &Memory, history: &[Act]) -> (Catalog, Model) {
    let (mut catalog, mut model) = (memory.empty(), Model::new());
    for act in history {
        match act {
            Act::Insert(key, content) => assert_eq!(
                catalog.insert(key.clone(), descriptor(*content)).unwrap(),
                model.insert(key.clone(), descriptor(*content)),
            ),
            Act::Remove(key) => assert_eq!(catalog.remove(key).unwrap(), model.remove(key)),
            Act::Commit => catalog = memory.commit(&catalog),
            Act::Reopen => {
                let root = sealed_root(&memory.commit(&catalog));
                catalog = memory.open(root).unwrap();
            }
        }
    }
    (catalog, model)
}

proptest! {
    // Long histories, so that trees have several levels, and fewer of them.
    #![proptest_config(crate::tests::cases(40))]

    #[test]
    fn it_behaves_like_a_map(history in history(400), prefix in "(a|b|release|evidence/demo/v1|referrer)?/?[ab1s]?") {
        let (held, model) = replay(&Memory::new(), &history);
        for act in &history {
            if let Act::Insert(key, _) | Act::Remove(key) = act {
                prop_assert_eq!(held.get(key).unwrap(), model.get(key).cloned());
            }
        }
        check_same(&held, &model);
        let scanned: Vec<_> = held.scan(&prefix).collect::<Result<_, _>>().unwrap();
        let within = model.iter().filter(|(key, _)| key.as_str().starts_with(&prefix));
        let expected: Vec<_> = within.map(|(key, value)| (key.clone(), value.clone())).collect();
        prop_assert_eq!(held.is_changed_at(&prefix), held.changes.keys().any(|key| key.as_str().starts_with(&prefix)));
        prop_assert_eq!(scanned, expected);
    }

    #[test]
    fn equal_content_has_an_equal_root_whatever_the_history(history in history(400)) {
        let memory = Memory::new();
        let (held, model) = replay(&memory, &history);
        let straight = filled(&Memory::new(), model.clone());
        prop_assert_eq!(sealed_root(&held), sealed_root(&straight));
        let backwards = filled(&Memory::new(), model.clone().into_iter().rev());
        prop_assert_eq!(sealed_root(&backwards), sealed_root(&straight));
        // All pages that the last of many commits needs are there, and no check of a place fails.
        let held = memory.commit(&held);
        prop_assert_eq!(shape(&memory.open(sealed_root(&held)).unwrap()), shape(&straight));
        check_same(&memory.open(sealed_root(&held)).unwrap(), &model);
    }

    #[test]
    fn a_difference_is_that_of_the_maps(common in history(200), one in history(60), other in history(60)) {
        let memory = Memory::new();
        let [a, b] = [one, other].map(|own| {
            let acts: Vec<_> = common.iter().cloned().chain([Act::Commit]).chain(own).collect();
            replay(&memory, &acts)
        });
        let ((before, old), (after, new)) = (a, b);
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let expected: Vec<_> = keys
            .into_iter()
            .map(|key| Change { key: key.clone(), before: old.get(key).cloned(), after: new.get(key).cloned() })
            .filter(|change| change.before != change.after)
            .collect();
        prop_assert_eq!(&changes(&after, &before), &expected);
        let (before, after) = (memory.commit(&before), memory.commit(&after));
        prop_assert_eq!(&changes(&after, &before), &expected);
        prop_assert_eq!(changes(&after, &after), vec![]);
        prop_assert_eq!(sealed_root(&before) == sealed_root(&after), expected.is_empty());
    }

}

proptest! {
    #[test]
    fn a_page_that_is_accepted_encodes_to_itself(
        entries in proptest::collection::btree_map(any_key(), 0_u8..30, 0..40),
        at in any::<proptest::sample::Index>(),
        with in any::<u8>(),
    ) {
        let items: Vec<_> = entries.iter().map(|(key, content)| item(key.as_str(), &descriptor(*content))).collect();
        let mut bytes = encode(0, &items);
        let check = |bytes: &[u8]| {
            if let Ok(page) = Page::decode(bytes, &Rests::default()) {
                let items: Vec<_> = page.items().collect();
                assert_eq!(encode(page.level(), &items), bytes);
            }
        };
        check(&bytes);
        let at = at.index(bytes.len());
        bytes[at] = with;
        check(&bytes);
        bytes.truncate(at);
        check(&bytes);
    }
}

fn item(key: &str, value: &Descriptor) -> Item {
    let value = to_value(&Key::parse(key.to_owned()).unwrap(), value, &mut Vec::new()).unwrap();
    Item { key: PackedKey::of(key), points_to: PointsTo::Value(value) }
}

#[test]
fn thousands_of_entries_make_one_tree_however_they_come() {
    let entries: Model = (0..5000).map(|n| referrer(n / 3, n)).collect();
    let memory = Memory::new();
    let at_once = filled(&memory, entries.clone());
    assert!(shape(&at_once).len() >= 3, "{:?}", shape(&at_once));
    check_same(&at_once, &entries);
    let mut one_by_one = memory.empty();
    for (number, (key, value)) in entries.iter().rev().enumerate() {
        one_by_one.insert(key.clone(), value.clone()).unwrap();
        if number.is_multiple_of(97) {
            one_by_one = memory.commit(&one_by_one);
        }
    }
    assert_eq!(sealed_root(&one_by_one), sealed_root(&at_once));
    // And back, to each of the earlier roots.
    let mut shrinking = at_once;
    let mut kept = entries;
    while let Some((key, _)) = kept.pop_last() {
        shrinking.remove(&key).unwrap();
        if kept.len().is_multiple_of(499) || kept.len() < 3 {
            shrinking = memory.commit(&shrinking);
            let straight = filled(&Memory::new(), kept.clone());
            assert_eq!(sealed_root(&shrinking), sealed_root(&straight), "{}", kept.len());
        }
    }
    assert_eq!(sealed_root(&shrinking), Digest::sha256_of(&Catalog::empty_page()));
}

#[test]
fn a_commit_writes_the_pages_on_its_paths_and_reads_no_others() {
    let memory = Memory::new();
    let base = filled(&memory, (0..20_000).map(|n| referrer(n, n)));
    let levels = shape(&base).len();
    let held = memory.pages.lock().unwrap().len();
    for count in [1, 10] {
        let mut catalog = memory.open(base.base.root.digest).unwrap();
        let (sealed, reads) = memory.reads(|| {
            for number in 0..count {
                let (key, value) = referrer(1_000_000 + number, number);
                catalog.insert(key, value).unwrap();
            }
            catalog.seal().unwrap()
        });
        // A key may split a page, or follow one that is full.
        let paths = usize::try_from(count).unwrap() * levels;
        assert!(sealed.pages.len() <= paths + 4, "{} pages for {paths}", sealed.pages.len());
        assert!(reads <= paths + 4, "{reads} reads for {paths}");
        assert!(held > 20 * paths, "{held}");
    }
    let mut same = memory.open(base.base.root.digest).unwrap();
    let (key, value) = referrer(7, 7);
    same.insert(key.clone(), descriptor(3)).unwrap();
    same.insert(key, value).unwrap();
    assert!(!same.is_changed());
    assert_eq!(same.seal().unwrap(), Sealed { root: base.base.root.digest, pages: vec![] });
}

#[test]
fn a_difference_reads_the_pages_that_differ_and_no_others() {
    let memory = Memory::new();
    let before = filled(&memory, (0..20_000).map(|n| referrer(n, n)));
    let mut after = before.clone();
    for number in [100, 200, 300] {
        after.remove(&referrer(number, number).0).unwrap();
    }
    let sealed = after.seal().unwrap();
    memory.put(&sealed.pages);
    let open = |root| memory.open(root).unwrap();
    let (old, new) = (open(before.base.root.digest), open(sealed.root));
    let (found, reads) = memory.reads(|| changes(&new, &old));
    assert_eq!(found.len(), 3);
    let levels = shape(&before).len();
    assert!(reads <= 2 * 3 * levels + 4, "{reads} reads at {levels} levels");
    let (none, reads) = memory.reads(|| changes(&new, &new));
    assert_eq!((none, reads), (vec![], 0));
}

#[test]
fn a_difference_does_not_depend_on_how_the_trees_are_cut() {
    let memory = Memory::new();
    let many: Model = (0..20_000).map(|n| referrer(n, n)).collect();
    let some = |step: usize| many.clone().into_iter().step_by(step).collect::<Model>();
    let others: Model = (0..3_000).map(|n| referrer(n, n + 1)).collect();
    let models = [Model::new(), some(10_000), some(100), some(2), others, many.clone()];
    let catalogs = models.each_ref().map(|model| filled(&memory, model.clone()));
    for (old, before) in models.iter().zip(&catalogs) {
        for (new, after) in models.iter().zip(&catalogs) {
            let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
            let keys = keys.into_iter().filter(|key| old.get(key) != new.get(key));
            let expected = keys.map(|key| Change {
                key: key.clone(),
                before: old.get(key).cloned(),
                after: new.get(key).cloned(),
            });
            // Opened anew, so that every page is read again.
            let [before, after] =
                [before, after].map(|held| memory.open(held.base.root.digest).unwrap());
            let (found, reads) = memory.reads(|| changes(&after, &before));
            assert!(found.into_iter().eq(expected), "{} to {}", old.len(), new.len());
            let pages: usize = [&before, &after].iter().map(|held| page_count(held)).sum();
            assert!(reads <= pages, "{reads} reads of {pages} pages");
        }
    }
}

/// Where one tree has many pages in front of the next one of the other, those of the other are asked for out of
/// turn, or all of the many would have to wait.
#[test]
fn few_pages_wait_to_be_read_however_far_apart_the_trees_are() {
    let memory = Memory::new();
    let many: Model = (0..16_000).map(|n| referrer(n, n)).collect();
    let (mut even, mut odd) = (Model::new(), Model::new());
    for (at, (key, value)) in many.into_iter().enumerate() {
        let to = if (at / 8_000).is_multiple_of(2) { &mut even } else { &mut odd };
        to.insert(key, value);
    }
    let [even_held, odd_held] = [&even, &odd].map(|model| filled(&memory, model.clone()));
    let all: Vec<&Key> = even.keys().chain(odd.keys()).collect();
    for (before, after) in [(&even_held, &odd_held), (&odd_held, &even_held)] {
        let mut found = diff::Differences::new(&before.base, &after.base);
        let (mut keys, mut most) = (Vec::new(), 0);
        while let Some(difference) = found.next() {
            keys.push(difference.unwrap().key);
            most = most.max(found.waiting_count());
        }
        assert!(
            keys.into_iter()
                .eq(all.iter().map(|key| PackedKey::of(key.as_str()).as_bytes().to_vec()))
        );
        let bound = diff::WAITING_COUNT_MAX..=diff::WAITING_COUNT_MAX + 2;
        assert!(bound.contains(&most), "{most} of {:?}", shape(before));
    }
}

fn page_count(catalog: &Catalog) -> usize {
    shape(catalog).values().sum()
}

#[test]
fn a_scan_tells_everything_in_front_of_an_error_however_far_it_has_read_ahead() {
    let memory = Memory::new();
    let held = filled(&memory, (0..5000).map(|n| referrer(n, n)));
    let mut leaves = Cursor::seek(&held.base, 0, &PackedKey::of("")).unwrap();
    let mut entries_in_front = 0;
    for _ in 0..shape(&held)[&0] {
        let leaf = leaves.node().unwrap();
        let page = memory.pages.lock().unwrap().remove(&leaf.digest).unwrap();
        let broken = memory.open(held.base.root.digest).unwrap();
        let mut items = broken.scan("");
        let good = items.by_ref().take_while(Result::is_ok).count();
        assert_eq!((good, items.count()), (entries_in_front, 0));
        memory.put(&[page]);
        entries_in_front += leaf.page.len();
        leaves.next_page().unwrap();
    }
    assert_eq!(entries_in_front, 5000);
}

#[test]
fn a_fingerprint_tells_whether_a_range_is_the_same_from_the_pages_at_its_ends() {
    let memory = Memory::new();
    let many = (0..3000).map(|n| (key(&format!("image/i{n}/v1")), descriptor(1)));
    let held = filled(&memory, many.chain((0..2000).map(|n| referrer(n, n))));
    let print = |catalog: &Catalog| catalog.fingerprint(&["release/", "image/"]).unwrap();
    let fresh = memory.open(held.base.root.digest).unwrap();
    let (expected, reads) = memory.reads(|| print(&fresh));
    assert!(reads <= 4 * shape(&held).len(), "{reads}");
    let changes = [
        ("image/a/v1", true),
        ("image/i1500/v1", true),
        ("image/z/v1", true),
        ("release/a/v1", true),
        ("evidence/a/v1/x", false),
        ("referrer/sha256:zz/x", false),
        ("releases/a", false),
    ];
    for (text, is_seen) in changes {
        let mut changed = held.clone();
        changed.insert(key(text), descriptor(2)).unwrap();
        let changed = memory.commit(&changed);
        assert_eq!(print(&changed) != expected, is_seen, "{text}");
    }
    assert_eq!(print(&memory.empty()), Catalog::fingerprint_of_nothing());
}

#[test]
fn a_scan_reads_as_far_as_it_is_followed_and_ends_at_an_error() {
    let memory = Memory::new();
    let held = filled(&memory, (0..5000).map(|n| referrer(n, n)));
    let levels = shape(&held).len();
    let fresh = memory.open(held.base.root.digest).unwrap();
    let (_, reads) = memory.reads(|| fresh.scan("").take(3).count());
    assert!(reads <= levels, "{reads}");
    let (_, reads) = memory.reads(|| fresh.scan("release/").count());
    assert!(reads <= levels, "{reads}");
    // The second leaf goes missing.
    let first = held.base.root.below(&held.base.pages, 0).unwrap().unwrap();
    let node = if first.page.level() == 0 { held.base.root.clone() } else { first };
    let second = node.page.child(1).unwrap();
    memory.pages.lock().unwrap().remove(&Digest::from_sha256(second.digest));
    let mut broken = memory.open(held.base.root.digest).unwrap();
    broken.insert(key("zzz"), descriptor(1)).unwrap();
    let items: Vec<_> = broken.scan("").collect();
    let (last, good) = items.split_last().unwrap();
    assert!(matches!(last, Err(StoreError::MissingBlob { .. })), "{last:?}");
    assert!(!good.is_empty() && good.iter().all(Result::is_ok));
}

#[test]
fn keys_that_end_no_page_make_pages_of_bounded_length() {
    let chosen = (0..).map(|n| format!("k/{n:07}"));
    let chosen = chosen.filter(|text| !ends_page(0, PackedKey::of(text).as_bytes()));
    let chosen: Vec<_> = chosen.take(3 * ENTRY_COUNT_MAX + 10).collect();
    let memory = Memory::new();
    let entries = chosen.iter().map(|text| (key(text), descriptor(1)));
    let held = filled(&memory, entries.clone());
    assert_eq!(shape(&held).get(&0), Some(&4));
    // One more in front moves every cut behind it, and one less moves them back.
    let mut more = held.clone();
    more.insert(key("a"), descriptor(1)).unwrap();
    let more = memory.commit(&more);
    let expected = filled(&Memory::new(), entries.chain([(key("a"), descriptor(1))]));
    assert_eq!(sealed_root(&more), sealed_root(&expected));
    let mut back = more;
    back.remove(&key("a")).unwrap();
    assert_eq!(sealed_root(&back), sealed_root(&held));
}

#[test]
fn damage_at_any_level_is_an_error_with_the_digest_and_never_another_answer() {
    let memory = Memory::new();
    let entries: Model = (0..3000).map(|n| referrer(n, n)).collect();
    let held = filled(&memory, entries.clone());
    let levels = shape(&held).len();
    let mut node = held.base.root.clone();
    for level in (0..levels).rev() {
        assert_eq!(usize::from(node.page.level()), level);
        let good = memory.pages.lock().unwrap().get(&node.digest).unwrap().clone();
        for damage in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[damage] ^= 4;
            memory.pages.lock().unwrap().insert(node.digest, bad);
            let is_told = |error: &StoreError| matches!(error, StoreError::Corrupt { digest, .. } if *digest == node.digest);
            match memory.open(held.base.root.digest) {
                Err(error) => assert!(level + 1 == levels && is_told(&error), "{error}"),
                Ok(broken) => {
                    let error = broken.scan("").find_map(Result::err).unwrap();
                    assert!(is_told(&error), "{error}");
                    for (key, value) in entries.iter().step_by(100) {
                        match broken.get(key) {
                            Ok(found) => assert_eq!(found.as_ref(), Some(value)),
                            Err(error) => assert!(is_told(&error), "{error}"),
                        }
                    }
                    let empty = memory.empty();
                    let last = broken.diff(&empty).last().unwrap();
                    assert!(is_told(&last.unwrap_err()));
                }
            }
        }
        memory.pages.lock().unwrap().insert(node.digest, good);
        if let Some(below) = node.below(&held.base.pages, node.page.children().len() / 2).unwrap() {
            node = below;
        }
    }
}

#[test]
fn what_no_page_can_hold_is_refused_at_the_entry() {
    let mut catalog = Memory::new().empty();
    let mut sha512 = descriptor(1);
    sha512.digest = Digest::sha512_of(b"x");
    let mut long = descriptor(1);
    long.annotations.insert("note".into(), "x".repeat(9000));
    for (value, is_expected) in [
        (sha512, (|e| matches!(e, CatalogError::NotSha256)) as fn(&CatalogError) -> bool),
        (long, |e| matches!(e, CatalogError::RestTooLarge { bytes } if *bytes > 9000)),
    ] {
        match catalog.insert(key("a"), value).unwrap_err() {
            StoreError::Entry { source, .. } => assert!(is_expected(&source), "{source}"),
            other => panic!("{other}"),
        }
    }
    assert!(catalog.is_empty() && !catalog.is_changed());
}
