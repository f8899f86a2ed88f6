//! The way from one plan to the next: a channel that goes to another shard stays where it is until
//! it is heard there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use schema::Date;

use crate::choices::has_expired;
use crate::plan::{instrument, is_trades, stem};
use crate::{ChannelSet, Group, Overflow, Plan, Swap};

/// The goals of all shards, while channels go from one to another.
///
/// A channel that moves is in two goals for a moment: the giver begins to note what it records
/// ([`Crossings::is_watched`]); the taker subscribes and holds what it hears; only when the
/// exchange has acknowledged it there does the giver let go; what the giver knows of it then
/// crosses, and the taker goes on from there ([`Crossings::is_over`]).
///
/// Invariants: a channel of the plan that any shard had is in a goal at every moment; it is in two
/// only while it moves; a shard has more than its capacity only by what is about to leave it, or by
/// one channel where all wait for room.
#[derive(Clone, Debug)]
pub struct Handover {
    plan: Plan,
    /// The number of the newest swaps.
    generation: u64,
    shards: Vec<Arc<str>>,
    capacities: Vec<usize>,
    /// What each shard is to listen to at this moment.
    goals: Vec<ChannelSet>,
    moves: BTreeMap<String, Move>,
    /// The last shards of channels that are in no goal: what those know of them is still true.
    former: BTreeMap<String, usize>,
    /// Moves that were given up, and whose takers are to be told by their goals first.
    cancelled: BTreeSet<String>,
    /// Channels that their givers are to let go, once it is certain that these goals hold.
    released: BTreeSet<String>,
    /// Whether the goals may differ from the plan.
    behind: bool,
    /// Whether goals have changed and nobody was told yet.
    changed: bool,
    /// Whether the shards are in other processes.
    elsewhere: bool,
}

/// A channel on its way, as others see it.
#[derive(Clone, Copy, Debug)]
pub struct Moving<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Since when, on the monotonic clock.
    pub since: Duration,
    /// The shard that has it, or had it last.
    pub from: &'a str,
    /// The shard that is to have it.
    pub to: &'a str,
    /// Whether the first one has let go, or is to.
    pub leaves: bool,
    /// Whether nobody was to have it before: the second one takes it at once.
    pub returns: bool,
}

/// Where the shards' states meet: whoever gives a channel leaves what it knows of it there.
pub trait Crossings: std::fmt::Debug {
    /// A channel is about to go from one shard to another.
    fn announce(&self, channel: &str, from: &Arc<str>, to: &Arc<str>);
    /// It stays where it is.
    fn cancel(&self, channel: &str);
    /// The giver does not listen to it any more: there is nothing that it could record and not
    /// note.
    fn silent(&self, channel: &str);
    /// Whether the giver notes what it records of it.
    fn is_watched(&self, channel: &str) -> bool;
    /// Whether the taker hears it and holds what it hears.
    fn is_held(&self, channel: &str) -> bool;
    /// The taker has it, and the giver is to let go.
    fn let_go(&self, channel: &str);
    /// Whether the taker has gone on from what the giver left.
    fn is_over(&self, channel: &str) -> bool;
    /// The giver of a channel has begun anew after it was to let go: the taker is to forget what it
    /// holds, which nobody can compare any more.
    fn again(&self, channel: &str);
}

/// A channel on its way.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: usize,
    to: usize,
    stage: Stage,
    since: Duration,
    returns: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The giver is to note what it records, and the taker to have room.
    Announced,
    /// The taker is to hear it.
    Joining,
    /// The giver is to let go, and what it knows to cross.
    Leaving,
}

impl Handover {
    /// Every shard has what the plan gives it.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let (shards, goals) = plan.swaps().map(|(shard, swap)| (shard, swap.goal)).unzip();
        let capacities = plan.capacities().collect();
        let (generation, moves) = (plan.generation(), BTreeMap::new());
        let (former, cancelled, released) = Default::default();
        Self {
            plan,
            generation,
            shards,
            capacities,
            goals,
            moves,
            former,
            cancelled,
            released,
            behind: false,
            changed: false,
            elsewhere: false,
        }
    }

    /// The plan that is to be reached.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan that follows when the groups' channels have become these ([`Plan::next`]): what
    /// comes back goes to the shard that has it still, or had it last.
    #[must_use]
    pub fn next_plan(&self, groups: &[Group]) -> (Plan, Vec<Overflow>) {
        // Also if it was sent more or less often then.
        let trades = self.former.iter().filter(|(channel, _)| is_trades(channel));
        let trades: BTreeMap<&str, usize> = trades.map(|(it, shard)| (stem(it), *shard)).collect();
        let last = |channel: &str| {
            let has = self.goals.iter().position(|goal| goal.contains(channel));
            let had = || self.former.get(channel).or_else(|| trades.get(stem(channel))).copied();
            has.or_else(had).map(|at| &*self.shards[at])
        };
        self.plan.next(groups, last)
    }

    /// This plan is to be reached from now on; its shards are those of the first one.
    pub fn follow(&mut self, plan: Plan) {
        self.plan = plan;
        self.behind = true;
    }

    /// What every shard is to listen to at this moment, in the plan's order.
    pub fn swaps(&self) -> impl Iterator<Item = (Arc<str>, Swap)> {
        std::iter::zip(&self.shards, &self.goals).map(|(shard, goal)| {
            (Arc::clone(shard), Swap { generation: self.generation, goal: goal.clone() })
        })
    }

    /// Channels that are on their way.
    pub fn moves(&self) -> impl Iterator<Item = Moving<'_>> {
        self.moves.iter().map(|(channel, it)| Moving {
            channel,
            since: it.since,
            from: &self.shards[it.from],
            to: &self.shards[it.to],
            leaves: it.stage == Stage::Leaving,
            returns: it.returns,
        })
    }

    /// The way of a plan's shards in other processes that had these goals before, on to the plan.
    /// Channels of `left` had left their shards then and had not arrived at their new ones, in
    /// whose goals they are.
    #[must_use]
    pub fn resume(
        plan: Plan,
        had: &BTreeMap<String, ChannelSet>,
        left: &[(String, [String; 2])],
        crossings: &dyn Crossings,
        now: Duration,
    ) -> Self {
        let mut new = Self::new(plan);
        let goal = |shard: &Arc<str>| had.get(&**shard).cloned().unwrap_or_default();
        new.goals = new.shards.iter().map(goal).collect();
        let place = |name: &str| new.shards.iter().position(|shard| **shard == *name);
        for (channel, [from, to]) in left {
            let (Some(from), Some(to)) = (place(from), place(to)) else { continue };
            crossings.announce(channel, &new.shards[from], &new.shards[to]);
            crossings.let_go(channel);
            let (stage, returns) = (Stage::Leaving, false);
            new.moves.insert(channel.clone(), Move { from, to, stage, since: now, returns });
        }
        // Also what has not changed: nobody knows what arrived of it.
        (new.behind, new.changed, new.elsewhere) = (true, true, true);
        new
    }

    /// Channels that are in no goal, each with the shard that had it last.
    pub fn former(&self) -> impl Iterator<Item = (&str, &str)> {
        self.former.iter().map(|(channel, shard)| (&**channel, &*self.shards[*shard]))
    }

    /// These shards had these channels last, which nobody wanted then.
    pub fn remember(&mut self, former: &BTreeMap<String, String>) {
        for (channel, shard) in former {
            let shard = self.shards.iter().position(|it| **it == **shard);
            let has = self.goals.iter().any(|goal| goal.contains(channel));
            if let Some(shard) = shard.filter(|_| !has) {
                self.former.insert(channel.clone(), shard);
            }
        }
    }

    /// Forgets who had channels of instruments that have expired before this day: nobody will want
    /// them again.
    pub fn forget_expired(&mut self, today: Date) {
        self.former.retain(|channel, _| !has_expired(instrument(channel), today));
    }

    /// A shard has begun anew and knows of no move. One that it was to give or to take is given up,
    /// to be tried again; channels that have left already are told: they have to cross anew.
    /// Whether a goal has changed is seen by the next [`advance`](Self::advance).
    #[must_use]
    pub fn begun_anew(&mut self, shard: &str) -> Vec<String> {
        let concerns = |it: &Move| [it.from, it.to].iter().any(|at| *self.shards[*at] == *shard);
        let left = |it: &Move| it.stage == Stage::Leaving;
        let again = self.moves.iter().filter(|(_, it)| concerns(it) && left(it));
        let again = again.map(|(channel, _)| channel.clone()).collect();
        let given_up = self.moves.extract_if(.., |_, it| concerns(it) && !left(it));
        for (channel, it) in given_up {
            self.goals[it.to].remove(&channel);
            self.cancelled.insert(channel);
            self.behind = true;
            self.changed = true;
        }
        again
    }

    /// Goes on as far as it can. Whether the [swaps](Self::swaps) are new ones, to be left for the
    /// shards; in either case [`left`](Self::left) must follow. `heard` says whether the exchange
    /// has acknowledged a channel to a shard, and the journal knows it.
    pub fn advance(
        &mut self,
        crossings: &dyn Crossings,
        heard: impl Fn(&str, &str) -> bool,
        now: Duration,
    ) -> bool {
        if !self.behind && self.moves.is_empty() {
            return false;
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed |= self.step(crossings, &heard);
        if std::mem::take(&mut self.behind) {
            changed |= self.turn_to_plan(crossings, heard, now);
        }
        self.generation += u64::from(changed);
        changed
    }

    /// The newest swaps were left for all shards: whoever looks now cannot find older ones, and
    /// whoever decides goes on from them if it begins anew.
    pub fn left(&mut self, crossings: &dyn Crossings) {
        for channel in std::mem::take(&mut self.released) {
            crossings.let_go(&channel);
        }
        for channel in std::mem::take(&mut self.cancelled) {
            crossings.cancel(&channel);
        }
    }

    /// Takes every move a stage further that can be. Whether a goal has changed.
    fn step(&mut self, crossings: &dyn Crossings, heard: impl Fn(&str, &str) -> bool) -> bool {
        let mut changed = false;
        // Full shards that exchange channels would wait for each other for ever.
        let mut stuck = self.moves.values().all(|it| it.stage == Stage::Announced);
        for (channel, it) in &mut self.moves {
            let room = self.goals[it.to].len() < self.capacities[it.to] || stuck;
            match it.stage {
                Stage::Announced if room && crossings.is_watched(channel) => {
                    stuck = false;
                    self.goals[it.to].insert(channel);
                    it.stage = Stage::Joining;
                    changed = true;
                }
                Stage::Joining
                    if crossings.is_held(channel) && heard(&self.shards[it.to], channel) =>
                {
                    self.released.insert(channel.clone());
                    self.goals[it.from].remove(channel);
                    it.stage = Stage::Leaving;
                    changed = true;
                }
                Stage::Announced | Stage::Joining | Stage::Leaving => {}
            }
        }
        let before = self.moves.len();
        let over =
            |channel: &str, it: &Move| it.stage == Stage::Leaving && crossings.is_over(channel);
        self.moves.retain(|channel, it| !over(channel, it));
        self.behind |= self.moves.len() < before;
        changed
    }

    /// Gives up moves that the plan does not want, begins those that it wants, and brings the
    /// other channels where they belong at once. Whether a goal has changed.
    fn turn_to_plan(
        &mut self,
        crossings: &dyn Crossings,
        heard: impl Fn(&str, &str) -> bool,
        now: Duration,
    ) -> bool {
        let wanted = self.homes();
        let mut changed = false;
        let stays = |channel: &str, it: &Move| {
            it.stage == Stage::Leaving || wanted.get(channel) == Some(&it.to)
        };
        for (channel, it) in self.moves.extract_if(.., |channel, it| !stays(channel, it)) {
            changed |= self.goals[it.to].remove(&channel);
            self.cancelled.insert(channel);
        }
        let mut had = BTreeSet::new();
        for (shard, goal) in self.goals.iter_mut().enumerate() {
            let settled = goal.iter().filter(|channel| !self.moves.contains_key(*channel));
            let settled: Vec<String> = settled.map(str::to_owned).collect();
            for channel in settled {
                match wanted.get(&channel) {
                    Some(home) if *home == shard => {}
                    // Its last passage has to be closed first.
                    Some(_) if self.cancelled.contains(&channel) => self.behind = true,
                    Some(home) => {
                        crossings.announce(&channel, &self.shards[shard], &self.shards[*home]);
                        let (from, to, stage) = (shard, *home, Stage::Announced);
                        let new = Move { from, to, stage, since: now, returns: false };
                        self.moves.insert(channel.clone(), new);
                    }
                    None => {
                        changed |= goal.remove(&channel);
                        self.former.insert(channel.clone(), shard);
                    }
                }
                had.insert(channel);
            }
        }
        for (channel, home) in wanted {
            if had.contains(&channel) || self.moves.contains_key(&channel) {
                continue;
            }
            if self.cancelled.contains(&channel) {
                self.behind = true;
                continue;
            }
            // What is on its way out may still take room: nothing waits for that.
            changed |= self.goals[home].insert(&channel);
            if let Some(from) = self.former.remove(&channel).filter(|from| *from != home) {
                // Nobody has it, and whoever had it last knows what was recorded.
                crossings.announce(&channel, &self.shards[from], &self.shards[home]);
                self.released.insert(channel.clone());
                // What is known of a shard elsewhere may be old: it says itself what it notes.
                if !self.elsewhere && !heard(&self.shards[from], &channel) {
                    crossings.silent(&channel);
                }
                let (to, stage, returns) = (home, Stage::Leaving, true);
                self.moves.insert(channel, Move { from, to, stage, since: now, returns });
            }
        }
        changed
    }

    /// Where the plan wants each channel.
    fn homes(&self) -> BTreeMap<String, usize> {
        let goals = self.plan.swaps().map(|(_, swap)| swap.goal);
        let of = |(shard, goal): (usize, ChannelSet)| {
            goal.iter().map(|channel| (channel.to_owned(), shard)).collect::<Vec<_>>()
        };
        goals.enumerate().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests;
