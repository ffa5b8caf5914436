//! Timestamp authorities (RFC 3161): tokens in CMS (RFC 5652) over the hash of a signature.

use bonded_model::Timestamp;

use crate::certificate::{Extension, Issuer, Subject, TIME_STAMPING, Window, name, serial};
use crate::der;
use crate::key::{Key, KeyKind};
use crate::log::flip;

const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";

/// An authority: one certificate that signs tokens, below a root.
#[derive(Debug)]
pub(crate) struct TimestampAuthority {
    key: Key,
    issuer: Vec<u8>,
    serial: Vec<u8>,
    /// Its own certificate and its root's.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) window: Window,
}

/// What is particular about an authority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// When the trust root believes it.
    pub(crate) window: Window,
    /// When its certificate is valid.
    pub(crate) certificate: Window,
    /// When its root's certificate is valid.
    pub(crate) root: Window,
    /// Whether its certificate is one for timestamps.
    pub(crate) stamps: bool,
}

/// What may be wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StampLie {
    /// The signature over the token does not verify.
    Forged,
    /// The signed attributes say that the token is something else than a timestamp.
    OtherContent,
}

impl TimestampAuthority {
    pub(crate) fn new(label: &str, terms: &Terms) -> Self {
        let root = Issuer::root(&format!("{label} root"), KeyKind::P384, terms.root);
        let (name, key) = (name(label), Key::new(KeyKind::P256, label));
        let subject = Subject { name: &name, key: &key, window: terms.certificate };
        let mut extensions = vec![Extension::signs_content()];
        extensions.extend(terms.stamps.then(|| Extension::usage(TIME_STAMPING)));
        let own = root.issue(&subject, &extensions);
        let serial = serial(&subject);
        let chain = std::iter::once(own).chain(root.chain).collect();
        Self { key, issuer: root.name, serial, chain, window: terms.window }
    }

    /// A response with a token over those bytes.
    pub(crate) fn stamp(&self, signature: &[u8], at: Timestamp, lie: Option<StampLie>) -> Vec<u8> {
        let info = info(signature, at);
        let other = "1.2.840.113549.1.7.1";
        let content = if lie == Some(StampLie::OtherContent) { other } else { TST_INFO };
        let attributes = der::set(vec![
            attribute("1.2.840.113549.1.9.3", der::oid(content)),
            attribute("1.2.840.113549.1.9.4", der::octets(&crate::sha256(&info))),
            attribute("1.2.840.113549.1.9.16.2.47", self.signing_certificate()),
        ]);
        // Signed as the set that it is, held under a tag of its place (RFC 5652, section 5.4).
        let mut signature = self.key.sign(&attributes);
        if lie == Some(StampLie::Forged) {
            flip(&mut signature);
        }
        let mut held = attributes;
        held.first_mut().into_iter().for_each(|tag| *tag = 0xa0);
        let signer = der::sequence(&[
            der::small(1),
            der::sequence(&[self.issuer.clone(), der::unsigned(&self.serial)]),
            der::sequence(&[der::oid(SHA256)]),
            held,
            self.key.signature_algorithm(),
            der::octets(&signature),
        ]);
        let own = self.chain.first().expect("an authority has a certificate");
        let signed = der::sequence(&[
            der::small(3),
            der::set(vec![der::sequence(&[der::oid(SHA256)])]),
            der::sequence(&[der::oid(TST_INFO), der::explicit(0, &der::octets(&info))]),
            der::explicit(0, own),
            der::set(vec![signer]),
        ]);
        let token = der::sequence(&[der::oid(SIGNED_DATA), der::explicit(0, &signed)]);
        der::sequence(&[der::sequence(&[der::small(0)]), token])
    }

    /// ESSCertIDv2 with SHA-256, which is the default and therefore not written (RFC 5816).
    fn signing_certificate(&self) -> Vec<u8> {
        let own = self.chain.first().expect("an authority has a certificate");
        let id = der::sequence(&[der::octets(&crate::sha256(own))]);
        der::sequence(&[der::sequence(&[id])])
    }
}

fn attribute(kind: &str, value: Vec<u8>) -> Vec<u8> {
    der::sequence(&[der::oid(kind), der::set(vec![value])])
}

/// TSTInfo (section 2.4.2).
fn info(signature: &[u8], at: Timestamp) -> Vec<u8> {
    let hash = crate::sha256(signature);
    let algorithm = der::sequence(&[der::oid(SHA256), der::null()]);
    der::sequence(&[
        der::small(1),
        der::oid("1.3.6.1.4.1.57264.2"),
        der::sequence(&[algorithm, der::octets(&hash)]),
        der::unsigned(hash.get(..8).expect("a hash is longer")),
        der::generalized_time(at),
    ])
}
