//! The oracle: nothing is stored twice, and what was said while somebody listened is stored or
//! lies in a gap that follows a fault.

mod delivered;
mod gaps;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

use tapedeck_tests::tape::Gap;

use super::super::START_US;
use super::super::archive::Archive;
use super::super::judge::{Heard, gaps_of_lives};
use super::super::venue::{Sent, Venue};
use super::record::Record;
use super::world::{LIFECYCLE, Past};

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
    let over = venue.listed().into_iter().filter(|it| it.state != exchange::State::Open);
    let expired = over.map(|it| (it.name, it.expiry_ms * 1_000)).collect();
    let judge = Judge { record: &record, venue: &venue, counts, gaps, expired };
    judge.check_gaps();
    judge.check_outages();
    judge.check_given();
    let (owed, named) = judge.check_owed();
    let stored = archives.iter().map(|it| it.rows.len() as u64).sum();
    Verdict { owed, stored, named, seen: record.seen.clone() }
}

struct Judge<'a> {
    record: &'a Record,
    venue: &'a Venue,
    /// How often each row is stored.
    counts: HashMap<&'a str, usize>,
    gaps: Vec<Gap>,
    /// When instruments expired that have, µs UTC.
    expired: BTreeMap<String, i64>,
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
    let times = often_heard(record, venue);
    for (key, count) in strange {
        let times = times.get(key).copied().unwrap_or(0);
        let once = key.contains("_trades ");
        assert!(count <= times && !(once && count > 1), "said {times}, stored {count}: {key}");
    }
}

/// How often a perfect recorder that has one connection would store each row: over whichever it
/// would do so most often. What a connection was cut off in may have been whole.
fn often_heard(record: &Record, venue: &Venue) -> HashMap<String, usize> {
    let mut most: HashMap<String, usize> = HashMap::new();
    for connection in &record.connections {
        let mut heard = Heard::default();
        let mut times: HashMap<String, usize> = HashMap::new();
        for range in connection.sent.iter().take(connection.given.len() + 1) {
            for sent in &venue.sent[range.clone()] {
                heard.take(sent, |key, _| *times.entry(key.to_owned()).or_default() += 1);
            }
        }
        for (key, times) in times {
            let most = most.entry(key).or_default();
            *most = times.max(*most);
        }
    }
    most
}

impl Judge<'_> {
    /// What was owed is stored, or named.
    fn check_owed(&self) -> (u64, BTreeMap<String, u64>) {
        let (mut owed, mut named) = (0, BTreeMap::new());
        let mut truth = Heard::default();
        // By name: of channels and of instruments.
        let mut unwanted: HashMap<String, Vec<Range<u64>>> = HashMap::new();
        let mut spans = |of: &str| -> Vec<Range<u64>> {
            let spans = unwanted.entry(of.to_owned());
            spans.or_insert_with(|| self.record.unwanted(of)).clone()
        };
        for sent in &self.venue.market {
            let due = self.is_owed(sent, &spans(&sent.channel));
            truth.take(sent, |key, name| {
                let spans = spans(name);
                if due && !spans.iter().any(|span| span.contains(&sent.at)) {
                    owed += 1;
                    if !self.counts.contains_key(key) {
                        let gap = self.named(sent, key, name);
                        let once = is_trade(key) && !self.is_given_up(sent, &spans);
                        assert!(!once, "not asked for again: {key}\n{gap:#?}");
                        *named.entry(gap.cause.clone()).or_default() += 1;
                    }
                }
            });
        }
        (owed, named)
    }

    /// Whether somebody had listened to the channel before, and still was to.
    fn is_owed(&self, sent: &Sent, unwanted: &[Range<u64>]) -> bool {
        let homes = self.record.homes.get(&*sent.channel);
        let first = homes.and_then(|homes| homes.iter().map(|it| it.from).min());
        let before = first.is_some_and(|from| from <= sent.at) && sent.at <= self.record.ended_at;
        before && !unwanted.iter().any(|span| span.contains(&sent.at))
    }

    /// Trades are asked for again, whatever kept them away; but nobody asks after what was given up
    /// before a recorder was there for so long that it could.
    fn is_given_up(&self, sent: &Sent, unwanted: &[Range<u64>]) -> bool {
        unwanted.iter().filter(|span| span.start >= sent.at).any(|span| {
            let ears = self.record.ears[&*sent.channel].iter();
            let heard =
                ears.map(|it| it.until.min(span.start).saturating_sub(it.from.max(sent.at)));
            heard.sum::<u64>() < ASKED_US
        })
    }

    /// The gap that names a row which is missing.
    fn named(&self, sent: &Sent, key: &str, name: &str) -> &Gap {
        let table = key.split(' ').next().unwrap_or_default();
        let all = &self.record.homes[&*sent.channel];
        let near = all.iter().filter(|it| {
            it.from <= sent.at + MOVED_US && sent.at <= it.until.saturating_add(MOVED_US)
        });
        let mut shards: Vec<&str> = near.map(|it| &*it.shard).collect();
        // Whoever had it last, however long ago.
        let last = all.iter().filter(|it| it.from <= sent.at);
        shards.extend(last.max_by_key(|it| it.until).map(|it| &*it.shard));
        let at = START_US + sent.at as i64;
        let covers = |gap: &&Gap| {
            // What was on its way is named by its instrument.
            let way = gap.cause == "takeover_unverified";
            let here = (way || shards.contains(&&*gap.shard)) && gap.concerns(table, name);
            here && gap.start <= at && gap.end.is_none_or(|end| at <= end)
        };
        self.gaps.iter().find(covers).unwrap_or_else(|| {
            let second = sent.at as f64 / 1e6;
            let near: Vec<_> = self.gaps.iter().filter(|it| it.concerns(table, name)).collect();
            panic!("lost at {second:.6} s, with {shards:?}: {key}\n{near:#?}")
        })
    }
}

fn is_trade(key: &str) -> bool {
    key.split(' ').next().is_some_and(|table| table.ends_with("_trades"))
}

/// How far from a move a gap of either shard may name what is missing.
const MOVED_US: u64 = 5_000_000;
/// Within this a recorder that listens has asked for trades that it missed.
const ASKED_US: u64 = 30_000_000;
