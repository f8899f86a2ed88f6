//! A compacted day of option quotes, beside pyarrow, polars and DuckDB: bytes a row, rows a CPU
//! second, memory.
//!
//! `cargo run --release -p tapedeck-benches --bin day -- DATA [ROUNDS]` takes the quotes of an
//! archive, simulated or recorded, with 19 columns filled and their sequence. Each measurement is
//! a process of its own, the systems take turns, and the table has the medians. With
//! `UPDATE_EXPECT=1` the table goes into `benches/README.md`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, new_null_array};
use arrow_select::interleave::interleave_record_batch;
use journal::disk::{Disk, System};
use schema::tables::OptionQuote;
use schema::{Batch, Kind, Micros, Now, Origin, Row, Table};
use serde_json::{Value, json};
use sinks::parquet::{Options, Selection, list, merge};
use sinks::{Parquet, Sink};
use tapedeck_benches::cpu;
use tapedeck_benches::page::{median, publish};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figure = match texts[..] {
        ["write", from, to] => write(Path::new(from), Path::new(to)),
        ["compact", data] => compact(Path::new(data)),
        ["read", data] => read(Path::new(data)),
        [data] => return compare(Path::new(data), 3),
        [data, rounds] => return compare(Path::new(data), rounds.parse().expect("ROUNDS")),
        _ => panic!("day DATA [ROUNDS]"),
    };
    println!("{figure}");
}

/// Every system in turn, so many times.
fn compare(data: &Path, rounds: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ours = std::env::current_exe().expect("this program has a path");
    let python = tapedeck_tests::python().expect("tests/run --install, for the Python readers");
    let mut figures: Vec<Vec<Value>> = vec![Vec::new(); 3 + PEERS.len()];
    for round in 0..rounds {
        let day = folder.path().join(format!("day-{round}"));
        let day = day.to_str().expect("a path of text");
        let data = data.to_str().expect("a path of text");
        for (at, arguments) in
            [&["write", data, day][..], &["compact", day], &["read", day]].into_iter().enumerate()
        {
            figures[at].push(run(Command::new(&ours).args(arguments)));
        }
        let (out, files) = (folder.path().join("out.parquet"), files(Path::new(day)));
        for (at, (system, what, setting)) in PEERS.iter().enumerate() {
            let mut command = python.script("benches/peers/day.py");
            command.args([system, what, setting]).arg(columns().join(",")).arg(&out);
            figures[3 + at].push(run(command.args(&files)));
        }
        std::fs::remove_dir_all(day).expect("the folder was made here");
    }
    publish("day", &table(&figures));
}

fn run(command: &mut Command) -> Value {
    let output = command.output().expect("a program that runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("a line of JSON")
}

fn table(figures: &[Vec<Value>]) -> String {
    let median =
        |figures: &[Value], key: &str| median(figures.iter().filter_map(|it| it[key].as_f64()));
    let ours = ["sorted rows into a file a flush", "merging them into a day", "reading the day"];
    let ours = ours.map(|what| ("tapedeck", what, "zstd 1"));
    let mut text = format!(
        "{} rows, {} rounds.\n\n| system | what | compression | bytes a row | M rows a CPU \
         second | MiB added |\n|---|---|---|---|---|---|\n",
        figures[0][0]["rows"],
        figures[0].len()
    );
    for ((system, what, setting), figures) in ours.iter().chain(&PEERS).zip(figures) {
        let rows = median(figures, "rows");
        text += &format!(
            "| {system} | {what} | {setting} | {:.1} | {:.2} | {:.0} |\n",
            median(figures, "bytes") / rows,
            rows / median(figures, "cpu_s") / 1e6,
            median(figures, "mib")
        );
    }
    text
}

/// Stores the quotes of an archive again, a flush for each of its files.
fn write(from: &Path, to: &Path) -> Value {
    let mut sink = Parquet::new(Arc::new(System), to, Options { bytes_max: usize::MAX, ..OPTIONS });
    sink.open(JOURNAL).expect("a new folder");
    let (mut position, mut rows, mut cpu, mut kib) = (0, 0, 0.0, 0);
    for file in files(from) {
        let runs: Vec<RecordBatch> = merged(&[file]).collect();
        let batches: Vec<_> = received(&runs)
            .into_iter()
            .map(|columns| {
                position += 1;
                rows += columns.num_rows();
                Arc::new(Batch::new(TABLE, position, Origin::default(), few(&columns)))
            })
            .collect();
        let measured = measure(|| {
            sink.write(&batches).expect("room on the disk");
            sink.close().expect("room on the disk");
        });
        cpu += measured.0;
        kib = measured.1.max(kib);
    }
    figure(to, rows, cpu, kib)
}

/// Merges every day, as if each were long over.
fn compact(data: &Path) -> Value {
    let mut sink = Parquet::new(Arc::new(System), data, OPTIONS);
    let (cpu, kib) = measure(|| {
        sink.open(JOURNAL).expect("an archive of ours");
        for minutes in 0.. {
            let monotonic = Duration::from_secs(60 * minutes);
            sink.flush(Now { monotonic, utc: Micros(i64::MAX) }).expect("room on the disk");
            if minutes % LOOK_EVERY == 0 && is_merged(data) {
                break;
            }
            assert!(minutes < MINUTES_MAX, "a merge that does not end");
        }
    });
    let listing = list(&System, data).expect("an archive of ours");
    figure(data, listing.files.iter().map(|file| file.rows as usize).sum(), cpu, kib)
}

fn is_merged(data: &Path) -> bool {
    let mut files = files(data).into_iter();
    files.all(|file| file.to_string_lossy().contains("/merged-"))
}

fn read(data: &Path) -> Value {
    let mut rows = 0;
    let (cpu, kib) = measure(|| {
        for file in files(data) {
            rows += merged(&[file]).map(|columns| columns.num_rows()).sum::<usize>();
        }
    });
    figure(data, rows, cpu, kib)
}

fn figure(data: &Path, rows: usize, cpu: f64, kib: u64) -> Value {
    let files = files(data);
    let bytes = |file: &PathBuf| file.metadata().expect("a file of the archive").len();
    let bytes: u64 = files.iter().map(bytes).sum();
    json!({ "rows": rows, "bytes": bytes, "cpu_s": cpu, "mib": kib as f64 / 1_024.0 })
}

/// The quotes' files, sorted by name.
fn files(data: &Path) -> Vec<PathBuf> {
    let listing = list(&System, data).expect("an archive of ours");
    let quotes = listing.files.into_iter().filter(|file| file.table == TABLE.name);
    quotes.map(|file| data.join("parquet").join(file.path)).collect()
}

fn merged(files: &[PathBuf]) -> impl Iterator<Item = RecordBatch> {
    let disk: Arc<dyn Disk> = Arc::new(System);
    let columns = Some(columns());
    let selection = Selection { columns, ..Selection::default() };
    let scratch = std::env::temp_dir();
    let merged = merge(&disk, TABLE, files, &selection, &scratch).expect("an archive of ours");
    merged.map(|columns| columns.expect("an archive of ours"))
}

/// The rows in the order in which they were received, a contiguous sequence a batch: what stands
/// between them are rows of other tables.
fn received(runs: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    for (run, columns) in runs.iter().enumerate() {
        let sequences = columns.column(Table::SEQUENCE).as_primitive::<Int64Type>().values();
        rows.extend(sequences.iter().enumerate().map(|(row, sequence)| (*sequence, run, row)));
    }
    rows.sort_unstable();
    let batches = rows.chunk_by(|a, b| a.0 + 1 == b.0).map(|rows| {
        let places: Vec<_> = rows.iter().map(|(_, run, row)| (*run, *row)).collect();
        let runs: Vec<_> = runs.iter().collect();
        interleave_record_batch(&runs, &places).expect("runs of one table")
    });
    batches.collect()
}

/// As the journal holds them: names in dictionaries, nothing beyond the first columns.
fn few(columns: &RecordBatch) -> RecordBatch {
    let (schema, rows) = (TABLE.arrow(), columns.num_rows());
    let cells = TABLE.columns.iter().zip(schema.fields()).map(|(column, field)| {
        match columns.column_by_name(column.name) {
            Some(cells) if column.kind == Kind::Name => {
                let names: DictionaryArray<Int32Type> = cells.as_string::<i32>().iter().collect();
                Arc::new(names) as ArrayRef
            }
            Some(cells) => Arc::clone(cells),
            None => new_null_array(field.data_type(), rows),
        }
    });
    let cells = cells.collect();
    RecordBatch::try_new(schema, cells).expect("the table's columns")
}

fn columns() -> Vec<&'static str> {
    TABLE.columns[..FEW].iter().map(|column| column.name).collect()
}

/// The thread's CPU seconds, and the KiB that the process's memory grew by at most.
fn measure(work: impl FnOnce()) -> (f64, u64) {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let (kib, before) = (status("VmRSS:"), cpu::of_thread());
    work();
    (cpu::of_thread() - before, status("VmHWM:").saturating_sub(kib))
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known line");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
}

const TABLE: &Table = OptionQuote::TABLE;
/// The predecessor's 19, the two clocks among them, and our sequence.
const FEW: usize = 20;
const JOURNAL: &str = "0e0c9f5c-7a8e-4a39-9c94-0d3f7d1f2a11";
const OPTIONS: Options = Options {
    age_max: Duration::from_secs(600),
    bytes_max: 24 << 20,
    settle: Duration::ZERO,
    grace: Duration::ZERO,
    markers: Duration::ZERO,
    keep_days: None,
};
/// Enough steps for a merge of any size that is measured here.
const MINUTES_MAX: u64 = 100_000;
const LOOK_EVERY: u64 = 64;
const PEERS: [(&str, &str, &str); 9] = [
    ("pyarrow", "write", "zstd 1"),
    ("polars", "write", "zstd 1"),
    ("duckdb", "write", "zstd 1"),
    ("pyarrow", "write", "default"),
    ("polars", "write", "default"),
    ("duckdb", "write", "default"),
    ("pyarrow", "read", "our day"),
    ("polars", "read", "our day"),
    ("duckdb", "read", "our day"),
];
