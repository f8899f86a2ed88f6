//! Messages of an exchange: what cannot be stored is quarantined, what was stored is a repeat.

#![allow(clippy::unwrap_used, reason = "a check that cannot go on says so best by stopping")]

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use lifecycle::Swap;
use schema::tables::Rows;
use schema::{Batch, Kind, Micros, Now, Origin};
use serde::de::IgnoredAny;
use tapedeck::deribit::{Counts, Decoder, Limits, Stored, Tally, instruments};
use tapedeck::rpc::{Allowance, Connection, Settings};
use tapedeck::session::{Cause, Session};

use crate::tape::{cell, column};

/// Each line is a message, in the order of one connection. Whatever they are, nothing panics,
/// every row is counted, a message that comes twice is stored once, and the quarantine keeps to
/// its budget.
///
/// # Panics
/// When one of these does not hold.
pub fn check(input: &[u8]) {
    let mut conversation = Conversation::new();
    for line in input.split(|byte| *byte == b'\n').take(MESSAGES_MAX) {
        conversation.hear(line);
        list(line);
    }
    conversation.finish();
}

/// The input in which these messages come.
#[must_use]
pub fn input(messages: &[&str]) -> Vec<u8> {
    messages.join("\n").into_bytes()
}

struct Conversation {
    session: Connection<Decoder>,
    rows: Rows,
    now: Now,
}

impl Conversation {
    fn new() -> Self {
        let allowance = Allowance::after(Duration::MAX, false, Duration::ZERO);
        let mut session =
            Connection::new(Settings::new("s".into(), allowance), Decoder::new(Limits::default()));
        let now = Now { monotonic: Duration::from_secs(1), utc: Micros(1_790_000_000_000_000) };
        session.swap(Swap { generation: 1, goal: CHANNELS.into_iter().collect() });
        session.connected(now);
        let mut conversation = Self { session, rows: Rows::default(), now };
        conversation.speak();
        conversation
    }

    fn hear(&mut self, line: &[u8]) {
        self.now.monotonic += PAUSE;
        self.now.utc = self.now.utc.plus(PAUSE);
        let before = self.counted();
        self.receive(line);
        let first = self.counted();
        if first.notifications == before.notifications {
            return;
        }
        self.receive(line);
        let second = self.counted();
        for table in Stored::ALL {
            let stored = first.rows.of(table) - before.rows.of(table);
            let again = second.rows.of(table) - first.rows.of(table);
            let dropped = second.dropped.of(table) - first.dropped.of(table);
            assert_eq!(again, 0, "rows of {} are stored twice", table.name());
            // Of a book a message is counted, not its levels.
            let least = if table == Stored::BookChanges { stored.min(1) } else { stored };
            assert!(dropped >= least, "{dropped} of {stored} rows of {}", table.name());
        }
        let stored = first.rows.sum() > before.rows.sum();
        assert!(!stored || serde_json::from_slice::<IgnoredAny>(line).is_ok(), "no JSON is stored");
    }

    fn receive(&mut self, line: &[u8]) {
        let outcome = self.session.receive(&mut line.to_vec(), self.now, &mut self.rows);
        let outcome = outcome.and_then(|()| self.session.tick(self.now, &mut self.rows));
        if let Err(error) = outcome {
            let _ = (error.to_string(), error.policy());
            self.session.disconnected(error.cause(), self.now);
            self.session.connected(self.now);
        }
        self.speak();
    }

    /// What is sent is one request a message, and fits.
    fn speak(&mut self) {
        let mut out = Vec::new();
        while self.session.transmit(self.now, &mut out) {
            assert!(out.len() <= 32_000, "{} bytes in a frame", out.len());
            let request: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert!(request["id"].is_u64() && request["method"].is_string(), "{request}");
            out.clear();
        }
    }

    fn counted(&self) -> Counted {
        let tally = self.session.decoder().tally();
        Counted {
            rows: tally.rows.clone(),
            dropped: tally.duplicates_dropped.clone(),
            notifications: self.session.counters().notifications,
        }
    }

    fn finish(mut self) {
        self.session.disconnected(Cause::closed(Some(1000), "bye"), self.now);
        self.session.finish(self.now, &mut self.rows);
        let tally = self.session.decoder().tally();
        let kept = self.rows.quarantine.rows() as u64;
        let refused: u64 = tally.quarantined.values().sum();
        assert_eq!(kept, refused - tally.quarantine_suppressed, "each refusal is kept or counted");
        for names in [tally.unsupported.len(), tally.quarantined.len(), tally.unknown_fields.len()]
        {
            assert!(names <= Tally::NAMES + 1, "{names} names");
        }
        let stored = tally.rows.sum() + kept + self.rows.data_gaps.rows() as u64;
        assert_eq!(self.rows.rows() as u64, stored, "every row is counted");
        let mut holes = self.session.decoder().holes();
        assert!(holes.all(|hole| hole.first <= hole.last));
        self.rows.take_from(1, Origin::default(), |draft| {
            let batch = draft.number(1, 0);
            well_formed(&batch);
            if batch.table().name == "quarantine" {
                within_budget(&batch);
            }
        });
    }
}

struct Counted {
    rows: Counts,
    dropped: Counts,
    notifications: u64,
}

/// A list of instruments, as REST answers.
fn list(line: &[u8]) {
    let Ok(text) = std::str::from_utf8(line) else { return };
    let Ok(listing) = instruments::parse(text) else { return };
    assert!(listing.named.len() as u64 <= listing.broken);
    let mut rows = Rows::default();
    for listed in &listing.listed {
        listed.push(Micros(1), Now::default(), &mut rows);
    }
    assert_eq!(rows.rows(), listing.listed.len());
    rows.take_from(1, Origin::default(), |draft| well_formed(&draft.number(1, 0)));
}

/// Of each reason so many are kept a minute; what was heard was heard within one.
fn within_budget(batch: &Batch) {
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    for row in 0..batch.rows() {
        *kept.entry(cell(column(batch.columns(), "reason"), row)).or_default() += 1;
    }
    let most = kept.iter().max_by_key(|(_, rows)| **rows);
    assert!(most.is_none_or(|(_, rows)| *rows <= QUARANTINE_ROWS_MAX), "{most:?}");
}

/// What a reader of the archive may rely on.
fn well_formed(batch: &Batch) {
    let table = batch.table();
    for (column, array) in table.columns.iter().zip(batch.columns().columns()) {
        let what = format!("{}.{}", table.name, column.name);
        match column.kind {
            Kind::Float => {
                let floats = array.as_primitive::<Float64Type>();
                let good = |float: f64| float.is_finite() && float.to_bits() != MINUS_ZERO;
                assert!(floats.iter().flatten().all(good), "{what}");
            }
            Kind::Time => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                let good = |time: i64| (0..=LAST_MICROS).contains(&time);
                assert!(times.iter().flatten().all(good), "{what}");
            }
            Kind::Json => {
                for json in array.as_string::<i32>().iter().flatten() {
                    assert!(serde_json::from_str::<IgnoredAny>(json).is_ok(), "{what}: {json}");
                }
            }
            Kind::Text => {
                let bytes = array.as_string::<i32>().iter().flatten().map(str::len).max();
                let most = if column.name == "raw" { RAW_BYTES_MAX } else { usize::MAX };
                assert!(bytes.unwrap_or_default() <= most, "{what}");
            }
            Kind::Bool | Kind::Int | Kind::Name => {}
        }
    }
}

/// What is wanted, so that replies have something to answer.
const CHANNELS: [&str; 3] =
    ["ticker.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.100ms", "trades.option.BTC.100ms"];
const MESSAGES_MAX: usize = 64;
/// Between two messages: all of them are heard within a minute.
const PAUSE: Duration = Duration::from_millis(700);
/// Of one reason, in a minute.
const QUARANTINE_ROWS_MAX: usize = 100;
const MINUS_ZERO: u64 = 1 << 63;
/// 9999-12-31T23:59:59.999 UTC.
const LAST_MICROS: i64 = 253_402_300_799_999_000;
/// 4,096 bytes, each replaced by three.
const RAW_BYTES_MAX: usize = 3 * 4_096;
