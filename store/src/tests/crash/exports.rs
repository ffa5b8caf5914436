//! An export is there whole or not at all, whatever happens while it is written.

use std::collections::BTreeSet;
use std::path::Path;

use bonded_model::Digest;

use super::{INPUTS, Loss, Memory, ingest, make_durable, open, seeds, with_store, write_input};
use crate::disk::faulty::Failure;
use crate::disk::{Cloned, Disk, DiskFault};
use crate::export::{ExportError, ExportRequest, Form, Referrers, What, export};

const TO: &str = "/disks/out";

fn write(disk: &Disk, form: Form) -> Result<(), ExportError> {
    let snapshot = open(disk)?.snapshot()?;
    let request = ExportRequest {
        what: What::Everything,
        to: Path::new(TO),
        form,
        referrers: Referrers::All,
    };
    export(&snapshot, &request, &()).map(drop)
}

/// Every file of the export that is there, with its bytes; `None` if none is.
fn look(memory: &Memory) -> Option<Vec<(String, Vec<u8>)>> {
    let disk = memory.after_kill().disk();
    let mut found = Vec::new();
    let mut open = vec![Path::new(TO).to_owned()];
    disk.read_kind(Path::new(TO)).ok()?;
    while let Some(next) = open.pop() {
        match disk.read(&next, u64::MAX) {
            Ok(bytes) => found.push((next.display().to_string(), bytes)),
            Err(_) => open.extend(disk.list(&next).unwrap().into_iter().map(|(path, _)| path)),
        }
    }
    found.sort();
    Some(found)
}

/// What lies where the export goes, but for the export.
fn beside(memory: &Memory) -> usize {
    let entries = memory.disk().list(Path::new("/disks")).unwrap();
    entries.iter().filter(|(path, _)| path != Path::new(TO)).count()
}

fn survives_everything(form: Form) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let memory = with_store(&Memory::new(Cloned::Unsupported), |disk| {
        write_input(disk, "a", b"a");
        let sums = format!("{}  a\n", Digest::sha256_of(b"a").hex());
        write_input(disk, "SHA256SUMS", sums.as_bytes());
        ingest(disk, "demo@v1").unwrap();
        make_durable(disk);
    });
    assert!(memory.disk().list(Path::new(INPUTS)).is_ok());
    let undisturbed = memory.after_kill();
    pool.install(|| write(&undisturbed.disk(), form)).unwrap();
    let whole = look(&undisturbed);
    let before = beside(&memory);
    let mut seen = BTreeSet::new();
    for how in [Failure::Crash, Failure::NoSpaceOnce, Failure::IoOnce] {
        for at in 1.. {
            let memory = memory.after_kill();
            let disk = memory.disk().failing(at, how);
            let result = pool.install(|| write(&disk, form));
            let said = format!("{form:?}, {how:?} at call {at}: {result:?}");
            let losses = seeds().map(|seed| Loss::Random(at.wrapping_mul(1009) + seed));
            let losses: Vec<_> = losses.chain([Loss::AllUnsynced]).collect();
            if seen.insert(format!("{} {}", result.is_ok(), memory.describe())) {
                for found in losses.into_iter().map(|loss| memory.after_power_loss(loss)) {
                    let found = look(&found);
                    assert!(found == whole || (found.is_none() && result.is_err()), "{said}");
                }
            }
            let now = look(&memory);
            assert!(now == whole || (now.is_none() && result.is_err()), "{said}");
            if let (Err(error), false) = (&result, how == Failure::Crash) {
                let named = error.disk().map(crate::disk::DiskError::fault);
                let full = how == Failure::NoSpaceOnce;
                let fault = if full { DiskFault::NoSpace } else { DiskFault::Other };
                assert_eq!(named, Some(fault), "{said}");
                assert_eq!(beside(&memory), before, "{said}");
            }
            if now.is_none() {
                pool.install(|| write(&memory.disk(), form)).unwrap();
                assert_eq!(look(&memory), whole, "{said}, repeated");
            }
            if disk.calls() < at {
                break;
            }
        }
    }
}

#[test]
fn exporting_a_directory() {
    survives_everything(Form::Directory);
}

#[test]
fn exporting_an_archive() {
    survives_everything(Form::Archive);
}
