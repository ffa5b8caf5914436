//! The certificate of a signer, as Fulcio issues it (certificate-specification.md, oid-info.md).

use bonded_model::Timestamp;

use crate::certificate::{
    CODE_SIGNING, Extension, FULCIO, Issuer, Name, Subject, Window, no_name, to_be_signed,
};
use crate::ct;
use crate::defect::Defect;
use crate::der;
use crate::key::Key;
use crate::log::flip;
use crate::request::{Authority, Extensions, Request};
use crate::world::World;

const MINUTE: i64 = 60;

/// The certificate and those above it, but for the self-signed one.
pub(super) fn chain(
    world: &World,
    request: &Request<'_>,
    key: &Key,
    defect: Option<Defect>,
) -> Vec<Vec<u8>> {
    let issuer = match (defect, request.authority) {
        (Some(Defect::UnknownAuthority), _) => &world.stranger.who,
        (Some(Defect::RetiredAuthority), _) => &world.retired.who,
        (Some(Defect::LapsedIntermediate), _) => &world.lapsed.who,
        (_, Authority::Intermediate) => &world.intermediate.who,
        (_, Authority::Root) => &world.direct.who,
    };
    let window = window(request.signed_at, defect);
    let name = no_name();
    let subject = Subject { name: &name, key, window };
    let mut extensions = extensions(request, defect);
    if let Some(promise) = promise(world, issuer, &subject, &extensions, defect) {
        extensions.push(ct::extension(&[promise]));
    }
    let leaf = issuer.issue(&subject, &extensions);
    let above = issuer.chain.iter().rev().skip(1).rev();
    std::iter::once(leaf).chain(above.cloned()).collect()
}

/// Ten minutes around the signing.
fn window(signed_at: Timestamp, defect: Option<Defect>) -> Window {
    let later = match defect {
        Some(Defect::CertificateExpired) => -15,
        Some(Defect::CertificateNotYetValid) => 15,
        _ => 0,
    };
    let at = |minutes: i64| {
        let at = signed_at.unix_seconds() + minutes * MINUTE;
        Timestamp::from_unix_seconds(at).expect("a time near another one")
    };
    Window { from: at(later - 5), until: Some(at(later + 5)) }
}

fn promise(
    world: &World,
    issuer: &Issuer,
    subject: &Subject<'_>,
    extensions: &[Extension],
    defect: Option<Defect>,
) -> Option<Vec<u8>> {
    let logs = &world.certificate_logs;
    let log = match defect {
        Some(Defect::NoSct) => return None,
        Some(Defect::SctOfUnknownLog) => &logs.unknown,
        Some(Defect::SctOfRetiredLog) => &logs.retired,
        _ => &logs.trusted,
    };
    let mut precertificate = to_be_signed(issuer, subject, extensions);
    if defect == Some(Defect::SctOfAnotherCertificate) {
        flip(&mut precertificate);
    }
    let mut promise = log.promise(&precertificate, issuer.key.spki(), subject.window.from);
    if defect == Some(Defect::SctForged) {
        flip(&mut promise);
    }
    Some(promise)
}

fn extensions(request: &Request<'_>, defect: Option<Defect>) -> Vec<Extension> {
    let mut extensions = Vec::new();
    if defect != Some(Defect::NoDigitalSignature) {
        extensions.push(Extension::signs_content());
    }
    if defect != Some(Defect::NoCodeSigning) {
        extensions.push(Extension::usage(CODE_SIGNING));
    }
    if defect == Some(Defect::LeafIsAuthority) {
        extensions.push(Extension::authority());
    }
    let names = names(request.identity, defect);
    if !names.is_empty() {
        extensions.push(Extension::names(&names));
    }
    extensions.extend(old(request, defect));
    extensions.extend(new(request, defect));
    extensions
}

fn names(identity: &str, defect: Option<Defect>) -> Vec<Name> {
    let uri = || Name::Uri(identity.to_owned());
    match defect {
        Some(Defect::NoName) => Vec::new(),
        Some(Defect::EmailLikeUri) => vec![Name::Email(identity.to_owned())],
        Some(Defect::OtherName) => vec![Name::Other(identity.to_owned())],
        Some(Defect::TwoNames) => vec![uri(), Name::Uri("https://example.com/other".to_owned())],
        _ if identity.contains(':') => vec![uri()],
        _ => vec![Name::Email(identity.to_owned())],
    }
}

/// The older extensions, whose values are bare text.
fn old(request: &Request<'_>, defect: Option<Defect>) -> Vec<Extension> {
    if request.extensions == Extensions::New {
        return Vec::new();
    }
    let extension = |arc: u32, value: &str| {
        Extension::new(format!("{FULCIO}.{arc}"), false, value.as_bytes().to_vec())
    };
    let mut found = Vec::new();
    if defect != Some(Defect::NoIssuer) {
        let other = defect == Some(Defect::IssuersDisagree);
        let issuer = if other { "https://other.example" } else { request.issuer };
        found.push(extension(1, issuer));
    }
    for (claim, value) in request.claims {
        let Some(arc) = claim.old_arc() else { continue };
        let value = value.strip_prefix("https://github.com/").unwrap_or(value);
        let other = defect == Some(Defect::ClaimsDisagree) && arc == 5;
        found.push(extension(arc, if other { "o/other" } else { value }));
    }
    found
}

/// The newer extensions, whose values are strings in DER.
fn new(request: &Request<'_>, defect: Option<Defect>) -> Vec<Extension> {
    if request.extensions == Extensions::Old {
        return Vec::new();
    }
    let extension =
        |arc: u32, value: &[u8]| Extension::new(format!("{FULCIO}.{arc}"), false, value.to_vec());
    let mut found = Vec::new();
    if defect != Some(Defect::NoIssuer) {
        found.push(extension(8, &der::utf8(request.issuer)));
    }
    if defect == Some(Defect::ExtensionTwice) {
        found.push(extension(8, &der::utf8("https://other.example")));
    }
    for (claim, value) in request.claims {
        let malformed = defect == Some(Defect::ClaimMalformed) && claim.arc() == 12;
        let value = if malformed { value.as_bytes().to_vec() } else { der::utf8(value) };
        found.push(extension(claim.arc(), &value));
    }
    found
}
