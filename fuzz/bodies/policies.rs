//! What people write or download: policies and what stands in them, keys, trust roots.

use bonded_model::{DocumentKind, Evidence};
use bonded_verify::{
    Code, FileExpectation, Policy, PublicKey, TrustRoot, Verdict, Verifier, verify_release,
};
use serde_json::Value;

use super::verdicts::{IDENTITY, ISSUER, KEY, VERIFIER, ask, document, now, release};

/// A policy that is one can be checked, explained, asked, and is as narrow as itself.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    drop(Policy::base_of(text));
    if let Ok(policy) = Policy::parse(text) {
        drop(Policy::parse_over(text, text));
        judge(&policy);
    }
}

fn judge(policy: &Policy) {
    drop((policy.check(None), policy.check(Some(now())), policy.explain(&release())));
    drop(verdict(policy));
}

/// On a release with two papers: provenance by a key, and a statement by a workflow.
fn verdict(policy: &Policy) -> Verdict {
    let bundle = |bytes| document(DocumentKind::Bundle, bytes);
    let evidence = Evidence {
        release: release(),
        documents: vec![
            bundle(include_bytes!("../corpus/bundle/provenance.json")),
            bundle(include_bytes!("../corpus/bundle/v1.json")),
        ],
    };
    verify_release(&VERIFIER, policy, &evidence, now())
}

/// A text as TOML writes it, with the escapes of JSON, which are some of TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A policy with one expression, of a builder and signers whose papers are there to be looked at.
fn asking(of: &str, text: &str) -> Option<Policy> {
    let policy = Policy::parse(&format!(
        r#"version = 1
name = "e"
[[signer]]
name = "key"
public_key = '''
{KEY}'''
[[signer]]
name = "workflow"
issuer = "{ISSUER}"
identity = "{IDENTITY}"
[[builder]]
id = "https://example.com/builder"
signers = ["key"]
level = 3
[provenance]
level = 3
source = "https://github.com/o/r"
ref = "any"
[sbom]
rule = "off"
[[expression]]
name = "e"
of = "{of}"
cel = {}
"#,
        quoted(text)
    ));
    policy.ok() // it is no expression
}

/// An expression of a policy, asked of a release and of its artifact.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    ["artifacts", "release"].iter().filter_map(|of| asking(of, text)).for_each(|p| judge(&p));
}

/// That expressions see papers, and that patterns are held against a name.
pub(super) fn reach() {
    for (of, text) in [
        ("artifacts", "provenance.level == 3 && size(statements) == 2"),
        ("artifacts", "statements.all(s, s.signers == ['key'] || s.signers == ['workflow'])"),
        ("release", "size(statements) == 2"),
    ] {
        let verdict = verdict(&asking(of, text).expect(text));
        assert!(verdict.is_pass(), "{of} {text}: {verdict:?}");
    }
    for (key, text, matches) in [
        ("identity_glob", "https://github.com/**", true),
        ("identity_glob", "https://example.com/**", false),
        ("identity_regex", r"https://github\.com/.*", true),
        ("identity", IDENTITY, true),
    ] {
        let policy = patterned(key, &quoted(text)).expect(text);
        let found = verdict(&policy);
        let refused = found.findings().iter().any(|finding| finding.code == Code::IdSubject);
        let signed = found.artifacts().iter().any(|artifact| !artifact.accepted.is_empty());
        assert_eq!((signed, refused), (matches, !matches), "{key} {text}: {found:?}");
    }
}

const V1: &[u8] = include_bytes!("../corpus/bundle/v1.json");

/// A policy with a pattern for the identity, and for paths; none where the text is no pattern of that kind.
fn patterned(key: &str, text: &str) -> Option<Policy> {
    let policy = Policy::parse(&format!(
        "version = 1\nname = \"p\"\n[[signer]]\nname = \"s\"\nissuer = \"{ISSUER}\"\n{key} = {text}\n\
         [provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n\
         [[require]]\nname = \"t\"\npredicate = [\"https://example.com/t\"]\nof = \"artifacts\"\nsigners = [\"s\"]\n\
         [release]\nallowed = [{text}]\nartifacts = [\"x\"]\n\
         [[scope]]\nname = \"s\"\npaths = [{text}]\nchecksums = {{ rule = \"warn\" }}\n"
    ));
    policy.ok() // see above
}

/// Patterns of identities and paths.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = quoted(text);
    let keys = ["identity", "identity_glob", "identity_regex"].into_iter();
    keys.filter_map(|key| patterned(key, &text)).for_each(|policy| judge(&policy));
}

pub fn public_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = PublicKey::from_pem(text) {
        let bundle = include_bytes!("../corpus/bundle/managed.json");
        drop(ask(&VERIFIER, &FileExpectation::Key(&key), bundle));
    }
    assert!(PublicKey::from_pem(KEY).is_ok());
}

pub fn trust_root(bytes: &[u8]) {
    if let Ok(verifier) =
        TrustRoot::parse(bytes).map_err(drop).and_then(|root| Verifier::new(root).map_err(drop))
    {
        let any = FileExpectation::Identity { san: "anybody", issuer: "anywhere" };
        drop(ask(&verifier, &any, V1));
    }
}
