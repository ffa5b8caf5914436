//! A view of SBOMs that is just enough to bind one to bytes: format, and the digests it names.
//!
//! SPDX 2.x as JSON and tag-value, SPDX 3 as JSON-LD, CycloneDX as JSON. The document itself is never
//! rewritten; full rules over its contents are a matter of their own.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::digest::{Algorithm, Digest};
use crate::json::{self, JsonError};
use crate::limits::EVIDENCE_BYTES_MAX;

/// What an SBOM says about itself and which digests of files and packages it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SbomView {
    /// The format family.
    pub format: SbomFormat,
    /// Its version as written: `SPDX-2.3`, `3.0.1`, `1.6`.
    pub spec_version: String,
    /// SHA-256 and SHA-512 digests of everything that the document describes.
    pub digests: BTreeSet<Digest>,
}

/// The family of SBOM formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SbomFormat {
    /// SPDX, ISO/IEC 5962.
    Spdx,
    /// CycloneDX, ECMA-424.
    CycloneDx,
}

/// Why bytes are no SBOM that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SbomError {
    /// Not strict JSON of the right shape.
    #[error("not a JSON SBOM")]
    Json(#[from] JsonError),
    /// Longer than the limit for evidence.
    #[error("SBOM has {bytes} bytes, the limit is {EVIDENCE_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Neither SPDX nor CycloneDX.
    #[error("document is neither SPDX nor CycloneDX")]
    UnknownFormat,
    /// Tag-value text whose line is no `Key: value`.
    #[error("line {line} of the tag-value document is no `Key: value`")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Tag-value text that ends inside `<text>`.
    #[error("the tag-value document ends inside <text>")]
    OpenText,
}

impl SbomView {
    /// Reads an SBOM of any supported format, told by its content.
    ///
    /// # Errors
    /// [`SbomError`] if it is malformed or of no known format.
    pub fn parse(bytes: &[u8]) -> Result<Self, SbomError> {
        if u64::try_from(bytes.len()).is_ok_and(|length| length > EVIDENCE_BYTES_MAX) {
            return Err(SbomError::TooLarge { bytes: bytes.len() });
        }
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            Some(b'{') => from_json(bytes),
            _ => from_tag_value(bytes),
        }
    }

    /// Whether one of these digests of a file is among those it names.
    pub fn names(&self, digests: &[Digest]) -> bool {
        digests.iter().any(|digest| self.digests.contains(digest))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireJson {
    spdx_version: Option<String>,
    #[serde(default)]
    packages: Vec<WireSpdxElement>,
    #[serde(default)]
    files: Vec<WireSpdxElement>,
    #[serde(rename = "@graph", default)]
    graph: Vec<WireSpdx3Element>,
    bom_format: Option<String>,
    spec_version: Option<String>,
    metadata: Option<WireMetadata>,
    #[serde(default)]
    components: Vec<WireComponent>,
}

#[derive(Deserialize)]
struct WireSpdxElement {
    #[serde(default)]
    checksums: Vec<WireSpdxChecksum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpdxChecksum {
    algorithm: String,
    checksum_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpdx3Element {
    spec_version: Option<String>,
    #[serde(default)]
    verified_using: Vec<WireSpdx3Integrity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpdx3Integrity {
    algorithm: Option<String>,
    hash_value: Option<String>,
}

#[derive(Deserialize)]
struct WireMetadata {
    component: Option<WireComponent>,
}

#[derive(Deserialize)]
struct WireComponent {
    #[serde(default)]
    hashes: Vec<WireHash>,
    #[serde(default)]
    components: Vec<WireComponent>,
}

#[derive(Deserialize)]
struct WireHash {
    alg: String,
    content: String,
}

fn from_json(bytes: &[u8]) -> Result<SbomView, SbomError> {
    let wire: WireJson = json::parse(bytes, EVIDENCE_BYTES_MAX)?;
    if wire.bom_format.as_deref() == Some("CycloneDX") {
        let root = wire.metadata.and_then(|metadata| metadata.component);
        let mut digests = BTreeSet::new();
        root.iter().chain(&wire.components).for_each(|c| collect_component(c, &mut digests));
        let spec_version = wire.spec_version.unwrap_or_default();
        return Ok(SbomView { format: SbomFormat::CycloneDx, spec_version, digests });
    }
    if let Some(spec_version) = wire.spdx_version.filter(|version| version.starts_with("SPDX-2.")) {
        let checksums =
            wire.packages.iter().chain(&wire.files).flat_map(|element| &element.checksums);
        let digests = checksums.filter_map(|c| digest(&c.algorithm, &c.checksum_value)).collect();
        return Ok(SbomView { format: SbomFormat::Spdx, spec_version, digests });
    }
    let spdx3 = wire.graph.iter().find_map(|element| element.spec_version.clone());
    match spdx3.filter(|version| version.starts_with("3.")) {
        Some(spec_version) => {
            let hashes = wire.graph.iter().flat_map(|element| &element.verified_using);
            let digests =
                hashes.filter_map(|h| digest(h.algorithm.as_deref()?, h.hash_value.as_deref()?));
            Ok(SbomView { format: SbomFormat::Spdx, spec_version, digests: digests.collect() })
        }
        None => Err(SbomError::UnknownFormat),
    }
}

/// Depth is bounded: the strict JSON check has already refused deeper nesting.
fn collect_component(component: &WireComponent, digests: &mut BTreeSet<Digest>) {
    digests.extend(component.hashes.iter().filter_map(|hash| digest(&hash.alg, &hash.content)));
    component.components.iter().for_each(|inner| collect_component(inner, digests));
}

fn from_tag_value(bytes: &[u8]) -> Result<SbomView, SbomError> {
    let text = std::str::from_utf8(bytes).map_err(|_not_text| SbomError::UnknownFormat)?;
    let (mut spec_version, mut digests, mut in_text) = (None, BTreeSet::new(), false);
    for (at, line) in text.lines().enumerate() {
        if in_text {
            in_text = !line.contains("</text>");
            continue;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let tag =
            line.split_once(':').filter(|(key, _)| key.bytes().all(|b| b.is_ascii_alphanumeric()));
        let Some((key, value)) = tag else {
            return Err(if spec_version.is_some() {
                SbomError::Line { line: at + 1 }
            } else {
                SbomError::UnknownFormat
            });
        };
        in_text = value.contains("<text>") && !value.contains("</text>");
        match key {
            "SPDXVersion" => spec_version = Some(value.trim().to_owned()),
            "PackageChecksum" | "FileChecksum" => digests.extend(
                value.split_once(':').and_then(|(name, hex)| digest(name.trim(), hex.trim())),
            ),
            _ => {}
        }
    }
    if in_text {
        return Err(SbomError::OpenText);
    }
    let spec_version =
        spec_version.filter(|v| v.starts_with("SPDX-2.")).ok_or(SbomError::UnknownFormat)?;
    Ok(SbomView { format: SbomFormat::Spdx, spec_version, digests })
}

/// A digest of a strong algorithm in any of the formats' spellings; others bind nothing.
fn digest(algorithm: &str, hex: &str) -> Option<Digest> {
    let name = algorithm.to_ascii_lowercase().replace('-', "");
    let algorithm =
        [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|a| a.name() == name)?;
    Digest::from_hex(algorithm, &hex.to_ascii_lowercase()).ok() // a malformed digest names nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(text: &str, format: SbomFormat, spec_version: &str) {
        let view =
            SbomView::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((view.format, view.spec_version.as_str()), (format, spec_version));
        assert!(view.names(&[Digest::sha256_of(b"")]), "{text}");
        assert!(!view.names(&[Digest::sha256_of(b"x")]), "{text}");
    }

    #[test]
    fn every_format_names_its_digests() {
        check(
            &format!(
                r#"{{"spdxVersion":"SPDX-2.3","packages":[{{"checksums":[{{"algorithm":"SHA256","checksumValue":"{HEX}"}}]}}]}}"#
            ),
            SbomFormat::Spdx,
            "SPDX-2.3",
        );
        check(
            &format!(
                r#"{{"@context":"x","@graph":[{{"specVersion":"3.0.1"}},{{"verifiedUsing":[{{"algorithm":"sha256","hashValue":"{HEX}"}}]}}]}}"#
            ),
            SbomFormat::Spdx,
            "3.0.1",
        );
        check(
            &format!(
                r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{{"component":{{"hashes":[{{"alg":"SHA-256","content":"{HEX}"}}]}}}}}}"#
            ),
            SbomFormat::CycloneDx,
            "1.6",
        );
        check(
            &format!(
                "SPDXVersion: SPDX-2.3\n# comment\nDocumentComment: <text>a\nno tag\n</text>\nFileChecksum: SHA256: {HEX}\n"
            ),
            SbomFormat::Spdx,
            "SPDX-2.3",
        );
    }

    #[test]
    fn must_reject() {
        let reject = |text: &str| SbomView::parse(text.as_bytes()).expect_err(text);
        for text in [
            "",
            "hello world",
            "<xml/>",
            "{}",
            "\u{feff}SPDXVersion: SPDX-2.3",
            r#"{"spdxVersion":"SPDX-9"}"#,
        ] {
            assert!(matches!(reject(text), SbomError::UnknownFormat), "{text:?}");
        }
        let junk = "SPDXVersion: SPDX-2.3\nPackageName: a\njunk line\n";
        assert!(matches!(reject(junk), SbomError::Line { line: 3 }));
        let open = "SPDXVersion: SPDX-2.3\nPackageComment: <text>cut";
        assert!(matches!(reject(open), SbomError::OpenText));
        assert!(matches!(reject(r#"{"bomFormat":"CycloneDX","#), SbomError::Json(_)));
        assert!(matches!(
            reject(r#"{"bomFormat":"CycloneDX","bomFormat":"x"}"#),
            SbomError::Json(_)
        ));
    }
}
