//! What the Parquet sink leaves on a disk, looked at file by file.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use journal::disk::Simulated;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::{Micros, Table, instrument};

use super::*;
use crate::SinkErrorKind;
use crate::sample::Sample;

mod cuts;
mod keeping;
mod merges;
mod views;

/// The rows of every file that the manifest knows. Checks each file on the way: its columns, its
/// order, its folder, its metadata, and what the manifest says of it.
pub(crate) fn stored(disk: &Simulated) -> Vec<(&'static Table, RecordBatch)> {
    let mut all = Vec::new();
    for file in known(disk) {
        let bytes = disk.bytes(&Path::new(DATA).join(NAME).join(&file.path)).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        let table = tables::named(&file.table).unwrap();
        let rows = read(table, &file, bytes);
        check_order(table, &file, &rows);
        all.push((table, rows));
    }
    all
}

fn known(disk: &Simulated) -> Vec<Stored> {
    known_to(disk, Path::new(DATA))
}

fn known_to(disk: &dyn Disk, data: &Path) -> Vec<Stored> {
    let contents = Contents::read(disk, data).unwrap();
    contents.unwrap_or_default().files.into_values().collect()
}

fn read(table: &'static Table, stored: &Stored, bytes: Vec<u8>) -> RecordBatch {
    let file = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    let facts = file.metadata().file_metadata().key_value_metadata().unwrap();
    let fact = |name: &str| {
        let fact = facts.iter().find(|fact| fact.key == name).unwrap();
        fact.value.clone().unwrap()
    };
    assert_eq!(fact("tapedeck.table"), table.name);
    let (_, name) = stored.path.rsplit_once('/').unwrap();
    match FileName::parse(name) {
        Some(name) => assert_eq!(
            name.facts(table)
                .map(|(key, value)| {
                    assert_eq!(fact(&format!("tapedeck.{key}")), value);
                    key
                })
                .len(),
            facts.len(),
            "no embedded Arrow schema"
        ),
        None => assert!(name::is_merged(name) && facts.len() == 4, "{name}: {facts:?}"),
    }
    let expected = table.parquet();
    for (field, expected) in file.schema().fields().iter().zip(expected.fields()) {
        assert_eq!((field.name(), field.data_type()), (expected.name(), expected.data_type()));
        assert_eq!(field.is_nullable(), expected.is_nullable());
    }
    assert_eq!(file.schema().fields().len(), table.columns.len(), "no hive key in the file");
    let schema = std::sync::Arc::clone(file.schema());
    let batches: Result<Vec<_>, _> = file.build().unwrap().collect();
    concat_batches(&schema, &batches.unwrap()).unwrap()
}

fn check_order(table: &Table, file: &Stored, rows: &RecordBatch) {
    let column = |name| rows.column_by_name(name).unwrap();
    let times = column(table.time).as_primitive::<TimestampMicrosecondType>().values();
    let sequences = rows.column(Table::SEQUENCE).as_primitive::<Int64Type>().values();
    let names: Vec<&str> = match table.partition {
        Partition::CurrencyAndDate(name) => {
            column(name).as_string::<i32>().iter().flatten().collect()
        }
        _ => vec![""; rows.num_rows()],
    };
    let keys: Vec<_> =
        (0..rows.num_rows()).map(|row| (names[row], times[row], sequences[row])).collect();
    assert!(keys.is_sorted(), "{}", file.path);
    assert_eq!(file.rows, rows.num_rows() as u64);
    let (least, greatest) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert_eq!(file.time, [*least, *greatest]);
    let (least, greatest) = (sequences.iter().min().unwrap(), sequences.iter().max().unwrap());
    assert_eq!(file.sequence, [*least, *greatest]);
    if table.partition != Partition::Whole {
        let date = format!("/date={}/", Micros(*times.first().unwrap()).date());
        assert!(
            file.path.contains(&date) && Micros(file.time[0]).date() == Micros(file.time[1]).date()
        );
    }
    if let Partition::CurrencyAndDate(_) = table.partition {
        let currency = instrument::currency(names[0]);
        assert!(names.iter().all(|name| instrument::currency(name) == currency));
        let plain = currency.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain && !currency.is_empty() {
            assert!(file.path.contains(&format!("/currency={currency}/")), "{}", file.path);
        }
    }
}

/// Every path below `DATA/parquet` that is a file.
fn files(disk: &Simulated) -> BTreeSet<PathBuf> {
    files_below(disk, Path::new(DATA).join(NAME))
}

/// Those of the files that are markers, each with the path that it belongs to.
fn markers(disk: &Simulated) -> BTreeMap<PathBuf, PathBuf> {
    let marker = |path: PathBuf| {
        let mut bytes = std::io::Cursor::new(disk.bytes(&path).unwrap());
        let name = marker::named(&mut bytes).unwrap()?;
        Some((path.clone(), path.with_file_name(name)))
    };
    files(disk).into_iter().filter_map(marker).collect()
}

/// What is being merged, and what was replaced.
fn merging(disk: &Simulated) -> BTreeSet<PathBuf> {
    files_below(disk, Path::new(DATA).join("sinks/parquet/merging"))
}

fn files_below(disk: &Simulated, folder: PathBuf) -> BTreeSet<PathBuf> {
    let mut folders = vec![folder];
    let mut files = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in disk.list(&folder).unwrap() {
            if entry.folder {
                folders.push(entry.path);
            } else {
                files.insert(entry.path);
            }
        }
    }
    files
}

fn sink(disk: &Simulated) -> Parquet {
    Parquet::new(Arc::new(disk.clone()), Path::new(DATA), Options::default())
}

fn stored_one() -> (Simulated, PathBuf) {
    let disk = Simulated::new(1);
    let mut sink = sink(&disk);
    sink.open("j").unwrap();
    sink.write(&Sample::new(1).batches(3)).unwrap();
    sink.close().unwrap();
    sink.write(&{
        let mut sample = Sample::new(1);
        sample.batches(3);
        sample.batches(3)
    })
    .unwrap();
    assert_eq!(sink.close().unwrap(), Position(6));
    (disk, Manifest::path(Path::new(DATA)))
}

#[test]
fn a_torn_end_is_cut() {
    let (disk, path) = stored_one();
    let whole = disk.bytes(&path).unwrap();
    sink(&disk).open("j").unwrap();
    let anew = disk.bytes(&path).unwrap();
    for end in ["x", "00000000 {}\n", "\n\n\0\0\n", "0"] {
        disk.plant(&path, &[&whole, end.as_bytes()].concat());
        assert_eq!(sink(&disk).open("j").unwrap(), Position(6));
        assert_eq!(disk.bytes(&path).unwrap(), anew);
    }
    disk.plant(&path, &whole[..whole.len() - 1]);
    assert_eq!(sink(&disk).open("j").unwrap(), Position(3));
    assert_eq!(files(&disk).len(), known(&disk).len(), "the files of the cut line are gone");
}

#[track_caller]
fn check_stops(disk: &Simulated, says: &str) {
    let before = files(disk);
    let error = sink(disk).open("j").unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Stop);
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(files(disk), before, "nothing is removed");
}

#[test]
fn a_damaged_manifest_stops() {
    let (disk, path) = stored_one();
    let whole = disk.bytes(&path).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let mut damaged = whole.clone();
    damaged[first + 20] ^= 1;
    disk.plant(&path, &damaged);
    check_stops(&disk, "line 2 is damaged, while later ones are whole");
    damaged.clone_from(&whole);
    damaged[first - 1] ^= 1;
    disk.plant(&path, &damaged);
    check_stops(&disk, "line 1 is damaged");
    disk.plant(&path, b"");
    check_stops(&disk, "line 1 is missing");
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    disk.plant(&path, &[&whole[..], &whole[last + 1..]].concat());
    check_stops(&disk, "line 5 repeats records");
}

#[test]
fn a_missing_manifest_stops() {
    let (disk, path) = stored_one();
    disk.remove(&path).unwrap();
    check_stops(&disk, "it is gone, but files of this sink are not");
}

#[test]
fn foreign_files_are_left_alone() {
    let (disk, _) = stored_one();
    let file = FileName::new("j", 90, 99);
    let day = "option_quotes/currency=BTC/date=2026-11-24";
    let ours = [format!("{day}/{file}"), format!("{day}/{}", file.unfinished())];
    let foreign = [
        format!("{day}/mine.parquet"),
        format!("{day}/{file}.bak"),
        format!("backup/{file}"),
        format!("option_quotes/{file}"),
        format!("{day}/deeper/{file}"),
        format!("option_quotes/currency=BTC/{file}"),
    ];
    for below in ours.iter().chain(&foreign) {
        let path = Path::new(DATA).join(NAME).join(below);
        disk.create_folder(path.parent().unwrap()).unwrap();
        disk.plant(&path, b"something");
    }
    sink(&disk).open("j").unwrap();
    let left = files(&disk);
    let exists = |below: &String| left.contains(&Path::new(DATA).join(NAME).join(below));
    assert!(foreign.iter().all(exists));
    assert!(!ours.iter().any(exists));
}

#[test]
fn a_full_disk_is_tried_again() {
    let disk = Simulated::new(1);
    let mut sink = sink(&disk);
    sink.open("j").unwrap();
    let batches = Sample::new(1).batches(3);
    disk.set_room(Some(2_000));
    sink.write(&batches).unwrap();
    let error = sink.close().unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Retry);
    assert!(error.to_string().contains("bytes free: make room"), "{error}");
    disk.set_room(None);
    assert_eq!(sink.open("j").unwrap(), Position(0));
    sink.write(&batches).unwrap();
    assert_eq!(sink.close().unwrap(), Position(3));
}

#[test]
fn bytes_alone_make_rows_durable() {
    let disk = Simulated::new(1);
    let batches = Sample::new(1).batches(10);
    let options = Options { bytes_max: batches[0].bytes() + 1, ..Options::default() };
    let mut sink = Parquet::new(Arc::new(disk.clone()), Path::new(DATA), options);
    sink.open("j").unwrap();
    sink.write(&batches).unwrap();
    assert!(sink.flush(Now::default()).unwrap() >= Position(8));
}

const DATA: &str = "/data";
