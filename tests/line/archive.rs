//! What is on the disk at the end: the journal's records and the rows of the Parquet files, which
//! must agree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use journal::disk::{Disk, Simulated};
use journal::{Journal, Options};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::{Micros, Now};
use tapedeck_tests::tape::{Columns, Gap, cell, column, instant};

use super::DATA;

/// A row that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) table: &'static str,
    /// The instrument or index.
    pub(super) name: String,
    /// The table and every value that the wire carried; of a book its change.
    pub(super) key: String,
}

/// Everything that is stored, by sequence.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Archive {
    pub(super) rows: BTreeMap<i64, Row>,
    pub(super) gaps: BTreeMap<i64, Gap>,
    /// Reasons, and what was kept.
    pub(super) quarantine: BTreeMap<i64, String>,
    /// What is told of the options: what happened, and to which.
    pub(super) events: BTreeMap<i64, (String, String)>,
}

impl Archive {
    /// Reads both, and checks that they agree.
    pub(super) fn read(disk: &Simulated, options: &Options) -> Self {
        let journal = Self::of_journal(disk, options);
        let parquet = Self::of_parquet(disk);
        assert_eq!(journal.gaps, parquet.gaps, "gaps in the journal and in Parquet");
        assert_eq!(journal.quarantine, parquet.quarantine);
        let missing = journal.rows.iter().find(|(at, row)| parquet.rows.get(at) != Some(row));
        assert_eq!(missing, None, "a row of the journal that Parquet does not hold");
        assert_eq!(journal.rows.len(), parquet.rows.len(), "Parquet holds more than the journal");
        parquet
    }

    fn of_journal(disk: &Simulated, options: &Options) -> Self {
        let folder = Path::new(DATA).join("journal");
        let report = journal::inspect(disk, &folder).unwrap();
        assert!(report.is_sound(), "{report}");
        let now = Now { monotonic: Duration::ZERO, utc: Micros(0) };
        let door: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = journal::open(door, &folder, options.clone(), now).unwrap();
        let Journal { mut feed, recovery, .. } = opened;
        assert!(recovery.torn.is_none(), "an orderly end tears nothing");
        let mut archive = Self::default();
        let (mut position, mut sequence) = (0, 0);
        while position < recovery.position {
            for batch in feed.read(position, 1 << 20, Duration::ZERO).unwrap() {
                position += 1;
                assert_eq!((batch.position(), batch.sequence()), (position, sequence));
                sequence += batch.rows() as i64;
                archive.take(batch.table().name, batch.columns());
            }
        }
        assert_eq!(report.rows(), sequence as u64, "inspect counts what is read");
        archive
    }

    fn of_parquet(disk: &Simulated) -> Self {
        let mut archive = Self::default();
        let root = Path::new(DATA).join("parquet");
        let mut files = Vec::new();
        for table in disk.list(&root).unwrap() {
            find(disk, &table.path, &mut files);
        }
        for path in files {
            let table = path.strip_prefix(&root).unwrap().iter().next().unwrap();
            let bytes = Bytes::from(disk.bytes(&path).unwrap());
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            for batch in reader {
                archive.take(table.to_str().unwrap(), &batch.unwrap());
            }
        }
        archive
    }

    fn take(&mut self, table: &str, batch: &RecordBatch) {
        let columns = Columns::ALL.iter().find(|columns| columns.table == table);
        for row in 0..batch.num_rows() {
            let cell = |name: &str| cell(column(batch, name), row);
            let sequence = cell("sequence").parse().unwrap();
            let twice = match (columns, table) {
                (Some(columns), _) => {
                    let (table, name) = (columns.table, cell(columns.name));
                    let key = columns.key_of_row(batch, row);
                    self.rows.insert(sequence, Row { table, name, key }).is_some()
                }
                (None, "book_changes") => {
                    let name = cell("instrument");
                    let whole = if cell("snapshot") == "true" { SNAPSHOT } else { "" };
                    let key = format!("book_changes {name} {}{whole}", cell("change_id"));
                    let row = Row { table: "book_changes", name, key };
                    self.rows.insert(sequence, row).is_some()
                }
                (None, "data_gaps") => {
                    let gap = Gap {
                        start: instant(batch, "start_time", row).unwrap(),
                        end: instant(batch, "end_time", row),
                        cause: cell("cause"),
                        shard: cell("shard"),
                        instrument: cell("instrument"),
                        written: instant(batch, "created_at", row).unwrap(),
                        detail: cell("detail"),
                    };
                    self.gaps.insert(sequence, gap).is_some()
                }
                (None, "quarantine") => {
                    let what = format!("{}: {}", cell("reason"), cell("raw"));
                    self.quarantine.insert(sequence, what).is_some()
                }
                (None, "lifecycle_events") => {
                    let what = (cell("event_type"), cell("instrument_name"));
                    self.events.insert(sequence, what).is_some()
                }
                (None, _) => false,
            };
            assert!(!twice, "sequence {sequence} is stored twice");
        }
    }
}

/// What tells a whole book from a change to the same.
pub(super) const SNAPSHOT: &str = " snapshot";

/// Every file that a reader's `*.parquet` finds.
fn find(disk: &Simulated, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in disk.list(folder).unwrap() {
        let name = entry.path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('.') {
            continue;
        }
        match entry.folder {
            true => find(disk, &entry.path, found),
            false if name.ends_with(".parquet") => found.push(entry.path),
            false => {}
        }
    }
}
