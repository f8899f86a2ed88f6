//! Other clients, each a process: `benches/peers/postgres.py`.

use std::process::Command;

use serde_json::Value;

use crate::bench::{Bench, Figure};

/// Another client.
pub(crate) struct Peer {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// What `postgres.py` calls it.
    word: &'static str,
    /// Which files it reads.
    format: &'static str,
    /// Made before it, and removed after it; `quotes` is put aside.
    table: Option<&'static str>,
}

impl Bench {
    /// Lets a peer store all rows, and counts them.
    pub(crate) fn measure_peer(&self, peer: &Peer) -> Figure {
        let Some(table) = peer.table else { return self.measure(|bench| bench.run(peer)) };
        self.sql("ALTER TABLE quotes RENAME TO aside");
        self.sql(table);
        self.sql("CHECKPOINT");
        let figure = self.run(peer);
        self.sql("DROP TABLE quotes; ALTER TABLE aside RENAME TO quotes");
        figure
    }

    fn run(&self, peer: &Peer) -> Figure {
        let script = tapedeck_tests::root().join("benches/peers/postgres.py");
        let python = tapedeck_tests::root().join("target/peers/bin/python");
        assert!(python.is_file(), "no {}: run benches/peers/install", python.display());
        let mut command = Command::new(python);
        command.arg(script).args([peer.word, &self.url()]).args(self.files(peer.format));
        let before = self.server();
        let output = command.output().expect("Python runs");
        let server = self.server() - before;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", peer.name);
        let figure: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
        let seconds = |key: &str| figure[key].as_f64().expect("a number of seconds");
        Figure { wall: seconds("wall_s"), client: seconds("client_s"), server }
    }
}

const fn peer(name: &'static str, word: &'static str, format: &'static str) -> Peer {
    Peer { name, word, format, table: None }
}

/// Everybody else. What Python's clients store lies in their own objects before the clock starts,
/// numbers as Decimal: how it got there is not measured.
pub(crate) const PEERS: [Peer; 7] = [
    peer("psql \\copy, binary", "psql-binary", "binary"),
    peer("psql \\copy, text", "psql-text", "text"),
    peer("ADBC, ingest of Arrow decimals", "adbc", "text"),
    peer("asyncpg, copy_records_to_table", "asyncpg", "text"),
    peer("psycopg 3, binary COPY by row", "psycopg", "text"),
    peer("asyncpg, executemany of INSERT", "insert", "text"),
    Peer {
        table: Some(PREDECESSOR),
        ..peer("the predecessor's statement, a model", "predecessor", "text")
    },
];

/// The predecessor's table: its bounds of numbers, and its key.
const PREDECESSOR: &str = "CREATE TABLE quotes (timestamp timestamptz NOT NULL, \
    instrument varchar(50) NOT NULL, best_bid_price numeric(20,10), best_bid_amount numeric(20,8), \
    best_ask_price numeric(20,10), best_ask_amount numeric(20,8), underlying_price numeric(20,10), \
    mark_price numeric(20,10), delta numeric(12,6), gamma numeric(12,6), theta numeric(12,6), \
    vega numeric(12,6), rho numeric(12,6), implied_volatility numeric(12,4), \
    bid_iv numeric(12,4), ask_iv numeric(12,4), mark_iv numeric(12,4), \
    open_interest numeric(20,8), last_price numeric(18,8), PRIMARY KEY (timestamp, instrument))";
