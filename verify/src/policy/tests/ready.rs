//! The policies in `docs/policies`: each is one, has no contradiction, passes what it is for, and fails what
//! is next to it.

use bonded_model::evidence::Subject;
use bonded_model::slsa::PROVENANCE_V0_1;
use bonded_model::statement::Statement;
use bonded_model::{ContentKind, DocumentKind};
use serde_json::{Value, json};

use super::*;
use crate::Code;
use crate::finding::Severity;
use crate::identity::{Claim, Holder, Signed, Signer};
use crate::policy::NoteWeight;
use crate::testing::{Double, FILE, certified, provenance, spdx, statement, workflow};

const PLAIN_KEY: &str = include_str!("../../../../docs/policies/plain-key.toml");
const GENERATORS: &str = include_str!("../../../../docs/policies/github-generators.toml");
const KUBERNETES: &str = include_str!("../../../../docs/policies/kubernetes.toml");
const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0";
const EXAMPLE: &str = "https://github.com/slsa-framework/example-package";
const RELEASE_TEAM: &str = "krel-staging@k8s-releng-prod.iam.gserviceaccount.com";

#[test]
fn each_is_a_policy_without_contradictions() {
    for text in [PLAIN_KEY, GENERATORS, KUBERNETES] {
        let notes =
            Policy::parse(text).unwrap().check(Some(crate::testing::time("2026-06-01T00:00:00Z")));
        let odd = notes.iter().filter(|note| note.weight != NoteWeight::Hole);
        assert_eq!(odd.count(), 0, "{notes:?}");
    }
}

/// The codes that fail.
fn fails(case: Case) -> Vec<Code> {
    let verdict = case.verdict();
    let fails = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    let mut codes: Vec<_> = fails.map(|finding| finding.code).collect();
    codes.dedup();
    assert_eq!(verdict.is_pass(), codes.is_empty());
    codes
}

/// A provenance that was built from a tag of a source.
fn built(builder: &str, source: &str, reference: &str, kind: &str) -> impl Fn(&mut Value) {
    let source = format!("git+{source}@{reference}");
    let (builder, kind) = (builder.to_owned(), kind.to_owned());
    move |predicate| {
        predicate["buildDefinition"]["buildType"] = json!(kind);
        predicate["buildDefinition"]["externalParameters"] = json!({"source": {"uri": source}});
        predicate["runDetails"]["builder"]["id"] = json!(builder);
    }
}

fn sums(case: &mut Case, paths: &[&str]) {
    let digest = Digest::sha256_of(FILE);
    let list: String = paths.iter().map(|path| format!("{}  {path}\n", digest.hex())).collect();
    case.add(DocumentKind::Checksums, list.as_bytes(), Some("SHA256SUMS"), Subject::Release);
}

fn keyed(seed: u8, reference: &str, sbom_seed: u8) -> Case {
    let path = "hello-v1.tar.gz";
    let mut case = Case::bare();
    case.policy = PLAIN_KEY.to_owned();
    case.files = vec![(path, FILE.to_vec())];
    let change = built(
        "https://example.com/builder",
        "https://example.com/hello",
        reference,
        "https://example.com/make",
    );
    let bundle = Key::from_seed(seed).bundle(&provenance(FILE, change).to_bytes());
    case.attach_to_release(DocumentKind::Bundle, &bundle);
    let sbom = statement(FILE, "https://spdx.dev/Document/v2.3", &spdx(FILE)).to_bytes();
    case.attach_to_release(DocumentKind::Bundle, &Key::from_seed(sbom_seed).bundle(&sbom));
    sums(&mut case, &[path]);
    case
}

#[test]
fn a_plain_key() {
    assert_eq!(fails(keyed(1, "refs/tags/v1", 1)), []);
    assert_eq!(fails(keyed(1, "refs/heads/v1", 1)), [Code::ProvRef]);
    assert!(fails(keyed(2, "refs/tags/v1", 1)).contains(&Code::SigKey));
    assert!(fails(keyed(1, "refs/tags/v1", 2)).contains(&Code::SigKey));
    let mut late = keyed(1, "refs/tags/v1", 1);
    late.now = crate::testing::time("2027-01-01T00:00:00Z");
    assert!(fails(late).contains(&Code::IdValidity));
    let mut unlisted = keyed(1, "refs/tags/v1", 1);
    unlisted.documents.pop();
    assert_eq!(fails(unlisted), [Code::SumMissing]);
    let mut extra = keyed(1, "refs/tags/v1", 1);
    extra.files.push(("hello-v1.zip", FILE.to_vec()));
    assert_eq!(fails(extra), [Code::SumMissing, Code::RelExtra]);
}

fn holder(issuer: &str, identity: &str, claims: &[(Claim, &str)]) -> Signed {
    let claims = claims.iter().map(|(claim, value)| (*claim, (*value).to_owned())).collect();
    let holder = Holder { issuer: issuer.to_owned(), identity: identity.to_owned(), claims };
    Signed { signer: Signer::Certificate(holder), ..workflow() }
}

fn generated(identity: &str, runner: &str, source: &str) -> Case {
    let claims = [
        (Claim::SourceRepository, source),
        (Claim::SourceRepositoryRef, "refs/tags/v1"),
        (Claim::RunnerEnvironment, runner),
    ];
    let mut case = Case::bare();
    case.policy = GENERATORS.to_owned();
    case.files = vec![("binary-linux-amd64", FILE.to_vec())];
    case.double = Some(Double(Ok(holder(crate::identity::GITHUB_ISSUER, identity, &claims))));
    let kind = "https://github.com/slsa-framework/slsa-github-generator/generic@v1";
    let change = built(GENERATOR, source, "refs/tags/v1", kind);
    case.attach_to_release(DocumentKind::Bundle, &certified(&provenance(FILE, change)));
    case.edit("parameters = []", "parameters = [\"source\"]");
    case
}

/// What real bundles come to under it is asked in `verify/tests/vectors.rs`.
#[test]
fn the_generators_of_github() {
    assert_eq!(fails(generated(GENERATOR, "github-hosted", EXAMPLE)), []);
    assert!(fails(generated(GENERATOR, "self-hosted", EXAMPLE)).contains(&Code::IdClaim));
    let fork = "https://github.com/fork/example-package";
    assert!(fails(generated(GENERATOR, "github-hosted", fork)).contains(&Code::IdClaim));
    let branch = GENERATOR.replace("refs/tags/v2.1.0", "refs/heads/main");
    assert!(fails(generated(&branch, "github-hosted", EXAMPLE)).contains(&Code::IdSubject));
    let mut inputs = generated(GENERATOR, "github-hosted", EXAMPLE);
    inputs.edit("parameters = [\"source\"]", "parameters = []");
    assert_eq!(fails(inputs), [Code::ProvParameter]);
}

/// A file for each platform, all of the same bytes, and texts.
fn kubernetes(issuer: &str, identity: &str, left_out: Option<&str>) -> Case {
    let arguments = json!({"--branch=": "master", "--build-version=": "v1", "--type=": "alpha"});
    kubernetes_with(issuer, identity, left_out, &arguments)
}

fn kubernetes_with(
    issuer: &str,
    identity: &str,
    left_out: Option<&str>,
    arguments: &Value,
) -> Case {
    const BINARIES: [(&str, &str); 11] = [
        ("bin/1", "linux/amd64"),
        ("bin/2", "linux/arm"),
        ("bin/3", "linux/arm64"),
        ("bin/4", "linux/ppc64le"),
        ("bin/5", "linux/s390x"),
        ("bin/6", "linux/386"),
        ("bin/7", "darwin/amd64"),
        ("bin/8", "darwin/arm64"),
        ("bin/9", "windows/386"),
        ("bin/10", "windows/amd64"),
        ("bin/11", "windows/arm64"),
    ];
    let mut case = Case::bare();
    case.policy = KUBERNETES.to_owned();
    case.files.clear();
    for text in ["docs/README.md", "CHANGELOG.md", "notes.txt", "LICENSE", "docs/LICENSE"] {
        case.files.push((text, FILE.to_vec()));
        case.looks.insert(text, (ContentKind::Text, None));
    }
    let mut paths = Vec::new();
    for (path, platform) in BINARIES.iter().filter(|(_, platform)| Some(*platform) != left_out) {
        case.files.push((path, FILE.to_vec()));
        case.looks.insert(path, (ContentKind::Elf, Some(platform)));
        paths.push(*path);
    }
    sums(&mut case, &paths);
    case.double = Some(Double(Ok(holder(issuer, identity, &[]))));
    case.attach_to_release(DocumentKind::Bundle, &certified(&staged(arguments)));
    case
}

/// A provenance of the shape of the public one of v1.23.0-alpha.4, with a ref and the builder of today.
fn staged(arguments: &Value) -> Statement {
    let predicate = json!({
        "builder": {"id": "https://git.k8s.io/release/docs/krel"},
        "recipe": {
            "type": "https://cloudbuild.googleapis.com/CloudBuildYaml@v1",
            "definedInMaterial": 0,
            "entryPoint": "https://github.com/kubernetes/release/blob/master/gcb/stage/cloudbuild.yaml",
            "arguments": arguments,
        },
        "metadata": {"reproducible": false},
        "materials": [{
            "uri": "git+https://github.com/kubernetes/kubernetes@refs/tags/v1",
            "digest": {"sha1": "94db9bed6b7c56420e722d1b15db4610c9cacd3f"},
        }],
    });
    statement(FILE, PROVENANCE_V0_1, &predicate)
}

#[test]
fn a_release_of_kubernetes() {
    const GOOGLE: &str = "https://accounts.google.com";
    assert_eq!(fails(kubernetes(GOOGLE, RELEASE_TEAM, None)), []);
    assert!(
        fails(kubernetes("https://accounts.example.com", RELEASE_TEAM, None))
            .contains(&Code::IdIssuer)
    );
    let other = RELEASE_TEAM.replace("staging", "trust");
    assert!(fails(kubernetes(GOOGLE, &other, None)).contains(&Code::IdSubject));
    let arm = kubernetes(GOOGLE, RELEASE_TEAM, Some("linux/arm64"));
    assert_eq!(fails(arm), [Code::RelPlatformMissing]);
    let mut strange = kubernetes(GOOGLE, RELEASE_TEAM, None);
    strange.looks.insert("bin/1", (ContentKind::Elf, Some("plan9/amd64")));
    assert_eq!(fails(strange), [Code::RelPlatformMissing, Code::RelPlatformExtra]);
    let mut unlisted = kubernetes(GOOGLE, RELEASE_TEAM, None);
    unlisted.files.push(("bin/12", FILE.to_vec()));
    unlisted.looks.insert("bin/12", (ContentKind::Text, None));
    assert_eq!(fails(unlisted), [Code::SumMissing]);
    let mut near = kubernetes(GOOGLE, RELEASE_TEAM, None);
    near.files.push(("NOLICENSE", FILE.to_vec()));
    near.looks.insert("NOLICENSE", (ContentKind::Text, None));
    assert_eq!(fails(near), [Code::SumMissing]);
    let another = json!({"--branch=": "master", "--nomock": "true"});
    let another = kubernetes_with(GOOGLE, RELEASE_TEAM, None, &another);
    assert_eq!(fails(another), [Code::ProvParameter]);
}
