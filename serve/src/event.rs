//! What an operator should hear about. A library prints nothing: the program hands over an
//! [`Events`] and decides what to do with each.

use std::error::Error;
use std::net::SocketAddr;

use bonded_model::Digest;

/// Something happened that a client's answer does not tell, or tells only in part.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Bytes of the store are missing, unreadable or not the ones that they are named; the client
    /// was answered with 500.
    BlobRefused {
        /// The digest under which they were published.
        digest: Digest,
        /// What the store says.
        error: &'a (dyn Error + 'static),
    },
    /// Bytes that had been checked could not be read any more; the connection was cut.
    ReadFailed {
        /// The digest under which they were published.
        digest: Digest,
        /// What the system says.
        error: &'a (dyn Error + 'static),
    },
    /// A connection could not be taken; the server keeps listening.
    AcceptFailed {
        /// What the system says.
        error: &'a (dyn Error + 'static),
    },
    /// A connection ended in an error: the client left, was too slow, or did not speak HTTP/1.1.
    ConnectionFailed {
        /// The other side.
        peer: SocketAddr,
        /// What went wrong.
        error: &'a (dyn Error + 'static),
    },
    /// The part that serves one connection panicked: a defect. Other connections are not touched.
    TaskFailed {
        /// What the runtime says.
        error: &'a (dyn Error + 'static),
    },
    /// Connections were still busy when the time to finish was over, and were cut.
    DrainCut {
        /// How many.
        connections: usize,
    },
}

/// Hears events. Called from the threads that serve, so it must be quick. `()` hears nothing.
pub trait Events: Send + Sync {
    /// One event, when it happens.
    fn happened(&self, event: &Event<'_>);
}

impl Events for () {
    fn happened(&self, _: &Event<'_>) {}
}
