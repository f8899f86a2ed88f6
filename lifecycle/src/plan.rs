//! How the channels are dealt out to the shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ChannelSet;

/// Which shard listens to which channels. A plan is never changed: the next one replaces it.
///
/// Invariants, asserted where a plan is made: every channel is in exactly one shard; no shard has
/// more than its capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    generation: u64,
    shards: Vec<Shard>,
}

/// Shards that share a kind of channel: `btc-options` with 3 shards, for instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group's name; its shards are `NAME-0`, `NAME-1`, … or `NAME` where there is one.
    pub name: String,
    /// How many shards; at least one.
    pub shards: usize,
    /// Channels a shard may have; at least one.
    pub capacity: usize,
    /// What the group is to listen to.
    pub channels: ChannelSet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shard {
    name: Arc<str>,
    /// The group's name.
    group: Arc<str>,
    capacity: usize,
    channels: ChannelSet,
}

/// What one shard is to listen to from now on.
///
/// It names the goal and not the steps: those depend on what the exchange has acknowledged, which
/// only the connection knows. So a later swap may overtake an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The plan that the goal belongs to; a later plan has a higher number.
    pub generation: u64,
    /// The goal.
    pub goal: ChannelSet,
}

/// Channels for which a group has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The group.
    pub group: String,
    /// Channels that it was to listen to.
    pub wanted: usize,
    /// Channels for which it has room.
    pub room: usize,
}

impl std::fmt::Display for Overflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, wanted, room } = self;
        write!(f, "shard group {group} has room for {room} channels, not for {wanted}")
    }
}

impl std::error::Error for Overflow {}

/// Why instruments cannot be with a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Immovable {
    /// There is no such shard.
    NoShard(String),
    /// No shard has a channel of this instrument.
    NotRecorded(String),
    /// A channel that is the business of another group of shards.
    Group {
        /// The channel.
        channel: String,
        /// The group of the shard that it was to go to.
        group: String,
    },
    /// The shard has no room for all of them.
    Full {
        /// The shard.
        shard: String,
        /// Channels that it would have.
        wanted: usize,
        /// Channels that it may have.
        room: usize,
    },
}

impl std::fmt::Display for Immovable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoShard(shard) => write!(f, "there is no shard {shard}"),
            Self::NotRecorded(name) => write!(f, "no shard has a channel of {name}"),
            Self::Group { channel, group } => {
                write!(f, "{channel} is not for the shards of {group}")
            }
            Self::Full { shard, wanted, room } => {
                write!(f, "shard {shard} has room for {room} channels, not for {wanted}")
            }
        }
    }
}

impl std::error::Error for Immovable {}

impl Plan {
    /// The first plan: channels are dealt round in name order, so that the shards of a group
    /// differ by one channel at most.
    ///
    /// # Errors
    /// [`Overflow`] when a group's channels are more than its shards can hold.
    pub fn first(groups: &[Group]) -> Result<Self, Overflow> {
        let mut shards = Vec::new();
        for group in groups {
            assert!(group.shards > 0 && group.capacity > 0, "a group has room");
            let room = group.shards * group.capacity;
            if group.channels.len() > room {
                let (group, wanted) = (group.name.clone(), group.channels.len());
                return Err(Overflow { group, wanted, room });
            }
            shards.extend((0..group.shards).map(|shard| group.deal(shard)));
        }
        let plan = Self { generation: 1, shards };
        plan.assert_invariants();
        Ok(plan)
    }

    /// The first plan of shards that had these channels before, and of `former` ones, which nobody
    /// had any more, those: what is still wanted stays where it was, as in [`next`](Self::next).
    /// What two of them had stays with the first.
    #[must_use]
    pub fn resume(
        groups: &[Group],
        had: &BTreeMap<String, ChannelSet>,
        former: &BTreeMap<String, String>,
    ) -> (Self, Vec<Overflow>) {
        let mut shards = Vec::new();
        let mut placed = ChannelSet::default();
        for group in groups {
            for number in 0..group.shards {
                let name = group.shard_name(number);
                let had = had.get(&*name).into_iter().flat_map(|had| had.without(&placed));
                let channels: ChannelSet = had.collect();
                placed.extend(channels.iter());
                let (group, capacity) = (group.name.as_str().into(), group.capacity);
                shards.push(Shard { name, group, capacity, channels });
            }
        }
        let former = former.iter().map(|(channel, shard)| (stem(channel), &**shard));
        let last: BTreeMap<&str, &str> = former.chain(stems(had)).collect();
        Self { generation: 0, shards }.next(groups, |channel| last.get(stem(channel)).copied())
    }

    /// A channel of trades that the plan takes from a shard: which, from whom, to whom.
    #[must_use]
    pub fn moved_trades<'a>(
        &'a self,
        had: &'a BTreeMap<String, ChannelSet>,
    ) -> Option<(&'a str, &'a str, &'a str)> {
        let trades = stems(had).filter(|(it, _)| is_trades(it));
        let had: BTreeSet<(&str, &str)> = trades.collect();
        let before = |channel: &str| had.iter().find(|(it, _)| *it == stem(channel));
        self.shards.iter().find_map(|shard| {
            let strays = shard.channels.iter().filter(|it| !had.contains(&(stem(it), &shard.name)));
            let mut strays = strays.filter_map(|it| Some((it, before(it)?.1)));
            strays.next().map(|(channel, before)| (channel, before, &*shard.name))
        })
    }

    /// Its number: a later plan has a higher one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many channels each shard may have, in their order.
    pub fn capacities(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
        self.shards.iter().map(|shard| shard.capacity)
    }

    /// The shards' names and what each is to listen to, in their order. A shard without channels
    /// is among them.
    pub fn swaps(&self) -> impl Iterator<Item = (Arc<str>, Swap)> {
        self.shards.iter().map(|shard| {
            let swap = Swap { generation: self.generation, goal: shard.channels.clone() };
            (Arc::clone(&shard.name), swap)
        })
    }

    /// The plan that follows when the groups' channels have become these. What is still wanted
    /// stays where it is; what comes back goes to the shard that had it `last`, and trades do so
    /// even if another channel has to leave for them; what is new goes to the shard that listens to
    /// its instrument already; what is left goes to the emptiest one. Also the channels that found
    /// no room, by group: an alarm.
    ///
    /// The groups are those of the first plan; only their channels may differ.
    #[must_use]
    pub fn next<'a>(
        &self,
        groups: &[Group],
        last: impl Fn(&str) -> Option<&'a str>,
    ) -> (Self, Vec<Overflow>) {
        let mut shards = Vec::new();
        let mut overflows = Vec::new();
        let mut left = self.shards.as_slice();
        for group in groups {
            assert!(group.shards <= left.len(), "the groups are those of the first plan");
            let (old, rest) = left.split_at(group.shards);
            left = rest;
            let (new, homeless) = group.follow(old, &last);
            shards.extend(new);
            if homeless > 0 {
                let room = group.shards * group.capacity;
                let wanted = group.channels.len();
                overflows.push(Overflow { group: group.name.clone(), wanted, room });
            }
        }
        assert!(left.is_empty(), "the groups are those of the first plan");
        let plan = Self { generation: self.generation + 1, shards };
        plan.assert_invariants();
        (plan, overflows)
    }

    /// The plan in which the channels of these instruments are with that shard, the others where
    /// they were.
    ///
    /// # Errors
    /// [`Immovable`] where that cannot be.
    pub fn moving(&self, instruments: &BTreeSet<&str>, to: &str) -> Result<Self, Immovable> {
        let there = self.shards.iter().position(|shard| *shard.name == *to);
        let there = there.ok_or_else(|| Immovable::NoShard(to.to_owned()))?;
        let group = &self.shards[there].group;
        let mut shards = self.shards.clone();
        let mut found = BTreeSet::new();
        for (at, shard) in self.shards.iter().enumerate() {
            for (name, channel) in shard.channels.owned().filter(|it| instruments.contains(it.0)) {
                if shard.group != *group {
                    let (channel, group) = (channel.to_owned(), group.to_string());
                    return Err(Immovable::Group { channel, group });
                }
                shards[at].channels.remove(channel);
                shards[there].channels.insert(channel);
                found.insert(name);
            }
        }
        if let Some(name) = instruments.difference(&found).next() {
            return Err(Immovable::NotRecorded((*name).to_owned()));
        }
        let Shard { channels, capacity, .. } = &shards[there];
        if channels.len() > *capacity {
            let (shard, wanted, room) = (to.to_owned(), channels.len(), *capacity);
            return Err(Immovable::Full { shard, wanted, room });
        }
        let plan = Self { generation: self.generation + 1, shards };
        plan.assert_invariants();
        Ok(plan)
    }

    /// How many channels the plan gives to its shards.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.shards.iter().map(|shard| shard.channels.len()).sum()
    }

    fn assert_invariants(&self) {
        let all: ChannelSet = self.shards.iter().flat_map(|shard| shard.channels.iter()).collect();
        let dealt: usize = self.shards.iter().map(|shard| shard.channels.len()).sum();
        assert_eq!(all.len(), dealt, "every channel is in one shard");
        assert!(self.shards.iter().all(|shard| shard.channels.len() <= shard.capacity));
    }
}

impl Group {
    fn deal(&self, shard: usize) -> Shard {
        let channels = self.channels.iter().skip(shard).step_by(self.shards).collect();
        let (name, group) = (self.shard_name(shard), self.name.as_str().into());
        Shard { name, group, capacity: self.capacity, channels }
    }

    fn shard_name(&self, shard: usize) -> Arc<str> {
        match self.shards {
            1 => self.name.as_str().into(),
            _ => format!("{}-{shard}", self.name).into(),
        }
    }

    /// The group's shards after `old`, and how many channels found no room.
    fn follow<'a>(
        &self,
        old: &[Shard],
        last: impl Fn(&str) -> Option<&'a str>,
    ) -> (Vec<Shard>, usize) {
        let mut homes: BTreeMap<&str, usize> = BTreeMap::new();
        let mut shards: Vec<Shard> = Vec::with_capacity(old.len());
        let mut placed = ChannelSet::default();
        let had: ChannelSet = old.iter().flat_map(|shard| shard.channels.iter()).collect();
        let back: Vec<(&str, Option<&str>)> =
            self.channels.without(&had).map(|channel| (channel, last(channel))).collect();
        for (number, shard) in old.iter().enumerate() {
            assert_eq!(shard.name, self.shard_name(number), "a shard keeps its name");
            let stays = shard.channels.iter().filter(|channel| self.channels.contains(channel));
            let back = back.iter().filter(|(_, last)| *last == Some(&*shard.name));
            let mut own: Vec<&str> = stays.chain(back.map(|(channel, _)| *channel)).collect();
            // Those before the others, as nobody else knows which of them are recorded.
            own.sort_by_key(|channel| !is_trades(channel));
            let channels: ChannelSet = own.into_iter().take(self.capacity).collect();
            placed.extend(channels.iter());
            homes.extend(shard.channels.iter().map(|channel| (instrument(channel), number)));
            shards.push(Shard { capacity: self.capacity, channels, ..shard.clone() });
        }
        let mut homeless = 0;
        for channel in self.channels.without(&placed) {
            let home = homes.get(instrument(channel)).copied();
            let emptiest = || (0..shards.len()).min_by_key(|at| shards[*at].channels.len());
            let has_room = |at: &usize| shards[*at].channels.len() < self.capacity;
            match home.filter(has_room).or_else(emptiest).filter(has_room) {
                Some(at) => {
                    homes.insert(instrument(channel), at);
                    shards[at].channels.insert(channel);
                }
                None => homeless += 1,
            }
        }
        (shards, homeless)
    }
}

/// The stems of what shards had, each with its shard.
fn stems(had: &BTreeMap<String, ChannelSet>) -> impl Iterator<Item = (&str, &str)> {
    had.iter().flat_map(|(shard, had)| had.iter().map(move |channel| (stem(channel), &**shard)))
}

/// Whether a channel is of trades: of one instrument, or of all of a kind.
#[must_use]
pub fn is_trades(channel: &str) -> bool {
    channel.starts_with("trades.")
}

/// A channel without how often it is sent, which the configuration may have changed.
pub(crate) fn stem(channel: &str) -> &str {
    channel.rsplit_once('.').map_or(channel, |(stem, _)| stem)
}

/// What a channel is about: `BTC-PERPETUAL` of `ticker.BTC-PERPETUAL.100ms`. What is about a
/// whole currency is about itself.
#[must_use]
pub fn instrument(channel: &str) -> &str {
    let mut parts = channel.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some("option" | "future" | "any" | "state"), Some(_)) => channel,
        (Some(_), Some(name), _) => name,
        _ => channel,
    }
}

#[cfg(test)]
mod tests;
