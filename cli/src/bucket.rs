//! Lost blobs from a mirror: the bridge from what `fsck` asks for to what a destination has.

use std::io::{self, Read};
use std::sync::Arc;

use bonded_mirror::{Chunks, Destination};
use bonded_store::fsck::{BlobSource, SourceError};
use tokio::runtime::Runtime;

use crate::commands::Context;
use crate::error::CliError;
use crate::{report, runtime};

/// A destination that is only read.
#[derive(Debug)]
pub(crate) struct BucketSource {
    destination: Destination,
    runtime: Arc<Runtime>,
}

impl BucketSource {
    /// A destination by its name in the configuration or its URL. Nothing is asked of it yet.
    pub(crate) fn open(context: &Context, given: &str) -> Result<Self, CliError> {
        let config = context.config.destination(given)?;
        let destination = Destination::open(&config).map_err(report::mirror_error)?;
        Ok(Self { destination, runtime: Arc::new(runtime::new()?) })
    }
}

impl BlobSource for BucketSource {
    fn name(&self) -> String {
        self.destination.url().to_owned()
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read>>, SourceError> {
        let opened = self.runtime.block_on(self.destination.read(key));
        let chunks = opened.map_err(|fault| SourceError {
            name: self.name(),
            key: key.to_owned(),
            source: fault.into(),
        })?;
        let runtime = self.runtime.clone();
        Ok(chunks.map(|chunks| {
            let reading = Reading { chunks, runtime, left: io::Cursor::default() };
            Box::new(reading) as Box<dyn Read>
        }))
    }
}

/// An object as a stream of bytes.
struct Reading {
    chunks: Box<dyn Chunks>,
    runtime: Arc<Runtime>,
    left: io::Cursor<Vec<u8>>,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.left.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.runtime.block_on(self.chunks.next()).map_err(io::Error::other)? {
                Some(bytes) => self.left = io::Cursor::new(bytes.into()),
                None => return Ok(0),
            }
        }
    }
}
