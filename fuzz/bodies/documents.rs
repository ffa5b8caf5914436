//! Parsers of the model and of mirrors, which are public.

use std::fmt::{Debug, Display};
use std::hint::black_box;
use std::str::FromStr;

use bonded_mirror::{Known, Plan};
use bonded_model::dsse::Envelope;
use bonded_model::inventory::Listing;
use bonded_model::json::{parse, to_canonical};
use bonded_model::limits::EVIDENCE_BYTES_MAX;
use bonded_model::manifest::{Index, Manifest};
use bonded_model::marker::markers;
use bonded_model::predicate::Predicate;
use bonded_model::sbom::SbomView;
use bonded_model::slsa::{Provenance, normalise_repository};
use bonded_model::statement::{Statement, StatementVersion, Subject};
use bonded_model::vsa::{Label, Summary};
use bonded_model::{
    Algorithm, ArtifactPath, Digest, ImageName, MediaType, Platform, Project, ReleaseName,
    Repository, Tag, Timestamp, Version, checksums,
};
use bonded_store::export::ExportName;
use bonded_store::{references, sniff as looks};
use serde_json::Value;
use serde_json::value::RawValue;

/// Canonical JSON of a document can be read, and is its own canonical JSON.
pub fn json(bytes: &[u8]) {
    if let Ok(value) = parse::<Value>(bytes, EVIDENCE_BYTES_MAX) {
        let canonical = to_canonical(&value);
        let again: Value = parse(&canonical, u64::MAX).expect("canonical JSON is strict JSON");
        if !canonical.contains(&b'.') && !canonical.contains(&b'e') {
            assert_eq!(to_canonical(&again), canonical, "without fractions nothing is rounded");
        }
    }
}

/// What a name is written as is that name.
pub fn names(bytes: &[u8]) {
    fn back<T: FromStr + Display + PartialEq + Debug>(text: &str) {
        if let Ok(name) = text.parse::<T>() {
            let again = name.to_string().parse::<T>().ok().expect("its own spelling is one");
            assert_eq!(again, name);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    back::<Digest>(text);
    back::<MediaType>(text);
    back::<Platform>(text);
    back::<Project>(text);
    back::<Version>(text);
    back::<ReleaseName>(text);
    back::<Repository>(text);
    back::<Tag>(text);
    back::<ImageName>(text);
    back::<ExportName>(text);
    back::<Timestamp>(text);
    back::<ArtifactPath>(text);
    if let Ok(path) = text.parse::<ArtifactPath>() {
        assert!(path.as_str().split('/').all(|part| !["", ".", ".."].contains(&part)));
    }
    drop(Label::parse(text));
    let normal = normalise_repository(text);
    assert!(normal.len() <= text.len() + 16, "normalising makes nothing long");
    let versions: Vec<Version> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(markers(&versions).len() <= 6 * versions.len(), "stable and latest, of two lengths");
}

pub fn statement(bytes: &[u8]) {
    let Ok(statement) = Statement::parse(bytes) else { return };
    let again = Statement::parse(&statement.to_bytes()).expect("what is written can be read");
    assert_eq!(again.subjects, statement.subjects);
    predicates(&statement);
}

/// A predicate, read as each type that there is.
pub fn predicate(bytes: &[u8]) {
    const TYPES: [&str; 22] = [
        "https://slsa.dev/provenance/v0.1",
        "https://slsa.dev/provenance/v0.2",
        "https://slsa.dev/provenance/v1",
        "https://slsa.dev/verification_summary/v0.2",
        "https://slsa.dev/verification_summary/v1",
        "https://in-toto.io/Link/v0.2",
        "https://in-toto.io/attestation/link/v0.3",
        "https://in-toto.io/attestation/test-result/v0.1",
        "https://in-toto.io/attestation/release/v0.1",
        "https://in-toto.io/attestation/release/v0.2",
        "https://in-toto.io/attestation/scai/attribute-report/v0.2",
        "https://in-toto.io/attestation/scai/v0.3",
        "https://in-toto.io/attestation/vulns/v0.1",
        "https://in-toto.io/attestation/vulns/v0.2",
        "https://in-toto.io/attestation/promotion-record/v0.1",
        "https://k8s.io/promo-tools/promotion/v1",
        "https://github.com/npm/attestation/tree/main/specs/publish/v0.1",
        "https://openvex.dev/ns/v0.2.0",
        "https://openvex.dev/ns",
        "https://spdx.dev/Document/v2.3",
        "https://cyclonedx.org/bom",
        "https://example.com/unknown",
    ];
    let Some(raw) = std::str::from_utf8(bytes).ok().and_then(|text| {
        RawValue::from_string(text.to_owned()).ok() // what is no JSON stands in no statement
    }) else {
        return;
    };
    for predicate_type in TYPES {
        predicates(&Statement {
            version: StatementVersion::V1,
            subjects: vec![Subject::new("a", Digest::sha256_of(b"a"))],
            predicate_type: predicate_type.to_owned(),
            predicate: raw.clone(),
        });
    }
}

fn predicates(statement: &Statement) {
    let digests = [Digest::sha256_of(b"a"), Digest::sha512_of(b"a")];
    drop(format!("{:?}", statement.matches(&digests)));
    if let Ok(Some(predicate)) = Predicate::parse(statement) {
        black_box(predicate.says_failed());
    }
    drop(Provenance::parse(statement));
    if let Ok(summary) = Summary::parse(statement) {
        black_box((summary.failed(), summary.labels().count()));
    }
}

pub fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    let again = Envelope::parse(&envelope.to_bytes()).expect("what is written can be read");
    assert_eq!(again.pae(), envelope.pae());
}

pub fn sbom(bytes: &[u8]) {
    if let Ok(view) = SbomView::parse(bytes) {
        black_box(view.names(&[Digest::sha256_of(b"a"), Digest::sha512_of(b"a")]));
    }
}

pub fn checksums(bytes: &[u8]) {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3] {
        if let Ok(lines) = checksums::parse(bytes, algorithm) {
            assert!(!lines.is_empty(), "a list of none is no list");
            assert!(lines.iter().all(|line| line.digest.algorithm() == algorithm));
        }
    }
    if let Ok(name) = std::str::from_utf8(bytes) {
        black_box((checksums::algorithm_of(name), checksums::sidecar_target(name)));
    }
}

pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        let again = Manifest::parse(&manifest.to_bytes()).expect("what is written can be read");
        assert_eq!(again, manifest);
    }
    if let Ok(index) = Index::parse(bytes) {
        let again = Index::parse(&index.to_bytes()).expect("what is written can be read");
        assert_eq!(again, index);
    }
    for media_type in [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/octet-stream",
    ] {
        drop(references::of(&MediaType::known(media_type), bytes));
    }
}

/// The list of releases that stands on a mirror.
pub fn listing(bytes: &[u8]) {
    let project: Project = "demo".parse().expect("a name");
    if let Ok(listing) = Listing::parse(&project, bytes) {
        let again = Listing::parse(&project, &listing.to_bytes()).expect("written can be read");
        assert_eq!(again.to_bytes(), listing.to_bytes());
    }
}

pub fn mirror_plan(bytes: &[u8]) {
    if let Ok(plan) = Plan::parse(bytes) {
        let again = Plan::parse(&plan.to_json()).expect("what is written can be read");
        assert_eq!(again.digest(), plan.digest());
    }
}

/// The records in a mirror's journal, one a line.
pub fn mirror_record(bytes: &[u8]) {
    let records: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    drop(Known::of(&records));
}

pub fn sniff(bytes: &[u8]) {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let window = bytes.get(..looks::WINDOW_BYTES).unwrap_or(bytes);
    for size in [size, size.saturating_add(1 << 40)] {
        let first = looks::sniff(window, size);
        assert_eq!(first.kind, looks::sniff(window, size).kind);
    }
}
