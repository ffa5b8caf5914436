//! What is asked of the signer.

use bonded_model::Timestamp;
use bonded_model::media_type::IN_TOTO;

use crate::certificate::at;
use crate::key::KeyKind;

/// A version of bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleVersion {
    /// 0.1: certificates in a chain.
    V01,
    /// 0.2: certificates in a chain.
    V02,
    /// 0.3 in its newer spelling: one certificate.
    V03,
    /// 0.3 in its older spelling: one certificate.
    V03Parameter,
}

impl BundleVersion {
    /// All versions.
    pub const ALL: [Self; 4] = [Self::V01, Self::V02, Self::V03, Self::V03Parameter];

    /// The media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V01 => "application/vnd.dev.sigstore.bundle+json;version=0.1",
            Self::V02 => "application/vnd.dev.sigstore.bundle+json;version=0.2",
            Self::V03 => "application/vnd.dev.sigstore.bundle.v0.3+json",
            Self::V03Parameter => "application/vnd.dev.sigstore.bundle+json;version=0.3",
        }
    }
}

/// A transparency log, and the shape of its entry where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Rekor v1: `hashedrekord` 0.0.1 or `dsse` 0.0.1.
    V1,
    /// The same log with `intoto` 0.0.2.
    V1Intoto,
    /// The same log with its promise alone: an entry without proof.
    V1Promise,
    /// A second log of Rekor v1.
    V1Other,
    /// Rekor v2: `hashedrekord` 0.0.2, of files and envelopes alike.
    V2,
    /// The same log with `dsse` 0.0.2.
    V2Dsse,
    /// A second log of Rekor v2.
    V2Other,
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// An in-toto statement, in a DSSE envelope.
    Statement(&'a [u8]),
    /// A payload of any type, in a DSSE envelope.
    Payload {
        /// Its type.
        kind: &'a str,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A file, in a message signature.
    File(&'a [u8]),
}

impl Content<'_> {
    /// The type and the bytes of a payload.
    pub(crate) fn payload(&self) -> Option<(&str, &[u8])> {
        match self {
            Self::Statement(bytes) => Some((IN_TOTO, bytes)),
            Self::Payload { kind, bytes } => Some((kind, bytes)),
            Self::File(_) => None,
        }
    }
}

/// A claim of a certificate about a build (Fulcio, oid-info.md), with the last arc of its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are those of Fulcio's documentation")]
pub enum Claim {
    BuildSignerUri = 9,
    BuildSignerDigest = 10,
    RunnerEnvironment = 11,
    SourceRepositoryUri = 12,
    SourceRepositoryDigest = 13,
    SourceRepositoryRef = 14,
    SourceRepositoryId = 15,
    SourceRepositoryOwnerUri = 16,
    SourceRepositoryOwnerId = 17,
    BuildConfigUri = 18,
    BuildConfigDigest = 19,
    BuildTrigger = 20,
    RunInvocationUri = 21,
    SourceRepositoryVisibility = 22,
}

impl Claim {
    pub(crate) fn arc(self) -> u32 {
        self as u32
    }

    /// The arc of the older extension with the same meaning.
    pub(crate) fn old_arc(self) -> Option<u32> {
        match self {
            Self::BuildTrigger => Some(2),
            Self::SourceRepositoryDigest => Some(3),
            Self::SourceRepositoryUri => Some(5),
            Self::SourceRepositoryRef => Some(6),
            _ => None,
        }
    }
}

/// Which extensions a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extensions {
    /// The older ones and the newer ones, as today.
    Both,
    /// The older ones, as until 2022.
    Old,
    /// The newer ones.
    New,
}

/// Which authority issues the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// An intermediate on P-384 below a root on P-384, as Fulcio is.
    Intermediate,
    /// A root on P-256.
    Root,
}

/// What is to be signed, by whom, when, and who is to vouch for it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The subject alternative name: a URI if it holds a colon, else an e-mail address.
    pub identity: &'a str,
    /// The issuer of the identity.
    pub issuer: &'a str,
    /// What the certificate says of the build.
    pub claims: &'a [(Claim, &'a str)],
    /// Which extensions say so.
    pub extensions: Extensions,
    /// Who issues the certificate.
    pub authority: Authority,
    /// The key in the certificate.
    pub key: KeyKind,
    /// When it is signed: after 2024 and before the machine's own time.
    pub signed_at: Timestamp,
    /// What is signed.
    pub content: Content<'a>,
    /// The logs that hold it.
    pub logs: &'a [Log],
    /// By how many authorities it is stamped, up to two.
    pub timestamps: usize,
    /// The version of the bundle.
    pub media_type: BundleVersion,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            identity: "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1",
            issuer: "https://token.actions.githubusercontent.com",
            claims: &[
                (
                    Claim::BuildSignerUri,
                    "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1",
                ),
                (Claim::RunnerEnvironment, "github-hosted"),
                (Claim::SourceRepositoryUri, "https://github.com/o/r"),
                (Claim::SourceRepositoryDigest, "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
                (Claim::SourceRepositoryRef, "refs/tags/v1"),
                (Claim::SourceRepositoryId, "42"),
                (Claim::SourceRepositoryOwnerUri, "https://github.com/o"),
                (Claim::BuildTrigger, "push"),
            ],
            extensions: Extensions::Both,
            authority: Authority::Intermediate,
            key: KeyKind::P256,
            signed_at: at("2025-06-01T12:00:00Z"),
            content: Content::File(b"hello"),
            logs: &[Log::V1],
            timestamps: 0,
            media_type: BundleVersion::V03,
        }
    }
}
