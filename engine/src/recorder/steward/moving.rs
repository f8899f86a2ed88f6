//! Channels that go from shard to shard: what the shards are told, and what does not arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{ChannelSet, Handover, Moving};
use schema::{Micros, Now};

use super::Steward;
use crate::fleet::Anew;
use crate::reader::Board;
use crate::recorder::ledger::{Broken, Ledger};
use crate::session::{CauseKind, Gap, whose};

/// What a lifecycle has beside a recorder's steward: its shards are elsewhere, and begin anew when
/// they like.
#[derive(Debug)]
pub struct Apart {
    /// Where what the shards are told is kept.
    pub ledger: Ledger,
    /// Shards that have begun anew.
    pub anew: Anew,
    /// Since when what is missing of channels on their way may be, as the last run knew it.
    pub left_at: BTreeMap<String, Micros>,
    /// What may be missing of channels, as the last run knew it.
    pub broken: Vec<Broken>,
    /// When the last run kept that.
    pub told_at: Micros,
}

/// How channels are on their way.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Channels whose move takes too long, and that was said of.
    overdue: BTreeSet<String>,
    /// Channels of which something may be missing, as one of the shards between which they were on
    /// their way has begun anew. Those that have arrived stay for a while: what names them may not
    /// be durable yet.
    broken: Vec<Broken>,
    /// Whether goals have changed, or what is broken, and that was not kept and told.
    owed: bool,
    /// Whether it was said that they cannot be kept.
    unkept: bool,
    /// Channels that have left and not arrived: since when what is missing may be, less what was
    /// under way.
    left_at: BTreeMap<String, Micros>,
}

impl Ways {
    /// Channels had left their shards before this run. Nobody knows what their takers have held
    /// since the last one kept that.
    pub(super) fn resume(handover: &Handover, apart: &mut Apart) -> Self {
        let broken = std::mem::take(&mut apart.broken);
        let left_at = std::mem::take(&mut apart.left_at);
        let mut ways = Self { broken, left_at, owed: true, ..Self::default() };
        handover.moves().for_each(|it| ways.breaks(&it, apart.told_at));
        ways
    }

    /// A channel may lack something from then until it arrives.
    fn breaks(&mut self, moving: &Moving<'_>, since: Micros) {
        let Moving { channel, to, .. } = *moving;
        let mut all = self.broken.iter_mut();
        if let Some(broken) = all.find(|it| it.channel == channel && it.until.is_none()) {
            // It may have gone on since.
            if *broken.shard != *to {
                (broken.shard, self.owed) = (to.into(), true);
            }
        } else {
            // Since it was let go, only its taker has it, who forgets it.
            let since = self.left_at.get(channel).map_or(since, |left| since.min(*left));
            let (channel, shard) = (channel.to_owned(), to.into());
            self.broken.push(Broken { channel, shard, since, until: None, named: None });
            self.owed = true;
        }
    }
}

impl Steward {
    /// Shards elsewhere that have begun anew know of no move any more.
    pub(super) fn begin_anew(&mut self) {
        let Self { apart, handover, ferry, ways, .. } = self;
        let Some(apart) = apart else { return };
        apart.anew.settle(|shard, since| {
            for channel in handover.begun_anew(shard) {
                let moving = handover.moves().find(|moving| *moving.channel == *channel);
                let Some(moving) = moving else { continue };
                // Who gives knows no longer what it recorded, so that nobody can compare what is
                // held; or who takes holds nothing any more.
                if *moving.from == *shard {
                    ferry.again(&channel);
                }
                ways.breaks(&moving, since);
            }
        });
    }

    /// Leaves every shard its goal on the way to the plan, whenever that changes. What takes too
    /// long is said once: as long as a channel is on its way, whoever has it records it.
    pub(super) fn hand_over(&mut self, now: Now) {
        let heard = |shard: &str, channel: &str| {
            self.boards.get(shard).is_some_and(|board| board.channels().contains(channel))
        };
        self.ways.owed |= self.handover.advance(&*self.ferry, heard, now.monotonic);
        self.note_left(now);
        if self.ways.owed && self.is_kept(now) {
            self.ways.owed = false;
            for (shard, swap) in self.handover.swaps() {
                self.mailboxes.get(&shard).expect("every shard has a mailbox").leave(swap);
            }
        }
        if !self.ways.owed {
            self.handover.left(&*self.ferry);
        }
        self.say_overdue(now);
        self.name_broken(now);
    }

    /// Notes which channels leave, before anybody is told. A taker that cannot be reached forgets
    /// what it holds after a while, and says nothing if it does not know that they leave.
    fn note_left(&mut self, now: Now) {
        if self.apart.is_none() {
            return;
        }
        let Self { handover, ways, .. } = self;
        let leaving: Vec<Moving<'_>> = handover.moves().filter(|it| it.leaves).collect();
        let new = Micros(now.utc.0 - UNDER_WAY_US);
        let since = |it: &Moving<'_>| ways.left_at.get(it.channel).copied().unwrap_or(new);
        let left_at = leaving.iter().map(|it| (it.channel.to_owned(), since(it))).collect();
        // What comes back is let go before its taker holds it for good, and whoever had it may
        // record on.
        let back: Vec<&Moving<'_>> = leaving
            .iter()
            .filter(|it| it.returns && !ways.left_at.contains_key(it.channel))
            .collect();
        back.into_iter().for_each(|it| ways.breaks(it, new));
        ways.owed |= left_at != ways.left_at;
        ways.left_at = left_at;
        for moving in &leaving {
            let at = ways.left_at[moving.channel];
            if now.utc.0 - at.0 > HELD_US {
                ways.breaks(moving, at);
            }
        }
    }

    /// Whether the next run of a lifecycle will know what its shards are told.
    fn is_kept(&mut self, now: Now) -> bool {
        let Some(apart) = &self.apart else { return true };
        let Ways { left_at, broken, .. } = &self.ways;
        match apart.ledger.write(&self.handover, (left_at, broken), now.utc) {
            Ok(()) => {
                self.ways.unkept = false;
                true
            }
            Err(why) => {
                if !std::mem::replace(&mut self.ways.unkept, true) {
                    tracing::error!("the shards go on as they are, until this can be kept: {why}");
                }
                false
            }
        }
    }

    fn say_overdue(&mut self, now: Now) {
        let late = |since: Duration| now.monotonic.saturating_sub(since) > MOVE_MAX;
        let mut overdue = BTreeSet::new();
        for Moving { channel, from, to, .. } in self.handover.moves().filter(|it| late(it.since)) {
            if !self.ways.overdue.contains(channel) {
                tracing::error!("{channel} is to go from {from} to {to} and does not arrive");
            }
            overdue.insert(channel.to_owned());
        }
        self.ways.overdue = overdue;
    }

    /// Names what may be missing of channels that have arrived since.
    fn name_broken(&mut self, now: Now) {
        if self.ways.broken.is_empty() {
            return;
        }
        let on_their_way: BTreeSet<&str> = self.handover.moves().map(|it| it.channel).collect();
        let unnamed = self.ways.broken.iter().any(|it| it.named.is_none());
        let swaps = unnamed.then(|| self.handover.swaps()).into_iter().flatten();
        let goals: BTreeMap<Arc<str>, ChannelSet> =
            swaps.map(|(shard, swap)| (shard, swap.goal)).collect();
        // A shard that has begun anew goes on from what the other one has left before the exchange
        // has acknowledged the channel there.
        let awaits = |shard: &Arc<str>, channel: &str| {
            let has = |board: &Board| board.channels().contains(channel);
            let wanted = goals.get(shard).is_some_and(|goal| goal.contains(channel));
            wanted && !self.boards.get(shard).is_some_and(has)
        };
        let Ways { broken: all, owed, .. } = &mut self.ways;
        for broken in all.iter_mut().filter(|it| it.named.is_none()) {
            let Broken { channel, shard, .. } = &*broken;
            let open = on_their_way.contains(&**channel) || awaits(shard, channel);
            if broken.until.is_none() && open {
                continue;
            }
            (broken.named, *owed) = (Some(now.monotonic), true);
            // A clock that was set back meanwhile does not end it before it began.
            let until = *broken.until.get_or_insert(now.utc.max(broken.since));
            let Broken { channel, shard, since, .. } = broken;
            let kind = CauseKind::TakeoverUnverified;
            let gap = Gap { shard, instrument: whose(channel), since: *since, kind };
            let detail = format!("{channel}: what came while it was on its way may be missing");
            tracing::error!(shard = &**shard, "{detail}");
            gap.write(Some(until), &detail, now, &mut self.desk.rows);
        }
        let before = all.len();
        let late = |at: Duration| now.monotonic.saturating_sub(at) > DURABLE_AFTER;
        all.retain(|it| !it.named.is_some_and(late));
        *owed |= all.len() < before;
    }
}

/// By when a gap that was named is durable, or everything has ended.
const DURABLE_AFTER: Duration = Duration::from_mins(1);
/// How long a message may be under way (`Settings::latency_us_max`).
const UNDER_WAY_US: i64 = 2_000_000;
/// Shortly before a taker forgets what it holds (`HOLD_MAX` of the crossing).
const HELD_US: i64 = 50_000_000;
/// A channel that has not arrived within this is an alarm.
const MOVE_MAX: Duration = Duration::from_secs(30);
