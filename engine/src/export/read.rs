//! Reads the archive's files, in the columns that a table has today.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use schema::Table;

use super::archive::Missing;

/// The schema of these columns of a table, in the table's order; of all without a choice.
pub(super) fn schema(table: &Table, columns: Option<&[&str]>) -> SchemaRef {
    let whole = table.parquet();
    let Some(columns) = columns else { return whole };
    let fields = whole.fields().iter().filter(|field| columns.contains(&field.name().as_str()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// Hands on the rows of a file, in its order. A column that is younger than the file is missing in
/// its rows.
pub(super) fn rows(
    path: &Path,
    schema: &SchemaRef,
    mut each: impl FnMut(RecordBatch) -> Result<(), Missing>,
) -> Result<(), Missing> {
    let failed = |error: ParquetError| Missing::of(path, &error);
    let file = File::open(path).map_err(|error| failed(error.into()))?;
    let file = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let wanted = schema.fields().iter().map(|field| field.name().as_str());
    let columns = ProjectionMask::columns(file.parquet_schema(), wanted);
    let reader = file.with_projection(columns).with_batch_size(BATCH_ROWS).build();
    for batch in reader.map_err(failed)? {
        let batch = batch.and_then(|batch| fitted(&batch, schema));
        each(batch.map_err(|error| failed(ParquetError::from(error)))?)?;
    }
    Ok(())
}

/// The distinct texts of a column of some files, sorted.
pub(super) fn texts(
    paths: &[impl AsRef<Path>],
    table: &Table,
    column: &str,
) -> Result<BTreeSet<String>, Missing> {
    let schema = schema(table, Some(&[column]));
    let mut texts = BTreeSet::new();
    for path in paths {
        rows(path.as_ref(), &schema, |batch| {
            // A file is sorted by this column: most rows repeat the one before.
            let mut last = None;
            for text in batch.column(0).as_string::<i32>().iter().flatten() {
                if last != Some(text) {
                    texts.insert(text.to_owned());
                    last = Some(text);
                }
            }
            Ok(())
        })?;
    }
    Ok(texts)
}

fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &Arc<arrow_schema::Field>| match batch.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    let columns = schema.fields().iter().map(column).collect();
    // Refused if a column is of another type, or is missing where it must not be.
    RecordBatch::try_new(Arc::clone(schema), columns)
}

const BATCH_ROWS: usize = 8_192;
