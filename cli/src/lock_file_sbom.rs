//! An SPDX 2.3 document made from a Cargo lock file: which crates, in which versions, with which
//! checksums, went into a program, and which files ship with it. Deterministic: the same lock file,
//! files and time give the same bytes.

use std::collections::BTreeMap;

use bonded_model::{Digest, Timestamp, json, toml_text};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the document describes.
#[derive(Debug)]
pub(crate) struct Described<'a> {
    /// Name of the package that it was built from.
    pub(crate) name: &'a str,
    /// Version of that package.
    pub(crate) version: &'a str,
    /// Every file that ships with it, by path, with its SHA-256; the first is the program itself.
    pub(crate) files: &'a [(&'a str, Digest)],
    /// When the document is made.
    pub(crate) created: Timestamp,
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The document's bytes.
///
/// # Errors
/// If the text is no lock file.
pub(crate) fn from_lock_file(
    text: &str,
    of: &Described<'_>,
) -> Result<Vec<u8>, toml_text::TomlError> {
    let lock: LockFile = toml_text::parse(text)?;
    let ids: BTreeMap<(&str, &str), String> = lock
        .package
        .iter()
        .map(|p| ((p.name.as_str(), p.version.as_str()), spdx_id(&p.name, &p.version)))
        .collect();
    let packages: Vec<Value> =
        std::iter::once(root_package(of)).chain(lock.package.iter().map(package)).collect();
    let files: Vec<Value> =
        of.files.iter().enumerate().map(|(at, (path, digest))| file(at, path, digest)).collect();
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-root")];
    relationships
        .extend((0..files.len()).map(|at| relationship("SPDXRef-root", "CONTAINS", &file_id(at))));
    let own = lock.package.iter().filter(|p| p.name == of.name && p.version == of.version);
    relationships.extend(
        own.map(|p| relationship("SPDXRef-root", "GENERATED_FROM", &spdx_id(&p.name, &p.version))),
    );
    for package in &lock.package {
        let from = spdx_id(&package.name, &package.version);
        let to = package.dependencies.iter().filter_map(|entry| resolve(entry, &ids));
        relationships.extend(to.map(|to| relationship(&from, "DEPENDS_ON", to)));
    }
    Ok(json::to_canonical(&json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", of.name, of.version),
        "documentNamespace": format!("https://spdx.invalid/{}/{}", of.name, identity(of.files).hex()),
        "creationInfo": {
            "created": of.created,
            "creators": [format!("Tool: bonded-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "files": files,
        "relationships": relationships,
    })))
}

fn root_package(of: &Described<'_>) -> Value {
    json!({
        "SPDXID": "SPDXRef-root",
        "name": of.name,
        "versionInfo": of.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "APPLICATION",
    })
}

fn file(at: usize, path: &str, digest: &Digest) -> Value {
    json!({
        "SPDXID": file_id(at),
        "fileName": format!("./{path}"),
        "checksums": [{ "algorithm": "SHA256", "checksumValue": digest.hex() }],
    })
}

fn file_id(at: usize) -> String {
    format!("SPDXRef-File-{at}")
}

/// What the document is about, as one digest: it makes the namespace unique and reproducible.
fn identity(files: &[(&str, Digest)]) -> Digest {
    Digest::sha256_of(&json::to_canonical(files))
}

fn package(package: &Package) -> Value {
    let mut value = json!({
        "SPDXID": spdx_id(&package.name, &package.version),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B")),
        }],
    });
    if let Some(checksum) = &package.checksum {
        value["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": checksum }]);
    }
    value
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// SPDX ids hold letters, digits, `.` and `-` only (SPDX 2.3, clause 7.2).
fn spdx_id(name: &str, version: &str) -> String {
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    format!("SPDXRef-{}-{}", plain(name), plain(version))
}

/// A lock file writes `name`, or `name version` where several versions are there.
fn resolve<'a>(entry: &str, ids: &'a BTreeMap<(&str, &str), String>) -> Option<&'a str> {
    let mut words = entry.split(' ');
    let (name, version) = (words.next()?, words.next());
    let mut found = ids.iter().filter(|((n, v), _)| *n == name && version.is_none_or(|w| w == *v));
    found.next().map(|(_, id)| id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bonded_model::sbom::SbomView;

    #[test]
    fn the_own_lock_file_gives_an_sbom_that_names_the_binary() {
        let digest = Digest::sha256_of(b"binary");
        let created = Timestamp::from_unix_seconds(0).unwrap();
        let files = [("bin/bonded", digest)];
        let of = Described {
            name: "bonded",
            version: env!("CARGO_PKG_VERSION"),
            files: &files,
            created,
        };
        let made = from_lock_file(include_str!("../../Cargo.lock"), &of).unwrap();
        assert!(SbomView::parse(&made).unwrap().names(&[digest]));
        let document: Value = json::parse(&made, u64::MAX).unwrap();
        let listed =
            ["packages", "files"].map(|list| document[list].as_array().unwrap().clone()).concat();
        let ids: Vec<_> = listed.iter().map(|element| element["SPDXID"].clone()).collect();
        let mut unique = ids.clone();
        unique.sort_by_key(ToString::to_string);
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "ids are unique");
        for relationship in document["relationships"].as_array().unwrap() {
            let to = &relationship["relatedSpdxElement"];
            assert!(ids.contains(to), "dangling {to}");
        }
        assert!(document["relationships"].as_array().unwrap().len() > ids.len());
    }

    #[test]
    fn text_that_is_no_lock_file_is_refused() {
        let created = Timestamp::from_unix_seconds(0).unwrap();
        let of = Described { name: "x", version: "1", files: &[], created };
        assert!(from_lock_file("hello", &of).is_err());
        assert!(from_lock_file("[other]\n", &of).is_err());
    }
}
