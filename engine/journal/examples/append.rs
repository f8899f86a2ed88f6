//! How many option quotes a second the journal takes: lz4, CRC, fsync on the real disk.
//!
//! `cargo run --release -p tapedeck-journal --example append [FOLDER] [ROWS_PER_BATCH] [BATCHES]`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schema::tables::OptionQuote;
use schema::{Builder, Draft, Micros, Now, Origin};
use tapedeck_journal::disk::System;
use tapedeck_journal::{JournalError, Options, inspect, open};

fn main() -> Result<(), JournalError> {
    let mut arguments = std::env::args().skip(1);
    let folder =
        arguments.next().map_or_else(|| std::env::temp_dir().join("append"), PathBuf::from);
    let mut number = |default| arguments.next().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (rows, batches) = (number(500), number(4_000));
    let mut drafts: Vec<Draft> = (0..batches).map(|batch| draft(batch, rows)).collect();
    drafts.reverse();

    let now = Now { monotonic: Duration::ZERO, utc: Micros(START_US) };
    let journal = open(Arc::new(System), &folder, Options::default(), now)?;
    let (mut appender, mut syncer, mut feed) = (journal.appender, journal.syncer, journal.feed);
    let after = journal.recovery.position;
    let syncing = std::thread::spawn(move || {
        let mut syncs = 0;
        while syncer.wait_and_sync()?.is_some() {
            syncs += 1;
        }
        Ok::<u64, JournalError>(syncs)
    });
    let start = Instant::now();
    while let Some(draft) = drafts.pop() {
        appender.append(draft)?;
    }
    let appended = start.elapsed();
    appender.close()?;
    let closed = start.elapsed();
    let syncs = syncing.join().expect("the syncer does not panic")?;
    let total = (rows * batches) as f64;
    println!(
        "{:.2} M rows/s appended, {:.2} M rows/s to the end of the last of {syncs} syncs",
        total / appended.as_secs_f64() / 1e6,
        total / closed.as_secs_f64() / 1e6
    );
    let start = Instant::now();
    let mut position = after;
    while !feed.ended(position) {
        for batch in feed.read(position, 8 << 20, Duration::ZERO)? {
            position = batch.position();
        }
    }
    println!("{:.2} M rows/s read back", total / start.elapsed().as_secs_f64() / 1e6);
    drop(feed);
    let start = Instant::now();
    drop(open(Arc::new(System), &folder, Options::default(), now)?);
    println!("{:.0} ms to open again", start.elapsed().as_secs_f64() * 1e3);
    let report = inspect(&System, &folder)?;
    let bytes: u64 = report.segments.iter().map(|segment| segment.bytes).sum();
    println!("{:.1} bytes a row\n{report}", bytes as f64 / report.rows() as f64);
    Ok(())
}

/// Quotes that move as quotes do: some fields often, some seldom.
fn draft(batch: usize, rows: usize) -> Draft {
    let mut builder = Builder::<OptionQuote<'static>>::default();
    for row in batch * rows..(batch + 1) * rows {
        let instrument = row.wrapping_mul(7_919) % 900;
        let tick = (row % 97) as f64;
        let name = format!("BTC-25DEC26-{}-C", 20_000 + instrument * 100);
        let price = (instrument as f64).mul_add(0.000_5, 0.01) + tick * 0.000_1;
        let at = Micros(START_US + row as i64 * 500);
        builder.push(&OptionQuote {
            timestamp: Micros(at.0 / 1_000 * 1_000),
            received_at: at,
            instrument: &name,
            best_bid_price: Some(price),
            best_bid_amount: Some(tick),
            best_ask_price: Some(price + 0.000_5),
            best_ask_amount: Some(tick + 1.0),
            underlying_price: Some(86_000.0 + tick),
            mark_price: Some(price + 0.000_231),
            delta: Some(0.5 + tick / 1_000.0),
            gamma: Some(0.000_01),
            theta: Some(-31.4 - tick),
            vega: Some(80.25 + tick),
            rho: Some(12.5 + tick),
            implied_volatility: Some(52.5 + tick / 100.0),
            bid_iv: Some(51.5 + tick / 100.0),
            ask_iv: Some(53.5 + tick / 100.0),
            mark_iv: Some(52.5 + tick / 100.0),
            open_interest: Some(instrument as f64),
            last_price: Some(price),
            volume_24h: Some(instrument as f64 / 2.0),
            state: Some("open"),
            underlying_index: Some("BTC-25DEC26"),
            index_price: Some(85_990.0 + tick),
            settlement_price: Some(0.05),
            delivery_price: None,
            estimated_delivery_price: Some(85_990.0 + tick),
            min_price: Some(0.000_1),
            max_price: Some(0.2),
            interest_rate: Some(0.0),
            high_24h: Some(0.1),
            low_24h: Some(0.05),
            price_change_24h: Some(-3.5),
            volume_usd_24h: Some(1_234.5),
        });
    }
    builder.take(Origin::default()).expect("there are rows")
}

const START_US: i64 = 1_790_000_000_000_000;
