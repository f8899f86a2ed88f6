//! One connection's own beat: with shifted frames each connection gathers for 100 ms (a second on
//! `agg2`) from a moment of its own, so that two of them are told the same in other pieces.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::channel::{Channel, InstrumentId, Interval};
use crate::market::book::{BookChange, Touch};
use crate::market::{Event, Market, Trade};
use crate::wire::Value;

/// What has come on a connection's channels since its last beat.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// Every beat is this long after a whole number of intervals.
    shift: Duration,
    pending: BTreeMap<Channel, Pending>,
}

#[derive(Debug)]
struct Pending {
    due: Duration,
    what: What,
}

/// What is told at the beat.
#[derive(Debug)]
pub(crate) enum What {
    /// The channel's state as it is then.
    State,
    Trades(Vec<(InstrumentId, Trade)>),
    Change(InstrumentId, BookChange),
}

impl Gathering {
    /// Shifts are within a second, so that `agg2` differs too.
    pub(crate) fn new(shift: Duration) -> Gathering {
        Gathering { shift, pending: BTreeMap::new() }
    }

    /// Takes in what an event says on a channel; false where the channel does not gather.
    pub(crate) fn take_in(&mut self, channel: Channel, event: &Event, now: Duration) -> bool {
        let Some(every) = channel.interval().and_then(length) else { return false };
        let due = self.next(every, now);
        let pending =
            self.pending.entry(channel).or_insert_with(|| Pending { due, what: What::of(channel) });
        match (&mut pending.what, event) {
            (What::Trades(gathered), Event::Trades { instrument, trades, .. }) => {
                gathered.extend(trades.iter().map(|trade| (*instrument, trade.clone())));
            }
            (What::Change(_, gathered), Event::Quote { book: Some(change), .. })
            | (What::Change(_, gathered), Event::Trades { book: Some(change), .. }) => {
                merge(gathered, change);
            }
            (What::State | What::Trades(_) | What::Change(..), _) => {}
        }
        true
    }

    /// What is told at the beats that are over, in the order of their time.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<(Channel, What)> {
        let over = |pending: &Pending| {
            // A book that is as it was says nothing, but its chain goes on from there.
            let still = matches!(&pending.what, What::Change(_, change) if change.is_empty());
            pending.due <= now && !still
        };
        let mut due: Vec<(Channel, Pending)> =
            self.pending.extract_if(.., |_, pending| over(pending)).collect();
        due.sort_by_key(|(_, pending)| pending.due);
        due.into_iter().map(|(channel, pending)| (channel, pending.what)).collect()
    }

    /// Forgets the channels that nobody listens to any more.
    pub(crate) fn retain(&mut self, listens: impl Fn(Channel) -> bool) {
        self.pending.retain(|channel, _| listens(*channel));
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        let told = self.pending.values().filter(|pending| match &pending.what {
            What::Change(_, change) => !change.is_empty(),
            What::State | What::Trades(_) => true,
        });
        told.map(|pending| pending.due).min()
    }

    /// The first beat after now.
    fn next(&self, every: Duration, now: Duration) -> Duration {
        let (every_us, shift_us) = (every.as_micros() as u64, self.shift.as_micros() as u64);
        let now_us = now.as_micros() as u64 + every_us - shift_us % every_us;
        Duration::from_micros((now_us / every_us + 1) * every_us + shift_us % every_us - every_us)
    }
}

impl What {
    fn of(channel: Channel) -> What {
        match channel {
            Channel::Trades(..) | Channel::GroupTrades(..) => What::Trades(Vec::new()),
            Channel::Book(instrument, _) => What::Change(instrument, BookChange::default()),
            Channel::Ticker(..)
            | Channel::Window(..)
            | Channel::Quote(_)
            | Channel::Perpetual(..)
            | Channel::Index(_)
            | Channel::Volatility(_)
            | Channel::State(..)
            | Channel::Platform
            | Channel::PlatformMethods
            | Channel::Recorded(_) => What::State,
        }
    }

    /// The data part of the notification.
    pub(crate) fn data<'a>(&'a self, market: &'a Market, channel: Channel) -> Option<Value<'a>> {
        match self {
            What::State => market.state(channel),
            What::Trades(trades) => Some(market.tell_trades(trades)),
            What::Change(instrument, change) => Some(market.tell_change(*instrument, change)),
        }
    }
}

fn length(interval: Interval) -> Option<Duration> {
    match interval {
        Interval::Raw => None,
        Interval::Hundred => Some(Duration::from_millis(100)),
        Interval::Agg2 => Some(Duration::from_secs(1)),
    }
}

/// Two changes as one: a level is told once, as seen from before the first of them.
fn merge(gathered: &mut BookChange, change: &BookChange) {
    if gathered.change_id == 0 {
        gathered.prev_change_id = change.prev_change_id;
    }
    gathered.change_id = change.change_id;
    let sides = [(&mut gathered.bids, &change.bids), (&mut gathered.asks, &change.asks)];
    for (gathered, touched) in sides {
        touched.iter().for_each(|touch| BookChange::touch(gathered, *touch));
    }
    let ticks = |touch: &Touch| touch.1;
    gathered.bids.sort_unstable_by_key(|touch| -ticks(touch));
    gathered.asks.sort_unstable_by_key(ticks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::book::Action;

    #[test]
    fn beats_are_shifted() {
        let ms = Duration::from_millis;
        let gathering = Gathering::new(ms(730));
        for (now, hundred, second) in
            [(0, 30, 730), (29, 30, 730), (30, 130, 730), (731, 830, 1730)]
        {
            assert_eq!(gathering.next(ms(100), ms(now)), ms(hundred), "{now}");
            assert_eq!(gathering.next(ms(1000), ms(now)), ms(second), "{now}");
        }
    }

    #[test]
    fn a_level_that_came_and_went_says_nothing_and_the_chain_goes_on() {
        let mut gathering = Gathering::new(Duration::ZERO);
        let channel = Channel::Book(0, Interval::Hundred);
        let quote = |prev_change_id, change_id, touch: Touch| {
            let (bids, asks) = (vec![touch], Vec::new());
            let book = Some(BookChange { prev_change_id, change_id, bids, asks });
            Event::Quote { instrument: 0, book, slow: false }
        };
        let ms = Duration::from_millis;
        gathering.take_in(channel, &quote(5, 7, (Action::New, 10, 1)), ms(1));
        gathering.take_in(channel, &quote(7, 9, (Action::Delete, 10, 0)), ms(2));
        assert!(gathering.due(ms(100)).is_empty());
        assert_eq!(gathering.deadline(), None);
        gathering.take_in(channel, &quote(9, 12, (Action::Change, 11, 4)), ms(150));
        let due = gathering.due(ms(200));
        let [(told, What::Change(0, change))] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!(*told, channel);
        assert_eq!((change.prev_change_id, change.change_id), (5, 12));
        assert_eq!(change.bids, [(Action::Change, 11, 4)]);
        let raw = Channel::Book(0, Interval::Raw);
        assert!(!gathering.take_in(raw, &quote(12, 13, (Action::New, 1, 1)), ms(300)));
    }
}
