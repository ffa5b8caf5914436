//! Pages have one form, and stand where the page above promises.

use super::super::page::Child;
use super::*;

fn decode_error(bytes: &[u8]) -> CatalogError {
    Page::decode(bytes, &Rests::default()).expect_err("this is no page")
}

/// The page of one entry, `a` pointing to `descriptor(0)`, taken apart to be put together wrongly.
struct Parts {
    head: Vec<u8>,
    key: Vec<u8>,
    form: Vec<u8>,
    rest: Vec<u8>,
    digest: Vec<u8>,
    size: Vec<u8>,
}

impl Parts {
    fn new() -> Self {
        let rest = br#"{"mediaType":"application/octet-stream"}"#;
        Self {
            head: b"bcat\x01\x00\x01".to_vec(),
            key: b"\x00\x01a".to_vec(),
            form: vec![1],
            rest: [&[u8::try_from(rest.len()).unwrap()], rest.as_slice()].concat(),
            digest: Digest::sha256_of(&[0]).as_bytes().to_vec(),
            size: vec![1],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.head, &self.key, &self.form, &self.rest, &self.digest, &self.size]
            .map(Vec::as_slice)
            .concat()
    }
}

type IsExpected = fn(&CatalogError) -> bool;

/// What to do to the parts of a page, and what is to be told then.
type Damage = (&'static str, fn(&mut Parts), IsExpected);

fn check_refused(table: &[Damage]) {
    for (what, damage, is_expected) in table {
        let mut parts = Parts::new();
        damage(&mut parts);
        let error = decode_error(&parts.bytes());
        assert!(is_expected(&error), "{what}: {error:?}");
    }
}

#[test]
fn heads_and_keys_must_have_their_one_form() {
    let good = Parts::new().bytes();
    assert_eq!(good, encode(0, &[item("a", &descriptor(0))]));
    Page::decode(&good, &Rests::default()).unwrap();
    check_refused(&[
        ("magic", |p| p.head[0] = b'B', |e| matches!(e, CatalogError::NotAPage)),
        ("version", |p| p.head[4] = 2, |e| matches!(e, CatalogError::Version { found: 2 })),
        ("level", |p| p.head[5] = 25, |e| matches!(e, CatalogError::Level { found: 25 })),
        ("one entry less", |p| p.head[6] = 0, |e| matches!(e, CatalogError::Trailing { .. })),
        ("one entry more", |p| p.head[6] = 2, |e| matches!(e, CatalogError::Cut)),
        (
            "too many entries",
            |p| drop(p.head.splice(6.., [0x81, 0x02])),
            |e| matches!(e, CatalogError::EntryCount { found: 257 }),
        ),
        (
            "long count",
            |p| drop(p.head.splice(6.., [0x81, 0])),
            |e| matches!(e, CatalogError::Number),
        ),
        ("shared with nothing", |p| p.key[0] = 1, |e| matches!(e, CatalogError::Shared)),
        ("no key", |p| p.key = vec![0, 0], |e| matches!(e, CatalogError::Key { .. })),
        ("control character", |p| p.key[2] = 7, |e| matches!(e, CatalogError::Key { .. })),
        ("not UTF-8", |p| p.key[2] = 0xff, |e| matches!(e, CatalogError::Key { .. })),
        (
            "digest not packed",
            |p| {
                let text = Digest::sha256_of(b"x").to_string();
                p.key = [&[0, 71], text.as_bytes()].concat();
            },
            |e| matches!(e, CatalogError::Key { .. }),
        ),
        ("key beyond the end", |p| p.key[1] = 0x7f, |e| matches!(e, CatalogError::Cut)),
    ]);
    for end in 0..good.len() {
        let error = decode_error(&good[..end]);
        assert!(matches!(error, CatalogError::Cut | CatalogError::NotAPage), "{end}: {error:?}");
    }
}

#[test]
fn values_must_have_their_one_form() {
    check_refused(&[
        ("form of no rest", |p| p.form = vec![3], |e| matches!(e, CatalogError::RestForm)),
        ("digest left out", |p| p.form = vec![0], |e| matches!(e, CatalogError::DigestForm)),
        (
            "digest spelt out",
            |p| {
                let digest = Digest::sha256_of(&[0]);
                p.key = [&[0, 33, 1], digest.as_bytes()].concat();
            },
            |e| matches!(e, CatalogError::DigestForm),
        ),
        ("rest is no JSON", |p| p.rest[1] = b'[', |e| matches!(e, CatalogError::Rest(_))),
        ("empty rest", |p| p.rest = vec![0], |e| matches!(e, CatalogError::Rest(_))),
        (
            "rest with a space",
            |p| {
                p.rest =
                    [&[41], br#"{"mediaType": "application/octet-stream"}"#.as_slice()].concat()
            },
            |e| matches!(e, CatalogError::RestForm),
        ),
        (
            "rest with an empty map",
            |p| p.rest = [&[36], br#"{"annotations":{},"mediaType":"a/b"}"#.as_slice()].concat(),
            |e| matches!(e, CatalogError::RestForm),
        ),
        (
            "rest with an unknown field",
            |p| p.rest = [&[25], br#"{"mediaType":"a/b","x":1}"#.as_slice()].concat(),
            |e| matches!(e, CatalogError::Rest(_)),
        ),
        (
            "rest too long",
            |p| {
                let json = format!(
                    r#"{{"annotations":{{"a":"{}"}},"mediaType":"a/b"}}"#,
                    "x".repeat(9000)
                );
                let mut length = Vec::new();
                wire::put_number(&mut length, json.len());
                p.rest = [&length, json.as_bytes()].concat();
            },
            |e| matches!(e, CatalogError::RestTooLarge { .. }),
        ),
        ("digest cut", |p| p.digest.truncate(31), |e| matches!(e, CatalogError::Cut)),
        ("no size", |p| p.size.clear(), |e| matches!(e, CatalogError::Cut)),
        ("long size", |p| p.size = vec![0x80, 0], |e| matches!(e, CatalogError::Number)),
        ("more bytes", |p| p.size.push(0), |e| matches!(e, CatalogError::Trailing { bytes: 1 })),
    ]);
}

#[test]
fn rows_of_entries_must_have_their_one_form() {
    let pair = |first: &str, second: &str, contents: [u8; 2]| {
        encode(0, &[item(first, &descriptor(contents[0])), item(second, &descriptor(contents[1]))])
    };
    let check = |bytes: &[u8]| decode_error(bytes);
    Page::decode(&pair("a/b", "a/c", [0, 0]), &Rests::default()).unwrap();
    assert!(matches!(check(&pair("a/c", "a/b", [0, 0])), CatalogError::Order));
    assert!(matches!(check(&pair("a/b", "a/b", [0, 0])), CatalogError::Order));
    assert!(matches!(check(&pair("a/b", "a", [0, 0])), CatalogError::Order));
    // A digest is ordered as its text: behind `sha25`, in front of `sha257`.
    let digest = Digest::sha256_of(b"x").to_string();
    Page::decode(&pair("sha25", &digest, [0, 0]), &Rests::default()).unwrap();
    Page::decode(&pair(&digest, "sha257", [0, 0]), &Rests::default()).unwrap();
    assert!(matches!(check(&pair("sha257", &digest, [0, 0])), CatalogError::Order));
    // The second key shares two bytes; telling less is as wrong as telling more.
    let good = pair("a/b", "a/c", [0, 0]);
    let second = good.len() - (1 + 1 + 1 + 1 + 32 + 1);
    assert_eq!(good[second..second + 3], [2, 1, b'c']);
    let less = [&good[..second], &[1, 2, b'/', b'c'], &good[second + 3..]].concat();
    assert!(matches!(check(&less), CatalogError::Shared));
    let more = [&good[..second], &[4, 1, b'c'], &good[second + 3..]].concat();
    assert!(matches!(check(&more), CatalogError::Shared));
    // A rest that stands in the page is referred to, and one that does not cannot be.
    let rest = Parts::new().rest;
    let twice = [&good[..second + 3], &[1], rest.as_slice(), &good[second + 4..]].concat();
    assert!(matches!(check(&twice), CatalogError::RestForm));
    let none = [&good[..second + 3], &[5], &good[second + 4..]].concat();
    assert!(matches!(check(&none), CatalogError::RestForm));
}

fn ending(level: u8, from: &str) -> String {
    let named = (0..).map(|n| format!("{from}{n}"));
    named.into_iter().find(|text| ends_page(level, PackedKey::of(text).as_bytes())).unwrap()
}

#[test]
fn a_page_ends_where_a_key_says_so() {
    let first = ending(0, "k/a");
    let late = encode(0, &[item(&first, &descriptor(0)), item("k/b", &descriptor(0))]);
    assert!(matches!(decode_error(&late), CatalogError::EndsLate));
    let above = ending(1, "k/a");
    let child = PointsTo::Child(Child { digest: [7; 32], count: 1 });
    let items = |keys: [&str; 2]| {
        keys.map(|key| Item { key: PackedKey::of(key), points_to: child.clone() })
    };
    Page::decode(&encode(2, &items([&above, "k/b"])), &Rests::default()).unwrap_or_else(|error| {
        assert!(ends_page(2, PackedKey::of(&above).as_bytes()), "{error}");
        Page::decode(&encode(3, &items([&above, "k/b"])), &Rests::default()).unwrap()
    });
    let late = encode(1, &items([&above, "k/b"]));
    assert!(matches!(decode_error(&late), CatalogError::EndsLate));
    let empty = encode(1, &[]);
    assert!(matches!(decode_error(&empty), CatalogError::EntryCount { found: 0 }));
    let nothing_below = PointsTo::Child(Child { digest: [7; 32], count: 0 });
    let nothing = encode(1, &[Item { key: PackedKey::of("k"), points_to: nothing_below }]);
    assert!(matches!(decode_error(&nothing), CatalogError::EntryCount { found: 0 }));
}

/// A tree of two leaves and a page above, put together by hand, and read in full.
fn read_by_hand(
    leaves: [&[u8]; 2],
    above: impl Fn([Child; 2]) -> Vec<Item>,
) -> Result<Vec<(Key, Descriptor)>, StoreError> {
    let memory = Memory::new();
    let children = leaves.map(|leaf| {
        let count = Page::decode(leaf, &Rests::default()).unwrap().count();
        memory.put(&[leaf.to_vec()]);
        Child { digest: raw(&Digest::sha256_of(leaf)), count }
    });
    let root = encode(1, &above(children));
    memory.put(std::slice::from_ref(&root));
    memory.open(Digest::sha256_of(&root))?.scan("").collect()
}

#[test]
fn pages_must_be_what_the_page_above_promises() {
    let end = ending(0, "k/b");
    let leaf = |keys: &[&str]| {
        encode(0, &keys.iter().map(|key| item(key, &descriptor(0))).collect::<Vec<_>>())
    };
    let [first, second] = [leaf(&["k/a", &end]), leaf(&["k/x", "k/y"])];
    let above = |keys: [&str; 2], children: [Child; 2]| {
        let pairs = keys.into_iter().zip(children);
        let items = pairs.map(|(key, child)| Item {
            key: PackedKey::of(key),
            points_to: PointsTo::Child(child),
        });
        items.collect::<Vec<_>>()
    };
    let keys = [end.as_str(), "k/y"];
    let good = read_by_hand([&first, &second], |children| above(keys, children)).unwrap();
    assert_eq!(good.len(), 4);
    let check = |leaves: [&[u8]; 2], above: &dyn Fn([Child; 2]) -> Vec<Item>| match read_by_hand(
        leaves, above,
    )
    .unwrap_err()
    {
        StoreError::Catalog { source, .. } => source,
        other => panic!("{other}"),
    };
    let wrong_count = |mut children: [Child; 2]| {
        children[1].count += 1;
        above(keys, children)
    };
    assert!(matches!(check([&first, &second], &wrong_count), CatalogError::Promise));
    let wrong_key = |children| above([end.as_str(), "k/z"], children);
    assert!(matches!(check([&first, &second], &wrong_key), CatalogError::Promise));
    let early = leaf(&["k/a", "k/b"]);
    let is_early = |children| above(["k/b", "k/y"], children);
    assert!(matches!(check([&early, &second], &is_early), CatalogError::EndsEarly));
    let overlapping = leaf(&["k/a0", "k/y"]);
    let overlaps = |children| above(keys, children);
    assert!(matches!(check([&first, &overlapping], &overlaps), CatalogError::Overlap));
    let only_one = |children: [Child; 2]| above(keys, children)[1..].to_vec();
    assert!(matches!(check([&first, &second], &only_one), CatalogError::NeedlessTop));
    // A leaf two levels below, where one level is promised.
    let memory = Memory::new();
    memory.put(&[first.clone(), second.clone()]);
    let children =
        [&first, &second].map(|leaf| Child { digest: raw(&Digest::sha256_of(leaf)), count: 2 });
    let root = encode(2, &above(keys, children));
    memory.put(std::slice::from_ref(&root));
    let broken = memory.open(Digest::sha256_of(&root)).unwrap();
    let error = broken.get(&key("k/x")).unwrap_err();
    assert!(matches!(error, StoreError::Catalog { source: CatalogError::Promise, .. }), "{error}");
}
