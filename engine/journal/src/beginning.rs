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
    /// Bytes of the beginning.
    pub(crate) needed_bytes: u64,
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
    let (bytes, salt) = encode(&header, checkpoint);
    let needed_bytes = bytes.len() as u64;
    let failed = |begun| move |error| Failure { error, needed_bytes, begun };
    let (file, syncer) = write(disk, &draft, &bytes).map_err(|error| {
        // What cannot be removed now is removed when the journal is opened.
        let _ = disk.remove(&draft);
        failed(false)(error)
    })?;
    disk.rename(&draft, &path).and_then(|()| disk.sync_folder(folder)).map_err(failed(true))?;
    Ok(Beginning { file, syncer, path, header, salt, bytes: needed_bytes })
}

/// Header and checkpoint, and the salt of the segment's records.
fn encode(header: &Header, checkpoint: &Checkpoint) -> (Vec<u8>, u32) {
    let (mut bytes, salt) = header.encode();
    let mut frame = Frame::default();
    serde_json::to_writer(frame.begin(), checkpoint).expect("a checkpoint is plain JSON");
    let position = header.first_position - 1;
    let head = Head::note(Kind::Checkpoint, 0, position, header.first_sequence);
    let sealed = frame.seal(&head, salt, bytes.len() as u64);
    bytes.extend_from_slice(sealed.expect("a checkpoint is bounded far below 4 GiB"));
    (bytes, salt)
}

type Open = (Box<dyn File>, Arc<dyn Syncer>);

fn write(disk: &dyn Disk, draft: &Path, bytes: &[u8]) -> io::Result<Open> {
    let mut file = create(disk, draft)?;
    file.write_all(bytes)?;
    file.sync()?;
    let syncer = file.syncer()?;
    Ok((file, syncer))
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
