//! Bundles of a test signer: every valid variety passes, and every defect is refused for its own reason.

#![expect(clippy::unwrap_used, reason = "a test panics as it likes")]

use bonded_model::{Digest, Timestamp};
use bonded_testsigner::{
    Authority, BundleVersion, Content, Extensions, Key, KeyKind, Log, Request, World, envelope,
};
use bonded_verify::{
    FileExpectation, FileQuestion, PublicKey, TrustRoot, Verdict, Verifier, verify_file,
};

const FILE: &[u8] = b"hello";

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn statement() -> Vec<u8> {
    let digest = Digest::sha256_of(FILE).hex();
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","predicate":{{}},"predicateType":"https://example.com/t","subject":[{{"digest":{{"sha256":"{digest}"}},"name":"a"}}]}}"#
    )
    .into_bytes()
}

/// A world with the verifier that believes it.
struct Stage {
    world: World,
    verifier: Verifier,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        let root = TrustRoot::parse(&world.trusted_root()).unwrap();
        Self { world, verifier: Verifier::new(root).unwrap() }
    }

    fn ask(&self, expectation: &FileExpectation<'_>, bundle: &[u8]) -> Verdict {
        let digests = [Digest::sha256_of(FILE)];
        let question = FileQuestion {
            path: None,
            digests: &digests,
            size: None,
            bytes: Some(FILE),
            bundle,
            version: None,
            release_path: None,
        };
        verify_file(&self.verifier, expectation, &question, now())
    }

    fn keyless(&self, bundle: &[u8], identity: &str) -> Verdict {
        let issuer = Request::default().issuer;
        self.ask(&FileExpectation::Identity { san: identity, issuer }, bundle)
    }

    fn managed(&self, bundle: &[u8], key: &Key) -> Verdict {
        let key = PublicKey::from_pem(&key.public_pem()).unwrap();
        self.ask(&FileExpectation::Key(&key), bundle)
    }
}

#[track_caller]
fn passes(verdict: &Verdict, what: &str) {
    let text = String::from_utf8(verdict.to_json()).unwrap();
    assert!(verdict.is_pass() && verdict.findings().is_empty(), "{what}: {text}");
}

#[test]
fn every_version_with_every_log_passes() {
    let stage = Stage::new();
    let statement = statement();
    let logs: [(&[Log], usize); 7] = [
        (&[Log::V1], 0),
        (&[Log::V1], 2),
        (&[Log::V1Intoto], 0),
        (&[Log::V1, Log::V1Other], 0),
        (&[Log::V2], 1),
        (&[Log::V2, Log::V2Other], 2),
        (&[Log::V1, Log::V2], 1),
    ];
    for media_type in BundleVersion::ALL {
        for (logs, timestamps) in logs {
            for content in [Content::Statement(&statement), Content::File(FILE)] {
                let promised = logs.contains(&Log::V1) || logs.contains(&Log::V1Intoto);
                let of_statements = logs.contains(&Log::V1Intoto);
                if media_type == BundleVersion::V01 && !promised
                    || of_statements && matches!(content, Content::File(_))
                {
                    continue;
                }
                let request =
                    Request { media_type, logs, timestamps, content, ..Request::default() };
                let bundle = stage.world.keyless(&request).to_json();
                passes(&stage.keyless(&bundle, request.identity), &format!("{request:?}"));
            }
        }
    }
}

#[test]
fn every_certificate_passes() {
    let stage = Stage::new();
    let statement = statement();
    for authority in [Authority::Intermediate, Authority::Root] {
        for extensions in [Extensions::Both, Extensions::Old, Extensions::New] {
            for key in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa3072] {
                for identity in ["https://example.com/workflow@refs/tags/v1", "alice@example.com"] {
                    let content = Content::Statement(&statement);
                    let request = Request {
                        identity,
                        authority,
                        extensions,
                        key,
                        content,
                        ..Request::default()
                    };
                    let bundle = stage.world.keyless(&request).to_json();
                    passes(&stage.keyless(&bundle, identity), &format!("{request:?}"));
                }
            }
        }
    }
}

#[test]
fn every_managed_key_passes() {
    let stage = Stage::new();
    let statement = statement();
    let kinds =
        [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa3072, KeyKind::Rsa4096];
    for kind in kinds {
        let key = Key::new(kind, "managed");
        let bare = envelope(&[&key], bonded_model::media_type::IN_TOTO, &statement);
        passes(&stage.managed(&bare, &key), &format!("bare {kind:?}"));
        let logs: [(&[Log], usize); 4] =
            [(&[], 0), (&[], 1), (&[Log::V1], 0), (&[Log::V1Intoto], 1)];
        for (logs, timestamps) in logs {
            let content = Content::Statement(&statement);
            let request = Request { logs, timestamps, content, ..Request::default() };
            let bundle = stage.world.managed(&key, &request).to_json();
            passes(&stage.managed(&bundle, &key), &format!("{kind:?} {request:?}"));
        }
        let content = Content::File(FILE);
        let request = Request { logs: &[], content, ..Request::default() };
        let bundle = stage.world.managed(&key, &request).to_json();
        passes(&stage.managed(&bundle, &key), &format!("{kind:?} {request:?}"));
    }
}
