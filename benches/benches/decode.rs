//! What decoding costs: simulated messages to finished Arrow columns.
//!
//! `cargo bench -p tapedeck-benches --bench decode`. The messages are what the simulated exchange
//! really sent in a few seconds, all kinds in their natural mix.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use exchange::truth::{self, Line};
use exchange::{Config, Exchange, MarketConfig, Source};
use schema::tables::Rows;
use schema::{Micros, Now, Origin};
use tapedeck::deribit::{Decoder, Limits};
use tapedeck::rpc::{Allowance, Connection, Settings};
use tapedeck::session::Session;

fn decode(criterion: &mut Criterion) {
    let messages = messages();
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(20).throughput(Throughput::Elements(messages.len() as u64));
    let mean = bytes / messages.len();
    group.bench_function(format!("{} messages of {mean} bytes", messages.len()), |bencher| {
        bencher.iter(|| black_box(rows_of(&messages)));
    });
    group.finish();
}

/// A connection that has just started decodes all of them: how many rows that made.
fn rows_of(messages: &[Vec<u8>]) -> usize {
    let settings =
        Settings::new("bench".into(), Allowance::after(Duration::MAX, false, Duration::ZERO));
    let mut session = Connection::new(settings, Decoder::new(Limits::default()));
    let now = Now { monotonic: Duration::from_secs(1), utc: Micros(1) };
    session.connected(now);
    let (mut rows, mut made) = (Rows::default(), 0);
    for message in messages {
        session.receive(&mut message.clone(), now, &mut rows).expect("a good message");
        rows.take_from(BATCH_ROWS, Origin::default(), |draft| made += draft.rows());
    }
    rows.take_from(1, Origin::default(), |draft| made += draft.rows());
    made
}

fn messages() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let truth = folder.path().join("truth.jsonl");
    let market = MarketConfig { options: 1_548, rate: 20_000, ..MarketConfig::default() };
    let exchange = Exchange::start(Config {
        source: Source::Market(market),
        truth: Some(truth.clone()),
        ..Config::default()
    })
    .expect("a simulated exchange");
    let recorder = tapedeck_tests::binary("tapedeck");
    let status = std::process::Command::new(recorder)
        .args(["record", "--for", "5s", "--sink", "memory", "--data"])
        .arg(folder.path().join("data"))
        .args(["--exchange-url", &format!("ws://{}/ws/api/v2", exchange.address())])
        .status()
        .expect("the recorder runs");
    assert!(status.success(), "{status}");
    exchange.stop();
    let lines = truth::read(&truth).expect("a truth log");
    let frames = lines.filter_map(|line| match line {
        Ok(Line::Sent(sent)) => Some(sent.frame.into_bytes()),
        Ok(Line::Event(_) | Line::Fault(_)) | Err(_) => None,
    });
    frames.take(MESSAGES_MAX).collect()
}

/// As many rows as a reader hands over at once.
const BATCH_ROWS: usize = 4_096;
const MESSAGES_MAX: usize = 50_000;

criterion_group!(benches, decode);
criterion_main!(benches);
