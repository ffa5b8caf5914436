//! What is asked beyond the library of a signature that it holds for good.
//!
//! The library lets some things pass that are wrong by the specifications or that would let a document say
//! more than was signed; `docs/adr/0004-sigstore-verify-behind-our-own-trait.md` lists them. It also does not
//! say which logs and which timestamp authorities vouched, so that is found out here.

mod certificate;
mod entry;
mod root;
mod stamp;

use std::collections::BTreeSet;

use bonded_model::{Digest, Timestamp};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::{Bundle, DerCertificate, SignatureBytes};

use crate::finding::Fault;

pub(super) use entry::Proofs;

pub(super) use certificate::check as check_certificate;

/// Those whom a trust root names.
pub(super) struct Witnesses {
    /// When any of them begins to be believed.
    pub(super) beginnings: Vec<Timestamp>,
    issuers: Vec<root::Issuer>,
    logs: Vec<entry::Log>,
    clocks: Vec<stamp::Clock>,
}

/// Who vouched for a signature, each by the digest of the public key: what stands twice in a bundle, or
/// under two names in a trust root, counts once.
#[derive(Debug, Default)]
pub(super) struct Vouchers {
    pub(super) logs: BTreeSet<Digest>,
    pub(super) clocks: BTreeSet<Digest>,
}

/// The trust root as the library is to see it, with those that it names.
pub(super) fn prepare(root: &TrustedRoot) -> (TrustedRoot, Witnesses) {
    let narrowed = root::narrowed(root);
    let logs = narrowed.tlogs.iter().filter_map(entry::Log::of).collect();
    let clocks = narrowed.tsa_authorities().into_iter().filter_map(stamp::Clock::of).collect();
    let (beginnings, issuers) = (root::beginnings(&narrowed), root::issuers(root));
    (narrowed, Witnesses { beginnings, issuers, logs, clocks })
}

impl Witnesses {
    /// Who vouched for a signature that the library holds for good, with the times that it authenticated.
    pub(super) fn vouchers(
        &self,
        bundle: &Bundle,
        times: &[Timestamp],
        proofs: Proofs,
    ) -> Result<Vouchers, Fault> {
        let material = &bundle.verification_material;
        let entries = material.tlog_entries.iter();
        let logs = entries.map(|entry| {
            entry::check_certificate(entry, bundle.signing_certificate())?;
            entry::check(&self.logs, entry, times, proofs)
        });
        let stamps = material.timestamp_verification_data.rfc3161_timestamps.iter();
        let clocks = stamps.map(|stamp| stamp::check(&self.clocks, &stamp.signed_timestamp));
        Ok(Vouchers {
            logs: logs.collect::<Result<_, _>>()?,
            clocks: clocks.collect::<Result<_, _>>()?,
        })
    }

    /// Whether the trust root names an authority of the name that a certificate says to be issued by.
    pub(super) fn knows_issuer_of(&self, certificate: &DerCertificate) -> bool {
        root::names_issuer_of(&self.issuers, certificate)
    }

    /// Whether the trust root names a log that a bundle says to stand in.
    pub(super) fn knows_log_of(&self, bundle: &Bundle) -> bool {
        let mut entries = bundle.verification_material.tlog_entries.iter();
        entries.any(|entry| self.logs.iter().any(|log| log.is_of(entry)))
    }

    /// When the trust root believes the authority that a certificate names as its issuer.
    pub(super) fn issuer_fault(&self, bundle: &Bundle) -> Option<Fault> {
        root::fault(&self.issuers, bundle.signing_certificate()?)
    }

    /// Why one of the timestamps does not hold, in the words of the authority that it names: the library
    /// tells what the last one that it tried had against it.
    pub(super) fn stamp_fault(&self, bundle: &Bundle, signature: &SignatureBytes) -> Option<Fault> {
        let data = &bundle.verification_material.timestamp_verification_data;
        let mut stamps = data.rfc3161_timestamps.iter();
        stamps.find_map(|stamp| stamp::fault_of(&self.clocks, &stamp.signed_timestamp, signature))
    }
}
