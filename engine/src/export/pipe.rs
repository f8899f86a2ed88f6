//! The way of one file's rows: read, chosen, put in order, given their columns, written.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::coalesce::BatchCoalescer;
use arrow_select::filter::filter_record_batch;
use schema::{Micros, Partition};

use super::archive::Missing;
use super::manifest::Entry;
use super::output::Output;
use super::progress::Progress;
use super::request::{self, Columns, Order};
use super::sort::{By, Expected, Plan, Sorter};
use super::unit::Unit;
use super::{Export, chain, folder, read};
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
        let columns = match request.schema() {
            Columns::Tapedeck => None,
            Columns::Tardis => Some(chain::sources()),
        };
        let source = read::schema(unit.table, columns.as_deref());
        let path = self.export.out.join(&unit.path);
        let mut end = End::new(&path, request, &source)?;
        match self.sorter(&source)? {
            None => self.read(&source, progress, |rows| end.push(rows))?,
            Some(mut sorter) => {
                self.read(&source, progress, |rows| Ok(sorter.push(rows)?))?;
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

    /// What puts the rows in order; `None` where they lie in order already: a day that was merged
    /// is one file in the archive's own order.
    fn sorter(&self, schema: &SchemaRef) -> Result<Option<Sorter>, Missing> {
        let unit = self.unit;
        let files = || unit.folders.iter().flat_map(|folder| &folder.files);
        let [least, greatest] = unit.times();
        let mut keys = [[0, least, i64::MIN], [0, greatest, i64::MAX]];
        let by = match self.export.request.order() {
            Order::Instrument if files().count() <= 1 => return Ok(None),
            Order::Instrument => {
                let name = match unit.table.partition {
                    Partition::CurrencyAndDate(name) => {
                        let paths: Vec<_> = files().collect();
                        let names = read::texts(&paths, unit.table, name)?;
                        let places: HashMap<String, i64> = names.into_iter().zip(0..).collect();
                        (keys[0][0], keys[1][0]) = (0, places.len() as i64);
                        Some((name, Arc::new(places)))
                    }
                    Partition::Date | Partition::Whole | Partition::SqlOnly => None,
                };
                By { name, time: unit.table.time }
            }
            Order::Timestamp => By { name: None, time: unit.table.time },
            Order::ReceivedAt => By { name: None, time: RECEIVED_AT },
        };
        let folder = folder::sort_folder(&self.export.out);
        let plan = Plan { by, bytes_max: self.export.sort_bytes, folder };
        let expected = Expected { rows: unit.source().rows, keys };
        Ok(Some(Sorter::new(plan, Arc::clone(schema), expected)))
    }

    /// Reads and chooses.
    fn read(
        &self,
        schema: &SchemaRef,
        progress: &mut Progress,
        mut each: impl FnMut(RecordBatch) -> Result<(), Missing>,
    ) -> Result<(), Missing> {
        let mut wanted = HashMap::new();
        for path in self.unit.folders.iter().flat_map(|folder| &folder.files) {
            read::rows(path, schema, |rows| {
                self.go_on()?;
                progress.read(rows.num_rows());
                let chosen = filter_record_batch(&rows, &self.choose(&rows, &mut wanted));
                each(chosen.expect("a choice a row"))
            })?;
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
    fn new(
        path: &std::path::Path,
        request: &request::Request,
        source: &SchemaRef,
    ) -> Result<Self, Missing> {
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
