//! What went wrong at a destination, by what one can do about it.
//!
//! The transport speaks in status codes, in `errno` and in text; this module is the only one that
//! translates them.

use std::error::Error;
use std::fmt;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

use crate::limits::REASON_CHARS_MAX;

/// What went wrong, by what one can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Nothing answers there, or the connection broke.
    Unreachable,
    /// The destination does not accept these credentials, or forbids the operation.
    Refused,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The destination is full.
    NoSpace,
    /// The destination answered with an error of its own (HTTP 5xx, 429), also when asked again.
    Server,
    /// The object does not exist.
    Missing,
    /// The object was changed by somebody else in between.
    Changed,
    /// The destination cannot hold an object of that name.
    BadKey,
    /// Anything else; the source says what.
    Other,
}

impl FaultKind {
    /// Whether the destination as a whole is concerned, so that going on makes no sense.
    pub(crate) fn concerns_destination(self) -> bool {
        match self {
            Self::Unreachable | Self::Refused | Self::NoSuchBucket | Self::NoSpace => true,
            Self::Server | Self::Missing | Self::Changed | Self::BadKey | Self::Other => false,
        }
    }

    /// Whether it may be the destination that is broken and not the one object: many of these say so.
    pub(crate) fn may_concern_destination(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Refused
            | Self::NoSuchBucket
            | Self::NoSpace
            | Self::Server
            | Self::Other => true,
            Self::Missing | Self::Changed | Self::BadKey => false,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "cannot be reached",
            Self::Refused => "refused access",
            Self::NoSuchBucket => "has no such bucket",
            Self::NoSpace => "has no space left",
            Self::Server => "answers with a server error",
            Self::Missing => "does not have the object",
            Self::Changed => "was changed by somebody else in between",
            Self::BadKey => "cannot hold an object of that name",
            Self::Other => "failed",
        })
    }
}

/// What was attempted at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Listing names.
    List,
    /// Asking for the size of an object.
    Head,
    /// Reading an object.
    Read,
    /// Writing a new object.
    Put,
    /// Replacing a mutable object.
    Replace,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listing",
            Self::Head => "looking at",
            Self::Read => "reading",
            Self::Put => "writing",
            Self::Replace => "replacing",
        })
    }
}

/// A failed operation on a destination.
#[derive(Debug, thiserror::Error)]
#[error("it {kind} ({operation} {key:?})")]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// What was attempted.
    pub operation: Operation,
    /// On which object or prefix.
    pub key: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

/// What the transport said. It repeats its own sources in its message, so the chain ends here.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Reason {
    text: String,
}

impl Fault {
    /// A failure of the given kind, for backends outside this crate.
    pub fn new(
        kind: FaultKind,
        operation: Operation,
        key: &str,
        source: Box<dyn Error + Send + Sync>,
    ) -> Self {
        Self { kind, operation, key: key.to_owned(), source }
    }

    pub(crate) fn of_store(operation: Operation, key: &str, error: object_store::Error) -> Self {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = text.chars().filter(|character| !character.is_control());
        let text = shown.take(REASON_CHARS_MAX).collect();
        Self::new(kind_of(&error), operation, key, Box::new(Reason { text }))
    }
}

fn kind_of(error: &object_store::Error) -> FaultKind {
    // The innermost cause has status and body of the answer, in which keys are escaped; the outer
    // messages have keys as they are, and a key may be called anything.
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    if text.contains("<Code>NoSuchBucket</Code>") {
        return FaultKind::NoSuchBucket;
    }
    match error {
        object_store::Error::NotFound { .. } => FaultKind::Missing,
        object_store::Error::InvalidPath { .. } => FaultKind::BadKey,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            FaultKind::Changed
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => FaultKind::Refused,
        _ => causes(error)
            .find_map(of_cause)
            .or_else(|| status_in(&text).map(of_status))
            .unwrap_or(FaultKind::Other),
    }
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let outermost: &(dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |&error| error.source())
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<FaultKind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Some(FaultKind::NoSpace),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some(FaultKind::Refused)
            }
            io::ErrorKind::InvalidFilename => Some(FaultKind::BadKey),
            _ => None,
        };
    }
    match error.downcast_ref::<HttpError>()?.kind() {
        HttpErrorKind::Decode => Some(FaultKind::Other),
        _ => Some(FaultKind::Unreachable),
    }
}

/// The transport keeps its status error private and shows it in its message alone; the tests
/// against a server that answers 403 and 500 hold this reading in place.
fn status_in(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok() // no number is an answer: the kind stays `Other`
}

fn of_status(status: u16) -> FaultKind {
    match status {
        401 | 403 => FaultKind::Refused,
        404 => FaultKind::Missing,
        409 | 412 => FaultKind::Changed,
        429 | 500..=599 => FaultKind::Server,
        _ => FaultKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: Box<dyn Error + Send + Sync>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source }
    }

    fn check(error: object_store::Error, kind: FaultKind) {
        assert_eq!(Fault::of_store(Operation::Put, "a", error).kind, kind);
    }

    #[test]
    fn kinds_follow_from_io_errors_and_statuses() {
        for (io_kind, kind) in [
            (io::ErrorKind::StorageFull, FaultKind::NoSpace),
            (io::ErrorKind::QuotaExceeded, FaultKind::NoSpace),
            (io::ErrorKind::PermissionDenied, FaultKind::Refused),
            (io::ErrorKind::ReadOnlyFilesystem, FaultKind::Refused),
            (io::ErrorKind::BrokenPipe, FaultKind::Other),
        ] {
            check(generic(Box::new(io::Error::from(io_kind))), kind);
        }
        for (status, kind) in [
            ("401 Unauthorized", FaultKind::Refused),
            ("403 Forbidden", FaultKind::Refused),
            ("429 Too Many Requests", FaultKind::Server),
            ("500 Internal Server Error", FaultKind::Server),
            ("503 Service Unavailable", FaultKind::Server),
            ("400 Bad Request", FaultKind::Other),
            ("teapot", FaultKind::Other),
        ] {
            check(generic(format!("returned non-2xx status code: {status}: ").into()), kind);
        }
        let missing = |text: &str| object_store::Error::NotFound {
            path: "<Code>NoSuchBucket</Code>, status code: 500".into(),
            source: text.to_owned().into(),
        };
        check(missing("<Code>NoSuchBucket</Code>"), FaultKind::NoSuchBucket);
        check(missing("<Code>NoSuchKey</Code>"), FaultKind::Missing);
    }

    #[test]
    fn a_long_answer_is_cut_and_kept_on_one_line() {
        let error = generic("x\n\u{1b}[2J".repeat(10_000).into());
        let fault = Fault::of_store(Operation::List, "demo/", error);
        let reason = fault.source().unwrap().to_string();
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        assert!(!reason.contains(char::is_control));
        assert_eq!(fault.to_string(), "it failed (listing \"demo/\")");
    }
}
