//! Lists, pushes and trades, in every order.

use super::*;

const LINGER: Duration = Duration::from_secs(60);

fn at(second: i64) -> Micros {
    Micros(1_800_000_000_000_000).plus(Duration::from_secs(second.unsigned_abs()))
}

fn listed(names: &[&str]) -> Vec<Listed> {
    let entry = |name: &&str| Listed {
        name: (*name).to_owned(),
        state: Some(State::Open),
        expires: Some(at(1_000)),
    };
    names.iter().map(entry).collect()
}

fn show(events: &[Event]) -> String {
    let show = |event: &Event| match event.what {
        What::Appeared => format!("+{}", event.name),
        What::State(state) => format!("{}:{}", event.name, state.word()),
        What::Ended(why) => format!("-{} {why:?}", event.name),
    };
    events.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn recorded(universe: &Universe) -> String {
    universe.recorded().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_option_lives_from_its_listing_to_its_last_ticks() {
    let mut universe = Universe::new(LINGER);
    assert_eq!(show(&universe.list("BTC", &listed(&["a", "b"]), at(0))), "+a +b");
    assert_eq!(show(&universe.push("c", "BTC", State::Open, at(5))), "+c");
    assert_eq!(show(&universe.push("a", "BTC", State::Settlement, at(1_000))), "a:settlement");
    assert_eq!(show(&universe.push("a", "BTC", State::Delivered, at(1_002))), "a:delivered");
    assert_eq!(show(&universe.tick(at(1_061))), "", "its last ticks are still recorded");
    assert_eq!(universe.deadline(), Some(at(1_062)));
    assert_eq!(show(&universe.tick(at(1_062))), "-a Final");
    assert_eq!(recorded(&universe), "b c");
    assert_eq!(show(&universe.push("a", "BTC", State::Archivized, at(5_000))), "a:archivized");
    assert_eq!(show(&universe.tick(at(4_600))), "-b Expired", "nobody said that it is over");
    assert_eq!(universe.state("a"), Some(State::Archivized));
    universe.tick(at(200_000));
    assert_eq!(universe.state("a"), None, "what is over is forgotten");
}

#[test]
fn a_list_is_as_old_as_its_question() {
    let mut universe = Universe::new(LINGER);
    universe.list("BTC", &listed(&["a"]), at(0));
    universe.push("new", "BTC", State::Open, at(11));
    universe.push("a", "BTC", State::Delivered, at(12));
    assert_eq!(show(&universe.list("BTC", &listed(&["a"]), at(10))), "");
    assert_eq!(universe.state("a"), Some(State::Delivered));
    assert_eq!(recorded(&universe), "a new");
}

#[test]
fn one_list_without_an_instrument_proves_nothing() {
    let mut universe = Universe::new(LINGER);
    universe.list("BTC", &listed(&["a", "b"]), at(0));
    universe.list("ETH", &listed(&["e"]), at(0));
    assert_eq!(show(&universe.list("BTC", &listed(&["b"]), at(100))), "");
    assert_eq!(show(&universe.list("BTC", &listed(&["a", "b"]), at(200))), "");
    assert_eq!(show(&universe.list("BTC", &listed(&["b"]), at(300))), "");
    assert_eq!(show(&universe.list("BTC", &listed(&["b"]), at(330))), "");
    assert_eq!(show(&universe.list("BTC", &listed(&["b"]), at(360))), "-a Unlisted");
    // After expiry one list is enough: open instruments are asked for.
    assert_eq!(show(&universe.list("BTC", &[], at(1_059))), "");
    assert_eq!(show(&universe.list("BTC", &[], at(1_060))), "-b Expired");
    assert_eq!(recorded(&universe), "e", "another currency's list says nothing of it");
}

#[test]
fn a_trade_makes_an_unknown_instrument_known() {
    let mut universe = Universe::new(LINGER);
    assert_eq!(show(&universe.traded("a", "BTC", at(1))), "+a");
    assert_eq!(show(&universe.traded("a", "BTC", at(2))), "");
    assert_eq!(show(&universe.push("late", "BTC", State::Archivized, at(3))), "");
    assert_eq!(recorded(&universe), "a");
}

#[test]
fn what_trades_again_is_recorded_again() {
    let mut universe = Universe::new(LINGER);
    universe.push("a", "BTC", State::Open, at(0));
    universe.push("a", "BTC", State::Closed, at(1));
    let before = universe.changes();
    assert_eq!(show(&universe.tick(at(61))), "-a Final");
    assert_eq!(show(&universe.push("a", "BTC", State::Open, at(70))), "a:open +a");
    assert_eq!(universe.changes(), before + 2);
    assert_eq!(show(&universe.push("a", "BTC", State::Closed, at(69))), "", "an older word");
}

/// Whatever is said in whatever order: it appears before it ends, by turns, and what is recorded
/// is what has appeared and not ended.
#[test]
fn every_instrument_appears_and_ends_by_turns() {
    let states = [State::Open, State::Settlement, State::Delivered, State::Archivized];
    let mut random = 3_u64;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below
    };
    for _ in 0..200 {
        let mut universe = Universe::new(LINGER);
        let mut alive: BTreeMap<String, bool> = BTreeMap::new();
        let mut now = 0;
        for _ in 0..200 {
            now += draw(60) as i64;
            let name = ["a", "b", "c"][draw(3)];
            let said = at((now - draw(90) as i64).max(0));
            let events = match draw(4) {
                0 => {
                    let names: Vec<&str> =
                        ["a", "b", "c"].into_iter().filter(|_| draw(2) == 0).collect();
                    universe.list("BTC", &listed(&names), said)
                }
                1 => universe.push(name, "BTC", states[draw(4)], said),
                2 => universe.traded(name, "BTC", said),
                _ => universe.tick(at(now)),
            };
            for event in events {
                match event.what {
                    What::Appeared => assert_ne!(alive.insert(event.name, true), Some(true)),
                    What::Ended(_) => assert_eq!(alive.insert(event.name, false), Some(true)),
                    What::State(_) => {}
                }
            }
            let expected: Vec<&str> =
                alive.iter().filter(|(_, is)| **is).map(|(name, _)| name.as_str()).collect();
            assert_eq!(recorded(&universe), expected.join(" "));
        }
    }
}

#[test]
fn an_excluded_instrument_is_alive_and_not_recorded() {
    let mut universe = Universe::new(LINGER);
    let listed = |name: &str| Listed { name: name.into(), state: None, expires: None };
    let _ = universe.list("BTC", &[listed("A"), listed("B")], Micros(1));
    let mut choices = Choices::default();
    choices.exclude("A");
    let before = universe.changes();
    universe.choose(choices.clone());
    assert_eq!(universe.recorded().collect::<Vec<_>>(), [("B", "BTC")]);
    assert_eq!(universe.alive().count(), 2);
    universe.choose(choices);
    assert_eq!(universe.changes(), before + 1, "the same choices change nothing");
}
