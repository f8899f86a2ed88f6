//! Reads a segment record by record, and believes nothing without its checksum.

use std::collections::HashMap;
use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};

use schema::Batch;

use crate::columns::{Misfit, Stored};
use crate::disk::{Disk, Source};
use crate::error::{ErrorKind, JournalError};
use crate::record::{self, Head, Kind, RawHead};
use crate::resume::WatermarkNote;
use crate::segment::Header;

/// A segment being read, from its first record to its last. Positions and sequences are contiguous:
/// a batch that breaks this is damage.
pub(crate) struct Scanner {
    source: Box<dyn Source>,
    path: PathBuf,
    header: Header,
    salt: u32,
    offset: u64,
    position: u64,
    sequence: i64,
    tables: HashMap<u16, Result<Stored, String>>,
}

/// What stands at the scanner's offset.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole record; the scanner is past it.
    Record(Head, Vec<u8>),
    /// The end of the file.
    End,
    /// Not a record; the scanner stays. What is wrong, in words.
    Bad(&'static str),
}

impl Scanner {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, JournalError> {
        let mut source = disk.open(path).map_err(|error| JournalError::io("open", path, error))?;
        let mut bytes = Vec::new();
        let mut front = Read::by_ref(&mut source).take(Header::BYTES as u64);
        front.read_to_end(&mut bytes).map_err(|error| JournalError::io("read", path, error))?;
        let (header, salt) = Header::decode(&bytes, path)?;
        Ok(Self {
            source,
            path: path.to_owned(),
            salt,
            offset: Header::BYTES as u64,
            position: header.first_position - 1,
            sequence: header.first_sequence,
            header,
            tables: HashMap::new(),
        })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Where the next record begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The position of the last batch read, or of the last one before the segment.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The sequence that the next batch must begin with.
    pub(crate) fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Bytes of the file now.
    pub(crate) fn file_bytes(&self) -> Result<u64, JournalError> {
        Source::bytes(&*self.source).map_err(|error| JournalError::io("read", &self.path, error))
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Found, JournalError> {
        let found = self.read(self.offset);
        let found = found.map_err(|error| JournalError::io("read", &self.path, error))?;
        let (raw, head, payload) = match found {
            Ok(found) => found,
            Err(nothing) => return Ok(nothing),
        };
        self.follow(&head)?;
        if head.kind == Kind::Schema {
            let stored = match Stored::read(&payload) {
                Ok(stored) => Ok(stored),
                Err(Misfit::Newer(what)) => Err(what),
                Err(Misfit::Damaged(what)) => return Err(self.damaged(what)),
            };
            self.tables.insert(head.table, stored);
        }
        self.offset += raw.record_bytes();
        Ok(Found::Record(head, payload))
    }

    /// Checks that a record is the next one, and counts it.
    fn follow(&mut self, head: &Head) -> Result<(), JournalError> {
        let due = self.position + u64::from(head.kind == Kind::Batch);
        if head.position != due || head.sequence != self.sequence {
            return Err(self.damaged(format!(
                "position {} and sequence {} stand where {due} and {} are due",
                head.position, head.sequence, self.sequence
            )));
        }
        self.position = head.position;
        self.sequence += i64::from(head.rows);
        Ok(())
    }

    /// The batch in a record that [`next`](Self::next) returned.
    pub(crate) fn batch(&self, head: &Head, payload: Vec<u8>) -> Result<Batch, JournalError> {
        self.stored(head)?.batch(head, payload).map_err(|misfit| self.misfit(misfit))
    }

    /// The table of a batch record, as the segment holds it.
    pub(crate) fn stored(&self, head: &Head) -> Result<&Stored, JournalError> {
        match self.tables.get(&head.table) {
            Some(Ok(stored)) => Ok(stored),
            Some(Err(what)) => Err(self.misfit(Misfit::Newer(what.clone()))),
            None => Err(self.damaged(format!("table {} has no schema", head.table))),
        }
    }

    pub(crate) fn misfit(&self, misfit: Misfit) -> JournalError {
        match misfit {
            Misfit::Newer(what) => {
                let what = format!("{}: {what}", self.path.display());
                JournalError::new(ErrorKind::Newer, what)
            }
            Misfit::Damaged(what) => self.damaged(what),
        }
    }

    /// Damage at the scanner's offset.
    pub(crate) fn damaged(&self, what: impl Into<String>) -> JournalError {
        JournalError::damaged(&self.path, self.offset, what)
    }

    /// After [`Found::Bad`]: how many bytes of this segment the watermarks beyond say were durable.
    /// More than [`offset`](Self::offset), and what is bad here was once good: damage. Otherwise
    /// it is a tear, which can only lie in what was not yet durable.
    pub(crate) fn promised_bytes(&mut self) -> Result<u64, JournalError> {
        let found = self.find_promise();
        found.map_err(|error| JournalError::io("read", &self.path, error))
    }

    fn find_promise(&mut self) -> io::Result<u64> {
        let mut promised = 0;
        let mut window = vec![0; WINDOW_BYTES];
        let mut from = self.offset + 8;
        loop {
            let read = read_up_to(&mut *self.source, from, &mut window)?;
            let eights = window.get(..read).unwrap_or_default().chunks(8);
            for (at, _) in (from..)
                .step_by(8)
                .zip(eights)
                .filter(|(_, eight)| eight.starts_with(&record::MAGIC))
            {
                promised = promised.max(self.promise(at)?.unwrap_or(0));
            }
            if read < window.len() {
                return Ok(promised);
            }
            from += read as u64;
        }
    }

    /// What the watermark at this offset promises, if there is one.
    fn promise(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let mut front = [0; Head::BYTES];
        if read_up_to(&mut *self.source, offset, &mut front)? < front.len() {
            return Ok(None);
        }
        let Some(raw) = RawHead::decode(&front).filter(|raw| raw.kind() == Kind::Watermark) else {
            return Ok(None);
        };
        let Ok((_, _, payload)) = self.read(offset)? else { return Ok(None) };
        debug_assert_eq!(payload.len(), raw.payload_bytes());
        Ok(serde_json::from_slice::<WatermarkNote>(&payload).ok().map(|note| note.bytes))
    }

    fn read(&mut self, offset: u64) -> io::Result<Result<(RawHead, Head, Vec<u8>), Found>> {
        let left = Source::bytes(&*self.source)?.saturating_sub(offset);
        if left == 0 {
            return Ok(Err(Found::End));
        }
        let mut front = [0; Head::BYTES];
        if read_up_to(&mut *self.source, offset, &mut front)? < front.len() {
            return Ok(Err(Found::Bad("the head of a record is cut")));
        }
        let Some(raw) = RawHead::decode(&front) else {
            return Ok(Err(Found::Bad("no record begins here")));
        };
        if raw.record_bytes() > left {
            return Ok(Err(Found::Bad("a record is cut")));
        }
        let mut payload = vec![0; raw.payload_bytes()];
        self.source.read_exact(&mut payload)?;
        match raw.check(self.salt, offset, &payload) {
            Some(head) => Ok(Ok((raw, head, payload))),
            None => Ok(Err(Found::Bad("the checksum of a record is wrong"))),
        }
    }
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanner({} at {})", self.path.display(), self.offset)
    }
}

/// Fills `into` from `offset`, as far as the file reaches.
fn read_up_to(source: &mut dyn Source, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    source.seek(SeekFrom::Start(offset))?;
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes looked at together in the search for watermarks; a multiple of eight.
const WINDOW_BYTES: usize = 1 << 20;
