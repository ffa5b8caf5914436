//! Verdicts on public test vectors, made by real builders and by the Sigstore conformance suite.
//!
//! Where they lie, and what happens without them, is said in `tests/world/vectors.rs`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test finds and reads its vectors by itself, says if it did not, and panics as it likes"
)]

use std::path::Path;
use std::sync::Arc;

use bonded_model::evidence::Subject;
use bonded_model::{
    Artifact, Descriptor, Digest, Document, DocumentKind, Evidence, MediaType, Release, Timestamp,
    media_type,
};
use bonded_verify::policy::propose;
use bonded_verify::{
    Code, FileExpectation, FileQuestion, Policy, PublicKey, Severity, TrustRoot, Verdict, Verifier,
    verify_file, verify_release,
};

#[path = "../../tests/world/vectors.rs"]
mod vectors;

#[path = "vectors/slsa.rs"]
mod slsa;

use vectors::vectors;

const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator";
const EXAMPLE: &str = "https://github.com/slsa-framework/example-package";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Where the ref is not what a test is about.
const ANY: &str = "ref = \"any\"";

fn read(path: &Path) -> Option<Vec<u8>> {
    path.is_file().then(|| std::fs::read(path).unwrap())
}

fn now() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

fn public_good() -> Verifier {
    Verifier::new(TrustRoot::public_good()).unwrap()
}

/// One file with documents beside it, all attached to the file.
fn evidence(version: &str, files: &[(&str, Vec<u8>)], documents: &[(&str, Vec<u8>)]) -> Evidence {
    let artifacts = files.iter().map(|(path, bytes)| {
        let file = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), bytes);
        Artifact::of_file(path.parse().unwrap(), file, None, None).0
    });
    let name = format!("example@{version}").parse().unwrap();
    let (release, _) = Release::new(name, artifacts.collect()).unwrap();
    let documents = documents.iter().map(|(path, bytes)| Document {
        digest: Digest::sha256_of(bytes),
        bytes: Arc::from(bytes.as_slice()),
        kind: DocumentKind::Bundle,
        media_type: MediaType::known(media_type::SIGSTORE_BUNDLE),
        title: None,
        subject: Subject::Artifact(path.parse().unwrap()),
    });
    let documents = documents.collect();
    Evidence { release, documents }
}

/// A policy for one builder whose identity is its id.
fn policy_text(builders: &[&str], source: &str, reference: &str) -> String {
    let mut text = "version = 1\nname = \"vectors\"\n".to_owned();
    for (at, id) in builders.iter().enumerate() {
        text += &format!(
            "[[signer]]\nname = \"s{at}\"\nissuer = \"{GITHUB}\"\nidentity = \"{id}\"\n\
             claims = {{ runner-environment = \"github-hosted\" }}\n\
             [[builder]]\nid = \"{id}\"\nsigners = [\"s{at}\"]\nlevel = 3\n"
        );
    }
    text + &format!(
        "[provenance]\nlevel = 3\nsource = \"{source}\"\n{reference}\n[sbom]\nrule = \"off\"\n"
    )
}

fn codes(verdict: &Verdict, severity: Severity) -> Vec<Code> {
    let findings = verdict.findings().iter().filter(|finding| finding.severity == severity);
    findings.map(|finding| finding.code).collect()
}

fn check(verdict: &Verdict, fails: &[Code], notes: usize) {
    let text = String::from_utf8(verdict.to_json()).unwrap();
    assert_eq!(codes(verdict, Severity::Fail), fails, "{text}");
    assert_eq!(codes(verdict, Severity::Note).len(), notes, "{text}");
    assert_eq!(verdict.is_pass(), fails.is_empty());
}

/// What is found in each bundle that must be refused. Several hold more than one defect, and the one
/// that is looked at first is told; where that is so the line says it.
const REFUSED: [(&str, Code); 23] = [
    // Also has no checkpoint, which is asked for before the certificate.
    ("bundle-empty-certificate-chain_fail", Code::SigLog),
    ("bundle-invalid-base64-signature_fail", Code::SigMalformed),
    // Also has no inclusion proof.
    ("bundle-unknown-version_fail", Code::SigUnsupported),
    ("checkpoint-bad-keyhint_fail", Code::SigLog),
    ("checkpoint-wrong-roothash_fail", Code::SigLog),
    ("dsse-invalid-sig_fail", Code::SigInvalid),
    // The log entry is that of another envelope.
    ("dsse-mismatch-envelope_fail", Code::SigLog),
    // Another log's promise.
    ("incorrect-public-key_fail", Code::SigLog),
    ("intoto-expired-certificate_fail", Code::SigCertificate),
    // The signature in the log entry is not even base64.
    ("intoto-log-entry-mismatch_fail", Code::SigLog),
    ("intoto-missing-inclusion-proof_fail", Code::SigLog),
    // The timestamp is good; the certificate was not valid then.
    ("intoto-tsa-timestamp-outside-cert-validity_fail", Code::SigCertificate),
    // Also has no checkpoint, which is asked for before the proof is computed.
    ("invalid-inclusion-proof_fail", Code::SigLog),
    ("rekor2-checkpoint-missing-origin_fail", Code::SigLog),
    ("rekor2-checkpoint-missing-size_fail", Code::SigLog),
    // The log entry holds another signature than the envelope.
    ("rekor2-dsse-mismatch-sig_fail", Code::SigLog),
    ("rekor2-no-inclusion-proof_fail", Code::SigLog),
    ("rekor2-timestamp-outside-tsa-cert-validity_fail", Code::SigTime),
    ("rekor2-timestamp-payload-mismatch_fail", Code::SigTime),
    ("set-invalid-signature_fail", Code::SigLog),
    ("signature-mismatch_fail", Code::SigInvalid),
    // The log entry holds the digest of another file, and in the next one the bundle itself does.
    ("wrong-hashedrekord-artifact_fail", Code::SigLog),
    ("wrong-material_fail", Code::SigSubject),
];

/// The code that a bundle is refused with; none for a bundle that must be accepted.
fn refused(name: &str) -> Option<Code> {
    let listed = REFUSED.iter().find(|(listed, _)| *listed == name).map(|(_, code)| *code);
    assert_eq!(listed.is_some(), name.ends_with("_fail"), "{name}");
    listed
}

#[test]
fn sigstore_bundles_by_path_and_by_digest() {
    let Some(folder) = vectors("sigstore-bundles") else { return };
    let identity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
    let cases = std::fs::read_dir(&folder).unwrap();
    let mut count = 0;
    for case in cases.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        count += 1;
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let file = read(&case.join("artifact")).or_else(|| read(&folder.join("a.txt"))).unwrap();
        let bundle = read(&case.join("bundle.sigstore.json")).unwrap();
        let text = |file: &str, other: &str| {
            let bytes = read(&case.join(file));
            bytes.map_or(other.to_owned(), |b| String::from_utf8(b).unwrap().trim().to_owned())
        };
        let root = match read(&case.join("trusted_root.json")) {
            Some(bytes) => TrustRoot::parse(&bytes),
            None => Ok(TrustRoot::public_good()),
        };
        let Ok(verifier) = root.and_then(Verifier::new) else {
            assert_eq!(name, "trust-root-tlog-missing-validity-start_fail");
            continue;
        };
        let (san, issuer) = (text("identity", identity), text("issuer", GITHUB));
        let key = read(&case.join("key.pub"))
            .map(|pem| PublicKey::from_pem(std::str::from_utf8(&pem).unwrap()));
        let Ok(key) = key.transpose() else {
            assert_eq!(name, "managed-key-wrong-key_fail", "its key is not even base64");
            continue;
        };
        let expectation = match &key {
            Some(key) => FileExpectation::Key(key),
            None => FileExpectation::Identity { san: &san, issuer: &issuer },
        };
        for bytes in [None, Some(file.as_slice())] {
            let question = FileQuestion {
                path: None,
                digests: &[Digest::sha256_of(&file)],
                size: None,
                bytes,
                bundle: &bundle,
                version: None,
                release_path: None,
            };
            let verdict = verify_file(&verifier, &expectation, &question, now());
            let json = String::from_utf8(verdict.to_json()).unwrap();
            let expected: Vec<_> = refused(&name).into_iter().collect();
            assert_eq!(codes(&verdict, Severity::Fail), expected, "{name}: {json}");
            assert_eq!(verdict.is_pass(), !name.ends_with("_fail"), "{name}: {json}");
        }
    }
    assert_eq!(count, 36);
}

/// A bundle's version is unsigned: calling it an older one does not excuse it from the log's proof.
#[test]
fn an_older_version_does_not_excuse_from_the_proof() {
    let Some(folder) = vectors("slsa/bcr") else { return };
    let paper = read(&folder.join("rules_lint-v1.3.1.tar.gz.intoto.jsonl")).unwrap();
    let file = read(&folder.join("rules_lint-v1.3.1.tar.gz")).unwrap();
    let san = "https://github.com/bazel-contrib/.github/.github/workflows/release_ruleset.yaml@refs/tags/v7.1.0";
    let judge = |change: fn(&mut serde_json::Value)| {
        let mut bundle: serde_json::Value = serde_json::from_slice(&paper).unwrap();
        change(&mut bundle);
        let bundle = bundle.to_string();
        let question = FileQuestion {
            path: None,
            digests: &[Digest::sha256_of(&file)],
            size: None,
            bytes: None,
            bundle: bundle.as_bytes(),
            version: None,
            release_path: None,
        };
        let expectation = FileExpectation::Identity { san, issuer: GITHUB };
        verify_file(&public_good(), &expectation, &question, now())
    };
    const OLD: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
    check(&judge(|_| {}), &[], 0);
    check(&judge(|bundle| bundle["mediaType"] = OLD.into()), &[], 0);
    let without_proof = judge(|bundle| {
        bundle["mediaType"] = OLD.into();
        let entry = bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap();
        entry.remove("inclusionProof").unwrap();
    });
    check(&without_proof, &[Code::SigLog], 0);
    let without_checkpoint = judge(|bundle| {
        let proof = &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"];
        proof["checkpoint"]["envelope"] = "".into();
    });
    check(&without_checkpoint, &[Code::SigLog], 0);
    let without_entry = judge(|bundle| {
        bundle["verificationMaterial"]["tlogEntries"] = Vec::<u8>::new().into();
    });
    check(&without_entry, &[Code::SigLog], 0);
}

const TRIGGERS: [&str; 4] = ["push-v13.0.30", "push-v14", "push-v14.2", "workflow_dispatch"];

/// The same file under four provenances: which of them are beside it decides.
#[test]
fn one_binary_under_four_provenances() {
    let Some(folder) = vectors("slsa/gha_generic/v2.1.0") else {
        return;
    };
    let of = |trigger: &str, suffix: &str| {
        read(&folder.join(format!("binary-linux-amd64-{trigger}{suffix}"))).unwrap()
    };
    let attestation = |trigger: &str| ("binary", of(trigger, ".intoto.jsonl"));
    let binary = of("push-v14.2", "");
    let id = format!("{GENERATOR}/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0");
    let other = format!("{GENERATOR}/.github/workflows/builder_go_slsa3.yml@refs/tags/v2.1.0");
    let policy = |text: String| Policy::parse(&text).unwrap();
    let good = policy_text(&[&id], EXAMPLE, "tag = \"{version}\"");
    let verifier = public_good();
    let judge = |policy: &Policy, file: &[u8], triggers: &[&str]| {
        let documents: Vec<_> = triggers.iter().map(|trigger| attestation(trigger)).collect();
        let evidence = evidence("v14.2", &[("binary", file.to_vec())], &documents);
        verify_release(&verifier, policy, &evidence, now())
    };

    let verdict = judge(&policy(good.clone()), &binary, &["push-v14.2"]);
    check(&verdict, &[], 0);
    assert_eq!(verdict.artifacts()[0].level, Some(3));
    assert_eq!(verdict.artifacts()[0].accepted[0].signer.as_ref().unwrap().identity, id);

    for (trigger, seen) in [("push-v14", "refs/tags/v14"), ("workflow_dispatch", "refs/heads/main")]
    {
        let verdict = judge(&policy(good.clone()), &binary, &[trigger]);
        check(&verdict, &[Code::ProvRef], 0);
        let finding = &verdict.findings()[0];
        assert_eq!((finding.expected.as_str(), finding.seen.as_str()), ("refs/tags/v14.2", seen));
    }

    let verdict = judge(&policy(good.clone()), &binary, &TRIGGERS);
    check(&verdict, &[], 3);
    assert_eq!(verdict.artifacts()[0].accepted.len(), 1);

    let mut flipped = binary.clone();
    flipped[1000] ^= 1;
    check(&judge(&policy(good.clone()), &flipped, &["push-v14.2"]), &[Code::ProvSubject], 0);
    check(&judge(&policy(good.clone()), &binary, &[]), &[Code::ProvMissing], 0);

    let fork = policy_text(&[&id], "https://github.com/fork/example-package", ANY);
    check(&judge(&policy(fork), &binary, &["push-v14.2"]), &[Code::ProvSource], 0);
    let builder = policy(policy_text(&[&other], EXAMPLE, ANY));
    let verdict = judge(&builder, &binary, &["push-v14.2"]);
    check(&verdict, &[Code::IdSubject, Code::ProvBuilder], 0);
    let low = good.replace("signers = [\"s0\"]\nlevel = 3", "signers = [\"s0\"]\nlevel = 2");
    check(&judge(&policy(low), &binary, &["push-v14.2"]), &[Code::ProvLevel], 0);
    let other_file = good + "[release]\nartifacts = [\"LICENSE\"]\n";
    let verdict = judge(&policy(other_file), &binary, &["push-v14.2"]);
    check(&verdict, &[Code::RelMissing, Code::RelExtra], 0);
}

/// The ready policy for generators, on what a real one made.
#[test]
fn the_ready_policy_for_generators() {
    let Some(folder) = vectors("slsa/gha_generic/v2.1.0") else {
        return;
    };
    let policy = include_str!("../../docs/policies/github-generators.toml");
    let policy = Policy::parse(policy).unwrap();
    let name = "binary-linux-amd64";
    let judge = |trigger: &str, version: &str| {
        let of = |suffix: &str| read(&folder.join(format!("{name}-{trigger}{suffix}"))).unwrap();
        let evidence = evidence(version, &[(name, of(""))], &[(name, of(".intoto.jsonl"))]);
        verify_release(&public_good(), &policy, &evidence, now())
    };
    check(&judge("push-v14.2", "v14.2"), &[], 0);
    check(&judge("push-v14", "v14.2"), &[Code::ProvRef], 0);
    check(&judge("workflow_dispatch", "v14.2"), &[Code::ProvRef], 0);
}

/// An empty file is legal, and the certificates' own claims agree with what was signed.
#[test]
fn an_empty_file_under_four_provenances() {
    let Some(folder) = vectors("slsa/gha_container-based/v2.1.0") else {
        return;
    };
    let documents: Vec<_> = TRIGGERS
        .iter()
        .map(|trigger| {
            let name = format!("binary-linux-amd64-{trigger}.intoto.build.slsa");
            ("binary", read(&folder.join(name)).unwrap())
        })
        .collect();
    let id =
        format!("{GENERATOR}/.github/workflows/builder_container-based_slsa3.yml@refs/tags/v2.1.0");
    let text = policy_text(&[&id], EXAMPLE, "tag = \"{version}\"");
    let policy = Policy::parse(&text).unwrap();
    let evidence = evidence("v14.2", &[("binary", Vec::new())], &documents);
    let verdict = verify_release(&public_good(), &policy, &evidence, now());
    assert_eq!(verdict.artifacts()[0].level, Some(3));
    assert_eq!(verdict.artifacts()[0].accepted.len(), 1);
    assert!(verdict.is_pass());
    assert!(verdict.findings().iter().all(|finding| finding.code == Code::ProvRef));

    let any = Policy::parse(&policy_text(&[&id], EXAMPLE, ANY)).unwrap();
    check(&verify_release(&public_good(), &any, &evidence, now()), &[], 0);
}

#[test]
fn a_policy_is_proposed_from_what_a_release_shows() {
    let Some(folder) = vectors("slsa/gha_generic/v2.1.0") else {
        return;
    };
    let binary = read(&folder.join("binary-linux-amd64-push-v14.2")).unwrap();
    let paper = read(&folder.join("binary-linux-amd64-push-v14.2.intoto.jsonl")).unwrap();
    let evidence = evidence("v14.2", &[("binary", binary)], &[("binary", paper)]);
    let text = propose(&public_good(), &evidence, &[], now());
    assert!(text.contains("tag = \"{version}\"") && text.contains(EXAMPLE), "{text}");
    let policy = Policy::parse(&text).unwrap();
    check(&verify_release(&public_good(), &policy, &evidence, now()), &[], 0);
}

/// A verdict for a time before the signature existed is no pass.
#[test]
fn signatures_from_the_future_are_refused() {
    let Some(folder) = vectors("slsa/bcr") else { return };
    let paper = read(&folder.join("MODULE.bazel.intoto.jsonl")).unwrap();
    let file = read(&folder.join("MODULE.bazel")).unwrap();
    let evidence = evidence("v1", &[("m", file)], &[("m", paper)]);
    let publish = "https://github.com/bazel-contrib/publish-to-bcr/.github/workflows/publish.yaml@refs/tags/v0.0.1";
    let source = "https://github.com/aspect-build/rules_lint";
    let policy = Policy::parse(&policy_text(&[publish], source, ANY)).unwrap();
    for (time, fails) in
        [("1970-01-01T00:00:00Z", vec![Code::SigTime]), ("2100-01-01T00:00:00Z", vec![])]
    {
        let verdict = verify_release(&public_good(), &policy, &evidence, time.parse().unwrap());
        check(&verdict, &fails, 0);
    }
}

#[test]
fn bazel_central_registry() {
    let Some(folder) = vectors("slsa/bcr") else { return };
    let file = |name: &str| read(&folder.join(name)).unwrap();
    let attestation = |name: &str| file(&format!("{name}.intoto.jsonl"));
    let publish = "https://github.com/bazel-contrib/publish-to-bcr/.github/workflows/publish.yaml@refs/tags/v0.0.1";
    let ruleset = "https://github.com/bazel-contrib/.github/.github/workflows/release_ruleset.yaml@refs/tags/v7.1.0";
    let source = "https://github.com/aspect-build/rules_lint";
    let text = policy_text(&[publish, ruleset], source, "branch = \"publish-to-bcr\"");
    let policy = Policy::parse(&text).unwrap();
    let (module, lint) = ("MODULE.bazel", "rules_lint-v1.3.1.tar.gz");
    let wrong = "MODULE-wrong-signer.bazel";
    let judge = |pairs: &[(&str, &str)]| {
        let files: Vec<_> = pairs.iter().map(|(name, _)| (*name, file(name))).collect();
        let papers: Vec<_> =
            pairs.iter().map(|(name, paper)| (*name, attestation(paper))).collect();
        verify_release(&public_good(), &policy, &evidence("v1.3.1", &files, &papers), now())
    };
    check(&judge(&[(module, module), (lint, lint)]), &[], 0);
    check(&judge(&[(module, lint)]), &[Code::ProvSubject], 0);
    check(&judge(&[(lint, module)]), &[Code::ProvSubject], 0);
    check(&judge(&[(module, lint), (lint, module)]), &[Code::ProvSubject; 2], 0);
    let verdict = judge(&[(wrong, wrong)]);
    let fails = codes(&verdict, Severity::Fail);
    assert!(fails.contains(&Code::IdSubject) && fails.contains(&Code::ProvClaims), "{fails:?}");
}
