//! A server, the rows as everybody takes them, and what one system costs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schema::{Batch, Table};
use sinks::postgres::{Address, Options, with_session};
use sinks::{Postgres, Sink};
use tapedeck::tls::Trust;
use tapedeck_benches::{cpu, quotes};
use tapedeck_tests::Cluster;

/// What it cost to store all rows.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// From the first transaction to the end of the last, s.
    pub(crate) wall: f64,
    /// CPU time of the client, all its threads, s.
    pub(crate) client: f64,
    /// CPU time of all the server's processes, s.
    pub(crate) server: f64,
}

impl Figure {
    /// CPU time in all, s.
    pub(crate) fn cpu(&self) -> f64 {
        self.client + self.server
    }
}

/// A server of its own, and the transactions.
pub(crate) struct Bench {
    cluster: Cluster,
    address: Address,
    trust: Trust,
    transactions: Vec<Vec<Arc<Batch>>>,
}

impl Bench {
    /// Starts the server, makes the table, and writes each transaction into files that the server
    /// itself copies from: they hold what our sink has stored.
    pub(crate) fn start(table: &'static Table, transactions: Vec<Vec<Arc<Batch>>>) -> Self {
        let cluster = Cluster::start_with("copy", &SETTINGS).expect("tests/run --install");
        let url = cluster.url("postgres") + "?sslmode=disable";
        let address: Address = url.parse().expect("an address");
        let trust = Trust::of(None).expect("the system's authorities");
        let bench = Self { cluster, address, trust, transactions };
        bench.sql(&quotes::statement(table));
        let mut sink = bench.open(true, Options::default());
        for (at, transaction) in bench.transactions.iter().enumerate() {
            sink.write(transaction).expect("the sink takes its rows");
            let _ = sink.close().expect("the sink stores its rows");
            for format in FORMATS {
                let file = bench.file(at, format);
                bench.sql(&format!("COPY quotes TO '{}' (FORMAT {format})", file.display()));
            }
            bench.sql("TRUNCATE quotes");
        }
        bench
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.transactions.iter().flatten().map(|batch| batch.rows()).sum()
    }

    /// Lets a system store all rows into the empty table, and counts them.
    pub(crate) fn measure(&self, run: impl FnOnce(&Self) -> Figure) -> Figure {
        self.sql("TRUNCATE quotes; CHECKPOINT");
        let figure = run(self);
        let stored = self.cluster.psql("postgres", "SELECT count(*) FROM quotes");
        assert_eq!(stored, self.rows().to_string(), "rows in the table");
        figure
    }

    /// Our sink.
    pub(crate) fn sink(&self, guarded: bool) -> Figure {
        let mut sink = self.open(guarded, Options { migrations: None, ..Options::default() });
        self.watch(|| {
            for transaction in &self.transactions {
                sink.write(transaction).expect("the sink takes its rows");
                let _ = sink.cut().expect("the sink stores its rows");
            }
            let _ = sink.close().expect("the sink stores its rows");
        })
    }

    /// The server's own COPY, one file a transaction.
    pub(crate) fn server_side(&self, format: &str) -> Figure {
        let copies: Vec<String> = (0..self.transactions.len())
            .map(|at| self.file(at, format).display().to_string())
            .map(|file| format!("COPY quotes FROM '{file}' (FORMAT {format})"))
            .collect();
        let (address, trust) = (&self.address, &self.trust.config);
        let figure = with_session(address, trust, async |client| {
            let (client_before, server, began) = (cpu::of_process(), self.server(), Instant::now());
            for copy in &copies {
                client.batch_execute(copy).await.expect("the server copies its own file");
            }
            let wall = began.elapsed().as_secs_f64();
            let client = cpu::of_process() - client_before;
            Ok(Figure { wall, client, server: self.server() - server })
        });
        figure.expect("a session")
    }

    /// The file of a transaction.
    pub(crate) fn file(&self, transaction: usize, format: &str) -> PathBuf {
        self.cluster.folder().join(format!("{transaction:04}.{format}"))
    }

    /// All files of a format.
    pub(crate) fn files(&self, format: &str) -> Vec<PathBuf> {
        (0..self.transactions.len()).map(|at| self.file(at, format)).collect()
    }

    /// The address, for other clients.
    pub(crate) fn url(&self) -> String {
        self.cluster.url("postgres") + "?sslmode=disable"
    }

    /// CPU time of the server so far, s.
    pub(crate) fn server(&self) -> f64 {
        cpu::of_family(self.cluster.id().expect("it runs"))
    }

    /// Runs SQL.
    pub(crate) fn sql(&self, sql: &str) {
        for statement in sql.split(';') {
            let _ = self.cluster.psql("postgres", statement);
        }
    }

    fn watch(&self, work: impl FnOnce()) -> Figure {
        let (client, server, began) = (cpu::of_process(), self.server(), Instant::now());
        work();
        let wall = began.elapsed().as_secs_f64();
        let client = cpu::of_process() - client;
        Figure { wall, client, server: self.server() - server }
    }

    fn open(&self, guarded: bool, options: Options) -> Postgres {
        let options = Options { age_max: Duration::MAX, bytes_max: usize::MAX, ..options };
        let config = Arc::clone(&self.trust.config);
        let mut sink = Postgres::new(self.address.clone(), config, options);
        if !guarded {
            sink = sink.unguarded();
        }
        // A journal of its own each time: everything is to be stored.
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let journal = format!("bench-{}", since.as_nanos());
        let _ = sink.open(&journal).expect("the server takes us");
        sink
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for file in FORMATS.iter().flat_map(|format| self.files(format)) {
            let _ = fs::remove_file(file);
        }
    }
}

/// What the files are written in.
const FORMATS: [&str; 2] = ["binary", "text"];
/// Nothing else is to run meanwhile, and no checkpoint within a measurement.
const SETTINGS: [&str; 4] =
    ["max_wal_size=8GB", "checkpoint_timeout=1h", "autovacuum=off", "shared_buffers=512MB"];
