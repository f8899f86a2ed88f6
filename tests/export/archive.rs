//! An archive of option quotes, as large as a test wants it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::disk::System;
use schema::tables::{OptionQuote, Rows};
use schema::{Micros, Now, Origin};
use sinks::{Parquet, Sink};

/// Writes so many days from 2026-11-24 on, each with so many rows, into a data folder below
/// `folder`. A day lies in two files, each with half of every instrument's rows.
pub(super) fn write(folder: &Path, days: i64, rows: i64) -> PathBuf {
    let data = folder.join("data");
    let mut sink = Parquet::new(Arc::new(System), &data, sinks::parquet::Options::default());
    let (mut position, mut sequence) = (0, 0);
    for half in 0..days * 2 {
        sink.open(JOURNAL).unwrap();
        let start = MIDNIGHT_US + half * HALF_DAY_US;
        for from in (0..rows / 2).step_by(5_000) {
            let mut batch = Rows::default();
            for row in from..(rows / 2).min(from + 5_000) {
                push(&mut batch, start + row * (HALF_DAY_US / rows), half * rows + row);
            }
            let batch = batch.option_quotes.take(Origin::default()).unwrap();
            position += 1;
            let batch = batch.number(position, sequence);
            sequence += i64::try_from(batch.rows()).unwrap();
            sink.write(&[Arc::new(batch)]).unwrap();
        }
        sink.close().unwrap();
    }
    data
}

/// Merges every day of the archive into one file, as a recorder does once it is over.
pub(super) fn merge_days(data: &Path) {
    let mut sink = Parquet::new(Arc::new(System), data, sinks::parquet::Options::default());
    sink.open(JOURNAL).unwrap();
    let quotes = data.join("parquet/option_quotes");
    let days = std::fs::read_dir(quotes.join("currency=BTC")).unwrap().count();
    let utc = Micros(MIDNIGHT_US + 1_000 * HALF_DAY_US);
    // Time goes on by minutes, so that nothing is waited for; a day takes a few steps.
    for minute in 0..100_000 {
        sink.flush(Now { monotonic: Duration::from_secs(60 * minute), utc }).unwrap();
        if tapedeck_tests::tape::files(&quotes).len() == days {
            return;
        }
        // So that exports run at many moments of it.
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{:?} are still not merged", tapedeck_tests::tape::files(&quotes));
}

fn push(rows: &mut Rows, at: i64, number: i64) {
    let cell = |part: i64| Some(((number * 31 + part) % 10_007) as f64 / 16.0);
    let sometimes = |part: i64| cell(part).filter(|_| (number + part) % 3 > 0);
    let instrument = format!("BTC-25DEC26-{}-C", 50_000 + number % 200 * 500);
    rows.option_quotes.push(&OptionQuote {
        timestamp: Micros(at),
        // Later by up to a second, and not in the order of the exchange's times.
        received_at: Micros(at + number * 7_919 % 1_000_000),
        instrument: &instrument,
        best_bid_price: cell(1),
        best_bid_amount: cell(2),
        best_ask_price: cell(3),
        best_ask_amount: cell(4),
        underlying_price: cell(5),
        mark_price: cell(6),
        delta: cell(7),
        gamma: cell(8),
        theta: cell(9),
        vega: cell(10),
        rho: cell(11),
        implied_volatility: cell(12),
        bid_iv: sometimes(13),
        ask_iv: sometimes(14),
        mark_iv: cell(15),
        open_interest: cell(16),
        last_price: sometimes(17),
        volume_24h: cell(18),
        state: Some("open"),
        underlying_index: Some("SYN.BTC-25DEC26"),
        index_price: cell(19),
        settlement_price: sometimes(20),
        delivery_price: None,
        estimated_delivery_price: cell(21),
        min_price: cell(22),
        max_price: cell(23),
        interest_rate: Some(0.0),
        high_24h: sometimes(24),
        low_24h: sometimes(25),
        price_change_24h: sometimes(26),
        volume_usd_24h: cell(27),
    });
}

const JOURNAL: &str = "0b5b1f0e-0000-4000-8000-00000000e4b0";
// 2026-11-24T00:00:00Z
const MIDNIGHT_US: i64 = 1_795_478_400_000_000;
const HALF_DAY_US: i64 = 43_200_000_000;
