//! Checksum documents: lists such as `SHA256SUMS`, and sidecars such as `kubectl.sha256`.
//!
//! ```text
//! <hex>␠␠<path>      text mode (coreutils)
//! <hex>␠*<path>      binary mode
//! <hex>              a sidecar: the name is that of the document without its suffix
//! ```

use crate::digest::{Algorithm, Digest, DigestError};
use crate::limits::CHECKSUMS_BYTES_MAX;

/// One line of a checksum document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The path as written, without a leading `./`; absent in a bare sidecar.
    pub path: Option<String>,
    /// The digest.
    pub digest: Digest,
}

/// Why bytes are no checksum document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChecksumsError {
    /// Longer than [`CHECKSUMS_BYTES_MAX`].
    #[error("checksum document has {bytes} bytes, the limit is {CHECKSUMS_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("checksum document is not UTF-8")]
    NotText(#[source] std::str::Utf8Error),
    /// No line at all: an empty list would agree with everything.
    #[error("checksum document has no lines")]
    Empty,
    /// A line is not a checksum.
    #[error("line {line} is no checksum")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// A line has no path although the document has several lines.
    #[error("line {line} names no file")]
    NoPath {
        /// Counted from 1.
        line: usize,
    },
}

/// Reads a checksum document of the given algorithm.
///
/// # Errors
/// [`ChecksumsError`] at the first line that is wrong; half a list is no list.
pub fn parse(bytes: &[u8], algorithm: Algorithm) -> Result<Vec<Checksum>, ChecksumsError> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > CHECKSUMS_BYTES_MAX) {
        return Err(ChecksumsError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(ChecksumsError::NotText)?;
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed: Result<Vec<_>, _> =
        lines().map(|(at, line)| parse_line(at + 1, line, algorithm)).collect();
    let parsed = parsed?;
    match parsed.as_slice() {
        [] => Err(ChecksumsError::Empty),
        [_one] => Ok(parsed),
        several => match several.iter().position(|checksum| checksum.path.is_none()) {
            Some(at) => {
                Err(ChecksumsError::NoPath { line: lines().nth(at).map_or(0, |(at, _)| at + 1) })
            }
            None => Ok(parsed),
        },
    }
}

/// The algorithm that a file name announces: `SHA256SUMS`, `x.sha512`, `sha512sum.txt`, …
pub fn algorithm_of(file_name: &str) -> Option<Algorithm> {
    let name = file_name.to_ascii_lowercase();
    let list = |hash: &str| {
        ["sums", "sums.txt", "sum.txt", "sum"].iter().any(|end| name == format!("{hash}{end}"))
    };
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|algorithm| {
        let hash = algorithm.name();
        name.ends_with(&format!(".{hash}")) || name.ends_with(&format!(".{hash}sum")) || list(hash)
    })
}

/// The name of the file that a sidecar stands beside: `x.sha256` and `x.SHA256SUM` give `x`.
pub fn sidecar_target(file_name: &str) -> Option<&str> {
    let suffixes = [".sha256", ".sha512", ".sha256sum", ".sha512sum"];
    let lower = file_name.to_ascii_lowercase(); // as long as the name itself
    let suffix = suffixes.iter().find(|suffix| lower.ends_with(**suffix))?;
    file_name.get(..file_name.len() - suffix.len()).filter(|name| !name.is_empty())
}

fn parse_line(line: usize, text: &str, algorithm: Algorithm) -> Result<Checksum, ChecksumsError> {
    let text = text.trim_end_matches(['\r', ' ', '\t']);
    let (hex, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let path = rest.trim_start_matches([' ', '\t']);
    let path = path.strip_prefix('*').unwrap_or(path);
    let path = path.strip_prefix("./").unwrap_or(path);
    let digest =
        Digest::from_hex(algorithm, hex).map_err(|source| ChecksumsError::Line { line, source })?;
    Ok(Checksum { path: (!path.is_empty()).then(|| path.to_owned()), digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_forms_in_use() {
        let paths = |text: &str| -> Vec<_> {
            parse(text.as_bytes(), Algorithm::Sha256).unwrap().into_iter().map(|c| c.path).collect()
        };
        assert_eq!(paths(HEX), [None]);
        assert_eq!(paths(&format!("{HEX}\n")), [None]);
        assert_eq!(
            paths(&format!("{HEX}  a b\n{HEX} *bin/c\r\n\n{HEX}  ./d")),
            [Some("a b".into()), Some("bin/c".into()), Some("d".into())]
        );
    }

    #[test]
    fn must_reject() {
        let check = |text: &str| parse(text.as_bytes(), Algorithm::Sha256);
        assert!(matches!(check(""), Err(ChecksumsError::Empty)));
        assert!(matches!(check("\n \n"), Err(ChecksumsError::Empty)));
        assert!(matches!(check("hello"), Err(ChecksumsError::Line { line: 1, .. })));
        assert!(matches!(check(&HEX.to_uppercase()), Err(ChecksumsError::Line { line: 1, .. })));
        assert!(matches!(
            check(&format!("{HEX}  a\nshort  b")),
            Err(ChecksumsError::Line { line: 2, .. })
        ));
        assert!(matches!(
            check(&format!("{HEX}  a\n\n{HEX}")),
            Err(ChecksumsError::NoPath { line: 3 })
        ));
        assert!(matches!(
            parse(HEX.as_bytes(), Algorithm::Sha512),
            Err(ChecksumsError::Line { .. })
        ));
        assert!(matches!(parse(b"\xff", Algorithm::Sha256), Err(ChecksumsError::NotText(_))));
    }

    #[test]
    fn names_tell_the_algorithm() {
        for (name, expected) in [
            ("SHA256SUMS", Some(Algorithm::Sha256)),
            ("sha512sum.txt", Some(Algorithm::Sha512)),
            ("kubectl.sha256", Some(Algorithm::Sha256)),
            ("kubectl.sha512sum", Some(Algorithm::Sha512)),
            ("kubectl.md5", None),
            ("sha256", None),
        ] {
            assert_eq!(algorithm_of(name), expected, "{name}");
        }
        assert_eq!(sidecar_target("a.b.sha256"), Some("a.b"));
        assert_eq!(sidecar_target("Tool.SHA256"), Some("Tool"));
        assert_eq!(sidecar_target("é.Sha512Sum"), Some("é"));
        assert_eq!(sidecar_target(".sha256"), None);
    }
}
