//! The errors of libraries as errors of the command line: kind and one hint each.

use std::path::Path;

use bonded_mirror::{At, FaultKind, MirrorError};
use bonded_serve::ServeError;
use bonded_store::disk::{DiskError, DiskFault};
use bonded_store::facts::FactsError;
use bonded_store::image::ImportError;
use bonded_store::ingest::IngestError;
use bonded_store::{JournalError, StoreError};

use crate::error::{CliError, ErrorKind};

/// What helps where bytes of the store are not the ones that they are named.
const CORRUPT_HINT: &str = "put the bytes back from a good copy: bonded fsck --repair-from ANOTHER-STORE-OR-MIRROR, or ingest the release's files again";

/// An error of the store.
pub(crate) fn store_error(error: StoreError) -> CliError {
    let hint = store_hint(&error);
    let kind = match error {
        StoreError::NoRelease { .. }
        | StoreError::NoArtifact { .. }
        | StoreError::NoEpoch { .. } => ErrorKind::Usage,
        _ => ErrorKind::Environment,
    };
    CliError::new(kind, "the store could not do that").because(error).maybe_hint(hint)
}

/// An error of gc: what cannot be followed has to be mended first.
pub(crate) fn gc_error(error: StoreError) -> CliError {
    let hint = match &error {
        StoreError::Corrupt { .. }
        | StoreError::MissingBlob { .. }
        | StoreError::Manifest { .. }
        | StoreError::Catalog { .. }
        | StoreError::Unsettled { .. } => {
            Some("bonded fsck, then bonded fsck --repair-from ANOTHER-STORE-OR-MIRROR".to_owned())
        }
        StoreError::ForeignIndex { .. } | StoreError::ForeignDigest { .. } => {
            Some("bonded import --adopt, or move index.json away".to_owned())
        }
        StoreError::EpochDamaged { .. } => {
            Some("bonded gc --keep-epochs N with an N that leaves that epoch out".to_owned())
        }
        error => store_hint(error),
    };
    let what = "nothing was set aside or deleted, since what is needed is not known";
    let what = match &error {
        StoreError::Disk(_) | StoreError::LockTimeout { .. } => "gc could not come to its end",
        _ => what,
    };
    CliError::environment(what).because(error).maybe_hint(hint)
}

/// The next command to try after an error of the store.
pub(crate) fn store_hint(error: &StoreError) -> Option<String> {
    if let StoreError::InDoubt { .. } = error {
        return Some("run the same command again: it finds the work done, or does it".into());
    }
    if let StoreError::IndexNotWritten { .. } = error {
        return Some(
            "the work is done and kept; the next command that writes brings index.json up to date"
                .into(),
        );
    }
    if let Some(disk) = error.disk() {
        return disk_hint(disk);
    }
    Some(match error {
        StoreError::NotAStore { path } => format!("bonded init {}", path.display()),
        StoreError::AlreadyAStore { path } => format!("bonded --store {} list", path.display()),
        StoreError::NotEmpty { .. } => "name a directory that is empty or does not exist".into(),
        StoreError::RootDamaged { .. } | StoreError::RootMissing { .. } => {
            "bonded fsck --repair, or restore bonded/ROOT from a copy of the store; the blobs are untouched".into()
        }
        StoreError::NewerFormat { .. } => {
            "use the bonded that wrote this store, or a newer one".into()
        }
        StoreError::OlderFormat { .. } => "bonded --store ANOTHER-DIRECTORY init".into(),
        StoreError::NoEpoch { newest, .. } => format!("bonded list --at {newest}"),
        StoreError::EpochDamaged { .. } => {
            "earlier states only are affected; the newest is read with: bonded list".into()
        }
        StoreError::Corrupt { .. } | StoreError::MissingBlob { .. } => CORRUPT_HINT.into(),
        StoreError::Facts { source: FactsError::InUse, .. } => {
            "wait for the other bonded facts rebuild to end, then run the same command again".into()
        }
        StoreError::Facts { path, .. } => format!(
            "allow this user to write {}, or remove it: nothing but time is lost",
            path.display()
        ),
        StoreError::NoRelease { .. } => "bonded list".into(),
        StoreError::NoArtifact { name, .. } => format!("bonded show {name}"),
        StoreError::LockTimeout { .. } => {
            "wait for that process, or give it longer with --wait SECONDS".into()
        }
        StoreError::Journal(_) => {
            "wait for the other run to end; a damaged journal may be moved away, it only saves work"
                .into()
        }
        StoreError::TitleTaken { .. } | StoreError::Spelling { .. } => {
            "give the new document a name of its own; published names never change".into()
        }
        _ => return None,
    })
}

/// What a person can do about a failed call on the file system.
pub(crate) fn disk_hint(error: &DiskError) -> Option<String> {
    let path = error.path().display();
    match error.fault() {
        DiskFault::NoSpace => Some(format!("free space where {path} lies, then run the same command again; nothing was lost")),
        DiskFault::FileTooLarge => {
            Some("raise the limit on file sizes (ulimit -f) or leave the file out, then run the same command again".into())
        }
        DiskFault::OverReaderLimit => {
            Some(format!("{path} is larger than anything of its kind; check that it is the right file"))
        }
        DiskFault::ReadOnly => Some("the file system is mounted read-only; use a store elsewhere with --store DIR".into()),
        DiskFault::PermissionDenied => Some(format!("allow this user to use {path}, or run as its owner")),
        _ => None,
    }
}

/// The error for an ordinary file that the command line names and that cannot be read.
pub(crate) fn unreadable(what: &str, file: &Path, source: DiskError) -> CliError {
    let hint = disk_hint(&source).unwrap_or_else(|| match source {
        DiskError::NotAFile { .. } => {
            format!("name a regular file; a directory or pipe is no {what}")
        }
        _ => format!("check the path: ls -l {}", file.display()),
    });
    CliError::environment(format!("cannot read {what} {}", file.display()))
        .because(source)
        .hint(hint)
}

/// An error of the server.
pub(crate) fn serve_error(error: ServeError) -> CliError {
    let hint = match &error {
        ServeError::AddressInUse { .. } => {
            Some("another port: --listen 127.0.0.1:0 takes a free one".to_owned())
        }
        ServeError::Bind { .. } => {
            Some("an address of this machine, with a port above 1023: --listen ADDR".to_owned())
        }
        ServeError::Store { source, .. } => store_hint(source),
        _ => None,
    };
    CliError::environment("cannot serve").because(error).maybe_hint(hint)
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let texts = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    texts.collect::<Vec<_>>().join(": ")
}

/// An error of ingest: what was given is wrong, or this machine failed.
pub(crate) fn ingest_error(error: IngestError) -> CliError {
    let kind = match &error {
        IngestError::Store(
            StoreError::TitleTaken { .. }
            | StoreError::FileAndDirectory { .. }
            | StoreError::Spelling { .. }
            | StoreError::TooMuchEvidence { .. }
            | StoreError::TooManyDocuments { .. },
        ) => ErrorKind::Usage,
        IngestError::Store(_) | IngestError::Source(_) | IngestError::Changed { .. } => {
            ErrorKind::Environment
        }
        _ => ErrorKind::Usage,
    };
    let hint = match (&error, error.disk()) {
        (IngestError::Store(store), _) => store_hint(store),
        (_, Some(disk)) => disk_hint(disk),
        (IngestError::OtherRelease { release, .. }, _) => Some(format!(
            "a published name never changes its bytes; take the inputs in as a new version: bonded show {release}"
        )),
        (
            IngestError::Image {
                path,
                source:
                    ImportError::NoRepository { .. }
                    | ImportError::NoName { .. }
                    | ImportError::Name { .. },
            },
            _,
        ) => Some(format!("--image {}=REPOSITORY:TAG", path.display())),
        (IngestError::Image { source, .. }, _) => Some(import_hint(source)),
        (IngestError::NoArtifacts { .. }, _) => {
            Some("name the release's files or their directory as well".into())
        }
        (IngestError::Evidence { .. } | IngestError::EvidenceTooLarge { .. }, _) => {
            Some("fetch the file again from where it was made, or leave it out".into())
        }
        _ => {
            Some("correct the input, then run the same command again; nothing was taken in".into())
        }
    };
    let what = match &error {
        IngestError::Store(StoreError::InDoubt { .. } | StoreError::IndexNotWritten { .. }) => {
            "took that in, but not to the very end"
        }
        _ => "cannot take that in",
    };
    CliError::new(kind, what).because(error).maybe_hint(hint)
}

/// An error of import: what was given is wrong, or this machine failed.
pub(crate) fn import_error(error: ImportError) -> CliError {
    let kind = match &error {
        ImportError::Store(_) | ImportError::Source(_) | ImportError::IndexChanged => {
            ErrorKind::Environment
        }
        _ => ErrorKind::Usage,
    };
    let hint = match (&error, error.disk()) {
        (ImportError::Store(store), _) => store_hint(store),
        (_, Some(disk)) => disk_hint(disk),
        _ => Some(import_hint(&error)),
    };
    let what = match &error {
        ImportError::Store(StoreError::InDoubt { .. } | StoreError::IndexNotWritten { .. })
        | ImportError::IndexChanged => "took that in, but not to the very end",
        _ => "cannot take these images in",
    };
    CliError::new(kind, what).because(error).maybe_hint(hint)
}

fn import_hint(error: &ImportError) -> String {
    match error {
        ImportError::Compressed { path, with } => {
            let path = path.display();
            format!("{with} -dc {path} > image.tar, then: bonded import image.tar")
        }
        ImportError::NoRepository { tag } => {
            format!("--repository NAME, for example: --repository example.com/app gives example.com/app:{tag}")
        }
        ImportError::NoName { digest } => format!("--reference {digest} --name REPOSITORY:TAG"),
        ImportError::Name { .. } | ImportError::NameForSeveral { .. } => {
            "--reference REF --name REPOSITORY:TAG".to_owned()
        }
        ImportError::NoSubject { .. } => "one image at a time: --reference REF".to_owned(),
        ImportError::NoReference { .. } => "--reference with one of these, or none for all".to_owned(),
        ImportError::NameTaken { .. } => {
            "a published name never changes what it stands for; give the image another tag: --reference REF --name REPOSITORY:TAG"
                .to_owned()
        }
        ImportError::OnlyReleases { .. } => "--releases".to_owned(),
        ImportError::HoldsRelease { .. } => "take it in as what it is: bonded import LAYOUT --releases".to_owned(),
        ImportError::StoreWithoutIndex { path } => {
            let path = path.display();
            format!("bonded --store {path} export --to LAYOUT, or: bonded --store {path} index on")
        }
        ImportError::IsStore { .. } => "bonded import --adopt".to_owned(),
        ImportError::IndexChanged => "wait for the other program to end, then: bonded import --adopt".to_owned(),
        ImportError::Json { path, .. } | ImportError::TooLarge { path, .. } => {
            let path = path.display();
            format!("write the layout again from where it came; a store's own index.json may be moved away, it is made again: mv {path} {path}.foreign")
        }
        ImportError::UnknownRelease { .. } => {
            "take that entry out of index.json; releases come in with bonded ingest".to_owned()
        }
        _ => "write the layout or archive again from where it came, then run the same command again; nothing was taken in"
            .to_owned(),
    }
}

/// An error of mirroring.
pub(crate) fn mirror_error(error: MirrorError) -> CliError {
    let kind = match &error {
        MirrorError::Config(_) | MirrorError::Plan(_) => ErrorKind::Usage,
        _ if error.is_remote() => ErrorKind::Remote,
        _ => ErrorKind::Environment,
    };
    let hint = match &error {
        MirrorError::Destination { at, fault } => fault_hint(at, fault.kind),
        MirrorError::Differs { .. } | MirrorError::ReleaseDiffers { .. } => Some(
            "somebody else wrote there; find out who, and remove it by hand if it is wrong"
                .to_owned(),
        ),
        MirrorError::Store { source, .. } => store_hint(source),
        MirrorError::Source { .. } => Some(CORRUPT_HINT.to_owned()),
        MirrorError::Plan(_) => Some("make a new plan: bonded mirror plan".to_owned()),
        MirrorError::Lost { .. } => Some("run bonded mirror apply again; it writes what is missing".to_owned()),
        MirrorError::Foreign { .. } | MirrorError::TooLarge { .. } => {
            Some("look at that object; remove it by hand if it is not bonded's".to_owned())
        }
        MirrorError::EvidenceChanged { .. } | MirrorError::ReleaseChanged { .. } => {
            Some("run the same command again: it reaches the verdict on what is there now".to_owned())
        }
        MirrorError::Journal { source, .. } if disk_behind(source.as_ref()).is_some() => {
            disk_behind(source.as_ref()).and_then(disk_hint)
        }
        MirrorError::Journal { .. } => {
            Some("wait for the other run to end; a damaged journal may be moved away, it only saves work".to_owned())
        }
        MirrorError::Config(_) => Some("bonded config show".to_owned()),
        _ => None,
    };
    CliError::new(kind, "cannot mirror everything").because(error).maybe_hint(hint)
}

/// The failed call on the file system at the bottom of an error.
fn disk_behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a DiskError> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let of_journal = error.downcast_ref::<JournalError>().and_then(JournalError::disk);
        let of_store = error.downcast_ref::<StoreError>().and_then(StoreError::disk);
        error.downcast_ref::<DiskError>().or(of_journal).or(of_store)
    })
}

fn fault_hint(at: &At, kind: FaultKind) -> Option<String> {
    let name = &at.name;
    Some(match kind {
        FaultKind::Unreachable => {
            format!("check that {} answers, then: bonded mirror apply --to {name}", at.url)
        }
        FaultKind::Refused => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do there".into()
        }
        FaultKind::NoSuchBucket => "make the bucket first".into(),
        FaultKind::NoSpace => {
            "free space there; what was written stays, and the next run goes on".into()
        }
        FaultKind::Server => {
            format!("wait, then: bonded mirror apply --to {name}; finished steps are not repeated")
        }
        _ => return None,
    })
}
