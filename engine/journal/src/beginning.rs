//! A segment's beginning: header and checkpoint, on the disk whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, File, Syncer};
use crate::record::{Frame, Head, Kind};
use crate::resume::Checkpoint;
use crate::segment::{self, Header};

/// A segment that is open for appending.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) file: Box<dyn File>,
    pub(crate) syncer: Arc<dyn Syncer>,
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    pub(crate) salt: u32,
    pub(crate) bytes: u64,
}

/// Why a segment could not be begun.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: io::Error,
    /// Whether the segment may be on the disk all the same.
    pub(crate) begun: bool,
}

/// Writes the segment under a draft's name, syncs it, gives it its name, syncs the folder. A
/// segment of the same number is replaced.
pub(crate) fn begin(
    disk: &dyn Disk,
    folder: &Path,
    header: Header,
    checkpoint: &Checkpoint,
) -> Result<Beginning, Failure> {
    let draft = segment::draft_path_of(folder, header.number);
    let path = segment::path_of(folder, header.number);
    let written = write(disk, &draft, header, checkpoint);
    let (file, syncer, header, salt, bytes) = written.map_err(|error| {
        // What cannot be removed now is removed when the journal is opened.
        let _ = disk.remove(&draft);
        Failure { error, begun: false }
    })?;
    disk.rename(&draft, &path)
        .and_then(|()| disk.sync_folder(folder))
        .map_err(|error| Failure { error, begun: true })?;
    Ok(Beginning { file, syncer, path, header, salt, bytes })
}

type Written = (Box<dyn File>, Arc<dyn Syncer>, Header, u32, u64);

fn write(
    disk: &dyn Disk,
    draft: &Path,
    header: Header,
    checkpoint: &Checkpoint,
) -> io::Result<Written> {
    let mut file = create(disk, draft)?;
    let (mut bytes, salt) = header.encode();
    let mut frame = Frame::default();
    serde_json::to_writer(frame.begin(), checkpoint)?;
    let position = header.first_position - 1;
    let head = Head::note(Kind::Checkpoint, 0, position, header.first_sequence);
    let sealed = frame.seal(&head, salt, bytes.len() as u64);
    bytes.extend_from_slice(sealed.ok_or_else(|| io::Error::other("a checkpoint beyond 4 GiB"))?);
    file.write_all(&bytes)?;
    file.sync()?;
    let syncer = file.syncer()?;
    Ok((file, syncer, header, salt, bytes.len() as u64))
}

/// Makes a draft in the place of one that was left over.
pub(crate) fn create(disk: &dyn Disk, draft: &Path) -> io::Result<Box<dyn File>> {
    match disk.create(draft) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(draft)?;
            disk.create(draft)
        }
        made => made,
    }
}
