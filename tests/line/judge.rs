//! The oracle: compares what the exchange said, as the observer heard it, with what is stored. It
//! uses nothing of the code that it judges.

mod delivered;
mod gaps;

use std::collections::btree_map::Range;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use tapedeck_tests::tape::Gap;
use tapedeck_tests::truth::Truth;

use super::START_US;
use super::account::Account;
use super::archive::{Archive, Row, SNAPSHOT};
use super::record::Record;
use super::venue::{Mischief, Sent, Venue};

/// Judges one world; panics where an invariant is broken.
pub(super) fn judge(record: &Record, venue: &Venue, archive: &Archive) -> Account {
    let (trades, chains) = (Trades::new(venue, archive), Chains::new(venue, archive));
    let judge = Judge {
        record,
        gaps: gaps(archive, record),
        removed: removed(venue),
        expired: venue.expired(),
        trades,
        chains,
    };
    judge.check_gaps(venue);
    judge.check_outages();
    judge.check_stored(venue, archive);
    judge.check_delivered(venue, archive);
    let (owed, excused) = judge.check_owed(venue, archive);
    let (stored, gaps) = (archive.rows.len() as u64, judge.gaps.len() as u64);
    let mut seen = record.seen.clone();
    for gap in &judge.gaps {
        *seen.entry(format!("a gap: {}", gap.cause)).or_default() += 1;
    }
    Account { owed, stored, gaps, excused, seen }
}

struct Judge<'a> {
    record: &'a Record,
    gaps: Vec<Gap>,
    /// What the exchange itself kept back, so that no client can tell.
    removed: BTreeSet<String>,
    expired: BTreeSet<String>,
    trades: Trades,
    chains: Chains,
}

/// The messages of each book that the program was sent: when, its change_id, and whether it is a
/// change that is stored.
#[derive(Debug, Default)]
struct Chains(BTreeMap<String, Vec<(u64, i64, bool)>>);

impl Chains {
    fn new(venue: &Venue, archive: &Archive) -> Self {
        let stored: BTreeSet<&str> = archive.rows.values().map(|row| &*row.key).collect();
        let mut chains = Self::default();
        for sent in venue.sent.iter().filter(|sent| sent.channel.starts_with("book.")) {
            Heard::default().take(sent, |key, name| {
                let told = !key.ends_with(SNAPSHOT) && stored.contains(key);
                chains.0.entry(name.to_owned()).or_default().push((sent.at, change(sent).0, told));
            });
        }
        chains
    }

    /// Whether a client that lived long enough could tell that a change was missing: the next
    /// message was a change too, and has arrived. One from before it may come later.
    fn tells(&self, name: &str, (at, id): (u64, i64), deaths: &[u64]) -> bool {
        let later = |it: &&(u64, i64, bool)| it.0 > at && it.1 > id;
        let next = self.0.get(name).into_iter().flatten().find(later);
        next.is_some_and(|(sent, _, told)| {
            *told && !deaths.iter().any(|at| (*sent..sent + TOLD_US).contains(at))
        })
    }
}

/// The trades that the market made, by instrument and sequence: whether each is stored.
#[derive(Debug, Default)]
struct Trades(BTreeMap<String, BTreeMap<i64, bool>>);

impl Trades {
    fn new(venue: &Venue, archive: &Archive) -> Self {
        let stored: BTreeSet<&str> = archive.rows.values().map(|row| &*row.key).collect();
        let mut trades = Self::default();
        for sent in venue.market.iter().filter(|sent| sent.channel.starts_with("trades.")) {
            Heard::default().take(sent, |key, name| {
                let of = trades.0.entry(name.to_owned()).or_default();
                of.insert(sequence(key), stored.contains(key));
            });
        }
        trades
    }

    /// Whether a client could tell that this trade is missing: some before it and some after it are
    /// stored.
    fn tells(&self, name: &str, seq: i64) -> bool {
        let Some(of) = self.0.get(name) else { return false };
        let any = |trades: Range<'_, i64, bool>| trades.into_iter().any(|(_, stored)| *stored);
        any(of.range(..seq)) && any(of.range(seq + 1..))
    }
}

/// The trade_seq in a trade's key.
fn sequence(key: &str) -> i64 {
    key.split(' ').nth(3).and_then(|text| text.parse().ok()).expect("a trade has its number")
}

/// The rows that a fault of the exchange took off the wire, or put where they are of no use.
fn removed(venue: &Venue) -> BTreeSet<String> {
    let mut removed = BTreeSet::new();
    for Mischief { fault, about, text, .. } in &venue.mischief {
        let lost = ["drop", "garbage", "gap"].contains(&&**fault);
        if !lost || !about.contains('.') || !text.starts_with('{') {
            continue;
        }
        // One trade of a frame, or a whole frame.
        let text = match text.contains("\"params\"") {
            true => text.clone(),
            false => format!("{{\"params\":{{\"channel\":\"{about}\",\"data\":[{text}]}}}}"),
        };
        let sent = Sent { at: 0, channel: (&**about).into(), text: text.into() };
        removed.extend(said(&[sent]));
    }
    removed
}

/// The gaps, each with the end that its last row gives.
pub(super) fn gaps(archive: &Archive, record: &Record) -> Vec<Gap> {
    // Where the clock was set nobody can tell the lives apart by it.
    gaps_of_lives(archive, |gap, later| match record.wall.len() {
        1 => {
            let died = |at: &u64| (gap.written..later.written).contains(&(START_US + *at as i64));
            record.deaths.iter().any(died)
        }
        _ => later.written != gap.written,
    })
}

/// The same. A gap that was open when the program ended goes on in the restart of the shard's next
/// life (docs/gaps.md): whether a later gap is of another life, `others` says.
pub(super) fn gaps_of_lives(archive: &Archive, others: impl Fn(&Gap, &Gap) -> bool) -> Vec<Gap> {
    let mut gaps: BTreeMap<_, (i64, &Gap)> = BTreeMap::new();
    for (sequence, gap) in &archive.gaps {
        gaps.insert((&gap.shard, &gap.instrument, gap.start, &gap.cause), (*sequence, gap));
    }
    let mut gaps: Vec<(i64, Gap)> = gaps.into_values().map(|(at, gap)| (at, gap.clone())).collect();
    gaps.sort_by_key(|(sequence, _)| *sequence);
    let restarts: Vec<(i64, Gap)> =
        gaps.iter().filter(|(_, gap)| gap.cause == "restart").cloned().collect();
    for (sequence, gap) in gaps.iter_mut().filter(|(_, gap)| gap.end.is_none()) {
        let mut later = restarts.iter().filter(|(at, it)| it.shard == gap.shard && at > sequence);
        gap.end = later.find(|(_, it)| others(gap, it)).and_then(|(_, restart)| restart.end);
    }
    gaps.into_iter().map(|(_, gap)| gap).collect()
}

impl Judge<'_> {
    /// By how much the wall clock was wrong in a span.
    fn walls(&self, from: u64, until: u64) -> impl Iterator<Item = i64> {
        let wall = &self.record.wall;
        let before = wall.iter().rev().find(|(at, _)| *at <= from).map(|(_, by)| *by);
        let during = wall.iter().filter(move |(at, _)| *at > from && *at <= until);
        before.into_iter().chain(during.map(|(_, by)| *by))
    }

    /// Nothing is stored that was not sent, and nothing twice.
    fn check_stored(&self, venue: &Venue, archive: &Archive) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut newest: HashMap<(&str, &str), &Row> = HashMap::new();
        // A whole book begins a new chain: a change may follow it that followed another.
        let mut chains: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for row in archive.rows.values() {
            let before = newest.insert((row.table, &row.name), row);
            let again = before.is_some_and(|before| before.key == row.key);
            // The levels of one message are rows one after another.
            if again && row.table == "book_changes" {
                continue;
            }
            assert!(!again, "stored twice in a row: {}", row.key);
            if row.table == "book_changes" {
                let chain = chains.entry(&row.name).or_default();
                if row.key.ends_with(SNAPSHOT) {
                    chain.clear();
                }
                assert!(chain.insert(&row.key), "twice in one chain: {}", row.key);
            }
            *counts.entry(&row.key).or_default() += 1;
        }
        let market: BTreeSet<String> = said(&venue.market).into_iter().collect();
        let strange = |(key, count): &(&&str, &usize)| **count > 1 || !market.contains(**key);
        let strange: Vec<(&str, usize)> =
            counts.iter().filter(strange).map(|(key, count)| (*key, *count)).collect();
        if strange.is_empty() {
            return;
        }
        let delivered = self.record.delivered.iter();
        let times = times_said(venue, delivered.map(|it| (it.link as u64, it.sent.clone())));
        for (key, count) in strange {
            let sent = times.get(key).copied().unwrap_or(0);
            assert!(sent > 0, "stored and never sent: {key}");
            let once = key.contains("_trades");
            assert!(count == 1 || !once && count <= sent, "sent {sent}, stored {count}: {key}");
        }
    }

    /// What was owed is stored, or named.
    fn check_owed(&self, venue: &Venue, archive: &Archive) -> (u64, BTreeMap<String, u64>) {
        // A change counts as stored too where the whole book after it is.
        let plain = |row: &'_ Row| row.key.trim_end_matches(SNAPSHOT).to_owned();
        let stored: BTreeSet<String> = archive.rows.values().map(plain).collect();
        let mut truth = Heard::default();
        let (mut owed, mut excused) = (0, BTreeMap::new());
        for sent in &venue.market {
            let Some(spans) = self.record.owed.get(&*sent.channel) else {
                truth.take(sent, |_, _| {});
                continue;
            };
            let due = sent.at <= self.record.ended_at
                && spans.iter().any(|(from, until)| *from <= sent.at && sent.at < *until);
            truth.take(sent, |key, name| {
                if due {
                    owed += 1;
                    if !stored.contains(key.trim_end_matches(SNAPSHOT)) {
                        let why = self.named(sent, name, key, venue).to_owned();
                        *excused.entry(why).or_default() += 1;
                    }
                }
            });
        }
        (owed, excused)
    }

    /// The reader of a link, and the causes under which it gives up rows of that kind.
    fn overloads(&self, link: usize, key: &str) -> (String, &'static [&'static str]) {
        let reader = format!("reader-{}", link % usize::from(self.record.readers));
        let causes: &[&str] = match key.split(' ').next().unwrap() {
            "book_changes" => &["overload_depth"],
            "option_trades" | "perpetual_trades" => &["overload_all"],
            _ => &["overload_quotes"],
        };
        (reader, causes)
    }

    /// What excuses a row that is not stored.
    fn named(&self, sent: &Sent, name: &str, key: &str, venue: &Venue) -> &str {
        let links = self.record.links(&sent.channel, sent.at, MOVED_US);
        let shards: Vec<&str> = links.iter().map(|link| &*self.record.shards[*link]).collect();
        let overloads = self.overloads(links[0], key).1;
        let readers: Vec<String> = links.iter().map(|link| self.overloads(*link, key).0).collect();
        let table = key.split(' ').next().unwrap();
        // Trades are asked for again, whatever kept them away, as long as their channel is wanted.
        let spans = self.record.owed.get(&*sent.channel).into_iter().flatten();
        let mut spans = spans.filter(|(from, until)| (*from..*until).contains(&sent.at));
        let wanted = spans.all(|(_, until)| *until == u64::MAX);
        let once = table.ends_with("_trades") && wanted;
        let gap = self.gaps.iter().find(|gap| {
            let excuses = !once || self.outlives(gap);
            let here = excuses && shards.contains(&&*gap.shard) && gap.concerns(table, name)
                || readers.contains(&gap.shard) && overloads.contains(&&*gap.cause);
            let end = gap.end.unwrap_or(i64::MAX);
            let at = START_US + sent.at as i64;
            // A broken chain begins with the message before, what was given up with its first row:
            // by that one's own time; by its arrival where the clock of the program is behind.
            let own = gap.cause == "book_chain" || overloads.contains(&&*gap.cause);
            let start = match own && self.walls(sent.at, sent.at + AFTER_US).any(|by| by < 0) {
                true => gap.start - UNDER_WAY_US,
                false => gap.start,
            };
            let wall = |by: i64| start <= at + by && at + by <= end;
            here && self.walls(sent.at, sent.at + AFTER_US).any(wall)
        });
        let blind = |(from, until): &(u64, u64)| (*from..*until).contains(&sent.at);
        let tells = match table {
            "option_trades" | "perpetual_trades" => self.trades.tells(name, sequence(key)),
            "book_changes" => {
                self.chains.tells(name, (sent.at, change(sent).0), &self.last_written())
            }
            _ => false,
        };
        let unseen = self.removed.contains(key) && !tells;
        if let Some(gap) = gap {
            return &gap.cause;
        }
        if unseen {
            return "the exchange kept it back, and no client can tell";
        }
        if self.record.blind.iter().any(blind) {
            return "nothing has survived that could tell the time";
        }
        let near = |it: &&Mischief| *it.about == *sent.channel && it.at.abs_diff(sent.at) < NEAR;
        let near: Vec<&Mischief> = venue.mischief.iter().filter(near).collect();
        let at = sent.at as f64 / 1e6;
        let gaps = &self.gaps;
        if table.ends_with("_trades") {
            let seq = sequence(key);
            let near: Vec<_> = self.trades.0[name].range(seq - 3..seq + 4).collect();
            eprintln!("trades nearby, and whether they are stored: {near:?}");
        }
        panic!("lost on {shards:?} at {at:.6} s and in no gap: {key}\n{near:#?}\n{gaps:#?}");
    }

    /// Whether the world ended before the exchange acknowledged a channel that it had refused: what
    /// was missed in the meantime is asked for then.
    fn outlives(&self, gap: &Gap) -> bool {
        let refused = gap.cause == "subscription_refused" && gap.detail.contains("trades.");
        let ended = self.record.ended_at;
        let since = (gap.start - START_US).max(0) as u64;
        let mut walls = self.walls(since.saturating_sub(AFTER_US), ended);
        let by = |wall: i64| START_US + ended as i64 + wall;
        refused && gap.end.is_none_or(|end| walls.any(|wall| by(wall) <= end))
    }

    /// When the program last could keep what it knew, before each of its deaths: a full disk from
    /// before the death on takes no name of a hole either.
    fn last_written(&self) -> Vec<u64> {
        let full = |death: u64| {
            let full = self.record.incidents.iter().filter(move |it| {
                let disk = it.ends && it.causes.contains(&"overload_depth");
                disk && it.from <= death && death <= it.until
            });
            full.map(|it| it.from).min().unwrap_or(death)
        };
        self.record.deaths.iter().map(|death| full(*death)).collect()
    }
}

/// How often each row was said. What two have heard that were given something counts once, as if
/// one had; `delivered` is what was given to whom, by its place among all that was sent.
pub(super) fn times_said(
    venue: &Venue,
    delivered: impl Iterator<Item = (u64, std::ops::Range<usize>)>,
) -> HashMap<String, usize> {
    let mut heard: HashMap<String, BTreeMap<u64, usize>> = HashMap::new();
    for (to, sent) in delivered {
        for key in said(&venue.sent[sent]) {
            *heard.entry(key).or_default().entry(to).or_default() += 1;
        }
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    for key in said(&venue.sent) {
        *times.entry(key).or_default() += 1;
    }
    for (key, by) in heard {
        let (all, most) = by.values().fold((0, 0), |(all, most), it| (all + it, most.max(*it)));
        times.entry(key).and_modify(|sent| *sent = *sent - all + most);
    }
    times
}

/// The frames of one guest as the rows that a perfect recorder would have stored.
#[derive(Default)]
pub(super) struct Heard {
    truth: Truth,
    books: HashMap<String, i64>,
}

impl Heard {
    /// The key of each row, and the name that it is about.
    pub(super) fn take(&mut self, sent: &Sent, mut then: impl FnMut(&str, &str)) {
        let name = sent.channel.split('.').nth(1).unwrap_or_default();
        if sent.channel.starts_with("book.") {
            let (change_id, whole) = change(sent);
            if self.books.insert(name.to_owned(), change_id) != Some(change_id) {
                let whole = if whole { SNAPSHOT } else { "" };
                then(&format!("book_changes {name} {change_id}{whole}"), name);
            }
            return;
        }
        let before = self.truth.rows.len();
        self.truth.frame(&sent.text, sent.at as i64);
        for row in self.truth.rows.drain(before..) {
            // A channel of all options of a currency has the trades of many.
            then(&row.key, row.key.split(' ').nth(1).unwrap_or_default());
        }
    }
}

/// A book's version after a message, and whether the message is the whole book.
fn change(sent: &Sent) -> (i64, bool) {
    let frame: serde_json::Value = serde_json::from_str(&sent.text).unwrap();
    let data = &frame["params"]["data"];
    (data["change_id"].as_i64().unwrap(), tapedeck_tests::books::is_snapshot(data))
}

fn said(frames: &[Sent]) -> Vec<String> {
    let mut keys = Vec::new();
    for sent in frames {
        // Each for itself: what is sent again counts again.
        Heard::default().take(sent, |key, _| keys.push(key.to_owned()));
    }
    keys
}

/// How far from a move a gap of either connection may name what is missing.
const MOVED_US: u64 = 5_000_000;
/// A hole in the trades is named within this, if the program lives so long.
const TOLD_US: u64 = 6_000_000;
/// How long a message may have been under way.
const UNDER_WAY_US: i64 = 2_000_000;
/// What the exchange did so shortly before or after is shown beside a loss.
const NEAR: u64 = 3_000_000;
/// A fault is noticed, and everything acknowledged again, within this.
const AFTER_US: u64 = 100_000_000;
