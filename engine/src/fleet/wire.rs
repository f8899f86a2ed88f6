//! What a lifecycle and a recorder say to each other.

use std::collections::BTreeMap;

use lifecycle::ChannelSet;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::control::{Outcome, Verb};
use crate::deribit::Word;
use crate::metrics::State;

/// What the lifecycle says to one recorder.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Brief {
    /// The lifecycle: the id of its journal.
    pub manager: String,
    /// Which of its runs: how often it had been started before. Each run counts anew.
    pub run: u64,
    /// Counts the briefs of a run: one that was delayed is not followed.
    pub number: u64,
    /// The recorder's run that it is for: what another one was told or has said is nothing to it.
    pub to: Option<String>,
    /// It only asks: it does not know yet what is to be.
    pub asks: bool,
    /// The newest goals, of shards that have not got them.
    pub goals: Vec<Goal>,
    /// Every passage from or to a shard of this recorder; others that it knows are over.
    pub passages: Vec<Passage>,
    /// What is recorded, unless the recorder has it.
    pub names: Option<Names>,
    /// What has become of wishes that the recorder still waits for, each with its number.
    pub answers: Vec<(u64, Vec<Outcome>)>,
    /// What of the recorder's news has arrived.
    pub seen: Seen,
}

/// What a shard is to listen to.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// The shard.
    pub shard: String,
    /// The goal's number within the lifecycle's run.
    pub generation: u64,
    /// The channels.
    pub channels: Vec<String>,
}

/// A channel's way from one shard to another.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The channel.
    pub channel: String,
    /// The passage's number within the lifecycle's run.
    pub number: u64,
    /// The shard that has it, or had it last.
    pub from: String,
    /// The shard that is to have it.
    pub to: String,
    /// Whether the first one notes what it records: what the second one has held before that,
    /// nobody can compare.
    pub watched: bool,
    /// Whether the first one is to let go.
    pub leaves: bool,
    /// Whether the recorder is to say what the first one knew.
    pub wanted: bool,
    /// What the first one knew, where that is of another recorder.
    pub estate: Option<Box<RawValue>>,
}

/// What is recorded, by whichever shard.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Counts the changes within the lifecycle's run.
    pub edition: u64,
    /// The instruments.
    pub names: Vec<String>,
    /// For each currency, when news were made that had arrived before its newest list was asked
    /// for: by the recorder's own clock, see [`News::at_us`].
    pub listed: BTreeMap<String, u64>,
}

/// What of a recorder's news has arrived.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The changes of each shard's acknowledged channels.
    pub boards: BTreeMap<String, u64>,
    /// The newest word.
    pub words: u64,
    /// The newest wish.
    pub wishes: u64,
}

/// What a recorder says.
#[derive(Debug, Deserialize, Serialize)]
pub struct News {
    /// The recorder's run: another one knows nothing of what this one was told.
    pub run: String,
    /// When these were made, microseconds on its monotonic clock.
    pub at_us: u64,
    /// Its shards.
    pub shards: Vec<Shard>,
    /// The passages that it knows.
    pub passages: Vec<Passing>,
    /// Which edition of the names it has; 0 for none.
    pub names: u64,
    /// What the exchange said of instruments since the last word that has arrived, numbered.
    pub words: Vec<(u64, Word)>,
    /// Wishes since the last one that has arrived.
    pub wishes: Vec<Wish>,
    /// The numbers of all wishes that are waited for.
    pub waits: Vec<u64>,
    /// How often words found no room.
    pub missed: u64,
    /// How often a channel of words has come back.
    pub returned: u64,
}

/// What somebody wishes of a recorder, which passes it on.
#[derive(Debug, Deserialize, Serialize)]
pub struct Wish {
    /// Counts the wishes of the recorder's run.
    pub number: u64,
    /// What.
    pub verb: Verb,
    /// Of which instruments.
    pub instruments: Vec<String>,
}

/// A shard.
#[derive(Debug, Deserialize, Serialize)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// The number of its goal; none if that is not of this lifecycle's run.
    pub generation: Option<u64>,
    /// What it listens to by itself after a restart; only to whoever asks.
    pub keeps: Option<ChannelSet>,
    /// The changes of what is acknowledged.
    pub changes: u64,
    /// What is acknowledged, unless that has arrived.
    pub acknowledged: Option<Vec<String>>,
    /// What its connection is doing.
    pub state: State,
    /// Channels of the goal that the exchange has refused.
    pub refused: u64,
    /// Messages, their bytes, rows, connections tried and lost.
    pub counts: [u64; 5],
    /// When the newest message came, µs UTC.
    pub last_message: Option<i64>,
    /// The newest trouble.
    pub trouble: Option<String>,
}

/// A passage, as a recorder sees it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Passing {
    /// The channel.
    pub channel: String,
    /// The passage's number.
    pub number: u64,
    /// The shard that has it, or had it last.
    pub from: String,
    /// The shard that is to have it.
    pub to: String,
    /// Whether the first one notes what it records.
    pub watched: bool,
    /// Whether the second one hears it.
    pub held: bool,
    /// Whether the first one was told to let go.
    pub leaves: bool,
    /// Whether the second one has gone on.
    pub over: bool,
    /// What the first one knew, where it is wanted.
    pub estate: Option<Box<RawValue>>,
}
