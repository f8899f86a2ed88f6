//! What somebody wishes at a member's port, instrument by instrument, and what has to come of it.

use std::collections::{BTreeMap, BTreeSet};

use lifecycle::instrument;
use tapedeck::control::{Answer, Order, Outcome, Verb};
use tapedeck::recorder::steward::Steward;

use super::{NAMES, World};

/// A wish that somebody waits for.
#[derive(Debug)]
pub(super) struct Asked {
    until: u64,
    answer: Answer,
    verb: Verb,
    names: Vec<String>,
}

/// A wish that an instrument is recorded, or not.
#[derive(Debug)]
struct Wish {
    pin: bool,
    word: Word,
}

/// What whoever wished was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Nothing yet.
    None,
    /// It is so, or will be.
    Yes,
    /// Nothing was done.
    No,
    /// Nothing ever came: it may be so, or not.
    Never,
}

/// By instrument: what was wished of it, in order; one wish after the other.
#[derive(Debug, Default)]
pub(in super::super) struct Wishes(BTreeMap<String, Vec<Wish>>);

impl Wishes {
    fn waits(&self, name: &str) -> bool {
        let last = self.0.get(name).and_then(|all| all.last());
        last.is_some_and(|wish| wish.word == Word::None)
    }

    fn give(&mut self, name: &str, pin: bool) {
        let wish = Wish { pin, word: Word::None };
        self.0.entry(name.to_owned()).or_default().push(wish);
    }

    fn hear(&mut self, name: &str, word: Word) {
        let last = self.0.get_mut(name).and_then(|all| all.last_mut());
        last.expect("it was wished").word = word;
    }

    /// Whether it is certainly recorded, or certainly not, after all that was said; none if nobody
    /// can tell. Before the first wish it is recorded.
    fn is_wanted(&self, name: &str) -> Option<bool> {
        let mut wanted = Some(true);
        for wish in self.0.get(name).into_iter().flatten() {
            wanted = match wish.word {
                Word::Yes => Some(wish.pin),
                Word::No => wanted,
                Word::None | Word::Never => wanted.filter(|it| *it == wish.pin),
            };
        }
        wanted
    }
}

impl World {
    /// Whoever wished something hears what has become of it, or goes.
    pub(super) fn hear_answers(&mut self) {
        for mut asked in std::mem::take(&mut self.answers) {
            let outcomes = match asked.answer.try_recv() {
                Ok(outcomes) => outcomes,
                Err(_) if asked.until > self.now => {
                    self.answers.push(asked);
                    continue;
                }
                Err(_) => Vec::new(),
            };
            if matches!(asked.verb, Verb::Move(_)) {
                continue;
            }
            let mut outcomes = outcomes.into_iter();
            for name in &asked.names {
                let word = match outcomes.next() {
                    None => Word::Never,
                    Some(Outcome::Refused(_)) => Word::No,
                    Some(Outcome::Planned | Outcome::Done | Outcome::Already) => Word::Yes,
                };
                self.note(&format!("{:?} {name}: {word:?}", asked.verb));
                self.record.saw(match word {
                    Word::Yes => "a choice is made",
                    Word::No => "a choice is refused",
                    Word::None | Word::Never => "a choice is not answered",
                });
                self.record.wishes.hear(name, word);
            }
        }
    }

    /// Some options of other shards are to go to one of the same currency.
    pub(super) fn relocate(&mut self, at: usize) -> Option<String> {
        let overview = self.managing.as_ref()?.published.look();
        let currency = self.random.pick(&["btc-options-", "eth-options-"]);
        let of = overview.shards.iter().filter(|it| it.shard.starts_with(currency));
        let shards: Vec<_> = of.collect();
        let to = shards[self.random.below(shards.len())].shard.to_string();
        let others = shards.iter().filter(|it| *it.shard != *to);
        let names = others.flat_map(|it| it.goal.instruments());
        let chosen = 1 + self.random.below(4);
        let names: Vec<String> =
            names.filter(|_| self.random.below(4) < chosen).map(String::from).collect();
        let words = format!("{} options to {to}, at {}", names.len(), NAMES[at]);
        self.wish(at, Verb::Move(to), names).then_some(words)
    }

    /// A few options are not to be recorded any more, or again.
    pub(super) fn choose(&mut self, at: usize) -> Option<String> {
        let overview = self.managing.as_ref()?.published.look();
        let goals = overview.shards.iter().filter(|it| it.shard.contains("-options-"));
        let recorded: BTreeSet<&str> = goals.flat_map(|it| it.goal.instruments()).collect();
        let wishes = &self.record.wishes;
        let verb = if self.random.below(2) == 0 { Verb::Exclude } else { Verb::Pin };
        let all: Vec<&str> = match verb {
            Verb::Exclude => recorded.into_iter().collect(),
            _ => wishes.0.keys().map(String::as_str).collect(),
        };
        let free: Vec<&str> = all.into_iter().filter(|name| !wishes.waits(name)).collect();
        let some = (0..3).filter(|_| !free.is_empty());
        let mut names: BTreeSet<&str> = some.map(|_| free[self.random.below(free.len())]).collect();
        if verb == Verb::Exclude && self.random.below(4) == 0 {
            // All of a currency, whose trades go with them.
            let currency = self.random.pick(&["BTC-", "ETH-"]);
            names = free.into_iter().filter(|it| it.starts_with(currency)).collect();
        }
        let names: Vec<String> = names.into_iter().map(String::from).collect();
        let words = format!("{verb:?} {names:?}, at {}", NAMES[at]);
        self.wish(at, verb, names).then_some(words)
    }

    /// Whether it was taken.
    fn wish(&mut self, at: usize, verb: Verb, names: Vec<String>) -> bool {
        let (order, answer) = Order::new(verb.clone(), names.clone());
        let orders = self.members[at].orders.as_ref().filter(|_| !names.is_empty());
        if !orders.is_some_and(|orders| orders.give(order)) {
            return false;
        }
        if matches!(verb, Verb::Pin | Verb::Exclude) {
            let pin = verb == Verb::Pin;
            names.iter().for_each(|name| self.record.wishes.give(name, pin));
        }
        self.answers.push(Asked { until: self.now + PATIENCE_US, answer, verb, names });
        true
    }

    /// Channels that the lifecycle wants no more were given up by the exchange, or by somebody.
    pub(super) fn check_dropped(&self, dropped: &[String]) {
        if dropped.is_empty() {
            return;
        }
        let (open, over) = (self.venue.instruments(), self.venue.expired());
        let given_up =
            |name: &str| self.record.wishes.is_wanted(name) != Some(true) || over.contains(name);
        for channel in dropped {
            let right = match channel.strip_prefix("trades.option.") {
                // All options of a currency.
                Some(rest) => {
                    let of = rest.split('.').next().unwrap_or_default();
                    let options = open.iter().filter(|it| is_option(it) && it.starts_with(of));
                    // One that was listed a moment ago may not be known yet.
                    let known = |name: &String| self.record.knows(name);
                    options.filter(|name| known(name)).all(|name| given_up(name))
                }
                None => given_up(instrument(channel)),
            };
            assert!(right, "nobody said that {channel} is not wanted");
        }
    }

    /// Options that are open and not wanted, or wanted though somebody excluded them.
    pub(super) fn misplanned(&self, steward: &Steward) -> Vec<String> {
        let mut planned: BTreeMap<String, usize> = BTreeMap::new();
        for (_, swap) in steward.swaps() {
            for name in swap.goal.instruments() {
                *planned.entry(name.to_owned()).or_default() += 1;
            }
        }
        let mut words = Vec::new();
        for name in self.venue.instruments() {
            let shards = planned.get(&name).copied().unwrap_or(0);
            let wanted = self.record.wishes.is_wanted(&name);
            if is_option(&name) && wanted.is_some_and(|wanted| shards != usize::from(wanted)) {
                words.push(format!("{name} is wanted {wanted:?} and planned for {shards} shards"));
            }
        }
        words
    }
}

fn is_option(name: &str) -> bool {
    name.ends_with("-C") || name.ends_with("-P")
}

/// `ACKNOWLEDGED_MAX` of the control API.
const PATIENCE_US: u64 = 10_000_000;
