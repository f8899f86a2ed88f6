//! Reads a segment record by record, and believes nothing without its checksum.

use std::collections::HashMap;
use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};

use schema::Batch;
use serde::de::DeserializeOwned;

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
        let Found::Record(head, payload) = found else { return Ok(found) };
        self.follow(&head)?;
        if head.kind == Kind::Schema {
            let stored = match Stored::read(&payload) {
                Ok(stored) => Ok(stored),
                Err(Misfit::Newer(what)) => Err(what),
                Err(Misfit::Damaged(what)) => return Err(self.damaged(what)),
            };
            self.tables.insert(head.table, stored);
        }
        self.offset += record::bytes(payload.len());
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

    /// The note in a record that [`next`](Self::next) returned.
    pub(crate) fn note<T: DeserializeOwned>(&self, payload: &[u8]) -> Result<T, JournalError> {
        serde_json::from_slice(payload).map_err(|error| self.damaged(error.to_string()))
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
        // Anything else may be long: it is not worth reading whole.
        if !RawHead::decode(&front).is_some_and(|raw| raw.kind() == Kind::Watermark) {
            return Ok(None);
        }
        let Found::Record(_, payload) = self.read(offset)? else { return Ok(None) };
        Ok(serde_json::from_slice::<WatermarkNote>(&payload).ok().map(|note| note.bytes))
    }

    fn read(&mut self, offset: u64) -> io::Result<Found> {
        let left = Source::bytes(&*self.source)?.saturating_sub(offset);
        if left == 0 {
            return Ok(Found::End);
        }
        let mut front = [0; Head::BYTES];
        if read_up_to(&mut *self.source, offset, &mut front)? < front.len() {
            return Ok(Found::Bad("the head of a record is cut"));
        }
        let Some(raw) = RawHead::decode(&front) else {
            return Ok(Found::Bad("no record begins here"));
        };
        let whole = record::bytes(raw.payload_bytes());
        if whole > left {
            return Ok(Found::Bad("a record is cut"));
        }
        let mut payload = vec![0; usize::try_from(whole).unwrap_or(usize::MAX) - Head::BYTES];
        self.source.read_exact(&mut payload)?;
        // The padding is under no checksum, and a disk that changes it changes other bytes too.
        if payload.drain(raw.payload_bytes()..).any(|byte| byte != 0) {
            return Ok(Found::Bad("a record's padding is not empty"));
        }
        Ok(match raw.check(self.salt, offset, &payload) {
            Some(head) => Found::Record(head, payload),
            None => Found::Bad("the checksum of a record is wrong"),
        })
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

#[cfg(test)]
mod tests {
    use schema::Micros;
    use uuid::Uuid;

    use super::*;
    use crate::disk::Simulated;
    use crate::record::Frame;

    /// What a scanner makes of a segment from position 5, sequence 40, whose records have these
    /// heads: kind, position, sequence, rows.
    fn check(records: &[(Kind, u64, i64, u32)]) -> Result<usize, JournalError> {
        let header = Header {
            journal: Uuid::nil(),
            number: 1,
            first_position: 5,
            first_sequence: 40,
            created: Micros(0),
            opened_before: 0,
        };
        let (mut bytes, salt) = header.encode();
        for &(kind, position, sequence, rows) in records {
            let head = Head { rows, ..Head::note(kind, 0, position, sequence) };
            let mut frame = Frame::default();
            frame.begin().push(7);
            bytes.extend_from_slice(frame.seal(&head, salt, bytes.len() as u64).unwrap());
        }
        let disk = Simulated::new(1);
        disk.plant(Path::new("/s"), &bytes);
        let mut scanner = Scanner::open(&disk, Path::new("/s")).unwrap();
        let mut read = 0;
        while let Found::Record(..) = scanner.next()? {
            read += 1;
        }
        Ok(read)
    }

    #[test]
    fn positions_and_sequences_are_contiguous() {
        use Kind::{Batch, Shard};
        let first = (Batch, 5, 40, 3);
        assert_eq!(check(&[first, (Shard, 5, 43, 0), (Batch, 6, 43, 1)]).unwrap(), 3);
        for second in [(Batch, 7, 43, 1), (Batch, 5, 43, 1), (Batch, 6, 44, 1), (Batch, 6, 42, 1)] {
            let error = check(&[first, second]).unwrap_err();
            assert!(error.to_string().contains("are due"), "{error}");
        }
    }

    #[test]
    fn a_kind_that_came_later_is_passed_over() {
        assert_eq!(check(&[(Kind::Later(77), 4, 40, 0), (Kind::Batch, 5, 40, 1)]).unwrap(), 2);
    }
}
