//! Where a folder is made that will take a day's place, and where what it replaced waits.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use journal::disk::Disk;

use crate::SinkError;
use crate::parquet::name::FileName;
use crate::parquet::passes;
use crate::parquet::{NAME, failure};

/// A folder on the archive's file system, with which its days can be exchanged in one step.
///
/// Invariant: what lies in it counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(PathBuf);

impl Place {
    /// The places there may be, the better one first.
    ///
    /// Beside the manifest no glob below `DATA/parquet` finds anything of it, however deep. Where
    /// `DATA/parquet` is a disk of its own the place has to be there: hidden, and outside of every
    /// table's folder.
    pub(super) fn all(data: &Path) -> [Self; 2] {
        [data.join("sinks").join(NAME).join("merging"), data.join(NAME).join(HIDDEN)].map(Self)
    }

    /// The first place that the file system can exchange with a folder of the archive; `None` if
    /// there is none. Tried with empty folders.
    pub(super) fn find(disk: &dyn Disk, data: &Path) -> Result<Option<Self>, SinkError> {
        for place in Self::all(data) {
            if place.is_able(disk, data)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn is_able(&self, disk: &dyn Disk, data: &Path) -> Result<bool, SinkError> {
        let (root, tried) = (data.join(NAME), data.join(NAME).join(TRIED));
        let failed = |error| failure::io(disk, "preparing", &self.0, error);
        disk.create_folder(&self.next()).map_err(failed)?;
        disk.create_folder(&self.scratch()).map_err(failed)?;
        disk.create_folder(&tried).map_err(failed)?;
        let able = match disk.exchange(&tried, &self.next()) {
            Ok(()) => true,
            Err(error) if is_unable(&error) => {
                tracing::info!("{} is no place to merge days in: {error}", self.0.display());
                false
            }
            Err(error) => return Err(failed(error)),
        };
        disk.sync_folder(&self.0).and_then(|()| disk.sync_folder(&root)).map_err(failed)?;
        disk.remove_folder(&tried).map_err(failed)?;
        Ok(able)
    }

    /// The folder that will take the day's place.
    pub(super) fn next(&self) -> PathBuf {
        self.0.join("next")
    }

    /// Where passes leave what the next one reads.
    pub(super) fn scratch(&self) -> PathBuf {
        self.0.join("scratch")
    }

    /// The merged file until it is whole.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.next().join(UNFINISHED)
    }

    /// Makes an exchange with a folder in it durable, as far as it is there.
    pub(super) fn sync(&self, disk: &dyn Disk) -> Result<(), SinkError> {
        sync_if_there(disk, &self.0)
    }

    /// Removes what lies there: a folder that was exchanged, or the rest of a merge. What this
    /// sink did not make stays, and is an error.
    pub(super) fn sweep(&self, disk: &dyn Disk) -> Result<(), SinkError> {
        let failed = |error| failure::io(disk, "sweeping", &self.0, error);
        let folders = disk.list(&self.0).map_err(failed)?;
        if !folders.is_empty() {
            disk.sync_folder(&self.0).map_err(failed)?;
        }
        for folder in folders.iter().filter(|entry| entry.folder) {
            let mut strange = None;
            for entry in disk.list(&folder.path).map_err(failed)? {
                if entry.folder || !is_ours(&entry.path) {
                    strange = Some(entry.path);
                } else {
                    disk.remove(&entry.path).map_err(failed)?;
                }
            }
            if let Some(strange) = strange {
                let doing = format!("sweeping {}", self.0.display());
                let what = "it is not of this sink: move it elsewhere, or no day is merged";
                return Err(failure::stop(doing, format!("{}: {what}", strange.display())));
            }
            disk.sync_folder(&folder.path).map_err(failed)?;
        }
        Ok(())
    }
}

/// Makes the names in a folder durable; fine if there is no such folder.
pub(super) fn sync_if_there(disk: &dyn Disk, folder: &Path) -> Result<(), SinkError> {
    match disk.sync_folder(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failure::io(disk, "syncing", folder, error))
        }
        _ => Ok(()),
    }
}

/// Whether the file system cannot exchange these two folders at all.
pub(super) fn is_unable(error: &io::Error) -> bool {
    use ErrorKind::{CrossesDevices, InvalidInput, Unsupported};
    matches!(error.kind(), InvalidInput | Unsupported | CrossesDevices)
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == UNFINISHED || FileName::is_ours(name) || passes::is_pass(name)
}

/// Below `DATA/parquet`.
pub(in crate::parquet) const HIDDEN: &str = ".merging";
/// Below `DATA/parquet`, for a moment and empty.
const TRIED: &str = ".exchange";
const UNFINISHED: &str = ".merged.tmp";
