//! Reading artifacts: several at once, each hashed while it is written, and none that moved under
//! the reader's hands.

use bonded_model::ArtifactPath;
use rayon::prelude::*;

use super::error::IngestError;
use super::walk::{Found, Input};
use super::{IngestedFile, Progress, Sources};
use crate::blob::HashOnly;
use crate::disk::{Disk, DiskError, FileState, Handle};
use crate::hashing::{self, Digests, Sha512Wanted, Stream};
use crate::sniff::{Sniffed, Window};
use crate::stage::{LARGE_BYTES, Stage, Threads};

/// The artifacts that are to be read.
#[derive(Debug)]
pub(super) struct Plan {
    disk: Disk,
    files: Vec<File>,
    sha512: Sha512Wanted,
    sources: Sources,
}

#[derive(Debug)]
struct File {
    path: ArtifactPath,
    source: Input,
}

/// An artifact that was read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) path: ArtifactPath,
    pub(super) digests: Digests,
    pub(super) sniffed: Sniffed,
}

impl Taken {
    pub(super) fn into_ingested(self) -> IngestedFile {
        let Digests { sha256, blake3, bytes, .. } = self.digests;
        IngestedFile { path: self.path, digest: sha256, blake3, size: bytes }
    }
}

impl Plan {
    pub(super) fn new(disk: &Disk, found: Found, sha512: Sha512Wanted, sources: Sources) -> Self {
        let files = found.into_iter().map(|(path, source)| File { path, source });
        Self { disk: disk.clone(), files: files.collect(), sha512, sources }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.source.state.bytes))
    }

    /// Reads every artifact into the stage.
    pub(super) fn take_in(
        &self,
        stage: &Stage,
        progress: &dyn Progress,
    ) -> Result<Vec<Taken>, IngestError> {
        self.each(progress, |file, window| self.copy(file, stage, progress, window))
    }

    /// Reads every artifact for its digests alone.
    pub(super) fn hash(&self, progress: &dyn Progress) -> Result<Vec<Taken>, IngestError> {
        self.each(progress, |file, window| {
            let mut source = Source::open(&self.disk, &file.source)?;
            let digests = self.digests_of(&mut source.handle, progress, window);
            let digests = digests.map_err(IngestError::Source)?;
            source.check_unchanged(digests.bytes)?;
            Ok(digests)
        })
    }

    fn digests_of(
        &self,
        handle: &mut Handle,
        progress: &dyn Progress,
        window: &mut Window,
    ) -> Result<Digests, DiskError> {
        let mut stream = Counted { stream: HashOnly(handle), progress, window };
        match self.threads() {
            Threads::One => hashing::in_line(&mut stream, self.sha512),
            Threads::PerDigest => hashing::pipelined(&mut stream, self.sha512),
        }
    }

    /// Reads those artifacts again whose blobs are damaged or gone.
    pub(super) fn put_back(&self, stage: &Stage, taken: &[Taken]) -> Result<(), IngestError> {
        for (file, taken) in self.files.iter().zip(taken) {
            if stage.is_held(&taken.digests)? {
                continue;
            }
            if self.copy(file, stage, &(), &mut Window::default())? != taken.digests {
                return Err(IngestError::Changed { path: file.source.path.clone() });
            }
        }
        Ok(())
    }

    fn each(
        &self,
        progress: &dyn Progress,
        read: impl Fn(&File, &mut Window) -> Result<Digests, IngestError> + Sync,
    ) -> Result<Vec<Taken>, IngestError> {
        let taken = self.files.par_iter().map(|file| {
            let mut window = Window::default();
            let digests = read(file, &mut window)?;
            progress.finished_file(&file.path);
            let sniffed = window.sniff(digests.bytes);
            Ok(Taken { path: file.path.clone(), digests, sniffed })
        });
        taken.collect()
    }

    fn copy(
        &self,
        file: &File,
        stage: &Stage,
        progress: &dyn Progress,
        window: &mut Window,
    ) -> Result<Digests, IngestError> {
        if file.source.state.bytes < LARGE_BYTES {
            let bytes = match read_steadily(&self.disk, &file.source, LARGE_BYTES) {
                Err(IngestError::Source(DiskError::OverLimit { path, .. })) => {
                    return Err(IngestError::Changed { path }); // it was smaller a moment ago
                }
                other => other?,
            };
            progress.advanced(file.source.state.bytes);
            window.see(&bytes);
            return Ok(stage.add_bytes(&bytes, self.sha512)?);
        }
        let mut source = Source::open(&self.disk, &file.source)?;
        if let Some(mut ours) = stage.share(&source.handle, self.sources)? {
            let digests = self.digests_of(&mut ours, progress, window);
            let digests = stage.settle(ours, digests)?;
            source.check_unchanged(digests.bytes)?;
            return Ok(digests);
        }
        let handle = &mut source.handle;
        let read = |buffer: &mut [u8]| {
            let count = handle.read(buffer)?;
            progress.advanced(u64::try_from(count).unwrap_or(u64::MAX));
            window.see(buffer.get(..count).unwrap_or_default());
            Ok(count)
        };
        let digests = stage.add_stream(read, self.sha512, self.threads())?;
        source.check_unchanged(digests.bytes)?;
        Ok(digests)
    }

    /// Files side by side use the cores better than threads inside one file, if there are enough.
    fn threads(&self) -> Threads {
        let large = self.files.iter().filter(|file| file.source.state.bytes >= LARGE_BYTES).count();
        if large == 1 || large * 2 <= rayon::current_num_threads() {
            Threads::PerDigest
        } else {
            Threads::One
        }
    }
}

/// An input file, and its state when it was opened.
struct Source {
    handle: Handle,
    before: FileState,
}

impl Source {
    /// Refuses another file than the one that was found: a link may have taken its place, or the place
    /// of a directory above it.
    fn open(disk: &Disk, input: &Input) -> Result<Self, IngestError> {
        let handle = match disk.open_without_links(&input.path) {
            Err(DiskError::NotAFile { path, .. }) => return Err(IngestError::Changed { path }),
            result => result.map_err(IngestError::Source)?,
        };
        let before = handle.read_state().map_err(IngestError::Source)?;
        if before.is_same_file(&input.state) {
            Ok(Self { handle, before })
        } else {
            Err(IngestError::Changed { path: input.path.clone() })
        }
    }

    /// That nobody wrote to the file while it was read, as far as its length and times tell.
    fn check_unchanged(&self, bytes_read: u64) -> Result<(), IngestError> {
        let after = self.handle.read_state().map_err(IngestError::Source)?;
        if after == self.before && bytes_read == self.before.bytes {
            Ok(())
        } else {
            Err(IngestError::Changed { path: self.handle.path().to_owned() })
        }
    }
}

/// All bytes of an input of at most `limit` bytes, if nobody wrote to it meanwhile.
pub(super) fn read_steadily(
    disk: &Disk,
    input: &Input,
    limit: u64,
) -> Result<Vec<u8>, IngestError> {
    let mut source = Source::open(disk, input)?;
    let bytes = source.handle.read_to_end(limit).map_err(IngestError::Source)?;
    source.check_unchanged(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    Ok(bytes)
}

/// Tells how much was read, and keeps the beginning.
struct Counted<'a, S> {
    stream: S,
    progress: &'a dyn Progress,
    window: &'a mut Window,
}

impl<S: Stream<DiskError>> Stream<DiskError> for Counted<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let count = self.stream.read(buffer)?;
        self.progress.advanced(u64::try_from(count).unwrap_or(u64::MAX));
        self.window.see(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.stream.write(bytes)
    }
}
