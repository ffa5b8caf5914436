//! Changes inside of what bundles hold as text: bytes of certificates, signatures, promises, proofs and timestamps,
//! fields of statements and log entries, and lines of checkpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_testsigner::{BundleVersion, Content, Key, KeyKind, Log, Request};
use bonded_verify::Verdict;
use serde_json::Value;

use super::{Step, UNSIGNED, field, fields, mutants, survivors};
use crate::{FILE, Stage, statement};

/// Shorter texts are none in base64, though some can be read as such.
const BLOB_BYTES_MIN: usize = 16;

/// The places of texts that are bytes in base64, each with the bytes.
fn blobs(bundle: &Value) -> Vec<(Vec<Step>, Vec<u8>)> {
    let (mut paths, mut bundle) = (Vec::new(), bundle.clone());
    fields(&bundle, &[], &mut paths);
    let blobs = paths.into_iter().filter_map(|path| {
        let bytes = STANDARD.decode(field(&mut bundle, &path).as_str()?).ok()?;
        (bytes.len() >= BLOB_BYTES_MIN).then_some((path, bytes))
    });
    blobs.collect()
}

fn with(bundle: &Value, path: &[Step], text: String) -> Vec<u8> {
    let mut bundle = bundle.clone();
    *field(&mut bundle, path) = text.into();
    bundle.to_string().into_bytes()
}

/// The bundle with one bit of every so many bytes changed, in each of its blobs.
fn bits(bundle: &Value, every: usize) -> Vec<(String, Vec<u8>)> {
    let blobs = blobs(bundle).into_iter();
    let changed = blobs.flat_map(|(path, bytes)| {
        let places = (0..bytes.len()).step_by(every);
        let is_signed = signed(&bytes);
        let changed = places.map(move |at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at / every % 8);
            let what = if is_signed(at) { "byte" } else { "unsigned byte" };
            (format!("{what} {at} of {path:?}"), with(bundle, &path, STANDARD.encode(bytes)))
        });
        changed.collect::<Vec<_>>()
    });
    changed.collect()
}

/// Which bytes somebody signed: of a timestamp (RFC 3161, RFC 5652) what it states, the signed attributes and the
/// signature; of anything else all.
fn signed(bytes: &[u8]) -> impl Fn(usize) -> bool + use<> {
    const TST_INFO: [u8; 13] = [6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 16, 1, 4];
    const CONTENT_TYPE: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 3];
    const ECDSA: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let find = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle);
    let parts = find(&TST_INFO).map(|statement| {
        let statement = statement + TST_INFO.len() + 4;
        let attributes = find(&CONTENT_TYPE).expect("a timestamp has attributes");
        let algorithm = bytes.windows(ECDSA.len()).rposition(|window| window == ECDSA);
        let algorithm = algorithm.expect("it is signed with one of these");
        let length = usize::from(bytes[statement - 1]);
        let algorithm = algorithm..algorithm + ECDSA.len();
        (statement..statement + length, attributes, algorithm)
    });
    move |at| {
        parts.as_ref().is_none_or(|(statement, attributes, algorithm)| {
            statement.contains(&at) || at >= *attributes && !algorithm.contains(&at)
        })
    }
}

/// The bundle with one field changed of what is JSON inside of it.
fn nested(bundle: &Value) -> Vec<(String, Vec<u8>)> {
    let inner = blobs(bundle).into_iter().filter_map(|(path, bytes)| {
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        Some((path, value))
    });
    let changed = inner.flat_map(|(path, value)| {
        let changed = mutants(&value).into_iter().map(move |(what, value)| {
            let text = STANDARD.encode(value.to_string());
            (format!("{what} in {path:?}"), with(bundle, &path, text))
        });
        changed.collect::<Vec<_>>()
    });
    changed.collect()
}

/// The bundle with one line, or one letter, of each of its checkpoints changed.
fn noted(bundle: &Value) -> Vec<(String, Vec<u8>)> {
    let (mut paths, mut copy) = (Vec::new(), bundle.clone());
    fields(bundle, &[], &mut paths);
    let checkpoints = paths.into_iter().filter_map(|path| {
        let text = field(&mut copy, &path).as_str()?.to_owned();
        text.contains('\n').then_some((path, text))
    });
    let changed = checkpoints.flat_map(|(path, text)| {
        let changed = lines(&text).into_iter().chain(letters(&text));
        changed.map(|(what, text)| (what, with(bundle, &path, text))).collect::<Vec<_>>()
    });
    changed.collect()
}

fn lines(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut changed = Vec::new();
    for at in 0..lines.len() {
        let mut with = |what: &str, new: Vec<&str>| {
            let text = [&lines[..at], &new, &lines[at + 1..]].concat().concat();
            changed.push((format!("line {at} {what}"), text));
        };
        with("gone", vec![]);
        with("twice", vec![lines[at], lines[at]]);
        with("behind a blank", vec!["\n", lines[at]]);
        with("behind another", vec!["other\n", lines[at]]);
        with("another", vec!["other\n"]);
        with("without end", vec![lines[at].trim_end()]);
        with("with a space", vec![lines[at].trim_end(), " \n"]);
        with("with a return", vec![lines[at].trim_end(), "\r\n"]);
        if at > 0 {
            let mut lines = lines.clone();
            lines.swap(at - 1, at);
            changed.push((format!("line {at} one up"), lines.concat()));
        }
    }
    changed
}

fn letters(text: &str) -> Vec<(String, String)> {
    let letters: Vec<char> = text.chars().collect();
    let dash = letters.iter().position(|letter| *letter == '\u{2014}').expect("it is signed");
    let places = (0..letters.len()).filter(|at| letters[*at].is_ascii_graphic());
    let changed = places.map(|at| {
        let is_name =
            at > dash && letters[dash..at].iter().filter(|letter| **letter == ' ').count() == 1;
        let what = if is_name { "letter of a name" } else { "letter" };
        let mut letters = letters.clone();
        letters[at] = if letters[at] == '1' { '2' } else { '1' };
        (format!("{what} {at}"), letters.into_iter().collect())
    });
    changed.collect()
}

/// Changes all that is inside of a bundle, in one bit of every so many bytes.
fn check(bundle: &[u8], every: usize, ask: impl Fn(&[u8]) -> Verdict + Sync) -> Vec<String> {
    let value: Value = serde_json::from_slice(bundle).unwrap();
    let (bits, nested, noted) = (bits(&value, every), nested(&value), noted(&value));
    assert!(bits.len() > 500 / every && nested.len() > 10, "{} {}", bits.len(), nested.len());
    let count = value["verificationMaterial"]["tlogEntries"].as_array().map_or(0, Vec::len);
    assert!(noted.len() > count * 100, "{}", noted.len());
    survivors(bundle, [bits, nested, noted].concat(), ask)
}

/// What nobody signed, and where nothing is recorded from: a checkpoint is signed up to the blank line, and whose
/// the signature is says its key.
fn is_harmless(change: &str) -> bool {
    let at = |fields: &[&str]| fields.iter().any(|field| change.contains(field));
    let around_the_signature = [
        "line 3 twice",
        "line 3 behind a blank",
        "line 4 twice",
        "line 4 behind a blank",
        "line 4 without end",
        "line 4 with a space",
        "line 4 with a return",
        "letter of a name",
    ];
    change.contains("unsigned byte") || at(&UNSIGNED) || at(&around_the_signature)
}

#[test]
fn all_that_is_inside_of_keyless_bundles() {
    let stage = Stage::new();
    let statement = statement();
    let (paper, file) = (Content::Statement(&statement), Content::File(FILE));
    let rows: [(BundleVersion, Content<'_>, &[Log], usize, usize); 5] = [
        (BundleVersion::V03, paper, &[Log::V1], 1, 3),
        (BundleVersion::V03, paper, &[Log::V2], 1, 9),
        (BundleVersion::V03, paper, &[Log::V1Intoto], 0, 9),
        (BundleVersion::V02, file, &[Log::V1], 0, 9),
        (BundleVersion::V03Parameter, file, &[Log::V2], 1, 9),
    ];
    let mut odd = Vec::new();
    for (media_type, content, logs, timestamps, every) in rows {
        let request = Request { media_type, content, logs, timestamps, ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        let found = check(&bundle, every, |bundle| stage.keyless(bundle, request.identity));
        let found = found.into_iter().filter(|change| !is_harmless(change));
        odd.extend(found.map(|change| format!("{media_type:?} {logs:?} {change}")));
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn all_that_is_inside_of_managed_bundles() {
    let stage = Stage::new();
    let statement = statement();
    let mut odd = Vec::new();
    for kind in [KeyKind::P256, KeyKind::Ed25519] {
        let key = Key::new(kind, "managed");
        let content = Content::Statement(&statement);
        let request = Request { content, timestamps: 1, ..Request::default() };
        let bundle = stage.world.managed(&key, &request).to_json();
        let found = check(&bundle, 7, |bundle| stage.managed(bundle, &key));
        let found = found.into_iter().filter(|change| !is_harmless(change));
        odd.extend(found.map(|change| format!("{kind:?} {change}")));
    }
    assert!(odd.is_empty(), "{odd:#?}");
}
