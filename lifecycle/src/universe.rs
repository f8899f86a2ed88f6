//! Every instrument that the exchange has spoken of, and which of them are to be recorded.
//!
//! Three voices are merged: lists (`get_instruments`), pushes (`instrument.state.…`) and trades in
//! instruments that neither has named. A list is as old as its question: what a push or a trade
//! has said since then stands. Every instant here is of our own clock, when something was asked or
//! received: the exchange's may be ahead of it or behind.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::Micros;

use crate::{Choices, State};

/// The instruments of one exchange.
///
/// Invariant: an instrument is recorded from the first word about it until it has ended, unless
/// somebody has excluded it. It ends once, and never because the exchange merely fell silent: a
/// final state, a list without it, or an hour after its expiry.
#[derive(Clone, Debug)]
pub struct Universe {
    known: BTreeMap<String, Known>,
    /// An instrument is recorded this long after its final state, its last ticks among them.
    linger: Duration,
    choices: Choices,
    changes: u64,
}

/// An entry of a list of instruments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The instrument's name.
    pub name: String,
    /// Its state; lists of 2021 have none.
    pub state: Option<State>,
    /// When it expires; missing for what never does.
    pub expires: Option<Micros>,
}

/// Something that became true of an instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The instrument.
    pub name: String,
    /// When we learned it.
    pub at: Micros,
    /// What.
    pub what: What,
}

/// The kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is to be recorded from now on.
    Appeared,
    /// Its state has changed.
    State(State),
    /// It is to be recorded no longer.
    Ended(Why),
}

/// Why an instrument has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its state is final.
    Final,
    /// It has expired and is no longer listed, or nothing was heard for an hour after expiry.
    Expired,
    /// It vanished from the exchange's lists before its time.
    Unlisted,
}

/// What is known of an instrument.
#[derive(Clone, Debug)]
struct Known {
    /// The currency under which the exchange lists it.
    currency: String,
    state: State,
    /// When the state was asked for or received; a word from before is old.
    heard: Micros,
    expires: Option<Micros>,
    /// Since when it is missing from every list.
    missing: Option<Micros>,
    ended: Option<Micros>,
}

impl Universe {
    /// Nothing known. `linger` is how long after its final state an instrument is still recorded.
    #[must_use]
    pub fn new(linger: Duration) -> Self {
        Self { known: BTreeMap::new(), linger, choices: Choices::default(), changes: 0 }
    }

    /// The instruments to record, with the currency under which each is listed, in name order.
    pub fn recorded(&self) -> impl Iterator<Item = (&str, &str)> {
        self.alive().filter(|(name, _)| !self.choices.is_excluded(name))
    }

    /// The instruments that have not ended, those among them that are excluded too.
    pub fn alive(&self) -> impl Iterator<Item = (&str, &str)> {
        let alive = self.known.iter().filter(|(_, known)| known.ended.is_none());
        alive.map(|(name, known)| (name.as_str(), known.currency.as_str()))
    }

    /// Counts the changes of [`recorded`](Self::recorded): equal means that nothing is new.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What was chosen instrument by instrument.
    #[must_use]
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// These are the choices from now on.
    pub fn choose(&mut self, choices: Choices) {
        if self.choices != choices {
            self.choices = choices;
            self.changes += 1;
        }
    }

    /// The state of an instrument, once anything was said of it.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<State> {
        self.known.get(name).map(|known| known.state)
    }

    /// Takes the list of a currency's open instruments, asked for at `asked`.
    pub fn list(&mut self, currency: &str, listed: &[Listed], asked: Micros) -> Vec<Event> {
        let mut events = Vec::new();
        let mut names: Vec<&str> = Vec::with_capacity(listed.len());
        for entry in listed {
            names.push(&entry.name);
            let state = entry.state.unwrap_or(State::Open);
            self.hear(&entry.name, currency, state, asked, &mut events);
            if let Some(known) = self.known.get_mut(&entry.name) {
                known.expires = entry.expires.or(known.expires);
                known.missing = None;
            }
        }
        names.sort_unstable();
        for (name, known) in &mut self.known {
            let absent = known.currency == currency && names.binary_search(&name.as_str()).is_err();
            // What was named after the question cannot be in its answer.
            if absent && known.ended.is_none() && known.heard < asked {
                let since = *known.missing.get_or_insert(asked);
                let expired = known.expires.is_some_and(|at| at.plus(self.linger) <= asked);
                let why = match expired {
                    true => Some(Why::Expired),
                    // One list may be incomplete; a later one says it again, or not.
                    false => (asked.since(since) >= MISSING_MIN).then_some(Why::Unlisted),
                };
                if let Some(why) = why {
                    self.changes += 1;
                    events.push(known.end(name, asked, why));
                }
            }
        }
        events
    }

    /// Takes the exchange's word, received at `at`, that an instrument has a state.
    pub fn push(&mut self, name: &str, currency: &str, state: State, at: Micros) -> Vec<Event> {
        let mut events = Vec::new();
        self.hear(name, currency, state, at, &mut events);
        events
    }

    /// Something was traded: an instrument of which nothing was known exists.
    pub fn traded(&mut self, name: &str, currency: &str, at: Micros) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.known.contains_key(name) {
            self.hear(name, currency, State::Open, at, &mut events);
        }
        events
    }

    /// Lets time pass: what has ended ends, and is forgotten a day later.
    pub fn tick(&mut self, now: Micros) -> Vec<Event> {
        let mut events = Vec::new();
        for (name, known) in self.known.iter_mut().filter(|(_, known)| known.ended.is_none()) {
            if known.ends_by(self.linger).is_some_and(|at| at <= now) {
                self.changes += 1;
                let why = if known.state.is_final() { Why::Final } else { Why::Expired };
                events.push(known.end(name, now, why));
            }
        }
        self.known.retain(|_, known| known.ended.is_none_or(|at| now.since(at) < FORGOTTEN));
        events
    }

    /// When [`tick`](Self::tick) has something to end; `None` while nothing has a time.
    #[must_use]
    pub fn deadline(&self) -> Option<Micros> {
        let alive = self.known.values().filter(|known| known.ended.is_none());
        alive.filter_map(|known| known.ends_by(self.linger)).min()
    }

    fn hear(
        &mut self,
        name: &str,
        currency: &str,
        state: State,
        at: Micros,
        events: &mut Vec<Event>,
    ) {
        let event = |what| Event { name: name.to_owned(), at, what };
        match self.known.get_mut(name) {
            // The first word about it is its last one: there is nothing to record.
            None if state.is_final() => {}
            None => {
                self.changes += 1;
                self.known.insert(name.to_owned(), Known::new(currency, state, at));
                events.push(event(What::Appeared));
            }
            Some(known) if known.heard > at => {}
            Some(known) => {
                known.heard = at;
                if known.state != state {
                    known.state = state;
                    events.push(event(What::State(state)));
                }
                if known.ended.is_some() && !state.is_final() {
                    // It trades after all: an error of the exchange, or ours.
                    known.ended = None;
                    known.missing = None;
                    self.changes += 1;
                    events.push(event(What::Appeared));
                }
            }
        }
    }
}

impl Known {
    fn new(currency: &str, state: State, heard: Micros) -> Self {
        let currency = currency.to_owned();
        Self { currency, state, heard, expires: None, missing: None, ended: None }
    }

    fn end(&mut self, name: &str, at: Micros, why: Why) -> Event {
        self.ended = Some(at);
        Event { name: name.to_owned(), at, what: What::Ended(why) }
    }

    fn ends_by(&self, linger: Duration) -> Option<Micros> {
        match self.state.is_final() {
            true => Some(self.heard.plus(linger)),
            // As long as the exchange goes on speaking of it, it is not over.
            false => self.expires.map(|at| at.max(self.heard).plus(EXPIRED_MAX)),
        }
    }
}

/// How long an instrument must be missing from the lists before it is believed to be gone.
const MISSING_MIN: Duration = Duration::from_secs(60);
/// Nobody says anything of an expired instrument for this long: it is over.
const EXPIRED_MAX: Duration = Duration::from_hours(1);
/// A late word about an instrument that has ended finds it for this long.
const FORGOTTEN: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests;
