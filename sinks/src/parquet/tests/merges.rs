//! Merges of sorted files against the plain way: read everything, sort, compare.

use std::collections::BTreeMap;

use super::*;
use crate::contract::{Rows, add};
use crate::parquet::file::Writing;
use crate::parquet::merge::{FAN_IN, Merged, Selection, merge};

/// What flushes of a few records each leave, by folder.
fn folders(disk: &Simulated, flushes: usize, wide: bool) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut sample = Sample::new(flushes as u64);
    let mut sink = sink(disk);
    sink.open("j").unwrap();
    for _ in 0..flushes {
        let batches = if wide { sample.every_table(30) } else { sample.batches(3) };
        sink.write(&batches).unwrap();
        sink.close().unwrap();
    }
    let mut folders = BTreeMap::<PathBuf, Vec<PathBuf>>::new();
    for path in files(disk) {
        folders.entry(path.parent().unwrap().to_owned()).or_default().push(path);
    }
    folders
}

fn table_of(folder: &Path) -> &'static Table {
    let below = folder.strip_prefix(Path::new(DATA).join(NAME)).unwrap();
    tables::named(below.iter().next().unwrap().to_str().unwrap()).unwrap()
}

fn merged(disk: &Simulated, files: &[PathBuf], selection: &Selection) -> Merged {
    let folder = files[0].parent().unwrap();
    let (shared, scratch): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), Path::new("/scratch"));
    merge(&shared, table_of(folder), files, selection, scratch).unwrap()
}

/// The rows, checked to be sorted.
fn rows_of(table: &'static Table, batches: Merged) -> Rows {
    let mut rows = Rows::new();
    let mut last = None;
    for batch in batches {
        let batch = batch.unwrap();
        assert!(batch.num_rows() > 0, "a batch is never empty");
        for row in 0..batch.num_rows() {
            let key = Some(key(table, &batch, row));
            assert!(last <= key, "{last:?} {key:?}");
            last = key;
        }
        add(&mut rows, table, batch.columns());
    }
    rows
}

fn key(table: &Table, batch: &RecordBatch, row: usize) -> (String, i64, i64) {
    let time = batch.column_by_name(table.time).unwrap();
    let time = time.as_primitive::<TimestampMicrosecondType>().value(row);
    let sequence = batch.column(Table::SEQUENCE).as_primitive::<Int64Type>().value(row);
    let name = match table.partition {
        Partition::CurrencyAndDate(name) => {
            batch.column_by_name(name).unwrap().as_string::<i32>().value(row)
        }
        _ => "",
    };
    (name.to_owned(), time, sequence)
}

fn plain(disk: &Simulated, table: &'static Table, files: &[PathBuf]) -> Rows {
    let mut rows = Rows::new();
    for path in files {
        let bytes = Bytes::from(disk.bytes(path).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        reader.for_each(|batch| add(&mut rows, table, batch.unwrap().columns()));
    }
    rows
}

#[test]
fn every_table_merges() {
    let disk = Simulated::new(1);
    for (folder, files) in folders(&disk, 5, true) {
        let table = table_of(&folder);
        let merge = merged(&disk, &files, &Selection::default());
        assert_eq!(merge.schema(), table.parquet());
        let counted = merge.rows_max();
        let rows = rows_of(table, merge);
        assert_eq!(counted as usize, rows.values().map(Vec::len).sum::<usize>());
        assert!(rows == plain(&disk, table, &files), "{}", folder.display());
    }
}

#[test]
fn more_files_than_one_merge_reads_go_through_passes() {
    let disk = Simulated::new(1);
    let (mut wide, scratch) = (0, Path::new("/scratch"));
    for (folder, files) in folders(&disk, 4 * FAN_IN, false) {
        wide += usize::from(files.len() > FAN_IN);
        let table = table_of(&folder);
        let merge = merged(&disk, &files, &Selection::default());
        let left = disk.list(scratch).unwrap().len();
        assert_eq!(left > 0, files.len() > FAN_IN, "a pass writes");
        assert!(rows_of(table, merge) == plain(&disk, table, &files), "{}", folder.display());
        assert_eq!(disk.list(scratch).unwrap(), [], "the scratch is empty again");
    }
    assert!(wide > 2, "only {wide} folders have too many files for one merge");
}

#[test]
fn only_what_is_selected_is_read() {
    let disk = Simulated::new(1);
    let from = schema::Date::from_civil(2026, 11, 24).start();
    for (folder, files) in folders(&disk, 3 * FAN_IN, false) {
        let table = table_of(&folder);
        let to = Micros(from.0 + 5_000);
        let prefix = "BTC-6".into();
        let selection = Selection { from, to, prefix, ..Selection::default() };
        let all = merged(&disk, &files, &Selection::default());
        let mut expected = Rows::new();
        for batch in all.map(Result::unwrap) {
            let wanted: arrow_array::BooleanArray = (0..batch.num_rows())
                .map(|row| {
                    let (name, time, _) = key(table, &batch, row);
                    let named = matches!(table.partition, Partition::CurrencyAndDate(_));
                    let named = !named || name.starts_with("BTC-6");
                    Some(named && time >= from.0 && time < to.0)
                })
                .collect();
            let batch = arrow_select::filter::filter_record_batch(&batch, &wanted).unwrap();
            add(&mut expected, table, batch.columns());
        }
        let rows = rows_of(table, merged(&disk, &files, &selection));
        assert!(rows == expected, "{}: {} {}", folder.display(), rows.len(), expected.len());
    }
}

#[test]
fn columns_that_a_file_is_older_than_are_null() {
    let disk = Simulated::new(1);
    let (folder, files) = folders(&disk, 2, true)
        .into_iter()
        .find(|(folder, files)| table_of(folder).name == "option_quotes" && files.len() > 1)
        .unwrap();
    let table = table_of(&folder);
    let old = folder.join(FileName::new("j", 900, 901).to_string());
    // The columns that the first version had, and one that this version does not know.
    let known: Vec<usize> = (0..table.columns.len() - 4).collect();
    let narrow = Arc::new(table.parquet().project(&known).unwrap());
    let mut writing = Writing::create(&disk, &old, table, &narrow, &[]).unwrap();
    for batch in merged(&disk, &files[1..], &Selection::default()) {
        writing.write(&disk, &batch.unwrap().project(&known).unwrap()).unwrap();
    }
    writing.finish(&disk).unwrap();
    let rows = rows_of(table, merged(&disk, &[files[0].clone(), old], &Selection::default()));
    let mut expected = plain(&disk, table, &files[..1]);
    for (key, cells) in plain(&disk, table, &files[1..]) {
        let blank = |mut row: Vec<Option<String>>| {
            row[known.len()..].fill(None);
            row
        };
        expected.entry(key).or_default().extend(cells.into_iter().map(blank));
    }
    assert!(rows == expected);
}

#[test]
fn some_columns_come_with_those_that_sort() {
    let disk = Simulated::new(1);
    let folders = folders(&disk, 2, true);
    let (folder, files) = folders.iter().find(|(_, files)| files.len() > 1).unwrap();
    let table = table_of(folder);
    let last = table.columns.last().unwrap().name;
    let selection = Selection { columns: Some(vec![last]), ..Selection::default() };
    let batches = merged(&disk, files, &selection);
    let schema = batches.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert!(names.contains(&table.time) && names.contains(&"sequence"), "{names:?}");
    assert!(names.last() == Some(&last) && names.len() <= 4, "{names:?}");
    let narrow: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
    let all: usize = plain(&disk, table, files).values().map(Vec::len).sum();
    assert_eq!(narrow, all);
}

#[test]
fn what_is_not_sorted_is_refused() {
    let disk = Simulated::new(1);
    let folders = folders(&disk, 2, true);
    let (folder, files) = folders.iter().find(|(_, files)| files.len() > 1).unwrap();
    let bad = folder.join(FileName::new("j", 900, 901).to_string());
    let table = table_of(folder);
    let mut writing = Writing::create(&disk, &bad, table, &table.parquet(), &[]).unwrap();
    for path in files.iter().rev() {
        for batch in merged(&disk, std::slice::from_ref(path), &Selection::default()) {
            writing.write(&disk, &batch.unwrap()).unwrap();
        }
    }
    writing.finish(&disk).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let gone = folder.join("gone.parquet");
    let merge = |path: PathBuf| {
        merge(&disk, table, &[path], &Selection::default(), Path::new("/scratch")).unwrap_err()
    };
    assert!(merge(bad).to_string().contains("its rows are not sorted"));
    assert_eq!(merge(gone).kind, SinkErrorKind::Retry);
}
