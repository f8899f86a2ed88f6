//! Options that were listed while a channel that carries all of a currency's was away, and that
//! nobody knows yet when it is back: the exchange's next list tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schema::Micros;
use serde::{Deserialize, Serialize};

use super::decoder::Decoder;
use super::mending::{by_the_exchange, carries};
use super::roster::Roster;

/// Outages of currencies in which options may have been listed that no list has told yet.
#[derive(Debug, Default)]
pub(super) struct Latecomers {
    /// What is recorded, by whichever connection. Without it nobody asks for lists.
    roster: Option<Roster>,
    outages: BTreeMap<Box<str>, Outage>,
    /// The edition of the roster that was looked at.
    looked: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Outage {
    since: Micros,
    /// When everything was acknowledged again: a list that is asked for later knows all.
    until: Duration,
    /// Those whose trades are asked for already.
    known: BTreeSet<Box<str>>,
}

impl Outage {
    /// The same on another monotonic clock.
    pub(super) fn reset_clock(&mut self, reset: impl Fn(Duration) -> Duration) {
        self.until = reset(self.until);
    }
}

impl Latecomers {
    /// Where the lists' instruments are to be seen from now on.
    pub(super) fn follow(&mut self, roster: Roster) {
        self.roster = Some(roster);
    }

    /// The options of a currency that may have been traded since then: those recorded, and those
    /// that were and have expired, as a list may have told already.
    pub(super) fn recorded(&self, currency: &str, since: Micros) -> Vec<Box<str>> {
        let recorded = |roster| recorded(roster, currency, since);
        self.roster.as_ref().map(recorded).unwrap_or_default()
    }

    /// Trades of the currency's options may have been missed since then; those of `known` are
    /// asked for, each from the moment that is given back: an earlier outage whose list has not
    /// come yet may have begun before anybody knew of it.
    pub(super) fn expect(
        &mut self,
        currency: &str,
        since: Micros,
        known: BTreeSet<Box<str>>,
        now: Duration,
    ) -> Vec<(Box<str>, Micros)> {
        let before = self.outages.get(currency);
        let first = before.map_or(since, |before| before.since.min(since));
        let asked = |name: &str| before.is_some_and(|before| before.known.contains(name));
        let from = |name: &str| if asked(name) { since } else { first };
        let names = known.iter().map(|name| (name.clone(), from(name))).collect();
        if self.roster.is_some() {
            self.outages.insert(currency.into(), Outage { since: first, until: now, known });
        }
        names
    }

    /// Another shard has the currency's channel from now on.
    pub(super) fn give(&mut self, currency: &str) -> Option<(Box<str>, Outage)> {
        self.outages.remove_entry(currency)
    }

    /// The currency's channel is here now.
    pub(super) fn take(&mut self, (currency, outage): (Box<str>, Outage)) {
        self.outages.insert(currency, outage);
        self.looked = 0;
    }

    /// Since when options may have been traded that are not known yet.
    pub(super) fn since(&self) -> Option<Micros> {
        self.outages.values().map(|outage| outage.since).min()
    }

    /// Whether the roster has changed while somebody was expected.
    pub(super) fn are_due(&self) -> bool {
        let changed = |roster: &Roster| roster.edition() != self.looked;
        !self.outages.is_empty() && self.roster.as_ref().is_some_and(changed)
    }

    /// Those that have become known, and since when their trades may have been missed.
    fn arrived(&mut self) -> Vec<(Box<str>, Micros)> {
        let Some(roster) = self.roster.as_ref().filter(|_| self.are_due()) else {
            return Vec::new();
        };
        self.looked = roster.edition();
        let mut arrived = Vec::new();
        self.outages.retain(|currency, outage| {
            let asked = roster.asked(currency);
            for name in recorded(roster, currency, outage.since) {
                if outage.known.insert(name.clone()) {
                    arrived.push((name, outage.since));
                }
            }
            asked.is_none_or(|asked| asked < outage.until)
        });
        arrived
    }
}

/// The options of a currency that were recorded at any time since then, and may have been traded.
fn recorded(roster: &Roster, currency: &str, since: Micros) -> Vec<Box<str>> {
    let since = by_the_exchange(since);
    roster.recorded_since(since, |name| carries(currency, name, since))
}

impl Decoder {
    /// Asks for the trades of options that were listed during an outage, once they are known.
    pub(super) fn ask_for_latecomers(&mut self, now: Duration) {
        for (name, since) in self.latecomers.arrived() {
            self.missed_of(&name, since, now);
        }
    }
}
