//! The oracle: nothing is stored twice, and what was said while somebody listened is stored or
//! lies in a gap that follows a fault.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use tapedeck_tests::tape::Gap;

use super::super::START_US;
use super::super::archive::Archive;
use super::super::judge::{Heard, gaps_of_lives, times_said};
use super::super::venue::{Sent, Venue};
use super::world::{LIFECYCLE, Past, Record};

/// What some worlds came to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    owed: u64,
    stored: u64,
    /// Rows that are missing, by the cause of the gap that names them.
    named: BTreeMap<String, u64>,
    pub(super) seen: BTreeMap<String, u64>,
}

impl Verdict {
    pub(super) fn add(&mut self, other: Self) {
        self.owed += other.owed;
        self.stored += other.stored;
        let sum = |sum: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>| {
            more.into_iter().for_each(|(what, times)| *sum.entry(what).or_default() += times);
        };
        sum(&mut self.named, other.named);
        sum(&mut self.seen, other.seen);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen.iter().try_for_each(|(what, times)| writeln!(f, "{times:>9} {what}"))?;
        writeln!(f, "rows that are missing, by the gap that names them")?;
        self.named.iter().try_for_each(|(what, rows)| writeln!(f, "{rows:>9} {what}"))?;
        let named: u64 = self.named.values().sum();
        write!(
            f,
            "{} rows were owed, {named} are missing and named, {} stored",
            self.owed, self.stored
        )
    }
}

/// Judges one world; panics where an invariant is broken.
pub(super) fn judge(past: Past) -> Verdict {
    let Past { record, venue, disks } = past;
    let archives: Vec<Archive> =
        disks.iter().map(|(disk, options)| Archive::read(disk, options)).collect();
    assert!(archives[LIFECYCLE].rows.is_empty(), "a lifecycle records nothing");
    for archive in &archives {
        assert!(archive.quarantine.is_empty(), "nothing is strange: {:?}", archive.quarantine);
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for row in archives.iter().flat_map(|it| it.rows.values()) {
        *counts.entry(&row.key).or_default() += 1;
    }
    check_stored(&record, &venue, &counts);
    let others = |gap: &Gap, later: &Gap| later.written != gap.written;
    let gaps: Vec<Gap> = archives.iter().flat_map(|it| gaps_of_lives(it, others)).collect();
    let unwanted = record.wishes.unwanted(&record.homes);
    let expired = venue.expired();
    // The exchange acknowledges nothing any more of what has expired; of what nobody wanted for a
    // while trades are missed, and its new shard may have to forget what it heard first.
    let excused = |gap: &Gap| match &*gap.cause {
        "subscription_refused" => expired.contains(&gap.instrument),
        "trade_seq" | "takeover_unverified" => {
            unwanted.get(&*gap.instrument).into_iter().flatten().any(|span| {
                span.start <= since_start(gap.end) && since_start(Some(gap.start)) <= span.end
            })
        }
        _ => false,
    };
    check_gaps(&record, &gaps, excused);
    let wanted = |name: &str, at: u64| {
        let spans = unwanted.get(name).into_iter().flatten();
        !spans.clone().any(|span| span.contains(&at))
    };
    let (mut owed, mut named) = (0, BTreeMap::new());
    let mut truth = Heard::default();
    for sent in &venue.market {
        let due = record.is_owed(sent);
        truth.take(sent, |key, name| {
            if due && wanted(name, sent.at) {
                owed += 1;
                if !counts.contains_key(key) {
                    let gap = record.named(sent, key, name, &gaps);
                    // Trades are asked for again, whatever kept them away; but nobody asks after
                    // what was given up before a recorder that can ask was told of it.
                    let mut spans = unwanted.get(name).into_iter().flatten();
                    let given_up = spans.any(|span| span.start >= sent.at);
                    let trade = key.split(' ').next().is_some_and(|it| it.ends_with("_trades"));
                    assert!(!trade || given_up, "not asked for again: {key}\n{gap:#?}");
                    *named.entry(gap.cause.clone()).or_default() += 1;
                }
            }
        });
    }
    let stored = archives.iter().map(|it| it.rows.len() as u64).sum();
    Verdict { owed, stored, named, seen: record.seen.clone() }
}

/// Nothing is stored that was not said, and nothing more often than it was said: to whoever hears
/// everything, or over one connection.
fn check_stored(record: &Record, venue: &Venue, counts: &HashMap<&str, usize>) {
    let mut market: HashMap<String, usize> = HashMap::new();
    let mut truth = Heard::default();
    for sent in &venue.market {
        truth.take(sent, |key, _| *market.entry(key.to_owned()).or_default() += 1);
    }
    let strange =
        |(key, count): &(&&str, &usize)| **count > market.get(**key).copied().unwrap_or(0);
    let strange: Vec<(&str, usize)> =
        counts.iter().filter(strange).map(|(key, count)| (*key, *count)).collect();
    if strange.is_empty() {
        return;
    }
    // What one connection was cut off in may be whole, too.
    let times = times_said(venue, record.delivered.iter().cloned());
    for (key, count) in strange {
        let times = times.get(key).copied().unwrap_or(0);
        let once = key.contains("_trades ");
        assert!(count <= times && !(once && count > 1), "said {times}, stored {count}: {key}");
    }
}

/// A gap follows a fault, and has ended. In a calm world there is none.
fn check_gaps(record: &Record, gaps: &[Gap], excused: impl Fn(&Gap) -> bool) {
    for gap in gaps {
        // Whoever cannot be reached for long may have forgotten what it held.
        let forgot = gap.cause == "takeover_unverified";
        let excused = excused(gap);
        assert!(!record.calm || forgot || excused, "nothing was missed: {gap:?}");
        let end = gap.end.unwrap_or_else(|| panic!("it has not ended: {gap:?}"));
        let follows = |(at, _): &(u64, String)| {
            let at = START_US + *at as i64;
            // Nobody knows when a trade was that is missing, but that it was behind another one.
            let hole = gap.cause == "trade_seq" && gap.start <= at;
            (hole || gap.start.abs_diff(at) <= FOLLOWS_US) && at <= end
        };
        let fault = excused || record.faults.iter().any(follows);
        assert!(fault, "it follows no fault: {gap:?}");
    }
}

impl Record {
    /// Whether somebody had listened to the channel before.
    fn is_owed(&self, sent: &Sent) -> bool {
        let homes = self.homes.get(&*sent.channel);
        let first = homes.and_then(|homes| homes.iter().map(|it| it.from).min());
        let last = self.unwanted.get(&*sent.channel).copied().unwrap_or(self.ended_at);
        first.is_some_and(|from| from <= sent.at) && sent.at <= last
    }

    /// The gap that names a row which is missing.
    fn named<'a>(&self, sent: &Sent, key: &str, name: &str, gaps: &'a [Gap]) -> &'a Gap {
        let table = key.split(' ').next().unwrap_or_default();
        let homes = self.homes[&*sent.channel].iter();
        let near = homes.filter(|it| {
            it.from <= sent.at + MOVED_US && sent.at <= it.until.saturating_add(MOVED_US)
        });
        let mut shards: Vec<&str> = near.map(|it| &*it.shard).collect();
        // Whoever had it last, however long ago.
        let last = self.homes[&*sent.channel].iter().filter(|it| it.from <= sent.at);
        shards.extend(last.max_by_key(|it| it.until).map(|it| &*it.shard));
        let at = START_US + sent.at as i64;
        let covers = |gap: &&Gap| {
            // What was on its way is named by its instrument.
            let way = gap.cause == "takeover_unverified";
            let here = (way || shards.contains(&&*gap.shard)) && gap.concerns(table, name);
            here && gap.start <= at && gap.end.is_none_or(|end| at <= end)
        };
        gaps.iter().find(covers).unwrap_or_else(|| {
            let second = sent.at as f64 / 1e6;
            let near: Vec<_> = gaps.iter().filter(|it| it.concerns(table, name)).collect();
            panic!("lost at {second:.6} s, with {shards:?}: {key}\n{near:#?}")
        })
    }
}

/// µs since the simulation began.
fn since_start(end: Option<i64>) -> u64 {
    end.map_or(u64::MAX, |end| (end - START_US).max(0) as u64)
}

/// How far from a move a gap of either shard may name what is missing.
const MOVED_US: u64 = 5_000_000;
/// A gap begins where everything was certainly there, so long before the fault at most.
const FOLLOWS_US: u64 = 60_000_000;
