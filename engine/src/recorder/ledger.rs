//! What a lifecycle has told its shards: `DATA/state/plan.json`, so that its next run goes on from
//! there and moves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{ChannelSet, Handover};
use schema::Micros;
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::failure::{Failure, FailureKind};
use crate::fleet::News;

/// The file.
#[derive(Debug)]
pub struct Ledger(State);

/// What the shards were told.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What each shard had, without what it was to get and had not.
    #[serde(rename = "shards")]
    pub had: BTreeMap<String, ChannelSet>,
    /// Channels that had left the first shard and had not arrived at the second, in whose goal
    /// they are.
    pub left: Vec<(String, [String; 2])>,
    /// Channels that no shard was to have, each with the one that had it last, and knows of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former: BTreeMap<String, String>,
    /// Since when what is missing of those on their way may be, less what was under way, µs UTC.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_at: BTreeMap<String, Micros>,
    /// Channels of which something may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
    /// When that was so, µs UTC.
    pub at: Micros,
}

/// What may be missing of a channel: a process began anew while it was on its way, or nobody was to
/// have it before.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// The channel.
    pub channel: String,
    /// The shard that was to have it.
    pub shard: Arc<str>,
    /// From when on, µs UTC.
    pub since: Micros,
    /// Up to when; none while it has not arrived.
    pub until: Option<Micros>,
    /// When this run has written the gap, on the monotonic clock.
    #[serde(skip)]
    pub named: Option<Duration>,
}

impl Told {
    /// What a recorder says that it was told, to a lifecycle that knows nothing.
    ///
    /// # Errors
    /// When another one has said the same of one of its shards.
    pub fn hear(&mut self, url: &str, news: &News) -> Result<(), Failure> {
        for shard in &news.shards {
            let keeps = shard.keeps.clone().unwrap_or_default();
            if self.had.insert(shard.name.clone(), keeps).is_some() {
                let sentence = format!("{url} has shard {}, and another one too", shard.name);
                return Err(Failure::new(FailureKind::Usage, sentence));
            }
        }
        for passing in news.passages.iter().filter(|it| it.leaves && !it.over) {
            let ends = [passing.from.clone(), passing.to.clone()];
            self.left.push((passing.channel.clone(), ends));
        }
        Ok(())
    }

    /// When all have spoken.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.left.sort_unstable();
        self.left.dedup();
        for (channel, [_, to]) in &self.left {
            self.had.entry(to.clone()).or_default().insert(channel.clone());
        }
        self
    }
}

impl Ledger {
    /// That of a data folder.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self(state)
    }

    /// What was told; none if nothing ever was.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self) -> Result<Option<Told>, Failure> {
        self.0.read(FILE, "what the shards were told")
    }

    /// Keeps what the shards are told next.
    ///
    /// # Errors
    /// When it cannot be written, in a sentence: then they are not to be told.
    pub fn write(
        &self,
        handover: &Handover,
        (left_at, broken): (&BTreeMap<String, Micros>, &[Broken]),
        at: Micros,
    ) -> Result<(), String> {
        let shards = handover.swaps().map(|(shard, swap)| (shard.to_string(), swap.goal));
        let former = handover.former();
        let mut told = Told {
            had: shards.collect(),
            left: Vec::new(),
            former: former.map(|(channel, shard)| (channel.into(), shard.into())).collect(),
            left_at: left_at.clone(),
            broken: broken.to_vec(),
            at,
        };
        for moving in handover.moves() {
            let (channel, ends) = (moving.channel.to_owned(), [moving.from, moving.to]);
            match moving.leaves {
                true => told.left.push((channel, ends.map(String::from))),
                false => {
                    let to = told.had.get_mut(moving.to);
                    let _ = to.is_some_and(|to| to.remove(&channel));
                }
            }
        }
        self.0.keep(FILE, &told)
    }
}

const FILE: &str = "plan.json";
