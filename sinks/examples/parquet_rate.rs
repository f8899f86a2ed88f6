//! How fast the Parquet sink writes quotes, and how many bytes a row takes.
//!
//! `cargo run --release -p tapedeck-sinks --example parquet_rate [FOLDER]`
//!
//! A million quotes of 1,500 options, 2,000 a second: each row sorted, encoded, synced. The rate
//! is of the thread's CPU time, so that a busy machine does not lie.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use journal::disk::System;
use rustix::time::{ClockId, clock_gettime};
use schema::tables::OptionQuote;
use schema::{Batch, Builder, Micros, Origin, Row};
use tapedeck_sinks::parquet::{Options, survey};
use tapedeck_sinks::{Parquet, Sink};

const ROWS: usize = 1_000_000;
const BATCH_ROWS: usize = 1_000;
const OPTIONS: usize = 1_500;

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "/tmp".to_owned());
    for columns in [FEW, OptionQuote::TABLE.columns.len()] {
        let data = Path::new(&folder).join(format!("parquet_rate-{}", std::process::id()));
        run(&data, columns);
        std::fs::remove_dir_all(&data).expect("the folder was made here");
    }
}

fn run(data: &Path, columns: usize) {
    let mut market = Market::new(columns);
    let mut sink = Parquet::new(Arc::new(System), data, Options::default());
    sink.open("rate").expect("a new folder");
    let (mut cpu, mut wall) = (0.0, 0.0);
    for _ in 0..ROWS / BATCH_ROWS {
        let batch = Arc::new(market.batch());
        let (before, began) = (cpu_seconds(), Instant::now());
        sink.write(&[batch]).expect("room on the disk");
        cpu += cpu_seconds() - before;
        wall += began.elapsed().as_secs_f64();
    }
    let (before, began) = (cpu_seconds(), Instant::now());
    sink.close().expect("room on the disk");
    cpu += cpu_seconds() - before;
    wall += began.elapsed().as_secs_f64();
    let stored = survey(&System, data).expect("just written").tables["option_quotes"];
    assert_eq!(stored.rows, ROWS as u64);
    println!(
        "{columns} columns filled: {:.2} M rows a CPU second, {:.2} M a second, {:.1} B a row, \
         {} files, peak memory of the process {}",
        ROWS as f64 / cpu / 1e6,
        ROWS as f64 / wall / 1e6,
        stored.bytes as f64 / stored.rows as f64,
        stored.files,
        peak_memory(),
    );
}

/// Options whose quotes move as quotes do: by ticks, a few fields at a time.
struct Market {
    chance: u64,
    columns: usize,
    names: Vec<String>,
    quotes: Vec<Quote>,
    underlying: f64,
    position: u64,
    rows: i64,
    builder: Builder<OptionQuote<'static>>,
}

#[derive(Clone, Copy)]
struct Quote {
    mark: f64,
    iv: f64,
    delta: f64,
    amounts: [f64; 2],
    open_interest: f64,
}

impl Market {
    fn new(columns: usize) -> Self {
        let name = |n: usize| {
            let side = if n.is_multiple_of(2) { 'C' } else { 'P' };
            format!("BTC-{}DEC26-{}-{side}", 1 + n / 60, 50_000 + n / 2 % 30 * 2_000)
        };
        let mut market = Self {
            chance: 1,
            columns,
            names: (0..OPTIONS).map(name).collect(),
            quotes: Vec::new(),
            underlying: 85_000.0,
            position: 0,
            rows: 0,
            builder: Builder::default(),
        };
        for _ in 0..OPTIONS {
            let quote = Quote {
                mark: market.between(0.001, 0.2),
                iv: market.between(35.0, 90.0),
                delta: market.between(-1.0, 1.0),
                amounts: [market.between(0.1, 50.0), market.between(0.1, 50.0)],
                open_interest: market.between(0.0, 900.0),
            };
            market.quotes.push(quote);
        }
        market
    }

    fn batch(&mut self) -> Batch {
        for row in 0..BATCH_ROWS {
            self.push(row);
        }
        self.position += 1;
        let first = self.rows - BATCH_ROWS as i64;
        self.builder.take(Origin::default()).expect("rows were pushed").number(self.position, first)
    }

    fn push(&mut self, row: usize) {
        let option = self.below(OPTIONS);
        self.underlying += self.between(-0.5, 0.5);
        let mut quote = self.quotes[option];
        quote.mark = (quote.mark * self.between(0.998, 1.002)).clamp(0.0005, 0.9);
        quote.iv += self.between(-0.05, 0.05);
        quote.delta = (quote.delta + self.between(-1e-4, 1e-4)).clamp(-1.0, 1.0);
        if self.below(3) == 0 {
            quote.amounts[row % 2] = self.between(0.1, 50.0);
        }
        if self.below(50) == 0 {
            quote.open_interest += 0.1;
        }
        self.quotes[option] = quote;
        let received = START_US + self.rows * 500;
        self.rows += 1;
        let timestamp = Micros(received / 1_000 * 1_000 - 3_000);
        let underlying = self.underlying;
        let row = row_of(quote, &self.names[option], timestamp, Micros(received), underlying);
        self.builder.push(&if self.columns > FEW { more(row, quote, underlying) } else { row });
    }

    fn between(&mut self, least: f64, greatest: f64) -> f64 {
        least + (greatest - least) * (self.below(1 << 30) as f64 / f64::from(1 << 30))
    }

    /// splitmix64.
    fn below(&mut self, end: usize) -> usize {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// The columns that the predecessor stored, and the two clocks.
fn row_of(
    quote: Quote,
    instrument: &str,
    timestamp: Micros,
    received_at: Micros,
    underlying: f64,
) -> OptionQuote<'_> {
    let Quote { mark, iv, delta, amounts, open_interest } = quote;
    let tick = |price: f64| Some((price * 2_000.0).round() / 2_000.0);
    OptionQuote {
        timestamp,
        received_at,
        instrument,
        best_bid_price: tick(mark * 0.98),
        best_bid_amount: digits(amounts[0], 1),
        best_ask_price: tick(mark * 1.02),
        best_ask_amount: digits(amounts[1], 1),
        underlying_price: digits(underlying, 4),
        mark_price: digits(mark, 6),
        delta: digits(delta, 5),
        gamma: digits(mark / 1_000.0, 5),
        theta: digits(-mark * 300.0, 5),
        vega: digits(mark * 900.0, 5),
        rho: digits(delta * 40.0, 5),
        implied_volatility: digits(iv, 2),
        bid_iv: digits(iv - 1.0, 2),
        ask_iv: digits(iv + 1.0, 2),
        mark_iv: digits(iv, 2),
        open_interest: digits(open_interest, 1),
        last_price: None,
        volume_24h: None,
        state: None,
        underlying_index: None,
        index_price: None,
        settlement_price: None,
        delivery_price: None,
        estimated_delivery_price: None,
        min_price: None,
        max_price: None,
        interest_rate: None,
        high_24h: None,
        low_24h: None,
        price_change_24h: None,
        volume_usd_24h: None,
    }
}

/// What the exchange sends beside them.
fn more(row: OptionQuote<'_>, quote: Quote, underlying: f64) -> OptionQuote<'_> {
    let Quote { mark, open_interest, .. } = quote;
    OptionQuote {
        last_price: digits(open_interest / 9_000.0, 4),
        volume_24h: digits(open_interest / 7.0, 1),
        state: Some("open"),
        underlying_index: Some("BTC-25DEC26"),
        index_price: digits(underlying - 100.0, 2),
        settlement_price: digits(open_interest / 8_000.0, 6),
        estimated_delivery_price: digits(underlying - 100.0, 2),
        min_price: digits(mark * 0.9, 4),
        max_price: digits(mark * 1.1, 4),
        interest_rate: Some(0.0),
        high_24h: digits(open_interest / 8_500.0, 4),
        low_24h: digits(open_interest / 9_500.0, 4),
        price_change_24h: digits(open_interest / 31.0, 4),
        volume_usd_24h: digits(open_interest * 90.0, 2),
        ..row
    }
}

/// The number as text of so many decimals says it.
fn digits(number: f64, decimals: i32) -> Option<f64> {
    let scale = 10f64.powi(decimals);
    Some((number * scale).round() / scale)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}

const START_US: i64 = 1_795_478_400_000_000;
const FEW: usize = 20;
