//! How channels are dealt out, and what stays where.

use super::*;

/// No channel comes back.
const NOBODY: fn(&str) -> Option<&'static str> = |_| None;

fn group(name: &str, shards: usize, capacity: usize, channels: &str) -> Group {
    let channels = channels.split_whitespace().collect();
    Group { name: name.into(), shards, capacity, channels }
}

#[track_caller]
fn check(groups: &[Group], expected: &str) {
    assert_eq!(show(&Plan::first(groups).expect("room")), expected);
}

#[test]
fn channels_are_dealt_evenly() {
    check(&[group("btc", 2, 2, "a b c")], "btc-0: a c, btc-1: b");
    check(&[group("btc", 1, 2, "a"), group("eth", 1, 1, "b")], "btc: a, eth: b");
}

#[test]
fn a_plan_goes_on_from_what_the_shards_had() {
    let had = |of: &[(&str, &str)]| -> BTreeMap<String, ChannelSet> {
        let set = |channels: &str| channels.split_whitespace().collect();
        of.iter().map(|(shard, channels)| ((*shard).to_owned(), set(channels))).collect()
    };
    let groups = [group("btc", 2, 3, "a b c d")];
    let former = BTreeMap::from([("y".to_owned(), "btc-9".to_owned())]);
    let (plan, overflows) =
        Plan::resume(&groups, &had(&[("btc-0", "d c x"), ("btc-1", "c a")]), &former);
    assert_eq!((show(&plan).as_str(), overflows.len()), ("btc-0: c d, btc-1: a b", 0));
    let (plan, _) = Plan::resume(&groups, &had(&[]), &BTreeMap::new());
    assert_eq!(show(&plan), "btc-0: a c, btc-1: b d");
    let former = former.into_iter().chain([("b".to_owned(), "btc-0".to_owned())]).collect();
    let (plan, _) = Plan::resume(&groups, &had(&[("btc-1", "c")]), &former);
    assert_eq!(show(&plan), "btc-0: a b, btc-1: c d");
    // Sent more often than before.
    let groups = [group("btc", 2, 3, "trades.option.BTC.raw")];
    let before = had(&[("btc-1", "trades.option.BTC.100ms")]);
    let (plan, _) = Plan::resume(&groups, &before, &BTreeMap::new());
    assert_eq!(show(&plan), "btc-0: , btc-1: trades.option.BTC.raw");
    assert_eq!(plan.moved_trades(&before), None);
    let elsewhere = had(&[("rest", "trades.option.BTC.100ms")]);
    let moved = ("trades.option.BTC.raw", "rest", "btc-1");
    assert_eq!(plan.moved_trades(&elsewhere), Some(moved));
}

fn show(plan: &Plan) -> String {
    let show = |(name, swap): (Arc<str>, Swap)| {
        format!("{name}: {}", swap.goal.iter().collect::<Vec<_>>().join(" "))
    };
    plan.swaps().map(show).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_change_moves_nothing_that_stays() {
    let plan = Plan::first(&[group("btc", 2, 3, "ticker.A.x ticker.B.x ticker.C.x")]).unwrap();
    assert_eq!(show(&plan), "btc-0: ticker.A.x ticker.C.x, btc-1: ticker.B.x");
    let wanted = "book.B.x ticker.B.x ticker.C.x ticker.D.x trades.option.BTC.x";
    let (next, overflows) = plan.next(&[group("btc", 2, 3, wanted)], NOBODY);
    assert_eq!(
        show(&next),
        "btc-0: ticker.C.x ticker.D.x trades.option.BTC.x, btc-1: book.B.x ticker.B.x"
    );
    assert!(overflows.is_empty());
    assert!(next.swaps().all(|(_, swap)| swap.generation == 2));
    let (last, overflows) = next.next(&[group("btc", 2, 3, "a b c d e f g h")], NOBODY);
    assert_eq!(last.channels(), 6, "what finds room is recorded");
    assert_eq!(
        overflows.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["shard group btc has room for 6 channels, not for 8"]
    );
}

/// Whoever recorded trades knows which ones it has; another process would not.
#[test]
fn what_comes_back_goes_to_who_had_it_last() {
    let plan = Plan::first(&[group("btc", 2, 2, "ticker.A.x ticker.B.x")]).unwrap();
    let last = |channel: &str| (channel != "ticker.D.x").then_some("btc-0");
    let all = "ticker.A.x ticker.B.x ticker.C.x";
    let (back, _) = plan.next(&[group("btc", 2, 2, all)], last);
    assert_eq!(show(&back), "btc-0: ticker.A.x ticker.C.x, btc-1: ticker.B.x");
    let all = "ticker.A.x ticker.B.x ticker.C.x trades.option.BTC.x";
    let (full, overflows) = back.next(&[group("btc", 2, 2, all)], last);
    assert_eq!(
        (show(&full).as_str(), overflows.len()),
        ("btc-0: ticker.A.x trades.option.BTC.x, btc-1: ticker.B.x ticker.C.x", 0)
    );
    let all = "ticker.A.x ticker.B.x ticker.C.x ticker.D.x trades.option.BTC.x";
    let (over, overflows) = full.next(&[group("btc", 2, 2, all)], last);
    assert_eq!((show(&over), overflows.len()), (show(&full), 1), "who is there stays");
}

/// Months of listings and expiries: every wanted channel is in one shard while there is room,
/// and a channel that stays never moves.
#[test]
fn a_plan_is_stable_under_churn() {
    for seed in 1..50_u64 {
        let mut random = seed;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let mut wanted: ChannelSet = (0..60).map(|n| format!("ticker.I{n}.x")).collect();
        let groups = |channels: &ChannelSet| {
            [Group { name: "g".into(), shards: 4, capacity: 25, channels: channels.clone() }]
        };
        let mut plan = Plan::first(&groups(&wanted)).unwrap();
        for day in 0..60 {
            let gone: Vec<String> =
                wanted.iter().filter(|_| draw(6) == 0).map(str::to_owned).collect();
            gone.iter().for_each(|channel| {
                wanted.remove(channel);
            });
            for n in 0..draw(100 - wanted.len() + 1) {
                wanted.insert(format!("ticker.D{day}N{n}.x"));
            }
            let (next, overflows) = plan.next(&groups(&wanted), NOBODY);
            assert!(overflows.is_empty(), "seed {seed}: {overflows:?}");
            assert_eq!(next.channels(), wanted.len(), "seed {seed}");
            for ((_, before), (name, after)) in plan.swaps().zip(next.swaps()) {
                let stays = before.goal.iter().filter(|channel| wanted.contains(channel));
                for channel in stays {
                    assert!(after.goal.contains(channel), "seed {seed}: {channel} left {name}");
                }
            }
            plan = next;
        }
    }
}

#[test]
fn instruments_go_to_another_shard_of_their_group() {
    let channels = "book.B.x ticker.A.x ticker.B.x ticker.C.x";
    let groups = [group("btc", 2, 3, channels), group("eth", 1, 9, "ticker.E.x")];
    let plan = Plan::first(&groups).unwrap();
    assert_eq!(
        show(&plan),
        "btc-0: book.B.x ticker.B.x, btc-1: ticker.A.x ticker.C.x, eth: ticker.E.x"
    );
    let moved = |names: &[&str], to| {
        let moved = plan.moving(&names.iter().copied().collect(), to);
        moved.map(|plan| show(&plan)).map_err(|error| error.to_string())
    };
    let went = "btc-0: book.B.x ticker.A.x ticker.B.x, btc-1: ticker.C.x, eth: ticker.E.x";
    assert_eq!(moved(&["A"], "btc-0").as_deref(), Ok(went));
    for (names, to, error) in [
        (&["A"][..], "btc-7", "there is no shard btc-7"),
        (&["A", "Z"], "btc-0", "no shard has a channel of Z"),
        (&["A"], "eth", "ticker.A.x is not for the shards of eth"),
        (&["A", "C"], "btc-0", "shard btc-0 has room for 3 channels, not for 4"),
    ] {
        assert_eq!(moved(names, to).unwrap_err(), error);
    }
}

#[test]
fn what_finds_no_room_is_said() {
    let error = Plan::first(&[group("btc", 2, 1, "a b c")]).unwrap_err();
    assert_eq!(error.to_string(), "shard group btc has room for 2 channels, not for 3");
}
