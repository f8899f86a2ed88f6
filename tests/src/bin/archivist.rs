//! Stores records in a data folder's Parquet and merges them, as the recorder's sink does, for
//! tests that watch it from outside or kill it.
//!
//! `archivist DATA RECORDS SEED [KEEP_DAYS]` goes on where the folder ends. Record `p` is one file:
//! ROWS index ticks of one day and currency, numbered from `(p - 1) * ROWS`. Every day is over, and
//! the sink's time runs 40 times as fast, so that what was stored is merged between bursts. After
//! each record `DATA/stored` says how many there are; once all are merged, and what is older than
//! KEEP_DAYS is removed, `DATA/merged` is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use journal::disk::System;
use schema::tables::IndexTick;
use schema::{Batch, Builder, Date, Micros, Now, Origin};
use sinks::parquet::Options;
use sinks::{Parquet, Position, Sink};
use tapedeck_tests::archived;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("archivist DATA RECORDS SEED [KEEP_DAYS]");
    let data = next();
    let number = |text: String| text.parse::<u64>().expect("a whole number");
    let (records, mut seed) = (number(next()), number(next()));
    let keep_days = arguments.next().map(|days| days.parse().expect("a whole number"));
    let data = Path::new(&data);
    let (age_max, settle) = (Duration::from_secs(10), Duration::ZERO);
    let (grace, markers) = (SPEED * GRACE, SPEED * MARKERS);
    let options = Options { age_max, settle, grace, markers, keep_days, ..Options::default() };
    let mut sink = Parquet::new(Arc::new(System), data, options);
    let Position(mut stored) = sink.open(archived::JOURNAL).expect("the folder is ours");
    archived::note(data, stored);
    println!("opened at {stored}");
    let began = Instant::now();
    while stored < records {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let burst = (1 + (seed >> 33) % BURST_MAX).min(records - stored);
        for _ in 0..burst {
            stored += 1;
            sink.write(&[record(stored)]).expect("the disk takes it");
            assert_eq!(sink.close().expect("the disk takes it"), Position(stored));
            archived::note(data, stored);
        }
        println!("stored {stored}");
        pass(&mut sink, began, Duration::from_millis((seed >> 40) % QUIET_MS_MAX));
    }
    // Until everything is merged: a merge and its grace for each folder.
    let old = format!("date={}", archived::FIRST_DAY);
    let undone = |(folder, files): (&PathBuf, &usize)| {
        *files > 1 || keep_days.is_some() && folder.ends_with(&old)
    };
    while archived::folders(data).iter().any(undone) {
        let folders = archived::folders(data);
        assert!(began.elapsed() < PATIENCE, "not merged: {folders:?}");
        pass(&mut sink, began, GRACE);
    }
    pass(&mut sink, began, 2 * GRACE);
    std::fs::write(data.join("merged"), "").expect("the disk takes it");
    println!("merged {stored}");
}

/// Lets time pass, as a worker without new records does.
fn pass(sink: &mut Parquet, began: Instant, length: Duration) {
    let until = began.elapsed() + length;
    while began.elapsed() < until {
        let utc = Date::from_civil(2026, 12, 24).start();
        let monotonic = SPEED * began.elapsed();
        sink.flush(Now { monotonic, utc }).expect("the disk takes it");
        thread::sleep(Duration::from_millis(1));
    }
}

fn record(position: u64) -> Arc<Batch> {
    let first = archived::first_row(position);
    let day = Date(archived::FIRST_DAY.0 + (position % archived::DAYS) as i64);
    let name = ["btc_usd", "eth_usd"][(position / archived::DAYS % 2) as usize];
    let mut rows = Builder::<IndexTick>::default();
    for row in first..first + archived::ROWS {
        // Spread over the day, so that every file of a day overlaps every other.
        let mixed = (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let timestamp = Micros(day.start().0 + (mixed % 86_400_000_000) as i64);
        let price = row as f64 / 8.0;
        let index_name = name;
        rows.push(&IndexTick { timestamp, received_at: timestamp, index_name, price });
    }
    Arc::new(rows.take(Origin::default()).expect("there are rows").number(position, first))
}

const SPEED: u32 = 40;
/// What was replaced is removed after so much of our time.
const GRACE: Duration = Duration::from_secs(2);
/// For so much of our time markers stand: a reader that lists a folder has no more of it.
const MARKERS: Duration = Duration::from_secs(1);
const BURST_MAX: u64 = 24;
const QUIET_MS_MAX: u64 = 4_000;
const PATIENCE: Duration = Duration::from_secs(600);
