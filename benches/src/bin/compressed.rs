//! Bytes a row of option quotes that TimescaleDB has compressed: in the predecessor's 19 columns,
//! and in all of ours.
//!
//! `cargo run --release -p tapedeck-benches --bin compressed -- DATA [ROWS]` takes the quotes in
//! the journal of a recorder. The server holds what is copied in memory: give it 150,000 rows. A
//! compressed row is up to 1,000 of one option's: the fewer rows an option has, the dearer they
//! are. With `UPDATE_EXPECT=1` the table goes into `benches/README.md`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schema::tables::OptionQuote;
use schema::{Batch, Row};
use sinks::postgres::Options;
use sinks::{Postgres, Sink};
use tapedeck::tls::Trust;
use tapedeck_benches::page::publish;
use tapedeck_benches::{quotes, tape};
use tapedeck_tests::Cluster;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (data, rows) = match &arguments[..] {
        [data] => (data, 150_000),
        [data, rows] => (data, rows.parse().expect("ROWS")),
        _ => panic!("compressed DATA [ROWS]"),
    };
    let batches = tape::batches(Path::new(data));
    let cluster = Cluster::timescale("compressed").expect("tests/run --install");
    let few = quotes::nineteen();
    let all = OptionQuote::TABLE;
    let mut table = String::from(
        "| table | rows | options | bytes a row | compressed |\n|---|---|---|---|---|\n",
    );
    let mut sink = open(&cluster, Options::default(), "all");
    store(&mut sink, quotes::transactions(&batches, all, rows, EACH));
    for name in ["btc_option_quotes", "eth_option_quotes"] {
        table += &line(&cluster, name, "all of ours");
    }
    let _ = cluster.psql("postgres", &quotes::statement(few));
    for statement in [
        "SELECT create_hypertable('quotes', 'timestamp', chunk_time_interval => interval '1 day')",
        "ALTER TABLE quotes SET (timescaledb.compress, \
             timescaledb.compress_segmentby = 'instrument', \
             timescaledb.compress_orderby = 'timestamp')",
    ] {
        let _ = cluster.psql("postgres", statement);
    }
    let mut sink = open(&cluster, Options { migrations: None, ..Options::default() }, "few");
    store(&mut sink, quotes::transactions(&batches, few, rows, EACH));
    table += &line(&cluster, "quotes", "the predecessor's 19");
    publish("compressed", &table);
}

fn open(cluster: &Cluster, options: Options, journal: &str) -> Postgres {
    let address = (cluster.url("postgres") + "?sslmode=disable").parse().expect("an address");
    let trust = Trust::of(None).expect("the system's authorities").config;
    let bounds = Options { age_max: Duration::MAX, bytes_max: usize::MAX, ..options };
    let mut sink = Postgres::new(address, trust, bounds);
    let _ = sink.open(journal).expect("the server takes us");
    sink
}

fn store(sink: &mut Postgres, transactions: Vec<Vec<Arc<Batch>>>) {
    for transaction in transactions {
        sink.write(&transaction).expect("the sink takes its rows");
        let _ = sink.close().expect("the sink stores its rows");
    }
}

/// Compresses a table, and says how large it was and is.
fn line(cluster: &Cluster, name: &str, columns: &str) -> String {
    let ask = |sql: &str| cluster.psql("postgres", sql);
    let number = |sql: &str| ask(sql).parse::<f64>().expect("a number");
    let rows = number(&format!("SELECT count(*) FROM {name}"));
    let options = number(&format!("SELECT count(DISTINCT instrument) FROM {name}"));
    let _ = ask(&format!("SELECT compress_chunk(chunk) FROM show_chunks('{name}') AS chunk"));
    let size = |when: &str| {
        let sql = format!("SELECT {when}_compression_total_bytes ");
        number(&format!("{sql} FROM hypertable_compression_stats('{name}')"))
    };
    let (before, after) = (size("before") / rows, size("after") / rows);
    format!("| {name}, {columns} | {rows:.0} | {options:.0} | {before:.0} | {after:.1} |\n")
}

/// Rows a transaction.
const EACH: usize = 10_000;
