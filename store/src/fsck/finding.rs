//! Findings: what is wrong where, with what needs it, and what was done about it.

use std::path::PathBuf;

use bonded_model::Digest;
use serde::{Serialize, Serializer};

/// A kind of finding. The names are stable: programs may match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// ROOT cannot be read, or names what cannot be read.
    RootDamaged,
    /// An epoch's file cannot be read, or does not follow from the one before it.
    EpochChainBroken,
    /// A page of a catalog is held, but is none.
    UnreadablePage,
    /// A page of a catalog is whole, but does not stand where the page above, or ROOT, puts it.
    MisplacedPage,
    /// A manifest is held, but cannot be understood, so that what it refers to is not known.
    UnreadableManifest,
    /// A blob does not hash to its name.
    CorruptBlob,
    /// A blob does not hash to its name and is shorter than what refers to it says.
    TruncatedBlob,
    /// A blob cannot be read to its end.
    UnreadableBlob,
    /// A blob that is referred to is not there.
    MissingBlob,
    /// A blob is whole, but has another size than a reference to it says.
    WrongSize,
    /// A blob may be written or executed, or not be read by its owner.
    WrongMode,
    /// Something in `blobs/` is not named as a blob, or is no regular file.
    ForeignFile,
    /// `oci-layout` is missing or has another content.
    LayoutFile,
    /// `index.json` is not what the catalog gives.
    IndexOutOfStep,
    /// A fact is not what the bytes give, or the facts cannot be read.
    FactsOutOfStep,
    /// A blob that no kept epoch refers to. What gc is for.
    UnreferencedBlob,
    /// What a dead program left behind. The next writer clears it away.
    StrayStaging,
}

/// Whether a finding is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Something is lost, damaged or in the way.
    Problem,
    /// Nothing is wrong.
    Note,
}

impl Code {
    /// Every code, in the order in which findings are told.
    pub const ALL: [Self; 17] = [
        Self::RootDamaged,
        Self::EpochChainBroken,
        Self::UnreadablePage,
        Self::MisplacedPage,
        Self::UnreadableManifest,
        Self::CorruptBlob,
        Self::TruncatedBlob,
        Self::UnreadableBlob,
        Self::MissingBlob,
        Self::WrongSize,
        Self::WrongMode,
        Self::ForeignFile,
        Self::LayoutFile,
        Self::IndexOutOfStep,
        Self::FactsOutOfStep,
        Self::UnreferencedBlob,
        Self::StrayStaging,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RootDamaged => "root-damaged",
            Self::EpochChainBroken => "epoch-chain-broken",
            Self::UnreadablePage => "unreadable-page",
            Self::MisplacedPage => "misplaced-page",
            Self::UnreadableManifest => "unreadable-manifest",
            Self::CorruptBlob => "corrupt-blob",
            Self::TruncatedBlob => "truncated-blob",
            Self::UnreadableBlob => "unreadable-blob",
            Self::MissingBlob => "missing-blob",
            Self::WrongSize => "wrong-size",
            Self::WrongMode => "wrong-mode",
            Self::ForeignFile => "foreign-file",
            Self::LayoutFile => "layout-file",
            Self::IndexOutOfStep => "index-out-of-step",
            Self::FactsOutOfStep => "facts-out-of-step",
            Self::UnreferencedBlob => "unreferenced-blob",
            Self::StrayStaging => "stray-staging",
        }
    }

    /// Whether it is a failure.
    pub fn weight(self) -> Weight {
        match self {
            Self::UnreferencedBlob | Self::StrayStaging => Weight::Note,
            _ => Weight::Problem,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What kind of thing.
    pub code: Code,
    /// The blob that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The file that it is about, as it was named when it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What was seen, for people.
    pub seen: String,
    /// What needs the blob: ways to it from names in the catalog, a few of them at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<Way>,
    /// What was done about it.
    pub remedy: Remedy,
}

/// A way from a name to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// The newest epoch in which the way exists.
    pub epoch: u64,
    /// The key in the catalog.
    pub key: String,
    /// What is passed, the blob itself last.
    pub steps: Vec<Step>,
}

/// One reference on a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The title or the tag that the reference carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it leads.
    pub digest: Digest,
}

/// What was done about a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "done")]
#[non_exhaustive]
pub enum Remedy {
    /// Nothing; it is as it was found.
    Nothing,
    /// The damaged bytes were moved aside, and nothing took their place.
    Quarantined {
        /// To where.
        to: PathBuf,
    },
    /// The right bytes are in place again.
    Restored {
        /// From where.
        from: String,
    },
    /// It was put right from what the store holds.
    Mended,
}

impl Finding {
    pub(crate) fn new(code: Code, seen: impl Into<String>) -> Self {
        Self {
            code,
            digest: None,
            path: None,
            seen: seen.into(),
            needed_by: Vec::new(),
            remedy: Remedy::Nothing,
        }
    }

    pub(crate) fn about(self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self }
    }

    pub(crate) fn at(self, path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// Whether both are about the same thing.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.code, self.digest, &self.path) == (other.code, other.digest, &other.path)
    }

    /// Whether a blob is lost that another copy would bring back.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(
            self.code,
            Code::CorruptBlob | Code::TruncatedBlob | Code::UnreadableBlob | Code::MissingBlob
        )
    }

    /// Whether it is a failure that is still there.
    pub fn remains(&self) -> bool {
        let mended = matches!(self.remedy, Remedy::Restored { .. } | Remedy::Mended);
        self.code.weight() == Weight::Problem && !mended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_name_of_its_own_in_kebab_case() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        let legal = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(names.iter().all(legal), "{names:?}");
        assert!(Code::ALL.is_sorted());
    }

    #[test]
    fn what_remains_is_a_problem_that_was_not_mended() {
        let mut finding = Finding::new(Code::CorruptBlob, "");
        assert!(finding.remains());
        finding.remedy = Remedy::Quarantined { to: "x".into() };
        assert!(finding.remains());
        finding.remedy = Remedy::Mended;
        assert!(!finding.remains());
        assert!(!Finding::new(Code::StrayStaging, "").remains());
    }
}
