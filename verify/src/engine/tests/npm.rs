//! Pairs of provenance and publish attestation, of which one is forged or belongs to something else.

use bonded_model::predicate::npm::NPM_PUBLISH_V0_1;
use bonded_model::statement::Subject;
use bonded_model::{Digest, DocumentKind::Bundle};
use serde_json::{Value, json};

use super::OTHER;
use crate::code::Code;
use crate::finding::Severity;
use crate::testing::{Case, FILE, Key, provenance, statement};

const PURL: &str = "pkg:npm/%40s/p@v1";

/// What both say, and who signs it: 1 speaks for the builder, 2 for the registry, 3 for nobody.
struct Pair {
    predicate: Value,
    published: Vec<(&'static str, Digest)>,
    registry: u8,
    built: Vec<(&'static str, Digest)>,
    builder: u8,
}

fn good() -> Pair {
    let file = Digest::sha256_of(FILE);
    Pair {
        predicate: json!({"name": "@s/p", "version": "v1", "registry": "https://registry.npmjs.org"}),
        published: vec![(PURL, file)],
        registry: 2,
        built: vec![(PURL, file)],
        builder: 1,
    }
}

fn check(what: &str, change: impl FnOnce(&mut Pair), expected: &[Code]) {
    let mut pair = good();
    change(&mut pair);
    fails(what, case_of(&pair), expected);
}

fn case_of(pair: &Pair) -> Case {
    let mut case = Case::bare().with_second_key();
    case.edit("[\"key\", \"second\"]", "[\"key\"]");
    case.edit("#sbom", "[npm]\npackage = \"@s/p\"\nsigners = [\"second\"]\n#sbom");
    let subjects = |named: &[(&str, Digest)]| {
        named.iter().map(|(name, digest)| Subject::new(*name, *digest)).collect()
    };
    let mut built = provenance(FILE, |_| {});
    built.subjects = subjects(&pair.built);
    let mut published = statement(FILE, NPM_PUBLISH_V0_1, &pair.predicate);
    published.subjects = subjects(&pair.published);
    case.attach(Bundle, &Key::from_seed(pair.builder).bundle(&built.to_bytes()));
    case.attach(Bundle, &Key::from_seed(pair.registry).bundle(&published.to_bytes()));
    case
}

fn fails(what: &str, case: Case, expected: &[Code]) {
    let verdict = case.verdict();
    let fails = verdict.findings().iter().filter(|f| f.severity == Severity::Fail);
    let mut codes: Vec<_> = fails.map(|finding| finding.code).collect();
    codes.sort();
    codes.dedup();
    assert_eq!(codes, expected, "{what}");
}

#[test]
fn each_of_a_pair_names_the_package_of_the_other() {
    let (file, other) = (Digest::sha256_of(FILE), Digest::sha256_of(OTHER));
    check("good", |_| {}, &[]);
    let package = [Code::NpmPackage];
    check(
        "another registry",
        |p| p.predicate["registry"] = json!("https://npm.example.com"),
        &package,
    );
    check(
        "a registry that looks alike",
        |p| p.predicate["registry"] = json!("https://registry.npmjs.org/"),
        &package,
    );
    // The one subject is the package of the predicate, or the predicate is none.
    let none = [Code::StmtPredicate];
    let other_name = "pkg:npm/%40s/q@v1";
    check("published under another name", |p| p.published = vec![(other_name, file)], &none);
    check("under two names", |p| p.published.push((other_name, file)), &none);
    check("with another file", |p| p.published.push((PURL, other)), &none);
    check("by another name", |p| p.predicate["name"] = json!("@s/q"), &none);
    let both = [Code::NpmPackage, Code::NpmPair];
    for (name, version, purl) in [
        ("@s/q", "v1", other_name),
        ("@s/p", "v2", "pkg:npm/%40s/p@v2"),
        ("@S/p", "v1", "pkg:npm/%40S/p@v1"),
        ("p", "v1", "pkg:npm/p@v1"),
    ] {
        let change = |p: &mut Pair| {
            (p.predicate["name"], p.predicate["version"]) = (json!(name), json!(version));
            p.published = vec![(purl, file)];
        };
        check(purl, change, &both);
        // Both of a pair of another package are no pair of this one.
        let pair = |p: &mut Pair| {
            change(p);
            p.built = vec![(purl, file)];
        };
        check(purl, pair, &package);
    }
    let pair = [Code::NpmPair];
    check("built under another name", |p| p.built = vec![("pkg:npm/%40s/q@v1", file)], &pair);
    check("built as another version", |p| p.built = vec![("pkg:npm/%40s/p@v10", file)], &pair);
    check("built under two names", |p| p.built.push(("pkg:npm/%40s/q@v1", file)), &pair);
    check("other bytes published", |p| p.published = vec![(PURL, other)], &[Code::NpmSubject]);
    check(
        "other bytes built",
        |p| p.built = vec![(PURL, other)],
        &[Code::ProvSubject, Code::NpmPair],
    );
}

#[test]
fn a_pair_is_by_the_builder_and_by_the_registry() {
    check("published by the builder", |p| p.registry = 1, &[Code::NpmSigner]);
    check("published by a stranger", |p| p.registry = 3, &[Code::SigKey]);
    check("built by the registry", |p| p.builder = 2, &[Code::ProvSigner, Code::NpmPair]);
    check("built by a stranger", |p| p.builder = 3, &[Code::SigKey, Code::NpmPair]);
}

/// A provenance that was too old, or one too few, made the pair where a summary satisfied the rule on provenance.
#[test]
fn a_pair_needs_a_provenance_that_was_accepted() {
    let summarised = |rule: &str| {
        let mut case = case_of(&good());
        case.edit("#provenance", rule);
        case.edit(
            "#sbom",
            "[[verifier]]\nid = \"https://v\"\nsigners = [\"second\"]\nlevel = 3\nresource = \"pkg:x\"\n",
        );
        let summary = json!({
            "verifier": {"id": "https://v"}, "resourceUri": "pkg:x", "policy": {},
            "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
            "timeVerified": "2026-05-31T23:30:00Z",
        });
        let summary = statement(FILE, bonded_model::vsa::SUMMARY_V1, &summary).to_bytes();
        case.attach(Bundle, &Key::from_seed(2).bundle(&summary));
        case
    };
    fails("both are accepted", summarised("#provenance"), &[]);
    fails("the provenance is too old", summarised("max_age = \"1h\""), &[Code::NpmPair]);
    let mut few = case_of(&good());
    few.edit("#provenance", "rule = \"warn\"\nquorum = 2");
    fails("a quorum of one", few, &[Code::NpmPair]);
    let mut off = case_of(&good());
    off.edit("#provenance", "rule = \"off\"");
    fails("nobody asks for provenance", off, &[]);
}
