//! How writers keep `index.json`, or keep the store without it. All of this is for use under the lock.
//!
//! ```text
//! off   1  bonded/no-index   an empty file: temporary → fsync → rename → fsync bonded/
//!       2  index.json        removed if it is ours, fsync of the store's directory
//! on    1  bonded/no-index   removed, fsync bonded/
//!       2  index.json        made from the catalog: temporary → write → fsync → rename → fsync
//! ```
//!
//! After a crash in between, the next writer does 2, as for every store that it finds out of step. What
//! another tool has made of `index.json` is left alone either way.

use super::{Found, IndexSetting, IndexState};
use crate::catalog::Catalog;
use crate::disk::{Disk, DiskError, FileState, containing};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::writer;

/// Whether the store is kept with the file.
pub(crate) fn read_setting(disk: &Disk, layout: &Layout) -> Result<IndexSetting, DiskError> {
    match disk.read_kind(&layout.no_index()) {
        Ok(_) => Ok(IndexSetting::Off),
        Err(error) if error.is_not_found() => Ok(IndexSetting::On),
        Err(error) => Err(error),
    }
}

/// Keeps the store with the file from now on, or without it.
pub(crate) fn set(
    disk: &Disk,
    layout: &Layout,
    setting: IndexSetting,
    catalog: &Catalog,
) -> Result<(), StoreError> {
    write_setting(disk, layout, setting)?;
    tend(disk, layout, catalog)
}

/// Begins a store without names, whatever an earlier attempt at it left.
pub(crate) fn begin(disk: &Disk, layout: &Layout, setting: IndexSetting) -> Result<(), DiskError> {
    write_setting(disk, layout, setting)?;
    match setting {
        IndexSetting::On => writer::replace(disk, layout, &layout.index(), &super::empty()),
        IndexSetting::Off => remove(disk, layout),
    }
}

fn write_setting(disk: &Disk, layout: &Layout, setting: IndexSetting) -> Result<(), DiskError> {
    let path = layout.no_index();
    match setting {
        IndexSetting::On => disk.remove(&path)?,
        IndexSetting::Off => return writer::replace(disk, layout, &path, b""),
    }
    disk.sync_directory(containing(&path))
}

/// Brings the file up to date, or removes it from a store that is kept without it, unless somebody else has
/// changed it. Whoever changes it between the last look and the rename or removal is overwritten: there is no
/// lock that other tools would take.
pub(crate) fn tend(disk: &Disk, layout: &Layout, catalog: &Catalog) -> Result<(), StoreError> {
    match read_setting(disk, layout)? {
        IndexSetting::On if super::is_at_first_sight_from(disk, layout, catalog)? => Ok(()),
        IndexSetting::On => write(disk, layout, &super::generate(catalog)?),
        IndexSetting::Off => remove_own(disk, layout),
    }
}

/// Makes the file again although another tool has changed it, or removes it: all that it listed is held.
pub(crate) fn take_back(disk: &Disk, layout: &Layout, catalog: &Catalog) -> Result<(), StoreError> {
    match read_setting(disk, layout)? {
        IndexSetting::On => {
            writer::replace(disk, layout, &layout.index(), &super::generate(catalog)?)?;
        }
        IndexSetting::Off => remove(disk, layout)?,
    }
    Ok(())
}

fn write(disk: &Disk, layout: &Layout, expected: &[u8]) -> Result<(), StoreError> {
    let path = layout.index();
    let before = look(disk, layout)?;
    match super::read_state(disk, layout, expected)? {
        IndexState::Missing | IndexState::Behind => {}
        _ => return Ok(()),
    }
    let temporary = writer::stage_replacement(disk, layout, expected)?;
    if look(disk, layout)? != before {
        return Ok(disk.remove(&temporary)?); // the next writer looks at what it is now
    }
    disk.rename(&temporary, &path)?;
    Ok(disk.sync_directory(containing(&path))?)
}

fn remove_own(disk: &Disk, layout: &Layout) -> Result<(), StoreError> {
    let before = look(disk, layout)?;
    if Found::read(disk, layout)?.is_own() && look(disk, layout)? == before {
        remove(disk, layout)?;
    }
    Ok(())
}

fn remove(disk: &Disk, layout: &Layout) -> Result<(), DiskError> {
    disk.remove(&layout.index())?;
    disk.sync_directory(layout.directory())
}

fn look(disk: &Disk, layout: &Layout) -> Result<Option<FileState>, DiskError> {
    match disk.read_state(&layout.index()) {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
