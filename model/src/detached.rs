//! Detached signatures: the files that `cosign sign-blob` and sigstore-python wrote beside a file.
//!
//! ```text
//! kubectl                       the file
//! kubectl.sig                   a signature over it: base64, on one line
//! kubectl.cert, .crt, .pem      the certificate of the key, perhaps with those above it: PEM, or base64 of PEM
//! kubectl.rekor.json, .rekor    the log's entry, in JSON
//! ```
//!
//! Which file they belong to is told by their names, and proves nothing. Each is held as it came; whoever
//! verifies them reads them together. Where they have to be one document, it is this one:
//!
//! ```text
//! {"certificates": [base64 of a file…], "entries": [base64 of a file…],
//!  "mediaType": "application/vnd.bonded.cosign-files.v1+json", "signature": base64 of the file}
//! ```
//!
//! There should be one certificate file and one entry at most. What is there is kept, so that whoever reads
//! them can say that there are more.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::limits::EVIDENCE_BYTES_MAX;
use crate::media_type::COSIGN_FILES;

/// What one of the files is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// The signature.
    Signature,
    /// The certificate, perhaps with those above it.
    Certificate,
    /// The entry of a log.
    LogEntry,
}

/// Suffixes in use; none ends in another.
const SUFFIXES: [(&str, Piece); 6] = [
    (".sig", Piece::Signature),
    (".cert", Piece::Certificate),
    (".crt", Piece::Certificate),
    (".pem", Piece::Certificate),
    (".rekor.json", Piece::LogEntry),
    (".rekor", Piece::LogEntry),
];

/// Signatures are of these many characters; what is shorter or longer is something else.
const SIGNATURE_CHARACTERS: std::ops::RangeInclusive<usize> = 64..=2048;

/// How certificates begin in PEM (RFC 7468, section 5).
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// What a file of that name would be, and the name of the file that it would belong to.
pub fn piece_of(file_name: &str) -> Option<(&str, Piece)> {
    let lower = file_name.to_ascii_lowercase();
    let (suffix, piece) = SUFFIXES.iter().find(|(suffix, _)| lower.ends_with(suffix))?;
    let owner = file_name.get(..file_name.len() - suffix.len())?;
    (!owner.is_empty()).then_some((owner, *piece))
}

/// The base64 of a signature that stands in a file alone, on one line. What decodes to text is the signature of
/// another program, such as minisign's.
pub fn signature(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes.trim_ascii()).ok()?; // then it is none
    if !SIGNATURE_CHARACTERS.contains(&text.len()) {
        return None;
    }
    let decoded = STANDARD.decode(text).ok()?; // as above
    (!decoded.is_ascii()).then_some(text)
}

/// The PEM of certificates that stand in a file, be it PEM or base64 of it on one line.
pub fn certificates(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(bytes.trim_ascii()).ok()?; // then there are none
    if text.starts_with(BEGIN) {
        return Some(Cow::Borrowed(text));
    }
    let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?; // as above
    decoded.starts_with(BEGIN).then_some(Cow::Owned(decoded))
}

/// A signature with what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files<'a> {
    /// The file with the signature.
    pub signature: Cow<'a, [u8]>,
    /// The files with certificates, of which there should be one at most.
    pub certificates: Vec<Cow<'a, [u8]>>,
    /// The files with entries of logs, of which there should be one at most.
    pub entries: Vec<Cow<'a, [u8]>>,
}

/// Why a document is none of such files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// Not strict JSON of that shape.
    #[error("the document holds no signature with the files beside it")]
    Json(#[from] JsonError),
    /// Of another kind.
    #[error("the document has media type {found:?}")]
    MediaType {
        /// What it says to be.
        found: String,
    },
    /// A file is not in base64.
    #[error("a file in the document is not in base64")]
    Content(#[from] base64::DecodeError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    certificates: Vec<String>,
    entries: Vec<String>,
    media_type: String,
    signature: String,
}

impl Files<'_> {
    /// Reads the document.
    ///
    /// # Errors
    /// [`FilesError`] if it is something else, or malformed.
    pub fn parse(bytes: &[u8]) -> Result<Files<'static>, FilesError> {
        let written: Written = json::parse(bytes, EVIDENCE_BYTES_MAX)?;
        if written.media_type != COSIGN_FILES {
            return Err(FilesError::MediaType { found: written.media_type });
        }
        let decode = |text: &String| STANDARD.decode(text).map(Cow::Owned);
        let all = |texts: &[String]| texts.iter().map(decode).collect::<Result<Vec<_>, _>>();
        Ok(Files {
            signature: decode(&written.signature)?,
            certificates: all(&written.certificates)?,
            entries: all(&written.entries)?,
        })
    }

    /// The document: the same bytes for the same files.
    pub fn to_bytes(&self) -> Vec<u8> {
        let all = |files: &[Cow<'_, [u8]>]| files.iter().map(|f| STANDARD.encode(f)).collect();
        json::to_canonical(&Written {
            certificates: all(&self.certificates),
            entries: all(&self.entries),
            media_type: COSIGN_FILES.to_owned(),
            signature: STANDARD.encode(&self.signature),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pieces() {
        for (name, expected) in [
            ("kubectl.sig", Some(("kubectl", Piece::Signature))),
            ("Kubectl.SIG", Some(("Kubectl", Piece::Signature))),
            ("a.tar.gz.cert", Some(("a.tar.gz", Piece::Certificate))),
            ("a.crt", Some(("a", Piece::Certificate))),
            ("a.pem", Some(("a", Piece::Certificate))),
            ("a.rekor", Some(("a", Piece::LogEntry))),
            ("a.rekor.json", Some(("a", Piece::LogEntry))),
            ("a.sig.sig", Some(("a.sig", Piece::Signature))),
            (".sig", None),
            (".rekor.json", None),
            ("a.json", None),
            ("a.minisig", None),
            ("a.asc", None),
            ("sig", None),
        ] {
            assert_eq!(piece_of(name), expected, "{name}");
        }
    }

    #[test]
    fn signatures_are_told_by_their_base64() {
        let good = STANDARD.encode([0xa5; 70]);
        for text in [good.clone(), format!("{good}\n"), format!(" {good}\r\n")] {
            assert_eq!(signature(text.as_bytes()), Some(good.as_str()), "{text:?}");
        }
        let (start, end) = good.split_at(64);
        let wrapped = format!("{start}\n{end}");
        let texts = [
            wrapped,
            good.replace('=', ""),
            good.replace('p', "-"),
            format!("{good}{good}"),
            format!("\u{feff}{good}"),
            STANDARD.encode([0xa5; 40]),
            STANDARD.encode([0xa5; 1537]),
            STANDARD.encode("untrusted comment: signature of another program, in its own text"),
            "-----BEGIN PGP SIGNATURE-----".to_owned(),
            String::new(),
        ];
        for text in texts {
            assert_eq!(signature(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(signature(&[0x89; 70]), None);
        assert!(signature(STANDARD.encode([0xa5; 1536]).as_bytes()).is_some());
        assert!(signature(STANDARD.encode([0xa5; 48]).as_bytes()).is_some());
    }

    #[test]
    fn certificates_are_pem_or_base64_of_it() {
        let pem = format!("{BEGIN}\nAAAA\n-----END CERTIFICATE-----\n");
        let found = |text: &str| certificates(text.as_bytes()).map(Cow::into_owned);
        assert_eq!(found(&pem).as_deref(), Some(pem.trim()));
        assert_eq!(found(&format!("{}\n", STANDARD.encode(&pem))).as_deref(), Some(pem.as_str()));
        let twice = STANDARD.encode(STANDARD.encode(&pem));
        let key = pem.replace("CERTIFICATE", "PUBLIC KEY");
        for text in [twice, STANDARD.encode(&key), key, format!("x{pem}"), String::new()] {
            assert_eq!(found(&text), None, "{text}");
        }
        assert_eq!(certificates(&[0x30, 0x82, 0xff]), None);
    }

    fn some_files() -> Files<'static> {
        let file = |text: &'static str| Cow::Borrowed(text.as_bytes());
        Files { signature: file("s"), certificates: vec![file("c")], entries: vec![] }
    }

    #[test]
    fn files_in_one_document() {
        let text = r#"{"certificates":["Yw=="],"entries":[],"mediaType":"application/vnd.bonded.cosign-files.v1+json","signature":"cw=="}"#;
        assert_eq!(String::from_utf8(some_files().to_bytes()).unwrap(), text);
        assert_eq!(Files::parse(text.as_bytes()).unwrap(), some_files());
        for (from, to) in [
            ("Yw==", "Yw"),
            ("cw==", "c w=="),
            ("files.v1", "files.v2"),
            ("[]", "{}"),
            (r#""entries":[],"#, ""),
            (r#""entries""#, r#""x":1,"entries""#),
            (r#""entries":[]"#, r#""entries":[],"entries":[]"#),
        ] {
            assert!(Files::parse(text.replace(from, to).as_bytes()).is_err(), "{from} {to}");
        }
        assert!(Files::parse(format!("{text} {text}").as_bytes()).is_err());
    }
}
