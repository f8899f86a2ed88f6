//! Whether the recorder is well, with reasons: judged from facts, again and again.

use std::sync::Arc;
use std::time::Duration;

use schema::{Micros, Now};

use crate::metrics::State;

/// What is known at one instant.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The shards, always the same ones in the same order.
    pub(super) shards: Vec<Shard>,
    /// Up to when everything received is durable; `None` before the first sync.
    pub(super) through: Option<Micros>,
    /// How often the journal is synced.
    pub(super) sync_interval: Duration,
    /// The journal's last durable record.
    pub(super) durable: u64,
    /// How full the queue to the journal is, percent.
    pub(super) queue_pct: f64,
    /// The sinks, always the same ones in the same order.
    pub(super) sinks: Vec<Sink>,
    /// Whether something has failed for good, so that the recorder is ending.
    pub(super) troubled: bool,
}

/// A shard at one instant.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    /// What its connection is doing.
    pub(super) state: State,
    /// Channels that it is to listen to.
    pub(super) goal: u64,
    /// Channels that the exchange has acknowledged.
    pub(super) acknowledged: u64,
    /// Channels that it has refused.
    pub(super) refused: u64,
    /// When the newest message came.
    pub(super) last_message: Option<Micros>,
    /// The newest trouble.
    pub(super) trouble: Option<String>,
}

/// A sink at one instant.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    /// Its name.
    pub(super) name: String,
    /// Up to which record it has taken what it was given.
    pub(super) accepted: u64,
}

/// What was judged: reasons why something is not well; none where all is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Of the whole recorder.
    pub(super) common: Vec<String>,
    /// Of each shard alone.
    pub(super) shards: Vec<Vec<String>>,
    /// Whether every channel that the exchange grants is acknowledged.
    pub(super) ready: bool,
}

impl Health {
    /// Every reason that concerns a shard.
    #[must_use]
    pub(super) fn of_shard(&self, shard: usize) -> Vec<String> {
        let own = self.shards.get(shard).into_iter().flatten();
        own.chain(&self.common).cloned().collect()
    }

    /// Every reason, those of a shard with its name.
    #[must_use]
    pub(super) fn all(&self, names: &[Arc<str>]) -> Vec<String> {
        let named = |(name, reasons): (&Arc<str>, &Vec<String>)| {
            reasons.iter().map(|reason| format!("{name}: {reason}")).collect::<Vec<_>>()
        };
        let own = names.iter().zip(&self.shards).flat_map(named);
        own.chain(self.common.iter().cloned()).collect()
    }
}

/// What reasons, or none, amount to.
pub(super) fn word(reasons: &[String]) -> &'static str {
    if reasons.is_empty() { "healthy" } else { "unhealthy" }
}

/// Remembers since when things are as they are.
#[derive(Debug, Default)]
pub(super) struct Watch {
    started: Option<Now>,
    /// Since when each shard lacks channels that were not refused, on the monotonic clock.
    lacking: Vec<Option<Duration>>,
    /// What each sink had taken, and since when it stands there behind the journal.
    standing: Vec<(u64, Option<Duration>)>,
}

impl Watch {
    /// Judges what is known now.
    pub(super) fn look(&mut self, facts: &Facts, now: Now) -> Health {
        let started = *self.started.get_or_insert(now);
        self.lacking.resize(facts.shards.len(), None);
        self.standing.resize(facts.sinks.len(), (0, None));
        let shards = facts.shards.iter().zip(&mut self.lacking);
        let shards = shards.map(|(shard, lacking)| shard.judge(lacking, now)).collect();
        let mut common = Vec::new();
        if facts.troubled {
            common.push("something has failed for good, the recorder is ending".to_owned());
        }
        let through = facts.through.unwrap_or(started.utc);
        let late = now.utc.since(through);
        if late > STUCK_MAX.saturating_add(facts.sync_interval) {
            let seconds = late.as_secs();
            common.push(format!("the journal is stuck: nothing was made durable for {seconds} s"));
        }
        if facts.queue_pct >= QUEUE_PCT_MAX {
            common.push(format!("the queue to the journal is {:.0} % full", facts.queue_pct));
        }
        for (sink, standing) in facts.sinks.iter().zip(&mut self.standing) {
            common.extend(sink.judge(standing, facts.durable, now));
        }
        let ready = facts.through.is_some() && facts.shards.iter().all(Shard::complete);
        Health { common, shards, ready }
    }
}

impl Shard {
    /// Nothing is lacking but what the exchange refuses.
    fn complete(&self) -> bool {
        self.goal == 0 || self.state == State::Recording
    }

    fn judge(&self, lacking: &mut Option<Duration>, now: Now) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.goal == 0 {
            return reasons;
        }
        let since = *lacking.get_or_insert(now.monotonic);
        match self.state {
            State::Connecting => {
                let words = self.trouble.as_deref().unwrap_or("the first attempt is under way");
                reasons.push(format!("not connected: {words}"));
            }
            State::Subscribing if now.monotonic.saturating_sub(since) > LACKING_MAX => {
                let Self { goal, acknowledged, .. } = self;
                reasons.push(format!("only {acknowledged} of {goal} channels are acknowledged"));
            }
            State::Subscribing | State::Recording => {}
        }
        if self.complete() {
            *lacking = None;
        }
        let silent = self.last_message.map(|at| now.utc.since(at));
        if let Some(silent) = silent.filter(|it| *it > SILENT_MAX && !self.is_connecting()) {
            reasons.push(format!("silent: no message for {} s", silent.as_secs()));
        }
        if self.refused > 0 {
            reasons.push(format!("the exchange refuses {} channels", self.refused));
        }
        reasons
    }

    fn is_connecting(&self) -> bool {
        self.state == State::Connecting
    }
}

impl Sink {
    fn judge(
        &self,
        (before, since): &mut (u64, Option<Duration>),
        durable: u64,
        now: Now,
    ) -> Option<String> {
        let moved = std::mem::replace(before, self.accepted) != self.accepted;
        if moved || self.accepted >= durable {
            *since = None;
        }
        if self.accepted >= durable {
            return None;
        }
        let stands = now.monotonic.saturating_sub(*since.get_or_insert(now.monotonic));
        (stands > STANDING_MAX).then(|| {
            let (name, behind) = (&self.name, durable - self.accepted);
            let seconds = stands.as_secs();
            format!("sink {name} has taken nothing for {seconds} s: {behind} records wait")
        })
    }
}

/// A connection speaks at least each 10 s, and is asked after 15 s.
const SILENT_MAX: Duration = Duration::from_secs(20);
/// A new listing is acknowledged within a second; a whole first subscription within ten.
const LACKING_MAX: Duration = Duration::from_secs(30);
const STUCK_MAX: Duration = Duration::from_secs(10);
const QUEUE_PCT_MAX: f64 = 90.0;
/// A database that restarts is away for a minute.
const STANDING_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
