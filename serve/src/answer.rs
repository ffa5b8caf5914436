//! From content and a request's headers to status, headers and the part to send: pure, so that HEAD
//! and GET cannot differ.
//!
//! ```text
//! If-Match fails ─▶ 412 │ If-None-Match holds ─▶ 304 │ Range (GET only, if If-Range holds) ─▶ 206, 416 │ 200
//! ```
//!
//! The order is that of RFC 9110, section 13.2.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::Digest;
use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

use crate::condition;
use crate::content::{Cache, Content, Source};
use crate::page;
use crate::range::{self, Selection};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// What to send, before a body exists.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

/// The bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// These.
    Inline(Bytes),
    /// A part of a blob of the store.
    Blob(BlobPart),
}

/// `length` bytes from `first` on of a blob of `size` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobPart {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) first: u64,
    pub(crate) length: u64,
}

/// Answers with content.
pub(crate) fn answer(method: &Method, request: &HeaderMap, content: &Content) -> Answer {
    let digest = &content.digest;
    if let Some(tags) = joined(request, header::IF_MATCH)
        && !condition::if_match(&tags, digest)
    {
        return text(StatusCode::PRECONDITION_FAILED, "the content has another entity tag\n");
    }
    if let Some(tags) = joined(request, header::IF_NONE_MATCH)
        && condition::if_none_match(&tags, digest)
    {
        return not_modified(content);
    }
    match selection(method, request, content) {
        Selection::Whole => whole(content),
        Selection::Part { first, last } => part(content, first, last),
        Selection::Unsatisfiable => unsatisfiable(content.size),
    }
}

/// Answers with a line of text: errors, and the health check.
pub(crate) fn text(status: StatusCode, message: impl Into<Bytes>) -> Answer {
    let message = message.into();
    let mut headers = base_headers(Cache::Never, TEXT);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(message.len()));
    Answer { status, headers, payload: Payload::Inline(message) }
}

/// Sends the client to another path, which is already percent-encoded.
pub(crate) fn moved(path: &str) -> Answer {
    let mut answer = text(StatusCode::PERMANENT_REDIRECT, format!("see {path}\n"));
    match HeaderValue::from_str(path) {
        Ok(value) => {
            answer.headers.insert(header::LOCATION, value);
            answer
        }
        Err(_not_ascii) => text(StatusCode::BAD_REQUEST, "the path cannot be redirected\n"),
    }
}

/// Refuses a method.
pub(crate) fn method_not_allowed() -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
    answer.headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

/// Range handling is defined for GET only (RFC 9110, section 14.2), and two `Range` lines are none.
fn selection(method: &Method, request: &HeaderMap, content: &Content) -> Selection {
    let mut ranges = request.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Selection::Whole;
    };
    let fresh = joined(request, header::IF_RANGE)
        .is_none_or(|tag| condition::if_range(&tag, &content.digest));
    match range.to_str() {
        Ok(range) if *method == Method::GET && fresh => range::select(range, content.size),
        _ => Selection::Whole,
    }
}

/// All lines of a header as one list. Bytes that are no text match nothing later on.
fn joined(request: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<_> = request
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    if lines.is_empty() { None } else { Some(lines.join(", ")) }
}

fn whole(content: &Content) -> Answer {
    let mut headers = content_headers(content);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.size));
    Answer { status: StatusCode::OK, headers, payload: payload(content, 0, content.size) }
}

fn part(content: &Content, first: u64, last: u64) -> Answer {
    let length = (last - first).saturating_add(1);
    let mut headers = content_headers(content);
    let range = format!("bytes {first}-{last}/{}", content.size);
    headers.insert(header::CONTENT_RANGE, ascii(&range));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let payload = payload(content, first, length);
    Answer { status: StatusCode::PARTIAL_CONTENT, headers, payload }
}

fn payload(content: &Content, first: u64, length: u64) -> Payload {
    let Content { digest, size, .. } = *content;
    match &content.source {
        Source::Inline(bytes) => Payload::Inline(slice(bytes, first, length)),
        Source::Store => Payload::Blob(BlobPart { digest, size, first, length }),
    }
}

/// `length` bytes from `first` on, which must lie inside.
pub(crate) fn slice(bytes: &Bytes, first: u64, length: u64) -> Bytes {
    let first = usize::try_from(first).expect("a selection lies inside bytes in memory");
    let length = usize::try_from(length).expect("a selection lies inside bytes in memory");
    bytes.slice(first..first + length)
}

fn not_modified(content: &Content) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, ascii(&condition::entity_tag(&content.digest)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(content.cache.control()));
    Answer { status: StatusCode::NOT_MODIFIED, headers, payload: Payload::Inline(Bytes::new()) }
}

fn unsatisfiable(size: u64) -> Answer {
    let message = format!("the content has {size} bytes; the range selects none of them\n");
    let mut answer = text(StatusCode::RANGE_NOT_SATISFIABLE, message);
    answer.headers.insert(header::CONTENT_RANGE, ascii(&format!("bytes */{size}")));
    answer
}

fn content_headers(content: &Content) -> HeaderMap {
    let mut headers = base_headers(content.cache, &content.content_type);
    headers.insert(header::ETAG, ascii(&condition::entity_tag(&content.digest)));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(REPR_DIGEST, ascii(&repr_digest(&content.digest)));
    headers
}

/// The headers of every answer that has a body. Nothing here may run as a page of this site, so all
/// but the pages are put into a sandbox, whatever their type says.
fn base_headers(cache: Cache, content_type: &str) -> HeaderMap {
    let policy = if content_type == HTML {
        page::content_security_policy()
    } else {
        "default-src 'none'; sandbox".to_owned()
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, ascii(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache.control()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, ascii(&policy));
    headers
}

/// RFC 9530, section 3: the digest of the whole content, also on a part of it.
fn repr_digest(digest: &Digest) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest.as_bytes()))
}

/// A header's value from text that this program made or checked.
fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("media types, digests and numbers are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content::inline(&b"0123456789"[..], TEXT, Cache::Immutable)
    }

    fn tag() -> String {
        condition::entity_tag(&content().digest)
    }

    fn check(method: &Method, request: &[(&str, &str)], status: u16, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in request {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let answer = answer(method, &headers, &content());
        assert_eq!(answer.status.as_u16(), status, "{request:?}");
        if status < 300 {
            assert_eq!(answer.payload, Payload::Inline(Bytes::from(body.to_owned())));
        }
        answer
    }

    #[test]
    fn conditions_come_in_the_order_of_the_rfc() {
        let tag = tag();
        let tag = tag.as_str();
        let other = "\"sha256:0\"";
        let get = &Method::GET;
        for (request, status, body) in [
            (&[][..], 200, "0123456789"),
            (&[("if-match", tag)], 200, "0123456789"),
            (&[("if-match", "*")], 200, "0123456789"),
            (&[("if-match", other)], 412, ""),
            (&[("if-match", other), ("if-match", tag)], 200, "0123456789"),
            (&[("if-match", other), ("if-none-match", tag)], 412, ""),
            (&[("if-none-match", tag)], 304, ""),
            (&[("if-none-match", "*")], 304, ""),
            (&[("if-none-match", other)], 200, "0123456789"),
            (&[("if-none-match", tag), ("range", "bytes=0-1")], 304, ""),
            (&[("if-modified-since", "Wed, 21 Oct 2099 07:28:00 GMT")], 200, "0123456789"),
            (&[("range", "bytes=2-4")], 206, "234"),
            (&[("range", "bytes=-2")], 206, "89"),
            (&[("range", "bytes=8-")], 206, "89"),
            (&[("range", "bytes=10-")], 416, ""),
            (&[("range", "bytes=5-0")], 416, ""),
            (&[("range", "bytes=0-1,4-5")], 200, "0123456789"),
            (&[("range", "bytes=0-1"), ("range", "bytes=4-5")], 200, "0123456789"),
            (&[("range", "nonsense")], 200, "0123456789"),
            (&[("range", "bytes=2-4"), ("if-range", tag)], 206, "234"),
            (&[("range", "bytes=2-4"), ("if-range", other)], 200, "0123456789"),
            (&[("range", "bytes=99-"), ("if-range", other)], 200, "0123456789"),
        ] {
            check(get, request, status, body);
        }
    }

    #[test]
    fn a_part_says_where_it_lies_and_what_the_whole_is() {
        let answer = check(&Method::GET, &[("range", "bytes=2-4")], 206, "234");
        assert_eq!(answer.headers[header::CONTENT_RANGE], "bytes 2-4/10");
        assert_eq!(answer.headers[header::CONTENT_LENGTH], "3");
        let digest = "sha-256=:hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=:";
        assert_eq!(answer.headers[REPR_DIGEST], digest);
        let none = check(&Method::GET, &[("range", "bytes=10-")], 416, "");
        assert_eq!(none.headers[header::CONTENT_RANGE], "bytes */10");
        assert_eq!(none.headers[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn head_has_no_ranges() {
        check(&Method::HEAD, &[("range", "bytes=2-4")], 200, "0123456789");
        check(&Method::HEAD, &[("range", "bytes=99-")], 200, "0123456789");
    }
}
