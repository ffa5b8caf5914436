//! Everybody who vouches for a signature, trusted or not, and the trust root that names those who are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bundle::{Draft, Signer};
use crate::certificate::{CODE_SIGNING, Issuer, Window};
use crate::ct::CertificateLog;
use crate::key::{Key, KeyKind};
use crate::log::put;
use crate::log::{Generation, Log};
use crate::request::Request;
use crate::tsa::{Terms, TimestampAuthority};

/// Somebody, and since when the trust root believes him; not at all where there is no window.
#[derive(Debug)]
pub(crate) struct Trusted<T> {
    pub(crate) who: T,
    window: Option<Window>,
}

/// The authorities and logs of one Sigstore instance, with some impostors.
#[derive(Debug)]
pub struct World {
    pub(crate) intermediate: Trusted<Issuer>,
    pub(crate) direct: Trusted<Issuer>,
    pub(crate) lapsed: Trusted<Issuer>,
    pub(crate) retired: Trusted<Issuer>,
    pub(crate) stranger: Trusted<Issuer>,
    pub(crate) certificate_logs: Standing<CertificateLog>,
    pub(crate) first: Standing<Log>,
    pub(crate) second: Standing<Log>,
    pub(crate) stamps: Standing<TimestampAuthority>,
    pub(crate) stamps_lapsed: TimestampAuthority,
    pub(crate) stamps_below_lapsed: TimestampAuthority,
    pub(crate) stamps_without_usage: TimestampAuthority,
}

/// One of a kind for each standing that it can have in the trust root.
#[derive(Debug)]
pub(crate) struct Standing<T> {
    pub(crate) trusted: T,
    pub(crate) other: T,
    /// Believed until 2024.
    pub(crate) retired: T,
    pub(crate) unknown: T,
}

fn always() -> Window {
    Window::between("2020-01-01T00:00:00Z", "2049-12-31T23:59:59Z")
}

fn open() -> Window {
    Window::since("2020-01-01T00:00:00Z")
}

fn until_2024() -> Window {
    Window::between("2020-01-01T00:00:00Z", "2024-12-31T23:59:59Z")
}

fn fulcio(label: &str, intermediate: Window, window: Option<Window>) -> Trusted<Issuer> {
    let root = Issuer::root(&format!("{label} root"), KeyKind::P384, always());
    let label = format!("{label} intermediate");
    let who = Issuer::below(&root, &label, KeyKind::P384, intermediate, CODE_SIGNING);
    Trusted { who, window }
}

fn authority(label: &str, window: Window) -> TimestampAuthority {
    let terms = Terms { window, certificate: always(), root: always(), stamps: true };
    TimestampAuthority::new(label, &terms)
}

impl World {
    /// The same as ever: all of its keys are made from their names.
    pub fn new() -> Self {
        let (first, second) = (Generation::First, Generation::Second);
        let good = Terms { window: open(), certificate: always(), root: always(), stamps: true };
        Self {
            intermediate: fulcio("fulcio", always(), Some(open())),
            direct: Trusted {
                who: Issuer::root("direct", KeyKind::P256, always()),
                window: Some(open()),
            },
            lapsed: fulcio("lapsed", until_2024(), Some(open())),
            retired: fulcio("retired", always(), Some(until_2024())),
            stranger: fulcio("stranger", always(), None),
            certificate_logs: Standing {
                trusted: CertificateLog::new("certificates", open()),
                other: CertificateLog::new("more certificates", open()),
                retired: CertificateLog::new("former certificates", until_2024()),
                unknown: CertificateLog::new("unknown certificates", open()),
            },
            first: Standing {
                trusted: Log::new("rekor.example", first, open()),
                other: Log::new("rekor.other.example", first, open()),
                retired: Log::new("rekor.former.example", first, until_2024()),
                unknown: Log::new("rekor.unknown.example", first, open()),
            },
            second: Standing {
                trusted: Log::new("log.example", second, open()),
                other: Log::new("log.other.example", second, open()),
                retired: Log::new("log.former.example", second, until_2024()),
                unknown: Log::new("log.unknown.example", second, open()),
            },
            stamps: Standing {
                trusted: authority("clock", open()),
                other: authority("second clock", open()),
                retired: authority("former clock", until_2024()),
                unknown: authority("unknown clock", open()),
            },
            stamps_lapsed: TimestampAuthority::new(
                "lapsed clock",
                &Terms { certificate: until_2024(), ..good },
            ),
            stamps_below_lapsed: TimestampAuthority::new(
                "clock below lapsed",
                &Terms { root: until_2024(), ..good },
            ),
            stamps_without_usage: TimestampAuthority::new(
                "no clock",
                &Terms { stamps: false, ..good },
            ),
        }
    }

    /// A bundle signed with a certificate.
    pub fn keyless<'a>(&'a self, request: &Request<'a>) -> Draft<'a> {
        Draft::new(self, Signer::Certificate, *request)
    }

    /// A bundle signed with a managed key. What the request says of certificates is not looked at.
    pub fn managed<'a>(&'a self, key: &'a Key, request: &Request<'a>) -> Draft<'a> {
        Draft::new(self, Signer::Key(key), *request)
    }

    /// The `trusted_root.json` of this world.
    pub fn trusted_root(&self) -> Vec<u8> {
        let issuers =
            [&self.intermediate, &self.direct, &self.lapsed, &self.retired, &self.stranger];
        let authorities = issuers.into_iter().filter_map(|authority| {
            let chain = certificates(&authority.who.chain);
            Some(with_window(
                json!({"uri": "https://fulcio.example", "certChain": chain}),
                authority.window?,
            ))
        });
        let certificate_logs = self
            .certificate_logs
            .known()
            .map(|log| logged(&log.key, &log.id(), "https://ct.example", log.window));
        let logs =
            self.first.known().chain(self.second.known()).map(|log| {
                logged(&log.key, &log.id(), &format!("https://{}", log.host), log.window)
            });
        let stamps = self.stamps.known().chain([
            &self.stamps_lapsed,
            &self.stamps_below_lapsed,
            &self.stamps_without_usage,
        ]);
        let stamps = stamps.map(|authority| {
            let chain = certificates(&authority.chain);
            with_window(json!({"uri": "https://tsa.example", "certChain": chain}), authority.window)
        });
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": logs.collect::<Vec<_>>(),
            "certificateAuthorities": authorities.collect::<Vec<_>>(),
            "ctlogs": certificate_logs.collect::<Vec<_>>(),
            "timestampAuthorities": stamps.collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Standing<T> {
    /// Those that the trust root names.
    fn known(&self) -> impl Iterator<Item = &T> {
        [&self.trusted, &self.other, &self.retired].into_iter()
    }
}

fn certificates(chain: &[Vec<u8>]) -> Value {
    let certificates = chain.iter().map(|der| json!({"rawBytes": STANDARD.encode(der)}));
    json!({"certificates": certificates.collect::<Vec<_>>()})
}

fn logged(key: &Key, id: &[u8], address: &str, window: Window) -> Value {
    let public = json!({"rawBytes": STANDARD.encode(key.spki()), "keyDetails": key.details()});
    json!({
        "baseUrl": address,
        "hashAlgorithm": "SHA2_256",
        "publicKey": with_window(public, window),
        "logId": {"keyId": STANDARD.encode(id)},
    })
}

fn with_window(mut value: Value, window: Window) -> Value {
    let mut range = json!({"start": window.from.to_string()});
    if let Some(until) = window.until {
        put(&mut range, "end", json!(until.to_string()));
    }
    put(&mut value, "validFor", range);
    value
}
