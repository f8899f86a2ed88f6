//! The whole program with a real PostgreSQL behind it: what is in the database is what is in the
//! archive, value by value, whatever happened to either side.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::{Kind, Table, tables};
use serde_json::Value;
use tapedeck_tests::tape::files;
use tapedeck_tests::{Cluster, Rows, Running, stored};

use crate::market::{Market, PATIENCE, run};

const LOAD: [&str; 4] = ["--options", "300", "--rate", "1500"];

#[test]
fn the_database_holds_what_the_archive_holds() {
    let name = "database::the_database_holds_what_the_archive_holds";
    let Some(cluster) = Cluster::start(name) else { return };
    let mut market = Market::start(&LOAD);
    let recorder = market.recorder(&["--for", "8s"]);
    let output = good_end(with_database(recorder, &cluster.url("postgres")));
    assert!(output.contains("Sink postgres holds all that the journal holds"), "{output}");
    let tape = market.assert_complete();
    assert!(tape.keys.len() > 1_000, "{} rows", tape.keys.len());
    assert_same(&cluster, "postgres", &market);
    let quarantined = cluster.psql("postgres", "SELECT count(*) FROM quarantine");
    assert_eq!(quarantined, "0");
}

#[test]
fn neither_side_minds_a_handful_of_kills() {
    let name = "database::neither_side_minds_a_handful_of_kills";
    if let Some(cluster) = Cluster::start(name) {
        kill_both(cluster, 3, 1);
    }
}

/// Kills the recorder and the server in turn, so many times each, and then records to a good end.
pub(crate) fn kill_both(mut cluster: Cluster, kills: usize, seed: u64) {
    let database = cluster.database("killed");
    let url = cluster.url(database);
    let mut market = Market::start(&LOAD);
    let mut random = seed;
    let mut while_at_work = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        sleep(Duration::from_millis(300 + (random >> 33) % 3_000));
    };
    for _ in 0..kills {
        let mut recorder = Running::start(&mut with_database(market.recorder(&[]), &url));
        while_at_work();
        cluster.kill();
        while_at_work();
        cluster.run();
        while_at_work();
        recorder.kill();
    }
    good_end(with_database(market.recorder(&["--for", "12s"]), &url));
    let tape = market.assert_gaps_cover();
    assert_same(&cluster, database, &market);
    println!("{} rows after {kills} kills of each side, seed {seed}", tape.keys.len());
}

#[test]
fn a_database_that_is_away_is_caught_up_with() {
    let name = "database::a_database_that_is_away_is_caught_up_with";
    let Some(mut cluster) = Cluster::start(name) else { return };
    let url = cluster.url("postgres");
    let mut market = Market::start(&LOAD);
    // Away from the start, and again in the middle.
    cluster.stop();
    let mut recorder = Running::start(&mut with_database(market.recorder(&[]), &url));
    let _ = recorder.wait_for("the database is tried again", PATIENCE);
    let _ = recorder.wait_for("recording ", PATIENCE);
    sleep(Duration::from_secs(2));
    cluster.run();
    await_position_above(&cluster, 0);
    cluster.stop();
    sleep(Duration::from_secs(5));
    cluster.run();
    let before = position(&cluster);
    await_position_above(&cluster, before);
    recorder.terminate();
    let status = recorder.wait(PATIENCE);
    assert!(status.success(), "{status}\n{}", recorder.output());
    let tape = market.assert_complete();
    assert!(tape.gaps.is_empty(), "nothing was missed: {:?}", tape.gaps);
    assert_same(&cluster, "postgres", &market);
}

#[test]
fn what_waiting_cannot_mend_ends_the_start() {
    let name = "database::what_waiting_cannot_mend_ends_the_start";
    let Some(cluster) = Cluster::start(name) else { return };
    let market = Market::start(&["--options", "10", "--rate", "50"]);
    let right = cluster.url("postgres");
    let refused = |url: &str, code: i32, words: &str| {
        let recorder = market.recorder(&["--for", "3s", "--sink", "parquet,postgres"]);
        let (ended, output) = run(&mut with_database(recorder, url));
        assert_eq!(ended, Some(code), "{output}");
        assert!(output.contains(words), "{output}");
        assert!(!output.contains("s3cret"), "a password is shown: {output}");
    };
    let wrong = format!("postgres://postgres:s3cret@127.0.0.1:{}/postgres", cluster.port());
    refused(&wrong, 5, "password authentication failed");
    refused(&cluster.url("nowhere"), 5, "database \"nowhere\" does not exist");
    refused("postgres://postgres:s3cret@127.0.0.1:x/postgres", 2, "postgres://USER");
    refused("", 2, "sinks.postgres has no url");
    // Without being named, it is the address that turns the sink on; another list turns it off.
    let recorder = market.recorder(&["--for", "2s", "--sink", "parquet"]);
    let output = good_end(with_database(recorder, &wrong));
    assert!(!output.contains("postgres"), "{output}");
    // A database that stays away costs the exit code, and the recording nothing.
    let nobody =
        right.replace(&cluster.port().to_string(), &tapedeck_tests::free_port().to_string());
    let recorder = market.recorder(&["--for", "2s"]);
    let (ended, output) = run(&mut with_database(recorder, &nobody));
    assert_eq!(ended, Some(5), "{output}");
    assert!(output.contains("the next start stores the rest"), "{output}");
    let output = good_end(with_database(market.recorder(&["--for", "2s"]), &right));
    assert!(output.contains("Sink postgres holds all that the journal holds"), "{output}");
    assert_same(&cluster, "postgres", &market);
}

/// Up to which record the database holds the journal; 0 before it has a table that says so.
fn position(cluster: &Cluster) -> u64 {
    let table = "SELECT to_regclass('tapedeck_sinks') IS NOT NULL";
    if cluster.psql("postgres", table) != "t" {
        return 0;
    }
    let position = "SELECT COALESCE(max(position), 0) FROM tapedeck_sinks";
    cluster.psql("postgres", position).parse().unwrap()
}

fn await_position_above(cluster: &Cluster, before: u64) {
    let deadline = Instant::now() + PATIENCE;
    while position(cluster) <= before {
        assert!(Instant::now() < deadline, "nothing is stored after record {before}");
        sleep(Duration::from_millis(100));
    }
}

pub(crate) fn with_database(mut recorder: Command, url: &str) -> Command {
    recorder.env("DATABASE_URL", url);
    recorder
}

pub(crate) fn good_end(mut recorder: Command) -> String {
    let (code, output) = run(&mut recorder);
    assert_eq!(code, Some(0), "{output}");
    output
}

/// Every row of every table, each cell: the same in the database as in the archive.
#[track_caller]
pub(crate) fn assert_same(cluster: &Cluster, database: &str, market: &Market) {
    let (mut there, here) = (stored(cluster, database), archived(&market.data()));
    for ((table, _), rows) in &mut there {
        let table = tables::named(table).expect("a table of ours");
        rows.iter_mut().for_each(|row| canonical(table, row));
    }
    let lost = here.iter().find(|(key, rows)| there.get(*key) != Some(rows));
    assert!(lost.is_none(), "{lost:?} is {:?} in the database", there.get(lost.unwrap().0));
    let surplus = there.iter().find(|(key, _)| !here.contains_key(*key));
    assert!(surplus.is_none(), "only in the database: {surplus:?}");
    assert!(here.len() > 100, "{} rows were compared", here.len());
}

/// All that the archive holds.
fn archived(data: &std::path::Path) -> Rows {
    let mut rows = Rows::new();
    for table in tables::ALL {
        for path in files(&data.join("parquet").join(table.name)) {
            let file = std::fs::File::open(path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
            for batch in reader {
                let batch = batch.unwrap();
                for row in 0..batch.num_rows() {
                    let columns = table.columns.iter().zip(batch.columns());
                    let mut cells =
                        columns.map(|(column, array)| cell(column.kind, array, row)).collect();
                    canonical(table, &mut cells);
                    let sequence = cells[Table::SEQUENCE].as_ref().unwrap().parse().unwrap();
                    rows.entry((table.name, sequence)).or_default().push(cells);
                }
            }
        }
    }
    rows
}

fn cell(kind: Kind, array: &ArrayRef, row: usize) -> Option<String> {
    array.is_valid(row).then(|| match kind {
        Kind::Bool => array.as_boolean().value(row).to_string(),
        Kind::Float => {
            // NUMERIC has one zero.
            let value = array.as_primitive::<Float64Type>().value(row) + 0.0;
            format!("{:016x}", value.to_bits())
        }
        Kind::Int => array.as_primitive::<Int64Type>().value(row).to_string(),
        Kind::Time => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        Kind::Json | Kind::Name | Kind::Text => array.as_string::<i32>().value(row).to_owned(),
    })
}

/// A `jsonb` keeps what a document means, not how it was written.
fn canonical(table: &Table, cells: &mut Vec<Option<String>>) {
    for (column, cell) in table.columns.iter().zip(cells) {
        if column.kind == Kind::Json
            && let Some(text) = cell
        {
            let document: Value = serde_json::from_str(text).unwrap();
            *text = sorted(&document);
        }
    }
}

fn sorted(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key:?}:{}", sorted(value))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => items.iter().map(sorted).collect::<Vec<_>>().join(","),
        Value::Number(number) => format!("{:?}", number.as_f64()),
        other => other.to_string(),
    }
}
