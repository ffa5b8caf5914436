//! What people write or download: policies and what stands in them, keys, trust roots.

use bonded_model::Evidence;
use bonded_verify::{FileExpectation, Policy, PublicKey, TrustRoot, Verifier, verify_release};
use serde_json::Value;

use super::verdicts::{KEY, VERIFIER, ask, now, release};

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
    let evidence = Evidence { release: release(), documents: Vec::new() };
    drop(verify_release(&VERIFIER, policy, &evidence, now()));
}

/// A text as TOML writes it, with the escapes of JSON, which are some of TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// An expression of a policy, asked of a release and of its artifact.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for of in ["artifacts", "release"] {
        let policy = Policy::parse(&format!(
            "version = 1\nname = \"e\"\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n\
             [[expression]]\nname = \"e\"\nof = \"{of}\"\ncel = {}\n",
            quoted(text)
        ));
        if let Ok(policy) = policy {
            judge(&policy);
        }
    }
}

/// Patterns of identities and paths.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = quoted(text);
    for key in ["identity", "identity_glob", "identity_regex"] {
        let policy = Policy::parse(&format!(
            "version = 1\nname = \"p\"\n[[signer]]\nname = \"s\"\nissuer = \"i\"\n{key} = {text}\n\
             [provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n\
             [release]\nallowed = [{text}]\nartifacts = [\"x\"]\n\
             [[scope]]\nname = \"s\"\npaths = [{text}]\nchecksums = {{ rule = \"warn\" }}\n"
        ));
        if let Ok(policy) = policy {
            judge(&policy);
            let bundle = include_bytes!("../corpus/bundle/v1.json");
            ask(&VERIFIER, &FileExpectation::Policy(&policy), bundle);
        }
    }
}

pub fn public_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = PublicKey::from_pem(text) {
        let bundle = include_bytes!("../corpus/bundle/managed.json");
        ask(&VERIFIER, &FileExpectation::Key(&key), bundle);
    }
    assert!(PublicKey::from_pem(KEY).is_ok());
}

pub fn trust_root(bytes: &[u8]) {
    if let Ok(verifier) =
        TrustRoot::parse(bytes).map_err(drop).and_then(|root| Verifier::new(root).map_err(drop))
    {
        let any = FileExpectation::Identity { san: "anybody", issuer: "anywhere" };
        ask(&verifier, &any, include_bytes!("../corpus/bundle/v1.json"));
    }
}
