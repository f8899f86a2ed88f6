//! What a change costs: how much it reads or moves, and about how long that takes.

use std::fmt;

use super::catalog::Relation;

/// The cost of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Only the catalog changes.
    Instant,
    /// So many bytes of rows are read.
    Read(u64),
    /// So many bytes of rows are read and sorted.
    Sort(u64),
    /// So many bytes of rows are read, written elsewhere and removed.
    Move(u64),
}

impl Cost {
    /// Reading every row of a table, if it is there.
    pub(super) fn of(relation: Option<&Relation>) -> Self {
        relation.map_or(Self::Instant, |relation| Self::Read(relation.bytes))
    }

    fn seconds(self) -> u64 {
        match self {
            Self::Instant => 0,
            Self::Read(bytes) => bytes / READ_BYTES_PER_S,
            Self::Sort(bytes) => bytes / SORT_BYTES_PER_S,
            Self::Move(bytes) => bytes / MOVE_BYTES_PER_S,
        }
    }
}

/// The rate is said, so that whoever knows his machine can correct it.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, verb, rate) = match *self {
            Self::Instant => return f.write_str("in an instant"),
            Self::Read(bytes) => (bytes, "read", READ_BYTES_PER_S),
            Self::Sort(bytes) => (bytes, "sorted", SORT_BYTES_PER_S),
            Self::Move(bytes) => (bytes, "moved", MOVE_BYTES_PER_S),
        };
        let (size, rate) = (Size(bytes), Size(rate));
        write!(f, "{}: {size} {verb} at {rate}/s", Span(self.seconds()))
    }
}

/// A number of bytes, as people say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= GB => write!(f, "{:.1} GB", bytes as f64 / GB as f64),
            bytes if bytes >= MB => write!(f, "{} MB", bytes.div_ceil(MB)),
            bytes => write!(f, "{} kB", bytes.div_ceil(KB)),
        }
    }
}

/// A number of seconds, as people say it.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..10 => f.write_str("some seconds"),
            seconds @ 10..120 => write!(f, "about {seconds} s"),
            seconds @ 120..7_200 => write!(f, "about {} min", seconds.div_ceil(60)),
            seconds => write!(f, "about {} h", seconds.div_ceil(3_600)),
        }
    }
}

const KB: u64 = 1_000;
const MB: u64 = 1_000_000;
const GB: u64 = 1_000_000_000;
// Measured on two busy cores with PostgreSQL 15 and 2.5 million quotes of 160 bytes, and rounded
// down: 13.5 MB/s moved, 16 MB/s sorted, 60 MB/s read for a key.
/// A scan that builds an index.
const READ_BYTES_PER_S: u64 = 50 * MB;
/// Rows ranked within their keys.
const SORT_BYTES_PER_S: u64 = 15 * MB;
/// Rows taken out of one table and put into another.
const MOVE_BYTES_PER_S: u64 = 10 * MB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_take_longer() {
        for (cost, words) in [
            (Cost::Instant, "in an instant"),
            (Cost::Read(7_400), "some seconds: 8 kB read at 50 MB/s"),
            (Cost::Read(3_000 * MB), "about 60 s: 3.0 GB read at 50 MB/s"),
            (Cost::Sort(3_000 * MB), "about 4 min: 3.0 GB sorted at 15 MB/s"),
            (Cost::Move(3_000 * MB), "about 5 min: 3.0 GB moved at 10 MB/s"),
            (Cost::Move(400 * GB), "about 12 h: 400.0 GB moved at 10 MB/s"),
        ] {
            assert_eq!(cost.to_string(), words);
        }
    }
}
