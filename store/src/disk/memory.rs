//! A disk in memory that knows what has been synced, for tests.
//!
//! ```text
//! inode      content now = durable content + edits since the last sync of the file
//! directory  names now, and durable names; the changes of names since are one list, in order
//! ```
//!
//! A sync of a file makes its content and mode durable, but no name of it. A sync of a directory makes
//! its names durable, and no content; a rename out of it has its other end with it, since no file system
//! loses a file that was only renamed. A sync of the file system makes everything durable.
//!
//! [`Memory::after_power_loss`] gives the disks that may be found afterwards: any of the edits and of
//! the changes of names may have happened, in any order, writes in part. The model is harsher than any
//! one file system: most keep changes of names in order. [`Memory::after_kill`] gives the one that is
//! found when the program alone has died. There are no symbolic links here, and everybody is root.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;

use super::Disk;
use super::system::{
    Cloned, EachEntry, FileKind, FileState, FileSystem, Flusher, Inspected, Links, LockAttempt,
    OpenFile, Opening,
};

mod loss;

pub(crate) use loss::Loss;

/// Flushes before the caller goes on, so that calls come in one order; an error is told at the end, as if
/// it had happened beside the writing.
#[derive(Debug)]
pub(super) struct InLine<'a> {
    file: &'a dyn OpenFile,
    flushed: io::Result<()>,
}

impl<'a> InLine<'a> {
    pub(super) fn new(file: &'a dyn OpenFile) -> Self {
        Self { file, flushed: Ok(()) }
    }
}

impl Flusher for InLine<'_> {
    fn begin(&mut self) -> bool {
        let may_begin = self.flushed.is_ok();
        if may_begin {
            self.flushed = self.file.sync();
        }
        may_begin
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.flushed
    }
}

const ROOT: usize = 0;
const UMASK: u32 = 0o022;
const NAME_BYTES_MAX: usize = 255;

/// The disk; clones are the same one.
#[derive(Clone)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
    clones: Cloned,
}

#[derive(Clone)]
struct State {
    /// One that has lost its last name stays: somebody may have it open.
    inodes: Vec<Inode>,
    /// Changes of names that no sync has made durable, oldest first.
    renames: Vec<Renaming>,
    /// Stands in for the time: every change is later than the one before.
    ticks: u32,
}

#[derive(Clone)]
struct Inode {
    body: Body,
    mode: u32,
    durable_mode: u32,
    modified: u32,
    link_count: u64,
    locked_by: Option<u64>,
    /// Bytes were lost, and nobody has synced the file itself since.
    has_untold_loss: bool,
}

#[derive(Clone)]
enum Body {
    File { content: Vec<u8>, durable: Vec<u8>, edits: Vec<Edit> },
    Directory { names: Names, durable: Names },
}

type Names = BTreeMap<OsString, usize>;

/// A change of a file's content.
#[derive(Clone)]
enum Edit {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// A name in a directory and what it stands for.
#[derive(Clone)]
struct Entry {
    directory: usize,
    name: OsString,
    inode: usize,
}

/// A change of names: one that is given, one that is taken, or both at once.
#[derive(Clone)]
struct Renaming {
    given: Option<Entry>,
    taken: Option<Entry>,
}

impl Edit {
    /// Where it changes the content, and how much of it.
    fn extent(&self) -> (usize, usize) {
        match self {
            Self::Write { offset, bytes } => (*offset, bytes.len()),
            Self::Truncate(bytes) => (*bytes, 0),
        }
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate(bytes) => content.resize(*bytes, 0),
            Self::Write { offset, bytes } => {
                if *offset > content.len() {
                    content.resize(*offset, 0);
                }
                let (over, behind) = bytes.split_at(bytes.len().min(content.len() - offset));
                content[*offset..*offset + over.len()].copy_from_slice(over);
                content.extend_from_slice(behind);
            }
        }
    }
}

impl Inode {
    fn new(body: Body, mode: u32, modified: u32) -> Self {
        let mode = mode & !UMASK;
        let (durable_mode, link_count, locked_by) = (mode, 1, None);
        Self { body, mode, durable_mode, modified, link_count, locked_by, has_untold_loss: false }
    }

    fn new_file(mode: u32, modified: u32) -> Self {
        let (content, durable, edits) = Default::default();
        Self::new(Body::File { content, durable, edits }, mode, modified)
    }

    fn new_directory(modified: u32) -> Self {
        let (names, durable) = Default::default();
        Self::new(Body::Directory { names, durable }, 0o777, modified)
    }

    fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }

    fn names(&self) -> io::Result<&Names> {
        match &self.body {
            Body::Directory { names, .. } => Ok(names),
            Body::File { .. } => Err(Errno::NOTDIR.into()),
        }
    }

    fn content(&self) -> io::Result<&Vec<u8>> {
        match &self.body {
            Body::File { content, .. } => Ok(content),
            Body::Directory { .. } => Err(Errno::ISDIR.into()),
        }
    }

    fn edit(&mut self, edit: Edit) {
        if let Body::File { content, edits, .. } = &mut self.body {
            edit.apply(content);
            edits.push(edit);
        }
    }

    fn sync(&mut self) {
        self.durable_mode = self.mode;
        if let Body::File { durable, edits, .. } = &mut self.body {
            edits.drain(..).for_each(|edit| edit.apply(durable));
        }
    }
}

impl State {
    fn tick(&mut self) -> u32 {
        self.ticks += 1;
        self.ticks
    }

    /// The inodes on the way to a path, the root first, with the names that lead to them.
    fn walk(&self, path: &Path) -> io::Result<Vec<(usize, OsString)>> {
        if path.as_os_str().is_empty() {
            return Err(Errno::NOENT.into());
        }
        let mut way = vec![(ROOT, OsString::new())];
        for component in path.components() {
            let names = self.inodes[way.last().unwrap().0].names()?;
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => way.truncate((way.len() - 1).max(1)),
                Component::Normal(name) if name.len() > NAME_BYTES_MAX => {
                    return Err(Errno::NAMETOOLONG.into());
                }
                Component::Normal(name) => {
                    let inode = *names.get(name).ok_or(Errno::NOENT)?;
                    way.push((inode, name.to_owned()));
                }
            }
        }
        Ok(way)
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        Ok(self.walk(path)?.last().unwrap().0)
    }

    fn find_or_none(&self, path: &Path) -> io::Result<Option<usize>> {
        match self.find(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// The directory of a path's last name, and that name.
    fn find_parent(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let name = path.file_name().ok_or(Errno::BUSY)?.to_owned();
        let parent = self.find(super::containing(path))?;
        self.inodes[parent].names()?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        Ok((parent, name))
    }

    fn entry(&self, path: &Path, inode: usize) -> io::Result<Entry> {
        let (directory, name) = self.find_parent(path)?;
        Ok(Entry { directory, name, inode })
    }

    fn names_mut(&mut self, directory: usize) -> &mut Names {
        match &mut self.inodes[directory].body {
            Body::Directory { names, .. } => names,
            Body::File { .. } => unreachable!("the walk passed directories only"),
        }
    }

    /// Changes names now; a sync, or luck, makes the change durable.
    fn change(&mut self, renaming: Renaming) {
        let tick = self.tick();
        if let Some(taken) = &renaming.taken {
            self.names_mut(taken.directory).remove(&taken.name);
            self.inodes[taken.directory].modified = tick;
            self.inodes[taken.inode].link_count -= 1;
        }
        if let Some(given) = &renaming.given {
            let replaced = self.names_mut(given.directory).insert(given.name.clone(), given.inode);
            self.inodes[given.directory].modified = tick;
            self.inodes[given.inode].link_count += 1;
            if let Some(replaced) = replaced {
                self.inodes[replaced].link_count -= 1;
            }
        }
        self.renames.push(renaming);
    }

    fn create(&mut self, path: &Path, mut inode: Inode) -> io::Result<usize> {
        inode.link_count = 0;
        let number = self.inodes.len();
        let given = Some(self.entry(path, number)?);
        self.inodes.push(inode);
        self.change(Renaming { given, taken: None });
        Ok(number)
    }

    fn sync_names(&mut self, directory: usize) {
        for mut renaming in std::mem::take(&mut self.renames) {
            let is_here = |entry: &Option<Entry>| {
                entry.as_ref().is_some_and(|entry| entry.directory == directory)
            };
            let takes_here = is_here(&renaming.taken);
            if (is_here(&renaming.given) || takes_here)
                && let Some(given) = renaming.given.take()
            {
                self.give_durably(&given);
            }
            if takes_here && let Some(taken) = renaming.taken.take() {
                self.take_durably(&taken);
            }
            if renaming.given.is_some() || renaming.taken.is_some() {
                self.renames.push(renaming);
            }
        }
        self.inodes[directory].sync();
    }

    fn give_durably(&mut self, entry: &Entry) {
        if let Body::Directory { durable, .. } = &mut self.inodes[entry.directory].body {
            durable.insert(entry.name.clone(), entry.inode);
        }
    }

    fn take_durably(&mut self, entry: &Entry) {
        if let Body::Directory { durable, .. } = &mut self.inodes[entry.directory].body
            && durable.get(&entry.name) == Some(&entry.inode)
        {
            durable.remove(&entry.name);
        }
    }

    fn sync_everything(&mut self) {
        (0..self.inodes.len()).for_each(|inode| self.sync_names(inode));
    }

    /// The bytes of a file may have been lost on the way to the disk: the kernel tells it once, keeps
    /// showing them, and never writes them again.
    fn lose_writes(&mut self, inode: usize) {
        if let Body::File { edits, .. } = &mut self.inodes[inode].body {
            edits.clear();
        }
    }

    fn inspect(&self, inode: usize) -> Inspected {
        let found = &self.inodes[inode];
        let (kind, bytes) = match &found.body {
            Body::File { content, .. } => (FileKind::File, content.len()),
            Body::Directory { .. } => (FileKind::Directory, 0),
        };
        Inspected {
            kind,
            state: FileState {
                device: 1,
                inode: inode as u64,
                bytes: bytes as u64,
                modified: (1_700_000_000, found.modified.into()),
            },
            mode: found.mode,
            owner: 0,
            changed_unix_seconds: 1_700_000_000,
            link_count: found.link_count,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Cloned::Yes)
    }
}

impl Memory {
    /// An empty disk on which files can be cloned, or not.
    pub(crate) fn new(clones: Cloned) -> Self {
        let inodes = vec![Inode::new_directory(0)];
        let state = State { inodes, renames: Vec::new(), ticks: 0 };
        Self { state: Arc::new(Mutex::new(state)), clones }
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk { system: Arc::new(self.clone()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn hold(&self, inode: usize, writable: bool) -> Box<dyn OpenFile> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let position = Mutex::default();
        Box::new(MemoryFile { memory: self.clone(), inode, id, writable, position })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl FileSystem for Memory {
    fn inspect(&self, path: &Path, _links: Links) -> io::Result<Inspected> {
        let state = self.lock();
        Ok(state.inspect(state.find(path)?))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let way = self.lock().walk(path)?;
        Ok(way.iter().skip(1).fold(PathBuf::from("/"), |path, (_, name)| path.join(name)))
    }

    fn list(&self, directory: &Path, each: &mut EachEntry<'_>) -> io::Result<()> {
        let state = self.lock();
        let names = state.inodes[state.find(directory)?].names()?;
        names.iter().for_each(|(name, inode)| {
            each(directory.join(name), state.inspect(*inode).kind);
        });
        Ok(())
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn OpenFile>> {
        let mut state = self.lock();
        let found = state.find_or_none(path)?;
        let tick = state.tick();
        let (inode, writable) = match (opening, found) {
            (Opening::Existing | Opening::ExistingWithoutLinks, Some(inode)) => (inode, false),
            (Opening::Directory, Some(inode)) => {
                state.inodes[inode].names()?;
                (inode, false)
            }
            (Opening::New { .. }, Some(_)) => return Err(Errno::EXIST.into()),
            (Opening::New { mode }, None) => {
                (state.create(path, Inode::new_file(mode, tick))?, true)
            }
            (Opening::ExistingOrNew, Some(inode)) => {
                state.inodes[inode].content()?;
                (inode, true)
            }
            (Opening::ExistingOrNew, None) => {
                (state.create(path, Inode::new_file(0o666, tick))?, true)
            }
            (Opening::Existing | Opening::ExistingWithoutLinks | Opening::Directory, None) => {
                return Err(Errno::NOENT.into());
            }
        };
        Ok(self.hold(inode, writable))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let mut way: Vec<_> =
            path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        while let Some(path) = way.pop() {
            match state.find_or_none(path)? {
                Some(inode) if state.inodes[inode].is_directory() => {}
                Some(_) if way.is_empty() => return Err(Errno::EXIST.into()),
                Some(_) => return Err(Errno::NOTDIR.into()),
                None => {
                    let tick = state.tick();
                    state.create(path, Inode::new_directory(tick))?;
                }
            }
        }
        Ok(())
    }

    fn create_new_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if state.find_or_none(path)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        let tick = state.tick();
        state.create(path, Inode::new_directory(tick)).map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(from)?;
        let (taken, given) = (state.entry(from, inode)?, state.entry(to, inode)?);
        let is_directory = state.inodes[inode].is_directory();
        let way = state.walk(super::containing(to))?;
        if way.iter().any(|(above, _)| *above == inode) {
            return Err(Errno::INVAL.into());
        }
        if let Some(replaced) = state.find_or_none(to)? {
            if replaced == inode {
                return Ok(()); // two names of one file: POSIX keeps both
            }
            match (is_directory, &state.inodes[replaced].body) {
                (true, Body::File { .. }) => return Err(Errno::NOTDIR.into()),
                (false, Body::Directory { .. }) => return Err(Errno::ISDIR.into()),
                (true, Body::Directory { names, .. }) if !names.is_empty() => {
                    return Err(Errno::NOTEMPTY.into());
                }
                _ => {}
            }
        }
        state.change(Renaming { given: Some(given), taken: Some(taken) });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(from)?;
        let given = Some(state.entry(to, inode)?);
        if state.find_or_none(to)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        if state.inodes[inode].is_directory() {
            return Err(Errno::PERM.into());
        }
        state.change(Renaming { given, taken: None });
        Ok(())
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(path)?;
        state.inodes[inode].mode = mode;
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(path)?;
        if state.inodes[inode].is_directory() {
            return Err(Errno::ISDIR.into());
        }
        let taken = Some(state.entry(path, inode)?);
        state.change(Renaming { given: None, taken });
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.find(path)?;
        if !state.inodes[inode].names()?.is_empty() {
            return Err(Errno::NOTEMPTY.into());
        }
        let taken = Some(state.entry(path, inode)?);
        state.change(Renaming { given: None, taken });
        Ok(())
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        self.list(path, &mut |entry, kind| entries.push((entry, kind)))?;
        for (entry, kind) in entries {
            match kind {
                FileKind::Directory => self.remove_tree(&entry)?,
                _ => self.remove(&entry)?,
            }
        }
        self.remove_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.open(path, Opening::Directory)?.sync()
    }

    fn is_real(&self) -> bool {
        false
    }
}

/// An open file, or directory.
pub(super) struct MemoryFile {
    memory: Memory,
    inode: usize,
    /// Whom the lock belongs to.
    id: u64,
    writable: bool,
    position: Mutex<usize>,
}

impl MemoryFile {
    fn edit(&self, edit: Edit) -> io::Result<()> {
        if !self.writable {
            return Err(Errno::BADF.into());
        }
        let mut state = self.memory.lock();
        state.inodes[self.inode].modified = state.tick();
        state.inodes[self.inode].edit(edit);
        Ok(())
    }

    /// As after a sync that failed.
    pub(super) fn lose_writes(&self) {
        self.memory.lock().lose_writes(self.inode);
    }

    /// As after a sync of the file system that failed: which files it hit, a sync of each one tells.
    pub(super) fn lose_all_writes(&self) {
        for inode in &mut self.memory.lock().inodes {
            if let Body::File { edits, .. } = &mut inode.body
                && !edits.is_empty()
            {
                edits.clear();
                inode.has_untold_loss = true;
            }
        }
    }
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFile").field("inode", &self.inode).finish_non_exhaustive()
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let locked_by = &mut self.memory.lock().inodes[self.inode].locked_by;
        if *locked_by == Some(self.id) {
            *locked_by = None;
        }
    }
}

impl OpenFile for MemoryFile {
    fn inspect(&self) -> io::Result<Inspected> {
        Ok(self.memory.lock().inspect(self.inode))
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut position = self.position.lock().unwrap();
        let count = self.read_at(*position as u64, buffer)?;
        *position += count;
        Ok(count)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.memory.lock();
        let content = state.inodes[self.inode].content()?;
        let rest = content.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut position = self.position.lock().unwrap();
        self.edit(Edit::Write { offset: *position, bytes: bytes.to_owned() })?;
        *position += bytes.len();
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.edit(Edit::Write { offset, bytes: bytes.to_owned() })
    }

    fn clone_from(&self, from: &dyn OpenFile) -> io::Result<Cloned> {
        let Some(from) = (from as &dyn Any).downcast_ref::<Self>() else {
            return Ok(Cloned::Unsupported);
        };
        if self.memory.clones == Cloned::Unsupported {
            return Ok(Cloned::Unsupported);
        }
        let bytes = self.memory.lock().inodes[from.inode].content()?.clone();
        self.edit(Edit::Write { offset: 0, bytes })?;
        Ok(Cloned::Yes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.edit(Edit::Truncate(usize::try_from(bytes).unwrap()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.memory.lock();
        let inode = &mut state.inodes[self.inode];
        if inode.is_directory() {
            state.sync_names(self.inode);
            return Ok(());
        }
        inode.sync();
        match std::mem::take(&mut inode.has_untold_loss) {
            true => Err(Errno::IO.into()),
            false => Ok(()),
        }
    }

    fn flusher(&self) -> io::Result<Box<dyn Flusher + '_>> {
        Ok(Box::new(InLine::new(self)))
    }

    fn sync_filesystem(&self) -> io::Result<()> {
        self.memory.lock().sync_everything();
        Ok(())
    }

    fn try_lock(&self) -> io::Result<LockAttempt> {
        let locked_by = &mut self.memory.lock().inodes[self.inode].locked_by;
        match *locked_by {
            Some(id) if id != self.id => Ok(LockAttempt::HeldByAnother),
            _ => {
                *locked_by = Some(self.id);
                Ok(LockAttempt::Taken)
            }
        }
    }
}
