//! The journal's bounds.

use std::time::Duration;

/// How long, how often, how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that is this long ends.
    pub segment_bytes_max: u64,
    /// A segment that is this old ends with the next row. Its age is measured by the instants that
    /// [`Appender::through`](crate::Appender::through) is told.
    pub segment_age_max: Duration,
    /// From one sync to the next: what a power cut may take, at most.
    pub sync_interval: Duration,
    /// How long a segment is kept after its last row, even when every sink is past it.
    pub keep: Duration,
    /// Memory of the newest batches, which sinks read without touching the disk.
    pub tail_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            segment_age_max: Duration::from_secs(60 * 60),
            sync_interval: Duration::from_secs(1),
            keep: Duration::from_secs(48 * 60 * 60),
            tail_bytes_max: 16 << 20,
        }
    }
}
