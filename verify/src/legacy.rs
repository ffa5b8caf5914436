//! Legacy forms of signatures: what proves less than the strict profile asks for.
//!
//! None is accepted unless a signer of the policy names it, and then from that signer alone. A form is told
//! by what a document lacks, never by what it claims to be.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::finding::Fault;

/// A form of signature that a signer may name in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Legacy {
    /// An entry that a log promised to take in, without proof that it did.
    PromiseOnly,
}

/// The forms that a signer may make signatures in.
pub(crate) type Forms = BTreeSet<Legacy>;

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
        }
    }

    /// What goes without proof under it, in words that follow "accepts".
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::PromiseOnly => {
                "log entries that were only promised: whoever holds the log's key can hide them"
            }
        }
    }
}
