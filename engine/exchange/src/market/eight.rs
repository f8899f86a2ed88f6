//! What the clock brings, whoever trades. At 08:00 UTC options expire, are delivered, and make room
//! for new ones.
//!
//! Invariant: what is due is done once, in the order of its time, and however late it is noticed
//! a listing never comes before the expiry that it follows.

use std::sync::Arc;

use crate::channel::InstrumentId;
use crate::market::calendar::{Period, expiries, next_eight_ms};
use crate::market::chain;
use crate::market::instrument::{Contract, Stage};
use crate::market::{Event, Expiry, INDEXES, Market};

/// Something that the calendar brings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Due {
    /// The options of the day stop trading.
    Expiry,
    /// They are paid out at the index of eight o'clock.
    Delivery { instruments: Vec<InstrumentId>, price: f64 },
    /// What was delivered is put away.
    Archive { instruments: Vec<InstrumentId> },
    /// What lives goes on after the daily settlement.
    Reopening { instruments: Vec<InstrumentId> },
    /// A strike more, as the index has moved.
    Strike,
    /// As many options as expired are listed anew.
    Listing { currency: u8, count: usize },
    /// A listed option is quoted for the first time.
    Debut(InstrumentId),
    /// The platform says that it is not locked.
    Platform,
    /// An option that nobody bids for says nothing for some minutes.
    Silence,
}

/// Settlement takes a moment; nothing says how long.
const DELIVERY_MS: (i64, u64) = (1_000, 2_000);
/// Some minutes later nobody speaks of it any more.
const ARCHIVE_MS: (i64, u64) = (300_000, 300_000);
/// A new expiry is created 4 to 60 s after eight.
const LISTING_MS: (i64, u64) = (4_000, 56_000);
/// A new book stays empty for a moment.
const DEBUT_MS: (i64, u64) = (200, 3_000);

/// Measured: about 150 frames a minute.
const PLATFORM_MS: (i64, u64) = (300, 200);
/// How often an option falls silent, and for how long.
pub(crate) const SILENCE_MS: (i64, u64) = (10_000, 20_000);
const QUIET_MS: (i64, u64) = (60_000, 120_000);

impl Market {
    /// What the calendar has brought until now; it does not wait for anybody's pace.
    pub(crate) fn due(&mut self, now_ms: i64) -> Vec<Event> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut events = Vec::new();
        while let Some(next) = self.calendar.first_entry()
            && next.key().0 <= self.now_ms
        {
            let ((at_ms, _), due) = next.remove_entry();
            match due {
                Due::Expiry => self.expire(at_ms, &mut events),
                Due::Delivery { instruments, price } => {
                    self.deliver(instruments, price, &mut events);
                }
                Due::Archive { instruments } => {
                    events.extend(instruments.iter().map(|id| Event::State(*id, "archivized")));
                }
                Due::Reopening { instruments } => {
                    events.extend(instruments.iter().map(|id| Event::State(*id, "open")));
                }
                Due::Strike => {
                    let currency = self.random.index(self.coins.len()) as u8;
                    self.add_strike(currency, at_ms, &mut events);
                    let next_ms = at_ms + self.strikes_ms;
                    self.expect(next_ms, Due::Strike);
                }
                Due::Listing { currency, count } => self.list(currency, count, at_ms, &mut events),
                Due::Debut(id) => self.turns.push(id),
                Due::Platform => {
                    events.push(Event::Platform(self.random.index(INDEXES.len())));
                    let next_ms = self.now_ms + self.some_ms(PLATFORM_MS);
                    self.expect(next_ms, Due::Platform);
                }
                Due::Silence => {
                    self.silence_one();
                    let next_ms = self.now_ms + self.some_ms(SILENCE_MS);
                    self.expect(next_ms, Due::Silence);
                }
            }
        }
        events
    }

    /// When the calendar brings something next, ms since 1970.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.calendar.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    /// Puts something into the calendar.
    pub(crate) fn expect(&mut self, at_ms: i64, due: Due) {
        self.expected += 1;
        self.calendar.insert((at_ms, self.expected), due);
    }

    fn expire(&mut self, at_ms: i64, events: &mut Vec<Event>) {
        self.expect(next_eight_ms(at_ms), Due::Expiry);
        let now_ms = self.now_ms;
        self.instruments.iter_mut().for_each(|it| it.tape.forget(now_ms));
        for currency in 0..self.coins.len() {
            let price = self.coins[currency].index;
            let ids = (0..).zip(&self.instruments);
            let dying = ids.filter(|(_, it)| {
                let over = !it.is_open(at_ms) && it.stage == Stage::Open;
                usize::from(it.currency) == currency && over
            });
            let instruments: Vec<InstrumentId> = dying.map(|(id, _)| id).collect();
            if instruments.is_empty() {
                continue;
            }
            self.turns.retain(|id| !instruments.contains(id));
            let (count, currency) = (instruments.len(), currency as u8);
            let listing_ms = at_ms + self.some_ms(LISTING_MS);
            self.expect(listing_ms, Due::Listing { currency, count });
            match self.expiry {
                Expiry::Settlement => {
                    for id in &instruments {
                        self.instruments[*id as usize].enter(Stage::Settling, now_ms);
                        events.push(Event::State(*id, "settlement"));
                        events.push(Event::Last(*id));
                    }
                    let delivery_ms = at_ms + self.some_ms(DELIVERY_MS);
                    self.expect(delivery_ms, Due::Delivery { instruments, price });
                }
                Expiry::Delivery => self.deliver(instruments, price, events),
            }
        }
        if self.expiry == Expiry::Delivery {
            self.settle_the_living(at_ms, events);
        }
    }

    fn deliver(&mut self, instruments: Vec<InstrumentId>, price: f64, events: &mut Vec<Event>) {
        for id in &instruments {
            self.instruments[*id as usize].enter(Stage::Delivered(price), self.now_ms);
            events.push(Event::Last(*id));
            events.push(Event::State(*id, "delivered"));
        }
        let archive_ms = self.now_ms + self.some_ms(ARCHIVE_MS);
        self.expect(archive_ms, Due::Archive { instruments });
    }

    /// Everything that lives stops for the daily settlement.
    fn settle_the_living(&mut self, at_ms: i64, events: &mut Vec<Event>) {
        let reopening_ms = at_ms + self.some_ms(DELIVERY_MS);
        let living = (0..).zip(&mut self.instruments).filter(|(_, it)| it.is_open(at_ms));
        let mut instruments = Vec::new();
        for (id, it) in living {
            it.quiet_until_ms = it.quiet_until_ms.max(reopening_ms);
            events.push(Event::State(id, "settlement"));
            instruments.push(id);
        }
        self.expect(reopening_ms, Due::Reopening { instruments });
    }

    /// A call and a put at the first strike of some expiry that is not there yet.
    fn add_strike(&mut self, currency: u8, at_ms: i64, events: &mut Vec<Event>) {
        let listed = expiries(at_ms);
        let at = self.random.index(listed.len());
        if let Some(chosen) = listed.get(at) {
            self.fill(&[*chosen], currency, 2, at_ms, events);
        }
    }

    /// Fills the expiries that are new; where there is none, the nearest ones get more strikes.
    fn list(&mut self, currency: u8, count: usize, at_ms: i64, events: &mut Vec<Event>) {
        let listed = expiries(at_ms);
        let known = |expiry_ms: i64| {
            self.instruments.iter().any(|it| {
                let same = matches!(it.contract, Contract::Option { expiry_ms: known, .. }
                    if known == expiry_ms);
                same && it.currency == currency
            })
        };
        let mut new = listed.clone();
        new.retain(|(expiry_ms, _)| !known(*expiry_ms));
        if new.is_empty() {
            new = listed;
            new.truncate(3);
        }
        self.fill(&new, currency, count, at_ms, events);
    }

    /// Lists so many options of these expiries, those nearest the money that are not there yet.
    fn fill(
        &mut self,
        expiries: &[(i64, Period)],
        currency: u8,
        count: usize,
        at_ms: i64,
        events: &mut Vec<Event>,
    ) {
        let coin = self.coins[usize::from(currency)].clone();
        let mut left = count;
        for (at, (expiry_ms, period)) in expiries.iter().copied().enumerate() {
            let share = left.div_ceil(expiries.len() - at);
            left -= share;
            let contracts = chain::contracts(&coin, expiry_ms, period, at_ms);
            let fresh = contracts.filter(|(name, _)| !self.by_name.contains_key(name.as_str()));
            for (name, contract) in fresh.take(share).collect::<Vec<_>>() {
                let mut it = chain::fresh(&coin, currency, &name, contract, at_ms);
                it.requote(&coin, self.now_ms, &mut self.random);
                let id = self.instruments.len() as InstrumentId;
                self.by_name.insert(Arc::clone(&it.name), id);
                self.instruments.push(it);
                self.slow_ms.push(i64::MIN);
                events.push(Event::State(id, "open"));
                let debut_ms = at_ms + self.some_ms(DEBUT_MS);
                self.expect(debut_ms, Due::Debut(id));
            }
        }
    }

    fn silence_one(&mut self) {
        let at = self.random.index(self.turns.len());
        let quiet_until_ms = self.now_ms + self.some_ms(QUIET_MS);
        let after = self.turns.iter().skip(at).copied();
        let shy = after.into_iter().find(|id| self.at(*id).shy);
        if let Some(id) = shy {
            self.instruments[id as usize].quiet_until_ms = quiet_until_ms;
        }
    }

    fn some_ms(&mut self, (least, spread): (i64, u64)) -> i64 {
        least + self.random.below(spread + 1) as i64
    }
}
