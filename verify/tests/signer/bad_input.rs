//! Bad input, of every kind for every kind of document: each is refused, for a reason that can be told apart.

use bonded_model::limits::{EVIDENCE_BYTES_MAX, POLICY_BYTES_MAX, TRUST_ROOT_BYTES_MAX};
use bonded_testsigner::{Content, Key, KeyKind, Log, Request};
use bonded_verify::{
    Code, FileExpectation, FileQuestion, Policy, PolicyError, PublicKeyError, Severity, TrustRoot,
    TrustRootError, Verdict, Verifier, verify_file,
};
use serde_json::Value;

use crate::{FILE, Stage, statement};

/// What may be wrong with the bytes of a JSON document, whatever it says.
const SPOILT: [&str; 13] = [
    "empty",
    "cut",
    "huge",
    "deep",
    "key twice",
    "key twice, escaped",
    "key of the parser",
    "NaN",
    "infinite",
    "trailing bytes",
    "twice",
    "byte order mark",
    "not UTF-8",
];

/// A document that is a map, spoilt.
fn spoilt(good: &[u8], how: &str, bytes_max: u64) -> Vec<u8> {
    let open = good.strip_suffix(b"}").unwrap();
    let with = |more: &str| [open, more.as_bytes(), b"}"].concat();
    match how {
        "empty" => Vec::new(),
        "cut" => good[..good.len() / 2].to_vec(),
        "huge" => {
            let spaces = usize::try_from(bytes_max).unwrap() + 1 - good.len();
            [good, " ".repeat(spaces).as_bytes()].concat()
        }
        "deep" => with(&format!(",\"x\":{}{}", "[".repeat(10_000), "]".repeat(10_000))),
        "key twice" => with(",\"x\":1,\"x\":1"),
        "key twice, escaped" => with(",\"x\":1,\"\\u0078\":1"),
        "key of the parser" => with(",\"x\":{\"$serde_json::private::RawValue\":\"[1]\"}"),
        "NaN" => with(",\"x\":NaN"),
        "infinite" => with(",\"x\":1e999"),
        "trailing bytes" => [good, b"\0"].concat(),
        "twice" => [good, good].concat(),
        "byte order mark" => [b"\xef\xbb\xbf", good].concat(),
        "not UTF-8" => with(",\"x\":\"").into_iter().chain(*b"\xff\"}").collect(),
        _ => unreachable!("{how}"),
    }
}

/// The only finding that fails.
#[track_caller]
fn failure(verdict: &Verdict, what: &str) -> Code {
    let found = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    let found: Vec<_> = found.map(|finding| finding.code).collect();
    let [code] = found.as_slice() else { panic!("{what}: {found:?}") };
    assert!(!verdict.is_pass());
    *code
}

#[test]
fn bundles() {
    let stage = Stage::new();
    let statement = statement();
    let request = Request { content: Content::Statement(&statement), ..Request::default() };
    let good = stage.world.keyless(&request).to_json();
    for how in SPOILT {
        let verdict = stage.keyless(&spoilt(&good, how, EVIDENCE_BYTES_MAX), request.identity);
        let expected = if how == "huge" { Code::SigLimit } else { Code::SigMalformed };
        assert_eq!(failure(&verdict, how), expected, "{how}");
    }
}

type Variant = fn(&str) -> String;

/// Base64 that says the same in another way, or something else to another decoder.
const VARIANTS: [(&str, Variant); 6] = [
    ("wrapped", |text| {
        let (start, rest) = text.split_at(8);
        format!("{start}\n{rest}")
    }),
    ("spaced", |text| format!(" {text}")),
    ("without padding", |text| text.trim_end_matches('=').to_owned()),
    ("too much padding", |text| format!("{text}=")),
    ("for URLs", |text| text.replace('+', "-").replace('/', "_")),
    ("loose bits", |text| {
        let body = text.trim_end_matches('=');
        let (start, last) = body.split_at(body.len() - 1);
        let padding = "=".repeat(text.len() - body.len());
        format!("{start}{}{padding}", if last == "B" { "C" } else { "B" })
    }),
];

/// Each piece of a bundle in base64, in every variant that differs. None changes who is believed to have
/// said what.
#[test]
fn bundles_in_other_base64() {
    let stage = Stage::new();
    let statement = statement();
    let content = Content::Statement(&statement);
    let request = Request { content, timestamps: 1, ..Request::default() };
    let good: Value = serde_json::from_slice(&stage.world.keyless(&request).to_json()).unwrap();
    let entry = "/verificationMaterial/tlogEntries/0";
    let places = [
        "/dsseEnvelope/payload".to_owned(),
        "/dsseEnvelope/signatures/0/sig".to_owned(),
        "/verificationMaterial/certificate/rawBytes".to_owned(),
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp"
            .to_owned(),
        format!("{entry}/canonicalizedBody"),
        format!("{entry}/logId/keyId"),
        format!("{entry}/inclusionPromise/signedEntryTimestamp"),
        format!("{entry}/inclusionProof/rootHash"),
    ];
    let before_change = stage.keyless(good.to_string().as_bytes(), request.identity);
    let signer = |verdict: &Verdict| verdict.artifacts()[0].accepted[0].signer.clone();
    let mut tried = 0;
    for place in &places {
        for (how, change) in VARIANTS {
            let mut bundle = good.clone();
            let piece = bundle.pointer_mut(place).unwrap_or_else(|| panic!("{place}"));
            let before = piece.as_str().unwrap().to_owned();
            let changed = change(&before);
            if changed == before || (how == "loose bits" && !before.ends_with('=')) {
                continue;
            }
            *piece = changed.into();
            let verdict = stage.keyless(bundle.to_string().as_bytes(), request.identity);
            // JSON of protocol buffers may be without padding and for URLs, and then says the same.
            if verdict.is_pass() {
                assert!(["without padding", "for URLs"].contains(&how), "{place} {how}");
                assert_eq!(signer(&verdict), signer(&before_change), "{place} {how}");
            }
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
}

#[test]
fn statements() {
    let stage = Stage::new();
    let good = statement();
    for how in SPOILT {
        // As large as what carries it in base64 may be.
        let bytes = spoilt(&good, how, EVIDENCE_BYTES_MAX / 2);
        if how == "huge" {
            continue; // tested by the number of subjects, and by the bundle
        }
        let request = Request { content: Content::Statement(&bytes), ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        let code = failure(&stage.keyless(&bundle, request.identity), how);
        assert_eq!(code, Code::StmtMalformed, "{how}");
    }
}

#[test]
fn trust_roots() {
    let good = Stage::new().world.trusted_root();
    for how in SPOILT {
        let found = TrustRoot::parse(&spoilt(&good, how, TRUST_ROOT_BYTES_MAX));
        assert!(matches!(found, Err(TrustRootError::Json(_))), "{how} {found:?}");
    }
    type Edit = fn(&mut Value);
    // With what can be read and makes no sense.
    let edits: [(&str, bool, Edit); 8] = [
        ("a log without a beginning", false, |root| {
            root["tlogs"][0]["publicKey"]["validFor"].as_object_mut().unwrap().remove("start");
        }),
        ("an authority without a beginning", false, |root| {
            root["certificateAuthorities"][0]["validFor"].as_object_mut().unwrap().remove("start");
        }),
        ("a log that ends before it begins", true, |root| {
            root["tlogs"][0]["publicKey"]["validFor"] =
                serde_json::json!({"start": "2030-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z"});
        }),
        ("a time that is none", false, |root| {
            root["tlogs"][0]["publicKey"]["validFor"]["start"] = "2025-02-30T00:00:00Z".into();
        }),
        ("a key that is none", true, |root| {
            root["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into();
        }),
        ("a certificate that is none", true, |root| {
            root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] =
                "AAAA".into();
        }),
        ("a chain of none", true, |root| {
            root["certificateAuthorities"][0]["certChain"]["certificates"] = Value::Array(vec![]);
        }),
        ("base64 for URLs", false, |root| {
            let key = &mut root["tlogs"][0]["publicKey"]["rawBytes"];
            *key = format!("{}-_", key.as_str().unwrap()).into();
        }),
    ];
    for (what, is_read, edit) in edits {
        let mut root: Value = serde_json::from_slice(&good).unwrap();
        edit(&mut root);
        let found = TrustRoot::parse(root.to_string().as_bytes());
        match found.and_then(Verifier::new).map(|_| ()) {
            Err(TrustRootError::Unusable(_)) => assert!(is_read, "{what}"),
            Err(TrustRootError::Malformed(_)) => assert!(!is_read, "{what}"),
            other => panic!("{what} {other:?}"),
        }
    }
}

const POLICY: &str =
    "version = 1\nname = \"p\"\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n";

#[test]
fn policies() {
    assert!(Policy::parse(POLICY).is_ok());
    let long = POLICY.to_owned() + &" ".repeat(usize::try_from(POLICY_BYTES_MAX).unwrap());
    let too_large = Policy::parse(&long);
    assert!(matches!(too_large, Err(PolicyError::TooLarge { .. })), "{too_large:?}");
    let with = |more: &str| format!("{POLICY}{more}\n");
    let texts = [
        ("empty", String::new()),
        ("cut", POLICY.trim_end_matches("\"off\"\n").to_owned()),
        ("byte order mark twice", format!("\u{feff}\u{feff}{POLICY}")),
        ("trailing bytes", with("}")),
        ("NUL", with("\0")),
        ("twice", POLICY.repeat(2)),
        ("table twice", with("[sbom]")),
        ("key twice", with("rule = \"off\"")),
        ("key twice, in quotes", with("\"rule\" = \"off\"")),
        ("NaN", POLICY.replace("= 1", "= nan")),
        ("infinite", POLICY.replace("= 1", "= inf")),
        ("larger than a number", POLICY.replace("= 1", "= 99999999999999999999")),
        ("deep lists", with(&format!("x = {}{}", "[".repeat(5_000), "]".repeat(5_000)))),
        ("deep tables", with(&format!("x = {}1{}", "{a=".repeat(5_000), "}".repeat(5_000)))),
        ("deep keys", with(&format!("x{} = 1", ".a".repeat(5_000)))),
        ("deep headers", with(&format!("[x{}]", ".a".repeat(5_000)))),
        ("JSON", "{\"version\":1}".to_owned()),
    ];
    for (what, text) in texts {
        let found = Policy::parse(&text);
        assert!(matches!(found, Err(PolicyError::Toml(_))), "{what} {found:?}");
    }
    let key = Key::new(KeyKind::Ed25519, "k").public_pem();
    let signer = |pem: &str| {
        Policy::parse(&with(&format!("[[signer]]\nname = \"k\"\npublic_key = '''\n{pem}'''")))
    };
    assert!(signer(&key).is_ok());
    let body = key.lines().nth(1).unwrap();
    for (how, change) in VARIANTS {
        let changed = change(body);
        // PEM has lines and spaces, and its last bits say nothing.
        if changed != body && !["wrapped", "spaced", "loose bits"].contains(&how) {
            let found = signer(&key.replace(body, &changed));
            let refused =
                matches!(&found, Err(PolicyError::Key { source: PublicKeyError::Pem(_), .. }));
            assert!(refused, "{how} {found:?}");
        }
    }
}

/// The clock of a machine may be wrong, and `--at` may be anything: then less is believed, and never more.
#[test]
fn clocks_that_are_far_off() {
    let stage = Stage::new();
    let statement = statement();
    let content = Content::Statement(&statement);
    let ask = |expectation: &FileExpectation<'_>, bundle: &[u8], now: &str| {
        let digests = [bonded_model::Digest::sha256_of(FILE)];
        let question = FileQuestion {
            path: None,
            digests: &digests,
            size: None,
            bytes: Some(FILE),
            bundle,
            version: None,
            release_path: None,
        };
        verify_file(&stage.verifier, expectation, &question, now.parse().unwrap())
    };
    const EARLY: &str = "1970-01-01T00:00:00Z";
    const LATE: &str = "2100-01-01T00:00:00Z";
    for (logs, timestamps) in [(&[Log::V1], 0), (&[Log::V2], 1)] {
        let request = Request { content, logs, timestamps, ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        let expected = FileExpectation::Identity { san: request.identity, issuer: request.issuer };
        assert_eq!(failure(&ask(&expected, &bundle, EARLY), EARLY), Code::SigTime);
        // The certificate was good when it was used; how long that is enough for, an age says.
        assert!(ask(&expected, &bundle, LATE).is_pass());
    }
    let key = Key::new(KeyKind::P256, "managed");
    let policy = |window: &str| {
        let pem = key.public_pem();
        let signer = format!("[[signer]]\nname = \"k\"\npublic_key = '''\n{pem}'''\n{window}");
        Policy::parse(&format!("{POLICY}{signer}\n")).unwrap()
    };
    let request = Request { content, logs: &[], ..Request::default() };
    let bundle = stage.world.managed(&key, &request).to_json();
    let window = "valid_from = \"2025-01-01T00:00:00Z\"\nvalid_until = \"2027-01-01T00:00:00Z\"";
    for now in [EARLY, LATE, "0001-01-01T00:00:00Z", "9999-12-30T22:00:00Z"] {
        let open = policy("");
        assert!(ask(&FileExpectation::Policy(&open), &bundle, now).is_pass(), "{now}");
        let closed = policy(window);
        let verdict = ask(&FileExpectation::Policy(&closed), &bundle, now);
        assert_eq!(failure(&verdict, now), Code::IdValidity, "{now}");
    }
}
