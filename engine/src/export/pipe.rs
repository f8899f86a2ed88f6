//! The way of one file's rows: read, chosen, put in order, given their columns, written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::coalesce::BatchCoalescer;
use arrow_select::filter::filter_record_batch;
use journal::disk::{Disk, System};
use schema::Micros;
use sinks::parquet::{Merged, Selection, merge};

use super::archive::Missing;
use super::manifest::Entry;
use super::output::Output;
use super::progress::Progress;
use super::request::{self, Columns, Order};
use super::sort::{Expected, Plan, Sorter};
use super::unit::Unit;
use super::{Export, chain, folder};
use crate::stop::Stop;

/// What one file is made with.
pub(super) struct Pipe<'a> {
    pub(super) export: &'a Export,
    pub(super) unit: &'a Unit,
    pub(super) stop: &'a Stop,
}

/// The end of the pipe: rows in order, in the columns of the archive.
struct End {
    columns: Columns,
    /// Of what is written.
    schema: SchemaRef,
    /// Batches of one size, whatever sizes come: the bytes of a file must not depend on how the
    /// archive's files are cut.
    even: BatchCoalescer,
    output: Output,
}

impl Pipe<'_> {
    /// Makes the file.
    pub(super) fn run(&self, progress: &mut Progress) -> Result<Entry, Missing> {
        let (request, unit) = (&self.export.request, self.unit);
        let files: Vec<PathBuf> =
            unit.folders.iter().flat_map(|folder| folder.files.clone()).collect();
        // All at once for the archive's order; one after the other where they are sorted anyway.
        let at_once = match request.order() {
            Order::Instrument => files.len(),
            Order::Timestamp | Order::ReceivedAt => 1,
        };
        let (first, others) = files.split_at(at_once.min(files.len()));
        let archive = self.open(first)?;
        let path = self.export.out.join(&unit.path);
        let mut end = End::new(&path, request, &archive.schema())?;
        match self.sorter(&archive.schema()) {
            None => self.read(archive, progress, |rows| end.push(rows))?,
            Some(mut sorter) => {
                self.read(archive, progress, |rows| Ok(sorter.push(rows)?))?;
                for file in others {
                    let archive = self.open(std::slice::from_ref(file))?;
                    self.read(archive, progress, |rows| Ok(sorter.push(rows)?))?;
                }
                let mut sorted = sorter.finish()?;
                while let Some(rows) = sorted.next()? {
                    self.go_on()?;
                    end.push(rows)?;
                }
            }
        }
        let written = end.finish()?;
        Ok(Entry {
            path: unit.path.clone(),
            table: unit.table.name.to_owned(),
            currency: unit.currency.clone(),
            interval: unit.interval,
            rows: written.rows,
            bytes: written.bytes,
            sha256: written.sha256,
            rows_sha256: written.rows_sha256,
            source: unit.source(),
            gaps: Vec::new(),
        })
    }

    /// The rows of some files in the archive's order, of the interval where that is a matter of
    /// the table's time.
    fn open(&self, files: &[PathBuf]) -> Result<Merged, Missing> {
        let interval = self.unit.interval;
        let selection = match self.export.request.schema() {
            Columns::Tapedeck => {
                let (from, to) = (interval.from(), interval.to());
                Selection { from, to, ..Selection::default() }
            }
            Columns::Tardis => {
                Selection { columns: Some(chain::sources()), ..Selection::default() }
            }
        };
        let scratch = folder::sort_folder(&self.export.out);
        let disk: Arc<dyn Disk> = Arc::new(System);
        Ok(merge(&disk, self.unit.table, files, &selection, &scratch)?)
    }

    /// What puts the rows in another order than the archive's.
    fn sorter(&self, schema: &SchemaRef) -> Option<Sorter> {
        let by = match self.export.request.order() {
            Order::Instrument => return None,
            Order::Timestamp => self.unit.table.time,
            Order::ReceivedAt => RECEIVED_AT,
        };
        let folder = folder::sort_folder(&self.export.out);
        let plan = Plan { by, bytes_max: self.export.sort_bytes, folder };
        let expected = Expected { rows: self.unit.source().rows, times: self.unit.times() };
        Some(Sorter::new(plan, Arc::clone(schema), expected))
    }

    /// Reads and chooses.
    fn read(
        &self,
        archive: Merged,
        progress: &mut Progress,
        mut each: impl FnMut(RecordBatch) -> Result<(), Missing>,
    ) -> Result<(), Missing> {
        let mut wanted = HashMap::new();
        for rows in archive {
            let rows = rows?;
            self.go_on()?;
            progress.read(rows.num_rows());
            let chosen = filter_record_batch(&rows, &self.choose(&rows, &mut wanted));
            each(chosen.expect("a choice a row"))?;
        }
        Ok(())
    }

    /// Which rows lie in the interval and are of a wanted instrument.
    fn choose(&self, rows: &RecordBatch, wanted: &mut HashMap<String, bool>) -> BooleanArray {
        let time = match self.export.request.schema() {
            Columns::Tapedeck => self.unit.table.time,
            Columns::Tardis => RECEIVED_AT,
        };
        let column = |name| rows.column_by_name(name).expect("a column of the table");
        let times = column(time).as_primitive::<TimestampMicrosecondType>().values();
        let names = request::names(self.unit.table).map(|name| column(name).as_string::<i32>());
        let chosen = times.iter().enumerate().map(|(row, time)| {
            let is_wanted = names.is_none_or(|names| {
                let name = names.value(row);
                wanted.get(name).copied().unwrap_or_else(|| {
                    let is_wanted = self.export.request.wants(name);
                    wanted.insert(name.to_owned(), is_wanted);
                    is_wanted
                })
            });
            Some(is_wanted && self.unit.interval.contains(Micros(*time)))
        });
        chosen.collect()
    }

    fn go_on(&self) -> Result<(), Missing> {
        if self.stop.raised() { Err(super::stopped(&self.unit.path).into()) } else { Ok(()) }
    }
}

impl End {
    fn new(path: &Path, request: &request::Request, source: &SchemaRef) -> Result<Self, Missing> {
        let columns = request.schema();
        let schema = match columns {
            Columns::Tapedeck => Arc::clone(source),
            Columns::Tardis => chain::schema(),
        };
        let output = Output::create(path, request.format(), &schema)?;
        let even = BatchCoalescer::new(Arc::clone(&schema), BATCH_ROWS);
        Ok(Self { columns, schema, even, output })
    }

    fn push(&mut self, rows: RecordBatch) -> Result<(), Missing> {
        let rows = match self.columns {
            Columns::Tapedeck => rows,
            Columns::Tardis => chain::from_quotes(&rows, &self.schema),
        };
        self.even.push_batch(rows).expect("rows of one schema");
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Missing> {
        while let Some(rows) = self.even.next_completed_batch() {
            self.output.write(&rows)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<super::output::Written, Missing> {
        self.even.finish_buffered_batch().expect("rows of one schema");
        self.drain()?;
        Ok(self.output.finish()?)
    }
}

const RECEIVED_AT: &str = "received_at";
const BATCH_ROWS: usize = 8_192;
