//! How fast a database can catch up with a journal, and what bounds it: reading the journal,
//! storing what was read, or the server itself.
//!
//! `cargo run --release -p tapedeck-benches --bin limit -- DATA [ROUNDS]` stores all tables and
//! columns of a recorder's journal into a server of its own, as the recorder's own thread does,
//! and has the server copy the same rows from files of its own. With `UPDATE_EXPECT=1` the table
//! goes into `benches/README.md`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::Feed;
use schema::{Batch, Micros, Now};
use sinks::postgres::{Address, Options, with_session};
use sinks::{Postgres, Sink};
use tapedeck::tls::Trust;
use tapedeck_benches::page::{median, publish};
use tapedeck_benches::{cpu, tape};
use tapedeck_tests::Cluster;

/// The recorder's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (data, rounds) = match &arguments[..] {
        [data] => (data, 3),
        [data, rounds] => (data, rounds.parse().expect("ROUNDS")),
        _ => panic!("limit DATA [ROUNDS]"),
    };
    let server = Server::start();
    let mut figures: [Vec<[f64; 3]>; 3] = [const { Vec::new() }; 3];
    let mut rows = 0;
    for round in 0..rounds {
        let mut feed = tape::feed(Path::new(data));
        rows = 0;
        figures[0].push(server.measure(|| {
            follow(&mut feed.feed, |batches| {
                rows += batches.iter().map(|b| b.rows()).sum::<usize>();
            });
        }));
        server.empty();
        let mut sink = server.sink(round);
        figures[1].push(server.measure(|| {
            follow(&mut feed.feed, |batches| {
                sink.write(batches).expect("the sink takes its rows");
                let now = Now { monotonic: Duration::ZERO, utc: Micros(0) };
                let _ = sink.flush(now).expect("the sink stores its rows");
            });
            let _ = sink.close().expect("the sink stores its rows");
        }));
        let files = server.files();
        server.empty();
        figures[2].push(server.copies(&files));
    }
    let names = [
        "reading the journal",
        "the sink's thread: reading, encoding, sending, waiting",
        "the server's own COPY of the same rows from files",
    ];
    let mut table = format!(
        "{rows} rows of all tables, all columns; medians of {rounds} rounds.\n\n| what | rows/s | \
         client CPU s a million rows | server CPU s a million rows |\n|---|---|---|---|\n"
    );
    for (name, figures) in names.iter().zip(&figures) {
        let of = |at: usize| median(figures.iter().map(|figure| figure[at]));
        let millions = rows as f64 / 1e6;
        table += &format!(
            "| {name} | {:.0} | {:.2} | {:.2} |\n",
            rows as f64 / of(0),
            of(1) / millions,
            of(2) / millions
        );
    }
    publish("limit", &table);
}

/// Reads everything as the recorder's thread does.
fn follow(feed: &mut Feed, mut take: impl FnMut(&[Arc<Batch>])) {
    let mut after = feed.oldest().saturating_sub(1);
    while after < feed.durable() {
        let batches = feed.read(after, READ_BYTES_MAX, Duration::ZERO).expect("a journal of ours");
        after = batches.last().expect("something is durable").position();
        take(&batches);
    }
}

struct Server {
    cluster: Cluster,
    address: Address,
    trust: Trust,
}

impl Server {
    fn start() -> Self {
        let cluster = Cluster::start_with("limit", &SETTINGS).expect("tests/run --install");
        let address = (cluster.url("postgres") + "?sslmode=disable").parse();
        let trust = Trust::of(None).expect("the system's authorities");
        let server = Self { cluster, address: address.expect("an address"), trust };
        // Which makes the tables.
        drop(server.sink(usize::MAX));
        server
    }

    fn sink(&self, round: usize) -> Postgres {
        let trust = Arc::clone(&self.trust.config);
        let mut sink = Postgres::new(self.address.clone(), trust, Options::default());
        let _ = sink.open(&format!("round-{round}")).expect("the server takes us");
        sink
    }

    fn tables(&self) -> Vec<String> {
        let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' \
            AND tablename NOT LIKE 'tapedeck%' AND tablename <> 'instrument_metadata'";
        self.cluster.psql("postgres", tables).lines().map(str::to_owned).collect()
    }

    fn empty(&self) {
        let _ = self.cluster.psql("postgres", &format!("TRUNCATE {}", self.tables().join(", ")));
        let _ = self.cluster.psql("postgres", "CHECKPOINT");
    }

    /// Writes every table into a file.
    fn files(&self) -> Vec<(String, String)> {
        let file = |table: String| {
            let file = self.cluster.folder().join(&table).display().to_string();
            let copy = format!("COPY {table} TO '{file}' (FORMAT binary)");
            let _ = self.cluster.psql("postgres", &copy);
            (table, file)
        };
        self.tables().into_iter().map(file).collect()
    }

    fn copies(&self, files: &[(String, String)]) -> [f64; 3] {
        let (address, trust) = (&self.address, &self.trust.config);
        let figure = with_session(address, trust, async |client| {
            let (own, server, began) = (cpu::of_process(), self.cpu(), Instant::now());
            for (table, file) in files {
                let copy = format!("COPY {table} FROM '{file}' (FORMAT binary)");
                client.batch_execute(&copy).await.expect("the server copies its own file");
            }
            let wall = began.elapsed().as_secs_f64();
            Ok([wall, cpu::of_process() - own, self.cpu() - server])
        });
        figure.expect("a session")
    }

    /// Seconds on the clock, of our CPU time, of the server's.
    fn measure(&self, work: impl FnOnce()) -> [f64; 3] {
        let (own, server, began) = (cpu::of_process(), self.cpu(), Instant::now());
        work();
        [began.elapsed().as_secs_f64(), cpu::of_process() - own, self.cpu() - server]
    }

    fn cpu(&self) -> f64 {
        cpu::of_family(self.cluster.id().expect("it runs"))
    }
}

/// What the recorder's thread reads at a time.
const READ_BYTES_MAX: usize = 8 << 20;
/// Nothing else is to run meanwhile, and no checkpoint within a measurement.
const SETTINGS: [&str; 4] =
    ["max_wal_size=8GB", "checkpoint_timeout=1h", "autovacuum=off", "shared_buffers=512MB"];
