//! What the processes are made of between which shards are spread: recorders that do what they are
//! told, and the lifecycle that tells them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::Told as Events;
use lifecycle::{ChannelSet, Group, Handover, Plan};
use schema::Now;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::ledger::{Ledger, Told};
use super::part::shard_names;
use super::steward::{self, Apart, Ties};
use crate::config::Config;
use crate::control::Published;
use crate::deribit::{Overheard, Roster};
use crate::failure::{Failure, FailureKind};
use crate::ferry::Ferry;
use crate::fleet::{Anew, Claims, Deputy, Desk, End, Goals, Kept, Parts, Passed, Relay};
use crate::reader::LineSetup;

/// What a recorder of these shards listens to until a lifecycle speaks: what it had.
#[must_use]
pub fn resumed(config: &Config, shards: &[String], kept: &Kept) -> Plan {
    let groups = config.shard_groups();
    let capacities = groups.iter().flat_map(|it| std::iter::repeat_n(it.capacity, it.count));
    let all: Vec<(String, usize)> = shard_names(config).into_iter().zip(capacities).collect();
    let own = all.into_iter().filter(|(name, _)| shards.contains(name));
    let mut seen = ChannelSet::default();
    let group = |(name, capacity): (String, usize)| {
        let had = kept.shards.get(&name).into_iter().flat_map(|had| had.without(&seen));
        let channels: ChannelSet = had.collect();
        seen.extend(channels.iter());
        // It may have had more for a moment: nobody is here who could say what it is to leave.
        Group { name, shards: 1, capacity: capacity.max(channels.len()), channels }
    };
    Plan::resume(&own.map(group).collect::<Vec<_>>(), &kept.shards, &BTreeMap::new()).0
}

/// Who does what a lifecycle says of a recorder's lines. They are those of a plan that was
/// [resumed] from what was kept, and not started yet.
#[must_use]
pub fn deputize(
    lines: &mut [LineSetup],
    plan: &Plan,
    kept: Kept,
    (goals, passed, published): (Goals, Passed, Published),
    now: Now,
) -> Deputy {
    let (ferry, overheard, roster) = steward::join(lines);
    let Kept { heard, .. } = kept;
    for line in &mut *lines {
        for (channel, last) in &heard {
            line.session.decoder_mut().heard_elsewhere(channel, *last, now);
        }
    }
    let goal = plan.swaps().map(|(_, swap)| swap.goal).zip(plan.capacities());
    Deputy::new(Parts {
        run: Uuid::new_v4().to_string(),
        shards: lines.iter().map(End::from).zip(goal).collect(),
        generation: plan.generation(),
        ferry,
        overheard,
        roster,
        goals,
        heard,
        published,
        passed,
    })
}

/// A lifecycle's side of recorders elsewhere.
#[derive(Debug)]
pub struct Remote {
    /// The shards' names in the plan's order.
    names: Vec<String>,
    all: Arc<BTreeMap<Arc<str>, End>>,
    /// The id of the lifecycle's journal, and how often it had been started before.
    manager: (String, u64),
    claims: Claims,
    ferry: Ferry<Box<RawValue>>,
    overheard: Overheard,
    roster: Roster,
    anew: Anew,
    desk: Desk,
}

impl Remote {
    /// Of all shards of a configuration.
    #[must_use]
    pub fn new(config: &Config, (manager, run): (&str, u64), desk: Desk) -> Self {
        let names = shard_names(config);
        let end = |name: &String| {
            let name: Arc<str> = name.as_str().into();
            (Arc::clone(&name), End::remote(name))
        };
        Self {
            all: Arc::new(names.iter().map(end).collect()),
            names,
            manager: (manager.to_owned(), run),
            claims: Claims::default(),
            ferry: Ferry::default(),
            overheard: Overheard::default(),
            roster: Roster::default(),
            anew: Anew::default(),
            desk,
        }
    }

    /// What speaks with the recorder at an address.
    #[must_use]
    pub fn relay(&self, url: &str) -> Relay {
        let manager = (&*self.manager.0, self.manager.1);
        let Self { all, claims, ferry, overheard, roster, anew, desk, .. } = self;
        Relay::new(manager, url, all, claims, ferry, (overheard, roster, anew, desk))
    }

    /// Whether every shard that was told to record is still one.
    ///
    /// # Errors
    /// When it is not: nobody would be asked for its channels.
    pub fn check(&self, told: &Told) -> Result<(), Failure> {
        let lost =
            |(shard, had): &(&String, &ChannelSet)| !had.is_empty() && !self.names.contains(shard);
        let Some((shard, had)) = told.had.iter().find(lost) else { return Ok(()) };
        let sentence = format!(
            "shard {shard} records {} channels and is not in the configuration: give it back, or \
             end all recorders and begin with new data folders",
            had.len()
        );
        Err(Failure::new(FailureKind::Usage, sentence))
    }

    /// The way of the shards from what they were told on to a plan of these groups.
    ///
    /// # Errors
    /// When there is no room for all channels, or trades would go to another shard.
    pub fn resume(
        &self,
        told: Told,
        groups: &[Group],
        ledger: Ledger,
        now: Duration,
    ) -> Result<(Handover, Apart), Failure> {
        let Told { had, left, former, left_at, broken, at } = told;
        let (plan, overflows) = Plan::resume(groups, &had, &former);
        if let Some(overflow) = overflows.into_iter().next() {
            return Err(Failure::new(FailureKind::Usage, overflow));
        }
        if let Some((channel, before, after)) = plan.moved_trades(&had) {
            let sentence = format_args!(
                "{channel} is with shard {before} and would go to {after}, where nobody knows \
                 which trades are recorded: configure the shards as before, or end all recorders \
                 and begin with new data folders"
            );
            return Err(Failure::new(FailureKind::Usage, sentence));
        }
        let mut handover = Handover::resume(plan, &had, &left, &self.ferry, now);
        handover.remember(&former);
        let anew = self.anew.clone();
        Ok((handover, Apart { ledger, anew, left_at, broken, told_at: at }))
    }

    /// The shards as they are watched from here, in the plan's order.
    #[must_use]
    pub fn ends(&self) -> Vec<End> {
        self.names.iter().filter_map(|name| self.all.get(&**name).cloned()).collect()
    }

    /// How a steward speaks with them. `told` is what was told of the options before.
    #[must_use]
    pub fn ties(&self, told: &Events) -> Ties {
        let ferry = Arc::new(self.ferry.clone());
        Ties::to(&self.ends(), ferry, (self.overheard.clone(), self.roster.clone()), told)
    }
}
