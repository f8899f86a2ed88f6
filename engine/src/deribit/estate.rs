//! What a shard knows of a channel, on its way to the shard that takes the channel over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schema::{Micros, Now};
use serde::{Deserialize, Serialize};

use super::book::BookMessage;
use super::channel::Channel;
use super::decoder::Decoder;
use super::echoes::{Digests, Voice};
use super::identities::{Book, Kind, Marks};
use super::latecomers::Outage;
use super::mending::{Errand, carries};
use super::sequence::Sequence;
use super::tally::Stored;
use crate::session::Held;

/// What is known of one channel by whoever recorded it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Estate {
    what: What,
    /// Trades may have been missed since then.
    missed: Option<Micros>,
}

/// An instrument's trades that are recorded, and what is to be asked of it.
type Traded = (Box<str>, Sequence, Option<Errand>);

#[derive(Debug, Deserialize, Serialize)]
enum What {
    /// What was recorded since the passage was announced, and the newest of it.
    Voice { last: Option<u128>, marks: Marks, noted: Digests },
    /// The book's last message.
    Book(Book),
    /// The trades of every instrument that the channel carries.
    Trades { of: Vec<Traded>, latecomers: Option<(Box<str>, Outage)> },
    /// The channel leaves nothing behind.
    Nothing,
}

impl Estate {
    /// The same for whoever's monotonic clock shows `there` when ours shows `here`. What lies on
    /// the way takes time, which makes instants later than they were, never earlier.
    #[must_use]
    pub fn reset_clock(mut self, here: Duration, there: Duration) -> Self {
        let reset = |at: Duration| match at.checked_sub(here) {
            Some(after) => there.saturating_add(after),
            None => there.saturating_sub(here.saturating_sub(at)),
        };
        if let What::Trades { of, latecomers } = &mut self.what {
            of.iter_mut().for_each(|(_, trades, _)| trades.reset_clock(reset));
            if let Some((_, outage)) = latecomers {
                outage.reset_clock(reset);
            }
        }
        self
    }
}

impl Estate {
    /// What of the channel was recorded last, where its messages have no numbers.
    #[must_use]
    pub fn last(&self) -> Option<u128> {
        match self.what {
            What::Voice { last, .. } => last,
            What::Book(_) | What::Trades { .. } | What::Nothing => None,
        }
    }
}

impl Decoder {
    /// Another process has recorded this last of a channel that is here now: whoever subscribes to
    /// it anew is told so again.
    pub fn heard_elsewhere(&mut self, channel: &str, last: u128, now: Now) {
        if let Some((voice, name)) = voice(channel) {
            self.echoes.expect(voice, name, last, now.monotonic);
        }
    }

    /// A channel is about to go to another shard: what is recorded of it is noted from now on.
    pub(super) fn watch_channel(&mut self, channel: &str) {
        if let Some((voice, name)) = voice(channel) {
            let known = self.identities.get_mut(name);
            let last = known.and_then(|known| known.repeats_mut(voice).0);
            self.echoes.note(voice, name, last);
        }
    }

    /// It stays after all.
    pub(super) fn unwatch_channel(&mut self, channel: &str, now: Now) {
        if let Some((voice, name)) = voice(channel) {
            self.echoes.rest(voice, name, now.monotonic);
        }
    }

    /// Lets go of everything that is known of a channel. Trades of it may have been missed since
    /// `missed`.
    pub(super) fn give_channel(&mut self, channel: &str, missed: Option<Micros>) -> Estate {
        Estate { what: self.give_what(channel), missed }
    }

    fn give_what(&mut self, channel: &str) -> What {
        if let Some((voice, name)) = voice(channel) {
            let noted = self.echoes.end(voice, name);
            let Some(known) = self.identities.get_mut(name) else {
                return What::Voice { last: None, marks: Marks::default(), noted };
            };
            let last = std::mem::take(known.repeats_mut(voice)).0;
            let marks = match voice {
                Voice::Ticker => std::mem::take(&mut known.marks),
                Voice::Interest | Voice::Depth => Marks::default(),
            };
            return What::Voice { last, marks, noted };
        }
        if let Channel::Book(name) = Channel::parse(channel) {
            let known = self.identities.get_mut(name);
            let book = known.map(|known| std::mem::take(&mut known.book));
            return What::Book(book.unwrap_or_default());
        }
        let parts: Vec<&str> = channel.split('.').collect();
        match *parts {
            ["trades", "option", currency, _] => {
                let known = self.identities.iter().map(|(name, _)| name);
                let all = known.chain(self.mending.names());
                let theirs = all.filter(|name| carries(currency, name, Micros(0)));
                let names: BTreeSet<Box<str>> = theirs.map(Box::from).collect();
                let of = names.iter().filter_map(|name| self.give_trades(name)).collect();
                let latecomers = self.latecomers.give(currency);
                What::Trades { of, latecomers }
            }
            ["trades", name, _] => {
                let of = self.give_trades(name).into_iter().collect();
                What::Trades { of, latecomers: None }
            }
            _ => What::Nothing,
        }
    }

    fn give_trades(&mut self, name: &str) -> Option<Traded> {
        let errand = self.mending.give(name);
        let Some(known) = self.identities.get_mut(name) else {
            return errand.map(|errand| (name.into(), Sequence::default(), Some(errand)));
        };
        if !matches!(known.kind, Kind::Option | Kind::Perpetual) {
            return None;
        }
        let mut trades = std::mem::take(&mut known.trades);
        trades.named_by.get_or_insert_with(|| Arc::clone(&self.shard));
        known.waits = false;
        self.waiting.forget(name);
        Some((name.into(), trades, errand))
    }

    /// Goes on from what another shard knew of a channel; what is left of what was held of it
    /// meanwhile is decoded next. Trades of it may have been missed since `missed`, too.
    pub(super) fn adopt_channel(
        &mut self,
        channel: &str,
        estate: Estate,
        held: &mut Vec<Held>,
        missed: Option<Micros>,
        now: Now,
    ) {
        let limit = self.limits.instruments;
        match estate.what {
            What::Voice { last, marks, mut noted } => {
                let Some((voice, name)) = voice(channel) else { return };
                let known = self.identities.of(name, now, limit);
                // A process that ended while it took the channel may have recorded more.
                noted.extend(std::mem::replace(&mut known.repeats_mut(voice).0, last));
                if voice == Voice::Ticker {
                    known.marks = marks;
                }
                self.echoes.take(voice, name, noted, now.monotonic);
            }
            What::Book(book) => {
                let Channel::Book(name) = Channel::parse(channel) else { return };
                let book = self.take_book(name, book, held);
                self.identities.of(name, now, limit).book = book;
            }
            What::Trades { of, latecomers } => {
                for (name, trades, errand) in of {
                    let known = self.identities.of(&name, now, limit);
                    let own = std::mem::replace(&mut known.trades, trades);
                    // As above.
                    if own.highest() > known.trades.highest() {
                        known.trades.join(own, now.monotonic);
                    }
                    known.waits = false;
                    self.waiting.add(&name, known);
                    if let Some(errand) = errand {
                        self.mending.take(&name, errand, now.monotonic);
                    }
                }
                if let Some(outage) = latecomers {
                    self.latecomers.take(outage);
                }
            }
            What::Nothing => {}
        }
        if let Some(since) = [missed, estate.missed].into_iter().flatten().min() {
            self.missed(channel, since, now);
        }
    }

    /// The book as its taker goes on with it. What the giver has recorded is taken out of what was
    /// held, so that the rest follows it. Where the exchange cuts its changes at other instants for
    /// the taker, one of them reaches over the giver's last one: then the chain begins anew with
    /// the whole book that was held, and what follows it there is recorded again.
    fn take_book(&mut self, name: &str, book: Book, held: &mut Vec<Held>) -> Book {
        let own = self.identities.get(name).map(|known| known.book).unwrap_or_default();
        // A process that ended while it took the channel may have recorded more.
        let more = own.change_id > book.change_id && own.good_until > book.good_until;
        let book = if more { own } else { book };
        let Some(last) = book.change_id else { return book };
        let (mut old, mut other) = (Vec::with_capacity(held.len()), false);
        for message in &*held {
            let Ok(read) = BookMessage::of(name, &message.data) else {
                old.push(false);
                continue;
            };
            let at = read.timestamp.moment("timestamp").ok();
            let id = read.change_id.optional("change_id").ok().flatten();
            let prev = read.prev_change_id.optional("prev_change_id").ok().flatten();
            other |= matches!((prev, id), (Some(1..), Some(id)) if prev < Some(last) && last < id);
            // It may have begun to count anew. The whole book has the time of its last change, so
            // that an older one may be much older.
            let later = at.is_some_and(|at| book.is_long_before(at));
            other |= prev.is_none() && id < Some(last) && later;
            // The whole book may mend a chain with the number of the change that broke it.
            let mends = prev.is_none() && !book.is_whole();
            old.push(id.is_some_and(|id| id < last || id == last && !mends));
        }
        if other {
            return book.broken();
        }
        let repeats = old.iter().filter(|old| **old).count();
        self.tally.duplicates_dropped.add(Stored::BookChanges, repeats as u64);
        let mut old = old.into_iter();
        held.retain(|_| old.next() != Some(true));
        book
    }
}

/// What a channel says that has no numbers of its own, and of whom.
fn voice(channel: &str) -> Option<(Voice, &str)> {
    match Channel::parse(channel) {
        Channel::Ticker(name) | Channel::Index(name) => Some((Voice::Ticker, name)),
        Channel::Perpetual(name) => Some((Voice::Interest, name)),
        Channel::Depth(name) => Some((Voice::Depth, name)),
        Channel::Trades
        | Channel::Book(_)
        | Channel::State
        | Channel::Platform
        | Channel::Other(_) => None,
    }
}
