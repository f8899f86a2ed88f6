//! An exchange that the manifest announces and does not end: whether it has happened.

use std::path::Path;

use journal::disk::Disk;

use super::place::{Place, sync_if_there};
use crate::SinkError;
use crate::parquet::manifest::{Contents, Exchange};
use crate::parquet::{NAME, failure, name};

/// Decides whether a pending exchange has happened, and makes that sure. `empty` says that no
/// file of this sink was found at all.
pub(in crate::parquet) fn settle(
    disk: &dyn Disk,
    data: &Path,
    contents: &mut Contents,
    empty: bool,
) -> Result<(), SinkError> {
    let Some(exchange) = &contents.pending else { return Ok(()) };
    let root = data.join(NAME);
    sync_above(disk, data, &exchange.folder)?;
    let happened = happened(disk, &root, exchange)?;
    // What was exchanged lies beside the archive and is about to be swept: a folder that merely
    // is not there at the moment must not be taken for one that was not exchanged.
    if !happened && empty && exchange.file.is_some() {
        let what = format!(
            "no file of the archive is there, so whether {} was merged cannot be known: if {} is \
             a disk, mount it; to begin anew, move DATA/sinks/parquet away",
            exchange.folder,
            root.display()
        );
        return Err(failure::stop(format!("opening {}", root.display()), what));
    }
    if happened {
        contents.settle();
    }
    contents.pending = None;
    Ok(())
}

/// What the manifest says, if a pending exchange is as it seems at the moment. Changes nothing on
/// the disk, so that it may run beside a recorder.
pub(in crate::parquet) fn look(
    disk: &dyn Disk,
    data: &Path,
    contents: &mut Contents,
) -> Result<(), SinkError> {
    if let Some(exchange) = &contents.pending
        && happened(disk, &data.join(NAME), exchange)?
    {
        contents.settle();
    }
    Ok(())
}

/// Whether the exchange has happened. The folder holds the merged file, or for a removed day the
/// marker of that name; or it holds what is replaced, never a part.
pub(super) fn happened(
    disk: &dyn Disk,
    root: &Path,
    exchange: &Exchange,
) -> Result<bool, SinkError> {
    let live = root.join(&exchange.folder);
    let listed = disk.list(&live).map_err(|error| failure::io(disk, "listing", &live, error))?;
    let holds = |below: &String| {
        let path = root.join(below);
        listed.iter().any(|entry| entry.path == path)
    };
    let merged = format!("{}/{}", exchange.folder, name::merged(exchange.number));
    // Of a day that is removed somebody may have removed all files already.
    let none = || exchange.file.is_none() && !exchange.replaces.iter().any(holds);
    Ok(holds(&merged) || none())
}

/// Makes an exchange of the folder durable.
pub(super) fn sync_above(disk: &dyn Disk, data: &Path, folder: &str) -> Result<(), SinkError> {
    let live = data.join(NAME).join(folder);
    sync_if_there(disk, live.parent().unwrap_or(data))?;
    Place::all(data).iter().try_for_each(|place| place.sync(disk))
}
