//! What a recorder whose shards a lifecycle manages keeps for its next start.

use std::collections::BTreeMap;

use lifecycle::ChannelSet;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::recorder::State;

/// What a recorder's shards listen to by themselves when it starts, until a lifecycle speaks:
/// `DATA/state/goals.json`. A channel that a shard only holds is not among them.
#[derive(Debug)]
pub struct Goals(State);

/// What is kept.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// What each shard listens to.
    pub shards: BTreeMap<String, ChannelSet>,
    /// What recorders elsewhere have recorded last of channels that came from them: its digest,
    /// which the journal here does not know; until the instrument has expired.
    pub heard: BTreeMap<String, u128>,
}

impl Goals {
    /// Those of a data folder.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self(state)
    }

    /// What was kept.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self) -> Result<Kept, Failure> {
        Ok(self.0.read(GOALS, "what the shards listen to")?.unwrap_or_default())
    }

    /// Keeps this instead.
    ///
    /// # Errors
    /// When it cannot be written, in a sentence.
    pub fn write(&self, kept: &Kept) -> Result<(), String> {
        self.0.keep(GOALS, kept)
    }
}

const GOALS: &str = "goals.json";
