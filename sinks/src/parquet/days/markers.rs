//! The markers of an exchange: how they are made, how long they stand, and how they go.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use journal::disk::Disk;
use schema::Now;

use crate::SinkError;
use crate::parquet::failure;

/// Markers that stand in the archive.
///
/// Invariant: the manifest knows none of them.
#[derive(Debug, Default)]
pub(super) struct Markers {
    paths: BTreeSet<PathBuf>,
    /// For how long yet, as steps count it.
    left: Duration,
    /// When the last step was.
    before: Option<Duration>,
}

impl Markers {
    /// Those that stand there will do so for `life`, from the next step on.
    pub(super) fn new(paths: BTreeSet<PathBuf>, life: Duration) -> Self {
        Self { paths, left: life, before: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Lets time pass, and removes them once it is over; with them a folder that is empty then.
    ///
    /// A step counts for [`STEP_MAX`] at most. Where the machine stood still, or this program had
    /// no turn, readers may have had none either.
    pub(super) fn step(
        &mut self,
        disk: &dyn Disk,
        now: Now,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), SinkError> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let before = self.before.replace(now.monotonic).unwrap_or(now.monotonic);
        let passed = now.monotonic.saturating_sub(before).min(STEP_MAX);
        self.left = self.left.saturating_sub(passed);
        if self.left > Duration::ZERO {
            return Ok(());
        }
        self.left = TRY_AGAIN;
        while let Some(path) = self.paths.first().cloned() {
            match disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failure::io(disk, "removing", &path, error));
                }
                _ => self.paths.remove(&path),
            };
            let folder = path.parent().expect("a marker lies in a folder");
            let last = self.paths.first().is_none_or(|next| next.parent() != Some(folder));
            // A day that was removed; a late row makes it anew.
            if last && disk.remove_folder(folder).is_ok() {
                folders.remove(folder);
            }
        }
        Ok(())
    }
}

/// Makes a marker in `folder` for each name; their names are not synced yet.
///
/// Their bytes never are: what a power cut makes of them is no Parquet file either, and the next
/// start removes it.
pub(super) fn make(
    disk: &dyn Disk,
    folder: &Path,
    names: &[String],
    text: &str,
) -> Result<(), SinkError> {
    for name in names {
        let path = folder.join(name);
        let made = disk.create(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        made.map_err(|error| failure::io(disk, "marking", &path, error))?;
    }
    Ok(())
}

const STEP_MAX: Duration = Duration::from_secs(1);
const TRY_AGAIN: Duration = Duration::from_secs(60);
