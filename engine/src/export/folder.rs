//! The folder that an export goes to: one export a folder, one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::output;
use super::request::Request;
use super::trouble;
use crate::failure::{Failure, FailureKind};

/// The folder, held until it is dropped; the system lets go when the process dies.
pub(super) struct Folder<'a> {
    out: &'a Path,
    request: &'a Request,
    _lock: File,
}

impl<'a> Folder<'a> {
    /// Takes the folder, which is made if it is missing, and removes what an export that ended
    /// early has left of a file.
    pub(super) fn open(out: &'a Path, request: &'a Request) -> Result<Self, Failure> {
        let failed = |error: io::Error| trouble::writing(out, &error);
        fs::create_dir_all(out).map_err(failed)?;
        if Manifest::read(out)?.is_none() {
            check_empty(out)?;
        }
        let lock = out.join(LOCK);
        let options = OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
        let held = options.map_err(|error| trouble::writing(&lock, &error))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let sentence = format!(
                    "another export writes to {}: wait for it, or choose another --out",
                    out.display()
                );
                return Err(Failure::new(FailureKind::InUse, sentence));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let folder = Self { out, request, _lock: held };
        folder.sweep(out).map_err(failed)?;
        Ok(folder)
    }

    /// The manifest of the export that goes on here, or a new one.
    pub(super) fn manifest(&self) -> Result<Manifest, Failure> {
        let Some(manifest) = Manifest::read(self.out)? else {
            return Ok(Manifest::new(self.request.clone()));
        };
        match manifest.request.difference(self.request) {
            None => Ok(manifest),
            Some(difference) => Err(trouble::usage(format_args!(
                "{} holds another export ({difference}): ask the same, or choose another --out",
                self.out.display()
            ))),
        }
    }

    /// Removes what is not part of an export.
    pub(super) fn close(self) {
        // What stays is hidden and does no harm.
        let _ = self.sweep(self.out);
        let _ = fs::remove_file(self.out.join(LOCK));
    }

    /// Removes hidden unfinished files and the rows that were being sorted.
    fn sweep(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && folder == self.out && name == SORT {
                fs::remove_dir_all(entry.path())?;
            } else if kind.is_dir() {
                self.sweep(&entry.path())?;
            } else if kind.is_file() && output::is_unfinished(&name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Where rows are sorted that memory does not hold.
pub(super) fn sort_folder(out: &Path) -> PathBuf {
    out.join(SORT)
}

/// A folder without a manifest must have nothing that is not an export's.
fn check_empty(out: &Path) -> Result<(), Failure> {
    let reading = |error: io::Error| match error.kind() {
        ErrorKind::NotADirectory => trouble::usage(format_args!("{} is no folder", out.display())),
        _ => trouble::reading(out, &error),
    };
    for entry in fs::read_dir(out).map_err(reading)? {
        let name = entry.map_err(reading)?.file_name();
        let name = name.to_string_lossy();
        if name != LOCK && name != SORT && !output::is_unfinished(&name) {
            return Err(trouble::usage(format_args!(
                "{} holds {name}, which is no export's: choose an empty or a new folder for --out",
                out.display()
            )));
        }
    }
    Ok(())
}

const LOCK: &str = ".export.lock";
const SORT: &str = ".export.sort";
