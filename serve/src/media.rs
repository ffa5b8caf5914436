//! The `Content-Type` of a file, from the end of its name.
//!
//! The table is short and holds passive types only: a release file must not run as a page of this
//! server, so HTML and SVG go out as bytes.

use bonded_model::media_type::OCTET_STREAM;

const TEXT: &str = "text/plain; charset=utf-8";

const BY_EXTENSION: [(&str, &str); 28] = [
    ("asc", "application/pgp-signature"),
    ("bz2", "application/x-bzip2"),
    ("crt", "application/x-pem-file"),
    ("csv", "text/csv; charset=utf-8"),
    ("deb", "application/vnd.debian.binary-package"),
    ("gz", "application/gzip"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("log", TEXT),
    ("md", "text/markdown; charset=utf-8"),
    ("md5", TEXT),
    ("pem", "application/x-pem-file"),
    ("rpm", "application/x-rpm"),
    ("sha1", TEXT),
    ("sha256", TEXT),
    ("sha256sum", TEXT),
    ("sha512", TEXT),
    ("sha512sum", TEXT),
    ("sig", OCTET_STREAM),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("toml", "application/toml"),
    ("txt", TEXT),
    ("wasm", "application/wasm"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The content type of a file of that name.
pub(crate) fn type_of(file_name: &str) -> &'static str {
    let extension = file_name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = BY_EXTENSION.iter().find(|(name, _)| name.eq_ignore_ascii_case(extension));
    known.map_or(OCTET_STREAM, |(_, media_type)| media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_extension_and_bytes_otherwise() {
        for (name, expected) in [
            ("kubernetes.tar.gz", "application/gzip"),
            ("kubectl.sha256", TEXT),
            ("NOTES.TXT", TEXT),
            ("sbom.spdx.json", "application/json"),
            ("kubectl", OCTET_STREAM),
            ("kubectl.exe", OCTET_STREAM),
            ("index.html", OCTET_STREAM),
            ("logo.svg", OCTET_STREAM),
            ("json", OCTET_STREAM),
            ("x.", OCTET_STREAM),
            ("", OCTET_STREAM),
        ] {
            assert_eq!(type_of(name), expected, "{name:?}");
        }
    }
}
