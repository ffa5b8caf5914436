//! Policies over a base: each way to narrow it is accepted, each way to widen it refused.

use super::*;

/// A base with something of everything.
fn base() -> String {
    let key = Key::from_seed(1).public_pem();
    let zeros = "0".repeat(64);
    format!(
        r#"version = 1
name = "base"
[[signer]]
name = "key"
public_key = '''
{key}'''
valid_from = "2026-01-01T00:00:00Z"
valid_until = "2027-01-01T00:00:00Z"
log = "require"
[[signer]]
name = "workflows"
issuer = "https://issuer"
identity_glob = "https://h/o/*/w.yml@refs/tags/*"
claims = {{ runner-environment = "github-hosted" }}
[[signer]]
name = "alice"
issuer = "https://people"
identity = "alice@h"
timestamps = 1
[[builder]]
id = "https://h/o/ci/w.yml@refs/tags/v1"
signers = ["workflows"]
level = 3
[[builder]]
id = "https://b"
signers = ["key"]
level = 2
[provenance]
level = 2
source = "any"
ref = "any"
build_types = ["t1", "t2"]
max_age = "30d"
[sbom]
rule = "warn"
formats = ["spdx", "cyclonedx"]
signers = ["key", "alice"]
[checksums]
rule = "warn"
[[scope]]
name = "docs"
paths = ["doc/*"]
provenance = {{ rule = "off" }}
[[require]]
name = "tests"
predicate = ["p1", "p2"]
of = "artifacts"
signers = ["alice"]
max_age = "2w"
[[verifier]]
id = "https://v"
signers = ["alice"]
level = 2
resource = "pkg:x/{{path}}"
release = "pkg:x"
policies = ["sha256:{zeros}"]
max_age = "7d"
[[exception]]
code = "SBOM-MISSING"
paths = ["a"]
until = "2026-06-01T00:00:00Z"
reason = "soon"
"#
    )
}

const HEAD: &str = "version = 1\nname = \"project\"\nbase = \"base.toml\"\n";

fn over(text: &str) -> Result<Policy, PolicyError> {
    Policy::parse_over(&format!("{HEAD}{text}"), &base())
}

fn signer(name: &str, rest: &str) -> String {
    format!("[[signer]]\nname = \"{name}\"\n{rest}\n")
}

const PROVENANCE: &str = "[provenance]\nlevel = 3\nsource = \"https://s\"\ntag = \"v\"\nbuild_types = [\"t1\"]\nmax_age = \"1w\"\n";

#[test]
fn what_is_left_out_is_the_bases() {
    let policy = over("").unwrap();
    let base_policy = Policy::parse(&base()).unwrap();
    assert_eq!((policy.name(), policy.signers.len(), policy.scopes.len()), ("project", 3, 1));
    assert_eq!(policy.demands.provenance.level, base_policy.demands.provenance.level);
    assert_eq!(policy.exceptions, base_policy.exceptions);
    assert_eq!(policy.requirements.len(), 1);
}

#[test]
fn the_digest_is_of_both_texts() {
    let text = format!("{HEAD}#");
    let digest = |text: &str, base: &str| Policy::parse_over(text, base).unwrap().digest();
    let (one, own) = (digest(&text, &base()), Digest::sha256_of(text.as_bytes()));
    let theirs = Digest::sha256_of(base().as_bytes());
    assert_eq!(one, Digest::sha256_of(format!("[\"base\",\"{theirs}\",\"{own}\"]").as_bytes()));
    assert_ne!(one, digest(&format!("{text}#"), &base()));
    assert_ne!(one, digest(&text, &format!("{}#", base())));
}

#[test]
fn a_base_is_needed_named_by_a_file_and_a_policy_itself() {
    assert!(
        matches!(Policy::parse(HEAD), Err(PolicyError::NeedsBase { base }) if base == "base.toml")
    );
    assert_eq!(Policy::base_of(HEAD).unwrap().as_deref(), Some("base.toml"));
    assert_eq!(Policy::base_of(&base()).unwrap(), None);
    for name in ["", "..", "../base.toml", "/base.toml", "a/b.toml", "a\\\\b.toml"] {
        let text = HEAD.replace("base.toml", name);
        assert!(matches!(Policy::base_of(&text), Err(PolicyError::Unclear { .. })), "{name}");
    }
    for base in ["", "version = 1\nname = \"b\"\n", HEAD] {
        let found = Policy::parse_over(HEAD, base);
        assert!(matches!(found, Err(PolicyError::Base(_))), "{base}");
    }
}

#[test]
fn a_base_can_be_narrowed() {
    let key = Key::from_seed(1).public_pem();
    let keyed = |window: &str| signer("key", &format!("public_key = '''\n{key}'''\n{window}"));
    let exact = signer(
        "ours",
        "issuer = \"https://issuer\"\nidentity = \"https://h/o/ci/w.yml@refs/tags/v1\"\nclaims = { runner-environment = \"github-hosted\", build-trigger = \"push\" }",
    );
    let table = [
        PROVENANCE.to_owned(),
        "[sbom]\nrule = \"require\"\nformats = [\"spdx\"]\nsigners = [\"alice\"]\nquorum = 1\n".to_owned(),
        "[checksums]\nrule = \"require\"\n".to_owned(),
        "[release]\nartifacts = [\"a\"]\nallowed = [\"**\"]\nplatforms = [\"linux/amd64\"]\n".to_owned(),
        keyed("valid_from = \"2026-02-01T00:00:00Z\"\nvalid_until = \"2026-03-01T00:00:00Z\"\nlog = \"require\""),
        format!("{exact}[[builder]]\nid = \"https://h/o/ci/w.yml@refs/tags/v1\"\nsigners = [\"ours\"]\nlevel = 1\n"),
        "[[scope]]\nname = \"docs\"\npaths = [\"doc/*\"]\nchecksums = { rule = \"require\" }\n".to_owned(),
        "[[scope]]\nname = \"new\"\npaths = [\"**\"]\nsbom = { rule = \"require\", signers = [\"key\"] }\n".to_owned(),
        "[[require]]\nname = \"tests\"\npredicate = [\"p1\", \"p2\"]\nof = \"artifacts\"\nsigners = [\"alice\"]\nmax_age = \"1d\"\n".to_owned(),
        "[[require]]\nname = \"more\"\npredicate = \"p\"\nof = \"release\"\nsigners = [\"key\"]\nquorum = 1\n".to_owned(),
        "[[exception]]\ncode = \"SBOM-MISSING\"\npaths = [\"a\"]\nuntil = \"2026-05-01T00:00:00Z\"\nreason = \"other\"\n".to_owned(),
        signer("al", "issuer = \"https://people\"\nidentity = \"alice@h\"\ntimestamps = 2\nlogs = 2"),
    ];
    for text in &table {
        assert!(over(text).is_ok(), "{text} {:?}", over(text));
    }
    // All at once, too.
    let all: String =
        [0, 1, 2, 3, 4, 5, 6, 8, 9].iter().map(|at| format!("\n{}", table[*at])).collect();
    assert!(over(&all).is_ok(), "{:?}", over(&all));
}

fn check(text: &str, expected: &str) {
    match over(text) {
        Err(PolicyError::Widens { key, .. }) => assert!(key.contains(expected), "{key} for {text}"),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn no_rule_may_be_weaker() {
    let with = |from: &str, to: &str| {
        assert!(PROVENANCE.contains(from), "{from}");
        PROVENANCE.replacen(from, to, 1)
    };
    check("[provenance]\nrule = \"off\"\n", "provenance.rule");
    check(&with("level = 3", "rule = \"warn\"\nlevel = 3"), "provenance.rule");
    check(&with("level = 3", "level = 1"), "provenance.level");
    check(&with("build_types = [\"t1\"]\n", ""), "provenance.build_types");
    check(&with("[\"t1\"]", "[\"t1\", \"t3\"]"), "provenance.build_types");
    check(&with("max_age = \"1w\"\n", ""), "provenance.max_age");
    check(&with("\"1w\"", "\"31d\""), "provenance.max_age");
    check("[sbom]\nrule = \"off\"\n", "sbom.rule");
    check("[sbom]\nrule = \"warn\"\n", "sbom.signers");
    check("[sbom]\nsigners = [\"workflows\"]\n", "sbom.signers");
    check("[checksums]\nrule = \"off\"\n", "checksums.rule");
}

#[test]
fn no_stranger_and_no_wider_signer_may_join() {
    let other = Key::from_seed(2).public_pem();
    let key = Key::from_seed(1).public_pem();
    let window = "valid_from = \"2026-01-01T00:00:00Z\"\nvalid_until = \"2027-01-01T00:00:00Z\"\nlog = \"require\"";
    let keyed = |key: &str, window: &str| format!("public_key = '''\n{key}'''\n{window}");
    let claims = "claims = { runner-environment = \"github-hosted\" }";
    let strangers = [
        keyed(&other, window),
        keyed(&key, ""),
        keyed(&key, &window.replace("2026", "2025")),
        keyed(&key, &window.replace("2027", "2028")),
        keyed(&key, &window.replace("log = \"require\"", "")),
        format!(
            "issuer = \"https://other\"\nidentity = \"https://h/o/ci/w.yml@refs/tags/v1\"\n{claims}"
        ),
        format!(
            "issuer = \"https://issuer\"\nidentity = \"https://h/o/x/ci/w.yml@refs/tags/v1\"\n{claims}"
        ),
        "issuer = \"https://issuer\"\nidentity = \"https://h/o/ci/w.yml@refs/tags/v1\"".to_owned(),
        format!(
            "issuer = \"https://issuer\"\nidentity_glob = \"https://h/o/**/w.yml@refs/tags/*\"\n{claims}"
        ),
        // Narrower, but no pattern is compared with another.
        format!(
            "issuer = \"https://issuer\"\nidentity_glob = \"https://h/o/a*/w.yml@refs/tags/*\"\n{claims}"
        ),
        "issuer = \"https://people\"\nidentity_regex = 'alice@h'".to_owned(),
        "issuer = \"https://people\"\nidentity = \"Alice@h\"\ntimestamps = 1".to_owned(),
        "issuer = \"https://people\"\nidentity = \"alice@h\"".to_owned(),
        "issuer = \"https://people\"\nidentity = \"alice@h\"\nlogs = 1".to_owned(),
    ];
    for rest in &strangers {
        check(&signer("new", rest), "signer \"new\"");
        check(&signer("alice", rest), "signer \"alice\"");
    }
}

#[test]
fn no_builder_may_be_trusted_more_or_by_others() {
    let builder = |id: &str, signers: &str, level: u8| {
        format!("[[builder]]\nid = \"{id}\"\nsigners = [{signers}]\nlevel = {level}\n")
    };
    check(&builder("https://new", "\"key\"", 1), "builder \"https://new\"");
    check(&builder("https://b", "\"key\"", 3), "level");
    check(&builder("https://b", "\"alice\"", 2), "signers");
    check(&builder("https://b", "\"key\", \"alice\"", 2), "signers");
}

/// One identity of a pattern, named exactly, may speak for any builder that lists it. Over a base it
/// speaks for the builder that it is, like the pattern.
#[test]
fn an_identity_of_a_pattern_speaks_for_no_other_builder() {
    let id = "https://h/o/ci/w.yml@refs/tags/v1";
    let with = |name: &str, identity: &str| {
        let rest = format!(
            "issuer = \"https://issuer\"\nidentity = \"{identity}\"\nclaims = {{ runner-environment = \"github-hosted\" }}"
        );
        signer(name, &rest)
            + &format!("[[builder]]\nid = \"{id}\"\nsigners = [\"{name}\"]\nlevel = 3\n")
    };
    for name in ["ours", "workflows"] {
        assert!(over(&with(name, id)).is_ok());
        check(&with(name, "https://h/o/evil/w.yml@refs/tags/v1"), "signers");
    }
}

/// Two identities of one pattern count once; as two signers they would count twice.
#[test]
fn under_a_quorum_nobody_joins() {
    let base = base().replacen("level = 2\nsource", "level = 2\nquorum = 2\nsource", 1);
    let alias = signer("bob", "issuer = \"https://people\"\nidentity = \"alice@h\"");
    let over = |text: &str| Policy::parse_over(&format!("{HEAD}{text}"), &base);
    assert!(over("").is_ok());
    let found = over(&alias);
    assert!(matches!(found, Err(PolicyError::Widens { .. })), "{found:?}");
    let found = over(
        "[provenance]\nlevel = 3\nsource = \"any\"\nref = \"any\"\nbuild_types = [\"t1\"]\nmax_age = \"1d\"\n",
    );
    assert!(matches!(found, Err(PolicyError::Widens { key, .. }) if key == "provenance.quorum"));
}

#[test]
fn no_scope_may_take_artifacts_to_lower_demands() {
    let scope = |name: &str, rest: &str| format!("[[scope]]\nname = \"{name}\"\n{rest}\n");
    check(&scope("new", "paths = [\"x\"]\nprovenance = { rule = \"off\" }"), "provenance.rule");
    check(&scope("new", "paths = [\"x\"]\nsbom = { rule = \"off\" }"), "sbom.rule");
    check(&scope("docs", "paths = [\"**\"]\nprovenance = { rule = \"off\" }"), "scope \"docs\"");
    check(&scope("docs", "paths = [\"doc/*\"]\nkinds = [\"text\"]"), "scope \"docs\"");
    check(&scope("docs", "paths = [\"doc/*\"]\nchecksums = { rule = \"off\" }"), "checksums.rule");
}

#[test]
fn nothing_that_is_required_or_listed_may_be_less() {
    let require = |rest: &str| format!("[[require]]\nname = \"tests\"\n{rest}\n");
    let good =
        "predicate = [\"p1\", \"p2\"]\nof = \"artifacts\"\nsigners = [\"alice\"]\nmax_age = \"2w\"";
    assert!(over(&require(good)).is_ok());
    let table = [
        ("[\"p1\", \"p2\"]", "[\"p1\", \"p2\", \"p3\"]"),
        ("[\"p1\", \"p2\"]", "\"p1\""),
        ("\"artifacts\"", "\"release\""),
        ("\"artifacts\"", "\"artifacts\"\npaths = [\"a\"]"),
        ("\"alice\"", "\"key\""),
        ("\"alice\"", "\"alice\", \"key\""),
        ("max_age = \"2w\"", ""),
        ("\"2w\"", "\"15d\""),
        ("max_age", "rule = \"warn\"\nmax_age"),
    ];
    for (from, to) in table {
        check(&require(&good.replacen(from, to, 1)), "requirement \"tests\"");
    }
    let listed =
        format!("{}[release]\nartifacts = [\"a\", \"b\"]\nplatforms = [\"linux/amd64\"]\n", base());
    for (rest, key) in [
        ("artifacts = [\"a\"]\nplatforms = [\"linux/amd64\"]", "release.artifacts"),
        ("artifacts = [\"a\", \"b\", \"c\"]\nplatforms = [\"linux/amd64\"]", "release.artifacts"),
        (
            "artifacts = [\"a\", \"b\"]\nallowed = [\"c\"]\nplatforms = [\"linux/amd64\"]",
            "release.artifacts",
        ),
        ("platforms = [\"linux/amd64\"]", "release.artifacts"),
        ("artifacts = [\"a\", \"b\"]", "release.platforms"),
        ("artifacts = [\"a\", \"b\"]\nplatforms = [\"linux/arm64\"]", "release.platforms"),
    ] {
        match Policy::parse_over(&format!("{HEAD}[release]\n{rest}\n"), &listed) {
            Err(PolicyError::Widens { key: found, .. }) => assert_eq!(found, key, "{rest}"),
            other => panic!("{rest}: {other:?}"),
        }
    }
}

#[test]
fn no_exception_may_be_added_or_prolonged() {
    let exception = |code: &str, rest: &str, until: &str| {
        format!("[[exception]]\ncode = \"{code}\"\n{rest}\nuntil = \"{until}\"\nreason = \"r\"\n")
    };
    let until = "2026-06-01T00:00:00Z";
    for text in [
        exception("SBOM-FORMAT", "paths = [\"a\"]", until),
        exception("SBOM-MISSING", "paths = [\"a\", \"b\"]", until),
        exception("SBOM-MISSING", "", until),
        exception("SBOM-MISSING", "paths = [\"a\"]", "2026-06-01T00:00:01Z"),
    ] {
        check(&text, "exception for SBOM-");
    }
}

#[test]
fn an_expression_stays_what_it_is() {
    let expression = |cel: &str, rest: &str| {
        format!("[[expression]]\nname = \"e\"\nof = \"artifacts\"\ncel = \"{cel}\"\n{rest}\n")
    };
    let base = format!("{}{}", base(), expression("now > 0", "rule = \"warn\""));
    let over = |text: &str| Policy::parse_over(&format!("{HEAD}{text}"), &base);
    assert_eq!(over("").unwrap().conditions.len(), 1);
    assert!(over(&expression("now > 0", "rule = \"require\"")).is_ok());
    let more = expression("now > 1", "").replace("\"e\"", "\"f\"");
    assert_eq!(over(&more).unwrap().conditions.len(), 2);
    for (cel, rest) in [
        ("now > 0", "rule = \"off\""),
        ("true", ""),
        ("now > 0 || true", ""),
        ("now > 0", "paths = [\"a\"]"),
    ] {
        let found = over(&expression(cel, rest));
        assert!(matches!(found, Err(PolicyError::Widens { .. })), "{cel} {rest}");
    }
}

/// An expression that asks that something is not there was met by knowing or accepting less.
#[test]
fn what_expressions_of_the_base_look_at_stays() {
    let cel = "!statements.exists(s, s.type == 't')";
    let expression = format!("[[expression]]\nname = \"e\"\nof = \"artifacts\"\ncel = \"{cel}\"\n");
    let (plain, asked) = (base(), format!("{}{expression}", base()));
    let key = Key::from_seed(1).public_pem();
    for text in [
        format!(
            "[[signer]]\nname = \"key\"\npublic_key = \'\'\'\n{key}\'\'\'\nvalid_from = \"2026-01-01T00:00:00Z\"\nvalid_until = \"2026-01-02T00:00:00Z\"\nlog = \"require\"\n"
        ),
        "[[signer]]\nname = \"new\"\nissuer = \"https://people\"\nidentity = \"alice@h\"\ntimestamps = 1\n"
            .to_owned(),
        "[[builder]]\nid = \"https://b\"\nsigners = [\"key\"]\nlevel = 1\n".to_owned(),
        "[checksums]\nrule = \"require\"\n".to_owned(),
        "[sbom]\nrule = \"require\"\nsigners = [\"key\"]\n".to_owned(),
        "[[require]]\nname = \"tests\"\npredicate = [\"p1\", \"p2\"]\nof = \"artifacts\"\nsigners = [\"alice\"]\nmax_age = \"1w\"\n"
            .to_owned(),
    ] {
        let over = |base: &str| Policy::parse_over(&format!("{HEAD}{text}"), base);
        assert!(over(&plain).is_ok(), "{text}: {:?}", over(&plain));
        let found = over(&asked);
        assert!(matches!(found, Err(PolicyError::Widens { .. })), "{text}: {found:?}");
    }
}

#[test]
fn no_unsigned_document_may_be_added() {
    let digest = Digest::sha256_of(b"document");
    let pinned = |builder: &str| {
        format!(
            "[[unsigned]]\ndigest = \"{digest}\"\nreason = \"r\"\nbuilder = \"{builder}\"\nlevel = 1\n"
        )
    };
    check(&pinned("https://b"), "unsigned sha256:");
    let base = format!("{}{}", base(), pinned("https://b"));
    assert!(Policy::parse_over(HEAD, &base).is_ok());
    assert!(Policy::parse_over(&format!("{HEAD}{}", pinned("https://b")), &base).is_ok());
    let found = Policy::parse_over(&format!("{HEAD}{}", pinned("https://c")), &base);
    assert!(matches!(found, Err(PolicyError::Widens { .. })), "{found:?}");
}

#[test]
fn no_verifier_may_be_added_or_trusted_with_more() {
    let zeros = "0".repeat(64);
    let good = format!(
        "[[verifier]]\nid = \"https://v\"\nsigners = [\"alice\"]\nlevel = 2\n\
         resource = \"pkg:x/{{path}}\"\nrelease = \"pkg:x\"\npolicies = [\"sha256:{zeros}\"]\nmax_age = \"7d\"\n"
    );
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let policies = format!("policies = [\"sha256:{zeros}\"]");
    for narrower in [good.clone(), with("level = 2", "level = 1"), with("\"7d\"", "\"6d\"")] {
        assert!(over(&narrower).is_ok(), "{narrower} {:?}", over(&narrower));
    }
    let one = "1".repeat(64);
    for (from, to, key) in [
        ("https://v", "https://w", "verifier \"https://w\""),
        ("level = 2", "level = 3", "level"),
        ("pkg:x/{path}", "pkg:y/{path}", "resource"),
        ("release = \"pkg:x\"", "release = \"pkg:y\"", "resource or release"),
        (&*policies, "", "policies"),
        (&*zeros, &*one, "policies"),
        ("\"7d\"", "\"8d\"", "max_age"),
        ("\"alice\"", "\"key\"", "signers"),
        ("\"alice\"", "\"alice\", \"key\"", "signers"),
        ("resource = \"pkg:x/{path}\"\n", "", "resource or release"),
        ("release = \"pkg:x\"\n", "", "resource or release"),
    ] {
        check(&with(from, to), key);
    }
}

/// A verifier or a test that says FAILED is heard under a base's project as under the base: a signature that
/// counts no more would be silent about what it found, too.
#[test]
fn a_project_silences_nobody_who_may_say_failed() {
    use crate::code::Code;
    use crate::testing::{Case, FILE, statement};
    use bonded_model::{DocumentKind::Bundle, vsa::SUMMARY_V1};
    use serde_json::json;

    const TEST: &str = "https://in-toto.io/attestation/test-result/v0.1";
    let mut case = Case::good().with_second_key();
    let verifier = |signers: &str| {
        format!(
            "[[verifier]]\nid = \"https://v\"\nsigners = [{signers}]\nlevel = 3\n\
             resource = \"pkg:x\"\nrelease = \"pkg:y\"\nmax_age = \"7d\"\n"
        )
    };
    let require = |signers: &str, types: &str| {
        format!(
            "[[require]]\nname = \"t\"\npredicate = [{types}]\nof = \"artifacts\"\nsigners = [{signers}]\n"
        )
    };
    let (both, types) = ("\"key\", \"second\"", format!("\"{TEST}\", \"https://t\""));
    case.edit("#sbom", &format!("{}{}", verifier(both), require(both, &types)));
    let summary = json!({
        "verifier": {"id": "https://v"}, "resourceUri": "pkg:x", "policy": {},
        "verificationResult": "FAILED", "verifiedLevels": ["FAILED"],
    });
    let failed = json!({"result": "FAILED", "configuration": [{"name": "c"}]});
    for (by, kind, predicate) in
        [(1, "https://t", json!({})), (2, TEST, failed), (2, SUMMARY_V1, summary)]
    {
        let signed = Key::from_seed(by).bundle(&statement(FILE, kind, &predicate).to_bytes());
        case.attach(Bundle, &signed);
    }
    let base = case.policy.clone();
    let codes: Vec<_> = case.verdict().findings().iter().map(|f| f.code).collect();
    assert_eq!(codes, [Code::StmtFailed, Code::StmtFailed]);

    let (good, pem) = (verifier(both), Key::from_seed(2).public_pem());
    let second = |rest: &str| signer("second", &format!("public_key = '''\n{pem}'''\n{rest}"));
    for (text, key) in [
        (verifier("\"key\""), "signers"),
        (good.replace("resource = \"pkg:x\"\n", ""), "resource"),
        (good.replace("release = \"pkg:y\"\n", ""), "release"),
        (require("\"key\"", &types), "signers"),
        (require(both, "\"https://t\""), "requirement"),
        (second("log = \"require\"\n"), "signers"),
        (second("valid_until = \"2026-01-01T00:00:00Z\"\n"), "signers"),
        (second("logs = 1\n"), "signers"),
    ] {
        match Policy::parse_over(&format!("{HEAD}{text}"), &base) {
            Err(PolicyError::Widens { key: found, .. }) => assert!(found.contains(key), "{found}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in [good.replace("level = 3", "level = 2"), second(""), require(both, &types)] {
        let over = Policy::parse_over(&format!("{HEAD}{text}"), &base);
        assert!(over.is_ok(), "{text} {over:?}");
    }
}

#[test]
fn a_tag_is_not_traded_for_a_branch_nor_a_source_for_another() {
    let base = base().replacen("source = \"any\"", "source = \"https://s\"", 1).replacen(
        "ref = \"any\"",
        "tag = \"v{version}\"",
        1,
    );
    let over = |edit: (&str, &str)| {
        let text = "[provenance]\nlevel = 2\nsource = \"git+https://s/\"\ntag = \"v{version}\"\nbuild_types = [\"t1\"]\nmax_age = \"1d\"\n";
        assert!(text.contains(edit.0));
        Policy::parse_over(&format!("{HEAD}{}", text.replacen(edit.0, edit.1, 1)), &base)
    };
    assert!(over(("level = 2", "level = 2")).is_ok());
    for (edit, expected) in [
        (("tag =", "branch ="), "provenance.ref"),
        (("tag = \"v{version}\"", "ref = \"any\""), "provenance.ref"),
        (("tag = \"v{version}\"", "versioned_tag = \"v1\""), "provenance.ref"),
        (("git+https://s/", "https://s2"), "provenance.source"),
        (("git+https://s/", "any"), "provenance.source"),
    ] {
        match over(edit) {
            Err(PolicyError::Widens { key, .. }) => assert_eq!(key, expected, "{edit:?}"),
            other => panic!("{edit:?}: {other:?}"),
        }
    }
}
