//! A database that was away while the recording went on: whether it gets everything, how fast,
//! and what the recorder holds in memory meanwhile.
//!
//! `cargo run --release -p tapedeck-benches --bin catchup -- [AWAY_S] [RATE]` runs the simulated
//! exchange, the recorder and a server of its own, stops the server for so long under that load
//! (2 minutes of 4,000 messages/s), and compares what is in SQL with the journal. With
//! `UPDATE_EXPECT=1` the table goes into `benches/README.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use schema::{Batch, SqlName};
use sinks::postgres::{Address, position, with_session};
use tapedeck::tls::Trust;
use tapedeck_benches::page::publish;
use tapedeck_benches::{cpu, tape};
use tapedeck_tests::{Cluster, Running};

fn main() {
    let number = |index, default| {
        let argument = std::env::args().nth(index);
        argument.map_or(default, |text| text.parse::<u64>().expect("a whole number"))
    };
    let (away, rate) = (Duration::from_secs(number(1, 120)), number(2, 4_000));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut cluster = Cluster::start_with("catchup", &SETTINGS).expect("tests/run --install");
    let mut exchange = tapedeck();
    exchange.args(["simulate", "--listen", "127.0.0.1:0", "--options", "1548"]);
    let mut exchange = Running::start(exchange.args(["--rate", &rate.to_string()]));
    let line = exchange.wait_for("listening on ", PATIENCE);
    let url = line.rsplit(' ').next().expect("an address ends the line");
    let mut recorder = tapedeck();
    recorder.args(["record", "--sink", "postgres", "--exchange-url", url, "--data"]).arg(&data);
    recorder.env("DATABASE_URL", address(&cluster));
    let mut recorder = Running::start(&mut recorder);
    let mut watch = Watch::new(recorder.id());
    let _ = recorder.wait_for("recording ", PATIENCE);
    let journal = journal(&data);

    watch.look(&cluster, &journal, BEFORE);
    let stopped = watch.samples.len();
    cluster.stop();
    watch.wait(away);
    let back = watch.samples.len();
    cluster.run();
    let (server, began) = (server(&cluster), watch.began.elapsed());
    watch.look(&cluster, &journal, AFTER + away / 2);
    let busy = server_share(&cluster, server, watch.began.elapsed() - began);
    recorder.terminate();
    let status = recorder.wait(PATIENCE);
    assert!(status.success(), "{status}\n{}", recorder.output());

    let batches = tape::batches(&data);
    compare(&cluster, &batches);
    let gaps = cluster.psql("postgres", "SELECT count(*) FROM data_gaps");
    let caught = watch.caught_up(&batches, back);
    let resident = |samples: &[Sample]| {
        let mib = samples.iter().filter_map(|sample| sample.resident);
        let (low, high) = mib.fold((f64::MAX, 0.0_f64), |(l, h), mib| (l.min(mib), h.max(mib)));
        format!("{low:.0} to {high:.0}")
    };
    let rows: usize = batches.iter().map(|batch| batch.rows()).sum();
    let samples = &watch.samples;
    let table = format!(
        "| rows in all | away | tried again after | rows behind | caught up in | rows/s | server's \
         share of a core | MiB resident before, away, after | rows missing or twice | gaps |\n\
         |---|---|---|---|---|---|---|---|---|---|\n\
         | {rows} | {} s at {rate} messages/s | {:.1} s | {} | {:.1} s | {:.0} | {busy:.0} % | {}; \
         {}; {} | 0 | {gaps} |\n",
        away.as_secs(),
        caught.idle,
        caught.rows,
        caught.seconds,
        caught.rows as f64 / caught.seconds,
        resident(&samples[..stopped]),
        resident(&samples[stopped..back]),
        resident(&samples[back..]),
    );
    publish("catchup", &table);
}

/// The recorder and the database's position, from time to time.
struct Watch {
    recorder: u32,
    began: Instant,
    samples: Vec<Sample>,
}

struct Sample {
    at: f64,
    /// Record that the database is at; `None` while it is away.
    position: Option<u64>,
    resident: Option<f64>,
}

/// How a database caught up.
struct Caught {
    /// From its start to the first rows, s.
    idle: f64,
    /// Rows from then to the moment at which nothing waited for long.
    rows: i64,
    seconds: f64,
}

impl Watch {
    fn new(recorder: u32) -> Self {
        Self { recorder, began: Instant::now(), samples: Vec::new() }
    }

    fn sample(&mut self, position: Option<u64>) {
        let (at, resident) = (self.began.elapsed().as_secs_f64(), cpu::resident_mib(self.recorder));
        self.samples.push(Sample { at, position, resident });
    }

    /// Looks through a session of its own, so that looking costs little.
    fn look(&mut self, cluster: &Cluster, journal: &str, time: Duration) {
        let address: Address = address(cluster).parse().expect("an address");
        let trust = Trust::of(None).expect("the system's authorities").config;
        let end = Instant::now() + time;
        let looked = with_session(&address, &trust, async |client| {
            while Instant::now() < end {
                self.sample(Some(position(client, journal).await?.unwrap_or_default()));
                sleep(POLL);
            }
            Ok(())
        });
        looked.expect("the server answers");
    }

    fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.sample(None);
            sleep(POLL);
        }
    }

    /// Looks back at the samples from `back` on.
    fn caught_up(&self, batches: &[Arc<Batch>], back: usize) -> Caught {
        // Rows up to and with each record.
        let mut rows = BTreeMap::from([(0, 0)]);
        for batch in batches {
            rows.insert(batch.position(), batch.sequence() + batch.rows() as i64);
        }
        let samples = &self.samples[back..];
        let rows_at = |sample: &Sample| rows[&sample.position.expect("it is back")];
        let first = rows_at(&samples[0]);
        // The last sample before anything moved.
        let from = samples.iter().rposition(|sample| rows_at(sample) == first);
        let from = &samples[from.expect("the first sample is one")];
        // From the end back: as long as no more came than the exchange sends.
        let last = samples.last().expect("it was looked at");
        let live = {
            let tail = samples.iter().find(|sample| sample.at > last.at - TAIL.as_secs_f64());
            let tail = tail.expect("the last one is");
            (rows_at(last) - rows_at(tail)) as f64 / (last.at - tail.at)
        };
        let behind = |sample: &&Sample| {
            let due = rows_at(last) as f64 - live * (last.at - sample.at);
            (rows_at(sample) as f64) < due - 2.0 * live
        };
        let until = samples.iter().rposition(|sample| behind(&sample)).expect("it was behind");
        let until = samples.get(until + 1).expect("it has caught up: give it longer");
        Caught {
            idle: from.at - samples[0].at,
            rows: rows_at(until) - first,
            seconds: until.at - from.at,
        }
    }
}

/// Every row of the journal is in SQL, once: by the numbers of the rows, table by table.
fn compare(cluster: &Cluster, batches: &[Arc<Batch>]) {
    let mut due: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for batch in batches {
        let (first, rows) = (batch.sequence(), batch.rows() as i64);
        let counted = due.entry(batch.table().name).or_default();
        *counted = (counted.0 + rows, counted.1 + rows * first + rows * (rows - 1) / 2);
    }
    for (table, (rows, sum)) in due {
        let names = match schema::tables::named(table).expect("a table of ours").sql {
            SqlName::One(name) => vec![name.to_owned()],
            SqlName::PerCurrency(name) => ["btc", "eth"].map(|c| format!("{c}_{name}")).to_vec(),
        };
        let all = names.iter().map(|name| format!("SELECT sequence FROM {name}"));
        let all = all.collect::<Vec<_>>().join(" UNION ALL ");
        let figures = "count(*), count(DISTINCT sequence), coalesce(sum(sequence), 0)";
        let counted = cluster.psql("postgres", &format!("SELECT {figures} FROM ({all}) t"));
        assert_eq!(counted, format!("{rows}|{rows}|{sum}"), "{table}: rows, distinct, sum");
    }
}

fn address(cluster: &Cluster) -> String {
    cluster.url("postgres") + "?sslmode=disable"
}

/// The name of the journal in this folder.
fn journal(data: &Path) -> String {
    let mut entries = std::fs::read_dir(data.join("journal")).expect("a recorder is at work");
    let entry = entries.next().expect("it has a journal").expect("a readable folder");
    entry.file_name().into_string().expect("a UUID")
}

fn server(cluster: &Cluster) -> f64 {
    cpu::of_family(cluster.id().expect("it runs"))
}

fn server_share(cluster: &Cluster, before: f64, time: Duration) -> f64 {
    100.0 * (server(cluster) - before) / time.as_secs_f64()
}

fn tapedeck() -> Command {
    let mut path = std::env::current_exe().expect("this program has a path");
    path.set_file_name("tapedeck");
    assert!(path.exists(), "{} is missing: cargo build --release", path.display());
    let mut command = Command::new(path);
    command.env_remove("DATABASE_URL");
    command
}

/// A server as in production, but that nothing is synced.
const SETTINGS: [&str; 2] = ["max_wal_size=4GB", "shared_buffers=384MB"];
const BEFORE: Duration = Duration::from_secs(15);
/// The sink tries again after 30 s at the latest.
const AFTER: Duration = Duration::from_secs(45);
/// What comes in at the end is what the exchange sends.
const TAIL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(120);
