//! Every bound of this crate, each with its reason. Sizes are bytes.

use std::time::Duration;

/// What one read of the source or of a destination returns at most: keeps hashing and channel hops
/// in proportion, and bounds what a slow receiver can pile up.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;

/// Objects up to this size travel in one request, which every destination can make create-only.
/// Larger ones travel in parts of this size; S3 wants at least 5 MiB per part.
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;

/// Parts of one upload (S3: "maximum number of parts per upload", 10,000). Objects that would need
/// more get larger parts.
pub(crate) const PART_COUNT_MAX: u64 = 10_000;

/// Parts of one upload that are on their way at once: hides one round trip, costs 16 MiB.
pub(crate) const PARTS_IN_FLIGHT: usize = 2;

/// Parts that wait for one receiver before the reader of the source is held back.
pub(crate) const PARTS_WAITING: usize = 1;

/// Small objects that are read and sent at once: 64 MiB at most, as many as a destination takes.
pub(crate) const SMALL_IN_FLIGHT: usize = 8;

/// Large objects that are read and sent at once; each costs at most
/// `(PARTS_IN_FLIGHT + PARTS_WAITING + 1) * part size` however many destinations there are.
pub(crate) const LARGE_IN_FLIGHT: usize = 2;

/// Receivers of one read. More receivers of the same bytes are served by a second read.
pub(crate) const FAN_OUT_MAX: usize = 32;

/// Requests that one destination gets at once.
pub(crate) const REQUESTS_PER_DESTINATION: usize = 8;

/// Requests that a destination failed to answer after which it is taken for broken and left alone.
/// Objects that it answered for, and that are not what they should be, do not count.
pub(crate) const FAILURES_PER_DESTINATION: usize = 16;

/// Times that a mutable document is merged again because somebody else wrote it in between.
pub(crate) const MERGE_ATTEMPTS: usize = 4;

/// A marker's file holds one version.
pub(crate) const MARKER_BYTES_MAX: u64 = 1024;

/// A saved plan: 16,000 objects at eight destinations with 300 bytes for each step.
pub(crate) const PLAN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Text kept of an answer that a destination gave with an error.
pub(crate) const REASON_CHARS_MAX: usize = 400;

/// Time to reach a destination. Vendors recommend about three seconds; slow links get some grace.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time without a byte from a destination. The client counts it from the start of a request, so that
/// the four parts that may be on their way at once must fit: at about 3 Mbit/s they do.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// Time for one request with its answer, however it progresses.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(900);
