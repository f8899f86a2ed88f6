//! What has happened to every option, each fact told once: the rows of `lifecycle_events`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schema::Instrument;
use schema::instrument::Shape;

use crate::ChannelSet;
use crate::plan::instrument;

/// Tells facts from states: what is true now and was not told yet has happened.
///
/// It is about options alone, as the predecessor's table is. An option is subscribed when every
/// channel that is to carry it is acknowledged: its own ones, or the one of all options of its
/// currency where it has none of its own. Connections that come and go, and options that move from
/// one shard to another, change nothing of that.
///
/// Invariant: of an option, listed and expired are told by turns, and so are added and removed,
/// over restarts too where [`new`](Self::new) is given what was told before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chronicle {
    listed: BTreeSet<String>,
    /// The shard that was told.
    subscribed: BTreeMap<String, Arc<str>>,
}

/// A shard: what it is to listen to, and what the exchange has acknowledged.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub shard: Arc<str>,
    /// What it is to listen to.
    pub goal: ChannelSet,
    /// What the exchange has acknowledged and was not asked to let go.
    pub acknowledged: ChannelSet,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What.
    pub happened: Happened,
    /// To which option.
    pub instrument: String,
    /// The shard that listens, or did.
    pub shard: Option<Arc<str>>,
}

/// The kinds of [`Fact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The exchange lists it.
    Listed,
    /// It is over: expired, or gone from the exchange's lists.
    Expired,
    /// All that is wanted of it is acknowledged.
    Added,
    /// Nothing of it is wanted or listened to any more.
    Removed,
}

impl Happened {
    /// The word in `lifecycle_events.event_type`, which is the predecessor's.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Listed => "instrument_listed",
            Self::Expired => "instrument_expired",
            Self::Added => "subscription_added",
            Self::Removed => "subscription_removed",
        }
    }
}

impl Fact {
    fn new(happened: Happened, instrument: &str, shard: Option<Arc<str>>) -> Self {
        Self { happened, instrument: instrument.to_owned(), shard }
    }
}

impl Chronicle {
    /// What was told before and not taken back: options listed, and options subscribed with the
    /// shard that was named.
    #[must_use]
    pub fn new(listed: BTreeSet<String>, subscribed: BTreeMap<String, Arc<str>>) -> Self {
        Self { listed, subscribed }
    }

    /// The options that were told as listed.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        self.listed.iter().map(String::as_str)
    }

    /// The exchange lists an instrument.
    pub fn appeared(&mut self, name: &str) -> Option<Fact> {
        let new = is_option(name) && self.listed.insert(name.to_owned());
        new.then(|| Fact::new(Happened::Listed, name, None))
    }

    /// An instrument is over.
    pub fn ended(&mut self, name: &str) -> Option<Fact> {
        self.listed.remove(name).then(|| Fact::new(Happened::Expired, name, None))
    }

    /// Compares what is wanted with what is acknowledged. `recorded` are the instruments to record,
    /// with the currency under which each is listed.
    pub fn heard<'a>(
        &mut self,
        listeners: &[Listener],
        recorded: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Vec<Fact> {
        let own = own(listeners);
        let all = all(listeners);
        let mut wanted = BTreeSet::new();
        let mut facts = Vec::new();
        for (name, currency) in recorded.filter(|(name, _)| is_option(name)) {
            let Some(carried) = own.get(name).or_else(|| all.get(currency)) else { continue };
            wanted.insert(name);
            if carried.acknowledged && !self.subscribed.contains_key(name) {
                self.subscribed.insert(name.to_owned(), Arc::clone(carried.shard));
                facts.push(Fact::new(Happened::Added, name, Some(Arc::clone(carried.shard))));
            }
        }
        let gone = |name: &str| {
            !wanted.contains(name)
                && !listeners
                    .iter()
                    .any(|it| it.acknowledged.iter().any(|it| instrument(it) == name))
        };
        self.subscribed.retain(|name, shard| {
            let gone = gone(name);
            if gone {
                facts.push(Fact::new(Happened::Removed, name, Some(Arc::clone(shard))));
            }
            !gone
        });
        facts
    }
}

/// How an option, or all options of a currency, are listened to.
struct Carried<'a> {
    shard: &'a Arc<str>,
    /// Every channel is acknowledged.
    acknowledged: bool,
}

/// The instruments that have channels of their own, by name.
fn own(listeners: &[Listener]) -> BTreeMap<&str, Carried<'_>> {
    carried(listeners, |channel| Some(instrument(channel)).filter(|name| is_option(name)))
}

/// The currencies of whose options one channel carries all.
fn all(listeners: &[Listener]) -> BTreeMap<&str, Carried<'_>> {
    carried(listeners, |channel| {
        let mut parts = channel.split('.').skip(1);
        parts.next().filter(|kind| *kind == "option").and_then(|_| parts.next())
    })
}

fn carried<'a>(
    listeners: &'a [Listener],
    key: impl Fn(&'a str) -> Option<&'a str>,
) -> BTreeMap<&'a str, Carried<'a>> {
    let mut carried: BTreeMap<&str, Carried<'_>> = BTreeMap::new();
    for Listener { shard, goal, acknowledged } in listeners {
        for channel in goal.iter() {
            let Some(key) = key(channel) else { continue };
            let entry = carried.entry(key).or_insert(Carried { shard, acknowledged: true });
            entry.acknowledged &= acknowledged.contains(channel);
        }
    }
    carried
}

fn is_option(name: &str) -> bool {
    matches!(Instrument::parse(name).shape, Shape::Option { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "BTC-6OCT26-86000-C";
    const PUT: &str = "BTC-6OCT26-86000-P";
    const PERPETUAL: &str = "BTC-PERPETUAL";

    fn listener(shard: &str, goal: &[&str], acknowledged: &[&str]) -> Listener {
        let set = |channels: &[&str]| channels.iter().copied().collect();
        Listener { shard: shard.into(), goal: set(goal), acknowledged: set(acknowledged) }
    }

    fn recorded() -> impl Iterator<Item = (&'static str, &'static str)> {
        [(CALL, "BTC"), (PUT, "BTC"), (PERPETUAL, "BTC")].into_iter()
    }

    fn words(facts: &[Fact]) -> Vec<(&str, &str, &str)> {
        let word = |fact: &Fact| fact.happened.word();
        let of = |fact| (word(fact), &*fact.instrument, fact.shard.as_deref().unwrap_or(""));
        facts.iter().map(of).collect()
    }

    fn of(call: &str, channel: &str) -> String {
        format!("{channel}.{call}.100ms")
    }

    #[test]
    fn listed_and_expired_are_told_by_turns_and_of_options_alone() {
        let mut chronicle = Chronicle::default();
        assert_eq!(chronicle.appeared(PERPETUAL), None);
        assert_eq!(chronicle.ended(CALL), None, "nobody was told of it");
        for _ in 0..2 {
            let fact = chronicle.appeared(CALL).unwrap();
            assert_eq!(fact.happened, Happened::Listed);
            assert_eq!(chronicle.appeared(CALL), None);
            assert_eq!(chronicle.listed().collect::<Vec<_>>(), [CALL]);
            assert_eq!(chronicle.ended(CALL).unwrap().happened, Happened::Expired);
            assert_eq!(chronicle.ended(CALL), None);
        }
    }

    #[test]
    fn added_is_told_once_whatever_connections_do() {
        let (quotes, book) = (of(CALL, "ticker"), of(CALL, "book"));
        let both = [&*quotes, &*book];
        let mut chronicle = Chronicle::default();
        let mut heard = |listeners: &[Listener]| chronicle.heard(listeners, recorded());
        assert_eq!(heard(&[listener("a", &both, &[])]), []);
        assert_eq!(heard(&[listener("a", &both, &[&quotes])]), [], "not all of it yet");
        let facts = heard(&[listener("a", &both, &both)]);
        assert_eq!(words(&facts), [("subscription_added", CALL, "a")]);
        assert_eq!(heard(&[listener("a", &both, &[])]), [], "a connection was lost");
        assert_eq!(heard(&[listener("a", &both, &both)]), [], "and is back");
        let moving = [listener("a", &[], &both), listener("b", &both, &[&book])];
        assert_eq!(heard(&moving), []);
        assert_eq!(heard(&[listener("b", &both, &both)]), [], "it has moved");
        assert_eq!(heard(&[listener("b", &[], &[&quotes])]), [], "it is still listened to");
        let facts = heard(&[listener("b", &[], &[])]);
        assert_eq!(words(&facts), [("subscription_removed", CALL, "a")]);
        assert_eq!(heard(&[listener("b", &[], &[])]), []);
    }

    #[test]
    fn a_channel_of_all_options_counts_where_there_is_no_other() {
        let (trades, quotes) = ("trades.option.BTC.100ms", of(CALL, "ticker"));
        let goal = [trades, &*quotes];
        let mut chronicle = Chronicle::default();
        let facts = chronicle.heard(&[listener("a", &goal, &[trades])], recorded());
        assert_eq!(words(&facts), [("subscription_added", PUT, "a")]);
        let facts = chronicle.heard(&[listener("a", &goal, &goal)], recorded());
        assert_eq!(words(&facts), [("subscription_added", CALL, "a")]);
        // What is recorded no longer is removed, although the channel goes on.
        let left = recorded().filter(|(name, _)| *name != PUT);
        let facts = chronicle.heard(&[listener("a", &goal, &goal)], left);
        assert_eq!(words(&facts), [("subscription_removed", PUT, "a")]);
    }

    #[test]
    fn what_was_told_before_a_restart_is_not_told_again() {
        let quotes = of(CALL, "ticker");
        let shard: Arc<str> = "a".into();
        let told = [(CALL.to_owned(), Arc::clone(&shard)), (PUT.to_owned(), shard)];
        let listed = [CALL, PUT].map(str::to_owned).into();
        let mut chronicle = Chronicle::new(listed, told.into());
        assert_eq!(chronicle.appeared(CALL), None);
        let goal = [&*quotes];
        let facts = chronicle.heard(&[listener("b", &goal, &goal)], recorded());
        assert_eq!(words(&facts), [("subscription_removed", PUT, "a")]);
    }
}
