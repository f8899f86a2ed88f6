//! How each shard is doing, each ten seconds, as rows of `collector_status`.

use std::sync::Arc;
use std::time::Duration;

use schema::tables::CollectorStatus;
use schema::{Micros, Now};

use super::desk::Desk;
use super::routine::Routine;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::metrics::{Line, State};
use crate::queue::Inlet;
use crate::stop::Stop;

/// Starts the thread that writes them. `restarts` is how often the journal was opened before.
pub(super) fn start(
    lines: Vec<Arc<Line>>,
    restarts: u64,
    inlet: Inlet,
    clock: Clock,
    trouble: Stop,
) -> Result<Routine, Failure> {
    let now = clock.now();
    let watched = lines.into_iter().map(|line| Watched { rows: line.rows.get(), line });
    let mut work = Work {
        lines: watched.collect(),
        started: now.utc,
        restarts: i64::try_from(restarts).unwrap_or(i64::MAX),
        written: now.monotonic,
        desk: Desk::new(inlet),
    };
    Routine::start("status", trouble, move || work.turn(clock.now()))
}

struct Work {
    lines: Vec<Watched>,
    started: Micros,
    restarts: i64,
    /// When rows were written last, on the monotonic clock.
    written: Duration,
    desk: Desk,
}

struct Watched {
    line: Arc<Line>,
    /// The rows that it had made when it was written last.
    rows: u64,
}

impl Work {
    fn turn(&mut self, now: Now) {
        let passed = now.monotonic.saturating_sub(self.written);
        if passed >= INTERVAL {
            self.written = now.monotonic;
            self.write(passed, now);
        }
        self.desk.hand_over();
    }

    fn write(&mut self, passed: Duration, now: Now) {
        let (rss_bytes, usage) = (rss_bytes(), hundredths(self.desk.usage_pct()));
        for Watched { line, rows } in &mut self.lines {
            let before = std::mem::replace(rows, line.rows.get());
            let ticks = rows.saturating_sub(before) as f64 / passed.as_secs_f64();
            let trouble = line.trouble();
            self.desk.rows.collector_status.push(&CollectorStatus {
                timestamp: now.utc,
                received_at: now.utc,
                collector_id: &line.shard,
                status: word(line),
                ticks_per_sec: Some(hundredths(ticks)),
                active_subscriptions: i64::try_from(line.acknowledged.get()).ok(),
                buffer_usage_pct: Some(usage),
                last_error: trouble.as_deref(),
                started_at: Some(self.started),
                restarts: Some(self.restarts),
                errors_total: i64::try_from(line.lost.get()).ok(),
                rss_bytes,
            });
        }
    }
}

fn word(line: &Line) -> &'static str {
    match line.state() {
        State::Recording | State::Subscribing => "connected",
        State::Connecting if line.goal.get() == 0 => "idle",
        State::Connecting if line.lost.get() > 0 => "disconnected",
        State::Connecting => "connecting",
    }
}

/// Two decimals, which is what the predecessor's columns have.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The process's resident memory; unknown where there is no `/proc`.
fn rss_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = kilobytes.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

const INTERVAL: Duration = Duration::from_secs(10);
