//! Bundles of a test signer: every valid variety passes, every defect is refused for its own reason, and no
//! change to a bundle changes what is recorded of it.

#![expect(clippy::unwrap_used, reason = "a test panics as it likes")]

use bonded_model::{Digest, Timestamp};
use bonded_testsigner::{Key, Request, World};
use bonded_verify::{
    FileExpectation, FileQuestion, PublicKey, TrustRoot, Verdict, Verifier, verify_file,
};

mod bad_input;
mod files;
mod legacy;
mod mutated;
mod refused;
mod roots;
mod same;
mod summary;
mod valid;

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

    /// The same signer before somebody who does not know it.
    fn public_good() -> Self {
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        Self { world: World::new(), verifier }
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
