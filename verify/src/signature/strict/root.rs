//! A trust root with each authority's window narrowed to the time in which its certificates are valid.
//!
//! The library takes every certificate of a trust root for an anchor, and an anchor has no expiry: what an
//! intermediate signed after its end would pass for as long as the trust root names it.

use bonded_model::Timestamp;
use sigstore_crypto::{CertificateInfo, parse_certificate_info};
use sigstore_trust_root::trusted_root::CertChain;
use sigstore_trust_root::{CertificateAuthority, TimeRange, TrustedRoot};
use sigstore_types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::name::Name;

use crate::code::Code;
use crate::finding::Fault;

/// Somebody who issues certificates, with the time in which the trust root believes it, if there is any.
pub(super) struct Issuer {
    name: Name,
    window: Option<TimeRange>,
}

/// All issuers, also those that have no time.
pub(super) fn issuers(root: &TrustedRoot) -> Vec<Issuer> {
    let of = |authority: &CertificateAuthority| {
        let windows = windows(&authority.cert_chain, authority.valid_for);
        let certificates = authority.cert_chain.certificates.iter().zip(windows);
        let issuers = certificates.filter_map(|(certificate, window)| {
            let certificate = Certificate::from_der(certificate.raw_bytes.as_bytes()).ok()?; // it names nobody
            Some(Issuer { name: certificate.tbs_certificate.subject, window })
        });
        issuers.collect::<Vec<_>>()
    };
    root.certificate_authorities.iter().flat_map(of).collect()
}

/// Whether the issuer that a certificate names is known.
pub(super) fn names_issuer_of(issuers: &[Issuer], certificate: &DerCertificate) -> bool {
    let certificate = Certificate::from_der(certificate.as_bytes());
    certificate.is_ok_and(|certificate| {
        issuers.iter().any(|issuer| issuer.name == certificate.tbs_certificate.issuer)
    })
}

/// A fault if the issuer of a certificate is known, but was believed at another time than that of the
/// certificate; the library calls it unknown then.
pub(super) fn fault(issuers: &[Issuer], certificate: &DerCertificate) -> Option<Fault> {
    let certificate = Certificate::from_der(certificate.as_bytes()).ok()?; // the library's to say
    let certificate = certificate.tbs_certificate;
    let start = certificate.validity.not_before.to_unix_duration().as_secs();
    let start = i64::try_from(start).ok()?; // a time that no certificate has
    let covers = |window: TimeRange| {
        let end = window.end.map_or(i64::MAX, |end| end.as_second());
        window.start.as_second() <= start && start <= end
    };
    let mut own = issuers.iter().filter(|issuer| issuer.name == certificate.issuer).peekable();
    own.peek()?;
    let windows: Vec<_> = own.map(|issuer| issuer.window).collect();
    if windows.iter().any(|window| window.is_some_and(covers)) {
        return None;
    }
    let tell = |window: &Option<TimeRange>| match window {
        Some(TimeRange { start, end: Some(end) }) => format!("from {start} to {end}"),
        Some(TimeRange { start, end: None }) => format!("from {start}"),
        None => "at no time".to_owned(),
    };
    let windows: Vec<_> = windows.iter().map(tell).collect();
    let seen = format!("one of {}, who is believed {}", certificate.issuer, windows.join(" and "));
    Some(Fault::new(Code::SigCertificate, "a certificate of an authority of that time", seen))
}

/// The trust root with one authority for each certificate of an authority for certificates. What has no
/// time left, or cannot be read, is left out: nothing can be verified by it.
pub(super) fn narrowed(root: &TrustedRoot) -> TrustedRoot {
    let mut narrowed = root.clone();
    narrowed.certificate_authorities =
        root.certificate_authorities.iter().flat_map(one_by_one).collect();
    narrowed.timestamp_authorities.retain_mut(|authority| {
        let windows = windows(&authority.cert_chain, authority.valid_for);
        let whole = windows.first().copied().flatten();
        authority.valid_for = whole;
        whole.is_some()
    });
    narrowed
}

/// When any of those that a narrowed trust root names begins to be believed: before, the library leaves it out.
pub(super) fn beginnings(root: &TrustedRoot) -> Vec<Timestamp> {
    let windows = (root.certificate_authorities.iter().map(|authority| authority.valid_for))
        .chain(root.timestamp_authorities.iter().map(|authority| authority.valid_for))
        .chain(root.tlogs.iter().map(|log| log.public_key.valid_for))
        .chain(root.ctlogs.iter().map(|log| log.public_key.valid_for));
    let starts = windows.flatten().map(|window| window.start.as_second());
    // What begins outside the years never does.
    starts.filter_map(|start| Timestamp::from_unix_seconds(start).ok()).collect()
}

fn one_by_one(authority: &CertificateAuthority) -> Vec<CertificateAuthority> {
    let windows = windows(&authority.cert_chain, authority.valid_for);
    let certificates = authority.cert_chain.certificates.iter().zip(windows);
    certificates
        .filter_map(|(certificate, window)| {
            let mut one = authority.clone();
            one.cert_chain.certificates = vec![certificate.clone()];
            one.valid_for = Some(window?);
            Some(one)
        })
        .collect()
}

/// For each certificate the time in which it and all above it are valid.
fn windows(chain: &CertChain, outer: Option<TimeRange>) -> Vec<Option<TimeRange>> {
    let mut windows: Vec<_> = chain
        .certificates
        .iter()
        .rev()
        .scan(outer.map_or(Span::Any, Span::Of), |span, certificate| {
            let own = parse_certificate_info(&certificate.raw_bytes);
            *span = own.map_or(Span::Never, |own| span.within(&own));
            Some(match *span {
                Span::Of(window) => Some(window),
                Span::Any | Span::Never => None,
            })
        })
        .collect();
    windows.reverse();
    windows
}

#[derive(Clone, Copy)]
enum Span {
    Any,
    Of(TimeRange),
    Never,
}

impl Span {
    fn within(self, certificate: &CertificateInfo) -> Self {
        let own = TimeRange::new(certificate.not_before, Some(certificate.not_after));
        match self {
            Self::Any => Self::Of(own),
            Self::Never => Self::Never,
            Self::Of(outer) => {
                let start = outer.start.max(own.start);
                let end =
                    outer.end.map_or(certificate.not_after, |end| end.min(certificate.not_after));
                if start <= end { Self::Of(TimeRange::new(start, Some(end))) } else { Self::Never }
            }
        }
    }
}
