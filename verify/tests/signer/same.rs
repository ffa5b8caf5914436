//! One question has one answer, byte for byte: on any number of threads, in whatever order the evidence
//! stands, and at every other moment at which a verdict says that it lasts.

use std::sync::{Arc, LazyLock};

use bonded_model::evidence::Subject as AttachedTo;
use bonded_model::media_type::OCTET_STREAM;
use bonded_model::slsa::PROVENANCE_V1;
use bonded_model::statement::{Statement, Subject};
use bonded_model::{
    Artifact, Descriptor, Digest, Document, DocumentKind, Evidence, MediaType, Release, Timestamp,
};
use bonded_testsigner::{Content, Defect, Key, KeyKind, Log, Request, World};
use bonded_verify::{
    FileExpectation, FileQuestion, Policy, TrustRoot, Verdict, Verifier, verify_file,
    verify_release,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const FILES: [(&str, &[u8]); 3] = [("a", b"hello"), ("b/c", b"other"), ("d", b"third")];

/// Begins and ends within the times that are asked about, as the exception does.
const POLICY: &str = r#"
[[signer]]
name = "workflow"
issuer = "https://token.actions.githubusercontent.com"
identity = "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1"
legacy = ["promise-only"]
[[verifier]]
id = "https://example.com/verifier"
signers = ["workflow"]
level = 3
resource = "https://example.com/r"
max_age = "30d"
[[builder]]
id = "https://example.com/builder"
signers = ["workflow", "key"]
level = 3
[provenance]
level = 3
source = "https://github.com/o/r"
tag = "{version}"
[sbom]
rule = "warn"
[checksums]
rule = "warn"
[[require]]
name = "tests"
predicate = ["https://in-toto.io/attestation/test-result/v0.1"]
of = "artifacts"
signers = ["workflow", "key"]
max_age = "52w"
[[expression]]
name = "two"
cel = "size(statements) > 1"
of = "artifacts"
[[exception]]
code = "PROV-MISSING"
until = "2026-08-01T00:00:00Z"
reason = "the builder is new"
"#;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn of(predicate_type: &str, file: &[u8], predicate: &Value) -> Vec<u8> {
    let subject = Subject::new("a", Digest::sha256_of(file));
    Statement::new(vec![subject], predicate_type, predicate).to_bytes()
}

fn provenance(file: &[u8]) -> Vec<u8> {
    let source = json!({"uri": "git+https://github.com/o/r@refs/tags/v1"});
    let predicate = json!({
        "buildDefinition": {
            "buildType": "https://example.com/build",
            "externalParameters": {"source": source["uri"]},
            "resolvedDependencies": [source],
        },
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    });
    of(PROVENANCE_V1, file, &predicate)
}

/// Made once: keys and certificates take longer than verdicts.
struct Scene {
    verifier: Verifier,
    policy: String,
    documents: Vec<Document>,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let world = World::new();
    let key = Key::new(KeyKind::P256, "managed");
    let mut documents = Vec::new();
    for (path, bytes) in FILES {
        let mut add = |kind, bytes: &[u8], on_file: bool| {
            documents.push(document(kind, bytes, on_file.then_some(path)));
        };
        let signed = provenance(bytes);
        let result = json!({"result": "PASSED", "configuration": []});
        let result = of("https://in-toto.io/attestation/test-result/v0.1", bytes, &result);
        let request = |content, signed_at, logs, timestamps| {
            let signed_at = time(signed_at);
            Request { content, signed_at, logs, timestamps, ..Request::default() }
        };
        // Both have passed for every machine: the moments of the verdicts lie before and after them.
        let (early, late) = ("2025-07-01T12:00:00Z", "2025-09-01T12:00:00Z");
        let old = request(Content::Statement(&signed), early, &[Log::V1], 0);
        let both = request(Content::Statement(&signed), early, &[Log::V2], 1);
        let new = request(Content::Statement(&signed), late, &[Log::V1], 0);
        let tests = request(Content::Statement(&result), early, &[Log::V1], 0);
        let file = request(Content::File(bytes), early, &[Log::V1], 0);
        let bundle = DocumentKind::Bundle;
        add(bundle, &world.keyless(&old).to_json(), true);
        add(bundle, &world.keyless(&both).to_json(), false);
        add(bundle, &world.keyless(&new).to_json(), true);
        add(bundle, &world.keyless(&tests).to_json(), true);
        add(bundle, &world.keyless(&file).to_json(), true);
        let bare = Request { logs: &[], timestamps: 0, ..tests };
        add(bundle, &world.managed(&key, &bare).to_json(), true);
        for defect in [Defect::CertificateExpired, Defect::SctForged, Defect::NoSct] {
            add(bundle, &world.keyless(&old).with(defect).to_json(), true);
        }
        let lines = [world.keyless(&old).to_json(), world.managed(&key, &bare).to_json()];
        add(bundle, &lines.join(&b'\n'), false);
        let sbom = json!({"spdxVersion": "SPDX-2.3", "files": [{"checksums": [
            {"algorithm": "SHA256", "checksumValue": Digest::sha256_of(bytes).hex()}
        ]}]});
        add(DocumentKind::Spdx, sbom.to_string().as_bytes(), true);
        let sums = format!("{}  {path}\n", Digest::sha256_of(bytes).hex());
        add(DocumentKind::Checksums, sums.as_bytes(), false);
        let promised = request(Content::Statement(&signed), early, &[Log::V1Promise], 0);
        add(bundle, &world.keyless(&promised).to_json(), true);
        let summary = json!({
            "verifier": {"id": "https://example.com/verifier"}, "timeVerified": early,
            "resourceUri": "https://example.com/r", "policy": {"uri": "https://example.com/p"},
            "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
        });
        let summary = of("https://slsa.dev/verification_summary/v1", bytes, &summary);
        let summary = request(Content::Statement(&summary), early, &[Log::V1], 0);
        add(bundle, &world.keyless(&summary).to_json(), true);
        add(bundle, format!("{{\"cut\": \"{path}").as_bytes(), true);
    }
    let verifier = Verifier::new(TrustRoot::parse(&world.trusted_root()).unwrap()).unwrap();
    let policy = format!(
        "version = 1\nname = \"same\"\n[[signer]]\nname = \"key\"\npublic_key = '''\n{}'''\n\
         valid_until = \"2026-07-01T00:00:00Z\"\n{POLICY}",
        key.public_pem()
    );
    Scene { verifier, policy, documents }
});

fn document(kind: DocumentKind, bytes: &[u8], path: Option<&str>) -> Document {
    let subject = path.map(|path| AttachedTo::Artifact(path.parse().unwrap()));
    Document {
        digest: Digest::sha256_of(bytes),
        bytes: Arc::from(bytes),
        kind,
        media_type: MediaType::known(OCTET_STREAM),
        title: None,
        subject: subject.unwrap_or(AttachedTo::Release),
    }
}

fn verdict(policy: &Policy, documents: Vec<Document>, now: Timestamp) -> Verdict {
    verdict_on(FILES, policy, documents, now)
}

fn verdict_on(
    files: [(&str, &[u8]); 3],
    policy: &Policy,
    documents: Vec<Document>,
    now: Timestamp,
) -> Verdict {
    let artifacts = files.map(|(path, bytes)| {
        let file = Descriptor::of(MediaType::known(OCTET_STREAM), bytes);
        Artifact::of_file(path.parse().unwrap(), file, None, None).0
    });
    let (release, _) = Release::new("demo@v1".parse().unwrap(), artifacts.into()).unwrap();
    verify_release(&SCENE.verifier, policy, &Evidence { release, documents }, now)
}

fn text(verdict: &Verdict) -> String {
    String::from_utf8(verdict.to_json()).unwrap()
}

/// Some of the documents, in some order.
fn some() -> impl Strategy<Value = Vec<Document>> {
    let count = SCENE.documents.len();
    proptest::sample::subsequence(SCENE.documents.clone(), 0..=count).prop_shuffle()
}

/// Documents that come in once more, where they do not belong.
fn strays() -> impl Strategy<Value = Vec<Document>> {
    let elsewhere = |document: &Document| Document {
        subject: AttachedTo::Artifact("d".parse().unwrap()),
        ..document.clone()
    };
    let strays: Vec<_> = SCENE.documents.iter().map(elsewhere).collect();
    proptest::sample::subsequence(strays, 0..=6)
}

fn moment() -> impl Strategy<Value = Timestamp> {
    let seconds = |text| time(text).unix_seconds();
    let range = seconds("2025-06-01T00:00:00Z")..seconds("2026-11-01T00:00:00Z");
    range.prop_map(|seconds| Timestamp::from_unix_seconds(seconds).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_order_and_any_number_of_threads(
        documents in some(),
        strays in strays(),
        turns in proptest::array::uniform3(0..100_usize),
        now in moment(),
    ) {
        let policy = Policy::parse(&SCENE.policy).unwrap();
        let mut documents = [documents, strays].concat();
        let found = [(1, turns[0]), (2, turns[1]), (8, turns[2])].map(|(threads, turn)| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut files, mut documents) = (FILES, documents.clone());
            files.rotate_left(turn % FILES.len());
            let turn = turn % documents.len().max(1);
            documents.rotate_left(turn);
            pool.install(|| verdict_on(files, &policy, documents, now))
        });
        documents.sort_by_key(|document| document.digest);
        let expected = verdict(&policy, documents, now);
        for found in found {
            prop_assert_eq!(text(&found), text(&expected));
            prop_assert_eq!(found, expected.clone());
        }
    }

    #[test]
    fn at_every_moment_at_which_it_lasts(
        documents in some(),
        now in moment(),
        others in proptest::collection::vec(moment(), 8),
    ) {
        let policy = Policy::parse(&SCENE.policy).unwrap();
        let expected = verdict(&policy, documents.clone(), now);
        prop_assert!(expected.lasts_at(now));
        for other in others.into_iter().filter(|other| expected.lasts_at(*other)) {
            let found = verdict(&policy, documents.clone(), other);
            let told = text(&found).replace(&other.to_string(), &now.to_string());
            prop_assert_eq!(told, text(&expected));
            prop_assert!(found.lasts_at(now));
        }
    }
}

/// Each row: a policy, one document, now, and the first moment at which something changes.
#[test]
fn a_verdict_lasts_until_the_next_time_that_it_was_compared_with() {
    let check = |policy: &str, at: usize, now: &str, next: &str| {
        let policy = Policy::parse(policy).unwrap();
        let documents = vec![SCENE.documents[at].clone()];
        let (now, next) = (time(now), time(next));
        let verdict = verdict(&policy, documents, now);
        let before = Timestamp::from_unix_seconds(next.unix_seconds() - 1).unwrap();
        let text = text(&verdict);
        assert!(
            verdict.lasts_at(now) && verdict.lasts_at(before) && !verdict.lasts_at(next),
            "{text}"
        );
    };
    let (june, policy) = ("2026-06-01T00:00:00Z", &SCENE.policy);
    check(policy, 0, june, "2026-08-01T00:00:00Z"); // the exception ends
    check(policy, 3, "2026-05-01T00:00:00Z", "2026-06-30T12:00:01Z"); // the test result is too old
    check(policy, 5, june, "2026-07-01T00:00:00Z"); // the key ends
    // It claims to be from the future.
    check(policy, 2, "2025-08-01T00:00:00Z", "2025-08-01T00:00:01Z");
    let clock = policy.replace("size(statements) > 1", "now > 7");
    check(&clock, 0, june, "2026-06-01T00:00:01Z"); // an expression looks at the number
}

/// The library tells the time of the machine's clock where it refuses an entry from the clock's future: a verdict
/// had it in its bytes, to the nanosecond.
#[test]
fn an_entry_from_the_future_is_refused_alike_at_any_time() {
    let world = World::new();
    let verifier = Verifier::new(TrustRoot::parse(&world.trusted_root()).unwrap()).unwrap();
    let made = provenance(b"hello");
    let signed_at = time("2100-01-01T00:00:00Z");
    let request = Request { signed_at, content: Content::Statement(&made), ..Request::default() };
    let bundle = world.keyless(&request).to_json();
    let policy = Policy::parse(&SCENE.policy).unwrap();
    let ask = |now: &str| {
        let digests = [Digest::sha256_of(b"hello")];
        let question = FileQuestion {
            path: None,
            digests: &digests,
            size: None,
            bytes: None,
            bundle: &bundle,
            version: None,
            release_path: None,
        };
        verify_file(&verifier, &FileExpectation::Policy(&policy), &question, time(now))
    };
    for (now, next) in [
        ("2026-06-01T00:00:00Z", "2026-06-01T00:00:01Z"),
        ("2101-01-01T00:00:00Z", "2101-01-01T00:00:01Z"),
    ] {
        let (one, other) = (ask(now), ask(now));
        assert_eq!(text(&one), text(&other));
        let found = &one.findings()[0];
        assert_eq!(found.code, bonded_verify::Code::SigTime, "{}", text(&one));
        assert_eq!(found.seen, "a log time from the future of the machine's clock");
        assert!(one.lasts_at(time(now)) && !one.lasts_at(time(next)));
    }
}
