//! How the channels are dealt out to the shards.

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

    /// The shards' names and what each is to listen to, in their order. A shard without channels
    /// is among them.
    pub fn swaps(&self) -> impl Iterator<Item = (Arc<str>, Swap)> {
        self.shards.iter().map(|shard| {
            let swap = Swap { generation: self.generation, goal: shard.channels.clone() };
            (Arc::clone(&shard.name), swap)
        })
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
        let name = match self.shards {
            1 => self.name.clone(),
            _ => format!("{}-{shard}", self.name),
        };
        let channels = self.channels.iter().skip(shard).step_by(self.shards).collect();
        Shard { name: name.into(), capacity: self.capacity, channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, shards: usize, capacity: usize, channels: &str) -> Group {
        let channels = channels.split_whitespace().collect();
        Group { name: name.into(), shards, capacity, channels }
    }

    #[track_caller]
    fn check(groups: &[Group], expected: &str) {
        let shown: Vec<String> = Plan::first(groups)
            .expect("room")
            .swaps()
            .map(|(name, swap)| {
                format!("{name}: {}", swap.goal.iter().collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(shown.join(", "), expected);
    }

    #[test]
    fn channels_are_dealt_evenly() {
        check(&[group("btc", 2, 2, "a b c")], "btc-0: a c, btc-1: b");
        check(&[group("btc", 1, 2, "a"), group("eth", 1, 1, "b")], "btc: a, eth: b");
    }

    #[test]
    fn what_finds_no_room_is_said() {
        let error = Plan::first(&[group("btc", 2, 1, "a b c")]).unwrap_err();
        assert_eq!(error.to_string(), "shard group btc has room for 2 channels, not for 3");
    }
}
