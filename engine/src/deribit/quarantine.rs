//! The budget of the quarantine: enough to see what is wrong, never a flood.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::tables::{Quarantined, Rows};
use schema::{Micros, Now};

use super::tally::{Tally, cut, slot};

/// How much each reason may still keep in its present minute.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    windows: BTreeMap<String, Window>,
}

#[derive(Debug, Default)]
struct Window {
    opened: Duration,
    rows: u32,
}

impl Quarantine {
    /// Keeps the bytes, cut, unless the reason's budget is spent; counts them either way.
    pub(super) fn keep(
        &mut self,
        (channel, reason): (&str, &str),
        raw: &[u8],
        now: Now,
        tally: &mut Tally,
        rows: &mut Rows,
    ) {
        tally.quarantined(reason);
        let window = slot(&mut self.windows, reason);
        if now.monotonic.saturating_sub(window.opened) >= MINUTE {
            *window = Window { opened: now.monotonic, rows: 0 };
        }
        if window.rows >= ROWS_A_MINUTE {
            tally.quarantine_suppressed += 1;
            return;
        }
        window.rows += 1;
        let head = raw.get(..RAW_BYTES.min(raw.len())).unwrap_or_default();
        let text = String::from_utf8_lossy(head);
        rows.quarantine.push(&Quarantined {
            received_at: Micros(now.utc.0),
            channel: cut(channel, Tally::SAMPLE_BYTES),
            reason: cut(reason, Tally::SAMPLE_BYTES),
            raw: &text,
            source: "decoder",
        });
    }
}

const MINUTE: Duration = Duration::from_mins(1);
/// Rows of one reason in a minute.
const ROWS_A_MINUTE: u32 = 100;
/// Bytes kept of a message. Replacing a byte that is not UTF-8 makes it three.
const RAW_BYTES: usize = 4096;
