//! Every change of one field of a good bundle is refused, or changes nothing that is recorded of it.
//!
//! What is recorded is the verdict without the digests of the document itself. A bundle can be written in
//! many ways that say the same; none of them may say anything else.

use bonded_testsigner::{BundleVersion, Content, Key, KeyKind, Log, Request};
use bonded_verify::{FileExpectation, Policy, Verdict};
use rayon::prelude::*;
use serde_json::Value;

use crate::{FILE, Stage, statement};

mod forms;
mod inside;

/// One step on the way to a field.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    At(usize),
}

/// A change, or nothing if it does not apply to such a value.
type Change = fn(&Value) -> Option<Value>;

const CHANGES: [(&str, Change); 12] = [
    ("empty", |value| match value {
        Value::String(_) => Some("".into()),
        Value::Array(_) => Some(Value::Array(Vec::new())),
        Value::Object(_) => Some(Value::Object(serde_json::Map::new())),
        _ => None,
    }),
    ("null", |_| Some(Value::Null)),
    ("first", |value| replaced(value, 0)),
    ("middle", |value| replaced(value, value.as_str()?.len() / 2)),
    ("near the end", |value| replaced(value, value.as_str()?.len().checked_sub(8)?)),
    ("last bit", |value| {
        replaced(value, value.as_str()?.trim_end_matches('=').len().checked_sub(1)?)
    }),
    ("cut", |value| {
        let text = value.as_str()?;
        Some(text.get(..text.len() / 2)?.into())
    }),
    ("longer", |value| Some(format!("{}AAAA", value.as_str()?).into())),
    ("plus one", |value| Some((value.as_str()?.parse::<i64>().ok()? + 1).to_string().into())),
    ("minus one", |value| Some((value.as_str()?.parse::<i64>().ok()? - 1).to_string().into())),
    ("twice", |value| {
        let mut items = value.as_array()?.clone();
        items.push(items.first()?.clone());
        Some(items.into())
    }),
    ("reversed", |value| {
        let mut items = value.as_array()?.clone();
        items.reverse();
        Some(items.into())
    }),
];

/// Another letter or digit at that place.
fn replaced(value: &Value, at: usize) -> Option<Value> {
    let text = value.as_str()?;
    let old = text.get(at..=at)?;
    let new = if old == "A" { "B" } else { "A" };
    Some(format!("{}{new}{}", text.get(..at)?, text.get(at + 1..)?).into())
}

fn fields(value: &Value, path: &[Step], found: &mut Vec<Vec<Step>>) {
    if !path.is_empty() {
        found.push(path.to_vec());
    }
    let below = |step| [path, &[step]].concat();
    match value {
        Value::Object(object) => {
            object
                .iter()
                .for_each(|(key, inner)| fields(inner, &below(Step::Key(key.clone())), found));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, inner)| fields(inner, &below(Step::At(at)), found));
        }
        _ => {}
    }
}

fn field<'v>(bundle: &'v mut Value, path: &[Step]) -> &'v mut Value {
    path.iter().fold(bundle, |value, step| match step {
        Step::Key(key) => value.get_mut(key).unwrap(),
        Step::At(at) => value.get_mut(at).unwrap(),
    })
}

fn dropped(bundle: &Value, path: &[Step]) -> Value {
    let mut bundle = bundle.clone();
    let (last, above) = path.split_last().unwrap();
    match (last, field(&mut bundle, above)) {
        (Step::Key(key), Value::Object(object)) => drop(object.remove(key)),
        (Step::At(at), Value::Array(items)) => drop(items.remove(*at)),
        _ => unreachable!("the path was found in this bundle"),
    }
    bundle
}

fn mutants(bundle: &Value) -> Vec<(String, Value)> {
    let mut paths = Vec::new();
    fields(bundle, &[], &mut paths);
    let mut mutants = Vec::new();
    for path in paths {
        mutants.push((format!("drop {path:?}"), dropped(bundle, &path)));
        for (name, change) in CHANGES {
            let mut mutant = bundle.clone();
            let value = field(&mut mutant, &path);
            if let Some(changed) = change(value).filter(|changed| changed != value) {
                *value = changed;
                mutants.push((format!("{name} {path:?}"), mutant));
            }
        }
    }
    mutants
}

/// What is recorded, without what names the document.
fn recorded(verdict: &Verdict) -> Value {
    let mut json: Value = serde_json::from_slice(&verdict.to_json()).unwrap();
    json["documents"] = Value::Null;
    json["evidence"] = Value::Null;
    json["artifacts"][0]["accepted"][0]["document"] = Value::Null;
    json
}

/// How many changes of one field there are, and those that pass.
fn check(bundle: &[u8], ask: impl Fn(&[u8]) -> Verdict + Sync) -> (usize, Vec<String>) {
    let mutants = mutants(&serde_json::from_slice(bundle).unwrap());
    let count = mutants.len();
    let written = mutants.into_iter().map(|(what, mutant)| (what, mutant.to_string().into_bytes()));
    (count, survivors(bundle, written.collect(), ask))
}

/// Those that pass; what is recorded of each is what is recorded of the document as it was.
fn survivors(
    document: &[u8],
    mutants: Vec<(String, Vec<u8>)>,
    ask: impl Fn(&[u8]) -> Verdict + Sync,
) -> Vec<String> {
    let before = ask(document);
    assert!(before.is_pass(), "{}", String::from_utf8(before.to_json()).unwrap());
    let before = recorded(&before);
    let passes = mutants.into_par_iter().filter_map(|(what, mutant)| {
        let after = ask(&mutant);
        if !after.is_pass() {
            return None;
        }
        assert_eq!(recorded(&after), before, "{what}");
        Some(what)
    });
    passes.collect()
}

/// Fields that nobody signed. What is written there is never recorded.
const UNSIGNED: [&str; 7] = [
    // The version, where the bundle has what every version asks for.
    "mediaType\")]",
    // Which key to speak of if none fits.
    "publicKey\")",
    // Certificates above the signer's are those of the trust root.
    "certificates\"), At(1)",
    // Rekor v2 takes these from the signed checkpoint.
    "inclusionProof\"), Key(\"logIndex\")]",
    "inclusionProof\"), Key(\"rootHash\")]",
    "inclusionProof\"), Key(\"treeSize\")]",
    // A digest that is there must be the file's, but it need not be there.
    "messageDigest\")]",
];

/// Those beside whom another one vouches, who says the same here.
const WITNESSES: [&str; 8] = [
    "tlogEntries\")]",
    "tlogEntries\"), At(0)]",
    "tlogEntries\"), At(1)]",
    "inclusionPromise\")]",
    "timestampVerificationData\")]",
    "rfc3161Timestamps\")]",
    "rfc3161Timestamps\"), At(0)]",
    "rfc3161Timestamps\"), At(1)]",
];

/// The middle of these is the certificate beside a token, or the name before a signature, where all that is inside of
/// them is changed more closely.
const CHANGED_INSIDE: [&str; 2] = ["signedTimestamp\")]", "checkpoint\"), Key(\"envelope\")]"];

fn is_harmless(change: &str) -> bool {
    let at = |fields: &[&str]| fields.iter().any(|field| change.contains(field));
    let gone = ["drop", "empty", "null"].iter().any(|how| change.starts_with(how));
    // More of the same counts once, in whatever order.
    let same = change.starts_with("twice") || change.starts_with("reversed");
    let inside = change.starts_with("middle") && at(&CHANGED_INSIDE);
    at(&UNSIGNED) || same || inside || gone && at(&WITNESSES)
}

/// One bundle of every version with every kind of content, log and clock.
fn requests(statement: &[u8]) -> Vec<Request<'_>> {
    let (paper, file) = (Content::Statement(statement), Content::File(FILE));
    let first: [(Content<'_>, &[Log], usize); 3] =
        [(paper, &[Log::V1], 0), (file, &[Log::V1], 1), (paper, &[Log::V2], 1)];
    let rest: [(Content<'_>, &[Log], usize); 4] = [
        (paper, &[Log::V1Intoto], 1),
        (file, &[Log::V2], 1),
        (paper, &[Log::V1, Log::V1Other], 0),
        (paper, &[Log::V1, Log::V2], 2),
    ];
    let of = |media_type| {
        move |(content, logs, timestamps)| Request {
            media_type,
            content,
            logs,
            timestamps,
            ..Request::default()
        }
    };
    let every = BundleVersion::ALL.into_iter().flat_map(|version| first.map(of(version)));
    let every = every.chain(rest.map(of(BundleVersion::V03)));
    // Version 0.1 rests on promises, and Rekor v2 makes none.
    every.filter(|one| one.media_type != BundleVersion::V01 || one.logs != [Log::V2]).collect()
}

#[test]
fn keyless_bundles() {
    let stage = Stage::new();
    let statement = statement();
    let mut odd = Vec::new();
    for request in requests(&statement) {
        let bundle = stage.world.keyless(&request).to_json();
        let (count, survivors) = check(&bundle, |bundle| stage.keyless(bundle, request.identity));
        assert!(count > 150, "{count}");
        let found = survivors.into_iter().filter(|change| !is_harmless(change));
        let of = (request.media_type, request.logs, request.timestamps);
        odd.extend(found.map(|change| format!("{of:?} {change}")));
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

/// With a log required, nothing takes away the time that it vouches for.
#[test]
fn managed_bundles_in_a_log() {
    let stage = Stage::new();
    let statement = statement();
    let key = Key::new(KeyKind::P256, "managed");
    let policy = format!(
        "version = 1\nname = \"keys\"\n[[signer]]\nname = \"k\"\npublic_key = '''\n{}'''\n\
         log = \"require\"\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n",
        key.public_pem()
    );
    let policy = Policy::parse(&policy).unwrap();
    let mut odd = Vec::new();
    for (logs, timestamps) in [(&[Log::V1], 0), (&[Log::V2], 1)] {
        let content = Content::Statement(&statement);
        let request = Request { content, logs, timestamps, ..Request::default() };
        let bundle = stage.world.managed(&key, &request).to_json();
        let ask = |bundle: &[u8]| stage.ask(&FileExpectation::Policy(&policy), bundle);
        let (count, survivors) = check(&bundle, ask);
        assert!(count > 100, "{count}");
        odd.extend(survivors.into_iter().filter(|change| !is_harmless(change)));
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn managed_bundles() {
    let stage = Stage::new();
    let statement = statement();
    let key = Key::new(KeyKind::P256, "managed");
    let content = Content::Statement(&statement);
    let requests = [
        Request { content, logs: &[], ..Request::default() },
        Request { content, timestamps: 1, ..Request::default() },
        Request { content: Content::File(FILE), logs: &[], ..Request::default() },
    ];
    let mut odd = Vec::new();
    for request in requests {
        let bundle = stage.world.managed(&key, &request).to_json();
        let (count, survivors) = check(&bundle, |bundle| stage.managed(bundle, &key));
        assert!(count > 30, "{count}");
        odd.extend(survivors.into_iter().filter(|change| !is_harmless(change)));
    }
    assert!(odd.is_empty(), "{odd:#?}");
}
