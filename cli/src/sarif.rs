//! A verdict as SARIF 2.1.0 (OASIS Standard), for code-scanning pages and editors: one run, one rule for
//! each code that was found, one result for each finding.
//!
//! A finding's place is its artifact as a path relative to the release; what is about the release as a
//! whole has its name as a logical location. The log holds no time but the one that the verdict was asked
//! for, so equal verdicts give equal bytes.

use std::collections::BTreeMap;

use bonded_model::Digest;
use bonded_model::json::to_canonical;
use bonded_verify::{Code, Finding, Severity, Verdict};
use serde_json::{Value, json};

/// Where the schema of the format stands (SARIF 2.1.0, 3.13.3).
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The name of our way to tell that two results are the same (SARIF 2.1.0, 3.27.17).
const FINGERPRINT: &str = "bondedFinding/v1";

/// The base of all relative paths: the release (SARIF 2.1.0, 3.14.14).
const BASE: &str = "RELEASE";

/// The log of a verdict.
pub(crate) fn log(verdict: &Verdict) -> Value {
    let rules = Rules::of(verdict.findings());
    let results: Vec<_> =
        verdict.findings().iter().map(|finding| result(verdict, &rules, finding)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "bonded",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.list(),
            }},
            "invocations": [{ "executionSuccessful": true }],
            "originalUriBaseIds": { BASE: { "description": { "text": "The files of the release." } } },
            "results": results,
            "properties": {
                "subject": about(verdict),
                "subjectDigest": verdict.subject_digest(),
                "result": if verdict.is_pass() { "pass" } else { "fail" },
                "policy": verdict.policy_digest(),
                "trustRoot": verdict.trust_root_digest(),
                "evidence": verdict.evidence_digest(),
                "now": verdict.now(),
            },
        }],
    })
}

/// The codes that were found, with their places in the list of rules.
struct Rules(BTreeMap<Code, usize>);

impl Rules {
    fn of(findings: &[Finding]) -> Self {
        let codes: std::collections::BTreeSet<_> =
            findings.iter().map(|finding| finding.code).collect();
        Self(codes.into_iter().zip(0..).collect())
    }

    fn list(&self) -> Vec<Value> {
        let rule = |code: &Code| {
            json!({
                "id": code.as_str(),
                "shortDescription": { "text": code.meaning() },
                "fullDescription": { "text": format!("{} Clause: {}.", code.meaning(), code.clause()) },
                "help": { "text": code.remedy() },
            })
        };
        self.0.keys().map(rule).collect()
    }
}

fn result(verdict: &Verdict, rules: &Rules, finding: &Finding) -> Value {
    let code = finding.code;
    let text = format!(
        "{} Expected {}; seen {}. {}",
        code.meaning(),
        finding.expected,
        finding.seen,
        code.remedy()
    );
    json!({
        "ruleId": code.as_str(),
        "ruleIndex": rules.0.get(&code),
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [location(verdict, finding)],
        "partialFingerprints": { FINGERPRINT: fingerprint(finding) },
        "properties": {
            "subject": finding.subject,
            "document": finding.document,
            "expected": finding.expected,
            "seen": finding.seen,
        },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Fail => "error",
        Severity::Warn => "warning",
        Severity::Note => "note",
    }
}

fn location(verdict: &Verdict, finding: &Finding) -> Value {
    let Some(path) = &finding.path else {
        let name = about(verdict);
        return json!({ "logicalLocations": [{ "fullyQualifiedName": name, "kind": "resource" }] });
    };
    let uri = percent_encoded(path.as_str());
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri, "uriBaseId": BASE } } })
}

fn about(verdict: &Verdict) -> String {
    let digest = verdict.subject_digest();
    verdict.release().map_or_else(|| digest.to_string(), |(name, _)| name.to_string())
}

/// What makes two findings the same one, whenever the verdict was asked for.
fn fingerprint(finding: &Finding) -> String {
    Digest::sha256_of(&to_canonical(finding)).hex()
}

/// A path as a relative reference (RFC 3986, section 4.2): what is not unreserved is encoded, so that no
/// name can be taken for a scheme, a query or a fragment.
fn percent_encoded(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_references() {
        let table = [
            ("bin/linux/amd64/kubectl", "bin/linux/amd64/kubectl"),
            ("a b", "a%20b"),
            ("file:x", "file%3Ax"),
            ("a?b#c%d", "a%3Fb%23c%25d"),
            ("\u{e9}", "%C3%A9"),
        ];
        for (path, expected) in table {
            assert_eq!(percent_encoded(path), expected);
        }
    }

    #[test]
    fn every_severity_has_a_level_of_the_format() {
        let levels = [Severity::Fail, Severity::Warn, Severity::Note].map(level);
        assert_eq!(levels, ["error", "warning", "note"]);
    }
}
