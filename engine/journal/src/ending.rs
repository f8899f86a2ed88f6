//! How the last run of the journal ended: its last segment, what is kept of it, what is cut off.

use std::io::{self, Read, Write};
use std::path::Path;

use schema::Digest;

use crate::beginning;
use crate::disk::Disk;
use crate::error::{ErrorKind, JournalError};
use crate::record::Kind;
use crate::recovery::{Torn, refused};
use crate::resume::{Checkpoint, Resume, ShardFact, Watermark, WatermarkNote};
use crate::scanner::{Found, Scanner};
use crate::segment::{self, Header};

/// The last segment, read to its end.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) header: Header,
    pub(crate) watermark: Watermark,
    pub(crate) resume: Resume,
    pub(crate) position: u64,
    pub(crate) sequence: i64,
    /// Where the records end that can be read.
    kept_bytes: u64,
    /// Where the last of them ends that is not a watermark.
    pub(crate) facts_bytes: u64,
    /// So much is durable by what the segment says of itself.
    durable_bytes: u64,
    /// So much was durable when the segment began.
    pub(crate) beginning_bytes: u64,
    file_bytes: u64,
}

impl Ending {
    /// Reads the segment to its end, a tear included.
    ///
    /// # Errors
    /// `Damaged` when bytes that were durable are not what was written.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Self, JournalError> {
        let mut scanner = Scanner::open(disk, path)?;
        let mut ending = Self::beginning(&mut scanner)?;
        let mut digest = Digest::default();
        loop {
            let (head, payload) = match scanner.next()? {
                Found::Record(head, payload) => (head, payload),
                Found::End => break,
                Found::Bad(what) => {
                    let bytes = scanner.promised_bytes()?;
                    if bytes > scanner.offset() {
                        let what = format!("{what}, and {bytes} bytes of it were durable");
                        return Err(scanner.damaged(what));
                    }
                    break;
                }
            };
            match head.kind {
                Kind::Batch => match scanner.batch(&head, payload) {
                    Ok(batch) => ending.resume.batch(&batch, &mut digest),
                    // Rows of a table that this program does not know have no identity for it.
                    Err(error) if *error.kind() == ErrorKind::Newer => {}
                    Err(error) => return Err(error),
                },
                Kind::Shard => {
                    ending.resume.shard(&scanner.note::<ShardFact>(&payload)?);
                }
                Kind::Watermark => {
                    let note: WatermarkNote = scanner.note(&payload)?;
                    ending.resume.alive(&note);
                    ending.watermark = note.watermark;
                    ending.durable_bytes = ending.durable_bytes.max(note.bytes);
                }
                Kind::Schema | Kind::Checkpoint | Kind::Later(_) => {}
            }
            ending.kept_bytes = scanner.offset();
            if head.kind != Kind::Watermark {
                ending.facts_bytes = scanner.offset();
            }
        }
        ending.position = scanner.position();
        ending.sequence = scanner.sequence();
        ending.file_bytes = scanner.file_bytes()?;
        Ok(ending)
    }

    /// The checkpoint. It was durable before the segment had its name: it must be there.
    fn beginning(scanner: &mut Scanner) -> Result<Self, JournalError> {
        let payload = match scanner.next()? {
            Found::Record(head, payload) if head.kind == Kind::Checkpoint => payload,
            Found::Record(..) | Found::End => return Err(scanner.damaged("it has no checkpoint")),
            Found::Bad(what) => return Err(scanner.damaged(what)),
        };
        let checkpoint: Checkpoint = scanner.note(&payload)?;
        let bytes = scanner.offset();
        Ok(Self {
            header: scanner.header().clone(),
            watermark: checkpoint.watermark,
            resume: checkpoint.resume,
            position: scanner.position(),
            sequence: scanner.sequence(),
            kept_bytes: bytes,
            facts_bytes: bytes,
            durable_bytes: bytes,
            beginning_bytes: bytes,
            file_bytes: bytes,
        })
    }

    /// Makes what can be read durable and cuts off the rest.
    ///
    /// What a watermark covers is durable. What is beyond is copied: if an earlier process died of
    /// a failed sync, the kernel may show bytes that are not on the disk, and a second sync would
    /// claim that they are. Trailing watermarks alone are not worth a copy: they are cut off, and
    /// the next segment's checkpoint says what they said.
    pub(crate) fn secure(
        &self,
        disk: &dyn Disk,
        folder: &Path,
        path: &Path,
    ) -> Result<Option<Torn>, JournalError> {
        if self.facts_bytes > self.durable_bytes {
            copy(disk, folder, path, self.header.number, self.facts_bytes)
                .map_err(|error| refused(disk, "copy", path, error, self.facts_bytes))?;
        } else if self.file_bytes > self.facts_bytes {
            disk.truncate(path, self.facts_bytes)
                .map_err(|error| JournalError::io("cut", path, error))?;
        }
        let cut_bytes = self.file_bytes - self.kept_bytes;
        let kept_bytes = self.facts_bytes;
        let torn = Torn { segment: path.to_owned(), kept_bytes, cut_bytes };
        Ok((cut_bytes > 0).then_some(torn))
    }
}

/// Puts a copy of the first `bytes` in the file's place, durably.
fn copy(disk: &dyn Disk, folder: &Path, path: &Path, number: u64, bytes: u64) -> io::Result<()> {
    let draft = segment::draft_path_of(folder, number);
    let mut from = disk.open(path)?.take(bytes);
    let mut to = beginning::create(disk, &draft)?;
    let copied = io::copy(&mut from, &mut to)?;
    if copied != bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    to.flush()?;
    to.sync()?;
    disk.rename(&draft, path)?;
    disk.sync_folder(folder)
}
