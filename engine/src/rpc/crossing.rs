//! Channels that go to another connection, or come from one.
//!
//! The giver notes what it records of a channel that is about to leave, lets it go when it is told
//! to, and leaves what it knows on the ferry once nothing of it can come any more and everything
//! that came is on its way to the journal. The taker holds what it hears until then, and then
//! decodes it as if it had always had the channel. Nobody decides here when: that is
//! [`lifecycle::Handover`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifecycle::ChannelSet;
use schema::tables::Rows;
use schema::{Micros, Now};

use super::Connection;
use crate::ferry::Ferry;
use crate::session::{CauseKind, Decode, Gap, Held, whose};

/// A connection's part in it.
#[derive(Debug)]
pub(super) struct Crossing<E> {
    ferry: Ferry<E>,
    /// The edition of the ferry that was looked at.
    looked: u64,
    /// Channels that are about to leave, with their passages' numbers.
    leaving: BTreeMap<Box<str>, u64>,
    /// Whatever still comes of these is the taker's.
    given: BTreeSet<Box<str>>,
    holding: BTreeMap<Box<str>, Holding>,
    bytes: usize,
    /// Since when trades may be missing that somebody else is to ask for, and until when this
    /// connection still says so: the other one has said it by then.
    lent: Option<(Micros, Duration)>,
    /// When the oldest message came that was held and is decoded now, until its rows are handed
    /// over.
    replayed: Option<Micros>,
}

/// What is held of a channel.
#[derive(Debug)]
struct Holding {
    number: u64,
    messages: Vec<Held>,
    /// Trades may have been missed here since then.
    missed: Option<Micros>,
}

impl Holding {
    /// Trades may have been missed since then, too.
    fn missed(&mut self, since: Micros) {
        self.missed = Some(self.missed.map_or(since, |before| before.min(since)));
    }
}

impl<E> Crossing<E> {
    /// Whether a message is not to be decoded now: it is held, or was another connection's.
    fn keeps(&mut self, channel: &str, data: &str, now: Now) -> bool {
        if let Some(holding) = self.holding.get_mut(channel) {
            self.bytes += data.len();
            holding.messages.push(Held { data: data.into(), now });
            return true;
        }
        self.given.contains(channel)
    }

    /// These are wanted from now on; whatever comes from another connection among them is held.
    fn expect(&mut self, shard: &str, goal: &ChannelSet) {
        self.given.retain(|channel| !goal.contains(channel));
        // The giver has kept these, and whatever still comes of them here.
        let kept = self.holding.extract_if(.., |channel, _| !goal.contains(channel));
        self.given.extend(kept.map(|(channel, _)| channel));
        let coming = self.ferry.coming(shard);
        // A goal that was not seen has let these go; this one has them of its own.
        self.holding.retain(|channel, _| coming.contains_key(channel));
        for (channel, number) in coming.into_iter().filter(|(channel, _)| goal.contains(channel)) {
            let new = || Holding { number, messages: Vec::new(), missed: None };
            self.holding.entry(channel).or_insert_with(new);
        }
        self.count();
    }

    fn count(&mut self) {
        let messages = self.holding.values().flat_map(|holding| &holding.messages);
        self.bytes = messages.map(|message| message.data.len()).sum();
    }

    /// When the oldest message came whose rows may not be on their way to the journal.
    fn oldest(&self) -> Option<Micros> {
        let first = self.holding.values().filter_map(|holding| holding.messages.first());
        first.map(|message| message.now.utc).chain(self.replayed).min()
    }

    /// Whether a channel is about to leave, and is not given yet.
    fn is_leaving(&self, channel: &str) -> bool {
        self.leaving.contains_key(channel) && !self.given.contains(channel)
    }

    /// The channel whose messages weigh most.
    fn heaviest(&self) -> Option<Box<str>> {
        let weight = |holding: &Holding| -> usize {
            holding.messages.iter().map(|message| message.data.len()).sum()
        };
        let heaviest = self.holding.iter().max_by_key(|(_, holding)| weight(holding));
        heaviest.map(|(channel, _)| channel.clone())
    }
}

impl<D: Decode> Connection<D> {
    /// Lets channels go to other connections and come from them. To be said before the first swap.
    pub fn cross(&mut self, ferry: Ferry<D::Estate>) {
        self.crossing = Some(Crossing {
            ferry,
            looked: 0,
            leaving: BTreeMap::new(),
            given: BTreeSet::new(),
            holding: BTreeMap::new(),
            bytes: 0,
            lent: None,
            replayed: None,
        });
    }

    /// Whether there is something to [give](Self::give).
    #[must_use]
    pub fn gives(&self) -> bool {
        self.crossing.as_ref().is_some_and(|crossing| {
            let mut leaving = crossing.leaving.iter();
            leaving.any(|(channel, number)| self.has_left(channel, *number, crossing))
        })
    }

    /// Gives the channels away that have left. To be said when all their rows are handed over, and
    /// that they are acknowledged no longer.
    pub fn give(&mut self, now: Now) {
        let unasked = self.trades_unasked_since();
        let missed = [self.outage.since(), self.mender.unasked(), self.refusals.trades_since()];
        let missed = missed.into_iter().flatten().min();
        let Some(mut crossing) = self.crossing.take() else { return };
        let left: Vec<(Box<str>, u64)> = {
            let leaving = crossing.leaving.iter();
            let left = leaving.filter(|it| self.has_left(it.0, *it.1, &crossing));
            left.map(|(channel, number)| (channel.clone(), *number)).collect()
        };
        for (channel, number) in left {
            let estate = self.decoder.give(&channel, missed);
            crossing.ferry.give(&channel, number, estate);
            crossing.given.insert(channel);
            let until = now.monotonic.saturating_add(LENT_MAX);
            crossing.lent = unasked.map(|since| (since, until)).or(crossing.lent);
        }
        self.crossing = Some(crossing);
    }

    /// The channel was to be let go and is wanted no longer, and nothing of it can come any more.
    fn has_left(&self, channel: &str, number: u64, crossing: &Crossing<D::Estate>) -> bool {
        !crossing.given.contains(channel)
            && !self.subscriptions.wants(channel)
            && self.subscriptions.is_gone(channel)
            && crossing.ferry.leaves(channel, number)
    }

    /// A connection is made: nothing comes any more of what was given away before.
    pub(super) fn connect_crossings(&mut self) {
        if let Some(Crossing { given, leaving, .. }) = &mut self.crossing {
            given.retain(|channel| leaving.contains_key(channel));
        }
    }

    /// Before the goal changes.
    pub(super) fn expect_crossings(&mut self, goal: &ChannelSet) {
        if let Some(crossing) = &mut self.crossing {
            crossing.expect(&self.settings.shard, goal);
        }
    }

    /// Whether a message is not to be decoded now.
    pub(super) fn keeps(&mut self, channel: &str, data: &str, now: Now) -> bool {
        self.crossing.as_mut().is_some_and(|crossing| crossing.keeps(channel, data, now))
    }

    /// Looks at what has changed on the ferry.
    pub(super) fn follow_crossings(&mut self, now: Now, rows: &mut Rows) {
        let Some(mut crossing) = self.crossing.take() else { return };
        let edition = crossing.ferry.edition();
        if edition != crossing.looked {
            crossing.looked = edition;
            self.follow_leaving(&mut crossing, now);
            self.follow_coming(&mut crossing, now, rows);
            if !crossing.holding.is_empty() {
                // What is refused may be nobody's any more.
                self.subscriptions.touch();
            }
        }
        if let Some((_, until)) = &mut crossing.lent {
            // As long as nobody has taken it, this connection says it.
            if crossing.leaving.keys().any(|channel| crossing.given.contains(channel)) {
                *until = now.monotonic.saturating_add(LENT_MAX);
            } else if *until <= now.monotonic {
                crossing.lent = None;
            }
        }
        for (channel, Holding { number, .. }) in &crossing.holding {
            if self.subscriptions.acknowledged().contains(channel) {
                crossing.ferry.hold(channel, *number);
            }
        }
        self.bound_holding(&mut crossing, now, rows);
        self.crossing = Some(crossing);
    }

    fn follow_leaving(&mut self, crossing: &mut Crossing<D::Estate>, now: Now) {
        let leaving = crossing.ferry.leaving(&self.settings.shard);
        for channel in crossing.leaving.keys().filter(|it| !leaving.contains_key(*it)) {
            self.decoder.unwatch(channel, now);
        }
        for (channel, number) in &leaving {
            if !crossing.given.contains(channel) && crossing.leaving.get(channel) != Some(number) {
                self.decoder.watch(channel);
                crossing.ferry.watch(channel, *number);
            }
        }
        crossing.leaving = leaving;
    }

    fn follow_coming(&mut self, crossing: &mut Crossing<D::Estate>, now: Now, rows: &mut Rows) {
        let coming = crossing.ferry.coming(&self.settings.shard);
        let mut over = Vec::new();
        for (channel, holding) in &mut crossing.holding {
            let number = coming.get(channel).copied();
            if number != Some(holding.number) {
                // The giver has kept it, and everything that was held. Another try begins anew.
                holding.messages.clear();
                holding.number = number.unwrap_or(holding.number);
            } else if let Some(estate) = crossing.ferry.take(channel, holding.number) {
                over.push((channel.clone(), estate));
            }
        }
        for (channel, estate) in over {
            let Some(Holding { mut messages, missed, .. }) = crossing.holding.remove(&channel)
            else {
                continue;
            };
            self.decoder.adopt(&channel, estate, &mut messages, missed, now);
            let oldest = messages.first().map(|message| message.now.utc);
            crossing.replayed = [crossing.replayed, oldest].into_iter().flatten().min();
            // It may be refused, which is told here from now on.
            self.subscriptions.touch();
            for Held { data, now } in messages {
                let chain = self.decoder.decode(&channel, &data, now, rows);
                self.link(&channel, chain, now, rows);
            }
        }
        crossing.count();
    }

    /// What is held too long, or is too much, is forgotten: while the giver still records nothing
    /// is lost by that, else it is named.
    fn bound_holding(&mut self, crossing: &mut Crossing<D::Estate>, now: Now, rows: &mut Rows) {
        let old = |holding: &Holding| {
            let first = holding.messages.first();
            first.is_some_and(|it| now.monotonic.saturating_sub(it.now.monotonic) > HOLD_MAX)
        };
        let old = crossing.holding.iter().filter(|(_, holding)| old(holding));
        let old: Vec<Box<str>> = old.map(|(channel, _)| channel.clone()).collect();
        for channel in old {
            self.forget_held(crossing, &channel, now, rows);
        }
        while crossing.bytes > HELD_BYTES_MAX {
            let Some(channel) = crossing.heaviest() else { return };
            self.forget_held(crossing, &channel, now, rows);
        }
    }

    fn forget_held(
        &mut self,
        crossing: &mut Crossing<D::Estate>,
        channel: &str,
        now: Now,
        rows: &mut Rows,
    ) {
        let Some(holding) = crossing.holding.get_mut(channel) else { return };
        let messages = std::mem::take(&mut holding.messages);
        let Some(first) =
            messages.first().filter(|_| crossing.ferry.leaves(channel, holding.number))
        else {
            return crossing.count();
        };
        let since = self.settings.before_under_way(first.now.utc);
        holding.missed(since);
        crossing.count();
        let kind = CauseKind::TakeoverUnverified;
        let gap = Gap { shard: &self.settings.shard, instrument: whose(channel), since, kind };
        let detail = format!("{channel}: {} messages were held too long", messages.len());
        tracing::error!(shard = &*self.settings.shard, "{detail}");
        gap.write(Some(now.utc), &detail, now, rows);
    }

    /// The rows of everything that came are on their way to the journal.
    pub fn handed_over(&mut self) {
        if let Some(crossing) = &mut self.crossing {
            crossing.replayed = None;
        }
    }

    /// Whether that has to be said.
    #[must_use]
    pub fn has_replayed(&self) -> bool {
        self.crossing.as_ref().is_some_and(|crossing| crossing.replayed.is_some())
    }

    /// Trades of a channel may have been missed since then. Of one that is held they are asked for
    /// when it is known which are recorded.
    pub(super) fn missed(&mut self, channel: &str, since: Micros, now: Now) {
        let crossing = self.crossing.as_mut();
        match crossing.and_then(|crossing| crossing.holding.get_mut(channel)) {
            Some(holding) => holding.missed(since),
            None => self.decoder.missed(channel, since, now),
        }
    }

    /// Follows what is refused, but for what another connection has not let go: that is recorded
    /// there. Trades that were missed meanwhile are asked for, here or by whoever takes the
    /// channel.
    pub(super) fn follow_refusals(&mut self, now: Now, rows: &mut Rows) {
        let there = |channel: &&str| {
            let crossing = self.crossing.as_ref();
            let holding = crossing.and_then(|it| Some((it, it.holding.get(*channel)?)));
            holding.is_some_and(|(it, holding)| !it.ferry.leaves(channel, holding.number))
        };
        let refused = self.subscriptions.refused().filter(|channel| !there(channel));
        for (since, channels) in self.refusals.update(refused, now, rows) {
            for channel in &channels {
                let leaves = self.crossing.as_ref().is_some_and(|it| it.is_leaving(channel));
                if leaves || self.subscriptions.wants(channel) {
                    self.missed(channel, since, now);
                }
            }
        }
    }

    /// Channels that are about to leave, and are not given yet.
    pub(super) fn leaving(&self) -> impl Iterator<Item = &str> {
        self.crossing.iter().flat_map(|crossing| {
            let leaving = crossing.leaving.keys().map(|channel| &**channel);
            leaving.filter(|channel| crossing.is_leaving(channel))
        })
    }

    /// Up to when everything that came was decoded, if something is held.
    pub(super) fn held_since(&self) -> Option<Micros> {
        let oldest = self.crossing.as_ref()?.oldest()?;
        Some(self.settings.before_under_way(oldest))
    }

    /// Since when trades may be missing of channels that are on their way.
    pub(super) fn lent_since(&self) -> Option<Micros> {
        let crossing = self.crossing.as_ref()?;
        let held = crossing.holding.values().filter_map(|holding| holding.missed);
        held.chain(crossing.lent.map(|(since, _)| since)).min()
    }
}

/// By when the giver of a channel has let go, or has noticed that its connection is dead.
const HOLD_MAX: Duration = Duration::from_mins(1);
/// What is held of all channels: 250 instruments for many seconds.
const HELD_BYTES_MAX: usize = 32 << 20;
/// By when the taker has told the journal which trades it has to ask for.
const LENT_MAX: Duration = Duration::from_secs(10);
