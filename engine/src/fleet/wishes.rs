//! Wishes that somebody has of a recorder, which passes them on to the lifecycle; and their
//! answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;

use super::End;
use super::wire::Wish;
use crate::control::{Answer, CROWDED, Intake, Order, Orders, Outcome, Progress, Published, Verb};

/// In a recorder: wishes that are passed on.
#[derive(Debug)]
pub struct Passed {
    intake: Intake,
    /// Those that wait for an answer, by their numbers.
    waiting: BTreeMap<u64, Order>,
    last: u64,
    /// Up to this a lifecycle was told of them: whether it heard, nobody knows.
    told: u64,
}

impl Passed {
    /// Those that come this way.
    #[must_use]
    pub fn new(intake: Intake) -> Self {
        Self { intake, waiting: BTreeMap::new(), last: 0, told: 0 }
    }

    /// Numbers what has come, and forgets what nobody waits for any more: a wish that no lifecycle
    /// has heard in time is not followed later.
    fn take(&mut self) {
        while let Some(order) = self.intake.next() {
            self.last += 1;
            self.waiting.insert(self.last, order);
        }
        self.waiting.retain(|_, order| !order.reply.is_closed());
    }

    /// What the lifecycle is told when it has those up to `arrived`: the others, and the numbers of
    /// all.
    pub(super) fn tell(&mut self, arrived: u64) -> (Vec<Wish>, Vec<u64>) {
        self.take();
        self.told = self.last;
        let new = self.waiting.range(arrived.saturating_add(1)..);
        let new = new.map(|(number, order)| Wish {
            number: *number,
            verb: order.verb.clone(),
            instruments: order.instruments.clone(),
        });
        (new.collect(), self.waiting.keys().copied().collect())
    }

    /// The lifecycle has answered some.
    pub(super) fn answer(&mut self, answers: Vec<(u64, Vec<Outcome>)>) {
        for (number, outcomes) in answers {
            if let Some(order) = self.waiting.remove(&number) {
                // Whoever asked may be gone.
                let _ = order.reply.send(outcomes);
            }
        }
    }

    /// Nobody is there to follow what no lifecycle was told.
    pub(super) fn refuse(&mut self, why: &str) {
        self.take();
        for (_, order) in self.waiting.extract_if(self.told + 1.., |_, _| true) {
            let _ = order.reply.send(refused(&order.instruments, why));
        }
    }
}

/// In a lifecycle: where wishes from elsewhere go.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The way to whoever plans.
    pub orders: Orders,
    /// What is planned.
    pub published: Published,
}

/// In a lifecycle: the wishes that one recorder has passed on.
#[derive(Debug)]
pub(super) struct Pursued {
    desk: Desk,
    /// The newest one.
    last: u64,
    open: BTreeMap<u64, (Stage, Duration)>,
}

/// How far a wish is.
#[derive(Debug)]
enum Stage {
    /// Whoever plans has it.
    Given(Verb, Vec<String>, Answer),
    /// The exchange is to acknowledge it.
    Planned(Progress),
    /// It is to be answered.
    Over(Vec<Outcome>),
}

impl Pursued {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, last: 0, open: BTreeMap::new() }
    }

    /// The recorder has begun anew: whoever waited is gone.
    pub(super) fn begin_anew(&mut self) {
        (self.last, self.open) = (0, BTreeMap::new());
    }

    /// The newest wish that has arrived.
    pub(super) fn arrived(&self) -> u64 {
        self.last
    }

    /// Takes what is new, and forgets what is waited for no longer.
    pub(super) fn take(&mut self, wishes: Vec<Wish>, waits: &[u64], now: Duration) {
        self.open.retain(|number, _| waits.contains(number));
        for Wish { number, verb, instruments } in wishes {
            if number <= self.last {
                continue;
            }
            self.last = number;
            let (order, answer) = Order::new(verb.clone(), instruments.clone());
            let stage = match self.desk.orders.give(order) {
                true => Stage::Given(verb, instruments, answer),
                false => Stage::Over(refused(&instruments, CROWDED)),
            };
            self.open.insert(number, (stage, now + ACKNOWLEDGED_MAX));
        }
    }

    /// Takes every wish as far as it can be. `all` are the shards.
    pub(super) fn pursue(&mut self, all: &BTreeMap<Arc<str>, End>, now: Duration) {
        let Self { desk, open, .. } = self;
        for (stage, until) in open.values_mut() {
            let before = std::mem::replace(stage, Stage::Over(Vec::new()));
            *stage = before.planned().acknowledged(&desk.published, all, *until <= now);
        }
    }

    /// What is to be answered.
    pub(super) fn answers(&self) -> Vec<(u64, Vec<Outcome>)> {
        let over = self.open.iter().filter_map(|(number, (stage, _))| match stage {
            Stage::Over(outcomes) => Some((*number, outcomes.clone())),
            Stage::Given(..) | Stage::Planned(_) => None,
        });
        over.collect()
    }
}

impl Stage {
    /// Whoever plans may have answered.
    fn planned(self) -> Self {
        let Self::Given(verb, instruments, mut answer) = self else { return self };
        match answer.try_recv() {
            Ok(outcomes) => Self::Planned(Progress::new(verb, instruments, outcomes)),
            Err(TryRecvError::Empty) => Self::Given(verb, instruments, answer),
            Err(TryRecvError::Closed) => Self::Over(refused(&instruments, ENDING)),
        }
    }

    /// The exchange may have acknowledged what is planned.
    fn acknowledged(self, planned: &Published, all: &BTreeMap<Arc<str>, End>, late: bool) -> Self {
        let Self::Planned(mut progress) = self else { return self };
        let overview = planned.look();
        let ends = overview.shards.iter().filter_map(|planned| all.get(&planned.shard));
        progress.look(&overview, ends.map(|end| (&end.board, &*end.meters)));
        match progress.is_over() || late {
            true => Self::Over(progress.outcomes().into_iter().map(|(_, it)| it).collect()),
            false => Self::Planned(progress),
        }
    }
}

fn refused(instruments: &[String], why: &str) -> Vec<Outcome> {
    instruments.iter().map(|_| Outcome::Refused(why.to_owned())).collect()
}

const ENDING: &str = "the lifecycle is ending";
/// A little less than the recorder waits for the answer.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(9);

#[cfg(test)]
mod tests {
    use lifecycle::ChannelSet;

    use super::*;
    use crate::control::{Overview, Planned, orders};
    use crate::metrics::State;

    /// A recorder's side and the lifecycle's.
    struct Ways {
        orders: Orders,
        passed: Passed,
        pursued: Pursued,
        steward: Intake,
        published: Published,
        all: BTreeMap<Arc<str>, End>,
    }

    impl Ways {
        fn new() -> Self {
            let ((orders, intake), (theirs, steward)) = (orders(), orders());
            let published = Published::default();
            let desk = Desk { orders: theirs, published: published.clone() };
            let end = |name: &str| (name.into(), End::remote(name.into()));
            Self {
                orders,
                passed: Passed::new(intake),
                pursued: Pursued::new(desk),
                steward,
                published,
                all: ["a", "b"].map(end).into(),
            }
        }

        fn wish(&self, verb: Verb) -> Answer {
            let (order, answer) = Order::new(verb, vec![NAME.into()]);
            assert!(self.orders.give(order));
            answer
        }

        /// A brief, its news, and what the lifecycle makes of them; either may be lost.
        fn speak(&mut self, [brief, news]: [bool; 2], now: Duration) {
            if !brief {
                return;
            }
            self.passed.answer(self.pursued.answers());
            let (wishes, waits) = self.passed.tell(self.pursued.arrived());
            if news {
                self.pursued.take(wishes, &waits, now);
                self.pursued.pursue(&self.all, now);
            }
        }

        /// Whoever plans gives shard `b` the instrument.
        fn plan(&self) {
            let planned = |shard: &str, channels: &[&str]| Planned {
                shard: shard.into(),
                capacity: 10,
                goal: channels.iter().map(ToString::to_string).collect(),
            };
            let shards = vec![planned("a", &[]), planned("b", &[CHANNEL])];
            let (generation, instruments) = (2, Vec::new());
            self.published.publish(Overview { generation, shards, instruments });
        }

        fn acknowledge(&self) {
            let channels: ChannelSet = [CHANNEL.to_owned()].into_iter().collect();
            self.all["b"].board.show(&channels);
            self.all["b"].meters.set_state(State::Recording);
        }
    }

    #[test]
    fn a_wish_is_answered_when_it_is_acknowledged_whatever_is_lost() {
        let mut ways = Ways::new();
        let mut answer = ways.wish(Verb::Pin);
        let speak = |ways: &mut Ways, arrives| ways.speak(arrives, Duration::ZERO);
        speak(&mut ways, [true, false]);
        assert!(ways.steward.next().is_none(), "the news were lost");
        speak(&mut ways, [true, true]);
        speak(&mut ways, [true, true]);
        let order = ways.steward.next().expect("it has arrived");
        assert!(ways.steward.next().is_none(), "once");
        assert_eq!((&order.verb, &*order.instruments), (&Verb::Pin, &[NAME.to_owned()][..]));
        ways.plan();
        order.reply.send(vec![Outcome::Planned]).unwrap();
        speak(&mut ways, [true, true]);
        speak(&mut ways, [true, true]);
        assert!(answer.try_recv().is_err(), "nothing is acknowledged");
        ways.acknowledge();
        ways.all["b"].meters.set_state(State::Connecting);
        speak(&mut ways, [true, true]);
        speak(&mut ways, [true, true]);
        assert!(answer.try_recv().is_err(), "its recorder does not answer any more");
        ways.all["b"].meters.set_state(State::Recording);
        speak(&mut ways, [true, true]);
        speak(&mut ways, [false, true]);
        assert!(answer.try_recv().is_err(), "the answer was lost");
        speak(&mut ways, [true, true]);
        assert_eq!(answer.try_recv().unwrap(), [Outcome::Done]);
        speak(&mut ways, [true, true]);
        assert!(ways.pursued.open.is_empty() && ways.passed.waiting.is_empty(), "forgotten");
    }

    #[test]
    fn what_takes_too_long_is_answered_as_it_is() {
        let mut ways = Ways::new();
        let mut answer = ways.wish(Verb::Move("b".into()));
        ways.speak([true, true], Duration::ZERO);
        ways.plan();
        let order = ways.steward.next().expect("it has arrived");
        order.reply.send(vec![Outcome::Planned]).unwrap();
        ways.speak([true, true], ACKNOWLEDGED_MAX);
        ways.speak([true, true], ACKNOWLEDGED_MAX);
        assert_eq!(answer.try_recv().unwrap(), [Outcome::Planned]);
    }

    #[test]
    fn a_wish_that_nobody_waits_for_is_not_followed() {
        let mut ways = Ways::new();
        drop(ways.wish(Verb::Exclude));
        ways.speak([true, true], Duration::ZERO);
        assert!(ways.steward.next().is_none());
    }

    #[test]
    fn a_lifecycle_that_begins_anew_hears_a_wish_again() {
        let mut ways = Ways::new();
        let mut answer = ways.wish(Verb::Pin);
        ways.speak([true, true], Duration::ZERO);
        drop(ways.steward.next().expect("it has arrived"));
        ways.passed.refuse("nobody is here");
        assert!(answer.try_recv().is_err(), "it may be followed: nobody knows");
        let anew = Ways::new();
        ways.pursued = anew.pursued;
        ways.speak([true, true], Duration::ZERO);
        let order = anew.steward.next().expect("it has arrived anew");
        order.reply.send(vec![Outcome::Already]).unwrap();
        ways.speak([true, true], Duration::ZERO);
        ways.speak([true, true], Duration::ZERO);
        assert_eq!(answer.try_recv().unwrap(), [Outcome::Already]);
    }

    #[test]
    fn without_a_lifecycle_a_wish_is_refused() {
        let mut ways = Ways::new();
        let mut answer = ways.wish(Verb::Pin);
        ways.passed.refuse("nobody is here");
        assert_eq!(answer.try_recv().unwrap(), [Outcome::Refused("nobody is here".into())]);
    }

    const NAME: &str = "BTC-27DEC30-70000-C";
    const CHANNEL: &str = "ticker.BTC-27DEC30-70000-C.100ms";
}
