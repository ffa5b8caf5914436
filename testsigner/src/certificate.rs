//! Certificates (RFC 5280) as Fulcio and timestamp authorities have them, and the authorities that issue
//! them. What a certificate says is taken as it comes; nothing is checked.

use bonded_model::Timestamp;

use crate::der;
use crate::key::{Key, KeyKind};

pub(crate) const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";
pub(crate) const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";

const ALTERNATIVE_NAME: &str = "2.5.29.17";

/// The arc of Fulcio's extensions (oid-info.md).
pub(crate) const FULCIO: &str = "1.3.6.1.4.1.57264.1";

/// A span of time with both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first second of it.
    pub from: Timestamp,
    /// The last second of it; `None` where it has no end.
    pub until: Option<Timestamp>,
}

impl Window {
    /// The window between two times in RFC 3339.
    pub(crate) fn between(from: &str, until: &str) -> Self {
        Self { from: at(from), until: Some(at(until)) }
    }

    pub(crate) fn since(from: &str) -> Self {
        Self { from: at(from), until: None }
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("times in the sources are RFC 3339")
}

/// An extension of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Extension {
    pub(crate) oid: String,
    critical: bool,
    value: Vec<u8>,
}

impl Extension {
    pub(crate) fn new(oid: impl Into<String>, critical: bool, value: Vec<u8>) -> Self {
        Self { oid: oid.into(), critical, value }
    }

    pub(crate) fn usage(purpose: &str) -> Self {
        Self::new("2.5.29.37", true, der::sequence(&[der::oid(purpose)]))
    }

    /// `digitalSignature`: the first bit, with seven unused.
    pub(crate) fn signs_content() -> Self {
        Self::new("2.5.29.15", true, der::tagged(3, &[7, 0x80]))
    }

    /// `keyCertSign` and `cRLSign`: the sixth and the seventh bit, with one unused.
    fn signs_certificates() -> Self {
        Self::new("2.5.29.15", true, der::tagged(3, &[1, 0x06]))
    }

    pub(crate) fn authority() -> Self {
        Self::new("2.5.29.19", true, der::sequence(&[der::boolean(true)]))
    }

    pub(crate) fn names(names: &[Name]) -> Self {
        let names: Vec<_> = names.iter().map(Name::to_der).collect();
        Self::new(ALTERNATIVE_NAME, true, der::sequence(&names))
    }

    fn to_der(&self) -> Vec<u8> {
        let mut parts = vec![der::oid(&self.oid)];
        parts.extend(self.critical.then(|| der::boolean(true)));
        parts.push(der::octets(&self.value));
        der::sequence(&parts)
    }
}

/// A subject alternative name.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Email(String),
    Uri(String),
    /// Fulcio's name for users without an address.
    Other(String),
}

impl Name {
    fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Email(text) => der::implicit(1, text.as_bytes()),
            Self::Uri(text) => der::implicit(6, text.as_bytes()),
            Self::Other(text) => {
                let value = der::explicit(0, &der::utf8(text));
                der::explicit(0, &[der::oid(&format!("{FULCIO}.7")), value].concat())
            }
        }
    }
}

/// What a certificate says beside its extensions.
pub(crate) struct Subject<'a> {
    /// Its distinguished name; Fulcio leaves it empty in what it issues.
    pub(crate) name: &'a [u8],
    pub(crate) key: &'a Key,
    pub(crate) window: Window,
}

/// The TBSCertificate: what an issuer signs.
pub(crate) fn to_be_signed(
    issuer: &Issuer,
    subject: &Subject<'_>,
    extensions: &[Extension],
) -> Vec<u8> {
    let extensions: Vec<_> = extensions.iter().map(Extension::to_der).collect();
    let until = subject.window.until.unwrap_or_else(|| at("2049-12-31T23:59:59Z"));
    der::sequence(&[
        der::explicit(0, &der::small(2)),
        der::unsigned(&serial(subject)),
        issuer.key.signature_algorithm(),
        issuer.name.clone(),
        der::sequence(&[der::time(subject.window.from), der::time(until)]),
        subject.name.to_vec(),
        subject.key.spki().to_vec(),
        der::explicit(3, &der::sequence(&extensions)),
    ])
}

/// Positive, and the same whenever the same is certified.
pub(crate) fn serial(subject: &Subject<'_>) -> Vec<u8> {
    let hash = crate::sha256(&[subject.name, subject.key.spki()].concat());
    [&[1], hash.get(..15).expect("a hash is longer")].concat()
}

/// Whoever issues certificates, with the certificates above it.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) name: Vec<u8>,
    pub(crate) key: Key,
    /// Its own certificate and those above it, up to the self-signed one.
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Issuer {
    /// A self-signed one.
    pub(crate) fn root(label: &str, algorithm: KeyKind, window: Window) -> Self {
        let mut root =
            Self { name: name(label), key: Key::new(algorithm, label), chain: Vec::new() };
        let subject = Subject { name: &root.name, key: &root.key, window };
        let extensions = [Extension::authority(), Extension::signs_certificates()];
        root.chain = vec![root.issue(&subject, &extensions)];
        root
    }

    /// One below another.
    pub(crate) fn below(
        issuer: &Self,
        label: &str,
        algorithm: KeyKind,
        window: Window,
        purpose: &str,
    ) -> Self {
        let (name, key) = (name(label), Key::new(algorithm, label));
        let subject = Subject { name: &name, key: &key, window };
        let extensions =
            [Extension::authority(), Extension::signs_certificates(), Extension::usage(purpose)];
        let own = issuer.issue(&subject, &extensions);
        let chain = std::iter::once(own).chain(issuer.chain.iter().cloned()).collect();
        Self { name, key, chain }
    }

    pub(crate) fn issue(&self, subject: &Subject<'_>, extensions: &[Extension]) -> Vec<u8> {
        self.sign(&to_be_signed(self, subject, extensions))
    }

    pub(crate) fn sign(&self, to_be_signed: &[u8]) -> Vec<u8> {
        let signature = der::bits(&self.key.sign(to_be_signed));
        der::sequence(&[to_be_signed.to_vec(), self.key.signature_algorithm(), signature])
    }
}

/// A distinguished name: one organisation, and the label as common name.
pub(crate) fn name(label: &str) -> Vec<u8> {
    let part =
        |kind: &str, text: &str| der::set(vec![der::sequence(&[der::oid(kind), der::utf8(text)])]);
    der::sequence(&[part("2.5.4.10", "example"), part("2.5.4.3", label)])
}

/// The name that says nothing.
pub(crate) fn no_name() -> Vec<u8> {
    der::sequence(&[])
}
