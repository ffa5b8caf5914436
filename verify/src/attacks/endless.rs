//! Attacks by size, by patterns that mean more than they seem to, and by what documents ask somebody to fetch.

use bonded_model::limits::{
    DIGEST_SET_COUNT_MAX, LINE_COUNT_MAX, LOG_ENTRY_COUNT_MAX, SIGNATURE_COUNT_MAX,
    SUBJECT_COUNT_MAX,
};
use serde_json::{Value, json};

use super::{
    BUILDER, Case, Code, FILE, IN_TOTO, Key, attached, built, by_holder, provenance, refused,
    signed, text_of,
};
use crate::identity::Holder;
use crate::{Policy, PolicyError};

/// A document costs its bytes and no more: what it has too many of is refused by the number.
#[test]
fn nothing_is_endless() {
    let good = text_of(&provenance(FILE, |_| {}));
    let subject = good.split_once("\"subject\":[").unwrap().1.split_once("]}").unwrap().0;
    let subjects = |one: &str, count: usize| {
        let many = vec![one; count].join(",");
        signed(good.replacen(subject, &many, 1).as_bytes())
    };
    assert!(subjects(subject, SUBJECT_COUNT_MAX).verdict().is_pass());
    refused("a subject more", subjects(subject, SUBJECT_COUNT_MAX + 1), &[Code::StmtMalformed]);
    let million = subjects(r#"{"digest":{"a":""}}"#, 1_000_000);
    refused("a million subjects", million, &[Code::StmtMalformed]);
    let set: serde_json::Map<String, Value> =
        (0..=DIGEST_SET_COUNT_MAX).map(|at| (format!("a{at}"), json!("00"))).collect();
    let many = good.replacen(subject, &json!({"digest": set}).to_string(), 1);
    refused("digests of a subject", signed(many.as_bytes()), &[Code::StmtMalformed]);
    let deep = |open: &str, close: &str| {
        let nested = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        signed(
            good.replacen("\"runDetails\"", &format!("\"x\":{nested},\"runDetails\""), 1)
                .as_bytes(),
        )
    };
    refused("a deep list", deep("[", "]"), &[Code::StmtMalformed]);
    refused("a deep map", deep("{\"a\":", "}"), &[Code::StmtMalformed]);
    let line = Key::from_seed(1).bundle(good.as_bytes());
    let lines = |count: usize| attached(&vec![line.clone(); count].join(&b'\n'));
    refused("a line more", lines(LINE_COUNT_MAX + 1), &[Code::SigLimit]);
    let mut envelope = Key::from_seed(1).envelope(IN_TOTO, good.as_bytes());
    envelope.signatures = vec![envelope.signatures[0].clone(); SIGNATURE_COUNT_MAX + 1];
    refused("a signature more", attached(&envelope.to_bytes()), &[Code::SigLimit]);
    let mut entries: Value = serde_json::from_slice(&line).unwrap();
    let entry = json!({"logIndex": "0"});
    entries["verificationMaterial"]["tlogEntries"] = json!(vec![entry; LOG_ENTRY_COUNT_MAX + 1]);
    refused("a log entry more", attached(entries.to_string().as_bytes()), &[Code::SigLimit]);
}

/// A pattern of an identity means the whole of it, and what it does not know as a sign is a letter.
#[test]
fn a_pattern_is_not_more_than_it_says() {
    let named = |line: &str, identity: &str| {
        let identity = identity.to_owned();
        let mut case = by_holder(|holder: &mut Holder| holder.identity = identity, |_| {});
        case.edit(&format!("identity = \"{BUILDER}\""), line);
        case
    };
    let regex =
        |pattern: &str, identity: &str| named(&format!("identity_regex = '{pattern}'"), identity);
    let rows = [
        (r"https://example\.com/builder", "https://example.com/builder2"),
        (r"https://example\.com/builder", "x https://example.com/builder"),
        (r"https://example\.com/builder", "https://example.com/builder\nx"),
        (r"https://example\.com/builder", "https://EXAMPLE.com/builder"),
        // An alternative is not anchored by its neighbours.
        (r"https://example\.com/a|https://example\.com/b", "https://example.com/a/evil"),
        (r"https://example\.com/a|https://example\.com/b", "evil/https://example.com/b"),
        // Lines are not what is matched.
        (r"(?m)^https://example\.com/a$", "x\nhttps://example.com/a\nx"),
        (r"https://example\.com/[^/]+", "https://example.com/a/b"),
    ];
    for (pattern, identity) in rows {
        refused(identity, regex(pattern, identity), &[Code::IdSubject]);
    }
    let glob =
        |pattern: &str, identity: &str| named(&format!("identity_glob = '{pattern}'"), identity);
    let rows = [
        ("https://example.com/*", "https://example.com/a/b"),
        ("https://example.com/*", "https://example.com.evil.example/a"),
        // Classes, alternatives and single letters are those of other tools.
        ("https://example.com/[ab]", "https://example.com/a"),
        ("https://example.com/[!x]", "https://example.com/a"),
        ("https://example.com/[^x]", "https://example.com/a"),
        ("https://example.com/{a,b}", "https://example.com/a"),
        ("https://example.com/?", "https://example.com/a"),
        (r"https://example.com/\*", "https://example.com/*"),
    ];
    for (pattern, identity) in rows {
        refused(identity, glob(pattern, identity), &[Code::IdSubject]);
    }
}

/// A regular expression takes time that grows with the text, whatever its repetitions are; those that would
/// take much memory are refused before.
#[test]
fn a_slow_pattern_is_refused_or_ends() {
    let policy = |pattern: &str| {
        let signer =
            format!("[[signer]]\nname = \"x\"\nissuer = \"i\"\nidentity_regex = '{pattern}'\n");
        let mut case = Case::bare();
        case.edit("[[builder]]", &format!("{signer}[[builder]]"));
        Policy::parse(&case.policy)
    };
    for huge in ["((a{1,100}){1,100}){1,100}", r"(\w{1,500}){1,500}", "a{1000000000}"] {
        let found = policy(huge).map(|_| ());
        assert!(matches!(found, Err(PolicyError::Pattern { .. })), "{huge} {found:?}");
    }
    // What a matcher that goes back needs longer for than the world has existed.
    let identity = "a".repeat(5_000) + "!";
    for slow in ["(a+)+", "(a|a)*", "(a*)*b", "(.*)(.*)(.*)(.*)x", "a?".repeat(100).as_str()] {
        let mut case =
            by_holder(|holder: &mut Holder| holder.identity.clone_from(&identity), |_| {});
        case.edit(&format!("identity = \"{BUILDER}\""), &format!("identity_regex = '{slow}'"));
        refused(slow, case, &[Code::IdSubject]);
    }
    let stars = "*a".repeat(40);
    let mut case = by_holder(|holder: &mut Holder| holder.identity.clone_from(&identity), |_| {});
    case.edit(&format!("identity = \"{BUILDER}\""), &format!("identity_glob = '{stars}'"));
    refused("stars", case, &[Code::IdSubject]);
}

/// A URL in a document is a text: it is compared, and leads nowhere. What would follow one is not here to be
/// asked, since this crate has no sockets; the program is tested with a listener beside.
#[test]
fn a_url_is_compared_and_not_followed() {
    for url in ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://[::1]:1/"]
    {
        let id = |p: &mut Value| p["runDetails"]["builder"]["id"] = json!(url);
        refused(url, built(id), &[Code::ProvBuilder]);
        let source = |p: &mut Value| {
            p["buildDefinition"]["externalParameters"]["source"]["uri"] = json!(url);
        };
        refused(url, built(source), &[Code::ProvSource, Code::ProvRef]);
        let kind = provenance(FILE, |_| {}).predicate_type;
        let text = text_of(&provenance(FILE, |_| {})).replace(&kind, url);
        refused(url, signed(text.as_bytes()), &[Code::ProvMissing]);
    }
}
