//! How far a wish has come: the steward has planned it, and the exchange acknowledges it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::orders::{Outcome, Verb};
use super::overview::{Overview, Planned};
use crate::metrics::{self, State};
use crate::reader::Board;

/// A wish on its way.
#[derive(Debug)]
pub struct Progress {
    verb: Verb,
    /// What was wished of which instrument, in the order of the wish.
    outcomes: Vec<(String, Outcome)>,
    /// The changes of all boards that were seen, and the shards that are there.
    changes: Option<(u64, usize)>,
}

impl Progress {
    /// From what the steward has answered.
    #[must_use]
    pub fn new(verb: Verb, instruments: Vec<String>, outcomes: Vec<Outcome>) -> Self {
        Self { verb, outcomes: std::iter::zip(instruments, outcomes).collect(), changes: None }
    }

    /// Looks at what the plan wants now, and at what is acknowledged to each of its shards.
    pub fn look<'a>(
        &mut self,
        overview: &Overview,
        shards: impl Iterator<Item = (&'a Board, &'a metrics::Line)> + Clone,
    ) {
        let changes = shards.clone().map(|(board, _)| board.changes()).sum();
        let there = shards.clone().filter(|(_, meters)| is_there(meters)).count();
        if self.changes.replace((changes, there)) == Some((changes, there)) {
            return;
        }
        let shown = Shown::new(overview, shards);
        for (name, outcome) in &mut self.outcomes {
            if *outcome == Outcome::Planned && shown.is(&self.verb, name) {
                *outcome = Outcome::Done;
            }
        }
    }

    /// Whether there is nothing left to wait for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| *outcome != Outcome::Planned)
    }

    /// What has become of every instrument, in the order of the wish.
    #[must_use]
    pub fn outcomes(self) -> Vec<(String, Outcome)> {
        self.outcomes
    }
}

/// What the exchange has acknowledged, beside what the plan wants: instruments.
struct Shown {
    /// By shard: those that are to be there.
    planned: BTreeMap<Arc<str>, BTreeSet<String>>,
    /// Not acknowledged, at least in part, where they are to be.
    lacking: BTreeSet<String>,
    /// Acknowledged, at least in part, where they are not to be.
    stray: BTreeSet<String>,
    /// Acknowledged, at least in part, anywhere.
    heard: BTreeSet<String>,
}

impl Shown {
    fn new<'a>(
        overview: &Overview,
        shards: impl Iterator<Item = (&'a Board, &'a metrics::Line)>,
    ) -> Self {
        let (mut lacking, mut stray) = (BTreeSet::new(), BTreeSet::new());
        let (mut heard, mut planned) = (BTreeSet::new(), BTreeMap::new());
        for (it, (board, meters)) in overview.shards.iter().zip(shards) {
            let Planned { shard, goal, .. } = it;
            let shown = board.channels();
            planned.insert(Arc::clone(shard), owned(goal.instruments()));
            // What a recorder that does not answer had acknowledged may be so no longer.
            let certain = is_there(meters);
            let missing = goal.owned().filter(|(_, it)| !certain || !shown.contains(it));
            lacking.extend(missing.map(|(name, _)| name.to_owned()));
            let others = shown.owned().filter(|(_, channel)| !goal.contains(channel));
            stray.extend(others.map(|(name, _)| name.to_owned()));
            heard.extend(owned(shown.instruments()));
        }
        Self { planned, lacking, stray, heard }
    }

    /// Whether an instrument is as it was wished.
    fn is(&self, verb: &Verb, name: &str) -> bool {
        match verb {
            Verb::Pin => self.is_planned(name) && !self.lacking.contains(name),
            Verb::Exclude => !self.heard.contains(name),
            Verb::Move(shard) => {
                let there = self.planned.get(&**shard).is_some_and(|it| it.contains(name));
                there && !self.lacking.contains(name) && !self.stray.contains(name)
            }
        }
    }

    fn is_planned(&self, name: &str) -> bool {
        self.planned.values().any(|names| names.contains(name))
    }
}

/// Whether a shard's connection is there, and its recorder answers.
fn is_there(meters: &metrics::Line) -> bool {
    meters.state() != State::Connecting
}

fn owned(names: BTreeSet<&str>) -> BTreeSet<String> {
    names.into_iter().map(String::from).collect()
}
