//! What somebody has chosen instrument by instrument: taken from the control API, kept on the disk
//! and laid over the configuration.

use std::collections::BTreeSet;

use lifecycle::{Choices, Swap, is_trades};
use schema::Instrument;
use schema::instrument::Shape;
use tokio::sync::oneshot;

use super::Steward;
use crate::control::{Intake, Order, Outcome, Overview, Published, Verb};
use crate::recorder::choices::Keeping;
use crate::session::whose;

/// What somebody chooses instrument by instrument.
#[derive(Debug)]
pub struct Wishes {
    /// What was chosen before the start.
    pub choices: Choices,
    /// Where wishes come from.
    pub intake: Intake,
    /// Where choices are kept.
    pub keeping: Keeping,
    /// Where the outcome is shown.
    pub published: Published,
}

/// An order that was carried out and not answered yet.
pub(super) struct Answer {
    verb: Verb,
    outcomes: Vec<(String, Outcome)>,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl Steward {
    /// Takes every order that waits. The plan follows in the same turn, [`answer`](Self::answer)
    /// after it.
    pub(super) fn obey(&mut self) -> Vec<Answer> {
        let orders = std::iter::from_fn(|| self.wishes.intake.next());
        let orders: Vec<Order> = orders.collect();
        let mut answers = Vec::with_capacity(orders.len());
        if orders.is_empty() {
            return answers;
        }
        let planned = Overview::of_plan(self.handover.plan());
        let planned = planned.homes();
        for Order { verb, instruments, reply } in orders {
            let recorded = |name: &str| planned.contains_key(name);
            let outcomes = match &verb {
                Verb::Pin => self.choose(true, instruments, recorded),
                Verb::Exclude => self.choose(false, instruments, recorded),
                Verb::Move(shard) => self.relocate(shard, instruments),
            };
            answers.push(Answer { verb, outcomes, reply });
        }
        answers
    }

    /// Pins instruments, or excludes them, whether they were `recorded` before or not.
    fn choose(
        &mut self,
        pin: bool,
        instruments: Vec<String>,
        recorded: impl Fn(&str) -> bool,
    ) -> Vec<(String, Outcome)> {
        let mut choices = self.universe.choices().clone();
        let mut outcomes: Vec<(String, Outcome)> = Vec::with_capacity(instruments.len());
        for name in instruments {
            let outcome = match (pin, self.recordable(&name)) {
                (true, Err(why)) => Outcome::Refused(why),
                (false, Err(_)) => Outcome::Already,
                (_, Ok(())) => {
                    let _ = if pin { choices.pin(&name) } else { choices.exclude(&name) };
                    if recorded(&name) == pin { Outcome::Already } else { Outcome::Planned }
                }
            };
            outcomes.push((name, outcome));
        }
        if let Err(why) = self.keep(choices) {
            outcomes.iter_mut().for_each(|(_, outcome)| *outcome = Outcome::Refused(why.clone()));
        }
        outcomes
    }

    /// Lets a shard have instruments that others have; all of them or none. Until the next start,
    /// which deals them out anew.
    fn relocate(&mut self, shard: &str, instruments: Vec<String>) -> Vec<(String, Outcome)> {
        let planned = Overview::of_plan(self.handover.plan());
        let of = |here: bool| {
            let shards = planned.shards.iter().filter(move |it| (*it.shard == *shard) == here);
            shards.flat_map(|it| it.goal.instruments()).collect::<BTreeSet<&str>>()
        };
        let (here, elsewhere) = (of(true), of(false));
        let there = |name: &str| here.contains(name) && !elsewhere.contains(name);
        let already: BTreeSet<String> =
            instruments.iter().filter(|name| there(name)).cloned().collect();
        let unsettled = self.unsettled(shard);
        let moving = instruments.iter().map(String::as_str);
        let moving = moving.filter(|name| !already.contains(*name)).collect::<BTreeSet<&str>>();
        let trades = planned.shards.iter().flat_map(|it| it.goal.owned());
        let trades = trades.filter(|(_, channel)| is_trades(channel));
        let kept = trades.map(|(name, _)| name).find(|name| moving.contains(name));
        let moved = match kept.filter(|_| self.apart.is_some()) {
            Some(name) => Err(format!("the trades of {name} {STAY}")),
            None => self.handover.plan().moving(&moving, shard).map_err(|why| why.to_string()),
        };
        let refused = match moved {
            Ok(plan) => {
                tracing::info!("{} instruments are to go to {shard}", moving.len());
                self.handover.follow(plan);
                self.publish();
                None
            }
            Err(why) => Some(why),
        };
        let outcome = |name: String| {
            let outcome = match (&refused, already.contains(&name)) {
                (_, true) if unsettled.contains(&name) => Outcome::Planned,
                (_, true) => Outcome::Already,
                (Some(why), false) => Outcome::Refused(why.clone()),
                (None, false) => Outcome::Planned,
            };
            (name, outcome)
        };
        instruments.into_iter().map(outcome).collect()
    }

    /// Instruments that are on their way, or with other shards at this moment.
    fn unsettled(&self, shard: &str) -> BTreeSet<String> {
        let moves = self.handover.moves().map(|it| whose(it.channel).to_owned());
        let others = self.handover.swaps().filter(|(other, _)| **other != *shard);
        let owned = |(_, swap): (_, Swap)| {
            swap.goal.instruments().into_iter().map(String::from).collect::<Vec<_>>()
        };
        moves.chain(others.flat_map(owned)).collect()
    }

    /// Answers when the plan has followed: what it has no room for is refused.
    pub(super) fn answer(&self, answers: Vec<Answer>) {
        let planned = Overview::of_plan(self.handover.plan());
        let planned = planned.homes();
        for Answer { verb, outcomes, reply } in answers {
            let outcome = |(name, outcome): (String, Outcome)| match outcome {
                Outcome::Planned if verb == Verb::Pin && !planned.contains_key(name.as_str()) => {
                    Outcome::Refused(HOMELESS.to_owned())
                }
                outcome => outcome,
            };
            // Whoever asked may be gone.
            let _ = reply.send(outcomes.into_iter().map(outcome).collect());
        }
    }

    /// Forgets what was chosen of an instrument that is over.
    pub(super) fn forget(&mut self, name: &str) {
        let mut choices = self.universe.choices().clone();
        if choices.forget(name)
            && let Err(why) = self.keep(choices)
        {
            // The next start forgets it too.
            tracing::warn!("{why}");
        }
    }

    /// Keeps choices, first on the disk.
    fn keep(&mut self, choices: Choices) -> Result<(), String> {
        if choices == *self.universe.choices() {
            return Ok(());
        }
        self.wishes.keeping.write(&choices)?;
        tracing::info!(
            "{} instruments are pinned, {} are excluded",
            choices.pinned().count(),
            choices.excluded().count()
        );
        self.universe.choose(choices);
        Ok(())
    }

    fn recordable(&self, name: &str) -> Result<(), String> {
        match Instrument::parse(name).shape {
            Shape::Option { .. } | Shape::Perpetual => {}
            Shape::Future { .. } | Shape::Spot | Shape::Other => {
                return Err("options and perpetuals are recorded, and this is neither".to_owned());
            }
        }
        match self.universe.alive().any(|(alive, _)| alive == name) {
            true => Ok(()),
            false => {
                let currencies = self.config.exchange.currencies.join(", ");
                Err(format!("the exchange lists no such instrument of {currencies}"))
            }
        }
    }
}

/// Which of them another recorder's journal holds, a taker's next run would not know.
const STAY: &str = "have a channel of their own, which does not go from process to process";
const HOMELESS: &str =
    "no shard can take it: there is no room, or no channel of its own is recorded";
