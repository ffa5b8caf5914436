//! What must be refused: bundles that are wrong in one way, by the class of attack, each with the code of
//! the finding and a part of the reason.

use bonded_model::media_type::IN_TOTO;
use bonded_testsigner::{Content, Defect, Key, KeyKind, Log, Request, envelope};
use bonded_verify::{
    Code, FileExpectation, PolicyError, PublicKey, PublicKeyError, Severity, Verdict,
};

use crate::{FILE, Stage, passes, statement};

/// A request that would pass without defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// A statement in Rekor v1.
    V1,
    /// The same with an `intoto` entry.
    Intoto,
    /// A file in Rekor v1.
    File,
    /// A statement in Rekor v1, stamped.
    V1Stamped,
    /// A statement in Rekor v2, stamped.
    V2,
    /// A file in Rekor v2, stamped.
    V2File,
    /// A statement in two logs, stamped twice; the defect is that of the second.
    Twice,
}

use Base::{File, Intoto, Twice, V1, V1Stamped, V2, V2File};

/// Whatever is logged, and whatever is stamped.
const LOGGED: &[Base] = &[V1, Intoto, File, V2, V2File, Twice];
const PROMISED: &[Base] = &[V1, Intoto, File, V1Stamped];
const STAMPED: &[Base] = &[V1Stamped, V2, V2File, Twice];
const OF_FILES: &[Base] = &[File, V2File];
const OF_STATEMENTS: &[Base] = &[V1, Intoto, V2, Twice];

impl Base {
    fn request<'a>(self, statement: &'a [u8]) -> Request<'a> {
        let (logs, timestamps): (&[Log], usize) = match self {
            V1 | File => (&[Log::V1], 0),
            Intoto => (&[Log::V1Intoto], 0),
            V1Stamped => (&[Log::V1], 1),
            V2 | V2File => (&[Log::V2], 1),
            Twice => (&[Log::V1, Log::V2], 2),
        };
        let content = match self {
            File | V2File => Content::File(FILE),
            _ => Content::Statement(statement),
        };
        Request { logs, timestamps, content, ..Request::default() }
    }
}

#[track_caller]
fn fails(verdict: &Verdict, code: Code, seen: &str, what: &str) {
    let text = String::from_utf8(verdict.to_json()).unwrap();
    let found = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    let found: Vec<_> = found.collect();
    let [finding] = found.as_slice() else { panic!("{what}: {text}") };
    assert_eq!(finding.code, code, "{what}: {text}");
    let both = format!("{} / {}", finding.expected, finding.seen);
    assert!(both.contains(seen), "{what}: {seen:?} is not in {both:?}");
    assert!(!verdict.is_pass(), "{what}");
}

type Row = (Defect, &'static [Base], Code, &'static str);

fn check(rows: &[Row]) {
    let stage = Stage::new();
    let statement = statement();
    for (defect, bases, code, seen) in rows {
        for base in *bases {
            let request = base.request(&statement);
            let draft = stage.world.keyless(&request);
            passes(&stage.keyless(&draft.to_json(), request.identity), &format!("{base:?}"));
            let verdict = stage.keyless(&draft.with(*defect).to_json(), request.identity);
            fails(&verdict, *code, seen, &format!("{defect:?} {base:?}"));
        }
    }
}

/// An entry that belongs to something else.
#[test]
fn stapled_entries() {
    check(&[
        (Defect::EntryOfAnotherSignature, LOGGED, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherArtifact, LOGGED, Code::SigLog, "match"),
        (Defect::EntryOfAnotherSigner, LOGGED, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherCertificate, &[V1, File, V2], Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherCertificate, &[Intoto], Code::SigLog, "in the log entry / another"),
    ]);
}

/// Promises and the times in them.
#[test]
fn promises() {
    check(&[
        (Defect::PromiseForged, PROMISED, Code::SigLog, "SET verification failed"),
        (Defect::PromiseOfAnotherTime, PROMISED, Code::SigLog, "SET verification failed"),
        (Defect::NoPromise, &[V1, Intoto, File], Code::SigTime, "no verified timestamp"),
        (Defect::IntegratedLate, PROMISED, Code::SigCertificate, "CertExpired"),
        (Defect::PromiseOfNoTime, &[V1Stamped], Code::SigLog, "a promise of no time"),
        (Defect::PromiseOfSecond, &[V2, V2File], Code::SigLog, "a promise by Rekor v2"),
    ]);
}

/// Checkpoints and proofs.
#[test]
fn checkpoints_and_proofs() {
    check(&[
        (Defect::CheckpointForged, LOGGED, Code::SigLog, "No valid Rekor signature"),
        (Defect::CheckpointOfAnotherTree, LOGGED, Code::SigLog, "root hash"),
        (Defect::CheckpointOfAnotherOrigin, LOGGED, Code::SigLog, "other.example"),
        (Defect::CheckpointOfAnotherSize, &[V1, Intoto, File], Code::SigLog, "tree of 8"),
        (Defect::ProofOfAnotherSize, &[V1, Intoto, File], Code::SigLog, "one in a tree of 8"),
        (Defect::ProofOfAnotherLeaf, LOGGED, Code::SigLog, "inclusion proof verification failed"),
        (Defect::ProofHashWrong, LOGGED, Code::SigLog, "root hash mismatch"),
        (Defect::NoProof, LOGGED, Code::SigLog, "without inclusion proof"),
        (Defect::NoCheckpoint, LOGGED, Code::SigLog, "without checkpoint"),
    ]);
}

/// Whose log it is.
#[test]
fn logs() {
    check(&[
        (Defect::UnknownLog, PROMISED, Code::SigLog, "No log key"),
        (Defect::UnknownLog, &[V2, V2File, Twice], Code::SigLog, "No matching Rekor key"),
        (Defect::RetiredLog, PROMISED, Code::SigLog, "No log key valid"),
        (Defect::RetiredLog, &[V2, V2File, Twice], Code::SigLog, "to 2024-12-31T23:59:59Z"),
        (Defect::IdOfAnotherLog, PROMISED, Code::SigLog, "No log key valid"),
        (Defect::IdOfAnotherLog, &[V2, V2File, Twice], Code::SigLog, "one of another log"),
    ]);
}

/// A version that does not ask for a proof.
#[test]
fn downgrades() {
    check(&[(Defect::Downgraded, LOGGED, Code::SigLog, "without inclusion proof")]);
}

/// Timestamps.
#[test]
fn timestamps() {
    check(&[
        (Defect::StampLate, STAMPED, Code::SigCertificate, "CertExpired"),
        (Defect::StampEarly, STAMPED, Code::SigCertificate, "CertNotValidYet"),
        (Defect::StampOfAnotherSignature, STAMPED, Code::SigTime, "message hash mismatch"),
        (Defect::StampOfUnknownAuthority, STAMPED, Code::SigTime, "of the trust root / another"),
        (Defect::StampOfRetiredAuthority, STAMPED, Code::SigTime, "outside the validity period"),
        (Defect::StampOfLapsedAuthority, STAMPED, Code::SigTime, "CertExpired"),
        (Defect::StampBelowLapsedRoot, STAMPED, Code::SigTime, "outside the validity period"),
        (Defect::StampWithoutUsage, STAMPED, Code::SigTime, "RequiredEkuNotFound"),
        (Defect::StampForged, STAMPED, Code::SigTime, "signature invalid"),
        (Defect::StampOfOtherContent, STAMPED, Code::SigTime, "1.2.840.113549.1.7.1"),
    ]);
}

/// Certificates of the wrong time, authority or use, and their timestamps of a certificate log.
#[test]
fn certificates() {
    let both = &[V1, File, V2];
    check(&[
        (Defect::CertificateExpired, both, Code::SigCertificate, "CertExpired"),
        (Defect::CertificateNotYetValid, both, Code::SigCertificate, "CertNotValidYet"),
        (Defect::UnknownAuthority, both, Code::SigCertificate, "UnknownIssuer"),
        (Defect::RetiredAuthority, both, Code::SigCertificate, "to 2024-12-31T23:59:59Z"),
        (Defect::LapsedIntermediate, both, Code::SigCertificate, "to 2024-12-31T23:59:59Z"),
        (Defect::NoCodeSigning, both, Code::SigCertificate, "RequiredEkuNotFound"),
        (Defect::NoDigitalSignature, both, Code::SigCertificate, "without this usage"),
        (Defect::LeafIsAuthority, both, Code::SigCertificate, "CaUsedAsEndEntity"),
        (Defect::ChainInThird, LOGGED, Code::SigMalformed, "version 0.3 / a chain"),
        (Defect::NoSct, both, Code::SigCertificate, "missing SCT"),
        (Defect::SctForged, both, Code::SigCertificate, "SCT signature verification failed"),
        (Defect::SctOfAnotherCertificate, both, Code::SigCertificate, "signature invalid"),
        (Defect::SctOfUnknownLog, both, Code::SigCertificate, "key not found or not valid"),
        (Defect::SctOfRetiredLog, both, Code::SigCertificate, "key not found or not valid"),
    ]);
}

/// A certificate that can be read in more than one way.
#[test]
fn identities() {
    let both = &[V1, File, V2];
    check(&[
        (Defect::NoName, both, Code::SigCertificate, "an identity in the certificate / none"),
        (Defect::TwoNames, both, Code::SigCertificate, "one identity in the certificate / 2"),
        (Defect::OtherName, both, Code::SigCertificate, "a name of another kind"),
        (Defect::EmailLikeUri, both, Code::SigCertificate, "an e-mail address / https://"),
        (Defect::NoIssuer, both, Code::SigCertificate, "an issuer in the certificate / none"),
        (Defect::IssuersDisagree, both, Code::SigCertificate, "https://other.example"),
        (Defect::ClaimsDisagree, both, Code::SigCertificate, "o/other, as the older"),
        (Defect::ClaimMalformed, both, Code::SigCertificate, "1.3.6.1.4.1.57264.1.12"),
        (Defect::ExtensionTwice, both, Code::SigCertificate, "1.3.6.1.4.1.57264.1.8 twice"),
    ]);
}

/// The signature itself, what it is over, and how both are written.
#[test]
fn signatures_and_payloads() {
    check(&[
        (Defect::SignatureForged, LOGGED, Code::SigInvalid, "signature invalid"),
        (Defect::SignedByAnotherKey, LOGGED, Code::SigInvalid, "signature invalid"),
        (Defect::SecondSignature, OF_STATEMENTS, Code::SigMalformed, "exactly one signature"),
        (Defect::PayloadChanged, OF_STATEMENTS, Code::SigInvalid, "signature invalid"),
        (Defect::PayloadSpaced, OF_STATEMENTS, Code::SigInvalid, "signature invalid"),
        (Defect::PayloadTypeChanged, OF_STATEMENTS, Code::SigUnsupported, "vnd.example+json"),
        (Defect::DigestOfAnotherFile, OF_FILES, Code::SigSubject, "message digest"),
        (Defect::Base64Wrapped, LOGGED, Code::SigMalformed, "invalid base64"),
        (Defect::KeyTwice, LOGGED, Code::SigMalformed, "stands twice"),
        (Defect::TrailingBytes, LOGGED, Code::SigMalformed, "trailing characters"),
        (Defect::ByteOrderMark, LOGGED, Code::SigMalformed, "expected value"),
    ]);
}

/// A payload that was signed as something else is not read as a statement.
#[test]
fn payloads_of_another_type() {
    let stage = Stage::new();
    let statement = statement();
    for kind in ["application/json", "application/vnd.in-toto+json; charset=utf-8", ""] {
        let content = Content::Payload { kind, bytes: &statement };
        let request = Request { content, ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        fails(&stage.keyless(&bundle, request.identity), Code::SigUnsupported, kind, kind);
    }
}

/// Rekor v2 has had a kind of its own for envelopes, which nothing can verify.
#[test]
fn an_entry_of_an_unknown_kind() {
    let stage = Stage::new();
    let statement = statement();
    let content = Content::Statement(&statement);
    let request = Request { content, logs: &[Log::V2Dsse], timestamps: 1, ..Request::default() };
    let bundle = stage.world.keyless(&request).to_json();
    fails(&stage.keyless(&bundle, request.identity), Code::SigUnsupported, "dsse 0.0.2", "kind");
}

/// A signature under another root is nobody's, and so is one for somebody else.
#[test]
fn another_root_and_another_identity() {
    let stage = Stage::new();
    let statement = statement();
    let request = Request { content: Content::Statement(&statement), ..Request::default() };
    let bundle = stage.world.keyless(&request).to_json();
    let other = request.identity.replace("v1", "v10");
    fails(&stage.keyless(&bundle, &other), Code::IdSubject, request.identity, "identity");
    fails(
        &Stage::public_good().keyless(&bundle, request.identity),
        Code::SigLog,
        "No log key",
        "root",
    );
}

/// Entries, promises, checkpoints and timestamps beside managed keys.
#[test]
fn managed_keys() {
    let stage = Stage::new();
    let statement = statement();
    let rows: [(Defect, &[Log], usize, Code, &str); 23] = [
        (Defect::SignatureForged, &[], 0, Code::SigInvalid, "signature invalid"),
        (Defect::SignatureForged, &[Log::V1], 0, Code::SigInvalid, "signature invalid"),
        (Defect::SignedByAnotherKey, &[], 0, Code::SigInvalid, "signature invalid"),
        (Defect::PayloadChanged, &[], 0, Code::SigInvalid, "signature invalid"),
        (Defect::PayloadSpaced, &[], 1, Code::SigInvalid, "signature invalid"),
        (Defect::HintOfAnotherKey, &[], 0, Code::SigKey, "by another key"),
        (Defect::EntryOfAnotherSignature, &[Log::V1], 0, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherArtifact, &[Log::V1], 0, Code::SigLog, "mismatch"),
        (Defect::EntryOfAnotherSigner, &[Log::V1], 0, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherSigner, &[Log::V1Intoto], 0, Code::SigLog, "does not match"),
        (Defect::EntryOfAnotherSigner, &[Log::V2], 1, Code::SigLog, "does not match"),
        (Defect::PromiseForged, &[Log::V1], 0, Code::SigLog, "SET verification failed"),
        (Defect::NoProof, &[Log::V1], 0, Code::SigLog, "without inclusion proof"),
        (Defect::Downgraded, &[Log::V1], 0, Code::SigLog, "without inclusion proof"),
        (Defect::CheckpointForged, &[Log::V2], 0, Code::SigLog, "No valid Rekor signature"),
        (Defect::RetiredLog, &[Log::V2], 1, Code::SigLog, "to 2024-12-31T23:59:59Z"),
        (Defect::RetiredLog, &[Log::V2], 0, Code::SigLog, "to 2024-12-31T23:59:59Z / no time"),
        (Defect::PromiseOfSecond, &[Log::V2], 0, Code::SigLog, "a promise by Rekor v2"),
        (Defect::NoPromise, &[Log::V1], 0, Code::SigLog, "neither"),
        (Defect::UnknownLog, &[Log::V2], 0, Code::SigLog, "No matching Rekor key"),
        (Defect::StampOfAnotherSignature, &[], 1, Code::SigTime, "message hash mismatch"),
        (Defect::StampOfUnknownAuthority, &[Log::V1], 1, Code::SigTime, "/ another"),
        (Defect::StampOfOtherContent, &[], 1, Code::SigTime, "1.2.840.113549.1.7.1"),
    ];
    for kind in [KeyKind::P256, KeyKind::Ed25519] {
        let key = Key::new(kind, "managed");
        for (defect, logs, timestamps, code, seen) in rows {
            if logs == [Log::V2] && kind != KeyKind::P256 {
                continue; // Rekor v2 holds no others that the library reads
            }
            let content = Content::Statement(&statement);
            let request = Request { logs, timestamps, content, ..Request::default() };
            let what = format!("{kind:?} {defect:?} {logs:?}");
            let draft = stage.world.managed(&key, &request);
            passes(&stage.managed(&draft.to_json(), &key), &what);
            if defect == Defect::HintOfAnotherKey {
                // The hint chooses no key: it only tells which one to speak of when none fits.
                passes(&stage.managed(&draft.with(defect).to_json(), &key), &what);
                let other = Key::new(kind, "another managed");
                fails(&stage.managed(&draft.with(defect).to_json(), &other), code, seen, &what);
                continue;
            }
            fails(&stage.managed(&draft.with(defect).to_json(), &key), code, seen, &what);
        }
    }
}

/// Of several signatures on a bare envelope one by the key is enough, wherever it stands.
#[test]
fn bare_envelopes() {
    let stage = Stage::new();
    let statement = statement();
    let (ours, theirs) = (Key::new(KeyKind::P256, "ours"), Key::new(KeyKind::P256, "theirs"));
    passes(&stage.managed(&envelope(&[&ours], IN_TOTO, &statement), &ours), "alone");
    for keys in [[&ours, &theirs], [&theirs, &ours]] {
        let verdict = stage.managed(&envelope(&keys, IN_TOTO, &statement), &ours);
        let [noted] = verdict.findings() else { panic!("{:?}", verdict.findings()) };
        assert_eq!((noted.code, noted.severity), (Code::SigKey, Severity::Note));
        assert!(verdict.is_pass() && noted.seen.starts_with("1 of 2 signatures"), "{noted:?}");
    }
    for keys in [vec![], vec![&theirs], vec![&theirs, &theirs]] {
        let bundle = envelope(&keys, IN_TOTO, &statement);
        let verdict = stage.managed(&bundle, &ours);
        assert!(!verdict.is_pass(), "{}", String::from_utf8(verdict.to_json()).unwrap());
    }
}

/// A bare envelope counts without being named, and claims no log; who wants one says so of the signer.
#[test]
fn bare_envelopes_where_a_log_is_required() {
    let stage = Stage::new();
    let key = Key::new(KeyKind::P256, "managed");
    let envelope = envelope(&[&key], IN_TOTO, &statement());
    for (log, is_refused) in
        [("", false), ("log = \"if-present\"", false), ("log = \"require\"", true)]
    {
        let policy = format!(
            "version = 1\nname = \"keys\"\n[[signer]]\nname = \"k\"\npublic_key = '''\n{}'''\n\
             {log}\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n",
            key.public_pem()
        );
        let policy = bonded_verify::Policy::parse(&policy).unwrap();
        let verdict = stage.ask(&FileExpectation::Policy(&policy), &envelope);
        match is_refused {
            true => fails(&verdict, Code::SigLog, "an entry in a transparency log / none", log),
            false => passes(&verdict, log),
        }
    }
}

#[test]
fn short_rsa_keys() {
    let stage = Stage::new();
    let statement = statement();
    let key = KeyKind::Rsa2048;
    let request = Request { key, content: Content::Statement(&statement), ..Request::default() };
    let bundle = stage.world.keyless(&request).to_json();
    let verdict = stage.keyless(&bundle, request.identity);
    fails(&verdict, Code::SigCertificate, "3072 bits or more / 2048 bits", "in a certificate");
    let error = PublicKey::from_pem(&Key::new(key, "").public_pem()).unwrap_err();
    assert!(matches!(error, PublicKeyError::Weak { bits: 2048 }), "{error}");
}

/// What is odd and changes nothing: base64 in both alphabets is one number, and what stands twice counts
/// once.
#[test]
fn harmless_oddities_pass() {
    let stage = Stage::new();
    let statement = statement();
    let harmless = [
        (Defect::Base64UrlSafe, LOGGED),
        (Defect::Base64Unpadded, LOGGED),
        (Defect::EntryTwice, LOGGED),
        (Defect::StampTwice, STAMPED),
        (Defect::NoPromise, &[V1Stamped]),
    ];
    for (defect, bases) in harmless {
        for base in bases {
            let request = base.request(&statement);
            let bundle = stage.world.keyless(&request).with(defect).to_json();
            passes(&stage.keyless(&bundle, request.identity), &format!("{defect:?} {base:?}"));
        }
    }
}

/// Nothing switches the log off, whatever else vouches for the time.
#[test]
fn certificates_without_log() {
    let stage = Stage::new();
    let statement = statement();
    for content in [Content::Statement(&statement), Content::File(FILE)] {
        for timestamps in [0, 2] {
            let request = Request { content, logs: &[], timestamps, ..Request::default() };
            let bundle = stage.world.keyless(&request).to_json();
            let verdict = stage.keyless(&bundle, request.identity);
            fails(&verdict, Code::SigLog, "no log entry", &format!("{timestamps}"));
        }
    }
}

/// What is well signed is still no statement, or one about something else.
#[test]
fn signed_nonsense() {
    let stage = Stage::new();
    let good = String::from_utf8(statement()).unwrap();
    let hex = bonded_model::Digest::sha256_of(FILE).hex();
    let other = bonded_model::Digest::sha256_of(b"other").hex();
    let edited = |from: &str, to: &str| good.replacen(from, to, 1);
    let rows = [
        (String::new(), Code::StmtMalformed, ""),
        ("{}".to_owned(), Code::StmtMalformed, ""),
        ("null".to_owned(), Code::StmtMalformed, ""),
        ("[]".to_owned(), Code::StmtMalformed, ""),
        (format!("[{good}]"), Code::StmtMalformed, ""),
        (format!("{good}{good}"), Code::StmtMalformed, "trailing"),
        (format!("\u{feff}{good}"), Code::StmtMalformed, ""),
        (edited("\"predicate\":{}", "\"predicate\":NaN"), Code::StmtMalformed, ""),
        (edited("{\"_type\"", "{\"_type\":\"x\",\"_type\""), Code::StmtMalformed, "twice"),
        (edited("Statement/v1", "Statement/v9"), Code::StmtMalformed, "v9"),
        (edited("Statement/v1", "Statement/v1/"), Code::StmtMalformed, "v1/"),
        (edited("sha256", "sha1"), Code::StmtDigest, "sha1"),
        (edited("sha256", "md5"), Code::StmtDigest, "md5"),
        (edited("sha256", "SHA256"), Code::StmtDigest, "SHA256"),
        (edited("sha256", "sha512"), Code::StmtMalformed, ""),
        (edited(&hex, &other), Code::SigSubject, &other),
    ];
    for (payload, code, seen) in rows {
        let content = Content::Statement(payload.as_bytes());
        let request = Request { content, ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        fails(&stage.keyless(&bundle, request.identity), code, seen, &payload);
    }
}

/// An identity is compared as a whole, and so is its issuer.
#[test]
fn identities_that_are_nearly_right() {
    let stage = Stage::new();
    let statement = statement();
    let wanted = Request::default().identity;
    let nearly = [
        wanted.replace("https", "http"),
        wanted.replace("/o/r/", "/o/r-fork/"),
        wanted.replace("/o/r/", "/O/r/"),
        wanted.replace("refs/tags/v1", "refs/heads/v1"),
        wanted.replace("refs/tags/v1", "refs/tags/v10"),
        wanted.replace("workflows/", "workflows/../workflows/"),
        format!("{wanted} "),
        format!("{wanted}\u{0}"),
    ];
    for identity in &nearly {
        let content = Content::Statement(&statement);
        let request = Request { identity, content, ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        fails(&stage.keyless(&bundle, wanted), Code::IdSubject, "", identity);
    }
    for issuer in ["https://token.actions.githubusercontent.com/", "https://accounts.example.com"] {
        let content = Content::Statement(&statement);
        let request = Request { issuer, content, ..Request::default() };
        let bundle = stage.world.keyless(&request).to_json();
        fails(&stage.keyless(&bundle, wanted), Code::IdIssuer, issuer, issuer);
    }
}

/// A managed key outside the time for which the policy trusts it, by authenticated times.
#[test]
fn managed_keys_out_of_time() {
    let stage = Stage::new();
    let statement = statement();
    let key = Key::new(KeyKind::P256, "managed");
    let content = Content::Statement(&statement);
    let rows: [(&[Log], usize, &str, Option<&str>); 13] = [
        (&[Log::V1], 0, "valid_until = \"2025-06-01T12:00:01Z\"", None),
        (&[Log::V1], 0, "valid_until = \"2025-06-01T12:00:00Z\"", Some("signed at 2025-06-01")),
        (&[], 1, "valid_from = \"2025-06-01T12:00:01Z\"", Some("signed at 2025-06-01")),
        (&[Log::V2], 1, "valid_until = \"2025-01-01T00:00:00Z\"", Some("signed at 2025-06-01")),
        // Without anybody who vouches for a time, it is the time of the verdict that counts.
        (&[], 0, "valid_until = \"2026-01-01T00:00:00Z\"", Some("used at the time of the verdict")),
        // What stands in a log has been given a time, which can be left out.
        (&[Log::V2], 0, "valid_from = \"2025-07-01T00:00:00Z\"", Some("/ no time")),
        (&[Log::V2], 0, "valid_until = \"2027-01-01T00:00:00Z\"", Some("/ no time")),
        (&[], 0, "log = \"require\"", Some("an entry in a transparency log / none")),
        // A log of the second version says that it has a signature, and nothing of when.
        (&[Log::V1], 0, "log = \"require\"", None),
        (&[Log::V2], 1, "log = \"require\"", None),
        (&[Log::V2], 0, "log = \"require\"", Some("has to be in a log / no time")),
        (&[Log::V2], 0, "logs = 1", Some("has to be in a log / no time")),
        (&[Log::V2], 0, "log = \"if-present\"", None),
    ];
    for (logs, timestamps, window, seen) in rows {
        let request = Request { content, logs, timestamps, ..Request::default() };
        let bundle = stage.world.managed(&key, &request).to_json();
        let policy = format!(
            "version = 1\nname = \"keys\"\n[[signer]]\nname = \"k\"\npublic_key = '''\n{}'''\n\
             {window}\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n",
            key.public_pem()
        );
        let policy = bonded_verify::Policy::parse(&policy).unwrap();
        let verdict = stage.ask(&FileExpectation::Policy(&policy), &bundle);
        match seen {
            None => passes(&verdict, window),
            Some(seen) if seen.ends_with("log / no time") => {
                fails(&verdict, Code::SigTime, seen, window);
            }
            Some(seen) if window.starts_with("log") => fails(&verdict, Code::SigLog, seen, window),
            Some(seen) => fails(&verdict, Code::IdValidity, seen, window),
        }
    }
}

/// Of those who vouch each counts once, however often a bundle names it.
#[test]
fn numbers_of_witnesses() {
    let stage = Stage::new();
    let statement = statement();
    let request = Request::default();
    let policy = |number: &str| {
        let text = format!(
            "version = 1\nname = \"witnesses\"\n[[signer]]\nname = \"w\"\nissuer = \"{}\"\n\
             identity = \"{}\"\n{number}\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n",
            request.issuer, request.identity
        );
        bonded_verify::Policy::parse(&text)
    };
    let twice = Some(Defect::EntryTwice);
    let stamped_twice = Some(Defect::StampTwice);
    let one_log = Some((Code::SigLog, "2 different transparency logs / 1"));
    let one_clock = Some((Code::SigTime, "2 different timestamp authorities / 1"));
    type Expected = Option<(Code, &'static str)>;
    type Row = (&'static [Log], usize, Option<Defect>, &'static str, Expected);
    let rows: [Row; 8] = [
        (&[Log::V1, Log::V2], 1, None, "logs = 2", None),
        (&[Log::V1, Log::V1Other], 0, None, "logs = 2", None),
        (&[Log::V1], 0, None, "logs = 2", one_log),
        (&[Log::V1], 0, twice, "logs = 2", one_log),
        (&[Log::V1, Log::V1Intoto], 0, None, "logs = 2", one_log),
        (&[Log::V2], 2, None, "timestamps = 2", None),
        (&[Log::V2], 1, stamped_twice, "timestamps = 2", one_clock),
        (&[Log::V1], 0, None, "timestamps = 1", Some((Code::SigTime, "authorities / 0"))),
    ];
    for (logs, timestamps, defect, number, expected) in rows {
        let content = Content::Statement(&statement);
        let draft = stage.world.keyless(&Request { content, logs, timestamps, ..request });
        let bundle = defect.map_or(draft, |defect| draft.with(defect)).to_json();
        let policy = policy(number).unwrap();
        let verdict = stage.ask(&FileExpectation::Policy(&policy), &bundle);
        let what = format!("{logs:?} {timestamps} {defect:?}");
        match expected {
            None => passes(&verdict, &what),
            Some((code, seen)) => fails(&verdict, code, seen, &what),
        }
    }
    for number in ["logs = 0", "timestamps = 0", "logs = 100000"] {
        let found = policy(number);
        assert!(matches!(found, Err(PolicyError::Signer { .. })), "{number} {found:?}");
    }
    for number in ["logs = -1", "logs = \"2\""] {
        let found = policy(number);
        assert!(matches!(found, Err(PolicyError::Toml(_))), "{number} {found:?}");
    }
}
