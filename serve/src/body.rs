//! The body of an answer: bytes in memory, or a checked blob read in chunks.
//!
//! A chunk is read when the connection has room for it, and one more ahead; a client that stops
//! reading or leaves stops the reads. Memory per connection is two chunks and the socket's buffers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bonded_store::VerifiedBlob;
use bonded_store::disk::DiskError;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::task::{JoinError, JoinHandle};

use crate::bridge::blocking;
use crate::event::{Event, Events};

/// One read. Measured: larger ones gain nothing on the wire and hold more memory.
const CHUNK_BYTES: u64 = 256 * 1024;

/// What is sent.
pub(crate) enum Body {
    /// Bytes in memory; `None` when they are sent.
    Inline(Option<Bytes>),
    /// Part of a blob.
    Blob(BlobStream),
}

/// Why a blob that was checked cannot be read any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("reading a checked blob failed")]
    Disk(#[from] DiskError),
    #[error("a checked blob ended at byte {at}")]
    Short {
        /// Where it ended.
        at: u64,
    },
    #[error("reading a checked blob did not end")]
    Ended(#[from] JoinError),
}

/// A part of a checked blob, on its way.
pub(crate) struct BlobStream {
    blob: Arc<VerifiedBlob>,
    /// Offset of the next chunk to ask for.
    next: u64,
    /// Bytes not yet asked for.
    left: u64,
    /// Bytes not yet handed over.
    unsent: u64,
    ahead: Option<JoinHandle<Result<Bytes, ReadError>>>,
    events: Arc<dyn Events>,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Inline(None)
    }
}

impl BlobStream {
    /// `length` bytes from `first` on, which must lie inside the blob.
    pub(crate) fn new(
        blob: Arc<VerifiedBlob>,
        first: u64,
        length: u64,
        events: Arc<dyn Events>,
    ) -> Self {
        Self { blob, next: first, left: length, unsent: length, ahead: None, events }
    }

    fn read_ahead(&mut self) {
        let length = self.left.min(CHUNK_BYTES);
        if self.ahead.is_none() && length > 0 {
            let (blob, offset) = (Arc::clone(&self.blob), self.next);
            self.next += length;
            self.left -= length;
            self.ahead = Some(blocking(move || read_chunk(&blob, offset, length)));
        }
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        self.read_ahead();
        let Some(ahead) = self.ahead.as_mut() else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(ahead).poll(context)).unwrap_or_else(|e| Err(e.into()));
        self.ahead = None;
        match &read {
            Ok(bytes) => {
                self.unsent -= u64::try_from(bytes.len()).unwrap_or(self.unsent);
                self.read_ahead();
            }
            Err(error) => {
                self.left = 0;
                let digest = self.blob.digest();
                self.events.happened(&Event::ReadFailed { digest, error });
            }
        }
        Poll::Ready(Some(read))
    }
}

fn read_chunk(blob: &VerifiedBlob, offset: u64, length: u64) -> Result<Bytes, ReadError> {
    let length = usize::try_from(length).expect("a chunk fits into memory");
    let mut buffer = vec![0; length];
    let mut at = offset;
    let mut rest = buffer.as_mut_slice();
    while !rest.is_empty() {
        let count = blob.read_at(at, rest)?;
        if count == 0 {
            return Err(ReadError::Short { at });
        }
        at += u64::try_from(count).unwrap_or(length as u64);
        rest = rest.get_mut(count..).unwrap_or_default();
    }
    Ok(buffer.into())
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        match self.get_mut() {
            Self::Inline(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Blob(stream) => {
                stream.poll_chunk(context).map(|chunk| chunk.map(|read| read.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Inline(None) => 0,
            Self::Inline(Some(bytes)) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Blob(stream) => stream.unsent,
        })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(bytes) => f.debug_tuple("Inline").field(bytes).finish(),
            Self::Blob(stream) => f.debug_tuple("Blob").field(&stream.blob.digest()).finish(),
        }
    }
}
