//! Reports of vulnerability scanners (in-toto/attestation, spec/predicates/vulns.md and vulns_02.md).

use serde::Deserialize;

use crate::timestamp::Timestamp;

/// Predicate type of a report v0.1.
pub const VULNS_V0_1: &str = "https://in-toto.io/attestation/vulns/v0.1";
/// Predicate type of a report v0.2.
pub const VULNS_V0_2: &str = "https://in-toto.io/attestation/vulns/v0.2";

/// What a scanner found, and when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VulnerabilityReport {
    /// Who looked, with which database, and the result.
    pub scanner: Scanner,
    /// When it looked.
    pub metadata: ScanTimes,
}

/// A scanner with its database and result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Scanner {
    /// Which scanner.
    pub uri: String,
    /// Its version.
    pub version: Option<String>,
    /// What it knows.
    pub db: Database,
    /// What it found; nothing means that it found nothing.
    pub result: Vec<Vulnerability>,
}

/// The database of a scanner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Which database.
    pub uri: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// When it was brought up to date.
    pub last_update: Timestamp,
}

/// A vulnerability that was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Vulnerability {
    /// Its name.
    pub id: String,
    /// How bad it is, by one or more methods.
    pub severity: Vec<Rating>,
}

/// A rating by one method.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rating {
    /// The method.
    pub method: String,
    /// What it says.
    pub score: String,
}

/// The times of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanTimes {
    /// When it began.
    pub scan_started_on: Timestamp,
    /// When it ended.
    pub scan_finished_on: Timestamp,
}

/// v0.1, whose text puts each vulnerability into a member and whose example does not.
#[derive(Deserialize)]
pub(super) struct WireV01 {
    scanner: ScannerV01,
    metadata: ScanTimes,
}

#[derive(Deserialize)]
struct ScannerV01 {
    uri: String,
    version: Option<String>,
    db: Database,
    result: Vec<EntryV01>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EntryV01 {
    Wrapped { vulnerability: Vulnerability },
    Bare(Vulnerability),
}

impl From<WireV01> for VulnerabilityReport {
    fn from(wire: WireV01) -> Self {
        let bare = |entry| match entry {
            EntryV01::Wrapped { vulnerability } | EntryV01::Bare(vulnerability) => vulnerability,
        };
        let ScannerV01 { uri, version, db, result } = wire.scanner;
        let result = result.into_iter().map(bare).collect();
        Self { scanner: Scanner { uri, version, db, result }, metadata: wire.metadata }
    }
}
