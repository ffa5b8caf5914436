//! RFC 3161 timestamps: which authority made one, and whether what it signed is a timestamp.

use bonded_model::Digest;
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use sigstore_types::{SignatureBytes, TimestampToken, TsaAuthority};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader as _, Result as DerResult, SliceReader};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use crate::code::Code;
use crate::finding::Fault;

const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// A timestamp authority of the trust root.
pub(super) struct Clock {
    authority: TsaAuthority,
    name: IssuerAndSerialNumber,
    key_id: Option<SubjectKeyIdentifier>,
    digest: Digest,
}

impl Clock {
    /// `None` if its certificate cannot be read: the library cannot verify with it either.
    pub(super) fn of(authority: TsaAuthority) -> Option<Self> {
        let leaf = Certificate::from_der(authority.leaf.as_bytes()).ok()?; // see above
        let leaf = leaf.tbs_certificate;
        let spki = leaf.subject_public_key_info.to_der().ok()?; // it was just decoded
        let key_id = leaf.get::<SubjectKeyIdentifier>().ok()?; // see above
        let name = IssuerAndSerialNumber { issuer: leaf.issuer, serial_number: leaf.serial_number };
        let key_id = key_id.map(|(_, id)| id);
        Some(Self { authority, name, key_id, digest: Digest::sha256_of(&spki) })
    }

    fn is(&self, id: &SignerIdentifier) -> bool {
        match id {
            SignerIdentifier::IssuerAndSerialNumber(name) => self.name == *name,
            SignerIdentifier::SubjectKeyIdentifier(id) => self.key_id.as_ref() == Some(id),
        }
    }
}

/// The authority that made a token which the library holds for good. Of several that it may be, one is
/// taken: what cannot be told apart counts once.
pub(super) fn check(clocks: &[Clock], token: &TimestampToken) -> Result<Digest, Fault> {
    let signer = signer(token)?;
    let kind = signer.signed_attrs.iter().flat_map(|attributes| attributes.iter());
    let mut kind = kind.filter(|attribute| attribute.oid == CONTENT_TYPE);
    let values = kind.next().map(|attribute| &attribute.values).filter(|values| values.len() == 1);
    let value = values.and_then(|values| values.get(0)?.decode_as::<ObjectIdentifier>().ok()); // not one
    if value != Some(TST_INFO) || kind.next().is_some() {
        let seen = value.map_or("none".to_owned(), |oid| oid.to_string());
        return Err(fault("a signed content of the type of timestamps", &seen));
    }
    let own = clocks.iter().filter(|clock| clock.is(&signer.sid)).map(|clock| clock.digest);
    own.min().ok_or_else(|| fault("a timestamp authority of the trust root", "another"))
}

/// What the authority that a token names has against it.
pub(super) fn fault_of(
    clocks: &[Clock],
    token: &TimestampToken,
    signature: &SignatureBytes,
) -> Option<Fault> {
    let signer = match signer(token) {
        Ok(signer) => signer,
        Err(fault) => return Some(fault),
    };
    let own: Vec<_> = clocks.iter().filter(|clock| clock.is(&signer.sid)).collect();
    if own.is_empty() {
        return Some(fault("a timestamp authority of the trust root", "another"));
    }
    let verify = |clock: &&Clock| {
        sigstore_verify::tsa::verify_timestamp_for_authority(token, signature, &clock.authority)
    };
    let mut errors = Vec::new();
    for outcome in own.iter().map(verify) {
        errors.push(outcome.err()?.to_string());
    }
    Some(fault("a trusted signing time", &errors.join("; ")))
}

/// The one who signed, from a response or the token inside of it.
fn signer(token: &TimestampToken) -> Result<SignerInfo, Fault> {
    let malformed =
        |error: x509_cert::der::Error| Fault::of_error(Code::SigTime, "a timestamp token", &error);
    let content = content_of(token.as_bytes()).map_err(malformed)?;
    let content = content.content.to_der().map_err(malformed)?;
    let signed = SignedData::from_der(&content).map_err(malformed)?;
    match signed.signer_infos.0.as_slice() {
        [signer] => Ok(signer.clone()),
        several => Err(fault("one signature on the timestamp", &several.len().to_string())),
    }
}

fn content_of(bytes: &[u8]) -> DerResult<ContentInfo> {
    let response = || -> DerResult<ContentInfo> {
        let mut reader = SliceReader::new(bytes)?;
        let token = reader.sequence(|response| {
            AnyRef::decode(response)?;
            ContentInfo::decode(response)
        })?;
        reader.finish(token)
    };
    ContentInfo::from_der(bytes).or_else(|_not_bare| response())
}

fn fault(expected: &str, seen: &str) -> Fault {
    Fault::new(Code::SigTime, expected, seen)
}
