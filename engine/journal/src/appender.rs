//! Writes records: the end of the journal that the readers' queue runs into.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::Arc;

use schema::{Batch, Digest, Draft, Micros, Table};

use crate::beginning::{self, Beginning};
use crate::columns::Encoder;
use crate::error::{ErrorKind, JournalError};
use crate::ledger::Ledger;
use crate::record::{Frame, Head, Kind};
use crate::resume::{Checkpoint, Resume, ShardFact, Watermark};
use crate::segment::Header;

/// Numbers drafts and writes them. One thread owns it; dropping it ends the journal.
///
/// After an error of kind [`ErrorKind::Full`] the rows that were handed in are kept in memory, and
/// the first later call that finds room writes them, in order: hand in no more drafts until
/// [`settle`](Self::settle) says `Ok`. After any other error the journal is poisoned.
#[derive(Debug)]
pub struct Appender {
    ledger: Arc<Ledger>,
    segment: Beginning,
    /// A write failed half-way: the file is longer than its whole records.
    torn: bool,
    /// The segment holds a batch or a shard, and so is worth ending.
    facts: bool,
    /// Tables that have a schema record in this segment, and their numbers.
    tables: HashMap<&'static str, u16>,
    encoder: Encoder,
    frame: Frame,
    digest: Digest,
    resume: Resume,
    /// What was handed in and not written, oldest first.
    owed: VecDeque<Owed>,
    /// Position and sequence of the next draft handed in.
    next: (u64, i64),
    /// Position of the last batch written, and sequence of the next row written.
    written: (u64, i64),
    /// What `through` was told last; it is also the clock of a segment's age.
    through: Micros,
}

#[derive(Clone, Debug)]
enum Owed {
    Batch(Arc<Batch>),
    Shard(ShardFact),
}

impl Appender {
    pub(crate) fn new(ledger: Arc<Ledger>, segment: Beginning, resume: Resume) -> Self {
        let (position, sequence) = (segment.header.first_position, segment.header.first_sequence);
        let through = segment.header.created;
        Self {
            ledger,
            segment,
            torn: false,
            facts: false,
            tables: HashMap::new(),
            encoder: Encoder::new(),
            frame: Frame::default(),
            digest: Digest::default(),
            resume,
            owed: VecDeque::new(),
            next: (position, sequence),
            written: (position - 1, sequence),
            through,
        }
    }

    /// Numbers a draft and writes it. It is not durable before the next sync.
    ///
    /// # Errors
    /// `Full`: the rows are kept, see [`Appender`]. Anything else: they are not in the journal.
    pub fn append(&mut self, draft: Draft) -> Result<Arc<Batch>, JournalError> {
        self.ledger.state().check()?;
        let (position, sequence) = self.next;
        let batch = Arc::new(draft.number(position, sequence));
        let rows = i64::try_from(batch.rows()).expect("a batch is bounded far below 2^63 rows");
        self.next = (position + 1, sequence + rows);
        self.owed.push_back(Owed::Batch(Arc::clone(&batch)));
        self.settle()?;
        Ok(batch)
    }

    /// Records what a shard listens to, and that it is alive. Tell it at each change and at each
    /// sign of life: a record is written when the channels differ from the last ones, and the rest
    /// goes into the next watermark.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn shard(&mut self, fact: ShardFact) -> Result<(), JournalError> {
        self.ledger.state().check()?;
        self.owed.push_back(Owed::Shard(fact));
        self.settle()
    }

    /// Says that every row received up to `at` has been handed in. Call it about as often as the
    /// syncer syncs, also when there are no rows: it is what a restart takes for the beginning of
    /// its gap. It follows the wall clock, back too: an instant too early makes a gap too long, one
    /// too late would hide a loss.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn through(&mut self, at: Micros) -> Result<(), JournalError> {
        self.through = at;
        self.settle()?;
        let mut state = self.ledger.state();
        if at != state.written.through {
            state.written.through = at;
            state.news = true;
        }
        Ok(())
    }

    /// Writes what an earlier call could not write for want of room, and the watermark that is due.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn settle(&mut self) -> Result<(), JournalError> {
        self.ledger.state().check()?;
        self.mend()?;
        let due = {
            let mut state = self.ledger.state();
            std::mem::take(&mut state.watermark_due).then_some(state.synced)
        };
        if let Some(mark) = due
            && let Err(error) = self.watermark(mark.watermark(), mark.bytes)
        {
            self.ledger.state().watermark_due = true;
            return Err(error);
        }
        while let Some(owed) = self.owed.front().cloned() {
            self.turn_page()?;
            match &owed {
                Owed::Batch(batch) => self.batch(batch)?,
                Owed::Shard(fact) => self.shard_record(fact)?,
            }
            self.owed.pop_front();
        }
        Ok(())
    }

    /// Ends the journal: writes what is owed, syncs, and leaves a durable watermark behind.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn close(mut self) -> Result<Watermark, JournalError> {
        self.settle()?;
        self.ledger.sync()?;
        self.settle()?;
        self.ledger.sync()
    }

    /// What is known of the instruments and shards, up to the last batch written.
    #[must_use]
    pub fn resume(&self) -> &Resume {
        &self.resume
    }

    /// The position that the next draft will have.
    #[must_use]
    pub fn next_position(&self) -> u64 {
        self.next.0
    }

    fn batch(&mut self, batch: &Arc<Batch>) -> Result<(), JournalError> {
        let table = self.table(batch.table())?;
        let (position, sequence) = self.written;
        assert_eq!(batch.position(), position + 1, "positions are contiguous");
        assert_eq!(batch.sequence(), sequence, "sequences are contiguous");
        let rows = u32::try_from(batch.rows()).expect("a batch is bounded far below 2^32 rows");
        let head = Head {
            kind: Kind::Batch,
            table,
            position: batch.position(),
            sequence,
            rows,
            origin: batch.origin(),
        };
        let encoded = self.encoder.batch(batch, self.frame.begin());
        encoded.expect("columns of a table's own schema can be encoded");
        self.write(&head)?;
        self.written = (batch.position(), sequence + i64::from(rows));
        self.resume.batch(batch, &mut self.digest);
        self.facts = true;
        self.ledger.wrote(self.segment.bytes, Some(batch), true);
        Ok(())
    }

    fn shard_record(&mut self, fact: &ShardFact) -> Result<(), JournalError> {
        let known = self.resume.shards.get(&fact.shard);
        if known.is_none_or(|known| known.channels != fact.channels) {
            self.note(Kind::Shard, 0, fact, true)?;
            self.facts = true;
        }
        self.resume.shard(fact);
        Ok(())
    }

    fn watermark(&mut self, watermark: Watermark, bytes: u64) -> Result<(), JournalError> {
        let note = self.resume.note(watermark, bytes);
        self.note(Kind::Watermark, 0, &note, false)
    }

    /// The table's number in this segment; writes its schema if it is new here.
    fn table(&mut self, table: &'static Table) -> Result<u16, JournalError> {
        if let Some(number) = self.tables.get(table.name) {
            return Ok(*number);
        }
        let number = u16::try_from(self.tables.len()).expect("there are a handful of tables");
        self.encoder.schema(table, self.frame.begin());
        self.write(&Head::note(Kind::Schema, number, self.written.0, self.written.1))?;
        self.ledger.wrote(self.segment.bytes, None, true);
        self.tables.insert(table.name, number);
        Ok(number)
    }

    fn note(
        &mut self,
        kind: Kind,
        table: u16,
        payload: &impl serde::Serialize,
        news: bool,
    ) -> Result<(), JournalError> {
        serde_json::to_writer(self.frame.begin(), payload).expect("a note is plain JSON");
        self.write(&Head::note(kind, table, self.written.0, self.written.1))?;
        self.ledger.wrote(self.segment.bytes, None, news);
        Ok(())
    }

    /// Writes the record in the frame. After a failure the file ends where it ended before, or
    /// `torn` says that it does not.
    fn write(&mut self, head: &Head) -> Result<(), JournalError> {
        let offset = self.segment.bytes;
        let record = self.frame.seal(head, self.segment.salt, offset);
        let record = record.expect("a record is bounded far below 4 GiB");
        let bytes = record.len() as u64;
        if let Err(error) = self.segment.file.write_all(record) {
            self.torn = true;
            let error = self.ledger.refuse("write to", &self.segment.path, error, bytes);
            if error.is_full() {
                self.mend()?;
            }
            return Err(error);
        }
        self.segment.bytes += bytes;
        Ok(())
    }

    /// Cuts off what a failed write left behind.
    fn mend(&mut self) -> Result<(), JournalError> {
        if !self.torn {
            return Ok(());
        }
        let _alone = self.ledger.alone();
        self.ledger.state().check()?;
        let (disk, path) = (&self.ledger.disk, &self.segment.path);
        let reopened = disk.truncate(path, self.segment.bytes).and_then(|()| {
            let file = disk.append(path)?;
            let syncer = file.syncer()?;
            Ok((file, syncer))
        });
        let (file, syncer) = reopened.map_err(|error| self.ledger.refuse("cut", path, error, 0))?;
        self.segment.file = file;
        self.ledger.state().syncer = syncer;
        self.torn = false;
        Ok(())
    }

    /// Begins a new segment when this one is long or old enough. The old one is durable before the
    /// new one exists, so only a journal's last segment can ever be torn.
    fn turn_page(&mut self) -> Result<(), JournalError> {
        let options = &self.ledger.options;
        let age = self.through.since(self.segment.header.created);
        let long = self.segment.bytes >= options.segment_bytes_max;
        if !self.facts || !long && age < options.segment_age_max {
            return Ok(());
        }
        let ledger = Arc::clone(&self.ledger);
        let alone = ledger.alone();
        let watermark = ledger.sync_alone(&alone)?;
        assert_eq!(watermark.position, self.written.0, "one thread writes");
        let header = Header {
            number: self.segment.header.number + 1,
            first_position: self.written.0 + 1,
            first_sequence: self.written.1,
            created: self.through,
            ..self.segment.header.clone()
        };
        self.resume.forget(self.through);
        let checkpoint = Checkpoint { watermark, resume: self.resume.clone() };
        let next = beginning::begin(&*ledger.disk, &ledger.folder, header, &checkpoint)
            .map_err(|failure| self.failed(failure))?;
        ledger.go_on_in(&next, &alone);
        self.segment = next;
        self.tables.clear();
        self.facts = false;
        Ok(())
    }

    fn failed(&self, failure: beginning::Failure) -> JournalError {
        let folder = &self.ledger.folder;
        if failure.begun {
            return self.ledger.poison("begin a segment in", folder, failure.error);
        }
        self.ledger.refuse("begin a segment in", folder, failure.error, failure.needed_bytes)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.ledger.state().closed = true;
        self.ledger.changed.notify_all();
    }
}

impl JournalError {
    /// Whether there is no room, and the appender can go on once there is.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.kind(), ErrorKind::Full { .. })
    }
}
