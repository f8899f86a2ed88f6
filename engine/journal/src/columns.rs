//! Batches to bytes and back: Arrow IPC messages, lz4, without schema and without `sequence`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_ipc::{CompressionType, Message, MessageHeader, MetadataVersion, root_as_message};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use schema::{Batch, Table, tables};

use crate::record::Head;

/// Writes schemas and batches.
pub(crate) struct Encoder {
    generator: IpcDataGenerator,
    options: IpcWriteOptions,
    context: IpcWriteContext,
    /// By table name: the schema without `sequence`.
    schemas: HashMap<&'static str, SchemaRef>,
}

/// A table as a segment holds it, and how its columns become those of the table today.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) table: &'static Table,
    today: SchemaRef,
    stored: SchemaRef,
    /// For each column of today: where it stands in the record. `None`: it was appended later.
    places: Vec<Option<usize>>,
}

/// What is wrong with a payload whose checksum is right.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// This program does not know the table, or a column changed its kind.
    Newer(String),
    /// The bytes are not what a journal writes.
    Damaged(String),
}

impl Encoder {
    pub(crate) fn new() -> Self {
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)
            .and_then(|options| options.try_with_compression(Some(CompressionType::LZ4_FRAME)))
            .expect("alignment, version and compression are supported: a test writes with them");
        Self {
            generator: IpcDataGenerator::default(),
            options,
            context: IpcWriteContext::default(),
            schemas: HashMap::new(),
        }
    }

    /// Adds a table's schema message to `out`.
    pub(crate) fn schema(&mut self, table: &'static Table, out: &mut Vec<u8>) {
        let schema = self.schema_of(table);
        let mut tracker = DictionaryTracker::new(false);
        let message = self.generator.schema_to_bytes_with_dictionary_tracker(
            &schema,
            &mut tracker,
            &self.options,
        );
        write_message(out, message, &self.options).expect("writing to memory does not fail");
    }

    /// Adds a batch's messages to `out`: its dictionaries, then its columns.
    pub(crate) fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let schema = self.schema_of(batch.table());
        let mut tracker = DictionaryTracker::new(false);
        for field in schema.fields() {
            if matches!(field.data_type(), DataType::Dictionary(..)) {
                tracker.next_dict_id();
            }
        }
        let mut columns = batch.columns().columns().to_vec();
        columns.remove(Table::SEQUENCE);
        let columns = RecordBatch::try_new(schema, columns)?;
        let (dictionaries, rows) =
            self.generator.encode(&columns, &mut tracker, &self.options, &mut self.context)?;
        for dictionary in dictionaries {
            write_message(&mut *out, dictionary, &self.options)?;
        }
        write_message(out, rows, &self.options)?;
        Ok(())
    }

    fn schema_of(&mut self, table: &'static Table) -> SchemaRef {
        let schema = self.schemas.entry(table.name).or_insert_with(|| {
            let fields = today(table).fields().clone();
            let kept = fields.iter().enumerate().filter(|(index, _)| *index != Table::SEQUENCE);
            let kept: Vec<_> = kept.map(|(_, field)| Arc::clone(field)).collect();
            let name = HashMap::from([(TABLE_KEY.to_owned(), table.name.to_owned())]);
            Arc::new(Schema::new_with_metadata(kept, name))
        });
        Arc::clone(schema)
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} tables)", self.schemas.len())
    }
}

impl Stored {
    /// The table that a schema record's payload declares.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Misfit> {
        let buffer = Buffer::from(payload);
        let mut messages = Messages(buffer);
        let (metadata, _) = messages.next()?.ok_or_else(|| damaged("it holds no schema"))?;
        let message = parse(&metadata)?;
        let schema = message.header_as_schema().ok_or_else(|| damaged("it holds no schema"))?;
        let stored = try_fb_to_schema(schema).map_err(|error| damaged(&error.to_string()))?;
        let name = stored.metadata().get(TABLE_KEY).map_or("", String::as_str);
        let table = tables::named(name)
            .ok_or_else(|| Misfit::Newer(format!("this program knows no table {name:?}")))?;
        Self::fit(table, Arc::new(stored))
    }

    fn fit(table: &'static Table, stored: SchemaRef) -> Result<Self, Misfit> {
        let today = today(table);
        let mut places = Vec::with_capacity(today.fields().len());
        for (index, field) in today.fields().iter().enumerate() {
            let place = stored.fields().iter().position(|old| old.name() == field.name());
            let old = place.and_then(|place| stored.fields().get(place));
            let changed = old.is_some_and(|old| old.data_type() != field.data_type());
            let missing = place.is_none() && !field.is_nullable() && index != Table::SEQUENCE;
            if changed || missing {
                let what = if changed { "has another kind here" } else { "is missing here" };
                let what = format!("column {} of {} {what}", field.name(), table.name);
                return Err(Misfit::Newer(what));
            }
            places.push(place);
        }
        Ok(Self { table, today, stored, places })
    }

    /// The batch in a batch record's payload.
    pub(crate) fn batch(&self, head: &Head, payload: Vec<u8>) -> Result<Batch, Misfit> {
        let rows = self.columns(payload, None)?;
        let count = rows.num_rows();
        if count == 0 || count != head.rows as usize {
            return Err(damaged(&format!("it holds {count} rows where {} are due", head.rows)));
        }
        let numbers = head.sequence..head.sequence.saturating_add(i64::from(head.rows));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        let mut columns = Vec::with_capacity(self.places.len());
        for (index, (place, field)) in self.places.iter().zip(self.today.fields()).enumerate() {
            columns.push(match place.and_then(|place| rows.columns().get(place)) {
                Some(column) => Arc::clone(column),
                None if index == Table::SEQUENCE => Arc::clone(&numbers),
                None => new_null_array(field.data_type(), count),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let columns = RecordBatch::try_new_with_options(Arc::clone(&self.today), columns, &options)
            .map_err(|error| damaged(&error.to_string()))?;
        Ok(Batch::new(self.table, head.position, head.origin, columns))
    }

    /// One column of a batch record's payload; nothing else is decompressed. `None` if the record
    /// has no such column.
    pub(crate) fn column(&self, name: &str, payload: Vec<u8>) -> Result<Option<ArrayRef>, Misfit> {
        let Ok(place) = self.stored.index_of(name) else { return Ok(None) };
        Ok(self.columns(payload, Some(&[place]))?.columns().first().cloned())
    }

    fn columns(&self, payload: Vec<u8>, only: Option<&[usize]>) -> Result<RecordBatch, Misfit> {
        let wrong = |error: ArrowError| damaged(&error.to_string());
        let mut messages = Messages(Buffer::from(payload));
        let mut dictionaries = HashMap::new();
        while let Some((metadata, body)) = messages.next()? {
            let message = parse(&metadata)?;
            let version = message.version();
            if message.header_type() == MessageHeader::DictionaryBatch {
                let values = message
                    .header_as_dictionary_batch()
                    .ok_or_else(|| damaged("a dictionary message holds none"))?;
                read_dictionary(&body, values, &self.stored, &mut dictionaries, &version)
                    .map_err(wrong)?;
                continue;
            }
            let rows = message
                .header_as_record_batch()
                .ok_or_else(|| damaged("a message holds neither rows nor a dictionary"))?;
            let stored = Arc::clone(&self.stored);
            return RecordBatchDecoder::try_new(&body, rows, stored, &dictionaries, &version)
                .and_then(|decoder| decoder.with_projection(only).read_record_batch())
                .map_err(wrong);
        }
        Err(damaged("it holds no rows"))
    }
}

/// Encapsulated messages, one after the other: 0xFFFFFFFF, bytes of metadata, metadata, body.
struct Messages(Buffer);

impl Messages {
    /// Metadata and body of the next message.
    fn next(&mut self) -> Result<Option<(Buffer, Buffer)>, Misfit> {
        let bytes = self.0.as_slice();
        let Some((front, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let [a, b, c, d, length @ ..] = *front;
        let metadata_bytes = u32::from_le_bytes(length) as usize;
        if [a, b, c, d] != [0xFF; 4] || metadata_bytes > rest.len() {
            return Err(damaged("a message does not begin like one"));
        }
        let metadata = self.0.slice_with_length(8, metadata_bytes);
        let body_bytes = usize::try_from(parse(&metadata)?.bodyLength()).unwrap_or(usize::MAX);
        let body_from = 8 + metadata_bytes;
        if body_bytes > bytes.len() - body_from {
            return Err(damaged("a message is cut"));
        }
        let body = self.0.slice_with_length(body_from, body_bytes);
        self.0 = self.0.slice(body_from + body_bytes);
        Ok(Some((metadata, body)))
    }
}

/// The table's schema, made once.
fn today(table: &'static Table) -> SchemaRef {
    static SCHEMAS: LazyLock<HashMap<&str, SchemaRef>> =
        LazyLock::new(|| tables::ALL.iter().map(|table| (table.name, table.arrow())).collect());
    SCHEMAS.get(table.name).map_or_else(|| table.arrow(), Arc::clone)
}

fn parse(metadata: &Buffer) -> Result<Message<'_>, Misfit> {
    root_as_message(metadata.as_slice()).map_err(|error| damaged(&error.to_string()))
}

fn damaged(what: &str) -> Misfit {
    Misfit::Damaged(what.to_owned())
}

/// Bytes to which buffers are aligned within a message.
const ALIGNMENT: usize = 8;
/// The key of the table's name in a schema's metadata.
const TABLE_KEY: &str = "table";

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_schema::Field;
    use schema::tables::{IndexTick, OptionTrade, Rows};
    use schema::{Micros, Origin, Row};

    use super::*;
    use crate::record::Kind;

    fn tick(price: f64) -> IndexTick<'static> {
        IndexTick { timestamp: Micros(1), received_at: Micros(2), index_name: "btc_usd", price }
    }

    fn encoded() -> (Batch, Head, Vec<u8>) {
        let mut rows = Rows::default();
        rows.index_ticks.push(&tick(1.5));
        rows.index_ticks.push(&tick(-0.0));
        let batch = rows.index_ticks.take(Origin::default()).unwrap().number(4, 17);
        let mut payload = Vec::new();
        Encoder::new().batch(&batch, &mut payload).unwrap();
        let head =
            Head { rows: 2, ..Head::note(Kind::Batch, 0, batch.position(), batch.sequence()) };
        (batch, head, payload)
    }

    fn stored(table: &'static Table) -> Stored {
        let mut payload = Vec::new();
        Encoder::new().schema(table, &mut payload);
        Stored::read(&payload).unwrap()
    }

    #[test]
    fn a_batch_reads_back() {
        let (batch, head, payload) = encoded();
        let back = stored(IndexTick::TABLE).batch(&head, payload).unwrap();
        assert_eq!(back.columns(), batch.columns());
        assert_eq!((back.position(), back.sequence()), (4, 17));
    }

    #[test]
    fn a_column_appended_later_reads_as_null() {
        let whole = stored(OptionTrade::TABLE);
        let old: Vec<_> = whole.stored.fields().iter().take(12).cloned().collect();
        let old = Arc::new(Schema::new_with_metadata(old, whole.stored.metadata().clone()));
        let fitted = Stored::fit(OptionTrade::TABLE, old).unwrap();
        assert_eq!(fitted.places[Table::SEQUENCE], None);
        assert_eq!(fitted.places.iter().flatten().count(), 12);
        let short: Vec<_> = whole.stored.fields().iter().take(5).cloned().collect();
        let error = Stored::fit(OptionTrade::TABLE, Arc::new(Schema::new(short))).unwrap_err();
        assert!(matches!(error, Misfit::Newer(what) if what.contains("amount")));
    }

    #[test]
    fn a_column_that_today_does_not_know_is_passed_over() {
        let (batch, head, _) = encoded();
        let mut fields = stored(IndexTick::TABLE).stored.fields().to_vec();
        fields.push(Arc::new(Field::new("later", DataType::Int64, true)));
        let schema = Arc::new(Schema::new(fields));
        let mut columns = batch.columns().columns().to_vec();
        columns.remove(Table::SEQUENCE);
        columns.push(new_null_array(&DataType::Int64, 2));
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let mut encoder = Encoder::new();
        let mut tracker = DictionaryTracker::new(false);
        tracker.next_dict_id();
        let (dictionaries, rows) = encoder
            .generator
            .encode(&rows, &mut tracker, &encoder.options, &mut encoder.context)
            .unwrap();
        let mut payload = Vec::new();
        for message in dictionaries.into_iter().chain([rows]) {
            write_message(&mut payload, message, &encoder.options).unwrap();
        }
        let mut longer = Vec::new();
        let name = HashMap::from([(TABLE_KEY.to_owned(), "index_ticks".to_owned())]);
        let message = encoder.generator.schema_to_bytes_with_dictionary_tracker(
            &schema.as_ref().clone().with_metadata(name),
            &mut DictionaryTracker::new(false),
            &encoder.options,
        );
        write_message(&mut longer, message, &encoder.options).unwrap();
        let back = Stored::read(&longer).unwrap().batch(&head, payload).unwrap();
        assert_eq!(back.columns(), batch.columns());
    }

    #[test]
    fn one_column_can_be_read_alone() {
        let (_, _, payload) = encoded();
        let column = stored(IndexTick::TABLE).column("timestamp", payload).unwrap().unwrap();
        assert_eq!(column.len(), 2);
    }

    #[test]
    fn a_cut_payload_is_refused() {
        let (_, head, payload) = encoded();
        let stored = stored(IndexTick::TABLE);
        for length in 0..payload.len() {
            stored.batch(&head, payload[..length].to_vec()).unwrap_err();
        }
    }
}
