//! Plans that follow each other, shards that answer when they like.

use std::cell::RefCell;

use super::*;
use crate::Group;

/// Shards that do what they are told, each when the test lets it.
#[derive(Debug, Default)]
struct Fake {
    announced: RefCell<BTreeMap<String, (String, String)>>,
    watched: RefCell<BTreeSet<String>>,
    heard: RefCell<BTreeSet<(String, String)>>,
    let_go: RefCell<Vec<String>>,
}

impl Crossings for Fake {
    fn announce(&self, channel: &str, from: &Arc<str>, to: &Arc<str>) {
        let way = (from.to_string(), to.to_string());
        let before = self.announced.borrow_mut().insert(channel.into(), way);
        assert_eq!(before, None, "{channel} is on its way already");
    }

    fn cancel(&self, channel: &str) {
        assert!(self.announced.borrow_mut().remove(channel).is_some(), "{channel} was announced");
        self.watched.borrow_mut().remove(channel);
    }

    fn silent(&self, channel: &str) {
        assert!(self.announced.borrow().contains_key(channel), "{channel} was announced");
        let (from, _) = &self.announced.borrow()[channel];
        let heard = self.heard.borrow().contains(&(from.clone(), channel.to_owned()));
        assert!(!heard, "{from} listens to {channel}");
        self.watch(channel);
    }

    fn is_watched(&self, channel: &str) -> bool {
        self.watched.borrow().contains(channel)
    }

    fn is_held(&self, channel: &str) -> bool {
        self.announced.borrow().contains_key(channel)
    }

    fn let_go(&self, channel: &str) {
        assert!(self.announced.borrow().contains_key(channel), "{channel} leaves unannounced");
        self.let_go.borrow_mut().push(channel.to_owned());
    }

    fn is_over(&self, channel: &str) -> bool {
        !self.announced.borrow().contains_key(channel)
    }

    fn again(&self, _: &str) {
        unreachable!("nobody here asks")
    }
}

impl Fake {
    /// A shard has what it is to have, and nothing else.
    fn acknowledge(&self, (shard, swap): (Arc<str>, Swap)) {
        let mut heard = self.heard.borrow_mut();
        heard.retain(|(of, channel)| **of != *shard || swap.goal.contains(channel));
        heard.extend(swap.goal.iter().map(|it| (shard.to_string(), it.to_owned())));
    }

    /// Whatever has left arrives.
    fn cross_all(&self, handover: &Handover) {
        let swaps: BTreeMap<Arc<str>, Swap> = handover.swaps().collect();
        let ways = self.announced.borrow().clone();
        for (channel, (from, to)) in ways {
            let has = |shard: &str| swaps[shard].goal.contains(&channel);
            if has(&to) && !has(&from) {
                self.cross(&channel);
            }
        }
    }

    fn watch(&self, channel: &str) {
        self.watched.borrow_mut().insert(channel.into());
    }

    fn hear(&self, shard: &str, channel: &str) {
        self.heard.borrow_mut().insert((shard.into(), channel.into()));
    }

    fn cross(&self, channel: &str) {
        self.announced.borrow_mut().remove(channel);
        self.watched.borrow_mut().remove(channel);
    }

    fn advance(&self, handover: &mut Handover) -> bool {
        let changed = self.turn(handover);
        handover.left(self);
        changed
    }

    /// The same, and nobody is told of the goals yet.
    fn turn(&self, handover: &mut Handover) -> bool {
        let heard = |shard: &str, channel: &str| {
            self.heard.borrow().contains(&(shard.to_owned(), channel.to_owned()))
        };
        handover.advance(self, heard, Duration::ZERO)
    }
}

fn plan(capacity: usize) -> Plan {
    Plan::first(&group(capacity, "A B C D")).expect("room")
}

/// The tickers of these instruments, for two shards.
fn group(capacity: usize, names: &str) -> [Group; 1] {
    let channels = names.split(' ').map(|name| format!("ticker.{name}.x")).collect();
    [Group { name: "g".into(), shards: 2, capacity, channels }]
}

#[track_caller]
fn check(handover: &Handover, expected: &str) {
    let letters = |swap: Swap| -> String {
        swap.goal.iter().map(|channel| channel.split('.').nth(1).expect("a name")).collect()
    };
    let shown: Vec<String> = handover.swaps().map(|(_, swap)| letters(swap)).collect();
    assert_eq!(shown.join(" "), expected);
}

fn moving(plan: &Plan, names: &[&str], to: &str) -> Plan {
    plan.moving(&names.iter().copied().collect(), to).expect("there is room")
}

#[test]
fn a_channel_stays_until_it_is_heard_elsewhere() {
    let (plan, fake) = (plan(4), Fake::default());
    let mut handover = Handover::new(plan.clone());
    check(&handover, "AC BD");
    assert!(!fake.advance(&mut handover));
    handover.follow(moving(&plan, &["A"], "g-1"));
    assert!(!fake.advance(&mut handover), "the giver has to know first");
    fake.watch("ticker.A.x");
    assert!(fake.advance(&mut handover));
    check(&handover, "AC ABD");
    assert!(!fake.advance(&mut handover));
    fake.hear("g-1", "ticker.A.x");
    assert!(fake.advance(&mut handover));
    check(&handover, "C ABD");
    assert_eq!(handover.moves().count(), 1);
    fake.cross("ticker.A.x");
    assert!(!fake.advance(&mut handover));
    assert_eq!(handover.moves().count(), 0);
    let generations: Vec<u64> = handover.swaps().map(|(_, swap)| swap.generation).collect();
    assert_eq!(generations, [3, 3]);
}

#[test]
fn trades_go_back_though_they_are_sent_more_often() {
    let group = |channels: &str| {
        let channels = channels.split(' ').collect();
        [Group { name: "g".into(), shards: 2, capacity: 4, channels }]
    };
    let had = BTreeMap::from([("g-0".to_owned(), ["ticker.A.raw"].into_iter().collect())]);
    let former = BTreeMap::from([("trades.B.100ms".to_owned(), "g-0".to_owned())]);
    let groups = group("ticker.A.raw");
    let plan = Plan::resume(&groups, &had, &former).0;
    let mut handover = Handover::resume(plan, &had, &[], &Fake::default(), Duration::ZERO);
    handover.remember(&former);
    let plan = handover.next_plan(&group("ticker.A.raw ticker.B.raw ticker.C.raw trades.B.raw")).0;
    let of = |shard: usize| plan.swaps().nth(shard).expect("two").1.goal;
    assert!(of(0).contains("trades.B.raw"), "{plan:?}");
}

/// Whoever decides may begin anew, and knows nothing then of goals that it could not keep: who had
/// given a channel away would know nothing of it any more.
#[test]
fn nobody_lets_go_before_the_goals_are_left() {
    let (plan, fake) = (plan(4), Fake::default());
    let without = next(&plan, &group(4, "B C D"));
    let mut handover = Handover::new(plan);
    handover.follow(without.clone());
    fake.advance(&mut handover);
    // A comes back to another shard, B goes from one to the other.
    handover.follow(moving(
        &moving(&next(&without, &group(4, "A B C D")), &["A"], "g-1"),
        &["B"],
        "g-0",
    ));
    fake.turn(&mut handover);
    fake.watch("ticker.B.x");
    fake.turn(&mut handover);
    fake.hear("g-0", "ticker.B.x");
    fake.turn(&mut handover);
    check(&handover, "BC AD");
    assert!(fake.let_go.borrow().is_empty());
    handover.left(&fake);
    assert_eq!(*fake.let_go.borrow(), ["ticker.A.x", "ticker.B.x"]);
}

#[test]
fn a_plan_that_changes_its_mind_is_followed() {
    let (plan, fake) = (plan(4), Fake::default());
    let there = moving(&plan, &["A"], "g-1");
    let mut handover = Handover::new(plan.clone());
    handover.follow(there.clone());
    fake.advance(&mut handover);
    fake.watch("ticker.A.x");
    fake.advance(&mut handover);
    // Back before the giver has let go: nothing has happened.
    handover.follow(moving(&there, &["A"], "g-0"));
    assert!(fake.advance(&mut handover));
    check(&handover, "AC BD");
    assert!(fake.announced.borrow().is_empty());
    // Back after it: first the one way, then the other.
    handover.follow(there.clone());
    fake.advance(&mut handover);
    fake.watch("ticker.A.x");
    fake.hear("g-1", "ticker.A.x");
    fake.advance(&mut handover);
    fake.advance(&mut handover);
    check(&handover, "C ABD");
    handover.follow(moving(&there, &["A"], "g-0"));
    assert!(!fake.advance(&mut handover));
    fake.cross("ticker.A.x");
    fake.advance(&mut handover);
    fake.advance(&mut handover);
    fake.watch("ticker.A.x");
    fake.advance(&mut handover);
    check(&handover, "AC ABD");
}

/// As if nobody had had what comes back.
fn next(plan: &Plan, groups: &[Group]) -> Plan {
    plan.next(groups, |_| None).0
}

/// What was wanted by nobody for a while is known by whoever had it last.
#[test]
fn a_channel_that_comes_back_elsewhere_brings_what_was_known() {
    let (plan, fake) = (plan(4), Fake::default());
    let mut handover = Handover::new(plan.clone());
    let plan = next(&plan, &group(4, "B C D"));
    handover.follow(plan.clone());
    fake.advance(&mut handover);
    check(&handover, "C BD");
    let plan = moving(&plan, &["B", "D"], "g-0");
    handover.follow(plan.clone());
    fake.advance(&mut handover);
    ["ticker.B.x", "ticker.D.x"].iter().for_each(|channel| {
        fake.watch(channel);
        fake.hear("g-0", channel);
    });
    fake.advance(&mut handover);
    fake.advance(&mut handover);
    ["ticker.B.x", "ticker.D.x"].iter().for_each(|channel| fake.cross(channel));
    assert_eq!(handover.former().collect::<Vec<_>>(), [("ticker.A.x", "g-0")]);
    // Whoever goes on from here knows it, too.
    let goals = handover.swaps().map(|(shard, swap)| (shard.to_string(), swap.goal)).collect();
    let former = handover.former().map(|(channel, shard)| (channel.into(), shard.into()));
    let former = former.chain([("ticker.B.x".into(), "g-1".into())]).collect();
    let mut handover = Handover::resume(plan.clone(), &goals, &[], &fake, Duration::ZERO);
    handover.remember(&former);
    assert_eq!(handover.former().count(), 1, "somebody has the other one");
    handover.follow(next(&plan, &group(4, "A B C D")));
    fake.advance(&mut handover);
    check(&handover, "BCD A");
    let way = fake.announced.borrow().get("ticker.A.x").cloned();
    assert_eq!(way, Some(("g-0".into(), "g-1".into())));
    fake.cross("ticker.A.x");
    fake.advance(&mut handover);
    assert_eq!(handover.moves().count(), 0);
}

#[test]
fn a_full_shard_takes_nothing_before_it_has_given() {
    let (plan, fake) = (plan(3), Fake::default());
    let mut handover = Handover::new(plan.clone());
    let plan = moving(&plan, &["A"], "g-1");
    handover.follow(moving(&plan, &["B", "D"], "g-0"));
    fake.advance(&mut handover);
    ["ticker.A.x", "ticker.B.x", "ticker.D.x"].iter().for_each(|channel| fake.watch(channel));
    fake.advance(&mut handover);
    check(&handover, "ABC ABD");
    fake.hear("g-1", "ticker.A.x");
    fake.advance(&mut handover);
    fake.advance(&mut handover);
    check(&handover, "BCD ABD");
}

#[test]
fn full_shards_exchange_channels_one_by_one() {
    let (plan, fake) = (plan(2), Fake::default());
    let mut handover = Handover::new(plan.clone());
    check(&handover, "AC BD");
    let without = next(&plan, &group(2, "A C D"));
    handover.follow(next(&moving(&without, &["A"], "g-1"), &group(2, "A B C D")));
    fake.advance(&mut handover);
    ["ticker.A.x", "ticker.B.x"].iter().for_each(|channel| fake.watch(channel));
    fake.advance(&mut handover);
    check(&handover, "AC ABD");
    fake.hear("g-1", "ticker.A.x");
    fake.advance(&mut handover);
    check(&handover, "BC ABD");
    fake.hear("g-0", "ticker.B.x");
    fake.advance(&mut handover);
    check(&handover, "BC AD");
}

/// Plans that change at any moment, shards that answer at any moment: what was in a goal and is
/// wanted never leaves all goals, no shard has too much but by what is to leave it, and all ends
/// where the last plan wants it.
#[test]
fn every_channel_has_a_home_at_every_moment() {
    for seed in 1..200_u64 {
        let mut random = seed;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let group = |channels: &ChannelSet| {
            [Group { name: "g".into(), shards: 3, capacity: CAPACITY, channels: channels.clone() }]
        };
        let mut wanted: ChannelSet = (0..18).map(|n| format!("ticker.I{n}.x")).collect();
        let mut plan = Plan::first(&group(&wanted)).expect("room");
        let (fake, mut handover) = (Fake::default(), Handover::new(plan.clone()));
        let mut trades = None;
        for turn in 0..300 {
            match draw(14) {
                0 => {
                    let name = format!("I{}", draw(18));
                    let to = format!("g-{}", draw(3));
                    if let Ok(next) = plan.moving(&BTreeSet::from([&*name]), &to) {
                        plan = next;
                        handover.follow(plan.clone());
                    }
                }
                1 => {
                    let channel = match draw(30) {
                        18.. => TRADES.to_owned(),
                        n => format!("ticker.I{n}.x"),
                    };
                    if !wanted.remove(&channel) {
                        wanted.insert(channel);
                    }
                    plan = handover.next_plan(&group(&wanted)).0;
                    handover.follow(plan.clone());
                }
                2..=5 => {
                    let shard = draw(3);
                    fake.acknowledge(handover.swaps().nth(shard).expect("there are three"));
                }
                6 | 7 => {
                    let announced = fake.announced.borrow().keys().cloned().collect::<Vec<_>>();
                    announced.iter().for_each(|channel| fake.watch(channel));
                }
                8 | 9 => fake.cross_all(&handover),
                10 => {
                    // What has left is on its way as before.
                    let _ = handover.begun_anew(&format!("g-{}", draw(3)));
                }
                11 => handover = begin_anew(&handover, &fake, &plan),
                _ => {
                    fake.advance(&mut handover);
                }
            }
            if draw(3) > 0 {
                fake.advance(&mut handover);
            }
            let place = format!("seed {seed}, turn {turn}");
            check_homes(&handover, &wanted, &place);
            let swaps = handover.swaps().filter(|(_, swap)| swap.goal.contains(TRADES));
            for (shard, _) in swaps {
                assert_eq!(*trades.get_or_insert(shard.clone()), shard, "{place}: trades move");
            }
        }
    }
}

/// Whoever decides begins anew, with what was noted: the goals without what was to come, and the
/// channels that had left.
fn begin_anew(handover: &Handover, fake: &Fake, plan: &Plan) -> Handover {
    let goals = handover.swaps().map(|(shard, swap)| (shard.to_string(), swap.goal));
    let mut had: BTreeMap<String, ChannelSet> = goals.collect();
    let mut left = Vec::new();
    for moving in handover.moves() {
        match moving.leaves {
            true => left.push((moving.channel.into(), [moving.from.into(), moving.to.into()])),
            false => drop(had.get_mut(moving.to).map(|goal| goal.remove(moving.channel))),
        }
    }
    fake.announced.borrow_mut().clear();
    fake.watched.borrow_mut().clear();
    let former = handover.former().map(|(channel, shard)| (channel.into(), shard.into())).collect();
    let mut new = Handover::resume(plan.clone(), &had, &left, fake, Duration::ZERO);
    new.remember(&former);
    new
}

/// Channels of a shard: at times too few for what is to go there.
const CAPACITY: usize = 8;
/// A channel that stays with its shard, as long as nobody asks for its instrument elsewhere.
const TRADES: &str = "trades.option.T.x";

/// Every wanted channel that any shard had has a home, one while it rests.
#[track_caller]
fn check_homes(handover: &Handover, wanted: &ChannelSet, place: &str) {
    let goals: Vec<ChannelSet> = handover.swaps().map(|(_, swap)| swap.goal).collect();
    let on_its_way: BTreeSet<&str> = handover.moves().map(|moving| moving.channel).collect();
    let leaving = |shard: usize| {
        let name = format!("g-{shard}");
        handover.moves().filter(|moving| *moving.from == *name).count()
    };
    let room = |(shard, goal): (usize, &ChannelSet)| goal.len() <= CAPACITY + leaving(shard).max(1);
    assert!(goals.iter().enumerate().all(room), "{place}: too many");
    for channel in wanted.iter() {
        let homes = goals.iter().filter(|goal| goal.contains(channel)).count();
        let most = if on_its_way.contains(channel) { 2 } else { 1 };
        assert!(homes <= most, "{place}: {channel} has {homes} homes");
        let new = handover.plan().swaps().all(|(_, swap)| !swap.goal.contains(channel));
        assert!(homes > 0 || new || handover.behind, "{place}: {channel}");
    }
}
