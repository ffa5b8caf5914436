//! Documents on their way to a verdict, through `verify_file` and `verify_release`.
//!
//! The signer of the tests made the trust root and the key here; whoever reads its sources can sign.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::{Arc, LazyLock};

use bonded_model::cosign::Layer;
use bonded_model::detached::{self, Files};
use bonded_model::evidence::Subject;
use bonded_model::{
    Artifact, Descriptor, Digest, Document, DocumentKind, Evidence, MediaType, Release, Timestamp,
};
use bonded_verify::policy::propose;
use bonded_verify::{
    CacheKey, CacheQuestion, FileExpectation, FileQuestion, Policy, PublicKey, Severity, TrustRoot,
    Verdict, Verifier, verify_file, verify_release,
};

/// What the bundles of the corpus are about.
pub(super) const FILE: &[u8] = b"hello";

pub(super) const KEY: &str = include_str!("key.pem");

const ROOT: &[u8] = include_bytes!("trusted_root.json");

pub(super) const IDENTITY: &str =
    "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1";

pub(super) const ISSUER: &str = "https://token.actions.githubusercontent.com";

pub(super) static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    Verifier::new(TrustRoot::parse(ROOT).expect("a trust root")).expect("a verifier")
});

static PUBLIC_GOOD: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(TrustRoot::public_good()).expect("a verifier"));

static SIGNER: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::from_pem(KEY).expect("a public key"));

pub(super) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().expect("a time")
}

/// A bundle, an envelope, or lines of them, as the papers of one file.
pub fn bundle(bytes: &[u8]) {
    let identity = FileExpectation::Identity { san: IDENTITY, issuer: ISSUER };
    drop(ask(&VERIFIER, &identity, bytes));
    drop(ask(&VERIFIER, &FileExpectation::Key(&SIGNER), bytes));
    drop(ask(&PUBLIC_GOOD, &identity, bytes));
}

pub(super) fn ask(verifier: &Verifier, expectation: &FileExpectation<'_>, bytes: &[u8]) -> Verdict {
    let digests = [Digest::sha256_of(FILE), Digest::sha512_of(FILE)];
    let question = FileQuestion {
        path: None,
        digests: &digests,
        size: None,
        bytes: Some(FILE),
        bundle: bytes,
        version: None,
        release_path: None,
    };
    let verdict = verify_file(verifier, expectation, &question, now());
    hold(&verdict);
    verdict
}

/// What is so of every verdict.
fn hold(verdict: &Verdict) {
    let failed = verdict.findings().iter().any(|found| found.severity == Severity::Fail);
    assert_eq!(verdict.is_pass(), !failed && !verdict.artifacts().is_empty());
    assert!(!verdict.to_json().is_empty());
}

/// A signature in the annotations of a layer, as cosign kept it.
pub fn cosign_layer(bytes: &[u8]) {
    if let Ok(layer) = Layer::parse(bytes) {
        let again = Layer::parse(&layer.to_bytes()).expect("what is written can be read");
        assert_eq!(again.to_bytes(), layer.to_bytes());
        drop(Layer::of(&layer.annotations, layer.content));
    }
    evidence(bytes);
}

/// A signature with the files beside it that verifies, from the corpus.
const FILES: &[u8] = include_bytes!("../corpus/cosign_files/good");

/// A policy of whoever made it.
fn of_files() -> Policy {
    let text = format!(
        "version = 1\nname = \"p\"\n[[signer]]\nname = \"a\"\nissuer = \"{ISSUER}\"\n\
         identity = \"{IDENTITY}\"\nlegacy = [\"cosign-files\", \"promise-only\"]\n\
         [provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n"
    );
    Policy::parse(&text).expect("a policy")
}

/// A signature with certificate and log entry in files beside it: all of it, and each piece by itself among good
/// ones.
pub fn cosign_files(bytes: &[u8]) {
    let policy = of_files();
    let judge = |files: &Files<'_>| {
        let expectation = FileExpectation::Policy(&policy);
        ask(&VERIFIER, &expectation, &files.to_bytes());
    };
    if let Ok(files) = Files::parse(bytes) {
        let again = Files::parse(&files.to_bytes()).expect("what is written can be read");
        assert_eq!(again, files);
        judge(&files);
    }
    let good = Files::parse(FILES).expect("good files");
    let piece = || Cow::Borrowed(bytes);
    judge(&Files { signature: piece(), ..good.clone() });
    judge(&Files { certificates: vec![piece()], ..good.clone() });
    judge(&Files { entries: vec![piece()], ..good });
    if let Ok(name) = std::str::from_utf8(bytes) {
        black_box(detached::piece_of(name));
    }
    evidence(bytes);
}

/// That the files of the corpus verify: then changes of them get as far.
pub(super) fn reach() {
    let policy = of_files();
    let verdict = ask(&VERIFIER, &FileExpectation::Policy(&policy), FILES);
    assert!(verdict.is_pass(), "{}", String::from_utf8_lossy(&verdict.to_json()));
}

/// A layout or link of in-toto; read where the cargo feature `in-toto` is on.
pub fn metablock(bytes: &[u8]) {
    evidence(bytes);
}

/// Layouts are asked for where they can be read.
const LAYOUT: &str = if cfg!(feature = "in-toto") { "[layout]\nsigners = [\"key\"]\n" } else { "" };

/// The body of a verdict that was kept, with its tag made right.
pub fn cached_verdict(bytes: &[u8]) {
    const SECRET: [u8; 32] = [7; 32];
    const OPEN: &str =
        "version = 1\nname = \"p\"\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n";
    let policy = Policy::parse(OPEN).expect("a policy");
    let release = release();
    let question = CacheQuestion {
        program: "a program",
        release: release.name(),
        papers: Digest::sha256_of(b"papers"),
        policy: policy.digest(),
        trust_root: VERIFIER.trust_root_digest(),
    };
    let key = CacheKey::new(SECRET);
    let evidence = Evidence { release: release.clone(), documents: Vec::new() };
    let reached = verify_release(&VERIFIER, &policy, &evidence, now());
    let kept = reached.to_cache(&question, &key).expect("it lasts");
    let read = |bytes: &[u8]| Verdict::from_cache(bytes, &question, &key, now());
    assert_eq!(read(&kept).expect("it was kept").to_json(), reached.to_json());
    assert!(read(bytes).is_none(), "nobody who has no key made a tag");
    let tag = blake3::keyed_hash(&SECRET, bytes);
    if let Some(verdict) = read(&[tag.as_bytes(), bytes].concat()) {
        hold(&verdict);
        drop(verdict.admit(release));
    }
}

const KINDS: [DocumentKind; 10] = [
    DocumentKind::Bundle,
    DocumentKind::Envelope,
    DocumentKind::Statement,
    DocumentKind::Spdx,
    DocumentKind::CycloneDx,
    DocumentKind::Checksums,
    DocumentKind::Metablock,
    DocumentKind::Signature,
    DocumentKind::Certificate,
    DocumentKind::LogEntry,
];

/// A document of every kind beside a file, under a policy that asks for everything, and takes a provenance
/// by the checksum of these bytes.
pub fn evidence(bytes: &[u8]) {
    let policy = Policy::parse(&everything(bytes)).expect("a policy");
    drop(ask(&VERIFIER, &FileExpectation::Policy(&policy), bytes));
    let documents = KINDS.into_iter().map(|kind| document(kind, bytes)).collect();
    let evidence = Evidence { release: release(), documents };
    hold(&verify_release(&VERIFIER, &policy, &evidence, now()));
    drop(propose(&VERIFIER, &evidence, &[], now()));
}

/// A policy that asks for everything, and takes a provenance by the checksum of these bytes.
fn everything(bytes: &[u8]) -> String {
    format!(
        r#"version = 1
name = "everything"
[[signer]]
name = "key"
public_key = '''
{KEY}'''
legacy = ["promise-only", "cosign-signature", "cosign-attestation", "cosign-files"]
[[signer]]
name = "workflow"
issuer = "{ISSUER}"
identity = "{IDENTITY}"
legacy = ["promise-only", "cosign-signature", "cosign-attestation", "cosign-files"]
[[verifier]]
id = "https://example.com/verifier"
signers = ["key", "workflow"]
level = 3
max_age = "7d"
resource = "pkg:generic/{{project}}@{{version}}#{{path}}"
[[builder]]
id = "https://example.com/builder"
signers = ["key", "workflow"]
level = 3
[[unsigned]]
digest = "{}"
reason = "a document of the corpus"
builder = "https://example.com/builder"
level = 1
[provenance]
level = 1
source = "https://github.com/o/r"
tag = "{{version}}"
build_types = ["https://example.com/build/v1"]
parameters = ["source"]
inputs = {{ a = "b" }}
parameter_values = {{ source = 1 }}
source_id = "7"
source_owner_id = "8"
dependencies = ["git+https://github.com/**"]
[npm]
package = "@o/r"
signers = ["key"]
[sbom]
formats = ["spdx", "cyclonedx"]
[checksums]
rule = "require"
[release]
platforms = ["linux/amd64"]
[[require]]
name = "tests"
predicate = ["https://in-toto.io/attestation/test-result/v0.1"]
of = "artifacts"
signers = ["key"]
[[expression]]
name = "all that is said"
of = "artifacts"
cel = '''statements.all(s, has(s.predicate) && size(s.signers) >= 0) && (provenance == null || has(provenance.predicate))'''
{LAYOUT}"#,
        Digest::sha256_of(bytes)
    )
}

pub(super) fn document(kind: DocumentKind, bytes: &[u8]) -> Document {
    let title = (kind == DocumentKind::Checksums).then(|| "SHA256SUMS".parse().expect("a path"));
    Document {
        digest: Digest::sha256_of(bytes),
        bytes: Arc::from(bytes),
        kind,
        media_type: MediaType::known("application/octet-stream"),
        title,
        subject: Subject::Artifact("bin/a".parse().expect("a path")),
    }
}

/// A release of the one file.
pub(super) fn release() -> Release {
    let file = Descriptor::of(MediaType::known("application/octet-stream"), FILE);
    let artifact = Artifact::of_file("bin/a".parse().expect("a path"), file, None, None).0;
    let name = "demo@v1".parse().expect("a name");
    Release::new(name, vec![artifact]).expect("a release").0
}
