//! Legacy forms of signatures: what proves less than the strict profile asks for.
//!
//! None is accepted unless a signer of the policy names it, and then from that signer alone. A form is told
//! by what a document lacks, never by what it claims to be.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::code::Code;
use crate::finding::Fault;

/// A form of signature that a signer may name in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Legacy {
    /// An entry that a log promised to take in, without proof that it did.
    PromiseOnly,
    /// A layer of cosign's `.sig` manifests: a signature of an image in annotations.
    CosignSignature,
    /// What `cosign sign-blob --bundle` wrote before there were Sigstore bundles.
    CosignBundle,
    /// A signature, its certificate and the log's entry in files beside what was signed.
    CosignFiles,
    /// A layer of cosign's `.att` manifests: an envelope, with its certificate in annotations.
    CosignAttestation,
}

/// The forms that a signer may make signatures in.
pub(crate) type Forms = BTreeSet<Legacy>;

impl Lack {
    /// A form that lacks something by its nature.
    pub(crate) fn of(form: Legacy, seen: &str) -> Self {
        let expected = format!("a signer who names the legacy form {}", form.name());
        Self { form, fault: Fault::new(Code::SigLegacy, expected, seen) }
    }
}

/// What a document lacks of the strict profile, with the form that would excuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) form: Legacy,
    /// What stands against it unless a signer who names the form made it.
    pub(crate) fault: Fault,
}

impl Legacy {
    /// The name as policies write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PromiseOnly => "promise-only",
            Self::CosignSignature => "cosign-signature",
            Self::CosignBundle => "cosign-bundle",
            Self::CosignFiles => "cosign-files",
            Self::CosignAttestation => "cosign-attestation",
        }
    }

    /// What goes without proof under it, in words that follow "accepts".
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::PromiseOnly => {
                "log entries that were only promised: whoever holds the log's key can hide them"
            }
            Self::CosignSignature => {
                "signatures in cosign's annotations, logged by promise or not at all"
            }
            Self::CosignBundle => {
                "signatures of files in cosign's own bundles, logged by promise alone"
            }
            Self::CosignFiles => {
                "signatures of files whose certificate and log entry are told by the names of files"
            }
            Self::CosignAttestation => {
                "attestations in cosign's annotations, logged by promise alone"
            }
        }
    }
}
