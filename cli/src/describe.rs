//! Verdicts, evidence and facts as text for people.

use bonded_model::evidence::Subject;
use bonded_model::{ContentKind, DocumentKind};
use bonded_store::BlobFacts;
use bonded_store::ingest::How;
use bonded_verify::{ArtifactVerdict, Finding, Severity, Verdict};

/// A verdict for people: result, artifacts with level and signer, then the findings.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let result = if verdict.is_pass() { "PASS" } else { "FAIL" };
    let about = match verdict.release() {
        Some((name, digest)) => format!("{name}  {digest}"),
        None => verdict.subject_digest().to_string(),
    };
    let mut text = format!("{result}  {about}\n");
    text += &format!(
        "  policy {}  trust root {}",
        verdict.policy_digest().short(),
        verdict.trust_root_digest().short()
    );
    text += &format!("  evidence {}  as of {}\n", verdict.evidence_digest().short(), verdict.now());
    for artifact in verdict.artifacts() {
        text += &artifact_line(artifact);
    }
    for severity in [Severity::Fail, Severity::Warn, Severity::Note] {
        for found in verdict.findings().iter().filter(|finding| finding.severity == severity) {
            text += &finding(found);
        }
    }
    text
}

/// Only the findings that made it a fail.
pub(crate) fn fails(verdict: &Verdict) -> String {
    let fails = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    fails.map(finding).collect::<String>().trim_end().to_owned()
}

fn artifact_line(artifact: &ArtifactVerdict) -> String {
    let path = artifact.path.as_ref().map_or("(file)", |path| path.as_str());
    let level = artifact
        .level
        .map_or_else(|| "no level".into(), |level| format!("SLSA build level {level}"));
    let mut signers: Vec<&str> =
        artifact.accepted.iter().filter_map(|a| Some(a.signer.as_ref()?.name.as_str())).collect();
    signers.dedup();
    let by = if signers.is_empty() {
        String::new()
    } else {
        format!(", signed by {}", signers.join(", "))
    };
    format!("  {path}  {}  {level}{by}\n", artifact.digest.short())
}

fn finding(finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Fail => "fail",
        Severity::Warn => "warn",
        Severity::Note => "note",
    };
    let of = finding.path.as_ref().map_or("release", |path| path.as_str());
    let document =
        finding.document.as_ref().map_or_else(String::new, |d| format!(" in {}", d.short()));
    let code = finding.code;
    let mut text = format!("  {word} {}  {of}{document}: {}\n", code.as_str(), code.meaning());
    text += &format!("       expected {}\n       seen     {}\n", finding.expected, finding.seen);
    if finding.severity == Severity::Fail {
        text += &format!("       try      {}\n", code.remedy());
    }
    text
}

/// A subject of evidence, for people.
pub(crate) fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Release => "the release".into(),
        Subject::Artifact(path) => path.to_string(),
    }
}

/// A kind of document, for people.
pub(crate) fn kind(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Bundle => "bundle",
        DocumentKind::Envelope => "DSSE envelope",
        DocumentKind::Statement => "unsigned statement",
        DocumentKind::Spdx => "SPDX",
        DocumentKind::CycloneDx => "CycloneDX",
        DocumentKind::Checksums => "checksums",
        DocumentKind::Metablock => "in-toto layout or link",
        DocumentKind::Signature => "signature",
        DocumentKind::Certificate => "certificate",
        DocumentKind::LogEntry => "log entry",
    }
}

/// How the subject of a document was found, for people.
pub(crate) fn how(how: How) -> &'static str {
    match how {
        How::ByName => "by name",
        How::ByContent => "by content",
        How::BesideImage => "in the image's layout",
        How::Unmatched => "matches no artifact",
    }
}

/// What a file looks like by its first bytes, for people; empty where nobody looked or nothing was told
/// by them.
pub(crate) fn facts(facts: &BlobFacts) -> String {
    let kind = facts.kind.filter(|kind| *kind != ContentKind::Unknown);
    let kind = kind.iter().map(ToString::to_string);
    let words: Vec<_> = kind.chain(facts.platform.iter().map(ToString::to_string)).collect();
    words.join(", ")
}
