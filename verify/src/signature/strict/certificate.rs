//! The signer's certificate (Fulcio, certificate-specification.md and oid-info.md): one reading of whose it
//! is and of what it claims, or none.

use std::collections::BTreeMap;

use sigstore_types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{KeyUsage, SubjectAltName};
use x509_cert::{TbsCertificate, ext::Extension};

use crate::code::Code;
use crate::finding::Fault;
use crate::key::{RSA_BITS_MIN, rsa_bits};

const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

const OLD_ISSUER: u32 = 1;
const ISSUER: u32 = 8;
/// From here on values are strings in DER.
const IN_DER: std::ops::RangeInclusive<u32> = 8..=24;

/// Extensions that say the same, the older one first.
const SAME: [(u32, u32); 4] = [(OLD_ISSUER, ISSUER), (2, 20), (3, 13), (6, 14)];
const OLD_REPOSITORY: u32 = 5;
const REPOSITORY: u32 = 12;

/// Looks at what the library does not: it takes the first of several names, the first of two extensions,
/// and the newer of two claims that contradict each other.
pub(in crate::signature) fn check(der: &DerCertificate) -> Result<(), Fault> {
    let certificate = Certificate::from_der(der.as_bytes())
        .map_err(|error| Fault::of_error(Code::SigCertificate, "a certificate", &error))?;
    let certificate = &certificate.tbs_certificate;
    check_key(certificate)?;
    check_names(certificate)?;
    let extensions = certificate.extensions.as_deref().unwrap_or_default();
    check_claims(&claims(extensions)?)
}

fn check_key(certificate: &TbsCertificate) -> Result<(), Fault> {
    let usage = certificate.get::<KeyUsage>().map_err(|error| malformed(&error))?;
    if !usage.is_some_and(|(_, usage)| usage.digital_signature()) {
        return Err(fault("a certificate for digital signatures", "one without this usage"));
    }
    let spki = certificate.subject_public_key_info.to_der().map_err(|error| malformed(&error))?;
    match rsa_bits(&spki) {
        Some(bits) if bits < RSA_BITS_MIN => {
            Err(fault(format!("an RSA key of {RSA_BITS_MIN} bits or more"), format!("{bits} bits")))
        }
        _ => Ok(()),
    }
}

fn check_names(certificate: &TbsCertificate) -> Result<(), Fault> {
    let names = certificate.get::<SubjectAltName>().map_err(|error| malformed(&error))?;
    let names = names.map(|(_, names)| names.0).unwrap_or_default();
    match names.as_slice() {
        [GeneralName::UniformResourceIdentifier(_)] => Ok(()),
        // An address that reads like a URI must not pass for one.
        [GeneralName::Rfc822Name(email)] if email.as_str().contains(['/', ':']) => {
            Err(fault("an e-mail address", email.as_str()))
        }
        [GeneralName::Rfc822Name(_)] => Ok(()),
        [_] => {
            Err(fault("a URI or an e-mail address in the certificate", "a name of another kind"))
        }
        [] => Err(fault("an identity in the certificate", "none")),
        several => Err(fault("one identity in the certificate", several.len().to_string())),
    }
}

/// Fulcio's extensions by their last arc.
fn claims(extensions: &[Extension]) -> Result<BTreeMap<u32, String>, Fault> {
    let mut claims = BTreeMap::new();
    for (at, extension) in extensions.iter().enumerate() {
        let id = extension.extn_id;
        if extensions.iter().take(at).any(|earlier| earlier.extn_id == id) {
            return Err(fault("each extension once", format!("{id} twice")));
        }
        let Some(arc) = fulcio_arc(&id) else { continue };
        let bytes = extension.extn_value.as_bytes();
        let in_der = Utf8StringRef::from_der(bytes).map(|text| text.as_str().to_owned());
        let value = match in_der {
            Err(error) if IN_DER.contains(&arc) => {
                let expected = format!("a string in the extension {id}");
                return Err(Fault::of_error(Code::SigCertificate, expected, &error));
            }
            // The older ones are bare text.
            in_der => in_der.unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned()),
        };
        claims.insert(arc, value);
    }
    Ok(claims)
}

/// The arc below Fulcio's, if it is one that stands in one byte, as all do that are looked at. To take an
/// identifier apart arc by arc costs more than everything else here.
fn fulcio_arc(id: &ObjectIdentifier) -> Option<u32> {
    match id.as_bytes().strip_prefix(FULCIO.as_bytes())? {
        [arc] => Some(u32::from(*arc)),
        _ => None,
    }
}

/// Where an older and a newer extension say the same, they must agree.
fn check_claims(claims: &BTreeMap<u32, String>) -> Result<(), Fault> {
    let pairs = SAME.iter().filter_map(|(old, new)| Some((claims.get(old)?, claims.get(new)?)));
    for (old, new) in pairs {
        if old != new {
            return Err(fault(format!("{old}, as the older extension says"), new));
        }
    }
    if let (Some(old), Some(new)) = (claims.get(&OLD_REPOSITORY), claims.get(&REPOSITORY)) {
        // The newer one is the address of the repository, the older one only its path.
        let path = new.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        if path.map(|(_, path)| path) != Some(old) {
            return Err(fault(format!("{old}, as the older extension says"), new));
        }
    }
    Ok(())
}

fn malformed(error: &x509_cert::der::Error) -> Fault {
    Fault::of_error(Code::SigCertificate, "a certificate that can be read", error)
}

fn fault(expected: impl Into<String>, seen: impl Into<String>) -> Fault {
    Fault::new(Code::SigCertificate, expected, seen)
}
