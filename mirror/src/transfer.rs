//! One read of the source, several receivers.
//!
//! ```text
//! blob ──read once, hashed──▶ part ─┬─▶ upload to destination A
//!   (blocking thread)       (Bytes) └─▶ upload to destination B
//! ```
//!
//! Objects up to one part are held in memory and sent in one create-only request to each receiver.
//! Larger ones go through one bounded channel for each receiver; the slowest receiver sets the
//! pace, and a receiver that fails is left out. No upload is completed before the whole blob was
//! read and had the right digest: receivers that do not hear the end throw their parts away.

use std::io::{self, Read};
use std::sync::Arc;

use bonded_model::Digest;
use bonded_store::Snapshot;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{TryStreamExt, stream};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::apply::Run;
use crate::backend::{Put, Upload};
use crate::bridge;
use crate::desired::{Class, length};
use crate::error::MirrorError;
use crate::fault::Fault;
use crate::limits::{
    CHUNK_BYTES, FAN_OUT_MAX, LARGE_IN_FLIGHT, PART_BYTES, PART_COUNT_MAX, PARTS_WAITING,
    SMALL_IN_FLIGHT,
};
use crate::plan::{Action, Step};
use crate::site::Site;

/// One object at one destination.
#[derive(Clone, Copy, Debug)]
struct Receiving<'a> {
    site: &'a Site<'a>,
    step: &'a Step,
}

/// One content with everybody who lacks it.
#[derive(Debug)]
struct Delivery<'a> {
    digest: Digest,
    size: u64,
    receivers: Vec<Receiving<'a>>,
}

/// What the reader of the source tells a receiver.
#[derive(Debug)]
enum Piece {
    /// The next bytes.
    Part(Bytes),
    /// That was all, and it was right.
    End,
}

/// Writes all new objects of one class at all destinations.
///
/// # Errors
/// Only where the run as a whole cannot go on, that is, where the journal fails.
pub(crate) async fn transfer(run: &Run<'_>, class: Class) -> Result<(), MirrorError> {
    let part = u64::try_from(PART_BYTES).unwrap_or(u64::MAX);
    let (small, large): (Vec<_>, Vec<_>) =
        deliveries(run, class).into_iter().partition(|delivery| delivery.size <= part);
    stream::iter(small.into_iter().map(Ok))
        .try_for_each_concurrent(SMALL_IN_FLIGHT, |delivery| deliver_small(run, delivery))
        .await?;
    stream::iter(large.into_iter().map(Ok))
        .try_for_each_concurrent(LARGE_IN_FLIGHT, |delivery| deliver_large(run, delivery))
        .await
}

/// Everything of a class that is to be written, grouped by content.
fn deliveries<'a>(run: &'a Run<'_>, class: Class) -> Vec<Delivery<'a>> {
    let mut receiving: Vec<Receiving<'a>> = Vec::new();
    for site in run.sites.iter() {
        let steps = site.steps(class).filter(|step| step.action == Action::Put);
        receiving.extend(steps.map(|step| Receiving { site, step }));
    }
    receiving.sort_by_key(|receiving| receiving.step.digest);
    let same = receiving.chunk_by(|a, b| a.step.digest == b.step.digest);
    same.flat_map(|same| same.chunks(FAN_OUT_MAX))
        .filter_map(|receivers| {
            let first = receivers.first()?;
            let (digest, size) = (first.step.digest, first.step.size);
            Some(Delivery { digest, size, receivers: receivers.to_vec() })
        })
        .collect()
}

async fn deliver_small(run: &Run<'_>, delivery: Delivery<'_>) -> Result<(), MirrorError> {
    let receivers = lacking(run, delivery.receivers, Look::IfKnown).await;
    if receivers.is_empty() {
        return Ok(());
    }
    let (snapshot, digest) = (run.desired.snapshot().clone(), delivery.digest);
    let read = bridge::blocking(move || read_whole(&snapshot, digest)).await;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            source_failed(&receivers, digest, error);
            return Ok(());
        }
    };
    run.count_source(length(&bytes));
    let puts = receivers.into_iter().map(|receiving| put(run, receiving, bytes.clone()));
    join_all(puts).await.into_iter().collect()
}

async fn put(run: &Run<'_>, to: Receiving<'_>, bytes: Bytes) -> Result<(), MirrorError> {
    let answer = {
        let _permit = to.site.permit().await;
        to.site.backend().put_new(&to.step.key, bytes).await
    };
    match answer {
        Ok(outcome) => {
            run.progress.advanced(to.step.size);
            run.arrived(to.site, to.step, outcome).await
        }
        Err(fault) => {
            to.site.fail(to.step, to.site.error(fault));
            Ok(())
        }
    }
}

async fn deliver_large(run: &Run<'_>, delivery: Delivery<'_>) -> Result<(), MirrorError> {
    let receivers = lacking(run, delivery.receivers, Look::Always).await;
    if receivers.is_empty() {
        return Ok(());
    }
    let (senders, ends): (Vec<_>, Vec<_>) =
        receivers.iter().map(|_| mpsc::channel(PARTS_WAITING)).unzip();
    let (snapshot, digest, part) =
        (run.desired.snapshot().clone(), delivery.digest, part_bytes(delivery.size));
    let pump = bridge::blocking(move || pump(&snapshot, digest, part, senders));
    let uploads = receivers.iter().zip(ends).map(|(to, parts)| upload(run, *to, parts));
    let (pumped, outcomes) = tokio::join!(pump, join_all(uploads));
    run.count_source(pumped.bytes);
    if let Some(error) = pumped.error {
        source_failed(&receivers, digest, error);
        return Ok(());
    }
    for (to, outcome) in receivers.into_iter().zip(outcomes) {
        match outcome {
            Ok(()) => run.arrived(to.site, to.step, Put::Created).await?,
            Err(Some(fault)) => to.site.fail(to.step, to.site.error(fault)),
            Err(None) => {} // the source ended early, which was reported above
        }
    }
    Ok(())
}

/// Takes parts until the end and makes the object visible. `Err(None)`: there was no end.
async fn upload(
    run: &Run<'_>,
    to: Receiving<'_>,
    mut parts: Receiver<Piece>,
) -> Result<(), Option<Fault>> {
    let mut upload = to.site.backend().upload(&to.step.key).await?;
    loop {
        let ended = match parts.recv().await {
            Some(Piece::Part(bytes)) => {
                let count = length(&bytes);
                let sent = upload.part(bytes).await;
                run.progress.advanced(count);
                sent
            }
            Some(Piece::End) => return Ok(upload.complete().await?),
            None => return Err(give_up(upload, None).await),
        };
        if let Err(fault) = ended {
            return Err(give_up(upload, Some(fault)).await);
        }
    }
}

/// Throws the parts away. If that fails too they cost the destination some space until it cleans
/// up; the first failure is the one to report.
async fn give_up(mut upload: Box<dyn Upload>, first: Option<Fault>) -> Option<Fault> {
    match upload.abort().await {
        Ok(()) | Err(_) => first,
    }
}

/// When to look whether an object is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Where the journal says that it was written: the write itself is create-only.
    IfKnown,
    /// Before every write, because the write is not create-only.
    Always,
}

/// The receivers that still want the object and do not have it.
async fn lacking<'a>(
    run: &Run<'_>,
    receivers: Vec<Receiving<'a>>,
    look: Look,
) -> Vec<Receiving<'a>> {
    let looks = receivers.into_iter().map(|to| async move {
        if !to.site.wants(to.step) {
            return None;
        }
        let known = run.known_state(to.site, to.step).is_some();
        if look == Look::IfKnown && !known {
            return Some(to);
        }
        let _permit = to.site.permit().await;
        match to.site.backend().head(&to.step.key).await {
            Ok(None) => Some(to),
            Ok(Some(_)) => {
                to.site.count(|counts| counts.found_done += 1);
                None
            }
            Err(fault) => {
                to.site.fail(to.step, to.site.error(fault));
                None
            }
        }
    });
    join_all(looks).await.into_iter().flatten().collect()
}

fn source_failed(receivers: &[Receiving<'_>], digest: Digest, error: io::Error) {
    let source = Arc::new(error);
    for to in receivers {
        let source = Arc::clone(&source);
        to.site.fail(to.step, MirrorError::Source { digest, source });
    }
}

/// The size of the parts of an object: as small as S3's limit on their number allows.
fn part_bytes(size: u64) -> usize {
    let needed = usize::try_from(size.div_ceil(PART_COUNT_MAX)).unwrap_or(usize::MAX);
    PART_BYTES.max(needed)
}

fn read_whole(snapshot: &Snapshot, digest: Digest) -> io::Result<Bytes> {
    let mut reader = snapshot.open_blob(&digest).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    check(digest, Digest::sha256_of(&bytes))?;
    Ok(bytes.into())
}

/// How far the reader of the source came.
#[derive(Debug)]
struct Pumped {
    bytes: u64,
    error: Option<io::Error>,
}

/// Reads a blob once and hands each part to every receiver that still listens.
fn pump(snapshot: &Snapshot, digest: Digest, part: usize, receivers: Vec<Sender<Piece>>) -> Pumped {
    let mut pumped = Pumped { bytes: 0, error: None };
    match snapshot.open_blob(&digest) {
        Ok(reader) => {
            let mut source = Parts { reader, part, hash: Sha256::new() };
            pumped.error = pour(&mut source, digest, receivers, &mut pumped.bytes).err();
        }
        Err(error) => pumped.error = Some(io::Error::other(error)),
    }
    pumped
}

fn pour<R: Read>(
    source: &mut Parts<R>,
    digest: Digest,
    mut receivers: Vec<Sender<Piece>>,
    count: &mut u64,
) -> io::Result<()> {
    while let Some(bytes) = source.next_part()? {
        *count = count.saturating_add(length(&bytes));
        // Who does not listen any more has failed and says so itself.
        receivers.retain(|to| to.blocking_send(Piece::Part(bytes.clone())).is_ok());
        if receivers.is_empty() {
            return Ok(());
        }
    }
    check(digest, Digest::from_sha256(source.hash.clone().finalize().into()))?;
    receivers.retain(|to| to.blocking_send(Piece::End).is_ok());
    Ok(())
}

/// The store checks what it hands out; what is sent is checked here once more, because between
/// the two lies the code that cuts it into parts.
fn check(expected: Digest, found: Digest) -> io::Result<()> {
    if expected == found {
        return Ok(());
    }
    let text = format!("the bytes hash to {found}, expected {expected}");
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Cuts a reader into parts of one size, and hashes.
struct Parts<R> {
    reader: R,
    part: usize,
    hash: Sha256,
}

impl<R: Read> Parts<R> {
    /// The next part, full unless it is the last; none at the end.
    fn next_part(&mut self) -> io::Result<Option<Bytes>> {
        let mut bytes = vec![0; self.part];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            let step = rest.len().min(CHUNK_BYTES);
            let count = match rest.get_mut(..step).map(|rest| self.reader.read(rest)) {
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Some(read) => read?,
                None => 0,
            };
            if count == 0 {
                break;
            }
            filled += count;
        }
        bytes.truncate(filled);
        self.hash.update(&bytes);
        Ok(if bytes.is_empty() { None } else { Some(bytes.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(3).min(self.0.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn check_parts(length: usize, expect: &[usize]) {
        let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut parts = Parts { reader: Trickle(&bytes), part: 10, hash: Sha256::new() };
        let mut got = Vec::new();
        while let Some(part) = parts.next_part().unwrap() {
            got.push(part);
        }
        assert_eq!(got.iter().map(Bytes::len).collect::<Vec<_>>(), expect);
        assert_eq!(got.concat(), bytes);
        let digest = Digest::from_sha256(parts.hash.finalize().into());
        assert_eq!(digest, Digest::sha256_of(&bytes));
    }

    #[test]
    fn all_parts_but_the_last_are_full() {
        check_parts(0, &[]);
        check_parts(1, &[1]);
        check_parts(10, &[10]);
        check_parts(25, &[10, 10, 5]);
    }

    fn check_pour(bytes: &[u8], digest: Digest) -> (io::Result<()>, Vec<Piece>) {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut source = Parts { reader: bytes, part: 4, hash: Sha256::new() };
        let poured = pour(&mut source, digest, vec![sender], &mut 0);
        let mut pieces = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            pieces.push(piece);
        }
        (poured, pieces)
    }

    #[test]
    fn receivers_hear_the_end_only_after_the_right_bytes() {
        let (poured, pieces) = check_pour(b"0123456789", Digest::sha256_of(b"0123456789"));
        assert!(poured.is_ok());
        assert!(matches!(pieces.as_slice(), [.., Piece::Part(_), Piece::End]));
        let (poured, pieces) = check_pour(b"0123456780", Digest::sha256_of(b"0123456789"));
        assert_eq!(poured.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(matches!(pieces.as_slice(), [Piece::Part(_), Piece::Part(_), Piece::Part(_)]));
    }

    #[test]
    fn parts_grow_where_their_number_is_limited() {
        assert_eq!(part_bytes(0), PART_BYTES);
        assert_eq!(part_bytes(80_000 * 1024 * 1024), PART_BYTES);
        let terabytes = 5 * 1024_u64.pow(4);
        let part = u64::try_from(part_bytes(terabytes)).unwrap();
        assert!(terabytes.div_ceil(part) <= PART_COUNT_MAX);
    }
}
