//! Adopting: what another program wrote into the store's own layout is taken in.
//!
//! ```text
//! 1  read      index.json as it is now
//! 2  compare   what the catalog names already stays as it is; another digest under such a name is refused
//! 3  import    the rest, as from any layout; its blobs lie in the pool and are hashed where they lie
//! 4  mend      under the lock: index.json is what it was at 1, and is made again from the catalog, or removed
//!              where the store is kept without it
//! ```
//!
//! What the catalog names and the other program dropped stays: such programs write from a copy that they
//! read before, and do not mean it. A crash before 4 leaves `index.json` foreign; adopting again ends it.

use std::time::Duration;

use bonded_model::{Descriptor, ImageName, Repository};

use super::entry::{self, Entry, Role, release_of};
use super::error::ImportError;
use super::plan::{self, Bounds, Plan, Wanted};
use super::source::Source;
use super::{ImportReport, Progress, Work};
use crate::catalog::{Catalog, Key};
use crate::disk::DiskFault;
use crate::error::StoreError;
use crate::index::{self, IndexState};
use crate::lock::Holder;
use crate::stage::BLOB_MODE;
use crate::store::Store;

/// What is to be added to names in `index.json`.
#[derive(Clone, Debug)]
pub struct AdoptRequest<'a> {
    /// The repository of images of which `index.json` gives the tag alone.
    pub repository: Option<&'a Repository>,
    /// The name of the only image that is new, whatever it is called there.
    pub name: Option<&'a ImageName>,
    /// Who adopts; others that have to wait see it.
    pub holder: &'a Holder,
    /// How long to wait for another writer.
    pub wait: Duration,
}

/// Takes in what another program has written into a store; `None` if none has.
///
/// # Errors
/// [`ImportError`]; then `index.json` is as it was, and so is the catalog, but after
/// [`ImportError::IndexChanged`], which comes when all that was listed is held, and after a call on the disk
/// that failed when that was done. Adopting again ends either.
pub fn adopt(
    store: &Store,
    request: &AdoptRequest<'_>,
    progress: &dyn Progress,
) -> Result<Option<ImportReport>, ImportError> {
    if store.index_state()? != IndexState::Foreign {
        return Ok(None);
    }
    let source = Source::open(&store.pool().disk, store.directory())?;
    let found = source.read_list(entry::INDEX)?;
    let snapshot = store.snapshot()?;
    let mut new = Vec::new();
    for entry in entry::entries_of(&source, &found)? {
        if !is_known(snapshot.catalog(), &entry)? {
            new.push(entry);
        }
    }
    let AdoptRequest { repository, name, .. } = *request;
    let wanted =
        Wanted { references: &[], repository, name, releases: false, bounds: Bounds::default() };
    let plan = plan::plan(&source, new, wanted)?;
    let work = Work { store, holder: request.holder, wait: request.wait };
    let report = work.run(&source, &plan, progress)?;
    seal_blobs(store, &plan)?;
    mend(store, request, &found, progress)?;
    Ok(Some(report))
}

/// Whether the catalog names this already.
fn is_known(catalog: &Catalog, entry: &Entry) -> Result<bool, ImportError> {
    let key = match (&entry.role, &entry.name) {
        (Role::Image(name), _) => Key::image(&name.repository, &name.tag),
        (Role::Release(release), _) => Key::release(release),
        (Role::Misnamed(_), Some(name)) => match release_of(name) {
            Some(release) => Key::release(&release),
            None => return Ok(false),
        },
        _ => return Ok(false),
    };
    let name = entry.label();
    match catalog.get(&key)? {
        Some(held) if held.digest == entry.descriptor.digest => Ok(true),
        Some(Descriptor { digest: held, .. }) => {
            Err(ImportError::NameTaken { name, held, given: entry.descriptor.digest })
        }
        None if matches!(entry.role, Role::Misnamed(_) | Role::Release(_)) => {
            Err(ImportError::UnknownRelease { name })
        }
        None => Ok(false),
    }
}

/// Takes the right to write to the blobs away, which other programs leave.
fn seal_blobs(store: &Store, plan: &Plan<'_>) -> Result<(), ImportError> {
    let pool = store.pool();
    for blob in plan.walk.blobs() {
        match pool.disk.set_mode(&pool.layout.blob(&blob.digest), BLOB_MODE) {
            // Another user owns it; every reader checks the bytes in any case.
            Err(error) if error.fault() == DiskFault::PermissionDenied => {}
            result => result.map_err(StoreError::from)?,
        }
    }
    Ok(())
}

/// Makes `index.json` again, or removes it, if it is still what was taken in.
fn mend(
    store: &Store,
    request: &AdoptRequest<'_>,
    found: &[u8],
    progress: &dyn Progress,
) -> Result<(), ImportError> {
    let on_wait = &mut |holder: &Holder| progress.waiting(holder);
    let writer = store.lock(request.wait, request.holder, on_wait)?;
    let source = Source::open(&store.pool().disk, store.directory())?;
    if source.read_list(entry::INDEX)? != found {
        return Err(ImportError::IndexChanged);
    }
    let (disk, layout) = (&store.pool().disk, &store.pool().layout);
    Ok(index::take_back(disk, layout, writer.catalog())?)
}
