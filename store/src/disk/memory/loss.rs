//! What is found on a disk in memory after a kill or a power loss.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use super::{Body, Edit, Inode, Memory, Names, ROOT, Renaming, State};

/// What a power loss takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Everything that was not synced.
    AllUnsynced,
    /// Any of it, in any order; the number decides.
    Random(u64),
}

/// The generator splitmix64: small, and good enough to choose by.
struct Chance(u64);

impl Chance {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

impl Memory {
    /// The disk as the next process finds it if this one is killed: what was not synced is there, and
    /// can still be lost. Locks are free.
    pub(crate) fn after_kill(&self) -> Self {
        let mut state = self.lock().clone();
        state.inodes.iter_mut().for_each(|inode| inode.locked_by = None);
        Self { state: Arc::new(Mutex::new(state)), clones: self.clones }
    }

    /// A disk as it may be found after a power loss. What is on it is durable.
    pub(crate) fn after_power_loss(&self, loss: Loss) -> Self {
        let mut state = self.lock().clone();
        if let Loss::Random(seed) = loss {
            let mut chance = Chance(seed);
            state.make_some_durable(&mut chance);
        }
        state.renames.clear();
        state.inodes.iter_mut().for_each(forget);
        state.count_links();
        Self { state: Arc::new(Mutex::new(state)), clones: self.clones }
    }

    /// Everything that tells one disk from another, but for times and the numbers of leases, so that
    /// equal ones need to be looked at once only.
    pub(crate) fn describe(&self) -> String {
        let state = self.lock();
        let mut out = String::new();
        let mut paths = BTreeMap::from([(ROOT, String::new())]);
        state.describe(ROOT, &mut paths, &mut out);
        for Renaming { given, taken } in &state.renames {
            let [given, taken] = [given, taken].map(|entry| {
                entry.as_ref().map(|entry| {
                    let directory = paths.get(&entry.directory).map_or("gone", String::as_str);
                    format!("{directory}/{} is {}", shown(&entry.name), state.file(entry.inode))
                })
            });
            writeln!(out, "{given:?} {taken:?}").unwrap();
        }
        out
    }
}

impl State {
    fn make_some_durable(&mut self, chance: &mut Chance) {
        for inode in &mut self.inodes {
            make_some_edits_durable(inode, chance);
        }
        for Renaming { given, taken } in std::mem::take(&mut self.renames) {
            let reached_disk = chance.below(3);
            // The new name of a file comes no later than its old one goes.
            if let Some(given) = given.filter(|_| reached_disk > 0) {
                self.give_durably(&given);
            }
            if let Some(taken) = taken.filter(|_| reached_disk > 1) {
                self.take_durably(&taken);
            }
        }
    }

    fn count_links(&mut self) {
        self.inodes.iter_mut().for_each(|inode| inode.link_count = 0);
        let mut way = vec![ROOT];
        while let Some(number) = way.pop() {
            self.inodes[number].link_count += 1;
            if let Ok(names) = self.inodes[number].names() {
                way.extend(names.values());
            }
        }
    }

    /// A file, whatever its names; a directory is told by what is in it.
    fn file(&self, inode: usize) -> String {
        let Inode { body, mode, durable_mode, has_untold_loss, link_count, .. } =
            &self.inodes[inode];
        let Body::File { content, durable, edits } = body else { return "a directory".into() };
        let [now, durable] = [content, durable].map(|bytes| blake3::hash(bytes));
        let edits: Vec<_> = edits.iter().map(Edit::extent).collect();
        format!(
            "{mode:o} {durable_mode:o} {now} {durable} {edits:?} {has_untold_loss} {link_count}"
        )
    }

    fn describe(&self, inode: usize, paths: &mut BTreeMap<usize, String>, out: &mut String) {
        let path = paths[&inode].clone();
        match &self.inodes[inode].body {
            Body::File { .. } => writeln!(out, "{path} {}", self.file(inode)).unwrap(),
            Body::Directory { names, durable } => {
                let differing = |of: &Names, other: &Names| {
                    let differing =
                        of.iter().filter(|(name, inode)| other.get(*name) != Some(*inode));
                    differing.map(|(name, _)| shown(name)).collect::<Vec<_>>()
                };
                let (new, old) = (differing(names, durable), differing(durable, names));
                writeln!(out, "{path}/ {new:?} {old:?}").unwrap();
                for (name, inode) in names {
                    paths.insert(*inode, format!("{path}/{}", shown(name)));
                    self.describe(*inode, paths, out);
                }
            }
        }
    }
}

/// A name, the same for all leases and replacements.
fn shown(name: &OsStr) -> String {
    let name = name.display().to_string();
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    let is_lease = name.contains('-') && name.bytes().all(is_number);
    let is_replacement = name.starts_with("replacement-");
    match (is_lease, is_replacement) {
        (true, _) => "a lease".into(),
        (_, true) => "a replacement".into(),
        _ => name,
    }
}

/// Each edit happened, did not, happened in part, or has its length on the disk and its bytes not.
fn make_some_edits_durable(inode: &mut Inode, chance: &mut Chance) {
    if chance.below(2) == 0 {
        inode.durable_mode = inode.mode;
    }
    let Body::File { durable, edits, .. } = &mut inode.body else { return };
    for edit in edits.drain(..) {
        match (chance.below(8), edit) {
            (0..4, edit) => edit.apply(durable),
            (4, Edit::Write { offset, mut bytes }) => {
                bytes.truncate(chance.below(bytes.len() + 1));
                Edit::Write { offset, bytes }.apply(durable);
            }
            (5, Edit::Write { offset, bytes }) => {
                let bytes = vec![0; bytes.len()];
                Edit::Write { offset, bytes }.apply(durable);
            }
            _ => {}
        }
    }
}

/// What was not made durable is gone.
fn forget(inode: &mut Inode) {
    inode.locked_by = None;
    inode.has_untold_loss = false;
    inode.mode = inode.durable_mode;
    match &mut inode.body {
        Body::File { content, durable, edits } => {
            edits.clear();
            content.clone_from(durable);
        }
        Body::Directory { names, durable } => Names::clone_from(names, durable),
    }
}
