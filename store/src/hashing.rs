//! Several digests of one stream in one pass, while the same bytes are written.
//!
//! ```text
//! in_line     read ─ BLAKE3 ─ write ─ SHA-256 ─ SHA-512            one thread
//! pipelined   read ─ BLAKE3 ─ write ┄▶ SHA-256 ┄▶ SHA-512           a thread each
//!                ▲──────────── empty buffers ◀──────┘
//! ```
//!
//! One SHA-256 stream is what limits a single large file, so it gets a thread to itself; several
//! files at once are spread over the cores instead, each in line. This module knows no files.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bonded_model::Digest;
use sha2::{Digest as _, Sha256, Sha512};

/// Reads and updates of this size keep the bytes in the second-level cache from one hash to the next.
const BUFFER_BYTES: usize = 256 * 1024;

/// Buffers under way: enough that a stalled disk or thread does not stall the others at once.
const BUFFER_COUNT: usize = 8;

/// Digests and length of the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) sha256: Digest,
    pub(crate) blake3: Digest,
    pub(crate) sha512: Option<Digest>,
    pub(crate) bytes: u64,
}

/// Whether the slow third digest is wanted as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sha512Wanted {
    No,
    Yes,
}

/// Where bytes come from and go to.
pub(crate) trait Stream<E> {
    /// Fills the buffer from its start; 0 is the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, E>;
    /// Takes the bytes that were read.
    fn write(&mut self, bytes: &[u8]) -> Result<(), E>;
}

/// Hashes bytes in memory.
pub(crate) fn digests_of(bytes: &[u8], wanted: Sha512Wanted) -> Digests {
    let mut all = InLine::new(wanted);
    let mut blake3 = blake3::Hasher::new();
    bytes.chunks(BUFFER_BYTES).for_each(|chunk| {
        blake3.update(chunk);
        all.update(chunk);
    });
    all.finish(&blake3, u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

/// Hashes a stream on this thread.
pub(crate) fn in_line<E>(stream: &mut impl Stream<E>, wanted: Sha512Wanted) -> Result<Digests, E> {
    let mut all = InLine::new(wanted);
    let mut blake3 = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0_u64;
    loop {
        let count = stream.read(&mut buffer)?;
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(all.finish(&blake3, bytes));
        }
        bytes += u64::try_from(count).unwrap_or(u64::MAX);
        blake3.update(chunk);
        all.update(chunk);
        stream.write(chunk)?;
    }
}

struct InLine {
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl InLine {
    fn new(wanted: Sha512Wanted) -> Self {
        let sha512 = match wanted {
            Sha512Wanted::Yes => Some(Sha512::new()),
            Sha512Wanted::No => None,
        };
        Self { sha256: Sha256::new(), sha512 }
    }

    fn update(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(chunk);
        }
    }

    fn finish(self, blake3: &blake3::Hasher, bytes: u64) -> Digests {
        Digests {
            sha256: Digest::from_sha256(self.sha256.finalize().into()),
            blake3: Digest::from_blake3(*blake3.finalize().as_bytes()),
            sha512: self.sha512.map(|hash| Digest::from_sha512(hash.finalize().into())),
            bytes,
        }
    }
}

struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

impl Buffer {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

/// Hashes a stream with a thread for each of the slow digests; reading and writing stay here.
pub(crate) fn pipelined<E>(
    stream: &mut impl Stream<E>,
    wanted: Sha512Wanted,
) -> Result<Digests, E> {
    thread::scope(|scope| {
        let (to_empty, empty) = sync_channel(BUFFER_COUNT);
        for _ in 0..BUFFER_COUNT {
            give_back(&to_empty, Buffer { bytes: vec![0; BUFFER_BYTES], filled: 0 });
        }
        let (to_sha256, for_sha256) = sync_channel(BUFFER_COUNT);
        let (sha256, sha512) = match wanted {
            Sha512Wanted::No => {
                (scope.spawn(move || hash_all::<Sha256>(&for_sha256, &to_empty)), None)
            }
            Sha512Wanted::Yes => {
                let (to_sha512, for_sha512) = sync_channel(BUFFER_COUNT);
                let sha256 = scope.spawn(move || hash_all::<Sha256>(&for_sha256, &to_sha512));
                let sha512 = scope.spawn(move || hash_all::<Sha512>(&for_sha512, &to_empty));
                (sha256, Some(sha512))
            }
        };
        let (blake3, bytes) = pump(stream, &empty, to_sha256)?;
        Ok(Digests {
            sha256: Digest::from_sha256(joined(sha256.join()).into()),
            blake3,
            sha512: sha512.map(|thread| Digest::from_sha512(joined(thread.join()).into())),
            bytes,
        })
    })
}

/// What a thread came to; should it have panicked, so does the caller.
pub(crate) fn joined<T>(result: thread::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Reads, hashes with BLAKE3, writes, and passes each buffer on. Dropping the sender ends the others.
fn pump<E>(
    stream: &mut impl Stream<E>,
    empty: &Receiver<Buffer>,
    next: SyncSender<Buffer>,
) -> Result<(Digest, u64), E> {
    let mut blake3 = blake3::Hasher::new();
    let mut bytes = 0_u64;
    while let Ok(mut buffer) = empty.recv() {
        buffer.filled = stream.read(&mut buffer.bytes)?;
        if buffer.filled == 0 {
            break;
        }
        bytes += u64::try_from(buffer.filled).unwrap_or(u64::MAX);
        blake3.update(buffer.filled());
        stream.write(buffer.filled())?;
        give_back(&next, buffer);
    }
    drop(next);
    Ok((Digest::from_blake3(*blake3.finalize().as_bytes()), bytes))
}

fn hash_all<H: sha2::Digest>(
    full: &Receiver<Buffer>,
    next: &SyncSender<Buffer>,
) -> sha2::digest::Output<H> {
    let mut hash = H::new();
    while let Ok(buffer) = full.recv() {
        hash.update(buffer.filled());
        give_back(next, buffer);
    }
    hash.finalize()
}

/// The other side is gone only when the whole pass has failed; then the buffer is not needed.
fn give_back(to: &SyncSender<Buffer>, buffer: Buffer) {
    drop(to.send(buffer));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct InMemory<'a> {
        from: &'a [u8],
        step: usize,
        written: Vec<u8>,
        fail_after: usize,
    }

    impl Stream<&'static str> for InMemory<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, &'static str> {
            let count = self.step.min(buffer.len()).min(self.from.len());
            let (now, later) = self.from.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.from = later;
            Ok(count)
        }

        fn write(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
            self.written.extend(bytes);
            if self.written.len() > self.fail_after { Err("full") } else { Ok(()) }
        }
    }

    fn stream(from: &[u8], step: usize) -> InMemory<'_> {
        InMemory { from, step, written: vec![], fail_after: usize::MAX }
    }

    proptest! {
        #![proptest_config(crate::tests::cases(24))]
        #[test]
        fn every_way_gives_the_same_digests(length in 0_usize..3_000_000, step in 1_usize..600_000) {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            for wanted in [Sha512Wanted::No, Sha512Wanted::Yes] {
                let expected = digests_of(&bytes, wanted);
                prop_assert_eq!(expected.sha256, Digest::sha256_of(&bytes));
                let mut one = stream(&bytes, step.max(length / 64));
                prop_assert_eq!(in_line(&mut one, wanted), Ok(expected));
                prop_assert_eq!(&one.written, &bytes);
                let mut other = stream(&bytes, step.max(length / 64));
                prop_assert_eq!(pipelined(&mut other, wanted), Ok(expected));
                prop_assert_eq!(&other.written, &bytes);
            }
        }
    }

    #[test]
    fn known_answers() {
        let digests = digests_of(b"", Sha512Wanted::Yes);
        assert_eq!(digests.sha256, Digest::sha256_of(b""));
        assert_eq!(digests.sha512, Some(Digest::sha512_of(b"")));
        assert_eq!(
            digests.blake3.hex(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn a_failing_write_ends_every_thread() {
        let bytes = vec![7; 5_000_000];
        for wanted in [Sha512Wanted::No, Sha512Wanted::Yes] {
            let mut failing = InMemory { fail_after: 2_000_000, ..stream(&bytes, 100_000) };
            assert_eq!(pipelined(&mut failing, wanted), Err("full"));
            let mut failing = InMemory { fail_after: 2_000_000, ..stream(&bytes, 100_000) };
            assert_eq!(in_line(&mut failing, wanted), Err("full"));
        }
    }
}
