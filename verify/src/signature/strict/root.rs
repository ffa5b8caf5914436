//! A trust root with each authority's window narrowed to the time in which its certificates are valid.
//!
//! The library takes every certificate of a trust root for an anchor, and an anchor has no expiry: what an
//! intermediate signed after its end would pass for as long as the trust root names it.

use sigstore_crypto::{CertificateInfo, parse_certificate_info};
use sigstore_trust_root::trusted_root::CertChain;
use sigstore_trust_root::{CertificateAuthority, TimeRange, TrustedRoot};

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
