//! Request paths: percent-decoded once, canonical or redirected, hostile ones refused.
//!
//! One content has one path: another spelling of it (`//`, `%3A` for `:`, `%c3` for `%C3`) is
//! answered with a redirect to the canonical one, so that a cache in front cannot hold two ages of
//! the same thing. What could mean two things to two programs (`..`, encoded slashes, NUL,
//! backslashes, text that is not UTF-8) is refused. Knows nothing of what exists.

use std::fmt::Write as _;

/// Longest decoded path. The longest path that a release can have is 1,024 bytes below a project and
/// a version of 128 each.
const PATH_BYTES_MAX: usize = 2048;

/// What a request's path turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// The decoded path; starts with `/`, has no empty, `.` or `..` component; `/` at the end is kept.
    Path(String),
    /// The same path in its canonical spelling, still encoded, to send the client to.
    Moved(String),
    /// Refused, with the reason.
    Refused(Fault),
}

/// Why a path was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the path does not start with /")]
    NotAbsolute,
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    #[error("the path has a % that is not followed by two hex digits")]
    Encoding,
    #[error("the path is not UTF-8")]
    NotUtf8,
    #[error("the path has a slash written as %2F")]
    EncodedSlash,
    #[error("the path has a component . or ..")]
    Dots,
    #[error("the path has a control character or a backslash")]
    Character,
}

/// Reads the path of a request target, without its query.
pub(crate) fn parse(raw: &str) -> Address {
    match decode(raw) {
        Err(fault) => Address::Refused(fault),
        Ok(path) => {
            let canonical = encode(&path);
            if canonical == raw { Address::Path(path) } else { Address::Moved(canonical) }
        }
    }
}

/// The canonical spelling of a decoded path: everything but the characters that RFC 3986, section
/// 3.3, allows in a path is percent-encoded, with upper-case hex digits.
pub(crate) fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    out
}

/// Decodes a path, drops empty components and refuses what has no single meaning.
fn decode(raw: &str) -> Result<String, Fault> {
    if !raw.starts_with('/') {
        return Err(Fault::NotAbsolute);
    }
    if raw.len() > PATH_BYTES_MAX * "%41".len() {
        return Err(Fault::TooLong);
    }
    let bytes = decode_bytes(raw)?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Fault::NotUtf8);
    };
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return Err(Fault::Character);
    }
    if text.split('/').any(|part| part == "." || part == "..") {
        return Err(Fault::Dots);
    }
    let path = without_empty_components(&text);
    if path.len() > PATH_BYTES_MAX { Err(Fault::TooLong) } else { Ok(path) }
}

fn decode_bytes(raw: &str) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let decoded = hex(rest.next()).zip(hex(rest.next())).map(|(high, low)| high * 16 + low);
        match decoded {
            None => return Err(Fault::Encoding),
            Some(b'/') => return Err(Fault::EncodedSlash),
            Some(decoded) => out.push(decoded),
        }
    }
    Ok(out)
}

fn hex(digit: Option<u8>) -> Option<u8> {
    match digit? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn without_empty_components(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for part in text.split('/').filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(part);
    }
    if text.ends_with('/') {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(raw: &str, expected: Address) {
        assert_eq!(parse(raw), expected, "{raw:?}");
    }

    #[test]
    fn canonical_paths_are_taken_as_they_are() {
        for (raw, path) in [
            ("/", "/"),
            ("/demo/", "/demo/"),
            ("/demo/release/v1.0+b:5/bin/x", "/demo/release/v1.0+b:5/bin/x"),
            ("/a%20b/%C3%BC", "/a b/ü"),
            ("/100%25", "/100%"),
            ("/...", "/..."),
            ("/~user/@(x)", "/~user/@(x)"),
        ] {
            check(raw, Address::Path(path.to_owned()));
        }
    }

    #[test]
    fn other_spellings_are_redirected() {
        for (raw, canonical) in [
            ("//", "/"),
            ("//evil.example/x", "/evil.example/x"),
            ("/a//b///", "/a/b/"),
            ("/%61", "/a"),
            ("/a%3Ab", "/a:b"),
            ("/%c3%bc", "/%C3%BC"),
            ("/ü", "/%C3%BC"),
            ("/a\"b", "/a%22b"),
        ] {
            check(raw, Address::Moved(canonical.to_owned()));
        }
    }

    #[test]
    fn must_refuse() {
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        let longer = format!("/{}", "%61".repeat(PATH_BYTES_MAX));
        for (raw, fault) in [
            ("", Fault::NotAbsolute),
            ("*", Fault::NotAbsolute),
            ("a", Fault::NotAbsolute),
            ("/..", Fault::Dots),
            ("/a/../b", Fault::Dots),
            ("/a/./b", Fault::Dots),
            ("/%2e%2e/etc/passwd", Fault::Dots),
            ("/.%2E/", Fault::Dots),
            ("/a%2fb", Fault::EncodedSlash),
            ("/..%2F..%2Fetc", Fault::EncodedSlash),
            ("/a%00", Fault::Character),
            ("/a%0d%0aLocation:x", Fault::Character),
            ("/a%5C..%5Cb", Fault::Character),
            ("/a\\b", Fault::Character),
            ("/%c2%85", Fault::Character),
            ("/%", Fault::Encoding),
            ("/%4", Fault::Encoding),
            ("/%zz", Fault::Encoding),
            ("/%+1", Fault::Encoding),
            ("/%ff", Fault::NotUtf8),
            ("/%c0%ae%c0%ae/", Fault::NotUtf8),
            (&long, Fault::TooLong),
            (&longer, Fault::TooLong),
        ] {
            check(raw, Address::Refused(fault));
        }
    }

    #[test]
    fn an_encoded_percent_is_decoded_once() {
        check("/%252e%252e/x", Address::Path("/%2e%2e/x".to_owned()));
    }

    proptest! {
        #[test]
        fn a_redirect_leads_to_a_path_and_never_off_the_site(raw in "/[a/.%0-9A-Fü ]{0,20}") {
            if let Address::Moved(canonical) = parse(&raw) {
                prop_assert!(!canonical.starts_with("//"));
                prop_assert!(matches!(parse(&canonical), Address::Path(_)));
            }
        }

        #[test]
        fn encoding_reads_back(path in "(/[^/\\\\\\x00-\\x1f\\x7f-\\x9f]{1,8}){1,4}") {
            prop_assume!(path.split('/').all(|part| part != "." && part != ".."));
            prop_assert_eq!(parse(&encode(&path)), Address::Path(path));
        }
    }
}
