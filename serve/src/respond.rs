//! From a request to a response: method, path, content, conditions, checked bytes; in this order.

use std::convert::Infallible;
use std::sync::Arc;

use bonded_model::Digest;
use bytes::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request, Response, StatusCode, Version};

use crate::address::{self, Address};
use crate::answer::{self, Answer, BlobPart, Payload};
use crate::blobs::{Blobs, Checked};
use crate::body::{BlobStream, Body};
use crate::event::{Event, Events};
use crate::nearby;
use crate::site::{HEALTH_PATH, Site};
use crate::view::Found;

/// What all connections share beside the site.
pub(crate) struct Shared {
    pub(crate) blobs: Blobs,
    pub(crate) events: Arc<dyn Events>,
}

/// Answers one request from one site; a site that replaces it serves the requests after this one.
pub(crate) async fn respond<B>(
    shared: &Shared,
    site: &Arc<Site>,
    request: &Request<B>,
) -> Result<Response<Body>, Infallible> {
    let answer = answer_to(site, request);
    let (answer, body) = with_body(shared, site, answer).await;
    let body = if *request.method() == Method::HEAD { Body::empty() } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

fn answer_to<B>(site: &Site, request: &Request<B>) -> Answer {
    let method = request.method();
    if method != Method::GET && method != Method::HEAD {
        return answer::method_not_allowed();
    }
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return answer::text(StatusCode::BAD_REQUEST, "a request names one Host\n");
    }
    match address::parse(request.uri().path()) {
        Address::Path(path) if path == HEALTH_PATH => answer::text(StatusCode::OK, "ok\n"),
        Address::Path(path) => answer_at(site, request, &path),
        Address::Moved(path) => answer::moved(&path),
        Address::Refused(fault) => {
            let status = match fault {
                address::Fault::TooLong => StatusCode::URI_TOO_LONG,
                _ => StatusCode::BAD_REQUEST,
            };
            answer::text(status, format!("{fault}\n"))
        }
    }
}

fn answer_at<B>(site: &Site, request: &Request<B>, path: &str) -> Answer {
    match site.tree().find(path) {
        Found::Content(content) => answer::answer(request.method(), request.headers(), &content),
        Found::Directory => answer::moved(&format!("{}/", address::encode(path))),
        Found::Nothing => answer::text(StatusCode::NOT_FOUND, nearby::describe(site.tree(), path)),
    }
}

/// Checks what the answer would send; bytes that are not the published ones make it a 500. HEAD is
/// checked too, since it promises what GET would give.
async fn with_body(shared: &Shared, site: &Arc<Site>, answer: Answer) -> (Answer, Body) {
    let BlobPart { digest, size, first, length } = match &answer.payload {
        Payload::Inline(bytes) => {
            let body = inline(bytes.clone());
            return (answer, body);
        }
        Payload::Blob(part) => *part,
    };
    match shared.blobs.check(site, digest, size).await {
        Ok(Checked::Small(bytes)) => (answer, inline(answer::slice(&bytes, first, length))),
        Ok(Checked::Large(open)) => {
            let events = Arc::clone(&shared.events);
            (answer, Body::Blob(BlobStream::new(open, first, length, events)))
        }
        Err(error) => {
            shared.events.happened(&Event::BlobRefused { digest, error: &error });
            let message = Bytes::from(refusal(&digest));
            (answer::text(StatusCode::INTERNAL_SERVER_ERROR, message.clone()), inline(message))
        }
    }
}

/// The operator hears what the store says; the client hears only that it gets nothing wrong.
fn refusal(digest: &Digest) -> String {
    format!(
        "the store does not have the bytes that were published under {digest}; nothing else is \
         sent in their place, please tell who runs this server\n"
    )
}

fn inline(bytes: Bytes) -> Body {
    if bytes.is_empty() { Body::empty() } else { Body::Inline(Some(bytes)) }
}
