//! The seam to whatever holds objects under keys: six calls and an upload in parts.
//!
//! A key is a path of the public tree (`model::tree`), without a leading slash. Whoever implements
//! this keeps three promises: [`Backend::put_new`] never changes an object that exists,
//! [`Backend::replace`] never leaves half an object, and what was answered as written is durable.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::fault::Fault;

/// What a backend answers, some time later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// An object as a destination describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its size in bytes.
    pub size: u64,
    /// Changes whenever the object changes, where the destination has such a thing.
    pub etag: Option<String>,
}

/// How a create-only write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is there now.
    Created,
    /// An object of that name was there already; it was not touched and not looked into.
    AlreadyThere,
}

/// What a replacement expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No object.
    Absent,
    /// The object with this etag; without one, whatever is there.
    Present(Option<String>),
}

/// Holds objects under keys.
pub trait Backend: Debug + Send + Sync {
    /// Every object below `prefix`, which ends with a slash, with its key.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<(String, Seen)>>;

    /// What is known about one object; none if it does not exist.
    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Seen>>;

    /// The bytes of one object, in order; none if it does not exist.
    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Chunks>>>;

    /// Writes an object unless one of that name exists.
    fn put_new<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Put>;

    /// Begins to write a large object in parts. Nothing shows under `key` until the upload is
    /// complete. Whether the key is free was asked before; an upload cannot be create-only.
    fn upload<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>>;

    /// Writes a mutable object as one step, if the expected one is there.
    fn replace<'a>(&'a self, key: &'a str, bytes: Bytes, expected: Expected) -> Answer<'a, ()>;
}

/// An object while it is read.
pub trait Chunks: Send {
    /// What the destination says about the object that is read.
    fn seen(&self) -> &Seen;

    /// The next bytes; none at the end.
    fn next(&mut self) -> Answer<'_, Option<Bytes>>;
}

/// An object while it is written in parts. Dropped without an end, it leaves no object.
pub trait Upload: Send {
    /// Takes the next part. All parts but the last have the same size.
    fn part(&mut self, bytes: Bytes) -> Answer<'_, ()>;

    /// Makes the object visible.
    fn complete(&mut self) -> Answer<'_, ()>;

    /// Throws the parts away.
    fn abort(&mut self) -> Answer<'_, ()>;
}
