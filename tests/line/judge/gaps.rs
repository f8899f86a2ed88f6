//! Whether every gap has a reason and is no wider than that asks for, and every outage a gap.

use super::super::START_US;
use super::super::lives::{End, Loss, Outage};
use super::super::venue::Venue;
use super::super::weather::{Fault, Incident};
use super::Judge;
use tapedeck_tests::tape::Gap;

impl Judge<'_> {
    /// Every gap has a reason, begins and ends where that asks for it, and has ended.
    pub(super) fn check_gaps(&self, venue: &Venue) {
        for gap in &self.gaps {
            match &*gap.cause {
                "trade_seq" => {
                    assert!(gap.end.is_some(), "it is known up to when trades are missing");
                    // What is no longer wanted is not asked for (docs/gaps.md).
                    let mended = gap.detail.contains("none is missing") || self.is_left(gap);
                    assert!(mended, "trades can be had and were not: {gap:?}");
                }
                "book_chain" => {
                    assert!(self.breaks(gap, venue), "no change is missing in {gap:?}");
                }
                "subscription_refused" => {
                    let expired = self.expired.contains(&gap.instrument);
                    let refused = expired || self.follows(self.first(gap), REPLY_US);
                    assert!(refused, "nothing justifies {gap:?}");
                }
                cause if cause.starts_with("overload") => {
                    assert!(self.follows(gap, HELD_US), "nothing justifies {gap:?}");
                    let end = gap.end.expect("it is known up to when rows were given up");
                    let reasons = self.reasons(gap, HELD_US);
                    let until = reasons.map(|it| self.latest(it.until as i64 + HELD_US)).max();
                    assert!(until >= Some(end), "up to {until:?} alone rows were shed: {gap:?}");
                }
                _ => self.check_shard(gap),
            }
        }
    }

    /// Whether the instrument of a gap has a trade channel of its own that left the goal for good.
    fn is_left(&self, gap: &Gap) -> bool {
        let spans = self.record.owed.get(&format!("trades.{}.100ms", gap.instrument));
        spans.and_then(|spans| spans.last()).is_some_and(|(_, until)| *until != u64::MAX)
    }

    /// A gap of a shard lies in one of its outages, and its cause is a fault that ended one of that
    /// outage's connections.
    fn check_shard(&self, gap: &Gap) {
        let link = self.record.shards.iter().position(|shard| **shard == gap.shard).unwrap();
        let outages = self.record.lives.outages(link);
        let spans = |it: &&Outage| {
            // Set while the gap was open, the clock tells two beginnings.
            let (least, most) = self.set(it.from(), it.until as i64);
            // A process that finds a gap open knows nothing of settings before its own: by how much
            // the clock is set back then, that gap begins earlier.
            let least = match it.losses.iter().any(|loss| loss.end == End::Death) {
                true => least.min(2 * least - most),
                false => least,
            };
            let starts = it.starts.iter().any(|(from, begun)| {
                (START_US + from + least..=START_US + *begun as i64 + most).contains(&gap.start)
            });
            // A swap may wait for the reader's turn.
            let until = START_US + it.until as i64 + most + TURN_US;
            starts && gap.end.is_some_and(|end| end <= until)
        };
        let caused = |it: &&Outage| {
            // A gap keeps its first cause; a restart begins another.
            let first = it.owed && gap.cause != "restart";
            it.losses.iter().take(if first { 1 } else { usize::MAX }).any(|loss| {
                let fault = || self.faults(link, loss, Some(&gap.cause)).next().is_some();
                loss.end.allows(&gap.cause) && (loss.end == End::Death || fault())
            })
        };
        let found = outages.iter().find(|it| spans(it) && caused(it));
        let near = |it: &&Outage| {
            let (from, until) = self.span(it.from(), it.until as i64);
            from <= gap.end.unwrap_or(i64::MAX) && gap.start <= until + 10_000_000
        };
        assert!(
            found.is_some(),
            "no outage asks for {}: {gap:#?}\n{:#?}",
            self.shown(gap),
            outages.iter().filter(near).collect::<Vec<_>>()
        );
    }

    /// Every connection was lost for a reason, what was lost has a gap, and it came back as soon as
    /// it could.
    pub(super) fn check_outages(&self) {
        for (link, shard) in self.record.shards.iter().enumerate() {
            for outage in self.record.lives.outages(link) {
                for loss in outage.losses.iter().filter(|it| it.end != End::Death) {
                    let fault = self.faults(link, loss, None).next();
                    assert!(fault.is_some(), "{shard} was lost for no reason: {loss:?}");
                }
                let (_, begun) = self.span(outage.from(), outage.begun as i64);
                // From there on every row that is owed says whether it was over.
                let last = outage.losses.iter().map(|it| it.at as i64).max().unwrap_or(0);
                let (until, _) = self.span(last, last);
                let named = self.gaps.iter().any(|gap| {
                    let here = gap.shard == **shard && gap.instrument == "*";
                    here && gap.start <= begun && gap.end.is_some_and(|end| end >= until)
                });
                let blind =
                    |(from, until): &(u64, u64)| *from <= outage.until && outage.begun < *until;
                let owed = outage.owed && !self.record.blind.iter().any(blind);
                assert!(!owed || named, "{shard} has no gap for {outage:#?}");
                self.check_return(link, outage);
            }
        }
    }

    /// Nothing holds a link back for long once the faults are over.
    fn check_return(&self, link: usize, outage: &Outage) {
        let tried = outage.losses.iter().map(|it| it.again).max().unwrap_or(0);
        let here = |it: &&Incident| it.link.is_none_or(|at| at == link) && !it.causes.is_empty();
        let hindered =
            self.record.incidents.iter().filter(here).filter(|it| it.from <= outage.until);
        let hindered = hindered.map(|it| it.until.min(outage.until)).max().unwrap_or(0);
        let free = tried.max(hindered);
        let held = outage.until.saturating_sub(free);
        assert!(held <= RETURN_US, "{held} µs after the last fault: {outage:#?}");
    }

    /// The faults that may have ended a connection then, with that cause if one is given.
    fn faults(
        &self,
        link: usize,
        loss: &Loss,
        cause: Option<&str>,
    ) -> impl Iterator<Item = &Incident> {
        self.record.incidents.iter().filter(move |it| {
            let here = it.link.is_none_or(|at| at == link) && it.from <= loss.at;
            let causes = it.causes.iter().filter(|it| loss.end.allows(it));
            let causes = causes.filter(|it| cause.is_none_or(|cause| cause == **it));
            let within = causes.map(|cause| noticed(cause)).max();
            let until = self.held_until(link, it) as i64;
            here && within.is_some_and(|us| loss.at as i64 <= until + us)
        })
    }

    /// When a fault is over, and a stall that held up what came of it.
    fn held_until(&self, link: usize, fault: &Incident) -> u64 {
        let reached = fault.until.saturating_add(UNDER_WAY_US as u64);
        let stalls = self.record.incidents.iter().filter(|it| {
            let here = it.link == Some(link) && it.causes == Fault::Stall.causes();
            here && it.from <= reached && fault.from <= it.until
        });
        stalls.map(|it| it.until).fold(fault.until, u64::max)
    }

    /// Whether a fault that has this cause was there when the gap began, or shortly before.
    fn follows(&self, gap: &Gap, within: i64) -> bool {
        self.reasons(gap, within).next().is_some()
    }

    /// Where the refused channels of an instrument become others, its gap goes on as another row.
    fn first<'a>(&'a self, gap: &'a Gap) -> &'a Gap {
        let before = |it: &&Gap| {
            let same =
                (&it.shard, &it.instrument, &it.cause) == (&gap.shard, &gap.instrument, &gap.cause);
            same && it.start < gap.start
                && it.end.is_some_and(|end| (0..=1).contains(&(gap.start - end)))
        };
        self.gaps.iter().find(before).map_or(gap, |before| self.first(before))
    }

    fn reasons(&self, gap: &Gap, within: i64) -> impl Iterator<Item = &Incident> {
        let link = self.record.shards.iter().position(|shard| **shard == gap.shard);
        self.record.incidents.iter().filter(move |it| {
            let here = it.link.is_none() || link.is_none() || it.link == link;
            let (from, until) = self.span(it.from as i64 - within, it.until as i64 + within);
            let near = from <= gap.start && gap.start <= until;
            here && near && it.causes.contains(&&*gap.cause)
        })
    }

    /// Whether the exchange did something to a book while its chain broke.
    fn breaks(&self, gap: &Gap, venue: &Venue) -> bool {
        venue.mischief.iter().any(|it| {
            let (from, until) = self.span(it.at as i64 - UNDER_WAY_US, it.at as i64 + UNDER_WAY_US);
            let book = it.about.starts_with("book.")
                && it.about.split('.').nth(1) == Some(&gap.instrument);
            book && from <= gap.end.unwrap_or(i64::MAX) && gap.start <= until
        })
    }

    /// A span on the program's clock, as wide as its settings make it.
    pub(super) fn span(&self, from: i64, until: i64) -> (i64, i64) {
        let (least, most) = self.set(from, until);
        (START_US + from + least, START_US + until + most)
    }

    /// By how much the program's clock was wrong in a span, at least and at most.
    fn set(&self, from: i64, until: i64) -> (i64, i64) {
        let walls: Vec<i64> = self.walls(from.max(0) as u64, until as u64).collect();
        let least = walls.iter().min().copied().unwrap_or(0);
        let most = walls.iter().max().copied().unwrap_or(0);
        (least, most)
    }

    fn latest(&self, at: i64) -> i64 {
        self.span(at, at).1
    }

    /// A gap in seconds since the start, as the trace has them.
    fn shown(&self, gap: &Gap) -> String {
        let seconds = |at: i64| (at - START_US) as f64 / 1e6;
        format!("{:.6} to {:.6}", seconds(gap.start), seconds(gap.end.unwrap_or(START_US)))
    }
}

/// How long after a fault it may be noticed in this way, µs.
fn noticed(cause: &str) -> i64 {
    UNDER_WAY_US
        + match cause {
            // `idle_max` and `ANSWER_MAX` of the session; a handshake has less, `STUCK_MAX`.
            "silent" => 15_000_000 + 10_000_000,
            // `CONNECT_TIMEOUT`; the exchange's patience with its test requests is the same.
            "disconnected" => 10_000_000,
            // Credits of which the program does not know that they were spent: it asks at once.
            "throttled" => 10_000_000,
            _ => 0,
        }
}

/// How long the simulated network needs at most, one way: 302 ms and 400 ms of jitter; and a turn
/// of the reader.
const UNDER_WAY_US: i64 = 800_000;
/// `reader::TURN`.
const TURN_US: i64 = 50_000;
/// `REPLY_MAX`: how long a reply may be missing.
const REPLY_US: i64 = 10_000_000;
/// A row of that age may be given up: under way, in a batch (a second), and held meanwhile.
const HELD_US: i64 = 3_000_000;
/// After the last fault and the pause that follows a loss, by when everything is acknowledged: a
/// reply may have been missing, and then the question waits (`RETRY_MAX` of the subscriptions).
const RETURN_US: u64 = 10_000_000 + 30_000_000 + 2_000_000;
