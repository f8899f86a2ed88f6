//! Whether every gap follows a trouble, and names no more than that asks for.

use std::ops::Range;

use lifecycle::instrument;
use tapedeck_tests::tape::Gap;

use super::super::super::START_US;
use super::super::super::lives::{End, Outage};
use super::super::record::{Home, Trouble, What};
use super::super::world::{LIFECYCLE, SHARDS};
use super::Judge;

impl Judge<'_> {
    /// A gap follows a trouble, has ended, and is no wider than it may be. In a calm world there is
    /// none.
    pub(super) fn check_gaps(&self) {
        for gap in &self.gaps {
            let end = gap.end.unwrap_or_else(|| panic!("it has not ended: {gap:?}"));
            let span = since_start(gap.start)..since_start(end);
            // The exchange acknowledges nothing any more of what has expired; of what nobody wanted
            // for a while trades are missed, and its new shard may have to forget what it heard
            // first.
            let unwanted = || {
                let mut unwanted = self.record.unwanted(&gap.instrument).into_iter();
                unwanted.any(|it| it.start <= span.end && span.start <= it.end)
            };
            let excused = match &*gap.cause {
                "subscription_refused" => true,
                "trade_seq" | "takeover_unverified" => unwanted(),
                _ => false,
            };
            // Whoever cannot be reached for long may have forgotten what it held.
            let forgot = gap.cause == "takeover_unverified";
            assert!(!self.record.calm || forgot || excused, "nothing was missed: {gap:?}");
            let follows = |it: &Trouble| {
                // Nobody knows when a trade was that is missing, but that it was behind another
                // one.
                let hole = gap.cause == "trade_seq" && span.start <= it.from;
                (hole || span.start.abs_diff(it.from) <= FOLLOWS_US) && it.from <= span.end
            };
            let follows = excused || self.record.troubles.iter().any(follows);
            assert!(follows, "it follows no trouble: {gap:?}");
            match &*gap.cause {
                "trade_seq" => {
                    let mended = gap.detail.contains("none is missing") || unwanted();
                    assert!(mended, "trades can be had and were not: {gap:?}");
                }
                "subscription_refused" => {
                    let expired = self.expired.get(&*gap.instrument);
                    let over = expired.is_some_and(|at| *at <= gap.start);
                    assert!(over, "nothing justifies {gap:?}");
                }
                cause if cause.starts_with("overload") => {}
                "takeover_unverified" => self.check_way(gap, &span),
                _ => self.check_shard(gap, &span),
            }
        }
    }

    /// A gap of a shard lies in one of its outages, and its cause is one of that.
    fn check_shard(&self, gap: &Gap, span: &Range<u64>) {
        let start = gap.start - START_US;
        let asks = |it: &Outage| {
            let mut starts = it.starts.iter();
            let starts = starts.any(|(from, begun)| (*from..=*begun as i64).contains(&start));
            // A shard that listens to nothing says no more that it is there.
            let idle = || self.last_heard(&gap.shard, it.begun) <= span.start + QUIET_US;
            let caused = it.losses.iter().any(|loss| loss.end.allows(&gap.cause));
            (starts || !it.owed && idle()) && caused && span.end <= it.until.saturating_add(TURN_US)
        };
        let outages = self.outages(&gap.shard);
        assert!(outages.iter().any(asks), "no outage asks for it: {gap:#?}\n{outages:#?}");
    }

    /// When a shard last had anything acknowledged before that.
    fn last_heard(&self, shard: &str, before: u64) -> u64 {
        let ears = self.record.ears.values().flatten();
        let own = ears.filter(|it| it.shard == shard && it.from < before);
        own.map(|it| it.until.min(before)).max().unwrap_or(0)
    }

    /// What was lost has a gap, and nothing is given up for nothing.
    pub(super) fn check_outages(&self) {
        for shard in SHARDS.as_flattened() {
            for loss in self.outages(shard).iter().flat_map(|it| &it.losses) {
                assert!(loss.end != End::GivenUp, "{shard} was lost for no reason: {loss:?}");
            }
            // What the shard was to let go anyway is with another one.
            let owed = |it: &&Outage| it.owed && it.until > it.begun;
            for outage in self.outages(shard).iter().filter(owed) {
                let last = outage.losses.iter().map(|it| it.at).max().unwrap_or(0);
                let here = |it: &&Gap| it.shard == *shard && it.instrument == "*";
                let mut spans: Vec<(u64, u64)> = self.gaps.iter().filter(here).map(span).collect();
                spans.sort_unstable();
                // One that ends, as everything is acknowledged but not yet let go, and the next.
                let on = |to: u64, (from, until): (u64, u64)| {
                    if from <= to { to.max(until) } else { to }
                };
                let begun = spans.iter().any(|(from, to)| (*from..=*to).contains(&outage.begun));
                let named = spans.into_iter().fold(outage.begun, on);
                assert!(
                    begun && named >= last,
                    "{shard} has gaps up to {named} alone for {outage:#?}"
                );
            }
        }
    }

    fn outages(&self, shard: &str) -> &[Outage] {
        let here = |(_, shards): &(usize, &[&str; 4])| shards.contains(&shard);
        let (member, shards) = SHARDS.iter().enumerate().find(here).expect("it is a shard");
        let link = shards.iter().position(|it| *it == shard).expect("it is a shard");
        self.record.lives[member].outages(link)
    }

    /// A gap of a channel on its way is over when one shard alone has listened to it for a while,
    /// and the lifecycle can know that.
    fn check_way(&self, gap: &Gap, span: &Range<u64>) {
        let ears = self.record.ears.iter();
        let ears = ears.filter(|(channel, _)| instrument(channel) == gap.instrument);
        let ears: Vec<_> = ears.flat_map(|(_, ears)| ears).collect();
        for one in &ears {
            let others = ears.iter().filter(|it| it.shard != one.shard);
            let others = others.map(|it| it.from..it.until);
            let said = |it: &Trouble| it.from..it.until.saturating_add(SAID_US);
            let involved = |member: usize| {
                let here =
                    |it: &&&Home| SHARDS.get(member).is_some_and(|all| all.contains(&&*it.shard));
                member == LIFECYCLE || ears.iter().find(here).is_some()
            };
            let troubled = self.record.troubles.iter().filter(|it| match it.what {
                What::Death(member) | What::Full(member) => involved(member),
                What::Network => true,
            });
            let troubled = troubled.map(said);
            let alone = one.from.max(span.start)..one.until.min(span.end);
            let calm = others.chain(troubled).fold(Vec::from([alone]), without);
            let long = calm.iter().find(|it| it.end - it.start > SETTLED_US);
            assert!(long.is_none(), "{} alone had it in {long:?}: {gap:#?}", one.shard);
        }
    }
}

/// What is left of some spans.
fn without(spans: Vec<Range<u64>>, away: Range<u64>) -> Vec<Range<u64>> {
    let pieces = spans
        .into_iter()
        .flat_map(|it| [it.start..it.end.min(away.start), it.start.max(away.end)..it.end]);
    pieces.filter(|it| !it.is_empty()).collect()
}

fn span(gap: &Gap) -> (u64, u64) {
    (since_start(gap.start), gap.end.map_or(u64::MAX, since_start))
}

/// µs since the simulation began.
fn since_start(at: i64) -> u64 {
    (at - START_US).max(0) as u64
}

/// A gap begins where everything was certainly there, so long before the trouble at most.
const FOLLOWS_US: u64 = 60_000_000;
/// A turn of a reader, and one of the lines that a gap goes through.
const TURN_US: u64 = 200_000;
/// So long before it is acknowledged no more a channel has been heard last.
const QUIET_US: u64 = 10_000_000;
/// After a trouble everybody has spoken with everybody again within this.
const SAID_US: u64 = 15_000_000;
/// Within this a channel has arrived, if nothing hinders.
const SETTLED_US: u64 = 8_000_000;
