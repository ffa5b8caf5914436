//! Certificate transparency (RFC 6962): the promise of a log that it holds a certificate, embedded in the
//! certificate itself.

use bonded_model::Timestamp;

use crate::certificate::{Extension, Window};
use crate::der;
use crate::key::{Key, KeyKind};

const PROMISES: &str = "1.3.6.1.4.1.11129.2.4.2";

/// A log of certificates.
#[derive(Debug)]
pub(crate) struct CertificateLog {
    pub(crate) key: Key,
    pub(crate) window: Window,
}

impl CertificateLog {
    pub(crate) fn new(label: &str, window: Window) -> Self {
        Self { key: Key::new(KeyKind::P256, label), window }
    }

    pub(crate) fn id(&self) -> [u8; 32] {
        crate::sha256(self.key.spki())
    }

    /// The promise for a certificate that does not hold it yet (section 3.2).
    pub(crate) fn promise(
        &self,
        to_be_signed: &[u8],
        issuer_spki: &[u8],
        at: Timestamp,
    ) -> Vec<u8> {
        let millis = u64::try_from(at.unix_seconds()).expect("a time after 1970") * 1000;
        let head = [&[0][..], &millis.to_be_bytes()].concat();
        let (version, timestamp) = head.split_at(1);
        let length = u32::try_from(to_be_signed.len()).expect("a certificate is short");
        let (_, length) =
            length.to_be_bytes().split_first().map(|(a, b)| (*a, b.to_vec())).expect("four bytes");
        let signed = [
            version,
            &[0],
            timestamp,
            &[0, 1],
            &crate::sha256(issuer_spki),
            &length,
            to_be_signed,
            &[0, 0],
        ];
        let signature = self.key.sign(&signed.concat());
        let parts = [version, &self.id(), timestamp, &[0, 0], &[4, 3], &with_length(&signature)]
            .map(<[u8]>::to_vec);
        parts.concat()
    }
}

/// The extension that holds promises (section 3.3).
pub(crate) fn extension(promises: &[Vec<u8>]) -> Extension {
    let list: Vec<u8> = promises.iter().flat_map(|promise| with_length(promise)).collect();
    Extension::new(PROMISES, false, der::octets(&with_length(&list)))
}

/// Bytes after their length in two.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a signature is short");
    [&length.to_be_bytes(), bytes].concat()
}
