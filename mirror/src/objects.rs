//! Directories and S3 buckets, through `object_store`, whose types end here.
//!
//! What differs between the two: a local file system knows neither attributes nor conditional
//! updates, and is read in ranges because its own stream changes threads for every 8 KiB.
//!
//! `object_store` has no create-only upload in parts, so that an object above one part is written
//! to its final key after its absence was seen. Two mirrors that write the same large object at
//! once can therefore both write it; both write the bytes whose digest they checked.
//!
//! A run that is killed while it writes leaves, in a directory, a file `name#1` that no listing
//! shows and no list names; in a bucket, an upload that was never completed, which a lifecycle rule
//! of the bucket can remove.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};
use tokio::task::JoinSet;

use crate::backend::{Answer, Backend, Chunks, Expected, Put, Seen, Upload};
use crate::fault::{Fault, FaultKind, Operation};
use crate::limits::{CHUNK_BYTES, PARTS_IN_FLIGHT};

/// What kind of place the objects are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A directory of this machine.
    Directory,
    /// An S3 bucket.
    Bucket,
}

/// Objects of an `object_store` below a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) place: Place,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Without slashes at its ends; empty for the whole store.
    pub(crate) prefix: String,
}

/// Caches may keep an immutable object for ever.
const CACHE_IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Caches ask for a mutable object again after a minute, and may answer with it when that fails.
const CACHE_MUTABLE: &str = "public, max-age=0, s-maxage=60, stale-if-error=86400";

impl Backend for Objects {
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<(String, Seen)>> {
        Box::pin(async move {
            let path = self.path(Operation::List, prefix.trim_end_matches('/'))?;
            let found: Vec<ObjectMeta> = self
                .store
                .list(Some(&path))
                .try_collect()
                .await
                .map_err(|error| Fault::of_store(Operation::List, prefix, error))?;
            Ok(found.iter().map(|meta| (self.key(&meta.location), seen(meta))).collect())
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Seen>> {
        Box::pin(async move {
            let path = self.path(Operation::Head, key)?;
            let found = self.store.head(&path).await.map(|meta| seen(&meta));
            none_if_missing(found.map_err(|error| Fault::of_store(Operation::Head, key, error)))
        })
    }

    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Chunks>>> {
        Box::pin(async move {
            let path = self.path(Operation::Read, key)?;
            let opened = match self.place {
                Place::Directory => self.read_ranges(path, key).await,
                Place::Bucket => self.read_stream(path, key).await,
            };
            none_if_missing(opened)
        })
    }

    fn put_new<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Put> {
        Box::pin(async move {
            match self.put(Operation::Put, key, bytes, PutMode::Create).await {
                Ok(()) => Ok(Put::Created),
                Err(fault) if fault.kind == FaultKind::Changed => Ok(Put::AlreadyThere),
                Err(fault) => Err(fault),
            }
        })
    }

    fn upload<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        Box::pin(async move {
            let path = self.path(Operation::Put, key)?;
            let attributes = self.attributes(key, CACHE_IMMUTABLE);
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            let inner = self
                .store
                .put_multipart_opts(&path, options)
                .await
                .map_err(|error| Fault::of_store(Operation::Put, key, error))?;
            let upload = Parts { key: key.to_owned(), inner, on_their_way: JoinSet::new() };
            Ok(Box::new(upload) as Box<dyn Upload>)
        })
    }

    fn replace<'a>(&'a self, key: &'a str, bytes: Bytes, expected: Expected) -> Answer<'a, ()> {
        Box::pin(async move {
            let mode = match (expected, self.place) {
                (Expected::Absent, _) => PutMode::Create,
                (Expected::Present(Some(e_tag)), Place::Bucket) => {
                    PutMode::Update(UpdateVersion { e_tag: Some(e_tag), version: None })
                }
                (Expected::Present(_), _) => PutMode::Overwrite,
            };
            self.put(Operation::Replace, key, bytes, mode).await
        })
    }
}

impl Objects {
    fn path(&self, operation: Operation, key: &str) -> Result<Path, Fault> {
        if self.place == Place::Directory && is_temporary(key) {
            let text = "a directory keeps names that end in # and digits for unfinished files";
            return Err(Fault::new(FaultKind::BadKey, operation, key, text.into()));
        }
        let full = format!("{}/{key}", self.prefix);
        Path::parse(full.trim_start_matches('/')).map_err(|error| {
            Fault::of_store(operation, key, object_store::Error::InvalidPath { source: error })
        })
    }

    fn key(&self, path: &Path) -> String {
        let full = path.as_ref();
        full.strip_prefix(&self.prefix).unwrap_or(full).trim_start_matches('/').to_owned()
    }

    fn attributes(&self, key: &str, cache: &'static str) -> Attributes {
        match self.place {
            Place::Directory => Attributes::new(),
            Place::Bucket => Attributes::from_iter([
                (Attribute::CacheControl, cache),
                (Attribute::ContentType, content_type(key)),
            ]),
        }
    }

    async fn put(
        &self,
        operation: Operation,
        key: &str,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<(), Fault> {
        let path = self.path(operation, key)?;
        let cache = match operation {
            Operation::Replace => CACHE_MUTABLE,
            _ => CACHE_IMMUTABLE,
        };
        let attributes = self.attributes(key, cache);
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        match self.store.put_opts(&path, PutPayload::from_bytes(bytes), options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Fault::of_store(operation, key, error)),
        }
    }

    async fn read_ranges(&self, path: Path, key: &str) -> Result<Box<dyn Chunks>, Fault> {
        let meta = self.store.head(&path).await;
        let meta = meta.map_err(|error| Fault::of_store(Operation::Read, key, error))?;
        let store = Arc::clone(&self.store);
        Ok(Box::new(Ranges { key: key.to_owned(), store, path, seen: seen(&meta), offset: 0 }))
    }

    async fn read_stream(&self, path: Path, key: &str) -> Result<Box<dyn Chunks>, Fault> {
        let got = self.store.get(&path).await;
        let got = got.map_err(|error| Fault::of_store(Operation::Read, key, error))?;
        let seen = seen(&got.meta);
        Ok(Box::new(Body { key: key.to_owned(), seen, stream: got.into_stream() }))
    }
}

/// `object_store` writes `name#1` before it renames it to `name`, and does not list such files.
fn is_temporary(key: &str) -> bool {
    key.rsplit_once('#').is_some_and(|(_, suffix)| {
        !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn seen(meta: &ObjectMeta) -> Seen {
    Seen { size: meta.size, etag: meta.e_tag.clone() }
}

fn none_if_missing<T>(result: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A browser that opens a list or a marker should show it.
fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.') {
        Some((_, "json")) => "application/json",
        Some((_, "txt")) => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Reads a local file range by range.
struct Ranges {
    key: String,
    store: Arc<dyn ObjectStore>,
    path: Path,
    seen: Seen,
    offset: u64,
}

impl Chunks for Ranges {
    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn next(&mut self) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            let chunk = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
            let end = self.seen.size.min(self.offset.saturating_add(chunk));
            if self.offset >= end {
                return Ok(None);
            }
            let bytes = self
                .store
                .get_range(&self.path, self.offset..end)
                .await
                .map_err(|error| Fault::of_store(Operation::Read, &self.key, error))?;
            self.offset = end;
            Ok(Some(bytes))
        })
    }
}

/// Reads the body of one answer.
struct Body {
    key: String,
    seen: Seen,
    stream: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Chunks for Body {
    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn next(&mut self) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            match self.stream.next().await.transpose() {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(Fault::of_store(Operation::Read, &self.key, error)),
            }
        })
    }
}

/// Sends parts, a few at once.
struct Parts {
    key: String,
    inner: Box<dyn MultipartUpload>,
    on_their_way: JoinSet<object_store::Result<()>>,
}

impl Parts {
    /// Waits until no more than `count` parts are on their way.
    async fn wait_for(&mut self, count: usize) -> Result<(), Fault> {
        while self.on_their_way.len() > count {
            let sent = match self.on_their_way.join_next().await {
                Some(Ok(sent)) => sent,
                Some(Err(error)) => Err(object_store::Error::from(error)),
                None => Ok(()),
            };
            sent.map_err(|error| Fault::of_store(Operation::Put, &self.key, error))?;
        }
        Ok(())
    }
}

impl Upload for Parts {
    fn part(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            self.wait_for(PARTS_IN_FLIGHT - 1).await?;
            self.on_their_way.spawn(self.inner.put_part(PutPayload::from_bytes(bytes)));
            Ok(())
        })
    }

    fn complete(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.wait_for(0).await?;
            match self.inner.complete().await {
                Ok(_) => Ok(()),
                Err(error) => Err(Fault::of_store(Operation::Put, &self.key, error)),
            }
        })
    }

    fn abort(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.on_their_way.shutdown().await;
            let ended = self.inner.abort().await;
            ended.map_err(|error| Fault::of_store(Operation::Put, &self.key, error))
        })
    }
}
