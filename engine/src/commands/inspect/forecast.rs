//! When the disk will be full: what whole days took, and what is free.
//!
//! Counted are the archive's files of days and, where it lies on the same disk, the journal. The
//! archive grows until `keep_days` removes as much as comes, the journal until it holds `keep`
//! (longer while a sink is away). Raw frames, exports and other programs are not counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use journal::Report;
use schema::{Date, Micros, Partition, tables};
use sinks::parquet::{Listed, Listing};

/// What the next days will take, and what there is.
#[derive(Debug)]
pub(super) struct Forecast {
    archive: Archive,
    /// Missing where the journal lies on another disk, or there is none.
    journal: Option<Journal>,
    keep: Keep,
    free_bytes: u64,
}

/// How long a configuration keeps what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) days: Option<u32>,
    pub(super) journal: Duration,
}

/// The archive's days.
#[derive(Debug, Default)]
struct Archive {
    /// The newest whole days, oldest first, with their bytes.
    whole: Vec<(Date, u64)>,
    /// From the begin of the oldest day to the newest row.
    held: Duration,
}

/// What the journal's segments are.
#[derive(Clone, Copy, Debug)]
struct Journal {
    bytes: u64,
    /// From the begin of the oldest segment to the newest watermark.
    held: Duration,
}

/// Something that grows by so much a day, for so many days.
#[derive(Clone, Copy, Debug)]
struct Growth {
    bytes_a_day: f64,
    days: f64,
}

impl Forecast {
    /// Of the files that a manifest names, and of the journal on the same disk.
    pub(super) fn new(
        listing: &Listing,
        journal: Option<&Report>,
        keep: Keep,
        free_bytes: u64,
    ) -> Self {
        let (archive, journal) = (Archive::of(&listing.files), journal.map(Journal::of));
        Self { archive, journal, keep, free_bytes }
    }

    /// What grows; `None` where there is not a day yet to tell from.
    fn growths(&self) -> Option<Vec<Growth>> {
        let bytes_a_day = self.archive.bytes_a_day()?;
        // A day goes so many days after its end, and the day that has begun is there too.
        let room = self.keep.days.map(|days| DAY * (days + 1));
        let left =
            room.map_or(f64::INFINITY, |room| in_days(room.saturating_sub(self.archive.held)));
        let mut growths = vec![Growth { bytes_a_day, days: left }];
        if let Some(journal) = self.journal {
            let days = in_days(self.keep.journal.saturating_sub(journal.held));
            growths.push(Growth { bytes_a_day: journal.bytes_a_day()?, days });
        }
        Some(growths)
    }
}

impl Archive {
    fn of(files: &[Listed]) -> Self {
        let mut days = BTreeMap::<Date, (u64, [Micros; 2])>::new();
        for file in files {
            let dated =
                tables::named(&file.table).is_some_and(|table| table.partition != Partition::Whole);
            if !dated {
                continue;
            }
            let [least, greatest] = file.times;
            let (bytes, times) = days.entry(least.date()).or_insert((0, [least, greatest]));
            *bytes += file.bytes;
            *times = [times[0].min(least), times[1].max(greatest)];
        }
        let newest = days.values().map(|(_, times)| times[1]).max();
        let oldest = days.keys().next().map(|date| date.start());
        let held = oldest.zip(newest).map_or(Duration::ZERO, |(start, end)| end.since(start));
        let whole = days.into_iter().filter(|(date, (_, times))| is_whole(*date, *times));
        let mut whole: Vec<_> = whole.map(|(date, (bytes, _))| (date, bytes)).collect();
        whole.drain(..whole.len().saturating_sub(DAYS_MAX));
        Self { whole, held }
    }

    fn bytes_a_day(&self) -> Option<f64> {
        let bytes: u64 = self.whole.iter().map(|(_, bytes)| bytes).sum();
        (!self.whole.is_empty()).then(|| bytes as f64 / self.whole.len() as f64)
    }
}

impl Journal {
    fn of(report: &Report) -> Self {
        let bytes = report.segments.iter().map(|segment| segment.bytes).sum();
        let begin = report.segments.iter().map(|segment| segment.created).min();
        let watermarks = report.segments.iter().filter_map(|segment| segment.watermark);
        let end = watermarks.map(|watermark| watermark.through).max();
        let held = begin.zip(end).map_or(Duration::ZERO, |(begin, end)| end.since(begin));
        Self { bytes, held }
    }

    fn bytes_a_day(&self) -> Option<f64> {
        (self.held >= DAY).then(|| self.bytes as f64 / in_days(self.held))
    }
}

/// `a day takes … bytes`, and `disk: … bytes free, full in … days`; a sentence a line.
impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = &self.archive.whole;
        let bytes_a_day = self.archive.bytes_a_day();
        if let (Some(bytes), Some((first, _)), Some((last, _))) =
            (bytes_a_day, whole.first(), whole.last())
        {
            let days = whole.len();
            writeln!(f, "a day takes {bytes:.0} bytes: mean of {days} whole, {first} to {last}")?;
        }
        if let Some(bytes) = self.journal.and_then(|journal| journal.bytes_a_day()) {
            writeln!(f, "the journal takes {bytes:.0} bytes a day")?;
        }
        write!(f, "disk: {} bytes free, full in ", self.free_bytes)?;
        let Some(growths) = self.growths() else {
            return match bytes_a_day {
                None => write!(f, "unknown: the archive has no whole day yet"),
                Some(_) => write!(f, "unknown: the journal has no whole day yet"),
            };
        };
        match days_until_full(self.free_bytes, &growths) {
            Some(days) => write!(f, "{days:.1} days"),
            None => write!(f, "never: what is kept fits"),
        }
    }
}

/// How long until growth has taken what is free; `None` if it ends before.
fn days_until_full(free_bytes: u64, growths: &[Growth]) -> Option<f64> {
    let mut ends: Vec<f64> = growths.iter().map(|growth| growth.days).collect();
    ends.sort_by(f64::total_cmp);
    let (mut at, mut free) = (0.0, free_bytes as f64);
    for end in ends {
        let going = growths.iter().filter(|growth| growth.days > at);
        let rate: f64 = going.map(|growth| growth.bytes_a_day).sum();
        if rate > 0.0 && at + free / rate <= end {
            return Some(at + free / rate);
        }
        if end.is_infinite() {
            return None;
        }
        free -= rate * (end - at);
        at = end;
    }
    None
}

/// Whether rows of the day's begin and of its end are there.
fn is_whole(date: Date, [least, greatest]: [Micros; 2]) -> bool {
    let start = date.start();
    least <= start.plus(EDGE) && greatest >= start.plus(DAY - EDGE)
}

fn in_days(time: Duration) -> f64 {
    time.as_secs_f64() / DAY.as_secs_f64()
}

const DAY: Duration = Duration::from_secs(86_400);
/// A week, because weekends are quiet.
const DAYS_MAX: usize = 7;
/// A day that has rows so near to its begin and its end was recorded as a whole.
const EDGE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use journal::disk::System;
    use schema::tables::IndexTick;
    use schema::{Builder, Origin};
    use sinks::parquet::{self, Options};
    use sinks::{Parquet, Sink};

    use super::*;

    /// An archive of a tick a minute from one instant to another, and the bytes of each day.
    fn archive(data: &Path, from: Micros, to: Micros) -> BTreeMap<String, u64> {
        let mut sink = Parquet::new(Arc::new(System), data, Options::default());
        sink.open("0e0c9f5c-7a8e-4a39-9c94-0d3f7d1f2a11").unwrap();
        let mut ticks = Builder::<IndexTick<'static>>::default();
        let mut at = from;
        while at < to {
            let price = 80_000.0 + (at.0 / 60_000_000 % 977) as f64;
            let (timestamp, received_at) = (at, at);
            ticks.push(&IndexTick { timestamp, received_at, index_name: "btc_usd", price });
            at = at.plus(Duration::from_secs(60));
        }
        let batch = ticks.take(Origin::default()).unwrap().number(1, 0);
        sink.write(&[Arc::new(batch)]).unwrap();
        sink.close().unwrap();
        let days = fs::read_dir(data.join("parquet/index_ticks/currency=BTC")).unwrap().flatten();
        days.map(|day| {
            let files = fs::read_dir(day.path()).unwrap().flatten();
            let bytes = files.map(|file| file.metadata().unwrap().len()).sum();
            (day.file_name().into_string().unwrap(), bytes)
        })
        .collect()
    }

    fn check(from: Micros, to: Micros, keep_days: Option<u32>, free_days: f64, end: &str) {
        let folder = tempfile::tempdir().unwrap();
        let bytes = archive(folder.path(), from, to);
        let whole: Vec<u64> = ["date=2026-11-22", "date=2026-11-23"]
            .iter()
            .filter_map(|day| bytes.get(*day).copied())
            .collect();
        let mean = whole.iter().sum::<u64>() as f64 / whole.len().max(1) as f64;
        let listing = parquet::list(&System, folder.path()).unwrap();
        let keep = Keep { days: keep_days, journal: Duration::ZERO };
        let free_bytes = (mean * free_days) as u64;
        let said = Forecast::new(&listing, None, keep, free_bytes).to_string();
        assert!(said.ends_with(end), "{said} does not end with {end}");
        assert!(said.contains(&format!("disk: {free_bytes} bytes free")), "{said}");
        let days =
            format!("a day takes {mean:.0} bytes: mean of 2 whole, 2026-11-22 to 2026-11-23");
        assert_eq!(said.contains(&days), !end.contains("unknown"), "{said}");
    }

    #[test]
    fn the_disk_is_full_when_days_like_the_last_have_taken_what_is_free() {
        let noon = |day| Date::from_civil(2026, 11, day).start().plus(DAY / 2);
        // The days at both ends are halves, and count for nothing.
        check(noon(21), noon(24), None, 10.0, "full in 10.0 days");
        // Of the 3 days and that which has begun, 3.5 are there.
        check(noon(21), noon(24), Some(3), 0.6, "full in never: what is kept fits");
        check(noon(21), noon(24), Some(3), 0.4, "full in 0.4 days");
        check(noon(21), noon(22), None, 10.0, "full in unknown: the archive has no whole day yet");
    }

    #[test]
    fn growth_that_ends_leaves_the_rest_to_what_goes_on() {
        let grows = |bytes_a_day, days| Growth { bytes_a_day, days };
        let cases: [(u64, &[Growth], Option<f64>); 6] = [
            (100, &[grows(10.0, f64::INFINITY)], Some(10.0)),
            (100, &[grows(10.0, f64::INFINITY), grows(40.0, 1.0)], Some(6.0)),
            (100, &[grows(10.0, f64::INFINITY), grows(90.0, 2.0)], Some(1.0)),
            (100, &[grows(10.0, 5.0), grows(40.0, 1.0)], None),
            (100, &[grows(0.0, f64::INFINITY)], None),
            (0, &[grows(10.0, 1.0)], Some(0.0)),
        ];
        for (free_bytes, growths, days) in cases {
            assert_eq!(days_until_full(free_bytes, growths), days, "{free_bytes} {growths:?}");
        }
    }
}
